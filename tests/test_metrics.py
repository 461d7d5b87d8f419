"""What a client tells of itself, and how Prometheus gets to see it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from random import Random
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest
from zope.interface.verify import verifyObject

from txfluvio import FluvioClient, Offset
from txfluvio.config import ClientConfig, RetryPolicy
from txfluvio.errors import (
    DeliveryTimedOut,
    Disconnected,
    FluvioError,
    InvalidConfig,
    MissingPackage,
    TopicNotFound,
    broker_error,
)
from txfluvio.interfaces import IMetrics
from txfluvio.metrics import NOTHING, ClientFacts, NoMetrics, SeveralMetrics, error_code
from txfluvio.producer import Producer
from txfluvio.prometheus import MetricsResource, PrometheusMetrics
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.wire.records import encode_batch

from .client_kit import ClientCase

BEGINNING, END = Offset.beginning(), Offset.end()


class Notes(NoMetrics):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.facts: Callable[[], ClientFacts] | None = None

    def attach(self, facts: Callable[[], ClientFacts]) -> None:
        self.facts = facts

    def connected(self, address: str) -> None:
        self.told.append(("connected", address))

    def disconnected(self, address: str, error: FluvioError) -> None:
        self.told.append(("disconnected", address, type(error)))

    def answered(self, api: str, seconds: float) -> None:
        self.told.append(("answered", api, seconds))

    def produced(self, topic: str, partition: int, records: int, size: int, seconds: float) -> None:
        self.told.append(("produced", topic, partition, records, size, seconds))

    def received(self, topic: str, partition: int, size: int) -> None:
        self.told.append(("received", topic, partition, size))

    def consumed(self, topic: str, partition: int, records: int) -> None:
        self.told.append(("consumed", topic, partition, records))

    def failed(self, operation: str, error: FluvioError) -> None:
        self.told.append(("failed", operation, type(error)))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What it was told of one kind."""
        return [each[1:] for each in self.told if each[0] == kind]


class MeteredCase(ClientCase):
    TOPICS = {"orders": 2}

    def metered(self, metrics: Any) -> FluvioClient:
        retry = RetryPolicy(initial=0.5, maximum=4.0, jitter=0.0)
        config = self.broker.client_config(retry=retry, idle_probe=1e6)
        dialer = MemoryDialer(self.network, config, self.clock)
        client = FluvioClient(self.clock, config, dialer=dialer, rng=Random(1), metrics=metrics)
        self.client = client
        self.result(client.start())
        return client

    def produce(self, client: FluvioClient, *values: bytes, **settings: Any) -> None:
        async def send() -> None:
            async with client.producer("orders", **settings) as producer:
                await producer.send_many(values, partition=1)

        self.do(send())

    def consume(self, client: FluvioClient) -> int:
        async def read() -> int:
            count = 0
            async with client.consumer("orders", start=BEGINNING, stop=END) as records:
                async for _ in records:
                    count += 1
            return count

        return self.do(read())


