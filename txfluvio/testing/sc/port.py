"""The SC's public port: which request is what, what is pushed, and what bad input does.

A :class:`Sc` answers the calls of ``fluvio-sc/src/services/public_api/`` on connections that
somebody else accepts and frames (:mod:`txfluvio.testing.server.protocol`). What the calls do is in
:mod:`txfluvio.testing.sc.operations`; what the watches tell comes from
:class:`~txfluvio.testing.sc.store.Store`.

The real SC never answers that it can not understand a request, it stops serving: it closes the
connection, unless a watch lives on it. Then the connection is left half alive: nothing more is
read or answered, and the watch goes on. So it is here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from ...errors import ProtocolError
from ...wire.codes import Code, error
from ...wire.headers import RequestHeader
from ...wire.sc import (
    CUSTOM_SPU,
    KINDS,
    LAST_CLASSIC,
    MIRROR,
    PARTITION,
    SMART_MODULE,
    SPU,
    SPU_GROUP,
    TABLE_FORMAT,
    TOPIC,
    VERSIONS,
    Change,
    ChangeMessage,
    CreateRequest,
    DeleteRequest,
    Kind,
    ListRequest,
    Metadata,
    MirroringRequest,
    MirroringResponse,
    UpdateRequest,
    WatchRequest,
    WatchResponse,
)
from ...wire.schema import SC_APIS, Api, Message, Reader, Request, Writer, evolve, string, u32
from ...wire.semver import is_semver
from ...wire.versions import ApiVersionsRequest, ApiVersionsResponse
from ..releases import Release
from ..server.protocol import Connection, Incoming, Nothing
from ..timers import Timers
from .metadata import Stores, Timing
from .mirroring import Mirroring
from .operations import Hangup, Operations, shown, status, summary
from .store import Diff, Item, Store

WATCHED = (TOPIC, PARTITION, SPU, SPU_GROUP, SMART_MODULE, TABLE_FORMAT)
"""The kinds that can be watched: custom SPUs and mirrors can not."""

DRY_RUN = (TOPIC, CUSTOM_SPU)
"""The kinds for which a dry run creates nothing."""

MIRRORING_LABEL = "MirroringConnect"
"""The label of every request for mirroring."""

CLASSIC = (CreateRequest, DeleteRequest, ListRequest, WatchRequest)
"""The calls that had another form before version 11."""

MAX_WATCHES = 1_000
"""The most watches of one connection, and mirrorings. Clients need one watch of each kind."""

FIRST_TIMEOUT = 7
"""The first version at which a Create says how long it may take."""


class Sc:
    """Answers the calls of the SC's public port.

    :param stores: all objects of the cluster.
    :param now: the time, in seconds since the Unix epoch.
    :ivar release: what the SC says of itself; it understands more than it says.
    """

    def __init__(
        self,
        stores: Stores,
        operations: Operations,
        *,
        timers: Timers,
        timing: Timing,
        release: Release,
        now: Callable[[], float],
    ) -> None:
        self.release = release
        self.operations = operations
        self._stores = stores
        self._timers = timers
        self._timing = timing
        self._now = now
        self._sessions: dict[Connection, _Session] = {}

    def requested(self, request: Incoming, connection: Connection) -> Deferred[None] | None:
        """Deal with one request; the next of its connection has to wait for the Deferred.

        :raises ProtocolError: the request can not be understood at all: close the connection.
        """
        session = self._session(connection)
        header, payload = request.header, request.payload
        api = SC_APIS.get(header.api_key)
        if api is None:
            raise ProtocolError(f"no call of an SC has the key {header.api_key}")
        call = api.request
        if call is ApiVersionsRequest:
            asked = ApiVersionsRequest.decode(payload, header.api_version, request.body)
            if not is_semver(asked.client_version):
                return session.stop(f"{asked.client_version!r} is no semantic version")
            connection.reply(self._versions(), request)
            return None
        self._look_at_version(header, api, connection)
        if header.api_version < 0:
            return self._requested_of_none(call, request, session)
        if header.api_version <= LAST_CLASSIC and call in CLASSIC:
            return self._requested_of_old(_of_old(call, request), request, session)
        label = _label(request)
        unknown = error(Code.OTHER, text="unknown admin object type")
        if call in (CreateRequest, DeleteRequest) and not self.operations.creates(label):
            connection.reply(status("create error", unknown), request)
            return None
        if call is UpdateRequest and label != TOPIC.label:
            connection.reply(status("update error", unknown), request)
            return None
        try:
            message = call.decode(payload, header.api_version, request.body)
        except ProtocolError as reason:
            return session.stop(str(reason))
        return self._understood(message, request, session)

    def _requested_of_old(
        self, message: Message, request: Incoming, session: _Session
    ) -> Deferred[None] | None:
        if isinstance(message, CreateRequest):
            try:
                message = _kept(message, request.header.api_version)
            except ProtocolError as reason:
                return session.stop(str(reason))
        return self._understood(message, request, session)

    def _requested_of_none(
        self, call: type[Request[Any]], request: Incoming, session: _Session
    ) -> Deferred[None] | None:
        """A request of a negative version, at which no field exists, of the answers neither.

        What is left is the label of a call of the classic form, and everything else is as by
        default: a Delete is of what has an empty name.
        """
        if call is MirroringRequest:
            return session.stop(f"mirroring of version {request.header.api_version}")
        make = _OF_NONE.get(call)
        if make is None:
            session.connection.reply(Nothing(), request)
            return None
        payload = request.payload
        label = string.read(Reader(payload, 0, request.body, len(payload)))
        kind = KINDS.get(label)
        if kind is None:
            raise ProtocolError(f"{label!r} is no kind of object")
        return self._understood(_in_place(make(kind)), request, session)

    def _understood(
        self, message: Message, request: Incoming, session: _Session
    ) -> Deferred[None] | None:
        if isinstance(message, WatchRequest | MirroringRequest) and session.full:
            raise ProtocolError(f"more than {MAX_WATCHES} watches")
        if isinstance(message, WatchRequest):
            return self._watch(message, request, session)
        if isinstance(message, MirroringRequest):
            return self._mirror(message, request, session)
        return session.run(self._answer(message, request, session.connection))

    def identified(self, connection: Connection) -> None:
        """Hang up on who has no name, where names decide what one may do."""
        if self.operations.policy.wants_names and not connection.principal:
            connection.abort()

    def half_alive(self, connection: Connection) -> bool:
        """Whether a connection that sent an impossible frame size stays, with nothing more read."""
        return self._session(connection).watched

    def serve(self, stores: Stores, operations: Operations, timers: Timers) -> None:
        """Go on with other objects, as after a restart; connections have to end before."""
        self._stores = stores
        self.operations = operations
        self._timers = timers

    def _session(self, connection: Connection) -> _Session:
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = _Session(connection)

            def forget() -> None:
                self._sessions.pop(connection).end()

            connection.on_close(forget)
        return session

    def _look_at_version(self, header: RequestHeader, api: Api, connection: Connection) -> None:
        """Any version is understood; one that was not offered is the client's mistake."""
        for offer in self.release.sc:
            if offer.api_key == api.key:
                if not offer.min_version <= header.api_version <= offer.max_version:
                    connection.complain(
                        f"{api.name} at version {header.api_version}, which was not offered"
                    )
                return
        connection.complain(f"{api.name}, which was not offered")

    def _versions(self) -> ApiVersionsResponse:
        release = self.release
        return ApiVersionsResponse(api_keys=release.sc, platform_version=release.platform_version)

    async def _answer(self, message: Message, request: Incoming, connection: Connection) -> None:
        operations, principal = self.operations, connection.principal
        answer: Message
        if isinstance(message, CreateRequest):
            if message.dry_run and message.kind not in DRY_RUN:
                connection.complain(f"{message.kind.label} {message.name!r}: no dry run, created")
            answer = await operations.create(message, principal)
            made = message.kind is TOPIC and not message.dry_run and not answer.error_code
            if made and self._timing.answer:
                await self._timers.pause(self._timing.answer)
        elif isinstance(message, DeleteRequest):
            answer = await operations.delete(message)
        elif isinstance(message, UpdateRequest):
            answer = await operations.update(message)
        elif isinstance(message, ListRequest):
            answer = operations.find(message, principal)
        else:
            raise Hangup(f"{type(message).__name__} is not served")
        connection.reply(_said(answer, request), request)

    def _watch(
        self, message: WatchRequest, request: Incoming, session: _Session
    ) -> Deferred[None] | None:
        kind = message.kind
        if kind not in WATCHED:
            return session.stop(f"{kind.label} can not be watched")
        brief = summary if message.summary and kind is SMART_MODULE else shown

        connection = session.connection

        def tell(diff: Diff[Any, Any]) -> None:
            connection.push(_said(_told(kind, diff, brief), request), request)

        session.live(_Watch(self._stores.of(kind), connection, tell, self._timers).stop)
        return None

    def _mirror(
        self, message: MirroringRequest, request: Incoming, session: _Session
    ) -> Deferred[None] | None:
        if message.label != MIRRORING_LABEL:
            return session.stop(f"{message.label!r} is nothing to be mirrored")
        connection = session.connection

        def push(response: MirroringResponse) -> None:
            connection.push(response, request)

        mirroring = Mirroring(
            self._stores,
            message.remote_id,
            push,
            timers=self._timers,
            interval=self._timing.mirroring,
            now=self._now,
        )
        if mirroring.known:
            session.live(mirroring.stop)
        return None


