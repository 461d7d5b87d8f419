"""The log of one partition: batches as bytes, in segments, with three offsets.

A log knows where every batch begins and which offsets it covers, and never looks inside: batches
are kept, and handed out, as the bytes they came as, with their base offset written in. What may be
appended, who may read and when the high watermark moves is decided in
:mod:`txfluvio.testing.spu.replica`. Nothing here has a clock or does I/O.

The rules are those of ``fluvio-storage/src/{replica,segment,mut_index,cleaner}.rs``: a read begins
at the batch that holds the offset, never crosses a segment, and is cut anywhere; only whole
segments are evicted, never the one being written. A segment has an index, of which nobody sees
more than that it counts.
"""

from __future__ import annotations

import copy
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs
from crc32c import crc32c

from ...wire.codes import Code, ErrorCode, error
from ...wire.records import COVERED_FROM, CRC_AT, Batch, RecordSet
from ...wire.spu import IsolationLevel

DEFAULT_SEGMENT_SIZE = 1_073_741_824

INDEX_INTERVAL = 4096
"""Bytes of batches that come to a segment before the next one is entered into its index."""

INDEX_ENTRY = 8
"""Bytes of an entry. The index of a segment that is full has room for one at the least."""

_BASE_OFFSET = struct.Struct(">q")
_CRC = struct.Struct(">I")


class ReadError(Exception):
    """An offset that can not be read from; ``error`` is what the reader is told."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.error = code


@attrs.frozen
class Slice:
    """What a read found, and the log's offsets at that time.

    :ivar available: the bytes there are to read, whatever the limit.
    :ivar above_hw: a reader of committed records began above the high watermark, where there are
        none. The real SPU answers that with a frame that is too short.
    """

    records: RecordSet
    hw: int
    leo: int
    log_start: int
    available: int = 0
    above_hw: bool = False

    def end(self, isolation: IsolationLevel) -> int:
        """The end of what this isolation can see."""
        return self.hw if isolation is IsolationLevel.READ_COMMITTED else self.leo


@attrs.frozen
class Stored:
    """A batch in a log.

    :ivar base: its first offset.
    :ivar end: the offset behind it, whatever the number of its records.
    """

    base: int
    end: int
    data: bytes = attrs.field(repr=False)

    @property
    def crc(self) -> int:
        """The checksum, which is right."""
        crc: int = _CRC.unpack_from(self.data, CRC_AT)[0]
        return crc


@attrs.frozen
class Segment:
    """Consecutive batches of a log.

    :ivar base: the first offset.
    :ivar written: when the last batch came.
    """

    base: int
    batches: tuple[bytes, ...] = attrs.field(repr=False)
    written: float


class Keeper(Protocol):
    """Has elsewhere what a log has, and is told before anybody else."""

    def append(self, base: int, data: bytes, now: float, /) -> None:
        """A batch has come to the segment that begins at ``base``, the first one makes it."""
        ...

    def replace(self, segments: Sequence[Segment], /) -> None:
        """Batches have gone: this is what is left."""
        ...

    def commit(self, hw: int, /) -> None:
        """The high watermark has moved."""
        ...


class _Segment:
    """Consecutive batches: the bytes, and for each its base offset and where it begins.

    :ivar size: bytes of the batches.
    :ivar entries: how many its index has.
    :ivar unindexed: bytes of batches that have come since the last entry of the index.
    :ivar counted: whether it is part of the log's size once it is full.
    """

    def __init__(self, base: int) -> None:
        self.base = base
        self.end = base
        self.size = 0
        self.entries = 0
        self.unindexed = 0
        self.counted = True
        self.written = 0.0
        self.batches: list[bytes] = []
        self.bases = array("q")
        self.positions = array("q")

    def append(self, batch: Stored, now: float) -> None:
        self.batches.append(batch.data)
        self.bases.append(batch.base)
        self.positions.append(self.size)
        self.size += len(batch.data)
        self.end = batch.end
        self.written = now
        if self.unindexed < INDEX_INTERVAL:
            self.unindexed += len(batch.data)
        else:
            self.entries += 1
            self.unindexed = 0

    @property
    def occupied(self) -> int:
        """Bytes on the disk while it is being written."""
        return self.size + INDEX_ENTRY * self.entries

    @property
    def occupied_full(self) -> int:
        """Bytes on the disk once it is full."""
        return self.size + INDEX_ENTRY * max(1, self.entries)

    def holding(self, offset: int) -> int:
        """The number of the batch that holds ``offset``, one of the segment's."""
        return bisect_right(self.bases, offset) - 1

    def cut(self, start: int, stop: int, limit: int) -> RecordSet:
        """The batches from one position to another, and no more than ``limit`` bytes of them."""
        stop = min(stop, start + limit)
        if stop <= start:
            return RecordSet.EMPTY
        first = bisect_left(self.positions, start)
        last = bisect_left(self.positions, stop)
        return RecordSet(b"".join(self.batches[first:last]), 0, stop - start)

    def stored(self, number: int) -> Stored:
        """A batch, by its number."""
        following = number + 1
        end = self.bases[following] if following < len(self.bases) else self.end
        return Stored(self.bases[number], end, self.batches[number])

    def part(self, first: int, last: int | None = None) -> _Segment:
        """A segment of some of the batches."""
        numbers = range(len(self.batches))[first:last]
        part = _Segment(self.bases[first] if numbers else self.base)
        for number in numbers:
            part.append(self.stored(number), self.written)
        return part

    def copy(self) -> _Segment:
        """The same again."""
        other = copy.copy(self)
        other.batches = list(self.batches)
        other.bases = self.bases[:]
        other.positions = self.positions[:]
        return other


