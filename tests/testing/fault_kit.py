"""A fake cluster in memory on which things go wrong, and a client that sees every byte of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.testing.spu_kit import entry, produce
from txfluvio.errors import ProtocolError
from txfluvio.testing import FakeBroker
from txfluvio.testing.faults import Action, Fault, Match
from txfluvio.testing.faults.planting import Planted
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import REPLY_BODY, encode_request, reply_correlation_id
from txfluvio.wire.records import encode_batch
from txfluvio.wire.schema import Request
from txfluvio.wire.versions import ApiVersionsRequest

T = TypeVar("T")

ONE = encode_batch([b"x"])
HELLO = ApiVersionsRequest(client_version="1.0.0")


class Peer(Protocol):
    """A client's connection that keeps what comes.

    :ivar data: all bytes so far.
    :ivar why: why the connection ended, ``None`` before that.
    """

    def __init__(self, clock: Clock) -> None:
        self.data = b""
        self.why: type[BaseException] | None = None
        self._clock = clock
        self._sent: list[tuple[Request[Any], int]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.why = reason.type

    def send(self, request: Request[Any], version: int = 25, client_id: str = "test") -> int:
        """Send a request, and let happen what takes no time; returns the correlation id."""
        self._sent.append((request, version))
        number = len(self._sent)
        self.send_bytes(
            encode_request(request, version=version, correlation_id=number, client_id=client_id)
        )
        return number

    def send_bytes(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)
        self._clock.advance(0)

    def half_close(self) -> None:
        """Send nothing more."""
        cast(ITCPTransport, self.transport).loseWriteConnection()

    def abort(self) -> None:
        cast(ITCPTransport, self.transport).abortConnection()

    def produce(self, partition: int = 0, **fields: Any) -> int:
        """Send one record; returns the correlation id."""
        return self.send(produce(entry(ONE, partition=partition), **fields))

    @property
    def frames(self) -> list[bytes]:
        """The frames so far, without their sizes."""
        return list(Frames().feed(self.data))

    @property
    def answered(self) -> list[int]:
        """The correlation ids of the frames so far."""
        return [reply_correlation_id(frame) for frame in self.frames]

    def replies(self, number: int) -> list[Any]:
        """The replies to one request."""
        request, version = self._sent[number - 1]
        decode = request.api.reply.decode
        return [
            decode(frame, version, REPLY_BODY)
            for frame in self.frames
            if reply_correlation_id(frame) == number
        ]

    def reply(self, number: int) -> Any:
        """The only reply to a request."""
        (reply,) = self.replies(number)
        return reply

    def undecodable(self) -> bool:
        """Whether the last frame is not what it should be."""
        frame = self.frames[-1]
        request, version = self._sent[reply_correlation_id(frame) - 1]
        try:
            request.api.reply.decode(frame, version, REPLY_BODY)
        except ProtocolError:
            return True
        return False


class FaultKit:
    """A cluster of one SPU with a topic ``orders`` of two partitions, unless told otherwise."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.network = MemoryNetwork(self.clock)
        settings = {"topics": {"orders": 2, "other": 1}, **settings}
        self.broker = FakeBroker(self.clock, network=self.network, **settings)
        self.done(self.broker.start())

    def done(self, waiting: Deferred[T]) -> T:
        """What a Deferred fires with, without any time going by."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        self.clock.advance(0)
        assert found, "nothing yet"
        if isinstance(found[0], Failure):
            found[0].raiseException()
        result: T = found[0]
        return result

    def stop(self) -> None:
        self.done(self.broker.stop())
        assert self.clock.getDelayedCalls() == []

    def plant(self, action: Action, times: int | None = 1, **match: Any) -> Planted:
        """Plant a fault, of whose match these parts are given; it need not act."""
        return self.broker.plant(Fault(Match(**match), action, times), optional=True)

    def connect(self, where: str) -> Peer:
        host, _, port = where.partition(":")
        endpoint = self.network.endpoint(host, int(port))
        connecting: Deferred[Peer] = connectProtocol(endpoint, Peer(self.clock))
        return self.done(connecting)

    def spu(self) -> Peer:
        """A connection to the SPU."""
        return self.connect(self.broker.spu_endpoints[5001])

    def sc(self) -> Peer:
        """A connection to the SC."""
        return self.connect(self.broker.sc_endpoint)

    def stored(self, partition: int = 0, topic: str = "orders") -> int:
        """How many records a partition has."""
        return len(self.broker.records(topic, partition))


@pytest.fixture
def kit() -> Iterator[FaultKit]:
    """A cluster, stopped in the end."""
    made = FaultKit()
    yield made
    made.stop()


def code(peer: Peer, number: int) -> int:
    """How the only entry of a Produce ended."""
    found: int = peer.reply(number).responses[0].partitions[0].error_code.code
    return found
