"""Straight Python for what is read and written over and over.

The declared types go field by field, note what was where, and say which field is wrong. That takes
several times what the work itself takes, so for a struct that is in use a function of its own is
written, as attrs writes an ``__init__``: without a loop over its fields, without a call for each of
them, numbers side by side at once. Of ``count: u32, name: string`` it makes::

    v0, = unpack(data, pos); pos += 4
    v1, = unpack_size(data, pos); pos += 2
    ...

Such a function knows what is right, and not what is wrong. On anything out of the ordinary it
raises, no matter which error, and the work is done again by the declared types, which either accept
the bytes after all or say what is wrong with them. It never accepts what they would not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ProtocolError, UsageError
from .cursor import WireType


class Unusual(Exception):
    """Here is something that the declared types have to look at."""


UNREADABLE = (Unusual, ProtocolError, struct.error, LookupError, ValueError)
"""What a function raises that reads and finds something out of the ordinary."""

UNSENDABLE = (Unusual, UsageError, struct.error, TypeError, AttributeError, ValueError)
"""What a function raises that writes and finds something out of the ordinary."""


class Direct:
    """A type that can write the Python that does what it does.

    To read, the code has ``data``, ``pos``, which it moves on, and ``end``, which only the whole is
    compared with: reading behind it is no harm, since nothing is ever read before. To write, it has
    ``parts``, a list, and tells the source what comes there.
    """

    def read_code(self, source: Source, target: str) -> None:
        """Write what reads a value into the variable ``target``."""
        raise NotImplementedError

    def write_code(self, source: Source, value: str) -> None:
        """Write what writes the value of the expression ``value``, a variable or its attribute."""
        raise NotImplementedError


class Source:
    """A function in the making.

    :param version: the version of the protocol that it is for.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._lines: list[str] = []
        self._indent = 1
        self._names: dict[str, Any] = {"Unusual": Unusual}
        self._locals = 0
        self._unpacked: list[tuple[str, str]] = []
        self._packed: list[tuple[str, str]] = []
        self._pieces: list[str] = []

    def line(self, text: str) -> None:
        """Add a line of code: behind all that was read, before what is still to be put."""
        self._unpack_numbers()
        self._lines.append("    " * self._indent + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Add a line that begins a block; what is added inside belongs to it."""
        self.put()
        self.line(head + ":")
        self._indent += 1
        before = len(self._lines)
        yield
        self.put()
        self._unpack_numbers()
        if len(self._lines) == before:
            self.line("pass")
        self._indent -= 1

    def local(self) -> str:
        """A variable that nobody else has."""
        self._locals += 1
        return f"v{self._locals}"

    def bind(self, thing: object) -> str:
        """A name for an object that is made now and used by the code."""
        name = f"_{len(self._names)}"
        self._names[name] = thing
        return name

    def unpack(self, code: str, target: str) -> None:
        """Read a number, ``code`` to :mod:`struct`; several in a row are unpacked at once."""
        self._unpacked.append((code, target))

    def pack(self, code: str, value: str) -> None:
        """Write a number, ``code`` to :mod:`struct`; several in a row are packed at once."""
        self._packed.append((code, value))

    def piece(self, value: str) -> None:
        """Write the bytes that the expression ``value`` gives."""
        self._pack_numbers()
        self._pieces.append(value)

    def put(self) -> None:
        """Add the line that writes what was told so far."""
        self._pack_numbers()
        if self._pieces:
            self.line(f"parts += ({', '.join(self._pieces)},)")
            self._pieces = []

    def _unpack_numbers(self) -> None:
        if self._unpacked:
            packer, targets = _together(self._unpacked)
            self._unpacked = []
            unpack = self.bind(packer.unpack_from)
            self.line(f"{targets}, = {unpack}(data, pos); pos += {packer.size}")

    def _pack_numbers(self) -> None:
        if self._packed:
            packer, values = _together(self._packed)
            self._packed = []
            self._pieces.append(f"{self.bind(packer.pack)}({values})")

    def refuse_unless(self, condition: str) -> None:
        """Add what leaves the rest to the declared types."""
        self.line(f"if not ({condition}): raise Unusual")

    def read(self, type_: WireType[Any], target: str) -> None:
        """Add what reads a value of any type."""
        if isinstance(type_, Direct):
            type_.read_code(self, target)
        else:
            self.read_by(type_.read, target)

    def read_by(self, read: Callable[[Any], Any], target: str) -> None:
        """Add what leaves the reading of a value to a function of the declared types."""
        self.line(f"reader.pos = pos; {target} = {self.bind(read)}(reader); pos = reader.pos")

    def write(self, type_: WireType[Any], value: str) -> None:
        """Add what writes a value of any type."""
        if isinstance(type_, Direct):
            type_.write_code(self, value)
        else:
            self.write_by(type_.write, value)

    def write_by(self, write: Callable[[Any, Any], None], value: str) -> None:
        """Add what leaves the writing of a value to a function of the declared types."""
        self.put()
        self.line(f"{self.bind(write)}(writer, {value})")

    def function(self, head: str, name: str) -> Callable[..., Any]:
        """The function, whose first line is ``head``.

        :param name: what it is called where code is listed, by a profiler for example.
        """
        lines = "\n".join((head, *self._lines, ""))
        scope = dict(self._names)
        exec(compile(lines, f"{__file__}: {name}", "exec"), scope)
        made: Callable[..., Any] = scope[head.partition("(")[0].removeprefix("def ")]
        return made


def _together(numbers: list[tuple[str, str]]) -> tuple[struct.Struct, str]:
    """Numbers by what :mod:`struct` calls them and by expression: what packs them, and a list."""
    codes, expressions = zip(*numbers, strict=True)
    return struct.Struct(">" + "".join(codes)), ", ".join(expressions)


def reader(type_: Direct, version: int, name: str) -> Callable[..., Any]:
    """A function that reads a value of ``type_`` from a :class:`~txfluvio.wire.cursor.Reader`.

    It may leave the reader behind its end, and then what it returns means nothing. Where it raises
    one of :data:`UNREADABLE`, the reader is anywhere.
    """
    source = Source(version)
    source.line("data = reader.data; pos = reader.pos; end = reader.end")
    type_.read_code(source, "value")
    source.line("reader.pos = pos")
    source.line("return value")
    return source.function("def read(reader):", f"reading {name} at version {version}")


def writer(type_: Direct, version: int, name: str) -> Callable[..., Any]:
    """A function that writes a value of ``type_`` with a :class:`~txfluvio.wire.cursor.Writer`.

    Where it raises one of :data:`UNSENDABLE`, the writer has some of it.
    """
    source = Source(version)
    source.line("parts = writer.parts")
    type_.write_code(source, "value")
    source.put()
    return source.function("def write(writer, value):", f"writing {name} at version {version}")
