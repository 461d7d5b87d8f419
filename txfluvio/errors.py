"""Every error a user can meet, with what may be done about it.

Vocabulary for all floors: nothing here knows bytes, sockets or Twisted. An error says in its
attributes whether the call may be made again (``retriable``) and what it has done (``effect``), so
that no list of codes is needed anywhere else. One class stands for one fact, however it was
learnt: :class:`TopicNotFound` is the same whether a server said so or the client knew it from the
metadata. What led to an error is its ``__cause__``.

The tree::

    FluvioError
        UsageError          the caller: a wrong value, a closed client
        ProtocolError       the peer: bytes that are not the protocol
        UnsupportedVersion  the peer: too old or too new
        ConnectFailed       no connection came about; TLS has its own family below
        Disconnected        a connection went away under a call
        TimedOut            not in time, whatever it was:
            RequestTimedOut     no answer
            WaitTimedOut        something that should come to pass did not
            DeliveryTimedOut    a record that could not be stored
        NotAllStored        some of the records sent together were not stored
        PartitionNotFound   of the topic; PartitionNotRead, of those that are read
        LogTruncated
        BrokerError         a server's error code; one subclass per code worth catching
"""

from __future__ import annotations

import copyreg
import enum
import reprlib
from collections.abc import Mapping, Sequence
from copy import copy
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs


class Effect(enum.Enum):
    """What a failed call has changed on the cluster."""

    NONE = "nothing happened"
    DONE = "it was applied all the same"
    UNKNOWN = "it may have been applied"


class FluvioError(Exception):
    """The root of all errors raised by txfluvio.

    :ivar retriable: whether the same call, made again later, can succeed.
    :ivar effect: what the failed call has changed. Both are facts of the class, which whoever
        knows better may set on an instance: a record whose second attempt found nobody may still
        have been stored by the first.
    """

    retriable: bool = False
    effect: Effect = Effect.NONE
    says: str = ""
    """The message, in which ``{0.name}`` stands for an attribute."""

    def __str__(self) -> str:
        return self.says.format(self) if self.says else super().__str__()

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with ``args``, which fails for keyword-only parameters.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


E = TypeVar("E", bound=BaseException)


def another(error: E) -> E:
    """The same error, with its cause, as an object of its own.

    Whoever gets it may add what they know, or raise it, and nobody else's error changes by that.
    """
    own = copy(error)
    own.__cause__ = error.__cause__
    return own


# The caller.


class UsageError(FluvioError):
    """The caller asked for something that can not be: a wrong value, a closed client."""


_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 100


def _brief(value: object) -> str:
    return _shortened.repr(value)


@attrs.define(slots=False)
class InvalidConfig(UsageError):
    """A setting has a value it can not have.

    :ivar setting: its name, for example ``"ProducerConfig.linger"``.
    :ivar value: the ``repr`` of what was given, shortened.
    :ivar expected: what it can be.
    """

    setting: str
    value: str = attrs.field(converter=_brief, on_setattr=attrs.setters.NO_OP)
    expected: str
    says = "{0.setting} is {0.value}: expected {0.expected}"


class UnknownSetting(InvalidConfig):
    """There is no setting of this name."""

    says = "there is no setting {0.setting}: {0.expected}"


@attrs.define(slots=False)
class InvalidFile(UsageError):
    """A file can not be read, or does not say what is needed.

    :ivar path: the file.
    :ivar key: the dotted key in it, for example ``"cluster.local.endpoint"``; empty for the whole.
    :ivar reason: what was found and what was expected.
    """

    path: str
    key: str
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.key, self.reason) if part)


class InvalidProfile(InvalidFile):
    """A profile file is not what it should be."""


class InvalidTransforms(InvalidFile):
    """A transformation file is not what it should be."""


