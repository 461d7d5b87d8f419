"""Modules in WASM, good and bad: the bad ones end what they are part of, and nothing else."""

from __future__ import annotations

import gc
import gzip
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.testing.smartmodules import wat
from tests.testing.smartmodules.kit import Kit, text_of, values
from tests.testing.smartmodules.wat import ad_hoc, answering, bare, function
from txfluvio.testing.smartmodules import Limits, Trap
from txfluvio.testing.smartmodules.abi import Input
from txfluvio.testing.smartmodules.registry import SmartModules
from txfluvio.wire.codes import Code, error
from txfluvio.wire.records import encode_batch
from txfluvio.wire.spu import AdHoc, ExtraParams, Lookback, PartitionResponse, SmartModuleInvocation

pytest.importorskip("wasmtime")

SMALL = Limits(fuel=1_000_000, fuel_per_byte=100, memory=1024 * 1024, module_size=100_000)

SMART_MODULE_CODES = range(6000, 6009)

FINE = function("filter", answering(0, b"\0\0\0\0\0"))
"""A filter that lets nothing through."""


def first_push(wasm: bytes, lookback: Lookback | None = None) -> PartitionResponse:
    """What comes of a stream of one record through a module."""
    kit = Kit(limits=SMALL)
    kit.put([b"x"])
    module = SmartModuleInvocation(
        wasm=AdHoc(payload=gzip.compress(wasm)), params=ExtraParams(lookback=lookback)
    )
    return kit.stream(module).push()


# Good ones


@pytest.mark.parametrize("version", [18, 19, 20, 21, 22, 23, 24, 25])
def test_every_version_has_its_layouts(version: int) -> None:
    kit = Kit()
    kit.put([b"apple", b"berry"])
    stream = kit.stream(ad_hoc(wat.FILTER), version=version)
    assert values(stream.push()) == [b"apple"]


def test_the_version_of_the_request_is_told() -> None:
    says = (
        '(func (export "filter") (param i32 i32 i32) (result i32)'
        " (if (i32.ne (local.get 2) (i32.const 21)) (then (unreachable)))"
        " (call $copy_records (i32.const 0) (i32.const 5)) (i32.const 0))"
    )
    kit = Kit()
    kit.put([b"x"])
    assert kit.stream(ad_hoc(bare(says)), version=21).pushes() == []
    assert kit.stream(ad_hoc(bare(says)), version=22).push().error_code.code == Code.OTHER


def test_the_first_function_that_is_known_decides_the_kind() -> None:
    both = wat.module(
        "filter",
        "(call $emit (global.get $val) (global.get $val_len)) (i32.const 0)",
        '(func (export "map") (param i32 i32 i32) (result i32) (unreachable))'
        '(func (export "aggregate") (param i32 i32 i32) (result i32) (unreachable))',
    )
    kit = Kit()
    kit.put([b"x"])
    assert values(kit.stream(ad_hoc(both)).push()) == [b"x"]


def test_streams_of_one_module_share_no_memory() -> None:
    kit = Kit()
    kit.put([b"a", b"b"])
    client = kit.client()
    with_b = kit.stream(ad_hoc(wat.FILTER_PARAM, key="b"), client=client)
    without = kit.stream(ad_hoc(wat.FILTER_PARAM), client=client)
    assert values(with_b.push()) == [b"b"]
    assert values(without.push()) == [b"a"]


def test_many_calls_need_no_more_memory_than_one() -> None:
    kit = Kit(limits=SMALL)
    stream = kit.stream(ad_hoc(wat.MAP))
    for number in range(100):
        kit.put([b"x" * 20_000])
        stream.push()
        stream.ack(number + 1)
    assert kit.spu.replicas["orders", 0].log.leo == 100


# Those that do not start


