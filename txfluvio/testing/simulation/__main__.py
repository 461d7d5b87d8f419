"""Runs many seeds: ``python -m txfluvio.testing.simulation --start 0 --seeds 10000``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from ...errors import UsageError
from ..arguments import whole
from .campaign import Summary, explain, run_many
from .plan import VERSION, Plan
from .run import simulate

WIDTH = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.course not in (None, VERSION):
            raise UsageError(
                f"that seed was of course {options.course}; this version of the simulation has"
                f" course {VERSION}, in which it does something else"
            )
        if options.trace or options.without:
            return _one(options.start, options.seeds, options.without, traced=options.trace)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return _many(range(options.start, options.start + options.seeds), options.processes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m txfluvio.testing.simulation",
        description="Clients and a fake cluster in memory, while everything goes wrong that can.",
    )
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=whole(1), default=100, help="how many seeds")
    parser.add_argument("--processes", type=whole(1), default=2, help="how many at a time")
    parser.add_argument("--trace", action="store_true", help="print what happens, of one seed")
    parser.add_argument(
        "--without",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[],
        metavar="N,N,...",
        help="leave out these troubles, of one seed",
    )
    parser.add_argument("--course", type=int, help="refuse unless seeds take this course")
    return parser


def _one(seed: int, seeds: int, without: Sequence[int], *, traced: bool) -> int:
    if seeds != 1:
        raise UsageError("--trace and --without are for one seed: --seeds 1")
    result = simulate(Plan.of(seed).without(without), traced=traced)
    sys.stdout.write(result.trace)
    for violation in result.violations:
        print(violation)
    print(f"{len(result.violations)} violations")
    return 1 if result.violations else 0


def _many(seeds: range, processes: int) -> int:
    summary, begun = Summary(), time.monotonic()
    try:
        for part in run_many(seeds, processes):
            summary.merge(part)
            for seed, violations in part.failures.items():
                print(f"\nseed {seed}: {violations[0]}", file=sys.stderr)
            _progress(summary, len(seeds), time.monotonic() - begun)
    except KeyboardInterrupt:
        print("\ninterrupted", end="", file=sys.stderr)
    print(file=sys.stderr)
    for line in summary.lines():
        print(line)
    print(f"{time.monotonic() - begun:.0f} s in {processes} processes")
    for number, seed in enumerate(summary.failures):
        if number:
            print(f"seed {seed} fails as well: {summary.failures[seed][0]}")
        else:
            for line in explain(seed).lines():
                print(line)
    return 1 if summary.failed else 0


def _progress(summary: Summary, total: int, seconds: float) -> None:
    done = summary.runs / total
    bar = "#" * round(done * WIDTH)
    left = seconds / done * (1 - done)
    print(
        f"\r[{bar:<{WIDTH}}] {summary.runs}/{total}, {summary.failed} failed, {left:.0f} s left ",
        end="",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    # Else its processes would be left behind, waiting for work.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
