"""A fresh fake in memory, in the state a conversation began with, and connections to it.

Time stands still until :meth:`Stage.advance`; whatever is due then happens in its order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import UsageError
from ...transport.memory import MemoryNetwork, MemoryTransport
from ...wire.framing import Frames, frame
from ...wire.recordings import LARGEST_FRAME
from ...wire.sc import KINDS, PARTITION, SMART_MODULE, SPU
from ...wire.schema import evolve
from ..broker import FakeBroker
from ..sc.admission import ModuleName
from ..sc.store import Item
from ..snapshot import Snapshot
from ..spu.replica import Key, Replica
from .beginning import Beginning
from .conversation import ServerId

EPOCH = 1_700_000_000.0
"""The time of day at which every replay begins, in seconds since the Unix epoch."""

T = TypeVar("T")


@implementer(IHalfCloseableProtocol)
class Line(Protocol):
    """The client's end of a connection.

    :ivar ended: nothing more can come from the server.
    :ivar finished: nothing more is sent.
    :ivar refused: something came after that, which a process that is gone does not take.
    """

    def __init__(self, received: Callable[[bytes], object]) -> None:
        self.ended = False
        self.finished = False
        self.refused = False
        self._received = received
        self._frames = Frames(LARGEST_FRAME)

    def dataReceived(self, data: bytes) -> None:
        self.refused = self.refused or self.finished
        for payload in self._frames.feed(data):
            self._received(payload)

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        """The server takes no more; what it has to say still comes."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True

    def send(self, payload: bytes) -> None:
        """Send one frame, given without its size."""
        self._tcp.write(frame(payload))

    def finish(self) -> None:
        """Send no more."""
        self.finished = True
        self._tcp.loseWriteConnection()

    def reset(self) -> None:
        """End it at once."""
        self._tcp.abortConnection()

    @property
    def _tcp(self) -> MemoryTransport:
        return cast(MemoryTransport, self.transport)


