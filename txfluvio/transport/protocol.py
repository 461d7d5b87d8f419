"""One connection to a Fluvio server: requests out, replies in.

:class:`FluvioProtocol` keeps the one table that says who waits for which correlation id; nothing
else knows correlation ids. It opens every connection with the exchange of versions, encodes each
request at the version both sides know, ends whoever waits too long, and notices a peer that is
dead, or that is no Fluvio server at all. It decides nothing: what to ask, whom, and whether to ask
again is the business of the floors above. Who stands in the table is told by
:mod:`~txfluvio.transport.calls`, the bytes come from :mod:`txfluvio.wire`, and connections are made
by :mod:`~txfluvio.transport.factory` and :mod:`~txfluvio.transport.dialer`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IProtocol,
    IReactorTime,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..config import ClientConfig
from ..errors import (
    Disconnected,
    Effect,
    FluvioError,
    ProtocolError,
    UnsupportedVersion,
    UsageError,
)
from ..wire.framing import Frames
from ..wire.headers import REPLY_BODY, encode_request, reply_correlation_id
from ..wire.schema import Api, Message, Request
from ..wire.versions import (
    API_VERSIONS_VERSION,
    ApiVersionRange,
    ApiVersionsRequest,
    ApiVersionsResponse,
    choose_version,
)
from .brake import Brake
from .calls import Call, ReplyStream, tell
from .deadlines import Deadlines
from .sockets import acknowledge_now, tune
from .waiting import Waiting

CLOSE_GRACE: Final = 5.0
"""Seconds that ``close()`` gives a peer to take what was written, before it aborts."""

_LAST_CORRELATION_ID: Final = 2**31 - 1
MAX_ABANDONED: Final = 10_000
"""A connection is closed on which more requests than this are unanswered though nobody waits."""

MAX_GREETING: Final = 64 * 1024
"""The most bytes of an answer to ApiVersions; servers send less than 100. It takes thirty times as
much once it is read, and it is read before anything is known of the peer."""

_OPENING: Final = 8
"""How many of a peer's first bytes are kept until it has proven to speak Fluvio."""

_FOREIGN: Final = {b"HTTP": "HTTP", b"\x15\x03": "TLS", b"\x16\x03": "TLS"}
"""How peers begin that are something else. A TLS server answers plain bytes with an alert."""

ReplyT = TypeVar("ReplyT", bound=Message)


def _ignored(_: object) -> None:
    pass


@attrs.frozen
class _Ending:
    """Why a connection can be used no more."""

    reason: str
    cause: BaseException | None
    here: bool = False


class _Alarm:
    """A deadline of the connection itself."""

    __slots__ = ("expired",)

    def __init__(self, expired: Callable[[], None]) -> None:
        self.expired = expired


