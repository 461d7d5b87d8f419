"""``fluvio-broker``: a fake cluster as a process, for tests in any language.

Once it accepts connections it prints one line of JSON on standard output::

    {"sc": "127.0.0.1:PORT", "spus": [{"id": 5001, "endpoint": "127.0.0.1:PORT"}], "profile": PATH}

and nothing else there; the log goes to standard error.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.usage import UsageError

from ..errors import FluvioError
from ..profile import add_cluster
from ..testing import FakeBroker
from ._process import LoggingElsewhere, Output, complain, exit_with

COMMAND = "fluvio-broker"
PROFILE_NAME = "fake"
FIRST_SPU_ID = 5001


class Options(LoggingElsewhere):
    """The command line of ``fluvio-broker``."""

    synopsis = "[options]"
    longdesc = "Serve a fake Fluvio cluster on loopback, for tests."
    optParameters = [
        ["spus", None, 1, f"How many SPUs; their ids count from {FIRST_SPU_ID}", int],
        ["port", None, 0, "The SC's port; 0: a free one", int],
        ["host", None, "127.0.0.1", "The address to listen on"],
        ["profile", None, None, "Add the cluster to this profile file, and make it current"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["topics"] = {}

    def opt_topic(self, text: str) -> None:
        """Create a topic: NAME or NAME:PARTITIONS (repeatable)."""
        name, colon, count = text.partition(":")
        if not name or (colon and not count.isdigit()) or (colon and int(count) < 1):
            raise UsageError(f"--topic takes NAME or NAME:PARTITIONS, not {text!r}")
        self["topics"][name] = int(count) if colon else 1

    def postOptions(self) -> None:
        super().postOptions()
        if self["spus"] < 1:
            raise UsageError(f"--spus takes 1 or more, not {self['spus']}")
        if not 0 <= self["port"] <= 65535:
            raise UsageError(f"--port takes 0 to 65535, not {self['port']}")


class Broker(Service):
    """Serves the fake from start to stop.

    :param reactor: runs it, and is stopped when it can not serve.
    :param output: where the line goes that says it is ready.
    """

    _log = Logger()

    def __init__(self, reactor: Any, options: Options, output: Output) -> None:
        self._reactor = reactor
        self._options = options
        self._output = output
        self._starting: Deferred[None] | None = None
        self._broker = FakeBroker(
            reactor,
            spus=options["spus"],
            topics=options["topics"],
            sc_port=options["port"],
            host=options["host"],
        )

    def startService(self) -> None:
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())

    async def stopped(self) -> None:
        """Stop serving; what is still starting is given up first."""
        if self._starting is not None:
            self._starting.cancel()
        await self._broker.stop()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self.stopped())

    async def _start(self) -> None:
        try:
            await self._broker.start()
            self._announce()
        except CancelledError:
            return
        except (FluvioError, OSError) as error:
            complain(COMMAND, error)
            exit_with(1)
            self._reactor.callWhenRunning(self._reactor.stop)
        except Exception as error:
            complain(COMMAND, error)
            self._log.failure("the fake can not start")
            exit_with(1)
            self._reactor.callWhenRunning(self._reactor.stop)
        finally:
            self._starting = None

    def _announce(self) -> None:
        path = self._options["profile"]
        if path is not None:
            add_cluster(path, PROFILE_NAME, self._broker.sc_endpoint)
        spus = [
            {"id": number, "endpoint": endpoint}
            for number, endpoint in self._broker.spu_endpoints.items()
        ]
        ready = {"sc": self._broker.sc_endpoint, "spus": spus, "profile": path}
        self._output.write([json.dumps(ready).encode(), b"\n"])


def makeService(options: Options) -> Broker:
    """The service that ``twist`` and ``twistd`` run."""
    from twisted.internet import reactor

    return Broker(reactor, options, Output())
