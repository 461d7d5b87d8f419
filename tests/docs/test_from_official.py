"""The page for those who come from the official client speaks of that as it is."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec

import pytest

from .blocks import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("fluvio") is None, reason="the official client (PyPI fluvio) is not installed"
)

PAGE = (ROOT / "docs/guide/from-official.rst").read_text()


def test_everything_in_their_column_is_theirs() -> None:
    import fluvio

    theirs = {name for name, _ in inspect.getmembers(fluvio)}
    for _, found in inspect.getmembers(fluvio, inspect.isclass):
        theirs |= set(dir(found))
    column = "\n".join(re.findall(r"^   \* - (.*)$", PAGE, re.MULTILINE))
    named = re.findall(r"(\w+)\(", column)
    assert len(named) > 10
    assert [name for name in named if name not in theirs] == []
