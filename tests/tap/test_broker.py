"""``twist fluvio-broker``, as a program in any language would start it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from twisted.python.usage import UsageError

from txfluvio.profile import load
from txfluvio.tap.broker import Options
from txfluvio.testing import FLUVIO_0_17, Preset, ReadOnly
from txfluvio.testing.smartmodules import deduplicate
from txfluvio.wire.sc import TOPIC, Computed, CreateRequest, TopicSpec, WatchRequest

from ..commands import DEADLINE, TWIST, RunningBroker, broker, run, twist
from ..program import OF_PROFILE, program
from ..testing.sc_kit import Kit


def ask(ready: RunningBroker, method: str, path: str, **fields: Any) -> Any:
    body = json.dumps(fields).encode() if fields else None
    request = urllib.request.Request(f"http://{ready.control}{path}", body, method=method)
    with closing(urllib.request.urlopen(request, timeout=DEADLINE)) as reply:
        return json.load(reply)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_says_where_it_listens_in_one_line(tmp_path: Path) -> None:
    with broker(tmp_path, "--spus", "2") as ready:
        host, port = ready.sc.split(":")
        assert (host, [spu["id"] for spu in ready.spus]) == ("127.0.0.1", [5001, 5002])
        socket.create_connection((host, int(port)), timeout=10).close()


def test_adds_itself_to_a_profile_file(tmp_path: Path) -> None:
    with broker(tmp_path) as ready:
        assert load(ready.profile).client_config().endpoint == ready.sc


def test_tells_an_address_of_ipv6_with_brackets(tmp_path: Path) -> None:
    with broker(tmp_path, "--public-host", "2001:db8::1") as ready:
        told = [ready.sc, *(str(spu["endpoint"]) for spu in ready.spus)]
        assert {where.rpartition(":")[0] for where in told} == {"[2001:db8::1]"}
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
        ("--topic orders:many", "NAME:PARTITIONS"),
        (f"--topic orders:{'1' * 5000}", "NAME:PARTITIONS"),
        (f"--seed {'1' * 5000}", "--seed takes a whole number, 0 or more"),
        ("--smartmodule upper", "NAME=MODULE.OBJECT"),
        ("--smartmodule upper=no.such.module", "--smartmodule takes NAME=MODULE.OBJECT: "),
        ("--smartmodule upper=json.nothing", "--smartmodule takes NAME=MODULE.OBJECT"),
        ("--smartmodule upper=json.dumps", "of a decorated object"),
        ("--topic orders:1:0", "NAME:PARTITIONS"),
        ("--topic orders:2 --topic orders:3", "--topic orders is given twice"),
        ("--topic orders:2:3 --spus 2", "--topic orders takes 3 SPUs, one for each replica"),
        ("--topic a:99999999999", "--max-partitions is 65535"),
        ("--topic a:2 --topic b --max-partitions 3", "have 4 partitions: --max-partitions is 3"),
        ("--spus 0", "--spus takes a whole number, 1 to 1000, not '0'"),
        ("--port 70000", "--port takes a whole number, 0 to 65535"),
        ("--spu-port 65535 --spus 2", "--spu-port 65535: the last of 2 SPUs would be at 65545"),
        ("--max-frame-size -1", "--max-frame-size takes a whole number, 1 to"),
        ("--release 1.0", "--release takes 0.11.11 or 0.17 or 0.18"),
        ("--time lunch=1", "--time takes NAME=SECONDS, not 'lunch=1'"),
        ("--time reload=soon", "the names are: step, first-report,"),
        ("--public-host=a:1", "--public-host takes the name or address of a host, not 'a:1'"),
        ("--public-host=::1%a", "--public-host takes the name or address of a host, not '::1%a'"),
        ("--host=", "--host takes an address to listen on, not ''"),
        ("--tls-preset bad", "--tls-preset takes one of good, expired, wrong-name,"),
        ("--tls-preset expired", "--tls-preset takes a --tls DIRECTORY beside it"),
        ("--tls-domain sc.example", "--tls-domain takes a --tls DIRECTORY beside it"),
        ("--tls t --tls-domain=", "--tls-domain takes the name of a host, not ''"),
        ("--tls t --tls-domain localhost:9003", "takes the name of a host, not 'localhost:9003'"),
        ("--tls t --tls-domain \xfc.test", "takes the name of a host, not '\xfc.test'"),
        ("--tls t --tls-domain sc.example.", "takes the name of a host, not 'sc.example.'"),
    ],
)
def test_a_wrong_option_says_what_was_expected(arguments: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        Options().parseOptions(arguments.split())


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("x = (", "SyntaxError: "), ("raise RuntimeError('not today')", "RuntimeError: not today")],
)
def test_a_module_that_can_not_be_imported_is_a_wrong_option(
    source: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_{complaint[:3].lower()}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=f"can not import {name}.odd: {complaint}"):
        Options().parseOptions(["--smartmodule", f"odd={name}.odd"])


def test_a_wrong_option_ends_the_command() -> None:
    ended = twist("fluvio-broker", "--spus", "0")
    assert ended.returncode != 0
    assert "--spus takes a whole number" in (ended.stdout + ended.stderr).decode()


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = twist("fluvio-broker", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert b"fluvio-broker: " in ended.stderr


def test_every_option_reaches_the_fake() -> None:
    options = Options()
    arguments = (
        "--spus 3 --host 0.0.0.0 --public-host broker --port 9003 --spu-port 9010 "
        "--release 0.17 --seed 7 --topic a --topic b:2:3 "
        "--time reload=5 --time first-report=0.25 --manual-elections --quick-recreate-race "
        "--max-frame-size 1000 --max-journal-entries 10 --max-journal-bytes 20 "
        "--max-partitions 30 --read-only --tls certs --tls-preset expired --tls-domain sc.example "
        "--smartmodule once=txfluvio.testing.smartmodules.deduplicate"
    )
    options.parseOptions(arguments.split())
    settings = options.settings
    topics = {name: spec.replicas for name, spec in settings.pop("topics").items()}
    assert topics == {
        "a": Computed(partitions=1, replication_factor=1),
        "b": Computed(partitions=2, replication_factor=3),
    }
    timing, tls = settings.pop("timing"), settings.pop("tls")
    assert (timing.reload, timing.first_report, timing.report) == (5, 0.25, 0.4)
    assert settings == {
        "spus": 3,
        "host": "0.0.0.0",
        "public_host": "broker",
        "sc_port": 9003,
        "spu_port": 9010,
        "seed": 7,
        "release": FLUVIO_0_17,
        "directory": None,
        "smartmodules": {"once": deduplicate},
        "automatic_elections": False,
        "quick_recreate_race": True,
        "max_frame_size": 1000,
        "max_journal_entries": 10,
        "max_journal_bytes": 20,
        "max_partitions": 30,
        "policy": ReadOnly(),
    }
    assert (tls.preset, tls.domain) == (Preset.EXPIRED, "sc.example")


@pytest.mark.parametrize(("arguments", "seconds"), [("", 0.05), ("--time answer=0", 0)])
def test_a_new_topic_is_told_of_before_its_creation_is_answered(
    arguments: str, seconds: float
) -> None:
    # Official clients that are told of both at once may take the topic for unknown.
    options = Options()
    options.parseOptions(arguments.split())
    kit = Kit(timing=options.settings["timing"])
    kit.clock.advance(1)
    watch = kit.client().send(WatchRequest(kind=TOPIC))
    watch.news()
    spec = TopicSpec(replicas=Computed(partitions=1, replication_factor=1))
    creation = kit.client().send(CreateRequest(kind=TOPIC, name="orders", spec=spec))
    kit.settle()
    assert watch.news() != []
    assert bool(creation.replies) is (seconds == 0)
    kit.clock.advance(seconds)
    kit.settle()
    assert creation.reply.error_code.code == 0


def test_it_can_be_controlled_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    options = ["--control", "0", "--topic", "orders", "--ready", str(file)]
    with broker(tmp_path, *options) as ready:
        assert ask(ready, "POST", "/topics/orders/records", records=["a"]) == {"offset": 0}
        assert ask(ready, "GET", "/cluster")["sc"] == ready.sc
        assert json.loads(file.read_text())["control"] == ready.control


def test_a_line_that_can_not_be_written_leaves_no_other_file(tmp_path: Path) -> None:
    directory = tmp_path / "ready"
    directory.mkdir()
    ended = twist("fluvio-broker", "--ready", str(directory))
    assert ended.returncode == 1
    assert b"fluvio-broker: --ready is" in ended.stderr
    assert list(tmp_path.iterdir()) == [directory]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--directory={0}/file", "--directory is '{0}/file': expected a directory to keep a"),
        ("--directory={0}", "--directory is '{0}': expected a directory to keep a cluster in (cl"),
        ("--tls={0}/file", "--tls is '{0}/file': expected a directory to write certificates to"),
        ("--ready={0}/claim", "--ready is '{0}/claim': expected a file to write to (Is a dir"),
        ("--profile={0}", "--profile {0}: can not be read: Is a directory"),
    ],
)
def test_what_is_wrong_with_a_file_names_the_option_that_gave_it(
    option: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "claim").mkdir()
    ended = twist("fluvio-broker", option.format(tmp_path))
    assert ended.returncode == 1
    assert f"fluvio-broker: {reason.format(tmp_path)}" in ended.stderr.decode()


def test_what_was_acknowledged_is_there_after_a_kill_at_the_same_address(tmp_path: Path) -> None:
    options = ["--directory", str(tmp_path / "kept"), "--control", "0", "--topic", "orders"]
    options += ["--port", str(free_port()), "--spu-port", str(free_port())]
    with broker(tmp_path, *options) as killed:
        assert ask(killed, "POST", "/topics/orders/records", records=["a", "b"]) == {"offset": 0}
        killed.process.kill()
        killed.process.wait(timeout=DEADLINE)
    with broker(tmp_path, *options) as ready:
        assert (ready.sc, ready.spus) == (killed.sc, killed.spus)
        records = ask(ready, "GET", "/topics/orders/records")["records"]
        assert [one["value"] for one in records] == ["a", "b"]


def test_a_fault_that_never_fired_is_told_at_the_end(tmp_path: Path) -> None:
    with broker(tmp_path, "--control", "0") as ready:
        ask(ready, "POST", "/faults", fault={"action": {"do": "NeverAnswer"}})
    assert "planted, and never fired" in (tmp_path / "broker.log").read_text()


def test_it_ends_with_its_standard_input() -> None:
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [*TWIST, "fluvio-broker", "--end-with-stdin"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=DEADLINE) == 0


def test_tls_comes_with_the_files_that_clients_need(tmp_path: Path) -> None:
    with broker(tmp_path, "--tls", str(tmp_path / "tls"), "--tls-domain", "sc.example") as ready:
        tls = load(ready.profile).client_config().tls
        assert tls is not None
        assert tls.server_name == "sc.example"
        written = tmp_path / "tls"
        names = ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"]
        assert sorted(path.name for path in written.iterdir()) == names
        assert tls.ca_file == str(written / "ca.crt")
        assert tls.key_file == str(written / "client.key")
        assert (written / "client.key").stat().st_mode & 0o777 == 0o600


def test_tls_can_be_bad_on_purpose(tmp_path: Path) -> None:
    with broker(tmp_path, "--tls", str(tmp_path / "tls"), "--tls-preset", "expired") as ready:
        ended = run(*program("pass", OF_PROFILE), str(ready.profile))
    assert b"CertificateExpired" in ended.stderr
