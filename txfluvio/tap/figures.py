"""What ``fluvio-tail`` tells on standard error while it works: figures, and a line of progress.

The line of progress is for people and only drawn on a terminal; ``--stats`` is for whoever reads a
log. Neither ever gets onto standard output.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..errors import FluvioError
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
        self._before = (0, 0)
        self._call = LoopingCall(lambda: Deferred.fromCoroutine(self._tell()))
        self._call.clock = clock

    def start(self) -> None:
        """Begin; the first line comes after the first interval."""
        running = self._call.start(self._seconds, now=False)
        running.addErrback(lambda failure: self._log.failure("no more figures", failure))

    def stop(self) -> None:
        """End."""
        if self._call.running:
            self._call.stop()

    async def _tell(self) -> None:
        tally = self._tally
        now = (tally.records, tally.size)
        records, size = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        lags = [f"{place} {lag}" for place, lag in (await self._lags()).items()]
        self._say(
            f"{tally.records} records, {in_bytes(tally.size)}; "
            f"{records / self._seconds:.0f} records/s, {in_bytes(size / self._seconds)}/s; "
            f"lag: {', '.join(lags) or 'none read yet'}"
        )

    async def _lags(self) -> dict[str, str]:
        found = {}
        for topic, consumer in list(self._tally.consumers.items()):
            for _, number in consumer.partitions:
                try:
                    lag = str(await consumer.lag(number))
                except FluvioError:
                    lag = "?"
                found[f"{topic}/{number}"] = lag
        return found


class Progress:
    """One line on a terminal that is drawn over and over, and erased before anything else.

    :param draw: writes to the terminal.
    """

    def __init__(self, tally: Tally, draw: Callable[[str], object], clock: IReactorTime) -> None:
        self._tally = tally
        self._draw = draw
        self._clock = clock
        self._drawn = False
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

    def _redraw(self) -> None:
        tally = self._tally
        sign = _SIGNS[self._count % len(_SIGNS)]
        self._count += 1
        rate = tally.records / max(self._clock.seconds() - self._since, DRAWING_INTERVAL)
        size = in_bytes(tally.size)
        self._drawn = True
        self._draw(f"{ERASE}{sign} {tally.records} records, {size}, {rate:.0f}/s")
