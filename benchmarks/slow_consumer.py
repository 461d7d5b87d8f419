"""How much memory a slow reader takes: ``python -m benchmarks.slow_consumer``.

A topic is filled by one process and read by another with the default settings, by a handler that
waits again and again, so that the broker could always send more. The reader's resident memory is
sampled all along. The command fails if it ever was more than 64 MiB above where it began, which
is when the client was connected and had read nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from txfluvio import ClientConfig, FluvioClient, Offset, Record
from txfluvio.testing.process_memory import resident

from . import payload, server
from .command import run

MIB = 1024 * 1024
LIMIT = 64 * MIB
"""Bytes that the reader's memory may grow by."""

TOPIC = "slow-consumer"
BETWEEN = 100_000
"""Bytes of records that are handled between two waits, at least one record."""
PAUSE = 0.001
"""Seconds of one wait; a reactor makes it a little more."""
CHUNK = 2 * MIB
"""Bytes of records in one call of ``send_many``."""
POOL = 64 * MIB
"""Bytes of all the values there are; they are sent again and again."""


def values(size: int) -> list[bytes]:
    """Different values of so many bytes."""
    text = b"".join(payload.values(1000))
    text *= 2 + size // len(text)
    return [text[start : start + size] for start in range(max(1, min(997, POOL // size)))]


async def fill(reactor: Any, count: int, size: int) -> None:
    """Make the topic, with so many values of so many bytes."""
    pool = values(size)
    chunk = max(1, CHUNK // size)
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        await client.admin.create_topic(TOPIC)
        async with client.producer(TOPIC) as producer:
            for start in range(0, count, chunk):
                numbers = range(start, min(start + chunk, count))
                await producer.send_many([pool[number % len(pool)] for number in numbers])


class Reader:
    """A handler that takes its time, and looks at the memory meanwhile."""

    def __init__(self, reactor: Any, count: int, size: int) -> None:
        self._reactor = reactor
        self._count = count
        self._every = max(1, BETWEEN // size)
        self._bar = sys.stderr.isatty()
        self.seen = 0
        self.bytes = 0
        self.peak = 0

    def __call__(self, record: Record) -> Deferred[None] | None:
        assert record.offset == self.seen, f"{record.offset} where {self.seen} was due"
        self.seen += 1
        self.bytes += len(record.value)
        if self.seen % self._every:
            return None
        self.peak = max(self.peak, resident())
        if self._bar and self.seen % (100 * self._every) == 0:
            self._show()
        return task.deferLater(self._reactor, PAUSE)

    def _show(self) -> None:
        filled = 30 * self.seen // self._count
        bar = "#" * filled + "." * (30 - filled)
        figures = f"{self.bytes / MIB:.0f} MiB read, {self.peak / MIB:.0f} MiB in memory"
        sys.stderr.write(f"\r\x1b[K[{bar}] {figures}")


async def consume(reactor: Any, count: int, size: int) -> dict[str, Any]:
    """Read the topic, and tell how much memory that took."""
    async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
        reader = Reader(reactor, count, size)
        start = reader.peak = resident()
        began = perf_counter()
        service = client.consume(
            TOPIC, reader, start=Offset.beginning(), stop=Offset.absolute(count)
        )
        service.startService()
        await service.when_done()
        seconds = perf_counter() - began
        assert reader.seen == count
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    return {
        "records": count,
        "record_bytes": size,
        "bytes": reader.bytes,
        "seconds": round(seconds, 2),
        "resident_start": start,
        "resident_peak": reader.peak,
        "growth": reader.peak - start,
        "limit": LIMIT,
    }


def _report(found: dict[str, Any]) -> str:
    growth, limit = found["growth"] / MIB, LIMIT / MIB
    rate = found["bytes"] / found["seconds"] / 1e6
    return (
        f"{found['bytes'] / 1e9:.2f} GB in {found['seconds']:.0f} s, {rate:.0f} MB/s: memory from"
        f" {found['resident_start'] / MIB:.0f} to {found['resident_peak'] / MIB:.0f} MiB,"
        f" {growth:.1f} more ({limit:.0f} are allowed)"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.slow_consumer", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--bytes", type=float, default=1e9, help="of values, in all")
    parser.add_argument("--size", type=int, default=1000, help="bytes of one value")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.size < 1 or chosen.bytes < chosen.size:
        parser.error("--size takes 1 or more, and --bytes at least one record")
    count = int(chosen.bytes // chosen.size)
    if chosen.fill:
        task.react(lambda reactor: Deferred.fromCoroutine(fill(reactor, count, chosen.size)))
    with server.fake() as served:
        command = [sys.executable, "-m", "benchmarks.slow_consumer", "--fill"]
        sizes = ["--bytes", str(chosen.bytes), "--size", str(chosen.size)]
        subprocess.run([*command, *sizes], env=served.env, check=True)
        os.environ["FLV_PROFILE_PATH"] = served.env["FLV_PROFILE_PATH"]
        found = _consumed(count, chosen.size)
    print(_report(found))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["growth"] <= LIMIT else 1


def _consumed(count: int, size: int) -> dict[str, Any]:
    """What :func:`consume` returns, from a reactor run for it."""
    results: list[dict[str, Any]] = []

    async def run(reactor: Any) -> None:
        results.append(await consume(reactor, count, size))

    try:
        task.react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    except SystemExit as ended:
        if ended.code:
            raise
    return results[0]


if __name__ == "__main__":
    run(main)
