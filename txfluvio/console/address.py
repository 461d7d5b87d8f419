"""Where the console listens, and whom it serves there."""

from __future__ import annotations

import socket

import attrs

from .._callers import LOCAL_NAMES, Callers

_ANYWHERE = ("0.0.0.0", "::")


@attrs.frozen
class Address:
    """Where the console listens.

    :ivar host: an address of this machine; ``0.0.0.0`` or ``::``: all of them.
    :ivar names: other names that browsers know it by, such as that of a proxy in front of it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()

    @property
    def callers(self) -> Callers:
        """Who is served there."""
        everywhere = self.host in _ANYWHERE
        own = (socket.gethostname(),) if everywhere else ()
        return Callers(
            names=(self.host, *LOCAL_NAMES, *own, *self.names),
            any_address=everywhere,
            same_origin=True,
        )
