"""TLS for a connection, and what went wrong with it in words.

Twisted's own client options verify as much as this does, but tell of a refused certificate only
that it was refused. Here each attempt looks at the certificates itself while OpenSSL does, and so
can say which of them is expired, for other names, or of an unknown authority. What a server thinks
of the client's certificate comes as an alert; with TLS 1.3 only after the handshake.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity.cryptography import extract_patterns
from service_identity.exceptions import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, DNSPattern, IPAddress_ID, verify_service_identity
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from .._checks import NotShown
from ..config import TlsConfig, TlsVersion
from ..errors import (
    CertificateExpired,
    CertificateNameMismatch,
    CertificateNotYetValid,
    CertificateUntrusted,
    ClientCertificateRefused,
    ClientCertificateRequired,
    FluvioError,
    HandshakeFailed,
    InvalidConfig,
    NotTls,
    RequestTimedOut,
    TlsFailed,
)
from .factory import TooLate
from .names import ascii_name

_Refusal: TypeAlias = tuple[type[TlsFailed], str] | None

_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10

_VERIFICATION: Final = {
    2: "the certificate of its issuer is missing",
    7: "its signature is wrong",
    _NOT_YET_VALID: "it is not valid yet",
    _EXPIRED: "it is past its end",
    18: "it is signed by itself",
    19: "its chain ends in an authority that is not trusted",
    20: "its issuer is not among the authorities",
    21: "its chain can not be verified",
    23: "it is revoked",
    24: "one in its chain is not the certificate of an authority",
    26: "it is not meant for servers",
}
"""What OpenSSL's verification codes mean."""

_SPOKEN_PLAINLY: Final = (
    "wrong version number",
    "http request",
    "https proxy request",
    "packet length too long",
    "record layer failure",
    "unexpected message",
    "unknown protocol",
)
"""What OpenSSL says of a peer whose first bytes are no TLS."""

_MAY_PASS: Final = ("alert internal error", "alert user cancel", "bad record mac")
"""What OpenSSL says of a server that is in trouble, or of bytes that were damaged on their way."""

_ABOUT_CERTIFICATES: Final = (
    "alert bad certificate",
    "alert certificate expired",
    "alert certificate revoked",
    "alert certificate unknown",
    "alert no certificate",
    "alert unknown ca",
    "alert unsupported certificate",
)
"""What OpenSSL says of a peer that refuses the client's certificate."""

_SILENT: Final = (
    "it says nothing at all; so does a plain Fluvio port: if it is one, use its TLS port, or set no"
    " TLS"
)
"""What a server's silence may mean; one that is frozen is as silent."""

_HUNG_UP: Final = (
    "after TLS was set up; an SC does so if the client's certificate has no common name, or if it"
    " has itself only one of scopes and policy"
)
"""Why servers end a connection between the handshake of TLS and that of Fluvio."""


class Tls:
    """TLS as the settings ask for it, for any number of connections.

    Files that have changed, such as a certificate that was renewed, are read again for the next
    connection.

    :raises InvalidConfig: a file can not be read, or holds not what it should.
    """

    _log = Logger()

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._marks = _marks(config)
        self._options = _options(config)

    def attempt(self, server_name: str) -> TlsAttempt:
        """TLS for one connection.

        :param server_name: the name, or the address, the server's certificate has to be for.
        :raises InvalidConfig: it is neither.
        """
        self._renew()
        return TlsAttempt(self._options, self._config, _Identity.of(server_name))

    def _renew(self) -> None:
        """Read the files again if they have changed."""
        marks = _marks(self._config)
        if marks == self._marks:
            return
        try:
            self._options = _options(self._config)
        except InvalidConfig as error:
            # Perhaps the certificate is new and its key not yet: the next attempt looks again.
            self._log.warn("TLS goes on with what was read before: {error}", error=error)
        else:
            self._marks = marks


@attrs.frozen
class _Identity:
    """Who the server has to be."""

    name: str
    expected: DNS_ID | IPAddress_ID
    sent: bytes | None
    """What is sent as SNI: addresses are not."""

    @classmethod
    def of(cls, server_name: str) -> _Identity:
        # The dot that ends a full name is for resolvers: certificates and SNI are without it.
        name = server_name.removesuffix(".")
        try:
            ip_address(name)
        except ValueError:
            pass
        else:
            # The zone of an address means something here alone.
            return cls(name, IPAddress_ID(name.partition("%")[0]), None)
        try:
            encoded = ascii_name(name)
            return cls(name, DNS_ID(encoded), encoded.encode())
        except ValueError as error:
            setting = "TlsConfig.server_name"
            raise InvalidConfig(setting, server_name, "the name of a host") from error


