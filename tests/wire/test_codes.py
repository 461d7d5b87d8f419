"""Error codes as they stand in replies."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from txfluvio.errors import BROKER_ERRORS, OffsetEvicted, ProtocolError, UsageError, broker_error
from txfluvio.wire import NO_ERROR, Code, ErrorCode, ReplicaKey, error
from txfluvio.wire.codes import ModuleKind, RequestKind, details, error_code
from txfluvio.wire.schema import Reader, Writer
from txfluvio.wire.spu import UpdateConsumerOffsetResponse

EXAMPLES = {
    "None": (NO_ERROR, "00 00"),
    "UnknownServerError": (error(Code.UNKNOWN_SERVER_ERROR), "ff ff"),
    "Other": (error(Code.OTHER, text="boom"), "00 02 00 04 62 6f 6f 6d"),
    "RequestTimedOut": (
        error(Code.REQUEST_TIMED_OUT, timeout_ms=1500, kind=RequestKind.PRODUCE),
        "00 07 00 00 00 00 00 00 05 dc 00",
    ),
    "OffsetEvicted": (
        error(Code.OFFSET_EVICTED, offset=5, next_available=100),
        "00 47 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 64",
    ),
    "PartitionFull": (
        error(Code.PARTITION_FULL, replica_key=ReplicaKey(topic="events", partition=3)),
        "00 48 00 06 65 76 65 6e 74 73 00 00 00 03",
    ),
    "SmartModuleInvalid": (
        error(Code.SMART_MODULE_INVALID, error="bad", name=None),
        "17 72 00 03 62 61 64 00",
    ),
    "SmartModuleRuntimeError": (
        error(
            Code.SMART_MODULE_RUNTIME_ERROR,
            hint="oops",
            offset=7,
            kind=ModuleKind.FILTER,
            record_key=None,
            record_value=b"ten",
        ),
        "17 74 00 04 6f 6f 70 73 00 00 00 00 00 00 00 07 00 00 06 74 65 6e",
    ),
    "SmartModuleRuntimeError with a key": (
        error(
            Code.SMART_MODULE_RUNTIME_ERROR,
            hint="oops",
            offset=7,
            kind=ModuleKind.MAP,
            record_key=b"k",
            record_value=b"ten",
        ),
        "17 74 00 04 6f 6f 70 73 00 00 00 00 00 00 00 07 01 01 02 6b 06 74 65 6e",
    ),
}


def read(data: bytes) -> ErrorCode:
    return error_code.read(Reader(data, 25, 0, len(data)))


def written(value: ErrorCode) -> bytes:
    writer = Writer(25)
    error_code.write(writer, value)
    return writer.getvalue()


@pytest.mark.parametrize(("value", "hex"), EXAMPLES.values(), ids=list(EXAMPLES))
def test_example(value: ErrorCode, hex: str) -> None:
    assert read(bytes.fromhex(hex)) == value
    assert written(value) == bytes.fromhex(hex)


def test_only_success_is_no_error() -> None:
    assert not NO_ERROR
    assert not read(b"\0\0")
    assert error(Code.TOPIC_NOT_FOUND)
    assert error(Code.UNKNOWN_SERVER_ERROR)


def test_a_code_compares_equal_to_its_member() -> None:
    assert error(Code.TOPIC_NOT_FOUND).code == Code.TOPIC_NOT_FOUND


@pytest.mark.parametrize("code", [3, 9999, -2, 32767, -32768])
def test_an_unknown_code_is_a_value(code: int) -> None:
    data = code.to_bytes(2, "big", signed=True)
    found = read(data)
    assert (found.code, found.detail) == (code, None)
    assert found
    assert found.name == f"error {code}"
    assert found.fields == {}
    assert written(found) == data


def test_an_unknown_code_at_the_end_of_a_reply_leaves_the_rest_of_it_known() -> None:
    reply = UpdateConsumerOffsetResponse.decode(bytes.fromhex("0000000000000029 270f"), 25)
    assert (reply.offset, reply.error_code.code) == (41, 9999)


def test_a_known_code_has_the_platform_s_name() -> None:
    assert error(Code.OFFSET_EVICTED, offset=1, next_available=2).name == "OFFSET_EVICTED"


def test_the_payload_is_told_by_name() -> None:
    assert error(Code.OFFSET_EVICTED, offset=1, next_available=2).fields == {
        "offset": 1,
        "next_available": 2,
    }


def test_what_to_raise_says_what_was_told() -> None:
    raised = error(Code.OFFSET_EVICTED, offset=1, next_available=2).exception("orders/3", "gone")
    assert isinstance(raised, OffsetEvicted)
    assert (raised.what, raised.next_available, raised.detail) == ("orders/3", 2, "gone")


def test_a_payload_that_is_not_there_is_refused() -> None:
    with pytest.raises(ProtocolError):
        read(bytes.fromhex("0047 0000000000000005"))


def test_a_code_is_not_sent_without_its_payload() -> None:
    with pytest.raises(UsageError):
        UpdateConsumerOffsetResponse(offset=0, error_code=ErrorCode(71)).encode(25)


def test_a_payload_has_all_its_fields() -> None:
    with pytest.raises(TypeError):
        error(Code.OFFSET_EVICTED, offset=1)


FIELDS: dict[str, Any] = {
    "timeout_ms": 1,
    "offset": 2,
    "next_available": 3,
    "name": "n",
    "kind": "k",
    "hint": "h",
    "error": "e",
    "text": "t",
    "record_key": b"k",
    "record_value": b"v",
    "requested": 4,
    "max": 5,
    "replica_key": ReplicaKey(topic="t", partition=0),
}


@pytest.mark.parametrize("code", sorted(BROKER_ERRORS))
def test_every_payload_becomes_the_attributes_of_its_exception(code: int) -> None:
    cls = details().get(code)
    names = [f.name for f in attrs.fields(cls)] if cls is not None else []
    raised = broker_error(code, {name: FIELDS[name] for name in names})
    assert raised.code == code
    assert str(raised)
