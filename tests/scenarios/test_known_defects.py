"""What clients of Fluvio are known to do wrong, one by one, and that this one does right.

Each test has the name of the defect. The first three classes follow the places where it shows:
reading, writing, and the connections and metadata below both.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.client_kit import ClientCase
from txfluvio import Delivery, Isolation, Offset, OffsetStrategy
from txfluvio.errors import (
    CompressionConflict,
    NotLeaderForPartition,
    PartitionNotFound,
    PermissionDenied,
    ProtocolError,
    RecordTooLarge,
    TopicNotFound,
    WaitTimedOut,
)
from txfluvio.testing.faults import AnswerError, CorruptCrc, Fault, Match, WrongLength
from txfluvio.wire.codes import Code
from txfluvio.wire.records import Record
from txfluvio.wire.sc import (
    Assigned,
    Computed,
    PartitionMap,
    TopicCompression,
    TopicSpec,
)

BEGINNING, END = Offset.beginning(), Offset.end()
REPLICATED = TopicSpec(replicas=Assigned(partitions=(PartitionMap(id=0, replicas=(5001, 5002)),)))


class DefectCase(ClientCase):
    SPUS = 2
    TOPICS: dict[str, Any] = {"orders": 1, "wide": 3, "copied": REPLICATED}

    def setUp(self) -> None:
        super().setUp()
        self.result(self.client.start())

    def fill(self, batches: int, size: int, topic: str = "orders", partition: int = 0) -> None:
        """Append batches of so many records, whose values count up."""
        base = self.broker.replica(topic, partition).log.leo
        for first in range(base, base + batches * size, size):
            values = [b"%06d" % number for number in range(first, first + size)]
            self.broker.append(topic, values, partition)

    def reading(self, topic: str = "orders", **settings: Any) -> Any:
        consumer = self.client.consumer(topic, **{"start": BEGINNING, **settings})
        self.result(consumer.start())
        return consumer

    def read(self, consumer: Any, count: int) -> list[Record]:
        return [self.result(consumer.next()) for _ in range(count)]

    def all_of(self, consumer: Any) -> list[int]:
        """The offsets of everything up to the stop."""

        async def collect() -> list[int]:
            return [record.offset async for record in consumer]

        return self.result(Deferred.fromCoroutine(collect()))

    def writing(self, topic: str = "orders", **settings: Any) -> Any:
        producer = self.client.producer(topic, **settings)
        self.result(producer.start())
        return producer

    def lose_connections(self) -> None:
        """Reset everything."""
        for link in list(self.network.links):
            link.reset()
        self.turn()

    def asked(self, name: str) -> int:
        """How often servers were asked something."""
        return len(self.broker.journal.requests(name))


class Reading(DefectCase):
    def test_records_are_lost_where_a_reply_ends_inside_a_batch(self) -> None:
        self.fill(5, 10)
        size = self.broker.replica("orders").log.size // 5
        for cut in (size + size // 2, size + 70, 2 * size - 1):
            consumer = self.reading(stop=END, max_bytes=cut)
            self.assertEqual(self.all_of(consumer), list(range(50)))

    def test_a_batch_larger_than_max_bytes_is_never_delivered(self) -> None:
        self.fill(2, 100)
        for max_bytes in (1, 20, 61, 500):
            consumer = self.reading(stop=END, max_bytes=max_bytes)
            self.assertEqual(self.all_of(consumer), list(range(200)))

    def test_one_position_serves_all_partitions_after_a_reconnect(self) -> None:
        for partition, batches in enumerate((1, 4, 9)):
            self.fill(batches, 2, "wide", partition)
        consumer = self.reading("wide", max_bytes=150, buffer_memory=450)
        seen = self.read(consumer, 10)
        self.lose_connections()
        seen += self.read(consumer, 18)
        for partition, batches in enumerate((1, 4, 9)):
            offsets = [record.offset for record in seen if record.partition == partition]
            self.assertEqual(offsets, list(range(2 * batches)))

    def test_stopping_at_the_end_counts_records_and_so_ends_early(self) -> None:
        self.fill(2, 7)
        consumer = self.reading(start=Offset.absolute(9), stop=END, max_bytes=80)
        self.assertEqual(self.all_of(consumer), list(range(9, 14)))

    def test_errors_never_reach_the_user(self) -> None:
        refused = AnswerError(Code.PERMISSION_DENIED)
        self.broker.plant(Fault(Match("StreamFetch"), refused, times=None))
        consumer = self.reading()
        self.failure(consumer.next(), PermissionDenied)

    def test_ends_that_are_refused_are_taken_for_an_empty_log(self) -> None:
        self.fill(3, 1)
        refused = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        self.broker.plant(Fault(Match("FetchOffsets"), refused, times=2))
        consumer = self.reading(start=END)
        self.fill(1, 1)
        self.assertEqual(self.read(consumer, 1)[0].offset, 3)

    def test_a_damaged_batch_is_logged_and_what_follows_dropped(self) -> None:
        self.fill(3, 2)
        self.broker.plant(Fault(Match("StreamFetch"), CorruptCrc()))
        consumer = self.reading()
        self.failure(consumer.next(), ProtocolError)
        self.assertEqual(consumer.position(0), 0)
        consumer.seek(0, 0)
        self.assertEqual([one.offset for one in self.read(consumer, 6)], list(range(6)))

    def test_offsets_are_stored_before_their_records_are_processed(self) -> None:
        self.fill(1, 10)
        settings: dict[str, Any] = {"consumer_id": "me", "offsets": OffsetStrategy.AUTO}
        consumer = self.reading(start=None, **settings)
        self.read(consumer, 4)
        self.result(consumer.close())
        self.assertEqual(self.read(self.reading(start=None, **settings), 1)[0].offset, 3)

    def test_a_commit_after_a_cancelled_wait_hangs(self) -> None:
        self.fill(1, 1)
        consumer = self.reading(
            consumer_id="me", offsets=OffsetStrategy.MANUAL, start=Offset.stored()
        )
        self.read(consumer, 1)
        waiting = consumer.next()
        self.turn()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.failure(consumer.next(timeout=0.5), WaitTimedOut)
        self.result(consumer.commit())

    def test_a_stream_is_silent_for_ever_when_the_leader_moves(self) -> None:
        consumer = self.reading("copied")
        self.fill(1, 1, "copied")
        self.read(consumer, 1)
        self.wait(1.0)
        self.broker.move_leader("copied", 0, 5002)
        self.wait(1.0)
        self.fill(1, 1, "copied")
        self.assertEqual(self.read(consumer, 1)[0].offset, 1)

    def test_partitions_that_are_added_are_never_consumed(self) -> None:
        consumer = self.reading("wide")
        self.result(self.client.admin.add_partitions("wide", 1))
        self.fill(1, 1, "wide", 3)
        self.assertEqual(self.read(consumer, 1)[0].partition, 3)

    def test_reading_committed_records_above_the_high_watermark_breaks_the_connection(
        self,
    ) -> None:
        resume = self.broker.stall_replication()
        self.fill(4, 1, "copied")
        consumer = self.reading(
            "copied", start=Offset.absolute(2), isolation=Isolation.READ_COMMITTED
        )
        self.failure(consumer.next(timeout=3.0), WaitTimedOut)
        resume()
        self.assertEqual([one.offset for one in self.read(consumer, 2)], [2, 3])
        self.assertEqual(list(self.broker.complaints), [])


class Writing(DefectCase):
    def test_a_lost_connection_drops_the_batch_and_poisons_the_partition(self) -> None:
        producer = self.writing()
        self.result(producer.send(b"a"))
        self.result(self.broker.spu_down(5001))
        sent = producer.send(b"b")
        self.wait(5.0)
        self.result(self.broker.spu_up(5001))
        self.assertEqual(self.result(sent).offset, 1)
        self.assertEqual(self.result(producer.send(b"c")).offset, 2)

    def test_a_change_of_the_leader_is_an_error_that_is_never_retried(self) -> None:
        refused = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        self.broker.plant(Fault(Match("Produce"), refused, times=3))
        self.assertEqual(self.result(self.writing().send(b"a")).offset, 0)

    def test_at_most_once_turns_errors_into_success(self) -> None:
        refused = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        self.broker.plant(Fault(Match("Produce"), refused))
        sent = self.writing(delivery=Delivery.AT_MOST_ONCE).send(b"a")
        self.failure(sent, NotLeaderForPartition)
        self.assertEqual(self.broker.records("orders"), [])

    def test_a_flush_hangs_when_a_leader_is_gone_to_whom_nothing_was_sent(self) -> None:
        producer = self.writing("wide")
        self.result(self.broker.spu_down(5002))
        self.wait(1.0)
        gone = [n for n in range(3) if self.broker.cluster.leader(("wide", n)) is None]
        (there, *_) = [n for n in range(3) if n not in gone]
        self.assertTrue(gone)
        sent = producer.send(b"a", partition=there)
        self.result(producer.flush(), seconds=2.0)
        self.assertEqual(self.successResultOf(sent).partition, there)

    def test_an_idle_flush_sends_an_empty_request(self) -> None:
        producer = self.writing()
        self.result(producer.send(b"a"))
        for _ in range(3):
            self.result(producer.flush())
        self.assertEqual(self.asked("Produce"), 1)

    def test_a_record_is_too_large_because_others_wait(self) -> None:
        producer = self.writing(max_request_size=20_000, batch_size=20_000, linger=1.0)
        sent = [producer.send(b"a" * 10_000), producer.send(b"b" * 12_000)]
        for one in sent:
            self.result(one)
        self.failure(producer.send(b"c" * 20_001), RecordTooLarge)

    def test_a_flush_sends_everything_in_one_request_whatever_its_size(self) -> None:
        producer = self.writing(max_request_size=2_000, batch_size=500, linger=100.0)
        sent = [producer.send(b"x" * 400) for _ in range(40)]
        self.result(producer.flush())
        for one in sent:
            self.successResultOf(one)
        sizes = [len(entry.data) for entry in self.broker.journal.requests("Produce")]
        self.assertLess(max(sizes), 2_400)

    def test_a_full_queue_blocks_every_partition_and_never_times_out(self) -> None:
        self.broker.plant(
            Fault(Match("Produce", partition=0), AnswerError(Code.SPU_OFFLINE), times=None)
        )
        producer = self.writing(
            "wide",
            buffer_memory=1_000,
            max_request_size=1_000,
            batch_size=500,
            delivery_timeout=5.0,
        )
        stuck = [producer.send(b"x" * 400, partition=0) for _ in range(4)]
        other = producer.send(b"y", partition=1)
        self.wait(6.0)
        for one in stuck:
            self.assertTrue(one.called)
            one.addErrback(lambda _: None)
        self.assertTrue(other.called)
        other.addErrback(lambda _: None)

    def test_records_that_wait_are_discarded_when_a_producer_is_closed(self) -> None:
        producer = self.writing(linger=100.0)
        sent = [producer.send(b"%d" % number) for number in range(20)]
        self.result(producer.close())
        for one in sent:
            self.successResultOf(one)
        self.assertEqual(len(self.broker.records("orders")), 20)

    def test_an_unknown_topic_or_partition_hangs(self) -> None:
        self.failure(self.client.producer("nothing").start(), TopicNotFound)
        self.failure(self.client.consumer("nothing").start(), TopicNotFound)
        self.failureResultOf(self.writing().send(b"a", partition=9), PartitionNotFound)
        self.failure(self.client.consumer("orders", partitions=9).start(), PartitionNotFound)

    def test_a_wrong_codec_is_found_out_by_the_server(self) -> None:
        spec = TopicSpec(replicas=Computed(partitions=1), compression_type=TopicCompression.GZIP)
        self.result(self.broker.cluster.create_topic("zipped", spec=spec))
        producer = self.client.producer("zipped", compression="lz4")
        self.failure(producer.start(), CompressionConflict)
        self.result(self.writing("zipped").send(b"a"))


class Below(DefectCase):
    def test_the_connection_to_the_sc_never_comes_back(self) -> None:
        self.result(self.broker.sc_down())
        self.wait(3.0)
        self.result(self.broker.sc_up())
        self.result(self.client.when_connected())
        self.result(self.client.admin.create_topic("new"))
        self.result(self.writing("new").send(b"a"))

    def test_what_was_deleted_while_the_sc_was_away_lives_on(self) -> None:
        host, _, port = self.broker.sc_endpoint.partition(":")
        self.network.refuse(host, int(port))
        self.lose_connections()
        self.result(self.broker.cluster.delete_topic("orders"))
        self.network.accept(host, int(port))
        self.wait(5.0)
        self.result(self.client.when_connected())
        self.wait(1.0)
        self.failure(self.client.producer("orders").start(), TopicNotFound)

    def test_what_was_just_created_is_not_there(self) -> None:
        self.result(self.client.admin.create_topic("new", partitions=3))
        producer = self.client.producer("new")
        self.successResultOf(producer.start())
        self.assertEqual(self.result(producer.send(b"a")).offset, 0)

    def test_a_frame_of_any_size_is_taken(self) -> None:
        self.broker.plant(Fault(Match("Produce"), WrongLength()))
        before = self.asked("Produce")
        self.assertEqual(self.result(self.writing().send(b"a")).offset, 1)
        self.assertEqual(self.asked("Produce"), before + 2)

    def test_a_stream_that_is_not_read_stops_everything(self) -> None:
        self.fill(50, 10)
        unread = self.reading(max_bytes=500, buffer_memory=1_000)
        self.wait(5.0)
        self.assertEqual(self.result(self.writing().send(b"a"), seconds=1.0).offset, 500)
        self.assertEqual(self.read(unread, 1)[0].offset, 0)

    def test_a_server_that_says_nothing_is_waited_for_for_ever(self) -> None:
        quick = self.make_client(idle_probe=5.0, request_timeout=4.0)
        self.result(quick.start())
        consumer = quick.consumer("orders", start=BEGINNING)
        self.result(consumer.start())
        for link in self.network.links:
            link.stall()
        self.fill(1, 1)
        self.wait(20.0)
        self.assertEqual(self.read(consumer, 1)[0].offset, 0)
        self.result(quick.close())
        for link in self.network.links:
            link.resume()
