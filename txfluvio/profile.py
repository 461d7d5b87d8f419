"""Fluvio's profile file: which clusters there are, how to reach them, and which is the current.

It is the file of the official clients, TOML, at ``FLV_PROFILE_PATH`` or ``~/.fluvio/config``. Here
it becomes a :class:`~txfluvio.config.ClientConfig` (:func:`load`), and clusters are added to it
(:func:`add_cluster`) without disturbing what else is there: comments and unknown keys stay. No
network and no Twisted; files are read when a function is called.

Its shape::

    version = "2.0"
    current_profile = "prod"

    [profile.prod]
    cluster = "prod"

    [cluster.prod]
    endpoint = "sc.example.net:9003"        # or: addr
    use_spu_local_address = false

    [cluster.prod.tls]
    tls_policy = "verified"                 # or: disabled, anonymous
    tls_source = "files"                    # or: inline, with PEM texts for paths

    [cluster.prod.tls.certs]
    domain = "example.net"
    ca_cert = "/etc/fluvio/ca.crt"
    cert = "/etc/fluvio/client.crt"
    key = "/etc/fluvio/client.key"

The official clients want all four of ``certs``. This one takes a missing ``domain`` for the host
dialled, a missing ``ca_cert`` for the system's authorities, and goes without ``cert`` and ``key``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import attrs

from ._checks import is_text
from .config import ClientConfig, TlsConfig, parse_endpoint
from .errors import InvalidConfig, InvalidProfile

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_T = TypeVar("_T")

_POLICIES = {
    "disabled": "disabled",
    "disable": "disabled",
    "anonymous": "anonymous",
    "verified": "verified",
    "verify": "verified",
}
_SOURCES = {"files": "file", "file": "file", "inline": "pem"}
_CERTS = {"ca_cert": "ca", "cert": "cert", "key": "key"}


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the profile file is: ``FLV_PROFILE_PATH``, which names the file, else in the home.

    :raises InvalidProfile: there is neither.
    """
    named = environ.get("FLV_PROFILE_PATH")
    try:
        return Path(named) if named else Path.home() / ".fluvio" / "config"
    except RuntimeError as error:
        reason = "there is no home directory: expected a file that FLV_PROFILE_PATH names"
        raise InvalidProfile("~/.fluvio/config", "", reason) from error


