"""Watching: every change of the objects of a kind, and what there was before.

Others may change things meanwhile, so each test looks at its own objects only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txfluvio import ObjectKind
from txfluvio.admin import Change, ChangeKind, PartitionResolution, Watch

from .kit import Bench, with_reactor


async def until(
    changes: Watch[Any], name: str, wanted: Callable[[Change[Any]], bool]
) -> list[Change[Any]]:
    """The changes of one object up to the first that is wanted."""
    found: list[Change[Any]] = []
    async for change in changes:
        if change.name == name:
            found.append(change)
            if wanted(change):
                break
    return found


def of(kind: ChangeKind) -> Callable[[Change[Any]], bool]:
    return lambda change: change.kind is kind


@with_reactor
async def test_what_is_there_comes_first(bench: Bench) -> None:
    topic = await bench.topic(2)
    async with bench.client.admin.watch(ObjectKind.TOPIC) as changes:
        (change,) = await until(changes, topic, of(ChangeKind.ADDED))
    assert change.object.partition_count == 2


@with_reactor
async def test_a_topics_whole_life_is_told(bench: Bench) -> None:
    async with bench.client.admin.watch(ObjectKind.TOPIC) as changes:
        topic = await bench.topic()
        (added,) = await until(changes, topic, of(ChangeKind.ADDED))
        await bench.client.admin.add_partitions(topic, 1)
        more = await until(changes, topic, lambda change: change.object.partition_count == 2)
        await bench.client.admin.delete_topic(topic)
        gone = await until(changes, topic, of(ChangeKind.DELETED))
    assert added.object.partition_count == 1
    assert {change.kind for change in more} == {ChangeKind.CHANGED}
    assert gone[-1].object.partition_count == 2


@with_reactor
async def test_partitions_come_online(bench: Bench) -> None:
    async with bench.client.admin.watch(ObjectKind.PARTITION) as changes:
        topic = await bench.topic()
        found = await until(
            changes,
            f"{topic}-0",
            lambda change: change.object.resolution is PartitionResolution.ONLINE,
        )
    assert found[0].kind is ChangeKind.ADDED
    assert (found[-1].object.topic, found[-1].object.number) == (topic, 0)


@with_reactor
async def test_the_spus_are_told(bench: Bench) -> None:
    (spu, *_) = await bench.client.admin.list_spus()
    async with bench.client.admin.watch(ObjectKind.SPU) as changes:
        (change,) = await until(changes, spu.name, of(ChangeKind.ADDED))
    assert (change.object.id, change.object.online) == (spu.id, spu.online)


@with_reactor
async def test_a_smartmodule_comes_and_goes(bench: Bench) -> None:
    name = bench.names.new()
    async with bench.client.admin.watch(ObjectKind.SMARTMODULE) as changes:
        await bench.client.admin.create_smartmodule(name, b"\x1f\x8b not really")
        (added,) = await until(changes, name, of(ChangeKind.ADDED))
        await bench.client.admin.delete_smartmodule(name)
        (deleted,) = await until(changes, name, of(ChangeKind.DELETED))
    assert added.object.name == deleted.object.name == name


@with_reactor
async def test_two_watches_are_told_the_same(bench: Bench) -> None:
    watch = bench.client.admin.watch
    async with watch(ObjectKind.TOPIC) as one, watch(ObjectKind.TOPIC) as other:
        topic = await bench.topic()
        for changes in (one, other):
            (change,) = await until(changes, topic, of(ChangeKind.ADDED))
            assert change.object.name == topic
