"""A thousand consumers in one client: each reads, follows its leader and ends as one alone would.

In memory, but in the reactor's own time: a ``Clock`` sorts all its calls for each that is added.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from txfluvio import FluvioClient, Isolation, Offset
from txfluvio.consumer import Consumer
from txfluvio.testing import FakeBroker
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

the_reactor: Any = reactor
with_reactor: Callable[[Callable[[], Coroutine[Any, Any, None]]], Callable[[], object]] = (
    pytest_twisted.ensureDeferred
)

COUNT = 1_000


async def read(consumer: Consumer, count: int) -> list[bytes]:
    return [(await consumer.next(60.0)).value for _ in range(count)]


def read_all(consumers: list[Consumer], count: int) -> Deferred[list[list[bytes]]]:
    """What each of them gets, all at a time."""
    return gatherResults([Deferred.fromCoroutine(read(one, count)) for one in consumers])


@with_reactor
async def test_a_thousand_consumers_each_get_every_record_across_a_change_of_leader() -> None:
    network = MemoryNetwork(the_reactor)
    async with FakeBroker(the_reactor, 2, network=network) as broker:
        config = broker.client_config()
        dialer = MemoryDialer(network, config, the_reactor)
        async with FluvioClient(the_reactor, config, dialer=dialer) as client:
            await client.admin.create_topic("orders", assignment=[[5001, 5002], [5002, 5001]])
            producer = client.producer("orders", isolation=Isolation.READ_COMMITTED)
            await producer.start()
            for partition in range(2):
                await producer.send(b"first", partition=partition)
            consumers = [
                client.consumer("orders", partitions=number % 2, start=Offset.beginning())
                for number in range(COUNT)
            ]
            await gatherResults([consumer.start() for consumer in consumers])
            assert await read_all(consumers, 1) == [[b"first"]] * COUNT

            reading = read_all(consumers, 1)
            broker.move_leader("orders", 0, 5002)
            for partition in range(2):
                await producer.send(b"second", partition=partition)
            assert await reading == [[b"second"]] * COUNT
    # The last connection's other end learns of it in a turn of its own.
    await deferLater(the_reactor, 0)
    assert network.links == []
