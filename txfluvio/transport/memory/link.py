"""A connection in memory: bytes under way between two ends that have the manners of TCP.

A :class:`MemoryLink` has a :class:`MemoryTransport` at either end, and is what a test disturbs.
Which addresses there are, and how a connection comes about, is not known here.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeAlias, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .events import Event, Events

RECEIVE_SIZE: Final = 65_536
"""The most bytes that one ``dataReceived()`` gets, as with Twisted's TCP."""

HIGH_WATER: Final = 65_536
"""Bytes under way in one direction that the network holds for a reader who does not read. A writer
who has more under way is paused, and does not get rid of its connection before they fit."""

LOW_WATER: Final = HIGH_WATER // 2
"""A paused writer is resumed when no more bytes than this are under way."""

Split: TypeAlias = int | Callable[[int], int]
"""How many bytes to deliver at a time: a number, or a function of the number available."""

_log = Logger()


class Direction(enum.Enum):
    """One of the two ways along a link."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


def _nothing() -> None:
    pass


def _reset() -> Failure:
    return Failure(ConnectionLost("the connection was reset"))


@attrs.define
class _End:
    """How a direction ends: in order behind its last byte, or at once by a reset."""

    due: float
    reset: bool


class _Flow:
    """The bytes under way in one direction of a link."""

    def __init__(self, events: Events, split: Split | None) -> None:
        self._events = events
        self._chunks: deque[tuple[float, bytes | memoryview]] = deque()
        self._end: _End | None = None
        self._finished = False
        self._latest = 0.0
        self._event: Event | None = None
        self._stalled = False
        self._lossy = False
        self.size = 0
        self.split = split
        self.source: MemoryTransport
        self.sink: MemoryTransport

    # What the writing end does

    def put(self, data: bytes) -> None:
        if self.sink.disconnected:
            return
        self.size += len(data)
        if not self._lossy:
            self._chunks.append((self._arrival(), data))
            self._schedule()

    def finish(self) -> None:
        """No more bytes will follow those that are under way."""
        if not self._finished:
            self._finished = True
            self._end = _End(self._arrival(), reset=False)
            self._schedule()

    def clear(self) -> None:
        """Lose what is under way."""
        self._chunks.clear()
        self._unschedule()

    def reset(self) -> None:
        """Lose what is under way; the reader learns that no more will come."""
        self.clear()
        self._end = _End(self._events.arrival, reset=True)
        self._schedule()

    # What happens to it

    def stall(self) -> None:
        self._stalled = True

    def resume(self) -> None:
        self._stalled = False
        self._schedule()

    def drop(self) -> None:
        """Lose what is under way and all that follows; the writer is not told, and fills up."""
        self._lossy = True
        self.clear()

    def discard(self) -> None:
        """Nobody reads any more."""
        self.drop()
        if self.size:
            self.size = 0
            self._events.soon(self.source.drained)

    def wake(self) -> None:
        """The reader may read again."""
        self._schedule()

    def _arrival(self) -> float:
        self._latest = max(self._latest, self._events.arrival)
        return self._latest

    def _blocked(self) -> bool:
        if self._stalled:
            return True
        return not self.sink.reading and (self._end is None or not self._end.reset)

    def _due(self) -> float | None:
        if self._chunks:
            return self._chunks[0][0]
        return None if self._lossy or self._end is None else self._end.due

    def _schedule(self) -> None:
        due = self._due()
        if self._event is None and due is not None and not self._blocked():
            self._event = self._events.at(due, self._step)

    def _unschedule(self) -> None:
        if self._event is not None:
            self._event.cancel()
            self._event = None

    def _step(self) -> None:
        self._event = None
        if self._blocked():
            return
        if self._chunks:
            data = self._take()
            self.sink.receive(data)
            self.source.drained()
        elif self._end is not None:
            reset = self._end.reset
            self._end = None
            if reset:
                self.sink.lose(_reset())
            else:
                self.sink.receive_end()
        self._schedule()

    def _take(self) -> bytes:
        now = self._events.now
        available = 0
        for due, chunk in self._chunks:
            if available >= RECEIVE_SIZE or (available and due > now):
                break
            available += len(chunk)
        size = min(available, RECEIVE_SIZE)
        if self.split is not None:
            wanted = self.split if isinstance(self.split, int) else self.split(size)
            size = min(size, max(1, wanted))
        pieces = []
        left = size
        while left:
            due, chunk = self._chunks.popleft()
            if len(chunk) > left:
                self._chunks.appendleft((due, memoryview(chunk)[left:]))
                chunk = chunk[:left]
            pieces.append(chunk)
            left -= len(chunk)
        data = b"".join(pieces)
        self.size -= len(data)
        return data


@implementer(ITCPTransport, IPushProducer, IConsumer)
class MemoryTransport:
    """One end of a link."""

    disconnecting = False
    """``loseConnection()`` was called; it is done when the bytes written have found room."""

    disconnected = False
    """The protocol was told that the connection is lost."""

    def __init__(
        self,
        events: Events,
        host: IPv4Address,
        peer: IPv4Address,
        incoming: _Flow,
        outgoing: _Flow,
    ) -> None:
        self._events = events
        self._host = host
        self._peer = peer
        self._incoming = incoming
        self._outgoing = outgoing
        self._when_lost: Callable[[], object] = _nothing
        self._aborting = False
        self._paused = False
        self._write_ended = False
        self._producer: IProducer | None = None
        self._streaming = False
        self._producer_paused = False
        self._producer_awaited = False
        self._no_delay = False
        self._keep_alive = False
        self.protocol: IProtocol
        incoming.sink = self
        outgoing.source = self

    # ITransport and ITCPTransport

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"bytes are needed, not {type(data).__name__}")
        if not data or self.disconnected or self._aborting or self._write_ended:
            return
        self._producer_awaited = False
        self._outgoing.put(data)
        if (
            self._producer is not None
            and self._streaming
            and not self._producer_paused
            and self._outgoing.size > HIGH_WATER
        ):
            self._producer_paused = True
            cast(IPushProducer, self._producer).pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.disconnecting and not self.disconnected:
            self.disconnecting = True
            self._events.soon(self._close_when_flushed)

    def loseWriteConnection(self) -> None:
        if not self._write_ended and not self.disconnected:
            self._write_ended = True
            self._outgoing.finish()

    def abortConnection(self) -> None:
        if not self._aborting and not self.disconnected:
            self._aborting = True
            self._outgoing.clear()
            self._events.soon(partial(self.lose, Failure(ConnectionAborted())))

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getTcpNoDelay(self) -> bool:
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._no_delay = enabled

    def getTcpKeepAlive(self) -> bool:
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._keep_alive = enabled

    # IPushProducer: what this end reads

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._incoming.wake()

    def stopProducing(self) -> None:
        self.loseConnection()

    # IConsumer: what this end writes

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} was never unregistered")
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            cast(IPullProducer, producer).resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        self._producer_awaited = False
        if self.disconnecting:
            self._events.soon(self._close_when_flushed)

    # The events

    @property
    def reading(self) -> bool:
        """Whether bytes may be delivered now."""
        return not (self._paused or self.disconnecting or self._aborting or self.disconnected)

    def connect(self, protocol: IProtocol, when_lost: Callable[[], object] = _nothing) -> None:
        """Give the connection to its protocol; ``when_lost`` is called after it has lost it."""
        self.protocol = protocol
        self._when_lost = when_lost
        self._guarded(lambda: protocol.makeConnection(self))

    def receive(self, data: bytes) -> None:
        self._guarded(lambda: self.protocol.dataReceived(data))

    def receive_end(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol):
            half_closeable = cast(IHalfCloseableProtocol, self.protocol)
            self._guarded(half_closeable.readConnectionLost)
        else:
            self.lose(Failure(ConnectionDone()))

    def drained(self) -> None:
        """The other end has received some of what was written."""
        if self._producer is not None and self._outgoing.size <= LOW_WATER:
            if not self._streaming:
                cast(IPullProducer, self._producer).resumeProducing()
            elif self._producer_paused:
                self._producer_paused = False
                self._producer_awaited = self.disconnecting
                cast(IPushProducer, self._producer).resumeProducing()
        if self.disconnecting:
            self._close_when_flushed()

    def lose(self, reason: Failure) -> None:
        """Tell the protocol, once, and the other end when it gets there."""
        if self.disconnected:
            return
        self.disconnected = True
        self._incoming.discard()
        if reason.check(ConnectionDone):
            self._outgoing.finish()
        else:
            self._outgoing.reset()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        try:
            self.protocol.connectionLost(reason)
        except Exception:
            _log.failure("connectionLost of {protocol!r} failed", protocol=self.protocol)
        self._when_lost()

    def _close_when_flushed(self) -> None:
        # As with TCP, a producer that is resumed while the connection closes has to write or leave.
        waiting = self._producer is not None and (not self._streaming or self._producer_paused)
        if self._outgoing.size <= HIGH_WATER and not waiting and not self._producer_awaited:
            self.lose(Failure(ConnectionDone()))

    def _guarded(self, call: Callable[[], object]) -> None:
        """A protocol that raises loses its connection, as with a reactor."""
        try:
            call()
        except Exception:
            failure = Failure()
            _log.failure("{protocol!r} failed", failure=failure, protocol=self.protocol)
            self.lose(failure)


class MemoryLink:
    """A connection, and what may befall it.

    :param split: how it cuts what it delivers.

    :ivar client: the end that connected.
    :ivar server: the end that listened.
    """

    def __init__(
        self,
        events: Events,
        client: IPv4Address,
        server: IPv4Address,
        split: Split | None = None,
    ) -> None:
        to_server, to_client = _Flow(events, split), _Flow(events, split)
        self._events = events
        self._flows = {Direction.TO_SERVER: to_server, Direction.TO_CLIENT: to_client}
        self.client = MemoryTransport(events, client, server, to_client, to_server)
        self.server = MemoryTransport(events, server, client, to_server, to_client)

    def stall(self, direction: Direction | None = None) -> None:
        """Deliver nothing, until :meth:`resume`. Without a direction: in both."""
        for flow in self._chosen(direction):
            flow.stall()

    def resume(self, direction: Direction | None = None) -> None:
        """Deliver again, beginning with what was held back."""
        for flow in self._chosen(direction):
            flow.resume()

    def drop(self, direction: Direction | None = None) -> None:
        """Lose all that is under way and all that follows, the end included, and tell nobody."""
        for flow in self._chosen(direction):
            flow.drop()

    def split(self, split: Split | None, direction: Direction | None = None) -> None:
        """Deliver in pieces of this size; ``None``: as much at a time as there is."""
        for flow in self._chosen(direction):
            flow.split = split

    def reset(self) -> None:
        """Lose what is under way, and both ends their connection."""
        self.drop()
        for end in (self.client, self.server):
            self._events.soon(partial(end.lose, _reset()))

    def _chosen(self, direction: Direction | None) -> list[_Flow]:
        return [flow for way, flow in self._flows.items() if direction in (None, way)]
