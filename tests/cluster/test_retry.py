"""Trying again: what each attempt is told, and how attempts that fail in a row become rarer."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.cluster import Attempts, Retrying
from txfluvio.cluster.retry import may_succeed
from txfluvio.config import RetryPolicy
from txfluvio.errors import ConnectFailed, Effect, RequestTimedOut


class Calling(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        policy = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0)
        self.retrying = Retrying(policy, self.clock, Random(1))
        self.left: list[float] = []

    async def attempt(self, left: float) -> None:
        self.left.append(left)
        raise ConnectFailed("sc.test:9003", "refused")

    def test_each_is_told_what_is_left(self) -> None:
        calling = Deferred.fromCoroutine(
            self.retrying.call(self.attempt, seconds=3.5, again=may_succeed)
        )
        self.clock.pump([1.0, 2.0])
        self.failureResultOf(calling, ConnectFailed)
        self.assertEqual(self.left, [3.5, 2.5, 0.5])

    def test_one_that_comes_too_late_is_told_that_nothing_is_left(self) -> None:
        calling = Deferred.fromCoroutine(
            self.retrying.call(self.attempt, seconds=3.5, again=may_succeed)
        )
        self.clock.advance(300.0)
        self.failureResultOf(calling, ConnectFailed)
        self.assertEqual(self.left, [3.5, 0.0])

    def test_one_that_did_nothing_says_that_one_before_it_may_have(self) -> None:
        errors = [RequestTimedOut("a call", 1.0), ConnectFailed("sc.test:9003", "refused")]

        async def attempt(left: float) -> None:
            raise errors.pop(0)

        calling = Deferred.fromCoroutine(
            self.retrying.call(attempt, seconds=1.5, again=may_succeed)
        )
        self.clock.advance(1.0)
        error = self.failureResultOf(calling, ConnectFailed).value
        self.assertIs(error.effect, Effect.UNKNOWN)


def attempts(clock: Clock, deadline: float | None = None) -> Attempts:
    policy = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0, deadline=deadline)
    return Attempts(Retrying(policy, clock, Random(0)))


def test_waits_grow_while_attempts_fail() -> None:
    mine = attempts(Clock())
    assert [mine.fail() for _ in range(4)] == [1.0, 2.0, 4.0, 4.0]
    assert mine.failed == 4


def test_they_begin_anew_after_a_success() -> None:
    mine = attempts(Clock())
    mine.fail()
    mine.fail()
    mine.succeed()
    assert mine.fail() == 1.0


def test_what_has_lasted_was_a_success() -> None:
    clock = Clock()
    mine = attempts(clock)
    mine.fail()
    mine.fail()
    mine.begin()
    clock.advance(4.0)
    assert mine.fail() == 1.0


def test_what_has_lasted_was_a_success_also_where_another_began_after_it() -> None:
    clock = Clock()
    mine = attempts(clock, deadline=10.0)
    mine.fail()
    mine.begin()
    clock.advance(100.0)
    mine.begin()
    clock.advance(1.0)
    assert mine.fail() == 1.0
    assert mine.in_time(1.0)


def test_what_has_lasted_until_after_the_deadline_was_a_success() -> None:
    clock = Clock()
    mine = attempts(clock, deadline=2.0)
    mine.fail()
    mine.begin()
    clock.advance(2.5)
    assert mine.in_time(mine.fail())


def test_what_has_lasted_without_doing_anything_was_none() -> None:
    clock = Clock()
    mine = attempts(clock)
    mine.fail()
    mine.begin()
    clock.advance(4.0)
    assert mine.fail(worked=False) == 2.0


def test_what_failed_counts_no_more_after_a_time_in_which_nothing_was_tried() -> None:
    clock = Clock()
    mine = attempts(clock, deadline=10.0)
    mine.fail()
    clock.advance(3.0)
    mine.resume()
    assert mine.fail() == 2.0
    clock.advance(100.0)
    mine.resume()
    assert mine.fail() == 1.0
    assert mine.in_time(1.0)


def test_what_ends_at_once_counts_on() -> None:
    clock = Clock()
    mine = attempts(clock)
    delays = []
    for _ in range(4):
        mine.begin()
        clock.advance(0.5)
        delays.append(mine.fail())
    assert delays == [1.0, 2.0, 4.0, 4.0]


def test_what_has_lasted_counts_once() -> None:
    clock = Clock()
    mine = attempts(clock)
    mine.begin()
    clock.advance(4.0)
    assert [mine.fail(), mine.fail()] == [1.0, 2.0]


def test_an_attempt_in_time_begins_before_the_deadline_from_the_first_failure_on() -> None:
    clock = Clock()
    mine = attempts(clock, deadline=6.0)
    assert mine.in_time(100.0)
    delays = []
    while mine.in_time(delay := mine.fail()):
        delays.append(delay)
        clock.advance(delay)
    assert delays == [1.0, 2.0]


def test_the_time_in_which_there_was_nothing_to_try_is_not_of_the_deadline() -> None:
    clock = Clock()
    mine = attempts(clock, deadline=5.0)
    mine.fail()
    with mine.waiting():
        clock.advance(20.0)
    mine.fail()
    assert mine.in_time(4.9)
    assert not mine.in_time(5.0)


def test_without_a_deadline_every_attempt_is_in_time() -> None:
    mine = attempts(Clock())
    mine.fail()
    assert mine.in_time(1e9)