class _Connection(SSL.Connection):
    """A connection that knows whether a byte has come."""

    heard = False

    def bio_write(self, buf: bytes) -> int:
        self.heard = True
        return super().bio_write(buf)

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except SSL.ZeroReturnError as error:
            # It has no arguments, of which Twisted takes the first.
            raise SSL.Error([("SSL routines", "", "the peer has ended TLS")]) from error


@implementer(IOpenSSLClientConnectionCreator)
class TlsAttempt:
    """TLS for one connection, and what was seen of the server's certificates."""

    def __init__(self, options: CertificateOptions, config: TlsConfig, identity: _Identity) -> None:
        self._options = options
        self._config = config
        self._identity = identity
        self._certificate: x509.Certificate | None = None
        self._refusal: _Refusal = None
        self._connection: _Connection | None = None

    def over(self, endpoint: IStreamClientEndpoint, clock: IReactorTime) -> IStreamClientEndpoint:
        """An endpoint that speaks TLS over another one."""
        return _TlsEndpoint(endpoint, self, clock)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = _Connection(self._options.getContext(), None)
        if self._identity.sent is not None:
            connection.set_tlsext_host_name(self._identity.sent)
        if self._config.anonymous:
            mode = SSL.VERIFY_NONE
        else:
            mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        connection.set_verify(mode, self._verify)
        self._connection = connection
        return connection

    def explain(self, error: HandshakeFailed) -> FluvioError:
        """What a failed handshake means, in view of what was seen."""
        address = error.address
        if self._refusal is not None:
            cls, reason = self._refusal
            return self._failure(cls, address, reason)
        complaint = _complaint(error)
        if complaint is None:
            return self._explain_end(error)
        if any(words in complaint for words in _MAY_PASS):
            return HandshakeFailed(address, f"in TLS: {complaint}")
        if "certificate required" in complaint or self._lacked_certificate(complaint):
            return self._failure(ClientCertificateRequired, address, complaint)
        if any(words in complaint for words in _ABOUT_CERTIFICATES):
            known = self._config.has_certificate
            cls = ClientCertificateRefused if known else ClientCertificateRequired
            return self._failure(cls, address, complaint)
        # Who sends an alert speaks TLS.
        plainly = self._certificate is None and "alert " not in complaint
        if plainly and any(words in complaint for words in _SPOKEN_PLAINLY):
            return self._failure(NotTls, address, complaint)
        return self._failure(TlsFailed, address, complaint)

    def _explain_end(self, error: HandshakeFailed) -> FluvioError:
        """What a failed handshake means of which OpenSSL says nothing."""
        if self._certificate is not None and _hung_up(error):
            return HandshakeFailed(error.address, f"{error.reason}, {_HUNG_UP}")
        silent = self._connection is not None and not self._connection.heard
        if silent and _timed_out(error):
            return HandshakeFailed(error.address, f"{error.reason}: {_SILENT}")
        return error

    def _lacked_certificate(self, complaint: str) -> bool:
        """Whether the server asked for a certificate, got none, and only said that it failed.

        TLS 1.2 has no alert for that; a server built on OpenSSL sends the general one.
        """
        if self._connection is None or self._config.has_certificate:
            return False
        return "alert handshake failure" in complaint and bool(
            self._connection.get_client_ca_list()
        )

    def _failure(self, cls: type[TlsFailed], address: str, reason: str) -> TlsFailed:
        names = () if self._certificate is None else _names(self._certificate)
        return cls(address, reason, server_name=self._identity.name, names=names)

    def _verify(
        self, connection: SSL.Connection, asked: crypto.X509, code: int, depth: int, ok: int
    ) -> bool:
        """OpenSSL's question for each certificate, from the authority's down to the server's."""
        try:
            certificate = asked.to_cryptography()
            if depth == 0:
                self._certificate = certificate
            if not self._config.anonymous:
                self._refusal = self._judge(certificate, code, depth, bool(ok))
        except Exception as error:
            # It is foreign bytes, and there are many ways in which these can be wrong.
            self._refusal = CertificateUntrusted, f"it can not be read: {error}"
        return self._refusal is None

    def _judge(self, certificate: x509.Certificate, code: int, depth: int, ok: bool) -> _Refusal:
        if not ok:
            reason = _VERIFICATION.get(code, f"OpenSSL gives the reason {code}")
            if depth > 0:
                reason = f"in its chain, {', '.join(_names(certificate))}: {reason}"
            return _refusals.get(code, CertificateUntrusted), reason
        if depth > 0:
            return None
        patterns = extract_patterns(certificate)
        # service_identity before 26.1 fails to compare wildcards with a name of one label.
        able = [one for one in patterns if "." in self._identity.name or not _is_wildcard(one)]
        if patterns and not able:
            return CertificateNameMismatch, "none of them matches"
        try:
            verify_service_identity(able, [self._identity.expected], [])
        except VerificationError:
            return CertificateNameMismatch, "none of them matches"
        except CertificateError as error:
            return CertificateNameMismatch, str(error)
        return None


