"""Whatever happens, and in whatever order: every record has one outcome, and it is the truth."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from tests.producer.kit import Leader, ProducerTestCase
from txfluvio.config import Delivery
from txfluvio.errors import Effect, FluvioError, NotAllStored
from txfluvio.producer import Producer, RecordMetadata
from txfluvio.wire.codes import NO_ERROR, Code, error

SEEDS = range(30)
STEPS = 60
CODES = (
    error(Code.STORAGE_ERROR),
    error(Code.REQUEST_TIMED_OUT, timeout_ms=1500, kind=0),
    error(Code.PERMISSION_DENIED),
)


@attrs.define(eq=False)
class Sent:
    """Records sent by one call, and what became of them.

    :ivar outcomes: one for each record, of each time its Deferred has fired.
    """

    values: list[bytes]
    deferred: Deferred[Any]
    outcomes: list[list[RecordMetadata | BaseException]] = attrs.field(factory=list)

    def note(self, result: Any) -> None:
        if isinstance(result, Failure):
            found = result.value
            assert found is not None
            if isinstance(found, NotAllStored):
                self.outcomes.append(list(found.outcomes))
            else:
                self.outcomes.append([found] * len(self.values))
        else:
            self.outcomes.append([result] if isinstance(result, RecordMetadata) else list(result))


class Courses(ProducerTestCase):
    """One producer, and sixty things that happen to it, by a seed."""

    partitions = 3

    def course(self, seed: int) -> None:
        rng = Random(seed)
        delivery = rng.choice(list(Delivery))
        producer = self.started(
            delivery=delivery,
            batch_size=rng.choice((80, 200, 16_384)),
            linger=rng.choice((0.0, 0.5)),
            buffer_memory=rng.choice((2**20, 2**21)),
            delivery_timeout=rng.choice((5.0, 60.0)),
        )
        sent: list[Sent] = []
        things = (
            self.one_is_sent,
            self.one_is_sent,
            self.many_are_sent,
            self.a_leader_answers,
            self.a_leader_answers,
            self.a_leader_leads_no_more_or_again,
            self.connections_are_lost,
            # Where a refusal may be among what is lost, the same records sent again may be stored
            # behind others that were not refused. So there is one or the other.
            *rng.choice(
                (
                    (self.a_leader_refuses,),
                    (self.a_leader_is_slow, self.an_answer_is_lost),
                )
            ),
            self.a_partition_is_led_by_another,
            self.a_wait_is_cancelled,
            self.it_is_flushed,
            self.time_goes_by,
        )
        for _ in range(STEPS):
            rng.choice(things)(producer, sent, rng)
        for leader in self.leaders:
            leader.holding = False
            leader.code = NO_ERROR
            while leader.owed:
                leader.answer()
        closing = producer.close()
        self.turn(producer.config.close_timeout)
        self.successResultOf(closing)
        self.assertEqual(producer.buffered, 0)
        for one in sent:
            self.check_outcomes(one)
        self.check_logs(sent, delivery)

    @property
    def leaders(self) -> tuple[Leader, Leader]:
        return (self.leader, self.other)

    # What has to hold

    def check_outcomes(self, one: Sent) -> None:
        (outcomes,) = one.outcomes
        self.assertEqual(len(outcomes), len(one.values))
        for value, outcome in zip(one.values, outcomes, strict=True):
            if isinstance(outcome, RecordMetadata):
                assert outcome.offset is not None
                at = [log[outcome.offset : outcome.offset + 1] for log in self.logs(outcome)]
                self.assertIn(value, [record.value for found in at for record in found])
            elif not isinstance(outcome, CancelledError):
                assert isinstance(outcome, FluvioError)
                stored = self.stored()[value]
                if outcome.effect is not Effect.UNKNOWN:
                    self.assertEqual(stored > 0, outcome.effect is Effect.DONE, outcome)

    def check_logs(self, sent: list[Sent], delivery: Delivery) -> None:
        order = {value: n for n, value in enumerate(v for one in sent for v in one.values)}
        for leader in self.leaders:
            for number in leader.logs:
                first = list(dict.fromkeys(leader.values(number)))
                self.assertEqual(first, sorted(first, key=lambda value: order[value]))
        if delivery is Delivery.AT_MOST_ONCE:
            self.assertLessEqual(max(self.stored().values(), default=0), 1)

    def logs(self, place: RecordMetadata) -> list[list[Any]]:
        return [leader.logs.get(place.partition, []) for leader in self.leaders]

    def stored(self) -> Counter[bytes]:
        return Counter(
            value
            for leader in self.leaders
            for number in leader.logs
            for value in leader.values(number)
        )

    # What may happen

    def sending(self, sent: list[Sent], values: list[bytes], deferred: Deferred[Any]) -> None:
        one = Sent(values, deferred)
        deferred.addBoth(one.note)
        sent.append(one)

    def value(self, sent: list[Sent]) -> bytes:
        return b"%d" % sum(len(one.values) for one in sent)

    def one_is_sent(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        for _ in range(rng.randrange(1, 5)):
            value = self.value(sent)
            key = rng.choice((None, b"a", b"b"))
            self.sending(sent, [value], producer.send(value, key))

    def many_are_sent(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        first = int(self.value(sent))
        values = [b"%d" % number for number in range(first, first + rng.randrange(1, 30))]
        self.sending(sent, values, producer.send_many(values))

    def a_leader_is_slow(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        rng.choice(self.leaders).holding = True

    def a_leader_answers(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        leader = rng.choice(self.leaders)
        leader.holding = False
        while leader.owed:
            leader.answer()
        self.turn()

    def a_leader_refuses(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        rng.choice(self.leaders).codes += rng.choices((NO_ERROR, *CODES), k=rng.randrange(1, 4))

    def a_leader_leads_no_more_or_again(
        self, producer: Producer, sent: list[Sent], rng: Random
    ) -> None:
        code = rng.choice((error(Code.NOT_LEADER_FOR_PARTITION), NO_ERROR))
        rng.choice(self.leaders).code = code

    def connections_are_lost(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        rng.choice(self.leaders).lose()
        self.turn()

    def an_answer_is_lost(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        for leader in self.leaders:
            if leader.owed:
                leader.work()
                leader.lose()
        self.turn()

    def a_partition_is_led_by_another(
        self, producer: Producer, sent: list[Sent], rng: Random
    ) -> None:
        self.lead({rng.randrange(self.partitions): rng.choice((1, 2, None))})
        self.turn()

    def a_wait_is_cancelled(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        if sent:
            rng.choice(sent).deferred.cancel()

    def it_is_flushed(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        producer.flush()

    def time_goes_by(self, producer: Producer, sent: list[Sent], rng: Random) -> None:
        self.turn(rng.choice((0.0, 0.2, 1.0, 4.0)))


def _course(seed: int) -> None:
    def test(self: Courses) -> None:
        self.course(seed)

    setattr(Courses, f"test_course_{seed}", test)


for _seed in SEEDS:
    _course(_seed)
