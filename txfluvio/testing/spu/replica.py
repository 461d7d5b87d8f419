"""An SPU's copy of a partition, in one role: what may be appended, and when it is committed.

A leader appends what producers send and knows how far each follower is; a follower copies. The
high watermark is the first offset that not all replicas have: every follower counts, one that is
down holds it back, and without followers it moves with each successful append
(``fluvio-spu/src/replication/leader/replica_state.rs``).

A new role is a new :class:`Replica`. What still holds the old one, as a stream does that was
opened before its SPU lost the leadership, hears nothing any more but can go on reading it: that is
how silent streams come about.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence

import attrs

from ...wire.codes import Code, ErrorCode, error
from ...wire.compression import Compression
from ...wire.records import CODEC_BITS, Batch
from ...wire.sc import (
    HomePartition,
    PartitionMirror,
    PartitionSpec,
    RemotePartition,
    TopicCompression,
)
from ..smartmodules.chain import Chain, OutOfMemory, Trap, merge
from .log import DEFAULT_SEGMENT_SIZE, PartitionLog

Key = tuple[str, int]
"""A partition: its topic's name and its number."""

MAX_BATCH_SIZE = 33_554_432
"""Bytes of the largest batch that any SPU takes."""

DEFAULT_RETENTION = 604_800
"""Seconds that a segment is kept once it is full, where the topic does not say."""

DEFAULT_PARTITION_SIZE = 107_374_182_400
"""Bytes that a partition may have, where the topic does not say."""

_CODECS: Mapping[TopicCompression, Compression] = {
    TopicCompression.NONE: Compression.NONE,
    TopicCompression.GZIP: Compression.GZIP,
    TopicCompression.SNAPPY: Compression.SNAPPY,
    TopicCompression.LZ4: Compression.LZ4,
    TopicCompression.ZSTD: Compression.ZSTD,
}


