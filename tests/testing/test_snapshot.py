"""Snapshots: what a cluster had comes back, as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from txfluvio.errors import UsageError
from txfluvio.testing import FakeBroker
from txfluvio.testing.faults import Fault, Match, NeverAnswer
from txfluvio.testing.spu.log import PartitionLog, Segment
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.sc import PartitionResolution, SpuResolution

from .broker_kit import REPLICATED, Brokers, values


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    with Brokers.apart() as made:
        yield made


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


def test_nothing_of_what_was_done_to_the_cluster_is_left_after_a_reset(brokers: Brokers) -> None:
    broker = brokers.start(spus=2, topics={"orders": REPLICATED})
    before = dict(broker.spu_endpoints)
    brokers.done(broker.add_spu())
    brokers.done(broker.cluster.create_topic("later", partitions=3))
    broker.cluster.automatic_elections = False
    broker.stall_replication()
    broker.hide_from_metadata("orders")
    broker.plant(Fault(Match("Produce"), NeverAnswer()))
    brokers.done(broker.spu_down(5001))
    brokers.done(broker.reset())
    assert dict(broker.spu_endpoints) == before
    assert sorted(broker.cluster.metadata.spu_ids(SpuResolution.ONLINE)) == [5001, 5002]
    assert broker.cluster.automatic_elections
    assert "orders" in [item.name for item in broker.cluster.metadata.topics.listing()]
    broker.append("orders", [b"a"])
    brokers.clock.advance(0)
    assert broker.replica("orders").log.hw == 1


def test_there_is_nothing_to_go_back_to_before_the_start() -> None:
    broker = FakeBroker(Clock(), network=MemoryNetwork(Clock()))
    failures: list[Any] = []
    broker.reset().addErrback(failures.append)
    assert failures[0].check(UsageError)


# The log's own part


def test_a_log_can_be_begun_anywhere() -> None:
    log = PartitionLog()
    log.begin(7)
    stored = log.append(Batch(encode_batch([b"a"]), 0), now=3.0)
    assert (log.log_start, stored.base, log.leo) == (7, 7, 8)
    assert list(log.dump()) == [Segment(7, (stored.data,), 3.0)]
