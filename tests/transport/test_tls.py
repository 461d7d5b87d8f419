"""TLS verifies the right name, and says what is wrong where something is."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from OpenSSL.SSL import Connection
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from tests.transport.peer import ANSWER, ASK, Peers, PeerTestCase
from txfluvio.config import ClientConfig, TlsConfig, TlsVersion
from txfluvio.errors import (
    CertificateExpired,
    CertificateNameMismatch,
    CertificateNotYetValid,
    CertificateUntrusted,
    ClientCertificateRefused,
    ClientCertificateRequired,
    ConnectFailed,
    Disconnected,
    FluvioError,
    HandshakeFailed,
    InvalidConfig,
    NotTls,
    TlsFailed,
)
from txfluvio.testing.server.certificates import SERVERS, Issued, authority, issue
from txfluvio.testing.server.tls import server_options
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.framing import frame

AUTHORITY = authority()
SERVER = issue(AUTHORITY, "fluvio.test", "*.fluvio.test", "10.0.0.1")
CLIENT = issue(AUTHORITY, common_name="client")


def with_names(der: bytes) -> Issued:
    """A certificate like the server's, with these bytes for the names it is for."""
    like = SERVER.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(like.subject)
        .issuer_name(like.issuer)
        .public_key(like.public_key())
        .serial_number(like.serial_number)
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
        .add_extension(x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, der), False)
    )
    return Issued(builder.sign(AUTHORITY.key, hashes.SHA256()), SERVER.key)


@implementer(IOpenSSLServerConnectionCreator)
class Listening:
    """A server's side that notes which names clients ask for."""

    def __init__(self, options: CertificateOptions) -> None:
        self._options = options
        self.connections: list[Connection] = []

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        self.connections.append(Connection(self._options.getContext(), None))
        return self.connections[-1]


