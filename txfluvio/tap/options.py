"""The command line of ``fluvio-tail``: what is typed, checked, as a frozen value.

Names and letters are those of ``fluvio consume``, so that hands know them. Whatever is wrong is
said in one line, with what was expected. Nothing here connects or prints; files that options name
(a profile, certificates, a chain of SmartModules) are read here, so that a wrong one is found
before anything begins. Those of certificates are read again when they have changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Any, cast

import attrs
from twisted.python.usage import UsageError

from .._numbers import LARGEST
from ..config import (
    ClientConfig,
    ConsumerConfig,
    Isolation,
    OffsetReset,
    OffsetStrategy,
    TlsConfig,
)
from ..errors import FluvioError, InvalidConfig
from ..offset import Offset
from ..smartmodule import SmartModuleInvocation
from ..transforms import load_transforms
from ._process import LoggingElsewhere
from .addresses import where_to_serve
from .formats import OUTPUTS, Format, KeyValueFormat, TemplateFormat
from .numbers import whole_option

STORING_INTERVAL = 2.0
"""Seconds between two times that the offsets of ``--consumer`` are stored."""

PATTERN_SIGNS = frozenset("*?[")

_ISOLATIONS = {
    "read_committed": Isolation.READ_COMMITTED,
    "readcommitted": Isolation.READ_COMMITTED,
    "read_uncommitted": Isolation.READ_UNCOMMITTED,
    "readuncommitted": Isolation.READ_UNCOMMITTED,
}
_MODULES = ("smartmodule", "smartmodule-path", "transforms")
_STARTS = ("beginning", "head", "tail", "start")


@attrs.frozen(kw_only=True)
class Names:
    """The topics asked for.

    :ivar exact: names, in the order given.
    :ivar patterns: with ``*``, ``?`` and ``[...]``, as a shell has them.
    """

    exact: tuple[str, ...]
    patterns: tuple[str, ...] = ()

    @classmethod
    def of(cls, arguments: tuple[str, ...]) -> Names:
        """Tell names from patterns, which hold signs that no topic's name may."""
        once = tuple(dict.fromkeys(arguments))
        patterns = tuple(name for name in once if PATTERN_SIGNS.intersection(name))
        return cls(exact=tuple(name for name in once if name not in patterns), patterns=patterns)

    def match(self, topic: str) -> bool:
        """Whether a pattern asks for this topic."""
        return any(fnmatchcase(topic, pattern) for pattern in self.patterns)

    def __str__(self) -> str:
        return ", ".join((*self.exact, *self.patterns))


@attrs.frozen(kw_only=True)
class Settings:
    """What ``fluvio-tail`` is to do.

    :ivar config: the cluster.
    :ivar topics: which topics.
    :ivar partitions: which partitions of each; None: all.
    :ivar start: where to start.
    :ivar stop: the first offset not to print, in each partition; None: go on for ever.
    :ivar starting: the start in words.
    :ivar consumer: how to read.
    :ivar format: how records look, by whether it is on a terminal, and one with colours.
    :ivar lines: how many records to print; None: all.
    :ivar wait: whether to wait for the cluster and the topics.
    :ivar to: the file to append to; None: standard output.
    :ivar stats: seconds between two lines of figures; None: none.
    :ivar metrics: where to serve metrics, host and port; None: nowhere.
    :ivar progress: whether a progress line may be drawn.
    """

    config: ClientConfig
    topics: Names
    partitions: tuple[int, ...] | None = None
    start: Offset = attrs.field(factory=Offset.end)
    stop: Offset | None = None
    starting: str = ""
    consumer: ConsumerConfig = attrs.field(factory=ConsumerConfig)
    format: Callable[[bool, bool], Format] = attrs.field(
        default=lambda terminal, coloured: Format(terminal=terminal)
    )
    lines: int | None = None
    wait: bool = False
    to: str | None = None
    stats: float | None = None
    metrics: tuple[str, int] | None = None
    progress: bool = True

    @property
    def continuous(self) -> bool:
        """Whether it goes on where a topic ends, and takes in topics that come to be."""
        return self.stop is None


