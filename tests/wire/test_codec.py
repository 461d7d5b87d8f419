"""The record codec, written by hand for speed, against the declared layout of a record."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from txfluvio.errors import ProtocolError
from txfluvio.wire._codec import (
    RawRecord,
    Record,
    _decode_usual,
    decode_raw_records,
    decode_records,
    encode_raw_records,
    varint,
)
from txfluvio.wire.dump import RecordLayout
from txfluvio.wire.schema import Reader, Writer, wire_type
from txfluvio.wire.schema import varint as declared_varint

LAYOUT = wire_type(RecordLayout)
EVERY_WIDTH = [0, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**27 - 1, 2**27, 2**31 - 1]

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
    raw = decode_raw_records(data, start, end, len(records))
    assert [facts(record) for record in raw] == [facts(record) for record in records]
    assert [facts(record) for record in raw] == [
        (d.attributes, d.timestamp_delta, d.offset_delta, d.key, d.value, d.headers)
        for d in declared
    ]
    found = decode_records(data, start, end, len(records), 1000, 5000, "t", 7)
    assert [(r.offset, r.timestamp, r.key, r.value) for r in found] == [
        (1000 + d.offset_delta, 5000 + d.timestamp_delta, d.key, d.value) for d in declared
    ]


@given(st.lists(raw_records, max_size=4))
def test_nothing_is_told_of_what_is_not_known(records: list[RawRecord]) -> None:
    data = encode_raw_records(records)
    found = decode_records(data, 0, len(data), len(records), None, None, "t", 7)
    assert [(r.offset, r.timestamp, r.key, r.value) for r in found] == [
        (None, None, record.key, record.value) for record in records
    ]


@given(st.lists(st.tuples(deltas, deltas, st.none() | blobs, blobs), max_size=6))
def test_records_of_a_producer_are_read_once(
    contents: list[tuple[int, int, bytes | None, bytes]],
) -> None:
    records = [RawRecord(0, time, offset, key, value, 0) for time, offset, key, value in contents]
    data = encode_raw_records(records)
    found = _decode_usual(data, 0, len(data), len(records), 1000, 5000, "t", 7)
    assert found == decode_records(data, 0, len(data), len(records), 1000, 5000, "t", 7)


@given(st.integers(-(2**62), 2**62 - 1))
def test_a_varint_is_that_of_the_declaration(value: int) -> None:
    writer = Writer(0)
    declared_varint.write(writer, value)
    assert varint(value) == writer.getvalue()
    assert declared_varint.read(Reader(varint(value), 0, 0, len(varint(value)))) == value


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


def outcome(data: bytes, count: int) -> list[tuple[int | None, bytes | None, bytes]] | str:
    try:
        found: list[Record] = decode_records(data, 0, len(data), count, 0, 1)
    except ProtocolError as error:
        return f"{error.field}: {error.reason}"
    return [(record.offset, record.key, record.value) for record in found]


def raw_outcome(data: bytes, count: int) -> list[tuple[int | None, bytes | None, bytes]] | str:
    try:
        found = decode_raw_records(data, 0, len(data), count)
    except ProtocolError as error:
        return f"{error.field}: {error.reason}"
    return [(record.offset_delta, record.key, record.value) for record in found]


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
