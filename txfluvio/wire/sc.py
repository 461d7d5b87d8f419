"""Every message of the SC's public port: one envelope for all kinds of objects.

Create, Delete, List, Watch and Update carry the kind of their object as a label, then the length
of a body, then the body, whose fields depend on the kind (the dynamic form, versions 11 and up;
``fluvio-sc-schema/src/objects/``). Before that the length was not there, and Create had a number
behind its first fields in place of the label (the classic form, ``objects/classic.rs``). The kinds
and their fields are below, the envelopes at the end. Layouts follow
``fluvio-controlplane-metadata/src/``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Self

import attrs

from ..errors import ProtocolError, UsageError
from .codes import NO_ERROR, ErrorCode, error_code
from .schema import (
    Message,
    Reader,
    Request,
    StructType,
    WireType,
    Writer,
    api,
    blob,
    boolean,
    enumeration,
    field,
    i32,
    i64,
    mapping,
    optional,
    semver,
    string,
    struct,
    tagged,
    u8,
    u16,
    u32,
    u64,
    vector,
    wire_type,
)
from .spu import Duration

VERSIONS = (11, 19)
"""The versions of the dynamic form, which is all that a client here speaks."""

LAST_CLASSIC = 10
"""The last version of the classic form."""


# Topics


class TopicCompression(enum.IntEnum):
    """What codec a topic accepts; not the numbers of a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ANY = 4
    ZSTD = 5


@struct
class RemotePartition:
    """A partition mirrored to a home cluster."""

    home_cluster: str = field(string)
    home_spu_key: str = field(string)
    home_spu_id: int = field(i32)
    home_spu_endpoint: str = field(string)
    target: bool = field(boolean, since=18, default=False)


@struct
class HomePartition:
    """A partition mirrored from a remote cluster."""

    remote_cluster: str = field(string)
    remote_replica: str = field(string)
    source: bool = field(boolean, since=18, default=False)


PartitionMirror = RemotePartition | HomePartition
_partition_mirror = tagged({0: RemotePartition, 1: HomePartition})


@struct
class PartitionMap:
    """The SPUs that are to hold one partition, the leader first."""

    id: int = field(u32)
    replicas: tuple[int, ...] = field(vector(i32))
    mirror: PartitionMirror | None = field(optional(_partition_mirror), since=14, default=None)


@struct
class Assigned:
    """Replicas chosen by whoever creates the topic."""

    partitions: tuple[PartitionMap, ...] = field(vector(PartitionMap))


@struct
class Computed:
    """Replicas placed by the SC."""

    partitions: int = field(u32)
    replication_factor: int = field(u32, default=1)
    ignore_rack_assignment: bool = field(boolean, default=False)


@struct
class SpuMirror:
    """An SPU of a home cluster."""

    id: int = field(i32)
    key: str = field(string)
    endpoint: str = field(string)


@struct
class RemoteMirror:
    """A topic mirrored to a home cluster."""

    home_cluster: str = field(string)
    home_spus: tuple[SpuMirror, ...] = field(vector(SpuMirror))
    target: bool = field(boolean, since=18, default=False)


@struct
class HomeMirror:
    """A topic mirrored from remote clusters."""

    partitions: tuple[HomePartition, ...] = field(vector(HomePartition))
    source: bool = field(boolean, since=18, default=False)


@struct
class MirrorTopic:
    """Replicas that mirror another cluster's."""

    config: RemoteMirror | HomeMirror = field(tagged({0: RemoteMirror, 1: HomeMirror}))


@struct
class CleanupPolicy:
    """How long records are kept, in seconds."""

    time_in_seconds: int = field(u32)


_cleanup_policy = optional(tagged({0: CleanupPolicy}))


@struct
class TopicStorage:
    """Limits of a partition's log, in bytes."""

    segment_size: int | None = field(optional(u32), default=None)
    max_partition_size: int | None = field(optional(u64), default=None)


