"""The client as a service and as a context: its beginning, its end, and what it makes."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import txfluvio
from txfluvio import (
    ClientConfig,
    ConnectionState,
    ConsumerConfig,
    FluvioClient,
    Offset,
    OffsetStrategy,
    ProducerConfig,
)
from txfluvio.errors import (
    AlreadyRunning,
    ClientClosed,
    ConnectFailed,
    ConsumerClosed,
    Effect,
    FluvioError,
    InvalidConfig,
    NotStarted,
    ProducerClosed,
    ProtocolError,
    TopicNotFound,
    UnknownSetting,
    UnsupportedVersion,
)
from txfluvio.interfaces import (
    IFluvioAdmin,
    IFluvioClient,
    IFluvioConsumer,
    IFluvioProducer,
)
from txfluvio.testing import RELEASES, Release
from txfluvio.testing.sc.store import Item
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import Direction
from txfluvio.wire.sc import Computed, TopicSpec
from txfluvio.wire.versions import ApiVersionRange

from .client_kit import ClientCase


class BesideATopicThatNobodyCanUse(ClientCase):
    """An SC keeps a topic of any number of partitions for which it has too few SPUs."""

    TOPICS = {"orders": 1}

    def setUp(self) -> None:
        super().setUp()
        self.result(self.client.start())
        self.outgrow = self.broker.cluster.create_topic("huge", partitions=2**31, replication=9)
        self.outgrow.addErrback(lambda _: None)
        self.wait(1.0)

    def test_others_are_used(self) -> None:
        self.assertIs(self.client.state, ConnectionState.CONNECTED)

        async def use() -> bytes:
            async with self.client.producer("orders") as producer:
                await producer.send(b"value")
            beginning = Offset.beginning()
            async with self.client.consumer("orders", start=beginning) as records:
                return (await records.next()).value

        self.assertEqual(self.do(use()), b"value")

    def test_it_is_refused_by_name_and_can_be_deleted(self) -> None:
        for start in (self.client.producer("huge").start, self.client.consumer("huge").start):
            error = self.failure(start(), ProtocolError)
            self.assertIn("topic huge with 2147483648 partitions", str(error))
        self.result(self.client.admin.delete_topic("huge"))
        self.failure(self.client.producer("huge").start(), TopicNotFound)

    def test_a_reader_goes_on_with_the_partitions_it_has(self) -> None:
        consumer = self.client.consumer("orders", start=Offset.beginning())
        self.result(consumer.start())
        topics = self.broker.cluster.metadata.topics
        item = topics.get("orders")
        assert item is not None
        large = TopicSpec(replicas=Computed(partitions=2**31))
        topics.put(Item("orders", large, item.status))
        self.wait(1.0)
        self.assertEqual(consumer.partitions, (("orders", 0),))
        self.broker.append("orders", [b"value"])
        self.assertEqual(self.result(consumer.next()).value, b"value")
        self.result(consumer.close())


class Context(ClientCase):
    TOPICS = {"orders": 1}

    def test_inside_it_is_connected_and_outside_it_is_not(self) -> None:
        async def use() -> list[ConnectionState]:
            async with self.client as client:
                states.append(client.state)
            return states

        states = [self.client.state]
        self.do(use())
        states.append(self.client.state)
        self.assertEqual(
            states, [ConnectionState.NEW, ConnectionState.CONNECTED, ConnectionState.STOPPED]
        )

    def test_entering_fails_within_the_deadline_with_the_address_and_the_reason(self) -> None:
        self.result(self.broker.sc_down())
        entering = Deferred.fromCoroutine(self.client.__aenter__())
        self.wait(9.75)
        self.assertNoResult(entering)
        self.wait(0.25)
        error = self.failureResultOf(entering, ConnectFailed).value
        self.assertIn(self.client.config.endpoint, str(error))
        self.assertIn("refused", str(error))

    def test_an_error_inside_comes_out_and_everything_is_closed(self) -> None:
        async def use() -> None:
            async with self.client:
                raise ZeroDivisionError

        self.failure(Deferred.fromCoroutine(use()), ZeroDivisionError)
        self.assertIs(self.client.state, ConnectionState.STOPPED)

    def test_it_can_be_entered_again(self) -> None:
        async def use() -> int | None:
            async with self.client as client, client.producer("orders") as producer:
                return (await producer.send(b"x")).offset

        self.assertEqual([self.do(use()), self.do(use())], [0, 1])

    def test_the_release_of_the_cluster_is_known_once_connected(self) -> None:
        self.assertIsNone(self.client.cluster_version)
        self.result(self.client.start())
        self.assertEqual(self.client.cluster_version, self.broker.cluster.release.platform_version)


class Records(ClientCase):
    def test_from_an_empty_cluster_to_records_read_back(self) -> None:
        async def use() -> list[tuple[bytes | None, bytes]]:
            async with self.client as client:
                await client.admin.create_topic("greetings", partitions=2)
                async with client.producer("greetings") as producer:
                    await producer.send(b"hello", key=b"k")
                    await producer.send_many([b"a", (b"key", b"value"), b"b"])
                async with client.consumer(
                    "greetings", start=Offset.beginning(), stop=Offset.end()
                ) as records:
                    return [(record.key, record.value) async for record in records]

        found = self.do(use())
        self.assertCountEqual(
            found, [(b"k", b"hello"), (None, b"a"), (b"key", b"value"), (None, b"b")]
        )

    def test_records_are_stamped_with_the_time_of_day_that_the_client_is_given(self) -> None:
        config = self.broker.client_config()
        dialer = MemoryDialer(self.network, config, self.clock)
        self.client = FluvioClient(self.clock, config, dialer=dialer, now=lambda: 12.5)

        async def use() -> int:
            async with self.client as client:
                await client.admin.create_topic("greetings")
                async with client.producer("greetings") as producer:
                    return (await producer.send(b"hello")).timestamp

        self.assertEqual(self.do(use()), 12_500)

    def test_what_its_producers_hold_is_known(self) -> None:
        async def use() -> list[int]:
            async with self.client as client:
                await client.admin.create_topic("greetings")
                async with client.producer("greetings") as producer:
                    before = client.buffered
                    sending = producer.send(b"hello")
                    during = client.buffered
                    await sending
                    return [before, during, client.buffered]

        before, during, after = self.do(use())
        self.assertEqual((before, after), (0, 0))
        self.assertGreater(during, len(b"hello"))


def _ranges(table: dict[int, tuple[int, int]]) -> tuple[ApiVersionRange, ...]:
    return tuple(
        ApiVersionRange(api_key=key, min_version=low, max_version=high)
        for key, (low, high) in table.items()
    )


OLDEST = Release(
    platform_version="0.11.6",
    sc=_ranges({1001: (9, 13), 1002: (1, 13), 1003: (0, 13), 1004: (0, 13)}),
    spu=_ranges({0: (0, 23), 1: (0, 23), 1002: (23, 23), 1003: (0, 23), 1005: (0, 0)}),
)
"""The first with stored offsets; its SC has no call to change a topic yet."""


class Releases(ClientCase):
    """What the servers of each release list decides the versions that are spoken."""

    def test_the_whole_way_with_every_release(self) -> None:
        for name, release in RELEASES.items():
            with self.subTest(release=name):
                self.result(self.broker.stop())
                self.start_broker(release=release)
                self.assertEqual(self.do(self.use(self.make_client())), [b"a", b"b", b"c"])

    def test_the_whole_way_with_the_oldest_release(self) -> None:
        self.result(self.broker.stop())
        self.start_broker(release=OLDEST)
        use = self.use(self.make_client(), adding=False)
        self.assertEqual(self.do(use), [b"a", b"b", b"c"])

    def test_what_a_release_does_not_have_is_said_by_name(self) -> None:
        self.result(self.broker.stop())
        self.start_broker(release=OLDEST)
        self.client = self.make_client()
        self.result(self.client.start())
        self.result(self.client.admin.create_topic("orders"))
        error = self.failure(self.client.admin.add_partitions("orders", 1), UnsupportedVersion)
        self.assertEqual((error.offered, error.effect), ("none", Effect.NONE))

    async def use(self, client: FluvioClient, *, adding: bool = True) -> list[bytes]:
        async with client:
            await client.admin.create_topic("orders", retention=60, compression="gzip")
            if adding:
                await client.admin.add_partitions("orders", 1)
            async with client.producer("orders") as producer:
                await producer.send_many([b"a", b"b", b"c"])
            async with client.consumer(
                "orders",
                start=Offset.beginning(),
                stop=Offset.end(),
                consumer_id="worker",
                offsets=OffsetStrategy.MANUAL,
            ) as records:
                values = [record.value async for record in records]
                await records.commit()
            stored = await client.admin.list_consumer_offsets(consumer_id="worker")
            assert sum(found.offset + 1 for found in stored) == 3
            await client.admin.delete_topic("orders")
            assert await client.admin.list_topics() == []
        return sorted(values)


class Service(ClientCase):
    TOPICS = {"orders": 1}

    def test_it_is_a_service(self) -> None:
        self.assertTrue(verifyObject(IService, self.client))
        parent = MultiService()
        self.client.setServiceParent(parent)
        parent.startService()
        self.result(self.client.when_connected())
        stopping = parent.stopService()
        assert isinstance(stopping, Deferred)
        self.result(stopping)
        self.assertIs(self.client.state, ConnectionState.STOPPED)

    def test_it_goes_on_trying_until_the_cluster_is_there(self) -> None:
        self.result(self.broker.sc_down())
        self.client.startService()
        connected = self.client.when_connected()
        self.wait(300.0, step=1.0)
        self.assertNoResult(connected)
        self.assertIs(self.client.state, ConnectionState.CONNECTING)
        self.result(self.broker.sc_up())
        self.result(connected)

    def test_it_can_be_stopped_while_it_tries(self) -> None:
        self.result(self.broker.sc_down())
        self.client.startService()
        connected = self.client.when_connected()
        self.wait(5.0)
        self.result(self.client.stopService())
        self.failureResultOf(connected, ClientClosed)

    def test_it_can_be_started_again(self) -> None:
        for _ in range(2):
            self.client.startService()
            self.result(self.client.when_connected())
            self.result(self.client.stopService())

    def test_it_finds_the_sc_again(self) -> None:
        self.client.startService()
        self.result(self.client.when_connected())
        self.result(self.broker.sc_down())
        self.assertIs(self.client.state, ConnectionState.RECONNECTING)
        self.wait(60.0, step=1.0)
        self.result(self.broker.sc_up())
        self.result(self.client.when_connected())
        self.result(self.client.admin.create_topic("payments"))

    def test_everybody_who_waits_for_it_has_a_deferred_of_their_own(self) -> None:
        self.client.startService()
        first, second = self.client.when_connected(), self.client.when_connected()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.result(second)


class Twice(ClientCase):
    def test_starting_twice_is_a_mistake(self) -> None:
        starting = self.client.start()
        self.failureResultOf(self.client.start(), AlreadyRunning)
        self.assertRaises(AlreadyRunning, self.client.startService)
        self.result(starting)

    def test_closing_twice_is_none_and_each_waits_for_the_end(self) -> None:
        self.result(self.client.start())
        first, second = self.client.close(), self.client.close()
        self.assertNoResult(second)
        self.result(first)
        self.result(second)
        self.result(self.client.close())

    def test_closing_before_it_was_started_is_nothing(self) -> None:
        self.result(self.client.close())
        self.assertIs(self.client.state, ConnectionState.NEW)


class Closing(ClientCase):
    TOPICS = {"orders": 1}

    def test_what_was_sent_by_then_is_stored(self) -> None:
        self.result(self.client.start())
        producer = self.client.producer("orders", linger=5.0)
        self.result(producer.start())
        sent = producer.send(b"last")
        self.result(self.client.close())
        self.assertEqual(self.successResultOf(sent).offset, 0)
        self.assertEqual([r.value for r in self.broker.records("orders")], [b"last"])

    def test_producers_and_consumers_are_closed_with_it(self) -> None:
        self.result(self.client.start())
        producer = self.client.producer("orders")
        consumer = self.client.consumer("orders")
        self.result(producer.start())
        self.result(consumer.start())
        waiting = Deferred.fromCoroutine(consumer.__anext__())
        self.result(self.client.close())
        self.failureResultOf(waiting, StopAsyncIteration)
        self.failureResultOf(producer.send(b"x"), ProducerClosed)
        self.failureResultOf(consumer.next(), ConsumerClosed)

    def test_what_it_made_is_closed_with_it_whether_started_or_not(self) -> None:
        self.result(self.client.start())
        producer, consumer = self.client.producer("orders"), self.client.consumer("orders")
        self.result(self.client.close())
        self.failureResultOf(producer.start(), ProducerClosed)
        self.failureResultOf(consumer.start(), ConsumerClosed)

    def test_those_that_were_never_started_do_not_matter(self) -> None:
        self.result(self.client.start())
        kept = self.client.producer("orders"), self.client.consumer("orders")
        self.result(self.client.close())
        self.failureResultOf(kept[0].start(), FluvioError)

    def never_sent(self) -> Deferred[Any]:
        """A record for an SPU that is down, of a client that is started."""
        self.result(self.client.start())
        producer = self.client.producer("orders")
        self.result(producer.start())
        self.result(self.broker.spu_down(5001))
        sent = producer.send(b"never")
        self.wait(1.0)
        return sent

    def test_cancelling_it_does_not_wait_for_what_is_not_sent(self) -> None:
        sent = self.never_sent()
        closing = self.client.close()
        self.wait(1.0)
        self.assertNoResult(closing)
        closing.cancel()
        self.turn()
        self.failureResultOf(closing, CancelledError)
        self.failureResultOf(sent, FluvioError)
        self.turn()
        self.assertEqual(self.network.links, [])

    def test_when_it_is_over_there_is_nothing_left_to_cancel(self) -> None:
        self.result(self.client.start())
        first, second, third = (self.client.close() for _ in range(3))
        third.addErrback(lambda failure: failure.trap(CancelledError))
        second.addCallback(lambda _: third.cancel())
        self.result(second)
        self.result(third)
        self.result(first)

    def test_whoever_else_closes_it_can_cancel_too(self) -> None:
        sent = self.never_sent()
        first, second, third = (self.client.close() for _ in range(3))
        self.wait(1.0)
        second.cancel()
        self.turn()
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(sent, FluvioError)
        self.failureResultOf(first, CancelledError)
        self.successResultOf(third)
        self.turn()
        self.assertEqual(self.network.links, [])

    def test_what_is_being_closed_can_have_the_rest_closed_in_a_hurry(self) -> None:
        self.result(self.client.start())
        producer = self.client.producer("orders")
        consumer = self.client.consumer("orders")
        self.result(producer.start())
        self.result(consumer.start())

        def close_now(_: object) -> None:
            closing = self.client.close()
            closing.cancel()
            self.failureResultOf(closing, CancelledError)

        Deferred.fromCoroutine(consumer.__anext__()).addErrback(close_now)
        self.result(self.broker.spu_down(5001))
        sent = producer.send(b"never")
        closing = self.client.close()
        self.turn()
        self.failureResultOf(closing, CancelledError)
        self.failureResultOf(sent, FluvioError)

    def test_cancelling_it_closes_connections_at_once_that_the_servers_do_not_read(self) -> None:
        self.result(self.client.start())
        producer = self.client.producer("orders")
        self.result(producer.start())
        self.result(producer.send(b"first"))
        self.stall()
        never = producer.send(bytes(500_000))
        self.turn()
        closing = self.client.close()
        self.turn()
        closing.cancel()
        self.turn()
        self.failureResultOf(closing, CancelledError)
        self.failureResultOf(never, FluvioError)
        self.assertTrue(self.all_gone())

    def test_cancelling_it_while_connections_close_in_peace_closes_them_at_once(self) -> None:
        self.client = self.make_client(request_timeout=1.0)
        self.result(self.client.start())
        producer = self.client.producer("orders", close_timeout=0.25)
        self.result(producer.start())
        self.result(producer.send(b"first"))
        self.stall()
        never = producer.send(bytes(500_000))
        closing = self.client.close()
        self.wait(1.0)
        self.failureResultOf(never, FluvioError)
        self.assertNoResult(closing)
        self.assertFalse(self.all_gone())
        for _ in range(2):
            closing.cancel()
        self.turn()
        self.failureResultOf(closing, CancelledError)
        self.assertTrue(self.all_gone())

    def test_a_connection_that_is_being_made_is_gone_as_well_when_it_has_closed(self) -> None:
        self.network.latency = 1.0
        starting = self.client.start()
        self.wait(1.5)
        self.assertFalse(self.all_gone())
        self.network.latency = 0.0
        gone = self.client.close().addCallback(lambda _: self.all_gone())
        self.turn()
        self.failureResultOf(starting, ClientClosed)
        self.assertTrue(self.successResultOf(gone))

    def stall(self) -> None:
        """Let no server get what is sent from now on."""
        for link in self.network.links:
            link.stall(Direction.TO_SERVER)

    def all_gone(self) -> bool:
        """Whether the client has given up every connection."""
        return all(link.client.disconnected for link in self.network.links)

    def test_it_is_not_started_again_before_that_is_over(self) -> None:
        self.result(self.client.start())
        producer = self.client.producer("orders", close_timeout=2.0)
        self.result(producer.start())
        self.result(self.broker.spu_down(5001))
        never = producer.send(b"never")
        closing = self.client.close()
        self.turn()
        self.failureResultOf(self.client.start(), AlreadyRunning)
        self.assertRaises(AlreadyRunning, self.client.startService)
        self.result(closing)
        self.failureResultOf(never, FluvioError)
        self.assertFalse(self.client.running)
        self.result(self.client.start())

    def test_a_start_that_is_under_way_fails(self) -> None:
        self.network.latency = 1.0
        starting = self.client.start()
        self.wait(1.5)
        self.network.latency = 0.0
        self.result(self.client.close())
        self.failureResultOf(starting, ClientClosed)

    def test_a_start_that_is_cancelled_leaves_nothing(self) -> None:
        self.network.hang("127.0.0.1", self.client.config.address[1])
        starting = self.client.start()
        self.wait(1.0)
        starting.cancel()
        self.turn()
        self.failureResultOf(starting, CancelledError)
        self.assertIs(self.client.state, ConnectionState.STOPPED)

    def test_closed_it_makes_nothing_more(self) -> None:
        self.result(self.client.start())
        self.result(self.client.close())
        self.assertRaises(ClientClosed, self.client.producer, "orders")
        self.assertRaises(ClientClosed, self.client.consumer, "orders")
        self.failureResultOf(self.client.admin.list_topics(), ClientClosed)
        self.failureResultOf(self.client.when_connected(), ClientClosed)

    def test_one_that_is_gone_is_not_kept(self) -> None:
        self.result(self.client.start())
        for _ in range(3):
            self.client.producer("orders")
        gc.collect()
        self.assertEqual(len(self.client._producers), 0)


class Consuming(ClientCase):
    TOPICS = {"orders": 1, "copies": 1}

    def test_a_handler_gets_each_record(self) -> None:
        self.broker.append("orders", [b"a", b"b"])
        self.client.startService()
        seen: list[bytes] = []
        service = self.client.consume(
            "orders",
            lambda record: seen.append(record.value),
            start=Offset.beginning(),
            stop=Offset.end(),
        )
        self.assertTrue(verifyObject(IService, service))
        service.startService()
        self.result(service.when_done())
        self.assertEqual(seen, [b"a", b"b"])

    def test_a_handler_gets_lists_of_them_where_that_is_asked_for(self) -> None:
        self.broker.append("orders", [b"a", b"b"])
        self.client.startService()
        seen: list[list[bytes]] = []
        service = self.client.consume(
            "orders",
            lambda records: seen.append([record.value for record in records]),
            batches=True,
            start=Offset.beginning(),
            stop=Offset.end(),
        )
        service.startService()
        self.result(service.when_done())
        self.assertEqual(seen, [[b"a", b"b"]])

    def test_client_and_service_fit_into_one_application(self) -> None:
        self.result(self.broker.sc_down())
        self.broker.append("orders", [b"a"])
        seen: list[bytes] = []
        application = MultiService()
        self.client.setServiceParent(application)
        service = self.client.consume(
            "orders", lambda record: seen.append(record.value), start=Offset.beginning()
        )
        service.setServiceParent(application)
        application.startService()
        self.wait(30.0)
        self.result(self.broker.sc_up())
        self.wait(30.0)
        self.assertEqual(seen, [b"a"])
        stopping = application.stopService()
        assert isinstance(stopping, Deferred)
        self.result(stopping)

    def test_an_application_may_start_and_stop_a_service_before_its_client_again_and_again(
        self,
    ) -> None:
        self.broker.append("orders", [b"a"])
        seen: list[bytes] = []
        application = MultiService()
        service = self.client.consume(
            "orders", lambda record: seen.append(record.value), start=Offset.beginning()
        )
        for one in (service, self.client):
            one.setServiceParent(application)
        for times in range(1, 4):
            application.startService()
            self.wait(1.0)
            self.assertEqual(seen, [b"a"] * times)
            stopping = application.stopService()
            assert isinstance(stopping, Deferred)
            self.result(stopping)

    def test_a_client_that_was_started_again_gives_handlers_their_time_when_it_closes(self) -> None:
        self.broker.append("orders", [b"a"])
        in_hand: Deferred[None] = Deferred()
        service = self.client.consume("orders", lambda _: in_hand, start=Offset.beginning())
        self.result(self.client.start())
        self.result(self.client.close())
        self.result(self.client.start())
        service.startService()
        self.wait(0.5)
        closing = self.client.close()
        self.wait(1.0)
        self.assertNoResult(closing)
        in_hand.callback(None)
        self.result(closing)
        self.successResultOf(service.when_done())

    def test_a_service_whose_client_is_not_started_says_so(self) -> None:
        service = self.client.consume("orders", print, start=Offset.beginning())
        done = service.when_done()
        service.startService()
        self.wait(1.0)
        self.failureResultOf(done, NotStarted)

    def test_what_a_handler_produces_is_stored_before_the_client_closes(self) -> None:
        self.broker.append("orders", [b"a"])
        self.result(self.client.start())
        producer = self.client.producer("copies", linger=1.0)
        self.result(producer.start())
        service = self.client.consume(
            "orders", lambda record: producer.send(record.value), start=Offset.beginning()
        )
        service.startService()
        self.wait(0.5)
        self.result(self.client.close())
        self.assertEqual([r.value for r in self.broker.records("copies")], [b"a"])
        self.assertFalse(service.running)

    def test_a_handler_that_never_ends_does_not_keep_a_client_that_is_closed_in_a_hurry(
        self,
    ) -> None:
        self.broker.append("orders", [b"a"])
        self.result(self.client.start())
        busy: Deferred[None] = Deferred()
        service = self.client.consume("orders", lambda _: busy, start=Offset.beginning())
        service.startService()
        self.wait(0.5)
        closing = self.client.close()
        self.turn()
        self.assertNoResult(closing)
        closing.cancel()
        self.turn()
        self.failureResultOf(closing, CancelledError)
        self.assertEqual(self.network.links, [])
        self.wait(15.0)

    def test_what_is_wrong_is_said_at_once(self) -> None:
        for setting, make in (
            ("handler", lambda: self.client.consume("orders", None)),  # type: ignore[arg-type]
            ("topics", lambda: self.client.consume("", print)),
            ("ConsumerConfig.lingr", lambda: self.client.consume("orders", print, lingr=1)),
        ):
            error = self.assertRaises(InvalidConfig, make)
            self.assertEqual(error.setting, setting)


class Making(SynchronousTestCase):
    """Making things does no I/O, and says at once what is wrong."""

    def setUp(self) -> None:
        self.client = FluvioClient(Clock(), ClientConfig(endpoint="sc.test:9003"))

    def test_its_parts_are_what_the_interfaces_say(self) -> None:
        self.assertTrue(verifyObject(IFluvioClient, self.client))
        self.assertTrue(verifyObject(IFluvioAdmin, self.client.admin))
        self.assertTrue(verifyObject(IFluvioProducer, self.client.producer("orders")))
        self.assertTrue(verifyObject(IFluvioConsumer, self.client.consumer("orders")))

    def test_before_it_is_started_every_call_says_so(self) -> None:
        calls: list[Deferred[Any]] = [
            self.client.admin.list_topics(),
            self.client.admin.create_topic("orders"),
            self.client.when_connected(),
        ]
        for call in calls:
            self.failureResultOf(call, NotStarted)

    def test_a_client_needs_a_configuration(self) -> None:
        self.assertRaises(InvalidConfig, FluvioClient, Clock(), "sc.test:9003")

    def test_a_topic_has_a_name(self) -> None:
        for name in ("", b"orders", None):
            self.assertRaises(InvalidConfig, self.client.producer, name)
            self.assertRaises(InvalidConfig, self.client.consumer, name)

    def test_topics_are_a_name_or_several(self) -> None:
        wrongs: tuple[Any, ...] = (3, None, {"orders": 0}, [], ["orders", ""], ["orders", 3], [[]])
        for wrong in wrongs:
            error = self.assertRaises(InvalidConfig, self.client.consumer, wrong)
            self.assertEqual(error.setting, "topics")

    def test_who_misspells_a_setting_is_told_the_one_that_was_meant(self) -> None:
        with self.assertRaisesRegex(
            UnknownSetting, r"no setting ProducerConfig\.compresion: did you mean compression\?"
        ):
            self.client.producer("orders", compresion="gzip")
        with self.assertRaisesRegex(UnknownSetting, "there are max_bytes, isolation, "):
            self.client.consumer("orders", xyz=1)

    def test_who_misspells_what_is_no_setting_is_told_that_too(self) -> None:
        wrongs: tuple[tuple[str, Any, str], ...] = (
            ("partition", 0, "partitions"),
            ("offset", Offset.beginning(), "start"),
        )
        for name, value, meant in wrongs:
            with self.assertRaisesRegex(UnknownSetting, f"did you mean {meant}\\?$"):
                self.client.consumer("orders", **{name: value})
        with self.assertRaisesRegex(UnknownSetting, r"did you mean batches\?$"):
            self.client.consume("orders", print, batch=True)

    def test_settings_can_be_given_by_name(self) -> None:
        base = ProducerConfig(linger=0.5)
        producer = self.client.producer("orders", base, batch_size=100)
        self.assertEqual((producer.config.linger, producer.config.batch_size), (0.5, 100))

    def test_settings_that_are_none_are_refused_and_not_shown(self) -> None:
        error = self.assertRaises(
            InvalidConfig,
            FluvioClient,
            Clock(),
            {"tls": {"key_pem": "secret"}},
        )
        self.assertEqual(error.setting, "FluvioClient.config")
        self.assertNotIn("secret", str(error))

    def test_settings_of_producers_and_consumers_that_are_none_are_not_shown_either(self) -> None:
        wrong: Any = {"smartmodules": [{"params": {"token": "secret"}}]}
        for make in (self.client.producer, self.client.consumer):
            error = self.assertRaises(InvalidConfig, make, "orders", config=wrong)
            self.assertIn("not shown, of type dict", str(error))
            self.assertNotIn("secret", str(error))

    def test_a_setting_that_is_wrong_or_unknown_is_named(self) -> None:
        for setting, make in (
            ("ProducerConfig.linger", lambda: self.client.producer("orders", linger=-1)),
            ("ProducerConfig.lingr", lambda: self.client.producer("orders", lingr=1)),
            ("ConsumerConfig.max_bytes", lambda: self.client.consumer("orders", max_bytes=0)),
            ("config", lambda: self.client.producer("orders", ConsumerConfig())),  # type: ignore[arg-type]
        ):
            error = self.assertRaises(InvalidConfig, make)
            self.assertEqual(error.setting, setting)


class FrontDoor(SynchronousTestCase):
    def test_every_name_it_promises_is_there(self) -> None:
        for name in txfluvio.__all__:
            self.assertIsNotNone(getattr(txfluvio, name))
        self.assertEqual(dir(txfluvio), sorted(txfluvio.__all__))

    def test_it_has_no_other_names(self) -> None:
        with self.assertRaises(AttributeError):
            _ = txfluvio.Nonsense

    def test_opening_it_brings_in_no_twisted(self) -> None:
        script = (
            "import sys, txfluvio, txfluvio.wire, txfluvio.testing, txfluvio.interfaces;"
            "sys.exit(any(name.split('.')[0] == 'twisted' for name in sys.modules))"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
