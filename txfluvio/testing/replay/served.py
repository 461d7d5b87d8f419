"""What a conversation tells of the logs: the batches that were served, and where logs ended.

Batches behind a SmartModule are not those of a log and are left out. What was never served is
made up (:func:`filler`): records without a content, in the right number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import attrs

from ...errors import UsageError
from ...wire.codes import EvictedDetail
from ...wire.compression import Compression
from ...wire.records import HEADER, Batch, RecordSet, encode_batch, renumber
from ...wire.sc import TopicCompression
from ...wire.spu import (
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchResponse,
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
)
from ..spu.log import PartitionLog, Stored
from ..spu.replica import Key
from .conversation import Conversation, Event

_DELTA, _DELTA_END = 23, 27
"""Where in a batch its last offset delta is."""

_LONGEST_NUMBER = 12
"""More bytes than the two lengths of a record can grow by."""

MOST_MADE_UP = 64 * 1024 * 1024
"""Bytes that are made up at the most for what a recording tells the size of and does not show."""

MOST_OFFSETS = 2**36
"""Offsets that are made up at the most in one log."""

_OFFSETS_OF_BATCH = 2**31 - 1
"""A batch has no room for more."""

_RECORDS_OF_FILLER = 1_000
"""Above so many offsets a filler has fewer records than offsets, as a compacted log would."""


def responses(event: Event) -> Iterator[tuple[Key, PartitionResponse]]:
    """The looks at logs that an answer holds, those through a SmartModule included."""
    message = event.message
    if isinstance(message, StreamFetchResponse):
        yield (message.topic, message.partition.partition_index), message.partition
    elif isinstance(message, FetchResponse):
        for topic in message.topics:
            for partition in topic.partitions:
                yield (topic.name, partition.partition_index), partition


def through_modules(event: Event) -> bool:
    """Whether SmartModules stood between the log and the answer."""
    asked = event.asked
    return isinstance(asked, StreamFetchRequest) and bool(
        asked.smartmodules or asked.smartmodule or asked.wasm_module
    )


@attrs.define
class Served:
    """The batches of one partition that were served, by base offset.

    :ivar batches: those that were served as a whole.
    :ivar beginnings: what is known of those that were cut, and the size of the whole.
    :ivar starts: where the log began at some time, so that a batch has to begin there.
    """

    batches: dict[int, Batch] = attrs.Factory(dict)
    beginnings: dict[int, tuple[bytes, int]] = attrs.Factory(dict)
    starts: set[int] = attrs.Factory(set)

    def add(self, records: RecordSet) -> None:
        """Learn from one answer; what it cuts may be whole in another."""
        for batch in records.batches(check_crc=False):
            self.batches[batch.base_offset] = batch
        fragment, size = records.fragment, records.needed()
        if size is not None:
            base = int.from_bytes(fragment[:8], "big", signed=True)
            known, _ = self.beginnings.get(base, (b"", 0))
            if len(fragment) > len(known):
                self.beginnings[base] = (fragment, size)

    def cut(self) -> int:
        """The bytes of all batches that were never served as a whole."""
        return sum(size for base, (_, size) in self.beginnings.items() if base not in self.batches)

    def tells_of(self, base: int) -> bool:
        """Whether anything is known of a batch that begins at an offset."""
        return base in self.batches or base in self.beginnings

    def covers(self, offset: int) -> bool:
        """Whether an offset is known to lie inside a batch, and not at its beginning."""
        return any(base < offset < one.next_offset for base, one in self.batches.items())

    def between(
        self, start: int, end: int, codec: Compression = Compression.NONE
    ) -> Iterator[Stored]:
        """Batches for the offsets ``[start, end)``: the known ones, and fillers for the gaps.

        :param codec: what fillers are compressed with.
        :raises UsageError: there are too many to be made up.
        """
        if end - start > MOST_OFFSETS:
            raise UsageError(
                f"the recording tells of a log of {end - start} offsets, where"
                f" {MOST_OFFSETS} are the most that can be made up"
            )
        position = start
        for base in sorted({*self.batches, *self.beginnings}):
            if not position <= base < end:
                continue
            stored = self._stored(base, end)
            if stored.end > end:
                continue
            if base > position:
                yield from self._fillers(position, base, codec)
            yield stored
            position = stored.end
        if position < end:
            yield from self._fillers(position, end, codec)

    def _fillers(self, start: int, end: int, codec: Compression) -> Iterator[Stored]:
        bounds = [start, *sorted(one for one in self.starts if start < one < end), end]
        for first, last in pairwise(bounds):
            for base in range(first, last, _OFFSETS_OF_BATCH):
                yield filler(base, min(base + _OFFSETS_OF_BATCH, last), codec=codec)

    def _stored(self, base: int, end: int) -> Stored:
        """The batch that begins at an offset; what is not known of it is made up."""
        batch = self.batches.get(base)
        if batch is not None:
            return Stored(base, batch.next_offset, batch.data[batch.start : batch.end])
        fragment, size = self.beginnings[base]
        if len(fragment) > _DELTA_END:
            following = base + int.from_bytes(fragment[_DELTA:_DELTA_END], "big", signed=True) + 1
        else:
            others = [one for one in (*self.batches, *self.beginnings) if one > base]
            following = min([end, base + _OFFSETS_OF_BATCH, *others])
        made_up = filler(base, following, size).data
        return Stored(base, following, fragment + made_up[len(fragment) :])


def served(conversation: Conversation) -> dict[Key, Served]:
    """What the whole conversation tells of each partition.

    :raises UsageError: batches are cut of which too much would have to be made up.
    """
    found: dict[Key, Served] = {}
    for event in conversation.replies():
        for key, start in _starts(event):
            found.setdefault(key, Served()).starts.add(start)
        if not through_modules(event):
            for key, partition in responses(event):
                found.setdefault(key, Served()).add(partition.records)
    affordable(sum(one.cut() for one in found.values()), "batches that were cut")
    return found


def affordable(size: int, what: str) -> None:
    """Whether so many bytes can be made up.

    :raises UsageError: they can not.
    """
    if size > MOST_MADE_UP:
        raise UsageError(
            f"the recording tells of {size} bytes of {what}, where {MOST_MADE_UP} are the most"
            " that can be made up"
        )


def _starts(event: Event) -> Iterator[tuple[Key, int]]:
    """Where logs began, by what an answer says."""
    message, asked = event.message, event.asked
    if isinstance(message, FetchOffsetsResponse):
        if isinstance(asked, FetchOffsetsRequest) and asked.consumer_id is None:
            for topic in message.topics:
                for end in topic.partitions:
                    yield (topic.name, end.partition_index), end.start_offset
        return
    for key, look in responses(event):
        detail = look.error_code.detail
        if isinstance(detail, EvictedDetail):
            yield key, detail.next_available
        else:
            yield key, look.log_start_offset


def codec_of(policy: TopicCompression) -> Compression:
    """A codec that a topic takes."""
    known: Compression | None = Compression.__members__.get(policy.name)
    return Compression.NONE if known is None else known


def filler(
    start: int, end: int, size: int | None = None, codec: Compression = Compression.NONE
) -> Stored:
    """One batch for offsets of which nothing is known.

    :param size: its bytes, if that can be.
    """
    values = [b""] * min(end - start, _RECORDS_OF_FILLER)
    data = encode_batch(values, compression=codec)
    if size is not None:
        data = _padded(data, values, size)
    batch = Batch(data, 0)
    batch.last_offset_delta = end - start - 1
    return Stored(start, end, renumber(batch.pack(data[HEADER:]), start))


def _padded(data: bytes, values: list[bytes], size: int) -> bytes:
    """A batch of some bytes more, in the value of its first record; their number needs some too."""
    missing = size - len(data)
    for length in range(missing, max(0, missing - _LONGEST_NUMBER), -1):
        padded = encode_batch([bytes(length), *values[1:]])
        if len(padded) == size:
            return padded
    return data


def log_of(
    known: Served, *, segment_size: int, start: int, end: int, hw: int, size: int | None
) -> PartitionLog:
    """A log of these ends, with what is known in it.

    :param size: its bytes, if they were told: the first filler makes up for what is missing.
    """

    def holding(stored: list[Stored]) -> PartitionLog:
        log = PartitionLog(segment_size)
        if start:
            log.begin(start)
        for one in stored:
            log.store(one, 0.0)
        log.hw = min(hw, log.leo)
        return log

    stored = list(known.between(start, end))
    log = holding(stored)
    places = [place for place, one in enumerate(stored) if not known.tells_of(one.base)]
    # Of more bytes the index may be larger, which leaves fewer for the filler.
    for _ in range(2 if size is not None and places else 0):
        place, one = places[0], stored[places[0]]
        stored[place] = filler(one.base, one.end, len(one.data) + (size or 0) - log.size)
        log = holding(stored)
    return log
