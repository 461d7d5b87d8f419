"""Seeds: nothing lost, nothing silent, and the same course wherever it is taken."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from txfluvio.testing.simulation import Plan, simulate
from txfluvio.testing.simulation.campaign import run_seeds

SEEDS = 200
PART = 20

DIGEST = """
import hashlib
from txfluvio.testing.simulation import simulate
print(hashlib.sha256(simulate({seed}, traced=True).trace.encode()).hexdigest())
"""


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_silent(first: int) -> None:
    summary = run_seeds(range(first, first + PART))
    assert summary.failures == {}
    assert summary.runs == PART
    assert sorted(summary.sent)[PART // 2] >= 200
    assert sorted(summary.fired)[PART // 2] >= 5


def digest(seed: int) -> str:
    return hashlib.sha256(simulate(seed, traced=True).trace.encode()).hexdigest()


def test_a_seed_takes_the_same_course_every_time() -> None:
    first, second = (simulate(7, traced=True) for _ in range(2))
    assert first.trace == second.trace
    assert len(first.trace.splitlines()) > 500


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_and_in_another_process_and_under_another_hash_seed(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST.format(seed=7)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.strip() == digest(7)


def test_a_trace_costs_nothing_but_itself() -> None:
    traced, untraced = simulate(8, traced=True), simulate(8)
    assert untraced.trace == ""
    assert (traced.calls, traced.sent, traced.hits) == (
        untraced.calls,
        untraced.sent,
        untraced.hits,
    )


def test_other_seeds_take_other_courses() -> None:
    assert len({digest(seed) for seed in range(4)}) == 4
    assert len({Plan.of(seed).troubles for seed in range(50)}) == 50
