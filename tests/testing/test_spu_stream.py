"""Streams: what is pushed when, and what an acknowledgement does."""

from __future__ import annotations

import gc
import weakref

import pytest

from tests.testing.spu_kit import COMMITTED, ORDERS, PLENTY, Kit
from txfluvio.wire.codes import NO_ERROR, Code, error
from txfluvio.wire.records import encode_batch
from txfluvio.wire.sc import TopicStorage
from txfluvio.wire.spu import (
    OffsetUpdate,
    PartitionResponse,
    Predefined,
    SmartModuleInvocation,
    StreamFetchResponse,
    UpdateOffsetsRequest,
)

ONE = len(encode_batch([b"x"]))


def test_what_is_there_is_pushed_at_once() -> None:
    kit = Kit()
    kit.fill(2, 1)
    (push,) = kit.client().stream().pushes()
    assert (push.topic, push.stream_id) == ("orders", 1)
    assert [one.base_offset for one in push.partition.records.batches()] == [0, 2]
    assert push.partition.high_watermark == 3


def test_an_idle_partition_says_nothing() -> None:
    kit = Kit()
    kit.fill(2)
    assert kit.client().stream(2).bases() == []


def test_new_records_are_pushed_to_a_stream_that_is_idle() -> None:
    kit = Kit()
    stream = kit.client().stream()
    kit.fill(1)
    assert stream.bases() == [[0]]


def test_the_push_comes_before_the_answer_to_the_produce() -> None:
    kit = Kit()
    client = kit.client()
    stream = client.stream()
    client.produce(encode_batch([b"x"]))
    assert len(stream.pushes()) == 1
    assert [frame[3] for frame in client.raw.received()] == [1, 2]


def test_nothing_more_is_pushed_before_the_acknowledgement() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    kit.fill(1)
    assert stream.bases() == [[0]]
    stream.ack(1)
    assert stream.bases() == [[1]]


def test_an_acknowledgement_of_all_there_is_waits_for_more() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    stream.ack(1)
    assert stream.bases() == [[0]]
    kit.fill(1)
    assert stream.bases() == [[1]]


def test_a_lower_acknowledgement_rewinds_to_the_batch_that_holds_it() -> None:
    kit = Kit()
    kit.fill(3, 3)
    stream = kit.client().stream(3)
    assert stream.bases() == [[3]]
    stream.ack(1)
    assert stream.bases() == [[0, 3]]


def test_the_same_acknowledgement_acts_again() -> None:
    kit = Kit()
    kit.fill(1, 1)
    stream = kit.client().stream()
    stream.pushes()
    stream.ack(1)
    stream.ack(1)
    assert stream.bases() == [[1], [1]]


def test_0_rewinds_to_the_beginning() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    stream.ack(0)
    assert stream.bases() == [[0], [0]]


def test_an_acknowledgement_beyond_the_end_skips_ahead() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    stream.ack(3)
    stream.pushes()
    kit.fill(1, 1)
    assert stream.bases() == []
    kit.fill(1)
    assert stream.bases() == [[3]]


def test_minus_1_is_ignored() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    stream.ack(-1)
    kit.fill(1)
    assert stream.bases() == [[0]]


def test_minus_2_ends_the_stream_as_a_deleted_topic_does() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    stream.ack(-2)
    assert stream.bases() == [[0], [Code.TOPIC_DELETED]]


def test_any_other_negative_number_is_evicted() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream()
    stream.pushes()
    stream.ack(-3)
    evicted = error(Code.OFFSET_EVICTED, offset=-3, next_available=0)
    assert stream.push() == PartitionResponse(partition_index=0, error_code=evicted)


@pytest.mark.parametrize("limit", [1, 60, ONE, ONE + 5])
def test_a_push_is_cut_anywhere_and_the_same_offset_brings_the_same_piece(limit: int) -> None:
    kit = Kit()
    kit.fill(1, 1)
    stream = kit.client().stream(max_bytes=limit)
    assert len(stream.push().records) == limit
    stream.ack(0)
    assert len(stream.push().records) == limit


def test_with_a_limit_of_0_nothing_is_ever_pushed() -> None:
    kit = Kit()
    kit.fill(1)
    stream = kit.client().stream(max_bytes=0)
    kit.fill(1)
    stream.ack(0)
    assert stream.bases() == []


def test_a_push_ends_with_the_segment_and_the_next_goes_on() -> None:
    kit = Kit(host=False)
    kit.host(storage=TopicStorage(segment_size=2 * ONE))
    kit.fill(1, 1, 1)
    stream = kit.client().stream()
    assert stream.bases() == [[0, 1]]
    stream.ack(2)
    assert stream.bases() == [[2]]


