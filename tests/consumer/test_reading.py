"""What is read: every record, once, in order, however the log and its replies are cut."""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Any

from crc32c import crc32c

from txfluvio.config import Isolation
from txfluvio.consumer import Share
from txfluvio.errors import (
    InvalidConfig,
    OffsetEvicted,
    OffsetOutOfRange,
    PartitionNotFound,
    ProtocolError,
    TopicNotFound,
    UsageError,
    WaitTimedOut,
)
from txfluvio.offset import Offset
from txfluvio.testing.faults import CorruptCrc, Fault, Match, Repeat, ShortCommittedFrame
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Record, encode_batch
from txfluvio.wire.spu import StreamFetchRequest

from .kit import ConsumerCase

BEGINNING, END = Offset.beginning(), Offset.end()
LAST_OFFSET_DELTA, CRC, COVERED = 23, 17, 21


def with_gap(values: list[bytes], gap: int) -> bytes:
    """A batch that takes ``gap`` more offsets than it has records, as a filter leaves behind."""
    data = bytearray(encode_batch(values))
    struct.pack_into(">i", data, LAST_OFFSET_DELTA, len(values) - 1 + gap)
    struct.pack_into(">I", data, CRC, crc32c(data[COVERED:]))
    return bytes(data)


class Everything(ConsumerCase):
    def test_records_that_are_there_are_read_and_then_the_end_comes(self) -> None:
        self.append(10, batch=4)
        consumer = self.started(start=BEGINNING, stop=END)
        records = self.read_all(consumer)
        self.assertEqual(self.offsets(records), list(range(10)))
        self.assertEqual([record.value for record in records], [b"%d" % n for n in range(10)])

    def test_records_appended_later_are_read(self) -> None:
        consumer = self.started(start=BEGINNING)
        for expected in range(3):
            self.append(1)
            self.assertEqual(self.offsets(self.read(consumer, 1)), [expected])

    def test_what_can_not_be_read_says_of_which_partition_and_from_where_on(self) -> None:
        self.append(3)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 3)
        self.broker.plant(Fault(Match("StreamFetch"), CorruptCrc()))
        self.append(1)
        error = self.failure(consumer.next(), ProtocolError)
        self.assertEqual(error.__notes__, ["orders/0 at offset 3"])

    def test_what_came_wrong_behind_what_is_not_handed_out_yet_says_where_that_was(self) -> None:
        self.append(3)
        self.broker.plant(Fault(Match("StreamFetch"), Repeat()))
        consumer = self.started(start=BEGINNING)
        self.wait(1.0)
        self.read(consumer, 3)
        error = self.failure(consumer.next(), ProtocolError)
        self.assertEqual(error.__notes__, ["orders/0 at offset 3"])

    def test_all_arrive_wherever_max_bytes_cuts(self) -> None:
        self.append(300, batch=7, size=40)
        for max_bytes in (*range(1, 60, 7), 100, 333, 1024, 4096, 32 * 2**20):
            with self.subTest(max_bytes=max_bytes):
                consumer = self.started(start=BEGINNING, stop=END, max_bytes=max_bytes)
                self.assertEqual(self.offsets(self.read_all(consumer)), list(range(300)))
                self.result(consumer.close())

    def test_all_arrive_wherever_max_bytes_cuts_compressed_batches(self) -> None:
        self.append(300, batch=70, size=40, codec=Compression.GZIP)
        for max_bytes in (50, 100, 333, 1024):
            with self.subTest(max_bytes=max_bytes):
                consumer = self.started(start=BEGINNING, stop=END, max_bytes=max_bytes)
                self.assertEqual(self.offsets(self.read_all(consumer)), list(range(300)))

    def test_a_batch_larger_than_the_whole_budget_arrives(self) -> None:
        self.append(3)
        self.append(100, size=1000)
        self.append(3)
        consumer = self.started(start=BEGINNING, stop=END, max_bytes=1024, buffer_memory=4096)
        self.assertEqual(self.offsets(self.read_all(consumer)), list(range(106)))

    def test_a_stream_is_opened_once_however_many_batches_do_not_fit(self) -> None:
        self.append(100, batch=5, size=500)
        consumer = self.started(start=BEGINNING, stop=END, max_bytes=1024)
        self.assertEqual(len(self.read_all(consumer)), 100)
        self.assertEqual(len(self.asked(StreamFetchRequest)), 1)

    def test_a_gap_at_the_end_of_a_batch_holds_nothing_up(self) -> None:
        self.append(2)
        self.append_batch(with_gap([b"a", b"b"], 5))
        self.append(2)
        consumer = self.started(start=BEGINNING, stop=END)
        self.assertEqual(self.offsets(self.read_all(consumer)), [0, 1, 2, 3, 9, 10])
        self.assertEqual(consumer.position(0), 11)

    def test_a_gap_at_the_end_of_the_log_is_read_to_its_end(self) -> None:
        self.append_batch(with_gap([b"a"], 5))
        consumer = self.started(start=BEGINNING, stop=END)
        self.assertEqual(self.offsets(self.read_all(consumer)), [0])

    def test_the_log_is_read_across_its_segments(self) -> None:
        self.broker.replica("orders").log.segment_size = 300
        self.append(50, batch=3, size=20)
        self.assertGreater(self.broker.replica("orders").log.segments, 3)
        consumer = self.started(start=BEGINNING, stop=END)
        self.assertEqual(self.offsets(self.read_all(consumer)), list(range(50)))

    def test_batches_come_as_lists(self) -> None:
        self.append(100, batch=10, size=20_000)
        consumer = self.started(start=BEGINNING, stop=END)

        async def read() -> list[list[Record]]:
            return [batch async for batch in consumer.batches()]

        batches = self.do(read())
        self.assertEqual(len(batches), 10)
        self.assertEqual(self.offsets([r for batch in batches for r in batch]), list(range(100)))

    def test_records_and_batches_can_be_mixed(self) -> None:
        self.append(5)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 2)
        batch = self.result(consumer.next_batch())
        self.assertEqual(self.offsets(batch), [2, 3, 4])
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [5])


