"""What is asked of a socket is something that the platform takes."""

from __future__ import annotations

import socket
from typing import Any

import attrs
import pytest

from txfluvio.transport.sockets import tune

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "TCP_KEEPIDLE"), reason="this platform has no such settings"
)


@attrs.frozen
class OnSocket:
    """As much of a transport as is asked for its socket."""

    tcp: socket.socket

    def getHandle(self) -> socket.socket:
        return self.tcp


@pytest.mark.parametrize(
    ("keepalive", "idle", "interval"),
    [
        (15.0, 15, 5),
        (0.1, 1, 1),
        (40_000.0, 32767, 32767 // 3),
        (1e300, 32767, 32767 // 3),
    ],
)
def test_tcp_asks_after_so_much_silence(keepalive: float, idle: int, interval: int) -> None:
    with socket.socket() as tcp:
        transport: Any = OnSocket(tcp)
        tune(transport, keepalive)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == interval
