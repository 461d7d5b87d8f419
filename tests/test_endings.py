"""Every call, in every state of the servers, cancelled, timed out or overtaken by the client's end.

Whatever happens, the call ends at once with one error, and what is left when the client is closed
is nothing: no delayed call, no connection, no error that nobody got.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.cluster.kit import SC, SPU_1, Asked, Script
from tests.cluster.objects import everything, partition, spu, topic
from txfluvio import (
    ClientConfig,
    ConnectionState,
    FluvioClient,
    Isolation,
    ObjectKind,
    Offset,
    OffsetStrategy,
    RetryPolicy,
    TlsConfig,
)
from txfluvio.consumer import Consumer
from txfluvio.errors import FluvioError
from txfluvio.producer import Producer
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.records import RecordSet, encode_batch, renumber
from txfluvio.wire.sc import PARTITION, SPU, TOPIC, WatchRequest
from txfluvio.wire.schema import SC_APIS, SPU_APIS
from txfluvio.wire.spu import (
    FetchOffsetPartitionResponse,
    FetchOffsetsResponse,
    FetchOffsetTopicResponse,
    PartitionResponse,
    StreamFetchResponse,
)


class World:
    """A client that knows its cluster, and servers that do nothing more."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.sc = Script("SC", SC_APIS)
        self.spu = Script("SPU", SPU_APIS)
        self.network.listen(*SC, self.sc.server)
        self.network.listen(*SPU_1, self.spu.server)
        config = ClientConfig(
            endpoint="sc.test:9003",
            retry=RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0),
            idle_probe=10_000.0,
            **settings,
        )
        dialer = MemoryDialer(self.network, config, self.clock)
        self.client = FluvioClient(self.clock, config, dialer=dialer, rng=Random(1))

    def turn(self) -> None:
        self.clock.advance(0)
        self.network.pump()

    def known(self) -> None:
        """Start the client, and let it know the cluster."""
        starting = self.client.start()
        self.turn()
        for asked in self.sc.take(3):
            asked.reply(_everything(asked))
        self.turn()
        assert outcome(starting) is None

    def producing(self) -> Producer:
        """A producer that has been started, and has sent nothing."""
        producer = self.client.producer("orders", linger=5.0)
        assert outcome(producer.start()) is None
        return producer

    def reading(self) -> Consumer:
        """A consumer that has had two records, and has processed the first."""
        consumer = self.client.consumer(
            "orders", start=Offset.absolute(0), consumer_id="a", offsets=OffsetStrategy.AUTO
        )
        starting = consumer.start()
        self.deliver()
        assert outcome(starting) is None
        for number in range(2):
            received = consumer.next()
            self.turn()
            assert outcome(received).offset == number
        self.spu.asked.clear()
        return consumer

    def deliver(self) -> None:
        """Tell where the log ends, and push two records on the stream that is asked for then."""
        self.turn()
        ends = FetchOffsetPartitionResponse(partition_index=0, start_offset=0, last_stable_offset=2)
        topic = FetchOffsetTopicResponse(name="orders", partitions=(ends,))
        self.spu.one().reply(FetchOffsetsResponse(topics=(topic,)))
        self.turn()
        brought = PartitionResponse(
            partition_index=0,
            high_watermark=2,
            records=RecordSet.of(renumber(encode_batch([b"a", b"b"]), 0)),
        )
        self.spu.one().reply(StreamFetchResponse(topic="orders", stream_id=1, partition=brought))
        self.turn()


def _everything(asked: Asked) -> Any:
    assert isinstance(asked.message, WatchRequest)
    objects: dict[Any, tuple[Any, ...]] = {
        SPU: (spu(5001),),
        PARTITION: (partition("orders-0"), partition("consumer-offset-0")),
        TOPIC: (topic("orders"), topic("consumer-offset")),
    }
    return everything(asked.message.kind, *objects[asked.message.kind])


_PENDING = object()


