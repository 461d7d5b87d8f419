"""A relay between a client and a cluster that writes down what it passes on.

A client that connects to the :class:`Recorder` as if it were the SC is led on to the SPUs through
it: in what the SC says of its SPUs their addresses are replaced by those of relays, one for each
SPU. What is written is what the client sees, one frame a line, in the format that
:mod:`txfluvio.wire.recordings` reads and ``replay`` replays. TLS is not spoken, on either side.

Nothing is judged here: bytes that are no frames pass as they are, and are not written down.
"""

from __future__ import annotations

import enum
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TextIO, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    gatherResults,
    maybeDeferred,
)
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..config import join_endpoint, parse_endpoint
from ..errors import ProtocolError, UsageError
from ..wire.framing import Frames, frame
from ..wire.headers import RequestHeader, decode_request_header, encode_reply, reply_correlation_id
from ..wire.recordings import LARGEST_FRAME, RecordedFrame
from ..wire.sc import (
    CUSTOM_SPU,
    SPU,
    ChangeMessage,
    IngressAddr,
    IngressPort,
    ListResponse,
    Metadata,
    WatchResponse,
)
from ..wire.schema import Message, evolve
from ..wire.versions import ApiVersionsRequest, ApiVersionsResponse

ABOUT_SIZE = 2_048
"""Bytes that are kept free at the front of the file for the line about the whole."""

_Address = tuple[str, int]
"""A host and a port."""

_log = Logger()


class Network(Protocol):
    """Where to listen and what to connect to, if not on TCP."""

    def server_endpoint(self, host: str, port: int, /) -> IStreamServerEndpoint: ...

    def endpoint(self, host: str, port: int, /) -> IStreamClientEndpoint: ...


class Recorder:
    """Relays to one cluster and writes a recording.

    :param reactor: runs it. Only its time is used where there is a ``network``.
    :param to: ``host:port`` of the cluster's SC.
    :param out: opens what the recording goes to, once clients can come; its position has to be at
        its beginning, and to move. It is not closed.
    :param about: what else is to stand in the first line, for humans: ``scenario``, ``what``. A
        text that is too long for it is cut.
    :param host: the address to listen on. Where that is every address (``0.0.0.0``), a client is
        told that the SPUs are at the one it has connected to.
    :param port: the port for clients; 0: a free one.
    :param network: used instead of TCP.
    :raises UsageError: ``to`` is not that.
    """

    def __init__(
        self,
        reactor: Any,
        to: str,
        out: Callable[[], TextIO],
        *,
        about: dict[str, Any] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        network: Network | None = None,
    ) -> None:
        self._reactor = reactor
        self._time = cast(IReactorTime, reactor)
        self._network = network
        try:
            self._to = parse_endpoint(to)
        except ValueError as error:
            raise UsageError(f"the SC is at {error}, not at {to!r}") from None
        self._open = out
        self._out: TextIO | None = None
        self._about = {"scenario": "", "client": "", "platform": "", "what": "", **(about or {})}
        self._host = host
        self._port = port
        self._listening: dict[str, _Relay] = {}
        self._moving = DeferredLock()
        self._links: dict[_Link, None] = {}
        self._stopping = False
        self._waiting: list[Deferred[None]] = []
        self._connections = 0
        self._first: float | None = None

    def start(self) -> Deferred[str]:
        """Listen, and begin the recording; fires with ``host:port`` for clients.

        It fails with what kept it from listening, or ``out`` from opening; nothing listens then.

        :raises UsageError: ``about`` is too long even without its texts.
        """
        _fitting(self._about, ABOUT_SIZE - 1)
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> str:
        port = await self.relay("sc", self._to, self._port)
        try:
            self._out = self._open()
            self._write_about()
        except Exception:
            await self._listen_no_more()
            raise
        return join_endpoint(self._host, port)

    def stop(self) -> Deferred[None]:
        """End every connection and finish the recording; fires when nothing is left."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopping = True
        for link in list(self._links):
            link.abort()
        if self._links:
            over: Deferred[None] = Deferred()
            self._waiting.append(over)
            await over
        # A frame that was on its way until now may have had another relay made.
        await self._listen_no_more()
        self._about["end"] = "ended by the recorder"
        self._write_about()

    async def _listen_no_more(self) -> None:
        relays = [one.listening for one in self._listening.values()]
        self._listening.clear()
        await gatherResults([maybeDeferred(one.stopListening) for one in relays])

    # For connections

    def relay(self, name: str, to: _Address, port: int = 0) -> Deferred[int]:
        """Listen for a server, unless that is done; fires with the port."""
        # One after the other: two connections may be told of a server's new address at once.
        return self._moving.run(self._relay, name, to, port)

    async def _relay(self, name: str, to: _Address, port: int) -> int:
        known = self._listening.get(name)
        if known is None or known.to != to:
            if known is not None:
                del self._listening[name]
                await maybeDeferred(known.listening.stopListening)
            factory = _Accepting(self, name, to)
            listening = await self._server_endpoint(port).listen(factory)
            known = _Relay(to, listening)
            self._listening[name] = known
            if name != "sc":
                self._about["spus"] = len(self._listening) - 1
        return cast(IPv4Address, known.listening.getHost()).port

    @property
    def stopping(self) -> bool:
        """Whether no client is accepted any more."""
        return self._stopping

    def connect(self, to: _Address, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to a server."""
        endpoint: IStreamClientEndpoint
        if self._network is not None:
            endpoint = self._network.endpoint(*to)
        else:
            endpoint = HostnameEndpoint(self._reactor, *to)
        return endpoint.connect(factory)

    def opened(self, link: _Link) -> int:
        """The number of a new connection."""
        self._links[link] = None
        self._connections += 1
        return self._connections

    def closed(self, link: _Link) -> None:
        """A connection is over, and all that came from it is written down."""
        self._links.pop(link, None)
        if not self._links:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    def note(self, link: _Link, by_client: bool, **what: Any) -> None:
        """Write one line."""
        now = self._time.seconds()
        if self._first is None:
            self._first = now
        line = {
            "conn": link.number,
            "to": link.server,
            "dir": ">" if by_client else "<",
            "ms": round((now - self._first) * 1000, 1),
            **what,
        }
        assert self._out is not None, "nobody comes before it has started"
        self._out.write(json.dumps(line) + "\n")
        # Nothing else would keep it if this process were killed.
        self._out.flush()

    def learn(self, header: RequestHeader, message: Message, server: str) -> None:
        """Something that the first line tells has been said."""
        if isinstance(message, ApiVersionsRequest) and not self._about["client"]:
            version = message.client_version
            self._about["client"] = f"{header.client_id} (client library {version})"
        elif isinstance(message, ApiVersionsResponse) and server == "sc":
            self._about["platform"] = message.platform_version

    def _server_endpoint(self, port: int) -> IStreamServerEndpoint:
        if self._network is not None:
            return self._network.server_endpoint(self._host, port)
        return TCP4ServerEndpoint(self._reactor, port, interface=self._host)

    def _write_about(self) -> None:
        """Write the first line, or write it again: it has a fixed size."""
        if self._out is None:
            return
        line = _fitting(self._about, ABOUT_SIZE - 1)
        end = self._out.tell()
        self._out.seek(0)
        self._out.write(line.ljust(ABOUT_SIZE - 1) + "\n")
        if end:
            self._out.seek(end)
        self._out.flush()


