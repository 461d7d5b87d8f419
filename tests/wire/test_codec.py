"""The record codec, written by hand for speed, against the declared layout of a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from txfluvio.errors import ProtocolError
from txfluvio.wire._alike import _GUESSES, _guesses, decode_alike, decode_remembered
from txfluvio.wire._decode import _INTERPRETED, _decode_quickly, decode_records
from txfluvio.wire._raw import decode_raw_records, encode_raw_records
from txfluvio.wire._record import RawRecord, Record, make_record
from txfluvio.wire._varints import VARINTS, read_varint, varint, varints
from txfluvio.wire.dump import RecordLayout
from txfluvio.wire.schema import Reader, Writer, wire_type
from txfluvio.wire.schema import varint as declared_varint

interpreted = pytest.mark.skipif(
    not _INTERPRETED, reason="compiled code reads all records one by one"
)

LAYOUT = wire_type(RecordLayout)
EVERY_WIDTH = [0, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**27 - 1, 2**27, 2**31 - 1]


@pytest.fixture(autouse=True)
def nothing_is_guessed() -> None:
    _guesses.clear()


deltas = st.integers(-300, 300) | st.sampled_from(
    [*EVERY_WIDTH, *(-value - 1 for value in EVERY_WIDTH)]
)
blobs = st.binary(max_size=12) | st.sampled_from([b"x" * size for size in (63, 64, 8191, 8192)])
raw_records = st.builds(
    RawRecord,
    attributes=st.integers(0, 127),
    timestamp_delta=deltas,
    offset_delta=deltas,
    key=st.none() | blobs,
    value=blobs,
    headers=deltas,
)


def facts(record: RawRecord) -> tuple[int, int, int, bytes | None, bytes, int]:
    return (
        record.attributes,
        record.timestamp_delta,
        record.offset_delta,
        record.key,
        record.value,
        record.headers,
    )


def by_declaration(data: bytes, pos: int, count: int) -> list[RecordLayout]:
    reader = Reader(data, 0, pos, len(data))
    return [LAYOUT.read(reader) for _ in range(count)]


@given(st.lists(raw_records, max_size=6), st.binary(max_size=5))
def test_both_decoders_and_the_declaration_agree(records: list[RawRecord], front: bytes) -> None:
    data = front + encode_raw_records(records)
    start, end = len(front), len(data)
    declared = by_declaration(data, start, len(records))
    raw, stop = decode_raw_records(data, start, end, len(records))
    assert stop == end
    assert [facts(record) for record in raw] == [facts(record) for record in records]
    assert [facts(record) for record in raw] == [
        (d.attributes, d.timestamp_delta, d.offset_delta, d.key, d.value, d.headers)
        for d in declared
    ]
    found, stop = decode_records(data, start, end, len(records), 1000, 5000, "t", 7)
    assert stop == end
    assert [(r.offset, r.timestamp, r.key, r.value) for r in found] == [
        (1000 + d.offset_delta, 5000 + d.timestamp_delta, d.key, d.value) for d in declared
    ]


@given(st.lists(raw_records, max_size=4))
def test_nothing_is_told_of_what_is_not_known(records: list[RawRecord]) -> None:
    data = encode_raw_records(records)
    found, _ = decode_records(data, 0, len(data), len(records), None, None, "t", 7)
    assert [(r.offset, r.timestamp, r.key, r.value) for r in found] == [
        (None, None, record.key, record.value) for record in records
    ]


@given(st.lists(st.tuples(deltas, deltas, st.none() | blobs, blobs), max_size=6))
def test_records_of_a_producer_are_read_once(
    contents: list[tuple[int, int, bytes | None, bytes]],
) -> None:
    records = [RawRecord(0, time, offset, key, value, 0) for time, offset, key, value in contents]
    data = encode_raw_records(records)
    found: list[Record] = []
    stop = _decode_quickly(found, data, 0, len(data), len(records), 1000, 5000, "t", 7)
    assert stop == len(data)
    assert found == carefully(data, len(records))


def carefully(data: bytes, count: int) -> list[Record]:
    """What the decoder that checks every field makes of the same bytes."""
    return [
        make_record("t", 7, 1000 + raw.offset_delta, raw.key, raw.value, 5000 + raw.timestamp_delta)
        for raw in decode_raw_records(data, 0, len(data), count)[0]
    ]


@st.composite
def neighbours(draw: st.DrawFn) -> list[RawRecord]:
    """Records of one size, whose offsets rise by one."""
    edges = [0, 1, 50, 63, 64, 8150, 8191, 8192, 16350, 16384, 2**20 - 40, 2**31 - 100]
    first = draw(st.sampled_from(edges) | st.integers(-20, 9000))
    key_size = draw(st.none() | st.sampled_from([0, 1, 8, 63, 64]))
    value_size = draw(st.sampled_from([0, 1, 16, 52, 63, 64, 100, 8191, 8192]))
    times = draw(st.sampled_from([[0], [0, 1, 2], [63], [62, 63, 64], [-1], [100]]))
    return [
        RawRecord(
            0,
            times[number % len(times)],
            first + number,
            None if key_size is None else bytes((number,)) * key_size,
            bytes((number,)) * value_size,
            0,
        )
        for number in range(draw(st.integers(1, 90)))
    ]


@given(st.lists(neighbours() | st.lists(raw_records, max_size=2), max_size=3))
def test_neighbours_of_one_size_are_read_as_others_are(parts: list[list[RawRecord]]) -> None:
    records = [record for part in parts for record in part]
    data = encode_raw_records(records)
    found, stop = decode_records(data, 0, len(data), len(records), 1000, 5000, "t", 7)
    assert stop == len(data)
    assert found == carefully(data, len(records))


@interpreted
@pytest.mark.parametrize("key", [None, b"", b"key-0001"])
@pytest.mark.parametrize("first", [0, 8150, 16340, 2**20 - 40])
def test_neighbours_of_one_size_are_read_together(key: bytes | None, first: int) -> None:
    records = [RawRecord(0, n // 2, first + n, key, b"v" * 100, 0) for n in range(90)]
    data = encode_raw_records(records)
    found: list[Record] = []
    assert decode_alike(found, 90, data, 0, 1000, 5000, "t", 7) == len(data)
    assert found == carefully(data, 90)


def few_alike(
    count: int, key_size: int | None = None, value_size: int = 70, time: int = 1
) -> list[RawRecord]:
    """Records of one size, as they fill a small batch."""
    return [
        RawRecord(
            0,
            time * (number % 3),
            number,
            None if key_size is None else bytes((number,)) * key_size,
            bytes((number,)) * value_size,
            0,
        )
        for number in range(count)
    ]


def remembered(data: bytes, count: int) -> list[Record] | None:
    """What is read by the layout of an earlier batch; None: there is none that fits."""
    found: list[Record] = []
    read = decode_remembered(found, data, 0, len(data), count, 1000, 5000, "t", 7)
    return found if read else None


@interpreted
@pytest.mark.parametrize("count", [4, 15, 64])
@pytest.mark.parametrize("key_size", [None, 0, 5, 64])
@pytest.mark.parametrize("value_size", [0, 1, 63, 64, 1024, 8192])
def test_a_small_batch_of_one_size_is_read_by_the_layout_of_the_one_before(
    count: int, key_size: int | None, value_size: int
) -> None:
    first = encode_raw_records(few_alike(count, key_size, value_size))
    decode_records(first, 0, len(first), count, 0, 1)
    second = encode_raw_records(few_alike(count, key_size, value_size, time=20))
    assert remembered(second, count) == carefully(second, count)


@interpreted
def test_as_many_records_of_as_many_bytes_but_of_other_sizes_are_read_as_they_are() -> None:
    """Three sizes of keys and values that come to the same, in turn."""
    for key_size, value_size in [(5, 15), (10, 10), (15, 5)] * 3:
        data = encode_raw_records(few_alike(9, key_size, value_size))
        assert decode_records(data, 0, len(data), 9, 1000, 5000, "t", 7)[0] == carefully(data, 9)
    unlike = [RawRecord(0, 0, n, bytes(5 + n), bytes(15 - n), 0) for n in range(9)]
    data = encode_raw_records(unlike)
    assert decode_records(data, 0, len(data), 9, 1000, 5000, "t", 7)[0] == carefully(data, 9)


@pytest.mark.parametrize("key_size", [None, 2])
@pytest.mark.parametrize("count", [4, 15])
def test_one_wrong_byte_where_a_layout_is_known_is_refused_or_read_as_in_others(
    key_size: int | None, count: int
) -> None:
    """Every byte, with every value that means something to a varint or a flag."""
    sound = encode_raw_records(few_alike(count, key_size))
    for at in range(len(sound)):
        for value in {0, 1, 2, 3, 127, 128, 129, 255, sound[at] ^ 2, sound[at] ^ 128}:
            _guesses.clear()
            decode_records(sound, 0, len(sound), count, 0, 1)
            data = sound[:at] + bytes((value,)) + sound[at + 1 :]
            assert outcome(data, count) == raw_outcome(data, count)


def test_what_ends_before_a_known_layout_does_is_refused() -> None:
    data = encode_raw_records(few_alike(9))
    decode_records(data, 0, len(data), 9, 0, 1)
    with pytest.raises(ProtocolError):
        decode_records(data[:-1], 0, len(data), 9, 0, 1)


@interpreted
def test_a_guess_that_was_wrong_is_not_made_again() -> None:
    """To take all apart in vain, each time, costs more than it may save."""
    alike = encode_raw_records(few_alike(9))
    unlike = [RawRecord(0, 0, 0, None, bytes(70), 0) for _ in range(9)]
    data = encode_raw_records(unlike)
    assert len(data) == len(alike)
    decode_records(alike, 0, len(alike), 9, 0, 1)
    assert remembered(data, 9) is None
    decode_records(alike, 0, len(alike), 9, 0, 1)
    assert remembered(alike, 9) is None


@interpreted
def test_only_so_many_layouts_are_remembered() -> None:
    for size in range(3 * _GUESSES):
        data = encode_raw_records(few_alike(4, None, size))
        decode_records(data, 0, len(data), 4, 0, 1)
        assert len(_guesses) <= _GUESSES
    assert remembered(data, 4) is not None


@pytest.mark.parametrize("number", range(60, 68))
def test_an_empty_key_among_records_without_one_is_theirs_alone(number: int) -> None:
    """From the 65th on offsets take two bytes, as an empty key and an offset of one byte do."""
    keys = [b"" if index == number else None for index in range(128)]
    records = [RawRecord(0, 0, index, key, b"v", 0) for index, key in enumerate(keys)]
    data = encode_raw_records(records)
    assert [one.key for one in decode_records(data, 0, len(data), 128, 0, 1)[0]] == keys


@pytest.mark.parametrize("empty", [range(64), range(64, 128), range(30, 100)])
def test_empty_keys_beside_none_stay_what_they_are(empty: range) -> None:
    keys = [b"" if index in empty else None for index in range(128)]
    records = [RawRecord(0, 0, index, key, b"v", 0) for index, key in enumerate(keys)]
    data = encode_raw_records(records)
    assert [one.key for one in decode_records(data, 0, len(data), 128, 0, 1)[0]] == keys


def nearly_alike(count: int) -> list[RawRecord]:
    """Runs of records framed alike, just long enough that each is compared with what follows."""
    return [
        RawRecord(0, 0, 8192 + n % 8000, bytes(n // 14 % 2), bytes(1 - n // 14 % 2), 0)
        for n in range(count)
    ]


def alike_but_for_offsets(count: int) -> list[RawRecord]:
    """As SmartModules leave them."""
    return [RawRecord(0, 0, 0, None, b"", 0) for _ in range(count)]


class Counted(bytes):
    """Counts the bytes that are copied out of it."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(key, slice):
            self.copied += len(found)
        return found


