"""Fetch and FetchOffsets: one look at a log, answered at once."""

from __future__ import annotations

from typing import Final

from ...wire.codes import NO_ERROR, Code, error
from ...wire.framing import DEFAULT_MAX_FRAME_SIZE
from ...wire.schema import evolve
from ...wire.spu import (
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionResponse,
    TopicFetchResponse,
)
from ..server.protocol import Connection, Incoming
from .log import ReadError
from .offset_calls import offsets_anywhere
from .replica import Key
from .session import Session
from .spu import Spu

MAX_FETCHED: Final = DEFAULT_MAX_FRAME_SIZE // 2
"""Once the answer to a Fetch has as many bytes of records, what comes after is answered without."""

_NOT_LEADER = error(Code.PARTITION_NOT_LEADER)


def fetch(spu: Spu, message: FetchRequest, request: Incoming, session: Session) -> None:
    """Read from each partition, as far as the limit of the request goes for each of them.

    The answer is whole before it is sent, and a request may name a partition any number of times:
    behind :data:`MAX_FETCHED` bytes nothing more is read.
    """
    fetched, full = 0, False
    topics = []
    for topic in message.topics:
        answers = []
        for wanted in topic.fetch_partitions:
            full = fetched >= MAX_FETCHED
            limit = 0 if full else message.max_bytes
            key = (topic.name, wanted.partition_index)
            answer = _read(spu, key, wanted, message, limit, session.connection)
            fetched += len(answer.records)
            answers.append(answer)
        topics.append(TopicFetchResponse(name=topic.name, partitions=tuple(answers)))
    if full:
        session.connection.complain(
            f"fetches more than {fetched} bytes at once: the rest is left out"
        )
    session.connection.reply(FetchResponse(topics=tuple(topics)), request)


def _read(
    spu: Spu,
    key: Key,
    wanted: FetchPartition,
    message: FetchRequest,
    limit: int,
    connection: Connection,
) -> PartitionResponse:
    answer = PartitionResponse(partition_index=wanted.partition_index)
    replica = spu.leads(key)
    if replica is None:
        return evolve(answer, error_code=error(Code.NOT_LEADER_FOR_PARTITION))
    start, isolation = wanted.fetch_offset, message.isolation_level
    try:
        found = replica.log.read(start, isolation, limit)
    except ReadError as reason:
        return evolve(answer, error_code=reason.error)
    if found.above_hw:
        connection.complain(f"reads committed records from {start}, above {found.hw}")
    return evolve(
        answer,
        high_watermark=found.hw,
        log_start_offset=found.log_start,
        records=found.records,
    )


def fetch_offsets(
    spu: Spu, message: FetchOffsetsRequest, request: Incoming, session: Session
) -> None:
    """Tell the log start and the high watermark of each partition."""
    topics = tuple(
        FetchOffsetTopicResponse(
            name=topic.name,
            partitions=tuple(
                [
                    _ends(spu, (topic.name, one.partition_index), message.consumer_id)
                    for one in topic.partitions
                ]
            ),
        )
        for topic in message.topics
    )
    session.connection.reply(FetchOffsetsResponse(topics=topics), request)


def _ends(spu: Spu, key: Key, consumer_id: str | None) -> FetchOffsetPartitionResponse:
    """The ends of one partition; the start may be a consumer's own, as version 23 asks for it."""
    replica = spu.leads(key)
    if replica is None:
        return FetchOffsetPartitionResponse(
            error_code=_NOT_LEADER,
            partition_index=key[1],
            start_offset=0,
            last_stable_offset=0,
        )
    start, code = replica.log.log_start, NO_ERROR
    if consumer_id is not None:
        offsets = offsets_anywhere(spu)
        if isinstance(offsets, str):
            code = error(Code.OTHER, text=offsets)
        else:
            stored = offsets.get(key, consumer_id)
            start = start if stored is None else _following(stored)
    return FetchOffsetPartitionResponse(
        error_code=code,
        partition_index=key[1],
        start_offset=start,
        last_stable_offset=replica.log.hw,
    )


def _following(offset: int) -> int:
    """The offset behind another, any number of 64 bits: behind the largest is the smallest."""
    return -(2**63) if offset == 2**63 - 1 else offset + 1