@pytest.mark.parametrize(
    ("wasm", "text"),
    [
        (
            b"this is not wasm at all",
            "expected `(`\n     --> <anon>:1:1\n      |\n    1 | this is not wasm at all\n"
            "      | ^",
        ),
        (b"\0asm\1\0\0\0", "Failed to instantiate: At least one import is required"),
        (bare(), "No valid smartmodule found"),
        (bare(function("join", "(i32.const 0)")), "No valid smartmodule found"),
        (
            b'(module (import "env" "copy_records" (func (param i32 i32)))'
            b'(import "env" "foo" (func)))',
            "Failed to instantiate: unknown import: `env::foo` has not been defined",
        ),
        (
            bare('(func (export "filter") (param i32) (result i32) (i32.const 0))'),
            "type mismatch with parameters",
        ),
        (
            bare('(func (export "filter") (param i32 i32 i32))'),
            "type mismatch with results",
        ),
        (bare('(func (export "init"))', FINE), "type mismatch with parameters"),
        (
            bare(FINE, function("init", answering(-2, b"\0\4oops"))),
            "oops\n\nSmartModule Init Error: \n",
        ),
        (
            bare(FINE, function("init", answering(-10))),
            "failed to decode SmartModule init input",
        ),
        (
            bare(FINE, function("init", answering(-11))),
            "failed to encode SmartModule init output",
        ),
        (
            bare(FINE, function("init", answering(-1))),
            "encountered unknown error during SmartModule processing",
        ),
        (
            bare(FINE, function("init", answering(-77))),
            "encountered unknown error during SmartModule processing",
        ),
    ],
)
def test_what_can_not_start_says_why(wasm: bytes, text: str) -> None:
    assert first_push(wasm).error_code == error(Code.SMART_MODULE_CHAIN_INIT_ERROR, text=text)


def test_a_trap_at_the_start_is_told_without_saying_which() -> None:
    push = first_push(bare(FINE, function("init", "unreachable")))
    assert push.error_code.code == Code.SMART_MODULE_CHAIN_INIT_ERROR
    assert text_of(push).startswith("error while executing at wasm backtrace:")


def test_more_memory_than_there_is_has_a_code_of_its_own() -> None:
    greedy = b"""(module (import "env" "copy_records" (func (param i32 i32)))
        (memory (export "memory") 17))"""
    assert first_push(greedy).error_code == error(
        Code.SMART_MODULE_MEMORY_LIMIT_EXCEEDED, requested=17 * 65_536, max=16 * 65_536
    )


def test_a_module_that_grows_at_the_start_is_told_so_too() -> None:
    grows = bare(FINE, function("init", "(drop (memory.grow (i32.const 20))) (i32.const 0)"))
    assert first_push(grows).error_code == error(
        Code.SMART_MODULE_MEMORY_LIMIT_EXCEEDED, requested=21 * 65_536, max=16 * 65_536
    )


def test_a_module_may_not_be_larger_than_the_limit() -> None:
    assert first_push(bytes(100_001)).error_code.code == Code.SMART_MODULE_INVALID


# Those that break down on the way


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (answering(-11), "failed to decode SmartModule base input"),
        (answering(-22), "failed to decode SmartModule record input"),
        (answering(-33), "failed to encode SmartModule output"),
        (answering(-44), "failed to parse SmartModule extra params"),
        (answering(-55), "undefined right record in Join SmartModule"),
        (answering(-1), "encountered unknown error during SmartModule processing"),
        (answering(-1000), "encountered unknown error during SmartModule processing"),
        (answering(0), "can't read i32"),
        ("(i32.const 0)", "can't read i32"),
        ("(call $copy_records (i32.const -8) (i32.const 100)) (i32.const 0)", "can't read i32"),
        ("(call $copy_records (i32.const 65530) (i32.const 7)) (i32.const 0)", "can't read i32"),
    ],
)
def test_what_fails_on_a_batch_says_why(body: str, text: str) -> None:
    push = first_push(bare(function("filter", body)))
    assert push.error_code == error(Code.OTHER, text=f"SmartModule err {text}")


