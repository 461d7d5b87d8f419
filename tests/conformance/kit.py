"""What the tests of behaviour share; nothing here knows which cluster there is."""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from txfluvio import FluvioClient, Offset, Record
from txfluvio.admin import PartitionResolution
from txfluvio.cluster import OFFSETS_TOPIC
from txfluvio.consumer import Consumer
from txfluvio.errors import WaitTimedOut

PREFIX = "txf-test-"

ATTEMPTS = 3
"""Topics to try for one: what an SPU reports of it an SC may lose, where others were deleted."""

the_reactor: Any = reactor

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def with_reactor(test: F) -> F:
    """Run a coroutine function as a test, in the reactor."""
    decorated: F = pytest_twisted.ensureDeferred(test)
    return decorated


def async_fixture(**settings: Any) -> Callable[[F], F]:
    """Run an asynchronous generator function as a fixture, in the reactor."""
    decorator: Callable[[F], F] = pytest_twisted.async_yield_fixture(**settings)
    return decorator


@attrs.frozen
class Names:
    """Names for what a test makes: nobody else's, and all told by their beginning."""

    prefix: str = attrs.field(factory=lambda: f"{PREFIX}{uuid.uuid4().hex[:8]}-")
    _numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1))

    def new(self) -> str:
        """One that nothing has yet."""
        return f"{self.prefix}{next(self._numbers)}"


@attrs.frozen
class Bench:
    """A cluster, a client that is connected to it, and a way to have more of both's makings.

    :ivar client: a client that is started.
    :ivar connect: makes another one, not started, with settings by name.
    :ivar names: for what the test makes.
    """

    client: FluvioClient
    connect: Callable[..., FluvioClient]
    names: Names

    async def ready(self) -> None:
        """Wait until offsets can be stored: a young SC takes its time to make their topic."""
        await self.eventually(
            lambda: self.client.admin.list_partitions(OFFSETS_TOPIC, system=True),
            lambda found: [one.resolution for one in found] == [PartitionResolution.ONLINE],
            seconds=120.0,
        )

    async def topic(self, partitions: int = 1, **settings: Any) -> str:
        """The name of a new topic, which can be used."""
        for _ in range(ATTEMPTS):
            name = self.names.new()
            try:
                await self.client.admin.create_topic(
                    name, partitions=partitions, timeout=20.0, **settings
                )
            except WaitTimedOut as error:
                late = error
            else:
                return name
        raise late

    async def replication(self) -> int:
        """On how many SPUs a topic can be here, two at most."""
        return min(2, sum(spu.online for spu in await self.client.admin.list_spus()))

    async def filled(self, *counts: int, **settings: Any) -> str:
        """A new topic with so many records in each partition, whose values are their numbers.

        :param settings: of the producer.
        """
        name = await self.topic(len(counts))
        for partition, count in enumerate(counts):
            await self.append(name, numbered(count), partition=partition, **settings)
        return name

    async def append(
        self, topic: str, values: Iterable[bytes], *, partition: int = 0, **settings: Any
    ) -> None:
        """Put records into a partition."""
        async with self.client.producer(topic, **settings) as producer:
            await producer.send_many(values, partition=partition)

    async def read(self, topics: Any, **settings: Any) -> list[Record]:
        """Every record that is there, or from the start that is given."""
        arguments = {"start": Offset.beginning(), "stop": Offset.end(), **settings}
        async with self.client.consumer(topics, **arguments) as consumer:
            return [record async for record in consumer]

    async def eventually(
        self, ask: Callable[[], Deferred[T]], holds: Callable[[T], bool], seconds: float = 30.0
    ) -> None:
        """Ask again and again until the answer is as it should be; the last one is shown if not."""
        end = the_reactor.seconds() + seconds
        while not holds(answer := await ask()):
            assert the_reactor.seconds() < end, answer
            await deferLater(the_reactor, 0.01)

    async def clean_up(self) -> None:
        """Delete all that the test has made."""
        admin, prefix = self.client.admin, self.names.prefix
        for system in (False, True):
            for topic in await admin.list_topics(prefix, system=system):
                await admin.delete_topic(topic.name, force=True)
        for module in await admin.list_smartmodules():
            if prefix in module.name:
                await admin.delete_smartmodule(module.name)
        for format_ in await admin.list_table_formats(prefix):
            await admin.delete_table_format(format_.name)
        for group in await admin.list_spu_groups(prefix):
            await admin.delete_spu_group(group.name)
        for spu in await admin.list_custom_spus(prefix):
            await admin.unregister_spu(spu.name)
        for mirror in await admin.list_mirrors():
            if mirror.name.startswith(prefix):
                await admin.unregister_mirror(mirror.name)
        for stored in await admin.list_consumer_offsets():
            if stored.consumer_id.startswith(prefix):
                await admin.delete_consumer_offset(
                    stored.consumer_id, stored.topic, stored.partition
                )


def numbered(count: int, first: int = 0) -> list[bytes]:
    """Values that tell their number."""
    return [str(number).encode() for number in range(first, first + count)]


def values(records: Iterable[Record]) -> list[bytes]:
    return [record.value for record in records]


def by_partition(records: Iterable[Record]) -> dict[int, list[bytes]]:
    """The values of each partition, in the order they came."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for record in records:
        found[record.partition].append(record.value)
    return dict(found)


async def take(consumer: Consumer, count: int) -> list[Record]:
    """The next records, so many."""
    return [await consumer.next(30.0) for _ in range(count)]
