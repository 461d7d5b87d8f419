"""Records read with care, field by field, and written again as they stood.

For tools that want every field, and for what is not as a producer writes it: this says what is
wrong with it.
"""

from __future__ import annotations

from typing import Final

from ..errors import ProtocolError
from ._record import RawRecord
from ._varints import read_varint, varint

SMALLEST_RECORD: Final = 7
"""Bytes of a record without key and value."""


def decode_raw_records(data: bytes, pos: int, end: int, count: int) -> tuple[list[RawRecord], int]:
    """The ``count`` records at ``data[pos:end]`` with every field they have, and where they end.

    :raises ProtocolError: a record does not add up, or fewer than ``count`` are there.
    """
    found: list[RawRecord] = []
    check_count(count, pos, end)
    start = pos
    try:
        for _ in range(count):
            start = pos
            size, pos = read_varint(data, pos)
            if size < 0 or size > end - pos:
                raise damaged("its length is more than what is left", start)
            stop = pos + size
            attributes = data[pos]
            timestamp_delta, pos = read_varint(data, pos + 1)
            offset_delta, pos = read_varint(data, pos)
            flag = data[pos]
            pos += 1
            key = None
            if flag:
                if flag != 1:
                    raise damaged(f"its key flag is {flag}", start)
                size, pos = read_varint(data, pos)
                if size < 0 or size > stop - pos:
                    raise damaged("its key is longer than the record", start)
                key = data[pos : pos + size]
                pos += size
            size, pos = read_varint(data, pos)
            if size < 0 or size >= stop - pos:
                raise damaged("its value is longer than the record", start)
            value = data[pos : pos + size]
            headers, pos = read_varint(data, pos + size)
            if pos != stop:
                raise damaged("its fields do not add up to its length", start)
            found.append(RawRecord(attributes, timestamp_delta, offset_delta, key, value, headers))
    except IndexError as error:
        raise damaged("it ends early", start) from error
    return found, pos


def check_count(count: int, pos: int, end: int) -> None:
    """Refuse a number of records that ``end - pos`` bytes can not hold, or a negative one.

    :raises ProtocolError: it is such a number.
    """
    if not 0 <= count * SMALLEST_RECORD <= end - pos:
        raise ProtocolError(
            f"a count of {count} records in {end - pos} bytes", field="records", position=pos
        )


def damaged(reason: str, position: int) -> ProtocolError:
    return ProtocolError(f"a record is damaged: {reason}", field="records", position=position)


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
