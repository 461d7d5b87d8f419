"""What clients do in a run unless they are told otherwise: a bit of everything.

Two producers, each by a client of its own; a consumer that reads everything from the beginning; one
that goes away and comes back, and resumes where its stored offsets say; and an administrator. What
each of them does, and with which settings, is decided by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults

from ...client import FluvioClient
from ...config import Delivery, Isolation, OffsetStrategy
from ...consumer import Consumer
from ...errors import FluvioError, LogTruncated, WaitTimedOut
from ...offset import Offset
from ...producer import Producer
from ...wire.records import Record
from .ledger import Outcome, Reader
from .world import World

TOPIC = "orders"

RECOVERY = 12.0
"""Seconds after the mending within which whatever was delayed has come or was given up."""


@attrs.define
class _Stage:
    """What the parts of a workload know of each other."""

    world: World
    partitions: int
    producing: int = 0

    def over(self, consumer: Consumer) -> bool:
        """Whether there is nothing left to be read."""
        if not self.world.calm or self.producing:
            return False
        return all(
            (consumer.position(number) or 0) >= self.world.end_of(TOPIC, number)
            for number in range(self.partitions)
        )


async def workload(world: World) -> None:
    """The workload of a seed."""
    rng = world.rng
    stage = _Stage(world, partitions=rng.randint(1, 3))
    await world.broker.cluster.create_topic(
        TOPIC,
        partitions=stage.partitions,
        replication=min(rng.choice((1, 2, 2, 3)), world.plan.spus),
    )
    first, second = await _all([world.client(), world.client()])
    await _all(
        [
            _produce(stage, first, "a"),
            _produce(stage, second, "b"),
            _read_all(stage, second),
            _read_and_resume(stage, first),
            _administer(stage, second),
        ]
    )


async def _all(works: Iterable[Any]) -> list[Any]:
    return await gatherResults([Deferred.fromCoroutine(work) for work in works])


# Producing


async def _produce(stage: _Stage, client: FluvioClient, name: str) -> None:
    world, rng = stage.world, stage.world.rng
    stage.producing += 1
    settings: dict[str, Any] = {
        "delivery": rng.choice(
            (Delivery.AT_LEAST_ONCE, Delivery.AT_LEAST_ONCE, Delivery.AT_MOST_ONCE)
        ),
        "isolation": rng.choice(tuple(Isolation)),
        "linger": rng.choice((0.0, 0.0, 0.1)),
        "batch_size": rng.choice((100, 300, 16_384)),
        "compression": rng.choice((None, None, "gzip", "lz4")),
        "replication_timeout": 1.0,
        "delivery_timeout": rng.choice((5.0, 60.0)),
        "close_timeout": 90.0,
    }
    world.note(f"producer {name}: {settings}")
    producer = await _started_producer(world, client, settings)
    number = 0
    while not world.calm:
        values = [
            f"{name}-{number + index}".encode().ljust(rng.choice((8, 8, 40)), b".")
            for index in range(rng.randint(1, 18))
        ]
        number += len(values)
        if rng.random() < 0.5:
            world.ledger.send_many(producer, values)
        else:
            for value in values:
                world.ledger.send(producer, value, key=rng.choice((None, b"k", b"l")))
        await world.sleep(rng.uniform(0.0, 1.4))
    await producer.flush()
    await world.sleep(RECOVERY)
    for partition in range(stage.partitions):
        value = f"{name}-last-{partition}".encode()
        await world.ledger.send(producer, value, partition=partition)
        sent = world.ledger.sent[TOPIC, value]
        if sent.outcome is not Outcome.STORED:
            world.ledger.wrong.append(f"{sent} is not stored though all is well: {sent.said}")
    await producer.close()
    stage.producing -= 1
    if producer.buffered:
        world.ledger.wrong.append(f"producer {name} holds {producer.buffered} bytes in the end")


async def _started_producer(
    world: World, client: FluvioClient, settings: dict[str, Any]
) -> Producer:
    while True:
        producer = client.producer(TOPIC, **settings)
        try:
            await producer.start()
        except FluvioError as error:
            world.note(f"a producer does not start: {error}")
            await world.sleep(0.2)
        else:
            return producer


# Consuming


def _consumer_settings(stage: _Stage, committed: bool) -> dict[str, Any]:
    rng = stage.world.rng
    return {
        "isolation": Isolation(int(committed)),
        "max_bytes": rng.choice((150, 400, 5_000, None)),
        "buffer_memory": rng.choice((1_000, 10_000, 1_000_000)),
    }


async def _read_all(stage: _Stage, client: FluvioClient) -> None:
    world = stage.world
    committed = world.rng.random() < 0.5
    settings = _consumer_settings(stage, committed)
    world.note(f"the whole reader: {settings}")
    reader = world.ledger.reader(TOPIC, committed=committed)
    consumer = await _started_consumer(world, client, start=Offset.beginning(), **settings)
    for number in range(stage.partitions):
        reader.starts(number, 0)
    while (record := await _next(stage, consumer, reader)) is not None:
        reader.saw(record)
    await consumer.close()
    _must_be_empty(world, consumer)


async def _read_and_resume(stage: _Stage, client: FluvioClient) -> None:
    world, rng = stage.world, stage.world.rng
    committed = rng.random() < 0.5
    settings = {
        **_consumer_settings(stage, committed),
        "consumer_id": "worker",
        "offsets": rng.choice((OffsetStrategy.AUTO, OffsetStrategy.MANUAL)),
        "flush_interval": 1.0,
    }
    world.note(f"the resuming reader: {settings}")
    reader = world.ledger.reader(TOPIC, committed=committed, consumer_id="worker")
    finished = False
    while not finished:
        left = rng.randint(1, 60)
        consumer = await _started_consumer(world, client, **settings)
        for number in range(stage.partitions):
            reader.resumes(number, consumer.position(number) or 0)
        while left or world.calm:
            left = max(0, left - 1)
            record = await _next(stage, consumer, reader)
            if record is None:
                finished = True
                break
            reader.saw(record)
            if rng.random() < 0.2:
                await world.sleep(rng.uniform(0.0, 0.3))
            reader.processed(record)
            if rng.random() < 0.1:
                await _tried(world, consumer.commit(), "a commit")
        await _tried(world, consumer.close(), "the closing of a consumer")
        _must_be_empty(world, consumer)


async def _started_consumer(world: World, client: FluvioClient, **settings: Any) -> Consumer:
    while True:
        consumer = client.consumer(TOPIC, **settings)
        try:
            await consumer.start()
        except FluvioError as error:
            world.note(f"a consumer does not start: {error}")
            await world.sleep(0.2)
        else:
            return consumer


async def _next(stage: _Stage, consumer: Consumer, reader: Reader) -> Record | None:
    """The next record; ``None`` if there will be none. Whatever the reader may see to, it does."""
    while True:
        try:
            return await consumer.next(timeout=1.0)
        except WaitTimedOut:
            if stage.over(consumer):
                return None
        except LogTruncated as cut:
            stage.world.note(f"{cut}")
            reader.cut(cut.partition, cut.end)
            consumer.seek(cut.partition, cut.end)
        except FluvioError as error:
            stage.world.note(f"a consumer goes on after {type(error).__name__}: {error}")
            for _, number in consumer.partitions:
                consumer.seek(number, consumer.position(number) or 0)
            await stage.world.sleep(0.1)


def _must_be_empty(world: World, consumer: Consumer) -> None:
    if consumer.buffered:
        world.ledger.wrong.append(f"a consumer holds {consumer.buffered} bytes in the end")


async def _tried(world: World, doing: Deferred[Any], what: str) -> FluvioError | None:
    try:
        await doing
    except FluvioError as error:
        world.note(f"{what} fails: {error}")
        return error
    return None


# Administering


async def _administer(stage: _Stage, client: FluvioClient) -> None:
    world = stage.world
    number = 0
    while not world.calm:
        number += 1
        for begin in _calls(client, f"extra-{number}"):
            await _tried(world, begin(), "an administrator's call")
            await world.sleep(world.rng.uniform(0.0, 0.25))
    await world.sleep(RECOVERY)
    for begin in _calls(client, "extra-last"):
        error = await _tried(world, begin(), "an administrator's call")
        if error is not None:
            world.ledger.wrong.append(f"{begin} fails though all is well: {error}")


def _calls(client: FluvioClient, name: str) -> tuple[Callable[[], Deferred[Any]], ...]:
    """What an administrator does."""
    admin = client.admin
    return (
        partial(admin.create_topic, name),
        partial(admin.add_partitions, name, 1),
        admin.list_topics,
        admin.list_consumer_offsets,
        partial(admin.delete_consumer_offset, "nobody", TOPIC, 0),
        partial(admin.delete_topic, name),
    )
