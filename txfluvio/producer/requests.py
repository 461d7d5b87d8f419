"""The requests that get batches of one partition stored, and what their replies say; pure.

Requests and replies name several topics and partitions at once. A producer sends the batches of one
partition at a time, so that each goes its own way.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..cluster import Chain
from ..config import Isolation, ProducerConfig
from ..errors import Effect, NotLeaderForPartition, ProtocolError
from ..wire.records import RecordSet
from ..wire.spu import (
    ACKS_ALL,
    ACKS_LEADER,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from .outcomes import Outcome


class Requests:
    """The requests for one partition, as the settings ask for them.

    :param chain: the SmartModules that the leader runs over the batches.

    :ivar committed: whether the leader answers only when all replicas have the records.
    """

    def __init__(self, topic: str, partition: int, config: ProducerConfig, chain: Chain) -> None:
        self._topic = topic
        self._partition = partition
        self._chain = chain
        self._replicas_ms = int(config.replication_timeout * 1000)
        self.committed = config.isolation is Isolation.READ_COMMITTED

    def __str__(self) -> str:
        return f"{self._topic}/{self._partition}"

    def produce(self, batches: Sequence[bytes]) -> ProduceRequest:
        """Store these batches, in their order."""
        partitions = tuple(
            [
                PartitionProduceData(partition_index=self._partition, records=RecordSet(batch))
                for batch in batches
            ]
        )
        return ProduceRequest(
            isolation=ACKS_ALL if self.committed else ACKS_LEADER,
            timeout_ms=self._replicas_ms,
            topics=(TopicProduceData(name=self._topic, partitions=partitions),),
            smartmodules=self._chain.invocations,
        )

    def outcomes(
        self, reply: ProduceResponse, batches: int, *, tells_offsets: bool
    ) -> list[Outcome]:
        """What became of each batch of a request.

        :param batches: how many those were.
        :param tells_offsets: whether the offsets in the reply mean something.
        :raises ProtocolError: it is about something else, or says what can not be.
        """
        outcomes = []
        for topic in reply.responses:
            for entry in topic.partitions:
                if (topic.name, entry.partition_index) != (self._topic, self._partition):
                    raise ProtocolError(
                        f"an answer for {topic.name}/{entry.partition_index}"
                        f" to a Produce for {self}",
                        message="ProduceResponse",
                    )
                outcomes.append(self._outcome(entry, tells_offsets))
        if len(outcomes) != batches:
            raise ProtocolError(
                f"{len(outcomes)} answers to {batches} batches", message="ProduceResponse"
            )
        return outcomes

    def _outcome(self, entry: PartitionProduceResponse, tells_offsets: bool) -> Outcome:
        code = entry.error_code
        if code:
            error = self._chain.error(code, str(self))
            if self.committed and isinstance(error, NotLeaderForPartition):
                # It may have stopped leading after it had appended, while it waited for replicas.
                error.effect = Effect.UNKNOWN
            return error
        if not tells_offsets:
            return None
        if entry.base_offset < 0:
            raise ProtocolError(
                f"records stored at {entry.base_offset}",
                message="ProduceResponse",
                field="base_offset",
            )
        return entry.base_offset
