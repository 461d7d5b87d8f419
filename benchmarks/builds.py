"""The plain and the compiled build, compared: ``python -m benchmarks.builds``.

Builds the compiled wheel into a folder that is deleted afterwards and lets both builds read the
same damaged inputs. They must agree on each. With ``--tests`` the whole test-suite is run on the
compiled build instead.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .command import run

ROOT = Path(__file__).parent.parent

LEFT = (".git", ".venv", ".nox", ".hypothesis", "*cache*", "build", "dist")
"""What is no part of the project, though it is in its folder."""


def compiled(folder: Path, *, isolated: bool = True) -> Path:
    """Build the compiled wheel, and return where it is unpacked.

    :param isolated: build as pip does, in an environment of its own; else with what is here.
    """
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    if not isolated:
        command.append("--no-build-isolation")
    environment = {**os.environ, "TXFLUVIO_COMPILE": "1"}
    subprocess.run([*command, str(ROOT)], env=environment, check=True)
    (wheel,) = folder.glob("txfluvio-*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "benchmarks").symlink_to(ROOT / "benchmarks")
    return site


def tests(folder: Path) -> int:
    """Run the project's tests on the compiled build, in a copy of the project; their status."""
    site = compiled(folder)
    copy = folder / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT))
    for made in site.rglob("*"):
        if made.suffix in (".so", ".pyd"):
            shutil.copy2(made, copy / made.relative_to(site))
    # What compares the two builds needs the plain one.
    command = [sys.executable, "-m", "pytest", "-q", "--ignore", "tests/wire/test_compiled.py"]
    return subprocess.run(command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}).returncode


def begin(where: Path, inputs: int, seed: int) -> subprocess.Popen[str]:
    """Begin to read the inputs with the build that is at ``where``."""
    command = [sys.executable, "-m", "benchmarks.mutated", f"--inputs={inputs}", f"--seed={seed}"]
    return subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What such a process found."""
    said, _ = process.communicate()
    found: dict[str, Any] = json.loads(said)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.builds",
        description="Read damaged inputs with the plain and the compiled build.",
    )
    parser.add_argument(
        "--tests", action="store_true", help="instead run all tests on the compiled build"
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        if chosen.tests:
            return tests(Path(folder))
        site = compiled(Path(folder))
        running = [begin(where, chosen.inputs, chosen.seed) for where in (ROOT, site)]
        plain, machine = [result(process) for process in running]
    if plain["compiled"] or not machine["compiled"]:
        print("the builds to compare are not the plain and the compiled one", file=sys.stderr)
        return 1
    same = plain["digest"] == machine["digest"]
    print(f"{chosen.inputs:,} inputs from seed {chosen.seed}: {'equal' if same else 'DIFFERENT'}")
    return 0 if same else 1


if __name__ == "__main__":
    run(main)