class AppendError(Exception):
    """Batches that are not, or not all, appended; ``error`` is what the producer is told."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.error = code


class Role(enum.Enum):
    """What an SPU does with a partition."""

    LEADER = "leader"
    FOLLOWER = "follower"


@attrs.frozen
class Report:
    """What an SPU says of a replica of its own.

    :ivar leo: the offset that the next record will get.
    :ivar hw: the offset behind the last record that all replicas have.
    :ivar size: bytes on disk.
    :ivar log_start: the first offset that is still stored.
    """

    leo: int
    hw: int
    size: int
    log_start: int


@attrs.frozen
class Appended:
    """Where batches went.

    :ivar base: the offset of the first record.
    :ivar end: the offset behind the last.
    :ivar repaired: some of them came with a wrong checksum.
    """

    base: int
    end: int
    repaired: bool = False


class Replica:
    """A partition on one SPU, for as long as the SPU has one role in it.

    :param followers: the ids of the SPUs that have to have a record before it is committed.
    :param deduplication: what drops records before they are appended; its memory is that of the
        role.
    :ivar deleted: the partition is gone; what reads it has to be told.
    :ivar short_circuited: an append went wrong, so there will be no other before a restart.
    """

    def __init__(
        self,
        key: Key,
        spec: PartitionSpec,
        log: PartitionLog,
        *,
        role: Role,
        followers: Sequence[int] = (),
        deduplication: Chain | None = None,
        on_change: Callable[[], object],
    ) -> None:
        self.key = key
        self.spec = spec
        self.log = log
        self.role = role
        self.deleted = False
        self.short_circuited = False
        self._deduplication = deduplication
        self._progress: dict[int, int] = dict.fromkeys(followers, -1)
        self._on_change = on_change
        self._listeners: dict[int, Callable[[], object]] = {}
        self._next_listener = 0
        self._news = False
        self._telling = False

    @property
    def followers(self) -> Mapping[int, int]:
        """How far each follower is: its log end offset, -1 before it has said."""
        return dict(self._progress)

    @property
    def refusal(self) -> ErrorCode | None:
        """Why nobody may produce here, if so."""
        return _mirror_refusal(self.spec.mirror)

    def report(self) -> Report:
        """The state of the log, in short."""
        log = self.log
        return Report(leo=log.leo, hw=log.hw, size=log.size, log_start=log.log_start)

    # Writing

    def append(self, batches: Sequence[Batch], now: float) -> Appended:
        """Append batches as the leader, in this order, each under its new base offset.

        :raises AppendError: as each check says. The checks of all batches come before the first is
            written; a batch without records fails when its turn comes, leaves those before it in
            the log, uncommitted, and is the last that the partition accepts.
        """
        self._check_compression(batches)
        if self._deduplication is not None:
            batches = _deduplicated(self._deduplication, batches)
            # What began at -1 has no offsets afterwards, with records in it or without.
            if all(batch.last_offset_delta < 0 for batch in batches):
                return Appended(self.log.hw, self.log.leo)
        self._check(batches)
        log = self.log
        base, repaired = log.leo, False
        for batch in batches:
            if batch.last_offset_delta < 0:
                self.short_circuited = True
                raise AppendError(error(Code.STORAGE_ERROR))
            stored = log.append(batch, now)
            repaired = repaired or stored.crc != batch.crc
        if not self._progress:
            log.hw = log.leo
        self._changed()
        return Appended(base, log.leo, repaired)

    def _check_compression(self, batches: Sequence[Batch]) -> None:
        if any(not _accepted(batch, self.spec.compression_type) for batch in batches):
            raise AppendError(error(Code.COMPRESSION_ERROR))

    def _check(self, batches: Sequence[Batch]) -> None:
        largest = min(self.log.segment_size, MAX_BATCH_SIZE)
        if any(batch.size > largest for batch in batches):
            raise AppendError(error(Code.MESSAGE_TOO_LARGE))
        if self.short_circuited:
            raise AppendError(error(Code.PARTITION_SHORT_CIRCUITED))

    def acknowledged(self, follower: int, leo: int) -> None:
        """A follower has everything below ``leo``.

        Nothing is learned from one that is not among the followers or claims more than there is.
        """
        log = self.log
        if follower not in self._progress or leo > log.leo or self._progress[follower] == leo:
            return
        self._progress[follower] = leo
        committed = min(self._progress.values())
        if committed > log.hw:
            log.hw = committed
            self._changed()

    def copy_from(self, leader: Replica, *, spu: int, now: float, compare: bool = False) -> None:
        """Get as a follower what the leader has, and tell it; both know then what is committed.

        A log that is longer than the leader's is cut first. Where the leader no longer has what
        comes next, nothing is copied.

        :param spu: the id of the follower's SPU.
        :param compare: whether to cut as well what the leader has otherwise.
        """
        log, source = self.log, leader.log
        changed = log.truncate(source.leo)
        if compare:
            changed = log.truncate(log.agreement(source)) or changed
        for batch in source.since(log.leo):
            if batch.base != log.leo:
                break
            log.store(batch, now)
            changed = True
        leader.acknowledged(spu, log.leo)
        committed = min(source.hw, log.leo)
        if log.hw < committed:
            log.hw = committed
            changed = True
        if changed:
            self._changed()

    # Retention

    def clean(self, now: float) -> None:
        """Evict what is too old or too much, as the SPU does every few seconds."""
        storage, policy = self.spec.storage, self.spec.cleanup_policy
        limit = None if storage is None else storage.max_partition_size
        self.log.shrink(DEFAULT_PARTITION_SIZE if limit is None else limit)
        self.log.expire(now - (DEFAULT_RETENTION if policy is None else policy.time_in_seconds))

    # Listening

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call ``listener`` after every change, until the function returned is called."""
        number = self._next_listener
        self._next_listener += 1
        self._listeners[number] = listener

        def unsubscribe() -> None:
            self._listeners.pop(number, None)

        return unsubscribe

    def retire(self) -> None:
        """The role is over: nobody is told anything any more."""
        self._listeners.clear()

    def delete(self) -> None:
        """The partition is gone: tell whoever reads it."""
        self.deleted = True
        self._tell()

    def _changed(self) -> None:
        self._tell()
        self._on_change()

    def _tell(self) -> None:
        """Tell everybody; of what changes meanwhile they are told once all have been told."""
        self._news = True
        if self._telling:
            return
        self._telling = True
        try:
            while self._news:
                self._news = False
                for number in list(self._listeners):
                    # One that is told may be why another listens no more.
                    listener = self._listeners.get(number)
                    if listener is not None:
                        listener()
        finally:
            self._telling = False
            if self.deleted:
                self._listeners.clear()


def _accepted(batch: Batch, policy: TopicCompression) -> bool:
    codec = batch.attributes & CODEC_BITS
    if policy is TopicCompression.ANY:
        return codec <= Compression.ZSTD
    return codec == _CODECS[policy]


def _deduplicated(chain: Chain, batches: Sequence[Batch]) -> Sequence[Batch]:
    """What deduplication lets through: one batch, or none."""
    try:
        merged = merge(chain, batches)
    except OutOfMemory as reason:
        raise AppendError(reason.error) from reason
    except Trap as reason:
        raise AppendError(error(Code.STORAGE_ERROR)) from reason
    if merged.error is not None:
        raise AppendError(error(Code.STORAGE_ERROR))
    return [Batch(merged.encode(), 0)] if merged.count else []


def _mirror_refusal(mirror: PartitionMirror | None) -> ErrorCode | None:
    if isinstance(mirror, RemotePartition) and mirror.target:
        return error(Code.MIRROR_PRODUCE_FROM_REMOTE_NOT_ALLOWED)
    if isinstance(mirror, HomePartition) and not mirror.source:
        return error(Code.MIRROR_PRODUCE_FROM_HOME)
    return None


def replica_log(spec: PartitionSpec) -> PartitionLog:
    """An empty log with the segments that a partition asks for."""
    storage = spec.storage
    size = None if storage is None else storage.segment_size
    return PartitionLog(DEFAULT_SEGMENT_SIZE if size is None else size)
