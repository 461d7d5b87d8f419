"""Every kind of client against every kind of server: what works, and what the error is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txfluvio.client import FluvioClient
from txfluvio.config import ClientConfig, TlsConfig, TlsVersion
from txfluvio.errors import (
    CertificateExpired,
    CertificateNameMismatch,
    CertificateUntrusted,
    ClientCertificateRequired,
    ConnectFailed,
    HandshakeFailed,
    TlsFailed,
    TlsRequired,
)
from txfluvio.offset import Offset
from txfluvio.testing import FakeBroker, FakeTls, Preset
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

Test = TypeVar("Test", bound=Callable[..., Any])

with_reactor: Callable[[Test], Test] = pytest_twisted.ensureDeferred

CLIENTS = ("system roots", "CA", "mutual", "anonymous", "plain")

WORKS = None
Outcome = type[ConnectFailed] | None

PLAIN = "plain"
SERVERS: dict[Preset | str, tuple[Outcome, ...]] = {
    Preset.GOOD: (WORKS, WORKS, WORKS, WORKS, TlsRequired),
    Preset.EXPIRED: (*[CertificateExpired] * 3, WORKS, TlsRequired),
    Preset.WRONG_NAME: (*[CertificateNameMismatch] * 3, WORKS, TlsRequired),
    Preset.UNKNOWN_CA: (*[CertificateUntrusted] * 3, WORKS, TlsRequired),
    Preset.CLIENT_REQUIRED: (
        ClientCertificateRequired,
        ClientCertificateRequired,
        WORKS,
        ClientCertificateRequired,
        TlsRequired,
    ),
    PLAIN: (*[HandshakeFailed] * 4, WORKS),
}
"""For each kind of server, what each kind of client meets."""

SHORT, LONG = 0.25, 5.0
"""Seconds for a handshake: where a plain server lets it wait for ever, and where it comes to an end
by itself, on a machine however slow. A start has four times as many."""


@attrs.frozen
class Cell:
    """A square of the matrix."""

    server: Preset | str
    client: str
    version: TlsVersion
    outcome: Outcome

    def __str__(self) -> str:
        server = self.server.value if isinstance(self.server, Preset) else self.server
        return f"{server}-{self.client}-{self.version.value}"

    def broker(self, reactor: Any, network: MemoryNetwork | None) -> FakeBroker:
        tls = None
        if isinstance(self.server, Preset):
            tls = FakeTls(self.server, only=self.version)
        return FakeBroker(reactor, topics={"orders": 1}, network=network, tls=tls)

    def config(self, broker: FakeBroker, roots: Path) -> ClientConfig:
        """The client's settings; where they leave it to the system, its roots are ``roots``."""
        tls = broker.tls or FakeTls()
        roots.write_bytes(tls.authority.pem)
        mutual = tls.client_config()
        ca = attrs.evolve(mutual, cert_pem=None, key_pem=None)
        settings: dict[str, TlsConfig | None] = {
            "system roots": attrs.evolve(ca, ca_pem=None),
            "CA": ca,
            "mutual": mutual,
            "anonymous": TlsConfig.insecure_anonymous(server_name=tls.domain),
            "plain": None,
        }
        patience = SHORT if self.outcome is HandshakeFailed else LONG
        return broker.client_config(
            tls=settings[self.client],
            handshake_timeout=patience,
            connect_timeout=4 * patience,
            idle_probe=1e6,
        )

    async def play(self, broker: FakeBroker, client: FluvioClient) -> None:
        if self.outcome is not WORKS:
            with pytest.raises(ConnectFailed) as caught:
                await client.start()
            self.check(broker, caught.value)
            return
        async with client:
            async with client.producer("orders") as producer:
                await producer.send(b"over " + str(self).encode())
            whole = client.consumer("orders", start=Offset.beginning(), stop=Offset.end())
            async with whole as records:
                assert [record.value async for record in records] == [f"over {self}".encode()]
        if broker.tls is not None:
            asked = [hello.server_name for hello in broker.tls.hellos]
            domain = broker.tls.domain
            assert asked[0] == domain
            assert all(name is not None and name.endswith(f".{domain}") for name in asked[-1:])

    def check(self, broker: FakeBroker, error: ConnectFailed) -> None:
        assert type(error) is self.outcome
        # Silence proves nothing: a plain port is as silent as a server that is frozen.
        assert error.retriable == (self.outcome is HandshakeFailed)
        assert error.address == broker.sc_endpoint
        assert broker.sc_endpoint in str(error)
        if isinstance(error, HandshakeFailed):
            assert "so does a plain Fluvio port" in str(error)
        if isinstance(error, TlsFailed):
            assert broker.tls is not None
            assert error.server_name == broker.tls.domain
            assert error.names
            assert "BEGIN" not in repr(error) + str(error)
        if isinstance(error, CertificateNameMismatch):
            assert "elsewhere" in str(error)


CELLS = [
    Cell(server, client, version, outcome)
    for server, outcomes in SERVERS.items()
    for client, outcome in zip(CLIENTS, outcomes, strict=True)
    for version in TlsVersion
    if server is not PLAIN or version is TlsVersion.TLS_1_3
]


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the system's authorities come from during this test."""
    path = tmp_path / "roots.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    return path


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_in_memory(cell: Cell, roots: Path) -> None:
    clock = Clock()
    network = MemoryNetwork(clock)

    async def whole() -> None:
        async with cell.broker(clock, network) as broker:
            config = cell.config(broker, roots)
            dialer = MemoryDialer(network, config, clock)
            await cell.play(broker, FluvioClient(clock, config, dialer=dialer, rng=Random(1)))

    running = Deferred.fromCoroutine(whole())
    outcome: list[Any] = []
    running.addBoth(outcome.append)
    while not outcome and clock.seconds() < 10:
        clock.advance(0.05)
    assert outcome == [None]
    clock.advance(0)
    assert network.links == []
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("cell", CELLS, ids=str)
@with_reactor
async def test_on_loopback(cell: Cell, roots: Path) -> None:
    from twisted.internet import reactor

    async with cell.broker(reactor, None) as broker:
        await cell.play(broker, FluvioClient(reactor, cell.config(broker, roots)))
