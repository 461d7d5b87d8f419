"""An SPU's public port: the calls that move records, streams, and stored consumer offsets.

An :class:`Spu` answers what ``fluvio-spu/src/services/public/`` answers, on connections that
somebody else accepts and frames (:mod:`txfluvio.testing.server.protocol`). It knows the partitions
it was told to host, and which call is answered where: the modules imported here hold one call each,
or a few that belong together. Who leads what is decided elsewhere
(:mod:`txfluvio.testing.cluster`); the public port never shows whether a partition is led elsewhere
or nowhere at all.

An SPU decodes every request by the version in its header, whatever it has said of itself, and
answers the calls on stored offsets though it never lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...errors import ProtocolError
from ...wire.sc import PartitionSpec
from ...wire.schema import SPU_APIS, Message, evolve
from ...wire.spu import (
    DeleteConsumerOffsetRequest,
    FetchConsumerOffsetsRequest,
    FetchOffsetsRequest,
    FetchRequest,
    ProduceRequest,
    StreamFetchRequest,
    UpdateConsumerOffsetRequest,
    UpdateOffsetsRequest,
)
from ...wire.versions import ApiVersionsRequest, ApiVersionsResponse
from ..releases import Release
from ..server.protocol import Connection, Incoming, Nothing
from ..smartmodules.chain import Chain, ChainError
from ..smartmodules.registry import SmartModules, deduplication
from ..timers import Timers
from .fetch import fetch, fetch_offsets
from .log import PartitionLog
from .offset_calls import delete_offset, list_offsets, store_offset
from .produce import produce
from .replica import Key, Replica, Report, Role, replica_log
from .stored_offsets import STORED_OFFSETS, StoredOffsets
from .stream import Stream, acknowledge, open_stream

PLATFORM_VERSION = "0.0.0"
"""What every SPU says its platform is."""

OLD_STREAM_FETCH = 15
"""The newest version of StreamFetch that a client without a version of its own is offered."""

CLEANING_INTERVAL = 10.0
"""Seconds between two looks at what retention has to evict from a partition."""

DEDUPLICATION_VERSION = 25
"""Of the layouts in which the module of a topic with deduplication is spoken to."""

_log = Logger()


class Disk(Protocol):
    """Where an SPU has its logs, beside its memory."""

    def keep(self, key: Key, log: PartitionLog, /) -> None:
        """Have what a log has, from now on."""
        ...

    def drop(self, key: Key, /) -> None:
        """Forget a log."""
        ...


class Neighbours(Protocol):
    """What an SPU knows of the rest of its cluster."""

    def exists(self, key: Key, /) -> bool:
        """Whether the cluster has such a partition, led by whomever."""
        ...

    def leader(self, key: Key, /) -> Spu | None:
        """The running SPU that leads a partition."""
        ...

    def private_address(self, key: Key, /) -> str | None:
        """Where other SPUs reach the leader of a partition, running or not."""
        ...


@attrs.define
class Session:
    """What an SPU keeps for one connection: its streams by id, and what it waits for."""

    streams: dict[int, Stream] = attrs.Factory(dict)
    waiting: Deferred[None] | None = None

    def end(self) -> None:
        for stream in self.streams.values():
            stream.end()
        if self.waiting is not None:
            self.waiting.cancel()


class Spu:
    """Answers the calls of one SPU's public port.

    :param timers: run everything timed.
    :param now: the time, in seconds since the Unix epoch.
    :param neighbours: the rest of the cluster; ``None``: there is none.
    :param modules: the SmartModules of the cluster; none unless given.
    :param on_change: called when any replica has changed, or has a new role.
    :ivar id: its number in the cluster.
    :ivar release: what it says of itself; it understands more than it says.
    :ivar replicas: the partitions it leads or follows, while it runs.
    :ivar disk: has its logs as well, if anything does.
    :ivar on_report: called when a replica has changed, and once it is hosted.
    """

    def __init__(
        self,
        spu_id: int,
        *,
        timers: Timers,
        now: Callable[[], float],
        release: Release,
        neighbours: Neighbours | None = None,
        modules: SmartModules | None = None,
        on_change: Callable[[], object] | None = None,
    ) -> None:
        self.id = spu_id
        self.release = release
        self.on_report: Callable[[Key, Report], None] | None = None
        self.replicas: dict[Key, Replica] = {}
        self.disk: Disk | None = None
        self.neighbours = neighbours
        self.modules = SmartModules() if modules is None else modules
        self._on_change = on_change
        self.timers = timers
        self.now = now
        self._specs: dict[Key, PartitionSpec] = {}
        self._logs: dict[Key, PartitionLog] = {}
        self._offsets: StoredOffsets | None = None
        self._cleaning: dict[Key, Callable[[], None]] = {}
        self._sessions: dict[Connection, Session] = {}

    @property
    def name(self) -> str:
        """What it is called in logs."""
        return f"SPU {self.id}"

    # What the cluster says

    def host(self, key: Key, spec: PartitionSpec) -> None:
        """Have a replica of a partition, empty unless it is there already."""
        self._specs[key] = spec
        if key not in self._logs:
            self._logs[key] = self._kept(key, replica_log(spec))
        if key in self.replicas:
            self.replicas[key].spec = spec

    def lead(self, key: Key, followers: Sequence[int] = ()) -> None:
        """Lead a hosted partition; its records are committed once all followers have them.

        One with deduplication is not led at all if that can not start.
        """
        known = self.replicas.get(key)
        if known is None or known.role is not Role.LEADER:
            self._take_role(key, Role.LEADER, followers)

    def follow(self, key: Key) -> None:
        """Follow the leader of a hosted partition.

        Streams of an SPU that led it until now go silent, and keep the log as it is.
        """
        known = self.replicas.get(key)
        if known is None or known.role is not Role.FOLLOWER:
            if known is not None:
                self._logs[key] = known.log.successor()
            self._take_role(key, Role.FOLLOWER, ())

    def drop(self, key: Key) -> None:
        """Forget a replica and its records; whoever reads it is told that its topic is deleted."""
        self._specs.pop(key, None)
        self._forget_log(key)
        self._stop_cleaning(key)
        replica = self.replicas.pop(key, None)
        if replica is not None:
            replica.delete()
        if key == STORED_OFFSETS:
            self._offsets = None

    def stop(self) -> None:
        """Forget everything that is not on disk, as the end of the process does."""
        for key in list(self._cleaning):
            self._stop_cleaning(key)
        for replica in self.replicas.values():
            replica.retire()
        self.replicas.clear()
        for log in self._logs.values():
            log.reopen()
        self._offsets = None

    def logs(self) -> dict[Key, PartitionLog]:
        """A copy of everything on its disk."""
        return {key: log.copy() for key, log in self._logs.items()}

    def replace_logs(self, logs: Mapping[Key, PartitionLog]) -> None:
        """Put a copy of these logs on its disk instead of what is there; it has to be stopped."""
        for key in list(self._logs):
            self._forget_log(key)
        self._logs = {key: self._kept(key, log.copy()) for key, log in logs.items()}

    def _kept(self, key: Key, log: PartitionLog) -> PartitionLog:
        if self.disk is not None:
            self.disk.keep(key, log)
        return log

    def _forget_log(self, key: Key) -> None:
        log = self._logs.pop(key, None)
        if log is not None and self.disk is not None:
            log.keeper = None
            self.disk.drop(key)

    def leads(self, key: Key) -> Replica | None:
        """The replica of a partition that is led here."""
        replica = self.replicas.get(key)
        return replica if replica is not None and replica.role is Role.LEADER else None

    @property
    def stored_offsets(self) -> StoredOffsets | None:
        """The offsets of consumers, where they are led here."""
        replica = self.leads(STORED_OFFSETS)
        if replica is None:
            return None
        if self._offsets is None:
            self._offsets = StoredOffsets(replica, self.now)
        return self._offsets

    def clean(self, key: Key) -> None:
        """Let retention evict now what it would evict by itself within some seconds."""
        self.replicas[key].clean(self.now())

    def _take_role(self, key: Key, role: Role, followers: Sequence[int]) -> None:
        before = self.replicas.get(key)
        if before is not None:
            before.retire()
        chain = None
        if role is Role.LEADER:
            try:
                chain = self._deduplication(key)
            except ChainError as reason:
                _log.error(
                    "{spu} can not lead {topic}/{partition}: deduplication: {reason}",
                    spu=self.name,
                    topic=key[0],
                    partition=key[1],
                    reason=reason.error,
                )
                self.replicas.pop(key, None)
                return

        def changed() -> None:
            self._changed(key)

        replica = Replica(
            key,
            self._specs[key],
            self._logs[key],
            role=role,
            followers=followers,
            deduplication=chain,
            on_change=changed,
        )
        self.replicas[key] = replica
        if key == STORED_OFFSETS:
            self._offsets = None
        self._watch_size(key, replica)
        if before is None and self.on_report is not None:
            self.on_report(key, replica.report())
        if self._on_change is not None:
            self._on_change()

    def _deduplication(self, key: Key) -> Chain | None:
        """What drops records of a partition, started.

        :raises ChainError: it does not start.
        """
        spec = self._specs[key].deduplication
        if spec is None:
            return None
        chain = self.modules.start([deduplication(spec)], DEDUPLICATION_VERSION, self.now)
        chain.look_back(self._logs[key], self.now())
        return chain

    def _changed(self, key: Key) -> None:
        replica = self.replicas[key]
        if self.on_report is not None:
            self.on_report(key, replica.report())
        if self._on_change is not None:
            self._on_change()
        self._watch_size(key, replica)

    def _watch_size(self, key: Key, replica: Replica) -> None:
        """Have retention look, if there is anything that it could evict."""
        if replica.log.segments > 1 and key not in self._cleaning:
            self._cleaning[key] = self.timers.later(CLEANING_INTERVAL, self._clean_later, key)

    def _clean_later(self, key: Key) -> None:
        del self._cleaning[key]
        self.clean(key)
        self._watch_size(key, self.replicas[key])

    def _stop_cleaning(self, key: Key) -> None:
        cancel = self._cleaning.pop(key, None)
        if cancel is not None:
            cancel()

    # What clients say

    def requested(self, request: Incoming, connection: Connection) -> Deferred[None] | None:
        """Deal with one request; the next of its connection has to wait for the Deferred.

        :raises ProtocolError: the request can not be understood, or would crash a real SPU.
        """
        header = request.header
        api = SPU_APIS.get(header.api_key)
        if api is None:
            raise ProtocolError(f"no call of an SPU has the key {header.api_key}")
        call = _CALLS.get(api.request)
        if call is None:
            raise ProtocolError(f"{api.name} is not served")
        if header.api_version < 0:
            if api.request is ProduceRequest:
                raise ProtocolError(f"a Produce of version {header.api_version}")
            connection.reply(Nothing(), request)
            return None
        message = api.request.decode(request.payload, header.api_version, request.body)
        return call(self, message, request, connection)

    def identified(self, connection: Connection) -> None:
        """Nothing: an SPU serves everybody whose certificate is good."""

    def half_alive(self, connection: Connection) -> bool:
        """No: an impossible frame size ends the connection."""
        return False

    def session(self, connection: Connection) -> Session:
        """What is kept for a connection, from its first need to its end."""
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = Session()

            def forget() -> None:
                self._sessions.pop(connection).end()

            connection.on_close(forget)
        return session


def _versions(
    spu: Spu, message: ApiVersionsRequest, request: Incoming, connection: Connection
) -> None:
    offered = spu.release.spu
    if not message.client_version:
        offered = tuple(
            evolve(one, max_version=min(one.max_version, OLD_STREAM_FETCH))
            if one.api_key == StreamFetchRequest.api.key
            else one
            for one in offered
        )
    answer = ApiVersionsResponse(api_keys=offered, platform_version=PLATFORM_VERSION)
    connection.reply(answer, request)


_CALLS: Mapping[
    type[Message], Callable[[Spu, Any, Incoming, Connection], Deferred[None] | None]
] = {
    ApiVersionsRequest: _versions,
    ProduceRequest: produce,
    FetchRequest: fetch,
    FetchOffsetsRequest: fetch_offsets,
    StreamFetchRequest: open_stream,
    UpdateOffsetsRequest: acknowledge,
    UpdateConsumerOffsetRequest: store_offset,
    DeleteConsumerOffsetRequest: delete_offset,
    FetchConsumerOffsetsRequest: list_offsets,
}
