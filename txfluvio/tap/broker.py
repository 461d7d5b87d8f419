"""``fluvio-broker``: a fake cluster as a process, for tests in any language.

Once it accepts connections it prints one line of JSON on standard output::

    {"sc": "127.0.0.1:PORT", "spus": [{"id": 5001, "endpoint": "127.0.0.1:PORT"}],
     "profile": PATH, "control": "127.0.0.1:PORT", "web": "http://127.0.0.1:PORT/",
     "tls": {"domain": NAME, "ca": PATH, "client_cert": PATH, "client_key": PATH, ...}}

and nothing else there; the log goes to standard error. ``profile``, ``control``, ``web`` and
``tls`` are null where they were not asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import InvalidName, ObjectNotFound, namedAny
from twisted.python.usage import UsageError

from .._numbers import whole_number
from ..errors import FluvioError, InvalidProfile
from ..profile import add_cluster
from ..testing import (
    RELEASES,
    FakeBroker,
    FakeTls,
    Preset,
    ReadOnly,
    Timing,
    UnfiredFaults,
)
from ..testing.broker import MAX_PORT, SPU_PORT_STEP
from ..testing.control.calls import Control, control_site
from ..testing.sc.metadata import SYSTEM_TOPIC, SYSTEM_TOPIC_SPEC
from ..testing.sc.placement import MAX_PARTITIONS
from ..testing.server.tls import DOMAIN, is_host, is_host_name
from ..testing.smartmodules import SmartModule
from ..testing.spu_names import FIRST_SPU_ID
from ..testing.storage import write_whole
from ..transport.memory import MemoryNetwork
from ..wire.sc import Computed, TopicSpec
from ._process import FAILED, LoggingElsewhere, Output, complain, exit_with
from .addresses import WebOptions
from .numbers import whole_option

if TYPE_CHECKING:
    from .served import ServedConsole

COMMAND = "fluvio-broker"
PROFILE_NAME = "fake"
LOOPBACK = "127.0.0.1"

_LIMITS = {
    "spus": (1, 1_000),
    "port": (0, MAX_PORT),
    "spu-port": (0, MAX_PORT),
    "control": (0, MAX_PORT),
    "seed": (0, 2**63 - 1),
    "max-frame-size": (1, 2**31 - 1),
    "max-journal-entries": (1, 2**31 - 1),
    "max-journal-bytes": (1, 2**63 - 1),
    "max-partitions": (1, MAX_PARTITIONS),
}
_PRESETS = tuple(preset.value for preset in Preset)
ANSWER = 0.05
"""Seconds before the creation of a topic is answered: what it takes on the quickest real cluster.

