"""``fluvio-tail``: the records of topics on standard output, or in a file.

Standard output holds records and nothing else. It ends at the end of the topics with ``-d``, after
so many lines with ``-n``, and otherwise when it is told to, or when nobody reads its output.

Here is the service and what runs it: ``twist``, ``twistd``, and the command of its own. What it is
told is in :mod:`txfluvio.tap.options`, what it does in :mod:`txfluvio.tap.follow`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, cast

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ..client import FluvioClient
from ..errors import FluvioError, InvalidConfig
from ..metrics import SeveralMetrics
from ..offset import OffsetKind
from ..transport.dialer import Dialer
from ._process import BUG, DONE, FAILED, exit_with, run_command, tell
from .figures import BOLD, PLAIN, Progress, Stats
from .follow import Follower, Tally
from .formats import Format
from .options import Options, Settings, in_options
from .outages import Outages
from .output import Descriptor, Erasing, Sink, open_sink

if TYPE_CHECKING:
    from ..prometheus import PrometheusMetrics

__all__ = ["COMMAND", "Options", "Tail", "Terminal", "main", "makeService"]

COMMAND = "fluvio-tail"


@attrs.frozen
class Terminal:
    """What of the outputs is a terminal.

    :ivar output: whether standard output is one.
    :ivar errors: whether standard error is one.
    :ivar colour: whether colours are welcome there.
    """

    output: bool = False
    errors: bool = False
    colour: bool = False

    @classmethod
    def of_process(cls) -> Terminal:
        """As it is for this process. The variable ``NO_COLOR`` is honoured."""
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(os.isatty(1), os.isatty(2), not plain)


class Tail(Service):
    """Prints topics until their end, a signal, or an error.

    :param reactor: runs it.
    :param open_sink: opens what the records go to.
    :param ended: called with the exit status when it has ended by itself.
    :param say: takes what is for standard error, line ends included.
    :param dialer: makes the connections; None: over TCP.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        open_sink: Callable[[], Sink],
        ended: Callable[[int], object],
        say: Callable[[str], object] = tell,
        terminal: Terminal | None = None,
        dialer: Dialer | None = None,
        rng: Random | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._open_sink = open_sink
        self._ended = ended
        self._say = say
        self._terminal = Terminal() if terminal is None else terminal
        self._rng = Random() if rng is None else rng
        self._outages = Outages(self._line, reactor, patient=settings.wait)
        self._metrics = _metered(settings)
        self._client = FluvioClient(
            reactor,
            settings.config,
            dialer=dialer,
            rng=self._rng,
            metrics=SeveralMetrics(self._outages, *filter(None, [self._metrics])),
        )
        self._tally = Tally()
        self._progress: Progress | None = None
        self._stats: Stats | None = None
        self._sink: Sink | None = None
        self._work: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self._work = Deferred.fromCoroutine(self._run())

    def stopService(self) -> Deferred[None]:
        """End; fires when the offsets are stored and the connections are gone."""
        super().stopService()
        work = self._work
        if work is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        work.addBoth(lambda _: ended.callback(None))
        work.cancel()
        return ended

    def reopen(self) -> None:
        """Go on in another file of the same name, since the one at hand was moved away."""
        if self._sink is not None:
            self._sink.reopen()

    async def _run(self) -> None:
        status = DONE
        try:
            await self._print()
        except CancelledError:
            return
        except BrokenPipeError:
            self._log.info("nobody reads the output any more")
        except FluvioError as error:
            # Of bytes that are wrong, a note says whose they were.
            where = "".join(f"{note}: " for note in getattr(error, "__notes__", [])[:1])
            # A setting that is wrong here is one of a profile: what can be is said of the options.
            said = str(error) if isinstance(error, InvalidConfig) else in_options(error)
            self._complain(f"{where}{said}")
            status = FAILED
        except OSError as error:
            where = "standard output" if self._settings.to is None else self._settings.to
            self._complain(f"{where}: {error.strerror}")
            status = FAILED
        except CannotListenError as error:
            host = error.interface
            self._complain(f"{host}:{error.port} can not be listened at: {error.socketError}")
            status = FAILED
        except Exception:
            self._log.failure("a bug in fluvio-tail")
            status = BUG
        finally:
            self._work = None
        self._ended(status)

    def _complain(self, reason: object) -> None:
        self._line(" ".join(str(reason).split()))

    def _line(self, text: str) -> None:
        if self._progress is not None:
            self._progress.erase()
        self._say(f"{COMMAND}: {text}\n")

    async def _print(self) -> None:
        settings, terminal = self._settings, self._terminal
        self._sink = sink = self._open_sink()
        to_terminal = terminal.output and settings.to is None
        served = None
        try:
            served = self._serve()
            if to_terminal and terminal.errors:
                self._announce()
            if terminal.errors and settings.progress:
                progress = self._progress = Progress(self._tally, self._say, self._reactor)
                progress.start()
                if to_terminal:
                    sink = Erasing(sink, progress.held)
            if settings.stats is not None:
                self._stats = Stats(self._tally, settings.stats, self._line, self._reactor)
                self._stats.start()
            await self._follow(sink, settings.format(to_terminal, to_terminal and terminal.colour))
        finally:
            if served is not None:
                await maybeDeferred(served.stopListening)
            self._sink.close()

    async def _follow(self, sink: Sink, format: Format) -> None:
        client, settings = self._client, self._settings
        try:
            if settings.wait:
                client.startService()
                await client.when_connected()
            else:
                await client.start()
            follower = Follower(
                client,
                settings,
                format=format,
                sink=sink,
                tally=self._tally,
                say=self._line,
                clock=self._reactor,
                rng=self._rng,
            )
            await self._until_unread(Deferred.fromCoroutine(follower.run()), sink)
        finally:
            # What a client that is closed does not answer is no news.
            if self._stats is not None:
                self._stats.stop()
            if self._progress is not None:
                self._progress.stop()
            await client.close()

    async def _until_unread(self, work: Deferred[None], sink: Sink) -> None:
        """Wait for the end of ``work``, which comes too when nobody reads what it writes."""
        unread = False

        def gone() -> None:
            nonlocal unread
            unread = True
            work.cancel()

        sink.watch(gone)
        try:
            await work
        except CancelledError:
            if unread:
                raise BrokenPipeError from None
            raise

    def _serve(self) -> IListeningPort | None:
        if self._metrics is None or self._settings.metrics is None:
            return None
        from .monitoring import serve

        return serve(self._reactor, self._metrics, *self._settings.metrics)

    def _announce(self) -> None:
        settings = self._settings
        until = ""
        if settings.stop is not None and settings.stop.kind is not OffsetKind.FROM_END:
            until = f" until offset {settings.stop.n - 1}"
        text = f"Reading {settings.topics}{settings.starting}{until}"
        self._say(f"{BOLD}{text}{PLAIN}\n" if self._terminal.colour else f"{text}\n")


def _metered(settings: Settings) -> PrometheusMetrics | None:
    """What counts, if it is asked for; an extra that is not imported before."""
    if settings.metrics is None:
        return None
    from .monitoring import PrometheusMetrics

    return PrometheusMetrics()


def makeService(options: Options) -> Tail:
    """The service that ``twist`` and ``twistd`` run."""
    from twisted.internet import reactor

    settings = options.settings
    path = settings.to

    def sink() -> Sink:
        return Descriptor(cast(Any, reactor)) if path is None else open_sink(path, reactor)

    def ended(status: int) -> None:
        exit_with(status)
        cast(Any, reactor).callLater(0, stop)

    def stop() -> None:
        if cast(Any, reactor).running:
            cast(Any, reactor).stop()

    tail = Tail(reactor, settings, open_sink=sink, ended=ended, terminal=Terminal.of_process())
    if hasattr(signal, "SIGHUP"):
        if path is not None:
            signal.signal(signal.SIGHUP, lambda *_: cast(Any, reactor).callFromThread(tail.reopen))
        elif signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # Not under nohup.
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    return tail


def main() -> None:
    """The command ``fluvio-tail``."""
    run_command(COMMAND, Options(), makeService, sys.argv[1:])
