"""The functions written for what is read and written often do what the declared types do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire import strategies
from tests.wire.test_messages import APIS
from txfluvio.errors import ProtocolError, UsageError
from txfluvio.wire import Api, Message, RecordSet, sc, schema, straight
from txfluvio.wire.schema import (
    Reader,
    StructType,
    Writer,
    boolean,
    field,
    i32,
    i64,
    optional,
    record_set,
    string,
    struct,
    u8,
    vector,
)

NOTHING = object()


def quickly(type_: StructType, data: bytes, version: int) -> Any:
    """What the function makes of bytes; ``NOTHING`` where it leaves them to the declared types."""
    reader = Reader(data, version, 0, len(data))
    try:
        value = straight.reader(type_, version, "it")(reader)
    except straight.UNREADABLE:
        return NOTHING
    return value if reader.pos <= reader.end else NOTHING


def carefully(type_: StructType, data: bytes, version: int) -> Any:
    """What the declared types make of them; ``NOTHING`` where they complain."""
    reader = Reader(data, version, 0, len(data))
    # Whoever wants to know what was where gets no such function.
    reader.spans = []
    try:
        return type_.read(reader)
    except ProtocolError:
        return NOTHING


def structs(api: Api) -> list[StructType]:
    found = [message.__wire__ for message in (api.request, api.reply)]
    return [type_ for type_ in found if not isinstance(type_, sc._Envelope)]


@pytest.mark.parametrize(
    "api", [api for api in APIS if structs(api)], ids=lambda api: f"{api.server}-{api.name}"
)
def test_both_ways_to_read_and_to_write_agree(api: Api) -> None:
    @given(st.data())
    @settings(max_examples=60)
    def agree(data: st.DataObject) -> None:
        type_ = data.draw(st.sampled_from(structs(api)))
        version = data.draw(st.integers(api.min_version, api.max_version))
        value = data.draw(strategies.struct(type_, version, None))
        writer = Writer(version)
        straight.writer(type_, version, "it")(writer, value)
        encoded = writer.getvalue()
        assert quickly(type_, encoded, version) == value
        assert carefully(type_, encoded, version) == value
        damaged = bytearray(encoded)
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)
        ):
            damaged[at % max(1, len(damaged)) : at % max(1, len(damaged)) + 1] = (byte,)
        cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
        assert quickly(type_, cut, version) == carefully(type_, cut, version)

    agree()


@struct
class Inner:
    flag: bool = field(boolean)
    name: str = field(string)


@struct
class Later:
    name: str = field(string, since=9, default="")


@struct
class Outer(Message):
    one: int = field(u8)
    two: int = field(i64)
    late: int = field(i32, since=3, default=-1)
    inner: Inner | None = field(optional(Inner))
    many: tuple[Inner, ...] = field(vector(Inner))
    records: RecordSet = field(record_set)
    empty: Later | None = field(optional(Later))


VALUE = Outer(
    one=1,
    two=-2,
    inner=Inner(flag=True, name="é"),
    many=(Inner(flag=False, name=""), Inner(flag=True, name="b")),
    records=RecordSet(b"some"),
    empty=Later(),
)


def often(version: int) -> None:
    """Have a message read and written as often as it takes until it has its functions."""
    encoded = VALUE.encode(version)
    for _ in range(schema._OFTEN + 1):
        assert Outer.decode(VALUE.encode(version), version) == VALUE
    assert VALUE.encode(version) == encoded


@pytest.mark.parametrize("version", [2, 3])
def test_a_message_in_use_gets_its_functions(version: int) -> None:
    often(version)
    layout = Outer.__wire__._layouts[version]
    assert layout.reader.function is not None
    assert layout.writer.function is not None
    # From then on the field types are not asked any more, but for the unusual.
    assert Outer.decode(VALUE.encode(version), version) == VALUE


@pytest.mark.parametrize("at", range(len(VALUE.encode(2))))
def test_a_cut_message_in_use_is_refused_with_its_field_and_position(at: int) -> None:
    often(2)
    with pytest.raises(ProtocolError) as quick:
        Outer.decode(VALUE.encode(2)[:at], 2)
    with pytest.raises(ProtocolError) as careful:
        Outer.annotate(VALUE.encode(2)[:at], 2)
    assert (quick.value.field, quick.value.position, quick.value.reason) == (
        careful.value.field,
        careful.value.position,
        careful.value.reason,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"one": 256}, "Outer.one"),
        ({"two": None}, "Outer.two"),
        ({"inner": Inner(flag=True, name=b"raw")}, "Inner.name"),  # type: ignore[arg-type]
        ({"many": 7}, "Outer.many"),
        ({"records": b""}, "Outer.records"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field_and_leaves_nothing(
    change: dict[str, Any], field: str
) -> None:
    often(2)
    writer = Writer(2)
    with pytest.raises(UsageError, match=f"^{field} can not be sent: "):
        Outer.__wire__.write(writer, schema.evolve(VALUE, **change))


def test_a_string_too_long_is_refused_by_its_limit() -> None:
    often(2)
    value = schema.evolve(VALUE, inner=Inner(flag=True, name="x" * 40_000))
    with pytest.raises(UsageError, match="over the limit of 32767"):
        value.encode(2)


def test_what_is_read_at_an_end_within_the_bytes_stays_within() -> None:
    often(2)
    data = VALUE.encode(2)
    with pytest.raises(ProtocolError):
        Outer.__wire__.read(Reader(data, 2, 0, len(data) - 1))
