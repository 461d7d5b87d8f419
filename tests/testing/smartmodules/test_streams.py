"""What a stream pushes of what its SmartModules make, and what they never let it push."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import pytest
from twisted.logger import capturedLogs

from tests.testing.smartmodules.fixtures import NAMED
from tests.testing.smartmodules.kit import TIME, Kit, Pair, deltas, only, text_of, values
from tests.testing.smartmodules.wat import named
from tests.testing.spu_kit import COMMITTED, ORDERS
from txfluvio.testing.smartmodules import (
    SmartModuleRecord,
    Trap,
    array_map,
    filter,
    filter_map,
    map,
)
from txfluvio.wire.codes import NO_ERROR, Code, ModuleKind, error
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Batch, RecordSet, encode_batch
from txfluvio.wire.sc import TopicStorage
from txfluvio.wire.spu import (
    AggregateContext,
    AggregateKind,
    FilterKind,
    GenericKind,
    MapKind,
)

ONLY_A = named("filter-on-a")
UPPER = named("map1")
HALVES = named("fm1")
SUM = named("agg1")

NO_RECORDS = bytes.fromhex(
    "ffffffffffffffff 00000031 ffffffff 02 2ce64e55 0000 ffffffff"
    "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffff ffffffff 00000000"
)
"""What a real SPU pushed with an error on the first record."""


@filter
def broken(record: SmartModuleRecord) -> bool:
    if record.value == b"break":
        raise Trap("it broke")
    return True


# What comes out


def test_all_batches_become_one_whose_deltas_have_the_wrong_sign() -> None:
    kit = Kit(NAMED)
    kit.put([b"x", b"x"], [b"a", b"x", b"a"], [b"x", b"a"], [b"x"], [b"x"], [b"a"])
    push = kit.stream(ONLY_A).push()
    batch = only(push)
    assert (batch.base_offset, batch.last_offset_delta, push.next_filter_offset) == (2, 7, 10)
    assert (batch.first_timestamp, batch.max_timestamp) == (-1, -1)
    assert deltas(push) == [0, 2, -2, -7]


def test_the_stream_goes_on_from_the_acknowledgement() -> None:
    kit = Kit(NAMED)
    kit.put([b"a1"])
    stream = kit.stream(ONLY_A)
    assert values(stream.push()) == [b"a1"]
    kit.put([b"b2"], [b"a3"])
    assert stream.pushes() == []
    stream.ack(1)
    push = stream.push()
    assert values(push) == [b"a3"]
    assert (only(push).base_offset, push.next_filter_offset, push.high_watermark) == (2, 3, 3)


def test_where_nothing_passes_nothing_is_pushed_and_nothing_is_waited_for() -> None:
    kit = Kit(NAMED)
    kit.put([b"b"])
    stream = kit.stream(ONLY_A)
    kit.put([b"c"])
    assert stream.pushes() == []
    kit.put([b"a"])
    assert values(stream.push()) == [b"a"]


def test_the_whole_batch_goes_through_also_what_is_before_the_start() -> None:
    kit = Kit(NAMED)
    kit.put([b"1", b"2", b"3"])
    assert values(kit.stream(SUM, start=2).push()) == [b"1", b"12", b"123"]


def test_an_acknowledgement_that_rewinds_leaves_what_modules_remember() -> None:
    kit = Kit(NAMED)
    kit.put([b"1"])
    stream = kit.stream(SUM)
    stream.ack(0)
    assert [values(one.partition) for one in stream.pushes()] == [[b"1"], [b"11"]]


def test_each_stream_has_modules_of_its_own() -> None:
    kit = Kit(NAMED)
    kit.put([b"1"])
    client = kit.client()
    assert values(kit.stream(SUM, client=client).push()) == [b"1"]
    assert values(kit.stream(SUM, client=client).push()) == [b"1"]


def test_only_what_is_committed_goes_through_the_modules_of_a_committed_stream() -> None:
    kit = Kit(NAMED)
    replica = kit.host(("pair", 0), followers=(5002,))
    kit.put([b"1"], [b"2"], topic="pair")
    replica.acknowledged(5002, 1)
    stream = kit.stream(SUM, key=("pair", 0), isolation=COMMITTED)
    assert values(stream.push()) == [b"1"]


def test_a_read_ends_with_the_segment() -> None:
    kit = Kit(NAMED)
    kit.host(("tiny", 0), storage=TopicStorage(segment_size=100))
    kit.put([b"1"], [b"2"], topic="tiny")
    assert kit.spu.replicas["tiny", 0].log.segments == 2
    stream = kit.stream(SUM, key=("tiny", 0))
    assert values(stream.push()) == [b"1"]
    stream.ack(1)
    assert values(stream.push()) == [b"12"]


@pytest.mark.parametrize("codec", list(Compression))
def test_what_comes_out_is_compressed_as_the_first_batch_was(codec: Compression) -> None:
    kit = Kit(NAMED)
    kit.put([b"b"])
    batch = encode_batch([b"apple", b"berry"], compression=codec, timestamp=TIME)
    kit.spu.replicas[ORDERS].append([Batch(batch, 0)], kit.clock.seconds())
    kit.put([b"a"])
    push = kit.stream(ONLY_A).push()
    assert only(push).compression is codec
    assert values(push) == [b"apple", b"a"]


def test_modules_are_gone_when_their_stream_has_ended() -> None:
    made: list[weakref.ref[object]] = []

    @filter
    class Remembers:
        def __init__(self) -> None:
            made.append(weakref.ref(self))

        def __call__(self, record: SmartModuleRecord) -> bool:
            return True

    kit = Kit({"remembers": Remembers})
    client = kit.client()
    kit.stream(named("remembers"), client=client).ack(-2)
    assert made[0]() is None
    kit.stream(named("remembers"), client=client)
    assert made[1]() is not None
    client.raw.leave()
    assert made[1]() is None


# What one push may hold


def test_a_push_may_be_as_large_as_the_limit_without_its_header() -> None:
    kit = Kit(NAMED)
    kit.put([b"a"], [b"a"])
    assert len(values(kit.stream(ONLY_A, max_bytes=2 * 12).push())) == 2
    assert len(values(kit.stream(ONLY_A, max_bytes=2 * 12 - 1).push())) == 1


def test_a_first_batch_above_the_limit_is_lost_without_a_word() -> None:
    kit = Kit(NAMED)
    kit.put([b"a too long"])
    stream = kit.stream(ONLY_A, max_bytes=12)
    assert stream.pushes() == []
    kit.put([b"a"])
    assert values(stream.push()) == [b"a"]


def test_a_batch_that_did_not_fit_goes_through_twice() -> None:
    kit = Kit(NAMED)
    kit.put([b"a"], [b"b"], [b"c"])
    stream = kit.stream(SUM, max_bytes=14)
    assert values(stream.push()) == [b"a"]
    stream.ack(1)
    assert values(stream.push()) == [b"abb"]


def test_a_negative_limit_is_none() -> None:
    kit = Kit(NAMED)
    kit.put([b"a" * 1000])
    assert len(values(kit.stream(ONLY_A, max_bytes=-1).push())) == 1


# The kinds


def test_what_the_invocation_says_of_the_kind_does_not_count() -> None:
    kit = Kit(NAMED)
    kit.put([b"apple", b"berry"])
    for kind in (MapKind(), FilterKind(), AggregateKind(accumulator=b"x")):
        push = kit.stream(named("filter-on-a", kind)).push()
        assert values(push) == [b"apple"]


def test_a_filter_leaves_records_as_they_are() -> None:
    kit = Kit(NAMED)
    records: list[Pair] = [(b"k", b"a1"), (b"", b"a2"), (None, b"b")]
    kit.put(records)
    first, second = only(kit.stream(ONLY_A).push()).raw_records()
    assert (first.key, first.value, first.offset_delta) == (b"k", b"a1", 0)
    assert (second.key, second.value, second.offset_delta) == (b"", b"a2", 1)


def test_a_map_says_key_and_value() -> None:
    @map
    def swap(record: SmartModuleRecord) -> Pair:
        return record.value, record.key or b""

    kit = Kit({"swap": swap})
    kit.put([b"x", (b"k", b"y")])
    first, second = only(kit.stream(named("swap")).push()).raw_records()
    assert (first.key, first.value, first.offset_delta) == (b"x", b"", 0)
    assert (second.key, second.value, second.offset_delta) == (b"y", b"k", 1)


def test_a_filter_map_drops_what_it_makes_nothing_of() -> None:
    @filter_map
    def longer(record: SmartModuleRecord) -> Pair | None:
        return None if record.value == b"" else (None, record.value * 2)

    kit = Kit({"longer": longer})
    kit.put([b"", b"x"])
    (record,) = only(kit.stream(named("longer")).push()).raw_records()
    assert (record.value, record.offset_delta) == (b"xx", 1)


def test_an_array_map_makes_new_records_without_a_place_and_a_time() -> None:
    @array_map
    def twice(record: SmartModuleRecord) -> list[Pair]:
        return [(None, record.value), (b"again", record.value)]

    kit = Kit({"twice": twice})
    kit.put([b"x", b"y"])
    records = only(kit.stream(named("twice")).push()).raw_records()
    assert [(one.key, one.value, one.offset_delta, one.timestamp_delta) for one in records] == [
        (None, b"x", 0, 0),
        (b"again", b"x", 0, 0),
        (None, b"y", 0, 0),
        (b"again", b"y", 0, 0),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        AggregateKind(accumulator=b"0"),
        GenericKind(context=AggregateContext(accumulator=b"0")),
    ],
)
def test_an_aggregate_starts_from_what_the_invocation_says(
    kind: AggregateKind | GenericKind,
) -> None:
    kit = Kit(NAMED)
    kit.put([(b"k", b"1")], [b"2"])
    first, second = only(kit.stream(named("agg1", kind)).push()).raw_records()
    assert (first.key, first.value) == (b"k", b"01")
    assert (second.key, second.value) == (None, b"012")


def test_a_module_sees_where_and_when_a_record_was() -> None:
    seen: list[SmartModuleRecord] = []

    @filter
    def look(record: SmartModuleRecord) -> bool:
        seen.append(record)
        return False

    kit = Kit({"look": look})
    kit.put([b"0"], [(b"k", b"1"), b"2"])
    kit.stream(named("look"), start=1)
    assert seen == [
        SmartModuleRecord(b"k", b"1", offset=1, timestamp=TIME, offset_delta=0, timestamp_delta=0),
        SmartModuleRecord(None, b"2", offset=2, timestamp=TIME, offset_delta=1, timestamp_delta=0),
    ]


def test_parameters_reach_a_class_before_the_first_record() -> None:
    @filter
    class Longer:
        def init(self, params: Mapping[str, str]) -> None:
            self.least = int(params["least"])

        def __call__(self, record: SmartModuleRecord) -> bool:
            return len(record.value) >= self.least

    kit = Kit({"longer": Longer})
    kit.put([b"1", b"22", b"333"])
    assert values(kit.stream(named("longer", least="2")).push()) == [b"22", b"333"]


# Chains


def test_each_module_of_a_chain_gets_what_the_one_before_it_let_through() -> None:
    kit = Kit(NAMED)
    kit.put([b"apple", b"berry"], [b"banana"])
    push = kit.stream(ONLY_A, UPPER, SUM).push()
    assert values(push) == [b"APPLE", b"APPLEBANANA"]


def test_what_a_module_made_before_it_failed_is_not_seen_by_the_next() -> None:
    kit = Kit(NAMED)
    kit.put([b"2", b"oops"])
    push = kit.stream(HALVES, named("map1"), HALVES).push()
    assert values(push) == [b"1"]
    assert push.error_code.code == Code.SMART_MODULE_RUNTIME_ERROR


# Errors


def test_an_error_comes_with_the_records_before_it_and_ends_its_batch() -> None:
    kit = Kit(NAMED)
    kit.put([b"2"], [b"4", (b"k", b"oops"), b"6"], [b"8"])
    stream = kit.stream(HALVES)
    push = stream.push()
    assert values(push) == [b"1", b"2"]
    assert push.error_code == error(
        Code.SMART_MODULE_RUNTIME_ERROR,
        hint="invalid digit found in string",
        offset=2,
        kind=ModuleKind.FILTER_MAP,
        record_key=b"k",
        record_value=b"oops",
    )
    assert push.next_filter_offset == 4
    stream.ack(4)
    assert values(stream.push()) == [b"4"]


def test_an_error_on_the_first_record_comes_with_a_batch_of_none() -> None:
    kit = Kit(NAMED)
    kit.put([b"oops", b"2"], [b"4"])
    push = kit.stream(HALVES).push()
    assert push.error_code.code == Code.SMART_MODULE_RUNTIME_ERROR
    assert push.next_filter_offset == 3
    assert push.records == RecordSet(NO_RECORDS)


def test_an_aggregate_keeps_what_it_had_before_the_record_it_failed_on() -> None:
    kit = Kit(NAMED)
    kit.put([b"1", b"\xff", b"2"], [b"3"])
    stream = kit.stream(SUM)
    push = stream.push()
    assert values(push) == [b"1"]
    stream.ack(push.next_filter_offset)
    assert values(stream.push()) == [b"13"]


def test_a_module_that_breaks_down_ends_the_stream_and_takes_the_push_with_it() -> None:
    kit = Kit({"broken": broken})
    kit.put([b"fine"], [b"break"])
    client = kit.client()
    stream = kit.stream(named("broken"), client=client)
    push = stream.push()
    assert (push.error_code, len(push.records)) == (
        error(Code.OTHER, text="SmartModule err it broke"),
        0,
    )
    kit.put([b"fine"])
    stream.ack(0)
    assert stream.pushes() == []


def test_other_streams_of_the_connection_go_on_where_a_module_broke_down() -> None:
    kit = Kit({**NAMED, "broken": broken})
    client = kit.client()
    fine = kit.stream(UPPER, client=client)
    kit.stream(named("broken"), client=client)
    kit.put([b"break"])
    assert values(fine.push()) == [b"BREAK"]
    fine.ack(1)
    kit.put([b"more"])
    assert values(fine.push()) == [b"MORE"]
    assert not client.closed


@pytest.mark.parametrize(
    ("blob", "why"),
    [(b"no gzip at all", "invalid gzip header"), (b"\x1f\x8b\x08", "unexpected end of file")],
)
def test_a_batch_that_can_not_be_decompressed_ends_the_stream(blob: bytes, why: str) -> None:
    kit = Kit(NAMED)
    batch = Batch(encode_batch([b"a"]), 0)
    batch.attributes = Compression.GZIP
    damaged = Batch(batch.pack(blob), 0)
    kit.spu.replicas[ORDERS].append([damaged], kit.clock.seconds())
    assert text_of(kit.stream(ONLY_A).push()) == f"SmartModule err uncompress error {why}"


def test_records_that_can_not_be_read_break_the_module_down() -> None:
    kit = Kit(NAMED)
    batch = Batch(encode_batch([b"a"]), 0)
    damaged = Batch(batch.pack(b"\0\0\0\2" + b"\xff"), 0)
    kit.spu.replicas[ORDERS].append([damaged], kit.clock.seconds())
    text = text_of(kit.stream(ONLY_A).push())
    assert text == "SmartModule err failed to decode SmartModule base input"
    text = text_of(kit.stream(SUM).push())
    assert text == "SmartModule err failed to decode SmartModule record input"


def test_a_deleted_topic_ends_a_stream_with_modules_too() -> None:
    kit = Kit(NAMED)
    stream = kit.stream(ONLY_A)
    kit.spu.drop(ORDERS)
    assert stream.push().error_code.code == Code.TOPIC_DELETED


def test_the_number_of_offsets_wraps_around_as_32_bits_do() -> None:
    kit = Kit(NAMED)
    one = encode_batch([b"a"])
    many = one[:23] + (2**31 - 1).to_bytes(4, "big") + one[27:]
    kit.client().produce(many, many)
    assert only(kit.stream(ONLY_A).push()).last_offset_delta == -1


def test_a_stream_that_breaks_down_ends_its_own_connection_and_no_producer_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*args: object) -> None:
        raise RuntimeError("broken down")

    kit = Kit(NAMED)
    kit.put([b"a"])
    consumer, other, producer = kit.client(), kit.client(), kit.client()
    stream, plain = kit.stream(ONLY_A, client=consumer), other.stream(1)
    stream.ack(1)
    monkeypatch.setattr("txfluvio.testing.spu.stream.merge", breaks)
    with capturedLogs() as logs:
        assert producer.produce(encode_batch([b"a"])).error_code == NO_ERROR
    assert [log["log_failure"].type for log in logs] == [RuntimeError]
    assert (consumer.closed, other.closed, producer.closed) == (True, False, False)
    assert plain.bases() == [[1]]
    assert producer.produce(encode_batch([b"a"])).error_code == NO_ERROR


def test_a_push_looks_at_no_more_batches_than_its_limit_lets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit = Kit(NAMED)
    kit.put(*[[b"a"]] * 50)
    looks, init = 0, Batch.__init__

    def counted(self: Batch, data: bytes, start: int) -> None:
        nonlocal looks
        looks += 1
        init(self, data, start)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "__init__", counted)
        stream = kit.stream(ONLY_A, max_bytes=2 * 12)
        assert looks < 10
    assert len(values(stream.push())) == 2
