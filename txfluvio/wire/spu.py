"""Every message of an SPU's public port, versions 23 to 25 and the older gates they still carry.

The calls that move records (Produce, Fetch, StreamFetch), the acknowledgement that drives a
stream (UpdateOffsets, whose name misleads: it stores nothing), the ends of a partition's log
(FetchOffsets), and the three calls on stored consumer offsets. Layouts follow
``fluvio-spu-schema/src/{produce,fetch,server}/``; record sets are in :mod:`txfluvio.wire.records`.
"""

from __future__ import annotations

import enum
from typing import Self

from .codes import NO_ERROR, ErrorCode, ReplicaKey, error_code
from .records import RecordSet
from .schema import (
    Message,
    Request,
    api,
    blob,
    enumeration,
    field,
    i16,
    i32,
    i64,
    mapping,
    optional,
    record_set,
    string,
    struct,
    tagged,
    u32,
    u64,
    vector,
)

ACKS_LEADER = 1
"""Produce: answer once the leader has appended (any value of 0 or more means the same)."""

ACKS_ALL = -1
"""Produce: answer once every replica has the records (any negative value means the same)."""

_NANOSECONDS = 1_000_000_000


class IsolationLevel(enum.IntEnum):
    """How far a reader sees, in Fetch and StreamFetch (Produce numbers it differently)."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


# SmartModules, as an invocation in Produce and StreamFetch


@struct
class Predefined:
    """A module known to the cluster: ``name``, ``group/name`` or ``group/name@version``."""

    name: str = field(string)


@struct
class AdHoc:
    """A module sent along, as gzip of its WASM."""

    payload: bytes = field(blob)


@struct
class NoContext:
    """A generic module without a context."""


@struct
class AggregateContext:
    """The accumulator that an aggregate starts from."""

    accumulator: bytes = field(blob)


@struct
class JoinContext:
    """Historic; only its bytes are known."""

    topic: str = field(string)


@struct
class JoinStreamContext:
    """Historic; only its bytes are known."""

    topic: str = field(string)
    derivedstream: str = field(string)


@struct
class FilterKind:
    """A module that drops records."""


@struct
class MapKind:
    """A module that changes records."""


@struct
class ArrayMapKind:
    """A module that makes several records of one."""


@struct
class AggregateKind:
    """A module that folds records into an accumulator."""

    accumulator: bytes = field(blob)


@struct
class FilterMapKind:
    """A module that drops or changes records."""


@struct
class JoinKind:
    """Historic; only its bytes are known."""

    topic: str = field(string)


@struct
class JoinStreamKind:
    """Historic; only its bytes are known."""

    topic: str = field(string)
    derivedstream: str = field(string)


_CONTEXTS: dict[int, type] = {
    0: NoContext,
    1: AggregateContext,
    2: JoinContext,
    3: JoinStreamContext,
}


@struct
class GenericKind:
    """Whatever the module exports: what every client of today sends."""

    context: NoContext | AggregateContext | JoinContext | JoinStreamContext = field(
        tagged(_CONTEXTS), default=NoContext()
    )


_KINDS: dict[int, type] = {
    0: FilterKind,
    1: MapKind,
    2: ArrayMapKind,
    3: AggregateKind,
    4: FilterMapKind,
    5: JoinKind,
    6: JoinStreamKind,
    7: GenericKind,
}

SmartModuleKind = (
    FilterKind
    | MapKind
    | ArrayMapKind
    | AggregateKind
    | FilterMapKind
    | JoinKind
    | JoinStreamKind
    | GenericKind
)


@struct
class Duration:
    """A length of time."""

    seconds: int = field(u64)
    nanoseconds: int = field(u32, default=0)

    @classmethod
    def of(cls, seconds: float) -> Self:
        """So many seconds, to the nanosecond."""
        whole, rest = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
        return cls(seconds=whole, nanoseconds=rest)

    @property
    def total(self) -> float:
        """All of it in seconds."""
        return self.seconds + self.nanoseconds / _NANOSECONDS


@struct
class Lookback:
    """The records a module is shown before it starts: the last so many, or so young."""

    last: int = field(u64, default=0)
    age: Duration | None = field(optional(Duration), since=21, default=None)


@struct
class ExtraParams:
    """A module's parameters by name, and its look back."""

    params: dict[str, str] = field(mapping(string, string), default={})
    lookback: Lookback | None = field(optional(Lookback), since=20, default=None)


