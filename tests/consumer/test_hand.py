"""The chunk in the user's hands: what was handed out, and what of that was processed."""

from __future__ import annotations

from itertools import islice

from txfluvio.consumer.backlog import Chunk
from txfluvio.consumer.hand import Hand
from txfluvio.wire.records import Record


def chunk(*offsets: int | None, start: int = 0, end: int = 0) -> Chunk:
    records = []
    for offset in offsets:
        record = Record()
        record.offset = offset
        records.append(record)
    return Chunk(records, start, end, 0 if None in offsets else None)


def holding(*offsets: int | None, start: int = 0, end: int = 0, taken: int = 0) -> Hand[str]:
    hand: Hand[str] = Hand()
    hand.pick_up("source", chunk(*offsets, start=start, end=end))
    take(hand, taken)
    return hand


def take(hand: Hand[str], count: int) -> list[int | None]:
    return [record.offset for record in islice(hand.rest, count)]


def test_an_empty_hand_has_nothing_to_hand_out() -> None:
    hand: Hand[str] = Hand()
    assert (hand.index, hand.left, hand.source) == (0, 0, None)


def test_the_last_record_handed_out_is_not_processed_yet() -> None:
    hand = holding(5, 6, 7, start=4, end=9)
    states = [(hand.position, hand.processed)]
    while take(hand, 1):
        states.append((hand.position, hand.processed))
    assert states == [(4, 4), (6, 4), (7, 6), (9, 7)]


def test_a_list_handed_out_is_not_processed_yet() -> None:
    hand = holding(5, 6, 7, start=4, end=9, taken=1)
    assert [record.offset for record in hand.lend()] == [6, 7]
    assert (hand.position, hand.processed) == (9, 6)


def test_whoever_empties_a_list_has_not_processed_it_by_that() -> None:
    hand = holding(5, 6, 7, start=4, end=9)
    hand.lend().clear()
    assert (hand.position, hand.processed) == (9, 4)


def test_what_is_finished_is_processed() -> None:
    hand = holding(5, 6, 7, start=4, end=9, taken=2)
    hand.finish()
    assert hand.processed == hand.position == 7
    take(hand, 1)
    assert hand.processed == 7


def test_a_list_that_is_finished_is_processed() -> None:
    hand = holding(5, 6, 7, start=4, end=9)
    hand.lend()
    hand.finish()
    assert hand.processed == 9


def test_what_is_finished_up_to_an_offset_is_processed_up_to_there() -> None:
    hand = holding(5, 6, 8, start=4, end=9)
    hand.lend()
    for offset, processed in ((4, 4), (6, 7), (7, 7), (5, 7), (8, 9)):
        hand.finish(offset)
        assert hand.processed == processed


def test_cutting_keeps_what_was_handed_out() -> None:
    hand = holding(5, 6, 7, start=4, end=9, taken=1)
    rest = hand.cut()
    assert (hand.index, hand.left, hand.position, hand.processed) == (1, 0, 6, 4)
    assert [record.offset for record in rest.records] == [6, 7]
    assert (rest.start, rest.end) == (6, 9)


def test_records_without_offsets_are_processed_all_at_once() -> None:
    hand = holding(None, None, None, start=4, end=9)
    states = [(hand.position, hand.processed)]
    while take(hand, 1):
        states.append((hand.position, hand.processed))
    assert states == [(4, 4), (4, 4), (4, 4), (9, 4)]


def test_putting_it_down_leaves_nothing() -> None:
    hand = holding(5, 6)
    hand.put_down()
    assert (hand.left, hand.source) == (0, None)
