"""The bytes the streams of one consumer may hold together."""

from __future__ import annotations

import pytest

from txfluvio.consumer.budget import Budget, slot_size


class Asker:
    """A stream as the budget sees it."""

    def __init__(self, budget: Budget, slot: int) -> None:
        self.budget = budget
        self.allowance = budget.join(slot)
        self.grants = 0

    def ask(self, size: int | None = None, *, large: bool = False) -> bool:
        before = self.grants
        slot = self.allowance.slot
        self.allowance.ask(slot if size is None else size, self._got, large=large)
        return self.grants > before

    def _got(self) -> None:
        self.grants += 1

    def receive(self, size: int) -> None:
        self.allowance.account(held=self.allowance.held + size, credit=0)

    def hand_out(self, size: int) -> None:
        self.allowance.account(held=self.allowance.held - size)


def test_one_stream_is_asked_for_more_until_the_budget_is_spent() -> None:
    asker = Asker(Budget(100), 30)
    for _ in range(3):
        assert asker.ask()
        asker.receive(30)
    assert not asker.ask()
    assert asker.budget.counted == 90


def test_what_is_handed_out_makes_room_for_the_next() -> None:
    asker = Asker(Budget(100), 60)
    asker.ask()
    asker.receive(60)
    assert not asker.ask()
    asker.hand_out(60)
    assert asker.grants == 2


def test_every_stream_gets_its_slot_whatever_the_others_hold() -> None:
    budget = Budget(100)
    greedy, late = Asker(budget, 25), Asker(budget, 25)
    while greedy.ask():
        greedy.receive(25)
    assert late.ask()
    assert budget.counted <= 100


def test_a_smaller_push_than_granted_gives_the_rest_back() -> None:
    asker = Asker(Budget(100), 60)
    asker.ask()
    asker.receive(10)
    assert asker.ask()


def test_those_who_wait_are_served_in_their_order() -> None:
    budget = Budget(100)
    holder, first, second = (Asker(budget, 20) for _ in range(3))
    holder.ask()
    holder.receive(20)
    holder.ask(40)
    holder.receive(40)
    for asker in (first, second):
        asker.ask()
        asker.receive(20)
        assert not asker.ask()
    holder.hand_out(20)
    assert (first.grants, second.grants) == (2, 1)
    holder.hand_out(20)
    assert (first.grants, second.grants) == (2, 2)


def test_a_request_can_be_withdrawn() -> None:
    asker = Asker(Budget(50), 50)
    asker.ask()
    asker.receive(50)
    asker.ask()
    asker.allowance.withdraw()
    asker.hand_out(50)
    assert asker.grants == 1
    assert asker.ask()


def test_a_paused_stream_is_granted_nothing_until_it_goes_on() -> None:
    asker = Asker(Budget(100), 50)
    asker.allowance.pause()
    assert not asker.ask()
    asker.allowance.resume()
    assert asker.grants == 1
    asker.allowance.resume()
    assert asker.grants == 1


def test_a_stream_that_is_paused_while_it_waits_loses_no_demand() -> None:
    asker = Asker(Budget(50), 50)
    asker.ask()
    asker.receive(50)
    asker.ask()
    asker.allowance.pause()
    asker.hand_out(50)
    assert asker.grants == 1
    asker.allowance.resume()
    assert asker.grants == 2


def test_a_batch_that_does_not_fit_comes_when_nothing_else_can_be_handed_out() -> None:
    budget = Budget(100)
    asker, other = Asker(budget, 50), Asker(budget, 50)
    assert not asker.ask(400, large=True)
    budget.idle(True)
    assert asker.grants == 1
    assert asker.allowance.excessive
    assert not other.ask(400, large=True)


def test_the_next_large_batch_comes_when_the_first_was_handed_out() -> None:
    budget = Budget(100)
    asker, other = Asker(budget, 50), Asker(budget, 50)
    budget.idle(True)
    asker.ask(400, large=True)
    other.ask(400, large=True)
    asker.receive(400)
    budget.idle(False)
    asker.hand_out(400)
    assert other.grants == 0
    budget.idle(True)
    assert other.grants == 1


def test_waiting_in_vain_alone_does_not_overdraw_for_small_requests() -> None:
    budget = Budget(100)
    asker = Asker(budget, 60)
    asker.ask()
    asker.receive(60)
    budget.idle(True)
    assert not asker.ask()


def test_a_stream_that_joins_a_full_budget_waits_for_room() -> None:
    budget = Budget(100)
    full = Asker(budget, 50)
    full.ask(100)
    full.receive(100)
    full.allowance.resize(25)
    late = Asker(budget, 25)
    assert not late.ask()
    full.hand_out(50)
    assert late.grants == 1


def test_where_not_even_the_slots_fit_each_stream_still_gets_its_own() -> None:
    budget = Budget(1)
    askers = [Asker(budget, 1) for _ in range(3)]
    assert all(asker.ask() for asker in askers)


def test_a_stream_that_leaves_makes_room() -> None:
    budget = Budget(100)
    leaving, staying = Asker(budget, 50), Asker(budget, 50)
    leaving.ask()
    staying.ask()
    staying.receive(50)
    assert not staying.ask()
    leaving.allowance.leave()
    assert staying.grants == 2
    assert budget.counted == 100


def test_a_smaller_slot_makes_room() -> None:
    budget = Budget(100)
    asker, other = Asker(budget, 50), Asker(budget, 50)
    other.ask()
    other.receive(50)
    other.ask(30)
    asker.allowance.resize(20)
    assert other.grants == 2


@pytest.mark.parametrize(
    ("streams", "slot"), [(0, 100), (1, 100), (2, 64), (3, 32), (4, 32), (5, 16), (1000, 1)]
)
def test_the_budget_is_divided_among_the_streams(streams: int, slot: int) -> None:
    assert slot_size(128, streams, 100) == slot


def test_slots_of_any_number_of_streams_fit_the_budget() -> None:
    assert all(slot_size(10_000, n, 10**9) * n <= 10_000 for n in range(1, 1000))


def test_an_allowance_counts_its_slot_or_what_is_used_if_that_is_more() -> None:
    budget = Budget(1000)
    allowance = budget.join(100)
    allowance.account(held=30, credit=50)
    assert budget.counted == 100
    allowance.account(held=90)
    assert budget.counted == 140
