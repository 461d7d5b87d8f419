"""Offsets in a store of the user's, instead of on the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txfluvio.config import OffsetStrategy
from txfluvio.consumer import Consumer
from txfluvio.errors import ConsumerClosed, WaitTimedOut
from txfluvio.interfaces import IOffsetStore
from txfluvio.offset import Offset
from txfluvio.wire.spu import (
    FetchConsumerOffsetsRequest,
    StreamFetchRequest,
    UpdateConsumerOffsetRequest,
)

from .kit import ConsumerCase

WORKER = "worker-1"
MANUAL, AUTO = OffsetStrategy.MANUAL, OffsetStrategy.AUTO


class Broken(Exception):
    """What this store fails with."""


@implementer(IOffsetStore)
class Store:
    """Keeps offsets in a dictionary, when it is not told to do worse."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], int] = {}
        self.calls: list[tuple[str, int, int]] = []
        self.broken: Exception | None = None
        self.slow: Deferred[None] | None = None

    def load(self, consumer_id: str) -> Deferred[Mapping[tuple[str, int], int]]:
        assert consumer_id == WORKER
        return succeed(dict(self.kept)) if self.broken is None else fail(self.broken)

    def store(self, consumer_id: str, topic: str, partition: int, offset: int) -> Deferred[None]:
        assert consumer_id == WORKER
        self.calls.append((topic, partition, offset))
        if self.broken is not None:
            return fail(self.broken)
        self.kept[topic, partition] = offset
        return succeed(None) if self.slow is None else self.slow


class AsyncStore(Store):
    """The same as coroutines."""

    async def load(self, consumer_id: str) -> Mapping[tuple[str, int], int]:  # type: ignore[override]
        return await super().load(consumer_id)

    async def store(self, consumer_id: str, topic: str, partition: int, offset: int) -> None:  # type: ignore[override]
        await super().store(consumer_id, topic, partition, offset)


class StoreCase(ConsumerCase):
    def setUp(self) -> None:
        super().setUp()
        self.append(10, batch=4)
        self.store = Store()

    def worker(self, strategy: OffsetStrategy = MANUAL, **settings: Any) -> Consumer:
        return self.started(
            **{
                "consumer_id": WORKER,
                "offsets": strategy,
                "offset_store": self.store,
                **settings,
            }
        )


