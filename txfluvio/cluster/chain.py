"""A chain of SmartModules as requests carry it, and what the errors it causes say.

Both reading and writing run chains; here is what they share. What users say is in
:mod:`txfluvio.smartmodule`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import (
    BrokerError,
    SmartModuleCrashed,
    SmartModuleError,
    SmartModuleRuntimeError,
)
from ..smartmodule import Lookback, SmartModuleInvocation, SmartModuleKind
from ..wire import spu
from ..wire.codes import Code, ErrorCode

_KINDS: Mapping[SmartModuleKind, spu.SmartModuleKind] = {
    SmartModuleKind.FILTER: spu.FilterKind(),
    SmartModuleKind.MAP: spu.MapKind(),
    SmartModuleKind.FILTER_MAP: spu.FilterMapKind(),
    SmartModuleKind.ARRAY_MAP: spu.ArrayMapKind(),
}

_BREAKDOWN = ("SmartModule err ", "smartmodule chain failed: ")
"""How an SPU's words begin, with code 2, where a module broke down: on a stream, on a produce."""


class Chain:
    """A chain; false if there are no modules in it.

    :ivar invocations: what requests carry.
    :ivar names: the names of the modules, for errors: an SPU hardly ever tells which has failed.
    """

    def __init__(self, modules: Iterable[SmartModuleInvocation] = ()) -> None:
        modules = tuple(modules)
        self.invocations = tuple(_invocation(module) for module in modules)
        self.names = ", ".join(module.name for module in modules)

    def __bool__(self) -> bool:
        return bool(self.invocations)

    def error(self, code: ErrorCode, what: str) -> BrokerError:
        """The error that a code stands for, which names the modules if it is about them.

        :param what: what was read or written: ``"orders/3"``.
        """
        error = code.exception(what)
        if not self:
            return error
        if error.code == Code.OTHER and error.detail.startswith(_BREAKDOWN):
            error = SmartModuleCrashed(detail=error.detail)
        if isinstance(error, SmartModuleError):
            error.what = f"{what} through {self.names}"
        if isinstance(error, SmartModuleRuntimeError):
            error.module = self.names
        return error


def _invocation(module: SmartModuleInvocation) -> spu.SmartModuleInvocation:
    wasm = module.wasm
    return spu.SmartModuleInvocation(
        wasm=spu.Predefined(name=module.name) if wasm is None else spu.AdHoc(payload=wasm),
        kind=_kind(module),
        params=spu.ExtraParams(params=dict(module.params), lookback=_lookback(module.lookback)),
        name=module.name,
    )


def _kind(module: SmartModuleInvocation) -> spu.SmartModuleKind:
    accumulator = module.accumulator
    if module.kind is SmartModuleKind.AGGREGATE:
        return spu.AggregateKind(accumulator=accumulator or b"")
    if accumulator is not None:
        return spu.GenericKind(context=spu.AggregateContext(accumulator=accumulator))
    return _KINDS.get(module.kind, spu.GenericKind())


def _lookback(lookback: Lookback | None) -> spu.Lookback | None:
    if lookback is None:
        return None
    age = None if lookback.age is None else spu.Duration.of(lookback.age)
    return spu.Lookback(last=lookback.last, age=age)
