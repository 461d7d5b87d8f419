"""The recorder: what passes through it is written down, and can be replayed."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, DNSLookupError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.client_kit import ClientCase
from tests.commands import broker as broker_process
from tests.commands import run
from tests.testing.smartmodules import wat
from tests.testing.test_replay import REAL
from txfluvio.admin import Deduplication
from txfluvio.client import FluvioClient
from txfluvio.config import ProducerConfig, parse_endpoint
from txfluvio.errors import UsageError
from txfluvio.offset import Offset
from txfluvio.testing.__main__ import main
from txfluvio.testing.recorder import ABOUT_SIZE, Network, Recorder
from txfluvio.testing.replay import replay
from txfluvio.testing.sc.metadata import Timing
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import HIGH_WATER, MemoryNetwork, MemoryPort
from txfluvio.wire.framing import frame
from txfluvio.wire.headers import encode_request
from txfluvio.wire.recordings import Recording
from txfluvio.wire.sc import (
    SPU,
    Computed,
    PartitionResolution,
    TopicSpec,
    WatchRequest,
    WatchResponse,
)
from txfluvio.wire.schema import Request
from txfluvio.wire.versions import ApiVersionsRequest

RECORD = [sys.executable, "-m", "txfluvio.testing", "record"]


class Plain(Protocol):
    """A connection that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.over = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over = True


def told_of_spus(lines: list[str]) -> set[str]:
    """Where a recorded client was told that the SPUs are."""
    recording = Recording()
    told = set()
    for line in lines[1:]:
        found = recording.read(line)
        if found is None or found.type is not WatchResponse:
            continue
        message = WatchResponse.decode(found.payload, found.header.api_version, found.body)
        if message.kind is SPU:
            for one in message.all:
                endpoint = one.spec.public_endpoint
                told |= {f"{address.hostname}:{endpoint.port}" for address in endpoint.ingress}
    return told


class RecorderCase(ClientCase):
    """A client that is led through a recorder.

    :cvar HOST: the address that the recorder listens on.
    """

    SPUS = 2
    TOPICS = {"orders": 2}

    HOST = "127.0.0.1"

    def setUp(self) -> None:
        super().setUp()
        self.out = io.StringIO()
        self.recorder = Recorder(
            self.clock,
            self.broker.sc_endpoint,
            lambda: self.out,
            about={"scenario": "round-trip"},
            host=self.HOST,
            network=self.recorded_network(),
        )
        self.sc = self.result(self.recorder.start())

    def tearDown(self) -> None:
        self.result(self.recorder.stop())
        super().tearDown()

    def recorded_network(self) -> Network:
        return self.network

    def recorded_client(self) -> FluvioClient:
        config = self.broker.client_config(endpoint=self.sc, idle_probe=1e6)
        return FluvioClient(
            self.clock, config, dialer=MemoryDialer(self.network, config, self.clock)
        )

    def lines(self) -> list[str]:
        """The recording, once it is finished."""
        self.result(self.recorder.stop())
        self.turn()
        return self.out.getvalue().splitlines()

    def plain(self) -> Plain:
        """A client that sends what it likes."""
        host, port = parse_endpoint(self.sc)
        factory = Factory.forProtocol(Plain)
        made: Any = self.result(self.network.connect(host, port, factory))
        assert isinstance(made, Plain)
        return made

    async def use(self, client: FluvioClient) -> list[bytes]:
        async with client:
            await client.admin.create_topic("greetings", partitions=2)
            async with client.producer("greetings") as producer:
                for value in (b"one", b"two", b"three"):
                    await producer.send(value)
            async with client.producer("orders") as producer:
                await producer.send(b"first")
            async with client.consumer(
                "greetings", start=Offset.beginning(), stop=Offset.end()
            ) as consumer:
                found = [record.value async for record in consumer]
            await client.admin.delete_topic("greetings")
            return sorted(found)


