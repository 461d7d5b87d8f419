"""A cluster in memory, as far as a producer sees one: an SC that tells who leads, and leaders.

The client's side is real from the cluster floor down. The leaders can be told to hold their
answers, to answer with error codes, to lose their connections, and not to be there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.cluster.objects import changed, deleted, everything, partition, spu, topic, updated
from txfluvio.cluster.cluster import Cluster
from txfluvio.config import ClientConfig, ProducerConfig, RetryPolicy
from txfluvio.producer import Budget, Producer
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork, MemoryTransport
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import decode_request_header, encode_reply
from txfluvio.wire.records import Batch, Record
from txfluvio.wire.sc import (
    PARTITION,
    SPU,
    TOPIC,
    IngressAddr,
    Kind,
    Metadata,
    PartitionResolution,
    WatchRequest,
    WatchResponse,
)
from txfluvio.wire.schema import SC_APIS, SPU_APIS, Api, Message, evolve
from txfluvio.wire.spu import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from txfluvio.wire.versions import ApiVersionRange, ApiVersionsRequest, ApiVersionsResponse

NAME = "orders"
DAWN = 1_700_000_000.0
"""The time of day when a test begins."""

REQUEST_TIMEOUT = 10.0
FIRST_RETRY = 0.125

_PORT = 9005


@attrs.frozen(eq=False)
class Asked:
    """A request that a server got."""

    message: Any
    size: int
    version: int
    correlation_id: int
    connection: ServerConnection

    @property
    def batches(self) -> list[Batch]:
        return [
            batch
            for topic in self.message.topics
            for entry in topic.partitions
            for batch in entry.records.batches()
        ]

    @property
    def values(self) -> list[bytes]:
        return [value for batch in self.batches for value in batch.values()]

    def reply(self, message: Message) -> None:
        self.connection.transport.write(
            encode_reply(message, version=self.version, correlation_id=self.correlation_id)
        )


class ServerConnection(Protocol):
    """A server's end: it tells its server what is asked, and answers ApiVersions by itself."""

    transport: MemoryTransport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._frames = Frames()

    def dataReceived(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            header, start = decode_request_header(payload)
            request = self._server.apis[header.api_key].request
            message = request.decode(payload, header.api_version, start)
            asked = Asked(message, len(payload), header.api_version, header.correlation_id, self)
            if isinstance(message, ApiVersionsRequest):
                asked.reply(self._server.versions())
            else:
                self._server.got(asked)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._server.connections.remove(self)


class Server(Factory):
    """Accepts connections at an address."""

    apis: dict[int, Api]

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []

    def buildProtocol(self, addr: IAddress | None) -> ServerConnection:
        self.connections.append(ServerConnection(self))
        return self.connections[-1]

    def versions(self) -> ApiVersionsResponse:
        keys = tuple(
            ApiVersionRange(api_key=api.key, min_version=0, max_version=api.max_version)
            for api in self.apis.values()
        )
        return ApiVersionsResponse(api_keys=keys, platform_version="0.18.0")

    def got(self, asked: Asked) -> None:
        raise NotImplementedError


class Sc(Server):
    """Answers watches."""

    apis = SC_APIS

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[Kind, dict[str, Metadata]] = {SPU: {}, PARTITION: {}, TOPIC: {}}
        self._watches: list[Asked] = []

    def got(self, asked: Asked) -> None:
        assert isinstance(asked.message, WatchRequest)
        self._watches.append(asked)
        asked.reply(everything(asked.message.kind, *self._objects[asked.message.kind].values()))

    def tell(self, kind: Kind, *objects: Metadata) -> None:
        self._objects[kind].update({object_.name: object_ for object_ in objects})
        self._push(kind, changed(kind, *updated(*objects)))

    def delete(self, kind: Kind, name: str) -> None:
        self._push(kind, changed(kind, *deleted(self._objects[kind].pop(name))))

    def _push(self, kind: Kind, message: WatchResponse) -> None:
        for asked in self._watches:
            if asked.message.kind is kind:
                asked.reply(message)


class Leader(Server):
    """An SPU that leads partitions.

    :ivar asked: the requests it got, oldest first.
    :ivar holding: whether it keeps its answers to itself, until :meth:`answer`.
    :ivar codes: the answers to the next batches, instead of storing them; ``NO_ERROR``: store one.
    :ivar code: the answer to every batch, while there are no other ``codes``.
    :ivar logs: the records of each partition.
    """

    apis = SPU_APIS

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.owed: list[Asked] = []
        self.holding = False
        self.codes: list[ErrorCode] = []
        self.code = NO_ERROR
        self.logs: dict[int, list[Record]] = {}

    def values(self, partition: int = 0) -> list[bytes]:
        return [record.value for record in self.logs.get(partition, [])]

    def got(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.owed.append(asked)
        if not self.holding:
            self.answer()

    def answer(self) -> None:
        """Do what is asked, the oldest first, and answer."""
        asked = self.owed[0]
        asked.reply(self.work())

    def work(self) -> ProduceResponse:
        """Do what is asked, the oldest first, without answering."""
        asked = self.owed.pop(0)
        assert isinstance(asked.message, ProduceRequest)
        return ProduceResponse(
            responses=tuple(
                TopicProduceResponse(
                    name=topic.name,
                    partitions=tuple(
                        self._store(entry.partition_index, entry.records.batches())
                        for entry in topic.partitions
                    ),
                )
                for topic in asked.message.topics
            )
        )

    def lose(self) -> None:
        """Lose every connection, and with it all that is owed."""
        self.owed.clear()
        for connection in list(self.connections):
            connection.transport.abortConnection()

    def _store(self, number: int, batches: Iterable[Batch]) -> PartitionProduceResponse:
        code = self.codes.pop(0) if self.codes else self.code
        log = self.logs.setdefault(number, [])
        base = len(log)
        if not code or code.code == Code.REQUEST_TIMED_OUT:
            for batch in batches:
                log += batch.records(NAME, number)
        else:
            base = 0
        return PartitionProduceResponse(partition_index=number, base_offset=base, error_code=code)


def pass_time(clock: Clock, seconds: float) -> None:
    """Let what happens within so many seconds happen, each thing at its time."""
    end = clock.seconds() + seconds
    clock.advance(0)
    while any(call.getTime() <= end for call in clock.getDelayedCalls()):
        first = min(call.getTime() for call in clock.getDelayedCalls())
        clock.advance(first - clock.seconds())
    clock.advance(end - clock.seconds())


class ProducerTestCase(SynchronousTestCase):
    """A cluster with one topic, all of which one SPU leads, and one more SPU."""

    partitions = 1
    memory = 2**30
    """Bytes that all producers together may hold."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.sc = Sc()
        self.network.listen("sc.test", 9003, self.sc)
        self.leader, self.other = Leader(), Leader()
        for number, server in ((1, self.leader), (2, self.other)):
            self.network.listen(f"spu-{number}.test", _PORT, server)
            self.sc.tell(
                SPU, spu(number, ingress=(IngressAddr(hostname=f"spu-{number}.test"),), port=_PORT)
            )
        self.make_topic(self.partitions)
        config = ClientConfig(
            endpoint="sc.test:9003",
            retry=RetryPolicy(initial=FIRST_RETRY, maximum=1.0, jitter=0.0),
            request_timeout=REQUEST_TIMEOUT,
            idle_probe=3600.0,
            buffer_memory=self.memory,
        )
        dialer = MemoryDialer(self.network, config, self.clock)
        self.cluster = Cluster(config, dialer=dialer, clock=self.clock, rng=random.Random(0))
        self.budget = Budget(config.buffer_memory)
        started = self.cluster.start()
        self.turn()
        self.successResultOf(started)

    def tearDown(self) -> None:
        stopped = self.cluster.stop()
        self.turn()
        self.successResultOf(stopped)

    def turn(self, seconds: float = 0.0) -> None:
        """Let happen what happens within so many seconds, each thing at its time."""
        pass_time(self.clock, seconds)

    # The cluster

    def make_topic(self, partitions: int, **spec: Any) -> None:
        made = topic(NAME, partitions)
        self.sc.tell(TOPIC, evolve(made, spec=evolve(made.spec, **spec)))
        self.lead(dict.fromkeys(range(partitions), 1))

    def lead(self, leaders: dict[int, int | None]) -> None:
        """Tell who leads which partitions from now on; None: nobody does."""
        self.sc.tell(
            PARTITION,
            *(
                partition(
                    f"{NAME}-{number}",
                    leader or 1,
                    PartitionResolution.ONLINE if leader else PartitionResolution.LEADER_OFFLINE,
                )
                for number, leader in leaders.items()
            ),
        )

    def delete_topic(self) -> None:
        self.sc.delete(TOPIC, NAME)

    def refuse(self, number: int = 1) -> None:
        self.network.refuse(f"spu-{number}.test", _PORT)

    def accept(self, number: int = 1) -> None:
        self.network.accept(f"spu-{number}.test", _PORT)

    def hang(self, number: int = 1) -> None:
        self.network.hang(f"spu-{number}.test", _PORT)

    def let_go(self) -> None:
        """Have everything answered that the leader holds, one request after another."""
        while self.leader.owed:
            self.leader.answer()
            self.turn()

    # The producer

    def make(self, name: str = NAME, **config: Any) -> Producer:
        """A producer that is not started."""
        return Producer(
            self.cluster,
            name,
            ProducerConfig(**config),
            budget=self.budget,
            now=lambda: DAWN + self.clock.seconds(),
        )

    def started(self, **config: Any) -> Producer:
        producer = self.make(**config)
        self.successResultOf(producer.start())
        return producer

    def finish(self, producer: Producer) -> None:
        """Close it, with all answered that it has sent."""
        self.leader.holding = False
        closed = producer.close()
        self.let_go()
        self.successResultOf(closed)