class Starting(ConsumerCase):
    def setUp(self) -> None:
        super().setUp()
        self.append(10, batch=4)

    def test_a_start_is_found(self) -> None:
        for start, expected in (
            (Offset.beginning(), 0),
            (Offset.end(), 10),
            (Offset.absolute(5), 5),
            (Offset.absolute(10), 10),
            (Offset.from_beginning(3), 3),
            (Offset.from_beginning(30), 10),
            (Offset.from_end(3), 7),
            (Offset.from_end(30), 0),
        ):
            with self.subTest(start=start):
                consumer = self.started(start=start)
                self.assertEqual(consumer.position(0), expected)
                self.append(1)
                self.assertEqual(self.offsets(self.read(consumer, 1)), [expected])
                self.result(consumer.close())
                self.broker.replica("orders").log.truncate(10)

    def test_without_a_start_only_new_records_are_read(self) -> None:
        consumer = self.started()
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [10])

    def test_the_beginning_is_where_the_log_begins_now(self) -> None:
        self.broker.replica("orders").log.segment_size = 100
        self.append(4, batch=1)
        self.broker.evict("orders", 0, before=10)
        consumer = self.started(start=BEGINNING)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [10])

    def test_an_offset_that_is_gone_is_an_error_of_starting(self) -> None:
        self.broker.replica("orders").log.segment_size = 100
        self.append(4, batch=1)
        self.broker.evict("orders", 0, before=12)
        consumer = self.consumer(start=Offset.absolute(3))
        error = self.failure(consumer.start(), OffsetEvicted)
        self.assertEqual((error.offset, error.next_available), (3, 12))
        self.assertTrue(consumer.closed)

    def test_an_offset_beyond_the_log_is_an_error_the_reader_sees(self) -> None:
        consumer = self.started(start=Offset.absolute(11))
        self.failure(consumer.next(), OffsetOutOfRange)

    def test_nothing_is_asked_before_it_is_started(self) -> None:
        before = len(self.broker.journal)
        self.consumer(start=BEGINNING)
        self.turn()
        self.assertEqual(len(self.broker.journal), before)


