"""A cluster without sockets, and a client that speaks to its SC in whole frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from txfluvio.testing.cluster import Cluster
from txfluvio.testing.server.protocol import Complaint, Server
from txfluvio.testing.spu.replica import Replica
from txfluvio.testing.spu.spu import Spu
from txfluvio.testing.timers import Timers
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import (
    REPLY_BODY,
    encode_request,
    reply_correlation_id,
)
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.schema import Message, Request

ReplyT = TypeVar("ReplyT", bound=Message)

VERSION = 19


@attrs.define
class Call(Generic[ReplyT]):
    """A request that was sent, and what came for it."""

    request: Request[ReplyT]
    version: int
    correlation_id: int
    _received: Callable[[], list[bytes]]
    _taken: int = 0

    @property
    def replies(self) -> list[ReplyT]:
        """All replies so far."""
        decode = self.request.api.reply.decode
        return [
            cast(ReplyT, decode(payload, self.version, REPLY_BODY))
            for payload in self._received()
            if reply_correlation_id(payload) == self.correlation_id
        ]

    @property
    def reply(self) -> ReplyT:
        """The only reply."""
        (reply,) = self.replies
        return reply

    def news(self) -> list[ReplyT]:
        """The replies since the last look."""
        replies = self.replies
        taken, self._taken = self._taken, len(replies)
        return replies[taken:]


class Transport(StringTransport):
    """Keeps what is written, and takes settings of TCP."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass


class Client:
    """One connection to the SC, without a network."""

    def __init__(self, server: Server, principal: str = "") -> None:
        self.transport = Transport()
        self.protocol = server.buildProtocol(None)
        self.protocol.connection.principal = principal
        self.protocol.makeConnection(self.transport)
        self._frames = Frames()
        self._received: list[bytes] = []
        self._next_id = 1

    @property
    def closed(self) -> bool:
        return self.transport.disconnecting

    def received(self) -> list[bytes]:
        """The frames that came so far, in their order."""
        self._received += self._frames.feed(self.transport.value())
        self.transport.clear()
        return self._received

    def send(
        self,
        message: Request[ReplyT],
        *,
        version: int = VERSION,
        correlation_id: int | None = None,
    ) -> Call[ReplyT]:
        """Send a request; the SC takes it when it is done with those before."""
        if correlation_id is None:
            correlation_id = self._next_id
            self._next_id += 1
        data = encode_request(
            message, version=version, correlation_id=correlation_id, client_id="test"
        )
        self.send_bytes(data)
        return Call(message, version, correlation_id, self.received)

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self.protocol.dataReceived(data)

    def leave(self) -> None:
        """End the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Kit:
    """A cluster under a clock.

    :param spus: how many SPUs it has, all of them up.
    """

    def __init__(self, *, spus: int = 1, start: bool = True, **settings: Any) -> None:
        self.clock = Clock()
        self.cluster = Cluster(self.clock, **settings)
        self.complaints: list[Complaint] = []
        self.server = Server(
            "SC",
            self.cluster.sc,
            count=itertools.count(1).__next__,
            complaints=self.complaints.append,
        )
        self._timers = Timers(self.clock)
        for number in range(spus):
            self.add_spu(5001 + number)
        if start:
            self.cluster.start()
            self.settle()

    def add_spu(self, spu_id: int, *, up: bool = True) -> Spu:
        spu = Spu(
            spu_id,
            timers=self._timers,
            now=self.clock.seconds,
            release=self.cluster.release,
            neighbours=self.cluster,
        )
        self.cluster.add_spu(spu, host="127.0.0.1", port=9000 + spu_id % 1000, up=up)
        return spu

    def replica(self, spu_id: int, topic: str, partition: int = 0) -> Replica:
        """What an SPU has of a partition."""
        return self.cluster.spus[spu_id].replicas[topic, partition]

    def settle(self) -> None:
        """Run everything that is due now."""
        self.clock.advance(0)

    def client(self, principal: str = "") -> Client:
        return Client(self.server, principal)

    def ask(
        self, request: Request[ReplyT], client: Client | None = None, *, version: int = VERSION
    ) -> ReplyT:
        """The one reply to a request, which comes without any time going by."""
        call = (client or self.client()).send(request, version=version)
        self.settle()
        return call.reply

    def append(self, spu_id: int, topic: str, *values: bytes, partition: int = 0) -> None:
        """Have a leader store records, each in a batch of its own."""
        batches = [Batch(encode_batch([value]), 0) for value in values]
        self.replica(spu_id, topic, partition).append(batches, self.clock.seconds())

    def result(self, waiting: Deferred[Any]) -> Any:
        """What a Deferred has fired with by now."""
        self.settle()
        found: list[Any] = []
        waiting.addBoth(found.append)
        assert found, "nothing yet"
        return found[0]