class TlsTestCase(PeerTestCase):
    def serve(
        self,
        certificate: Issued = SERVER,
        *,
        to: Factory | None = None,
        host: str = "tls",
        **options: Any,
    ) -> None:
        """Listen at ``tls:9005``, or at another host's port 9005."""
        self.listening = Listening(server_options(certificate, **options))
        self.peers = Peers()
        factory = TLSMemoryBIOFactory(self.listening, False, to or self.peers, clock=self.clock)
        self.network.listen(host, 9005, factory)

    def dial(
        self, server_name: str | None = "fluvio.test", **settings: Any
    ) -> Deferred[FluvioProtocol]:
        if "insecure_anonymous" not in settings:
            settings = {"ca_pem": AUTHORITY.pem} | settings
        return self.dial_with(TlsConfig(**settings), server_name)

    def dial_with(
        self, tls: TlsConfig | None, server_name: str | None = "fluvio.test", host: str = "tls"
    ) -> Deferred[FluvioProtocol]:
        return self.dial_by(self.dialer(tls), server_name, host)

    def dialer(self, tls: TlsConfig | None) -> MemoryDialer:
        config = ClientConfig(endpoint="sc:9003", tls=tls, handshake_timeout=5)
        return MemoryDialer(self.network, config, self.clock)

    def dial_by(
        self, dialer: MemoryDialer, server_name: str | None = "fluvio.test", host: str = "tls"
    ) -> Deferred[FluvioProtocol]:
        dialling = dialer.dial(host, 9005, server_name=server_name)
        self.clock.advance(0)
        return dialling

    def assert_refused(self, dialling: Deferred[Any], cls: type[FluvioError]) -> TlsFailed:
        failed = self.failureResultOf(dialling, cls).value
        assert isinstance(failed, TlsFailed)
        self.assertIs(type(failed), cls)
        self.assertFalse(failed.retriable)
        self.assertIsInstance(failed.__cause__, HandshakeFailed)
        self.assert_nothing_left()
        return failed

    def assert_nothing_left(self) -> None:
        self.clock.advance(0)
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SpeakingTests(TlsTestCase):
    def test_a_connection_over_tls_is_one_like_any_other(self) -> None:
        self.serve()
        protocol = self.successResultOf(self.dial())
        asking = protocol.request(ASK)
        self.clock.advance(0)
        self.peer.reply(ANSWER, 2)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(asking), ANSWER)
        closed = protocol.when_closed()
        protocol.close()
        self.clock.advance(0)
        self.assertIn("closed by this client", str(self.successResultOf(closed)))
        self.assert_nothing_left()

    def test_in_pieces_too(self) -> None:
        self.network.split = 1
        self.serve()
        self.assertTrue(self.successResultOf(self.dial()).usable)

    def test_the_end_of_a_connection_is_told_as_without_tls(self) -> None:
        self.serve()
        protocol = self.successResultOf(self.dial())
        asking = protocol.request(ASK)
        self.peer.transport.loseConnection()
        self.clock.advance(0)
        lost = self.failureResultOf(asking, Disconnected).value
        self.assertIn("the peer closed it", str(lost))

    def test_the_name_verified_is_sent(self) -> None:
        self.serve()
        self.successResultOf(self.dial("my-edge.fluvio.test"))
        self.assertEqual(self.listening.connections[0].get_servername(), b"my-edge.fluvio.test")

    def test_a_name_of_one_label_may_stand_beside_a_wildcard(self) -> None:
        self.serve(issue(AUTHORITY, "*.fluvio.test", "fluvio"))
        self.successResultOf(self.dial("fluvio"))

    def test_the_dot_that_ends_a_full_name_is_neither_verified_nor_sent(self) -> None:
        self.serve()
        self.successResultOf(self.dial("fluvio.test."))
        self.assertEqual(self.listening.connections[0].get_servername(), b"fluvio.test")

    def test_an_address_is_verified_and_not_sent(self) -> None:
        self.serve()
        self.successResultOf(self.dial("10.0.0.1"))
        self.assertIsNone(self.listening.connections[0].get_servername())

    def test_the_zone_of_an_address_is_in_no_certificate(self) -> None:
        self.serve(issue(AUTHORITY, "fe80::1"))
        self.successResultOf(self.dial("fe80::1%eth0"))

    def test_without_a_name_it_is_the_host(self) -> None:
        self.serve(issue(AUTHORITY, "tls"))
        self.successResultOf(self.dial(None))

    def test_the_host_that_is_dialled_is_the_one_that_is_verified(self) -> None:
        for host, name in (
            ("stra\xdfe.test", "xn--strae-oqa.test"),
            ("fluvio_sc", "fluvio_sc"),
        ):
            with self.subTest(host):
                self.serve(issue(AUTHORITY, name), host=name)
                self.successResultOf(self.dial_with(TlsConfig(ca_pem=AUTHORITY.pem), None, host))
                self.assertEqual(self.listening.connections[0].get_servername(), name.encode())

    def test_anonymous_verifies_nothing(self) -> None:
        self.serve(issue(authority("nobody knows"), "elsewhere.test", first_day=-9, last_day=-1))
        self.successResultOf(self.dial("fluvio.test", insecure_anonymous=True))
        self.assertEqual(self.listening.connections[0].get_servername(), b"fluvio.test")

    def test_a_client_certificate_is_shown_where_it_is_demanded(self) -> None:
        self.serve(clients_of=AUTHORITY)
        self.successResultOf(self.dial(cert_pem=CLIENT.pem, key_pem=CLIENT.key_pem))
        shown = self.listening.connections[0].get_peer_certificate()
        assert shown is not None
        self.assertEqual(shown.to_cryptography(), CLIENT.certificate)

    def test_files_are_read_when_they_are_needed_first(self) -> None:
        self.serve(clients_of=AUTHORITY)
        with tempfile.TemporaryDirectory() as directory:
            paths: dict[str, Any] = {}
            for name, pem in (
                ("ca_file", AUTHORITY.pem),
                ("cert_file", CLIENT.pem),
                ("key_file", CLIENT.key_pem),
            ):
                paths[name] = pathlib.Path(directory, name)
                paths[name].write_bytes(pem)
            self.successResultOf(self.dial_with(TlsConfig(**paths)))

    def test_a_file_that_has_changed_is_read_again(self) -> None:
        self.serve()
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "ca.pem")
            path.write_bytes(authority("nobody knows").pem)
            dialer = self.dialer(TlsConfig(ca_file=path))
            self.assert_refused(self.dial_by(dialer), CertificateUntrusted)
            path.write_bytes(AUTHORITY.pem)
            self.successResultOf(self.dial_by(dialer))

    def test_while_it_holds_nothing_useful_what_was_read_before_counts(self) -> None:
        self.serve()
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "ca.pem")
            path.write_bytes(AUTHORITY.pem)
            dialer = self.dialer(TlsConfig(ca_file=path))
            self.successResultOf(self.dial_by(dialer))
            path.write_bytes(AUTHORITY.pem[:100])
            self.successResultOf(self.dial_by(dialer))
            path.unlink()
            self.successResultOf(self.dial_by(dialer))
            path.write_bytes(authority("nobody knows").pem)
            self.failureResultOf(self.dial_by(dialer), CertificateUntrusted)

    def test_the_oldest_version_accepted_can_be_set(self) -> None:
        self.serve()
        self.successResultOf(self.dial(minimum_version=TlsVersion.TLS_1_3))
        version = self.listening.connections[0].get_protocol_version_name()
        self.assertEqual(version, "TLSv1.3")


