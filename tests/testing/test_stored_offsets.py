"""Stored consumer offsets: any number under any name, kept in a topic of their own."""

from __future__ import annotations

import pytest

from tests.testing.spu_kit import ORDERS, Kit, SpuClient, spec
from txfluvio.testing.spu.replica import Key
from txfluvio.testing.spu.spu import Spu
from txfluvio.testing.spu.stored_offsets import FLUSH_THRESHOLD, STORED_OFFSETS, StoredOffsets
from txfluvio.testing.timers import Timers
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode, ReplicaKey, error
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.spu import (
    ConsumerOffset,
    ConsumerOffsetFilter,
    DeleteConsumerOffsetRequest,
    FetchConsumerOffsetsRequest,
    FetchOffsetPartition,
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetTopic,
    UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
)


def kit_with_offsets() -> Kit:
    kit = Kit()
    kit.host(STORED_OFFSETS)
    return kit


def store(client: SpuClient, offset: int, number: int = 1) -> UpdateConsumerOffsetResponse:
    return client.ask(UpdateConsumerOffsetRequest(offset=offset, session_id=number))


def stored(
    client: SpuClient, consumer_id: str | None = None, key: Key | None = None
) -> list[tuple[str, Key, int]]:
    replica_id = None if key is None else ReplicaKey(topic=key[0], partition=key[1])
    wanted = ConsumerOffsetFilter(replica_id=replica_id, consumer_id=consumer_id)
    reply = client.ask(FetchConsumerOffsetsRequest(filter_opts=wanted))
    assert reply.error_code == NO_ERROR
    return [
        (one.consumer_id, (one.replica_id.topic, one.replica_id.partition), one.offset)
        for one in reply.consumers
    ]


def delete(client: SpuClient, consumer_id: str, key: Key = ORDERS) -> ErrorCode:
    replica_id = ReplicaKey(topic=key[0], partition=key[1])
    request = DeleteConsumerOffsetRequest(replica_id=replica_id, consumer_id=consumer_id)
    return client.ask(request).error_code


def old_ends(client: SpuClient, consumer_id: str) -> FetchOffsetPartitionResponse:
    topic = FetchOffsetTopic(name="orders", partitions=(FetchOffsetPartition(partition_index=0),))
    request = FetchOffsetsRequest(topics=(topic,), consumer_id=consumer_id)
    return client.ask(request, version=23).topics[0].partitions[0]


def test_an_offset_is_stored_through_a_stream_before_its_first_push() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    client.stream(consumer_id="worker")
    assert store(client, 41) == UpdateConsumerOffsetResponse(offset=41)
    assert client.ask(FetchConsumerOffsetsRequest()).consumers == (
        ConsumerOffset(
            consumer_id="worker",
            replica_id=ReplicaKey(topic="orders", partition=0),
            offset=41,
            modified_time=1_700_000_000,
        ),
    )


@pytest.mark.parametrize("offset", [-1, -(2**63), 10**12])
def test_any_number_is_stored(offset: int) -> None:
    client = kit_with_offsets().client()
    client.stream(consumer_id="worker")
    assert store(client, offset).error_code == NO_ERROR
    assert stored(client) == [("worker", ORDERS, offset)]


@pytest.mark.parametrize("consumer_id", ["", "x" * 3000])
def test_any_text_is_a_consumer(consumer_id: str) -> None:
    client = kit_with_offsets().client()
    client.stream(consumer_id=consumer_id)
    store(client, 1)
    assert stored(client, consumer_id) == [(consumer_id, ORDERS, 1)]


def test_the_last_write_wins() -> None:
    kit = kit_with_offsets()
    one, other = kit.client(), kit.client()
    one.stream(consumer_id="worker")
    other.stream(consumer_id="worker")
    store(one, 5)
    store(other, 3)
    assert stored(one) == [("worker", ORDERS, 3)]


def test_an_unknown_stream_stores_nothing() -> None:
    client = kit_with_offsets().client()
    unknown = error(Code.FETCH_SESSION_NOT_FOUND)
    assert store(client, 5) == UpdateConsumerOffsetResponse(offset=0, error_code=unknown)


def test_a_stream_without_a_consumer_stores_nothing() -> None:
    client = kit_with_offsets().client()
    client.stream()
    without = error(Code.OTHER, text="stream without consumer id")
    assert store(client, 5) == UpdateConsumerOffsetResponse(offset=0, error_code=without)


def test_a_stream_that_is_over_still_stores() -> None:
    client = kit_with_offsets().client()
    client.stream(99, consumer_id="worker")
    assert store(client, 5).error_code == NO_ERROR


def test_what_is_listed_can_be_filtered_by_both() -> None:
    kit = kit_with_offsets()
    kit.host(("orders", 1))
    client = kit.client()
    for number, (consumer_id, partition) in enumerate([("a", 0), ("a", 1), ("b", 1)], 1):
        client.stream(key=("orders", partition), consumer_id=consumer_id)
        store(client, number, number)
    assert sorted(stored(client)) == [
        ("a", ORDERS, 1),
        ("a", ("orders", 1), 2),
        ("b", ("orders", 1), 3),
    ]
    assert len(stored(client, "a")) == 2
    assert len(stored(client, key=("orders", 1))) == 2
    assert stored(client, "b", ("orders", 1)) == [("b", ("orders", 1), 3)]
    assert stored(client, "nobody") == []


