"""What the fake cluster costs, and whether it is ever the slow one: ``python -m benchmarks.fake``.

Two questions. How long from nothing to the first acknowledged record, in one process, with
everything imported. And how much faster the fake is than the fastest that txfluvio's own client can
do, since else a benchmark against it would measure the fake. For the second one a client that does
next to nothing (it looks at no record, and sends batches that were made before) takes turns with
txfluvio's. Beside the rates stands the processor time that the fake and the client need for the
same records, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import attrs
from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient
from txfluvio.testing import FakeBroker
from txfluvio.testing.process import BrokerProcess
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import REPLY_BODY, encode_request
from txfluvio.wire.records import RecordSet, encode_batch
from txfluvio.wire.spu import (
    OffsetUpdate,
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicProduceData,
    UpdateOffsetsRequest,
)

from . import ours, payload
from .command import run

VERSION = 23
SIZE = 100
"""Bytes of each value."""
BATCH = 150
"""Records in each batch of the client that does next to nothing: the 16 KiB of the real one."""
BATCHES = 20
"""Batches in each of its requests: txfluvio's producer has more when it is fast."""
AHEAD = 5
"""Requests that it has under way."""
MAX_BYTES = 1_048_576
RECEIVE = 1_048_576

GOAL_COLD = 0.150
GOAL_RATIO = 1.3


@attrs.frozen
class Figure:
    """One run.

    :ivar seconds: how long it took.
    :ivar client: seconds of processor time that the client needed.
    :ivar fake: seconds of processor time that the fake needed.
    """

    count: int
    seconds: float
    client: float
    fake: float


# A client that does next to nothing


class Bare:
    """A connection that blocks."""

    def __init__(self, where: str) -> None:
        host, _, port = where.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._frames = Frames()
        self._waiting: list[bytes] = []

    def send(self, request: Any, version: int, correlation_id: int) -> None:
        data = encode_request(
            request, version=version, correlation_id=correlation_id, client_id="bare"
        )
        self._socket.sendall(data)

    def receive(self) -> bytes:
        while not self._waiting:
            self._waiting = list(self._frames.feed(self._socket.recv(RECEIVE)))[::-1]
        return self._waiting.pop()

    def close(self) -> None:
        self._socket.close()


def bare_consume(where: str, topic: str, count: int) -> None:
    bare = Bare(where)
    request = StreamFetchRequest(topic=topic, partition=0, fetch_offset=0, max_bytes=MAX_BYTES)
    bare.send(request, VERSION, 1)
    end = 0
    while end < count:
        payload_ = bare.receive()
        if int.from_bytes(payload_[:4], "big") != 1:
            continue
        push = StreamFetchResponse.decode(payload_, VERSION, REPLY_BODY)
        end = push.partition.records.batches(check_crc=False)[-1].next_offset
        update = OffsetUpdate(offset=end, session_id=push.stream_id)
        bare.send(UpdateOffsetsRequest(offsets=(update,)), 0, 2)
    bare.close()


def bare_produce(where: str, topic: str, count: int) -> None:
    bare = Bare(where)
    batch = encode_batch((payload.values(SIZE) * 2)[:BATCH])
    data = PartitionProduceData(partition_index=0, records=RecordSet.of(*[batch] * BATCHES))
    request = ProduceRequest(topics=(TopicProduceData(name=topic, partitions=(data,)),))
    number = -(-count // (BATCH * BATCHES))
    for sent in range(number + AHEAD):
        if sent < number:
            bare.send(request, VERSION, sent)
        if sent >= AHEAD:
            ProduceResponse.decode(bare.receive(), VERSION, REPLY_BODY)
    bare.close()


# The runs


def cold_start() -> float:
    """Seconds from nothing to the first acknowledged record, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.fake", "--cold"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    return float(ran.stdout)


async def cold(reactor: Any) -> None:
    began = perf_counter()
    async with FakeBroker(reactor, topics={"orders": 1}) as broker:
        client = FluvioClient(reactor, broker.client_config())
        async with client, client.producer("orders") as producer:
            await producer.send(b"a")
            print(perf_counter() - began)


async def one_of_ours(reactor: Any, spec: dict[str, Any]) -> None:
    """A workload of txfluvio's client; prints seconds and processor seconds."""
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        busy = process_time()
        result = await ours.WORKS[spec["work"]](reactor, client, spec)
        print(json.dumps([result["seconds"], process_time() - busy]))


def processor_time(pid: int) -> float:
    """The processor seconds of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_ours(broker: BrokerProcess, work: str, topic: str, count: int) -> Figure:
    spec = {"work": work, "topic": topic, "count": count, "size": SIZE}
    before = processor_time(broker.pid)
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.fake", "--ours", json.dumps(spec)],
        capture_output=True,
        check=True,
        env={**os.environ, "FLV_PROFILE_PATH": str(broker.profile)},
        timeout=600,
    )
    seconds, busy = json.loads(ran.stdout)
    return Figure(count, seconds, busy, processor_time(broker.pid) - before)


def run_bare(
    broker: BrokerProcess, work: Callable[[str, str, int], None], topic: str, count: int
) -> Figure:
    (where,) = broker.spus.values()
    before = processor_time(broker.pid)
    began, busy = perf_counter(), process_time()
    work(where, topic, count)
    seconds, busy = perf_counter() - began, process_time() - busy
    return Figure(count, seconds, busy, processor_time(broker.pid) - before)


WORKS = {"consume": ("consume_batches", bare_consume), "produce": ("produce_many", bare_produce)}
"""For each: what txfluvio does, and what the other one."""


def measure(broker: BrokerProcess, what: str, rounds: int, count: int) -> None:
    """Let both clients take turns, and print a line of each and one of the ratios."""
    work, bare = WORKS[what]
    found: list[tuple[Figure, Figure]] = []
    for _ in range(rounds):
        broker.reset()
        broker.create_topic("orders")
        if what == "consume":
            bare_produce(next(iter(broker.spus.values())), "orders", count)
        found.append(
            (run_ours(broker, work, "orders", count), run_bare(broker, bare, "orders", count))
        )
    for name, figures in zip(("txfluvio", "bare"), zip(*found, strict=True), strict=True):
        rate = median(one.count / one.seconds for one in figures)
        client = median(one.client / one.count for one in figures)
        fake = median(one.fake / one.count for one in figures)
        print(
            f"{what:8} {name:9} {rate / 1e3:9.0f} k records/s, of the processor for each: "
            f"client {client * 1e9:6.0f} ns, fake {fake * 1e9:6.0f} ns"
        )
    faster = median(mine.seconds / other.seconds for mine, other in found)
    lighter = median(mine.client / max(mine.fake, 1e-9) for mine, _ in found)
    print(
        f"{what:8} the fake can do {faster:.2f} times what txfluvio does, and needs the processor "
        f"{lighter:.2f} times less (goal: {GOAL_RATIO})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fake", description="Measure what the fake cluster costs."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--cold", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ours", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.cold:
        task.react(lambda reactor: Deferred.fromCoroutine(cold(reactor)))
    if chosen.ours is not None:
        task.react(lambda reactor: Deferred.fromCoroutine(one_of_ours(reactor, chosen.ours)))
    times = [cold_start() for _ in range(chosen.rounds)]
    print(
        f"from nothing to the first acknowledged record: {median(times) * 1e3:.0f} ms "
        f"(goal: {GOAL_COLD * 1e3:.0f} ms)"
    )
    with BrokerProcess() as broker:
        for what in ("consume", "produce"):
            measure(broker, what, chosen.rounds, chosen.records)


if __name__ == "__main__":
    run(main)
