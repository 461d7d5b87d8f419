"""A network in memory: what TCP does to protocols, driven by a clock or by hand.

A :class:`MemoryNetwork` knows addresses, some of which somebody listens on. A connection is a
:class:`MemoryLink` with a :class:`MemoryTransport` at either end, which keeps the manners of
Twisted's TCP transports: bytes never arrive inside ``write()``, ``connectionLost`` never comes
inside ``abortConnection()``, a paused reader is left in peace, a producer that writes too much is
paused, and ``loseConnection()`` flushes first.

Unlike TCP it can be told to misbehave: to split, delay, stall, lose, reset, refuse and hang.
Everything happens in the order in which it was caused and nothing is random, so a test takes the
same course every time. Bytes have no meaning here: the client, the fake broker and TLS all stand
on it alike.

This is the front door. It exports names and nothing else.
"""

from __future__ import annotations

from .events import PUMP_LIMIT
from .link import (
    HIGH_WATER,
    LOW_WATER,
    RECEIVE_SIZE,
    Direction,
    MemoryLink,
    MemoryTransport,
    Split,
)
from .network import MemoryNetwork, MemoryPort

__all__ = [
    "HIGH_WATER",
    "LOW_WATER",
    "PUMP_LIMIT",
    "RECEIVE_SIZE",
    "Direction",
    "MemoryLink",
    "MemoryNetwork",
    "MemoryPort",
    "MemoryTransport",
    "Split",
]
