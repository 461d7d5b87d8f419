"""Waiting for records, giving up, pausing, seeking, closing: nothing is lost by any of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from functools import partial
from itertools import count
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.python.failure import Failure

from txfluvio.consumer import Consumer
from txfluvio.consumer.backlog import CHUNK_RECORDS, CHUNK_SIZE
from txfluvio.consumer.stream import PartitionStream
from txfluvio.errors import (
    AlreadyRunning,
    ClientClosed,
    ConsumerClosed,
    InvalidConfig,
    NotStarted,
    ProtocolError,
    RequestTimedOut,
    WaitTimedOut,
)
from txfluvio.offset import Offset
from txfluvio.testing.faults import Fault, Match, NeverAnswer
from txfluvio.testing.spu.log import Stored
from txfluvio.wire.records import Record, encode_batch, renumber
from txfluvio.wire.spu import UpdateOffsetsRequest

from .kit import ConsumerCase

BEGINNING, END = Offset.beginning(), Offset.end()


class Waiting(ConsumerCase):
    def test_a_wait_ends_when_a_record_comes(self) -> None:
        consumer = self.started()
        wait = consumer.next()
        self.turn()
        self.assertNoResult(wait)
        self.append(1)
        self.assertEqual(self.result(wait).offset, 0)

    def test_a_cancelled_wait_loses_no_record(self) -> None:
        consumer = self.started()
        wait = consumer.next()
        self.turn()
        wait.cancel()
        self.failureResultOf(wait, CancelledError)
        self.append(2)
        self.turn()
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_a_wait_cancelled_as_the_record_arrives_loses_none(self) -> None:
        consumer = self.started()
        wait = consumer.next()
        self.turn()
        self.append(2)
        self.network.pump()
        self.assertNoResult(wait)
        wait.cancel()
        self.failureResultOf(wait, CancelledError)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_a_wait_that_times_out_says_so_and_loses_none(self) -> None:
        consumer = self.started()
        for _ in range(3):
            wait = consumer.next(timeout=1.0)
            self.wait(1.0)
            self.assertEqual(self.failureResultOf(wait, WaitTimedOut).value.seconds, 1.0)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [0])

    def test_a_wait_with_less_than_no_time_left_times_out_and_loses_none(self) -> None:
        consumer = self.started()
        for ask in (consumer.next, consumer.next_batch):
            wait = ask(timeout=-0.001)
            self.turn()
            self.failureResultOf(wait, WaitTimedOut)
        self.append(2)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_a_timeout_that_is_no_number_is_refused_and_loses_none(self) -> None:
        consumer = self.started()
        wrongs: tuple[Any, ...] = ("1", True, float("nan"), float("inf"))
        for wrong in wrongs:
            for ask in (consumer.next, consumer.next_batch):
                with self.subTest(wrong=wrong, ask=ask):
                    refused = self.failureResultOf(ask(wrong), InvalidConfig)
                    self.assertIn("timeout", str(refused.value))
        self.append(2)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_a_record_that_is_there_is_handed_out_at_once(self) -> None:
        self.append(2)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 1)
        self.assertEqual(self.successResultOf(consumer.next(timeout=1.0)).offset, 1)

    def test_a_loop_that_was_cancelled_can_be_begun_again(self) -> None:
        self.append(3)
        consumer = self.started(start=BEGINNING)
        seen: list[Record] = []
        for total in (3, 5):
            loop = Deferred.fromCoroutine(self.collect(consumer, seen))
            self.turn()
            self.assertEqual(len(seen), total)
            loop.cancel()
            self.failureResultOf(loop, CancelledError)
            self.append(2)
            self.turn()
        self.assertEqual(self.offsets(seen), list(range(5)))

    def test_generators_of_inline_callbacks_read_to_the_end(self) -> None:
        self.append(7, batch=3)
        consumer = self.started(start=BEGINNING, stop=END)

        @inlineCallbacks
        def read() -> Generator[Deferred[Any], Any, list[int | None]]:
            found = [(yield consumer.next(timeout=1.0)).offset]
            while True:
                try:
                    records = yield consumer.next_batch()
                except StopAsyncIteration:
                    return found
                found += self.offsets(records)

        self.assertEqual(self.result(read()), list(range(7)))

    def test_one_at_a_time_may_wait(self) -> None:
        consumer = self.started()
        first = consumer.next()
        self.turn()
        for second in (consumer.next(), consumer.next_batch()):
            error = self.failureResultOf(second, AlreadyRunning).value
            self.assertEqual(str(error), "the wait for the next record is already running")
        self.append(1)
        self.assertEqual(self.result(first).offset, 0)

    def test_the_reactor_gets_a_turn_between_batches(self) -> None:
        self.append(20, batch=1, size=CHUNK_SIZE)
        consumer = self.started(start=BEGINNING, stop=END)
        turns: list[int] = []
        seen: list[Record] = []

        def tick() -> None:
            turns.append(len(seen))
            if len(seen) < 20:
                self.clock.callLater(0, tick)

        self.wait(1.0)
        loop = Deferred.fromCoroutine(self.collect(consumer, seen))
        tick()
        self.result(loop)
        self.assertGreaterEqual(len(set(turns)), 19)

    def test_the_reactor_gets_a_turn_while_the_beginning_of_a_batch_is_passed_over(self) -> None:
        self.append_batch(encode_batch([b"x"] * 50 * CHUNK_RECORDS, timestamp=1_700_000_000_000))
        consumer = self.started(start=Offset.absolute(50 * CHUNK_RECORDS - 1))
        self.wait(1.0)
        wait = consumer.next()
        turns = 0
        while not wait.called:
            self.assertTrue(self.clock.step())
            turns += 1
        self.assertEqual(self.successResultOf(wait).offset, 50 * CHUNK_RECORDS - 1)
        self.assertGreaterEqual(turns, 50)

    def test_whoever_waits_goes_on_outside_the_arrival_of_the_push(self) -> None:
        consumer = self.started()
        wait = consumer.next().addCallback(lambda _: traceback.extract_stack())
        self.append(1)
        callers = [frame.name for frame in self.result(wait)]
        self.assertIn("test_whoever_waits_goes_on_outside_the_arrival_of_the_push", callers)
        self.assertNotIn("dataReceived", callers)

    def test_it_can_be_read_only_when_it_is_started(self) -> None:
        consumer = self.consumer()
        self.failureResultOf(consumer.next(), NotStarted)
        self.failureResultOf(consumer.next_batch(), NotStarted)
        for call in (consumer.position, consumer.pause, consumer.resume):
            with self.assertRaises(NotStarted):
                call(0)

    def test_it_is_started_once(self) -> None:
        consumer = self.started()
        self.failureResultOf(consumer.start(), AlreadyRunning)


class Closing(ConsumerCase):
    def test_closing_ends_a_loop(self) -> None:
        consumer = self.started()

        async def read() -> str:
            async for _ in consumer:
                pass
            return "ended"

        loop = Deferred.fromCoroutine(read())
        self.turn()
        self.result(consumer.close())
        self.assertEqual(self.successResultOf(loop), "ended")

    def test_closing_from_inside_the_loop_ends_it(self) -> None:
        self.append(5)
        consumer = self.started(start=BEGINNING)
        seen: list[Record] = []

        async def read() -> None:
            async for record in consumer:
                seen.append(record)
                await consumer.close()

        self.do(read())
        self.assertEqual(self.offsets(seen), [0])

    def test_closing_ends_a_wait_with_the_end_of_the_iteration(self) -> None:
        consumer = self.started()
        wait = consumer.next()
        self.turn()
        self.result(consumer.close())
        self.failureResultOf(wait, StopAsyncIteration)

    def test_closing_takes_the_connections_along(self) -> None:
        before = len(self.network.links)
        consumer = self.started(start=BEGINNING)
        self.assertGreater(len(self.network.links), before)
        self.result(consumer.close())
        self.assertEqual(len(self.network.links), before)

    def test_closing_twice_is_closing_once(self) -> None:
        consumer = self.started()
        first, second = consumer.close(), consumer.close()
        self.result(first)
        self.result(second)
        self.result(consumer.close())

    def test_who_does_not_wait_for_the_connections_to_go_keeps_nobody_else_from_it(self) -> None:
        consumer = self.started()
        first, second = consumer.close(), consumer.close()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.result(second)
        self.result(consumer.close())

    def test_a_closed_consumer_says_so(self) -> None:
        self.append(2)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 1)
        self.result(consumer.close())
        for wait in (
            consumer.start(),
            consumer.next(),
            consumer.next_batch(),
            consumer.lag(0),
            consumer.commit(),
            consumer.flush_offsets(),
        ):
            self.failureResultOf(wait, ConsumerClosed)
        with self.assertRaises(ConsumerClosed):
            consumer.seek(0, 0)

    def test_a_consumer_that_was_never_started_closes(self) -> None:
        consumer = self.consumer()
        self.result(consumer.close())
        self.failureResultOf(consumer.start(), ConsumerClosed)

    def test_closing_while_it_starts_ends_the_start_at_any_point(self) -> None:
        self.at_any_point_of_starting(
            lambda consumer, start: self.result(consumer.close()), ConsumerClosed
        )

    def test_closing_leaves_alone_what_follows_upon_the_start(self) -> None:
        work: Deferred[None] = Deferred()
        consumer = self.consumer()
        following = consumer.start().addCallback(lambda _: work)
        self.turn()
        self.result(consumer.close())
        self.assertNoResult(following)

    def test_cancelling_the_start_closes_it_at_any_point(self) -> None:
        self.at_any_point_of_starting(lambda consumer, start: start.cancel(), CancelledError)

    def at_any_point_of_starting(
        self,
        interfere: Callable[[Consumer, Deferred[None]], object],
        expected: type[Exception],
    ) -> None:
        before = len(self.network.links)
        for steps in count():
            consumer = self.consumer()
            start = consumer.start()
            for _ in range(steps):
                self.clock.step()
            if start.called:
                break
            interfere(consumer, start)
            self.wait(1.0)
            self.failureResultOf(start, expected)
            self.assertTrue(consumer.closed)
            self.assertEqual(len(self.network.links), before)
        self.assertGreater(steps, 5)

    def test_the_context_starts_and_closes(self) -> None:
        self.append(3)

        async def use() -> list[Record]:
            async with self.consumer(start=BEGINNING, stop=END) as consumer:
                return [record async for record in consumer]

        self.assertEqual(self.offsets(self.do(use())), [0, 1, 2])

    def test_the_context_lets_errors_through(self) -> None:
        consumer = self.consumer(start=BEGINNING)

        async def use() -> None:
            async with consumer:
                raise KeyError("mine")

        self.failure(Deferred.fromCoroutine(use()), KeyError)
        self.assertTrue(consumer.closed)

    def test_when_the_client_stops_the_reader_is_told(self) -> None:
        cluster = self.connected()
        consumer = self.started(cluster=cluster)
        wait = consumer.next()
        self.turn()
        self.result(cluster.stop())
        self.failure(wait, ClientClosed)
        self.result(consumer.close())


class Pausing(ConsumerCase):
    TOPICS = {"orders": 2}

    def test_a_paused_partition_brings_nothing_until_it_goes_on(self) -> None:
        self.append(6)
        consumer = self.started(start=BEGINNING)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])
        consumer.pause(0)
        self.assertEqual(consumer.position(0), 2)
        self.nothing_comes(consumer)
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 4)), [2, 3, 4, 5])

    def test_the_other_partitions_go_on(self) -> None:
        self.append(3, partition=0)
        self.append(3, partition=1)
        consumer = self.started(start=BEGINNING)
        consumer.pause(0)
        self.assertEqual([r.partition for r in self.read(consumer, 3)], [1, 1, 1])
        self.nothing_comes(consumer)

    def test_of_a_paused_partition_nothing_more_is_asked_for(self) -> None:
        consumer = self.started(start=END)
        consumer.pause(0)
        self.append(20, batch=1, size=1000)
        self.wait(2.0)
        self.assertEqual(self.asked(UpdateOffsetsRequest), [])
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 20)), list(range(20)))

    def test_pausing_and_going_on_twice_is_the_same_as_once(self) -> None:
        self.append(4)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 1)
        consumer.pause(0)
        consumer.pause(0)
        consumer.resume(0)
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 3)), [1, 2, 3])

    def test_pausing_between_every_two_records_loses_none(self) -> None:
        self.append(7, batch=3)
        consumer = self.started(start=BEGINNING)
        seen = []
        for _ in range(7):
            seen += self.read(consumer, 1)
            consumer.pause(0)
            self.turn()
            consumer.resume(0)
        self.assertEqual(self.offsets(seen), list(range(7)))


class PausingMany(ConsumerCase):
    COUNT = 20
    TOPICS = {"orders": COUNT}

    def test_no_other_that_waits_for_its_turn_is_looked_at(self) -> None:
        for partition in range(self.COUNT):
            self.append(1, partition=partition)
        consumer = self.started(start=BEGINNING)
        self.wait(1.0)
        compared = 0

        def counted(one: object, other: object) -> bool:
            nonlocal compared
            compared += 1
            return one is other

        self.patch(PartitionStream, "__eq__", counted)
        for partition in reversed(range(1, self.COUNT)):
            consumer.pause(partition)
        self.assertEqual(compared, 0)
        self.assertEqual(self.read(consumer, 1)[0].partition, 0)
        self.nothing_comes(consumer)


class Seeking(ConsumerCase):
    def setUp(self) -> None:
        super().setUp()
        self.append(10, batch=4)

    def test_reading_goes_on_where_it_was_told(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 6)
        for to, expected in (
            (2, 2),
            (9, 9),
            (Offset.absolute(0), 0),
            (Offset.from_end(3), 7),
            (Offset.beginning(), 0),
            (5, 5),
        ):
            with self.subTest(to=to):
                consumer.seek(0, to)
                self.assertEqual(self.offsets(self.read(consumer, 1)), [expected])

    def test_the_position_is_known_at_once_if_it_is_absolute(self) -> None:
        consumer = self.started(start=BEGINNING)
        consumer.seek(0, 7)
        self.assertEqual(consumer.position(0), 7)
        consumer.seek(0, END)
        self.assertIsNone(consumer.position(0))
        self.turn()
        self.assertEqual(consumer.position(0), 10)

    def test_no_record_from_before_comes_after_it(self) -> None:
        consumer = self.started(start=BEGINNING)
        wait = consumer.next()
        consumer.seek(0, 8)
        self.assertEqual(self.result(wait).offset, 8)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [9])

    def test_no_record_from_before_comes_while_nobody_tells_where_the_end_is(self) -> None:
        self.append(3, batch=1, size=CHUNK_SIZE)
        consumer = self.started(start=Offset.absolute(10))
        self.read(consumer, 1)
        self.result(self.broker.spu_down(5001))
        consumer.seek(0, END)
        consumer.pause(0)
        consumer.resume(0)
        self.nothing_comes(consumer)

    def test_seeking_again_and_again_ends_where_it_was_told_last(self) -> None:
        consumer = self.started(start=BEGINNING)
        for to in (1, 9, 3, 5):
            consumer.seek(0, to)
            self.clock.advance(0)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [5, 6])

    def test_a_damaged_batch_can_be_stepped_over(self) -> None:
        replica = self.broker.replica("orders")
        damaged = renumber(encode_batch([b"damaged"])[:-2] + b"!!", 10)
        replica.log.store(Stored(10, 11, damaged), self.broker.now())
        self.append(2)
        consumer = self.started(start=BEGINNING)
        self.assertEqual(self.offsets(self.read(consumer, 10)), list(range(10)))
        for _ in range(2):
            self.failure(consumer.next(), ProtocolError)
        self.assertEqual(consumer.position(0), 10)
        consumer.seek(0, 11)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [11, 12])

    def test_an_error_raised_again_does_not_keep_the_frames_of_the_times_before(self) -> None:
        replica = self.broker.replica("orders")
        damaged = renumber(encode_batch([b"damaged"])[:-2] + b"!!", 10)
        replica.log.store(Stored(10, 11, damaged), self.broker.now())
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 10)

        async def failing() -> int:
            try:
                await consumer.__anext__()
            except ProtocolError as error:
                return len(traceback.extract_tb(error.__traceback__))
            raise AssertionError

        depths = [self.do(failing()) for _ in range(10)]
        self.assertEqual(len(set(depths[1:])), 1)


class Lagging(ConsumerCase):
    TOPICS = {"orders": 2}

    def test_the_lag_is_what_is_left_to_be_handed_out(self) -> None:
        self.append(10, partition=1)
        consumer = self.started(start=BEGINNING)
        self.assertEqual(self.result(consumer.lag(1)), 10)
        self.read(consumer, 4)
        self.assertEqual(self.result(consumer.lag(1)), 6)
        self.assertEqual(self.result(consumer.lag(0)), 0)

    def test_what_is_known_of_it_is_as_new_as_the_last_push(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.append(10, partition=1)
        self.wait(1.0)
        self.assertEqual(consumer.known_lag(), {("orders", 0): 0, ("orders", 1): 10})

    def test_the_time_for_a_leader_and_for_its_answer_is_one(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.result(self.broker.spu_down(5001))
        self.wait(1.0)
        asking = consumer.lag(0)
        self.wait(20.0)
        self.broker.plant(Fault(Match("FetchOffsets"), NeverAnswer(), times=None), optional=True)
        self.result(self.broker.spu_up(5001))
        self.wait(30.0 - 20.0)
        self.failureResultOf(asking, RequestTimedOut)

    def test_closing_ends_the_asking_for_it_at_any_point(self) -> None:
        for steps in count():
            consumer = self.started(start=BEGINNING)
            lags = consumer.lag(0), consumer.lag(1)
            for _ in range(steps):
                self.clock.step()
            if lags[0].called:
                break
            closing = consumer.close()
            for lag in lags:
                self.failureResultOf(lag, ConsumerClosed)
            self.result(closing)
        self.assertGreater(steps, 1)

    def test_those_who_ask_are_told_of_the_end_in_their_order(self) -> None:
        consumer = self.started(start=BEGINNING)
        told: list[int] = []

        def note(number: int, _: Failure) -> None:
            told.append(number)

        for number in range(20):
            consumer.lag(0).addErrback(partial(note, number))
        self.result(consumer.close())
        self.assertEqual(told, list(range(20)))

    def test_to_cancel_it_concerns_nobody_else(self) -> None:
        consumer = self.started(start=BEGINNING)
        first, second = consumer.lag(0), consumer.lag(0)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.result(second), 0)
