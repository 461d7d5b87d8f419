"""Record sets and batches: the form records have on the wire, on disk and in every reply.

A record set is batches back to back, and may end anywhere inside one. A batch is a 57-byte header
(61 with a schema id) and a blob: a 32-bit count and the records, compressed as one unit or not.
The server numbers batches and believes ``last_offset_delta``, so the next offset is
``base_offset + last_offset_delta + 1`` whatever the number of records. Layout as in
``fluvio-protocol/src/record/batch.rs``.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import ClassVar, Final, Self

import attrs
from crc32c import crc32c

from ..errors import ProtocolError, UsageError
from ._decode import decode_records
from ._encode import append_each, append_records
from ._raw import check_count, decode_raw_records, encode_raw_records
from ._record import RawRecord, Record
from .compression import DEFAULT_MAX_DECOMPRESSED_SIZE, Compression, compress, decompress

__all__ = [
    "Batch",
    "BatchBuilder",
    "BatchLimits",
    "BatchReader",
    "RawRecord",
    "Record",
    "RecordSet",
    "encode_batch",
    "pack_records",
    "unpack_records",
]

PREAMBLE: Final = 12
"""Bytes before what ``batch_length`` counts: the base offset and the length itself."""

HEADER: Final = 57
"""Bytes of a batch before its blob, without a schema id."""

CRC_AT: Final = 17
"""Where in a batch its checksum is: four bytes."""

COVERED_FROM: Final = 21
"""Where in a batch begins what its checksum covers: at the attributes, and it goes to the end."""

CODEC_BITS: Final = 0x07
"""The attributes of a batch that number its codec."""

_FIXED: Final = HEADER - PREAMBLE
_SCHEMA_BIT: Final = 0x10
_CODECS: Final = tuple(Compression)
_LAYOUT: Final = struct.Struct(">qiibIhiqqqhi")
_PREAMBLE: Final = struct.Struct(">qi")
_FRONT: Final = struct.Struct(">qiibI")
_AFTER_CRC: Final = struct.Struct(">hiqqqhi")
_FIRST_AFTER_CRC: Final = struct.Struct(">hi")
_U32: Final = struct.Struct(">I")
_I32: Final = struct.Struct(">i")
_I64: Final = struct.Struct(">q")
_MAX_DELTA: Final = 2**31 - 1
_NO_TIMESTAMP: Final = -1
_NO_LIMIT: Final = 2**63


DEFAULT_MAX_RECORDS: Final = 1_000_000
"""Records that one batch may hold."""


@attrs.frozen(kw_only=True)
class BatchLimits:
    """What one batch may come to.

    :ivar size: bytes that its blob may decompress to.
    :ivar ratio: how many times its size the blob may become; None: any.
    :ivar records: how many records it may hold.
    """

    size: int = DEFAULT_MAX_DECOMPRESSED_SIZE
    ratio: int | None = None
    records: int = DEFAULT_MAX_RECORDS

    def decompressed(self, size: int) -> tuple[int, str]:
        """How many bytes ``size`` compressed ones may become, and by which setting."""
        if self.ratio is not None and self.ratio * size < self.size:
            return self.ratio * size, "max_decompression_ratio"
        return self.size, "max_decompressed_size"


_LIMITS: Final = BatchLimits()


class Batch:
    """One batch: its header by name, its records when asked for.

    It refers to the bytes it was read from and keeps them alive.

    :ivar end: where the batch ends in ``data``.
    """

    __slots__ = (
        "_blob",
        "attributes",
        "base_offset",
        "batch_length",
        "crc",
        "data",
        "end",
        "first_sequence",
        "first_timestamp",
        "last_offset_delta",
        "magic",
        "max_timestamp",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
        "schema_id",
        "start",
    )

    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    first_sequence: int
    schema_id: int | None

    def __init__(self, data: bytes, start: int) -> None:
        (
            self.base_offset,
            self.batch_length,
            self.partition_leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.first_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.first_sequence,
        ) = _LAYOUT.unpack_from(data, start)
        self.data = data
        self.start = start
        self.end = start + PREAMBLE + self.batch_length
        self.schema_id = None
        self._blob = start + HEADER
        if self.attributes & _SCHEMA_BIT:
            if self.batch_length < _FIXED + 4:
                raise _bad_length(self.batch_length, start)
            (self.schema_id,) = _U32.unpack_from(data, self._blob)
            self._blob += 4

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return PREAMBLE + self.batch_length

    @property
    def next_offset(self) -> int:
        """The offset that follows the batch, however many records it holds."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def compressed(self) -> bool:
        """Whether the blob is compressed, by whatever codec."""
        return self.attributes & CODEC_BITS != 0

    @property
    def compression(self) -> Compression:
        """The codec of the blob.

        :raises ProtocolError: bits that stand for none.
        """
        bits = self.attributes & CODEC_BITS
        if bits >= len(_CODECS):
            raise ProtocolError(
                f"{bits} is no codec", field="batch.attributes", position=self.start + COVERED_FROM
            )
        return _CODECS[bits]

    def check_crc(self) -> None:
        """Compare the checksum, which covers everything behind it.

        :raises ProtocolError: it is not what the bytes give.
        """
        found = crc32c(memoryview(self.data)[self.start + COVERED_FROM : self.end])
        if found != self.crc:
            raise ProtocolError(
                f"the CRC is {self.crc:#010x}, the bytes give {found:#010x}",
                field="batch.crc",
                position=self.start + CRC_AT,
            )

    def blob(self, limits: BatchLimits | None = None) -> bytes:
        """The count and the records, decompressed.

        :raises ProtocolError: corrupt, or more than the limits allow.
        """
        compressed = self.data[self._blob : self.end]
        most, name = (limits or _LIMITS).decompressed(len(compressed))
        return decompress(self.compression, compressed, most, name)

    def records(
        self,
        topic: str = "",
        partition: int = 0,
        *,
        offsets_known: bool = True,
        limits: BatchLimits | None = None,
    ) -> list[Record]:
        """The records, each at ``base_offset`` plus its own delta.

        :param offsets_known: pass False for what a SmartModule made, where base plus delta is
            wrong; the records then have no offset.
        :param limits: what the batch may come to.
        :raises ProtocolError: a damaged record, a corrupt blob, or too much of it.
        """
        limits = limits or _LIMITS
        data, pos, end = self._open(limits)
        found, _ = decode_records(
            data,
            pos + 4,
            end,
            _count(data, pos, end, limits.records),
            self.base_offset if offsets_known else None,
            self.first_timestamp if self.first_timestamp > 0 else None,
            topic,
            partition,
        )
        return found

    def reader(
        self, topic: str = "", partition: int = 0, *, limits: BatchLimits | None = None
    ) -> BatchReader:
        """The records in parts, where they are too many to be read at once.

        :param limits: what the batch may come to.
        :raises ProtocolError: a corrupt blob, or too much of it.
        """
        limits = limits or _LIMITS
        data, pos, end = self._open(limits)
        count = _count(data, pos, end, limits.records)
        check_count(count, pos + 4, end)
        return BatchReader(self, data, pos + 4, end, count, topic, partition)

    def raw_records(self, limits: BatchLimits | None = None) -> list[RawRecord]:
        """The records as they stand on the wire, whatever their number; raises as :meth:`records`.

        :param limits: what the blob may come to.
        """
        return unpack_records(*self._open(limits or _LIMITS))

    def values(self) -> list[bytes]:
        """The records' values alone; raises as :meth:`records`."""
        return [record.value for record in self.records()]

    def pack(self, blob: bytes) -> bytes:
        """The batch again, from its header's values and ``blob`` (compressed by the caller)."""
        middle = b"" if self.schema_id is None else _U32.pack(self.schema_id)
        after = _AFTER_CRC.pack(
            self.attributes,
            self.last_offset_delta,
            self.first_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.first_sequence,
        )
        covered = after + middle + blob
        length = _FIXED + len(middle) + len(blob)
        epoch, magic = self.partition_leader_epoch, self.magic
        return _FRONT.pack(self.base_offset, length, epoch, magic, crc32c(covered)) + covered

    def encode(self, records: list[RawRecord]) -> bytes:
        """The batch again, from its header's values and ``records``."""
        return self.pack(compress(self.compression, pack_records(records)))

    def _open(self, limits: BatchLimits) -> tuple[bytes, int, int]:
        if self.compressed:
            blob = self.blob(limits)
            return blob, 0, len(blob)
        return self.data, self._blob, self.end


