"""Flushing and closing send what was accepted: no record is dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

import txfluvio.producer
from tests.costs import calls_of
from tests.producer.kit import FIRST_RETRY, NAME, ProducerTestCase
from txfluvio.cluster.watcher import Watcher
from txfluvio.errors import (
    DeliveryTimedOut,
    Effect,
    MessageTooLarge,
    NotAllStored,
    ProducerClosed,
)
from txfluvio.interfaces import IPartitioner
from txfluvio.producer import Producer
from txfluvio.producer.outcomes import Countdown
from txfluvio.wire.codes import Code, error

OWNERS = re.compile(rf"txfluvio\.producer\.|{re.escape(Watcher.__module__)}$")
"""The modules of those who bound a producer's waits."""


def note(order: list[Any], what: object, _: object) -> None:
    order.append(what)


class StateTests(ProducerTestCase):
    def test_a_producer_that_sends_what_is_left_is_closed(self) -> None:
        self.leader.holding = True
        producer = self.started()
        self.assertFalse(producer.closed)
        producer.send(b"a")
        self.turn()
        closing = producer.close()
        self.assertTrue(producer.closed)
        self.leader.answer()
        self.turn()
        self.successResultOf(closing)
        self.assertTrue(producer.closed)


class FlushTests(ProducerTestCase):
    partitions = 2

    def test_where_nothing_waits_it_is_done_and_nothing_is_sent(self) -> None:
        producer = self.started()
        self.successResultOf(producer.flush())
        producer.send(b"a")
        self.turn()
        self.successResultOf(producer.flush())
        self.assertEqual(len(self.leader.asked), 1)

    def test_it_sends_what_lingers_and_waits_for_its_outcome(self) -> None:
        self.leader.holding = True
        producer = self.started(linger=60.0)
        producer.send_many([b"a", b"b"])
        flushed = producer.flush()
        self.turn()
        self.assertEqual(len(self.leader.asked), 2)
        self.leader.answer()
        self.turn()
        self.assertNoResult(flushed)
        self.leader.answer()
        self.turn()
        self.successResultOf(flushed)

    def test_it_waits_for_what_is_under_way_though_nobody_else_does(self) -> None:
        self.leader.holding = True
        producer = self.started(batch_size=200, max_request_size=200, buffer_memory=200)
        for _ in range(2):
            producer.send(bytes(110), partition=0)
        self.turn()
        waiting = producer.send_many([bytes(110)], partition=0)
        flushed = producer.flush()
        for _ in range(2):
            self.leader.answer()
            self.turn()
        self.assertEqual(len(self.leader.asked), 3)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertNoResult(flushed)
        self.leader.answer()
        self.turn()
        self.successResultOf(flushed)

    def test_it_waits_for_what_is_under_way(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a")
        self.turn()
        flushed = producer.flush()
        self.assertNoResult(flushed)
        self.leader.answer()
        self.turn()
        self.successResultOf(flushed)

    def test_it_does_not_wait_for_what_is_sent_later(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a", partition=0)
        flushed = producer.flush()
        self.turn()
        later = producer.send(b"b", partition=0)
        self.leader.answer()
        self.turn()
        self.successResultOf(flushed)
        self.assertNoResult(later)
        self.leader.answer()
        self.turn()

    def test_it_waits_for_what_waits_for_room(self) -> None:
        self.leader.holding = True
        producer = self.started(
            linger=60.0, batch_size=1000, max_request_size=1000, buffer_memory=1000
        )
        for _ in range(3):
            producer.send(b"x" * 900, partition=0)
        last = producer.send_many([b"y"] * 3, partition=0)
        flushed = producer.flush()
        self.turn()
        while self.leader.owed:
            self.assertNoResult(flushed)
            self.leader.answer()
            self.turn()
        self.successResultOf(flushed)
        self.assertEqual(len(self.successResultOf(last)), 3)

    def test_called_by_who_is_told_it_waits_until_the_others_are(self) -> None:
        order: list[str] = []
        producer = self.started()

        def flush(_: object) -> None:
            producer.flush().addCallback(lambda _: order.append("flushed"))

        producer.send(b"a", partition=0).addCallback(flush)
        producer.send(b"b", partition=0).addCallback(lambda _: order.append("b"))
        producer.send_many([b"c"], partition=0).addCallback(lambda _: order.append("c"))
        self.turn()
        self.assertEqual(order, ["b", "c", "flushed"])
        self.successResultOf(producer.flush())

    def test_called_by_who_is_told_too_late_it_waits_until_the_others_are(self) -> None:
        self.lead({0: None, 1: None})
        self.turn()
        order: list[str] = []
        producer = self.started(
            batch_size=1000, max_request_size=1000, buffer_memory=1000, delivery_timeout=5.0
        )
        for number in range(4):
            sent = producer.send(b"x" * 900, partition=0)
            if not number:
                sent.addErrback(
                    lambda _: producer.flush().addCallback(lambda _: order.append("flushed"))
                )
            sent.addBoth(lambda _: order.append("told"))
            self.turn()
        self.turn(5.0)
        self.assertEqual(order, [*["told"] * 3, "flushed", "told"])

    def test_it_does_not_fail_by_what_becomes_of_a_record(self) -> None:
        producer = self.started()
        self.leader.codes = [error(Code.MESSAGE_TOO_LARGE)]
        sent = producer.send(b"a")
        flushed = producer.flush()
        self.turn()
        self.successResultOf(flushed)
        self.failureResultOf(sent, MessageTooLarge)

    def test_what_was_withdrawn_holds_it_up_no_longer(self) -> None:
        self.lead({0: None, 1: None})
        self.turn()
        producer = self.started()
        sent = producer.send(b"a")
        flushed = producer.flush()
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.lead({0: 1})
        self.turn()
        self.successResultOf(flushed)
        self.assertEqual(self.leader.asked, [])

    def test_who_waited_for_room_and_was_withdrawn_holds_it_up_no_longer(self) -> None:
        self.leader.holding = True
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=1000)
        for _ in range(2):
            producer.send(b"x" * 900, partition=0)
        sent = producer.send(b"y", partition=0)
        flushed = producer.flush()
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.turn()
        self.let_go()
        self.successResultOf(flushed)

    def test_afterwards_records_linger_again(self) -> None:
        producer = self.started(linger=1.0)
        producer.send(b"a")
        self.successResultOf(self.in_a_turn(producer.flush()))
        producer.send(b"b")
        self.turn()
        self.assertEqual(len(self.leader.asked), 1)
        self.turn(1.0)
        self.assertEqual(len(self.leader.asked), 2)

    def test_each_caller_has_a_wait_of_its_own(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a")
        first, second = producer.flush(), producer.flush()
        self.turn()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.leader.answer()
        self.turn()
        self.successResultOf(second)

    def test_after_each_of_many_records_it_waits_for_each_of_them_once(self) -> None:
        waits: list[Countdown] = []
        ended = Countdown.ended

        def counted(countdown: Countdown) -> None:
            waits.append(countdown)
            ended(countdown)

        self.patch(Countdown, "ended", counted)
        self.lead({0: None, 1: None})
        self.turn()
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=400_000)
        order: list[int] = []
        number = 1200
        for sent in range(number):
            producer.send(b"x" * 900, partition=0)
            producer.flush().addCallback(partial(note, order, sent))
        self.assertEqual(order, [])
        self.lead({0: 1})
        self.turn()
        self.assertEqual(order, list(range(number)))
        self.assertEqual(len(self.leader.values()), number)
        self.assertLess(len(waits), 3 * number)

    def test_it_waits_for_what_one_before_waited_for_that_was_given_up(self) -> None:
        self.leader.holding = True
        producer = self.started(batch_size=100)
        order: list[str] = []
        for value in (b"a", b"b"):
            producer.send(value * 100, partition=0).addCallback(lambda _: order.append("stored"))
        given_up, flushed = producer.flush(), producer.flush()
        flushed.addCallback(lambda _: order.append("flushed"))
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.turn()
        self.assertEqual(order, [])
        self.leader.answer()
        self.turn()
        self.assertEqual(order, ["stored", "stored", "flushed"])

    def test_it_waits_for_what_came_into_a_batch_that_one_before_waits_for(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(linger=60.0)
        order: list[str] = []
        for value in ("a", "b"):
            producer.send(value.encode(), partition=0).addCallback(partial(note, order, value))
            producer.flush().addCallback(partial(note, order, f"flushed {value}"))
        self.lead({0: 1})
        self.turn()
        self.assertEqual(order, ["a", "flushed a", "b", "flushed b"])

    def in_a_turn(self, deferred: Deferred[None]) -> Deferred[None]:
        self.turn()
        return deferred


class FlushAfterManyTests(ProducerTestCase):
    partitions = 40

    def cost(self, used: int) -> int:
        """Calls that it takes to flush a record, where so many partitions were used before."""
        producer = self.started(linger=60.0)

        def flush() -> None:
            flushed = producer.flush()
            self.turn()
            self.successResultOf(flushed)

        for partition in range(used):
            producer.send(b"a", partition=partition)
        flush()
        flush()
        producer.send(b"b", partition=0)
        count = calls_of(flush, txfluvio.producer)
        producer.close()
        return count

    def test_partitions_that_hold_nothing_are_not_looked_at(self) -> None:
        self.assertEqual(self.cost(40), self.cost(10))

    def cost_behind(self, waiting: int) -> int:
        """Calls that it takes to flush a record behind a flush that waits for so many partitions'
        answers."""
        self.leader.holding = True
        producer = self.started()
        for partition in range(waiting):
            producer.send(b"a", partition=partition)
        before = producer.flush()
        self.turn()
        producer.send(b"b", partition=0)
        count = calls_of(lambda: producer.flush(), txfluvio.producer)
        self.assertNoResult(before)
        self.finish(producer)
        return count

    def test_partitions_that_an_earlier_flush_waits_for_are_not_looked_at(self) -> None:
        self.assertEqual(self.cost_behind(40), self.cost_behind(10))


class CloseTests(ProducerTestCase):
    def assert_nothing_left(self) -> None:
        """No timer of a producer is left, and none that bounds a wait on the topology."""
        self.turn()
        calls = [call for call in self.clock.getDelayedCalls() if isinstance(call, DelayedCall)]
        owners = {call.func.__module__ for call in calls}
        self.assertEqual({owner for owner in owners if OWNERS.match(owner)}, set())

    def test_it_sends_what_lingers_and_waits_for_it(self) -> None:
        self.leader.holding = True
        producer = self.started(linger=60.0)
        sent = producer.send(b"a")
        closed = producer.close()
        self.turn()
        self.assertNoResult(closed)
        self.leader.answer()
        self.turn()
        self.successResultOf(sent)
        self.successResultOf(closed)
        self.assert_nothing_left()

    def test_where_nothing_waits_it_is_done_at_once(self) -> None:
        producer = self.started()
        self.successResultOf(producer.close())
        self.assert_nothing_left()

    def test_records_have_their_outcomes_before_it_is_done(self) -> None:
        order: list[str] = []
        producer = self.started()
        producer.send(b"a").addCallback(lambda _: order.append("stored"))
        producer.close().addCallback(lambda _: order.append("closed"))
        self.turn()
        self.assertEqual(order, ["stored", "closed"])

    def test_called_by_who_is_told_it_waits_until_the_others_are(self) -> None:
        for code in (error(Code.NONE), error(Code.MESSAGE_TOO_LARGE)):
            with self.subTest(code=code):
                self.leader.code = code
                self.assertEqual(self.closed_by_the_first(), ["b", "c", "closed"])
                self.assert_nothing_left()

    def closed_by_the_first(self) -> list[str]:
        order: list[str] = []
        producer = self.started()
        producer.send(b"a").addBoth(lambda _: self.note_close(producer, order))
        producer.send(b"b").addBoth(lambda _: order.append("b"))
        producer.send_many([b"c"]).addBoth(lambda _: order.append("c"))
        self.turn()
        return order

    def test_at_its_deadline_all_are_told_before_it_is_done(self) -> None:
        self.leader.holding = True
        order: list[str] = []
        producer = self.started(
            close_timeout=3.0, batch_size=1000, max_request_size=1000, buffer_memory=1000
        )
        for _ in range(4):
            producer.send(b"x" * 900).addBoth(lambda _: order.append("told"))
            self.turn()
        self.note_close(producer, order)
        self.turn(3.0)
        self.assertEqual(order, [*["told"] * 4, "closed"])
        self.assert_nothing_left()

    def test_cancelled_by_who_is_told_it_is_done_for_the_others_when_all_are_told(self) -> None:
        order: list[str] = []
        self.leader.holding = True
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=1000)
        sent = [producer.send(b"x"), producer.send(b"x" * 900), producer.send(b"y" * 900)]
        self.turn()
        closing = producer.close()
        closing.addErrback(lambda failure: failure.trap(CancelledError))
        self.note_close(producer, order)
        sent[0].addCallback(lambda _: closing.cancel())
        for one in sent:
            one.addBoth(lambda _: order.append("told"))
        self.leader.answer()
        self.turn()
        self.assertEqual(order, [*["told"] * 3, "closed"])
        self.assertEqual(producer.buffered, 0)
        self.assert_nothing_left()

    def test_one_caller_who_is_told_may_cancel_the_wait_of_another(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a")
        self.turn()
        first, second, third = producer.close(), producer.close(), producer.close()
        first.addCallback(lambda _: second.cancel())
        self.leader.answer()
        self.turn()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.successResultOf(third)

    def note_close(self, producer: Producer, order: list[str]) -> None:
        producer.close().addCallback(lambda _: order.append("closed"))

    def test_afterwards_nothing_is_accepted(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a")
        producer.close()
        for _ in range(2):
            self.failureResultOf(producer.send(b"b"), ProducerClosed)
            self.failureResultOf(producer.send_many([b"b"]), ProducerClosed)
            self.turn()
            if self.leader.owed:
                self.leader.answer()
                self.turn()
        self.failureResultOf(producer.flush(), ProducerClosed)
        self.failureResultOf(producer.start(), ProducerClosed)
        self.assertEqual(self.leader.values(), [b"a"])

    def test_it_may_be_closed_again_by_anybody(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a")
        first, second = producer.close(), producer.close()
        self.turn()
        self.leader.answer()
        self.turn()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(producer.close())

    def test_a_flush_goes_on_while_it_closes(self) -> None:
        self.leader.holding = True
        producer = self.started()
        producer.send(b"a")
        closed, flushed = producer.close(), producer.flush()
        self.turn()
        self.leader.answer()
        self.turn()
        self.successResultOf(flushed)
        self.successResultOf(closed)

    def test_it_goes_on_trying_within_its_deadline(self) -> None:
        self.leader.codes = [error(Code.NOT_LEADER_FOR_PARTITION)]
        producer = self.started()
        sent, closed = producer.send(b"a"), producer.close()
        self.turn(FIRST_RETRY)
        self.successResultOf(sent)
        self.successResultOf(closed)

    def test_what_waits_for_room_is_sent_too(self) -> None:
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=1000)
        sent = producer.send_many([b"x" * 400] * 20)
        closed = producer.close()
        self.turn()
        self.assertEqual(len(self.successResultOf(sent)), 20)
        self.successResultOf(closed)

    def test_what_is_left_at_its_deadline_is_given_up_by_name(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(close_timeout=3.0)
        sent, closed = producer.send(b"a"), producer.close()
        self.turn(2.9)
        self.assertNoResult(closed)
        self.turn(0.1)
        self.successResultOf(closed)
        failed = self.failureResultOf(sent, DeliveryTimedOut).value
        assert isinstance(failed, DeliveryTimedOut)
        self.assertEqual((failed.what, failed.seconds), (f"{NAME}/0", 3.0))
        self.assertIs(failed.effect, Effect.NONE)
        self.assert_nothing_left()

    def test_what_is_under_way_at_its_deadline_may_be_stored(self) -> None:
        self.leader.holding = True
        producer = self.started(close_timeout=3.0)
        sent, closed = producer.send(b"a"), producer.close()
        self.turn(3.0)
        self.successResultOf(closed)
        failed = self.failureResultOf(sent, DeliveryTimedOut).value
        assert isinstance(failed, DeliveryTimedOut)
        self.assertIs(failed.effect, Effect.UNKNOWN)
        self.leader.answer()
        self.assert_nothing_left()

    def test_what_still_waits_for_room_at_its_deadline_is_given_up_too(self) -> None:
        self.leader.holding = True
        producer = self.started(
            close_timeout=3.0, batch_size=1000, max_request_size=1000, buffer_memory=1000
        )
        sent = producer.send_many([b"x" * 900] * 5)
        closed = producer.close()
        self.turn(3.0)
        self.successResultOf(closed)
        failed = self.failureResultOf(sent, NotAllStored).value
        assert isinstance(failed, NotAllStored)
        effects = {outcome.effect for outcome in failed.outcomes}
        self.assertEqual(effects, {Effect.NONE, Effect.UNKNOWN})
        self.assertEqual(self.budget.used, 0)
        self.assert_nothing_left()

    def test_cancelled_it_gives_up_at_once(self) -> None:
        self.refuse()
        producer = self.started()
        sent, closed, other = producer.send(b"a"), producer.close(), producer.close()
        self.turn()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.successResultOf(other)
        self.failureResultOf(sent, DeliveryTimedOut)
        self.assert_nothing_left()

    def test_cancelled_at_once_it_leaves_nothing_that_lingers(self) -> None:
        producer = self.started(linger=60.0)
        sent = producer.send(b"a")
        self.turn()
        closed = producer.close()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.failureResultOf(sent, DeliveryTimedOut)
        self.assert_nothing_left()

    def test_it_closes_in_every_state_without_leaving_anything_behind(self) -> None:
        def nobody_leads() -> None:
            self.lead({0: None})

        def cannot_connect() -> None:
            self.refuse()

        def connecting() -> None:
            self.hang()

        def not_leader() -> None:
            self.leader.code = error(Code.NOT_LEADER_FOR_PARTITION)

        def no_answer() -> None:
            self.leader.holding = True

        for situation in (nobody_leads, cannot_connect, connecting, not_leader, no_answer):
            for wait in (0.0, FIRST_RETRY / 2, FIRST_RETRY, 2.0):
                with self.subTest(situation=situation.__name__, wait=wait):
                    situation()
                    self.turn()
                    producer = self.started(close_timeout=1.0, linger=0.1)
                    one, many = producer.send(b"a"), producer.send_many([b"b", b"c"])
                    self.turn(wait)
                    closed = producer.close()
                    self.turn(1.0)
                    self.successResultOf(closed)
                    self.failureResultOf(one, DeliveryTimedOut)
                    self.failureResultOf(many, NotAllStored)
                    self.assert_nothing_left()
                    self.assertEqual(self.budget.used, 0)
                    self.leader.lose()
                    self.leader.holding = False
                    self.leader.code = error(Code.NONE)
                    self.lead({0: 1})
                    self.accept()
                    self.turn(60.0)

    def test_a_callback_of_a_record_may_close_the_producer(self) -> None:
        closes: list[Deferred[None]] = []
        producer = self.started(batch_size=100)
        producer.send(b"a" * 60).addCallback(lambda _: closes.append(producer.close()))
        last = producer.send(b"b" * 60)
        self.turn()
        self.successResultOf(last)
        self.successResultOf(closes[0])

    def test_what_is_being_sent_by_who_closes_it_is_not_accepted(self) -> None:
        @implementer(IPartitioner)
        class Closing:
            def choose(self, *_: object) -> int:
                producer.close()
                return 0

        for send in (
            lambda producer: producer.send(b"a"),
            lambda producer: producer.send_many([b"a", b"b"]),
        ):
            producer = self.started(partitioner=Closing())
            self.failureResultOf(send(producer), ProducerClosed)
        producer = self.started()

        def records() -> Iterator[bytes]:
            yield b"a"
            producer.close()
            yield b"b"

        self.failureResultOf(producer.send_many(records()), ProducerClosed)
        self.turn()
        self.assertEqual(self.leader.asked, [])
        self.assert_nothing_left()

    def test_a_callback_of_a_record_may_send_the_next(self) -> None:
        producer = self.started()
        producer.send(b"a").addCallback(lambda _: producer.send(b"b"))
        self.turn()
        self.assertEqual(self.leader.values(), [b"a", b"b"])
