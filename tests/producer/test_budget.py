"""Producers of one client share a bound on what they hold, and wait for it in turn."""

from __future__ import annotations

from collections import deque

from txfluvio.producer.budget import Budget


class Holder:
    """Wants to hold pieces of these sizes, and notes what it got in ``log``."""

    def __init__(self, budget: Budget, name: str, log: list[tuple[str, int]]) -> None:
        self.budget = budget
        self.name = name
        self.log = log
        self.wanted: deque[int] = deque()
        self.hurried = 0
        budget.join(self)

    def want(self, *sizes: int) -> None:
        self.wanted.extend(sizes)
        while self.wanted and self.budget.ask(self):
            self._take()

    def take_turn(self) -> bool:
        if self.wanted:
            self._take()
        return bool(self.wanted)

    def hurry(self) -> None:
        self.hurried += 1

    def _take(self) -> None:
        size = self.wanted.popleft()
        self.budget.take(size)
        self.log.append((self.name, size))


def holders(limit: int) -> tuple[Budget, Holder, Holder, list[tuple[str, int]]]:
    budget = Budget(limit)
    log: list[tuple[str, int]] = []
    return budget, Holder(budget, "a", log), Holder(budget, "b", log), log


def test_pieces_are_taken_in_until_the_limit_is_met() -> None:
    budget, a, _, log = holders(10)
    a.want(6, 6, 6)
    assert log == [("a", 6), ("a", 6)]
    assert budget.used == 12


def test_a_piece_larger_than_the_limit_passes_alone() -> None:
    budget, a, _, log = holders(10)
    a.want(50, 1)
    assert log == [("a", 50)]
    budget.give(50)
    assert log == [("a", 50), ("a", 1)]


def test_whoever_waits_longest_is_served_first() -> None:
    budget, a, b, log = holders(10)
    a.want(10, 1)
    b.want(2)
    budget.give(10)
    assert log == [("a", 10), ("a", 1), ("b", 2)]


def test_those_in_line_take_turns() -> None:
    budget, a, b, log = holders(10)
    a.want(10, 5, 5)
    b.want(5, 5)
    budget.give(10)
    assert log == [("a", 10), ("a", 5), ("b", 5)]
    budget.give(10)
    assert log[3:] == [("a", 5), ("b", 5)]


def test_a_newcomer_does_not_jump_the_line() -> None:
    budget, a, b, log = holders(10)
    a.want(8, 1)
    budget.take(2)
    a.want(7)
    b.want(1)
    assert log == [("a", 8), ("a", 1)]
    assert budget.tight
    budget.give(3)
    assert log[2:] == [("a", 7)]
    budget.give(7)
    assert log[3:] == [("b", 1)]


def test_everybody_is_told_to_hurry_when_the_first_begins_to_wait() -> None:
    _, a, b, _ = holders(10)
    a.want(10)
    assert (a.hurried, b.hurried) == (0, 0)
    b.want(1)
    assert (a.hurried, b.hurried) == (1, 1)
    a.want(1)
    assert (a.hurried, b.hurried) == (1, 1)


def test_it_is_tight_only_while_somebody_waits() -> None:
    budget, a, _, _ = holders(10)
    a.want(10)
    assert not budget.tight
    a.want(1)
    assert budget.tight
    budget.give(10)
    assert not budget.tight


def test_it_is_not_tight_once_nobody_waits_any_more() -> None:
    budget, a, _, log = holders(10)
    a.want(10, 1)
    budget.renounce(a)
    assert not budget.tight
    budget.give(10)
    assert log == [("a", 10)]


def test_who_has_left_is_not_told_to_hurry() -> None:
    budget, a, b, _ = holders(10)
    budget.leave(b)
    a.want(10, 1)
    assert (a.hurried, b.hurried) == (1, 0)


def test_who_leaves_the_line_is_not_called_and_blocks_nobody() -> None:
    budget, a, b, log = holders(10)
    a.want(10, 1)
    b.want(2)
    budget.leave(a)
    budget.give(10)
    assert log == [("a", 10), ("b", 2)]
