"""The compiled build takes and refuses what the plain one does, and hands out the same."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata

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


def test_the_tests_of_records_and_of_reading_them_pass_on_the_compiled_build(site: Path) -> None:
    shutil.copytree(
        ROOT / "tests",
        site / "tests",
        ignore=shutil.ignore_patterns("__pycache__", "test_compiled*"),
    )
    names = ("codec", "records", "batch_builder", "compression")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [f"tests/wire/test_{name}.py" for name in names]
        + [f"tests/consumer/test_{name}.py" for name in ("backlog", "hand", "reading")],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_build_asks_for_all_that_the_compiled_modules_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pip compiles in an environment that has nothing else.
    monkeypatch.setenv("TXFLUVIO_COMPILE", "1")
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hatch_build = module_from_spec(spec)
    spec.loader.exec_module(hatch_build)
    metadata: ProjectMetadata[Any] = ProjectMetadata(str(ROOT), None)
    hook = hatch_build.CompileHook(str(ROOT), {}, None, metadata, "", "wheel")
    asked_for = {re.split(r"[^\w]", one)[0] for one in hook.dependencies()}
    imported = {
        name.split(".")[0]
        for path in hatch_build.MODULES
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert imported - sys.stdlib_module_names <= asked_for