class BatchReader:
    """Reads the records of one batch, as many as are wanted at a time.

    :ivar left: how many there still are.
    """

    __slots__ = ("_batch", "_data", "_end", "_partition", "_pos", "_topic", "left")

    def __init__(
        self, batch: Batch, data: bytes, pos: int, end: int, left: int, topic: str, partition: int
    ) -> None:
        self.left = left
        self._batch = batch
        self._data = data
        self._pos = pos
        self._end = end
        self._topic = topic
        self._partition = partition

    def copy(self) -> BatchReader:
        """Another one, which has read as much."""
        place = self._data, self._pos, self._end
        return BatchReader(self._batch, *place, self.left, self._topic, self._partition)

    def read(self, most: int) -> list[Record]:
        """The next records, at most so many.

        :raises ProtocolError: one of them is damaged; none counts as read.
        """
        count = min(most, self.left)
        batch = self._batch
        time = batch.first_timestamp
        found, self._pos = decode_records(
            self._data,
            self._pos,
            self._end,
            count,
            batch.base_offset,
            time if time > 0 else None,
            self._topic,
            self._partition,
        )
        self.left -= count
        return found


def unpack_records(data: bytes, start: int = 0, end: int | None = None) -> list[RawRecord]:
    """The records of a decompressed blob, as they stand on the wire.

    :raises ProtocolError: a damaged record, or fewer of them than the blob says.
    """
    end = len(data) if end is None else end
    return decode_raw_records(data, start + 4, end, _count(data, start, end))[0]