def _fitting(about: dict[str, Any], size: int) -> str:
    """It as JSON; where that would be too long, its long texts are cut.

    :raises UsageError: without any texts it is still too long.
    """
    limit = size
    while limit:
        cut = {
            name: f"{value[:limit]}..." if isinstance(value, str) and len(value) > limit else value
            for name, value in about.items()
        }
        line = json.dumps(cut)
        if len(line) <= size:
            return line
        limit = limit * 7 // 8
    raise UsageError(
        f"the first line of a recording has {size} bytes, which {', '.join(about)} do not fit into"
    )


@attrs.frozen
class _Relay:
    """A server that is listened for.

    :ivar to: where it really is.
    """

    to: _Address
    listening: IListeningPort


class _Accepting(Factory):
    """Accepts clients of one server."""

    noisy = False

    def __init__(self, recorder: Recorder, server: str, to: _Address) -> None:
        self._recorder = recorder
        self._server = server
        self._to = to

    def buildProtocol(self, address: IAddress | None) -> _End | None:
        if self._recorder.stopping:
            return None
        link = _Link(self._recorder, self._server)
        link.connect(self._to)
        return link.client


class _Link:
    """A connection of a client, and the one that it is passed on by.

    :ivar number: which connection of the recording it is.
    :ivar server: ``sc``, or ``spu-`` and an id.
    :ivar client: the end that the client is connected to.
    """

    def __init__(self, recorder: Recorder, server: str) -> None:
        self.server = server
        self.client = _End(self, by_client=True)
        self._recorder = recorder
        self._upstream = _End(self, by_client=False)
        self._connecting: Deferred[Any] | None = None
        self._asked: dict[int, RequestHeader] = {}
        self._spoken = False
        self.number = recorder.opened(self)
        self.client.other, self._upstream.other = self._upstream, self.client

    def connect(self, to: _Address) -> None:
        """Connect to the server; a client whose server is not there is closed."""
        factory = Factory.forProtocol(lambda: self._upstream)
        factory.noisy = False
        self._connecting = maybeDeferred(self._recorder.connect, to, factory)
        self._connecting.addErrback(self._unreachable, f"{self.server} at {join_endpoint(*to)}")

    def hang_up(self) -> None:
        """Give up connecting to the server, if that still goes on."""
        if self._connecting is not None:
            self._connecting.cancel()

    def abort(self) -> None:
        """End both connections."""
        self.client.abort()
        self._upstream.abort()

    def settle(self) -> None:
        """Have each end do what follows from the other; where both are lost, the link is over."""
        self.client.follow()
        self._upstream.follow()
        if self.client.is_gone and self._upstream.is_gone:
            self._recorder.closed(self)

    def passed(self, payload: bytes, by_client: bool) -> Deferred[bytes]:
        """Write a frame down; fires with the frame as it is to be passed on."""
        return Deferred.fromCoroutine(self._passed(payload, by_client))

    def finished(self, by_client: bool) -> None:
        """One side sends no more; that is written down if anything was ever sent."""
        if self._spoken:
            self._recorder.note(self, by_client, eof=True)

    def _unreachable(self, failure: Failure, where: str) -> None:
        if failure.check(ConnectError, DNSLookupError):
            reason = failure.value
            _log.info("{where} can not be reached: {reason}", where=where, reason=reason)
        elif not failure.check(CancelledError, ConnectingCancelledError):
            _log.failure("{where} can not be reached", failure, where=where)
        self._upstream.never_came()

    async def _passed(self, payload: bytes, by_client: bool) -> bytes:
        try:
            whole = self._request(payload) if by_client else await self._reply(payload)
        except ProtocolError as error:
            _log.info("passed on as it is: {error}", error=error)
            whole = frame(payload)
        self._recorder.note(self, by_client, hex=whole.hex())
        self._spoken = True
        return whole

    def _request(self, payload: bytes) -> bytes:
        header, body = decode_request_header(payload)
        self._asked[header.correlation_id] = header
        if header.api_key == ApiVersionsRequest.api.key:
            message = ApiVersionsRequest.decode(payload, header.api_version, body)
            self._recorder.learn(header, message, self.server)
        return frame(payload)

    async def _reply(self, payload: bytes) -> bytes:
        header = self._asked.get(reply_correlation_id(payload))
        if header is None:
            return frame(payload)
        recorded = RecordedFrame(
            server="SC" if self.server == "sc" else "SPU",
            header=header,
            is_reply=True,
            payload=payload,
        )
        if not recorded.api.streams:
            del self._asked[header.correlation_id]
        if recorded.type not in (WatchResponse, ListResponse, ApiVersionsResponse):
            return frame(payload)
        message = recorded.type.decode(payload, header.api_version, recorded.body)
        self._recorder.learn(header, message, self.server)
        moved = await self._moved(message)
        if moved is message:
            return frame(payload)
        return encode_reply(moved, version=header.api_version, correlation_id=header.correlation_id)

    async def _moved(self, message: Message) -> Message:
        """The message with the addresses of relays in it."""
        if not isinstance(message, (WatchResponse, ListResponse)):
            return message
        if message.kind is not SPU and message.kind is not CUSTOM_SPU:
            return message
        if isinstance(message, ListResponse):
            objects = [await self._relayed(one) for one in message.objects]
            return evolve(message, objects=tuple(objects))
        everything = [await self._relayed(one) for one in message.all]
        changes = [
            ChangeMessage(header=one.header, content=await self._relayed(one.content))
            for one in message.changes
        ]
        return evolve(message, all=tuple(everything), changes=tuple(changes))

    async def _relayed(self, spu: Metadata) -> Metadata:
        """An SPU that seems to be where its relay is."""
        public = spu.spec.public_endpoint
        host = public.host
        if not host or not public.port:
            return spu
        port = await self._recorder.relay(f"spu-{spu.spec.id}", (host, public.port))
        # Who listens on every address is reached where this client has reached it.
        seen = self.client.host
        address = IngressAddr(hostname=seen)
        endpoint = IngressPort(port=port, ingress=(address,), encryption=public.encryption)
        spec = evolve(spu.spec, public_endpoint=endpoint)
        if spec.public_endpoint_local is not None:
            local = evolve(spec.public_endpoint_local, host=seen, port=port)
            spec = evolve(spec, public_endpoint_local=local)
        return evolve(spu, spec=spec)


