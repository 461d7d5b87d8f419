"""One SPU without sockets or a cluster, and a client that speaks to it in whole frames."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.task import Clock

from tests.testing.sc_kit import Call, Client, ReplyT
from txfluvio.testing.releases import FLUVIO_0_18, Release
from txfluvio.testing.server.journal import Journal
from txfluvio.testing.server.protocol import Complaint, Server
from txfluvio.testing.spu.port import SpuPort
from txfluvio.testing.spu.replica import Key, Replica
from txfluvio.testing.spu.spu import Spu
from txfluvio.testing.timers import Timers
from txfluvio.wire.codes import ErrorCode
from txfluvio.wire.records import Batch, RecordSet, encode_batch
from txfluvio.wire.sc import PartitionSpec
from txfluvio.wire.schema import Request
from txfluvio.wire.spu import (
    ACKS_LEADER,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    IsolationLevel,
    OffsetUpdate,
    PartitionProduceData,
    PartitionProduceResponse,
    PartitionResponse,
    ProduceRequest,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicProduceData,
    UpdateOffsetsRequest,
)

UNCOMMITTED = IsolationLevel.READ_UNCOMMITTED
COMMITTED = IsolationLevel.READ_COMMITTED
PLENTY = 1_000_000
SPU_ID = 5001
ORDERS: Key = ("orders", 0)


def spec(**settings: Any) -> PartitionSpec:
    """The partition of a topic with these settings."""
    return PartitionSpec(leader=SPU_ID, replicas=(SPU_ID,), **settings)


def entry(*batches: bytes, partition: int = 0) -> PartitionProduceData:
    """Batches for one partition, as a Produce carries them."""
    return PartitionProduceData(partition_index=partition, records=RecordSet.of(*batches or [b""]))


def produce(*entries: PartitionProduceData, topic: str = "orders", **fields: Any) -> ProduceRequest:
    """A Produce of these entries to one topic."""
    topics = (TopicProduceData(name=topic, partitions=entries),)
    return ProduceRequest(**{"isolation": ACKS_LEADER, "topics": topics, **fields})


def fetch(start: int, *, key: Key = ORDERS, **fields: Any) -> FetchRequest:
    """A Fetch from one partition."""
    partition = FetchPartition(partition_index=key[1], fetch_offset=start)
    topics = (FetchTopic(name=key[0], fetch_partitions=(partition,)),)
    return FetchRequest(**{"max_bytes": PLENTY, "topics": topics, **fields})


def bases(records: RecordSet) -> list[int]:
    """The base offset of each complete batch."""
    return [one.base_offset for one in records.batches()]


class StreamCall:
    """A stream as its consumer sees it."""

    def __init__(self, client: SpuClient, call: Call[StreamFetchResponse]) -> None:
        self._client = client
        self._call = call

    def pushes(self) -> list[StreamFetchResponse]:
        """What was pushed since the last look."""
        return self._call.news()

    def bases(self) -> list[list[int]]:
        """The base offsets in each push since the last look; an error code counts as one."""
        return [
            [one.partition.error_code.code]
            if one.partition.error_code
            else bases(one.partition.records)
            for one in self.pushes()
        ]

    def push(self) -> PartitionResponse:
        """The only push since the last look."""
        (push,) = self.pushes()
        return push.partition

    def ack(self, offset: int, number: int = 1) -> None:
        """Go on from ``offset``."""
        self._client.ack(offset, number)


class SpuClient:
    """One connection to the SPU.

    :ivar raw: the connection itself.
    """

    def __init__(self, server: Server) -> None:
        self.raw = Client(server)

    @property
    def closed(self) -> bool:
        return self.raw.closed

    def send(self, request: Request[ReplyT], *, version: int = 25) -> Call[ReplyT]:
        return self.raw.send(request, version=version)

    def send_raw(self, key: int, version: int, body: bytes = b"", correlation_id: int = 1) -> None:
        """Send a request of any key, version and body."""
        client_id = b"\0\0"
        data = struct.pack(">Hhi", key, version, correlation_id) + client_id + body
        self.raw.send_bytes(struct.pack(">i", len(data)) + data)

    def ask(self, request: Request[ReplyT], *, version: int = 25) -> ReplyT:
        """The one reply to a request, which comes at once."""
        return self.send(request, version=version).reply

    def produce(
        self, *batches: bytes, key: Key = ORDERS, version: int = 25, **fields: Any
    ) -> PartitionProduceResponse:
        """What becomes of batches for one partition."""
        request = produce(entry(*batches, partition=key[1]), topic=key[0], **fields)
        reply = self.ask(request, version=version)
        return reply.responses[0].partitions[0]

    def fetch(self, start: int, *, version: int = 25, **fields: Any) -> PartitionResponse:
        """What one partition answers to a Fetch."""
        reply = self.ask(fetch(start, **fields), version=version)
        return reply.topics[0].partitions[0]

    def stream(
        self,
        start: int = 0,
        *,
        key: Key = ORDERS,
        max_bytes: int = PLENTY,
        isolation: IsolationLevel = UNCOMMITTED,
        version: int = 25,
        **fields: Any,
    ) -> StreamCall:
        """Open a stream."""
        request = StreamFetchRequest(
            topic=key[0],
            partition=key[1],
            fetch_offset=start,
            max_bytes=max_bytes,
            isolation=isolation,
            **fields,
        )
        return StreamCall(self, self.send(request, version=version))

    def ack(self, offset: int, number: int = 1) -> ErrorCode:
        """Acknowledge on a stream; what the SPU says of that."""
        update = OffsetUpdate(offset=offset, session_id=number)
        reply = self.ask(UpdateOffsetsRequest(offsets=(update,)), version=0)
        return reply.status[0].error


class Kit:
    """An SPU under a clock, which leads partition 0 of ``orders`` unless told otherwise."""

    def __init__(self, *, host: bool = True, release: Release = FLUVIO_0_18) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.complaints: list[Complaint] = []
        self.journal = Journal(self.clock.seconds)
        self.use(Spu(SPU_ID, timers=Timers(self.clock), now=self.clock.seconds, release=release))
        if host:
            self.host()

    def use(self, spu: Spu) -> None:
        """Have clients speak to this SPU."""
        self.spu = spu
        self.server = Server(
            spu.name,
            SpuPort(spu),
            count=itertools.count(1).__next__,
            journal=self.journal,
            complaints=self.complaints.append,
        )

    def host(self, key: Key = ORDERS, followers: Sequence[int] = (), **settings: Any) -> Replica:
        """Lead a partition of a topic with these settings."""
        self.spu.host(key, spec(**settings))
        self.spu.lead(key, followers)
        return self.spu.replicas[key]

    def client(self) -> SpuClient:
        return SpuClient(self.server)

    def fill(self, *counts: int, key: Key = ORDERS) -> None:
        """Append a batch of as many records for each count."""
        batches = [Batch(encode_batch([b"x"] * count), 0) for count in counts]
        for batch in batches:
            self.spu.replicas[key].append([batch], self.clock.seconds())

    def said(self, text: str) -> bool:
        """Whether a complaint contains a text."""
        return any(text in one.text for one in self.complaints)


def codes(answers: Iterable[PartitionProduceResponse]) -> list[int]:
    """The error code of each entry."""
    return [one.error_code.code for one in answers]
