"""Stored offsets: how far a partition was processed, and bringing that to the cluster.

What is stored is the offset of the last record that was processed, as all Fluvio clients do;
reading goes on at the next. Storing goes to the SPU that serves the partition's stream, on the
connection of that stream, and to nobody else: a :class:`Bookmark` keeps what is to be stored while
there is no such connection. Reading goes to the leader of the system topic ``consumer-offset``.
An ``IOffsetStore`` of the user's may stand for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._wording import enumerated
from ..cluster import Cluster, ask_stored_offsets
from ..errors import FluvioError
from ..interfaces import IOffsetStore
from ..wire.spu import ConsumerOffsetFilter, FetchConsumerOffsetsRequest
from .requests import Target


async def stored_offsets(cluster: Cluster, consumer_id: str, seconds: float) -> dict[Target, int]:
    """What is stored for a consumer, by partition: offsets of last processed records.

    :param seconds: for finding who has them and for the answer, together.
    :raises FluvioError: nobody has them, or they could not be asked for.
    """
    wanted = ConsumerOffsetFilter(consumer_id=consumer_id)
    request = FetchConsumerOffsetsRequest(filter_opts=wanted)
    what = f"offsets of {consumer_id}"
    reply = await ask_stored_offsets(cluster, request, what=what, seconds=seconds)
    return {
        Target(found.replica_id.topic, found.replica_id.partition): found.offset
        for found in (() if reply is None else reply.consumers)
        if found.consumer_id == consumer_id
    }


async def kept_offsets(store: IOffsetStore, consumer_id: str) -> dict[Target, int]:
    """What an ``IOffsetStore`` has for a consumer; raises what that fails with."""
    found = await maybeDeferred(store.load, consumer_id)
    return {Target(topic, partition): offset for (topic, partition), offset in found.items()}


def keeper(
    store: IOffsetStore, consumer_id: str, target: Target
) -> Callable[[int], Deferred[None]]:
    """What brings offsets of a partition to an ``IOffsetStore``."""

    def keep(offset: int) -> Deferred[None]:
        kept = maybeDeferred(store.store, consumer_id, target.topic, target.partition, offset)
        return kept.addCallback(lambda _: None)

    return keep


def _nothing() -> None:
    pass


class Bookmark:
    """How far one partition was processed, and how far that is stored.

    One update is under way at a time, always with the newest position; whoever waits for an older
    one to be stored is answered with it.

    :param on_wait: called when somebody begins to wait and there is no way to the cluster.

    :ivar processed: the position behind the last processed record; None: none was.
    :ivar stored: what ``processed`` was when it was last stored; None: never, or an update has
        failed since, which may have got there all the same.
    """

    def __init__(self, on_wait: Callable[[], object] = _nothing) -> None:
        self.processed: int | None = None
        self.stored: int | None = None
        self._store: Callable[[int], Deferred[None]] | None = None
        self._lasts = False
        self._storing: Deferred[None] | None = None
        self._storing_up_to: int | None = None
        self._round = 0
        # Who waits, and which round will answer.
        self._waiters: dict[Deferred[None], int] = {}
        self._on_wait = on_wait
        self._failure: Exception | None = None

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for something to be stored."""
        return bool(self._waiters)

    def connect(self, store: Callable[[int], Deferred[None]], *, lasts: bool = False) -> None:
        """From now on, ``store`` brings the offset of a last processed record to where it is kept.

        :param lasts: whether there will be no other way, so that to wait for it is in vain.
        """
        self._store = store
        self._failure = None
        self._lasts = lasts
        self._send()

    def disconnect(self) -> None:
        """There is no way to the cluster; what is under way may or may not get there."""
        self._store = None
        if self._storing is not None:
            self._storing.cancel()

    def flush(self) -> Deferred[None]:
        """Store what was processed; fires when it is stored.

        While there is no connection it waits for the next. Cancelling it ends the wait only.
        """
        if self._storing is None and self.stored == self.processed:
            return succeed(None)
        if self._failure is not None:
            # Each time it is raised, it would keep the frames of all the times before.
            return fail(self._failure.with_traceback(None))
        waiter: Deferred[None] = Deferred(self._forget)
        on_its_way = self._storing is not None and self._storing_up_to == self.processed
        self._waiters[waiter] = self._round if on_its_way else self._round + 1
        self._send()
        if self._store is None:
            self._on_wait()
        return waiter

    def fail(self, error: Exception) -> None:
        """Nothing can be stored: tell those who wait, and those who come before :meth:`mend`."""
        self._failure = error
        self.disappoint(error)

    def disappoint(self, error: Exception) -> None:
        """Tell those who wait that it did not work; who comes later is worth another attempt."""
        self._answer(max(self._waiters.values(), default=0), error)

    def mend(self) -> None:
        """There will be a way to the cluster again."""
        self._failure = None

    def _send(self) -> None:
        if self._store is None or self._storing is not None:
            return
        if any(number > self._round for number in self._waiters.values()):
            assert self.processed is not None
            self._round += 1
            self._storing_up_to = self.processed
            storing = self._storing = self._store(self._storing_up_to - 1)
            storing.addCallbacks(self._done, self._failed)

    def _done(self, _: None) -> None:
        self._storing = None
        self.stored = self._storing_up_to
        self._answer(self._round)
        self._send()

    def _failed(self, failure: Failure) -> None:
        self._storing = None
        self.stored = None
        error = failure.value
        may_wait = not self._lasts and isinstance(error, FluvioError) and error.retriable
        if self._store is None or may_wait:
            self._round -= 1
            return
        assert isinstance(error, Exception)
        self._answer(self._round, error)
        self._send()

    def _answer(self, number: int, error: Exception | None = None) -> None:
        """Tell those whom a round was to answer, with an error or that all is well."""
        answered = [waiter for waiter, due in self._waiters.items() if due <= number]
        for waiter in answered:
            del self._waiters[waiter]
        for waiter in answered:
            # Who is told may be why another waits no more.
            if waiter.called:
                continue
            if error is None:
                waiter.callback(None)
            else:
                waiter.errback(Failure(error))

    def _forget(self, waiter: Deferred[None]) -> None:
        self._waiters.pop(waiter, None)


