"""``fluvio-console``: a web page that shows a cluster.

It prints the address of the page on standard output, and goes on until it is told to end, whether
or not the cluster is there.
"""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.usage import UsageError

from ..config import ClientConfig
from ..errors import FluvioError
from ._process import FAILED, Output, complain, exit_with
from .addresses import WebOptions
from .options import ClusterOptions, in_options

COMMAND = "fluvio-console"


class Options(WebOptions, ClusterOptions):
    """The command line of ``fluvio-console``."""

    synopsis = "[options]"
    longdesc = (
        "Serve a web page that shows a Fluvio cluster: topics, partitions, SPUs, records, and how "
        "far consumers are. It only looks, unless told otherwise. Without --web it is at a free "
        "port of loopback; it prints where."
    )
    web = "0"
    optFlags = [["allow-writes", None, "Let whoever has the page produce records"]]

    def postOptions(self) -> None:
        super().postOptions()
        self["address"] = self.web_address()
        try:
            self["config"] = self.cluster_config()
        except FluvioError as error:
            raise UsageError(in_options(error)) from error


class ConsoleService(Service):
    """Serves the page from start to stop.

    :param reactor: runs it, and is stopped when it can not serve.
    :param output: where the address of the page goes.
    """

    _log = Logger()

    def __init__(self, reactor: Any, options: Options, output: Output) -> None:
        self._reactor = reactor
        self._output = output
        # An extra, which a command that only tells how it is used does without.
        from .served import CLIENT_ID, Console, ServedConsole

        config = attrs.evolve(cast(ClientConfig, options["config"]), client_id=CLIENT_ID)
        console = Console(reactor, config, writes=bool(options["allow-writes"]))
        self._served = ServedConsole(reactor, console, options["address"])
        self._starting: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._served.stop())

    async def _start(self) -> None:
        try:
            await self._served.start()
            self._output.write([f"{self._served.url}\n".encode()])
        except CancelledError:
            return
        except (CannotListenError, OSError) as error:
            complain(COMMAND, error)
            self._fail()
        except Exception as error:
            complain(COMMAND, error)
            self._log.failure("the console can not start")
            self._fail()
        finally:
            self._starting = None

    def _fail(self) -> None:
        exit_with(FAILED)
        self._reactor.callWhenRunning(self._reactor.stop)


def makeService(options: Options) -> ConsoleService:
    """The service that ``twist`` and ``twistd`` run."""
    from twisted.internet import reactor

    return ConsoleService(reactor, options, Output())