class RecorderTest(RecorderCase):
    def test_a_client_is_led_through_it_to_all_servers(self) -> None:
        assert self.do(self.use(self.recorded_client())) == [b"one", b"three", b"two"]
        names = {json.loads(line)["to"] for line in self.lines()[1:]}
        assert names == {"sc", "spu-5001", "spu-5002"}

    def test_what_it_writes_can_be_read_frame_by_frame(self) -> None:
        self.do(self.use(self.recorded_client()))
        recording = Recording()
        frames = [recording.read(line) for line in self.lines()[1:]]
        decoded = [
            one.type.decode(one.payload, one.header.api_version, one.body)
            for one in frames
            if one is not None
        ]
        assert len(decoded) > 20

    def test_what_it_writes_replays_as_the_same(self) -> None:
        self.do(self.use(self.recorded_client()))
        outcome = replay(self.lines())
        assert [str(one) for one in outcome.differences] == []
        assert outcome.compared > 20

    def test_a_module_for_deduplication_that_it_has_seen_does_its_work_again(self) -> None:
        pytest.importorskip("wasmtime")

        async def use(client: FluvioClient) -> list[int | None]:
            async with client:
                await client.admin.create_smartmodule("only-a", wat.FILTER)
                await client.admin.create_topic(
                    "dedup", deduplication=Deduplication(count=10, filter="only-a")
                )
                async with client.producer("dedup", ProducerConfig(linger=0.0)) as producer:
                    for value in (b"banana", b"kiwi", b"pear"):
                        await producer.send(value)
                async with client.consumer(
                    "dedup", start=Offset.beginning(), stop=Offset.end()
                ) as consumer:
                    return [record.offset async for record in consumer]

        assert self.do(use(self.recorded_client())) == [0, 1]
        assert [str(one) for one in replay(self.lines()).differences] == []

    def test_its_first_line_says_what_was_recorded(self) -> None:
        self.do(self.use(self.recorded_client()))
        about = json.loads(self.lines()[0])
        assert about["scenario"] == "round-trip"
        assert about["client"].startswith("txfluvio (client library ")
        assert about["platform"] == "0.18.2-dev-1"
        assert about["spus"] == 2
        assert about["end"] == "ended by the recorder"

    def test_the_ends_of_both_directions_are_lines(self) -> None:
        self.do(self.use(self.recorded_client()))
        ends = [json.loads(line) for line in self.lines() if '"eof"' in line]
        of_first = {one["dir"] for one in ends if one["conn"] == 1}
        assert of_first == {">", "<"}

    def test_it_writes_the_addresses_that_the_client_sees(self) -> None:
        self.do(self.use(self.recorded_client()))
        told = {int(where.rpartition(":")[2]) for where in told_of_spus(self.lines())}
        real = {int(where.rpartition(":")[2]) for where in self.broker.spu_endpoints.values()}
        assert len(told) == 2
        assert not told & real

    def test_bytes_that_are_no_frames_pass_and_are_not_written(self) -> None:
        client = self.plain()
        assert client.transport is not None
        client.transport.write(b"\xff\xff\xff\xf0 garbage")
        self.turn()
        assert client.over
        assert not [line for line in self.lines()[1:] if '"hex"' in line]

    def test_a_frame_that_means_nothing_passes_and_is_written(self) -> None:
        client = self.plain()
        assert client.transport is not None
        client.transport.write(b"\x00\x00\x00\x0c" + b"\x7f\xff" + bytes(10))
        self.turn()
        assert client.over
        assert [json.loads(line)["hex"] for line in self.lines()[1:] if '"hex"' in line] == [
            "0000000c7fff00000000000000000000"
        ]

    def test_a_frame_in_pieces_is_written_once(self) -> None:
        client = self.plain()
        request = ApiVersionsRequest(client_version="1.0.0", client_os="", client_arch="")
        data = encode_request(request, version=2, correlation_id=1, client_id="pieces")
        assert client.transport is not None
        for byte in data:
            client.transport.write(bytes([byte]))
            self.turn()
        assert client.data
        sent = [json.loads(line) for line in self.lines()[1:]]
        assert [one["hex"] for one in sent if one["dir"] == ">" and "hex" in one] == [data.hex()]

    def test_a_server_that_is_not_there_ends_the_client(self) -> None:
        host, _, port = self.broker.sc_endpoint.rpartition(":")
        self.network.refuse(host, int(port))
        client = self.plain()
        self.turn()
        assert client.over
        assert self.lines()[1:] == []


