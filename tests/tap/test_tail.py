"""``twist fluvio-tail``, as an operator types it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ..commands import DEADLINE, TWIST, RunningBroker, broker, run, twist
from ..program import program

PRODUCE = program(
    """
    async with client.producer(sys.argv[2]) as producer:
        await producer.send_many([text.encode() for text in sys.argv[3:]])
    """
)


def produce(ready: RunningBroker, topic: str, *values: str) -> None:
    ended = run(*PRODUCE, ready.sc, topic, *values)
    assert ended.returncode == 0, ended.stderr.decode()


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with broker(
        tmp_path_factory.mktemp("tail"),
        *(f"--topic={name}" for name in ("lines", "live", "empty", "big")),
    ) as running:
        produce(running, "lines", "one", "two", "three")
        yield running


def test_prints_the_values_and_nothing_else(ready: RunningBroker) -> None:
    ended = twist("fluvio-tail", "--cluster", ready.sc, "-B", "-d", "lines")
    assert (ended.returncode, ended.stdout) == (0, b"one\ntwo\nthree\n"), ended.stderr.decode()


def test_finds_the_cluster_by_a_profile_file(ready: RunningBroker) -> None:
    ended = twist("fluvio-tail", "--profile-file", str(ready.profile), "-B", "-d", "lines")
    assert ended.stdout == b"one\ntwo\nthree\n", ended.stderr.decode()


def test_finds_the_cluster_by_the_environment(ready: RunningBroker) -> None:
    env = {"FLV_PROFILE_PATH": str(ready.profile)}
    ended = twist("fluvio-tail", "-B", "-d", "lines", env=env)
    assert ended.stdout == b"one\ntwo\nthree\n", ended.stderr.decode()


def test_an_empty_topic_ends_at_once(ready: RunningBroker) -> None:
    ended = twist("fluvio-tail", "--cluster", ready.sc, "-B", "-d", "empty")
    assert (ended.returncode, ended.stdout) == (0, b""), ended.stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follows_the_topic_until_a_signal(ready: RunningBroker, number: int) -> None:
    produce(ready, "live", "first")
    process = subprocess.Popen(
        [*TWIST, "fluvio-tail", "--cluster", ready.sc, "-B", "live"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == b"first\n"
        process.send_signal(number)
        process.stdout.read()
        errors = process.stderr.read().decode()
        assert process.wait(timeout=DEADLINE) in (0, -number), errors
    assert "Traceback" not in errors


def test_ends_quietly_when_nobody_reads(ready: RunningBroker) -> None:
    """There is more to print than a pipe holds."""
    produce(ready, "big", *["x" * 1000] * 500)
    command = " ".join([*TWIST, "fluvio-tail", "--cluster", ready.sc, "-B", "big"])
    ended = run("bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stdout) == (0, b"x" * 1000 + b"\n")
    assert b"Traceback" not in ended.stderr


def test_an_unknown_topic_is_said_in_one_line(ready: RunningBroker) -> None:
    ended = twist("fluvio-tail", "--cluster", ready.sc, "-B", "-d", "nowhere")
    assert (ended.returncode, ended.stdout) == (1, b"")
    (line,) = [text for text in ended.stderr.splitlines() if text.startswith(b"fluvio-tail: ")]
    assert b"nowhere" in line
    assert b"Traceback" not in ended.stderr


def test_a_cluster_that_is_not_there_is_said_in_one_line() -> None:
    ended = twist("fluvio-tail", "--cluster", "127.0.0.1:1", "-B", "-d", "lines")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"127.0.0.1:1" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which topic"),
        (["--cluster", "nonsense", "lines"], "nonsense"),
        (["--cluster", "a:1", "--profile-file", "b", "lines"], "exclude each other"),
        (["--profile-file", "/nonexistent/profile", "lines"], "/nonexistent/profile"),
    ],
)
def test_a_wrong_option_says_what_was_expected(arguments: list[str], complaint: str) -> None:
    ended = twist("fluvio-tail", *arguments)
    assert ended.returncode != 0
    assert complaint in (ended.stdout + ended.stderr).decode()
