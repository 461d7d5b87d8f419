"""SmartModules: run over what is read and what is written, by name or brought along."""

from __future__ import annotations

import pytest

from tests.testing.smartmodules import wat
from txfluvio import Lookback, Offset, SmartModuleInvocation
from txfluvio.errors import (
    NotAllStored,
    SmartModuleInitError,
    SmartModuleNotFound,
    SmartModuleRuntimeError,
)

from .kit import Bench, take, values, with_reactor

FRUIT = [b"apple", b"fig", b"banana", b"plum"]


async def fruit(bench: Bench) -> str:
    """A topic of fruit, each in a batch of its own."""
    topic = await bench.topic()
    for value in FRUIT:
        await bench.append(topic, [value])
    return topic


async def through(
    bench: Bench, topic: str, *chain: SmartModuleInvocation, **settings: object
) -> list[bytes]:
    """What comes out of a chain over all that a topic has."""
    return values(await bench.read(topic, smartmodules=list(chain), **settings))


FILTER = SmartModuleInvocation("filter", wasm=wat.FILTER)
UPPER = SmartModuleInvocation("upper", wasm=wat.MAP)
HALVE = SmartModuleInvocation("halve", wasm=wat.FILTER_MAP)


# Modules of the cluster


@with_reactor
async def test_a_module_of_the_cluster_is_run_by_its_name(bench: Bench) -> None:
    name = bench.names.new()
    await bench.client.admin.create_smartmodule(name, wat.FILTER)
    topic = await fruit(bench)
    assert await through(bench, topic, SmartModuleInvocation(name)) == [b"apple", b"banana"]


@with_reactor
async def test_a_module_that_is_not_there_is_named(bench: Bench) -> None:
    topic = await bench.topic()
    chain = [FILTER, SmartModuleInvocation("txf-test-nothing")]
    async with bench.client.consumer(topic, smartmodules=chain) as consumer:
        with pytest.raises(SmartModuleNotFound) as caught:
            await consumer.next(30.0)
    assert caught.value.name == "txf-test-nothing"


# Modules that are sent along


@with_reactor
async def test_a_filter_may_be_sent_along(bench: Bench) -> None:
    assert await through(bench, await fruit(bench), FILTER) == [b"apple", b"banana"]


@with_reactor
async def test_what_is_no_module_is_told(bench: Bench) -> None:
    topic = await bench.topic()
    chain = [SmartModuleInvocation("mine", wasm=b"this is not wasm at all")]
    async with bench.client.consumer(topic, smartmodules=chain) as consumer:
        with pytest.raises(SmartModuleInitError, match="mine"):
            await consumer.next(30.0)


@with_reactor
async def test_one_record_may_become_several(bench: Bench) -> None:
    topic = await bench.topic()
    await bench.append(topic, [b"[1,2]", b"[]", b"[3]"])
    module = SmartModuleInvocation("elements", wasm=wat.ARRAY_MAP)
    assert await through(bench, topic, module) == [b"1", b"2", b"3"]


# Chains, parameters, accumulators, looking back


@with_reactor
async def test_a_chain_runs_in_its_order(bench: Bench) -> None:
    topic = await fruit(bench)
    assert await through(bench, topic, FILTER, UPPER) == [b"APPLE", b"BANANA"]


@with_reactor
async def test_a_module_gets_its_parameters(bench: Bench) -> None:
    module = SmartModuleInvocation("only", wasm=wat.FILTER_PARAM, params={"key": "pl"})
    assert await through(bench, await fruit(bench), module) == [b"apple", b"plum"]


@with_reactor
async def test_an_aggregate_begins_with_what_it_is_given(bench: Bench) -> None:
    topic = await bench.topic()
    await bench.append(topic, [b"a", b"b"])
    await bench.append(topic, [b"c"])
    module = SmartModuleInvocation("joined", wasm=wat.AGGREGATE, accumulator=b">")
    assert await through(bench, topic, module) == [b">a", b">ab", b">abc"]


@with_reactor
async def test_a_module_is_shown_the_last_records_before_it_starts(bench: Bench) -> None:
    topic = await fruit(bench)
    module = SmartModuleInvocation("as-many", wasm=wat.LOOK_BACK, lookback=Lookback(last=3))
    assert await through(bench, topic, module) == [b"fig"]


# Positions and ends


@with_reactor
async def test_no_record_has_an_offset_and_the_position_is_behind_all_that_was_seen(
    bench: Bench,
) -> None:
    topic = await fruit(bench)
    beginning = Offset.beginning()
    async with bench.client.consumer(topic, start=beginning, smartmodules=[FILTER]) as consumer:
        assert [record.offset for record in await take(consumer, 2)] == [None, None]
        assert consumer.position(0) == 4


@with_reactor
async def test_where_nothing_passes_the_end_comes_all_the_same(bench: Bench) -> None:
    assert await through(bench, await fruit(bench), UPPER, FILTER, quiet_time=0.5) == []


@with_reactor
async def test_a_reader_of_what_is_to_come_gets_what_passes(bench: Bench) -> None:
    topic = await fruit(bench)
    async with bench.client.consumer(topic, smartmodules=[FILTER]) as consumer:
        await bench.append(topic, [b"kiwi", b"lime"])
        await bench.append(topic, [b"orange"])
        assert values(await take(consumer, 1)) == [b"orange"]


# Failures


@with_reactor
async def test_a_failure_on_a_record_comes_behind_those_before_it(bench: Bench) -> None:
    topic = await bench.topic()
    await bench.append(topic, [b"2", b"3", b"4", b"x", b"6"])
    await bench.append(topic, [b"8"])
    beginning = Offset.beginning()
    async with bench.client.consumer(topic, start=beginning, smartmodules=[HALVE]) as consumer:
        assert values(await take(consumer, 2)) == [b"1", b"2"]
        with pytest.raises(SmartModuleRuntimeError) as caught:
            await consumer.next(30.0)
        error = caught.value
        assert (error.offset, error.record_key, error.record_value) == (3, None, b"x")
        assert (error.module, error.hint) == ("halve", "invalid digit found in string")
        assert error.next_offset is not None
        consumer.seek(0, error.next_offset)
        assert values(await take(consumer, 1)) == [b"4"]


# Writing


@with_reactor
async def test_what_is_written_through_a_chain_is_what_comes_out_of_it(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic, smartmodules=[FILTER, UPPER]) as producer:
        stored = await producer.send_many(FRUIT)
        assert [one.offset for one in stored] == [None] * 4
        assert (await producer.send(b"plum")).offset is None
    assert values(await bench.read(topic)) == [b"APPLE", b"BANANA"]


@with_reactor
async def test_of_a_batch_with_a_record_that_fails_nothing_is_written(bench: Bench) -> None:
    topic = await bench.topic()
    async with bench.client.producer(topic, smartmodules=[HALVE]) as producer:
        with pytest.raises(NotAllStored) as caught:
            await producer.send_many([b"2", b"x"])
        assert isinstance(caught.value.__cause__, SmartModuleRuntimeError)
        await producer.send(b"4")
    assert values(await bench.read(topic)) == [b"2"]
