"""One partition's stream: opened at the leader, and opened again when it must be.

A :class:`PartitionStream` keeps its partition's :class:`~txfluvio.consumer.backlog.Backlog` filled
from whichever SPU leads it. It goes through one :class:`~txfluvio.consumer.session.Session` after
another: find the leader, connect, ask for the ends of the log, open. What moves it on to the next
is an interruption: a connection that is lost, a leader that changed (the old one's stream would
just fall silent, so the metadata tells), a seek.

- Elections can make a log shorter and retention takes its beginning away, so the ends of the log
  are asked for before any opening.
- Under ReadCommitted an SPU sends broken frames, or uncommitted records, to a stream that starts
  above the high watermark: such a start waits until the watermark is there, and what comes from
  above it is refused.
- Offsets are stored by way of a stream. Where one has to wait, for the watermark or for room, and
  an offset is to be stored, it is opened for that alone: at the end, and nothing of it is read.
- A push ends anywhere, perhaps inside its first batch; that batch is then fetched by itself, and
  acknowledged past.
- A stream may fall silent though there is more, and is then opened anew
  (:mod:`txfluvio.consumer.silence`).
- Where SmartModules run and let nothing pass, an SPU says nothing at all, so no silence of theirs
  is taken for that. Behind the last record before the stop it is taken for the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..cluster import Attempts, Chain, Cluster, TimeLeft, Topology
from ..config import ConsumerConfig, Isolation, OffsetStrategy
from ..errors import (
    BrokerError,
    ConsumerClosed,
    FluvioError,
    ProtocolError,
    SmartModuleCrashed,
    SmartModuleRuntimeError,
    TopicDeleted,
)
from ..offset import Offset
from ..wire.codes import Code
from ..wire.records import BatchLimits
from ..wire.spu import (
    IsolationLevel,
    PartitionResponse,
    StreamFetchRequest,
)
from .backlog import FRAME_RESERVE, Backlog
from .budget import Allowance
from .offsets import Bookmark, keeper
from .place import Place
from .requests import LONGEST_HEADER, Target
from .session import Session
from .silence import Silence

T = TypeVar("T")

FIRST_LOOK = 64 * 1024
"""Bytes to fetch of a batch whose push was too short to tell its size."""

WATERMARK_POLL = 0.5
"""Seconds between two looks at a high watermark that has to reach the position first."""


class StreamOwner(Protocol):
    """Who hands out a stream's records. It may not act at once: a stream is in the middle of it."""

    def wake(self) -> None:
        """The position of a stream is known."""

    def offer(self, stream: PartitionStream) -> None:
        """A stream has records, has reached its stop, or has failed."""


@attrs.frozen
class Reading:
    """How the streams of one consumer read.

    :ivar config: the consumer's settings.
    :ivar stop: the first offset not to read, or None.
    :ivar chain: the SmartModules to run on the SPU.
    """

    config: ConsumerConfig
    stop: Offset | None = None
    chain: Chain = attrs.field(factory=Chain)

    @property
    def committed_only(self) -> bool:
        """Whether only replicated records are read."""
        return self.config.isolation is Isolation.READ_COMMITTED

    @property
    def stores_offsets(self) -> bool:
        """Whether offsets are stored, somewhere."""
        return self.config.offsets is not OffsetStrategy.NONE

    @property
    def stores_on_cluster(self) -> bool:
        """Whether they are stored by way of the stream's own connection."""
        return self.stores_offsets and self.config.offset_store is None


class _Interrupted(Exception):
    """The session is over; for ``reason``, or to begin another at once."""

    def __init__(self, reason: FluvioError | None) -> None:
        super().__init__(reason)
        self.reason = reason


