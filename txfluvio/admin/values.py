"""What the admin calls take and give: frozen values, in the words of users.

Each description is made of an object as the SC tells it. Nothing here does I/O, and no message of
the protocol shows in a signature; only its enumerations are shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ..cluster import partition_count, partition_key
from ..errors import InvalidConfig
from ..wire import sc, spu
from . import arguments

TopicResolution = sc.TopicResolution
PartitionResolution = sc.PartitionResolution
SpuResolution = sc.SpuResolution
SpuGroupResolution = sc.SpuGroupResolution
TableFormatResolution = sc.TableFormatResolution
Alignment = sc.Alignment
Color = sc.Color


# Topics


@attrs.frozen(kw_only=True)
class Deduplication:
    """Records that were seen within these bounds are dropped.

    :ivar count: among so many of the last records.
    :ivar age: and not longer ago than so many seconds; None: however long.
    :ivar filter: the SmartModule that does it, ``group/name@version``.
    :ivar params: its parameters by name.
    """

    count: int
    age: float | None = None
    filter: str
    params: Mapping[str, str] = attrs.field(factory=dict)

    def to_wire(self) -> sc.Deduplication:
        age = None
        if self.age is not None:
            age = spu.Duration.of(arguments.seconds("Deduplication.age", self.age, 0.0))
        params = arguments.mapping("Deduplication.params", self.params)
        return sc.Deduplication(count=self.count, age=age, uses=self.filter, with_params=params)

    @classmethod
    def from_wire(cls, told: sc.Deduplication) -> Deduplication:
        age = None if told.age is None else told.age.total
        return cls(count=told.count, age=age, filter=told.uses, params=told.with_params)


@attrs.frozen(kw_only=True)
class TopicDescription:
    """A topic.

    :ivar partition_count: how many partitions it is to have.
    :ivar replication: how many SPUs hold each; None for a mirror.
    :ivar assignment: the SPUs of each partition, the leader first, if whoever created the topic
        chose them; None if the SC does.
    :ivar ignore_racks: whether the SC was told to place replicas without regard to racks.
    :ivar mirror_from: the clusters that mirror to this topic, one for each partition; None if none
        is to.
    :ivar mirror_to: the clusters that it is mirrored to, one for each partition; None if it is not.
    :ivar retention: seconds that records are kept; None: seven days.
    :ivar segment_size: bytes of one file of the log; None: one GiB.
    :ivar max_partition_size: bytes after which the oldest records go; None: no limit of its own.
    :ivar compression: the codec that it demands, ``"any"`` if it leaves the choice.
    :ivar system: whether it belongs to the system; such a one is deleted only by force.
    :ivar resolution: how far it has come.
    :ivar reason: why no farther; may be empty.
    :ivar replicas: the SPUs of each partition by number, as placed, the leader at first first.
    :ivar partitions: the partitions themselves, where it was asked for by name; else None.
    """

    name: str
    partition_count: int
    replication: int | None
    assignment: tuple[tuple[int, ...], ...] | None
    ignore_racks: bool
    mirror_from: tuple[str, ...] | None
    mirror_to: tuple[str, ...] | None
    retention: int | None
    segment_size: int | None
    max_partition_size: int | None
    compression: str
    deduplication: Deduplication | None
    system: bool
    resolution: TopicResolution
    reason: str
    replicas: Mapping[int, tuple[int, ...]]
    partitions: tuple[PartitionDescription, ...] | None = None

    @property
    def mirror(self) -> bool:
        """Whether it mirrors, or is mirrored to, another cluster."""
        return self.mirror_from is not None or self.mirror_to is not None


def topic_description(told: sc.Metadata) -> TopicDescription:
    spec, status = told.spec, told.status
    replicas = spec.replicas
    replication = assignment = mirrored = None
    outgoing = False
    if isinstance(replicas, sc.Computed):
        replication = replicas.replication_factor
    elif isinstance(replicas, sc.Assigned):
        assignment = tuple(partition.replicas for partition in replicas.partitions)
        replication = max(map(len, assignment), default=0)
    elif isinstance(replicas.config, sc.HomeMirror):
        mirrored = tuple(partition.remote_cluster for partition in replicas.config.partitions)
        outgoing = replicas.config.source
    else:
        mirrored = (replicas.config.home_cluster,) * len(replicas.config.home_spus)
        outgoing = not replicas.config.target
    storage = spec.storage or sc.TopicStorage()
    return TopicDescription(
        name=told.name,
        partition_count=partition_count(spec),
        replication=replication,
        assignment=assignment,
        ignore_racks=isinstance(replicas, sc.Computed) and replicas.ignore_rack_assignment,
        mirror_from=None if outgoing else mirrored,
        mirror_to=mirrored if outgoing else None,
        retention=spec.cleanup_policy.time_in_seconds if spec.cleanup_policy else None,
        segment_size=storage.segment_size,
        max_partition_size=storage.max_partition_size,
        compression=spec.compression_type.name.lower(),
        deduplication=Deduplication.from_wire(spec.deduplication) if spec.deduplication else None,
        system=spec.system,
        resolution=status.resolution,
        reason=status.reason,
        replicas=MappingProxyType(dict(status.replica_map)),
    )


# Partitions


@attrs.frozen(kw_only=True)
class ReplicaDescription:
    """How far one SPU has a partition, by its own report.

    :ivar high_watermark: behind the last record that all replicas have; None: not told yet.
    :ivar log_end: behind the last record that this one has; None: not told yet.
    """

    spu: int
    high_watermark: int | None
    log_end: int | None


@attrs.frozen(kw_only=True)
class PartitionMirror:
    """Where else the records of a partition are.

    :ivar cluster: the other cluster: the home of this one, or one that this one is the home of.
    :ivar incoming: whether the records come from there; else they go there.
    :ivar replica: the partition there, ``"orders-0"``; None if that cluster is the home, of which
        the SPU is told.
    :ivar spu: the home's SPU that has it, by id; None if this cluster is the home.
    :ivar endpoint: ``"host:port"`` of that SPU.
    """

    cluster: str
    incoming: bool
    replica: str | None = None
    spu: int | None = None
    endpoint: str | None = None

    @classmethod
    def from_wire(cls, told: sc.PartitionMirror) -> PartitionMirror:
        if isinstance(told, sc.HomePartition):
            return cls(
                cluster=told.remote_cluster, incoming=not told.source, replica=told.remote_replica
            )
        return cls(
            cluster=told.home_cluster,
            incoming=told.target,
            spu=told.home_spu_id,
            endpoint=told.home_spu_endpoint,
        )


@attrs.frozen(kw_only=True)
class PartitionDescription:
    """A partition. The numbers of records are those of the leader's last report.

    :ivar leader: the SPU to produce to and consume from.
    :ivar replicas: all SPUs that hold it.
    :ivar high_watermark: behind the last record that all replicas have; None: not told yet.
    :ivar log_end: behind the last record; None: not told yet.
    :ivar size: bytes on disk; None: not told. An SPU that was restarted leaves out all files of its
        log but the last, until retention removes some.
    :ivar followers: the other replicas.
    :ivar live_replicas: how many of these have every record that the leader has.
    :ivar mirror: where else its records are; None if it belongs to no mirror.
    """

    topic: str
    number: int
    leader: int
    replicas: tuple[int, ...]
    resolution: PartitionResolution
    high_watermark: int | None
    log_end: int | None
    size: int | None
    followers: tuple[ReplicaDescription, ...]
    live_replicas: int
    mirror: PartitionMirror | None
    being_deleted: bool
    system: bool


def _told(number: int) -> int | None:
    return number if number >= 0 else None


def partition_description(told: sc.Metadata) -> PartitionDescription:
    spec, status = told.spec, told.status
    topic, number = partition_key(told.name)
    return PartitionDescription(
        topic=topic,
        number=number,
        leader=spec.leader,
        replicas=spec.replicas,
        resolution=status.resolution,
        high_watermark=_told(status.leader.hw),
        log_end=_told(status.leader.leo),
        size=_told(status.size),
        followers=tuple(
            ReplicaDescription(
                spu=replica.spu, high_watermark=_told(replica.hw), log_end=_told(replica.leo)
            )
            for replica in status.replicas
        ),
        live_replicas=status.lsr,
        mirror=PartitionMirror.from_wire(spec.mirror) if spec.mirror else None,
        being_deleted=status.is_being_deleted,
        system=spec.system,
    )


# SPUs


@attrs.frozen(kw_only=True)
class SpuDescription:
    """An SPU.

    :ivar host: where clients reach it; empty if it has told no address.
    :ivar private_host: where the other SPUs reach it.
    :ivar local_host: a shorter way for clients that are near; None: there is none.
    :ivar custom: whether somebody other than the SC starts it.
    """

    id: int
    name: str
    host: str
    port: int
    private_host: str
    private_port: int
    local_host: str | None
    local_port: int | None
    rack: str | None
    custom: bool
    resolution: SpuResolution

    @property
    def online(self) -> bool:
        """Whether the SC has a connection with it."""
        return self.resolution is SpuResolution.ONLINE


def spu_description(told: sc.Metadata) -> SpuDescription:
    spec = told.spec
    local = spec.public_endpoint_local
    return SpuDescription(
        id=spec.id,
        name=told.name,
        host=spec.public_endpoint.host,
        port=spec.public_endpoint.port,
        private_host=spec.private_endpoint.host,
        private_port=spec.private_endpoint.port,
        local_host=local.host if local else None,
        local_port=local.port if local else None,
        rack=spec.rack,
        custom=getattr(spec, "spu_type", sc.SpuType.CUSTOM) is sc.SpuType.CUSTOM,
        resolution=told.status.resolution,
    )


@attrs.frozen(kw_only=True)
class SpuGroupDescription:
    """SPUs that the SC is to start. Without Kubernetes it starts none, and says nothing.

    :ivar replicas: how many.
    :ivar min_id: the id of the first.
    :ivar in_sync_replica_min: how many replicas must have a record.
    :ivar log_dir: where they keep their logs.
    :ivar storage_size: how much room they get, for example ``"10Gi"``.
    :ivar env: variables of their environment.
    """

    name: str
    replicas: int
    min_id: int
    rack: str | None
    in_sync_replica_min: int | None
    log_dir: str | None
    storage_size: str | None
    env: Mapping[str, str]
    resolution: SpuGroupResolution
    reason: str


def spu_group_description(told: sc.Metadata) -> SpuGroupDescription:
    spec, status = told.spec, told.status
    config = spec.spu_config
    storage = config.storage or sc.SpuStorage()
    return SpuGroupDescription(
        name=told.name,
        replicas=spec.replicas,
        min_id=spec.min_id,
        rack=config.rack,
        in_sync_replica_min=config.replication.in_sync_replica_min if config.replication else None,
        log_dir=storage.log_dir,
        storage_size=storage.size,
        env=MappingProxyType({variable.name: variable.value for variable in config.env}),
        resolution=status.resolution,
        reason=status.reason or "",
    )


# SmartModules


@attrs.frozen(kw_only=True)
class SmartModuleParam:
    """A parameter that a SmartModule takes."""

    description: str | None = None
    optional: bool = False


@attrs.frozen(kw_only=True)
class SmartModulePackage:
    """The package a SmartModule came in; ``group/name@version`` is its full name.

    :ivar version: a semantic version, such as ``0.1.0``.
    :ivar api_version: another one.
    :ivar params: the parameters it takes, by name.
    """

    name: str
    group: str
    version: str
    api_version: str = "0.1.0"
    description: str | None = None
    license: str | None = None
    repository: str | None = None
    public: bool = False
    params: Mapping[str, SmartModuleParam] = attrs.field(factory=dict)

    def to_wire(self) -> sc.PackageMeta:
        package = sc.Package(
            name=self.name,
            group=self.group,
            version=arguments.version("SmartModulePackage.version", self.version),
            api_version=arguments.version("SmartModulePackage.api_version", self.api_version),
            description=self.description,
            license=self.license,
            visibility=sc.Visibility.PUBLIC if self.public else sc.Visibility.PRIVATE,
            repository=self.repository,
        )
        return sc.PackageMeta(
            package=package, params=params("SmartModulePackage.params", self.params)
        )

    @classmethod
    def from_wire(cls, meta: sc.PackageMeta) -> SmartModulePackage:
        package = meta.package
        return cls(
            name=package.name,
            group=package.group,
            version=package.version,
            api_version=package.api_version,
            description=package.description,
            license=package.license,
            repository=package.repository,
            public=package.visibility is sc.Visibility.PUBLIC,
            params=MappingProxyType(
                {
                    name: SmartModuleParam(description=param.description, optional=param.optional)
                    for name, param in meta.params.items()
                }
            ),
        )


@attrs.frozen(kw_only=True)
class SmartModuleDescription:
    """A SmartModule.

    :ivar name: what the cluster keeps it under; for a packaged one ``name-group-version``.
    :ivar package: None if it was uploaded under a plain name.
    :ivar size: bytes that are stored.
    :ivar wasm: these bytes; empty in a summary.
    """

    name: str
    package: SmartModulePackage | None
    size: int
    wasm: bytes = attrs.field(repr=False)


def params(name: str, value: object) -> dict[str, sc.Param]:
    """The parameters that a SmartModule takes.

    :raises InvalidConfig: they are something else.
    """
    if not isinstance(value, Mapping) or not all(
        isinstance(one, SmartModuleParam) for one in value.values()
    ):
        raise InvalidConfig(name, value, "a mapping of SmartModuleParam")
    return {
        arguments.text(name, key): sc.Param(description=one.description, optional=one.optional)
        for key, one in value.items()
    }


def smartmodule_description(told: sc.Metadata) -> SmartModuleDescription:
    spec = told.spec
    payload = spec.wasm.payload
    size = spec.summary.wasm_length if spec.summary and not payload else len(payload)
    return SmartModuleDescription(
        name=told.name,
        package=SmartModulePackage.from_wire(spec.meta) if spec.meta else None,
        size=size,
        wasm=payload,
    )


# Table formats


@attrs.frozen(kw_only=True)
class TableColumn:
    """A column of a table format.

    :ivar key_path: where in the value its content is found.
    :ivar label: its header; None: the key path.
    """

    key_path: str
    label: str | None = None
    width: str | None = None
    alignment: Alignment | None = None
    format: str | None = None
    display: bool | None = None
    primary_key: bool | None = None
    header_background: Color | None = None
    header_text: Color | None = None

    def to_wire(self) -> sc.TableColumn:
        return sc.TableColumn(
            header_label=self.label,
            width=self.width,
            alignment=self.alignment,
            key_path=self.key_path,
            format=self.format,
            display=self.display,
            primary_key=self.primary_key,
            header_bg_color=self.header_background,
            header_text_color=self.header_text,
        )

    @classmethod
    def from_wire(cls, column: sc.TableColumn) -> TableColumn:
        return cls(
            key_path=column.key_path,
            label=column.header_label,
            width=column.width,
            alignment=column.alignment,
            format=column.format,
            display=column.display,
            primary_key=column.primary_key,
            header_background=column.header_bg_color,
            header_text=column.header_text_color,
        )


def columns(name: str, value: object) -> tuple[sc.TableColumn, ...]:
    """The columns of a table.

    :raises InvalidConfig: they are something else.
    """
    expected = "a list of TableColumn, or None"
    if not isinstance(value, Iterable):
        raise InvalidConfig(name, value, expected)
    given = tuple(value)
    if not all(isinstance(one, TableColumn) for one in given):
        raise InvalidConfig(name, value, expected)
    return tuple(column.to_wire() for column in given)


@attrs.frozen(kw_only=True)
class TableFormatDescription:
    """How records are shown as a table.

    :ivar columns: None: not chosen.
    :ivar smartmodule: one that is applied first.
    """

    name: str
    columns: tuple[TableColumn, ...] | None
    smartmodule: str | None
    resolution: TableFormatResolution
    reason: str


def table_format_description(told: sc.Metadata) -> TableFormatDescription:
    spec, status = told.spec, told.status
    columns = None
    if spec.columns is not None:
        columns = tuple(map(TableColumn.from_wire, spec.columns))
    return TableFormatDescription(
        name=told.name,
        columns=columns,
        smartmodule=spec.smartmodule,
        resolution=status.resolution,
        reason=status.reason or "",
    )


# Mirrors


@attrs.frozen(kw_only=True)
class HomeTls:
    """What a remote cluster shows its home, and how it verifies it: PEM texts.

    :ivar domain: the name that the home's certificate must be for.
    """

    domain: str
    ca_cert: str = attrs.field(repr=False)
    client_cert: str = attrs.field(repr=False)
    client_key: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class MirrorDescription:
    """Another cluster that mirrors to this one, or that this one mirrors to.

    :ivar home: whether it is the home of this one, which this one mirrors to.
    :ivar remote_id: the name of this cluster there; None if it is not the home.
    :ivar endpoint: ``"host:port"`` of the home; None if it is not the home.
    :ivar online: whether it is connected.
    :ivar pairing: how things stand between the two SCs, in a word or in the words of the failure.
    :ivar spu_pairing: the same between the SPUs.
    :ivar last_seen: milliseconds since the Unix epoch; None: never.
    """

    name: str
    home: bool
    remote_id: str | None
    endpoint: str | None
    online: bool
    pairing: str
    spu_pairing: str
    last_seen: int | None


def _pairing(status: Any) -> str:
    if isinstance(status, sc.PairDetailFailure):
        return status.reason
    return type(status).__name__.removeprefix("Pair").lower()


def mirror_description(told: sc.Metadata) -> MirrorDescription:
    spec, status = told.spec, told.status
    home = isinstance(spec, sc.HomeCluster)
    return MirrorDescription(
        name=told.name,
        home=home,
        remote_id=spec.remote_id if home else None,
        endpoint=spec.public_endpoint if home else None,
        online=status.connection_status is sc.MirrorConnection.ONLINE,
        pairing=_pairing(status.pairing_sc),
        spu_pairing=_pairing(status.pairing_spu),
        last_seen=status.last_seen or None,
    )


# Consumer offsets


@attrs.frozen(kw_only=True)
class StoredOffset:
    """How far a consumer has come, as it was stored.

    :ivar offset: of the last record it has processed.
    :ivar modified: when it was stored, seconds since the Unix epoch.
    """

    consumer_id: str
    topic: str
    partition: int
    offset: int
    modified: int


def stored_offset(told: spu.ConsumerOffset) -> StoredOffset:
    return StoredOffset(
        consumer_id=told.consumer_id,
        topic=told.replica_id.topic,
        partition=told.replica_id.partition,
        offset=told.offset,
        modified=told.modified_time,
    )
