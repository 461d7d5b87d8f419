"""What the SC knows, and the controllers that keep it moving.

Seven stores and four loops: topics are provisioned, leaders elected, the system topic kept, and
everything is loaded anew from time to time. No connection is known here: requests come in from
:mod:`txfluvio.testing.sc.port` and the SPUs' side is played by :mod:`txfluvio.testing.cluster`.
Every step of a loop is a turn of the scheduler of its own, so that watchers see the states between.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from ...wire.sc import (
    CUSTOM_SPU,
    CleanupPolicy,
    Computed,
    Kind,
    MirrorSpec,
    MirrorStatus,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    SmartModuleSpec,
    SmartModuleStatus,
    SpuGroupSpec,
    SpuGroupStatus,
    SpuResolution,
    SpuSpec,
    SpuStatus,
    TableFormatSpec,
    TableFormatStatus,
    TopicCompression,
    TopicResolution,
    TopicSpec,
    TopicStatus,
    TopicStorage,
)
from ..timers import Timers
from . import lifecycle
from .lifecycle import PartitionItem, Spus
from .placement import MAX_PARTITIONS, Weights
from .store import Diff, Item, Store

SpuDiff = Diff[SpuSpec, SpuStatus]

Contents = Mapping[str, Sequence[Item[Any, Any]]]
"""All objects of a cluster, those of each kind under its label."""


SYSTEM_TOPIC = "consumer-offset"

SYSTEM_TOPIC_SPEC = TopicSpec(
    replicas=Computed(partitions=1, replication_factor=1, ignore_rack_assignment=False),
    cleanup_policy=CleanupPolicy(time_in_seconds=604_800),
    storage=TopicStorage(segment_size=512_000_000, max_partition_size=2_048_000_000),
    compression_type=TopicCompression.ANY,
    deduplication=None,
    system=True,
)
"""The topic in which SPUs keep the offsets of consumers."""

SYSTEM_TOPIC_INTERVALS = (16.0, 31.0, 46.0, 61.0, 76.0, 91.0, 106.0, 120.0)
"""Seconds between two looks whether the system topic is there; the last one for ever."""


@attrs.frozen(kw_only=True)
class Timing:
    """How long things take, in seconds; the defaults are those of the real SC, but for waits.

    :ivar step: before each step of a controller. The real one takes less than a millisecond.
    :ivar first_report: from the creation of a partition to the first report of its leader, which
        makes it online. 0.05 to 0.4 in reality.
    :ivar answer: from all of a new topic being there to the answer to the client that has created
        it. None in reality, where ``first_report`` is what lets news of the topic come before.
    :ivar replication: from a change of a leader's log to its followers; 0.044 in reality.
    :ivar report: the shortest time between two reports of one SPU.
    :ivar system_topic: from the start of the SC to the creation of the system topic. 1 in reality.
    :ivar topic_wait: how long Create waits for a topic to be online.
    :ivar store_wait: how long a request waits for the SC's own store.
    :ivar reload: between two full loads of every store.
    :ivar mirroring: between two pushes to a remote cluster.
    :ivar removal: with ``quick_recreate_race``, from the deletion of a partition to the SPU's
        confirmation.
    """

    step: float = 0.0
    first_report: float = 0.0
    answer: float = 0.0
    replication: float = 0.0
    report: float = 0.4
    system_topic: float = 0.0
    topic_wait: float = 90.0
    store_wait: float = 10.0
    reload: float = 300.0
    mirroring: float = 5.0
    removal: float = 0.003


class Stores:
    """All objects of a cluster, each type in a store of its own.

    :param rng: decides orders that are arbitrary on a real SC.
    """

    def __init__(self, rng: random.Random) -> None:
        self.topics: Store[TopicSpec, TopicStatus] = Store("Topic", rng)
        self.partitions: Store[PartitionSpec, PartitionStatus] = Store("Partition", rng)
        self.spus: Store[SpuSpec, SpuStatus] = Store("SPU", rng)
        self.groups: Store[SpuGroupSpec, SpuGroupStatus] = Store("SpuGroup", rng)
        self.modules: Store[SmartModuleSpec, SmartModuleStatus] = Store("SmartModule", rng)
        self.formats: Store[TableFormatSpec, TableFormatStatus] = Store("TableFormat", rng)
        self.mirrors: Store[MirrorSpec, MirrorStatus] = Store("Mirror", rng)
        self._by_label: dict[str, Store[Any, Any]] = {store.label: store for store in self.stores}
        self._by_label[CUSTOM_SPU.label] = self.spus

    @property
    def stores(self) -> tuple[Store[Any, Any], ...]:
        """Every store."""
        return (
            self.topics,
            self.partitions,
            self.spus,
            self.groups,
            self.modules,
            self.formats,
            self.mirrors,
        )

    def contents(self) -> Contents:
        """All objects as they are now."""
        return {store.label: tuple(store) for store in self.stores}

    def load(self, contents: Contents) -> None:
        """Take these objects as the whole truth: every watcher gets everything."""
        for store in self.stores:
            store.load(contents.get(store.label, ()))

    def of(self, kind: Kind) -> Store[Any, Any]:
        """The store of a kind; custom SPUs are SPUs."""
        return self._by_label[kind.label]

    def spu_ids(self, *resolutions: SpuResolution) -> tuple[int, ...]:
        """The ids of the SPUs in one of these states, or of all."""
        return tuple(
            item.spec.id
            for item in self.spus
            if not resolutions or item.status.resolution in resolutions
        )

    def partitions_of(self, topic: str) -> tuple[PartitionItem, ...]:
        """The partitions there are of a topic, by their names alone."""
        item = self.topics.get(topic)
        if item is None:
            return ()
        names = [lifecycle.partition_name(topic, number) for number in item.status.replica_map]
        found = [self.partitions.get(name) for name in names]
        return tuple(partition for partition in found if partition is not None)

    def online_partitions(self, topic: str) -> int:
        """How many partitions of a topic are online."""
        return sum(
            item.status.resolution is PartitionResolution.ONLINE
            for item in self.partitions_of(topic)
        )

    def delete_topic(self, name: str) -> None:
        """Remove a topic and its partitions."""
        self.partitions.delete(*[item.name for item in self.partitions_of(name)])
        self.topics.delete(name)


def until(
    condition: Callable[[], bool],
    *stores: Store[Any, Any],
    timers: Timers,
    timeout: float,
) -> Deferred[bool]:
    """Wait until a condition on some stores holds; it is looked at after their changes.

    Fires in a turn of its own, with ``False`` when ``timeout`` seconds pass before. Cancelling
    just stops the waiting.
    """
    waiter: Deferred[bool] = Deferred()
    look_no_more: Callable[[], None] | None = None

    def look() -> None:
        nonlocal look_no_more
        look_no_more = None
        if condition():
            waiter.callback(True)

    def changed() -> None:
        nonlocal look_no_more
        if look_no_more is None:
            look_no_more = timers.later(0, look)

    def forget() -> None:
        if look_no_more is not None:
            look_no_more()

    subscriptions = [store.subscribe(changed) for store in stores]
    timers.limit(waiter, timeout, *subscriptions, forget)
    changed()
    return waiter


class Controllers:
    """What goes on in the SC by itself.

    :param max_partitions: the most partitions of all topics together that are placed.
    :ivar automatic_elections: move leaders when an SPU goes down; else they wait to be moved.
    :ivar system_topic: keep the topic ``consumer-offset``.
    """

    def __init__(
        self,
        metadata: Stores,
        timers: Timers,
        timing: Timing,
        max_partitions: int = MAX_PARTITIONS,
    ) -> None:
        self._max_partitions = max_partitions
        self.automatic_elections = True
        self.system_topic = True
        self._metadata = metadata
        self._timers = timers
        self._timing = timing
        self._intervals: Iterator[float] = iter(SYSTEM_TOPIC_INTERVALS)

    def start(self) -> None:
        """Set everything going; the stores should be loaded by now."""
        metadata = self._metadata
        step = self._timing.step
        Loop(self._provision, metadata.topics, metadata.spus, timers=self._timers, delay=step)
        Loop(self._elect, metadata.spus, timers=self._timers, delay=step)
        self._timers.later(self._timing.system_topic, self._keep_system_topic)
        self._timers.later(self._timing.reload, self._reload)

    def _provision(self, topics: Diff[TopicSpec, TopicStatus], spus: SpuDiff) -> None:
        came = any(
            item.status.resolution is SpuResolution.ONLINE
            for item in (*spus.everything, *spus.updates)
        )
        items = self._metadata.topics if came else (*topics.everything, *topics.updates)
        # What a turn places is added as it goes, so the partitions are counted once for all.
        placed = cache(lambda: Weights(self._placed()))
        for name in sorted(item.name for item in items):
            self._advance(name, placed)

    def _advance(self, name: str, placed: Callable[[], Weights]) -> None:
        metadata = self._metadata
        topic = metadata.topics.get(name)
        if topic is None:
            return
        spus = Spus(metadata.spu_ids(), metadata.spu_ids(SpuResolution.ONLINE))
        room = self._max_partitions - len(metadata.partitions)
        status = lifecycle.next_status(topic, spus, placed, room=room)
        if status is not topic.status and status.resolution is TopicResolution.PROVISIONED:
            counts = placed()
            made = Item(name, topic.spec, status)
            for item in lifecycle.missing_partitions(made, metadata.partitions):
                counts.add(item.spec.leader, item.spec.replicas)
        if metadata.topics.set_status((name, status)):
            return
        missing = lifecycle.missing_partitions(topic, metadata.partitions)
        if missing:
            metadata.partitions.put(*missing)
            metadata.topics.touch(name)

    def _placed(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Leader and replicas of every partition, made or about to be."""
        for item in self._metadata.partitions:
            yield item.spec.leader, item.spec.replicas
        for topic in self._metadata.topics:
            for item in lifecycle.missing_partitions(topic, self._metadata.partitions):
                yield item.spec.leader, item.spec.replicas

    def _elect(self, spus: SpuDiff) -> None:
        changed = (*spus.everything, *spus.updates)
        by_name = sorted(changed, key=lambda item: item.name)
        online = self._metadata.spu_ids(SpuResolution.ONLINE)
        for spu in by_name:
            if spu.status.resolution is SpuResolution.OFFLINE:
                candidates = online if self.automatic_elections else ()
                self._change(partial(lifecycle.after_spu_went, spu=spu.spec.id, online=candidates))
        for spu in by_name:
            if spu.status.resolution is SpuResolution.ONLINE:
                self._change(partial(lifecycle.after_spu_came, spu=spu.spec.id))

    def _change(self, change: Callable[[PartitionItem], PartitionItem]) -> None:
        partitions = self._metadata.partitions
        changed = [(before, change(before)) for before in partitions]
        moved = [after for before, after in changed if after is not before]
        if moved:
            partitions.put(*moved)

    def _keep_system_topic(self) -> None:
        if self.system_topic and SYSTEM_TOPIC not in self._metadata.topics:
            self._metadata.topics.put(Item(SYSTEM_TOPIC, SYSTEM_TOPIC_SPEC, lifecycle.NEW_TOPIC))
        interval = next(self._intervals, SYSTEM_TOPIC_INTERVALS[-1])
        self._timers.later(interval, self._keep_system_topic)

    def reload(self) -> None:
        """Load every store anew: each watcher gets everything again."""
        for store in self._metadata.stores:
            store.reload()

    def _reload(self) -> None:
        self.reload()
        self._timers.later(self._timing.reload, self._reload)


class Loop:
    """Something that is done after changes of some stores, in turns of its own.

    :param delay: seconds from a change to the turn that deals with it.
    """

    def __init__(
        self, turn: Callable[..., None], *stores: Store[Any, Any], timers: Timers, delay: float
    ) -> None:
        self._turn = turn
        self._stores = stores
        self._seen = [0] * len(stores)
        self._timers = timers
        self._delay = delay
        self._waiting = False
        for store in stores:
            store.subscribe(self._wake)
        self._wake()

    def _wake(self) -> None:
        if not self._waiting:
            self._waiting = True
            # A turn of its own before: watchers are told first of what changed.
            self._timers.later(0, self._timers.later, self._delay, self._run)

    def _run(self) -> None:
        self._waiting = False
        diffs = [
            store.diff(seen, hidden=True)
            for store, seen in zip(self._stores, self._seen, strict=True)
        ]
        self._seen = [diff.epoch for diff in diffs]
        self._turn(*diffs)
