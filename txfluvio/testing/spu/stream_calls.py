"""StreamFetch and UpdateOffsets: a stream is opened, and goes on."""

from __future__ import annotations

from typing import Final

from ...errors import ProtocolError
from ...wire.codes import NO_ERROR, Code, error
from ...wire.spu import (
    OffsetUpdateStatus,
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateOffsetsRequest,
    UpdateOffsetsResponse,
)
from ..server.protocol import Incoming
from ..smartmodules.chain import ChainError
from .session import Session
from .spu import Spu
from .stream import Stream

MAX_STREAMS: Final = 65_536
"""The most streams of one connection, those that are over included: there is no closing them. A
client may have one for each partition of a cluster."""


def open_stream(spu: Spu, message: StreamFetchRequest, request: Incoming, session: Session) -> None:
    """Open a stream; one that can not be opened is told so by a push.

    :raises ProtocolError: the connection has :data:`MAX_STREAMS` already.
    """
    replica = spu.leads((message.topic, message.partition))
    if replica is None:
        partition = PartitionResponse(
            partition_index=message.partition, error_code=error(Code.NOT_LEADER_FOR_PARTITION)
        )
        push = StreamFetchResponse(topic=message.topic, stream_id=0, partition=partition)
        session.connection.push(push, request)
        return
    streams = session.streams
    if len(streams) >= MAX_STREAMS:
        raise ProtocolError(f"more than {MAX_STREAMS} streams")
    number = len(streams) + 1
    stream = streams[number] = Stream(number, replica, message, request, session.connection)
    chain = None
    if message.smartmodules:
        try:
            chain = spu.modules.start(message.smartmodules, request.header.api_version, spu.now)
            chain.look_back(replica.log, spu.now())
        except ChainError as reason:
            stream.fail(reason.error)
            return
    stream.open(message.fetch_offset, chain)


def acknowledge(
    spu: Spu, message: UpdateOffsetsRequest, request: Incoming, session: Session
) -> None:
    """Tell of each update whether its stream is known, and then let the streams go on.

    They see what was updated once all is: each the last that was said of it.
    """
    streams = session.streams
    unknown = error(Code.FETCH_SESSION_NOT_FOUND)
    status = tuple(
        OffsetUpdateStatus(
            session_id=one.session_id, error=NO_ERROR if one.session_id in streams else unknown
        )
        for one in message.offsets
    )
    session.connection.reply(UpdateOffsetsResponse(status=status), request)
    for number, offset in {one.session_id: one.offset for one in message.offsets}.items():
        if number in streams:
            streams[number].acknowledge(offset)
