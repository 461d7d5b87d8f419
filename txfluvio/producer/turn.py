"""When the senders of a producer look at their queues: at the end of a turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Looking(Protocol):
    """Has something to look at, such as a sender its queue."""

    def look(self) -> None:
        """Begin what is due."""


class Turn:
    """Has senders look at the end of a turn of the reactor.

    Not at once: what is sent in a row leaves together, also without linger.

    :param before: called before they look.
    """

    def __init__(self, clock: IReactorTime, before: Callable[[], None]) -> None:
        self._clock = clock
        self._before = before
        self._stirred: dict[Looking, None] = {}
        self._call: IDelayedCall | None = None
        self._postponed = False

    def stir(self, sender: Looking) -> None:
        """Have a sender look."""
        self._stirred[sender] = None
        self.look_later()

    def look_later(self) -> None:
        """Have :meth:`look` called."""
        if self._call is None and not self._postponed:
            self._call = self._clock.callLater(0, self._ended)

    def postpone(self) -> None:
        """Ask the clock for nothing: somebody will call :meth:`look` before it could.

        What is sent meanwhile, often by those who waited for what is being told, is better looked
        at afterwards than at the end of the turn.
        """
        self._postponed = True

    def look(self) -> None:
        """Have those look that were stirred, now."""
        try:
            self._before()
        finally:
            self._postponed = False
        stirred, self._stirred = self._stirred, {}
        for sender in stirred:
            sender.look()

    def stop(self) -> None:
        """Ask the clock for nothing any more."""
        if self._call is not None:
            self._call.cancel()

    def _ended(self) -> None:
        self._call = None
        self._postponed = True
        self.look()
