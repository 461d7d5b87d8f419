"""Topics: as they are asked for, and when one, or its name, can be used; pure.

What :meth:`~txfluvio.admin.admin.Admin.create_topic` was given becomes part of a request here, and
a snapshot of the metadata becomes the answer whether its topic is there yet. Names that were in use
until a moment ago are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from .._wording import enumerated
from ..cluster import MAX_PARTITIONS, Topology, partition_count
from ..errors import InvalidConfig
from ..wire import sc
from . import arguments, values

REUSE_PAUSE: Final = 1.0
"""Seconds between the deletion of a topic and the creation of another of its name. The SPUs confirm
the deletion late, and the SC takes that for the new one's: seen within 50 ms, never after 500."""


def assigned(assignment: Sequence[Sequence[int]]) -> sc.Assigned:
    """Partitions on the SPUs of these ids, the leader first.

    :raises InvalidConfig: it is no list of lists of ids.
    """
    if not isinstance(assignment, Sequence) or not all(
        isinstance(spus, Sequence) and all(type(spu) is int for spu in spus) for spus in assignment
    ):
        raise InvalidConfig("assignment", assignment, "a list of the SPUs' ids for each partition")
    if len(assignment) > MAX_PARTITIONS:
        raise InvalidConfig("assignment", len(assignment), f"{MAX_PARTITIONS} partitions at most")
    return sc.Assigned(
        partitions=tuple(
            sc.PartitionMap(id=number, replicas=tuple(spus))
            for number, spus in enumerate(assignment)
        )
    )


def mirrored(
    name: str, sources: str | Iterable[str] | None, targets: str | Iterable[str] | None
) -> sc.MirrorTopic:
    """A topic that these clusters mirror to, or one that is mirrored to these.

    :raises InvalidConfig: it is to be both, or they are no names.
    """
    if sources is not None and targets is not None:
        raise InvalidConfig("mirror_to", targets, "None beside mirror_from: a topic goes one way")
    source = targets is not None
    setting, remotes = ("mirror_to", targets) if source else ("mirror_from", sources)
    partitions = tuple(
        sc.HomePartition(remote_cluster=remote, remote_replica=f"{name}-0", source=source)
        for remote in arguments.texts(setting, remotes)
    )
    return sc.MirrorTopic(config=sc.HomeMirror(partitions=partitions, source=source))


def deduplication(wanted: values.Deduplication | None) -> sc.Deduplication | None:
    """Which records are dropped since they were seen; None: none.

    :raises InvalidConfig: it is something else.
    """
    if wanted is None:
        return None
    return arguments.instance("deduplication", wanted, values.Deduplication).to_wire()


def retention(seconds: int | None) -> sc.CleanupPolicy | None:
    """How long records are kept; None: as the SC has it."""
    if seconds is None:
        return None
    return sc.CleanupPolicy(time_in_seconds=arguments.whole("retention", seconds, 0))


def storage(segment_size: int | None, max_partition_size: int | None) -> sc.TopicStorage | None:
    """How large the log may be, and a file of it; None: as the SC has it."""
    if segment_size is None and max_partition_size is None:
        return None
    if segment_size is not None:
        arguments.whole("segment_size", segment_size, 0)
    if max_partition_size is not None:
        arguments.whole("max_partition_size", max_partition_size, 0, 2**64 - 1)
    return sc.TopicStorage(segment_size=segment_size, max_partition_size=max_partition_size)


def _layout(spec: sc.TopicSpec) -> tuple[object, ...]:
    """What an SC tells of a topic's replicas as it was asked for them."""
    replicas = spec.replicas
    places: object = None
    if isinstance(replicas, sc.Computed):
        places = replicas.replication_factor
    elif isinstance(replicas, sc.Assigned):
        places = tuple(partition.replicas for partition in replicas.partitions)
    return type(replicas), partition_count(spec), places


class Deletions:
    """The topics that were deleted less than ``REUSE_PAUSE`` ago."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    def note(self, name: str, now: float) -> None:
        """One is deleted now, or may be."""
        self._forget(now)
        self._times[name] = now

    def pause(self, name: str, now: float) -> float:
        """Seconds until a topic of this name can be created; 0: none was deleted lately."""
        self._forget(now)
        return self._times[name] + REUSE_PAUSE - now if name in self._times else 0.0

    def _forget(self, now: float) -> None:
        """Forget those whose pause is over; or still to begin, by a clock that was set back."""
        self._times = {n: at for n, at in self._times.items() if 0 <= now - at < REUSE_PAUSE}


@attrs.define(eq=False)
class Usable:
    """Whether a topic can be used.

    It is asked for every new topology, and there may be one for each of thousands of partitions:
    so it remembers a partition that was lacking, and looks at others only when that one has come.

    :ivar born_after: a version of the topology; what was there by then is another of its name.
    :ivar with_leaders: whether its partitions have to have online leaders.
    :ivar at_least: how many partitions it has to have.
    :ivar asked_for: what it is to be, if it is one to be created.
    """

    name: str
    born_after: int
    with_leaders: bool = True
    at_least: int = 0
    asked_for: sc.TopicSpec | None = None
    _lacking: int = attrs.field(default=0, init=False)

    def shows(self, topology: Topology) -> bool:
        """Whether the metadata have it."""
        found = topology.topics.get(self.name)
        return found is not None and found.born > self.born_after

    def holds(self, topology: Topology) -> bool | None:
        """True if it can be used; None: not yet."""
        if not self.shows(topology) or topology.topic(self.name).partition_count < self.at_least:
            return None
        return True if not self.with_leaders or self._all_served(topology) else None

    def holds_as_asked(self, topology: Topology) -> bool | None:
        """True if it can be used and is the one that was asked for, for all that the metadata tell;
        None: not yet, or it is another's of this name, or may be."""
        if not self.holds(topology) or not topology.topic(self.name).came:
            return None
        return True if self._as_asked(topology) else None

    def _as_asked(self, topology: Topology) -> bool:
        wanted = self.asked_for
        return wanted is None or _layout(topology.topic(self.name).spec) == _layout(wanted)

    def _all_served(self, topology: Topology) -> bool:
        count = topology.topic(self.name).partition_count
        for step in range(count):
            # Once round from there, and not from the first: that would pass the same ones again.
            number = (self._lacking + step) % count
            if not topology.serves(self.name, number, born_after=self.born_after):
                self._lacking = number
                return False
        return True

    def missing(self, topology: Topology) -> str:
        """What is missing, for an error."""
        if not self.shows(topology):
            return f"topic {self.name} has not come"
        if not self._as_asked(topology):
            return f"topic {self.name} has come otherwise than asked for, so perhaps from others"
        found = topology.topic(self.name)
        if found.partition_count < self.at_least:
            return f"topic {self.name} has {found.partition_count} partitions of {self.at_least}"
        if self.holds(topology):
            return f"topic {self.name} is there, perhaps from others, and the SC has not answered"
        numbers = enumerated(topology.leaderless(self.name, born_after=self.born_after))
        state = found.status.resolution.name.lower().replace("_", " ")
        return f"topic {self.name} ({state}) has no online leader for partitions {numbers}"
