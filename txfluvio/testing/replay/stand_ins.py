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
from itertools import pairwise

import attrs

from ...errors import ProtocolError
from ...wire.codes import NO_ERROR, Code, ErrorCode, ModuleKind, ModuleRuntimeDetail
from ...wire.compression import Compression, decompress
from ...wire.records import Batch, RawRecord, RecordSet, encode_batch, renumber, unpack_records
from ...wire.sc import SMART_MODULE, CreateRequest, Deduplication, Metadata, SmartModuleStatus
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
from ..sc.admission import ModuleName, ModuleNameError
from ..sc.store import Item
from ..smartmodules import SmartModule, Trap
from ..smartmodules.abi import Input, Output
from ..smartmodules.chain import ChainError, merge
from ..smartmodules.registry import SmartModules, StoredModule, deduplication
from ..spu.replica import Key
from ..spu.spu import DEDUPLICATION_VERSION
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
_CROWDED = 10_000
"""Below so many bytes a push that is not the last one was cut, rather than at a segment's end."""

_LARGEST_MODULE = 64 * 1024 * 1024


@attrs.define(eq=False)
class Script:
    """What a stand-in does in one chain.

    :ivar outputs: what becomes of a batch, by its base offset and its records as bytes.
    :ivar too_much: base offsets of batches of which, the first time, more bytes come out than a
        push may have: that is how the batch before it became the last one of its push.
    :ivar start_error: why it does not start.
    :ivar passes: whether other batches pass unchanged; else nothing of them does.
    """

    outputs: dict[tuple[int, bytes], Output | Trap] = attrs.Factory(dict)
    too_much: dict[int, int] = attrs.Factory(dict)
    start_error: ErrorCode | None = None
    passes: bool = True


class StandIn(SmartModule):
    """A module that follows scripts: one for each chain that it is in, in their order."""

    scripts: list[Script]

    def instance(self, accumulator: bytes = b"") -> _Actor:
        """The stand-in at work in the next chain.

        :raises ChainError: the script says that it does not start.
        """
        script = self.scripts.pop(0) if self.scripts else Script()
        if script.start_error is not None:
            raise ChainError(script.start_error)
        return _Actor(script)

    def another(self) -> Script:
        """The script for one more chain."""
        script = Script()
        self.scripts.append(script)
        return script


def stand_in() -> StandIn:
    """A module without a script, which lets everything pass."""
    made = StandIn(ModuleKind.FILTER, _never)
    object.__setattr__(made, "scripts", [])
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
        too_much = self._script.too_much.pop(batch.base_offset, None)
        if too_much is not None:
            return Output(records=[RawRecord(0, 0, 0, None, bytes(too_much), 0)])
        found = self._script.outputs.get((batch.base_offset, batch.records))
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
    answers: dict[int, list[Event]] = {}
    for event in conversation.replies():
        answers.setdefault(event.call.line, []).append(event)
    for event in conversation.requests():
        message, replies = event.message, answers.get(event.line, [])
        if isinstance(message, StreamFetchRequest) and message.smartmodules:
            director.streamed(event, message, replies)
        elif isinstance(message, ProduceRequest) and message.smartmodules:
            for reply in replies:
                director.produced(message, reply.message)
    director.finish()
    return director.cast()