class ServerCertificateTests(TlsTestCase):
    def test_one_that_has_expired(self) -> None:
        self.serve(issue(AUTHORITY, "fluvio.test", first_day=-9, last_day=-1))
        failed = self.assert_refused(self.dial(), CertificateExpired)
        self.assertIn("the certificate of tls:9005 (for fluvio.test) has expired", str(failed))

    def test_one_that_is_not_valid_yet(self) -> None:
        self.serve(issue(AUTHORITY, "fluvio.test", first_day=1))
        self.assert_refused(self.dial(), CertificateNotYetValid)

    def test_one_for_other_names(self) -> None:
        self.serve()
        failed = self.assert_refused(self.dial("nope.test"), CertificateNameMismatch)
        self.assertEqual(failed.names, ("fluvio.test", "*.fluvio.test", "10.0.0.1"))
        self.assertIn("is for fluvio.test, *.fluvio.test, 10.0.0.1, not for nope.test", str(failed))

    def test_a_wildcard_stands_for_one_label(self) -> None:
        self.serve()
        self.assert_refused(self.dial("a.b.fluvio.test"), CertificateNameMismatch)

    def test_a_wildcard_stands_for_no_name_of_one_label(self) -> None:
        self.serve(issue(AUTHORITY, "*.fluvio.test"))
        self.assert_refused(self.dial("fluvio"), CertificateNameMismatch)

    def test_one_for_another_address(self) -> None:
        self.serve()
        self.assert_refused(self.dial("10.0.0.2"), CertificateNameMismatch)

    def test_one_with_a_common_name_only(self) -> None:
        self.serve(issue(AUTHORITY))
        failed = self.assert_refused(self.dial(), CertificateNameMismatch)
        self.assertEqual(failed.names, ("a subject",))

    def test_one_of_an_authority_that_is_not_trusted(self) -> None:
        self.serve(issue(authority("nobody knows"), "fluvio.test"))
        failed = self.assert_refused(self.dial(), CertificateUntrusted)
        self.assertIn("its issuer is not among the authorities", str(failed))

    def test_one_of_an_authority_below_another_that_is_trusted_itself(self) -> None:
        below = authority("below", by=AUTHORITY)
        self.serve(issue(below, "fluvio.test"))
        self.successResultOf(self.dial(ca_pem=below.pem))

    def test_one_that_is_trusted_itself(self) -> None:
        self.serve()
        self.successResultOf(self.dial(ca_pem=SERVER.pem))

    def test_one_that_is_trusted_itself_has_to_be_for_the_name_too(self) -> None:
        self.serve()
        self.assert_refused(self.dial("nope.test", ca_pem=SERVER.pem), CertificateNameMismatch)

    def test_one_by_the_key_that_signed_what_is_trusted(self) -> None:
        self.serve()
        other = issue(AUTHORITY, "fluvio.test")
        self.assert_refused(self.dial(ca_pem=other.pem), CertificateUntrusted)

    def test_one_that_the_systems_authorities_do_not_know(self) -> None:
        self.serve()
        self.assert_refused(self.dial_with(TlsConfig()), CertificateUntrusted)

    def test_one_that_signed_itself(self) -> None:
        self.serve(authority("itself"))
        self.assert_refused(self.dial(), CertificateUntrusted)

    def test_one_whose_authority_is_the_trouble(self) -> None:
        old = authority("old", first_day=-9, last_day=-1)
        self.serve(issue(old, "fluvio.test"))
        failed = self.assert_refused(self.dial(ca_pem=old.pem), CertificateExpired)
        self.assertEqual(failed.names, ())
        self.assertIn("the certificate of tls:9005 has expired: in its chain, old:", str(failed))

    def test_one_with_names_of_a_kind_that_nobody_reads(self) -> None:
        self.serve(with_names(bytes.fromhex("3002 a300")))
        failed = self.assert_refused(self.dial(), CertificateUntrusted)
        self.assertIn("it can not be read", failed.reason)

    def test_one_that_is_refused_anyhow_and_whose_names_nobody_reads(self) -> None:
        self.serve(with_names(bytes.fromhex("3002 a300")))
        self.assert_refused(self.dial_with(TlsConfig()), CertificateUntrusted)

    def test_nothing_is_sent_to_a_server_that_is_refused(self) -> None:
        self.serve(issue(AUTHORITY, "elsewhere.test"))
        self.assert_refused(self.dial(), CertificateNameMismatch)
        self.assertEqual(self.peer.headers, [])


