"""Produce: the checks in their order, what each refusal is called, and who waits for whom."""

from __future__ import annotations

import pytest

from tests.testing.spu_kit import ORDERS, Kit, codes, entry, produce
from txfluvio.testing.spu.replica import MAX_BATCH_SIZE
from txfluvio.wire.codes import NO_ERROR, Code, RequestKind, error
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Batch, RecordSet, encode_batch
from txfluvio.wire.sc import HomePartition, RemotePartition, TopicCompression, TopicStorage
from txfluvio.wire.spu import (
    ACKS_ALL,
    ACKS_LEADER,
    PartitionProduceData,
    PartitionProduceResponse,
    Predefined,
    ProduceRequest,
    SmartModuleInvocation,
    TopicProduceData,
)

ONE = encode_batch([b"a"])
TWO = encode_batch([b"b", b"c"])
NO_TIMEOUT = 0


def with_delta(last_offset_delta: int) -> bytes:
    """A batch of one record that says it has another number of them."""
    return ONE[:23] + last_offset_delta.to_bytes(4, "big", signed=True) + ONE[27:]


def with_codec(bits: int) -> bytes:
    """A batch whose attributes name a codec, whatever its blob is."""
    return ONE[:21] + bits.to_bytes(2, "big") + ONE[23:]


EMPTY = with_delta(-1)
MODULE = SmartModuleInvocation(wasm=Predefined(name="nobody"))


def test_records_are_appended_at_the_end() -> None:
    client = Kit().client()
    assert client.produce(TWO).base_offset == 0
    assert client.produce(ONE).base_offset == 2


def test_the_answer_has_zeros_for_all_that_nobody_computes() -> None:
    kit = Kit()
    kit.fill(3)
    answer = kit.client().produce(ONE)
    assert answer == PartitionProduceResponse(
        partition_index=0, base_offset=3, log_append_time_ms=0, log_start_offset=0
    )


def test_batches_of_one_entry_follow_each_other() -> None:
    kit = Kit()
    client = kit.client()
    assert client.produce(TWO, ONE).base_offset == 0
    assert [one.base for one in kit.spu.replicas[ORDERS].log] == [0, 2]


def test_every_produce_is_answered_even_with_acks_of_zero() -> None:
    assert Kit().client().produce(ONE, isolation=0) == PartitionProduceResponse(partition_index=0)


def test_entries_are_answered_one_by_one_in_their_order() -> None:
    kit = Kit()
    request = produce(entry(ONE), entry(ONE, partition=7), entry(TWO))
    answers = kit.client().ask(request).responses[0].partitions
    assert [one.partition_index for one in answers] == [0, 7, 0]
    assert codes(answers) == [0, Code.NOT_LEADER_FOR_PARTITION, 0]
    assert [one.base_offset for one in answers] == [0, 0, 1]


def test_a_topic_may_come_twice_and_without_partitions() -> None:
    request = ProduceRequest(
        topics=(
            TopicProduceData(name="orders", partitions=(entry(ONE),)),
            TopicProduceData(name="orders", partitions=()),
            TopicProduceData(name="orders", partitions=(entry(ONE),)),
        )
    )
    responses = Kit().client().ask(request).responses
    assert [len(one.partitions) for one in responses] == [1, 0, 1]


def test_a_request_without_topics_is_answered_without_topics() -> None:
    assert Kit().client().ask(ProduceRequest(topics=())).responses == ()


def test_an_unknown_topic_is_one_that_somebody_else_leads() -> None:
    answer = Kit().client().produce(ONE, key=("nowhere", 0))
    assert answer.error_code == error(Code.NOT_LEADER_FOR_PARTITION)


def test_a_follower_takes_nothing() -> None:
    kit = Kit()
    kit.spu.follow(ORDERS)
    assert kit.client().produce(ONE).error_code == error(Code.NOT_LEADER_FOR_PARTITION)


@pytest.mark.parametrize(
    ("mirror", "code"),
    [
        (
            RemotePartition(
                home_cluster="h",
                home_spu_key="",
                home_spu_id=0,
                home_spu_endpoint="",
                target=True,
            ),
            Code.MIRROR_PRODUCE_FROM_REMOTE_NOT_ALLOWED,
        ),
        (HomePartition(remote_cluster="r", remote_replica=""), Code.MIRROR_PRODUCE_FROM_HOME),
        (HomePartition(remote_cluster="r", remote_replica="", source=True), Code.NONE),
    ],
)
def test_the_reading_side_of_a_mirror_takes_nothing(
    mirror: RemotePartition | HomePartition, code: Code
) -> None:
    kit = Kit(host=False)
    kit.host(mirror=mirror)
    assert kit.client().produce(ONE).error_code == error(code)


