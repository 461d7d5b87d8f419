"""A server's end of a connection: frames, request headers, and whose turn it is.

An SC and an SPU speak the same frames and serve a connection alike: one request after another, in
order, the next only when the one before is answered; pushes go out in between. What the requests
mean is the business of a :class:`Service`. A request that can not be understood is never answered:
the connection is closed without a word, and one line in the log says why
(``fluvio-socket/src/stream.rs``).

Memory is bounded whatever the peer does: while a request is being served, or the peer does not
read, nothing more is read from it, and pushes wait for :meth:`Connection.when_writable`.

Where faults are planted a :class:`~txfluvio.testing.faults.meddling.Meddler` stands between a
connection and its service.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import attrs
from OpenSSL.crypto import X509
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ProtocolError
from ...wire.framing import DEFAULT_MAX_FRAME_SIZE, Frames
from ...wire.headers import RequestHeader, decode_request_header, encode_reply
from ...wire.schema import Message, struct
from ..faults.meddling import Meddler
from ..faults.planting import FaultsOf
from .certificates import common_name
from .journal import Journal

GRACE = 1.0
"""Seconds that a stopping server gives its peers to take what they were sent."""

_TLS = b"\x16\x03"
"""How TLS begins. Real servers read a size there and wait for the rest of the frame."""

_log = Logger()


@attrs.frozen
class Incoming:
    """A request as it came in: its body begins at ``body`` in ``payload``.

    :ivar alter: changes the frames that answer it, if there is something to change.
    :ivar original: what came in, if this is served in its place.
    """

    header: RequestHeader
    payload: bytes = attrs.field(repr=False)
    body: int
    alter: Callable[[bytes], bytes] | None = None
    original: Incoming | None = attrs.field(default=None, repr=False)


@struct
class Nothing(Message):
    """The answer to a negative version, at which no field exists."""


class Service(Protocol):
    """What a server does with requests."""

    def identified(self, connection: Connection, /) -> None:
        """A client has shown its certificate; its common name is in ``connection.principal``."""
        ...

    def requested(self, request: Incoming, connection: Connection, /) -> Deferred[None] | None:
        """Deal with one request; the next of its connection has to wait for the Deferred.

        :raises ProtocolError: the request can not be understood: the connection is closed.
        """
        ...

    def half_alive(self, connection: Connection, /) -> bool:
        """Whether a connection that sent an impossible frame size stays, with nothing more read."""
        ...


class Connection:
    """A client's connection, as a service sees it.

    :ivar number: counts the connections of a cluster.
    :ivar peer: the address of the client, as text.
    :ivar principal: the common name of the client's certificate, empty without one.
    """

    def __init__(self, protocol: ServerProtocol, number: int) -> None:
        self.number = number
        self.peer = "?"
        self.principal = ""
        self._protocol = protocol
        self._closers: list[Callable[[], object]] = []

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._protocol.ended

    def reply(self, message: Message, request: Incoming) -> None:
        """Answer a request, at the version it had."""
        self._protocol.send(message, request, pushed=False)

    def push(self, message: Message, request: Incoming) -> None:
        """Send one more answer to a request that has many."""
        self._protocol.send(message, request, pushed=True)

    def when_writable(self, call: Callable[[], object]) -> None:
        """Call at once while the peer reads, else when it does again; never once it is gone."""
        self._protocol.when_writable(call)

    def close(self) -> None:
        """End the connection once what was sent is gone; no more requests are served."""
        self._protocol.close()

    def abort(self) -> None:
        """End the connection at once, as a reset does."""
        self._protocol.abort()

    def complain(self, what: str) -> None:
        """Say loudly what the client did wrong; nothing else comes of it."""
        self._protocol.complain(what)

    def on_close(self, call: Callable[[], object]) -> None:
        """Call when the connection has ended, whoever ended it."""
        if self._protocol.lost:
            call()
        else:
            self._closers.append(call)

    def _ended(self) -> None:
        closers, self._closers = self._closers, []
        for call in closers:
            call()


class _Transport(Protocol):
    """What is asked of a transport; those of TCP, TLS and the memory network can all do it."""

    def write(self, data: bytes, /) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...
    def setTcpNoDelay(self, enabled: bool, /) -> None: ...
    def getPeerCertificate(self) -> X509 | None: ...


@implementer(IPushProducer, IHalfCloseableProtocol, IHandshakeListener)
class ServerProtocol(TwistedProtocol):
    """Serves one connection.

    :param server: has accepted it, and knows the journal and the faults.
    :param number: counts the connections of a cluster.
    :param max_frame_size: bytes of the largest request.
    :ivar connection: the connection as the service sees it.
    :ivar lost: whether the transport is gone.
    :ivar ended: whether nothing is sent any more, and no more requests are served.
    :ivar last_words: what is sent before the end to a client whose frames make no sense; with
        none some of these connections stay, and nothing is answered on them.
    """

    tcp: _Transport
    last_words = b""

    def __init__(self, service: Service, server: Server, number: int, max_frame_size: int) -> None:
        self.connection = Connection(self, number)
        self.lost = False
        self.ended = False
        self._service = service
        self._server = server
        self._frames = Frames(max_frame_size)
        self._opening = b""
        self._queue: deque[bytes] = deque()
        self._serving = False
        self._working = False
        self._full = False
        self._held = False
        self._read_ended = False
        self._deaf = False
        self._stalled = False
        self._paused = False
        self._waiting: deque[Callable[[], object]] = deque()
        self._meddler: Meddler | None = None

    # What the network says

    def makeConnection(self, transport: ITransport) -> None:
        self.tcp = cast(_Transport, transport)
        peer = transport.getPeer()
        self.connection.peer = f"{getattr(peer, 'host', peer)}:{getattr(peer, 'port', '')}"
        super().makeConnection(transport)

    def connectionMade(self) -> None:
        self.tcp.setTcpNoDelay(True)
        self.tcp.registerProducer(self, True)
        self._server.opened(self)
        meddler = self._find_meddler()
        if meddler is not None:
            meddler.accepted()

    def dataReceived(self, data: bytes) -> None:
        if self.ended or self._deaf:
            return
        if len(self._opening) < len(_TLS):
            self._opening += data[: len(_TLS)]
        # What broke the frames is dealt with when the requests ahead of it are.
        with contextlib.suppress(ProtocolError):
            self._queue.extend(self._frames.feed(data))
        self._work()

    def handshakeCompleted(self) -> None:
        """TLS is set up: the client has shown a certificate if it was asked for one."""
        certificate = self.tcp.getPeerCertificate()
        if certificate is not None:
            self.connection.principal = common_name(certificate.to_cryptography())
            self._service.identified(self.connection)

    def readConnectionLost(self) -> None:
        """The peer sends no more: what came before is still answered."""
        self._read_ended = True
        self._work()

    def writeConnectionLost(self) -> None:
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = self.ended = True
        self._queue.clear()
        self._waiting.clear()
        if self._meddler is not None:
            self._meddler.stop()
        self._server.closed(self)
        self.connection._ended()

    def pauseProducing(self) -> None:
        self._full = True
        self._pause_or_resume()

    def resumeProducing(self) -> None:
        self._full = False
        self._go_on()

    def stopProducing(self) -> None:
        self._full = True

    # What the service says

    def send(self, message: Message, request: Incoming, *, pushed: bool) -> None:
        if self.ended:
            return
        header = request.header
        data = encode_reply(
            message, version=header.api_version, correlation_id=header.correlation_id
        )
        if request.alter is not None:
            data = request.alter(data)
        journal = self._server.journal
        if journal is not None:
            name, number = self._server.name, self.connection.number
            journal.answer(name, number, header, data, pushed=pushed)
        meddler = self._find_meddler()
        if meddler is None:
            self.tcp.write(data)
        else:
            meddler.leaving(data, request, pushed=pushed)

    def when_writable(self, call: Callable[[], object]) -> None:
        if self._writable and not self._waiting:
            call()
        elif not self.ended:
            self._waiting.append(call)

    def close(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._queue.clear()
        self._waiting.clear()
        if not self._writable:
            self.tcp.abortConnection()
        elif self._meddler is None or not self._meddler.finish():
            self.cut(False)

    def abort(self) -> None:
        self.cut(True)

    def complain(self, what: str) -> None:
        self._server.complain(self.connection, what)

    # What faults do

    def _find_meddler(self) -> Meddler | None:
        """Who applies faults here: nobody before there are any."""
        if self._meddler is None:
            faults = self._server.faults
            if faults is not None and faults.any:
                self._meddler = Meddler(self, faults)
        return self._meddler

    def serve(self, request: Incoming) -> Deferred[None] | None:
        """Have a request dealt with; it may be another than the one that came in."""
        return None if self.ended else self._service.requested(request, self.connection)

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self.tcp.write(data)

    def nagle(self) -> None:
        """Let TCP hold back small pieces, as on the connections of a real server."""
        self.tcp.setTcpNoDelay(False)

    def cut(self, reset: bool) -> None:
        """End the connection, whatever there is left to send or to do."""
        self.ended = True
        self._queue.clear()
        self._waiting.clear()
        if self.lost:
            return
        if reset:
            self.tcp.abortConnection()
        else:
            self.tcp.unregisterProducer()
            self.tcp.loseConnection()

    def hold(self, held: bool) -> None:
        """Take no more to be sent, or do so again."""
        self._held = held
        if held:
            self._pause_or_resume()
        else:
            self._go_on()

    def stall(self, stalled: bool) -> None:
        """Read nothing, or do so again."""
        self._stalled = stalled
        self._work()

    def go_deaf(self, why: str) -> None:
        """Serve no more requests, not even those that have come in."""
        self._queue.clear()
        self._stop_reading(why)

    # One request after another

    @property
    def _writable(self) -> bool:
        return not self._full and not self._held

    def _go_on(self) -> None:
        """What leaves may go on leaving."""
        while self._waiting and self._writable and not self.ended:
            self._waiting.popleft()()
        self._work()

    def _work(self) -> None:
        if self._working:
            return
        self._working = True
        while self._queue and self._ready():
            self._dispatch(self._queue.popleft())
        self._working = False
        idle = not self._queue and not self._serving and not self._held
        if idle and self._frames.broken is not None:
            self._no_more_frames(self._frames.broken)
        elif idle and self._read_ended:
            self.close()
        self._pause_or_resume()

    def _no_more_frames(self, error: ProtocolError) -> None:
        """A size made no sense, so that nobody knows where the next frame begins."""
        if self.ended or self._deaf:
            return
        if self.last_words:
            self.write(self.last_words)
            self._hang_up(error)
        elif self._opening.startswith(_TLS):
            self._stop_reading("TLS, on a port without: nothing is answered")
        elif self._service.half_alive(self.connection):
            self._stop_reading(f"nothing more is read: {error}")
        else:
            self._hang_up(error)

    def _ready(self) -> bool:
        return self._writable and not self._serving and not self._stalled and not self.ended

    def _dispatch(self, payload: bytes) -> None:
        try:
            header, body = decode_request_header(payload)
            journal = self._server.journal
            if journal is not None:
                number = self.connection.number
                journal.request(self._server.name, number, header, payload, body)
            request = Incoming(header, payload, body)
            meddler = self._find_meddler()
            result = self.serve(request) if meddler is None else meddler.requested(request)
        except ProtocolError as error:
            self._hang_up(error)
        except Exception:
            self._broken(Failure())
        else:
            if result is not None:
                self._serving = True
                result.addCallbacks(self._served, self._failed)

    def _served(self, result: None) -> None:
        self._serving = False
        self._work()

    def _failed(self, failure: Failure) -> None:
        if failure.check(ProtocolError):
            self._hang_up(failure.value)
        elif not failure.check(CancelledError):
            self._broken(failure)
        self._served(None)

    def _hang_up(self, error: BaseException | None) -> None:
        self.complain(f"closed: {error}")
        self.close()

    def _broken(self, failure: Failure) -> None:
        _log.failure("{server} could not serve a request", failure, server=self._server.name)
        self.close()

    def _stop_reading(self, why: str) -> None:
        self._deaf = True
        self.complain(why)
        self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        pause = self._deaf or self._stalled or self._serving or not self._writable
        if self.ended or self._read_ended or pause == self._paused:
            return
        self._paused = pause
        if pause:
            self.tcp.pauseProducing()
        else:
            self.tcp.resumeProducing()


@implementer(IProtocolFactory)
class Server(Factory):
    """Accepts connections for a service, and knows those that are open.

    :param name: in the log and the journal: ``SC``, or ``SPU`` and its id.
    :param count: numbers the connections of the cluster.
    :param journal: where every frame is noted.
    :param complaints: told what clients do wrong, beside the log.
    :param faults: what is to go wrong.
    :param max_frame_size: the largest request, in bytes. The real servers have no limit.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        service: Service,
        *,
        count: Callable[[], int],
        journal: Journal | None = None,
        complaints: Callable[[Complaint], object] | None = None,
        faults: FaultsOf | None = None,
        max_frame_size: int = DEFAULT_MAX_FRAME_SIZE,
    ) -> None:
        self.name = name
        self.journal = journal
        self.faults = faults
        self._service = service
        self._count = count
        self._complaints = complaints
        self._max_frame_size = max_frame_size
        self._open: dict[int, ServerProtocol] = {}
        self._empty: list[Deferred[None]] = []
        self._cut: IDelayedCall | None = None

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The open connections, oldest first."""
        return tuple(protocol.connection for protocol in self._open.values())

    def buildProtocol(self, address: IAddress | None) -> ServerProtocol:
        return ServerProtocol(self._service, self, self._count(), self._max_frame_size)

    def complain(self, connection: Connection, what: str) -> None:
        """Note what a client did wrong."""
        _log.warn(
            "{server}, connection {number} from {peer}: {what}",
            server=self.name,
            number=connection.number,
            peer=connection.peer,
            what=what,
        )
        if self._complaints is not None:
            self._complaints(Complaint(self.name, connection.number, what))

    def close_all(self) -> None:
        """End every connection, as the end of the process does."""
        for connection in self.connections:
            connection.close()

    async def stop(self, scheduler: IReactorTime, grace: float = GRACE) -> None:
        """End every connection and wait until all are gone; cancelling ends the waiting only.

        :param grace: seconds for what is written already; then connections are reset.
        """
        self.close_all()
        if not self._open:
            return
        if self._cut is None:
            self._cut = scheduler.callLater(grace, self._abort_all)
        empty: Deferred[None] = Deferred(self._empty.remove)
        self._empty.append(empty)
        await empty

    def _abort_all(self) -> None:
        self._cut = None
        for connection in self.connections:
            connection.abort()

    def opened(self, protocol: ServerProtocol) -> None:
        self._open[protocol.connection.number] = protocol

    def closed(self, protocol: ServerProtocol) -> None:
        self._open.pop(protocol.connection.number, None)
        if not self._open:
            if self._cut is not None:
                self._cut.cancel()
                self._cut = None
            waiting, self._empty = self._empty, []
            for waiter in waiting:
                waiter.callback(None)


@attrs.frozen
class Complaint:
    """Something that a client did wrong.

    :ivar server: who noticed: ``SC``, or ``SPU`` and its id.
    :ivar connection: the number of the connection.
    :ivar text: what it was, for humans.
    """

    server: str
    connection: int
    text: str
