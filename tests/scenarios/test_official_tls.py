"""The official Python client and txfluvio over mutual TLS, by files and a profile of the fake."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from ..commands import RunningBroker, broker, run
from ..program import OF_PROFILE, program
from .test_official_python import CONSUMING, EXPECTED, OFFICIAL, PRODUCING, VALUES, official

pytestmark = pytest.mark.skipif(
    find_spec("fluvio") is None, reason="the official client (PyPI fluvio) is not installed"
)

PRODUCE, CONSUME = program(PRODUCING, OF_PROFILE), program(CONSUMING, OF_PROFILE)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("tls")
    options = ["--tls", str(folder / "tls"), "--tls-preset", "client-required", "--spus", "2"]
    with broker(folder, *options) as running:
        yield running


def ours(command: tuple[str, str, str], ready: RunningBroker, *arguments: str) -> str:
    ended = run(*command, str(ready.profile), *arguments)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode()


def test_each_reads_what_the_other_produced(ready: RunningBroker) -> None:
    official(ready, "create", "theirs")
    official(ready, "produce", "theirs", *VALUES)
    assert json.loads(ours(CONSUME, ready, "theirs")) == EXPECTED
    official(ready, "create", "ours")
    ours(PRODUCE, ready, "ours", *VALUES)
    assert json.loads(official(ready, "consume", "ours", str(len(VALUES)))) == EXPECTED


def test_without_its_certificate_neither_gets_in(ready: RunningBroker) -> None:
    kept = [
        line
        for line in ready.profile.read_text().splitlines()
        if not line.startswith(("key =", "cert ="))
    ]
    stripped = ready.profile.with_name("stripped")
    stripped.write_text("\n".join(kept))
    env = {"FLV_PROFILE_PATH": str(stripped)}
    theirs = run(sys.executable, "-c", OFFICIAL, "list", "any", env=env)
    assert theirs.returncode != 0
    mine = run(*CONSUME, str(stripped), "any")
    assert b"ClientCertificateRequired" in mine.stderr
