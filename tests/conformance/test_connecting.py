"""A client and its cluster: beginning, end, and what is known of each other."""

from __future__ import annotations

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from txfluvio import ConnectionState

from .kit import Bench, numbered, values, with_reactor


@with_reactor
async def test_a_client_that_is_entered_is_connected(bench: Bench) -> None:
    client = bench.connect()
    states = [client.state]
    async with client:
        states.append(client.state)
        assert client.cluster_version is not None
        await client.when_connected()
    states.append(client.state)
    assert states == [ConnectionState.NEW, ConnectionState.CONNECTED, ConnectionState.STOPPED]


@with_reactor
async def test_a_client_is_part_of_an_application(bench: Bench) -> None:
    application, client = MultiService(), bench.connect()
    client.setServiceParent(application)
    application.startService()
    await client.when_connected()
    await client.admin.list_topics()
    stopping = application.stopService()
    assert isinstance(stopping, Deferred)
    await stopping
    assert client.state is ConnectionState.STOPPED


@with_reactor
async def test_a_client_can_be_started_again(bench: Bench) -> None:
    topic, client = await bench.topic(), bench.connect()
    for value in numbered(2):
        async with client, client.producer(topic) as producer:
            await producer.send(value)
    assert values(await bench.read(topic)) == numbered(2)


@with_reactor
async def test_what_was_sent_is_stored_when_the_client_is_closed(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.connect() as client:
        producer = client.producer(topic, linger=60.0)
        await producer.start()
        sent = [producer.send(value) for value in numbered(3)]
    assert [(await stored).offset for stored in sent] == [0, 1, 2]
    assert values(await bench.read(topic)) == numbered(3)


@with_reactor
async def test_clients_see_what_others_do(bench: Bench) -> None:
    async with bench.connect() as other:
        topic = await bench.topic()
        async with other.producer(topic) as producer:
            await producer.send(b"from the other")
    assert values(await bench.read(topic)) == [b"from the other"]
