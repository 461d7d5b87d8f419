"""The server that benchmarks talk to: plain, or over TLS both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import server
from benchmarks.__main__ import options
from txfluvio.profile import load


def test_over_tls_clients_show_a_certificate() -> None:
    with server.fake(tls=True) as served:
        tls = load(Path(served.env["FLV_PROFILE_PATH"])).client_config().tls
        assert tls is not None
        assert tls.has_certificate
        assert b"PRIVATE KEY" in (tls.inline().key_pem or b"")


def test_a_real_cluster_speaks_what_its_profile_says() -> None:
    with pytest.raises(SystemExit):
        options(["--tls", "--profile-file", "config"])
