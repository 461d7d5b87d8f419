"""What clients have produced, read off the journal: also what was refused, lost or cut since.

What is stored at present is another question, and is answered by the logs.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ..wire.records import Record, RecordSet
from ..wire.spu import ProduceRequest
from .server.journal import Journal


@attrs.frozen(kw_only=True)
class Produced:
    """What one Produce had for one partition.

    :ivar time: when it came, in seconds, by the fake's ``now()``.
    :ivar spu: who received it: ``SPU`` and its id.
    :ivar connection: the number of the connection.
    :ivar acks_all: whether the client waits for all replicas.
    :ivar data: the batches.
    """

    time: float
    spu: str
    connection: int
    topic: str
    partition: int
    acks_all: bool
    data: RecordSet = attrs.field(repr=False)

    @property
    def records(self) -> list[Record]:
        """The records, decoded; their offsets count from the beginning of each batch.

        :raises ProtocolError: they are damaged.
        """
        return [
            record
            for batch in self.data.batches(check_crc=False)
            for record in batch.records(self.topic, self.partition)
        ]

    @property
    def values(self) -> list[bytes]:
        """The values of the records.

        :raises ProtocolError: they are damaged.
        """
        return [record.value for record in self.records]


def produced(
    journal: Journal, topic: str | None = None, partition: int | None = None
) -> Iterator[Produced]:
    """What came for a topic and a partition, or for all, as far as the journal goes back."""
    for entry in journal.requests(ProduceRequest.api.name):
        message = entry.message
        if not isinstance(message, ProduceRequest):
            continue
        for one in message.topics:
            for data in one.partitions:
                if topic in (None, one.name) and partition in (None, data.partition_index):
                    yield Produced(
                        time=entry.time,
                        spu=entry.server,
                        connection=entry.connection,
                        topic=one.name,
                        partition=data.partition_index,
                        acks_all=message.isolation < 0,
                        data=data.records,
                    )
