"""The compiled build takes and refuses what the plain one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import builds
from txfluvio.wire import COMPILED

ROOT = Path(__file__).parent.parent.parent
compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]

pytestmark = [
    pytest.mark.skipif(shutil.which(compiler) is None, reason=f"no C compiler, {compiler}, here"),
    pytest.mark.skipif(find_spec("mypyc") is None, reason="mypyc is not installed"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled build is unpacked."""
    return builds.compiled(tmp_path_factory.mktemp("compiled"), isolated=False)


def test_each_build_says_which_it_is(site: Path) -> None:
    found = builds.result(builds.begin(site, 1, 0))
    assert found["compiled"]
    assert not COMPILED


def test_both_builds_read_damaged_inputs_alike(site: Path) -> None:
    running = [builds.begin(where, 10_000, 7) for where in (ROOT, site)]
    plain, machine = [builds.result(process) for process in running]
    assert machine["digest"] == plain["digest"]


def test_the_tests_of_records_pass_on_the_compiled_build(site: Path) -> None:
    shutil.copytree(
        ROOT / "tests",
        site / "tests",
        ignore=shutil.ignore_patterns("__pycache__", "test_compiled*"),
    )
    names = ("codec", "records", "batch_builder", "compression")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [f"tests/wire/test_{name}.py" for name in names],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