class ClusterOptions(LoggingElsewhere):
    """The options that say which cluster, for every command that is a client of one."""

    optParameters = [
        ["profile", None, None, "The profile; default: the current one"],
        [
            "profile-file",
            None,
            None,
            "The profile file; default: $FLV_PROFILE_PATH, ~/.fluvio/config",
        ],
        ["cluster", None, None, "HOST:PORT of the SC, instead of a profile"],
        ["tls-ca", None, None, "File of the authorities to verify the servers by; means TLS"],
        ["tls-cert", None, None, "File of the client's certificate; means TLS"],
        ["tls-key", None, None, "File of the client's private key; means TLS"],
        ["tls-server-name", None, None, "The name the SC's certificate is for; means TLS"],
    ]
    optFlags = [
        ["tls", None, "Use TLS, and verify the servers by the system's authorities"],
        ["tls-insecure", None, "Use TLS, and verify nothing"],
    ]

    def cluster_config(self) -> ClientConfig:
        """The cluster that is meant, and how to reach it.

        :raises FluvioError: files that are named are not as they should be.
        """
        if self["cluster"] is not None:
            for other in ("profile", "profile-file"):
                if self[other] is not None:
                    raise UsageError(f"--cluster and --{other} exclude each other")
            try:
                config = ClientConfig(endpoint=self["cluster"])
            except InvalidConfig as error:
                raise UsageError(
                    f"--cluster takes {error.expected}, not {self['cluster']!r}"
                ) from error
        else:
            config = ClientConfig.from_profile(self["profile"], self["profile-file"])
        tls = self._tls()
        return config if tls is None else attrs.evolve(config, tls=tls)

    def _tls(self) -> TlsConfig | None:
        """TLS as the options have it, which stands in for all that a profile says of it."""
        ca, cert, key, name = (self[f"tls-{part}"] for part in ("ca", "cert", "key", "server-name"))
        # What is given and empty, as from an unset variable of a shell, is wrong, not absent.
        given = any(value is not None for value in (ca, cert, key, name))
        if not (self["tls"] or self["tls-insecure"] or given):
            return None
        for one, other in (("cert", "key"), ("key", "cert")):
            if self[f"tls-{one}"] and self[f"tls-{other}"] is None:
                raise UsageError(f"--tls-{one} takes a --tls-{other} beside it")
        tls = TlsConfig(
            server_name=name,
            ca_file=_found_from_anywhere(ca),
            cert_file=_found_from_anywhere(cert),
            key_file=_found_from_anywhere(key),
            insecure_anonymous=bool(self["tls-insecure"]),
        )
        # It brings pyOpenSSL along, which is needed then anyhow.
        from ..transport.tls import Tls

        Tls(tls)  # Looks whether the files will do; what it has read is forgotten.
        return tls


_IN_OPTIONS = {
    "TlsConfig.cert_file and key_file": "--tls-cert and --tls-key",
    "TlsConfig.ca_file": "--tls-ca",
    "TlsConfig.cert_file": "--tls-cert",
    "TlsConfig.key_file": "--tls-key",
    "TlsConfig.server_name": "--tls-server-name",
    "TlsConfig.insecure_anonymous": "--tls-insecure",
    "ClientConfig.tls": "--tls",
    "SmartModule file": "--smartmodule-path",
    "seek there, or choose a reset": "choose a --reset",
    "seek, or choose a reset": "choose a --reset",
}


def in_options(error: FluvioError) -> str:
    """What an error says, in the words of the command line: settings are for programs."""
    said = str(error)
    for setting, option in _IN_OPTIONS.items():
        said = said.replace(setting, option)
    return said


def _found_from_anywhere(path: str | None) -> str | None:
    """The path for a process that may change its directory; an empty one stays wrong."""
    return os.path.abspath(path) if path else path


