"""Fetch, FetchOffsets and ApiVersions: what an SPU answers at once."""

from __future__ import annotations

import pytest

from tests.testing.spu_kit import COMMITTED, ORDERS, PLENTY, Kit, SpuClient, bases, fetch
from txfluvio.testing.releases import FLUVIO_0_11_11
from txfluvio.wire.codes import NO_ERROR, Code, error
from txfluvio.wire.spu import (
    FetchOffsetPartition,
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetTopic,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    PartitionResponse,
    StartMirrorRequest,
)
from txfluvio.wire.versions import ApiVersionsRequest


def ends(client: SpuClient, *partitions: int) -> tuple[FetchOffsetPartitionResponse, ...]:
    asked = tuple(FetchOffsetPartition(partition_index=number) for number in partitions)
    request = FetchOffsetsRequest(topics=(FetchOffsetTopic(name="orders", partitions=asked),))
    return client.ask(request).topics[0].partitions


# Fetch


def test_a_fetch_is_answered_with_the_batches_and_both_ends() -> None:
    kit = Kit()
    kit.fill(2, 3)
    answer = kit.client().fetch(0)
    assert bases(answer.records) == [0, 2]
    assert (answer.high_watermark, answer.log_start_offset) == (5, 0)
    assert (answer.next_filter_offset, answer.aborted) == (0, None)


def test_a_fetch_at_the_end_is_answered_at_once_with_nothing() -> None:
    kit = Kit()
    kit.fill(2)
    assert kit.client().fetch(2) == PartitionResponse(partition_index=0, high_watermark=2)


def test_each_partition_has_the_whole_limit_to_itself() -> None:
    kit = Kit()
    kit.host(("orders", 1))
    kit.fill(1)
    kit.fill(1, key=("orders", 1))
    partitions = tuple(FetchPartition(partition_index=n, fetch_offset=0) for n in (0, 1))
    topics = (FetchTopic(name="orders", fetch_partitions=partitions),)
    answers = kit.client().ask(FetchRequest(max_bytes=50, topics=topics)).topics[0].partitions
    assert [len(one.records) for one in answers] == [50, 50]


def test_the_limit_of_a_partition_does_not_count() -> None:
    kit = Kit()
    kit.fill(1)
    partition = FetchPartition(partition_index=0, fetch_offset=0, max_bytes=1)
    topics = (FetchTopic(name="orders", fetch_partitions=(partition,)),)
    answer = kit.client().ask(FetchRequest(max_bytes=PLENTY, topics=topics))
    assert bases(answer.topics[0].partitions[0].records) == [0]


def test_below_version_3_nothing_is_ever_read() -> None:
    kit = Kit()
    kit.fill(1)
    assert len(kit.client().fetch(0, version=2).records) == 0
    assert bases(kit.client().fetch(0, version=3).records) == [0]


def test_below_version_4_everything_is_read_committed_or_not() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    kit.fill(1)
    assert bases(kit.client().fetch(0, version=3, isolation_level=COMMITTED).records) == [0]
    assert len(kit.client().fetch(0, version=4, isolation_level=COMMITTED).records) == 0


def test_a_partition_led_elsewhere_is_an_error_of_its_own() -> None:
    answer = Kit().client().ask(fetch(0, key=("orders", 9)))
    assert answer.error_code == NO_ERROR
    assert answer.topics[0].partitions == (
        PartitionResponse(partition_index=9, error_code=error(Code.NOT_LEADER_FOR_PARTITION)),
    )


def test_an_offset_beyond_the_end_is_an_error_with_zeros_around_it() -> None:
    kit = Kit()
    kit.fill(1)
    text = "start offset: 2 is greater than leo: 1"
    assert kit.client().fetch(2) == PartitionResponse(
        partition_index=0, error_code=error(Code.OTHER, text=text)
    )


def test_a_committed_fetch_above_the_high_watermark_is_empty_and_complained_of() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    kit.fill(1, 1, 1)
    replica.acknowledged(5002, 1)
    answer = kit.client().fetch(2, isolation_level=COMMITTED)
    assert (answer.error_code, len(answer.records), answer.high_watermark) == (NO_ERROR, 0, 1)
    assert kit.said("reads committed records from 2, above 1")


