"""Records from bytes: the one hot place, written by hand.

Plain functions over ``bytes`` and positions, which mypyc can compile as they are.
"""

from __future__ import annotations

from types import FunctionType
from typing import Final

from ..errors import ProtocolError
from ._alike import SMALL, decode_alike, decode_remembered, remember
from ._compat import i64
from ._raw import check_count, damaged, decode_raw_records
from ._record import Record, make_record
from ._varints import LENGTH, LOW, read_length, read_varint

_MANY: Final = 128
"""So many records are read one by one before it is asked again whether neighbours are alike."""

_INTERPRETED: Final = isinstance(read_varint, FunctionType)


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
            make_record(
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
    start = pos
    small = _INTERPRETED and count in SMALL
    if small and decode_remembered(
        found, data, pos, end, count, base_offset, first_timestamp, topic, partition
    ):
        return end
    while len(found) < count:
        if _INTERPRETED:
            pos = decode_alike(
                found, count, data, pos, base_offset, first_timestamp, topic, partition
            )
        limit = min(count, len(found) + _MANY)
        pos = _decode_usual(found, limit, data, pos, base_offset, first_timestamp, topic, partition)
    if pos > end:
        raise damaged("it ends late", end)
    if small:
        remember(found, pos - start)
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
    low, length_of = LOW, LENGTH
    byte: i64
    size: i64
    last: i64
    # Neighbours are often of one time: then it is one object, made once.
    known: i64 = 0
    time: int | None = first_timestamp
    # Called _, it would be an object to the compiler.
    for _number in range(limit - len(found)):
        byte = data[pos]
        if byte < 128:
            size = length_of[byte]
            pos += 1
        elif (more := data[pos + 1]) < 128:
            size = length_of[byte] + more * 64
            pos += 2
        else:
            size, pos = read_length(data, pos)
        stop = pos + size
        byte = data[pos + 1]
        if byte == known:
            pos += 2
        elif byte < 128:
            time = first_timestamp + low[byte]
            known = byte
            pos += 2
        else:
            delta, pos = read_varint(data, pos + 1)
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
            delta, pos = read_varint(data, pos)
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
                size, pos = read_length(data, pos)
            last = pos + size
            if flag != 1 or last >= stop:
                raise damaged("it is unusual at least", stop)
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
            size, pos = read_length(data, pos)
        last = pos + size
        if data[last] > 127 or last + 1 != stop:
            raise damaged("it is unusual at least", stop)
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