@interpreted
@pytest.mark.parametrize("records_of", [nearly_alike, alike_but_for_offsets])
def test_to_find_neighbours_unlike_costs_little(
    records_of: Callable[[int], list[RawRecord]],
) -> None:
    """Comparing each with all that follow took as long as their number squared."""
    data = Counted(encode_raw_records(records_of(100_000)))
    found, _ = decode_records(data, 0, len(data), 100_000, 1000, 5000)
    assert len(found) == 100_000
    assert data.copied < 100 * len(data)


@pytest.mark.parametrize("key", [None, b"key"])
@pytest.mark.parametrize("surplus", [0, 1, 3, 17])
def test_neighbours_between_other_bytes_are_read_alone(key: bytes | None, surplus: int) -> None:
    data = encode_raw_records([RawRecord(0, 0, n, key, b"some", 0) for n in range(40)])
    end = 5 + len(data)
    whole = b"front" + data + bytes(40)
    found = decode_records(whole, 5, end + surplus, 40, 1000, 5000, "t", 7)
    assert found == (carefully(data, 40), end)


@pytest.mark.parametrize("cut", [1, 3, 4, 20])
def test_neighbours_whose_bytes_end_before_they_should_are_refused(cut: int) -> None:
    data = encode_raw_records([RawRecord(0, 0, n, None, b"some", 0) for n in range(40)])
    with pytest.raises(ProtocolError):
        decode_records(data[:-cut], 0, len(data), 40, 1000, 5000, "t", 7)


