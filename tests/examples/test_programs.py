"""The examples that take a cluster from the profile, as their reader would run them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..commands import DEADLINE, RunningBroker, broker, run

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


TOPICS = ("lines:2", "orders:2", "invoices", "greetings")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A fake cluster with some topics, each of them for one test or one kind of tests."""
    options = (f"--topic={topic}" for topic in TOPICS)
    with broker(tmp_path_factory.mktemp("cluster"), *options) as running:
        yield running


def command(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments)


def ran(
    cluster: RunningBroker, name: str, *arguments: str, input: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """An example that has come to its end."""
    env = {"FLV_PROFILE_PATH": str(cluster.profile)}
    ended = run(*command(name, *arguments), input=input, env=env)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended


@contextmanager
def running(
    cluster: RunningBroker, name: str, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """An example that goes on until it is told to stop."""
    process = subprocess.Popen(
        command(name, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "FLV_PROFILE_PATH": str(cluster.profile)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


def lines(process: subprocess.Popen[bytes], count: int) -> list[bytes]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip() for _ in range(count)]


def stop(process: subprocess.Popen[bytes]) -> bytes:
    """Tell it to stop; what it said on its way."""
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=DEADLINE)
    return said


def test_what_produce_sends_consume_prints(cluster: RunningBroker) -> None:
    sent = ran(cluster, "produce", "lines", input=b"a=1\nplain\na=2\n")
    assert len(sent.stdout.splitlines()) == 3
    printed = ran(cluster, "consume", "lines").stdout.splitlines()
    assert sorted(line.split(b": ")[1] for line in printed) == [b"a=1", b"a=2", b"plain"]
    keyed = [line for line in printed if b"a=" in line]
    assert [line.split(b": ")[1] for line in keyed] == [b"a=1", b"a=2"]
    assert len({line.split(b"/")[0] for line in keyed}) == 1


def test_the_worker_goes_on_where_it_was_stopped(cluster: RunningBroker) -> None:
    for number, total in ((1, 1), (2, 2)):
        ran(cluster, "produce", "orders", input=b"key=order %d\n" % number)
        with running(cluster, "worker", "orders", "invoices") as worker:
            (done,) = lines(worker, 1)
            assert done.endswith(b"up to offset %d" % (total - 1))
            assert stop(worker) == b""
    printed = ran(cluster, "consume", "invoices").stdout
    assert printed == b"0/0: key=invoice for order 1\n0/1: key=invoice for order 2\n"


def test_admin_makes_a_topic_lets_it_grow_and_deletes_it(cluster: RunningBroker) -> None:
    printed = ran(cluster, "admin", "payments").stdout.decode()
    assert "SPU 5001 at 127.0.0.1:" in printed
    assert printed.count("payments: provisioned, kept for 3600 seconds") == 2
    assert printed.count("partition 2, led by SPU 5001") == 1
    assert printed.endswith("topics: greetings, invoices, lines, orders\n")


def test_admin_says_that_a_name_is_taken(cluster: RunningBroker) -> None:
    assert b"the name is taken" in ran(cluster, "admin", "orders").stdout


def test_watch_tells_what_is_there_and_what_changes(cluster: RunningBroker) -> None:
    with running(cluster, "watch") as watch:
        there = lines(watch, 1 + len(TOPICS))
        assert b"added: lines, 2 partitions, provisioned" in there
        assert b"added: consumer-offset, 1 partitions, provisioned" in there
        ran(cluster, "admin", "payments")
        line = b""
        while not line.startswith(b"deleted: payments"):
            (line,) = lines(watch, 1)
            assert b": payments, " in line


class Browser:
    """Speaks HTTP to the application."""

    def __init__(self, address: bytes) -> None:
        host = address.removeprefix(b"http://").rstrip(b"/").decode()
        self._connection = http.client.HTTPConnection(host, timeout=DEADLINE)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        return self._connection.getresponse()

    def post(self, body: bytes, **headers: str) -> Any:
        return json.loads(self.ask("POST", "/records", body, **headers).read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def address(cluster: RunningBroker) -> Iterator[bytes]:
    """Where the Klein application listens."""
    with running(cluster, "klein_app", "0", "greetings") as application:
        (address,) = lines(application, 1)
        yield address
        application.send_signal(signal.SIGTERM)
        _, errors = application.communicate(timeout=DEADLINE)
        assert errors == b""


def events(answer: Any, count: int) -> list[bytes]:
    """The next server-sent events, comments left out."""
    found: list[bytes] = []
    text = b""
    while len(found) < count:
        text += answer.readline()
        if text.endswith(b"\n\n"):
            found += [text] if not text.startswith(b":") else []
            text = b""
    return found


@pytest.fixture
def browsers(address: bytes) -> Iterator[Callable[[], Browser]]:
    """Makes browsers."""
    made: list[Browser] = []

    def browser() -> Browser:
        made.append(Browser(address))
        return made[-1]

    yield browser
    for one in made:
        one.close()


def test_what_is_posted_comes_as_an_event(browsers: Callable[[], Browser]) -> None:
    reader, writer = browsers(), browsers()
    first = writer.post(b"first")
    answer = reader.ask("GET", "/events/0", Last_Event_ID=str(first["offset"] - 1))
    assert answer.getheader("Content-Type") == "text/event-stream"
    assert events(answer, 1) == [b"id: %d\ndata: first\n\n" % first["offset"]]
    second = writer.post(b"two\nlines", X_Key="k")
    assert second == {"partition": 0, "offset": first["offset"] + 1}
    assert events(answer, 1) == [b"id: %d\ndata: two\ndata: lines\n\n" % second["offset"]]


def test_who_comes_back_gets_what_it_has_missed(browsers: Callable[[], Browser]) -> None:
    browser = browsers()
    offsets = [browser.post(b"%d" % number)["offset"] for number in range(3)]
    answer = browser.ask("GET", "/events/0", Last_Event_ID=str(offsets[1]))
    assert events(answer, 1) == [b"id: %d\ndata: 2\n\n" % offsets[2]]


def test_a_slow_reader_gets_all_and_holds_up_nobody(browsers: Callable[[], Browser]) -> None:
    slow, other = browsers(), browsers()
    sent = [b"%d" % number * 100_000 for number in range(9)] * 3
    offsets = [other.post(value)["offset"] for value in sent]
    answer = slow.ask("GET", "/events/0", Last_Event_ID=str(offsets[0] - 1))
    assert other.post(b"last")["offset"] == offsets[-1] + 1
    found = [event.split(b"data: ")[1].strip() for event in events(answer, len(sent) + 1)]
    assert found == [*sent, b"last"]


def test_a_partition_that_is_not_there_is_not_found(browsers: Callable[[], Browser]) -> None:
    answer = browsers().ask("GET", "/events/7")
    assert answer.status == 404
    assert b"greetings has no partition 7" in answer.read()


def test_metrics_tell_what_went_through(browsers: Callable[[], Browser]) -> None:
    browser = browsers()
    browser.post(b"counted")
    answer = browser.ask("GET", "/metrics")
    assert answer.getheader("Content-Type").startswith("text/plain")
    assert b'fluvio_client_produced_records_total{topic="greetings"}' in answer.read()


def test_health_is_whether_there_is_a_cluster(browsers: Callable[[], Browser]) -> None:
    answer = browsers().ask("GET", "/health")
    assert (answer.status, answer.read()) == (200, b"connected\n")