class Stopping(ConsumerCase):
    def setUp(self) -> None:
        super().setUp()
        self.append(10, batch=4)

    def test_an_absolute_stop_is_the_first_offset_not_delivered(self) -> None:
        for stop in (1, 4, 7, 10):
            with self.subTest(stop=stop):
                consumer = self.started(start=BEGINNING, stop=Offset.absolute(stop))
                self.assertEqual(self.offsets(self.read_all(consumer)), list(range(stop)))
                self.assertEqual(consumer.position(0), stop)

    def test_a_stop_that_is_not_there_yet_is_waited_for(self) -> None:
        consumer = self.started(start=BEGINNING, stop=Offset.absolute(12))
        self.read(consumer, 10)
        self.nothing_comes(consumer)
        self.append(5)
        self.assertEqual(self.offsets(self.read_all(consumer)), [10, 11])

    def test_the_end_is_the_end_of_when_it_was_started(self) -> None:
        consumer = self.started(start=BEGINNING, stop=END)
        self.append(5)
        self.assertEqual(self.offsets(self.read_all(consumer)), list(range(10)))

    def test_a_start_in_the_middle_of_a_batch_ends_at_the_end_all_the_same(self) -> None:
        consumer = self.started(start=Offset.absolute(9), stop=END, max_bytes=100)
        self.assertEqual(self.offsets(self.read_all(consumer)), [9])

    def test_with_nothing_to_read_the_end_comes_at_once_without_a_stream(self) -> None:
        consumer = self.started(start=END, stop=END)
        end = consumer.next()
        self.turn()
        self.failureResultOf(end, StopAsyncIteration)
        self.assertEqual(self.asked(StreamFetchRequest), [])

    def test_behind_the_stop_nothing_is_asked_for(self) -> None:
        consumer = self.started(start=BEGINNING, stop=Offset.absolute(1))
        self.read_all(consumer)
        self.assertEqual(self.offsets(self.read_all(consumer)), [])
        self.assertLess(len(self.broker.journal), 30)


class Committed(ConsumerCase):
    SPUS = 2
    TOPICS = {}

    def setUp(self) -> None:
        super().setUp()
        self.result(self.broker.cluster.create_topic("orders", replication=2))
        self.wait(1.0)
        self.append(4)
        self.wait(5.0)
        self.assertEqual(self.broker.replica("orders").log.hw, 4)
        self.resume = self.broker.cluster.stall_replication("orders")
        self.append(4)
        self.wait(1.0)

    def test_only_replicated_records_are_read(self) -> None:
        consumer = self.started(start=BEGINNING, isolation=Isolation.READ_COMMITTED)
        self.assertEqual(self.offsets(self.read(consumer, 4)), [0, 1, 2, 3])
        self.nothing_comes(consumer)
        self.resume()
        self.assertEqual(self.offsets(self.read(consumer, 4)), [4, 5, 6, 7])

    def test_uncommitted_records_are_read_if_asked_for(self) -> None:
        consumer = self.started(start=BEGINNING, isolation=Isolation.READ_UNCOMMITTED)
        self.assertEqual(self.offsets(self.read(consumer, 8)), list(range(8)))

    def test_a_start_above_the_high_watermark_waits_for_it(self) -> None:
        start = Offset.absolute(6)
        consumer = self.started(start=start, isolation=Isolation.READ_COMMITTED)
        self.nothing_comes(consumer)
        self.assertEqual(self.asked(StreamFetchRequest), [])
        self.resume()
        self.assertEqual(self.offsets(self.read(consumer, 2)), [6, 7])
        self.assertEqual(list(self.broker.complaints), [])

    def test_uncommitted_records_that_a_leader_pushes_all_the_same_are_its_mistake(self) -> None:
        # Each batch is as large as the reader allows, so the short frame of a real SPU is whole.
        self.broker.plant(Fault(Match("StreamFetch"), ShortCommittedFrame()))
        consumer = self.started(start=BEGINNING, isolation=Isolation.READ_COMMITTED, max_bytes=93)
        self.assertEqual(self.offsets(self.read(consumer, 4)), [0, 1, 2, 3])
        following = consumer.next()
        self.wait(2.0)
        self.failureResultOf(following, ProtocolError)
        consumer.seek(0, 4)
        self.nothing_comes(consumer)
        self.resume()
        self.assertEqual(self.offsets(self.read(consumer, 4)), [4, 5, 6, 7])

    def test_a_batch_that_is_not_committed_is_not_fetched_by_itself(self) -> None:
        consumer = self.started(start=BEGINNING, isolation=Isolation.READ_COMMITTED, max_bytes=20)
        self.assertEqual(self.offsets(self.read(consumer, 4)), [0, 1, 2, 3])
        self.nothing_comes(consumer)

    def test_the_end_to_stop_at_is_the_committed_one(self) -> None:
        consumer = self.started(start=BEGINNING, stop=END)
        self.assertEqual(self.offsets(self.read_all(consumer)), [0, 1, 2, 3])


