"""Certificates made for a test: authorities, servers and clients, good and bad."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    trustRootFromCertificates,
)

DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@attrs.frozen
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key_as(NoEncryption())

    def key_as(self, encryption: KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    def server(self, *, clients_of: Issued | None = None) -> CertificateOptions:
        """A server with this certificate, which may demand certificates of its clients."""
        trust = None
        if clients_of is not None:
            trust = trustRootFromCertificates([Certificate.loadPEM(clients_of.pem)])
        own: Any = self
        return CertificateOptions(privateKey=own.key, certificate=own.certificate, trustRoot=trust)


def authority(name: str = "an authority") -> Issued:
    """A certificate that signs others."""
    return _issue(_name(name), None, 0, 10, x509.BasicConstraints(ca=True, path_length=None))


def issue(
    by: Issued,
    *names: str,
    first_day: int = -1,
    last_day: int = 10,
    usage: x509.ObjectIdentifier | None = None,
) -> Issued:
    """A certificate for names and addresses, valid from one day to another, counted from now."""
    extensions: list[x509.ExtensionType] = []
    if names:
        extensions.append(x509.SubjectAlternativeName([_general(name) for name in names]))
    if usage is not None:
        extensions.append(x509.ExtendedKeyUsage([usage]))
    return _issue(_name("a subject"), by, first_day, last_day, *extensions)


CLIENTS, SERVERS = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def _issue(
    subject: x509.Name,
    by: Issued | None,
    first_day: int,
    last_day: int,
    *extensions: x509.ExtensionType,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + first_day * DAY)
        .not_valid_after(now + last_day * DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signing = key if by is None else by.key
    return Issued(builder.sign(signing, hashes.SHA256()), key)