@struct
class SmartModuleInvocation:
    """One module of a chain, as a request names it."""

    wasm: Predefined | AdHoc = field(tagged({0: Predefined, 1: AdHoc}))
    kind: SmartModuleKind = field(tagged(_KINDS), default=GenericKind())
    params: ExtraParams = field(ExtraParams, default=ExtraParams())
    name: str | None = field(optional(string), since=25, default=None)


# Produce


@struct
class PartitionProduceData:
    """The batches for one partition."""

    partition_index: int = field(u32)
    records: RecordSet = field(record_set)


@struct
class TopicProduceData:
    """The batches for one topic."""

    name: str = field(string)
    partitions: tuple[PartitionProduceData, ...] = field(vector(PartitionProduceData))


@struct
class PartitionProduceResponse:
    """What became of one entry; entries answer those of the request by position.

    ``base_offset`` is 0 in every error entry and where nothing was written.
    """

    partition_index: int = field(u32)
    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    base_offset: int = field(i64, default=0)
    log_append_time_ms: int = field(i64, since=2, default=0)
    log_start_offset: int = field(i64, since=5, default=0)


@struct
class TopicProduceResponse:
    """What became of one topic's entries."""

    name: str = field(string)
    partitions: tuple[PartitionProduceResponse, ...] = field(vector(PartitionProduceResponse))


@struct
class ProduceResponse(Message):
    """One reply to every Produce, whatever its acks."""

    responses: tuple[TopicProduceResponse, ...] = field(vector(TopicProduceResponse))
    throttle_time_ms: int = field(i32, since=1, default=0)


@api(0, server="SPU", versions=(0, 25))
@struct
class ProduceRequest(Request[ProduceResponse]):
    """Append batches; the layout has no version gates of its own.

    ``timeout_ms`` bounds the wait for replicas; a negative one makes the SPU hang up.
    """

    transactional_id: str | None = field(optional(string), default=None)
    isolation: int = field(i16, default=ACKS_LEADER)
    timeout_ms: int = field(i32, default=1500)
    topics: tuple[TopicProduceData, ...] = field(vector(TopicProduceData))
    smartmodules: tuple[SmartModuleInvocation, ...] = field(
        vector(SmartModuleInvocation), default=()
    )


# Fetch and StreamFetch


@struct
class AbortedTransaction:
    """Never present in practice."""

    producer_id: int = field(i64)
    first_offset: int = field(i64)


@struct
class PartitionResponse:
    """Records of one partition.

    ``high_watermark`` is the committed end whatever the isolation; ``next_filter_offset`` is 0
    unless SmartModules ran. The record set may end inside a batch.
    """

    partition_index: int = field(u32)
    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    high_watermark: int = field(i64, default=0)
    next_filter_offset: int = field(i64, since=11, default=0)
    log_start_offset: int = field(i64, default=0)
    aborted: tuple[AbortedTransaction, ...] | None = field(
        optional(vector(AbortedTransaction)), default=None
    )
    records: RecordSet = field(record_set, default=RecordSet.EMPTY)


@struct
class TopicFetchResponse:
    """Records of one topic."""

    name: str = field(string)
    partitions: tuple[PartitionResponse, ...] = field(vector(PartitionResponse))


@struct
class FetchResponse(Message):
    """The answer to Fetch, given at once, empty or not."""

    throttle_time_ms: int = field(i32, default=0)
    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    session_id: int = field(i32, default=0)
    topics: tuple[TopicFetchResponse, ...] = field(vector(TopicFetchResponse))


