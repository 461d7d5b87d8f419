"""The official client for Node.js against ``twist fluvio-broker``, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..commands import RunningBroker, broker, run
from ..program import program
from .npm import NodeClient, node_client

VALUES = [f"value {number}" for number in range(100)]

OFFICIAL = """
const { default: Fluvio, Offset } = require('@fluvio/client')
const [what, topic, ...rest] = process.argv.slice(1)
async function main() {
  const fluvio = await Fluvio.connect()
  const admin = await fluvio.admin()
  if (what === 'create') {
    await admin.createTopic(topic, { partitions: 2, replicationFactor: 1 })
  } else if (what === 'delete') {
    await admin.deleteTopic(topic)
  } else if (what === 'topics') {
    return JSON.parse(await admin.listTopic()).map((one) => one.name)
  } else if (what === 'partitions') {
    return JSON.parse(await admin.listPartitions()).map((one) => one.name)
  } else if (what === 'send') {
    const producer = await fluvio.topicProducer(topic)
    for (const [number, value] of rest.entries()) await producer.send(`key ${number}`, value)
    await producer.flush()
  } else if (what === 'sendAll') {
    const producer = await fluvio.topicProducer(topic)
    await producer.sendAll(rest.map((value, number) => [`key ${number}`, value]))
    await producer.flush()
  } else if (what === 'consume') {
    const consumer = await fluvio.partitionConsumer(topic, 0)
    const found = []
    for await (const record of await consumer.createStream(Offset.FromBeginning())) {
      found.push([record.keyString(), record.valueString()])
      if (found.length == rest[0]) break
    }
    return found
  }
}
main().then(
  (found) => { console.log(JSON.stringify(found ?? null)); process.exit(0) },
  (error) => { console.error(error); process.exit(1) })
"""

PRODUCE = program(
    """
    async with client.producer(sys.argv[2]) as producer:
        records = [(f"key {n}".encode(), v.encode()) for n, v in enumerate(sys.argv[3:])]
        await producer.send_many(records)
    """
)

CONSUME = program(
    """
    import json
    found = []
    async with client.consumer(sys.argv[2], start=Offset.beginning(), stop=Offset.end()) as records:
        async for record in records:
            found.append([record.key.decode(), record.value.decode()])
    print(json.dumps(found))
    """
)

EXPECTED = [[f"key {number}", value] for number, value in enumerate(VALUES)]


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NodeClient:
    # Kept from run to run, unless pytest was told to keep nothing.
    cache = getattr(request.config, "cache", None)
    make = tmp_path_factory.mktemp if cache is None else cache.mkdir
    return node_client(make("official-npm"))


@pytest.fixture(scope="module")
def ready(client: NodeClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    topics = ["--topic", "theirs", "--topic", "together", "--topic", "ours"]
    with broker(tmp_path_factory.mktemp("npm"), "--spus", "2", *topics) as running:
        yield running


def official(client: NodeClient, ready: RunningBroker, *arguments: str) -> Any:
    env = {"FLV_PROFILE_PATH": str(ready.profile)}
    return json.loads(client.run(OFFICIAL, *arguments, env=env))


def test_it_creates_lists_and_deletes_a_topic(client: NodeClient, ready: RunningBroker) -> None:
    official(client, ready, "create", "life")
    assert "life" in official(client, ready, "topics")
    assert {"life-0", "life-1"} <= set(official(client, ready, "partitions"))
    official(client, ready, "delete", "life")
    assert "life" not in official(client, ready, "topics")


@pytest.mark.parametrize(("how", "topic"), [("send", "theirs"), ("sendAll", "together")])
def test_what_it_produces_we_consume(
    client: NodeClient, ready: RunningBroker, how: str, topic: str
) -> None:
    official(client, ready, how, topic, *VALUES)
    ended = run(*CONSUME, ready.sc, topic)
    assert ended.returncode == 0, ended.stderr.decode()
    assert json.loads(ended.stdout) == EXPECTED


def test_what_we_produce_it_consumes(client: NodeClient, ready: RunningBroker) -> None:
    ended = run(*PRODUCE, ready.sc, "ours", *VALUES)
    assert ended.returncode == 0, ended.stderr.decode()
    assert official(client, ready, "consume", "ours", str(len(VALUES))) == EXPECTED
