"""What modules in WASM learn from their host, and what asking costs them."""

from __future__ import annotations

import pytest

from tests.testing.smartmodules.kit import Kit, text_of, values
from tests.testing.smartmodules.wat import ad_hoc
from txfluvio.testing.smartmodules import Limits
from txfluvio.wire.codes import Code
from txfluvio.wire.spu import PartitionResponse

pytest.importorskip("wasmtime")

MEMORY = 1024 * 1024
LIMITS = Limits(fuel=1_000_000, fuel_per_byte=0, memory=MEMORY)

SIGNATURES = {
    "args_sizes_get": "i32 i32",
    "clock_res_get": "i32 i32",
    "clock_time_get": "i32 i64 i32",
    "environ_sizes_get": "i32 i32",
    "fd_prestat_get": "i32 i32",
    "fd_write": "i32 i32 i32 i32",
    "random_get": "i32 i32",
    "sched_yield": "",
}

NOW = 1_700_000_000

OK, BAD_FILE, FAULT = 0, 8, 21


def first_push(call: str, arguments: str, times: int = 1, now: float = NOW) -> PartitionResponse:
    """What comes of a module that makes a call, and then tells what that answered, and what lies
    at 1000."""
    result = f"(call ${call} {arguments})"
    wasm = f"""(module
      (import "wasi_snapshot_preview1" "{call}"
        (func ${call} (param {SIGNATURES.get(call, "")}) (result i32)))
      (import "env" "copy_records" (func $copy_records (param i32 i32)))
      (memory (export "memory") 16)
      (func (export "alloc") (param i32) (result i32) (i32.const 4096))
      (func (export "filter") (param i32 i32 i32) (result i32) (local $answer i32) (local $n i32)
        (loop $again
          (local.set $answer {result})
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $n) (i32.const {times}))))
        ;; One record: of 22 bytes, of which 16 are the value.
        (i32.store8 (i32.const 2003) (i32.const 1))
        (i32.store8 (i32.const 2004) (i32.const 44))
        (i32.store8 (i32.const 2009) (i32.const 32))
        (i64.store (i32.const 2010) (i64.extend_i32_u (local.get $answer)))
        (i64.store (i32.const 2018) (i64.load (i32.const 1000)))
        (call $copy_records (i32.const 2000) (i32.const 28))
        (i32.const 0)))"""
    kit = Kit(limits=LIMITS)
    kit.put([b"x"])
    kit.clock.advance(now - kit.clock.seconds())
    return kit.stream(ad_hoc(wasm.encode())).push()


def learnt(call: str, arguments: str, now: float = NOW) -> tuple[int, int]:
    """What a call answered, and the number that it left at 1000."""
    (value,) = values(first_push(call, arguments, now=now))
    return int.from_bytes(value[:8], "little"), int.from_bytes(value[8:], "little")


@pytest.mark.parametrize("clock", [0, 1])
def test_the_time_is_that_of_the_fake(clock: int) -> None:
    asked = f"(i32.const {clock}) (i64.const 1) (i32.const 1000)"
    assert learnt("clock_time_get", asked) == (OK, NOW * 10**9)


@pytest.mark.parametrize(("now", "told"), [(-60, 0), (2e10, 2**64 - 1)])
def test_a_time_that_no_module_can_be_told_is_the_nearest_that_it_can_be(
    now: float, told: int
) -> None:
    asked = "(i32.const 0) (i64.const 1) (i32.const 1000)"
    assert learnt("clock_time_get", asked, now) == (OK, told)


def test_there_is_no_time_of_the_processor() -> None:
    asked = "(i32.const 2) (i64.const 1) (i32.const 1000)"
    assert learnt("clock_time_get", asked) == (BAD_FILE, 0)


def test_clocks_are_exact() -> None:
    assert learnt("clock_res_get", "(i32.const 0) (i32.const 1000)") == (OK, 1)


def test_random_bytes_are_the_same_in_each_run() -> None:
    asked = "(i32.const 1000) (i32.const 8)"
    answer, number = learnt("random_get", asked)
    assert (answer, number) == learnt("random_get", asked)
    assert answer == OK
    assert number != 0


def test_there_are_neither_arguments_nor_variables_nor_files() -> None:
    nothing = "(i32.const 1000) (i32.const 1004)"
    assert learnt("args_sizes_get", nothing) == (OK, 0)
    assert learnt("environ_sizes_get", nothing) == (OK, 0)
    assert learnt("fd_prestat_get", "(i32.const 3) (i32.const 1000)") == (BAD_FILE, 0)


@pytest.mark.parametrize("file", [1, 2])
def test_what_is_written_goes_nowhere(file: int) -> None:
    # The first piece is the memory from 0 to 0, the second is empty too.
    asked = f"(i32.const {file}) (i32.const 0) (i32.const 2) (i32.const 1000)"
    assert learnt("fd_write", asked) == (OK, 0)


def test_nothing_can_be_written_to_what_is_not_open() -> None:
    asked = "(i32.const 7) (i32.const 0) (i32.const 1) (i32.const 1000)"
    assert learnt("fd_write", asked) == (BAD_FILE, 0)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("clock_time_get", f"(i32.const 0) (i64.const 1) (i32.const {MEMORY - 7})"),
        ("random_get", "(i32.const -1) (i32.const 2)"),
        ("fd_write", f"(i32.const 1) (i32.const {MEMORY - 7}) (i32.const 1) (i32.const 1000)"),
        ("args_sizes_get", "(i32.const -4) (i32.const 1000)"),
    ],
)
def test_what_is_not_in_the_memory_is_a_fault(call: str, arguments: str) -> None:
    assert learnt(call, arguments)[0] == FAULT


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("clock_time_get", "(i32.const 0) (i64.const 1) (i32.const 1000)"),
        ("random_get", "(i32.const 1000) (i32.const 8)"),
        ("fd_write", "(i32.const 1) (i32.const 0) (i32.const 1) (i32.const 1000)"),
        ("fd_prestat_get", "(i32.const 3) (i32.const 1000)"),
        ("sched_yield", ""),
    ],
)
def test_each_call_is_paid_for(call: str, arguments: str) -> None:
    assert first_push(call, arguments, times=100).error_code.code == Code.NONE
    assert "fuel" in text_of(first_push(call, arguments, times=1_000))


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("random_get", f"(i32.const 0) (i32.const {MEMORY})"),
        ("fd_write", f"(i32.const 1) (i32.const 0) (i32.const {MEMORY // 8}) (i32.const 1000)"),
    ],
)
def test_more_work_for_the_host_costs_more(call: str, arguments: str) -> None:
    assert "fuel" in text_of(first_push(call, arguments))


def test_a_call_that_there_is_not_is_no_import() -> None:
    push = first_push("guess", "")
    assert push.error_code.code == Code.SMART_MODULE_CHAIN_INIT_ERROR
    assert "unknown import: `wasi_snapshot_preview1::guess`" in text_of(push)
