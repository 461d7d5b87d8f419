"""SmartModules in a fake cluster: as Python, or as the WASM that they are.

::

    from txfluvio.testing.smartmodules import SmartModuleRecord, filter

    @filter
    def only_errors(record: SmartModuleRecord) -> bool:
        return record.value.startswith(b"ERROR")

    async with FakeBroker(reactor, smartmodules={"only-errors": only_errors}) as broker:
        ...

A module in Python stands for a name, or for WASM by its SHA-256: then nothing but Python is needed
to test with modules that somebody else compiled. Other WASM runs too, with ``txfluvio[wasm]``.
"""

from __future__ import annotations

from .callables import (
    AggregateModule,
    ArrayMapModule,
    FilterMapModule,
    FilterModule,
    MapModule,
    Registrable,
    SmartModule,
    SmartModuleRecord,
    aggregate,
    array_map,
    deduplicate,
    filter,
    filter_map,
    map,
)
from .chain import Trap
from .limits import Limits

__all__ = [
    "AggregateModule",
    "ArrayMapModule",
    "FilterMapModule",
    "FilterModule",
    "Limits",
    "MapModule",
    "Registrable",
    "SmartModule",
    "SmartModuleRecord",
    "Trap",
    "aggregate",
    "array_map",
    "deduplicate",
    "filter",
    "filter_map",
    "map",
]
