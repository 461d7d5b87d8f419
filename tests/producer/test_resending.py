"""What goes wrong on the way: tried again where that helps, reported as what it is where not."""

from __future__ import annotations

from typing import NoReturn

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from tests.cluster.objects import spu
from tests.producer.kit import FIRST_RETRY, NAME, REQUEST_TIMEOUT, ProducerTestCase
from txfluvio.config import Delivery, Isolation
from txfluvio.errors import (
    BrokerError,
    ClientClosed,
    CompressionError,
    ConnectFailed,
    DeliveryTimedOut,
    Disconnected,
    Effect,
    FluvioError,
    MessageTooLarge,
    NotAllStored,
    NotLeaderForPartition,
    PartitionFull,
    PartitionShortCircuited,
    ProtocolError,
    ReplicationTimedOut,
    RequestTimedOut,
    StorageError,
    TopicNotFound,
    UnsupportedVersion,
    WaitTimedOut,
)
from txfluvio.producer import Producer, RecordMetadata
from txfluvio.transport.memory import Direction
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode, ReplicaKey, RequestKind, error
from txfluvio.wire.sc import SPU, IngressAddr
from txfluvio.wire.spu import PartitionProduceResponse, ProduceResponse, TopicProduceResponse
from txfluvio.wire.versions import ApiVersionsResponse

NOT_LEADER = error(Code.NOT_LEADER_FOR_PARTITION)
NOT_REPLICATED = error(Code.REQUEST_TIMED_OUT, timeout_ms=1500, kind=RequestKind.PRODUCE)

MANY = 400
"""More requests than can end each within the one before."""


def refuse_to_send(*_: object) -> NoReturn:
    raise UnsupportedVersion("Produce", "none", "25")


class Case(ProducerTestCase):
    def error_of(self, sent: Deferred[RecordMetadata]) -> FluvioError:
        error = self.failureResultOf(sent).value
        assert isinstance(error, FluvioError)
        return error

    def give_retries(self, seconds: float) -> None:
        """So much time, after the first failure."""
        policy = attrs.evolve(self.cluster.config.retry, deadline=seconds)
        self.cluster.retrying = attrs.evolve(self.cluster.retrying, policy=policy)


