"""Which SPU gets which replica, and who leads when a leader is gone: the SC's two small policies.

Pure functions over numbers, as in ``fluvio-sc/src/controllers/scheduler/partition.rs`` and
``fluvio-sc/src/stores/partition/``. What happens with the answers is told elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ...wire.sc import ReplicaStatus

MAX_LAG = 4
"""A follower this many records behind its leader, or more, can not become leader."""

MAX_PARTITIONS = 65_535
"""The most partitions of a topic that are placed: their number in a status has 16 bits."""


class Weights:
    """How many partitions each SPU leads and follows."""

    def __init__(self, partitions: Iterable[tuple[int, Sequence[int]]] = ()) -> None:
        self._leaders: dict[int, int] = {}
        self._followers: dict[int, int] = {}
        for leader, replicas in partitions:
            self.add(leader, replicas)

    def copy(self) -> Weights:
        """The same numbers, to be added to apart."""
        copy = Weights()
        copy._leaders, copy._followers = dict(self._leaders), dict(self._followers)
        return copy

    def add(self, leader: int, replicas: Sequence[int]) -> None:
        """Count one partition more."""
        self._add(self._leaders, leader)
        for spu in replicas:
            if spu != leader:
                self._add(self._followers, spu)

    @staticmethod
    def _add(counts: dict[int, int], spu: int) -> None:
        counts[spu] = counts.get(spu, 0) + 1

    def choose(self, online: Sequence[int], replication: int) -> tuple[int, ...]:
        """Place one partition and count it: its leader first; fewer where SPUs run out."""
        chosen: list[int] = []
        for _ in range(min(replication, len(online))):
            counts = self._followers if chosen else self._leaders
            free = [spu for spu in online if spu not in chosen]
            spu = min(free, key=lambda spu: (counts.get(spu, 0), spu))
            self._add(counts, spu)
            chosen.append(spu)
        return tuple(chosen)


def place(
    partitions: int,
    replication: int,
    *,
    registered: int,
    online: Collection[int],
    placed: Weights,
    keep: Mapping[int, Sequence[int]],
) -> dict[int, tuple[int, ...]]:
    """The replica map of a topic, or an empty one where it can not be had.

    :param registered: how many SPUs the cluster knows, running or not.
    :param online: the ids of those that run.
    :param placed: what there is in the cluster; nothing is added to it.
    :param keep: the rows there are already; those with enough replicas stay as they are.
    """
    if registered < replication:
        return {}
    weights = placed.copy()
    candidates = sorted(online)
    rows: dict[int, tuple[int, ...]] = {}
    for partition in range(partitions):
        kept = keep.get(partition)
        if kept is not None and len(kept) == replication:
            rows[partition] = tuple(kept)
            continue
        row = weights.choose(candidates, replication)
        if len(row) < replication:
            return {}
        rows[partition] = row
    return rows


def may_lead(follower: ReplicaStatus, leader: ReplicaStatus) -> bool:
    """Whether a follower is close enough to what its leader last reported."""
    return leader.leo - follower.leo < MAX_LAG


def elect(
    leader: ReplicaStatus, followers: Iterable[ReplicaStatus], online: Collection[int]
) -> int | None:
    """The running follower that lags least behind ``leader``, the first listed of equals.

    ``None`` when nobody will do. A follower *ahead* of what the leader reported may lead, but
    comes last: the SC keeps the lag as an unsigned number of 16 bits.
    """
    suitable = [
        follower for follower in followers if follower.spu in online and may_lead(follower, leader)
    ]
    best = min(suitable, key=lambda one: (leader.leo - one.leo) & 0xFFFF, default=None)
    return None if best is None else best.spu
