"""Where a partition's log is read from, found and checked against the log's ends; pure.

A leader tells two ends: the first offset it has, and the high watermark, the end of what all
replicas have. Where its log really ends it tells nobody; a stream that starts behind that is
refused with a code for anything. So a position below the beginning is noticed at once, one beyond
the end only then.
"""

from __future__ import annotations

from ..config import OffsetReset
from ..errors import BrokerError, FluvioError, LogTruncated, OffsetEvicted, OffsetOutOfRange
from ..offset import Offset, OffsetKind
from .backlog import Backlog
from .requests import Target


class Place:
    """The place of one partition: first as the user gave it, then as a position in the log.

    :param start: where to start.
    :param stored: the offset stored for the consumer, for ``Offset.stored()``, or None.
    :param stop: the first offset not to read; resolved with the first ends that are seen.
    :param reset: what to do about a position that is not in the log.

    :ivar known: whether the position is known.
    :ivar confirmed: whether the position has been in the log: something was received, or stored.
        It matters for the error, and so only where nothing is reset.
    """

    def __init__(
        self,
        target: Target,
        backlog: Backlog,
        *,
        start: Offset,
        stored: int | None,
        stop: Offset | None,
        reset: OffsetReset,
    ) -> None:
        self._target = target
        self._backlog = backlog
        self._start: Offset | None = start
        self._stored = stored
        self._stop = stop
        self._reset = reset
        self.known = False
        self.confirmed = False

    def seek(self, to: Offset) -> None:
        """Forget the position and what was received; go on at another."""
        self.confirmed = False
        self._stored = None
        if to.kind is OffsetKind.ABSOLUTE:
            self._start = None
            self.known = True
            self._backlog.place(to.n)
        else:
            self._start = to
            self.known = False
            self._backlog.place(self._backlog.position)

    def find(self, first: int, end: int) -> FluvioError | None:
        """Find the position in a log from ``first`` on with the high watermark ``end``.

        :return: an error where it is gone from the log and there is nothing to be done about it.
        """
        if self._stop is not None:
            self._backlog.stop = self._stop.resolve(first, end)
            self._stop = None
        if self._start is not None:
            self._backlog.place(self._resolve(self._start, first, end))
            self._start = None
        self.known = True
        position = self._backlog.received
        if position >= first or self._backlog.complete:
            return None
        error = OffsetEvicted(what=str(self._target), offset=position, next_available=first)
        return self._lost(error, first, end)

    def beyond(self, end: int, refusal: BrokerError) -> FluvioError | None:
        """The position is beyond the log's end: an SPU has refused to start there.

        Where it is reset to the beginning, the next :meth:`find` finds where that is.

        :param end: the high watermark.
        :return: an error where there is nothing to be done about it.
        """
        position = self._backlog.received
        error: FluvioError
        if self.confirmed:
            error = LogTruncated(self._target.topic, self._target.partition, position, end)
        else:
            error = OffsetOutOfRange(what=str(self._target), detail=refusal.detail)
        error.__cause__ = refusal
        return self._lost(error, 0, end)

    def can_reset(self, error: FluvioError) -> bool:
        """Whether looking at the ends of the log again and going on there is wanted and helps."""
        return isinstance(error, OffsetEvicted) and self._reset is not OffsetReset.ERROR

    def _resolve(self, start: Offset, first: int, end: int) -> int:
        if start.kind is OffsetKind.STORED and self._stored is not None:
            self.confirmed = True
        return start.resolve(first, end, self._stored)

    def _lost(self, error: FluvioError, first: int, end: int) -> FluvioError | None:
        match self._reset:
            case OffsetReset.ERROR:
                return error
            case OffsetReset.EARLIEST:
                self._backlog.jump(first)
            case OffsetReset.LATEST:
                # Retention may take what is not replicated, too.
                self._backlog.jump(max(first, end))
        return None
