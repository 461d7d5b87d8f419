"""``twist fluvio-broker``, as a program in any language would start it."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from txfluvio.profile import load

from ..commands import broker, twist


def test_says_where_it_listens_in_one_line(tmp_path: Path) -> None:
    with broker(tmp_path, "--spus", "2") as ready:
        host, port = ready.sc.split(":")
        assert (host, [spu["id"] for spu in ready.spus]) == ("127.0.0.1", [5001, 5002])
        socket.create_connection((host, int(port)), timeout=10).close()


def test_adds_itself_to_a_profile_file(tmp_path: Path) -> None:
    with broker(tmp_path) as ready:
        assert load(ready.profile).client_config().endpoint == ready.sc


def test_keeps_what_a_profile_file_already_has(tmp_path: Path) -> None:
    kept = (
        '# by hand\nversion = "2.0"\ncurrent_profile = "prod"\n\n[profile.prod]\ncluster = "prod"\n'
        '\n[cluster.prod]\nendpoint = "sc.example:9003"\n'
    )
    (tmp_path / "profile").write_text(kept)
    with broker(tmp_path) as ready:
        text = ready.profile.read_text()
    assert "# by hand" in text
    assert load(tmp_path / "profile").client_config("prod").endpoint == "sc.example:9003"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_on_a_signal_with_nothing_more_on_its_output(tmp_path: Path, number: int) -> None:
    with broker(tmp_path) as ready:
        ready.process.send_signal(number)
        assert ready.process.stdout is not None
        assert ready.process.stdout.read() == b""
        assert ready.process.wait(timeout=30) in (0, -number)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--topic", "orders:many"], "NAME:PARTITIONS"),
        (["--spus", "0"], "--spus takes 1 or more"),
        (["--port", "70000"], "--port takes 0 to 65535"),
    ],
)
def test_a_wrong_option_says_what_was_expected(arguments: list[str], complaint: str) -> None:
    ended = twist("fluvio-broker", *arguments)
    assert ended.returncode != 0
    assert complaint in (ended.stdout + ended.stderr).decode()


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = twist("fluvio-broker", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert b"fluvio-broker: " in ended.stderr
