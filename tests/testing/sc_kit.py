"""A cluster without sockets, and a client that speaks to its SC in whole frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txfluvio.errors import ProtocolError
from txfluvio.testing.cluster import Cluster, Key, ReplicaReport
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import (
    REPLY_BODY,
    RequestHeader,
    decode_request_header,
    encode_reply,
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


@attrs.frozen
class Incoming:
    header: RequestHeader
    payload: bytes
    body: int


@attrs.define
class Call(Generic[ReplyT]):
    """A request that was sent, and what came for it."""

    request: Request[ReplyT]
    version: int
    correlation_id: int
    _received: list[bytes]
    _taken: int = 0

    @property
    def replies(self) -> list[ReplyT]:
        """All replies so far."""
        decode = self.request.api.reply.decode
        return [
            cast(ReplyT, decode(payload, self.version, REPLY_BODY))
            for payload in self._received
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


class Client:
    """One connection to the SC: requests are served one at a time, replies are bytes."""

    def __init__(self, cluster: Cluster, principal: str = "") -> None:
        self.principal = principal
        self.closed = False
        self.received: list[bytes] = []
        self._cluster = cluster
        self._queue: list[bytes] = []
        self._busy = False
        self._closers: list[Callable[[], object]] = []
        self._next_id = 1

    # What the SC sees of it

    def reply(self, message: Message, request: Incoming, /) -> None:
        header = request.header
        data = encode_reply(
            message, version=header.api_version, correlation_id=header.correlation_id
        )
        if not self.closed:
            self.received += Frames().feed(data)

    def push(self, message: Message, request: Incoming, /) -> None:
        self.reply(message, request)

    def close(self) -> None:
        self.closed = True
        self._queue.clear()
        closers, self._closers = self._closers, []
        for closer in closers:
            closer()

    def on_close(self, call: Callable[[], object], /) -> None:
        self._closers.append(call)

    # What a test does with it

    def send(self, message: Request[ReplyT], *, version: int = VERSION) -> Call[ReplyT]:
        """Send a request; the SC takes it when it is done with those before."""
        number = self._next_id
        self._next_id += 1
        data = encode_request(message, version=version, correlation_id=number, client_id="test")
        self.send_payload(data[4:])
        return Call(message, version, number, self.received)

    def send_payload(self, payload: bytes) -> None:
        """Send any bytes as one frame."""
        self._queue.append(payload)
        self._serve()

    def _serve(self) -> None:
        while self._queue and not self._busy and not self.closed:
            payload = self._queue.pop(0)
            try:
                header, body = decode_request_header(payload)
                waiting = self._cluster.sc.requested(Incoming(header, payload, body), self)
            except ProtocolError:
                self.close()
                return
            if waiting is not None:
                self._busy = True
                waiting.addCallback(self._answered)

    def _answered(self, _: None) -> None:
        self._busy = False
        self._serve()


class Kit:
    """A cluster under a clock.

    :param spus: how many SPUs it has, all of them up.
    """

    def __init__(self, *, spus: int = 1, start: bool = True, **settings: Any) -> None:
        self.clock = Clock()
        self.cluster = Cluster(self.clock, **settings)
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
        return Client(self.cluster, principal)

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
