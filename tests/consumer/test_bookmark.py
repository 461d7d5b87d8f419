"""Bringing to the cluster how far a partition was processed."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import txfluvio.consumer
from txfluvio._wording import NAMED
from txfluvio.consumer.offsets import Bookmark, Flusher
from txfluvio.consumer.requests import Target
from txfluvio.errors import BrokerError, ConsumerClosed, Disconnected

from ..costs import calls_of


class Updates:
    """A way to the cluster, at whose other end the test answers."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.pending: list[Deferred[None]] = []

    def store(self, offset: int) -> Deferred[None]:
        self.offsets.append(offset)
        self.pending.append(Deferred())
        return self.pending[-1]

    def answer(self) -> None:
        self.pending.pop(0).callback(None)

    def refuse(self, error: Exception) -> None:
        self.pending.pop(0).errback(error)


class Storing(SynchronousTestCase):
    def setUp(self) -> None:
        self.updates = Updates()
        self.bookmark = Bookmark()
        self.bookmark.connect(self.updates.store)

    def test_nothing_processed_is_nothing_to_store(self) -> None:
        self.successResultOf(self.bookmark.flush())
        self.assertEqual(self.updates.offsets, [])

    def test_the_offset_of_the_last_processed_record_is_stored(self) -> None:
        self.bookmark.processed = 5
        flush = self.bookmark.flush()
        self.assertNoResult(flush)
        self.updates.answer()
        self.successResultOf(flush)
        self.assertEqual(self.updates.offsets, [4])
        self.assertEqual(self.bookmark.stored, 5)

    def test_what_is_stored_is_not_stored_again(self) -> None:
        self.bookmark.processed = 5
        self.bookmark.flush()
        self.updates.answer()
        self.successResultOf(self.bookmark.flush())
        self.assertEqual(self.updates.offsets, [4])

    def test_one_update_is_under_way_at_a_time_and_the_newest_follows(self) -> None:
        self.bookmark.processed = 5
        first = self.bookmark.flush()
        later = []
        for position in (6, 7, 8):
            self.bookmark.processed = position
            later.append(self.bookmark.flush())
        self.assertEqual(self.updates.offsets, [4])
        self.updates.answer()
        self.successResultOf(first)
        self.assertEqual(self.updates.offsets, [4, 7])
        for flush in later:
            self.assertNoResult(flush)
        self.updates.answer()
        for flush in later:
            self.successResultOf(flush)

    def test_what_is_processed_while_something_is_stored_is_not_stored_with_it(self) -> None:
        self.bookmark.processed = 10
        self.bookmark.flush()
        self.bookmark.processed = 20
        self.updates.answer()
        self.assertEqual(self.bookmark.stored, 10)
        later = self.bookmark.flush()
        self.assertNoResult(later)
        self.assertEqual(self.updates.offsets, [9, 19])
        self.updates.answer()
        self.successResultOf(later)

    def test_another_who_waits_costs_the_same_however_many_do(self) -> None:
        self.bookmark.processed = 5
        self.bookmark.flush()
        first = calls_of(self.bookmark.flush, txfluvio.consumer)
        for _ in range(20):
            self.bookmark.flush()
        self.assertEqual(calls_of(self.bookmark.flush, txfluvio.consumer), first)

    def test_what_is_on_its_way_answers_those_who_ask_for_the_same(self) -> None:
        self.bookmark.processed = 5
        first, second = self.bookmark.flush(), self.bookmark.flush()
        self.updates.answer()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.updates.offsets, [4])

    def test_without_a_connection_it_waits_for_one(self) -> None:
        self.bookmark.disconnect()
        self.bookmark.processed = 5
        flush = self.bookmark.flush()
        self.assertEqual(self.updates.offsets, [])
        self.bookmark.connect(self.updates.store)
        self.updates.answer()
        self.successResultOf(flush)

    def test_an_update_under_way_is_made_again_over_the_next_connection(self) -> None:
        self.bookmark.processed = 5
        flush = self.bookmark.flush()
        self.bookmark.disconnect()
        self.bookmark.processed = 6
        self.bookmark.connect(self.updates.store)
        self.updates.pending.pop(0)
        self.updates.answer()
        self.successResultOf(flush)
        self.assertEqual(self.updates.offsets, [4, 5])

    def test_an_error_that_may_pass_keeps_everybody_waiting(self) -> None:
        self.bookmark.processed = 5
        flush = self.bookmark.flush()
        self.updates.refuse(Disconnected("spu:9010", "reset"))
        self.assertNoResult(flush)
        self.bookmark.connect(self.updates.store)
        self.updates.answer()
        self.successResultOf(flush)

    def test_an_error_that_stays_is_told_and_the_next_may_try_again(self) -> None:
        self.bookmark.processed = 5
        flush = self.bookmark.flush()
        self.updates.refuse(BrokerError(detail="no"))
        self.failureResultOf(flush, BrokerError)
        again = self.bookmark.flush()
        self.updates.answer()
        self.successResultOf(again)

    def test_behind_an_update_without_an_answer_an_older_one_is_made_again(self) -> None:
        self.bookmark.processed = 5
        self.bookmark.flush()
        self.updates.answer()
        self.bookmark.processed = 10
        given_up = self.bookmark.flush()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.updates.refuse(Disconnected("spu:9010", "reset"))
        self.bookmark.processed = 5
        again = self.bookmark.flush()
        self.assertEqual(self.updates.offsets, [4, 9, 4])
        self.updates.answer()
        self.successResultOf(again)

    def test_each_who_waits_gets_a_failure_of_its_own(self) -> None:
        self.bookmark.processed = 5
        flushes = [self.bookmark.flush(), self.bookmark.flush()]
        self.updates.refuse(BrokerError(detail="no"))
        failures = [self.failureResultOf(flush, BrokerError) for flush in flushes]
        self.assertIsNot(failures[0], failures[1])

    def test_when_all_is_lost_everybody_is_told(self) -> None:
        self.bookmark.processed = 5
        first = self.bookmark.flush()
        self.bookmark.processed = 6
        second = self.bookmark.flush()
        self.bookmark.fail(ConsumerClosed())
        self.failureResultOf(first, ConsumerClosed)
        self.failureResultOf(second, ConsumerClosed)

    def test_when_the_connection_is_lost_and_then_all_everybody_is_told(self) -> None:
        self.bookmark.processed = 5
        first = self.bookmark.flush()
        self.bookmark.processed = 6
        second = self.bookmark.flush()
        self.bookmark.disconnect()
        self.bookmark.fail(ConsumerClosed())
        self.failureResultOf(first, ConsumerClosed)
        self.failureResultOf(second, ConsumerClosed)

    def test_whoever_gives_up_concerns_nobody_else(self) -> None:
        self.bookmark.processed = 5
        first, second = self.bookmark.flush(), self.bookmark.flush()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.updates.answer()
        self.successResultOf(second)

    def test_whoever_is_told_may_give_up_for_another(self) -> None:
        self.bookmark.processed = 5
        first, second = self.bookmark.flush(), self.bookmark.flush()
        first.addCallback(lambda _: second.cancel())
        self.updates.answer()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)


