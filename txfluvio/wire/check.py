"""Holds the declarations against recorded traffic: bytes to values, values to bytes, the same?

Every frame is decoded at the version its request had and encoded again from the values alone:
nothing of its bytes is kept. Record sets are followed down to the records; what remains of a set
behind its last complete batch means nothing by itself and is taken as the bytes it is. A
compressed blob depends on who compressed it, so there what is in it must be the same, and what is
around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from ..errors import FluvioError, ProtocolError
from .compression import Compression
from .dump import take_apart
from .recordings import RecordedFrame, Recording
from .records import HEADER, Batch, RecordSet
from .schema import Message, evolve

_LONGEST = 16


@attrs.frozen
class Difference:
    """What is not the same.

    :ivar message: the class of the message, with its version.
    :ivar field: the path of the field; empty for bytes that are no field's.
    :ivar position: where in the frame, counted from the first byte behind the size; or None.
    :ivar what: both sides, or why the frame can not be read.
    """

    message: str
    field: str
    position: int | None
    what: str

    def __str__(self) -> str:
        where = "" if self.position is None else f" at byte {self.position}"
        return f"{self.message}: {self.field or 'no field'}{where}: {self.what}"


@attrs.define
class Totals:
    """What was looked at."""

    files: int = 0
    frames: int = 0
    batches: int = 0
    compressed: int = 0
    records: int = 0
    frames_that_differ: int = 0

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.frames} frames, {self.batches} batches "
            f"({self.compressed} compressed), {self.records} records: "
            f"{self.frames - self.frames_that_differ} frames the same, "
            f"{self.frames_that_differ} different"
        )


def check_lines(lines: Iterable[str], totals: Totals) -> Iterator[tuple[int, Difference]]:
    """The differences in one recording, each with the number of its line."""
    recording = Recording()
    totals.files += 1
    for number, line in enumerate(lines, 1):
        try:
            frame = recording.read(line)
        except FluvioError as error:
            totals.frames += 1
            totals.frames_that_differ += 1
            yield number, _unreadable("line", error)
            continue
        if frame is None:
            continue
        differences = check_frame(frame, totals)
        totals.frames += 1
        totals.frames_that_differ += bool(differences)
        for difference in differences:
            yield number, difference


def check_frame(frame: RecordedFrame, totals: Totals) -> list[Difference]:
    """Decode, encode again, and say what is not the same."""
    name = f"{_name(frame)} version {frame.header.api_version}"
    try:
        message = frame.type.decode(frame.payload, frame.header.api_version, frame.body)
        again = frame.encode(_Rebuild(totals).message(message))
    except FluvioError as error:
        return [_unreadable(name, error)]
    if again == frame.payload:
        return []
    return list(_compare(name, frame, attrs.evolve(frame, payload=again)))


def _name(frame: RecordedFrame) -> str:
    try:
        return frame.type.__name__
    except ProtocolError:
        return f"call {frame.header.api_key}"


def _unreadable(name: str, error: FluvioError) -> Difference:
    if isinstance(error, ProtocolError):
        return Difference(name, error.field, error.position, error.reason)
    return Difference(name, "", None, str(error))


class _Rebuild:
    """Makes values anew whose record sets are encoded from the records in them."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def message(self, message: Message) -> Message:
        rebuilt: Message = self._value(message)
        return rebuilt

    def _value(self, value: Any) -> Any:
        if isinstance(value, RecordSet):
            return self._record_set(value)
        if isinstance(value, tuple):
            return tuple([self._part(f"[{index}]", item) for index, item in enumerate(value)])
        if not hasattr(type(value), "__wire__"):
            return value
        names = [attribute.name for attribute in attrs.fields(type(value))]
        return evolve(value, **{name: self._part(name, getattr(value, name)) for name in names})

    def _part(self, name: str, value: Any) -> Any:
        try:
            return self._value(value)
        except ProtocolError as error:
            raise error.within(name) from error.__cause__

    def _record_set(self, records: RecordSet) -> RecordSet:
        encoded = [self._batch(batch) for batch in records.batches()]
        return RecordSet.of(*encoded, records.fragment)

    def _batch(self, batch: Batch) -> bytes:
        records = batch.raw_records()
        again = batch.encode(records)
        self._totals.batches += 1
        self._totals.records += len(records)
        if batch.compression is not Compression.NONE:
            self._totals.compressed += 1
            if _unpacked(batch) == _unpacked(Batch(again, 0)):
                return batch.data[batch.start : batch.end]
        return again


def _unpacked(batch: Batch) -> tuple[bytes, bytes, bytes, bytes]:
    """The bytes of a batch, its blob decompressed, its length and its checksum left out."""
    header = batch.data[batch.start : batch.start + HEADER]
    schema = b"" if batch.schema_id is None else batch.schema_id.to_bytes(4, "big")
    return header[:8] + header[12:17], header[21:], schema, batch.blob()


def _compare(name: str, frame: RecordedFrame, again: RecordedFrame) -> Iterator[Difference]:
    there = {part.span.path or part.span.start: part for part in take_apart(frame)[0]}
    here = {part.span.path or part.span.start: part for part in take_apart(again)[0]}
    for key, part in there.items():
        other, path = here.get(key), part.span.path
        if other is None or other.data != part.data:
            written = "not at all" if other is None else f"as {_brief(other.data)}"
            what = f"{_brief(part.data)} is written {written}"
            yield Difference(name, path, part.span.start, what)
    for key, part in here.items():
        if key not in there:
            yield Difference(
                name, part.span.path, None, f"{_brief(part.data)} is written in addition"
            )


def _brief(data: bytes) -> str:
    if len(data) <= _LONGEST:
        return data.hex(" ") or "nothing"
    return f"{data[:_LONGEST].hex(' ')} ... ({len(data)} bytes)"
