"""Delayed calls end with their owner."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txfluvio.testing.timers import Timers


def test_a_call_without_delay_happens_in_a_turn_of_its_own() -> None:
    clock, seen = Clock(), list[str]()
    Timers(clock).later(0, seen.append, "now")
    assert seen == []
    clock.advance(0)
    assert seen == ["now"]


def test_a_call_may_be_called_off_before_and_after() -> None:
    clock, seen = Clock(), list[str]()
    timers = Timers(clock)
    cancel = timers.later(1, seen.append, "one")
    done = timers.later(1, seen.append, "two")
    cancel()
    clock.advance(1)
    cancel()
    done()
    assert seen == ["two"]


def test_a_stopped_owner_leaves_nothing_in_the_scheduler() -> None:
    clock, seen = Clock(), list[str]()
    timers = Timers(clock)
    timers.later(1, seen.append, "one")
    timers.stop()
    timers.later(0, seen.append, "two")()
    assert clock.getDelayedCalls() == []
    clock.advance(2)
    assert seen == []


def test_a_call_may_stop_its_owner() -> None:
    clock = Clock()
    timers = Timers(clock)
    timers.later(1, timers.stop)
    timers.later(1, timers.stop)
    clock.advance(1)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("end", ["in time", "too late", "given up"])
def test_a_wait_with_a_limit_ends_in_one_way_and_is_tidied_up(end: str) -> None:
    clock, seen = Clock(), list[str]()
    waiter: Deferred[bool] = Deferred()
    Timers(clock).limit(waiter, 1.0, lambda: seen.append("forgotten"))
    results: list[bool | str] = []
    waiter.addCallbacks(results.append, lambda failure: results.append(failure.type.__name__))
    clock.advance(0.5)
    assert (results, seen) == ([], [])
    if end == "in time":
        waiter.callback(True)
    elif end == "too late":
        clock.advance(0.5)
    else:
        waiter.cancel()
    expected = {"in time": True, "too late": False, "given up": "CancelledError"}
    assert results == [expected[end]]
    assert seen == ["forgotten"]
    assert clock.getDelayedCalls() == []
