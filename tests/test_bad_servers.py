"""Whatever answers at the SC's address, a client's start ends in time and says what it met."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, LoopingCall
from twisted.python.failure import Failure

from txfluvio.client import FluvioClient
from txfluvio.config import ClientConfig, TlsConfig
from txfluvio.errors import ConnectFailed, HandshakeFailed, NotTls, TlsRequired
from txfluvio.testing import FakeTls
from txfluvio.testing.server.protocol import Server
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork, MemoryTransport

CONNECT_TIMEOUT = 10.0
TLS = FakeTls()


class Bad(Protocol):
    """A server that says nothing."""

    transport: MemoryTransport
    clock: Clock


class Dribbling(Bad):
    """Sends a frame, or what might be one, a byte a second."""

    def connectionMade(self) -> None:
        self.words = iter(b"\0\0\1\0\0\0\0\1" + bytes(1000))
        self.call = LoopingCall(self.say)
        self.call.clock = self.clock
        self.call.start(1.0)

    def say(self) -> None:
        self.transport.write(bytes([next(self.words)]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.call.stop()


class Closing(Bad):
    """Accepts and closes."""

    def connectionMade(self) -> None:
        self.transport.loseConnection()


class Web(Bad):
    """Takes whatever comes for a bad request."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        self.transport.loseConnection()


class Greeting(Bad):
    """Speaks first, and neither Fluvio nor TLS."""

    def connectionMade(self) -> None:
        self.transport.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def listen(network: MemoryNetwork, clock: Clock, kind: type[Bad]) -> None:
    def build() -> Bad:
        protocol = kind()
        protocol.clock = clock
        return protocol

    network.listen("sc", 9003, Factory.forProtocol(build))


def listen_tls(network: MemoryNetwork, clock: Clock) -> None:
    server = Server("SC", None, count=lambda: 1)  # type: ignore[arg-type]
    network.listen("sc", 9003, TLS.in_front_of(server, clock))


def started(tls: TlsConfig | None, serve: Callable[[MemoryNetwork, Clock], None]) -> ConnectFailed:
    """How the start of a client fails; it leaves nothing behind."""
    clock = Clock()
    network = MemoryNetwork(clock)
    serve(network, clock)
    config = ClientConfig(endpoint="sc:9003", tls=tls, connect_timeout=CONNECT_TIMEOUT)
    dialer = MemoryDialer(network, config, clock)
    client = FluvioClient(clock, config, dialer=dialer, rng=Random(1))
    outcome: list[object] = []
    client.start().addBoth(outcome.append)
    while not outcome and clock.seconds() < CONNECT_TIMEOUT:
        clock.advance(0.25)
    clock.advance(0)
    assert network.links == []
    assert clock.getDelayedCalls() == []
    (failure,) = outcome
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, ConnectFailed)
    assert failure.value.address == "sc:9003"
    return failure.value


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Bad, "no answer within 5 s"),
        (Dribbling, "no answer within 5 s"),
        (Closing, "the peer closed it"),
        (Web, "the peer speaks HTTP, not Fluvio"),
        (Greeting, "over the limit"),
    ],
)
def test_a_plain_client(kind: type[Bad], words: str) -> None:
    error = started(None, lambda network, clock: listen(network, clock, kind))
    assert type(error) is HandshakeFailed
    assert words in str(error)


def test_a_plain_client_at_a_tls_port() -> None:
    error = started(None, listen_tls)
    assert type(error) is TlsRequired
    assert "speaks TLS: set ClientConfig.tls" in str(error)


@pytest.mark.parametrize(
    ("kind", "error_class", "words"),
    [
        (Bad, HandshakeFailed, "it says nothing at all; so does a plain Fluvio port"),
        (Dribbling, NotTls, "does not speak TLS"),
        (Closing, HandshakeFailed, "was lost"),
        (Web, NotTls, "does not speak TLS"),
        (Greeting, NotTls, "does not speak TLS"),
    ],
)
def test_a_client_with_tls(kind: type[Bad], error_class: type[ConnectFailed], words: str) -> None:
    error = started(TLS.client_config(), lambda network, clock: listen(network, clock, kind))
    assert type(error) is error_class
    assert words in str(error)
