"""Who may call what is served over HTTP here: programs on the same machine, and pages served here.

A browser lets any page send requests to any address. It says truthfully, though, by which name it
was led to this machine (``Host``) and whose page is asking (``Origin``). Pure: headers in, a reason
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

import attrs

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
"""What this machine calls itself."""


class Headers(Protocol):
    """As Twisted has them."""

    def getRawHeaders(self, name: bytes, /) -> Sequence[bytes] | None:
        """The values of all headers of this name."""


def _lowered(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.lower() for name in names))


@attrs.frozen(kw_only=True)
class Callers:
    """Whose requests are served.

    :ivar names: what a request may call this machine, in small letters or not.
    :ivar any_address: whether that may be any IP address as well. Nobody can lead a browser here by
        an address and have it take a page of theirs for one of ours; with a name they can.
    :ivar same_origin: whether a page has to come from the very address that it calls, and not just
        from this machine.
    """

    names: Sequence[str] = attrs.field(default=LOCAL_NAMES, converter=_lowered)
    any_address: bool = False
    same_origin: bool = False

    def refusal(self, headers: Headers) -> str | None:
        """Why the request with these headers is not served; None if it is."""
        hosts, origins = _texts(headers, b"host"), _texts(headers, b"origin")
        for host in hosts or [""]:
            if not self._is_here(f"//{host}"):
                return self._expected("Host")
        for origin in origins:
            if not self._is_here(origin):
                return self._expected("Origin")
            if self.same_origin and urlsplit(origin).netloc not in hosts:
                return "the header Origin has to name the same address as the header Host"
        return None

    def _is_here(self, url: str) -> bool:
        try:
            name = urlsplit(url).hostname
        except ValueError:
            return False
        return name in self.names or (self.any_address and _is_address(name or ""))

    def _expected(self, header: str) -> str:
        known = (*self.names, *(["an IP address"] if self.any_address else []))
        return f"the header {header} has to name {' or '.join(known)}"


def _texts(headers: Headers, name: bytes) -> list[str]:
    # Asked for as text, those that are no UTF-8 would be an error.
    return [value.decode("latin-1") for value in headers.getRawHeaders(name) or ()]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