class Keeping(StoreCase):
    def test_the_one_of_the_tests_is_one(self) -> None:
        verifyObject(IOffsetStore, self.store)

    def test_reading_resumes_behind_what_is_stored_there(self) -> None:
        self.store.kept["orders", 0] = 6
        self.assertEqual(self.offsets(self.read(self.worker(), 1)), [7])

    def test_where_nothing_is_stored_the_fallback_holds(self) -> None:
        consumer = self.worker(start=Offset.stored(Offset.absolute(3)))
        self.assertEqual(self.offsets(self.read(consumer, 1)), [3])

    def test_a_commit_goes_there_and_the_cluster_is_asked_and_told_nothing(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.result(consumer.commit())
        self.assertEqual(self.store.calls, [("orders", 0, 2)])
        self.assertEqual(self.asked(FetchConsumerOffsetsRequest), [])
        self.assertEqual(self.asked(UpdateConsumerOffsetRequest), [])
        self.assertEqual([r.consumer_id for r in self.asked(StreamFetchRequest)], [None])

    def test_what_is_stored_there_is_what_is_committed(self) -> None:
        consumer = self.worker()
        self.store.kept.update({("orders", 0): 6, ("orders", 7): 1, ("returns", 0): 2})
        self.assertEqual(self.result(consumer.committed()), {("orders", 0): 6})
        self.assertEqual(self.asked(FetchConsumerOffsetsRequest), [])

    def test_coroutines_do_as_well(self) -> None:
        self.store = AsyncStore()
        consumer = self.worker()
        self.read(consumer, 3)
        self.result(consumer.commit())
        self.result(consumer.close())
        self.assertEqual(self.offsets(self.read(self.worker(), 1)), [3])

    def test_automatically_what_was_processed_is_stored_on_closing(self) -> None:
        consumer = self.worker(AUTO)
        self.read(consumer, 3)
        self.result(consumer.close())
        self.assertEqual(self.store.kept, {("orders", 0): 1})

    def test_and_while_it_is_read_by_interval(self) -> None:
        consumer = self.worker(AUTO, flush_interval=2.0)
        self.read(consumer, 3)
        self.wait(2.5)
        self.assertEqual(self.store.kept, {("orders", 0): 1})

    def test_storing_needs_no_leader(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.result(self.broker.spu_down(5001))
        self.result(consumer.commit())
        self.assertEqual(self.store.kept, {("orders", 0): 2})
        self.result(self.broker.spu_up(5001))

    def test_one_call_at_a_time_is_under_way_with_the_newest_offset(self) -> None:
        self.store.slow = Deferred()
        consumer = self.worker()
        commits = []
        for _ in range(4):
            self.read(consumer, 1)
            commits.append(consumer.commit())
        self.assertEqual([offset for _, _, offset in self.store.calls], [0])
        slow, self.store.slow = self.store.slow, None
        slow.callback(None)
        for commit in commits:
            self.result(commit)
        self.assertEqual([offset for _, _, offset in self.store.calls], [0, 3])


class Slow(StoreCase):
    """A store that takes its time, with one partition or with all."""

    TOPICS = {"orders": 2}

    def setUp(self) -> None:
        super().setUp()
        self.append(10, partition=1)

    def offsets_of(self, partition: int) -> list[int]:
        return [offset for _, number, offset in self.store.calls if number == partition]

    def test_a_partition_that_it_does_not_answer_for_holds_up_no_other(self) -> None:
        class Stuck(Store):
            def store(self, *call: Any) -> Deferred[None]:
                stored = super().store(*call)
                return stuck if call[2] == 1 else stored

        stuck: Deferred[None] = Deferred()
        self.store = Stuck()
        consumer = self.worker(AUTO, flush_interval=1.0)
        self.read(consumer, 20)
        wait = consumer.next()
        for _ in range(3):
            self.append(1)
            self.result(wait)
            wait = consumer.next()
            self.append(1, partition=1)
            self.result(wait)
            wait = consumer.next()
            self.wait(1.5)
        self.assertEqual(self.offsets_of(0)[-1], 12)
        self.assertEqual(len(self.offsets_of(1)), 1)
        stuck.callback(None)
        self.assertEqual(self.offsets_of(1)[1:], [12])
        wait.cancel()
        self.failureResultOf(wait)

    def test_if_it_takes_longer_than_an_interval_the_newest_is_stored_all_the_same(self) -> None:
        slow: Deferred[None] = Deferred()
        self.store.slow = slow
        consumer = self.worker(AUTO, flush_interval=1.0, partitions=0)
        for _ in range(4):
            self.read(consumer, 1)
            self.wait(1.5)
        self.assertEqual(self.offsets_of(0), [0])
        self.assertNoResult(slow)
        self.store.slow = None
        slow.callback(None)
        self.assertEqual(self.offsets_of(0), [0, 2])


class Failing(StoreCase):
    def test_what_loading_fails_with_is_raised_by_starting(self) -> None:
        self.store.broken = Broken("no database")
        consumer = self.consumer(
            consumer_id=WORKER, offsets=MANUAL, offset_store=self.store, start=Offset.stored()
        )
        self.failure(consumer.start(), Broken)
        self.assertTrue(consumer.closed)

    def test_what_loading_fails_with_is_raised_by_whoever_asks_what_is_committed(self) -> None:
        consumer = self.worker()
        self.store.broken = Broken("no database")
        self.failure(consumer.committed(), Broken)

    def test_a_store_that_loads_though_the_consumer_was_closed_tells_nobody(self) -> None:
        consumer = self.worker()
        slow: Deferred[Mapping[tuple[str, int], int]] = Deferred(lambda _: slow.callback({}))
        self.patch(self.store, "load", lambda _: slow)
        asking = consumer.committed()
        self.result(consumer.close())
        self.failureResultOf(asking, ConsumerClosed)

    def test_a_store_that_does_not_answer_is_not_waited_for_for_ever(self) -> None:
        class Silent(Store):
            def load(self, consumer_id: str) -> Deferred[Mapping[tuple[str, int], int]]:
                return Deferred()

        consumer = self.consumer(consumer_id=WORKER, offsets=MANUAL, offset_store=Silent())
        error = self.failure(consumer.start(), WaitTimedOut)
        self.assertIn(WORKER, str(error))

    def test_what_it_takes_to_load_is_no_more_time_for_the_start(self) -> None:
        self.result(self.broker.spu_down(5001))
        loading: Deferred[Mapping[tuple[str, int], int]] = Deferred()
        self.patch(self.store, "load", lambda _: loading)
        consumer = self.consumer(
            consumer_id=WORKER, offsets=MANUAL, offset_store=self.store, start=Offset.stored()
        )
        starting = consumer.start()
        self.wait(20)
        loading.callback({})
        self.wait(9.75)
        self.assertNoResult(starting)
        self.wait(0.25)
        self.failureResultOf(starting, WaitTimedOut)

    def test_a_store_that_loads_though_the_consumer_was_closed_starts_nothing(self) -> None:
        class Stubborn(Store):
            async def load(self, consumer_id: str) -> Mapping[tuple[str, int], int]:  # type: ignore[override]
                try:
                    await Deferred[None]()
                except CancelledError:
                    return {}
                raise AssertionError

        self.check_that_nothing_starts(Stubborn(), lambda consumer: consumer.close())

    def test_a_store_that_closes_the_consumer_itself_starts_nothing(self) -> None:
        class Closing(Store):
            def load(self, consumer_id: str) -> Deferred[Mapping[tuple[str, int], int]]:
                closing.append(consumers[0].close())
                return succeed({})

        closing: list[Deferred[None]] = []
        consumers = self.consumers
        self.check_that_nothing_starts(Closing(), lambda _: closing[0])

    def check_that_nothing_starts(
        self, store: Store, close: Callable[[Consumer], Deferred[None]]
    ) -> None:
        before = len(self.network.links)
        consumer = self.consumer(consumer_id=WORKER, offsets=MANUAL, offset_store=store)
        start = consumer.start()
        self.result(close(consumer))
        self.failure(start, ConsumerClosed)
        self.assertEqual(consumer.partitions, ())
        self.assertEqual(len(self.network.links), before)

    def test_what_storing_fails_with_is_raised_by_the_commit_and_the_next_may_succeed(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.store.broken = Broken("no database")
        self.failure(consumer.commit(), Broken)
        self.store.broken = None
        self.result(consumer.commit())
        self.assertEqual(self.store.kept, {("orders", 0): 2})

    def test_an_error_that_might_pass_is_raised_too_since_nobody_would_try_again(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        error = WaitTimedOut("a row", 5.0)
        error.retriable = True
        self.store.broken = error
        self.failure(consumer.commit(), WaitTimedOut)

    def test_by_interval_it_is_tried_again(self) -> None:
        consumer = self.worker(AUTO, flush_interval=2.0)
        self.read(consumer, 3)
        self.store.broken = Broken("no database")
        self.wait(2.5)
        self.store.broken = None
        self.wait(2.0)
        self.assertEqual(self.store.kept, {("orders", 0): 1})

    def test_a_consumer_that_can_not_store_on_closing_is_closed_all_the_same(self) -> None:
        consumer = self.worker(AUTO)
        self.read(consumer, 3)
        self.store.broken = Broken("no database")
        self.failure(consumer.close(), Broken)
        self.assertTrue(consumer.closed)

    def test_leaving_by_an_error_raises_that_one(self) -> None:
        async def use() -> None:
            async with self.consumer(
                consumer_id=WORKER, offsets=AUTO, offset_store=self.store, start=Offset.beginning()
            ) as consumer:
                await consumer.next()
                await consumer.next()
                self.store.broken = Broken("no database")
                raise KeyError("the user's own")

        self.failure(Deferred.fromCoroutine(use()), KeyError)
