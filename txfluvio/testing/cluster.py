"""The fake cluster as one state: an SC, SPUs, and who holds what.

A :class:`Cluster` keeps the metadata and plays the part between the SC and its SPUs, which no
client ever sees: SPUs are told what they host and lead, their reports make partitions online,
followers copy from leaders, SPUs come and go. It knows no sockets. Who listens
(:mod:`txfluvio.testing.broker`) hands requests to :attr:`Cluster.sc` and to the SPUs, ends the
connections of what is down, and tells the cluster where its SPUs can be reached.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..errors import UsageError
from ..wire.sc import (
    TOPIC,
    VERSIONS,
    Computed,
    CreateRequest,
    DeleteRequest,
    Endpoint,
    IngressAddr,
    IngressPort,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    ReplicaStatus,
    SpuResolution,
    SpuSpec,
    SpuStatus,
    StatusResponse,
    TopicSpec,
)
from ..wire.schema import evolve
from .given import NotThere
from .releases import FLUVIO_0_18, Release
from .sc import lifecycle
from .sc.metadata import Contents, Controllers, Loop, SpuDiff, Stores, Timing
from .sc.operations import Operations
from .sc.placement import MAX_PARTITIONS
from .sc.policies import Policy, Root
from .sc.port import Sc
from .sc.store import Diff, Item
from .spu.replica import Key, Report, Role
from .spu.spu import Spu
from .spu_names import spu_name
from .timers import Timers


@attrs.frozen(eq=False)
class _Newcomers:
    """Partitions that an SPU came to host at one moment, and has yet to report on."""

    since: float
    keys: dict[Key, None] = attrs.Factory(dict)


@attrs.define(eq=False)
class _Node:
    """An SPU as the cluster sees it.

    :ivar told: what it knows of its partitions while it runs.
    :ivar reports: what it last said of each replica while it runs.
    :ivar fresh: the partitions of whose replicas it has news for the SC.
    :ivar newcomers: the last ones that it can not report on before ``Timing.first_report``.
    """

    spu: Spu
    up: bool
    told: dict[Key, PartitionSpec] = attrs.Factory(dict)
    reports: dict[Key, Report] = attrs.Factory(dict)
    fresh: dict[Key, None] = attrs.Factory(dict)
    newcomers: _Newcomers | None = None
    report_due: bool = False
    last_report: float = float("-inf")


class Cluster:
    """An SC and its SPUs.

    :param scheduler: runs everything timed; a reactor or a ``task.Clock``.
    :param now: the time of day, in seconds; the scheduler's unless given.
    :param seed: decides what is arbitrary on a real cluster, such as the order of lists.
    :param release: what the servers say of themselves.
    :param policy: who may do what.
    :param timing: how long things take.
    :param quick_recreate_race: a topic that is deleted and created anew at once may lose its
        partitions until the next full load, and news of a partition may be lost with that of a
        deleted one, as happens on a real cluster.
    :param max_partitions: the most partitions of all topics together.
    :param on_change: called after every change of the metadata.
    :ivar sc: what answers on the SC's port.
    :ivar metadata: all objects; others after the SC went and came.
    :ivar compares_logs: whether a follower cuts what its leader has otherwise. A real one looks at
        the lengths only, so that after an election the copies of a partition may differ for ever.
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
        quick_recreate_race: bool = False,
        max_partitions: int = MAX_PARTITIONS,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self.scheduler = scheduler
        self.now: Callable[[], float] = scheduler.seconds if now is None else now
        self.release = release
        self.timing = Timing() if timing is None else timing
        self.quick_recreate_race = quick_recreate_race
        self.compares_logs = False
        self._max_partitions = max_partitions
        self._on_change = on_change
        self._rng = random.Random(seed)
        self._policy: Policy = Root() if policy is None else policy
        self._timers = Timers(scheduler)
        self._nodes: dict[int, _Node] = {}
        self._copying: dict[Key, None] = {}
        self._stalls: list[Callable[[Key], bool]] = []
        self._ongoing: dict[int, Deferred[Any]] = {}
        self._next = 0
        self._sc_runs = False
        self._make_metadata()
        self.sc = Sc(
            self.metadata,
            self.operations,
            timers=self._sc_timers,
            timing=self.timing,
            release=release,
            now=self.now,
        )

    def start(self) -> None:
        """Load the metadata and set everything going."""
        self._run_sc(self.metadata.contents())

    def stop(self) -> None:
        """End everything timed, for good; what still waits for something is cancelled."""
        self._sc_runs = False
        self._sc_timers.stop()
        self._timers.stop()
        self._cancel_ongoing()

    # The SC

    @property
    def automatic_elections(self) -> bool:
        """Whether a partition whose leader goes gets another one by itself."""
        return self.controllers.automatic_elections

    @automatic_elections.setter
    def automatic_elections(self, value: bool) -> None:
        self.controllers.automatic_elections = value

    @property
    def system_topic(self) -> bool:
        """Whether the topic of consumer offsets is created when it is missing."""
        return self.controllers.system_topic

    @system_topic.setter
    def system_topic(self, value: bool) -> None:
        self.controllers.system_topic = value

    @property
    def policy(self) -> Policy:
        """Who may do what."""
        return self._policy

    @policy.setter
    def policy(self, value: Policy) -> None:
        self._policy = self.operations.policy = value

    def sc_down(self) -> None:
        """The SC is gone: nothing changes in the metadata. SPUs go on with what they know."""
        if self._sc_runs:
            self._sc_runs = False
            self._sc_timers.stop()
            self._cancel_ongoing()

    def sc_up(self) -> None:
        """The SC is back with what it had stored; its epochs start anew."""
        if self._sc_runs:
            return
        contents = self.metadata.contents()
        hidden = [store.hidden for store in self.metadata.stores]
        before = self.controllers
        self._make_metadata()
        self.controllers.automatic_elections = before.automatic_elections
        self.controllers.system_topic = before.system_topic
        self.sc.serve(self.metadata, self.operations, self._sc_timers)
        self._run_sc(contents)
        for store, names in zip(self.metadata.stores, hidden, strict=True):
            for name in names:
                store.hide(name)
        for spu_id, node in self._nodes.items():
            self._resolve(spu_id, _resolution(node.up))
            if node.up:
                node.fresh = {}
                self._report_first(node, *node.told)

    def reload(self) -> None:
        """Load all metadata anew now, as happens every 300 seconds: watches get everything."""
        self.controllers.reload()

    def report(self, spu_id: int) -> None:
        """Have an SPU report on all its partitions soon, as it does when it has reconnected."""
        node = self._node(spu_id)
        self._report_first(node, *node.told)

    def _make_metadata(self) -> None:
        self._sc_timers = timers = Timers(self.scheduler)
        self.metadata = Stores(self._rng)
        self.controllers = Controllers(self.metadata, timers, self.timing, self._max_partitions)
        self.operations = Operations(
            self.metadata, timers=timers, timing=self.timing, policy=self._policy
        )

    def _run_sc(self, contents: Contents) -> None:
        self._sc_runs = True
        self.metadata.load(contents)
        self.controllers.start()
        step = self.timing.step
        Loop(self._assign, self.metadata.partitions, timers=self._sc_timers, delay=step)
        Loop(self._check_health, self.metadata.spus, timers=self._sc_timers, delay=step)
        for store in self.metadata.stores:
            store.subscribe(self._on_change)

    # Topics

    def create_topic(
        self, name: str, *, partitions: int = 1, replication: int = 1, spec: TopicSpec | None = None
    ) -> Deferred[None]:
        """Create a topic as a client would; fires when every partition is online.

        :param spec: all of the topic, instead of ``partitions`` and ``replication``.

        Fails with the ``BrokerError`` that a client would get, and with UsageError while the SC is
        down or if no client could ask for it. Cancelling stops the waiting only.
        """
        if spec is None:
            replicas = Computed(partitions=partitions, replication_factor=replication)
            spec = TopicSpec(replicas=replicas)
        request = CreateRequest(kind=TOPIC, name=name, spec=spec)
        return self._done(lambda: self._create(request))

    async def _create(self, request: CreateRequest) -> StatusResponse:
        # What does not fit into a request fits into no answer either: no watch could tell of it.
        request.encode(VERSIONS[1])
        return await self.operations.create(request, None)

    def delete_topic(self, name: str) -> Deferred[None]:
        """Delete a topic, a system topic as well; fires when it has left the metadata.

        Fails as the creation does.
        """
        request = DeleteRequest(kind=TOPIC, key=name, force=True)
        return self._done(lambda: self.operations.delete(request))

    def _done(self, work: Callable[[], Awaitable[StatusResponse]]) -> Deferred[None]:
        async def done() -> None:
            self.check_sc()
            answer = await work()
            if answer.error_code:
                raise answer.error_code.exception(answer.name, answer.error_message)

        return self._until_stop(Deferred.fromCoroutine(done()))

    def check_sc(self) -> None:
        """See that there is somebody who changes the metadata.

        :raises UsageError: the SC is down.
        """
        if not self._sc_runs:
            raise UsageError("the SC is down, and nobody else changes the metadata: sc_up() first")

    def hide_from_metadata(self, topic: str, partition: int | None = None) -> Callable[[], None]:
        """Let clients see a topic with its partitions, or one partition, as deleted.

        All goes on as before for those who do not look, and it stays hidden when the SC goes and
        comes. Returns a function that shows it again.

        :raises UsageError: there is no such topic or partition, or the SC is down.
        """
        self.check_sc()
        partitions = self.metadata.partitions
        if partition is not None:
            names = [self._partition(topic, partition).name]
        else:
            self.check_there(topic)
            names = [item.name for item in self.metadata.partitions_of(topic)]
            self.metadata.topics.hide(topic)
        for name in names:
            partitions.hide(name)

        def show() -> None:
            metadata = self.metadata
            if partition is None:
                metadata.topics.show(topic)
            for name in names:
                metadata.partitions.show(name)

        return show

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """Make the SPU ``to`` the leader of a partition of which it has a replica.

        :raises UsageError: it has none or is down, there is no such partition, or the SC is down.
        """
        self.check_sc()
        item = self._partition(topic, partition)
        if to not in item.spec.replicas:
            raise UsageError(f"SPU {to} has no replica of {topic}/{partition}")
        if not self._node(to).up:
            raise UsageError(f"SPU {to} is down and can not lead: spu_up({to}) first")
        if to != item.spec.leader:
            spec: PartitionSpec = evolve(item.spec, leader=to)
            self.metadata.partitions.put(Item(item.name, spec, item.status))

    def stall_replication(
        self, topic: str | None = None, partition: int | None = None
    ) -> Callable[[], None]:
        """Let followers of a partition, of a topic or of all get nothing.

        Returns a function that lets them catch up.

        :raises UsageError: there is no such topic or partition.
        """
        if topic is not None:
            self.check_there(topic, partition)

        def stalled(key: Key) -> bool:
            return topic in (None, key[0]) and partition in (None, key[1])

        self._stalls.append(stalled)

        def resume() -> None:
            if stalled in self._stalls:
                self._stalls.remove(stalled)
                for key in self._hosted():
                    self._copy_soon(key)

        return resume

    def resume_replication(self) -> None:
        """Let all followers catch up that are stalled."""
        self._stalls.clear()
        for key in self._hosted():
            self._copy_soon(key)

    def check_there(self, topic: str, partition: int | None = None) -> int:
        """See that there is a topic, and that it has a partition; returns how many it has.

        :raises UsageError: there is none, or it has not.
        """
        item = self.metadata.topics.get(topic)
        if item is None:
            raise NotThere(f"there is no topic {topic}: check the name, or create it first")
        count = lifecycle.partition_count(item.spec)
        if partition is not None and not 0 <= partition < count:
            raise NotThere(
                f"there is no partition {topic}/{partition}: {topic} has {count}, numbered from 0"
            )
        return count

    def _partition(self, topic: str, partition: int) -> lifecycle.PartitionItem:
        self.check_there(topic, partition)
        item = self.metadata.partitions.get(lifecycle.partition_name(topic, partition))
        if item is None:
            raise NotThere(f"there is no partition {topic}/{partition} yet")
        return item

    # What still waits

    def _until_stop(self, waiter: Deferred[None]) -> Deferred[None]:
        number = self._next = self._next + 1

        def over(result: Any) -> Any:
            self._ongoing.pop(number, None)
            return result

        self._ongoing[number] = waiter
        return waiter.addBoth(over)

    def _cancel_ongoing(self) -> None:
        ongoing, self._ongoing = self._ongoing, {}
        for waiter in ongoing.values():
            waiter.cancel()

    # SPUs

    @property
    def spus(self) -> Mapping[int, Spu]:
        """The SPUs by id, running or not."""
        return {spu_id: node.spu for spu_id, node in self._nodes.items()}

    def add_spu(
        self, spu: Spu, *, host: str, port: int, rack: str | None = None, up: bool = True
    ) -> None:
        """Register an SPU under the name ``custom-spu-ID``.

        :param host: where clients reach it, with ``port``.
        """
        if spu.id in self._nodes:
            raise UsageError(f"there is an SPU {spu.id} already")
        node = _Node(spu, up)
        self._nodes[spu.id] = node

        def reported(key: Key, report: Report) -> None:
            self._reported(node, key, report)

        spu.on_report = reported
        spec = SpuSpec(
            id=spu.id,
            public_endpoint=IngressPort(port=port, ingress=(IngressAddr(hostname=host),)),
            private_endpoint=Endpoint(port=min(port + 1, 0xFFFF), host=host),
            rack=rack,
        )
        status = SpuStatus(resolution=_resolution(up))
        self.metadata.spus.put(Item(spu_name(spu.id), spec, status))

    def forget_spu(self, spu_id: int) -> None:
        """Have an SPU that is down no more; what names it in the metadata stays."""
        node = self._node(spu_id)
        if node.up:
            raise UsageError(f"SPU {spu_id} is running")
        del self._nodes[spu_id]
        node.spu.on_report = None

    def spu_down(self, spu_id: int) -> None:
        """An SPU is gone: its partitions get another leader, or none."""
        node = self._node(spu_id)
        if node.up:
            node.up = False
            node.told.clear()
            node.reports.clear()
            node.fresh.clear()
            node.spu.stop()
            self._resolve(spu_id, SpuResolution.OFFLINE)

    def spu_up(self, spu_id: int) -> None:
        """An SPU is back, with the logs it had."""
        node = self._node(spu_id)
        if node.up:
            return
        node.up = True
        self._resolve(spu_id, SpuResolution.ONLINE)
        self._tell(item for item in self.metadata.partitions if spu_id in item.spec.replicas)

    def _node(self, spu_id: int) -> _Node:
        node = self._nodes.get(spu_id)
        if node is None:
            raise NotThere(f"there is no SPU {spu_id}")
        return node

    def _resolve(self, spu_id: int, resolution: SpuResolution) -> None:
        if not self._sc_runs:
            return
        spus = self.metadata.spus
        status = SpuStatus(resolution=resolution)
        spus.set_status(*[(item.name, status) for item in spus if item.spec.id == spu_id])

    def _check_health(self, spus: SpuDiff) -> None:
        """Say of SPUs that were registered anew whether they run, as the SC knows by their ids."""
        for item in (*spus.everything, *spus.updates):
            node = self._nodes.get(item.spec.id)
            if node is not None and item.status.resolution is SpuResolution.INIT:
                self._resolve(item.spec.id, _resolution(node.up))

    # What SPUs know of each other

    def exists(self, key: Key) -> bool:
        """Whether there is such a partition, led by whomever."""
        return lifecycle.partition_name(*key) in self.metadata.partitions

    def leader(self, key: Key) -> Spu | None:
        """The running SPU that leads a partition."""
        item = self.metadata.partitions.get(lifecycle.partition_name(*key))
        node = None if item is None else self._nodes.get(item.spec.leader)
        return None if node is None or node.spu.leads(key) is None else node.spu

    def private_address(self, key: Key) -> str | None:
        """Where other SPUs reach the leader of a partition, running or not."""
        item = self.metadata.partitions.get(lifecycle.partition_name(*key))
        for spu in self.metadata.spus:
            if item is not None and spu.spec.id == item.spec.leader:
                return f"{spu.spec.private_endpoint.host}:{spu.spec.private_endpoint.port}"
        return None

    # Between the SC and its SPUs

    def _assign(self, partitions: Diff[PartitionSpec, PartitionStatus]) -> None:
        for item in partitions.deletes:
            self._delete(lifecycle.partition_key(item.name))
        if partitions.full:
            for key in self._hosted():
                if not self.exists(key):
                    self._delete(key)
        self._tell((*partitions.everything, *partitions.updates))

    def _hosted(self) -> list[Key]:
        return sorted({key: None for node in self._nodes.values() for key in node.told})

    def _delete(self, key: Key) -> None:
        """A partition is gone, from the disks of SPUs that are down as well."""
        for node in self._nodes.values():
            hosted = node.told.pop(key, None) is not None
            node.reports.pop(key, None)
            if not self.quick_recreate_race:
                node.fresh.pop(key, None)
            node.spu.drop(key)
            if hosted and self.quick_recreate_race:
                self._sc_timers.later(self.timing.removal, self._removed, key)
        for node in self._nodes.values():
            offsets = node.spu.stored_offsets
            if offsets is not None:
                offsets.forget(key)

    def _removed(self, key: Key) -> None:
        """An SPU says that it has removed a replica; the SC forgets what has that name by now."""
        self.metadata.partitions.delete(lifecycle.partition_name(*key))

    def _tell(self, partitions: Iterable[lifecycle.PartitionItem]) -> None:
        """Tell SPUs what they have to host, lead and follow, where that is news."""
        for item in sorted(partitions, key=lambda item: item.name):
            key = lifecycle.partition_key(item.name)
            for spu_id in item.spec.replicas:
                node = self._nodes.get(spu_id)
                if node is not None and node.up and node.told.get(key) != item.spec:
                    self._tell_one(node, key, item)

    def _tell_one(self, node: _Node, key: Key, item: lifecycle.PartitionItem) -> None:
        spu = node.spu
        node.told[key] = item.spec
        spu.host(key, item.spec)
        if item.spec.leader != spu.id:
            spu.follow(key)
        else:
            known = key in node.reports
            spu.lead(key, [one for one in item.spec.replicas if one != spu.id])
            if known and item.status.resolution is not PartitionResolution.ONLINE:
                self._report_first(node, key)
        if len(item.spec.replicas) > 1:
            self._copy_soon(key)

    def _reported(self, node: _Node, key: Key, report: Report) -> None:
        known = node.reports.get(key)
        node.reports[key] = report
        if known is not None and (known.leo, known.hw) == (report.leo, report.hw):
            return
        spec = node.told.get(key)
        if spec is None:
            return
        if len(spec.replicas) > 1:
            self._copy_soon(key)
        leader = self._nodes.get(spec.leader)
        if leader is None or not leader.up:
            return
        if known is None:
            self._report_first(leader, key)
            return
        leader.fresh[key] = None
        if not leader.report_due:
            leader.report_due = True
            since = self.scheduler.seconds() - leader.last_report
            # The clock may have been set back since: no report waits longer than the others.
            wait = min(self.timing.report, max(0.0, self.timing.report - since))
            self._timers.later(wait, self._report_more, leader)

    def _report_first(self, node: _Node, *keys: Key) -> None:
        """Have an SPU report soon on partitions of which nothing is known, and not before."""
        now = self.scheduler.seconds()
        newcomers = node.newcomers
        if newcomers is None or newcomers.since != now:
            node.newcomers = newcomers = _Newcomers(now)
            self._timers.later(self.timing.first_report, self._report_newcomers, node, newcomers)
        newcomers.keys.update(dict.fromkeys(keys))

    def _report_newcomers(self, node: _Node, newcomers: _Newcomers) -> None:
        if node.newcomers is newcomers:
            node.newcomers = None
        node.fresh.update(newcomers.keys)
        self._report(node)

    def _report_more(self, node: _Node) -> None:
        node.report_due = False
        self._report(node)

    def _report(self, node: _Node) -> None:
        """Pass on what an SPU has to say of the partitions it leads, all at once."""
        if not self._sc_runs or not node.up or not node.fresh:
            return
        fresh, node.fresh = node.fresh, {}
        node.last_report = self.scheduler.seconds()
        if self.quick_recreate_race and not all(map(self.exists, fresh)):
            # The SC throws away a report that speaks of a partition it no longer has.
            return
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
            status = lifecycle.merged(item.status, leader, followers, report.size)
            changes.append((name, status))
        self.metadata.partitions.set_status(*changes)

    def _replica_status(self, spu_id: int, key: Key) -> ReplicaStatus:
        node = self._nodes.get(spu_id)
        report = None if node is None else node.reports.get(key)
        if report is None:
            return ReplicaStatus(spu=spu_id)
        return ReplicaStatus(spu=spu_id, hw=report.hw, leo=report.leo)

    # Replication

    def _copy_soon(self, key: Key) -> None:
        if not self._copying:
            self._timers.later(self.timing.replication, self._copy_all)
        self._copying[key] = None

    def _copy_all(self) -> None:
        copying, self._copying = self._copying, {}
        for key in copying:
            if not any(stalled(key) for stalled in self._stalls):
                self._copy(key)

    def _copy(self, key: Key) -> None:
        leader = self.leader(key)
        source = None if leader is None else leader.leads(key)
        if source is None:
            return
        for spu_id in source.followers:
            node = self._nodes.get(spu_id)
            replica = None if node is None else node.spu.replicas.get(key)
            if replica is not None and replica.role is Role.FOLLOWER:
                replica.copy_from(source, spu=spu_id, now=self.now(), compare=self.compares_logs)


def _resolution(up: bool) -> SpuResolution:
    return SpuResolution.ONLINE if up else SpuResolution.OFFLINE
