"""A producer in a client against a whole fake cluster: failover, replication, growth, codecs."""

from __future__ import annotations

from random import Random
from typing import Any, Self, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.producer.kit import pass_time
from txfluvio.client import FluvioClient
from txfluvio.config import Isolation, RetryPolicy
from txfluvio.errors import Effect, ReplicationTimedOut
from txfluvio.producer import Producer, RecordMetadata
from txfluvio.testing.broker import FakeBroker
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Batch, Record
from txfluvio.wire.sc import Computed, TopicSpec

T = TypeVar("T")

TOPIC = "orders"
SPUS = (5001, 5002, 5003)


class Scene:
    """A fake cluster of three SPUs, and a client of it, in memory."""

    def __init__(self, spec: TopicSpec) -> None:
        self.clock = Clock()
        network = MemoryNetwork(self.clock)
        self.broker = FakeBroker(self.clock, spus=3, topics={TOPIC: spec}, network=network)
        self.get(self.broker.start())
        config = self.broker.client_config(retry=RetryPolicy(initial=0.05, maximum=1.0))
        dialer = MemoryDialer(network, config, self.clock)
        self.client = FluvioClient(self.clock, config, dialer=dialer, rng=Random(0))
        self.get(self.client.start())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.get(self.client.close(), 60.0)
        self.get(self.broker.stop(), 60.0)
        assert not self.clock.getDelayedCalls()

    def producer(self, **config: Any) -> Producer:
        producer = self.client.producer(TOPIC, **config)
        self.get(producer.start())
        return producer

    def turn(self, seconds: float = 0.0) -> None:
        pass_time(self.clock, seconds)

    def get(self, deferred: Deferred[T], seconds: float = 5.0) -> T:
        """What it fires with, within so many seconds."""
        self.turn(seconds)
        return SynchronousTestCase().successResultOf(deferred)

    def stored(self, partition: int = 0) -> list[Record]:
        return self.broker.records(TOPIC, partition)

    def leader(self, partition: int = 0) -> int:
        spu = self.broker.cluster.leader((TOPIC, partition))
        assert spu is not None
        return spu.id


def replicated(partitions: int = 1, factor: int = 3, **more: Any) -> TopicSpec:
    return TopicSpec(replicas=Computed(partitions=partitions, replication_factor=factor), **more)


@pytest.mark.parametrize("codec", list(Compression))
def test_every_codec_is_stored_as_sent(codec: Compression) -> None:
    with Scene(replicated()) as scene:
        producer = scene.producer(compression=codec.name.lower())
        sent = producer.send_many([b"a" * 1000, (b"key", b"b")])
        assert [stored.offset for stored in scene.get(sent)] == [0, 1]
        assert [(r.key, r.value) for r in scene.stored()] == [(None, b"a" * 1000), (b"key", b"b")]
        (batch,) = [Batch(part.data, 0) for part in scene.broker.replica(TOPIC).log]
        assert batch.compression is codec


def test_leaving_the_client_sends_what_lingers() -> None:
    with Scene(replicated()) as scene:
        sent = scene.producer(linger=20.0).send(b"x")
        scene.get(scene.client.close(), 1.0)
        assert scene.get(sent).offset == 0
        assert [record.value for record in scene.stored()] == [b"x"]


def test_a_record_is_stored_while_the_sc_is_away() -> None:
    with Scene(replicated()) as scene:
        producer = scene.producer()
        scene.get(scene.broker.sc_down())
        assert scene.get(producer.send(b"x")).offset == 0
        scene.get(scene.broker.sc_up())


def test_partitions_added_by_an_administrator_are_used() -> None:
    with Scene(replicated(1)) as scene:
        producer = scene.producer()
        scene.get(scene.client.admin.add_partitions(TOPIC, 2))
        stored = scene.get(producer.send_many([b"x"] * 3))
        assert [one.partition for one in stored] == [0, 1, 2]


def test_when_a_leader_dies_its_records_go_to_the_next() -> None:
    with Scene(replicated()) as scene:
        producer = scene.producer()
        scene.get(producer.send(b"before"))
        dead = scene.leader()
        scene.get(scene.broker.spu_down(dead))
        assert scene.get(producer.send(b"after")).offset == 1
        assert scene.leader() != dead
        assert [record.value for record in scene.stored()] == [b"before", b"after"]


def test_a_record_waits_for_its_only_leader_to_come_back() -> None:
    with Scene(replicated(factor=1)) as scene:
        producer = scene.producer()
        alone = scene.leader()
        scene.get(scene.broker.spu_down(alone))
        sent = producer.send(b"x")
        scene.turn(30.0)
        scene.get(scene.broker.spu_up(alone))
        assert scene.get(sent).offset == 0


def test_under_read_committed_a_record_counts_when_its_replicas_have_it() -> None:
    with Scene(replicated()) as scene:
        producer = scene.producer(isolation=Isolation.READ_COMMITTED, replication_timeout=5.0)
        go_on = scene.broker.stall_replication(TOPIC)
        sent = producer.send(b"x")
        scene.turn(1.0)
        assert [record.value for record in scene.stored()] == [b"x"]
        assert not sent.called
        go_on()
        assert scene.get(sent).offset == 0


def test_stored_but_not_replicated_in_time_is_said_and_not_sent_again() -> None:
    with Scene(replicated()) as scene:
        producer = scene.producer(isolation=Isolation.READ_COMMITTED, replication_timeout=0.5)
        scene.broker.stall_replication(TOPIC)
        sent = producer.send(b"x")
        scene.turn(20.0)
        failed = SynchronousTestCase().failureResultOf(sent, ReplicationTimedOut).value
        assert isinstance(failed, ReplicationTimedOut)
        assert failed.effect is Effect.DONE
        assert [record.value for record in scene.stored()] == [b"x"]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_leaders_each_record_is_where_its_sender_was_told(seed: int) -> None:
    rng = Random(seed)
    with Scene(replicated(partitions=3)) as scene:
        producer = scene.producer(
            batch_size=300,
            linger=rng.choice((0.0, 0.02)),
            isolation=Isolation.READ_COMMITTED,
            replication_timeout=5.0,
            delivery_timeout=300.0,
        )
        sent: list[tuple[int, bytes, Deferred[RecordMetadata]]] = []
        down: list[int] = []
        for number in range(300):
            partition, value = rng.randrange(3), b"%d" % number
            sent.append((partition, value, producer.send(value, partition=partition)))
            event = rng.random()
            if event < 0.02:
                scene.broker.move_leader(
                    TOPIC, rng.randrange(3), rng.choice([spu for spu in SPUS if spu not in down])
                )
            elif event < 0.04 and not down:
                down.append(rng.choice(SPUS))
                scene.broker.spu_down(down[0])
            elif event < 0.08 and down:
                scene.broker.spu_up(down.pop())
            scene.turn(rng.choice((0.0, 0.0, 0.01, 0.1)))
        if down:
            scene.broker.spu_up(down.pop())
        scene.turn(60.0)
        latest = dict.fromkeys(range(3), -1)
        stored = 0
        for partition, value, outcome in sent:
            outcome.addErrback(lambda failure: failure.trap(ReplicationTimedOut) and None)
            metadata = scene.get(outcome, 0.0)
            if metadata is None:
                continue
            assert metadata.offset is not None
            assert scene.stored(partition)[metadata.offset].value == value
            assert metadata.offset > latest[partition]
            latest[partition] = metadata.offset
            stored += 1
        assert stored > 200
