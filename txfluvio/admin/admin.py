"""The admin calls: what the SC can be asked to make, delete, change and tell.

Each is a Deferred that works by itself, fails with a named error, and can be cancelled: a request
that was sent may then take effect all the same. Calls may be made at the same time; they do not
wait for each other, and nothing is said about their order.

A call is made again after an error that allows it, within its time: those that only ask, after any
loss of the connection; those that change something, only if they had not been sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError
from twisted.internet.task import deferLater
from zope.interface import implementer

from .._checks import member
from ..cluster import (
    MAX_PARTITIONS,
    Cluster,
    GivenUp,
    TimeLeft,
    Topology,
    Turns,
    ask_stored_offsets,
    may_succeed,
    within,
)
from ..errors import (
    ClientClosed,
    Effect,
    FluvioError,
    InvalidConfig,
    RequestTimedOut,
    TopicInvalidName,
    TopicNotFound,
    WaitTimedOut,
)
from ..interfaces import IFluvioAdmin
from ..smartmodule import gzipped, read_wasm
from ..wire import sc
from ..wire.codes import ReplicaKey
from ..wire.schema import Request
from ..wire.spu import (
    ConsumerOffsetFilter,
    DeleteConsumerOffsetRequest,
    DeleteConsumerOffsetResponse,
    FetchConsumerOffsetsRequest,
    FetchConsumerOffsetsResponse,
)
from . import arguments, topics, values
from .values import (
    Deduplication,
    HomeTls,
    MirrorDescription,
    PartitionDescription,
    SmartModuleDescription,
    SmartModulePackage,
    SpuDescription,
    SpuGroupDescription,
    StoredOffset,
    TableColumn,
    TableFormatDescription,
    TopicDescription,
)
from .watching import ObjectKind, Watch

T = TypeVar("T")
ReplyT = TypeVar("ReplyT", FetchConsumerOffsetsResponse, DeleteConsumerOffsetResponse)

SETTLING: Final = 2.0
"""Seconds that a change, once the SC has confirmed it, may take to show in the metadata."""


@implementer(IFluvioAdmin)
class Admin:
    """What an administrator does with a cluster; ``client.admin``.

    Lists are in the order of names. A list that is not permitted is empty: the SC does not say so.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._clock = cluster.clock
        self._deletions = topics.Deletions()
        self._adding = Turns(1)

    # Topics

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication: int = 1,
        ignore_racks: bool = False,
        assignment: Sequence[Sequence[int]] | None = None,
        mirror_from: str | Iterable[str] | None = None,
        mirror_to: str | Iterable[str] | None = None,
        retention: int | None = None,
        segment_size: int | None = None,
        max_partition_size: int | None = None,
        compression: str = "any",
        deduplication: Deduplication | None = None,
        system: bool = False,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Deferred[None]:
        """Create a topic; fires when it can be used, by this client too.

        That is when the SC says so or when the metadata shows it, with an online leader for each
        partition, whichever is first: an SC may take minutes to answer where all has long been
        there. What shows is taken for this topic if it was seen to come since, with the partitions
        and the replication that were asked for; where others create the same one at the same time,
        all of them may be told that it was created. What is there when this client has connected
        may have been there before: then the SC alone can tell.

        A topic of a name that this client has just deleted is created after a pause of one second,
        since an SC confuses the two; after a deletion by others, the new topic may lose its
        partitions for a while.

        Cancelling ends the waiting; once sent, the topic may be created all the same.

        :param name: 1 to 63 of ``a-z``, ``0-9`` and ``-``, with no ``-`` at either end.
        :param partitions: how many.
        :param replication: how many SPUs hold each.
        :param ignore_racks: place replicas without regard to racks.
        :param assignment: the ids of the SPUs for each partition, the leader first; instead of
            ``partitions`` and ``replication``.
        :param mirror_from: the name of a remote cluster that mirrors to this topic, or several,
            one partition each; instead of the above.
        :param mirror_to: the name of a remote cluster that this topic is mirrored to, or several;
            since 0.18.
        :param retention: seconds to keep records, at least 10; None: seven days.
        :param segment_size: bytes of one file of the log, at least 1024; None: one GiB.
        :param max_partition_size: bytes after which the oldest records go.
        :param compression: the codec that every producer has to use, or ``"any"``.
        :param deduplication: drop records that were seen lately.
        :param system: the topic belongs to the system; it is deleted only by force.
        :param dry_run: only check the request.
        :param timeout: seconds; None: ``ClientConfig.create_timeout``.
        :raises TopicAlreadyExists: the name is taken.
        :raises TopicInvalidName: the name is not allowed.
        :raises TopicInvalidConfiguration: the SC refuses a setting.
        :raises TopicNotProvisioned: the SC gave up placing it; the topic stays.
        :raises WaitTimedOut: says what is missing; the topic may come yet.
        """

        def spec() -> sc.TopicSpec:
            replicas: sc.Computed | sc.Assigned | sc.MirrorTopic
            if mirror_from is not None or mirror_to is not None:
                replicas = topics.mirrored(name, mirror_from, mirror_to)
            elif assignment is not None:
                replicas = topics.assigned(assignment)
            else:
                replicas = sc.Computed(
                    partitions=arguments.whole("partitions", partitions, 1, MAX_PARTITIONS),
                    replication_factor=arguments.whole("replication", replication, 1),
                    ignore_rack_assignment=ignore_racks,
                )
            return sc.TopicSpec(
                replicas=replicas,
                cleanup_policy=topics.retention(retention),
                storage=topics.storage(segment_size, max_partition_size),
                compression_type=arguments.codec(compression),
                deduplication=topics.deduplication(deduplication),
                system=system,
            )

        return self._cluster.run(self._create_topic(name, spec, dry_run, timeout))

    async def _create_topic(
        self,
        name: str,
        spec: Callable[[], sc.TopicSpec],
        dry_run: bool,
        timeout: float | None,
    ) -> None:
        if arguments.text("name", name) == "":
            # An SC would create it.
            raise TopicInvalidName(what="topic ''")
        request = sc.CreateRequest(kind=sc.TOPIC, name=name, dry_run=dry_run, spec=spec())
        seconds = arguments.seconds("timeout", timeout, self._cluster.config.create_timeout)
        if dry_run:
            _check(await self._cluster.sc_request(request, timeout=seconds), f"topic {name}")
            return
        seconds -= await self._let_go(name, seconds)
        since = self._cluster.topology.version
        usable = topics.Usable(
            name,
            since,
            with_leaders=not isinstance(request.spec.replicas, sc.MirrorTopic),
            asked_for=request.spec,
        )
        await self._create(request, usable, seconds)

    async def _let_go(self, name: str, seconds: float) -> float:
        """Wait until a deleted topic's name can be used again; how many seconds that took.

        :raises WaitTimedOut: that would take longer than ``seconds``; raised when they are over.
        """
        pause = self._deletions.pause(name, self._clock.seconds())
        if not pause:
            return 0.0
        if pause < seconds:
            await deferLater(self._clock, pause)
            return pause
        # Sent with no time left, it would be created with nobody to learn of it.
        await deferLater(self._clock, max(0.0, seconds))
        raise WaitTimedOut(f"topic {name} was deleted a moment ago", seconds)

    def delete_topic(self, name: str, *, force: bool = False) -> Deferred[None]:
        """Delete a topic and its records; fires when the SC has done so and this client knows it.

        The metadata are waited for no longer than two seconds: where they are late, this client
        may still take the topic for being there. Its data go later. See :meth:`create_topic` for
        using the name again.

        Cancelled once it was sent, it may take effect all the same.

        :param force: delete it even if it belongs to the system.
        :raises TopicNotFound: there is none of this name.
        :raises SystemObjectProtected: it belongs to the system.
        """
        return self._cluster.run(self._delete_topic(name, force))

    async def _delete_topic(self, name: str, force: bool) -> None:
        known = self._cluster.topology.topics.get(arguments.text("name", name))
        born = -1 if known is None else known.born

        def gone(topology: Topology) -> bool:
            found = topology.topics.get(name)
            return found is None or found.born > born

        request = sc.DeleteRequest(kind=sc.TOPIC, key=name, force=force)
        refused = False
        try:
            _check(await self._cluster.sc_request(request), f"topic {name}")
        except FluvioError as error:
            refused = error.effect is Effect.NONE
            raise
        finally:
            # One that was cancelled, or got no answer, may have taken effect.
            if not refused:
                self._deletions.note(name, self._clock.seconds())
        await self._settled(gone)

    def list_topics(
        self, containing: str | Iterable[str] = (), *, system: bool = False
    ) -> Deferred[list[TopicDescription]]:
        """The topics.

        Cancelling ends the waiting and no more.

        :param containing: only those whose name contains this text, or one of these.
        :param system: those that belong to the system, *instead* of all others.
        """
        return self._list(sc.TOPIC, values.topic_description, containing, system=system)

    def describe_topic(self, name: str) -> Deferred[TopicDescription]:
        """One topic, with its partitions.

        Cancelling ends the waiting and no more.

        :raises TopicNotFound: there is none of this name.
        """
        return self._cluster.run(self._describe_topic(name))

    async def _describe_topic(self, name: str) -> TopicDescription:
        arguments.text("name", name)
        for system in (False, True):
            for topic in await self.list_topics(name, system=system):
                if topic.name == name:
                    partitions = await self.list_partitions(name, system=system)
                    return attrs.evolve(topic, partitions=tuple(partitions))
        raise TopicNotFound(what=f"topic {name}")

    def add_partitions(
        self, name: str, count: int, *, timeout: float | None = None
    ) -> Deferred[None]:
        """Give a topic more partitions; fires when they can be used.

        Records with a key then go to other partitions than before. Calls of one client take turns,
        since an SC that is told to add twice at once may add once; what other clients add at the
        same time can get lost so.

        Cancelled once it was sent, it may take effect all the same.

        :param count: how many more; 100,000 in all are the most that clients can work with.
        :param timeout: seconds; None: ``ClientConfig.create_timeout``.
        :raises TopicNotFound: there is none of this name.
        :raises TopicInvalidReplicaType: its replicas were assigned by whoever created it.
        :raises SystemObjectProtected: it belongs to the system.
        :raises WaitTimedOut: says what is missing; the partitions may come yet.
        """
        return self._cluster.run(self._add_partitions(name, count, timeout))

    async def _add_partitions(self, name: str, count: int, timeout: float | None) -> None:
        arguments.text("name", name)
        arguments.whole("count", count, 1, MAX_PARTITIONS)
        seconds = arguments.seconds("timeout", timeout, self._cluster.config.create_timeout)
        left = TimeLeft.of(self._clock, seconds)
        late = WaitTimedOut("partitions are being added by calls before this one", seconds)
        await within(self._adding.acquire(), left, lambda: late)
        try:
            topology = await self._cluster.known(left.seconds)
            known = topology.topics.get(name)
            before = 0 if known is None else known.partition_count
            arguments.whole("count", count, 1, MAX_PARTITIONS - before)
            request = sc.UpdateRequest(kind=sc.TOPIC, key=name, action=sc.AddPartition(count=count))
            _check(await self._cluster.sc_request(request, timeout=left.seconds), f"topic {name}")
            await self._until(topics.Usable(name, -1, at_least=before + count), left)
        finally:
            self._adding.release()

    def add_mirror(
        self, name: str, remote_cluster: str, *, to_remote: bool = False
    ) -> Deferred[None]:
        """Let one more remote cluster mirror to a topic, or the other way round.

        Cancelled once it was sent, it may take effect all the same.

        :param to_remote: as the topic was created: whether records go from here to there.
        :raises TopicNotFound: there is none of this name.
        :raises MirrorNotFound: there is no such remote cluster.
        :raises MirrorAlreadyExists: it does so already.
        """

        def request() -> sc.UpdateRequest:
            action = sc.AddMirror(remote_cluster=remote_cluster, home_to_mirror=to_remote)
            return sc.UpdateRequest(kind=sc.TOPIC, key=name, action=action)

        return self._do(request, f"topic {name}")

    # Partitions

    def list_partitions(
        self, topic: str | None = None, *, system: bool = False
    ) -> Deferred[list[PartitionDescription]]:
        """The partitions.

        Cancelling ends the waiting and no more.

        :param topic: only those of the topic of this very name.
        :param system: those of topics that belong to the system, *instead* of all others.
        """
        return self._cluster.run(self._list_partitions(topic, system))

    async def _list_partitions(self, topic: str | None, system: bool) -> list[PartitionDescription]:
        if topic is not None:
            arguments.text("topic", topic)
        listed = await self._list(sc.PARTITION, values.partition_description, (), system=system)
        chosen = [partition for partition in listed if topic in (None, partition.topic)]
        return sorted(chosen, key=lambda partition: (partition.topic, partition.number))

    # SPUs

    def list_spus(self, containing: str | Iterable[str] = ()) -> Deferred[list[SpuDescription]]:
        """All SPUs.

        Cancelling ends the waiting and no more.

        :param containing: only those whose name contains this text, or one of these.
        """
        return self._list(sc.SPU, values.spu_description, containing)

    def list_custom_spus(
        self, containing: str | Iterable[str] = ()
    ) -> Deferred[list[SpuDescription]]:
        """The SPUs that somebody other than the SC starts.

        Cancelling ends the waiting and no more.

        :param containing: only those whose name contains this text, or one of these.
        """
        return self._list(sc.CUSTOM_SPU, values.spu_description, containing)

    def register_spu(
        self,
        spu_id: int,
        host: str,
        port: int,
        *,
        private_host: str | None = None,
        private_port: int,
        local_host: str | None = None,
        local_port: int | None = None,
        rack: str | None = None,
        name: str | None = None,
        dry_run: bool = False,
    ) -> Deferred[None]:
        """Announce an SPU that somebody else starts, so that it may join.

        Cancelled once it was sent, it may take effect all the same.

        :param spu_id: its id, 0 or more.
        :param host: where clients reach it.
        :param private_host: where the other SPUs reach it; None: ``host``.
        :param local_host: a shorter way for clients that are near; with ``local_port``.
        :param name: None: ``custom-spu-<id>``.
        :param dry_run: only check the request.
        :raises SpuAlreadyExists: the id or the name is taken.
        """

        def request() -> sc.CreateRequest:
            local = None
            if local_host is not None or local_port is not None:
                local = sc.Endpoint(
                    host=arguments.text("local_host", local_host),
                    port=arguments.port("local_port", local_port),
                )
            spec = sc.CustomSpuSpec(
                id=arguments.whole("spu_id", spu_id, 0, 2**31 - 1),
                public_endpoint=sc.IngressPort(
                    port=arguments.port("port", port), ingress=(sc.IngressAddr(hostname=host),)
                ),
                private_endpoint=sc.Endpoint(
                    host=private_host or host, port=arguments.port("private_port", private_port)
                ),
                rack=rack,
                public_endpoint_local=local,
            )
            given = name or f"custom-spu-{spu_id}"
            return sc.CreateRequest(kind=sc.CUSTOM_SPU, name=given, dry_run=dry_run, spec=spec)

        there = None if dry_run else lambda topology: spu_id in topology.spus
        return self._do(request, f"SPU {spu_id}", there)

    def unregister_spu(self, spu: int | str) -> Deferred[None]:
        """Take back what :meth:`register_spu` has announced.

        Cancelled once it was sent, it may take effect all the same.

        :param spu: its id, or its name.
        :raises SpuNotFound: there is none.
        """
        return self._delete(sc.CUSTOM_SPU, spu, "SPU")

    # SPU groups

    def create_spu_group(
        self,
        name: str,
        *,
        replicas: int,
        min_id: int = 0,
        rack: str | None = None,
        in_sync_replica_min: int | None = None,
        log_dir: str | None = None,
        storage_size: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Deferred[None]:
        """Let the SC start SPUs, if it can: it needs Kubernetes, and without does nothing and says
        nothing. A group of this name is replaced.

        Cancelled once it was sent, it may take effect all the same.

        :param replicas: how many SPUs.
        :param min_id: the id of the first.
        :param in_sync_replica_min: how many replicas must have a record.
        :param storage_size: room for the log of each, for example ``"10Gi"``.
        :param env: variables of their environment.
        """

        def request() -> sc.CreateRequest:
            replication = storage = None
            if in_sync_replica_min is not None:
                least = arguments.whole("in_sync_replica_min", in_sync_replica_min, 1, 2**16 - 1)
                replication = sc.ReplicationConfig(in_sync_replica_min=least)
            if log_dir is not None or storage_size is not None:
                storage = sc.SpuStorage(log_dir=log_dir, size=storage_size)
            variables = arguments.mapping("env", {} if env is None else env)
            spec = sc.SpuGroupSpec(
                replicas=arguments.whole("replicas", replicas, 1, 2**16 - 1),
                min_id=arguments.whole("min_id", min_id, 0, 2**31 - 1),
                spu_config=sc.SpuConfig(
                    rack=rack,
                    replication=replication,
                    storage=storage,
                    env=tuple(sc.EnvVar(name=n, value=v) for n, v in variables.items()),
                ),
            )
            return sc.CreateRequest(kind=sc.SPU_GROUP, name=name, spec=spec)

        return self._do(request, f"SPU group {name}")

    def delete_spu_group(self, name: str) -> Deferred[None]:
        """Delete a group.

        Cancelled once it was sent, it may take effect all the same.

        :raises SpuNotFound: there is none of this name.
        """
        return self._delete(sc.SPU_GROUP, name, "SPU group")

    def list_spu_groups(
        self, containing: str | Iterable[str] = ()
    ) -> Deferred[list[SpuGroupDescription]]:
        """The groups.

        Cancelling ends the waiting and no more.

        :param containing: only those whose name contains this text, or one of these.
        """
        return self._list(sc.SPU_GROUP, values.spu_group_description, containing)

    # SmartModules

    def create_smartmodule(
        self,
        name: str,
        wasm: bytes | str | os.PathLike[str],
        *,
        package: SmartModulePackage | None = None,
    ) -> Deferred[str]:
        """Upload a SmartModule, or replace one; fires with the name it is kept under.

        An SPU may go on using the old one of the same name for a moment, or not find the new one
        if the old was deleted just before.

        Cancelled once it was sent, it may take effect all the same.

        :param name: not looked at if there is a package.
        :param wasm: WebAssembly, or the path of a file of it, which is read now; compressed with
            gzip or not. An SPU takes only the former, so the latter is compressed here.
        :param package: what it is a package of.
        :raises InvalidConfig: the file can not be read, or there is nothing in it, or a version of
            the package is none.
        :raises SmartModuleError: it was not stored. That it is WebAssembly at all is found out only
            when it is used.
        """

        async def create() -> str:
            if not arguments.text("name", name) and package is None:
                # An SC would keep it.
                raise InvalidConfig("name", name, "a name, or a package")
            payload = read_wasm(wasm) if isinstance(wasm, str | os.PathLike) else wasm
            if not isinstance(payload, bytes) or not payload:
                raise InvalidConfig("wasm", wasm, "the bytes of a module, or the path of its file")
            meta = None
            if package is not None:
                meta = arguments.instance("package", package, SmartModulePackage).to_wire()
            spec = sc.SmartModuleSpec(
                meta=meta,
                wasm=sc.Wasm(payload=gzipped(payload)),
            )
            request = sc.CreateRequest(kind=sc.SMART_MODULE, name=name, spec=spec)
            what = f"SmartModule {name}"
            return _check(await self._cluster.sc_request(request), what).name

        return self._cluster.run(create())

    def delete_smartmodule(self, name: str) -> Deferred[None]:
        """Delete a SmartModule.

        Cancelled once it was sent, it may take effect all the same.

        :param name: a packaged one's is ``group/name@version``, or what it is kept under. On a
            version that it can not read an SC hangs up.
        :raises SmartModuleNotFound: there is none of this name.
        """
        return self._do(
            lambda: sc.DeleteRequest(kind=sc.SMART_MODULE, key=arguments.text("name", name)),
            f"SmartModule {name}",
        )

    def list_smartmodules(
        self, named: str | Iterable[str] = (), *, summary: bool = True
    ) -> Deferred[list[SmartModuleDescription]]:
        """The SmartModules.

        Cancelling ends the waiting and no more.

        :param named: only those of this name, or one of these; a packaged one's is ``name``,
            ``group/name`` or ``group/name@version``. On a version that it can not read an SC hangs
            up, so that it is asked until ``request_timeout`` is over.
        :param summary: leave out their bytes.
        """
        describe = values.smartmodule_description
        return self._list(sc.SMART_MODULE, describe, named, called="named", summary=summary)

    # Table formats

    def create_table_format(
        self,
        name: str,
        *,
        columns: Sequence[TableColumn] | None = None,
        smartmodule: str | None = None,
    ) -> Deferred[None]:
        """Say how records are to be shown as a table.

        Cancelled once it was sent, it may take effect all the same.

        :param smartmodule: one that is applied first.
        :raises TableFormatAlreadyExists: the name is taken.
        """

        def request() -> sc.CreateRequest:
            spec = sc.TableFormatSpec(
                name=name,
                input_format=sc.InputFormat.JSON,
                columns=None if columns is None else values.columns("columns", columns),
                smartmodule=smartmodule,
            )
            return sc.CreateRequest(kind=sc.TABLE_FORMAT, name=name, spec=spec)

        return self._do(request, f"table format {name}")

    def delete_table_format(self, name: str) -> Deferred[None]:
        """Delete a table format.

        Cancelled once it was sent, it may take effect all the same.

        :raises TableFormatNotFound: there is none of this name.
        """
        return self._delete(sc.TABLE_FORMAT, name, "table format")

    def list_table_formats(
        self, containing: str | Iterable[str] = ()
    ) -> Deferred[list[TableFormatDescription]]:
        """The table formats.

        Cancelling ends the waiting and no more.

        :param containing: only those whose name contains this text, or one of these.
        """
        return self._list(sc.TABLE_FORMAT, values.table_format_description, containing)

    # Mirrors

    def register_remote(self, name: str) -> Deferred[None]:
        """Announce a cluster that is to mirror to this one.

        Cancelled once it was sent, it may take effect all the same.

        :raises MirrorAlreadyExists: the name is taken.
        """

        def request() -> sc.CreateRequest:
            return sc.CreateRequest(kind=sc.MIRROR, name=name, spec=sc.RemoteCluster(id=name))

        return self._do(request, f"mirror {name}")

    def register_home(
        self, name: str, *, remote_id: str, endpoint: str, tls: HomeTls | None = None
    ) -> Deferred[None]:
        """Say which cluster this one is to mirror to. What was said before is replaced.

        Cancelled once it was sent, it may take effect all the same.

        :param remote_id: the name of this cluster there.
        :param endpoint: ``"host:port"`` of its SC's public port.
        """

        def request() -> sc.CreateRequest:
            shown = None
            if tls is not None:
                arguments.instance("tls", tls, HomeTls)
                shown = sc.ClientTls(
                    domain=tls.domain,
                    ca_cert=tls.ca_cert,
                    client_cert=tls.client_cert,
                    client_key=tls.client_key,
                )
            spec = sc.HomeCluster(
                id=name, remote_id=remote_id, public_endpoint=endpoint, client_tls=shown
            )
            return sc.CreateRequest(kind=sc.MIRROR, name=name, spec=spec)

        return self._do(request, f"mirror {name}")

    def unregister_mirror(self, name: str) -> Deferred[None]:
        """Forget a remote cluster, or the home.

        Cancelled once it was sent, it may take effect all the same.

        :raises MirrorNotFound: there is none of this name.
        """
        return self._delete(sc.MIRROR, name, "mirror")

    def list_mirrors(self) -> Deferred[list[MirrorDescription]]:
        """The clusters that mirror to this one, and the one it mirrors to.

        Cancelling ends the waiting and no more.
        """
        return self._list(sc.MIRROR, values.mirror_description, ())

    # Consumer offsets

    def list_consumer_offsets(
        self,
        *,
        consumer_id: str | None = None,
        topic: str | None = None,
        partition: int | None = None,
    ) -> Deferred[list[StoredOffset]]:
        """How far consumers have come, as they have stored it.

        Cancelling ends the waiting and no more.

        :param consumer_id: only of this consumer.
        :param topic: only in this topic.
        :param partition: only in partitions of this number.
        """

        async def offsets() -> list[StoredOffset]:
            if partition is not None:
                arguments.whole("partition", partition, 0)
            wanted = ConsumerOffsetFilter(consumer_id=consumer_id)
            reply = await self._ask_offsets(FetchConsumerOffsetsRequest(filter_opts=wanted))
            if reply is None:
                return []
            found = map(values.stored_offset, reply.consumers)
            # Releases before 0.18 know no filter.
            chosen = [
                offset
                for offset in found
                if consumer_id in (None, offset.consumer_id)
                and topic in (None, offset.topic)
                and partition in (None, offset.partition)
            ]
            return sorted(chosen, key=lambda o: (o.consumer_id, o.topic, o.partition))

        return self._cluster.run(offsets())

    def delete_consumer_offset(
        self, consumer_id: str, topic: str, partition: int
    ) -> Deferred[None]:
        """Forget how far a consumer has come. Where nothing is stored, nothing happens.

        Cancelled once it was sent, it may take effect all the same.
        """

        async def delete() -> None:
            key = ReplicaKey(
                topic=topic, partition=arguments.whole("partition", partition, 0, 2**32 - 1)
            )
            await self._ask_offsets(
                DeleteConsumerOffsetRequest(replica_id=key, consumer_id=consumer_id)
            )

        return self._cluster.run(delete())

    async def _ask_offsets(self, request: Request[ReplyT]) -> ReplyT | None:
        # Forgetting twice is as good as once.
        return await self._cluster.retrying.call(
            lambda seconds: ask_stored_offsets(
                self._cluster, request, what="the stored offsets", seconds=seconds
            ),
            seconds=self._cluster.config.request_timeout,
            again=may_succeed,
        )

    # Watching

    def watch(self, kind: ObjectKind) -> Watch[Any]:
        """The objects of a kind as they are, and every change of them from then on.

        Nothing happens before the first is asked for. See :class:`Watch`.
        """
        member(ObjectKind).check("kind", kind)
        return Watch(self._cluster, kind)

    # How calls are made

    def _do(
        self,
        request: Callable[[], Request[sc.StatusResponse]],
        what: str,
        there: Callable[[Topology], bool] | None = None,
    ) -> Deferred[None]:
        """Make a change.

        :param request: makes the request for it, and complains if it can not be made.
        :param there: how the change shows in the metadata.
        """

        async def do() -> None:
            _check(await self._cluster.sc_request(request()), what)
            if there is not None:
                await self._settled(there)

        return self._cluster.run(do())

    def _delete(self, kind: sc.Kind, key: str | int, called: str) -> Deferred[None]:
        return self._do(lambda: sc.DeleteRequest(kind=kind, key=key), f"{called} {key}")

    async def _settled(self, there: Callable[[Topology], bool], seconds: float = SETTLING) -> bool:
        """Whether what the SC has confirmed shows in the metadata; not waited for long."""
        try:
            return await _confirmed(
                self._cluster.wait_for(
                    lambda topology: there(topology) or None, missing="", timeout=seconds
                )
            )
        except WaitTimedOut:
            return False

    async def _until(self, usable: topics.Usable, left: TimeLeft) -> None:
        """Wait until what the SC has confirmed can be used."""
        await _confirmed(
            self._cluster.wait_for(usable.holds, missing=usable.missing, timeout=left.seconds)
        )

    async def _create(
        self, request: Request[sc.StatusResponse], usable: topics.Usable, seconds: float
    ) -> None:
        """Create what is done when the SC says so, or when the metadata shows it."""
        left = TimeLeft.of(self._clock, seconds)
        answer = await self._answer_unless_shown(request, usable, seconds)
        if answer is None:
            return
        _check(answer, f"topic {usable.name}")
        # Metadata that does not know the topic may be late. If they know it, they also know
        # better: an SC takes the partitions of a deleted topic of this name for the new ones.
        if await self._settled(usable.shows, min(SETTLING, left.seconds)):
            await self._until(usable, left)

    async def _answer_unless_shown(
        self, request: Request[sc.StatusResponse], usable: topics.Usable, seconds: float
    ) -> sc.StatusResponse | None:
        """The SC's answer; None where the metadata shows what was asked for before it comes."""
        sending: Deferred[Any] = Deferred()

        def look() -> None:
            if not sending.called:
                sending.callback(None)

        answering: Deferred[Any] = self._cluster.sc_request(
            request, timeout=seconds, on_sending=look
        )
        # Not before: each that is looked for is asked about with every message of the metadata. Nor
        # at once: what is being sent can not be cancelled from within.
        showing: Deferred[Any] = sending.addCallback(
            lambda _: deferLater(
                self._clock, 0, self._cluster.wait_for, usable.holds_as_asked, missing=""
            )
        )
        try:
            result, first = await DeferredList(
                [answering, showing],
                fireOnOneCallback=True,
                fireOnOneErrback=True,
                consumeErrors=True,
            )
        except FirstError as error:
            reason = error.subFailure.value
            if isinstance(reason, RequestTimedOut):
                lacking = usable.missing(self._cluster.topology)
                raise WaitTimedOut(lacking, seconds, effect=reason.effect) from reason
            if isinstance(reason, ClientClosed) and error.index == 1:
                # Who waits for metadata is told first, and not that it was sent before that.
                reason.effect = Effect.UNKNOWN
            error.subFailure.raiseException()
        finally:
            showing.cancel()
            # An SC that takes minutes to answer would keep a turn of the other calls for as long.
            answering.cancel()
        return result if first == 0 else None

    def _list(
        self,
        kind: sc.Kind,
        describe: Callable[[sc.Metadata], T],
        filters: str | Iterable[str],
        *,
        called: str = "containing",
        summary: bool = False,
        system: bool = False,
    ) -> Deferred[list[T]]:
        """Ask for the objects of a kind; ``called`` is what the caller calls the filters."""

        async def ask() -> list[T]:
            texts = arguments.texts(called, filters)
            request = sc.ListRequest(kind=kind, filters=texts, summary=summary, system=system)
            reply = await self._cluster.sc_request(request)
            objects = sorted(reply.of(kind).objects, key=lambda told: told.name)
            return [describe(told) for told in objects]

        return self._cluster.run(ask())


def _check(reply: sc.StatusResponse, what: str) -> sc.StatusResponse:
    """The reply, if it says that all went well; else the error it names is raised."""
    if reply.error_code:
        raise reply.error_code.exception(what, reply.error_message)
    return reply


async def _confirmed(showing: Deferred[T]) -> T:
    """What is waited for behind the SC's answer: all is done, whatever ends the waiting."""
    try:
        return await showing
    except (WaitTimedOut, ClientClosed) as error:
        error.effect = Effect.DONE
        raise
    except CancelledError as error:
        raise GivenUp(Effect.DONE) from error
