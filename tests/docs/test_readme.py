"""The README: its two commands are where programs look for them, and its code does what it says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from txfluvio.profile import add_cluster
from txfluvio.testing import FakeBroker

from .blocks import ROOT

README = (ROOT / "README.md").read_text()
with_reactor: Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., object]] = (
    pytest_twisted.ensureDeferred
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_two_commands_are_to_try_it_and_to_test_it() -> None:
    first, second, *_ = blocks("sh")
    assert first.strip().endswith(".venv/bin/python examples/main_job.py")
    assert second.strip().endswith(".venv/bin/python -m pytest -q")
    assert README.index("```sh") < README.index("```python")


@with_reactor
async def test_its_first_code_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(blocks("python")[0])
    async with FakeBroker(reactor) as broker:
        add_cluster(tmp_path / "profile", "fake", broker.sc_endpoint)
        out, errors, status = await getProcessOutputAndValue(
            sys.executable,
            [str(tmp_path / "first.py")],
            env={
                **os.environ,
                "FLV_PROFILE_PATH": str(tmp_path / "profile"),
                "PYTHONPATH": str(ROOT),
            },
        )
    assert status == 0, errors.decode()
    assert out.decode().splitlines()[1] == "0 b'customer 7' b'value'"


@with_reactor
async def test_its_test_passes() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[1], names)
    assert await names["orders_survive_a_lost_answer"](reactor) == [b"value", b"value"]


def test_the_files_that_it_names_are_there() -> None:
    names = re.findall(r"`((?:docs|examples)/[\w/.-]*|\w+\.md)`", README)
    assert len(names) > 5
    for name in names:
        assert (ROOT / name).exists(), name


def test_the_commands_that_it_names_are_there() -> None:
    commands = re.findall(r"^\| `([^`]*)` \|", README, re.MULTILINE)
    modules = [command.split()[2] for command in commands if command.startswith("python -m ")]
    plugins = [command.split()[1] for command in commands if command.startswith("twist ")]
    assert modules
    assert plugins
    for module in modules:
        found = find_spec(module)
        assert found, module
        if found.submodule_search_locations is not None:
            assert find_spec(f"{module}.__main__"), module
        else:
            assert 'if __name__ == "__main__":' in Path(str(found.origin)).read_text(), module
    (offered,) = (ROOT / "twisted" / "plugins").glob("*.py")
    for plugin in plugins:
        assert f'"{plugin}"' in offered.read_text(), plugin
