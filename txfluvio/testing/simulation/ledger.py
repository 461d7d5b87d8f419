"""What clients were told in the course of a run, and whether it was true.

Every record that is given to a producer is entered, with its outcome when that is known; every
record that a consumer hands out, with what was processed of it; and every Produce that reaches the
cluster. When the run is over :meth:`Ledger.check` compares all that with what is in the logs, and
with what has ever been. Values stand for records, so each has to be given to one topic once.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ...config import Delivery, Isolation
from ...errors import Effect, FluvioError, NotAllStored, UsageError
from ...producer import Producer, RecordMetadata
from ...producer.checks import Given
from ...wire.records import Record
from ...wire.spu import ConsumerOffset, ProduceRequest
from ..spu.replica import Key
from .history import Contents, History

_Places = defaultdict[tuple[str, bytes], list[tuple[int, int]]]
"""By topic and value, partitions and offsets."""

MAX_TOLD = 20
"""How many violations of one run are told; where there is one there are often many."""


class Outcome(enum.Enum):
    """What a client said of a record."""

    OPEN = "not told"
    STORED = "stored"
    REJECTED = "not stored"
    UNKNOWN = "perhaps stored"


@attrs.define
class Sent:
    """A record that was given to a producer.

    :ivar producer: counts the producers of a run.
    :ivar number: counts the records of its producer, in their order.
    :ivar committed: whether it counts as stored when it is replicated.
    :ivar once: whether it must not be stored twice.
    :ivar by_key: whether its key decides its partition, as it does unless somebody else chooses.
    :ivar at: where it is stored, as far as that was told.
    """

    topic: str
    key: bytes | None
    value: bytes
    producer: int
    number: int
    committed: bool
    once: bool
    by_key: bool
    outcome: Outcome = Outcome.OPEN
    partition: int = 0
    at: int | None = None
    said: str = ""
    arrivals: int = 0

    @property
    def open(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.outcome is Outcome.OPEN

    def __str__(self) -> str:
        return f"{self.value[:24]!r} of producer {self.producer}"

    def stored(self, metadata: RecordMetadata) -> None:
        """The client says that it is stored."""
        self.outcome = Outcome.STORED
        self.partition, self.at = metadata.partition, metadata.offset

    def failed(self, error: BaseException) -> None:
        """The client says that it is not, or not for certain."""
        harmless = isinstance(error, FluvioError) and error.effect is Effect.NONE
        self.outcome = Outcome.REJECTED if harmless else Outcome.UNKNOWN
        self.said = f"{type(error).__name__}: {error}"


@attrs.define
class _Course:
    """What a reader got of one partition since it was told where to go."""

    start: int | None
    seen: list[tuple[int, bytes]] = attrs.Factory(list)

    @property
    def next(self) -> int | None:
        """Where it goes on; None: nothing is known of that."""
        return self.seen[-1][0] + 1 if self.seen else self.start


class Reader:
    """A consumer, from its start to its end, as the ledger knows it.

    :param topic: the one topic that it reads.
    :param committed: whether it reads only what is replicated.
    :param consumer_id: under which name its offsets are stored, if they are.
    :param whole: whether it has to have read everything by the end of the run.

    :ivar paused: the partitions of which it wants nothing.
    """

    def __init__(
        self,
        ledger: Ledger,
        topic: str,
        *,
        committed: bool,
        consumer_id: str | None = None,
        whole: bool = True,
    ) -> None:
        self.topic = topic
        self.committed = committed
        self.consumer_id = consumer_id
        self.whole = whole
        self.paused: set[int] = set()
        self._ledger = ledger
        self._courses: defaultdict[int, list[_Course]] = defaultdict(lambda: [_Course(None)])
        # The offsets of the last processed records, now and when the record in hand was asked for.
        self._processed: dict[int, int] = {}
        self._passed: dict[int, int] = {}

    def starts(self, partition: int, offset: int) -> None:
        """It begins at an offset."""
        self.paused.discard(partition)
        self.forgets(partition)
        self._courses[partition].append(_Course(offset))

    def resumes(self, partition: int, offset: int) -> None:
        """It begins at an offset, because of one that is stored."""
        key = self._key(partition)
        done, kept = self._ledger.done.get(key, -1), self._ledger.kept.get(key, -1)
        if not kept < offset <= done + 1:
            self._ledger.wrong.append(
                f"{self.consumer_id} resumes {self.topic}/{partition} at {offset}, has processed up"
                f" to {done}, and was told that this is stored up to {kept}"
            )
        self.starts(partition, offset)

    def seeks(self, partition: int, offset: int) -> None:
        """It is told to go on at an offset, also before what it has stored."""
        self._ledger.sought(self._key(partition), offset)
        self.forgets(partition)
        self._courses[partition].append(_Course(offset))

    def stands(self, partition: int, position: int | None) -> None:
        """Its consumer says where it is, in a partition where every offset has a record."""
        expected = self._courses[partition][-1].next
        if expected not in (None, position):
            self._ledger.wrong.append(
                f"the reader of {self.topic}/{partition} is said to be at {position}, and is at"
                f" {expected}"
            )

    def saw(self, record: Record) -> None:
        """It has handed out a record."""
        self._passed = dict(self._processed)
        if record.partition in self.paused:
            self._ledger.wrong.append(
                f"the reader of {self.topic}/{record.partition} saw {record.offset} while paused"
            )
        if record.offset is not None:
            self._courses[record.partition][-1].seen.append((record.offset, record.value))
        sent = self._ledger.sent.get((self.topic, record.value))
        if sent is not None and sent.key != record.key:
            self._ledger.wrong.append(f"{sent} has the key {record.key!r} instead of {sent.key!r}")
        self._ledger.records_seen += 1

    def processed(self, record: Record) -> None:
        """The record is dealt with; its offset may be stored from now on."""
        if record.offset is not None and self.consumer_id is not None:
            key, done = self._key(record.partition), self._ledger.done
            done[key] = max(done.get(key, -1), record.offset)
            self._processed[record.partition] = record.offset

    def forgets(self, partition: int) -> None:
        """What was processed and is not stored yet need not be stored any more."""
        self._processed.pop(partition, None)
        self._passed.pop(partition, None)

    def keeps(self, storing: Deferred[None], *, in_hand: bool) -> Deferred[None]:
        """When this fires, what was processed is stored in the cluster.

        :param in_hand: whether that goes for the record that was handed out last, too.
        """
        processed = dict(self._processed if in_hand else self._passed)

        def kept(_: None) -> None:
            for partition, offset in processed.items():
                self._ledger.told_kept(self._key(partition), offset)

        return storing.addCallback(kept)

    def _key(self, partition: int) -> tuple[str, str, int]:
        return self.consumer_id or "", self.topic, partition

    def check(self, finally_: Mapping[Key, Contents], history: History) -> Iterator[str]:
        """What is wrong about what it has seen."""
        for partition, courses in sorted(self._courses.items()):
            key = (self.topic, partition)
            contents = finally_.get(key)
            if contents is None:
                continue
            for last, course in ((one is courses[-1], one) for one in courses):
                yield from self._check(key, course, contents, history, last=last)

    def _check(
        self, key: Key, course: _Course, contents: Contents, history: History, *, last: bool
    ) -> Iterator[str]:
        who = f"the reader of {key[0]}/{key[1]}"
        offsets = [offset for offset, _ in course.seen]
        for before, after in pairwise(offsets):
            if after <= before:
                yield f"{who} saw offset {after} behind {before}"
        if offsets and course.start is not None and offsets[0] < course.start:
            yield f"{who} saw offset {offsets[0]}, and was to go on at {course.start}"
        ever = history.ever(key)
        gone = self._ledger.gone(key, contents, ever)
        for offset, value in course.seen:
            if contents.get(offset) == value:
                continue
            if (offset, value) not in ever:
                yield f"{who} saw {value[:24]!r} at {offset}, which never was there"
            elif self.committed:
                yield f"{who} saw {value[:24]!r} at {offset}, which was not committed"
            else:
                self._ledger.cut_records += 1
        first = course.start if course.start is not None else (offsets[0] if offsets else None)
        if first is None:
            first = 0
        end = max(contents, default=-1) + 1 if last and self.whole else max(offsets, default=-1) + 1
        seen = set(offsets)
        missing = [offset for offset in contents if first <= offset < end and offset not in seen]
        if not self.committed and gone:
            # What was cut and written again below the position is not seen.
            missing = [offset for offset in missing if offset < min(gone)]
        if missing:
            yield f"{who} did not see {_several(missing)} of [{first}, {end})"


class Ledger:
    """All that clients were told in one run.

    :ivar sent: the records given to producers, by topic and value.
    :ivar readers: the consumers.
    :ivar done: how far consumers have processed, by name, topic and partition.
    :ivar kept: up to which offset they were told that this is stored, by the same.
    :ivar records_seen: how many records consumers have handed out.
    :ivar cut_records: how many of them were cut by an election afterwards.
    :ivar wrong: what was found wrong while the run was under way.
    """

    def __init__(self, history: History) -> None:
        self.sent: dict[tuple[str, bytes], Sent] = {}
        self.readers: list[Reader] = []
        self.done: dict[tuple[str, str, int], int] = {}
        self.kept: dict[tuple[str, str, int], int] = {}
        # What the cluster has, and the most that it has had since a place was sought.
        self._stored: dict[tuple[str, str, int], int] = {}
        self._most: dict[tuple[str, str, int], int] = {}
        self._told: dict[tuple[str, str, int], int] = {}
        self.records_seen = 0
        self.cut_records = 0
        self.wrong: list[str] = []
        self._history = history
        self._producers: dict[Producer, int] = {}
        self._numbers: Counter[int] = Counter()
        self._open: dict[Deferred[Any], str] = {}
        self._gone: dict[Key, frozenset[int]] = {}
        self._grown: set[str] = set()

    # What is entered

    def watch(self, deferred: Deferred[Any], what: str) -> Deferred[Any]:
        """See to it that a Deferred has fired by the end of the run."""
        self._open[deferred] = what

        def fired(result: Any) -> Any:
            self._open.pop(deferred, None)
            return result

        return deferred.addBoth(fired)

    def send(
        self, producer: Producer, value: bytes, key: bytes | None = None, **settings: Any
    ) -> Deferred[None]:
        """Give a record to a producer and enter what becomes of it; never fails."""
        entry = self._enter(producer, key, value, **settings)
        sending = maybeDeferred(producer.send, value, key, **settings)
        sending.addCallbacks(entry.stored, lambda failure: entry.failed(failure.value))
        return self.watch(sending, f"send({value[:24]!r})")

    def send_many(
        self, producer: Producer, records: Sequence[Given], **settings: Any
    ) -> Deferred[None]:
        """Give records to a producer and enter what becomes of each; never fails."""
        pairs = [(None, one) if isinstance(one, bytes) else one for one in records]
        entries = [self._enter(producer, *pair, **settings) for pair in pairs]

        def stored(results: Sequence[RecordMetadata]) -> None:
            for entry, result in zip(entries, results, strict=True):
                entry.stored(result)

        def failed(failure: Failure) -> None:
            error = failure.value
            results: Sequence[Any] = [error] * len(entries)
            if isinstance(error, NotAllStored):
                results = error.outcomes
            for entry, result in zip(entries, results, strict=True):
                if isinstance(result, BaseException):
                    entry.failed(result)
                else:
                    entry.stored(result)

        sending = maybeDeferred(producer.send_many, list(records), **settings)
        sending.addCallbacks(stored, failed)
        return self.watch(sending, f"send_many({len(records)} records)")

    def flush(self, producer: Producer) -> Deferred[None]:
        """Flush a producer; when that fires all that was sent before has its outcome."""
        number = self._producers.get(producer)
        before = [one for one in self.sent.values() if one.producer == number and one.open]

        def flushed(_: None) -> None:
            self.wrong.extend(
                f"{one} has no outcome, though it was sent before a flush that is over"
                for one in before
                if one.open
            )

        return self.watch(producer.flush().addCallback(flushed), "flush()")

    def reader(self, topic: str, **settings: Any) -> Reader:
        """Enter a consumer; see :class:`Reader`."""
        reader = Reader(self, topic, **settings)
        self.readers.append(reader)
        return reader

    def _enter(
        self,
        producer: Producer,
        key: bytes | None,
        value: bytes,
        *,
        partition: int | None = None,
        **_: Any,
    ) -> Sent:
        number = self._producers.setdefault(producer, len(self._producers))
        entry = Sent(
            topic=producer.topic,
            key=key,
            value=value,
            producer=number,
            number=self._numbers[number],
            committed=producer.config.isolation is Isolation.READ_COMMITTED,
            once=producer.config.delivery is Delivery.AT_MOST_ONCE,
            by_key=key is not None and partition is None and producer.config.partitioner is None,
        )
        self._numbers[number] += 1
        name = (entry.topic, value)
        if name in self.sent:
            raise UsageError(f"{value!r} was sent to {entry.topic} before: values are names here")
        self.sent[name] = entry
        return entry

    # What the cluster sees

    def produced(self, request: ProduceRequest) -> None:
        """A Produce has reached an SPU."""
        for topic in request.topics:
            for part in topic.partitions:
                for batch in part.records.batches(check_crc=False):
                    for value in batch.values():
                        self._arrived(topic.name, value)

    def _arrived(self, topic: str, value: bytes) -> None:
        entry = self.sent.get((topic, value))
        if entry is None:
            return
        entry.arrivals += 1
        if entry.arrivals > 1 and entry.once:
            self.wrong.append(f"{entry} was sent again, and must not be")
        elif entry.outcome in (Outcome.STORED, Outcome.REJECTED):
            self.wrong.append(f"{entry} was sent again after it was {entry.outcome.value}")

    def grew(self, topic: str) -> None:
        """A topic is to have more partitions: keys go to others than before."""
        self._grown.add(topic)

    def offsets_stored(self, offsets: Sequence[ConsumerOffset]) -> None:
        """The cluster has these offsets of consumers now."""
        for one in offsets:
            key = (one.consumer_id, one.replica_id.topic, one.replica_id.partition)
            done = self.done.get(key, -1)
            if one.offset > done:
                self.wrong.append(
                    f"{one.consumer_id} has stored {one.offset} of {key[1]}/{key[2]}, and has"
                    f" processed up to {done}"
                )
            self._stored[key] = one.offset
            self._most[key] = max(self._most.get(key, -1), one.offset)
            # One that its consumer has given up may come late, and take the place of a newer one.
            if one.offset < self.kept.get(key, -1):
                self.kept[key] = one.offset

    # What consumers tell

    def told_kept(self, key: tuple[str, str, int], offset: int) -> None:
        """A consumer was told that an offset is stored."""
        most = self._most.get(key, -1)
        if most < offset:
            self.wrong.append(
                f"{key[0]} was told that {offset} of {key[1]}/{key[2]} is stored, and {most} was"
            )
        else:
            self.kept[key] = min(offset, self._stored[key])
            self._told[key] = offset

    def sought(self, key: tuple[str, str, int], offset: int) -> None:
        """A consumer goes on elsewhere: what it processes there may be stored from now on."""
        if key in self._stored:
            # What it was told of last it need not store again, though an older one came late.
            self._most[key] = max(self._stored[key], self._told.get(key, -1))
        if key in self.kept:
            self.kept[key] = min(self.kept[key], offset - 1)

    # The reckoning

    def gone(self, key: Key, contents: Contents, ever: Mapping[tuple[int, bytes], None]) -> Any:
        """The offsets at which something was stored that is not there in the end."""
        if key not in self._gone:
            self._gone[key] = frozenset(
                offset for offset, value in ever if contents.get(offset) != value
            )
        return self._gone[key]

    def check(self, finally_: Mapping[Key, Contents]) -> list[str]:
        """What is wrong, in words; empty if nothing is."""
        wrong = list(self.wrong)
        wrong += (f"{what} has never fired" for what in self._open.values())
        where = _places(finally_)
        wrong += self._check_outcomes(finally_, where)
        wrong += self._check_keys(where)
        wrong += self._check_order(finally_)
        for reader in self.readers:
            wrong += reader.check(finally_, self._history)
        return wrong

    def _check_outcomes(self, finally_: Mapping[Key, Contents], where: _Places) -> Iterator[str]:
        ever: dict[Key, dict[tuple[int, bytes], None]] = {
            key: self._history.ever(key) for key in finally_
        }
        stored_ever = {(key[0], value) for key, found in ever.items() for _, value in found}
        topics = {topic for topic, _ in finally_}
        for key, entry in self.sent.items():
            if entry.topic in topics:
                yield from self._check_outcome(entry, where[key], ever, key in stored_ever)

    def _check_outcome(
        self,
        entry: Sent,
        places: Sequence[tuple[int, int]],
        ever: Mapping[Key, Mapping[tuple[int, bytes], None]],
        was_stored: bool,
    ) -> Iterator[str]:
        if entry.open:
            yield f"nobody knows what became of {entry}"
        elif entry.outcome is Outcome.REJECTED and was_stored:
            yield f"{entry} was told to be not stored ({entry.said}), and was stored"
        elif entry.outcome is Outcome.STORED and entry.at is not None:
            told = (entry.partition, entry.at)
            if told not in places and (entry.at, entry.value) not in ever.get(
                (entry.topic, entry.partition), {}
            ):
                yield f"{entry} was told to be at {told}, where it never was; it is at {places}"
            elif told not in places and entry.committed:
                yield f"{entry} was committed at {told}, and is gone; it is at {places}"
        elif entry.outcome is Outcome.STORED and not was_stored:
            yield f"{entry} was told to be stored, and never was"
        if len(places) > max(1, entry.arrivals):
            yield f"{entry} is stored {len(places)} times, and was sent {entry.arrivals} times"
        if len(places) > 1 and entry.once:
            yield f"{entry} is stored at {places}, at most once"

    def _check_keys(self, where: _Places) -> Iterator[str]:
        met: defaultdict[tuple[str, bytes], set[int]] = defaultdict(set)
        for name, entry in self.sent.items():
            if entry.by_key and entry.key is not None and entry.topic not in self._grown:
                met[entry.topic, entry.key].update(partition for partition, _ in where[name])
        for (topic, key), partitions in met.items():
            if len(partitions) > 1:
                yield f"records with the key {key!r} are in {topic}/{sorted(partitions)}"

    def _check_order(self, finally_: Mapping[Key, Contents]) -> Iterator[str]:
        for (topic, partition), contents in finally_.items():
            entries = [self.sent.get((topic, value)) for _, value in sorted(contents.items())]
            known = [entry for entry in entries if entry is not None]
            for name, some in (("first", known), ("last", known[::-1])):
                order: defaultdict[int, list[int]] = defaultdict(list)
                for entry in {id(entry): entry for entry in some}.values():
                    order[entry.producer].append(entry.number)
                for producer, numbers in order.items():
                    if numbers != sorted(numbers, reverse=name == "last"):
                        yield (
                            f"the records of producer {producer} in {topic}/{partition} are out of"
                            f" order by their {name} places: {_several(numbers)}"
                        )


def _places(finally_: Mapping[Key, Contents]) -> _Places:
    where: _Places = defaultdict(list)
    for (topic, partition), contents in finally_.items():
        for offset, value in contents.items():
            where[topic, value].append((partition, offset))
    return where


def _several(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:MAX_TOLD]))
    return f"{shown}, ..." if len(numbers) > MAX_TOLD else shown
