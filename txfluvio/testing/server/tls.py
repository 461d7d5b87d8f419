"""TLS in front of the fake's servers, with certificates of its own, good and bad.

A :class:`FakeTls` makes an authority, a certificate for all servers of a cluster and one for a
client, serves with them, notes the names that clients ask for, and writes the files that peers in
other processes need. It behaves as the proxy in front of real servers does: one certificate
whatever name is asked for, a malformed name refused, and plain bytes answered with an alert. How
certificates are made is told in :mod:`.certificates`; what goes through the connection is
:mod:`.protocol`'s.
"""

from __future__ import annotations

import enum
import os
import re
from collections import deque
from pathlib import Path
from typing import Any, Final, cast

import attrs
from OpenSSL import SSL
from twisted.internet.abstract import isIPv6Address
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    trustRootFromCertificates,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from ...config import TlsConfig, TlsVersion
from ..spu_names import FIRST_SPU_ID, spu_name
from .certificates import CLIENTS, SERVERS, Issued, authority, issue
from .protocol import Server, ServerProtocol
from .tls_files import TlsFiles

DOMAIN: Final = "fluvio.test"
"""The name that certificates are for unless another is given."""

_NAMED_SPUS: Final = range(FIRST_SPU_ID, FIRST_SPU_ID + 100)

MAX_HELLOS = 1_000
"""How many clients' names are kept; the oldest go first."""


class Preset(enum.Enum):
    """What is wrong with a cluster's TLS, if anything; the values are for command lines."""

    GOOD = "good"
    """Nothing: the SC and every SPU can be verified."""
    EXPIRED = "expired"
    """The servers' certificate is past its end."""
    WRONG_NAME = "wrong-name"
    """The servers' certificate is for other names."""
    UNKNOWN_CA = "unknown-ca"
    """The servers' certificate comes from an authority that clients are not told of."""
    SC_ONLY = "sc-only"
    """The servers' certificate is for the SC's name and not for those of SPUs."""
    CLIENT_REQUIRED = "client-required"
    """Nothing, and clients have to show a certificate too."""


@attrs.frozen
class Hello:
    """How a client began.

    :ivar server: whom it wanted: ``SC``, or ``SPU`` and its id.
    :ivar connection: the number of the connection.
    :ivar server_name: the name it asked for (SNI), None if for none.
    """

    server: str
    connection: int
    server_name: str | None


class FakeTls:
    """TLS for one cluster. Making one makes the certificates.

    :param preset: what is wrong with it.
    :param domain: the SC's name; an SPU's is ``<name of the SPU>.<domain>``. Good certificates are
        for these, and for ``localhost``, 127.0.0.1 and ::1; of a domain without dots, for the
        first hundred SPUs, under the names they have if nobody gives them others.
    :param client_name: the common name in the client's certificate, by which a policy knows it;
        None: it has none.
    :param only: the one version of TLS to speak; None: 1.2 and 1.3.
    :ivar authority: the authority that clients are told of.
    :ivar server: the servers' certificate.
    :ivar client: the client's certificate.
    :ivar hellos: how clients began, oldest first, as far as it is kept.
    """

    def __init__(
        self,
        preset: Preset = Preset.GOOD,
        *,
        domain: str = DOMAIN,
        client_name: str | None = "client",
        only: TlsVersion | None = None,
    ) -> None:
        self.preset = preset
        self.domain = domain
        self.hellos: deque[Hello] = deque(maxlen=MAX_HELLOS)
        self.authority = authority("a fake Fluvio cluster")
        self.server = self._issue_server()
        self.client = issue(self.authority, common_name=client_name, usage=CLIENTS)
        clients_of = self.authority if preset is Preset.CLIENT_REQUIRED else None
        self._options = server_options(self.server, clients_of=clients_of, only=only)

    def client_config(self) -> TlsConfig:
        """The settings of a client that verifies the servers and shows its own certificate."""
        return TlsConfig(
            server_name=self.domain,
            ca_pem=self.authority.pem,
            cert_pem=self.client.pem,
            key_pem=self.client.key_pem,
        )

    def write(self, directory: str | os.PathLike[str]) -> TlsFiles:
        """Write ``ca.crt``, ``server.crt``, ``client.crt`` and the last two's ``.key``.

        The directory is made where it is missing; files that are there are replaced. Keys are
        readable by their owner only.
        """
        folder = Path(directory).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return TlsFiles(
            domain=self.domain,
            ca=_write(folder / "ca.crt", self.authority.pem),
            server_cert=_write(folder / "server.crt", self.server.pem),
            server_key=_write(folder / "server.key", self.server.key_pem, private=True),
            client_cert=_write(folder / "client.crt", self.client.pem),
            client_key=_write(folder / "client.key", self.client.key_pem, private=True),
        )

    def in_front_of(self, server: Server, clock: IReactorTime) -> IProtocolFactory:
        """What is to listen in a server's place."""
        inner = TLSMemoryBIOFactory(_Connections(self._options), False, server, clock=clock)
        inner.noisy = False
        return _Doormen(inner, self.hellos, server.name)

    def _issue_server(self) -> Issued:
        by, names, last_day = self.authority, [self.domain], 10
        if self.preset is not Preset.SC_ONLY:
            names += [*_names_of_spus(self.domain), "localhost", "127.0.0.1", "::1"]
        match self.preset:
            case Preset.EXPIRED:
                last_day = -1
            case Preset.WRONG_NAME:
                names = [f"elsewhere.{self.domain}.invalid"]
            case Preset.UNKNOWN_CA:
                by = authority("an authority nobody is told of")
        return issue(
            by, *names, common_name="a server", first_day=-9, last_day=last_day, usage=SERVERS
        )