class Flusher:
    """Stores what was processed, again and again.

    Partitions do not wait for each other: what of one time is not over by the next is no longer
    waited for, and begun anew. Which of them that is, or failed, is logged, once until it is over.

    :param flush: begins it for each partition. Cancelling one of these ends a wait and no more.
    :param interval: seconds between two times.
    """

    _log = Logger()

    def __init__(
        self,
        flush: Callable[[], Mapping[Target, Deferred[None]]],
        interval: float,
        clock: IReactorTime,
    ) -> None:
        self._flush = flush
        self._interval = interval
        self._clock = clock
        self._next: IDelayedCall | None = None
        self._flushing: dict[Target, Deferred[None]] = {}
        self._unstored: dict[Target, str] = {}
        self._told: dict[Target, str] = {}

    def start(self) -> None:
        """Begin, one interval from now."""
        self._next = self._clock.callLater(self._interval, self._tick)

    def stop(self) -> None:
        """End; what is under way is left alone, but not waited for."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._give_up()

    def _give_up(self) -> None:
        for flushing in list(self._flushing.values()):
            flushing.cancel()

    def _tick(self) -> None:
        self.start()
        self._give_up()
        self._tell()
        for target, flushing in self._flush().items():
            self._flushing[target] = flushing
            flushing.addBoth(self._flushed, target)

    def _flushed(self, result: Failure | None, target: Target) -> None:
        del self._flushing[target]
        if result is not None:
            late = result.check(CancelledError) is not None
            self._unstored[target] = (
                f"no answer within {self._interval:g} s" if late else repr(result.value)
            )

    def _tell(self) -> None:
        """Say what of the last time is not stored, and was not said of the time before."""
        before, self._told, self._unstored = self._told, self._unstored, {}
        new: dict[str, list[Target]] = {}
        for target, why in self._told.items():
            if target not in before:
                new.setdefault(why, []).append(target)
        for why, targets in new.items():
            self._log.warn(
                "offsets not stored, yet: {partitions}: {why}",
                partitions=enumerated(targets),
                why=why,
            )
