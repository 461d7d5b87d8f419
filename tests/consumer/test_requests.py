"""What a reply says about the ends of logs."""

from __future__ import annotations

import pytest

from txfluvio.consumer.requests import LogEnds, told_ends
from txfluvio.errors import NotLeaderForPartition, ProtocolError
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode
from txfluvio.wire.spu import (
    FetchOffsetPartitionResponse,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
)


def reply(
    *ends: tuple[int, int, int], code: ErrorCode = NO_ERROR, topic: str = "orders"
) -> FetchOffsetsResponse:
    """A reply with numbers, first offsets and high watermarks; ``code`` is of the last one."""
    partitions = [
        FetchOffsetPartitionResponse(
            error_code=code if one is ends[-1] else NO_ERROR,
            partition_index=one[0],
            start_offset=one[1],
            last_stable_offset=one[2],
        )
        for one in ends
    ]
    told = FetchOffsetTopicResponse(name=topic, partitions=tuple(partitions))
    return FetchOffsetsResponse(topics=(told,))


def test_each_partition_is_found_by_its_number() -> None:
    told = told_ends(reply((2, 3, 9), (7, 0, 0), (5, 1, 4)), "orders", [5, 2])
    assert told == {5: LogEnds(1, 4), 2: LogEnds(3, 9)}


def test_one_that_is_left_out_is_the_peers_mistake() -> None:
    for answer in (reply((1, 0, 0)), reply((0, 0, 0), topic="returns")):
        with pytest.raises(ProtocolError, match="says nothing about orders/0"):
            told_ends(answer, "orders", [0])


def test_an_error_does_not_pass_for_an_empty_log() -> None:
    refused = ErrorCode(Code.PARTITION_NOT_LEADER)
    with pytest.raises(NotLeaderForPartition, match="orders/1"):
        told_ends(reply((0, 0, 5), (1, 0, 0), code=refused), "orders", [0, 1])


def test_no_log_has_an_end_below_0() -> None:
    for ends in ((0, -1, 5), (0, 0, -1)):
        with pytest.raises(ProtocolError, match="orders/0 from"):
            told_ends(reply(ends), "orders", [0])