def test_the_end_is_the_one_at_the_time_of_the_read() -> None:
    kit = Kit(host=False)
    kit.host(storage=TopicStorage(segment_size=2 * ONE))
    kit.fill(1, 1, 1)
    stream = kit.client().stream()
    stream.pushes()
    stream.ack(3)
    assert stream.bases() == []


def test_committed_streams_hear_of_what_is_committed_only() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    stream = kit.client().stream(isolation=COMMITTED)
    kit.fill(1, 1)
    assert stream.bases() == []
    replica.acknowledged(5002, 1)
    assert stream.bases() == [[0]]


def test_a_committed_stream_from_above_the_high_watermark_is_silent_and_complained_of() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    kit.fill(1, 1, 1)
    replica.acknowledged(5002, 1)
    stream = kit.client().stream(2, isolation=COMMITTED)
    assert stream.bases() == []
    assert kit.said("reads committed records from 2, above 1")
    replica.acknowledged(5002, 3)
    assert stream.bases() == [[2]]


def test_an_evicted_start_ends_the_stream_but_not_the_connection() -> None:
    kit = Kit()
    kit.fill(1, 1, 1)
    kit.spu.replicas[ORDERS].log.evict(2)
    client = kit.client()
    evicted = error(Code.OFFSET_EVICTED, offset=0, next_available=2)
    (push,) = client.stream(0).pushes()
    assert push.stream_id == 1
    assert push.partition == PartitionResponse(partition_index=0, error_code=evicted)
    assert client.stream(2).bases() == [[2]]


def test_a_start_beyond_the_end_ends_the_stream() -> None:
    text = "start offset: 1 is greater than leo: 0"
    push = Kit().client().stream(1).push()
    assert push.error_code == error(Code.OTHER, text=text)


def test_a_stream_that_retention_overtook_hears_of_it_with_its_acknowledgement() -> None:
    kit = Kit()
    kit.fill(1, 1, 1)
    stream = kit.client().stream(max_bytes=ONE)
    kit.spu.replicas[ORDERS].log.evict(2)
    assert stream.bases() == [[0]]
    stream.ack(1)
    evicted = error(Code.OFFSET_EVICTED, offset=1, next_available=2)
    assert stream.push().error_code == evicted


def test_an_ended_stream_is_still_known_and_stays_silent() -> None:
    kit = Kit()
    client = kit.client()
    stream = client.stream(1)
    stream.pushes()
    kit.fill(1)
    assert client.ack(0) == NO_ERROR
    assert stream.bases() == []


def test_a_partition_led_elsewhere_has_no_stream_and_uses_no_id() -> None:
    kit = Kit()
    client = kit.client()
    assert client.stream(key=("orders", 9)).pushes() == [
        StreamFetchResponse(
            topic="orders",
            stream_id=0,
            partition=PartitionResponse(
                partition_index=9, error_code=error(Code.NOT_LEADER_FOR_PARTITION)
            ),
        )
    ]
    kit.fill(1)
    assert client.stream().pushes()[0].stream_id == 1


def test_ids_count_on_each_connection_also_through_streams_that_fail() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    numbers = [client.stream(start).pushes()[0].stream_id for start in (0, 9, 0)]
    assert numbers == [1, 2, 3]
    assert kit.client().stream().pushes()[0].stream_id == 1


def test_streams_of_one_partition_each_get_every_record() -> None:
    kit = Kit()
    client = kit.client()
    first, second = client.stream(), client.stream()
    kit.fill(1)
    assert (first.bases(), second.bases()) == ([[0]], [[0]])
    kit.fill(1)
    second.ack(1, number=2)
    assert (first.bases(), second.bases()) == ([], [[1]])


def test_unknown_ids_are_told_from_known_ones_by_position() -> None:
    kit = Kit()
    client = kit.client()
    client.stream()
    updates = tuple(OffsetUpdate(offset=0, session_id=number) for number in (9, 1, 0))
    status = client.ask(UpdateOffsetsRequest(offsets=updates), version=0).status
    unknown = error(Code.FETCH_SESSION_NOT_FOUND)
    assert [(one.session_id, one.error) for one in status] == [
        (9, unknown),
        (1, NO_ERROR),
        (0, unknown),
    ]


@pytest.mark.parametrize(
    ("offsets", "pushed"),
    [((0, 1), [[1]]), ((1, 0), [[0]]), ((-2, 1), [[1]]), ((1, -2), [[Code.TOPIC_DELETED]])],
)
def test_of_acknowledgements_in_one_request_the_last_of_a_stream_counts(
    offsets: tuple[int, ...], pushed: list[list[int]]
) -> None:
    kit = Kit()
    kit.fill(1, 1)
    client = kit.client()
    stream = client.stream(max_bytes=ONE)
    stream.pushes()
    updates = tuple(OffsetUpdate(offset=offset, session_id=1) for offset in offsets)
    status = client.ask(UpdateOffsetsRequest(offsets=updates), version=0).status
    assert [one.error for one in status] == [NO_ERROR, NO_ERROR]
    assert stream.bases() == pushed


