"""The settings: frozen values, checked when they are made, with a default for each.

Vocabulary for all floors. Times are seconds, sizes are bytes, and every limit the library keeps has
its name here. A wrong value is :class:`~txfluvio.errors.InvalidConfig`, which names the setting,
the value and what it can be. ``attrs.evolve(config, name=value)`` gives a changed copy, checked
again. Making one does no I/O; reading a profile file (:meth:`ClientConfig.from_profile`) and
reading certificates (:meth:`TlsConfig.inline`) are calls of their own.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ._checks import (
    Check,
    Must,
    flag,
    is_number,
    is_text,
    member,
    or_none,
    seconds,
    seconds_or_0,
    whole,
)
from ._numbers import whole_number
from .errors import InvalidConfig
from .smartmodule import SmartModuleInvocation

if TYPE_CHECKING:
    from random import Random

KIB = 1024
MIB = 1024 * KIB
LARGEST_SPU_BATCH = 32 * MIB
"""An SPU refuses any batch above this many bytes."""

DEFAULT_PUSH_SIZE = 1_048_890
"""Bytes of records that one push to a consumer may bring, if nothing else is said."""


class Isolation(enum.IntEnum):
    """When a record counts as written, or may be read; the numbers of a fetch."""

    READ_UNCOMMITTED = 0
    """The leader has it."""
    READ_COMMITTED = 1
    """All replicas in sync have it: it lies below the high watermark."""


class Delivery(enum.Enum):
    """What a producer does when it can not know whether a record was stored."""

    AT_MOST_ONCE = "at-most-once"
    """Nothing: the record fails with an effect of unknown."""
    AT_LEAST_ONCE = "at-least-once"
    """It sends again, to the leader of the moment; the record may then be stored twice."""


class OffsetReset(enum.Enum):
    """What a consumer does when its position is no longer in the log."""

    ERROR = "error"
    """It fails, with OffsetEvicted, OffsetOutOfRange or LogTruncated."""
    EARLIEST = "earliest"
    """It goes on at the oldest record."""
    LATEST = "latest"
    """It goes on with the records to come."""


class OffsetStrategy(enum.Enum):
    """Whether and when a consumer stores how far it has come."""

    NONE = "none"
    """Never."""
    MANUAL = "manual"
    """When the user commits."""
    AUTO = "auto"
    """By itself, what has been processed: the record before the one in hand."""


class TlsVersion(enum.Enum):
    """A version of TLS; SC and SPU speak these two."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""The names of the codecs a batch can be compressed with."""


_bytes = whole(1, 2**63 - 1, "bytes")
_count = whole(1, 2**31 - 1, "a count")
_chain = Must(
    "a list of SmartModuleInvocation",
    lambda value: (
        isinstance(value, tuple) and all(isinstance(one, SmartModuleInvocation) for one in value)
    ),
)
_pem = Must("PEM text", lambda value: isinstance(value, bytes) and b"-----BEGIN " in value)