class _Session:
    """What the SC does on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._stops: list[Callable[[], None]] = []
        self._running: Deferred[None] | None = None

    @property
    def watched(self) -> bool:
        """Whether something is pushed here."""
        return bool(self._stops)

    @property
    def full(self) -> bool:
        """Whether nothing more can be pushed here."""
        return len(self._stops) >= MAX_WATCHES

    def live(self, stop: Callable[[], None]) -> None:
        """Something is pushed from now on, until the connection ends."""
        self._stops.append(stop)

    def run(self, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """Work on a request, until it is answered or the connection ends."""
        self._running = Deferred.fromCoroutine(self._work(work))
        return self._running

    def stop(self, reason: str) -> Deferred[None]:
        """Serve no more requests; the connection is closed unless something is pushed on it."""
        return self.run(self._stopped(reason))

    def end(self) -> None:
        """The connection is gone."""
        stops, self._stops = self._stops, []
        for stop in stops:
            stop()
        if self._running is not None:
            self._running.cancel()

    async def _work(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        try:
            try:
                await work
            except Hangup as reason:
                await self._stopped(str(reason))
        except CancelledError:
            pass

    async def _stopped(self, reason: str) -> None:
        if not self.watched:
            raise ProtocolError(reason)
        self.connection.complain(f"only half alive now: {reason}")
        await Deferred()


class _Watch:
    """Tells of a store, one diff at a time: the first at once, the others a turn after changes.

    While the client does not read, changes pile up in the store and become one diff.
    """

    def __init__(
        self,
        store: Store[Any, Any],
        connection: Connection,
        tell: Callable[[Diff[Any, Any]], None],
        timers: Timers,
    ) -> None:
        self._store = store
        self._connection = connection
        self._tell = tell
        self._timers = timers
        self._last = 0
        self._waiting = False
        self._unsubscribe = store.subscribe(self._wake)
        self._look()

    def stop(self) -> None:
        self._unsubscribe()

    def _wake(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._timers.later(0, self._connection.when_writable, self._look)

    def _look(self) -> None:
        self._waiting = False
        diff = self._store.diff(self._last)
        self._last = diff.epoch
        self._tell(diff)


def _label(request: Incoming) -> str:
    """The label of a typed buffer, which has to be there to its end.

    :raises ProtocolError: it is not.
    """
    payload = request.payload
    reader = Reader(payload, request.header.api_version, request.body, len(payload))
    label = string.read(reader)
    reader.take(u32.read(reader))
    return label


def _of_old(call: type[Request[Any]], request: Incoming) -> Message:
    """A request in the classic form, of a kind that its call had then.

    :raises ProtocolError: it is not.
    """
    return _in_place(call.decode(request.payload, request.header.api_version, request.body))


def _in_place(message: Request[Any]) -> Message:
    """A request in the classic form, if its kind had a place in it.

    :raises ProtocolError: it had none.
    """
    kind = getattr(message, "kind", None)
    if kind is MIRROR or (isinstance(message, DeleteRequest) and kind in (PARTITION, SPU)):
        raise ProtocolError(f"{kind.label} has no place in {message.api.name} before version 11")
    return message


_OF_NONE: Mapping[type[Request[Any]], Callable[[Kind], Request[Any]]] = {
    ListRequest: lambda kind: ListRequest(kind=kind),
    WatchRequest: lambda kind: WatchRequest(kind=kind),
    DeleteRequest: lambda kind: DeleteRequest(kind=kind, key=""),
}
"""What calls mean that have no fields but the label."""


def _said(message: Message, request: Incoming) -> Message:
    """What is left of an answer at the version of its request."""
    return message if request.header.api_version >= 0 else Nothing()


def _kept(message: CreateRequest, version: int) -> CreateRequest:
    """What becomes of a Create of the classic form.

    A real SC writes it down as the newest version has it and reads that as the version asked for:
    what the newest has in the middle is taken for something else.

    :raises ProtocolError: nothing can be made of it.
    """
    if version < FIRST_TIMEOUT:
        raise ProtocolError(f"a Create of version {version} is not understood any more")
    written = Writer(VERSIONS[1], message.kind)
    message.kind.spec.write(written, message.spec)
    data = written.getvalue()
    return evolve(message, spec=message.kind.spec.read(Reader(data, version, 0, len(data))))


def _told(
    kind: Kind, diff: Diff[Any, Any], brief: Callable[[Item[Any, Any]], Metadata]
) -> WatchResponse:
    """A diff as it is sent. What was deleted is sent whole, even in a summary."""
    updates = [ChangeMessage(header=Change.UPDATE, content=brief(one)) for one in diff.updates]
    deletes = [ChangeMessage(header=Change.DELETE, content=shown(one)) for one in diff.deletes]
    return WatchResponse(
        kind=kind,
        epoch=diff.epoch,
        changes=(*updates, *deletes),
        all=tuple(brief(one) for one in diff.everything),
    )
