"""Records gathered into batches: what one partition of a producer holds that is not under way.

Pure: the time is an argument, and whoever waits for the outcome of records is a :class:`Waiter`,
kept beside them. When a batch is due, how much goes at once, and what becomes of records withdrawn
or too old is decided here; connections, leaders and retries are not known here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from ..errors import Effect, FluvioError
from ..wire.compression import Compression
from ..wire.records import BatchBuilder


class Waiter(Protocol):
    """Who has a receipt of a batch."""

    def stored(self, offset: int | None) -> None:
        """The batch was stored, the waiter's first record at ``offset``."""

    def failed(self, error: FluvioError) -> None:
        """The batch was not stored, or not for certain."""


class Batch:
    """Records that go together, and who waits for them.

    :ivar created: when its first record came, by the producer's clock.
    :ivar sealed: whether it was encoded to leave; nothing can be withdrawn from it any more.
    :ivar effect: what the attempts so far may have done.
    :ivar builder: takes the records.
    :ivar receipts: who waits, each with the index of its first record, in their order.
    """

    __slots__ = (
        "_data",
        "_withdrawn",
        "builder",
        "created",
        "effect",
        "receipts",
        "sealed",
    )

    def __init__(self, created: float, timestamp: int) -> None:
        self._data = b""
        self._withdrawn: set[int] = set()
        self.builder = BatchBuilder(timestamp)
        self.created = created
        self.effect = Effect.NONE
        self.receipts: list[tuple[int, Waiter]] = []
        self.sealed = False

    @property
    def count(self) -> int:
        """Its records, those withdrawn included."""
        return self.builder.count

    @property
    def remaining(self) -> int:
        """Its records, those withdrawn not included. With none it must not be sent."""
        return self.builder.count - len(self._withdrawn)

    @property
    def size(self) -> int:
        """Bytes before compression."""
        return self.builder.size

    def withdraw(self, first: int, count: int = 1) -> bool:
        """Leave ``count`` records out, from the index ``first`` on; False: it is sealed."""
        if not self.sealed:
            self._withdrawn.update(range(first, first + count))
        return not self.sealed

    def told(self) -> list[tuple[int, Waiter]]:
        """Who waited, for the batch has its outcome; each with its first record's place in it.

        That is the place among the records sent: those withdrawn do not count.
        """
        receipts, self.receipts = self.receipts, []
        if not self._withdrawn:
            return receipts
        gone = sorted(self._withdrawn)
        return [(first - bisect_left(gone, first), waiter) for first, waiter in receipts]

    def encode(self, compression: Compression) -> bytes:
        """The bytes to send, the same each time. From the first time on nothing changes them."""
        if not self.sealed:
            self.sealed = True
            self._data = self.builder.build(compression, self._withdrawn)
            self.builder.discard()
        return self._data


class PartitionQueue:
    """The batches of one partition that wait to be sent, the oldest first.

    The last one may still be open. A record that would take it over ``batch_size`` bytes opens
    another; a single larger one, up to ``max_request_size``, goes alone.

    :param linger: seconds an open batch waits for more records.
    :param patience: seconds after which a batch takes no more, so that what is appended late does
        not inherit the age of what came first.

    :ivar last: the batch that took the latest record.
    """

    __slots__ = (
        "_batch_size",
        "_batches",
        "_linger",
        "_max_request_size",
        "_open",
        "_patience",
        "last",
    )

    last: Batch

    def __init__(
        self, *, linger: float, batch_size: int, max_request_size: int, patience: float
    ) -> None:
        self._linger = linger
        self._batch_size = batch_size
        self._max_request_size = max_request_size
        self._patience = patience
        self._batches: deque[Batch] = deque()
        self._open: Batch | None = None

    def __len__(self) -> int:
        return len(self._batches)

    def __reversed__(self) -> Iterator[Batch]:
        return reversed(self._batches)

    @property
    def since(self) -> float | None:
        """When the first record of the first batch came; None if there is none."""
        return self._batches[0].created if self._batches else None

    def extend(
        self,
        keys: Sequence[bytes | None] | None,
        values: Sequence[bytes],
        start: int,
        timestamp: int | Sequence[int],
        now: float,
    ) -> tuple[int, int]:
        """Add ``values[start:]`` as far as one batch goes, which is then :attr:`last`.

        :param timestamp: of all or of each, milliseconds since the Unix epoch.
        :param now: seconds, by the producer's clock.
        :returns: where in ``values`` that ends, at least one further, and how many bytes it took.
        """
        batch = self._open
        if batch is not None and now <= batch.created + self._patience:
            builder = batch.builder
            before = builder.size
            stop = builder.extend(keys, values, start, timestamp, self._batch_size)
            if stop > start:
                if stop < len(values) or builder.size >= self._batch_size:
                    self._open = None
                return stop, builder.size - before
        first = timestamp if isinstance(timestamp, int) else timestamp[start]
        builder = self._begin(first, now)
        stop = builder.extend(keys, values, start, timestamp, self._batch_size)
        if stop == start:
            key = None if keys is None else keys[start]
            fits = builder.fit(key, values[start], first, self._max_request_size)
            assert fits, "the record was not checked"
            stop += 1
        if stop < len(values) or builder.size >= self._batch_size:
            self._open = None
        return stop, builder.size

    def due_in(self, now: float, *, hurry: bool = False) -> float | None:
        """In how many seconds the first batch may leave, 0: now; None if there is none.

        :param hurry: whether even an open batch may.
        """
        if not self._batches:
            return None
        first = self._batches[0]
        return first.created + self._linger - now if self._lingers(first, now, hurry) else 0.0

    def take(self, now: float, *, hurry: bool = False) -> list[Batch]:
        """Remove and return the batches that are due, the oldest first, up to one request."""
        taken: list[Batch] = []
        room = self._max_request_size
        while self._batches:
            first = self._batches[0]
            if taken and first.size > room:
                break
            if self._lingers(first, now, hurry):
                break
            room -= first.size
            taken.append(self._pop())
        return taken

    def give_back(self, batches: Sequence[Batch]) -> None:
        """Put batches taken before back to the front, in their order."""
        self._batches.extendleft(reversed(batches))

    def drop(self) -> list[Batch]:
        """Remove and return the first batches, as far as every record of them was withdrawn."""
        dropped: list[Batch] = []
        while self._batches and not self._batches[0].remaining:
            dropped.append(self._pop())
        return dropped

    def expire(self, now: float, age: float) -> list[Batch]:
        """Remove and return the batches whose first record came ``age`` seconds ago or earlier."""
        expired: list[Batch] = []
        while self._batches and self._batches[0].created + age <= now:
            expired.append(self._pop())
        return expired

    def clear(self) -> list[Batch]:
        """Remove and return all."""
        self._open = None
        batches = list(self._batches)
        self._batches.clear()
        return batches

    def _lingers(self, first: Batch, now: float, hurry: bool) -> bool:
        # What came later than now came before the clock was set back, who knows how far.
        return (
            first is self._open
            and not hurry
            and first.created <= now < first.created + self._linger
        )

    def _pop(self) -> Batch:
        first = self._batches.popleft()
        if first is self._open:
            self._open = None
        return first

    def _begin(self, timestamp: int, now: float) -> BatchBuilder:
        self.last = self._open = Batch(now, timestamp)
        self._batches.append(self.last)
        return self.last.builder
