"""SmartModules in Python: decorators that make one of a function or a class.

::

    @filter
    def only_errors(record: SmartModuleRecord) -> bool:
        return record.value.startswith(b"ERROR")

What a function is given and gives back is what a module in Rust is and does, and the records that
come out are the same to the last byte. A module that has to remember something, that takes
parameters or looks back is a class, see :func:`filter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Protocol

import attrs

from ...errors import ProtocolError, UsageError
from ...wire.codes import ModuleKind, ModuleRuntimeDetail
from ...wire.records import RawRecord
from ...wire.spu import ExtraParams
from .abi import TRANSFORM_FAILURES, InitError, Input, LookBackError, Output, records_of, sendable
from .chain import Instance, Trap

Pair = tuple[bytes | None, bytes]
"""A key, if any, and a value."""

_MAX_CAUSES = 100


@attrs.frozen
class SmartModuleRecord:
    """A record, as a module sees it.

    :ivar key: ``None`` when the record has no key; a key may be empty.
    :ivar offset: its place in the partition; when it is produced, in its batch; when it is looked
        back at, in the batch it was stored in.
    :ivar timestamp: milliseconds since the Unix epoch; -1 and the delta where the batch has no
        time, the delta alone when it is looked back at.
    :ivar offset_delta: its place in its batch.
    :ivar timestamp_delta: milliseconds from its batch's time to its own.
    """

    key: bytes | None
    value: bytes
    offset: int
    timestamp: int
    offset_delta: int
    timestamp_delta: int


class FilterModule(Protocol):
    """What :func:`filter` takes an instance of."""

    def __call__(self, record: SmartModuleRecord, /) -> bool: ...


class MapModule(Protocol):
    """What :func:`map` takes an instance of."""

    def __call__(self, record: SmartModuleRecord, /) -> Pair: ...


class FilterMapModule(Protocol):
    """What :func:`filter_map` takes an instance of."""

    def __call__(self, record: SmartModuleRecord, /) -> Pair | None: ...


class ArrayMapModule(Protocol):
    """What :func:`array_map` takes an instance of."""

    def __call__(self, record: SmartModuleRecord, /) -> Iterable[Pair]: ...


class AggregateModule(Protocol):
    """What :func:`aggregate` takes an instance of."""

    def __call__(self, accumulator: bytes, record: SmartModuleRecord, /) -> bytes: ...


@attrs.frozen
class SmartModule:
    """A SmartModule that can be registered with a fake cluster; made by the decorators.

    :ivar kind: what it does to records.
    :ivar module: the function, or the class of which every chain gets an instance of its own.
    """

    kind: ModuleKind
    module: Callable[..., Any]

    def instance(self, accumulator: bytes = b"") -> Instance:
        """The module at work in a chain of its own.

        :param accumulator: what an aggregate starts from.
        :raises Trap: the class can not be made an instance of.
        """
        target = _begun(self.module) if isinstance(self.module, type) else self.module
        return _PythonModule(self.kind, target, accumulator)


Registrable = SmartModule | type[object]
"""What is registered. A decorated class is a :class:`SmartModule` too, but type checkers go on
taking it for the class."""


def filter(module: FilterModule | type[FilterModule]) -> SmartModule:
    """Make a SmartModule of a function that says whether a record stays.

    As for every kind, it may also be a class, made without arguments and called for each record.
    Each stream, each partition of a Produce and each deduplicated partition has an instance of
    its own, which may have two more methods:

    - ``init(params)``, called first, with the invocation's parameters by name. An exception
      is the module's refusal to start: error 6005. So is one when the class is called.
    - ``look_back(record)``, called before the first batch for each record that the invocation
      wants it to look back at. An exception is error 6007.

    An exception from the module itself means that it fails on this record: error 6004, with the
    exception's text for a hint, after the records before it. Raise
    :class:`~txfluvio.testing.smartmodules.Trap` to break down as WASM does. A result of
    another type than it should have is a mistake in the test: it is logged, and the connection
    ends.
    """
    return SmartModule(ModuleKind.FILTER, module)


def map(module: MapModule | type[MapModule]) -> SmartModule:
    """Make a SmartModule of a function, or a class, that makes another key and value of a record.

    The key is as explicit as the value: return ``record.key`` to keep it.
    """
    return SmartModule(ModuleKind.MAP, module)


def filter_map(module: FilterMapModule | type[FilterMapModule]) -> SmartModule:
    """The same as :func:`map`, where ``None`` drops the record."""
    return SmartModule(ModuleKind.FILTER_MAP, module)


def array_map(module: ArrayMapModule | type[ArrayMapModule]) -> SmartModule:
    """Make a SmartModule of a function, or a class, that makes any number of records of one.

    They are new: without a time of their own, and all in the place of the first in the batch.
    """
    return SmartModule(ModuleKind.ARRAY_MAP, module)


def aggregate(module: AggregateModule | type[AggregateModule]) -> SmartModule:
    """Make a SmartModule of a function, or a class, that folds records into an accumulator.

    It is called with what has been accumulated and a record, and returns what is accumulated
    now, which is the value of the record that goes on, under the key it had.
    """
    return SmartModule(ModuleKind.AGGREGATE, module)


class _Mistake(UsageError):
    """A module's result is not what it can be."""


