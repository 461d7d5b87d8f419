"""Whatever happens, and in whatever order: every record of a partition, once, in order."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError

from txfluvio.config import OffsetStrategy
from txfluvio.consumer import Consumer
from txfluvio.errors import WaitTimedOut
from txfluvio.offset import Offset
from txfluvio.smartmodule import SmartModuleInvocation
from txfluvio.testing.smartmodules import SmartModuleRecord, filter
from txfluvio.wire.records import Record

from .kit import ConsumerCase

SEEDS = range(40)
FILTERED_SEEDS = range(15)
STEPS = 60


class Courses(ConsumerCase):
    """One consumer, and one hundred things that happen to it, by a seed."""

    SPUS = 2
    TOPICS = {}
    PARTITIONS = 3

    def setUp(self) -> None:
        super().setUp()
        self.result(
            self.broker.cluster.create_topic("orders", partitions=self.PARTITIONS, replication=2)
        )
        self.wait(1.0)

    def course(self, seed: int) -> None:
        rng = Random(seed)
        consumer = self.started(
            **self.settings(rng),
            start=Offset.beginning(),
            buffer_memory=rng.choice((500, 3000, 50_000)),
            consumer_id=f"worker-{seed}",
            offsets=rng.choice((OffsetStrategy.MANUAL, OffsetStrategy.AUTO)),
            flush_interval=1.0,
        )
        seen: dict[int, list[int | None]] = defaultdict(list)
        things = (
            self.some_come,
            self.some_are_read,
            self.some_are_read,
            self.a_wait_is_cancelled,
            self.connections_are_lost,
            self.the_leader_moves,
            self.one_is_paused,
            self.it_is_committed,
            self.time_goes_by,
        )
        for _ in range(STEPS):
            rng.choice(things)(consumer, seen, rng)
            for _ in range(rng.randrange(30)):
                self.clock.step()
        for number in range(self.PARTITIONS):
            consumer.resume(number)
        self.wait(10.0)
        ends = {n: self.broker.replica("orders", n).log.leo for n in range(self.PARTITIONS)}
        expected = {number: self.expected(end) for number, end in ends.items()}
        while sum(map(len, seen.values())) < sum(map(len, expected.values())):
            self.note(seen, *self.read(consumer, 1))
        for number, offsets in expected.items():
            self.assertEqual(seen[number], offsets)
        self.nothing_comes(consumer)
        self.result(consumer.commit())
        self.result(consumer.close())

    def settings(self, rng: Random) -> dict[str, Any]:
        return {"max_bytes": rng.choice((40, 200, 1000, 10_000))}

    def offset(self, record: Record) -> int | None:
        return record.offset

    def expected(self, end: int) -> list[int | None]:
        """The offsets that are to come of a log that ends there."""
        return list(range(end))

    def note(self, seen: dict[int, list[int | None]], *records: Record) -> None:
        for record in records:
            seen[record.partition].append(self.offset(record))

    def some_come(self, consumer: Consumer, seen: object, rng: Random) -> None:
        number = rng.randrange(self.PARTITIONS)
        if self.broker.cluster.leader(("orders", number)) is not None:
            self.append(
                rng.randrange(1, 20),
                partition=number,
                batch=rng.randrange(1, 8),
                size=rng.choice((1, 50, 500)),
            )
            # What an election might lose is another matter: let the followers catch up.
            self.wait(1.0)

    def some_are_read(
        self, consumer: Consumer, seen: dict[int, list[int | None]], rng: Random
    ) -> None:
        for _ in range(rng.randrange(10)):
            wait = consumer.next(timeout=0.25)
            self.wait(0.25)
            if wait.called:
                wait.addCallback(lambda record: self.note(seen, record))
                wait.addErrback(lambda failure: failure.trap(WaitTimedOut) and None)
            self.assertNoResult(wait) if not wait.called else self.successResultOf(wait)

    def a_wait_is_cancelled(
        self, consumer: Consumer, seen: dict[int, list[int | None]], rng: Random
    ) -> None:
        wait = consumer.next()
        for _ in range(rng.randrange(20)):
            self.clock.step()
        wait.addCallback(lambda record: self.note(seen, record))
        wait.addErrback(lambda failure: failure.trap(CancelledError) and None)
        wait.cancel()
        self.successResultOf(wait)

    def connections_are_lost(self, consumer: Consumer, seen: object, rng: Random) -> None:
        self.lose_connections()

    def the_leader_moves(self, consumer: Consumer, seen: object, rng: Random) -> None:
        number = rng.randrange(self.PARTITIONS)
        self.wait(1.0)
        leader = self.broker.replica("orders", number).spec.leader
        self.broker.cluster.move_leader("orders", number, 5001 + 5002 - leader)

    def one_is_paused(self, consumer: Consumer, seen: object, rng: Random) -> None:
        number = rng.randrange(self.PARTITIONS)
        rng.choice((consumer.pause, consumer.resume))(number)

    def it_is_committed(self, consumer: Consumer, seen: object, rng: Random) -> None:
        consumer.commit().addErrback(lambda failure: failure.trap(CancelledError))

    def time_goes_by(self, consumer: Consumer, seen: object, rng: Random) -> None:
        self.wait(rng.choice((0.25, 1.0, 3.0)))


class PlainCourses(Courses):
    """What comes is the log."""


@filter
def passes(record: SmartModuleRecord) -> bool:
    return int(record.value) % 3 != 0


class FilteredCourses(Courses):
    """The same through a SmartModule, whose records tell their offsets by their values."""

    def setUp(self) -> None:
        super().setUp()
        self.broker.register_smartmodule("passes", passes)

    def settings(self, rng: Random) -> dict[str, Any]:
        chain = [SmartModuleInvocation("passes")]
        return {"max_bytes": rng.choice((10_000, None)), "smartmodules": chain}

    def offset(self, record: Record) -> int | None:
        return int(record.value)

    def expected(self, end: int) -> list[int | None]:
        return [offset for offset in range(end) if offset % 3 != 0]


def _course(case: type[Courses], seed: int) -> None:
    def test(self: Courses) -> None:
        self.course(seed)

    setattr(case, f"test_course_{seed}", test)


for _seed in SEEDS:
    _course(PlainCourses, _seed)
for _seed in FILTERED_SEEDS:
    _course(FilteredCourses, _seed)