class PartitionStream:
    """The records of one partition, from wherever it is led.

    :param start: where to start; found with the partition's leader.
    :param stored: the offset stored for the consumer, for ``Offset.stored()``.
    :param allowance: how many bytes it may hold.

    :ivar backlog: what was received and not handed out.
    :ivar bookmark: how far it was processed, and how far that is stored.
    :ivar failure: why there will be no more records, until the next :meth:`seek`; or None.
    :ivar trouble: what the last attempt that failed has failed with; or None.
    :ivar high_watermark: the end of what is replicated, as of the last reply.
    :ivar touched: whether records were handed out.
    :ivar paused: whether records are not to be handed out.
    """

    _log = Logger()

    def __init__(
        self,
        owner: StreamOwner,
        cluster: Cluster,
        target: Target,
        reading: Reading,
        *,
        start: Offset,
        stored: int | None,
        allowance: Allowance,
    ) -> None:
        self.target = target
        self.backlog = Backlog(
            target.topic,
            target.partition,
            filtered=bool(reading.chain),
            check_crc=reading.config.check_crc,
            limits=BatchLimits(
                size=cluster.config.max_decompressed_size,
                ratio=cluster.config.max_decompression_ratio,
                records=cluster.config.max_batch_records,
            ),
        )
        self.bookmark = Bookmark(self._offset_awaited)
        self.failure: Exception | None = None
        self.trouble: FluvioError | None = None
        self.high_watermark = 0
        self.touched = False
        self.paused = False
        self._relieved = False
        self._owner = owner
        self._cluster = cluster
        self._reading = reading
        self._place = Place(
            target,
            self.backlog,
            start=start,
            stored=stored,
            stop=reading.stop,
            reset=reading.config.reset,
        )
        self._allowance = allowance
        self._clock = cluster.clock
        self._attempts = Attempts(cluster.retrying)
        self._work: Deferred[None] | None = None
        self._closing = False
        self._broken = False
        self._waiting: Deferred[Any] | None = None
        self._asking: Deferred[Any] | None = None
        self._interruption: _Interrupted | None = None
        self._leader: int | None = None
        self._leaving: set[Deferred[Any]] = set()
        self._ready: Session | None = None
        self._only_storing = False
        self._wanted: Deferred[None] | None = None
        # Whether an error without a name had the log looked at again, since something else came.
        self._doubted = False

    @property
    def placed(self) -> bool:
        """Whether the position is known."""
        return self._place.known

    @property
    def ended(self) -> bool:
        """Whether the stop was reached and everything before it was handed out."""
        return self._complete and not self.backlog

    @property
    def listening(self) -> bool:
        """Whether pushes are wanted."""
        return self._interruption is None and not self._resting and not self._only_storing

    def processed(self, position: int) -> None:
        """Note that everything below ``position`` was processed, to be stored sometime."""
        if self.placed:
            self.bookmark.processed = position

    # What the consumer asks for

    def run(self) -> None:
        """Begin."""
        config = self._reading.config
        if self._reading.stores_offsets and config.offset_store is not None:
            assert config.consumer_id is not None
            kept = keeper(config.offset_store, config.consumer_id, self.target)
            self.bookmark.connect(kept, lasts=True)
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(self._crashed)

    def close(self) -> Deferred[None]:
        """End; fires when the connection is gone."""
        self._closing = True
        self.interrupt()
        self.bookmark.disconnect()
        self.bookmark.fail(ConsumerClosed())
        self._allowance.leave()
        closed: Deferred[None] = Deferred()
        assert self._work is not None
        self._work.addCallback(closed.callback)
        return closed

    def seek(self, to: Offset) -> None:
        """Go on at ``to``, whatever was received or has failed."""
        self._place.seek(to)
        self._count()
        if self._broken:
            # Nothing runs any more that could go on: the failure stays, and is raised again.
            self._owner.offer(self)
            return
        if self.failure is not None:
            self.failure = None
            # The time for the attempts that ended so is over.
            self._attempts.succeed()
        self._doubted = False
        self.bookmark.mend()
        self._interruption = None
        self.interrupt()

    def pause(self) -> None:
        """Ask for nothing more."""
        self.paused = True
        self._allowance.pause()
        self.relieve()

    def resume(self) -> None:
        """Ask again."""
        self.paused = self._relieved = False
        self._count()
        self._allowance.resume()

    def resize(self, slot: int) -> None:
        """Be content with pushes of at most ``slot`` bytes, which takes another stream."""
        if slot < self._allowance.slot:
            self._allowance.resize(slot)
            self.interrupt()

    def relieve(self) -> None:
        """If it is paused and the budget is exceeded, give up what was received, to be read again.

        Nobody would take it, and others wait for the room. Where it has failed, nothing is read
        again, and what was received before that is kept.
        """
        if self.paused and self._allowance.excessive:
            self._relieved = True
            if self.failure is None:
                self.backlog.shed()
                self.interrupt()
            self._count()

    @property
    def lag(self) -> int:
        """How many offsets the high watermark, as last told, is ahead of what was handed out."""
        return max(0, self.high_watermark - self.backlog.position) if self.placed else 0

    def taken(self, records: int) -> None:
        """Records were handed out."""
        self.touched = True
        self._cluster.metrics.consumed(self.target.topic, self.target.partition, records)
        self._count()

    def _count(self) -> None:
        # What could not be given up counts when it can be handed out again, or others would starve.
        self._allowance.account(held=0 if self._relieved else self.backlog.held)

    def fail(self, error: Exception, offset: int | None = None) -> None:
        """Read no more; the user sees the error behind the records received so far.

        :param offset: where that is; None: behind them.
        """
        if self.failure is None:
            if isinstance(error, FluvioError):
                self._cluster.metrics.failed("consume", error)
            self._log.info("{target}: {error}", target=self.target, error=error)
            if isinstance(error, ProtocolError):
                # It knows a place in some bytes; whose they were, nobody sees from that.
                behind = self.backlog.received if offset is None else offset
                at = f" at offset {behind}" if self.placed else ""
                error.add_note(f"{self.target}{at}")
            self.failure = error
            self._owner.offer(self)

    def damaged(self, error: FluvioError) -> None:
        """What comes next can not be read: fail, and keep nothing that others may want room for."""
        self.fail(error, self.backlog.position)
        self.backlog.shed()
        self._count()

    def topology_changed(self, topology: Topology) -> None:
        """Compare where the partition is led with where its stream is."""
        if self._resting:
            return
        target = self.target
        if target.topic not in topology.topics:
            self.interrupt(TopicDeleted(what=f"topic {target.topic}"))
        elif self._leader not in (None, topology.leader_of(target.topic, target.partition)):
            self._log.info("{target}: the leader has changed", target=target)
            self.interrupt()

    async def ask_high_watermark(self) -> int:
        """The high watermark as the leader has it now."""
        left = TimeLeft.of(self._clock, self._cluster.config.request_timeout)
        leader = await self._led(timeout=left.seconds)
        ends = self.target.ask_ends()
        reply = await self._cluster.spu_request(leader, ends, timeout=left.seconds)
        return self.target.ends(reply).high_watermark

    # What a session tells

    def keep(self, brought: PartitionResponse) -> bool:
        """Take what came in; False if it holds no complete batch."""
        if len(brought.records) or not brought.error_code:
            # An error alone is a failed attempt.
            self._attempts.succeed()
            self._doubted = False
        if len(brought.records):
            target = self.target
            metrics = self._cluster.metrics
            metrics.received(target.topic, target.partition, len(brought.records))
        failed = bool(brought.error_code)
        whole = self.backlog.add(
            brought.records,
            brought.next_filter_offset,
            failed=failed,
            committed=brought.high_watermark if self._reading.committed_only else None,
        )
        if not brought.error_code:
            self.high_watermark = brought.high_watermark
        self._allowance.account(held=self.backlog.held, credit=0)
        if whole:
            self._place.confirmed = True
            self._owner.offer(self)
        return whole

    def refused(self, brought: PartitionResponse) -> None:
        """The SPU has ended the stream; its connection is well, and good for storing offsets."""
        error = self._error(brought)
        if self._is_beyond(error):
            lost = self._place.beyond(self.high_watermark, error)
            if lost is not None:
                self.fail(lost)
                self.interrupt()
            elif not self._attempts.failed:
                self._attempts.fail()
                self.interrupt()
            else:
                # With a delay: what it is reset to may be refused in the same way, and again.
                error.retriable = True
                self.interrupt(error)
        elif error.retriable or self._place.can_reset(error):
            self.interrupt(error)
        elif self._is_nameless(error) and not self._doubted:
            # The log may have been cut since it was asked for its ends: look once more.
            self._doubted = True
            self.interrupt()
        elif isinstance(error, SmartModuleRuntimeError) and error.next_offset is None:
            self._find_next_batch(error)
        else:
            self._give_up(error)

    def _give_up(self, error: BrokerError) -> None:
        self.fail(error)
        if not self._owes:
            self.interrupt()

    def _find_next_batch(self, error: SmartModuleRuntimeError) -> None:
        """Fail, when it is known where the batch ends in which a module has failed."""
        assert self._leader is not None
        isolation = self._reading.config.isolation
        request = self.target.fetch(error.offset, LONGEST_HEADER, isolation)

        def told(result: int | Failure | None) -> None:
            self._asking = None
            if not isinstance(result, Failure):
                error.next_offset = result
            elif result.trap(FluvioError, CancelledError) is CancelledError:
                return
            self._give_up(error)

        asking = self._asking = self._cluster.spu_request(self._leader, request)
        asking.addCallback(self.target.next_batch).addBoth(told)

    def _error(self, brought: PartitionResponse) -> BrokerError:
        error = self._reading.chain.error(brought.error_code, str(self.target))
        if isinstance(error, SmartModuleRuntimeError):
            passed = brought.records.batches(check_crc=False)
            # Where nothing has passed it is not told: the SPU has skipped all there is.
            if passed and passed[0].base_offset >= 0:
                error.next_offset = brought.next_filter_offset
        return error

    def _is_beyond(self, error: BrokerError) -> bool:
        """Whether the SPU may have meant that the position is behind the end of the log."""
        return self._is_nameless(error) and self.backlog.received > self.high_watermark

    def _is_nameless(self, error: BrokerError) -> bool:
        """Whether the SPU has said that there is an error, and of what kind in words only."""
        return error.code == Code.OTHER and not isinstance(error, SmartModuleCrashed)

    def _fell_silent(self, reason: FluvioError | None) -> None:
        self._log.info("{target}: the stream has fallen silent", target=self.target)
        self.interrupt(reason)

    def interrupt(self, reason: FluvioError | None = None) -> None:
        """End the session: for a reason, which may call for a delay, or to begin another."""
        if self._interruption is None:
            self._interruption = _Interrupted(reason)
        if self._waiting is not None:
            self._waiting.cancel()
        if self._asking is not None:
            self._asking.cancel()

    # The course of things

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._session()
            except _Interrupted as interrupted:
                error = interrupted.reason
            except FluvioError as failed:
                error = failed
            else:
                error = None
            if error is not None and not self._closing:
                try:
                    await self._recover(error)
                except _Interrupted:
                    continue
        for gone in list(self._leaving):
            await gone

    async def _session(self) -> None:
        self._leader = None
        if self._resting and not self._owes:
            await self._park()
        leader = self._leader = await self._find_leader()
        connection = await self._until(lambda: self._cluster.open_connection(leader))
        session = Session(self, connection, self.target, self.backlog, self._allowance)
        silence = Silence(
            session,
            clock=self._clock,
            interval=self._cluster.config.idle_probe,
            broken=self._fell_silent,
        )
        try:
            await self._find_place(session)
            if not self._resting:
                await self._enter(session)
            if self._only_storing or (self._resting and not self._owes):
                return
            self._open(session)
            if self._reading.chain:
                # Whether it is broken can not be told: it may be silent for good reason.
                await self._reach_stop(session)
            else:
                silence.start()
            while True:
                needed = await self._until(session.oversized.get)
                await self._fetch_whole(session, needed)
        finally:
            self._ready = None
            self._only_storing = False
            silence.stop()
            gone = session.close()
            self._leaving.add(gone)
            gone.addBoth(lambda _: self._leaving.discard(gone))
            if self._reading.stores_on_cluster:
                self.bookmark.disconnect()

    def _stand_ready(self, session: Session) -> None:
        """The stream has to wait: until then, let it be opened where an offset is to be stored."""
        if self._reading.stores_on_cluster and not self._only_storing:
            self._ready = session
            if self.bookmark.awaited:
                self._offset_awaited()

    def _offset_awaited(self) -> None:
        """Somebody waits for an offset to be stored, for which there has to be a stream."""
        session, self._ready = self._ready, None
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)
        if session is not None:
            self._only_storing = True
            try:
                self._open(session)
            except FluvioError as error:
                self.interrupt(error)

    def _open(self, session: Session) -> None:
        self._ready = None
        session.open(self._opening())
        if self._reading.stores_on_cluster:
            self.bookmark.connect(session.store)

    def _opening(self) -> StreamFetchRequest:
        config = self._reading.config
        nothing_wanted = self._resting or self._only_storing
        return StreamFetchRequest(
            topic=self.target.topic,
            partition=self.target.partition,
            fetch_offset=self.high_watermark if nothing_wanted else self.backlog.received,
            max_bytes=self._allowance.slot,
            isolation=IsolationLevel(config.isolation),
            smartmodules=self._reading.chain.invocations,
            consumer_id=config.consumer_id if self._reading.stores_on_cluster else None,
        )

    async def _recover(self, error: FluvioError) -> None:
        """Wait before the next attempt, or, where there is none, until somebody seeks."""
        self.trouble = error
        delay = self._attempts.fail()
        may_succeed = error.retriable or self._place.can_reset(error)
        if not may_succeed or not self._attempts.in_time(delay):
            if self._complete and self.failure is None:
                await self._rest(error)
                return
            self.fail(error)
            if self._reading.stores_on_cluster:
                self.bookmark.fail(error)
            await self._park()
        else:
            self._cluster.metrics.failed("consume", error)
            self._log.info(
                "{target}: again in {delay:.2f} s: {error}",
                target=self.target,
                delay=delay,
                error=error,
            )
            await self._sleep(delay)

    async def _rest(self, error: FluvioError) -> None:
        """Nothing but the storing has failed: tell whoever waits for that, and wait until somebody
        does again, who may find the cluster well."""
        self._log.info("{target}: {error}", target=self.target, error=error)
        self._attempts.succeed()
        if self._reading.stores_on_cluster:
            self.bookmark.disappoint(error)
        if not self.bookmark.awaited:
            wanted: Deferred[None] = Deferred()
            self._wanted = wanted
            try:
                await self._until(lambda: wanted)
            finally:
                self._wanted = None
        # Not at once: who is told may be who asks.
        await self._sleep(self._cluster.config.retry.initial)

    @property
    def _resting(self) -> bool:
        """Whether nothing more is to be read."""
        return self.failure is not None or self._complete

    @property
    def _complete(self) -> bool:
        """Whether everything before the stop was received."""
        return self.placed and self.backlog.complete

    @property
    def _owes(self) -> bool:
        """Whether offsets may have to be stored yet for which there has to be a stream."""
        return self._reading.stores_on_cluster and (self.touched or bool(self.backlog))

    def _led(self, timeout: float | None = None) -> Deferred[int]:
        target = self.target

        def leader(topology: Topology) -> int | None:
            if target.topic not in topology.topics:
                raise TopicDeleted(what=f"topic {target.topic}")
            # It may have been created again, with fewer.
            topology.partition(target.topic, target.partition)
            return topology.leader_of(target.topic, target.partition)

        return self._cluster.wait_for(
            leader,
            missing=f"{target} has no online leader",
            timeout=timeout,
            about=(target.topic, target.partition),
        )

    async def _find_leader(self) -> int:
        """Wait for somebody who leads the partition, which is no attempt."""
        with self._attempts.waiting():
            return await self._until(self._led)

    async def _find_place(self, session: Session) -> None:
        """Ask for the ends of the log until the position is one that can be opened."""
        await self._look(session)
        # From here on nothing fails but the connection, though it may be long until it is opened.
        self._attempts.begin()
        while self._is_above_what_is_read:
            self._stand_ready(session)
            await self._sleep(WATERMARK_POLL)
            await self._look(session)

    async def _look(self, session: Session) -> None:
        ends = await self._until(session.ends)
        self.high_watermark = ends.high_watermark
        error = self._place.find(ends.first, ends.high_watermark)
        if error is not None:
            self.fail(error)
        self._owner.offer(self)

    @property
    def _is_above_what_is_read(self) -> bool:
        """Whether nothing at the position is committed, where that is all that is read."""
        return (
            not self._resting
            and self._reading.committed_only
            and self.backlog.received > self.high_watermark
        )

    async def _reach_stop(self, session: Session) -> None:
        """Wait until the stop is reached, by what comes, or because nothing does."""
        stop = self.backlog.stop
        while stop is not None and not self._resting:
            asked = session.asked
            await self._sleep(self._reading.config.quiet_time)
            if self._resting or not session.silent_since(asked):
                continue
            ends = await self._until(session.ends)
            self.high_watermark = ends.high_watermark
            if self.high_watermark >= stop and session.silent_since(asked):
                self.backlog.skip(stop)
                self._owner.offer(self)

    async def _fetch_whole(self, session: Session, needed: int | None) -> None:
        """Fetch a batch that no push can bring, of ``needed`` bytes if that is known."""
        wanted = FIRST_LOOK if needed is None else needed
        while True:
            if wanted > self._cluster.config.max_frame_size - FRAME_RESERVE:
                raise ProtocolError(f"a batch of {wanted} bytes, over max_frame_size")
            await self._credit(wanted)
            brought = await self._fetch(session, wanted)
            if self.keep(brought):
                session.acknowledge()
                return
            before, wanted = wanted, brought.records.needed() or 0
            if wanted <= before:
                raise ProtocolError(f"{len(brought.records)} bytes of a batch of {before}")

    async def _fetch(self, session: Session, size: int) -> PartitionResponse:
        isolation = self._reading.config.isolation
        request = self.target.fetch(self.backlog.received, size, isolation)
        return self.target.fetched(await self._until(lambda: session.request(request)))

    async def _credit(self, size: int) -> None:
        """Wait until the budget lets so many bytes of one batch be under way."""
        granted: Deferred[None] = Deferred()
        self._allowance.ask(size, lambda: granted.callback(None), large=True)
        await self._until(lambda: granted)

    async def _enter(self, session: Session) -> None:
        """Wait until the budget lets the first push of a stream be under way."""
        granted: Deferred[None] = Deferred()
        self._allowance.ask(self._allowance.slot, lambda: granted.callback(None))
        if not granted.called:
            self._stand_ready(session)
        await self._until(lambda: granted)

    async def _until(self, begin: Callable[[], Deferred[T]]) -> T:
        """Begin something and wait for it, unless interrupted."""
        self._raise_interruption()
        event = self._waiting = begin()
        try:
            return await event
        except CancelledError:
            self._raise_interruption()
            raise
        finally:
            self._waiting = None

    def _raise_interruption(self) -> None:
        """Raise what has interrupted the session since the last wait, if anything has."""
        interruption, self._interruption = self._interruption, None
        if interruption is not None:
            raise interruption

    async def _sleep(self, seconds: float) -> None:
        await self._until(lambda: deferLater(self._clock, seconds))

    async def _park(self) -> NoReturn:
        """Do nothing until there is an interruption."""
        never: Deferred[None] = Deferred()
        await self._until(lambda: never)
        raise AssertionError("nothing fires it")

    def _crashed(self, failure: Failure) -> None:
        """By a bug, here or in what the user has handed in: nothing goes on from here."""
        self._log.failure("{target}: a bug", failure, target=self.target)
        error = failure.value
        assert isinstance(error, Exception)
        self._broken = True
        self.fail(error)
        self.bookmark.fail(error)
