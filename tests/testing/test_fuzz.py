"""Damaged frames do no harm to either end: a slice of what ``txfluvio.testing.fuzz`` does."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests import golden
from txfluvio.testing.fuzz.__main__ import main
from txfluvio.testing.fuzz.corpus import LARGEST, Case
from txfluvio.testing.fuzz.ends import BrokerEnd, ClientEnd, End
from txfluvio.testing.fuzz.run import BLOCK, MOST_MEMORY, resident, run_block
from txfluvio.wire.compression import Compression
from txfluvio.wire.framing import frame
from txfluvio.wire.records import RecordSet, encode_batch, renumber
from txfluvio.wire.schema import evolve

FOUND = [
    118_289,  # a watch for topics is told of SmartModules
]
"""Frames of seed 0 that once did harm. The smallest forms of these are tests where they belong."""

SEED = 6
FRAMES = 10_000
FIRST_FIFTY = "531ed76402a31424ec00cb0f8d0d4c6516bba29f5defbc2f7dab20c0702a585c"
"""The SHA-256 of the first frames of that seed. Other ways to damage make it another."""


@pytest.mark.parametrize("first", range(0, FRAMES, BLOCK))
def test_nothing_but_refusal_comes_of_damage(first: int) -> None:
    began = resident()
    outcome = run_block(golden.corpus(), SEED, range(first, first + BLOCK))
    assert outcome.findings == ()
    assert outcome.frames == BLOCK
    assert all(refused > BLOCK // 4 for refused in outcome.refused)
    assert resident() - began < MOST_MEMORY


@pytest.mark.parametrize("number", FOUND)
def test_what_was_found_once_is_not_found_again(number: int) -> None:
    assert run_block(golden.corpus(), 0, [number]).findings == ()


def test_a_seed_and_a_number_are_the_same_frame_everywhere() -> None:
    stream = b"".join(golden.corpus().case(SEED, number).stream for number in range(50))
    assert hashlib.sha256(stream).hexdigest() == FIRST_FIFTY


def test_frames_are_as_large_as_they_may_be_and_no_larger() -> None:
    sizes = [len(golden.corpus().case(SEED, number).payload) for number in range(2_000)]
    assert max(sizes) == LARGEST
    assert min(sizes) < 10


# Beyond the sizes of the fuzzing: cost grows with the bytes and not faster


def changed(message: str, change: Callable[[Any], Any]) -> Case:
    """A recorded frame of this kind with another body."""
    sample = next(
        found
        for samples in golden.corpus().samples.values()
        for found in samples
        if found.frame.type.__name__ == message and found.batches
    )
    recorded = sample.frame
    body = recorded.type.decode(recorded.payload, recorded.header.api_version, recorded.body)
    whole = recorded.encode(change(body))
    return Case(0, sample, whole, frame(whole), 0, check_crc=True)


def tiny_batches(size: int) -> RecordSet:
    one = encode_batch([b""])
    return RecordSet.of(
        *(renumber(one, number) for number in range(size // len(one))), b"a batch cut short"
    )


def tiny_records(size: int) -> RecordSet:
    return RecordSet.of(encode_batch([b""] * (size // 8)))


def compressed(size: int) -> RecordSet:
    """As much noise, which no codec makes smaller."""
    noise = Random(1).randbytes(size)
    values = [noise[start : start + 1000] for start in range(0, size, 1000)]
    return RecordSet.of(encode_batch(values, compression=Compression.ZSTD))


def garbage(size: int) -> RecordSet:
    return RecordSet.of(encode_batch([b"x"]) + b"\0" * size)


SHAPES = [tiny_batches, tiny_records, compressed, garbage]


def pushed(records: RecordSet) -> Case:
    return changed(
        "StreamFetchResponse",
        lambda body: evolve(body, partition=evolve(body.partition, records=records)),
    )


def produced(records: RecordSet) -> Case:
    def change(body: Any) -> Any:
        partition = evolve(body.topics[0].partitions[0], records=records)
        topic = evolve(body.topics[0], partitions=(partition,))
        return evolve(body, topics=(topic,))

    return changed("ProduceRequest", change)


def test_a_push_is_also_read_as_what_smartmodules_have_made() -> None:
    whole = encode_batch([b"a", b"b"])
    assert not ClientEnd().take(pushed(RecordSet.of(whole)))
    # A push that ends inside a batch is as usual, but not where they have run.
    assert ClientEnd().take(pushed(RecordSet.of(whole, whole[:30])))


def seconds(call: Callable[[], object]) -> float:
    """Of the processor, without the garbage collector: it looks at what other tests have left."""
    gc.disable()
    try:
        began = time.process_time()
        call()
        return time.process_time() - began
    finally:
        gc.enable()


def assert_linear(end: End, small: Case, large: Case) -> None:
    """The quickest of several times counts: what others do on the machine may triple each."""
    times = len(large.payload) / len(small.payload)
    assert times > 4
    once = more = float("inf")
    for _ in range(20):
        once = min(once, seconds(lambda: end.take(small)))
        more = min(more, seconds(lambda: end.take(large)))
        if more < 4 * times * max(once, 0.0005):
            return
    raise AssertionError(f"{more} s, where {1 / times:.0%} of it takes {once} s")


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_client_does_with_large_frames_grows_with_them(
    shape: Callable[[int], RecordSet],
) -> None:
    assert_linear(ClientEnd(), pushed(shape(LARGEST)), pushed(shape(8 * LARGEST)))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_fake_does_with_large_frames_grows_with_them(
    shape: Callable[[int], RecordSet],
) -> None:
    end = BrokerEnd(golden.corpus())
    end.start()
    try:
        assert_linear(end, produced(shape(LARGEST)), produced(shape(8 * LARGEST)))
    finally:
        end.stop()


@pytest.mark.parametrize("option", ["--frames", "--processes"])
def test_what_is_no_number_of_them_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([option, "0"])
    assert f"argument {option}: '0' is no whole number, 1 or more\n" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["1_000", " 5", "\u0665", "9" * 5000])
def test_only_plain_digits_are_a_number_of_them(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--frames", number])
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "whole number" in one]
    assert len(line) < 200


def test_without_recordings_the_command_says_how_to_name_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.tar.xz"
    assert main(["--recordings", str(missing)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m txfluvio.testing.fuzz: {missing}: there is no such file")
    assert "--recordings" in told
