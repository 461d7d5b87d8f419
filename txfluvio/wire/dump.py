"""A frame taken apart: each byte with the field it belongs to.

Messages say by themselves which of their bytes are which field (:meth:`.Message.annotate`); record
sets, which everything else leaves as bytes until asked, are followed here down to the last varint
of a record, by a declaration of their layout that nothing else uses. Compressed blobs are opened,
and what is in them is shown below them.

Positions count from the first byte behind the size of the frame, as they do in errors.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from ..errors import InvalidFile, ProtocolError, UsageError
from .codes import ErrorCode
from .compression import Compression
from .framing import Frames
from .headers import RequestHeader, reply_correlation_id
from .recordings import LARGEST_FRAME, RecordedFrame, Server, read_lines
from .records import HEADER, Batch, RecordSet
from .schema import (
    Reader,
    Span,
    field,
    i8,
    i16,
    i32,
    i64,
    optional,
    struct,
    u32,
    var_bytes,
    varint,
    wire_type,
)

LONGEST = 256
"""Bytes of one field that are shown unless all are asked for."""

_NOTES = {
    "": "not read",
    "fragment": "the beginning of a batch",
    "surplus": "behind the last record",
}
_ROW = 16
_LONGEST_VALUE = 60


@struct
class BatchHeader:
    """The 57 bytes before the blob."""

    base_offset: int = field(i64)
    batch_length: int = field(i32)
    partition_leader_epoch: int = field(i32)
    magic: int = field(i8)
    crc: int = field(u32)
    attributes: int = field(i16)
    last_offset_delta: int = field(i32)
    first_timestamp: int = field(i64)
    max_timestamp: int = field(i64)
    producer_id: int = field(i64)
    producer_epoch: int = field(i16)
    first_sequence: int = field(i32)


@struct
class RecordLayout:
    """A record, its headers a number with nothing behind it."""

    length: int = field(varint)
    attributes: int = field(i8)
    timestamp_delta: int = field(varint)
    offset_delta: int = field(varint)
    key: bytes | None = field(optional(var_bytes))
    value: bytes = field(var_bytes)
    headers: int = field(varint)


_BATCH_HEADER = wire_type(BatchHeader)
_RECORD = wire_type(RecordLayout)


@attrs.frozen
class Part:
    """Some bytes, and what they are.

    :ivar span: their field, its value, and where in ``source`` they stand.
    :ivar source: the frame, or the decompressed blob of a batch.
    :ivar unpacked: whether ``source`` is such a blob.
    """

    span: Span
    source: bytes = attrs.field(repr=False)
    unpacked: bool = False

    @property
    def data(self) -> bytes:
        """The bytes themselves."""
        return self.source[self.span.start : self.span.end]


def take_apart(frame: RecordedFrame) -> tuple[list[Part], ProtocolError | None]:
    """Every byte of the frame in order, by field, and why the rest was not understood.

    Bytes of no field are there too, their path empty.
    """
    payload, version = frame.payload, frame.header.api_version
    try:
        _, spans = RequestHeader.annotate(payload, 0) if not frame.is_reply else (None, [])
        if frame.is_reply:
            spans = [Span("correlation_id", 0, 4, reply_correlation_id(payload))]
        body, type_ = frame.body, frame.type
    except ProtocolError as error:
        return list(_filled(payload, [])), error
    reader = Reader(payload, version, body, len(payload))
    reader.spans = spans
    problem: ProtocolError | None = None
    try:
        type_.read(reader)
    except ProtocolError as error:
        problem = error
    parts: list[Part] = []
    for span in spans:
        if isinstance(span.value, RecordSet):
            inner, inner_problem = _record_set(payload, span)
            parts += inner
            problem = problem or inner_problem
        else:
            parts.append(Part(span, payload))
    return list(_filled(payload, parts)), problem


def _filled(payload: bytes, parts: Sequence[Part]) -> Iterator[Part]:
    """The parts, and one of no name wherever bytes of the frame are in none of them."""
    pos = 0
    for part in parts:
        if not part.unpacked:
            if part.span.start > pos:
                yield Part(Span("", pos, part.span.start, None), payload)
            pos = part.span.end
        yield part
    if pos < len(payload):
        yield Part(Span("", pos, len(payload), None), payload)


def _record_set(payload: bytes, whole: Span) -> tuple[list[Part], ProtocolError | None]:
    records: RecordSet = whole.value  # type: ignore[assignment]
    parts = [Part(Span(f"{whole.path}.length", whole.start, records.start, len(records)), payload)]
    try:
        for index, batch in enumerate(records.batches(check_crc=False)):
            path = f"{whole.path}.batch[{index}]"
            parts += _batch_header(payload, path, batch)
            _records(parts, path, batch)
            batch.check_crc()
        if records.fragment:
            start = records.end - len(records.fragment)
            parts.append(Part(Span(f"{whole.path}.fragment", start, records.end, None), payload))
    except ProtocolError as error:
        return parts, error.within(whole.path)
    return parts, None


def _batch_header(payload: bytes, path: str, batch: Batch) -> Iterator[Part]:
    reader = _reader(payload, batch.start, batch.end)
    _BATCH_HEADER.read(reader)
    yield from _below(path, reader, unpacked=False)


def _records(parts: list[Part], path: str, batch: Batch) -> None:
    data, start, end, unpacked = batch.data, batch.start + HEADER, batch.end, False
    if batch.schema_id is not None:
        parts.append(Part(Span(f"{path}.schema_id", start, start + 4, batch.schema_id), data))
        start += 4
    if batch.compression is not Compression.NONE:
        blob = Span(f"{path}.blob", start, end, batch.compression)
        parts.append(Part(blob, data))
        data, unpacked = batch.blob(), True
        start, end = 0, len(data)
    reader = _reader(data, start, end)
    try:
        count = reader.read("count", i32)
        for index in range(reader.count(count, 7)):
            reader.read(f"record[{index}]", _RECORD)
        if reader.pos < end:
            reader.pos, surplus = end, reader.pos
            reader.mark("surplus", surplus, None)
    finally:
        parts += _below(path, reader, unpacked)


def _reader(data: bytes, start: int, end: int) -> Reader:
    reader = Reader(data, 0, start, end)
    reader.spans = []
    return reader


def _below(path: str, reader: Reader, unpacked: bool) -> Iterator[Part]:
    for span in reader.spans or ():
        yield Part(attrs.evolve(span, path=f"{path}.{span.path}"), reader.data, unpacked)


def describe(frame: RecordedFrame, *, everything: bool = False) -> Iterator[str]:
    """The frame in lines of text.

    :param everything: show all bytes of long fields too.
    """
    header, size = frame.header, len(frame.payload)
    try:
        name = frame.type.__name__
    except ProtocolError:
        name = f"call {header.api_key}"
    yield f"{name} version {header.api_version}, {frame.server}, {size} bytes behind the size"
    parts, problem = take_apart(frame)
    width = max((len(part.span.path) for part in parts), default=0)
    for part in parts:
        yield from _rows(part, width, everything)
    if problem is not None:
        yield f"      {problem}"


def _rows(part: Part, width: int, everything: bool) -> Iterator[str]:
    data, mark = part.data, "+" if part.unpacked else " "
    shown = data if everything or len(data) <= LONGEST else data[:_ROW]
    for offset in range(0, len(shown), _ROW):
        position = f"{mark}{part.span.start + offset:04x}"
        row = f"{position:>6}  {shown[offset : offset + _ROW].hex(' '):<47}"
        if not offset:
            row += f"  {part.span.path or '?':<{width}}  {brief(part)}"
        yield row.rstrip()
    if len(shown) < len(data):
        yield f"        ... {len(data) - len(shown)} bytes more"


def brief(part: Part) -> str:
    """The value of a part in a few words; empty where there is nothing to say."""
    value, name = part.span.value, part.span.path
    if value is None:
        return _NOTES.get(name.rpartition(".")[2], "")
    if isinstance(value, Compression):
        return f"{value.name.lower()}, unpacked below"
    if isinstance(value, (enum.IntEnum, ErrorCode)):
        return f"{value.code if isinstance(value, ErrorCode) else int(value)} {value.name}"
    text = f"{value:#010x}" if name.endswith(".crc") else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def one_frame(text: str, *, server: Server, reply_to: tuple[int, int] | None) -> RecordedFrame:
    """The frame that ``text`` is the hex of, its size in front.

    :param reply_to: for a reply, the key and the version of its request.
    :raises UsageError: not hex, or not one frame.
    """
    try:
        data = bytes.fromhex(re.sub(r"\s|0x|,", "", text))
    except ValueError as error:
        raise UsageError(f"not hex: {error}") from error
    frames = Frames(LARGEST_FRAME)
    payloads = frames.feed(data)
    if len(payloads) != 1 or frames.pending or frames.broken:
        raise UsageError(f"{len(data)} bytes are not one frame, its size in front")
    (payload,) = payloads
    if reply_to is None:
        return RecordedFrame.of_request(server, payload)
    key, version = reply_to
    header = RequestHeader(
        api_key=key,
        api_version=version,
        correlation_id=reply_correlation_id(payload),
        client_id="",
    )
    return RecordedFrame(server=server, header=header, is_reply=True, payload=payload)


def describe_recording(
    lines: Iterable[str], *, only: int | None = None, everything: bool = False
) -> Iterator[str]:
    """Every frame of a recording in lines of text.

    :param only: the number of the one line wanted.
    :raises UsageError: a line is not one of a recording, or no frame was there to be shown.
    :raises ProtocolError: a line holds no frame.
    """
    shown = False
    for number, _, frame in read_lines(lines):
        if frame is not None and only in (None, number):
            way = "<" if frame.is_reply else ">"
            first, *rest = describe(frame, everything=everything)
            yield f"line {number} {way} {first}"
            yield from rest
            yield ""
            shown = True
    if not shown:
        where = "in the recording" if only is None else f"on line {only} of the recording"
        raise UsageError(f"there is no frame to show {where}")


def text_of(name: str) -> str:
    """The text of a file, or of standard input for ``-``.

    :raises InvalidFile: it is no text.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        reason = "is no text: expected a recording, JSON lines; unpack an archive first"
        raise InvalidFile(name, "", reason) from error
