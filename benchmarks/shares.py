"""Where the client's time goes, floor by floor: ``python -m benchmarks.shares``.

Samples each workload of :mod:`benchmarks.ours` with py-spy (``pip install py-spy``), against the
fake, and says which part of the samples was in which part of the house. Time in C functions counts
for who has called them. What Python takes to import everything is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import server
from .command import run

RATE = 500
"""Samples a second."""

WORKLOADS: dict[str, dict[str, Any]] = {
    "consume_iter": {"count": 1_000_000},
    "consume_batches": {"count": 1_000_000},
    "produce_many": {"count": 2_000_000},
    "produce_each": {"count": 400_000},
    "produce_awaited": {"count": 10_000},
    "consumers": {"count": 200, "consumers": 1000},
}

RECORDS = ("_decode", "_alike", "_encode", "_raw", "_record", "_varints")

PARTS = (
    *((f"txfluvio/wire/{name}.py", "records") for name in RECORDS),
    ("txfluvio/wire/", "messages, batches, frames"),
    ("txfluvio/transport/", "connections"),
    ("txfluvio/cluster/", "cluster"),
    ("txfluvio/producer/", "producer"),
    ("txfluvio/consumer/", "consumer"),
    ("txfluvio.", "messages, batches, frames"),
    ("epollreactor.py", "Twisted's wait"),
    ("twisted/", "Twisted"),
    ("benchmarks/", "the program itself"),
)
"""A part of a file's name, and what it belongs to; the first that fits counts. The methods that
attrs makes have the name of their class in the place of a file's."""


def part_of(frame: str) -> str:
    """Which part of the house a frame of py-spy's belongs to."""
    if "doPoll" not in frame:
        frame = frame.replace("epollreactor.py", "twisted/")
    return next((name for text, name in PARTS if text in frame), "others")


def shares(stacks: Iterable[str]) -> dict[str, float]:
    """The parts and what each has of the time, the largest first.

    :param stacks: lines of py-spy's raw format: frames joined by ``;``, a blank, how many.
    """
    found: Counter[str] = Counter()
    for line in stacks:
        stack, _, number = line.rpartition(" ")
        if "importlib" not in stack:
            found[part_of(stack.rpartition(";")[2])] += int(number)
    total = sum(found.values())
    return {name: count / total for name, count in found.most_common()}


def sample(work: str, spec: dict[str, Any], env: dict[str, str], folder: Path) -> list[str]:
    """The samples of one workload."""
    found = folder / work
    program = [sys.executable, "-m", "benchmarks.ours", json.dumps({**spec, "work": work})]
    options = ["--rate", str(RATE), "--format", "raw", "--output", str(found), "--"]
    ran = subprocess.run(
        ["py-spy", "record", *options, *program], env=env, capture_output=True, text=True
    )
    if not found.exists():
        raise SystemExit(f"py-spy took no samples of {work}: {ran.stderr}")
    return found.read_text().splitlines()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shares", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--only", default="", help="workloads whose names contain this")
    parser.add_argument("--scale", type=float, default=1.0, help="the part of the usual records")
    chosen = parser.parse_args(arguments)
    if shutil.which("py-spy") is None:
        print("py-spy is not installed: pip install py-spy", file=sys.stderr)
        return 2
    with server.fake() as served, TemporaryDirectory() as folder:
        env = dict(served.env)
        for work, usual in WORKLOADS.items():
            if chosen.only not in work:
                continue
            spec = {"size": 100, **usual, "count": max(1, int(usual["count"] * chosen.scale))}
            spec["topic"] = work.replace("_", "-")
            filled = spec["count"] if work.startswith("consume") else 0
            fill = json.dumps({**spec, "work": "fill", "count": filled})
            filler = [sys.executable, "-m", "benchmarks.ours", fill]
            subprocess.run(filler, env=env, check=True, stdout=subprocess.DEVNULL)
            found = shares(sample(work, spec, env, Path(folder)))
            print(f"{work}: " + ", ".join(f"{name} {part:.0%}" for name, part in found.items()))
    return 0


if __name__ == "__main__":
    run(main)
