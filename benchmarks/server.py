"""The server that both clients talk to: a fake cluster in a process, or a real one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from txfluvio.testing.process import BrokerProcess, Option


@contextmanager
def fake(*, tls: bool = False) -> Iterator[dict[str, str]]:
    """Serve a fake cluster as long as the block runs.

    :param tls: let it speak TLS, and want certificates of clients.
    :returns: the environment in which clients find it.
    """
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Option] = {}
        if tls:
            options = {"tls": Path(folder), "tls_preset": "client-required"}
        with BrokerProcess(1, None, **options) as broker:
            yield {**os.environ, "FLV_PROFILE_PATH": str(broker.profile)}


@contextmanager
def real(profile_file: str) -> Iterator[dict[str, str]]:
    """A running cluster: the current one of a profile file."""
    yield {**os.environ, "FLV_PROFILE_PATH": str(Path(profile_file).resolve())}