class _PythonModule:
    """A module in Python at work in one chain."""

    def __init__(self, kind: ModuleKind, target: Callable[..., Any], accumulator: bytes) -> None:
        self._kind = kind
        self._target = target
        self._accumulator = accumulator
        self._made = _MADE[kind]

    @property
    def looks_back(self) -> bool:
        return hasattr(self._target, "look_back")

    def init(self, params: ExtraParams) -> None:
        init: Callable[[Mapping[str, str]], object] | None = getattr(self._target, "init", None)
        if init is None:
            return
        _begun(init, MappingProxyType(params.params))

    def look_back(self, records: Input) -> None:
        look_back: Callable[[SmartModuleRecord], object] = getattr(self._target, "look_back")  # noqa: B009
        for raw in records_of(records.records):
            record = _record(raw, records)
            try:
                look_back(record)
            except Trap:
                raise
            except Exception as reason:
                failure = LookBackError(
                    hint=hint(reason),
                    offset=record.offset,
                    record_key=raw.key,
                    record_value=raw.value,
                )
                raise Trap(str(failure)) from reason

    def process(self, batch: Input) -> Output:
        made: list[RawRecord] = []
        for raw in self._records(batch):
            record = _record(raw, batch)
            try:
                result = self._call(record)
            except (Trap, _Mistake):
                raise
            except Exception as reason:
                failure = ModuleRuntimeDetail(
                    hint=hint(reason),
                    offset=record.offset,
                    kind=self._kind,
                    record_key=raw.key,
                    record_value=raw.value,
                )
                return Output(records=made, error=failure)
            made += self._made(raw, result)
            if self._kind is ModuleKind.AGGREGATE:
                self._accumulator = result
        return Output(records=made)

    def _records(self, batch: Input) -> list[RawRecord]:
        try:
            return records_of(batch.records)
        except ProtocolError as reason:
            status = -22 if self._kind is ModuleKind.AGGREGATE else -11
            raise Trap(TRANSFORM_FAILURES[status]) from reason

    def _call(self, record: SmartModuleRecord) -> Any:
        if self._kind is ModuleKind.AGGREGATE:
            return self._target(self._accumulator, record)
        result = self._target(record)
        if self._kind is not ModuleKind.ARRAY_MAP:
            return result
        if not isinstance(result, Iterable):
            raise _Mistake(f"an array_map has to return pairs, not {result!r}")
        return list(result)


def _begun(call: Callable[..., Any], *arguments: object) -> Any:
    """What comes of a call without which a module does not start."""
    try:
        return call(*arguments)
    except Trap:
        raise
    except Exception as reason:
        raise Trap(str(InitError(hint=hint(reason)))) from reason


def _record(raw: RawRecord, batch: Input) -> SmartModuleRecord:
    return SmartModuleRecord(
        key=raw.key,
        value=raw.value,
        offset=batch.base_offset + raw.offset_delta,
        timestamp=batch.base_timestamp + raw.timestamp_delta,
        offset_delta=raw.offset_delta,
        timestamp_delta=raw.timestamp_delta,
    )


def _filtered(raw: RawRecord, result: Any) -> list[RawRecord]:
    if not isinstance(result, bool):
        raise _Mistake(f"a filter has to return a bool, not {result!r}")
    return [raw] if result else []


def _mapped(raw: RawRecord, result: Any) -> list[RawRecord]:
    key, value = _pair(result)
    return [
        RawRecord(raw.attributes, raw.timestamp_delta, raw.offset_delta, key, value, raw.headers)
    ]


def _filter_mapped(raw: RawRecord, result: Any) -> list[RawRecord]:
    return [] if result is None else _mapped(raw, result)


def _array_mapped(raw: RawRecord, result: Any) -> list[RawRecord]:
    return [RawRecord(0, 0, 0, *_pair(one), 0) for one in result]


def _aggregated(raw: RawRecord, result: Any) -> list[RawRecord]:
    return _mapped(raw, (raw.key, result))


_MADE: Mapping[ModuleKind, Callable[[RawRecord, Any], list[RawRecord]]] = {
    ModuleKind.FILTER: _filtered,
    ModuleKind.MAP: _mapped,
    ModuleKind.FILTER_MAP: _filter_mapped,
    ModuleKind.ARRAY_MAP: _array_mapped,
    ModuleKind.AGGREGATE: _aggregated,
}


def _pair(result: Any) -> Pair:
    match result:
        case (None | bytes() as key, bytes() as value):
            return key, value
    raise _Mistake(f"a SmartModule has to make keys and values of bytes, not {result!r}")


def hint(reason: BaseException) -> str:
    """What an exception says, in the form that Rust gives an error and its causes."""
    causes = [_words(cause) for cause in islice(_causes(reason), _MAX_CAUSES)]
    text = _words(reason)
    if len(causes) == 1:
        text += f"\n\nCaused by:\n    {causes[0]}"
    elif causes:
        lines = [f"\n{number:4}: {cause}" for number, cause in enumerate(causes)]
        text += f"\n\nCaused by:{''.join(lines)}"
    return sendable(text)


def _causes(reason: BaseException) -> Iterator[BaseException]:
    cause = reason.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _words(reason: BaseException) -> str:
    return str(reason) or type(reason).__name__


class _Recent:
    """The values of the last so many distinct records."""

    def __init__(self) -> None:
        self._values: dict[bytes, None] = {}
        self._room = 1

    def init(self, params: Mapping[str, str]) -> None:
        self._room = int(params["count"])

    def look_back(self, record: SmartModuleRecord) -> None:
        self(record)

    def __call__(self, record: SmartModuleRecord) -> bool:
        if record.value in self._values:
            return False
        if len(self._values) >= self._room:
            del self._values[next(iter(self._values))]
        self._values[record.value] = None
        return True


deduplicate = filter(_Recent)
"""For topics with deduplication: drops a record whose value is among the last ``count`` ones.

It does what the example of Fluvio's own sources does, and knows nothing of ages.
"""
