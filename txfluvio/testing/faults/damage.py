"""Frames made wrong: pure functions from bytes to bytes.

A frame here is that of a reply or a push, as it would leave: ``size: i32, correlation_id: i32,
body``. Positions count from its first byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ...wire.headers import REPLY_BODY
from ...wire.records import CRC_AT, RecordSet
from ...wire.schema import Message
from ...wire.spu import FetchResponse, StreamFetchResponse

SIZE = 4
BODY = SIZE + REPLY_BODY
"""Where the body of a reply begins in its frame."""

MAX_SIZE = 2**31 - 1
"""The largest size that a frame can have."""

_NUMBER = struct.Struct(">i")


def truncated(frame: bytes, by: int) -> bytes:
    """The frame less its last bytes, with a size that is true; the correlation id always stays."""
    kept = frame[SIZE : max(BODY, len(frame) - by)]
    return _NUMBER.pack(len(kept)) + kept


def sized(frame: bytes, size: int) -> bytes:
    """The same bytes behind another size."""
    return _NUMBER.pack(size) + frame[SIZE:]


def correlation_id(frame: bytes) -> int:
    """Which request the frame answers."""
    number: int = _NUMBER.unpack_from(frame, SIZE)[0]
    return number


def correlated(frame: bytes, number: int) -> bytes:
    """The same answer to another request; ids wrap around at 32 bits."""
    wrapped = (number + 2**31) % 2**32 - 2**31
    return frame[:SIZE] + _NUMBER.pack(wrapped) + frame[BODY:]


def record_sets(reply: Message | None) -> Iterator[tuple[str, int, RecordSet]]:
    """The record sets of a reply, each with its topic and partition, in their order."""
    if isinstance(reply, StreamFetchResponse):
        yield reply.topic, reply.partition.partition_index, reply.partition.records
    elif isinstance(reply, FetchResponse):
        for topic in reply.topics:
            for one in topic.partitions:
                yield topic.name, one.partition_index, one.records


def last_records(reply: Message | None) -> RecordSet:
    """The record set at the very end of a reply; an empty one if there is none."""
    *_, (_, _, records) = (("", 0, RecordSet.EMPTY), *record_sets(reply))
    return records


def has_batch(records: RecordSet) -> bool:
    """Whether at least one batch is there to its end."""
    return bool(records.batches(check_crc=False))


def corrupted(frame: bytes, records: RecordSet) -> bytes:
    """The frame with a wrong checksum in the first batch of a record set that lies in it."""
    position = records.start + CRC_AT
    return b"".join(
        (frame[:position], bytes([frame[position] ^ 0x01]), frame[position + 1 :]),
    )


def overstated(frame: bytes, records: RecordSet, size: int) -> bytes:
    """The frame when its last record set is said to have ``size`` bytes, and has fewer.

    This is the short frame of a real SPU whose reader of committed records starts above the high
    watermark: the record set and the frame are announced as large as the reader allowed, and only
    the bytes that there are follow (``fluvio-spu/src/services/public/fetch_handler.rs``).
    """
    room = MAX_SIZE - len(frame) + SIZE
    missing = min(size - len(records), room)
    if missing <= 0 or not len(records):
        return frame
    length = records.start - SIZE
    return b"".join(
        (
            _NUMBER.pack(len(frame) - SIZE + missing),
            frame[SIZE:length],
            _NUMBER.pack(len(records) + missing),
            frame[records.start :],
        )
    )