@struct
class Deduplication:
    """Records seen within these bounds are dropped by the module ``uses``."""

    count: int = field(u64)
    age: Duration | None = field(optional(Duration), default=None)
    uses: str = field(string)
    with_params: dict[str, str] = field(mapping(string, string), default={})


_compression = enumeration(TopicCompression)


@struct
class TopicSpec:
    """What a topic is to be."""

    replicas: Assigned | Computed | MirrorTopic = field(
        tagged({0: Assigned, 1: Computed, 2: MirrorTopic})
    )
    cleanup_policy: CleanupPolicy | None = field(_cleanup_policy, since=3, default=None)
    storage: TopicStorage | None = field(optional(TopicStorage), since=4, default=None)
    compression_type: TopicCompression = field(_compression, since=6, default=TopicCompression.ANY)
    deduplication: Deduplication | None = field(optional(Deduplication), since=12, default=None)
    system: bool = field(boolean, since=13, default=False)


class TopicResolution(enum.IntEnum):
    """How far a topic has come."""

    INIT = 0
    PENDING = 1
    INSUFFICIENT_RESOURCES = 2
    INVALID_CONFIG = 3
    PROVISIONED = 4
    DELETING = 5


@struct
class TopicStatus:
    """What a topic is: its partitions' SPUs by number, the leader first."""

    resolution: TopicResolution = field(enumeration(TopicResolution), default=TopicResolution.INIT)
    replica_map: dict[int, tuple[int, ...]] = field(mapping(u32, vector(i32)), default={})
    mirror_map: dict[int, PartitionMirror] = field(
        mapping(u32, _partition_mirror), since=14, default={}
    )
    reason: str = field(string, default="")


@struct
class AddPartition:
    """So many partitions more."""

    count: int = field(u32)


@struct
class AddMirror:
    """One more remote cluster to mirror from."""

    remote_cluster: str = field(string)
    home_to_mirror: bool = field(boolean, default=False)


# Partitions


@struct
class PartitionSpec:
    """Who leads a partition and who else holds it; the rest is the topic's."""

    leader: int = field(i32)
    replicas: tuple[int, ...] = field(vector(i32))
    cleanup_policy: CleanupPolicy | None = field(_cleanup_policy, since=4, default=None)
    storage: TopicStorage | None = field(optional(TopicStorage), since=4, default=None)
    compression_type: TopicCompression = field(_compression, since=6, default=TopicCompression.ANY)
    deduplication: Deduplication | None = field(optional(Deduplication), since=12, default=None)
    system: bool = field(boolean, since=13, default=False)
    mirror: PartitionMirror | None = field(optional(_partition_mirror), since=14, default=None)


class PartitionResolution(enum.IntEnum):
    """Whether a partition can be used; readable: ONLINE and OUT_OF_STORAGE."""

    OFFLINE = 0
    ONLINE = 1
    LEADER_OFFLINE = 2
    ELECTION_LEADER_FOUND = 3
    OUT_OF_STORAGE = 4


@struct
class ReplicaStatus:
    """What an SPU has said of its replica; -1 before it has."""

    spu: int = field(i32, default=-1)
    hw: int = field(i64, default=-1)
    leo: int = field(i64, default=-1)


@struct
class PartitionStatus:
    """What a partition is; ``base_offset`` is 0 on the wire whatever the log's start."""

    resolution: PartitionResolution = field(
        enumeration(PartitionResolution), default=PartitionResolution.OFFLINE
    )
    leader: ReplicaStatus = field(ReplicaStatus, default=ReplicaStatus())
    lsr: int = field(u32, default=0)
    replicas: tuple[ReplicaStatus, ...] = field(vector(ReplicaStatus), default=())
    size: int = field(i64, since=5, default=-2)
    is_being_deleted: bool = field(boolean, default=False)
    base_offset: int = field(i64, since=16, default=0)


# SPUs and their groups


class SpuType(enum.IntEnum):
    """Who starts an SPU: the SC, or somebody else."""

    MANAGED = 0
    CUSTOM = 1


