"""Certificates made on the spot: authorities, and what they sign, good or bad.

Nothing here listens or speaks TLS (:mod:`.tls` does), and nothing is for production: keys are made
for one run and stand unencrypted in memory. Made with ``cryptography``. Dates count from the clock
of the machine, since that is the one TLS libraries look at.
"""

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

CLIENTS, SERVERS = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
"""What a certificate can be for."""

_DAY = datetime.timedelta(days=1)


@attrs.frozen
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = attrs.field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, PKCS#8, not encrypted."""
        return self.key_as(NoEncryption())

    def key_as(self, encryption: KeySerializationEncryption) -> bytes:
        """The key, PKCS#8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def authority(
    name: str = "an authority",
    *,
    by: Issued | None = None,
    first_day: int = 0,
    last_day: int = 10,
) -> Issued:
    """A certificate that signs others, valid from one day to another, counted from now.

    :param by: the authority above it; None: there is none, it has signed itself.
    """
    extensions = (
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_key_usage(signs_certificates=True), True),
    )
    return _issue(by, name, first_day, last_day, extensions)


def issue(
    by: Issued,
    *names: str,
    common_name: str | None = "a subject",
    first_day: int = -1,
    last_day: int = 10,
    usage: x509.ObjectIdentifier | None = None,
) -> Issued:
    """A certificate for names and addresses, valid from one day to another, counted from now.

    :param by: the authority.
    :param names: host names, which may begin with ``*.``, and addresses.
    :param common_name: how it is called, which for a server means nothing; None: not at all.
    :param usage: :data:`CLIENTS` or :data:`SERVERS`; None: anything.
    """
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
    ]
    if names:
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        extensions.append((alternatives, common_name is None))
    if usage is not None:
        extensions.append((x509.ExtendedKeyUsage([usage]), False))
    return _issue(by, common_name, first_day, last_day, extensions)


def common_name(certificate: x509.Certificate) -> str:
    """How a certificate is called, by which the SC knows a client; empty if it is not called."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _name(common_name: str | None) -> x509.Name:
    if common_name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issue(
    by: Issued | None,
    common_name: str | None,
    first_day: int,
    last_day: int,
    extensions: Any,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    signing = key if by is None else by.key
    subject = _name(common_name)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + first_day * _DAY)
        .not_valid_after(now + last_day * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(signing, hashes.SHA256()), key)
