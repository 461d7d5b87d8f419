"""Where records are placed while the metadata change."""

from __future__ import annotations

import txfluvio
from txfluvio.cluster import TopicInfo, Topology
from txfluvio.producer.placement import Placement
from txfluvio.wire.sc import PARTITION, TOPIC, PartitionResolution

from ..cluster.objects import everything, partition, topic
from ..costs import calls_of

ONLINE, FULL = PartitionResolution.ONLINE, PartitionResolution.OUT_OF_STORAGE
OFFLINE = PartitionResolution.OFFLINE


def orders(*resolutions: PartitionResolution, count: int | None = None) -> TopicInfo:
    """A topic whose partitions are in these states, told in the opposite order.

    :param count: how many it is to have; None: so many.
    """
    partitions = [partition(f"orders-{n}", resolution=r) for n, r in enumerate(resolutions)]
    count = len(partitions) if count is None else count
    topology = Topology().fold(everything(TOPIC, topic("orders", count)))
    return topology.fold(everything(PARTITION, *reversed(partitions))).topic("orders")


def test_those_that_are_online_and_have_room_take_turns() -> None:
    placement = Placement("orders")
    placement.follow(orders(ONLINE, FULL, OFFLINE, ONLINE))
    assert [placement.place(None, b"", None) for _ in range(4)] == [0, 3, 0, 3]


def test_those_that_a_topic_made_anew_no_longer_has_do_not() -> None:
    placement = Placement("orders")
    placement.follow(orders(ONLINE, ONLINE, ONLINE, ONLINE, count=2))
    assert [placement.place(None, b"", None) for _ in range(4)] == [0, 1, 0, 1]


def test_a_change_is_taken_up_between_two_records() -> None:
    placement = Placement("orders")
    placement.follow(orders(ONLINE, FULL))
    assert placement.place(None, b"", None) == 0
    placement.follow(orders(FULL, ONLINE))
    assert placement.place(None, b"", None) == 1


def test_following_changes_takes_the_same_however_many_partitions_there_are() -> None:
    few, many = orders(*[ONLINE] * 3), orders(*[ONLINE] * 30)
    placement = Placement("orders")
    assert calls_of(lambda: placement.follow(many), txfluvio) == calls_of(
        lambda: placement.follow(few), txfluvio
    )


def test_who_takes_turns_is_found_once_for_all_producers_of_a_topic() -> None:
    found = orders(ONLINE, ONLINE)
    assert found.taking_turns == (0, 1)
    assert found.taking_turns is found.taking_turns