class RecorderOfIpv6Test(RecorderCase):
    """The cluster and the recorder are at addresses with colons in them."""

    HOST = "::1"

    def start_broker(self, **settings: Any) -> None:
        super().start_broker(host="::1", **settings)

    def test_a_client_is_led_through_it_to_all_servers(self) -> None:
        assert self.do(self.use(self.recorded_client())) == [b"one", b"three", b"two"]
        assert {json.loads(line)["to"] for line in self.lines()[1:]} == {
            "sc",
            "spu-5001",
            "spu-5002",
        }


@attrs.frozen
class Everywhere:
    """A network on which who listens on every address is found at one of them."""

    network: MemoryNetwork

    def server_endpoint(self, host: str, port: int) -> IStreamServerEndpoint:
        assert host == "0.0.0.0"
        return self.network.server_endpoint("10.0.0.7", port)

    def endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return self.network.endpoint(host, port)


class RecorderOfNewPartitionsTest(RecorderCase):
    """A leader reports on a new partition after a while, as a real one does."""

    def start_broker(self, **settings: Any) -> None:
        super().start_broker(timing=Timing(first_report=0.3), **settings)

    def test_who_sees_a_partition_when_it_is_new_is_replayed_as_the_same(self) -> None:
        async def use(one: FluvioClient, other: FluvioClient) -> list[PartitionResolution]:
            async with one:
                adding = one.admin.add_partitions("orders", 1)
                await deferLater(self.clock, 0.1, lambda: None)
                async with other:
                    found = await other.admin.list_partitions()
                    await adding
                    return [info.resolution for info in found]

        self.turn()
        self.clock.advance(1.0)
        found = self.do(use(self.recorded_client(), self.recorded_client()))
        assert PartitionResolution.OFFLINE in found
        assert [str(one) for one in replay(self.lines()).differences] == []


class RecorderOfLateFollowersTest(RecorderCase):
    """Followers that copy nothing for a while, as those of a new partition on a real cluster."""

    TOPICS = {"both": TopicSpec(replicas=Computed(partitions=1, replication_factor=2))}

    def test_what_they_do_not_have_yet_is_replayed_as_the_same(self) -> None:
        async def use(client: FluvioClient) -> bytes:
            self.broker.stall_replication()
            async with client:
                async with client.producer("both") as producer:
                    await producer.send(b"one")
                async with client.consumer("both", start=Offset.beginning()) as consumer:
                    return (await anext(consumer)).value

        assert self.do(use(self.recorded_client())) == b"one"
        assert [str(one) for one in replay(self.lines()).differences] == []


class RecorderEverywhereTest(RecorderCase):
    """It listens on every address."""

    HOST = "0.0.0.0"

    def setUp(self) -> None:
        super().setUp()
        self.sc = self.sc.replace("0.0.0.0", "10.0.0.7")

    def recorded_network(self) -> Network:
        return Everywhere(self.network)

    def test_spus_are_where_the_client_has_found_the_sc(self) -> None:
        self.do(self.use(self.recorded_client()))
        hosts = {where.rpartition(":")[0] for where in told_of_spus(self.lines())}
        assert hosts == {"10.0.0.7"}


@attrs.frozen
class Failing:
    """A network on which nobody can be connected to.

    :ivar error: why.
    """

    network: MemoryNetwork
    error: Exception

    def server_endpoint(self, host: str, port: int) -> IStreamServerEndpoint:
        return self.network.server_endpoint(host, port)

    def endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return FailingEndpoint(self.error)


@attrs.frozen
class Slow:
    """A network on which it takes a while to listen no more, as with a reactor."""

    network: MemoryNetwork

    def server_endpoint(self, host: str, port: int) -> IStreamServerEndpoint:
        return SlowServerEndpoint(self.network, host, port)

    def endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return self.network.endpoint(host, port)


