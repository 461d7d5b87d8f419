"""The fake cluster as one state: an SC, SPUs, and who holds what.

A :class:`Cluster` keeps the metadata and plays the part between the SC and its SPUs, which no
client ever sees: SPUs are told what they host and lead, their reports make partitions online,
they come and go. It knows no sockets. Who listens (:mod:`txfluvio.testing.broker`) hands requests
to :attr:`Cluster.sc` and to the SPUs, and tells the cluster where they can be reached.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..errors import UsageError, broker_error
from ..wire.sc import (
    TOPIC,
    Computed,
    CreateRequest,
    DeleteRequest,
    Endpoint,
    IngressAddr,
    IngressPort,
    PartitionSpec,
    PartitionStatus,
    ReplicaStatus,
    SpuResolution,
    SpuSpec,
    SpuStatus,
    StatusResponse,
    TopicSpec,
)
from . import lifecycle
from .metadata import Controllers, Loop, Metadata, Timing
from .operations import Operations
from .policies import Policy, Root
from .releases import FLUVIO_0_18, Release
from .sc import Sc
from .store import Diff, Item
from .timers import Timers

Key = tuple[str, int]
"""A partition: its topic's name and its number."""

FIRST_SPU_ID = 5001


class ReplicaReport(Protocol):
    """What an SPU says of a replica of its own.

    :ivar leo: the offset that the next record will get.
    :ivar hw: the offset behind the last record that all replicas have.
    :ivar size: bytes on disk.
    """

    @property
    def leo(self) -> int: ...

    @property
    def hw(self) -> int: ...

    @property
    def size(self) -> int: ...


class SpuNode(Protocol):
    """What a cluster needs of an SPU.

    :ivar on_report: to be called whenever a replica has changed, and once it is hosted.
    """

    on_report: Callable[[Key, ReplicaReport], None] | None

    @property
    def id(self) -> int: ...

    def host(self, key: Key, spec: PartitionSpec, /) -> None:
        """Have a replica; one that is there already stays as it is."""

    def lead(self, key: Key, followers: tuple[int, ...], /) -> None:
        """Lead the partition from now on."""

    def follow(self, key: Key, /) -> None:
        """Follow the partition's leader from now on."""

    def drop(self, key: Key, /) -> None:
        """Forget a replica and its records."""


@attrs.define
class _Node:
    """An SPU as the cluster sees it: what it was told, what it said, what is to be passed on."""

    spu: SpuNode
    up: bool = True
    told: dict[Key, PartitionSpec] = attrs.Factory(dict)
    reports: dict[Key, ReplicaReport] = attrs.Factory(dict)
    fresh: dict[Key, None] = attrs.Factory(dict)
    reporting: bool = False
    last_report: float = float("-inf")