def test_minus_1_takes_back_what_the_same_request_acknowledged() -> None:
    kit = Kit()
    kit.fill(1, 1)
    client = kit.client()
    stream = client.stream(max_bytes=ONE)
    stream.pushes()
    updates = tuple(OffsetUpdate(offset=offset, session_id=1) for offset in (1, -1))
    client.ask(UpdateOffsetsRequest(offsets=updates), version=0)
    assert stream.bases() == []


def test_the_answer_to_an_acknowledgement_comes_before_the_push() -> None:
    kit = Kit()
    kit.fill(1, 1)
    client = kit.client()
    client.stream(max_bytes=ONE)
    client.ack(1)
    assert [frame[3] for frame in client.raw.received()] == [1, 2, 1]


def test_a_deleted_topic_ends_its_streams_acknowledged_or_not() -> None:
    kit = Kit()
    client = kit.client()
    idle = client.stream()
    kit.fill(1)
    busy = client.stream()
    idle.pushes()
    busy.pushes()
    kit.spu.drop(ORDERS)
    deleted = PartitionResponse(partition_index=0, error_code=error(Code.TOPIC_DELETED))
    assert (idle.push(), busy.push()) == (deleted, deleted)
    assert client.ack(0) == NO_ERROR


def test_a_leader_that_is_none_any_more_goes_silent_and_serves_its_old_copy() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    stream = client.stream()
    stream.ack(1)
    stream.pushes()
    kit.spu.follow(ORDERS)
    kit.fill(1)
    assert stream.bases() == []
    stream.ack(0)
    assert stream.bases() == [[0]]


def test_a_stream_does_not_come_back_to_life_with_the_leadership() -> None:
    kit = Kit()
    stream = kit.client().stream()
    kit.spu.follow(ORDERS)
    kit.spu.lead(ORDERS)
    kit.fill(1)
    assert stream.bases() == []


def test_a_silent_stream_does_not_hear_of_the_deletion_either() -> None:
    kit = Kit()
    stream = kit.client().stream()
    kit.spu.follow(ORDERS)
    kit.spu.drop(ORDERS)
    assert stream.bases() == []


def test_an_unknown_module_ends_the_stream_and_uses_its_id() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    module = SmartModuleInvocation(wasm=Predefined(name="nobody"))
    (push,) = client.stream(smartmodules=(module,)).pushes()
    assert push.stream_id == 1
    assert push.partition.error_code == error(Code.SMART_MODULE_NOT_FOUND, name="nobody")
    assert client.stream().pushes()[0].stream_id == 2


@pytest.mark.parametrize("version", [0, 10, 11, 15, 16, 18, 22, 23, 99])
def test_streams_are_served_at_every_version(version: int) -> None:
    kit = Kit()
    kit.fill(1)
    assert kit.client().stream(version=version).bases() == [[0]]


# A client that does not read


def test_a_push_waits_for_a_client_that_does_not_read() -> None:
    kit = Kit()
    client = kit.client()
    stream = client.stream()
    client.raw.protocol.pauseProducing()
    kit.fill(1, 1)
    assert stream.bases() == []
    client.raw.protocol.resumeProducing()
    assert stream.bases() == [[0, 1]]


def test_several_streams_wait_their_turn() -> None:
    kit = Kit()
    client = kit.client()
    streams = [client.stream() for _ in range(3)]
    client.raw.protocol.pauseProducing()
    kit.fill(1)
    client.raw.protocol.resumeProducing()
    assert [one.bases() for one in streams] == [[[0]], [[0]], [[0]]]


def test_a_client_that_left_is_not_pushed_to() -> None:
    kit = Kit()
    client = kit.client()
    client.stream()
    client.raw.protocol.pauseProducing()
    kit.fill(1)
    client.raw.leave()
    kit.fill(1)
    assert client.raw.received() == []


def test_a_stream_reads_when_its_push_can_be_written() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    client.raw.protocol.pauseProducing()
    stream = client.stream(max_bytes=PLENTY)
    client.raw.protocol.resumeProducing()
    kit.fill(1)
    stream.ack(1)
    assert stream.bases() == [[0], [1]]


def test_a_stream_that_is_over_does_not_keep_the_log() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    stream = client.stream()
    log = weakref.ref(kit.spu.replicas[ORDERS].log)
    kit.spu.drop(ORDERS)
    assert stream.bases() == [[0], [Code.TOPIC_DELETED]]
    gc.collect()
    assert log() is None
    assert client.ack(1) == NO_ERROR
