"""What uses sockets, on asyncio's event loop too: a slice of the tests in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = """
import sys
from twisted.internet import asyncioreactor
asyncioreactor.install()
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
SLICE = (
    "tests/conformance",
    "tests/docs/test_blocks.py",
    "tests/testing/test_broker.py",
    "tests/transport/test_dialer.py",
)
CHOSEN = "(1-spu-loopback and (producing or consuming)) or guide/consume or test_broker or Tcp"


@pytest.mark.timeout(300)
def test_a_slice_of_the_tests_passes_on_the_asyncio_reactor() -> None:
    arguments = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--reactor=asyncio")
    ended = subprocess.run(
        [sys.executable, "-c", RUN, *arguments, "-k", CHOSEN, *SLICE],
        capture_output=True,
        timeout=280,
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    assert ended.returncode == 0, ended.stdout.decode() + ended.stderr.decode()
    passed = int(ended.stdout.split(b" passed")[0].split()[-1])
    assert passed > 50
