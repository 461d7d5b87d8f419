"""TLS in front of the fake's servers: who is let in, what is noted, and who clients are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol

from tests.client_kit import ClientCase
from txfluvio.config import TlsConfig
from txfluvio.errors import (
    CertificateNameMismatch,
    ClientCertificateRefused,
    ConnectFailed,
    HandshakeFailed,
    PermissionDenied,
)
from txfluvio.testing import FakeTls, Preset, ReadOnly, Roles
from txfluvio.testing.server.certificates import CLIENTS, SERVERS, authority, issue
from txfluvio.testing.server.tls import Hello, is_host_name, server_name
from txfluvio.transport.memory import MemoryTransport

DECODE_ERROR = bytes.fromhex("15030300020232")
ILLEGAL_PARAMETER = bytes.fromhex("1503030002022f")


class Caller(Protocol):
    """Says bytes, and keeps what it hears."""

    transport: MemoryTransport

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


class TlsCase(ClientCase):
    TOPICS = {"orders": 1}

    def use(self, tls: FakeTls, **settings: Any) -> None:
        """Have another broker, with this TLS, and a client of it."""
        self.result(self.broker.stop())
        self.start_broker(tls=tls, **settings)
        self.client = self.make_client()

    def connect(self, **settings: Any) -> None:
        """A started client, with other settings of TLS than the cluster's own."""
        assert self.broker.tls is not None
        tls = attrs.evolve(self.broker.tls.client_config(), **settings)
        self.client = self.make_client(tls=tls)
        self.result(self.client.start())

    def call(self) -> Caller:
        """A bare connection to the SC."""
        caller = Caller()
        host, _, port = self.broker.sc_endpoint.rpartition(":")
        factory = Factory.forProtocol(lambda: caller)
        self.network.endpoint(host, int(port)).connect(factory)
        self.turn()
        return caller


class Hellos(TlsCase):
    def test_the_names_that_clients_ask_for_are_noted(self) -> None:
        tls = FakeTls()
        self.use(tls)
        self.connect()
        producer = self.client.producer("orders")
        self.result(producer.start())
        self.result(producer.send(b"x"))
        self.result(producer.close())
        spu = self.broker.cluster.metadata.spus
        (name,) = [item.name for item in spu]
        noted = {(hello.server, hello.server_name) for hello in tls.hellos}
        self.assertEqual(noted, {("SC", "fluvio.test"), ("SPU 5001", f"{name}.fluvio.test")})

    def test_whatever_name_is_asked_for_the_certificate_is_the_same(self) -> None:
        self.use(FakeTls())
        self.connect(server_name="localhost")
        self.result(self.client.close())
        self.connect(server_name="127.0.0.1")
        assert self.broker.tls is not None
        self.assertEqual(self.broker.tls.hellos[-1], Hello("SC", 2, None))

    def test_the_certificate_is_for_the_loopback_of_ipv6_too(self) -> None:
        self.use(FakeTls(), host="::1")
        self.connect(server_name=None)
        self.assertEqual(self.client.state.value, "connected")

    def test_plain_bytes_get_an_alert_and_a_loud_note(self) -> None:
        self.use(FakeTls())
        for words in (b"GET / HTTP/1.1\r\n", b"\0\0\0\x10\0\x12\0\0"):
            caller = self.call()
            caller.transport.write(words)
            self.turn()
            self.assertEqual((caller.heard, caller.lost), (DECODE_ERROR, True))
            self.assertIn("no TLS, on a port for TLS only", self.broker.complaints[-1].text)

    def test_a_malformed_name_gets_an_alert(self) -> None:
        self.use(FakeTls())
        tls = TlsConfig.insecure_anonymous(server_name="-bad-")
        self.client = self.make_client(tls=tls)
        starting = self.client.start()
        self.settle(starting, 20)
        error = self.failureResultOf(starting, ConnectFailed).value
        self.assertIn("illegal parameter", str(error))
        self.assertIn("a malformed server name: '-bad-'", self.broker.complaints[-1].text)

    def test_one_that_hangs_up_within_its_hello_is_forgotten(self) -> None:
        self.use(FakeTls())
        caller = self.call()
        caller.transport.write(b"\x16\x03\x01\x02\0\x01")
        self.turn()
        caller.transport.loseConnection()
        self.turn()
        self.assertTrue(caller.lost)


