"""The calls on stored consumer offsets, none of which any SPU lists.

An offset is stored through a stream of its consumer, on any SPU; deleting and listing are for the
leader of ``consumer-offset/0`` (``fluvio-spu/src/services/public/consumer_handler.rs``).
"""

from __future__ import annotations

from ...wire.codes import NO_ERROR, Code, ErrorCode, error
from ...wire.spu import (
    DeleteConsumerOffsetRequest,
    DeleteConsumerOffsetResponse,
    FetchConsumerOffsetsRequest,
    FetchConsumerOffsetsResponse,
    UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
)
from ..server.protocol import Incoming
from .replica import AppendError, Key
from .session import Session
from .spu import Spu
from .stored_offsets import STORED_OFFSETS, StoredOffsets


def offsets_anywhere(spu: Spu) -> StoredOffsets | str:
    """The stored offsets, led by this SPU or by another, or why they can not be had."""
    offsets = spu.stored_offsets
    if offsets is not None:
        return offsets
    neighbours = spu.neighbours
    if neighbours is None or not neighbours.exists(STORED_OFFSETS):
        return "the topic was not found"
    leader = neighbours.leader(STORED_OFFSETS)
    offsets = None if leader is None else leader.stored_offsets
    if offsets is not None:
        return offsets
    address = neighbours.private_address(STORED_OFFSETS)
    if address is None:
        return "the SPU was not found"
    refused = "Socket io Connection refused (os error 111)"
    return f"Other error: {refused}, can't connect to {address}"


def store_offset(
    spu: Spu, message: UpdateConsumerOffsetRequest, request: Incoming, session: Session
) -> None:
    """Store any number for the consumer of a stream of this connection."""
    stream = session.streams.get(message.session_id)
    if stream is None:
        code = error(Code.FETCH_SESSION_NOT_FOUND)
    elif stream.consumer_id is None:
        code = error(Code.OTHER, text="stream without consumer id")
    else:
        code = _store(spu, stream.key, stream.consumer_id, message.offset)
    offset = 0 if code else message.offset
    session.connection.reply(UpdateConsumerOffsetResponse(offset=offset, error_code=code), request)


def _store(spu: Spu, key: Key, consumer_id: str, offset: int) -> ErrorCode:
    offsets = offsets_anywhere(spu)
    if isinstance(offsets, str):
        return error(Code.OTHER, text="update offset in peer")
    try:
        offsets.put(key, consumer_id, offset)
    except AppendError as reason:
        return error(Code.OTHER, text=_refusal(reason))
    return NO_ERROR


def _refusal(reason: AppendError) -> str:
    """Why the log does not take an offset, in the words of the SPU's storage."""
    if reason.error.code == Code.PARTITION_SHORT_CIRCUITED:
        return "Storage is short-circuited"
    return reason.error.name


def delete_offset(
    spu: Spu, message: DeleteConsumerOffsetRequest, request: Incoming, session: Session
) -> None:
    """Forget an offset, stored or not."""
    offsets, key = spu.stored_offsets, message.replica_id
    code = NO_ERROR
    if offsets is None:
        code = error(Code.PARTITION_NOT_LEADER)
    else:
        try:
            offsets.delete((key.topic, key.partition), message.consumer_id)
        except AppendError as reason:
            text = f"unable to delete consumer: {_refusal(reason)}"
            code = error(Code.OTHER, text=text)
    session.connection.reply(DeleteConsumerOffsetResponse(error_code=code), request)


def list_offsets(
    spu: Spu, message: FetchConsumerOffsetsRequest, request: Incoming, session: Session
) -> None:
    """List the offsets that pass both filters, but for partitions that are gone."""
    offsets = spu.stored_offsets
    if offsets is None:
        code = error(Code.PARTITION_NOT_LEADER)
        session.connection.reply(
            FetchConsumerOffsetsResponse(error_code=code, consumers=()), request
        )
        return
    wanted = message.filter_opts
    consumers = tuple(
        one
        for one in offsets.all()
        if (wanted is None or wanted.replica_id in (None, one.replica_id))
        and (wanted is None or wanted.consumer_id in (None, one.consumer_id))
        and _exists(spu, (one.replica_id.topic, one.replica_id.partition))
    )
    session.connection.reply(FetchConsumerOffsetsResponse(consumers=consumers), request)


def _exists(spu: Spu, key: Key) -> bool:
    return spu.neighbours.exists(key) if spu.neighbours is not None else key in spu.replicas
