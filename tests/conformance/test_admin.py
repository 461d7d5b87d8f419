"""Administration: what is made, changed and deleted, and how a cluster tells of it.

Not here: SPU groups, since a cluster on Kubernetes would start SPUs for them.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from txfluvio.admin import PartitionResolution, TableColumn, TopicResolution
from txfluvio.errors import (
    MirrorAlreadyExists,
    MirrorNotFound,
    SmartModuleNotFound,
    SpuAlreadyExists,
    SpuNotFound,
    SystemObjectProtected,
    TableFormatAlreadyExists,
    TableFormatNotFound,
    TopicAlreadyExists,
    TopicInvalidConfiguration,
    TopicInvalidName,
    TopicInvalidReplicaType,
    TopicNotFound,
)

from .kit import Bench, numbered, values, with_reactor

# Topics


@with_reactor
async def test_a_topic_is_as_it_was_ordered(bench: Bench) -> None:
    ordered = {
        "retention": 86_400,
        "segment_size": 1_000_000,
        "max_partition_size": 10_000_000,
        "compression": "zstd",
    }
    name = await bench.topic(2, **ordered)
    found = await bench.client.admin.describe_topic(name)
    assert {setting: getattr(found, setting) for setting in ordered} == ordered
    assert (found.name, found.partition_count, found.replication) == (name, 2, 1)
    assert found.resolution is TopicResolution.PROVISIONED
    assert not found.system


@with_reactor
async def test_an_ordinary_topic_leaves_the_choices_to_others(bench: Bench) -> None:
    found = await bench.client.admin.describe_topic(await bench.topic())
    assert (found.compression, found.deduplication, found.assignment) == ("any", None, None)
    assert (found.retention, found.segment_size, found.max_partition_size) == (None, None, None)


@with_reactor
async def test_a_created_topic_can_be_used_at_once(bench: Bench) -> None:
    topic = await bench.topic(3)
    partitions = await bench.client.admin.list_partitions(topic)
    assert [found.number for found in partitions] == [0, 1, 2]
    assert {found.resolution for found in partitions} == {PartitionResolution.ONLINE}
    await bench.append(topic, [b"x"], partition=2)


@with_reactor
async def test_partitions_are_where_they_were_assigned(bench: Bench) -> None:
    spus = [spu.id for spu in await bench.client.admin.list_spus() if spu.online]
    assignment = ((spus[-1],), (spus[0],))
    name = await bench.topic(assignment=assignment)
    found = await bench.client.admin.describe_topic(name)
    assert found.assignment == assignment
    assert found.partitions is not None
    assert tuple(partition.replicas for partition in found.partitions) == assignment


@with_reactor
async def test_a_replicated_topic_has_its_replicas(bench: Bench) -> None:
    replication = await bench.replication()
    topic = await bench.topic(2, replication=replication)
    found = await bench.client.admin.list_partitions(topic)
    assert [len(partition.replicas) for partition in found] == [replication] * 2


@with_reactor
async def test_a_name_is_taken_once(bench: Bench) -> None:
    topic = await bench.topic()
    with pytest.raises(TopicAlreadyExists):
        await bench.client.admin.create_topic(topic)


@pytest.mark.parametrize("wrong", ["", "Upper", "under_score", "-ends-", "a" * 64])
@with_reactor
async def test_a_name_that_is_none_is_refused(bench: Bench, wrong: str) -> None:
    with pytest.raises(TopicInvalidName):
        await bench.client.admin.create_topic(wrong)


@with_reactor
async def test_a_setting_that_can_not_be_is_refused(bench: Bench) -> None:
    wrong: list[dict[str, Any]]
    wrong = [{"segment_size": 10}, {"retention": 1}, {"max_partition_size": 100}]
    for setting in wrong:
        with pytest.raises(TopicInvalidConfiguration):
            await bench.client.admin.create_topic(bench.names.new(), **setting)


@with_reactor
async def test_a_rehearsal_makes_nothing(bench: Bench) -> None:
    name = bench.names.new()
    await bench.client.admin.create_topic(name, dry_run=True)
    with pytest.raises(TopicNotFound):
        await bench.client.admin.describe_topic(name)


@with_reactor
async def test_a_deleted_topic_is_gone(bench: Bench) -> None:
    topic = await bench.topic()
    await bench.client.admin.delete_topic(topic)
    assert await bench.client.admin.list_topics(topic) == []
    for call in (bench.client.admin.describe_topic, bench.client.admin.delete_topic):
        with pytest.raises(TopicNotFound):
            await call(topic)


@with_reactor
async def test_a_deleted_topics_name_can_be_used_again_and_its_records_are_gone(
    bench: Bench,
) -> None:
    topic = await bench.filled(5)
    await bench.client.admin.delete_topic(topic)
    await bench.client.admin.create_topic(topic)
    await bench.append(topic, [b"new"])
    assert values(await bench.read(topic)) == [b"new"]


@with_reactor
async def test_topics_are_listed_by_name(bench: Bench) -> None:
    made = [await bench.topic() for _ in range(3)]
    listed = await bench.client.admin.list_topics(bench.names.prefix)
    assert [topic.name for topic in listed] == sorted(made)
    some = await bench.client.admin.list_topics([made[2], made[0]])
    assert [topic.name for topic in some] == sorted([made[0], made[2]])


@with_reactor
async def test_what_belongs_to_the_system_is_listed_apart_and_deleted_by_force(
    bench: Bench,
) -> None:
    topic = await bench.topic(system=True)
    assert await bench.client.admin.list_topics(topic) == []
    (found,) = await bench.client.admin.list_topics(topic, system=True)
    assert found.system
    with pytest.raises(SystemObjectProtected):
        await bench.client.admin.delete_topic(topic)
    await bench.client.admin.delete_topic(topic, force=True)
    assert await bench.client.admin.list_topics(topic, system=True) == []


@with_reactor
async def test_added_partitions_can_be_used(bench: Bench) -> None:
    topic = await bench.filled(2)
    await bench.client.admin.add_partitions(topic, 2)
    assert (await bench.client.admin.describe_topic(topic)).partition_count == 3
    await bench.append(topic, numbered(3), partition=2)
    assert values(await bench.read(topic, partitions=2)) == numbered(3)


@with_reactor
async def test_where_partitions_were_assigned_none_are_added(bench: Bench) -> None:
    (spu, *_) = [spu.id for spu in await bench.client.admin.list_spus() if spu.online]
    name = await bench.topic(assignment=[[spu]])
    with pytest.raises(TopicInvalidReplicaType):
        await bench.client.admin.add_partitions(name, 1)


@with_reactor
async def test_a_partition_says_how_far_it_has_come(bench: Bench) -> None:
    topic = await bench.filled(7)
    await bench.eventually(
        lambda: bench.client.admin.list_partitions(topic),
        lambda found: [(p.log_end, p.high_watermark) for p in found] == [(7, 7)],
    )


# SPUs


@with_reactor
async def test_the_spus_are_listed(bench: Bench) -> None:
    listed = await bench.client.admin.list_spus()
    online = [spu for spu in listed if spu.online]
    assert online
    assert all(spu.host and spu.port for spu in online)
    assert len({spu.id for spu in listed}) == len(listed)


@with_reactor
async def test_an_spu_is_announced_and_taken_back(bench: Bench) -> None:
    admin, name = bench.client.admin, bench.names.new()
    number = 1 + max(spu.id for spu in await admin.list_spus())
    await admin.register_spu(number, "nowhere.test", 9010, private_port=9011, name=name)
    (found,) = await admin.list_custom_spus(name)
    assert (found.id, found.host, found.port, found.online) == (number, "nowhere.test", 9010, False)
    with pytest.raises(SpuAlreadyExists):
        await admin.register_spu(number, "nowhere.test", 9010, private_port=9011)
    await admin.unregister_spu(name)
    assert await admin.list_custom_spus(name) == []
    with pytest.raises(SpuNotFound):
        await admin.unregister_spu(name)


# SmartModules, table formats, mirrors


@with_reactor
async def test_a_smartmodule_is_kept_and_deleted(bench: Bench) -> None:
    admin, name, wasm = bench.client.admin, bench.names.new(), b"\x1f\x8b not really"
    assert await admin.create_smartmodule(name, wasm) == name
    (summary,) = await admin.list_smartmodules(name)
    assert (summary.name, summary.size, summary.wasm) == (name, len(wasm), b"")
    (whole,) = await admin.list_smartmodules(name, summary=False)
    assert whole == attrs.evolve(summary, wasm=wasm)
    await admin.delete_smartmodule(name)
    assert await admin.list_smartmodules(name) == []
    with pytest.raises(SmartModuleNotFound):
        await admin.delete_smartmodule(name)


@with_reactor
async def test_a_table_format_is_kept_and_deleted(bench: Bench) -> None:
    admin, name = bench.client.admin, bench.names.new()
    columns = (TableColumn(key_path="price", label="Price"), TableColumn(key_path="count"))
    await admin.create_table_format(name, columns=columns)
    (found,) = await admin.list_table_formats(name)
    assert (found.name, found.columns, found.smartmodule) == (name, columns, None)
    with pytest.raises(TableFormatAlreadyExists):
        await admin.create_table_format(name)
    await admin.delete_table_format(name)
    assert await admin.list_table_formats(name) == []
    with pytest.raises(TableFormatNotFound):
        await admin.delete_table_format(name)


@with_reactor
async def test_a_remote_cluster_is_registered_and_forgotten(bench: Bench) -> None:
    admin, name = bench.client.admin, bench.names.new()
    await admin.register_remote(name)
    (found,) = [mirror for mirror in await admin.list_mirrors() if mirror.name == name]
    assert (found.home, found.online) == (False, False)
    with pytest.raises(MirrorAlreadyExists):
        await admin.register_remote(name)
    await admin.unregister_mirror(name)
    assert name not in [mirror.name for mirror in await admin.list_mirrors()]
    with pytest.raises(MirrorNotFound):
        await admin.unregister_mirror(name)