@attrs.define(slots=False)
class MissingPackage(UsageError, ImportError):
    """What was asked for needs a package that is not installed; also an ``ImportError``.

    :ivar purpose: what for.
    :ivar package: its name.
    :ivar extra: the extra of txfluvio that brings it.
    """

    purpose: str
    package: str
    extra: str
    says = "{0.purpose} needs {0.package}: install txfluvio[{0.extra}]"


class InvalidRecord(UsageError):
    """A key, a value, a timestamp or a partition is of a wrong type or out of range."""


@attrs.define(slots=False)
class RecordTooLarge(UsageError):
    """A record alone exceeds the largest batch the producer may send. Nothing was queued.

    :ivar size: bytes of a batch with this one record, before compression.
    :ivar limit: bytes allowed, ``ProducerConfig.max_request_size``.
    """

    size: int
    limit: int
    says = (
        "the record makes a batch of {0.size} bytes and the limit is {0.limit}:"
        " send a smaller one or raise max_request_size"
    )


@attrs.define(slots=False)
class CompressionConflict(UsageError):
    """The topic demands one codec and the producer is configured for another."""

    topic: str
    required: str
    chosen: str
    says = (
        "topic {0.topic} accepts only compression {0.required!r} and the producer is configured"
        " for {0.chosen!r}: leave ProducerConfig.compression unset to obey the topic"
    )


class OffsetManagementDisabled(UsageError):
    """Committing needs a consumer id and a strategy other than none."""

    says = "this consumer stores no offsets: set ConsumerConfig.consumer_id and offsets"


@attrs.define(slots=False)
class RecordNotCommittable(UsageError):
    """How far a partition was processed can not be told by this record. Nothing was stored.

    :ivar what: the record, ``"orders/3@17"``.
    :ivar reason: why not.
    """

    what: str
    reason: str
    says = "{0.what} can not be committed: {0.reason}"


@attrs.define(slots=False)
class LimitReached(UsageError):
    """A limit the configuration sets would be exceeded by what was asked for."""

    setting: str
    limit: int
    says = "{0.setting} allows {0.limit}, and all are in use"


@attrs.define(slots=False)
class NotStarted(UsageError):
    """It was used before it was entered or started."""

    what: str
    says = "the {0.what} is not started: enter it with 'async with', or start it"


@attrs.define(slots=False)
class AlreadyRunning(UsageError):
    """It was started, or asked for its next item, while a first such call is still under way."""

    what: str
    says = "the {0.what} is already running"


class Closed(UsageError):
    """It was used after it was closed."""


class ClientClosed(Closed):
    """The client is closed."""

    says = "the client is closed"


class ProducerClosed(Closed):
    """The producer is closed."""

    says = "the producer is closed"


class ConsumerClosed(Closed):
    """The consumer is closed."""

    says = "the consumer is closed"


# The peer.


