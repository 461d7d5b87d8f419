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

from txfluvio.testing.cluster import Cluster, Key, ReplicaReport
from txfluvio.testing.server import Complaint, Server
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import (
    REPLY_BODY,
    encode_request,
    reply_correlation_id,
)
from txfluvio.wire.sc import PartitionSpec
from txfluvio.wire.schema import Message, Request

ReplyT = TypeVar("ReplyT", bound=Message)

VERSION = 19


@attrs.frozen
class Report:
    leo: int = 0
    hw: int = 0
    size: int = 0


class Spu:
    """An SPU whose replicas have only what a test says they have."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.on_report: Callable[[Key, ReplicaReport], None] | None = None
        self.roles: dict[Key, str] = {}
        self.silent = False

    def host(self, key: Key, spec: PartitionSpec, /) -> None:
        self.roles.setdefault(key, "")
        if not self.silent:
            self.report(key)

    def lead(self, key: Key, followers: tuple[int, ...], /) -> None:
        self.roles[key] = "leader"

    def follow(self, key: Key, /) -> None:
        self.roles[key] = "follower"

    def drop(self, key: Key, /) -> None:
        del self.roles[key]

    def report(self, key: Key, leo: int = 0, hw: int = 0, size: int = 0) -> None:
        assert self.on_report is not None
        self.on_report(key, Report(leo, hw, size))


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
        self.spus: dict[int, Spu] = {}
        for number in range(spus):
            self.add_spu(5001 + number)
        if start:
            self.cluster.start()
            self.settle()

    def add_spu(self, spu_id: int, *, up: bool = True) -> Spu:
        spu = self.spus[spu_id] = Spu(spu_id)
        self.cluster.add_spu(spu, host="127.0.0.1", port=9000 + spu_id % 1000, up=up)
        return spu

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

    def result(self, waiting: Deferred[Any]) -> Any:
        """What a Deferred has fired with by now."""
        self.settle()
        found: list[Any] = []
        waiting.addBoth(found.append)
        assert found, "nothing yet"
        return found[0]
