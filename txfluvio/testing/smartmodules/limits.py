"""What a module in WASM may use."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Limits:
    """What a module in WASM may use; a real SPU has no limit but that of the memory, 1 GiB.

    A real SPU that runs a module without an end never serves anybody again. Here the module
    breaks down once its fuel is used up; a unit is about one instruction, and a call of its host
    costs some thousands. A module can not sleep.
    Nothing else is served while a module is compiled, once for all its uses, or runs.

    :ivar fuel: units of a call.
    :ivar fuel_per_byte: units more for each byte that the call is given.
    :ivar memory: bytes that a module may have; one that has more at the end of a call breaks down
        and starts anew. It never gets more than twice as much, and is told so when it asks, at
        which most modules break down by themselves.
    :ivar module_size: bytes of the WASM.
    """

    fuel: int = 200_000_000
    fuel_per_byte: int = 1_000
    memory: int = 256 * 1024 * 1024
    module_size: int = 16 * 1024 * 1024
