"""Reading as a service: a handler, its Deferred, and what becomes of its failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import LogLevel, capturedLogs, formatEvent
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txfluvio.cluster import Retrying
from txfluvio.config import OffsetStrategy, RetryPolicy
from txfluvio.consumer import ConsumerService, Handler, OnFailure
from txfluvio.consumer.service import STOP_TIMEOUT
from txfluvio.errors import AlreadyRunning, InvalidConfig, OffsetEvicted, TopicNotFound
from txfluvio.interfaces import IOffsetStore
from txfluvio.offset import Offset
from txfluvio.wire.records import Record

from .kit import RETRY, ConsumerCase

BEGINNING, END = Offset.beginning(), Offset.end()
AUTO = OffsetStrategy.AUTO
WORKER = "worker-1"


class ServiceCase(ConsumerCase):
    """Has a service that handles ten records and notes what it is given."""

    def setUp(self) -> None:
        super().setUp()
        self.append(10, batch=4)
        self.seen: list[int | None] = []
        self.busy: Deferred[None] | None = None
        self.services: list[ConsumerService] = []

    def tearDown(self) -> None:
        for service in self.services:
            stopping = service.stopService()
            self.wait(15.0)
            self.successResultOf(stopping)
        super().tearDown()

    def service(
        self,
        handler: Handler | None = None,
        *,
        on_failure: OnFailure = OnFailure.STOP,
        stop_timeout: float = STOP_TIMEOUT,
        retry: RetryPolicy = RETRY,
        batches: bool = False,
        topic: str = "orders",
        **settings: Any,
    ) -> ConsumerService:
        wanted = {"start": BEGINNING, "consumer_id": WORKER, "offsets": AUTO, **settings}
        service = ConsumerService(
            lambda: self.consumer(topic, **wanted),
            handler or self.handle,
            strategy=wanted["offsets"],
            retrying=Retrying(retry, self.clock, self.rng),
            on_failure=on_failure,
            stop_timeout=stop_timeout,
            batches=batches,
        )
        self.services.append(service)
        return service

    def ended(self, *args: Any, **kw: Any) -> Deferred[None]:
        """The end of a service, which is started."""
        service = self.service(*args, **kw)
        done = service.when_done()
        service.startService()
        self.wait(1.0)
        return done

    def started(self, *args: Any, **kw: Any) -> Any:
        service = self.service(*args, **kw)
        service.startService()
        self.wait(1.0)
        return service

    def handle(self, record: Record) -> None:
        self.seen.append(record.offset)

    def handle_slowly(self, record: Record) -> Deferred[None]:
        """Not done before ``busy`` fires."""
        self.handle(record)
        self.busy = Deferred()
        return self.busy

    def finish(self) -> None:
        """Let the handler be done with its record."""
        busy, self.busy = self.busy, None
        assert busy is not None
        busy.callback(None)
        self.turn()

    def stored(self) -> int | None:
        (spu,) = self.broker.cluster.spus.values()
        assert spu.stored_offsets is not None
        return spu.stored_offsets.get(("orders", 0), WORKER)


class Handling(ServiceCase):
    def test_it_is_a_service(self) -> None:
        verifyObject(IService, self.service())

    def test_every_record_is_handled(self) -> None:
        self.started()
        self.append(2)
        self.wait(1.0)
        self.assertEqual(self.seen, list(range(12)))

    def test_one_record_is_handled_at_a_time(self) -> None:
        self.started(self.handle_slowly)
        for count in range(1, 5):
            self.assertEqual(self.seen, list(range(count)))
            self.finish()

    def test_a_handler_can_be_a_coroutine_function(self) -> None:
        async def handle(record: Record) -> None:
            self.handle(record)

        self.started(handle)
        self.assertEqual(len(self.seen), 10)

    def test_the_end_is_told(self) -> None:
        service = self.started(stop=END)
        self.successResultOf(service.when_done())
        self.assertEqual(len(self.seen), 10)

    def test_whoever_asks_before_the_end_is_told_as_well(self) -> None:
        service = self.service(stop=END)
        first, second = service.when_done(), service.when_done()
        service.startService()
        self.wait(1.0)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_a_record_is_stored_when_its_handler_is_done(self) -> None:
        self.started(self.handle_slowly, flush_interval=1.0)
        self.finish()
        self.finish()
        self.wait(2.0)
        self.assertEqual((self.seen, self.stored()), ([0, 1, 2], 1))

    def test_it_can_be_started_again(self) -> None:
        service = self.started()
        self.result(service.stopService())
        self.append(1)
        service.startService()
        self.wait(1.0)
        self.assertEqual(len(self.seen), 21)

    def test_it_is_not_started_a_second_time_before_it_has_stopped(self) -> None:
        service = self.started(self.handle_slowly)
        self.assertRaises(AlreadyRunning, service.startService)
        stopping = service.stopService()
        self.assertRaises(AlreadyRunning, service.startService)
        self.finish()
        self.result(stopping)
        self.assertEqual(self.seen, [0])
        service.startService()

    def test_where_only_the_user_could_commit_it_is_refused(self) -> None:
        with self.assertRaisesRegex(InvalidConfig, "offsets"):
            self.service(offsets=OffsetStrategy.MANUAL)

    def test_what_to_do_about_failures_is_said_by_a_member_of_its_enumeration(self) -> None:
        wrongs: tuple[Any, ...] = ("stop", "retry", None, 1)
        for wrong in wrongs:
            with (
                self.subTest(wrong=wrong),
                self.assertRaisesRegex(InvalidConfig, "on_failure .*STOP, SKIP, RETRY"),
            ):
                self.service(on_failure=wrong)

    def test_a_stop_timeout_is_a_number_of_seconds(self) -> None:
        wrongs: tuple[Any, ...] = ("5", -1, None, float("nan"))
        for wrong in wrongs:
            with (
                self.subTest(wrong=wrong),
                self.assertRaisesRegex(InvalidConfig, "stop_timeout .*seconds"),
            ):
                self.service(stop_timeout=wrong)


@implementer(IOffsetStore)
class SlowStore:
    """Has stored what it is given when ``storing`` fires."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.storing: Deferred[None] = Deferred()

    def load(self, consumer_id: str) -> Deferred[Mapping[tuple[str, int], int]]:
        return succeed({})

    def store(self, consumer_id: str, topic: str, partition: int, offset: int) -> Deferred[None]:
        return self.storing.addCallback(lambda _: self.stored.append(offset))


