"""A network in memory: what TCP does to protocols, driven by a clock or by hand.

A :class:`MemoryNetwork` knows addresses, some of which somebody listens on. A connection is a
:class:`MemoryLink` with a :class:`MemoryTransport` at either end, which keeps the manners of
Twisted's TCP transports: bytes never arrive inside ``write()``, ``connectionLost`` never comes
inside ``abortConnection()``, a paused reader is left in peace, a producer that writes too much is
paused, and ``loseConnection()`` flushes first.

Unlike TCP it can be told to misbehave: to split, delay, stall, lose, reset, refuse and hang.
Everything happens in the order in which it was caused and nothing is random, so a test takes the
same course every time. Bytes have no meaning here: the client, the fake broker and TLS all stand
on it alike.
"""

from __future__ import annotations

import enum
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Final, TypeAlias, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IListeningPort,
    IProducer,
    IProtocol,
    IProtocolFactory,
    IPullProducer,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

RECEIVE_SIZE: Final = 65_536
"""The most bytes that one ``dataReceived()`` gets, as with Twisted's TCP."""

HIGH_WATER: Final = 65_536
"""Bytes under way in one direction that the network holds for a reader who does not read. A writer
who has more under way is paused, and does not get rid of its connection before they fit."""

LOW_WATER: Final = HIGH_WATER // 2
"""A paused writer is resumed when no more bytes than this are under way."""

PUMP_LIMIT: Final = 1_000_000
"""Two peers who still talk after so many events in one ``pump()`` will never fall silent."""

Split: TypeAlias = int | Callable[[int], int]
"""How many bytes to deliver at a time: a number, or a function of the number available."""

_FIRST_EPHEMERAL_PORT: Final = 49_152

_log = Logger()


class Direction(enum.Enum):
    """One of the two ways along a link."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


def _nothing() -> None:
    pass


def _reset() -> Failure:
    return Failure(ConnectionLost("the connection was reset"))


class _Event:
    """Something that will happen once: when the clock says so, or when pumped."""

    __slots__ = ("_happen", "call", "done")

    def __init__(self, happen: Callable[[], object]) -> None:
        self._happen = happen
        self.done = False
        self.call: IDelayedCall

    def fire(self) -> None:
        self.done = True
        self._happen()

    def cancel(self) -> None:
        if not self.done:
            self.done = True
            self.call.cancel()


@attrs.define
class _End:
    """How a direction ends: in order behind its last byte, or at once by a reset."""

    due: float
    reset: bool


class _Flow:
    """The bytes under way in one direction of a link."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self._chunks: deque[tuple[float, bytes | memoryview]] = deque()
        self._end: _End | None = None
        self._finished = False
        self._latest = 0.0
        self._event: _Event | None = None
        self._stalled = False
        self._lossy = False
        self.size = 0
        self.split: Split | None = network.split
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
        self._end = _End(self._network.clock.seconds() + self._network.latency, reset=True)
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
            self._network.at(self._network.clock.seconds(), self.source.drained)

    def wake(self) -> None:
        """The reader may read again."""
        self._schedule()

    def _arrival(self) -> float:
        self._latest = max(self._latest, self._network.clock.seconds() + self._network.latency)
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
            self._event = self._network.at(due, self._step)

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
        now = self._network.clock.seconds()
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
        network: MemoryNetwork,
        host: IPv4Address,
        peer: IPv4Address,
        incoming: _Flow,
        outgoing: _Flow,
    ) -> None:
        self._network = network
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
            self._network.at(self._network.clock.seconds(), self._close_when_flushed)

    def loseWriteConnection(self) -> None:
        if not self._write_ended and not self.disconnected:
            self._write_ended = True
            self._outgoing.finish()

    def abortConnection(self) -> None:
        if not self._aborting and not self.disconnected:
            self._aborting = True
            self._outgoing.clear()
            lose = partial(self.lose, Failure(ConnectionAborted()))
            self._network.at(self._network.clock.seconds(), lose)

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
            self._network.at(self._network.clock.seconds(), self._close_when_flushed)

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

    :ivar client: the end that connected.
    :ivar server: the end that listened.
    """

    def __init__(self, network: MemoryNetwork, client: IPv4Address, server: IPv4Address) -> None:
        to_server, to_client = _Flow(network), _Flow(network)
        self._network = network
        self._flows = {Direction.TO_SERVER: to_server, Direction.TO_CLIENT: to_client}
        self.client = MemoryTransport(network, client, server, to_client, to_server)
        self.server = MemoryTransport(network, server, client, to_server, to_client)

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
            self._network.at(self._network.clock.seconds(), partial(end.lose, _reset()))

    def _chosen(self, direction: Direction | None) -> list[_Flow]:
        return [flow for way, flow in self._flows.items() if direction in (None, way)]


@implementer(IListeningPort)
class MemoryPort:
    """An address that is listened on."""

    def __init__(
        self, network: MemoryNetwork, address: IPv4Address, factory: IProtocolFactory
    ) -> None:
        self._network = network
        self._address = address
        self.factory = factory

    def startListening(self) -> None:
        self._network.open(self)
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Accept no more connections; those that are there stay."""
        if self._network.shut(self):
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return self._address


