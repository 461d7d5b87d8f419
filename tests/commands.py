"""Runs the project's commands as processes, the way their users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

TWIST = [sys.executable, "-m", "twisted"]
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
TAIL = [sys.executable, "-c", "from txfluvio.tap.tail import main; main()"]
DEADLINE = 60


def _environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "", **(changes or {})}


def run(
    *command: str, input: bytes | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        command, input=input, capture_output=True, timeout=DEADLINE, env=_environment(env)
    )


def twist(
    *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run ``twist`` with these arguments to its end."""
    return run(*TWIST, *arguments, env=env)


@attrs.frozen
class RunningBroker:
    """A ``fluvio-broker`` that is ready.

    :ivar process: the process.
    :ivar sc: ``host:port`` of its SC.
    :ivar spus: what it says of its SPUs.
    :ivar profile: the profile file it wrote.
    :ivar control: ``host:port`` of its control interface, if it was asked for one.
    :ivar web: the address of its console, if it was asked for one.
    """

    process: subprocess.Popen[bytes]
    sc: str
    spus: list[dict[str, object]]
    profile: Path
    control: str | None = None
    web: str | None = None


@contextmanager
def broker(folder: Path, *arguments: str) -> Iterator[RunningBroker]:
    """Serve a fake cluster in a process of its own, as long as the block runs."""
    profile = folder / "profile"
    log = folder / "broker.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*TWIST, "fluvio-broker", "--profile", str(profile), *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the broker did not start: {log.read_text()}"
        ready = json.loads(line)
        yield RunningBroker(
            process,
            ready["sc"],
            ready["spus"],
            Path(ready["profile"]),
            ready["control"],
            ready["web"],
        )
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE)
        process.stdout.close()
