"""Where logs began and ended before a recorded conversation, and what consumers had stored.

What counts is the first that was said of a log, before anybody is known to have appended to it: by
the status of its partition, by an answer about its ends, by the place of the first record produced.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ...wire.codes import Code, ReplicaKey
from ...wire.sc import (
    PartitionStatus,
)
from ...wire.spu import (
    ConsumerOffset,
    DeleteConsumerOffsetRequest,
    FetchConsumerOffsetsResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    StreamFetchRequest,
    UpdateConsumerOffsetRequest,
)
from ..sc import lifecycle
from ..spu.log import PartitionLog
from ..spu.replica import Key, replica_log
from ..spu.stored_offsets import STORED_OFFSETS
from .conversation import Conversation, Event
from .objects import Objects
from .served import MOST_MADE_UP, Served, log_of, responses

Consumer = tuple[Key, str]
"""A partition, and the id of a consumer of it."""


def logs_of(
    conversation: Conversation,
    partitions: Objects,
    known: Mapping[Key, Served],
    stored_offsets: int,
) -> dict[Key, PartitionLog]:
    """The log of each partition, as large as was told while there is room to make that up.

    :param stored_offsets: how many records at the end of ``consumer-offset`` are still to come.
    """
    ends = _Ends(conversation)
    found = {}
    room = MOST_MADE_UP
    for name, item in partitions.items():
        key = lifecycle.partition_key(name)
        status: PartitionStatus = item.status
        start, leo, hw = ends.of(key, status)
        if len(item.spec.replicas) == 1:
            hw = leo
        if key == STORED_OFFSETS:
            leo = max(0, leo - stored_offsets)
        size = status.size if 0 < status.size <= room and status.leader.leo == leo else None
        room -= size or 0
        found[key] = log_of(
            known.get(key, Served()),
            segment_size=replica_log(item.spec).segment_size,
            start=min(start, leo),
            end=leo,
            hw=hw,
            size=size,
        )
    return found


def unsized_logs(logs: Mapping[Key, PartitionLog], partitions: Objects) -> Iterator[Key]:
    """The partitions of whose logs the size is not known, or not what it will be."""
    for name, item in partitions.items():
        key = lifecycle.partition_key(name)
        reported = item.status.leader.leo == logs[key].leo
        if item.spec.deduplication or not (reported and item.status.size == logs[key].size):
            yield key


class _Ends:
    """What is told of the ends of logs before anything was appended to them."""

    def __init__(self, conversation: Conversation) -> None:
        self._starts: dict[Key, int] = {}
        self._hws: dict[Key, int] = {}
        self._leos: dict[Key, int] = {}
        self._over: set[Key] = set()
        for event in conversation.events:
            self._learn(event)

    def of(self, key: Key, status: PartitionStatus) -> tuple[int, int, int]:
        """Start, end and high watermark of a log, whose leader had reported ``status``."""
        hw = self._hws.get(key, max(0, status.leader.hw))
        leo = max(self._leos.get(key, 0), hw, status.leader.leo)
        return self._starts.get(key, 0), leo, hw

    def _learn(self, event: Event) -> None:
        message, asked = event.message, event.asked
        if isinstance(message, ProduceResponse) and isinstance(asked, ProduceRequest):
            self._learn_from_produce(message, asked)
        elif isinstance(message, FetchOffsetsResponse) and isinstance(asked, FetchOffsetsRequest):
            for topic in message.topics:
                for end in topic.partitions:
                    key = (topic.name, end.partition_index)
                    if end.error_code:
                        continue
                    if asked.consumer_id is None:
                        self._starts.setdefault(key, end.start_offset)
                    if key not in self._over:
                        self._hws.setdefault(key, end.last_stable_offset)
        else:
            for key, one in responses(event):
                self._learn_from_look(key, one, event)

    def _learn_from_produce(self, answer: ProduceResponse, asked: ProduceRequest) -> None:
        for topic, sent in zip(answer.responses, asked.topics, strict=False):
            for one, entry in zip(topic.partitions, sent.partitions, strict=False):
                key = (topic.name, one.partition_index)
                if wrote(one, entry) and key not in self._over:
                    self._leos.setdefault(key, one.base_offset)
                    self._over.add(key)

    def _learn_from_look(self, key: Key, look: Any, event: Event) -> None:
        code, detail = look.error_code.code, look.error_code.detail
        if code == Code.OFFSET_EVICTED:
            self._starts.setdefault(key, detail.next_available)
        elif code == Code.OTHER and "greater than leo: " in detail.text:
            if key not in self._over:
                self._leos.setdefault(key, int(detail.text.rpartition(" ")[2]))
        elif not code:
            self._starts.setdefault(key, look.log_start_offset)
            asked = event.asked
            live = isinstance(asked, StreamFetchRequest) and any(
                batch.base_offset >= max(self._hws.get(key, 0), self._leos.get(key, 0))
                for batch in look.records.batches(check_crc=False)
            )
            if live and key in self._hws:
                self._over.add(key)
            elif key not in self._over:
                self._hws.setdefault(key, look.high_watermark)


def wrote(answer: PartitionProduceResponse, entry: PartitionProduceData) -> bool:
    """Whether an entry of a Produce was appended, at the offset that its answer says."""
    code = answer.error_code.code
    return len(entry.records) > 0 and code in (Code.NONE, Code.REQUEST_TIMED_OUT)


def stored_by_consumers(conversation: Conversation) -> tuple[ConsumerOffset, ...]:
    """What consumers had stored, as far as somebody asked before it was changed."""
    found: dict[Consumer, ConsumerOffset] = {}
    touched: set[Consumer] = set()
    streams: dict[tuple[int, int], Consumer] = {}
    opened: Counter[int] = Counter()
    for event in conversation.events:
        message = event.message
        if isinstance(message, StreamFetchRequest):
            opened[event.connection] += 1
            if message.consumer_id is not None:
                key = (message.topic, message.partition)
                streams[event.connection, opened[event.connection]] = (key, message.consumer_id)
        elif isinstance(message, UpdateConsumerOffsetRequest):
            stream = streams.get((event.connection, message.session_id))
            if stream is not None:
                touched.add(stream)
        elif isinstance(message, DeleteConsumerOffsetRequest):
            replica = message.replica_id
            touched.add(((replica.topic, replica.partition), message.consumer_id))
        else:
            for consumer, offset in _told_of_consumers(event):
                if consumer not in touched:
                    found.setdefault(consumer, offset)
    return tuple(found.values())


def _told_of_consumers(event: Event) -> Iterator[tuple[Consumer, ConsumerOffset]]:
    """What an answer tells of stored offsets: a list does, and so do the ends at version 23."""
    message, asked = event.message, event.asked
    if isinstance(message, FetchConsumerOffsetsResponse):
        for one in message.consumers:
            key = (one.replica_id.topic, one.replica_id.partition)
            yield (key, one.consumer_id), one
    elif isinstance(message, FetchOffsetsResponse) and isinstance(asked, FetchOffsetsRequest):
        consumer = asked.consumer_id
        for topic in message.topics if consumer is not None else ():
            for end in topic.partitions:
                if consumer is None or end.error_code or not end.start_offset:
                    continue
                replica = ReplicaKey(topic=topic.name, partition=end.partition_index)
                offset = ConsumerOffset(
                    consumer_id=consumer,
                    replica_id=replica,
                    offset=end.start_offset - 1,
                    modified_time=0,
                )
                yield ((topic.name, end.partition_index), consumer), offset
