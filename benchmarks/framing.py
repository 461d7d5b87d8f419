"""What a connection costs without its records: ``python -m benchmarks.framing``.

A process sends pushes as fast as it can, each of a mebibyte: frames with batches of 16 KiB in them.
Three readers take turns, each in a process of its own. The first only counts bytes, and so tells
what Twisted itself can do; the second is a connection of the client that cuts the frames, reads
each reply and the header of every batch, and acknowledges; the third compares the checksums too,
as the client does when it hands batches out. No record is looked at. What is left between them and
the benchmarks that consume is the decoding of records.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from txfluvio import ClientConfig
from txfluvio.consumer.backlog import Backlog
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.framing import Frames
from txfluvio.wire.headers import encode_reply
from txfluvio.wire.records import RecordSet, encode_batch, renumber
from txfluvio.wire.spu import (
    OffsetUpdate,
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateOffsetsRequest,
)
from txfluvio.wire.versions import ApiVersionRange, ApiVersionsRequest, ApiVersionsResponse

from . import payload
from .command import Progress, end_silently, run

VERSION = 23
BATCH = 150
"""Records of 100 bytes in a batch: 16 KiB."""
BATCHES = 64
"""Batches in a push: a mebibyte."""
FLOOR = 0.2
"""The part of what Twisted sinks that the client may not fall below."""

STREAM, HELLO = 2, 1
"""The correlation ids of the two requests."""


def push() -> bytes:
    """A push from the beginning of a partition. It is sent again and again."""
    batch = encode_batch((payload.values(100) * 2)[:BATCH])
    records = RecordSet.of(*[renumber(batch, index * BATCH) for index in range(BATCHES)])
    partition = PartitionResponse(partition_index=0, high_watermark=2**40, records=records)
    message = StreamFetchResponse(topic="orders", stream_id=1, partition=partition)
    return encode_reply(message, version=VERSION, correlation_id=STREAM)


# The server


def serve(count: int) -> None:
    """Send ``count`` pushes to whoever connects, one reader after another, for ever."""
    sent = push()
    offers = [
        ApiVersionRange(api_key=api.key, min_version=0, max_version=VERSION)
        for api in (StreamFetchRequest.api, UpdateOffsetsRequest.api)
    ]
    hello = encode_reply(
        ApiVersionsResponse(api_keys=tuple(offers), platform_version="0.18.1"),
        version=ApiVersionsRequest.api.max_version,
        correlation_id=HELLO,
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError):
                _serve_one(connection, hello, sent, count)


def _serve_one(connection: socket.socket, hello: bytes, sent: bytes, count: int) -> None:
    """A reader of bytes asks for nothing; a client says hello and opens a stream."""
    frames = Frames()
    asked = 0
    while asked < 2:
        data = connection.recv(65536)
        if data == b"bytes":
            break
        for _ in frames.feed(data):
            asked += 1
            if asked == 1:
                connection.sendall(hello)
    for _ in range(count):
        connection.sendall(sent)
    # Who has taken everything may be gone already.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


# The readers


class Sink(Protocol):
    """Counts bytes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"bytes")

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if not self._left:
            self.done.callback(None)


async def sink(reactor: Any, endpoint: HostnameEndpoint, count: int) -> None:
    """Take the bytes of ``count`` pushes."""
    protocol = await connectProtocol(endpoint, Sink(count * len(push())))
    await protocol.done
    protocol.transport.abortConnection()


async def headers(
    reactor: Any, endpoint: HostnameEndpoint, count: int, *, check_crc: bool = False
) -> None:
    """Take ``count`` pushes, down to the headers of their batches."""
    config = ClientConfig(endpoint="127.0.0.1:1")
    made = FluvioProtocol(config, clock=reactor, address="the sender", client_version="0.0.0")
    protocol = await connectProtocol(endpoint, made)
    await protocol.when_ready()
    backlog = Backlog("orders", 0)
    done: Deferred[None] = Deferred()
    left = count

    def received(reply: StreamFetchResponse) -> None:
        nonlocal left
        records = reply.partition.records
        backlog.add(records)
        if check_crc:
            records.batches()
        update = OffsetUpdate(offset=backlog.received, session_id=reply.stream_id)
        protocol.send(UpdateOffsetsRequest(offsets=(update,)), _nothing, _nothing)
        # Nothing is handed out, and the next push begins at 0 again.
        backlog.place(0)
        left -= 1
        if not left:
            done.callback(None)

    request = StreamFetchRequest(topic="orders", partition=0, fetch_offset=0, max_bytes=1 << 20)
    protocol.open_stream(request, received)
    await done
    protocol.abort()


async def checksums(reactor: Any, endpoint: HostnameEndpoint, count: int) -> None:
    """As :func:`headers`, and compare the checksums."""
    await headers(reactor, endpoint, count, check_crc=True)


def _nothing(_: object) -> None:
    """Nobody answers, and nobody waits for it."""


READERS: dict[str, Callable[[Any, HostnameEndpoint, int], Any]] = {
    "a bare Twisted protocol": sink,
    "frames and batch headers": headers,
    "and checksums": checksums,
}


async def read(reactor: Any, name: str, port: int, count: int) -> None:
    """Be one reader; prints the seconds that it took."""
    endpoint = HostnameEndpoint(reactor, "127.0.0.1", port)
    began = perf_counter()
    await READERS[name](reactor, endpoint, count)
    print(perf_counter() - began)


# The command


def measure(rounds: int, count: int) -> dict[str, list[float]]:
    """Bytes a second of each reader in each round."""
    found: dict[str, list[float]] = {name: [] for name in READERS}
    size = len(push())
    progress = Progress(rounds * len(READERS))
    command = [sys.executable, "-m", "benchmarks.framing"]
    with subprocess.Popen([*command, "--serve", str(count)], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().decode().strip()
            for _ in range(rounds):
                for name in READERS:
                    reader = [*command, "--read", name, "--port", port, "--pushes", str(count)]
                    ran = subprocess.run(reader, capture_output=True, check=True, timeout=300)
                    found[name].append(size * count / float(ran.stdout))
                    progress(name)
        finally:
            progress.end()
            server.kill()
    return found


def report(found: dict[str, list[float]]) -> str:
    """A line of each reader: megabytes a second, and what part of the first's that is."""
    most = median(found["a bare Twisted protocol"])
    return "\n".join(
        f"{name:26} {median(rates) / 1e6:7.0f} MB/s"
        f" ({min(rates) / 1e6:.0f} to {max(rates) / 1e6:.0f}), {median(rates) / most:4.0%}"
        for name, rates in found.items()
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.framing", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pushes", type=int, default=500, help="of a mebibyte each")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.serve is not None:
        end_silently()
        serve(chosen.serve)
    if chosen.read is not None:
        task.react(
            lambda reactor: Deferred.fromCoroutine(
                read(reactor, chosen.read, chosen.port, chosen.pushes)
            )
        )
    if chosen.rounds < 1 or chosen.pushes < 1:
        parser.error("--rounds and --pushes take 1 or more")
    found = measure(chosen.rounds, chosen.pushes)
    print(report(found))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    part = median(found["frames and batch headers"]) / median(found["a bare Twisted protocol"])
    return 0 if part >= FLOOR else 1


if __name__ == "__main__":
    run(main)