@implementer(IStreamServerEndpoint)
@attrs.frozen
class SlowServerEndpoint:
    network: MemoryNetwork
    host: str
    port: int

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        return succeed(
            SlowPort(self.network, self.network.listen(self.host, self.port, protocolFactory))
        )


@implementer(IListeningPort)
@attrs.define
class SlowPort:
    network: MemoryNetwork
    listening: MemoryPort
    stopped: bool = False

    def startListening(self) -> None:
        self.listening.startListening()

    def stopListening(self) -> Deferred[None]:
        if self.stopped:
            raise AttributeError("a port that is stopped twice has no socket")
        self.stopped = True
        self.listening.stopListening()
        return deferLater(self.network.clock, 1, lambda: None)

    def getHost(self) -> IPv4Address:
        return self.listening.getHost()


@implementer(IStreamClientEndpoint)
@attrs.frozen
class FailingEndpoint:
    error: Exception

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return fail(self.error)


class RelayTest(SynchronousTestCase):
    """A recorder between a client and a server that both send what they like."""

    GOOD = frame(b"\x00\x00" + bytes(10))

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.servers: list[Any] = []
        self.network.listen("server", 9003, Factory.forProtocol(self.server))
        self.start(self.network)

    def tearDown(self) -> None:
        self.stop()
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self, network: Network, **about: Any) -> None:
        self.out = io.StringIO()
        self.recorder = Recorder(
            self.clock, "server:9003", lambda: self.out, about=about, network=network
        )
        self.host, _, port = self.successResultOf(self.recorder.start()).rpartition(":")
        self.port = int(port)

    def stop(self) -> None:
        stopping = self.recorder.stop()
        self.clock.advance(0)
        self.successResultOf(stopping)

    def server(self) -> Plain:
        self.servers.append(Plain())
        return cast(Plain, self.servers[-1])

    def client(self) -> Any:
        connecting = self.network.connect(self.host, self.port, Factory.forProtocol(Plain))
        self.clock.advance(0)
        return self.successResultOf(connecting)

    def say(self, who: Any, *pieces: bytes) -> None:
        for data in pieces:
            who.transport.write(data)
            self.clock.advance(0)

    def ends(self) -> list[str]:
        """The directions whose end has been written down."""
        lines = [json.loads(line) for line in self.out.getvalue().splitlines()[1:]]
        return sorted(line["dir"] for line in lines if "eof" in line)

    def test_a_connection_that_the_client_closes_leaves_nothing(self) -> None:
        client = self.client()
        self.say(client, self.GOOD)
        client.transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.ends(), ["<", ">"])

    def test_a_connection_that_the_server_closes_leaves_nothing(self) -> None:
        client = self.client()
        self.say(client, self.GOOD)
        self.servers[0].transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.ends(), ["<", ">"])

    def test_what_was_answered_is_forgotten_unless_more_answers_may_come(self) -> None:
        versions = ApiVersionsRequest(client_version="1.0.0", client_os="", client_arch="")
        watch = WatchRequest(kind=SPU)
        client = self.client()
        requests: list[Request[Any]] = [versions, watch, versions]
        for number, request in enumerate(requests):
            data = encode_request(request, version=19, correlation_id=number, client_id="")
            self.say(client, data)
            self.say(self.servers[0], frame(number.to_bytes(4, "big") + bytes(6)))
        (link,) = self.recorder._links
        self.assertEqual(list(link._asked), [1])

    def test_a_slow_client_whose_server_dies_gets_what_came_and_the_end(self) -> None:
        client = self.client()
        client.transport.pauseProducing()
        data = frame(bytes(2 * HIGH_WATER))
        self.say(self.servers[0], data)
        self.servers[0].transport.abortConnection()
        self.clock.advance(0)
        client.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(client.data, data)
        self.assertTrue(client.over)

    def test_each_line_is_in_the_file_at_once(self) -> None:
        self.stop()
        file = io.BytesIO()
        recorder = Recorder(
            self.clock, "server:9003", lambda: io.TextIOWrapper(file), network=self.network
        )
        self.host, _, port = self.successResultOf(recorder.start()).rpartition(":")
        self.port = int(port)
        self.say(self.client(), self.GOOD)
        self.assertEqual(json.loads(file.getvalue().splitlines()[-1])["hex"], self.GOOD.hex())
        self.recorder = recorder

    def test_a_server_that_reads_slowly_holds_the_client_back(self) -> None:
        client = self.client()
        self.servers[0].transport.pauseProducing()
        for _ in range(10):
            self.say(client, frame(bytes(HIGH_WATER)))
        passed = self.out.getvalue().count('"hex"')
        self.assertLess(passed, 5)

    def test_a_bad_size_in_pieces_passes_whole(self) -> None:
        self.say(self.client(), b"\x16\x03", b"\x01\x02\x00 a greeting of TLS")
        self.assertEqual(self.servers[0].data, b"\x16\x03\x01\x02\x00 a greeting of TLS")

    def test_bytes_behind_good_frames_pass_in_their_order(self) -> None:
        self.say(self.client(), self.GOOD + b"\xff\xff\xff\xffone", b"two", self.GOOD)
        self.assertEqual(self.servers[0].data, self.GOOD + b"\xff\xff\xff\xffonetwo" + self.GOOD)

    def test_an_unfinished_frame_passes_with_the_end(self) -> None:
        client = self.client()
        self.say(client, self.GOOD[:7])
        client.transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(self.servers[0].data, self.GOOD[:7])
        self.assertTrue(self.servers[0].over)

    def test_a_server_whose_name_means_nothing_ends_the_client(self) -> None:
        self.stop()
        self.start(Failing(self.network, DNSLookupError()))
        client = self.client()
        self.assertTrue(client.over)

    def test_whatever_keeps_it_from_connecting_ends_the_client(self) -> None:
        self.stop()
        self.start(Failing(self.network, ValueError("a port that is none")))
        client = self.client()
        self.assertTrue(client.over)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_client_that_is_lost_is_not_connected_for(self) -> None:
        self.network.hang("server", 9003)
        self.client().transport.abortConnection()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_waits_until_the_ends_are_written(self) -> None:
        self.say(self.client(), self.GOOD)
        stopping = self.recorder.stop().addCallback(lambda _: self.ends())
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(stopping), ["<", ">"])

    def test_stopping_gives_up_connecting(self) -> None:
        self.network.hang("server", 9003)
        client = self.client()
        self.stop()
        self.assertTrue(client.over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_comes_while_it_stops_is_turned_away(self) -> None:
        self.client()
        late = self.network.connect(self.host, self.port, Factory.forProtocol(Plain))
        self.stop()
        client: Any = self.successResultOf(late)
        self.assertTrue(client.over)
        self.assertEqual(len(self.servers), 1)

    def test_words_about_it_that_are_too_long_are_cut(self) -> None:
        self.stop()
        self.start(self.network, scenario="long", what="\N{SNOWMAN}" * 3000)
        self.stop()
        about = json.loads(self.out.getvalue().splitlines()[0])
        self.assertEqual(about["scenario"], "long")
        self.assertRegex(about["what"], "^\N{SNOWMAN}{200,}[.]{3}$")
        self.assertEqual(about["end"], "ended by the recorder")

    def test_a_client_with_a_long_name_leaves_the_first_line_whole(self) -> None:
        request = ApiVersionsRequest(client_version="1" * 9000, client_os="", client_arch="")
        data = encode_request(request, version=2, correlation_id=1, client_id="long")
        self.say(self.client(), data)
        self.stop()
        first, second, *_ = self.out.getvalue().splitlines()
        self.assertEqual(len(first), ABOUT_SIZE - 1)
        self.assertTrue(json.loads(first)["client"].startswith("long (client library 111"))
        self.assertEqual(json.loads(second)["hex"], data.hex())

    def test_one_that_can_not_listen_opens_nothing(self) -> None:
        opened: list[io.StringIO] = []

        def out() -> io.StringIO:
            opened.append(io.StringIO())
            return opened[-1]

        recorder = Recorder(
            self.clock, "server:9003", out, host=self.host, port=self.port, network=self.network
        )
        self.failureResultOf(recorder.start(), CannotListenError)
        self.assertEqual(opened, [])

    def test_one_that_can_not_write_listens_no_more(self) -> None:
        def out() -> io.StringIO:
            raise PermissionError("not there")

        recorder = Recorder(
            self.clock, "server:9003", out, host=self.host, port=9999, network=self.network
        )
        self.failureResultOf(recorder.start(), PermissionError)
        self.network.listen(self.host, 9999, Factory.forProtocol(Plain)).stopListening()

    def test_more_about_it_than_fits_is_refused(self) -> None:
        self.stop()
        numbers = list(range(1000))
        recorder = Recorder(
            self.clock, "server:9003", io.StringIO, about={"n": numbers}, network=self.network
        )
        with self.assertRaises(UsageError):
            recorder.start()

    def test_an_spu_that_two_connections_say_has_moved_has_one_new_relay(self) -> None:
        recorder = Recorder(self.clock, "server:9003", io.StringIO, network=Slow(self.network))
        old = self.successResultOf(recorder.relay("spu-5001", ("old", 1)))
        both = [recorder.relay("spu-5001", ("new", 1)) for _ in range(2)]
        self.clock.advance(1)
        new, same = (self.successResultOf(one) for one in both)
        self.assertEqual(new, same)
        self.assertNotEqual(new, old)
        stopping = recorder.stop()
        self.clock.advance(1)
        self.successResultOf(stopping)

    def test_a_file_that_takes_no_more_ends_both(self) -> None:
        client = self.client()
        self.out.close()
        self.say(client, self.GOOD)
        self.assertTrue(client.over)
        self.assertTrue(self.servers[0].over)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.start(self.network)


def test_the_command_records_a_client_on_loopback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recorded.jsonl"
    with broker_process(tmp_path, "--spus", "2", "--topic", "orders") as running:
        recorder = subprocess.Popen(
            [*RECORD, "--to", running.sc, "--out", str(out), "--what", "one record"],
            stdout=subprocess.PIPE,
        )
        try:
            assert recorder.stdout is not None
            where = json.loads(recorder.stdout.readline())["sc"]
            code = (
                "from twisted.internet.defer import ensureDeferred\n"
                "from twisted.internet.task import react\n"
                "from txfluvio import ClientConfig, FluvioClient\n"
                "async def use(reactor):\n"
                f"    config = ClientConfig(endpoint={where!r})\n"
                "    async with FluvioClient(reactor, config) as client:\n"
                "        async with client.producer('orders') as producer:\n"
                "            await producer.send(b'hello')\n"
                "react(lambda reactor: ensureDeferred(use(reactor)))\n"
            )
            client = run(sys.executable, "-c", code)
            assert client.returncode == 0, client.stderr
        finally:
            recorder.send_signal(signal.SIGINT)
            recorder.wait(30)
            assert recorder.stdout is not None
            recorder.stdout.close()
    assert json.loads(out.read_text().splitlines()[0])["what"] == "one record"
    assert main(["replay", "--mutate", "5", str(out)]) == 0
    told = capsys.readouterr().out
    assert "recordings: 1 the same, 0 different" in told
    assert "5 mutated requests of each: 0 promises not kept" in told


def test_the_command_says_what_it_can_not_reach(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sc = f"127.0.0.1:{closed.getsockname()[1]}"
        recorder = subprocess.Popen(
            [*RECORD, "--to", sc, "--out", str(tmp_path / "recorded.jsonl")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with recorder:
            assert recorder.stdout is not None
            where = parse_endpoint(json.loads(recorder.stdout.readline())["sc"])
            with socket.create_connection(where, timeout=30) as client:
                assert client.recv(1) == b""
            recorder.send_signal(signal.SIGINT)
            _, told = recorder.communicate(timeout=30)
    (line,) = told.decode().splitlines()
    assert f"sc at {sc} can not be reached: Connection was refused" in line


def hung_up(out: Path, ignored: bool) -> dict[str, Any]:
    """The first line of a recording whose recorder lost its terminal, and was then interrupted."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        recorder = subprocess.Popen(
            [*RECORD, "--to", "sc:9003", "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    with recorder:
        assert recorder.stdout is not None
        recorder.stdout.readline()
        recorder.send_signal(signal.SIGHUP)
        if ignored:
            recorder.send_signal(signal.SIGINT)
        recorder.wait(30)
    about: dict[str, Any] = json.loads(out.read_text())
    return about


@pytest.mark.parametrize("ignored", [False, True])
def test_the_command_finishes_its_recording_when_its_terminal_is_closed(
    tmp_path: Path, ignored: bool
) -> None:
    assert hung_up(tmp_path / "recorded.jsonl", ignored)["end"] == "ended by the recorder"


@pytest.mark.parametrize("where", ["nowhere", "::1:9003", "[::1]:many"])
def test_the_command_takes_nothing_but_host_and_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    with pytest.raises(SystemExit):
        main(["record", "--to", "sc:9003", "--out", str(tmp_path / "out"), "--listen", where])
    assert f"{where!r} is not host:port, with a port from 0 to 65535" in capsys.readouterr().err


def test_the_command_leaves_the_file_as_it_was_where_it_can_not_listen(tmp_path: Path) -> None:
    out = tmp_path / "recorded.jsonl"
    out.write_text("an older one")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run(*RECORD, "--to", "sc:9003", "--out", str(out), "--listen", where)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"python -m txfluvio.testing record: Couldn't listen on ")
    assert ended.stderr.count(b"\n") == 1
    assert out.read_text() == "an older one"


def test_the_command_refuses_an_sc_that_is_nowhere(tmp_path: Path) -> None:
    out = tmp_path / "recorded.jsonl"
    ended = run(*RECORD, "--to", "nowhere", "--out", str(out))
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert b"not at 'nowhere'" in ended.stderr
    assert not out.exists()


@pytest.mark.parametrize("name", ["-", "pipe", "."])
def test_the_command_records_into_nothing_but_a_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(SystemExit):
        main(["record", "--to", "sc:9003", "--out", name])
    assert f"{name!r} is no file" in capsys.readouterr().err
    assert os.listdir() == ["pipe"]


def test_a_recorder_takes_nothing_but_host_and_port() -> None:
    with pytest.raises(UsageError, match=r"the SC is at host:port, .* not at 'nowhere'"):
        Recorder(Clock(), "nowhere", io.StringIO)


def test_the_command_mutates_no_fewer_requests_than_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["replay", "--mutate", "-1", "recorded.jsonl"])
    assert "argument --mutate: '-1' is no whole number, 0 or more\n" in capsys.readouterr().err


def test_the_command_tells_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(REAL["python-connect"])
    number = next(number for number, line in enumerate(lines) if '"<"' in line)
    lines.insert(number, lines[number])
    path = tmp_path / "forged.jsonl"
    path.write_text("\n".join(lines))
    assert main(["replay", str(path)]) == 1
    told = capsys.readouterr().out
    assert f"{path}:{number + 2}: connection 1 to SC, ApiVersionsRequest: no reply" in told
    assert "recordings: 0 the same, 1 different" in told


def test_the_command_goes_on_behind_what_is_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, right = tmp_path / "wrong.jsonl", tmp_path / "right.jsonl"
    wrong.write_text("no JSON")
    right.write_text("\n".join(REAL["python-connect"]))
    assert main(["replay", str(wrong), str(right)]) == 1
    told = capsys.readouterr().out
    assert "not a line of a recording" in told
    assert "recordings: 1 the same, 1 different" in told


def test_a_file_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "no-such-file.jsonl"]) == 2
    assert "no-such-file.jsonl" in capsys.readouterr().err
