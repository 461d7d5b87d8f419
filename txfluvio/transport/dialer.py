"""From a host and a port to a connection that can be used.

The addresses of SPUs come from metadata and change, so what the floors above hold is no endpoint
but a :class:`Dialer`: one over TCP, one over a network in memory. Both bring TLS where the settings
ask for it. Whom to dial, when, and how often is decided above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ..config import ClientConfig, join_endpoint
from ..errors import HandshakeFailed, InvalidConfig, InvalidHostName
from .factory import connect
from .names import ascii_name
from .protocol import FluvioProtocol

if TYPE_CHECKING:
    from .memory import MemoryNetwork
    from .tls import Tls, TlsAttempt


class Dialer(Protocol):
    """Makes connections."""

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        """Connect to a server; fires when the connection can be used.

        Cancelling gives the attempt up and leaves nothing behind.

        :param server_name: the name to verify and to send by TLS; ``None``: ``host``. Without TLS
            it does not matter.
        :return: fails with :class:`~txfluvio.errors.ConnectFailed` or one of its subclasses; with
            :class:`~txfluvio.errors.InvalidConfig` if TLS can not be set up as asked.
        """


class _EndpointDialer:
    """Dials an endpoint for each server: TLS over it, if it is asked for, and the handshake.

    :param endpoint: makes one of a host, a port and its own timeout. That is longer than
        ``connect_timeout``, so that the error is the same for every kind of endpoint.
    """

    def __init__(
        self,
        config: ClientConfig,
        clock: IReactorTime,
        endpoint: Callable[[str, int, float], IStreamClientEndpoint],
    ) -> None:
        self._config = config
        self._clock = clock
        self._endpoint = endpoint
        self._tls: Tls | None = None

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        """See :meth:`Dialer.dial`."""
        address = join_endpoint(host, port)
        try:
            name = ascii_name(host)
        except ValueError as error:
            invalid = InvalidHostName(address, str(error))
            invalid.__cause__ = error
            return fail(invalid)
        endpoint = self._endpoint(name, port, self._config.connect_timeout + 1)
        if self._config.tls is None:
            return connect(endpoint, self._config, clock=self._clock, address=address)
        # It brings pyOpenSSL along, which plain connections need not wait for.
        from .tls import Tls

        try:
            if self._tls is None:
                self._tls = Tls(self._config.tls)
            attempt = self._tls.attempt(server_name or host)
        except InvalidConfig as error:
            return fail(error)
        over = attempt.over(endpoint, self._clock)
        connecting = connect(over, self._config, clock=self._clock, address=address)
        return connecting.addErrback(_explained, attempt)


def _explained(failure: Failure, attempt: TlsAttempt) -> Failure:
    failure.trap(HandshakeFailed)
    error = cast(HandshakeFailed, failure.value)
    explained = attempt.explain(error)
    if explained is error:
        return failure
    raise explained from error


class TcpDialer(_EndpointDialer):
    """Dials over TCP. A host may be a name or an address.

    :param reactor: connects, tells the time and resolves names, as any reactor does.
    """

    def __init__(self, reactor: IReactorTCP, config: ClientConfig) -> None:
        clock = cast(IReactorTime, reactor)
        super().__init__(config, clock, partial(_tcp_endpoint, reactor))


class MemoryDialer(_EndpointDialer):
    """Dials in a network in memory."""

    def __init__(self, network: MemoryNetwork, config: ClientConfig, clock: IReactorTime) -> None:
        super().__init__(config, clock, network.endpoint)


def _tcp_endpoint(
    reactor: IReactorTCP, host: str, port: int, timeout: float
) -> IStreamClientEndpoint:
    """An endpoint that troubles the resolver's threads only where there is a name to resolve."""
    # They bring pyOpenSSL along as well, and who makes a client need not wait for that.
    from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint

    try:
        version = ip_address(host).version
    except ValueError:
        by_name = HostnameEndpoint(_AskingFor(reactor, host), _ANY_NAME, port, timeout)
        return _NamedEndpoint(by_name, host)
    endpoint = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
    return endpoint(reactor, host, port, timeout)


# HostnameEndpoint connects to the fastest of a name's addresses, but takes only names that
# IDNA 2008 allows. So it is given one of these, and the resolver is asked for what is meant.

_ANY_NAME: Final = "host"


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
@attrs.frozen
class _AskingFor:
    """A reactor whose resolver is asked for this name, whatever name is given to it."""

    reactor: Any
    name: str

    @property
    def nameResolver(self) -> IHostnameResolver:
        return self

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        return cast(IHostnameResolver, self.reactor.installNameResolver(resolver))

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolver: IHostnameResolver = self.reactor.nameResolver
        return resolver.resolveHostName(
            resolutionReceiver, self.name, portNumber, addressTypes, transportSemantics
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _NamedEndpoint:
    """An endpoint that says for which name there was no address."""

    below: IStreamClientEndpoint
    name: str

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self.below.connect(protocolFactory).addErrback(self._not_found)

    def _not_found(self, failure: Failure) -> Failure:
        failure.trap(DNSLookupError)
        raise DNSLookupError(f"no address is known for {self.name}") from failure.value
