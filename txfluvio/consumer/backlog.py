"""What one partition has received and not handed out yet; pure, no Twisted, no clock.

A :class:`Backlog` turns pushes into :class:`Chunk` lists of records and keeps the two offsets that
everything else follows: ``received``, the end of what came in complete, and ``position``, the next
offset to be handed out. A reply may begin below the offset asked for, may end anywhere inside a
batch, and its batches may hold fewer records than offsets, so both advance over complete batches
only, to ``base_offset + last_offset_delta + 1``. But a producer's batch of many records is read in
parts, between which the position is inside it and the reactor gets its turn.

Where SmartModules ran, the SPU merges what passed into one batch whose offsets mean nothing and
says in ``next_filter_offset`` how far it has come: such a push is handed out as a whole, its
records without offsets. One that ends with a failure is handed out too, but does not move the
position: behind the record that failed, others of its batch were left out. Where they ran on what
was produced, its batch is stored with offsets that may repeat: these are handed out, but the
position passes such a batch as a whole too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from operator import lt
from typing import Final

from ..errors import ProtocolError
from ..wire.records import Batch, BatchLimits, BatchReader, Record, RecordSet

CHUNK_SIZE: Final = 256 * 1024
"""Bytes of the batches in a chunk, if there are several. What they become by decompression counts
too, or a few small ones could fill the memory."""

CHUNK_RECORDS: Final = 690
"""Records of a chunk, decoded in less than a millisecond; a producer's batch of more is read in
parts. From 700 on the garbage collector would look through all that the program has, every time."""
_BATCH_WORK: Final = 5
"""A batch takes the time of so many records besides."""
FRAME_RESERVE: Final = 4096
"""Bytes of a reply that are not records, generously. Of one with more the records are copied, or
the rest would be kept with them and not be counted."""
_MAX_OFFSET: Final = 2**63 - 1


class Chunk:
    """Consecutive records of one partition.

    :ivar records: perhaps none, where all that was received lies outside the limits.
    :ivar start: where the partition's position was before them.
    :ivar end: where it is behind them; not always the last record's offset plus 1, since
        offsets without a record may follow.
    :ivar single: how many of them have a position of their own. The others, what SmartModules made
        of a batch, have one together, and it is passed when all of them are done with.
    """

    __slots__ = ("end", "records", "single", "start")

    def __init__(
        self, records: list[Record], start: int, end: int, single: int | None = None
    ) -> None:
        self.records = records
        self.start = start
        self.end = end
        self.single = len(records) if single is None else single

    def before(self, index: int) -> int:
        """The position when the first ``index`` records are done with, and no more."""
        if index >= len(self.records):
            return self.end
        passed = min(index, self.single)
        return _at(self.records[passed - 1]) + 1 if passed else self.start

    def through(self, offset: int, index: int) -> int:
        """How many of the first ``index`` records have a position of their own up to ``offset``."""
        return bisect_right(self.records, offset, hi=min(index, self.single), key=_at)

    def split(self, index: int) -> tuple[Chunk, Chunk]:
        """The first ``index`` records and the others, as two chunks."""
        middle = self.before(index)
        return (
            Chunk(self.records[:index], self.start, middle, min(index, self.single)),
            Chunk(self.records[index:], middle, self.end, max(0, self.single - index)),
        )


class _Push:
    """What a push has brought, read batch by batch when it is taken: small batches would take many
    times their bytes.

    :ivar pos: where the next batch begins in ``data``.
    :ivar stop: where the last complete one ends.
    :ivar size: bytes that are held for it.
    :ivar end: the offset behind it.
    :ivar jump: whether the position goes there even if that is back.
    """

    __slots__ = ("data", "end", "jump", "pos", "size", "stop")

    def __init__(self, records: RecordSet, stop: int, end: int, *, jump: bool = False) -> None:
        self.data = records.data
        self.pos = records.start
        self.stop = stop
        self.size = len(records)
        self.end = end
        self.jump = jump


class _Large:
    """A batch that is read in parts, about equal.

    :ivar first: the first offset that is wanted of it.
    :ivar behind: the offset behind what was read.
    """

    __slots__ = ("_reader", "_size", "behind", "first")

    def __init__(self, reader: BatchReader, base: int, first: int) -> None:
        parts = -(-reader.left // CHUNK_RECORDS)
        self._reader = reader
        self._size = -(-reader.left // parts)
        self.first = first
        self.behind = base

    @property
    def left(self) -> int:
        return self._reader.left

    def read(self) -> list[Record]:
        """The next part; the rest at once, if it turns out that it has no positions inside.

        :raises ProtocolError: it is damaged, and none of it counts as read.
        """
        reader = self._reader.copy()
        records = reader.read(self._size)
        if records[-1].offset != self.behind + len(records) - 1:
            records += reader.read(reader.left)
        self._reader = reader
        self.behind += len(records)
        return records


class Backlog:
    """The pushes of one partition, in and out.

    :param filtered: whether SmartModules run on the stream.
    :param check_crc: whether the checksum of each batch is compared before it is handed out.
    :param limits: what one batch may come to.

    :ivar position: the offset of the next record to hand out.
    :ivar origin: where the position was put last, which says nothing of what is before it.
    :ivar reached: how far the records had come that were handed out before a jump; None: there were
        none, or the reader was sent elsewhere since.
    :ivar blurred: among these offsets are all that several records, which were taken, may have.
    :ivar received: the end of what was received; what is acknowledged, and where to open again.
    :ivar stop: the first offset not to hand out, or None.
    :ivar held: bytes of the records of all pushes that are not handed out to the end: a push counts
        until its last batch is taken, since the batches share its memory.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        filtered: bool = False,
        check_crc: bool = True,
        limits: BatchLimits | None = None,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._filtered = filtered
        self._check_crc = check_crc
        self._limits = limits
        self._pushes: deque[_Push] = deque()
        self._returned: Chunk | None = None
        self._large: _Large | None = None
        self.position = 0
        self.origin = 0
        self.reached: int | None = None
        self.blurred = range(0)
        self.received = 0
        self.stop: int | None = None
        self.held = 0

    def __bool__(self) -> bool:
        """Whether there is anything to take."""
        return self._returned is not None or bool(self._pushes)

    @property
    def complete(self) -> bool:
        """Whether everything before ``stop`` was received."""
        return self.stop is not None and self.received >= self.stop

    def place(self, offset: int) -> None:
        """Forget everything and go on at ``offset``."""
        self._forget(offset)
        self.origin = offset
        self.reached = None

    def _forget(self, offset: int) -> None:
        self._pushes.clear()
        self._returned = None
        self._large = None
        self.held = 0
        self.position = self.received = offset

    def shed(self) -> None:
        """Forget what can be received again.

        Of what SmartModules made a part can not: if one was given back, it stays. Nor can what is
        before a jump, since the log no longer has it.
        """
        if any(push.jump for push in self._pushes):
            while not self._pushes[-1].jump:
                self.held -= self._pushes.pop().size
            self.received = self._pushes[-1].end
            return
        kept = self._returned
        if kept is None or kept.single:
            self._forget(self.position)
        else:
            self._forget(kept.end)
            self.give_back(kept)

    def jump(self, offset: int) -> None:
        """Go on receiving at ``offset``; what was received is handed out first.

        What was handed out last may be in hand yet: until more is taken, the position is behind it.
        """
        self.received = offset
        if self._pushes and self._pushes[-1].jump:
            self._pushes[-1].end = offset
        elif self or self.position != self.origin:
            self._pushes.append(_Push(RecordSet.EMPTY, 0, offset, jump=True))
        else:
            self.position = self.origin = offset

    def skip(self, offset: int) -> None:
        """Nothing comes before ``offset``: go on there, behind what was received."""
        self.received = offset
        if self:
            self._keep(RecordSet.EMPTY, 0)
        else:
            self._advance(offset)

    def add(
        self,
        records: RecordSet,
        next_filter_offset: int = 0,
        *,
        failed: bool = False,
        committed: int | None = None,
    ) -> bool:
        """Take in what a reply brought; False if it holds no complete batch.

        :param failed: whether a SmartModule has failed on a record behind these.
        :param committed: the high watermark, where nothing above it is to be read.
        :raises ProtocolError: an impossible batch, batches that do not lead on, or that lead beyond
            the high watermark.
        """
        if len(records.data) - len(records) > FRAME_RESERVE:
            records = RecordSet(bytes(records))
        ends = [*records.ends()]
        stop, behind = ends[-1] if ends else (records.start, 0)
        if self._filtered and next_filter_offset > 0:
            if not failed:
                self._must_lead_on(next_filter_offset, bool(ends))
            self._add_filtered(records, stop, self.received if failed else next_filter_offset)
            return True
        end = max([self.received, *(offset for _, offset in ends)])
        if end == self.received:
            if ends:
                raise ProtocolError(
                    f"batches that end at {behind}, not behind {end}", field="records"
                )
            return False
        if end > _MAX_OFFSET:
            raise ProtocolError(f"records up to {end}", field="records")
        if committed is not None and end > committed:
            raise ProtocolError(
                f"records up to {end}, where those below {committed} are committed",
                field="records",
            )
        self.received = end
        self._keep(records, stop)
        return True

    def _must_lead_on(self, end: int, records: bool) -> None:
        """Refuse a push of SmartModules that leads back, or brings records and leads nowhere."""
        if end < self.received or (records and end == self.received):
            raise ProtocolError(
                f"{end} is not behind {self.received}, the position", field="next_filter_offset"
            )

    def _add_filtered(self, records: RecordSet, stop: int, end: int) -> None:
        if stop != records.end:
            raise ProtocolError("what SmartModules made ends inside a batch", field="records")
        self.received = end
        self._keep(records, stop)

    def _keep(self, records: RecordSet, stop: int) -> None:
        self._pushes.append(_Push(records, stop, self.received))
        self.held += len(records)

    def take(self) -> Chunk | None:
        """The next records: a batch, several small ones, or a part of a large one; or None.

        :raises ProtocolError: the next batch, or the next part of it, is damaged. Records before
            that are handed out first, and the position stays there.
        """
        if self._returned is not None:
            chunk, self._returned = self._returned, None
            self.position = chunk.end
            return chunk
        if not self._pushes:
            return None
        push = self._pushes[0]
        if push.jump:
            self._jump_to(push.end)
            return self.take() or Chunk([], push.end, push.end)
        start = self.position
        records: list[Record] = []
        size = work = 0
        single: int | None = 0 if self._filtered else None
        stop = _MAX_OFFSET if self.stop is None else self.stop
        while push.pos < push.stop:
            batch = Batch(push.data, push.pos)
            if not self._filtered and (
                batch.next_offset <= self.position or batch.base_offset >= stop
            ):
                # It was handed out before, or is not wanted.
                push.pos = batch.end
                continue
            size += batch.size
            work += _BATCH_WORK
            if records and (
                size > CHUNK_SIZE or work + batch.last_offset_delta + 1 > CHUNK_RECORDS
            ):
                break
            try:
                found, behind = self._decode(batch)
            except ProtocolError:
                if records:
                    break
                raise
            work += len(found)
            if batch.compressed:
                size += sum(len(record.value) + len(record.key or b"") for record in found)
            if single is None and not _have_positions(batch, found):
                single = len(records)
                self._blur(found)
            if records:
                records += found
            else:
                records = found
            if not self._filtered:
                self._advance(behind)
            if self._large is not None:
                break
            push.pos = batch.end
            if single is not None and not self._filtered:
                break
        if push.pos == push.stop:
            self._pushes.popleft()
            self.held -= push.size
            self._advance(push.end)
        return Chunk(records, start, self.position, single)

    def _blur(self, records: list[Record]) -> None:
        offsets = [_at(record) for record in records]
        first, behind = min(offsets), max(offsets) + 1
        if self.blurred:
            first, behind = min(first, self.blurred.start), max(behind, self.blurred.stop)
        self.blurred = range(first, behind)

    def _jump_to(self, offset: int) -> None:
        """Go where the first push leads, which is a jump and holds nothing."""
        self._pushes.popleft()
        if self.position != self.origin:
            self.reached = self.position
        self.position = self.origin = offset

    def give_back(self, chunk: Chunk) -> None:
        """Take back what was taken last, to be handed out again first."""
        self._returned = chunk
        self.position = chunk.start

    def _advance(self, offset: int) -> None:
        stop = self.stop
        if stop is not None and offset > stop and not self._filtered:
            offset = stop
        if offset > self.position:
            self.position = offset

    def _decode(self, batch: Batch) -> tuple[list[Record], int]:
        """What is wanted of a batch, or of the next part of a large one, and the offset behind."""
        records, first, behind = self._read(batch)
        if self._filtered:
            return records, behind
        stop = self.stop
        if batch.base_offset < first:
            records = [record for record in records if _at(record) >= first]
        if stop is not None and behind > stop:
            records = [record for record in records if _at(record) < stop]
        return records, behind

    def _read(self, batch: Batch) -> tuple[list[Record], int, int]:
        """All of a batch, or the next part of a large one.

        :returns: the records, the first offset that is wanted of the batch, and the offset behind.
        """
        if self._large is None:
            if self._check_crc:
                batch.check_crc()
            self._large = self._in_parts(batch)
        large = self._large
        if large is None:
            records = batch.records(
                self._topic,
                self._partition,
                offsets_known=not self._filtered,
                limits=self._limits,
            )
            return records, self.position, batch.next_offset
        records = large.read()
        if large.left and (self.stop is None or large.behind < self.stop):
            return records, large.first, large.behind
        self._large = None
        return records, large.first, batch.next_offset

    def _in_parts(self, batch: Batch) -> _Large | None:
        """How to read a batch that is long and surely as its producer has sent it; or None.

        In what SmartModules have made of one, on its way into the log or out of it, offsets repeat
        or begin anew, so that no position inside means anything. An SPU gives it no time. Of a
        compressed batch all would have to be kept meanwhile, decompressed.
        """
        count = batch.last_offset_delta + 1
        if count <= CHUNK_RECORDS or self._filtered or batch.compressed or batch.max_timestamp < 0:
            return None
        reader = batch.reader(self._topic, self._partition, limits=self._limits)
        return _Large(reader, batch.base_offset, self.position) if reader.left == count else None


def _have_positions(batch: Batch, records: list[Record]) -> bool:
    """Whether each of the records is behind the one before it, and before what follows the batch.

    Where a SmartModule has run on what was produced, an SPU stores offsets that repeat or begin
    anew, and no time.
    """
    if not records:
        return True
    first, last = _at(records[0]), _at(records[-1])
    if last >= batch.next_offset:
        return False
    if batch.max_timestamp >= 0 and last - first == len(records) - 1:
        return True
    offsets = [_at(record) for record in records]
    return all(map(lt, offsets, offsets[1:]))


def _at(record: Record) -> int:
    assert record.offset is not None
    return record.offset
