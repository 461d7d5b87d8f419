"""What goes on between an SC and its SPUs: leaders, followers, comings and goings."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.testing.sc_kit import Kit
from txfluvio.errors import BrokerError, TopicAlreadyExists, UsageError
from txfluvio.testing.sc import lifecycle
from txfluvio.testing.sc.metadata import Timing, until
from txfluvio.testing.sc.store import Store
from txfluvio.testing.spu.replica import Role
from txfluvio.testing.timers import Timers
from txfluvio.wire.sc import (
    PARTITION,
    SPU,
    TOPIC,
    Change,
    Computed,
    CreateRequest,
    DeleteRequest,
    ListRequest,
    Metadata,
    PartitionResolution,
    SpuResolution,
    TopicSpec,
    WatchRequest,
)


def create(name: str, partitions: int = 1, replication: int = 1) -> CreateRequest:
    replicas = Computed(partitions=partitions, replication_factor=replication)
    return CreateRequest(kind=TOPIC, name=name, spec=TopicSpec(replicas=replicas))


def partition(kit: Kit, name: str) -> Metadata:
    found = [one for one in kit.ask(ListRequest(kind=PARTITION)).objects if one.name == name]
    assert len(found) == 1
    return found[0]


def replicated(*, spus: int = 2, **settings: Any) -> Kit:
    """A cluster with the topic ``r``, led by SPU 5001 and followed by the others."""
    kit = Kit(spus=spus, **settings)
    kit.cluster.system_topic = False
    kit.ask(DeleteRequest(kind=TOPIC, key="consumer-offset", force=True))
    kit.ask(create("r", replication=spus))
    assert partition(kit, "r-0").spec.leader == 5001
    return kit


class TestPlacement:
    def test_partitions_are_spread_over_the_spus_least_loaded_first(self) -> None:
        kit = Kit(spus=3)
        kit.ask(create("t", partitions=3))
        leaders = [partition(kit, f"t-{number}").spec.leader for number in range(3)]
        assert leaders == [5002, 5003, 5001]

    def test_only_spus_that_run_are_used(self) -> None:
        kit = Kit(spus=3)
        kit.cluster.spu_down(5002)
        kit.ask(create("t", partitions=2))
        leaders = [partition(kit, f"t-{number}").spec.leader for number in range(2)]
        assert leaders == [5003, 5001]

    def test_an_spu_has_the_replicas_that_it_was_given(self) -> None:
        kit = replicated()
        assert kit.replica(5001, "r").role is Role.LEADER
        assert kit.replica(5002, "r").role is Role.FOLLOWER


class TestReplication:
    def test_followers_get_what_the_leader_has_and_commit_it(self) -> None:
        kit = replicated(spus=3)
        kit.append(5001, "r", b"a", b"b")
        assert kit.replica(5001, "r").log.hw == 0
        kit.settle()
        ends = [
            (kit.replica(spu, "r").log.leo, kit.replica(spu, "r").log.hw)
            for spu in (5001, 5002, 5003)
        ]
        assert ends == [(2, 2), (2, 2), (2, 2)]

    def test_a_follower_that_is_down_holds_the_high_watermark_back(self) -> None:
        kit = replicated()
        kit.cluster.spu_down(5002)
        kit.append(5001, "r", b"a")
        kit.settle()
        assert (kit.replica(5001, "r").log.leo, kit.replica(5001, "r").log.hw) == (1, 0)

    def test_it_catches_up_when_it_is_back(self) -> None:
        kit = replicated()
        kit.cluster.spu_down(5002)
        kit.append(5001, "r", b"a")
        kit.cluster.spu_up(5002)
        kit.settle()
        assert kit.replica(5001, "r").log.hw == 1
        assert kit.replica(5002, "r").log.hw == 1

    @pytest.mark.parametrize("stalled", [(), ("r",), ("r", 0)])
    def test_replication_can_be_stalled_and_resumed(self, stalled: tuple[str, int]) -> None:
        kit = replicated()
        resume = kit.cluster.stall_replication(*stalled)
        kit.append(5001, "r", b"a")
        kit.settle()
        assert kit.replica(5001, "r").log.hw == 0
        resume()
        kit.settle()
        assert kit.replica(5001, "r").log.hw == 1

    def test_other_topics_are_not_stalled(self) -> None:
        kit = replicated()
        kit.ask(create("other"))
        kit.cluster.stall_replication("other")
        kit.append(5001, "r", b"a")
        kit.settle()
        assert kit.replica(5001, "r").log.hw == 1

    def test_what_is_not_there_can_not_be_stalled(self) -> None:
        kit = replicated()
        with pytest.raises(UsageError, match="there is no topic nowhere"):
            kit.cluster.stall_replication("nowhere")
        with pytest.raises(UsageError, match="there is no partition r/1"):
            kit.cluster.stall_replication("r", 1)

    def test_replication_takes_the_time_it_is_given(self) -> None:
        kit = replicated(timing=Timing(replication=0.044))
        kit.clock.pump([0.044] * 3)
        kit.append(5001, "r", b"a")
        kit.clock.advance(0.043)
        assert kit.replica(5001, "r").log.hw == 0
        kit.clock.advance(0.002)
        assert kit.replica(5001, "r").log.hw == 1


class TestReports:
    def test_the_metadata_tells_how_far_everybody_is(self) -> None:
        kit = replicated()
        kit.append(5001, "r", b"a", b"b")
        kit.clock.pump([0.4] * 2)
        status = partition(kit, "r-0").status
        assert (status.leader.spu, status.leader.hw, status.leader.leo) == (5001, 2, 2)
        assert [(one.spu, one.hw, one.leo) for one in status.replicas] == [(5002, 2, 2)]
        assert status.lsr == 1
        assert status.size == kit.replica(5001, "r").log.size

    def test_an_spu_reports_no_more_often_than_every_400_milliseconds(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        watch = kit.client().send(WatchRequest(kind=PARTITION))
        watch.news()
        for _ in range(20):
            kit.append(5001, "t", b"a")
            kit.clock.advance(0.05)
        assert len(watch.news()) == 2

    def test_no_report_of_an_spu_tells_of_a_partition_before_its_time(self) -> None:
        kit = Kit(timing=Timing(first_report=0.25))
        kit.client().send(create("a"))
        kit.clock.pump([0.25] * 2)
        kit.append(5001, "a", b"1")
        kit.clock.advance(0.25)
        call = kit.client().send(create("b"))
        kit.clock.pump([0.0, 0.2])
        assert partition(kit, "a-0").status.leader.leo == 1
        assert call.replies == []
        kit.clock.advance(0.05)
        assert call.reply.error_code.code == 0

    def test_the_start_of_a_log_is_never_told(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        kit.append(5001, "t", b"a", b"b")
        kit.replica(5001, "t").log.evict(1)
        kit.append(5001, "t", b"c")
        kit.clock.pump([0.4] * 2)
        assert partition(kit, "t-0").status.base_offset == 0


class TestElections:
    def test_a_follower_leads_when_the_leader_is_gone(self) -> None:
        kit = replicated()
        watch = kit.client().send(WatchRequest(kind=PARTITION))
        watch.news()
        kit.cluster.spu_down(5001)
        kit.settle()
        (push,) = watch.news()
        (change,) = push.changes
        assert change.content.spec.leader == 5002
        assert change.content.status.resolution is PartitionResolution.ONLINE
        assert kit.replica(5002, "r").role is Role.LEADER

    def test_the_status_names_the_old_leader_until_the_new_one_has_news(self) -> None:
        kit = replicated()
        kit.cluster.spu_down(5001)
        kit.clock.advance(60)
        assert partition(kit, "r-0").status.leader.spu == 5001
        kit.append(5002, "r", b"a")
        kit.clock.pump([0.4] * 2)
        assert partition(kit, "r-0").status.leader.spu == 5002

    def test_leadership_does_not_come_back(self) -> None:
        kit = replicated()
        kit.cluster.spu_down(5001)
        kit.settle()
        kit.cluster.spu_up(5001)
        kit.settle()
        assert partition(kit, "r-0").spec.leader == 5002
        assert kit.replica(5001, "r").role is Role.FOLLOWER

    def test_without_a_follower_the_partition_has_no_leader_until_its_own_is_back(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        kit.cluster.spu_down(5001)
        kit.settle()
        assert partition(kit, "t-0").status.resolution is PartitionResolution.LEADER_OFFLINE
        kit.cluster.spu_up(5001)
        kit.settle()
        assert partition(kit, "t-0").status.resolution is PartitionResolution.ONLINE

    def test_records_are_still_there_when_an_spu_is_back(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        kit.append(5001, "t", b"a")
        kit.cluster.spu_down(5001)
        kit.settle()
        kit.cluster.spu_up(5001)
        kit.settle()
        assert kit.replica(5001, "t").log.leo == 1

    @pytest.mark.parametrize(("missing", "leader"), [(3, 5002), (4, 5001)])
    def test_a_follower_leads_only_if_less_than_4_records_behind(
        self, missing: int, leader: int
    ) -> None:
        kit = replicated()
        kit.cluster.stall_replication()
        kit.append(5001, "r", *[b"a"] * missing)
        kit.clock.pump([0.4] * 2)
        kit.cluster.spu_down(5001)
        kit.settle()
        assert partition(kit, "r-0").spec.leader == leader

    def test_an_election_may_cut_the_log(self) -> None:
        kit = replicated()
        resume = kit.cluster.stall_replication()
        kit.append(5001, "r", b"a", b"b")
        kit.cluster.spu_down(5001)
        kit.settle()
        kit.append(5002, "r", b"c")
        resume()
        kit.cluster.spu_up(5001)
        kit.settle()
        assert kit.replica(5001, "r").log.leo == 1

    def test_elections_can_be_left_to_the_test(self) -> None:
        kit = replicated()
        kit.cluster.automatic_elections = False
        kit.cluster.spu_down(5001)
        kit.settle()
        assert partition(kit, "r-0").status.resolution is PartitionResolution.LEADER_OFFLINE
        kit.cluster.move_leader("r", 0, 5002)
        kit.settle()
        found = partition(kit, "r-0")
        assert found.spec.leader == 5002
        assert found.status.resolution is PartitionResolution.ONLINE

    def test_a_leader_is_moved_between_two_that_run(self) -> None:
        kit = replicated()
        kit.cluster.move_leader("r", 0, 5002)
        kit.settle()
        assert kit.replica(5001, "r").role is Role.FOLLOWER
        assert kit.replica(5002, "r").role is Role.LEADER
        kit.append(5002, "r", b"a")
        kit.settle()
        assert kit.replica(5001, "r").log.leo == 1

    def test_an_spu_without_a_replica_can_not_lead(self) -> None:
        kit = replicated()
        with pytest.raises(UsageError):
            kit.cluster.move_leader("r", 0, 5003)
        with pytest.raises(UsageError):
            kit.cluster.move_leader("r", 1, 5002)

    def test_an_spu_that_is_down_can_not_be_made_leader(self) -> None:
        kit = replicated()
        kit.cluster.spu_down(5002)
        kit.settle()
        with pytest.raises(UsageError, match="5002 is down"):
            kit.cluster.move_leader("r", 0, 5002)
        assert partition(kit, "r-0").spec.leader == 5001

    def test_what_a_watch_of_spus_is_told(self) -> None:
        kit = Kit(spus=2)
        watch = kit.client().send(WatchRequest(kind=SPU))
        watch.news()
        kit.cluster.spu_down(5002)
        kit.settle()
        kit.cluster.spu_up(5002)
        kit.settle()
        states = [one.content.status.resolution for push in watch.news() for one in push.changes]
        assert states == [SpuResolution.OFFLINE, SpuResolution.ONLINE]


class TestFromPython:
    def test_a_topic_is_there_when_its_creation_fires(self) -> None:
        kit = Kit(spus=2)
        assert kit.result(kit.cluster.create_topic("t", partitions=2, replication=2)) is None
        assert partition(kit, "t-1").status.resolution is PartitionResolution.ONLINE

    def test_it_fails_as_a_client_would(self) -> None:
        kit = Kit()
        kit.result(kit.cluster.create_topic("t"))
        failure = kit.result(kit.cluster.create_topic("t"))
        assert isinstance(failure.value, TopicAlreadyExists)
        assert isinstance(failure.value, BrokerError)

    def test_a_topic_is_gone_when_its_deletion_fires(self) -> None:
        kit = Kit()
        kit.result(kit.cluster.create_topic("t"))
        kit.result(kit.cluster.delete_topic("t"))
        assert kit.ask(ListRequest(kind=TOPIC)).objects == ()

    def test_what_still_waits_is_cancelled_when_the_cluster_stops(self) -> None:
        kit = Kit()
        failures: list[Failure] = []
        waiting: Deferred[None] = kit.cluster.create_topic("t", replication=2)
        waiting.addErrback(failures.append)
        kit.settle()
        kit.cluster.stop()
        assert failures[0].check(CancelledError)
        assert kit.clock.getDelayedCalls() == []


class TestTopics:
    def test_a_topic_that_no_client_could_be_told_of_is_refused(self) -> None:
        kit = Kit()
        failures: list[Failure] = []
        for partitions, replication in ((2**40, 1), (1, 2**32)):
            creating = kit.cluster.create_topic("t", partitions=partitions, replication=replication)
            creating.addErrback(failures.append)
        kit.settle()
        assert [failure.type for failure in failures] == [UsageError, UsageError]
        assert "partitions can not be sent" in str(failures[0].value)
        assert "t" not in kit.cluster.metadata.topics


class TestHiding:
    def test_a_hidden_topic_looks_deleted_and_is_not(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        topics = kit.client().send(WatchRequest(kind=TOPIC))
        partitions = kit.client().send(WatchRequest(kind=PARTITION))
        show = kit.cluster.hide_from_metadata("t")
        kit.settle()
        assert kit.ask(ListRequest(kind=TOPIC)).objects == ()
        for watch, name in ((topics, "t"), (partitions, "t-0")):
            (change,) = watch.replies[-1].changes
            assert (change.header, change.content.name) == (Change.DELETE, name)
        assert kit.replica(5001, "t").role is Role.LEADER
        show()
        kit.settle()
        for watch, name in ((topics, "t"), (partitions, "t-0")):
            (change,) = watch.replies[-1].changes
            assert (change.header, change.content.name) == (Change.UPDATE, name)

    def test_one_partition_can_be_hidden(self) -> None:
        kit = Kit()
        kit.ask(create("t", partitions=2))
        kit.cluster.hide_from_metadata("t", 1)
        names = [one.name for one in kit.ask(ListRequest(kind=PARTITION)).objects]
        assert names == ["t-0"]

    def test_what_is_hidden_stays_so_when_the_sc_goes_and_comes(self) -> None:
        kit = Kit()
        kit.ask(create("t", partitions=2))
        show = kit.cluster.hide_from_metadata("t", 1)
        kit.cluster.sc_down()
        kit.cluster.sc_up()
        kit.settle()
        watch = kit.client().send(WatchRequest(kind=PARTITION))
        assert sorted(one.name for one in watch.reply.all) == ["consumer-offset-0", "t-0"]
        show()
        kit.settle()
        (change,) = watch.replies[-1].changes
        assert (change.header, change.content.name) == (Change.UPDATE, "t-1")

    def test_what_is_not_there_can_not_be_hidden(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        with pytest.raises(UsageError, match="there is no topic nowhere"):
            kit.cluster.hide_from_metadata("nowhere")
        with pytest.raises(UsageError, match="there is no partition t/1"):
            kit.cluster.hide_from_metadata("t", 1)


class TestScDown:
    def test_no_topic_is_created_or_deleted(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        kit.cluster.sc_down()
        for refused in (kit.cluster.create_topic("new"), kit.cluster.delete_topic("t")):
            assert kit.result(refused).check(UsageError)
        kit.cluster.sc_up()
        topics = [one.name for one in kit.ask(ListRequest(kind=TOPIC)).objects]
        assert topics == ["t"]

    def test_no_leader_is_moved(self) -> None:
        kit = replicated()
        kit.cluster.sc_down()
        with pytest.raises(UsageError):
            kit.cluster.move_leader("r", 0, 5002)
        assert partition(kit, "r-0").spec.leader == 5001

    def test_nothing_is_hidden(self) -> None:
        kit = replicated()
        kit.cluster.sc_down()
        with pytest.raises(UsageError):
            kit.cluster.hide_from_metadata("r")

    def test_no_topic_is_created_once_the_cluster_has_stopped(self) -> None:
        kit = Kit()
        kit.cluster.stop()
        assert kit.result(kit.cluster.create_topic("t")).check(UsageError)


class TestScRestart:
    def test_everything_is_there_again_and_epochs_start_anew(self) -> None:
        kit = Kit()
        for name in ("a", "b", "c"):
            kit.ask(create(name))
        before = kit.client().send(WatchRequest(kind=TOPIC)).reply
        kit.cluster.sc_down()
        kit.cluster.sc_up()
        after = kit.client().send(WatchRequest(kind=TOPIC)).reply
        assert {one.name for one in after.all} == {one.name for one in before.all}
        assert after.epoch < before.epoch

    def test_records_stay_and_leaders_go_on(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        kit.cluster.sc_down()
        kit.append(5001, "t", b"a")
        kit.clock.advance(1)
        kit.cluster.sc_up()
        kit.settle()
        assert partition(kit, "t-0").status.leader.leo == 1

    def test_what_happened_to_spus_meanwhile_is_noticed(self) -> None:
        kit = replicated()
        kit.cluster.sc_down()
        kit.cluster.spu_down(5001)
        kit.settle()
        kit.cluster.sc_up()
        kit.settle()
        assert partition(kit, "r-0").spec.leader == 5002

    def test_an_spu_that_is_added_meanwhile_is_known_afterwards(self) -> None:
        kit = Kit()
        kit.cluster.sc_down()
        kit.add_spu(5002)
        kit.cluster.sc_up()
        kit.settle()
        assert len(kit.ask(ListRequest(kind=SPU)).objects) == 2


class TestQuickRecreate:
    """A real SC loses partitions when a topic is deleted and created anew within milliseconds."""

    def recreate(self, kit: Kit) -> tuple[int, list[str]]:
        kit.ask(create("t"))
        kit.clock.advance(1)
        client = kit.client()
        client.send(DeleteRequest(kind=TOPIC, key="t"))
        call = client.send(create("t"))
        kit.clock.pump([0.001] * 10)
        names = [one.name for one in kit.ask(ListRequest(kind=PARTITION)).objects]
        return len(call.replies), names

    def test_it_does_not_happen_unless_asked_for(self) -> None:
        assert self.recreate(Kit()) == (1, ["t-0"])

    def test_create_may_succeed_and_the_partition_be_gone(self) -> None:
        assert self.recreate(Kit(quick_recreate_race=True)) == (1, [])

    def test_create_may_be_left_without_an_answer_until_the_next_full_load(self) -> None:
        kit = Kit(quick_recreate_race=True, timing=Timing(first_report=0.1, reload=30))
        kit.clock.advance(0.2)
        client = kit.client()
        client.send(create("t"))
        kit.clock.pump([0.1] * 3)
        client.send(DeleteRequest(kind=TOPIC, key="t"))
        call = client.send(create("t"))
        kit.clock.pump([0.1] * 20)
        assert call.replies == []
        assert kit.ask(ListRequest(kind=PARTITION)).objects == ()
        kit.clock.pump([1.0] * 30)
        assert call.reply.error_code.code == 0

    def test_news_of_a_partition_may_be_lost_with_that_of_a_deleted_one(self) -> None:
        kit = Kit(quick_recreate_race=True, timing=Timing(first_report=0.1))
        kit.clock.advance(0.2)
        client = kit.client()
        client.send(create("a"))
        kit.clock.pump([0.1] * 3)
        kit.append(5001, "a", b"x")
        client.send(DeleteRequest(kind=TOPIC, key="a"))
        call = client.send(create("b"))
        kit.clock.pump([0.1] * 20)
        assert call.replies == []
        assert partition(kit, "b-0").status.resolution is PartitionResolution.OFFLINE


@pytest.mark.parametrize("leader", [5001, 5002])
def test_a_topic_leaves_every_spu_though_its_stored_offsets_can_not_be_written_down(
    leader: int,
) -> None:
    kit = Kit(spus=2)
    kit.ask(create("a", replication=2))
    kit.cluster.move_leader("a", 0, leader)
    kit.settle()
    kit.append(leader, "a", b"old")
    offsets = kit.cluster.spus[5001].stored_offsets
    assert offsets is not None
    offsets.put(("a", 0), "worker", 1)
    kit.replica(5001, "consumer-offset").short_circuited = True
    kit.ask(DeleteRequest(kind=TOPIC, key="a"))
    assert [("a", 0) in spu.replicas for spu in kit.cluster.spus.values()] == [False, False]
    kit.ask(create("a", replication=2))
    assert [kit.replica(spu_id, "a").log.leo for spu_id in (5001, 5002)] == [0, 0]


def test_where_a_leader_that_is_down_would_be_reached_is_known() -> None:
    kit = Kit(spus=2)
    kit.ask(create("a"))
    leader = partition(kit, "a-0").spec.leader
    (spec,) = [one.spec for one in kit.cluster.metadata.spus if one.spec.id == leader]
    kit.cluster.spu_down(leader)
    private = spec.private_endpoint
    assert kit.cluster.private_address(("a", 0)) == f"{private.host}:{private.port}"
    assert kit.cluster.private_address(("b", 0)) is None


def test_reports_go_on_when_the_clock_is_set_back() -> None:
    kit = Kit()
    kit.clock.advance(10_000)
    kit.ask(create("a"))
    kit.append(5001, "a", b"1")
    kit.clock.advance(1)
    kit.clock.rightNow -= 3600
    kit.append(5001, "a", b"2")
    kit.clock.advance(1)
    assert partition(kit, "a-0").status.leader.leo == 2


def test_topics_created_together_are_spread_as_evenly_as_one_after_another() -> None:
    kit = Kit(spus=3)
    kit.cluster.system_topic = False
    kit.ask(DeleteRequest(kind=TOPIC, key="consumer-offset", force=True))
    rows = [(1, (5001,)), (1, (5002,)), (2, (5003, 5001)), (1, (5001,)), (1, (5002,))]
    for number, (replication, _) in enumerate(rows):
        kit.cluster.create_topic(f"t{number}", replication=replication)
    kit.settle()
    assert [partition(kit, f"t{n}-0").spec.replicas for n in range(5)] == [row for _, row in rows]


def test_topics_created_together_are_not_each_compared_with_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing, looks = lifecycle.missing_partitions, 0

    def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return missing(*args)

    def needed(topics: int) -> int:
        kit, before = Kit(), looks
        for number in range(topics):
            kit.cluster.create_topic(f"t{number}")
        kit.settle()
        return looks - before

    monkeypatch.setattr("txfluvio.testing.sc.lifecycle.missing_partitions", counted)
    assert needed(40) <= 2 * needed(20)


def test_a_wait_keeps_nothing_of_the_looks_it_has_taken() -> None:
    clock, store = Clock(), Store[Any, Any]("Topic", random.Random(0))
    kept: list[weakref.ref[Callable[[], None]]] = []

    class Watched(Timers):
        def later(self, *args: Any, **kwargs: Any) -> Callable[[], None]:
            cancel = super().later(*args, **kwargs)
            kept.append(weakref.ref(cancel))
            return cancel

    waiting = until(lambda: False, store, timers=Watched(clock), timeout=90)
    for _ in range(10):
        store.reload()
        clock.advance(0)
    gc.collect()
    assert len(kept) > 10
    # The time-out's alone.
    assert sum(one() is not None for one in kept) == 1
    waiting.addErrback(lambda _: None).cancel()
