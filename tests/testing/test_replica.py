"""Replicas: what followers copy, when it is committed, what retention evicts."""

from __future__ import annotations

from tests.testing.spu_kit import ORDERS, Kit, spec
from txfluvio.testing.spu.log import INDEX_ENTRY
from txfluvio.testing.spu.replica import Key, Replica, Report, Role, replica_log
from txfluvio.testing.spu.spu import CLEANING_INTERVAL
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.sc import CleanupPolicy, TopicStorage

ONE = len(encode_batch([b"x"]))
SMALL = TopicStorage(segment_size=ONE)
FOLLOWER = 5002


def replica(role: Role, *followers: int) -> Replica:
    made = spec()
    return Replica(
        ORDERS, made, replica_log(made), role=role, followers=followers, on_change=lambda: None
    )


def leader_and_follower(*counts: int) -> tuple[Replica, Replica]:
    leader = replica(Role.LEADER, FOLLOWER)
    fill(leader, *counts)
    return leader, replica(Role.FOLLOWER)


def fill(one: Replica, *counts: int) -> None:
    for count in counts:
        one.append([Batch(encode_batch([b"x"] * count), 0)], 0.0)


def copy(leader: Replica, follower: Replica) -> None:
    follower.copy_from(leader, spu=FOLLOWER, now=0.0)


def parted() -> tuple[Replica, Replica]:
    """A leader, and a follower that has led meanwhile: its last batch is another."""
    leader, follower = leader_and_follower(2)
    copy(leader, follower)
    follower.append([Batch(encode_batch([b"z"]), 0)], 0.0)
    fill(leader, 1, 1)
    return leader, follower


def ends(*replicas: Replica) -> list[tuple[int, int]]:
    return [(one.log.hw, one.log.leo) for one in replicas]


# Followers


def test_what_no_follower_has_is_not_committed() -> None:
    leader, follower = leader_and_follower(2, 1)
    assert ends(leader, follower) == [(0, 3), (0, 0)]


def test_a_follower_gets_the_same_bytes_and_commits_them() -> None:
    leader, follower = leader_and_follower(2, 1)
    copy(leader, follower)
    assert ends(leader, follower) == [(3, 3), (3, 3)]
    assert list(follower.log) == list(leader.log)


def test_a_follower_does_not_notice_what_its_leader_has_otherwise() -> None:
    one, other = parted()
    copy(one, other)
    assert [batch.data for batch in other.log] != [batch.data for batch in one.log]
    assert one.log.leo == other.log.leo


def test_a_follower_that_compares_cuts_what_its_leader_has_otherwise() -> None:
    one, other = parted()
    other.copy_from(one, spu=FOLLOWER, now=0.0, compare=True)
    assert list(other.log) == list(one.log)


def test_a_follower_that_compares_keeps_what_is_alike() -> None:
    leader, follower = leader_and_follower(2, 1)
    for _ in range(2):
        follower.copy_from(leader, spu=FOLLOWER, now=0.0, compare=True)
        assert list(follower.log) == list(leader.log)


def test_a_follower_goes_on_where_it_is() -> None:
    leader, follower = leader_and_follower(2)
    copy(leader, follower)
    fill(leader, 3)
    copy(leader, follower)
    assert ends(leader, follower) == [(5, 5), (5, 5)]
    assert list(follower.log) == list(leader.log)


def test_a_follower_that_is_down_holds_the_high_watermark_back() -> None:
    leader = replica(Role.LEADER, FOLLOWER, 5003)
    follower = replica(Role.FOLLOWER)
    fill(leader, 2)
    copy(leader, follower)
    assert ends(leader, follower) == [(0, 2), (0, 2)]
    leader.acknowledged(5003, 1)
    assert leader.log.hw == 1


def test_a_follower_that_is_longer_than_its_leader_is_cut() -> None:
    leader, follower = leader_and_follower(2)
    fill(follower, 2, 2)
    copy(leader, follower)
    assert ends(leader, follower) == [(2, 2), (2, 2)]


def test_a_follower_of_a_leader_that_has_evicted_what_comes_next_copies_nothing() -> None:
    leader, follower = leader_and_follower(2, 2)
    leader.log.evict(2)
    copy(leader, follower)
    assert follower.log.leo == 0


def test_a_stranger_is_not_believed() -> None:
    leader, follower = leader_and_follower(2)
    follower.copy_from(leader, spu=5999, now=0.0)
    assert leader.log.hw == 0


# Reports


