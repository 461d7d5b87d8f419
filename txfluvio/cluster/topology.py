"""What the cluster looks like, as a value: topics, their partitions, who leads them, and the SPUs.

Pure: no connection, no clock. A :class:`Topology` is an immutable snapshot; the watcher replaces
it by ``topology.fold(message)`` for every message of its watches on the SC, and everybody else
asks it. What a message does not change is the same object in the next snapshot, also where all is
told again. The rules of folding are those of the SC's watch engine:

* Epoch 0 means that the SC has not loaded its objects yet; such an answer says nothing.
* The first answer after that is the whole truth, even if it is empty.
* Later, a list of all objects replaces what was known, changes apply to it, and neither says
  nothing.
* Within changes, deletes come first in time though last in place: a key in both exists.

The three kinds of objects are watched independently of each other, so a partition may be known
before its topic, or outlive it for a moment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from ..errors import PartitionNotFound, ProtocolError, SpuNotFound, TopicNotFound
from ..wire.sc import (
    PARTITION,
    SPU,
    TOPIC,
    Assigned,
    Change,
    Computed,
    Metadata,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    RemoteMirror,
    SpuResolution,
    TopicSpec,
    TopicStatus,
    WatchResponse,
)

T = TypeVar("T")

WATCHED: Final = (SPU, PARTITION, TOPIC)
"""The kinds of objects that a topology is made of."""

NOBODY: Final = -1
"""The leader of a partition that has none yet."""

NO_NUMBER: Final = -1
"""The number in a key that has none, and so is that of no partition."""

_UNKNOWN_SPEC = PartitionSpec(leader=NOBODY, replicas=())
_UNKNOWN_STATUS = PartitionStatus()
_LONGEST_NUMBER = 10

MAX_PARTITIONS: Final = 100_000
"""Partitions that a topic may have to be used. The number alone, in a few bytes, would have a
consumer of the topic open so many streams. An SC sets no limit, and keeps a topic for which it has
too few SPUs: such a topic is in the metadata of everybody, who use others."""
_EVERY_NUMBER: Final = range(2**32)
_READABLE = (PartitionResolution.ONLINE, PartitionResolution.OUT_OF_STORAGE)


@attrs.frozen(kw_only=True)
class SpuInfo:
    """One SPU.

    :ivar host: where clients reach it; empty if it has told no address.
    :ivar online: whether the SC has a connection with it.
    """

    id: int
    name: str
    host: str
    port: int
    online: bool


@attrs.frozen(kw_only=True)
class PartitionInfo:
    """One partition of a topic.

    :ivar leader: the SPU to produce to and consume from, by id; ``NOBODY`` before it has one.
    :ivar replicas: all SPUs that hold it, by id.
    :ivar online: whether its leader serves it, as the SC knows. The SPU itself may be offline:
        ask :meth:`Topology.leader_of`.
    :ivar born: the version of the topology in which it appeared, so that a partition can be told
        from an earlier one of the same name. One that was there before the SC was lost and is there
        after counts as the same.
    """

    topic: str
    number: int
    leader: int = NOBODY
    replicas: tuple[int, ...] = ()
    online: bool = False
    spec: PartitionSpec = attrs.field(default=_UNKNOWN_SPEC, repr=False)
    status: PartitionStatus = attrs.field(default=_UNKNOWN_STATUS, repr=False)
    born: int = 0


@attrs.frozen(kw_only=True, slots=False)
class TopicInfo:
    """One topic.

    :ivar partition_count: how many partitions it is to have, by its specification; the newest of
        them may not be there yet.
    :ivar partitions: those that are there, by number.
    :ivar born: the version of the topology in which it appeared.
    :ivar came: whether it was seen to come. What is there when the metadata are loaded, by any
        connection to the SC, may have been there for long.
    """

    name: str
    spec: TopicSpec
    status: TopicStatus
    partition_count: int
    partitions: Mapping[int, PartitionInfo]
    born: int
    came: bool = False

    @property
    def usable(self) -> bool:
        """Whether it has no more partitions than anybody can use."""
        return self.partition_count <= MAX_PARTITIONS

    @cached_property
    def taking_turns(self) -> tuple[int, ...]:
        """The partitions that take turns with records without a key, by number, in order: those
        that are online and have room on their disk. A topic that was made anew with fewer may for a
        moment still have the others, which are no longer its own.

        All producers of the topic ask for it: it is found when the first does.
        """
        full = PartitionResolution.OUT_OF_STORAGE
        numbers = [
            number
            for number, found in self.partitions.items()
            if 0 <= number < self.partition_count
            and found.online
            and found.status.resolution is not full
        ]
        return tuple(sorted(numbers))


def partition_count(spec: TopicSpec) -> int:
    """How many partitions a topic of this specification has."""
    replicas = spec.replicas
    if isinstance(replicas, Computed):
        return replicas.partitions
    if isinstance(replicas, Assigned):
        return len(replicas.partitions)
    mirror = replicas.config
    if isinstance(mirror, RemoteMirror):
        return len(mirror.home_spus)
    return len(mirror.partitions)


_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Topology:
    """A snapshot of the cluster, which never changes.

    :ivar use_local_address: whether SPUs are reached at their local address, where they have one.
    :ivar version: grows with each snapshot.
    :ivar topics: by name.
    :ivar spus: by id.
    """

    use_local_address: bool = False
    version: int = 0
    topics: Mapping[str, TopicInfo] = _NOTHING
    spus: Mapping[int, SpuInfo] = _NOTHING
    _loaded: frozenset[str] = frozenset()
    _partitions: Mapping[str, Mapping[int, PartitionInfo]] = _NOTHING

    @property
    def loaded(self) -> bool:
        """Whether the SC has told of every kind of object at least once."""
        return len(self._loaded) == len(WATCHED)

    def topic(self, name: str) -> TopicInfo:
        """The topic of this name.

        :raises TopicNotFound: there is none.
        :raises ProtocolError: it has more partitions than anybody can use.
        """
        found = self._found(name)
        if not found.usable:
            raise ProtocolError(
                f"topic {name} with {found.partition_count} partitions, over {MAX_PARTITIONS}",
                field="partitions",
            )
        return found

    def _found(self, name: str) -> TopicInfo:
        found = self.topics.get(name)
        if found is None:
            raise TopicNotFound(what=f"topic {name}")
        return found

    def partition(self, topic: str, number: int) -> PartitionInfo:
        """One partition; while the cluster has not made it yet, it has no leader.

        :raises TopicNotFound: there is no such topic.
        :raises PartitionNotFound: the topic is not to have this partition.
        """
        info = self._found(topic)
        found = info.partitions.get(number)
        if found is not None:
            return found
        if not 0 <= number < info.partition_count:
            raise PartitionNotFound(topic, number, info.partition_count)
        return PartitionInfo(topic=topic, number=number)

    def spu(self, spu_id: int) -> SpuInfo:
        """The SPU of this id.

        :raises SpuNotFound: there is none.
        """
        found = self.spus.get(spu_id)
        if found is None:
            raise SpuNotFound(what=f"SPU {spu_id}")
        return found

    def leader_of(self, topic: str, number: int) -> int | None:
        """The id of the SPU that serves a partition; None while nobody does, or it is unknown."""
        info = self.topics.get(topic)
        partition = info.partitions.get(number) if info is not None else None
        if partition is None or not partition.online:
            return None
        spu = self.spus.get(partition.leader)
        return partition.leader if spu is not None and spu.online else None

    def serves(self, topic: str, number: int, *, born_after: int = -1) -> bool:
        """Whether somebody serves a partition.

        :param born_after: a version; a partition that was there by then does not count.
        """
        return (
            self.leader_of(topic, number) is not None
            and self.topics[topic].partitions[number].born > born_after
        )

    def leaderless(self, topic: str, *, born_after: int = -1) -> list[int]:
        """The partitions that nobody serves, ascending.

        :param born_after: a version; what was there by then does not count.
        :raises TopicNotFound: there is no such topic, or it was there by then.
        :raises ProtocolError: it has more partitions than anybody can use.
        """
        info = self.topic(topic)
        if info.born <= born_after:
            raise TopicNotFound(what=f"topic {topic}")
        return [
            number
            for number in range(info.partition_count)
            if not self.serves(topic, number, born_after=born_after)
        ]

    def changed(self, topic: str, since: Topology) -> Collection[int]:
        """The partitions of a topic that may be served otherwise than in an earlier snapshot.

        :return: their numbers; every possible one where the topic or the SPUs have changed.
        """
        now, then = self.topics.get(topic), since.topics.get(topic)
        if not since.loaded or self.spus is not since.spus:
            return _EVERY_NUMBER
        if now is then:
            return ()
        if now is None or then is None or now.partition_count != then.partition_count:
            return _EVERY_NUMBER
        # Without a call for each: there may be thousands, of which a message is about one.
        changed = {n for n, found in now.partitions.items() if then.partitions.get(n) is not found}
        return changed | (then.partitions.keys() - now.partitions.keys())

    def restarted(self) -> Topology:
        """The topology to fold the messages of a new connection into.

        What is in it is not loaded, and the first answer of each watch replaces it. It is there so
        that an object of both connections is not taken for one that has just appeared.
        """
        return attrs.evolve(self, loaded=frozenset())

    def fold(self, message: WatchResponse) -> Topology:
        """The snapshot after one message of a watch; itself if the message says nothing new."""
        label = message.kind.label
        told = told_by(message, first=label not in self._loaded)
        if told is None:
            return self
        after = attrs.evolve(self, version=self.version + 1, loaded=self._loaded | {label})
        if message.kind is SPU:
            return after._with_spus(told)
        if message.kind is PARTITION:
            return after._with_partitions(told)
        return after._with_topics(told, came=self.loaded)

    def _with_spus(self, told: Told) -> Topology:
        known = {spu.name: spu for spu in self.spus.values()}
        named = {} if told.whole else dict(known)
        for name, object_ in told.objects.items():
            if object_ is None:
                named.pop(name, None)
            else:
                named[name] = _kept(known.get(name), self._spu_info(object_))
        spus = MappingProxyType({spu.id: spu for spu in named.values()})
        return attrs.evolve(self, spus=_kept(self.spus, spus))

    def _spu_info(self, object_: Metadata) -> SpuInfo:
        spec = object_.spec
        endpoint = spec.public_endpoint
        if self.use_local_address and spec.public_endpoint_local is not None:
            endpoint = spec.public_endpoint_local
        return SpuInfo(
            id=spec.id,
            name=object_.name,
            host=endpoint.host,
            port=endpoint.port,
            online=object_.status.resolution is SpuResolution.ONLINE,
        )

    def _with_partitions(self, told: Told) -> Topology:
        touched: dict[str, dict[int, PartitionInfo]] = {}
        if told.whole:
            touched = {topic: {} for topic in self._partitions}
        for key, object_ in told.objects.items():
            topic, number = partition_key(key)
            before = self._partitions.get(topic, _NOTHING)
            if topic not in touched:
                touched[topic] = {} if told.whole else dict(before)
            if object_ is None:
                touched[topic].pop(number, None)
                continue
            known = None if key in told.deleted else before.get(number)
            born = self.version if known is None else known.born
            touched[topic][number] = _kept(known, _partition_info(topic, number, object_, born))
        touched = {
            topic: numbers
            for topic, numbers in touched.items()
            if numbers != self._partitions.get(topic, _NOTHING)
        }
        partitions = {**self._partitions, **touched}
        for topic, numbers in touched.items():
            if not numbers:
                del partitions[topic]
        changed = {
            topic: attrs.evolve(self.topics[topic], partitions=MappingProxyType(numbers))
            for topic, numbers in touched.items()
            if topic in self.topics
        }
        topics = MappingProxyType({**self.topics, **changed})
        return attrs.evolve(self, topics=topics, partitions=partitions)

    def _with_topics(self, told: Told, *, came: bool) -> Topology:
        topics = {} if told.whole else dict(self.topics)
        for name, object_ in told.objects.items():
            if object_ is None:
                topics.pop(name, None)
                continue
            known = None if name in told.deleted else self.topics.get(name)
            found = TopicInfo(
                name=name,
                spec=object_.spec,
                status=object_.status,
                partition_count=partition_count(object_.spec),
                partitions=MappingProxyType(dict(self._partitions.get(name, _NOTHING))),
                born=self.version if known is None else known.born,
                came=came if known is None else known.came,
            )
            topics[name] = _kept(known, found)
        return attrs.evolve(self, topics=MappingProxyType(topics))

    def __repr__(self) -> str:
        return f"<Topology {self.version}: {len(self.topics)} topics, {len(self.spus)} SPUs>"


@attrs.frozen
class Told:
    """What a message says: every object there is or only some; None for one that is gone.

    :ivar deleted: the names that were deleted, perhaps to come back.
    """

    whole: bool
    objects: Mapping[str, Metadata | None]
    deleted: frozenset[str]


def told_by(message: WatchResponse, *, first: bool) -> Told | None:
    """What a message of a watch says, by the rules of folding; None: nothing.

    :param first: whether none before it, on its connection, has said anything.
    """
    if message.epoch < 1 or not (first or message.all or message.changes):
        return None
    if message.all or not message.changes:
        return Told(True, {object_.name: object_ for object_ in message.all}, frozenset())
    deleted = frozenset(c.content.name for c in message.changes if c.header is Change.DELETE)
    objects: dict[str, Metadata | None] = dict.fromkeys(deleted)
    for change in message.changes:
        if change.header is Change.UPDATE:
            objects[change.content.name] = change.content
    return Told(first, objects, deleted)


def partition_key(key: str) -> tuple[str, int]:
    """The topic and the number in the key of a partition, ``orders-3``; else all of the key, and
    ``NO_NUMBER``."""
    topic, _, number = key.rpartition("-")
    if number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER:
        return topic, int(number)
    return key, NO_NUMBER


def _kept(known: T | None, told: T) -> T:
    """What was told, as the object it was known as if it is equal."""
    return known if known is not None and known == told else told


def _partition_info(topic: str, number: int, object_: Metadata, born: int) -> PartitionInfo:
    spec, status = object_.spec, object_.status
    return PartitionInfo(
        topic=topic,
        number=number,
        leader=spec.leader,
        replicas=spec.replicas,
        online=status.resolution in _READABLE and not status.is_being_deleted,
        spec=spec,
        status=status,
        born=born,
    )
