"""Where one is in the bytes of a message: reading with bounds, and writing.

A :class:`Reader` never lets a length or a count pass that it has not compared with what is there,
and every complaint is a :class:`~txfluvio.errors.ProtocolError` that says the byte position and the
path of fields. What a field is made of is told by the types (:mod:`txfluvio.wire.types`,
:mod:`txfluvio.wire.schema`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

import attrs

from ..errors import ProtocolError

if TYPE_CHECKING:
    from .sc import Kind

T = TypeVar("T")


@attrs.frozen
class Span:
    """The bytes ``[start, end)`` of a frame, the path of the field they hold, and its value."""

    path: str
    start: int
    end: int
    value: object


class Reader:
    """A cursor over the bytes of one message."""

    __slots__ = ("_path", "data", "end", "kind", "pos", "spans", "version")

    def __init__(self, data: bytes, version: int, pos: int, end: int) -> None:
        self.data = data
        self.version = version
        self.pos = pos
        self.end = end
        self.kind: Kind | None = None
        self.spans: list[Span] | None = None
        self._path: tuple[str, ...] = ()

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        raise ProtocolError(reason, position=self.pos if position is None else position)

    def take(self, size: int) -> int:
        """Claim the next ``size`` bytes and return where they begin."""
        start = self.pos
        if size > self.end - start:
            self.fail(f"{size} bytes are needed, {self.end - start} are left")
        self.pos = start + size
        return start

    def count(self, size: int, minimum: int) -> int:
        """Accept ``size`` elements of at least ``minimum`` bytes each only if they can be there."""
        if size * minimum > self.end - self.pos:
            self.fail(f"a count of {size} is more than {self.end - self.pos} bytes can hold")
        return size

    def mark(self, name: str, start: int, value: object) -> None:
        """Note a span, when somebody asked for an annotated reading."""
        if self.spans is not None:
            path = ".".join((*self._path, name)).replace(".[", "[")
            self.spans.append(Span(path, start, self.pos, value))

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Read a part by its name, for the spans' sake."""
        around, self._path = self._path, (*self._path, name)
        try:
            yield
        finally:
            self._path = around

    def read(self, name: str, type_: WireType[T]) -> T:
        """Read one named part; its errors say the name, its span is noted if asked for."""
        try:
            if self.spans is None:
                return type_.read(self)
            start, before = self.pos, len(self.spans)
            with self.inside(name):
                value = type_.read(self)
            noted = self.spans[-1].end if len(self.spans) > before else start
            if self.pos > noted:
                self.mark(name, noted, value)
            return value
        except ProtocolError as error:
            raise error.within(name) from error.__cause__


class Writer:
    """Collects the pieces of one message."""

    __slots__ = ("kind", "parts", "version")

    def __init__(self, version: int, kind: Kind | None = None) -> None:
        self.version = version
        self.kind = kind
        self.parts: list[bytes | memoryview] = []

    def getvalue(self) -> bytes:
        return b"".join(self.parts)


class WireType(Protocol[T]):
    """What a field's type can do: read itself, write itself, and tell its smallest size."""

    def read(self, reader: Reader, /) -> T: ...

    def write(self, writer: Writer, value: T, /) -> None: ...

    def min_size(self, version: int, /) -> int: ...
