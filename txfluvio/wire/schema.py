"""How a message is declared, and what makes bytes of it and back.

A message is a frozen value whose fields say their wire type and the versions that carry them::

    @struct
    class ReplicaStatus:
        spu: int = field(i32)
        hw: int = field(i64)
        size: int = field(i64, since=5, default=-1)

Both directions come from that one declaration: ``encode`` and ``decode`` walk the same fields.
The rules are those of Fluvio's own derive macros (``fluvio-protocol-derive/src/ser.rs``,
``de.rs``): big-endian integers, fields in order with nothing between them, inclusive version
gates on struct fields only, and bytes left over at the end ignored.

Nothing here knows any particular message, and nothing here does I/O. Numbers, strings and bytes are
told by :mod:`txfluvio.wire.types`, and reading within bounds by :mod:`txfluvio.wire.cursor`; here
is what is made of them, and whoever declares messages imports it all from here.
"""

from __future__ import annotations

import enum
import struct as _struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, repeat
from operator import attrgetter
from typing import (
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
)

import attrs

from ..errors import ProtocolError, UsageError
from .cursor import Reader, Span, WireType, Writer
from .types import (
    MAX_STRING,
    Number,
    blob,
    boolean,
    i8,
    i16,
    i32,
    i64,
    record_set,
    string,
    u8,
    u16,
    u32,
    u64,
    var_bytes,
    varint,
)

__all__ = [
    "MAX_STRING",
    "SC_APIS",
    "SPU_APIS",
    "Api",
    "Message",
    "Reader",
    "Request",
    "Span",
    "StructType",
    "WireType",
    "Writer",
    "api",
    "blob",
    "boolean",
    "enumeration",
    "evolve",
    "field",
    "i8",
    "i16",
    "i32",
    "i64",
    "mapping",
    "optional",
    "record_set",
    "string",
    "struct",
    "tagged",
    "u8",
    "u16",
    "u32",
    "u64",
    "var_bytes",
    "varint",
    "vector",
    "wire_type",
]

T = TypeVar("T")
C = TypeVar("C", bound="type[Request[Any]]")


class _Optional(Generic[T]):
    def __init__(self, inner: WireType[T]) -> None:
        self._inner = inner

    def read(self, reader: Reader) -> T | None:
        start = reader.pos
        present = boolean.read(reader)
        reader.mark("present", start, present)
        return self._inner.read(reader) if present else None

    def write(self, writer: Writer, value: T | None) -> None:
        boolean.write(writer, value is not None)
        if value is not None:
            self._inner.write(writer, value)

    def min_size(self, version: int) -> int:
        return 1


_MANY = 16
"""Structs of numbers that are read together; fewer are faster read one by one."""


class _Vector(Generic[T]):
    """A 32-bit count, taken as signed and as "empty" when not positive; then the elements."""

    def __init__(self, element: WireType[T]) -> None:
        self._element = element

    def read(self, reader: Reader) -> tuple[T, ...]:
        start = reader.pos
        count = i32.read(reader)
        if reader.spans is not None:
            reader.mark("count", start, count)
        if count <= 0:
            return ()
        element = self._element
        reader.count(count, max(1, element.min_size(reader.version)))
        if reader.spans is not None:
            return tuple([reader.read(f"[{index}]", element) for index in range(count)])
        if (
            count >= _MANY
            and isinstance(element, StructType)
            and element.is_numbers(reader.version)
        ):
            return tuple(element.read_rows(reader, count))
        read = element.read
        found: list[T] = []
        try:
            for _ in range(count):
                found.append(read(reader))  # noqa: PERF401  (its length says where it failed)
        except ProtocolError as error:
            raise error.within(f"[{len(found)}]") from error.__cause__
        return tuple(found)

    def write(self, writer: Writer, value: Sequence[T]) -> None:
        writer.parts.append(u32.pack(len(value)))
        element = self._element
        if isinstance(element, StructType):
            element.write_rows(writer, value)
        else:
            for item in value:
                element.write(writer, item)

    def min_size(self, version: int) -> int:
        return 4


class _Map(Generic[T]):
    """A 16-bit count, then keys and values, written in ascending order of the keys' bytes."""

    def __init__(self, key: WireType[Any], value: WireType[T]) -> None:
        self._key = key
        self._value = value

    def read(self, reader: Reader) -> dict[Any, T]:
        start = reader.pos
        count = u16.read(reader)
        reader.mark("count", start, count)
        smallest = self._key.min_size(reader.version) + self._value.min_size(reader.version)
        reader.count(count, max(1, smallest))
        found = {}
        for index in range(count):
            key = reader.read(f"[{index}].key", self._key)
            found[key] = reader.read(f"[{index}].value", self._value)
        return found

    def write(self, writer: Writer, value: Mapping[Any, T]) -> None:
        if len(value) > 0xFFFF:
            raise UsageError(f"a map of {len(value)} entries is over the limit of 65535")
        writer.parts.append(u16.pack(len(value)))
        for key in sorted(value, key=lambda k: k.encode() if isinstance(k, str) else k):
            self._key.write(writer, key)
            self._value.write(writer, value[key])

    def min_size(self, version: int) -> int:
        return 2


