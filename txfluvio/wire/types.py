"""The types that fields are made of: numbers, strings, bytes, and a set of records.

What is made of other types, such as a list or a struct, is in :mod:`txfluvio.wire.schema`, which
passes on the names of these, so that whoever declares messages needs that alone.
"""

from __future__ import annotations

import struct

from ..errors import UsageError
from . import _varints
from .cursor import Reader, Writer
from .records import RecordSet
from .semver import is_semver
from .straight import Direct, Source

MAX_STRING = 32_767
"""The longest string that can be sent, in bytes: readers take the 16-bit length as signed."""


class Number(Direct):
    """A big-endian integer.

    :ivar code: what :mod:`struct` calls it.
    :ivar pack: makes its bytes.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        packer = struct.Struct(">" + code)
        self._unpack = packer.unpack_from
        self.pack = packer.pack
        self._size = packer.size

    def read(self, reader: Reader) -> int:
        start = reader.pos
        stop = start + self._size
        if stop > reader.end:
            reader.fail(f"{self._size} bytes are needed, {reader.end - start} are left")
        reader.pos = stop
        value: int = self._unpack(reader.data, start)[0]
        return value

    def write(self, writer: Writer, value: int) -> None:
        writer.parts.append(self.pack(value))

    def min_size(self, version: int) -> int:
        return self._size

    def read_code(self, source: Source, target: str) -> None:
        source.unpack(self.code, target)

    def write_code(self, source: Source, value: str) -> None:
        source.pack(self.code, value)


i8 = Number("b")
i16 = Number("h")
i32 = Number("i")
i64 = Number("q")
u8 = Number("B")
u16 = Number("H")
u32 = Number("I")
u64 = Number("Q")


def _read_sized(source: Source, length: Number, target: str, then: str = "") -> None:
    """Write what reads a length, "empty" when not positive, and so many bytes.

    :param then: what makes the value of the bytes, written behind them.
    """
    size = source.local()
    source.read(length, size)
    with source.block(f"if {size} > 0"):
        source.line(f"{target} = data[pos:pos + {size}]{then}; pos += {size}")
    with source.block("else"):
        source.line(f"{target} = b''{then}")


class Bool(Direct):
    """A byte that is 0 or 1."""

    def read(self, reader: Reader) -> bool:
        start = reader.take(1)
        value = reader.data[start]
        if value > 1:
            reader.fail(f"a bool is 0 or 1, not {value}", start)
        return value == 1

    def write(self, writer: Writer, value: bool) -> None:
        writer.parts.append(b"\x01" if value else b"\x00")

    def min_size(self, version: int) -> int:
        return 1

    def read_code(self, source: Source, target: str) -> None:
        source.line(f"{target} = data[pos]; pos += 1")
        source.refuse_unless(f"{target} < 2")
        source.line(f"{target} = {target} == 1")

    def write_code(self, source: Source, value: str) -> None:
        source.piece(f"b'\\1' if {value} else b'\\0'")


class String(Direct):
    """A 16-bit length, taken as signed and as "empty" when not positive; then UTF-8."""

    def read(self, reader: Reader) -> str:
        size = i16.read(reader)
        if size <= 0:
            return ""
        start = reader.pos
        stop = start + size
        if stop > reader.end:
            reader.take(size)
        reader.pos = stop
        try:
            return reader.data[start:stop].decode()
        except UnicodeDecodeError as error:
            reader.fail(f"not UTF-8: {error.reason}", start + error.start)

    def write(self, writer: Writer, value: str) -> None:
        try:
            raw = value.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"a string that UTF-8 can not write: {error.reason}") from error
        if len(raw) > MAX_STRING:
            raise UsageError(f"a string of {len(raw)} bytes is over the limit of {MAX_STRING}")
        writer.parts += (u16.pack(len(raw)), raw)

    def min_size(self, version: int) -> int:
        return 2

    def read_code(self, source: Source, target: str) -> None:
        _read_sized(source, i16, target, ".decode()")

    def write_code(self, source: Source, value: str) -> None:
        raw = source.local()
        source.line(f"{raw} = {value}.encode()")
        source.refuse_unless(f"len({raw}) <= {MAX_STRING}")
        source.write(u16, f"len({raw})")
        source.piece(raw)


class Semver:
    """A string that is a semantic version. Whatever it is is written, and read it is refused."""

    def read(self, reader: Reader) -> str:
        start = reader.pos
        value = string.read(reader)
        if not is_semver(value):
            reader.fail(f"{value!r} is no semantic version", start)
        return value

    def write(self, writer: Writer, value: str) -> None:
        string.write(writer, value)

    def min_size(self, version: int) -> int:
        return string.min_size(version)


class Bytes(Direct):
    """A 32-bit length, taken as signed and as "empty" when not positive; then bytes."""

    def read(self, reader: Reader) -> bytes:
        size = i32.read(reader)
        if size <= 0:
            return b""
        start = reader.take(size)
        return reader.data[start : reader.pos]

    def write(self, writer: Writer, value: bytes) -> None:
        writer.parts += (u32.pack(len(value)), memoryview(value))

    def min_size(self, version: int) -> int:
        return 4

    def read_code(self, source: Source, target: str) -> None:
        _read_sized(source, i32, target)

    def write_code(self, source: Source, value: str) -> None:
        source.write(u32, f"len({value})")
        source.piece(f"{source.bind(memoryview)}({value})")


class Varint:
    """A zig-zag varint; the platform's own are right for 32-bit values only."""

    def read(self, reader: Reader) -> int:
        begin = reader.pos
        value = shift = 0
        while True:
            byte = reader.data[reader.take(1)]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                value &= 2**64 - 1
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                reader.fail("a varint of more than 10 bytes", begin)

    def write(self, writer: Writer, value: int) -> None:
        writer.parts.append(_varints.varint(value))

    def min_size(self, version: int) -> int:
        return 1


class VarBytes:
    """A zig-zag varint length, then bytes: used by records and by one error's payload."""

    def read(self, reader: Reader) -> bytes:
        begin = reader.pos
        size = varint.read(reader)
        if size < 0:
            reader.fail(f"a negative length, {size}", begin)
        start = reader.take(size)
        return reader.data[start : reader.pos]

    def write(self, writer: Writer, value: bytes) -> None:
        varint.write(writer, len(value))
        writer.parts.append(memoryview(value))

    def min_size(self, version: int) -> int:
        return 1


class RecordSetType(Direct):
    """A 32-bit length in bytes, then batches back to back, the last perhaps cut."""

    def read(self, reader: Reader) -> RecordSet:
        begin = reader.pos
        size = i32.read(reader)
        if size < 0:
            reader.fail(f"a record set of {size} bytes", begin)
        start = reader.take(size)
        return RecordSet(reader.data, start, reader.pos)

    def write(self, writer: Writer, value: RecordSet) -> None:
        writer.parts += (i32.pack(len(value)), value.view())

    def min_size(self, version: int) -> int:
        return 4

    def read_code(self, source: Source, target: str) -> None:
        size = source.local()
        source.read(i32, size)
        source.refuse_unless(f"0 <= {size} <= end - pos")
        source.line(f"{target} = {source.bind(RecordSet)}(data, pos, pos + {size}); pos += {size}")

    def write_code(self, source: Source, value: str) -> None:
        source.write(i32, f"len({value})")
        source.piece(f"{value}.view()")


boolean = Bool()
string = String()
semver = Semver()
blob = Bytes()
varint = Varint()
var_bytes = VarBytes()
record_set = RecordSetType()
