"""A broker's directory: the next broker has what this one had, whatever ended it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from twisted.logger import LogLevel, capturedLogs, formatEvent

from txfluvio.errors import UsageError
from txfluvio.testing.sc.store import Item
from txfluvio.testing.storage import CHECKPOINT, INDEX, Directory
from txfluvio.wire.sc import (
    SMART_MODULE,
    SPU,
    TOPIC,
    PartitionResolution,
    SmartModuleSpec,
    SmartModuleStatus,
    Wasm,
)

from .broker_kit import LONG, REPLICATED, Brokers, small_segments, values


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    with Brokers.apart() as made:
        yield made


def segment(directory: Path, base: int = 0, partition: str = "orders-0", spu: int = 5001) -> Path:
    return directory / f"spu-{spu}" / partition / f"{base:020}.log"


def segments(directory: Path, partition: str = "orders-0") -> list[int]:
    folder = directory / "spu-5001" / partition
    return sorted(int(path.stem) for path in folder.glob("*.log"))


# What is there again


def test_a_broker_goes_on_with_what_the_one_before_it_had(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 2}, directory=tmp_path)
    broker.append("orders", [b"a"], 0)
    broker.append("orders", [(b"k", b"b")], 1)
    broker = brokers.start(topics={"orders": 2, "new": 1}, directory=tmp_path)
    assert values(broker) == [b"a", b"b"]
    assert broker.append("orders", [b"c"], 0) == 1
    assert values(broker, "new") == []


def test_a_topic_that_stays_as_it_was_kept_though_another_is_asked_for_is_told(
    brokers: Brokers, tmp_path: Path
) -> None:
    for wanted, told in (
        (2, []),
        (2, []),
        (5, ["orders stays as it was kept: with 2 partitions, and not as it is asked for now"]),
        (
            (2, 2),
            ["orders stays as it was kept: with 2 partitions, and not as it is asked for now"],
        ),
    ):
        with capturedLogs() as logged:
            broker = brokers.start(spus=2, topics={"orders": wanted}, directory=tmp_path)
        assert len(broker.replicas("orders")) == 2
        warnings = [one for one in logged if one["log_level"] is LogLevel.warn]
        assert [formatEvent(one) for one in warnings] == told


def test_a_broker_without_topics_of_its_own_has_those_of_before(
    brokers: Brokers, tmp_path: Path
) -> None:
    brokers.start(topics={"orders": 1}, directory=tmp_path).append("orders", [b"a"])
    assert values(brokers.start(directory=tmp_path)) == [b"a"]


def test_what_is_gone_is_gone_from_the_directory(brokers: Brokers, tmp_path: Path) -> None:
    topics = {"orders": 1, "other": small_segments()}
    broker = brokers.start(topics=topics, directory=tmp_path)
    for value in (b"a", b"b", b"c"):
        broker.append("other", [value * LONG])
    assert segments(tmp_path, "other-0") == [0, 1, 2]
    brokers.done(broker.cluster.delete_topic("orders"))
    broker.evict("other", 0, 1)
    folders = sorted(path.name for path in (tmp_path / "spu-5001").iterdir())
    assert folders == ["consumer-offset-0", "other-0"]
    assert segments(tmp_path, "other-0") == [1, 2]


def test_segments_and_when_they_were_written_are_kept(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": small_segments()}, directory=tmp_path)
    for value in (b"a", b"b", b"c"):
        broker.append("orders", [value * LONG])
        brokers.clock.advance(1)
    log = broker.replica("orders").log
    broker.evict("orders", 0, 1)
    before = list(log.dump())
    log = brokers.start(directory=tmp_path).replica("orders").log
    assert (log.log_start, log.hw, log.leo) == (1, 3, 3)
    assert list(log.dump()) == before
    assert [one.written for one in before] == [1_700_000_001.0, 1_700_000_002.0]


def test_a_log_of_which_everything_is_evicted_goes_on_where_it_was(
    brokers: Brokers, tmp_path: Path
) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    broker.evict("orders", 0, 1)
    assert brokers.start(directory=tmp_path).append("orders", [b"b"]) == 1


def test_a_partition_of_an_spu_that_is_not_there_any_more_is_offline(
    brokers: Brokers, tmp_path: Path
) -> None:
    brokers.start(spus=2, topics={"orders": 2}, directory=tmp_path)
    broker = brokers.start(spus=1, directory=tmp_path)
    resolutions = [
        (item.name, item.status.resolution)
        for item in broker.cluster.metadata.partitions
        if item.name.startswith("orders")
    ]
    assert resolutions == [
        ("orders-0", PartitionResolution.OFFLINE),
        ("orders-1", PartitionResolution.ONLINE),
    ]


def test_an_spu_that_is_added_has_what_it_had(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(spus=2, topics={"orders": 2}, directory=tmp_path)
    for partition in (0, 1):
        broker.append("orders", [b"a"], partition)
    broker = brokers.start(spus=1, directory=tmp_path)
    assert brokers.done(broker.add_spu()) == 5002
    brokers.clock.advance(1)
    assert values(broker) == [b"a", b"a"]


def test_spus_of_clients_are_kept_and_those_of_the_broker_are_not(
    brokers: Brokers, tmp_path: Path
) -> None:
    brokers.start(spus=2, directory=tmp_path)
    contents = Directory(tmp_path).contents()
    assert contents is not None
    assert contents[SPU.label] == ()
    assert [item.name for item in contents[TOPIC.label]] == ["consumer-offset"]


# When it is written


def test_what_was_acknowledged_survives_a_kill(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    broker.append("orders", [b"b"])
    tmp_path = brokers.kill(tmp_path)
    broker = brokers.start(directory=tmp_path)
    assert values(broker) == [b"a", b"b"]
    assert broker.replica("orders").log.hw == 2


def test_a_topic_that_was_created_survives_a_kill(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(directory=tmp_path)
    brokers.done(broker.cluster.create_topic("later", partitions=2))
    tmp_path = brokers.kill(tmp_path)
    broker = brokers.start(directory=tmp_path)
    assert broker.cluster.metadata.online_partitions("later") == 2


def test_a_leader_that_was_moved_survives_a_kill(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(spus=2, topics={"orders": REPLICATED}, directory=tmp_path)
    broker.append("orders", [b"a"])
    brokers.clock.advance(0)
    broker.move_leader("orders", 0, 5002)
    brokers.clock.advance(0)
    broker.append("orders", [b"b"])
    brokers.clock.advance(0)
    tmp_path = brokers.kill(tmp_path)
    broker = brokers.start(spus=2, directory=tmp_path)
    leader = broker.cluster.leader(("orders", 0))
    assert leader is not None
    assert leader.id == 5002
    assert values(broker) == [b"a", b"b"]
    assert segment(tmp_path, spu=5001).read_bytes() == segment(tmp_path, spu=5002).read_bytes()


def test_what_is_not_committed_stays_so(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(spus=2, topics={"orders": REPLICATED}, directory=tmp_path)
    broker.append("orders", [b"a"])
    brokers.clock.advance(0)
    broker.stall_replication()
    broker.append("orders", [b"b"])
    tmp_path = brokers.kill(tmp_path)
    contents = Directory(tmp_path).contents()
    assert contents is not None
    log = Directory(tmp_path).logs(5001, contents)["orders", 0]
    assert (log.hw, log.leo) == (1, 2)


def test_what_was_cut_stays_cut(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": small_segments()}, directory=tmp_path)
    for value in (b"a", b"b", b"c"):
        broker.append("orders", [value * LONG])
    broker.replica("orders").log.truncate(1)
    assert segments(tmp_path) == [0]
    broker.append("orders", [b"d"])
    tmp_path = brokers.kill(tmp_path)
    assert values(brokers.start(directory=tmp_path)) == [b"a" * LONG, b"d"]


def test_what_was_cut_within_a_segment_stays_cut(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    for value in (b"a", b"b", b"c"):
        broker.append("orders", [value])
    broker.replica("orders").log.truncate(2)
    broker.evict("orders", 0, 1)
    broker.append("orders", [b"d"])
    assert segments(tmp_path) == [1]
    tmp_path = brokers.kill(tmp_path)
    broker = brokers.start(directory=tmp_path)
    assert values(broker) == [b"b", b"d"]
    assert (broker.replica("orders").log.log_start, broker.replica("orders").log.leo) == (1, 3)


def test_what_could_not_be_written_is_written_with_the_next_change(
    brokers: Brokers, tmp_path: Path
) -> None:
    broker = brokers.start(directory=tmp_path)
    in_the_way = tmp_path / "sc" / f"{SMART_MODULE.label}.bin.new"
    in_the_way.mkdir()
    module = Item("module", SmartModuleSpec(wasm=Wasm(payload=b"wasm")), SmartModuleStatus())
    with pytest.raises(OSError, match=in_the_way.name):
        broker.cluster.metadata.modules.put(module)
    in_the_way.rmdir()
    brokers.done(broker.cluster.create_topic("later"))
    tmp_path = brokers.kill(tmp_path)
    assert "module" in brokers.start(directory=tmp_path).cluster.metadata.modules


def test_what_is_restored_is_in_the_directory(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    snapshot = broker.snapshot()
    broker.evict("orders", 0, 1)
    broker.append("orders", [b"b"])
    brokers.done(broker.restore(snapshot))
    broker.append("orders", [b"c"])
    tmp_path = brokers.kill(tmp_path)
    assert values(brokers.start(directory=tmp_path)) == [b"a", b"c"]


def test_a_topic_that_is_created_anew_has_no_old_records(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    brokers.done(broker.cluster.delete_topic("orders"))
    brokers.done(broker.cluster.create_topic("orders"))
    tmp_path = brokers.kill(tmp_path)
    assert values(brokers.start(directory=tmp_path)) == []


# The files


def test_the_files_of_a_log_are_its_batches(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    broker.append("orders", [b"b"])
    stored = b"".join(one.data for one in broker.replica("orders").log)
    assert segment(tmp_path).read_bytes() == stored
    checkpoint = segment(tmp_path).with_name(CHECKPOINT)
    assert int.from_bytes(checkpoint.read_bytes(), "big") == 2


def test_a_broker_that_starts_writes_no_log_again(brokers: Brokers, tmp_path: Path) -> None:
    brokers.start(topics={"orders": 1}, directory=tmp_path).append("orders", [b"a"])
    brokers.stop()
    before = segment(tmp_path).stat()
    brokers.start(directory=tmp_path)
    after = segment(tmp_path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_batch_that_was_not_written_to_its_end_is_left_out(
    brokers: Brokers, tmp_path: Path
) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    for value in (b"a", b"b"):
        broker.append("orders", [value])
    tmp_path = brokers.kill(tmp_path)
    os.truncate(segment(tmp_path), segment(tmp_path).stat().st_size - 1)
    broker = brokers.start(directory=tmp_path)
    assert values(broker) == [b"a"]
    broker.append("orders", [b"c"])
    assert values(brokers.start(directory=tmp_path)) == [b"a", b"c"]


def test_a_file_that_an_eviction_did_not_get_to_remove_counts_no_more(
    brokers: Brokers, tmp_path: Path
) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    for value in (b"a", b"b"):
        broker.append("orders", [value])
    whole = segment(tmp_path).read_bytes()
    broker.evict("orders", 0, 1)
    tmp_path = brokers.kill(tmp_path)
    segment(tmp_path).write_bytes(whole)
    assert values(brokers.start(directory=tmp_path)) == [b"b"]
    assert segments(tmp_path) == [1]


# What can not be read


def test_a_directory_without_a_cluster_holds_none(tmp_path: Path) -> None:
    assert Directory(tmp_path).contents() is None
    assert Directory(tmp_path / "nowhere").contents() is None


@pytest.mark.parametrize("damage", ["nonsense", "{}", '{"format": 99}', "[]"])
def test_a_damaged_index_is_said_to_be(brokers: Brokers, tmp_path: Path, damage: str) -> None:
    brokers.start(directory=tmp_path)
    brokers.stop()
    (tmp_path / INDEX).write_text(damage)
    with pytest.raises(UsageError, match="can not be read as a cluster"):
        brokers.start(directory=tmp_path)


def test_damaged_objects_are_said_to_be(brokers: Brokers, tmp_path: Path) -> None:
    brokers.start(directory=tmp_path)
    brokers.stop()
    (tmp_path / "sc" / f"{TOPIC.label}.bin").write_bytes(b"?")
    with pytest.raises(UsageError, match="can not be read as a cluster"):
        brokers.start(directory=tmp_path)


def test_damaged_records_are_said_to_be(brokers: Brokers, tmp_path: Path) -> None:
    brokers.start(topics={"orders": 1}, directory=tmp_path).append("orders", [b"a"])
    brokers.stop()
    log = segment(tmp_path)
    log.write_bytes(log.read_bytes()[:-1] + b"?")
    with pytest.raises(UsageError, match="CRC"):
        brokers.start(directory=tmp_path)


def test_a_missing_segment_is_said_to_be(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": small_segments()}, directory=tmp_path)
    for value in (b"a", b"b", b"c"):
        broker.append("orders", [value * LONG])
    brokers.stop()
    segment(tmp_path, 1).unlink()
    with pytest.raises(UsageError, match="does not begin at 1"):
        brokers.start(directory=tmp_path)


# One at a time


@pytest.mark.skipif(find_spec("fcntl") is None, reason="files can not be locked here")
def test_two_brokers_can_not_share_a_directory(brokers: Brokers, tmp_path: Path) -> None:
    brokers.start(directory=tmp_path)
    with Brokers.apart() as others, pytest.raises(UsageError, match="another broker keeps"):
        others.start(directory=tmp_path)
    brokers.stop()
    with Brokers.apart() as others:
        others.start(directory=tmp_path)
