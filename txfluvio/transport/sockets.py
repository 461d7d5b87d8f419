"""What is asked of the socket below a connection, where there is one.

All of it is for latency and for noticing a dead peer, and none of it is needed for a connection to
work: what the platform does not know, or the transport does not have, is left out.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.protocols.policies import ProtocolWrapper

KEEPALIVE_PROBES = 4
"""How many times TCP asks a silent peer before it gives the connection up."""

LONGEST_IDLE = 32767
"""Seconds; Linux refuses more, and so would leave its two hours."""

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def tune(transport: ITransport, keepalive: float) -> socket.socket | None:
    """Send small writes at once, and let TCP look for a dead peer.

    :param keepalive: seconds of silence before the first question; the others follow at a third.
        More than :data:`LONGEST_IDLE` counts as that.
    :return: the socket on which to call :func:`acknowledge_now`, where that is of use.
    """
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
    found = _socket_of(transport)
    if found is None:
        return None
    idle = min(max(1, round(keepalive)), LONGEST_IDLE)
    for name, value in (
        ("TCP_KEEPIDLE", idle),
        ("TCP_KEEPINTVL", max(1, idle // 3)),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                found.setsockopt(socket.IPPROTO_TCP, option, value)
    return found if _QUICK_ACK is not None else None


def acknowledge_now(tcp: socket.socket) -> None:
    """Let the kernel acknowledge what was received without its usual delay.

    Fluvio's servers do not set TCP_NODELAY and write a push in two parts: the second waits for the
    acknowledgement of the first, which the kernel delays by up to 40 ms. Linux forgets the setting
    by itself, so it is asked for after each receive.
    """
    if _QUICK_ACK is not None:
        try:
            tcp.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        except OSError:
            return


def _socket_of(transport: ITransport) -> socket.socket | None:
    """The TCP socket of a transport; below TLS, that of the transport that carries it."""
    below: object = transport
    while isinstance(below, ProtocolWrapper):
        below = below.transport
    get_handle = getattr(below, "getHandle", None)
    handle = None if get_handle is None else get_handle()
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        return handle
    return None
