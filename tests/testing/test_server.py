"""A server's end of a connection: order, silence, closing, and what is never read."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.testing.sc_kit import Client, Transport
from tests.testing.spu_kit import ORDERS, PLENTY, Kit, entry, fetch, produce
from txfluvio.errors import ProtocolError
from txfluvio.testing.server.protocol import GRACE, Complaint, Connection, Incoming, Server
from txfluvio.wire.headers import encode_request
from txfluvio.wire.records import encode_batch
from txfluvio.wire.versions import ApiVersionsRequest, ApiVersionsResponse

ANSWER = ApiVersionsResponse(api_keys=(), platform_version="1.0.0")
ONE = encode_batch([b"x"])


class Service:
    """Answers when a test says so."""

    def __init__(self) -> None:
        self.requests: list[Incoming] = []
        self.waiting: list[Deferred[None]] = []
        self.connections: list[Connection] = []
        self.waits = False
        self.stays = False
        self.raises: Exception | None = None

    def requested(self, request: Incoming, connection: Connection) -> Deferred[None] | None:
        self.requests.append(request)
        self.connections.append(connection)
        if self.raises is not None:
            raise self.raises
        if not self.waits:
            connection.reply(ANSWER, request)
            return None
        done: Deferred[None] = Deferred()
        done.addCallback(lambda _: connection.reply(ANSWER, request))
        self.waiting.append(done)
        return done

    def identified(self, connection: Connection) -> None:
        """Everybody is served."""

    def half_alive(self, connection: Connection) -> bool:
        return self.stays


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.service = Service()
        self.complaints: list[Complaint] = []
        self.server = Server(
            "SPU 1",
            self.service,
            count=itertools.count(1).__next__,
            complaints=self.complaints.append,
            max_frame_size=1000,
        )
        self.client = Client(self.server)

    def ask(self) -> int:
        """Send a request; the number of replies so far."""
        self.client.send(ApiVersionsRequest(), version=2)
        return len(self.client.received())

    def correlation_ids(self) -> list[int]:
        return [int(struct.unpack(">i", one[:4])[0]) for one in self.client.received()]

    def test_it_is_what_twisted_asks_for(self) -> None:
        self.assertTrue(verifyObject(IPushProducer, self.client.protocol))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.client.protocol))

    def test_the_correlation_id_is_echoed_whatever_it_is(self) -> None:
        for number in (0, -5, 7, 7):
            self.client.send(ApiVersionsRequest(), version=2, correlation_id=number)
        self.assertEqual(self.correlation_ids(), [0, -5, 7, 7])

    def test_the_next_request_waits_for_the_answer_to_the_one_before(self) -> None:
        self.service.waits = True
        self.ask()
        self.ask()
        self.assertEqual(len(self.service.requests), 1)
        self.service.waiting[0].callback(None)
        self.assertEqual(len(self.service.requests), 2)
        self.assertEqual(self.correlation_ids(), [1])

    def test_nothing_is_read_while_a_request_is_served(self) -> None:
        self.service.waits = True
        self.ask()
        self.assertEqual(self.client.transport.producerState, "paused")
        self.service.waiting[0].callback(None)
        self.assertEqual(self.client.transport.producerState, "producing")

    def test_connections_do_not_wait_for_each_other(self) -> None:
        self.service.waits = True
        self.ask()
        self.service.waits = False
        other = Client(self.server)
        other.send(ApiVersionsRequest(), version=2)
        self.assertEqual(len(other.received()), 1)

    def test_a_frame_may_come_in_any_pieces(self) -> None:
        other = Client(self.server)
        other.send(ApiVersionsRequest(), version=2)
        self.assertEqual(len(other.received()), 1)
        data = b"\0\0\0\x11\0\x12\0\x00\0\0\0\x07\0\x07unknown"
        for byte in data:
            self.client.send_bytes(bytes([byte]))
        self.assertEqual(self.correlation_ids(), [7])

    def test_requests_ahead_of_an_impossible_size_are_served_first(self) -> None:
        self.service.waits = True
        good = encode_request(ApiVersionsRequest(), version=2, correlation_id=7, client_id="x")
        self.client.send_bytes(good + good + b"\xff\xff\xff\xff")
        self.assertEqual(self.complaints, [])
        self.service.waiting.pop().callback(None)
        self.service.waiting.pop().callback(None)
        self.assertEqual(self.correlation_ids(), [7, 7])
        self.assertIn("closed: frame.size", self.complaints[0].text)
        self.assertTrue(self.client.closed)

    def test_tls_on_a_port_without_it_meets_silence(self) -> None:
        for byte in b"\x16\x03\x01\x02\0\x01\0\x01\xfc":
            self.client.send_bytes(bytes([byte]))
        self.assertEqual([one.text.split(",")[0] for one in self.complaints], ["TLS"])
        self.assertEqual(self.client.transport.value(), b"")
        self.assertFalse(self.client.closed)

    def test_a_request_that_can_not_be_understood_ends_the_connection_in_silence(self) -> None:
        self.service.raises = ProtocolError("what is this?")
        self.assertEqual(self.ask(), 0)
        self.assertTrue(self.client.closed)
        self.assertEqual([one.text for one in self.complaints], ["closed: what is this?"])
        self.assertEqual((self.complaints[0].server, self.complaints[0].connection), ("SPU 1", 1))

    def test_an_error_of_the_fake_itself_ends_the_connection_and_is_logged(self) -> None:
        self.service.raises = ZeroDivisionError("oops")
        self.assertEqual(self.ask(), 0)
        self.assertTrue(self.client.closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_so_does_one_that_comes_later(self) -> None:
        self.service.waits = True
        self.ask()
        self.service.waiting[0].errback(ZeroDivisionError("oops"))
        self.assertTrue(self.client.closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_requests_behind_the_one_that_ended_the_connection_are_not_served(self) -> None:
        self.service.waits = True
        self.ask()
        self.ask()
        self.service.waiting[0].errback(ProtocolError("no"))
        self.assertEqual(len(self.service.requests), 1)

    def test_a_header_that_is_cut_ends_the_connection(self) -> None:
        self.client.send_bytes(b"\0\0\0\x03\0\x12\0")
        self.assertTrue(self.client.closed)
        self.assertEqual(self.service.requests, [])

    def test_a_header_that_is_no_text_ends_the_connection(self) -> None:
        self.client.send_bytes(b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\0\x01\xff")
        self.assertTrue(self.client.closed)

    def test_an_impossible_size_ends_the_connection(self) -> None:
        for size in (0, -1, -5, 1001, 2**31 - 1):
            client = Client(self.server)
            client.send_bytes(struct.pack(">i", size))
            self.assertTrue(client.closed, size)

    def test_an_impossible_size_may_leave_the_connection_half_alive(self) -> None:
        self.service.stays = True
        self.client.send_bytes(struct.pack(">i", -1))
        self.assertFalse(self.client.closed)
        self.assertEqual(self.client.transport.producerState, "paused")
        self.assertEqual(self.ask(), 0)

    def test_bytes_behind_the_body_are_ignored(self) -> None:
        self.client.send_bytes(b"\0\0\0\x0f\0\x12\0\0\0\0\0\x01\0\0extra")
        self.assertEqual(self.correlation_ids(), [1])

    def test_a_client_that_sends_no_more_is_answered_and_then_let_go(self) -> None:
        self.service.waits = True
        self.ask()
        self.client.protocol.readConnectionLost()
        self.assertFalse(self.client.closed)
        self.service.waiting[0].callback(None)
        self.assertEqual(len(self.client.received()), 1)
        self.assertTrue(self.client.closed)

    def test_no_request_is_served_while_the_client_does_not_read(self) -> None:
        self.client.protocol.pauseProducing()
        self.assertEqual(self.ask(), 0)
        self.client.protocol.resumeProducing()
        self.assertEqual(len(self.client.received()), 1)

    def test_what_waits_for_a_reader_is_called_in_order_and_stops_with_it(self) -> None:
        self.ask()
        connection = self.service.connections[0]
        protocol = self.client.protocol
        protocol.pauseProducing()
        called: list[str] = []

        def first() -> None:
            called.append("first")
            protocol.pauseProducing()

        connection.when_writable(first)
        connection.when_writable(lambda: called.append("second"))
        protocol.resumeProducing()
        self.assertEqual(called, ["first"])
        protocol.resumeProducing()
        self.assertEqual(called, ["first", "second"])

    def test_nothing_waits_for_a_reader_that_is_gone(self) -> None:
        self.ask()
        connection = self.service.connections[0]
        self.client.protocol.pauseProducing()
        called: list[str] = []
        connection.when_writable(lambda: called.append("no"))
        self.client.leave()
        connection.when_writable(lambda: called.append("no"))
        self.client.protocol.resumeProducing()
        self.assertEqual(called, [])

    def test_the_end_of_a_connection_is_told_once_also_to_who_asks_late(self) -> None:
        self.ask()
        connection = self.service.connections[0]
        told: list[str] = []
        connection.on_close(lambda: told.append("early"))
        self.client.leave()
        connection.on_close(lambda: told.append("late"))
        self.assertEqual(told, ["early", "late"])

    def test_nothing_is_sent_to_a_connection_that_is_closed(self) -> None:
        self.ask()
        connection = self.service.connections[0]
        connection.close()
        connection.reply(ANSWER, self.service.requests[0])
        self.assertEqual(len(self.client.received()), 1)

    def test_open_connections_are_known_by_number(self) -> None:
        other = Client(self.server)
        self.assertEqual([one.number for one in self.server.connections], [1, 2])
        other.leave()
        self.assertEqual([one.number for one in self.server.connections], [1])

    def test_stopping_closes_every_connection_and_waits_for_its_end(self) -> None:
        clock = Clock()
        stopping = Deferred.fromCoroutine(self.server.stop(clock))
        self.assertTrue(self.client.closed)
        self.assertNoResult(stopping)
        self.client.leave()
        self.successResultOf(stopping)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_client_that_takes_nothing_is_reset_in_the_end(self) -> None:
        clock = Clock()
        stopping = Deferred.fromCoroutine(self.server.stop(clock))
        clock.advance(GRACE)
        self.assertTrue(self.client.transport.disconnected)
        self.client.leave()
        self.successResultOf(stopping)

    def test_it_is_reset_though_nobody_waits_for_the_end(self) -> None:
        clock = Clock()
        stopping = Deferred.fromCoroutine(self.server.stop(clock))
        stopping.cancel()
        self.failureResultOf(stopping, CancelledError)
        clock.advance(GRACE)
        self.assertTrue(self.client.transport.disconnected)
        self.client.leave()

    def test_a_server_without_connections_stops_at_once(self) -> None:
        self.client.leave()
        self.successResultOf(Deferred.fromCoroutine(self.server.stop(Clock())))


# Any bytes at all, on a real service


def served(kit: Kit) -> bool:
    """Whether the SPU still serves others."""
    return kit.client().fetch(0).error_code.code == 0


@given(st.binary(max_size=300))
def test_garbage_is_answered_or_ends_the_connection(data: bytes) -> None:
    kit = Kit()
    kit.client().raw.send_bytes(data)
    assert served(kit)


VALID: list[Callable[[], bytes]] = [
    lambda: produce(entry(ONE, ONE)).encode(25),
    lambda: fetch(0).encode(25),
]


@given(
    which=st.sampled_from([0, 1]),
    version=st.integers(-3, 30),
    cut=st.integers(0, 200),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=4),
)
def test_damaged_requests_are_answered_or_end_the_connection(
    which: int, version: int, cut: int, flips: list[tuple[int, int]]
) -> None:
    kit = Kit()
    kit.fill(2)
    body = bytearray(VALID[which]())
    for position, flip in flips:
        body[position % len(body)] ^= flip
    kit.client().send_raw(which, version, bytes(body[: len(body) - cut % len(body)]))
    assert served(kit)


@pytest.mark.parametrize("key", [0, 1, 18, 1002, 1003, 1005, 1007, 1008, 2000])
def test_absurd_counts_end_the_connection_and_cost_nothing(key: int) -> None:
    kit = Kit()
    client = kit.client()
    client.send_raw(key, 25, b"\x7f\xff\xff\xff" * 8)
    assert client.closed
    assert served(kit)


def test_a_thousand_connections_are_served() -> None:
    kit = Kit()
    kit.fill(1)
    clients = [kit.client() for _ in range(1000)]
    assert all(len(one.fetch(0).records) for one in clients)


def test_a_slow_reader_is_held_back_and_the_others_are_not() -> None:
    kit = Kit()
    slow = kit.client()
    streams = [slow.stream() for _ in range(50)]
    slow.raw.protocol.pauseProducing()
    kit.spu.replicas[ORDERS].append([], 0.0)
    for _ in range(10):
        kit.client().produce(encode_batch([bytes(PLENTY // 100)]))
    assert len(slow.raw.transport.value()) == 0
    slow.raw.protocol.resumeProducing()
    assert [len(one.pushes()) for one in streams] == [1] * 50


def test_transports_are_told_not_to_delay() -> None:
    class Told(Transport):
        no_delay = False

        def setTcpNoDelay(self, enabled: bool) -> None:
            self.no_delay = enabled

    transport = Told()
    Kit().server.buildProtocol(None).makeConnection(transport)
    assert transport.no_delay
