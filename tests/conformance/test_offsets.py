"""Stored offsets: where a consumer resumes, and what has to happen before that is known."""

from __future__ import annotations

from typing import Any

import pytest

from txfluvio import Offset, OffsetStrategy, Record
from txfluvio.consumer import Consumer
from txfluvio.errors import OffsetManagementDisabled

from .kit import Bench, by_partition, numbered, take, values, with_reactor


def reader(bench: Bench, topic: str, consumer_id: str, **settings: Any) -> Consumer:
    """A consumer that resumes and stores offsets when told to."""
    arguments = {"offsets": OffsetStrategy.MANUAL, "consumer_id": consumer_id, **settings}
    return bench.client.consumer(topic, **arguments)


async def resumed(bench: Bench, topic: str, consumer_id: str, **settings: Any) -> list[bytes]:
    """What one that resumes gets, up to the end."""
    async with reader(bench, topic, consumer_id, stop=Offset.end(), **settings) as consumer:
        return values([record async for record in consumer])


@with_reactor
async def test_it_resumes_behind_what_was_committed(bench: Bench) -> None:
    topic, name = await bench.filled(10), bench.names.new()
    async with reader(bench, topic, name) as consumer:
        await take(consumer, 4)
        await consumer.commit()
        await take(consumer, 3)
    assert await resumed(bench, topic, name) == numbered(6, first=4)


@with_reactor
async def test_with_nothing_stored_it_begins_at_the_beginning(bench: Bench) -> None:
    topic = await bench.filled(5)
    assert await resumed(bench, topic, bench.names.new()) == numbered(5)


@with_reactor
async def test_with_nothing_stored_it_begins_where_it_is_told_to(bench: Bench) -> None:
    topic = await bench.filled(5)
    start = Offset.stored(fallback=Offset.absolute(3))
    assert await resumed(bench, topic, bench.names.new(), start=start) == numbered(2, first=3)


@with_reactor
async def test_the_beginning_means_the_beginning(bench: Bench) -> None:
    topic, name = await bench.filled(5), bench.names.new()
    async with reader(bench, topic, name) as consumer:
        await take(consumer, 4)
        await consumer.commit()
    assert await resumed(bench, topic, name, start=Offset.beginning()) == numbered(5)


@with_reactor
async def test_each_partition_resumes_at_its_own_place(bench: Bench) -> None:
    topic, name = await bench.filled(4, 4), bench.names.new()
    async with reader(bench, topic, name, partitions=1) as consumer:
        await take(consumer, 3)
        await consumer.commit()
    async with reader(bench, topic, name, stop=Offset.end()) as consumer:
        found = by_partition([record async for record in consumer])
    assert found == {0: numbered(4), 1: numbered(1, first=3)}


@with_reactor
async def test_consumers_do_not_know_each_others_places(bench: Bench) -> None:
    topic, one, other = await bench.filled(5), bench.names.new(), bench.names.new()
    async with reader(bench, topic, one) as consumer:
        await take(consumer, 5)
        await consumer.commit()
    assert await resumed(bench, topic, other) == numbered(5)
    assert await resumed(bench, topic, one) == []


@with_reactor
async def test_every_record_can_be_committed_before_the_next(bench: Bench) -> None:
    topic, name = await bench.filled(50), bench.names.new()
    arguments = {"stop": Offset.end(), "max_bytes": 64, "buffer_memory": 128}
    async with reader(bench, topic, name, **arguments) as consumer:
        async for record in consumer:
            await consumer.commit()
            (stored,) = await bench.client.admin.list_consumer_offsets(consumer_id=name)
            assert stored.offset == record.offset


@with_reactor
async def test_a_lower_place_can_be_committed(bench: Bench) -> None:
    topic, name = await bench.filled(10), bench.names.new()
    async with reader(bench, topic, name) as consumer:
        await take(consumer, 8)
        await consumer.commit()
        consumer.seek(0, 2)
        await take(consumer, 1)
        await consumer.commit()
    assert await resumed(bench, topic, name) == numbered(7, first=3)


@with_reactor
async def test_left_to_itself_it_stores_all_but_the_record_in_hand(bench: Bench) -> None:
    topic, name = await bench.filled(10), bench.names.new()
    async with reader(bench, topic, name, offsets=OffsetStrategy.AUTO) as consumer:
        await take(consumer, 5)
    assert await resumed(bench, topic, name) == numbered(6, first=4)


@with_reactor
async def test_left_to_itself_it_can_be_flushed(bench: Bench) -> None:
    topic, name = await bench.filled(10), bench.names.new()
    async with reader(bench, topic, name, offsets=OffsetStrategy.AUTO) as consumer:
        await take(consumer, 5)
        await consumer.flush_offsets()
        (stored,) = await bench.client.admin.list_consumer_offsets(consumer_id=name)
        assert (stored.topic, stored.partition, stored.offset) == (topic, 0, 3)


@with_reactor
async def test_left_to_itself_it_stores_after_a_while(bench: Bench) -> None:
    topic, name = await bench.filled(10), bench.names.new()
    settings = {"offsets": OffsetStrategy.AUTO, "flush_interval": 0.02}
    async with reader(bench, topic, name, **settings) as consumer:
        await take(consumer, 5)
        await bench.eventually(
            lambda: bench.client.admin.list_consumer_offsets(consumer_id=name),
            lambda stored: [found.offset for found in stored] == [3],
        )


@with_reactor
async def test_what_a_handler_is_done_with_is_stored(bench: Bench) -> None:
    topic, name = await bench.filled(10), bench.names.new()

    def handle(record: Record) -> None:
        if record.offset == 6:
            raise ZeroDivisionError

    service = bench.client.consume(
        topic, handle, consumer_id=name, offsets=OffsetStrategy.AUTO, start=Offset.stored()
    )
    service.startService()
    with pytest.raises(ZeroDivisionError):
        await service.when_done()
    assert await resumed(bench, topic, name) == numbered(4, first=6)


@with_reactor
async def test_stored_offsets_are_listed(bench: Bench) -> None:
    topic, name = await bench.filled(3, 3), bench.names.new()
    async with reader(bench, topic, name) as consumer:
        await take(consumer, 6)
        await consumer.commit()
    listed = await bench.client.admin.list_consumer_offsets(consumer_id=name)
    assert [(o.consumer_id, o.topic, o.partition, o.offset) for o in listed] == [
        (name, topic, 0, 2),
        (name, topic, 1, 2),
    ]
    (second,) = await bench.client.admin.list_consumer_offsets(topic=topic, partition=1)
    assert second == listed[1]


@with_reactor
async def test_a_stored_offset_can_be_forgotten(bench: Bench) -> None:
    topic, name = await bench.filled(3), bench.names.new()
    async with reader(bench, topic, name) as consumer:
        await take(consumer, 2)
        await consumer.commit()
    await bench.client.admin.delete_consumer_offset(name, topic, 0)
    assert await bench.client.admin.list_consumer_offsets(consumer_id=name) == []
    assert await resumed(bench, topic, name) == numbered(3)


@with_reactor
async def test_forgetting_what_was_never_stored_is_no_error(bench: Bench) -> None:
    topic = await bench.topic()
    await bench.client.admin.delete_consumer_offset(bench.names.new(), topic, 0)


@with_reactor
async def test_who_stores_no_offsets_can_not_commit(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.consumer(topic) as consumer:
        with pytest.raises(OffsetManagementDisabled):
            await consumer.commit()
