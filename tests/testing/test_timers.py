"""Delayed calls end with their owner."""

from __future__ import annotations

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
