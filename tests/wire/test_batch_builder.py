"""A batch is filled one record at a time or many at once, never beyond its limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.errors import UsageError
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Batch, BatchBuilder

UNLIMITED = 2**40

keys = st.none() | st.binary(max_size=80)
records = st.lists(st.tuples(keys, st.binary(max_size=80)), min_size=1, max_size=300)


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[bytes | None, bytes]]:
    """Neighbours of one size, and others; some with keys, some without."""
    found: list[tuple[bytes | None, bytes]] = []
    for _ in range(draw(st.integers(1, 5))):
        key, value = draw(st.none() | st.sampled_from([b"", b"k" * 8, b"k" * 64])), draw(sizes)
        found += [(key, bytes((n % 256,)) * value) for n in range(draw(st.integers(1, 200)))]
    return found


sizes = st.sampled_from([0, 1, 16, 52, 63, 64, 100, 8191, 8192])


def one_by_one(pairs: list[tuple[bytes | None, bytes]], timestamp: int = 1000) -> BatchBuilder:
    builder = BatchBuilder(1000)
    for key, value in pairs:
        builder.append(key, value, timestamp)
    return builder


@given(records | runs(), st.integers(-5, 20_000))
def test_many_at_once_are_the_bytes_of_one_at_a_time(
    pairs: list[tuple[bytes | None, bytes]], delta: int
) -> None:
    single = one_by_one(pairs, 1000 + delta)
    many = BatchBuilder(1000)
    stop = many.extend(
        [key for key, _ in pairs], [value for _, value in pairs], 0, 1000 + delta, UNLIMITED
    )
    assert stop == len(pairs)
    assert (many.size, many.count) == (single.size, single.count)
    assert many.build() == single.build()


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=300))
def test_many_without_keys_are_the_bytes_of_one_at_a_time(values: list[bytes]) -> None:
    many = BatchBuilder(1000)
    many.extend(None, values, 0, 1000, UNLIMITED)
    assert many.build() == one_by_one([(None, value) for value in values]).build()


@pytest.mark.parametrize("keyed", [False, True])
def test_offsets_of_every_width_are_written(keyed: bool) -> None:
    values = [b""] * 17_000
    many = BatchBuilder(1000)
    many.extend([b"k"] * 17_000 if keyed else None, values, 0, 1000, UNLIMITED)
    single = one_by_one([(b"k" if keyed else None, b"")] * 17_000)
    assert many.build() == single.build()


def test_size_is_that_of_the_uncompressed_bytes() -> None:
    builder = BatchBuilder(1000)
    builder.extend(None, [b"value"] * 100, 0, 1000, UNLIMITED)
    assert builder.size == len(builder.build())


@given(records | runs(), st.integers(0, 3000))
def test_as_many_are_taken_as_fit(pairs: list[tuple[bytes | None, bytes]], limit: int) -> None:
    many = BatchBuilder(1000)
    stop = many.extend([key for key, _ in pairs], [value for _, value in pairs], 0, 1000, limit)
    single = BatchBuilder(1000)
    taken = 0
    for key, value in pairs:
        if not single.fit(key, value, 1000, limit):
            break
        taken += 1
    assert stop == taken == many.count
    assert many.size == single.size
    assert many.size <= limit or not taken


def test_a_batch_is_filled_up_to_the_very_byte() -> None:
    whole = one_by_one([(b"k", b"v")]).size
    assert BatchBuilder(1000).fit(b"k", b"v", 1000, whole)
    assert not BatchBuilder(1000).fit(b"k", b"v", 1000, whole - 1)


def test_filling_goes_on_where_the_last_batch_stopped() -> None:
    values = [b"%d" % number for number in range(1000)]
    start, found = 0, []
    while start < len(values):
        builder = BatchBuilder(1000)
        start = builder.extend(None, values, start, 1000, 500)
        found += Batch(builder.build(), 0).values()
    assert found == values


def test_a_timestamp_out_of_reach_is_for_another_batch() -> None:
    far = 1000 + 2**31
    builder = one_by_one([(None, b"a")])
    assert not builder.fit(None, b"b", far, UNLIMITED)
    assert builder.extend(None, [b"b"], 0, far, UNLIMITED) == 0
    with pytest.raises(UsageError):
        builder.append(None, b"b", far)
    assert builder.count == 1


def test_the_batch_says_its_latest_timestamp() -> None:
    builder = BatchBuilder(1000)
    builder.fit(None, b"a", 3000, UNLIMITED)
    builder.extend(None, [b"b"], 0, 2000, UNLIMITED)
    batch = Batch(builder.build(), 0)
    assert (batch.first_timestamp, batch.max_timestamp) == (1000, 3000)
    assert [record.timestamp for record in batch.records()] == [3000, 2000]


@pytest.mark.parametrize("codec", list(Compression))
def test_records_left_out_make_room_for_those_behind(codec: Compression) -> None:
    builder = one_by_one([(b"k", b"a"), (None, b"b"), (None, b"c"), (b"k", b"d")])
    batch = Batch(builder.build(codec, without={0, 2}), 0)
    assert [(r.offset, r.key, r.value) for r in batch.records()] == [
        (0, None, b"b"),
        (1, b"k", b"d"),
    ]
    assert batch.last_offset_delta == 1


def test_a_batch_of_nothing_is_not_built() -> None:
    with pytest.raises(UsageError):
        BatchBuilder(1000).build()
    with pytest.raises(UsageError):
        one_by_one([(None, b"a")]).build(without={0})