class ProtocolError(FluvioError):
    """A peer sent bytes that are not the protocol.

    :ivar reason: what is wrong.
    :ivar message: the message being decoded, for example ``"FetchOffsetsResponse"``.
    :ivar field: the path of the field in it, for example ``"topics[0].partitions"``.
    :ivar position: the byte position in the frame (the size prefix not counted), if known.
    """

    effect = Effect.UNKNOWN

    def __init__(
        self, reason: str, *, message: str = "", field: str = "", position: int | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.field = field
        self.position = position

    def within(self, name: str) -> ProtocolError:
        """Prefix the field path with the field (or ``[index]``) that was being decoded."""
        separator = "" if not self.field or self.field.startswith("[") else "."
        self.field = f"{name}{separator}{self.field}"
        return self

    def __str__(self) -> str:
        where = ".".join(part for part in (self.message, self.field) if part)
        at = "" if self.position is None else f" at byte {self.position}"
        return f"{where}{at}: {self.reason}" if where or at else self.reason


@attrs.define(slots=False)
class UnsupportedVersion(FluvioError):
    """A server and this client have no version of a request, or of the platform, in common.

    :ivar what: the request or ``"platform"``.
    :ivar offered: what the server has, in words.
    :ivar needed: what this client speaks, in words.
    """

    what: str
    offered: str
    needed: str
    says = "{0.what}: the server offers {0.offered}, this client needs {0.needed}"


# The connection.


@attrs.define(slots=False)
class ConnectFailed(FluvioError):
    """No connection came about.

    :ivar address: what was dialled, ``"host:port"``.
    :ivar reason: why not.
    """

    address: str
    reason: str
    retriable = True
    says = "can not connect to {0.address}: {0.reason}"


class InvalidHostName(ConnectFailed):
    """What was dialled, from the settings or told by the SC, is the name of no host."""

    retriable = False
    says = "{0.address} is no host and port: {0.reason}"


class HandshakeFailed(ConnectFailed):
    """Something listens there, but did not answer as a Fluvio server does."""

    says = "{0.address} accepts connections, but the Fluvio handshake failed: {0.reason}"


class TlsRequired(ConnectFailed):
    """The port speaks TLS, and the client was configured for plain TCP."""

    retriable = False
    says = "{0.address} speaks TLS: set ClientConfig.tls ({0.reason})"


@attrs.define(slots=False)
class TlsFailed(ConnectFailed):
    """The TLS handshake failed. Certificate problems have subclasses, and no call is made again
    for one.

    A client that was started by ``startService()`` goes on connecting all the same, since a
    certificate may be renewed; so does one that has lost its cluster.

    :ivar server_name: the name to be verified, which is not the address dialled.
    :ivar names: the names in the peer's certificate, as far as it was seen: one that is refused
        for what is above it in its chain is not.
    """

    server_name: str = attrs.field(default="", kw_only=True)
    names: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    retriable = False
    says = "no TLS with {0.address}: {0.reason}"

    @property
    def peer(self) -> str:
        """The names in the peer's certificate, in words."""
        return ", ".join(self.names) or "no name"

    @property
    def certificate(self) -> str:
        """The peer's certificate, in words."""
        names = f" (for {self.peer})" if self.names else ""
        return f"the certificate of {self.address}{names}"


class NotTls(TlsFailed):
    """The port does not speak TLS: what it said is none.

    A plain Fluvio port says nothing: it takes the first bytes of a TLS handshake for the size of a
    frame, and waits for the rest. Since a server that is frozen is as silent, that is a
    :class:`HandshakeFailed`, which may be tried again and names both.
    """

    says = "{0.address} does not speak TLS: use its TLS port, or set no TLS ({0.reason})"


class CertificateExpired(TlsFailed):
    """The server's certificate is past its end."""

    says = "{0.certificate} has expired: {0.reason}"


class CertificateNotYetValid(TlsFailed):
    """The server's certificate is not valid yet; a wrong clock here looks the same."""

    says = "{0.certificate} is not valid yet: {0.reason}"


class CertificateNameMismatch(TlsFailed):
    """The server's certificate is for other names.

    Verified are the configured name for the SC, and ``<name of the SPU>.<configured name>`` for
    each SPU, so that certificates need ``*.<configured name>`` as well.
    """

    says = (
        "the certificate of {0.address} is for {0.peer}, not for {0.server_name}:"
        " see TlsConfig.server_name ({0.reason})"
    )


class CertificateUntrusted(TlsFailed):
    """The server's certificate was not signed by an authority this client trusts."""

    says = (
        "{0.certificate} is not signed by a trusted authority: see TlsConfig.ca_file ({0.reason})"
    )


class ClientCertificateRequired(TlsFailed):
    """The server demands a client certificate, and none was configured.

    With TLS 1.3 a server says so only after the handshake has succeeded on the client's side.
    """

    says = (
        "{0.address} demands a client certificate: set TlsConfig.cert_file and key_file"
        " ({0.reason})"
    )


class ClientCertificateRefused(TlsFailed):
    """The server does not accept the client's certificate: expired, unknown authority, usage."""

    says = "{0.address} refused the client certificate: {0.reason}"


@attrs.define(slots=False)
class Disconnected(FluvioError):
    """A connection went away under a call.

    :ivar address: the peer, ``"host:port"``.
    :ivar reason: how it ended.
    :ivar effect: :attr:`Effect.NONE` if the request had not left, :attr:`Effect.UNKNOWN` if it had.
    """

    address: str
    reason: str
    effect: Effect = attrs.field(default=Effect.UNKNOWN, kw_only=True)
    retriable = True
    says = "the connection to {0.address} was lost: {0.reason} ({0.effect.value})"


class TimedOut(FluvioError):
    """The time for something was over; a subclass says for what.

    Also a :class:`ReplicationTimedOut`, by which an SPU says that its own time was over.
    """


@attrs.define(slots=False)
class RequestTimedOut(TimedOut):
    """A request was not answered within this client's deadline.

    :ivar what: the request and whom it went to.
    :ivar seconds: the deadline.
    """

    what: str
    seconds: float
    effect: Effect = attrs.field(default=Effect.UNKNOWN, kw_only=True)
    retriable = True
    says = "{0.what}: no answer within {0.seconds:g} s ({0.effect.value})"


@attrs.define(slots=False)
class WaitTimedOut(TimedOut):
    """A condition on the cluster was not met in time.

    Where there was no connection to the SC, the ``__cause__`` says why.

    :ivar missing: what is missing, for example ``"partition 2 of orders has no online leader"``.
    :ivar seconds: how long it was waited for.
    """

    missing: str
    seconds: float
    effect: Effect = attrs.field(default=Effect.NONE, kw_only=True)
    retriable = True
    says = "{0.missing}, after {0.seconds:g} s"


@attrs.define(slots=False)
class DeliveryTimedOut(TimedOut):
    """A record was given up: it could not be stored within ``ProducerConfig.delivery_timeout``, or
    until ``close()`` gave up.

    The ``__cause__`` is what was in the way by then: what was waited for and for how long, such as
    a leader, an answer, or room; or the error of the last attempt. Sent again it may be stored;
    where ``effect`` is not :attr:`Effect.NONE`, perhaps for the second time.

    :ivar what: the partition, ``"orders/3"``.
    :ivar effect: :attr:`Effect.NONE` only if no attempt can have stored it.
    """

    what: str
    seconds: float
    effect: Effect = attrs.field(kw_only=True)
    retriable = True
    says = "{0.what}: not stored within {0.seconds:g} s ({0.effect.value})"


@attrs.define(slots=False)
class NotAllStored(FluvioError):
    """Of records sent together, some were not stored. The first such error is the ``__cause__``.

    :ivar stored: how many were.
    :ivar total: how many there were.
    :ivar outcomes: one for each record, in order: its metadata, or its error.
    :ivar effect: :attr:`Effect.NONE` only if none can have been stored.
    :ivar retriable: whether each of the errors is. Sent again as a whole, what was stored is stored
        again; the ``outcomes`` say which were not.
    """

    stored: int
    total: int
    outcomes: Sequence[Any] = attrs.field(repr=False)
    effect: Effect = attrs.field(kw_only=True)
    retriable: bool = attrs.field(kw_only=True)
    says = "{0.stored} of {0.total} records were stored; the first error: {0.first_error}"

    @property
    def first_error(self) -> BaseException | None:
        """The first error among the outcomes. A copy of this has it too, but no ``__cause__``."""
        return next((one for one in self.outcomes if isinstance(one, BaseException)), None)


# Partitions and positions.


@attrs.define(slots=False)
class PartitionNotFound(FluvioError):
    """The topic has no such partition.

    Known from the metadata: servers have no code for it and say that they do not lead it.
    """

    topic: str
    partition: int
    count: int
    says = "topic {0.topic} has no partition {0.partition}: it has {0.count}, numbered from 0"


class PartitionNotRead(PartitionNotFound):
    """The partition is none of those that the consumer reads, whether there is such a one or not.

    ``count`` is how many of the topic it reads; ``Consumer.partitions`` has them all.
    """

    says = "this consumer does not read {0.topic}/{0.partition}; of this topic it reads {0.count}"


@attrs.define(slots=False)
class LogTruncated(FluvioError):
    """The log now ends before the position: an election made a shorter log the leader's, or the
    log was made anew.

    Records between ``end`` and ``position`` were delivered and no longer exist. ``OffsetReset``
    says what a consumer does about it.
    """

    topic: str
    partition: int
    position: int
    end: int
    says = (
        "{0.topic}/{0.partition}: the log ends at {0.end}, before the position {0.position}:"
        " it was cut by an election, or made anew; seek, or choose a reset"
    )


# The servers' error codes.


@attrs.define(slots=False, kw_only=True)
class BrokerError(FluvioError):
    """An SC or an SPU answered with an error code.

    Codes that nobody would handle by themselves, and those this version does not know, come as
    this class; the others as one of its subclasses.

    :ivar code: the number (``fluvio-protocol/src/link/error_code.rs``).
    :ivar what: what it is about: ``"topic orders"``, ``"orders/3"``; may be empty.
    :ivar detail: the server's own words, if it had any.
    """

    code = -1
    effect = Effect.UNKNOWN
    says = "the server failed and does not say why"
    what: str = ""
    detail: str = ""

    def __str__(self) -> str:
        subject = f"{self.what}: " if self.what else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{subject}{self.says.format(self)}{detail} [code {self.code}]"


class OffsetOutOfRange(BrokerError):
    """The position asked for is beyond the end of the log."""

    code = 1
    effect = Effect.NONE
    says = "the offset is beyond the end of the log: seek, or choose a reset"


class NotLeaderForPartition(BrokerError):
    """The SPU does not lead the partition, or does not know it; also code 3001.

    A Produce that waits for replication can meet this after its records were appended.
    """

    code = 6
    effect = Effect.NONE
    retriable = True
    says = "the SPU does not lead the partition: ask the leader the metadata names now"


@attrs.define(slots=False, kw_only=True)
class ReplicationTimedOut(BrokerError, TimedOut):
    """The records were stored by the leader, but their replication was not confirmed in time.

    They stay, and may be replicated yet: sending them again stores them twice.

    :ivar timeout_ms: how long the leader waited.
    """

    code = 7
    effect = Effect.DONE
    timeout_ms: int
    says = "stored, but not replicated within {0.timeout_ms} ms: sending again stores twice"


class MessageTooLarge(BrokerError):
    """A batch exceeds the SPU's limit (32 MiB by default) or the topic's segment size."""

    code = 10
    effect = Effect.NONE
    says = "the batch is larger than the SPU or the topic's segment size allows: send smaller ones"


class PermissionDenied(BrokerError):
    """The client's identity, the name in its certificate, may not do this."""

    code = 13
    effect = Effect.NONE
    says = "not allowed for this client: its certificate decides what it may do"


class StorageError(BrokerError):
    """Writing failed on the SPU; some of the records may be in the log."""

    code = 56
    says = "the SPU failed to write: some of the records may be stored"


@attrs.define(slots=False, kw_only=True)
class OffsetEvicted(BrokerError):
    """The position lies before the start of the log: retention has removed the records there.

    :ivar offset: the position asked for.
    :ivar next_available: the start of the log, where reading can go on.
    """

    code = 71
    effect = Effect.NONE
    offset: int
    next_available: int
    says = (
        "offset {0.offset} is gone by retention, the log starts at {0.next_available}:"
        " seek there, or choose a reset"
    )


class PartitionFull(BrokerError):
    """The SPU's disk is full."""

    code = 72
    effect = Effect.NONE
    says = "no room on the SPU's disk: free some, or shorten the retention"


class PartitionShortCircuited(BrokerError):
    """An earlier write failed, and the partition refuses all writes until its SPU loads it anew."""

    code = 73
    effect = Effect.NONE
    says = "closed for writing since an earlier write failed: restart its SPU"


class SpuError(BrokerError):
    """Something about an SPU failed."""

    code = 1000
    says = "the SPU could not be managed"


class SpuOffline(SpuError):
    """The SPU is not reachable by the SC."""

    code = 1002
    effect = Effect.NONE
    retriable = True
    says = "the SPU is offline"


class SpuNotFound(SpuError):
    """There is no such SPU, or SPU group."""

    code = 1003
    effect = Effect.NONE
    says = "there is no such SPU or SPU group"


class SpuAlreadyExists(SpuError):
    """The id or the name is taken."""

    code = 1004
    effect = Effect.NONE
    says = "an SPU with this id or name exists"


class TopicError(BrokerError):
    """Something about a topic failed."""

    code = 2000
    says = "the topic could not be managed"


class TopicNotFound(TopicError):
    """There is no such topic: by a server's word, or by the metadata."""

    code = 2001
    effect = Effect.NONE
    says = "there is no such topic: check the name, or whether it was created"


class TopicAlreadyExists(TopicError):
    """The name is taken."""

    code = 2002
    effect = Effect.NONE
    says = "the name is taken: use the topic that is there, or another name"


class TopicPendingInitialization(TopicError):
    """The topic is not ready yet."""

    code = 2003
    effect = Effect.NONE
    retriable = True
    says = "not ready yet: try again"


class TopicInvalidConfiguration(TopicError):
    """A setting of the topic is refused."""

    code = 2004
    effect = Effect.NONE
    says = "a setting is refused"


class TopicNotProvisioned(TopicError):
    """The topic was created, but not all its partitions found SPUs in time. It stays."""

    code = 2005
    effect = Effect.DONE
    says = "created, but without SPUs for all its partitions: add SPUs, or delete it"


class TopicInvalidName(TopicError):
    """The name is not allowed: lower case letters, digits and ``-``, at most 63 of them."""

    code = 2006
    effect = Effect.NONE
    says = "the name is refused: only a-z, 0-9 and '-', at most 63 characters"


class TopicDeleted(TopicError):
    """The topic was deleted under an open stream."""

    code = 2007
    effect = Effect.NONE
    says = "the topic was deleted while it was read"


class TopicInvalidReplicaType(TopicError):
    """The operation does not go with how the topic's replicas are assigned."""

    code = 2008
    effect = Effect.NONE
    says = "not possible for the way this topic's replicas are assigned"


class PartitionPendingInitialization(BrokerError):
    """The partition is not ready yet."""

    code = 3000
    effect = Effect.NONE
    retriable = True
    says = "not ready yet: try again"


class FetchSessionNotFound(BrokerError):
    """The connection has no stream of this id."""

    code = 3002
    effect = Effect.NONE
    says = "the connection has no such stream: open the stream anew"


class SmartModuleError(BrokerError):
    """Something about a SmartModule failed."""

    code = 6000
    effect = Effect.NONE
    says = "the SmartModule could not be managed"


@attrs.define(slots=False, kw_only=True)
class SmartModuleNotFound(SmartModuleError):
    """The cluster has no SmartModule of this name."""

    code = 6001
    name: str
    says = "there is no SmartModule {0.name!r}: upload it first"


class SmartModuleInvalid(SmartModuleError):
    """The module is not gzipped WebAssembly, or lacks the function for its kind; also code 6003."""

    code = 6002
    says = "not a usable SmartModule: it must be gzipped WASM with the function its kind needs"


@attrs.define(slots=False, kw_only=True)
class SmartModuleRuntimeError(SmartModuleError):
    """The module failed on a record.

    When reading, the records before it in its batch, and in batches before that one, were handed
    out; they come again to whoever starts where he was. When writing, nothing of the batch was
    stored, and the offset counts from 0 in it.

    :ivar hint: the module's own words.
    :ivar offset: the offset of the record.
    :ivar kind: the kind of module, as on the wire.
    :ivar record_key: its key, or None; as this module of the chain received it, and so the value.
    :ivar record_value: its value.
    :ivar module: the module's name; of a chain all names, since which it was is not told.
    :ivar next_offset: when reading, where to go on without the record's batch, for ``seek()``.
        None where that could not be found out.
    """

    code = 6004
    hint: str
    offset: int
    kind: int
    record_key: bytes | None = attrs.field(default=None, repr=False)
    record_value: bytes = attrs.field(default=b"", repr=False)
    module: str = attrs.field(default="", init=False)
    next_offset: int | None = attrs.field(default=None, init=False)
    says = "the SmartModule failed on the record at offset {0.offset}: {0.hint}"


class SmartModuleCrashed(SmartModuleError):
    """A module broke down: a trap, such as a panic in Rust, or no memory, or bad input or output.

    It comes as code 2, without any records that came before. A consumer meets it again wherever it
    reads that batch.
    """

    code = 2
    says = "a SmartModule broke down"


class SmartModuleInitError(SmartModuleError):
    """The chain, or a module's own init function, did not start; codes 6005 and 6006."""

    code = 6005
    says = "the SmartModule chain did not start: see its parameters"


class SmartModuleLookBackError(SmartModuleError):
    """A module failed on the earlier records it asked to look back on."""

    code = 6007
    says = "the SmartModule failed while looking back"


@attrs.define(slots=False, kw_only=True)
class SmartModuleMemoryLimitExceeded(SmartModuleError):
    """The chain wants more memory than the SPU allows; both in bytes."""

    code = 6008
    requested: int
    max: int
    says = "the SmartModule chain wants {0.requested} bytes of memory and {0.max} are allowed"


class TableFormatError(BrokerError):
    """Something about a table format failed."""

    code = 7000
    says = "the table format could not be managed"


class TableFormatNotFound(TableFormatError):
    """There is no such table format."""

    code = 7001
    effect = Effect.NONE
    says = "there is no such table format"


class TableFormatAlreadyExists(TableFormatError):
    """The name is taken."""

    code = 7002
    effect = Effect.NONE
    says = "a table format of this name exists"


class CompressionError(BrokerError):
    """The topic does not accept the codec, or the SPU could not compress again."""

    code = 9000
    effect = Effect.NONE
    says = "the topic does not accept the codec, or the SPU failed to compress"


class DeduplicationSmartModuleNotLoaded(BrokerError):
    """The topic wants deduplication, and the SmartModule that does it is not on the cluster."""

    code = 10000
    effect = Effect.NONE
    says = "deduplication needs a SmartModule the cluster does not have: upload it first"


class MirrorError(BrokerError):
    """Something about a mirror failed; codes 11004 and 11005 come as this class."""

    code = 11005
    effect = Effect.NONE
    says = "not possible for this mirror"


class MirrorNotFound(MirrorError):
    """There is no such mirror."""

    code = 11001
    says = "there is no such mirror"


class MirrorAlreadyExists(MirrorError):
    """The name is taken."""

    code = 11002
    says = "a mirror of this name exists"


class MirrorReadOnly(MirrorError):
    """This side of the mirror can not be produced to; codes 11003 and 11006."""

    code = 11003
    says = "this side of the mirror is read-only: produce to the other"


@attrs.define(slots=False, kw_only=True)
class SystemObjectProtected(BrokerError):
    """A system object is deleted or changed only by force; codes 12001 and 12002."""

    code = 12001
    effect = Effect.NONE
    kind: str
    name: str
    says = "{0.kind} {0.name!r} belongs to the system: it is deleted or changed only by force"


BROKER_ERRORS: Final[Mapping[int, type[BrokerError]]] = MappingProxyType(
    {
        1: OffsetOutOfRange,
        6: NotLeaderForPartition,
        7: ReplicationTimedOut,
        10: MessageTooLarge,
        13: PermissionDenied,
        56: StorageError,
        71: OffsetEvicted,
        72: PartitionFull,
        73: PartitionShortCircuited,
        1000: SpuError,
        1002: SpuOffline,
        1003: SpuNotFound,
        1004: SpuAlreadyExists,
        2000: TopicError,
        2001: TopicNotFound,
        2002: TopicAlreadyExists,
        2003: TopicPendingInitialization,
        2004: TopicInvalidConfiguration,
        2005: TopicNotProvisioned,
        2006: TopicInvalidName,
        2007: TopicDeleted,
        2008: TopicInvalidReplicaType,
        3000: PartitionPendingInitialization,
        3001: NotLeaderForPartition,
        3002: FetchSessionNotFound,
        6000: SmartModuleError,
        6001: SmartModuleNotFound,
        6002: SmartModuleInvalid,
        6003: SmartModuleInvalid,
        6004: SmartModuleRuntimeError,
        6005: SmartModuleInitError,
        6006: SmartModuleInitError,
        6007: SmartModuleLookBackError,
        6008: SmartModuleMemoryLimitExceeded,
        7000: TableFormatError,
        7001: TableFormatNotFound,
        7002: TableFormatAlreadyExists,
        9000: CompressionError,
        10000: DeduplicationSmartModuleNotLoaded,
        11001: MirrorNotFound,
        11002: MirrorAlreadyExists,
        11003: MirrorReadOnly,
        11004: MirrorError,
        11005: MirrorError,
        11006: MirrorReadOnly,
        12001: SystemObjectProtected,
        12002: SystemObjectProtected,
    }
)
"""The class of each code that has one."""

_PLAIN: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1: BrokerError.says,
        2: "the server refused",
        60: "the create request is malformed",
        61: "the delete request is malformed",
        1001: "the SPU could not register",
        3003: "the offsets could not be flushed",
        3004: "the stream was opened without offset management",
        3005: "the peer gave up retrying",
        5000: "the connector failed",
        5001: "there is no such connector",
        5002: "a connector of this name exists",
        8000: "the derived stream failed",
        8001: "there is no such derived stream",
        8002: "the data to join with can not be read",
        8003: "the derived stream is invalid",
        10001: "the deduplication setting names no usable SmartModule",
    }
)

