"""A relay between a client and a cluster that writes down what it passes on.

A client that connects to the :class:`Recorder` as if it were the SC is led on to the SPUs through
it: in what the SC says of its SPUs their addresses are replaced by those of relays, one for each
SPU. What is written is what the client sees, one frame a line, in the format that
:mod:`txfluvio.wire.recordings` reads and ``replay`` replays. TLS is not spoken, on either side.

Nothing is judged here: bytes that are no frames pass as they are, and are not written down.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Protocol, TextIO, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
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

from ..errors import ProtocolError
from ..wire.framing import Frames, frame
from ..wire.headers import RequestHeader, decode_request_header, encode_reply, reply_correlation_id
from ..wire.recordings import RecordedFrame
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

LARGEST_FRAME = 256 * 1024 * 1024
"""Bytes of the largest frame that is read; a real server has no limit."""

ABOUT_SIZE = 2_048
"""Bytes that are kept free at the front of the file for the line about the whole."""

_log = Logger()


class Network(Protocol):
    """Where to listen and what to connect to, if not on TCP."""

    def server_endpoint(self, host: str, port: int, /) -> IStreamServerEndpoint: ...

    def endpoint(self, host: str, port: int, /) -> IStreamClientEndpoint: ...


class Recorder:
    """Relays to one cluster and writes a recording.

    :param reactor: runs it. Only its time is used where there is a ``network``.
    :param to: ``host:port`` of the cluster's SC.
    :param out: where the recording goes; its position has to be at its beginning, and to move.
    :param about: what else is to stand in the first line, for humans: ``scenario``, ``what``.
    :param host: the address to listen on.
    :param port: the port for clients; 0: a free one.
    :param network: used instead of TCP.
    """

    def __init__(
        self,
        reactor: Any,
        to: str,
        out: TextIO,
        *,
        about: dict[str, Any] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        network: Network | None = None,
    ) -> None:
        self._reactor = reactor
        self._time = cast(IReactorTime, reactor)
        self._network = network
        self._to = to
        self._out = out
        self._about = {"scenario": "", "client": "", "platform": "", "what": "", **(about or {})}
        self._host = host
        self._port = port
        self._listening: dict[str, _Relay] = {}
        self._links: dict[_Link, None] = {}
        self._connections = 0
        self._first: float | None = None

    def start(self) -> Deferred[str]:
        """Listen; fires with ``host:port`` for clients."""
        self._write_about()
        return Deferred.fromCoroutine(self.relay("sc", self._to, self._port))

    def stop(self) -> Deferred[None]:
        """End every connection and finish the recording; fires when nothing is left."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        relays = [one.listening for one in self._listening.values()]
        self._listening.clear()
        await gatherResults([maybeDeferred(one.stopListening) for one in relays])
        for link in list(self._links):
            link.abort()
        self._about["end"] = "ended by the recorder"
        self._write_about()

    # For connections

    async def relay(self, name: str, to: str, port: int = 0) -> str:
        """Listen for a server, unless that is done; where."""
        known = self._listening.get(name)
        if known is None or known.to != to:
            if known is not None:
                await maybeDeferred(known.listening.stopListening)
            factory = _Accepting(self, name, to)
            listening = await self._server_endpoint(port).listen(factory)
            where = cast(IPv4Address, listening.getHost())
            known = _Relay(to, listening, f"{self._host}:{where.port}")
            self._listening[name] = known
            if name != "sc":
                self._about["spus"] = len(self._listening) - 1
        return known.where

    def connect(self, to: str) -> IStreamClientEndpoint:
        """What connects to a server."""
        host, _, port = to.rpartition(":")
        if self._network is not None:
            return self._network.endpoint(host, int(port))
        return HostnameEndpoint(self._reactor, host, int(port))

    def opened(self, link: _Link) -> int:
        """The number of a new connection."""
        self._links[link] = None
        self._connections += 1
        return self._connections

    def closed(self, link: _Link) -> None:
        """A connection is over."""
        self._links.pop(link, None)

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
        self._out.write(json.dumps(line) + "\n")

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
        line = json.dumps(self._about)[: ABOUT_SIZE - 1]
        end = self._out.tell()
        self._out.seek(0)
        self._out.write(line.ljust(ABOUT_SIZE - 1) + "\n")
        if end:
            self._out.seek(end)
        self._out.flush()


@attrs.frozen
class _Relay:
    """A server that is listened for.

    :ivar to: where it really is.
    :ivar where: where it seems to be.
    """

    to: str
    listening: IListeningPort
    where: str


