"""The fake broker as a whole: reached over TCP and in memory, looked at, and played tricks on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import txfluvio.testing
from tests.testing.spu_kit import entry, fetch, produce
from txfluvio.client import FluvioClient
from txfluvio.errors import BrokerError, InvalidConfig, TopicAlreadyExists, UsageError
from txfluvio.testing import FLUVIO_0_11_11, FakeBroker
from txfluvio.testing.faults import Fault, Latency, Match
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.codes import Code
from txfluvio.wire.compression import Compression
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import REPLY_BODY, encode_request, reply_correlation_id
from txfluvio.wire.records import encode_batch
from txfluvio.wire.sc import (
    PARTITION,
    TOPIC,
    Assigned,
    CleanupPolicy,
    ListRequest,
    PartitionMap,
    PartitionResolution,
    TopicSpec,
    TopicStorage,
    WatchRequest,
)
from txfluvio.wire.schema import Request
from txfluvio.wire.spu import ACKS_ALL, StreamFetchRequest
from txfluvio.wire.versions import ApiVersionsRequest

the_reactor: Any = reactor
with_reactor: Callable[[Callable[[], Coroutine[Any, Any, None]]], Callable[[], object]] = (
    pytest_twisted.ensureDeferred
)

ONE = encode_batch([b"x"])
REPLICATED = TopicSpec(replicas=Assigned(partitions=(PartitionMap(id=0, replicas=(5001, 5002)),)))


class Wire(Protocol):
    """A connection that speaks in whole frames."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.lost = False
        self._frames = Frames()
        self._ids = 0
        self._asked: dict[int, tuple[Request[Any], int, list[Any], Deferred[Any]]] = {}

    def send(self, request: Request[Any], version: int) -> tuple[list[Any], Deferred[Any]]:
        """All replies, as they come, and the first."""
        self._ids += 1
        replies: list[Any] = []
        first: Deferred[Any] = Deferred()
        self._asked[self._ids] = (request, version, replies, first)
        data = encode_request(request, version=version, correlation_id=self._ids, client_id="test")
        assert self.transport is not None
        self.transport.write(data)
        return replies, first

    def dataReceived(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            request, version, replies, first = self._asked[reply_correlation_id(payload)]
            replies.append(request.api.reply.decode(payload, version, REPLY_BODY))
            if len(replies) == 1:
                first.callback(replies[0])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self.ended.callback(None)

    def drop(self) -> None:
        transport: ITransport | None = self.transport
        assert transport is not None
        transport.loseConnection()


def connect(endpoint: IStreamClientEndpoint) -> Deferred[Wire]:
    connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Wire))
    return connecting


