"""The other end of a connection, played by the test: it answers what it is told to answer."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.config import ClientConfig
from txfluvio.transport.factory import connect
from txfluvio.transport.memory import MemoryLink, MemoryNetwork, MemoryTransport
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.framing import Frames, frame
from txfluvio.wire.headers import RequestHeader, decode_request_header, encode_reply
from txfluvio.wire.schema import Message, Request
from txfluvio.wire.spu import (
    FetchOffsetPartition,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopic,
    StreamFetchRequest,
)
from txfluvio.wire.versions import ApiVersionRange, ApiVersionsRequest, ApiVersionsResponse

SPU_VERSIONS = ApiVersionsResponse(
    api_keys=tuple(
        ApiVersionRange(api_key=key, min_version=low, max_version=high)
        for key, low, high in ((0, 0, 25), (1, 0, 25), (1002, 25, 25), (1003, 0, 25), (1005, 0, 0))
    ),
    platform_version="0.0.0",
)
"""What an SPU answers to ApiVersions."""

ASK = FetchOffsetsRequest(
    topics=(FetchOffsetTopic(name="orders", partitions=(FetchOffsetPartition(partition_index=0),)),)
)
"""Some request with one reply."""

ANSWER = FetchOffsetsResponse(topics=())
"""A reply to it."""

OPEN = StreamFetchRequest(topic="orders", partition=0, fetch_offset=0, max_bytes=1000)
"""Some request with many replies."""


class Peer(Protocol):
    """A server that notes what is asked; it answers ApiVersions by itself, if it has an answer."""

    transport: MemoryTransport

    def __init__(self, greeting: Message | None) -> None:
        self.greeting = greeting
        self.headers: list[RequestHeader] = []
        self.bodies: list[Request[Any]] = []
        self.lost: list[type[BaseException] | None] = []
        self._frames = Frames()

    def dataReceived(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            header, start = decode_request_header(payload)
            for request in (ApiVersionsRequest, FetchOffsetsRequest, StreamFetchRequest):
                if header.api_key == request.api.key:
                    self.bodies.append(request.decode(payload, header.api_version, start))
            self.headers.append(header)
            if header.api_key == ApiVersionsRequest.api.key and self.greeting is not None:
                self.reply(self.greeting, header.correlation_id)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason.type)

    def reply(self, message: Message, correlation_id: int) -> None:
        version = {header.correlation_id: header.api_version for header in self.headers}
        self.transport.write(
            encode_reply(message, version=version[correlation_id], correlation_id=correlation_id)
        )

    def reply_bytes(self, correlation_id: int, body: bytes) -> None:
        self.transport.write(frame(correlation_id.to_bytes(4, "big", signed=True), body))


class Peers(Factory):
    """Builds peers and keeps them."""

    def __init__(self) -> None:
        self.greeting: Message | None = SPU_VERSIONS
        self.built: list[Peer] = []

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        self.built.append(Peer(self.greeting))
        return self.built[-1]


class PeerTestCase(SynchronousTestCase):
    """A network in memory with a peer at ``spu:9005``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.peers = Peers()
        self.network.listen("spu", 9005, self.peers)

    def dial(self, **settings: Any) -> Deferred[FluvioProtocol]:
        """Connect, and let happen what happens without time passing."""
        config = ClientConfig(endpoint="spu:9005", **settings)
        endpoint = self.network.endpoint("spu", 9005, timeout=3600)
        connecting = connect(endpoint, config, clock=self.clock)
        self.network.pump()
        return connecting

    def connected(self, **settings: Any) -> FluvioProtocol:
        """A usable protocol, with :attr:`peer` and :attr:`link` for its other end."""
        protocol = self.successResultOf(self.dial(**settings))
        assert isinstance(protocol, FluvioProtocol)
        return protocol

    @property
    def peer(self) -> Peer:
        return self.peers.built[-1]

    @property
    def link(self) -> MemoryLink:
        return self.network.links[-1]