def test_an_unknown_module_is_named_even_when_there_are_no_records() -> None:
    answer = Kit().client().produce(smartmodules=(MODULE,))
    assert answer.error_code == error(Code.SMART_MODULE_NOT_FOUND, name="nobody")


def test_an_unknown_module_does_not_matter_to_a_partition_led_elsewhere() -> None:
    answer = Kit().client().produce(ONE, key=("nowhere", 0), smartmodules=(MODULE,))
    assert answer.error_code == error(Code.NOT_LEADER_FOR_PARTITION)


@pytest.mark.parametrize("isolation", [ACKS_LEADER, ACKS_ALL])
@pytest.mark.parametrize("batches", [(), (EMPTY,), (with_delta(-5), EMPTY)])
def test_no_records_are_a_success_at_offset_0(batches: tuple[bytes, ...], isolation: int) -> None:
    kit = Kit()
    kit.fill(3)
    answer = kit.client().produce(*batches, isolation=isolation)
    assert answer == PartitionProduceResponse(partition_index=0)
    assert kit.spu.replicas[ORDERS].log.leo == 3


def test_no_records_are_a_success_whatever_their_codec() -> None:
    kit = Kit(host=False)
    kit.host(compression_type=TopicCompression.GZIP)
    assert kit.client().produce(EMPTY).error_code == NO_ERROR


@pytest.mark.parametrize("policy", list(TopicCompression))
@pytest.mark.parametrize("codec", list(Compression))
def test_a_topic_accepts_its_codec_only(policy: TopicCompression, codec: Compression) -> None:
    kit = Kit(host=False)
    kit.host(compression_type=policy)
    accepted = policy is TopicCompression.ANY or policy.name == codec.name
    expected = NO_ERROR if accepted else error(Code.COMPRESSION_ERROR)
    assert kit.client().produce(with_codec(codec)).error_code == expected


@pytest.mark.parametrize("bits", [5, 6, 7])
def test_codecs_that_do_not_exist_are_refused_by_every_topic(bits: int) -> None:
    answer = Kit().client().produce(with_codec(bits))
    assert answer.error_code == error(Code.COMPRESSION_ERROR)


def test_one_wrong_codec_refuses_all_batches_of_the_entry() -> None:
    kit = Kit()
    assert kit.client().produce(ONE, with_codec(7)).base_offset == 0
    assert kit.spu.replicas[ORDERS].log.leo == 0


def sized(size: int) -> bytes:
    """A batch of so many bytes."""
    return encode_batch([b"x" * (size - len(encode_batch([b""])) - 4)])


def test_a_batch_of_the_segment_size_fits() -> None:
    kit = Kit(host=False)
    batch = sized(1024)
    kit.host(storage=TopicStorage(segment_size=len(batch)))
    assert kit.client().produce(batch).error_code == NO_ERROR


def test_a_larger_batch_does_not_and_nothing_is_written() -> None:
    kit = Kit(host=False)
    batch = sized(1024)
    replica = kit.host(storage=TopicStorage(segment_size=len(batch) - 1))
    assert kit.client().produce(ONE, batch).error_code == error(Code.MESSAGE_TOO_LARGE)
    assert replica.log.leo == 0


def test_no_batch_is_larger_than_32_mebibytes() -> None:
    client = Kit().client()
    most = ONE[:57] + bytes(MAX_BATCH_SIZE - 57)

    def of(data: bytes) -> bytes:
        return data[:8] + (len(data) - 12).to_bytes(4, "big") + data[12:]

    assert client.produce(of(most)).error_code == NO_ERROR
    assert client.produce(of(most + b"\0")).error_code == error(Code.MESSAGE_TOO_LARGE)


@pytest.mark.parametrize("batches", [(ONE, EMPTY, TWO), (TWO, EMPTY), (ONE, with_delta(-2))])
def test_an_empty_batch_among_others_ends_all_writing(batches: tuple[bytes, ...]) -> None:
    kit = Kit()
    client = kit.client()
    assert client.produce(*batches) == PartitionProduceResponse(
        partition_index=0, error_code=error(Code.STORAGE_ERROR)
    )
    assert client.produce(ONE).error_code == error(Code.PARTITION_SHORT_CIRCUITED)
    assert kit.said("without records")


@pytest.mark.parametrize("delta", [-1, -2, -(2**31)])
def test_an_empty_batch_in_front_lets_nothing_through(delta: int) -> None:
    kit = Kit()
    client = kit.client()
    assert client.produce(with_delta(delta), ONE).error_code == error(Code.STORAGE_ERROR)
    assert client.produce(ONE).error_code == error(Code.PARTITION_SHORT_CIRCUITED)
    assert kit.spu.replicas[ORDERS].log.leo == 0


