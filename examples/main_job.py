"""Produce into a cluster while ``fluvio-tail``, a process of its own, follows the topic.

The cluster is the fake one, served in this process on loopback. What comes out is what was
produced, a line at a time, and then it ends.
"""

import sys

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from txfluvio import FluvioClient
from txfluvio.testing import FakeBroker

LINES = [f"record {number}".encode() for number in range(1, 6)]


class Tail(ProcessProtocol):
    """``twist fluvio-tail``; fires ``complete`` when it has printed so many lines."""

    def __init__(self, lines):
        self.complete = Deferred()
        self.ended = Deferred()
        self._wanted = lines

    def outReceived(self, data):
        for line in data.splitlines():
            print(f"fluvio-tail: {line.decode()}")
            self._wanted -= 1
        if self._wanted == 0:
            self.complete.callback(None)

    def processEnded(self, reason):
        if not self.complete.called:
            self.complete.errback(reason)
        self.ended.callback(None)


async def main(reactor):
    async with FakeBroker(reactor, topics={"demo": 1}) as broker:
        config = broker.client_config()
        tail = Tail(len(LINES))
        command = [sys.executable, "-m", "twisted", "fluvio-tail", "-B"]
        process = reactor.spawnProcess(
            tail, command[0], [*command, "--cluster", config.endpoint, "demo"], env=None
        )
        async with FluvioClient(reactor, config) as client, client.producer("demo") as producer:
            for line in LINES:
                stored = await producer.send(line)
                print(f"produced:    {line.decode()} -> offset {stored.offset}")
                await task.deferLater(reactor, 0.5)
        await tail.complete
        process.signalProcess("TERM")
        await tail.ended


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
