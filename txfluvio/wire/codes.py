"""Error codes, and what some of them carry.

An error code is a 16-bit number followed by the payload that the number stands for. The layout of
a payload never depends on the version (``fluvio-protocol/src/link/error_code.rs``). The list is
open: a number that is not in it is a value like any other, taken to have no payload.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from ..errors import BrokerError, broker_error
from .schema import (
    Reader,
    WireType,
    Writer,
    enumeration,
    field,
    i16,
    i64,
    optional,
    string,
    struct,
    u32,
    u64,
    var_bytes,
    wire_type,
)
from .straight import Direct, Source


class Code(enum.IntEnum):
    """The error codes known to this version, under the platform's own names."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    OTHER = 2
    NOT_LEADER_FOR_PARTITION = 6
    REQUEST_TIMED_OUT = 7
    MESSAGE_TOO_LARGE = 10
    PERMISSION_DENIED = 13
    STORAGE_ERROR = 56
    INVALID_CREATE_REQUEST = 60
    INVALID_DELETE_REQUEST = 61
    OFFSET_EVICTED = 71
    PARTITION_FULL = 72
    PARTITION_SHORT_CIRCUITED = 73
    SPU_ERROR = 1000
    SPU_REGISTRATION_FAILED = 1001
    SPU_OFFLINE = 1002
    SPU_NOT_FOUND = 1003
    SPU_ALREADY_EXISTS = 1004
    TOPIC_ERROR = 2000
    TOPIC_NOT_FOUND = 2001
    TOPIC_ALREADY_EXISTS = 2002
    TOPIC_PENDING_INITIALIZATION = 2003
    TOPIC_INVALID_CONFIGURATION = 2004
    TOPIC_NOT_PROVISIONED = 2005
    TOPIC_INVALID_NAME = 2006
    TOPIC_DELETED = 2007
    TOPIC_INVALID_REPLICA_TYPE = 2008
    PARTITION_PENDING_INITIALIZATION = 3000
    PARTITION_NOT_LEADER = 3001
    FETCH_SESSION_NOT_FOUND = 3002
    OFFSET_FLUSH_REQUEST_ERROR = 3003
    OFFSET_MANAGEMENT_DISABLED = 3004
    MAX_RETRY_REACHED = 3005
    MANAGED_CONNECTOR_ERROR = 5000
    MANAGED_CONNECTOR_NOT_FOUND = 5001
    MANAGED_CONNECTOR_ALREADY_EXISTS = 5002
    SMART_MODULE_ERROR = 6000
    SMART_MODULE_NOT_FOUND = 6001
    SMART_MODULE_INVALID = 6002
    SMART_MODULE_INVALID_EXPORTS = 6003
    SMART_MODULE_RUNTIME_ERROR = 6004
    SMART_MODULE_CHAIN_INIT_ERROR = 6005
    SMART_MODULE_INIT_ERROR = 6006
    SMART_MODULE_LOOKBACK_ERROR = 6007
    SMART_MODULE_MEMORY_LIMIT_EXCEEDED = 6008
    TABLE_FORMAT_ERROR = 7000
    TABLE_FORMAT_NOT_FOUND = 7001
    TABLE_FORMAT_ALREADY_EXISTS = 7002
    DERIVED_STREAM_OBJECT_ERROR = 8000
    DERIVED_STREAM_NOT_FOUND = 8001
    DERIVED_STREAM_JOIN_FETCH_ERROR = 8002
    DERIVED_STREAM_INVALID = 8003
    COMPRESSION_ERROR = 9000
    DEDUPLICATION_SMART_MODULE_NOT_LOADED = 10000
    DEDUPLICATION_SMART_MODULE_NAME_INVALID = 10001
    MIRROR_NOT_FOUND = 11001
    MIRROR_ALREADY_EXISTS = 11002
    MIRROR_PRODUCE_FROM_HOME = 11003
    MIRROR_DELETE_FROM_REMOTE = 11004
    MIRROR_INVALID_TYPE = 11005
    MIRROR_PRODUCE_FROM_REMOTE_NOT_ALLOWED = 11006
    SYSTEM_SPEC_DELETION_ATTEMPT = 12001
    SYSTEM_SPEC_UPDATING_ATTEMPT = 12002


class RequestKind(enum.IntEnum):
    """The kind of request that timed out."""

    PRODUCE = 0


class ModuleKind(enum.IntEnum):
    """The kind of SmartModule a run-time error came from; not the numbers of an invocation."""

    FILTER = 0
    MAP = 1
    ARRAY_MAP = 2
    AGGREGATE = 3
    FILTER_MAP = 4
    JOIN = 5
    GENERIC = 6


@struct
class TextDetail:
    """A text for humans."""

    text: str = field(string)


@struct
class NameDetail:
    """The name that was not found."""

    name: str = field(string)


@struct
class HintDetail:
    """What a module said of its own failure."""

    hint: str = field(string)


@struct
class TimedOutDetail:
    """How long the leader waited for its replicas."""

    timeout_ms: int = field(u64)
    kind: RequestKind = field(enumeration(RequestKind))


@struct
class EvictedDetail:
    """The offset asked for, and the first that is still stored."""

    offset: int = field(i64)
    next_available: int = field(i64)


@struct
class ReplicaKey:
    """A partition by its topic's name and its number."""

    topic: str = field(string)
    partition: int = field(u32)