class MemoryNetwork:
    """Addresses, connections, and the order in which things happen.

    What is under way arrives by itself when ``clock`` gets there: with a
    :class:`twisted.internet.task.Clock`, ``clock.advance(0)`` is enough where there is no latency.
    :meth:`pump` delivers by hand, without moving the time.

    :ivar latency: seconds from one end to the other, for whatever is sent from now on.
    :ivar split: how links made from now on cut what they deliver.
    :ivar links: the connections of which one end at least is alive, oldest first.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.latency = 0.0
        self.split: Split | None = None
        self.links: list[MemoryLink] = []
        self._ports: dict[tuple[str, int], MemoryPort] = {}
        self._refusing: set[tuple[str, int]] = set()
        self._hanging: set[tuple[str, int]] = set()
        self._events: list[tuple[float, int, _Event]] = []
        self._sequence = count()
        self._ephemeral = count(_FIRST_EPHEMERAL_PORT)

    # Who listens, who connects

    def listen(self, host: str, port: int, factory: IProtocolFactory) -> MemoryPort:
        """Listen on an address; port 0 is any that is free.

        :raises CannotListenError: somebody does already.
        """
        number = port or next(self._ephemeral)
        listening = MemoryPort(self, IPv4Address("TCP", host, number), factory)
        listening.startListening()
        return listening

    def connect(
        self, host: str, port: int, factory: IProtocolFactory, timeout: float = 30.0
    ) -> Deferred[IProtocol]:
        """Connect to an address.

        Cancelling gives the attempt up; the Deferred then fails with ConnectingCancelledError.

        :param timeout: seconds after which an attempt that hangs has failed.
        :return: the client's protocol; ConnectionRefusedError where nobody listens, TimeoutError,
            NoProtocol if the factory made none.
        """
        return _Attempt(self, IPv4Address("TCP", host, port), factory, timeout).deferred

    def endpoint(self, host: str, port: int, timeout: float = 30.0) -> IStreamClientEndpoint:
        """What connects to an address."""
        return _ClientEndpoint(self, host, port, timeout)

    def server_endpoint(self, host: str, port: int) -> IStreamServerEndpoint:
        """What listens on an address."""
        return _ServerEndpoint(self, host, port)

    def refuse(self, host: str, port: int) -> None:
        """Refuse connections to an address, though somebody may listen, until :meth:`accept`."""
        self._refusing.add((host, port))

    def hang(self, host: str, port: int) -> None:
        """Let connections to an address neither come about nor fail, until :meth:`accept`."""
        self._hanging.add((host, port))

    def accept(self, host: str, port: int) -> None:
        """Neither refuse nor hang any more."""
        self._refusing.discard((host, port))
        self._hanging.discard((host, port))

    # How time passes

    def pump(self) -> None:
        """Let everything happen that is due by now, and all that follows from it.

        :raises RuntimeError: it never ends.
        """
        for _ in range(PUMP_LIMIT):
            while self._events and self._events[0][2].done:
                heapq.heappop(self._events)
            if not self._events or self._events[0][0] > self.clock.seconds():
                return
            event = heapq.heappop(self._events)[2]
            event.call.cancel()
            event.fire()
        raise RuntimeError(f"the peers still talk after {PUMP_LIMIT} events")

    def at(self, due: float, happen: Callable[[], object]) -> _Event:
        """Let something happen at a time; what is due at the same time keeps its order."""
        while self._events and self._events[0][2].done:
            heapq.heappop(self._events)
        event = _Event(happen)
        event.call = self.clock.callLater(max(0.0, due - self.clock.seconds()), event.fire)
        heapq.heappush(self._events, (event.call.getTime(), next(self._sequence), event))
        return event

    # For ports and attempts

    def open(self, port: MemoryPort) -> None:
        address = port.getHost()
        if (address.host, address.port) in self._ports:
            raise CannotListenError(address.host, address.port, "somebody listens there already")
        self._ports[address.host, address.port] = port

    def shut(self, port: MemoryPort) -> bool:
        address = port.getHost()
        found = self._ports.get((address.host, address.port)) is port
        if found:
            del self._ports[address.host, address.port]
        return found

    def hangs(self, address: IPv4Address) -> bool:
        return (address.host, address.port) in self._hanging

    def listening(self, address: IPv4Address) -> MemoryPort | None:
        key = (address.host, address.port)
        return None if key in self._refusing else self._ports.get(key)

    def link(self, server: IPv4Address) -> MemoryLink:
        client = IPv4Address("TCP", "127.0.0.1", next(self._ephemeral))
        link = MemoryLink(self, client, server)
        self.links.append(link)
        return link

    def forget(self, link: MemoryLink) -> None:
        if link.client.disconnected and link.server.disconnected:
            self.links.remove(link)


class _Attempt:
    """One connection that is to come about."""

    def __init__(
        self,
        network: MemoryNetwork,
        address: IPv4Address,
        factory: IProtocolFactory,
        timeout: float,
    ) -> None:
        self._network = network
        self._address = address
        self._factory = factory
        self._stopped = False
        self.deferred: Deferred[IProtocol] = Deferred(self._cancelled)
        factory.doStart()
        now = network.clock.seconds()
        if network.hangs(address):
            self._event = network.at(now + timeout, self._timed_out)
        else:
            self._event = network.at(now + network.latency, self._arrive)

    def _cancelled(self, _: object) -> None:
        self._event.cancel()
        self._failed(ConnectingCancelledError(self._address))

    def _timed_out(self) -> None:
        self._failed(TimeoutError())

    def _failed(self, error: Exception) -> None:
        self._stop()
        self.deferred.errback(error)

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._factory.doStop()

    def _arrive(self) -> None:
        port = self._network.listening(self._address)
        if port is None:
            self._failed(ConnectionRefusedError())
            return
        try:
            client = self._factory.buildProtocol(self._address)
        except Exception as error:
            self._failed(error)
            return
        if client is None:
            self._failed(NoProtocol())
            return
        link = self._network.link(self._address)
        try:
            server = port.factory.buildProtocol(link.server.getPeer())
        except Exception:
            _log.failure("{factory!r} built no protocol", factory=port.factory)
            server = None
        link.server.connect(server or Protocol(), lambda: self._network.forget(link))
        if server is None:
            link.server.abortConnection()
        link.client.connect(client, lambda: self._lost(link))
        if link.client.disconnected:
            self._failed(ConnectError(string="the protocol failed in its first moment"))
        else:
            self.deferred.callback(client)

    def _lost(self, link: MemoryLink) -> None:
        self._stop()
        self._network.forget(link)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _ClientEndpoint:
    network: MemoryNetwork
    host: str
    port: int
    timeout: float

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self.network.connect(self.host, self.port, protocolFactory, self.timeout)


@implementer(IStreamServerEndpoint)
@attrs.frozen
class _ServerEndpoint:
    network: MemoryNetwork
    host: str
    port: int

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        try:
            return succeed(self.network.listen(self.host, self.port, protocolFactory))
        except CannotListenError as error:
            return fail(error)