@struct
class FetchPartition:
    """One partition to read; only its index and offset count."""

    partition_index: int = field(u32)
    current_leader_epoch: int = field(i32, since=9, default=-1)
    fetch_offset: int = field(i64)
    log_start_offset: int = field(i64, since=5, default=-1)
    max_bytes: int = field(i32, default=0)


@struct
class FetchTopic:
    """One topic to read."""

    name: str = field(string)
    fetch_partitions: tuple[FetchPartition, ...] = field(vector(FetchPartition))


@struct
class ForgottenTopic:
    """Ignored by the SPU."""

    name: str = field(string, since=7, default="")
    forgotten_partition_indexes: tuple[int, ...] = field(vector(i32), since=7, default=())


@api(1, server="SPU", versions=(0, 25))
@struct
class FetchRequest(Request[FetchResponse]):
    """Read once; ``max_bytes`` (of the request) bounds each partition, cutting anywhere."""

    max_wait: int = field(i32, default=0)
    min_bytes: int = field(i32, default=0)
    max_bytes: int = field(i32, since=3, default=0)
    isolation_level: IsolationLevel = field(
        enumeration(IsolationLevel), since=4, default=IsolationLevel.READ_UNCOMMITTED
    )
    topics: tuple[FetchTopic, ...] = field(vector(FetchTopic))
    forgotten: tuple[ForgottenTopic, ...] = field(vector(ForgottenTopic), since=7, default=())


@struct
class StreamFetchResponse(Message):
    """One push of a stream; a stream has one unacknowledged push at the most."""

    topic: str = field(string)
    stream_id: int = field(u32)
    partition: PartitionResponse = field(PartitionResponse)


@struct
class DerivedStreamInvocation:
    """Legacy; the SPU ignores it."""

    stream: str = field(string)
    params: ExtraParams = field(ExtraParams)


@api(1003, server="SPU", versions=(23, 25), streams=True)
@struct
class StreamFetchRequest(Request[StreamFetchResponse]):
    """Open a stream at an absolute offset; nothing comes while there is nothing to send.

    ``consumer_id`` allows UpdateConsumerOffset on this stream.
    """

    topic: str = field(string)
    partition: int = field(u32)
    fetch_offset: int = field(i64)
    max_bytes: int = field(i32)
    isolation: IsolationLevel = field(
        enumeration(IsolationLevel), default=IsolationLevel.READ_UNCOMMITTED
    )
    wasm_module: bytes = field(blob, since=11, until=18, default=b"")
    smartmodule: SmartModuleInvocation | None = field(
        optional(SmartModuleInvocation), since=16, until=18, default=None
    )
    derivedstream: DerivedStreamInvocation | None = field(
        optional(DerivedStreamInvocation), since=16, until=18, default=None
    )
    smartmodules: tuple[SmartModuleInvocation, ...] = field(
        vector(SmartModuleInvocation), since=18, default=()
    )
    consumer_id: str | None = field(optional(string), since=23, default=None)


@struct
class OffsetUpdate:
    """Send from this offset on, to the stream of this id."""

    offset: int = field(i64)
    session_id: int = field(u32)


@struct
class OffsetUpdateStatus:
    """Whether the connection knows the stream."""

    session_id: int = field(u32)
    error: ErrorCode = field(error_code, default=NO_ERROR)


@struct
class UpdateOffsetsResponse(Message):
    """One status for each update, in order; it says nothing about the next push."""

    status: tuple[OffsetUpdateStatus, ...] = field(vector(OffsetUpdateStatus))


@api(1005, server="SPU", versions=(0, 0))
@struct
class UpdateOffsetsRequest(Request[UpdateOffsetsResponse]):
    """Acknowledge pushes: without it a stream sends nothing more, for ever."""

    offsets: tuple[OffsetUpdate, ...] = field(vector(OffsetUpdate))


