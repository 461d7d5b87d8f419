"""Runs the programs, each in a process of its own, the clients in turn, round by round."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .plan import Run, Workload
from .server import Server

ROOT = Path(__file__).parent.parent

DEADLINE = 300
"""Seconds for one program."""

Results = dict[str, dict[str, list[dict[str, Any]]]]
"""By workload and by program, what each round saw."""


class Failed(Exception):
    """A program that did not end well."""


def measure(
    plan: Iterable[Workload],
    rounds: int,
    server: Server,
    progress: Callable[[str], None],
    compiled: Path | None = None,
) -> Results:
    """Run everything ``rounds`` times, interleaved: a round is every program once.

    :param compiled: where the compiled build is unpacked, if any program is to run with it.
    :raises Failed: the server is not there, or a program of ours could not do its work.
    """
    bench = _Bench(server, compiled)
    bench.connect()
    plan = list(plan)
    results: Results = {load.name: {_key(run): [] for run in load.runs} for load in plan}
    try:
        for number in range(rounds):
            for load in plan:
                for run in load.runs:
                    progress(f"round {number + 1}: {load.name}: {run.client} {run.label}")
                    results[load.name][_key(run)].append(bench.run(load, run))
    finally:
        # Where the user has interrupted it, a fake has ended too: there is nothing to delete then,
        # and nowhere. On a real cluster what can not be deleted is no reason to tell no results.
        with suppress(Failed):
            bench.clean()
    return results


def _key(run: Run) -> str:
    return f"{run.client} {run.label}"


def _failure(error: Failed) -> dict[str, Any]:
    """The result of a program that could not do its work."""
    return {"failed": str(error).strip().splitlines()[-1]}


class _Bench:
    def __init__(self, server: Server, compiled: Path | None) -> None:
        self._server = server
        self._compiled = compiled
        self._numbers = itertools.count()
        self._filled: dict[str, str | Failed] = {}
        self._topics: list[str] = []

    def connect(self) -> None:
        """See that the server is there: without it nothing would be what every workload shows."""
        self._program("ours", {"work": "connect"})

    def run(self, load: Workload, run: Run) -> dict[str, Any]:
        spec = {**load.spec, "work": run.work, "count": int(load.spec["count"] * run.scale)}
        if load.topic == "read":
            topic = self._full(load)
            if isinstance(topic, Failed):
                # Not every cluster takes ten thousand partitions, and that is its result.
                return _failure(topic)
            spec["topic"] = topic
        elif load.topic:
            spec["topic"] = self._new({})
        try:
            result = self._measured(load, run, spec)
        except Failed as error:
            if run.client != "official":
                raise
            # Ours has to do it all; what the other can not do is a result.
            result = _failure(error)
        if load.topic == "write":
            self._drop([spec["topic"]])
        if run.client != "official" and result["compiled"] != (run.client == "compiled"):
            raise Failed(f"{run.client} {run.label} ran with the other build")
        return result

    def _measured(self, load: Workload, run: Run, spec: dict[str, Any]) -> dict[str, Any]:
        return self._live(run, spec) if load.topic == "live" else self._program(run.client, spec)

    def _full(self, load: Workload) -> str | Failed:
        what = {name: value for name, value in load.spec.items() if name != "consumers"}
        key = json.dumps(what, sort_keys=True)
        if key not in self._filled:
            try:
                self._filled[key] = self._new(what)
            except Failed as error:
                self._filled[key] = error
        return self._filled[key]

    def _new(self, what: dict[str, Any]) -> str:
        topic = f"txf-bench-{next(self._numbers)}"
        self._topics.append(topic)
        self._program("ours", {**what, "work": "fill", "topic": topic})
        return topic

    def _live(self, run: Run, spec: dict[str, Any]) -> dict[str, Any]:
        self._server.split_pushes(spec["topic"])
        with self._begin(run.client, spec) as consumer:
            assert consumer.stdout is not None
            consumer.stdout.readline()
            self._program("ours", {**spec, "work": "tick"})
            return self._end(consumer, spec)

    def _program(self, client: str, spec: dict[str, Any]) -> dict[str, Any]:
        with self._begin(client, spec) as process:
            return self._end(process, spec)

    def _begin(self, client: str, spec: dict[str, Any]) -> subprocess.Popen[bytes]:
        module = "ours" if client == "compiled" else client
        return subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(spec)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._server.env,
            # The folder that a program starts in is where its modules are looked for first.
            cwd=self._compiled if client == "compiled" else ROOT,
        )

    def _end(self, process: subprocess.Popen[bytes], spec: dict[str, Any]) -> dict[str, Any]:
        try:
            said, errors = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{spec['work']} took more than {DEADLINE} s: {spec}") from None
        if process.returncode or not said.strip():
            reason = errors.decode(errors="replace").strip()
            raise Failed(f"{spec['work']} failed: {spec}: {reason}")
        result: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
        return result

    def _drop(self, topics: list[str]) -> None:
        self._program("ours", {"work": "drop", "topics": topics})
        self._topics = [name for name in self._topics if name not in topics]

    def clean(self) -> None:
        """Delete what is left of the topics."""
        if self._topics:
            self._drop(self._topics)
