"""Chains of SmartModules: how they start, look back, and make one batch of many.

A chain runs batches through its modules and merges what comes out, with every oddity of the real
one (``fluvio-spu/src/smartengine/batch.rs``): one batch for all, without times, whose records after
those of the first input batch have deltas of the wrong sign. What a module is made of, Python or
WASM, makes no difference here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from ...errors import ProtocolError
from ...wire.codes import Code, ErrorCode, ModuleRuntimeDetail, error
from ...wire.compression import Compression, compress
from ...wire.records import CODEC_BITS, HEADER, Batch, RawRecord, pack_records
from ...wire.spu import ExtraParams, Lookback
from ..spu.log import PartitionLog
from .abi import Input, Output, inflation_failure, records_of, sendable

UNSET = -1
"""The base offset of a merged batch for which nothing has come out yet."""

_COUNT = 4
_HEADER = b"\xff" * 8 + b"\0\0\0\x31" + b"\xff" * 4 + b"\2" + bytes(4) + bytes(2) + b"\xff" * 34
"""Of a batch in which nothing is set: a magic of 2, no checksum, no attributes, -1 elsewhere."""


class Trap(Exception):
    """A module has broken down, and nothing that it made of the present batch counts.

    Raised by a module in Python, it has the effect of a trap in WASM: a stream ends with error 2
    and the text, a Produce is refused with it, and so is the start of a chain, with 6005 or 6007.

    :param text: what the client is told.
    :param cause: what it is told instead where a real SPU tells the innermost cause.
    """

    def __init__(self, text: str, cause: str | None = None) -> None:
        super().__init__(text)
        self.cause = text if cause is None else cause


class OutOfMemory(Trap):
    """A module has wanted more memory than it may have."""

    def __init__(self, requested: int, limit: int) -> None:
        super().__init__(f"Requested memory {requested}b exceeded max allowed {limit}b")
        self.requested = requested
        self.limit = limit

    @property
    def error(self) -> ErrorCode:
        """The error code for it, where there is room for one."""
        code = Code.SMART_MODULE_MEMORY_LIMIT_EXCEEDED
        return error(code, requested=self.requested, max=self.limit)


class ChainError(Exception):
    """A chain that does not start, or a batch that a chain refuses.

    :ivar error: what the client is told.
    """

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.error = code

    @classmethod
    def of(cls, code: Code, text: str) -> ChainError:
        """An error of a code that carries a text."""
        return cls(error(code, text=sendable(text)))


class Instance(Protocol):
    """A module at work in one chain; what it remembers is its own.

    Every method raises :class:`Trap`.
    """

    @property
    def looks_back(self) -> bool:
        """Whether it wants to see records before the first batch."""
        ...

    def init(self, params: ExtraParams, /) -> None:
        """Called once, before everything else."""
        ...

    def look_back(self, records: Input, /) -> None:
        """Called once after that, where the invocation asks for it."""
        ...

    def process(self, batch: Input, /) -> Output:
        """What becomes of a batch."""
        ...


@attrs.frozen
class Link:
    """A module of a chain, and how far it is to look back."""

    instance: Instance
    lookback: Lookback | None = None


class Chain:
    """Modules that have started, each of which gets what the one before it let through."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links

    def look_back(self, log: PartitionLog, now: float) -> None:
        """Show the committed records that they ask for to the modules that look back.

        :param now: seconds since the Unix epoch.
        :raises ChainError: a module failed on them, or they can not be read.
        """
        for link in self._links:
            if link.lookback is None or not link.instance.looks_back:
                continue
            try:
                records = committed(log, link.lookback, now)
                # Neither offsets nor times are passed on, only the deltas in the records.
                whole = Input(base_offset=0, base_timestamp=0, records=pack_records(records))
                link.instance.look_back(whole)
            except Trap as trap:
                raise ChainError.of(Code.SMART_MODULE_LOOKBACK_ERROR, trap.cause) from trap

    def process(self, batch: Input) -> Output:
        """What becomes of a batch. What a module made before it failed on a record is final."""
        output = Output(records=[])
        for number, link in enumerate(self._links):
            if number:
                batch = Input(
                    base_offset=batch.base_offset,
                    base_timestamp=batch.base_timestamp,
                    records=pack_records(output.records),
                )
            output = link.instance.process(batch)
            if output.error is not None:
                break
        return output


