"""The producer: what a user calls to get records stored.

A :class:`Producer` checks what it is given and gathers it for a turn of the reactor; then it
chooses partitions and fills their queues, within a bound on what is held. A sender for each
partition does the rest (:mod:`txfluvio.producer.sender`). Every record accepted ends in exactly one
outcome: it is stored, at an offset or at one that the broker does not tell, or it ends in an error,
whose ``effect`` says whether it may be stored all the same.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from ..cluster import Chain, Cluster, Topology
from ..config import ProducerConfig
from ..errors import (
    AlreadyRunning,
    CompressionConflict,
    DeliveryTimedOut,
    Effect,
    FluvioError,
    NotStarted,
    ProducerClosed,
    TopicNotFound,
)
from ..interfaces import IFluvioProducer
from ..wire.compression import Compression
from ..wire.sc import TopicCompression, TopicSpec
from .budget import Budget
from .checks import OVERHEAD, Given, check_record, check_timestamp, columns
from .intake import Intake
from .outcomes import THEIR_OWN, Countdown, Each, Many, Origin, Submission, Telling
from .placement import Placement
from .sender import Sender, Shared
from .stored import RecordMetadata, StoredRecords
from .turn import Turn

EXPIRY_FRACTION = 0.01
"""The shortest time between two looks at what is late, as a part of ``delivery_timeout``.

