"""Turns: so many may do something at one time, and the others wait."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from ..transport.waiting import Waiting


class Turns:
    """A number of turns, for those who ask first, given back one after another.

    Who gets a turn may be done with it before that returns, and so may the next one: each within
    the one before, many who wait would be deeper than a stack can be.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: Waiting[None] = Waiting()
        self._busy = False

    def acquire(self) -> Deferred[None]:
        """Fires when it is one's turn. Cancelling ends the waiting."""
        if self._waiting or not self._free:
            return self._waiting.add()
        self._free -= 1
        return succeed(None)

    def release(self) -> None:
        """Give a turn back."""
        self._free += 1
        if self._busy:
            return
        self._busy = True
        try:
            while self._free and (waiter := self._waiting.take_first()) is not None:
                self._free -= 1
                waiter.callback(None)
        finally:
            self._busy = False
