"""Asking about stored offsets, which are in a system topic: whoever leads that is asked.

A consumer asks for its own, an administrator for anybody's.
"""

from __future__ import annotations

from typing import Final, TypeVar

from ..wire.schema import Request
from ..wire.spu import DeleteConsumerOffsetResponse, FetchConsumerOffsetsResponse
from .cluster import Cluster
from .time_left import TimeLeft

ReplyT = TypeVar("ReplyT", FetchConsumerOffsetsResponse, DeleteConsumerOffsetResponse)

OFFSETS_TOPIC: Final = "consumer-offset"
"""The system topic that stored offsets are in: one partition, made by the SC in the background."""


async def ask_stored_offsets(
    cluster: Cluster, request: Request[ReplyT], *, what: str, seconds: float
) -> ReplyT | None:
    """The reply to a request about stored offsets; None where there is no such topic yet, so that
    nothing is stored.

    :param what: whose offsets, for errors.
    :param seconds: for finding the leader and for its answer, together.
    :raises NotLeaderForPartition: the SPU asked does not know yet that it leads the system topic,
        for a moment after its start, or does no longer.
    :raises FluvioError: nobody leads it, or the leader could not be asked.
    """
    left = TimeLeft.of(cluster.clock, seconds)
    if OFFSETS_TOPIC not in (await cluster.known(seconds)).topics:
        return None
    leader = await cluster.wait_for(
        lambda topology: topology.leader_of(OFFSETS_TOPIC, 0),
        missing=f"{OFFSETS_TOPIC}/0 has no online leader",
        timeout=left.seconds,
        about=(OFFSETS_TOPIC, 0),
    )
    reply = await cluster.spu_request(leader, request, timeout=left.seconds)
    if reply.error_code:
        raise reply.error_code.exception(what)
    return reply