class ClientCertificateTests(TlsTestCase):
    def test_one_is_demanded_and_none_is_configured(self) -> None:
        self.serve(clients_of=AUTHORITY)
        failed = self.assert_refused(self.dial(), ClientCertificateRequired)
        self.assertIn("set TlsConfig.cert_file and key_file", str(failed))

    def test_so_it_is_where_the_version_has_no_word_for_it(self) -> None:
        self.serve(clients_of=AUTHORITY, only=TlsVersion.TLS_1_2)
        failed = self.assert_refused(self.dial(), ClientCertificateRequired)
        self.assertIn("handshake failure", failed.reason)

    def test_the_same_word_without_that_demand_is_a_failure_of_tls(self) -> None:
        self.network.listen("tls", 9005, Saying(bytes.fromhex("15030300020228")))
        failed = self.assert_refused(self.dial(), TlsFailed)
        self.assertIn("handshake failure", failed.reason)

    def assert_client_refused(self, client: Issued) -> None:
        self.serve(clients_of=AUTHORITY)
        dialling = self.dial(cert_pem=client.pem, key_pem=client.key_pem)
        self.assert_refused(dialling, ClientCertificateRefused)

    def test_one_that_has_expired(self) -> None:
        self.assert_client_refused(issue(AUTHORITY, first_day=-9, last_day=-1))

    def test_one_of_an_authority_the_server_does_not_trust(self) -> None:
        self.assert_client_refused(issue(authority("nobody knows")))

    def test_one_that_is_for_servers(self) -> None:
        self.assert_client_refused(issue(AUTHORITY, usage=SERVERS))