@pytest.mark.parametrize(
    "output",
    [
        b"\0\0\0\1",
        b"\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff" + bytes(100),
        b"\0\0\0\1\x7f" + bytes(20),
        b"\0\0\0\0\1\0\4oops" + bytes(8) + b"\x63",
        b"\0\0\0\0\2",
    ],
)
def test_garbage_for_an_output_is_an_error_of_the_stream(output: bytes) -> None:
    push = first_push(bare(function("filter", answering(0, output))))
    assert push.error_code.code == Code.OTHER
    assert text_of(push).startswith("SmartModule err ")


@pytest.mark.parametrize(
    "body",
    [
        "unreachable",
        "(i32.load (i32.const -4))",
        "(i32.div_u (i32.const 1) (i32.const 0))",
        "(call $deeper) (i32.const 0)",
    ],
)
def test_a_trap_is_told_without_saying_which(body: str) -> None:
    push = first_push(bare(function("filter", body), "(func $deeper (call $deeper))"))
    assert push.error_code.code == Code.OTHER
    assert text_of(push).startswith("SmartModule err error while executing at wasm backtrace:")


def test_nothing_at_all_is_no_text_of_a_module() -> None:
    text = "expected at least one module field\n     --> <anon>:1:1\n      |\n    1 | \n      | ^"
    code = Code.SMART_MODULE_CHAIN_INIT_ERROR
    assert first_push(b"").error_code == error(code, text=text)


@pytest.mark.parametrize(
    "entry",
    [
        function("filter", "(loop $ever (br $ever)) (i32.const 0)"),
        FINE.replace("filter", "map") + function("init", "(loop $ever (br $ever)) (i32.const 0)"),
        '(func (export "filter") (param i32 i32 i32) (result i32) (i32.const 0))'
        "(func $forever (loop $ever (br $ever))) (start $forever)",
    ],
)
def test_an_endless_loop_ends(entry: str) -> None:
    text = text_of(first_push(bare(entry)))
    assert "fuel" in text


def test_a_module_can_not_sleep() -> None:
    text = "SmartModule err encountered unknown error during SmartModule processing"
    assert text_of(first_push(wat.SLEEPS)) == text


def test_telling_of_output_is_paid_for() -> None:
    tells = (
        "(loop $more (call $copy_records (i32.const 0) (i32.const 5))"
        " (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $more (local.get 0)))"
        " (i32.const 0)"
    )
    assert "fuel" in text_of(first_push(bare(function("filter", tells))))


def test_the_size_of_a_batch_pays_for_steps() -> None:
    for per_byte, passes in ((0, False), (1_000, True)):
        kit = Kit(limits=Limits(fuel=10_000, fuel_per_byte=per_byte))
        kit.put([b"x" * 20_000])
        push = kit.stream(ad_hoc(wat.MAP)).push()
        assert bool(values(push)) is passes
        assert bool(push.error_code) is not passes


@pytest.mark.parametrize(
    "body",
    [
        "(drop (memory.grow (i32.const 20))) (i32.const 0)",
        "(loop $more (drop (memory.grow (i32.const 1))) (br $more)) (i32.const 0)",
        "(drop (memory.grow (i32.const 20))) unreachable",
    ],
)
def test_allocating_without_end_ends(body: str) -> None:
    push = first_push(bare(function("filter", body)))
    assert push.error_code.code == Code.OTHER
    assert "exceeded max allowed 1048576b" in text_of(push)


def test_tables_are_limited_in_number() -> None:
    push = first_push(bare(FINE, "(table 1000 funcref)" * 9))
    assert push.error_code.code == Code.SMART_MODULE_CHAIN_INIT_ERROR
    assert "table" in text_of(push)


def test_what_has_broken_down_leaves_no_memory_to_the_garbage_collector() -> None:
    import wasmtime

    def stores() -> int:
        return sum(isinstance(one, wasmtime.Store) for one in gc.get_objects())

    wasm = ad_hoc(bare(function("filter", "unreachable")))
    batch = Input(base_offset=0, base_timestamp=0, records=bytes(4))
    gc.collect()
    gc.disable()
    try:
        before = stores()
        for _ in range(3):
            chain = SmartModules().start([wasm], 25, lambda: 0.0)
            with suppress(Trap):
                chain.process(batch)
            del chain
        assert stores() == before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "alloc",
    ["(i32.const -1)", "(i32.const 65530)", "unreachable", "(loop $e (br $e)) (i32.const 0)"],
)
def test_an_alloc_that_has_no_room_is_an_error_of_the_stream(alloc: str) -> None:
    wasm = f"""(module (import "env" "copy_records" (func (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "alloc") (param i32) (result i32) {alloc})
      (func (export "filter") (param i32 i32 i32) (result i32) (i32.const 0)))"""
    assert first_push(wasm.encode()).error_code.code == Code.OTHER