class _Director:
    """Writes the scripts."""

    def __init__(
        self,
        conversation: Conversation,
        modules: Mapping[str, Metadata],
        known: dict[Key, Served],
    ) -> None:
        self._names: dict[str, StandIn] = {}
        self._hashes: dict[str, StandIn] = {}
        self._needed: set[str] = set()
        self._shown: list[_Shown] = []
        self._cuts: dict[Key, set[int]] = {}
        self._known = known
        told = list(modules.values())
        for event in conversation.requests():
            message = event.message
            if isinstance(message, CreateRequest) and message.kind is SMART_MODULE:
                made = Metadata(name=message.name, spec=message.spec, status=SmartModuleStatus())
                told.append(made)
        self._stored = _held(told)
        self._has = {one.name for one in self._stored}
        self._real = SmartModules(lambda: self._stored)

    def cast(self) -> Cast:
        """Who is needed."""
        needed = {one: player for one, player in self._hashes.items() if one in self._needed}
        return Cast(self._names, needed)

    # What the conversation shows

    def streamed(self, event: Event, asked: StreamFetchRequest, replies: list[Event]) -> None:
        """A stream through modules was opened, and this came of it."""
        pushes = [one.message for one in replies if isinstance(one.message, StreamFetchResponse)]
        first = pushes[0].partition.error_code if pushes else NO_ERROR
        scripts = self._scripts(asked.smartmodules, first)
        if scripts:
            scripts[0].passes = False
        if first.code in _START_ERRORS:
            return
        version = 0 if event.frame is None else event.frame.header.api_version
        for push in pushes:
            inputs = _inputs(push.partition, asked.fetch_offset)
            key = (push.topic, push.partition.partition_index)
            cuts = self._cuts.setdefault(key, set())
            for one in inputs:
                cuts |= {one.base, one.end}
            if inputs:
                self._shown.append(_Shown(key, asked, version, push.partition, inputs, scripts))

    def finish(self) -> None:
        """All streams were shown: the batches are those that all of them can have read."""
        for shown in self._shown:
            served = self._known.setdefault(shown.key, Served())
            cuts = [one for one in self._cuts[shown.key] if not served.covers(one)]
            inputs = [part for one in shown.inputs for part in one.divided(cuts)]
            batches = [served.batches.setdefault(one.base, one.batch()) for one in inputs]
            if not self._runs(shown, batches):
                self._needed.update(_digests(shown.asked.smartmodules))
            for script in shown.scripts[:1]:
                for one, batch in zip(inputs, batches, strict=True):
                    script.outputs[one.base, batch.blob()] = one.output()
                if shown.is_cut:
                    limit = shown.asked.max_bytes & 0xFFFF_FFFF
                    script.too_much[shown.look.next_filter_offset] = limit + 1

    def produced(self, asked: ProduceRequest, answer: object) -> None:
        """Records were to go through modules into logs."""
        if not isinstance(answer, ProduceResponse):
            return
        for topic, sent in zip(answer.responses, asked.topics, strict=False):
            for one, entry in zip(topic.partitions, sent.partitions, strict=False):
                scripts = self._scripts(asked.smartmodules, one.error_code)
                if not scripts:
                    continue
                key = (topic.name, one.partition_index)
                batches = entry.records.batches(check_crc=False)
                failure = one.error_code.detail
                if isinstance(failure, ModuleRuntimeDetail):
                    for batch in batches:
                        scripts[0].outputs[batch.base_offset, batch.blob()] = Output(
                            records=[], error=failure
                        )
                became = self._known.get(key, Served()).batches.get(one.base_offset)
                if became is not None and len(batches) == 1 and not one.error_code:
                    made = became.raw_records()
                    scripts[0].outputs[batches[0].base_offset, batches[0].blob()] = Output(
                        records=made
                    )

    # Who plays

    def _scripts(
        self, invocations: Iterable[SmartModuleInvocation], code: ErrorCode
    ) -> list[Script]:
        """A script for each module of a chain that has to be played, if the chain was started.

        The first one does what the chain did, the others let everything pass.

        :param code: what the chain's start was answered with.
        """
        if code.code == Code.NOT_LEADER_FOR_PARTITION:
            return []
        missing = code.detail.name if code.code == Code.SMART_MODULE_NOT_FOUND else None
        players = []
        for one in invocations:
            wasm = one.wasm
            if isinstance(wasm, Predefined):
                if wasm.name == missing:
                    break
                if wasm.name not in self._has:
                    players.append(self._names.setdefault(wasm.name, stand_in()))
            elif digest := _digest(wasm):
                players.append(self._hashes.setdefault(digest, stand_in()))
        if missing is not None:
            return []
        scripts = [player.another() for player in players]
        if code.code in _START_ERRORS and scripts:
            scripts[-1].start_error = code
        return scripts

    def _runs(self, shown: _Shown, batches: Iterable[Batch]) -> bool:
        """Whether the modules are all there and make of the batches what was recorded."""
        wanted = shown.asked.smartmodules
        named = [one.wasm.name for one in wanted if isinstance(one.wasm, Predefined)]
        if not self._has.issuperset(named):
            return False
        try:
            chain = self._real.start(wanted, shown.version, _no_time)
            merged = merge(chain, batches, shown.asked.max_bytes & 0xFFFF_FFFF)
        except (ChainError, Trap):
            return False
        return RecordSet(merged.encode()) == shown.look.records


def can_deduplicate(wanted: Deduplication, modules: Iterable[Metadata]) -> bool:
    """Whether the recording holds the module that a topic wants, and it starts.

    :param modules: those that there are, their bytes known or not.
    """
    try:
        # An SPU would take any version of that name, but the SC creates topics with this one alone.
        key = ModuleName.parse(wanted.uses).store_id
        held = SmartModules(lambda: [one for one in _held(modules) if _key(one) == key])
        held.start([deduplication(wanted)], DEDUPLICATION_VERSION, _no_time)
    except (ModuleNameError, ChainError, Trap):
        return False
    return True


def _key(module: StoredModule) -> str:
    """The key under which the SC keeps a module."""
    meta = module.spec.meta
    return module.name if meta is None else ModuleName.of_package(meta).store_id