@implementer(IProtocol)
class FluvioProtocol:
    """A connection, from its first byte to its last.

    It is usable once :meth:`when_ready` has fired, that is, when the versions were exchanged, and
    until it is closed, aborted or lost. From then on every call fails with
    :class:`~txfluvio.errors.Disconnected` and an effect of none; what was under way has failed
    with an effect of unknown. Whoever waits is told exactly once.

    :ivar address: the peer, ``"host:port"``, for messages.
    :ivar transport: what Twisted has connected it to.
    :ivar on_answered: called with the name of the api and the seconds for each reply to a request;
        None: nobody cares.
    """

    transport: ITransport | None = None
    on_answered: Callable[[str, float], object] | None = None

    def __init__(
        self, config: ClientConfig, *, clock: IReactorTime, address: str, client_version: str
    ) -> None:
        """
        :param config: of it count ``client_id``, the timeouts of handshake, request, frame, idle
            probe and keepalive, ``max_frame_size`` and ``write_budget``.
        :param clock: measures all of these.
        :param address: the peer, ``"host:port"``.
        :param client_version: a semantic version: the SC hangs up on anything else.
        """
        self.address = address
        self._config = config
        self._clock = clock
        self._hello = ApiVersionsRequest.of_this_machine(client_version)
        self._table: dict[int, Call | ReplyStream] = {}
        self._in_flight = 0
        self._lacks_an_api = False
        # Whether many replies may come. Not who waited for them, and may hold much.
        self._abandoned: dict[int, bool] = {}
        self._deadlines = Deadlines(clock)
        self._next_id = 1
        self._highest_id = 0
        self._versions: Mapping[int, ApiVersionRange] | None = None
        self._chosen: dict[type[Request[Any]], int | None] = {}
        self._platform_version = ""
        self._handshake_error: FluvioError | None = None
        self._ending: _Ending | None = None
        self._lost = False
        self._aborting = False
        self._all_told = False
        self._frames = Frames(config.max_frame_size, first=MAX_GREETING)
        self._opening: bytes | None = b""
        self._unfinished_since: float | None = None
        self._frame_watched = False
        self._heard = 0.0
        self._brake = Brake(config.write_budget)
        self._socket: socket.socket | None = None
        self._when_ready: Waiting[FluvioProtocol] = Waiting()
        self._when_closed: Waiting[FluvioError] = Waiting()

    def __repr__(self) -> str:
        if self._ending is not None:
            state = f"ended: {self._ending.reason}"
        else:
            state = "ready" if self.usable else "not ready"
        return f"<FluvioProtocol {self.address} {state}, {len(self._table)} waiting>"

    # Facts

    @property
    def usable(self) -> bool:
        """Whether requests can be sent now."""
        return self._versions is not None and self._ending is None

    @property
    def lacks_an_api(self) -> bool:
        """Whether something was asked that the server does not know. The next to be reached at its
        address may be another: whoever shares connections does not go on with this one."""
        return self._lacks_an_api

    @property
    def ended_here(self) -> bool:
        """Whether it was this side that has ended it, by :meth:`close` or :meth:`abort`."""
        return self._ending is not None and self._ending.here

    @property
    def socket_released(self) -> bool:
        """Whether its socket is gone, or is by the next turn of the reactor: it was lost or
        aborted. One that is closed may take until the peer has taken what was written."""
        return self._lost or self._aborting

    @property
    def versions(self) -> Mapping[int, ApiVersionRange]:
        """What the server offers, by api key; empty before the connection is ready."""
        return MappingProxyType({}) if self._versions is None else self._versions

    @property
    def platform_version(self) -> str:
        """The release of the SC; an SPU always says ``0.0.0``."""
        return self._platform_version

    @property
    def foreign_protocol(self) -> str | None:
        """What the peer seems to speak instead of Fluvio, ``"HTTP"`` or ``"TLS"``, if anything."""
        if self._opening:
            for beginning, name in _FOREIGN.items():
                if self._opening.startswith(beginning):
                    return name
        return None

    @property
    def writable(self) -> bool:
        """Whether :meth:`when_writable` would fire at once."""
        return self._ending is None and self._brake.released

    @property
    def in_flight(self) -> int:
        """How many requests wait for a reply, streams and abandoned ones not counted."""
        # Counted as they come and go: who shares connections asks before each request.
        return self._in_flight

    def version_of(self, api: Api) -> int | None:
        """The version at which a call would be sent; ``None`` if the server does not know it."""
        try:
            return self._chosen[api.request]
        except KeyError:
            version = choose_version(api, dict(self.versions))
            if self._versions is not None:
                self._chosen[api.request] = version
            return version

    # Waiting for a state

    def when_ready(self) -> Deferred[FluvioProtocol]:
        """Fires with the protocol when the versions were exchanged.

        Fails with what went wrong: :class:`~txfluvio.errors.Disconnected`,
        :class:`~txfluvio.errors.RequestTimedOut`, :class:`~txfluvio.errors.ProtocolError` or a
        :class:`~txfluvio.errors.BrokerError`. Cancelling concerns only this Deferred.
        """
        if self._handshake_error is not None:
            return fail(self._handshake_error)
        if self._versions is None:
            return self._when_ready.add()
        return succeed(self) if self.usable else fail(self._disconnected(Effect.NONE))

    def when_closed(self) -> Deferred[FluvioError]:
        """Fires when the connection is gone, and says why.

        The value is a :class:`~txfluvio.errors.Disconnected`, whose cause may tell more. It comes
        after everybody who waited for a reply has been told. Cancelling concerns only this
        Deferred.
        """
        if self._all_told:
            return succeed(self._disconnected(Effect.NONE))
        return self._when_closed.add()

    def when_writable(self) -> Deferred[None]:
        """Fires when fewer bytes than ``write_budget`` wait to be sent, perhaps at once.

        Sending is never refused for want of room: whoever sends much waits here first. Fails with
        :class:`~txfluvio.errors.Disconnected`, effect none, if the connection ends. Cancelling
        concerns only this Deferred.
        """
        if self._ending is not None:
            return fail(self._disconnected(Effect.NONE))
        return succeed(None) if self._brake.released else self._brake.waiting.add()

    # Requests

    def request(
        self, message: Request[ReplyT], *, timeout: float | None = None
    ) -> Deferred[ReplyT]:
        """Send a request; the Deferred fires with its reply.

        Cancelling means not to wait any longer: the request has been sent and may take effect; its
        reply will be dropped.

        :param timeout: seconds for the reply; ``None``: ``ClientConfig.request_timeout``.
        :return: fails with :class:`~txfluvio.errors.RequestTimedOut`,
            :class:`~txfluvio.errors.Disconnected` (effect none if it had not been sent),
            :class:`~txfluvio.errors.UnsupportedVersion`, :class:`~txfluvio.errors.ProtocolError`
            if the reply can not be read, :class:`~txfluvio.errors.UsageError` if the request can
            not be written.
        """
        deferred: Deferred[ReplyT] = Deferred(lambda _: call.abandon())
        try:
            call = self.send(message, deferred.callback, deferred.errback, timeout)
        except FluvioError as error:
            return fail(error)
        return deferred

    def send(
        self,
        message: Request[ReplyT],
        on_reply: Callable[[ReplyT], object],
        on_failed: Callable[[FluvioError], object],
        timeout: float | None = None,
    ) -> Call:
        """Send a request; one of the callbacks is called, once, and never before this returns.

        :meth:`request` without the Deferred, and with the same parameters and errors.

        :raises FluvioError: nothing was sent, and no callback will be called.
        """
        version = self._version_for(message.api)
        seconds = self._config.request_timeout if timeout is None else timeout
        return self._call(Call(self, message.api, version, on_reply, on_failed, seconds), message)

    def open_stream(
        self,
        message: Request[ReplyT],
        on_reply: Callable[[ReplyT], None] = _ignored,
        on_closed: Callable[[FluvioError], None] = _ignored,
    ) -> ReplyStream:
        """Send a request that is answered again and again.

        No callback is called before this returns, so they may be set on the stream as well. A
        stream has no deadline: silence is its normal state. ``on_closed`` gets
        :class:`~txfluvio.errors.Disconnected`, or :class:`~txfluvio.errors.ProtocolError` if it was
        a reply to this stream that could not be read.

        :raises FluvioError: nothing was sent, and no callback will be called.
        """
        version = self._version_for(message.api)
        stream = ReplyStream(self, message.api, version, on_reply, on_closed)
        self._write(stream, message)
        return stream

    # The end

    def close(self) -> None:
        """Send what was written, then close; :meth:`when_closed` says when that is done.

        Replies are no longer taken: whoever still waits for one is told when the connection is
        gone. A peer that does not take what was written is given :data:`CLOSE_GRACE` seconds.
        """
        if self._ending is not None:
            return
        transport = self._transport()
        self._end("closed by this client", None, here=True)
        # A TLS transport does not close while it has a producer.
        cast(IConsumer, transport).unregisterProducer()
        self._deadlines.add(_Alarm(self._abort_transport), CLOSE_GRACE)
        transport.loseConnection()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent. May follow :meth:`close`."""
        if not self._lost:
            self._transport()
            self._end("aborted by this client", None, here=True)
            self._abort_transport()

    # IProtocol

    def makeConnection(self, transport: ITransport) -> None:
        self.transport = transport
        self._heard = self._clock.seconds()
        self.connectionMade()

    def connectionMade(self) -> None:
        transport = self._transport()
        self._socket = tune(transport, self._config.keepalive)
        cast(IConsumer, transport).registerProducer(self._brake, True)
        self._say_hello(self._greeted, self._handshake_failed, self._config.handshake_timeout)

    def dataReceived(self, data: bytes) -> None:
        if self._socket is not None:
            acknowledge_now(self._socket)
        if self._ending is not None:
            return
        self._heard = self._clock.seconds()
        if self._opening is not None and len(self._opening) < _OPENING:
            self._opening += data[: _OPENING - len(self._opening)]
        try:
            frames = self._frames.feed(data)
        except ProtocolError as error:
            self._frame_refused(error)
            return
        if frames:
            self._opening = None
        self._watch_frame(bool(frames))
        for frame in frames:
            self._dispatch(frame)
            if self._ending is not None:
                return
        if self._frames.broken is not None:
            self._frame_refused(self._frames.broken)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        if self._ending is None:
            self._end(self._explain(reason), reason.value)
        self._deadlines.clear()
        for waiter in list(self._table.values()):
            # Who was told before may be why this one waits no more.
            if not self._forget(waiter):
                continue
            if isinstance(waiter, Call):
                tell(waiter.on_failed, self._disconnected(Effect.UNKNOWN))
            else:
                tell(waiter.on_closed, self._disconnected(Effect.NONE))
        for writable in self._brake.waiting.take():
            writable.errback(self._disconnected(Effect.NONE))
        self._all_told = True
        for closed in self._when_closed.take():
            closed.callback(self._disconnected(Effect.NONE))

    def logPrefix(self) -> str:
        return "FluvioProtocol"

    # Sending

    def _transport(self) -> ITCPTransport:
        if self.transport is None:
            raise UsageError(f"{self.address} is not connected yet")
        return cast(ITCPTransport, self.transport)

    def _version_for(self, api: Api) -> int:
        if self._ending is not None:
            raise self._disconnected(Effect.NONE)
        if self._versions is None:
            raise UsageError(f"{self.address} is not ready yet: wait for when_ready()")
        version = self.version_of(api)
        if version is None:
            self._lacks_an_api = True
            listed = self._versions.get(api.key)
            raise UnsupportedVersion(
                f"{api.name} to {self.address}",
                f"versions {listed.min_version} to {listed.max_version}" if listed else "none",
                f"one of versions {api.min_version} to {api.max_version}",
            )
        return version

    def _call(self, call: Call, message: Request[Any]) -> Call:
        self._write(call, message)
        call.sent_at = self._clock.seconds()
        self._deadlines.add(call, call.seconds)
        return call

    def _write(self, waiter: Call | ReplyStream, message: Request[Any]) -> None:
        correlation_id = self._free_id()
        data = encode_request(
            message,
            version=waiter.version,
            correlation_id=correlation_id,
            client_id=self._config.client_id,
        )
        waiter.correlation_id = correlation_id
        self._next_id = correlation_id + 1
        self._highest_id = max(self._highest_id, correlation_id)
        self._table[correlation_id] = waiter
        if isinstance(waiter, Call):
            self._in_flight += 1
        self._transport().write(data)
        self._brake.wrote(len(data))

    def _free_id(self) -> int:
        """The next id nobody waits for; ids begin again after 2**31 - 1."""
        candidate = self._next_id
        while (
            candidate in self._table
            or candidate in self._abandoned
            or candidate > _LAST_CORRELATION_ID
        ):
            candidate = 1 if candidate >= _LAST_CORRELATION_ID else candidate + 1
        return candidate

    def give_up(self, waiter: Call | ReplyStream) -> None:
        """Called by who waits no more, while its replies may still come."""
        if self._forget(waiter):
            self._abandoned[waiter.correlation_id] = isinstance(waiter, ReplyStream)
            if len(self._abandoned) > MAX_ABANDONED and self._ending is None:
                self._end(f"more than {MAX_ABANDONED} abandoned requests are unanswered", None)
                self._abort_transport()

    def _forget(self, waiter: Call | ReplyStream) -> bool:
        """Take it out of the table, if it is there."""
        if self._table.get(waiter.correlation_id) is not waiter:
            return False
        del self._table[waiter.correlation_id]
        if isinstance(waiter, Call):
            self._in_flight -= 1
            self._deadlines.remove(waiter, waiter.seconds)
        return True

    # Receiving

    def _dispatch(self, frame: bytes) -> None:
        try:
            correlation_id = reply_correlation_id(frame)
            waiter = self._table.get(correlation_id)
            if waiter is None:
                self._drop(correlation_id)
                return
        except ProtocolError as error:
            self._broken(error)
            return
        try:
            if len(frame) > MAX_GREETING and waiter.api is self._hello.api:
                raise ProtocolError(
                    f"an answer to {waiter.api.name} of {len(frame)} bytes is over the limit of"
                    f" {MAX_GREETING}",
                    message="frame",
                )
            reply = waiter.api.reply.decode(frame, waiter.version, REPLY_BODY)
        except ProtocolError as error:
            self._unreadable(waiter, error)
            return
        if isinstance(waiter, Call):
            self._forget(waiter)
            if self.on_answered is not None:
                self.on_answered(waiter.api.name, self._clock.seconds() - waiter.sent_at)
        tell(waiter.on_reply, reply)

    def _unreadable(self, waiter: Call | ReplyStream, error: ProtocolError) -> None:
        """A reply can not be read, which is an error of whoever waits for it."""
        self._forget(waiter)
        self._broken(error)
        tell(waiter.on_failed if isinstance(waiter, Call) else waiter.on_closed, error)

    def _frame_refused(self, error: ProtocolError) -> None:
        """A frame has a bad size. If as much of it came as says whose reply it is, and that may be
        honest, it is their error: asked again, it would be as large. All else is a bad connection.
        """
        begun = self._frames.too_large
        known = len(begun) >= REPLY_BODY
        waiter = self._table.get(reply_correlation_id(begun)) if known else None
        if waiter is not None and waiter.api.unbounded:
            self._unreadable(waiter, error)
        else:
            self._broken(error)

    def _drop(self, correlation_id: int) -> None:
        """A reply for which nobody waits, which is all right if somebody did.

        Any other has got its id by mistake, so that somebody would wait for it in vain.

        :raises ProtocolError: nobody did, or it was answered before.
        """
        many = self._abandoned.get(correlation_id)
        if many is None:
            never = not 0 < correlation_id <= self._highest_id
            raise ProtocolError(
                f"a reply to {correlation_id}, which was"
                f" {'never asked' if never else 'answered before'}",
                message="ResponseHeader",
                field="correlation_id",
                position=0,
            )
        if not many:
            del self._abandoned[correlation_id]

    def _watch_frame(self, finished: bool) -> None:
        """Note since when the frame now begun has been under way, if one is."""
        if not self._frames.pending:
            self._unfinished_since = None
            return
        if finished or self._unfinished_since is None:
            self._unfinished_since = self._heard
        if not self._frame_watched:
            self._frame_watched = True
            self._deadlines.add(_Alarm(self._check_frame), self._config.frame_timeout)

    def _check_frame(self) -> None:
        self._frame_watched = False
        if self._unfinished_since is None:
            return
        limit = self._config.frame_timeout
        left = self._unfinished_since + limit - self._clock.seconds()
        if left > 0:
            self._frame_watched = True
            self._deadlines.add(_Alarm(self._check_frame), left)
        else:
            pending = self._frames.pending
            self._broken(
                ProtocolError(
                    f"a frame was begun and not finished within {limit:g} s: {pending} bytes came",
                    message="frame",
                )
            )

    # The exchange of versions, at the beginning and as a sign of life

    def _say_hello(
        self,
        on_reply: Callable[[ApiVersionsResponse], object],
        on_failed: Callable[[FluvioError], object],
        seconds: float,
    ) -> None:
        api = self._hello.api
        call = Call(self, api, API_VERSIONS_VERSION, on_reply, on_failed, seconds)
        self._call(call, self._hello)

    def _greeted(self, reply: ApiVersionsResponse) -> None:
        if reply.error_code:
            self._handshake_failed(reply.error_code.exception("ApiVersions"))
            return
        offered = {offer.api_key: offer for offer in reply.api_keys}
        self._versions = MappingProxyType(offered)
        self._platform_version = reply.platform_version
        self._watch_silence(self._config.idle_probe)
        for deferred in self._when_ready.take():
            deferred.callback(self)

    def _handshake_failed(self, error: FluvioError) -> None:
        self._handshake_error = error
        if self._ending is None:
            self._end(f"the handshake failed: {error}", error)
            self._abort_transport()
        for deferred in self._when_ready.take():
            deferred.errback(error)

    def _watch_silence(self, seconds: float) -> None:
        self._deadlines.add(_Alarm(self._check_silence), seconds)

    def _check_silence(self) -> None:
        left = self._heard + self._config.idle_probe - self._clock.seconds()
        if left > 0:
            self._watch_silence(left)
        elif self._in_flight:
            # Servers answer in order, so a probe would only stand behind what has a deadline.
            self._watch_silence(self._config.idle_probe)
        else:
            self._say_hello(self._probed, self._probe_failed, self._config.idle_probe)

    def _probed(self, reply: ApiVersionsResponse) -> None:
        self._watch_silence(self._config.idle_probe)

    def _probe_failed(self, error: FluvioError) -> None:
        if self._ending is not None:
            return
        silence = self._clock.seconds() - self._heard
        if silence < self._config.idle_probe:
            self._watch_silence(self._config.idle_probe)
            return
        self._end(f"the peer was silent for {silence:g} s, even when asked", error)
        self._abort_transport()

    # Ending

    def _abort_transport(self) -> None:
        self._aborting = True
        self._transport().abortConnection()

    def _end(self, reason: str, cause: BaseException | None, *, here: bool = False) -> None:
        """Make the connection unusable; whoever waits is told when the transport is gone."""
        if self._ending is None:
            self._ending = _Ending(reason, cause, here)
        self._deadlines.clear()

    def _broken(self, error: ProtocolError) -> None:
        self._end(self._not_fluvio() or str(error), error)
        self._abort_transport()

    def _not_fluvio(self) -> str | None:
        foreign = self.foreign_protocol
        return None if foreign is None else f"the peer speaks {foreign}, not Fluvio"

    def _explain(self, reason: Failure) -> str:
        not_fluvio = self._not_fluvio()
        if not_fluvio is not None:
            return not_fluvio
        clean = reason.check(ConnectionDone)
        text = "the peer closed it" if clean else str(reason.value).rstrip(".")
        pending = self._frames.pending
        return f"{text}, {pending} bytes into a frame" if pending else text

    def _disconnected(self, effect: Effect) -> Disconnected:
        ending = self._ending or _Ending("not connected", None)
        error = Disconnected(self.address, ending.reason, effect=effect)
        error.__cause__ = ending.cause
        return error
