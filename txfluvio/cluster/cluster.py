"""The cluster as the floors above see it: what it looks like now, and connections to its servers.

A :class:`Cluster` is started and stopped once. Everything it needs from outside comes in by its
constructor: settings, a dialer, a clock, and a source of chance.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..config import ClientConfig
from ..errors import (
    ClientClosed,
    ConnectFailed,
    Effect,
    FluvioError,
    NotStarted,
    PartitionNotFound,
    RequestTimedOut,
    TopicNotFound,
    WaitTimedOut,
)
from ..interfaces import IMetrics
from ..metrics import NOTHING
from ..transport.calls import ReplyStream
from ..transport.dialer import Dialer
from ..transport.protocol import FluvioProtocol
from ..wire.sc import Kind, ListRequest, WatchRequest, WatchResponse
from ..wire.schema import Message, Request
from .connections import Connections, Purpose, ScCalls, SpuPool
from .retry import GivenUp, Retrying, may_succeed, nothing_happened
from .time_left import TimeLeft, within
from .topology import Topology
from .watcher import ConnectionState, Watcher

T = TypeVar("T")
ReplyT = TypeVar("ReplyT", bound=Message)

TOPIC_GRACE = 1.0
"""Seconds that a topic, or a partition, which was perhaps made a moment ago is looked for."""

NOT_KNOWN: Final = "the cluster is not known"
"""What is missing where nothing was told of it yet."""

TELLING: Final = 1.0
"""Seconds that an attempt to connect may take to tell its reason, once its time is over."""


@attrs.frozen
class WatchHandle:
    """A watch on one kind of objects, and the connection it has to itself."""

    _protocol: FluvioProtocol
    _stream: ReplyStream

    def close(self) -> None:
        """End it: neither callback is called again."""
        self._stream.close()
        self._protocol.close()


class Cluster:
    """One cluster, from :meth:`start` to :meth:`stop`.

    :ivar config: the settings.
    :ivar metrics: is told what happens.
    :ivar clock: tells the time that everything here goes by.
    :ivar retrying: tries again as the settings say.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        dialer: Dialer,
        clock: IReactorTime,
        rng: Random,
        metrics: IMetrics = NOTHING,
    ) -> None:
        self.config = config
        self.metrics = metrics
        self.clock = clock
        self.retrying = Retrying(config.retry, clock, rng)
        self._connections = Connections(config, dialer=dialer, metrics=metrics)
        self._watcher = Watcher(config, dial=self._connections.to_sc, retrying=self.retrying)
        self._pool = SpuPool(self._connections, lambda spu_id: self.topology.spu(spu_id))
        self._sc = ScCalls(self._connections, clock)
        self._calls: dict[Deferred[Any], None] = {}

    # Coming and going

    def start(self, *, for_ever: bool = False) -> Deferred[None]:
        """Begin to watch the cluster; fires when it is known.

        It goes on, and connects again whenever that is needed, until :meth:`stop`, whatever
        becomes of the Deferred. Cancelling that ends only the waiting.

        :param for_ever: whether to wait for ever. Otherwise it fails after ``connect_timeout``, or
            at once with an error that will not go away by waiting, with that error or
            :class:`~txfluvio.errors.ConnectFailed`.
        """
        self._watcher.start()
        known = self._watcher.wait_for(
            lambda topology: topology,
            missing=NOT_KNOWN,
            timeout=None if for_ever else self.config.connect_timeout,
            hopeless=lambda error: not (for_ever or error.retriable),
        )
        known.addErrback(self._told_why).addErrback(self._not_connected)
        return known.addCallback(lambda _: None)

    def _told_why(self, failure: Failure) -> Failure | Deferred[Topology]:
        """The first attempt may have as much time, and tells why when its connection is gone."""
        if failure.check(WaitTimedOut) is None or self.version or self._watcher.last_error:
            return failure
        return self._watcher.wait_for(
            lambda topology: topology, missing="", timeout=TELLING, hopeless=lambda _: True
        )

    def _not_connected(self, failure: Failure) -> Failure:
        if failure.check(WaitTimedOut) is None:
            return failure
        cause = self._watcher.last_error
        if isinstance(cause, ConnectFailed):
            return Failure(cause)
        reason = str(cause) if cause else f"no answer within {self.config.connect_timeout:g} s"
        error = ConnectFailed(self.config.endpoint, reason)
        error.__cause__ = cause
        return Failure(error)

    def stop(self, *, hurried: bool = False) -> Deferred[None]:
        """End everything under way, with :class:`~txfluvio.errors.ClientClosed`, and every
        connection; fires when the last of them is gone.

        May be called again, in a hurry then. Cancelling ends only the waiting.

        :param hurried: whether to send not even what was written.
        """
        self._watcher.stop()
        # Those that wait for a turn first, so that none of them gets one, and dials.
        for call in reversed(list(self._calls)):
            call.cancel()
        return self._connections.close(hurried=hurried)

    # What it looks like

    @property
    def topology(self) -> Topology:
        """The current snapshot; it is replaced as a whole, never changed."""
        return self._watcher.topology

    @property
    def state(self) -> ConnectionState:
        """How things stand with the SC."""
        return self._watcher.state

    @property
    def version(self) -> str:
        """The release of the SC; empty before the first connection."""
        return self._watcher.cluster_version

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Requests that wait for their reply."""
        return self._connections.in_flight

    def when_connected(self) -> Deferred[None]:
        """Fires while the topology is being kept up to date, perhaps at once."""
        return self._watcher.wait_for(
            lambda _: self.state is ConnectionState.CONNECTED or None, missing="no connection"
        ).addCallback(lambda _: None)

    def subscribe(self, on_change: Callable[[Topology], None]) -> Callable[[], None]:
        """Call ``on_change`` after each replacement of the topology; returns what ends that."""
        return self._watcher.subscribe(on_change)

    def wait_for(
        self,
        condition: Callable[[Topology], T | None],
        *,
        missing: str | Callable[[Topology], str],
        timeout: float | None = None,
        about: tuple[str, int] | None = None,
    ) -> Deferred[T]:
        """Fires with what ``condition`` returns, as soon as that is not None.

        It is asked now and for every new topology, or those in which what it is about has changed;
        what it raises is what the Deferred fails with. Cancelling ends the waiting.

        :param missing: what is being waited for, for the error: a text, or a function of the
            topology of that moment.
        :param timeout: seconds, after which it fails with
            :class:`~txfluvio.errors.WaitTimedOut`; None: for ever.
        :param about: the topic and number of the one partition that the condition looks at, its
            SPU and its topic included; None: it looks at more, or at something else.
        """
        return self._watcher.wait_for(condition, missing=missing, timeout=timeout, about=about)

    def timed_out(self, missing: str, seconds: float) -> WaitTimedOut:
        """The error of a wait in vain; where there is no connection to the SC, it says why.

        :param missing: what was waited for.
        :param seconds: for how long.
        """
        return self._watcher.timed_out(missing, seconds)

    def known(self, timeout: float) -> Deferred[Topology]:
        """Fires with the topology, as soon as there is one. Cancelling ends the waiting.

        :param timeout: seconds, after which it fails with
            :class:`~txfluvio.errors.WaitTimedOut`.
        """
        return self.wait_for(lambda topology: topology, missing=NOT_KNOWN, timeout=timeout)

    def find(self, look: Callable[[Topology], T], *, timeout: float) -> Deferred[T]:
        """Fires with what ``look`` finds.

        Where it misses a topic or a partition, that may have been made a moment ago: it is asked
        again for ``TOPIC_GRACE`` seconds, before what it raises is what the Deferred fails with.
        Cancelling ends the waiting.

        :param timeout: seconds until the topology is known, as for :meth:`known`.
        """
        return Deferred.fromCoroutine(self._find(look, timeout))

    async def _find(self, look: Callable[[Topology], T], timeout: float) -> T:
        def found(topology: Topology) -> T | None:
            try:
                return look(topology)
            except (TopicNotFound, PartitionNotFound):
                return None

        await self.known(timeout)
        try:
            return await self.wait_for(found, missing="", timeout=TOPIC_GRACE)
        except WaitTimedOut:
            return look(self.topology)

    # SPUs

    def produce_connection(
        self, spu_id: int, *, committed: bool = False
    ) -> Deferred[FluvioProtocol]:
        """A connection to produce over, shared, and dialled afresh if there is none.

        An SPU answers in order, so a produce that waits for replicas holds up those behind it on
        its connection: these take turns over several of their own. No stream is on any of them.

        Cancelling ends the waiting; the connection is made all the same, for whoever asks next.

        :param committed: whether the produce is to wait for its replicas.
        """
        if (refused := self._refused()) is not None:
            return fail(refused)
        return self._pool.get(spu_id, Purpose.COMMITTED if committed else Purpose.PRODUCE)

    def open_connection(self, spu_id: int) -> Deferred[FluvioProtocol]:
        """A new connection to an SPU, at the address it has now; the caller closes it.

        Cancelling gives up dialling, and leaves nothing behind.
        """
        if (refused := self._refused()) is not None:
            return fail(refused)
        try:
            spu = self.topology.spu(spu_id)
        except FluvioError as error:
            return fail(error)
        return self._connections.to_spu(spu)

    def spu_request(
        self, spu_id: int, message: Request[ReplyT], *, timeout: float | None = None
    ) -> Deferred[ReplyT]:
        """The reply of an SPU to a short call, over a shared connection.

        It is asked once. A connection on which no reply comes in time is closed. Cancelling drops
        the reply, and the connection stays, since others share it; a request that has left may
        take effect all the same.

        :param timeout: seconds, connecting included; None: ``request_timeout``.
        """
        return self.run(self._ask_spu(spu_id, message, self._seconds(timeout)))

    async def _ask_spu(self, spu_id: int, message: Request[ReplyT], seconds: float) -> ReplyT:
        left = TimeLeft.of(self.clock, seconds)

        def late() -> FluvioError:
            what = f"{message.api.name} to SPU {spu_id}"
            return RequestTimedOut(what, seconds, effect=Effect.NONE)

        connecting = self._pool.get(spu_id, Purpose.CALLS)
        protocol = await within(connecting, left, late)
        try:
            return await protocol.request(message, timeout=left.seconds)
        except RequestTimedOut:
            protocol.abort()
            raise
        except CancelledError as error:
            raise GivenUp from error

    # The SC

    def sc_request(
        self,
        message: Request[ReplyT],
        *,
        timeout: float | None = None,
        on_sending: Callable[[], object] = lambda: None,
    ) -> Deferred[ReplyT]:
        """The reply of the SC to a call.

        It is made again, as the retry policy says, after an error that allows it: a list after any
        loss of connection, all else only if the request had not left. Cancelling after it has left
        closes its connection; it may take effect all the same.

        :param timeout: seconds for all of it; None: ``request_timeout``.
        :param on_sending: called each time that it is about to be sent.
        """
        again = may_succeed if isinstance(message, ListRequest) else nothing_happened
        return self.run(
            self.retrying.call(
                lambda left: self._sc.call(message, left, on_sending),
                seconds=self._seconds(timeout),
                again=again,
            )
        )

    def open_watch(
        self,
        kind: Kind,
        *,
        on_reply: Callable[[WatchResponse], None],
        on_closed: Callable[[FluvioError], None],
        summary: bool = False,
    ) -> Deferred[WatchHandle]:
        """Watch one kind of objects, over a connection of its own, which is dialled once.

        Cancelling gives up dialling, and leaves nothing behind.

        :param on_reply: called with each message.
        :param on_closed: called once if the connection ends before the watch is closed.
        :param summary: whether to leave out the bytes of SmartModules.
        """
        if (refused := self._refused()) is not None:
            return fail(refused)

        def watch(protocol: FluvioProtocol) -> WatchHandle:
            request = WatchRequest(kind=kind, summary=summary)
            try:
                return WatchHandle(protocol, protocol.open_stream(request, on_reply, on_closed))
            except FluvioError:
                protocol.close()
                raise

        return self._connections.to_sc().addCallback(watch)

    # Calls under way

    def _seconds(self, timeout: float | None) -> float:
        return self.config.request_timeout if timeout is None else timeout

    def _refused(self) -> FluvioError | None:
        if self.state is ConnectionState.NEW:
            return NotStarted("client")
        return ClientClosed() if self.state is ConnectionState.STOPPED else None

    def run(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Do ``work``; if the cluster stops before it is done, it is cancelled, and the Deferred
        fails with :class:`~txfluvio.errors.ClientClosed`, whose effect is that of a
        :class:`GivenUp` which the work ends with. Cancelling the Deferred cancels the work.
        """
        if (refused := self._refused()) is not None:
            work.close()
            return fail(refused)
        call = Deferred.fromCoroutine(work)
        self._calls[call] = None

        def done(result: T | Failure) -> T | Failure:
            self._calls.pop(call, None)
            stopped = self.state is ConnectionState.STOPPED
            if stopped and isinstance(result, Failure) and result.check(CancelledError):
                closed = ClientClosed()
                if isinstance(result.value, GivenUp):
                    closed.effect = result.value.effect
                return Failure(closed)
            return result

        return call.addBoth(done)
