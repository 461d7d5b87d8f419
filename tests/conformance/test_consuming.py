"""Consuming: which records come, in which order, and where the reader stands."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from txfluvio import Isolation, Offset, OffsetReset, Record, Share
from txfluvio.config import CODECS
from txfluvio.errors import WaitTimedOut

from .kit import Bench, by_partition, numbered, take, values, with_reactor

# Where to begin

STARTS = [
    (Offset.beginning(), 0),
    (Offset.absolute(7), 7),
    (Offset.absolute(10), 10),
    (Offset.from_beginning(4), 4),
    (Offset.from_beginning(99), 10),
    (Offset.from_end(3), 7),
    (Offset.from_end(99), 0),
    (Offset.end(), 10),
]


@pytest.mark.parametrize(("start", "first"), STARTS, ids=lambda value: str(value))
@with_reactor
async def test_a_start_is_found(bench: Bench, start: Offset, first: int) -> None:
    topic = await bench.filled(10)
    assert values(await bench.read(topic, start=start)) == numbered(10 - first, first)


@with_reactor
async def test_without_a_start_what_comes_from_now_on_is_read(bench: Bench) -> None:
    topic = await bench.filled(5)
    async with bench.client.consumer(topic) as consumer:
        await bench.append(topic, [b"new"])
        assert values(await take(consumer, 1)) == [b"new"]


# Where to end


@with_reactor
async def test_a_stop_is_the_first_offset_that_does_not_come(bench: Bench) -> None:
    topic = await bench.filled(10)
    assert values(await bench.read(topic, stop=Offset.absolute(4))) == numbered(4)


@with_reactor
async def test_with_nothing_to_read_the_end_comes_at_once(bench: Bench) -> None:
    topic = await bench.topic(2)
    assert await bench.read(topic) == []


@with_reactor
async def test_the_end_is_that_of_the_beginning(bench: Bench) -> None:
    topic = await bench.filled(3)
    settings: dict[str, Any] = {"start": Offset.beginning(), "stop": Offset.end()}
    async with bench.client.consumer(topic, **settings) as consumer:
        await bench.append(topic, [b"later"])
        assert values([record async for record in consumer]) == numbered(3)


@with_reactor
async def test_a_stop_that_is_not_there_yet_is_waited_for(bench: Bench) -> None:
    topic = await bench.filled(2)
    settings: dict[str, Any] = {"start": Offset.beginning(), "stop": Offset.absolute(4)}
    async with bench.client.consumer(topic, **settings) as consumer:
        assert values(await take(consumer, 2)) == numbered(2)
        await bench.append(topic, numbered(9, first=2))
        assert values([record async for record in consumer]) == numbered(2, first=2)


# What comes


@with_reactor
async def test_records_that_are_stored_while_it_waits_come(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.consumer(topic, start=Offset.beginning()) as consumer:
        for value in numbered(5):
            waiting = consumer.next(30.0)
            await bench.append(topic, [value])
            assert (await waiting).value == value


@with_reactor
async def test_a_record_tells_where_it_is_stored(bench: Bench) -> None:
    topic = await bench.filled(3)
    found = await bench.read(topic)
    assert [(r.topic, r.partition, r.offset) for r in found] == [(topic, 0, n) for n in range(3)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("max_bytes", [1, 500, 100_000])
@with_reactor
async def test_batches_come_whole_wherever_a_push_ends(
    bench: Bench, codec: str, max_bytes: int
) -> None:
    topic = await bench.topic()
    await bench.append(topic, numbered(200), compression=codec, batch_size=700)
    assert values(await bench.read(topic, max_bytes=max_bytes)) == numbered(200)


@with_reactor
async def test_a_batch_larger_than_all_it_may_hold_comes(bench: Bench) -> None:
    topic = await bench.topic()
    sent = [b"x" * 300_000, b"y"]
    await bench.append(topic, sent)
    assert values(await bench.read(topic, max_bytes=1_000, buffer_memory=2_000)) == sent


@with_reactor
async def test_records_come_as_lists_too(bench: Bench) -> None:
    topic = await bench.filled(100, 100)
    found: list[Record] = []
    arguments: dict[str, Any] = {"start": Offset.beginning(), "stop": Offset.end()}
    async with bench.client.consumer(topic, **arguments) as consumer:
        async for batch in consumer.batches():
            assert len({record.partition for record in batch}) == 1
            found += batch
    assert by_partition(found) == {0: numbered(100), 1: numbered(100)}


@with_reactor
async def test_the_log_is_read_across_its_segments(bench: Bench) -> None:
    topic = await bench.topic(segment_size=2048)
    await bench.append(topic, numbered(1000), batch_size=500, max_request_size=500)
    assert values(await bench.read(topic)) == numbered(1000)


@with_reactor
async def test_only_committed_records_come_where_that_is_asked_for(bench: Bench) -> None:
    topic = await bench.topic(replication=await bench.replication())
    settings: dict[str, Any] = {"start": Offset.beginning(), "isolation": Isolation.READ_COMMITTED}
    async with bench.client.consumer(topic, **settings) as consumer:
        await bench.append(topic, numbered(10))
        assert values(await take(consumer, 10)) == numbered(10)


# Which partitions


@with_reactor
async def test_each_partition_comes_in_its_order(bench: Bench) -> None:
    topic = await bench.filled(30, 20, 10)
    found = by_partition(await bench.read(topic))
    assert found == {0: numbered(30), 1: numbered(20), 2: numbered(10)}


@with_reactor
async def test_only_the_partitions_asked_for_come(bench: Bench) -> None:
    topic = await bench.filled(3, 2, 1)
    assert by_partition(await bench.read(topic, partitions=1)) == {1: numbered(2)}
    found = by_partition(await bench.read(topic, partitions=[2, 0]))
    assert found == {0: numbered(3), 2: numbered(1)}


@with_reactor
async def test_workers_have_each_partition_once(bench: Bench) -> None:
    topic = await bench.filled(1, 2, 3)
    shares = [await bench.read(topic, partitions=Share(index, 2)) for index in range(2)]
    assert by_partition(shares[0]) == {0: numbered(1), 2: numbered(3)}
    assert by_partition(shares[1]) == {1: numbered(2)}


@with_reactor
async def test_several_topics_come_in_one_stream(bench: Bench) -> None:
    one, other = await bench.filled(3), await bench.filled(0, 2)
    found = await bench.read([one, other])
    assert values(r for r in found if r.topic == one) == numbered(3)
    assert by_partition(r for r in found if r.topic == other) == {1: numbered(2)}


@with_reactor
async def test_partitions_that_are_added_are_read_from_their_beginning(bench: Bench) -> None:
    topic = await bench.filled(1)
    async with bench.client.consumer(topic) as consumer:
        await bench.client.admin.add_partitions(topic, 1)
        await bench.append(topic, numbered(3), partition=1)
        assert by_partition(await take(consumer, 3)) == {1: numbered(3)}


# Where the reader stands


@with_reactor
async def test_the_position_is_that_of_the_next_record(bench: Bench) -> None:
    topic = await bench.filled(10)
    async with bench.client.consumer(topic, start=Offset.absolute(4)) as consumer:
        assert consumer.position(0) == 4
        await take(consumer, 3)
        assert consumer.position(0) == 7


@with_reactor
async def test_the_lag_is_what_is_left(bench: Bench) -> None:
    topic = await bench.filled(10)
    async with bench.client.consumer(topic, start=Offset.beginning()) as consumer:
        assert await consumer.lag(0) == 10
        await take(consumer, 4)
        assert await consumer.lag(0) == 6


@with_reactor
async def test_it_goes_on_where_it_is_told_to(bench: Bench) -> None:
    topic = await bench.filled(10)
    async with bench.client.consumer(topic, start=Offset.beginning()) as consumer:
        await take(consumer, 2)
        consumer.seek(0, 8)
        assert values(await take(consumer, 2)) == numbered(2, first=8)
        consumer.seek(0, Offset.from_beginning(1))
        assert values(await take(consumer, 2)) == numbered(2, first=1)
        consumer.seek(0, Offset.from_end(1))
        assert values(await take(consumer, 1)) == numbered(1, first=9)


@with_reactor
async def test_a_paused_partition_does_not_come_until_it_is_resumed(bench: Bench) -> None:
    topic = await bench.filled(5, 5)
    async with bench.client.consumer(topic, start=Offset.beginning()) as consumer:
        consumer.pause(0)
        assert by_partition(await take(consumer, 5)) == {1: numbered(5)}
        consumer.resume(0)
        assert by_partition(await take(consumer, 5)) == {0: numbered(5)}


@with_reactor
async def test_an_offset_behind_the_log_is_reset_where_that_is_asked_for(bench: Bench) -> None:
    topic = await bench.filled(5)
    settings: dict[str, Any] = {"start": Offset.absolute(99), "reset": OffsetReset.EARLIEST}
    async with bench.client.consumer(topic, **settings) as consumer:
        assert values(await take(consumer, 5)) == numbered(5)


# Waiting


@with_reactor
async def test_a_wait_that_is_given_up_loses_nothing(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.consumer(topic, start=Offset.beginning()) as consumer:
        waiting = consumer.next()
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        with pytest.raises(WaitTimedOut):
            await consumer.next(timeout=0.02)
        await bench.append(topic, [b"x"])
        assert values(await take(consumer, 1)) == [b"x"]


@with_reactor
async def test_two_readers_do_not_disturb_each_other(bench: Bench) -> None:
    topic = await bench.filled(100)
    start = Offset.beginning()
    async with (
        bench.client.consumer(topic, start=start) as one,
        bench.client.consumer(topic, start=start) as other,
    ):
        for number in numbered(100):
            assert values([*await take(one, 1), *await take(other, 1)]) == [number, number]


# A handler instead of a loop


@with_reactor
async def test_a_handler_gets_each_record_in_order(bench: Bench) -> None:
    topic = await bench.filled(20)
    seen: list[Record] = []
    service = bench.client.consume(topic, seen.append, start=Offset.beginning(), stop=Offset.end())
    service.startService()
    await service.when_done()
    assert values(seen) == numbered(20)


@with_reactor
async def test_a_handler_that_fails_ends_it_with_its_error(bench: Bench) -> None:
    topic = await bench.filled(5)
    seen: list[bytes] = []

    def handle(record: Record) -> None:
        seen.append(record.value)
        if record.offset == 2:
            raise ZeroDivisionError

    service = bench.client.consume(topic, handle, start=Offset.beginning())
    service.startService()
    with pytest.raises(ZeroDivisionError):
        await service.when_done()
    assert seen == numbered(3)
