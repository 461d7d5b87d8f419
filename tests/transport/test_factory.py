"""A connection is handed out when it can be used, and a failure says where and why."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor, StringTransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.transport.peer import SPU_VERSIONS, PeerTestCase
from txfluvio.config import ClientConfig
from txfluvio.errors import ConnectFailed, HandshakeFailed, TlsRequired
from txfluvio.transport.factory import FluvioFactory, client_version, connect
from txfluvio.transport.protocol import CLOSE_GRACE, MAX_GREETING, FluvioProtocol
from txfluvio.wire.codes import Code, error
from txfluvio.wire.schema import evolve
from txfluvio.wire.semver import is_semver
from txfluvio.wire.versions import ApiVersionsRequest


class Saying(Factory):
    """A server of another kind: it says one thing and hangs up."""

    def __init__(self, words: bytes) -> None:
        self.words = words

    def buildProtocol(self, addr: object) -> Protocol:
        factory = self

        class Speaker(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(factory.words)
                self.transport.loseConnection()

        return Speaker()


@implementer(IStreamClientEndpoint)
class Stubborn:
    """An endpoint that waits for something before it connects, and connects though cancelled."""

    def __init__(self, below: IStreamClientEndpoint) -> None:
        self.below = below
        self.waits: Deferred[None] = Deferred()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        async def connect() -> IProtocol:
            try:
                await Deferred()
            except CancelledError:
                await self.waits
            return await self.below.connect(protocolFactory)

        return Deferred.fromCoroutine(connect())


class ConnectTests(PeerTestCase):
    def test_it_fires_after_the_exchange_of_versions(self) -> None:
        self.peers.greeting = None
        connecting = self.dial()
        self.assertNoResult(connecting)
        self.peer.reply(SPU_VERSIONS, 1)
        self.network.pump()
        protocol = self.successResultOf(connecting)
        self.assertTrue(protocol.usable)
        self.assertEqual(protocol.versions[1003].max_version, 25)
        self.assertEqual(protocol.platform_version, "0.0.0")

    def test_the_first_request_is_the_one_servers_insist_on(self) -> None:
        self.connected(client_id="tester")
        (header,), (hello,) = self.peer.headers, self.peer.bodies
        self.assertEqual(
            (header.api_key, header.api_version, header.correlation_id, header.client_id),
            (18, 2, 1, "tester"),
        )
        assert isinstance(hello, ApiVersionsRequest)
        self.assertTrue(is_semver(hello.client_version))
        self.assertEqual(hello.client_os, sys.platform)

    def test_the_version_of_the_library_is_a_semantic_version(self) -> None:
        self.assertTrue(is_semver(client_version()))

    def test_a_refused_connection_says_where_and_why(self) -> None:
        self.network.refuse("spu", 9005)
        failed = self.failureResultOf(self.dial(), ConnectFailed).value
        self.assertNotIsInstance(failed, HandshakeFailed)
        self.assertIn("can not connect to spu:9005: Connection was refused", str(failed))
        self.assertTrue(failed.retriable)

    def test_a_connection_that_never_comes_about_times_out(self) -> None:
        self.network.hang("spu", 9005)
        connecting = self.dial(connect_timeout=3)
        self.clock.advance(2.9)
        self.assertNoResult(connecting)
        self.clock.advance(0.1)
        self.assertIn("within 3 s", str(self.failureResultOf(connecting, ConnectFailed).value))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_peer_that_never_answers_fails_the_handshake(self) -> None:
        self.peers.greeting = None
        connecting = self.dial(handshake_timeout=2)
        self.clock.advance(2)
        failed = self.failureResultOf(connecting, HandshakeFailed).value
        self.assertIn("spu:9005 accepts connections, but", str(failed))
        self.assertIn("no answer within 2 s", str(failed))
        self.assert_nothing_left()

    def test_the_handshake_ends_with_the_time_for_the_whole(self) -> None:
        self.peers.greeting = None
        self.network.latency = 2
        connecting = self.dial(connect_timeout=5, handshake_timeout=4)
        self.clock.pump([2, 2.9])
        self.assertNoResult(connecting)
        self.clock.advance(0.1)
        self.failureResultOf(connecting, HandshakeFailed)

    def test_a_peer_that_hangs_up_fails_the_handshake(self) -> None:
        self.peers.greeting = None
        connecting = self.dial()
        self.peer.transport.loseConnection()
        self.network.pump()
        failed = self.failureResultOf(connecting, HandshakeFailed).value
        self.assertIn("the peer closed it", str(failed))

    def test_an_error_code_fails_the_handshake(self) -> None:
        self.peers.greeting = evolve(SPU_VERSIONS, error_code=error(Code.OTHER, text="go away"))
        failed = self.failureResultOf(self.dial(), HandshakeFailed).value
        self.assertIn("go away", str(failed))
        self.assert_nothing_left()

    def test_an_answer_that_can_not_be_read_fails_the_handshake(self) -> None:
        self.peers.greeting = None
        connecting = self.dial()
        self.peer.reply_bytes(1, b"\0\0\0\0\0\x09")
        self.network.pump()
        failed = self.failureResultOf(connecting, HandshakeFailed).value
        self.assertIn("ApiVersionsResponse.api_keys", str(failed))
        self.assert_nothing_left()

    def test_an_answer_that_is_far_too_long_fails_the_handshake_at_its_beginning(self) -> None:
        self.peers.greeting = None
        connecting = self.dial()
        self.peer.transport.write((MAX_GREETING + 1).to_bytes(4, "big"))
        self.network.pump()
        failed = self.failureResultOf(connecting, HandshakeFailed).value
        self.assertIn(f"over the limit of {MAX_GREETING} for the first one", str(failed))
        self.assert_nothing_left()

    def test_a_web_server_is_recognised(self) -> None:
        self.network.listen("web", 80, Saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        failed = self.failureResultOf(self.dial_at("web", 80), HandshakeFailed).value
        self.assertIn("the peer speaks HTTP, not Fluvio", str(failed))

    def test_a_web_server_is_recognised_by_its_first_bytes_however_cut(self) -> None:
        self.network.split = 1
        self.network.listen("web", 80, Saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        failed = self.failureResultOf(self.dial_at("web", 80), HandshakeFailed).value
        self.assertIn("the peer speaks HTTP, not Fluvio", str(failed))

    def test_a_tls_server_is_recognised_by_its_alert(self) -> None:
        self.network.listen("tls", 9003, Saying(bytes.fromhex("15030300020232")))
        failed = self.failureResultOf(self.dial_at("tls", 9003), TlsRequired).value
        self.assertIn("tls:9003 speaks TLS: set ClientConfig.tls", str(failed))
        self.assertFalse(failed.retriable)

    def test_cancelling_while_it_connects_leaves_nothing(self) -> None:
        self.network.hang("spu", 9005)
        connecting = self.dial()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assert_nothing_left()

    def test_what_an_endpoint_connects_though_it_was_cancelled_is_not_lost(self) -> None:
        endpoint = Stubborn(self.network.endpoint("spu", 9005))
        connecting = connect(endpoint, ClientConfig(endpoint="spu:9005"), clock=self.clock)
        connecting.cancel()
        self.assertNoResult(connecting)
        endpoint.waits.callback(None)
        self.network.pump()
        self.assertTrue(self.successResultOf(connecting).usable)

    def test_cancelling_in_the_handshake_leaves_nothing(self) -> None:
        self.peers.greeting = None
        connecting = self.dial()
        connecting.cancel()
        self.network.pump()
        self.failureResultOf(connecting, CancelledError)
        self.assert_nothing_left()
        self.assertEqual(len(self.peer.lost), 1)

    def test_however_often_it_is_cancelled_it_fires_when_the_connection_is_gone(self) -> None:
        self.peers.greeting = None
        connecting = self.dial()
        connecting.cancel()
        connecting.cancel()
        self.assertNoResult(connecting)
        self.network.pump()
        self.failureResultOf(connecting, CancelledError)
        self.assert_nothing_left()

    def test_a_transport_that_never_says_it_is_gone_is_not_waited_for_for_ever(self) -> None:
        connecting = self.over_a_silent_transport(handshake_timeout=2.0)
        self.clock.advance(2)
        self.assertNoResult(connecting)
        self.clock.advance(CLOSE_GRACE)
        failed = self.failureResultOf(connecting, HandshakeFailed).value
        self.assertIn("no answer within 2 s", str(failed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nor_where_it_is_cancelled_again_and_again(self) -> None:
        connecting = self.over_a_silent_transport()
        for _ in range(3):
            connecting.cancel()
            self.clock.advance(CLOSE_GRACE / 3)
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def over_a_silent_transport(self, **settings: Any) -> Deferred[FluvioProtocol]:
        """Connect over a transport that does nothing by itself."""
        reactor = MemoryReactor()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", 9005)
        connecting = connect(
            endpoint, ClientConfig(endpoint="spu:9005", **settings), clock=self.clock
        )
        ((_, _, factory, _, _),) = reactor.tcpClients
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 9005))
        protocol.makeConnection(StringTransport())
        return connecting

    def test_cancelling_afterwards_changes_nothing(self) -> None:
        connecting = self.dial()
        connecting.cancel()
        self.assertTrue(self.successResultOf(connecting).usable)

    def test_the_factory_is_one(self) -> None:
        factory = FluvioFactory(ClientConfig(endpoint="sc:9003"), clock=self.clock)
        verifyObject(IProtocolFactory, factory)
        self.assertEqual(factory.address, "sc:9003")

    def dial_at(self, host: str, port: int) -> Deferred[FluvioProtocol]:
        config = ClientConfig(endpoint=f"{host}:{port}")
        connecting = connect(self.network.endpoint(host, port), config, clock=self.clock)
        self.network.pump()
        return connecting

    def assert_nothing_left(self) -> None:
        self.network.pump()
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