@pytest.mark.parametrize("key", [None, b"key"])
@pytest.mark.parametrize("first", [0, 8170, 8192, 2**20 + 8180])
def test_neighbours_with_the_same_wrong_byte_are_refused_or_read_as_others_are(
    key: bytes | None, first: int
) -> None:
    records = [RawRecord(0, 1, first + number, key, b"some", 0) for number in range(30)]
    sound = [encode_raw_records([record]) for record in records]
    for at in range(len(sound[0])):
        for value in range(256):
            data = b"".join(one[:at] + bytes((value,)) + one[at + 1 :] for one in sound)
            assert outcome(data, 30) == raw_outcome(data, 30)


def test_keys_of_a_negative_length_are_refused_though_all_else_adds_up() -> None:
    """Read backwards from the key, each has a value of four bytes, its time being their number."""
    data = b"".join(bytes((14, 0, 8, 2 * number, 1, 7, 0, 0)) for number in range(30))
    assert outcome(data, 30) == "records: a record is damaged: its key is longer than the record"


def test_values_of_a_negative_length_are_refused_though_all_else_adds_up() -> None:
    data = b"".join(bytes((10, 0, 0, 2 * number, 0, 1)) for number in range(30)) + bytes(30)
    assert outcome(data, 30) == "records: a record is damaged: its value is longer than the record"


