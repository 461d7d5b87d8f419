"""The requests about one partition, and what their replies say about it; pure.

Requests and replies of an SPU name several topics and partitions at once. The consumer asks about
one at a time, so that each stream goes its own way.
"""

from __future__ import annotations

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


@attrs.frozen
class Target:
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"

    def ask_ends(self) -> FetchOffsetsRequest:
        """Ask for the ends of the log."""
        partition = FetchOffsetPartition(partition_index=self.partition)
        return FetchOffsetsRequest(
            topics=(FetchOffsetTopic(name=self.topic, partitions=(partition,)),)
        )

    def ends(self, reply: FetchOffsetsResponse) -> tuple[int, int]:
        """The first offset in the log, and the high watermark.

        :raises BrokerError: the error in the reply; its zeros would pass for an empty log.
        :raises ProtocolError: one of them is negative, which no log's is. The first may be above
            the high watermark, where retention goes on while a replica is down.
        """
        for topic in reply.topics:
            for found in topic.partitions:
                if (topic.name, found.partition_index) == (self.topic, self.partition):
                    self.check(found.error_code)
                    ends = found.start_offset, found.last_stable_offset
                    if min(ends) < 0:
                        raise ProtocolError(
                            f"{self} from {ends[0]} to {ends[1]}", message=type(reply).__name__
                        )
                    return ends
        raise self._left_out(reply)

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
        raise self._left_out(reply)

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
            raise self._left_out(push)
        return push.partition

    def error(self, code: ErrorCode) -> BrokerError:
        """The error that a code stands for."""
        return code.exception(str(self))

    def check(self, code: ErrorCode) -> None:
        """Raise the error that a code stands for, if it is one."""
        if code:
            raise self.error(code)

    def _left_out(self, reply: object) -> ProtocolError:
        return ProtocolError(f"says nothing about {self}", message=type(reply).__name__)


def acknowledge(offset: int) -> UpdateOffsetsRequest:
    """Tell the connection's stream to send from ``offset`` on."""
    return UpdateOffsetsRequest(offsets=(OffsetUpdate(offset=offset, session_id=STREAM_ID),))


def store(offset: int) -> UpdateConsumerOffsetRequest:
    """Store the offset of a last processed record for the consumer of the connection's stream."""
    return UpdateConsumerOffsetRequest(offset=offset, session_id=STREAM_ID)
