"""The server that both clients talk to: a fake cluster in a process, or a real one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

from txfluvio.testing.faults import Fault, Match, SplitPush
from txfluvio.testing.process import BrokerProcess, Option


@attrs.frozen
class Server:
    """A server that runs.

    :ivar env: the environment in which clients find it.
    """

    env: Mapping[str, str]
    _fake: BrokerProcess | None = None

    def split_pushes(self, topic: str) -> None:
        """Let what is pushed of a topic leave as a real SPU writes it: in two pieces, the second of
        which TCP holds back until the client has acknowledged the first."""
        if self._fake is not None:
            match = Match("StreamFetch", topic=topic)
            self._fake.plant(Fault(match, SplitPush(delay=None), times=None))


@contextmanager
def fake(*, tls: bool = False) -> Iterator[Server]:
    """Serve a fake cluster as long as the block runs.

    :param tls: let it speak TLS, and want certificates of clients.
    """
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Option] = {}
        if tls:
            options = {"tls": Path(folder), "tls_preset": "client-required"}
        with BrokerProcess(1, None, **options) as broker:
            yield Server(_environment(broker.profile), broker)


@contextmanager
def real(profile_file: str) -> Iterator[Server]:
    """A running cluster: the current one of a profile file."""
    yield Server(_environment(Path(profile_file).resolve()))


def _environment(profile_file: Path) -> dict[str, str]:
    env = {**os.environ, "FLV_PROFILE_PATH": str(profile_file)}
    # What is installed has its bytecode, and so shall a clone, or its start is that of a compiler.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env
