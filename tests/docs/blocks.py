"""Runs the code blocks of the documents, as their reader would.

What a reader sees is what is run; how it is run follows from what a block looks like:

- ``python`` blocks of a page run one after another and share their names. They may ``await``.
  ``reactor`` is running, ``broker`` is a fake cluster, ``config`` the way to it and ``client`` a
  connected client of it.
- A ``python`` block with a caption is a file of that name. Where its class is ``program`` it is
  also run, in a process of its own.
- ``console`` blocks hold commands behind ``$``, run by bash, and what they print.
- A ``text`` block is what the block before it prints. In both, ``...`` stands for anything.
- ``toml``, ``yaml``, ``json`` and ``ini`` blocks have to be readable; with a caption they are
  files, too.

Commands run in a folder of the page's own, with ``examples`` in it. ``FLV_PROFILE_PATH`` names a
profile file whose current profile is the fake cluster. A comment of the page says what that has in
the beginning, and where a module or program is needed that may be missing:
``.. cluster: {"spus": 2, "needs": "fluvio"}``.
"""

from __future__ import annotations

import ast
import configparser
import inspect
import io
import json
import os
import re
import shutil
import sys
import textwrap
import tomllib
import types
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import yaml
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue

from txfluvio import FluvioClient
from txfluvio.profile import add_cluster
from txfluvio.testing import FakeBroker, FakeTls, Preset

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

_DIRECTIVE = re.compile(r"^(\s*)\.\. code-block:: (\S+)\s*$")
_OPTION = re.compile(r"^\s+:(\w+):\s*(.*)$")
_CLUSTER = re.compile(r"^\.\. cluster: (\{.*\})$", re.MULTILINE)
_READABLE: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "json": json.loads,
    "ini": lambda text: configparser.ConfigParser(strict=False).read_string(text),
}


@attrs.frozen
class Block:
    """One code block.

    :ivar line: of the page, counted from 1: where its text begins.
    """

    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        return self.options.get("caption")


def pages() -> list[Path]:
    """Every page that was written by hand."""
    found = DOCS.rglob("*.rst")
    return sorted(page for page in found if "generated" not in page.parts)


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    lines = page.splitlines()
    found = []
    index = 0
    while index < len(lines):
        begun = _DIRECTIVE.match(lines[index])
        index += 1
        if begun is None:
            continue
        options = {}
        while index < len(lines) and (option := _OPTION.match(lines[index])):
            options[option[1]] = option[2]
            index += 1
        while index < len(lines) and not lines[index].strip():
            index += 1
        start = index
        margin = len(begun[1])
        while index < len(lines) and (not lines[index].strip() or _margin(lines[index]) > margin):
            index += 1
        text = textwrap.dedent("\n".join(lines[start:index])).strip("\n") + "\n"
        found.append(Block(start + 1, begun[2], options, text))
    return found


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def cluster_of(page: str) -> dict[str, Any]:
    """What the page's comment says of its cluster."""
    said = _CLUSTER.search(page)
    return {} if said is None else dict(json.loads(said[1]))


def missing(page: str) -> str | None:
    """The module or program that the page needs and that is not installed."""
    needed: str | None = cluster_of(page).get("needs")
    there = needed is None or find_spec(needed) is not None or shutil.which(needed) is not None
    return None if there else needed


class Unexpected(AssertionError):
    """A block did not do what the page says."""


