"""Every connection of a client, by what it is for.

A server answers the requests of one connection strictly in order, and pushes of streams go between
the answers. So what must not wait for each other gets connections of its own: a produce that waits
for its replicas, a create that waits for its topic, a stream. Connections come from a dialer; here
they are counted, shared, and closed.

:class:`Connections` has them all. :class:`SpuPool` shares those that need not be anybody's own,
dialled afresh from the topology whenever one is gone. :class:`ScCalls` makes calls to the SC, one
at a time over each connection.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..config import ClientConfig
from ..errors import (
    ClientClosed,
    ConnectFailed,
    Effect,
    FluvioError,
    LimitReached,
    RequestTimedOut,
    another,
)
from ..interfaces import IMetrics
from ..metrics import NOTHING
from ..transport.dialer import Dialer
from ..transport.protocol import FluvioProtocol
from ..transport.waiting import Waiting
from ..wire.schema import Message, Request
from .retry import GivenUp
from .time_left import TimeLeft, within
from .topology import SpuInfo
from .turns import Turns

ReplyT = TypeVar("ReplyT", bound=Message)

SC_CALLS: Final = 8
"""Calls to the SC at one time; the next one waits for one of these. A create can take minutes."""

COMMITTED_CONNECTIONS: Final = 4
"""Connections to one SPU for producing with READ_COMMITTED: each waits for replicas, in order."""


@attrs.define(eq=False)
class _Attempt:
    """The making of a connection.

    :ivar given_up: whether whoever asked for it has cancelled.
    """

    address: str
    dialling: Deferred[FluvioProtocol]
    given_up: bool = False

    def outcome(self) -> Deferred[FluvioProtocol]:
        """What comes of it. Whoever cancels this waits until the attempt is over."""
        connecting: Deferred[FluvioProtocol] = Deferred(self._give_up)

        def tell(result: FluvioProtocol | Failure) -> FluvioProtocol | Failure | None:
            if self.given_up:
                return result
            connecting.callback(result)
            return None

        self.dialling.addBoth(tell)
        return connecting.addErrback(self._ended)

    def _give_up(self, _: object) -> None:
        self.given_up = True
        self.dialling.cancel()

    def _ended(self, failure: Failure) -> Deferred[FluvioProtocol]:
        return self.dialling if self.given_up else fail(failure)


class Connections:
    """Every connection of a client."""

    def __init__(
        self, config: ClientConfig, *, dialer: Dialer, metrics: IMetrics = NOTHING
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._dialer = dialer
        self._attempts: dict[_Attempt, None] = {}
        self._open: dict[FluvioProtocol, None] = {}
        self._gone: Waiting[None] = Waiting()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open) + len(self._attempts)

    @property
    def in_flight(self) -> int:
        """Requests that wait for their reply."""
        return sum(protocol.in_flight for protocol in self._open)

    def to_sc(self) -> Deferred[FluvioProtocol]:
        """A new connection to the SC; see :meth:`to`."""
        host, port = self._config.address
        tls = self._config.tls
        return self.to(host, port, None if tls is None else tls.server_name)

    def to_spu(self, spu: SpuInfo) -> Deferred[FluvioProtocol]:
        """A new connection to an SPU; see :meth:`to`."""
        if not spu.host:
            return fail(ConnectFailed(f"SPU {spu.id}", "it has told no public address"))
        tls = self._config.tls
        domain = None if tls is None else tls.server_name
        return self.to(spu.host, spu.port, f"{spu.name}.{domain}" if domain else None)

    def to(self, host: str, port: int, server_name: str | None) -> Deferred[FluvioProtocol]:
        """A new connection, for the caller, who closes it.

        Cancelling gives up dialling. Fails with :class:`~txfluvio.errors.ConnectFailed`, with
        :class:`~txfluvio.errors.LimitReached` if there are ``max_connections`` already, with
        :class:`~txfluvio.errors.ClientClosed` if the client closes first.
        """
        if self._closed:
            return fail(ClientClosed())
        limit = self._config.max_connections
        # They are looked through only where that may matter: all may be dialled anew at once.
        if len(self) >= limit and self._taken() >= limit:
            return fail(LimitReached("ClientConfig.max_connections", limit))
        dialling = maybeDeferred(self._dialer.dial, host, port, server_name=server_name)
        attempt = _Attempt(f"{host}:{port}", dialling)
        self._attempts[attempt] = None
        dialling.addCallbacks(
            self._dialled, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,)
        )
        return attempt.outcome()

    def _dialled(self, protocol: FluvioProtocol, attempt: _Attempt) -> FluvioProtocol:
        del self._attempts[attempt]
        self._open[protocol] = None
        protocol.when_closed().addCallback(self._lost, protocol)
        if self._metrics is not NOTHING:
            protocol.on_answered = self._metrics.answered
        self._metrics.connected(protocol.address)
        return protocol

    def _failed(self, failure: Failure, attempt: _Attempt) -> Failure:
        del self._attempts[attempt]
        if self._closed:
            self._tell()
            return Failure(ClientClosed())
        if attempt.given_up:
            # Twisted says of a name that was being resolved that it is not known: no error of the
            # attempt, after which whoever has cancelled would make another.
            return Failure(CancelledError())
        error = _named(failure.value, attempt.address)
        self._metrics.failed("connect", error)
        return Failure(error)

    def _lost(self, error: FluvioError, protocol: FluvioProtocol) -> None:
        self._open.pop(protocol, None)
        if not protocol.ended_here:
            self._metrics.disconnected(protocol.address, error)
        self._tell()

    def _taken(self) -> int:
        """How many count towards ``max_connections``.

        Not those that are as good as gone: whoever is told of a loss dials again before it is told
        here. One that closes in peace counts, since it may keep its socket for seconds.
        """
        return len(self._attempts) + sum(not protocol.socket_released for protocol in self._open)

    def close(self, *, hurried: bool = False) -> Deferred[None]:
        """Give up dialling, close what is open; fires when the last connection is gone.

        May be called again, in a hurry then. Cancelling ends only the waiting.

        :param hurried: whether to send not even what was written.
        """
        self._closed = True
        for attempt in list(self._attempts):
            attempt.dialling.cancel()
        for protocol in list(self._open):
            if hurried:
                protocol.abort()
            else:
                protocol.close()
        return self._gone.add() if len(self) else succeed(None)

    def _tell(self) -> None:
        if self._closed and not len(self):
            for waiter in self._gone.take():
                waiter.callback(None)


def _named(error: BaseException | None, address: str) -> FluvioError:
    """An error of ours: a dialer that somebody else has made may fail with anything."""
    if isinstance(error, FluvioError):
        return error
    cancelled = isinstance(error, CancelledError)
    named = ConnectFailed(address, "the attempt was cancelled" if cancelled else repr(error))
    named.__cause__ = error
    return named


class Purpose(enum.Enum):
    """What a shared connection to an SPU is for."""

    PRODUCE = "produce"
    COMMITTED = "produce, waiting for replicas"
    CALLS = "short calls"


@attrs.define(eq=False)
class _Shared:
    """A shared connection, or the making of it."""

    address: tuple[str, int]
    protocol: FluvioProtocol | None = None
    waiting: Waiting[FluvioProtocol] = attrs.field(factory=Waiting)

    @property
    def load(self) -> int:
        """How many requests are on it, or about to be."""
        return len(self.waiting) if self.protocol is None else self.protocol.in_flight

    @property
    def over(self) -> bool:
        """Whether it was made, and can be used no more."""
        return self.protocol is not None and not self.protocol.usable

    def fits(self, address: tuple[str, int]) -> bool:
        """Whether it leads to this address, and to a server that knew what it was asked."""
        return self.address == address and not (self.protocol and self.protocol.lacks_an_api)

    def get(self) -> Deferred[FluvioProtocol]:
        """Fires with the connection, when it is made."""
        return self.waiting.add() if self.protocol is None else succeed(self.protocol)

    def close_if_idle(self) -> bool:
        """End it if it was made and nothing is on it; whether that is so."""
        if self.protocol is None or self.load:
            return False
        # At once: one that closes in peace counts until its socket is gone.
        self.protocol.abort()
        return True


class SpuPool:
    """Shared connections to SPUs, none with a stream on it.

    One that was lost is not missed until somebody asks for it; it is then dialled at the address
    the SPU has by then. Those to an address that it has left, to a server that did not know what it
    was asked, or to an SPU that was removed, are closed when somebody asks for one and nothing is
    on them.
    """

    def __init__(self, connections: Connections, spu: Callable[[int], SpuInfo]) -> None:
        self._connections = connections
        self._spu = spu
        self._shared: dict[tuple[int, Purpose], list[_Shared]] = {}

    def get(self, spu_id: int, purpose: Purpose) -> Deferred[FluvioProtocol]:
        """A connection to share. Cancelling stops waiting; the connection is made all the same."""
        try:
            spu = self._spu(spu_id)
        except FluvioError as error:
            self._close_those_to(spu_id)
            return fail(error)
        address = (spu.host, spu.port)
        known = self._shared.setdefault((spu_id, purpose), [])
        known[:] = [shared for shared in known if not shared.over]
        for shared in known:
            if not shared.fits(address):
                # It goes on for those whose replies are still to come.
                shared.close_if_idle()
        there = [shared for shared in known if shared.fits(address)]
        least = min(there, key=lambda shared: shared.load, default=None)
        most = COMMITTED_CONNECTIONS if purpose is Purpose.COMMITTED else 1
        if least is None or (least.load and len(there) < most):
            return self._dial(spu, known)
        return least.get()

    def _dial(self, spu: SpuInfo, known: list[_Shared]) -> Deferred[FluvioProtocol]:
        made = _Shared((spu.host, spu.port))
        known.append(made)
        # Before it can fail.
        waiting = made.get()
        self._connections.to_spu(spu).addCallbacks(
            self._dialled, self._failed, callbackArgs=(made,), errbackArgs=(known, made)
        )
        return waiting

    def _close_those_to(self, spu_id: int) -> None:
        """Close the connections to an SPU that was removed, but those that still wait for replies:
        they go on, for whoever asks next to close."""
        for purpose in Purpose:
            known = self._shared.get((spu_id, purpose), [])
            for shared in list(known):
                if shared.close_if_idle():
                    known.remove(shared)
            if not known:
                self._shared.pop((spu_id, purpose), None)

    def _dialled(self, protocol: FluvioProtocol, made: _Shared) -> None:
        made.protocol = protocol
        for deferred in made.waiting.take():
            deferred.callback(protocol)

    def _failed(self, failure: Failure, known: list[_Shared], made: _Shared) -> None:
        if made in known:
            known.remove(made)
        assert failure.value is not None
        for deferred in made.waiting.take():
            deferred.errback(another(failure.value))


class ScCalls:
    """Calls to the SC, one at a time over each of a few connections.

    No watch is ever opened on these: an SC that meets an error on a watched connection falls
    silent instead of closing it.
    """

    def __init__(self, connections: Connections, clock: IReactorTime) -> None:
        self._connections = connections
        self._clock = clock
        self._turns = Turns(SC_CALLS)
        self._idle: list[FluvioProtocol] = []

    async def call(
        self,
        message: Request[ReplyT],
        seconds: float,
        on_sending: Callable[[], object] = lambda: None,
    ) -> ReplyT:
        """The reply to a request.

        If it does not come in time, or is no longer waited for, the connection it would come on is
        closed, since what is asked next would wait behind it.

        :param seconds: for waiting one's turn, connecting, and the reply.
        :param on_sending: called when it is about to be sent.
        :raises GivenUp: it was cancelled, and had been sent.
        :raises RequestTimedOut: with an effect of none if the request had not left.
        """
        left = TimeLeft.of(self._clock, seconds)

        def late() -> FluvioError:
            return RequestTimedOut(f"{message.api.name} to the SC", seconds, effect=Effect.NONE)

        await within(self._turns.acquire(), left, late)
        try:
            protocol = self._take()
            if protocol is None:
                protocol = await within(self._connections.to_sc(), left, late)
            on_sending()
            return await self._ask(protocol, message, left)
        finally:
            self._turns.release()

    def _take(self) -> FluvioProtocol | None:
        while self._idle:
            protocol = self._idle.pop()
            if protocol.usable:
                return protocol
        return None

    async def _ask(
        self, protocol: FluvioProtocol, message: Request[ReplyT], left: TimeLeft
    ) -> ReplyT:
        try:
            reply = await protocol.request(message, timeout=left.seconds)
        except FluvioError as error:
            if error.effect is Effect.NONE and protocol.usable and not protocol.lacks_an_api:
                self._idle.append(protocol)
            else:
                protocol.abort()
            raise
        except CancelledError as error:
            protocol.abort()
            raise GivenUp from error
        except BaseException:
            protocol.abort()
            raise
        self._idle.append(protocol)
        return reply
