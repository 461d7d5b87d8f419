"""Reading as a service: a handler that is called with one record after another.

:class:`ConsumerService` is made by ``client.consume(topic, handler)`` and fits into an application
like any other ``IService``. What it adds to a :class:`~txfluvio.consumer.consumer.Consumer` is the
loop: the handler's Deferred is awaited, which holds back everything behind it, and when it has
fired its record counts as processed.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from inspect import isawaitable
from typing import Any, TypeAlias

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._checks import flag, member, seconds_or_0
from ..cluster import Attempts, Retrying
from ..config import OffsetStrategy
from ..errors import AlreadyRunning, ClientClosed, FluvioError, InvalidConfig, NotStarted
from ..transport.waiting import Waiting
from ..wire.records import Record
from .consumer import Consumer

Handler: TypeAlias = Callable[[Record], object] | Callable[[list[Record]], object]
"""Called with each record, or with lists of them where that is asked for; what it returns is
awaited if it is a Deferred or another awaitable."""

_Given: TypeAlias = Record | list[Record]

STOP_TIMEOUT = 10.0
"""Seconds that a stopping service leaves to a handler, before it cancels it."""


class OnFailure(enum.Enum):
    """What becomes of a record whose handler has failed, and of those behind it.

    Of a list of records it becomes of all of them, also of those that the handler was done with.
    """

    STOP = "stop"
    """The service ends with the error; the record does not count as processed."""
    SKIP = "skip"
    """The error is logged, and the record counts as processed."""
    RETRY = "retry"
    """The handler is called again, after a wait by the client's retry policy; for ever, or until
    the policy's deadline, when the service ends with the error. Where the service stops before the
    handler has succeeded, the record does not count as processed."""


class _Phase(enum.Enum):
    OPENING = enum.auto()
    """There is no consumer yet."""
    WAITING = enum.auto()
    """For a record, or until its handler is called again."""
    HANDLING = enum.auto()
    """The handler has a record."""
    CLOSING = enum.auto()
    """Nothing more is handled: the consumer is being closed."""
    OVER = enum.auto()
    """There is nothing more to do, unless it is started again."""


# Set for every record, which is faster than by way of the enumeration.
_WAITING, _HANDLING = _Phase.WAITING, _Phase.HANDLING


class ConsumerService(Service):
    """Calls a handler with every record of a consumer, one at a time.

    Started, it opens its consumer, again and again while the cluster can not be reached. Stopped,
    it lets the handler finish the record it has, stores what was processed if that is done
    automatically, and closes the consumer.

    :param open_consumer: makes the consumer, which is not started.
    :param handler: called with each record. While the Deferred it returned has not fired, no other
        record is handed to it, and the cluster is asked for no more than the consumer may hold.
    :param strategy: whether the consumer stores offsets; with AUTO, a record when its handler is
        done. Not MANUAL: nobody could commit.
    :param retrying: for the waits between attempts to start, and of ``OnFailure.RETRY``.
    :param on_failure: what to do when the handler fails.
    :param stop_timeout: seconds for the record in hand when the service stops; then its Deferred
        is cancelled, and the record does not count as processed.
    :param batches: whether the handler gets lists of records, each of one partition, instead of one
        record. What is said here of a record is then so of a list as a whole. It is the handler's
        own: tried again, the handler gets another.
    """

    _log = Logger()

    def __init__(
        self,
        open_consumer: Callable[[], Consumer],
        handler: Handler,
        *,
        strategy: OffsetStrategy,
        retrying: Retrying,
        on_failure: OnFailure = OnFailure.STOP,
        stop_timeout: float = STOP_TIMEOUT,
        batches: bool = False,
    ) -> None:
        if strategy is OffsetStrategy.MANUAL:
            raise InvalidConfig(
                "ConsumerConfig.offsets", strategy, "NONE, or AUTO: the end of the handler commits"
            )
        member(OnFailure).check("on_failure", on_failure)
        seconds_or_0.check("stop_timeout", stop_timeout)
        flag.check("batches", batches)
        self._open_consumer = open_consumer
        self._batches = batches
        self._handler: Callable[[Any], object] = _with_a_copy(handler) if batches else handler
        self._strategy = strategy
        self._retrying = retrying
        self._clock = retrying.clock
        self._on_failure = on_failure
        self._stop_timeout = stop_timeout
        self._work: Deferred[None] | None = None
        self._phase = _Phase.OPENING
        self._stopping = False
        self._patience: IDelayedCall | None = None
        self._outcome: Failure | None = None
        self._when_done: Waiting[None] = Waiting()
        self._when_stopped: Waiting[None] = Waiting()

    def startService(self) -> None:
        """Begin.

        :raises AlreadyRunning: it was started, and is not done stopping: two loops would handle
            each record twice.
        """
        if self._work is not None:
            raise AlreadyRunning("consumer service")
        super().startService()
        self._phase = _Phase.OPENING
        self._stopping = False
        self._outcome = None
        work = self._work = Deferred.fromCoroutine(self._run())
        work.addBoth(self._ended)

    def stopService(self) -> Deferred[None]:
        """End; fires when the record in hand is done with and the consumer is closed.

        Cancelling it waits for neither: the record in hand is given up as after ``stop_timeout``,
        and nothing more is stored.
        """
        super().stopService()
        if self._work is None:
            self._phase = _Phase.OVER
            for waiter in self._when_done.take():
                waiter.callback(None)
            return succeed(None)
        stopped = self._when_stopped.add().addErrback(self._hurry)
        if not self._stopping:
            self._stopping = True
            match self._phase:
                case _Phase.OPENING | _Phase.WAITING:
                    self._work.cancel()
                case _Phase.HANDLING:
                    self._patience = self._clock.callLater(self._stop_timeout, self._lose_patience)
        return stopped

    def when_done(self) -> Deferred[None]:
        """Fires when there is nothing more to do: the stop was reached, or the service stopped,
        even before it was started.

        Fails with what ended it otherwise: the handler's error, or one of the consumer. That is how
        an application learns that its worker has ended; where nobody waits, it is logged.

        Cancelling ends the waiting and no more.
        """
        if self._phase is _Phase.OVER:
            return succeed(None) if self._outcome is None else fail(self._outcome)
        return self._when_done.add()

    # The loop

    async def _run(self) -> None:
        consumer = await self._start()
        self._phase = _Phase.WAITING
        try:
            await self._consume(consumer)
        except CancelledError:
            if not self._stopping:
                raise
        finally:
            self._phase = _Phase.CLOSING
            await self._close(consumer)

    async def _start(self) -> Consumer:
        try:
            return await self._open()
        except (NotStarted, ClientClosed):
            # In an application the client may be started after this, in the same turn.
            await deferLater(self._clock, 0)
        return await self._open()

    async def _open(self) -> Consumer:
        attempts = Attempts(self._retrying)
        while True:
            consumer = self._open_consumer()
            try:
                await consumer.start()
            except FluvioError as error:
                if not error.retriable:
                    raise
                delay = attempts.fail()
                self._log.info("again in {delay:.2f} s: {error}", delay=delay, error=error)
                await deferLater(self._clock, delay)
            else:
                return consumer

    async def _consume(self, consumer: Consumer) -> None:
        source: AsyncIterator[_Given] = consumer.batches() if self._batches else consumer
        async for given in source:
            await self._handle(given)
            if self._stopping:
                if self._strategy is OffsetStrategy.AUTO:
                    await consumer.commit()
                break

    async def _handle(self, given: _Given) -> None:
        failure = await self._call(given)
        if failure is None:
            return
        match self._on_failure:
            case OnFailure.STOP:
                failure.raiseException()
            case OnFailure.SKIP:
                _tell(self._log.error, "skipping", given, failure)
            case OnFailure.RETRY:
                await self._call_again(given, failure)

    async def _call(self, given: _Given) -> Failure | None:
        """Call the handler; what it has failed with, if it has.

        :raises CancelledError: the service stops and does not wait for it.
        """
        self._phase = _HANDLING
        try:
            result = self._handler(given)
            if result is not None and isawaitable(result):
                await result
        except Exception as error:
            if self._stopping and isinstance(error, CancelledError):
                raise
            return Failure()
        finally:
            self._phase = _WAITING
        return None

    async def _call_again(self, given: _Given, failure: Failure) -> None:
        attempts = Attempts(self._retrying)
        while True:
            delay = attempts.fail()
            if self._stopping:
                _tell(self._log.warn, "not again, for the service stops", given, failure)
                raise CancelledError
            if not attempts.in_time(delay):
                failure.raiseException()
            _tell(self._log.warn, f"again in {delay:.2f} s", given, failure)
            await deferLater(self._clock, delay)
            failed = await self._call(given)
            if failed is None:
                return
            failure = failed

    async def _close(self, consumer: Consumer) -> None:
        try:
            await consumer.close()
        except CancelledError:
            raise
        except Exception as error:
            self._log.error("while closing: {error!r}", error=error)

    def _hurry(self, cancelled: Failure) -> Failure:
        if self._patience is not None:
            # In another turn: from within the handler, what runs can not be cancelled.
            self._patience.reset(0)
        else:
            self._lose_patience()
        return cancelled

    def _lose_patience(self) -> None:
        self._patience = None
        if self._work is not None:
            self._work.cancel()

    def _ended(self, result: Failure | None) -> None:
        self._work = None
        self._phase = _Phase.OVER
        self.running = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        stopped = self._stopping and result is not None and result.check(CancelledError)
        outcome = self._outcome = None if stopped else result
        if outcome is not None and not len(self._when_done):
            if outcome.check(FluvioError):
                self._log.error("the service has ended: {error}", error=outcome.value)
            else:
                self._log.failure("the service has ended", outcome)
        # Whoever is told may start it again; what the others are told is of this run all the same.
        when_done, when_stopped = self._when_done.take(), self._when_stopped.take()
        for waiter in when_done:
            waiter.callback(outcome)
        for waiter in when_stopped:
            waiter.callback(None)


def _with_a_copy(handler: Callable[[Any], object]) -> Callable[[list[Record]], object]:
    """The handler of a list, which it may change: it may be called with the same one again."""
    return lambda records: handler(records.copy())


def _tell(log: Callable[..., None], what: str, given: _Given, failure: Failure) -> None:
    """Log that a handler has failed, with its traceback, but not as a failure of this program's:
    what is to be done about it was said before."""
    first = given[0] if isinstance(given, list) else given
    at = f"{first.topic}/{first.partition}@{first.offset}"
    if isinstance(given, list):
        at += f" to {given[-1].offset}"
    log("{what}: {at}: {traceback}", what=what, at=at, traceback=failure.getTraceback())