E = TypeVar("E", bound=enum.IntEnum)


class _Enumeration(Generic[E]):
    def __init__(self, cls: type[E]) -> None:
        self._cls = cls
        self._members = {int(member): member for member in cls}

    def read(self, reader: Reader) -> E:
        start = reader.take(1)
        tag = reader.data[start]
        member = self._members.get(tag)
        if member is None:
            reader.fail(f"{tag} is no {self._cls.__name__}", start)
        return member

    def write(self, writer: Writer, value: E) -> None:
        writer.parts.append(u8.pack(value))

    def min_size(self, version: int) -> int:
        return 1


class _Tagged:
    """One byte that says which variant follows; a variant's fields come right after it."""

    def __init__(self, variants: Mapping[int, type]) -> None:
        self._variants = {tag: wire_type(cls) for tag, cls in variants.items()}
        self._tags = {cls: tag for tag, cls in variants.items()}
        self._names = {tag: cls.__name__ for tag, cls in variants.items()}

    def read(self, reader: Reader) -> Any:
        start = reader.take(1)
        tag = reader.data[start]
        variant = self._variants.get(tag)
        if variant is None:
            reader.fail(f"an unknown tag, {tag}", start)
        reader.mark("tag", start, self._names[tag])
        return variant.read(reader)

    def write(self, writer: Writer, value: Any) -> None:
        tag = self._tags.get(type(value))
        if tag is None:
            expected = ", ".join(self._names.values())
            raise UsageError(f"{value!r} is none of {expected}")
        writer.parts.append(u8.pack(tag))
        self._variants[tag].write(writer, value)

    def min_size(self, version: int) -> int:
        return 1


def optional(inner: Any) -> WireType[Any]:
    """A flag byte, then the value if the flag is 1; ``None`` when it is 0."""
    return _Optional(wire_type(inner))


def vector(element: Any) -> WireType[Any]:
    """A list, read as a tuple."""
    return _Vector(wire_type(element))


def mapping(key: Any, value: Any) -> WireType[Any]:
    """A map, read as a dict; a repeated key keeps the last value."""
    return _Map(wire_type(key), wire_type(value))


def enumeration(cls: type[E]) -> WireType[E]:
    """One byte that is a member of ``cls``; any other is an error."""
    return _Enumeration(cls)


def tagged(variants: Mapping[int, type]) -> WireType[Any]:
    """One of several structs, told apart by a tag byte."""
    return _Tagged(variants)


class _Field:
    """A field of a struct.

    :ivar put: sets it in an instance, which is frozen to everybody else.
    """

    def __init__(self, cls: type, attribute: attrs.Attribute[Any]) -> None:
        self.name = attribute.name
        type_, self.since, self.until = attribute.metadata[_WIRE]
        self.type: WireType[Any] = wire_type(type_)
        self.default = attribute.default
        self.put: Callable[[Any, Any], None] = vars(cls)[self.name].__set__

    def on_wire(self, version: int) -> bool:
        return self.since <= version and (self.until is None or version <= self.until)


_UNSENDABLE = (_struct.error, TypeError, AttributeError)
"""What a value of a wrong kind, or out of range, makes of an attempt to write it."""


def _unsendable(value: Any, name: str, error: Exception) -> UsageError:
    return UsageError(f"{type(value).__name__}.{name} can not be sent: {error}")


class _Run:
    """Fields next to each other that are numbers, read and written at once.

    Where that does not go well they are taken one by one, which finds out the field.
    """

    def __init__(self, fields: Sequence[_Field]) -> None:
        numbers = [cast(Number, field.type) for field in fields]
        packer = _struct.Struct(">" + "".join(number.code for number in numbers))
        self._numbers = [
            (field.name, number) for field, number in zip(fields, numbers, strict=True)
        ]
        self.puts = [field.put for field in fields]
        self.size = packer.size
        self.rows = packer.iter_unpack
        self._unpack = packer.unpack_from
        self._pack = packer.pack
        get: Any = attrgetter(*[field.name for field in fields])
        self._get = get if len(fields) > 1 else lambda value: (get(value),)

    def read(self, reader: Reader, made: Any) -> None:
        start = reader.pos
        stop = start + self.size
        if stop > reader.end:
            for name, number in self._numbers:
                reader.read(name, number)
        reader.pos = stop
        for put, value in zip(self.puts, self._unpack(reader.data, start)):  # noqa: B905
            put(made, value)

    def write(self, writer: Writer, value: Any) -> None:
        try:
            writer.parts.append(self._pack(*self._get(value)))
        except _UNSENDABLE:
            for name, number in self._numbers:
                try:
                    number.write(writer, getattr(value, name))
                except _UNSENDABLE as error:
                    raise _unsendable(value, name, error) from error


