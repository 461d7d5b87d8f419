"""Values of the fake as plain JSON, for programs in other languages.

Messages become objects of their fields. What has no fields becomes its name, and so do the members
of enumerations and error codes. Bytes become text where they are UTF-8, and else an object
``{"base64": ...}``. Only one direction is here, but for bytes.
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Mapping
from typing import Any

import attrs

from ...errors import ProtocolError
from ...wire.codes import ErrorCode
from ...wire.records import Record, RecordSet
from ...wire.sc import Kind
from ...wire.spu import ConsumerOffset
from ..looking import Produced
from ..server.journal import Entry


def plain(value: object) -> Any:
    """A value as what ``json`` can write."""
    match value:
        case enum.Enum():
            return value.name
        case None | bool() | int() | float() | str():
            return value
        case bytes() | memoryview():
            return plain_bytes(bytes(value))
        case Record():
            return plain_record(value)
        case RecordSet():
            return _record_set(value)
        case ErrorCode():
            fields = plain(value.fields)
            return {"name": value.name, **fields} if fields else value.name
        case Kind():
            return value.label
        case Mapping():
            return {str(plain(key)): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    kind: Any = type(value)
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
        if names:
            return {name: plain(getattr(value, name)) for name in names}
    return type(value).__name__


def plain_bytes(data: bytes) -> Any:
    """Text, or an object that has the bytes in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def given_bytes(value: Any) -> bytes:
    """The bytes that are meant by text or by an object ``{"base64": ...}``.

    :raises ValueError: neither is it.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from error
    raise ValueError("neither text nor an object with base64")


def plain_record(record: Record) -> dict[str, Any]:
    """A record with its place."""
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": None if record.key is None else plain_bytes(record.key),
        "value": plain_bytes(record.value),
    }


def plain_entry(entry: Entry) -> dict[str, Any]:
    """A request, a reply or a push, with its message, which is null if it can not be read."""
    return {
        "time": entry.time,
        "server": entry.server,
        "connection": entry.connection,
        "direction": entry.direction.value,
        "api": entry.name,
        "version": entry.header.api_version,
        "correlation_id": entry.header.correlation_id,
        "client_id": entry.header.client_id,
        "message": plain(entry.message),
    }


def plain_produced(one: Produced) -> dict[str, Any]:
    """What one Produce had for one partition."""
    return {
        "time": one.time,
        "server": one.spu,
        "connection": one.connection,
        "topic": one.topic,
        "partition": one.partition,
        "acks_all": one.acks_all,
        **_record_set(one.data),
    }


def plain_offset(stored: ConsumerOffset) -> dict[str, Any]:
    """What a consumer has stored of a partition."""
    return {
        "consumer_id": stored.consumer_id,
        "topic": stored.replica_id.topic,
        "partition": stored.replica_id.partition,
        "offset": stored.offset,
        "modified": stored.modified_time,
    }


def _record_set(data: RecordSet) -> dict[str, Any]:
    try:
        batches = data.batches(check_crc=False)
        records = [plain_record(record) for batch in batches for record in batch.records()]
    except ProtocolError as error:
        return {"bytes": len(data), "damaged": str(error)}
    return {"bytes": len(data), "batches": len(batches), "records": records}