class Stopping(ServiceCase):
    def test_an_idle_service_stops_at_once_and_has_stored_all(self) -> None:
        service = self.started()
        self.result(service.stopService(), seconds=0.0)
        self.assertEqual(self.stored(), 9)
        self.successResultOf(service.when_done())

    def test_the_record_in_hand_is_finished_and_stored(self) -> None:
        service = self.started(self.handle_slowly)
        self.finish()
        stopping = service.stopService()
        self.wait(3.0)
        self.assertNoResult(stopping)
        self.finish()
        self.result(stopping)
        self.assertEqual((self.seen, self.stored()), ([0, 1], 1))

    def test_a_handler_that_takes_too_long_is_cancelled_and_its_record_not_stored(self) -> None:
        service = self.started(self.handle_slowly)
        self.finish()
        stopping = service.stopService()
        self.wait(11.0)
        self.successResultOf(stopping)
        assert self.busy is not None
        self.assertTrue(self.busy.called)
        self.assertEqual(self.stored(), 0)

    def test_cancelling_the_stop_gives_up_the_record_in_hand_at_once(self) -> None:
        service = self.started(self.handle_slowly)
        self.finish()
        stopping, other = service.stopService(), service.stopService()
        stopping.cancel()
        self.failureResultOf(stopping, CancelledError)
        self.result(other, seconds=0.0)
        assert self.busy is not None
        self.assertTrue(self.busy.called)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.result(service.when_done()), None)

    def test_a_handler_that_cancels_the_stop_it_asked_for_is_given_up_as_well(self) -> None:
        def handle(record: Record) -> Deferred[None]:
            stopping = service.stopService()
            stopping.addErrback(lambda failure: failure.trap(CancelledError) and None)
            stopping.cancel()
            return self.handle_slowly(record)

        service = self.service(handle)
        service.startService()
        self.result(service.when_done())
        self.assertIsNone(self.stored())

    def test_a_record_that_is_to_be_tried_again_is_not_when_the_service_stops(self) -> None:
        slow = RetryPolicy(initial=60.0, maximum=60.0, jitter=0.0)

        def handle(record: Record) -> None:
            self.handle(record)
            if record.offset == 3:
                raise KeyError(record.offset)

        service = self.started(handle, on_failure=OnFailure.RETRY, retry=slow)
        done = service.when_done()
        self.result(service.stopService(), seconds=0.0)
        self.successResultOf(done)
        self.assertEqual((self.seen, self.stored()), ([0, 1, 2, 3], 2))

    def test_a_record_that_fails_while_the_service_stops_is_not_tried_again(self) -> None:
        service = self.started(self.handle_slowly, on_failure=OnFailure.RETRY)
        self.finish()
        done, stopping = service.when_done(), service.stopService()
        assert self.busy is not None
        self.busy.errback(KeyError("late"))
        self.result(stopping, seconds=0.0)
        self.successResultOf(done)
        self.assertEqual((self.seen, self.stored()), ([0, 1], 0))

    def test_one_that_is_closing_already_closes_to_the_end(self) -> None:
        service = self.started(stop=END, offset_store=(store := SlowStore()))
        done = service.when_done()
        stopping = service.stopService()
        self.wait(1.0)
        self.assertNoResult(done)
        store.storing.callback(None)
        self.result(stopping)
        self.successResultOf(done)
        self.assertEqual(store.stored, [9])

    def test_stopping_twice_is_stopping_once(self) -> None:
        service = self.started(self.handle_slowly)
        first, second = service.stopService(), service.stopService()
        self.finish()
        self.result(first)
        self.result(second)

    def test_it_stops_while_it_can_not_start(self) -> None:
        accept = self.refuse_connections()
        service = self.started()
        self.wait(5.0)
        self.result(service.stopService())
        accept()
        self.assertEqual(self.seen, [])

    def test_it_stops_at_any_point_of_its_start(self) -> None:
        for steps in range(40):
            service = self.service()
            service.startService()
            for _ in range(steps):
                self.clock.step()
            self.result(service.stopService())
            self.successResultOf(service.when_done())

    def test_one_that_never_ran_stops(self) -> None:
        self.successResultOf(self.service().stopService())

    def test_one_that_is_stopped_before_it_was_started_is_done(self) -> None:
        service = self.service()
        before = service.when_done()
        self.successResultOf(service.stopService())
        self.successResultOf(before)
        self.successResultOf(service.when_done())

    def test_one_that_is_started_after_it_was_stopped_is_not_done(self) -> None:
        service = self.service()
        self.successResultOf(service.stopService())
        service.startService()
        self.assertNoResult(service.when_done())