A record may be given up that much after its time-out. Each look goes over all partitions with
records, which would take too long if it were made for each of thousands that end one by one.
"""


class _State(enum.Enum):
    NEW = "not started"
    STARTING = "starting"
    RUNNING = "running"
    CLOSING = "sending what is left"
    CLOSED = "closed"


_RUNNING = _State.RUNNING
"""Looked up once: before Python 3.12 that takes as long as encoding a record."""


@implementer(IFluvioProducer)
class Producer:
    """Gets records of one topic stored.

    Made by ``client.producer(topic)``; making one does no I/O. Enter it with ``async with``, or
    call :meth:`start` and later :meth:`close`.

    Records of one partition are stored in the order they were sent: a partition has one request
    under way at a time, and what is sent meanwhile leaves together with the next. Under
    at-least-once an attempt that failed is made again, to the leader of the moment, until
    ``delivery_timeout``; a record may then be stored twice, or, if a leader refuses one batch of a
    request and takes the next, behind later ones. Under at-most-once a request that has left is
    never sent again.

    With ``ProducerConfig.smartmodules`` what is stored is what the SPU makes of each batch: perhaps
    fewer records, or others, or none. The sender learns that it was accepted, not at which offset.
    Where a module fails on a record, nothing of its batch is stored, and whoever sent one of its
    records gets the ``SmartModuleRuntimeError``.

    :param cluster: the cluster floor of the client.
    :param topic: the name of the topic.
    :param budget: bounds what the producers of a client hold together.
    :param now: the time of day that records are stamped with, seconds since the Unix epoch.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        config: ProducerConfig | None = None,
        *,
        budget: Budget,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config = config = config or ProducerConfig()
        self._cluster = cluster
        self._clock = cluster.clock
        self._now = now
        self._surely_fits = config.max_request_size - OVERHEAD
        self._state = _State.NEW
        self._placement = Placement(topic, config.partitioner)
        self._intake = Intake(
            config.buffer_memory, budget, take_in=self._take_in, hurry=self._hurry
        )
        self._telling = Telling(self._settled)
        self._turn = Turn(cluster.clock, self._submit_gathered)
        self._shared = Shared(
            topic=topic,
            config=config,
            cluster=cluster,
            chain=Chain(config.smartmodules),
            hurried=self._hurried,
            release=self._intake.release,
            telling=self._telling,
            turn=self._turn,
        )
        self._origin = Origin(topic, self._intake.withdraw, self._emptied, self._telling)
        self._each: Each | None = None
        self._senders: dict[int, Sender] = {}
        self._filled: dict[Sender, None] = {}
        self._unflushed: dict[Sender, None] = {}
        self._flushes: dict[Countdown, None] = {}
        self._latest_flush: Countdown | None = None
        self._closes: dict[Deferred[None], None] = {}
        self._closing_since = 0.0
        self._starting: Deferred[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._expire_call: IDelayedCall | None = None
        self._close_call: IDelayedCall | None = None

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return self._shared.topic

    @property
    def config(self) -> ProducerConfig:
        """The settings."""
        return self._config

    @property
    def buffered(self) -> int:
        """Bytes of records taken in that have no outcome yet, before compression."""
        self._submit_gathered()
        return self._intake.held

    @property
    def closed(self) -> bool:
        """Whether it takes in no more, by whomever it was closed."""
        return self._state in (_State.CLOSING, _State.CLOSED)

    def __repr__(self) -> str:
        return f"<Producer of {self.topic!r}: {self._state.value}>"

    # The beginning.

    def start(self) -> Deferred[None]:
        """Check that the topic can be produced to, and be ready: what ``async with`` does first.

        Cancelling it, or its failing, leaves the producer not started.

        :raises TopicNotFound: there is no such topic.
        :raises ProtocolError: it has more than 100,000 partitions.
        :raises CompressionConflict: the topic demands another codec than the configured one. If
            none is configured, the one that the topic demands is used.
        :raises WaitTimedOut: the cluster was not known within ``connect_timeout``.
        :raises AlreadyRunning: it was started before.
        :raises ProducerClosed: it was closed, or its client was, before this or meanwhile.
        :raises NotStarted: the client was not started.
        """
        if self.closed:
            return fail(ProducerClosed())
        if self._state is not _State.NEW:
            return fail(AlreadyRunning("producer"))
        self._state = _State.STARTING
        starting = Deferred.fromCoroutine(self._start())
        if self._state is _State.STARTING:
            self._starting = starting
        return starting

    async def _start(self) -> None:
        topic = self.topic
        try:
            topology = await self._cluster.find(
                lambda topology: _with(topology, topic),
                timeout=self._cluster.config.connect_timeout,
            )
            self._shared.compression = _codec(topic, topology.topics[topic].spec, self._config)
        except BaseException as error:
            if self._state is _State.CLOSED:
                raise ProducerClosed() from error
            self._state = _State.NEW
            raise
        finally:
            self._starting = None
        self._state = _State.RUNNING
        self._follow(topology)
        self._unsubscribe = self._cluster.subscribe(self._follow)
        self._intake.open()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _follow(self, topology: Topology) -> None:
        topic = topology.topics.get(self.topic)
        if topic is None or not topic.partition_count:
            # Deleted: what is sent now finds out, and fails by that name.
            return
        self._placement.follow(topic)
        if self._config.compression is None:
            # One of this name that was made anew may demand another.
            self._shared.compression = _codec(self.topic, topic.spec, self._config)
        changed = topic.spec.deduplication is not None or self._shared.chain
        self._shared.tells_offsets = not changed

    # Records in.

    def send(
        self,
        value: bytes,
        key: bytes | None = None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Deferred[RecordMetadata]:
        """Send a record, and get to know where it was stored.

        While the producer, or all of the client, hold ``buffer_memory`` bytes, it waits its turn;
        the Deferred covers that too. Cancelling withdraws the record if it has not left yet; if it
        has, only the wait ends, and the record may be stored.

        The call itself raises nothing: every error comes by the Deferred. What the caller did wrong
        has failed it by the time it is returned.

        :param key: decides the partition, so that equal keys meet in one, for as long as the topic
            gets no more partitions; may be empty.
        :param partition: its partition; None: the partitioner chooses.
        :param timestamp: milliseconds since the Unix epoch; None: now.
        :raises InvalidRecord: a wrong type, or a timestamp out of range.
        :raises PartitionNotFound: the topic has no such partition.
        :raises RecordTooLarge: alone it makes a batch above ``max_request_size``.
        :raises NotStarted: it is not started; or :class:`ProducerClosed`, it is closed.
        :raises DeliveryTimedOut: it could not be stored in time. Its ``effect`` says whether it may
            be stored all the same, its ``__cause__`` what went wrong last.
        :raises SmartModuleError: a SmartModule could not run, or failed on a record of its batch.
        :raises ReplicationTimedOut: it is stored, but its replicas were not confirmed in time.
        :raises BrokerError: the broker refused it.
        :raises FluvioError: it can not be sent, or under at-most-once it is not known whether it
            was stored: see its ``effect``.
        """
        try:
            if self._state is not _RUNNING:
                raise self._not_running()
            # Most are a value and no more, and short: one step less where there are millions.
            if key is not None or type(value) is not bytes or len(value) > self._surely_fits:
                check_record(key, value, self._config.max_request_size)
            if partition is not None or self._placement.custom:
                partition = self._placement.place(key, value, partition)
                self._check_running()
            if timestamp is None:
                stamp = int(self._now() * 1000)
            else:
                check_timestamp(timestamp)
                stamp = THEIR_OWN
        except Exception as error:
            return fail(error)
        each = self._each
        if each is None or each.timestamp != stamp:
            each = self._gather(stamp)
        deferred: Deferred[RecordMetadata] = Deferred(each.cancel)
        each.rows += (key, value, timestamp, partition, deferred)
        return deferred

    def send_many(
        self,
        records: Iterable[Given],
        *,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Deferred[Sequence[RecordMetadata]]:
        """Send records, and get to know where they were stored: the fast way for many.

        They are taken in as there is room, in their order, and one Deferred stands for all. Either
        every record is accepted or none is. Cancelling withdraws those that have not left yet.

        :param records: values, or pairs of key and value.
        :param partition: the partition of all; None: the partitioner chooses for each.
        :param timestamp: of all, milliseconds since the Unix epoch; None: now.
        :returns: where each was stored, in the order given.
        :raises NotAllStored: some were not stored: says what became of each.
        :raises InvalidRecord: as for :meth:`send`; likewise :class:`PartitionNotFound`,
            :class:`RecordTooLarge`, :class:`NotStarted` and :class:`ProducerClosed`.
        """
        try:
            if self._state is not _RUNNING:
                raise self._not_running()
            keys, values = columns(records, self._config.max_request_size)
            stamp = int(self._now() * 1000) if timestamp is None else check_timestamp(timestamp)
            self._submit_gathered()
            lots = self._placement.group(keys, values, partition)
            self._check_running()
        except Exception as error:
            return fail(error)
        if not lots:
            return succeed(StoredRecords(self.topic, stamp, 0, []))
        many = Many(self._origin, lots, stamp, self._clock.seconds())
        self._submit(many)
        return many.deferred

    def _not_running(self) -> FluvioError:
        if self._state in (_State.NEW, _State.STARTING):
            return NotStarted("producer")
        return ProducerClosed()

    def _check_running(self) -> None:
        """What a user passed, a partitioner or an iterable, may have closed the producer."""
        if self._state is not _RUNNING:
            raise self._not_running()

    def _gather(self, timestamp: int) -> Each:
        """Gather what is sent from now on: taken in together, it takes half the time."""
        self._submit_gathered()
        self._each = Each(self._origin, timestamp, self._clock.seconds())
        self._turn.look_later()
        return self._each

    def _submit_gathered(self) -> None:
        """Take in what was gathered."""
        each, self._each = self._each, None
        if each is not None:
            each.line_up(self._placement.group_placed(*each.close()))
            if each.lots:
                self._submit(each)

    def _submit(self, submission: Submission) -> None:
        self._watch_time()
        self._intake.add(submission)

    def _take_in(self, submission: Submission) -> None:
        """Move the records that have waited longest into a batch, as many as it holds."""
        lot = submission.lots[0]
        sender = self._sender(lot.partition)
        stop, grown = sender.queue.extend(
            lot.keys,
            lot.values,
            lot.start,
            lot.timestamps or submission.timestamp,
            submission.since,
        )
        batch = sender.queue.last
        submission.take_in(batch, lot, batch.count - (stop - lot.start), stop)
        if stop < len(lot.values):
            submission.lots.rotate(-1)
        else:
            submission.lots.popleft()
        self._filled[sender] = self._unflushed[sender] = None
        self._intake.hold(grown)
        self._turn.stir(sender)

    def _emptied(self, partition: int) -> None:
        self._turn.stir(self._sender(partition))

    # Records out.

    def _sender(self, partition: int) -> Sender:
        sender = self._senders.get(partition)
        if sender is None:
            sender = self._senders[partition] = Sender(partition, self._shared)
        return sender

    def _holding(self) -> list[Sender]:
        """The senders with records that have no outcome, in the order in which they got some.

        Of many partitions that were used sometime, few may be in use.
        """
        self._filled = {sender: None for sender in self._filled if sender.since is not None}
        return list(self._filled)

    def _hurry(self) -> None:
        # The others go on by themselves: of thousands that hold records, all may do so.
        for sender in self._shared.lingering:
            self._turn.stir(sender)

    def _hurried(self) -> bool:
        """Whether nothing should linger now."""
        return bool(self._flushes or self._state is not _RUNNING or self._intake.tight)

    def _watch_time(self) -> None:
        """See to it that what was just sent is given up in time: one timer does for all."""
        if self._expire_call is None:
            self._expire_call = self._clock.callLater(self._config.delivery_timeout, self._expire)

    def _expire(self) -> None:
        now, timeout = self._clock.seconds(), self._config.delivery_timeout
        self._submit_gathered()
        with self._telling:
            for submission in self._intake.late(now, timeout):
                submission.give_up(partial(self._no_room, submission.since, timeout))
            for sender in self._holding():
                sender.expire(now)
        self._expire_call = None
        if self._state is _State.CLOSED:
            return
        # Everywhere those that came first are first.
        fronts = [self._intake.since, *(sender.since for sender in self._holding())]
        times = [since for since in fronts if since is not None]
        if times:
            delay = max(min(times) + timeout - now, timeout * EXPIRY_FRACTION)
            self._expire_call = self._clock.callLater(delay, self._expire)

    def _no_room(self, since: float, seconds: float, partition: int) -> FluvioError:
        """What records fail with that waited for room in vain; it counts as that of a batch."""
        error = DeliveryTimedOut(f"{self.topic}/{partition}", seconds, effect=Effect.NONE)
        waited = self._clock.seconds() - since
        error.__cause__ = self._cluster.timed_out("no room in buffer_memory", waited)
        self._cluster.metrics.failed("produce", error)
        return error

    # The end.

    def flush(self) -> Deferred[None]:
        """Send what was taken in so far without lingering, and wait until all has its outcome.

        It never fails by what becomes of a record: that is told to whoever sent it. Cancelling ends
        the wait and nothing else.

        :raises NotStarted: it is not started; or :class:`ProducerClosed`, it is closed.
        """
        if self._state not in (_State.RUNNING, _State.CLOSING):
            return fail(self._not_running())
        self._submit_gathered()
        countdown = Countdown(self._flushed, self._latest_flush)
        # Who got nothing since the one before has nothing that it does not wait for.
        for sender in self._unflushed:
            countdown.watch(sender.batches)
        self._unflushed.clear()
        countdown.follow(reversed(self._intake))
        self._telling.delay(countdown)
        if countdown.done:
            return succeed(None)
        self._latest_flush = countdown
        self._flushes[countdown] = None
        self._hurry()
        return countdown.deferred

    def _flushed(self, countdown: Countdown) -> None:
        self._flushes.pop(countdown, None)

    def close(self) -> Deferred[None]:
        """Accept no more, send what was accepted, and wait for its outcome.

        What has none after ``close_timeout`` is given up with :class:`DeliveryTimedOut`.
        Cancelling gives it up now. It never fails, and may be called at any time and again.
        """
        if self._state in (_State.NEW, _State.STARTING):
            self._state = _State.CLOSED
            if self._starting is not None:
                self._starting.cancel()
        if self._state is _State.CLOSED:
            return succeed(None)
        closed: Deferred[None] = Deferred(self._close_cancelled)
        self._closes[closed] = None
        if self._state is _State.RUNNING:
            self._submit_gathered()
            self._state = _State.CLOSING
            self._closing_since = self._clock.seconds()
            self._close_call = self._clock.callLater(self._config.close_timeout, self._close_late)
            self._hurry()
            self._settled()
        return closed

    def _close_cancelled(self, closed: Deferred[None]) -> None:
        self._closes.pop(closed, None)
        self._give_up()

    def _close_late(self) -> None:
        self._close_call = None
        self._give_up()

    def _give_up(self) -> None:
        seconds = self._clock.seconds() - self._closing_since
        waiting = self._intake.clear()
        with self._telling:
            for sender in list(self._senders.values()):
                sender.abandon(seconds)
            for submission in waiting:
                submission.give_up(partial(self._no_room, submission.since, seconds))
        if not self._telling.under_way:
            self._finish()

    def _settled(self) -> None:
        if self._state is _State.CLOSING and self._intake.idle and not self._telling.under_way:
            self._finish()

    def _finish(self) -> None:
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._turn.stop()
        for call in (self._expire_call, self._close_call):
            if call is not None and call.active():
                call.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._intake.close()
        for sender in self._senders.values():
            sender.abandon(0.0)
        closes, self._closes = self._closes, {}
        for closed in closes:
            # One may have been cancelled by another.
            if not closed.called:
                closed.callback(None)


def _with(topology: Topology, name: str) -> Topology:
    """The topology, if there is such a topic and it has partitions."""
    if not topology.topic(name).partition_count:
        raise TopicNotFound(what=f"topic {name}")
    return topology


def _codec(topic: str, spec: TopicSpec, config: ProducerConfig) -> Compression:
    demanded, chosen = spec.compression_type, config.compression
    if demanded is TopicCompression.ANY:
        return Compression[(chosen or "none").upper()]
    if chosen is not None and chosen.upper() != demanded.name:
        raise CompressionConflict(topic, demanded.name.lower(), chosen)
    return Compression[demanded.name]
