"""The helpers for trial: used as in an application's tests, and when something is left over."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from txfluvio.errors import TopicNotFound, UsageError
from txfluvio.offset import Offset
from txfluvio.testing.faults import Fault, Match, NeverAnswer
from txfluvio.testing.trial import MemoryBrokerTestCase


class MemoryTests(MemoryBrokerTestCase):
    """All in memory."""

    broker_settings = {"spus": 2, "topics": {"orders": 2}}

    def test_a_client_speaks_with_the_cluster(self) -> None:
        client = self.start_client(client_id="shop")

        async def order() -> list[bytes]:
            async with client.producer("orders") as producer:
                await producer.send(b"a")
            async with client.consumer("orders", start=Offset.beginning()) as records:
                return [(await anext(records)).value]

        self.assertEqual(self.do(order()), [b"a"])
        self.assertEqual([record.value for record in self.broker.records("orders")], [b"a"])
        self.assertEqual(self.broker.journal.requests("Produce")[0].header.client_id, "shop")

    def test_time_goes_by_when_the_test_says_so(self) -> None:
        waiting: Deferred[str] = Deferred()
        self.clock.callLater(1.1, waiting.callback, "done")
        self.wait(1.0)
        self.assertNoResult(waiting)
        self.wait(0.1)
        self.assertEqual(self.result(waiting, seconds=0), "done")

    def test_a_failure_is_an_error_to_look_at(self) -> None:
        client = self.start_client()

        async def order() -> None:
            async with client.producer("nowhere"):
                pass

        error = self.failure(Deferred.fromCoroutine(order()), TopicNotFound, UsageError)
        self.assertIn("nowhere", str(error))


class Untidy(MemoryBrokerTestCase):
    """Leaves something over; run by the tests below."""

    def leaves_a_timer(self) -> None:
        self.clock.callLater(1, lambda: None)

    def leaves_a_fault(self) -> None:
        self.broker.plant(Fault(Match(), NeverAnswer()))

    def leaves_nothing(self) -> None:
        pass


def ran(name: str) -> list[Any]:
    """How a test of the class above failed."""
    result = unittest.TestResult()
    Untidy(name).run(result)
    return [text for _, text in (*result.failures, *result.errors)]


def test_nothing_may_be_left_over() -> None:
    (timer,) = ran("leaves_a_timer")
    assert "timers are left" in timer
    (fault,) = ran("leaves_a_fault")
    assert "planted, and never fired" in fault
    assert ran("leaves_nothing") == []


IN_THE_REACTOR = """
from twisted.trial.unittest import TestCase
from txfluvio.testing.faults import Fault, Match, NeverAnswer
from txfluvio.testing.trial import BrokerMixin

class OrderTests(BrokerMixin, TestCase):
    broker_settings = {"topics": {"orders": 1}}

    async def test_a_client_speaks_with_the_cluster(self):
        client = await self.start_client()
        async with client.producer("orders") as producer:
            await producer.send(b"a")
        self.assertEqual([record.value for record in self.broker.records("orders")], [b"a"])

    def test_a_fault_is_left(self):
        self.broker.plant(Fault(Match(), NeverAnswer()))
"""


def test_a_cluster_in_the_reactor_of_trial(tmp_path: Path) -> None:
    (tmp_path / "test_orders.py").write_text(IN_THE_REACTOR)
    ended = subprocess.run(
        [sys.executable, "-m", "twisted.trial", "test_orders"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        timeout=60,
    )
    said = ended.stdout.decode()
    assert "Ran 2 tests" in said
    assert "FAILED (errors=1, successes=1)" in said
    assert "planted, and never fired" in said
