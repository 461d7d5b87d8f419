"""Requests like the recorded ones, but other, and the promises that the fake has to keep."""

from __future__ import annotations

import random

import pytest

from tests.testing.test_replay import REAL
from txfluvio.testing.faults import (
    Action,
    AnswerError,
    CorruptCrc,
    Fault,
    Match,
    NeverAnswer,
    Repeat,
    Truncate,
)
from txfluvio.testing.replay import replay_mutated
from txfluvio.testing.replay.beginning import beginning_of
from txfluvio.testing.replay.conversation import Conversation
from txfluvio.testing.replay.mutation import Judge, Mutant, mutated
from txfluvio.testing.replay.stage import Stage
from txfluvio.wire.codes import Code, ErrorCode
from txfluvio.wire.spu import (
    FetchOffsetPartition,
    FetchOffsetsRequest,
    FetchOffsetTopic,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    StreamFetchRequest,
)

SLICE = sorted(
    name for name in REAL if any(word in name for word in ("consume", "produce", "sm-", "stream"))
)[::4]

SCENARIO = "cli-consume-beginning-end"


@pytest.mark.parametrize("scenario", SLICE)
def test_promises_are_kept(scenario: str) -> None:
    assert [str(one) for one in replay_mutated(REAL[scenario], 12, seed=7)] == []


def test_the_same_seed_makes_the_same_requests() -> None:
    conversation = Conversation.read(REAL[SCENARIO])
    first, again, other = (
        [str(one) for one in mutated(conversation, 20, random.Random(seed))] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_conversation_without_a_request_that_can_be_mutated_has_no_mutants() -> None:
    conversation = Conversation.read(REAL["cli-topic-list"])
    assert list(mutated(conversation, 20, random.Random(1))) == []


# Promises that are not kept are told of: here a fault breaks them.


def judged(request: FetchRequest | FetchOffsetsRequest | StreamFetchRequest, fault: Action) -> str:
    """What the judge says of a fake with a fault."""
    stage = Stage(beginning_of(Conversation.read(REAL[SCENARIO])))
    stage.start()
    call = type(request).__name__.removesuffix("Request")
    stage.broker.plant(Fault(Match(api=call), fault, times=None))
    judge = Judge(stage)
    judge.try_out(Mutant(1, 5002, request, 25, "nothing"))
    stage.stop()
    return " | ".join(one.promise for one in judge.broken)


def fetch(start: int = 0) -> FetchRequest:
    part = FetchPartition(partition_index=0, fetch_offset=start)
    topics = (FetchTopic(name="t1", fetch_partitions=(part,)),)
    return FetchRequest(max_bytes=1_000_000, topics=topics)


def ends() -> FetchOffsetsRequest:
    topic = FetchOffsetTopic(name="t1", partitions=(FetchOffsetPartition(partition_index=0),))
    return FetchOffsetsRequest(topics=(topic,))


def stream() -> StreamFetchRequest:
    return StreamFetchRequest(topic="t1", partition=0, fetch_offset=0, max_bytes=1_000_000)


def test_two_replies_break_a_promise() -> None:
    assert judged(ends(), Repeat()) == "2 replies"


def test_no_reply_breaks_a_promise() -> None:
    assert judged(fetch(), NeverAnswer()) == "no reply, and the connection stays"


def test_a_cut_reply_breaks_a_promise() -> None:
    assert "a reply that does not decode" in judged(ends(), Truncate(3))


def test_other_bytes_than_those_of_the_log_break_a_promise() -> None:
    assert "bytes that are not those of the log from 0 on" in judged(fetch(), CorruptCrc())


def test_an_untrue_error_breaks_a_promise() -> None:
    action = AnswerError(ErrorCode(code=Code.NOT_LEADER_FOR_PARTITION))
    assert "not the leader, which it is" in judged(fetch(), action)


def test_pushes_without_acknowledgement_break_a_promise() -> None:
    assert "2 pushes at once" in judged(stream(), Repeat())
