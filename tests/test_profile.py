"""The profile file: what is read from it, what is said of a wrong one, and how it is added to."""

from __future__ import annotations

import os
import pwd
import stat
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from txfluvio.config import ClientConfig, TlsConfig
from txfluvio.errors import InvalidConfig, InvalidProfile
from txfluvio.profile import add_cluster, default_path, load

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"

OFFICIAL = """\
version = "2.0"
current_profile = "alpha"
client_id = "from the file"

[profile.alpha]
cluster = "alpha"

[profile.other]
cluster = "beta"
topic = "unused"

[cluster.alpha]
endpoint = "127.0.0.1:9802"
use_spu_local_address = false

[cluster.alpha.tls]
tls_policy = "disabled"

[cluster.alpha.metadata]
installation = "k8"

[cluster.beta]
addr = "sc.example.net:9003"
use_spu_local_address = true

[cluster.beta.tls]
tls_policy = "verified"
tls_source = "files"

[cluster.beta.tls.certs]
domain = "example.net"
key = "/etc/fluvio/client.key"
cert = "/etc/fluvio/client.crt"
ca_cert = "/etc/fluvio/ca.crt"
"""
"""As the official command line client writes it, in its order."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def with_tls(tls: str) -> str:
    """A file with one cluster, ``a``, and these lines in and after ``[cluster.a.tls]``."""
    return (
        'version = "2.0"\ncurrent_profile = "a"\n[profile.a]\ncluster = "a"\n'
        f'[cluster.a]\nendpoint = "h:1"\n[cluster.a.tls]\n{tls}'
    )


class TestFinding:
    def test_the_environment_names_the_file(self) -> None:
        assert default_path({"FLV_PROFILE_PATH": "/some/file"}) == Path("/some/file")

    def test_else_it_is_in_the_home(self) -> None:
        assert default_path({}) == Path.home() / ".fluvio" / "config"
        assert default_path({"FLV_PROFILE_PATH": ""}) == Path.home() / ".fluvio" / "config"

    def test_without_a_home_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody(uid: int) -> None:
            raise KeyError(uid)

        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(pwd, "getpwuid", nobody)
        with pytest.raises(InvalidProfile, match=r"no home directory.*FLV_PROFILE_PATH"):
            default_path({})

    def test_from_profile_looks_where_the_environment_says(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLV_PROFILE_PATH", str(written(path, OFFICIAL)))
        assert ClientConfig.from_profile().endpoint == "127.0.0.1:9802"

    def test_a_path_given_wins(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLV_PROFILE_PATH", "/nowhere")
        config = ClientConfig.from_profile(path=written(path, OFFICIAL))
        assert config.endpoint == "127.0.0.1:9802"


class TestReading:
    def test_the_current_profile(self, path: Path) -> None:
        config = load(written(path, OFFICIAL)).client_config()
        assert config == ClientConfig(endpoint="127.0.0.1:9802", client_id="from the file")

    def test_a_profile_by_name_may_have_a_cluster_of_another_name(self, path: Path) -> None:
        config = ClientConfig.from_profile("other", written(path, OFFICIAL))
        assert config == ClientConfig(
            endpoint="sc.example.net:9003",
            use_spu_local_address=True,
            client_id="from the file",
            tls=TlsConfig(
                server_name="example.net",
                ca_file="/etc/fluvio/ca.crt",
                cert_file="/etc/fluvio/client.crt",
                key_file="/etc/fluvio/client.key",
            ),
        )

    def test_the_mark_with_which_some_editors_begin_a_file_is_no_part_of_it(
        self, path: Path
    ) -> None:
        path.write_text(OFFICIAL, encoding="utf-8-sig")
        assert load(path).client_config().endpoint == "127.0.0.1:9802"

    @pytest.mark.parametrize("path", ["/etc/x\0", "\ud800"])
    def test_a_path_that_no_file_can_have(self, path: str) -> None:
        with pytest.raises(InvalidProfile, match="is the path of no file"):
            load(path)

    def test_a_file_without_a_client_id_leaves_the_default(self, path: Path) -> None:
        config = load(written(path, with_tls('tls_policy = "disabled"'))).client_config()
        assert config.client_id == "txfluvio"

    def test_metadata_is_kept(self, path: Path) -> None:
        assert load(written(path, OFFICIAL)).cluster().metadata == {"installation": "k8"}

    def test_what_there_is(self, path: Path) -> None:
        file = load(written(path, OFFICIAL))
        assert file.path == path
        assert file.current == "alpha"
        assert dict(file.profiles) == {"alpha": "alpha", "other": "beta"}
        assert file.clusters == ("alpha", "beta")

    def test_both_maps_may_be_empty(self, path: Path) -> None:
        file = load(written(path, 'version = "1.0"\n[profile]\n[cluster]\n'))
        assert (file.current, dict(file.profiles), file.clusters) == (None, {}, ())

    def test_a_cluster_nobody_asks_for_does_no_harm(self, path: Path) -> None:
        text = OFFICIAL + "\n[cluster.broken]\nendpoint = 5\n"
        assert load(written(path, text)).client_config().endpoint == "127.0.0.1:9802"


class TestTlsPolicies:
    def read(self, path: Path, tls: str) -> TlsConfig | None:
        return load(written(path, with_tls(tls))).cluster().tls

    @pytest.mark.parametrize("policy", ["disabled", "disable"])
    def test_disabled(self, path: Path, policy: str) -> None:
        assert self.read(path, f'tls_policy = "{policy}"') is None

    def test_no_table_is_disabled(self, path: Path) -> None:
        text = with_tls("").replace("[cluster.a.tls]\n", "")
        assert load(written(path, text)).cluster().tls is None

    def test_anonymous(self, path: Path) -> None:
        assert self.read(path, 'tls_policy = "anonymous"') == TlsConfig.insecure_anonymous()

    @pytest.mark.parametrize("policy", ["verified", "verify"])
    @pytest.mark.parametrize("source", ["files", "file"])
    def test_verified_by_files(self, path: Path, policy: str, source: str) -> None:
        tls = self.read(
            path,
            f'tls_policy = "{policy}"\ntls_source = "{source}"\n[cluster.a.tls.certs]\n'
            'domain = "a.test"\nkey = "k"\ncert = "c"\nca_cert = "ca"\n',
        )
        assert tls == TlsConfig(server_name="a.test", key_file="k", cert_file="c", ca_file="ca")

    def test_verified_by_texts(self, path: Path) -> None:
        tls = self.read(
            path,
            'tls_policy = "verified"\ntls_source = "inline"\n[cluster.a.tls.certs]\n'
            f'domain = "a.test"\nkey = """{KEY}"""\ncert = """{CERTIFICATE}"""\n'
            f'ca_cert = """{CERTIFICATE}"""\n',
        )
        assert tls == TlsConfig(
            server_name="a.test", key_pem=KEY, cert_pem=CERTIFICATE, ca_pem=CERTIFICATE
        )

    def test_verified_without_a_client_certificate(self, path: Path) -> None:
        tls = self.read(
            path,
            'tls_policy = "verified"\ntls_source = "files"\n'
            '[cluster.a.tls.certs]\ndomain = "a.test"\nca_cert = "ca"\n',
        )
        assert tls == TlsConfig(server_name="a.test", ca_file="ca")

    def test_verified_by_the_system_s_authorities(self, path: Path) -> None:
        assert self.read(path, 'tls_policy = "verified"') == TlsConfig()


WRONG: dict[str, tuple[str, str, str]] = {
    "no TOML": ("version = ", "", "is not TOML"),
    "a key twice": ('version = "2"\nversion = "2"', "", "is not TOML"),
    "no version": ("[profile]\n[cluster]", "version", 'missing: expected a string such as "2.0"'),
    "version is no string": (
        "version = 2\n[profile]\n[cluster]",
        "version",
        "is of type int: expected a string",
    ),
    "no profiles": ('version = "2"\n[cluster]', "profile", r"the tables [profile.NAME]"),
    "no clusters": ('version = "2"\n[profile]', "cluster", r"the tables [cluster.NAME]"),
    "profiles are no table": (
        'version = "2"\nprofile = 1\n[cluster]',
        "profile",
        "expected a table",
    ),
    "a profile without cluster": (
        'version = "2"\n[profile.a]\n[cluster]',
        "profile.a.cluster",
        "a cluster's name",
    ),
    "no current profile": (
        'version = "2"\n[profile.a]\ncluster = "a"\n[profile.b]\ncluster = "a"\n[cluster]',
        "current_profile",
        "missing: expected the name of a profile, a or b",
    ),
    "no profiles to choose from": (
        'version = "2"\n[profile]\n[cluster]',
        "current_profile",
        "but the file has none",
    ),
    "a dangling current profile": (
        'version = "2"\ncurrent_profile = "x"\n[profile.a]\ncluster = "a"\n[cluster]',
        "current_profile",
        "there is no profile 'x': expected a",
    ),
    "a dangling cluster": (
        'version = "2"\ncurrent_profile = "a"\n[profile.a]\ncluster = "x"\n[cluster.b]',
        "profile.a.cluster",
        "there is no cluster 'x': expected a cluster of the file, b",
    ),
    "no endpoint": (
        'version = "2"\ncurrent_profile = "a"\n[profile.a]\ncluster = "a"\n[cluster.a]',
        "cluster.a.endpoint",
        "missing: expected host:port",
    ),
    "an endpoint without a port": (
        with_tls("").replace("h:1", "localhost"),
        "cluster.a.endpoint",
        "is 'localhost': expected host:port",
    ),
    "endpoint and its alias": (
        with_tls("").replace('endpoint = "h:1"', 'endpoint = "h:1"\naddr = "h:2"'),
        "cluster.a.addr",
        "another name for endpoint",
    ),
    "a flag that is a text": (
        with_tls("").replace("[cluster.a.tls]", 'use_spu_local_address = "true"'),
        "cluster.a.use_spu_local_address",
        "is of type str: expected true or false",
    ),
    "a client id that is too long": (
        f'client_id = "{"x" * 40_000}"\n' + with_tls('tls_policy = "disabled"'),
        "client_id",
        "32767",
    ),
    "no policy": (
        with_tls(""),
        "cluster.a.tls.tls_policy",
        "missing: expected disabled or disable or anonymous or verified or verify",
    ),
    "a policy in another letter case": (
        with_tls('tls_policy = "Verified"'),
        "cluster.a.tls.tls_policy",
        "is 'Verified': expected disabled",
    ),
    "certificates without their source": (
        with_tls('tls_policy = "verified"\n[cluster.a.tls.certs]\nca_cert = "ca"'),
        "cluster.a.tls.tls_source",
        "missing: expected files or file or inline",
    ),
    "a source nobody knows": (
        with_tls('tls_policy = "verified"\ntls_source = "url"\n[cluster.a.tls.certs]\ncert = "c"'),
        "cluster.a.tls.tls_source",
        "is 'url'",
    ),
    "a source nobody knows, of nothing": (
        with_tls('tls_policy = "verified"\ntls_source = "url"'),
        "cluster.a.tls.tls_source",
        "is 'url'",
    ),
    "a certificate without its key": (
        with_tls(
            'tls_policy = "verified"\ntls_source = "files"\n[cluster.a.tls.certs]\ncert = "c"'
        ),
        "cluster.a.tls.certs.key",
        "a key beside cert",
    ),
    "a path where PEM should be": (
        with_tls(
            'tls_policy = "verified"\ntls_source = "inline"\n'
            '[cluster.a.tls.certs]\nca_cert = "/etc/ca.crt"'
        ),
        "cluster.a.tls.certs.ca_cert",
        "expected PEM text",
    ),
    "a domain with a port": (
        with_tls('tls_policy = "verified"\n[cluster.a.tls.certs]\ndomain = "a.test:9003"'),
        "cluster.a.tls.certs.domain",
        "a host name, without a port",
    ),
    "texts for files": (
        with_tls(
            'tls_policy = "verified"\ntls_source = "files"\n[cluster.a.tls.certs]\n'
            f'ca_cert = """{CERTIFICATE}"""'
        ),
        "cluster.a.tls.certs.ca_cert",
        'the path of a file; with tls_source = "inline", PEM text',
    ),
}


@pytest.mark.parametrize(("text", "key", "reason"), WRONG.values(), ids=WRONG)
def test_an_error_says_the_file_the_key_and_what_was_expected(
    path: Path, text: str, key: str, reason: str
) -> None:
    with pytest.raises(InvalidProfile) as caught:
        load(written(path, text)).client_config()
    assert caught.value.path == str(path)
    assert caught.value.key == key
    assert reason in caught.value.reason


def test_an_unknown_profile_by_name(path: Path) -> None:
    with pytest.raises(InvalidProfile, match="there is no profile 'x': expected alpha or other"):
        load(written(path, OFFICIAL)).client_config("x")


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(InvalidProfile, match=r"config: there is no such file.*FLV_PROFILE_PATH"):
        load(path)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match="can not be read"):
        load(tmp_path)


def test_a_file_that_is_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidProfile, match="not UTF-8"):
        load(path)


@pytest.mark.parametrize("value", ["[" * 3000 + "]" * 3000, "1" * 5000], ids=["deep", "long"])
def test_a_file_that_python_does_not_read(path: Path, value: str) -> None:
    with pytest.raises(InvalidProfile, match="is not TOML"):
        load(written(path, f"a = {value}\n{OFFICIAL}"))


@pytest.mark.parametrize(
    ("source", "key"),
    [("inline", '["hunter2"]'), ("inline", '"hunter2"'), ("files", f'"""{KEY}"""')],
)
def test_a_secret_is_not_shown_in_an_error(path: Path, source: str, key: str) -> None:
    text = with_tls(
        f'tls_policy = "verified"\ntls_source = "{source}"\n[cluster.a.tls.certs]\n'
        f'cert = """{CERTIFICATE}"""\nkey = {key}\n'
    )
    with pytest.raises(InvalidProfile) as caught:
        load(written(path, text)).client_config()
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "hunter2" not in f"{chain} {chain!r}"
        chain = chain.__cause__


MUTUAL = TlsConfig(server_name="a.test", key_file="k", cert_file="c", ca_file="ca")


class TestAddingToNothing:
    def test_makes_a_file_as_the_official_client_writes_it(self, path: Path) -> None:
        add_cluster(path, "fake", "127.0.0.1:4000")
        assert path.read_text() == (
            'version = "2.0"\ncurrent_profile = "fake"\n\n'
            '[profile.fake]\ncluster = "fake"\n\n'
            '[cluster.fake]\nendpoint = "127.0.0.1:4000"\nuse_spu_local_address = false\n\n'
            '[cluster.fake.tls]\ntls_policy = "disabled"\n'
        )

    def test_the_file_is_for_its_owner_only(self, path: Path) -> None:
        add_cluster(path, "fake", "127.0.0.1:4000")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_makes_the_directory(self, tmp_path: Path) -> None:
        add_cluster(tmp_path / "a" / "b" / "config", "fake", "127.0.0.1:4000")
        assert load(tmp_path / "a" / "b" / "config").current == "fake"

    def test_an_empty_file_is_as_good_as_none(self, path: Path) -> None:
        add_cluster(written(path, ""), "fake", "127.0.0.1:4000")
        assert load(path).current == "fake"

    @pytest.mark.parametrize(
        "tls",
        [
            None,
            TlsConfig.insecure_anonymous(),
            MUTUAL,
            TlsConfig(server_name="a.test", key_pem=KEY, cert_pem=CERTIFICATE, ca_pem=CERTIFICATE),
            TlsConfig(server_name="a.test", ca_file="ca"),
            TlsConfig(),
        ],
        ids=["plain", "anonymous", "files", "inline", "no client certificate", "system"],
    )
    def test_what_is_written_is_read_back(self, path: Path, tls: TlsConfig | None) -> None:
        add_cluster(path, "fake", "127.0.0.1:4000", tls=tls)
        assert load(path).client_config() == ClientConfig(endpoint="127.0.0.1:4000", tls=tls)

    def test_files_and_texts_together_become_texts(self, path: Path, tmp_path: Path) -> None:
        ca = written(tmp_path / "ca.crt", CERTIFICATE)
        tls = TlsConfig(ca_file=ca, cert_pem=CERTIFICATE, key_pem=KEY)
        add_cluster(path, "fake", "127.0.0.1:4000", tls=tls)
        assert load(path).cluster().tls == tls.inline()

    @pytest.mark.parametrize("name", ["with.dots", "with space", "ä", '"'])
    def test_any_name_will_do(self, path: Path, name: str) -> None:
        add_cluster(path, name, "127.0.0.1:4000")
        assert load(path).cluster(name).name == name

    @pytest.mark.parametrize(("name", "endpoint"), [("", "h:1"), ("\ud800", "h:1"), ("fake", "h")])
    def test_a_wrong_argument_writes_nothing(self, path: Path, name: str, endpoint: str) -> None:
        with pytest.raises(InvalidConfig):
            add_cluster(path, name, endpoint)
        assert not path.exists()


COMMENTED = """\
# about the file
version = "2.0"
current_profile = "a"  # about the current one
odd = 5

