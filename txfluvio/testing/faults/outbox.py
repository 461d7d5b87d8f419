"""What leaves a connection on which something goes wrong, step by step.

Every frame leaves by steps: some bytes, a wait, more bytes, perhaps the end. The steps of one
frame are taken before those of the next. Whoever would have more to send is held up meanwhile,
unless all that is waited for is the way to the client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..timers import Timers

MAX_UNDER_WAY = 65_536
"""Bytes on their way to a client, above which whoever would send more is held up."""


@attrs.frozen
class Pause:
    """Wait so many seconds, and a turn at least."""

    seconds: float


@attrs.frozen
class Until:
    """Wait until a time of the scheduler; others may put more behind it."""

    due: float


@attrs.frozen
class Barrier:
    """Wait for a Deferred, which is cancelled if the connection ends."""

    opened: Deferred[None]


@attrs.frozen
class End:
    """End the connection: at once by a reset, or in order behind what has left."""

    reset: bool


class Nagle:
    """From now on, let TCP hold back what follows a piece until the peer has acknowledged that."""


Step = bytes | Pause | Until | Barrier | End | Nagle


class Outbox:
    """The frames of one connection that have not left.

    :param write: sends bytes.
    :param end: ends the connection, at once if it is given ``True``.
    :param hold: told whether others are held up, whenever that changes.
    :param nagle: lets TCP hold back pieces.
    """

    def __init__(
        self,
        timers: Timers,
        *,
        write: Callable[[bytes], object],
        end: Callable[[bool], object],
        hold: Callable[[bool], object],
        nagle: Callable[[], object],
    ) -> None:
        self._timers = timers
        self._write = write
        self._end = end
        self._hold = hold
        self._nagle = nagle
        self._frames: deque[tuple[Iterator[Step], int]] = deque()
        self._under_way = 0
        self._stuck = False
        self._stop_waiting: Callable[[], object] | None = None
        self._holding = False
        self._running = False

    @property
    def empty(self) -> bool:
        """Whether everything has left."""
        return not self._frames

    def put(self, steps: Iterable[Step], size: int = 0) -> None:
        """Take these steps, after all those before; now, if that is possible.

        :param size: how many bytes it takes to remember them.
        """
        self._frames.append((iter(steps), size))
        self._under_way += size
        self._run()

    def drop(self) -> None:
        """Forget what has not left, and stop waiting."""
        self._frames.clear()
        self._under_way = 0
        self._stuck = False
        stop, self._stop_waiting = self._stop_waiting, None
        if stop is not None:
            stop()

    def _run(self) -> None:
        if self._running:
            return
        self._running = True
        while self._frames and self._stop_waiting is None:
            steps, size = self._frames[0]
            step = next(steps, None)
            if step is None:
                self._frames.popleft()
                self._under_way -= size
            else:
                self._take(step)
        self._running = False
        held = self._stuck or self._under_way > MAX_UNDER_WAY
        if held != self._holding:
            self._holding = held
            self._hold(held)

    def _take(self, step: Step) -> None:
        if isinstance(step, bytes):
            self._write(step)
        elif isinstance(step, Pause):
            self._wait(step.seconds)
            self._stuck = True
        elif isinstance(step, Until):
            seconds = step.due - self._timers.scheduler.seconds()
            if seconds > 0:
                self._wait(seconds)
        elif isinstance(step, Barrier):
            self._stop_waiting = step.opened.cancel
            self._stuck = True
            step.opened.addCallbacks(self._go_on, _given_up)
        elif isinstance(step, Nagle):
            self._nagle()
        else:
            self.drop()
            self._end(step.reset)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting = self._timers.later(seconds, self._go_on)

    def _go_on(self, result: None = None) -> None:
        self._stop_waiting = None
        self._stuck = False
        self._run()


def _given_up(failure: Failure) -> None:
    """The connection has ended under what was held."""
