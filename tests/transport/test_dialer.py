"""Dialling gives a connection that can be used, over TCP and in memory alike."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.transport.peer import ANSWER, ASK, SPU_VERSIONS, Peer, Peers, PeerTestCase
from txfluvio.config import ClientConfig, TlsConfig
from txfluvio.errors import ClientCertificateRequired, ConnectFailed, Disconnected, InvalidHostName
from txfluvio.testing.server import certificates
from txfluvio.testing.server.tls import server_options
from txfluvio.transport.dialer import Dialer, MemoryDialer, TcpDialer

the_reactor: Any = reactor
with_reactor: Callable[[Callable[[], Coroutine[Any, Any, None]]], Callable[[], object]] = (
    pytest_twisted.ensureDeferred
)


class MemoryDialerTests(PeerTestCase):
    def setUp(self) -> None:
        super().setUp()
        config = ClientConfig(endpoint="sc:9003", connect_timeout=3)
        self.dialer: Dialer = MemoryDialer(self.network, config, self.clock)

    def test_it_dials_what_it_is_told_to(self) -> None:
        dialling = self.dialer.dial("spu", 9005)
        self.network.pump()
        protocol = self.successResultOf(dialling)
        self.assertEqual((protocol.address, protocol.usable), ("spu:9005", True))

    def test_a_failure_says_what_was_dialled(self) -> None:
        dialling = self.dialer.dial("::1", 9010)
        self.network.pump()
        self.assertIn("[::1]:9010", str(self.failureResultOf(dialling, ConnectFailed).value))

    def test_a_name_that_no_host_can_have_is_not_dialled_again(self) -> None:
        for host in ("a..b", ".a", "", "x" * 64 + ".test", "x." * 128, "a b", "a\0b", "\ud800"):
            with self.subTest(host):
                failed = self.failureResultOf(self.dialer.dial(host, 9005), InvalidHostName).value
                self.assertFalse(failed.retriable)
                self.assertEqual(failed.address, f"{host}:9005")

    def test_its_patience_is_that_of_the_settings(self) -> None:
        self.network.hang("spu", 9005)
        dialling = self.dialer.dial("spu", 9005)
        self.clock.advance(3)
        self.assertIn("within 3 s", str(self.failureResultOf(dialling, ConnectFailed).value))
        self.assertEqual(self.clock.getDelayedCalls(), [])


def test_an_address_is_dialled_without_resolving_it() -> None:
    memory = MemoryReactorClock()
    config = ClientConfig(endpoint="sc:9003")
    for host in ("127.0.0.1", "::1"):
        dialling = TcpDialer(memory, config).dial(host, 9005)
        assert memory.tcpClients[-1][:2] == (host, 9005)
        dialling.addErrback(lambda failure: None).cancel()


@implementer(IHostnameResolver)
class Resolver:
    """Notes what it is asked for, and knows these addresses for whatever that is."""

    def __init__(self, *addresses: IAddress) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def resolveHostName(
        self, receiver: IResolutionReceiver, name: str, port: int = 0, *more: Any
    ) -> IHostResolution:
        self.asked.append(name)
        resolution = cast(IHostResolution, None)
        receiver.resolutionBegan(resolution)
        for address in self.addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()
        return resolution


@implementer(IReactorPluggableNameResolver)
class NamingReactor(MemoryReactorClock):
    """A reactor in memory with a resolver, which those of older releases of Twisted lack."""

    def __init__(self, resolver: Resolver) -> None:
        super().__init__()
        self.nameResolver = resolver


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("sc.example", "sc.example"),
        ("fluvio_sc", "fluvio_sc"),
        ("ab--c.example.", "ab--c.example."),
        ("-odd-", "-odd-"),
        ("stra\xdfe.example", "xn--strae-oqa.example"),
    ],
)
def test_a_resolver_is_asked_for_the_name_as_it_is(host: str, asked: str) -> None:
    resolver = Resolver(IPv4Address("TCP", "10.0.0.1", 9005))
    memory = NamingReactor(resolver)
    dialling = TcpDialer(memory, ClientConfig(endpoint="sc:9003")).dial(host, 9005)
    assert resolver.asked == [asked]
    assert memory.tcpClients[-1][:2] == ("10.0.0.1", 9005)
    dialling.addErrback(lambda failure: None).cancel()


def test_of_several_addresses_the_next_is_dialled_before_the_first_has_failed() -> None:
    addresses = IPv6Address("TCP", "::2", 9005), IPv4Address("TCP", "10.0.0.1", 9005)
    memory = NamingReactor(Resolver(*addresses))
    dialling = TcpDialer(memory, ClientConfig(endpoint="sc:9003")).dial("fluvio_sc", 9005)
    memory.advance(1)
    assert [client[0] for client in memory.tcpClients] == ["::2", "10.0.0.1"]
    dialling.addErrback(lambda failure: None).cancel()


def test_a_name_without_an_address_is_named() -> None:
    dialling = TcpDialer(NamingReactor(Resolver()), ClientConfig(endpoint="sc:9003")).dial(
        "fluvio_sc", 9005
    )
    failures: list[Any] = []
    dialling.addErrback(failures.append)
    assert type(failures[0].value) is ConnectFailed
    assert failures[0].value.reason.endswith("no address is known for fluvio_sc")


class SlowResolver(Resolver):
    """Has not found anything yet."""

    def resolveHostName(
        self, receiver: IResolutionReceiver, name: str, port: int = 0, *more: Any
    ) -> IHostResolution:
        resolution = cast(IHostResolution, None)
        receiver.resolutionBegan(resolution)
        return resolution


def test_cancelled_while_a_name_is_resolved_it_is_cancelled() -> None:
    dialer = TcpDialer(NamingReactor(SlowResolver()), ClientConfig(endpoint="sc:9003"))
    dialling = dialer.dial("sc.example", 9005)
    failures: list[Any] = []
    dialling.addErrback(failures.append)
    dialling.cancel()
    assert type(failures[0].value) is CancelledError


def test_a_name_that_takes_too_long_to_resolve_is_told_as_that() -> None:
    memory = NamingReactor(SlowResolver())
    dialling = TcpDialer(memory, ClientConfig(endpoint="sc:9003", connect_timeout=3)).dial(
        "sc.example", 9005
    )
    failures: list[Any] = []
    dialling.addErrback(failures.append)
    memory.advance(3)
    assert type(failures[0].value) is ConnectFailed
    assert failures[0].value.reason.endswith("within 3 s")
    assert memory.getDelayedCalls() == []


class LastingPeer(Peer):
    """A peer that answers what it is asked, and says when its connection is lost."""

    def __init__(self) -> None:
        super().__init__(SPU_VERSIONS)
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        known = len(self.headers)
        super().dataReceived(data)
        for header in self.headers[known:]:
            if header.api_key == ASK.api.key:
                self.reply(ANSWER, header.correlation_id)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)


class LastingPeers(Peers):
    def buildProtocol(self, addr: object) -> LastingPeer:
        peer = LastingPeer()
        self.built.append(peer)
        return peer


@with_reactor
async def test_over_loopback() -> None:
    peers = LastingPeers()
    port = await TCP4ServerEndpoint(the_reactor, 0, interface="127.0.0.1").listen(peers)
    dialer = TcpDialer(the_reactor, ClientConfig(endpoint="sc:9003", keepalive=15))
    protocol = await dialer.dial("127.0.0.1", port.getHost().port)
    (peer,) = peers.built

    tcp = protocol.transport.getHandle()  # type: ignore[union-attr]
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15

    asking = [protocol.request(ASK) for _ in range(100)]
    for deferred in asking:
        assert await deferred == ANSWER

    closed = protocol.when_closed()
    protocol.close()
    assert isinstance(await closed, Disconnected)
    assert isinstance(peer, LastingPeer)
    await peer.gone
    await port.stopListening()


@with_reactor
async def test_over_tls_on_loopback() -> None:
    authority = certificates.authority()
    server = server_options(certificates.issue(authority, "127.0.0.1"), clients_of=authority)
    client = certificates.issue(authority)
    peers = LastingPeers()
    listening = TCP4ServerEndpoint(the_reactor, 0, interface="127.0.0.1")
    port = await listening.listen(TLSMemoryBIOFactory(server, False, peers, clock=the_reactor))

    anonymous = TlsConfig(ca_pem=authority.pem)
    known = attrs.evolve(anonymous, cert_pem=client.pem, key_pem=client.key_pem)
    config = ClientConfig(endpoint="sc:9003", tls=anonymous)
    number = port.getHost().port
    with pytest.raises(ClientCertificateRequired):
        await TcpDialer(the_reactor, config).dial("127.0.0.1", number)

    dialer = TcpDialer(the_reactor, attrs.evolve(config, tls=known))
    protocol = await dialer.dial("127.0.0.1", number)
    below = protocol.transport.transport.getHandle()  # type: ignore[union-attr]
    assert below.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert await protocol.request(ASK) == ANSWER

    closed = protocol.when_closed()
    protocol.close()
    await closed
    for peer in peers.built:
        assert isinstance(peer, LastingPeer)
        await peer.gone
    await port.stopListening()


@with_reactor
async def test_nobody_listens_on_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    dialer = TcpDialer(the_reactor, ClientConfig(endpoint="sc:9003"))
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ConnectFailed, match=f"{host}:{free}.*refused"):
            await dialer.dial(host, free)