def _is_wildcard(pattern: object) -> bool:
    return isinstance(pattern, DNSPattern) and b"*" in pattern.pattern


_refusals: Final[dict[int, type[TlsFailed]]] = {
    _EXPIRED: CertificateExpired,
    _NOT_YET_VALID: CertificateNotYetValid,
}


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _TlsEndpoint:
    below: IStreamClientEndpoint
    attempt: TlsAttempt
    clock: IReactorTime

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        # Given no clock, the wrapper takes the global reactor for its small delayed writes.
        factory = TLSMemoryBIOFactory(self.attempt, True, protocolFactory, clock=self.clock)
        connecting: Deferred[Any] = self.below.connect(factory)
        return connecting.addCallback(_unwrapped)


def _unwrapped(wrapper: ProtocolWrapper) -> IProtocol:
    return wrapper.wrappedProtocol


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _complaint(error: BaseException) -> str | None:
    """What OpenSSL had to say, if it was the cause."""
    for cause in _causes(error):
        if isinstance(cause, SSL.Error):
            queue = cause.args[0] if cause.args and isinstance(cause.args[0], list) else []
            return ", ".join(str(entry[-1]) for entry in queue) or "OpenSSL gives no reason"
    return None


def _timed_out(error: BaseException) -> bool:
    return any(isinstance(cause, RequestTimedOut | TooLate) for cause in _causes(error))


def _hung_up(error: BaseException) -> bool:
    """Whether the server has ended the connection, and not because of what we said of its bytes."""
    return any(isinstance(cause, ConnectionDone | ConnectionLost) for cause in _causes(error))


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names a certificate is for, where they can be read; lacking these, its common names."""
    names: list[str] = []
    with contextlib.suppress(Exception):
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += found.get_values_for_type(x509.DNSName)
        names += map(str, found.get_values_for_type(x509.IPAddress))
    if not names:
        with contextlib.suppress(Exception):
            common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            names += (str(name.value) for name in common)
    return tuple(names)


# The settings as OpenSSL takes them


def _marks(config: TlsConfig) -> list[tuple[int, ...] | None]:
    """By what a file is known to be the one that was read; None: it is not there."""
    marks: list[tuple[int, ...] | None] = []
    for path in filter(None, (config.ca_file, config.cert_file, config.key_file)):
        try:
            found = os.stat(path)
        except OSError:
            marks.append(None)
        else:
            marks.append((found.st_ino, found.st_size, found.st_mtime_ns))
    return marks


def _options(config: TlsConfig) -> CertificateOptions:
    """Reads the files, and lets OpenSSL take what is in them."""
    read = config.inline()
    arguments: dict[str, Any] = {
        "raiseMinimumTo": {
            TlsVersion.TLS_1_2: TLSVersion.TLSv1_2,
            TlsVersion.TLS_1_3: TLSVersion.TLSv1_3,
        }[config.minimum_version]
    }
    if read.ca_pem is not None:
        with _expected(config, "ca", "at least one certificate"):
            authorities = [
                Certificate(crypto.X509.from_cryptography(authority))
                for authority in x509.load_pem_x509_certificates(read.ca_pem)
            ]
        arguments["trustRoot"] = trustRootFromCertificates(authorities)
    elif not config.anonymous:
        arguments["trustRoot"] = platformTrust()
    if read.cert_pem is not None and read.key_pem is not None:
        with _expected(config, "cert", "at least one certificate"):
            first, *chain = x509.load_pem_x509_certificates(read.cert_pem)
        with _expected(config, "key", "a private key, not encrypted"):
            key = load_pem_private_key(read.key_pem, None)
        arguments |= {"certificate": first, "extraCertChain": chain, "privateKey": key}
    options = CertificateOptions(**arguments)
    with _expected(config, "key", "the key that belongs to the certificate"):
        context = options.getContext()
    if read.ca_pem is not None:
        # Who is named is believed, also where somebody above signed for it.
        context.get_cert_store().set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    return options


@contextlib.contextmanager
def _expected(config: TlsConfig, part: str, expected: str) -> Iterator[None]:
    """Name the setting in whose file or text something else was found."""
    try:
        yield
    except (ValueError, TypeError, UnsupportedAlgorithm, SSL.Error) as error:
        path = getattr(config, f"{part}_file")
        source = "pem" if path is None else "file"
        setting = f"TlsConfig.{part}_{source}"
        raise InvalidConfig(setting, NotShown() if path is None else path, expected) from error