class Encryption(enum.IntEnum):
    """Not used by anybody: an SPU that speaks TLS only says PLAINTEXT."""

    PLAINTEXT = 0
    SSL = 1


_encryption = enumeration(Encryption)


@struct
class IngressAddr:
    """One address of a public endpoint; the host name counts first."""

    hostname: str | None = field(optional(string), default=None)
    ip: str | None = field(optional(string), default=None)


@struct
class IngressPort:
    """Where clients reach an SPU: the first address, and the port."""

    port: int = field(u16)
    ingress: tuple[IngressAddr, ...] = field(vector(IngressAddr))
    encryption: Encryption = field(_encryption, default=Encryption.PLAINTEXT)

    @property
    def host(self) -> str:
        """That of the first address; empty if there is none."""
        first = self.ingress[0] if self.ingress else IngressAddr()
        return first.hostname or first.ip or ""


@struct
class Endpoint:
    """A host and a port."""

    port: int = field(u16)
    host: str = field(string)
    encryption: Encryption = field(_encryption, default=Encryption.PLAINTEXT)


@struct
class SpuSpec:
    """An SPU of any type."""

    id: int = field(i32)
    spu_type: SpuType = field(enumeration(SpuType), default=SpuType.CUSTOM)
    public_endpoint: IngressPort = field(IngressPort)
    private_endpoint: Endpoint = field(Endpoint)
    rack: str | None = field(optional(string), default=None)
    public_endpoint_local: Endpoint | None = field(optional(Endpoint), since=1, default=None)


class SpuResolution(enum.IntEnum):
    """Whether an SPU is there."""

    ONLINE = 0
    OFFLINE = 1
    INIT = 2


@struct
class SpuStatus:
    """Whether an SPU is there."""

    resolution: SpuResolution = field(enumeration(SpuResolution), default=SpuResolution.INIT)


@struct
class CustomSpuSpec:
    """An SPU that somebody else starts."""

    id: int = field(i32)
    public_endpoint: IngressPort = field(IngressPort)
    private_endpoint: Endpoint = field(Endpoint)
    rack: str | None = field(optional(string), default=None)
    public_endpoint_local: Endpoint | None = field(optional(Endpoint), default=None)


@struct
class ReplicationConfig:
    """How many replicas must be in step."""

    in_sync_replica_min: int | None = field(optional(u16), default=None)


@struct
class SpuStorage:
    """Where the SPUs of a group keep their logs."""

    log_dir: str | None = field(optional(string), default=None)
    size: str | None = field(optional(string), default=None)


@struct
class EnvVar:
    """One variable of the environment."""

    name: str = field(string)
    value: str = field(string)


@struct
class SpuConfig:
    """Settings of the SPUs of a group."""

    rack: str | None = field(optional(string), default=None)
    replication: ReplicationConfig | None = field(optional(ReplicationConfig), default=None)
    storage: SpuStorage | None = field(optional(SpuStorage), default=None)
    env: tuple[EnvVar, ...] = field(vector(EnvVar), default=())


@struct
class SpuGroupSpec:
    """So many SPUs, with ids from ``min_id``."""

    replicas: int = field(u16)
    min_id: int = field(i32, default=0)
    spu_config: SpuConfig = field(SpuConfig, default=SpuConfig())


class SpuGroupResolution(enum.IntEnum):
    """How far a group has come."""

    INIT = 0
    INVALID = 1
    RESERVED = 2


@struct
class SpuGroupStatus:
    """How far a group has come, and why no farther."""

    resolution: SpuGroupResolution = field(
        enumeration(SpuGroupResolution), default=SpuGroupResolution.INIT
    )
    reason: str | None = field(optional(string), default=None)


# SmartModules


class WasmFormat(enum.IntEnum):
    """How a module is written."""

    BINARY = 0
    TEXT = 1