def test_hosting_and_every_change_is_reported() -> None:
    kit = Kit(host=False)
    reports: list[tuple[Key, Report]] = []
    kit.spu.on_report = lambda key, report: reports.append((key, report))
    kit.host(followers=(FOLLOWER,))
    kit.fill(2)
    kit.spu.replicas[ORDERS].acknowledged(FOLLOWER, 2)
    size = len(encode_batch([b"x", b"x"]))
    assert reports == [
        (ORDERS, Report(leo=0, hw=0, size=0, log_start=0)),
        (ORDERS, Report(leo=2, hw=0, size=size, log_start=0)),
        (ORDERS, Report(leo=2, hw=2, size=size, log_start=0)),
    ]


def test_another_role_is_no_news() -> None:
    kit = Kit()
    reports: list[Key] = []
    kit.spu.on_report = lambda key, report: reports.append(key)
    kit.spu.follow(ORDERS)
    kit.spu.lead(ORDERS)
    assert reports == []


def test_the_same_role_again_changes_nothing() -> None:
    kit = Kit()
    before = kit.spu.replicas[ORDERS]
    kit.spu.lead(ORDERS)
    assert kit.spu.replicas[ORDERS] is before


# Retention


def test_old_segments_go_within_seconds_of_their_time() -> None:
    kit = Kit(host=False)
    one = kit.host(storage=SMALL, cleanup_policy=CleanupPolicy(time_in_seconds=15))
    kit.fill(1, 1, 1)
    kit.clock.advance(CLEANING_INTERVAL)
    assert one.log.log_start == 0
    kit.clock.advance(CLEANING_INTERVAL)
    assert (one.log.log_start, one.log.leo) == (2, 3)


def test_a_partition_that_is_too_large_loses_segments_within_seconds() -> None:
    kit = Kit(host=False)
    storage = TopicStorage(segment_size=ONE, max_partition_size=2 * ONE + 3 * INDEX_ENTRY)
    one = kit.host(storage=storage)
    kit.fill(1, 1, 1, 1)
    assert one.log.log_start == 0
    kit.clock.advance(CLEANING_INTERVAL)
    assert one.log.log_start == 2
    kit.fill(1)
    kit.clock.advance(CLEANING_INTERVAL)
    assert one.log.log_start == 3


def test_a_restart_forgets_how_large_the_segments_before_the_last_are() -> None:
    kit = Kit(host=False)
    kit.host(storage=SMALL)
    kit.fill(1, 1, 1)
    kit.spu.stop()
    assert kit.host(storage=SMALL).report().size == ONE


def test_records_are_kept_for_a_week_by_default() -> None:
    kit = Kit(host=False)
    one = kit.host(storage=SMALL)
    kit.fill(1, 1)
    kit.clock.pump([CLEANING_INTERVAL] * 10)
    assert one.log.log_start == 0
    kit.clock.advance(604_800)
    kit.clock.advance(CLEANING_INTERVAL)
    assert one.log.log_start == 1


def test_nothing_is_scheduled_while_there_is_nothing_to_evict() -> None:
    kit = Kit()
    kit.fill(1, 1)
    assert kit.clock.getDelayedCalls() == []


def test_a_dropped_or_stopped_replica_leaves_no_timer() -> None:
    kit = Kit(host=False)
    kit.host(storage=SMALL)
    kit.host(("orders", 1), storage=SMALL)
    kit.fill(1, 1)
    kit.fill(1, 1, key=("orders", 1))
    kit.spu.drop(ORDERS)
    kit.spu.stop()
    assert kit.clock.getDelayedCalls() == []


def test_a_dropped_replica_is_empty_when_it_is_hosted_again() -> None:
    kit = Kit()
    kit.fill(2)
    kit.spu.drop(ORDERS)
    assert kit.host().log.leo == 0


def test_a_restarted_spu_has_its_records_and_knows_what_is_committed() -> None:
    kit = Kit(host=False)
    kit.host(followers=(FOLLOWER,))
    kit.fill(2, 2)
    kit.spu.replicas[ORDERS].acknowledged(FOLLOWER, 2)
    kit.spu.stop()
    assert kit.spu.leads(ORDERS) is None
    assert ends(kit.host(followers=(FOLLOWER,))) == [(2, 4)]


def test_a_listener_that_another_has_ended_hears_nothing() -> None:
    leader = replica(Role.LEADER)
    heard: list[str] = []

    def first() -> None:
        heard.append("first")
        unsubscribe()

    leader.subscribe(first)
    unsubscribe = leader.subscribe(lambda: heard.append("second"))
    fill(leader, 1)
    assert heard == ["first"]
