"""What is sent together leaves together: linger, batch size, request size."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred

from tests.producer.kit import ProducerTestCase
from txfluvio.errors import DeliveryTimedOut
from txfluvio.producer import RecordMetadata
from txfluvio.producer.accumulator import Batch, PartitionQueue
from txfluvio.producer.checks import size_alone
from txfluvio.producer.sender import Sender
from txfluvio.transport.memory import Direction


class BatchingTests(ProducerTestCase):
    def test_without_linger_what_is_sent_in_a_row_leaves_together(self) -> None:
        producer = self.started()
        for value in (b"a", b"b", b"c"):
            producer.send(value)
        self.assertEqual(self.leader.asked, [])
        self.turn()
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a", b"b", b"c"]])

    def test_what_is_sent_while_a_request_is_under_way_leaves_with_the_next(self) -> None:
        self.leader.holding = True
        producer = self.started()
        for value in (b"a", b"b", b"c"):
            producer.send(value)
            self.turn(1.0)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"]])
        self.leader.holding = False
        self.leader.answer()
        self.turn()
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"], [b"b", b"c"]])

    def test_what_is_sent_by_those_who_are_told_leaves_together(self) -> None:
        producer = self.started()

        def another(stored: RecordMetadata) -> Deferred[RecordMetadata]:
            return producer.send(b"after %r" % stored.offset)

        for value in (b"a", b"b"):
            producer.send(value).addCallback(another)
        self.turn()
        self.assertEqual(
            [asked.values for asked in self.leader.asked], [[b"a", b"b"], [b"after 0", b"after 1"]]
        )

    def test_what_is_sent_by_those_who_are_told_lingers_as_usual(self) -> None:
        producer = self.started(linger=1.0)
        producer.send(b"a").addCallback(lambda stored: producer.send(b"b"))
        self.turn(1.0)
        self.turn(0.9)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"]])
        self.turn(0.1)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"], [b"b"]])

    def test_what_is_sent_to_another_partition_by_those_who_are_told_leaves_too(self) -> None:
        self.make_topic(2)
        producer = self.started()
        producer.send(b"a", partition=0).addCallback(
            lambda stored: producer.send(b"b", partition=1)
        )
        self.turn()
        self.assertEqual(self.leader.values(1), [b"b"])

    def test_a_batch_lingers_for_more_records(self) -> None:
        producer = self.started(linger=1.0)
        producer.send(b"a")
        self.turn(0.9)
        producer.send(b"b")
        self.assertEqual(self.leader.asked, [])
        self.turn(0.1)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a", b"b"]])

    def test_the_next_batch_lingers_for_itself(self) -> None:
        producer = self.started(linger=1.0)
        producer.send(b"a")
        self.turn(1.0)
        producer.send(b"b")
        self.turn(0.9)
        self.assertEqual(len(self.leader.asked), 1)
        self.turn(0.1)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"], [b"b"]])

    def test_a_full_batch_does_not_linger(self) -> None:
        producer = self.started(linger=1.0, batch_size=size_alone(None, b"x" * 100))
        producer.send(b"x" * 100)
        self.turn()
        self.assertEqual(len(self.leader.asked), 1)

    def test_a_batch_with_another_behind_it_does_not_linger(self) -> None:
        producer = self.started(linger=1.0, batch_size=200)
        producer.send(b"x" * 100)
        producer.send(b"y" * 100)
        self.turn()
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"x" * 100]])
        self.turn(1.0)
        self.assertEqual(len(self.leader.asked), 2)

    def test_a_clock_that_is_set_back_lets_nothing_linger_longer(self) -> None:
        producer = self.started(linger=1.0)
        self.turn(3600.0)
        sent = [producer.send(b"a")]
        self.turn(0.5)
        self.clock.rightNow -= 3600.0
        sent.append(producer.send(b"b"))
        self.turn(0.1)
        for one in sent:
            self.successResultOf(one)

    def test_batches_of_one_request_are_entries_of_their_own(self) -> None:
        producer = self.started(batch_size=200)
        producer.send_many([b"x" * 100] * 3)
        self.turn()
        (asked,) = self.leader.asked
        (topic,) = asked.message.topics
        self.assertEqual([entry.partition_index for entry in topic.partitions], [0, 0, 0])
        self.assertEqual([batch.values() for batch in asked.batches], [[b"x" * 100]] * 3)

    def test_a_request_holds_no_more_than_its_size(self) -> None:
        size = size_alone(None, b"x" * 100)
        producer = self.started(batch_size=size, max_request_size=2 * size)
        producer.send_many([b"x" * 100] * 5)
        self.turn()
        self.assertEqual([len(asked.batches) for asked in self.leader.asked], [2, 2, 1])

    def test_a_connection_that_is_slow_to_take_bytes_is_waited_for(self) -> None:
        large = 2 * self.cluster.config.write_budget
        other = self.started(max_request_size=large)
        other.send(b"first")
        self.turn()
        link = self.network.links[-1]
        link.stall(Direction.TO_SERVER)
        other.send_many([bytes(large - 1000)] * 2)
        self.turn()
        producer = self.started()
        waits, withdrawn = producer.send(b"waits"), producer.send(b"withdrawn")
        self.turn()
        withdrawn.cancel()
        self.failureResultOf(withdrawn, CancelledError)
        self.assertNoResult(waits)
        link.resume()
        self.turn()
        self.successResultOf(waits)
        self.assertNotIn(b"withdrawn", self.leader.values())

    def test_a_batch_is_given_up_with_its_first_record(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(delivery_timeout=10.0, linger=2.0)
        first = producer.send(b"first")
        self.turn(2.9)
        joined = producer.send(b"joined")
        self.turn(0.2)
        late = producer.send(b"in another batch")
        self.turn(10.0 - 3.1)
        self.failureResultOf(first, DeliveryTimedOut)
        self.failureResultOf(joined, DeliveryTimedOut)
        self.assertNoResult(late)
        self.turn(3.2)
        self.failureResultOf(late, DeliveryTimedOut)


class ManyPartitionsTests(ProducerTestCase):
    partitions = 3

    def test_what_is_late_is_looked_for_now_and_then_and_only_at_the_front(self) -> None:
        self.lead({0: None, 1: None, 2: None})
        self.turn()
        looks: list[Sender] = []
        seen: list[object] = []
        expire, each = Sender.expire, PartitionQueue.__reversed__

        def looking(sender: Sender, now: float) -> None:
            looks.append(sender)
            expire(sender, now)

        def seeing(queue: PartitionQueue) -> Iterator[Batch]:
            for batch in each(queue):
                seen.append(batch)
                yield batch

        self.patch(Sender, "expire", looking)
        self.patch(PartitionQueue, "__reversed__", seeing)
        producer = self.started(batch_size=100, delivery_timeout=10.0)
        told: list[float] = []
        number = 900
        for sent in range(number):
            producer.send(b"x" * 50, partition=sent % 3).addErrback(
                lambda _: told.append(self.clock.seconds())
            )
            self.turn(0.01)
        self.turn(11.0)
        self.assertEqual(len(told), number)
        for sent, when in enumerate(told):
            self.assertLess(0.01 * sent + 10.0 - 1e-6, when)
            self.assertLess(when, 0.01 * sent + 10.2)
        self.assertLess(len(looks), 3 * 200)
        self.assertEqual(seen, [])

    def test_partitions_linger_each_for_itself(self) -> None:
        producer = self.started(linger=1.0)
        producer.send(b"a", partition=0)
        self.turn(0.5)
        producer.send(b"b", partition=1)
        self.turn(0.5)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"]])
        self.turn(0.5)
        self.assertEqual([asked.values for asked in self.leader.asked], [[b"a"], [b"b"]])

    def test_a_partition_that_has_to_wait_holds_up_no_other(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started()
        waits, goes = producer.send(b"a", partition=0), producer.send(b"b", partition=1)
        self.turn()
        self.assertNoResult(waits)
        self.successResultOf(goes)
        self.lead({0: 2})
        self.turn()
        self.successResultOf(waits)
        self.assertEqual(self.other.values(0), [b"a"])
