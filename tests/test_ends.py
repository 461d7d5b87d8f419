"""Where the logs of a topic begin and end, told to whoever does not read them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from txfluvio import LogEnds
from txfluvio.errors import (
    BrokerError,
    ClientClosed,
    InvalidConfig,
    NotStarted,
    ProtocolError,
    RequestTimedOut,
    TopicNotFound,
    WaitTimedOut,
)
from txfluvio.testing.faults import AnswerError, Fault, Hold, Match, Reset, Truncate
from txfluvio.testing.server.journal import Direction
from txfluvio.wire.codes import Code
from txfluvio.wire.records import RecordSet, encode_batch
from txfluvio.wire.spu import FetchOffsetsRequest

from .client_kit import ClientCase


class EndsCase(ClientCase):
    SPUS = 2
    TOPICS = {"orders": 4, "returns": 1}

    def setUp(self) -> None:
        super().setUp()
        self.result(self.client.start())
        for partition, count in ((0, 5), (1, 3), (3, 1)):
            self.append(count, partition)

    def append(self, count: int, partition: int) -> None:
        """Append records, a batch each."""
        for _ in range(count):
            batches = RecordSet.of(encode_batch([b"x"])).batches(check_crc=False)
            self.broker.replica("orders", partition).append(batches, self.broker.now())

    def asked(self) -> int:
        """How many times SPUs were asked for ends of logs."""
        return sum(
            isinstance(entry.message, FetchOffsetsRequest)
            for entry in self.broker.journal
            if entry.direction is Direction.REQUEST
        )

    def led_by(self, spu_id: int) -> list[int]:
        """The partitions of orders that an SPU leads."""
        topology = self.client._cluster.topology
        return [n for n in range(4) if topology.leader_of("orders", n) == spu_id]


class Asking(EndsCase):
    def test_each_partition_has_a_first_offset_and_a_high_watermark(self) -> None:
        self.broker.evict("orders", 0, before=2)
        ends = self.result(self.client.ends("orders"))
        self.assertEqual(
            ends, {0: LogEnds(2, 5), 1: LogEnds(0, 3), 2: LogEnds(0, 0), 3: LogEnds(0, 1)}
        )
        self.assertEqual(list(ends), [0, 1, 2, 3])
        self.assertEqual((ends[0].first, ends[0].high_watermark), (2, 5))

    def test_they_are_asked_for_now(self) -> None:
        self.result(self.client.ends("orders"))
        self.append(4, 2)
        self.assertEqual(self.result(self.client.ends("orders"))[2], LogEnds(0, 4))

    def test_each_leader_is_asked_once_for_all_that_it_leads(self) -> None:
        self.assertTrue(self.led_by(5001) and self.led_by(5002))
        self.result(self.client.ends("orders"))
        self.assertEqual(self.asked(), 2)

    def test_with_what_consumers_have_stored_it_tells_their_lag(self) -> None:
        async def lag() -> dict[int, int]:
            ends = await self.client.ends("orders")
            stored = await self.client.admin.list_consumer_offsets(topic="orders")
            return {
                one.partition: ends[one.partition].high_watermark - 1 - one.offset for one in stored
            }

        (offsets,) = (
            s.stored_offsets for s in self.broker.cluster.spus.values() if s.stored_offsets
        )
        offsets.put(("orders", 0), "worker", 1)
        offsets.put(("orders", 1), "worker", 2)
        self.assertEqual(self.do(lag()), {0: 3, 1: 0})


class Waiting(EndsCase):
    def test_a_partition_without_a_leader_is_waited_for(self) -> None:
        self.result(self.broker.spu_down(5002))
        self.wait(1.0)
        asking = self.client.ends("orders")
        self.wait(3.0)
        self.assertNoResult(asking)
        self.result(self.broker.spu_up(5002))
        self.assertEqual(len(self.result(asking)), 4)

    def test_one_that_has_none_in_time_is_named(self) -> None:
        lost = ", ".join(f"orders/{number}" for number in self.led_by(5002))
        self.result(self.broker.spu_down(5002))
        self.wait(1.0)
        asking = self.client.ends("orders")
        self.wait(59.5)
        self.assertNoResult(asking)
        error = self.failure(asking, WaitTimedOut)
        self.assertIn(f"{lost} have no online leader", str(error))
        self.result(self.broker.spu_up(5002))

    def test_a_leader_that_does_not_answer_is_told_when_the_time_is_over(self) -> None:
        fault = self.broker.plant(Fault(Match("FetchOffsets"), Hold()))
        asking = self.client.ends("returns")
        self.failure(asking, RequestTimedOut, seconds=61.0)
        fault.remove()

    def test_what_may_pass_is_tried_again(self) -> None:
        for action in (AnswerError(Code.NOT_LEADER_FOR_PARTITION), Reset()):
            before = self.asked()
            self.broker.plant(Fault(Match("FetchOffsets"), action))
            self.assertEqual(len(self.result(self.client.ends("orders"))), 4)
            self.assertGreater(self.asked(), before + 2)

    def test_a_topic_that_was_made_a_moment_ago_is_waited_for(self) -> None:
        asking = self.client.ends("new")
        self.result(self.client.admin.create_topic("new", partitions=2))
        self.assertEqual(self.result(asking), {0: LogEnds(0, 0), 1: LogEnds(0, 0)})

    def test_to_cancel_it_concerns_nobody_else(self) -> None:
        first, second = self.client.ends("orders"), self.client.ends("orders")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.result(second)), 4)


class Failing(EndsCase):
    def test_a_topic_that_is_not_there_is_named(self) -> None:
        self.assertIn("ordes", str(self.failure(self.client.ends("ordes"), TopicNotFound)))

    def test_a_topic_that_is_deleted_meanwhile_is_not_there(self) -> None:
        self.result(self.broker.spu_down(5002))
        self.wait(1.0)
        asking = self.client.ends("orders")
        self.wait(1.0)
        self.result(self.broker.cluster.delete_topic("orders"))
        self.failure(asking, TopicNotFound)
        self.result(self.broker.spu_up(5002))

    def test_a_topic_has_a_name(self) -> None:
        for name in ("", None, b"orders"):
            error = self.failure(self.client.ends(name), InvalidConfig)  # type: ignore[arg-type]
            self.assertEqual(error.setting, "topic")

    def test_what_will_not_pass_is_told_at_once(self) -> None:
        self.broker.plant(Fault(Match("FetchOffsets"), AnswerError(Code.STORAGE_ERROR)))
        self.failure(self.client.ends("orders"), BrokerError, seconds=0.0)

    def test_an_answer_that_can_not_be_read_is_told(self) -> None:
        self.broker.plant(Fault(Match("FetchOffsets"), Truncate(20)))
        self.failure(self.client.ends("returns"), ProtocolError)

    def test_closing_the_client_ends_the_asking(self) -> None:
        asking = self.client.ends("orders")
        self.result(self.client.close())
        self.failureResultOf(asking, ClientClosed)
        self.failureResultOf(self.client.ends("orders"), ClientClosed)

    def test_it_is_for_a_client_that_is_started(self) -> None:
        self.failureResultOf(self.make_client().ends("orders"), NotStarted)
