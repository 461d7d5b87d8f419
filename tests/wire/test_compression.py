"""Five codecs, none of which gives out more than it may."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.errors import ProtocolError
from txfluvio.wire import Batch, Compression, encode_batch, sc
from txfluvio.wire.compression import compress, decompress
from txfluvio.wire.records import BatchLimits

CODECS = list(Compression)[1:]
MIB = 1024 * 1024

MIXED = bytes(range(256)) * 40 + b"a" * 40_000
SEEDS = {codec: compress(codec, MIXED) for codec in CODECS}


@pytest.mark.parametrize("codec", list(Compression))
@pytest.mark.parametrize("size", [0, 1, 4096, 100_000, 1_000_000])
def test_what_was_compressed_comes_back(codec: Compression, size: int) -> None:
    data = (b"abc" * size)[:size]
    assert decompress(codec, compress(codec, data)) == data


@given(st.sampled_from(CODECS), st.binary(max_size=300))
def test_any_bytes_come_back(codec: Compression, data: bytes) -> None:
    assert decompress(codec, compress(codec, data)) == data


@pytest.mark.parametrize(
    ("codec", "magic"),
    [
        (Compression.GZIP, "1f8b08"),
        (Compression.SNAPPY, "ff060000734e61507059"),
        (Compression.LZ4, "04224d18"),
        (Compression.ZSTD, "28b52ffd"),
    ],
)
def test_the_formats_are_those_of_the_platform(codec: Compression, magic: str) -> None:
    assert compress(codec, b"data" * 100).startswith(bytes.fromhex(magic))


def test_gzip_counts_its_first_member_only() -> None:
    assert decompress(Compression.GZIP, gzip.compress(b"one") + gzip.compress(b"two")) == b"one"


def test_a_batch_and_a_topic_number_codecs_differently() -> None:
    assert {codec.name: codec.value for codec in Compression} == {
        "NONE": 0,
        "GZIP": 1,
        "SNAPPY": 2,
        "LZ4": 3,
        "ZSTD": 4,
    }
    assert {codec.name: codec.value for codec in sc.TopicCompression} == {
        "NONE": 0,
        "GZIP": 1,
        "SNAPPY": 2,
        "LZ4": 3,
        "ANY": 4,
        "ZSTD": 5,
    }


@pytest.mark.parametrize("codec", CODECS)
def test_exactly_the_limit_is_given_out(codec: Compression) -> None:
    data = b"x" * 10_000
    assert decompress(codec, compress(codec, data), limit=10_000) == data
    with pytest.raises(ProtocolError, match="max_decompressed_size") as caught:
        decompress(codec, compress(codec, data), limit=9_999)
    assert caught.value.field == "records"


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_given_out_where_nothing_may(codec: Compression) -> None:
    with pytest.raises(ProtocolError):
        decompress(codec, compress(codec, b"x"), limit=0)


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_in_bounded_memory(codec: Compression) -> None:
    bomb = compress(codec, b"\0" * (48 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decompress(codec, bomb, limit=MIB)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB + 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_in_a_batch_is_refused(codec: Compression) -> None:
    bomb = Batch(encode_batch([b"\0" * (8 * MIB)], compression=codec), 0)
    for ask in (bomb.records, bomb.raw_records, bomb.blob):
        with pytest.raises(ProtocolError):
            ask(limits=BatchLimits(size=MIB))
    assert len(bomb.values()[0]) == 8 * MIB


BOMBS = """
import resource, sys
from txfluvio.errors import ProtocolError
from txfluvio.wire.compression import Compression, decompress

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for line in sys.stdin:
    codec, data = line.split()
    try:
        decompress(Compression[codec], bytes.fromhex(data), 1 << 20)
    except ProtocolError:
        continue
    sys.exit(f"{codec}: taken")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def wide_window(blocks: int) -> bytes:
    """A zstd frame that asks for a window of 128 MiB and repeats one byte 128 KiB a block."""
    block = ((128 * 1024) << 3 | 2).to_bytes(3, "little") + b"x"
    last = ((128 * 1024) << 3 | 3).to_bytes(3, "little") + b"x"
    return bytes.fromhex("28b52ffd0088") + block * (blocks - 1) + last


def test_the_libraries_below_take_no_memory_of_their_own_for_a_bomb() -> None:
    bombs = [(codec, compress(codec, b"\0" * (64 * MIB))) for codec in CODECS]
    bombs.append((Compression.ZSTD, wide_window(1000)))
    lines = "".join(f"{codec.name} {data.hex()}\n" for codec, data in bombs)
    ran = subprocess.run(
        [sys.executable, "-c", BOMBS], input=lines, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    held_by_the_input = 2 * max(len(line) for line in lines.splitlines())
    assert int(ran.stdout) * unit < 24 * MIB + held_by_the_input


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", [b"", b"\0", b"not compressed at all", b"\xff" * 100])
def test_what_is_not_compressed_is_refused(codec: Compression, data: bytes) -> None:
    if codec is Compression.SNAPPY and not data:
        assert decompress(codec, data) == b""
        return
    with pytest.raises(ProtocolError, match=codec.name.lower()):
        decompress(codec, data, limit=MIB)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_corrupt_is_refused_as_that_and_costs_little(codec: Compression) -> None:
    corrupt = compress(codec, b"some data, some data")[:-3]
    with contextlib.suppress(ProtocolError):
        decompress(codec, corrupt)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError) as caught:
            decompress(codec, corrupt)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert "max_decompressed_size" not in str(caught.value)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_too_long_is_refused_as_that(codec: Compression) -> None:
    with pytest.raises(ProtocolError, match="decompresses to more than 5000 bytes"):
        decompress(codec, compress(codec, bytes(10_000)), limit=5000)


@given(st.sampled_from(CODECS), st.integers(1, 2000))
def test_what_is_cut_short_is_refused_or_shorter(codec: Compression, cut: int) -> None:
    data = SEEDS[codec][:-cut]
    try:
        found = decompress(codec, data, limit=MIB)
    except ProtocolError:
        return
    assert MIXED.startswith(found)
    assert len(found) < len(MIXED)


@given(
    st.sampled_from(CODECS),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_is_a_protocol_error_or_no_more_than_the_limit(
    codec: Compression, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(SEEDS[codec])
    for position, value in damage:
        data[position % len(data)] = value
    with contextlib.suppress(ProtocolError):
        assert len(decompress(codec, bytes(data), limit=100_000)) <= 100_000


def test_gzip_without_its_end_is_refused() -> None:
    whole = zlib.compress(b"abc" * 1000, wbits=31)
    for cut in (1, 4, 8):
        with pytest.raises(ProtocolError, match="ends early"):
            decompress(Compression.GZIP, whole[:-cut])
