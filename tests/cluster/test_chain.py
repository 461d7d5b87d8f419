"""Chains of SmartModules: what requests carry, as the official client sends it, and errors."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from tests.golden import frames
from txfluvio.cluster import Chain
from txfluvio.errors import (
    BrokerError,
    SmartModuleCrashed,
    SmartModuleInitError,
    SmartModuleNotFound,
    SmartModuleRuntimeError,
    TopicDeleted,
)
from txfluvio.smartmodule import Lookback, SmartModuleInvocation, SmartModuleKind
from txfluvio.wire import spu
from txfluvio.wire.codes import Code, ErrorCode, ModuleKind, error


def recorded() -> Iterator[spu.SmartModuleInvocation]:
    """The SmartModules in all recorded requests."""
    for frame in frames():
        if not frame.is_reply and frame.type in (spu.StreamFetchRequest, spu.ProduceRequest):
            message = frame.type.decode(frame.payload, frame.header.api_version, frame.body)
            assert isinstance(message, spu.StreamFetchRequest | spu.ProduceRequest)
            yield from message.smartmodules


RECORDED = list(recorded())


def sent(module: SmartModuleInvocation) -> spu.SmartModuleInvocation:
    (invocation,) = Chain([module]).invocations
    return invocation


@pytest.mark.parametrize(
    "module",
    [
        SmartModuleInvocation("filter-on-a"),
        SmartModuleInvocation("sm1", params={"k": "v", "a": "b"}, kind=SmartModuleKind.FILTER),
        SmartModuleInvocation("fparam", params={"key": "err"}),
        SmartModuleInvocation("agg1", accumulator=b"START"),
        SmartModuleInvocation("agg", accumulator=b"\1\2", kind=SmartModuleKind.AGGREGATE),
        SmartModuleInvocation("filter-on-a", kind=SmartModuleKind.MAP),
        SmartModuleInvocation("filter-on-a", lookback=Lookback(last=2)),
        SmartModuleInvocation("filter-on-a", lookback=Lookback(last=2, age=3600)),
    ],
    ids=str,
)
def test_an_invocation_by_name_is_sent_as_the_official_clients_send_it(
    module: SmartModuleInvocation,
) -> None:
    found = sent(module)
    alike = [one for one in RECORDED if one.wasm == found.wasm and one.params == found.params]
    assert found.kind in [one.kind for one in alike]


def test_a_module_that_is_sent_along_has_the_bytes_that_the_official_clients_send() -> None:
    theirs = next(one for one in RECORDED if isinstance(one.wasm, spu.AdHoc))
    assert isinstance(theirs.wasm, spu.AdHoc)
    wasm = gzip.decompress(theirs.wasm.payload)
    found = sent(SmartModuleInvocation("mine", wasm=wasm))
    assert isinstance(found.wasm, spu.AdHoc)
    assert gzip.decompress(found.wasm.payload) == wasm
    assert found.wasm.payload.startswith(b"\x1f\x8b")
    assert found.name == "mine"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SmartModuleKind.GENERIC, spu.GenericKind()),
        (SmartModuleKind.FILTER, spu.FilterKind()),
        (SmartModuleKind.MAP, spu.MapKind()),
        (SmartModuleKind.FILTER_MAP, spu.FilterMapKind()),
        (SmartModuleKind.ARRAY_MAP, spu.ArrayMapKind()),
        (SmartModuleKind.AGGREGATE, spu.AggregateKind(accumulator=b"")),
    ],
)
def test_every_kind_has_its_place_on_the_wire(
    kind: SmartModuleKind, expected: spu.SmartModuleKind
) -> None:
    assert sent(SmartModuleInvocation("mine", kind=kind)).kind == expected


@pytest.mark.parametrize(
    ("age", "seconds", "nanoseconds"),
    [(0, 0, 0), (1.5, 1, 500_000_000), (0.999999999, 0, 999999999)],
)
def test_an_age_is_sent_to_the_nanosecond(age: float, seconds: int, nanoseconds: int) -> None:
    lookback = sent(SmartModuleInvocation("mine", lookback=Lookback(age=age))).params.lookback
    assert lookback is not None
    assert lookback.age == spu.Duration(seconds=seconds, nanoseconds=nanoseconds)


@pytest.mark.parametrize("version", [18, 22, 23, 25])
def test_everything_can_be_encoded(version: int) -> None:
    module = SmartModuleInvocation(
        "mine",
        wasm=b"x",
        params={"a": "b"},
        accumulator=b"1",
        lookback=Lookback(last=2**63 - 1, age=(2**63 - 1) // 1000),
    )
    request = spu.StreamFetchRequest(
        topic="orders",
        partition=0,
        fetch_offset=0,
        max_bytes=1,
        smartmodules=Chain([module]).invocations,
    )
    assert request.encode(version)


CHAIN = Chain([SmartModuleInvocation("upper"), SmartModuleInvocation("only-errors")])
FAILED = error(
    Code.SMART_MODULE_RUNTIME_ERROR,
    hint="oops",
    offset=7,
    kind=ModuleKind.MAP,
    record_key=None,
    record_value=b"v",
)


def test_a_failure_on_a_record_names_the_modules() -> None:
    found = CHAIN.error(FAILED, "orders/3")
    assert isinstance(found, SmartModuleRuntimeError)
    assert (found.module, found.hint, found.offset) == ("upper, only-errors", "oops", 7)
    assert str(found).startswith("orders/3 through upper, only-errors: ")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (error(Code.SMART_MODULE_NOT_FOUND, name="upper"), SmartModuleNotFound),
        (error(Code.SMART_MODULE_CHAIN_INIT_ERROR, text="why"), SmartModuleInitError),
        (error(Code.OTHER, text="SmartModule err can't read i32"), SmartModuleCrashed),
        (error(Code.OTHER, text="smartmodule chain failed: why"), SmartModuleCrashed),
    ],
)
def test_what_is_about_the_modules_names_them(code: ErrorCode, kind: type[BrokerError]) -> None:
    found = CHAIN.error(code, "orders/3")
    assert isinstance(found, kind)
    assert found.code == code.code
    assert "orders/3 through upper, only-errors" in str(found)


def test_what_is_not_about_the_modules_does_not() -> None:
    assert CHAIN.error(error(Code.TOPIC_DELETED), "orders/3").what == "orders/3"
    assert isinstance(CHAIN.error(error(Code.TOPIC_DELETED), ""), TopicDeleted)
    other = CHAIN.error(error(Code.OTHER, text="start offset: 9"), "orders/3")
    assert type(other) is BrokerError


def test_without_modules_none_are_named() -> None:
    none = Chain()
    assert not none
    assert none.error(FAILED, "orders/3").what == "orders/3"
