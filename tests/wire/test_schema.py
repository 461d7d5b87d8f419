"""The language of declarations: what each wire type reads, writes and refuses."""

from __future__ import annotations

import enum
import tracemalloc
from typing import Any

import pytest

from txfluvio.errors import ProtocolError, UsageError
from txfluvio.wire import RecordSet, evolve
from txfluvio.wire.schema import (
    MAX_STRING,
    Message,
    Reader,
    WireType,
    Writer,
    blob,
    boolean,
    enumeration,
    field,
    i8,
    i16,
    i32,
    i64,
    mapping,
    optional,
    record_set,
    semver,
    string,
    struct,
    tagged,
    u8,
    u16,
    u32,
    u64,
    var_bytes,
    varint,
    vector,
    wire_type,
)


def written(type_: WireType[Any], value: object, version: int = 0) -> str:
    writer = Writer(version)
    type_.write(writer, value)
    return writer.getvalue().hex()


def read(type_: WireType[Any], hex: str, version: int = 0) -> Any:
    data = bytes.fromhex(hex)
    return type_.read(Reader(data, version, 0, len(data)))


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 7


@struct
class Point:
    x: int = field(u8)
    y: int = field(u8)


@struct
class Empty:
    pass


SHAPE = tagged({0: Empty, 3: Point})

SAME_BOTH_WAYS: list[tuple[WireType[Any], object, str]] = [
    (i8, -2, "fe"),
    (i16, -2, "fffe"),
    (i32, -2, "fffffffe"),
    (i64, -2, "fffffffffffffffe"),
    (u8, 254, "fe"),
    (u16, 65534, "fffe"),
    (u32, 1, "00000001"),
    (u64, 2**64 - 2, "fffffffffffffffe"),
    (boolean, True, "01"),
    (boolean, False, "00"),
    (string, "", "0000"),
    (string, "ä", "0002c3a4"),
    (semver, "0.1.0-a", "0007302e312e302d61"),
    (blob, b"", "00000000"),
    (blob, b"\x01\x02", "000000020102"),
    (varint, -134217729, "8180808001"),
    (var_bytes, b"abc", "06616263"),
    (record_set, RecordSet(b"xyz"), "0000000378797a"),
    (optional(i16), None, "00"),
    (optional(i16), 5, "010005"),
    (optional(string), "", "010000"),
    (vector(i16), (1, 2), "0000000200010002"),
    (vector(Point), (), "00000000"),
    (mapping(u8, string), {1: "a", 2: ""}, "000201000161020000"),
    (mapping(string, u8), {"B": 1, "a": 2, "ä": 3}, "0003000142010001610200 02c3a403"),
    (enumeration(Colour), Colour.BLUE, "07"),
    (SHAPE, Empty(), "00"),
    (SHAPE, Point(x=1, y=2), "030102"),
    (wire_type(Point), Point(x=1, y=2), "0102"),
]


@pytest.mark.parametrize(("type_", "value", "hex"), SAME_BOTH_WAYS)
def test_read_and_written(type_: WireType[Any], value: object, hex: str) -> None:
    assert written(type_, value) == hex.replace(" ", "")
    assert read(type_, hex) == value


@pytest.mark.parametrize(
    ("type_", "hex", "value"),
    [
        (string, "8000", ""),
        (string, "ffff", ""),
        (blob, "ffffffff", b""),
        (vector(i16), "80000000", ()),
        (vector(i16), "ffffffff", ()),
        (mapping(u8, u8), "0002 02ff 0101", {2: 255, 1: 1}),
        (mapping(u8, u8), "0002 01ff 0101", {1: 1}),
        (var_bytes, "868000616263", b"abc"),
    ],
)
def test_read_though_nobody_writes_it(type_: WireType[Any], hex: str, value: object) -> None:
    assert read(type_, hex) == value