class Flushing(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.targets = [Target("orders", 0), Target("orders", 1)]
        self.flushes: list[dict[Target, Deferred[None]]] = []
        self.flusher = Flusher(self.flush, 2.0, self.clock)

    def flush(self) -> dict[Target, Deferred[None]]:
        self.flushes.append({target: Deferred() for target in self.targets})
        return self.flushes[-1]

    def end(self, *numbers: int) -> None:
        """All is stored of these partitions."""
        for number in numbers:
            self.flushes[-1][self.targets[number]].callback(None)

    def told(self, seconds: float) -> list[str]:
        """What is logged within so many seconds."""
        with capturedLogs() as logged:
            self.clock.advance(seconds)
        return [text for event in logged if (text := formatEvent(event))]

    def test_it_flushes_once_an_interval(self) -> None:
        self.flusher.start()
        for count in range(3):
            self.assertEqual(len(self.flushes), count)
            self.assertEqual(self.told(2.0), [])
            self.end(0, 1)

    def test_one_that_is_not_over_by_the_next_time_is_begun_anew(self) -> None:
        self.flusher.start()
        self.clock.pump([2.0, 2.0])
        first, second = self.flushes
        self.assertTrue(all(flush.called for flush in first.values()))
        for flush in second.values():
            self.assertNoResult(flush)

    def test_what_is_not_stored_is_told_once(self) -> None:
        self.flusher.start()
        self.clock.advance(2.0)
        self.end(0)
        (line,) = self.told(2.0)
        self.assertEqual(line, "offsets not stored, yet: orders/1: no answer within 2 s")
        for _ in range(3):
            self.end(0)
            self.assertEqual(self.told(2.0), [])

    def test_another_that_is_not_stored_is_told_too(self) -> None:
        self.flusher.start()
        self.clock.advance(2.0)
        self.end(0)
        self.clock.advance(2.0)
        self.assertEqual(
            self.told(2.0), ["offsets not stored, yet: orders/0: no answer within 2 s"]
        )

    def test_what_was_stored_meanwhile_is_told_again(self) -> None:
        self.flusher.start()
        self.clock.advance(2.0)
        self.end(0)
        self.assertEqual(len(self.told(2.0)), 1)
        self.end(0, 1)
        self.assertEqual(self.told(2.0), [])
        self.end(0)
        self.assertEqual(len(self.told(2.0)), 1)

    def test_of_many_some_are_named(self) -> None:
        self.targets = [Target("orders", number) for number in range(NAMED + 2)]
        self.flusher.start()
        self.clock.advance(2.0)
        (line,) = self.told(2.0)
        self.assertIn("orders/9 and 2 more: ", line)

    def test_each_is_told_with_its_own_reason(self) -> None:
        self.flusher.start()
        self.clock.advance(2.0)
        self.flushes[0][self.targets[1]].errback(BrokerError(detail="no"))
        failed, late = self.told(2.0)
        self.assertIn("orders/1: BrokerError(", failed)
        self.assertEqual(late, "offsets not stored, yet: orders/0: no answer within 2 s")

    def test_one_that_fails_is_told_and_does_not_end_it(self) -> None:
        self.flusher.start()
        self.clock.advance(2.0)
        self.flushes[0][self.targets[1]].errback(BrokerError(detail="no"))
        self.end(0)
        (line,) = self.told(2.0)
        self.assertIn("orders/1: BrokerError(", line)
        self.assertEqual(len(self.flushes), 2)

    def test_stopping_leaves_nothing_behind(self) -> None:
        self.flusher.start()
        self.clock.advance(2.0)
        self.flusher.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(all(flush.called for flush in self.flushes[0].values()))
