"""What is released: the sdist, the wheel that is made of it, and what an installation has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _run(*command: str, cwd: Path) -> str:
    # What is installed is to be found, and not what stands in the path by other means.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=110)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was made of the sdist."""
    folder = tmp_path_factory.mktemp("built")
    _run(sys.executable, "-m", "build", "--no-isolation", "-o", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (made,) = built.glob("*.whl")
    return made


def test_the_sdist_has_what_it_takes_to_test_and_to_document(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "txfluvio/py.typed",
        "twisted/plugins/txfluvio_services.py",
        "tests/test_package.py",
        "examples/quickstart.py",
        "docs/index.rst",
        "changes/README.md",
        "noxfile.py",
        ".pre-commit-config.yaml",
        "README.md",
        "SECURITY.md",
        "LICENSE",
    ):
        assert needed in names
    assert not any(name.startswith(("docs/generated", ".git/")) for name in names)


def test_the_wheel_has_the_package_and_the_plugin_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"txfluvio", "twisted"}
    assert [name for name in names if name.startswith("twisted/")] == [
        "twisted/plugins/txfluvio_services.py"
    ]


def _share_dependencies(site: Path) -> None:
    """Show ``site`` what is installed here, but neither this project nor its plugin file."""
    here = Path(sysconfig.get_path("purelib"))
    for found in here.iterdir():
        if found.name == "twisted":
            ours = shutil.ignore_patterns("txfluvio_services*", "dropin.cache", "test")
            shutil.copytree(found, site / found.name, ignore=ours)
        elif "txfluvio" not in found.name and not found.name.endswith(".pth"):
            (site / found.name).symlink_to(found)


def test_the_wheel_brings_its_commands_and_takes_them_away(wheel: Path, tmp_path: Path) -> None:
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
    assert "fluvio-console" in listed
    own = _run(str(home / "bin" / "fluvio-tail"), "--version", cwd=tmp_path)
    assert own.split() == ["txfluvio", wheel.name.split("-")[1]]
    _run(*pip, "uninstall", "-q", "-y", "txfluvio", cwd=tmp_path)
    listed = _run(str(python), "-m", "twisted", "--help", cwd=tmp_path)
    assert "fluvio" not in listed
    assert "web" in listed
