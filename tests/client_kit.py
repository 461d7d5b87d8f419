"""A client and a fake cluster, all in memory, with the clock in the test's hands."""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.client import FluvioClient
from txfluvio.config import RetryPolicy
from txfluvio.testing import FakeBroker
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

T = TypeVar("T")


class ClientCase(SynchronousTestCase):
    """Has a running broker, and a client of it that is not started.

    :cvar SPUS: how many SPUs there are.
    :cvar TOPICS: the topics, and how many partitions each has.
    """

    SPUS = 1
    TOPICS: dict[str, Any] = {}

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.start_broker()
        self.client = self.make_client()

    def start_broker(self, **settings: Any) -> None:
        """Have another broker, with these settings."""
        self.broker = FakeBroker(
            self.clock, spus=self.SPUS, topics=self.TOPICS, network=self.network, **settings
        )
        self.result(self.broker.start())

    def tearDown(self) -> None:
        self.result(self.client.close())
        self.result(self.broker.stop())
        self.turn()
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def make_client(self, **settings: Any) -> FluvioClient:
        """A client with these settings."""
        retry = RetryPolicy(initial=0.5, maximum=4.0, jitter=0.0)
        config = self.broker.client_config(**{"retry": retry, "idle_probe": 1e6, **settings})
        dialer = MemoryDialer(self.network, config, self.clock)
        return FluvioClient(self.clock, config, dialer=dialer, rng=Random(1))

    def turn(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.advance(0)

    def wait(self, seconds: float, step: float = 0.25) -> None:
        """Let time go by, a step at a time."""
        self.turn()
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def settle(self, deferred: Deferred[Any], seconds: float) -> None:
        """Let time go by until a Deferred has fired, but no longer than this."""
        self.turn()
        while not deferred.called and seconds > 0:
            self.wait(0.25)
            seconds -= 0.25

    def result(self, deferred: Deferred[T], seconds: float = 20.0) -> T:
        """What a Deferred fires with, when it has been given some time."""
        self.settle(deferred, seconds)
        return self.successResultOf(deferred)

    def failure(
        self, deferred: Deferred[Any], *kinds: type[BaseException], seconds: float = 20.0
    ) -> Any:
        """The error a Deferred fails with, when it has been given some time."""
        self.settle(deferred, seconds)
        return self.failureResultOf(deferred, *kinds).value

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns."""
        return self.result(Deferred.fromCoroutine(work))
