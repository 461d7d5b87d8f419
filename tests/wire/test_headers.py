"""What stands in front of every body."""

from __future__ import annotations

import pytest

from txfluvio.errors import ProtocolError, UsageError
from txfluvio.wire import (
    Frames,
    RequestHeader,
    decode_request_header,
    encode_reply,
    encode_request,
    reply_correlation_id,
)
from txfluvio.wire.spu import UpdateOffsetsRequest, UpdateOffsetsResponse

HEADER = bytes.fromhex("00 12 00 01 00 00 00 01 00 0a 63 6f 6e 73 75 6d 65 72 2d 31")
"""The header of the platform's own test."""


def test_a_request_header() -> None:
    header, body = decode_request_header(HEADER + b"body")
    assert header == RequestHeader(
        api_key=18, api_version=1, correlation_id=1, client_id="consumer-1"
    )
    assert body == len(HEADER)
    assert header.encode(0) == HEADER


@pytest.mark.parametrize("version", [-1, 32767])
def test_any_version_is_read(version: int) -> None:
    data = HEADER[:2] + version.to_bytes(2, "big", signed=True) + HEADER[4:]
    assert decode_request_header(data)[0].api_version == version


@pytest.mark.parametrize("at", range(len(HEADER)))
def test_a_header_cut_anywhere_is_refused(at: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request_header(HEADER[:at])
    assert caught.value.message == "RequestHeader"
    assert caught.value.field
    assert caught.value.position is not None


def test_a_reply_begins_with_the_correlation_id() -> None:
    assert reply_correlation_id(bytes.fromhex("fffffffe 00")) == -2


@pytest.mark.parametrize("size", range(4))
def test_a_reply_without_one_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        reply_correlation_id(b"\0" * size)
    assert (caught.value.message, caught.value.field) == ("ResponseHeader", "correlation_id")


def test_a_request_is_one_frame() -> None:
    request = UpdateOffsetsRequest(offsets=())
    whole = encode_request(request, version=0, correlation_id=7, client_id="me")
    (payload,) = Frames().feed(whole)
    header, body = decode_request_header(payload)
    assert header == RequestHeader(api_key=1005, api_version=0, correlation_id=7, client_id="me")
    assert payload[body:] == request.encode(0)


def test_a_reply_is_one_frame() -> None:
    reply = UpdateOffsetsResponse(status=())
    (payload,) = Frames().feed(encode_reply(reply, version=0, correlation_id=-7))
    assert reply_correlation_id(payload) == -7
    assert payload[4:] == reply.encode(0)


def test_what_does_not_fit_is_the_caller_s_error() -> None:
    request, reply = UpdateOffsetsRequest(offsets=()), UpdateOffsetsResponse(status=())
    with pytest.raises(UsageError):
        encode_request(request, version=0, correlation_id=2**31, client_id="me")
    with pytest.raises(UsageError):
        encode_request(request, version=0, correlation_id=1, client_id="x" * 32768)
    with pytest.raises(UsageError):
        encode_reply(reply, version=0, correlation_id=2**31)
