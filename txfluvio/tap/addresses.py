"""Where a command serves something over HTTP: options that take ``PORT`` or ``HOST:PORT``."""

from __future__ import annotations

from importlib.util import find_spec

from twisted.python.usage import UsageError

WEB = "Serve the console, a web page, at PORT of loopback, or at HOST:PORT; 0: a free port"
"""What ``--web`` does, wherever there is one."""


def where_to_serve(name: str, text: str | None) -> tuple[str, int] | None:
    """Host and port of an option that takes PORT, of loopback, or HOST:PORT.

    :raises UsageError: it is neither.
    """
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or bool(colon) != bool(host):
        raise UsageError(f"--{name} takes PORT or HOST:PORT, not {text!r}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def web_address(text: str | None) -> tuple[str, int] | None:
    """Host and port that ``--web`` asks for.

    :raises UsageError: it makes no sense, or can not be done here.
    """
    address = where_to_serve("web", text)
    if address is not None and find_spec("klein") is None:
        raise UsageError("--web needs klein: pip install 'txfluvio[web]'")
    return address
