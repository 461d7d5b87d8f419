"""Where a command serves something over HTTP: options that take ``PORT`` or ``HOST:PORT``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

from twisted.python.usage import Options, UsageError

from .._numbers import whole_number
from ..console.address import Address


def where_to_serve(name: str, text: str | None) -> tuple[str, int] | None:
    """Host and port of an option that takes PORT, of loopback, or HOST:PORT.

    :raises UsageError: it is neither.
    """
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    number = whole_number(port, high=65535)
    if number is None or bool(colon) != bool(host):
        raise UsageError(f"--{name} takes PORT or HOST:PORT, not {text!r}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", number


class WebOptions(Options):
    """The options of a command that serves the console.

    :cvar web: where, if it is not said.
    """

    web: ClassVar[str | None] = None

    optParameters: ClassVar[list[list[Any]]] = [
        ["web", None, None, "Serve the console, a web page, at PORT of loopback, or at HOST:PORT"]
    ]

    def opt_web_name(self, text: str) -> None:
        """A name that browsers know the console by, where a proxy is before it (repeatable)."""
        from ..testing.server.tls import is_host

        if not is_host(text):
            raise UsageError(
                f"--web-name takes the name of a host, without http:// or a port, not {text!r}"
            )
        self.setdefault("web-names", []).append(text)

    def web_address(self) -> Address | None:
        """Where the console is to be served; None: nowhere.

        :raises UsageError: what was said makes no sense, or can not be done here.
        """
        place = where_to_serve("web", self.web if self["web"] is None else self["web"])
        if place is None:
            if "web-names" in self:
                raise UsageError("--web-name takes a --web beside it")
            return None
        if find_spec("klein") is None:
            raise UsageError("--web needs klein: pip install 'txfluvio[web]'")
        return Address(*place, names=tuple(self.get("web-names", ())))