@struct
class Wasm:
    """The bytes of a module: by convention gzip of its WASM."""

    format: WasmFormat = field(enumeration(WasmFormat), default=WasmFormat.BINARY)
    payload: bytes = field(blob)


class Visibility(enum.IntEnum):
    """Who may see a package."""

    PRIVATE = 0
    PUBLIC = 1


@struct
class Package:
    """The package a module came in; its full name is ``group/name@version``."""

    name: str = field(string)
    group: str = field(string)
    version: str = field(semver)
    api_version: str = field(semver, default="0.1.0")
    description: str | None = field(optional(string), default=None)
    license: str | None = field(optional(string), default=None)
    visibility: Visibility = field(enumeration(Visibility), since=19, default=Visibility.PRIVATE)
    repository: str | None = field(optional(string), default=None)


@struct
class Param:
    """One parameter that a module takes."""

    description: str | None = field(optional(string), default=None)
    optional: bool = field(boolean, default=False)


@struct
class PackageMeta:
    """A module's package and parameters."""

    package: Package = field(Package)
    params: dict[str, Param] = field(mapping(string, Param), default={})


@struct
class WasmSummary:
    """The length of a module, in place of its bytes."""

    wasm_length: int = field(u32)


class SmartModuleInput(enum.IntEnum):
    """What a module of old was said to take."""

    STREAM = 0
    EXTERNAL = 1


class SmartModuleOutput(enum.IntEnum):
    """What a module of old was said to make."""

    STREAM = 0
    EXTERNAL = 1
    TABLE = 2


class SourceLanguage(enum.IntEnum):
    """What a module of old was written in."""

    RUST = 0


@struct
class SourceCode:
    """What a module of old was made from."""

    language: SourceLanguage = field(enumeration(SourceLanguage), default=SourceLanguage.RUST)
    payload: str = field(string)


@struct
class SmartModuleSpec:
    """A module. In a summary its bytes are left out and their length is told."""

    input_kind: SmartModuleInput = field(
        enumeration(SmartModuleInput), until=9, default=SmartModuleInput.STREAM
    )
    output_kind: SmartModuleOutput = field(
        enumeration(SmartModuleOutput), until=9, default=SmartModuleOutput.STREAM
    )
    source_code: SourceCode | None = field(optional(SourceCode), until=9, default=None)
    meta: PackageMeta | None = field(optional(PackageMeta), since=10, default=None)
    summary: WasmSummary | None = field(optional(WasmSummary), since=10, default=None)
    wasm: Wasm = field(Wasm)
    parameters: tuple[str, ...] | None = field(optional(vector(string)), until=9, default=None)


@struct
class SmartModuleStatus:
    """Nothing at all: no bytes."""


# Table formats


class InputFormat(enum.IntEnum):
    """What the values are."""

    JSON = 0


class Alignment(enum.IntEnum):
    """Where a column's text stands."""

    LEFT = 0
    RIGHT = 1
    CENTER = 2


class Color(enum.IntEnum):
    """The colours a header may have."""

    BLUE = 0
    YELLOW = 1
    GREEN = 2


@struct
class TableColumn:
    """One column of a table format."""

    header_label: str | None = field(optional(string), default=None)
    width: str | None = field(optional(string), default=None)
    alignment: Alignment | None = field(optional(Alignment), default=None)
    key_path: str = field(string)
    format: str | None = field(optional(string), default=None)
    display: bool | None = field(optional(boolean), default=None)
    primary_key: bool | None = field(optional(boolean), default=None)
    header_bg_color: Color | None = field(optional(Color), default=None)
    header_text_color: Color | None = field(optional(Color), default=None)


@struct
class TableFormatSpec:
    """How records are shown as a table."""

    name: str = field(string)
    input_format: InputFormat | None = field(optional(InputFormat), default=None)
    columns: tuple[TableColumn, ...] | None = field(optional(vector(TableColumn)), default=None)
    smartmodule: str | None = field(optional(string), default=None)


