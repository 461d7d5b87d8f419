"""How a connection becomes one that can be used.

:func:`connect` takes any endpoint and fires when the versions were exchanged, not merely when
somebody has picked up: a server of another kind, a wrong port or a refused certificate shows only
then. What it can not bring about it names, with the address and the reason.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from typing import NoReturn, cast

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ..config import ClientConfig
from ..errors import (
    ConnectFailed,
    Disconnected,
    FluvioError,
    HandshakeFailed,
    RequestTimedOut,
    TlsRequired,
)
from .protocol import CLOSE_GRACE, FluvioProtocol

_RELEASE = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")


@cache
def client_version() -> str:
    """The version of this library as a semantic version.

    The SC hangs up on a client whose version is none, and Python's own notation for anything but a
    release is none: only the release counts here.
    """
    try:
        version = metadata.version("txfluvio")
    except metadata.PackageNotFoundError:
        version = ""
    match = _RELEASE.match(version)
    return ".".join(str(int(part or 0)) for part in (match.groups() if match else (0, 0, 0)))


@implementer(IProtocolFactory)
class FluvioFactory:
    """Builds protocols for any endpoint. They are not ready yet: see :func:`connect`."""

    def __init__(
        self, config: ClientConfig, *, clock: IReactorTime, address: str | None = None
    ) -> None:
        """
        :param config: what the protocols keep to, see :class:`FluvioProtocol`.
        :param clock: measures their times.
        :param address: the peer, ``"host:port"``, for messages; ``None``: ``config.endpoint``.
        """
        self._config = config
        self._clock = clock
        self.address = config.endpoint if address is None else address

    def buildProtocol(self, addr: IAddress) -> FluvioProtocol:
        return FluvioProtocol(
            self._config,
            clock=self._clock,
            address=self.address,
            client_version=client_version(),
        )

    def doStart(self) -> None:
        pass

    def doStop(self) -> None:
        pass

    def logPrefix(self) -> str:
        return "FluvioFactory"


def connect(
    endpoint: IStreamClientEndpoint,
    config: ClientConfig,
    *,
    clock: IReactorTime,
    address: str | None = None,
) -> Deferred[FluvioProtocol]:
    """Connect to a server, and exchange versions with it.

    Cancelling gives up whatever stage has been reached and leaves nothing behind. What has failed,
    or was cancelled, fires when its connection is gone, or ``CLOSE_GRACE`` seconds
    later if its transport does not say that it is.

    :param endpoint: where to connect; if it brings TLS, that counts as handshake.
    :param config: ``connect_timeout`` limits the whole, ``handshake_timeout`` the part after the
        connection, and the rest is for the protocol.
    :param clock: measures all times.
    :param address: the peer, ``"host:port"``, for messages; ``None``: ``config.endpoint``.
    :return: a usable protocol; :class:`~txfluvio.errors.ConnectFailed` if there was no connection,
        :class:`~txfluvio.errors.TlsRequired` if the peer speaks TLS,
        :class:`~txfluvio.errors.HandshakeFailed` if it is not what it should be. The cause is kept.
    """
    factory = FluvioFactory(config, clock=clock, address=address)
    return Deferred.fromCoroutine(_connect(endpoint, factory, config.connect_timeout, clock))


async def _connect(
    endpoint: IStreamClientEndpoint, factory: FluvioFactory, seconds: float, clock: IReactorTime
) -> FluvioProtocol:
    address = factory.address
    deadline = clock.seconds() + seconds
    connecting = _connecting(endpoint, factory)
    connecting.addTimeout(seconds, clock, _too_late)
    try:
        protocol = cast(FluvioProtocol, await connecting)
    except (CancelledError, ConnectingCancelledError):
        raise CancelledError from None
    except Exception as error:
        raise ConnectFailed(address, str(error).rstrip(".")) from error
    ready = protocol.when_ready()
    ready.addTimeout(max(0.0, deadline - clock.seconds()), clock, _too_late)
    try:
        return await ready
    except CancelledError:
        raise
    except Exception as error:
        raise _handshake_failure(address, protocol, error) from error
    finally:
        if not protocol.usable:
            protocol.abort()
            await _gone(protocol, clock)


def _connecting(endpoint: IStreamClientEndpoint, factory: FluvioFactory) -> Deferred[IProtocol]:
    """What comes of connecting; for who cancels it a CancelledError, whatever the endpoint says.

    Of a name that is no longer resolved Twisted says the same as of one that is not known.
    """
    cancelled = False

    def cancel(_: object) -> None:
        nonlocal cancelled
        cancelled = True
        connecting.cancel()

    def tell(result: IProtocol | Failure) -> IProtocol | Failure | None:
        if cancelled:
            return Failure(CancelledError()) if isinstance(result, Failure) else result
        outcome.callback(result)
        return None

    def ended(failure: Failure) -> Deferred[IProtocol]:
        return connecting if cancelled else fail(failure)

    outcome: Deferred[IProtocol] = Deferred(cancel)
    connecting = endpoint.connect(factory)
    connecting.addBoth(tell)
    return outcome.addErrback(ended)


async def _gone(protocol: FluvioProtocol, clock: IReactorTime) -> None:
    """Wait for the end of what was aborted, however often this is cancelled.

    It comes at once, but not every transport tells of it.
    """
    deadline = clock.seconds() + CLOSE_GRACE
    while (left := deadline - clock.seconds()) > 0:
        try:
            await protocol.when_closed().addTimeout(left, clock)
        except CancelledError:
            continue
        except DeferredTimeout:
            pass
        return


class TooLate(Exception):
    """The time for the whole attempt is over."""


def _too_late(result: object, seconds: float) -> NoReturn:
    raise TooLate(f"nothing came of it within {seconds:g} s")


def _handshake_failure(address: str, protocol: FluvioProtocol, error: Exception) -> FluvioError:
    if isinstance(error, RequestTimedOut):
        reason = f"no answer within {error.seconds:g} s"
    else:
        reason = error.reason if isinstance(error, Disconnected) else str(error)
    if protocol.foreign_protocol == "TLS":
        return TlsRequired(address, reason)
    return HandshakeFailed(address, reason)