class Saying(Factory):
    def __init__(self, words: bytes) -> None:
        self.words = words

    def buildProtocol(self, addr: object) -> Protocol:
        words = self.words

        class Speaker(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(words)

        return Speaker()


class NoTlsTests(TlsTestCase):
    def assert_may_pass(self, dialling: Deferred[Any]) -> str:
        """It fails with what may be tried again; the reason."""
        failed = self.failureResultOf(dialling, HandshakeFailed).value
        assert isinstance(failed, HandshakeFailed)
        self.assertTrue(failed.retriable)
        self.assert_nothing_left()
        return failed.reason

    def test_silence_may_be_that_of_a_plain_fluvio_port_or_pass(self) -> None:
        self.network.listen("tls", 9005, Saying(b""))
        dialling = self.dial()
        self.clock.advance(5)
        reason = self.assert_may_pass(dialling)
        self.assertIn("so does a plain Fluvio port", reason)
        self.assertIn("use its TLS port, or set no TLS", reason)

    def test_half_a_word_is_no_silence(self) -> None:
        self.network.listen("tls", 9005, Saying(b"\x16\x03\x03\x40"))
        dialling = self.dial()
        self.clock.advance(5)
        self.assertEqual(self.assert_may_pass(dialling), "no answer within 5 s")

    def test_a_server_in_trouble_may_be_tried_again(self) -> None:
        for name, alert, words in (
            ("internal_error", 80, "alert internal error"),
            ("user_canceled", 90, "alert user cancel"),
            ("bad_record_mac", 20, "bad record mac"),
        ):
            with self.subTest(name):
                self.setUp()
                self.network.listen("tls", 9005, Saying(b"\x15\3\3\0\2\2" + bytes([alert])))
                self.assertIn(words, self.assert_may_pass(self.dial()))

    def test_so_may_one_whose_bytes_were_damaged(self) -> None:
        self.serve()
        self.peers.greeting = None
        dialling = self.dial()
        over: Any = self.peer.transport
        over.transport.write(b"\x17\3\3\0\x20" + bytes(32))
        self.clock.advance(0)
        self.assertIn("bad record mac", self.assert_may_pass(dialling))

    def test_other_bytes_are_no_tls(self) -> None:
        for words in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\0\0\0\x0a" + bytes(10),
            b"SSH-2.0-x\n",
        ):
            with self.subTest(words):
                self.setUp()
                self.network.listen("tls", 9005, Saying(words))
                self.assert_refused(self.dial(), NotTls)

    def test_an_alert_is_tls_whatever_it_says(self) -> None:
        self.network.listen("tls", 9005, Saying(bytes.fromhex("1503030002020a")))
        failed = self.assert_refused(self.dial(), TlsFailed)
        self.assertIn("alert unexpected message", failed.reason)

    def test_so_is_the_end_of_tls_in_the_handshake(self) -> None:
        self.network.listen("tls", 9005, Saying(bytes.fromhex("15030300020100")))
        failed = self.assert_refused(self.dial(), TlsFailed)
        self.assertIn("the peer has ended TLS", failed.reason)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_silence_after_the_handshake_is_something_else(self) -> None:
        self.serve()
        self.peers.greeting = None
        dialling = self.dial()
        self.clock.advance(5)
        self.failureResultOf(dialling, HandshakeFailed)
        self.assert_nothing_left()

    def test_so_is_the_end_of_the_connection(self) -> None:
        self.serve()
        self.peers.greeting = None
        dialling = self.dial()
        self.peer.transport.loseConnection()
        self.clock.advance(0)
        failed = self.failureResultOf(dialling, HandshakeFailed).value
        self.assertTrue(failed.retriable)
        self.assertIn("the client's certificate has no common name", str(failed))

    def test_what_is_no_fluvio_over_tls_is_not_blamed_on_the_certificate(self) -> None:
        for words in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\n", frame(bytes(6))):
            with self.subTest(words):
                self.setUp()
                self.serve(to=Saying(words))
                failed = self.failureResultOf(self.dial(), HandshakeFailed).value
                self.assertNotIn("common name", str(failed))

    def test_a_server_that_goes_away_in_the_handshake_may_be_tried_again(self) -> None:
        self.network.listen("tls", 9005, Saying(b""))
        dialling = self.dial()
        self.link.reset()
        self.clock.advance(0)
        failed = self.failureResultOf(dialling, HandshakeFailed).value
        self.assertTrue(failed.retriable)

    def test_nobody_listens(self) -> None:
        self.failureResultOf(self.dial(), ConnectFailed)

    def test_versions_without_overlap_are_a_failure_of_tls(self) -> None:
        self.network.listen("tls", 9005, Saying(bytes.fromhex("15030300020246")))
        failed = self.assert_refused(self.dial(), TlsFailed)
        self.assertIn("alert protocol version", str(failed))

    def test_cancelling_in_the_handshake_leaves_nothing(self) -> None:
        self.network.listen("tls", 9005, Saying(b""))
        dialling = self.dial()
        dialling.cancel()
        self.network.pump()
        self.failureResultOf(dialling, CancelledError)
        self.assert_nothing_left()


class SettingsTests(TlsTestCase):
    def assert_invalid(self, setting: str, expected: str, **settings: Any) -> None:
        failed = self.failureResultOf(self.dial(**settings), InvalidConfig).value
        assert isinstance(failed, InvalidConfig)
        self.assertEqual(failed.setting, f"TlsConfig.{setting}")
        self.assertIn(expected, failed.expected)
        self.assertNotIn("BEGIN", str(failed))
        self.assertNotIn("'(not shown)'", str(failed))

    def test_authorities_that_are_none(self) -> None:
        self.assert_invalid("ca_pem", "at least one certificate", ca_pem=CLIENT.key_pem)

    def test_a_certificate_that_is_none(self) -> None:
        self.assert_invalid(
            "cert_pem", "at least one", cert_pem=CLIENT.key_pem, key_pem=CLIENT.key_pem
        )

    def test_a_key_that_is_none(self) -> None:
        self.assert_invalid("key_pem", "a private key", cert_pem=CLIENT.pem, key_pem=CLIENT.pem)

    def test_a_key_that_is_encrypted(self) -> None:
        key = CLIENT.key_as(BestAvailableEncryption(b"secret"))
        self.assert_invalid("key_pem", "not encrypted", cert_pem=CLIENT.pem, key_pem=key)

    def test_the_key_of_another_certificate(self) -> None:
        self.assert_invalid(
            "key_pem", "belongs to the certificate", cert_pem=CLIENT.pem, key_pem=SERVER.key_pem
        )

    def test_a_file_that_is_missing(self) -> None:
        self.assert_invalid("ca_file", "can be read", ca_pem=None, ca_file="/nowhere/ca.pem")

    def test_a_name_that_is_none(self) -> None:
        self.assert_invalid("server_name", "the name of a host", server_name="-" * 70 + ".test")
