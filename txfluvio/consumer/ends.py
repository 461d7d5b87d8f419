"""Where the logs of a topic begin and end, asked by somebody who need not read them."""

from __future__ import annotations

from twisted.internet.defer import FirstError, gatherResults

from .._wording import enumerated
from ..cluster import Cluster, TimeLeft, Topology, may_succeed
from ..errors import InvalidConfig
from .requests import LogEnds, Target, ask_ends, told_ends


async def log_ends(cluster: Cluster, topic: str) -> dict[int, LogEnds]:
    """The ends of every partition's log, by number, from their leaders, within ``request_timeout``.

    :raises TopicNotFound: there is no such topic.
    :raises WaitTimedOut: a partition has no online leader.
    :raises FluvioError: a leader could not be asked.
    """
    if not isinstance(topic, str) or not topic:
        raise InvalidConfig("topic", topic, "the name of a topic")
    left = TimeLeft.of(cluster.clock, cluster.config.request_timeout)
    await cluster.find(lambda topology: topology.topic(topic), timeout=left.seconds)
    return await cluster.retrying.call(
        lambda seconds: _ask(cluster, topic, seconds), seconds=left.seconds, again=may_succeed
    )


async def _ask(cluster: Cluster, topic: str, seconds: float) -> dict[int, LogEnds]:
    left = TimeLeft.of(cluster.clock, seconds)
    leaders = await cluster.wait_for(
        lambda topology: _leaders(topology, topic),
        missing=lambda topology: _missing(topology, topic),
        timeout=seconds,
    )
    asking = [
        cluster.spu_request(leader, ask_ends(topic, numbers), timeout=left.seconds)
        for leader, numbers in leaders.items()
    ]
    try:
        replies = await gatherResults(asking, consumeErrors=True)
    except FirstError as error:
        for other in asking:
            other.cancel()
        error.subFailure.raiseException()
    told: dict[int, LogEnds] = {}
    for reply, numbers in zip(replies, leaders.values(), strict=True):
        told |= told_ends(reply, topic, numbers)
    return dict(sorted(told.items()))


def _leaders(topology: Topology, topic: str) -> dict[int, list[int]] | None:
    """Who leads which partitions of a topic; None while one of them has nobody.

    :raises TopicNotFound: there is no such topic.
    """
    leaders: dict[int, list[int]] = {}
    for number in range(topology.topic(topic).partition_count):
        leader = topology.leader_of(topic, number)
        if leader is None:
            return None
        leaders.setdefault(leader, []).append(number)
    return leaders


def _missing(topology: Topology, topic: str) -> str:
    lost = [Target(topic, number) for number in topology.leaderless(topic)]
    return f"{enumerated(lost)} {'has' if len(lost) == 1 else 'have'} no online leader"
