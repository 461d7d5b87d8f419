"""Where a log is read from, with the ends that its leader tells."""

from __future__ import annotations

import pytest

from txfluvio.config import OffsetReset
from txfluvio.consumer.backlog import Backlog
from txfluvio.consumer.place import Place
from txfluvio.consumer.requests import Target
from txfluvio.errors import BrokerError, LogTruncated, OffsetEvicted, OffsetOutOfRange
from txfluvio.offset import Offset

TARGET = Target("orders", 3)
REFUSED = BrokerError(detail="start offset: 30 is greater than leo: 25")
ERROR, EARLIEST, LATEST = OffsetReset.ERROR, OffsetReset.EARLIEST, OffsetReset.LATEST


def place(
    start: Offset,
    *,
    stored: int | None = None,
    stop: Offset | None = None,
    reset: OffsetReset = ERROR,
) -> tuple[Place, Backlog]:
    backlog = Backlog(TARGET.topic, TARGET.partition)
    return (
        Place(TARGET, backlog, start=start, stored=stored, stop=stop, reset=reset),
        backlog,
    )


@pytest.mark.parametrize(
    ("start", "stored", "expected"),
    [
        (Offset.beginning(), None, 10),
        (Offset.end(), None, 20),
        (Offset.absolute(15), 12, 15),
        (Offset.from_end(3), 12, 17),
        (Offset.stored(), 12, 13),
        (Offset.stored(), 24, 25),
        (Offset.stored(Offset.end()), None, 20),
    ],
)
def test_a_start_becomes_a_position(start: Offset, stored: int | None, expected: int) -> None:
    mine, backlog = place(start, stored=stored)
    assert not mine.known
    assert mine.find(10, 20) is None
    assert mine.known
    assert backlog.position == backlog.received == backlog.origin == expected


def test_a_start_is_found_once() -> None:
    mine, backlog = place(Offset.end())
    mine.find(10, 20)
    mine.find(10, 50)
    assert backlog.received == 20


def test_the_stop_is_found_once_with_the_first_ends() -> None:
    mine, backlog = place(Offset.beginning(), stop=Offset.end())
    mine.find(10, 20)
    mine.find(10, 50)
    assert backlog.stop == 20


@pytest.mark.parametrize(
    ("start", "stored", "position"),
    [
        (Offset.absolute(5), None, 5),
        (Offset.stored(), 4, 5),
        (Offset.stored(Offset.end()), 8, 9),
        (Offset.stored(), -1, 0),
    ],
)
def test_a_position_below_the_log_is_evicted(
    start: Offset, stored: int | None, position: int
) -> None:
    mine, backlog = place(start, stored=stored)
    error = mine.find(10, 20)
    assert isinstance(error, OffsetEvicted)
    assert (error.offset, error.next_available) == (position, 10)
    assert backlog.received == position


def test_behind_the_last_record_that_retention_took_nothing_is_missing() -> None:
    mine, backlog = place(Offset.stored(), stored=9)
    assert mine.find(10, 20) is None
    assert backlog.received == 10


def test_below_the_log_but_at_the_stop_nothing_is_missing() -> None:
    mine, _ = place(Offset.absolute(5), stop=Offset.absolute(5))
    assert mine.find(10, 20) is None


@pytest.mark.parametrize("start", [Offset.absolute(5), Offset.stored()], ids=repr)
@pytest.mark.parametrize(("reset", "expected"), [(EARLIEST, 10), (LATEST, 20)])
def test_an_evicted_position_is_reset(start: Offset, reset: OffsetReset, expected: int) -> None:
    mine, backlog = place(start, stored=4, reset=reset)
    assert mine.find(10, 20) is None
    assert backlog.received == backlog.origin == expected


@pytest.mark.parametrize("reset", [EARLIEST, LATEST])
def test_where_retention_took_what_is_not_replicated_it_is_reset_behind_that(
    reset: OffsetReset,
) -> None:
    mine, backlog = place(Offset.absolute(5), reset=reset)
    assert mine.find(30, 20) is None
    assert backlog.received == 30


@pytest.mark.parametrize("start", [Offset.absolute(30), Offset.stored(Offset.absolute(30))])
def test_a_start_beyond_the_end_was_never_there(start: Offset) -> None:
    mine, _ = place(start)
    mine.find(10, 20)
    error = mine.beyond(20, REFUSED)
    assert isinstance(error, OffsetOutOfRange)
    assert "leo: 25" in str(error)
    assert error.__cause__ is REFUSED


@pytest.mark.parametrize("stored", [29, None])
def test_a_position_beyond_the_end_that_was_there_is_cut(stored: int | None) -> None:
    mine, backlog = place(Offset.stored(), stored=stored)
    mine.find(10, 20)
    if stored is None:
        backlog.place(30)
        mine.confirmed = True
    error = mine.beyond(20, REFUSED)
    assert isinstance(error, LogTruncated)
    assert (error.topic, error.partition, error.position, error.end) == ("orders", 3, 30, 20)


@pytest.mark.parametrize(("reset", "expected"), [(EARLIEST, 10), (LATEST, 20)])
def test_a_position_beyond_the_end_is_reset(reset: OffsetReset, expected: int) -> None:
    mine, backlog = place(Offset.absolute(30), reset=reset)
    mine.find(10, 20)
    assert mine.beyond(20, REFUSED) is None
    assert mine.find(10, 20) is None
    assert backlog.received == expected


def test_seeking_an_absolute_offset_needs_no_leader() -> None:
    mine, backlog = place(Offset.beginning())
    mine.find(10, 20)
    mine.seek(Offset.absolute(15))
    assert mine.known
    assert backlog.position == backlog.origin == 15


def test_what_is_sought_beyond_the_end_was_never_there() -> None:
    mine, _ = place(Offset.stored(), stored=14)
    mine.find(10, 20)
    mine.seek(Offset.absolute(30))
    assert isinstance(mine.beyond(20, REFUSED), OffsetOutOfRange)


def test_seeking_a_relative_offset_waits_for_the_ends() -> None:
    mine, backlog = place(Offset.beginning())
    mine.find(10, 20)
    mine.seek(Offset.from_end(2))
    assert not mine.known
    mine.find(10, 30)
    assert backlog.position == 28


def test_only_an_evicted_position_can_be_reset_by_looking_again() -> None:
    evicted = OffsetEvicted(offset=1, next_available=2)
    assert place(Offset.end(), reset=LATEST)[0].can_reset(evicted)
    assert not place(Offset.end(), reset=ERROR)[0].can_reset(evicted)
    assert not place(Offset.end(), reset=LATEST)[0].can_reset(REFUSED)
