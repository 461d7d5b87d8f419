"""The SmartModules of a cluster: which module a request means, and what runs it.

A name means a module that the SC has; one that is registered in Python for the name does its work,
whatever its bytes are. Other bytes, also those that come with a request, are run by the module in
Python that is registered for their SHA-256, or else as the WASM they are, for which ``wasmtime``
has to be installed (``txfluvio[wasm]``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from random import Random

from ...errors import ProtocolError, UsageError
from ...wire.codes import Code, error
from ...wire.compression import Compression, decompress
from ...wire.sc import (
    SMART_MODULE,
    VERSIONS,
    CreateRequest,
    Deduplication,
    Package,
    PackageMeta,
    SmartModuleSpec,
    SmartModuleStatus,
    Wasm,
)
from ...wire.spu import (
    AggregateContext,
    AggregateKind,
    ExtraParams,
    FilterKind,
    GenericKind,
    Lookback,
    Predefined,
    SmartModuleInvocation,
)
from ..sc.admission import ModuleName, ModuleNameError
from ..sc.store import Item
from .abi import inflation_failure
from .callables import Registrable, SmartModule
from .chain import Chain, ChainError, Instance, Link, OutOfMemory, Trap
from .limits import Limits

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FIRST_VERSION = "0.1.0"


StoredModule = Item[SmartModuleSpec, SmartModuleStatus]
"""A module as the SC has it."""


class SmartModules:
    """What modules there are.

    :param stored: returns what the SC has.
    :param seed: decides the random bytes that modules in WASM ask for.
    """

    def __init__(
        self,
        stored: Callable[[], Iterable[StoredModule]] = tuple,
        limits: Limits | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._stored = stored
        self._limits = Limits() if limits is None else limits
        self._random = Random(seed)
        self._registered: dict[str, SmartModule] = {}

    def register(
        self,
        name_or_sha256: str,
        module: Registrable,
        put: Callable[[StoredModule], object] = lambda item: None,
    ) -> None:
        """Have a name, or the WASM with this SHA-256 once unzipped, mean a module in Python.

        :param put: for a name, is given what the SC has to have: a module of that name without any
            bytes. What it raises leaves all as it was.
        :raises UsageError: not a module that one of the decorators made, or no name.
        """
        if not isinstance(module, SmartModule):
            raise UsageError(f"{module!r} is no SmartModule: decorate it with its kind")
        if _SHA256.fullmatch(name_or_sha256):
            self._registered[name_or_sha256.lower()] = module
            return
        item = _stand_in(name_or_sha256)
        put(item)
        self._registered[item.name] = module

    def start(
        self, invocations: Iterable[SmartModuleInvocation], version: int, now: Callable[[], float]
    ) -> Chain:
        """The chain that a request asks for, started.

        :param version: that of the request.
        :param now: the time that modules in WASM see, in seconds since the Unix epoch.
        :raises ChainError: a module is not there, is none, or does not start.
        """
        found = [(one, self._find(one)) for one in invocations]
        ready = [
            (one, what if isinstance(what, SmartModule) else self._unzipped(what))
            for one, what in found
        ]
        return Chain([self._start(one, what, version, now) for one, what in ready])

    def _find(self, invocation: SmartModuleInvocation) -> SmartModule | bytes:
        wasm = invocation.wasm
        if not isinstance(wasm, Predefined):
            return wasm.payload
        try:
            name = ModuleName.parse(wasm.name)
        except ModuleNameError as reason:
            text = f"error parsing SmartModule name: {reason}"
            raise ChainError.of(Code.OTHER, text) from reason
        for item in self._stored():
            if name.matches(item.name, item.spec.meta):
                return self._registered.get(item.name, item.spec.wasm.payload)
        raise ChainError(error(Code.SMART_MODULE_NOT_FOUND, name=wasm.name))

    def _unzipped(self, payload: bytes) -> SmartModule | bytes:
        try:
            wasm = decompress(Compression.GZIP, payload, self._limits.module_size)
        except ProtocolError as reason:
            text = inflation_failure(reason, len(payload))
            raise ChainError(error(Code.SMART_MODULE_INVALID, error=text, name=None)) from reason
        return self._registered.get(sha256(wasm).hexdigest(), wasm)

    def _start(
        self,
        invocation: SmartModuleInvocation,
        what: SmartModule | bytes,
        version: int,
        now: Callable[[], float],
    ) -> Link:
        accumulator = _accumulator(invocation)
        try:
            if isinstance(what, SmartModule):
                instance = what.instance(accumulator)
            else:
                instance = self._wasm(what, version, accumulator, now)
            instance.init(invocation.params)
        except OutOfMemory as reason:
            raise ChainError(reason.error) from reason
        except Trap as reason:
            raise ChainError.of(Code.SMART_MODULE_CHAIN_INIT_ERROR, str(reason)) from reason
        return Link(instance, invocation.params.lookback)

    def _wasm(
        self, wasm: bytes, version: int, accumulator: bytes, now: Callable[[], float]
    ) -> Instance:
        try:
            from .wasm import WasmModule
        except (ImportError, OSError, RuntimeError) as reason:
            # Where wasmtime has no binaries it installs all the same, and fails with any of these.
            raise Trap(
                "no wasmtime to run WASM with: install txfluvio[wasm], "
                f"or register a callable for {sha256(wasm).hexdigest()}"
            ) from reason
        return WasmModule(wasm, version, accumulator, self._limits, now=now, random=self._random)


def deduplication(spec: Deduplication) -> SmartModuleInvocation:
    """The module that a topic with deduplication runs."""
    params = {"count": str(spec.count)}
    if spec.age is not None:
        params["age"] = str(spec.age.seconds * 1000 + spec.age.nanoseconds // 1_000_000)
    return SmartModuleInvocation(
        wasm=Predefined(name=spec.uses),
        kind=FilterKind(),
        params=ExtraParams(
            params=params | spec.with_params, lookback=Lookback(last=spec.count, age=spec.age)
        ),
        name=spec.uses,
    )


def _stand_in(text: str) -> StoredModule:
    try:
        name = ModuleName.parse(text)
    except ModuleNameError as reason:
        raise UsageError(str(reason)) from reason
    meta = None
    if name.group is not None:
        version = _FIRST_VERSION if name.version is None else name.version
        package = Package(name=name.name, group=name.group, version=version)
        meta = PackageMeta(package=package)
        name = ModuleName.of_package(meta)
    spec = SmartModuleSpec(meta=meta, wasm=Wasm(payload=b""))
    # As with topics: no watch could tell of what fits into no request.
    CreateRequest(kind=SMART_MODULE, name=name.store_id, spec=spec).encode(VERSIONS[1])
    return Item(name.store_id, spec, SmartModuleStatus())


def _accumulator(invocation: SmartModuleInvocation) -> bytes:
    match invocation.kind:
        case AggregateKind() as kind:
            return kind.accumulator
        case GenericKind(context=AggregateContext() as context):
            return context.accumulator
    return b""