class Presets(TlsCase):
    def test_a_certificate_for_the_sc_only_fails_the_record_with_the_spus_name(self) -> None:
        self.use(FakeTls(Preset.SC_ONLY))
        self.connect()
        producer = self.client.producer("orders")
        self.result(producer.start())
        sending = producer.send(b"x")
        self.settle(sending, 5)
        error = self.failureResultOf(sending, CertificateNameMismatch).value
        assert isinstance(error, CertificateNameMismatch)
        self.assertTrue(error.server_name.endswith(".fluvio.test"))
        self.assertEqual(error.names, ("fluvio.test",))

    def test_a_domain_without_dots_is_good_for_spus_too(self) -> None:
        self.use(FakeTls(domain="localhost"))
        self.connect()
        producer = self.client.producer("orders")
        self.result(producer.start())
        stored = self.result(producer.send(b"x"))
        self.assertEqual(stored.offset, 0)
        self.result(producer.close())
        self.result(producer.close())

    def test_a_client_whose_certificate_is_refused_is_told_why(self) -> None:
        tls = FakeTls(Preset.CLIENT_REQUIRED)
        self.use(tls)
        for certificate, words in (
            (issue(authority("another"), usage=CLIENTS), "unknown ca"),
            (issue(tls.authority, usage=CLIENTS, first_day=-9, last_day=-1), "expired"),
            (issue(tls.authority, usage=SERVERS), "unsupported certificate"),
        ):
            own = attrs.evolve(
                tls.client_config(), cert_pem=certificate.pem, key_pem=certificate.key_pem
            )
            client = self.make_client(tls=own)
            starting = client.start()
            self.settle(starting, 5)
            error = self.failureResultOf(starting, ClientCertificateRefused).value
            self.assertIn(words, str(error))


ROLES = Roles(scopes={"maker": ["Maker"]}, rules={"Maker": {"Topic": ["All"]}})


class Principals(TlsCase):
    def test_a_client_may_do_what_the_name_in_its_certificate_may(self) -> None:
        self.use(FakeTls(Preset.CLIENT_REQUIRED, client_name="maker"), policy=ROLES)
        self.connect()
        self.result(self.client.admin.create_topic("payments"))
        names = [topic.name for topic in self.result(self.client.admin.list_topics())]
        self.assertIn("payments", names)

    def test_another_may_not_and_sees_empty_lists(self) -> None:
        self.use(FakeTls(Preset.CLIENT_REQUIRED, client_name="nobody"), policy=ROLES)
        self.connect()
        creating = self.client.admin.create_topic("payments")
        self.settle(creating, 5)
        self.failureResultOf(creating, PermissionDenied)
        self.assertEqual(self.result(self.client.admin.list_topics()), [])

    def test_the_sc_hangs_up_on_one_without_a_name(self) -> None:
        self.use(FakeTls(Preset.CLIENT_REQUIRED, client_name=None), policy=ROLES)
        starting = self.client.start()
        self.settle(starting, 60)
        error = self.failureResultOf(starting, HandshakeFailed).value
        self.assertIn("the client's certificate has no common name", str(error))

    def test_without_roles_nobody_needs_a_name(self) -> None:
        self.use(FakeTls(Preset.CLIENT_REQUIRED, client_name=None))
        self.connect()
        self.assertEqual(len(self.result(self.client.admin.list_topics())), 1)

    def test_a_cluster_that_nobody_may_change_is_still_read(self) -> None:
        self.use(FakeTls(), policy=ReadOnly())
        self.connect()
        creating = self.client.admin.create_topic("payments")
        self.settle(creating, 5)
        self.failureResultOf(creating, PermissionDenied)
        self.assertIn("orders", [one.name for one in self.result(self.client.admin.list_topics())])


# Files


def test_they_hold_what_a_client_needs_and_keep_the_keys_private(tmp_path: Path) -> None:
    tls = FakeTls(domain="sc.example")
    files = tls.write(tmp_path / "new")
    assert files.client_config().inline() == tls.client_config()
    for key in (files.client_key, files.server_key):
        assert key.stat().st_mode & 0o777 == 0o600


def test_those_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    FakeTls().write(tmp_path)
    later = FakeTls()
    assert later.write(tmp_path).client_config().inline() == later.client_config()


def test_a_secret_is_not_shown() -> None:
    tls = FakeTls()
    for shown in (repr(tls.client), repr(tls.client_config()), repr(tls)):
        assert "PRIVATE" not in shown
        assert tls.client.key_pem.decode().splitlines()[1] not in shown


# Names


def test_names_that_real_servers_take() -> None:
    for name in ("a_b.test", "fluvio.test.", "10.0.0.1", "x" * 63):
        assert is_host_name(name), name
    for name in ("localhost:9800", "-bad-", "x" * 64, "", "a..b", "a b"):
        assert not is_host_name(name), name


@given(st.binary(max_size=200))
def test_no_bytes_harm_the_search_for_a_name(data: bytes) -> None:
    assert isinstance(server_name(data), str | None)
    assert isinstance(server_name(b"\x16\x03\x01\0\x40\x01\0\0\x3c\x03\x03" + data), str | None)
