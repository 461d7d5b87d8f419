"""The clusters that the tests of behaviour run against.

Always the fake one: with one SPU and with three, on loopback and in memory. And a real one, if
``TXFLUVIO_TEST_PROFILE`` names a profile file.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from txfluvio import ClientConfig, FluvioClient
from txfluvio.testing import FakeBroker
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

from .kit import Bench, Names, async_fixture, the_reactor

Connect = Callable[..., FluvioClient]


@attrs.frozen
class Fake:
    """A fake cluster that is to be."""

    spus: int
    in_memory: bool

    def __str__(self) -> str:
        return f"{self.spus}-spu-{'memory' if self.in_memory else 'loopback'}"


@attrs.frozen
class Named:
    """A cluster that is there already."""

    profile: str

    def __str__(self) -> str:
        return "named"


FAKES = [Fake(spus, in_memory) for in_memory in (True, False) for spus in (1, 3)]
PROFILE = os.environ.get("TXFLUVIO_TEST_PROFILE")
CLUSTERS: list[Fake | Named] = [*FAKES, *([Named(PROFILE)] if PROFILE else [])]


PATIENCE = 600
"""Seconds for one test on a real cluster, which may take minutes to create a topic."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        spec: Any = getattr(item, "callspec", None)
        cluster = None if spec is None else spec.params.get("cluster")
        if isinstance(cluster, Named):
            item.add_marker(pytest.mark.timeout(PATIENCE))


def _open_sockets() -> list[Any]:
    return [reader for reader in the_reactor.getReaders() if isinstance(reader, FileDescriptor)]


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a delayed call, a socket, or an error that nobody got."""
    errors: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            errors.append(event)

    # What another test has left in the rubbish is not this one's.
    gc.collect(1)
    calls, sockets = the_reactor.getDelayedCalls(), _open_sockets()
    globalLogPublisher.addObserver(observe)
    try:
        yield
        gc.collect(1)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert errors == []
    assert [call for call in the_reactor.getDelayedCalls() if call not in calls] == []
    assert [socket for socket in _open_sockets() if socket not in sockets] == []


@pytest.fixture(params=CLUSTERS, ids=str)
def cluster(request: pytest.FixtureRequest) -> Fake | Named:
    """Where a test takes place; not for tests to look at."""
    found: Fake | Named = request.param
    return found


@async_fixture()
async def connect(cluster: Fake | Named, nothing_left: None) -> AsyncIterator[Connect]:
    """Makes clients of a cluster, not started, with settings by name."""
    if isinstance(cluster, Named):
        config = ClientConfig.from_profile(path=cluster.profile)
        yield lambda **settings: FluvioClient(the_reactor, attrs.evolve(config, **settings))
        return
    network = MemoryNetwork(the_reactor) if cluster.in_memory else None
    # Somebody else's topics and records are no business of a test.
    topics = {"somebody-elses": 2}
    async with FakeBroker(the_reactor, cluster.spus, topics, network=network) as broker:
        broker.append("somebody-elses", [b"not yours"])

        def connect(**settings: Any) -> FluvioClient:
            config = broker.client_config(**settings)
            dialer = None if network is None else MemoryDialer(network, config, the_reactor)
            return FluvioClient(the_reactor, config, dialer=dialer)

        yield connect
        assert list(broker.complaints) == []
    await deferLater(the_reactor, 0)


@async_fixture(scope="module")
async def for_later() -> AsyncIterator[list[tuple[Connect, Names]]]:
    """What is cleaned up when the tests of a module are over.

    A real SC that has just deleted something may lose what SPUs report of what is new.
    """
    left: list[tuple[Connect, Names]] = []
    yield left
    for connect, names in left:
        await _clean_up(connect, names)


async def _clean_up(connect: Connect, names: Names) -> None:
    async with connect() as client:
        await Bench(client, connect, names).clean_up()


@async_fixture()
async def bench(
    cluster: Fake | Named, connect: Connect, for_later: list[tuple[Connect, Names]]
) -> AsyncIterator[Bench]:
    """A client of a cluster, and what a test needs besides; it cleans up."""
    names = Names()
    async with connect() as client:
        bench = Bench(client, connect, names)
        await bench.ready()
        yield bench
    if isinstance(cluster, Named):
        for_later.append((connect, names))
    else:
        await _clean_up(connect, names)
