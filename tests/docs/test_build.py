"""The documents can be built, and nothing in them is amiss."""

from __future__ import annotations

import sys
from pathlib import Path

from ..commands import run
from .blocks import DOCS


def test_building_gives_no_warning(tmp_path: Path) -> None:
    ended = run(
        sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)
    )
    assert ended.returncode == 0, ended.stderr.decode()
    reference = (tmp_path / "generated" / "client.html").read_text()
    assert "FluvioClient" in reference
    assert (tmp_path / "index.html").exists()
