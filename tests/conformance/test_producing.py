"""Producing: what is stored, where, and what its sender gets to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from zope.interface import implementer

from txfluvio import Delivery, Isolation, Offset
from txfluvio.config import CODECS
from txfluvio.errors import MessageTooLarge
from txfluvio.interfaces import IPartitioner

from .kit import Bench, by_partition, numbered, values, with_reactor


@with_reactor
async def test_a_record_is_stored_where_its_sender_was_told(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        stored = [await producer.send(value) for value in numbered(3)]
    assert [(s.topic, s.partition, s.offset) for s in stored] == [(topic, 0, n) for n in range(3)]
    assert values(await bench.read(topic)) == numbered(3)


@with_reactor
async def test_records_that_are_not_waited_for_keep_their_order(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        sent = [producer.send(value) for value in numbered(500)]
        assert [(await one).offset for one in sent] == list(range(500))
    assert values(await bench.read(topic)) == numbered(500)


@with_reactor
async def test_of_many_sent_together_each_ones_place_is_told(bench: Bench) -> None:
    topic = await bench.topic(3)
    async with bench.client.producer(topic) as producer:
        stored = await producer.send_many(numbered(100))
    found = {(record.partition, record.offset): record.value for record in await bench.read(topic)}
    assert [found[place.partition, place.offset] for place in stored] == numbered(100)


@with_reactor
async def test_a_record_comes_back_as_it_was_sent(bench: Bench) -> None:
    topic = await bench.topic()
    sent = [(None, b"value"), (b"key", b"value"), (b"", b"value"), (b"key", b""), (None, b"\0\xff")]
    async with bench.client.producer(topic) as producer:
        await producer.send_many(sent)
    assert [(record.key, record.value) for record in await bench.read(topic)] == sent


@with_reactor
async def test_a_record_bears_the_time_it_was_given(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        told = await producer.send(b"then", timestamp=1_600_000_000_123)
        now = await producer.send(b"now")
    found = await bench.read(topic)
    assert told.timestamp == 1_600_000_000_123
    assert [record.timestamp for record in found] == [told.timestamp, now.timestamp]


@with_reactor
async def test_records_of_one_key_meet_in_one_partition(bench: Bench) -> None:
    topic = await bench.topic(3)
    async with bench.client.producer(topic) as producer:
        await producer.send_many([(b"key-%d" % (n % 5), b"%d" % n) for n in range(50)])
    places: dict[bytes | None, set[int]] = {}
    for record in await bench.read(topic):
        places.setdefault(record.key, set()).add(record.partition)
    assert sorted(map(len, places.values())) == [1, 1, 1, 1, 1]


@with_reactor
async def test_records_without_a_key_take_turns(bench: Bench) -> None:
    topic = await bench.topic(3)
    async with bench.client.producer(topic) as producer:
        await producer.send_many(numbered(9))
    found = by_partition(await bench.read(topic))
    assert {partition: len(records) for partition, records in found.items()} == {0: 3, 1: 3, 2: 3}


@with_reactor
async def test_a_record_goes_to_the_partition_it_is_told(bench: Bench) -> None:
    topic = await bench.topic(3)
    async with bench.client.producer(topic) as producer:
        for partition in (2, 0, 1, 2):
            await producer.send(b"%d" % partition, key=b"same", partition=partition)
    assert by_partition(await bench.read(topic)) == {0: [b"0"], 1: [b"1"], 2: [b"2", b"2"]}


@implementer(IPartitioner)
class _ByLength:
    def choose(
        self, key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]
    ) -> int:
        return len(value) % partition_count


@with_reactor
async def test_the_users_own_partitioner_decides(bench: Bench) -> None:
    topic = await bench.topic(3)
    async with bench.client.producer(topic, partitioner=_ByLength()) as producer:
        await producer.send_many([b"a", b"bb", b"ccc", b"dddd"])
    assert by_partition(await bench.read(topic)) == {0: [b"ccc"], 1: [b"a", b"dddd"], 2: [b"bb"]}


@pytest.mark.parametrize("codec", CODECS)
@with_reactor
async def test_a_codec_changes_nothing_for_the_reader(bench: Bench, codec: str) -> None:
    topic = await bench.topic()
    await bench.append(topic, numbered(1000), compression=codec)
    assert values(await bench.read(topic)) == numbered(1000)


@with_reactor
async def test_what_the_topic_demands_is_obeyed(bench: Bench) -> None:
    topic = await bench.topic(compression="lz4")
    await bench.append(topic, numbered(10))
    assert values(await bench.read(topic)) == numbered(10)


@with_reactor
async def test_a_record_larger_than_a_batch_goes_alone(bench: Bench) -> None:
    topic = await bench.topic()
    sent = [b"a", b"x" * 500_000, b"b"]
    await bench.append(topic, sent, batch_size=1_000)
    assert values(await bench.read(topic)) == sent


@with_reactor
async def test_a_record_that_no_segment_can_hold_is_refused_and_harms_no_other(
    bench: Bench,
) -> None:
    topic = await bench.topic(segment_size=4096)
    async with bench.client.producer(topic) as producer:
        with pytest.raises(MessageTooLarge):
            await producer.send(b"x" * 10_000)
        await producer.send(b"fits")
    assert values(await bench.read(topic)) == [b"fits"]


@with_reactor
async def test_what_lingers_leaves_when_it_is_flushed(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic, linger=60.0) as producer:
        sent = producer.send(b"x")
        assert not sent.called
        await producer.flush()
        assert (await sent).offset == 0


@with_reactor
async def test_what_lingers_leaves_when_it_is_closed(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic, linger=60.0) as producer:
        sent = producer.send(b"x")
    assert (await sent).offset == 0


@with_reactor
async def test_more_than_the_buffer_holds_is_stored_all_the_same(bench: Bench) -> None:
    topic = await bench.topic()
    settings: dict[str, Any] = {
        "batch_size": 1_000,
        "max_request_size": 5_000,
        "buffer_memory": 10_000,
    }
    sent = [b"%05d" % n + b"x" * 95 for n in range(1000)]
    async with bench.client.producer(topic, **settings) as producer:
        waiting = [producer.send(value) for value in sent]
        assert [(await one).offset for one in waiting] == list(range(1000))
    assert values(await bench.read(topic)) == sent


@with_reactor
async def test_a_committed_record_can_be_read_at_once_by_who_reads_only_such(bench: Bench) -> None:
    topic = await bench.topic(replication=await bench.replication())
    # A follower may take its time before it follows a new topic.
    settings: dict[str, Any] = {"isolation": Isolation.READ_COMMITTED, "replication_timeout": 20.0}
    async with bench.client.producer(topic, **settings) as producer:
        await producer.send_many(numbered(20))
        found = await bench.read(topic, isolation=Isolation.READ_COMMITTED)
    assert values(found) == numbered(20)


@with_reactor
async def test_at_most_once_tells_the_place_too(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic, delivery=Delivery.AT_MOST_ONCE) as producer:
        stored = await producer.send_many(numbered(5))
    assert [place.offset for place in stored] == list(range(5))
    assert values(await bench.read(topic)) == numbered(5)


@with_reactor
async def test_partitions_that_are_added_get_their_turn(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as producer:
        await producer.send(b"before")
        await bench.client.admin.add_partitions(topic, 1)
        await producer.send_many(numbered(10))
    found = by_partition(await bench.read(topic))
    assert {partition: len(records) for partition, records in found.items()} == {0: 6, 1: 5}


@with_reactor
async def test_two_producers_do_not_mix_up_their_places(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic) as one, bench.client.producer(topic) as other:
        sent = [(b"%d" % n, (one, other)[n % 2].send(b"%d" % n)) for n in range(100)]
        places = {(await stored).offset: value for value, stored in sent}
    found = await bench.read(topic, start=Offset.beginning())
    assert {record.offset: record.value for record in found} == places