@struct
class PartitionFullDetail:
    """The partition whose disk is full."""

    replica_key: ReplicaKey = field(ReplicaKey)


@struct
class ModuleInvalidDetail:
    """Why a module's bytes can not be used."""

    error: str = field(string)
    name: str | None = field(optional(string))


@struct
class ModuleExportsDetail:
    """The function that a module of its kind lacks."""

    error: str = field(string)
    kind: str = field(string)


@struct
class ModuleRuntimeDetail:
    """The record on which a module failed."""

    hint: str = field(string)
    offset: int = field(i64)
    kind: ModuleKind = field(enumeration(ModuleKind))
    record_key: bytes | None = field(optional(var_bytes))
    record_value: bytes = field(var_bytes)


@struct
class MemoryLimitDetail:
    """The bytes a chain of modules asked for, and the most it may have."""

    requested: int = field(u64)
    max: int = field(u64)


@struct
class SystemObjectDetail:
    """The system object that may be changed by force only."""

    kind: str = field(string)
    name: str = field(string)


_DETAILS: dict[int, type] = {
    Code.OTHER: TextDetail,
    Code.REQUEST_TIMED_OUT: TimedOutDetail,
    Code.OFFSET_EVICTED: EvictedDetail,
    Code.PARTITION_FULL: PartitionFullDetail,
    Code.OFFSET_FLUSH_REQUEST_ERROR: TextDetail,
    Code.SMART_MODULE_NOT_FOUND: NameDetail,
    Code.SMART_MODULE_INVALID: ModuleInvalidDetail,
    Code.SMART_MODULE_INVALID_EXPORTS: ModuleExportsDetail,
    Code.SMART_MODULE_RUNTIME_ERROR: ModuleRuntimeDetail,
    Code.SMART_MODULE_CHAIN_INIT_ERROR: TextDetail,
    Code.SMART_MODULE_INIT_ERROR: HintDetail,
    Code.SMART_MODULE_LOOKBACK_ERROR: TextDetail,
    Code.SMART_MODULE_MEMORY_LIMIT_EXCEEDED: MemoryLimitDetail,
    Code.DERIVED_STREAM_NOT_FOUND: TextDetail,
    Code.DERIVED_STREAM_INVALID: TextDetail,
    Code.DEDUPLICATION_SMART_MODULE_NAME_INVALID: TextDetail,
    Code.SYSTEM_SPEC_DELETION_ATTEMPT: SystemObjectDetail,
    Code.SYSTEM_SPEC_UPDATING_ATTEMPT: SystemObjectDetail,
}


@attrs.frozen
class ErrorCode:
    """An error code as it stands in a reply.

    :ivar code: the number; a member of :class:`Code` compares equal to it.
    :ivar detail: the payload, for the codes that have one.
    """

    code: int
    detail: Any = None

    def __bool__(self) -> bool:
        """Whether this is an error: code 0 is success."""
        return self.code != 0

    @property
    def name(self) -> str:
        """The platform's name of the code, or its number where it is not known."""
        try:
            return Code(self.code).name
        except ValueError:
            return f"error {self.code}"

    @property
    def fields(self) -> Mapping[str, Any]:
        """The payload's fields by name, empty for a code without one."""
        return attrs.asdict(self.detail, recurse=False) if self.detail is not None else {}

    def exception(self, what: str, text: str | None = None) -> BrokerError:
        """What to raise for it; see :func:`~txfluvio.errors.broker_error`."""
        return broker_error(self.code, self.fields, text, what=what)


NO_ERROR = ErrorCode(0)
"""Success."""


def error(code: Code, **fields: Any) -> ErrorCode:
    """The value for ``code``, with its payload's fields: ``error(Code.OTHER, text="boom")``."""
    detail = _DETAILS.get(code)
    return ErrorCode(int(code), detail(**fields) if detail is not None else None)


def details() -> Mapping[int, type]:
    """The codes that carry a payload, and the classes of these."""
    return _DETAILS


class _ErrorCodeType(Direct):
    _types: dict[int, WireType[Any]] = {
        code: wire_type(detail) for code, detail in _DETAILS.items()
    }

    def read(self, reader: Reader) -> ErrorCode:
        start = reader.pos
        code = i16.read(reader)
        if code == 0:
            return NO_ERROR
        detail = self._types.get(code)
        if detail is None:
            return ErrorCode(code)
        reader.mark("code", start, code)
        return ErrorCode(code, detail.read(reader))

    def write(self, writer: Writer, value: ErrorCode) -> None:
        code = value.code
        writer.parts.append(i16.pack(code))
        detail = self._types.get(code)
        if detail is not None:
            detail.write(writer, value.detail)

    def min_size(self, version: int) -> int:
        return 2

    def read_code(self, source: Source, target: str) -> None:
        with source.block("if data[pos] or data[pos + 1]"):
            source.read_by(self.read, target)
        with source.block("else"):
            source.line(f"{target} = {source.bind(NO_ERROR)}; pos += 2")

    def write_code(self, source: Source, value: str) -> None:
        with source.block(f"if {value}.code"):
            source.write_by(self.write, value)
        with source.block("else"):
            source.piece("b'\\0\\0'")


error_code = _ErrorCodeType()
"""The wire type of :class:`ErrorCode`."""
