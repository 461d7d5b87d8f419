"""The producer: what a user calls to get records stored.

A :class:`Producer` checks what it is given, chooses the partition, and puts the record in that
partition's queue, within a bound on what is held; a sender for each partition does the rest
(:mod:`txfluvio.producer.sender`). Every record accepted ends in exactly one outcome: it is stored,
at an offset or at one that the broker does not tell, or it ends in an error, whose ``effect`` says
whether it may be stored all the same.
"""

from __future__ import annotations

import enum
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from types import NoneType, TracebackType
from typing import Any, Self, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from ..cluster.cluster import Cluster
from ..cluster.topology import PartitionInfo, Topology
from ..config import ProducerConfig
from ..errors import (
    AlreadyRunning,
    CompressionConflict,
    DeliveryTimedOut,
    Effect,
    FluvioError,
    InvalidRecord,
    NotStarted,
    PartitionNotFound,
    ProducerClosed,
    RecordTooLarge,
    TopicNotFound,
    WaitTimedOut,
)
from ..interfaces import IFluvioProducer
from ..wire.compression import Compression
from ..wire.sc import PartitionResolution, TopicCompression, TopicSpec
from .accumulator import OVERHEAD, size_alone
from .budget import Budget
from .outcomes import Countdown, Lot, Many, One, RecordMetadata, StoredRecords
from .partitioner import SiphashRoundRobinPartitioner
from .sender import Sender, Shared

_LATEST_TIMESTAMP = 2**63 - 1


TOPIC_GRACE = 1.0
"""Seconds that starting waits for a topic which was perhaps created a moment ago."""


class _State(enum.Enum):
    NEW = "not started"
    STARTING = "starting"
    RUNNING = "running"
    CLOSING = "sending what is left"
    CLOSED = "closed"


