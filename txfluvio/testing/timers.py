"""Delayed calls that end with their owner.

Everything timed in the fake goes through one of these, so that a stopped cluster leaves nothing
behind in the scheduler, and so that "soon" always means "in a turn of its own".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

P = ParamSpec("P")
T = TypeVar("T")


class Timers:
    """The delayed calls of one owner.

    :param scheduler: what runs them: a reactor or a ``task.Clock``.
    """

    def __init__(self, scheduler: IReactorTime) -> None:
        self.scheduler = scheduler
        self._pending: dict[int, IDelayedCall] = {}
        self._next = 0
        self._stopped = False

    def later(
        self, delay: float, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], None]:
        """Make ``call`` in ``delay`` seconds, never before this returns.

        Returns a function that calls it off; it may be used at any time. Nothing happens once the
        owner has stopped.
        """
        if self._stopped:
            return lambda: None
        key = self._next
        self._next += 1

        def fire() -> None:
            del self._pending[key]
            call(*args, **kwargs)

        def cancel() -> None:
            pending = self._pending.pop(key, None)
            if pending is not None:
                pending.cancel()

        self._pending[key] = self.scheduler.callLater(delay, fire)
        return cancel

    def limit(
        self, waiter: Deferred[bool], seconds: float, *forgets: Callable[[], object]
    ) -> Deferred[bool]:
        """Have ``waiter`` fire with ``False`` if it has not fired in ``seconds`` seconds.

        :param forgets: called when it has fired, in whatever way, or was cancelled.
        """

        def over(result: T) -> T:
            for forget in (*forgets, call_off):
                forget()
            return result

        call_off = self.later(seconds, waiter.callback, False)
        return waiter.addBoth(over)

    def pause(self, seconds: float) -> Deferred[bool]:
        """Fires in so many seconds. Cancelling just ends the waiting."""
        return self.limit(Deferred(), seconds)

    def stop(self) -> None:
        """Call everything off, for good."""
        self._stopped = True
        pending, self._pending = self._pending, {}
        for call in pending.values():
            call.cancel()
