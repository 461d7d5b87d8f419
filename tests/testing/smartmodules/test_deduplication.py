"""Topics with deduplication: what is dropped before it is appended, and by whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.smartmodules import wat
from tests.testing.smartmodules.fixtures import NAMED
from tests.testing.smartmodules.kit import TIME, Kit
from tests.testing.spu_kit import spec
from txfluvio.testing.smartmodules import (
    Limits,
    Registrable,
    SmartModuleRecord,
    Trap,
    deduplicate,
    filter,
)
from txfluvio.testing.smartmodules.chain import OutOfMemory
from txfluvio.testing.spu.replica import Key
from txfluvio.wire.codes import Code, error
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.sc import Deduplication, TopicCompression
from txfluvio.wire.spu import (
    Duration,
    FetchOffsetPartition,
    FetchOffsetsRequest,
    FetchOffsetTopic,
    PartitionProduceResponse,
)

DEDUP: Key = ("dedup", 0)


def kit(module: Registrable = deduplicate, **settings: Any) -> Kit:
    made = Kit({**NAMED, "once": module})
    host(made, **settings)
    return made


def host(made: Kit, **settings: Any) -> None:
    given = {"count": 6, "uses": "once", **settings}
    made.spu.host(DEDUP, spec(deduplication=Deduplication(**given)))
    made.spu.lead(DEDUP)


def sent(made: Kit, *values: bytes) -> PartitionProduceResponse:
    """What becomes of one batch of these values."""
    batch = encode_batch(list(values), timestamp=TIME)
    return made.client().produce(batch, key=DEDUP)


def stored(made: Kit) -> list[bytes]:
    return [
        record.value
        for one in made.spu.replicas[DEDUP].log
        for record in Batch(one.data, 0).raw_records()
    ]


def test_a_value_among_the_last_ones_is_dropped() -> None:
    made = kit()
    sent(made, b"1", b"2", b"3", b"1")
    sent(made, b"1", b"2", b"4", b"5", b"6")
    sent(made, b"7", b"1", b"2")
    assert stored(made) == [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"1", b"2"]


def test_what_is_stored_has_no_times_and_gaps_for_what_is_not() -> None:
    made = kit()
    sent(made, b"1", b"1", b"2", b"2")
    (one,) = made.spu.replicas[DEDUP].log
    batch = Batch(one.data, 0)
    assert (batch.first_timestamp, batch.last_offset_delta) == (-1, 3)
    assert [record.offset_delta for record in batch.raw_records()] == [0, 2]


def test_where_all_is_dropped_the_answer_is_the_high_watermark() -> None:
    made = kit()
    sent(made, b"1", b"2")
    answer = sent(made, b"1", b"2")
    assert (answer.error_code.code, answer.base_offset) == (Code.NONE, 2)
    assert stored(made) == [b"1", b"2"]


def test_a_batch_that_says_it_begins_at_minus_1_is_lost_and_nothing_else_comes_of_it() -> None:
    made = kit()
    sent(made, b"1")
    batch = Batch(encode_batch([b"2"]), 0)
    batch.base_offset = -1
    answer = made.client().produce(batch.pack(batch.blob()), key=DEDUP)
    assert (answer.error_code.code, answer.base_offset) == (Code.NONE, 1)
    assert sent(made, b"3").base_offset == 1
    assert stored(made) == [b"1", b"3"]


def test_all_producers_share_it() -> None:
    made = kit()
    sent(made, b"1")
    sent(made, b"1")
    assert stored(made) == [b"1"]


def test_each_partition_has_its_own() -> None:
    made = kit()
    made.host(("dedup", 1), deduplication=Deduplication(count=6, uses="once"))
    sent(made, b"1")
    answer = made.client().produce(encode_batch([b"1"]), key=("dedup", 1))
    assert answer.error_code.code == Code.NONE
    assert made.spu.replicas["dedup", 1].log.leo == 1


def test_a_new_leader_looks_back_first() -> None:
    made = kit()
    sent(made, b"1", b"2")
    made.spu.stop()
    made.spu.lead(DEDUP)
    sent(made, b"2", b"3")
    assert stored(made) == [b"1", b"2", b"3"]


def test_it_is_told_the_bounds_and_what_the_topic_says() -> None:
    told = []

    @filter
    class Listens:
        def init(self, params: dict[str, str]) -> None:
            told.append(dict(params))

        def __call__(self, record: SmartModuleRecord) -> bool:
            return True

    age = Duration(seconds=2, nanoseconds=500_000_000)
    kit(Listens, age=age, with_params={"x": "y", "count": "9"})
    assert told == [{"count": "9", "age": "2500", "x": "y"}]


def test_the_compression_that_counts_is_the_producers() -> None:
    made = Kit({"once": deduplicate})
    made.host(
        DEDUP,
        compression_type=TopicCompression.GZIP,
        deduplication=Deduplication(count=6, uses="once"),
    )
    assert sent(made, b"1").error_code.code == Code.COMPRESSION_ERROR


@filter
def moody(record: SmartModuleRecord) -> bool:
    if record.value == b"fail":
        raise ValueError("it failed")
    if record.value == b"trap":
        raise Trap("it broke")
    if record.value == b"grow":
        raise OutOfMemory(2000, 1000)
    return True


@pytest.mark.parametrize("value", [b"fail", b"trap"])
def test_a_failure_is_a_storage_error_after_which_the_partition_goes_on(value: bytes) -> None:
    made = kit(moody)
    assert sent(made, b"1", value).error_code.code == Code.STORAGE_ERROR
    assert sent(made, b"2").error_code.code == Code.NONE
    assert stored(made) == [b"2"]


def test_too_much_memory_has_a_code_of_its_own() -> None:
    code = error(Code.SMART_MODULE_MEMORY_LIMIT_EXCEEDED, requested=2000, max=1000)
    assert sent(kit(moody), b"grow").error_code == code


def test_a_module_that_wanted_too_much_memory_serves_what_it_has_room_for() -> None:
    pytest.importorskip("wasmtime")
    grows = wat.module(
        "filter",
        """(if (i32.eq (i32.load8_u (global.get $val)) (i32.const 33))
             (then (drop (memory.grow (i32.const 40)))))
           (call $emit (global.get $val) (global.get $val_len))
           (i32.const 0)""",
    )
    made = Kit({"once": grows}, limits=Limits(memory=2 * 1024 * 1024))
    host(made)
    codes = [sent(made, value).error_code.code for value in (b"1", b"!", b"2", b"!", b"3")]
    refused = Code.SMART_MODULE_MEMORY_LIMIT_EXCEEDED
    assert codes == [Code.NONE, refused, Code.NONE, refused, Code.NONE]
    assert stored(made) == [b"1", b"2", b"3"]


def test_a_partition_whose_deduplication_can_not_start_is_not_led() -> None:
    made = kit(uses="nobody")
    assert sent(made, b"1").error_code.code == Code.NOT_LEADER_FOR_PARTITION
    topic = FetchOffsetTopic(name="dedup", partitions=(FetchOffsetPartition(partition_index=0),))
    (found,) = made.client().ask(FetchOffsetsRequest(topics=(topic,))).topics
    assert found.partitions[0].error_code.code == Code.PARTITION_NOT_LEADER


def test_a_module_of_which_no_instance_can_be_made_does_not_start() -> None:
    @filter
    class Unmakeable:
        def __init__(self) -> None:
            raise ValueError("not like this")

        def __call__(self, record: SmartModuleRecord) -> bool:
            return True

    assert sent(kit(Unmakeable), b"1").error_code.code == Code.NOT_LEADER_FOR_PARTITION


def test_a_leader_whose_deduplication_can_not_start_again_leads_no_more() -> None:
    made = kit()
    sent(made, b"1")
    made.stored.clear()
    made.spu.follow(DEDUP)
    made.spu.lead(DEDUP)
    assert sent(made, b"2").error_code.code == Code.NOT_LEADER_FOR_PARTITION


def test_wasm_that_broke_down_is_asked_again() -> None:
    pytest.importorskip("wasmtime")
    made = Kit(
        {
            "once": wat.module(
                "filter",
                """(if (i32.eq (i32.load8_u (global.get $val)) (i32.const 33)) (then unreachable))
                   (call $emit (global.get $val) (global.get $val_len))
                   (i32.const 0)""",
            )
        }
    )
    host(made)
    assert sent(made, b"1", b"!").error_code.code == Code.STORAGE_ERROR
    assert sent(made, b"2").error_code.code == Code.NONE
    assert stored(made) == [b"2"]