class Failing(ServiceCase):
    def fail_at(self, *offsets: int) -> Callable[[Record], None]:
        """A handler that fails once at each of these offsets."""
        left = list(offsets)

        def handle(record: Record) -> None:
            self.handle(record)
            if record.offset in left:
                left.remove(record.offset)
                raise KeyError(record.offset)

        return handle

    def test_a_failing_handler_ends_it_and_its_record_is_not_stored(self) -> None:
        self.failure(self.ended(self.fail_at(5)), KeyError)
        self.wait(1.0)
        self.assertEqual((self.seen, self.stored()), (list(range(6)), 4))

    def test_a_handler_that_fails_at_the_first_record_stores_nothing(self) -> None:
        self.failure(self.ended(self.fail_at(0)), KeyError)
        self.assertIsNone(self.stored())

    def test_all_who_wait_hear_of_it_also_where_the_first_one_starts_it_again(self) -> None:
        service = self.service(self.fail_at(5))
        first, second = service.when_done(), service.when_done()
        first.addErrback(lambda failure: service.startService())
        service.startService()
        self.failure(second, KeyError)
        self.assertNoResult(service.when_done())

    def test_a_deferred_that_fails_is_a_failing_handler(self) -> None:
        service = self.started(self.handle_slowly)
        assert self.busy is not None
        self.busy.errback(KeyError("late"))
        self.failure(service.when_done(), KeyError)

    def test_records_can_be_skipped(self) -> None:
        self.started(self.fail_at(0, 5, 9), on_failure=OnFailure.SKIP, flush_interval=0.5)
        self.assertEqual(self.seen, list(range(10)))
        self.wait(1.0)
        self.assertEqual(self.stored(), 9)

    def test_records_can_be_tried_again(self) -> None:
        self.started(self.fail_at(3, 3), on_failure=OnFailure.RETRY)
        self.wait(5.0)
        self.assertEqual(self.seen, [0, 1, 2, 3, 3, 3, *range(4, 10)])

    def test_trying_again_ends_in_the_error_when_its_time_is_over(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=1.0, jitter=0.0, deadline=2.0)
        done = self.ended(self.fail_at(*[3] * 9), on_failure=OnFailure.RETRY, retry=policy)
        self.failure(done, KeyError)

    def test_an_end_that_nobody_waits_for_is_logged_with_where_the_handler_failed(self) -> None:
        service = self.started(self.fail_at(0))
        (logged,) = self.flushLoggedErrors(KeyError)
        self.assertIn("raise KeyError(record.offset)", logged.getTraceback())
        self.failure(service.when_done(), KeyError)

    def test_where_a_handler_failed_whose_record_is_skipped_or_tried_again_is_logged(self) -> None:
        for what, level in ((OnFailure.SKIP, LogLevel.error), (OnFailure.RETRY, LogLevel.warn)):
            with capturedLogs() as logged:
                self.started(self.fail_at(3), on_failure=what)
            (line,) = (formatEvent(event) for event in logged if event["log_level"] is level)
            self.assertIn("orders/0@3", line)
            self.assertIn("raise KeyError(record.offset)", line)

    def test_an_end_by_an_error_of_the_client_is_logged_in_one_line(self) -> None:
        with capturedLogs() as logged:
            self.started(topic="nothing")
            self.wait(5.0)
        (line,) = (formatEvent(event) for event in logged if "has ended" in event["log_format"])
        self.assertIn("nothing", line)
        self.assertNotIn("Traceback", line)

    def test_one_that_has_ended_does_not_run(self) -> None:
        for settings in ({"stop": END}, {"handler": self.fail_at(0)}):
            service = self.service(**settings)
            done = service.when_done().addErrback(lambda failure: failure.trap(KeyError))
            service.startService()
            self.assertTrue(service.running)
            self.result(done)
            self.assertFalse(service.running)

    def test_a_topic_that_is_not_there_is_told(self) -> None:
        self.failure(self.ended(topic="nothing"), TopicNotFound)

    def test_an_error_of_the_consumer_ends_it(self) -> None:
        self.broker.replica("orders").log.segment_size = 100
        self.append(2, batch=1)
        self.broker.evict("orders", 0, before=11)
        self.failure(self.ended(start=Offset.absolute(0)), OffsetEvicted)

    def test_a_cluster_that_can_not_be_reached_is_tried_until_it_can(self) -> None:
        accept = self.refuse_connections()
        self.started()
        self.wait(60.0)
        accept()
        self.wait(10.0)
        self.assertEqual(self.seen, list(range(10)))

    def test_a_cancelled_deferred_is_a_failing_handler(self) -> None:
        service = self.started(self.handle_slowly)
        assert self.busy is not None
        self.busy.cancel()
        self.failure(service.when_done(), CancelledError)

    def cancel_at(self, offset: int, times: int) -> Callable[[Record], object]:
        """A handler whose own Deferred is cancelled, so many times, at this offset."""
        left = [offset] * times

        def handle(record: Record) -> Deferred[None] | None:
            self.handle(record)
            if record.offset not in left:
                return None
            left.remove(record.offset)
            given_up: Deferred[None] = Deferred()
            self.clock.callLater(0, given_up.cancel)
            return given_up

        return handle

    def test_a_record_whose_deferred_was_cancelled_can_be_skipped(self) -> None:
        self.started(self.cancel_at(5, 1), on_failure=OnFailure.SKIP)
        self.assertEqual(self.seen, list(range(10)))

    def test_a_record_whose_deferred_was_cancelled_can_be_tried_again(self) -> None:
        self.started(self.cancel_at(3, 2), on_failure=OnFailure.RETRY)
        self.wait(5.0)
        self.assertEqual(self.seen, [0, 1, 2, 3, 3, 3, *range(4, 10)])

    def test_one_that_is_cancelled_by_the_stop_is_neither_skipped_nor_tried_again(self) -> None:
        for mode in (OnFailure.SKIP, OnFailure.RETRY):
            with self.subTest(mode=mode):
                self.seen.clear()
                service = self.started(self.handle_slowly, on_failure=mode, stop_timeout=1.0)
                done = service.when_done()
                self.result(service.stopService())
                self.successResultOf(done)
                self.assertEqual((self.seen, self.stored()), ([0], None))


