"""What ``fluvio-tail`` tells on standard error while it works: figures, and a line of progress.

The line of progress is for people and only drawn on a terminal; ``--stats`` is for whoever reads a
log. Neither ever gets onto standard output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import ConsumerClosed, FluvioError
from .follow import Tally

DRAWING_INTERVAL = 0.2
"""Seconds between two drawings of the line of progress."""

ERASE = "\r\x1b[K"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def in_bytes(size: float) -> str:
    """A number of bytes, in the unit that suits it."""
    for least, unit in _UNITS:
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size:.0f} B"


class Stats:
    """A line of figures every so many seconds: how much since the last, and how far behind.

    :param tally: what to tell of.
    :param say: takes a line.
    """

    _log = Logger()

    def __init__(
        self, tally: Tally, seconds: float, say: Callable[[str], object], clock: IReactorTime
    ) -> None:
        self._tally = tally
        self._seconds = seconds
        self._say = say
        self._clock = clock
        self._before = self._now()
        self._telling: Deferred[None] = succeed(None)
        self._call = LoopingCall(self._turn)
        self._call.clock = clock

    def start(self) -> None:
        """Begin; the first line comes after the first interval."""
        self._before = self._now()
        running = self._call.start(self._seconds, now=False)
        running.addErrback(lambda failure: self._log.failure("no more figures", failure))

    def stop(self) -> None:
        """End; what is not told yet is not told any more."""
        if self._call.running:
            self._call.stop()
        self._telling.cancel()

    def _turn(self) -> Deferred[None]:
        self._telling = Deferred.fromCoroutine(self._tell())
        return self._telling.addErrback(_unless_ended)

    async def _tell(self) -> None:
        # That takes as long as it takes, and turns are left out meanwhile.
        lags = [f"{place} {lag}" for place, lag in (await self._lags()).items()]
        now = self._now()
        seconds, records, size = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        if seconds <= 0:  # The clock was set back.
            seconds = self._seconds
        self._say(
            f"{self._tally.records} records, {in_bytes(self._tally.size)}; "
            f"{records / seconds:.0f} records/s, {in_bytes(size / seconds)}/s; "
            f"lag: {', '.join(lags) or 'none read yet'}"
        )

    def _now(self) -> tuple[float, int, int]:
        return self._clock.seconds(), self._tally.records, self._tally.size

    async def _lags(self) -> dict[str, str]:
        found = {}
        for topic, consumer in list(self._tally.consumers.items()):
            for _, number in consumer.partitions:
                try:
                    lag = str(await consumer.lag(number))
                except ConsumerClosed:
                    # The topic is gone, or the tail ends: no line now, perhaps the next time.
                    raise
                except FluvioError:
                    lag = "?"
                found[f"{topic}/{number}"] = lag
        return found


def _unless_ended(failure: Failure) -> None:
    failure.trap(CancelledError, ConsumerClosed)


class Progress:
    """One line on a terminal that is drawn over and over, and erased before anything else.

    :param draw: writes to the terminal.
    """

    def __init__(self, tally: Tally, draw: Callable[[str], object], clock: IReactorTime) -> None:
        self._tally = tally
        self._draw = draw
        self._clock = clock
        self._drawn = False
        self._held = False
        self._count = 0
        self._since = 0.0
        self._call = LoopingCall(self._redraw)
        self._call.clock = clock

    def start(self) -> None:
        """Begin to draw."""
        self._since = self._clock.seconds()
        self._call.start(DRAWING_INTERVAL, now=False)

    def stop(self) -> None:
        """End, and leave nothing behind."""
        if self._call.running:
            self._call.stop()
        self.erase()

    def erase(self) -> None:
        """Make room for something else."""
        if self._drawn:
            self._drawn = False
            self._draw(ERASE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make room for something else, and draw nothing while that takes its time."""
        self.erase()
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _redraw(self) -> None:
        if self._held:
            return
        tally = self._tally
        sign = _SIGNS[self._count % len(_SIGNS)]
        self._count += 1
        rate = tally.records / max(self._clock.seconds() - self._since, DRAWING_INTERVAL)
        size = in_bytes(tally.size)
        self._drawn = True
        self._draw(f"{ERASE}{sign} {tally.records} records, {size}, {rate:.0f}/s")
