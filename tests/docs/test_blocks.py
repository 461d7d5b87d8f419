"""Every code block of the documents does what its page says."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from .blocks import DOCS, Page, Unexpected, blocks_of, commands_of, matches, missing, pages

with_reactor: Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., object]] = (
    pytest_twisted.ensureDeferred
)

PAGE = """
A page
======

.. cluster: {"topics": {"orders": 1}}

.. code-block:: python

   stored = await client.producer("orders").topic
"""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
@with_reactor
async def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    needed = missing(page.read_text(encoding="utf-8"))
    if needed is not None:
        pytest.skip(f"{needed} is not installed")
    await Page(reactor, page, tmp_path).run()


async def _page(text: str, folder: Path) -> None:
    (folder / "page.rst").write_text(text)
    await Page(reactor, folder / "page.rst", folder).run()


@with_reactor
async def test_blocks_share_names_and_may_await(tmp_path: Path) -> None:
    await _page(
        '.. cluster: {"topics": {"orders": 1}}\n\n'
        ".. code-block:: python\n\n   topics = await client.admin.list_topics()\n\n"
        ".. code-block:: python\n\n   print([topic.name for topic in topics])\n\n"
        ".. code-block:: text\n\n   ['orders']\n",
        tmp_path,
    )


@with_reactor
async def test_what_is_printed_otherwise_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(Unexpected, match=r"page\.rst, line 7: the page says\n2"):
        await _page(
            ".. code-block:: python\n\n   print(1)\n\n.. code-block:: text\n\n   2\n", tmp_path
        )


@with_reactor
async def test_what_fails_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(Unexpected, match=r"page\.rst, line 3: ZeroDivisionError"):
        await _page(".. code-block:: python\n\n   1 / 0\n", tmp_path)


@with_reactor
async def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unexpected, match="status 3"):
        await _page(".. code-block:: console\n\n   $ exit 3\n", tmp_path)


@with_reactor
async def test_a_language_that_nobody_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unexpected, match="how to run rust"):
        await _page(".. code-block:: rust\n\n   fn main() {}\n", tmp_path)


def test_a_block_has_its_options_and_ends_with_its_margin() -> None:
    (block,) = blocks_of(
        "x\n\n.. code-block:: ini\n   :caption: a.ini\n\n   [a]\n\n   b = 1\n\nend"
    )
    assert (block.line, block.language, block.file) == (6, "ini", "a.ini")
    assert block.text == "[a]\n\nb = 1\n"


def test_a_console_has_commands_and_what_they_print() -> None:
    found = list(commands_of("$ one \\\n  two\nout\n$ three\n"))
    assert found == [("one \\\n  two", "out\n"), ("three", "")]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [("a\n", "a", True), ("a ... c", "a b\nb c", True), ("a", "ab", False), ("a...", "b", False)],
)
def test_dots_stand_for_anything(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