@pytest.mark.parametrize(
    ("type_", "hex", "position", "reason"),
    [
        (i32, "000000", 0, "4 bytes are needed, 3 are left"),
        (boolean, "", 0, "1 bytes are needed"),
        (boolean, "02", 0, "a bool is 0 or 1, not 2"),
        (optional(i16), "02", 0, "a bool is 0 or 1, not 2"),
        (string, "0003 6162", 2, "3 bytes are needed, 2 are left"),
        (string, "0003 61ff62", 3, "not UTF-8"),
        (string, "0003 edA080", 2, "not UTF-8"),
        (semver, "0001 31", 0, "'1' is no semantic version"),
        (blob, "7fffffff 00", 4, "2147483647 bytes are needed"),
        (var_bytes, "06 6161", 1, "3 bytes are needed"),
        (var_bytes, "01", 0, "a negative length, -1"),
        (varint, "80" * 10 + "00", 0, "a varint of more than 10 bytes"),
        (varint, "80", 1, "1 bytes are needed"),
        (record_set, "ffffffff", 0, "a record set of -1 bytes"),
        (record_set, "00000002 00", 4, "2 bytes are needed"),
        (vector(i16), "00000002 000100", 4, "a count of 2 is more than 3 bytes can hold"),
        (vector(Empty), "00000002 00", 4, "a count of 2 is more than 1 bytes can hold"),
        (mapping(u8, u16), "0002 0100", 2, "a count of 2 is more than 2 bytes can hold"),
        (enumeration(Colour), "02", 0, "2 is no Colour"),
        (SHAPE, "01", 0, "an unknown tag, 1"),
    ],
)
def test_refused(type_: WireType[Any], hex: str, position: int, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(type_, hex)
    assert reason in caught.value.reason
    assert caught.value.position == position


@pytest.mark.parametrize("type_", [string, blob, record_set, vector(u8), vector(string)])
def test_nothing_is_allocated_for_a_length_that_can_not_be(type_: WireType[Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            read(type_, "7fffffff00")
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


@struct
class Inner:
    names: tuple[str, ...] = field(vector(string))


@struct
class Sample(Message):
    first: int = field(u8)
    late: int = field(u8, since=3, default=7)
    early: int = field(u8, until=4, default=8)
    inner: Inner = field(Inner, default=Inner(names=()))
    table: dict[str, int] = field(mapping(string, u8), default={})


class TestVersions:
    """A field is there from its first version to its last, both inclusive."""

    VALUE = Sample(first=1, late=2, early=3)

    @pytest.mark.parametrize(
        ("version", "hex"), [(2, "0103"), (3, "010203"), (4, "010203"), (5, "0102")]
    )
    def test_a_version_has_its_fields(self, version: int, hex: str) -> None:
        rest = "00000000" + "0000"
        assert self.VALUE.encode(version).hex() == hex + rest

    def test_a_field_that_is_not_there_has_its_default(self) -> None:
        assert Sample.decode(self.VALUE.encode(2), 2).late == 7
        assert Sample.decode(self.VALUE.encode(5), 5).early == 8

    def test_a_negative_version_has_no_fields_at_all(self) -> None:
        assert self.VALUE.encode(-1) == b""

    def test_a_field_that_some_versions_lack_needs_a_default(self) -> None:
        with pytest.raises(TypeError, match="default"):
            field(u8, since=1)
        with pytest.raises(TypeError, match="default"):
            field(u8, until=1)


class TestErrors:
    """An error says the message, the path of the field, and the position in what was given."""

    def refusal(self, hex: str, start: int = 0) -> ProtocolError:
        with pytest.raises(ProtocolError) as caught:
            Sample.decode(bytes.fromhex(hex), 3, start)
        return caught.value

    @pytest.mark.parametrize(
        ("hex", "path", "position"),
        [
            ("01", "late", 1),
            ("010203 00000001", "inner.names", 7),
            ("010203 00000002 000161 0005616161", "inner.names[1]", 12),
            ("010203 00000000 0002 000161 0161", "table", 9),
            ("010203 00000000 0002 000161 01 000462 6161", "table[1].key", 15),
            ("010203 00000000 0001 0003616263", "table[0].value", 14),
        ],
    )
    def test_the_path_goes_through_structs_lists_and_maps(
        self, hex: str, path: str, position: int
    ) -> None:
        error = self.refusal(hex)
        assert (error.message, error.field, error.position) == ("Sample", path, position)

    def test_it_reads_as_a_sentence(self) -> None:
        assert str(self.refusal("010203 00000000 0001 0003616263")) == (
            "Sample.table[0].value at byte 14: 1 bytes are needed, 0 are left"
        )

    def test_the_position_counts_from_the_first_byte_given(self) -> None:
        assert self.refusal("ffffff 01", start=3).position == 4

    def test_an_annotated_reading_says_the_same(self) -> None:
        data = bytes.fromhex("010203 00000002 000161 0005616161")
        with pytest.raises(ProtocolError) as caught:
            Sample.annotate(data, 3)
        assert str(caught.value) == str(self.refusal(data.hex()))


class TestAnnotate:
    """Which bytes are which field."""

    def test_every_byte_has_its_path(self) -> None:
        value = Sample(first=1, inner=Inner(names=("a", "")), table={"k": 9})
        decoded, spans = Sample.annotate(b"??" + value.encode(3) + b"!", 3, 2)
        assert decoded == value
        assert [(span.path, span.start, span.end, span.value) for span in spans] == [
            ("first", 2, 3, 1),
            ("late", 3, 4, 7),
            ("early", 4, 5, 8),
            ("inner.names.count", 5, 9, 2),
            ("inner.names[0]", 9, 12, "a"),
            ("inner.names[1]", 12, 14, ""),
            ("table.count", 14, 16, 1),
            ("table[0].key", 16, 19, "k"),
            ("table[0].value", 19, 20, 9),
        ]

    def test_an_option_is_its_flag_and_its_value(self) -> None:
        @struct
        class Options(Message):
            one: int | None = field(optional(u8))
            two: str | None = field(optional(string))
            three: Point | None = field(optional(Point))

        _, spans = Options.annotate(bytes.fromhex("0105 00 010203"), 0)
        assert [(span.path, span.value) for span in spans] == [
            ("one.present", True),
            ("one", 5),
            ("two.present", False),
            ("three.present", True),
            ("three.x", 2),
            ("three.y", 3),
        ]


class TestUsage:
    """A value that does not fit its field is the caller's error."""

    @pytest.mark.parametrize(
        ("type_", "value"),
        [
            (u8, 256),
            (u8, -1),
            (i64, 2**63),
            (u8, None),
            (u8, "1"),
            (string, "x" * (MAX_STRING + 1)),
            (string, "ä" * (MAX_STRING // 2 + 1)),
            (string, "\ud800"),
            (string, None),
            (string, b"bytes"),
            (blob, "text"),
            (blob, None),
            (var_bytes, "text"),
            (record_set, b"bytes"),
            (optional(u8), 300),
            (vector(u8), None),
            (vector(u8), (1, "2")),
            (mapping(u32, u8), dict.fromkeys(range(65536), 0)),
            (mapping(string, u8), {"a": 1, 2: 2}),
            (enumeration(Colour), None),
            (SHAPE, Colour.RED),
            (SHAPE, None),
        ],
    )
    def test_refused(self, type_: WireType[Any], value: object) -> None:
        @struct
        class Holder(Message):
            it: Any = field(type_)

        with pytest.raises(UsageError):
            Holder(it=value).encode(0)

    def test_the_longest_string_is_sent(self) -> None:
        assert read(string, written(string, "x" * MAX_STRING)) == "x" * MAX_STRING

    def test_the_message_says_which_field(self) -> None:
        with pytest.raises(UsageError, match=r"Sample\.first"):
            Sample(first=300).encode(0)


class TestValues:
    """Declared classes are values."""

    def test_they_compare_and_hash_by_their_fields(self) -> None:
        assert Point(x=1, y=2) == Point(x=1, y=2)
        assert Point(x=1, y=2) != Point(x=2, y=1)
        assert len({Point(x=1, y=2), Point(x=1, y=2)}) == 1

    def test_they_do_not_change(self) -> None:
        with pytest.raises(AttributeError):
            Point(x=1, y=2).x = 3  # type: ignore[misc]
        assert evolve(Point(x=1, y=2), x=3) == Point(x=3, y=2)

    def test_their_fields_are_named_when_made(self) -> None:
        with pytest.raises(TypeError):
            Point(1, 2)  # type: ignore[call-arg]

    def test_a_class_without_a_declaration_is_no_wire_type(self) -> None:
        with pytest.raises(TypeError, match="no wire declaration"):
            wire_type(int)


@struct
class Mark:
    x: int = field(u8)
    y: int = field(i16, since=2, default=-1)


@pytest.mark.parametrize("count", [1, 15, 16, 300])
@pytest.mark.parametrize("version", [1, 2])
def test_any_number_of_structs_of_numbers_is_read_as_it_was_written(
    count: int, version: int
) -> None:
    marks = tuple(Mark(x=x % 256, y=-x if version == 2 else -1) for x in range(count))
    assert read(vector(Mark), written(vector(Mark), marks, version), version) == marks


class TestDeclaredClasses:
    def test_equal_are_values_of_one_class_with_equal_fields(self) -> None:
        assert Point(x=1, y=2) == Point(x=1, y=2)
        assert hash(Point(x=1, y=2)) == hash(Point(x=1, y=2))
        assert Point(x=1, y=2) != Point(x=1, y=3)
        other: object = Mark(x=1, y=2)
        assert Point(x=1, y=2) != other

    def test_they_show_their_fields(self) -> None:
        assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"
        assert repr(Empty()) == "Empty()"