class Options(ClusterOptions):
    """The command line of ``fluvio-tail``."""

    synopsis = "[options] TOPIC..."
    longdesc = (
        "Print the records of Fluvio topics. A TOPIC may be a pattern, such as 'orders-*'. "
        "Standard output gets records and nothing else."
    )
    optParameters = [
        ["head", "H", None, "Start so many records after the beginning"],
        ["tail", "T", None, "Start so many records before the end"],
        ["start", None, None, "Start with the record of this offset"],
        ["end", None, None, "Stop after the record of this offset"],
        ["lines", "n", None, "Stop after so many records"],
        ["maxbytes", "b", None, "Bytes of records that one reply may bring"],
        ["isolation", None, None, "read_committed or read_uncommitted (the default)"],
        ["reset", None, None, "Where the offset to go on at is gone: earliest, latest, or error"],
        ["smartmodule", None, None, "Run this SmartModule of the cluster over the records"],
        ["smartmodule-path", None, None, "Run the SmartModule in this file over the records"],
        ["aggregate-initial", None, None, "What an aggregate SmartModule starts from"],
        ["transforms", "t", None, "Run the chain of SmartModules that this YAML file describes"],
        ["consumer", "c", None, "Store offsets under this name, and resume behind them"],
        [
            "format",
            "F",
            None,
            "Print this text for each record, with {{key}}, {{value}}, {{offset}}, {{partition}}, "
            "{{time}} and {{topic}} filled in",
        ],
        ["output", "O", None, "dynamic (the default), text, binary, json or raw"],
        ["to", None, None, "Append to this file, opened again on SIGHUP, not to standard output"],
        ["stats", None, None, "Tell rate and lag on standard error, every so many seconds"],
        ["metrics", None, None, "Serve Prometheus metrics at PORT of loopback, or at HOST:PORT"],
    ]
    optFlags = [
        ["all-partitions", "A", "Read every partition, which is the default"],
        ["beginning", "B", "Start with the first record, not with the next new one"],
        ["disable-continuous", "d", "Stop at the end, as it is when reading begins"],
        ["key-value", "k", 'Print "[key] value", with "[null]" where there is no key'],
        ["disable-progressbar", None, "Draw no progress line on a terminal"],
        ["wait", None, "Wait for the cluster and the topics, if they are not there"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self._partitions: list[int] = []
        self._params: dict[str, str] = {}

    def opt_partition(self, text: str) -> None:
        """Read this partition, and no other that is not given too (repeatable)."""
        self._partitions.append(whole_option("partition", text, high=2**32 - 1))

    opt_p = opt_partition

    def opt_params(self, text: str) -> None:
        """A parameter of the SmartModule, as KEY=VALUE (repeatable)."""
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"--params takes KEY=VALUE, not {text!r}")
        self._params[key] = value

    opt_e = opt_params

    def parseArgs(self, *topics: str) -> None:
        if not topics or not all(topics):
            raise UsageError("which topic? give its name")
        self["topics"] = topics

    def postOptions(self) -> None:
        super().postOptions()
        try:
            self["settings"] = self._settings()
        except FluvioError as error:
            raise UsageError(in_options(error)) from error

    @property
    def settings(self) -> Settings:
        """All of it, checked."""
        return cast(Settings, self["settings"])

    # Each part of it

    def _settings(self) -> Settings:
        start, starting = self._start()
        if self["to"] == "":
            raise UsageError("--to takes the name of a file, not ''")
        return Settings(
            config=self.cluster_config(),
            topics=Names.of(self["topics"]),
            partitions=self._chosen_partitions(),
            start=start,
            stop=self._stop(),
            starting=starting,
            consumer=self._consumer(),
            format=self._format(),
            lines=self._number("lines", at_least=1),
            wait=bool(self["wait"]),
            to=self["to"],
            stats=self._seconds("stats"),
            metrics=self._metrics(),
            progress=not self["disable-progressbar"],
        )

    def _start(self) -> tuple[Offset, str]:
        given = [name for name in _STARTS if self[name] not in (None, 0)]
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]} exclude each other")
        head, tail, first = (self._number(name) for name in ("head", "tail", "start"))
        if self["beginning"]:
            found = Offset.beginning(), " from the beginning"
        elif head is not None:
            found = Offset.from_beginning(head), f" {head} after the beginning"
        elif tail is not None:
            found = Offset.from_end(tail), f" {tail} before the end"
        elif first is not None:
            found = Offset.absolute(first), f" at offset {first}"
        else:
            found = Offset.end(), ""
        start, starting = found
        return (start if self["consumer"] is None else Offset.stored(start)), starting

    def _stop(self) -> Offset | None:
        last = self._number("end", high=LARGEST - 1)
        if last is None:
            return Offset.end() if self["disable-continuous"] else None
        # With a consumer these say where to start with nothing stored: what is may be before.
        for name in ("start", "head") if self["consumer"] is None else ():
            first = self._number(name)
            if first is not None and last < first:
                raise UsageError(f"--end takes an offset from --{name}, {first}, on, not {last}")
        within = Offset.nearest if self["disable-continuous"] else Offset.absolute
        return within(last + 1)

    def _chosen_partitions(self) -> tuple[int, ...] | None:
        if self._partitions and self["all-partitions"]:
            raise UsageError("--partition and --all-partitions exclude each other")
        return tuple(self._partitions) or None

    def _consumer(self) -> ConsumerConfig:
        changes: dict[str, Any] = {}
        if self["consumer"] is not None:
            if not self["consumer"]:
                raise UsageError("--consumer takes a name, not ''")
            changes["consumer_id"] = self["consumer"]
            changes["offsets"] = OffsetStrategy.AUTO
            changes["flush_interval"] = STORING_INTERVAL
        if self["maxbytes"] is not None:
            changes["max_bytes"] = self._number("maxbytes", at_least=1, high=2**31 - 1)
        if self["isolation"] is not None:
            isolation = _ISOLATIONS.get(self["isolation"].lower())
            if isolation is None:
                raise UsageError(
                    f"--isolation takes read_committed or read_uncommitted, "
                    f"not {self['isolation']!r}"
                )
            changes["isolation"] = isolation
        if self["reset"] is not None:
            try:
                changes["reset"] = OffsetReset(self["reset"].lower())
            except ValueError:
                raise UsageError(
                    f"--reset takes earliest, latest or error, not {self['reset']!r}"
                ) from None
        return ConsumerConfig(smartmodules=self._chain(), **changes)

    def _chain(self) -> list[SmartModuleInvocation]:
        given = [name for name in _MODULES if self[name] is not None]
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]} exclude each other")
        single = [name for name in given if name != "transforms"]
        for name, value in (
            ("params", self._params),
            ("aggregate-initial", self["aggregate-initial"]),
        ):
            if value and not single:
                raise UsageError(f"--{name} takes a --smartmodule beside it")
        if self["transforms"] is not None:
            return load_transforms(self["transforms"])
        if not single:
            return []
        initial = self["aggregate-initial"]
        accumulator = None if initial is None else os.fsencode(initial)
        if self["smartmodule"] is None:
            path = self["smartmodule-path"]
            return [
                SmartModuleInvocation.from_file(path, params=self._params, accumulator=accumulator)
            ]
        name = self["smartmodule"]
        return [SmartModuleInvocation(name, params=self._params, accumulator=accumulator)]

    def _format(self) -> Callable[[bool, bool], Format]:
        template, output = self["format"], self["output"]
        if template is not None:
            for other in ("output", "key-value"):
                if self[other]:
                    raise UsageError(f"--format and --{other} exclude each other")
            try:
                TemplateFormat(template)
            except ValueError as error:
                raise UsageError(f"--format knows {error}") from error
            return lambda terminal, coloured: TemplateFormat(template, terminal=terminal)
        show = OUTPUTS.get("dynamic" if output is None else output.lower())
        if show is None:
            raise UsageError(f"--output takes {', '.join(OUTPUTS)}, not {output!r}")
        if self["key-value"]:
            return lambda terminal, coloured: KeyValueFormat(
                show, coloured=coloured, terminal=terminal
            )
        return lambda terminal, coloured: Format(show, terminal=terminal)

    # Values

    def _metrics(self) -> tuple[str, int] | None:
        address = where_to_serve("metrics", self["metrics"])
        if address is not None and find_spec("prometheus_client") is None:
            raise UsageError("--metrics needs prometheus_client: pip install 'txfluvio[metrics]'")
        return address

    def _number(self, name: str, at_least: int = 0, high: int = LARGEST) -> int | None:
        return None if self[name] is None else whole_option(name, self[name], at_least, high)

    def _seconds(self, name: str) -> float | None:
        text = self[name]
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < 1e9:
            raise UsageError(f"--{name} takes seconds, a number above 0, not {text!r}")
        return seconds