class Stage:
    """The fake of one replay.

    :ivar broker: the fake.
    """

    def __init__(self, beginning: Beginning) -> None:
        self.clock = Clock()
        self._network = MemoryNetwork(self.clock)
        self.broker = FakeBroker(
            self.clock,
            spus=beginning.spus,
            network=self._network,
            now=lambda: EPOCH + self.clock.seconds(),
            release=beginning.release,
        )
        self._beginning = beginning
        self._start = 0.0

    # From the beginning to the end

    def start(self) -> None:
        """Start the fake and bring it to where the conversation began."""
        broker, cluster = self.broker, self.broker.cluster
        cluster.system_topic = False
        cast = self._beginning.cast
        for name, module in (*cast.names.items(), *cast.hashes.items()):
            broker.register_smartmodule(name, module)
        self._done(broker.start())
        self._played = tuple(cluster.metadata.modules)
        self._done(broker.restore(self._snapshot()))
        for kind in KINDS.values():
            if kind.label in cluster.metadata.contents() and kind is not SMART_MODULE:
                cluster.metadata.of(kind).load(self._items(kind.label))
        self.advance(self.clock.seconds() + 1.0)
        for one in self._beginning.offsets:
            spu = cluster.leader(("consumer-offset", 0))
            stored = None if spu is None else spu.stored_offsets
            if stored is not None:
                key = one.replica_id
                stored.put((key.topic, key.partition), one.consumer_id, one.offset)
        self.advance(self.clock.seconds() + 1.0)
        cluster.metadata.partitions.load(self._items(PARTITION.label))
        self.settle()
        cluster.policy = self._beginning.policy
        self._start = self.clock.seconds()

    def stop(self) -> None:
        """End it all."""
        stopping = self.broker.stop()
        self.advance(self.clock.seconds() + 10.0)
        self._result(stopping)

    def _snapshot(self) -> Snapshot:
        beginning = self._beginning
        contents = {
            label: self._items(label)
            for label in self.broker.cluster.metadata.contents()
            if label != SPU.label
        }
        contents[SMART_MODULE.label] = self._modules(contents[SMART_MODULE.label])
        contents[SPU.label] = tuple(
            one for one in self._items(SPU.label) if one.spec.id not in beginning.spus
        )
        replicas = {item.name: item.spec.replicas for item in contents["Partition"]}
        logs: dict[int, dict[Key, Any]] = {spu: {} for spu in beginning.spus}
        for (topic, number), log in beginning.logs.items():
            for spu in replicas.get(f"{topic}-{number}", ()):
                if spu in logs:
                    logs[spu][topic, number] = log.copy()
        return Snapshot(contents, logs, beginning.down)

    def _modules(self, told: tuple[Item[Any, Any], ...]) -> tuple[Item[Any, Any], ...]:
        """The modules that were told of, and those that are played."""
        names = {item.name for item in told}
        played = [item for item in self._played if item.name not in names]
        return (*told, *[_hidden(item) if _means_any(item, told) else item for item in played])

    def _items(self, label: str) -> tuple[Item[Any, Any], ...]:
        """The objects of a kind; SPUs that run are where they run."""
        items = self._beginning.items(KINDS[label])
        if label != SPU.label:
            return items
        ports = {spu: int(where.rpartition(":")[2]) for spu, where in self._endpoints()}
        known = {item.spec.id for item in items}
        if SPU.label in self._beginning.objects:
            known |= set(ports)
        ours = {item.spec.id: item for item in self.broker.cluster.metadata.spus}
        moved = [
            Item(
                item.name,
                evolve(
                    item.spec,
                    public_endpoint=evolve(item.spec.public_endpoint, port=ports[item.spec.id]),
                ),
                item.status,
            )
            if item.spec.id in ports
            else item
            for item in items
        ]
        return (*moved, *[ours[spu] for spu in ports if spu not in known and spu in ours])

    def _endpoints(self) -> list[tuple[int, str]]:
        return list(self.broker.spu_endpoints.items())

    # Time

    @property
    def now(self) -> float:
        """Seconds since the conversation began."""
        return self.clock.seconds() - self._start

    def advance_to(self, time: float) -> None:
        """Let everything happen up to a time of the conversation."""
        self.advance(self._start + time)

    def advance(self, until: float) -> None:
        """Let everything happen up to a time of the clock, each thing at its own."""
        self.settle()
        while True:
            calls = self.clock.getDelayedCalls()
            due = min((call.getTime() for call in calls), default=until)
            if due >= until:
                break
            self.clock.advance(due - self.clock.seconds())
        self.clock.advance(max(0.0, until - self.clock.seconds()))

    def settle(self) -> None:
        """Let everything happen that is due."""
        self.clock.advance(0)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until something holds, at most so much; whether it does."""
        end = self.clock.seconds() + seconds
        self.settle()
        while not condition():
            calls = self.clock.getDelayedCalls()
            due = min((call.getTime() for call in calls), default=end + 1)
            if due > end:
                return False
            self.clock.advance(max(0.0, due - self.clock.seconds()))
        return True

    # Connections

    def connect(self, server: ServerId, received: Callable[[bytes], object]) -> Line | None:
        """A connection to a server; ``None`` where nobody listens."""
        where = self.broker.sc_endpoint
        if server != "SC":
            endpoint = self.broker.spu_endpoints.get(int(server))
            if endpoint is None:
                return None
            where = endpoint
        host, _, port = where.rpartition(":")
        factory = Factory.forProtocol(lambda: Line(received))
        factory.noisy = False
        lines: list[Line] = []
        connecting = self._network.connect(host, int(port), factory)
        connecting.addCallbacks(lambda line: lines.append(cast(Line, line)), lambda _: None)
        self.settle()
        return lines[0] if lines else None

    # Looking

    def replica(self, key: Key) -> Replica | None:
        """The leader's copy of a partition, if an SPU that runs leads it."""
        spu = self.broker.cluster.leader(key)
        return None if spu is None else spu.leads(key)

    def _done(self, work: Deferred[T]) -> T:
        results: list[Any] = []
        work.addBoth(results.append)
        self.wait(lambda: bool(results), 100.0)
        if not results:
            raise UsageError("the fake can not be brought to where the conversation began")
        (result,) = results
        if isinstance(result, Failure):
            result.raiseException()
        return cast(T, result)

    def _result(self, work: Deferred[T]) -> None:
        work.addErrback(lambda failure: failure)


def _means_any(played: Item[Any, Any], told: tuple[Item[Any, Any], ...]) -> bool:
    """Whether the name of a module that is played already means one of those that are there."""
    meta = played.spec.meta
    if meta is None:
        return False
    name = ModuleName.of_package(meta)
    return any(name.matches(item.name, item.spec.meta) for item in told)


def _hidden(played: Item[Any, Any]) -> Item[Any, Any]:
    """The module under its key alone: it is there, but no list shows it by its full name."""
    return attrs.evolve(played, spec=evolve(played.spec, meta=None))
