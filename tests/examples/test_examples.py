"""Every example runs, in a process of its own, as its reader would run it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txfluvio import FluvioClient
from txfluvio.testing import FakeBroker
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

from ..commands import run

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_quickstart_prints_what_it_stored() -> None:
    ended = run(sys.executable, str(EXAMPLES / "quickstart.py"))
    assert ended.returncode == 0, ended.stderr.decode()
    for text in (b"hello", b"value=b'a'", b"value=b'value'", b"value=b'b'"):
        assert text in ended.stdout


def test_main_job_tails_what_it_produces() -> None:
    ended = run(sys.executable, str(EXAMPLES / "main_job.py"))
    assert ended.returncode == 0, ended.stderr.decode()
    for number in range(1, 6):
        assert f"fluvio-tail: record {number}\n".encode() in ended.stdout


def test_smartmodules_run_for_readers_and_for_writers() -> None:
    ended = run(sys.executable, str(EXAMPLES / "smartmodules.py"))
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.decode().splitlines() == [
        "read 5 FIRE",
        "read 3 SMOKE",
        "a module failed on b'no level at all' at offset 3",
        "accepted, at an offset that is not told: None",
        "stored 4 SPARKS",
    ]


def test_quickstart_runs_in_memory_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The same program, over another network and under another clock."""
    clock = Clock()
    network = MemoryNetwork(clock)
    program = runpy.run_path(str(EXAMPLES / "quickstart.py"))
    program["main"].__globals__.update(
        FakeBroker=lambda reactor: FakeBroker(reactor, network=network),
        FluvioClient=lambda reactor, config: FluvioClient(
            reactor, config, dialer=MemoryDialer(network, config, clock)
        ),
    )
    running = Deferred.fromCoroutine(program["main"](clock))
    for _ in range(100):
        clock.advance(0.05)
    assert running.called
    assert capsys.readouterr().out.count("<Record greetings/") == 4
