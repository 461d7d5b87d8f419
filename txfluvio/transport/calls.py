"""Who waits on a connection: for one reply, or for many.

The two kinds of entries in the table of :class:`~txfluvio.transport.protocol.FluvioProtocol`, and
all that users of a connection hold of it. They know nothing of bytes or of the transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from ..errors import FluvioError, RequestTimedOut
from ..wire.schema import Api

_log = Logger()


class Table(Protocol):
    """Knows who waits for which reply.

    :ivar address: the peer, ``"host:port"``, for messages.
    """

    address: str

    def give_up(self, waiter: Call | ReplyStream, /) -> None:
        """It waits no more, and replies to it may come."""


class Call:
    """A request that waits for its one reply.

    :ivar correlation_id: what ties the reply to it.
    :ivar version: the version it was sent at.
    """

    __slots__ = (
        "_table",
        "api",
        "correlation_id",
        "on_failed",
        "on_reply",
        "seconds",
        "sent_at",
        "version",
    )

    def __init__(
        self,
        table: Table,
        api: Api,
        version: int,
        on_reply: Callable[[Any], object],
        on_failed: Callable[[FluvioError], object],
        seconds: float,
    ) -> None:
        self._table = table
        self.api = api
        self.version = version
        self.on_reply = on_reply
        self.on_failed = on_failed
        self.seconds = seconds
        self.sent_at = 0.0
        self.correlation_id = 0

    def abandon(self) -> None:
        """Wait no more: neither callback is called, and a late reply is dropped.

        The request was sent and may still take effect.
        """
        self._table.give_up(self)

    def expired(self) -> None:
        """The deadline has passed."""
        self._table.give_up(self)
        what = f"{self.api.name} to {self._table.address}"
        tell(self.on_failed, RequestTimedOut(what, self.seconds))


class ReplyStream:
    """A request that is answered again and again, until the connection ends.

    :ivar correlation_id: what ties the replies to it.
    :ivar version: the version it was sent at.
    :ivar on_reply: called with each reply.
    :ivar on_closed: called once if the connection ends, or sends a reply that can not be read,
        before :meth:`close` was called.
    """

    __slots__ = ("_table", "api", "correlation_id", "on_closed", "on_reply", "version")

    def __init__(
        self,
        table: Table,
        api: Api,
        version: int,
        on_reply: Callable[[Any], None],
        on_closed: Callable[[FluvioError], None],
    ) -> None:
        self._table = table
        self.api = api
        self.version = version
        self.on_reply = on_reply
        self.on_closed = on_closed
        self.correlation_id = 0

    def close(self) -> None:
        """Drop the replies still to come; neither callback is called again.

        The protocol has no request that ends a stream, so the server goes on sending until its own
        limit of what is unacknowledged, or until the connection ends.
        """
        self._table.give_up(self)


def tell(callback: Callable[[Any], object], value: object) -> None:
    """Call back; what is wrong in a callback is logged, and does not concern the connection."""
    try:
        callback(value)
    except Exception:
        _log.failure("{callback!r} failed", callback=callback)
