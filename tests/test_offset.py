"""Offsets: values that say where to start, and the numbers they stand for."""

from __future__ import annotations

import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.errors import InvalidConfig
from txfluvio.offset import Offset, OffsetKind

START, END = 100, 200


@pytest.mark.parametrize(
    ("offset", "resolved"),
    [
        (Offset.beginning(), 100),
        (Offset.end(), 200),
        (Offset.from_beginning(7), 107),
        (Offset.from_beginning(1000), 200),
        (Offset.from_end(7), 193),
        (Offset.from_end(1000), 100),
        (Offset.absolute(150), 150),
        (Offset.nearest(150), 150),
        (Offset.nearest(3), 100),
        (Offset.nearest(1000), 200),
    ],
    ids=repr,
)
def test_a_place_in_the_log(offset: Offset, resolved: int) -> None:
    assert offset.resolve(START, END) == resolved


@pytest.mark.parametrize("n", [0, 99, 201, 10**12])
def test_an_absolute_offset_is_taken_as_it_is(n: int) -> None:
    assert Offset.absolute(n).resolve(START, END) == n


def test_an_empty_log_has_one_place() -> None:
    for offset in (Offset.beginning(), Offset.end(), Offset.from_end(3), Offset.stored()):
        assert offset.resolve(5, 5) == 5


class TestStored:
    def test_resumes_after_the_record_processed_last(self) -> None:
        assert Offset.stored().resolve(START, END, stored=149) == 150

    def test_with_nothing_stored_starts_at_the_beginning(self) -> None:
        assert Offset.stored().resolve(START, END) == START

    def test_with_nothing_stored_uses_the_fallback_given(self) -> None:
        assert Offset.stored(fallback=Offset.from_end(2)).resolve(START, END) == 198

    def test_a_fallback_is_not_looked_at_when_something_is_stored(self) -> None:
        assert Offset.stored(fallback=Offset.end()).resolve(START, END, stored=120) == 121

    @pytest.mark.parametrize(("stored", "resolved"), [(-1, 0), (3, 4), (10**12, 10**12 + 1)])
    def test_is_taken_as_it_is_wherever_the_log_is(self, stored: int, resolved: int) -> None:
        assert Offset.stored().resolve(START, END, stored) == resolved

    @pytest.mark.parametrize(("stored", "resolved"), [(-(2**63), 0), (2**63 - 1, 2**63 - 1)])
    def test_is_an_offset_whatever_is_stored(self, stored: int, resolved: int) -> None:
        assert Offset.stored().resolve(START, END, stored) == resolved

    def test_offset_0_is_something_stored(self) -> None:
        assert Offset.stored(fallback=Offset.end()).resolve(0, 10, stored=0) == 1

    @pytest.mark.parametrize("offset", [Offset.beginning(), Offset.end()], ids=repr)
    def test_the_beginning_and_the_end_do_not_resume(self, offset: Offset) -> None:
        assert offset.resolve(START, END, stored=149) == offset.resolve(START, END)

    def test_can_not_fall_back_on_itself(self) -> None:
        with pytest.raises(InvalidConfig, match="other than stored"):
            Offset.stored(fallback=Offset.stored())


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**63 - 1))
def test_whatever_is_relative_stays_within_the_log(start: int, length: int, n: int) -> None:
    end = start + length
    for offset in (Offset.from_beginning(n), Offset.from_end(n), Offset.stored()):
        assert start <= offset.resolve(start, end) <= end


@pytest.mark.parametrize("n", [-1, 2**63, 1.0, "1", None, True])
@pytest.mark.parametrize("make", [Offset.absolute, Offset.from_beginning, Offset.from_end])
def test_a_count_that_is_none_is_refused(make: object, n: object) -> None:
    with pytest.raises(InvalidConfig, match="a whole number, 0 or more"):
        make(n)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "n", "fallback", "wrong"),
    [
        ("absolute", 3, None, "an OffsetKind"),
        (OffsetKind.ABSOLUTE, 3, Offset.end(), "only stored has one"),
        (OffsetKind.STORED, 3, Offset.end(), "what is stored says where"),
        (OffsetKind.STORED, 0, None, "other than stored"),
    ],
)
def test_what_its_methods_do_not_make_is_refused(
    kind: Any, n: int, fallback: Offset | None, wrong: str
) -> None:
    with pytest.raises(InvalidConfig, match=wrong):
        Offset(kind, n, fallback)


def test_compares_by_value() -> None:
    assert Offset.from_end(3) == Offset.from_end(3)
    assert Offset.from_end(3) != Offset.from_beginning(3)
    assert Offset.from_beginning(0) == Offset.beginning()
    assert Offset.absolute(0) != Offset.beginning()
    assert len({Offset.end(), Offset.from_end(0), Offset.stored()}) == 2


def test_can_not_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Offset.end().n = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "offset",
    [
        Offset.beginning(),
        Offset.end(),
        Offset.absolute(0),
        Offset.absolute(7),
        Offset.nearest(0),
        Offset.from_beginning(7),
        Offset.from_end(7),
        Offset.stored(),
        Offset.stored(fallback=Offset.from_end(1)),
    ],
    ids=repr,
)
def test_its_repr_makes_it_again(offset: Offset) -> None:
    assert eval(repr(offset), {"Offset": Offset}) == offset
    assert pickle.loads(pickle.dumps(offset)) == offset