class TableFormatResolution(enum.IntEnum):
    """How far a table format has come."""

    INIT = 0
    INVALID = 1
    RUNNING = 2
    PENDING = 3
    FAILED = 4


@struct
class TableFormatStatus:
    """How far a table format has come, and why no farther."""

    resolution: TableFormatResolution = field(
        enumeration(TableFormatResolution), default=TableFormatResolution.INIT
    )
    reason: str | None = field(optional(string), default=None)


# Mirrors


@struct
class ClientTls:
    """What a cluster shows to its home: PEM texts."""

    domain: str = field(string)
    ca_cert: str = field(string)
    client_cert: str = field(string)
    client_key: str = field(string)

    def __repr__(self) -> str:
        return f"<ClientTls for {self.domain}>"


@struct
class RemoteCluster:
    """A cluster that mirrors to this one."""

    id: str = field(string)


@struct
class HomeCluster:
    """The cluster that this one mirrors to."""

    id: str = field(string)
    remote_id: str = field(string)
    public_endpoint: str = field(string)
    client_tls: ClientTls | None = field(optional(ClientTls), default=None)


MirrorSpec = RemoteCluster | HomeCluster


class MirrorConnection(enum.IntEnum):
    """Whether the other cluster is connected."""

    OFFLINE = 0
    ONLINE = 1


@struct
class PairWaiting:
    """Not paired yet."""


@struct
class PairSuccessful:
    """Paired."""


@struct
class PairFailed:
    """Not to be paired."""


@struct
class PairDisabled:
    """Not meant to be paired."""


@struct
class PairUnauthorized:
    """Refused."""


@struct
class PairDetailFailure:
    """Not to be paired, and why."""

    reason: str = field(string)


PairStatus = (
    PairWaiting | PairSuccessful | PairFailed | PairDisabled | PairUnauthorized | PairDetailFailure
)
_pair_status = tagged(
    {
        0: PairWaiting,
        1: PairSuccessful,
        2: PairFailed,
        3: PairDisabled,
        4: PairUnauthorized,
        5: PairDetailFailure,
    }
)


@struct
class MirrorStatus:
    """How things stand with a mirror; ``last_seen`` in Unix milliseconds, 0 for never."""

    connection_status: MirrorConnection = field(
        enumeration(MirrorConnection), default=MirrorConnection.OFFLINE
    )
    pairing_sc: PairStatus = field(_pair_status, default=PairWaiting())
    pairing_spu: PairStatus = field(_pair_status, default=PairWaiting())
    last_seen: int = field(u64, default=0)


# Kinds of objects


class _CustomSpuKeyType:
    """A word that says what follows: ``Name`` and a string, or ``Id`` and a number."""

    def read(self, reader: Reader) -> str | int:
        start = reader.pos
        what = string.read(reader)
        if what == "Name":
            return string.read(reader)
        if what == "Id":
            return i32.read(reader)
        return reader.fail(f"{what!r} is neither Name nor Id", start)

    def write(self, writer: Writer, value: str | int) -> None:
        if isinstance(value, str):
            string.write(writer, "Name")
            string.write(writer, value)
        else:
            string.write(writer, "Id")
            i32.write(writer, value)

    def min_size(self, version: int) -> int:
        return 2


@attrs.frozen(eq=False)
class Kind:
    """A kind of object, by its label, and the wire types of its parts."""

    label: str
    spec: WireType[Any] = attrs.field(repr=False)
    status: WireType[Any] = attrs.field(repr=False)
    key: WireType[Any] = attrs.field(repr=False, default=string)
    action: WireType[Any] | None = attrs.field(repr=False, default=None)