class Page:
    """Runs the blocks of one page.

    :param folder: where its files are.
    """

    def __init__(self, reactor: Any, path: Path, folder: Path) -> None:
        self._reactor = reactor
        self._path = path
        self._folder = folder
        self._printed = ""
        self._names: dict[str, Any] = {"__name__": "page", "reactor": reactor}

    async def run(self) -> None:
        """Run all of them, on a cluster of their own."""
        text = self._path.read_text(encoding="utf-8")
        settings = cluster_of(text)
        settings.pop("needs", None)
        tls = FakeTls(Preset(settings.pop("tls"))) if "tls" in settings else None
        if tls is not None:
            tls.write(self._folder)
        (self._folder / "examples").symlink_to(ROOT / "examples")
        async with FakeBroker(self._reactor, tls=tls, **settings) as broker:
            config = broker.client_config()
            add_cluster(self._folder / "profile", "fake", broker.sc_endpoint)
            async with FluvioClient(self._reactor, config) as client:
                self._names |= {"broker": broker, "config": config, "client": client}
                for block in blocks_of(text):
                    await self._run(block)

    async def _run(self, block: Block) -> None:
        try:
            await self._do(block)
        except Unexpected:
            raise
        except Exception as error:
            raise self._unexpected(block, repr(error)) from error

    async def _do(self, block: Block) -> None:
        if block.file is not None:
            (self._folder / block.file).write_text(block.text, encoding="utf-8")
        match block.language:
            case "python" if block.options.get("class") == "program":
                assert block.file is not None
                self._printed = await self._command(block, f"python {block.file}")
            case "python" if block.file is not None:
                compile(block.text, block.file, "exec")
            case "python":
                self._printed = await self._python(block)
            case "console":
                await self._console(block)
            case "text":
                self._compare(block, block.text, self._printed)
            case language if language in _READABLE:
                _READABLE[language](block.text)
            case language:
                raise self._unexpected(block, f"nobody knows how to run {language}")

    async def _python(self, block: Block) -> str:
        code = compile(
            "\n" * (block.line - 1) + block.text,
            os.fspath(self._path),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        printed = io.StringIO()
        before = os.getcwd()
        os.chdir(self._folder)
        try:
            with redirect_stdout(printed):
                if code.co_flags & inspect.CO_COROUTINE:
                    await types.FunctionType(code, self._names)()
                else:
                    exec(code, self._names)
        finally:
            os.chdir(before)
        return printed.getvalue()

    async def _console(self, block: Block) -> None:
        for command, expected in commands_of(block.text):
            printed = await self._command(block, command)
            if expected:
                self._compare(block, expected, printed)

    async def _command(self, block: Block, command: str) -> str:
        scripts = self._folder / ".bin"
        if not scripts.exists():
            scripts.mkdir()
            _script(scripts / "python", f'exec "{sys.executable}" "$@"')
            _script(
                scripts / "pytest", f'exec "{sys.executable}" -m pytest -p no:cacheprovider "$@"'
            )
            _script(scripts / "twist", f'exec "{sys.executable}" -m twisted "$@"')
            for name, module in (("fluvio-tail", "txfluvio.tap.tail"),):
                call = f"from {module} import main; main()"
                _script(scripts / name, f'exec "{sys.executable}" -c "{call}" "$@"')
        environment = {
            **os.environ,
            "FLV_PROFILE_PATH": os.fspath(self._folder / "profile"),
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "PYTHONPATH": os.fspath(ROOT),
        }
        out, errors, status = await _process(command, environment, os.fspath(self._folder))
        if status:
            raise self._unexpected(block, f"$ {command}: status {status}\n{out}\n{errors}")
        return out

    def _compare(self, block: Block, expected: str, printed: str) -> None:
        if not matches(expected, printed):
            raise self._unexpected(block, f"the page says\n{expected}\nbut it is\n{printed}")

    def _unexpected(self, block: Block, what: str) -> Unexpected:
        return Unexpected(f"{self._path.name}, line {block.line}: {what}")


def _process(
    command: str, environment: dict[str, str], folder: str
) -> Deferred[tuple[str, str, int]]:
    running = getProcessOutputAndValue("/bin/bash", ["-c", command], env=environment, path=folder)
    ended: Deferred[tuple[str, str, int]] = running.addCallback(
        lambda ended: (ended[0].decode(), ended[1].decode(), ended[2])
    )
    return ended


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console, and what each prints."""
    command, printed = "", ""
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:], ""
        elif command.endswith("\\"):
            command += "\n" + line
        else:
            printed += line + "\n"
    if command:
        yield command, printed


def matches(expected: str, printed: str) -> bool:
    """Whether that was printed; ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