class _Stage(enum.IntEnum):
    """How far a connection has come."""

    COMING = 0
    OPEN = 1
    ENDED = 2
    """Nothing more comes from the peer, who may still read."""
    LOST = 3


@attrs.frozen
class _Raw:
    """Bytes that are no frame."""

    data: bytes


@implementer(IHalfCloseableProtocol, IPushProducer)
class _End(TwistedProtocol):
    """One of the two connections of a link: what comes here goes out at the other.

    It reads only while the other end is there and has not too much to write, and while all that
    was read has been passed on.
    """

    other: _End
    host: str
    """The address of ours that the peer is connected to."""

    def __init__(self, link: _Link, *, by_client: bool) -> None:
        self._link = link
        self._by_client = by_client
        self._stage = _Stage.COMING
        self._frames = Frames(LARGEST_FRAME)
        # Frames and other bytes; None is the end. The first is taken off once it was passed on.
        self._queue: deque[bytes | _Raw | None] = deque()
        self._full = False
        self._write_ended = False

    # What happens to the connection

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.host = transport.getHost().host
        self._stage = _Stage.OPEN
        self._link.settle()

    def dataReceived(self, data: bytes) -> None:
        if self._frames.broken is not None:
            self._pass_on(_Raw(data))
            return
        frames: list[bytes] = []
        with suppress(ProtocolError):
            frames = self._frames.feed(data)
        self._pass_on(*frames)
        if self._frames.broken is not None:
            _log.info("no frame, passed on as it is: {error}", error=self._frames.broken)
            self._pass_on(_Raw(self._frames.rest))

    def readConnectionLost(self) -> None:
        self._end(_Stage.ENDED)

    def writeConnectionLost(self) -> None:
        """The peer takes no more; what it sends is still passed on."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(_Stage.LOST)

    def never_came(self) -> None:
        """Connecting has failed."""
        if self._stage is _Stage.COMING:
            self._end(_Stage.LOST)

    # IPushProducer: what this end writes is too much, or no longer

    def pauseProducing(self) -> None:
        self._full = True
        self._link.settle()

    def resumeProducing(self) -> None:
        self._full = False
        self._link.settle()

    def stopProducing(self) -> None:
        """Nothing more is written."""

    # What the link does

    @property
    def is_over(self) -> bool:
        """Whether all that ever comes from the peer has been passed on."""
        return self._stage >= _Stage.ENDED and not self._queue

    @property
    def is_gone(self) -> bool:
        """Whether that is so and the connection is lost."""
        return self._stage is _Stage.LOST and not self._queue

    @property
    def is_there(self) -> bool:
        """Whether there is a connection."""
        return self._stage in (_Stage.OPEN, _Stage.ENDED)

    @property
    def takes_more(self) -> bool:
        """Whether there is one that has not too much to write."""
        return self.is_there and not self._full

    def follow(self) -> None:
        """Do what follows from the other end's state and this one's, if it was not done before."""
        if self._stage is _Stage.COMING:
            if self.other.is_gone:
                self._link.hang_up()
            return
        transport = cast(Any, self.transport)
        if self._stage is _Stage.OPEN:
            if self.other.takes_more and not self._queue:
                transport.resumeProducing()
            else:
                transport.pauseProducing()
        if self.is_there and self.other.is_over:
            if not self._write_ended:
                self._write_ended = True
                # A transport that has paused its producer does not close before that leaves.
                transport.unregisterProducer()
                transport.loseWriteConnection()
            if self.other.is_gone or self.is_over:
                # One that can be half closed does not go by itself when both directions are.
                transport.loseConnection()

    def write(self, data: bytes) -> None:
        """Send, if there is somebody to send to."""
        if self.is_there:
            cast(ITCPTransport, self.transport).write(data)

    def abort(self) -> None:
        """End the connection at once."""
        if self._stage is _Stage.COMING:
            self._link.hang_up()
        elif self.is_there:
            cast(ITCPTransport, self.transport).abortConnection()

    def _end(self, stage: _Stage) -> None:
        """Nothing more comes; what there is of a frame is passed on as it is."""
        before, self._stage = self._stage, stage
        if before < _Stage.ENDED:
            rest = b"" if self._frames.broken is not None else self._frames.rest
            self._pass_on(_Raw(rest), None)
        self._link.settle()

    def _pass_on(self, *what: bytes | _Raw | None) -> None:
        """Pass on, behind what is on its way."""
        idle = not self._queue
        self._queue.extend(what)
        if idle and what:
            Deferred.fromCoroutine(self._work()).addErrback(self._failed)
        self._link.settle()

    async def _work(self) -> None:
        while self._queue:
            first = self._queue[0]
            if first is None:
                self._link.finished(self._by_client)
            elif isinstance(first, _Raw):
                self.other.write(first.data)
            else:
                self.other.write(await self._link.passed(first, self._by_client))
            self._queue.popleft()
        self._link.settle()

    def _failed(self, failure: Failure) -> None:
        _log.failure("a frame could not be passed on", failure)
        self._queue.clear()
        self._link.abort()
        self._link.settle()