class WhatIsTold(MeteredCase):
    def setUp(self) -> None:
        super().setUp()
        self.notes = Notes()

    def test_batches_that_are_stored_with_their_records_and_bytes(self) -> None:
        self.produce(self.metered(self.notes), b"x" * 100, b"y" * 100)
        ((topic, partition, records, size, seconds),) = self.notes.of("produced")
        self.assertEqual((topic, partition, records), ("orders", 1, 2))
        self.assertTrue(200 < size < 300, size)
        self.assertGreaterEqual(seconds, 0)

    def test_how_long_a_batch_took_counts_from_its_first_record(self) -> None:
        client = self.metered(self.notes)
        producer = client.producer("orders", linger=2.0)
        self.result(producer.start())
        self.result(producer.send(b"x"))
        self.result(producer.close())
        ((*_, seconds),) = self.notes.of("produced")
        self.assertEqual(seconds, 2.0)

    def test_records_that_come_in_and_are_handed_out(self) -> None:
        client = self.metered(self.notes)
        self.produce(client, b"x" * 100, b"y")
        self.assertEqual(self.consume(client), 2)
        self.assertEqual(self.notes.of("consumed"), [("orders", 1, 2)])
        ((topic, partition, size),) = self.notes.of("received")
        self.assertEqual((topic, partition), ("orders", 1))
        self.assertGreater(size, 100)

    def test_replies_with_their_time(self) -> None:
        self.produce(self.metered(self.notes), b"x")
        apis = Counter(api for api, _ in self.notes.of("answered"))
        self.assertEqual(apis["Produce"], 1)

    def test_connections_and_their_loss_but_not_what_the_client_ends(self) -> None:
        client = self.metered(self.notes)
        sc = self.broker.sc_endpoint
        self.assertEqual(self.notes.of("connected"), [(sc,)])
        self.result(self.broker.sc_down())
        self.assertEqual(self.notes.of("disconnected"), [(sc, Disconnected)])
        self.result(self.broker.sc_up())
        self.wait(10.0)
        self.assertEqual(self.notes.of("connected"), [(sc,), (sc,)])
        self.result(client.close())
        self.assertEqual(self.notes.of("disconnected"), [(sc, Disconnected)])

    def test_attempts_to_connect_that_fail(self) -> None:
        self.metered(self.notes)
        self.result(self.broker.sc_down())
        self.wait(3.0)
        operations = {operation for operation, _ in self.notes.of("failed")}
        self.assertEqual(operations, {"connect"})

    def test_errors_of_producing_and_consuming(self) -> None:
        client = self.metered(self.notes)
        consumer = client.consumer("orders", partitions=1, start=Offset.absolute(99))
        starting = consumer.start()
        starting.addErrback(lambda _: None)
        self.wait(5.0)
        self.assertIn("consume", {operation for operation, _ in self.notes.of("failed")})

    def overloaded(self) -> Producer:
        """A producer that holds two batches, with a third record that waits for room."""
        client = self.metered(self.notes)
        self.result(self.broker.spu_down(5001))
        self.wait(1.0)
        producer = client.producer(
            "orders", batch_size=200, max_request_size=200, buffer_memory=200, delivery_timeout=5.0
        )
        self.result(producer.start())
        for _ in range(3):
            producer.send(bytes(110), partition=1).addErrback(lambda _: None)
        return producer

    def test_records_that_got_no_room_in_time_like_batches_that_are_late(self) -> None:
        self.overloaded()
        self.wait(5.0)
        self.assertEqual(self.notes.of("failed"), [("produce", DeliveryTimedOut)] * 3)

    def test_records_that_had_no_room_when_the_producer_gave_up(self) -> None:
        closing = self.overloaded().close()
        closing.addErrback(lambda _: None)
        closing.cancel()
        self.assertEqual(self.notes.of("failed"), [("produce", DeliveryTimedOut)] * 3)

    def test_facts_are_there_at_any_time(self) -> None:
        client = self.metered(self.notes)
        assert self.notes.facts is not None
        self.produce(client, b"x", b"y", b"z")
        consumer = client.consumer("orders", start=BEGINNING)
        self.result(consumer.start())
        self.result(consumer.next())
        self.wait(1.0)
        facts = self.notes.facts()
        self.assertEqual(facts.lag[("orders", 0)], 0)
        self.assertGreaterEqual(facts.connections, 3)
        self.assertEqual((facts.in_flight, facts.buffered), (0, 0))
        producer = client.producer("orders", linger=60.0)
        self.result(producer.start())
        pending: Deferred[Any] = producer.send(b"v" * 500)
        self.assertGreater(self.notes.facts().buffered, 500)
        self.result(producer.close())
        self.successResultOf(pending)

    def test_lag_is_how_far_the_position_is_behind(self) -> None:
        client = self.metered(self.notes)
        self.produce(client, *[b"x" * 1000] * 10)
        consumer = client.consumer("orders", partitions=1, start=BEGINNING, max_bytes=2500)
        self.result(consumer.start())
        self.wait(1.0)
        self.assertEqual(client.facts().lag, {("orders", 1): 10})
        for _ in range(4):
            self.result(consumer.next())
        self.assertLess(client.facts().lag["orders", 1], 10)


