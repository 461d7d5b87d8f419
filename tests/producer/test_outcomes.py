"""Where records sent together were stored: a list that is made when it is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from txfluvio.producer import RecordMetadata, StoredRecords
from txfluvio.producer.accumulator import Batch
from txfluvio.producer.outcomes import Each, Lot, Origin, Waiter

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


class Counted(list[int]):
    """Counts the elements that are looked at by searching, copying and iterating."""

    looked_at = 0

    def __contains__(self, element: object) -> bool:
        Counted.looked_at += len(self)
        return super().__contains__(element)

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if isinstance(index, slice):
            Counted.looked_at += len(found)
            return Counted(found)
        return found


@pytest.mark.parametrize("taken_in", [0, 500, 1000])
def test_cancelling_one_by_one_looks_at_each_a_few_times(taken_in: int) -> None:
    number = 1000
    each = Each(Origin("orders", lambda _: None, lambda _: None), 5000, 0.0)
    sent: list[Deferred[RecordMetadata]] = [Deferred(each.cancel) for _ in range(number)]
    for one in sent:
        each.rows += (b"key", b"x", None, None, one)
    _, keys, values = each.close()
    lot = Lot(0, keys, values, Counted(range(number)))
    each.line_up([lot])
    batch: Batch[Waiter] = Batch(0.0, 5000)
    if taken_in:
        batch.builder.extend(keys, values[:taken_in], 0, 5000, 2**20)
        each.take_in(batch, lot, 0, taken_in)
    if taken_in == number:
        each.lots.clear()
    Counted.looked_at = 0
    for one in reversed(sent):
        one.addErrback(lambda failure: failure.trap(CancelledError))
        one.cancel()
    assert Counted.looked_at <= 2 * number
    assert batch.remaining == 0
    assert not each.lots