def test_a_deleted_offset_is_gone_and_may_come_again() -> None:
    client = kit_with_offsets().client()
    client.stream(consumer_id="worker")
    store(client, 5)
    assert delete(client, "worker") == NO_ERROR
    assert stored(client) == []
    store(client, 6)
    assert stored(client) == [("worker", ORDERS, 6)]


def test_deleting_what_is_not_there_succeeds() -> None:
    assert delete(kit_with_offsets().client(), "nobody") == NO_ERROR


def test_other_spus_neither_list_nor_delete() -> None:
    client = Kit().client()
    reply = client.ask(FetchConsumerOffsetsRequest())
    not_leader = error(Code.PARTITION_NOT_LEADER)
    assert (reply.error_code, reply.consumers) == (not_leader, ())
    assert delete(client, "worker") == not_leader


def test_without_the_topic_nothing_can_be_stored() -> None:
    client = Kit().client()
    client.stream(consumer_id="worker")
    refused = error(Code.OTHER, text="update offset in peer")
    assert store(client, 5) == UpdateConsumerOffsetResponse(offset=0, error_code=refused)


def test_offsets_of_partitions_that_are_gone_are_not_listed() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    client.stream(consumer_id="worker")
    store(client, 5)
    kit.spu.drop(ORDERS)
    assert stored(client) == []
    assert store(client, 6).error_code == NO_ERROR


def test_at_version_23_the_start_is_behind_the_stored_offset() -> None:
    kit = kit_with_offsets()
    kit.fill(3)
    client = kit.client()
    client.stream(consumer_id="worker")
    store(client, 10**12)
    answer = old_ends(client, "worker")
    assert (answer.error_code, answer.start_offset) == (NO_ERROR, 10**12 + 1)
    assert old_ends(client, "nobody").start_offset == 0


def test_at_version_23_the_smallest_number_is_behind_the_largest() -> None:
    client = kit_with_offsets().client()
    client.stream(consumer_id="worker")
    store(client, 2**63 - 1)
    assert old_ends(client, "worker").start_offset == -(2**63)


def test_at_version_23_without_the_topic_the_ends_come_with_an_error() -> None:
    kit = Kit()
    kit.fill(3)
    missing = error(Code.OTHER, text="the topic was not found")
    assert old_ends(kit.client(), "worker") == FetchOffsetPartitionResponse(
        error_code=missing, partition_index=0, start_offset=0, last_stable_offset=3
    )


class Neighbours:
    """A cluster of two, in which another SPU leads the stored offsets, or nobody."""

    def __init__(self, other: Spu | None) -> None:
        self.other = other
        self.address: str | None = "localhost:9011"

    def exists(self, key: Key) -> bool:
        return True

    def leader(self, key: Key) -> Spu | None:
        return self.other

    def private_address(self, key: Key) -> str | None:
        return self.address


def kit_with_neighbour() -> tuple[Kit, Neighbours]:
    kit = Kit(host=False)
    release = kit.spu.release
    other = Spu(5002, timers=Timers(kit.clock), now=kit.clock.seconds, release=release)
    neighbours = Neighbours(other)
    kit.use(
        Spu(
            5001,
            timers=Timers(kit.clock),
            now=kit.clock.seconds,
            release=release,
            neighbours=neighbours,
        )
    )
    other.host(STORED_OFFSETS, spec())
    other.lead(STORED_OFFSETS)
    kit.host()
    return kit, neighbours


def test_an_offset_goes_to_the_spu_that_leads_the_topic() -> None:
    kit, neighbours = kit_with_neighbour()
    client = kit.client()
    client.stream(consumer_id="worker")
    assert store(client, 5).error_code == NO_ERROR
    assert neighbours.other is not None
    offsets = neighbours.other.stored_offsets
    assert offsets is not None
    assert offsets.get(ORDERS, "worker") == 5
    assert old_ends(client, "worker").start_offset == 6


def test_an_offset_can_not_be_stored_while_nobody_leads_the_topic() -> None:
    kit, neighbours = kit_with_neighbour()
    neighbours.other = None
    client = kit.client()
    client.stream(consumer_id="worker")
    assert store(client, 5).error_code == error(Code.OTHER, text="update offset in peer")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (
            "localhost:9011",
            "Other error: Socket io Connection refused (os error 111), "
            "can't connect to localhost:9011",
        ),
        (None, "the SPU was not found"),
    ],
)
def test_at_version_23_it_is_told_why_the_leader_can_not_be_asked(
    address: str | None, text: str
) -> None:
    kit, neighbours = kit_with_neighbour()
    neighbours.other, neighbours.address = None, address
    assert old_ends(kit.client(), "worker").error_code == error(Code.OTHER, text=text)


