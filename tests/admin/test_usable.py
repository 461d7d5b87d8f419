"""Whether a topic can be used, and how much looking that takes."""

from __future__ import annotations

from random import Random

import pytest

from tests.cluster.objects import changed, deleted, everything, partition, spu, topic, updated
from txfluvio.admin.topics import Usable
from txfluvio.cluster import Topology
from txfluvio.wire.sc import PARTITION, SPU, TOPIC

COUNT = 200


def known(partitions: int = COUNT) -> Topology:
    """Partitions to come, of which none is there yet."""
    topology = Topology().fold(everything(SPU, spu(5001))).fold(everything(PARTITION))
    return topology.fold(everything(TOPIC, topic("big", partitions)))


def orders() -> list[list[int]]:
    numbers = list(range(COUNT))
    return [numbers, numbers[::-1], Random(1).sample(numbers, COUNT)]


@pytest.mark.parametrize("order", orders(), ids=["ascending", "descending", "by chance"])
def test_partitions_told_one_by_one_are_looked_at_a_few_times_each(
    order: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    leader_of = Topology.leader_of

    def counted(self: Topology, name: str, number: int) -> int | None:
        nonlocal looks
        looks += 1
        return leader_of(self, name, number)

    monkeypatch.setattr(Topology, "leader_of", counted)
    topology = known()
    usable = Usable("big", -1)
    answers = []
    for number in order:
        topology = topology.fold(changed(PARTITION, *updated(partition(f"big-{number}"))))
        answers.append(usable.holds(topology))
    assert answers == [None] * (COUNT - 1) + [True]
    assert looks <= 4 * COUNT


def test_one_that_is_lost_again_while_others_come_is_missed() -> None:
    topology = known(3)
    usable = Usable("big", -1)
    for number in (0, 1):
        topology = topology.fold(changed(PARTITION, *updated(partition(f"big-{number}"))))
        assert usable.holds(topology) is None
    topology = topology.fold(changed(PARTITION, *deleted(partition("big-0"))))
    topology = topology.fold(changed(PARTITION, *updated(partition("big-2"))))
    assert usable.holds(topology) is None
    topology = topology.fold(changed(PARTITION, *updated(partition("big-0"))))
    assert usable.holds(topology) is True


def test_partitions_that_are_added_are_looked_at() -> None:
    topology = known(2).fold(changed(PARTITION, *updated(partition("big-0"), partition("big-1"))))
    usable = Usable("big", -1)
    assert usable.holds(topology) is True
    topology = topology.fold(changed(TOPIC, *updated(topic("big", 3))))
    assert usable.holds(topology) is None


def test_of_many_partitions_without_a_leader_the_first_are_named() -> None:
    missing = Usable("big", -1).missing(known(13))
    assert missing.endswith(
        "no online leader for partitions 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more"
    )