TOPIC = Kind(
    "Topic",
    wire_type(TopicSpec),
    wire_type(TopicStatus),
    action=tagged({0: AddPartition, 1: AddMirror}),
)
PARTITION = Kind("Partition", wire_type(PartitionSpec), wire_type(PartitionStatus))
SPU = Kind("SPU", wire_type(SpuSpec), wire_type(SpuStatus))
CUSTOM_SPU = Kind(
    "CustomSpu",
    wire_type(CustomSpuSpec),
    wire_type(SpuStatus),
    key=_CustomSpuKeyType(),
    action=string,
)
SPU_GROUP = Kind("SpuGroup", wire_type(SpuGroupSpec), wire_type(SpuGroupStatus), action=string)
SMART_MODULE = Kind(
    "SmartModule", wire_type(SmartModuleSpec), wire_type(SmartModuleStatus), action=string
)
TABLE_FORMAT = Kind(
    "TableFormat", wire_type(TableFormatSpec), wire_type(TableFormatStatus), action=string
)
MIRROR = Kind("Mirror", tagged({0: RemoteCluster, 1: HomeCluster}), wire_type(MirrorStatus))

KINDS: Mapping[str, Kind] = {
    kind.label: kind
    for kind in (
        TOPIC,
        PARTITION,
        SPU,
        CUSTOM_SPU,
        SPU_GROUP,
        SMART_MODULE,
        TABLE_FORMAT,
        MIRROR,
    )
}
"""The kinds by label."""

CLASSIC_KINDS: Mapping[int, Kind] = {
    0: TOPIC,
    1: CUSTOM_SPU,
    2: SPU_GROUP,
    4: SMART_MODULE,
    5: TABLE_FORMAT,
    6: MIRROR,
}
"""The kinds by what a Create of the classic form calls them."""


# Envelopes


class BodyError(ProtocolError):
    """The body inside an envelope does not decode, though the envelope does.

    An SC treats the two differently: this one can leave a connection half alive.
    """


class UnknownKindError(BodyError):
    """An envelope's label is no kind of object, or none that the call is for.

    :ivar label: the label.
    """

    def __init__(self, label: str, position: int) -> None:
        super().__init__(f"{label!r} is no kind of object here", field="kind", position=position)
        self.label = label


class _ByKind:
    """A part whose wire type is that of the envelope's kind."""

    def __init__(self, part: str) -> None:
        self._part = part

    def _type(self, kind: Kind | None) -> WireType[Any]:
        found: WireType[Any] | None = getattr(kind, self._part, None)
        if found is None:
            label = kind.label if kind is not None else "no kind"
            raise UsageError(f"{label} has no {self._part}")
        return found

    def read(self, reader: Reader) -> Any:
        return self._type(reader.kind).read(reader)

    def write(self, writer: Writer, value: Any) -> None:
        self._type(writer.kind).write(writer, value)

    def min_size(self, version: int) -> int:
        return 0


class _Created(_ByKind):
    """What is to be created; in the classic form a number before it says what it is."""

    def read(self, reader: Reader) -> Any:
        if reader.version <= LAST_CLASSIC:
            start = reader.take(1)
            tag = reader.data[start]
            reader.kind = CLASSIC_KINDS.get(tag)
            if reader.kind is None:
                reader.fail(f"an unknown tag, {tag}", start)
            reader.mark("tag", start, reader.kind.label)
        return super().read(reader)

    def write(self, writer: Writer, value: Any) -> None:
        if writer.version <= LAST_CLASSIC:
            tags = [tag for tag, kind in CLASSIC_KINDS.items() if kind is writer.kind]
            if not tags:
                raise UsageError(f"{writer.kind} can not be created at version {writer.version}")
            writer.parts.append(u8.pack(tags[0]))
        super().write(writer, value)


