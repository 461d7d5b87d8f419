"""The documents can be built, nothing in them is amiss, and no public name is left out.

Public is what a front door passes on, what a page takes from elsewhere, and what tests are given.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import txfluvio
import txfluvio.testing
from txfluvio import errors
from txfluvio.testing import pytest_plugin

from .blocks import DOCS, pages

IMPORT = re.compile(r"^ *from txfluvio[\w.]* import (.+)$", re.MULTILINE)

BUILD = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going")


@pytest.mark.timeout(400)
def test_building_gives_no_warning_and_every_public_name_is_in_it(tmp_path: Path) -> None:
    ended = subprocess.run([*BUILD, str(DOCS), str(tmp_path)], capture_output=True, timeout=380)
    assert ended.returncode == 0, ended.stderr.decode()
    with (tmp_path / "objects.inv").open("rb") as file:
        known = InventoryFile.load(file, "", lambda base, page: page)
    told = {name.rpartition(".")[2] for kind in known.values() for name in kind}
    assert set(txfluvio.__all__) - {"errors"} - told == set()
    assert set(txfluvio.testing.__all__) - told == set()
    assert set(pytest_plugin.__all__) - told == set()
    assert _taken() - told == set()
    assert {cls.__name__ for cls in vars(errors).values() if _is_error(cls)} - told == set()
    # A value says what it is where it is defined, and its front door passes that on.
    reference = (tmp_path / "generated" / "testing.html").read_text(encoding="utf-8")
    assert "The id of an SPU, or the SC." in reference


def _taken() -> set[str]:
    """The names that the pages import."""
    found = [name for page in pages() for name in IMPORT.findall(page.read_text(encoding="utf-8"))]
    return {name for names in found for name in names.split(", ")}


def _is_error(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, errors.FluvioError)
