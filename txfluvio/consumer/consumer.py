"""The front of consuming: one :class:`Consumer` over the streams of its partitions.

Here is what the user asks and waits for: iteration, positions, pausing, commits, start and end.
Each partition's course is its own (:mod:`txfluvio.consumer.stream`); what they share is the budget
of bytes and the outlet (:mod:`txfluvio.consumer.outlet`), which hands out a chunk of each in turn.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .._checks import NotShown, is_number
from .._wording import enumerated
from ..cluster import Chain, Cluster, TimeLeft, Topology, may_succeed, within
from ..config import ConsumerConfig, OffsetStrategy
from ..errors import (
    AlreadyRunning,
    ConsumerClosed,
    FluvioError,
    InvalidConfig,
    NotStarted,
    OffsetManagementDisabled,
    PartitionNotFound,
    PartitionNotRead,
    RecordNotCommittable,
    UsageError,
    WaitTimedOut,
)
from ..interfaces import IFluvioConsumer
from ..offset import Offset, OffsetKind
from ..transport.waiting import Waiting
from ..wire.records import Record
from .backlog import FRAME_RESERVE
from .budget import Budget, slot_size
from .hand import Batches, Records
from .offsets import Flusher, kept_offsets, stored_offsets
from .outlet import Outlet
from .requests import Target
from .share import Partitions, by_topic
from .stream import PartitionStream, Reading

T = TypeVar("T")


class _State(enum.Enum):
    NEW = "not started"
    STARTING = "starting"
    RUNNING = "running"
    CLOSED = "closed"


@implementer(IFluvioConsumer)
class Consumer:
    """The records of one or several topics, as an async iterator.

    Made by ``client.consumer(...)``; making it does no I/O. ``async with consumer`` (or
    :meth:`start` and :meth:`close`) checks the topics and finds where each partition starts.
    Records of one partition come in the order of their offsets, each once; partitions take turns.

    Connections that are lost, leaders that change, partitions that are added are seen to without a
    word. What the user has to know is raised by the iteration, behind the records received before
    it: ``OffsetEvicted``, ``OffsetOutOfRange`` and ``LogTruncated`` (or the reset that
    ``ConsumerConfig.reset`` asks for), ``TopicDeleted``, ``ProtocolError``, ``PermissionDenied``,
    ``PartitionNotFound`` where a topic was created again with fewer of them, and whatever else
    cannot be retried. It is raised again until that partition, which :attr:`failures` names, is
    told where to go on, by :meth:`seek`, or paused; the other partitions go on.

    With ``ConsumerConfig.smartmodules`` the records are what the SPU makes of them, without
    offsets, and the position moves by whole pushes: see :mod:`txfluvio.smartmodule`. Where a
    module fails on a record, those before it are handed out and then ``SmartModuleRuntimeError``
    is raised, which says where reading can go on; the position is still before them. Where a
    module has run on what was produced, several records of a batch may have one offset; such a
    batch is passed by the position, and committed, when all of it is processed.

    A log that was cut by an election and written again to beyond the position looks as if nothing
    had happened: under ReadUncommitted the records that took the place of delivered ones, below
    the position, are not seen.

    :param topics: the topic's name, or several.
    :param start: where to start in each partition. None: at the end; where offsets are stored,
        behind the last one stored, or else at the beginning. Partitions added later start at their
        beginning.
    :param stop: the first offset not to read, in each partition: ``Offset.absolute(n)``, or
        ``Offset.end()`` for the end as it is when the consumer starts. The iteration ends when all
        partitions got there, and partitions added later are not read. Where SmartModules let
        nothing pass, that is after ``ConsumerConfig.quiet_time``.
    :param partitions: a partition, some, a :class:`~txfluvio.consumer.share.Share`, or None for
        all of each topic, without a ``stop`` those added later too; or a mapping that says so by
        topic, those it leaves out being read whole.
    :param config: see :class:`~txfluvio.config.ConsumerConfig`.
    """

    _log = Logger()

    def __init__(
        self,
        cluster: Cluster,
        topics: str | Iterable[str],
        *,
        start: Offset | None = None,
        stop: Offset | None = None,
        partitions: Partitions = None,
        config: ConsumerConfig | None = None,
    ) -> None:
        self._cluster = cluster
        self._topics = _names(topics)
        self._config = ConsumerConfig() if config is None else config
        self._selections = by_topic(self._topics, partitions)
        self._reading = Reading(
            config=self._config, stop=_checked_stop(stop), chain=Chain(self._config.smartmodules)
        )
        self._start_at = self._checked_start(start)
        self._clock = cluster.clock
        self._streams: dict[Target, PartitionStream] = {}
        self._budget = Budget(self._config.buffer_memory)
        self._outlet = Outlet(self._budget, self._finished, self._clock)
        self._hand = self._outlet.hand
        self._records = Records(self._hand, self._refill)
        self._batches = Batches(self._hand, self._refill)
        self._flusher = Flusher(self._flush_each, self._config.flush_interval, self._clock)
        self._state = _State.NEW
        self._starting: Deferred[None] | None = None
        self._asking: dict[Deferred[Any], None] = {}
        self._topology = Topology()
        self._unsubscribe: Callable[[], object] = _nothing
        self._gone = False
        self._when_gone: Waiting[None] = Waiting()

    def __repr__(self) -> str:
        names = enumerated([repr(name) for name in self._topics])
        return f"<Consumer of {names}: {self._state.value}>"

    @property
    def topics(self) -> tuple[str, ...]:
        """The names of the topics."""
        return self._topics

    @property
    def config(self) -> ConsumerConfig:
        """The settings."""
        return self._config

    # Start and end

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except CancelledError:
            raise
        except Exception as failed:
            if error is None:
                raise
            self._log.warn("while closing a consumer: {failed!r}", failed=failed)

    def start(self) -> Deferred[None]:
        """Check the topics and partitions and find where to start; fires when that is known.

        A topic or partition that the metadata lacks may have been made a moment ago: it is waited
        for, a second at most. Then the leader of each partition is waited for, and asked; all of
        that takes ``ClientConfig.request_timeout`` at most. Cancelling it, or its failing, closes
        the consumer.

        :raises TopicNotFound: by the metadata.
        :raises PartitionNotFound: by the metadata.
        :raises ProtocolError: by the metadata, a topic has more than 100,000 partitions.
        :raises WaitTimedOut: a partition has no online leader, or its leader can not be reached or
            is silent; the ``__cause__`` says what was seen of that, if anything was.
        :raises OffsetEvicted: the offset to start at is no longer there, and nothing else about
            it is set. Other errors of the first look at a partition come here too.
        :raises AlreadyRunning: it was started before.
        :raises ConsumerClosed: it was closed, or its client was, before this or meanwhile.
        :raises NotStarted: the client was not started.
        """
        if self._state is _State.CLOSED:
            return fail(ConsumerClosed())
        if self._state is not _State.NEW:
            return fail(AlreadyRunning("consumer"))
        self._state = _State.STARTING
        self._starting = Deferred.fromCoroutine(self._start())
        return self._starting

    def close(self) -> Deferred[None]:
        """Store what was processed, if that is done automatically, and end; fires when all is over.

        A wait for records ends with ``StopAsyncIteration``, records not handed out are dropped,
        connections are closed. The record in hand does not count as processed: its successor was
        not asked for. Cancelling it skips the storing, also where somebody else has closed it.

        :raises FluvioError: the offsets could not be stored within
            ``ClientConfig.connect_timeout``; the consumer is closed all the same.
        :raises Exception: what the user's offset store fails with; likewise.
        """
        if self._state is _State.CLOSED:
            if self._gone:
                return succeed(None)
            return self._when_gone.add().addErrback(self._hurry)
        before, self._state = self._state, _State.CLOSED
        return Deferred.fromCoroutine(self._close(before))

    @property
    def closed(self) -> bool:
        """Whether it was closed, by whomever."""
        return self._state is _State.CLOSED

    @property
    def buffered(self) -> int:
        """Bytes that count against ``buffer_memory``: what was received and not handed out, is
        under way, or is kept free for what each partition may ask for."""
        return self._budget.counted

    # Records

    def __aiter__(self) -> Records:
        return self._records

    def __anext__(self) -> Coroutine[Any, Any, Record]:
        return self._records.__anext__()

    def batches(self) -> Batches:
        """The records as lists, each of consecutive records of one partition.

        ``async for batch in consumer.batches()`` costs a fraction of iterating record by record.
        A list holds a batch of the log, several small ones, or a part of a large one; asking for
        the next means that all of it was processed.
        """
        return self._batches

    def next(self, timeout: float | None = None) -> Deferred[Record]:
        """The next record.

        Fails with ``StopAsyncIteration`` where ``async for`` would end. Cancelling it, or its
        timing out, loses nothing: the record comes with the next call.

        :param timeout: seconds to wait; 0 or less: only for what is received already, of which
            passing over what is not wanted may take some calls; None: for ever.
        :raises WaitTimedOut: nothing came within ``timeout``.
        :raises ConsumerClosed: it was closed before this call.
        :raises NotStarted: it is not started.
        :raises AlreadyRunning: somebody waits for a record already.
        :raises InvalidConfig: ``timeout`` is no number.
        :raises FluvioError: a partition has failed, as the iteration raises it.
        """
        for record in self._hand.rest:
            return succeed(record)
        return self._begin(self._records.__anext__, timeout)

    def next_batch(self, timeout: float | None = None) -> Deferred[list[Record]]:
        """The next records of one partition, at least one; in all else as :meth:`next`.

        Cancelling ends the waiting and no more.
        """
        return self._begin(self._batches.__anext__, timeout)

    # Partitions

    @property
    def partitions(self) -> tuple[tuple[str, int], ...]:
        """The partitions being read, each as (topic, number), in order."""
        return tuple(sorted((target.topic, target.partition) for target in self._streams))

    def known_lag(self) -> dict[tuple[str, int], int]:
        """By topic and partition, how far behind the high watermark it is, as last told.

        Costs nothing, and is as old as the last reply; :meth:`lag` asks.
        """
        return {
            (target.topic, target.partition): stream.lag for target, stream in self._streams.items()
        }

    @property
    def failures(self) -> dict[tuple[str, int], Exception]:
        """By topic and partition, why nothing more comes of it until it is sought.

        What the iteration raises is one of these: with several partitions, this tells whose it is.
        """
        return {
            (target.topic, target.partition): stream.failure
            for target, stream in self._streams.items()
            if stream.failure is not None
        }

    def position(self, partition: int, *, topic: str | None = None) -> int | None:
        """The offset of the next record to be handed out.

        :param topic: needed with several topics only.
        :return: None while it is not known, after a :meth:`seek` relative to the end or beginning.
        :raises PartitionNotRead: it is none of those that are read.
        :raises UsageError: there are several topics and ``topic`` is not given.
        :raises NotStarted: it is not started.
        :raises ConsumerClosed: it is closed.
        """
        stream = self._find(partition, topic)
        return self._outlet.position(stream) if stream.placed else None

    def lag(self, partition: int, *, topic: str | None = None) -> Deferred[int]:
        """How many offsets there are from the position to the high watermark, asked now.

        Not negative: under ReadUncommitted the position may be above the high watermark. It takes
        ``ClientConfig.request_timeout`` at most.

        Cancelling ends the waiting and no more.

        :raises PartitionNotRead: as :meth:`position`, and so in all else.
        :raises ConsumerClosed: it is closed, or was before there was an answer.
        :raises FluvioError: the partition's leader could not be asked.
        """
        return self._ask(self._lag(partition, topic))

    def seek(self, partition: int, to: int | Offset, *, topic: str | None = None) -> None:
        """Go on at another offset; no record from before comes after this call.

        It takes a new stream, also within what is received. Errors about the place, if it is not
        in the log, are raised by the iteration. What is committed counts from there as soon as a
        record from there was processed; until then, what was stored stays.

        :param to: an absolute offset, or an :class:`~txfluvio.offset.Offset` other than stored.
        :raises InvalidConfig: ``to`` is neither.
        :raises PartitionNotRead: as :meth:`position`, and so in all else.
        """
        place = Offset.absolute(to) if isinstance(to, int) else to
        if not isinstance(place, Offset) or place.kind is OffsetKind.STORED:
            raise InvalidConfig("seek", to, "an offset, absolute or relative to an end of the log")
        stream = self._find(partition, topic)
        if stream is self._hand.source:
            self._hand.put_down()
        self._outlet.withdraw(stream)
        stream.seek(place)

    def pause(self, partition: int, *, topic: str | None = None) -> None:
        """Hand out no more records of a partition, the rest of the batch in hand included.

        What was received of it is given up where others need the room, and read again; what
        retention has taken by then is told as at any position: ``OffsetEvicted``, or the reset.

        :raises PartitionNotRead: as :meth:`position`, and so in all else.
        """
        stream = self._find(partition, topic)
        if stream.paused:
            return
        hand = self._hand
        if stream is hand.source and hand.left:
            stream.backlog.give_back(hand.cut())
        self._outlet.withdraw(stream)
        stream.pause()

    def resume(self, partition: int, *, topic: str | None = None) -> None:
        """Go on after :meth:`pause`, with the very next record.

        :raises PartitionNotRead: as :meth:`position`, and so in all else.
        """
        stream = self._find(partition, topic)
        stream.resume()
        self._outlet.offer(stream)

    # Stored offsets

    def commit(self, record: Record | None = None) -> Deferred[None]:
        """Store that everything handed out so far, the record in hand included, was processed.

        With a record, that everything of *its* partition up to and including it was, and nothing
        of others: for a program that works on several partitions at the same time. That is stored
        also where more was before; what is stored automatically, or by the next commit without a
        record, is all that was handed out as ever.

        Fires when the cluster, or the offset store, has it: the consumer that resumes with
        ``Offset.stored()`` gets the records that follow. It may be called at any time, inside the
        loop too, and waits where the cluster stores and a partition is without a leader.
        Cancelling it ends the wait; the offsets may be stored.

        :param record: one that this consumer has handed out; None: for all partitions.
        :raises RecordNotCommittable: the record was not handed out, or not since a seek or a reset
            to before it; or it does not tell a position, since a SmartModule made it (it has no
            offset), or has run on what was produced (others may have its offset).
        :raises PartitionNotRead: the record's partition is none of those that are read.
        :raises InvalidConfig: it is no record.
        :raises NotStarted: the consumer is not started.
        :raises ConsumerClosed: it is closed, or was before they were stored.
        :raises OffsetManagementDisabled: no offsets are stored by this consumer.
        :raises BrokerError: an SPU could not store them.
        :raises Exception: what the offset store fails with, where the user gave one.
        """
        return Deferred.fromCoroutine(self._commit(record))

    def committed(self) -> Deferred[dict[tuple[str, int], int]]:
        """What is stored for this consumer's ``consumer_id`` now, asked of the cluster or the
        offset store: by topic and partition, the offset of the last record that was processed.

        Only partitions that are read, and of which something is stored; whoever has stored it.
        Reading resumes at the next offset. It takes ``ClientConfig.request_timeout`` at most.
        Cancelling ends the waiting and no more.

        :raises OffsetManagementDisabled: it has no ``consumer_id``.
        :raises NotStarted: it is not started.
        :raises ConsumerClosed: it is closed, or was before there was an answer.
        :raises WaitTimedOut: nobody leads the stored offsets, or the offset store does not answer.
        :raises FluvioError: the cluster could not be asked.
        :raises Exception: what the offset store fails with, where the user gave one.
        """
        return self._ask(self._committed())

    def flush_offsets(self) -> Deferred[None]:
        """Store now what counts as processed and is not stored yet; as :meth:`commit` in the rest.

        Where offsets are stored automatically the record in hand is not among it, otherwise what
        was not committed.

        Cancelling ends the wait; the offsets may be stored.
        """
        return Deferred.fromCoroutine(self._flush())

    # Handing out

    async def _refill(self) -> None:
        if self.closed:
            raise StopAsyncIteration
        self._must_run()
        await self._outlet.refill()

    def _finished(self) -> bool:
        return self._reading.stop is not None and all(s.ended for s in self._streams.values())

    def _begin(
        self, step: Callable[[], Coroutine[Any, Any, T]], timeout: float | None
    ) -> Deferred[T]:
        if self.closed:
            return fail(ConsumerClosed())
        if timeout is not None and not is_number(timeout):
            # Found out later, it would leave behind a step that takes records for nobody.
            return fail(InvalidConfig("timeout", timeout, "seconds, a number, or None"))
        wait = Deferred.fromCoroutine(step())
        if timeout is None:
            return wait
        topics = ", ".join(self._topics)
        return self._within(timeout, wait, lambda: f"no record of {topics} has come")

    def _within(self, seconds: float, wait: Deferred[T], missing: Callable[[], str]) -> Deferred[T]:
        """``wait``, which fails with WaitTimedOut if it takes longer."""
        seconds = max(0.0, seconds)
        left = TimeLeft.of(self._clock, seconds)
        return within(wait, left, lambda: WaitTimedOut(missing(), seconds))

    # Partitions and positions

    def _find(self, partition: int, topic: str | None) -> PartitionStream:
        self._must_run()
        if type(partition) is not int:
            raise InvalidConfig("partition", partition, "a whole number")
        if topic is None:
            if len(self._topics) > 1:
                raise UsageError(f"which topic's partition {partition}? there are several topics")
            (topic,) = self._topics
        stream = self._streams.get(Target(topic, partition))
        if stream is None:
            count = sum(target.topic == topic for target in self._streams)
            raise PartitionNotRead(topic, partition, count)
        return stream

    def _must_run(self) -> None:
        if self.closed:
            raise ConsumerClosed
        if self._state is not _State.RUNNING:
            raise NotStarted("consumer")

    def _ask(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Do ``work``, unless the consumer is closed before it is done."""
        asking = Deferred.fromCoroutine(work)
        self._asking[asking] = None

        def answered(result: T | Failure) -> T | Failure:
            self._asking.pop(asking, None)
            cancelled = isinstance(result, Failure) and result.check(CancelledError)
            return Failure(ConsumerClosed()) if cancelled and self.closed else result

        return asking.addBoth(answered)

    async def _lag(self, partition: int, topic: str | None) -> int:
        stream = self._find(partition, topic)
        end = await stream.ask_high_watermark()
        return max(0, end - self._outlet.position(stream))

    # Stored offsets

    def _may_store(self) -> None:
        self._must_run()
        if not self._reading.stores_offsets:
            raise OffsetManagementDisabled

    async def _commit(self, record: Record | None) -> None:
        self._may_store()
        if record is not None:
            await self._finish(record).bookmark.flush()
            return
        self._hand.finish()
        self._mark()
        await self._store()

    def _finish(self, record: Record) -> PartitionStream:
        """Note that a record's partition, which is returned, was processed up to it."""
        if not isinstance(record, Record):
            raise InvalidConfig("record", NotShown(type(record)), "a Record, or None for all")
        stream = self._find(record.partition, record.topic)
        why_not = self._outlet.why_not_handed_out(stream, record)
        if why_not is not None:
            raise RecordNotCommittable(f"{stream.target}@{record.offset}", why_not)
        assert record.offset is not None
        if stream is self._hand.source:
            # Or what is stored automatically would be behind it.
            self._hand.finish(record.offset)
        stream.bookmark.processed = record.offset + 1
        return stream

    async def _committed(self) -> dict[tuple[str, int], int]:
        self._must_run()
        if self._config.consumer_id is None:
            raise OffsetManagementDisabled
        stored = await self._ask_stored(self._cluster.config.request_timeout)
        # The user's offset store may go on though it was cancelled.
        self._must_run()
        return {
            (target.topic, target.partition): stored[target]
            for target in itertools.starmap(Target, self.partitions)
            if target in stored
        }

    async def _flush(self) -> None:
        self._may_store()
        if self._config.offsets is OffsetStrategy.AUTO:
            self._mark()
        await self._store()

    def _mark(self) -> None:
        """Note how far every partition was processed."""
        for stream in self._streams.values():
            position = self._outlet.processed(stream) if stream.touched else None
            if position is not None:
                stream.processed(position)

    def _flush_each(self) -> dict[Target, Deferred[None]]:
        self._mark()
        return {target: stream.bookmark.flush() for target, stream in self._streams.items()}

    async def _store(self) -> None:
        await _all(stream.bookmark.flush() for stream in self._streams.values())

    # Start and end

    def _checked_start(self, start: Offset | None) -> Offset:
        stores, name = self._reading.stores_offsets, self._config.consumer_id
        if start is None:
            start = Offset.stored() if stores else Offset.end()
        if not isinstance(start, Offset):
            raise InvalidConfig("start", start, "an Offset")
        resumes = start.kind is OffsetKind.STORED
        if resumes and name is None:
            raise InvalidConfig("start", start, "another Offset, or ConsumerConfig.consumer_id set")
        if name is not None and not stores and not resumes:
            # Whoever gives a name expects to resume, and would lose records without a word.
            raise InvalidConfig(
                "ConsumerConfig.offsets",
                self._config.offsets,
                "MANUAL or AUTO to store offsets under the consumer_id, or start=Offset.stored() "
                "to use those that are",
            )
        return start

    async def _start(self) -> None:
        try:
            await self._find_places()
        except Exception:
            if not self.closed:
                self._state = _State.CLOSED
                await self._shut()
                raise
        if self.closed:
            raise ConsumerClosed
        self._state = _State.RUNNING
        self._grow()
        if self._config.offsets is OffsetStrategy.AUTO:
            self._flusher.start()

    async def _find_places(self) -> None:
        left = TimeLeft.of(self._clock, self._cluster.config.request_timeout)
        chosen = await self._cluster.find(self._choose, timeout=left.seconds)
        stored = {}
        if self._start_at.kind is OffsetKind.STORED:
            stored = await self._ask_stored(left.seconds)
        if self.closed:
            # The user's offset store may have done that, or go on though it was cancelled.
            raise ConsumerClosed
        self._topology = self._cluster.topology
        self._unsubscribe = self._cluster.subscribe(self._topology_changed)
        self._add(chosen, self._start_at, stored)
        placed = Deferred.fromCoroutine(self._all_placed())
        try:
            await self._within(left.seconds, placed, self._why_not_placed)
        except WaitTimedOut as error:
            error.__cause__ = error.__cause__ or self._trouble()
            raise

    async def _ask_stored(self, seconds: float) -> dict[Target, int]:
        name = self._config.consumer_id
        assert name is not None
        if self._config.offset_store is not None:
            return await self._within(
                seconds,
                Deferred.fromCoroutine(kept_offsets(self._config.offset_store, name)),
                lambda: f"the offset store has not told how far {name} has come",
            )
        return await self._cluster.retrying.call(
            lambda left: stored_offsets(self._cluster, name, left),
            seconds=seconds,
            again=may_succeed,
        )

    async def _all_placed(self) -> None:
        while True:
            for stream in self._streams.values():
                if stream.failure is not None:
                    raise stream.failure
            if all(stream.placed for stream in self._streams.values()):
                return
            await self._outlet.turn()

    def _why_not_placed(self) -> str:
        lost = enumerated([target for target, s in self._streams.items() if not s.placed])
        why = self._trouble() or "nobody leads it, or its leader is silent"
        return f"where to start in {lost} is not known: {why}"

    def _trouble(self) -> FluvioError | None:
        """What keeps the first of those without a place from finding it, if anything was seen."""
        troubles = [stream.trouble for stream in self._streams.values() if not stream.placed]
        return next((trouble for trouble in troubles if trouble is not None), None)

    def _choose(self, topology: Topology) -> list[Target]:
        """The partitions that are to be read, of those there are.

        :raises TopicNotFound: there is no such topic.
        :raises PartitionNotFound: one that was asked for by number is not there.
        """
        chosen = []
        for name, selection in self._selections.items():
            count = topology.topic(name).partition_count
            for missing in selection.missing(range(count)):
                raise PartitionNotFound(name, missing, count)
            chosen += [Target(name, number) for number in selection.choose(range(count))]
        return chosen

    def _topology_changed(self, topology: Topology) -> None:
        before, self._topology = self._topology, topology
        changed = {name: topology.changed(name, before) for name in self._topics}
        if not any(changed.values()):
            return
        for target, stream in self._streams.items():
            if target.partition in changed[target.topic]:
                stream.topology_changed(topology)
        if _counts(topology, self._topics) != _counts(before, self._topics):
            self._grow()

    def _grow(self) -> None:
        """Read the partitions that were added, too."""
        if self._state is _State.RUNNING and self._reading.stop is None:
            targets = []
            for name, selection in self._selections.items():
                topic = self._topology.topics.get(name)
                if topic is None or not selection.grows:
                    continue
                count = topic.partition_count
                if topic.usable:
                    targets += [Target(name, number) for number in selection.choose(range(count))]
                else:
                    self._log.warn(
                        "{topic} has {count} partitions now: none is added", topic=name, count=count
                    )
            self._add([t for t in targets if t not in self._streams], Offset.beginning(), {})

    def _add(self, targets: list[Target], start: Offset, stored: dict[Target, int]) -> None:
        if not targets:
            return
        count = len(self._streams) + len(targets)
        slot = self._slot(count)
        for stream in self._streams.values():
            stream.resize(slot)
        for target in targets:
            stream = PartitionStream(
                self._outlet,
                self._cluster,
                target,
                self._reading,
                start=start,
                stored=stored.get(target),
                allowance=self._budget.join(slot),
            )
            self._streams[target] = stream
            stream.run()
        for stream in self._streams.values():
            stream.relieve()

    def _slot(self, streams: int) -> int:
        """Bytes that each of so many streams may always have."""
        largest = max(1, self._cluster.config.max_frame_size - FRAME_RESERVE)
        size = min(self._config.push_size, largest)
        # What SmartModules yield beyond what a push may bring is lost without a word.
        return size if self._reading.chain else slot_size(self._config.buffer_memory, streams, size)

    async def _close(self, before: _State) -> None:
        self._flusher.stop()
        storing = before is _State.RUNNING and self._config.offsets is OffsetStrategy.AUTO
        if storing:
            self._mark()
        self._outlet.close()
        for asking in list(self._asking):
            asking.cancel()
        if before is _State.STARTING and self._starting is not None:
            self._starting.cancel()
        try:
            if storing:
                await self._within(
                    self._cluster.config.connect_timeout,
                    Deferred.fromCoroutine(self._store()),
                    lambda: "the offsets of what was processed last are not stored",
                )
        finally:
            await self._shut()

    def _hurry(self, cancelled: Failure) -> Failure:
        """Do not wait for anything to be stored: somebody who waits for the end wants it now."""
        for stream in self._streams.values():
            stream.bookmark.fail(ConsumerClosed())
        return cancelled

    def _shut(self) -> Deferred[None]:
        """Let go of everything; fires when the connections are gone.

        Cancelling ends only that waiting: whoever else waits for the end is told all the same.
        """
        self._unsubscribe()
        self._outlet.close()
        self._topology = Topology()
        streams, self._streams = self._streams, {}
        shut = self._when_gone.add()
        DeferredList([stream.close() for stream in streams.values()]).addCallback(self._all_gone)
        return shut

    def _all_gone(self, _: object) -> None:
        self._gone = True
        for waiter in self._when_gone.take():
            waiter.callback(None)


def _nothing() -> None:
    pass


def _names(topics: str | Iterable[str]) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    if isinstance(topics, str):
        names = (topics,)
    elif isinstance(topics, Iterable) and not isinstance(topics, Mapping):
        # Who gives a mapping means something by its values.
        names = tuple(topics)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidConfig("topics", topics, "the name of a topic, or several")
    return tuple(dict.fromkeys(names))


def _counts(topology: Topology, names: Iterable[str]) -> list[int]:
    """How many partitions each topic has; none where it is not there."""
    topics = [topology.topics.get(name) for name in names]
    return [0 if topic is None else topic.partition_count for topic in topics]


def _checked_stop(stop: Offset | None) -> Offset | None:
    if stop is not None and (not isinstance(stop, Offset) or stop.kind is OffsetKind.STORED):
        raise InvalidConfig("stop", stop, "an Offset other than stored, or None")
    return stop


async def _all(deferreds: Iterable[Deferred[None]]) -> None:
    """Wait for all of them; the first failure is raised, if there is one."""
    results: list[tuple[bool, Any]] = await DeferredList(list(deferreds), consumeErrors=True)
    for good, result in results:
        if not good:
            result.raiseException()