class InLists(ServiceCase):
    """A handler that gets lists: the first is of all ten records that are there."""

    TOPICS = {"orders": 2}

    def setUp(self) -> None:
        super().setUp()
        self.lists: list[list[int | None]] = []

    def started(self, *args: Any, **kw: Any) -> Any:
        return super().started(*(args or (self.handle_list,)), batches=True, **kw)

    def handle_list(self, records: list[Record]) -> None:
        self.lists.append(self.offsets(records))

    def handle_slowly(self, records: list[Record]) -> Deferred[None]:  # type: ignore[override]
        self.handle_list(records)
        self.busy = Deferred()
        return self.busy

    def fail_once(self, records: list[Record]) -> None:
        """Fail at the first list, which is left empty."""
        self.handle_list(records)
        records.clear()
        if len(self.lists) == 1:
            raise KeyError

    def test_each_is_of_one_partition(self) -> None:
        self.append(3, partition=1)
        seen: list[set[int]] = []
        self.started(lambda records: seen.append({record.partition for record in records}))
        self.assertCountEqual(seen, [{0}, {1}])

    def test_one_list_is_handled_at_a_time_and_then_counts_as_processed(self) -> None:
        self.started(self.handle_slowly, flush_interval=0.5)
        self.append(5)
        self.wait(1.0)
        self.assertEqual((self.lists, self.stored()), ([[*range(10)]], None))
        self.finish()
        self.wait(1.0)
        self.assertEqual((self.lists, self.stored()), ([[*range(10)], [*range(10, 15)]], 9))

    def test_a_failing_handler_ends_it_and_none_of_its_list_is_stored(self) -> None:
        service = self.started(self.handle_slowly)
        self.finish()
        self.append(5)
        self.wait(1.0)
        assert self.busy is not None
        self.busy.errback(KeyError())
        self.failure(service.when_done(), KeyError)
        self.wait(1.0)
        self.assertEqual(self.stored(), 9)

    def test_a_list_is_skipped_as_a_whole_and_the_log_says_which(self) -> None:
        with capturedLogs() as logged:
            self.started(self.fail_once, on_failure=OnFailure.SKIP, flush_interval=0.5)
        self.assertEqual((self.lists, self.stored()), ([[*range(10)]], 9))
        (line,) = (formatEvent(e) for e in logged if e["log_level"] is LogLevel.error)
        self.assertIn("orders/0@0 to 9", line)

    def test_a_list_is_tried_again_as_a_whole_whatever_became_of_it(self) -> None:
        self.started(self.fail_once, on_failure=OnFailure.RETRY)
        self.wait(1.0)
        self.assertEqual(self.lists, [[*range(10)]] * 2)

    def test_the_list_in_hand_is_finished_and_stored(self) -> None:
        service = self.started(self.handle_slowly)
        stopping = service.stopService()
        self.finish()
        self.result(stopping)
        self.assertEqual(self.stored(), 9)

    def test_of_a_list_that_takes_too_long_nothing_is_stored(self) -> None:
        service = self.started(self.handle_slowly)
        stopping = service.stopService()
        self.wait(11.0)
        self.successResultOf(stopping)
        self.assertIsNone(self.stored())

    def test_it_is_asked_for_by_true_or_false(self) -> None:
        with self.assertRaisesRegex(InvalidConfig, "batches"):
            self.service(batches="yes")  # type: ignore[arg-type]
