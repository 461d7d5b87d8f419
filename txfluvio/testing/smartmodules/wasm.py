"""SmartModules in WASM, run by ``wasmtime``; importing this needs it.

A module is a core WASM module with the functions that ``fluvio-smartmodule-derive`` writes. It is
handed bytes in memory of its own allocation, and tells where its output is by calling
``copy_records`` (``fluvio-smartengine/src/engine/wasmtime/``). Whatever it does, it costs a
bounded number of steps and bytes, and ends as a :class:`~.chain.Trap` at worst.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from random import Random
from traceback import clear_frames
from typing import TypeVar

import wasmtime

from ...errors import ProtocolError
from ...wire.codes import ModuleKind
from ...wire.schema import Message
from ...wire.spu import ExtraParams
from .abi import (
    INIT_FAILED,
    INIT_FAILURES,
    LOOK_BACK_FAILED,
    LOOK_BACK_FAILURES,
    TRANSFORM_FAILURES,
    TRANSFORMS,
    UNKNOWN_FAILURE,
    AggregateInput,
    AggregateOutput,
    InitError,
    InitInput,
    Input,
    LookBackError,
    Output,
)
from .chain import OutOfMemory, Trap
from .limits import Limits
from .wasi import POINTER, Meter, OutOfFuel, Wasi

PAGE = 65_536
"""Bytes of a page of memory."""

MAX_COMPILED = 16
"""How many modules are kept compiled."""

MAX_TABLES = 8
"""Tables of a module."""

MAX_TABLE_ELEMENTS = 1_000_000
"""Elements of each of them."""

_COPY_RECORDS = "copy_records"
_BREAKDOWNS = (wasmtime.WasmtimeError, wasmtime.Trap, OutOfFuel)
_CAUSED_BY = "\n\nCaused by:\n"
_NUMBER = re.compile(r"\s*(\d+: )?")
_SMALLEST_OUTPUT = 4

_EMPTY = """expected at least one module field
     --> <anon>:1:1
      |
    1 |\x20
      | ^"""
"""What is wrong with a module of no bytes, which is text. To wasmtime's Python they are WASM."""

MessageT = TypeVar("MessageT", bound=Message)


@cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = True
    return wasmtime.Engine(config)


@lru_cache(maxsize=MAX_COMPILED)
def _compiled(wasm: bytes) -> wasmtime.Module:
    return wasmtime.Module(_engine(), wasm)


