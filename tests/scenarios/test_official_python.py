"""The official Python client against ``twist fluvio-broker``, each in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..commands import RunningBroker, broker, run
from ..program import program

pytestmark = pytest.mark.skipif(
    find_spec("fluvio") is None, reason="the official client (PyPI fluvio) is not installed"
)

VALUES = [f"value {number}" for number in range(200)]

OFFICIAL = """
import json, sys
from fluvio import Fluvio, FluvioAdmin, Offset
what, topic, *values = sys.argv[1:]
fluvio = Fluvio.connect()
if what == "create":
    FluvioAdmin.connect().create_topic(topic)
elif what == "delete":
    FluvioAdmin.connect().delete_topic(topic)
elif what == "list":
    print(json.dumps([found.name() for found in FluvioAdmin.connect().list_topics([])]))
elif what == "produce":
    producer = fluvio.topic_producer(topic)
    for number, value in enumerate(values):
        producer.send(f"key {number}".encode(), value.encode())
    producer.flush()
elif what == "consume":
    stream = fluvio.partition_consumer(topic, 0).stream(Offset.beginning())
    found = [next(stream) for _ in range(int(values[0]))]
    print(json.dumps([[r.offset(), r.key_string(), r.value_string()] for r in found]))
"""

PRODUCING = """
    async with client.producer(sys.argv[2]) as producer:
        records = [(f"key {n}".encode(), v.encode()) for n, v in enumerate(sys.argv[3:])]
        await producer.send_many(records)
"""

CONSUMING = """
    import json
    found = []
    async with client.consumer(sys.argv[2], start=Offset.beginning(), stop=Offset.end()) as records:
        async for record in records:
            found.append([record.offset, record.key.decode(), record.value.decode()])
    print(json.dumps(found))
"""

PRODUCE, CONSUME = program(PRODUCING), program(CONSUMING)

EXPECTED = [[number, f"key {number}", value] for number, value in enumerate(VALUES)]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with broker(tmp_path_factory.mktemp("official"), "--spus", "2") as running:
        yield running


def official(ready: RunningBroker, *arguments: str) -> str:
    env = {"FLV_PROFILE_PATH": str(ready.profile)}
    ended = run(sys.executable, "-c", OFFICIAL, *arguments, env=env)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode()


def ours(command: tuple[str, str, str], ready: RunningBroker, *arguments: str) -> str:
    ended = run(*command, ready.sc, *arguments)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode()


def test_it_creates_lists_and_deletes_a_topic(ready: RunningBroker) -> None:
    official(ready, "create", "life")
    assert "life" in json.loads(official(ready, "list", "life"))
    official(ready, "delete", "life")
    assert "life" not in json.loads(official(ready, "list", "life"))


def test_it_reads_back_what_it_produced(ready: RunningBroker) -> None:
    official(ready, "create", "alone")
    official(ready, "produce", "alone", *VALUES)
    assert json.loads(official(ready, "consume", "alone", str(len(VALUES)))) == EXPECTED


def test_txfluvio_reads_what_it_produced(ready: RunningBroker) -> None:
    official(ready, "create", "theirs")
    official(ready, "produce", "theirs", *VALUES)
    assert json.loads(ours(CONSUME, ready, "theirs")) == EXPECTED


def test_it_reads_what_txfluvio_produced(ready: RunningBroker) -> None:
    official(ready, "create", "ours")
    ours(PRODUCE, ready, "ours", *VALUES)
    assert json.loads(official(ready, "consume", "ours", str(len(VALUES)))) == EXPECTED


def test_its_connection_is_told_of_in_a_profile_it_can_read(ready: RunningBroker) -> None:
    assert "current_profile" in Path(ready.profile).read_text()