class _Layout:
    """A struct at one version.

    :ivar fields: the names and types of the fields it carries, in order.
    :ivar absent: the other fields.
    :ivar reads: what reads it, in order: a field and the function that reads its value, or None and
        one that reads a run of numbers into the struct.
    :ivar writes: what writes it, likewise; what writes a run is given the whole struct.
    :ivar min_size: bytes it has at least.
    :ivar run: reads and writes all of it, if it is nothing but numbers.
    """

    def __init__(self, fields: Sequence[_Field], version: int) -> None:
        present = [field for field in fields if field.on_wire(version)]
        self.fields = tuple((field.name, field.type) for field in present)
        self.absent = [(field.put, field.default) for field in fields if field not in present]
        self.min_size = sum(field.type.min_size(version) for field in present)
        self.reads: list[tuple[_Field | None, Callable[..., Any]]] = []
        self.writes: list[tuple[str, Callable[[Writer, Any], None]]] = []
        self.run: _Run | None = None
        for fixed, group in groupby(present, lambda field: isinstance(field.type, Number)):
            if fixed:
                run = _Run(list(group))
                self.reads.append((None, run.read))
                self.writes.append(("", run.write))
                self.run = run
            else:
                for field in group:
                    self.reads.append((field, field.type.read))
                    self.writes.append((field.name, field.type.write))
        if len(self.reads) > 1:
            self.run = None


_exhaust: Callable[[Iterable[object]], object] = deque[object](maxlen=0).extend


class _Layouts(dict[int, _Layout]):
    """A struct's layouts by version, each made when it is first asked for."""

    def __init__(self, fields: Sequence[_Field]) -> None:
        self._fields = fields

    def __missing__(self, version: int) -> _Layout:
        made = self[version] = _Layout(self._fields, version)
        return made


class StructType:
    """The wire type of a class declared with :func:`struct`."""

    def __init__(self, cls: type, fields: Sequence[_Field]) -> None:
        self._cls = cls
        self._fields = tuple(fields)
        self._layouts = _Layouts(self._fields)

    def fields_at(self, version: int) -> tuple[tuple[str, WireType[Any]], ...]:
        """The names and types of the fields that version ``version`` carries, in order."""
        return self._layouts[version].fields

    @property
    def fields(self) -> tuple[_Field, ...]:
        """Every field that any version carries."""
        return self._fields

    def read(self, reader: Reader) -> Any:
        layout = self._layouts[reader.version]
        if reader.spans is not None:
            return self._cls(**{name: reader.read(name, type_) for name, type_ in layout.fields})
        made: Any = object.__new__(self._cls)
        for put, default in layout.absent:
            put(made, default)
        field = None
        try:
            for field, read in layout.reads:
                if field is None:
                    read(reader, made)
                else:
                    field.put(made, read(reader))
        except ProtocolError as error:
            raise (error.within(field.name) if field else error) from error.__cause__
        return made

    def is_numbers(self, version: int) -> bool:
        """Whether it is nothing but numbers at this version, and so always of one size."""
        return self._layouts[version].run is not None

    def read_rows(self, reader: Reader, count: int) -> list[Any]:
        """Several in a row, of nothing but numbers; the reader has bytes for all of them."""
        layout = self._layouts[reader.version]
        assert layout.run is not None
        start = reader.pos
        reader.pos = start + count * layout.run.size
        rows = layout.run.rows(memoryview(reader.data)[start : reader.pos])
        made: list[Any] = [object.__new__(self._cls) for _ in range(count)]
        # Field by field, and not struct by struct, this takes a third of the time.
        for put, column in zip(layout.run.puts, zip(*rows, strict=True), strict=True):
            _exhaust(map(put, made, column))
        for put, default in layout.absent:
            _exhaust(map(put, made, repeat(default)))
        return made

    def write(self, writer: Writer, value: Any) -> None:
        self.write_rows(writer, (value,))

    def write_rows(self, writer: Writer, values: Sequence[Any]) -> None:
        """Several in a row."""
        writes = self._layouts[writer.version].writes
        value = None
        name = ""
        try:
            for value in values:
                for name, write in writes:
                    write(writer, getattr(value, name) if name else value)
        except _UNSENDABLE as error:
            raise _unsendable(value, name, error) from error

    def min_size(self, version: int) -> int:
        return self._layouts[version].min_size


