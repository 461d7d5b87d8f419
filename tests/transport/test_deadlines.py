"""Many deadlines share one delayed call."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from txfluvio.transport.deadlines import Deadlines


class Waiter:
    def __init__(self, expired: Callable[[], object]) -> None:
        self._expired = expired

    def expired(self) -> None:
        self._expired()


def test_each_is_told_at_its_time() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()
    deadlines = Deadlines(clock)
    for name, seconds in (("slow", 5.0), ("fast", 1.0), ("other fast", 1.0)):
        deadlines.add(Waiter(lambda name=name: seen.append((name, clock.seconds()))), seconds)  # type: ignore[misc]
    for _ in range(6):
        clock.advance(1)
    assert seen == [("fast", 1.0), ("other fast", 1.0), ("slow", 5.0)]


def test_there_is_one_delayed_call_and_none_when_nobody_waits() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    waiters = [Waiter(lambda: None) for _ in range(10)]
    for number, waiter in enumerate(waiters):
        deadlines.add(waiter, 1 + number % 3)
    assert len(clock.getDelayedCalls()) == 1
    for number, waiter in enumerate(waiters):
        deadlines.remove(waiter, 1 + number % 3)
    assert clock.getDelayedCalls() == []


def test_there_is_none_after_the_last_has_expired() -> None:
    clock = Clock()
    Deadlines(clock).add(Waiter(lambda: None), 1)
    clock.advance(1)
    assert clock.getDelayedCalls() == []


def test_who_was_removed_is_not_told() -> None:
    clock, seen = Clock(), list[str]()
    deadlines = Deadlines(clock)
    removed = Waiter(lambda: seen.append("removed"))
    deadlines.add(removed, 1)
    deadlines.add(Waiter(lambda: seen.append("kept")), 2)
    deadlines.remove(removed, 1)
    clock.advance(2)
    assert seen == ["kept"]


def test_removing_twice_or_after_the_end_changes_nothing() -> None:
    clock, seen = Clock(), list[str]()
    deadlines = Deadlines(clock)
    late = Waiter(lambda: seen.append("late"))
    deadlines.add(late, 1)
    clock.advance(1)
    deadlines.remove(late, 1)
    deadlines.remove(late, 1)
    assert seen == ["late"]


def test_one_that_expires_may_save_another() -> None:
    clock, seen = Clock(), list[str]()
    deadlines = Deadlines(clock)
    saved = Waiter(lambda: seen.append("saved"))
    deadlines.add(Waiter(lambda: deadlines.remove(saved, 2)), 1)
    deadlines.add(saved, 2)
    clock.advance(2)
    assert seen == []


def test_one_that_expires_may_clear_all() -> None:
    clock, seen = Clock(), list[str]()
    deadlines = Deadlines(clock)
    deadlines.add(Waiter(deadlines.clear), 1)
    deadlines.add(Waiter(lambda: seen.append("other")), 1)
    deadlines.add(Waiter(lambda: seen.append("later")), 2)
    clock.advance(1)
    assert seen == []
    assert clock.getDelayedCalls() == []


def test_one_that_expires_may_wait_again() -> None:
    clock, seen = Clock(), list[float]()
    deadlines = Deadlines(clock)

    def again() -> None:
        seen.append(clock.seconds())
        deadlines.add(waiter, 2)

    waiter = Waiter(again)
    deadlines.add(waiter, 2)
    clock.pump([2, 2, 2])
    assert seen == [2, 4, 6]


_LENGTHS = st.sampled_from([0.5, 1.0, 2.5, 7.0])


@given(st.lists(st.tuples(_LENGTHS, st.floats(0, 3), st.booleans()), max_size=30))
def test_whoever_is_not_removed_is_told_once_and_in_time(
    course: list[tuple[float, float, bool]],
) -> None:
    clock, told, expected = Clock(), list[tuple[int, float]](), list[tuple[int, float]]()
    deadlines = Deadlines(clock)
    for number, (seconds, pause, removed) in enumerate(course):
        waiter = Waiter(lambda number=number: told.append((number, clock.seconds())))  # type: ignore[misc]
        deadlines.add(waiter, seconds)
        if removed:
            deadlines.remove(waiter, seconds)
        else:
            expected.append((number, clock.seconds() + seconds))
        assert len(clock.getDelayedCalls()) <= 1
        clock.advance(pause)
    clock.advance(8)
    assert sorted(number for number, _ in told) == [number for number, _ in expected]
    assert all(at >= dict(expected)[number] for number, at in told)
    assert clock.getDelayedCalls() == []
