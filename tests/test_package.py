"""The wheel, as it is installed and taken away again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _run(*command: str, cwd: Path) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=110)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    _run(*build, str(ROOT), cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


def _share_dependencies(site: Path) -> None:
    """Show ``site`` what is installed here, but neither this project nor its plugin file."""
    here = Path(sysconfig.get_path("purelib"))
    for found in here.iterdir():
        if found.name == "twisted":
            ours = shutil.ignore_patterns("txfluvio_services*", "dropin.cache", "test")
            shutil.copytree(found, site / found.name, ignore=ours)
        elif "txfluvio" not in found.name and not found.name.endswith(".pth"):
            (site / found.name).symlink_to(found)


def test_the_wheel_brings_both_commands_and_takes_them_away(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = _run(str(python), "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path)
    _share_dependencies(Path(site.strip()))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    _run(*pip, "install", "-q", "--no-index", "--no-deps", str(wheel), cwd=tmp_path)
    listed = _run(str(python), "-m", "twisted", "--help", cwd=tmp_path)
    assert "fluvio-tail" in listed
    assert "fluvio-broker" in listed
    _run(*pip, "uninstall", "-q", "-y", "txfluvio", cwd=tmp_path)
    listed = _run(str(python), "-m", "twisted", "--help", cwd=tmp_path)
    assert "fluvio" not in listed
    assert "web" in listed
