"""``twist fluvio-console``, and ``--web`` of both commands."""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from twisted.python.usage import UsageError
from twisted.web.http_headers import Headers

from txfluvio._callers import Callers
from txfluvio.config import ClientConfig
from txfluvio.console.address import Address
from txfluvio.tap.broker import Options as BrokerOptions
from txfluvio.tap.console import Options

from ..commands import DEADLINE, TWIST, broker, twist


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


def refusal(callers: Callers, host: str, *origins: str) -> str | None:
    return callers.refusal(Headers({"host": [host], "origin": origins}))


def get(url: str) -> str:
    with closing(urllib.request.urlopen(url, timeout=DEADLINE)) as reply:
        text: str = reply.read().decode()
        return text


def test_the_cluster_is_one_of_a_client() -> None:
    config: ClientConfig = parse("--cluster", "sc.example:9003", "--tls")["config"]
    assert config.endpoint == "sc.example:9003"
    assert config.tls is not None


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ("8080", Address("127.0.0.1", 8080)),
        ("0", Address("127.0.0.1", 0)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_it_listens_on_loopback_unless_told_otherwise(web: str, address: Address) -> None:
    assert parse("--cluster", "sc:9003", "--web", web)["address"] == address


def test_where_nothing_is_said_a_console_has_a_free_port_and_a_fake_no_page() -> None:
    assert parse("--cluster", "sc:9003")["address"] == Address("127.0.0.1", 0)
    options = BrokerOptions()
    options.parseOptions([])
    assert options["web"] is None


def test_it_may_be_known_by_other_names() -> None:
    address = parse("--cluster", "sc:9003", "--web-name", "Console.example")["address"]
    callers = address.callers
    assert refusal(callers, "console.example", "https://console.example") is None
    assert refusal(callers, "else.example") is not None
    callers = parse("--cluster", "sc:9003", "--web-name", "2001:db8::1")["address"].callers
    assert refusal(callers, "[2001:db8::1]:80") is None


@pytest.mark.parametrize(
    "name", ["", "a b", "http://console.example/", "console.example:8080", "[::1]"]
)
def test_what_is_no_name_of_a_host_says_what_was_expected(name: str) -> None:
    expected = f"--web-name takes the name of a host, without http:// or a port, not {name!r}"
    with pytest.raises(UsageError, match=re.escape(expected)):
        parse("--cluster", "sc:9003", "--web-name", name)


def test_a_fake_without_a_page_has_no_name_for_it() -> None:
    with pytest.raises(UsageError, match="--web-name takes a --web beside it"):
        BrokerOptions().parseOptions(["--web-name", "console.example"])
    BrokerOptions().parseOptions(["--web-name", "console.example", "--web", "0"])


def test_where_all_addresses_are_served_any_of_them_may_be_named() -> None:
    callers = Address("0.0.0.0", 80).callers
    for host in ("192.0.2.1", "localhost", socket.gethostname()):
        assert refusal(callers, host) is None
    assert refusal(callers, "else.example") is not None


def test_without_klein_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("txfluvio.tap.addresses.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'txfluvio\[web\]'"):
        parse("--cluster", "sc:9003", "--web", "0")


@pytest.mark.parametrize("web", ["", "70000", "host:", ":80", "x"])
def test_a_wrong_place_says_what_was_expected(web: str) -> None:
    with pytest.raises(UsageError, match="--web takes PORT or HOST:PORT"):
        parse("--cluster", "sc:9003", "--web", web)
    with pytest.raises(UsageError, match="--web takes PORT or HOST:PORT"):
        BrokerOptions().parseOptions(["--web", web])


def test_a_wrong_cluster_says_what_was_expected() -> None:
    with pytest.raises(UsageError, match="host:port"):
        parse("--cluster", "nothing")


def test_the_fake_says_where_its_page_is(tmp_path: Path) -> None:
    with broker(tmp_path, "--web", "0") as ready:
        assert ready.web is not None
        assert "<title>Fluvio console</title>" in get(ready.web)


def test_a_cluster_s_page_is_served_at_the_address_that_is_printed(tmp_path: Path) -> None:
    with broker(tmp_path, "--topic", "orders") as ready, ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [*TWIST, "fluvio-console", "--cluster", ready.sc, "--web", "0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        with closing(urllib.request.urlopen(f"{url}api/events?view=topics")) as events:
            while not (line := events.readline().decode()).startswith('data: {"whole"'):
                assert line
            while "orders" not in line:
                line = events.readline().decode()
        process.terminate()
        assert process.wait(timeout=DEADLINE) in (0, -15)
        assert process.stdout.read() == b""


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with broker(tmp_path, "--web", "0") as ready:
        assert ready.web is not None
        port = ready.web.rstrip("/").rpartition(":")[2]
        ended = twist("fluvio-console", "--cluster", ready.sc, "--web", port)
    assert ended.returncode == 1
    assert b"fluvio-console: " in ended.stderr
    assert ended.stdout == b""
