"""Entering a producer checks what can be checked before a record is sent."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred

from tests.producer.kit import NAME, ProducerTestCase
from txfluvio.cluster.cluster import TOPIC_GRACE, Cluster
from txfluvio.config import ClientConfig
from txfluvio.errors import (
    AlreadyRunning,
    ClientClosed,
    CompressionConflict,
    ConnectFailed,
    NotStarted,
    ProducerClosed,
    TopicNotFound,
    WaitTimedOut,
)
from txfluvio.producer import Producer
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.wire.compression import Compression
from txfluvio.wire.sc import TopicCompression


class StartingTests(ProducerTestCase):
    def test_making_one_does_nothing(self) -> None:
        before = self.clock.getDelayedCalls()
        producer = self.make("no-such-topic")
        self.assertEqual(self.clock.getDelayedCalls(), before)
        self.assertIn("not started", repr(producer))

    def test_a_topic_that_is_there_can_be_produced_to(self) -> None:
        producer = self.make()
        self.successResultOf(producer.start())
        self.assertEqual(producer.topic, NAME)

    def test_a_topic_that_is_not_there_is_named(self) -> None:
        starting = self.make("nope").start()
        self.turn(TOPIC_GRACE)
        error = self.failureResultOf(starting, TopicNotFound).value
        self.assertIn("nope", str(error))

    def test_a_topic_made_a_moment_ago_is_waited_for(self) -> None:
        self.delete_topic()
        self.turn()
        starting = self.make().start()
        self.assertNoResult(starting)
        self.make_topic(1)
        self.turn()
        self.successResultOf(starting)

    def test_it_enters_and_leaves_as_an_async_context(self) -> None:
        async def use() -> bytes:
            async with self.make() as producer:
                await producer.send(b"hello")
            return b"left"

        used = Deferred.fromCoroutine(use())
        self.turn()
        self.assertEqual(self.successResultOf(used), b"left")
        self.assertEqual(self.leader.values(), [b"hello"])

    def test_starting_twice_is_refused(self) -> None:
        producer = self.started()
        self.failureResultOf(producer.start(), AlreadyRunning)

    def test_starting_while_it_starts_is_refused(self) -> None:
        producer = self.make("nope")
        starting = producer.start()
        self.failureResultOf(producer.start(), AlreadyRunning)
        self.turn(TOPIC_GRACE)
        self.failureResultOf(starting, TopicNotFound)

    def test_after_a_failure_it_may_be_started_again(self) -> None:
        self.delete_topic()
        self.turn()
        producer = self.make()
        starting = producer.start()
        self.turn(TOPIC_GRACE)
        self.failureResultOf(starting, TopicNotFound)
        self.make_topic(1)
        self.turn()
        self.successResultOf(producer.start())

    def test_cancelled_it_is_not_started_and_may_be_started_again(self) -> None:
        self.delete_topic()
        self.turn()
        producer = self.make()
        starting = producer.start()
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        self.failureResultOf(producer.send(b"x"), NotStarted)
        self.make_topic(1)
        self.turn()
        self.successResultOf(producer.start())

    def test_closing_while_it_starts_ends_that(self) -> None:
        producer = self.make("nope")
        starting = producer.start()
        self.successResultOf(producer.close())
        self.failureResultOf(starting, ProducerClosed)
        self.failureResultOf(producer.start(), ProducerClosed)

    def test_closed_before_it_started_it_stays_closed(self) -> None:
        producer = self.make()
        self.successResultOf(producer.close())
        self.failureResultOf(producer.start(), ProducerClosed)

    def test_it_does_not_start_once_the_client_is_closed(self) -> None:
        stopped = self.cluster.stop()
        self.turn()
        self.successResultOf(stopped)
        self.failureResultOf(self.make("nope").start(), ClientClosed)

    def test_it_starts_with_a_client_that_is_started_and_knows_its_cluster(self) -> None:
        config = ClientConfig(endpoint="nobody.test:9003", connect_timeout=3.0)
        dialer = MemoryDialer(self.network, config, self.clock)
        cluster = Cluster(config, dialer=dialer, clock=self.clock, rng=Random(0))
        producer = Producer(cluster, NAME, budget=self.budget)
        self.failureResultOf(producer.start(), NotStarted)
        connecting, starting = cluster.start(), producer.start()
        self.turn(2.9)
        self.assertNoResult(starting)
        self.turn(0.1)
        self.failureResultOf(starting, WaitTimedOut)
        self.failureResultOf(connecting, ConnectFailed)
        cluster.stop()

    def test_before_it_is_started_nothing_can_be_sent(self) -> None:
        producer = self.make()
        self.failureResultOf(producer.send(b"x"), NotStarted)
        self.failureResultOf(producer.send_many([b"x"]), NotStarted)
        self.failureResultOf(producer.flush(), NotStarted)


class CompressionTests(ProducerTestCase):
    def used(self, demanded: TopicCompression, chosen: str | None) -> Compression:
        """The codec of a batch sent to a topic that demands one by a producer that chose one."""
        self.delete_topic()
        self.make_topic(1, compression_type=demanded)
        self.turn()
        producer = self.started(compression=chosen)
        producer.send(b"hello")
        self.turn()
        (batch,) = self.leader.asked[-1].batches
        self.assertEqual(batch.values(), [b"hello"])
        return batch.compression

    def test_where_any_is_accepted_nothing_is_compressed_unless_chosen(self) -> None:
        self.assertIs(self.used(TopicCompression.ANY, None), Compression.NONE)
        self.assertIs(self.used(TopicCompression.ANY, "snappy"), Compression.SNAPPY)

    def test_every_codec_can_be_chosen(self) -> None:
        for codec in Compression:
            self.assertIs(self.used(TopicCompression.ANY, codec.name.lower()), codec)

    def test_what_the_topic_demands_wins_where_nothing_is_chosen(self) -> None:
        for codec in Compression:
            self.assertIs(self.used(TopicCompression[codec.name], None), codec)

    def test_what_the_topic_demands_may_be_chosen_as_well(self) -> None:
        self.assertIs(self.used(TopicCompression.ZSTD, "zstd"), Compression.ZSTD)

    def used_once_made_anew(self, demanded: TopicCompression, chosen: str | None) -> Compression:
        """The codec of a batch for a topic that, made anew, demands one; it took any before."""
        producer = self.started(compression=chosen)
        self.delete_topic()
        self.make_topic(1, compression_type=demanded)
        self.turn()
        producer.send(b"hello")
        self.turn()
        return self.leader.asked[-1].batches[0].compression

    def test_what_a_topic_demands_that_was_made_anew_wins_from_then_on(self) -> None:
        codec = self.used_once_made_anew(TopicCompression.ZSTD, None)
        self.assertIs(codec, Compression.ZSTD)

    def test_what_was_chosen_stays_for_a_topic_that_was_made_anew(self) -> None:
        codec = self.used_once_made_anew(TopicCompression.ZSTD, "gzip")
        self.assertIs(codec, Compression.GZIP)

    def test_anything_else_is_a_conflict_that_names_both(self) -> None:
        self.delete_topic()
        self.make_topic(1, compression_type=TopicCompression.GZIP)
        self.turn()
        for chosen in ("none", "zstd"):
            failure = self.failureResultOf(self.make(compression=chosen).start())
            error = failure.value
            assert isinstance(error, CompressionConflict)
            self.assertEqual((error.required, error.chosen), ("gzip", chosen))