def parse_endpoint(text: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """Split ``"host:port"`` (or ``"[v6::address]:port"``); no port is ever assumed.

    :param lowest_port: 0 where one may listen at any free port.
    :raises ValueError: if it is not that; the message says what it should be.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    well_formed = host and colon and host.isprintable() and not any(c in " /[]@" for c in host)
    number = whole_number(port, lowest_port, 2**16 - 1)
    if not well_formed or number is None:
        raise ValueError(f"host:port, with a port from {lowest_port} to 65535")
    return host, number


def join_endpoint(host: str, port: int) -> str:
    """What :func:`parse_endpoint` splits."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_endpoint(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(parse_endpoint(value))
    except ValueError:
        return False


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How long to wait before the next attempt, and when to give up.

    The wait before retry ``n`` (from 0) is ``initial * factor**n`` seconds, at most ``maximum``,
    shortened by a random part of up to ``jitter`` of it, so that many clients do not come back at
    the same moment.

    :ivar initial: seconds before the first retry.
    :ivar maximum: seconds, the longest wait.
    :ivar factor: 1 or more; by how much each wait is longer than the one before.
    :ivar jitter: 0 to 1; the part of a wait that is left to chance.
    :ivar deadline: seconds from the first failure to the last retry of one call; None: for ever.
        Where a call has a deadline of its own, the earlier one counts. Waiting while a partition
        has no leader is no retry, and this does not end it: a producer waits until
        ``ProducerConfig.delivery_timeout``, a consumer for as long as it takes. A producer counts
        it for each partition: when it is over, all that it holds for that partition fails, and what
        waits for room is next, with a time of its own. Work that never ends, such as reading,
        counts anew once it has gone well for so long, or for ``maximum`` if that is shorter.
    """

    initial: float = attrs.field(default=0.05, validator=seconds)
    maximum: float = attrs.field(default=10.0, validator=seconds)
    factor: float = attrs.field(
        default=2.0,
        validator=Must("a factor, 1 or more", lambda value: is_number(value) and value >= 1),
    )
    jitter: float = attrs.field(
        default=0.5,
        validator=Must("a part, from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
    )
    deadline: float | None = attrs.field(default=None, validator=or_none(seconds))

    def __attrs_post_init__(self) -> None:
        if self.maximum < self.initial:
            raise InvalidConfig(
                "RetryPolicy.maximum", self.maximum, f"at least initial, {self.initial}"
            )

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait before retry ``attempt``, counted from 0."""
        try:
            longest = min(self.maximum, self.initial * self.factor**attempt)
        except OverflowError:
            longest = self.maximum
        return longest * (1 - self.jitter * random.random())

    def delays(self, random: Random) -> Iterator[float]:
        """The waits one after another, without end; the same for the same state of ``random``."""
        return (self.delay(attempt, random) for attempt in count())


def _as_bytes(value: str | bytes | None) -> bytes | None:
    try:
        return value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError:
        return b""  # No PEM text, and refused as such.


def _is_path(value: object) -> bool:
    """Whether a file can have this path, and it is not the text that belongs into the file."""
    try:
        return (
            isinstance(value, str)
            and os.fsencode(value) != b""
            and not any(mark in value for mark in ("-----BEGIN ", "\n", "\0"))
        )
    except UnicodeEncodeError:
        return False


def _path_of(part: str) -> Check:
    expected = f"the path of a file; PEM text goes into {part}_pem"
    return or_none(Must(expected, _is_path, secret=True))


def _as_path(value: str | os.PathLike[str] | None) -> str | None:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@attrs.frozen(kw_only=True)
class TlsConfig:
    """TLS for the SC and every SPU alike.

    The server is verified: against the system's authorities, or only against those given by
    ``ca_file`` or ``ca_pem``. With a certificate and a key the client shows who it is. Each of the
    three comes from a file or as PEM text, not both; a text given for a path is refused and not
    shown. Not verifying has to be asked for by name, :meth:`insecure_anonymous`.

    Files are read for the first connection, and once more for one that is made after they have
    changed: who renews a certificate need not restart anything.

    :ivar server_name: the name the SC's certificate must be for, and that is sent as SNI. An SPU
        is verified as ``<name of the SPU>.<server_name>``. None: the host that is dialled, for the
        SC and for each SPU.
    :ivar ca_file: path of the authorities' certificates, PEM. An authority below another will do,
        and so will the server's own certificate.
    :ivar ca_pem: the same as text.
    :ivar cert_file: path of the client's certificate, with the chain that leads to its authority.
    :ivar cert_pem: the same as text.
    :ivar key_file: path of the client's private key, PKCS#1 or PKCS#8, not encrypted.
    :ivar key_pem: the same as text; never shown.
    :ivar minimum_version: the oldest version of TLS to accept.
    :ivar anonymous: whether nothing is verified.
    """

    server_name: str | None = attrs.field(
        default=None,
        validator=or_none(
            Must(
                "a host name, without a port",
                lambda value: (
                    is_text(value, 253)
                    and value != ""
                    and not any(c.isspace() or c in ":/" for c in value)
                ),
            )
        ),
    )
    ca_file: str | None = attrs.field(default=None, converter=_as_path, validator=_path_of("ca"))
    ca_pem: bytes | None = attrs.field(
        default=None, converter=_as_bytes, validator=or_none(_pem), repr=False
    )
    cert_file: str | None = attrs.field(
        default=None, converter=_as_path, validator=_path_of("cert")
    )
    cert_pem: bytes | None = attrs.field(
        default=None, converter=_as_bytes, validator=or_none(_pem), repr=False
    )
    key_file: str | None = attrs.field(default=None, converter=_as_path, validator=_path_of("key"))
    key_pem: bytes | None = attrs.field(
        default=None, converter=_as_bytes, validator=or_none(_pem), repr=False
    )
    minimum_version: TlsVersion = attrs.field(
        default=TlsVersion.TLS_1_2, validator=member(TlsVersion)
    )
    anonymous: bool = attrs.field(default=False, alias="insecure_anonymous", validator=flag)

    def __attrs_post_init__(self) -> None:
        for part in ("ca", "cert", "key"):
            path = getattr(self, f"{part}_file")
            if path is not None and getattr(self, f"{part}_pem") is not None:
                raise InvalidConfig(f"TlsConfig.{part}_file", path, f"no {part}_pem beside it")
        if self.has_certificate != (self.key_file is not None or self.key_pem is not None):
            missing = "TlsConfig.key_file" if self.has_certificate else "TlsConfig.cert_file"
            raise InvalidConfig(missing, None, "both a certificate and its key, or neither")
        if self.anonymous and (self.ca_file is not None or self.ca_pem is not None):
            raise InvalidConfig(
                "TlsConfig.insecure_anonymous", True, "no authorities to verify by, or False"
            )

    @classmethod
    def insecure_anonymous(cls, *, server_name: str | None = None) -> TlsConfig:
        """Encrypt, and verify nothing: whoever answers is believed.

        :param server_name: sent as SNI, not verified.
        """
        return cls(server_name=server_name, insecure_anonymous=True)

    @property
    def has_certificate(self) -> bool:
        """Whether the client shows a certificate to a server that asks for one."""
        return self.cert_file is not None or self.cert_pem is not None

    def inline(self) -> TlsConfig:
        """The same with every file read into its PEM text. This is the one place that reads them.

        :raises InvalidConfig: a file can not be read or holds no PEM; names the setting and file.
        """
        read: dict[str, Any] = {}
        for part in ("ca", "cert", "key"):
            path = getattr(self, f"{part}_file")
            if path is None:
                continue
            setting = f"TlsConfig.{part}_file"
            try:
                with open(path, "rb") as file:
                    pem = file.read()
            except OSError as error:
                expected = f"a file that can be read ({error.strerror})"
                raise InvalidConfig(setting, path, expected) from error
            if b"-----BEGIN " not in pem:
                raise InvalidConfig(setting, path, "a file of PEM text")
            read |= {f"{part}_file": None, f"{part}_pem": pem}
        return attrs.evolve(self, **read)


@attrs.frozen(kw_only=True)
class ClientConfig:
    """A cluster, how to reach it, and what a client may use up.

    :ivar endpoint: ``"host:port"`` of the SC's public port (usually 9003).
    :ivar tls: TLS for the SC and all SPUs; None: plain TCP.
    :ivar client_id: a name for the servers' logs; at most 32 767 bytes.
    :ivar use_spu_local_address: dial SPUs at their local addresses, where they have one.
    :ivar connect_timeout: seconds for one attempt, from dialling to a connection that can be used;
        also how long ``async with client`` keeps trying.
    :ivar handshake_timeout: seconds of these for TLS and the exchange of versions, so that a
        server that says nothing is told from one that is not there.
    :ivar request_timeout: seconds for the answer to one request.
    :ivar create_timeout: seconds for creating an object until it can be used. The SC may take 90 s
        to answer.
    :ivar frame_timeout: seconds for the rest of a frame once its first byte is here.
    :ivar keepalive: seconds of silence before TCP asks whether the peer is alive; more than 32767
        counts as that.
    :ivar idle_probe: seconds of silence before the client asks whether the server is alive, with a
        request of its own. Streams are silent by design, so silence is no sign of health. As often
        a consumer looks whether a stream has fallen silent though there is more; with SmartModules
        nobody can tell (see :mod:`txfluvio.smartmodule`).
    :ivar retry: the waits between attempts, and how long they go on.
    :ivar max_connections: connections the client may hold at once; a call that takes one more
        fails with :class:`~txfluvio.errors.LimitReached`.
    :ivar max_frame_size: bytes of one frame from a server; whoever asked for a larger one, a long
        list or a watch of it included, gets a :class:`~txfluvio.errors.ProtocolError`. The answer
        with which a server tells its versions may have 64 KiB at most.
    :ivar max_decompressed_size: bytes one batch may become by decompression.
    :ivar max_decompression_ratio: how many times its size a batch may become; None: any, since
        honest batches of equal records reach ten thousand and the size above is bounded.
    :ivar max_batch_records: records one batch may hold.
    :ivar write_budget: bytes waiting to be written to one connection; above it, senders wait.
    :ivar buffer_memory: bytes of records that all producers of the client may hold unsent or
        unanswered; above it, ``send()`` waits. Exceeded by at most one record, or one batch of
        records sent together; it may be less than their ``max_request_size``.
    """

    endpoint: str = attrs.field(
        validator=Must("host:port, with a port from 1 to 65535", _is_endpoint)
    )
    tls: TlsConfig | None = attrs.field(
        default=None,
        validator=or_none(
            Must("a TlsConfig or None", lambda value: isinstance(value, TlsConfig), secret=True)
        ),
    )
    client_id: str = attrs.field(
        default="txfluvio",
        validator=Must("a text of at most 32767 bytes", lambda value: is_text(value)),
    )
    use_spu_local_address: bool = attrs.field(default=False, validator=flag)
    connect_timeout: float = attrs.field(default=10.0, validator=seconds)
    handshake_timeout: float = attrs.field(default=5.0, validator=seconds)
    request_timeout: float = attrs.field(default=60.0, validator=seconds)
    create_timeout: float = attrs.field(default=120.0, validator=seconds)
    frame_timeout: float = attrs.field(default=30.0, validator=seconds)
    keepalive: float = attrs.field(default=15.0, validator=seconds)
    idle_probe: float = attrs.field(default=30.0, validator=seconds)
    retry: RetryPolicy = attrs.field(
        factory=RetryPolicy,
        validator=Must("a RetryPolicy", lambda value: isinstance(value, RetryPolicy)),
    )
    max_connections: int = attrs.field(default=4096, validator=_count)
    max_frame_size: int = attrs.field(default=64 * MIB, validator=whole(1, 2**31 - 1, "bytes"))
    max_decompressed_size: int = attrs.field(default=64 * MIB, validator=_bytes)
    max_decompression_ratio: int | None = attrs.field(default=None, validator=or_none(_count))
    max_batch_records: int = attrs.field(default=1_000_000, validator=_count)
    write_budget: int = attrs.field(default=1 * MIB, validator=_bytes)
    buffer_memory: int = attrs.field(default=64 * MIB, validator=_bytes)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of :attr:`endpoint`."""
        return parse_endpoint(self.endpoint)

    @classmethod
    def from_profile(
        cls, name: str | None = None, path: str | os.PathLike[str] | None = None
    ) -> ClientConfig:
        """The cluster that a profile file names, with the defaults for all else. Reads the file.

        :param name: the profile; None: the current one.
        :param path: the file; None: ``FLV_PROFILE_PATH``, else ``~/.fluvio/config``.
        :raises InvalidProfile: says the file, the key, and what was expected.
        """
        from .profile import load

        return load(path).client_config(name)


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


def _stores_offsets(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("load", "store"))


def _as_chain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _codec_name(value: str | _HasName | None) -> str | None:
    name: Any = getattr(value, "name", value)
    return name.lower() if isinstance(name, str) else name


@attrs.frozen(kw_only=True)
class ProducerConfig:
    """How records are gathered into batches, sent, and confirmed.

    :ivar linger: seconds a batch that is not full waits for more records. With 0 it leaves as soon
        as the partition has no request under way: under load, batches fill up all the same. Less
        than ``delivery_timeout``.
    :ivar batch_size: bytes after which a batch is full, before compression and with its header of
        57 bytes. A single larger record goes alone.
    :ivar max_request_size: bytes of the largest batch, counted likewise, and of the batches of one
        partition sent together; a larger record is RecordTooLarge. An SPU takes at most 32 MiB.
        From ``batch_size`` to ``buffer_memory``.
    :ivar compression: the codec by name, or a member of ``Compression``; None: the topic's own, or
        none if it accepts any. A topic that demands another is CompressionConflict.
    :ivar partitioner: an ``IPartitioner``; None: by the hash of the key, as all Fluvio clients
        place it, and without a key in turn.
    :ivar isolation: with READ_COMMITTED a record counts as stored when it is replicated.
    :ivar delivery: what to do when it is not known whether a record was stored.
    :ivar replication_timeout: seconds the leader may wait for its replicas, with READ_COMMITTED.
    :ivar delivery_timeout: seconds from ``send()`` to the record's outcome, retries included; or
        up to a hundredth of that later. A batch is given up when its first record is: the others
        in it up to a tenth of that, and ``linger``, earlier.
    :ivar close_timeout: seconds ``close()`` may take to send what is left.
    :ivar buffer_memory: bytes of records held unsent or unanswered; above it, ``send()`` waits.
        Exceeded by at most one record, or one batch of records sent together. Not less than
        ``max_request_size``: below 1 MiB, set both.
    :ivar smartmodules: a chain that the SPU runs over each batch by itself, an aggregate from its
        beginning each time. What it makes of a batch is stored; at which offsets is not told.
    """

    linger: float = attrs.field(default=0.0, validator=seconds_or_0)
    batch_size: int = attrs.field(default=16 * KIB, validator=whole(1, LARGEST_SPU_BATCH, "bytes"))
    max_request_size: int = attrs.field(
        default=1 * MIB, validator=whole(1, LARGEST_SPU_BATCH, "bytes")
    )
    compression: str | None = attrs.field(
        default=None,
        converter=_codec_name,
        validator=or_none(
            Must(f"one of {', '.join(CODECS)}, or None", lambda value: value in CODECS)
        ),
    )
    partitioner: Any = attrs.field(
        default=None,
        validator=or_none(
            Must("an IPartitioner or None", lambda value: callable(getattr(value, "choose", None)))
        ),
    )
    isolation: Isolation = attrs.field(
        default=Isolation.READ_UNCOMMITTED, validator=member(Isolation)
    )
    delivery: Delivery = attrs.field(default=Delivery.AT_LEAST_ONCE, validator=member(Delivery))
    replication_timeout: float = attrs.field(
        default=1.5,
        validator=Must(
            "seconds, 0 to 2147483", lambda value: is_number(value) and 0 <= value <= 2147483
        ),
    )
    delivery_timeout: float = attrs.field(default=120.0, validator=seconds)
    close_timeout: float = attrs.field(default=30.0, validator=seconds)
    buffer_memory: int = attrs.field(default=32 * MIB, validator=_bytes)
    smartmodules: Sequence[SmartModuleInvocation] = attrs.field(
        default=(), converter=_as_chain, validator=_chain
    )

    def __attrs_post_init__(self) -> None:
        for name, other in (
            ("batch_size", "max_request_size"),
            ("max_request_size", "buffer_memory"),
        ):
            if getattr(self, name) > getattr(self, other):
                raise InvalidConfig(
                    f"ProducerConfig.{name}",
                    getattr(self, name),
                    f"at most {other}, {getattr(self, other)}",
                )
        if self.linger >= self.delivery_timeout:
            raise InvalidConfig(
                "ProducerConfig.linger",
                self.linger,
                f"less than delivery_timeout, {self.delivery_timeout}",
            )


@attrs.frozen(kw_only=True)
class ConsumerConfig:
    """How records are fetched, held, and accounted for.

    :ivar max_bytes: bytes of records one push may bring. The SPU cuts there, also inside a batch;
        a batch that is larger is fetched by itself. None: 1,048,890; with ``smartmodules``, 32 MiB.
        There it is a bound on what comes out of them, beyond which the SPU leaves records out
        without a word: let it be many times the largest batch. Never more is asked for than fits
        into ``ClientConfig.max_frame_size``.
    :ivar isolation: with READ_COMMITTED only records that are replicated are delivered; a position
        above them, such as a start beyond the end of the log, waits until they are.
    :ivar buffer_memory: bytes of records, as received, held for the user; above it, the SPUs are
        not asked for more. Its streams share it, but for ``smartmodules``: there each may bring
        ``max_bytes``, since with less records would be lost.
    :ivar check_crc: whether the checksum of each batch is verified.
    :ivar consumer_id: the name that offsets are stored under. It is a name and no more: consumers
        that share one overwrite each other's offsets. By itself it stores nothing, and is refused
        where a consumer neither stores offsets nor starts at a stored one.
    :ivar offsets: whether and when to store offsets; all but NONE need a ``consumer_id``.
    :ivar offset_store: an ``IOffsetStore`` that keeps the offsets; None: the cluster keeps them.
    :ivar flush_interval: seconds, with AUTO, between two times that what was processed is stored.
    :ivar reset: what to do when the position is no longer in the log. After a reset the offset
        stored before stays, until a record from the new place is processed.
    :ivar smartmodules: a chain that the SPU runs over the records; see
        :mod:`txfluvio.smartmodule` for what that does to offsets and positions.
    :ivar quiet_time: seconds. With ``smartmodules`` and a stop, a partition that was silent for so
        long has nothing more that passes: it is at its stop, if its log reaches there. Modules
        that take longer for one segment of the log, up to 1 GiB, need more.
    """

    max_bytes: int | None = attrs.field(
        default=None, validator=or_none(whole(1, 2**31 - 1, "bytes"))
    )
    isolation: Isolation = attrs.field(
        default=Isolation.READ_UNCOMMITTED, validator=member(Isolation)
    )
    buffer_memory: int = attrs.field(default=16 * MIB, validator=_bytes)
    check_crc: bool = attrs.field(default=True, validator=flag)
    consumer_id: str | None = attrs.field(
        default=None,
        validator=or_none(
            Must("a text of at most 32767 bytes, not empty", lambda v: is_text(v) and v != "")
        ),
    )
    offsets: OffsetStrategy = attrs.field(
        default=OffsetStrategy.NONE, validator=member(OffsetStrategy)
    )
    offset_store: Any = attrs.field(
        default=None, validator=or_none(Must("an IOffsetStore or None", _stores_offsets))
    )
    flush_interval: float = attrs.field(default=10.0, validator=seconds)
    reset: OffsetReset = attrs.field(default=OffsetReset.ERROR, validator=member(OffsetReset))
    smartmodules: Sequence[SmartModuleInvocation] = attrs.field(
        default=(), converter=_as_chain, validator=_chain
    )
    quiet_time: float = attrs.field(default=5.0, validator=seconds)

    def __attrs_post_init__(self) -> None:
        if self.offsets is not OffsetStrategy.NONE and self.consumer_id is None:
            raise InvalidConfig(
                "ConsumerConfig.consumer_id", None, f"a name to store offsets under: {self.offsets}"
            )

    @property
    def push_size(self) -> int:
        """Bytes of records that one push may bring: ``max_bytes``, or its default."""
        if self.max_bytes is not None:
            return self.max_bytes
        return LARGEST_SPU_BATCH if self.smartmodules else DEFAULT_PUSH_SIZE
