"""Cancelling withdraws what has not left, and ends the wait for what has."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.producer.kit import FIRST_RETRY, ProducerTestCase
from txfluvio.errors import Disconnected
from txfluvio.wire.codes import Code, error


class CancelTests(ProducerTestCase):
    def cancel(self, *sent: Deferred[Any]) -> None:
        for one in sent:
            one.cancel()
            self.failureResultOf(one, CancelledError)

    def test_a_record_that_has_not_left_is_withdrawn(self) -> None:
        producer = self.started()
        sent = [producer.send(value) for value in (b"a", b"b", b"c")]
        self.cancel(sent[1])
        self.turn()
        self.assertEqual(self.leader.values(), [b"a", b"c"])
        self.assertEqual([self.successResultOf(sent[n]).offset for n in (0, 2)], [0, 1])

    def test_where_all_are_withdrawn_nothing_is_sent(self) -> None:
        producer = self.started()
        self.cancel(producer.send(b"a"), producer.send(b"b"))
        self.turn()
        self.assertEqual(self.leader.asked, [])
        self.assertEqual(producer.buffered, 0)

    def test_a_record_that_has_left_is_stored_all_the_same(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = [producer.send(b"a"), producer.send(b"b")]
        self.turn()
        self.cancel(sent[0])
        self.leader.answer()
        self.turn()
        self.assertEqual(self.leader.values(), [b"a", b"b"])
        self.assertEqual(self.successResultOf(sent[1]).offset, 1)

    def test_a_record_that_may_have_left_is_sent_again_all_the_same(self) -> None:
        self.leader.code = error(Code.NOT_LEADER_FOR_PARTITION)
        producer = self.started()
        sent = [producer.send(b"a"), producer.send(b"b")]
        self.turn()
        self.cancel(sent[0])
        self.leader.code = error(Code.NONE)
        self.turn(FIRST_RETRY)
        self.assertEqual(self.leader.values(), [b"a", b"b"])

    def test_a_record_that_waits_for_a_leader_is_withdrawn(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started()
        sent = producer.send(b"a")
        self.turn(1.0)
        self.cancel(sent)
        self.lead({0: 1})
        self.turn()
        self.assertEqual(self.leader.asked, [])

    def test_a_record_that_waits_for_room_is_withdrawn(self) -> None:
        self.leader.holding = True
        producer = self.started(buffer_memory=1000, batch_size=1000, max_request_size=1000)
        sent = [producer.send(b"x" * 900) for _ in range(4)]
        self.cancel(sent[3], sent[2])
        self.turn()
        self.let_go()
        self.assertEqual(len(self.leader.values()), 2)

    def test_of_many_those_that_have_not_left_are_withdrawn(self) -> None:
        self.leader.holding = True
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=3000)
        before = producer.send(b"before")
        many = producer.send_many([b"%d" % number * 400 for number in range(20)])
        after = producer.send(b"after")
        self.turn()
        left = self.leader.asked[0].values
        self.cancel(many)
        self.let_go()
        self.assertEqual(self.leader.values(), [*left, b"after"])
        self.assertEqual(self.successResultOf(before).offset, 0)
        self.assertEqual(self.successResultOf(after).offset, len(left))

    def test_cancelling_one_harms_no_other_call(self) -> None:
        producer = self.started()
        one, many = producer.send(b"a"), producer.send_many([b"b"])
        self.cancel(many)
        self.turn()
        self.successResultOf(one)
        self.assertEqual(self.leader.values(), [b"a"])

    def test_a_callback_may_cancel_who_is_next(self) -> None:
        producer = self.started()
        first, second = producer.send(b"a"), producer.send(b"b")
        first.addCallback(lambda _: second.cancel())
        self.turn()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.leader.values(), [b"a", b"b"])

    def test_whoever_is_told_may_cancel_who_is_next_after_another_has_cancelled(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = [producer.send(value) for value in (b"a", b"b", b"c")]
        self.turn()
        self.cancel(sent[2])
        sent[0].addCallback(lambda _: sent[1].cancel())
        flushed = producer.flush()
        self.leader.answer()
        self.turn()
        self.failureResultOf(sent[1], CancelledError)
        self.successResultOf(flushed)
        self.assertEqual(producer.buffered, 0)

    def test_whoever_is_told_that_there_was_no_room_may_cancel_who_is_next(self) -> None:
        self.leader.holding = True
        producer = self.started(
            buffer_memory=1000, batch_size=1000, max_request_size=1000, delivery_timeout=5.0
        )
        for _ in range(2):
            producer.send(b"x" * 900).addErrback(lambda _: None)
            self.turn()
        sent = [producer.send(value, b"key") for value in (b"a", b"b", b"c")]
        flushed = producer.flush()
        self.cancel(sent[2])
        sent[0].addErrback(lambda _: sent[1].cancel())
        self.turn(6.0)
        self.successResultOf(sent[0])
        self.failureResultOf(sent[1], CancelledError)
        self.successResultOf(flushed)

    def test_a_callback_may_withdraw_what_was_about_to_leave(self) -> None:
        producer = self.started(linger=1.0, batch_size=100)
        first = producer.send(b"a" * 100)
        flushed = producer.flush()
        second, third = producer.send(b"b" * 100), producer.send(b"c" * 100)
        flushed.addCallback(lambda _: second.cancel())
        self.cancel(first)
        self.turn()
        self.successResultOf(flushed)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.successResultOf(third).offset, 0)
        self.assertEqual(self.leader.values(), [b"c" * 100])
        self.assertEqual(producer.buffered, 0)

    def test_an_error_reaches_nobody_who_has_cancelled(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = [producer.send(b"a"), producer.send(b"b")]
        self.turn()
        self.cancel(sent[0])
        self.cluster.stop()
        self.turn(1.0)
        self.failureResultOf(sent[1])
        self.flushLoggedErrors(Disconnected)

    def test_a_flush_may_be_given_up(self) -> None:
        self.leader.holding = True
        producer = self.started(linger=5.0)
        sent = producer.send(b"a")
        flushed = producer.flush()
        self.turn()
        self.cancel(flushed)
        self.leader.answer()
        self.turn()
        self.successResultOf(sent)
        producer.send(b"b")
        self.turn()
        self.assertEqual(len(self.leader.asked), 1)

    def test_of_those_that_linger_in_one_batch_any_can_be_withdrawn(self) -> None:
        producer = self.started(linger=1.0)
        sent = [producer.send(b"%d" % number) for number in range(6)]
        self.turn(0.5)
        self.cancel(sent[0], sent[3], sent[4])
        self.turn(0.5)
        self.assertEqual(self.leader.values(), [b"1", b"2", b"5"])
        self.assertEqual([self.successResultOf(sent[n]).offset for n in (1, 2, 5)], [0, 1, 2])

    def test_where_all_that_linger_are_withdrawn_a_close_waits_for_nothing(self) -> None:
        producer = self.started(linger=1.0)
        sent = [producer.send(b"a"), producer.send(b"b")]
        self.turn(0.5)
        self.cancel(*sent)
        closed = producer.close()
        self.turn()
        self.successResultOf(closed)
        self.assertEqual(self.leader.asked, [])

    def test_some_of_those_that_wait_for_room_together_are_withdrawn(self) -> None:
        self.leader.holding = True
        producer = self.started(buffer_memory=1000, batch_size=1000, max_request_size=1000)
        producer.send(b"x" * 900)
        self.turn()
        sent = [producer.send(b"%d" % number * 300) for number in range(9)]
        self.turn()
        self.cancel(sent[0], sent[4], sent[8])
        self.let_go()
        left = [1, 2, 3, 5, 6, 7]
        self.assertEqual(self.leader.values()[1:], [b"%d" % number * 300 for number in left])
        self.assertEqual([self.successResultOf(sent[n]).offset for n in left], list(range(1, 7)))
        self.assertEqual(producer.buffered, 0)

    def test_whoever_waits_for_room_alone_and_cancels_holds_up_nothing(self) -> None:
        self.leader.holding = True
        producer = self.started(buffer_memory=1000, batch_size=1000, max_request_size=1000)
        for _ in range(2):
            producer.send(b"x" * 900)
            self.turn()
        late = producer.send(b"y")
        self.turn(0.1)
        self.cancel(late)
        closed = producer.close()
        for _ in range(2):
            self.leader.answer()
            self.turn()
        self.successResultOf(closed)
        self.assertEqual(len(self.leader.values()), 2)

    def test_a_flush_does_not_wait_for_what_is_withdrawn(self) -> None:
        producer = self.started(linger=5.0)
        self.lead({0: None})
        sent = [producer.send(b"a"), producer.send(b"b")]
        flushed = producer.flush()
        self.turn()
        self.assertNoResult(flushed)
        self.cancel(*sent)
        self.lead({0: 1})
        self.turn()
        self.successResultOf(flushed)
        self.assertEqual(self.leader.asked, [])

    def test_withdrawn_before_there_is_a_leader_many_hold_up_nothing(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(batch_size=120, max_request_size=120)
        sent = [producer.send(b"x" * 50) for _ in range(1000)]
        self.turn(1.0)
        self.cancel(*sent)
        left = producer.send(b"left")
        flushed = producer.flush()
        self.lead({0: 1})
        self.turn()
        self.successResultOf(left)
        self.successResultOf(flushed)
        self.assertEqual(self.leader.values(), [b"left"])
        self.assertEqual(producer.buffered, 0)

    def test_what_is_withdrawn_leaves_its_room_though_nobody_leads(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=1000)
        sent = [producer.send(b"x" * 400) for _ in range(2)]
        many = producer.send_many([b"y" * 400] * 2)
        waits = producer.send(b"z" * 900)
        self.turn(1.0)
        flushed = producer.flush()
        self.cancel(*sent, many)
        self.turn()
        self.assertLess(producer.buffered, 1000)
        self.cancel(waits)
        self.turn()
        self.assertEqual(producer.buffered, 0)
        self.successResultOf(flushed)
        self.successResultOf(producer.flush())
        closed = producer.close()
        self.successResultOf(closed)

    def test_what_is_withdrawn_leaves_its_room_though_a_request_is_under_way(self) -> None:
        self.leader.holding = True
        producer = self.started(batch_size=1000, max_request_size=1000, buffer_memory=1500)
        sent = []
        for value in (b"a" * 900, b"b" * 900, b"c"):
            sent.append(producer.send(value))
            self.turn()
        held = producer.buffered
        self.cancel(sent[1])
        self.turn()
        self.assertLess(producer.buffered, held - 800)
        self.leader.answer()
        self.turn()
        self.leader.answer()
        self.turn()
        self.successResultOf(sent[2])
        self.assertEqual(self.leader.values(), [b"a" * 900, b"c"])

    def test_whoever_is_told_of_a_withdrawal_may_close(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(batch_size=120, max_request_size=120)
        sent = [producer.send(b"x" * 50) for _ in range(2)]
        flushed = producer.flush()
        closed = flushed.addCallback(lambda _: producer.close())
        self.turn()
        self.cancel(*sent)
        self.turn()
        self.successResultOf(closed)
