"""What becomes of records: stored at an offset, or an error; told to whoever waits for it.

Records sent together share one object, a :class:`Submission`, to which each batch reports what
became of its part. They are those of one call (:class:`Many`), or those of the single calls within
a turn of the reactor (:class:`Each`). Nothing here knows connections or time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count, repeat
from typing import Any, TypeAlias

import attrs
from twisted.internet.defer import CancelledError, Deferred

from ..errors import Effect, FluvioError, NotAllStored, another
from .accumulator import Batch
from .checks import Keys
from .stored import Positions, RecordMetadata, StoredRecords

THEIR_OWN = -1
"""In the place of a timestamp that some records have in common: each has another."""

Outcome: TypeAlias = int | FluvioError | None
"""What became of records: the offset of the first, None where that is not told, or an error."""

KEY, VALUE, TIMESTAMP, PARTITION, DEFERRED = range(5)
"""What :attr:`Each.rows` has of each record, in this order."""
_WIDTH = 5


class Lot:
    """Those of some records sent together that go to one partition.

    :ivar start: where in ``values`` begins what has not been taken in yet.
    :ivar timestamps: of each, where they have not one in common.
    """

    __slots__ = ("keys", "partition", "positions", "start", "timestamps", "values")

    def __init__(
        self,
        partition: int,
        keys: Keys,
        values: list[bytes],
        positions: Positions,
    ) -> None:
        self.partition = partition
        self.keys = keys
        self.values = values
        self.positions = positions
        self.start = 0
        self.timestamps: list[int] | None = None


class Part:
    """Those of some records sent together that are in one batch.

    :ivar partition: the partition of the batch.
    :ivar positions: which of them, ascending.
    """

    __slots__ = ("_batch", "_first", "_submission", "partition", "positions")

    def __init__(
        self, submission: Submission, batch: Batch, partition: int, first: int, positions: Positions
    ) -> None:
        self._submission = submission
        self._batch = batch
        self._first = first
        self.partition = partition
        self.positions = positions

    def withdraw(self) -> bool:
        """Leave all out; False: the batch is sealed."""
        return self._withdraw(self._first, len(self.positions))

    def withdraw_one(self, position: int) -> bool:
        """Leave out the one at ``position``; False: the batch is sealed."""
        return self._withdraw(self._first + bisect_left(self.positions, position), 1)

    def _withdraw(self, first: int, number: int) -> bool:
        withdrawn = self._batch.withdraw(first, number)
        if withdrawn and not self._batch.remaining:
            self._submission.origin.emptied(self.partition)
        return withdrawn

    def stored(self, offset: int | None) -> None:
        self._submission.part_ended(self, offset)

    def failed(self, error: FluvioError) -> None:
        self._submission.part_ended(self, error)


@attrs.frozen
class Origin:
    """The producer that records are sent by.

    :ivar topic: the name of its topic.
    :ivar withdrawn: called with a :class:`Submission` when the caller has cancelled all of it that
        had no outcome.
    :ivar emptied: called with a partition of which a batch has no record left that was not
        withdrawn.
    :ivar telling: a context in which outcomes are told.
    """

    topic: str
    withdrawn: Callable[[Submission], object]
    emptied: Callable[[int], object]
    telling: Telling


class Submission(ABC):
    """Records sent together, until all have their outcomes.

    :param timestamp: of all, milliseconds since the Unix epoch.
    :param since: when they were sent, by the producer's clock.

    :ivar lots: what is still to be taken in.
    :ivar followers: told once, when all have their outcomes.
    """

    __slots__ = ("_left", "_parts", "followers", "lots", "origin", "since", "timestamp")

    def __init__(self, origin: Origin, timestamp: int, since: float) -> None:
        self.lots: deque[Lot] = deque()
        self.timestamp = timestamp
        self.since = since
        self.followers: list[Countdown] = []
        self.origin = origin
        self._left = 0
        self._parts: dict[Part, None] = {}

    def take_in(self, batch: Batch, lot: Lot, first: int, stop: int) -> Part:
        """Note that the records of ``lot`` up to ``stop`` are in ``batch``, from ``first`` on."""
        part = Part(self, batch, lot.partition, first, lot.positions[lot.start : stop])
        self._parts[part] = None
        batch.receipts.append((first, part))
        lot.start = stop
        return part

    def part_ended(self, part: Part, outcome: Outcome) -> None:
        """The batch of a part has its outcome, of which this is what concerns the part."""
        if part in self._parts:
            del self._parts[part]
            self._tell(part.positions, part.partition, outcome)

    def give_up(self, error: Callable[[int], FluvioError]) -> None:
        """Fail what has not been taken in yet.

        :param error: makes the error for the records of a partition.
        """
        lots = list(self.lots)
        self.lots.clear()
        for lot in lots:
            self._tell(lot.positions[lot.start :], lot.partition, error(lot.partition))

    @abstractmethod
    def _tell(self, positions: Positions, partition: int, outcome: Outcome) -> None:
        """Tell or keep the outcome of some records, and count them with :meth:`_ended`."""

    def _ended(self, number: int) -> None:
        self._left -= number
        if not self._left:
            self._end()

    def _end(self) -> None:
        """All have their outcomes, or nobody waits for them."""
        followers, self.followers = self.followers, []
        for follower in followers:
            follower.ended()


class Many(Submission):
    """Records sent by one call, and the Deferred for all of them.

    Cancelling that withdraws those of them that were not sent yet.
    """

    __slots__ = ("_failures", "_runs", "_total", "deferred")

    def __init__(self, origin: Origin, lots: list[Lot], timestamp: int, since: float) -> None:
        super().__init__(origin, timestamp, since)
        self.deferred: Deferred[Sequence[RecordMetadata]] = Deferred(self._cancelled)
        self.lots.extend(lots)
        self._total = self._left = sum(len(lot.values) for lot in lots)
        self._runs: list[tuple[Positions, int, int | None]] = []
        self._failures: list[tuple[Positions, FluvioError]] = []

    def _tell(self, positions: Positions, partition: int, outcome: Outcome) -> None:
        if isinstance(outcome, FluvioError):
            self._failures.append((positions, outcome))
        else:
            self._runs.append((positions, partition, outcome))
        self._ended(len(positions))

    def _end(self) -> None:
        if not self.deferred.called:
            self._fire()
        super()._end()

    def _fire(self) -> None:
        stored = StoredRecords(self.origin.topic, self.timestamp, self._total, self._runs)
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
            retriable=all(error.retriable for _, error in self._failures),
        )
        failure.__cause__ = failure.first_error
        self.deferred.errback(failure)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        self.lots.clear()
        # What is under way is still counted, and told to nobody.
        self._parts = {part: None for part in self._parts if not part.withdraw()}
        self._left = sum(len(part.positions) for part in self._parts)
        with self.origin.telling:
            self.origin.withdrawn(self)
            if not self._left:
                # Who cancels is told before those who wait for it.
                deferred.errback(CancelledError())
                super()._end()


class Each(Submission):
    """Records sent by a call each within one turn of the reactor, and a Deferred for each of them.

    Cancelling one withdraws its record, if that was not sent yet.

    :param timestamp: of all, milliseconds since the Unix epoch; or ``THEIR_OWN``.

    :ivar rows: for whoever adds a record, which a call for each would take too long. Of each record
        its key, its value, its own timestamp where they have not one in common, its partition or
        None for one to be chosen, and its Deferred; in one list, row after row, since that takes
        the least time.
    :ivar cancel: the canceller of these Deferreds. Bound once: what the garbage collector has to
        look through counts more than it takes.
    """

    __slots__ = (
        "_deferreds",
        "_early",
        "_places",
        "_timestamps",
        "_withdrawn",
        "cancel",
        "rows",
    )

    def __init__(self, origin: Origin, timestamp: int, since: float) -> None:
        super().__init__(origin, timestamp, since)
        self.rows: list[Any] = []
        self._timestamps: list[int] = []
        self._deferreds: list[Deferred[RecordMetadata]] | None = None
        # Once somebody has cancelled: of each record without an outcome its position, and the part
        # that it is in, or None while it is in a lot.
        self._places: dict[Deferred[RecordMetadata], tuple[int, Part | None]] | None = None
        self._withdrawn: set[int] | None = None
        self._early = False
        self.cancel: Callable[[Deferred[RecordMetadata]], None] | None = self._cancelled

    def close(self) -> tuple[list[int | None], list[bytes | None], list[bytes]]:
        """There will be no more.

        :returns: the partitions that are known, the keys and the values: what :attr:`lots` are made
            of. Nothing, if all were cancelled.
        """
        rows, self.rows = self.rows, []
        deferreds = self._deferreds = rows[DEFERRED::_WIDTH]
        self._left = len(deferreds)
        if self._early:
            self._withdrawn = {index for index, one in enumerate(deferreds) if one.called}
            self._left -= len(self._withdrawn)
            if not self._left:
                return [], [], []
        if self.timestamp == THEIR_OWN:
            self._timestamps = rows[TIMESTAMP::_WIDTH]
        return rows[PARTITION::_WIDTH], rows[KEY::_WIDTH], rows[VALUE::_WIDTH]

    def line_up(self, lots: Sequence[Lot]) -> None:
        """Let these be what is to be taken in."""
        self.lots.extend(lots)
        if self.timestamp == THEIR_OWN:
            for lot in lots:
                lot.timestamps = [self._timestamps[position] for position in lot.positions]

    def take_in(self, batch: Batch, lot: Lot, first: int, stop: int) -> Part:
        part = super().take_in(batch, lot, first, stop)
        if self._places is not None:
            self._places.update(self._placed(part.positions, part))
        if self._withdrawn:
            for position in self._withdrawn.intersection(part.positions):
                part.withdraw_one(position)
        return part

    def _tell(self, positions: Positions, partition: int, outcome: Outcome) -> None:
        deferreds = self._deferreds or []
        if self._withdrawn:
            positions = [position for position in positions if position not in self._withdrawn]
        if isinstance(positions, range):
            told = deferreds[positions.start : positions.stop : positions.step]
        else:
            told = [deferreds[position] for position in positions]
        if self._places is not None:
            for deferred in told:
                self._places.pop(deferred, None)
        if isinstance(outcome, FluvioError):
            for deferred in told:
                if not deferred.called:
                    deferred.errback(another(outcome))
        else:
            offsets = repeat(None) if outcome is None else count(outcome)
            times: Iterable[int] = repeat(self.timestamp)
            if self.timestamp == THEIR_OWN:
                times = [self._timestamps[position] for position in positions]
            places = zip(repeat(self.origin.topic), repeat(partition), offsets, times, strict=False)
            # A named tuple's own way takes twice as long.
            stored = map(tuple.__new__, repeat(RecordMetadata), places)
            for deferred, metadata in zip(told, stored, strict=False):
                if not deferred.called:
                    deferred.callback(metadata)
        self._ended(len(told))

    def _end(self) -> None:
        self.cancel = None
        super()._end()

    def _cancelled(self, deferred: Deferred[RecordMetadata]) -> None:
        if self._deferreds is None:
            self._early = True
            return
        if self._places is None:
            self._places = self._find_places()
        found = self._places.get(deferred)
        if found is None:
            # Its outcome is just being told.
            return
        position, part = found
        if part is not None and not part.withdraw_one(position):
            # It is under way: what becomes of it is counted, and told to nobody.
            return
        self._withdrawn = self._withdrawn or set()
        self._withdrawn.add(position)
        self._left -= 1
        if not self._left:
            self.lots.clear()
            with self.origin.telling:
                self.origin.withdrawn(self)
                deferred.errback(CancelledError())
                self._end()

    def _find_places(self) -> dict[Deferred[RecordMetadata], tuple[int, Part | None]]:
        places: dict[Deferred[RecordMetadata], tuple[int, Part | None]] = {}
        for part in self._parts:
            places.update(self._placed(part.positions, part))
        for lot in self.lots:
            places.update(self._placed(lot.positions[lot.start :], None))
        return places

    def _placed(
        self, positions: Positions, part: Part | None
    ) -> dict[Deferred[RecordMetadata], tuple[int, Part | None]]:
        deferreds = self._deferreds or []
        return {deferreds[position]: (position, part) for position in positions}


class Countdown:
    """Waits until everything that a producer held at one moment has its outcome.

    It has a receipt of each batch, of no records, and follows what is not in a batch yet; but what
    the countdown before it waits for already, it leaves to that one, and comes after it. Otherwise
    one after each record would take a receipt of each batch for each record.

    :param on_end: called with this when that is so, or when the caller has cancelled.
    :param before: the latest countdown of the producer, whether or not it has ended.
    """

    def __init__(self, on_end: Callable[[Countdown], None], before: Countdown | None) -> None:
        self.deferred: Deferred[None] = Deferred(lambda _: on_end(self))
        self._on_end = on_end
        self._left = 0
        self._next: Countdown | None = None
        if before is not None and not before.done:
            before._next = self
            self.expect_another()

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._left

    def expect_another(self) -> None:
        """Wait for one :meth:`ended` more."""
        self._left += 1

    def watch(self, batches: Iterable[Batch]) -> None:
        """Wait for the batches of a partition, given with the latest first."""
        for batch in batches:
            if isinstance(batch.receipts[-1][1], Countdown):
                # Whose that is waits for all that came earlier, too.
                break
            self._left += 1
            batch.receipts.append((batch.count, self))

    def follow(self, waiting: Iterable[Submission]) -> None:
        """Wait for those who wait for room, given with the latest first."""
        for submission in waiting:
            if submission.followers:
                break
            self._left += 1
            submission.followers.append(self)

    def stored(self, offset: int | None) -> None:
        self.ended()

    def failed(self, error: FluvioError) -> None:
        self.ended()

    def ended(self) -> None:
        countdown: Countdown | None = self
        while countdown is not None:
            countdown._left -= 1
            if countdown._left:
                break
            if not countdown.deferred.called:
                countdown._on_end(countdown)
                countdown.deferred.callback(None)
            countdown = countdown._next


class Telling:
    """Outcomes are being told, and meanwhile perhaps more; a context for each time.

    :param over: called when all were told.
    """

    def __init__(self, over: Callable[[], object]) -> None:
        self._over = over
        self._depth = 0
        self._last: list[Countdown] = []

    @property
    def under_way(self) -> bool:
        """Whether some of what has its outcome may not have been told yet."""
        return self._depth > 0

    def delay(self, countdown: Countdown) -> None:
        """Have it wait until all were told, if any are being told."""
        if self._depth:
            countdown.expect_another()
            self._last.append(countdown)

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            countdowns, self._last = self._last, []
            for countdown in countdowns:
                countdown.ended()
            self._over()


def tell_stored(batch: Batch, base: int | None) -> None:
    """Tell those who wait that a batch was stored, its first record at ``base``."""
    for first, waiter in batch.told():
        waiter.stored(None if base is None else base + first)


def tell_failed(batch: Batch, error: FluvioError) -> None:
    """Tell those who wait that a batch failed, each by an error of its own."""
    for _, waiter in batch.told():
        waiter.failed(another(error))
