"""What both commands need of the process they run in: its outputs, its log, and its exit status."""

from __future__ import annotations

import atexit
import getopt
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorCore
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.usage import Options, UsageError

from .output import write_all

DONE, FAILED, WRONG_USAGE, BUG = 0, 1, 2, 70
"""The exit statuses of a command."""


_log = Logger()


class LoggingElsewhere(Options):
    """Options of a command whose standard output is its product.

    ``twist``, and ``twistd`` in the foreground, log to standard output unless told otherwise; here
    they log to standard error.
    """

    synopsis: str

    def opt_help(self) -> None:
        """Display this help and exit."""
        _answer(str(self))

    def opt_version(self) -> None:
        """Print the version and end."""
        from importlib.metadata import version

        _answer(f"txfluvio {version('txfluvio')}")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take options wherever they stand, behind a topic too: hands are used to that."""
        # With twist and twistd too there is no reactor yet, which would take the numbers.
        _fill_standard_descriptors()
        given = sys.argv[1:] if options is None else options
        super().parseOptions(_options_first(given, self.shortOpt, self.longOpt))

    def postOptions(self) -> None:
        outer = getattr(self, "parent", None)
        if outer is None:
            return
        if "nodaemon" in outer:
            to_standard_output = outer["logfile"] in (None, "-") and not outer["syslog"]
            if outer["nodaemon"] and to_standard_output and not outer["logger"]:
                outer["logger"] = f"{__name__}.{log_to_standard_error.__name__}"
        elif outer.get("logFile") is sys.stdout:
            outer["logFile"] = sys.stderr
            if "logFormat" not in outer or outer["logFormat"] == "json":
                outer["fileLogObserverFactory"] = textFileLogObserver


def _options_first(given: Sequence[str], short: str, long: Sequence[str]) -> list[str]:
    """The same arguments, the options before the others.

    :raises UsageError: there is no such option, or it lacks its value.
    """
    try:
        options, others = getopt.gnu_getopt(list(given), short, long)
    except getopt.GetoptError as error:
        # Whoever takes them would take it, and all that follow, for topics.
        raise UsageError(str(error)) from error
    first: list[str] = []
    for name, value in options:
        has_value = f"{name[2:]}=" in long if name.startswith("--") else f"{name[1]}:" in short
        first += [name, value] if has_value else [name]
    return [*first, "--", *others]


def log_to_standard_error() -> ILogObserver:
    """Makes what ``twistd --logger`` takes."""
    observer: ILogObserver = textFileLogObserver(sys.stderr)
    return observer


def _answer(text: str) -> NoReturn:
    """Print what was asked for, whether or not somebody reads all of it, and end."""
    try:
        write_all(1, f"{text}\n".encode())
    except BrokenPipeError:
        pass
    except OSError as error:
        sys.exit(f"standard output: {error.strerror}")
    sys.exit(DONE)


def _fill_standard_descriptors() -> None:
    """Have nothing else get the number of a standard descriptor that is closed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


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
        write_all(self._fd, b"".join(pieces))


def tell(text: str) -> None:
    """Write to standard error; of a daemon, which has none, to the log."""
    if _is_nowhere(2):
        _log.warn("{text}", text=text.strip())
        return
    try:
        write_all(2, text.encode("utf-8", "replace"))
    except OSError:
        pass


def _is_nowhere(fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(os.devnull))
    except OSError:
        return True


def complain(command: str, reason: object) -> None:
    """Tell the user, in one line on standard error."""
    text = " ".join(str(reason).split())
    tell(f"{command}: {text}\n")


def exit_with(status: int) -> None:
    """Make the process end with ``status``, though ``twist`` itself knows only 0."""
    atexit.register(os._exit, status)


def run_command(
    command: str,
    options: LoggingElsewhere,
    make_service: Callable[[Any], IService],
    arguments: Sequence[str],
) -> None:
    """Run a service as a command of its own until the reactor stops.

    Standard error gets what the service tells, and warnings of the log.

    :raises SystemExit: at once with 2 where the arguments are wrong.
    """
    # Twisted says it before the synopsis only where a command is one of its own.
    options.synopsis = f"Usage: {command} {options.synopsis}"
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        complain(command, error)
        sys.exit(WRONG_USAGE)
    _log_warnings()
    service = make_service(options)
    reactor = _reactor()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


def _reactor() -> IReactorCore:
    from twisted.internet import reactor

    return reactor


def _log_warnings() -> None:
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [predicate])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
