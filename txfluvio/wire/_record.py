"""A record as a consumer gets it, and as its bytes say; no bytes are read or written here."""

from __future__ import annotations

from typing import Any

from ._compat import mypyc_attr


@mypyc_attr(acyclic=True)
class Record:
    """One record, as a consumer gets it.

    :ivar offset: its place in the partition; ``None`` where a SmartModule made it unknowable.
    :ivar key: ``None`` when the record has no key; a key may be empty.
    :ivar value: never ``None``, perhaps empty.
    :ivar timestamp: milliseconds since the Unix epoch, set by the producer; ``None`` if unset.
    :ivar partition: the partition it was read from.
    :ivar topic: the topic it was read from.
    """

    __slots__ = ("key", "offset", "partition", "timestamp", "topic", "value")

    offset: int | None
    key: bytes | None
    value: bytes
    timestamp: int | None
    partition: int
    topic: str

    def _facts(self) -> tuple[str, int, int | None, bytes | None, bytes, int | None]:
        return (self.topic, self.partition, self.offset, self.key, self.value, self.timestamp)

    def __eq__(self, other: object) -> bool:
        return self._facts() == other._facts() if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._facts())

    def __reduce__(self) -> tuple[Any, ...]:
        return make_record, self._facts()

    def __repr__(self) -> str:
        key = "" if self.key is None else f" key={self.key!r}"
        return f"<Record {self.topic}/{self.partition}@{self.offset}{key} value={self.value!r}>"


def make_record(
    topic: str,
    partition: int,
    offset: int | None,
    key: bytes | None,
    value: bytes,
    timestamp: int | None,
) -> Record:
    record = Record()
    record.topic = topic
    record.partition = partition
    record.offset = offset
    record.key = key
    record.value = value
    record.timestamp = timestamp
    return record


class RawRecord:
    """One record exactly as its bytes say, nothing computed: for tools that write it again."""

    __slots__ = ("attributes", "headers", "key", "offset_delta", "timestamp_delta", "value")

    def __init__(
        self,
        attributes: int,
        timestamp_delta: int,
        offset_delta: int,
        key: bytes | None,
        value: bytes,
        headers: int,
    ) -> None:
        self.attributes = attributes
        self.timestamp_delta = timestamp_delta
        self.offset_delta = offset_delta
        self.key = key
        self.value = value
        self.headers = headers
