"""Many deadlines, one delayed call.

A delayed call for every request would cost as much as the request itself. Deadlines of one length
end in the order in which they began, so each length has a queue of its own: adding and removing
are dictionary operations, and only the heads of the queues are looked at when the clock calls.
The call may come for a deadline that was met long ago; it then asks for the next one. When nobody
waits any more there is none.
"""

from __future__ import annotations

import math
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Expiring(Protocol):
    """Something with a deadline; hashable by identity."""

    def expired(self) -> None:
        """The deadline has passed, and was forgotten."""


class Deadlines:
    """Who is to be told when, on one clock."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queues: dict[float, dict[Expiring, float]] = {}
        self._call: IDelayedCall | None = None
        self._call_at = math.inf

    def add(self, who: Expiring, seconds: float) -> None:
        """Tell ``who`` in so many seconds."""
        due = self._clock.seconds() + seconds
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = {}
        queue[who] = due
        if due < self._call_at:
            self._call_in(seconds)

    def remove(self, who: Expiring, seconds: float) -> None:
        """Tell ``who`` nothing; ``seconds`` is what it was added with."""
        queue = self._queues.get(seconds)
        if queue is None:
            return
        queue.pop(who, None)
        if not queue:
            del self._queues[seconds]
            if not self._queues:
                self._sleep()

    def clear(self) -> None:
        """Tell nobody anything."""
        self._queues.clear()
        self._sleep()

    def _call_in(self, seconds: float) -> None:
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._called)
        else:
            self._call.reset(seconds)
        self._call_at = self._call.getTime()

    def _sleep(self) -> None:
        call, self._call = self._call, None
        self._call_at = math.inf
        if call is not None:
            call.cancel()

    def _called(self) -> None:
        self._call = None
        self._call_at = math.inf
        now = self._clock.seconds()
        late: list[tuple[Expiring, float]] = []
        following = math.inf
        for seconds, queue in self._queues.items():
            for who, due in queue.items():
                if due > now:
                    following = min(following, due)
                    break
                late.append((who, seconds))
        if following < math.inf:
            self._call_in(following - now)
        # The first may bring about that the second is no longer late: look again, one by one.
        for who, seconds in late:
            if who in self._queues.get(seconds, ()):
                self.remove(who, seconds)
                who.expired()