class PartitionLog:
    """The records of one partition.

    :param segment_size: bytes after which a new segment begins.
    :ivar keeper: what has to hear of every change, if anything.
    """

    def __init__(self, segment_size: int = DEFAULT_SEGMENT_SIZE) -> None:
        self.segment_size = segment_size
        self.keeper: Keeper | None = None
        self._hw = 0
        self._segments = [_Segment(0)]
        self._size_of_full = 0

    @property
    def hw(self) -> int:
        """The high watermark: the first offset that is not committed."""
        return self._hw

    @hw.setter
    def hw(self, value: int) -> None:
        if value != self._hw:
            self._hw = value
            if self.keeper is not None:
                self.keeper.commit(value)

    @property
    def leo(self) -> int:
        """The log end offset: the one that the next record gets."""
        return self._segments[-1].end

    @property
    def log_start(self) -> int:
        """The first offset that is still stored."""
        return self._segments[0].base

    @property
    def size(self) -> int:
        """Bytes on the disk as an SPU counts them: all batches, and the indexes of segments."""
        return self._size_of_full + self._segments[-1].occupied

    def size_at(self, end: int) -> int:
        """Its size when it ended at an offset, but for what is no longer there."""
        then = self.copy()
        then.truncate(end)
        return then.size

    @property
    def segments(self) -> int:
        """How many segments there are; only the last is written to."""
        return len(self._segments)

    def end(self, isolation: IsolationLevel) -> int:
        """The end of what this isolation can see."""
        return self.hw if isolation is IsolationLevel.READ_COMMITTED else self.leo

    def __iter__(self) -> Iterator[Stored]:
        """Every batch, oldest first."""
        return self.since(self.log_start)

    def since(self, offset: int) -> Iterator[Stored]:
        """The batches from the one that holds ``offset``, or from the first behind it."""
        for segment in list(self._segments):
            if segment.end > offset:
                for number in range(max(0, segment.holding(offset)), len(segment.batches)):
                    yield segment.stored(number)

    def dump(self) -> Iterator[Segment]:
        """The segments as values, oldest first."""
        for one in self._segments:
            yield Segment(one.base, tuple(one.batches), one.written)

    def begin(self, base: int) -> None:
        """Begin a segment at an offset, the log's end unless the log is empty."""
        if self.leo == self.log_start:
            self._segments = [_Segment(base)]
        else:
            self._roll(base)

    def append(self, batch: Batch, now: float) -> Stored:
        """Store a batch at the end, under its new base offset and with the right checksum.

        The number of records is what the batch says it is, which has to be positive.
        """
        base = self.leo
        stored = Stored(base, base + batch.last_offset_delta + 1, _renumbered(batch, base))
        self.store(stored, now)
        return stored

    def store(self, batch: Stored, now: float) -> None:
        """Store a batch that has its offsets: those at the end of the log."""
        segment = self._segments[-1]
        if segment.batches and segment.size + len(batch.data) > self.segment_size:
            segment = self._roll(segment.end)
        segment.append(batch, now)
        if self.keeper is not None:
            self.keeper.append(segment.base, batch.data, now)

    def _roll(self, base: int) -> _Segment:
        self._size_of_full += self._segments[-1].occupied_full
        segment = _Segment(base)
        self._segments.append(segment)
        return segment

    def reopen(self) -> None:
        """Be what an SPU finds that starts anew: it does not count the segments that are full
        before it has evicted one, and forgets what came since the last entry of an index."""
        for segment in self._segments[:-1]:
            segment.counted = False
        self._segments[-1].unindexed = 0
        self._size_of_full = 0

    def read(self, start: int, isolation: IsolationLevel, max_bytes: int) -> Slice:
        """The batches from the one that holds ``start``, as far as the rules let one read see.

        :param max_bytes: a 32-bit number; a negative one means its unsigned value.
        :raises ReadError: there is no such offset.
        """
        segment = self._find(start)
        if segment is None:
            return Slice(RecordSet.EMPTY, self.hw, self.leo, self.log_start)
        position = segment.positions[segment.holding(start)]
        last = self._last(segment, isolation)
        stop = segment.size if last == len(segment.batches) else segment.positions[last]
        records = segment.cut(position, stop, max_bytes & 0xFFFF_FFFF)
        return Slice(
            records,
            self.hw,
            self.leo,
            self.log_start,
            available=max(0, stop - position),
            above_hw=stop < position,
        )

    def batches(self, start: int, isolation: IsolationLevel) -> Iterator[Batch]:
        """The batches that a read without a limit finds now, none looked at before its turn.

        :raises ReadError: there is no such offset.
        """
        segment = self._find(start)
        if segment is None:
            return iter(())
        batches, last = segment.batches, self._last(segment, isolation)
        return (Batch(batches[number], 0) for number in range(segment.holding(start), last))

    def _last(self, segment: _Segment, isolation: IsolationLevel) -> int:
        """The number of the first batch of a segment that this isolation can not see."""
        if isolation is not IsolationLevel.READ_COMMITTED or self.hw >= segment.end:
            return len(segment.batches)
        if self.hw < segment.base:
            text = f"max offset position: {self.hw} not found"
            raise ReadError(error(Code.OTHER, text=text))
        return segment.holding(self.hw)

    def _find(self, offset: int) -> _Segment | None:
        active = self._segments[-1]
        if offset < self.log_start:
            raise ReadError(
                error(Code.OFFSET_EVICTED, offset=offset, next_available=self.log_start)
            )
        if offset == active.end:
            return None
        if offset > active.end:
            text = f"start offset: {offset} is greater than leo: {active.end}"
            raise ReadError(error(Code.OTHER, text=text))
        index = bisect_right(self._segments, offset, key=lambda segment: segment.base) - 1
        return self._segments[index]

    def expire(self, written_before: float) -> bool:
        """Evict the segments last written before a time, as retention does."""
        kept = [one for one in self._segments[:-1] if one.written >= written_before]
        return self._evict_to([*kept, self._segments[-1]])

    def shrink(self, max_size: int) -> bool:
        """Evict as many segments as a log above ``max_size`` bytes loses: full ones are counted."""
        excess = self.size - max_size
        if excess <= 0:
            return False
        surplus = min(-(-excess // self.segment_size), len(self._segments) - 1)
        return self._evict_to(self._segments[surplus:])

    def evict(self, before: int) -> bool:
        """Drop every batch that ends at ``before`` or earlier, whatever its segment.

        More than retention can do, which spares the last segment and never divides one.
        """
        kept = [segment for segment in self._segments if segment.end > before]
        if not kept:
            kept = [_Segment(self.leo)]
        elif kept[0].base < before:
            kept[0] = kept[0].part(kept[0].holding(before))
        self.hw = max(self.hw, kept[0].base)
        return self._evict_to(kept)

    def truncate(self, end: int) -> bool:
        """Drop every batch that reaches beyond ``end``, as a follower of a shorter leader does."""
        if end >= self.leo:
            return False
        kept = [segment for segment in self._segments if segment.base < end]
        if not kept:
            kept = [_Segment(min(end, self.log_start))]
        elif kept[-1].end > end:
            kept[-1] = kept[-1].part(0, kept[-1].holding(end))
        self._keep(kept)
        self.hw = min(self.hw, self.leo)
        return True

    def agreement(self, other: PartitionLog) -> int:
        """Where the batches end that another log has as well, one after another from its beginning
        on; the beginning of this one if that is none.

        Behind the first that differs others may be alike: what was sent again to another leader has
        its old place if as much came before it.
        """
        end = self.log_start
        for stored in self:
            if stored.end <= other.log_start:
                continue
            if stored not in other:
                break
            end = stored.end
        return end

    def __contains__(self, batch: Stored) -> bool:
        for segment in reversed(self._segments):
            if segment.base <= batch.base < segment.end:
                return segment.stored(segment.holding(batch.base)) == batch
        return False

    def copy(self) -> PartitionLog:
        """Another log of the same batches; what happens to one does not happen to the other."""
        other = PartitionLog(self.segment_size)
        other.hw = self.hw
        other._keep([segment.copy() for segment in self._segments])
        return other

    def successor(self) -> PartitionLog:
        """A copy that is kept from now on where this log was, which nothing happens to any more."""
        other = self.copy()
        other.keeper, self.keeper = self.keeper, None
        return other

    def _evict_to(self, segments: list[_Segment]) -> bool:
        """Keep these segments and, if that is news, count them anew."""
        if segments != self._segments:
            for segment in segments:
                segment.counted = True
        return self._keep(segments)

    def _keep(self, segments: list[_Segment]) -> bool:
        changed = segments != self._segments
        self._segments = segments
        self._size_of_full = sum(one.occupied_full for one in segments[:-1] if one.counted)
        if changed and self.keeper is not None:
            self.keeper.replace(list(self.dump()))
        return changed


def _renumbered(batch: Batch, base: int) -> bytes:
    """The bytes of a batch with another base offset and the right checksum, copied once."""
    view = memoryview(batch.data)[batch.start : batch.end]
    crc = crc32c(view[COVERED_FROM:])
    if crc == batch.crc:
        return b"".join((_BASE_OFFSET.pack(base), view[_BASE_OFFSET.size :]))
    middle = view[_BASE_OFFSET.size : CRC_AT]
    return b"".join((_BASE_OFFSET.pack(base), middle, _CRC.pack(crc), view[COVERED_FROM:]))
