"""``fluvio-tail`` as an operator runs it: by itself, under ``twist`` and under ``twistd``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from ..commands import DEADLINE, TAIL, TWIST, TWISTD, RunningBroker, broker, run
from ..program import program

PRODUCE = program(
    """
    async with client.producer(sys.argv[2]) as producer:
        await producer.send_many([text.encode() for text in sys.argv[3:]])
    """
)
PRODUCE_MANY = program(
    """
    async with client.producer(sys.argv[2], batch_size=65536) as producer:
        await producer.send_many([f"record {n}".encode() for n in range(int(sys.argv[3]))])
    """
)
MANY = 100_000


def produce(ready: RunningBroker, topic: str, *values: str) -> None:
    ended = run(*PRODUCE, ready.sc, topic, *values)
    assert ended.returncode == 0, ended.stderr.decode()


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    topics = ("lines", "live", "rotated", "many", "nohup")
    with broker(
        tmp_path_factory.mktemp("tail"), *(f"--topic={name}" for name in topics)
    ) as running:
        produce(running, "lines", "one", "two", "three")
        ended = run(*PRODUCE_MANY, running.sc, "many", str(MANY))
        assert ended.returncode == 0, ended.stderr.decode()
        yield running


@contextmanager
def running(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose outputs are pipes; it is killed if the test has not ended it."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": ""},
        **options,  # type: ignore[call-overload]
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def eventually(path: Path, text: bytes) -> None:
    """Wait until a file holds this and nothing else."""
    end = time.monotonic() + DEADLINE
    while not path.exists() or path.read_bytes() != text:
        assert time.monotonic() < end, path.read_bytes() if path.exists() else f"no {path}"
        time.sleep(0.05)


@pytest.mark.parametrize("command", [TAIL, [*TWIST, "fluvio-tail"]], ids=["itself", "twist"])
def test_prints_the_values_and_nothing_else(ready: RunningBroker, command: list[str]) -> None:
    ended = run(*command, "--cluster", ready.sc, "-B", "-d", "lines")
    assert (ended.returncode, ended.stdout) == (0, b"one\ntwo\nthree\n"), ended.stderr.decode()


def test_by_itself_it_says_nothing_on_standard_error_where_all_is_well(
    ready: RunningBroker,
) -> None:
    ended = run(*TAIL, "-B", "-n", "1", "lines", env={"FLV_PROFILE_PATH": str(ready.profile)})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"one\n", b"")


def test_prints_as_many_records_as_were_produced(ready: RunningBroker) -> None:
    ended = run("bash", "-c", f"{_shell(TAIL)} --cluster {ready.sc} -d -B many | wc -l")
    assert ended.stdout.strip() == str(MANY).encode(), ended.stderr.decode()


@pytest.mark.parametrize("command", [TAIL, [*TWIST, "fluvio-tail"]], ids=["itself", "twist"])
def test_ends_quietly_when_nobody_reads(ready: RunningBroker, command: list[str]) -> None:
    """There is more to print than a pipe holds."""
    arguments = f"--cluster {ready.sc} -B many"
    ended = run("bash", "-c", f"{_shell(command)} {arguments} | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stdout) == (0, b"record 0\n")
    assert b"Traceback" not in ended.stderr


def test_ends_when_nobody_reads_though_no_record_comes(ready: RunningBroker) -> None:
    arguments = f"--cluster {ready.sc} -B lines"
    ended = run("bash", "-c", f"{_shell(TAIL)} {arguments} | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"one\n", b"")


def _shell(command: list[str]) -> str:
    return " ".join(f"'{part}'" for part in command)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follows_the_topic_until_a_signal(ready: RunningBroker, number: int) -> None:
    with running(*TAIL, "--cluster", ready.sc, "-B", "lines") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]
        process.send_signal(number)
        assert process.wait(timeout=DEADLINE) == 0
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_ends_on_a_signal_also_while_nobody_takes_its_output(ready: RunningBroker) -> None:
    """A full pipe must not hold up the end; what is in it is whole lines."""
    with running(*TAIL, "--cluster", ready.sc, "-B", "many") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=DEADLINE) == 0
        assert process.stdout.read().endswith(b"\n")


def hang_up_as_usual() -> None:
    """Whoever runs the tests may be under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_terminal_that_is_closed_ends_it_with_offsets_stored(ready: RunningBroker) -> None:
    command = [*TAIL, "--cluster", ready.sc, "-c", "hangup", "-B", "lines"]
    with running(*command, preexec_fn=hang_up_as_usual) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=DEADLINE) == 0
    again = run(*command, "-d")
    assert (again.returncode, again.stdout) == (0, b"")


