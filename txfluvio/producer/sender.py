"""One partition's records on their way: who leads it now, one request at a time, what came of it.

A :class:`Sender` takes batches from its queue when they are due and a connection to the leader is
there, sends them as one Produce (:mod:`txfluvio.producer.requests`), and gives every batch its
outcome or puts it back for another attempt. Order holds because a partition has one request under
way at a time. What the senders of a producer have in common is :class:`Shared`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..cluster import Attempts, Chain, Cluster, SpuInfo, Topology
from ..config import Delivery, ProducerConfig
from ..errors import (
    BrokerError,
    DeliveryTimedOut,
    Effect,
    FluvioError,
    RequestTimedOut,
    WaitTimedOut,
    another,
)
from ..transport.calls import Call
from ..transport.protocol import FluvioProtocol
from ..wire.compression import Compression
from ..wire.spu import ProduceResponse
from .accumulator import Batch, PartitionQueue
from .outcomes import Outcome, Telling, tell_failed, tell_stored
from .requests import Requests
from .turn import Turn

T = TypeVar("T")

PATIENCE_FRACTION = 0.1
"""The part of the delivery time-out after which a batch that still waits takes no more records."""


@attrs.define(kw_only=True)
class Shared:
    """What the senders of one producer have in common.

    :ivar compression: the codec of all batches.
    :ivar chain: the SmartModules that the leader runs over them.
    :ivar tells_offsets: whether the offsets in the topic's answers mean something.
    :ivar hurried: whether nothing should linger now.
    :ivar lingering: the senders that linger, with nothing else to do.
    :ivar release: called with the bytes of records that have their outcomes, before these are told.
    :ivar telling: a context in which outcomes are told.
    :ivar turn: has a sender look at its queue, but not in this turn.
    """

    topic: str
    config: ProducerConfig
    cluster: Cluster
    compression: Compression = Compression.NONE
    chain: Chain
    tells_offsets: bool = True
    hurried: Callable[[], bool]
    lingering: dict[Sender, None] = attrs.field(factory=dict)
    release: Callable[[int], None]
    telling: Telling
    turn: Turn


@attrs.define
class _Route:
    """A connection to the leader, to be used again for as long as that stays the leader.

    :ivar spu: the leader, with the address it had.
    :ivar seen: the version of the topology in which it was last seen to lead, or None. Not the
        snapshot itself, which a sender that rests would keep alive.
    """

    connection: FluvioProtocol
    spu: SpuInfo
    seen: int | None = None


class Sender:
    """Gets the records of one partition stored.

    :ivar queue: what waits to be sent; call :meth:`look` after putting something in.
    """

    _log = Logger()

    def __init__(self, partition: int, shared: Shared) -> None:
        config = shared.config
        self.partition = partition
        self.queue = PartitionQueue(
            linger=config.linger,
            batch_size=config.batch_size,
            max_request_size=config.max_request_size,
            patience=config.linger + config.delivery_timeout * PATIENCE_FRACTION,
        )
        self._shared = shared
        self._requests = Requests(shared.topic, partition, config, shared.chain)
        self._what = str(self._requests)
        self._lingers = config.linger > 0
        self._under_way: list[Batch] = []
        self._sent_at = 0.0
        self._working = False
        self._stopped = False
        self._awaited: Deferred[Any] | None = None
        self._missing: tuple[str, float] | None = None
        self._call: Call | None = None
        self._route: _Route | None = None
        self._tried: int | None = None
        self._linger_call: IDelayedCall | None = None
        self._attempts = Attempts(shared.cluster.retrying)
        self._delay = 0.0
        self._trouble: FluvioError | None = None

    @property
    def batches(self) -> Iterator[Batch]:
        """The batches without an outcome, the latest first."""
        yield from reversed(self.queue)
        yield from reversed(self._under_way)

    @property
    def since(self) -> float | None:
        """When the oldest of the records without an outcome came."""
        if self._under_way:
            return self._under_way[0].created
        return self.queue.since

    def look(self) -> None:
        """Begin to send what is due, or see to it when it will be."""
        if self._stopped:
            return
        withdrawn = self.queue.drop()
        if withdrawn:
            # It needs no leader, and leaves room for others.
            self._end(stored=[(batch, None) for batch in withdrawn])
        if self._working or self._stopped:
            return
        self._stop_lingering()
        delay = self.queue.due_in(self._shared.cluster.clock.seconds(), hurry=self._hurried())
        if delay is None:
            return
        if delay > 0:
            self._shared.lingering[self] = None
            self._linger_call = self._shared.cluster.clock.callLater(delay, self._lingered)
            return
        self._working = True
        self._attempts.resume()
        if not self._attempts.failed:
            self._trouble = None
        connection = self._at_hand()
        if connection is not None:
            try:
                self._send(connection)
            except Exception:
                self._broke(Failure())
        else:
            connecting = Deferred.fromCoroutine(self._connect())
            connecting.addCallbacks(self._send, self._not_connected).addErrback(self._broke)

    def expire(self, now: float) -> None:
        """Give up what has waited as long as delivery may take.

        A request in which some of it is under way goes on: what is sent next would overtake it.
        """
        if not self._under_way and not len(self.queue):
            return
        timeout = self._shared.config.delivery_timeout
        late: list[Batch] = []
        if self._under_way and self._under_way[0].created + timeout <= now:
            late = [batch for batch in self._under_way if batch.created + timeout <= now]
            self._under_way = [one for one in self._under_way if one.created + timeout > now]
            for batch in late:
                batch.effect = Effect.UNKNOWN
        failed = [(batch, self._too_late(batch, timeout)) for batch in late]
        self._end(failed=failed + self._late(now))

    def _late(self, now: float) -> list[tuple[Batch, FluvioError]]:
        """Take what is late from the queue, each batch with what it fails with."""
        timeout = self._shared.config.delivery_timeout
        return [
            (batch, self._too_late(batch, timeout)) for batch in self.queue.expire(now, timeout)
        ]

    def abandon(self, seconds: float) -> None:
        """Give up everything: there were ``seconds`` for it. Nothing is sent from now on."""
        self._stopped = True
        for batch in self._under_way:
            batch.effect = Effect.UNKNOWN
        batches = [*self._under_way, *self.queue.clear()]
        # Before what is waited for is given up as well.
        failed = [(batch, self._too_late(batch, seconds)) for batch in batches]
        self._under_way = []
        self._stop_lingering()
        if self._awaited is not None:
            self._awaited.cancel()
        if self._call is not None:
            self._call.abandon()
        self._end(failed=failed)

    def _lingered(self) -> None:
        self._linger_call = None
        self.look()

    def _stop_lingering(self) -> None:
        self._shared.lingering.pop(self, None)
        call, self._linger_call = self._linger_call, None
        if call is not None:
            call.cancel()

    def _broke(self, failure: Failure) -> None:
        """What should never happen: whoever waits is told all the same."""
        if self._stopped:
            return
        assert failure.value is not None
        error = self._unforeseen(failure.value)
        batches, self._under_way = self._under_way, []
        self._working = False
        if batches:
            self._end(failed=[(batch, error) for batch in batches])
            self._rest()
        # Where nothing was taken from the queue, it would break again at once, and so on.

    def _rest(self) -> None:
        """Nothing is under way: see in another turn what is due.

        Attempts that end at once would otherwise end each within the one before.
        """
        self._working = False
        if not self._stopped:
            self._shared.turn.stir(self)

    def _hurried(self) -> bool:
        """Whether even an open batch may leave."""
        return not self._lingers or self._shared.hurried()

    # One attempt: a connection, a request, and what came of it.

    def _at_hand(self) -> FluvioProtocol | None:
        """The connection of the last request, where the leader and its address are the same."""
        route = self._route
        if route is None or self._attempts.failed or not route.connection.writable:
            return None
        topology = self._shared.cluster.topology
        if topology.version != route.seen:
            leader = topology.leader_of(self._shared.topic, self.partition)
            if leader is None or topology.spus[leader] is not route.spu:
                return None
            route.seen = topology.version
        return route.connection

    async def _connect(self) -> FluvioProtocol:
        """A connection to the leader, as soon as there are both and it has room."""
        if self._attempts.failed:
            await self._pause()
        cluster = self._shared.cluster
        self._route = self._tried = None
        leader = self._find(cluster.topology)
        self._tried = await self._leader() if leader is None else leader
        spu = cluster.topology.spu(self._tried)
        connection = await self._wait(
            cluster.produce_connection(self._tried, committed=self._requests.committed),
            missing=f"no connection to SPU {self._tried}",
        )
        if not connection.writable:
            await self._wait(
                connection.when_writable(),
                missing=f"no room in write_budget to {connection.address}",
            )
        if not self._requests.committed:
            # Those that wait for replicas are chosen anew each time, by who waits on them.
            self._route = _Route(connection, spu)
        return connection

    def _send(self, connection: FluvioProtocol) -> None:
        """Send what is due in one request."""
        batches = self._take()
        if not batches:
            self._rest()
            return
        # The leader waits for its replicas for each batch in turn. When everything in the request
        # has been given up, it only holds up what was sent since.
        config = self._shared.config
        longest = self._shared.cluster.config.request_timeout
        if self._requests.committed:
            longest += config.replication_timeout * len(batches)
        longest = min(longest, config.delivery_timeout)
        self._sent_at = self._shared.cluster.clock.seconds()
        try:
            self._call = connection.send(
                self._requests.produce(
                    [batch.encode(self._shared.compression) for batch in batches]
                ),
                partial(self._answered, batches),
                partial(self._unanswered, batches, connection),
                longest,
            )
        except Exception as error:
            self._route = None
            self._not_sent(batches, self._named(error))

    def _answered(self, batches: Sequence[Batch], reply: ProduceResponse) -> None:
        outcomes: Sequence[Outcome]
        try:
            outcomes = self._requests.outcomes(
                reply, len(batches), tells_offsets=self._shared.tells_offsets
            )
        except Exception as error:
            outcomes = [self._named(error)] * len(batches)
        self._done(batches, outcomes)

    def _unanswered(
        self, batches: Sequence[Batch], connection: FluvioProtocol, error: FluvioError
    ) -> None:
        if isinstance(error, RequestTimedOut):
            # It answers in order: what is asked there next would wait behind this. And what is
            # sent again elsewhere must not be stored here later.
            connection.abort()
        self._done(batches, [error] * len(batches))

    def _not_connected(self, failure: Failure) -> None:
        """There is no connection to be had."""
        if self._stopped:
            return
        assert failure.value is not None
        error = self._named(failure.value)
        if self._may_repeat(error) and self._note(error):
            self._rest()
            return
        try:
            self._attempts.succeed()
            self._trouble = None
            self._end(failed=self._give_up(error))
        finally:
            self._rest()

    def _not_sent(self, batches: Sequence[Batch], error: FluvioError) -> None:
        """The connection has not taken the request."""
        try:
            self._settle(batches, [error] * len(batches))
        finally:
            self._rest()

    def _done(self, batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> None:
        # Before this is forgotten: what is late by now has waited for it.
        late = self._late(self._shared.cluster.clock.seconds())
        self._call = None
        turn = self._shared.turn
        turn.postpone()
        try:
            self._settle(batches, outcomes, late)
        finally:
            self._working = False
            turn.look()
        self.look()

    async def _pause(self) -> None:
        """Wait before the next attempt, but no longer than until there is another leader."""
        shared = self._shared

        def elsewhere(topology: Topology) -> bool | None:
            leader = topology.leader_of(shared.topic, self.partition)
            return None if leader in (None, self._tried) else True

        try:
            await self._wait(
                shared.cluster.wait_for(
                    elsewhere,
                    missing=f"{self._what} has no other leader",
                    timeout=self._delay,
                    about=(shared.topic, self.partition),
                )
            )
        except WaitTimedOut:
            pass

    async def _leader(self) -> int:
        """Wait until there is one, which is no attempt."""
        topic = self._shared.topic
        missing = f"partition {self.partition} of {topic} has no online leader"
        with self._attempts.waiting():
            return await self._wait(
                self._shared.cluster.wait_for(
                    self._find, missing=missing, about=(topic, self.partition)
                ),
                missing=missing,
            )

    def _find(self, topology: Topology) -> int | None:
        topology.partition(self._shared.topic, self.partition)
        return topology.leader_of(self._shared.topic, self.partition)

    def _take(self) -> list[Batch]:
        now = self._shared.cluster.clock.seconds()
        self.expire(now)
        self._under_way = self.queue.take(now, hurry=self._hurried())
        # Where every record was withdrawn, what may still wait is a flush; and whoever is told that
        # it is done may withdraw more.
        while empty := [batch for batch in self._under_way if not batch.remaining]:
            self._under_way = [batch for batch in self._under_way if batch.remaining]
            self._end(stored=[(batch, None) for batch in empty])
        return self._under_way

    def _settle(
        self,
        batches: Sequence[Batch],
        outcomes: Sequence[Outcome],
        late: Sequence[tuple[Batch, FluvioError]] = (),
    ) -> None:
        """Give each batch its outcome if it has none, or keep it for the next attempt.

        :param outcomes: what came of this attempt, of each batch.
        :param late: others that have their outcomes, and were not told yet.
        """
        live = set(self._under_way)
        stored: list[tuple[Batch, int | None]] = []
        failed: list[tuple[Batch, FluvioError]] = []
        again: list[Batch] = []
        errors = [outcome for outcome in outcomes if isinstance(outcome, FluvioError)]
        troubles = [error for error in errors if self._may_repeat(error, sent=True)]
        in_time = bool(troubles) and self._note(troubles[-1])
        for batch, outcome in zip(batches, outcomes, strict=True):
            if batch not in live:
                continue
            if not isinstance(outcome, FluvioError):
                stored.append((batch, outcome))
                continue
            if outcome.effect is Effect.UNKNOWN:
                batch.effect = Effect.UNKNOWN
            if in_time and self._may_repeat(outcome, sent=True):
                again.append(batch)
            else:
                failed.append((batch, _carrying(outcome, batch.effect)))
        self._under_way = []
        self.queue.give_back(again)
        if not in_time:
            if troubles:
                # What waits would fare no better. It was not sent with that.
                unsent = another(troubles[-1])
                unsent.effect = Effect.NONE
                failed += self._give_up(unsent)
            self._trouble = None
            self._attempts.succeed()
        self._end(stored=stored, failed=[*failed, *late])

    def _give_up(self, error: FluvioError) -> list[tuple[Batch, FluvioError]]:
        """Take all that waits from the queue, each batch with what it fails with."""
        return [(batch, _carrying(error, batch.effect)) for batch in self.queue.clear()]

    def _may_repeat(self, error: FluvioError, *, sent: bool = False) -> bool:
        """Whether an error allows for another attempt."""
        if not error.retriable:
            return False
        if sent and self._shared.config.delivery is Delivery.AT_MOST_ONCE:
            return not isinstance(error, BrokerError) and error.effect is Effect.NONE
        return True

    def _note(self, error: FluvioError) -> bool:
        """Count a failed attempt; whether the policy has time for another."""
        self._delay = self._attempts.fail()
        if not self._attempts.in_time(self._delay):
            return False
        self._trouble = error
        self._shared.cluster.metrics.failed("produce", error)
        self._log.info("{what}: {error}; trying again", what=self._what, error=str(error))
        return True

    def _named(self, error: BaseException) -> FluvioError:
        return error if isinstance(error, FluvioError) else self._unforeseen(error)

    def _unforeseen(self, error: BaseException) -> FluvioError:
        self._log.failure("Sending to {what} broke", Failure(error), what=self._what)
        named = FluvioError(f"{self._what}: {error!r}")
        named.effect = Effect.UNKNOWN
        named.__cause__ = error
        return named

    def _too_late(self, batch: Batch, seconds: float) -> FluvioError:
        error = DeliveryTimedOut(self._what, seconds, effect=batch.effect)
        error.__cause__ = self._in_the_way()
        return error

    def _in_the_way(self) -> FluvioError | None:
        """What is waited for now, and for how long; behind it, or alone, the last error."""
        cluster = self._shared.cluster
        now = cluster.clock.seconds()
        error: FluvioError
        if self._call is not None:
            error = RequestTimedOut(f"Produce to {self._what}", now - self._sent_at)
        elif self._missing is not None:
            missing, since = self._missing
            error = cluster.timed_out(missing, now - since)
        else:
            return self._trouble
        error.__cause__ = error.__cause__ or self._trouble
        return error

    def _end(
        self,
        *,
        stored: Sequence[tuple[Batch, int | None]] = (),
        failed: Sequence[tuple[Batch, FluvioError]] = (),
    ) -> None:
        if not stored and not failed:
            return
        shared, size = self._shared, 0
        metrics, now = shared.cluster.metrics, shared.cluster.clock.seconds()
        for batch, _ in stored:
            size += batch.size
            left = batch.remaining
            if left:
                age = now - batch.created
                metrics.produced(shared.topic, self.partition, left, batch.size, age)
        for batch, error in failed:
            size += batch.size
            metrics.failed("produce", error)
        with shared.telling:
            shared.release(size)
            for batch, base in stored:
                tell_stored(batch, base)
            for batch, error in failed:
                tell_failed(batch, error)

    async def _wait(self, deferred: Deferred[T], *, missing: str = "") -> T:
        """Await what :meth:`abandon` may cancel.

        :param missing: what is in the way meanwhile; nothing: what the last attempt failed with.
        """
        self._awaited = deferred
        self._missing = (missing, self._shared.cluster.clock.seconds()) if missing else None
        try:
            return await deferred
        finally:
            self._awaited = self._missing = None


def _carrying(error: FluvioError, effect: Effect) -> FluvioError:
    """The error, saying what earlier attempts may have done where it says that it did nothing."""
    if error.effect is not Effect.NONE or effect is Effect.NONE:
        return error
    carrying = another(error)
    carrying.effect = effect
    return carrying