def test_what_was_written_before_an_empty_batch_stays_uncommitted() -> None:
    kit = Kit()
    client = kit.client()
    client.produce(ONE, EMPTY)
    answer = client.fetch(0)
    assert (answer.high_watermark, len(answer.records.batches())) == (0, 1)


def test_a_restart_takes_records_again_and_commits_the_half_written_with_them() -> None:
    kit = Kit()
    client = kit.client()
    client.produce(ONE, EMPTY)
    kit.spu.stop()
    kit.host()
    assert kit.spu.replicas[ORDERS].log.hw == 0
    assert client.produce(ONE).base_offset == 1
    assert kit.spu.replicas[ORDERS].log.hw == 2


def test_too_large_is_said_even_by_a_partition_that_takes_nothing_more() -> None:
    kit = Kit(host=False)
    kit.host(storage=TopicStorage(segment_size=200))
    client = kit.client()
    client.produce(ONE, EMPTY)
    assert client.produce(sized(1024)).error_code == error(Code.MESSAGE_TOO_LARGE)


def test_the_number_of_records_is_what_the_batch_says() -> None:
    kit = Kit()
    client = kit.client()
    client.produce(with_delta(9))
    assert client.produce(ONE).base_offset == 10


def test_a_wrong_checksum_is_repaired_and_complained_of() -> None:
    kit = Kit()
    client = kit.client()
    client.produce(ONE[:17] + b"\xde\xad\xbe\xef" + ONE[21:])
    assert bytes(client.fetch(0).records) == ONE
    assert kit.said("wrong checksum")


def test_times_are_the_producers_own() -> None:
    kit = Kit()
    client = kit.client()
    client.produce(encode_batch([b"a"], timestamp=1234))
    (batch,) = client.fetch(0).records.batches()
    assert (batch.first_timestamp, batch.max_timestamp) == (1234, 1234)


@pytest.mark.parametrize(
    "records",
    [
        ONE[:-1],
        ONE + ONE[:30],
        ONE + b"\0" * 11,
        b"hello",
        b"\0" * 57,
    ],
)
def test_record_sets_that_do_not_add_up_end_the_connection(records: bytes) -> None:
    kit = Kit()
    client = kit.client()
    data = PartitionProduceData(partition_index=0, records=RecordSet(records))
    client.send(produce(entry(ONE), data))
    assert client.closed
    assert client.raw.received() == []
    assert kit.spu.replicas[ORDERS].log.leo == 0
    assert kit.said("closed")


def test_a_batch_with_a_schema_id_ends_the_connection_and_nothing_else() -> None:
    kit = Kit()
    client, other = kit.client(), kit.client()
    blob = ONE[:8] + (len(ONE) - 8).to_bytes(4, "big") + ONE[12:21] + b"\0\x10" + ONE[23:57]
    client.send(produce(entry(blob + b"\0\0\0\x2a" + ONE[57:])))
    assert client.closed
    assert kit.said("schema id")
    assert other.produce(ONE).base_offset == 0


def test_a_negative_timeout_ends_the_connection() -> None:
    kit = Kit()
    client = kit.client()
    client.send(produce(entry(ONE), timeout_ms=-1))
    assert client.closed
    assert kit.said("a timeout of -1 ms")


def test_a_negative_version_ends_the_connection() -> None:
    kit = Kit()
    client = kit.client()
    client.send_raw(0, -1, produce(entry(ONE)).encode(25))
    assert client.closed
    assert kit.said("a Produce of version -1")


@pytest.mark.parametrize("version", [0, 1, 2, 4, 5, 24, 26, 99, 32767])
def test_versions_from_0_to_any_are_served(version: int) -> None:
    kit = Kit()
    kit.fill(1)
    assert kit.client().produce(ONE, version=version).base_offset == 1


# Waiting for replicas


def test_without_followers_everything_is_committed_at_once() -> None:
    assert Kit().client().produce(ONE, isolation=ACKS_ALL).error_code == NO_ERROR


def test_acks_of_all_wait_until_every_follower_has_the_records() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002, 5003))
    call = kit.client().send(produce(entry(ONE), isolation=ACKS_ALL))
    replica.acknowledged(5002, 1)
    assert call.replies == []
    replica.acknowledged(5003, 1)
    assert call.reply.responses[0].partitions[0] == PartitionProduceResponse(partition_index=0)


def test_acks_of_the_leader_do_not_wait() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    assert kit.client().produce(ONE).error_code == NO_ERROR
    assert (replica.log.hw, replica.log.leo) == (0, 1)