def outcome(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with by now: its result, its error, or ``_PENDING``."""
    found: list[Any] = [_PENDING]

    def note(result: Any) -> None:
        found[0] = result.value if isinstance(result, Failure) else result

    deferred.addBoth(note)
    return found[0]


# The states of both servers


def refusing(world: World) -> None:
    for address in (SC, SPU_1):
        world.network.refuse(*address)


def hanging(world: World) -> None:
    for address in (SC, SPU_1):
        world.network.hang(*address)


def mute(world: World) -> None:
    world.sc.mute = world.spu.mute = True


def silent(world: World) -> None:
    """They tell their versions, and answer nothing."""


def lost(world: World) -> None:
    """They were there, and can not be reached any more."""
    refusing(world)
    world.sc.server.close_all()
    world.spu.server.close_all()


STATES = [refusing, hanging, mute, silent, lost]


# The calls


def produced(client: FluvioClient) -> Deferred[Any]:
    producer = client.producer("orders")

    async def send() -> None:
        await producer.start()
        await producer.send(b"x")

    return Deferred.fromCoroutine(send())


def produced_committed(client: FluvioClient) -> Deferred[Any]:
    producer = client.producer("orders", isolation=Isolation.READ_COMMITTED)

    async def send() -> None:
        await producer.start()
        await producer.send_many([b"x", b"y"])

    return Deferred.fromCoroutine(send())


def flushed(client: FluvioClient) -> Deferred[Any]:
    producer = client.producer("orders", linger=5.0)

    async def flush() -> None:
        await producer.start()
        sent = producer.send(b"x")
        errors: list[Failure] = []
        sent.addErrback(errors.append)
        await producer.flush()
        # A flush is content if every record has its outcome, an error too.
        errors[0].raiseException()

    return Deferred.fromCoroutine(flush())


def consumed(client: FluvioClient) -> Deferred[Any]:
    return client.consumer("orders", start=Offset.beginning()).start()


def resumed(client: FluvioClient) -> Deferred[Any]:
    return client.consumer("orders", start=Offset.stored(), consumer_id="a").start()


def iterated(client: FluvioClient) -> Deferred[Any]:
    async def iterate() -> None:
        async with client.consumer("orders", start=Offset.absolute(0)) as records:
            async for _ in records:
                pass

    return Deferred.fromCoroutine(iterate())


def watched(client: FluvioClient) -> Deferred[Any]:
    return Deferred.fromCoroutine(client.admin.watch(ObjectKind.TOPIC).__anext__())


def handled(client: FluvioClient) -> Deferred[Any]:
    service = client.consume("orders", lambda record: None, start=Offset.beginning())
    service.startService()
    return service.when_done()


CALLS: dict[str, Callable[[FluvioClient], Deferred[Any]]] = {
    "create_topic": lambda client: client.admin.create_topic("payments"),
    "delete_topic": lambda client: client.admin.delete_topic("orders"),
    "add_partitions": lambda client: client.admin.add_partitions("orders", 1),
    "list_topics": lambda client: client.admin.list_topics(),
    "describe_topic": lambda client: client.admin.describe_topic("orders"),
    "add_mirror": lambda client: client.admin.add_mirror("orders", "edge"),
    "list_partitions": lambda client: client.admin.list_partitions("orders"),
    "list_spus": lambda client: client.admin.list_spus(),
    "list_custom_spus": lambda client: client.admin.list_custom_spus(),
    "register_spu": lambda client: client.admin.register_spu(1, "h", 1, private_port=2),
    "unregister_spu": lambda client: client.admin.unregister_spu(1),
    "create_spu_group": lambda client: client.admin.create_spu_group("g", replicas=1),
    "delete_spu_group": lambda client: client.admin.delete_spu_group("g"),
    "list_spu_groups": lambda client: client.admin.list_spu_groups(),
    "create_smartmodule": lambda client: client.admin.create_smartmodule("m", b"x"),
    "delete_smartmodule": lambda client: client.admin.delete_smartmodule("m"),
    "list_smartmodules": lambda client: client.admin.list_smartmodules(),
    "create_table_format": lambda client: client.admin.create_table_format("t"),
    "delete_table_format": lambda client: client.admin.delete_table_format("t"),
    "list_table_formats": lambda client: client.admin.list_table_formats(),
    "register_remote": lambda client: client.admin.register_remote("edge"),
    "register_home": lambda c: c.admin.register_home("h", remote_id="edge", endpoint="h:9003"),
    "unregister_mirror": lambda client: client.admin.unregister_mirror("edge"),
    "list_mirrors": lambda client: client.admin.list_mirrors(),
    "list_consumer_offsets": lambda client: client.admin.list_consumer_offsets(),
    "delete_consumer_offset": lambda c: c.admin.delete_consumer_offset("a", "orders", 0),
    "ends": lambda client: client.ends("orders"),
    "watch": watched,
    "send": produced,
    "send_many, committed": produced_committed,
    "flush": flushed,
    "consumer.start": consumed,
    "consumer.start, stored": resumed,
    "iteration": iterated,
    "consume": handled,
}


def sent(world: World, producer: Producer) -> Deferred[Any]:
    return producer.send(b"x")


def sent_many(world: World, producer: Producer) -> Deferred[Any]:
    return producer.send_many([b"x", (b"key", b"y")])


def flushed_by_another(world: World, producer: Producer) -> Deferred[Any]:
    producer.send(b"x").addErrback(_some_error)
    return producer.flush()


def closed_with_records(world: World, producer: Producer) -> Deferred[Any]:
    producer.send(b"x").addErrback(_some_error)
    return producer.close()


def _some_error(failure: Failure) -> None:
    failure.trap(FluvioError, CancelledError)


OF_A_PRODUCER: dict[str, Callable[[World, Producer], Deferred[Any]]] = {
    "send": sent,
    "send_many": sent_many,
    "flush": flushed_by_another,
    "close": closed_with_records,
}

OF_A_CONSUMER: dict[str, Callable[[World, Consumer], Deferred[Any]]] = {
    "next": lambda world, consumer: consumer.next(),
    "next_batch": lambda world, consumer: consumer.next_batch(),
    "batches": lambda world, consumer: Deferred.fromCoroutine(consumer.batches().__anext__()),
    "commit": lambda world, consumer: consumer.commit(),
    "flush_offsets": lambda world, consumer: consumer.flush_offsets(),
    "committed": lambda world, consumer: consumer.committed(),
    "lag": lambda world, consumer: consumer.lag(0),
    "close": lambda world, consumer: consumer.close(),
}

CONTENT = {"consume", "flush", "close", "stopService"}
"""Calls that need not fail where the client ends: that is what they waited for, or near enough."""

BY_ITSELF = {("lag", refusing), ("lag", lost)}
"""Calls that a state ends at once, by an error with a name."""


@attrs.frozen
class Ending:
    name: str
    end: Callable[[World, Deferred[Any]], object]
    errors: tuple[type[BaseException], ...]

    def expected(self, call: str) -> tuple[type[BaseException | None], ...]:
        """What a call may end with."""
        content = self.end is _overtake and call in CONTENT
        return (*self.errors, type(None)) if content else self.errors


def _overtake(world: World, call: Deferred[Any]) -> None:
    closing = world.client.close()
    closing.cancel()
    world.turn()
    assert outcome(closing) is not _PENDING


def _time_out(world: World, call: Deferred[Any]) -> None:
    call.addTimeout(0.25, world.clock)
    world.clock.advance(0.25)


ENDINGS = [
    Ending("cancelled", lambda world, call: call.cancel(), (CancelledError,)),
    Ending("timed out", _time_out, (DeferredTimeoutError,)),
    Ending("overtaken", _overtake, (FluvioError, StopAsyncIteration, CancelledError)),
]


@pytest.fixture
def unheard() -> Iterator[list[LogEvent]]:
    """Errors that nobody got, as the log tells them."""
    found: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            found.append(event)

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def close(world: World) -> None:
    """Close the client in a hurry, and see that nothing is left."""
    closing = world.client.close()
    closing.cancel()
    for _ in range(3):
        world.turn()
    assert isinstance(outcome(closing), CancelledError | None)
    assert world.client.state is ConnectionState.STOPPED
    assert world.network.links == []
    assert world.clock.getDelayedCalls() == []


def nothing_is_left(world: World, unheard: list[LogEvent]) -> None:
    """Close the client, and see that no error was left that nobody got."""
    close(world)
    gc.collect(1)
    assert unheard == []


def wait(world: World) -> None:
    """Let enough time go by for a state to show."""
    for seconds in (0.0, 0.3, 0.3):
        world.clock.advance(seconds)
        world.turn()


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize(("name", "call"), CALLS.items(), ids=CALLS.keys())
def test_a_call_can_be_ended_in_any_state(
    name: str,
    call: Callable[[FluvioClient], Deferred[Any]],
    state: Callable[[World], None],
    ending: Ending,
    unheard: list[LogEvent],
) -> None:
    world = World()
    world.known()
    state(world)
    world.turn()
    called = call(world.client)
    wait(world)
    assert not called.called
    ending.end(world, called)
    world.turn()
    assert isinstance(outcome(called), ending.expected(name))
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize(("name", "call"), OF_A_PRODUCER.items(), ids=OF_A_PRODUCER.keys())
def test_what_a_producer_was_asked_can_be_ended_in_any_state(
    name: str,
    call: Callable[[World, Producer], Deferred[Any]],
    state: Callable[[World], None],
    ending: Ending,
    unheard: list[LogEvent],
) -> None:
    world = World()
    world.known()
    producer = world.producing()
    state(world)
    world.turn()
    called = call(world, producer)
    wait(world)
    assert not called.called
    ending.end(world, called)
    world.turn()
    assert isinstance(outcome(called), ending.expected(name))
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize(("name", "call"), OF_A_CONSUMER.items(), ids=OF_A_CONSUMER.keys())
def test_what_a_consumer_was_asked_can_be_ended_in_any_state(
    name: str,
    call: Callable[[World, Consumer], Deferred[Any]],
    state: Callable[[World], None],
    ending: Ending,
    unheard: list[LogEvent],
) -> None:
    world = World()
    world.known()
    consumer = world.reading()
    state(world)
    world.turn()
    called = call(world, consumer)
    wait(world)
    if (name, state) in BY_ITSELF:
        assert isinstance(outcome(called), FluvioError)
    else:
        assert not called.called
        ending.end(world, called)
        world.turn()
        assert isinstance(outcome(called), ending.expected(name))
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_service_that_stops_can_be_ended_with_a_record_in_hand(
    state: Callable[[World], None], ending: Ending, unheard: list[LogEvent]
) -> None:
    world = World()
    world.known()
    in_hand: Deferred[None] = Deferred()
    service = world.client.consume("orders", lambda record: in_hand, start=Offset.absolute(0))
    service.startService()
    world.deliver()
    state(world)
    world.turn()
    stopping = service.stopService()
    world.turn()
    assert not stopping.called
    ending.end(world, stopping)
    world.turn()
    assert isinstance(outcome(stopping), ending.expected("stopService"))
    assert in_hand.called
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
@pytest.mark.parametrize("state", [refusing, hanging, mute, silent], ids=lambda s: s.__name__)
def test_waiting_for_the_cluster_can_be_ended_in_any_state(
    state: Callable[[World], None], ending: Ending, unheard: list[LogEvent]
) -> None:
    world = World()
    state(world)
    world.client.startService()
    world.turn()
    connected = world.client.when_connected()
    world.clock.advance(0.3)
    world.turn()
    assert not connected.called
    ending.end(world, connected)
    world.turn()
    assert isinstance(outcome(connected), ending.errors)
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_starting_can_be_ended_inside_the_handshake_of_tls(
    ending: Ending, unheard: list[LogEvent]
) -> None:
    world = World(tls=TlsConfig.insecure_anonymous())
    starting = world.client.start()
    wait(world)
    assert not starting.called
    ending.end(world, starting)
    for _ in range(3):
        world.turn()
    assert isinstance(outcome(starting), ending.errors)
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("state", [refusing, hanging, mute, silent], ids=lambda s: s.__name__)
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_starting_can_be_ended_in_any_state(
    state: Callable[[World], None], ending: Ending, unheard: list[LogEvent]
) -> None:
    world = World()
    state(world)
    starting = world.client.start()
    wait(world)
    assert not starting.called
    ending.end(world, starting)
    for _ in range(3):
        world.turn()
    assert isinstance(outcome(starting), ending.errors)
    nothing_is_left(world, unheard)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_service_can_be_stopped_in_any_state(
    state: Callable[[World], None], unheard: list[LogEvent]
) -> None:
    world = World()
    state(world)
    world.client.startService()
    connected = world.client.when_connected()
    for seconds in (0.0, 0.3, 5.0):
        world.clock.advance(seconds)
        world.turn()
    stopping = world.client.stopService()
    for _ in range(3):
        world.turn()
    assert outcome(stopping) is None
    assert isinstance(outcome(connected), FluvioError)
    nothing_is_left(world, unheard)
