"""Snapshots: what a cluster had comes back, in the same process or in the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txfluvio.errors import UsageError
from txfluvio.testing import FakeBroker
from txfluvio.testing.log import PartitionLog, Segment
from txfluvio.testing.snapshot import INDEX, load, save
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.sc import (
    SPU,
    Assigned,
    PartitionMap,
    PartitionResolution,
    TopicSpec,
    TopicStorage,
)

REPLICATED = TopicSpec(replicas=Assigned(partitions=(PartitionMap(id=0, replicas=(5001, 5002)),)))


def small_segments() -> TopicSpec:
    """A topic whose segments hold one record each."""
    maps = (PartitionMap(id=0, replicas=(5001,)),)
    size = len(encode_batch([b"x" * 1000]))
    return TopicSpec(replicas=Assigned(partitions=maps), storage=TopicStorage(segment_size=size))


class Brokers:
    """Brokers one after another, in memory under a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.running: FakeBroker | None = None

    def start(self, **settings: Any) -> FakeBroker:
        self.stop()
        network = MemoryNetwork(self.clock)
        self.running = FakeBroker(self.clock, network=network, **settings)
        self.done(self.running.start())
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.done(self.running.stop())
            self.running = None

    def done(self, waiting: Deferred[Any]) -> Any:
        found: list[Any] = []
        waiting.addBoth(found.append)
        self.clock.advance(0)
        assert found, "nothing yet"
        if found[0] is not None and hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]


@pytest.fixture
def brokers() -> Any:
    made = Brokers()
    yield made
    made.stop()


def values(broker: FakeBroker, topic: str = "orders") -> list[bytes]:
    return [record.value for record in broker.records(topic)]


# In the same process


def test_what_came_after_a_snapshot_is_gone_when_it_is_restored(brokers: Brokers) -> None:
    broker = brokers.start(topics={"orders": 1})
    broker.append("orders", [b"a"])
    snapshot = broker.snapshot()
    broker.append("orders", [b"b"])
    brokers.done(broker.cluster.create_topic("later"))
    brokers.done(broker.restore(snapshot))
    assert values(broker) == [b"a"]
    assert "later" not in broker.cluster.metadata.topics


def test_what_went_after_a_snapshot_is_back_when_it_is_restored(brokers: Brokers) -> None:
    broker = brokers.start(topics={"orders": 1})
    broker.append("orders", [b"a"])
    snapshot = broker.snapshot()
    brokers.done(broker.cluster.delete_topic("orders"))
    brokers.done(broker.restore(snapshot))
    assert values(broker) == [b"a"]


def test_a_snapshot_stays_as_it_is_and_can_be_restored_again(brokers: Brokers) -> None:
    broker = brokers.start(topics={"orders": 1})
    snapshot = broker.snapshot()
    for _ in range(2):
        broker.append("orders", [b"a"])
        brokers.done(broker.restore(snapshot))
        assert values(broker) == []


def test_leaders_and_what_is_committed_come_back(brokers: Brokers) -> None:
    broker = brokers.start(spus=2, topics={"orders": REPLICATED})
    broker.append("orders", [b"a"])
    brokers.clock.advance(0)
    broker.stall_replication()
    broker.append("orders", [b"b"])
    broker.move_leader("orders", 0, 5002)
    brokers.clock.advance(0)
    snapshot = broker.snapshot()
    broker.move_leader("orders", 0, 5001)
    brokers.clock.advance(0)
    brokers.done(broker.restore(snapshot))
    log = broker.replica("orders").log
    assert (log.hw, log.leo) == (1, 1)
    leader = broker.cluster.leader(("orders", 0))
    assert leader is not None
    assert leader.id == 5002


def test_an_spu_that_was_down_is_down_again(brokers: Brokers) -> None:
    broker = brokers.start(spus=2, topics={"orders": 2})
    brokers.done(broker.spu_down(5002))
    snapshot = broker.snapshot()
    brokers.done(broker.spu_up(5002))
    brokers.done(broker.restore(snapshot))
    item = broker.cluster.metadata.partitions.get("orders-0")
    assert item is not None
    assert (item.spec.leader, item.status.resolution) == (5002, PartitionResolution.LEADER_OFFLINE)
    brokers.done(broker.spu_up(5002))
    brokers.done(broker.online("orders"))


def test_an_spu_that_was_added_stays_without_records(brokers: Brokers) -> None:
    broker = brokers.start()
    snapshot = broker.snapshot()
    brokers.done(broker.add_spu())
    brokers.done(broker.restore(snapshot))
    assert sorted(broker.cluster.metadata.spu_ids()) == [5001, 5002]
    brokers.done(broker.cluster.create_topic("orders", partitions=2))
    broker.append("orders", [b"a"], 0)
    broker.append("orders", [b"b"], 1)
    assert values(broker) == [b"a", b"b"]


def test_endpoints_do_not_change_with_a_restore(brokers: Brokers) -> None:
    broker = brokers.start(spus=2)
    before = (broker.sc_endpoint, dict(broker.spu_endpoints))
    brokers.done(broker.restore(broker.snapshot()))
    assert (broker.sc_endpoint, dict(broker.spu_endpoints)) == before


