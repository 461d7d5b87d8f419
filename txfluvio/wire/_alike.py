"""Neighbours of one size, read together.

Records are often of one size: readings, or whatever has fields of fixed width. What frames these is
the same, so a slice with a stride compares a byte of all of them at once; and of a batch of few, a
struct takes everything apart, as it did with one before. Compiled code is faster without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat, starmap
from struct import Struct
from typing import Final

from ._record import Record
from ._varints import (
    FIRST_BYTES,
    HIGH_BYTES,
    LOW,
    LOW_BYTES,
    SECOND_BYTES,
    SHORT,
    VARINTS,
    read_varint,
    varint,
)

_FEW: Final = 14
"""Fewer neighbours than these are not worth comparing."""
_TOGETHER: Final = 1024
"""So many are compared at once: that is what it costs at most to find only a few of them alike."""

SMALL: Final = range(4, 65)
"""So many records are read by a layout. Of up to 64, all offsets are varints of a byte."""
_GUESSES: Final = 256
"""So many guesses, and layouts, are kept. A layout may take 17 kB."""

_guesses: dict[tuple[int, int], tuple[int | None, int] | None] = {}
"""By the bytes and the number of a batch's records: the size of each key, if any, and value; or
None where such a guess was wrong, and is not made again."""


class _Layout:
    """What is where in ``count`` records of one size, numbered from 0, each time being a byte.

    :ivar struct: takes all of it apart: bytes of the framing are in turn with fields.
    :ivar framing: those bytes, where the records are as a producer writes them.
    :ivar width: fields of a record: its time, its key if there are keys, its value.
    """

    __slots__ = ("framing", "struct", "width")

    def __init__(self, key_size: int | None, value_size: int, count: int) -> None:
        between = b"\x00" + varint(_inner_size(key_size, value_size)) + b"\x00"
        length = varint(value_size)
        framing: list[bytes] = []
        if key_size is None:
            fields = f"B{2 + len(length)}s{value_size}s"
            for offset in VARINTS[:count]:
                framing += (between, offset + b"\x00" + length)
        else:
            before = b"\x01" + varint(key_size)
            fields = f"B{1 + len(before)}s{key_size}s{len(length)}s{value_size}s"
            for offset in VARINTS[:count]:
                framing += (between, offset + before, length)
        # Behind the last one is what ends a record, and before the first what begins one.
        self.framing = (between[1:], *framing[1:], b"\x00")
        others = f"{len(between)}s{fields}" * (count - 1)
        self.struct = Struct(f">{len(between) - 1}s{fields}{others}1s")
        self.width = 2 if key_size is None else 3


_layout = lru_cache(maxsize=_GUESSES)(_Layout)


def _inner_size(key_size: int | None, value_size: int) -> int:
    """What a record of fields of these sizes says is its length, if its numbers take a byte."""
    key = 0 if key_size is None else len(varint(key_size)) + key_size
    return 5 + key + len(varint(value_size)) + value_size


def remember(found: Sequence[Record], size: int) -> None:
    """Guess that of ``size`` bytes, so many records will be framed as these are, if all alike."""
    shape = size, len(found)
    if shape in _guesses:
        return
    first, last = found[0], found[-1]
    key_size = None if first.key is None else len(first.key)
    value_size = len(first.value)
    if len(last.value) == value_size:
        inner = _inner_size(key_size, value_size)
        if len(found) * (len(varint(inner)) + inner) == size:
            if len(_guesses) >= _GUESSES:
                _guesses.pop(next(iter(_guesses)), None)
            _guesses[shape] = key_size, value_size


def decode_remembered(
    found: list[Record],
    data: bytes,
    pos: int,
    end: int,
    count: int,
    base_offset: int,
    first_timestamp: int,
    topic: str,
    partition: int,
) -> bool:
    """Add the ``count`` records in ``data[pos:end]`` to ``found``, if they are what was guessed."""
    shape = end - pos, count
    guess = _guesses.get(shape)
    if guess is None or end > len(data):
        return False
    layout = _layout(*guess, count)
    row = layout.struct.unpack_from(data, pos)
    fields = row[1::2]
    width = layout.width
    time_bytes = fields[::width]
    if row[::2] != layout.framing or max(time_bytes) > 127:
        _guesses[shape] = None
        return False
    keys = repeat(None, count) if width == 2 else fields[1::3]
    values = fields[width - 1 :: width]
    _add(found, values, keys, base_offset, first_timestamp, time_bytes, topic, partition)
    return True


def decode_alike(
    found: list[Record],
    limit: int,
    data: bytes,
    start: int,
    base_offset: int,
    first_timestamp: int,
    topic: str,
    partition: int,
) -> int:
    """Add the next records to ``found`` that are framed as the first of them, up to ``limit``.

    Their lengths, keys' lengths, and values' lengths are the same, their offsets rise by one, and
    their times take a byte. Anything else, or damaged, is left for others to read.

    :returns: where what was read ends; ``start`` if there is nothing of the kind.
    """
    while (left := limit - len(found)) >= _FEW:
        size, head = read_varint(data, start)
        stride = head + size - start
        if data[start:head] != data[start + stride : head + stride]:
            return start
        # As if the time were a byte, which is asked below.
        delta, flag_at = read_varint(data, head + 2)
        flag = data[flag_at]
        key_size, key_at = read_varint(data, flag_at + 1) if flag else (0, flag_at + 1)
        key_end = key_at + key_size
        value_size, value_at = read_varint(data, key_end)
        if (
            delta < 0
            or flag > 1
            or key_size < 0
            or value_size < 0
            or value_at + value_size + 1 != start + stride
        ):
            return start
        length = min(left, _TOGETHER, (len(data) - start) // stride)
        if 0 <= delta < 64:
            # Offsets of two bytes begin there; a flag would be taken from where the others have it.
            length = min(length, 64 - delta)
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
        first_bytes, second_bytes, low = FIRST_BYTES, SECOND_BYTES, delta
        if delta >= SHORT:
            first_bytes, second_bytes, low = LOW_BYTES, HIGH_BYTES, delta % SHORT
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
    time_bytes: Sequence[int],
    topic: str,
    partition: int,
) -> None:
    """Add records whose offsets rise by one, and whose times are varints of a byte each."""
    count = len(time_bytes)
    offsets = range(first_offset, first_offset + count)
    timestamps: Iterable[int] = repeat(first_timestamp, count)
    if any(time_bytes):
        timestamps = [first_timestamp + LOW[byte] for byte in time_bytes]
    record: Record
    records = [*starmap(Record, repeat((), count))]
    rows = zip(records, values, keys, offsets, timestamps, strict=True)
    # Made all first, and assigned from the left, they take a fifth less than one by one.
    for record, record.value, record.key, record.offset, record.timestamp in rows:
        record.partition = partition
        record.topic = topic
    found += records


def _column(block: bytes, at: int, size: int, stride: int) -> Iterator[bytes]:
    """The ``size`` bytes at ``at`` of every ``stride`` bytes."""
    return chain.from_iterable(_one_field(at, size, stride).iter_unpack(block))


@lru_cache(maxsize=64)
def _one_field(at: int, size: int, stride: int) -> Struct:
    return Struct(f"{at}x{size}s{stride - at - size}x")