# about the cluster
[cluster.a]
addr = "h:1"  # about the address
color = "red"

[profile.a]  # about the profile
cluster = "a"
topic = "t"

[cluster.b]
endpoint = "h:2"

[cluster.a.tls]
tls_policy = "verified"
tls_source = "files"
weird = 1

[cluster.a.tls.certs]
key = "old.key"
cert = "old.crt"
issuer = "me"
# about profiles
[profile.b]
cluster = "b"

[cluster.a.metadata]
installation = "k8"  # about the metadata
# the end
"""
"""Tables in any order, as the official client leaves them, with what only people write."""

INLINE = """\
version = "2.0"
profile = {a = {cluster = "a"}}  # about profiles
cluster = {a = {endpoint = "h:1", color = "red"}}  # about clusters
"""


def expected(text: str, name: str, tls: dict[str, Any]) -> dict[str, Any]:
    """What the file ``text`` says after ``name`` was added at ``new:9``, said the simple way."""
    data = tomllib.loads(text)
    data["current_profile"] = name
    data["profile"].setdefault(name, {})["cluster"] = name
    cluster = data["cluster"].setdefault(name, {})
    cluster["addr" if "addr" in cluster else "endpoint"] = "new:9"
    cluster.setdefault("use_spu_local_address", False)
    old = cluster.setdefault("tls", {})
    certs = {"issuer": "me"} if "issuer" in old.get("certs", {}) else {}
    kept = {key: value for key, value in old.items() if key == "weird"}
    certs |= tls.get("certs", {})
    cluster["tls"] = kept | tls | ({"certs": certs} if certs else {})
    return data


class TestAddingToAFile:
    @pytest.mark.parametrize("text", [OFFICIAL, COMMENTED, INLINE], ids=["plain", "odd", "inline"])
    @pytest.mark.parametrize("name", ["a", "b", "new"])
    @pytest.mark.parametrize("tls", [None, MUTUAL], ids=["plain", "mutual"])
    def test_changes_what_it_should_and_nothing_else(
        self, path: Path, text: str, name: str, tls: TlsConfig | None
    ) -> None:
        add_cluster(written(path, text), name, "new:9", tls=tls)
        says: dict[str, Any] = {"tls_policy": "disabled"}
        if tls is not None:
            certs = {"domain": "a.test", "key": "k", "cert": "c", "ca_cert": "ca"}
            says = {"tls_policy": "verified", "tls_source": "files", "certs": certs}
        after = path.read_text()
        assert tomllib.loads(after) == expected(text, name, says)
        comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
        assert all(f"#{comment}" in after for comment in comments)

    def test_adding_twice_is_adding_once(self, path: Path) -> None:
        add_cluster(written(path, COMMENTED), "new", "new:9", tls=MUTUAL)
        once = path.read_text()
        add_cluster(path, "new", "new:9", tls=MUTUAL)
        assert path.read_text() == once

    def test_the_old_key_is_gone_with_its_cluster(self, path: Path) -> None:
        add_cluster(path, "fake", "h:1", tls=TlsConfig(cert_pem=CERTIFICATE, key_pem=KEY))
        add_cluster(path, "fake", "h:1")
        assert "hunter2" not in path.read_text()

    def test_need_not_become_the_current_one(self, path: Path) -> None:
        add_cluster(written(path, OFFICIAL), "new", "new:9", make_current=False)
        assert load(path).current == "alpha"
        assert load(path).cluster("new").endpoint == "new:9"

    def test_keeps_line_ends_and_mode(self, path: Path) -> None:
        path.write_bytes(OFFICIAL.replace("\n", "\r\n").encode())
        path.chmod(0o640)
        add_cluster(path, "alpha", "new:9")
        assert path.read_bytes().startswith(b'version = "2.0"\r\n')
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        target = written(tmp_path / "target", OFFICIAL)
        link = tmp_path / "link"
        link.symlink_to(target)
        add_cluster(link, "new", "new:9")
        assert link.is_symlink()
        assert load(target).current == "new"

    @pytest.mark.parametrize("text", ["version = ", "[other]\n", 'version = "2"\nprofile = 1\n'])
    def test_a_file_that_is_no_profile_file_is_left_alone(self, path: Path, text: str) -> None:
        with pytest.raises(InvalidProfile):
            add_cluster(written(path, text), "new", "new:9")
        assert path.read_text() == text

    @pytest.mark.parametrize("key", ["cluster.a", "cluster.a.tls", "cluster.a.tls.certs"])
    @pytest.mark.parametrize("tls", [None, TlsConfig(ca_file="/ca")])
    def test_a_value_where_a_table_has_to_be_is_left_alone(
        self, path: Path, key: str, tls: TlsConfig | None
    ) -> None:
        table, _, last = key.rpartition(".")
        text = f'version = "2.0"\n[profile]\n[{table}]\n{last} = "x"\n'
        with pytest.raises(InvalidProfile, match=f"{key}: is of type str: expected a table"):
            add_cluster(written(path, text), "a", "new:9", tls=tls)
        assert path.read_text() == text

    def test_what_is_nested_too_deep_to_be_changed_is_left_alone(self, path: Path) -> None:
        text = f"a = {'[' * 200 + ']' * 200}\n{OFFICIAL}"
        with suppress(InvalidProfile):  # Older versions of tomlkit manage.
            add_cluster(written(path, text), "new", "new:9")
        assert text.partition("\n")[0] in path.read_text()

    def test_a_file_that_can_not_be_changed_without_damage_is_left_alone(self, path: Path) -> None:
        text = 'version = "2.0"\nprofile.a.cluster = "a"\ncluster.a.endpoint = "h:1"\n'
        with pytest.raises(InvalidProfile, match="without damage"):
            add_cluster(written(path, text), "new", "new:9")
        assert path.read_text() == text

    def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(path, OFFICIAL)

        def no_room(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", no_room)
        with pytest.raises(InvalidProfile, match="can not be written: No space left"):
            add_cluster(path, "new", "new:9")
        assert path.read_text() == OFFICIAL
        assert os.listdir(path.parent) == ["config"]
