"""What a record may be: checked at the call that sends it, before anything is queued.

Pure. Every complaint is a named error that shows no payload.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import TypeAlias, cast

from ..errors import InvalidRecord, RecordTooLarge
from ..wire.records import HEADER, BatchBuilder

Given: TypeAlias = "bytes | tuple[bytes | None, bytes]"
"""A record as users give it: a value, or a pair of key and value."""

Keys: TypeAlias = "list[bytes | None] | None"
"""The keys of some records; None where no record has one."""

OVERHEAD = HEADER + 24
"""A batch with one record has no more than this many bytes besides its key and value."""

_LATEST_TIMESTAMP = 2**63 - 1


def check_record(key: bytes | None, value: bytes, limit: int) -> None:
    """Check the types of a record and that it makes a batch within ``limit`` bytes.

    :raises InvalidRecord: key or value are not bytes.
    :raises RecordTooLarge: it does not.
    """
    if not isinstance(value, bytes):
        raise _not_bytes("value", value)
    size = len(value)
    if key is not None:
        if not isinstance(key, bytes):
            raise _not_bytes("key", key)
        size += len(key)
    if size + OVERHEAD > limit:
        check_size(key, value, limit)


def check_timestamp(timestamp: int) -> int:
    """The timestamp itself.

    Zero and less mean "unset" to whoever reads the batch.

    :raises InvalidRecord: it is not a whole number of milliseconds above 0 that fits 64 bits.
    """
    if type(timestamp) is not int or not 0 < timestamp <= _LATEST_TIMESTAMP:
        raise InvalidRecord("the timestamp is not milliseconds since the Unix epoch, above 0")
    return timestamp


def columns(records: Iterable[Given], limit: int) -> tuple[Keys, list[bytes]]:
    """The keys and the values of records, all of them checked as :func:`check_record` does.

    :raises InvalidRecord: likewise; also where ``records`` is no collection of records.
    """
    if isinstance(records, bytes | str):
        raise InvalidRecord(f"one {type(records).__name__} is no collection of records")
    try:
        given = iter(records)
    except TypeError as error:
        raise InvalidRecord(f"{type(records).__name__} is no collection of records") from error
    keys, values = _split(list(given))
    longest = max(map(len, values), default=0)
    if keys is not None:
        longest += max(len(key or b"") for key in keys)
    if longest + OVERHEAD > limit:
        for index, value in enumerate(values):
            check_size(None if keys is None else keys[index], value, limit)
    return keys, values


def size_alone(key: bytes | None, value: bytes) -> int:
    """Bytes of a batch with this one record, before compression."""
    builder = BatchBuilder(0)
    builder.append(key, value)
    return builder.size


def check_size(key: bytes | None, value: bytes, limit: int) -> None:
    """Check to the byte that a record makes a batch within ``limit``.

    :raises RecordTooLarge: it does not.
    """
    size = size_alone(key, value)
    if size > limit:
        raise RecordTooLarge(size, limit)


def _split(records: list[Given]) -> tuple[Keys, list[bytes]]:
    # All values, or all pairs, is nearly always the case, and then no loop in Python is needed.
    kinds = set(map(type, records))
    if kinds <= {bytes}:
        return None, cast("list[bytes]", records)
    if kinds == {tuple} and set(map(len, records)) == {2}:
        firsts, seconds = zip(*records, strict=True)
        if set(map(type, firsts)) <= {bytes, NoneType} and set(map(type, seconds)) == {bytes}:
            return list(firsts), list(seconds)
    keys: list[bytes | None] = []
    values: list[bytes] = []
    for record in records:
        if isinstance(record, bytes):
            keys.append(None)
            values.append(record)
            continue
        if not isinstance(record, tuple) or len(record) != 2:
            raise InvalidRecord(
                f"a record is {type(record).__name__}: expected bytes, or a pair of key and value"
            )
        key, value = record
        if not (key is None or isinstance(key, bytes)):
            raise _not_bytes("key", key)
        if not isinstance(value, bytes):
            raise _not_bytes("value", value)
        keys.append(key)
        values.append(value)
    return keys, values


def _not_bytes(what: str, found: object) -> InvalidRecord:
    return InvalidRecord(f"the {what} is {type(found).__name__}: keys and values are bytes")
