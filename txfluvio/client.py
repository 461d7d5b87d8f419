"""Floor 4: a cluster as one Twisted service.

:class:`FluvioClient` is what an application makes first: an ``IService`` for one that is made of
services, an async context manager for one that is made of coroutines. It makes producers and
consumers and has :attr:`~FluvioClient.admin`; what they do is theirs, how they reach the cluster is
the cluster floor's, and here is only who starts and ends whom.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from weakref import WeakValueDictionary

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ._checks import NotShown
from .cluster import Cluster, ConnectionState
from .config import ClientConfig, ConsumerConfig, ProducerConfig
from .consumer import Consumer, ConsumerService, Handler, LogEnds, OnFailure, Partitions
from .consumer.ends import log_ends
from .consumer.service import STOP_TIMEOUT
from .errors import AlreadyRunning, ClientClosed, InvalidConfig, UnknownSetting
from .interfaces import IFluvioClient
from .metrics import NOTHING, ClientFacts, SeveralMetrics, is_metrics
from .offset import Offset
from .producer import Budget, Producer
from .transport.dialer import Dialer, TcpDialer
from .transport.waiting import Waiting

if TYPE_CHECKING:
    from .admin import Admin

ConfigT = TypeVar("ConfigT", ProducerConfig, ConsumerConfig)

_READING = ("start", "stop", "partitions")
"""What says what to read, and is no setting: a call takes both by name."""
_HANDLING = (*_READING, "batches", "on_failure", "stop_timeout")
"""The same where a handler gets the records."""


@implementer(IFluvioClient)
class FluvioClient(Service):
    """A client of one cluster.

    Making one does no I/O. It runs from :meth:`start` to :meth:`close`, which is what
    ``async with`` does, or from ``startService()`` to ``stopService()``: the former gives up after
    ``ClientConfig.connect_timeout`` where there is no cluster, the latter goes on trying for ever.
    Once it has been connected, both connect again for ever whenever that is needed. After it was
    closed it can be started again, and producers and consumers be made anew.

    What it makes is closed together with it, records sent by then included.

    :param reactor: connects and tells the time.
    :param config: which cluster, and how to reach it.
    :param dialer: makes the connections; None: over TCP, and TLS where the configuration says so.
    :param rng: decides what is left to chance, which is how long to wait before trying again.
    :param now: the time of day that records are stamped with, in seconds since the Unix epoch.
    :param metrics: an :class:`~txfluvio.interfaces.IMetrics` that is told what happens, such as a
        :class:`~txfluvio.prometheus.PrometheusMetrics`; None: nobody is.
    :raises InvalidConfig: ``config`` or ``metrics`` is something else.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: ClientConfig,
        *,
        dialer: Dialer | None = None,
        rng: Random | None = None,
        now: Callable[[], float] = time.time,
        metrics: Any = None,
    ) -> None:
        if not isinstance(config, ClientConfig):
            raise InvalidConfig("FluvioClient.config", NotShown(type(config)), "a ClientConfig")
        if metrics is not None:
            is_metrics.check("FluvioClient.metrics", metrics)
        self._config = config
        self._clock = cast(IReactorTime, reactor)
        self._dialer = TcpDialer(cast(IReactorTCP, reactor), config) if dialer is None else dialer
        self._rng = Random() if rng is None else rng
        self._now = now
        self._numbers = itertools.count()
        self._closed: Waiting[None] = Waiting()
        self._closing = False
        self._hurried = False
        self._awaited: Deferred[Any] = succeed(None)
        self._metrics = NOTHING if metrics is None else SeveralMetrics(metrics)
        # They are started again with an application; all else of a client that was closed is over.
        self._services: WeakValueDictionary[int, ConsumerService] = WeakValueDictionary()
        self._renew()
        self._metrics.attach(self.facts)

    def _renew(self) -> None:
        """Begin anew, with nothing done and nobody known."""
        self._cluster = Cluster(
            self._config,
            dialer=self._dialer,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
        )
        self._admin: Admin | None = None
        self._budget = Budget(self._config.buffer_memory)
        # By number, so that they are closed in the order in which they were made: a set that holds
        # them weakly has an order of its own, another in every run of one seed.
        self._producers: WeakValueDictionary[int, Producer] = WeakValueDictionary()
        self._consumers: WeakValueDictionary[int, Consumer] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<FluvioClient {self._config.endpoint}: {self.state.value}>"

    # Facts

    @property
    def config(self) -> ClientConfig:
        """The settings."""
        return self._config

    @property
    def state(self) -> ConnectionState:
        """How things stand with the cluster's SC."""
        return self._cluster.state

    @property
    def cluster_version(self) -> str | None:
        """The release that the SC runs, ``"0.18.1"``; None before the first connection."""
        return self._cluster.version or None

    @property
    def admin(self) -> Admin:
        """What an administrator does: create topics, list SPUs, and so on."""
        if self._admin is None:
            # Whoever only produces or consumes need not wait for the import of all this.
            from .admin import Admin

            self._admin = Admin(self._cluster)
        return self._admin

    @property
    def buffered(self) -> int:
        """Bytes of records that its producers hold, sent or not, and that have no outcome yet."""
        return sum(producer.buffered for producer in self._producers.values())

    def facts(self) -> ClientFacts:
        """How things stand now; looks at what is known, and asks nobody."""
        lag: dict[tuple[str, int], int] = {}
        consumers = list(self._consumers.values())
        for consumer in consumers:
            for place, offsets in consumer.known_lag().items():
                lag[place] = max(offsets, lag.get(place, 0))
        return ClientFacts(
            connections=self._cluster.connections,
            in_flight=self._cluster.in_flight,
            buffered=self.buffered,
            held=sum(consumer.buffered for consumer in consumers),
            lag=lag,
        )

    # Beginning and end

    def start(self) -> Deferred[None]:
        """Connect; fires when the cluster is known.

        Cancelling it, or its failing, closes the client.

        :raises ConnectFailed: the SC was not reached within ``connect_timeout`` seconds, or at all:
            the error says the address and the reason.
        :raises AlreadyRunning: it was started and not closed since, or is still closing.
        """
        if self.running or self._closing:
            return fail(AlreadyRunning("client"))
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        starting = self._begin(for_ever=False)
        try:
            await starting
        except BaseException:
            await self.close()
            raise

    def _begin(self, *, for_ever: bool) -> Deferred[None]:
        if self.state is ConnectionState.STOPPED:
            self._renew()
        Service.startService(self)
        return self._cluster.start(for_ever=for_ever)

    def close(self) -> Deferred[None]:
        """End everything, and fire when the last connection is gone.

        Handlers get time for the record in hand, consumers store what was processed if they do
        so automatically, producers get ``ProducerConfig.close_timeout`` seconds to send what they
        have; then whatever is still waited for fails with
        :class:`~txfluvio.errors.ClientClosed`. A client that is closed already, or was never
        started, is left at that.

        Cancelling skips all of that, also where somebody else has closed it: records that were not
        sent fail, and connections are closed at once. The call that began the closing then fails
        with ``CancelledError``, once the last connection is gone.
        """
        if self._closing:
            return self._closed.add().addErrback(self._hurry)
        if not self.running:
            return succeed(None)
        Service.stopService(self)
        self._closing, self._hurried = True, False
        return Deferred.fromCoroutine(self._close())

    def _hurry(self, cancelled: Failure) -> Failure:
        """Wait for nothing more: somebody who waits for the end wants it now."""
        self._hurried = True
        self._awaited.cancel()
        return cancelled

    async def _close(self) -> None:
        try:
            # A handler may produce, so what it produces with is ended after it.
            for endings in (
                [service.stopService for service in self._services.values()],
                [consumer.close for consumer in self._consumers.values()],
                [producer.close for producer in self._producers.values()],
            ):
                await self._end(endings)
        finally:
            try:
                await self._stop()
            finally:
                self._closing = False
                # Who is told may cancel another, when there is nothing left to be hurried.
                hurried = self._hurried
                for waiter in self._closed.take():
                    waiter.callback(None)
        if hurried:
            raise CancelledError

    async def _end(self, endings: list[Callable[[], Deferred[None]]]) -> None:
        """End them together, and wait for that unless there is a hurry."""
        deferreds = [end() for end in endings]
        if self._hurried:
            for deferred in deferreds:
                deferred.cancel()
        # Cancelled, it cancels each of them.
        self._awaited = DeferredList(deferreds, consumeErrors=True)
        results = await self._awaited
        for failure in (cast(Failure, result) for good, result in results if not good):
            if failure.check(CancelledError):
                self._hurried = True
            else:
                self._log.warn("while closing: {error}", error=failure.value)

    async def _stop(self) -> None:
        """End the cluster, and wait until its last connection is gone."""
        while True:
            self._awaited = self._cluster.stop(hurried=self._hurried)
            try:
                return await self._awaited
            except CancelledError:
                self._hurried = True

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def when_connected(self) -> Deferred[None]:
        """Fires while the metadata is being kept up to date, perhaps at once.

        It does not fail where no connection comes about, whatever the reason: it goes on waiting.
        Each call gives a new Deferred; cancelling it ends only that waiting.

        :raises NotStarted: the client was not started.
        :raises ClientClosed: it was closed.
        """
        return self._cluster.when_connected()

    def ends(self, topic: str) -> Deferred[dict[int, LogEnds]]:
        """Where the log of each partition begins and ends: by number, the first offset and the
        high watermark.

        Their leaders are asked now, all at once. Nobody has to consume for that: together with
        ``admin.list_consumer_offsets`` it tells how far consumers are behind. All of it takes
        ``ClientConfig.request_timeout`` at most; what may pass is tried again within that time.
        Cancelling ends the waiting and no more.

        :raises TopicNotFound: by the metadata. A topic that was perhaps made a moment ago is waited
            for, a second at most.
        :raises WaitTimedOut: a partition has no online leader: the error names which.
        :raises FluvioError: a leader could not be asked. Nothing is told of the others then.
        :raises InvalidConfig: the topic is no name.
        :raises NotStarted: the client was not started.
        :raises ClientClosed: it is closed, or was before there was an answer.
        """
        return self._cluster.run(log_ends(self._cluster, topic))

    # IService

    def startService(self) -> None:
        """Begin to connect, and go on trying for ever; see :meth:`when_connected`.

        :raises AlreadyRunning: it was started and not closed since, or is still closing.
        """
        if self.running or self._closing:
            raise AlreadyRunning("client")
        self._begin(for_ever=True).addErrback(_expected)

    def stopService(self) -> Deferred[None]:
        """See :meth:`close`."""
        return self.close()

    # What it makes

    def producer(
        self, topic: str, config: ProducerConfig | None = None, **overrides: Any
    ) -> Producer:
        """A producer for a topic; enter it with ``async with``, or start it.

        No I/O is done: whether the topic exists is found out on entering.

        :param config: None: the defaults.
        :param overrides: settings of it, by name.
        :raises InvalidConfig: a wrong value.
        :raises ClientClosed: the client is closed.
        """
        self._must_be_open()
        if not isinstance(topic, str) or not topic:
            raise InvalidConfig("topic", topic, "the name of a topic")
        made = Producer(
            self._cluster,
            topic,
            _settings(ProducerConfig, config, overrides),
            budget=self._budget,
            now=self._now,
        )
        self._producers[next(self._numbers)] = made
        return made

    def consumer(
        self,
        topics: str | Iterable[str],
        *,
        start: Offset | None = None,
        stop: Offset | None = None,
        partitions: Partitions = None,
        config: ConsumerConfig | None = None,
        **overrides: Any,
    ) -> Consumer:
        """A consumer of a topic, or of several; enter it with ``async with``, or start it.

        No I/O is done: whether the topics exist is found out on entering.

        :param start: where to start in each partition; None: at the end, or where offsets are
            stored, behind the last one stored.
        :param stop: the first offset not to be read; None: go on for ever.
        :param partitions: one, some, a :class:`~txfluvio.consumer.Share`; None: all. Or a mapping
            from topics to these.
        :param config: None: the defaults.
        :param overrides: settings of it, by name.
        :raises InvalidConfig: a wrong value.
        :raises ClientClosed: the client is closed.
        """
        self._must_be_open()
        made = Consumer(
            self._cluster,
            topics,
            start=start,
            stop=stop,
            partitions=partitions,
            config=_settings(ConsumerConfig, config, overrides, _READING),
        )
        self._consumers[next(self._numbers)] = made
        return made

    def consume(
        self,
        topics: str | Iterable[str],
        handler: Handler,
        *,
        start: Offset | None = None,
        stop: Offset | None = None,
        partitions: Partitions = None,
        config: ConsumerConfig | None = None,
        batches: bool = False,
        on_failure: OnFailure = OnFailure.STOP,
        stop_timeout: float = STOP_TIMEOUT,
        **overrides: Any,
    ) -> ConsumerService:
        """A service that calls ``handler`` with each record, one at a time.

        It is an ``IService`` of its own: start it, or give it a parent. While it runs it reads by
        this client, waits where the cluster is away, and is stopped when the client is closed.

        :param handler: called with a record; while a Deferred that it returns has not fired, it is
            called with no other. With ``OffsetStrategy.AUTO`` the record counts as processed then.
        :param batches: whether it is called with lists of records instead, as
            :meth:`~txfluvio.consumer.Consumer.batches` has them: each of one partition. It may
            change the list. All that is said of a record is then so of the list as a whole.
        :param on_failure: what to do when it fails. Of a list, STOP stores nothing, SKIP passes
            over all of it, and RETRY hands over all of it again.
        :param stop_timeout: seconds that it gets for the record in hand when the service stops.
        :raises InvalidConfig: a wrong value.
        :raises ClientClosed: the client is closed.

        All else is as with :meth:`consumer`.
        """
        settings = _settings(ConsumerConfig, config, overrides, _HANDLING)

        def open_consumer() -> Consumer:
            return self.consumer(
                topics, start=start, stop=stop, partitions=partitions, config=settings
            )

        if not callable(handler):
            raise InvalidConfig("handler", handler, "a function of a record")
        open_consumer()  # It complains now if anything is wrong.
        made = ConsumerService(
            open_consumer,
            handler,
            strategy=settings.offsets,
            retrying=self._cluster.retrying,
            batches=batches,
            on_failure=on_failure,
            stop_timeout=stop_timeout,
        )
        self._services[next(self._numbers)] = made
        return made

    def _must_be_open(self) -> None:
        if self._closing or self.state is ConnectionState.STOPPED:
            raise ClientClosed


def _settings(
    kind: type[ConfigT],
    config: ConfigT | None,
    overrides: dict[str, Any],
    beside: tuple[str, ...] = (),
) -> ConfigT:
    """The settings of a call, which may take more ``beside`` them that somebody has misspelt."""
    if config is not None and not isinstance(config, kind):
        raise InvalidConfig("config", NotShown(type(config)), f"a {kind.__name__}")
    settings = kind() if config is None else config
    if not overrides:
        return settings
    known = [field.name for field in attrs.fields(kind)]
    for name, value in overrides.items():
        if name not in known:
            known += beside
            alike = get_close_matches(name, known, n=1)
            if isinstance(value, Offset) and "start" in beside:
                alike = ["start"]
            hint = f"did you mean {alike[0]}?" if alike else f"there are {', '.join(known)}"
            raise UnknownSetting(f"{kind.__name__}.{name}", value, hint)
    return attrs.evolve(settings, **overrides)


def _expected(failure: Failure) -> None:
    """Waiting for the cluster ended because the client was closed."""
    failure.trap(ClientClosed, CancelledError)