class Partitions(ConsumerCase):
    TOPICS = {"orders": 4, "returns": 1}

    def places(self, records: list[Record]) -> dict[tuple[str, int], list[int | None]]:
        """The offsets read of each partition, in the order in which they came."""
        by_place = sorted(records, key=lambda r: (r.topic, r.partition))
        grouped = groupby(by_place, key=lambda r: (r.topic, r.partition))
        return {place: self.offsets(list(found)) for place, found in grouped}

    def fill(self) -> None:
        for number in range(4):
            self.append(6, partition=number, batch=2)
        self.append(2, topic="returns")

    def test_a_consumer_says_what_it_reads_and_how_it_stands(self) -> None:
        consumer = self.consumer(["orders", "returns"], max_bytes=1000)
        self.assertEqual(consumer.topics, ("orders", "returns"))
        self.assertEqual(consumer.config.max_bytes, 1000)
        self.assertEqual(repr(consumer), "<Consumer of 'orders', 'returns': not started>")
        self.result(consumer.start())
        self.assertIn("running", repr(consumer))

    def test_all_partitions_are_read_each_in_order(self) -> None:
        self.fill()
        records = self.read_all(self.started(start=BEGINNING, stop=END))
        expected = {("orders", number): list(range(6)) for number in range(4)}
        self.assertEqual(self.places(records), expected)

    def test_only_those_named_are_read(self) -> None:
        self.fill()
        consumer = self.started(start=BEGINNING, stop=END, partitions=[3, 1])
        self.assertEqual(consumer.partitions, (("orders", 1), ("orders", 3)))
        self.assertEqual(self.places(self.read_all(consumer)).keys(), set(consumer.partitions))

    def test_each_topic_may_have_its_own(self) -> None:
        self.fill()
        chosen = {"orders": [3, 1], "returns": Share(0, of=1)}
        consumer = self.started(["orders", "returns"], start=BEGINNING, partitions=chosen)
        self.assertEqual(consumer.partitions, (("orders", 1), ("orders", 3), ("returns", 0)))

    def test_workers_share_a_topic(self) -> None:
        self.fill()
        places = [
            self.places(
                self.read_all(
                    self.started(start=BEGINNING, stop=END, partitions=Share(index, of=3))
                )
            ).keys()
            for index in range(3)
        ]
        numbers = [[number for _, number in place] for place in places]
        self.assertEqual(numbers, [[0, 3], [1], [2]])

    def test_several_topics_come_in_one_stream(self) -> None:
        self.fill()
        consumer = self.started(["orders", "returns"], start=BEGINNING, stop=END)
        places = self.places(self.read_all(consumer))
        self.assertEqual(len(places), 5)
        self.assertEqual(places["returns", 0], [0, 1])

    def test_partitions_take_turns(self) -> None:
        for number in range(2):
            self.append(50, partition=number, batch=1, size=20_000)
        consumer = self.started(start=BEGINNING, partitions=[0, 1])
        self.wait(1.0)
        numbers = [record.partition for record in self.read(consumer, 40)]
        self.assertGreater(numbers.count(0), 10)
        self.assertGreater(numbers.count(1), 10)

    def test_partitions_added_later_are_read_from_their_beginning(self) -> None:
        consumer = self.started(start=END)
        self.add_partitions("orders", 2)
        self.append(3, partition=5)
        self.assertEqual(self.places(self.read(consumer, 3)), {("orders", 5): [0, 1, 2]})
        self.assertIn(("orders", 4), consumer.partitions)

    def test_a_share_takes_its_part_of_partitions_added_later(self) -> None:
        consumer = self.started(start=END, partitions=Share(1, of=2))
        self.add_partitions("orders", 2)
        numbers = [number for _, number in consumer.partitions]
        self.assertEqual(numbers, [1, 3, 5])

    def test_partitions_added_later_are_not_read_by_those_who_named_theirs(self) -> None:
        consumer = self.started(start=END, partitions=[0])
        self.add_partitions("orders", 2)
        self.assertEqual(consumer.partitions, (("orders", 0),))

    def test_of_a_topic_left_whole_they_are_read_beside_one_whose_are_named(self) -> None:
        chosen = {"orders": 0}
        consumer = self.started(["orders", "returns"], start=END, partitions=chosen)
        self.add_partitions("orders", 1)
        self.add_partitions("returns", 1)
        self.assertEqual(consumer.partitions, (("orders", 0), ("returns", 0), ("returns", 1)))

    def test_with_a_stop_partitions_added_later_do_not_count(self) -> None:
        self.fill()
        consumer = self.started(start=BEGINNING, stop=END)
        self.add_partitions("orders", 1)
        self.append(3, partition=4)
        self.assertEqual(len(self.read_all(consumer)), 24)

    def test_an_unknown_topic_is_a_named_error_of_starting(self) -> None:
        self.failure(self.consumer("nothing").start(), TopicNotFound)

    def test_a_topic_made_a_moment_ago_is_waited_for(self) -> None:
        starting = self.consumer("new").start()
        self.wait(0.5)
        self.assertNoResult(starting)
        self.result(self.broker.cluster.create_topic("new"))
        self.result(starting)

    def test_so_is_a_partition_added_a_moment_ago(self) -> None:
        starting = self.consumer(partitions=[4]).start()
        self.add_partitions("orders", 1)
        self.result(starting)

    def test_an_unknown_partition_is_a_named_error_of_starting(self) -> None:
        error = self.failure(self.consumer(partitions=[1, 9]).start(), PartitionNotFound)
        self.assertEqual((error.partition, error.count), (9, 4))

    def test_a_share_without_partitions_waits_for_some(self) -> None:
        consumer = self.started("returns", partitions=Share(1, of=2), start=BEGINNING)
        self.assertEqual(consumer.partitions, ())
        self.nothing_comes(consumer)

    def test_a_share_without_partitions_is_at_its_stop(self) -> None:
        consumer = self.started("returns", partitions=Share(1, of=2), start=BEGINNING, stop=END)
        self.assertEqual(self.read_all(consumer), [])

    def test_of_several_topics_the_one_meant_has_to_be_named(self) -> None:
        consumer = self.started(["orders", "returns"], start=BEGINNING)
        with self.assertRaises(UsageError):
            consumer.position(0)
        self.assertEqual(consumer.position(0, topic="returns"), 0)

    def test_a_partition_that_is_not_read_is_told_by_name(self) -> None:
        consumer = self.started(partitions=[0])
        for call in (consumer.position, consumer.pause, consumer.resume):
            with self.assertRaisesRegex(PartitionNotFound, "does not read orders/1; of .* reads 1"):
                call(1)
        with self.assertRaises(PartitionNotFound):
            consumer.seek(1, 0)
        self.failure(consumer.lag(1), PartitionNotFound)

    def test_what_is_no_number_of_a_partition_is_told_as_that(self) -> None:
        consumer = self.started(partitions=[0])
        wrongs: tuple[Any, ...] = ("0", None, False)
        for wrong in wrongs:
            for call in (consumer.position, consumer.pause, consumer.resume):
                with self.assertRaisesRegex(InvalidConfig, "partition is "):
                    call(wrong)
            with self.assertRaisesRegex(InvalidConfig, "partition is "):
                consumer.seek(wrong, 0)
            self.failure(consumer.lag(wrong), InvalidConfig)


