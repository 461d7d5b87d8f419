"""What a consumer holds is bounded by its budget, whatever the user does."""

from __future__ import annotations

from txfluvio.config import OffsetReset
from txfluvio.consumer import Consumer
from txfluvio.consumer.stream import PartitionStream
from txfluvio.errors import OffsetEvicted, ProtocolError, TopicDeleted
from txfluvio.offset import Offset
from txfluvio.wire.records import Record, encode_batch
from txfluvio.wire.spu import FetchRequest, StreamFetchRequest, UpdateOffsetsRequest

from .kit import ConsumerCase

BEGINNING, END = Offset.beginning(), Offset.end()


class MemoryCase(ConsumerCase):
    """Notes the most that was ever held."""

    def streams(self, consumer: Consumer) -> list[PartitionStream]:
        return list(consumer._streams.values())

    def held(self, consumer: Consumer) -> int:
        """Bytes received and not handed out."""
        return sum(stream.backlog.held for stream in self.streams(consumer))

    def drain(self, consumer: Consumer, count: int) -> tuple[list[int | None], int]:
        """So many records, and the most that was held meanwhile."""
        seen, most = [], 0
        for _ in range(count):
            wait = consumer.next()
            while not wait.called:
                if not self.clock.step():
                    self.wait(0.25)
                most = max(most, self.held(consumer))
            seen.append(self.successResultOf(wait).offset)
        return seen, most


class OnePartition(MemoryCase):
    def test_an_unread_consumer_holds_no_more_than_its_budget(self) -> None:
        self.append(200, batch=1, size=1000)
        consumer = self.started(start=BEGINNING, max_bytes=3000, buffer_memory=20_000)
        self.wait(5.0)
        self.assertLessEqual(self.held(consumer), 20_000)
        self.assertGreater(self.held(consumer), 15_000)

    def test_a_reader_that_lags_loses_nothing_and_holds_no_more(self) -> None:
        self.append(200, batch=1, size=1000)
        consumer = self.started(start=BEGINNING, max_bytes=3000, buffer_memory=20_000)
        seen, most = self.drain(consumer, 200)
        self.assertEqual(seen, list(range(200)))
        self.assertLessEqual(most, 20_000)

    def test_the_next_push_is_asked_for_before_the_last_is_read(self) -> None:
        self.append(20, batch=1, size=1000)
        self.started(start=BEGINNING, max_bytes=3000, buffer_memory=10**6)
        self.wait(1.0)
        asked = [one.offset for r in self.asked(UpdateOffsetsRequest) for one in r.offsets]
        self.assertEqual(asked, list(range(2, 21, 2)))

    def test_a_batch_larger_than_the_budget_is_held_alone(self) -> None:
        self.append(10, batch=1, size=1000)
        self.append(1, size=50_000)
        self.append(10, batch=1, size=1000)
        consumer = self.started(start=BEGINNING, max_bytes=3000, buffer_memory=5000)
        self.wait(2.0)
        self.assertEqual(self.asked(FetchRequest), [])
        seen, most = self.drain(consumer, 21)
        self.assertEqual(seen, list(range(21)))
        self.assertLess(most, 51_000)

    def test_what_came_before_is_dropped_by_seeking(self) -> None:
        self.append(200, batch=1, size=1000)
        consumer = self.started(start=BEGINNING, max_bytes=3000, buffer_memory=20_000)
        self.wait(1.0)
        consumer.seek(0, 199)
        self.wait(1.0)
        self.assertLess(self.held(consumer), 3000)


