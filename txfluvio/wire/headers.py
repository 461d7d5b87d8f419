"""What stands before the body of every message, and whole frames.

::

    frame    = size: i32, payload
    request  = api_key: u16, api_version: i16, correlation_id: i32, client_id: str, body
    response = correlation_id: i32, body

The size does not count itself. A response carries neither key nor version: whoever sent the
request has to remember both. Positions in errors count from the first byte behind the size.
"""

from __future__ import annotations

import struct as _struct
from functools import lru_cache
from typing import Any

from ..errors import ProtocolError, UsageError
from .framing import frame
from .schema import Message, Reader, Request, Writer, field, i16, i32, string, struct, u16

REPLY_BODY = 4
"""Where the body of a reply begins in its frame, the size prefix left off."""

_CORRELATION_ID = _struct.Struct(">i")
_ID_AT = 4
"""Where the correlation id begins in the header of a request."""


@struct
class RequestHeader(Message):
    """The header of a request; its layout never changes."""

    api_key: int = field(u16)
    api_version: int = field(i16)
    correlation_id: int = field(i32)
    client_id: str = field(string)


def decode_request_header(payload: bytes) -> tuple[RequestHeader, int]:
    """The header of a request frame (without its size), and where the body begins."""
    reader = Reader(payload, 0, 0, len(payload))
    try:
        header: RequestHeader = RequestHeader.__wire__.read(reader)
    except ProtocolError as error:
        error.message = "RequestHeader"
        raise
    return header, reader.pos


def reply_correlation_id(payload: bytes) -> int:
    """The correlation id of a reply frame (without its size)."""
    if len(payload) < REPLY_BODY:
        raise ProtocolError(
            f"a reply of {len(payload)} bytes has no correlation id",
            message="ResponseHeader",
            field="correlation_id",
            position=0,
        )
    found: int = _CORRELATION_ID.unpack_from(payload)[0]
    return found


def encode_request(
    message: Request[Any], *, version: int, correlation_id: int, client_id: str
) -> bytes:
    """The whole frame of a request, size included.

    :raises UsageError: a value does not fit its field.
    """
    before, behind = _around_the_id(message.api.key, version, client_id)
    writer = Writer(version)
    message.__wire__.write(writer, message)
    return frame(before, _packed_id(correlation_id), behind, *writer.parts)


def encode_reply(message: Message, *, version: int, correlation_id: int) -> bytes:
    """The whole frame of a reply, size included, at the version its request had.

    :raises UsageError: a value does not fit its field.
    """
    writer = Writer(version)
    message.__wire__.write(writer, message)
    return frame(_packed_id(correlation_id), *writer.parts)


@lru_cache
def _around_the_id(api_key: int, version: int, client_id: str) -> tuple[bytes, bytes]:
    """What stands before the correlation id in the header of a request, and what behind it."""
    header = RequestHeader(
        api_key=api_key, api_version=version, correlation_id=0, client_id=client_id
    ).encode(version)
    return header[:_ID_AT], header[_ID_AT + _CORRELATION_ID.size :]


def _packed_id(correlation_id: int) -> bytes:
    try:
        return _CORRELATION_ID.pack(correlation_id)
    except _struct.error as error:
        raise UsageError(f"{correlation_id} is no correlation id") from error
