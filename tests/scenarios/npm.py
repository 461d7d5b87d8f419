"""The official client for Node.js, where it can be had; installed once, kept by pytest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

PACKAGES = ("@fluvio/client@0.14.9", "typescript@5.4", "@types/node@20")
PATIENCE = 90
"""Seconds that an installation or a program may take."""


@attrs.frozen
class NodeClient:
    """The package, and what runs it.

    :ivar node: the program.
    :ivar folder: has ``node_modules``.
    """

    node: str
    folder: Path

    def run(self, program: str, *arguments: str, env: Mapping[str, str]) -> str:
        """What a program prints."""
        ended = subprocess.run(
            [self.node, "-e", program, *arguments],
            cwd=self.folder,
            env={**os.environ, **env},
            capture_output=True,
            timeout=PATIENCE,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode()


def node_client(kept: Path) -> NodeClient:
    """The package, installed if need be; the test is skipped where that is not possible.

    :param kept: the folder to install it in.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js (node and npm) is not installed")
    folder = kept / "_".join(PACKAGES).replace("/", "-")
    if not folder.exists():
        _install(npm, node, folder)
    return NodeClient(node, folder)


def _install(npm: str, node: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        place = Path(made) / "place"
        place.mkdir()
        (place / "package.json").write_text(json.dumps({"private": True}))
        quick = ["--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
        try:
            ended = subprocess.run(
                [npm, "install", *quick, *PACKAGES],
                cwd=place,
                capture_output=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm could not install {PACKAGES[0]} in {PATIENCE} s")
        if ended.returncode:
            reason = " ".join(ended.stderr.decode(errors="replace").split())[:300]
            pytest.skip(f"npm can not install {PACKAGES[0]}: {reason}")
        try:
            place.rename(folder)
        except OSError:
            # Another process has been faster.
            assert folder.exists()
