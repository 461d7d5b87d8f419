"""One stream on a connection of its own: what is sent on it, and what its pushes mean.

Everything here dies with the connection. Streams cannot be closed on the wire, so a stream that
is not wanted any more takes its connection with it; and since it is the only one there, its id is
known before the first push tells it.

A stream has one push under way and sends the next when an offset is acknowledged: send me from
there on. That is the whole flow control. An acknowledgement leaves as soon as it is known where
the push ends and the budget has room for one more, and the connection itself is never paused,
since acknowledgements and commits are answered on it.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.python.failure import Failure

from ..errors import Disconnected, FetchSessionNotFound, FluvioError, ProtocolError
from ..transport.calls import ReplyStream
from ..transport.protocol import FluvioProtocol
from ..wire.schema import Message, Request
from ..wire.spu import (
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateConsumerOffsetResponse,
    UpdateOffsetsResponse,
)
from . import requests
from .backlog import Backlog
from .budget import Allowance

R = TypeVar("R", bound=Message)

MAX_EMPTY_PUSHES: Final = 16
"""Pushes in a row that may bring nothing, neither records nor a further offset. An SPU sends none
at all; one that did, and was asked for the next each time, would keep both sides busy for ever."""


class SessionOwner(Protocol):
    """The partition whose stream it is."""

    @property
    def listening(self) -> bool:
        """Whether pushes are wanted."""

    def keep(self, brought: PartitionResponse) -> bool:
        """Take what came in; False if it holds no complete batch."""

    def refused(self, brought: PartitionResponse) -> None:
        """The SPU has ended the stream, not the connection, with the error in ``brought``."""

    def interrupt(self, reason: FluvioError | None = None) -> None:
        """The session is over."""


class Session:
    """A connection and the stream on it.

    :ivar oversized: gets the size of a batch that no push can bring, or None if a push was too
        short to tell even that. No more comes before that batch was fetched and acknowledged.
    :ivar asked: how many pushes were asked for.
    :ivar pushed: how many have come.
    """

    def __init__(
        self,
        owner: SessionOwner,
        connection: FluvioProtocol,
        target: requests.Target,
        backlog: Backlog,
        allowance: Allowance,
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._target = target
        self._backlog = backlog
        self._allowance = allowance
        self._stream: ReplyStream | None = None
        self._over = False
        self._refused = False
        self._empty = 0
        self.asked = 0
        self.pushed = 0
        connection.when_closed().addCallback(self._lost)
        self.oversized: DeferredQueue[int | None] = DeferredQueue(size=1, backlog=1)

    def request(self, message: Request[R]) -> Deferred[R]:
        """Ask the SPU something, in the order of all that is asked on this connection.

        Cancelling ends the waiting and no more.
        """
        return self._connection.request(message)

    def ends(self) -> Deferred[requests.LogEnds]:
        """The first offset in the log and the high watermark, asked now.

        Cancelling ends the waiting and no more.

        :raises BrokerError: the SPU does not tell.
        """
        return self.request(self._target.ask_ends()).addCallback(self._target.ends)

    def open(self, message: StreamFetchRequest) -> None:
        """Open the stream; nothing comes while there is nothing to send."""
        self.asked += 1
        self._stream = self._connection.open_stream(message, self._pushed, self._unanswered)

    def close(self) -> Deferred[FluvioError]:
        """End the stream, by ending the connection; fires when it is gone."""
        self._over = True
        self._allowance.withdraw()
        if self._stream is not None:
            self._stream.close()
        closed = self._connection.when_closed()
        self._connection.close()
        return closed

    @property
    def received(self) -> int:
        """The offset behind the last record received."""
        return self._backlog.received

    def acknowledge(self) -> None:
        """Ask for the next push, now or when there is room for it."""
        if self._owner.listening:
            self._allowance.ask(self._allowance.slot, self._send_acknowledgement)

    @property
    def due(self) -> bool:
        """Whether a push was asked for that has not come, and is wanted yet."""
        return self.pushed < self.asked and self._owner.listening

    def silent_since(self, asked: int) -> bool:
        """Whether the push that was asked for last, as number ``asked``, has not come yet."""
        return self.asked == asked and self.pushed < asked

    def store(self, offset: int) -> Deferred[None]:
        """Store an offset for the stream's consumer.

        Cancelling ends the waiting; the offset may be stored.

        :raises BrokerError: it could not be stored. Retriable where a new session may help.
        """
        reply = self._connection.request(requests.store(offset))
        return reply.addCallbacks(self._stored, self._not_stored, callbackArgs=(offset,))

    def _pushed(self, push: StreamFetchResponse) -> None:
        if self.pushed == self.asked and not push.partition.error_code:
            # Nobody asked for it: it comes a second time, and would be acknowledged twice.
            return
        self.pushed += 1
        if self._over or self._refused or not self._owner.listening:
            return
        before = self._backlog.received
        try:
            brought = self._target.pushed(push)
            whole = self._owner.keep(brought)
        except ProtocolError as error:
            self._owner.interrupt(error)
            return
        if brought.error_code:
            # What ends the stream does so once.
            self._refused = True
            self._owner.refused(brought)
        elif self._backlog.received != before or len(brought.records):
            self._empty = 0
            if whole:
                self.acknowledge()
            else:
                self.oversized.put(brought.records.needed())
        elif self._empty < MAX_EMPTY_PUSHES:
            self._empty += 1
            self.acknowledge()
        else:
            self._owner.interrupt(
                ProtocolError(
                    f"more than {MAX_EMPTY_PUSHES} in a row that bring nothing",
                    message=type(push).__name__,
                )
            )

    def _send_acknowledgement(self) -> None:
        message = requests.acknowledge(self._backlog.received)
        self.asked += 1
        try:
            self._connection.send(message, self._acknowledged, self._unanswered)
        except FluvioError as error:
            self._unanswered(error)

    def _acknowledged(self, reply: UpdateOffsetsResponse) -> None:
        if any(status.error for status in reply.status):
            self._lost(_renewable(FetchSessionNotFound(what=str(self._target))))

    def _stored(self, reply: UpdateConsumerOffsetResponse, offset: int) -> None:
        if reply.error_code:
            error = self._target.error(reply.error_code)
            if isinstance(error, FetchSessionNotFound):
                _renewable(error)
            if error.retriable:
                # It is sent again over the next connection, so there has to be one.
                self._lost(error)
            raise error
        if reply.offset != offset:
            # It is about something else, and nobody knows whether this one is stored.
            wrong = ProtocolError(
                f"{reply.offset} instead of {offset}", message=type(reply).__name__, field="offset"
            )
            self._lost(wrong)
            raise wrong

    def _not_stored(self, failure: Failure) -> Failure:
        if isinstance(failure.value, FluvioError):
            self._unanswered(failure.value)
        return failure

    def _unanswered(self, error: FluvioError) -> None:
        """A request got no answer, or one that can not be read.

        If that is because the connection is lost, it will be said when everybody was told.
        """
        if not isinstance(error, Disconnected):
            self._lost(error)

    def _lost(self, reason: FluvioError) -> None:
        if not self._over:
            self._owner.interrupt(reason)


def _renewable(error: FluvioError) -> FluvioError:
    error.retriable = True
    return error
