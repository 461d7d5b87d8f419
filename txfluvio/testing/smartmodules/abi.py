"""What passes between an SPU and a SmartModule: layouts, statuses, and the words for failures.

A module's functions are handed bytes and leave bytes behind; the layouts are declared here as
messages are, and depend on the version of the request that runs the module
(``fluvio-smartmodule/src/{input,output,error}.rs``). Modules in Python never see the bytes, but
say the same things in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import ProtocolError
from ...wire.codes import ModuleKind, ModuleRuntimeDetail
from ...wire.records import RawRecord, pack_records, unpack_records
from ...wire.schema import (
    MAX_STRING,
    Message,
    Reader,
    Writer,
    blob,
    field,
    i32,
    i64,
    optional,
    string,
    struct,
    var_bytes,
    varint,
)
from ...wire.spu import ExtraParams

TRANSFORMS: Mapping[str, ModuleKind] = {
    "filter": ModuleKind.FILTER,
    "map": ModuleKind.MAP,
    "filter_map": ModuleKind.FILTER_MAP,
    "array_map": ModuleKind.ARRAY_MAP,
    "aggregate": ModuleKind.AGGREGATE,
}
"""What a module may be, by the name of its function; of several functions the first counts."""

UNKNOWN_FAILURE = "encountered unknown error during SmartModule processing"

TRANSFORM_FAILURES: Mapping[int, str] = {
    -11: "failed to decode SmartModule base input",
    -22: "failed to decode SmartModule record input",
    -33: "failed to encode SmartModule output",
    -44: "failed to parse SmartModule extra params",
    -55: "undefined right record in Join SmartModule",
}
"""What a negative status of a transform means."""

INIT_FAILED = -2
"""The status of ``init`` where the module's own code failed, and said why."""

INIT_FAILURES: Mapping[int, str] = {
    -10: "failed to decode SmartModule init input",
    -11: "failed to encode SmartModule init output",
}
"""What another negative status of ``init`` means."""

LOOK_BACK_FAILED = -99
"""The status of ``look_back`` where the module's own code failed, and said why."""

LOOK_BACK_FAILURES: Mapping[int, str] = {
    -66: "failed to decode SmartModule look_back input",
    -77: "failed to decode SmartModule look_back record input",
    -88: "failed to encode SmartModule look_back output",
}
"""What another negative status of ``look_back`` means."""

_GZIP_HEADER = 10
_INFLATION_FAILURES = {
    "incorrect header check": "invalid gzip header",
    "unknown compression method": "invalid gzip header",
    "unknown header flags": "invalid gzip header",
    "the stream ends early": "unexpected end of file",
    "incorrect data check": "corrupt gzip stream does not have a matching checksum",
    "incorrect length check": "corrupt gzip stream does not have a matching checksum",
    "invalid distance too far back": "corrupt gzip stream does not have a matching checksum",
    "gzip: Error": "corrupt deflate stream",
    "lz4: truncated frame": "failed to fill whole buffer",
    "ERROR_frameType_unknown": "WrongMagicNumber",
    "ERROR_headerChecksum_invalid": "HeaderChecksumError",
    "ERROR_reservedFlag_set": "ReservedBitsSet",
    "ERROR_maxBlockSize_invalid": "BlockTooBig",
    "ERROR_blockChecksum_invalid": "BlockChecksumError",
    "ERROR_contentChecksum_invalid": "ContentChecksumError",
}
"""What the SPU's libraries say where ours say something else."""

_COUNT = 4


class _Records:
    """A 32-bit count, taken as "none" when it is negative; then records."""

    def read(self, reader: Reader) -> list[RawRecord]:
        start = reader.pos
        for _ in range(reader.count(max(0, i32.read(reader)), 1)):
            size = varint.read(reader)
            if size < 0:
                reader.fail(f"a record of {size} bytes")
            reader.take(size)
        if reader.pos == start + _COUNT:
            return []
        return unpack_records(reader.data, start, reader.pos)

    def write(self, writer: Writer, value: list[RawRecord]) -> None:
        writer.parts.append(pack_records(value))

    def min_size(self, version: int) -> int:
        return _COUNT


@struct
class Input(Message):
    """A batch, for a module; also the records it looks back at.

    :ivar records: a count and records, as in a batch that is not compressed.
    :ivar params: always empty: parameters go to ``init``.
    :ivar join_record: always empty.
    """

    base_offset: int = field(i64)
    records: bytes = field(blob)
    params: ExtraParams = field(ExtraParams, until=22, default=ExtraParams())
    join_record: bytes = field(blob, since=16, until=22, default=b"")
    base_timestamp: int = field(i64, since=22, default=-1)


@struct
class AggregateInput(Message):
    """A batch, and what has been accumulated so far."""

    batch: Input = field(Input)
    accumulator: bytes = field(blob)


@struct
class InitInput(Message):
    """What a module is told before it sees any record."""

    params: ExtraParams = field(ExtraParams)


@struct
class Output(Message):
    """What a module made of a batch: up to the record on which it failed, if it did."""

    records: list[RawRecord] = field(_Records())
    error: ModuleRuntimeDetail | None = field(optional(ModuleRuntimeDetail), default=None)


@struct
class AggregateOutput(Message):
    """The same from an aggregate, and what it has accumulated."""

    output: Output = field(Output)
    accumulator: bytes = field(blob, since=16, default=b"")


@struct
class InitError(Message):
    """Why a module does not start, by its own account."""

    hint: str = field(string)

    def __str__(self) -> str:
        return f"{self.hint}\n\nSmartModule Init Error: \n"


@struct
class LookBackError(Message):
    """On which record a module failed when it looked back."""

    hint: str = field(string)
    offset: int = field(i64)
    record_key: bytes | None = field(optional(var_bytes))
    record_value: bytes = field(var_bytes)

    def __str__(self) -> str:
        key = "NULL" if self.record_key is None else _shown(self.record_key)
        return (
            f"{self.hint}\n\n"
            "SmartModule Lookback Error: \n"
            f"    Offset: {self.offset}\n"
            f"    Key: {key}\n"
            f"    Value: {_shown(self.record_value)}"
        )


def records_of(blob: bytes) -> list[RawRecord]:
    """The records of a blob, as modules read it: none where the count is negative.

    :raises ProtocolError: a damaged record, or fewer than the blob says.
    """
    if len(blob) >= _COUNT and int.from_bytes(blob[:_COUNT], "big", signed=True) < 0:
        return []
    return unpack_records(blob)


def _shown(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"Binary: {len(data)} bytes"


def sendable(text: str) -> str:
    """As much of a text as an error code can carry."""
    return text.encode(errors="replace")[:MAX_STRING].decode(errors="ignore")


def inflation_failure(reason: ProtocolError, size: int) -> str:
    """Why so many bytes could not be decompressed, in the words of the real SPU."""
    codec, _, text = reason.reason.partition(": ")
    if codec == "gzip" and size < _GZIP_HEADER:
        return _INFLATION_FAILURES["the stream ends early"]
    for sign, words in _INFLATION_FAILURES.items():
        if sign in reason.reason:
            return words
    return text