class Cluster:
    """An SC and its SPUs.

    :param scheduler: runs everything timed; a reactor or a ``task.Clock``.
    :param now: the time of day, in seconds; the scheduler's unless given.
    :param seed: decides what is arbitrary on a real cluster, such as the order of lists.
    :param release: what the servers say of themselves.
    :param policy: who may do what.
    :param timing: how long things take.
    :ivar sc: what answers on the SC's port; another one after :meth:`restart_sc`.
    :ivar metadata: all objects.
    """

    def __init__(
        self,
        scheduler: IReactorTime,
        *,
        now: Callable[[], float] | None = None,
        seed: int = 0,
        release: Release = FLUVIO_0_18,
        policy: Policy | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.scheduler = scheduler
        self._now = scheduler.seconds if now is None else now
        self.timing = Timing() if timing is None else timing
        self._rng = random.Random(seed)
        self._policy: Policy = Root() if policy is None else policy
        self._release = release
        self._timers = Timers(scheduler)
        self._nodes: dict[int, _Node] = {}
        self._make_sc()

    def _make_sc(self) -> None:
        self._sc_timers = timers = Timers(self.scheduler)
        self.metadata = Metadata(self._rng)
        self.controllers = Controllers(self.metadata, timers, self.timing)
        self.operations = Operations(
            self.metadata, timers=timers, timing=self.timing, policy=self._policy
        )
        self.sc = Sc(
            self.metadata,
            self.operations,
            timers=timers,
            timing=self.timing,
            release=self._release,
            now=self._now,
        )

    def start(self) -> None:
        """Load the metadata and set everything going."""
        for store in self.metadata.stores:
            store.load(list(store))
        self._run_sc()

    def _run_sc(self) -> None:
        self.controllers.start()
        Loop(self._assign, self.metadata.partitions, timers=self._sc_timers, delay=self.timing.step)

    def stop(self) -> None:
        """End the SC's connections and everything timed, for good."""
        self.sc.close_all()
        self._sc_timers.stop()
        self._timers.stop()

    # Topics, from Python

    def create_topic(
        self, name: str, *, partitions: int = 1, replication: int = 1, spec: TopicSpec | None = None
    ) -> Deferred[None]:
        """Create a topic as a client would; fires when every partition is online.

        :param spec: all of the topic, instead of ``partitions`` and ``replication``.

        Fails with the ``BrokerError`` that a client would get. Cancelling stops the waiting only.
        """
        if spec is None:
            spec = TopicSpec(
                replicas=Computed(partitions=partitions, replication_factor=replication)
            )
        request = CreateRequest(kind=TOPIC, name=name, spec=spec)
        return Deferred.fromCoroutine(_done(self.operations.create(request, None)))

    def delete_topic(self, name: str) -> Deferred[None]:
        """Delete a topic, a system topic as well; fires when it has left the metadata."""
        request = DeleteRequest(kind=TOPIC, key=name, force=True)
        return Deferred.fromCoroutine(_done(self.operations.delete(request)))

    # SPUs

    @property
    def spus(self) -> Mapping[int, SpuNode]:
        """The SPUs by id, running or not."""
        return {spu_id: node.spu for spu_id, node in self._nodes.items()}

    def add_spu(
        self, spu: SpuNode, *, host: str, port: int, rack: str | None = None, up: bool = True
    ) -> None:
        """Register an SPU under the name ``custom-spu-ID``.

        :param host: where clients reach it, with ``port``.
        """
        if spu.id in self._nodes:
            raise UsageError(f"there is an SPU {spu.id} already")
        node = _Node(spu, up=up)
        self._nodes[spu.id] = node

        def reported(key: Key, report: ReplicaReport) -> None:
            self._reported(node, key, report)

        spu.on_report = reported
        spec = SpuSpec(
            id=spu.id,
            public_endpoint=IngressPort(port=port, ingress=(IngressAddr(hostname=host),)),
            private_endpoint=Endpoint(port=min(port + 1, 0xFFFF), host=host),
            rack=rack,
        )
        resolution = SpuResolution.ONLINE if up else SpuResolution.OFFLINE
        status = SpuStatus(resolution=resolution)
        self.metadata.spus.put(Item(f"custom-spu-{spu.id}", spec, status))

    def spu_down(self, spu_id: int) -> None:
        """An SPU is gone: its partitions get another leader, or none."""
        node = self._node(spu_id)
        if node.up:
            node.up = False
            node.told.clear()
            node.reports.clear()
            node.fresh.clear()
            self._resolve(spu_id, SpuResolution.OFFLINE)

    def spu_up(self, spu_id: int) -> None:
        """An SPU is back, with what it had."""
        node = self._node(spu_id)
        if not node.up:
            node.up = True
            self._resolve(spu_id, SpuResolution.ONLINE)
            self._tell(item for item in self.metadata.partitions if spu_id in item.spec.replicas)

    def _node(self, spu_id: int) -> _Node:
        node = self._nodes.get(spu_id)
        if node is None:
            raise UsageError(f"there is no SPU {spu_id}")
        return node

    def _resolve(self, spu_id: int, resolution: SpuResolution) -> None:
        spus = self.metadata.spus
        spus.set_status(
            *[
                (item.name, SpuStatus(resolution=resolution))
                for item in spus
                if item.spec.id == spu_id
            ]
        )

    # Between the SC and its SPUs

    def _assign(self, partitions: Diff[PartitionSpec, PartitionStatus]) -> None:
        for item in partitions.deletes:
            self._drop(lifecycle.partition_key(item.name))
        if partitions.full:
            there = {lifecycle.partition_key(item.name): None for item in partitions.everything}
            for key in self._hosted():
                if key not in there:
                    self._drop(key)
        self._tell((*partitions.everything, *partitions.updates))

    def _hosted(self) -> list[Key]:
        return sorted({key: None for node in self._nodes.values() for key in node.told})

    def _drop(self, key: Key) -> None:
        for node in self._nodes.values():
            if node.told.pop(key, None) is not None:
                node.reports.pop(key, None)
                node.fresh.pop(key, None)
                node.spu.drop(key)

    def _tell(self, partitions: Iterable[lifecycle.PartitionItem]) -> None:
        """Tell SPUs what they have to host, lead and follow, where that is news."""
        for item in sorted(partitions, key=lambda item: item.name):
            key = lifecycle.partition_key(item.name)
            for spu_id in item.spec.replicas:
                node = self._nodes.get(spu_id)
                if node is None or not node.up or node.told.get(key) == item.spec:
                    continue
                node.told[key] = item.spec
                node.spu.host(key, item.spec)
                if item.spec.leader == spu_id:
                    followers = tuple(one for one in item.spec.replicas if one != spu_id)
                    node.spu.lead(key, followers)
                else:
                    node.spu.follow(key)

    def _reported(self, node: _Node, key: Key, report: ReplicaReport) -> None:
        if key not in node.told:
            return
        known = node.reports.get(key)
        node.reports[key] = report
        if known is not None and (known.leo, known.hw) == (report.leo, report.hw):
            return
        leader = self._nodes.get(node.told[key].leader)
        if leader is None or not leader.up:
            return
        leader.fresh[key] = None
        if known is None:
            self._timers.later(self.timing.first_report, self._report, leader)
        elif not leader.reporting:
            leader.reporting = True
            since = self.scheduler.seconds() - leader.last_report
            self._timers.later(max(0.0, self.timing.report - since), self._report_all, leader)

    def _report_all(self, node: _Node) -> None:
        node.reporting = False
        self._report(node)

    def _report(self, node: _Node) -> None:
        """Pass on what an SPU has to say of the partitions it leads, all at once."""
        fresh, node.fresh = node.fresh, {}
        changes = []
        for key in fresh:
            name = lifecycle.partition_name(*key)
            item = self.metadata.partitions.get(name)
            report = node.reports.get(key)
            if item is None or report is None or item.spec.leader != node.spu.id:
                continue
            followers = [
                self._replica_status(spu_id, key)
                for spu_id in item.spec.replicas
                if spu_id != node.spu.id
            ]
            leader = ReplicaStatus(spu=node.spu.id, hw=report.hw, leo=report.leo)
            changes.append((name, lifecycle.merged(item.status, leader, followers, report.size)))
        if changes:
            node.last_report = self.scheduler.seconds()
            self.metadata.partitions.set_status(*changes)

    def _replica_status(self, spu_id: int, key: Key) -> ReplicaStatus:
        node = self._nodes.get(spu_id)
        report = None if node is None else node.reports.get(key)
        if report is None:
            return ReplicaStatus(spu=spu_id)
        return ReplicaStatus(spu=spu_id, hw=report.hw, leo=report.leo)


async def _done(work: Any) -> None:
    answer: StatusResponse = await work
    if answer.error_code:
        code = answer.error_code
        raise broker_error(code.code, code.fields, answer.error_message, what=answer.name)
