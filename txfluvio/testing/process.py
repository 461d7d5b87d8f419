"""A fake cluster in a process of its own, for programs that block: started, asked, and ended.

::

    with BrokerProcess(spus=2, topics={"orders": 3}) as broker:
        broker.append("orders", [b"a"])

A client that blocks, or holds the interpreter's lock, can not share a process with the cluster that
has to answer it. So this starts ``fluvio-broker``, waits until it is ready, and speaks to its
control interface, one blocking call after another. There is no Twisted here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from ..config import ClientConfig
from ..errors import InvalidConfig, UsageError
from .control.plain import given_bytes, plain_bytes
from .given import Given, Topic, given_records, given_topics
from .server.tls_files import TlsFiles

if TYPE_CHECKING:
    from .faults import Fault

COMMAND = (sys.executable, "-m", "twisted", "fluvio-broker")
"""What is run."""

START_TIMEOUT = 60.0
"""Seconds that a broker may take to be ready, or to end."""

CALL_TIMEOUT = 60.0
"""Seconds that an answer may take, beside those that it is told to wait for something."""

TOPIC_WAIT = 90.0
"""Seconds that a broker waits for a topic to be usable, unless its ``time`` says otherwise."""

Option = str | int | float | bool | os.PathLike[str] | Mapping[str, float | str]
"""What an option of the command may be: True for a flag, a mapping where it is repeatable."""

_MAPPINGS = ("time", "smartmodule")


class BrokerProcess:
    """A running ``fluvio-broker``.

    It is started by ``with`` or by :meth:`start`, and ends with this process at the latest.

    :param spus: how many SPUs; their ids count from 5001.
    :param topics: the topics to begin with, by name: how many partitions, or a pair of partitions
        and replicas as in ``{"orders": (3, 2)}``.
    :param options: any option of ``fluvio-broker``, with ``_`` for ``-``: ``release="0.17"``,
        ``manual_elections=True``, ``time={"reload": 5}``.
    :raises InvalidConfig: topics that are something else or have more replicas than there are SPUs,
        or a mapping where one value is taken.
    :ivar topics: the topics to begin with, after a reset as well.
    :ivar sc: ``host:port`` of the SC, once started.
    :ivar profile: a profile file that has the cluster as its current one.
    """

    sc: str
    profile: Path

    def __init__(
        self, spus: int = 1, topics: Mapping[str, Topic] | None = None, **options: Option
    ) -> None:
        self._arguments = [f"--spus={spus}", *_arguments(options)]
        self._topic_wait = _topic_wait(options.get("time"))
        self._spus = spus
        given_topics(topics, spus)
        self.topics: Mapping[str, Topic] = dict(topics or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._control = ""
        self._tls: TlsFiles | None = None
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return once it accepts connections and has its topics.

        :raises UsageError: it did not start; the message has what it said.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it; what it said on standard error is forgotten. May be called again."""
        self._ending.close()

    @property
    def running(self) -> bool:
        """Whether there is such a process."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of the process.

        :raises UsageError: it was not started.
        """
        return self._known().pid

    def kill(self) -> None:
        """Let it end here and now, as no process would wish to."""
        process = self._known()
        process.kill()
        process.wait(START_TIMEOUT)

    # What the cluster says and does

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        """Make a call of the control interface, and return the JSON that is its answer.

        So whatever has no method here is done too: ``ask("POST", "/clock", seconds=3600)``. The
        answer to ``ask("GET", "/")`` lists the calls, with what they take.

        :param fields: what it takes; in the query of a GET, else in the body.
        :raises UsageError: it was refused, or nobody answers.
        """
        return self._ask(method, path, fields, wait=float(fields.get("timeout", 0)))

    def _ask(self, method: str, path: str, fields: Mapping[str, Any], wait: float) -> Any:
        """Make a call, the answer to which may wait so many seconds for something."""
        self._known()
        body = None
        if method == "GET":
            path = f"{path}?{urlencode(fields)}" if fields else path
        else:
            body = json.dumps(fields).encode()
        connection = HTTPConnection(self._control, timeout=CALL_TIMEOUT + wait)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            found = json.loads(reply.read())
        except (OSError, HTTPException, ValueError) as error:
            raise UsageError(f"the broker does not answer: {error}") from error
        finally:
            connection.close()
        if reply.status != 200:
            raise UsageError(found["error"])
        return found

    @property
    def spus(self) -> dict[int, str]:
        """``host:port`` of each SPU by its id."""
        return {one["id"]: one["endpoint"] for one in self.ask("GET", "/cluster")["spus"]}

    def client_config(self, **overrides: Any) -> ClientConfig:
        """The configuration of a txfluvio client for this cluster.

        :param overrides: settings other than their defaults, by name.
        """
        self._known()
        tls = None if self._tls is None else self._tls.client_config()
        return ClientConfig(**{"endpoint": self.sc, "tls": tls, **overrides})

    def create_topic(self, name: str, partitions: int = 1, replication: int = 1) -> None:
        """Create a topic, and return once it can be used.

        :raises UsageError: it is refused, or can not be used in time.
        """
        fields = {"name": name, "partitions": partitions, "replication": replication}
        self._ask("POST", "/topics", fields, wait=self._topic_wait)

    def append(self, topic: str, records: Iterable[Given], partition: int = 0) -> int:
        """Put records into a partition as one batch; returns its offset.

        :param records: values, or pairs of key and value.
        :raises InvalidRecord: one of them is something else.
        :raises UsageError: no running SPU leads the partition, or it does not take the records.
        """
        plain = [_record(record) for record in given_records(records)]
        path = f"/topics/{quote(topic)}/records"
        offset: int = self.ask("POST", path, records=plain, partition=partition)["offset"]
        return offset

    def values(
        self, topic: str, partition: int | None = None, *, at_least: int = 0, timeout: float = 10
    ) -> list[bytes]:
        """The values of all records that are stored, by partition.

        :param at_least: wait until there are so many.
        :param timeout: seconds to wait for them.
        :raises UsageError: there are not so many in time, there is no such topic, or they are more
            than the control interface answers, which is 256 MiB.
        """
        fields: dict[str, Any] = {"limit": 2**31, "at_least": at_least, "timeout": timeout}
        if partition is not None:
            fields["partition"] = partition
        found = self.ask("GET", f"/topics/{quote(topic)}/records", **fields)
        return [given_bytes(record["value"]) for record in found["records"]]

    def plant(self, fault: Fault, *, optional: bool = False) -> int:
        """Let something go wrong from now on; returns the number of the fault.

        :param optional: whether it is fine if it never acts.
        :raises UsageError: it can never act.
        """
        from .faults.as_json import to_json

        number: int = self.ask("POST", "/faults", fault=to_json(fault), optional=optional)["id"]
        return number

    def unfired(self) -> list[Any]:
        """The faults that were planted and should have acted, as JSON."""
        found = self.ask("GET", "/faults")
        return [found["faults"][str(number)] for number in found["unfired"]]

    def spu_down(self, spu_id: int) -> None:
        """Stop an SPU: its connections end, its partitions get another leader or none."""
        self.ask("POST", f"/spus/{spu_id}/down")

    def spu_up(self, spu_id: int) -> None:
        """Start an SPU again, at its old address and with what it had."""
        self.ask("POST", f"/spus/{spu_id}/up")

    def sc_down(self) -> None:
        """Stop the SC; SPUs go on with what they know."""
        self.ask("POST", "/sc/down")

    def sc_up(self) -> None:
        """Start the SC again, at its old address and with what it had."""
        self.ask("POST", "/sc/up")

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """Make the SPU ``to`` the leader of a partition of which it has a replica."""
        self.ask("POST", f"/topics/{quote(topic)}/leader", partition=partition, to=to)

    def reset(self) -> None:
        """Go back to how it was when it had started, and have the topics to begin with again."""
        self.ask("POST", "/reset")
        self._create_topics()

    # The process

    def _start(self) -> None:
        if self._process is not None:
            raise UsageError("this broker has been started before")
        folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="fluvio-")))
        log = self._ending.enter_context((folder / "log").open("w+b"))
        self.profile = folder / "profile"
        own = ["--control=0", "--end-with-stdin", f"--profile={self.profile}"]
        process = self._ending.enter_context(
            subprocess.Popen(
                [*COMMAND, *own, *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        )
        self._process = process
        self._ending.callback(_end, process)
        late = Timer(START_TIMEOUT, process.kill)
        late.daemon = True
        late.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        late.cancel()
        if not line:
            process.wait(START_TIMEOUT)
            log.seek(0)
            said = log.read().decode(errors="replace")
            # Behind what is wrong twist says all that there is, under names that are of a shell.
            wrong, _, _ = said.partition("\nUsage: ")
            raise UsageError(f"the broker did not start: {wrong.strip()}")
        ready = json.loads(line)
        self.sc, self._control = ready["sc"], ready["control"]
        if ready["tls"] is not None:
            self._tls = TlsFiles(**ready["tls"])
        self._create_topics()

    def _create_topics(self) -> None:
        # One after the other, since who leads what follows from their order. A directory may have
        # kept some.
        kept = self.ask("GET", "/cluster")["topics"]
        for name, (partitions, replication) in given_topics(self.topics, self._spus).items():
            if name not in kept:
                self.create_topic(name, partitions, replication)
            elif len(kept[name]) != partitions:
                raise UsageError(
                    f"topic {name} was kept with {len(kept[name])} partitions, not {partitions}"
                )

    def _known(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise UsageError("this broker has not been started")
        return self._process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(START_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()


def _arguments(options: Mapping[str, Option]) -> list[str]:
    found = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            if name not in _MAPPINGS:
                expected = f"one value: only {' and '.join(_MAPPINGS)} take several, by name"
                more = "; what takes topics is topics" if name == "topic" else ""
                raise InvalidConfig(name, value, expected + more)
            found += [f"{option}={key}={one}" for key, one in value.items()]
        elif value is True:
            found.append(option)
        elif value is not False:
            found.append(f"{option}={value}")
    return found


def _topic_wait(times: Option | None) -> float:
    """How long the creation of a topic may wait, by the option ``time``."""
    if not isinstance(times, Mapping):
        return TOPIC_WAIT
    return float(times.get("topic_wait", times.get("topic-wait", TOPIC_WAIT)))


def _record(record: Given) -> Any:
    if isinstance(record, bytes):
        return plain_bytes(record)
    key, value = record
    return {"key": None if key is None else plain_bytes(key), "value": plain_bytes(value)}
