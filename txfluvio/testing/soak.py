"""Real sockets, a real process that is killed again and again: ``python -m txfluvio.testing.soak``.

A ``fluvio-broker`` with a directory and fixed ports is killed by SIGKILL and started again every
few seconds, while one client produces to it and consumes from it. In the end every record that was
acknowledged has been read, in order and no offset twice, and the client's memory is what it was in
the beginning. What goes wrong in finer ways is the business of :mod:`txfluvio.testing.simulation`.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from ..client import FluvioClient
from ..config import ClientConfig
from ..errors import FluvioError
from ..offset import Offset
from ..producer import Producer, RecordMetadata
from .arguments import minutes
from .process_memory import resident

TOPIC = "soak"
PARTITIONS = 2
BURST, PAUSE = 50, 0.25
"""So many records are sent at a time, and so many seconds go by until the next."""

LIVES = (3.0, 8.0)
"""A broker lives between so many seconds."""

TOLERANCE = 0.10
"""By so much the memory of the last minute may differ from that of the first."""

DRAINING = 120.0
"""Seconds after the last killing for everything to be read."""


@attrs.define
class Account:
    """Which records have been told to be stored, and which were read; it does not grow.

    A record may be stored twice, and read twice: where the client could not know that it is stored
    it was sent again. But no offset comes twice.

    :ivar acknowledged: how many were told to be stored.
    :ivar failed: how many were not.
    :ivar read: how many records were read.
    :ivar repeated: how many were read though their offset was behind another.
    :ivar disordered: how many were read for the first time behind one that was sent after them.
    :ivar unread: those told to be stored that were not read yet.
    """

    acknowledged: int = 0
    failed: int = 0
    read: int = 0
    repeated: int = 0
    disordered: int = 0
    unread: set[int] = attrs.Factory(set)
    _open: set[int] = attrs.Factory(set)
    _early: set[int] = attrs.Factory(set)
    # By partition, the last offset and the last number that were read.
    _last: dict[int, tuple[int, int]] = attrs.Factory(dict)

    @property
    def settled(self) -> bool:
        """Whether every record has an outcome, and all that are stored were read."""
        return not self._open and not self.unread

    def sent(self, number: int) -> None:
        self._open.add(number)

    def stored(self, number: int) -> None:
        self.acknowledged += 1
        self._open.discard(number)
        if number in self._early:
            self._early.discard(number)
        else:
            self.unread.add(number)

    def lost(self, number: int) -> None:
        self.failed += 1
        self._open.discard(number)
        self._early.discard(number)

    def seen(self, number: int, partition: int, offset: int) -> None:
        self.read += 1
        last_offset, last = self._last.get(partition, (-1, -1))
        self._last[partition] = max(offset, last_offset), max(number, last)
        self.repeated += offset <= last_offset
        new = number in self.unread or (number in self._open and number not in self._early)
        self.disordered += new and number < last
        if number in self._open:
            self._early.add(number)
        else:
            self.unread.discard(number)


class Broker(ProcessProtocol):
    """A ``fluvio-broker``, from its start to its death."""

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        self.dead: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        if not self.ready.called:
            self.ready.callback(None)

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        if not self.ready.called:
            self.ready.errback(reason)
        self.dead.callback(None)

    def kill(self) -> Deferred[None]:
        """End it as no process can help to; fires when it is gone."""
        os.kill(self.transport.pid, signal.SIGKILL)  # type: ignore[union-attr]
        return self.dead


class Soak:
    """One soak.

    :param directory: where the broker keeps what it has.
    :param seconds: how long brokers are killed.

    :ivar kills: how many were killed.
    :ivar before: how many records had been acknowledged when the last was.
    """

    def __init__(self, reactor: Any, directory: Path, seconds: float, rng: Random) -> None:
        self.account = Account()
        self.kills = 0
        self.before = 0
        self.memory: list[int] = []
        self._reactor = reactor
        self._directory = directory
        self._seconds = seconds
        self._rng = rng
        self._sc_port, self._spu_port = _free_port(), _free_port()
        self._over = False

    async def run(self) -> None:
        """Do it all."""
        broker = await self._start_broker()
        config = ClientConfig(endpoint=f"127.0.0.1:{self._sc_port}")
        async with FluvioClient(self._reactor, config) as client:
            await client.admin.create_topic(TOPIC, partitions=PARTITIONS)
            reading = Deferred.fromCoroutine(self._read(client))
            producing = Deferred.fromCoroutine(self._produce(client))
            sampling = LoopingCall(self._sample)
            sampling.clock = self._reactor
            sampling.start(1.0, now=False).addErrback(lambda failure: failure.raiseException())
            broker = await self._kill_for_a_while(broker)
            self._over = True
            await producing
            end = self._reactor.seconds() + DRAINING
            while not self.account.settled and self._reactor.seconds() < end:
                await self._sleep(0.1)
            sampling.stop()
            reading.cancel()
            await reading
        await broker.kill()

    async def _start_broker(self) -> Broker:
        broker = Broker()
        command = [sys.executable, "-m", "twisted", "--log-level", "error", "fluvio-broker"]
        command += ["--directory", str(self._directory)]
        command += ["--port", str(self._sc_port), "--spu-port", str(self._spu_port)]
        self._reactor.spawnProcess(
            broker, command[0], command, env=os.environ, childFDs={1: "r", 2: 2}
        )
        await broker.ready
        return broker

    async def _kill_for_a_while(self, broker: Broker) -> Broker:
        end = self._reactor.seconds() + self._seconds
        while self._reactor.seconds() < end:
            await self._sleep(self._rng.uniform(*LIVES))
            await broker.kill()
            self.kills += 1
            self.before = self.account.acknowledged
            broker = await self._start_broker()
        return broker

    async def _produce(self, client: FluvioClient) -> None:
        number = 0
        async with client.producer(TOPIC) as producer:
            while not self._over:
                for _ in range(BURST):
                    self._send(producer, number)
                    number += 1
                await self._sleep(PAUSE)
            await producer.flush()

    def _send(self, producer: Producer, number: int) -> None:
        account = self.account

        def stored(_: RecordMetadata) -> None:
            account.stored(number)

        def failed(failure: Failure) -> None:
            failure.trap(FluvioError)
            account.lost(number)

        account.sent(number)
        producer.send(str(number).encode().ljust(100)).addCallbacks(stored, failed)

    async def _read(self, client: FluvioClient) -> None:
        consumer = client.consumer(TOPIC, start=Offset.beginning())
        try:
            async with consumer:
                async for record in consumer:
                    assert record.offset is not None
                    self.account.seen(int(record.value), record.partition, record.offset)
        except CancelledError:
            pass

    def _sample(self) -> None:
        self.memory.append(resident())

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)

    # What it comes to

    @property
    def first_and_last(self) -> tuple[float, float]:
        """Bytes of memory in the first minute and in the last; of a shorter run, in its fifths."""
        size = max(1, min(60, len(self.memory) // 5))
        return median(self.memory[:size]), median(self.memory[-size:])

    def violations(self) -> list[str]:
        """What is wrong, in words."""
        wrong = []
        account = self.account
        if not self.kills:
            wrong.append("no broker was killed")
        if account.acknowledged == self.before:
            wrong.append("no record was acknowledged after the last kill")
        if account.unread:
            wrong.append(f"{len(account.unread)} acknowledged records are lost")
        if not account.settled:
            wrong.append("not every record has an outcome")
        if account.repeated:
            wrong.append(f"{account.repeated} records were read at an offset that was passed")
        if account.disordered:
            wrong.append(f"{account.disordered} records were read behind later ones")
        first, last = self.first_and_last
        if abs(last - first) > TOLERANCE * first:
            wrong.append(f"memory went from {first:.0f} to {last:.0f} bytes")
        return wrong


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m txfluvio.testing.soak", description=__doc__)
    parser.add_argument("--minutes", type=minutes, default=10.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="decides when brokers are killed")
    options = parser.parse_args(arguments)
    return Deferred.fromCoroutine(_main(reactor, options.minutes * 60, options.seed))


async def _main(reactor: Any, seconds: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        soak = Soak(reactor, Path(directory), seconds, Random(seed))
        await soak.run()
    account = soak.account
    first, last = soak.first_and_last
    print(
        f"{soak.kills} kills; {account.acknowledged} records acknowledged, {account.failed} failed,"
        f" {account.read} read; memory {first / 2**20:.1f} MiB in the beginning,"
        f" {last / 2**20:.1f} MiB in the end"
    )
    wrong = soak.violations()
    for violation in wrong:
        print(violation)
    if wrong:
        raise SystemExit(1)


def run(arguments: Sequence[str]) -> None:
    """Do it under a reactor of its own."""
    # Before a program says where its log goes, Twisted keeps it in memory.
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    react(main, list(arguments))


if __name__ == "__main__":
    run(sys.argv[1:])