def _read_only(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


@attrs.frozen(kw_only=True)
class Cluster:
    """A cluster as a profile file describes it.

    :ivar name: its name in the file.
    :ivar endpoint: ``"host:port"`` of its SC.
    :ivar tls: how to speak TLS with it; None: plain TCP.
    :ivar use_spu_local_address: whether to dial SPUs at their local addresses.
    :ivar metadata: what tools keep with it, for example ``{"installation": "local"}``.
    """

    name: str
    endpoint: str
    tls: TlsConfig | None = None
    use_spu_local_address: bool = False
    metadata: Mapping[str, Any] = attrs.field(factory=dict, converter=_read_only, hash=False)


@attrs.frozen(kw_only=True)
class ProfileFile:
    """A profile file as it was read. A cluster in it is looked into when it is asked for.

    :ivar path: the file.
    :ivar current: the name of the current profile, if there is one.
    :ivar client_id: the name for the servers' logs, if the file has one.
    :ivar profiles: the name of each profile's cluster, by the profile's name.
    """

    path: Path
    current: str | None
    client_id: str | None
    profiles: Mapping[str, str] = attrs.field(hash=False)
    _clusters: _Table = attrs.field(repr=False, hash=False)

    @property
    def clusters(self) -> tuple[str, ...]:
        """The names of the clusters, in the order of the file."""
        return tuple(self._clusters.values)

    def cluster(self, profile: str | None = None) -> Cluster:
        """The cluster of ``profile``, or of the current profile.

        :raises InvalidProfile: there is no such profile or cluster, or it makes no sense.
        """
        key = f"profile.{profile}"
        if profile is None:
            key, profile = "current_profile", self.current
        if profile is None:
            self._fail(key, f"missing: expected the name of a profile, {self._known()}")
        if profile not in self.profiles:
            self._fail(key, f"there is no profile {profile!r}: expected {self._known()}")
        name = self.profiles[profile]
        if name not in self._clusters.values:
            known = " or ".join(self.clusters) or "but the file has none"
            self._fail(
                f"profile.{profile}.cluster",
                f"there is no cluster {name!r}: expected a cluster of the file, {known}",
            )
        return _cluster(name, self._clusters.table(name))

    def client_config(self, profile: str | None = None) -> ClientConfig:
        """The configuration for the cluster of ``profile``, or of the current profile.

        :raises InvalidProfile: as :meth:`cluster`.
        """
        cluster = self.cluster(profile)
        config = ClientConfig(
            endpoint=cluster.endpoint,
            tls=cluster.tls,
            use_spu_local_address=cluster.use_spu_local_address,
        )
        if self.client_id is None:
            return config
        try:
            return attrs.evolve(config, client_id=self.client_id)
        except InvalidConfig as error:
            self._fail("client_id", f"expected {error.expected}", error)

    def _known(self) -> str:
        return " or ".join(self.profiles) or "but the file has none"

    def _fail(self, key: str, reason: str, cause: Exception | None = None) -> NoReturn:
        raise InvalidProfile(str(self.path), key, reason) from cause


@attrs.frozen
class _Table:
    """A table of the file that knows where it stands, for the errors."""

    path: Path
    key: str
    values: Mapping[str, Any]

    def fail(self, name: str, reason: str, cause: Exception | None = None) -> NoReturn:
        key = ".".join(part for part in (self.key, name) if part)
        raise InvalidProfile(str(self.path), key, reason) from cause

    def text(self, name: str) -> str | None:
        return self._typed(name, str, "a string")

    def flag(self, name: str) -> bool:
        return self._typed(name, bool, "true or false") or False

    def table(self, name: str) -> _Table:
        values = self._typed(name, dict, "a table") or {}
        return _Table(self.path, f"{self.key}.{name}" if self.key else name, values)

    def needed(self, name: str, expected: str) -> NoReturn:
        self.fail(name, f"missing: expected {expected}")

    def _typed(self, name: str, kind: type[_T], expected: str) -> _T | None:
        value: _T | None = self.values.get(name)
        if value is not None and not isinstance(value, kind):
            # The value itself is not shown: it may be a secret in the wrong place.
            self.fail(name, f"is of type {type(value).__name__}: expected {expected}")
        return value


def load(path: str | os.PathLike[str] | None = None) -> ProfileFile:
    """Read a profile file.

    :param path: the file; None: :func:`default_path`.
    :raises InvalidProfile: it is not there, is no TOML, or has not the shape of a profile file.
    """
    where = default_path() if path is None else Path(path)
    text = _read(where)
    if text is None:
        reason = "there is no such file: expected a Fluvio profile file (see FLV_PROFILE_PATH)"
        raise InvalidProfile(str(where), "", reason)
    return _understood(where, text)


def _understood(path: Path, text: str) -> ProfileFile:
    top = _Table(path, "", _parsed(path, text))
    if top.text("version") is None:
        top.needed("version", 'a string such as "2.0"')
    for name in ("profile", "cluster"):
        if name not in top.values:
            top.needed(name, f"the tables [{name}.NAME]")
    profiles = top.table("profile")
    clusters = top.table("cluster")
    named = {}
    for name in profiles.values:
        profile = profiles.table(name)
        named[name] = profile.text("cluster") or profile.needed("cluster", "a cluster's name")
    return ProfileFile(
        path=path,
        current=top.text("current_profile"),
        client_id=top.text("client_id"),
        profiles=MappingProxyType(named),
        clusters=clusters,
    )


def _read(path: Path) -> str | None:
    """The text of the file, None if there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidProfile(str(path), "", f"can not be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidProfile(str(path), "", f"is the path of no file: {error}") from error
    try:
        # Some editors begin a file with a mark that it is UTF-8.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidProfile(str(path), "", "is not UTF-8: expected TOML") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidProfile(str(path), "", f"is not TOML: {error}") from error


def _cluster(name: str, table: _Table) -> Cluster:
    both = [key for key in ("endpoint", "addr") if key in table.values]
    if len(both) == 2:
        table.fail("addr", "is another name for endpoint: expected one of the two")
    key = both[0] if both else "endpoint"
    endpoint = table.text(key) or table.needed(key, "host:port of the SC")
    try:
        parse_endpoint(endpoint)
    except ValueError as error:
        table.fail(key, f"is {endpoint!r}: expected {error}")
    return Cluster(
        name=name,
        endpoint=endpoint,
        tls=_tls(table.table("tls")) if "tls" in table.values else None,
        use_spu_local_address=table.flag("use_spu_local_address"),
        metadata=table.table("metadata").values,
    )


def _choice(table: _Table, name: str, choices: Mapping[str, str]) -> str:
    expected = " or ".join(choices)
    value = table.text(name)
    if value is None:
        table.needed(name, expected)
    if value not in choices:
        table.fail(name, f"is {value!r}: expected {expected}")
    return choices[value]


def _tls(table: _Table) -> TlsConfig | None:
    policy = _choice(table, "tls_policy", _POLICIES)
    if policy == "disabled":
        return None
    if policy == "anonymous":
        return TlsConfig.insecure_anonymous()
    certs = table.table("certs")
    given: dict[str, Any] = {"server_name": certs.text("domain")}
    if "tls_source" in table.values or any(key in certs.values for key in _CERTS):
        source = _choice(table, "tls_source", _SOURCES)
        given |= {f"{part}_{source}": certs.text(key) for key, part in _CERTS.items()}
    for one, other in (("cert", "key"), ("key", "cert")):
        if one in certs.values and other not in certs.values:
            certs.needed(other, f"a {other} beside {one}, or neither")
    try:
        return TlsConfig(**given)
    except InvalidConfig as error:
        setting, expected = error.setting.rpartition(".")[2], error.expected
        if setting.endswith("_file"):
            expected = 'the path of a file; with tls_source = "inline", PEM text'
        keys = {
            f"{part}_{source}": key for key, part in _CERTS.items() for source in ("file", "pem")
        }
        certs.fail(keys.get(setting, "domain"), f"expected {expected}", error)


def add_cluster(
    path: str | os.PathLike[str],
    name: str,
    endpoint: str,
    *,
    tls: TlsConfig | None = None,
    make_current: bool = True,
) -> None:
    """Add a cluster, and a profile of the same name, to a profile file; or replace them.

    Comments, unknown keys and other clusters stay as they are. The file is made if it is not
    there, readable by its owner only, and replaced in one step, so that a reader sees the old or
    the new one. What a file can not say (a minimum version of TLS) is left out. Where some of the
    certificates are files and some are texts, all are written as texts.

    :param endpoint: ``"host:port"`` of the SC.
    :param make_current: whether the profile becomes the current one.
    :raises InvalidConfig: the name or the endpoint is none.
    :raises InvalidProfile: the file is there and is no profile file, or can not be written.
    """
    if not is_text(name) or not name:
        raise InvalidConfig("name", name, "the name of a cluster")
    ClientConfig(endpoint=endpoint)
    where = Path(path)
    document = _document(where, name)
    if make_current:
        document["current_profile"] = name
    _table(_table(document, "profile"), name)["cluster"] = name
    cluster = _table(_table(document, "cluster"), name)
    cluster["addr" if "addr" in cluster else "endpoint"] = endpoint
    cluster.setdefault("use_spu_local_address", False)
    _update(_table(cluster, "tls"), _written(tls), ("tls_policy", "tls_source", "certs"))
    _replace(where, _rendered(where, document))


def _document(path: Path, name: str) -> TOMLDocument:
    """The file to be changed; one of the right shape where there is none, or an empty one.

    Of the cluster ``name`` all that will be a table is one, or is not there.
    """
    import tomlkit

    text = _read(path)
    if text:
        _understood(path, text)._clusters.table(name).table("tls").table("certs")
        try:
            return tomlkit.parse(text)
        except (ValueError, RecursionError) as error:
            raise InvalidProfile(str(path), "", f"can not be changed: {error}") from error
    document = tomlkit.document()
    document["version"] = "2.0"
    return document


def _rendered(path: Path, document: TOMLDocument) -> str:
    """The text of the file, if it says what was meant: tomlkit fails with some dotted keys."""
    text = document.as_string()
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(text) == document.unwrap():
            return text
    reason = "can not be changed without damage: expected tables such as [cluster.NAME], not keys"
    raise InvalidProfile(str(path), "", reason)


def _table(parent: MutableMapping[str, Any], name: str) -> MutableMapping[str, Any]:
    """The table ``name`` in ``parent``, made where it is missing."""
    import tomlkit

    if name not in parent:
        inline = isinstance(parent, tomlkit.items.InlineTable)
        parent[name] = tomlkit.inline_table() if inline else tomlkit.table()
    table: MutableMapping[str, Any] = parent[name]
    return table


def _update(
    table: MutableMapping[str, Any], wanted: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Make ``table`` say what is ``wanted``, of the keys that are ``known``; others stay.

    Tables are changed, not replaced: what is written ahead of the next table belongs to this one.
    """
    import tomlkit

    for key in known:
        value = wanted.get(key)
        if value is not None and not isinstance(value, dict):
            table[key] = value
        elif key == "certs" and (value or key in table):
            certs = _table(table, key)
            _update(certs, value or {}, ("domain", "key", "cert", "ca_cert"))
            if not certs and "#" not in tomlkit.dumps(certs):
                table.pop(key)
        else:
            table.pop(key, None)


def _written(tls: TlsConfig | None) -> dict[str, Any]:
    """The ``tls`` table for ``tls``, in the order in which the official clients write it."""
    import tomlkit

    if tls is None:
        return {"tls_policy": "disabled"}
    if tls.anonymous:
        return {"tls_policy": "anonymous"}
    if any(getattr(tls, f"{part}_pem") is not None for part in _CERTS.values()):
        tls = tls.inline()
    certs: dict[str, str] = {}
    if tls.server_name is not None:
        certs["domain"] = tls.server_name
    source = "files"
    for key, part in (("key", "key"), ("cert", "cert"), ("ca_cert", "ca")):
        pem: bytes | None = getattr(tls, f"{part}_pem")
        file: str | None = getattr(tls, f"{part}_file")
        if pem is not None:
            source = "inline"
            certs[key] = tomlkit.string(pem.decode(errors="replace"), multiline=True)
        elif file is not None:
            certs[key] = file
    return {"tls_policy": "verified", "tls_source": source, "certs": certs}


def _replace(path: Path, text: str) -> None:
    """Write the file in one step, through whatever link leads to it, with the mode it had."""
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            with contextlib.suppress(FileNotFoundError):
                os.chmod(name, target.stat().st_mode & 0o7777)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InvalidProfile(str(path), "", f"can not be written: {error.strerror}") from error
