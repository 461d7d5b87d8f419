"""What becomes of topics and partitions: the SC's controllers as pure steps.

Each function takes what the stores hold and returns what should be written next; nothing here
waits, stores or sends. The steps are those of ``fluvio-sc/src/controllers/``: a topic goes from
Init over Pending to Provisioned or InsufficientResources, partitions are made of provisioned
topics, leaders are elected when SPUs come and go, and reports of SPUs are merged into statuses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable

import attrs

from ...wire.sc import (
    Assigned,
    Computed,
    HomeMirror,
    MirrorTopic,
    PartitionMirror,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    RemoteMirror,
    RemotePartition,
    ReplicaStatus,
    TopicResolution,
    TopicSpec,
    TopicStatus,
)
from ...wire.schema import evolve
from .placement import MAX_PARTITIONS, Weights, elect, may_lead, place
from .store import Item

TopicItem = Item[TopicSpec, TopicStatus]
PartitionItem = Item[PartitionSpec, PartitionStatus]

PENDING_REASON = "waiting for live spus"

NOT_REPORTED = -2
"""The size of a partition whose leader has not reported yet."""

UNKNOWN = ReplicaStatus(spu=-1, hw=-1, leo=-1)
"""A replica of which nothing is known."""

NEW_TOPIC = TopicStatus(resolution=TopicResolution.INIT, replica_map={}, mirror_map={}, reason="")

NEW_PARTITION = PartitionStatus(
    resolution=PartitionResolution.OFFLINE,
    leader=UNKNOWN,
    lsr=0,
    replicas=(),
    size=NOT_REPORTED,
    is_being_deleted=False,
    base_offset=0,
)


@attrs.frozen
class Spus:
    """The SPUs by id: those that are registered, and those of them that run."""

    registered: Collection[int]
    online: Collection[int]


def partition_name(topic: str, partition: int) -> str:
    """The name of a partition among the objects of an SC."""
    return f"{topic}-{partition}"


def partition_key(name: str) -> tuple[str, int]:
    """Topic and number of a partition, by its name."""
    topic, _, number = name.rpartition("-")
    return topic, int(number)


def partition_count(spec: TopicSpec) -> int:
    """How many partitions a topic asks for."""
    match spec.replicas:
        case Computed():
            return spec.replicas.partitions
        case Assigned():
            return len(spec.replicas.partitions)
        case MirrorTopic(config=HomeMirror() as home):
            return len(home.partitions)
        case MirrorTopic(config=RemoteMirror() as remote):
            return len(remote.home_spus)
    raise AssertionError(spec.replicas)


def next_status(
    topic: TopicItem,
    spus: Spus,
    placed: Callable[[], Weights],
    *,
    room: int = MAX_PARTITIONS,
) -> TopicStatus:
    """The status after ``topic``'s present one, which is itself where nothing is to be done.

    :param placed: counts every partition of the cluster; asked only where some are placed.
    :param room: how many partitions more the cluster may have.
    """
    status = topic.status
    if status.resolution in (TopicResolution.INIT, TopicResolution.INVALID_CONFIG):
        return evolve(status, resolution=TopicResolution.PENDING, reason=PENDING_REASON)
    if status.resolution is TopicResolution.PROVISIONED:
        if partition_count(topic.spec) > len(status.replica_map):
            return evolve(status, resolution=TopicResolution.PENDING)
        return status
    if status.resolution is TopicResolution.DELETING:
        return status
    more = partition_count(topic.spec) - len(status.replica_map)
    rows = {} if more > room else _rows(topic, spus, placed)
    if not rows:
        return evolve(status, resolution=TopicResolution.INSUFFICIENT_RESOURCES, reason="")
    return evolve(
        status,
        resolution=TopicResolution.PROVISIONED,
        reason="",
        replica_map=rows,
        mirror_map=_mirrors(topic.spec) or status.mirror_map,
    )


def _rows(
    topic: TopicItem, spus: Spus, placed: Callable[[], Weights]
) -> dict[int, tuple[int, ...]]:
    if partition_count(topic.spec) > MAX_PARTITIONS:
        return {}
    if isinstance(topic.spec.replicas, Assigned):
        return {row.id: tuple(row.replicas) for row in topic.spec.replicas.partitions}
    computed = topic.spec.replicas if isinstance(topic.spec.replicas, Computed) else None
    return place(
        partition_count(topic.spec),
        1 if computed is None else computed.replication_factor,
        registered=len(spus.registered),
        online=spus.online,
        placed=placed(),
        keep=topic.status.replica_map,
    )


def _mirrors(spec: TopicSpec) -> dict[int, PartitionMirror]:
    match spec.replicas:
        case MirrorTopic(config=HomeMirror() as home):
            return dict(enumerate(home.partitions))
        case MirrorTopic(config=RemoteMirror() as remote):
            return {
                number: RemotePartition(
                    home_cluster=remote.home_cluster,
                    home_spu_key=spu.key,
                    home_spu_id=spu.id,
                    home_spu_endpoint=spu.endpoint,
                    target=remote.target,
                )
                for number, spu in enumerate(remote.home_spus)
            }
    return {}


def missing_partitions(topic: TopicItem, existing: Container[str]) -> tuple[PartitionItem, ...]:
    """The partitions that a provisioned topic should have and that are not there."""
    if topic.status.resolution is not TopicResolution.PROVISIONED:
        return ()
    spec = topic.spec
    made = []
    for number, replicas in topic.status.replica_map.items():
        name = partition_name(topic.name, number)
        if name in existing:
            continue
        made.append(
            Item(
                name,
                PartitionSpec(
                    leader=replicas[0] if replicas else 0,
                    replicas=tuple(replicas),
                    cleanup_policy=spec.cleanup_policy,
                    storage=spec.storage,
                    compression_type=spec.compression_type,
                    deduplication=spec.deduplication,
                    system=spec.system,
                    mirror=topic.status.mirror_map.get(number),
                ),
                NEW_PARTITION,
            )
        )
    return tuple(made)


def after_spu_went(partition: PartitionItem, spu: int, online: Collection[int]) -> PartitionItem:
    """The partition once ``spu`` is down: led by a live follower that is close enough, if any."""
    if partition.spec.leader != spu:
        return partition
    leader = elect(partition.status.leader, partition.status.replicas, online)
    if leader is not None:
        return evolve(partition, spec=evolve(partition.spec, leader=leader))
    if partition.status.resolution is not PartitionResolution.ONLINE:
        return partition
    return _resolved(partition, PartitionResolution.LEADER_OFFLINE)


def after_spu_came(partition: PartitionItem, spu: int) -> PartitionItem:
    """The partition once ``spu`` is up: online if it leads, perhaps led by it if nobody does.

    Leadership that moved away does not come back: a partition that can be read is left alone.
    """
    if partition.status.resolution in (
        PartitionResolution.ONLINE,
        PartitionResolution.OUT_OF_STORAGE,
    ):
        return partition
    if partition.spec.leader == spu:
        return _resolved(partition, PartitionResolution.ONLINE)
    for replica in partition.status.replicas:
        if replica.spu == spu and may_lead(replica, partition.status.leader):
            return evolve(partition, spec=evolve(partition.spec, leader=spu))
    return partition


def _resolved(partition: PartitionItem, resolution: PartitionResolution) -> PartitionItem:
    return evolve(partition, status=evolve(partition.status, resolution=resolution))


def merged(
    status: PartitionStatus, leader: ReplicaStatus, followers: Iterable[ReplicaStatus], size: int
) -> PartitionStatus:
    """The status after a report of the leader's SPU.

    What is -1 in the report leaves the old value; an old leader becomes a follower. The base
    offset stays 0 for ever: the real SC never merges it.
    """
    known: dict[int, ReplicaStatus] = {one.spu: one for one in status.replicas}
    if status.leader.spu in (-1, leader.spu):
        leader = _overlay(status.leader, leader)
    else:
        known[status.leader.spu] = status.leader
    for follower in followers:
        old = known.get(follower.spu)
        known[follower.spu] = follower if old is None else _overlay(old, follower)
    known.pop(leader.spu, None)
    replicas = tuple(known.values())
    return evolve(
        status,
        resolution=PartitionResolution.ONLINE,
        leader=leader,
        lsr=sum(1 for one in replicas if one.leo != -1 and one.leo == leader.leo),
        replicas=replicas,
        size=size,
    )


def _overlay(old: ReplicaStatus, new: ReplicaStatus) -> ReplicaStatus:
    return ReplicaStatus(
        spu=new.spu,
        hw=old.hw if new.hw == -1 else new.hw,
        leo=old.leo if new.leo == -1 else new.leo,
    )