def test_under_nohup_it_goes_on_when_the_terminal_is_closed(ready: RunningBroker) -> None:
    with running("nohup", *TAIL, "--cluster", ready.sc, "-B", "nohup") as process:
        assert process.stdout is not None
        produce(ready, "nohup", "before")
        assert process.stdout.readline() == b"before\n"
        process.send_signal(signal.SIGHUP)
        produce(ready, "nohup", "after")
        assert process.stdout.readline() == b"after\n"
        process.terminate()
        assert process.wait(timeout=DEADLINE) == 0


@pytest.mark.parametrize("command", [TAIL, [*TWIST, "fluvio-tail"]], ids=["itself", "twist"])
def test_an_unknown_topic_is_status_1_and_one_line(
    ready: RunningBroker, command: list[str]
) -> None:
    ended = run(*command, "--cluster", ready.sc, "-B", "-d", "nowhere")
    assert (ended.returncode, ended.stdout) == (1, b"")
    (line,) = [text for text in ended.stderr.splitlines() if text.startswith(b"fluvio-tail: ")]
    assert b"nowhere" in line
    assert b"Traceback" not in ended.stderr


def test_records_for_an_output_that_is_closed_go_nowhere(ready: RunningBroker) -> None:
    """What else is opened gets the numbers of descriptors that are closed."""
    arguments = f"--cluster {ready.sc} -B -d lines"
    ended = run("bash", "-c", f"{_shell(TAIL)} {arguments} <&- >&-")
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_help_says_what_to_type() -> None:
    ended = run(*TAIL, "--help")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.startswith(b"Usage: fluvio-tail [options] TOPIC...\n")


def test_help_that_nobody_reads_is_a_quiet_end() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*TAIL, "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=DEADLINE
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_wrong_usage_is_status_2_and_one_line() -> None:
    ended = run(*TAIL, "--cluster", "nonsense", "lines")
    assert (ended.returncode, ended.stdout) == (2, b"")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(b"fluvio-tail: ")
    assert b"nonsense" in line


def test_its_help_begins_with_how_it_is_called() -> None:
    ended = run(*TAIL, "--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith(b"Usage: fluvio-tail [options] TOPIC...\n")


def test_a_daemon_writes_its_file_through_a_rotation_and_leaves_no_pidfile(
    ready: RunningBroker, tmp_path: Path
) -> None:
    out, rotated, pidfile = (tmp_path / name for name in ("out", "out.1", "tail.pid"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        metrics = f"127.0.0.1:{free.getsockname()[1]}"
    service = ["fluvio-tail", "--cluster", ready.sc, "-B", "--to", str(out)]
    service += ["--metrics", metrics, "rotated"]
    own = ["--pidfile", str(pidfile), "--logfile", str(tmp_path / "log"), "--rundir", str(tmp_path)]
    started = run(*TWISTD, *own, *service)
    assert started.returncode == 0, started.stderr.decode()
    try:
        produce(ready, "rotated", "before")
        eventually(out, b"before\n")
        out.rename(rotated)
        process = int(pidfile.read_text())
        os.kill(process, signal.SIGHUP)
        eventually(out, b"")
        produce(ready, "rotated", "after")
        eventually(out, b"after\n")
        assert rotated.read_bytes() == b"before\n"
        with urlopen(f"http://{metrics}/metrics", timeout=DEADLINE) as page:
            assert b'fluvio_client_consumed_records_total{topic="rotated"} 2.0' in page.read()
    finally:
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
    end = time.monotonic() + DEADLINE
    while pidfile.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_twistd_in_the_foreground_logs_to_standard_error(
    ready: RunningBroker, tmp_path: Path
) -> None:
    own = ["-n", "--pidfile", str(tmp_path / "pid"), "--rundir", str(tmp_path)]
    ended = run(*TWISTD, *own, "fluvio-tail", "--cluster", ready.sc, "-B", "-d", "lines")
    assert (ended.returncode, ended.stdout) == (0, b"one\ntwo\nthree\n"), ended.stderr.decode()
    assert b"fluvio-tail" in ended.stderr or b"twistd" in ended.stderr