class ManyPartitions(MemoryCase):
    TOPICS = {"orders": 10}

    def fill(self) -> None:
        for number in range(10):
            self.append(40, partition=number, batch=1, size=1000)

    def test_all_of_them_together_keep_to_the_budget(self) -> None:
        self.fill()
        consumer = self.started(start=BEGINNING, max_bytes=10**6, buffer_memory=40_000)
        self.wait(2.0)
        self.assertLessEqual(self.held(consumer), 40_000)
        seen, most = self.drain(consumer, 400)
        self.assertEqual(sorted(seen, key=str), sorted(list(range(40)) * 10, key=str))
        self.assertLessEqual(most, 40_000)

    def test_each_may_ask_for_its_part_of_the_budget(self) -> None:
        self.started(start=BEGINNING, max_bytes=10**6, buffer_memory=160_000)
        self.assertEqual({s.max_bytes for s in self.asked(StreamFetchRequest)}, {10_000})

    def test_an_unread_partition_does_not_hold_up_the_others(self) -> None:
        self.fill()
        consumer = self.started(start=BEGINNING, max_bytes=4000, buffer_memory=40_000)
        for number in range(5):
            consumer.pause(number)
        seen, most = self.drain(consumer, 200)
        self.assertEqual(sorted(seen, key=str), sorted(list(range(40)) * 5, key=str))
        self.assertLessEqual(most, 40_000)

    def test_one_that_is_paused_with_a_large_batch_and_was_reset_does_not_starve_them(self) -> None:
        consumer = self.started(
            start=BEGINNING,
            reset=OffsetReset.EARLIEST,
            partitions=[0, 1],
            max_bytes=2000,
            buffer_memory=4000,
        )
        self.append(2, batch=1, size=9000)
        self.read(consumer, 1)
        self.wait(1.0)
        wait = consumer.next()
        wait.cancel()
        self.failureResultOf(wait)
        self.wait(1.0)
        self.append(3, batch=1)
        self.lose_connections()
        self.broker.evict("orders", 0, before=4)
        self.wait(3.0)
        consumer.pause(0)
        self.append(1, partition=1, size=9000)
        self.assertEqual(self.read(consumer, 1)[0].partition, 1)
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [1, 4])

    def test_what_is_damaged_does_not_take_the_room_of_the_others(self) -> None:
        damaged = bytearray(encode_batch([b"x" * 1000] * 200))
        damaged[-1] ^= 0xFF
        self.append_batch(bytes(damaged), partition=0)
        consumer = self.started(
            start=BEGINNING, partitions=[0, 1], max_bytes=4000, buffer_memory=40_000
        )
        self.failure(consumer.next(), ProtocolError)
        self.assertEqual(self.held(consumer), 0)
        self.append(40, partition=1, batch=1, size=1000)
        seen: list[Record] = []
        for _ in range(200):
            wait = consumer.next()
            self.wait(0.25)
            wait.addCallbacks(seen.append, lambda failure: failure.trap(ProtocolError) and None)
        self.assertEqual(self.offsets(seen), list(range(40)))

    def test_one_that_has_failed_does_not_keep_large_batches_of_the_others_away(self) -> None:
        self.append(4, partition=0, batch=1)
        self.broker.evict("orders", 0, before=3)
        self.append(2, partition=1, batch=1, size=50_000)
        consumer = self.started(
            start=BEGINNING, partitions=[0, 1], max_bytes=4000, buffer_memory=40_000
        )
        consumer.seek(0, 0)
        seen: list[Record] = []
        for _ in range(20):
            wait = consumer.next()
            self.wait(0.25)
            wait.addCallbacks(seen.append, lambda failure: failure.trap(OffsetEvicted) and None)
        self.assertEqual([(record.partition, record.offset) for record in seen], [(1, 0), (1, 1)])

    def test_what_came_before_a_failure_is_not_given_up_for_the_others(self) -> None:
        self.append(2, partition=0, size=50_000)
        consumer = self.started(
            start=BEGINNING, partitions=[0, 1], max_bytes=4000, buffer_memory=40_000
        )
        wait = consumer.next()
        self.network.pump()
        wait.cancel()
        self.failureResultOf(wait)
        self.result(self.broker.cluster.delete_topic("orders"))
        self.wait(1.0)
        consumer.pause(0)
        self.failure(consumer.next(), TopicDeleted)
        consumer.pause(1)
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])
        self.failure(consumer.next(), TopicDeleted)

    def test_partitions_added_later_make_the_others_ask_for_less(self) -> None:
        self.fill()
        consumer = self.started(
            start=BEGINNING, partitions=None, max_bytes=10**6, buffer_memory=160_000
        )
        self.add_partitions("orders", 10)
        for number in range(10, 20):
            self.append(40, partition=number, batch=1, size=1000)
        self.wait(3.0)
        self.assertLessEqual(self.held(consumer), 160_000)
        seen, most = self.drain(consumer, 800)
        self.assertEqual(sorted(seen, key=str), sorted(list(range(40)) * 20, key=str))
        self.assertLessEqual(most, 160_000)

    def test_paused_partitions_make_room_for_those_added_later(self) -> None:
        self.fill()
        consumer = self.started(start=BEGINNING, max_bytes=10**6, buffer_memory=160_000)
        self.wait(1.0)
        for number in range(10):
            consumer.pause(number)
        self.add_partitions("orders", 10)
        for number in range(10, 20):
            self.append(40, partition=number, batch=1, size=1000)
        _, most = self.drain(consumer, 400)
        self.assertLessEqual(most, 160_000)
        for number in range(10):
            consumer.resume(number)
        self.drain(consumer, 400)

    def test_large_batches_of_several_partitions_come_one_after_another(self) -> None:
        for number in range(10):
            self.append(2, partition=number, batch=1, size=50_000)
        consumer = self.started(start=BEGINNING, max_bytes=4000, buffer_memory=40_000)
        seen, most = self.drain(consumer, 20)
        self.assertEqual(sorted(seen, key=str), sorted([0, 1] * 10, key=str))
        self.assertLess(most, 40_000 + 51_000)

    def test_a_large_batch_of_a_paused_partition_is_given_up_and_read_again(self) -> None:
        self.append(1, partition=0, size=50_000)
        self.append(1, partition=1, size=50_000)
        consumer = self.started(
            start=BEGINNING, partitions=[0, 1], max_bytes=4000, buffer_memory=40_000
        )
        wait = consumer.next()
        self.network.pump()
        wait.cancel()
        self.failureResultOf(wait)
        (first,) = [s for s in self.streams(consumer) if s.backlog.held > 40_000]
        consumer.pause(first.target.partition)
        self.assertEqual(first.backlog.held, 0)
        self.assertEqual(self.read(consumer, 1)[0].partition, 1 - first.target.partition)
        consumer.resume(first.target.partition)
        self.assertEqual(self.read(consumer, 1)[0].partition, first.target.partition)
