"""Records from bytes and back: the one hot place, written by hand.

Plain functions over ``bytes`` and positions, which mypyc can compile as they are. A record's
varints are nearly always one or two bytes, so those are read in line from a table and everything
longer by :func:`_varint`. ``_LOW`` holds the value of a byte's seven low bits; if there is a second
byte, xor with 64 times that completes the zig-zag. ``_LENGTH`` is for what is never negative:
there a second byte is added, and a negative length is one that reaches behind everything.

Neighbours are often of one size: readings, or whatever has fields of fixed width. What frames
these is the same, so a slice with a stride compares a byte of all of them at once. Compiled code
is faster without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat, starmap
from struct import Struct
from types import FunctionType
from typing import Any, Final

from ..errors import ProtocolError
from ._compat import i64, mypyc_attr

_FAR: Final = 2**62
_LOW: Final = tuple(((byte & 0x7F) >> 1) ^ -(byte & 1) for byte in range(256))
_LENGTH: Final = tuple(_FAR if byte & 1 else (byte & 0x7F) >> 1 for byte in range(256))
_SMALLEST_RECORD: Final = 7
_WORD: Final = 2**64 - 1

_FEW: Final = 14
"""Fewer neighbours than these are not worth comparing."""
_TOGETHER: Final = 1024
"""So many are compared at once: that is what it costs at most to find only a few of them alike."""
_MANY: Final = 128
"""So many records are read one by one before it is asked again whether neighbours are alike."""
_FIRST_BYTES: Final = bytes(range(0, 128, 2)) + 127 * bytes(range(128, 256, 2))
_SECOND_BYTES: Final = b"".join(64 * bytes((byte,)) for byte in range(128))
"""The two bytes of all varints from 0 to 8191 (of the first 64, there is only the first)."""
_SHORT: Final = 8192
_LOW_BYTES: Final = 128 * bytes(range(128, 256, 2))
_HIGH_BYTES: Final = b"".join(64 * bytes((byte,)) for byte in range(128, 256))
"""The first two bytes of longer ones, by the number modulo 8192; the others are the same for 8192
neighbours."""


@mypyc_attr(acyclic=True)
class Record:
    """One record, as a consumer gets it.

    :ivar offset: its place in the partition; ``None`` where a SmartModule made it unknowable.
    :ivar key: ``None`` when the record has no key; a key may be empty.
    :ivar value: never ``None``, perhaps empty.
    :ivar timestamp: milliseconds since the Unix epoch, set by the producer; ``None`` if unset.
    :ivar partition: the partition it was read from.
    :ivar topic: the topic it was read from.
    """

    __slots__ = ("key", "offset", "partition", "timestamp", "topic", "value")

    offset: int | None
    key: bytes | None
    value: bytes
    timestamp: int | None
    partition: int
    topic: str

    def _facts(self) -> tuple[str, int, int | None, bytes | None, bytes, int | None]:
        return (self.topic, self.partition, self.offset, self.key, self.value, self.timestamp)

    def __eq__(self, other: object) -> bool:
        return self._facts() == other._facts() if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._facts())

    def __reduce__(self) -> tuple[Any, ...]:
        return _record, self._facts()

    def __repr__(self) -> str:
        key = "" if self.key is None else f" key={self.key!r}"
        return f"<Record {self.topic}/{self.partition}@{self.offset}{key} value={self.value!r}>"


def _record(
    topic: str,
    partition: int,
    offset: int | None,
    key: bytes | None,
    value: bytes,
    timestamp: int | None,
) -> Record:
    record = Record()
    record.topic = topic
    record.partition = partition
    record.offset = offset
    record.key = key
    record.value = value
    record.timestamp = timestamp
    return record


def _varint(data: bytes, pos: i64) -> tuple[int, i64]:
    byte = data[pos]
    if byte < 128:
        return _LOW[byte], pos + 1
    more = data[pos + 1]
    if more < 128:
        return _LOW[byte] ^ more * 64, pos + 2
    shift = value = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= _WORD
            return (value >> 1) ^ -(value & 1), pos
        shift += 7
        if shift >= 70:
            raise ProtocolError("a varint of more than 10 bytes", field="records", position=pos)


_INTERPRETED: Final = isinstance(_varint, FunctionType)


def decode_records(
    data: bytes,
    pos: i64,
    end: i64,
    count: i64,
    base_offset: int | None,
    first_timestamp: int | None,
    topic: str = "",
    partition: int = 0,
) -> tuple[list[Record], i64]:
    """The ``count`` records at ``data[pos:end]``, and where they end; what follows is ignored.

    :raises ProtocolError: a record does not add up, or fewer than ``count`` are there.
    """
    check_count(count, pos, end)
    offset, time = base_offset or 0, first_timestamp or 0
    found: list[Record] = []
    try:
        stop = _decode_quickly(found, data, pos, end, count, offset, time, topic, partition)
    except (IndexError, ProtocolError):
        raw_records, stop = decode_raw_records(data, pos, end, count)
        found = [
            _record(
                topic,
                partition,
                offset + raw.offset_delta,
                raw.key,
                raw.value,
                time + raw.timestamp_delta,
            )
            for raw in raw_records
        ]
    if base_offset is None:
        for record in found:
            record.offset = None
    if first_timestamp is None:
        for record in found:
            record.timestamp = None
    return found, stop


def _decode_quickly(
    found: list[Record],
    data: bytes,
    pos: i64,
    end: i64,
    count: i64,
    base_offset: int,
    first_timestamp: int,
    topic: str,
    partition: int,
) -> i64:
    """Add the records to ``found``, if they are as a producer writes them; returns where they end.

    :raises ProtocolError: or IndexError: they are not, or damaged; look again, carefully.
    """
    while len(found) < count:
        if _INTERPRETED:
            pos = _decode_alike(
                found, count, data, pos, base_offset, first_timestamp, topic, partition
            )
        limit = min(count, len(found) + _MANY)
        pos = _decode_usual(found, limit, data, pos, base_offset, first_timestamp, topic, partition)
    if pos > end:
        raise _damaged("it ends late", end)
    return pos


def _decode_usual(
    found: list[Record],
    limit: i64,
    data: bytes,
    pos: i64,
    base_offset: int,
    first_timestamp: int,
    topic: str,
    partition: int,
) -> i64:
    """Add the next records to ``found``, until it has ``limit`` of them; returns where they end.

    What is wrong is not asked here. Positions only grow, so a record that ends where its length
    says has no field outside, and if the last one ends within bounds then all do.
    """
    low, length_of = _LOW, _LENGTH
    size: i64
    last: i64
    # Neighbours are often of one time: then it is one object, made once.
    known: i64 = 0
    time: int | None = first_timestamp
    for _ in range(limit - len(found)):
        byte = data[pos]
        if byte < 128:
            size = length_of[byte]
            pos += 1
        elif (more := data[pos + 1]) < 128:
            size = length_of[byte] + more * 64
            pos += 2
        else:
            size, pos = _long_length(data, pos)
        stop = pos + size
        byte = data[pos + 1]
        if byte == known:
            pos += 2
        elif byte < 128:
            time = first_timestamp + low[byte]
            known = byte
            pos += 2
        else:
            delta, pos = _varint(data, pos + 1)
            time = first_timestamp + delta
            known = -1
        byte = data[pos]
        if byte < 128:
            offset = base_offset + low[byte]
            pos += 1
        elif (more := data[pos + 1]) < 128:
            offset = base_offset + (low[byte] ^ more * 64)
            pos += 2
        else:
            delta, pos = _varint(data, pos)
            offset = base_offset + delta
        flag = data[pos]
        pos += 1
        key = None
        if flag:
            byte = data[pos]
            if byte < 128:
                size = length_of[byte]
                pos += 1
            elif (more := data[pos + 1]) < 128:
                size = length_of[byte] + more * 64
                pos += 2
            else:
                size, pos = _long_length(data, pos)
            last = pos + size
            if flag != 1 or last >= stop:
                raise _damaged("it is unusual at least", stop)
            key = data[pos:last]
            pos = last
        byte = data[pos]
        if byte < 128:
            size = length_of[byte]
            pos += 1
        elif (more := data[pos + 1]) < 128:
            size = length_of[byte] + more * 64
            pos += 2
        else:
            size, pos = _long_length(data, pos)
        last = pos + size
        if data[last] > 127 or last + 1 != stop:
            raise _damaged("it is unusual at least", stop)
        record = Record()
        record.value = data[pos:last]
        record.key = key
        record.offset = offset
        record.timestamp = time
        record.partition = partition
        record.topic = topic
        found.append(record)
        pos = stop
    return pos


def _decode_alike(
    found: list[Record],
    limit: i64,
    data: bytes,
    start: i64,
    base_offset: int,
    first_timestamp: int,
    topic: str,
    partition: int,
) -> i64:
    """Add the next records to ``found`` that are framed as the first of them, up to ``limit``.

    Their lengths, keys' lengths, and values' lengths are the same, their offsets rise by one, and
    their times take a byte. Anything else, or damaged, is left for others to read.

    :returns: where what was read ends; ``start`` if there is nothing of the kind.
    """
    while (left := limit - len(found)) >= _FEW:
        size, head = _varint(data, start)
        stride = head + size - start
        if data[start:head] != data[start + stride : head + stride]:
            return start
        # As if the time were a byte, which is asked below.
        delta, flag_at = _varint(data, head + 2)
        flag = data[flag_at]
        key_size, key_at = _varint(data, flag_at + 1) if flag else (0, flag_at + 1)
        key_end = key_at + key_size
        value_size, value_at = _varint(data, key_end)
        if (
            delta < 0
            or flag > 1
            or key_size < 0
            or value_size < 0
            or value_at + value_size + 1 != start + stride
        ):
            return start
        length = min(left, _TOGETHER, (len(data) - start) // stride)
        stop = start + length * stride
        for at in (
            *range(start, head),
            *range(head + 4, flag_at),
            *range(flag_at, key_at),
            *range(key_end, value_at),
        ):
            column = data[at:stop:stride]
            if column.count(column[0]) < length:
                length -= len(column.lstrip(column[:1]))
                stop = start + length * stride
        time_bytes = data[head + 1 : stop : stride]
        first_bytes, second_bytes, low = _FIRST_BYTES, _SECOND_BYTES, delta
        if delta >= _SHORT:
            first_bytes, second_bytes, low = _LOW_BYTES, _HIGH_BYTES, delta % _SHORT
        high = low + length
        if (
            length < _FEW
            or data[head + 2 : stop : stride] != first_bytes[low:high]
            or (delta >= 64 and data[head + 3 : stop : stride] != second_bytes[low:high])
            or not time_bytes.isascii()
            or not data[value_at + value_size : stop : stride].isascii()
        ):
            return start
        block = data[start:stop]
        values = _column(block, value_at - start, value_size, stride)
        keys = _column(block, key_at - start, key_size, stride) if flag else repeat(None, length)
        offset = base_offset + delta
        _add(found, values, keys, offset, first_timestamp, time_bytes, topic, partition)
        start = stop
    return start


def _add(
    found: list[Record],
    values: Iterable[bytes],
    keys: Iterable[bytes | None],
    first_offset: int,
    first_timestamp: int,
    time_bytes: bytes,
    topic: str,
    partition: int,
) -> None:
    """Add records whose offsets rise by one, and whose times are varints of a byte each."""
    count = len(time_bytes)
    offsets = range(first_offset, first_offset + count)
    timestamps: Iterable[int] = repeat(first_timestamp, count)
    if any(time_bytes):
        timestamps = [first_timestamp + _LOW[byte] for byte in time_bytes]
    record: Record
    records = [*starmap(Record, repeat((), count))]
    rows = zip(records, values, keys, offsets, timestamps, strict=True)
    # Made all first, and assigned from the left, they take a fifth less than one by one.
    for record, record.value, record.key, record.offset, record.timestamp in rows:
        record.partition = partition
        record.topic = topic
    found += records


def _column(block: bytes, at: i64, size: i64, stride: i64) -> Iterator[bytes]:
    """The ``size`` bytes at ``at`` of every ``stride`` bytes."""
    return chain.from_iterable(_one_field(at, size, stride).iter_unpack(block))


@lru_cache(maxsize=64)
def _one_field(at: int, size: int, stride: int) -> Struct:
    return Struct(f"{at}x{size}s{stride - at - size}x")


def _long_length(data: bytes, pos: i64) -> tuple[i64, i64]:
    value, pos = _varint(data, pos)
    return (value if 0 <= value < _FAR else _FAR), pos


class RawRecord:
    """One record exactly as its bytes say, nothing computed: for tools that write it again."""

    __slots__ = ("attributes", "headers", "key", "offset_delta", "timestamp_delta", "value")

    def __init__(
        self,
        attributes: int,
        timestamp_delta: int,
        offset_delta: int,
        key: bytes | None,
        value: bytes,
        headers: int,
    ) -> None:
        self.attributes = attributes
        self.timestamp_delta = timestamp_delta
        self.offset_delta = offset_delta
        self.key = key
        self.value = value
        self.headers = headers


def decode_raw_records(data: bytes, pos: int, end: int, count: int) -> tuple[list[RawRecord], int]:
    """The same records as :func:`decode_records`, with every field they have on the wire.

    :raises ProtocolError: as :func:`decode_records`.
    """
    found: list[RawRecord] = []
    check_count(count, pos, end)
    start = pos
    try:
        for _ in range(count):
            start = pos
            size, pos = _varint(data, pos)
            if size < 0 or size > end - pos:
                raise _damaged("its length is more than what is left", start)
            stop = pos + size
            attributes = data[pos]
            timestamp_delta, pos = _varint(data, pos + 1)
            offset_delta, pos = _varint(data, pos)
            flag = data[pos]
            pos += 1
            key = None
            if flag:
                if flag != 1:
                    raise _damaged(f"its key flag is {flag}", start)
                size, pos = _varint(data, pos)
                if size < 0 or size > stop - pos:
                    raise _damaged("its key is longer than the record", start)
                key = data[pos : pos + size]
                pos += size
            size, pos = _varint(data, pos)
            if size < 0 or size >= stop - pos:
                raise _damaged("its value is longer than the record", start)
            value = data[pos : pos + size]
            headers, pos = _varint(data, pos + size)
            if pos != stop:
                raise _damaged("its fields do not add up to its length", start)
            found.append(RawRecord(attributes, timestamp_delta, offset_delta, key, value, headers))
    except IndexError as error:
        raise _damaged("it ends early", start) from error
    return found, pos


def check_count(count: int, pos: int, end: int) -> None:
    """Refuse a number of records that ``end - pos`` bytes can not hold, or a negative one.

    :raises ProtocolError: it is such a number.
    """
    if not 0 <= count * _SMALLEST_RECORD <= end - pos:
        raise ProtocolError(
            f"a count of {count} records in {end - pos} bytes", field="records", position=pos
        )


def _damaged(reason: str, position: int) -> ProtocolError:
    return ProtocolError(f"a record is damaged: {reason}", field="records", position=position)


def varint(value: int) -> bytes:
    """``value`` as a zig-zag varint; the platform writes 32-bit values only."""
    raw = (value << 1) ^ (value >> 63)
    out = bytearray()
    while raw > 0x7F:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    out.append(raw)
    return bytes(out)


_RUN: Final = 128
"""So many records are looked at together, whether they are alike."""
_FEW_ALIKE: Final = 4
"""Fewer are not worth it."""
_VARINTS: Final = (
    *[bytes((first,)) for first in _FIRST_BYTES[:64]],
    *map(bytes, zip(_FIRST_BYTES[64:], _SECOND_BYTES[64:], strict=True)),
)
_BEGINNINGS: Final = tuple(map(bytes, zip(_LOW_BYTES, _HIGH_BYTES, strict=True)))
"""The first two bytes of varints from 8192 on, by the number modulo 8192."""


def append_records(
    parts: list[bytes],
    keys: Sequence[bytes | None] | None,
    values: Sequence[bytes],
    start: int,
    index: int,
    delta: int,
    room: int,
) -> tuple[int, int]:
    """Append the records ``values[start:]``, as many as fit into ``room`` bytes.

    The first becomes the batch's record ``index``, the others follow; all are ``delta``
    milliseconds from the batch's time. Neighbours of one size are appended together.

    :param keys: the keys of all ``values``; None: no record has one.
    :returns: where in ``values`` it stopped, and the bytes appended.
    """
    left = room
    while start < len(values):
        fit = max(0, left) // (_SMALLEST_RECORD + len(values[start]))
        # Up to there, offsets differ in the first two bytes only, and are of one size.
        of_one_width = 64 - index if index < 64 else _SHORT - index % _SHORT
        stop = start + min(_RUN, of_one_width, fit + 1)
        run = values[start:stop]
        names = None if keys is None else keys[start:stop]
        if len(run) >= _FEW_ALIKE and _alike(names, run):
            count, size = _append_alike(parts, names, run, index, delta, left)
        else:
            count, size = append_each(parts, names, run, index, delta, left)
        start += count
        index += count
        left -= size
        if count < len(run):
            break
    return start, room - left


def _alike(keys: Sequence[bytes | None] | None, values: Sequence[bytes]) -> bool:
    if len(set(map(len, values))) > 1:
        return False
    try:
        return keys is None or len(set(map(len, keys))) == 1  # type: ignore[arg-type]
    except TypeError:
        # Some have none.
        return False


def _offsets(start: int, stop: int) -> Sequence[bytes]:
    """The varints of ``range(start, stop)``, where only the first may be a multiple of 8192."""
    if stop <= _SHORT:
        return _VARINTS[start:stop]
    end = varint(start)[2:]
    rest = start % _SHORT
    return [beginning + end for beginning in _BEGINNINGS[rest : rest + stop - start]]


def append_each(
    parts: list[bytes],
    keys: Sequence[bytes | None] | None,
    values: Sequence[bytes],
    index: int,
    delta: int,
    room: int,
) -> tuple[int, int]:
    """Append those of the records that fit; returns how many these are, and how many bytes.

    The parameters are those of :func:`append_records`; no record but the first may have a
    multiple of 8192 for its index.
    """
    lead = b"\x00" + (_VARINTS[delta] if 0 <= delta < _SHORT else varint(delta))
    left = room
    count = 0
    key: bytes | None = None
    for value, offset in zip(values, _offsets(index, index + len(values)), strict=True):
        length = len(value)
        prefix = _VARINTS[length] if length < _SHORT else varint(length)
        inner = len(lead) + len(offset) + len(prefix) + length + 2
        if keys is not None:
            key = keys[count]
        if key is None:
            size = _VARINTS[inner] if inner < _SHORT else varint(inner)
            inner += len(size)
            if inner > left:
                break
            parts += (size, lead, offset, b"\x00", prefix, value, b"\x00")
        else:
            length = len(key)
            name = _VARINTS[length] if length < _SHORT else varint(length)
            inner += len(name) + length
            size = _VARINTS[inner] if inner < _SHORT else varint(inner)
            inner += len(size)
            if inner > left:
                break
            parts += (size, lead, offset, b"\x01", name, key, prefix, value, b"\x00")
        left -= inner
        count += 1
    return count, room - left


def _append_alike(
    parts: list[bytes],
    keys: Sequence[bytes | None] | None,
    values: Sequence[bytes],
    index: int,
    delta: int,
    room: int,
) -> tuple[int, int]:
    """The same for records of one size, whose offsets' varints are of one size too.

    What stands between two values is the same but for the offset, so it is made once.
    """
    lead = b"\x00" + varint(delta)
    prefix = varint(len(values[0]))
    key = b"" if keys is None else keys[0] or b""
    name = b"\x00" if keys is None else b"\x01" + varint(len(key))
    offsets = _offsets(index, index + len(values))
    inner = len(lead) + len(offsets[0]) + len(name) + len(key) + len(prefix) + len(values[0]) + 1
    head = varint(inner)
    size = len(head) + inner
    if size > room:
        return 0, 0
    count = min(len(values), room // size)
    offsets = offsets[:count]
    head += lead
    # What ends a record and what begins the next are one piece.
    between = repeat(b"\x00" + head)
    parts.append(head)
    rows: Iterable[tuple[Any, ...]]
    if keys is None:
        rows = zip(offsets, repeat(name + prefix), values, between, strict=False)
    else:
        rows = zip(offsets, repeat(name), keys, repeat(prefix), values, between, strict=False)
    parts += chain.from_iterable(rows)
    parts[-1] = b"\x00"
    return count, count * size


def encode_raw_records(records: list[RawRecord]) -> bytes:
    """The records as they stood, without their count."""
    parts: list[bytes] = []
    for record in records:
        key = b"\x00" if record.key is None else b"\x01" + varint(len(record.key)) + record.key
        inner = b"".join(
            (
                bytes((record.attributes,)),
                varint(record.timestamp_delta),
                varint(record.offset_delta),
                key,
                varint(len(record.value)),
                record.value,
                varint(record.headers),
            )
        )
        parts += (varint(len(inner)), inner)
    return b"".join(parts)