def test_a_reset_goes_back_to_the_start(brokers: Brokers) -> None:
    broker = brokers.start(topics={"orders": 1})
    broker.append("orders", [b"a"])
    brokers.done(broker.cluster.create_topic("later"))
    broker.move_clock(5)
    brokers.done(broker.reset())
    assert values(broker) == []
    assert "later" not in broker.cluster.metadata.topics
    assert broker.now() == brokers.clock.seconds()
    assert (len(broker.journal), len(broker.complaints)) == (0, 0)


def test_there_is_nothing_to_go_back_to_before_the_start() -> None:
    broker = FakeBroker(Clock(), network=MemoryNetwork(Clock()))
    failures: list[Any] = []
    broker.reset().addErrback(failures.append)
    assert failures[0].check(UsageError)


# From one broker to the next


def test_a_broker_goes_on_with_what_the_one_before_it_had(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 2}, directory=tmp_path)
    broker.append("orders", [b"a"], 0)
    broker.append("orders", [(b"k", b"b")], 1)
    broker = brokers.start(topics={"orders": 2, "new": 1}, directory=tmp_path)
    assert values(broker) == [b"a", b"b"]
    assert broker.append("orders", [b"c"], 0) == 1
    assert values(broker, "new") == []


def test_a_broker_without_topics_of_its_own_has_those_of_before(
    brokers: Brokers, tmp_path: Path
) -> None:
    brokers.start(topics={"orders": 1}, directory=tmp_path).append("orders", [b"a"])
    assert values(brokers.start(directory=tmp_path)) == [b"a"]


def test_what_is_gone_is_gone_from_the_directory(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1, "other": small_segments()}, directory=tmp_path)
    for value in (b"a", b"b"):
        broker.append("other", [value * 1000])
    broker = brokers.start(directory=tmp_path)
    brokers.done(broker.cluster.delete_topic("orders"))
    broker.evict("other", 0, 1)
    brokers.stop()
    folders = sorted(path.name for path in (tmp_path / "spu-5001").iterdir())
    assert folders == ["consumer-offset-0", "other-0"]
    files = sorted(path.name for path in (tmp_path / "spu-5001" / "other-0").iterdir())
    assert files == [f"{1:020}.log"]


def test_segments_eviction_and_the_high_watermark_are_kept(
    brokers: Brokers, tmp_path: Path
) -> None:
    broker = brokers.start(topics={"orders": small_segments()}, directory=tmp_path)
    for value in (b"a", b"b", b"c"):
        broker.append("orders", [value * 1000])
        brokers.clock.advance(1)
    log = broker.replica("orders").log
    log.hw = 2
    broker.evict("orders", 0, 1)
    before = list(log.dump())
    log = brokers.start(directory=tmp_path).replica("orders").log
    assert (log.log_start, log.hw, log.leo) == (1, 2, 3)
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


def test_the_files_of_a_log_are_its_batches(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    (stored,) = broker.replica("orders").log
    brokers.stop()
    assert (tmp_path / "spu-5001" / "orders-0" / f"{0:020}.log").read_bytes() == stored.data


def test_spus_of_clients_are_kept_and_those_of_the_broker_are_not(
    brokers: Brokers, tmp_path: Path
) -> None:
    brokers.start(spus=2, directory=tmp_path)
    brokers.stop()
    snapshot = load(tmp_path)
    assert snapshot is not None
    assert snapshot.contents[SPU.label] == ()


def test_a_directory_without_a_cluster_holds_none(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    assert load(tmp_path / "nowhere") is None


@pytest.mark.parametrize("damage", ["nonsense", "{}", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_index_is_said_to_be(brokers: Brokers, tmp_path: Path, damage: str) -> None:
    brokers.start(directory=tmp_path)
    brokers.stop()
    (tmp_path / INDEX).write_text(damage)
    with pytest.raises(UsageError, match="can not be read as a cluster"):
        load(tmp_path)


def test_damaged_files_are_said_to_be(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1}, directory=tmp_path)
    broker.append("orders", [b"a"])
    brokers.stop()
    log = tmp_path / "spu-5001" / "orders-0" / f"{0:020}.log"
    log.write_bytes(log.read_bytes()[:-1] + b"?")
    with pytest.raises(UsageError, match="CRC"):
        load(tmp_path)
    log.unlink()
    with pytest.raises(UsageError, match="can not be read as a cluster"):
        load(tmp_path)


def test_saving_again_changes_no_byte(brokers: Brokers, tmp_path: Path) -> None:
    broker = brokers.start(topics={"orders": 1})
    broker.append("orders", [b"a"])
    snapshot = broker.snapshot()
    save(snapshot, tmp_path)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    again = load(tmp_path)
    assert again is not None
    save(again, tmp_path)
    after = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    assert after == before
    assert json.loads((tmp_path / INDEX).read_bytes())["format"] == 1


# The log's own part


def test_a_log_can_be_begun_anywhere() -> None:
    log = PartitionLog()
    log.begin(7)
    stored = log.append(Batch(encode_batch([b"a"]), 0), now=3.0)
    assert (log.log_start, stored.base, log.leo) == (7, 7, 8)
    assert list(log.dump()) == [Segment(7, (stored.data,), 3.0)]