def _names_of_spus(domain: str) -> list[str]:
    """What a certificate says to be for SPUs: a wildcard, where TLS libraries take one.

    They take none before a name without dots, such as ``*.localhost``.
    """
    if "." in domain.strip("."):
        return [f"*.{domain}"]
    return [f"{spu_name(spu_id)}.{domain}" for spu_id in _NAMED_SPUS]


def server_options(
    certificate: Issued, *, clients_of: Issued | None = None, only: TlsVersion | None = None
) -> CertificateOptions:
    """A server with this certificate.

    :param clients_of: demand of clients a certificate that this authority has signed.
    :param only: the one version of TLS to speak; None: 1.2 and 1.3.
    """
    trust = None
    if clients_of is not None:
        trust = trustRootFromCertificates([Certificate.loadPEM(clients_of.pem)])
    options = CertificateOptions(
        privateKey=certificate.key,  # type: ignore[arg-type]
        certificate=certificate.certificate,  # type: ignore[arg-type]
        trustRoot=trust,
    )
    if only is not None:
        # Older releases of Twisted leave out the newest version that they are asked for.
        options.getContext().set_min_proto_version(_VERSIONS[only])
        options.getContext().set_max_proto_version(_VERSIONS[only])
    if clients_of is not None:
        # Clients are told whose certificates are wanted, as real servers tell them.
        options.getContext().add_client_ca(clients_of.certificate)
    return options


_VERSIONS: Final = {
    TlsVersion.TLS_1_2: SSL.TLS1_2_VERSION,
    TlsVersion.TLS_1_3: SSL.TLS1_3_VERSION,
}


def _write(path: Path, content: bytes, *, private: bool = False) -> Path:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
    with open(descriptor, "wb") as file:
        file.write(content)
    return path


@implementer(IOpenSSLServerConnectionCreator)
@attrs.frozen
class _Connections:
    options: CertificateOptions

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self.options.getContext(), None)


# The doorman: looks at what a client says first, before TLS does

_HEADER: Final = 5
_LARGEST_RECORD: Final = 1 << 14
_HANDSHAKE: Final = b"\x16"
_FATAL: Final = b"\x15\x03\x03\x00\x02\x02"
_DECODE_ERROR: Final = _FATAL + b"\x32"
_ILLEGAL_PARAMETER: Final = _FATAL + b"\x2f"


class _Doormen(WrappingFactory):
    noisy = False

    def __init__(self, wrapped: TLSMemoryBIOFactory, hellos: deque[Hello], server: str) -> None:
        super().__init__(wrapped)
        self.protocol = _Doorman
        self.hellos = hellos
        self.server = server


class _Doorman(ProtocolWrapper):
    """Lets in who says a hello that real servers would understand.

    The first record is kept until it is whole, which it is by the largest size of a record.
    """

    def __init__(self, factory: _Doormen, wrapped: IProtocol) -> None:
        super().__init__(cast(Any, factory), wrapped)
        self._doormen = factory
        self._first: bytearray | None = bytearray()

    def dataReceived(self, data: bytes) -> None:
        if self._first is None:
            super().dataReceived(data)
            return
        self._first += data
        if not self._first.startswith(_HANDSHAKE):
            opening = bytes(self._first[:16])
            self._turn_away(_DECODE_ERROR, f"no TLS, on a port for TLS only: {opening!r}")
            return
        size = _HEADER + int.from_bytes(self._first[3:_HEADER], "big")
        if len(self._first) < size <= _HEADER + _LARGEST_RECORD:
            return
        first, self._first = bytes(self._first), None
        self._admit(first)

    def _admit(self, first: bytes) -> None:
        name = server_name(first)
        served = self._served()
        number = served.connection.number
        self._doormen.hellos.append(Hello(self._doormen.server, number, name))
        if name is None or is_host_name(name):
            super().dataReceived(first)
        else:
            self._turn_away(_ILLEGAL_PARAMETER, f"a malformed server name: {name!r}")

    def _turn_away(self, alert: bytes, why: str) -> None:
        self._served().complain(f"closed: {why}")
        self._first = bytearray()
        self.write(alert)
        self.loseConnection()

    def _served(self) -> ServerProtocol:
        tls = cast(TLSMemoryBIOProtocol, self.wrappedProtocol)
        return cast(ServerProtocol, tls.wrappedProtocol)


class _Cursor:
    """Reads the vectors of TLS, each with its length in front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    def __bool__(self) -> bool:
        return self._pos < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._pos : self._pos + size]
        if len(taken) < size:
            raise EOFError
        self._pos += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0


def server_name(record: bytes) -> str | None:
    """The host name a ClientHello asks for; None if it asks for none, or is no ClientHello."""
    try:
        message = _Cursor(record[_HEADER:])
        if message.number(1) != _CLIENT_HELLO:
            return None
        hello = _Cursor(message.vector(3))
        hello.take(2 + 32)
        for size_of_length in (1, 2, 1):
            hello.vector(size_of_length)
        extensions = _Cursor(hello.vector(2))
        while extensions:
            kind, content = extensions.number(2), _Cursor(extensions.vector(2))
            if kind == _SERVER_NAME:
                names = _Cursor(content.vector(2))
                names.take(1)
                return names.vector(2).decode("ascii", "backslashreplace")
    except EOFError:
        pass
    return None


_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)


def is_host_name(name: str) -> bool:
    """Whether real servers take it for a name: an address will do, a port behind it will not.

    No address of IPv6 will.
    """
    labels = name.removesuffix(".").split(".")
    return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def is_host(text: str) -> bool:
    """Whether others can know a host by it: a name, or an address of IPv4 or IPv6.

    A zone, as in ``fe80::1%eth0``, means something on one machine only.
    """
    return is_host_name(text) or (isIPv6Address(text) and "%" not in text)
