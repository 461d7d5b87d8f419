"""The benchmarks run, and their table tells wins and losses alike; no figure is judged here."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks import payload, plan, report, runner, server
from benchmarks.command import run
from txfluvio.wire import COMPILED


def seen(count: int, seconds: float, **more: Any) -> dict[str, Any]:
    return {"count": count, "seconds": seconds, "peak": 2**20, "cpu": seconds, **more}


CONSUMING = plan.Workload("consume (100 B)", (plan.ITER, plan.STREAM), {"count": 100}, "read")


def table(load: plan.Workload, results: dict[str, list[dict[str, Any]]]) -> list[str]:
    return report.table([load], report.summary([load], {load.name: results})).splitlines()


def test_a_rate_is_shown_as_a_ratio_of_medians() -> None:
    lines = table(
        CONSUMING,
        {
            "ours async for record": [seen(100, 1.0), seen(100, 2.0), seen(100, 0.5)],
            "official stream()": [seen(100, 4.0)],
        },
    )
    assert "100/s" in lines[1]
    assert "50/s to 200/s" in lines[1]
    assert lines[1].endswith("stream(): 4.00x")


def test_records_that_never_arrived_are_told() -> None:
    lines = table(
        CONSUMING, {"ours async for record": [seen(100, 1)], "official stream()": [seen(93, 1)]}
    )
    assert lines[2].endswith("7 of 100 records never arrived")
    assert "never" not in lines[1]


def test_a_latency_is_shown_at_two_points() -> None:
    runs = (plan.Run("ours", "a", "a"), plan.Run("official", "b", "b"))
    load = plan.Workload("waiting", runs, {"count": 2}, "", "latency")
    lines = table(
        load,
        {
            "ours a": [seen(2, 1, latencies=[0.002, 0.002])],
            "official b": [seen(2, 1, latencies=[0.001, 0.001])],
        },
    )
    assert lines[1].endswith("b: p50 2.00x, p99 2.00x")


def test_workloads_have_names_of_their_own() -> None:
    names = [load.name for load in plan.workloads(full=True)]
    assert len(set(names)) == len(names)


def test_a_real_cluster_is_not_asked_for_thousands_of_partitions() -> None:
    asked = [load for load in plan.workloads(full=True) if plan.bearable(load)]
    assert max(load.spec.get("partitions", 1) for load in asked) == 100


def test_what_the_other_client_can_not_do_is_told() -> None:
    lines = table(
        CONSUMING,
        {
            "ours async for record": [seen(100, 2.0)],
            "official stream()": [seen(100, 4.0), {"failed": "it gave up"}],
        },
    )
    assert "50/s" in lines[1]
    assert "x" not in lines[1].split("MiB")[1]
    assert lines[2].split()[-4:] == ["failed", "it", "gave", "up"]


def test_the_compiled_build_stands_beside_the_plain_one() -> None:
    load = plan.both_builds(CONSUMING)
    assert [run.client for run in load.runs] == ["ours", "compiled", "official"]
    lines = table(
        load,
        {
            "ours async for record": [seen(100, 2.0)],
            "compiled async for record": [seen(100, 1.0)],
            "official stream()": [seen(100, 4.0)],
        },
    )
    assert [line.split()[-1] for line in lines[1:3]] == ["2.00x", "4.00x"]


@pytest.mark.parametrize("size", plan.SIZES)
def test_values_have_exactly_their_size(size: int) -> None:
    assert {len(value) for value in payload.values(size)} == {size}


def test_varied_values_are_longer_and_shorter() -> None:
    sizes = [len(value) for value in payload.values(100, varied=True)]
    assert (min(sizes), max(sizes)) == (70, 130)
    assert 95 < sum(sizes) / len(sizes) < 105


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, timeout=90
    )


def test_a_workload_that_is_none_is_said_in_one_line() -> None:
    done = command("--only", "nothing like it")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("no workload is called like 'nothing like it'; there are: ")


@pytest.mark.parametrize("only", ["consume all of 1 ", "depth 1"])
def test_a_cluster_that_is_not_there_is_said_in_one_line(tmp_path: Path, only: str) -> None:
    profile = tmp_path / "config"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        profile.write_text(
            'version = "2.0"\ncurrent_profile = "gone"\n[profile.gone]\ncluster = "gone"\n'
            f'[cluster.gone]\nendpoint = "{endpoint}"\n'
        )
        done = command("--profile-file", str(profile), "--only", only)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"ConnectFailed: can not connect to {endpoint}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_interruption_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run(interrupted)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(COMPILED, reason="the plain build is what it measures first")
def test_a_topic_that_the_cluster_does_not_make_fails_its_own_workload_only() -> None:
    run = plan.Run("ours", "spread", "batches()")
    none = plan.Workload("of none", (run,), {"size": 16, "count": 1, "partitions": 0}, "read")
    one = plan.Workload("of one", (run,), {"size": 16, "count": 1, "partitions": 1}, "read")
    with server.fake(tls=False) as served:
        results = runner.measure([none, one], 1, served, lambda what: None)
    (failed,), (done,) = (results[load.name]["ours batches()"] for load in (none, one))
    assert "InvalidConfig: partitions is 0" in failed["failed"]
    assert "failed" not in done


@pytest.mark.skipif(
    find_spec("fluvio") is None, reason="the official client (PyPI fluvio) is not installed"
)
@pytest.mark.skipif(COMPILED, reason="the plain build is what it measures first")
def test_one_command_measures_both_clients_against_one_server(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = command("--rounds", "1", "--scale", "0.05", "--only", "depth 1", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    assert "send().wait(): p50" in done.stdout
    rows = json.loads(figures.read_text())["rows"]
    assert [row["program"] for row in rows] == ["ours await send", "official send().wait()"]
    assert all(row["count"] == 100 for row in rows)
