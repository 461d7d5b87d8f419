"""Whose turn it is: one piece of work after another at each server, and alone on all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.testing.faults import ServerId
from txfluvio.testing.turns import Turns


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.begun: list[str] = []
        self.ends: dict[str, Deferred[str]] = {}

    def work(self, name: str) -> Callable[[], Awaitable[str]]:
        """Work that ends when it is told to."""

        def begin() -> Deferred[str]:
            self.begun.append(name)
            self.ends[name] = Deferred()
            return self.ends[name]

        return begin

    def run_on(self, server: ServerId | None, name: str) -> Deferred[str]:
        return self.turns.run(self.work(name), server)

    def end(self, name: str) -> None:
        self.ends[name].callback(name)
        self.clock.advance(0)

    def test_work_begins_at_once_where_nobody_is_in_the_way(self) -> None:
        running = self.run_on(5001, "a")
        self.assertEqual(self.begun, ["a"])
        self.end("a")
        self.assertEqual(self.successResultOf(running), "a")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_after_another_at_one_server(self) -> None:
        for name in "abc":
            self.run_on(5001, name)
        self.assertEqual(self.begun, ["a"])
        self.end("a")
        self.assertEqual(self.begun, ["a", "b"])
        self.end("b")
        self.assertEqual(self.begun, ["a", "b", "c"])

    def test_servers_do_not_wait_for_each_other(self) -> None:
        self.run_on(5001, "a")
        self.run_on("SC", "b")
        self.assertEqual(self.begun, ["a", "b"])

    def test_work_on_all_waits_for_all_and_all_wait_for_it(self) -> None:
        self.run_on(5001, "a")
        self.run_on("SC", "b")
        self.run_on(None, "all")
        self.run_on(5002, "c")
        self.end("a")
        self.assertEqual(self.begun, ["a", "b"])
        self.end("b")
        self.assertEqual(self.begun, ["a", "b", "all"])
        self.end("all")
        self.assertEqual(self.begun, ["a", "b", "all", "c"])

    def test_what_fails_gives_its_turn_to_the_next(self) -> None:
        failing = self.run_on(5001, "a")
        self.run_on(5001, "b")
        self.ends["a"].errback(ValueError("no"))
        self.failureResultOf(failing, ValueError)
        self.clock.advance(0)
        self.assertEqual(self.begun, ["a", "b"])

    def test_cancelling_ends_the_waiting_and_not_the_work(self) -> None:
        working, waiting = self.run_on(5001, "a"), self.run_on(5001, "b")
        for one in (working, waiting):
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.end("a")
        self.assertEqual(self.begun, ["a", "b"])
        self.end("b")

    def test_what_fails_when_nobody_waits_any_more_is_in_the_log(self) -> None:
        running = self.run_on(5001, "a")
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.ends["a"].errback(ValueError("no"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
