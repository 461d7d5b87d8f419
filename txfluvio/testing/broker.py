"""A whole fake cluster that can be connected to: the one thing most tests need.

::

    async with FakeBroker(reactor, spus=3, topics={"orders": 3}) as broker:
        config = broker.client_config()

A :class:`FakeBroker` listens, on loopback TCP or in a memory network, for the SC and the SPUs of
one :class:`~txfluvio.testing.cluster.Cluster`, and is the handle by which a test looks at it and
plays tricks on it. What the servers answer is told elsewhere.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger

from .._checks import is_number
from ..config import ClientConfig, join_endpoint
from ..errors import InvalidConfig, UsageError
from ..wire.compression import Compression
from ..wire.framing import DEFAULT_MAX_FRAME_SIZE
from ..wire.records import Batch, Record, encode_batch
from ..wire.sc import PARTITION, SPU, Computed, PartitionResolution, TopicSpec
from ..wire.schema import evolve
from ..wire.spu import ConsumerOffset
from .cluster import Cluster
from .conditions import Conditions
from .faults import Fault, Match, Observe, ServerId
from .faults.planting import Faults, Planted, UnfiredFaults
from .given import Given, NotThere, Topic, given_records, given_topics
from .looking import Produced, produced
from .releases import FLUVIO_0_18, Release
from .sc import lifecycle
from .sc.metadata import SYSTEM_TOPIC, Timing
from .sc.placement import MAX_PARTITIONS
from .sc.policies import Policy
from .server.journal import MAX_BYTES, MAX_ENTRIES, Journal
from .server.protocol import Complaint, Connection, Server
from .server.tls import FakeTls, is_host
from .smartmodules import Limits, Registrable
from .smartmodules.registry import SmartModules, StoredModule
from .snapshot import Snapshot
from .spu.port import SpuPort
from .spu.replica import AppendError, Key, Replica
from .spu.spu import Spu
from .spu.stored_offsets import STORED_OFFSETS
from .spu_names import FIRST_SPU_ID
from .storage import Directory
from .timers import Timers
from .turns import Turns

SPU_PORT_STEP = 10
"""How far apart the ports of two SPUs are, where they are not free ones."""

MAX_PORT = 65_535

T = TypeVar("T")

_log = Logger()

BACKLOG = 1024
"""Connections that may wait to be accepted, as on a real server: a client that comes with a hundred
at once would otherwise have some of them try again after a second.
"""

MAX_COMPLAINTS = 1_000
"""How many complaints are kept; the oldest go first."""


class Network(Protocol):
    """Where to listen, if not on TCP."""

    def server_endpoint(self, host: str, port: int, /) -> IStreamServerEndpoint: ...


@attrs.define
class _Site:
    """A server, where it listens, and under which host clients are told of it."""

    server: Server
    host: str
    public_host: str
    port: int = 0
    listening: IListeningPort | None = None
    aside: Server | None = None
    listening_aside: IListeningPort | None = None

    @property
    def endpoint(self) -> str:
        return join_endpoint(self.public_host, self.port)

    async def stop(self, scheduler: IReactorTime) -> None:
        ports = (self.listening, self.listening_aside)
        self.listening = self.listening_aside = None
        for listening in filter(None, ports):
            await maybeDeferred(listening.stopListening)
        for server in filter(None, (self.server, self.aside)):
            await server.stop(scheduler)


class FakeBroker:
    """A fake Fluvio cluster with an SC and some SPUs.

    Nothing is done before :meth:`start`; ``async with`` starts and stops.

    Calls that stop or start servers wait for earlier ones about the same servers. Once begun they
    run to their end: cancelling the Deferred ends the waiting only.

    :param reactor: listens, and runs everything timed. Only its time is used where there is a
        ``network``, so a ``Clock`` will do there.
    :param spus: how many SPUs, whose ids count from 5001; or the ids themselves.
    :param topics: the topics to begin with, by name: how many partitions, or a pair of partitions
        and replicas as in ``{"orders": (3, 2)}``, or all of it.
    :param network: listen here instead of on TCP.
    :param aside: listen here as well, where clients are told to come, for those who only look:
        their connections are in no journal and in no list, and no fault acts on them.
    :param host: the address to listen on.
    :param public_host: what clients are told instead, where they reach that by another name or
        address, as from one container to another.
    :param sc_port: the SC's port; 0: a free one.
    :param spu_port: the first SPU's port, and the next ones' are 10, 20, ... further, as in a
        cluster on one machine; 0: free ones.
    :param seed: decides what is arbitrary on a real cluster, such as the order of lists.
    :param release: what the servers say of themselves.
    :param policy: who may do what.
    :param timing: how long things take.
    :param quick_recreate_race: whether a topic that is deleted and created anew at once may lose
        its partitions for minutes, as happens on a real cluster.
    :param automatic_elections: whether a partition whose leader goes gets another one by itself;
        else it waits for :meth:`move_leader`.
    :param tls: TLS for the SC and all SPUs; None: plain TCP.
    :param scheduler: runs everything timed, instead of the reactor: with a ``Clock`` nothing
        happens on its sockets but when that is advanced.
    :param now: the time of day, in seconds since the Unix epoch; the scheduler's unless given.
    :param directory: keep records and metadata here from one broker to the next, whatever ends
        this one: they are read when it starts and written as they come.
    :param smartmodules: what is registered as by :meth:`register_smartmodule`.
    :param smartmodule_limits: what modules in WASM may use.
    :param max_frame_size: bytes of the largest request that is taken.
    :param max_partitions: the most partitions of all topics together; there are no SPUs for more.
    :param max_journal_entries: how many requests and replies are kept for looking at.
    :param max_journal_bytes: how many bytes of them.
    :raises InvalidConfig: topics that are something else, or pairs with more replicas than there
        are SPUs; a host that is empty; or a public host that is neither a name nor an address.
    :ivar cluster: the state behind it all.
    :ivar tls: the TLS it was given.
    :ivar journal: the last requests and replies, as they were before faults acted on them.
    :ivar faults: what was planted, and how it went.
    :ivar complaints: what clients did wrong, oldest first, as far as it is kept.
    """

    def __init__(
        self,
        reactor: Any,
        spus: int | Collection[int] = 1,
        topics: Mapping[str, Topic | TopicSpec] | None = None,
        *,
        network: Network | None = None,
        aside: Network | None = None,
        host: str = "127.0.0.1",
        public_host: str | None = None,
        sc_port: int = 0,
        spu_port: int = 0,
        seed: int = 0,
        release: Release = FLUVIO_0_18,
        policy: Policy | None = None,
        timing: Timing | None = None,
        quick_recreate_race: bool = False,
        automatic_elections: bool = True,
        tls: FakeTls | None = None,
        scheduler: IReactorTime | None = None,
        now: Callable[[], float] | None = None,
        directory: str | os.PathLike[str] | None = None,
        smartmodules: Mapping[str, Registrable] | None = None,
        smartmodule_limits: Limits | None = None,
        max_frame_size: int = DEFAULT_MAX_FRAME_SIZE,
        max_partitions: int = MAX_PARTITIONS,
        max_journal_entries: int = MAX_ENTRIES,
        max_journal_bytes: int = MAX_BYTES,
    ) -> None:
        if not host:
            # To a socket this is every address that there is.
            raise InvalidConfig("host", host, "an address to listen on")
        if public_host is not None and not is_host(public_host):
            raise InvalidConfig(
                "public_host", public_host, "the name or address of a host, or None"
            )
        self._reactor = reactor
        self._scheduler = cast(IReactorTime, reactor) if scheduler is None else scheduler
        self._network = network
        self._aside = aside
        self.tls = tls
        ids = range(FIRST_SPU_ID, FIRST_SPU_ID + spus) if isinstance(spus, int) else spus
        self._topics = given_topics(topics, len(ids), TopicSpec)
        self._real_now = self._scheduler.seconds if now is None else now
        self._moved = 0.0
        self._host = host
        self._public_host = host if public_host is None else public_host
        self._spu_port = spu_port
        self._release = release
        self._max_frame_size = max_frame_size
        self._timers = Timers(self._scheduler)
        self._numbers = itertools.count(1)
        self._numbers_aside = itertools.count(-1, -1)
        self._turns = Turns(self._scheduler)
        self._started = False
        self._stopped = False
        self._initial: Snapshot | None = None
        self._conditions = Conditions(self._timers)
        self.complaints: deque[Complaint] = deque(maxlen=MAX_COMPLAINTS)
        self.journal = Journal(
            self.now,
            max_entries=max_journal_entries,
            max_bytes=max_journal_bytes,
            on_entry=self._conditions.look_later,
        )
        self.faults = Faults(self._timers, now=self.now, on_hit=self._conditions.look_later)
        self.cluster = Cluster(
            self._scheduler,
            now=self.now,
            seed=seed,
            release=release,
            policy=policy,
            timing=timing,
            quick_recreate_race=quick_recreate_race,
            max_partitions=max_partitions,
            on_change=self._changed,
        )
        self._modules = SmartModules(
            lambda: self.cluster.metadata.modules, smartmodule_limits, seed=seed
        )
        self._stand_ins: list[StoredModule] = []
        for key, module in (smartmodules or {}).items():
            self.register_smartmodule(key, module)
        self._automatic_elections = automatic_elections
        self.cluster.automatic_elections = automatic_elections
        self._sc = self._make_site("SC", self.cluster.sc, "SC", sc_port)
        self._spus: dict[int, Spu] = {}
        self._directory = None if directory is None else Directory(directory, own=self._spus)
        self._sites: dict[int, _Site] = {}
        for spu_id in ids:
            self._spus[spu_id], self._sites[spu_id] = self._make_spu(spu_id)

    # Starting and stopping

    def start(self) -> Deferred[None]:
        """Listen, and create the topics to begin with; fires when all of them are online.

        If it fails, or is cancelled, nothing is left of the broker, as after :meth:`stop`.
        """
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[None]:
        """Stop listening and end every connection; fires when nothing of it is left.

        It fails with UnfiredFaults, once all that is done, if a fault was planted and never acted.
        """
        return Deferred.fromCoroutine(self._stop())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; an error that is on its way out is not replaced, only told what never fired."""
        try:
            await self.stop()
        except UnfiredFaults as unfired:
            if error is None:
                raise
            error.add_note(str(unfired))

    async def _start(self) -> None:
        if self._started:
            raise UsageError("this broker has been started before")
        self._started = True
        try:
            await self._begin()
        except Exception:
            await self._end()
            raise

    async def _begin(self) -> None:
        if self._directory is not None:
            self._open(self._directory)
        modules = self.cluster.metadata.modules
        for item in self._stand_ins:
            if item.name not in modules:
                modules.put(item)
        await self._listen(self._sc)
        for spu_id, site in self._sites.items():
            await self._listen(site)
            self.cluster.add_spu(self._spus[spu_id], host=site.public_host, port=site.port)
        self.cluster.start()
        if self.cluster.system_topic and self._spus:
            await self.online(SYSTEM_TOPIC)
        await self._all_led()
        await self._create_topics()
        self._initial = self.snapshot()

    async def _create_topics(self) -> None:
        """Create the topics to begin with, but for those that the directory has kept."""
        for name, wanted in self._topics.items():
            if isinstance(wanted, TopicSpec):
                spec = wanted
            else:
                partitions, replication = wanted
                spec = TopicSpec(
                    replicas=Computed(partitions=partitions, replication_factor=replication)
                )
            kept = self.cluster.metadata.topics.get(name)
            if kept is None or self._directory is None:
                await self.cluster.create_topic(name, spec=spec)
            elif kept.spec.replicas != spec.replicas:
                _log.warn(
                    "{name} stays as it was kept: with {count} partitions, and not as it is asked"
                    " for now",
                    name=name,
                    count=lifecycle.partition_count(kept.spec),
                )

    async def _stop(self) -> None:
        await self._end()
        unfired = self.faults.unfired()
        if unfired:
            raise UnfiredFaults(unfired)

    def _end(self) -> Deferred[None]:
        self._stopped = True
        self.faults.stop()
        self._conditions.stop()
        return self._turns.run(self._shut)

    async def _shut(self) -> None:
        await self._stop_servers()
        for spu in self._spus.values():
            spu.stop()
        self.cluster.stop()
        self._timers.stop()
        if self._directory is not None:
            self._directory.release()

    async def _stop_servers(self) -> None:
        """Stop the SC and all SPUs, together."""
        await gatherResults(
            [Deferred.fromCoroutine(site.stop(self._scheduler)) for site in self._every_site()]
        )

    def _every_site(self) -> tuple[_Site, ...]:
        return (self._sc, *self._sites.values())

    def _make_site(self, name: str, service: Any, server: ServerId, port: int) -> _Site:
        made = Server(
            name,
            service,
            count=lambda: next(self._numbers),
            journal=self.journal,
            complaints=self.complaints.append,
            faults=self.faults.at(server),
            max_frame_size=self._max_frame_size,
        )
        aside = None
        if self._aside is not None:
            aside = Server(name, service, count=lambda: next(self._numbers_aside))
        return _Site(made, self._host, self._public_host, port, aside=aside)

    def _make_spu(self, spu_id: int) -> tuple[Spu, _Site]:
        spu = Spu(
            spu_id,
            timers=self._timers,
            now=self.now,
            release=self._release,
            neighbours=self.cluster,
            modules=self._modules,
            on_change=self._conditions.look_later,
        )
        port = self._spu_port and self._spu_port + SPU_PORT_STEP * len(self._sites)
        if port > MAX_PORT:
            raise UsageError(f"no port is left for SPU {spu_id}: {port} would be its own")
        return spu, self._make_site(spu.name, SpuPort(spu), spu_id, port)

    async def _listen(self, site: _Site) -> None:
        if self._stopped:
            raise UsageError("this broker has stopped: nothing of it is started any more")
        endpoint: IStreamServerEndpoint
        if self._network is None:
            reactor = cast(IReactorTCP, self._reactor)
            endpoint = TCP4ServerEndpoint(reactor, site.port, BACKLOG, site.host)
        else:
            endpoint = self._network.server_endpoint(site.host, site.port)
        factory: IProtocolFactory = site.server
        if self.tls is not None:
            factory = self.tls.in_front_of(site.server, self._scheduler)
        site.listening = await endpoint.listen(factory)
        site.port = cast(IPv4Address, site.listening.getHost()).port
        if self._aside is not None and site.aside is not None:
            # Those who look go by what clients are told, and no resolver leads them elsewhere.
            endpoint = self._aside.server_endpoint(site.public_host, site.port)
            try:
                site.listening_aside = await endpoint.listen(site.aside)
            except Exception:
                await site.stop(self._scheduler)
                raise

    # Where it is

    @property
    def sc_endpoint(self) -> str:
        """``host:port`` of the SC, ``[host]:port`` over IPv6; known once started."""
        return self._sc.endpoint

    @property
    def spu_endpoints(self) -> Mapping[int, str]:
        """``host:port`` of each SPU by its id, ``[host]:port`` over IPv6; known once started."""
        return {spu_id: site.endpoint for spu_id, site in self._sites.items()}

    @property
    def connections(self) -> Mapping[str, tuple[Connection, ...]]:
        """The open connections of each server by its name, oldest first."""
        return {site.server.name: site.server.connections for site in self._every_site()}

    @property
    def sc_runs(self) -> bool:
        """Whether the SC is up."""
        return self._sc.listening is not None

    @property
    def running_spus(self) -> tuple[int, ...]:
        """The ids of the SPUs that are up."""
        return tuple(spu_id for spu_id, site in self._sites.items() if site.listening is not None)

    def client_config(self, **overrides: Any) -> ClientConfig:
        """The configuration of a client for this cluster.

        :param overrides: settings other than their defaults, by name.
        """
        tls = None if self.tls is None else self.tls.client_config()
        return ClientConfig(**{"endpoint": self.sc_endpoint, "tls": tls, **overrides})

    def now(self) -> float:
        """The time of day here, in seconds since the Unix epoch."""
        return self._real_now() + self._moved

    # Tricks

    def sc_down(self) -> Deferred[None]:
        """Stop the SC; SPUs go on with what they know. Fires when its connections are gone."""
        return self._turns.run(self._sc_down, "SC")

    def sc_up(self) -> Deferred[None]:
        """Start the SC again, at its old address and with what it had; fires when it listens."""
        return self._turns.run(self._sc_up, "SC")

    def spu_down(self, spu_id: int) -> Deferred[None]:
        """Stop an SPU: its connections end, its partitions get another leader or none.

        Fires when its connections are gone. Its records stay on its disk.

        :raises UsageError: there is no such SPU.
        """
        self._site(spu_id)
        return self._turns.run(lambda: self._spu_down(spu_id), spu_id)

    def spu_up(self, spu_id: int) -> Deferred[None]:
        """Start an SPU again, at its old address and with what it had; fires when it listens."""
        return self._turns.run(lambda: self._spu_up(spu_id), spu_id)

    def add_spu(self) -> Deferred[int]:
        """Start one more SPU; fires with its id when it listens.

        Fails with UsageError while the SC is down.
        """
        return self._turns.run(self._add_spu)

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """Make the SPU ``to`` the leader of a partition of which it has a replica.

        :raises UsageError: it has none or is down, there is no such partition, or the SC is down.
        """
        self.cluster.move_leader(topic, partition, to)

    def stall_replication(
        self, topic: str | None = None, partition: int | None = None
    ) -> Callable[[], None]:
        """Let followers of a partition, of a topic or of all get nothing.

        Returns a function that lets them catch up.

        :raises UsageError: there is no such topic or partition.
        """
        return self.cluster.stall_replication(topic, partition)

    def hide_from_metadata(self, topic: str, partition: int | None = None) -> Callable[[], None]:
        """Let clients see a topic with its partitions, or one partition, as deleted.

        All goes on as before for those who do not look, and it stays hidden when the SC goes and
        comes. Returns a function that shows it again.

        :raises UsageError: there is no such topic or partition, or the SC is down.
        """
        return self.cluster.hide_from_metadata(topic, partition)

    def snapshot(self) -> Snapshot:
        """All that is stored now, to come back to."""
        contents = dict(self.cluster.metadata.contents())
        contents[SPU.label] = tuple(
            item for item in contents[SPU.label] if item.spec.id not in self._spus
        )
        logs = {spu_id: spu.logs() for spu_id, spu in self._spus.items()}
        down = tuple(spu_id for spu_id, site in self._sites.items() if site.listening is None)
        return Snapshot(contents, logs, down)

    def restore(self, snapshot: Snapshot) -> Deferred[None]:
        """Go back to what was stored then: every connection ends, and the servers come back.

        SPUs that were added since stay, without records. Fires when all partitions whose leaders
        run can be used.
        """
        return Deferred.fromCoroutine(self._restore(snapshot))

    def reset(self) -> Deferred[None]:
        """Go back to how it was when it had started, in everything that this object can do.

        Records, topics and SPUs are those of then, and nothing is left of faults, of stalled
        replication, of the journal, and of a clock that was moved.
        """
        return Deferred.fromCoroutine(self._reset())

    def register_smartmodule(self, name_or_sha256: str, module: Registrable) -> None:
        """Let a function or class of Python be a SmartModule: see :mod:`.smartmodules`.

        :param name_or_sha256: a name, under which the SC has the module from then on, as if it
            had been created; or the SHA-256 of WASM, unzipped: the module stands for that
            wherever it comes from. ``group/name@version`` is a name as well.
        :raises UsageError: it is not decorated with its kind, no client could be told of the name,
            or the SC has no module of that name and is down.
        """
        self._modules.register(name_or_sha256, module, self._stand_in)

    def _stand_in(self, item: StoredModule) -> None:
        if not self._started:
            self._stand_ins.append(item)
        elif item.name not in self.cluster.metadata.modules:
            self.cluster.check_sc()
            self.cluster.metadata.modules.put(item)

    def append(
        self,
        topic: str,
        records: Iterable[Given],
        partition: int = 0,
        *,
        compression: Compression = Compression.NONE,
    ) -> int:
        """Put records into a partition as one batch, at the present time; returns its offset.

        :param records: values, or pairs of key and value.
        :raises InvalidRecord: one of them is something else.
        :raises UsageError: no running SPU leads the partition, or it does not take the records.
        """
        timestamp = int(self.now() * 1000)
        given = given_records(records)
        batch = encode_batch(given, compression=compression, timestamp=timestamp)
        try:
            return self.replica(topic, partition).append([Batch(batch, 0)], self.now()).base
        except AppendError as error:
            raise UsageError(f"{topic}/{partition} refuses: {error.error.name}") from error

    def evict(self, topic: str, partition: int, before: int) -> None:
        """Drop what a partition holds below an offset; a batch is dropped whole or not at all."""
        self.replica(topic, partition).log.evict(before)

    def move_clock(self, seconds: float) -> None:
        """Let the time of day jump; what is too old then is evicted at once.

        What the scheduler runs is not moved.

        :raises InvalidConfig: that is no number.
        """
        if not is_number(seconds):
            raise InvalidConfig("seconds", seconds, "a number")
        self._moved += seconds
        for spu in self._spus.values():
            for key in list(spu.replicas):
                spu.clean(key)

    def _open(self, directory: Directory) -> None:
        """Have what is in a directory, and keep there what comes."""
        directory.claim()
        contents = directory.contents()
        logs = {spu_id: directory.logs(spu_id, contents or {}) for spu_id in self._spus}
        for spu_id, spu in self._spus.items():
            spu.disk = directory.disk(spu_id)
        if contents is not None:
            self._load(Snapshot(contents, logs))
        directory.keep(self.cluster.metadata.stores)

    def _load(self, snapshot: Snapshot) -> None:
        """Have what a snapshot has; nothing runs yet."""
        contents = dict(snapshot.contents)
        contents[PARTITION.label] = tuple(
            item
            if item.spec.leader in self._spus
            else evolve(item, status=evolve(item.status, resolution=PartitionResolution.OFFLINE))
            for item in contents[PARTITION.label]
        )
        ours = [item for item in self.cluster.metadata.spus if item.spec.id in self._spus]
        contents[SPU.label] = (*ours, *contents[SPU.label])
        self.cluster.metadata.load(contents)
        for spu_id, spu in self._spus.items():
            spu.replace_logs(snapshot.logs.get(spu_id, {}))

    async def _restore(self, snapshot: Snapshot) -> None:
        await self._turns.run(lambda: self._go_back(snapshot))
        await self._all_led()

    async def _go_back(self, snapshot: Snapshot) -> None:
        self.cluster.sc_down()
        for spu_id in self._spus:
            self.cluster.spu_down(spu_id)
        await self._stop_servers()
        self._load(snapshot)
        await self._sc_up()
        for spu_id in self._spus:
            if spu_id not in snapshot.down:
                await self._spu_up(spu_id)

    async def _reset(self) -> None:
        if self._initial is None:
            raise UsageError("this broker has not started")
        initial = self._initial
        await self._turns.run(lambda: self._begin_anew(initial))
        await self._all_led()

    async def _begin_anew(self, initial: Snapshot) -> None:
        self.faults.clear()
        self.cluster.resume_replication()
        self.cluster.automatic_elections = self._automatic_elections
        for spu_id in [one for one in self._spus if one not in initial.logs]:
            await self._remove_spu(spu_id)
        self._moved = 0.0
        await self._go_back(initial)
        self.journal.clear()
        self.complaints.clear()

    def _all_led(self) -> Deferred[bool]:
        """Fires when every partition whose leader runs is online, and led."""

        def led(item: lifecycle.PartitionItem) -> bool:
            site = self._sites.get(item.spec.leader)
            if site is None or site.listening is None:
                return True
            online = item.status.resolution is PartitionResolution.ONLINE
            return online and self.cluster.leader(lifecycle.partition_key(item.name)) is not None

        return self.wait_for(lambda _: all(map(led, self.cluster.metadata.partitions)))

    async def _sc_down(self) -> None:
        stopping = Deferred.fromCoroutine(self._sc.stop(self._scheduler))
        self.cluster.sc_down()
        await stopping

    async def _sc_up(self) -> None:
        if self._sc.listening is None:
            await self._listen(self._sc)
            self.cluster.sc_up()

    async def _spu_down(self, spu_id: int) -> None:
        stopping = Deferred.fromCoroutine(self._site(spu_id).stop(self._scheduler))
        self.cluster.spu_down(spu_id)
        await stopping

    async def _spu_up(self, spu_id: int) -> None:
        site = self._site(spu_id)
        if site.listening is None:
            await self._listen(site)
            self.cluster.spu_up(spu_id)

    async def _add_spu(self) -> int:
        self.cluster.check_sc()
        spu_id = max(self._spus, default=FIRST_SPU_ID - 1) + 1
        spu, site = self._make_spu(spu_id)
        if self._directory is not None:
            logs = self._directory.logs(spu_id, self.cluster.metadata.contents())
            spu.disk = self._directory.disk(spu_id)
            spu.replace_logs(logs)
        await self._listen(site)
        self._spus[spu_id], self._sites[spu_id] = spu, site
        self.cluster.add_spu(spu, host=site.public_host, port=site.port)
        return spu_id

    async def _remove_spu(self, spu_id: int) -> None:
        """Have an SPU no more, with all that it has stored."""
        await self._spu_down(spu_id)
        self._spus[spu_id].replace_logs({})
        self.cluster.forget_spu(spu_id)
        del self._spus[spu_id], self._sites[spu_id]

    def _site(self, spu_id: int) -> _Site:
        site = self._sites.get(spu_id)
        if site is None:
            raise NotThere(f"there is no SPU {spu_id}")
        return site

    # Faults

    def plant(self, fault: Fault, *, optional: bool = False) -> Planted:
        """Let something go wrong from now on.

        Of several faults that are meant for the same moment the one that was planted first acts.

        :param optional: whether it is fine if it never acts; else the broker's end is an error.
        :raises ContradictoryFault: it can never act.
        """
        return self.faults.plant(fault, optional=optional)

    def observe(self, match: Match) -> Planted:
        """Count what a match selects, and do nothing about it."""
        return self.plant(Fault(match, Observe(), times=None), optional=True)

    # Looking

    def wait_for(self, condition: Callable[[FakeBroker], T | None]) -> Deferred[T]:
        """Fires with what ``condition`` returns, once that is anything true.

        It is looked at now, and after every change of the metadata, of a log, and of the journal,
        and when a fault has acted. What it raises ends the waiting. Cancelling stops it, and so
        does the end of the broker; whoever asks later gets UsageError.
        """
        return self._conditions.wait_for(lambda: condition(self))

    def _changed(self) -> None:
        """The metadata have changed."""
        if self._directory is not None:
            self._directory.keep(self.cluster.metadata.stores)
        self._conditions.look_later()

    def online(self, topic: str) -> Deferred[bool]:
        """Fires when a topic is there with all its partitions; it need not be there yet."""
        stores = self.cluster.metadata

        def there() -> bool:
            item = stores.topics.get(topic)
            if item is None:
                return False
            return stores.online_partitions(topic) >= lifecycle.partition_count(item.spec)

        return self.wait_for(lambda _: there())

    def replica(self, topic: str, partition: int = 0) -> Replica:
        """The leader's copy of a partition.

        :raises UsageError: there is no such topic or partition, or no running SPU leads it.
        """
        return self._leader((topic, partition)).replicas[topic, partition]

    def _leader(self, key: Key) -> Spu:
        spu = self.cluster.leader(key)
        if spu is None:
            topic, partition = key
            self.cluster.check_there(topic, partition)
            raise UsageError(f"no SPU leads {topic}/{partition}")
        return spu

    def replicas(self, topic: str, partition: int | None = None) -> dict[int, Replica]:
        """The leaders' copies of all partitions of a topic, or of one, by the partition.

        :raises UsageError: a partition is not led by a running SPU.
        """
        if partition is not None:
            return {partition: self.replica(topic, partition)}
        numbers = range(self.cluster.check_there(topic))
        return {number: self.replica(topic, number) for number in numbers}

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """What is stored in a topic or in one partition of it, committed or not, by partition.

        :raises UsageError: a partition is not led by a running SPU.
        """
        return [
            record
            for number, replica in self.replicas(topic, partition).items()
            for stored in replica.log
            for record in Batch(stored.data, 0).records(topic, number)
        ]

    def produced(self, topic: str | None = None, partition: int | None = None) -> list[Produced]:
        """What clients have produced to a topic, one of its partitions, or all; oldest first.

        Other than :meth:`records` it has what was refused or lost as well, in the pieces that
        came. It goes back as far as the journal does.
        """
        return list(produced(self.journal, topic, partition))

    def stored_offsets(
        self,
        topic: str | None = None,
        partition: int | None = None,
        consumer_id: str | None = None,
    ) -> list[ConsumerOffset]:
        """What consumers have stored, of all or of those that are meant, by consumer and partition.

        :raises UsageError: there is no such topic or partition, or no running SPU leads the
            partition that has them, which is ``consumer-offset/0``.
        """
        if topic is not None:
            self.cluster.check_there(topic, partition)
        offsets = self._leader(STORED_OFFSETS).stored_offsets
        assert offsets is not None
        found = [
            one
            for one in offsets.all()
            if topic in (None, one.replica_id.topic)
            and partition in (None, one.replica_id.partition)
            and consumer_id in (None, one.consumer_id)
        ]
        return sorted(
            found, key=lambda one: (one.consumer_id, one.replica_id.topic, one.replica_id.partition)
        )