class _Accepting(Factory):
    """Accepts clients of one server."""

    noisy = False

    def __init__(self, recorder: Recorder, server: str, to: str) -> None:
        self._recorder = recorder
        self._server = server
        self._to = to

    def buildProtocol(self, address: IAddress | None) -> _End:
        link = _Link(self._recorder, self._server)
        link.connect(self._recorder.connect(self._to))
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
        self._asked: dict[int, RequestHeader] = {}
        self._open = 2
        self._spoken = False
        self.number = recorder.opened(self)
        self.client.other, self._upstream.other = self._upstream, self.client

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        """Connect to the server; a client whose server is not there is closed."""
        factory = Factory.forProtocol(lambda: self._upstream)
        factory.noisy = False
        connecting = endpoint.connect(factory)
        connecting.addErrback(self._unreachable)

    def abort(self) -> None:
        """End both connections."""
        self.client.abort()
        self._upstream.abort()

    def passed(self, payload: bytes, by_client: bool) -> Deferred[bytes]:
        """Write a frame down; fires with the frame as it is to be passed on."""
        return Deferred.fromCoroutine(self._passed(payload, by_client))

    def finished(self, by_client: bool) -> None:
        """One side sends no more; that is written down if anything was ever sent."""
        if self._spoken:
            self._recorder.note(self, by_client, eof=True)

    def lost(self) -> None:
        """One of the two connections is over."""
        self._open -= 1
        if not self._open:
            self._recorder.closed(self)

    def _unreachable(self, failure: Failure) -> None:
        failure.trap(ConnectError)
        _log.info("{server} can not be reached: {reason}", server=self.server, reason=failure.value)
        self.finished(by_client=False)
        self._recorder.closed(self)
        self.client.abort()

    async def _passed(self, payload: bytes, by_client: bool) -> bytes:
        try:
            whole = self._request(payload) if by_client else await self._reply(payload)
        except ProtocolError as error:
            _log.info("passed on as it is: {error}", error=error)
            whole = frame(payload)
        self._spoken = True
        self._recorder.note(self, by_client, hex=whole.hex())
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
        first = next(iter(public.ingress), IngressAddr())
        host = first.hostname or first.ip
        if not host or not public.port:
            return spu
        where = await self._recorder.relay(f"spu-{spu.spec.id}", f"{host}:{public.port}")
        seen, _, port = where.rpartition(":")
        address = IngressAddr(hostname=seen)
        endpoint = IngressPort(port=int(port), ingress=(address,), encryption=public.encryption)
        spec = evolve(spu.spec, public_endpoint=endpoint)
        if spec.public_endpoint_local is not None:
            local = evolve(spec.public_endpoint_local, host=seen, port=int(port))
            spec = evolve(spec, public_endpoint_local=local)
        return evolve(spu, spec=spec)


@implementer(IHalfCloseableProtocol, IPushProducer)
class _End(TwistedProtocol):
    """One of the two connections of a link: what comes here goes out at the other.

    Its reading stops while the other end has too much to write, or is not there yet.
    """

    other: _End

    def __init__(self, link: _Link, *, by_client: bool) -> None:
        self._link = link
        self._by_client = by_client
        self._frames: Frames | None = Frames(LARGEST_FRAME)
        self._queue: deque[bytes] = deque()
        self._waiting: list[bytes] = []
        self._working = False
        self._finished = False
        self._told = False
        self._lost = False

    @property
    def _tcp(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self._tcp.write(data)
        if not self.other.is_there:
            transport.pauseProducing()
        else:
            self.other.go_on()
        self.other.end_of_other()

    @property
    def is_there(self) -> bool:
        """Whether the connection has come about."""
        return self.transport is not None

    def go_on(self) -> None:
        """The other end takes more."""
        if self.transport is not None and not self._lost:
            cast(Any, self.transport).resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        if self._frames is None:
            self.other.write(data)
            return
        try:
            self._queue.extend(self._frames.feed(data))
        except ProtocolError as error:
            _log.info("no frame, passed on as it is: {error}", error=error)
            self._frames = None
            self.other.write(data)
            return
        self._work()

    def readConnectionLost(self) -> None:
        self._finished = True
        self._work()

    def writeConnectionLost(self) -> None:
        """The peer takes no more; what it sends is still passed on."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = self._finished = True
        self._work()
        self._link.lost()

    # What the other end does

    def write(self, data: bytes) -> None:
        """Send, now or once the connection is there."""
        if self.transport is None:
            self._waiting.append(data)
        elif not self._lost:
            self._tcp.write(data)

    def end_of_other(self) -> None:
        """The other end has nothing more, if all that came from it was passed on."""
        if self.transport is None or not self.other._told or self._lost:
            return
        if self.other._lost:
            self._tcp.loseConnection()
        else:
            self._tcp.loseWriteConnection()

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None and not self._lost:
            self._tcp.abortConnection()

    # IPushProducer: what this end writes is too much, or no longer

    def pauseProducing(self) -> None:
        if self.other.transport is not None and not self.other._lost:
            cast(Any, self.other.transport).pauseProducing()

    def resumeProducing(self) -> None:
        self.other.go_on()

    def stopProducing(self) -> None:
        """Nothing more is written."""

    def _work(self) -> None:
        if self._working:
            return
        self._working = True
        working = Deferred.fromCoroutine(self._pass_on())
        working.addErrback(self._failed)

    async def _pass_on(self) -> None:
        while self._queue:
            self.other.write(await self._link.passed(self._queue.popleft(), self._by_client))
        self._working = False
        if self._finished and not self._told:
            self._told = True
            self._link.finished(self._by_client)
        if self._finished:
            self.other.end_of_other()

    def _failed(self, failure: Failure) -> None:
        _log.failure("a frame could not be passed on", failure)
        self._link.abort()