# The topic itself


def values(kit: Kit) -> list[bytes]:
    log = kit.spu.replicas[STORED_OFFSETS].log
    return [value for one in log for value in Batch(one.data, 0).values()]


def test_changes_are_records_of_the_topic() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    client.stream(consumer_id="w1")
    store(client, 1)
    delete(client, "w1")
    key = b"\0\0\0\x10\0\x06orders\0\0\0\0\0\x02w1"
    assert values(kit) == [
        b"\0" + key + b"\0\0\0\x10" + (1).to_bytes(8, "big") + (1_700_000_000).to_bytes(8, "big"),
        b"\1" + key,
    ]


def test_what_is_stored_survives_a_restart() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    for number, consumer_id in enumerate(("a", "b"), 1):
        client.stream(consumer_id=consumer_id)
        store(client, 7, number)
    delete(client, "a")
    kit.spu.stop()
    kit.host()
    kit.host(STORED_OFFSETS)
    assert stored(kit.client()) == [("b", ORDERS, 7)]


def test_after_many_changes_everything_is_written_behind_a_checkpoint() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    for number, consumer_id in enumerate(("a", "b"), 1):
        client.stream(consumer_id=consumer_id)
        store(client, 0, number)
    for offset in range(FLUSH_THRESHOLD - 1):
        store(client, offset)
    assert [value[0] for value in values(kit)[-3:]] == [2, 0, 0]
    kit.spu.stop()
    kit.host()
    kit.host(STORED_OFFSETS)
    assert sorted(stored(kit.client())) == [("a", ORDERS, FLUSH_THRESHOLD - 2), ("b", ORDERS, 0)]


def test_a_change_takes_no_more_of_the_log_where_many_offsets_are_stored() -> None:
    def growth(partitions: int) -> float:
        kit = kit_with_offsets()
        offsets, log = kit.spu.stored_offsets, kit.spu.replicas[STORED_OFFSETS].log
        assert offsets is not None
        changes = 3 * max(partitions, FLUSH_THRESHOLD)
        for number in range(changes):
            offsets.put(("orders", number % partitions), "worker", number)
        return log.size / changes

    assert growth(10 * FLUSH_THRESHOLD) < 2 * growth(1)


def test_nor_does_one_after_a_restart() -> None:
    kit = kit_with_offsets()
    replica = kit.spu.replicas[STORED_OFFSETS]
    offsets = StoredOffsets(replica, lambda: 0.0)
    for number in range(10 * FLUSH_THRESHOLD):
        offsets.put(("orders", number), "worker", number)
    again = StoredOffsets(replica, lambda: 0.0)
    before = replica.log.size
    for number in range(2 * FLUSH_THRESHOLD):
        again.put(("orders", number), "worker", number)
    assert replica.log.size - before < before / 5


def test_records_of_others_in_the_topic_mean_nothing() -> None:
    kit = kit_with_offsets()
    kit.fill(3, key=STORED_OFFSETS)
    assert stored(kit.client()) == []


def test_a_batch_in_the_topic_that_can_not_be_read_means_nothing_either() -> None:
    kit = kit_with_offsets()
    header = encode_batch([b"x"])[:-3]
    kit.client().produce(header + b"\xff\xff\xff", key=STORED_OFFSETS)
    client = kit.client()
    client.stream(consumer_id="worker")
    store(client, 5)
    kit.spu.stop()
    kit.host()
    kit.host(STORED_OFFSETS)
    assert stored(kit.client()) == [("worker", ORDERS, 5)]


def test_offsets_of_a_partition_that_is_gone_are_forgotten_though_the_topic_takes_nothing() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    for number, consumer_id in enumerate(("a", "b"), 1):
        client.stream(consumer_id=consumer_id)
        store(client, 5, number)
    kit.spu.replicas[STORED_OFFSETS].short_circuited = True
    offsets = kit.spu.stored_offsets
    assert offsets is not None
    offsets.forget(ORDERS)
    assert offsets.all() == ()


def test_what_the_topic_does_not_take_is_refused_in_the_words_of_the_storage() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    client.stream(consumer_id="worker")
    kit.spu.replicas[STORED_OFFSETS].short_circuited = True
    text = "Storage is short-circuited"
    assert store(client, 5).error_code == error(Code.OTHER, text=text)
    text = f"unable to delete consumer: {text}"
    assert delete(client, "worker") == error(Code.OTHER, text=text)


def test_the_offsets_of_a_partition_that_is_gone_are_found_without_a_look_at_the_others() -> None:
    compared: list[object] = []

    class Topic(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return str.__eq__(self, other)

    kit = kit_with_offsets()
    offsets = kit.spu.stored_offsets
    assert offsets is not None
    for number in range(50):
        offsets.put((f"topic-{number}", 0), "worker", 0)
    offsets.forget((Topic("topic-7"), 0))
    assert len(offsets.all()) == 49
    assert len(compared) < 5