class _Envelope:
    """A label, the length of a body, the body; bytes left over inside it are ignored.

    In the classic form the body is what remains, and that of a Create tells the kind by itself. An
    SC reads Update in the dynamic form only, whatever the version.
    """

    def __init__(self, cls: type, inner: StructType) -> None:
        self._cls = cls
        self._inner = inner
        names = [one.name for one in inner.fields]
        self._with_action = "action" in names
        self._tells_kind = any(isinstance(one.type, _Created) for one in inner.fields)
        self.needs_fields = inner.needs_fields

    def _is_classic(self, version: int) -> bool:
        return version <= LAST_CLASSIC and not self._with_action

    def _fields(self, reader: Reader) -> dict[str, Any]:
        return {
            name: reader.read(name, type_)
            for name, type_ in self._inner.fields_at(reader.version)
            if name != "kind"
        }

    def _read_classic(self, reader: Reader) -> Any:
        if not self._tells_kind:
            begin = reader.pos
            label = reader.read("kind", string)
            reader.kind = KINDS.get(label)
            if reader.kind is None:
                raise UnknownKindError(label, begin)
        values = self._fields(reader)
        return self._cls(kind=reader.kind, **values)

    def read(self, reader: Reader) -> Any:
        if self._is_classic(reader.version):
            return self._read_classic(reader)
        begin = reader.pos
        label = reader.read("kind", string)
        size = reader.read("body_length", u32)
        try:
            start = reader.take(size)
        except ProtocolError as error:
            raise error.within("body_length") from None
        kind = KINDS.get(label)
        if kind is None or (self._with_action and kind.action is None):
            raise UnknownKindError(label, begin)
        body = Reader(reader.data, reader.version, start, reader.pos)
        body.kind = kind
        body.spans = reader.spans
        try:
            values = self._fields(body)
        except ProtocolError as error:
            raise BodyError(error.reason, field=error.field, position=error.position) from error
        return self._cls(kind=kind, **values)

    def write(self, writer: Writer, value: Any) -> None:
        body = Writer(writer.version, value.kind)
        self._inner.write(body, value)
        if not self._is_classic(writer.version):
            string.write(writer, value.kind.label)
            blob.write(writer, body.getvalue())
            return
        if not self._tells_kind:
            string.write(writer, value.kind.label)
        writer.parts += body.parts

    def min_size(self, version: int) -> int:
        return 2


class _KindType:
    """Stands in the envelope, not in the body: no bytes here."""

    def read(self, reader: Reader) -> Kind | None:
        return reader.kind

    def write(self, writer: Writer, value: Kind) -> None:
        pass

    def min_size(self, version: int) -> int:
        return 0


_kind = _KindType()


def _envelope(cls: Any) -> Any:
    """Wrap a declared message's fields in the envelope of its ``kind``."""
    cls.__wire__ = _Envelope(cls, cls.__wire__)
    return cls


@struct
class Metadata:
    """An object: its name, what it is to be, and what it is."""

    name: str = field(string)
    spec: Any = field(_ByKind("spec"))
    status: Any = field(_ByKind("status"))


def _same_kind(message: ListResponse | WatchResponse, kind: Kind) -> None:
    if message.kind is not kind:
        raise ProtocolError(
            f"{message.kind.label} objects where {kind.label} ones were asked for",
            message=type(message).__name__,
            field="kind",
        )


@struct
class StatusResponse(Message):
    """The answer to Create, Delete and Update; not in an envelope."""

    name: str = field(string)
    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    error_message: str | None = field(optional(string), default=None)


@api(1001, server="SC", versions=VERSIONS)
@_envelope
@struct
class CreateRequest(Request[StatusResponse]):
    """Create an object; ``timeout`` in milliseconds, read for SPU groups only."""

    kind: Kind = field(_kind)
    name: str = field(string)
    dry_run: bool = field(boolean, default=False)
    timeout: int | None = field(optional(u32), since=7, default=None)
    spec: Any = field(_Created("spec"))


@api(1002, server="SC", versions=VERSIONS)
@_envelope
@struct
class DeleteRequest(Request[StatusResponse]):
    """Delete an object by its name, a custom SPU by name or id; system objects by force."""

    kind: Kind = field(_kind)
    key: Any = field(_ByKind("key"))
    force: bool = field(boolean, since=13, default=False)


