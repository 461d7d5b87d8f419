"""Fluvio's wire protocol: bytes to values and back, and nothing else.

Floor 0, and of use by itself: an executable specification. There is no I/O here, no clock and no
Twisted. Messages are declared in :mod:`.spu`, :mod:`.sc` and :mod:`.versions`, one class each,
in the language of :mod:`.schema`, which for those in use has functions written by
:mod:`.straight`; :mod:`.codes` are the errors inside them, :mod:`.headers` and :mod:`.framing` what
is around them, :mod:`.records` and :mod:`.compression` what they carry. It stands on
:mod:`txfluvio.errors` alone.

``python -m txfluvio.wire check`` holds the declarations against recorded traffic, and
``python -m txfluvio.wire dump`` shows a frame with each byte's field beside it.

Importing any part of this package imports all of it, so the tables of calls are always complete.
"""

from __future__ import annotations

from . import _decode, sc, spu
from .codes import NO_ERROR, Code, ErrorCode, ReplicaKey, error
from .compression import Compression
from .framing import DEFAULT_MAX_FRAME_SIZE, Frames, frame
from .headers import (
    REPLY_BODY,
    RequestHeader,
    decode_request_header,
    encode_reply,
    encode_request,
    reply_correlation_id,
)
from .records import Batch, BatchBuilder, Record, RecordSet, encode_batch, renumber
from .schema import SC_APIS, SPU_APIS, Api, Message, Request, Span, evolve
from .versions import ApiVersionRange, ApiVersionsRequest, ApiVersionsResponse, choose_version

COMPILED = not _decode.__file__.endswith(".py")
"""Whether the hot part, records from bytes and back, is machine code here."""

__all__ = [
    "COMPILED",
    "DEFAULT_MAX_FRAME_SIZE",
    "NO_ERROR",
    "REPLY_BODY",
    "SC_APIS",
    "SPU_APIS",
    "Api",
    "ApiVersionRange",
    "ApiVersionsRequest",
    "ApiVersionsResponse",
    "Batch",
    "BatchBuilder",
    "Code",
    "Compression",
    "ErrorCode",
    "Frames",
    "Message",
    "Record",
    "RecordSet",
    "ReplicaKey",
    "Request",
    "RequestHeader",
    "Span",
    "choose_version",
    "decode_request_header",
    "encode_batch",
    "encode_reply",
    "encode_request",
    "error",
    "evolve",
    "frame",
    "renumber",
    "reply_correlation_id",
    "sc",
    "spu",
]
