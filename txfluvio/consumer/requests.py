"""The requests about one partition, and what their replies say about it; pure.

Requests and replies of an SPU name several topics and partitions at once. The consumer asks about
one at a time, so that each stream goes its own way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import attrs

from ..config import Isolation
from ..errors import BrokerError, ProtocolError
from ..wire.codes import ErrorCode
from ..wire.records import HEADER, Batch
from ..wire.spu import (
    FetchOffsetPartition,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopic,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    IsolationLevel,
    OffsetUpdate,
    PartitionResponse,
    StreamFetchResponse,
    UpdateConsumerOffsetRequest,
    UpdateOffsetsRequest,
)

LONGEST_HEADER = HEADER + 4
"""Bytes of a batch's header, a schema id included."""

STREAM_ID = 1
"""The id of the first stream of a connection, known before its first push tells it."""


class LogEnds(NamedTuple):
    """The ends of a partition's log, as its leader has told them.

    :ivar first: the first offset in it. Retention may take it beyond the high watermark, while a
        replica is down.
    :ivar high_watermark: the end of what all replicas have, and so the offset of the next record
        to get there; 0 where nothing ever did.
    """

    first: int
    high_watermark: int


@attrs.frozen
class Target:
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"

    def ask_ends(self) -> FetchOffsetsRequest:
        """Ask for the ends of the log."""
        return ask_ends(self.topic, (self.partition,))

    def ends(self, reply: FetchOffsetsResponse) -> LogEnds:
        """The ends of the log; raises as :func:`told_ends`."""
        return told_ends(reply, self.topic, (self.partition,))[self.partition]

    def fetch(self, offset: int, max_bytes: int, isolation: Isolation) -> FetchRequest:
        """Read once, from ``offset`` on, at most ``max_bytes`` of records."""
        partition = FetchPartition(partition_index=self.partition, fetch_offset=offset)
        return FetchRequest(
            max_bytes=max_bytes,
            isolation_level=IsolationLevel(isolation),
            topics=(FetchTopic(name=self.topic, fetch_partitions=(partition,)),),
        )

    def fetched(self, reply: FetchResponse) -> PartitionResponse:
        """What was read.

        :raises BrokerError: the error in the reply.
        """
        self.check(reply.error_code)
        for topic in reply.topics:
            for brought in topic.partitions:
                if (topic.name, brought.partition_index) == (self.topic, self.partition):
                    self.check(brought.error_code)
                    return brought
        raise self.left_out(reply)

    def next_batch(self, reply: FetchResponse) -> int | None:
        """Where the batch behind the first one begins, of which no more than the header was read.

        :return: None if not even that was read.
        """
        records = self.fetched(reply).records
        whole = len(records) >= LONGEST_HEADER
        return Batch(records.data, records.start).next_offset if whole else None

    def pushed(self, push: StreamFetchResponse) -> PartitionResponse:
        """What a push brought, perhaps together with an error."""
        if (push.topic, push.partition.partition_index) != (self.topic, self.partition):
            raise self.left_out(push)
        return push.partition

    def error(self, code: ErrorCode) -> BrokerError:
        """The error that a code stands for."""
        return code.exception(str(self))

    def check(self, code: ErrorCode) -> None:
        """Raise the error that a code stands for, if it is one."""
        if code:
            raise self.error(code)

    def left_out(self, reply: object) -> ProtocolError:
        """The error of a reply that should be about this partition."""
        return ProtocolError(f"says nothing about {self}", message=type(reply).__name__)


def ask_ends(topic: str, partitions: Iterable[int]) -> FetchOffsetsRequest:
    """Ask for the ends of the logs of some partitions."""
    asked = tuple([FetchOffsetPartition(partition_index=number) for number in partitions])
    return FetchOffsetsRequest(topics=(FetchOffsetTopic(name=topic, partitions=asked),))


def told_ends(
    reply: FetchOffsetsResponse, topic: str, partitions: Iterable[int]
) -> dict[int, LogEnds]:
    """The ends of the logs of some partitions, by number.

    :raises BrokerError: an error in the reply; its zeros would pass for an empty log.
    :raises ProtocolError: one of them is left out, or negative, which no log's is.
    """
    found = {
        one.partition_index: one
        for about in reply.topics
        if about.name == topic
        for one in about.partitions
    }
    told = {}
    for number in partitions:
        target = Target(topic, number)
        if number not in found:
            raise target.left_out(reply)
        target.check(found[number].error_code)
        ends = LogEnds(found[number].start_offset, found[number].last_stable_offset)
        if min(ends) < 0:
            raise ProtocolError(
                f"{target} from {ends.first} to {ends.high_watermark}", message=type(reply).__name__
            )
        told[number] = ends
    return told


def acknowledge(offset: int) -> UpdateOffsetsRequest:
    """Tell the connection's stream to send from ``offset`` on."""
    return UpdateOffsetsRequest(offsets=(OffsetUpdate(offset=offset, session_id=STREAM_ID),))


def store(offset: int) -> UpdateConsumerOffsetRequest:
    """Store the offset of a last processed record for the consumer of the connection's stream."""
    return UpdateConsumerOffsetRequest(offset=offset, session_id=STREAM_ID)
