"""The documents can be built, and nothing in them is amiss."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .blocks import DOCS

BUILD = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going")


@pytest.mark.timeout(400)
def test_building_gives_no_warning(tmp_path: Path) -> None:
    ended = subprocess.run([*BUILD, str(DOCS), str(tmp_path)], capture_output=True, timeout=380)
    assert ended.returncode == 0, ended.stderr.decode()
    for page in ("index", "generated/client", "generated/messages", "generated/errors"):
        assert (tmp_path / f"{page}.html").exists()
