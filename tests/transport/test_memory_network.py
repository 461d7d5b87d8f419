"""The network in memory has the manners of TCP, and the faults it is told to have."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txfluvio.transport.memory import (
    HIGH_WATER,
    LOW_WATER,
    RECEIVE_SIZE,
    Direction,
    MemoryLink,
    MemoryNetwork,
    MemoryTransport,
    events,
)


class Recorder(Protocol):
    """Notes what it is told."""

    transport: MemoryTransport

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost: list[type[BaseException] | None] = []

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.read_ended = 0

    def readConnectionLost(self) -> None:
        self.read_ended += 1

    def writeConnectionLost(self) -> None:
        pass


class Recorders(Factory):
    """Builds recorders and keeps them."""

    protocol: type[Recorder] = Recorder

    def __init__(self, protocol: type[Recorder] = Recorder) -> None:
        self.built: list[Recorder] = []
        self.protocol = protocol
        self.started = self.stopped = 0

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.stopped += 1

    def buildProtocol(self, addr: object) -> Recorder:
        self.built.append(self.protocol())
        return self.built[-1]


@implementer(IPushProducer)
class PushProducer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@implementer(IPullProducer)
class PullProducer:
    def __init__(self, transport: MemoryTransport, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces

    def resumeProducing(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.pieces.clear()


class NetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)

    def connect(
        self, client: type[Recorder] = Recorder, server: type[Recorder] = Recorder
    ) -> MemoryLink:
        servers, clients = Recorders(server), Recorders(client)
        self.port = self.network.listen("sc", 9003, servers)
        connecting = self.network.connect("sc", 9003, clients)
        self.network.pump()
        self.successResultOf(connecting)
        self.client = clients.built[0]
        self.server = servers.built[0]
        return self.network.links[-1]


class ConnectingTests(NetworkTests):
    def test_a_connection_comes_about_when_the_clock_gets_there(self) -> None:
        servers = Recorders()
        self.network.listen("sc", 9003, servers)
        connecting = self.network.connect("sc", 9003, Recorders())
        self.assertNoResult(connecting)
        self.clock.advance(0)
        self.assertIsInstance(self.successResultOf(connecting), Recorder)
        self.assertEqual(len(servers.built), 1)

    def test_it_comes_about_when_pumped_as_well(self) -> None:
        self.connect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_both_ends_know_the_addresses(self) -> None:
        self.connect()
        self.assertEqual(self.client.transport.getPeer(), self.port.getHost())
        self.assertEqual(self.server.transport.getPeer(), self.client.transport.getHost())

    def test_an_address_nobody_listens_on_refuses(self) -> None:
        connecting = self.network.connect("sc", 9003, Recorders())
        self.network.pump()
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_an_address_that_is_no_longer_listened_on_refuses(self) -> None:
        self.connect()
        self.successResultOf(self.port.stopListening())
        connecting = self.network.connect("sc", 9003, Recorders())
        self.network.pump()
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_connections_outlive_the_port(self) -> None:
        self.connect()
        self.port.stopListening()
        self.client.transport.write(b"still here")
        self.network.pump()
        self.assertEqual(self.server.received, b"still here")

    def test_an_address_can_be_told_to_refuse_and_to_accept_again(self) -> None:
        self.network.listen("sc", 9003, Recorders())
        self.network.refuse("sc", 9003)
        refused = self.network.connect("sc", 9003, Recorders())
        self.network.pump()
        self.failureResultOf(refused, ConnectionRefusedError)
        self.network.accept("sc", 9003)
        accepted = self.network.connect("sc", 9003, Recorders())
        self.network.pump()
        self.successResultOf(accepted)

    def test_a_hanging_attempt_times_out(self) -> None:
        self.network.listen("sc", 9003, Recorders())
        self.network.hang("sc", 9003)
        connecting = self.network.connect("sc", 9003, Recorders(), timeout=5)
        self.clock.advance(4.9)
        self.assertNoResult(connecting)
        self.clock.advance(0.1)
        self.failureResultOf(connecting, TimeoutError)

    def test_a_cancelled_attempt_leaves_nothing(self) -> None:
        servers = Recorders()
        self.network.listen("sc", 9003, servers)
        connecting = self.network.connect("sc", 9003, Recorders())
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.network.pump()
        self.assertEqual(servers.built, [])

    def test_two_can_not_listen_on_one_address(self) -> None:
        self.network.listen("sc", 9003, Recorders())
        with self.assertRaises(CannotListenError):
            self.network.listen("sc", 9003, Recorders())
        self.failureResultOf(
            self.network.server_endpoint("sc", 9003).listen(Recorders()), CannotListenError
        )

    def test_port_0_is_one_that_is_free(self) -> None:
        first = self.network.listen("spu", 0, Recorders())
        second = self.network.listen("spu", 0, Recorders())
        self.assertNotEqual(first.getHost().port, second.getHost().port)

    def test_a_client_factory_without_a_protocol_fails_the_attempt(self) -> None:
        class Refusing(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        self.network.listen("sc", 9003, Recorders())
        connecting = self.network.connect("sc", 9003, Refusing())
        self.network.pump()
        self.failureResultOf(connecting, NoProtocol)

    def test_a_server_factory_without_a_protocol_closes_the_connection(self) -> None:
        class Refusing(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        clients = Recorders()
        self.network.listen("sc", 9003, Refusing())
        self.network.connect("sc", 9003, clients)
        self.network.pump()
        self.assertEqual(clients.built[0].lost, [ConnectionLost])
        self.assertEqual(self.network.links, [])

    def test_factories_are_told_of_their_start_and_stop(self) -> None:
        servers, clients = Recorders(), Recorders()
        port = self.network.listen("sc", 9003, servers)
        self.network.connect("sc", 9003, clients)
        self.network.pump()
        port.stopListening()
        clients.built[0].transport.loseConnection()
        self.network.pump()
        for factory in (servers, clients):
            self.assertEqual((factory.started, factory.stopped), (1, 1))

    def test_the_endpoints_do_the_same(self) -> None:
        listening = self.network.server_endpoint("sc", 9003).listen(Recorders())
        connecting = self.network.endpoint("sc", 9003).connect(Recorders())
        self.network.pump()
        self.successResultOf(listening)
        self.successResultOf(connecting)

    def test_the_interfaces_are_those_of_twisted(self) -> None:
        link = self.connect()
        for interface in (ITCPTransport, IPushProducer, IConsumer):
            verifyObject(interface, link.client)
        verifyObject(IListeningPort, self.port)
        verifyObject(IStreamClientEndpoint, self.network.endpoint("sc", 9003))
        verifyObject(IStreamServerEndpoint, self.network.server_endpoint("sc", 9003))


class DeliveringTests(NetworkTests):
    def test_nothing_arrives_inside_write(self) -> None:
        self.connect()
        self.client.transport.write(b"hello")
        self.assertEqual(self.server.pieces, [])
        self.network.pump()
        self.assertEqual(self.server.pieces, [b"hello"])

    def test_pump_delivers_what_the_answers_bring_about(self) -> None:
        class Echo(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)

        self.connect(server=Echo)
        self.client.transport.write(b"hello")
        self.network.pump()
        self.assertEqual(self.client.received, b"hello")

    def test_writes_of_one_moment_are_joined(self) -> None:
        self.connect()
        self.client.transport.write(b"one ")
        self.client.transport.writeSequence([b"two ", b"three"])
        self.network.pump()
        self.assertEqual(self.server.pieces, [b"one two three"])

    def test_much_arrives_in_pieces_of_the_usual_size(self) -> None:
        self.connect()
        data = bytes(range(256)) * 1024
        self.client.transport.write(data)
        self.network.pump()
        self.assertEqual([len(piece) for piece in self.server.pieces], [RECEIVE_SIZE] * 4)
        self.assertEqual(self.server.received, data)

    def test_a_split_cuts_what_arrives(self) -> None:
        link = self.connect()
        link.split(2)
        self.client.transport.write(b"hello")
        self.network.pump()
        self.assertEqual(self.server.pieces, [b"he", b"ll", b"o"])

    def test_a_split_may_depend_on_what_is_there(self) -> None:
        link = self.connect()
        link.split(lambda available: available // 2, Direction.TO_SERVER)
        self.client.transport.write(b"seventy")
        self.network.pump()
        self.assertEqual(self.server.pieces, [b"sev", b"en", b"t", b"y"])

    def test_a_split_of_the_network_holds_for_new_links(self) -> None:
        self.network.split = 1
        self.connect()
        self.client.transport.write(b"abc")
        self.network.pump()
        self.assertEqual(self.server.pieces, [b"a", b"b", b"c"])

    def test_latency_delays_in_each_direction(self) -> None:
        self.connect()
        self.network.latency = 0.25
        self.client.transport.write(b"hello")
        self.network.pump()
        self.clock.advance(0.24)
        self.assertEqual(self.server.pieces, [])
        self.clock.advance(0.01)
        self.assertEqual(self.server.pieces, [b"hello"])

    def test_a_shorter_latency_does_not_let_bytes_overtake(self) -> None:
        self.connect()
        self.network.latency = 1
        self.client.transport.write(b"first ")
        self.network.latency = 0
        self.client.transport.write(b"second")
        self.network.pump()
        self.assertEqual(self.server.pieces, [])
        self.clock.advance(1)
        self.assertEqual(self.server.received, b"first second")

    def test_a_paused_reader_gets_nothing_until_it_resumes(self) -> None:
        self.connect()
        self.server.transport.pauseProducing()
        self.client.transport.write(b"hello")
        self.network.pump()
        self.assertEqual(self.server.pieces, [])
        self.server.transport.resumeProducing()
        self.network.pump()
        self.assertEqual(self.server.pieces, [b"hello"])

    def test_a_reader_that_pauses_while_it_receives_gets_no_more(self) -> None:
        class OneBite(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()

        link = self.connect(server=OneBite)
        link.split(1)
        self.client.transport.write(b"abc")
        self.network.pump()
        self.assertEqual(self.server.received, b"a")

    def test_text_can_not_be_written(self) -> None:
        self.connect()
        with self.assertRaises(TypeError):
            self.client.transport.write("text")  # type: ignore[arg-type]

    def test_what_is_due_at_one_time_happens_in_the_order_in_which_it_was_asked_for(self) -> None:
        happened: list[str] = []
        self.network.at(1.0, lambda: happened.append("first"))
        self.network.at(1.0, lambda: happened.append("second"))
        self.network.at(0.5, lambda: happened.append("before"))
        self.clock.advance(1.0)
        self.assertEqual(happened, ["before", "first", "second"])

    def test_a_pump_that_would_never_end_says_so(self) -> None:
        class Echo(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)

        self.patch(events, "PUMP_LIMIT", 100)
        self.connect(Echo, Echo)
        self.client.transport.write(b"ping")
        with self.assertRaises(RuntimeError):
            self.network.pump()


class BackPressureTests(NetworkTests):
    def test_a_producer_is_paused_above_the_mark_and_resumed_below(self) -> None:
        self.connect()
        producer = PushProducer()
        self.client.transport.registerProducer(producer, True)
        self.client.transport.write(bytes(HIGH_WATER))
        self.assertEqual(producer.calls, [])
        self.client.transport.write(b"x")
        self.assertEqual(producer.calls, ["pause"])
        self.network.pump()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_a_reader_that_does_not_read_holds_the_writer_back(self) -> None:
        self.connect()
        producer = PushProducer()
        self.client.transport.registerProducer(producer, True)
        self.server.transport.pauseProducing()
        self.client.transport.write(bytes(HIGH_WATER + LOW_WATER + 1))
        self.network.pump()
        self.assertEqual(producer.calls, ["pause"])

    def test_a_pull_producer_is_asked_for_more_as_the_bytes_leave(self) -> None:
        self.connect()
        producer = PullProducer(self.client.transport, [b"a", b"b", b"c"])
        self.client.transport.registerProducer(producer, False)
        self.network.pump()
        self.assertEqual(self.server.received, b"abc")

    def test_a_lost_connection_stops_its_producer(self) -> None:
        self.connect()
        producer = PushProducer()
        self.client.transport.registerProducer(producer, True)
        self.client.transport.abortConnection()
        self.network.pump()
        self.assertEqual(producer.calls, ["stop"])

    def test_a_producer_that_comes_too_late_is_stopped(self) -> None:
        self.connect()
        self.client.transport.abortConnection()
        self.network.pump()
        producer = PushProducer()
        self.client.transport.registerProducer(producer, True)
        self.assertEqual(producer.calls, ["stop"])

    def test_there_is_one_producer_at_a_time(self) -> None:
        self.connect()
        self.client.transport.registerProducer(PushProducer(), True)
        with self.assertRaises(RuntimeError):
            self.client.transport.registerProducer(PushProducer(), True)
        self.client.transport.unregisterProducer()
        self.client.transport.registerProducer(PushProducer(), True)


class EndingTests(NetworkTests):
    def test_closing_flushes_what_was_written(self) -> None:
        self.connect()
        self.client.transport.write(b"goodbye")
        self.client.transport.loseConnection()
        self.assertEqual(self.client.lost, [])
        self.network.pump()
        self.assertEqual(self.server.received, b"goodbye")
        self.assertEqual((self.client.lost, self.server.lost), ([ConnectionDone], [ConnectionDone]))
        self.assertEqual(self.network.links, [])

    def test_closing_waits_for_a_reader_only_while_the_network_is_full(self) -> None:
        self.connect()
        self.server.transport.pauseProducing()
        self.client.transport.write(bytes(HIGH_WATER + 1))
        self.client.transport.loseConnection()
        self.network.pump()
        self.assertEqual(self.client.lost, [])
        self.server.transport.resumeProducing()
        self.network.pump()
        self.assertEqual(self.client.lost, [ConnectionDone])
        self.assertEqual(len(self.server.received), HIGH_WATER + 1)

    def test_nothing_is_read_after_closing(self) -> None:
        self.connect()
        self.server.transport.write(b"too late")
        self.client.transport.loseConnection()
        self.network.pump()
        self.assertEqual(self.client.pieces, [])

    def test_closing_waits_for_a_pull_producer(self) -> None:
        self.connect()
        producer = PullProducer(self.client.transport, [b"a", b"b", b"c"])
        self.client.transport.registerProducer(producer, False)
        self.client.transport.loseConnection()
        self.network.pump()
        self.assertEqual(self.server.received, b"abc")
        self.assertEqual(self.server.lost, [ConnectionDone])

    def test_closing_waits_for_a_producer_that_was_paused(self) -> None:
        self.connect()
        self.client.transport.registerProducer(PushProducer(), True)
        self.client.transport.write(bytes(HIGH_WATER + 1))
        self.client.transport.loseConnection()
        self.network.pump()
        self.assertEqual(len(self.server.received), HIGH_WATER + 1)
        self.assertEqual(self.client.lost, [])
        self.client.transport.unregisterProducer()
        self.network.pump()
        self.assertEqual(self.client.lost, [ConnectionDone])

    def test_aborting_is_told_later_and_loses_what_is_under_way(self) -> None:
        self.connect()
        self.client.transport.write(b"never")
        self.client.transport.abortConnection()
        self.assertEqual(self.client.lost, [])
        self.network.pump()
        self.assertEqual(self.client.lost, [ConnectionAborted])
        self.assertEqual(self.server.lost, [ConnectionLost])
        self.assertEqual(self.server.pieces, [])

    def test_a_paused_reader_learns_of_an_abort(self) -> None:
        self.connect()
        self.server.transport.pauseProducing()
        self.client.transport.abortConnection()
        self.network.pump()
        self.assertEqual(self.server.lost, [ConnectionLost])

    def test_aborting_after_closing_does_not_wait(self) -> None:
        self.connect()
        self.server.transport.pauseProducing()
        self.client.transport.write(bytes(HIGH_WATER + 1))
        self.client.transport.loseConnection()
        self.client.transport.abortConnection()
        self.network.pump()
        self.assertEqual(self.client.lost, [ConnectionAborted])

    def test_the_loss_is_told_once(self) -> None:
        link = self.connect()
        for end in (self.client.transport, self.server.transport):
            end.loseConnection()
            end.abortConnection()
        link.reset()
        self.network.pump()
        self.assertEqual((len(self.client.lost), len(self.server.lost)), (1, 1))

    def test_a_lost_connection_takes_every_call(self) -> None:
        self.connect()
        self.client.transport.abortConnection()
        self.network.pump()
        self.client.transport.write(b"x")
        self.client.transport.pauseProducing()
        self.client.transport.resumeProducing()
        self.client.transport.loseConnection()
        self.client.transport.loseWriteConnection()
        self.client.transport.abortConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_half_closed_connection_still_answers(self) -> None:
        class Answering(HalfCloseable):
            def readConnectionLost(self) -> None:
                super().readConnectionLost()
                self.transport.write(b"the answer")
                self.transport.loseConnection()

        self.connect(server=Answering)
        self.client.transport.write(b"the question")
        self.client.transport.loseWriteConnection()
        self.client.transport.write(b"ignored")
        self.network.pump()
        self.assertEqual(self.server.received, b"the question")
        self.assertEqual(self.client.received, b"the answer")

    def test_a_connection_that_both_sides_half_closed_stays_until_it_is_closed(self) -> None:
        self.connect(client=HalfCloseable, server=HalfCloseable)
        self.client.transport.loseWriteConnection()
        self.server.transport.loseWriteConnection()
        self.network.pump()
        self.assertEqual((self.client.lost, self.server.lost), ([], []))
        self.client.transport.loseConnection()
        self.server.transport.loseConnection()
        self.network.pump()
        self.assertEqual((self.client.lost, self.server.lost), ([ConnectionDone], [ConnectionDone]))

    def test_a_protocol_that_knows_no_half_closing_is_closed(self) -> None:
        self.connect()
        self.client.transport.loseWriteConnection()
        self.network.pump()
        self.assertEqual(self.server.lost, [ConnectionDone])
        self.assertEqual(self.client.lost, [ConnectionDone])

    def test_a_protocol_that_raises_loses_its_connection(self) -> None:
        class Broken(Recorder):
            def dataReceived(self, data: bytes) -> None:
                raise ValueError("broken")

        self.connect(server=Broken)
        self.client.transport.write(b"hello")
        self.network.pump()
        self.assertEqual(self.server.lost, [ValueError])
        self.assertEqual(self.client.lost, [ConnectionLost])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class FaultTests(NetworkTests):
    def test_a_stalled_direction_delivers_when_it_is_resumed(self) -> None:
        link = self.connect()
        link.stall(Direction.TO_SERVER)
        self.client.transport.write(b"ping")
        self.server.transport.write(b"pong")
        self.network.pump()
        self.assertEqual((self.server.received, self.client.received), (b"", b"pong"))
        link.resume()
        self.network.pump()
        self.assertEqual(self.server.received, b"ping")

    def test_a_stalled_link_hides_the_end_until_it_is_resumed(self) -> None:
        link = self.connect()
        link.stall()
        self.client.transport.abortConnection()
        self.network.pump()
        self.assertEqual((self.client.lost, self.server.lost), ([ConnectionAborted], []))
        link.resume()
        self.network.pump()
        self.assertEqual(self.server.lost, [ConnectionLost])

    def test_a_dropped_direction_never_delivers_again(self) -> None:
        link = self.connect()
        self.client.transport.write(b"under way")
        link.drop(Direction.TO_SERVER)
        self.client.transport.write(b"later")
        self.client.transport.loseConnection()
        self.network.pump()
        link.resume()
        self.network.pump()
        self.assertEqual((self.server.received, self.server.lost), (b"", []))
        self.assertEqual(self.client.lost, [ConnectionDone])

    def test_a_dropped_direction_fills_up(self) -> None:
        link = self.connect()
        producer = PushProducer()
        self.client.transport.registerProducer(producer, True)
        link.drop()
        self.client.transport.write(bytes(HIGH_WATER + 1))
        self.network.pump()
        self.assertEqual(producer.calls, ["pause"])

    def test_a_reset_is_told_to_both_ends(self) -> None:
        link = self.connect()
        link.stall()
        self.client.transport.write(b"lost")
        link.reset()
        self.assertEqual(self.client.lost, [])
        self.network.pump()
        self.assertEqual((self.client.lost, self.server.lost), ([ConnectionLost], [ConnectionLost]))
        self.assertEqual(self.server.pieces, [])

    def test_an_idle_network_leaves_nothing_in_the_clock(self) -> None:
        self.connect()
        self.network.latency = 3
        self.client.transport.write(b"hello")
        self.client.transport.abortConnection()
        self.network.pump()
        self.clock.advance(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])


def test_the_same_course_every_time() -> None:
    def run() -> list[tuple[str, bytes]]:
        clock = Clock()
        network = MemoryNetwork(clock)
        network.split = 3
        trace = []

        class Traced(Recorder):
            def dataReceived(self, data: bytes) -> None:
                trace.append((str(self.transport.getHost()), data))
                if len(trace) < 50:
                    self.transport.write(data + b"!")

        network.listen("a", 1, Recorders(Traced))
        network.listen("b", 2, Recorders(Traced))
        connecting: list[Deferred[IProtocol]] = [
            network.connect(host, port, Recorders(Traced))
            for host, port in (("a", 1), ("b", 2), ("a", 1))
        ]
        network.pump()
        for link in network.links:
            link.client.write(b"start")
            link.server.write(b"begin")
        network.pump()
        assert len(connecting) == 3
        return trace

    first = run()
    assert len(first) > 50
    assert run() == first