def test_an_unknown_isolation_ends_the_connection() -> None:
    client = Kit().client()
    body = fetch(0).encode(25)
    client.send_raw(1, 25, body[:12] + b"\x02" + body[13:])
    assert client.closed


# FetchOffsets


def test_the_ends_are_the_log_start_and_the_high_watermark() -> None:
    kit = Kit(host=False)
    replica = kit.host(followers=(5002,))
    kit.fill(2, 2, 2)
    replica.acknowledged(5002, 4)
    replica.log.evict(2)
    assert ends(kit.client(), 0) == (
        FetchOffsetPartitionResponse(partition_index=0, start_offset=2, last_stable_offset=4),
    )


def test_the_ends_of_a_partition_led_elsewhere_have_a_code_of_their_own() -> None:
    assert ends(Kit().client(), 0, 9)[1] == FetchOffsetPartitionResponse(
        error_code=error(Code.PARTITION_NOT_LEADER),
        partition_index=9,
        start_offset=0,
        last_stable_offset=0,
    )


def test_a_follower_does_not_tell_the_ends() -> None:
    kit = Kit()
    kit.spu.follow(ORDERS)
    assert ends(kit.client(), 0)[0].error_code == error(Code.PARTITION_NOT_LEADER)


# ApiVersions, and calls that nobody should make


def test_five_calls_are_listed_in_their_order_and_the_platform_is_zero() -> None:
    answer = Kit().client().ask(ApiVersionsRequest(client_version="0.18.2"), version=2)
    assert [(one.api_key, one.min_version, one.max_version) for one in answer.api_keys] == [
        (0, 0, 25),
        (1, 0, 25),
        (1002, 25, 25),
        (1003, 0, 25),
        (1005, 0, 0),
    ]
    assert answer.platform_version == "0.0.0"


@pytest.mark.parametrize("version", [0, 2])
def test_a_client_without_a_version_is_offered_an_old_stream_fetch(version: int) -> None:
    answer = Kit().client().ask(ApiVersionsRequest(), version=version)
    assert [one.max_version for one in answer.api_keys] == [25, 25, 25, 15, 0]


def test_any_client_version_will_do() -> None:
    answer = Kit().client().ask(ApiVersionsRequest(client_version="junk"), version=99)
    assert [one.max_version for one in answer.api_keys] == [25, 25, 25, 25, 0]


def test_an_older_release_says_other_versions() -> None:
    kit = Kit(release=FLUVIO_0_11_11)
    answer = kit.client().ask(ApiVersionsRequest(client_version="1.0.0"), version=2)
    assert [one.max_version for one in answer.api_keys] == [23, 23, 23, 23, 0]


def test_a_hidden_call_is_answered_all_the_same() -> None:
    kit = Kit(release=FLUVIO_0_11_11.without(spu=(1002,)))
    client = kit.client()
    answer = client.ask(ApiVersionsRequest(client_version="1.0.0"), version=2)
    assert 1002 not in [one.api_key for one in answer.api_keys]
    assert ends(client, 0)[0].error_code == NO_ERROR


@pytest.mark.parametrize("version", [-1, 23])
def test_a_mirror_that_starts_ends_its_connection_whatever_the_version(version: int) -> None:
    kit = Kit()
    client = kit.client()
    client.send_raw(2000, version, b"\0\1a\0\1b")
    assert client.closed
    assert client.raw.received() == []
    assert kit.said("StartMirror is not served")


def test_a_negative_version_is_answered_with_nothing_but_the_correlation_id() -> None:
    client = Kit().client()
    client.send_raw(1002, -1, correlation_id=2)
    assert client.raw.received() == [b"\0\0\0\2"]


@pytest.mark.parametrize("key", [2, 17, 1001, 1004, 9999])
def test_an_unknown_key_ends_the_connection_without_a_word(key: int) -> None:
    kit = Kit()
    client = kit.client()
    client.send_raw(key, 0)
    assert client.closed
    assert client.raw.received() == []
    assert kit.said(f"has the key {key}")


def test_mirroring_is_not_served() -> None:
    client = Kit().client()
    client.send(StartMirrorRequest(remote_replica="a-0", remote_cluster_id="b"))
    assert client.closed
