"""Offsets that consumers have stored, kept in the log of ``consumer-offset/0``.

Every change is a record of that topic, so the offsets survive whatever its log survives; after
more than a hundred changes, and more than there were offsets by then, everything is written again
behind a checkpoint, before which nobody needs to read (``fluvio-kv-storage/src/log.rs``,
``fluvio-spu/src/kv/consumer.rs``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.logger import Logger

from ...errors import ProtocolError
from ...wire.codes import ReplicaKey
from ...wire.records import Batch, encode_batch
from ...wire.schema import Message, blob, field, i64, string, struct, tagged, u32, u64
from ...wire.spu import ConsumerOffset
from .replica import AppendError, Key, Replica

STORED_OFFSETS: Key = ("consumer-offset", 0)
"""The partition whose leader knows the stored offsets."""

FLUSH_THRESHOLD = 100
"""More changes than this since the last checkpoint write another one. They are also to be more than
the offsets in that, so that what is written grows with the changes and not with their square."""

_VERSION = 0

_log = Logger()


@struct
class _OffsetKey(Message):
    topic: str = field(string)
    partition: int = field(u32)
    consumer_id: str = field(string)


@struct
class _OffsetValue(Message):
    offset: int = field(i64)
    modified_time: int = field(u64)


@struct
class _Updated:
    key: bytes = field(blob)
    value: bytes = field(blob)


@struct
class _Deleted:
    key: bytes = field(blob)


@struct
class _Checkpoint:
    pass


@struct
class _Entry(Message):
    entry: _Updated | _Deleted | _Checkpoint = field(
        tagged({0: _Updated, 1: _Deleted, 2: _Checkpoint})
    )


_CHECKPOINT = _Entry(entry=_Checkpoint()).encode(_VERSION)


class StoredOffsets:
    """What the leader of ``consumer-offset/0`` knows.

    :param replica: that partition; what is in its log is known from the start.
    :param now: the time, in seconds since the Unix epoch.
    """

    def __init__(self, replica: Replica, now: Callable[[], float]) -> None:
        self._replica = replica
        self._now = now
        # By partition and consumer: what is stored of a partition goes with it.
        self._values: dict[Key, dict[str, _OffsetValue]] = {}
        self._changes = 0
        for stored in replica.log:
            self._replay_batch(Batch(stored.data, 0))
        self._last_checkpoint = sum(map(len, self._values.values()))

    def put(self, partition: Key, consumer_id: str, offset: int) -> None:
        """Store an offset, any number at all.

        :raises AppendError: the partition does not take it.
        """
        key = _key(partition, consumer_id)
        value = _OffsetValue(offset=offset, modified_time=int(self._now()))
        self._append(_updated(key, value))
        self._set(key, value)
        self._changed()

    def delete(self, partition: Key, consumer_id: str) -> None:
        """Forget an offset; one that is not there is written down as forgotten all the same.

        :raises AppendError: the partition does not take it.
        """
        key = _key(partition, consumer_id)
        self._drop(key)
        self._append(_Entry(entry=_Deleted(key=key.encode(_VERSION))).encode(_VERSION))
        self._changed()

    def forget(self, partition: Key) -> None:
        """Forget every consumer's offset in a partition that is gone.

        They are forgotten even where the log does not take that; after a restart they are back.
        """
        topic, number = partition
        gone = self._values.pop(partition, {})
        try:
            for consumer_id in gone:
                self.delete(partition, consumer_id)
        except AppendError as reason:
            _log.warn(
                "that the offsets in {topic}/{number} are gone is not written down: {reason}",
                topic=topic,
                number=number,
                reason=reason,
            )

    def get(self, partition: Key, consumer_id: str) -> int | None:
        """The offset stored, if any."""
        value = self._values.get(partition, {}).get(consumer_id)
        return None if value is None else value.offset

    def all(self) -> tuple[ConsumerOffset, ...]:
        """Everything stored."""
        return tuple(
            ConsumerOffset(
                consumer_id=key.consumer_id,
                replica_id=ReplicaKey(topic=key.topic, partition=key.partition),
                offset=value.offset,
                modified_time=value.modified_time,
            )
            for key, value in self._items()
        )

    def _items(self) -> Iterator[tuple[_OffsetKey, _OffsetValue]]:
        for partition, consumers in self._values.items():
            for consumer_id, value in consumers.items():
                yield _key(partition, consumer_id), value

    def _set(self, key: _OffsetKey, value: _OffsetValue) -> None:
        self._values.setdefault((key.topic, key.partition), {})[key.consumer_id] = value

    def _drop(self, key: _OffsetKey) -> None:
        partition = (key.topic, key.partition)
        consumers = self._values.get(partition, {})
        consumers.pop(key.consumer_id, None)
        if not consumers:
            self._values.pop(partition, None)

    def _replay_batch(self, batch: Batch) -> None:
        try:
            records = list(batch.values())
        except ProtocolError:
            # Nor does a batch that can not be read.
            return
        for record in records:
            self._replay(record)

    def _replay(self, record: bytes) -> None:
        try:
            entry = _Entry.decode(record, _VERSION).entry
            if isinstance(entry, _Checkpoint):
                self._values.clear()
                return
            key = _OffsetKey.decode(entry.key, _VERSION)
            if isinstance(entry, _Updated):
                self._set(key, _OffsetValue.decode(entry.value, _VERSION))
            else:
                self._drop(key)
        except ProtocolError:
            # Anybody may produce to the topic; what is no entry says nothing.
            return

    def _changed(self) -> None:
        self._changes += 1
        if self._changes > max(FLUSH_THRESHOLD, self._last_checkpoint):
            self._changes = 0
            stored = [_updated(*item) for item in self._items()]
            self._last_checkpoint = len(stored)
            self._append(_CHECKPOINT, *stored)

    def _append(self, *records: bytes) -> None:
        self._replica.append([Batch(encode_batch(records), 0)], self._now())


def _key(partition: Key, consumer_id: str) -> _OffsetKey:
    topic, number = partition
    return _OffsetKey(topic=topic, partition=number, consumer_id=consumer_id)


def _updated(key: _OffsetKey, value: _OffsetValue) -> bytes:
    entry = _Updated(key=key.encode(_VERSION), value=value.encode(_VERSION))
    return _Entry(entry=entry).encode(_VERSION)
