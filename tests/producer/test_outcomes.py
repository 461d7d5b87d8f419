"""Cancelling each of many records looks at all of them a few times, and not once for each."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from txfluvio.producer import RecordMetadata
from txfluvio.producer.accumulator import Batch
from txfluvio.producer.outcomes import Each, Lot, Origin, Telling


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
    each = Each(Origin("orders", lambda _: None, lambda _: None, Telling(lambda: None)), 5000, 0.0)
    sent: list[Deferred[RecordMetadata]] = [Deferred(each.cancel) for _ in range(number)]
    for one in sent:
        each.rows += (b"key", b"x", None, None, one)
    _, keys, values = each.close()
    lot = Lot(0, keys, values, Counted(range(number)))
    each.line_up([lot])
    batch = Batch(0.0, 5000)
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
