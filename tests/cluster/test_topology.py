"""How the messages of the watches become a snapshot of the cluster, and what it says."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.cluster.topology import MAX_PARTITIONS, NOBODY, Topology
from txfluvio.errors import PartitionNotFound, ProtocolError, SpuNotFound, TopicNotFound
from txfluvio.wire.sc import (
    PARTITION,
    SPU,
    TOPIC,
    Assigned,
    Endpoint,
    HomeMirror,
    HomePartition,
    IngressAddr,
    MirrorTopic,
    PartitionMap,
    PartitionResolution,
    RemoteMirror,
    SpuMirror,
    TopicSpec,
    WatchResponse,
)
from txfluvio.wire.schema import evolve

from .objects import changed, deleted, everything, partition, spu, topic, updated


def fold(*messages: WatchResponse, onto: Topology | None = None) -> Topology:
    return reduce(Topology.fold, messages, Topology() if onto is None else onto)


def a_cluster() -> Topology:
    return fold(
        everything(SPU, spu(5001), spu(5002)),
        everything(TOPIC, topic("orders", 2)),
        everything(PARTITION, partition("orders-0", 5001), partition("orders-1", 5002)),
    )


# Loading


def test_nothing_is_known_before_the_first_message() -> None:
    topology = Topology()
    assert not topology.loaded
    assert (topology.topics, topology.spus) == ({}, {})


def test_it_is_loaded_once_every_kind_has_been_told_of() -> None:
    topology = fold(everything(SPU), everything(TOPIC))
    assert not topology.loaded
    assert topology.fold(everything(PARTITION)).loaded


def test_a_first_answer_without_objects_is_the_whole_truth() -> None:
    topology = fold(everything(SPU), everything(TOPIC), everything(PARTITION))
    assert topology.loaded
    assert topology.topics == {}


def test_epoch_0_means_that_the_sc_has_not_loaded_its_objects() -> None:
    waiting = everything(TOPIC, epoch=0)
    topology = fold(everything(SPU), everything(PARTITION), waiting)
    assert not topology.loaded
    assert topology.fold(everything(TOPIC, topic("orders"))).loaded


def test_a_first_answer_may_come_as_changes() -> None:
    topology = fold(changed(TOPIC, *updated(topic("orders"))))
    assert list(topology.topics) == ["orders"]


def test_a_restarted_topology_is_not_loaded_and_has_the_same_version() -> None:
    before = a_cluster()
    after = before.restarted()
    assert not after.loaded
    assert after.version == before.version


def test_the_first_answers_after_a_restart_replace_what_was_known_before() -> None:
    restarted = a_cluster().restarted()
    after = fold(everything(SPU), everything(PARTITION), everything(TOPIC), onto=restarted)
    assert (after.loaded, after.topics, after.spus) == (True, {}, {})
    after = fold(
        changed(SPU, *updated(spu(5009))),
        changed(TOPIC, *updated(topic("payments"))),
        changed(PARTITION, *updated(partition("payments-0", 5009))),
        onto=restarted,
    )
    assert (list(after.topics), list(after.spus)) == (["payments"], [5009])


def test_what_is_there_again_after_a_restart_is_no_younger() -> None:
    before = a_cluster()
    topics = everything(TOPIC, topic("orders", 2), topic("new"))
    partitions = everything(PARTITION, partition("orders-0", 5001))
    for answers in ((topics, partitions), (partitions, topics)):
        after = fold(*answers, onto=before.restarted())
        assert after.topic("orders").born == before.topic("orders").born
        assert after.partition("orders", 0).born == before.partition("orders", 0).born
        assert after.topic("new").born > before.version


def test_what_comes_after_the_first_answer_without_it_is_another() -> None:
    before = a_cluster()
    after = fold(everything(TOPIC), everything(TOPIC, topic("orders", 2)), onto=before.restarted())
    assert after.topic("orders").born > before.version


# The same objects


@pytest.mark.parametrize(
    "again",
    [
        everything(SPU, spu(5001), spu(5002)),
        everything(TOPIC, topic("orders", 2)),
        everything(PARTITION, partition("orders-0", 5001), partition("orders-1", 5002)),
        changed(SPU, *updated(spu(5001))),
        changed(TOPIC, *updated(topic("orders", 2))),
        changed(PARTITION, *updated(partition("orders-1", 5002))),
    ],
)
def test_what_is_told_again_is_the_same_object(again: WatchResponse) -> None:
    before = a_cluster()
    after = before.fold(again)
    assert after.spus is before.spus
    assert after.topic("orders") is before.topic("orders")


def test_where_one_changes_the_others_are_the_same_objects() -> None:
    before = a_cluster()
    after = fold(
        everything(SPU, spu(5001), spu(5002, port=9999)),
        everything(PARTITION, partition("orders-0", 5001), partition("orders-1", 5001)),
        onto=before,
    )
    assert after.spu(5001) is before.spu(5001)
    assert after.partition("orders", 0) is before.partition("orders", 0)
    assert after.partition("orders", 1).leader == 5001


def test_what_was_deleted_and_made_again_is_another_object() -> None:
    before = a_cluster()
    same = partition("orders-0", 5001)
    after = before.fold(changed(PARTITION, *deleted(same), *updated(same)))
    assert after.partition("orders", 0) is not before.partition("orders", 0)
    assert after.partition("orders", 0).born > before.version


# What has changed


def test_of_a_topic_the_partitions_that_were_told_otherwise_have_changed() -> None:
    before = a_cluster()
    after = before.fold(changed(PARTITION, *updated(partition("orders-1", 5001))))
    assert list(after.changed("orders", before)) == [1]


def test_a_partition_that_came_and_one_that_went_have_changed() -> None:
    before = a_cluster().fold(changed(PARTITION, *deleted(partition("orders-0"))))
    after = before.fold(everything(PARTITION, partition("orders-0")))
    assert sorted(after.changed("orders", before)) == [0, 1]


def test_what_is_told_of_another_topic_changes_none() -> None:
    before = a_cluster()
    after = fold(
        changed(TOPIC, *updated(topic("payments"))),
        changed(PARTITION, *updated(partition("payments-0"))),
        onto=before,
    )
    assert list(after.changed("orders", before)) == []
    assert list(after.changed("nowhere", before)) == []


@pytest.mark.parametrize(
    "told",
    [
        changed(SPU, *updated(spu(5002, online=False))),
        changed(TOPIC, *updated(topic("orders", 3))),
        changed(TOPIC, *deleted(topic("orders"))),
    ],
)
def test_another_state_of_an_spu_or_of_the_topic_changes_all(told: WatchResponse) -> None:
    before = a_cluster()
    after = before.fold(told)
    assert all(number in after.changed("orders", before) for number in (0, 1, 2))


def test_all_have_changed_since_nothing_was_known() -> None:
    assert 0 in a_cluster().changed("orders", Topology())


# Folding


def test_a_message_without_objects_or_changes_changes_nothing() -> None:
    before = a_cluster()
    assert before.fold(everything(TOPIC, epoch=9)) is before


def test_a_later_list_of_everything_replaces_what_was_known() -> None:
    after = a_cluster().fold(everything(TOPIC, topic("payments"), epoch=7))
    assert list(after.topics) == ["payments"]


def test_a_list_of_all_partitions_takes_those_away_that_it_lacks() -> None:
    after = a_cluster().fold(everything(PARTITION, partition("orders-1", 5002)))
    assert list(after.topic("orders").partitions) == [1]


def test_changes_apply_to_what_is_known() -> None:
    after = a_cluster().fold(
        changed(TOPIC, *updated(topic("payments")), *deleted(topic("orders", 2)))
    )
    assert list(after.topics) == ["payments"]


@pytest.mark.parametrize("kind", [TOPIC, PARTITION, SPU], ids=lambda kind: kind.label)
def test_a_key_both_updated_and_deleted_in_one_message_is_there(kind: object) -> None:
    object_ = {TOPIC: topic("orders", 2), PARTITION: partition("orders-0"), SPU: spu(5001)}[kind]  # type: ignore[index]
    after = a_cluster().fold(
        changed(kind, *updated(object_), *deleted(object_, object_))  # type: ignore[arg-type]
    )
    assert "orders" in after.topics
    assert 0 in after.topic("orders").partitions
    assert 5001 in after.spus


def test_a_delete_of_what_was_never_known_is_nothing() -> None:
    after = a_cluster().fold(changed(TOPIC, *deleted(topic("payments"))))
    assert list(after.topics) == ["orders"]


def test_low_epochs_after_a_restart_of_the_sc_are_as_good_as_any() -> None:
    before = a_cluster().fold(everything(TOPIC, topic("orders", 2), epoch=900))
    after = before.fold(everything(TOPIC, topic("payments"), epoch=1))
    assert list(after.topics) == ["payments"]


def test_a_snapshot_never_changes() -> None:
    before = a_cluster()
    before.fold(changed(PARTITION, *updated(partition("orders-0", 5002))))
    assert before.leader_of("orders", 0) == 5001


def test_each_snapshot_has_a_higher_version() -> None:
    before = a_cluster()
    after = before.fold(changed(PARTITION, *updated(partition("orders-0", 5002))))
    assert after.version == before.version + 1


def test_a_partition_may_be_told_of_before_its_topic() -> None:
    topology = fold(
        everything(SPU, spu(5001)),
        everything(PARTITION, partition("orders-0")),
        everything(TOPIC, topic("orders")),
    )
    assert topology.leader_of("orders", 0) == 5001


def test_a_partition_that_outlives_its_topic_belongs_to_nothing() -> None:
    after = a_cluster().fold(changed(TOPIC, *deleted(topic("orders"))))
    assert after.leader_of("orders", 0) is None


def test_a_topic_with_dashes_and_digits_in_its_name_has_its_partitions() -> None:
    topology = fold(
        everything(SPU, spu(5001)),
        everything(TOPIC, topic("a-1"), topic("a")),
        everything(PARTITION, partition("a-1-0"), partition("a-0")),
    )
    assert topology.leader_of("a-1", 0) == 5001
    assert list(topology.topic("a").partitions) == [0]


def test_a_partition_key_without_a_number_is_no_partition_of_anything() -> None:
    topology = fold(everything(TOPIC, topic("orders")), everything(PARTITION, partition("orders-")))
    assert topology.topic("orders").partitions == {}


# Asking


def test_the_leader_is_the_spu_of_an_online_partition() -> None:
    assert a_cluster().leader_of("orders", 1) == 5002


@pytest.mark.parametrize(
    ("resolution", "leader"),
    [
        (PartitionResolution.ONLINE, 5001),
        (PartitionResolution.OUT_OF_STORAGE, 5001),
        (PartitionResolution.OFFLINE, None),
        (PartitionResolution.LEADER_OFFLINE, None),
        (PartitionResolution.ELECTION_LEADER_FOUND, None),
    ],
)
def test_only_a_partition_that_can_be_read_has_a_leader(
    resolution: PartitionResolution, leader: int | None
) -> None:
    after = a_cluster().fold(
        changed(PARTITION, *updated(partition("orders-0", resolution=resolution)))
    )
    assert after.leader_of("orders", 0) == leader


def test_a_leader_that_is_offline_serves_nothing() -> None:
    after = a_cluster().fold(changed(SPU, *updated(spu(5001, online=False))))
    assert after.leader_of("orders", 0) is None


def test_a_partition_that_is_being_deleted_has_no_leader() -> None:
    after = a_cluster().fold(
        changed(PARTITION, *updated(partition("orders-0", being_deleted=True)))
    )
    assert after.leader_of("orders", 0) is None


def test_an_unknown_topic_or_partition_has_no_leader() -> None:
    assert a_cluster().leader_of("payments", 0) is None
    assert a_cluster().leader_of("orders", 2) is None


def test_asking_for_what_is_not_there_is_a_named_error() -> None:
    topology = a_cluster()
    with pytest.raises(TopicNotFound, match="payments"):
        topology.topic("payments")
    with pytest.raises(TopicNotFound, match="payments"):
        topology.partition("payments", 0)
    with pytest.raises(PartitionNotFound, match="has no partition 2: it has 2"):
        topology.partition("orders", 2)
    with pytest.raises(SpuNotFound, match="5009"):
        topology.spu(5009)


def test_a_partition_the_topic_is_to_have_is_there_without_a_leader_until_it_is_made() -> None:
    after = a_cluster().fold(changed(TOPIC, *updated(topic("orders", 3))))
    assert after.topic("orders").partition_count == 3
    assert after.partition("orders", 2).leader == NOBODY
    assert not after.partition("orders", 2).online


def test_the_partition_count_comes_from_the_specification() -> None:
    spu_mirror = SpuMirror(id=1, key="spu", endpoint="spu:9005")
    remote = RemoteMirror(home_cluster="home", home_spus=(spu_mirror, spu_mirror))
    home = HomeMirror(partitions=(HomePartition(remote_cluster="edge", remote_replica="r-0"),))
    assigned = Assigned(partitions=(PartitionMap(id=0, replicas=(5001,)),))
    specs: dict[str, Assigned | MirrorTopic] = {
        "assigned": assigned,
        "remote": MirrorTopic(config=remote),
        "home": MirrorTopic(config=home),
    }
    counts = {}
    for name, replicas in specs.items():
        object_ = evolve(topic(name), spec=TopicSpec(replicas=replicas))
        counts[name] = fold(everything(TOPIC, object_)).topic(name).partition_count
    assert counts == {"assigned": 1, "remote": 2, "home": 1}


def test_a_number_of_partitions_that_nobody_can_read_is_refused() -> None:
    """Some bytes had a consumer open as many streams, all in one turn of the reactor."""
    fold(everything(TOPIC, topic("orders", MAX_PARTITIONS))).topic("orders")
    large = fold(everything(TOPIC, topic("orders", MAX_PARTITIONS + 1)))
    for ask in (large.topic, large.leaderless):
        with pytest.raises(ProtocolError, match="topic orders with 100001 partitions"):
            ask("orders")


def test_a_topic_that_nobody_can_read_takes_nothing_from_others() -> None:
    after = a_cluster().fold(changed(TOPIC, *updated(topic("huge", 2**32 - 1))))
    assert after.topic("orders").partition_count == 2
    assert after.leader_of("orders", 1) == 5002
    assert after.topics["huge"].partition_count == 2**32 - 1
    gone = after.fold(changed(TOPIC, *deleted(topic("huge", 2**32 - 1))))
    assert "huge" not in gone.topics


def test_partitions_that_nobody_serves_are_told_by_number() -> None:
    after = a_cluster().fold(
        changed(TOPIC, *updated(topic("orders", 3))),
    )
    after = after.fold(changed(SPU, *updated(spu(5001, online=False))))
    assert after.leaderless("orders") == [0, 2]


def test_what_was_there_before_does_not_count_as_born_later() -> None:
    before = a_cluster()
    with pytest.raises(TopicNotFound):
        before.leaderless("orders", born_after=before.version)


def test_a_topic_deleted_and_made_again_in_one_message_is_born_anew() -> None:
    before = a_cluster()
    again = changed(TOPIC, *updated(topic("orders", 2)), *deleted(topic("orders", 2)))
    after = before.fold(again)
    assert after.leaderless("orders", born_after=before.version) == [0, 1]
    partitions = [partition("orders-0", 5001), partition("orders-1", 5002)]
    after = after.fold(changed(PARTITION, *updated(*partitions), *deleted(*partitions)))
    assert after.leaderless("orders", born_after=before.version) == []


def test_an_update_leaves_the_birth_as_it_was() -> None:
    before = a_cluster()
    after = before.fold(changed(PARTITION, *updated(partition("orders-0", 5002))))
    assert after.partition("orders", 0).born == before.partition("orders", 0).born


# Addresses


def address(topology: Topology) -> tuple[str, int]:
    return topology.spu(5001).host, topology.spu(5001).port


@pytest.mark.parametrize(
    ("ingress", "host"),
    [
        ((IngressAddr(hostname="a.test", ip="10.0.0.1"),), "a.test"),
        ((IngressAddr(ip="10.0.0.1"),), "10.0.0.1"),
        ((IngressAddr(ip="10.0.0.1"), IngressAddr(hostname="b.test")), "10.0.0.1"),
        ((IngressAddr(),), ""),
        ((), ""),
    ],
)
def test_an_spu_is_reached_at_its_first_address_by_name_if_it_has_one(
    ingress: tuple[IngressAddr, ...], host: str
) -> None:
    assert address(fold(everything(SPU, spu(5001, ingress=ingress)))) == (host, 9010)


def test_the_local_address_is_taken_only_if_asked_for() -> None:
    message = everything(SPU, spu(5001, local=Endpoint(port=7010, host="local.test")))
    assert address(fold(message)) == ("spu.test", 9010)
    local = Topology(use_local_address=True)
    assert address(fold(message, onto=local)) == ("local.test", 7010)
    assert address(fold(message, onto=local.restarted())) == ("local.test", 7010)


def test_without_a_local_address_the_public_one_is_taken() -> None:
    local = Topology(use_local_address=True)
    assert address(fold(everything(SPU, spu(5001)), onto=local)) == ("spu.test", 9010)


# All of it

names = st.sampled_from(["a", "b", "c"])


def everything_named(some: list[str]) -> WatchResponse:
    return everything(TOPIC, *map(topic, some))


def changes_of(some: list[tuple[bool, str]]) -> WatchResponse:
    return changed(
        TOPIC,
        *(change for gone, name in some for change in (deleted if gone else updated)(topic(name))),
    )


topic_messages = st.lists(
    st.one_of(
        st.lists(names, unique=True).map(everything_named),
        st.lists(st.tuples(st.booleans(), names), min_size=1).map(changes_of),
    )
)


@given(topic_messages)
def test_any_course_of_messages_leaves_what_a_plain_reading_of_the_rules_leaves(
    messages: list[WatchResponse],
) -> None:
    expected: set[str] = set()
    for message in messages:
        if message.all:
            expected = {object_.name for object_ in message.all}
        updates = {c.content.name for c in message.changes if c.header == 0}
        deletes = {c.content.name for c in message.changes if c.header == 1}
        expected = (expected - deletes) | updates
    assert set(fold(*messages).topics) == expected
