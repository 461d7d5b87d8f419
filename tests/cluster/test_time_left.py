"""The time that something may take: what is left of it, and what comes when there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.cluster import TimeLeft, within
from txfluvio.errors import ConnectFailed, RequestTimedOut


class Left(SynchronousTestCase):
    def test_it_gets_less_and_is_never_less_than_none(self) -> None:
        clock = Clock()
        clock.advance(100.0)
        left = TimeLeft.of(clock, 3.0)
        seen = [left.seconds]
        for seconds in (2.0, 1.0, 300.0):
            clock.advance(seconds)
            seen.append(left.seconds)
        self.assertEqual(seen, [3.0, 1.0, 0.0, 0.0])


class Within(SynchronousTestCase):
    def waited(self, cancelled: Callable[[Deferred[Any]], None] | None = None) -> Deferred[Any]:
        """What has not come within its second."""
        clock = Clock()
        wait: Deferred[Any] = Deferred(cancelled)
        within(wait, TimeLeft.of(clock, 1.0), lambda: RequestTimedOut("it", 1.0))
        clock.advance(0.5)
        self.assertNoResult(wait)
        clock.advance(0.5)
        return wait

    def test_what_does_not_come_in_time_is_cancelled_and_said_to_be_late(self) -> None:
        cancelled: list[Deferred[Any]] = []
        wait = self.waited(cancelled.append)
        self.failureResultOf(wait, RequestTimedOut)
        self.assertEqual(cancelled, [wait])

    def test_what_comes_all_the_same_is_kept(self) -> None:
        wait = self.waited(lambda waiting: waiting.callback("it"))
        self.assertEqual(self.successResultOf(wait), "it")

    def test_so_is_another_error(self) -> None:
        wait = self.waited(lambda waiting: waiting.errback(ConnectFailed("sc.test:9003", "no")))
        self.failureResultOf(wait, ConnectFailed)

    def test_nothing_is_late_that_was_cancelled_before(self) -> None:
        clock = Clock()
        wait: Deferred[Any] = Deferred()
        within(wait, TimeLeft.of(clock, 1.0), lambda: RequestTimedOut("it", 1.0))
        wait.cancel()
        self.failureResultOf(wait, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_without_time_it_is_late_at_once(self) -> None:
        clock = Clock()
        wait: Deferred[Any] = Deferred()
        within(wait, TimeLeft.of(clock, -1.0), lambda: RequestTimedOut("it", 1.0))
        clock.advance(0)
        self.failureResultOf(wait, RequestTimedOut)
