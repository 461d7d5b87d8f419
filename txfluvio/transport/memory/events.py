"""What happens on a network in memory, in the order in which it was caused.

Nothing is random here, so a test takes the same course every time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

PUMP_LIMIT: Final = 1_000_000
"""Two peers who still talk after so many events in one ``pump()`` will never fall silent."""


class Event:
    """Something that will happen once: when the clock says so, or when pumped."""

    __slots__ = ("_happen", "call", "done")

    def __init__(self, happen: Callable[[], object]) -> None:
        self._happen = happen
        self.done = False
        self.call: IDelayedCall

    def fire(self) -> None:
        self.done = True
        self._happen()

    def cancel(self) -> None:
        if not self.done:
            self.done = True
            self.call.cancel()


class Events:
    """Everything that is about to happen.

    :ivar clock: tells the time, and lets each happen when it is there.
    :ivar latency: seconds from one end of a link to the other, for whatever is sent from now on.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.latency = 0.0
        self._line: list[tuple[float, int, Event]] = []
        self._sequence = count()

    @property
    def now(self) -> float:
        """The time."""
        return self.clock.seconds()

    @property
    def arrival(self) -> float:
        """When it arrives, what is sent now."""
        return self.now + self.latency

    def at(self, due: float, happen: Callable[[], object]) -> Event:
        """Let something happen at a time; what is due at the same time keeps its order."""
        self._pass_over_done()
        event = Event(happen)
        event.call = self.clock.callLater(max(0.0, due - self.now), event.fire)
        heapq.heappush(self._line, (event.call.getTime(), next(self._sequence), event))
        return event

    def soon(self, happen: Callable[[], object]) -> Event:
        """Let something happen now, but never before this returns."""
        return self.at(self.now, happen)

    def pump(self) -> None:
        """Let everything happen that is due by now, and all that follows from it.

        :raises RuntimeError: it never ends.
        """
        for _ in range(PUMP_LIMIT):
            self._pass_over_done()
            if not self._line or self._line[0][0] > self.now:
                return
            event = heapq.heappop(self._line)[2]
            event.call.cancel()
            event.fire()
        raise RuntimeError(f"the peers still talk after {PUMP_LIMIT} events")

    def _pass_over_done(self) -> None:
        while self._line and self._line[0][2].done:
            heapq.heappop(self._line)
