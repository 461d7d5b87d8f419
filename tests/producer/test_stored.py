"""Where records sent together were stored: a list that is made when it is looked at."""

from __future__ import annotations

import pytest

from txfluvio.producer import RecordMetadata, StoredRecords

STORED = StoredRecords(
    "orders",
    5000,
    6,
    [(range(0, 6, 2), 0, 10), ([1, 5], 1, 20), ([3], 2, None)],
)
EXPECTED = [
    RecordMetadata("orders", 0, 10, 5000),
    RecordMetadata("orders", 1, 20, 5000),
    RecordMetadata("orders", 0, 11, 5000),
    RecordMetadata("orders", 2, None, 5000),
    RecordMetadata("orders", 0, 12, 5000),
    RecordMetadata("orders", 1, 21, 5000),
]


def test_it_has_one_entry_for_each_record_in_their_order() -> None:
    assert list(STORED) == EXPECTED
    assert len(STORED) == 6


def test_it_can_be_read_more_than_once() -> None:
    assert list(STORED) == list(STORED)


def test_entries_are_found_by_index_from_either_end() -> None:
    assert [STORED[index] for index in range(-6, 6)] == [EXPECTED[i] for i in range(-6, 6)]


def test_a_slice_is_a_list() -> None:
    assert STORED[1:4] == EXPECTED[1:4]
    assert STORED[::-2] == EXPECTED[::-2]


@pytest.mark.parametrize("index", [6, -7])
def test_there_are_no_others(index: int) -> None:
    with pytest.raises(IndexError):
        STORED[index]


def test_it_has_the_manners_of_a_sequence() -> None:
    assert EXPECTED[3] in STORED
    assert STORED.index(EXPECTED[4]) == 4
    assert list(reversed(STORED)) == EXPECTED[::-1]


def test_shown_it_is_short() -> None:
    assert repr(STORED) == "<6 records stored in orders>"


def test_where_a_record_was_stored_is_a_value() -> None:
    assert EXPECTED[0] == RecordMetadata("orders", 0, 10, 5000)
    assert len({EXPECTED[0], RecordMetadata("orders", 0, 10, 5000)}) == 1
    with pytest.raises(AttributeError):
        EXPECTED[0].offset = 5  # type: ignore[misc]
