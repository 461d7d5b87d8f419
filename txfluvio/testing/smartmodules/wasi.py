"""What a module in WASM may ask of its host: the calls of WASI, preview 1.

A module sees nothing of the machine. Its time is the fake's and its randomness comes from a seed,
so that a run can be had again; it has no files, no arguments and no environment, and what it
writes goes nowhere. Steps of the host cost a module nothing by themselves, so each call is paid
for with fuel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from struct import iter_unpack
from weakref import ref

import wasmtime

WASI = "wasi_snapshot_preview1"
"""The module that these calls are imported from."""

POINTER = 0xFFFF_FFFF
"""The bits of a place in the memory of a module."""

CALL_FUEL = 2_000
"""Units of fuel that a call of the host costs."""

PIECE_FUEL = 100
"""Units more for each piece that is written."""

_SUCCESS, _BAD_FILE, _FAULT, _NOT_SUPPORTED = 0, 8, 21, 58
_REALTIME, _MONOTONIC = 0, 1
_OUTPUTS = (1, 2)
_PIECE = 8
_PASSED_ON = frozenset({"proc_exit"})
"""Ends the module at once, and can do so only once."""


class OutOfFuel(Exception):
    """A module can not pay for what it asks for."""


class Meter:
    """Charges a module for what the host does for it."""

    def __init__(self, store: wasmtime.Store) -> None:
        # The store keeps what it calls: that must not keep the store in turn.
        self._store = ref(store)

    def charge(self, units: int = CALL_FUEL) -> None:
        """Have the module pay for what is to be done.

        :raises OutOfFuel: it can not.
        """
        store = self._store()
        assert store is not None, "a module calls while it runs"
        left = store.get_fuel()
        if left < units:
            raise OutOfFuel
        store.set_fuel(left - units)


class Wasi:
    """The calls that one module makes.

    :param now: the time, in seconds since the Unix epoch.
    :param random: where random bytes come from.
    """

    def __init__(self, meter: Meter, now: Callable[[], float], random: Random) -> None:
        self._meter = meter
        self._now = now
        self._random = random

    def define(
        self, linker: wasmtime.Linker, store: wasmtime.Store, module: wasmtime.Module
    ) -> None:
        """Have a linker know the calls that a module imports."""
        linker.define_wasi()
        store.set_wasi(wasmtime.WasiConfig())
        linker.allow_shadowing = True
        for wanted in module.imports:
            name = wanted.name
            if wanted.module == WASI and name is not None and name not in _PASSED_ON:
                self._define(linker, store, name)

    def _define(self, linker: wasmtime.Linker, store: wasmtime.Store, name: str) -> None:
        try:
            known = linker.get(store, WASI, name)
        except wasmtime.WasmtimeError:
            return
        assert isinstance(known, wasmtime.Func)
        act = _CALLS.get(name, _no_such_file)

        def call(caller: wasmtime.Caller, *arguments: int) -> int:
            self._meter.charge()
            memory = caller.get("memory")
            if not isinstance(memory, wasmtime.Memory):
                return _FAULT
            return act(self, _Bytes(memory, caller), *arguments)

        linker.define_func(WASI, name, known.type(store), call, access_caller=True)

    def _clock_time(self, memory: _Bytes, clock: int, precision: int, result: int) -> int:
        if clock not in (_REALTIME, _MONOTONIC):
            return _BAD_FILE
        # A test may have moved the clock to where no 64 bits reach.
        nanoseconds = max(0, min(int(self._now() * 1e9), 2**64 - 1))
        return memory.put(result, nanoseconds.to_bytes(8, "little"))

    def _clock_resolution(self, memory: _Bytes, clock: int, result: int) -> int:
        return memory.put(result, (1).to_bytes(8, "little"))

    def _random_bytes(self, memory: _Bytes, start: int, length: int) -> int:
        length &= POINTER
        if not memory.has(start, length):
            return _FAULT
        self._meter.charge(length)
        return memory.put(start, self._random.randbytes(length))

    def _write(self, memory: _Bytes, file: int, pieces: int, count: int, result: int) -> int:
        if file not in _OUTPUTS:
            return _BAD_FILE
        count &= POINTER
        if not memory.has(pieces, count * _PIECE):
            return _FAULT
        self._meter.charge(count * PIECE_FUEL)
        written = 0
        for start, length in iter_unpack("<II", memory.get(pieces, count * _PIECE)):
            if not memory.has(start, length):
                return _FAULT
            written += length
        return memory.put(result, (written & POINTER).to_bytes(4, "little"))

    def _nothing_given(self, memory: _Bytes, count: int, size: int) -> int:
        return memory.put(count, bytes(4)) or memory.put(size, bytes(4))


class _Bytes:
    """The memory of a module that calls; ``put`` gives what the call answers."""

    def __init__(self, memory: wasmtime.Memory, caller: wasmtime.Caller) -> None:
        self._memory = memory
        self._caller = caller

    def has(self, start: int, length: int) -> bool:
        return (start & POINTER) + length <= self._memory.data_len(self._caller)

    def get(self, start: int, length: int) -> bytes:
        start &= POINTER
        return bytes(self._memory.read(self._caller, start, start + length))

    def put(self, start: int, data: bytes) -> int:
        if not self.has(start, len(data)):
            return _FAULT
        self._memory.write(self._caller, data, start & POINTER)
        return _SUCCESS


def _no_such_file(wasi: Wasi, memory: _Bytes, *arguments: int) -> int:
    return _BAD_FILE


def _not_supported(wasi: Wasi, memory: _Bytes, *arguments: int) -> int:
    return _NOT_SUPPORTED


def _nothing(wasi: Wasi, memory: _Bytes, *arguments: int) -> int:
    return _SUCCESS


_CALLS: Mapping[str, Callable[..., int]] = {
    "args_get": _nothing,
    "args_sizes_get": Wasi._nothing_given,
    "clock_res_get": Wasi._clock_resolution,
    "clock_time_get": Wasi._clock_time,
    "environ_get": _nothing,
    "environ_sizes_get": Wasi._nothing_given,
    "fd_write": Wasi._write,
    # It would wait, for as long as the module likes.
    "poll_oneoff": _not_supported,
    "random_get": Wasi._random_bytes,
    "sched_yield": _nothing,
}
"""Any other is about files, of which there are none."""
