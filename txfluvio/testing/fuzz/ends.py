"""The two ends that damaged frames are given to, and what may come of it there.

Both are the real ones: a connection of the client with what reads its replies, and a whole fake
cluster on a network in memory. A frame that a server sent is meant for the client, a request for
the broker; each end also gets the other's, as the body of something it expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from ...admin import values
from ...cluster.topology import WATCHED, Topology, told_by
from ...config import MIB, ClientConfig
from ...consumer.backlog import Backlog
from ...consumer.requests import Target
from ...errors import FluvioError, ProtocolError
from ...transport.memory import MemoryNetwork, MemoryTransport
from ...transport.protocol import FluvioProtocol
from ...wire import sc
from ...wire.framing import frame
from ...wire.headers import encode_reply
from ...wire.records import BatchLimits
from ...wire.sc import Kind, ListResponse, Metadata, WatchResponse
from ...wire.schema import Message
from ...wire.spu import (
    FetchConsumerOffsetsResponse,
    FetchResponse,
    PartitionResponse,
    ProduceRequest,
    StreamFetchResponse,
)
from ...wire.versions import ApiVersionRange, ApiVersionsResponse
from ..broker import FakeBroker
from .corpus import Case, Corpus, record_sets

DECOMPRESSION_LIMIT: Final = 1 * MIB
"""Bytes that a damaged batch may decompress to."""

MAX_TOPICS: Final = 20
"""How many of the recordings' topics the fake has."""

MAX_PARTITIONS: Final = 500
"""How many partitions damaged requests can bring the fake to."""

PAUSE: Final = 0.01
"""Seconds of the fake's clock from one frame to the next."""

_LIMITS: Final = BatchLimits(size=DECOMPRESSION_LIMIT)

_READERS: Final = ((True, False), (True, True), (False, True))
"""Whether SmartModules run for a consumer, and whether it stops inside the first batch."""


class Escaped(Exception):
    """Something came of a damaged frame that may not."""


class End(Protocol):
    """One of the two ends."""

    name: str

    def take(self, case: Case) -> bool:
        """Deal with a damaged frame; whether it was refused.

        :raises Exception: something that may not come of it.
        """
        ...


def _feed(receive: Callable[[bytes], object], case: Case, stream: bytes) -> None:
    size = case.pieces or len(stream)
    for start in range(0, len(stream), size):
        receive(stream[start : start + size])


# The client


class ClientEnd:
    """A connection for each frame, with the request under way that the frame answers."""

    name = "client"

    def __init__(self) -> None:
        self._config = ClientConfig(endpoint="sc:9003", max_decompressed_size=DECOMPRESSION_LIMIT)

    def take(self, case: Case) -> bool:
        transport = StringTransport()
        clock = Clock()
        protocol = FluvioProtocol(
            self._config, clock=clock, address="sc:9003", client_version="0.0.0"
        )
        protocol.makeConnection(transport)
        sample = case.sample
        api, version = sample.frame.api, sample.frame.header.api_version
        offer = ApiVersionRange(api_key=api.key, min_version=version, max_version=version)
        hello = ApiVersionsResponse(api_keys=(offer,), platform_version="0.18.1")
        protocol.dataReceived(encode_reply(hello, version=2, correlation_id=1))
        told: list[Message] = []
        errors: list[FluvioError] = []
        if api.streams:
            protocol.open_stream(sample.request, told.append, errors.append)
        else:
            protocol.send(sample.request, told.append, errors.append)
        _feed(protocol.dataReceived, case, self._stream(case))
        for message in told:
            readings = [partial(self._read, message, case)]
            if isinstance(message, StreamFetchResponse | FetchResponse):
                readings += [partial(self._consume, message, case, *how) for how in _READERS]
            for reading in readings:
                try:
                    reading()
                except FluvioError as error:
                    errors.append(error)
        protocol.abort()
        protocol.connectionLost()
        if clock.getDelayedCalls():
            raise Escaped(f"calls are left: {clock.getDelayedCalls()}")
        return any(isinstance(error, ProtocolError) for error in errors)

    def _stream(self, case: Case) -> bytes:
        """The frame as a reply to the request, which has the number 2."""
        if case.sample.frame.is_reply:
            head, rest = case.stream[:4], case.stream[4:]
            return head + (b"\0\0\0\2" + rest[4:] if len(rest) >= 4 else rest)
        return frame(b"\0\0\0\2", case.payload[case.sample.body :])

    def _read(self, message: Message, case: Case) -> None:
        """Read a reply down to its records, as the floors above do."""
        request: Any = case.sample.request
        if isinstance(message, WatchResponse):
            told = told_by(message.of(request.kind), first=True)
            if message.kind in WATCHED:
                Topology().fold(message)
            if told is not None:
                _describe(message.kind, told.objects.values())
        elif isinstance(message, ListResponse):
            _describe(message.kind, message.of(request.kind).objects)
        elif isinstance(message, FetchConsumerOffsetsResponse):
            for offset in message.consumers:
                values.stored_offset(offset)
        for records in record_sets(message):
            records.needed()
            backlog = Backlog("orders", 0, check_crc=case.check_crc, limits=_LIMITS)
            if backlog.add(records):
                while backlog:
                    backlog.take()

    def _consume(
        self,
        message: StreamFetchResponse | FetchResponse,
        case: Case,
        filtered: bool,
        stops: bool,
    ) -> None:
        """Take in what a reply brings to the partition that it was about, and hand it out."""
        target, start = _asked_for(message, case)
        if isinstance(message, StreamFetchResponse):
            brought = target.pushed(message)
        else:
            brought = target.fetched(message)
        backlog = Backlog(
            target.topic,
            target.partition,
            filtered=filtered,
            check_crc=case.check_crc,
            limits=_LIMITS,
        )
        if not filtered:
            backlog.place(start)
        if stops:
            backlog.stop = backlog.position + 1
        # With a position, also what no SmartModule has made is read as if one had.
        position = brought.next_filter_offset or start + 1
        backlog.add(brought.records, position, failed=bool(brought.error_code))
        while backlog:
            backlog.take()


