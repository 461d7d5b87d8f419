"""An SPU that does what the test says: what is sent when, and what no honest SPU would do."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from txfluvio.config import ConsumerConfig, OffsetReset, OffsetStrategy
from txfluvio.consumer import Consumer
from txfluvio.consumer.session import MAX_EMPTY_PUSHES
from txfluvio.consumer.stream import FIRST_LOOK
from txfluvio.errors import (
    BrokerError,
    LogTruncated,
    PermissionDenied,
    ProtocolError,
    SmartModuleRuntimeError,
    WaitTimedOut,
)
from txfluvio.offset import Offset
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode, ModuleKind, error
from txfluvio.wire.records import RecordSet, encode_batch, renumber
from txfluvio.wire.spu import (
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
    FetchRequest,
    FetchResponse,
    OffsetUpdateStatus,
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicFetchResponse,
    UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
    UpdateOffsetsRequest,
    UpdateOffsetsResponse,
)

from ..cluster.kit import Asked, ClusterCase

T = TypeVar("T")

FAILED = error(
    Code.SMART_MODULE_RUNTIME_ERROR,
    hint="boom",
    offset=2,
    kind=ModuleKind.FILTER,
    record_key=None,
    record_value=b"v",
)
"""A module has failed on the record at offset 2."""


def batch(base: int, count: int = 1, size: int = 1) -> bytes:
    return renumber(encode_batch([b"%*d" % (size, base + n) for n in range(count)]), base)


class ScriptedCase(ClusterCase):
    """Has a started consumer of ``orders/0`` whose stream has just been asked for."""

    SETTINGS: dict[str, Any] = {"max_bytes": 1000}
    STOP: Offset | None = None
    HIGH_WATERMARK = 100

    def setUp(self) -> None:
        super().setUp()
        self.started()
        config = ConsumerConfig(**self.SETTINGS)
        self.consumer = Consumer(
            self.cluster,
            "orders",
            start=Offset.absolute(0),
            stop=self.STOP,
            config=config,
        )
        starting = self.consumer.start()
        self.advance()
        self.tell_ends()
        self.successResultOf(starting)
        self.stream = self.opened()

    def tearDown(self) -> None:
        closing = self.consumer.close()
        self.advance()
        self.successResultOf(closing)
        self.stopped()

    def asked(self, kind: type[T]) -> tuple[Asked, T]:
        """The next request, which is of this kind."""
        asked = self.spu.one()
        assert isinstance(asked.message, kind)
        return asked, asked.message

    def opened(self, at: int = 0) -> Asked:
        asked, message = self.asked(StreamFetchRequest)
        self.assertEqual(message.fetch_offset, at)
        return asked

    def acknowledged(self, offset: int) -> Asked:
        """An acknowledgement of ``offset`` has come; it is not answered."""
        asked, message = self.asked(UpdateOffsetsRequest)
        self.assertEqual([(o.offset, o.session_id) for o in message.offsets], [(offset, 1)])
        return asked

    def silent(self) -> None:
        """Nothing was asked."""
        self.advance()
        self.assertEqual(self.spu.asked, [])

    def tell_ends(self, first: int = 0, end: int | None = None, code: ErrorCode = NO_ERROR) -> None:
        asked, _ = self.asked(FetchOffsetsRequest)
        partition = FetchOffsetPartitionResponse(
            error_code=code,
            partition_index=0,
            start_offset=first,
            last_stable_offset=self.HIGH_WATERMARK if end is None else end,
        )
        topic = FetchOffsetTopicResponse(name="orders", partitions=(partition,))
        asked.reply(FetchOffsetsResponse(topics=(topic,)))
        self.advance()

    def push(self, *batches: bytes, code: ErrorCode = NO_ERROR, partition: int = 0) -> None:
        response = PartitionResponse(
            partition_index=partition,
            error_code=code,
            high_watermark=0 if code else self.HIGH_WATERMARK,
            records=RecordSet.of(*batches),
        )
        self.stream.connection.push(
            StreamFetchResponse(topic="orders", stream_id=1, partition=response),
            self.stream._incoming,
        )
        self.advance()

    def brought(self, asked: Asked, data: bytes, code: ErrorCode = NO_ERROR) -> None:
        """Answer a Fetch."""
        partition = PartitionResponse(
            partition_index=0,
            error_code=code,
            high_watermark=self.HIGH_WATERMARK,
            records=RecordSet(data),
        )
        topic = TopicFetchResponse(name="orders", partitions=(partition,))
        asked.reply(FetchResponse(topics=(topic,)))
        self.advance()

    def next(self) -> Deferred[Any]:
        wait = self.consumer.next(timeout=0.5)
        for _ in range(4):
            self.advance()
        return wait

    def offsets(self, count: int) -> list[int | None]:
        return [self.successResultOf(self.next()).offset for _ in range(count)]

    def nothing_left(self) -> None:
        wait = self.next()
        self.advance(0.5)
        self.failureResultOf(wait, WaitTimedOut)


class Acknowledging(ScriptedCase):
    def test_the_end_of_a_push_is_acknowledged_before_anybody_reads_it(self) -> None:
        self.push(batch(0, 3), batch(3, 2))
        self.acknowledged(5)
        self.assertEqual(self.offsets(5), [0, 1, 2, 3, 4])

    def test_of_a_cut_push_the_end_of_the_last_whole_batch_is_acknowledged(self) -> None:
        self.push(batch(0, 3), batch(3, 2)[:-1])
        self.acknowledged(3)

    def test_a_push_with_nothing_in_it_is_acknowledged_and_the_stream_goes_on(self) -> None:
        self.push(batch(0, 2))
        self.acknowledged(2)
        self.push()
        self.acknowledged(2)
        self.push(batch(2))
        self.acknowledged(3)
        self.assertEqual(self.offsets(3), [0, 1, 2])

    def test_an_spu_that_says_nothing_again_and_again_is_no_honest_one(self) -> None:
        for _ in range(MAX_EMPTY_PUSHES):
            self.push()
            self.acknowledged(0)
        self.push(batch(0))
        self.acknowledged(1)
        for _ in range(MAX_EMPTY_PUSHES):
            self.push()
            self.acknowledged(1)
        self.push()
        self.silent()
        self.assertEqual(self.offsets(1), [0])
        error = self.failureResultOf(self.next(), ProtocolError).value
        self.assertIn("more than 16 in a row that bring nothing", str(error))

    def test_no_answer_to_an_acknowledgement_is_waited_for(self) -> None:
        for offset in range(5):
            self.push(batch(offset))
            self.acknowledged(offset + 1)

    def test_where_the_spu_does_not_know_the_stream_another_is_opened(self) -> None:
        self.push(batch(0, 2))
        unknown = OffsetUpdateStatus(session_id=1, error=error(Code.FETCH_SESSION_NOT_FOUND))
        self.acknowledged(2).reply(UpdateOffsetsResponse(status=(unknown,)))
        self.advance()
        self.advance(1.0)
        self.tell_ends()
        self.opened(at=2)

    def test_where_no_acknowledgement_is_answered_another_connection_is_made(self) -> None:
        self.push(batch(0, 2))
        self.acknowledged(2)
        self.advance(self.config.request_timeout)
        self.advance(1.0)
        self.tell_ends()
        self.opened(at=2)

    def test_a_batch_that_comes_again_is_not_delivered_again(self) -> None:
        self.push(batch(0, 3))
        self.acknowledged(3)
        self.push(batch(0, 3), batch(3))
        self.acknowledged(4)
        self.assertEqual(self.offsets(4), [0, 1, 2, 3])


class LargeBatches(ScriptedCase):
    def test_a_piece_of_it_that_comes_twice_brings_it_once(self) -> None:
        large = batch(0, 2, size=2000)
        self.push(large[:1000])
        self.push(large[:1000])
        asked, _ = self.asked(FetchRequest)
        self.brought(asked, large)
        self.acknowledged(2)
        self.push(batch(2))
        self.acknowledged(3)
        self.assertEqual(self.offsets(3), [0, 1, 2])

    def test_the_batch_that_does_not_fit_is_fetched_with_what_it_needs(self) -> None:
        large = batch(0, 2, size=2000)
        self.push(large[:1000])
        asked, message = self.asked(FetchRequest)
        self.assertEqual(message.max_bytes, len(large))
        self.assertEqual(message.topics[0].fetch_partitions[0].fetch_offset, 0)
        self.brought(asked, large)
        self.acknowledged(2)
        self.assertEqual(self.offsets(2), [0, 1])

    def test_if_not_even_its_size_has_come_more_is_fetched_to_tell(self) -> None:
        large = batch(0, 2, size=2 * FIRST_LOOK)
        self.push(large[:11])
        asked, message = self.asked(FetchRequest)
        self.assertEqual(message.max_bytes, FIRST_LOOK)
        self.brought(asked, large[:FIRST_LOOK])
        asked, message = self.asked(FetchRequest)
        self.assertEqual(message.max_bytes, len(large))
        self.brought(asked, large)
        self.acknowledged(2)

    def test_what_comes_with_it_is_taken_too(self) -> None:
        large = batch(0, 2, size=2000)
        self.push(large[:5])
        asked, _ = self.asked(FetchRequest)
        self.brought(asked, large + batch(2) + batch(3)[:20])
        self.acknowledged(3)
        self.assertEqual(self.offsets(3), [0, 1, 2])

    def test_an_spu_that_keeps_it_back_is_no_honest_one(self) -> None:
        for data in (b"", batch(0, 2, size=2000)[:1000]):
            with self.subTest(size=len(data)):
                self.push(batch(0, 2, size=2000)[:1000])
                asked, _ = self.asked(FetchRequest)
                self.brought(asked, data)
                self.failureResultOf(self.next(), ProtocolError)
                self.consumer.seek(0, 0)
                self.advance()
                self.tell_ends()
                self.stream = self.opened()

    def test_a_size_that_no_frame_can_have_is_not_asked_for(self) -> None:
        large = bytearray(batch(0))
        large[8:12] = (self.config.max_frame_size).to_bytes(4, "big")
        self.push(bytes(large))
        self.silent()
        self.failureResultOf(self.next(), ProtocolError)

    def test_an_impossible_size_is_told(self) -> None:
        large = bytearray(batch(0))
        large[8:12] = (7).to_bytes(4, "big")
        self.push(bytes(large))
        self.failureResultOf(self.next(), ProtocolError)


class Storing(ScriptedCase):
    SETTINGS = {
        "max_bytes": 1000,
        "consumer_id": "worker",
        "offsets": OffsetStrategy.MANUAL,
    }

    def commit(self, answer: UpdateConsumerOffsetResponse) -> Deferred[None]:
        """Commit two records, which the SPU answers so."""
        self.push(batch(0, 2))
        self.acknowledged(2)
        self.offsets(2)
        commit = self.consumer.commit()
        self.advance()
        asked, message = self.asked(UpdateConsumerOffsetRequest)
        self.assertEqual((message.offset, message.session_id), (1, 1))
        asked.reply(answer)
        self.advance()
        return commit

    def test_what_is_stored_is_told_again_by_the_spu(self) -> None:
        self.successResultOf(self.commit(UpdateConsumerOffsetResponse(offset=1)))

    def test_an_answer_about_another_offset_is_the_peers_mistake(self) -> None:
        # As the answer to an acknowledgement looks, if it comes under this number.
        commit = self.commit(UpdateConsumerOffsetResponse(offset=1 << 32 | 1))
        told = self.failureResultOf(commit, ProtocolError).value
        self.assertIn("4294967297 instead of 1", str(told))
        self.failureResultOf(self.next(), ProtocolError)


class Errors(ScriptedCase):
    def test_an_spu_that_does_not_lead_is_asked_again_after_a_while(self) -> None:
        self.push(code=error(Code.NOT_LEADER_FOR_PARTITION))
        self.silent()
        self.advance(1.0)
        self.tell_ends(code=error(Code.PARTITION_NOT_LEADER))
        self.advance(2.0)
        self.tell_ends()
        self.opened()

    def test_what_will_not_change_is_told(self) -> None:
        self.push(code=error(Code.PERMISSION_DENIED))
        for _ in range(2):
            self.failureResultOf(self.next(), PermissionDenied)
        self.silent()

    def test_a_code_that_nobody_knows_is_told(self) -> None:
        self.push(code=ErrorCode(4711))
        self.assertEqual(self.failureResultOf(self.next(), BrokerError).value.code, 4711)

    def test_records_come_before_the_error_that_came_with_them(self) -> None:
        self.push(batch(0, 2), code=FAILED)
        self.assertEqual(self.offsets(2), [0, 1])
        self.failureResultOf(self.next(), SmartModuleRuntimeError)

    def test_an_error_that_comes_again_and_again_is_looked_into_once(self) -> None:
        for _ in range(3):
            self.push(code=FAILED)
        asked, _ = self.asked(FetchRequest)
        self.silent()
        self.brought(asked, batch(2, 5))
        told = self.failureResultOf(self.next(), SmartModuleRuntimeError).value
        self.assertEqual(told.next_offset, 7)

    def test_ends_that_are_refused_do_not_pass_for_an_empty_log(self) -> None:
        self.push(batch(0, 2))
        self.acknowledged(2)
        self.stream.connection.close()
        self.advance()
        self.advance(1.0)
        self.tell_ends(first=0, end=0, code=error(Code.PARTITION_NOT_LEADER))
        self.assertEqual(self.offsets(2), [0, 1])
        self.nothing_left()

    def test_a_push_for_another_partition_is_the_peers_mistake(self) -> None:
        self.push(batch(0), partition=1)
        self.failureResultOf(self.next(), ProtocolError)

    def test_batches_that_lead_nowhere_are_the_peers_mistake(self) -> None:
        self.push(batch(0, 3))
        self.acknowledged(3)
        self.push(batch(0, 3))
        self.assertEqual(self.offsets(3), [0, 1, 2])
        self.failureResultOf(self.next(), ProtocolError)

    def test_an_error_is_forgotten_by_seeking(self) -> None:
        self.push(code=error(Code.PERMISSION_DENIED))
        self.failureResultOf(self.next(), PermissionDenied)
        self.consumer.seek(0, 5)
        self.advance()
        self.tell_ends()
        self.stream = self.opened(at=5)
        self.push(batch(5))
        self.assertEqual(self.offsets(1), [5])

    def test_a_log_that_was_cut_since_it_told_its_ends_is_looked_at_again(self) -> None:
        self.push(batch(0, 3))
        self.acknowledged(3)
        self.assertEqual(self.offsets(3), [0, 1, 2])
        self.stream.connection.close()
        self.advance()
        self.advance(1.0)
        self.tell_ends()
        self.stream = self.opened(at=3)
        self.push(code=error(Code.OTHER, text="start offset: 3 is greater than leo: 2"))
        self.tell_ends(first=0, end=2)
        self.stream = self.opened(at=3)
        self.push(code=error(Code.OTHER, text="start offset: 3 is greater than leo: 2"))
        self.failureResultOf(self.next(), LogTruncated)

    def test_an_error_of_no_name_that_comes_again_is_told(self) -> None:
        self.push(code=error(Code.OTHER, text="no"))
        self.tell_ends()
        self.stream = self.opened()
        self.push(code=error(Code.OTHER, text="no"))
        self.failureResultOf(self.next(), BrokerError)

    def test_an_spu_that_says_nothing_is_left_when_its_time_is_over(self) -> None:
        self.stream.connection.close()
        self.advance()
        self.advance(1.0)
        self.asked(FetchOffsetsRequest)
        self.advance(self.config.request_timeout)
        self.advance(2.0)
        self.tell_ends()
        self.opened()

    def test_a_push_to_a_stream_that_was_left_is_dropped(self) -> None:
        old = self.stream
        self.consumer.seek(0, 50)
        self.push(batch(0))
        self.tell_ends()
        self.stream = self.opened(at=50)
        self.assertIsNot(self.stream.connection, old.connection)
        self.push(batch(50))
        self.assertEqual(self.offsets(1), [50])


class NegativeEnds(ScriptedCase):
    def looked_again(self, first: int, end: int) -> None:
        """Where the reader has asked for the ends of the log again, these are told."""
        self.consumer.seek(0, 5)
        self.advance()
        self.tell_ends(first, end)

    def test_a_log_that_begins_below_zero_is_the_peers_mistake(self) -> None:
        self.looked_again(-1, 100)
        self.failureResultOf(self.next(), ProtocolError)

    def test_a_high_watermark_below_zero_is_the_peers_mistake(self) -> None:
        self.looked_again(0, -1)
        self.failureResultOf(self.next(), ProtocolError)


class RefusedWhereItBegins(ScriptedCase):
    """The log begins above the high watermark, and what is to start there is refused."""

    SETTINGS = {"reset": OffsetReset.EARLIEST}
    FIRST = 110

    def refused(self) -> None:
        self.push(code=error(Code.OTHER, text="no"))

    def begun(self) -> Asked:
        self.tell_ends(first=self.FIRST)
        return self.opened(at=self.FIRST)

    def setUp(self) -> None:
        super().setUp()
        self.consumer.seek(0, self.FIRST)
        self.advance()
        self.stream = self.begun()

    def test_the_first_reset_is_at_once_and_each_other_waits_longer(self) -> None:
        self.refused()
        self.advance()
        self.stream = self.begun()
        for delay in (2 * self.config.retry.initial, 4 * self.config.retry.initial):
            self.refused()
            self.advance(0.9 * delay)
            self.silent()
            self.advance(0.1 * delay)
            self.stream = self.begun()

    def test_the_next_one_is_soon_where_something_has_come_in_between(self) -> None:
        for _ in range(2):
            self.refused()
            self.advance(self.config.retry.maximum)
            self.stream = self.begun()
        self.push(batch(self.FIRST))
        self.acknowledged(self.FIRST + 1)
        self.refused()
        self.advance()
        self.begun()


class BrokenLogs(ScriptedCase):
    SETTINGS = {"max_bytes": 1000, "check_crc": False}

    def test_a_damaged_record_is_told_even_where_checksums_are_not_looked_at(self) -> None:
        data = bytearray(batch(0, 3))
        data[61] = 0x7F
        self.push(bytes(data))
        self.failureResultOf(self.next(), ProtocolError)
