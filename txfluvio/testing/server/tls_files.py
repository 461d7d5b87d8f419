"""The files that a client needs for the TLS of a fake cluster, whoever runs it.

A :class:`~txfluvio.testing.server.tls.FakeTls` writes them, and ``fluvio-broker`` says where they
are. There is no Twisted here, for the sake of those who read them without one.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from ...config import TlsConfig


@attrs.frozen
class TlsFiles:
    """Where the certificates and keys were written.

    :ivar domain: the SC's name in the servers' certificate.
    """

    domain: str
    ca: Path = attrs.field(converter=Path)
    server_cert: Path = attrs.field(converter=Path)
    server_key: Path = attrs.field(converter=Path)
    client_cert: Path = attrs.field(converter=Path)
    client_key: Path = attrs.field(converter=Path)

    def client_config(self) -> TlsConfig:
        """The settings of a client that reads these files: verified, with its own certificate."""
        return TlsConfig(
            server_name=self.domain,
            ca_file=self.ca,
            cert_file=self.client_cert,
            key_file=self.client_key,
        )
