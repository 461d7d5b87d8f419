"""Recorded frames, damaged: nothing but a ProtocolError comes of them, and soon."""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import attrs
import pytest

from tests import golden
from txfluvio.errors import ProtocolError
from txfluvio.wire import Message, RecordSet, decode_request_header
from txfluvio.wire.check import Totals, check_frame
from txfluvio.wire.dump import take_apart
from txfluvio.wire.recordings import RecordedFrame

FRAMES = 2500
LARGEST = 20_000
SLOWEST = 1.0
"""Seconds of the processor: far more than any damage takes, far less than one that runs away."""

NUMBERS = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\1\0\0"]


def _set_a_byte(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _flip_a_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _write_a_number(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at : at + 4] = rng.choice(NUMBERS)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _leave_out(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, 9)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randrange(1, 30)]


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [
    _set_a_byte,
    _flip_a_bit,
    _write_a_number,
    _cut,
    _leave_out,
    _repeat,
]


def samples() -> Iterator[RecordedFrame]:
    """Frames of every message in turn, so that rare ones are damaged as often as common ones."""
    by_type: dict[type[Message], list[RecordedFrame]] = defaultdict(list)
    for frame in golden.frames():
        if len(frame.payload) <= LARGEST:
            by_type[frame.type].append(frame)
    for frames in by_type.values():
        random.Random(1).shuffle(frames)
    return (frame for row in itertools.zip_longest(*by_type.values()) for frame in row if frame)


def damaged(seed: int) -> list[RecordedFrame]:
    rng = random.Random(seed)
    found = []
    for frame in itertools.islice(itertools.cycle(samples()), FRAMES):
        data = bytearray(frame.payload)
        for _ in range(rng.randrange(1, 4)):
            if data:
                rng.choice(DAMAGES)(data, rng)
        found.append(attrs.evolve(frame, payload=bytes(data)))
    return found


def read_all_of(frame: RecordedFrame) -> None:
    """Read the frame as a client or a server would, down to the records."""
    if not frame.is_reply:
        decode_request_header(frame.payload)
    message = frame.type.decode(frame.payload, frame.header.api_version, frame.body)
    for records in record_sets(message):
        for batch in records.batches(check_crc=False):
            batch.records()
        records.batches()
        records.needed()


def record_sets(value: object) -> Iterator[RecordSet]:
    if isinstance(value, RecordSet):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from record_sets(item)
    elif attrs.has(type(value)):
        for attribute in attrs.fields(type(value)):  # type: ignore[arg-type]
            yield from record_sets(getattr(value, attribute.name))


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_read_or_refused_and_soon(seed: int) -> None:
    refused = 0
    for frame in damaged(seed):
        start = time.process_time()
        try:
            read_all_of(frame)
        except ProtocolError:
            refused += 1
        assert time.process_time() - start < SLOWEST, frame
    assert refused > FRAMES // 10


def test_damaged_frames_are_taken_apart_byte_by_byte_all_the_same() -> None:
    for frame in damaged(99):
        parts, _ = take_apart(frame)
        pieces = [part.data for part in parts if not part.unpacked]
        assert b"".join(pieces) == frame.payload


def test_damaged_frames_are_checked_to_the_end() -> None:
    totals = Totals()
    found = [check_frame(frame, totals) for frame in damaged(98)]
    assert any(found)
    assert not all(found)