@implementer(IFluvioProducer)
class Producer:
    """Gets records of one topic stored.

    Made by ``client.producer(topic)``; making one does no I/O. Enter it with ``async with``, or
    call :meth:`start` and later :meth:`close`.

    Records of one partition are stored in the order they were sent: a partition has one request
    under way at a time, and what is sent meanwhile leaves together with the next. Under
    at-least-once an attempt that failed is made again, to the leader of the moment, until
    ``delivery_timeout``; a record may then be stored twice. Under at-most-once a request that has
    left is never sent again.

    :param cluster: the cluster floor of the client.
    :param topic: the name of the topic.
    :param budget: bounds what the producers of a client hold together.
    :param rng: shortens the waits between attempts by chance.
    :param now: the time of day that records are stamped with, seconds since the Unix epoch.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        config: ProducerConfig | None = None,
        *,
        clock: IReactorTime,
        budget: Budget,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config = config = config or ProducerConfig()
        self._cluster = cluster
        self._clock = clock
        self._now = now
        self._state = _State.NEW
        self._shared = Shared(
            topic=topic,
            config=config,
            cluster=cluster,
            clock=clock,
            random=rng or random.Random(),
            compression=Compression.NONE,
            tells_offsets=True,
            hurried=self._hurried,
            release=self._release,
            settled=self._settled,
        )
        self._partitioner: Any = config.partitioner or SiphashRoundRobinPartitioner()
        self._choose: Callable[[bytes | None, bytes, int, Sequence[int]], int]
        self._choose = self._partitioner.choose
        self._partition_count = 0
        self._online: tuple[int, ...] = ()
        self._senders: dict[int, Sender] = {}
        self._stirred: dict[Sender, None] = {}
        self._budget = budget
        self._held = 0
        self._waiting: deque[Many] = deque()
        self._flushes: dict[Countdown, None] = {}
        self._closes: dict[Deferred[None], None] = {}
        self._closing_since = 0.0
        self._starting: Deferred[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._look_call: IDelayedCall | None = None
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
        return self._held

    def __repr__(self) -> str:
        return f"<Producer of {self.topic!r}: {self._state.value}>"

    # The beginning.

    def start(self) -> Deferred[None]:
        """Check that the topic can be produced to, and be ready: what ``async with`` does first.

        Cancelling leaves the producer not started.

        :raises TopicNotFound: there is no such topic.
        :raises CompressionConflict: the topic demands another codec than the configured one. If
            none is configured, the one that the topic demands is used.
        :raises AlreadyRunning: it was started before.
        :raises ProducerClosed: it was closed.
        """
        if self._state in (_State.CLOSING, _State.CLOSED):
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
            topology = await self._topology_with(topic)
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
        self._budget.join(self)

    async def _topology_with(self, topic: str) -> Topology:
        cluster = self._cluster
        if not cluster.topology.loaded:
            await cluster.wait_for(
                lambda topology: topology.loaded or None,
                missing="the cluster has not told its topics",
                timeout=cluster.config.connect_timeout,
            )
        if not _is_there(cluster.topology, topic):
            try:
                await cluster.wait_for(
                    lambda topology: _is_there(topology, topic) or None,
                    missing=f"topic {topic} is not known",
                    timeout=TOPIC_GRACE,
                )
            except WaitTimedOut as error:
                raise TopicNotFound(what=f"topic {topic}") from error
        return cluster.topology

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
        self._partition_count = topic.partition_count
        self._online = tuple(
            sorted(number for number, found in topic.partitions.items() if _takes_turns(found))
        )
        self._shared.tells_offsets = topic.spec.deduplication is None

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

        :param key: decides the partition, so that equal keys meet in one; may be empty.
        :param partition: its partition; None: the partitioner chooses.
        :param timestamp: milliseconds since the Unix epoch; None: now.
        :raises InvalidRecord: at once: a wrong type, or a timestamp out of range.
        :raises PartitionNotFound: at once: the topic has no such partition.
        :raises RecordTooLarge: at once: alone it makes a batch above ``max_request_size``.
        :raises NotStarted: at once; so is :class:`ProducerClosed`.
        :raises DeliveryTimedOut: it could not be stored in time. Its ``effect`` says whether it may
            be stored all the same, its ``__cause__`` what went wrong last.
        :raises ReplicationTimedOut: it is stored, but its replicas were not confirmed in time.
        :raises BrokerError: the broker refused it.
        :raises FluvioError: it can not be sent, or under at-most-once it is not known whether it
            was stored: see its ``effect``.
        """
        try:
            self._check_running()
            if not isinstance(value, bytes):
                raise _not_bytes("value", value)
            size = len(value)
            if key is not None:
                if not isinstance(key, bytes):
                    raise _not_bytes("key", key)
                size += len(key)
            if size + OVERHEAD > self._config.max_request_size:
                self._check_size(key, value)
            if partition is None:
                partition = self._choose(key, value, self._partition_count, self._online)
            if type(partition) is not int or not 0 <= partition < self._partition_count:
                self._check_partition(partition)
            stamp = int(self._now() * 1000) if timestamp is None else _checked(timestamp)
        except Exception as error:
            return fail(error)
        now = self._clock.seconds()
        if self._waiting or not self._has_room():
            lot = Lot(partition, None if key is None else [key], [value], range(1))
            one = One(self.topic, [lot], stamp, now, self._withdrawn)
            self._queue(one)
            return one.deferred
        sender = self._senders.get(partition) or self._sender(partition)
        grown = sender.queue.append(key, value, stamp, now)
        batch = sender.queue.last
        index = batch.builder.count - 1
        deferred: Deferred[RecordMetadata] = Deferred(batch.withdraw)
        batch.receipts.append((index, 1, stamp, deferred))
        self._hold(grown)
        if not index or batch.closed:
            self._stir(sender)
        return deferred

    def send_many(
        self,
        records: Iterable[bytes | tuple[bytes | None, bytes]],
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
        :raises InvalidRecord: at once, as for :meth:`send`; likewise :class:`PartitionNotFound`,
            :class:`RecordTooLarge`, :class:`NotStarted` and :class:`ProducerClosed`.
        """
        try:
            self._check_running()
            stamp = int(self._now() * 1000) if timestamp is None else _checked(timestamp)
            lots = self._lots(_listed(records), partition)
        except Exception as error:
            return fail(error)
        if not lots:
            return succeed(StoredRecords(self.topic, stamp, 0, []))
        many = Many(self.topic, lots, stamp, self._clock.seconds(), self._withdrawn)
        self._queue(many)
        return many.deferred

    def _lots(
        self, records: list[bytes | tuple[bytes | None, bytes]], partition: int | None
    ) -> list[Lot]:
        if not records:
            return []
        keys, values = _columns(records)
        longest = max(map(len, values))
        if keys is not None:
            longest += max(len(key or b"") for key in keys)
        if longest + OVERHEAD > self._config.max_request_size:
            for index, value in enumerate(values):
                self._check_size(None if keys is None else keys[index], value)
        if partition is not None:
            self._check_partition(partition)
            return [Lot(partition, keys, values, range(len(values)))]
        chooser = self._partitioner
        if keys is None and isinstance(chooser, SiphashRoundRobinPartitioner):
            return [
                Lot(place, None, values[taken.start : taken.stop : taken.step], taken)
                for place, taken in chooser.choose_turns(
                    len(values), self._partition_count, self._online
                )
            ]
        if isinstance(chooser, SiphashRoundRobinPartitioner):
            places = chooser.choose_all(keys or (), self._partition_count, self._online)
        else:
            places = [
                self._choose(key, value, self._partition_count, self._online)
                for key, value in zip(keys or repeat(None), values, strict=False)
            ]
        positions: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if place in positions:
                positions[place].append(position)
            else:
                self._check_partition(place)
                positions[place] = [position]
        return [
            Lot(place, keys and [keys[p] for p in taken], [values[p] for p in taken], taken)
            for place, taken in positions.items()
        ]

    def _check_running(self) -> None:
        if self._state is not _State.RUNNING:
            if self._state in (_State.NEW, _State.STARTING):
                raise NotStarted("producer")
            raise ProducerClosed()

    def _check_size(self, key: bytes | None, value: bytes) -> None:
        size, limit = size_alone(key, value), self._config.max_request_size
        if size > limit:
            raise RecordTooLarge(size, limit)

    def _check_partition(self, partition: int) -> None:
        if not isinstance(partition, int) or isinstance(partition, bool):
            raise InvalidRecord(
                f"the partition is {type(partition).__name__}: expected a whole number"
            )
        if not 0 <= partition < self._partition_count:
            raise PartitionNotFound(self.topic, partition, self._partition_count)

    # The bound on what is held.

    def _has_room(self) -> bool:
        return self._held < self._config.buffer_memory and self._budget.admits(self)

    def _hold(self, size: int) -> None:
        self._held += size
        self._budget.take(size)

    def _queue(self, many: Many) -> None:
        self._waiting.append(many)
        self._watch_time()
        self._admit()
        if self._waiting and self._waiting[0] is many:
            self.hurry()

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            self._take_in()

    def _take_in(self) -> None:
        """Put as many of the records that have waited longest as one batch holds into it."""
        many = self._waiting[0]
        lot = many.lots[0]
        sender = self._sender(lot.partition)
        stop, grown = sender.queue.extend(
            lot.keys, lot.values, lot.start, many.timestamp, many.since
        )
        batch = sender.queue.last
        many.take_in(batch, lot, batch.count - (stop - lot.start), stop)
        if stop < len(lot.values):
            many.lots.rotate(-1)
        else:
            many.lots.popleft()
            if not many.lots:
                self._waiting.popleft()
        self._hold(grown)
        self._stir(sender)

    def room(self) -> bool:
        """Called by the budget when it is this producer's turn."""
        if self._waiting and self._held < self._config.buffer_memory:
            self._take_in()
        return bool(self._waiting) and self._held < self._config.buffer_memory

    def hurry(self) -> None:
        """Called by the budget when somebody waits: let nothing linger."""
        for sender in self._senders.values():
            if len(sender.queue):
                self._stir(sender)

    def _release(self, size: int) -> None:
        self._held -= size
        self._budget.give(size)
        self._admit()

    def _withdrawn(self, many: Many) -> None:
        if many in self._waiting:
            self._waiting.remove(many)
            if not self._waiting:
                self._budget.renounce(self)
            self._settled()

    # Records out.

    def _sender(self, partition: int) -> Sender:
        sender = self._senders.get(partition)
        if sender is None:
            sender = self._senders[partition] = Sender(partition, self._shared)
        return sender

    def _stir(self, sender: Sender) -> None:
        """Have a sender look at its queue at the end of this turn of the reactor.

        Not at once: what is sent in a row leaves together, also without linger.
        """
        self._stirred[sender] = None
        if self._look_call is None:
            self._look_call = self._clock.callLater(0, self._look)
        self._watch_time()

    def _look(self) -> None:
        self._look_call = None
        stirred, self._stirred = self._stirred, {}
        for sender in stirred:
            sender.look()

    def _hurried(self) -> bool:
        return bool(
            self._waiting or self._flushes or self._budget.tight or self._state is _State.CLOSING
        )

    def _watch_time(self) -> None:
        """See to it that what was just sent is given up in time: one timer does for all."""
        if self._expire_call is None:
            self._expire_call = self._clock.callLater(self._config.delivery_timeout, self._expire)

    def _expire(self) -> None:
        now, timeout = self._clock.seconds(), self._config.delivery_timeout
        late = []
        while self._waiting and self._waiting[0].since + timeout <= now:
            late.append(self._waiting.popleft())
        if not self._waiting:
            self._budget.renounce(self)
        for many in late:
            many.give_up(lambda partition: self._no_room(partition, timeout))
        for sender in list(self._senders.values()):
            sender.expire(now)
        self._settled()
        self._expire_call = None
        if self._state is _State.CLOSED:
            return
        ends = [
            batch.created + timeout for sender in self._senders.values() for batch in sender.held
        ]
        ends += [many.since + timeout for many in self._waiting]
        # What is under way and too old ends with its request.
        ahead = [end for end in ends if end > now]
        if ahead:
            self._expire_call = self._clock.callLater(min(ahead) - now, self._expire)

    def _no_room(self, partition: int, seconds: float) -> FluvioError:
        error = DeliveryTimedOut(f"{self.topic}/{partition}", seconds, effect=Effect.NONE)
        error.__cause__ = WaitTimedOut("no room in buffer_memory", seconds)
        return error

    # The end.

    def flush(self) -> Deferred[None]:
        """Send what was taken in so far without lingering, and wait until all has its outcome.

        It never fails by what becomes of a record: that is told to whoever sent it. Cancelling ends
        the wait and nothing else.

        :raises NotStarted: at once; so is :class:`ProducerClosed`.
        """
        if self._state is not _State.CLOSING:
            try:
                self._check_running()
            except FluvioError as error:
                return fail(error)
        countdown = Countdown(self._flushed)
        for sender in self._senders.values():
            for batch in sender.held:
                countdown.watch(batch)
        for many in self._waiting:
            countdown.follow(many)
        if countdown.done:
            return succeed(None)
        self._flushes[countdown] = None
        self.hurry()
        return countdown.deferred

    def _flushed(self, countdown: Countdown) -> None:
        self._flushes.pop(countdown, None)

    def close(self) -> Deferred[None]:
        """Accept no more, send what was accepted, and wait for its outcome.

        What has none after ``close_timeout`` is given up with :class:`DeliveryTimedOut`.
        Cancelling gives it up now. It never fails, and may be called at any time and again.
        """
        if self._state is _State.STARTING:
            self._state = _State.CLOSED
            if self._starting is not None:
                self._starting.cancel()
        elif self._state is _State.NEW:
            self._state = _State.CLOSED
        if self._state is _State.CLOSED:
            return succeed(None)
        closed: Deferred[None] = Deferred(self._close_cancelled)
        self._closes[closed] = None
        if self._state is _State.RUNNING:
            self._state = _State.CLOSING
            self._closing_since = self._clock.seconds()
            self._close_call = self._clock.callLater(self._config.close_timeout, self._close_late)
            self.hurry()
            self._settled()
        return closed

    def _close_cancelled(self, closed: Deferred[None]) -> None:
        del self._closes[closed]
        self._give_up()

    def _close_late(self) -> None:
        self._close_call = None
        self._give_up()

    def _give_up(self) -> None:
        seconds = self._clock.seconds() - self._closing_since
        waiting, self._waiting = self._waiting, deque()
        for sender in list(self._senders.values()):
            sender.abandon(seconds)
        for many in waiting:
            many.give_up(lambda partition: self._no_room(partition, seconds))
        self._finish()

    def _settled(self) -> None:
        if self._state is _State.CLOSING and not self._held and not self._waiting:
            self._finish()

    def _finish(self) -> None:
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        for call in (self._look_call, self._expire_call, self._close_call):
            if call is not None and call.active():
                call.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._budget.leave(self)
        for sender in self._senders.values():
            sender.abandon(0.0)
        closes, self._closes = self._closes, {}
        for closed in closes:
            closed.callback(None)


def _is_there(topology: Topology, name: str) -> bool:
    topic = topology.topics.get(name)
    return topic is not None and topic.partition_count > 0


def _takes_turns(partition: PartitionInfo) -> bool:
    """Whether records without a key go there: not where the disk is full, as the reference says."""
    return partition.online and partition.status.resolution is PartitionResolution.ONLINE


def _codec(topic: str, spec: TopicSpec, config: ProducerConfig) -> Compression:
    demanded, chosen = spec.compression_type, config.compression
    if demanded is TopicCompression.ANY:
        return Compression[(chosen or "none").upper()]
    if chosen is not None and chosen.upper() != demanded.name:
        raise CompressionConflict(topic, demanded.name.lower(), chosen)
    return Compression[demanded.name]


def _checked(timestamp: int) -> int:
    if type(timestamp) is not int or not 0 < timestamp <= _LATEST_TIMESTAMP:
        raise InvalidRecord("the timestamp is not milliseconds since the Unix epoch, above 0")
    return timestamp


def _not_bytes(what: str, found: object) -> InvalidRecord:
    return InvalidRecord(f"the {what} is {type(found).__name__}: keys and values are bytes")


def _listed(
    records: Iterable[bytes | tuple[bytes | None, bytes]],
) -> list[bytes | tuple[bytes | None, bytes]]:
    if isinstance(records, bytes | str):
        raise InvalidRecord(f"one {type(records).__name__} is no collection of records")
    try:
        return list(records)
    except TypeError as error:
        raise InvalidRecord(f"{type(records).__name__} is no collection of records") from error


def _columns(
    records: list[bytes | tuple[bytes | None, bytes]],
) -> tuple[list[bytes | None] | None, list[bytes]]:
    """The keys, None where there are none at all, and the values."""
    kinds = set(map(type, records))
    if kinds == {bytes}:
        return None, cast("list[bytes]", records)
    if kinds == {tuple} and set(map(len, records)) == {2}:
        firsts, seconds = zip(*records, strict=True)
        if set(map(type, firsts)) <= {bytes, NoneType} and set(map(type, seconds)) == {bytes}:
            return list(firsts), list(seconds)
    keys: list[bytes | None] = []
    values: list[bytes] = []
    for record in records:
        if isinstance(record, bytes):
            keys.append(None)
            values.append(record)
            continue
        if not isinstance(record, tuple) or len(record) != 2:
            raise InvalidRecord(
                f"a record is {type(record).__name__}: expected bytes, or a pair of key and value"
            )
        key, value = record
        if not (key is None or isinstance(key, bytes)):
            raise _not_bytes("key", key)
        if not isinstance(value, bytes):
            raise _not_bytes("value", value)
        keys.append(key)
        values.append(value)
    return keys, values
