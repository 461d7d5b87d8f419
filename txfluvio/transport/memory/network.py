"""Addresses in memory: who listens, who connects, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from .events import Event, Events
from .link import MemoryLink, Split

_FIRST_EPHEMERAL_PORT: Final = 49_152

_log = Logger()


@implementer(IListeningPort)
class MemoryPort:
    """An address that is listened on."""

    def __init__(
        self, network: MemoryNetwork, address: IPv4Address, factory: IProtocolFactory
    ) -> None:
        self._network = network
        self._address = address
        self.factory = factory

    def startListening(self) -> None:
        self._network.open(self)
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Accept no more connections; those that are there stay."""
        if self._network.shut(self):
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return self._address


class MemoryNetwork:
    """Addresses, and the connections between those who listen there and those who connect.

    What is under way arrives by itself when ``clock`` gets there: with a
    :class:`twisted.internet.task.Clock`, ``clock.advance(0)`` is enough where there is no latency.
    :meth:`pump` delivers by hand, without moving the time.

    :ivar split: how links made from now on cut what they deliver.
    :ivar links: the connections of which one end at least is alive, oldest first.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._events = Events(clock)
        self.split: Split | None = None
        self.links: list[MemoryLink] = []
        self._ports: dict[tuple[str, int], MemoryPort] = {}
        self._refusing: set[tuple[str, int]] = set()
        self._hanging: set[tuple[str, int]] = set()
        self._ephemeral = count(_FIRST_EPHEMERAL_PORT)

    # Who listens, who connects

    def listen(self, host: str, port: int, factory: IProtocolFactory) -> MemoryPort:
        """Listen on an address; port 0 is any that is free.

        :raises CannotListenError: somebody does already.
        """
        number = port or next(self._ephemeral)
        listening = MemoryPort(self, IPv4Address("TCP", host, number), factory)
        listening.startListening()
        return listening

    def connect(
        self, host: str, port: int, factory: IProtocolFactory, timeout: float = 30.0
    ) -> Deferred[IProtocol]:
        """Connect to an address.

        Cancelling gives the attempt up; the Deferred then fails with ConnectingCancelledError.

        :param timeout: seconds after which an attempt that hangs has failed.
        :return: the client's protocol; ConnectionRefusedError where nobody listens, TimeoutError,
            NoProtocol if the factory made none.
        """
        address = IPv4Address("TCP", host, port)
        return _Attempt(self, self._events, address, factory, timeout).deferred

    def endpoint(self, host: str, port: int, timeout: float = 30.0) -> IStreamClientEndpoint:
        """What connects to an address."""
        return _ClientEndpoint(self, host, port, timeout)

    def server_endpoint(self, host: str, port: int) -> IStreamServerEndpoint:
        """What listens on an address."""
        return _ServerEndpoint(self, host, port)

    def refuse(self, host: str, port: int) -> None:
        """Refuse connections to an address, though somebody may listen, until :meth:`accept`."""
        self._refusing.add((host, port))

    def hang(self, host: str, port: int) -> None:
        """Let connections to an address neither come about nor fail, until :meth:`accept`."""
        self._hanging.add((host, port))

    def accept(self, host: str, port: int) -> None:
        """Neither refuse nor hang any more."""
        self._refusing.discard((host, port))
        self._hanging.discard((host, port))

    # How time passes

    @property
    def clock(self) -> IReactorTime:
        """Tells the time."""
        return self._events.clock

    @property
    def latency(self) -> float:
        """Seconds from one end to the other, for whatever is sent from now on."""
        return self._events.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._events.latency = seconds

    def pump(self) -> None:
        """Let everything happen that is due by now, and all that follows from it.

        :raises RuntimeError: it never ends.
        """
        self._events.pump()

    def at(self, due: float, happen: Callable[[], object]) -> Event:
        """Let something happen at a time; what is due at the same time keeps its order."""
        return self._events.at(due, happen)

    # For ports and attempts

    def open(self, port: MemoryPort) -> None:
        address = port.getHost()
        if (address.host, address.port) in self._ports:
            raise CannotListenError(address.host, address.port, "somebody listens there already")
        self._ports[address.host, address.port] = port

    def shut(self, port: MemoryPort) -> bool:
        address = port.getHost()
        found = self._ports.get((address.host, address.port)) is port
        if found:
            del self._ports[address.host, address.port]
        return found

    def hangs(self, address: IPv4Address) -> bool:
        return (address.host, address.port) in self._hanging

    def listening(self, address: IPv4Address) -> MemoryPort | None:
        key = (address.host, address.port)
        return None if key in self._refusing else self._ports.get(key)

    def link(self, server: IPv4Address) -> MemoryLink:
        client = IPv4Address("TCP", "127.0.0.1", next(self._ephemeral))
        link = MemoryLink(self._events, client, server, self.split)
        self.links.append(link)
        return link

    def forget(self, link: MemoryLink) -> None:
        if link.client.disconnected and link.server.disconnected:
            self.links.remove(link)


class _Attempt:
    """One connection that is to come about."""

    def __init__(
        self,
        network: MemoryNetwork,
        events: Events,
        address: IPv4Address,
        factory: IProtocolFactory,
        timeout: float,
    ) -> None:
        self._network = network
        self._address = address
        self._factory = factory
        self._stopped = False
        self.deferred: Deferred[IProtocol] = Deferred(self._cancelled)
        factory.doStart()
        if network.hangs(address):
            self._event = events.at(events.now + timeout, self._timed_out)
        else:
            self._event = events.at(events.arrival, self._arrive)

    def _cancelled(self, _: object) -> None:
        self._event.cancel()
        self._failed(ConnectingCancelledError(self._address))

    def _timed_out(self) -> None:
        self._failed(TimeoutError())

    def _failed(self, error: Exception) -> None:
        self._stop()
        self.deferred.errback(error)

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._factory.doStop()

    def _arrive(self) -> None:
        port = self._network.listening(self._address)
        if port is None:
            self._failed(ConnectionRefusedError())
            return
        try:
            client = self._factory.buildProtocol(self._address)
        except Exception as error:
            self._failed(error)
            return
        if client is None:
            self._failed(NoProtocol())
            return
        link = self._network.link(self._address)
        try:
            server = port.factory.buildProtocol(link.server.getPeer())
        except Exception:
            _log.failure("{factory!r} built no protocol", factory=port.factory)
            server = None
        link.server.connect(server or Protocol(), lambda: self._network.forget(link))
        if server is None:
            link.server.abortConnection()
        link.client.connect(client, lambda: self._lost(link))
        if link.client.disconnected:
            self._failed(ConnectError(string="the protocol failed in its first moment"))
        else:
            self.deferred.callback(client)

    def _lost(self, link: MemoryLink) -> None:
        self._stop()
        self._network.forget(link)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _ClientEndpoint:
    network: MemoryNetwork
    host: str
    port: int
    timeout: float

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self.network.connect(self.host, self.port, protocolFactory, self.timeout)


@implementer(IStreamServerEndpoint)
@attrs.frozen
class _ServerEndpoint:
    network: MemoryNetwork
    host: str
    port: int

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        try:
            return succeed(self.network.listen(self.host, self.port, protocolFactory))
        except CannotListenError as error:
            return fail(error)
