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
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
)

import attrs

from ..errors import ProtocolError, UsageError
from . import straight
from .cursor import Reader, Span, WireType, Writer
from .straight import Direct, Source
from .types import (
    MAX_STRING,
    blob,
    boolean,
    i8,
    i16,
    i32,
    i64,
    record_set,
    semver,
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
    "semver",
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


class _Optional(Direct, Generic[T]):
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

    def read_code(self, source: Source, target: str) -> None:
        present = source.local()
        source.read(boolean, present)
        source.line(f"{target} = None")
        with source.block(f"if {present}"):
            source.read(self._inner, target)

    def write_code(self, source: Source, value: str) -> None:
        inner = source.local()
        source.line(f"{inner} = {value}")
        source.write(boolean, f"{inner} is not None")
        with source.block(f"if {inner} is not None"):
            source.write(self._inner, inner)


class _Vector(Direct, Generic[T]):
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
        found: list[T] = []
        try:
            for _ in range(count):
                found.append(element.read(reader))  # noqa: PERF401  (its length says where it failed)
        except ProtocolError as error:
            raise error.within(f"[{len(found)}]") from error.__cause__
        return tuple(found)

    def write(self, writer: Writer, value: Sequence[T]) -> None:
        u32.write(writer, len(value))
        for item in value:
            self._element.write(writer, item)

    def min_size(self, version: int) -> int:
        return 4

    def read_code(self, source: Source, target: str) -> None:
        count, item, found = source.local(), source.local(), source.local()
        source.read(i32, count)
        source.line(f"{found} = []")
        with source.block(f"if {count} > 0"):
            smallest = max(1, self._element.min_size(source.version))
            source.refuse_unless(f"{count} * {smallest} <= end - pos")
            with source.block(f"for _ in range({count})"):
                source.read(self._element, item)
                source.line(f"{found}.append({item})")
        source.line(f"{target} = tuple({found})")

    def write_code(self, source: Source, value: str) -> None:
        items, item = source.local(), source.local()
        source.line(f"{items} = {value}")
        source.write(u32, f"len({items})")
        with source.block(f"for {item} in {items}"):
            source.write(self._element, item)


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


class _Enumeration(Direct, Generic[E]):
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

    def read_code(self, source: Source, target: str) -> None:
        source.line(f"{target} = {source.bind(self._members)}[data[pos]]; pos += 1")

    def write_code(self, source: Source, value: str) -> None:
        source.write(u8, value)


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


_OFTEN = 50
"""So many times a struct is read, or written, before a function of its own pays for itself."""


class _InUse:
    """A function that is made when it has been asked for often.

    :ivar function: the function; None until then.
    """

    def __init__(self, make: Callable[[], Callable[..., Any]]) -> None:
        self._make = make
        self._asked = 0
        self.function: Callable[..., Any] | None = None

    def ask(self) -> Callable[..., Any] | None:
        """Count one more use that had no function, and perhaps make it."""
        self._asked += 1
        if self._asked > _OFTEN:
            self.function = self._make()
        return self.function


class _Layout:
    """A struct at one version.

    :ivar fields: the fields it carries, in order.
    :ivar named: their names and types.
    :ivar absent: the other fields.
    :ivar min_size: bytes it has at least.
    :ivar reader: the function that reads it.
    :ivar writer: the function that writes it.
    """

    def __init__(self, type_: StructType, version: int) -> None:
        self.fields = [field for field in type_.fields if field.on_wire(version)]
        self.named = tuple((field.name, field.type) for field in self.fields)
        self.absent = [field for field in type_.fields if not field.on_wire(version)]
        self.min_size = sum(field.type.min_size(version) for field in self.fields)
        self.reader = _InUse(lambda: straight.reader(type_, version, type_.name))
        self.writer = _InUse(lambda: straight.writer(type_, version, type_.name))


class _Layouts(dict[int, _Layout]):
    """A struct's layouts by version, each made when it is first asked for."""

    def __init__(self, type_: StructType) -> None:
        self._type = type_

    def __missing__(self, version: int) -> _Layout:
        made = self[version] = _Layout(self._type, version)
        return made


class StructType(Direct):
    """The wire type of a class declared with :func:`struct`."""

    def __init__(self, cls: type, fields: Sequence[_Field]) -> None:
        self._cls = cls
        self._fields = tuple(fields)
        self._layouts = _Layouts(self)

    @property
    def name(self) -> str:
        """What the class is called."""
        return self._cls.__name__

    def fields_at(self, version: int) -> tuple[tuple[str, WireType[Any]], ...]:
        """The names and types of the fields that version ``version`` carries, in order."""
        return self._layouts[version].named

    @property
    def fields(self) -> tuple[_Field, ...]:
        """Every field that any version carries."""
        return self._fields

    @property
    def needs_fields(self) -> bool:
        """Whether a value can not be made of nothing, which is all a negative version carries."""
        return any(field.default is attrs.NOTHING for field in self._fields)

    def read(self, reader: Reader) -> Any:
        layout = self._layouts[reader.version]
        quick = layout.reader.function or layout.reader.ask()
        if quick is not None and reader.spans is None:
            start = reader.pos
            try:
                value = quick(reader)
                if reader.pos <= reader.end:
                    return value
            except straight.UNREADABLE:
                pass
            reader.pos = start
        return self._cls(**{name: reader.read(name, type_) for name, type_ in layout.named})

    def write(self, writer: Writer, value: Any) -> None:
        layout = self._layouts[writer.version]
        quick = layout.writer.function or layout.writer.ask()
        if quick is not None:
            before = len(writer.parts)
            try:
                quick(writer, value)
            except straight.UNSENDABLE:
                del writer.parts[before:]
            else:
                return
        for name, type_ in layout.named:
            try:
                type_.write(writer, getattr(value, name))
            except (_struct.error, TypeError, AttributeError) as error:
                raise UsageError(
                    f"{type(value).__name__}.{name} can not be sent: {error}"
                ) from error

    def read_code(self, source: Source, target: str) -> None:
        layout = self._layouts[source.version]
        values = [(field, source.local()) for field in layout.fields]
        for field, local in values:
            source.read(field.type, local)
        source.line(f"{target} = {source.bind(object.__new__)}({source.bind(self._cls)})")
        values += [(field, source.bind(field.default)) for field in layout.absent]
        for field, value in values:
            source.line(f"{source.bind(field.put)}({target}, {value})")

    def write_code(self, source: Source, value: str) -> None:
        for field in self._layouts[source.version].fields:
            source.write(field.type, f"{value}.{field.name}")

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
        return cls.read(Reader(data, version, start, len(data)))

    @classmethod
    def annotate(cls, data: bytes, version: int, start: int = 0) -> tuple[Self, list[Span]]:
        """Like :meth:`decode`, and say which bytes were which field."""
        reader = Reader(data, version, start, len(data))
        reader.spans = []
        return cls.read(reader), reader.spans

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Like :meth:`decode`, of what a reader is at."""
        if reader.version < 0 and cls.__wire__.needs_fields:
            raise ProtocolError(
                f"nothing is there at a negative version, {reader.version}", message=cls.__name__
            )
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
    :ivar unbounded: a reply is as long as there are objects, so that one over a limit may well be
        an honest one.
    """

    key: int
    name: str
    server: str
    request: type[Request[Any]]
    reply: type[Message]
    min_version: int
    max_version: int
    streams: bool = False
    unbounded: bool = False


class Request(Message, Generic[ReplyT]):
    """The body of a request whose replies are ``ReplyT``."""

    __slots__ = ()
    api: ClassVar[Api]


SC_APIS: dict[int, Api] = {}
"""The calls that the SC answers, by key."""

SPU_APIS: dict[int, Api] = {}
"""The calls that an SPU answers, by key."""


def api(
    key: int,
    *,
    server: str = "",
    versions: tuple[int, int],
    streams: bool = False,
    unbounded: bool = False,
) -> Callable[[C], C]:
    """Register a request class as the call ``key``; its reply type is that of ``Request[...]``."""

    def register(cls: C) -> C:
        (reply,) = get_args(vars(cls)["__orig_bases__"][0])
        name = cls.__name__.removesuffix("Request")
        call = Api(key, name, server, cls, reply, *versions, streams, unbounded)
        cls.api = call
        for name, table in (("SC", SC_APIS), ("SPU", SPU_APIS)):
            if server in ("", name):
                table[key] = call
        return cls

    return register
