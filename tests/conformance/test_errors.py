"""Errors: each has a name, and comes at the call, on entering, or where it happens."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory

from txfluvio import ClientConfig, FluvioClient, Offset
from txfluvio.errors import (
    ClientClosed,
    CompressionConflict,
    ConnectFailed,
    ConsumerClosed,
    InvalidConfig,
    InvalidRecord,
    NotStarted,
    OffsetOutOfRange,
    PartitionNotFound,
    ProducerClosed,
    RecordTooLarge,
    TopicDeleted,
    TopicNotFound,
)

from .kit import Bench, numbered, take, the_reactor, values, with_reactor

# At the call


@with_reactor
async def test_a_wrong_setting_is_named(bench: Bench) -> None:
    with pytest.raises(InvalidConfig, match=r"ProducerConfig\.linger"):
        bench.client.producer("t", linger=-1)
    with pytest.raises(InvalidConfig, match=r"ConsumerConfig\.max_bytes"):
        bench.client.consumer("t", max_bytes=0)


@pytest.mark.parametrize("wrong", [{"value": "text"}, {"value": b"", "key": 1}, {"value": None}])
@with_reactor
async def test_keys_and_values_are_bytes(bench: Bench, wrong: Any) -> None:
    async with bench.client.producer(await bench.topic()) as producer:
        with pytest.raises(InvalidRecord):
            await producer.send(**wrong)


@with_reactor
async def test_a_record_over_the_limit_is_refused_at_once(bench: Bench) -> None:
    async with bench.client.producer(await bench.topic()) as producer:
        with pytest.raises(RecordTooLarge):
            await producer.send(b"x" * 1024 * 1024)


@with_reactor
async def test_a_partition_that_is_not_there_is_refused_at_once(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        with pytest.raises(PartitionNotFound):
            await producer.send(b"x", partition=1)
    assert await bench.read(topic) == []


@with_reactor
async def test_what_is_closed_says_so(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        pass
    async with bench.client.consumer(topic) as consumer:
        pass
    with pytest.raises(ProducerClosed):
        await producer.send(b"x")
    with pytest.raises(ConsumerClosed):
        await consumer.next()
    client = bench.connect()
    with pytest.raises(NotStarted):
        await client.admin.list_topics()
    async with client:
        pass
    with pytest.raises(ClientClosed):
        await client.admin.list_topics()
    with pytest.raises(ClientClosed):
        client.producer(topic)


# On entering


@with_reactor
async def test_a_topic_that_is_not_there_is_named(bench: Bench) -> None:
    name = bench.names.new()
    for made in (bench.client.producer(name), bench.client.consumer(name)):
        with pytest.raises(TopicNotFound, match=name):
            await made.start()


@with_reactor
async def test_a_partition_to_read_that_is_not_there_is_named(bench: Bench) -> None:
    topic = await bench.topic(2)
    with pytest.raises(PartitionNotFound, match=f"{topic} has no partition 9"):
        await bench.client.consumer(topic, partitions=9).start()


@with_reactor
async def test_another_codec_than_the_topic_demands_is_a_conflict(bench: Bench) -> None:
    topic = await bench.topic(compression="lz4")
    with pytest.raises(CompressionConflict, match=r"'lz4'.*'gzip'"):
        await bench.client.producer(topic, compression="gzip").start()


@with_reactor
async def test_a_cluster_that_is_not_there_is_named_with_the_reason(bench: Bench) -> None:
    port = await TCP4ServerEndpoint(the_reactor, 0, interface="127.0.0.1").listen(Factory())
    number = port.getHost().port
    await port.stopListening()
    config = ClientConfig(endpoint=f"127.0.0.1:{number}", connect_timeout=0.2)
    with pytest.raises(ConnectFailed, match=rf"127\.0\.0\.1:{number}.*refused"):
        await FluvioClient(the_reactor, config).start()


# While it reads or writes


@with_reactor
async def test_an_offset_behind_the_end_is_out_of_range(bench: Bench) -> None:
    topic = await bench.filled(3)
    async with bench.client.consumer(topic, start=Offset.absolute(99)) as consumer:
        with pytest.raises(OffsetOutOfRange):
            await consumer.next(30.0)
        consumer.seek(0, 1)
        assert values(await take(consumer, 2)) == numbered(2, first=1)


@with_reactor
async def test_who_reads_a_topic_that_is_deleted_is_told(bench: Bench) -> None:
    topic = await bench.filled(2)
    async with bench.client.consumer(topic, start=Offset.beginning()) as consumer:
        await take(consumer, 2)
        await bench.client.admin.delete_topic(topic)
        with pytest.raises(TopicDeleted):
            await consumer.next(30.0)


@with_reactor
async def test_who_writes_to_a_topic_that_is_deleted_is_told(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        await producer.send(b"x")
        await bench.client.admin.delete_topic(topic)
        with pytest.raises(TopicNotFound):
            await producer.send(b"y")
