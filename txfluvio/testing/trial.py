"""Fake clusters for tests that are written for Twisted's trial, in two ways.

:class:`MemoryBrokerTestCase` has everything in memory: a network, and a clock that the test turns,
so that nothing is waited for and every run takes the same course::

    class OrderTests(MemoryBrokerTestCase):
        broker_settings = {"topics": {"orders": 1}}

        def test_an_order_is_stored(self) -> None:
            client = self.start_client()
            self.result(place_order(client, b"a"))
            self.assertEqual([record.value for record in self.broker.records("orders")], [b"a"])

:class:`BrokerMixin` has a cluster on loopback, in the reactor that runs the test.

Both have a :class:`~txfluvio.testing.broker.FakeBroker` as ``broker``, and end it, and every client
that they have made, with the test.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ..client import FluvioClient
from ..config import RetryPolicy
from ..transport.dialer import MemoryDialer
from ..transport.memory import MemoryNetwork
from .broker import FakeBroker

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds of the test's clock that a Deferred is given to fire."""

STEP = 0.25
"""Seconds by which the clock goes on while somebody waits."""


class MemoryBrokerTestCase(SynchronousTestCase):
    """A test with a running fake cluster in memory, and time in its hands.

    Nothing happens between two calls of :meth:`pump`, :meth:`wait` or what stands on them. At the
    end nothing may be left: no connection, no timer, no fault that never acted.

    :cvar broker_settings: what the cluster is made with, as FakeBroker takes it.
    :ivar clock: runs everything; ``clock.advance(seconds)`` lets time go by.
    :ivar network: between clients and cluster; it can split, delay, stall, lose and refuse.
    :ivar broker: the cluster.
    """

    broker_settings: ClassVar[Mapping[str, Any]] = {}

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.broker = FakeBroker(self.clock, network=self.network, **self.broker_settings)
        self._clients: list[FluvioClient] = []
        self.result(self.broker.start())

    def tearDown(self) -> None:
        for client in self._clients:
            self.result(client.close())
        self.result(self.broker.stop())
        self.pump()
        self.assertEqual(self.network.links, [], "connections are left")
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        super().tearDown()

    def start_client(self, **settings: Any) -> FluvioClient:
        """A client that is connected to the cluster; it is closed with the test.

        Between two attempts it waits without jitter, so that the same calls happen at the same
        times in every run.

        :param settings: of its ClientConfig, by name.
        """
        plain = {"retry": RetryPolicy(jitter=0.0), **settings}
        config = self.broker.client_config(**plain)
        dialer = MemoryDialer(self.network, config, self.clock)
        client = FluvioClient(self.clock, config, dialer=dialer, rng=Random(0))
        self._clients.append(client)
        self.result(client.start())
        return client

    def pump(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.advance(0)

    def wait(self, seconds: float) -> None:
        """Let time go by, in small steps."""
        self.pump()
        while seconds > 0:
            self.clock.advance(min(STEP, seconds))
            seconds -= STEP

    def result(self, waiting: Deferred[T], seconds: float = PATIENCE) -> T:
        """What a Deferred fires with, when it has been given some time."""
        self._give_time(waiting, seconds)
        return self.successResultOf(waiting)

    def failure(
        self, waiting: Deferred[Any], *kinds: type[BaseException], seconds: float = PATIENCE
    ) -> Any:
        """The error that a Deferred fails with, when it has been given some time.

        :param kinds: what it may be; anything where nothing is given.
        """
        self._give_time(waiting, seconds)
        return self.failureResultOf(waiting, *kinds).value

    def do(self, work: Coroutine[Any, Any, T], seconds: float = PATIENCE) -> T:
        """What a coroutine returns, when it has been given some time."""
        return self.result(Deferred.fromCoroutine(work), seconds)

    def _give_time(self, waiting: Deferred[Any], seconds: float) -> None:
        self.pump()
        while not waiting.called and seconds > 0:
            self.wait(STEP)
            seconds -= STEP


class BrokerMixin(_Base):
    """Gives a trial ``TestCase`` a running fake cluster in its reactor, on loopback.

    :cvar broker_settings: what the cluster is made with, as FakeBroker takes it.
    :ivar broker: the cluster.
    """

    broker_settings: ClassVar[Mapping[str, Any]] = {}

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # as trial allows
        from twisted.internet import reactor

        super().setUp()
        self._reactor = reactor
        self.broker = FakeBroker(reactor, **self.broker_settings)
        self.addCleanup(self.broker.stop)
        return self.broker.start()

    async def start_client(self, **settings: Any) -> FluvioClient:
        """A client that is connected to the cluster; it is closed with the test.

        :param settings: of its ClientConfig, by name.
        """
        client = FluvioClient(self._reactor, self.broker.client_config(**settings))
        self.addCleanup(client.close)
        await client.start()
        return client
