"""A consumer of a fake cluster, all in memory, with the clock in the test's hands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.cluster import Cluster
from txfluvio.config import ClientConfig, ConsumerConfig, RetryPolicy
from txfluvio.consumer.consumer import Consumer
from txfluvio.testing.broker import FakeBroker
from txfluvio.testing.server.journal import Direction
from txfluvio.transport.factory import connect
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Record, RecordSet, encode_batch
from txfluvio.wire.sc import TOPIC, AddPartition, UpdateRequest
from txfluvio.wire.schema import Message

T = TypeVar("T")
R = TypeVar("R", bound=Message)

RETRY = RetryPolicy(initial=0.5, maximum=4.0, jitter=0.0)


@attrs.frozen
class _Dialer:
    network: MemoryNetwork
    config: ClientConfig
    dialled: list[float]

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        self.dialled.append(self.network.clock.seconds())
        endpoint = self.network.endpoint(host, port)
        address = f"{host}:{port}"
        return connect(endpoint, self.config, clock=self.network.clock, address=address)


class StepClock(Clock):
    """A clock that can make one call at a time."""

    def step(self) -> bool:
        """Make the first call that is due, if one is."""
        self._sortCalls()
        if not self.calls or self.calls[0].getTime() > self.seconds():
            return False
        call = self.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)
        return True


class ConsumerCase(SynchronousTestCase):
    """Has a running broker and a client's cluster.

    :cvar SPUS: how many SPUs there are.
    :cvar TOPICS: the topics, and how many partitions each has.
    :ivar dialled: when connections were attempted.
    """

    SPUS = 1
    TOPICS: dict[str, Any] = {"orders": 1}

    def setUp(self) -> None:
        self.clock = StepClock()
        self.network = MemoryNetwork(self.clock)
        self.dialled: list[float] = []
        self.rng = Random(1)
        self.consumers: list[Consumer] = []
        self.broker = FakeBroker(
            self.clock, spus=self.SPUS, topics=self.TOPICS, network=self.network
        )
        self.result(self.broker.start())
        self.cluster = self.connected()

    def tearDown(self) -> None:
        for consumer in self.consumers:
            self.result(consumer.close().addErrback(lambda _: None))
        self.result(self.cluster.stop())
        self.result(self.broker.stop())
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connected(self, **settings: Any) -> Cluster:
        """A client's cluster with these settings, started."""
        config = self.broker.client_config(
            **{"retry": RETRY, "idle_probe": 1e6, "request_timeout": 30.0, **settings}
        )
        dialer = _Dialer(self.network, config, self.dialled)
        cluster = Cluster(config, dialer=dialer, clock=self.clock, rng=self.rng)
        self.result(cluster.start())
        return cluster

    # Time

    def turn(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.advance(0)

    def wait(self, seconds: float, step: float = 0.25) -> None:
        """Let time go by, a step at a time."""
        self.turn()
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def result(self, deferred: Deferred[T], seconds: float = 20.0) -> T:
        """What a Deferred fires with, when it has been given some time."""
        self.turn()
        spent = 0.0
        while not deferred.called and spent < seconds:
            self.wait(0.25)
            spent += 0.25
        return self.successResultOf(deferred)

    def failure(self, deferred: Deferred[Any], *kinds: type[BaseException]) -> Any:
        """The error a Deferred fails with, when it has been given some time."""
        self.turn()
        spent = 0.0
        while not deferred.called and spent < 100.0:
            self.wait(0.25)
            spent += 0.25
        return self.failureResultOf(deferred, *kinds).value

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns."""
        return self.result(Deferred.fromCoroutine(work), seconds=100.0)

    # The cluster

    def asked(self, kind: type[R]) -> list[R]:
        """The requests of one kind that servers got, oldest first."""
        entries = (e for e in self.broker.journal if e.direction is Direction.REQUEST)
        return [message for e in entries if isinstance(message := e.message, kind)]

    def add_partitions(self, topic: str, count: int) -> None:
        """Make a topic larger by so many partitions."""
        request = UpdateRequest(kind=TOPIC, key=topic, action=AddPartition(count=count))
        self.result(self.cluster.sc_request(request))
        self.wait(1.0)

    def lose_connections(self) -> None:
        """Reset every connection to an SPU."""
        for link in self.network.links:
            peer = link.client.getPeer()
            if f"{peer.host}:{peer.port}" in self.broker.spu_endpoints.values():
                link.reset()
        self.turn()

    def refuse_connections(self, spu_id: int = 5001) -> Callable[[], None]:
        """Let an SPU take no new connections, until what is returned is called."""
        host, port = self.broker.spu_endpoints[spu_id].split(":")
        self.network.refuse(host, int(port))
        return lambda: self.network.accept(host, int(port))

    # Records

    def append(
        self,
        count: int,
        *,
        topic: str = "orders",
        partition: int = 0,
        size: int = 1,
        batch: int | None = None,
        codec: Compression = Compression.NONE,
    ) -> None:
        """Append records, ``batch`` to a batch, whose values are their offsets."""
        replica = self.broker.replica(topic, partition)
        base = replica.log.leo
        per_batch = batch or count
        for first in range(base, base + count, per_batch):
            values = [
                str(offset).encode().ljust(size)
                for offset in range(first, min(first + per_batch, base + count))
            ]
            self.append_batch(
                encode_batch(values, compression=codec), topic=topic, partition=partition
            )

    def append_batch(self, data: bytes, *, topic: str = "orders", partition: int = 0) -> None:
        replica = self.broker.replica(topic, partition)
        replica.append(RecordSet.of(data).batches(check_crc=False), self.broker.now())

    # Consumers

    def consumer(
        self, topics: Any = "orders", cluster: Cluster | None = None, **kw: Any
    ) -> Consumer:
        """A consumer that is not started; settings and arguments may be mixed."""
        names = {field.name for field in attrs.fields(ConsumerConfig)}
        config = ConsumerConfig(**{name: kw.pop(name) for name in names & kw.keys()})
        consumer = Consumer(cluster or self.cluster, topics, config=config, **kw)
        self.consumers.append(consumer)
        return consumer

    def started(self, topics: Any = "orders", **kw: Any) -> Consumer:
        """A consumer that is started."""
        consumer = self.consumer(topics, **kw)
        self.result(consumer.start())
        return consumer

    def read(self, consumer: Consumer, count: int) -> list[Record]:
        """So many records, one by one."""
        return [self.result(consumer.next()) for _ in range(count)]

    def read_all(self, consumer: Consumer) -> list[Record]:
        """Every record there is until the end."""

        seen: list[Record] = []
        self.do(self.collect(consumer, seen))
        return seen

    async def collect(self, consumer: Consumer, seen: list[Record]) -> None:
        """Put every record into ``seen`` as it comes."""
        async for record in consumer:
            seen.append(record)  # noqa: PERF401

    def offsets(self, records: Iterable[Record]) -> list[int | None]:
        return [record.offset for record in records]

    def nothing_comes(self, consumer: Consumer, seconds: float = 2.0) -> None:
        """No record comes within so many seconds."""
        wait = consumer.next()
        self.wait(seconds)
        self.assertNoResult(wait)
        wait.cancel()
        self.failureResultOf(wait)
