"""What producers hold is bounded; past the bound, sending waits, in order."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

import txfluvio.producer
from tests.costs import calls_of
from tests.producer.kit import NAME, ProducerTestCase
from txfluvio.errors import DeliveryTimedOut, Effect, WaitTimedOut
from txfluvio.producer import Producer
from txfluvio.producer.checks import size_alone

SIZES = {"batch_size": 1000, "max_request_size": 1000}


class OwnBoundTests(ProducerTestCase):
    def bounded(self, memory: int = 2000, **config: object) -> Producer:
        self.leader.holding = True
        return self.started(buffer_memory=memory, **SIZES, **config)

    def test_a_record_within_it_is_taken_in_at_once(self) -> None:
        producer = self.bounded()
        producer.send(b"x" * 500)
        self.assertGreater(producer.buffered, 500)
        self.turn()
        self.let_go()
        self.assertEqual(producer.buffered, 0)

    def test_what_is_held_stays_within_it_and_one_record(self) -> None:
        producer = self.bounded()
        for _ in range(100):
            producer.send(b"x" * 500)
            self.turn()
            self.assertLess(producer.buffered, 2000 + 600)
        self.let_go()
        self.assertEqual(len(self.leader.values()), 100)

    def test_many_records_are_taken_in_a_batch_at_a_time(self) -> None:
        producer = self.bounded()
        sent = producer.send_many([b"x" * 100] * 1000)
        while self.leader.owed or not self.leader.asked:
            self.turn()
            self.assertLess(producer.buffered, 2000 + 1000)
            self.leader.answer()
            self.turn()
        self.assertEqual(len(self.successResultOf(sent)), 1000)

    def test_records_that_waited_are_sent_in_their_order(self) -> None:
        producer = self.bounded()
        values = [b"%d" % number * 250 for number in range(10)]
        sent = [producer.send(value) for value in values[:5]]
        many = producer.send_many(values[5:8])
        sent += [producer.send(value) for value in values[8:]]
        self.turn()
        self.let_go()
        self.assertEqual(self.leader.values(), values)
        for one in sent:
            self.successResultOf(one)
        self.assertEqual([stored.offset for stored in self.successResultOf(many)], [5, 6, 7])

    def test_a_record_that_waited_learns_where_it_was_stored_like_any(self) -> None:
        producer = self.bounded()
        sent = [producer.send(b"x" * 900, b"key", timestamp=5000 + n) for n in range(4)]
        self.turn()
        self.let_go()
        stored = [self.successResultOf(one) for one in sent]
        self.assertEqual(
            [(one.offset, one.timestamp) for one in stored], [(n, 5000 + n) for n in range(4)]
        )
        self.assertEqual({record.key for record in self.leader.logs[0]}, {b"key"})

    def test_while_somebody_waits_nothing_lingers(self) -> None:
        self.leader.holding = True
        values = [b"x" * 900, b"x" * 900, b"x" * 300]
        sizes = [size_alone(None, value) for value in values]
        memory = sum(sizes)
        producer = self.started(
            buffer_memory=memory, max_request_size=memory, batch_size=max(sizes), linger=60.0
        )
        sent = [producer.send(value) for value in values]
        waits = producer.send_many([b"y"])
        self.turn()
        self.leader.answer()
        self.turn()
        for one in sent:
            self.successResultOf(one)
        self.assertNoResult(waits)
        self.turn(60.0)
        self.let_go()
        self.successResultOf(waits)

    def test_a_record_that_never_gets_room_is_given_up_in_time(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.bounded(delivery_timeout=5.0)
        for _ in range(3):
            producer.send(b"x" * 900).addErrback(lambda failure: failure.trap(DeliveryTimedOut))
        self.turn(3.0)
        one, many = producer.send(b"late"), producer.send_many([b"a", b"b"])
        self.turn(1.0)
        self.assertNoResult(one)
        self.turn(4.0)
        failed = self.failureResultOf(one, DeliveryTimedOut).value
        assert isinstance(failed, DeliveryTimedOut)
        self.assertEqual((failed.what, failed.effect), (f"{NAME}/0", Effect.NONE))
        self.failureResultOf(many)

    def test_it_says_that_it_was_the_room_which_was_missing(self) -> None:
        self.leader.holding = True
        producer = self.bounded(delivery_timeout=30.0, memory=1000)
        first = producer.send(b"x" * 900)
        second = producer.send(b"y" * 900)
        third = producer.send(b"z" * 900)
        self.turn(29.0)
        self.assertNoResult(third)
        self.turn(2.0)
        for sent in (first, second):
            self.failureResultOf(sent, DeliveryTimedOut)
        self.assertIsInstance(self.failureResultOf(third).value.__cause__, WaitTimedOut)

    def test_where_the_clock_is_set_back_it_is_given_up_all_the_same(self) -> None:
        self.lead({0: None})
        self.turn()
        delays: list[float] = []
        call_later = self.clock.callLater

        def noting(delay: float, *args: Any, **kwargs: Any) -> IDelayedCall:
            delays.append(delay)
            return call_later(delay, *args, **kwargs)

        self.patch(self.clock, "callLater", noting)
        producer = self.bounded(memory=1000, delivery_timeout=5.0)
        self.turn(100.0)
        sent = []
        for _ in range(3):
            sent.append(producer.send(b"x" * 900))
            self.turn(1.0)
        self.clock.rightNow -= 50.0
        sent.append(producer.send(b"y"))
        self.turn(60.0)
        for one in sent:
            self.failureResultOf(one, DeliveryTimedOut)
        self.assertEqual([delay for delay in delays if delay < 0], [])

    def test_room_that_a_failure_leaves_is_used(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.bounded(delivery_timeout=5.0)
        given_up = [producer.send(b"x" * 900) for _ in range(3)]
        self.turn(3.0)
        later = producer.send(b"y")
        self.turn(2.0)
        for one in given_up:
            self.failureResultOf(one, DeliveryTimedOut)
        self.lead({0: 1})
        self.turn()
        self.let_go()
        self.successResultOf(later)


class ManyPartitionsAtTheBoundTests(ProducerTestCase):
    partitions = 40

    def cost(self, used: int) -> int:
        """Calls that it takes a record to begin to wait, where so many partitions hold some."""
        self.leader.holding = True
        producer = self.started(buffer_memory=1000, max_request_size=1000, batch_size=1000)
        for partition in range(used):
            producer.send(b"a", partition=partition)
        self.turn()
        producer.send(b"x" * 900, partition=0)
        self.turn()

        def send() -> None:
            producer.send(b"b", partition=0)
            self.turn()

        count = calls_of(send, txfluvio.producer)
        self.assertGreater(producer.buffered, 1000)
        self.finish(producer)
        return count

    def test_partitions_that_wait_for_answers_are_not_hurried(self) -> None:
        self.assertEqual(self.cost(14), self.cost(7))


class SharedBoundTests(ProducerTestCase):
    memory = 2000
    partitions = 2

    def two(self, **config: object) -> tuple[Producer, Producer]:
        self.leader.holding = True
        return self.started(**SIZES, **config), self.started(**SIZES, **config)

    def test_producers_of_a_client_wait_for_each_other(self) -> None:
        first, second = self.two()
        first.send(b"x" * 900, partition=0)
        first.send(b"x" * 900, partition=0)
        first.send(b"x" * 900, partition=0)
        waits = second.send(b"y", partition=1)
        self.turn()
        self.assertEqual(second.buffered, 0)
        self.leader.answer()
        self.turn()
        self.assertGreater(second.buffered, 0)
        self.let_go()
        self.successResultOf(waits)
        self.assertEqual(self.budget.used, 0)

    def test_whoever_cancels_while_it_waits_is_told_before_a_flush_that_waits_for_it(self) -> None:
        producer = self.started(**SIZES)
        self.budget.take(self.memory)
        told: list[str] = []

        def cancel(waits: Deferred[Any]) -> None:
            flushed = producer.flush()
            waits.addErrback(lambda _: told.append("cancelled"))
            flushed.addCallback(lambda _: told.append("flushed"))
            waits.cancel()

        cancel(producer.send(b"x"))
        cancel(producer.send_many([b"x"]))
        self.assertEqual(told, ["cancelled", "flushed"] * 2)
        self.budget.give(self.memory)

    def test_whoever_cancels_while_it_waits_is_told_before_a_close_that_waits_for_it(self) -> None:
        told: list[str] = []

        def cancel(producer: Producer, waits: Deferred[Any]) -> None:
            closed = producer.close()
            waits.addErrback(lambda _: told.append("cancelled"))
            closed.addCallback(lambda _: told.append("closed"))
            waits.cancel()

        one, many = self.started(**SIZES), self.started(**SIZES)
        self.budget.take(self.memory)
        cancel(one, one.send(b"x"))
        cancel(many, many.send_many([b"x"]))
        self.assertEqual(told, ["cancelled", "closed"] * 2)
        self.budget.give(self.memory)

    def test_what_one_lets_linger_is_sent_when_another_waits(self) -> None:
        first, second = self.two(linger=60.0)
        for number in range(3):
            first.send(b"x" * 700, partition=number % 2)
        self.turn()
        held = len(self.leader.asked)
        waits = second.send(b"y", partition=1)
        self.turn()
        self.assertGreater(len(self.leader.asked), held)
        self.let_go()
        self.turn(60.0)
        self.let_go()
        self.successResultOf(waits)

    def test_one_that_holds_nothing_itself_does_not_wait_for_ever(self) -> None:
        first, second = self.two(delivery_timeout=60.0)
        for _ in range(3):
            first.send(b"x" * 900, partition=0).addErrback(lambda _: None)
        self.turn(50.0)
        waits = second.send(b"y", partition=1)
        first.send(b"x", partition=0).addErrback(lambda _: None)
        self.budget.take(10_000)
        self.turn(60.0)
        self.failureResultOf(waits, DeliveryTimedOut)
        self.budget.give(10_000)

    def test_a_producer_that_closes_leaves_its_room_to_the_others(self) -> None:
        first, second = self.two(close_timeout=1.0)
        for _ in range(3):
            first.send(b"x" * 900, partition=0).addErrback(lambda _: None)
        waits = second.send(b"y", partition=1)
        self.turn()
        first.close()
        self.turn(1.0)
        self.leader.holding = False
        self.let_go()
        self.successResultOf(waits)