class Prometheus(MeteredCase):
    def setUp(self) -> None:
        super().setUp()
        self.metrics = PrometheusMetrics()

    def value(self, name: str, **labels: str) -> float | None:
        found: float | None = self.metrics.registry.get_sample_value(
            f"fluvio_client_{name}", labels
        )
        return found

    def test_counts_both_ways_and_how_long_things_took(self) -> None:
        client = self.metered(self.metrics)
        self.produce(client, b"x", b"y", b"z")
        self.consume(client)
        for name, value in (
            ("produced_records_total", 3),
            ("produced_batches_total", 1),
            ("consumed_records_total", 3),
            ("received_replies_total", 1),
            ("delivery_seconds_count", 1),
        ):
            self.assertEqual(self.value(name, topic="orders"), value, name)
        self.assertGreater(self.value("produced_bytes_total", topic="orders") or 0, 3)
        self.assertGreater(self.value("received_bytes_total", topic="orders") or 0, 3)
        self.assertEqual(self.value("request_seconds_count", api="Produce"), 1)

    def test_tells_a_reconnect_from_a_connection(self) -> None:
        self.metered(self.metrics)
        self.result(self.broker.sc_down())
        self.result(self.broker.sc_up())
        self.wait(10.0)
        self.assertEqual(self.value("connects_total"), 2)
        self.assertEqual(self.value("reconnects_total"), 1)
        self.assertEqual(self.value("disconnects_total"), 1)

    def test_counts_errors_by_code(self) -> None:
        self.metrics.failed("produce", TopicNotFound(what="topic x"))
        self.metrics.failed("produce", Disconnected("a:1", "gone"))
        self.assertEqual(self.value("errors_total", operation="produce", code="2001"), 1)
        self.assertEqual(self.value("errors_total", operation="produce", code="Disconnected"), 1)

    def test_asks_how_things_stand_when_it_is_asked(self) -> None:
        client = self.metered(self.metrics)
        self.produce(client, b"x", b"y")
        consumer = client.consumer("orders", partitions=1, start=BEGINNING)
        self.result(consumer.start())
        self.wait(1.0)
        self.assertEqual(self.value("consumer_lag", topic="orders", partition="1"), 2)
        self.result(consumer.next())
        self.result(consumer.close())
        self.assertIsNone(self.value("consumer_lag", topic="orders", partition="1"))
        self.assertEqual(self.value("requests_in_flight"), 0)
        self.assertGreater(self.value("connections") or 0, 1)

    def test_serves_several_clients_together(self) -> None:
        self.metered(self.metrics)
        first = self.value("connections") or 0
        other = self.client
        self.metered(self.metrics)
        self.assertEqual(self.value("connections"), 2 * first)
        self.result(other.close())

    def test_a_client_that_nobody_has_any_more_is_forgotten(self) -> None:
        facts = ClientFacts(connections=7, in_flight=0, buffered=0, held=0, lag={})

        class Client:
            def facts(self) -> ClientFacts:
                return facts

        client = Client()
        self.metrics.attach(client.facts)
        self.assertEqual(self.value("connections"), 7)
        del client
        self.assertEqual(self.value("connections"), 0)

    def test_facts_may_come_from_any_function(self) -> None:
        self.metrics.attach(
            lambda: ClientFacts(connections=7, in_flight=0, buffered=0, held=0, lag={})
        )
        self.assertEqual(self.value("connections"), 7)

    def test_the_resource_speaks_the_format_of_prometheus(self) -> None:
        self.produce(self.metered(self.metrics), b"x")
        request = DummyRequest([b"metrics"])
        body = MetricsResource(self.metrics).render(request)
        (content_type,) = request.responseHeaders.getRawHeaders("content-type", [])
        self.assertTrue(content_type.startswith("text/plain"))
        names = {family.name for family in text_string_to_metric_families(body.decode())}
        self.assertIn("fluvio_client_produced_records", names)
        self.assertIn("fluvio_client_consumer_lag", names)

    def test_a_request_that_asks_for_a_version_that_is_none_gets_the_plain_format(self) -> None:
        request = DummyRequest([b"metrics"])
        asked = "application/openmetrics-text; version=abc"
        request.requestHeaders.setRawHeaders("accept", [asked])
        MetricsResource(self.metrics).render(request)
        (content_type,) = request.responseHeaders.getRawHeaders("content-type", [])
        self.assertTrue(content_type.startswith("text/plain"))

    def test_what_a_metric_says_of_itself_begins_with_what_it_counts(self) -> None:
        for family in self.metrics.registry.collect():
            unit = family.name.rpartition("_")[2]
            if unit in ("bytes", "seconds", "batches", "records", "replies", "connections"):
                self.assertTrue(family.documentation.startswith(unit.capitalize()), family.name)

    def test_bytes_that_are_produced_and_received_have_the_header_of_their_batch(self) -> None:
        client = self.metered(self.metrics)
        self.produce(client, b"x" * 100)
        self.consume(client)
        produced = self.value("produced_bytes_total", topic="orders")
        self.assertEqual(produced, len(encode_batch([b"x" * 100])))
        self.assertEqual(self.value("received_bytes_total", topic="orders"), produced)

    def test_a_registry_that_has_them_already_refuses_them_and_gets_nothing_twice(self) -> None:
        registry = self.metrics.registry
        before = {family.name for family in registry.collect()}
        self.assertRaises(ValueError, PrometheusMetrics, registry)
        self.assertEqual(sorted(family.name for family in registry.collect()), sorted(before))


