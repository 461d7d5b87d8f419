"""An SPU's public port: the calls that move records, streams, and stored consumer offsets.

An :class:`Spu` answers what ``fluvio-spu/src/services/public/`` answers, on connections that
somebody else accepts and frames (:mod:`txfluvio.testing.server`). It knows the partitions it was
told to host; who leads what is decided elsewhere (:mod:`txfluvio.testing.cluster`), and the
public port never shows the difference between a partition led elsewhere and one that is nowhere.

An SPU decodes every request by the version in its header, whatever it has said of itself, and
answers the calls on stored offsets though it never lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from ..errors import ProtocolError
from ..wire.codes import NO_ERROR, Code, ErrorCode, RequestKind, error
from ..wire.records import Batch
from ..wire.sc import PartitionSpec
from ..wire.schema import SPU_APIS, Message, evolve, struct
from ..wire.spu import (
    AdHoc,
    DeleteConsumerOffsetRequest,
    DeleteConsumerOffsetResponse,
    FetchConsumerOffsetsRequest,
    FetchConsumerOffsetsResponse,
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    OffsetUpdateStatus,
    PartitionProduceData,
    PartitionProduceResponse,
    PartitionResponse,
    ProduceRequest,
    ProduceResponse,
    SmartModuleInvocation,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicFetchResponse,
    TopicProduceResponse,
    UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
    UpdateOffsetsRequest,
    UpdateOffsetsResponse,
)
from ..wire.versions import ApiVersionsRequest, ApiVersionsResponse
from .log import PartitionLog, ReadError
from .releases import Release
from .replica import AppendError, Key, Replica, Role, replica_log
from .server import Connection, Incoming
from .stored_offsets import STORED_OFFSETS, StoredOffsets
from .stream import Stream
from .timers import Timers

PLATFORM_VERSION = "0.0.0"
"""What every SPU says its platform is."""

OLD_STREAM_FETCH = 15
"""The newest version of StreamFetch that a client without a version of its own is offered."""

CLEANING_INTERVAL = 10.0
"""Seconds between two looks at what retention has to evict from a partition."""


class Neighbours(Protocol):
    """What an SPU knows of the rest of its cluster."""

    def exists(self, key: Key, /) -> bool:
        """Whether the cluster has such a partition, led by whomever."""
        ...

    def leader(self, key: Key, /) -> Spu | None:
        """The running SPU that leads a partition."""
        ...


@struct
class _Nothing(Message):
    """The answer to a negative version, at which no field exists."""


@attrs.define
class _Session:
    """What an SPU keeps for one connection: its streams by id, and what it waits for."""

    streams: dict[int, Stream] = attrs.Factory(dict)
    waiting: Deferred[None] | None = None

    def end(self) -> None:
        for stream in self.streams.values():
            stream.end()
        if self.waiting is not None:
            self.waiting.cancel()


@attrs.define
class _Written:
    """One entry of a Produce: its answer so far, and the offset that has to be committed."""

    answer: PartitionProduceResponse
    key: Key
    end: int = 0


class Spu:
    """Answers the calls of one SPU's public port.

    :param timers: run everything timed.
    :param now: the time, in seconds since the Unix epoch.
    :param neighbours: the rest of the cluster; ``None``: there is none.
    :param on_change: called when any replica has changed.
    :ivar id: its number in the cluster.
    :ivar release: what it says of itself; it understands more than it says.
    :ivar replicas: the partitions it leads or follows, while it runs.
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
        on_change: Callable[[], object] | None = None,
    ) -> None:
        self.id = spu_id
        self.release = release
        self.on_report: Callable[[Key, Any], None] | None = None
        self.replicas: dict[Key, Replica] = {}
        self._neighbours = neighbours
        self._on_change = on_change
        self._timers = timers
        self._now = now
        self._specs: dict[Key, PartitionSpec] = {}
        self._logs: dict[Key, PartitionLog] = {}
        self._offsets: StoredOffsets | None = None
        self._cleaning: dict[Key, Callable[[], None]] = {}
        self._sessions: dict[Connection, _Session] = {}
        self._calls: Mapping[
            type[Message], Callable[[Any, Incoming, Connection], Deferred[None] | None]
        ] = {
            ApiVersionsRequest: self._versions,
            ProduceRequest: self._produce,
            FetchRequest: self._fetch,
            FetchOffsetsRequest: self._fetch_offsets,
            StreamFetchRequest: self._stream,
            UpdateOffsetsRequest: self._acknowledge,
            UpdateConsumerOffsetRequest: self._store_offset,
            DeleteConsumerOffsetRequest: self._delete_offset,
            FetchConsumerOffsetsRequest: self._list_offsets,
        }

    @property
    def name(self) -> str:
        """What it is called in logs."""
        return f"SPU {self.id}"

    # What the cluster says

    def host(self, key: Key, spec: PartitionSpec) -> None:
        """Have a replica of a partition, empty unless it is there already."""
        self._specs[key] = spec
        if key not in self._logs:
            self._logs[key] = replica_log(spec)
        if key in self.replicas:
            self.replicas[key].spec = spec

    def lead(self, key: Key, followers: Sequence[int] = ()) -> None:
        """Lead a hosted partition; its records are committed once all followers have them."""
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
                self._logs[key] = known.log.copy()
            self._take_role(key, Role.FOLLOWER, ())

    def drop(self, key: Key) -> None:
        """Forget a replica and its records; whoever reads it is told that its topic is deleted."""
        self._specs.pop(key, None)
        self._logs.pop(key, None)
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
        self._offsets = None

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
            self._offsets = StoredOffsets(replica, self._now)
        return self._offsets

    def clean(self, key: Key) -> None:
        """Let retention evict now what it would evict by itself within some seconds."""
        self.replicas[key].clean(self._now())

    def _take_role(self, key: Key, role: Role, followers: Sequence[int]) -> None:
        before = self.replicas.get(key)
        if before is not None:
            before.retire()

        def changed() -> None:
            self._changed(key)

        replica = Replica(
            key,
            self._specs[key],
            self._logs[key],
            role=role,
            followers=followers,
            on_change=changed,
        )
        self.replicas[key] = replica
        if key == STORED_OFFSETS:
            self._offsets = None
        self._watch_size(key, replica)
        if before is None and self.on_report is not None:
            self.on_report(key, replica.report())

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
            self._cleaning[key] = self._timers.later(CLEANING_INTERVAL, self._clean_later, key)

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
        if header.api_version < 0:
            if api.request is ProduceRequest:
                raise ProtocolError(f"a Produce of version {header.api_version}")
            connection.reply(_Nothing(), request)
            return None
        call = self._calls.get(api.request)
        if call is None:
            raise ProtocolError(f"{api.name} is not served")
        message = api.request.decode(request.payload, header.api_version, request.body)
        return call(message, request, connection)

    def half_alive(self, connection: Connection) -> bool:
        """No: an impossible frame size ends the connection."""
        return False

    def _session(self, connection: Connection) -> _Session:
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = _Session()

            def forget() -> None:
                self._sessions.pop(connection).end()

            connection.on_close(forget)
        return session

    def _versions(
        self, message: ApiVersionsRequest, request: Incoming, connection: Connection
    ) -> None:
        offered = self.release.spu
        if not message.client_version:
            offered = tuple(
                evolve(one, max_version=min(one.max_version, OLD_STREAM_FETCH))
                if one.api_key == StreamFetchRequest.api.key
                else one
                for one in offered
            )
        connection.reply(
            ApiVersionsResponse(api_keys=offered, platform_version=PLATFORM_VERSION), request
        )

    # Produce

    def _produce(
        self, message: ProduceRequest, request: Incoming, connection: Connection
    ) -> Deferred[None] | None:
        if message.timeout_ms < 0:
            raise ProtocolError(f"a timeout of {message.timeout_ms} ms")
        batches = [[_batches(entry) for entry in topic.partitions] for topic in message.topics]
        topics = [
            (
                topic.name,
                [
                    self._write(topic.name, entry, sent, message.smartmodules, connection)
                    for entry, sent in zip(topic.partitions, entries, strict=True)
                ],
            )
            for topic, entries in zip(message.topics, batches, strict=True)
        ]

        def answer() -> None:
            connection.reply(
                ProduceResponse(
                    responses=tuple(
                        TopicProduceResponse(
                            name=name, partitions=tuple([one.answer for one in entries])
                        )
                        for name, entries in topics
                    )
                ),
                request,
            )

        written = [one for _, entries in topics for one in entries]
        if message.isolation >= 0 or not any(self._uncommitted(one) for one in written):
            answer()
            return None
        session = self._session(connection)
        work = self._wait_for_followers(written, message.timeout_ms, answer)
        session.waiting = Deferred.fromCoroutine(work)
        return session.waiting

    def _write(
        self,
        topic: str,
        entry: PartitionProduceData,
        batches: Sequence[Batch],
        modules: Sequence[SmartModuleInvocation],
        connection: Connection,
    ) -> _Written:
        key = (topic, entry.partition_index)
        answer = PartitionProduceResponse(partition_index=entry.partition_index)

        def refused(code: ErrorCode) -> _Written:
            return _Written(evolve(answer, error_code=code), key)

        replica = self.leads(key)
        if replica is None:
            return refused(error(Code.NOT_LEADER_FOR_PARTITION))
        if replica.refusal is not None:
            return refused(replica.refusal)
        if modules:
            return refused(_no_modules(modules))
        if sum(batch.last_offset_delta + 1 for batch in batches) <= 0:
            return _Written(answer, key)
        try:
            appended = replica.append(batches, self._now())
        except AppendError as reason:
            if reason.error.code == Code.STORAGE_ERROR:
                connection.complain(f"sent a batch without records to {topic}/{key[1]}")
            return refused(reason.error)
        if appended.repaired:
            connection.complain(f"sent a batch with a wrong checksum to {topic}/{key[1]}")
        return _Written(evolve(answer, base_offset=appended.base), key, appended.end)

    def _uncommitted(self, written: _Written) -> bool:
        """Whether there is something to wait for, or to be told that there is not."""
        if written.answer.error_code:
            return False
        replica = self.leads(written.key)
        return replica is None or replica.log.hw < written.end

    async def _wait_for_followers(
        self, written: Iterable[_Written], timeout_ms: int, answer: Callable[[], None]
    ) -> None:
        for one in written:
            if not self._uncommitted(one):
                continue
            replica = self.leads(one.key)
            if replica is None:
                code = error(Code.NOT_LEADER_FOR_PARTITION)
            elif await self._committed(replica, one.end, timeout_ms / 1000):
                continue
            else:
                kind = RequestKind.PRODUCE
                code = error(Code.REQUEST_TIMED_OUT, timeout_ms=timeout_ms, kind=kind)
            one.answer = evolve(one.answer, error_code=code)
        answer()

    def _committed(self, replica: Replica, end: int, timeout: float) -> Deferred[bool]:
        """Fires when all replicas have everything below ``end``, or with ``False`` too late."""

        def forget() -> None:
            unsubscribe()
            cancel()

        def look() -> None:
            if replica.log.hw >= end:
                forget()
                waiter.callback(True)

        def expire() -> None:
            unsubscribe()
            waiter.callback(False)

        waiter: Deferred[bool] = Deferred(lambda _: forget())
        unsubscribe = replica.subscribe(look)
        cancel = self._timers.later(timeout, expire)
        return waiter

    # Fetch

    def _fetch(self, message: FetchRequest, request: Incoming, connection: Connection) -> None:
        topics = tuple(
            TopicFetchResponse(
                name=topic.name,
                partitions=tuple(
                    self._read((topic.name, one.partition_index), one, message, connection)
                    for one in topic.fetch_partitions
                ),
            )
            for topic in message.topics
        )
        connection.reply(FetchResponse(topics=topics), request)

    def _read(
        self, key: Key, wanted: FetchPartition, message: FetchRequest, connection: Connection
    ) -> PartitionResponse:
        answer = PartitionResponse(partition_index=wanted.partition_index)
        replica = self.leads(key)
        if replica is None:
            return evolve(answer, error_code=error(Code.NOT_LEADER_FOR_PARTITION))
        start, isolation = wanted.fetch_offset, message.isolation_level
        try:
            found = replica.log.read(start, isolation, message.max_bytes)
        except ReadError as reason:
            return evolve(answer, error_code=reason.error)
        if found.above_hw:
            connection.complain(f"reads committed records from {start}, above {found.hw}")
        return evolve(
            answer,
            high_watermark=found.hw,
            log_start_offset=found.log_start,
            records=found.records,
        )

    def _fetch_offsets(
        self, message: FetchOffsetsRequest, request: Incoming, connection: Connection
    ) -> None:
        topics = tuple(
            FetchOffsetTopicResponse(
                name=topic.name,
                partitions=tuple(
                    self._ends((topic.name, one.partition_index), message.consumer_id)
                    for one in topic.partitions
                ),
            )
            for topic in message.topics
        )
        connection.reply(FetchOffsetsResponse(topics=topics), request)

    def _ends(self, key: Key, consumer_id: str | None) -> FetchOffsetPartitionResponse:
        replica = self.leads(key)
        if replica is None:
            return FetchOffsetPartitionResponse(
                error_code=error(Code.PARTITION_NOT_LEADER),
                partition_index=key[1],
                start_offset=0,
                last_stable_offset=0,
            )
        start, code = replica.log.log_start, NO_ERROR
        if consumer_id is not None:
            offsets = self._offsets_anywhere()
            if isinstance(offsets, str):
                code = error(Code.OTHER, text=offsets)
            else:
                stored = offsets.get(key, consumer_id)
                start = start if stored is None else stored + 1
        return FetchOffsetPartitionResponse(
            error_code=code,
            partition_index=key[1],
            start_offset=start,
            last_stable_offset=replica.log.hw,
        )

    # Streams

    def _stream(
        self, message: StreamFetchRequest, request: Incoming, connection: Connection
    ) -> None:
        replica = self.leads((message.topic, message.partition))
        if replica is None:
            self._no_stream(message, 0, error(Code.NOT_LEADER_FOR_PARTITION), request, connection)
            return
        streams = self._session(connection).streams
        number = len(streams) + 1
        stream = streams[number] = Stream(number, replica, message, request, connection)
        if message.smartmodules:
            stream.end()
            code = _no_modules(message.smartmodules)
            self._no_stream(message, number, code, request, connection)
        else:
            stream.open(message.fetch_offset)

    def _no_stream(
        self,
        message: StreamFetchRequest,
        number: int,
        code: ErrorCode,
        request: Incoming,
        connection: Connection,
    ) -> None:
        partition = PartitionResponse(partition_index=message.partition, error_code=code)
        connection.push(
            StreamFetchResponse(topic=message.topic, stream_id=number, partition=partition),
            request,
        )

    def _acknowledge(
        self, message: UpdateOffsetsRequest, request: Incoming, connection: Connection
    ) -> None:
        streams = self._session(connection).streams
        unknown = error(Code.FETCH_SESSION_NOT_FOUND)
        connection.reply(
            UpdateOffsetsResponse(
                status=tuple(
                    OffsetUpdateStatus(
                        session_id=one.session_id,
                        error=NO_ERROR if one.session_id in streams else unknown,
                    )
                    for one in message.offsets
                )
            ),
            request,
        )
        for one in message.offsets:
            if one.session_id in streams:
                streams[one.session_id].acknowledge(one.offset)

    # Stored offsets

    def _offsets_anywhere(self) -> StoredOffsets | str:
        """The stored offsets, led here or elsewhere, or why they can not be had."""
        offsets = self.stored_offsets
        if offsets is not None:
            return offsets
        neighbours = self._neighbours
        if neighbours is None or not neighbours.exists(STORED_OFFSETS):
            return "the topic was not found"
        leader = neighbours.leader(STORED_OFFSETS)
        offsets = None if leader is None else leader.stored_offsets
        return "Connection refused (os error 111)" if offsets is None else offsets

    def _store_offset(
        self, message: UpdateConsumerOffsetRequest, request: Incoming, connection: Connection
    ) -> None:
        stream = self._session(connection).streams.get(message.session_id)
        code = NO_ERROR
        if stream is None:
            code = error(Code.FETCH_SESSION_NOT_FOUND)
        elif stream.consumer_id is None:
            code = error(Code.OTHER, text="stream without consumer id")
        else:
            code = self._store(stream.replica.key, stream.consumer_id, message.offset)
        offset = 0 if code else message.offset
        connection.reply(UpdateConsumerOffsetResponse(offset=offset, error_code=code), request)

    def _store(self, key: Key, consumer_id: str, offset: int) -> ErrorCode:
        offsets = self._offsets_anywhere()
        if isinstance(offsets, str):
            return error(Code.OTHER, text="update offset in peer")
        try:
            offsets.put(key, consumer_id, offset)
        except AppendError as reason:
            return error(Code.OTHER, text=reason.error.name)
        return NO_ERROR

    def _delete_offset(
        self, message: DeleteConsumerOffsetRequest, request: Incoming, connection: Connection
    ) -> None:
        offsets = self.stored_offsets
        code = NO_ERROR
        if offsets is None:
            code = error(Code.PARTITION_NOT_LEADER)
        else:
            key = message.replica_id
            try:
                offsets.delete((key.topic, key.partition), message.consumer_id)
            except AppendError as reason:
                text = f"unable to delete consumer: {reason.error.name}"
                code = error(Code.OTHER, text=text)
        connection.reply(DeleteConsumerOffsetResponse(error_code=code), request)

    def _list_offsets(
        self, message: FetchConsumerOffsetsRequest, request: Incoming, connection: Connection
    ) -> None:
        offsets = self.stored_offsets
        if offsets is None:
            code = error(Code.PARTITION_NOT_LEADER)
            connection.reply(FetchConsumerOffsetsResponse(error_code=code, consumers=()), request)
            return
        wanted = message.filter_opts
        consumers = tuple(
            one
            for one in offsets.all()
            if (wanted is None or wanted.replica_id in (None, one.replica_id))
            and (wanted is None or wanted.consumer_id in (None, one.consumer_id))
            and self._exists((one.replica_id.topic, one.replica_id.partition))
        )
        connection.reply(FetchConsumerOffsetsResponse(consumers=consumers), request)

    def _exists(self, key: Key) -> bool:
        return (
            self._neighbours.exists(key) if self._neighbours is not None else key in self.replicas
        )


def _batches(entry: PartitionProduceData) -> Sequence[Batch]:
    """The batches that a producer sent for one partition.

    A real SPU takes what comes behind the last whole batch for the rest of the request, and a
    batch with a schema id makes it crash; both end the connection here.
    """
    batches = entry.records.batches(check_crc=False)
    end = batches[-1].end if batches else entry.records.start
    if end != entry.records.end:
        raise ProtocolError("a record set that ends inside a batch", field="records")
    if any(batch.schema_id is not None for batch in batches):
        raise ProtocolError("a batch with a schema id", field="records")
    return batches


def _no_modules(modules: Sequence[SmartModuleInvocation]) -> ErrorCode:
    wasm = modules[0].wasm
    if isinstance(wasm, AdHoc):
        return error(Code.SMART_MODULE_CHAIN_INIT_ERROR, text="no SmartModules run here")
    return error(Code.SMART_MODULE_NOT_FOUND, name=wasm.name)
