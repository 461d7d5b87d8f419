"""The measurement of a slow reader's memory, done with little."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..commands import run


def test_it_reads_all_and_says_what_that_took(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ended = run(
        *(sys.executable, "-m", "benchmarks.slow_consumer", "--bytes", "200000"),
        *("--size", "500", "--json", str(file)),
    )
    assert ended.returncode == 0, ended.stderr.decode()
    figures = json.loads(file.read_text())
    assert (figures["records"], figures["bytes"]) == (400, 200_000)
    assert figures["growth"] == figures["resident_peak"] - figures["resident_start"]
    assert b"64 are allowed" in ended.stdout


def test_sizes_that_can_not_be_are_refused() -> None:
    ended = run(sys.executable, "-m", "benchmarks.slow_consumer", "--size", "0")
    assert ended.returncode == 2
    assert b"--size takes 1 or more" in ended.stderr
