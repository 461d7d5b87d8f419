"""Batches: when one is full, when it is due, how much goes at once, what can be withdrawn."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.errors import FluvioError
from txfluvio.producer.accumulator import Batch, PartitionQueue
from txfluvio.producer.checks import OVERHEAD, size_alone
from txfluvio.wire import records
from txfluvio.wire.compression import Compression


def queue(
    *,
    linger: float = 0.0,
    batch_size: int = 1000,
    max_request_size: int = 10_000,
    patience: float = 1000.0,
) -> PartitionQueue:
    return PartitionQueue(
        linger=linger,
        batch_size=batch_size,
        max_request_size=max_request_size,
        patience=patience,
    )


def fill(q: PartitionQueue, *values: bytes, now: float = 0.0, timestamp: int = 1000) -> None:
    for value in values:
        q.extend(None, [value], 0, timestamp, now)


def values(batch: Batch) -> list[bytes]:
    return records.Batch(batch.encode(Compression.NONE), 0).values()


def test_records_gather_in_one_batch_in_their_order() -> None:
    q = queue()
    fill(q, b"a", b"b", b"c")
    (batch,) = q.take(0.0)
    assert values(batch) == [b"a", b"b", b"c"]


def test_a_record_that_would_exceed_the_batch_size_opens_another() -> None:
    two = size_alone(None, b"x" * 100) + 109
    q = queue(batch_size=two)
    fill(q, *[b"x" * 100] * 3)
    assert [batch.count for batch in q.take(0.0)] == [2, 1]


def test_a_batch_of_exactly_its_size_is_full() -> None:
    q = queue(batch_size=size_alone(None, b"x" * 100), linger=5.0)
    fill(q, b"x" * 100)
    assert [batch.count for batch in q.take(0.0)] == [1]


def test_a_batch_that_another_record_fills_to_exactly_its_size_is_full() -> None:
    two = size_alone(None, b"x" * 100) + 109
    q = queue(batch_size=two, linger=5.0)
    fill(q, b"x" * 100, b"x" * 100)
    assert [batch.count for batch in q.take(0.0)] == [2]


def test_a_batch_that_was_encoded_does_not_keep_its_records_as_well() -> None:
    q = queue()
    value = bytes(100)
    before = sys.getrefcount(value)
    fill(q, value)
    (batch,) = q.take(0.0)
    batch.encode(Compression.NONE)
    assert sys.getrefcount(value) == before


def test_a_record_larger_than_a_batch_goes_alone() -> None:
    q = queue(batch_size=200)
    fill(q, b"a", b"x" * 500, b"b")
    assert [values(batch) for batch in q.take(0.0)] == [[b"a"], [b"x" * 500], [b"b"]]


def test_appending_says_how_many_bytes_it_took() -> None:
    q = queue(batch_size=200)
    grown = [q.extend(None, [b"x" * size], 0, 1000, 0.0)[1] for size in (50, 60, 70, 500)]
    assert sum(grown) == sum(batch.size for batch in reversed(q))
    _, more = q.extend(None, [b"a", b"b"], 0, 1000, 0.0)
    assert sum(grown) + more == sum(batch.size for batch in reversed(q))


def test_a_timestamp_too_far_from_the_batch_opens_another() -> None:
    q = queue()
    q.extend(None, [b"a"], 0, 1000, 0.0)
    q.extend(None, [b"b"], 0, 1000 + 2**31, 0.0)
    q.extend(None, [b"c", b"d"], 0, 1000, 0.0)
    assert [values(batch) for batch in q.take(0.0)] == [[b"a"], [b"b"], [b"c", b"d"]]


def test_each_may_have_its_own_timestamp() -> None:
    q = queue()
    q.extend(None, [b"a", b"b", b"c"], 0, [1000, 3000, 1000 + 2**31], 0.0)
    q.extend(None, [b"a", b"b", b"c"], 2, [1000, 3000, 1000 + 2**31], 0.0)
    batches = [records.Batch(batch.encode(Compression.NONE), 0) for batch in q.take(0.0)]
    assert [[r.timestamp for r in batch.records()] for batch in batches] == [
        [1000, 3000],
        [1000 + 2**31],
    ]


@given(
    st.lists(
        st.tuples(st.none() | st.binary(max_size=30), st.binary(max_size=60)),
        min_size=1,
        max_size=100,
    ),
    st.integers(60, 400),
)
def test_many_at_once_make_the_batches_of_one_at_a_time(
    pairs: list[tuple[bytes | None, bytes]], batch_size: int
) -> None:
    many, single = queue(batch_size=batch_size), queue(batch_size=batch_size)
    for key, value in pairs:
        single.extend([key], [value], 0, 1000, 0.0)
    start = 0
    while start < len(pairs):
        keys, rest = [key for key, _ in pairs], [value for _, value in pairs]
        start, _ = many.extend(keys, rest, start, 1000, 0.0)
    assert [batch.encode(Compression.NONE) for batch in reversed(many)] == [
        batch.encode(Compression.NONE) for batch in reversed(single)
    ]


def test_nothing_is_due_where_nothing_waits() -> None:
    q = queue()
    assert q.due_in(0.0) is None
    assert q.take(0.0) == []


def test_without_linger_an_open_batch_is_due_at_once() -> None:
    q = queue()
    fill(q, b"a", now=3.0)
    assert q.due_in(3.0) == 0.0
    assert len(q.take(3.0)) == 1


def test_an_open_batch_lingers() -> None:
    q = queue(linger=2.0)
    fill(q, b"a", now=3.0)
    assert q.due_in(3.5) == 1.5
    assert q.take(4.9) == []
    fill(q, b"b", now=4.9)
    (batch,) = q.take(5.0)
    assert batch.count == 2


def test_a_batch_with_another_behind_it_does_not_linger() -> None:
    q = queue(linger=2.0, batch_size=200)
    fill(q, b"x" * 100, b"x" * 100, now=3.0)
    assert q.due_in(3.0) == 0.0
    assert [batch.count for batch in q.take(3.0)] == [1]
    assert q.due_in(3.0) == 2.0


@pytest.mark.parametrize("linger", [0.0, 2.0])
def test_what_came_before_the_clock_was_set_back_is_due_at_once(linger: float) -> None:
    q = queue(linger=linger)
    fill(q, b"a", now=3600.0)
    assert q.due_in(3.0) == 0.0
    assert len(q.take(3.0)) == 1


def test_in_a_hurry_nothing_lingers() -> None:
    q = queue(linger=2.0)
    fill(q, b"a", now=3.0)
    assert q.due_in(3.0, hurry=True) == 0.0
    assert len(q.take(3.0, hurry=True)) == 1


def test_what_was_taken_gets_no_more_records() -> None:
    q = queue()
    fill(q, b"a")
    (first,) = q.take(0.0)
    fill(q, b"b")
    (second,) = q.take(0.0)
    assert (values(first), values(second)) == ([b"a"], [b"b"])


def test_one_request_holds_as_many_batches_as_its_size_allows() -> None:
    size = size_alone(None, b"x" * 100)
    q = queue(batch_size=size, max_request_size=3 * size)
    fill(q, *[b"x" * 100] * 5)
    assert [len(q.take(0.0)) for _ in range(3)] == [3, 2, 0]


def test_what_is_given_back_is_taken_first_and_in_its_order() -> None:
    q = queue(batch_size=200)
    fill(q, b"a" * 100, b"b" * 100, b"c" * 100)
    taken = q.take(0.0)
    fill(q, b"d")
    q.give_back(taken)
    assert [values(batch)[0][:1] for batch in q.take(0.0)] == [b"a", b"b", b"c", b"d"]


def test_what_is_given_back_gets_no_more_records_and_does_not_linger() -> None:
    q = queue(linger=2.0)
    fill(q, b"a", now=0.0)
    q.give_back(q.take(0.0, hurry=True))
    assert q.due_in(0.0) == 0.0
    fill(q, b"b", now=0.0)
    assert [values(batch) for batch in q.take(0.0)] == [[b"a"]]


def test_an_old_batch_takes_no_more() -> None:
    q = queue(patience=3.0)
    fill(q, b"a", now=0.0)
    fill(q, b"b", now=3.0)
    fill(q, b"c", now=3.1)
    q.extend(None, [b"d"], 0, 1000, 7.0)
    assert [values(batch) for batch in q.take(7.0)] == [[b"a", b"b"], [b"c"], [b"d"]]


def test_a_record_larger_than_a_request_is_not_left_out_in_silence() -> None:
    q = queue(max_request_size=1000)
    with pytest.raises(AssertionError):
        fill(q, b"x" * 1000)


def test_batches_expire_by_the_age_of_their_first_record() -> None:
    q = queue(patience=0.5)
    fill(q, b"a", now=1.0)
    fill(q, b"b", now=2.0)
    fill(q, b"c", now=3.0)
    assert [values(batch) for batch in q.expire(5.0, 3.0)] == [[b"a"], [b"b"]]
    assert len(q) == 1


def test_an_expired_batch_gets_no_more_records() -> None:
    q = queue()
    fill(q, b"a", now=1.0)
    (expired,) = q.expire(4.0, 3.0)
    fill(q, b"b", now=1.0)
    assert (expired.count, len(q)) == (1, 1)


def test_clearing_gives_everything() -> None:
    q = queue(batch_size=200)
    fill(q, b"x" * 100, b"x" * 100)
    assert len(q.clear()) == 2
    fill(q, b"a")
    assert len(q) == 1


class Named:
    """Waits for the outcome of a batch, which it does not get."""

    def __init__(self, name: str) -> None:
        self.name = name

    def stored(self, offset: int | None) -> None:
        raise NotImplementedError

    def failed(self, error: FluvioError) -> None:
        raise NotImplementedError


def waiting(*names: str) -> Batch:
    batch = Batch(0.0, 1000)
    for index, name in enumerate(names):
        batch.builder.append(None, name.encode())
        batch.receipts.append((index, Named(name)))
    return batch


def told(batch: Batch) -> list[tuple[int, str]]:
    return [(first, waiter.name) for first, waiter in batch.told() if isinstance(waiter, Named)]


def test_a_record_withdrawn_is_not_sent_and_the_others_move_up() -> None:
    batch = waiting("a", "b", "c", "d")
    assert batch.withdraw(1)
    assert values(batch) == [b"a", b"c", b"d"]
    assert [(first, who) for first, who in told(batch) if who != "b"] == [
        (0, "a"),
        (1, "c"),
        (2, "d"),
    ]


def test_several_in_a_row_can_be_withdrawn_at_once() -> None:
    batch = waiting("a", "b", "c", "d")
    assert batch.withdraw(1, 2)
    assert values(batch) == [b"a", b"d"]
    assert (batch.count, batch.remaining) == (4, 2)


def test_a_batch_is_empty_when_every_record_was_withdrawn() -> None:
    batch = waiting("a", "b")
    batch.withdraw(0)
    assert batch.remaining
    batch.withdraw(1)
    assert not batch.remaining


def test_once_sent_nothing_can_be_withdrawn() -> None:
    batch = waiting("a", "b")
    before = batch.encode(Compression.NONE)
    assert not batch.withdraw(0)
    assert batch.encode(Compression.NONE) == before
    assert told(batch) == [(0, "a"), (1, "b")]


def test_who_waits_is_told_once() -> None:
    batch = waiting("a")
    assert told(batch) == [(0, "a")]
    assert told(batch) == []


@given(st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_the_overhead_of_a_record_alone_is_bounded(value: bytes, key: bytes | None) -> None:
    assert size_alone(key, value) <= OVERHEAD + len(value) + len(key or b"")
