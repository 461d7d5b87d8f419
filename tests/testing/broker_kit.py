"""Brokers one after another, in memory under a clock, for what outlives one of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txfluvio.testing import FakeBroker
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.records import encode_batch
from txfluvio.wire.sc import Assigned, PartitionMap, TopicSpec, TopicStorage

REPLICATED = TopicSpec(replicas=Assigned(partitions=(PartitionMap(id=0, replicas=(5001, 5002)),)))

LONG = 1000
"""Bytes of a value of which :func:`small_segments` holds one a segment."""


def small_segments() -> TopicSpec:
    """A topic whose segments hold one record each."""
    maps = (PartitionMap(id=0, replicas=(5001,)),)
    size = len(encode_batch([b"x" * LONG]))
    return TopicSpec(replicas=Assigned(partitions=maps), storage=TopicStorage(segment_size=size))


class Brokers:
    """Starts and ends them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.running: FakeBroker | None = None

    def start(self, **settings: Any) -> FakeBroker:
        """The next one; the one before it is stopped."""
        self.stop()
        network = MemoryNetwork(self.clock)
        broker = FakeBroker(self.clock, network=network, **settings)
        self.done(broker.start())
        self.running = broker
        return broker

    def stop(self) -> None:
        if self.running is not None:
            self.done(self.running.stop())
            self.running = None

    def kill(self, directory: Path) -> Path:
        """What would be in a directory if the running one were killed here and now."""
        left = directory.with_name(f"{directory.name}-left")
        shutil.copytree(directory, left)
        self.stop()
        return left

    @classmethod
    @contextmanager
    def apart(cls) -> Iterator[Brokers]:
        """Some that end with the block."""
        made = cls()
        try:
            yield made
        finally:
            made.stop()

    def done(self, waiting: Deferred[Any]) -> Any:
        """What a Deferred fires with, at once."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        self.clock.advance(0)
        assert found, "nothing yet"
        if found[0] is not None and hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]


def values(broker: FakeBroker, topic: str = "orders") -> list[bytes]:
    """What is stored in a topic."""
    return [record.value for record in broker.records(topic)]
