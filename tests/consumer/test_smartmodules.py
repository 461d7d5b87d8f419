"""Reading through SmartModules: what a push of theirs moves, and what the failure of one leaves."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.golden import recordings
from txfluvio.config import OffsetStrategy
from txfluvio.consumer import Consumer
from txfluvio.consumer.backlog import Backlog
from txfluvio.errors import (
    LogTruncated,
    ProtocolError,
    SmartModuleCrashed,
    SmartModuleInitError,
    SmartModuleInvalid,
    SmartModuleNotFound,
    SmartModuleRuntimeError,
)
from txfluvio.offset import Offset
from txfluvio.smartmodule import SmartModuleInvocation
from txfluvio.testing.smartmodules import SmartModuleRecord, aggregate, array_map, filter, map
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode, ModuleKind, error
from txfluvio.wire.recordings import Recording
from txfluvio.wire.records import RecordSet, encode_batch
from txfluvio.wire.spu import (
    FetchOffsetsRequest,
    FetchRequest,
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateConsumerOffsetRequest,
)

from ..cluster.kit import Asked
from .kit import ConsumerCase
from .test_scripted import ScriptedCase, batch

BEGINNING, END = Offset.beginning(), Offset.end()
QUIET = 5.0


def failure(offset: int) -> ErrorCode:
    return error(
        Code.SMART_MODULE_RUNTIME_ERROR,
        hint="no number",
        offset=offset,
        kind=ModuleKind.FILTER_MAP,
        record_key=b"k",
        record_value=b"x",
    )


def nothing_passed() -> bytes:
    """The batch that an SPU makes where nothing has passed before a module failed."""
    (odd,) = RecordSet(batch(0)).batches()
    odd.base_offset = odd.last_offset_delta = -1
    return odd.encode([])


class Scripted(ScriptedCase):
    """A stream of ``orders/0`` with SmartModules, on an SPU that does what the test says."""

    CHAIN = [SmartModuleInvocation("upper"), SmartModuleInvocation("halve", params={"a": "b"})]
    SETTINGS = {"smartmodules": CHAIN}

    def push_up_to(self, end: int, *batches: bytes, code: ErrorCode = NO_ERROR) -> None:
        """Push what has passed of everything below ``end``."""
        response = PartitionResponse(
            partition_index=0,
            error_code=code,
            high_watermark=self.HIGH_WATERMARK,
            next_filter_offset=end,
            records=RecordSet.of(*batches) if batches else RecordSet.EMPTY,
        )
        self.stream.connection.push(
            StreamFetchResponse(topic="orders", stream_id=1, partition=response),
            self.stream._incoming,
        )
        self.advance()

    def values(self, count: int) -> list[bytes]:
        return [self.successResultOf(self.next()).value for _ in range(count)]


class Pushes(Scripted):
    def test_the_chain_is_asked_for_with_the_stream(self) -> None:
        message = self.stream.message
        assert isinstance(message, StreamFetchRequest)
        self.assertEqual([one.name for one in message.smartmodules], ["upper", "halve"])
        self.assertEqual(message.smartmodules[1].params.params, {"a": "b"})

    def test_it_is_asked_for_again_where_the_connection_was_lost(self) -> None:
        self.stream.connection.close()
        self.advance()
        self.advance(1.0)
        self.tell_ends()
        self.stream = self.opened()
        assert isinstance(self.stream.message, StreamFetchRequest)
        self.assertEqual(len(self.stream.message.smartmodules), 2)

    def test_what_may_come_out_is_as_much_as_any_batch(self) -> None:
        assert isinstance(self.stream.message, StreamFetchRequest)
        self.assertEqual(self.stream.message.max_bytes, 32 * 2**20)

    def test_the_position_is_where_the_spu_has_come(self) -> None:
        self.push_up_to(20, batch(7, 3))
        self.assertEqual(self.values(3), [b"7", b"8", b"9"])
        self.assertEqual(self.consumer.position(0), 20)

    def test_no_record_has_an_offset_rather_than_a_wrong_one(self) -> None:
        self.push_up_to(20, batch(7, 3))
        self.assertEqual(self.offsets(3), [None] * 3)

    def test_the_place_where_the_spu_has_come_is_acknowledged(self) -> None:
        self.push_up_to(20, batch(7, 3))
        self.assertEqual(self.values(3), [b"7", b"8", b"9"])
        self.acknowledged(20)

    def test_a_reader_is_asked_for_before_more(self) -> None:
        """A push may be large: the next one is asked for when the last was taken."""
        self.push_up_to(20, batch(7, 3))
        self.silent()
        self.values(1)
        self.acknowledged(20)

    def test_the_position_stays_until_all_of_a_push_was_handed_out(self) -> None:
        self.push_up_to(20, batch(7, 3))
        for position in (0, 0, 20):
            self.values(1)
            self.assertEqual(self.consumer.position(0), position)

    def test_a_push_with_nothing_that_passes_moves_the_position(self) -> None:
        self.push_up_to(20)
        self.acknowledged(20)
        self.push_up_to(30, batch(25))
        self.assertEqual(self.values(1), [b"25"])
        self.assertEqual(self.consumer.position(0), 30)

    def test_a_push_that_leads_back_is_the_peers_mistake(self) -> None:
        self.push_up_to(20, batch(7))
        self.values(1)
        self.acknowledged(20)
        self.push_up_to(19, batch(7))
        self.failureResultOf(self.next(), ProtocolError)

    def test_a_push_that_ends_inside_a_batch_would_lose_records_and_is_a_mistake(self) -> None:
        self.push_up_to(20, batch(7, 3), batch(10)[:-1])
        self.failureResultOf(self.next(), ProtocolError)


class Failures(Scripted):
    def failed(self) -> SmartModuleRuntimeError:
        found = self.failureResultOf(self.next(), SmartModuleRuntimeError).value
        assert isinstance(found, SmartModuleRuntimeError)
        return found

    def test_records_before_the_one_that_failed_come_first(self) -> None:
        self.push_up_to(20, batch(7, 3), code=failure(12))
        self.assertEqual(self.values(3), [b"7", b"8", b"9"])
        self.failed()

    def test_it_says_which_record_why_and_in_which_modules(self) -> None:
        self.push_up_to(20, batch(7), code=failure(12))
        self.values(1)
        found = self.failed()
        self.assertEqual((found.hint, found.offset), ("no number", 12))
        self.assertEqual((found.record_key, found.record_value), (b"k", b"x"))
        self.assertEqual(found.module, "upper, halve")
        self.assertIn("orders/0 through upper, halve", str(found))

    def test_it_is_raised_again_and_nothing_more_is_asked_for(self) -> None:
        self.push_up_to(20, batch(7), code=failure(12))
        self.values(1)
        for _ in range(2):
            self.failed()
        self.silent()

    def test_the_position_stays_since_records_of_its_batch_were_left_out(self) -> None:
        self.push_up_to(20, batch(7, 3), code=failure(12))
        self.values(3)
        self.failed()
        self.assertEqual(self.consumer.position(0), 0)

    def test_reading_goes_on_behind_the_batch_that_failed(self) -> None:
        self.push_up_to(20, batch(7), code=failure(12))
        self.values(1)
        found = self.failed()
        assert found.next_offset is not None
        self.consumer.seek(0, found.next_offset)
        self.advance()
        self.tell_ends()
        self.stream = self.opened(at=20)
        self.push_up_to(30, batch(25))
        self.assertEqual(self.values(1), [b"25"])

    def find_the_batch(self) -> Asked:
        """The header of the batch is asked for in which a module has failed."""
        asked, message = self.asked(FetchRequest)
        self.assertEqual(message.topics[0].fetch_partitions[0].fetch_offset, 12)
        self.assertLess(message.max_bytes, 100)
        return asked

    def test_where_nothing_passed_before_it_the_next_batch_is_looked_for(self) -> None:
        """The SPU has skipped everything up to the end."""
        self.push_up_to(100, nothing_passed(), code=failure(12))
        self.brought(self.find_the_batch(), batch(11, 9)[:61])
        self.assertEqual(self.failed().next_offset, 20)
        self.assertEqual(self.consumer.position(0), 0)

    def test_a_failure_comes_also_where_the_next_batch_can_not_be_found(self) -> None:
        for data, code in (
            (b"", NO_ERROR),
            (b"", error(Code.OFFSET_EVICTED, offset=12, next_available=40)),
        ):
            self.push_up_to(100, nothing_passed(), code=failure(12))
            self.brought(self.find_the_batch(), data, code)
            self.assertIsNone(self.failed().next_offset)
            self.consumer.seek(0, 0)
            self.advance()
            self.tell_ends()
            self.stream = self.opened()

    def test_who_seeks_meanwhile_is_not_told_of_it(self) -> None:
        self.push_up_to(100, nothing_passed(), code=failure(12))
        asked = self.find_the_batch()
        self.consumer.seek(0, 50)
        self.advance()
        self.tell_ends()
        self.stream = self.opened(at=50)
        self.brought(asked, batch(11, 9)[:61])
        self.nothing_left()

    def test_modules_that_are_not_there_or_no_modules_are_named(self) -> None:
        for code, kind in (
            (error(Code.SMART_MODULE_NOT_FOUND, name="upper"), SmartModuleNotFound),
            (
                error(Code.SMART_MODULE_INVALID, error="invalid gzip header", name=None),
                SmartModuleInvalid,
            ),
            (error(Code.SMART_MODULE_CHAIN_INIT_ERROR, text="expected `(`"), SmartModuleInitError),
            (error(Code.OTHER, text="SmartModule err can't read i32"), SmartModuleCrashed),
        ):
            with self.subTest(kind=kind.__name__):
                self.push(code=code)
                found = self.failureResultOf(self.next(), kind).value
                self.assertIn("through upper, halve", str(found))
                self.consumer.seek(0, 0)
                self.advance()
                self.tell_ends()
                self.stream = self.opened()


class Uncommitted(Scripted):
    HIGH_WATERMARK = 10

    def test_a_breakdown_above_the_high_watermark_is_no_cut_of_the_log(self) -> None:
        self.push_up_to(20, batch(7))
        self.values(1)
        self.acknowledged(20)
        self.push(code=error(Code.OTHER, text="SmartModule err boom"))
        self.failureResultOf(self.next(), SmartModuleCrashed)

    def test_a_cut_of_the_log_is_still_told(self) -> None:
        self.push_up_to(20, batch(7))
        self.values(1)
        self.acknowledged(20)
        self.push(code=error(Code.OTHER, text="start offset: 20 is greater than leo: 10"))
        self.failureResultOf(self.next(), LogTruncated)


class Silence(Scripted):
    """A stop, where what does not pass is not told."""

    SETTINGS = {"smartmodules": Scripted.CHAIN, "quiet_time": QUIET}
    STOP = Offset.absolute(100)

    def setUp(self) -> None:
        super().setUp()
        self.end = self.consumer.next()

    def tearDown(self) -> None:
        self.end.addErrback(lambda failure: failure.trap(StopAsyncIteration) and None)
        super().tearDown()

    def ended(self) -> None:
        self.advance()
        self.failureResultOf(self.end, StopAsyncIteration)

    def test_where_nothing_passes_a_quiet_time_is_the_end(self) -> None:
        self.advance(QUIET)
        self.assertNoResult(self.end)
        self.tell_ends()
        self.ended()
        self.assertEqual(self.consumer.position(0), 100)

    def test_within_that_time_it_is_not(self) -> None:
        self.advance(QUIET - 0.5)
        self.silent()
        self.assertNoResult(self.end)

    def test_a_log_that_does_not_reach_the_stop_is_waited_for(self) -> None:
        self.advance(QUIET)
        self.tell_ends(end=99)
        self.advance()
        self.assertNoResult(self.end)
        self.advance(QUIET)
        self.tell_ends(end=100)
        self.ended()

    def test_what_comes_meanwhile_is_handed_out(self) -> None:
        self.advance(QUIET)
        asked, _ = self.asked(FetchOffsetsRequest)
        self.push_up_to(90, batch(80))
        self.acknowledged(90)
        self.spu.asked.append(asked)
        self.tell_ends()
        self.assertEqual(self.successResultOf(self.end).value, b"80")
        self.assertEqual(self.consumer.position(0), 90)
        self.end = self.consumer.next()
        self.advance()
        self.assertNoResult(self.end)
        self.push_up_to(100, batch(95))
        self.advance()
        self.assertEqual(self.successResultOf(self.end).value, b"95")

    def test_behind_a_push_the_time_begins_anew(self) -> None:
        self.advance(QUIET - 0.5)
        self.push_up_to(90, batch(80))
        self.advance()
        self.assertEqual(self.successResultOf(self.end).value, b"80")
        self.acknowledged(90)
        self.end = self.consumer.next()
        self.advance(QUIET - 0.5)
        self.silent()
        self.advance(QUIET)
        self.tell_ends()
        self.ended()

    def test_a_reader_that_has_not_asked_for_more_hears_nothing_and_waits(self) -> None:
        self.consumer.pause(0)
        self.push_up_to(90, batch(80))
        self.advance(3 * QUIET)
        self.silent()
        self.assertNoResult(self.end)
        self.consumer.resume(0)
        self.advance()
        self.assertEqual(self.successResultOf(self.end).value, b"80")
        self.acknowledged(90)

    def test_a_push_that_reaches_the_stop_is_the_end_at_once(self) -> None:
        self.push_up_to(100, batch(80))
        self.advance()
        self.assertEqual(self.successResultOf(self.end).value, b"80")
        self.end = self.consumer.next()
        self.ended()

    def test_a_push_comes_as_a_whole_also_beyond_the_stop(self) -> None:
        self.push_up_to(130, batch(80), batch(110))
        self.advance()
        self.assertEqual(self.successResultOf(self.end).value, b"80")
        self.assertEqual(self.values(1), [b"110"])
        self.end = self.consumer.next()
        self.ended()


class Recorded(SynchronousTestCase):
    """What a real SPU has sent, and what the official command has made of it."""

    SCENARIOS = (
        "cli-consume-live-filter",
        "cli-sm-adhoc-filter",
        "cli-sm-aggregate-initial",
        "cli-sm-aggregate-named",
        "cli-sm-array-map-named",
        "cli-sm-chain",
        "cli-sm-chain-params",
        "cli-sm-filter-map-error",
        "cli-sm-filter-map-named",
        "cli-sm-filter-named",
        "cli-sm-lookback",
        "cli-sm-map-named",
        "cli-sm-param-default",
        "cli-sm-wrong-kind",
    )

    def told(self, scenario: str) -> tuple[list[PartitionResponse], list[str]]:
        """What was pushed, and the lines that the command printed."""
        lines = recordings()[f"real/{scenario}.jsonl"]
        recording, pushes = Recording(), []
        for line in lines:
            frame = recording.read(line)
            if frame is not None and frame.is_reply and frame.type is StreamFetchResponse:
                version = frame.header.api_version
                push = StreamFetchResponse.decode(frame.payload, version, frame.body)
                pushes.append(push.partition)
        return pushes, json.loads(lines[0])["output"].splitlines()

    def test_every_record_comes_out_and_the_position_is_where_the_spu_has_come(self) -> None:
        for scenario in self.SCENARIOS:
            with self.subTest(scenario=scenario):
                pushes, output = self.told(scenario)
                backlog = Backlog("numbers", 0, filtered=True)
                backlog.place(pushes[0].next_filter_offset - 1)
                values = []
                for push in pushes:
                    failed = bool(push.error_code)
                    before = backlog.received
                    backlog.add(push.records, push.next_filter_offset, failed=failed)
                    while (chunk := backlog.take()) is not None:
                        values += [record.value.decode() for record in chunk.records]
                        assert all(record.offset is None for record in chunk.records)
                    self.assertEqual(
                        backlog.position, before if failed else push.next_filter_offset
                    )
                self.assertEqual(values, output)


@filter
def has_a(record: SmartModuleRecord) -> bool:
    if record.value == b"boom":
        raise ValueError("no fruit")
    return b"a" in record.value


@map
def upper(record: SmartModuleRecord) -> tuple[bytes | None, bytes]:
    return record.key, record.value.upper()


@array_map
def letters(record: SmartModuleRecord) -> list[tuple[bytes | None, bytes]]:
    return [(None, bytes([letter])) for letter in record.value]


@aggregate
def joined(accumulator: bytes, record: SmartModuleRecord) -> bytes:
    return accumulator + record.value


class OnACluster(ConsumerCase):
    """A cluster that has modules; the log has single records, a batch each."""

    FRUIT = (b"apple", b"fig", b"banana", b"plum", b"pear", b"cherry")

    def setUp(self) -> None:
        super().setUp()
        for name, module in (
            ("has-a", has_a),
            ("upper", upper),
            ("letters", letters),
            ("joined", joined),
        ):
            self.broker.register_smartmodule(name, module)
        for fruit in self.FRUIT:
            self.add(fruit)

    def add(self, *values: bytes) -> None:
        self.append_batch(encode_batch(values))

    def through(self, *names: str, **kw: Any) -> Consumer:
        chain = [SmartModuleInvocation(name) for name in names]
        return self.started(**{"start": BEGINNING, "smartmodules": chain, **kw})

    def values(self, *names: str, **kw: Any) -> list[bytes]:
        return [r.value for r in self.read_all(self.through(*names, **{"stop": END, **kw}))]

    def test_a_filter_lets_pass_what_passes(self) -> None:
        self.assertEqual(self.values("has-a"), [b"apple", b"banana", b"pear"])

    def test_a_chain_runs_in_its_order(self) -> None:
        self.assertEqual(self.values("has-a", "upper"), [b"APPLE", b"BANANA", b"PEAR"])
        self.assertEqual(self.values("upper", "has-a"), [])

    def test_one_record_may_become_several(self) -> None:
        self.assertEqual(b"".join(self.values("letters")), b"".join(self.FRUIT))

    def test_a_filter_that_passes_nothing_ends_at_the_stop_after_the_quiet_time(self) -> None:
        before = self.clock.seconds()
        self.assertEqual(self.values("upper", "has-a", quiet_time=2.0), [])
        self.assertAlmostEqual(self.clock.seconds() - before, 2.0, delta=1.0)

    def test_a_live_reader_gets_what_passes_when_it_comes(self) -> None:
        consumer = self.through("has-a", start=END)
        self.add(b"kiwi", b"lime")
        self.nothing_comes(consumer)
        self.add(b"orange")
        self.assertEqual([r.value for r in self.read(consumer, 1)], [b"orange"])
        self.assertEqual(consumer.position(0), 9)

    def test_a_stream_of_which_nothing_passes_is_left_alone(self) -> None:
        # Opened anew, its modules would begin anew, over all that they have seen.
        watching = self.connected(idle_probe=5.0)
        consumer = self.through("has-a", start=END, cluster=watching)
        for _ in range(6):
            self.add(b"kiwi")
            self.nothing_comes(consumer, 10.0)
        self.assertEqual(len(self.asked(StreamFetchRequest)), 1)
        self.result(consumer.close())
        self.result(watching.stop())

    def test_an_aggregate_begins_with_what_it_is_given(self) -> None:
        chain = [SmartModuleInvocation("joined", accumulator=b"> ")]
        values = self.values(smartmodules=chain)
        self.assertEqual(values[:2], [b"> apple", b"> applefig"])

    def test_what_is_processed_is_stored_by_whole_pushes_and_reading_resumes_there(self) -> None:
        self.add(b"grape", b"date", b"melon")
        settings: dict[str, Any] = {"consumer_id": "c", "offsets": OffsetStrategy.AUTO}
        consumer = self.through("has-a", start=Offset.stored(), **settings)
        self.read(consumer, 2)
        self.result(consumer.commit())
        self.assertEqual(self.asked(UpdateConsumerOffsetRequest), [])
        self.read(consumer, 3)
        self.result(consumer.commit())
        self.assertEqual([r.offset for r in self.asked(UpdateConsumerOffsetRequest)], [8])
        self.result(consumer.close())
        self.add(b"guava")
        again = self.through("has-a", start=Offset.stored(), **settings)
        self.assertEqual([r.value for r in self.read(again, 1)], [b"guava"])

    def test_a_failure_comes_behind_the_records_before_it_and_can_be_passed(self) -> None:
        self.add(b"grape", b"boom", b"date")
        self.add(b"mango")
        consumer = self.through("has-a")
        self.assertEqual(
            [r.value for r in self.read(consumer, 4)], [b"apple", b"banana", b"pear", b"grape"]
        )
        found = self.failure(consumer.next(), SmartModuleRuntimeError)
        self.assertEqual((found.offset, found.hint, found.module), (7, "no fruit", "has-a"))
        self.assertEqual(found.next_offset, 9)
        consumer.seek(0, found.next_offset)
        self.assertEqual([r.value for r in self.read(consumer, 1)], [b"mango"])

    def test_a_batch_that_fails_at_its_beginning_can_be_passed(self) -> None:
        self.add(b"boom", b"date")
        self.add(b"mango")
        consumer = self.through("has-a", start=Offset.absolute(6))
        found = self.failure(consumer.next(), SmartModuleRuntimeError)
        self.assertEqual((found.offset, found.next_offset), (6, 8))
        consumer.seek(0, found.next_offset)
        self.assertEqual([r.value for r in self.read(consumer, 1)], [b"mango"])

    def test_what_was_before_a_failure_comes_again_to_who_resumes(self) -> None:
        self.add(b"boom")
        settings: dict[str, Any] = {"consumer_id": "c", "offsets": OffsetStrategy.AUTO}
        consumer = self.through("has-a", start=Offset.stored(), **settings)
        self.read(consumer, 3)
        self.failure(consumer.next(), SmartModuleRuntimeError)
        self.result(consumer.close())
        again = self.through("has-a", start=Offset.stored(), **settings)
        self.assertEqual([r.value for r in self.read(again, 1)], [b"apple"])

    def test_a_module_that_is_not_there_is_named(self) -> None:
        found = self.failure(self.through("nope").next(), SmartModuleNotFound)
        self.assertEqual(found.name, "nope")

    def test_what_is_no_module_is_named(self) -> None:
        chain = [SmartModuleInvocation("mine", wasm=b"this is no wasm")]
        consumer = self.started(start=BEGINNING, smartmodules=chain)
        self.failure(consumer.next(), SmartModuleInitError)

    def test_a_batch_as_large_as_a_producer_makes_them_is_not_left_out(self) -> None:
        large = b"a" * 100_000
        self.add(*[large] * 20)
        values = self.values("has-a", buffer_memory=2**20, max_bytes=None)
        self.assertEqual(values[3:], [large] * 20)

    def test_how_many_partitions_there_are_makes_no_push_smaller(self) -> None:
        self.add_partitions("orders", 40)
        consumer = self.through("has-a", buffer_memory=2**20)
        self.add_partitions("orders", 1)
        self.turn()
        sizes = {request.max_bytes for request in self.asked(StreamFetchRequest)}
        self.assertEqual(sizes, {32 * 2**20})
        self.assertEqual(len(consumer.partitions), 42)
