"""Keeping the topology up to date: three watches on the SC, over a connection of their own.

:class:`Watcher` has the current :class:`~txfluvio.cluster.topology.Topology` and replaces it for
every message of its watches. When the connection is lost it dials again, for ever, and keeps the
old snapshot until the new watches have told of every kind of object; these then are the whole
truth, since an SC that was started again counts its epochs from the beginning.

Those who need the cluster in some state wait for a condition on the topology.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..config import ClientConfig
from ..errors import (
    ClientClosed,
    FluvioError,
    NotStarted,
    ProtocolError,
    RequestTimedOut,
    WaitTimedOut,
)
from ..transport.protocol import FluvioProtocol
from ..wire.sc import Kind, WatchRequest, WatchResponse
from .retry import Attempts, Retrying
from .topology import WATCHED, Topology

T = TypeVar("T")


class ConnectionState(enum.Enum):
    """How a client stands with its cluster's SC."""

    NEW = "not started"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "connecting again"
    STOPPED = "stopped"


@attrs.define(eq=False)
class _Waiter:
    """Somebody who waits for a condition.

    :ivar about: the partition that the condition is about, by topic and number, if it is one.
    :ivar hopeless: whether an error on the way to the SC ends the waiting.
    """

    condition: Callable[[Topology], Any]
    missing: str | Callable[[Topology], str]
    about: tuple[str, int] | None
    hopeless: Callable[[FluvioError], bool]
    deferred: Deferred[Any]
    call: IDelayedCall | None = None

    def settle(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.cancel()


@attrs.define(eq=False)
class _Watching:
    """The watches of one connection.

    :ivar topology: as they have told it so far.
    :ivar ended: fails with why they have ended.
    """

    topology: Topology
    ended: Deferred[None] = attrs.field(factory=Deferred)

    def fold(self, kind: Kind, message: WatchResponse) -> bool:
        """Take in a message; whether it says anything new. One that is wrong ends them."""
        before = self.topology
        try:
            self.topology = before.fold(message.of(kind))
        except ProtocolError as error:
            self.end(error)
        return self.topology is not before

    def end(self, error: FluvioError) -> None:
        """They are over, unless they were before."""
        if not self.ended.called:
            self.ended.errback(error)


class Watcher:
    """The topology, and what keeps it up to date.

    :ivar topology: the current snapshot.
    :ivar state: how things stand with the SC.
    :ivar cluster_version: the release of the SC as last told; empty before it was.
    :ivar last_error: why the last attempt to connect, or the last connection, failed.
    """

    _log = Logger()

    def __init__(
        self,
        config: ClientConfig,
        *,
        dial: Callable[[], Deferred[FluvioProtocol]],
        retrying: Retrying,
    ) -> None:
        self._config = config
        self._dial = dial
        self._retrying = retrying
        self._clock = retrying.clock
        self._running: Deferred[None] | None = None
        self._waiters: dict[_Waiter, None] = {}
        self._subscribers: dict[object, Callable[[Topology], None]] = {}
        self.topology = Topology(use_local_address=config.use_spu_local_address)
        self.state = ConnectionState.NEW
        self.cluster_version = ""
        self.last_error: FluvioError | None = None

    # What others do with it

    def start(self) -> None:
        """Begin to watch; it goes on until :meth:`stop`."""
        self.state = ConnectionState.CONNECTING
        self._running = Deferred.fromCoroutine(self._keep_watching())
        self._running.addErrback(self._ended)

    def stop(self) -> None:
        """Watch no more. Whoever waits is told that the client is closed."""
        self.state = ConnectionState.STOPPED
        self._subscribers.clear()
        waiters = list(self._waiters)
        if self._running is not None:
            self._running.cancel()
        for waiter in waiters:
            # Who was told before may have cancelled this one.
            if self._dismiss(waiter):
                waiter.deferred.errback(ClientClosed())

    def subscribe(self, on_change: Callable[[Topology], None]) -> Callable[[], None]:
        """Call ``on_change`` with every new snapshot, until the function returned is called."""
        key = object()
        self._subscribers[key] = on_change

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    def wait_for(
        self,
        condition: Callable[[Topology], T | None],
        *,
        missing: str | Callable[[Topology], str],
        timeout: float | None = None,
        about: tuple[str, int] | None = None,
        hopeless: Callable[[FluvioError], bool] = lambda _: False,
    ) -> Deferred[T]:
        """Fires with what ``condition`` returns, as soon as that is not None.

        It is asked now, if there is a topology, and for every new one, or those in which what it
        is about has changed. What it raises is what the Deferred fails with. Cancelling ends the
        waiting.

        :param missing: what the condition waits for, for the error: a text, or a function of the
            topology of that moment.
        :param timeout: seconds, after which it fails with
            :class:`~txfluvio.errors.WaitTimedOut`, caused by what keeps it from the SC, if
            anything does; None: for ever.
        :param about: the topic and number of the one partition that the condition looks at, its
            SPU and its topic included; None: it looks at more, or at something else.
        :param hopeless: whether an error on the way to the SC ends the waiting.
        """
        if self.state is ConnectionState.NEW:
            return fail(NotStarted("client"))
        if self.state is ConnectionState.STOPPED:
            return fail(ClientClosed())
        error = self.last_error
        if error is not None and hopeless(error):
            # An attempt may fail before anybody can wait for what comes of it.
            return fail(error)

        def cancelled(_: object) -> None:
            self._dismiss(waiter)

        deferred: Deferred[T] = Deferred(cancelled)
        waiter = _Waiter(condition, missing, about, hopeless, deferred)
        self._waiters[waiter] = None
        if timeout is not None:
            # A late reactor, or a clock set forward, leaves less than nothing.
            timeout = max(0.0, timeout)
            waiter.call = self._clock.callLater(timeout, self._expired, waiter, timeout)
        if self.topology.loaded:
            self._ask(waiter)
        return deferred

    def timed_out(self, missing: str, seconds: float) -> WaitTimedOut:
        """The error of a wait in vain, caused by what keeps it from the SC, if anything does.

        :param missing: what was waited for.
        :param seconds: for how long.
        """
        error = WaitTimedOut(missing, seconds)
        error.__cause__ = self.last_error
        return error

    # Those who wait

    def _dismiss(self, waiter: _Waiter) -> bool:
        """Whether the waiter was still waiting; it no longer is."""
        waiter.settle()
        waiting = waiter in self._waiters
        self._waiters.pop(waiter, None)
        return waiting

    def _ask(self, waiter: _Waiter) -> None:
        try:
            result = waiter.condition(self.topology)
        except Exception:
            if self._dismiss(waiter):
                waiter.deferred.errback()
        else:
            if result is not None and self._dismiss(waiter):
                waiter.deferred.callback(result)

    def _expired(self, waiter: _Waiter, seconds: float) -> None:
        waiter.call = None
        self._dismiss(waiter)
        missing = waiter.missing
        if callable(missing):
            missing = missing(self.topology)
        waiter.deferred.errback(self.timed_out(missing, seconds))

    # Watching

    async def _keep_watching(self) -> None:
        attempts = Attempts(self._retrying)
        while True:
            version = self.topology.version
            try:
                protocol = await self._dial()
                attempts.begin()
                await self._watch(protocol)
            except ClientClosed:
                return
            except FluvioError as error:
                self._failed(error)
            if self.state is ConnectionState.STOPPED:
                # Whoever was told of the error has stopped this, which can not cancel what runs.
                return
            told = self.topology.version > version
            await deferLater(self._clock, attempts.fail(worked=told))

    def _ended(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the watching ended", failure)

    async def _watch(self, protocol: FluvioProtocol) -> None:
        """Watch over one connection until it ends, which raises why."""
        self.cluster_version = protocol.platform_version
        seconds = self._config.connect_timeout
        late = RequestTimedOut(f"the objects of {protocol.address}", seconds)
        watching = _Watching(self.topology.restarted())
        overdue = self._clock.callLater(seconds, watching.end, late)

        def told(kind: Kind, message: WatchResponse) -> None:
            if watching.fold(kind, message) and watching.topology.loaded:
                if overdue.active():
                    overdue.cancel()
                self._replace(watching.topology)

        try:
            for kind in WATCHED:
                protocol.open_stream(WatchRequest(kind=kind), partial(told, kind), watching.end)
            protocol.when_closed().addCallback(watching.end)
            await watching.ended
        finally:
            if overdue.active():
                overdue.cancel()
            protocol.close()

    def _replace(self, topology: Topology) -> None:
        if self.state is ConnectionState.STOPPED:
            return
        before, self.topology = self.topology, topology
        self.state = ConnectionState.CONNECTED
        self.last_error = None
        # Subscribers first: whoever has waited for the change finds them knowing it.
        for key, on_change in list(self._subscribers.items()):
            if key in self._subscribers:
                try:
                    on_change(topology)
                except Exception:
                    self._log.failure("{on_change!r} failed", on_change=on_change)
        for waiter in self._concerned(before):
            if waiter in self._waiters:
                self._ask(waiter)

    def _concerned(self, before: Topology) -> list[_Waiter]:
        """Those who wait for something that may have changed since, in the order they came."""
        abouts = [waiter.about for waiter in self._waiters]
        topics = dict.fromkeys([about[0] for about in abouts if about is not None])
        changed = {topic: self.topology.changed(topic, before) for topic in topics}
        return [
            waiter
            for waiter, about in zip(self._waiters, abouts, strict=True)
            if about is None or about[1] in changed[about[0]]
        ]

    def _failed(self, error: FluvioError) -> None:
        self.last_error = error
        if self.state is ConnectionState.CONNECTED:
            self.state = ConnectionState.RECONNECTING
            self._log.info("lost the SC: {error}", error=error)
        else:
            self._log.info("no connection to the SC: {error}", error=error)
        for waiter in list(self._waiters):
            if waiter.hopeless(error) and self._dismiss(waiter):
                waiter.deferred.errback(error)
