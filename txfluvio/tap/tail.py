"""``fluvio-tail``: the records of a topic on standard output, one value a line.

Standard output holds records and nothing else; the log goes to standard error. It ends at the end
of the topic with ``-d``, and otherwise when it is told to, or when nobody reads its output.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.usage import UsageError

from ..client import FluvioClient
from ..config import ClientConfig
from ..errors import FluvioError
from ..offset import Offset
from ._process import LoggingElsewhere, Output, complain, exit_with

COMMAND = "fluvio-tail"


class Options(LoggingElsewhere):
    """The command line of ``fluvio-tail``."""

    synopsis = "[options] TOPIC"
    longdesc = "Print the records of a Fluvio topic, one value a line."
    optParameters = [
        [
            "profile-file",
            None,
            None,
            "The profile file; default: $FLV_PROFILE_PATH, ~/.fluvio/config",
        ],
        ["cluster", None, None, "HOST:PORT of the SC, instead of a profile"],
    ]
    optFlags = [
        ["beginning", "B", "Start with the first record, not with the next new one"],
        ["disable-continuous", "d", "Stop at the end, as it is when reading begins"],
    ]

    def parseArgs(self, topic: str = "") -> None:
        if not topic:
            raise UsageError("which topic? give its name")
        self["topic"] = topic

    def postOptions(self) -> None:
        super().postOptions()
        if self["cluster"] is not None and self["profile-file"] is not None:
            raise UsageError("--cluster and --profile-file exclude each other")
        try:
            if self["cluster"] is not None:
                self["config"] = ClientConfig(endpoint=self["cluster"])
            else:
                self["config"] = ClientConfig.from_profile(path=self["profile-file"])
        except FluvioError as error:
            raise UsageError(str(error)) from error


class Tail(Service):
    """Prints a topic until its end, a signal, or an error.

    :param reactor: runs it, and is stopped when the work is done.
    :param output: where the values go.
    """

    _log = Logger()

    def __init__(self, reactor: Any, options: Options, output: Output) -> None:
        self._reactor = reactor
        self._options = options
        self._output = output
        self._work: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self._work = Deferred.fromCoroutine(self._run())

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        work = self._work
        if work is None:
            return None
        ended: Deferred[None] = Deferred()
        work.addBoth(lambda _: ended.callback(None))
        work.cancel()
        return ended

    async def _run(self) -> None:
        try:
            await self._print()
        except CancelledError:
            return
        except BrokenPipeError:
            self._log.info("nobody reads the output any more")
        except FluvioError as error:
            complain(COMMAND, error)
            exit_with(1)
        except Exception:
            self._log.failure("a bug in fluvio-tail")
            exit_with(70)
        self._work = None
        self._reactor.callLater(0, self._end)

    def _end(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    async def _print(self) -> None:
        options = self._options
        start = Offset.beginning() if options["beginning"] else Offset.end()
        stop = Offset.end() if options["disable-continuous"] else None
        async with (
            FluvioClient(self._reactor, options["config"]) as client,
            client.consumer(options["topic"], start=start, stop=stop) as records,
        ):
            async for batch in records.batches():
                pieces: list[bytes] = []
                for record in batch:
                    pieces += (record.value, b"\n")
                self._output.write(pieces)


def makeService(options: Options) -> Tail:
    """The service that ``twist`` and ``twistd`` run."""
    from twisted.internet import reactor

    return Tail(reactor, options, Output())
