"""The server that both clients talk to: a fake cluster in a process, or a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fake(*options: str, tls: bool = False) -> Iterator[dict[str, str]]:
    """Serve a fake cluster as long as the block runs.

    :param tls: let it speak TLS, and want certificates of clients.
    :returns: the environment in which clients find it.
    """
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"
        if tls:
            options += ("--tls", str(Path(folder) / "tls"), "--tls-preset", "client-required")
        process = subprocess.Popen(
            [sys.executable, "-m", "twisted", "fluvio-broker", "--profile", str(profile), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            if not json.loads(process.stdout.readline() or b"{}"):
                raise SystemExit("fluvio-broker did not start")
            yield {**os.environ, "FLV_PROFILE_PATH": str(profile)}
        finally:
            process.terminate()
            process.wait(timeout=30)
            process.stdout.close()


@contextmanager
def real(profile_file: str) -> Iterator[dict[str, str]]:
    """A running cluster: the current one of a profile file."""
    yield {**os.environ, "FLV_PROFILE_PATH": str(Path(profile_file).resolve())}