class AnswerTests(Case):
    """The broker's word on a batch."""

    def answered(self, code: ErrorCode, **config: object) -> FluvioError:
        producer = self.started(**config)
        self.leader.codes = [code]
        sent = producer.send(b"x")
        self.turn()
        failed = self.error_of(sent)
        after = producer.send(b"after")
        self.turn()
        self.successResultOf(after)
        self.assertEqual(self.leader.values()[-1], b"after")
        return failed

    def test_a_refusal_is_named_tells_the_partition_and_harms_nothing_after_it(self) -> None:
        refusals: list[tuple[ErrorCode, type[BrokerError]]] = [
            (error(Code.MESSAGE_TOO_LARGE), MessageTooLarge),
            (error(Code.COMPRESSION_ERROR), CompressionError),
            (error(Code.PARTITION_SHORT_CIRCUITED), PartitionShortCircuited),
            (
                error(Code.PARTITION_FULL, replica_key=ReplicaKey(topic=NAME, partition=0)),
                PartitionFull,
            ),
        ]
        for code, cls in refusals:
            failed = self.answered(code)
            self.assertIsInstance(failed, cls)
            self.assertIs(failed.effect, Effect.NONE)
            self.assertIn(f"{NAME}/0", str(failed))

    def test_a_write_that_failed_may_have_stored_some(self) -> None:
        failed = self.answered(error(Code.STORAGE_ERROR))
        self.assertIsInstance(failed, StorageError)
        self.assertIs(failed.effect, Effect.UNKNOWN)
        self.assertEqual(len(self.leader.asked), 2)

    def test_stored_but_not_replicated_is_never_sent_again(self) -> None:
        failed = self.answered(NOT_REPLICATED, isolation=Isolation.READ_COMMITTED)
        self.assertIsInstance(failed, ReplicationTimedOut)
        self.assertIs(failed.effect, Effect.DONE)
        self.assertEqual(self.leader.values(), [b"x", b"after"])

    def test_an_error_nobody_knows_is_not_taken_for_success(self) -> None:
        failed = self.answered(ErrorCode(31_000))
        self.assertIs(type(failed), BrokerError)
        self.assertIs(failed.effect, Effect.UNKNOWN)

    def test_batches_of_one_request_have_their_outcomes_each(self) -> None:
        producer = self.started(batch_size=100)
        self.leader.codes = [NO_ERROR, error(Code.MESSAGE_TOO_LARGE), NO_ERROR]
        sent = [producer.send(value * 50) for value in (b"a", b"b", b"c")]
        self.turn()
        self.assertEqual(len(self.leader.asked), 1)
        self.assertEqual(self.successResultOf(sent[0]).offset, 0)
        self.assertIsInstance(self.error_of(sent[1]), MessageTooLarge)
        self.assertEqual(self.successResultOf(sent[2]).offset, 1)

    def test_each_sender_gets_an_error_of_its_own(self) -> None:
        producer = self.started()
        self.leader.codes = [error(Code.MESSAGE_TOO_LARGE)]
        sent = [producer.send(b"a"), producer.send(b"b")]
        self.turn()
        self.assertIsNot(self.error_of(sent[0]), self.error_of(sent[1]))

    def test_of_records_sent_together_each_has_its_outcome(self) -> None:
        producer = self.started(batch_size=100)
        self.leader.codes = [NO_ERROR, error(Code.MESSAGE_TOO_LARGE), NO_ERROR]
        sent = producer.send_many([value * 50 for value in (b"a", b"b", b"c")])
        self.turn()
        failed = self.failureResultOf(sent, NotAllStored).value
        assert isinstance(failed, NotAllStored)
        self.assertEqual((failed.stored, failed.total), (2, 3))
        first, second, third = failed.outcomes
        self.assertEqual((first.offset, third.offset), (0, 1))
        self.assertIsInstance(second, MessageTooLarge)
        self.assertIs(failed.__cause__, second)
        self.assertIs(failed.effect, Effect.UNKNOWN)

    def test_they_are_worth_sending_again_if_each_that_failed_is(self) -> None:
        self.refuse()
        too_late = self.started(delivery_timeout=5.0).send_many([b"a", b"b"])
        self.turn(5.0)
        self.assertTrue(self.failureResultOf(too_late, NotAllStored).value.retriable)

    def test_they_are_not_if_one_of_them_would_be_refused_again(self) -> None:
        self.leader.holding = True
        sent = self.started(batch_size=100, delivery_timeout=5.0).send_many([b"a" * 50, b"b" * 50])
        self.turn()
        self.leader.holding = False
        self.leader.codes = [NOT_LEADER, error(Code.MESSAGE_TOO_LARGE), *[NOT_LEADER] * 100]
        self.leader.answer()
        self.turn(5.0)
        failed = self.failureResultOf(sent, NotAllStored).value
        assert isinstance(failed, NotAllStored)
        self.assertEqual([one.retriable for one in failed.outcomes], [True, False])
        self.assertFalse(failed.retriable)

    def test_where_none_of_them_can_have_been_stored_that_is_said(self) -> None:
        producer = self.started()
        self.leader.codes = [error(Code.MESSAGE_TOO_LARGE)]
        sent = producer.send_many([b"a", b"b"])
        self.turn()
        failed = self.failureResultOf(sent, NotAllStored).value
        assert isinstance(failed, NotAllStored)
        self.assertIs(failed.effect, Effect.NONE)

    def test_an_answer_that_does_not_fit_the_request_proves_nothing(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = producer.send(b"x")
        self.turn()
        self.leader.owed.pop().reply(ProduceResponse(responses=()))
        self.turn()
        failed = self.error_of(sent)
        self.assertIsInstance(failed, ProtocolError)
        self.assertIs(failed.effect, Effect.UNKNOWN)


class AtLeastOnceTests(Case):
    def test_records_go_to_the_leader_of_the_moment(self) -> None:
        producer = self.started()
        producer.send(b"a")
        self.turn()
        self.lead({0: 2})
        self.turn()
        producer.send(b"b")
        self.turn()
        self.assertEqual((self.leader.values(), self.other.values()), ([b"a"], [b"b"]))

    def test_a_leader_that_changes_late_is_noticed_as_well(self) -> None:
        producer = self.started()
        for value in (b"a", b"b", b"c"):
            producer.send(value)
            self.turn()
        self.lead({0: 2})
        self.turn()
        producer.send(b"d")
        self.turn()
        self.assertEqual((self.leader.values(), self.other.values()), ([b"a", b"b", b"c"], [b"d"]))

    def test_a_leader_at_another_address_is_asked_there_though_the_old_one_is_still_connected(
        self,
    ) -> None:
        producer = self.started()
        producer.send(b"a")
        self.turn()
        moved = spu(1, ingress=(IngressAddr(hostname="spu-2.test"),), port=9005)
        self.sc.tell(SPU, moved)
        self.turn()
        producer.send(b"b")
        self.turn()
        self.assertEqual((self.leader.values(), self.other.values()), ([b"a"], [b"b"]))

    def test_news_of_the_partition_do_not_change_the_connection(self) -> None:
        producer = self.started()
        for _ in range(3):
            producer.send(b"a")
            self.turn()
            self.lead({0: 1})
            self.turn()
        self.assertEqual(len(self.leader.values()), 3)
        self.assertEqual(len({asked.connection for asked in self.leader.asked}), 1)

    def test_where_the_leader_has_changed_they_are_sent_again_to_the_new_one(self) -> None:
        producer = self.started()
        self.leader.codes = [NOT_LEADER]
        sent = producer.send(b"x")
        self.turn()
        self.assertNoResult(sent)
        self.lead({0: 2})
        self.turn()
        self.successResultOf(sent)
        self.assertEqual((self.leader.values(), self.other.values()), ([], [b"x"]))

    def test_where_no_other_leader_is_known_the_same_is_asked_again_after_a_while(self) -> None:
        producer = self.started()
        self.leader.codes = [NOT_LEADER, NOT_LEADER]
        sent = producer.send(b"x")
        self.turn(FIRST_RETRY * 0.9)
        self.assertEqual(len(self.leader.asked), 1)
        self.turn(FIRST_RETRY * 0.1)
        self.assertEqual(len(self.leader.asked), 2)
        self.turn(FIRST_RETRY * 1.9)
        self.assertEqual(len(self.leader.asked), 2)
        self.turn(FIRST_RETRY * 0.1)
        self.successResultOf(sent)

    def test_a_success_lets_the_waits_start_anew(self) -> None:
        producer = self.started()
        for _ in range(2):
            self.leader.codes = [NOT_LEADER]
            sent = producer.send(b"x")
            self.turn(FIRST_RETRY)
            self.successResultOf(sent)

    def test_a_connection_lost_under_a_request_is_replaced(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = producer.send(b"x")
        self.turn()
        self.leader.lose()
        self.leader.holding = False
        self.turn()
        self.assertNoResult(sent)
        self.turn(FIRST_RETRY)
        self.successResultOf(sent)
        self.assertEqual(self.leader.values(), [b"x"])

    def test_a_record_whose_answer_was_lost_is_stored_twice(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = producer.send(b"x")
        self.turn()
        self.leader.work()
        self.leader.lose()
        self.leader.holding = False
        self.turn(FIRST_RETRY)
        self.assertEqual(self.successResultOf(sent).offset, 1)
        self.assertEqual(self.leader.values(), [b"x", b"x"])

    def test_the_same_bytes_are_sent_again(self) -> None:
        self.leader.codes = [NOT_LEADER]
        producer = self.started(compression="gzip")
        producer.send(b"x")
        self.turn(FIRST_RETRY)
        first, second = self.leader.asked
        self.assertEqual(
            first.message.topics[0].partitions[0].records,
            second.message.topics[0].partitions[0].records,
        )

    def test_a_leader_that_can_not_be_reached_is_dialled_again(self) -> None:
        self.refuse()
        producer = self.started()
        sent = producer.send(b"x")
        self.turn(FIRST_RETRY)
        self.assertNoResult(sent)
        self.accept()
        self.turn(FIRST_RETRY * 2)
        self.successResultOf(sent)

    def test_a_partition_without_a_leader_is_waited_for(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started()
        sent = producer.send(b"x")
        self.turn(60.0)
        self.assertNoResult(sent)
        self.lead({0: 2})
        self.turn()
        self.successResultOf(sent)

    def test_order_holds_over_every_repetition(self) -> None:
        producer = self.started(batch_size=100)
        values = [b"%d" % number * 40 for number in range(30)]
        sent = []
        for number, value in enumerate(values):
            self.leader.code = NOT_LEADER if number % 3 else NO_ERROR
            self.leader.holding = number % 5 == 1
            sent.append(producer.send(value))
            self.turn(FIRST_RETRY)
            if self.leader.holding:
                self.leader.lose()
        self.leader.code = NO_ERROR
        self.leader.holding = False
        self.turn(10.0)
        for one in sent:
            self.successResultOf(one)
        self.assertEqual(self.leader.values(), values)

    def test_a_silent_leader_is_given_up_at_the_requests_deadline_with_its_connection(self) -> None:
        self.leader.holding = True
        producer = self.started()
        sent = producer.send(b"x")
        self.turn()
        (silent,) = self.leader.connections
        self.turn(REQUEST_TIMEOUT)
        self.assertNotIn(silent, self.leader.connections)
        self.leader.owed.clear()
        self.leader.holding = False
        self.turn(FIRST_RETRY)
        self.successResultOf(sent)

    def test_a_request_that_waits_for_replicas_is_given_that_time_on_top(self) -> None:
        self.leader.holding = True
        producer = self.started(
            isolation=Isolation.READ_COMMITTED, replication_timeout=5.0, batch_size=100
        )
        producer.send_many([b"x" * 50] * 2)
        self.turn(REQUEST_TIMEOUT + 9.9)
        self.assertEqual(len(self.leader.connections), 1)
        self.leader.holding = False
        self.leader.answer()
        self.turn()
        self.assertEqual(len(self.leader.values()), 2)

    def test_a_lost_leadership_may_have_come_after_the_append_where_replicas_are_waited_for(
        self,
    ) -> None:
        producer = self.started(isolation=Isolation.READ_COMMITTED, delivery_timeout=1.0)
        self.leader.codes = [NOT_LEADER] * 100
        sent = producer.send(b"x")
        self.turn(1.0)
        failed = self.error_of(sent)
        self.assertIsInstance(failed, DeliveryTimedOut)
        self.assertIs(failed.effect, Effect.UNKNOWN)

    def test_the_retry_policy_may_end_it_earlier(self) -> None:
        self.give_retries(0.5)
        producer = self.started()
        self.leader.codes = [NOT_LEADER] * 100
        sent = producer.send(b"x")
        self.turn(2.0)
        self.assertIsInstance(self.error_of(sent), NotLeaderForPartition)

    def test_a_failure_of_what_was_withdrawn_since_is_forgotten(self) -> None:
        self.give_retries(5.0)
        producer = self.started()
        self.refuse()
        withdrawn = producer.send(b"x")
        self.turn(0.01)
        withdrawn.cancel()
        self.failureResultOf(withdrawn)
        self.accept()
        self.turn(100.0)
        self.refuse()
        self.leader.lose()
        sent = producer.send(b"y")
        self.turn(1.0)
        self.accept()
        self.turn(1.0)
        self.successResultOf(sent)

    def test_waits_grow_also_where_all_that_waits_is_withdrawn_again_and_again(self) -> None:
        producer = self.started()
        self.refuse()
        for _ in range(40):
            withdrawn = producer.send(b"x")
            self.turn(0.05)
            withdrawn.cancel()
            self.failureResultOf(withdrawn)
            self.turn(0.05)
        self.accept()
        # Attempts were at 0, 0.125, 0.375, 0.9 and 1.9 seconds or a little later, and it is 4.
        sent = producer.send(b"x")
        self.turn(0.2)
        self.assertNoResult(sent)
        self.turn(1.0)
        self.successResultOf(sent)

    def test_the_retry_policy_ends_it_where_the_next_attempt_would_be_past_its_deadline(
        self,
    ) -> None:
        # Attempts are at 0, 0.125 and 0.375 seconds; the next would be at 0.875.
        self.give_retries(0.5)
        producer = self.started()
        self.leader.codes = [NOT_LEADER] * 3
        sent = producer.send(b"x")
        self.turn(0.375)
        self.assertIsInstance(self.error_of(sent), NotLeaderForPartition)
        self.assertEqual(len(self.leader.asked), 3)
        after = producer.send(b"after")
        self.turn()
        self.successResultOf(after)

    def waiting_when_the_policy_ends_it(self) -> list[FluvioError]:
        """What became of a record whose attempts are over, and of those that waited behind it."""
        self.give_retries(0.5)
        producer = self.started(batch_size=120, max_request_size=120)
        sent = [producer.send(b"x" * 50) for _ in range(3)]
        self.turn(0.3)
        sent.append(producer.send(b"y"))
        self.turn(0.075)
        errors = [self.error_of(one) for one in sent]
        self.leader.code = NO_ERROR
        self.accept()
        after = producer.send(b"after")
        self.turn()
        self.successResultOf(after)
        self.assertEqual(self.leader.values(), [b"after"])
        return errors

    def test_the_retry_policy_ends_all_that_waits_where_the_leader_refuses(self) -> None:
        self.leader.code = NOT_LEADER
        kinds = {type(error) for error in self.waiting_when_the_policy_ends_it()}
        self.assertEqual(kinds, {NotLeaderForPartition})

    def test_the_retry_policy_ends_all_that_waits_where_the_leader_is_not_there(self) -> None:
        self.refuse()
        kinds = {type(error) for error in self.waiting_when_the_policy_ends_it()}
        self.assertEqual(kinds, {ConnectFailed})

    def test_what_waits_then_was_not_sent_whatever_became_of_what_was(self) -> None:
        self.give_retries(FIRST_RETRY / 2)
        self.leader.holding = True
        producer = self.started()
        under_way = producer.send(b"x")
        self.turn()
        waiting = producer.send(b"y")
        self.leader.lose()
        self.turn()
        errors = [self.error_of(under_way), self.error_of(waiting)]
        self.assertEqual([type(error) for error in errors], [Disconnected, Disconnected])
        self.assertEqual([error.effect for error in errors], [Effect.UNKNOWN, Effect.NONE])


class LeaderlessTests(Case):
    def test_the_time_without_a_leader_is_not_of_the_policys_deadline(self) -> None:
        self.give_retries(5.0)
        self.leader.codes = [NOT_LEADER]
        sent = self.started(delivery_timeout=60.0).send(b"x")
        self.turn()
        self.lead({0: None})
        self.turn(20.0)
        self.leader.codes = [NOT_LEADER]
        self.lead({0: 1})
        self.turn(1.0)
        self.assertEqual(self.successResultOf(sent).offset, 0)


class DeliveryTimeoutTests(Case):
    """After delivery_timeout every record has an outcome, whatever the cluster does."""

    def late(self, sent: Deferred[RecordMetadata]) -> DeliveryTimedOut:
        failed = self.error_of(sent)
        assert isinstance(failed, DeliveryTimedOut)
        self.assertEqual((failed.what, failed.seconds), (f"{NAME}/0", 5.0))
        return failed

    def test_nobody_leads(self) -> None:
        self.lead({0: None})
        self.turn()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(4.9)
        self.assertNoResult(sent)
        self.turn(0.1)
        failed = self.late(sent)
        self.assertIs(failed.effect, Effect.NONE)
        self.assertIsInstance(failed.__cause__, WaitTimedOut)

    def test_the_leader_is_not_there(self) -> None:
        self.refuse()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        failed = self.late(sent)
        self.assertIs(failed.effect, Effect.NONE)
        self.assertIsInstance(failed.__cause__, ConnectFailed)

    def test_the_leader_can_neither_be_reached_nor_not(self) -> None:
        self.hang()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        self.assertIs(self.late(sent).effect, Effect.NONE)

    def test_the_leader_does_not_lead(self) -> None:
        self.leader.codes = [NOT_LEADER] * 100
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        failed = self.late(sent)
        self.assertIs(failed.effect, Effect.NONE)
        self.assertIsInstance(failed.__cause__, NotLeaderForPartition)

    def test_the_leader_does_not_answer(self) -> None:
        self.leader.holding = True
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        failed = self.late(sent)
        self.assertIs(failed.effect, Effect.UNKNOWN)
        self.assertIsInstance(failed.__cause__, RequestTimedOut)

    def test_an_attempt_that_may_have_stored_it_is_not_forgotten(self) -> None:
        self.leader.holding = True
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn()
        self.leader.lose()
        self.refuse()
        self.turn(5.0)
        failed = self.late(sent)
        self.assertIs(failed.effect, Effect.UNKNOWN)
        self.assertIsInstance(failed.__cause__, ConnectFailed)

    def test_a_refusal_after_such_an_attempt_says_so_too(self) -> None:
        self.leader.holding = True
        sent = self.started().send(b"x")
        self.turn()
        self.leader.lose()
        self.leader.holding = False
        self.leader.codes = [error(Code.MESSAGE_TOO_LARGE)]
        self.turn(FIRST_RETRY)
        failed = self.error_of(sent)
        self.assertIsInstance(failed, MessageTooLarge)
        self.assertIs(failed.effect, Effect.UNKNOWN)

    def test_an_answer_for_another_partition_is_the_peers_mistake(self) -> None:
        self.leader.holding = True
        sent = self.started().send(b"x")
        self.turn()
        asked = self.leader.owed[0]
        self.leader.logs[1] = []
        entry = PartitionProduceResponse(partition_index=1, base_offset=7)
        topic = TopicProduceResponse(name=NAME, partitions=(entry,))
        asked.reply(ProduceResponse(responses=(topic,)))
        self.turn()
        self.assertIs(self.failureResultOf(sent, ProtocolError).value.effect, Effect.UNKNOWN)

    def test_an_offset_that_is_none_is_the_peers_mistake(self) -> None:
        self.leader.holding = True
        sent = self.started().send(b"x")
        self.turn()
        entry = PartitionProduceResponse(partition_index=0, base_offset=-1)
        topic = TopicProduceResponse(name=NAME, partitions=(entry,))
        self.leader.owed.pop().reply(ProduceResponse(responses=(topic,)))
        self.turn()
        self.assertIs(self.failureResultOf(sent, ProtocolError).value.effect, Effect.UNKNOWN)

    def test_each_record_has_its_own_time(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(delivery_timeout=5.0)
        first = producer.send(b"a")
        self.turn(3.0)
        second = producer.send(b"b")
        self.turn(2.0)
        self.late(first)
        self.assertNoResult(second)
        self.turn(3.0)
        self.late(second)

    def test_a_request_in_which_one_record_is_late_may_still_store_the_others(self) -> None:
        # Sent again elsewhere they would be stored twice, and behind what was sent after them.
        self.lead({0: None})
        self.turn()
        producer = self.started(delivery_timeout=5.0, batch_size=70)
        first = producer.send(b"a" * 20)
        self.turn(3.0)
        second = producer.send(b"b" * 20)
        self.leader.holding = True
        self.lead({0: 1})
        self.turn(1.5)
        self.turn(0.5)
        self.assertIs(self.late(first).effect, Effect.UNKNOWN)
        self.assertNoResult(second)
        self.turn(1.0)
        self.leader.holding = False
        self.leader.answer()
        self.turn()
        self.assertEqual(self.successResultOf(second).offset, 1)
        self.assertEqual(self.leader.values(), [b"a" * 20, b"b" * 20])
        self.turn(5.0)
        self.assertEqual(producer.buffered, 0)

    def test_a_request_that_is_not_answered_at_all_ends_with_its_connection(self) -> None:
        producer = self.started(delivery_timeout=5.0)
        self.leader.holding = True
        first = producer.send(b"a")
        self.turn(5.0)
        self.late(first)
        self.turn()
        self.assertEqual(len(self.leader.connections), 0)

    def test_a_request_that_waits_for_many_replicas_holds_nothing_up_when_all_in_it_is_late(
        self,
    ) -> None:
        producer = self.started(
            delivery_timeout=5.0,
            isolation=Isolation.READ_COMMITTED,
            replication_timeout=5.0,
            batch_size=100,
        )
        self.leader.holding = True
        first = producer.send_many([b"x" * 50] * 10)
        self.turn(5.0)
        self.failureResultOf(first, NotAllStored)
        self.leader.owed.clear()
        self.leader.holding = False
        after = producer.send(b"after")
        self.turn(FIRST_RETRY)
        self.assertEqual(self.successResultOf(after).offset, 0)

    def test_the_producer_goes_on_afterwards(self) -> None:
        self.refuse()
        producer = self.started(delivery_timeout=5.0)
        sent = producer.send(b"a")
        self.turn(5.0)
        self.late(sent)
        self.accept()
        after = producer.send(b"b")
        self.turn(5.0)
        self.successResultOf(after)
        self.assertEqual(self.leader.values(), [b"b"])


class CauseTests(Case):
    """What was given up tells what was in the way by then, for how long, and why that was."""

    def causes(self, sent: Deferred[RecordMetadata]) -> list[str]:
        error: BaseException | None = self.failureResultOf(sent, DeliveryTimedOut).value
        found = []
        while error is not None and (error := error.__cause__) is not None:
            found.append(str(error))
        return found

    def test_nobody_leads(self) -> None:
        self.lead({0: None})
        self.turn()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        self.assertEqual(
            self.causes(sent), ["partition 0 of orders has no online leader, after 5 s"]
        )

    def test_nobody_leads_and_there_is_no_sc_to_tell_who_does(self) -> None:
        self.lead({0: None})
        self.turn()
        self.network.refuse("sc.test", 9003)
        self.sc.connections[0].transport.abortConnection()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        nobody, no_sc, *_ = self.causes(sent)
        self.assertEqual(nobody, "partition 0 of orders has no online leader, after 5 s")
        self.assertIn("can not connect to sc.test:9003", no_sc)

    def test_the_leader_can_neither_be_reached_nor_not(self) -> None:
        self.hang()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        self.assertEqual(self.causes(sent), ["no connection to SPU 1, after 5 s"])

    def test_nobody_led_at_first(self) -> None:
        self.lead({0: None})
        self.turn()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(1.0)
        self.hang()
        self.lead({0: 1})
        self.turn(4.0)
        self.assertEqual(self.causes(sent), ["no connection to SPU 1, after 4 s"])

    def test_an_attempt_that_failed_is_behind_the_one_that_goes_on(self) -> None:
        self.refuse()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(FIRST_RETRY)
        self.hang()
        self.turn(5.0)
        no_connection, refused, *_ = self.causes(sent)
        self.assertEqual(no_connection, f"no connection to SPU 1, after {5 - 3 * FIRST_RETRY:g} s")
        self.assertIn("refused", refused)

    def test_an_attempt_that_failed_is_behind_the_one_that_gets_no_answer(self) -> None:
        self.leader.codes = [NOT_LEADER]
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn()
        self.leader.holding = True
        self.turn(5.0)
        no_answer, not_leader = self.causes(sent)
        self.assertIn(f"no answer within {5 - FIRST_RETRY:g} s", no_answer)
        self.assertIn("does not lead", not_leader)

    def late_when_answered(self) -> tuple[Producer, list[Deferred[RecordMetadata]]]:
        """Three records, of which the last is late when the second is about to be answered."""
        self.make_topic(2)
        self.lead({1: None})
        self.turn()
        self.leader.holding = True
        producer = self.started(delivery_timeout=8.0, max_request_size=1000, batch_size=1000)
        # When this is given up, what is late is not looked for again at once.
        producer.send(b"x", partition=1).addErrback(lambda _: None)
        self.turn(0.05)
        sent = [producer.send(b"x" * 900, partition=0) for _ in range(3)]
        self.turn(2.0)
        self.leader.answer()
        self.turn(8.01 - 2.0)
        return producer, sent

    def test_an_answer_that_comes_when_it_is_late_was_in_the_way(self) -> None:
        _, (_, second, third) = self.late_when_answered()
        self.leader.answer()
        self.turn()
        self.successResultOf(second)
        (no_answer,) = self.causes(third)
        self.assertIn("Produce to orders/0: no answer within 6.01 s", no_answer)

    def test_who_flushes_when_told_of_that_answer_waits_for_what_is_late(self) -> None:
        producer, (_, second, third) = self.late_when_answered()
        told = []
        second.addCallback(lambda _: producer.flush().addCallback(lambda _: told.append("flushed")))
        third.addErrback(lambda _: told.append("late"))
        self.leader.answer()
        self.turn()
        self.assertEqual(told, ["late", "flushed"])

    def test_the_connection_takes_no_more(self) -> None:
        large = 2 * self.cluster.config.write_budget
        other = self.started(max_request_size=large)
        other.send(b"first")
        self.turn()
        link = self.network.links[-1]
        link.stall(Direction.TO_SERVER)
        other.send_many([bytes(large - 1000)] * 2).addErrback(lambda _: None)
        self.turn()
        sent = self.started(delivery_timeout=5.0).send(b"x")
        self.turn(5.0)
        self.assertEqual(
            self.causes(sent), ["no room in write_budget to spu-1.test:9005, after 5 s"]
        )
        link.resume()

    def test_nothing_was_in_the_way_of_what_was_not_given_the_time(self) -> None:
        producer = self.started()
        sent = producer.send(b"x")
        producer.close().addErrback(lambda _: None).cancel()
        self.assertEqual(self.causes(sent), [])

    def closing(self, **config: object) -> list[str]:
        """What was in the way of the last of some records, sent a second before the producer was
        closed, which has three."""
        producer = self.started(close_timeout=3.0, **config)
        for _ in range(2):
            producer.send(b"x" * 900).addErrback(lambda failure: failure.trap(DeliveryTimedOut))
        last = producer.send(b"x" * 900)
        self.turn(1.0)
        producer.close()
        self.turn(3.0)
        return self.causes(last)

    def test_closing_gives_up_what_nobody_leads(self) -> None:
        self.lead({0: None})
        self.turn()
        self.assertEqual(self.closing(), ["partition 0 of orders has no online leader, after 4 s"])

    def test_closing_gives_up_what_is_not_answered(self) -> None:
        self.leader.holding = True
        self.assertEqual(
            self.closing(),
            ["Produce to orders/0: no answer within 4 s (it may have been applied)"],
        )

    def test_closing_gives_up_what_waits_for_room(self) -> None:
        self.leader.holding = True
        self.assertEqual(
            self.closing(batch_size=1000, max_request_size=1000, buffer_memory=1000),
            ["no room in buffer_memory, after 4 s"],
        )


class AtMostOnceTests(Case):
    def once(self) -> Deferred[RecordMetadata]:
        return self.started(delivery=Delivery.AT_MOST_ONCE, delivery_timeout=60.0).send(b"x")

    def test_it_is_stored_once_where_nothing_goes_wrong(self) -> None:
        sent = self.once()
        self.turn()
        self.assertEqual(self.successResultOf(sent).offset, 0)

    def test_a_lost_connection_leaves_it_unknown(self) -> None:
        self.leader.holding = True
        sent = self.once()
        self.turn()
        self.leader.lose()
        self.turn()
        failed = self.error_of(sent)
        self.assertIsInstance(failed, Disconnected)
        self.assertIs(failed.effect, Effect.UNKNOWN)
        self.turn(60.0)
        self.assertEqual(len(self.leader.asked), 1)

    def test_no_answer_leaves_it_unknown(self) -> None:
        self.leader.holding = True
        sent = self.once()
        self.turn(REQUEST_TIMEOUT)
        failed = self.error_of(sent)
        self.assertIsInstance(failed, RequestTimedOut)
        self.assertIs(failed.effect, Effect.UNKNOWN)

    def test_an_error_in_the_answer_is_no_success(self) -> None:
        self.leader.codes = [NOT_LEADER]
        sent = self.once()
        self.turn()
        self.assertIsInstance(self.error_of(sent), NotLeaderForPartition)
        self.turn(60.0)
        self.assertEqual(len(self.leader.asked), 1)

    def test_what_never_left_is_still_sent(self) -> None:
        self.refuse()
        sent = self.once()
        self.turn(1.0)
        self.accept()
        self.turn(1.0)
        self.successResultOf(sent)
        self.assertEqual(self.leader.values(), [b"x"])

    def test_what_never_left_is_given_up_when_the_retry_policy_says_so(self) -> None:
        self.give_retries(0.5)
        self.refuse()
        sent = self.once()
        self.turn(0.375)
        failed = self.error_of(sent)
        self.assertIsInstance(failed, ConnectFailed)
        self.assertIs(failed.effect, Effect.NONE)


class NoHopeTests(Case):
    """Where waiting can not help, it is not waited."""

    def test_what_nobody_expected_is_logged_told_and_harms_nothing_after_it(self) -> None:
        producer = self.started()
        lend = self.cluster.produce_connection
        self.cluster.produce_connection = lambda *_, **__: fail(  # type: ignore[method-assign]
            ZeroDivisionError()
        )
        sent = producer.send(b"x")
        self.turn()
        failed = self.error_of(sent)
        self.assertIs(failed.effect, Effect.UNKNOWN)
        self.assertIsInstance(failed.__cause__, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.cluster.produce_connection = lend  # type: ignore[method-assign]
        after = producer.send(b"after")
        self.turn()
        self.successResultOf(after)

    def test_what_breaks_where_nothing_can_is_told_to_whoever_waits(self) -> None:
        producer = self.started()
        before = producer.send(b"before")
        for sent_before in (False, True):
            with self.subTest(sent_before=sent_before):
                if sent_before:
                    self.turn()
                    self.successResultOf(before)
                    before = producer.send(b"again")
                sent = producer.send(b"x")
                config = self.cluster.config
                self.cluster.config = None  # type: ignore[assignment]
                self.turn()
                self.cluster.config = config
                failed = self.error_of(sent)
                self.assertIs(failed.effect, Effect.UNKNOWN)
                self.assertIsInstance(failed.__cause__, AttributeError)
                self.failureResultOf(before)
                self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
                before = producer.send(b"after")
        self.turn()
        self.successResultOf(before)
        self.assertEqual(producer.buffered, 0)

    def test_a_request_that_can_not_be_sent_holds_up_none_of_many(self) -> None:
        producer = self.started(batch_size=120, max_request_size=120)
        first = producer.send(b"first")
        self.turn()
        self.successResultOf(first)
        self.patch(FluvioProtocol, "send", refuse_to_send)
        sent = [producer.send(b"x" * 50) for _ in range(MANY)]
        self.turn()
        for one in sent:
            self.assertIsInstance(self.error_of(one), UnsupportedVersion)
        self.assertEqual(producer.buffered, 0)

    def test_a_server_that_does_not_know_the_request_is_not_asked_again(self) -> None:
        # Whoever is reached at an address may for a moment be another: the next connection tells.
        nothing = ApiVersionsResponse(api_keys=(), platform_version="0.18.0")
        another = self.patch(self.leader, "versions", lambda: nothing)
        producer = self.started()
        sent = producer.send(b"x")
        self.turn()
        self.assertIsInstance(self.error_of(sent), UnsupportedVersion)
        another.restore()
        sent = producer.send(b"y")
        self.turn()
        self.successResultOf(sent)
        self.assertEqual(len(self.leader.connections), 1)

    def test_a_topic_that_was_deleted_fails_as_many_requests_as_there_are(self) -> None:
        self.lead({0: None})
        self.turn()
        producer = self.started(batch_size=120, max_request_size=120)
        sent = [producer.send(b"x" * 50) for _ in range(MANY)]
        self.turn(1.0)
        self.delete_topic()
        self.turn()
        for one in sent:
            self.assertIsInstance(self.error_of(one), TopicNotFound)
        self.assertEqual(producer.buffered, 0)

    def test_whoever_sends_again_at_once_goes_on_as_long_as_it_likes(self) -> None:
        producer = self.started()
        self.delete_topic()
        self.turn()
        tries: list[Failure] = []

        def again(failure: Failure) -> None:
            tries.append(failure)
            if len(tries) < MANY:
                producer.send(b"x").addErrback(again)

        producer.send(b"x").addErrback(again)
        self.turn()
        self.assertEqual(len(tries), MANY)
        self.assertEqual({failure.type for failure in tries}, {TopicNotFound})

    def test_the_topic_was_deleted(self) -> None:
        producer = self.started()
        self.delete_topic()
        self.turn()
        sent = producer.send(b"x")
        self.turn()
        failed = self.error_of(sent)
        self.assertIsInstance(failed, TopicNotFound)
        self.assertIs(failed.effect, Effect.NONE)

    def test_the_topic_was_deleted_while_a_leader_was_waited_for(self) -> None:
        self.lead({0: None})
        self.turn()
        sent = self.started().send(b"x")
        self.turn()
        self.delete_topic()
        self.turn()
        self.assertIsInstance(self.error_of(sent), TopicNotFound)

    def test_a_topic_made_again_is_produced_to(self) -> None:
        producer = self.started()
        self.delete_topic()
        self.turn()
        self.failureResultOf(self.sent_in_a_turn(producer))
        self.make_topic(1)
        self.turn()
        self.successResultOf(self.sent_in_a_turn(producer))

    def sent_in_a_turn(self, producer: object) -> Deferred[RecordMetadata]:
        sent: Deferred[RecordMetadata] = producer.send(b"x")  # type: ignore[attr-defined]
        self.turn()
        return sent

    def test_the_client_was_closed(self) -> None:
        producer = self.started()
        self.cluster.stop()
        self.turn()
        sent = producer.send(b"x")
        self.turn()
        self.assertIsInstance(self.error_of(sent), ClientClosed)

    def test_the_client_was_closed_under_a_request(self) -> None:
        self.leader.holding = True
        sent = self.started().send(b"x")
        self.turn()
        self.cluster.stop()
        self.turn(FIRST_RETRY)
        failed = self.error_of(sent)
        self.assertIsInstance(failed, ClientClosed)
        self.assertIs(failed.effect, Effect.UNKNOWN)