@_envelope
@struct
class ListResponse(Message):
    """Objects, in any order."""

    kind: Kind = field(_kind)
    objects: tuple[Metadata, ...] = field(vector(Metadata))

    def of(self, kind: Kind) -> Self:
        """Itself, if it tells of the objects asked for.

        :raises ProtocolError: they are of another kind.
        """
        _same_kind(self, kind)
        return self


@api(1003, server="SC", versions=VERSIONS, unbounded=True)
@_envelope
@struct
class ListRequest(Request[ListResponse]):
    """Ask for objects whose names contain one of the filters.

    ``summary`` leaves out the bytes of SmartModules; ``system`` asks for system objects *instead*.
    """

    kind: Kind = field(_kind)
    filters: tuple[str, ...] = field(vector(string), default=())
    summary: bool = field(boolean, since=10, default=False)
    system: bool = field(boolean, since=13, default=False)


class Change(enum.IntEnum):
    """What happened to an object: it is as told, or it is gone."""

    UPDATE = 0
    DELETE = 1


@struct
class ChangeMessage:
    """A change of one object."""

    header: Change = field(enumeration(Change))
    content: Metadata = field(Metadata)


@_envelope
@struct
class WatchResponse(Message):
    """A change of the objects: ``all`` of them anew, or ``changes``, or neither.

    Within ``changes`` deletes come first in time though last in place, so apply them first.
    """

    kind: Kind = field(_kind)
    epoch: int = field(i64)
    changes: tuple[ChangeMessage, ...] = field(vector(ChangeMessage), default=())
    all: tuple[Metadata, ...] = field(vector(Metadata), default=())

    def of(self, kind: Kind) -> Self:
        """Itself, if it tells of the objects asked for.

        :raises ProtocolError: they are of another kind.
        """
        _same_kind(self, kind)
        return self


@api(1004, server="SC", versions=VERSIONS, streams=True, unbounded=True)
@_envelope
@struct
class WatchRequest(Request[WatchResponse]):
    """Be told of all objects of a kind, and of every change; the epoch is ignored."""

    kind: Kind = field(_kind)
    epoch: int = field(i64, default=0)
    summary: bool = field(boolean, since=10, default=False)


@struct
class MirrorTopicInfo:
    """A topic assigned to a remote cluster, and the SPU that leads it."""

    key: str = field(string)
    spec: TopicSpec = field(TopicSpec)
    spu_id: int = field(i32)
    spu_key: str = field(string)
    spu_endpoint: str = field(string)


@struct
class MirroringResponse(Message):
    """The topics assigned to a remote cluster; pushed again and again."""

    name: str = field(string)
    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    error_message: str | None = field(optional(string), default=None)
    topics: tuple[MirrorTopicInfo, ...] = field(vector(MirrorTopicInfo))


class _TextInBody:
    """The length of a body, and a text in it; bytes left over inside it are ignored."""

    def read(self, reader: Reader) -> str:
        size = reader.read("body_length", u32)
        start = reader.take(size)
        body = Reader(reader.data, reader.version, start, reader.pos)
        body.spans = reader.spans
        return body.read("text", string)

    def write(self, writer: Writer, value: str) -> None:
        body = Writer(writer.version)
        string.write(body, value)
        blob.write(writer, body.getvalue())

    def min_size(self, version: int) -> int:
        return 4


@api(1005, server="SC", versions=(14, 19), streams=True)
@struct
class MirroringRequest(Request[MirroringResponse]):
    """Sent by the SC of a remote cluster; its label is always ``MirroringConnect``."""

    label: str = field(string, default="MirroringConnect")
    remote_id: str = field(_TextInBody())


@api(1006, server="SC", versions=VERSIONS)
@_envelope
@struct
class UpdateRequest(Request[StatusResponse]):
    """Change a topic: more partitions, or one more mirror.

    Other kinds take a text, and an SC answers that it does not know them.
    """

    kind: Kind = field(_kind)
    key: Any = field(_ByKind("key"))
    action: Any = field(_ByKind("action"))