@attrs.frozen
class Merged:
    """The one batch that comes out of a chain.

    :ivar base_offset: that of the first input batch that gave anything, or -1.
    :ivar last_offset_delta: covers all input batches from that one on, or is -1.
    :ivar compression: that of the first input batch that gave anything.
    :ivar records: the records, encoded.
    :ivar error: the record on which a module failed; those before it are in the batch.
    """

    base_offset: int = UNSET
    last_offset_delta: int = -1
    compression: Compression = Compression.NONE
    count: int = 0
    records: bytes = attrs.field(default=b"", repr=False)
    error: ModuleRuntimeDetail | None = None

    @property
    def next_offset(self) -> int:
        """The offset behind the last input batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def error_code(self) -> ErrorCode:
        """The error code for :attr:`error`."""
        code = Code.NONE if self.error is None else Code.SMART_MODULE_RUNTIME_ERROR
        return ErrorCode(code, self.error)

    def encode(self) -> bytes:
        """The batch: without times, and with another number of records than its offsets tell."""
        batch = Batch(_HEADER, 0)
        batch.base_offset = self.base_offset
        batch.last_offset_delta = self.last_offset_delta
        batch.attributes = int(self.compression)
        blob = self.count.to_bytes(_COUNT, "big") + self.records
        return batch.pack(compress(self.compression, blob))


def merge(chain: Chain, batches: Iterable[Batch], max_bytes: int | None = None) -> Merged:
    """Run batches through a chain, and make one of all that comes out.

    :param max_bytes: stop before a batch with whose records it would be more than that. The
        batch has been through the chain by then, and will be again.
    :raises Trap: a module broke down, or a batch can not be decompressed.
    """
    base, delta, compression = UNSET, -1, Compression.NONE
    count, size = 0, 0
    parts: list[bytes] = []
    failed: ModuleRuntimeDetail | None = None
    for batch in batches:
        output = chain.process(
            Input(
                base_offset=batch.base_offset,
                base_timestamp=batch.first_timestamp,
                records=_blob(batch),
            )
        )
        failed = output.error
        if output.records:
            if base == UNSET:
                base, compression = batch.base_offset, batch.compression
            for record in output.records:
                # What would make the delta right is the difference the other way round.
                record.offset_delta += base - batch.base_offset
            blob = pack_records(output.records)
            if max_bytes is not None and size + len(blob) > max_bytes:
                break
            size += len(blob)
            count += len(output.records)
            parts.append(blob[_COUNT:])
        if base != UNSET:
            delta = _wrapped(delta + batch.last_offset_delta + 1)
        if failed is not None:
            break
    return Merged(base, delta, compression, count, b"".join(parts), failed)


def _wrapped(number: int) -> int:
    """What 32 bits with a sign keep of a number."""
    return (number + 2**31) % 2**32 - 2**31


def committed(log: PartitionLog, lookback: Lookback, now: float) -> list[RawRecord]:
    """The committed records that a module looks back at: the last so many, or so young.

    An age without a number means all that are young enough. The real SPU misses some of these:
    it reads one segment only, and by age every other batch of one record.

    :raises Trap: a batch is damaged, or it is more than a real SPU can count.
    """
    start, oldest = log.log_start, None
    if lookback.age is not None:
        age = lookback.age.seconds * 1000 + lookback.age.nanoseconds // 1_000_000
        _countable(age)
        oldest = int(now * 1000) - age
    if lookback.age is None or lookback.last:
        _countable(lookback.last)
        start = min(max(log.hw - lookback.last, start), log.hw)
    found = []
    for stored in log.since(start):
        if stored.end > log.hw:
            break
        batch = Batch(stored.data, 0)
        blob = _blob(batch)
        try:
            records = records_of(blob)
        except ProtocolError as reason:
            raise Trap(str(reason)) from reason
        found += [
            record
            for record in records
            if batch.base_offset + record.offset_delta >= start
            and (oldest is None or batch.first_timestamp + record.timestamp_delta >= oldest)
        ]
    return found


def _countable(number: int) -> None:
    if number >= 2**63:
        raise Trap("out of range integral type conversion attempted")


def _blob(batch: Batch) -> bytes:
    compressed = batch.size - HEADER
    codec = batch.attributes & CODEC_BITS
    if codec > Compression.ZSTD:
        text = f"unknown compression format: i8 representation: {codec}"
        raise Trap(f"unknown compression value for batch {text}")
    if codec == Compression.LZ4 and not compressed:
        # Nothing at all is no frame elsewhere; there it is one without anything in it.
        return b""
    try:
        return batch.blob()
    except ProtocolError as reason:
        raise Trap(f"uncompress error {inflation_failure(reason, compressed)}") from reason
