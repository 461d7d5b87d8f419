"""What requests are for, and answers that say an error whatever the truth.

Pure functions over messages, for :mod:`txfluvio.testing.faults` and those who apply them: which
topics and partitions a request names, how the answer to it looks that refuses all of them or some,
and what is left of the request then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import singledispatch
from typing import Any

import attrs

from ...wire.codes import ErrorCode
from ...wire.sc import (
    TOPIC,
    CreateRequest,
    DeleteRequest,
    StatusResponse,
    UpdateRequest,
)
from ...wire.schema import Message, evolve
from ...wire.spu import (
    DeleteConsumerOffsetRequest,
    DeleteConsumerOffsetResponse,
    FetchConsumerOffsetsRequest,
    FetchConsumerOffsetsResponse,
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
    FetchRequest,
    FetchResponse,
    OffsetUpdateStatus,
    PartitionProduceResponse,
    PartitionResponse,
    ProduceRequest,
    ProduceResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicFetchResponse,
    TopicProduceResponse,
    UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
    UpdateOffsetsRequest,
    UpdateOffsetsResponse,
)
from ...wire.versions import ApiVersionsRequest, ApiVersionsResponse

Named = tuple[str, int | None]
"""A topic and a partition; ``None`` for the topic as a whole."""

Chosen = Callable[[str, int | None], bool]
"""Which topics and partitions are meant."""


@attrs.frozen
class _Lists:
    """How a call lists partitions: where its request and its reply have them, and their forms."""

    asked: str
    answered: str
    reply: Callable[..., Message]
    topic: Callable[..., Any]
    refusal: Callable[[int, ErrorCode], Any]


def _refused_produce(number: int, code: ErrorCode) -> PartitionProduceResponse:
    return PartitionProduceResponse(partition_index=number, error_code=code)


def _refused_fetch(number: int, code: ErrorCode) -> PartitionResponse:
    return PartitionResponse(partition_index=number, error_code=code)


def _refused_ends(number: int, code: ErrorCode) -> FetchOffsetPartitionResponse:
    return FetchOffsetPartitionResponse(
        partition_index=number, error_code=code, start_offset=0, last_stable_offset=0
    )


_LISTS: Mapping[type[Message], _Lists] = {
    ProduceRequest: _Lists(
        "partitions", "responses", ProduceResponse, TopicProduceResponse, _refused_produce
    ),
    FetchRequest: _Lists(
        "fetch_partitions", "topics", FetchResponse, TopicFetchResponse, _refused_fetch
    ),
    FetchOffsetsRequest: _Lists(
        "partitions", "topics", FetchOffsetsResponse, FetchOffsetTopicResponse, _refused_ends
    ),
}

NAMING_PARTITIONS = frozenset(
    one.api.name
    for one in (
        ProduceRequest,
        FetchRequest,
        FetchOffsetsRequest,
        StreamFetchRequest,
        DeleteConsumerOffsetRequest,
        FetchConsumerOffsetsRequest,
    )
)
"""The calls that say which partition they are for."""

NAMING_TOPICS = NAMING_PARTITIONS | {
    one.api.name for one in (CreateRequest, DeleteRequest, UpdateRequest)
}
"""The calls that say which topic they are for."""

ANSWERING_ERRORS = NAMING_TOPICS | {
    one.api.name for one in (UpdateOffsetsRequest, UpdateConsumerOffsetRequest, ApiVersionsRequest)
}
"""The calls whose answer has a place for an error."""


# What a request is for


@singledispatch
def named(message: Message) -> tuple[Named, ...]:
    """The topics and partitions that a request is for, in its order; empty if it names none."""
    lists = _LISTS.get(type(message))
    return () if lists is None else tuple(_listed(message, lists))


def _listed(message: Any, lists: _Lists) -> Iterator[Named]:
    for topic in message.topics:
        for entry in getattr(topic, lists.asked):
            yield topic.name, entry.partition_index


@named.register
def _(message: StreamFetchRequest) -> tuple[Named, ...]:
    return ((message.topic, message.partition),)


@named.register
def _(message: DeleteConsumerOffsetRequest) -> tuple[Named, ...]:
    return ((message.replica_id.topic, message.replica_id.partition),)


@named.register
def _(message: FetchConsumerOffsetsRequest) -> tuple[Named, ...]:
    wanted = message.filter_opts
    if wanted is None or wanted.replica_id is None:
        return ()
    return ((wanted.replica_id.topic, wanted.replica_id.partition),)


@named.register
def _(message: CreateRequest) -> tuple[Named, ...]:
    return ((message.name, None),) if message.kind is TOPIC else ()


@named.register
def _(message: DeleteRequest) -> tuple[Named, ...]:
    return ((message.key, None),) if message.kind is TOPIC else ()


@named.register
def _(message: UpdateRequest) -> tuple[Named, ...]:
    return ((message.key, None),) if message.kind is TOPIC else ()


# Refusing


def without(message: Message, chosen: Chosen) -> Message | None:
    """What is left of a request when those chosen are not asked for; ``None``: nothing at all."""
    lists = _LISTS.get(type(message))
    if lists is None or all(chosen(*one) for one in named(message)):
        return None
    request: Any = message
    topics = []
    for topic in request.topics:
        entries = getattr(topic, lists.asked)
        kept = tuple(one for one in entries if not chosen(topic.name, one.partition_index))
        topics.append(evolve(topic, **{lists.asked: kept}))
    return evolve(message, topics=tuple(topics))


def completed(message: Message, reply: Message, chosen: Chosen, code: ErrorCode) -> Message:
    """The reply to what :func:`without` left, with a refusal in the place of each one chosen."""
    lists = _LISTS[type(message)]
    request: Any = message
    topics = []
    for topic, answer in zip(request.topics, getattr(reply, lists.answered), strict=True):
        rest = iter(answer.partitions)
        entries = tuple(
            lists.refusal(one.partition_index, code)
            if chosen(topic.name, one.partition_index)
            else next(rest)
            for one in getattr(topic, lists.asked)
        )
        topics.append(evolve(answer, partitions=entries))
    return evolve(reply, **{lists.answered: tuple(topics)})


def replaced(message: Message, reply: Message, chosen: Chosen, code: ErrorCode) -> Message:
    """A reply with a refusal instead of what it says of those chosen."""
    lists = _LISTS.get(type(message))
    if isinstance(reply, StreamFetchResponse):
        return evolve(reply, partition=_refused_fetch(reply.partition.partition_index, code))
    if lists is None:
        return refusal(message, code)
    request: Any = message
    topics = []
    for topic, answer in zip(request.topics, getattr(reply, lists.answered), strict=True):
        entries = tuple(
            lists.refusal(one.partition_index, code)
            if chosen(topic.name, one.partition_index)
            else one
            for one in answer.partitions
        )
        topics.append(evolve(answer, partitions=entries))
    return evolve(reply, **{lists.answered: tuple(topics)})


@singledispatch
def refusal(message: Message, code: ErrorCode) -> Message:
    """The answer that refuses a whole request.

    :raises TypeError: its answer has no place for an error.
    """
    lists = _LISTS.get(type(message))
    if lists is None:
        raise TypeError(f"the answer to {type(message).__name__} says no error")
    request: Any = message
    topics = tuple(
        lists.topic(
            name=topic.name,
            partitions=tuple(
                lists.refusal(one.partition_index, code) for one in getattr(topic, lists.asked)
            ),
        )
        for topic in request.topics
    )
    return lists.reply(**{lists.answered: topics})


@refusal.register
def _(message: ApiVersionsRequest, code: ErrorCode) -> Message:
    return ApiVersionsResponse(error_code=code, api_keys=(), platform_version="")


@refusal.register
def _(message: StreamFetchRequest, code: ErrorCode) -> Message:
    partition = _refused_fetch(message.partition, code)
    return StreamFetchResponse(topic=message.topic, stream_id=0, partition=partition)


@refusal.register
def _(message: UpdateOffsetsRequest, code: ErrorCode) -> Message:
    return UpdateOffsetsResponse(
        status=tuple(
            OffsetUpdateStatus(session_id=one.session_id, error=code) for one in message.offsets
        )
    )


@refusal.register
def _(message: UpdateConsumerOffsetRequest, code: ErrorCode) -> Message:
    return UpdateConsumerOffsetResponse(offset=0, error_code=code)


@refusal.register
def _(message: DeleteConsumerOffsetRequest, code: ErrorCode) -> Message:
    return DeleteConsumerOffsetResponse(error_code=code)


@refusal.register
def _(message: FetchConsumerOffsetsRequest, code: ErrorCode) -> Message:
    return FetchConsumerOffsetsResponse(error_code=code, consumers=())


@refusal.register
def _(message: CreateRequest, code: ErrorCode) -> Message:
    return StatusResponse(name=message.name, error_code=code)


@refusal.register
def _(message: DeleteRequest, code: ErrorCode) -> Message:
    return StatusResponse(name=str(message.key), error_code=code)


@refusal.register
def _(message: UpdateRequest, code: ErrorCode) -> Message:
    return StatusResponse(name=str(message.key), error_code=code)
