"""The command ``python -m benchmarks``; see :mod:`benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from . import builds, plan, report, runner, server
from .command import Progress, run


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure txfluvio beside the official Python client, against one server.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each program runs")
    parser.add_argument(
        "--full", action="store_true", help="all sizes, keys and codecs, not only 100-byte values"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="the part of the usual records to do"
    )
    parser.add_argument("--only", default="", help="workloads whose names contain this")
    parser.add_argument(
        "--profile-file",
        help="a real cluster: the current one of this file; without the workloads of thousands of "
        "partitions, over which a real SC loses its breath",
    )
    parser.add_argument("--tls", action="store_true", help="over mutual TLS, with the fake")
    parser.add_argument(
        "--compiled", action="store_true", help="build the compiled wheel, and measure it too"
    )
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error("--rounds takes 1 or more")
    if chosen.tls and chosen.profile_file:
        parser.error("--tls is for the fake: a real cluster's profile says whether it speaks TLS")
    if not 0 < chosen.scale <= 100:
        parser.error("--scale takes a number above 0, at most 100")
    return chosen


def offered(*, full: bool, real: bool) -> list[plan.Workload]:
    """The workloads to choose from: a real cluster is spared some."""
    return [load for load in plan.workloads(full=full) if plan.bearable(load) or not real]


def main(arguments: list[str] | None = None) -> int:
    chosen = options(arguments)
    loads = [
        plan.scaled(load, chosen.scale)
        for load in offered(full=chosen.full, real=bool(chosen.profile_file))
        if chosen.only in load.name
    ]
    if not loads:
        every = offered(full=True, real=bool(chosen.profile_file))
        names = ", ".join(load.name for load in every)
        print(f"no workload is called like {chosen.only!r}; there are: {names}", file=sys.stderr)
        return 2
    if find_spec("fluvio") is None:
        print("the official client (PyPI fluvio) is not installed: ours alone", file=sys.stderr)
        loads = [plan.alone(load) for load in loads]
    at: AbstractContextManager[server.Server] = (
        server.real(chosen.profile_file) if chosen.profile_file else server.fake(tls=chosen.tls)
    )
    if chosen.compiled:
        loads = [plan.both_builds(load) for load in loads]
    progress = Progress(chosen.rounds * sum(len(load.runs) for load in loads))
    with at as served, TemporaryDirectory() as folder:
        try:
            site = None
            if chosen.compiled:
                site = builds.compiled(Path(folder), isolated=False)
            results = runner.measure(loads, chosen.rounds, served, progress, site)
        except runner.Failed as error:
            progress.end()
            print(error, file=sys.stderr)
            return 1
        finally:
            progress.end()
    rows = report.summary(loads, results)
    host = report.machine()
    print(report.table(loads, rows))
    print()
    print(", ".join(f"{name}: {value}" for name, value in host.items()))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"machine": host, "rows": rows, "runs": results}))
    return 0


if __name__ == "__main__":
    run(main)