class MemoryTests(SynchronousTestCase):
    """A broker in memory, under a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.network = MemoryNetwork(self.clock)

    def tearDown(self) -> None:
        for broker in self.brokers:
            stopping = broker.stop()
            self.clock.advance(0)
            self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.network.links, [])

    brokers: tuple[FakeBroker, ...] = ()

    def broker(self, *args: Any, **settings: Any) -> FakeBroker:
        made = FakeBroker(self.clock, *args, network=self.network, **settings)
        self.brokers = (*self.brokers, made)
        self.done(made.start())
        return made

    def done(self, waiting: Deferred[Any]) -> Any:
        """What a Deferred fires with, without any time going by."""
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def dial(self, where: str) -> Deferred[Wire]:
        host, _, port = where.partition(":")
        return connect(self.network.endpoint(host, int(port)))

    def connect(self, where: str) -> Wire:
        wire: Wire = self.done(self.dial(where))
        return wire

    def spu(self, broker: FakeBroker, spu_id: int = 5001) -> Wire:
        return self.connect(broker.spu_endpoints[spu_id])

    def lingering(self, broker: FakeBroker) -> Wire:
        """A connection to SPU 5001 that stays for the second which a stopping server gives it."""
        broker.plant(Fault(Match(), Latency(60)))
        wire = self.spu(broker)
        wire.send(fetch(0), 25)
        self.clock.advance(0)
        return wire

    def ask(self, wire: Wire, request: Request[Any], version: int = 25) -> Any:
        return self.done(wire.send(request, version)[1])

    def code(self, wire: Wire, partition: int = 0, **fields: Any) -> int:
        """How a Produce of one record ends."""
        reply = self.ask(wire, produce(entry(ONE, partition=partition), **fields))
        code: int = reply.responses[0].partitions[0].error_code.code
        return code

    # Starting and stopping

    def test_no_time_goes_by_while_it_starts(self) -> None:
        before = self.clock.seconds()
        self.broker(spus=3, topics={"orders": 3})
        self.assertEqual(self.clock.seconds(), before)

    def test_the_clients_configuration_is_one_call_away(self) -> None:
        broker = self.broker(sc_port=9003)
        config = broker.client_config(client_id="me")
        self.assertEqual((config.endpoint, config.client_id), ("127.0.0.1:9003", "me"))

    def test_ports_can_be_fixed(self) -> None:
        broker = self.broker(spus=2, sc_port=9003, spu_port=9010)
        self.assertEqual(self.done(broker.add_spu()), 5003)
        ports = [where.rpartition(":")[2] for where in broker.spu_endpoints.values()]
        self.assertEqual(ports, ["9010", "9020", "9030"])

    def test_the_topics_to_begin_with_are_there_and_usable(self) -> None:
        broker = self.broker(spus=2, topics={"orders": 2, "other": 1})
        self.assertEqual(self.code(self.spu(broker, 5002), 0), Code.NONE)
        self.assertEqual(self.code(self.spu(broker, 5001), 1), Code.NONE)

    def test_a_topic_to_begin_with_may_have_replicas(self) -> None:
        broker = self.broker(spus=2, topics={"orders": (2, 2)})
        followers = [list(broker.replica("orders", number).followers) for number in (0, 1)]
        self.assertEqual(sorted(followers), [[5001], [5002]])

    def test_a_topic_to_begin_with_may_be_given_whole(self) -> None:
        broker = self.broker(spus=2, topics={"orders": REPLICATED})
        self.assertEqual(list(broker.replica("orders").followers), [5002])

    def test_the_topic_of_stored_offsets_is_always_there(self) -> None:
        broker = self.broker()
        self.assertEqual(broker.replica("consumer-offset").log.leo, 0)

    def test_the_sc_tells_of_what_the_spus_have(self) -> None:
        broker = self.broker(topics={"orders": 1})
        sc = self.connect(broker.sc_endpoint)
        self.assertEqual(
            self.ask(sc, ApiVersionsRequest(client_version="1.0.0"), 2).error_code.code, 0
        )
        (topic,) = self.ask(sc, ListRequest(kind=TOPIC), 19).objects
        self.assertEqual(topic.name, "orders")

    def test_watches_hear_of_records(self) -> None:
        broker = self.broker(topics={"orders": 1})
        sc = self.connect(broker.sc_endpoint)
        pushes, _ = sc.send(WatchRequest(kind=PARTITION), 19)
        self.code(self.spu(broker))
        self.clock.advance(0.4)
        (change,) = pushes[-1].changes
        self.assertEqual(change.content.status.leader.leo, 1)

    def test_it_can_not_be_started_twice(self) -> None:
        broker = self.broker()
        self.failureResultOf(broker.start(), UsageError)

    def test_what_is_not_there_is_no_partition_without_a_leader(self) -> None:
        broker = self.broker(topics={"orders": 2})
        with self.assertRaisesRegex(UsageError, "^there is no topic nope: check the name, or"):
            broker.append("nope", [b"a"])
        with self.assertRaisesRegex(UsageError, "^there is no partition orders/2: orders has 2, "):
            broker.replica("orders", 2)
        with self.assertRaisesRegex(UsageError, "^there is no topic nope"):
            broker.records("nope")

    def test_a_topic_that_can_not_be_created_is_an_error_of_the_start(self) -> None:
        broker = FakeBroker(self.clock, topics={"consumer-offset": 1}, network=self.network)
        self.brokers = (broker,)
        starting = broker.start()
        self.clock.advance(0)
        self.failureResultOf(starting, TopicAlreadyExists)

    def test_nothing_is_left_of_a_start_that_fails(self) -> None:
        broker = FakeBroker(self.clock, topics={"Bad_Name": 1}, network=self.network)
        starting = broker.start()
        self.clock.advance(0)
        self.failureResultOf(starting, BrokerError)
        self.assertEqual((broker.sc_runs, broker.running_spus), (False, ()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_port_that_is_taken_is_an_error_of_the_start(self) -> None:
        self.network.listen("127.0.0.1", 9010, Factory.forProtocol(Wire))
        broker = FakeBroker(self.clock, spu_port=9010, network=self.network)
        self.failureResultOf(broker.start(), CannotListenError)
        self.assertFalse(broker.sc_runs)

    def test_a_start_may_be_cancelled(self) -> None:
        broker = FakeBroker(self.clock, network=self.network)
        starting = broker.start()
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        self.assertEqual((broker.sc_runs, broker.running_spus), (False, ()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_start_ends_with_a_stop(self) -> None:
        broker = FakeBroker(self.clock, topics={"orders": 1}, network=self.network)
        starting = broker.start()
        self.done(broker.stop())
        self.failureResultOf(starting, CancelledError)
        self.assertEqual((broker.sc_runs, broker.running_spus), (False, ()))

    def test_stopping_ends_connections_and_leaves_the_port_free(self) -> None:
        broker = self.broker()
        wires = [self.connect(broker.sc_endpoint), self.spu(broker)]
        self.done(broker.stop())
        self.assertEqual([wire.lost for wire in wires], [True, True])
        connecting = self.dial(broker.sc_endpoint)
        self.clock.advance(0)
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_stopping_ends_a_connection_that_reads_nothing(self) -> None:
        broker = self.broker(topics={"orders": 1})
        wire = self.spu(broker)
        self.network.links[-1].stall()
        wire.send(fetch(0), 25)
        stopping = broker.stop()
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.network.links[-1].resume()
        self.clock.advance(0)

    def test_several_brokers_do_not_know_of_each_other(self) -> None:
        one = self.broker(topics={"orders": 1})
        other = self.broker()
        self.assertNotEqual(one.sc_endpoint, other.sc_endpoint)
        self.assertEqual(self.code(self.spu(one)), Code.NONE)
        self.assertEqual(self.code(self.spu(other)), Code.NOT_LEADER_FOR_PARTITION)

    def test_an_old_release_can_be_played(self) -> None:
        broker = self.broker(release=FLUVIO_0_11_11)
        reply = self.ask(self.spu(broker), ApiVersionsRequest(client_version="1.0.0"), 2)
        self.assertEqual([one.max_version for one in reply.api_keys], [23, 23, 23, 23, 0])

    # Looking

    def test_records_can_be_looked_at_by_topic_and_partition(self) -> None:
        broker = self.broker(topics={"orders": 2})
        broker.append("orders", [b"a"], 1)
        broker.append("orders", [b"b", (b"k", b"c")], 0)
        found = [
            (one.partition, one.offset, one.key, one.value) for one in broker.records("orders")
        ]
        self.assertEqual(found, [(0, 0, None, b"b"), (0, 1, b"k", b"c"), (1, 0, None, b"a")])
        self.assertEqual([one.value for one in broker.records("orders", 1)], [b"a"])

    def test_records_put_there_by_a_test_have_the_time_and_the_codec_it_wants(self) -> None:
        broker = self.broker(topics={"orders": 1})
        self.assertEqual(broker.append("orders", [b"a"], compression=Compression.GZIP), 0)
        (record,) = broker.records("orders")
        self.assertEqual(record.timestamp, 1_700_000_000_000)
        (stored,) = broker.replica("orders").log
        self.assertEqual(stored.data[22], 1)

    def test_there_are_no_records_of_what_is_not_there(self) -> None:
        broker = self.broker(topics={"orders": 1})
        for look in (
            lambda: broker.records("nowhere"),
            lambda: broker.records("orders", 5),
            lambda: broker.append("orders", [b"x"], 5),
        ):
            self.assertRaises(UsageError, look)

    def test_what_clients_produced_can_be_looked_at_even_if_it_was_refused(self) -> None:
        broker = self.broker(topics={"orders": 1})
        wire = self.spu(broker)
        self.code(wire)
        self.code(wire, 7, isolation=ACKS_ALL)
        broker.append("orders", [b"not by a client"])
        found = [(one.topic, one.partition, one.acks_all, one.values) for one in broker.produced()]
        self.assertEqual(found, [("orders", 0, False, [b"x"]), ("orders", 7, True, [b"x"])])
        (one,) = broker.produced("orders", 7)
        self.assertEqual((one.spu, one.connection, one.time), ("SPU 5001", 1, 1_700_000_000))
        self.assertEqual(broker.produced("other"), [])

    def test_a_condition_that_holds_is_not_waited_for(self) -> None:
        broker = self.broker(topics={"orders": 1})
        waiting = broker.wait_for(lambda one: one.sc_endpoint)
        self.assertEqual(self.successResultOf(waiting), broker.sc_endpoint)

    def test_waiting_ends_with_the_record_that_makes_the_condition_true(self) -> None:
        broker = self.broker(topics={"orders": 1})
        waiting = broker.wait_for(lambda one: len(one.records("orders")) >= 2)
        wire = self.spu(broker)
        self.code(wire)
        self.assertNoResult(waiting)
        self.code(wire)
        self.assertTrue(self.successResultOf(waiting))

    def test_waiting_ends_with_the_request_that_makes_the_condition_true(self) -> None:
        broker = self.broker(topics={"orders": 1})
        waiting = broker.wait_for(lambda one: one.journal.requests("Fetch"))
        self.ask(self.spu(broker), fetch(0))
        (request,) = self.successResultOf(waiting)
        self.assertEqual(request.message, fetch(0))

    def test_waiting_ends_with_the_metadata_that_makes_the_condition_true(self) -> None:
        broker = self.broker()
        waiting = broker.online("later")
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.done(broker.cluster.create_topic("later"))
        self.assertTrue(self.successResultOf(waiting))

    def test_waiting_ends_with_what_the_condition_raises(self) -> None:
        broker = self.broker()
        self.failureResultOf(broker.wait_for(lambda one: one.records("nowhere")), UsageError)
        waiting = broker.wait_for(lambda one: len(one.journal) and one.records("nowhere"))
        self.ask(self.spu(broker), fetch(0))
        self.failureResultOf(waiting, UsageError)

    def test_any_number_may_wait_one_time_after_another(self) -> None:
        broker = self.broker(topics={"orders": 1})
        looks = 0

        def stored(count: int) -> bool:
            nonlocal looks
            looks += 1
            return len(broker.records("orders")) >= count

        async def wait_twice() -> None:
            await broker.wait_for(lambda _: stored(1))
            await broker.wait_for(lambda _: stored(2))

        waiting = [Deferred.fromCoroutine(wait_twice()) for _ in range(400)]
        for _ in range(2):
            broker.append("orders", [b"x"])
            self.clock.advance(0)
        for one in waiting:
            self.successResultOf(one)
        # Each condition when it is new, and at the record that makes it true.
        self.assertEqual(looks, 4 * 400)

    def test_waiting_can_be_given_up(self) -> None:
        broker = self.broker(topics={"orders": 1})
        waiting = broker.wait_for(lambda one: one.records("orders"))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.code(self.spu(broker))

    def test_what_still_waits_when_it_stops_is_cancelled(self) -> None:
        broker = self.broker()
        waiting = broker.online("never")
        self.done(broker.stop())
        self.failureResultOf(waiting, CancelledError)

    def test_nobody_waits_for_one_that_has_stopped(self) -> None:
        broker = self.broker()
        self.done(broker.stop())
        self.failureResultOf(broker.online("never"), UsageError)
        self.assertTrue(self.successResultOf(broker.wait_for(lambda one: one.cluster.spus)))

    def test_what_clients_do_wrong_is_kept(self) -> None:
        broker = self.broker()
        wire = self.spu(broker)
        assert wire.transport is not None
        wire.transport.write(b"\0\0\0\x03abc")
        self.clock.advance(0)
        self.assertTrue(wire.lost)
        (complaint,) = broker.complaints
        self.assertEqual(complaint.server, "SPU 5001")

    def test_all_servers_write_one_journal(self) -> None:
        broker = self.broker(topics={"orders": 1})
        self.ask(self.connect(broker.sc_endpoint), ListRequest(kind=TOPIC), 19)
        self.ask(self.spu(broker), fetch(0))
        self.assertEqual(
            [(one.server, one.connection, one.name) for one in broker.journal.requests()],
            [("SC", 1, "List"), ("SPU 5001", 2, "Fetch")],
        )

    # Tricks

    def test_a_stopped_spu_refuses_and_comes_back_with_its_records(self) -> None:
        broker = self.broker(topics={"orders": 1})
        wire = self.spu(broker)
        self.code(wire)
        self.done(broker.spu_down(5001))
        self.assertTrue(wire.lost)
        where = broker.spu_endpoints[5001]
        connecting = self.dial(where)
        self.clock.advance(0)
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.done(broker.spu_up(5001))
        self.assertEqual(broker.spu_endpoints[5001], where)
        self.clock.advance(0)
        self.assertEqual(len(broker.records("orders")), 1)
        self.assertEqual(self.code(self.spu(broker)), Code.NONE)

    def test_another_replica_takes_over_when_the_leader_stops(self) -> None:
        broker = self.broker(spus=2, topics={"orders": REPLICATED})
        self.assertEqual(self.code(self.spu(broker), isolation=ACKS_ALL), Code.NONE)
        self.clock.advance(0.4)
        self.done(broker.spu_down(5001))
        self.clock.advance(0)
        self.assertEqual(self.code(self.spu(broker, 5002)), Code.NONE)
        self.assertEqual([one.offset for one in broker.records("orders")], [0, 1])

    def test_leaders_can_be_elected_by_hand(self) -> None:
        broker = self.broker(spus=2, topics={"orders": REPLICATED}, automatic_elections=False)
        self.assertEqual(self.code(self.spu(broker), isolation=ACKS_ALL), Code.NONE)
        self.done(broker.spu_down(5001))
        self.clock.advance(0)
        wire = self.spu(broker, 5002)
        self.assertEqual(self.code(wire), Code.NOT_LEADER_FOR_PARTITION)
        broker.move_leader("orders", 0, 5002)
        self.clock.advance(0)
        self.assertEqual(self.code(wire), Code.NONE)

    def test_a_stalled_follower_holds_back_what_is_committed(self) -> None:
        broker = self.broker(spus=2, topics={"orders": REPLICATED})
        resume = broker.stall_replication("orders")
        wire = self.spu(broker)
        _, waiting = wire.send(produce(entry(ONE), isolation=ACKS_ALL), 25)
        self.clock.advance(1)
        self.assertNoResult(waiting)
        resume()
        self.clock.advance(0)
        reply = self.successResultOf(waiting)
        self.assertEqual(reply.responses[0].partitions[0].error_code.code, Code.NONE)

    def test_a_moved_leader_leaves_its_streams_silent(self) -> None:
        broker = self.broker(spus=2, topics={"orders": REPLICATED})
        request = StreamFetchRequest(topic="orders", partition=0, fetch_offset=0, max_bytes=1000)
        pushes, _ = self.spu(broker).send(request, 25)
        broker.move_leader("orders", 0, 5002)
        self.clock.advance(0)
        self.assertEqual(self.code(self.spu(broker)), Code.NOT_LEADER_FOR_PARTITION)
        self.assertEqual(self.code(self.spu(broker, 5002)), Code.NONE)
        self.assertEqual(pushes, [])

    def test_an_added_spu_is_used_for_new_topics(self) -> None:
        broker = self.broker(topics={"orders": 1})
        self.assertEqual(self.done(broker.add_spu()), 5002)
        self.clock.advance(0)
        self.done(broker.cluster.create_topic("more"))
        item = broker.cluster.metadata.partitions.get("more-0")
        assert item is not None
        self.assertEqual(item.spec.leader, 5002)
        self.assertEqual(self.code(self.spu(broker, 5002), topic="more"), Code.NONE)

    def test_an_spu_for_which_no_port_is_left_is_not_added(self) -> None:
        with self.assertRaisesRegex(UsageError, "no port is left for SPU 5002"):
            FakeBroker(self.clock, network=self.network, spus=2, spu_port=65_530)
        broker = self.broker(spu_port=65_530)
        refused = self.failureResultOf(broker.add_spu(), UsageError)
        self.assertIn("no port is left for SPU 5002", str(refused.value))

    def test_an_spu_whose_port_is_taken_is_not_added(self) -> None:
        broker = self.broker(topics={"orders": 1}, spu_port=9010)
        taken = self.network.listen("127.0.0.1", 9020, Factory.forProtocol(Wire))
        adding = broker.add_spu()
        self.clock.advance(0)
        self.failureResultOf(adding, CannotListenError)
        self.assertEqual(list(broker.spu_endpoints), [5001])
        self.done(broker.reset())
        self.assertEqual(self.code(self.spu(broker)), Code.NONE)
        self.done(taken.stopListening())
        self.assertEqual(self.done(broker.add_spu()), 5002)

    def test_an_spu_that_can_not_be_looked_at_aside_leaves_its_port(self) -> None:
        aside = MemoryNetwork(self.clock)
        broker = self.broker(spu_port=9010, aside=aside)
        aside.listen("127.0.0.1", 9020, Factory.forProtocol(Wire))
        adding = broker.add_spu()
        self.clock.advance(0)
        self.failureResultOf(adding, CannotListenError)
        self.network.listen("127.0.0.1", 9020, Factory.forProtocol(Wire))

    def test_the_sc_goes_and_comes_while_spus_go_on(self) -> None:
        broker = self.broker(topics={"orders": 1})
        sc, spu = self.connect(broker.sc_endpoint), self.spu(broker)
        self.done(broker.sc_down())
        self.assertTrue(sc.lost)
        self.assertEqual(self.code(spu), Code.NONE)
        self.done(broker.sc_up())
        self.clock.advance(0)
        (partition,) = self.ask(
            self.connect(broker.sc_endpoint), ListRequest(kind=PARTITION), 19
        ).objects
        self.assertEqual(partition.status.resolution, PartitionResolution.ONLINE)

    def test_no_spu_is_added_while_the_sc_is_down(self) -> None:
        broker = self.broker(spu_port=9010)
        self.done(broker.sc_down())
        adding = broker.add_spu()
        self.clock.advance(0)
        refused = self.failureResultOf(adding, UsageError).value
        self.assertIn("the SC is down", str(refused))
        self.assertEqual(list(broker.spu_endpoints), [5001])
        self.network.listen("127.0.0.1", 9020, Factory.forProtocol(Wire))

    def test_a_hidden_topic_is_not_listed_but_served(self) -> None:
        broker = self.broker(topics={"orders": 1})
        show = broker.hide_from_metadata("orders")
        sc = self.connect(broker.sc_endpoint)
        self.assertEqual(self.ask(sc, ListRequest(kind=TOPIC), 19).objects, ())
        self.assertEqual(self.code(self.spu(broker)), Code.NONE)
        show()
        self.assertEqual(len(self.ask(sc, ListRequest(kind=TOPIC), 19).objects), 1)

    def test_evicted_records_are_gone(self) -> None:
        broker = self.broker(topics={"orders": 1})
        for value in (b"a", b"b"):
            broker.append("orders", [value])
        broker.evict("orders", 0, 1)
        self.assertEqual([one.value for one in broker.records("orders")], [b"b"])
        reply = self.ask(self.spu(broker), fetch(0))
        code = reply.topics[0].partitions[0].error_code.code
        self.assertEqual(code, Code.OFFSET_EVICTED)

    def test_a_clock_is_moved_by_a_number(self) -> None:
        broker = self.broker()
        before = broker.now()
        for wrong in ("x", None, True, float("nan"), float("inf")):
            with self.assertRaisesRegex(InvalidConfig, "^seconds is .*: expected a number$"):
                broker.move_clock(wrong)  # type: ignore[arg-type]
        self.assertEqual(broker.now(), before)

    def test_the_time_of_day_can_jump(self) -> None:
        broker = self.broker(topics={"orders": 1})
        broker.move_clock(3600)
        broker.append("orders", [b"x"])
        (record,) = broker.records("orders")
        self.assertEqual(record.timestamp, 1_700_003_600_000)

    def test_what_is_too_old_is_evicted_when_the_time_jumps(self) -> None:
        spec = TopicSpec(
            replicas=Assigned(partitions=(PartitionMap(id=0, replicas=(5001,)),)),
            cleanup_policy=CleanupPolicy(time_in_seconds=60),
            storage=TopicStorage(segment_size=1024),
        )
        broker = self.broker(topics={"orders": spec})
        for value in (b"a", b"b"):
            broker.append("orders", [value * 800])
        broker.move_clock(59)
        self.assertEqual(len(broker.records("orders")), 2)
        broker.move_clock(2)
        self.assertEqual([one.value[:1] for one in broker.records("orders")], [b"b"])

    def test_nothing_is_started_once_it_has_stopped(self) -> None:
        broker = self.broker()
        self.done(broker.stop())
        for starting in (broker.sc_up(), broker.spu_up(5001), broker.add_spu(), broker.reset()):
            self.clock.advance(0)
            self.failureResultOf(starting, UsageError)
        self.assertEqual((broker.sc_runs, broker.running_spus), (False, ()))

    def test_a_reset_that_is_under_way_when_it_stops_starts_nothing(self) -> None:
        broker = self.broker()
        self.spu(broker)
        resetting = broker.reset()
        self.done(broker.stop())
        self.failureResultOf(resetting, UsageError)
        self.assertEqual((broker.sc_runs, broker.running_spus), (False, ()))

    def test_a_reset_comes_to_its_end_though_nobody_waits_for_it(self) -> None:
        broker = self.broker(topics={"orders": 1})
        broker.append("orders", [b"x"])
        self.spu(broker)
        resetting = broker.reset()
        resetting.cancel()
        self.failureResultOf(resetting, CancelledError)
        self.assertFalse(broker.sc_runs)
        self.clock.advance(0)
        self.connect(broker.sc_endpoint)
        self.assertEqual(self.code(self.spu(broker)), Code.NONE)
        self.assertEqual(len(broker.records("orders")), 1)

    def test_an_spu_that_stops_ends_its_connections_though_nobody_waits_for_it(self) -> None:
        broker = self.broker()
        wire = self.lingering(broker)
        stopping = broker.spu_down(5001)
        stopping.cancel()
        self.failureResultOf(stopping, CancelledError)
        self.clock.advance(0.5)
        self.assertFalse(wire.lost)
        self.clock.advance(0.5)
        self.assertTrue(wire.lost)

    def test_an_spu_comes_back_when_it_is_down(self) -> None:
        broker = self.broker()
        self.lingering(broker)
        stopping, starting = broker.spu_down(5001), broker.spu_up(5001)
        self.clock.advance(0.5)
        self.assertNoResult(starting)
        self.clock.advance(0.5)
        self.successResultOf(stopping)
        self.successResultOf(starting)
        wire = self.spu(broker)
        self.clock.advance(2)
        self.assertFalse(wire.lost)

    def test_spus_stop_together(self) -> None:
        broker = self.broker(spus=2)
        self.lingering(broker)
        stopping = [broker.spu_down(5001), broker.spu_down(5002)]
        self.assertEqual(broker.running_spus, ())
        self.clock.advance(1)
        for one in stopping:
            self.successResultOf(one)

    def test_any_number_may_want_a_reset(self) -> None:
        broker = self.broker()
        self.spu(broker)
        resetting = [broker.reset() for _ in range(400)]
        self.clock.advance(0)
        for one in resetting:
            self.successResultOf(one)
        self.spu(broker)

    def test_there_are_no_tricks_with_an_spu_that_is_not_there(self) -> None:
        broker = self.broker()
        self.assertRaises(UsageError, broker.spu_down, 7)
        self.failureResultOf(broker.spu_up(7), UsageError)


# Over TCP


async def dial(where: str) -> Wire:
    host, _, port = where.partition(":")
    return await connect(HostnameEndpoint(the_reactor, host, int(port)))


async def ask(wire: Wire, request: Request[Any], version: int = 25) -> Any:
    return await wire.send(request, version)[1]


@with_reactor
async def test_a_record_goes_through_tcp_and_back() -> None:
    async with FakeBroker(the_reactor, topics={"orders": 1}) as broker:
        wire = await dial(broker.spu_endpoints[5001])
        await ask(wire, produce(entry(ONE)))
        reply = await ask(wire, fetch(0))
        assert bytes(reply.topics[0].partitions[0].records) == ONE
    await wire.ended


@with_reactor
async def test_its_time_may_be_another_than_that_of_its_sockets() -> None:
    clock = Clock()
    broker = FakeBroker(the_reactor, topics={"orders": 1}, scheduler=clock)
    starting = broker.start()
    clock.advance(0)
    await starting
    wire = await dial(broker.spu_endpoints[5001])
    await ask(wire, produce(entry(ONE)))
    creating = broker.cluster.create_topic("later")
    await ask(wire, fetch(0))
    assert not creating.called
    clock.advance(0)
    await creating
    assert (broker.now(), len(broker.records("orders"))) == (0, 1)
    stopping = broker.stop()
    wire.drop()
    await stopping


@with_reactor
async def test_ports_are_free_ones_and_several_brokers_fit_in_a_process() -> None:
    async with FakeBroker(the_reactor, 2) as one, FakeBroker(the_reactor, 2) as other:
        places = [
            *one.spu_endpoints.values(),
            *other.spu_endpoints.values(),
            one.sc_endpoint,
            other.sc_endpoint,
        ]
        assert len(dict.fromkeys(places)) == 6
        sc = await dial(other.sc_endpoint)
        reply = await ask(sc, ApiVersionsRequest(client_version="1.0.0"), 2)
        assert reply.platform_version == "0.18.2-dev-1"


@with_reactor
async def test_a_client_finds_it_over_ipv6() -> None:
    try:
        async with FakeBroker(the_reactor, topics={"orders": 1}, host="::1") as broker:
            assert broker.sc_endpoint.startswith("[::1]:")
            config = broker.client_config()
            async with (
                FluvioClient(the_reactor, config) as client,
                client.producer("orders") as producer,
            ):
                await producer.send(b"x")
            assert [one.value for one in broker.records("orders")] == [b"x"]
    except CannotListenError:
        pytest.skip("this machine has no IPv6")


@with_reactor
async def test_clients_are_told_of_the_host_that_they_know_it_by() -> None:
    async with FakeBroker(the_reactor, topics={"orders": 1}, public_host="localhost") as broker:
        told = [broker.sc_endpoint, *broker.spu_endpoints.values()]
        assert {where.partition(":")[0] for where in told} == {"localhost"}
        async with (
            FluvioClient(the_reactor, broker.client_config()) as client,
            client.producer("orders") as producer,
        ):
            (spu,) = await client.admin.list_spus()
            await producer.send(b"x")
        assert (spu.host, spu.port) == ("localhost", int(told[1].partition(":")[2]))
        assert [one.value for one in broker.records("orders")] == [b"x"]


@with_reactor
async def test_clients_are_told_of_an_address_of_ipv6() -> None:
    try:
        made = FakeBroker(the_reactor, topics={"orders": 1}, host="::", public_host="::1")
        async with made as broker:
            told = [broker.sc_endpoint, *broker.spu_endpoints.values()]
            assert {where.rpartition(":")[0] for where in told} == {"[::1]"}
            async with (
                FluvioClient(the_reactor, broker.client_config()) as client,
                client.producer("orders") as producer,
            ):
                (spu,) = await client.admin.list_spus()
                await producer.send(b"x")
            assert (spu.host, spu.port) == ("::1", int(told[1].rpartition(":")[2]))
            assert [one.value for one in broker.records("orders")] == [b"x"]
    except CannotListenError:
        pytest.skip("this machine has no IPv6")


def test_a_public_host_is_a_name_or_an_address() -> None:
    for wrong in ("", "broker:9003", "a b", "[::1]", "::1:::", "fe80::1%eth0", "::1%a b"):
        with pytest.raises(InvalidConfig, match="public_host"):
            FakeBroker(Clock(), public_host=wrong)


@with_reactor
async def test_a_half_closed_connection_is_answered_first() -> None:
    async with FakeBroker(the_reactor, topics={"orders": 1}) as broker:
        wire = await dial(broker.spu_endpoints[5001])
        _, answer = wire.send(fetch(0), 25)
        transport: Any = wire.transport
        transport.loseWriteConnection()
        assert (await answer).topics[0].name == "orders"
        await wire.ended


@with_reactor
async def test_an_spu_comes_back_at_its_port() -> None:
    async with FakeBroker(the_reactor, topics={"orders": 1}) as broker:
        where = broker.spu_endpoints[5001]
        wire = await dial(where)
        await broker.spu_down(5001)
        await wire.ended
        with pytest.raises(ConnectionRefusedError):
            await dial(where)
        await broker.spu_up(5001)
        await broker.online("orders")
        assert (await ask(await dial(where), produce(entry(ONE)))) is not None


@with_reactor
async def test_an_spu_comes_back_at_its_port_in_the_turn_in_which_it_stops() -> None:
    async with FakeBroker(the_reactor) as broker:
        await gatherResults([broker.spu_down(5001), broker.spu_up(5001)])
        assert broker.running_spus == (5001,)


@with_reactor
async def test_resets_may_follow_each_other_in_one_turn() -> None:
    async with FakeBroker(the_reactor) as broker:
        await gatherResults([broker.reset(), broker.reset()])
        await dial(broker.sc_endpoint)


@with_reactor
async def test_a_large_batch_goes_through_in_one_piece() -> None:
    async with FakeBroker(the_reactor, topics={"orders": 1}) as broker:
        wire = await dial(broker.spu_endpoints[5001])
        batch = encode_batch([bytes(20_000_000)])
        await ask(wire, produce(entry(batch)))
        reply = await ask(wire, fetch(0, max_bytes=-1))
        assert bytes(reply.topics[0].partitions[0].records) == batch


def test_the_front_door_exports_what_it_says() -> None:
    for name in txfluvio.testing.__all__:
        assert getattr(txfluvio.testing, name) is not None
    assert dir(txfluvio.testing) == sorted(txfluvio.testing.__all__)
    with pytest.raises(AttributeError):
        _ = txfluvio.testing.nothing


def test_importing_the_front_door_imports_no_twisted() -> None:
    code = "import sys, txfluvio.testing; sys.exit('twisted' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
