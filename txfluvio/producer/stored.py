"""Where records were stored: what whoever sent them gets."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias, overload

Positions: TypeAlias = "range | list[int]"
"""Which of the records sent together some are."""


class RecordMetadata(NamedTuple):
    """Where a record was stored.

    :ivar topic: its topic.
    :ivar partition: its partition.
    :ivar offset: its place in the partition. None where the broker does not tell: on a topic with
        deduplication, and through SmartModules, it answers with a base offset that means nothing.
    :ivar timestamp: milliseconds since the Unix epoch, as sent.
    """

    topic: str
    partition: int
    offset: int | None
    timestamp: int


class StoredRecords(Sequence[RecordMetadata]):
    """Where records sent together were stored, in the order they were given.

    A list of :class:`RecordMetadata` by its manners, each made when asked for.
    """

    __slots__ = ("_offsets", "_partitions", "_runs", "_timestamp", "_topic", "_total")

    def __init__(
        self, topic: str, timestamp: int, total: int, runs: list[tuple[Positions, int, int | None]]
    ) -> None:
        self._topic = topic
        self._timestamp = timestamp
        self._total = total
        self._runs = runs
        self._partitions: array[int] | None = None
        self._offsets: array[int] = array("q")

    def __len__(self) -> int:
        return self._total

    @overload
    def __getitem__(self, index: int) -> RecordMetadata: ...

    @overload
    def __getitem__(self, index: slice) -> list[RecordMetadata]: ...

    def __getitem__(self, index: int | slice) -> RecordMetadata | list[RecordMetadata]:
        if isinstance(index, slice):
            return [self[position] for position in range(self._total)[index]]
        return self._metadata(range(self._total)[index], self._columns())

    def __iter__(self) -> Iterator[RecordMetadata]:
        columns = self._columns()
        return (self._metadata(position, columns) for position in range(self._total))

    def __repr__(self) -> str:
        return f"<{self._total} records stored in {self._topic}>"

    def _metadata(self, position: int, partitions: array[int]) -> RecordMetadata:
        offset = self._offsets[position]
        return RecordMetadata(
            self._topic, partitions[position], None if offset < 0 else offset, self._timestamp
        )

    def _columns(self) -> array[int]:
        if self._partitions is None:
            self._partitions = array("q", bytes(8 * self._total))
            self._offsets = array("q", bytes(8 * self._total))
            for positions, partition, offset in self._runs:
                for index, position in enumerate(positions):
                    self._partitions[position] = partition
                    self._offsets[position] = -1 if offset is None else offset + index
            self._runs = []
        return self._partitions