KNOWN_CODES: Final = frozenset({*BROKER_ERRORS, *_PLAIN})
"""The codes that this version knows, with a class of their own or without."""


def broker_error(
    code: int,
    payload: Mapping[str, object] | None = None,
    text: str | None = None,
    *,
    what: str = "",
) -> BrokerError:
    """The error for a code other than 0 in a reply.

    :param code: the number on the wire; one that nobody knows gives a plain :class:`BrokerError`.
    :param payload: the fields that came with the code, by name (all of those the code has). What
        the class has attributes for goes there; of the rest, texts become the ``detail``.
    :param text: the words some replies carry beside the code.
    :param what: what it is about, for the message: ``"topic orders"``, ``"orders/3"``.
    """
    payload = payload or {}
    cls: type[BrokerError] = BROKER_ERRORS.get(code, BrokerError)
    own = {field.name for field in attrs.fields(cls)} - {"what", "detail"}
    words = [value for name, value in payload.items() if name not in own and isinstance(value, str)]
    given: dict[str, Any] = {name: value for name, value in payload.items() if name in own}
    detail = "; ".join(dict.fromkeys(word for word in (*words, text) if word))
    error = cls(what=what, detail=detail, **given)
    error.code = int(code)
    if cls is BrokerError:
        error.says = _PLAIN.get(code, "an error this version does not know")
    return error