Official clients hear of a new topic and of the success of its creation on two paths. If both are
there at once, what they do next with the topic may find it unknown.
"""

_PLACES = {
    "directory": "a directory to keep a cluster in",
    "tls": "a directory to write certificates to",
    "ready": "a file to write to",
}

_TIMES = tuple(field.name for field in attrs.fields(Timing))


class Options(WebOptions, LoggingElsewhere):
    """The command line of ``fluvio-broker``."""

    synopsis = "[options]"
    longdesc = (
        "Serve a fake Fluvio cluster on loopback, for tests. Once it accepts connections it prints "
        "one line of JSON that says where, and nothing else. What --time takes the name of: "
        f"{', '.join(_TIMES).replace('_', '-')}."
    )
    optParameters = [
        ["spus", None, 1, f"How many SPUs; their ids count from {FIRST_SPU_ID}"],
        ["host", None, LOOPBACK, "The address to listen on"],
        ["public-host", None, None, "What clients are told instead, as between containers"],
        ["port", None, 0, "The SC's port; 0: a free one"],
        [
            "spu-port",
            None,
            0,
            f"The first SPU's port, the next ones' are {SPU_PORT_STEP} further each; 0: free ones",
        ],
        ["profile", None, None, "Add the cluster to this profile file, and make it current"],
        ["directory", None, None, "Keep everything in this directory, for the next broker"],
        [
            "control",
            None,
            None,
            "Serve HTTP and JSON at this port, to control it; 0: a free one",
        ],
        ["ready", None, None, "Write the line that says it is ready to this file as well"],
        ["release", None, "0.18", f"Play this release: {', '.join(RELEASES)}"],
        [
            "seed",
            None,
            0,
            "Decides what is arbitrary on a real cluster: orders of lists",
        ],
        ["max-frame-size", None, None, "Bytes of the largest request that is taken"],
        ["max-journal-entries", None, None, "How many requests and replies are kept"],
        ["max-journal-bytes", None, None, "How many bytes of requests and replies are kept"],
        ["max-partitions", None, None, "How many partitions all topics together may have"],
        [
            "tls",
            None,
            None,
            "Speak TLS, and write certificates and keys to this directory: ca.crt, client.crt,...",
        ],
        [
            "tls-preset",
            None,
            None,
            f"What is wrong with TLS, or asked of clients: {', '.join(_PRESETS)}; default: good",
        ],
        [
            "tls-domain",
            None,
            None,
            f"The name that the servers' certificate is for; default: {DOMAIN}",
        ],
    ]
    optFlags = [
        ["read-only", None, "Let nobody create anything but SPUs, nor change topics and mirrors"],
        ["manual-elections", None, "Let a partition whose leader goes wait to be given another"],
        [
            "quick-recreate-race",
            None,
            "Let a topic lose its partitions if it is created anew at once",
        ],
        ["end-with-stdin", None, "End when standard input ends, as it does with who started it"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["topics"] = {}
        self["smartmodules"] = {}
        self["timing"] = Timing(answer=ANSWER)

    def opt_topic(self, text: str) -> None:
        """Create a topic: NAME, NAME:PARTITIONS or NAME:PARTITIONS:REPLICAS (repeatable)."""
        name, *counts = text.split(":")
        numbers = [number for each in counts if (number := whole_number(each, 1)) is not None]
        if not name or len(counts) > 2 or len(numbers) < len(counts):
            raise UsageError(f"--topic takes NAME:PARTITIONS:REPLICAS or less, not {text!r}")
        if name in self["topics"]:
            raise UsageError(f"--topic {name} is given twice")
        partitions, replicas = (*numbers, 1, 1)[:2]
        self["topics"][name] = TopicSpec(
            replicas=Computed(partitions=partitions, replication_factor=replicas)
        )

    def opt_smartmodule(self, text: str) -> None:
        """Let Python be a SmartModule: NAME=MODULE.OBJECT or SHA256=MODULE.OBJECT (repeatable)."""
        key, _, where = text.partition("=")
        try:
            found = namedAny(where)
        except (InvalidName, ObjectNotFound, AttributeError, ImportError) as error:
            raise UsageError(f"--smartmodule takes NAME=MODULE.OBJECT: {error}") from error
        except Exception as error:
            # A module may raise whatever it likes while it is imported.
            kind = type(error).__name__
            raise UsageError(f"--smartmodule can not import {where}: {kind}: {error}") from error
        if not key or not isinstance(found, SmartModule):
            raise UsageError(
                f"--smartmodule takes NAME=MODULE.OBJECT of a decorated object, not {text!r}"
            )
        self["smartmodules"][key] = found

    def opt_time(self, text: str) -> None:
        """How long something takes: NAME=SECONDS (repeatable)."""
        name, _, seconds = text.partition("=")
        name = name.replace("-", "_")
        try:
            value = float(seconds)
        except ValueError:
            value = -1.0
        if name not in _TIMES or not 0 <= value < 1e9:
            known = ", ".join(_TIMES).replace("_", "-")
            raise UsageError(f"--time takes NAME=SECONDS, not {text!r}; the names are: {known}")
        self["timing"] = attrs.evolve(self["timing"], **{name: value})

    def postOptions(self) -> None:
        super().postOptions()
        for name, (low, high) in _LIMITS.items():
            if self[name] is not None:
                self[name] = whole_option(name, str(self[name]), low, high)
        spus, first = self["spus"], self["spu-port"]
        last = first + SPU_PORT_STEP * (spus - 1)
        if first and last > MAX_PORT:
            raise UsageError(
                f"--spu-port {first}: the last of {spus} SPUs would be at {last}, and there are"
                f" ports up to {MAX_PORT}"
            )
        if self["release"] not in RELEASES:
            raise UsageError(f"--release takes {' or '.join(RELEASES)}, not {self['release']!r}")
        if not self["host"]:
            raise UsageError("--host takes an address to listen on, not ''")
        public = self["public-host"]
        if public is not None and not is_host(public):
            raise UsageError(f"--public-host takes the name or address of a host, not {public!r}")
        self._check_tls()
        self._check_topics()
        self["web"] = self.web_address()
        for name in ("profile", "directory", "ready", "tls"):
            if self[name] is not None:
                self[name] = str(Path(self[name]).absolute())

    def _check_tls(self) -> None:
        preset, domain = self["tls-preset"], self["tls-domain"]
        if preset not in (None, *_PRESETS):
            raise UsageError(f"--tls-preset takes one of {', '.join(_PRESETS)}, not {preset!r}")
        # The dot that may end a name is for resolvers; certificates are without it.
        if domain is not None and (domain.endswith(".") or not is_host_name(domain)):
            raise UsageError(f"--tls-domain takes the name of a host, not {domain!r}")
        for name in ("tls-preset", "tls-domain"):
            if self[name] is not None and self["tls"] is None:
                raise UsageError(f"--{name} takes a --tls DIRECTORY beside it")

    def _check_topics(self) -> None:
        """See that there is room for the topics: an SC waits for ever where there is none."""
        topics: dict[str, Any] = {SYSTEM_TOPIC: SYSTEM_TOPIC_SPEC, **self["topics"]}
        for name, spec in topics.items():
            replicas = spec.replicas.replication_factor
            if replicas > self["spus"]:
                raise UsageError(
                    f"--topic {name} takes {replicas} SPUs, one for each replica: "
                    f"--spus is {self['spus']}"
                )
        needed = sum(spec.replicas.partitions for spec in topics.values())
        room = self["max-partitions"] or MAX_PARTITIONS
        if self["topics"] and needed > room:
            raise UsageError(
                f"--topic: all topics together, with the system's own, have {needed} partitions: "
                f"--max-partitions is {room}"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What the fake is made with."""
        limits = {
            name.replace("-", "_"): self[name]
            for name in _LIMITS
            if name.startswith("max-") and self[name] is not None
        }
        tls = None
        if self["tls"] is not None:
            preset = Preset(self["tls-preset"] or Preset.GOOD)
            tls = FakeTls(preset, domain=self["tls-domain"] or DOMAIN)
        return {
            "spus": self["spus"],
            "topics": self["topics"],
            "host": self["host"],
            "public_host": self["public-host"],
            "sc_port": self["port"],
            "spu_port": self["spu-port"],
            "seed": self["seed"],
            "release": RELEASES[self["release"]],
            "timing": self["timing"],
            "directory": self["directory"],
            "smartmodules": self["smartmodules"],
            "automatic_elections": not self["manual-elections"],
            "quick_recreate_race": bool(self["quick-recreate-race"]),
            "policy": ReadOnly() if self["read-only"] else None,
            "tls": tls,
            **limits,
        }


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
        self._control: IListeningPort | None = None
        self._web: ServedConsole | None = None
        self._aside = None if options["web"] is None else MemoryNetwork(reactor)
        self._broker = FakeBroker(reactor, aside=self._aside, **options.settings)
        self._hands = Control(self._broker, reactor)

    def startService(self) -> None:
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())

    async def stopped(self) -> None:
        """Stop serving; what is still starting is given up first."""
        if self._starting is not None:
            self._starting.cancel()
        if self._control is not None:
            await maybeDeferred(self._control.stopListening)
        if self._web is not None:
            await self._web.stop()
        try:
            await self._broker.stop()
        except UnfiredFaults as unfired:
            complain(COMMAND, unfired)
            exit_with(FAILED)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self.stopped())

    async def _start(self) -> None:
        try:
            with _given_by("directory", self._options):
                await self._broker.start()
            await self._serve_control()
            await self._serve_web()
            self._announce()
            if self._options["end-with-stdin"]:
                StandardIO(_UntilTheEnd(self._end), reactor=self._reactor)
        except CancelledError:
            return
        except (FluvioError, OSError, CannotListenError, UsageError) as error:
            complain(COMMAND, error)
            self._fail()
        except Exception as error:
            complain(COMMAND, error)
            self._log.failure("the fake can not start")
            self._fail()
        finally:
            self._starting = None

    async def _serve_control(self) -> None:
        port = self._options["control"]
        if port is not None:
            endpoint = TCP4ServerEndpoint(self._reactor, port, interface=LOOPBACK)
            self._control = await endpoint.listen(control_site(self._hands, self._reactor))

    async def _serve_web(self) -> None:
        if self._aside is None:
            return
        from .served import ServedConsole, console_of_fake

        console = console_of_fake(self._reactor, self._broker, self._hands, self._aside)
        self._web = ServedConsole(self._reactor, console, self._options["web"])
        await self._web.start()

    def _fail(self) -> None:
        exit_with(FAILED)
        self._end()

    def _end(self) -> None:
        self._reactor.callWhenRunning(self._reactor.stop)

    def _announce(self) -> None:
        path = self._options["profile"]
        files = None
        if self._broker.tls is not None:
            with _given_by("tls", self._options):
                files = self._broker.tls.write(self._options["tls"])
        if path is not None:
            tls = None if files is None else files.client_config()
            with _given_by("profile", self._options):
                add_cluster(path, PROFILE_NAME, self._broker.sc_endpoint, tls=tls)
        spus = [
            {"id": number, "endpoint": endpoint}
            for number, endpoint in self._broker.spu_endpoints.items()
        ]
        control = None if self._control is None else _where(self._control)
        ready = {
            "sc": self._broker.sc_endpoint,
            "spus": spus,
            "profile": path,
            "control": control,
            "web": None if self._web is None else self._web.url,
            "tls": None if files is None else attrs.asdict(files, value_serializer=_as_text),
        }
        line = json.dumps(ready).encode() + b"\n"
        if self._options["ready"] is not None:
            with _given_by("ready", self._options):
                write_whole(Path(self._options["ready"]), line)
        self._output.write([line])


class _UntilTheEnd(Protocol):
    """Reads nothing of interest, and tells when there is nothing more."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended()


@contextmanager
def _given_by(name: str, options: Options) -> Iterator[None]:
    """Say of what is wrong with a file or a directory which option has given it.

    :raises UsageError: something is.
    """
    try:
        yield
    except InvalidProfile as error:
        raise UsageError(f"--{name} {error}") from error
    except OSError as error:
        given = options[name]
        if given is None:
            raise
        _, within, file = str(error.filename).partition(f"{given}{os.sep}")
        why = f"{file}: {error.strerror}" if within else error.strerror
        raise UsageError(f"--{name} is {given!r}: expected {_PLACES[name]} ({why})") from error


def _where(port: IListeningPort) -> str:
    address: Any = port.getHost()
    return f"{address.host}:{address.port}"


def _as_text(instance: object, attribute: object, value: object) -> str:
    return str(value)


def makeService(options: Options) -> Broker:
    """The service that ``twist`` and ``twistd`` run."""
    from twisted.internet import reactor

    return Broker(reactor, options, Output())
