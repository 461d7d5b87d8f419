"""What a conversation tells of the logs: the batches that were served, and where logs ended.

Batches behind a SmartModule are not those of a log and are left out. What was never served is
made up (:func:`filler`): records without a content, in the right number.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ...wire.records import PREAMBLE, Batch, RecordSet, encode_batch, renumber
from ...wire.spu import (
    FetchResponse,
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
)
from ..log import PartitionLog, Stored
from ..replica import Key
from .conversation import Conversation, Event

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
    """The batches of one partition that were served, by base offset, each as far as it is known."""

    batches: dict[int, Batch] = attrs.Factory(dict)

    def add(self, records: RecordSet) -> None:
        """Learn from one answer; what it cuts may be whole in another."""
        for batch in records.batches(check_crc=False):
            self.batches[batch.base_offset] = batch
        fragment = records.fragment
        if len(fragment) <= PREAMBLE + 45:
            return
        size = records.needed() or 0
        cut = Batch(fragment + bytes(size - len(fragment)), 0)
        if cut.base_offset not in self.batches:
            self.batches[cut.base_offset] = cut

    def between(self, start: int, end: int) -> Iterator[Stored]:
        """Batches for the offsets ``[start, end)``: the known ones, and fillers for the gaps."""
        position = start
        for base in sorted(self.batches):
            batch = self.batches[base]
            if base < position or batch.next_offset > end or batch.last_offset_delta < 0:
                continue
            if base > position:
                yield filler(position, base)
            yield Stored(base, batch.next_offset, batch.data[batch.start : batch.end])
            position = batch.next_offset
        if position < end:
            yield filler(position, end)


def served(conversation: Conversation) -> dict[Key, Served]:
    """What the whole conversation tells of each partition."""
    found: dict[Key, Served] = {}
    for event in conversation.replies():
        if not through_modules(event):
            for key, partition in responses(event):
                found.setdefault(key, Served()).add(partition.records)
    return found


def filler(start: int, end: int, size: int | None = None) -> Stored:
    """One batch for offsets of which nothing is known.

    :param size: its bytes, if that can be.
    """
    count = min(end - start, _RECORDS_OF_FILLER)
    values = [b""] * count
    data = encode_batch(values)
    missing = 0 if size is None else size - len(data)
    while missing > 0:
        values[0] = bytes(len(values[0]) + missing)
        data = encode_batch(values)
        missing = 0 if size is None or size - len(data) == missing else size - len(data)
        if missing < 0:
            values[0] = values[0][:missing]
            data = encode_batch(values)
            break
    batch = Batch(data, 0)
    batch.last_offset_delta = end - start - 1
    return Stored(start, end, renumber(batch.pack(data[57:]), start))


def log_of(
    known: Served, *, segment_size: int, start: int, end: int, hw: int, size: int | None
) -> PartitionLog:
    """A log of these ends, with what is known in it.

    :param size: its bytes, if they were told: the first filler makes up for what is missing.
    """
    log = PartitionLog(segment_size)
    if start:
        log.begin(start)
    stored = list(known.between(start, end))
    fillers = [one for one in stored if one.base not in known.batches]
    if size is not None and fillers:
        wanted = size - sum(len(one.data) for one in stored if one is not fillers[0])
        position = stored.index(fillers[0])
        stored[position] = filler(fillers[0].base, fillers[0].end, wanted)
    for one in stored:
        log.store(one, 0.0)
    log.hw = min(hw, log.leo)
    return log
