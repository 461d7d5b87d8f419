"""SmartModules that a recording does not hold: stand-ins that do what it shows.

A recording tells what came out of a module, seldom the module, and never what went in. So the log
behind it is made of what came out, one record for each that is missing, and the module is a
stand-in that turns each batch into what was recorded. All that the fake itself does with modules
is compared that way: how chains start and fail, merge, are cut and count. Where the recording
holds the module it runs as it is, if that leads from such a log to what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import attrs

from ...errors import ProtocolError
from ...wire.codes import Code, ErrorCode, ModuleKind, ModuleRuntimeDetail
from ...wire.compression import Compression, decompress
from ...wire.records import Batch, RawRecord, RecordSet, encode_batch, renumber, unpack_records
from ...wire.sc import SMART_MODULE, CreateRequest, Metadata
from ...wire.spu import (
    AdHoc,
    ExtraParams,
    PartitionResponse,
    Predefined,
    ProduceRequest,
    ProduceResponse,
    SmartModuleInvocation,
    StreamFetchRequest,
    StreamFetchResponse,
)
from ..replica import Key
from ..smartmodules import SmartModule, Trap
from ..smartmodules.abi import Input, Output
from ..smartmodules.chain import ChainError, merge
from ..smartmodules.registry import SmartModules
from ..store import Item
from .conversation import Conversation, Event
from .served import Served

_START_ERRORS = frozenset(
    {
        Code.SMART_MODULE_INVALID,
        Code.SMART_MODULE_CHAIN_INIT_ERROR,
        Code.SMART_MODULE_LOOKBACK_ERROR,
        Code.SMART_MODULE_INVALID_EXPORTS,
    }
)
_TRAP = "SmartModule err "
_LARGEST_MODULE = 64 * 1024 * 1024


@attrs.define(eq=False)
class Script:
    """What a stand-in does.

    :ivar outputs: what becomes of a batch, by its records as bytes.
    :ivar start_error: why it does not start.
    :ivar passes: whether other batches pass unchanged; else nothing of them does.
    """

    outputs: dict[bytes, Output | Trap] = attrs.Factory(dict)
    start_error: ErrorCode | None = None
    passes: bool = True


class StandIn(SmartModule):
    """A module that follows a script."""

    script: Script

    def instance(self, accumulator: bytes = b"") -> _Actor:
        """The stand-in at work in a chain.

        :raises ChainError: the script says that it does not start.
        """
        if self.script.start_error is not None:
            raise ChainError(self.script.start_error)
        return _Actor(self.script)


def stand_in(script: Script) -> StandIn:
    """A module that follows ``script``."""
    made = StandIn(ModuleKind.FILTER, _never)
    object.__setattr__(made, "script", script)
    return made


def _never(_: object) -> bool:
    raise NotImplementedError("a stand-in is no function")


class _Actor:
    """A stand-in in one chain."""

    looks_back = False

    def __init__(self, script: Script) -> None:
        self._script = script

    def init(self, params: ExtraParams) -> None:
        """Parameters do not change the script."""

    def look_back(self, records: Input) -> None:
        """What was before does not change it either."""

    def process(self, batch: Input) -> Output:
        found = self._script.outputs.get(batch.records)
        if isinstance(found, Trap):
            raise found
        if found is not None:
            return Output(records=[_copy(one) for one in found.records], error=found.error)
        if self._script.passes:
            return Output(records=_unpacked(batch.records))
        return Output(records=[])


@attrs.frozen
class Cast:
    """The stand-ins of a conversation.

    :ivar names: by the name that the SC has to know.
    :ivar hashes: by the SHA-256 of the module that a request brings along.
    """

    names: Mapping[str, StandIn]
    hashes: Mapping[str, StandIn]


def cast_of(
    conversation: Conversation, modules: Mapping[str, Metadata], known: dict[Key, Served]
) -> Cast:
    """The stand-ins that a conversation needs; what they work on is added to ``known``.

    :param modules: the modules of which the SC had more than the name.
    """
    director = _Director(conversation, modules, known)
    for event in conversation.replies():
        asked, message = event.asked, event.message
        if isinstance(asked, StreamFetchRequest) and isinstance(message, StreamFetchResponse):
            if asked.smartmodules:
                director.streamed(event, asked, message)
        elif isinstance(asked, ProduceRequest) and isinstance(message, ProduceResponse):
            director.produced(asked, message)
    return Cast(director.names, director.hashes)


class _Director:
    def __init__(
        self,
        conversation: Conversation,
        modules: Mapping[str, Metadata],
        known: dict[Key, Served],
    ) -> None:
        self.names: dict[str, StandIn] = {}
        self.hashes: dict[str, StandIn] = {}
        self._known = known
        stored = [Item(one.name, one.spec, one.status) for one in modules.values()]
        for event in conversation.requests():
            message = event.message
            if isinstance(message, CreateRequest) and message.kind is SMART_MODULE:
                stored.append(Item(message.name, message.spec, None))
        self._stored = [one for one in stored if any(one.spec.wasm.payload)]
        self._has = {one.name for one in self._stored}
        self._real = SmartModules(lambda: self._stored)

    # What the conversation shows

    def streamed(self, event: Event, asked: StreamFetchRequest, push: StreamFetchResponse) -> None:
        """A stream has pushed through modules."""
        look = push.partition
        code = look.error_code.code
        invocations = asked.smartmodules
        if code == Code.SMART_MODULE_NOT_FOUND:
            self._there(invocations, until=look.error_code.detail.name)
            return
        if code in _START_ERRORS:
            self._fails(invocations, look.error_code)
            return
        inputs = _inputs(look, asked.fetch_offset)
        if not inputs:
            self._there(invocations)
            return
        served = self._known.setdefault((push.topic, look.partition_index), Served())
        batches = []
        for one in inputs:
            batch = served.batches.setdefault(one.base, one.batch)
            batches.append(batch)
        version = event.call.frame.header.api_version if event.call.frame else 0
        if self._runs(invocations, version, batches, look, asked.max_bytes):
            return
        script = self._script_of(invocations)
        if script is None:
            return
        script.passes = False
        for one, batch in zip(inputs, batches, strict=True):
            script.outputs[batch.blob()] = one.output

    def produced(self, asked: ProduceRequest, answer: ProduceResponse) -> None:
        """Records went through modules, or perhaps not."""
        if not asked.smartmodules:
            return
        for topic, sent in zip(answer.responses, asked.topics, strict=False):
            for one, entry in zip(topic.partitions, sent.partitions, strict=False):
                code = one.error_code.code
                if code == Code.SMART_MODULE_NOT_FOUND:
                    self._there(asked.smartmodules, until=one.error_code.detail.name)
                elif code in _START_ERRORS:
                    self._fails(asked.smartmodules, one.error_code)
                elif not code and len(entry.records):
                    key = (topic.name, one.partition_index)
                    self._wrote(asked.smartmodules, entry.records, key, one.base_offset)

    def _wrote(
        self,
        invocations: Iterable[SmartModuleInvocation],
        records: RecordSet,
        key: Key,
        base: int,
    ) -> None:
        """What was stored is known if it was served later."""
        script = self._script_of(invocations, only_names=True)
        became = self._known.get(key, Served()).batches.get(base)
        if script is None or became is None:
            return
        sent = records.batches(check_crc=False)
        if len(sent) == 1:
            made = became.raw_records()
            script.outputs[sent[0].blob()] = Output(records=made)

    # Who plays

    def _unknown(
        self, invocations: Iterable[SmartModuleInvocation], *, only_names: bool = False
    ) -> Iterator[StandIn]:
        """The modules of a chain that have to be played, each by its stand-in."""
        for one in invocations:
            wasm = one.wasm
            if isinstance(wasm, Predefined):
                if wasm.name not in self._has:
                    yield self.names.setdefault(wasm.name, stand_in(Script()))
            elif not only_names:
                digest = _digest(wasm)
                if digest is not None:
                    yield self.hashes.setdefault(digest, stand_in(Script()))

    def _there(
        self, invocations: Iterable[SmartModuleInvocation], until: str | None = None
    ) -> None:
        named = []
        for one in invocations:
            if isinstance(one.wasm, Predefined):
                if one.wasm.name == until:
                    break
                named.append(one)
        list(self._unknown(named, only_names=True))

    def _script_of(
        self, invocations: Iterable[SmartModuleInvocation], *, only_names: bool = False
    ) -> Script | None:
        """The script of the first module that is played; the others let everything pass."""
        players = list(self._unknown(invocations, only_names=only_names))
        return players[0].script if players else None

    def _fails(self, invocations: Iterable[SmartModuleInvocation], code: ErrorCode) -> None:
        players = list(self._unknown(invocations, only_names=True))
        if players:
            players[-1].script.start_error = code

    def _runs(
        self,
        invocations: Iterable[SmartModuleInvocation],
        version: int,
        batches: Iterable[Batch],
        look: PartitionResponse,
        max_bytes: int,
    ) -> bool:
        """Whether the modules are all there and make of the batches what was recorded."""
        wanted = tuple(invocations)
        if any(
            isinstance(one.wasm, Predefined) and one.wasm.name not in self._has for one in wanted
        ):
            return False
        try:
            merged = merge(self._real.start(wanted, version), batches, max_bytes & 0xFFFF_FFFF)
        except (ChainError, Trap):
            return False
        return RecordSet(merged.encode()) == look.records


# From outputs to inputs


@attrs.frozen
class _Input:
    base: int
    batch: Batch
    output: Output | Trap


def _inputs(look: PartitionResponse, start: int) -> list[_Input]:
    """Batches that may have been in the log, and what became of each."""
    code, detail = look.error_code.code, look.error_code.detail
    failure = detail if isinstance(detail, ModuleRuntimeDetail) else None
    text = getattr(detail, "text", "")
    if code == Code.OTHER and text.startswith(_TRAP):
        end = max(look.next_filter_offset, start + 1)
        made = _batch(start, end, [], Compression.NONE, None)
        return [_Input(start, made, Trap(text.removeprefix(_TRAP)))]
    if code and failure is None:
        return []
    found = look.records.batches(check_crc=False)
    outputs = found[0].raw_records() if found and found[0].base_offset >= 0 else []
    codec = found[0].compression if found else Compression.NONE
    groups = _groups(outputs, found[0].base_offset) if outputs else []
    end = look.next_filter_offset
    if failure is not None and (not groups or failure.offset > _last_offset(groups[-1])):
        alone = not groups or len(groups[-1][1]) == 1
        if alone:
            groups.append((failure.offset, []))
    ends = [base for base, _ in groups[1:]]
    ends.append(max(end, groups[-1][0] + 1) if groups else 0)
    made_up = []
    for number, ((base, records), stop) in enumerate(zip(groups, ends, strict=True)):
        last = failure if number == len(groups) - 1 else None
        batch = _batch(base, stop, records, codec, last)
        made_up.append(_Input(base, batch, Output(records=records, error=last)))
    return made_up


Group = tuple[int, list[RawRecord]]


def _groups(outputs: list[RawRecord], base: int) -> list[Group]:
    """Records by the batch they came from: within one, deltas do not fall."""
    groups: list[Group] = []
    previous: int | None = None
    for record in outputs:
        delta = record.offset_delta
        if previous is None or delta < previous:
            groups.append((base - delta if groups else base, []))
        previous = delta
        copied = _copy(record)
        copied.offset_delta = delta - (base - groups[-1][0])
        groups[-1][1].append(copied)
    return groups


def _last_offset(group: Group) -> int:
    base, records = group
    return base + max((one.offset_delta for one in records), default=0)


def _batch(
    base: int,
    end: int,
    records: list[RawRecord],
    codec: Compression,
    failure: ModuleRuntimeDetail | None,
) -> Batch:
    """A batch for offsets ``[base, end)`` that holds what came out in its place."""
    values: list[tuple[bytes | None, bytes]] = [(None, b"")] * (end - base)
    for one in records:
        if 0 <= one.offset_delta < len(values):
            values[one.offset_delta] = (one.key, one.value)
    if failure is not None and 0 <= failure.offset - base < len(values):
        values[failure.offset - base] = (failure.record_key, failure.record_value)
    return Batch(renumber(encode_batch(values, compression=codec), base), 0)


def _copy(record: RawRecord) -> RawRecord:
    return RawRecord(
        record.attributes,
        record.timestamp_delta,
        record.offset_delta,
        record.key,
        record.value,
        record.headers,
    )


def _unpacked(records: bytes) -> list[RawRecord]:
    return unpack_records(records)


def _digest(wasm: AdHoc | Any) -> str | None:
    try:
        whole = decompress(Compression.GZIP, wasm.payload, _LARGEST_MODULE)
    except ProtocolError:
        return None
    return sha256(whole).hexdigest()