class WasmModule:
    """A module in WASM at work in one chain.

    :param wasm: the module, or its text.
    :param version: of the request that runs it; decides the layouts.
    :param accumulator: what an aggregate starts from.
    :param now: the time that it sees, in seconds since the Unix epoch.
    :param random: where it has random bytes from.
    :raises Trap: it can not be a SmartModule, or breaks down when it is loaded.
    """

    def __init__(
        self,
        wasm: bytes,
        version: int,
        accumulator: bytes,
        limits: Limits,
        *,
        now: Callable[[], float],
        random: Random,
    ) -> None:
        self._wasm = wasm
        self._version = version
        self._accumulator = accumulator
        self._limits = limits
        self._now = now
        self._random = random
        self._params = ExtraParams()
        self._copied: list[tuple[int, int]] = []
        self._load()

    def _load(self) -> None:
        self._store = wasmtime.Store(_engine())
        self._meter = Meter(self._store)
        self._exports = self._instantiate(self._wasm)
        self._init = self._function("init")
        self._look_back = self._function("look_back")
        self._alloc = self._lenient_function("alloc", params=1, results=1)
        self._dealloc = self._lenient_function("dealloc", params=2, results=0)
        self._transform, self._kind = self._find_transform()

    def _instantiate(self, wasm: bytes) -> Mapping[str, object]:
        limits, store = self._limits, self._store
        if not wasm:
            raise Trap(_EMPTY)
        try:
            module = _compiled(wasm)
        except wasmtime.WasmtimeError as reason:
            raise Trap(_outermost(reason)) from reason
        for export in module.exports:
            if isinstance(export.type, wasmtime.MemoryType):
                least = export.type.limits.min * PAGE
                if least > limits.memory:
                    raise OutOfMemory(least, limits.memory)
        # A growth that is refused here is no trap, so that some pages too many are let through to
        # be seen.
        store.set_limits(
            memory_size=2 * limits.memory,
            table_elements=MAX_TABLE_ELEMENTS,
            tables=MAX_TABLES,
            instances=1,
            memories=1,
        )
        store.set_fuel(limits.fuel)
        try:
            return self._link(module).instantiate(store, module).exports(store)
        except _BREAKDOWNS as reason:
            text = _out_of_fuel(reason, limits.fuel) or _outermost(reason)
            raise Trap(f"Failed to instantiate: {text}") from reason

    def _link(self, module: wasmtime.Module) -> wasmtime.Linker:
        linker = wasmtime.Linker(_engine())
        Wasi(self._meter, self._now, self._random).define(linker, self._store, module)
        pointer = wasmtime.ValType.i32()
        wanted = next((one for one in module.imports if one.name == _COPY_RECORDS), None)
        if wanted is None:
            raise Trap("Failed to instantiate: At least one import is required")
        # The store keeps what it calls: that must not keep the store in turn.
        copied, meter = self._copied, self._meter

        def copy_records(start: int, length: int) -> None:
            meter.charge()
            copied[:] = [(start & POINTER, length & POINTER)]

        linker.define_func(
            wanted.module, _COPY_RECORDS, wasmtime.FuncType([pointer, pointer], []), copy_records
        )
        return linker

    def _function(self, name: str, params: int = 3, results: int = 1) -> Callable[..., int] | None:
        """The function of a name, ready to be called with 32-bit numbers."""
        function = self._exports.get(name)
        if not isinstance(function, wasmtime.Func):
            return None
        found, store = function.type(self._store), self._store
        if [str(one) for one in found.params] != ["i32"] * params:
            raise Trap("type mismatch with parameters")
        if [str(one) for one in found.results] != ["i32"] * results:
            raise Trap("type mismatch with results")

        def call(*arguments: int) -> int:
            result: int = function(store, *arguments)
            return result

        return call

    def _lenient_function(self, name: str, params: int, results: int) -> Callable[..., int] | None:
        """The same where another signature is as good as none."""
        with suppress(Trap):
            return self._function(name, params, results)
        return None

    def _find_transform(self) -> tuple[Callable[..., int], ModuleKind]:
        for name, kind in TRANSFORMS.items():
            function = self._function(name)
            if function is not None:
                return function, kind
        raise Trap("No valid smartmodule found")

    # What an SPU asks for

    @property
    def looks_back(self) -> bool:
        return self._look_back is not None

    def init(self, params: ExtraParams) -> None:
        self._params = params
        if self._init is None:
            return
        status, output = self._call(self._init, InitInput(params=params))
        if status == INIT_FAILED:
            raise Trap(str(self._decoded(InitError, output)))
        _check(status, INIT_FAILURES)

    def look_back(self, records: Input) -> None:
        if self._look_back is None:
            return
        status, output = self._call(self._look_back, records)
        if status == LOOK_BACK_FAILED:
            raise Trap(str(self._decoded(LookBackError, output)))
        _check(status, LOOK_BACK_FAILURES)

    def process(self, batch: Input) -> Output:
        try:
            return self._output(batch)
        except OutOfMemory:
            # Memory never shrinks, and on a real SPU it would not have grown: the next batch may
            # be one that there is room for.
            self._load()
            self.init(self._params)
            raise

    def _output(self, batch: Input) -> Output:
        if self._kind is not ModuleKind.AGGREGATE:
            status, data = self._call(self._transform, batch)
            _check(status, TRANSFORM_FAILURES)
            return self._decoded(Output, data)
        whole = AggregateInput(batch=batch, accumulator=self._accumulator)
        status, data = self._call(self._transform, whole)
        _check(status, TRANSFORM_FAILURES)
        aggregated = self._decoded(AggregateOutput, data)
        self._accumulator = aggregated.accumulator
        return aggregated.output

    # How it is asked

    def _call(self, function: Callable[..., int], message: Message) -> tuple[int, bytes]:
        """Call a function with a message; its status, and what it left behind."""
        limits, store = self._limits, self._store
        data = message.encode(self._version)
        memory = self._exports.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise Trap("Missing memory")
        if self._alloc is None:
            raise Trap("missing alloc")
        self._copied.clear()
        fuel = limits.fuel + limits.fuel_per_byte * len(data)
        store.set_fuel(fuel)
        try:
            start = self._alloc(len(data)) & POINTER
            if start + len(data) > memory.data_len(store):
                raise Trap(f"alloc gave {start}, where there is no room for {len(data)} bytes")
            memory.write(store, data, start)
            status = function(start, len(data), self._version)
            output = self._taken(memory)
        except _BREAKDOWNS as reason:
            # The frames hold the module's memory, and are held by what comes of the failure.
            clear_frames(reason.__traceback__)
            self._check_memory(memory)
            spent = _out_of_fuel(reason, fuel)
            if spent is not None:
                raise Trap(spent) from reason
            raise Trap(_outermost(reason), _innermost(reason)) from reason
        self._check_memory(memory)
        return status, output

    def _taken(self, memory: wasmtime.Memory) -> bytes:
        """What the module said is its output, nothing if that is not in its memory."""
        if not self._copied:
            return b""
        start, length = self._copied[0]
        if start + length > memory.data_len(self._store):
            return b""
        output = bytes(memory.read(self._store, start, start + length))
        if self._dealloc is not None:
            # A real SPU never frees it, and may one day run out of memory for that.
            with suppress(*_BREAKDOWNS):
                self._dealloc(start, length)
        return output

    def _check_memory(self, memory: wasmtime.Memory) -> None:
        size = memory.data_len(self._store)
        if size > self._limits.memory:
            raise OutOfMemory(size, self._limits.memory)

    def _decoded(self, message: type[MessageT], output: bytes) -> MessageT:
        try:
            return message.decode(output, self._version)
        except ProtocolError as reason:
            text = "can't read i32" if len(output) < _SMALLEST_OUTPUT else str(reason)
            raise Trap(text) from reason


def _check(status: int, failures: Mapping[int, str]) -> None:
    if status < 0:
        raise Trap(failures.get(status, UNKNOWN_FAILURE))


def _out_of_fuel(reason: Exception, fuel: int) -> str | None:
    """What is said where a real SPU would say nothing any more."""
    trap_code = getattr(reason, "trap_code", None)
    if trap_code is not wasmtime.TrapCode.OUT_OF_FUEL and not isinstance(reason, OutOfFuel):
        return None
    return f"the module used up the {fuel} units of fuel that a call has here"


def _outermost(reason: Exception) -> str:
    return str(reason).partition(_CAUSED_BY)[0]


def _innermost(reason: Exception) -> str:
    last = str(reason).rstrip().rpartition("\n")[2]
    return _NUMBER.sub("", last, count=1)