class Leaderless(ConsumerCase):
    SPUS = 2
    TOPICS = {"orders": 2}

    def test_a_partition_without_a_leader_is_named_when_the_time_is_over(self) -> None:
        self.result(self.broker.spu_down(5002))
        self.wait(1.0)
        (lost,) = {0, 1} - {n for n in (0, 1) if self.broker.cluster.leader(("orders", n))}
        error = self.failure(self.consumer(start=BEGINNING).start(), WaitTimedOut)
        self.assertIn(f"orders/{lost}", str(error))


class ManyLeaderless(ConsumerCase):
    TOPICS = {"orders": 12}

    def test_of_many_partitions_without_a_leader_the_first_are_named(self) -> None:
        self.result(self.broker.spu_down(5001))
        self.wait(1.0)
        error = self.failure(self.consumer(start=BEGINNING).start(), WaitTimedOut)
        self.assertIn("orders/8, orders/9 and 2 more is not known", str(error))


class Arguments(ConsumerCase):
    def test_what_can_not_be_is_refused_at_the_call(self) -> None:
        cases: tuple[dict[str, Any], ...] = (
            {"topics": ""},
            {"topics": []},
            {"topics": [1]},
            {"start": 5},
            {"start": Offset.stored()},
            {"stop": 5},
            {"stop": Offset.stored(), "consumer_id": "a"},
            {"partitions": "0"},
        )
        for wrong in cases:
            with self.subTest(wrong=wrong), self.assertRaises(InvalidConfig):
                self.consumer(**wrong)

    def test_seeking_needs_an_offset(self) -> None:
        consumer = self.started()
        for wrong in (-1, "0", None, Offset.stored()):
            with self.subTest(wrong=wrong), self.assertRaises(InvalidConfig):
                consumer.seek(0, wrong)  # type: ignore[arg-type]
