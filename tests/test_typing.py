"""A user's program type-checks as it is, without a plugin for zope's interfaces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import txfluvio

PROGRAM = """
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txfluvio import ClientConfig, ConsumerConfig, FluvioClient, ProducerConfig, Record
from txfluvio.interfaces import IOffsetStore, IPartitioner
from txfluvio.metrics import NoMetrics, SeveralMetrics
from txfluvio.prometheus import PrometheusMetrics


@implementer(IPartitioner)
class First:
    def choose(
        self, key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]
    ) -> int:
        return 0


@implementer(IOffsetStore)
class Nowhere:
    def load(self, consumer_id: str) -> Deferred[Mapping[tuple[str, int], int]]:
        return succeed({})

    def store(self, consumer_id: str, topic: str, partition: int, offset: int) -> Deferred[None]:
        return succeed(None)


class Mine(NoMetrics):
    def connected(self, address: str) -> None:
        print(address)


def clients(reactor: Any, config: ClientConfig) -> list[FluvioClient]:
    several = SeveralMetrics(Mine(), PrometheusMetrics())
    return [
        FluvioClient(reactor, config, metrics=Mine()),
        FluvioClient(reactor, config, metrics=PrometheusMetrics()),
        FluvioClient(reactor, config, metrics=several),
    ]


def one(record: Record) -> Deferred[None]:
    return succeed(None)


async def many(records: list[Record]) -> None:
    print(len(records))


def handled(client: FluvioClient) -> None:
    client.consume("orders", one)
    client.consume("orders", many, batches=True)


ProducerConfig(partitioner=First())
ConsumerConfig(offset_store=Nowhere())
"""


def test_what_implements_an_interface_is_taken_without_mypy_zope(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    cache = f"--cache-dir={tmp_path / 'cache'}"
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", cache, str(program)],
        cwd=Path(txfluvio.__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ran.stdout == "Success: no issues found in 1 source file\n", ran.stdout + ran.stderr
