"""When a stream is tried again."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock

from txfluvio.cluster import Retrying
from txfluvio.config import RetryPolicy
from txfluvio.consumer.retries import Retries
from txfluvio.errors import Disconnected, PermissionDenied

LOST = Disconnected("spu:9010", "reset")


def retries(clock: Clock, deadline: float | None = None) -> Retries:
    policy = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0, deadline=deadline)
    return Retries(Retrying(policy, clock, Random(0)))


def test_waits_grow_while_attempts_fail() -> None:
    mine = retries(Clock())
    assert [mine.delay(LOST) for _ in range(4)] == [1.0, 2.0, 4.0, 4.0]


def test_they_begin_anew_when_something_was_received() -> None:
    mine = retries(Clock())
    mine.delay(LOST)
    mine.delay(LOST)
    mine.received()
    assert mine.delay(LOST) == 1.0


def test_they_begin_anew_when_a_stream_has_lasted() -> None:
    clock = Clock()
    mine = retries(clock)
    mine.delay(LOST)
    mine.delay(LOST)
    mine.opened()
    clock.advance(4.5)
    assert mine.delay(LOST) == 1.0


def test_a_stream_that_is_lost_at_once_counts_on() -> None:
    clock = Clock()
    mine = retries(clock)
    delays = []
    for _ in range(4):
        mine.opened()
        clock.advance(0.5)
        delays.append(mine.delay(LOST))
    assert delays == [1.0, 2.0, 4.0, 4.0]


def test_an_error_that_stays_is_not_tried_again() -> None:
    assert retries(Clock()).delay(PermissionDenied()) is None


def test_after_the_deadline_there_is_no_other_attempt() -> None:
    clock = Clock()
    mine = retries(clock, deadline=6.0)
    delays = []
    while (delay := mine.delay(LOST)) is not None:
        delays.append(delay)
        clock.advance(delay)
    assert delays == [1.0, 2.0]