# The ends of a log


@struct
class FetchOffsetPartitionResponse:
    """First offset stored, and the committed end (exclusive). Not led here: error 3001, zeros."""

    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    partition_index: int = field(u32)
    start_offset: int = field(i64)
    last_stable_offset: int = field(i64)


@struct
class FetchOffsetTopicResponse:
    """The ends of one topic's logs."""

    name: str = field(string)
    partitions: tuple[FetchOffsetPartitionResponse, ...] = field(
        vector(FetchOffsetPartitionResponse)
    )


@struct
class FetchOffsetsResponse(Message):
    """The ends of the logs asked for."""

    topics: tuple[FetchOffsetTopicResponse, ...] = field(vector(FetchOffsetTopicResponse))


@struct
class FetchOffsetPartition:
    """One partition whose ends are asked for."""

    partition_index: int = field(u32)


@struct
class FetchOffsetTopic:
    """One topic whose ends are asked for."""

    name: str = field(string)
    partitions: tuple[FetchOffsetPartition, ...] = field(vector(FetchOffsetPartition))


@api(1002, server="SPU", versions=(23, 25))
@struct
class FetchOffsetsRequest(Request[FetchOffsetsResponse]):
    """Ask for the ends of logs."""

    topics: tuple[FetchOffsetTopic, ...] = field(vector(FetchOffsetTopic))
    consumer_id: str | None = field(optional(string), since=23, until=23, default=None)


# Stored consumer offsets


@struct
class UpdateConsumerOffsetResponse(Message):
    """The offset stored, or 0 and why not."""

    offset: int = field(i64)
    error_code: ErrorCode = field(error_code, default=NO_ERROR)


@api(1006, server="SPU", versions=(23, 25))
@struct
class UpdateConsumerOffsetRequest(Request[UpdateConsumerOffsetResponse]):
    """Store the last offset processed, on the connection of the stream."""

    offset: int = field(i64)
    session_id: int = field(u32)


@struct
class DeleteConsumerOffsetResponse(Message):
    """Success also where nothing was stored."""

    error_code: ErrorCode = field(error_code, default=NO_ERROR)


@api(1007, server="SPU", versions=(23, 25))
@struct
class DeleteConsumerOffsetRequest(Request[DeleteConsumerOffsetResponse]):
    """Forget a stored offset; to the leader of ``consumer-offset/0``."""

    replica_id: ReplicaKey = field(ReplicaKey)
    consumer_id: str = field(string)


@struct
class ConsumerOffset:
    """A stored offset; ``modified_time`` is in Unix seconds."""

    consumer_id: str = field(string)
    replica_id: ReplicaKey = field(ReplicaKey)
    offset: int = field(i64)
    modified_time: int = field(u64)


@struct
class FetchConsumerOffsetsResponse(Message):
    """The stored offsets, in any order."""

    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    consumers: tuple[ConsumerOffset, ...] = field(vector(ConsumerOffset))


@struct
class ConsumerOffsetFilter:
    """Which stored offsets are wanted; both conditions must hold."""

    replica_id: ReplicaKey | None = field(optional(ReplicaKey), default=None)
    consumer_id: str | None = field(optional(string), default=None)


@api(1008, server="SPU", versions=(23, 25), unbounded=True)
@struct
class FetchConsumerOffsetsRequest(Request[FetchConsumerOffsetsResponse]):
    """Ask the leader of ``consumer-offset/0`` for stored offsets."""

    filter_opts: ConsumerOffsetFilter | None = field(
        optional(ConsumerOffsetFilter), since=24, default=None
    )


# Mirroring


@struct
class StartMirrorResponse(Message):
    """There is none: the connection changes its protocol."""


@api(2000, server="SPU", versions=(23, 25))
@struct
class StartMirrorRequest(Request[StartMirrorResponse]):
    """Sent by another cluster, never by a client."""

    remote_replica: str = field(string)
    remote_cluster_id: str = field(string)
