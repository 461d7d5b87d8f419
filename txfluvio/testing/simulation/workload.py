"""What clients do in a run unless they are told otherwise: a bit of everything.

Two producers, each by a client of its own; a consumer that reads everything from the beginning; one
that goes away and comes back, and resumes where its stored offsets say; and an administrator. Both
consumers are paused and sent elsewhere now and then. What each of them does, and with which
settings, is decided by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults

from ...admin import Admin
from ...client import FluvioClient
from ...config import Delivery, Isolation, OffsetStrategy
from ...consumer import Consumer
from ...errors import FluvioError, LogTruncated, OffsetOutOfRange, WaitTimedOut
from ...offset import Offset
from ...producer import Producer
from ...wire.records import Record
from .ledger import Outcome, Reader
from .world import World

TOPIC = "orders"

RECOVERY = 12.0
"""Seconds after the mending within which whatever was delayed has come or was given up."""

MEDDLING = 0.02
"""How likely a user is to pause or seek before a record, while things go wrong."""

SOUGHT = 20
"""Offsets that they go back or forth at most."""


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
    settings = _producer_settings(rng)
    world.note(f"producer {name}: {settings}")
    producer = await _started_producer(world, client, settings)
    number = 0
    while not world.calm:
        records = [
            (
                rng.choice((None, b"k", b"l")),
                f"{name}-{number + index}".encode().ljust(rng.choice((8, 8, 40)), b"."),
            )
            for index in range(rng.randint(1, 18))
        ]
        number += len(records)
        if rng.random() < 0.5:
            world.ledger.send_many(producer, records)
        else:
            for key, value in records:
                world.ledger.send(producer, value, key)
        await world.sleep(rng.uniform(0.0, 1.4))
    await world.ledger.flush(producer)
    await world.sleep(RECOVERY)
    await _store_in_each_partition(stage, producer, name)
    await producer.close()
    stage.producing -= 1
    if producer.buffered:
        world.ledger.wrong.append(f"producer {name} holds {producer.buffered} bytes in the end")


def _producer_settings(rng: Random) -> dict[str, Any]:
    return {
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


async def _store_in_each_partition(stage: _Stage, producer: Producer, name: str) -> None:
    """Send a last record to each partition, which all have to take now that nothing goes wrong."""
    ledger = stage.world.ledger
    for partition in range(stage.partitions):
        value = f"{name}-last-{partition}".encode()
        await ledger.send(producer, value, partition=partition)
        sent = ledger.sent[TOPIC, value]
        if sent.outcome is not Outcome.STORED:
            ledger.wrong.append(f"{sent} is not stored though all is well: {sent.said}")


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
    user = _User(stage, consumer, reader)
    while (record := await user.next()) is not None:
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
        user = _User(stage, consumer, reader)
        while left or world.calm:
            left = max(0, left - 1)
            record = await user.next()
            if record is None:
                finished = True
                break
            reader.saw(record)
            if rng.random() < 0.2:
                await world.sleep(rng.uniform(0.0, 0.3))
            reader.processed(record)
            if rng.random() < 0.1:
                await _tried(world, reader.keeps(consumer.commit(), in_hand=True), "a commit")
        closing = consumer.close()
        if settings["offsets"] is OffsetStrategy.AUTO:
            closing = reader.keeps(closing, in_hand=False)
        await _tried(world, closing, "the closing of a consumer")
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


@attrs.frozen
class _User:
    """Whoever reads, and pauses and seeks meanwhile, as long as things go wrong."""

    stage: _Stage
    consumer: Consumer
    reader: Reader

    async def next(self) -> Record | None:
        """The next record; ``None`` if there will be none. What a user may see to is seen to."""
        world = self.stage.world
        while True:
            self._meddle()
            try:
                return await self.consumer.next(timeout=1.0)
            except WaitTimedOut:
                if self.stage.over(self.consumer):
                    return None
                self._go_on()
            except LogTruncated as cut:
                world.note(f"{cut}")
                self._seek(cut.partition, cut.end)
            except OffsetOutOfRange as lost:
                # It was cut off behind what was sought.
                world.note(f"{lost}")
                for _, number in self.consumer.partitions:
                    self._seek(number, 0)
            except FluvioError as error:
                world.note(f"a consumer goes on after {type(error).__name__}: {error}")
                for _, number in self.consumer.partitions:
                    self.reader.forgets(number)
                    self.consumer.seek(number, self.consumer.position(number) or 0)
                await world.sleep(0.1)

    def _meddle(self) -> None:
        rng = self.stage.world.rng
        if self.stage.world.calm:
            self._go_on()
        elif rng.random() < MEDDLING:
            number = rng.randrange(self.stage.partitions)
            position = self.consumer.position(number) or 0
            self.reader.stands(number, position)
            if rng.random() < 0.5:
                self._pause(number)
            else:
                # No further than to what is replicated, which no election cuts off.
                ahead = self.consumer.known_lag()[TOPIC, number]
                self._seek(number, max(0, position + rng.randint(-SOUGHT, min(SOUGHT, ahead))))

    def _pause(self, number: int) -> None:
        self.stage.world.note(f"{TOPIC}/{number} is paused")
        self.consumer.pause(number)
        self.reader.paused.add(number)
        self.reader.stands(number, self.consumer.position(number))

    def _go_on(self) -> None:
        for number in sorted(self.reader.paused):
            self.consumer.resume(number)
        self.reader.paused.clear()

    def _seek(self, number: int, to: int) -> None:
        self.stage.world.note(f"{TOPIC}/{number} goes on at {to}")
        self.consumer.seek(number, to)
        self.reader.seeks(number, to)


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
    try:
        await _see_to_it(world, client.admin)
    except FluvioError as error:
        world.ledger.wrong.append(f"an administrator's call fails though all is well: {error}")


async def _see_to_it(world: World, admin: Admin) -> None:
    """All is well: what an administrator does shows."""
    name, wrong, kept = "extra-last", world.ledger.wrong, list(world.ledger.kept)

    async def count() -> int | None:
        """How many partitions the topic is said to have; None: there is no such topic."""
        listed = await admin.list_topics()
        return next((topic.partition_count for topic in listed if topic.name == name), None)

    counts = []
    await admin.create_topic(name)
    counts.append(await count())
    await admin.add_partitions(name, 1)
    counts.append(await count())
    await admin.delete_topic(name)
    counts.append(await count())
    if counts != [1, 2, None]:
        wrong.append(f"{name} was made, got a partition, was deleted, and had {counts} of them")
    offsets = await admin.list_consumer_offsets()
    listed = {(one.consumer_id, one.topic, one.partition) for one in offsets}
    for consumer_id, topic, partition in kept:
        if (consumer_id, topic, partition) not in listed:
            wrong.append(
                f"{consumer_id} was told that its offset of {topic}/{partition} is stored, and it"
                " is not listed"
            )
    await admin.delete_consumer_offset("nobody", TOPIC, 0)


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