@pytest.mark.parametrize("key", [None, b"key"])
@pytest.mark.parametrize("first", [0, 40, 100, 8180, 8300, 2**20 - 15])
def test_one_wrong_byte_among_neighbours_is_refused_or_read_as_in_others(
    key: bytes | None, first: int
) -> None:
    """Every byte, with every value that means something to a varint or a flag."""
    records = [RawRecord(0, 1, first + number, key, b"some", 0) for number in range(30)]
    sound = encode_raw_records(records)
    for at in range(len(sound)):
        for value in {0, 1, 2, 3, 127, 128, 129, 255, sound[at] ^ 2, sound[at] ^ 128}:
            data = sound[:at] + bytes((value,)) + sound[at + 1 :]
            assert outcome(data, 30) == raw_outcome(data, 30)


@given(st.integers(-(2**62), 2**62 - 1))
def test_a_varint_is_that_of_the_declaration(value: int) -> None:
    writer = Writer(0)
    declared_varint.write(writer, value)
    assert varint(value) == writer.getvalue()
    assert declared_varint.read(Reader(varint(value), 0, 0, len(varint(value)))) == value


def test_short_varints_are_at_hand() -> None:
    assert tuple(varint(value) for value in range(8192)) == VARINTS


@pytest.mark.parametrize("first", [0, 64, 8192, 16384, 2**20 - 8192, 2**20, 2**27, 2**31 - 8192])
def test_offsets_of_every_width_are_made_together(first: int) -> None:
    stop = 64 if first < 64 else first + 8192 - first % 8192
    assert [varint(value) for value in range(first, stop)] == [*varints(first, stop)]


