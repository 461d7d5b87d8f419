"""A fake cluster, a console of it and its web, all in memory, the clock in the test's hands."""

from __future__ import annotations

import json
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from txfluvio.client import FluvioClient
from txfluvio.console.address import Address
from txfluvio.console.console import CLIENT_ID, Console
from txfluvio.console.fake import Fake
from txfluvio.console.web import Web, console_site
from txfluvio.testing import FakeBroker
from txfluvio.testing.control.calls import Control
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

T = TypeVar("T")

PORT = 8080
HERE = f"127.0.0.1:{PORT}"


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._network.endpoint("127.0.0.1", PORT)


@implementer(IBodyProducer)
class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


class _Collector(Protocol):
    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.whole.callback(self._data)


class Listener(Protocol):
    """Listens to server-sent events.

    :ivar events: the events that came, as (name, data), and were not taken.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.comments = 0
        self.ended = False
        self._rest = b""

    def dataReceived(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        for block in whole:
            lines = block.decode().split("\n")
            fields = dict(line.split(": ", 1) for line in lines if ": " in line)
            self.comments += block.startswith(b":")
            if "event" in fields:
                self.events.append((fields["event"], json.loads(fields["data"])))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True

    def take(self, name: str) -> list[Any]:
        """The data of the events of a name, which are forgotten."""
        taken = [data for event, data in self.events if event == name]
        self.events = [one for one in self.events if one[0] != name]
        return taken

    def go(self) -> None:
        """Listen no more."""
        transport: Any = self.transport
        transport.loseConnection()


class ConsoleCase(SynchronousTestCase):
    """Has a running fake cluster and a console of it on the air.

    :cvar SPUS: how many SPUs there are.
    :cvar TOPICS: the topics, and how many partitions each has.
    :cvar FAKE: whether the console knows that the cluster is a fake.
    :cvar WRITES: whether the console may produce.
    """

    SPUS = 1
    TOPICS: dict[str, Any] = {"orders": 1}
    FAKE = True
    WRITES = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.aside = MemoryNetwork(self.clock)
        self.broker = FakeBroker(
            self.clock, spus=self.SPUS, topics=self.TOPICS, network=self.network, aside=self.aside
        )
        self.result(self.broker.start())
        self.control = Control(self.broker, self.clock)
        config = self.broker.client_config(client_id=CLIENT_ID, idle_probe=1e6)
        self.console = Console(
            self.clock,
            config,
            writes=self.WRITES,
            dialer=MemoryDialer(self.aside, config, self.clock),
            fake=Fake(self.broker, self.control) if self.FAKE else None,
        )
        callers = Address(port=PORT).callers
        self.web = Web(self.console, callers, self.clock)
        self.http = MemoryNetwork(self.clock)
        self.port = self.http.listen("127.0.0.1", PORT, console_site(self.web, callers, self.clock))
        self.agent = Agent.usingEndpointFactory(self.clock, _Endpoints(self.http))
        self.console.start()
        self.wait(1)

    def tearDown(self) -> None:
        self.web.close()
        self.result(Deferred.fromCoroutine(self.console.stop()))
        self.result(self.broker.stop())
        self.port.stopListening()
        self.wait(1)
        for network in (self.network, self.aside, self.http):
            self.assertEqual(network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.advance(0)
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)

    def result(self, deferred: Deferred[T], seconds: float = 20.0) -> T:
        """What a Deferred fires with, when it has been given some time."""
        fired: list[object] = []

        def note(result: T) -> T:
            fired.append(result)
            return result

        # One that waits for another counts as called, so that it is better not asked.
        deferred.addBoth(note)
        self.clock.advance(0)
        while not fired and seconds > 0:
            self.clock.advance(0.25)
            seconds -= 0.25
        return self.successResultOf(deferred)

    def client(self) -> FluvioClient:
        """A client of somebody else, connected; it is closed at the end."""
        config = self.broker.client_config(idle_probe=1e6)
        dialer = MemoryDialer(self.network, config, self.clock)
        client = FluvioClient(self.clock, config, dialer=dialer, rng=Random(1))
        self.result(client.start())
        return client

    def close(self, client: FluvioClient) -> None:
        """Let a client go."""
        self.result(client.close())

    # HTTP

    def respond(
        self, method: str, path: str, fields: Any = None, headers: dict[str, str] | None = None
    ) -> IResponse:
        """The response to a request; with fields, they are sent as JSON."""
        given = {"host": HERE, **(headers or {})}
        body = None
        if fields is not None:
            body = _Body(fields if isinstance(fields, bytes) else json.dumps(fields).encode())
            given.setdefault("content-type", "application/json")
        made = Headers({name: [value] for name, value in given.items()})
        url = f"http://127.0.0.1:{PORT}{path}".encode()
        answered: Deferred[IResponse] = self.agent.request(method.encode(), url, made, body)
        return self.result(answered)

    def ask(
        self, method: str, path: str, fields: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of the answer to a request."""
        response = self.respond(method, path, fields, headers)
        return response.code, json.loads(self.body(response))

    def body(self, response: IResponse) -> bytes:
        """All of a response."""
        collected = _Collector()
        response.deliverBody(collected)
        return self.result(collected.whole)

    def listen(self, query: str) -> Listener:
        """Listen to the events of a view."""
        response = self.respond("GET", f"/api/events?{query}")
        self.assertEqual(response.code, 200)
        listener = Listener()
        response.deliverBody(listener)
        self.wait(1)
        return listener
