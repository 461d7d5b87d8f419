"""Our client and others on a fake, recorded: what was recorded can be told from itself.

These recordings say nothing of the real cluster. They try out the reading of recordings: whatever
happens in a conversation and outside of it, its replay has to find nothing different.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from txfluvio.client import FluvioClient
from txfluvio.config import OffsetStrategy, RetryPolicy
from txfluvio.errors import FluvioError
from txfluvio.offset import Offset
from txfluvio.testing import FakeBroker
from txfluvio.testing.recorder import Recorder
from txfluvio.testing.replay import replay
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.sc import Computed, TopicSpec, TopicStorage

TOPICS: dict[str, int | TopicSpec] = {
    "one": 1,
    "three": 3,
    "both": TopicSpec(replicas=Computed(partitions=2, replication_factor=2)),
    "tiny": TopicSpec(
        replicas=Computed(partitions=1),
        storage=TopicStorage(segment_size=2048, max_partition_size=8192),
    ),
}


class Course:
    """A random course of things that a client and others do, recorded."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.broker = FakeBroker(self.clock, spus=2, topics=TOPICS, network=self.network, seed=seed)
        self.live: list[Any] = []

    def run(self) -> list[str]:
        """The lines of the recording."""
        self.finish(self.broker.start())
        self.others_produce("one")
        self.clock.advance(1)
        out = io.StringIO()
        recorder = Recorder(self.clock, self.broker.sc_endpoint, lambda: out, network=self.network)
        where = self.finish(recorder.start())
        config = self.broker.client_config(
            endpoint=where,
            idle_probe=1e6,
            retry=RetryPolicy(initial=0.1, maximum=1.0, jitter=0.0),
        )
        dialer = MemoryDialer(self.network, config, self.clock)
        client = FluvioClient(self.clock, config, dialer=dialer, rng=Random(1))
        self.finish(Deferred.fromCoroutine(self.use(client)))
        self.finish(recorder.stop())
        self.finish(self.broker.stop())
        return out.getvalue().splitlines()

    def finish(self, work: Deferred[Any]) -> Any:
        results: list[Any] = []
        work.addBoth(results.append)
        self.clock.advance(0)
        for _ in range(4_000):
            if results:
                break
            self.clock.advance(0.05)
        (result,) = results
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.clock, seconds, lambda: None)

    async def use(self, client: FluvioClient) -> None:
        steps: Sequence[Callable[[FluvioClient, str], Awaitable[object]]] = (
            self.create,
            self.delete,
            self.produce,
            self.produce,
            self.consume,
            self.follow,
            self.others,
            self.store,
            self.move,
            self.evict,
            self.down,
            self.restart_sc,
        )
        async with client:
            for _ in range(8):
                try:
                    await self.rng.choice(steps)(client, self.rng.choice(list(TOPICS)))
                except FluvioError:
                    # A topic that is not there, or was there before: that is recorded as well.
                    pass
                await self.sleep(self.rng.random())
            for consumer in self.live:
                await consumer.close()

    # What the client does

    async def create(self, client: FluvioClient, _: str) -> None:
        name = f"new-{self.rng.randrange(3)}"
        await client.admin.create_topic(name, partitions=self.rng.randrange(1, 4))

    async def delete(self, client: FluvioClient, _: str) -> None:
        await client.admin.delete_topic(f"new-{self.rng.randrange(3)}")

    async def produce(self, client: FluvioClient, topic: str) -> None:
        async with client.producer(topic) as producer:
            for _ in range(self.rng.randrange(1, 6)):
                await producer.send(b"p" * self.rng.randrange(300))

    async def consume(self, client: FluvioClient, topic: str) -> None:
        start, stop = Offset.beginning(), Offset.end()
        async with client.consumer(topic, start=start, stop=stop) as consumer:
            async for _ in consumer:
                pass

    async def follow(self, client: FluvioClient, topic: str) -> None:
        consumer = client.consumer(topic, start=Offset.end())
        await consumer.start()
        self.live.append(consumer)

    async def store(self, client: FluvioClient, topic: str) -> None:
        async with client.consumer(
            topic,
            start=Offset.beginning(),
            stop=Offset.end(),
            consumer_id="worker",
            offsets=OffsetStrategy.AUTO,
        ) as consumer:
            async for _ in consumer:
                pass
        await client.admin.list_consumer_offsets()

    # What others do

    def others_produce(self, topic: str) -> None:
        values = [b"other" * self.rng.randrange(9) for _ in range(self.rng.randrange(1, 4))]
        self.broker.append(topic, values)

    async def others(self, _: FluvioClient, topic: str) -> None:
        self.others_produce(topic)

    async def move(self, _: FluvioClient, __: str) -> None:
        self.broker.move_leader("both", 0, self.rng.choice([5001, 5002]))

    async def evict(self, _: FluvioClient, __: str) -> None:
        end = self.broker.replica("tiny").log.leo
        self.broker.evict("tiny", 0, max(0, end - 1))

    async def down(self, _: FluvioClient, __: str) -> None:
        spu = self.rng.choice([5001, 5002])
        await self.broker.spu_down(spu)
        await self.sleep(self.rng.random() * 2)
        await self.broker.spu_up(spu)
        await self.sleep(2.0)

    async def restart_sc(self, _: FluvioClient, __: str) -> None:
        await self.broker.sc_down()
        await self.sleep(0.5)
        await self.broker.sc_up()
        await self.sleep(3.0)


@pytest.mark.parametrize("seed", range(8))
def test_what_was_recorded_of_the_fake_replays_as_the_same(seed: int) -> None:
    outcome = replay(Course(seed).run())
    assert [str(one) for one in outcome.differences] == []
    assert outcome.compared > 10
