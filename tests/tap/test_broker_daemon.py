"""``twistd fluvio-broker``: a daemon, which has no output to say that it is ready."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ..commands import DEADLINE, TWISTD, run


def test_a_daemon_is_ready_when_its_file_is_there(tmp_path: Path) -> None:
    ready, pidfile = tmp_path / "ready.json", tmp_path / "pid"
    own = ["--pidfile", str(pidfile), "--rundir", str(tmp_path), "--logfile", str(tmp_path / "log")]
    ended = run(*TWISTD, *own, "fluvio-broker", "--ready", str(ready), "--topic", "orders")
    assert ended.returncode == 0, ended.stderr.decode()
    try:
        _until(ready.exists)
        host, port = json.loads(ready.read_text())["sc"].split(":")
        socket.create_connection((host, int(port)), timeout=DEADLINE).close()
    finally:
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
    _until(lambda: not pidfile.exists())
    assert "Traceback" not in (tmp_path / "log").read_text()


def _until(holds: Callable[[], bool]) -> None:
    """Wait for a process that nobody is the parent of."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
