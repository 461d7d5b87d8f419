"""The official client places ten thousand keys, and txfluvio would have placed each of them so."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from txfluvio.producer import SiphashRoundRobinPartitioner

from ..commands import broker, run
from ..program import program

pytestmark = pytest.mark.skipif(
    find_spec("fluvio") is None, reason="the official client (PyPI fluvio) is not installed"
)

KEYS = 10_000
TOPICS = {"three": 3, "seven": 7}

OFFICIAL = """
import sys
from random import Random
from fluvio import Fluvio
topic, count = sys.argv[1], int(sys.argv[2])
rng = Random(topic)
producer = Fluvio.connect().topic_producer(topic)
for _ in range(count // 100):
    producer.send_all([(rng.randbytes(rng.randrange(40)), b"") for _ in range(100)])
producer.flush()
"""

PLACED = program(
    """
    import json
    topic = sys.argv[2]
    found = []
    async with client.consumer(topic, start=Offset.beginning(), stop=Offset.end()) as records:
        async for record in records:
            found.append([record.key.hex(), record.partition])
    print(json.dumps(found))
    """
)


@pytest.mark.parametrize("topic", TOPICS)
def test_keys_meet_where_the_official_client_sends_them(topic: str, tmp_path: Path) -> None:
    arguments = [f"--topic={name}:{partitions}" for name, partitions in TOPICS.items()]
    with broker(tmp_path, *arguments) as running:
        env = {"FLV_PROFILE_PATH": str(running.profile)}
        produced = run(sys.executable, "-c", OFFICIAL, topic, str(KEYS), env=env)
        assert produced.returncode == 0, produced.stderr.decode()
        read = run(*PLACED, running.sc, topic)
        assert read.returncode == 0, read.stderr.decode()
    placed = {bytes.fromhex(key): partition for key, partition in json.loads(read.stdout)}
    rng = Random(topic)
    keys = [rng.randbytes(rng.randrange(40)) for _ in range(KEYS)]
    chooser = SiphashRoundRobinPartitioner()
    chosen = chooser.choose_all(keys, TOPICS[topic], ())
    assert placed == dict(zip(keys, chosen, strict=True))