def _asked_for(message: Message, case: Case) -> tuple[Target, int]:
    """Which partition a reply was about before it was damaged, and where its records began."""
    recorded = case.sample.frame
    if recorded.is_reply:
        version = recorded.header.api_version
        message = recorded.type.decode(recorded.payload, version, recorded.body)
    topic, brought = "orders", PartitionResponse(partition_index=0)
    match message:
        case StreamFetchResponse():
            topic, brought = message.topic, message.partition
        case FetchResponse(topics=(found, *_)) if found.partitions:
            topic, brought = found.name, found.partitions[0]
    batches = brought.records.batches(check_crc=False)
    start = max(0, batches[0].base_offset) if batches else 0
    return Target(topic, brought.partition_index), start


_DESCRIPTIONS: Final[dict[str, Callable[[Metadata], object]]] = {
    sc.TOPIC.label: values.topic_description,
    sc.PARTITION.label: values.partition_description,
    sc.SPU.label: values.spu_description,
    sc.SPU_GROUP.label: values.spu_group_description,
    sc.SMART_MODULE.label: values.smartmodule_description,
    sc.TABLE_FORMAT.label: values.table_format_description,
    sc.MIRROR.label: values.mirror_description,
}


def _describe(kind: Kind, objects: Iterable[Any]) -> None:
    describe = _DESCRIPTIONS.get(kind.label)
    if describe is not None:
        for found in objects:
            if found is not None:
                describe(found)


# The broker


class _Caller(TwistedProtocol):
    """A connection to the fake that says what it is told to."""

    transport: MemoryTransport
    lost = False

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


@implementer(ILogObserver)
class _Listener:
    """Hears of failures that were only logged."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self.failures.append(failure.getTraceback())


class BrokerEnd:
    """A fake cluster with the topics that the recorded requests are about."""

    name = "broker"

    def __init__(self, corpus: Corpus) -> None:
        self._clock = Clock()
        self._network = MemoryNetwork(self._clock)
        topics = dict.fromkeys(_topics(corpus), 1)
        self._broker = FakeBroker(
            self._clock, network=self._network, topics=topics, max_partitions=MAX_PARTITIONS
        )
        self._log = _Listener()

    def start(self) -> None:
        globalLogPublisher.addObserver(self._log)
        self._settle(self._broker.start())

    def stop(self) -> None:
        try:
            self._settle(self._broker.stop())
        finally:
            globalLogPublisher.removeObserver(self._log)
        self._clock.advance(0)
        if self._network.links:
            raise Escaped(f"connections are left: {self._network.links}")

    def take(self, case: Case) -> bool:
        server = case.sample.frame.server
        host, port = self._address(server)
        callers: list[_Caller] = []

        def build() -> _Caller:
            callers.append(_Caller())
            return callers[-1]

        factory = Factory.forProtocol(build)
        factory.noisy = False
        self._network.endpoint(host, port).connect(factory)
        self._clock.advance(0)
        (caller,) = callers
        _feed(caller.transport.write, case, self._stream(case))
        self._clock.advance(PAUSE)
        closed = caller.lost
        if not closed:
            caller.transport.abortConnection()
            self._clock.advance(0)
        if self._log.failures:
            failures, self._log.failures = self._log.failures, []
            raise Escaped("\n".join(failures))
        return closed

    def _stream(self, case: Case) -> bytes:
        if not case.sample.frame.is_reply:
            return case.stream
        header = case.sample.frame.header.encode(0)
        return frame(header, case.payload[case.sample.body :])

    def _address(self, server: str) -> tuple[str, int]:
        endpoint = self._broker.sc_endpoint
        if server == "SPU":
            (endpoint,) = self._broker.spu_endpoints.values()
        host, _, port = endpoint.rpartition(":")
        return host, int(port)

    def _settle(self, deferred: Any) -> None:
        outcome: list[Any] = []
        deferred.addBoth(outcome.append)
        while not outcome:
            self._clock.advance(0.05)
        if outcome[0] is not None:
            outcome[0].raiseException()


def _topics(corpus: Corpus) -> list[str]:
    """The topics that recorded producers write to, the first few."""
    names: dict[str, None] = {}
    for samples in corpus.samples.values():
        for sample in samples:
            if isinstance(sample.request, ProduceRequest):
                names |= dict.fromkeys(topic.name for topic in sample.request.topics)
    return list(names)[:MAX_TOPICS]