def test_a_varint_of_more_than_64_bits_is_cut_to_them_by_both_readers() -> None:
    data = 9 * b"\xff" + b"\x7f"
    assert (
        declared_varint.read(Reader(data, 0, 0, len(data))) == read_varint(data, 0)[0] == -(2**63)
    )


def test_varints_of_the_platform_s_own_tests() -> None:
    vectors = {
        0: "00",
        -1: "01",
        1: "02",
        4: "08",
        63: "7e",
        -64: "7f",
        64: "8001",
        8191: "fe7f",
        -134217729: "8180808001",
        2**31 - 1: "feffffff0f",
        -(2**31): "ffffffff0f",
    }
    assert {value: varint(value).hex() for value in vectors} == vectors


Read = tuple[list[tuple[int | None, bytes | None, bytes]], int]


def outcome(data: bytes, count: int) -> Read | str:
    try:
        found, stop = decode_records(data, 0, len(data), count, 0, 1)
    except ProtocolError as error:
        return f"{error.field}: {error.reason}"
    return [(record.offset, record.key, record.value) for record in found], stop


def raw_outcome(data: bytes, count: int) -> Read | str:
    try:
        found, stop = decode_raw_records(data, 0, len(data), count)
    except ProtocolError as error:
        return f"{error.field}: {error.reason}"
    return [(record.offset_delta, record.key, record.value) for record in found], stop


@given(st.lists(raw_records, min_size=1, max_size=3), st.data())
def test_records_cut_anywhere_are_refused(records: list[RawRecord], data: st.DataObject) -> None:
    encoded = encode_raw_records(records)
    at = data.draw(st.integers(0, len(encoded) - 1))
    assert isinstance(outcome(encoded[:at], len(records)), str)


@given(
    st.lists(raw_records, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
)
@settings(max_examples=200)
def test_damage_is_refused_by_both_decoders_or_read_by_both_alike(
    records: list[RawRecord], damage: list[tuple[int, int]]
) -> None:
    encoded = bytearray(encode_raw_records(records))
    for position, value in damage:
        encoded[position % len(encoded)] = value
    assert outcome(bytes(encoded), len(records)) == raw_outcome(bytes(encoded), len(records))


@given(st.binary(max_size=40), st.integers(-3, 8))
@settings(max_examples=400)
def test_any_bytes_are_records_or_a_protocol_error(data: bytes, count: int) -> None:
    assert outcome(data, count) == raw_outcome(data, count)


@given(st.lists(raw_records, min_size=1, max_size=3), st.data())
def test_nothing_is_read_beyond_the_end(records: list[RawRecord], data: st.DataObject) -> None:
    encoded = encode_raw_records(records)
    at = data.draw(st.integers(0, len(encoded) - 1))
    try:
        decode_records(encoded, 0, at, len(records), 0, 1)
    except ProtocolError:
        return
    raise AssertionError("records that end behind the end were read")
