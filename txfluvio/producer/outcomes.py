"""What becomes of records: stored at an offset, or an error; told to whoever waits for it.

A record sent by itself is waited for by a Deferred. Records sent together share one object,
:class:`Many`, to which each batch reports what became of its part; so does a record that has to
wait before it gets into a batch. Nothing here knows connections or time.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol, TypeAlias, overload

from twisted.internet.defer import Deferred

from ..errors import Effect, FluvioError, NotAllStored
from .accumulator import Batch

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


class Waiter(Protocol):
    """Who has a receipt of a batch."""

    def stored(self, partition: int, offset: int | None) -> None:
        """The batch was stored, the waiter's first record at ``offset``."""

    def failed(self, partition: int, error: FluvioError) -> None:
        """The batch was not stored, or not for certain."""


Held: TypeAlias = Batch["Waiter | Deferred[RecordMetadata]"]
"""A batch of a producer. A record sent by itself is waited for by its Deferred alone."""


class Lot:
    """Those of some records sent together that go to one partition.

    :ivar start: where in ``values`` begins what has not been taken in yet.
    """

    __slots__ = ("keys", "partition", "positions", "start", "values")

    def __init__(
        self,
        partition: int,
        keys: list[bytes | None] | None,
        values: list[bytes],
        positions: Positions,
    ) -> None:
        self.partition = partition
        self.keys = keys
        self.values = values
        self.positions = positions
        self.start = 0


class Part:
    """Those of some records sent together that are in one batch."""

    __slots__ = ("_many", "batch", "positions")

    def __init__(self, many: Many, batch: Held, positions: Positions) -> None:
        self._many = many
        self.batch = batch
        self.positions = positions

    def stored(self, partition: int, offset: int | None) -> None:
        self._many.part_stored(self, partition, offset)

    def failed(self, partition: int, error: FluvioError) -> None:
        self._many.part_failed(self, error)


class Many:
    """Records sent together, until all have their outcomes, and the Deferred for them.

    Cancelling that withdraws those of them that were not sent yet.

    :param timestamp: milliseconds since the Unix epoch.
    :param since: when they were sent, by the producer's clock.
    :param on_cancel: called with this when the caller has cancelled.

    :ivar lots: what is still to be taken in.
    :ivar followers: told once, when all have their outcomes.
    """

    def __init__(
        self,
        topic: str,
        lots: list[Lot],
        timestamp: int,
        since: float,
        on_cancel: Callable[[Many], object],
    ) -> None:
        self.deferred: Deferred[Any] = Deferred(self._cancelled)
        self.lots = deque(lots)
        self.timestamp = timestamp
        self.since = since
        self.followers: list[Countdown] = []
        self._topic = topic
        self._on_cancel = on_cancel
        self._total = self._left = sum(len(lot.values) for lot in lots)
        self._parts: dict[Part, None] = {}
        self._runs: list[tuple[Positions, int, int | None]] = []
        self._failures: list[tuple[Positions, FluvioError]] = []

    def take_in(self, batch: Held, lot: Lot, first: int, stop: int) -> None:
        """Note that the records of ``lot`` up to ``stop`` are in ``batch``, from ``first`` on."""
        part = Part(self, batch, lot.positions[lot.start : stop])
        self._parts[part] = None
        batch.receipts.append((first, stop - lot.start, self.timestamp, part))
        lot.start = stop

    def part_stored(self, part: Part, partition: int, offset: int | None) -> None:
        if part in self._parts:
            del self._parts[part]
            self._runs.append((part.positions, partition, offset))
            self._ended(len(part.positions))

    def part_failed(self, part: Part, error: FluvioError) -> None:
        if part in self._parts:
            del self._parts[part]
            self._failures.append((part.positions, error))
            self._ended(len(part.positions))

    def give_up(self, error: Callable[[int], FluvioError]) -> None:
        """Fail what has not been taken in yet.

        :param error: makes the error for the records of a partition.
        """
        lots = list(self.lots)
        self.lots.clear()
        for lot in lots:
            positions = lot.positions[lot.start :]
            self._failures.append((positions, error(lot.partition)))
            self._ended(len(positions))

    def _ended(self, count: int) -> None:
        self._left -= count
        if self._left:
            return
        followers, self.followers = self.followers, []
        self._fire()
        for follower in followers:
            follower.ended()

    def _fire(self) -> None:
        stored = StoredRecords(self._topic, self.timestamp, self._total, self._runs)
        if not self._failures:
            self.deferred.callback(stored)
            return
        failed = sum(len(positions) for positions, _ in self._failures)
        harmless = failed == self._total and all(
            error.effect is Effect.NONE for _, error in self._failures
        )
        outcomes: list[RecordMetadata | FluvioError] = list(stored)
        for positions, error in self._failures:
            for position in positions:
                outcomes[position] = error
        failure = NotAllStored(
            self._total - failed,
            self._total,
            outcomes,
            effect=Effect.NONE if harmless else Effect.UNKNOWN,
        )
        failure.__cause__ = next(o for o in outcomes if isinstance(o, FluvioError))
        self.deferred.errback(failure)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        parts, self._parts = self._parts, {}
        followers, self.followers = self.followers, []
        self.lots.clear()
        for part in parts:
            part.batch.withdraw(part)
        self._on_cancel(self)
        for follower in followers:
            follower.ended()


class One(Many):
    """A record sent by itself that has to wait before it gets into a batch."""

    def _fire(self) -> None:
        if self._failures:
            self.deferred.errback(self._failures[0][1])
        else:
            (_, partition, offset) = self._runs[0]
            self.deferred.callback(RecordMetadata(self._topic, partition, offset, self.timestamp))


class Countdown:
    """Waits until everything that a producer held at one moment has its outcome.

    It has a receipt of each batch, of no records, and follows what is not in a batch yet.

    :param on_end: called with this when that is so, or when the caller has cancelled.
    """

    def __init__(self, on_end: Callable[[Countdown], None]) -> None:
        self.deferred: Deferred[None] = Deferred(lambda _: on_end(self))
        self._on_end = on_end
        self._left = 0

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._left

    def watch(self, batch: Held) -> None:
        self._left += 1
        batch.receipts.append((batch.count, 0, 0, self))

    def follow(self, many: Many) -> None:
        self._left += 1
        many.followers.append(self)

    def stored(self, partition: int, offset: int | None) -> None:
        self.ended()

    def failed(self, partition: int, error: FluvioError) -> None:
        self.ended()

    def ended(self) -> None:
        self._left -= 1
        if not self._left and not self.deferred.called:
            self._on_end(self)
            self.deferred.callback(None)


def tell_stored(held: Held, topic: str, partition: int, base: int | None) -> None:
    """Tell those who wait that a batch was stored, its first record at ``base``."""
    receipts, held.receipts = held.receipts, []
    for first, _, timestamp, waiter in receipts:
        offset = None if base is None else base + first
        if not isinstance(waiter, Deferred):
            waiter.stored(partition, offset)
        elif not waiter.called:
            waiter.callback(RecordMetadata(topic, partition, offset, timestamp))


def tell_failed(held: Held, partition: int, error: FluvioError) -> None:
    """Tell those who wait that a batch failed, each by an error of its own."""
    receipts, held.receipts = held.receipts, []
    for _, _, _, waiter in receipts:
        own = copy(error)
        own.__cause__ = error.__cause__
        if not isinstance(waiter, Deferred):
            waiter.failed(partition, own)
        elif not waiter.called:
            waiter.errback(own)
