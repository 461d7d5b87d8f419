"""An SPU's public port: the calls that move records, streams, and stored consumer offsets.

An :class:`SpuPort` answers what ``fluvio-spu/src/services/public/`` answers, on connections that
somebody else accepts and frames (:mod:`txfluvio.testing.server.protocol`). It knows which call is
answered where: the modules imported here hold one call each, or a few that belong together. It
never shows whether a partition is led elsewhere or nowhere at all.

An SPU decodes every request by the version in its header, whatever it has said of itself, and
answers the calls on stored offsets though it never lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from ...errors import ProtocolError
from ...wire.schema import SPU_APIS, Message, evolve
from ...wire.spu import (
    DeleteConsumerOffsetRequest,
    FetchConsumerOffsetsRequest,
    FetchOffsetsRequest,
    FetchRequest,
    ProduceRequest,
    StreamFetchRequest,
    UpdateConsumerOffsetRequest,
    UpdateOffsetsRequest,
)
from ...wire.versions import ApiVersionsRequest, ApiVersionsResponse
from ..server.protocol import Connection, Incoming, Nothing
from .fetch import fetch, fetch_offsets
from .offset_calls import delete_offset, list_offsets, store_offset
from .produce import produce
from .session import Session
from .spu import Spu
from .stream_calls import acknowledge, open_stream

PLATFORM_VERSION = "0.0.0"
"""What every SPU says its platform is."""

OLD_STREAM_FETCH = 15
"""The newest version of StreamFetch that a client without a version of its own is offered."""


class SpuPort:
    """Answers the calls of one SPU's public port."""

    def __init__(self, spu: Spu) -> None:
        self._spu = spu
        self._sessions: dict[Connection, Session] = {}

    def requested(self, request: Incoming, connection: Connection) -> Deferred[None] | None:
        """Deal with one request; the next of its connection has to wait for the Deferred.

        :raises ProtocolError: the request can not be understood, or would crash a real SPU.
        """
        header = request.header
        api = SPU_APIS.get(header.api_key)
        if api is None:
            raise ProtocolError(f"no call of an SPU has the key {header.api_key}")
        call = _CALLS.get(api.request)
        if call is None:
            raise ProtocolError(f"{api.name} is not served")
        if header.api_version < 0:
            if api.request is ProduceRequest:
                raise ProtocolError(f"a Produce of version {header.api_version}")
            connection.reply(Nothing(), request)
            return None
        message = api.request.decode(request.payload, header.api_version, request.body)
        return call(self._spu, message, request, self._session(connection))

    def identified(self, connection: Connection) -> None:
        """Nothing: an SPU serves everybody whose certificate is good."""

    def half_alive(self, connection: Connection) -> bool:
        """No: an impossible frame size ends the connection."""
        return False

    def _session(self, connection: Connection) -> Session:
        """What is kept for a connection, from its first request to its end."""
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = Session(connection)

            def forget() -> None:
                self._sessions.pop(connection).end()

            connection.on_close(forget)
        return session


def _versions(spu: Spu, message: ApiVersionsRequest, request: Incoming, session: Session) -> None:
    offered = spu.release.spu
    if not message.client_version:
        offered = tuple(
            evolve(one, max_version=min(one.max_version, OLD_STREAM_FETCH))
            if one.api_key == StreamFetchRequest.api.key
            else one
            for one in offered
        )
    answer = ApiVersionsResponse(api_keys=offered, platform_version=PLATFORM_VERSION)
    session.connection.reply(answer, request)


_CALLS: Mapping[type[Message], Callable[[Spu, Any, Incoming, Session], Deferred[None] | None]] = {
    ApiVersionsRequest: _versions,
    ProduceRequest: produce,
    FetchRequest: fetch,
    FetchOffsetsRequest: fetch_offsets,
    StreamFetchRequest: open_stream,
    UpdateOffsetsRequest: acknowledge,
    UpdateConsumerOffsetRequest: store_offset,
    DeleteConsumerOffsetRequest: delete_offset,
    FetchConsumerOffsetsRequest: list_offsets,
}
