"""Recorded frames, and ways to damage them.

The same seed and number always give the same bytes. Pure: nobody is sent anything here.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
from crc32c import crc32c

from ...errors import UsageError
from ...wire.framing import frame
from ...wire.recordings import RecordedFrame, Recording
from ...wire.records import HEADER, PREAMBLE, RecordSet
from ...wire.schema import Message, Request
from ...wire.spu import FetchResponse, ProduceRequest, StreamFetchResponse

RECORDINGS: Final = "tests/golden/recordings.tar.xz"
"""Where the project keeps its recordings."""

LARGEST: Final = 64 * 1024
"""Bytes of the largest damaged frame."""

MOST_PIECES: Final = 1_000
"""How many pieces a frame comes in at most: each takes its time to receive, whatever is in it."""

_NUMBERS: Final = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\0",
    b"\0\1\0\0",
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
)

_CRC: Final = 17
"""Where in a batch its checksum stands."""

Damage = Callable[[bytearray, int, Random], None]


@attrs.frozen
class Sample:
    """A recorded frame, and the request that it is or answers.

    :ivar body: where in the payload the header ends.
    :ivar batches: where in the payload its batches begin.
    """

    frame: RecordedFrame
    request: Request[Any]
    body: int
    batches: tuple[int, ...]

    @property
    def kind(self) -> tuple[str, str, int]:
        """What it is: server, message and version."""
        return self.frame.server, self.frame.type.__name__, self.frame.header.api_version


@attrs.frozen
class Case:
    """A damaged frame.

    :ivar number: with the seed, it makes the frame.
    :ivar payload: the frame without its size.
    :ivar stream: the bytes that are sent: the frame, its size perhaps damaged too.
    :ivar pieces: in how many bytes at a time; 0: all at once.
    :ivar check_crc: whether the reader compares checksums; if not, it sees the damage behind them.
    """

    number: int
    sample: Sample
    payload: bytes = attrs.field(repr=False)
    stream: bytes = attrs.field(repr=False)
    pieces: int
    check_crc: bool


class Corpus:
    """The frames to damage, every kind as often as any other.

    :param frames: recorded frames, requests ahead of the replies to them.
    """

    def __init__(self, frames: Iterable[RecordedFrame]) -> None:
        asked: dict[tuple[str, int, int], Request[Any]] = {}
        kinds: dict[tuple[str, str, int], list[Sample]] = defaultdict(list)
        for found in frames:
            message = found.type.decode(found.payload, found.header.api_version, found.body)
            key = found.server, found.header.api_key, found.header.api_version
            if not found.is_reply:
                asked[key] = message  # type: ignore[assignment]
            if key in asked:
                sample = Sample(found, asked[key], found.body, tuple(_batches(message)))
                kinds[sample.kind].append(sample)
        self.samples = dict(sorted(kinds.items()))
        self._kinds = list(self.samples.values())

    @classmethod
    def read(cls, archive: Path) -> Corpus:
        """Read a file of recordings.

        :raises UsageError: it is not there, or holds no recordings.
        """
        try:
            with tarfile.open(archive) as opened:
                return cls(_frames(opened))
        except (OSError, tarfile.TarError) as error:
            raise UsageError(f"{archive}: no recordings: {error}") from error

    def case(self, seed: int, number: int) -> Case:
        """The damaged frame of this number."""
        rng = Random(f"{seed}/{number}")
        sample = rng.choice(rng.choice(self._kinds))
        data = bytearray(sample.frame.payload)
        start = sample.body if rng.random() < 0.8 else 0
        if rng.random() < 0.1:
            self._graft(data, start, rng)
        for _ in range(rng.randrange(1, 5)):
            rng.choice(_DAMAGES)(data, start, rng)
        if sample.batches and rng.random() < 0.3:
            _mend(data, sample)
        if rng.random() < 0.02:
            _blow_up(data, start, rng)
        payload = bytes(data[:LARGEST])
        stream = bytearray(frame(payload))
        if rng.random() < 0.02:
            rng.choice(_DAMAGES[:3])(stream, 0, rng)
        pieces = rng.randrange(1, 100) if rng.random() < 0.02 else 0
        if pieces:
            pieces = max(pieces, len(stream) // MOST_PIECES + 1)
        return Case(number, sample, payload, bytes(stream), pieces, rng.random() < 0.5)

    def _graft(self, data: bytearray, start: int, rng: Random) -> None:
        """The beginning of one frame, the end of another."""
        other = rng.choice(rng.choice(self._kinds)).frame.payload
        at, since = _place(data, start, rng), rng.randrange(len(other) + 1)
        data[at:] = other[since:]


def _frames(archive: tarfile.TarFile) -> Iterator[RecordedFrame]:
    for member in archive:
        content = archive.extractfile(member)
        if content is None:
            continue
        recording = Recording()
        for line in content.read().decode().splitlines():
            found = recording.read(line)
            if found is not None:
                yield found


def record_sets(message: Message) -> Iterator[RecordSet]:
    """Every record set in a message."""
    match message:
        case ProduceRequest() | FetchResponse():
            for topic in message.topics:
                for partition in topic.partitions:
                    yield partition.records
        case StreamFetchResponse():
            yield message.partition.records


def _batches(message: Message) -> Iterator[int]:
    for records in record_sets(message):
        for batch in records.batches(check_crc=False):
            yield batch.start


# Ways to damage bytes, from ``start`` on


def _place(data: bytearray, start: int, rng: Random) -> int:
    return rng.randrange(min(start, len(data)), len(data) + 1)


def _set_a_byte(data: bytearray, start: int, rng: Random) -> None:
    at = _place(data, start, rng)
    data[at : at + 1] = bytes([rng.randrange(256)])


def _flip_a_bit(data: bytearray, start: int, rng: Random) -> None:
    at = _place(data, start, rng)
    if at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def _write_a_number(data: bytearray, start: int, rng: Random) -> None:
    number = rng.choice(_NUMBERS)
    at = _place(data, start, rng)
    data[at : at + len(number)] = number


def _cut(data: bytearray, start: int, rng: Random) -> None:
    del data[_place(data, start, rng) :]


def _leave_out(data: bytearray, start: int, rng: Random) -> None:
    at = _place(data, start, rng)
    del data[at : at + rng.randrange(1, 9)]


def _insert(data: bytearray, start: int, rng: Random) -> None:
    at = _place(data, start, rng)
    data[at:at] = rng.randbytes(rng.randrange(1, 9))


def _repeat(data: bytearray, start: int, rng: Random) -> None:
    at = _place(data, start, rng)
    data[at:at] = data[at : at + rng.randrange(1, 100)]


def _swap(data: bytearray, start: int, rng: Random) -> None:
    one, other = _place(data, start, rng), _place(data, start, rng)
    size = rng.randrange(1, 9)
    data[one : one + size], data[other : other + size] = (
        data[other : other + size],
        data[one : one + size],
    )


_DAMAGES: Final[list[Damage]] = [
    _set_a_byte,
    _flip_a_bit,
    _write_a_number,
    _cut,
    _leave_out,
    _insert,
    _repeat,
    _swap,
]


def _blow_up(data: bytearray, start: int, rng: Random) -> None:
    """Repeat a piece until the frame is as large as any."""
    at = _place(data, start, rng)
    piece = data[at : at + rng.randrange(1, 1000)]
    if piece:
        data[at:at] = piece * ((LARGEST - len(data)) // len(piece) + 1)


def _mend(data: bytearray, sample: Sample) -> None:
    """Make the checksums of batches right again, where the batches still stand."""
    for start in sample.batches:
        end = start + PREAMBLE + int.from_bytes(data[start + 8 : start + PREAMBLE], "big")
        if start + HEADER < end <= len(data):
            covered = memoryview(data)[start + _CRC + 4 : end]
            checksum = crc32c(covered)
            covered.release()
            data[start + _CRC : start + _CRC + 4] = checksum.to_bytes(4, "big")