def _held(modules: Iterable[Metadata]) -> list[StoredModule]:
    """The modules whose bytes are known."""
    return [Item(one.name, one.spec, one.status) for one in modules if any(one.spec.wasm.payload)]


def _no_time() -> float:
    """What a module read from a clock is not in a recording."""
    return 0.0


# From outputs to inputs


@attrs.frozen
class _Input:
    """A batch that may have been in a log, for offsets ``[base, end)``, and what became of it.

    :ivar records: what came out, in the order of the offsets that it came from.
    :ivar moved: how much more than it seems the offset deltas of the output have to be.
    """

    base: int
    end: int
    records: list[RawRecord]
    codec: Compression
    failure: ModuleRuntimeDetail | None = None
    trap: str | None = None
    moved: int = 0

    def batch(self) -> Batch:
        """The batch, which holds what came out in its place."""
        values: list[tuple[bytes | None, bytes]] = [(None, b"")] * (self.end - self.base)
        for one in self.records:
            if 0 <= one.offset_delta < len(values):
                values[one.offset_delta] = (one.key, one.value)
        failure = self.failure
        if failure is not None and self.base <= failure.offset < self.end:
            values[failure.offset - self.base] = (failure.record_key, failure.record_value)
        return Batch(renumber(encode_batch(values, compression=self.codec), self.base), 0)

    def output(self) -> Output | Trap:
        """What becomes of it."""
        if self.trap is not None:
            return Trap(self.trap)
        made = [_copy(one) for one in self.records]
        for one in made:
            one.offset_delta += self.moved
        return Output(records=made, error=self.failure)

    def divided(self, cuts: Iterable[int]) -> Iterator[_Input]:
        """The same as several batches, where other streams have seen that there are several."""
        if self.trap is not None:
            yield self
            return
        bounds = [self.base, *sorted(one for one in cuts if self.base < one < self.end), self.end]
        for first, last in pairwise(bounds):
            records = []
            for record in self.records:
                if first <= self.base + record.offset_delta < last:
                    part = _copy(record)
                    part.offset_delta -= first - self.base
                    records.append(part)
            fails = self.failure is not None and (
                first <= self.failure.offset < last or last == self.end
            )
            # Deltas are told from the first batch of the push, and grow the wrong way.
            moved = self.moved + 2 * (first - self.base)
            failure = self.failure if fails else None
            yield _Input(first, last, records, self.codec, failure, moved=moved)
            if fails:
                return


@attrs.frozen(eq=False)
class _Shown:
    """A push, and the batches that it may have been made of."""

    key: Key
    asked: StreamFetchRequest
    version: int
    look: PartitionResponse
    inputs: list[_Input]
    scripts: list[Script]

    @property
    def is_cut(self) -> bool:
        """Whether there was more in the log, for which the push had no room."""
        look, limit = self.look, self.asked.max_bytes & 0xFFFF_FFFF
        crowded = limit < _CROWDED or len(look.records) > limit // 2
        return look.next_filter_offset < look.high_watermark and crowded and not look.error_code


def _inputs(look: PartitionResponse, start: int) -> list[_Input]:
    """Batches that may have been in the log, and what became of each."""
    code, detail = look.error_code.code, look.error_code.detail
    failure = detail if isinstance(detail, ModuleRuntimeDetail) else None
    text = getattr(detail, "text", "")
    none = Compression.NONE
    if code == Code.OTHER and text.startswith(_TRAP):
        end = max(look.next_filter_offset, start + 1)
        return [_Input(start, end, [], none, trap=text.removeprefix(_TRAP))]
    if code and failure is None:
        return []
    found = look.records.batches(check_crc=False)
    outputs = found[0].raw_records() if found and found[0].base_offset >= 0 else []
    codec = found[0].compression if found else none
    groups = _groups(outputs, found[0].base_offset) if outputs else []
    if failure is not None and (not groups or failure.offset > _last_offset(groups[-1])):
        alone = not groups or len(groups[-1][1]) == 1
        if alone:
            groups.append((failure.offset, []))
    if not groups:
        return []
    ends = [base for base, _ in groups[1:]]
    ends.append(max(look.next_filter_offset, groups[-1][0] + 1))
    made = [
        _Input(base, end, records, codec) for (base, records), end in zip(groups, ends, strict=True)
    ]
    made[-1] = attrs.evolve(made[-1], failure=failure)
    return made


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


def _digests(invocations: Iterable[SmartModuleInvocation]) -> Iterator[str]:
    for one in invocations:
        if isinstance(one.wasm, AdHoc) and (digest := _digest(one.wasm)):
            yield digest


def _digest(wasm: AdHoc) -> str | None:
    try:
        whole = decompress(Compression.GZIP, wasm.payload, _LARGEST_MODULE)
    except ProtocolError:
        return None
    return sha256(whole).hexdigest()
