"""What an SPU keeps for one connection."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from ..server.protocol import Connection
from .stream import Stream


@attrs.define
class Session:
    """A connection, and what an SPU keeps for it: its streams by id, and what it waits for."""

    connection: Connection
    streams: dict[int, Stream] = attrs.Factory(dict)
    waiting: Deferred[None] | None = None

    def end(self) -> None:
        """Nothing of it goes on: the connection is gone."""
        for stream in self.streams.values():
            stream.end()
        if self.waiting is not None:
            self.waiting.cancel()
