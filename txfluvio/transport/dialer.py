"""From a host and a port to a connection that can be used.

The addresses of SPUs come from metadata and change, so what the floors above hold is no endpoint
but a :class:`Dialer`: one over TCP, one over a network in memory. Both bring TLS where the settings
ask for it. Whom to dial, when, and how often is decided above.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)

from ..config import ClientConfig
from .factory import connect
from .memory import MemoryNetwork
from .protocol import FluvioProtocol


class Dialer(Protocol):
    """Makes connections."""

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        """Connect to a server; fires when the connection can be used.

        Cancelling gives the attempt up and leaves nothing behind.

        :param server_name: the name to verify and to send by TLS; ``None``: ``host``. Without TLS
            it does not matter.
        :return: fails with :class:`~txfluvio.errors.ConnectFailed` or one of its subclasses.
        """


class TcpDialer:
    """Dials over TCP. A host may be a name or an address.

    :param reactor: connects, tells the time and resolves names, as any reactor does.
    """

    def __init__(self, reactor: IReactorTCP, config: ClientConfig) -> None:
        self._reactor = reactor
        self._clock = cast(IReactorTime, reactor)
        self._config = config

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        endpoint = _tcp_endpoint(self._reactor, host, port, self._config.connect_timeout)
        address = _address(host, port)
        return connect(endpoint, self._config, clock=self._clock, address=address)


class MemoryDialer:
    """Dials in a network in memory."""

    def __init__(self, network: MemoryNetwork, config: ClientConfig, clock: IReactorTime) -> None:
        self._network = network
        self._config = config
        self._clock = clock

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        endpoint = self._network.endpoint(host, port, self._config.connect_timeout + 1)
        return connect(endpoint, self._config, clock=self._clock, address=_address(host, port))


def _tcp_endpoint(
    reactor: IReactorTCP, host: str, port: int, timeout: float
) -> IStreamClientEndpoint:
    """An endpoint without a detour over the resolver's threads where there is nothing to resolve.

    Its own timeout is the longer one, so that the error is the same for every kind of endpoint.
    """
    try:
        version = ip_address(host).version
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout + 1)
    endpoint = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
    return endpoint(reactor, host, port, timeout + 1)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