class Nobody(SynchronousTestCase):
    def test_a_client_without_metrics_asks_no_connection_to_measure(self) -> None:
        """What costs nothing: no callback for a reply, and calls by batch that do nothing."""
        case = ClientCase("turn")
        case.setUp()
        case.result(case.client.start())
        (connection,) = case.client._cluster._connections._open
        self.assertIsNone(connection.on_answered)
        case.tearDown()


@pytest.mark.parametrize(
    "metrics",
    [NOTHING, SeveralMetrics(), PrometheusMetrics(), Notes()],
    ids=lambda m: type(m).__name__,
)
def test_all_of_them_are_metrics(metrics: object) -> None:
    assert verifyObject(IMetrics, metrics)


@pytest.mark.parametrize("wrong", [3, PrometheusMetrics, print])
def test_what_is_no_metrics_is_refused_by_name(wrong: Any) -> None:
    config = ClientConfig(endpoint="sc.test:9003")
    with pytest.raises(InvalidConfig, match=r"FluvioClient\.metrics .*an IMetrics"):
        FluvioClient(Clock(), config, metrics=wrong)
    with pytest.raises(InvalidConfig, match=r"SeveralMetrics\.each .*an IMetrics"):
        SeveralMetrics(NOTHING, wrong)


def test_without_prometheus_client_importing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "txfluvio.prometheus")
    with pytest.raises(MissingPackage, match=r"install txfluvio\[metrics\]") as raised:
        import_module("txfluvio.prometheus")
    assert isinstance(raised.value, ImportError)


def test_several_are_told_the_same() -> None:
    notes = [Notes(), Notes()]
    several = SeveralMetrics(*notes)
    several.attach(lambda: ClientFacts(connections=0, in_flight=0, buffered=0, held=0, lag={}))
    several.connected("a:1")
    several.disconnected("a:1", Disconnected("a:1", "gone"))
    several.answered("Produce", 0.5)
    several.produced("t", 0, 1, 2, 0.5)
    several.received("t", 0, 2)
    several.consumed("t", 0, 1)
    several.failed("produce", Disconnected("a:1", "gone"))
    assert notes[0].told == notes[1].told
    assert len(notes[0].told) == 7
    assert notes[1].facts is not None


class Broken(NoMetrics):
    """Fails whatever it is told, but for the beginning."""

    def __getattribute__(self, name: str) -> Any:
        if name == "attach" or name not in IMetrics:
            return super().__getattribute__(name)
        return self._fail

    def _fail(self, *facts: object) -> None:
        raise RuntimeError("no room on the disk")


class WhatMetricsRaise(MeteredCase):
    def test_records_and_their_senders_are_not_concerned(self) -> None:
        client = self.metered(Broken())
        self.produce(client, b"x", b"y")
        self.assertEqual(self.consume(client), 2)
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    def test_others_are_told_all_the_same(self) -> None:
        notes = Notes()
        SeveralMetrics(Broken(), notes).received("orders", 0, 7)
        self.assertEqual(notes.of("received"), [("orders", 0, 7)])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


def test_codes_that_nobody_knows_are_counted_as_one() -> None:
    assert error_code(broker_error(4711)) == error_code(broker_error(-4712)) == "unknown"
    assert error_code(broker_error(60)) == "60"


def test_an_error_without_a_code_is_counted_by_its_name() -> None:
    assert error_code(Disconnected("a:1", "gone")) == "Disconnected"