def test_a_dealloc_that_breaks_down_does_no_harm() -> None:
    kit = Kit()
    kit.put([b"x"])
    wasm = bare(FINE, '(func (export "dealloc") (param i32 i32) unreachable)')
    assert kit.stream(ad_hoc(wasm)).pushes() == []


@pytest.mark.parametrize("missing", ["memory", "alloc"])
def test_without_memory_or_alloc_nothing_can_be_handed_over(missing: str) -> None:
    wasm = bare(FINE).replace(f'(export "{missing}")'.encode(), b"")
    push = first_push(wasm)
    assert push.error_code.code == Code.OTHER
    assert missing in text_of(push)


# Looking back


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            answering(-99, b"\0\4oops" + bytes(7) + b"\3\0\2v"),
            "oops\n\nSmartModule Lookback Error: \n    Offset: 3\n    Key: NULL\n    Value: v",
        ),
        (answering(-66), "failed to decode SmartModule look_back input"),
        (answering(-77), "failed to decode SmartModule look_back record input"),
        (answering(-88), "failed to encode SmartModule look_back output"),
        (answering(-1), "encountered unknown error during SmartModule processing"),
        ("unreachable", "wasm trap: wasm `unreachable` instruction executed"),
    ],
)
def test_what_fails_when_it_looks_back_says_why(body: str, text: str) -> None:
    push = first_push(bare(FINE, function("look_back", body)), Lookback(last=1))
    assert push.error_code == error(Code.SMART_MODULE_LOOKBACK_ERROR, text=text)


# Garbage


def test_damaged_modules_run_or_are_refused_and_nothing_else() -> None:
    import wasmtime

    good = bytes(wasmtime.wat2wasm(wat.FILTER.decode()))
    kit = Kit(limits=SMALL)
    kit.put([b"apple"])

    @settings(max_examples=150)
    @given(data=st.data())
    def damage(data: st.DataObject) -> None:
        wasm = bytearray(good)
        for _ in range(data.draw(st.integers(1, 4))):
            wasm[data.draw(st.integers(0, len(wasm) - 1))] = data.draw(st.integers(0, 255))
        for push in kit.stream(ad_hoc(bytes(wasm))).pushes():
            known = (Code.NONE, Code.OTHER, *SMART_MODULE_CODES)
            assert push.partition.error_code.code in known

    damage()


# What else goes on


@pytest.mark.parametrize(
    "wasm",
    [
        b"junk",
        bare(),
        bare(function("filter", "unreachable")),
        bare(function("filter", "(loop $ever (br $ever)) (i32.const 0)")),
        bare(
            function("filter", "(loop $e (drop (memory.grow (i32.const 1))) (br $e)) (i32.const 0)")
        ),
        bare(function("filter", answering(0, b"\xff" * 8))),
    ],
)
def test_nothing_else_suffers_from_a_bad_module(wasm: bytes) -> None:
    kit = Kit(limits=SMALL)
    client = kit.client()
    fine = kit.stream(ad_hoc(wat.FILTER), client=client)
    bad = kit.stream(ad_hoc(wasm), client=client)
    refused = client.produce(encode_batch([b"a"]), smartmodules=(ad_hoc(wasm),))
    assert refused.error_code
    assert client.produce(encode_batch([b"apple"])).error_code.code == Code.NONE
    assert bad.push().error_code
    assert values(fine.push()) == [b"apple"]
    fine.ack(1)
    kit.put([b"again"])
    assert values(fine.push()) == [b"again"]
    assert bad.pushes() == []
    assert not client.closed
