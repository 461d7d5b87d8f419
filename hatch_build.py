"""Builds the wheel: plain Python, or with the hot part compiled where that is asked for.

With ``TXFLUVIO_COMPILE=1`` in the environment, mypyc makes machine code of the modules that turn
records into bytes and back, and of those that hand them out. It is the same source; what is not
compiled is what everybody installs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = tuple(
    f"txfluvio/{name}.py"
    for name in (
        "wire/_record",
        "wire/_varints",
        "wire/_raw",
        "wire/_encode",
        "wire/_decode",
        "wire/records",
        "consumer/backlog",
        "consumer/hand",
    )
)

SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
options = ["--config-file=", "--follow-imports=silent", *sys.argv.pop().split(",")]
setup(name="txfluvio", packages=[], ext_modules=mypycify(options, separate=True))
"""


class CompileHook(BuildHookInterface[Any]):
    """Compiles :data:`MODULES` into the wheel, if asked to."""

    _folder: str | None = None

    def dependencies(self) -> list[str]:
        # Whatever the modules import has to be there, or mypyc does not know its types.
        compiler = ["mypy>=1.18", "setuptools>=77"]
        return [*compiler, *self.metadata.core.dependencies] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _wanted() or version == "editable":
            return
        self._folder = mkdtemp()
        source = Path(self.root)
        shutil.copytree(source / "txfluvio", Path(self._folder) / "txfluvio")
        command = [sys.executable, "-c", SETUP, "build_ext", "--inplace", ",".join(MODULES)]
        subprocess.run(command, cwd=self._folder, check=True)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for made in (Path(self._folder) / "txfluvio").rglob("*"):
            if made.suffix in (".so", ".pyd"):
                build_data["force_include"][str(made)] = str(made.relative_to(self._folder))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)


def _wanted() -> bool:
    return os.environ.get("TXFLUVIO_COMPILE", "") not in ("", "0")
