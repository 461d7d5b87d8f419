"""How a record looks: what ``-O``, ``-F`` and ``-k`` of ``fluvio-tail`` choose; pure.

The looks are those of ``fluvio consume``, so that scripts made for it go on working, with two
differences: ``raw`` is raw (every byte as it was produced), and JSON keeps its keys and numbers as
they were written.

A :class:`Format` turns a list of records into bytes, since one test over all values of a batch
costs a small part of one test for each. Much at once comes in pieces, so that nothing else has to
wait for all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import NoReturn, TypeAlias

from ..wire.records import Record

Show: TypeAlias = Callable[[bytes], bytes]
"""From a record's value to what is printed of it, without the end of the line."""

PIECE = 256 * 1024
"""Bytes of values that are made into one piece, if none is larger; a chunk of a consumer has no
more."""

NOT_KNOWN = "NA"
"""In place of a timestamp or an offset that a record does not have."""

_PEEK = 1024
_DUMP_END = "-" * 78 + "\n"
_SHOWN = bytes(byte if 0x20 <= byte < 0x7F else b" ."[byte == 0x0A] for byte in range(256))
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_MAGIC = (b"%PDF", b"\x89PNG")
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}:,]|[^][{}:,"\s]+')
_OPENING, _CLOSING = frozenset("[{"), frozenset("]}")
_MOST_INDENTED = 100
"""Levels of JSON, or a few brackets would become a great many spaces."""
_CONTROL = re.compile(r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_VARIABLE = re.compile(r"\{\{\{?\s*([^{}]*?)\s*\}\}\}?")


def is_binary(value: bytes) -> bool:
    """Whether a value is no text, told from its beginning as ``fluvio consume`` tells it."""
    if value.startswith(_MARKS):
        return False
    return value.startswith(_MAGIC) or b"\0" in value[:_PEEK]


def as_text(value: bytes) -> bytes:
    """The value as UTF-8, with U+FFFD for what is not."""
    return value if value.isascii() else value.decode("utf-8", "replace").encode()


def hex_dump(value: bytes) -> bytes:
    """Sixteen bytes a line, as numbers and as characters, and a line of dashes."""
    return "".join(_dump_pieces(value)).encode()


def _dump_pieces(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), 16):
        row = value[start : start + 16]
        left, right, shown = row[:8].hex(" "), row[8:].hex(" "), row.translate(_SHOWN).decode()
        yield f"{start:08x}  {left:<23}  {right:<23}  |{shown:<16}|\n"
    yield _DUMP_END


def raw(value: bytes) -> bytes:
    """The value as it is."""
    return value


def text(value: bytes) -> bytes:
    """The value as text; of a binary one only its size."""
    return f"binary: ({len(value)} bytes)".encode() if is_binary(value) else as_text(value)


def dynamic(value: bytes) -> bytes:
    """The value as text; a binary one as a dump."""
    return hex_dump(value) if is_binary(value) else as_text(value)


def pretty_json(value: bytes) -> bytes:
    """The value, if it is JSON, over several lines; else an object that says why it is none.

    Numbers stay as they were written, however large.
    """
    return "".join(_json_pieces(value)).encode("utf-8", "replace")


def _json_pieces(value: bytes) -> Iterator[str]:
    try:
        text = value.decode(json.detect_encoding(value), "surrogatepass")
        # Only looked at; what Python would make of its numbers is not what was written.
        json.loads(text, parse_int=len, parse_float=len, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        text = json.dumps({"error": str(error)})
    return _indented(text)


def _indented(text: str) -> Iterator[str]:
    """What is JSON, over several lines, token by token."""
    depth = 0
    opened = False
    for match in _JSON_TOKEN.finditer(text):
        token = match[0]
        closes = token in _CLOSING
        depth -= closes
        if opened != closes:
            yield _new_line(depth)
        opened = token in _OPENING
        depth += opened
        if token == ",":
            yield "," + _new_line(depth)
        elif token == ":":
            yield ": "
        elif "\\" in token:
            yield json.dumps(json.loads(token), ensure_ascii=False)
        else:
            yield token


def _new_line(depth: int) -> str:
    return "\n" + "  " * min(depth, _MOST_INDENTED)


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


OUTPUTS: dict[str, Show] = {
    "dynamic": dynamic,
    "text": text,
    "binary": hex_dump,
    "json": pretty_json,
    "raw": raw,
}
"""What ``-O`` can be."""

_PLAIN = (raw, text, dynamic)
_IN_PARTS: dict[Show, Callable[[bytes], Iterator[str]]] = {
    hex_dump: _dump_pieces,
    pretty_json: _json_pieces,
}


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class Format:
    """What is printed of records; by default their values, a line each.

    :param terminal: whether it is for a terminal: except with ``raw``, control characters of keys
        and values are shown as ``\\x1b``, so that they do nothing to it. Line ends and tabs stay.
    """

    def __init__(self, show: Show = dynamic, *, terminal: bool = False) -> None:
        self._show = show
        self._see = _visible if terminal and show is not raw else str
        self._shown = show if self._see is str else self._shown_on_terminal

    def _shown_on_terminal(self, value: bytes) -> bytes:
        return self._see(self._show(value).decode()).encode()

    def lines(self, records: Sequence[Record]) -> bytes:
        """What to print, every record with the end of its line."""
        values = [record.value for record in records]
        values.append(b"")
        if self._shown in _PLAIN:
            together = b"\n".join(values)
            if self._show is raw or _is_text(together):
                return together
        return b"\n".join(map(self._shown, values[:-1])) + b"\n"

    def pieces(self, records: Sequence[Record]) -> Iterator[bytes]:
        """The same in pieces, each of whole lines and none that takes long to make."""
        if 0 < sum([_size(record) for record in records]) <= PIECE:
            # Nearly always: a chunk of a consumer has no more.
            yield self.lines(records)
            return
        small: list[Record] = []
        size = 0
        for record in records:
            added = _size(record)
            if small and size + added > PIECE:
                yield self.lines(small)
                small, size = [], 0
            if added > PIECE:
                yield from self._pieces_of(record)
            else:
                small.append(record)
                size += added
        if small:
            yield self.lines(small)

    def _pieces_of(self, record: Record) -> Iterator[bytes]:
        """One record that is large."""
        show = self._show
        if show is dynamic and is_binary(record.value):
            show = hex_dump
        parts = _IN_PARTS.get(show)
        if parts is None:
            yield self.lines([record])
        else:
            yield from _whole_lines(
                chain((self._before(record),), map(self._see, parts(record.value)), "\n")
            )

    def _before(self, record: Record) -> str:
        """What stands before the value."""
        return ""


def _whole_lines(parts: Iterable[str]) -> Iterator[bytes]:
    """A text that comes in parts, in pieces of whole lines."""
    made: list[str] = []
    size = 0
    for part in parts:
        made.append(part)
        size += len(part)
        if size > PIECE and "\n" in part:
            whole, end, begun = "".join(made).rpartition("\n")
            yield (whole + end).encode("utf-8", "replace")
            made, size = [begun], len(begun)
    if begun := "".join(made):
        yield begun.encode("utf-8", "replace")


def _size(record: Record) -> int:
    """Bytes that may be printed of it."""
    return len(record.value) + len(record.key or b"")


def _is_text(values: bytes) -> bool:
    """Whether every one of these values is printed as it is; False also where that is not sure."""
    if b"\0" in values or b"%PDF" in values:
        return False
    if values.isascii():
        return True
    try:
        values.decode()
    except UnicodeDecodeError:
        return False
    return True


class KeyValueFormat(Format):
    """``[key] value``, with ``[null]`` where there is no key.

    :param coloured: whether the key stands out.
    """

    def __init__(self, show: Show, *, coloured: bool = False, terminal: bool = False) -> None:
        super().__init__(show, terminal=terminal)
        self._frame = "\x1b[36m[%s]\x1b[0m " if coloured else "[%s] "

    def lines(self, records: Sequence[Record]) -> bytes:
        show, frame = self._shown, self._frame.encode() + b"%s\n"
        key = as_text if self._see is str else self._key_on_terminal
        return b"".join(
            frame % (b"null" if record.key is None else key(record.key), show(record.value))
            for record in records
        )

    def _key_on_terminal(self, key: bytes) -> bytes:
        return self._see(key.decode("utf-8", "replace")).encode()

    def _before(self, record: Record) -> str:
        return self._frame % self._see(_key(record))


def _key(record: Record) -> str:
    return "null" if record.key is None else record.key.decode("utf-8", "replace")


def _value(record: Record) -> str:
    return record.value.decode("utf-8", "replace")


def _offset(record: Record) -> str:
    return NOT_KNOWN if record.offset is None else str(record.offset)


def _time(record: Record) -> str:
    if record.timestamp is None:
        return NOT_KNOWN
    try:
        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return NOT_KNOWN
    return f"{at:%Y-%m-%dT%H:%M:%S}.{record.timestamp % 1000:03d}Z"


VARIABLES: dict[str, Callable[[Record], str]] = {
    "key": _key,
    "value": _value,
    "offset": _offset,
    "partition": lambda record: str(record.partition),
    "time": _time,
    "topic": lambda record: record.topic,
}
"""What may stand between ``{{`` and ``}}``."""


class TemplateFormat(Format):
    """A text with ``{{variables}}``, once for each record.

    :raises ValueError: there is no such variable; the message says which there are.
    """

    def __init__(self, template: str, *, terminal: bool = False) -> None:
        super().__init__(terminal=terminal)
        parts = _VARIABLE.split(template)
        for name in parts[1::2]:
            if name not in VARIABLES:
                known = ", ".join(f"{{{{{each}}}}}" for each in VARIABLES)
                raise ValueError(f"{known}, not {{{{{name}}}}}")
        self._texts = parts[::2]
        self._parts = [VARIABLES[name] for name in parts[1::2]]

    def lines(self, records: Sequence[Record]) -> bytes:
        first, *others = self._texts
        filled = zip(self._parts, others, strict=True)
        pieces = list(filled)
        found = []
        see = self._see
        for record in records:
            found.append(first)
            for variable, behind in pieces:
                found += (see(variable(record)), behind)
            found.append("\n")
        return "".join(found).encode("utf-8", "replace")

    def _pieces_of(self, record: Record) -> Iterator[bytes]:
        yield self.lines([record])