def test_a_wait_that_is_too_long_says_so_and_the_record_stays() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    kit.client().produce(ONE)
    call = kit.client().send(produce(entry(ONE), isolation=ACKS_ALL, timeout_ms=1500))
    kit.clock.advance(1.4)
    assert call.replies == []
    kit.clock.advance(0.1)
    timed_out = error(Code.REQUEST_TIMED_OUT, timeout_ms=1500, kind=RequestKind.PRODUCE)
    assert call.reply.responses[0].partitions[0] == PartitionProduceResponse(
        partition_index=0, error_code=timed_out, base_offset=1
    )
    assert replica.log.leo == 2


def test_each_entry_has_the_whole_timeout_to_itself() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    kit.host(("orders", 1), followers=(5002,))
    request = produce(entry(ONE), entry(ONE, partition=1), isolation=ACKS_ALL, timeout_ms=1000)
    call = kit.client().send(request)
    kit.clock.advance(1)
    assert call.replies == []
    kit.clock.advance(1)
    assert codes(call.reply.responses[0].partitions) == [7, 7]


def test_a_timeout_of_zero_does_not_wait_for_time_to_pass() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    call = kit.client().send(produce(entry(ONE), isolation=ACKS_ALL, timeout_ms=NO_TIMEOUT))
    kit.clock.advance(0)
    assert codes(call.reply.responses[0].partitions) == [7]


def test_entries_with_errors_are_not_waited_for() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    request = produce(entry(ONE, partition=9), entry(ONE), isolation=ACKS_ALL)
    call = kit.client().send(request)
    replica.acknowledged(5002, 1)
    assert codes(call.reply.responses[0].partitions) == [6, 0]


def test_where_nothing_was_appended_no_follower_is_waited_for() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    client = kit.client()
    client.produce(ONE)
    assert client.produce(isolation=ACKS_ALL) == PartitionProduceResponse(partition_index=0)


def test_a_leader_that_is_none_any_more_says_so_though_the_record_is_there() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    kit.host(("orders", 1), followers=(5002,))
    request = produce(entry(ONE), entry(ONE, partition=1), isolation=ACKS_ALL, timeout_ms=1000)
    call = kit.client().send(request)
    kit.spu.follow(("orders", 1))
    kit.clock.advance(1)
    assert codes(call.reply.responses[0].partitions) == [7, 6]


def test_a_waiting_produce_holds_back_the_rest_of_its_connection_only() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    client = kit.client()
    client.send(produce(entry(ONE), isolation=ACKS_ALL))
    behind = client.send(produce(entry(ONE)))
    assert behind.replies == []
    assert kit.client().produce(ONE).base_offset == 1
    replica.acknowledged(5002, 1)
    assert behind.reply.responses[0].partitions[0].base_offset == 2


def test_any_number_of_waiting_producers_is_answered_by_one_commit() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    request = produce(entry(ONE), isolation=ACKS_ALL, timeout_ms=5000)
    clients = [kit.client() for _ in range(300)]
    calls = [client.send(request) for client in clients for _ in range(2)]
    replica.acknowledged(5002, replica.log.leo)
    replica.acknowledged(5002, replica.log.leo)
    assert [codes(call.reply.responses[0].partitions) for call in calls] == [[0]] * 600


def test_a_client_that_leaves_while_its_produce_waits_leaves_no_timer() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    client = kit.client()
    client.send(produce(entry(ONE), isolation=ACKS_ALL))
    client.raw.leave()
    assert kit.clock.getDelayedCalls() == []


def test_the_committed_batches_are_those_that_all_followers_have() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002, 5003))
    replica.append([Batch(TWO, 0), Batch(TWO, 0)], 0.0)
    replica.acknowledged(5002, 4)
    replica.acknowledged(5003, 2)
    assert replica.log.hw == 2


def test_a_follower_that_claims_more_than_there_is_is_not_believed() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    replica.append([Batch(TWO, 0)], 0.0)
    replica.acknowledged(5002, 3)
    assert replica.log.hw == 0


def test_what_waits_for_replicas_fails_when_its_leader_led_anew_meanwhile() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    call = kit.client().send(produce(entry(ONE), entry(ONE), isolation=ACKS_ALL, timeout_ms=1000))
    kit.spu.follow(ORDERS)
    kit.spu.replicas[ORDERS].log.truncate(0)
    kit.spu.lead(ORDERS, ())
    kit.fill(1, 1, 1)
    kit.clock.pump([2.0] * 3)
    parts = call.reply.responses[0].partitions
    assert [part.error_code.code for part in parts] == [
        Code.REQUEST_TIMED_OUT,
        Code.NOT_LEADER_FOR_PARTITION,
    ]
