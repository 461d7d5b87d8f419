"""A clock under which everything of a simulated run happens, in an order that a seed decides.

Like :class:`twisted.internet.task.Clock` it tells a time that stands still while calls are made.
Unlike that one it goes on by itself, from one call to the next, and calls that are due at the same
time are made in any order: nobody is promised another by a reactor.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()

EPOCH = 1_700_000_000.0
"""When every run begins, in seconds since the Unix epoch."""


class Endless(Exception):
    """Calls are made without end, and the time does not get on."""


@implementer(IReactorTime)
class SimulatedClock:
    """Tells the time, and makes delayed calls when told to :meth:`run`.

    :param rng: decides the order of calls that are due at the same time.
    :ivar made: how many calls were made.
    """

    def __init__(self, rng: Random) -> None:
        self.made = 0
        self._rng = rng
        self._now = EPOCH
        self._order = count()
        self._queue: list[tuple[float, float, int, DelayedCall]] = []

    # IReactorTime

    def seconds(self) -> float:
        return self._now

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> DelayedCall:
        call = DelayedCall(
            self._now + delay, callable, args, kwargs, _nothing, self._push, self.seconds
        )
        self._push(call)
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        """What waits to be made, in the order of time."""
        calls = {call: None for *_, call in sorted(self._queue) if call.active()}
        return list(calls)

    # How time passes

    def run(
        self,
        done: Callable[[], bool],
        *,
        until: float,
        calls: int,
        between: Callable[[], object] = lambda: None,
    ) -> bool:
        """Make calls until ``done()``, which is asked after each; whether it came to that.

        :param until: the last moment to make calls at.
        :param calls: more than so many calls are too many.
        :param between: called after each as well.
        :raises Endless: there were too many.
        """
        last = self.made + calls
        while not done():
            call = self._pop(until)
            if call is None:
                self._now = max(self._now, until)
                return False
            self.made += 1
            if self.made > last:
                raise Endless(f"more than {calls} calls were made")
            call.called = 1
            try:
                call.func(*call.args, **call.kw)
            except Exception:
                _log.failure("a delayed call failed")
            between()
        return True

    def _push(self, call: DelayedCall) -> None:
        tie = self._rng.random()
        heapq.heappush(self._queue, (call.getTime(), tie, next(self._order), call))

    def _pop(self, until: float) -> DelayedCall | None:
        """The next call, if one is due by then, and the time is its."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            due, _, _, call = heapq.heappop(queue)
            if not call.active():
                continue
            actual = call.getTime()
            if actual != due:
                # It was put off meanwhile; put forward, it is in the queue again anyway.
                if actual > due:
                    call.activate_delay()
                    self._push(call)
                continue
            self._now = max(self._now, due)
            return call
        return None


def _nothing(call: Any) -> None:
    """Cancelled calls are passed over when their time comes."""