def wire_type(thing: Any) -> WireType[Any]:
    """The wire type of a declared class, or ``thing`` itself where it is one already."""
    if isinstance(thing, type):
        if issubclass(thing, enum.IntEnum):
            return _Enumeration(thing)
        found: StructType | None = getattr(thing, "__wire__", None)
        if found is None:
            raise TypeError(f"{thing.__name__} has no wire declaration")
        return found
    known: WireType[Any] = thing
    return known


_WIRE = "wire"


def field(
    type_: Any, *, since: int = 0, until: int | None = None, default: Any = attrs.NOTHING
) -> Any:
    """Declare a field: its wire type and the versions (inclusive) that carry it.

    A field that some versions lack needs a ``default``: it is what a reader gets there.
    """
    if (since or until is not None) and default is attrs.NOTHING:
        raise TypeError("a field that some versions lack needs a default")
    return attrs.field(default=default, metadata={_WIRE: (type_, since, until)})


class _Value:
    """What declared classes have in common, made once and not again for each of them.

    There are some two hundred, and methods of their own would make the import slow.
    """

    __wire_names__: ClassVar[tuple[str, ...]]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__wire_names__)

    def __hash__(self) -> int:
        return hash((type(self), *[getattr(self, name) for name in self.__wire_names__]))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__wire_names__)
        return f"{type(self).__qualname__.rpartition('>.')[2]}({values})"


_IN_COMMON = {name: getattr(_Value, name) for name in ("__eq__", "__hash__", "__repr__")}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def struct(cls: type[T]) -> type[T]:
    """Make a class with :func:`field` declarations a frozen, comparable value with a wire form."""
    for name, method in _IN_COMMON.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    made: Any = attrs.frozen(kw_only=True, slots=True, eq=False, repr=False)(cls)
    fields = [_Field(made, attribute) for attribute in attrs.fields(made)]
    made.__wire__ = StructType(made, fields)
    made.__wire_names__ = tuple(field.name for field in fields)
    declared: type[T] = made
    return declared


def evolve(value: T, **changes: Any) -> T:
    """A copy of a declared value with some fields changed."""
    changed: T = attrs.evolve(value, **changes)  # type: ignore[misc]
    return changed


class Message:
    """The body of a request or of a reply."""

    __slots__ = ()
    __wire__: ClassVar[StructType]

    def encode(self, version: int) -> bytes:
        """The body at ``version``.

        :raises UsageError: a value does not fit its field.
        """
        writer = Writer(version)
        self.__wire__.write(writer, self)
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes, version: int, start: int = 0) -> Self:
        """Read the body that begins at ``start``; bytes behind it are ignored.

        :raises ProtocolError: with the message, the field and the position in ``data``.
        """
        return cls._decode(Reader(data, version, start, len(data)))

    @classmethod
    def annotate(cls, data: bytes, version: int, start: int = 0) -> tuple[Self, list[Span]]:
        """Like :meth:`decode`, and say which bytes were which field."""
        reader = Reader(data, version, start, len(data))
        reader.spans = []
        return cls._decode(reader), reader.spans

    @classmethod
    def _decode(cls, reader: Reader) -> Self:
        try:
            value: Self = cls.__wire__.read(reader)
        except ProtocolError as error:
            error.message = cls.__name__
            raise
        return value


ReplyT = TypeVar("ReplyT", bound=Message)


@attrs.frozen
class Api:
    """One call of the protocol.

    :ivar key: the number in the request header. The SC and the SPU use some numbers for
        different calls, so a key means something only together with ``server``.
    :ivar server: ``"SC"``, ``"SPU"``, or ``""`` for the one call that both answer.
    :ivar min_version: the lowest version this library speaks.
    :ivar max_version: the highest version this library speaks.
    :ivar streams: many replies may follow one request.
    """

    key: int
    name: str
    server: str
    request: type[Request[Any]]
    reply: type[Message]
    min_version: int
    max_version: int
    streams: bool = False


class Request(Message, Generic[ReplyT]):
    """The body of a request whose replies are ``ReplyT``."""

    __slots__ = ()
    api: ClassVar[Api]


SC_APIS: dict[int, Api] = {}
"""The calls that the SC answers, by key."""

SPU_APIS: dict[int, Api] = {}
"""The calls that an SPU answers, by key."""


def api(
    key: int, *, server: str = "", versions: tuple[int, int], streams: bool = False
) -> Callable[[C], C]:
    """Register a request class as the call ``key``; its reply type is that of ``Request[...]``."""

    def register(cls: C) -> C:
        (reply,) = get_args(vars(cls)["__orig_bases__"][0])
        call = Api(
            key, cls.__name__.removesuffix("Request"), server, cls, reply, *versions, streams
        )
        cls.api = call
        for name, table in (("SC", SC_APIS), ("SPU", SPU_APIS)):
            if server in ("", name):
                table[key] = call
        return cls

    return register
