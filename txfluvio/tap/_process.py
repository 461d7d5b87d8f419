"""What both commands need of the process they run in: its two outputs, and its exit status."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence

from twisted.logger import textFileLogObserver
from twisted.python.usage import Options


class LoggingElsewhere(Options):
    """Options of a command whose standard output is its product.

    ``twist`` logs to standard output unless told otherwise; here it logs to standard error.
    """

    def postOptions(self) -> None:
        outer = getattr(self, "parent", None)
        if outer is not None and outer.get("logFile") is sys.stdout:
            outer["logFile"] = sys.stderr
            if "logFormat" not in outer or outer["logFormat"] == "json":
                outer["fileLogObserverFactory"] = textFileLogObserver


class Output:
    """Standard output, unbuffered and in bytes, whatever a log has made of ``sys.stdout``.

    :param fd: the file descriptor.
    """

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write all pieces.

        :raises BrokenPipeError: nobody reads any more.
        """
        rest = memoryview(b"".join(pieces))
        while rest:
            rest = rest[os.write(self._fd, rest) :]


def complain(command: str, reason: object) -> None:
    """Tell the user, in one line on standard error."""
    text = " ".join(str(reason).split())
    os.write(2, f"{command}: {text}\n".encode())


def exit_with(status: int) -> None:
    """Make the process end with ``status``, though ``twist`` itself knows only 0."""
    atexit.register(os._exit, status)
