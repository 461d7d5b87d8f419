"""What a release stands on: one version, a changelog that can be made, checks that fit together."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from .commands import run

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_written_in_one_place() -> None:
    written = PROJECT["project"]["version"]
    assert version("txfluvio") == written
    again = [
        path
        for path in (ROOT / "txfluvio").rglob("*.py")
        if "__version__" in path.read_text(encoding="utf-8")
    ]
    assert again == []


def test_the_changelog_can_be_made() -> None:
    ended = run(
        *(sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9"),
        *("--dir", str(ROOT)),
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"9.9.9" in ended.stdout


@pytest.mark.parametrize(
    "fragment", sorted((ROOT / "changes").iterdir()), ids=lambda path: path.name
)
def test_a_changelog_fragment_has_a_kind_and_says_something(fragment: Path) -> None:
    if fragment.name == "README.md":
        return
    kinds = [kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]]
    assert re.fullmatch(rf"\+[\w-]+\.({'|'.join(kinds)})\.md", fragment.name)
    assert fragment.read_text().strip()


def test_the_oldest_twisted_that_is_tested_is_the_oldest_that_is_allowed() -> None:
    (allowed,) = (text for text in PROJECT["project"]["dependencies"] if text.startswith("twisted"))
    oldest = allowed.removeprefix("twisted>=")
    assert f'"twisted=={oldest}.0"' in (ROOT / "noxfile.py").read_text()


def test_every_python_from_the_oldest_on_has_a_session() -> None:
    ended = run(sys.executable, "-m", "nox", "--list", "-f", str(ROOT / "noxfile.py"))
    assert ended.returncode == 0, ended.stderr.decode()
    sessions = set(re.findall(r"tests-(\d+\.\d+)\(twisted='(\w+)'\)", ended.stdout.decode()))
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {(python, twisted) for python in (oldest, here) for twisted in ("oldest", "newest")} <= (
        sessions
    )


def test_what_runs_before_a_commit_is_installed_with_the_tests() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    needed = {shlex.split(hook["entry"])[0] for hook in hooks} - {"python"}
    tools = {
        re.split(r"[><=;\s]", text)[0]
        for text in PROJECT["project"]["optional-dependencies"]["dev"]
    }
    assert needed
    assert needed <= tools