def pack_records(records: list[RawRecord]) -> bytes:
    """A blob of these records, not compressed."""
    return _U32.pack(len(records)) + encode_raw_records(records)


def _count(data: bytes, pos: int, end: int, most: int | None = None) -> int:
    if end - pos < 4:
        raise ProtocolError("a batch without a record count", field="batch", position=pos)
    count: int = _I32.unpack_from(data, pos)[0]
    # A count that the bytes can not hold is refused by whoever reads them, in better words.
    if most is not None and most < count <= end - pos:
        raise ProtocolError(
            f"a batch of {count} records is over the limit of {most} (max_batch_records)",
            field="batch",
            position=pos,
        )
    return count


class RecordSet:
    """The bytes of a record set, not copied: batches, and perhaps the beginning of another."""

    __slots__ = ("data", "end", "start")

    EMPTY: ClassVar[RecordSet]

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self.data = data
        self.start = start
        self.end = len(data) if end is None else end

    @classmethod
    def of(cls, *batches: bytes) -> Self:
        """The set that holds these encoded batches."""
        return cls(batches[0] if len(batches) == 1 else b"".join(batches))

    def __len__(self) -> int:
        return self.end - self.start

    def __bytes__(self) -> bytes:
        return self.data[self.start : self.end]

    def __eq__(self, other: object) -> bool:
        return self.view() == other.view() if isinstance(other, RecordSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        return f"<RecordSet of {len(self)} bytes>"

    def view(self) -> memoryview:
        """The bytes, without a copy."""
        return memoryview(self.data)[self.start : self.end]

    def batches(self, *, check_crc: bool = True) -> list[Batch]:
        """The complete batches, in order.

        :param check_crc: compare each checksum; an honest server always has it right.
        :raises ProtocolError: an impossible length, or a wrong checksum.
        """
        found = []
        pos = self.start
        for stop, _ in self.ends():
            batch = Batch(self.data, pos)
            if check_crc:
                batch.check_crc()
            found.append(batch)
            pos = stop
        return found

    def ends(self) -> Iterator[tuple[int, int]]:
        """Of each complete batch where it ends in ``data``, and the offset behind it.

        That takes no :class:`Batch`, which is several times as large as a batch may be.

        :raises ProtocolError: an impossible length.
        """
        data, pos, end = self.data, self.start, self.end
        while end - pos >= PREAMBLE:
            base, length = _PREAMBLE.unpack_from(data, pos)
            if length < _FIXED:
                raise _bad_length(length, pos)
            stop = pos + PREAMBLE + length
            if stop > end:
                break
            attributes, last_delta = _FIRST_AFTER_CRC.unpack_from(data, pos + COVERED_FROM)
            if attributes & _SCHEMA_BIT and length < _FIXED + 4:
                raise _bad_length(length, pos)
            yield stop, base + last_delta + 1
            pos = stop

    @property
    def fragment(self) -> bytes:
        """What is left behind the last complete batch."""
        return self.data[self._complete() : self.end]

    def needed(self) -> int | None:
        """Bytes of the batch that the fragment begins, or None where it does not tell."""
        pos = self._complete()
        if self.end - pos < PREAMBLE:
            return None
        return PREAMBLE + int(_PREAMBLE.unpack_from(self.data, pos)[1])

    def _complete(self) -> int:
        pos = self.start
        for stop, _ in self.ends():
            pos = stop
        return pos


RecordSet.EMPTY = RecordSet(b"")


def _bad_length(length: int, position: int) -> ProtocolError:
    return ProtocolError(
        f"a batch of {length} bytes is shorter than its header",
        field="batch.batch_length",
        position=position + 8,
    )


def renumber(batch: bytes, base_offset: int) -> bytes:
    """The batch at another base offset, which its checksum does not cover."""
    return _I64.pack(base_offset) + batch[8:]


class BatchBuilder:
    """Collects records for one batch, and knows its size before compression.

    :param first_timestamp: milliseconds since the Unix epoch; records say theirs relative to it.
    """

    __slots__ = ("_first", "_last", "_parts", "count", "size")

    def __init__(self, first_timestamp: int) -> None:
        self._parts: list[bytes] = []
        self._first = first_timestamp
        self._last = first_timestamp
        self.count = 0
        self.size = HEADER + 4

    def append(self, key: bytes | None, value: bytes, timestamp: int | None = None) -> int:
        """Add a record and return its index in the batch.

        :param timestamp: milliseconds since the Unix epoch; the batch's own by default.
        :raises UsageError: a timestamp more than 24.8 days from the batch's, which the
            platform's varints can not hold.
        """
        time = self._first if timestamp is None else timestamp
        index = self.count
        if not self.fit(key, value, time, _NO_LIMIT):
            delta = time - self._first
            raise UsageError(f"a timestamp {delta} ms from its batch's can not be sent")
        return index

    def fit(self, key: bytes | None, value: bytes, timestamp: int, limit: int) -> bool:
        """Add a record if the batch can hold its timestamp and stays within ``limit`` bytes."""
        delta = timestamp - self._first
        if not -_MAX_DELTA <= delta <= _MAX_DELTA:
            return False
        keys = None if key is None else (key,)
        room = limit - self.size
        count, size = append_each(self._parts, keys, (value,), self.count, delta, room)
        if not count:
            return False
        self.size += size
        self.count += 1
        if timestamp > self._last:
            self._last = timestamp
        return True

    def extend(
        self,
        keys: Sequence[bytes | None] | None,
        values: Sequence[bytes],
        start: int,
        timestamp: int | Sequence[int],
        limit: int,
    ) -> int:
        """Add ``values[start:]``, as far as the batch stays within ``limit`` bytes.

        :param keys: the keys of all ``values``; None: no record has one.
        :param timestamp: of all, or of each.
        :returns: where in ``values`` it stopped: at ``start`` also where the timestamp is too far
            from the batch's.
        """
        if not isinstance(timestamp, int):
            for index in range(start, len(values)):
                key = None if keys is None else keys[index]
                if not self.fit(key, values[index], timestamp[index], limit):
                    return index
            return len(values)
        if start + 1 == len(values):
            key = None if keys is None else keys[start]
            return start + self.fit(key, values[start], timestamp, limit)
        delta = timestamp - self._first
        if not -_MAX_DELTA <= delta <= _MAX_DELTA:
            return start
        room = limit - self.size
        stop, size = append_records(self._parts, keys, values, start, self.count, delta, room)
        self.size += size
        self.count += stop - start
        if stop > start and timestamp > self._last:
            self._last = timestamp
        return stop

    def build(
        self, compression: Compression = Compression.NONE, without: Collection[int] = ()
    ) -> bytes:
        """The batch, as bytes.

        :param without: indices of records to leave out; those behind them move up.
        :raises UsageError: no records; an empty batch makes a server refuse later ones.
        """
        records, count, last = b"".join(self._parts), self.count, self._last
        if without:
            records, count, last = self._rest(records, without)
        if not count:
            raise UsageError("a batch needs at least one record")
        blob = compress(compression, _U32.pack(count) + records)
        covered = _AFTER_CRC.pack(compression, count - 1, self._first, last, -1, -1, -1) + blob
        return _FRONT.pack(0, _FIXED + len(blob), -1, 2, crc32c(covered)) + covered

    def discard(self) -> None:
        """Let go of the records; :attr:`count` and :attr:`size` stay what they were."""
        self._parts.clear()

    def _rest(self, records: bytes, without: Collection[int]) -> tuple[bytes, int, int]:
        every, _ = decode_raw_records(records, 0, len(records), self.count)
        kept = [record for index, record in enumerate(every) if index not in without]
        last = self._first
        for index, record in enumerate(kept):
            record.offset_delta = index
            last = max(last, self._first + record.timestamp_delta)
        return encode_raw_records(kept), len(kept), last


def encode_batch(
    records: Iterable[bytes | tuple[bytes | None, bytes]],
    *,
    compression: Compression = Compression.NONE,
    timestamp: int = _NO_TIMESTAMP,
) -> bytes:
    """A batch of values or (key, value) pairs, all at one time.

    :raises UsageError: no records.
    """
    builder = BatchBuilder(timestamp)
    for record in records:
        if isinstance(record, tuple):
            builder.append(record[0], record[1])
        else:
            builder.append(None, record)
    return builder.build(compression)
