"""Following topics: which there are, a consumer for each, and their records into one sink.

What ``fluvio-tail`` does between being connected and being done. It stands on the public API of
the client, and knows neither processes nor terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import attrs
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..admin import ObjectKind
from ..admin.watching import ChangeKind
from ..client import FluvioClient
from ..config import MIB
from ..consumer import Consumer
from ..errors import FluvioError, PartitionNotFound, TopicDeleted, TopicNotFound
from ..offset import Offset, OffsetKind
from ..wire.records import Record
from .formats import Format
from .options import Settings
from .output import Sink

BUFFER_MEMORY = 64 * MIB
"""Bytes of records that all topics together may hold, as long as each has its least."""

LEAST_BUFFER = 2 * MIB


@attrs.define
class Tally:
    """What was printed so far, and by what it was read.

    :ivar records: how many records.
    :ivar size: how many bytes.
    :ivar consumers: those that read, by topic.
    """

    records: int = 0
    size: int = 0
    consumers: dict[str, Consumer] = attrs.field(factory=dict)


class Follower:
    """Prints what the settings ask for, once.

    :param client: started, and closed by whoever has started it.
    :param format: how records look.
    :param sink: where they go.
    :param tally: kept up to date.
    :param say: takes a line for whoever runs it.
    """

    _log = Logger()

    def __init__(
        self,
        client: FluvioClient,
        settings: Settings,
        *,
        format: Format,
        sink: Sink,
        tally: Tally,
        say: Callable[[str], object],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._client = client
        self._settings = settings
        self._format = format
        self._sink = sink
        self._tally = tally
        self._say = say
        self._clock = clock
        self._rng = rng
        self._left = settings.lines
        self._turns = DeferredLock()
        self._readers: dict[str, Deferred[None]] = {}
        self._watching = False
        self._there: set[str] = set()
        # How many partitions those had that lack one that is wanted.
        self._left_out: dict[str, int] = {}
        self._done: Deferred[None] = Deferred()

    async def run(self) -> None:
        """Print until there is nothing more to print; cancelling it ends it.

        :raises FluvioError: what the cluster or a topic has to say.
        :raises OSError: the sink can not be written to; BrokenPipeError where nobody reads it.
        """
        names = self._settings.topics
        try:
            found = list(names.exact)
            if names.patterns:
                found += [name for name in await self._matching() if name not in found]
                self._watching = self._settings.continuous
            memory = max(LEAST_BUFFER, BUFFER_MEMORY // max(1, len(found)))
            for name in found:
                self._begin(name, self._settings.start, memory)
            if self._watching:
                self._watch()
            await self._done
        finally:
            readers = list(self._readers.values())
            for reader in readers:
                reader.cancel()
            await DeferredList(readers)

    # Which topics

    async def _matching(self) -> list[str]:
        names = self._settings.topics
        there = await self._client.admin.list_topics()
        found = sorted(topic.name for topic in there if names.match(topic.name))
        patient = self._settings.wait and self._settings.continuous
        if not found and not names.exact and not patient:
            raise TopicNotFound(what=f"topics like {names}")
        return found

    def _watch(self) -> None:
        """Take in the topics that come to be, from their first record on."""
        names = self._settings.topics
        watching = Deferred.fromCoroutine(self._take_in())
        watching.addErrback(self._failed)
        self._readers[f"topics like {names}"] = watching

    async def _take_in(self) -> None:
        match = self._settings.topics.match
        async with self._client.admin.watch(ObjectKind.TOPIC) as changes:
            async for change in changes:
                if change.object.system or not match(change.name):
                    continue
                if change.kind is ChangeKind.DELETED:
                    self._there.discard(change.name)
                    self._left_out.pop(change.name, None)
                    continue
                self._there.add(change.name)
                grown = change.object.partition_count > self._left_out.get(change.name, -1)
                if change.name not in self._readers and grown:
                    self._begin(change.name, self._first_of_new(), LEAST_BUFFER)

    def _first_of_new(self) -> Offset:
        start = Offset.beginning()
        stored = self._settings.start.kind is OffsetKind.STORED
        return Offset.stored(start) if stored else start

    # Reading one

    def _begin(self, name: str, start: Offset, memory: int) -> None:
        reader = Deferred.fromCoroutine(self._keep_reading(name, start, memory))
        self._readers[name] = reader
        reader.addCallback(lambda _: self._ended(name)).addErrback(self._failed)

    def _ended(self, name: str) -> None:
        del self._readers[name]
        if not self._readers:
            self._finish()

    def _failed(self, failure: Failure) -> None:
        if not self._done.called:
            self._done.errback(failure)

    def _finish(self) -> None:
        if not self._done.called:
            self._done.callback(None)

    async def _keep_reading(self, name: str, start: Offset, memory: int) -> None:
        """Read a topic to its end, which may be its deletion, and the one that comes after it."""
        while True:
            try:
                await self._read(name, start, memory)
            except (TopicDeleted, TopicNotFound):
                patient = self._settings.wait and self._settings.continuous
                if self._done.called or not (patient or self._may_go(name)):
                    raise
            except PartitionNotFound as error:
                if self._done.called or name in self._settings.topics.exact:
                    raise
                self._left_out[name] = error.count
                self._say(f"{error}; it is left out")
                return
            else:
                return
            if self._may_go(name):
                self._log.info("topic {name} was deleted", name=name)
                # One of the same name that came to be meanwhile is not told of again.
                if name not in self._there:
                    return
            else:
                self._say(f"topic {name} was deleted: waiting for one of this name")
            start, memory = self._first_of_new(), LEAST_BUFFER

    def _may_go(self, name: str) -> bool:
        """Whether it is there only by a pattern, which other topics may match."""
        return self._watching and name not in self._settings.topics.exact

    async def _read(self, name: str, start: Offset, memory: int) -> None:
        consumer = await self._open(name, start, memory)
        self._tally.consumers[name] = consumer
        try:
            await self._tell_beyond(name, consumer)
            await self._print(consumer)
        finally:
            del self._tally.consumers[name]
            await consumer.close()

    async def _open(self, name: str, start: Offset, memory: int) -> Consumer:
        """A consumer that is started; with ``--wait``, when there is what it takes."""
        settings = self._settings
        for delay in self._client.config.retry.delays(self._rng):
            consumer = self._client.consumer(
                name,
                start=start,
                stop=settings.stop,
                partitions=settings.partitions,
                config=settings.consumer,
                buffer_memory=memory,
            )
            try:
                await consumer.start()
            except FluvioError as error:
                may_come = isinstance(error, TopicNotFound) and not self._may_go(name)
                if not settings.wait or not (error.retriable or may_come):
                    raise
                self._log.info("again in {delay:.2f} s: {error}", delay=delay, error=error)
            else:
                return consumer
            await deferLater(self._clock, delay)
        raise AssertionError("a policy's delays have no end")

    async def _tell_beyond(self, name: str, consumer: Consumer) -> None:
        """Say of which partitions nothing is printed since they start behind the end of the log.

        Records above the high watermark may be there, and may have been printed before, so it is
        no failure, and nothing is reset. One that does not begin behind its stop opens a stream
        there, and so comes to know.
        """
        stop = self._settings.stop
        if stop is None:
            return
        at_end = [number for (_, number), lag in consumer.known_lag().items() if lag == 0]
        if not at_end or self._settings.start.kind not in (OffsetKind.STORED, OffsetKind.ABSOLUTE):
            return
        asking = self._client.consumer(
            name, start=Offset.end(), stop=Offset.end(), partitions=at_end
        )
        async with asking as ends:
            for number in at_end:
                position, end = consumer.position(number), ends.position(number)
                if position is None or end is None:
                    continue
                is_read = stop.kind is OffsetKind.ABSOLUTE and position < stop.n
                if position > end and not is_read:
                    self._say(
                        f"{name}/{number}: begins at offset {position}, beyond the end of the log"
                        f" as its leader tells it, {end}: nothing of it is printed"
                    )

    async def _print(self, consumer: Consumer) -> None:
        exact = self._left is not None and self._settings.consumer.consumer_id is not None
        while True:
            try:
                # What is stored is how far a batch was handed out, so that has to be by records
                # where the last line to print may be inside one.
                records = [await consumer.next()] if exact else await consumer.next_batch()
            except StopAsyncIteration:
                return
            await self._turns.acquire()
            try:
                if self._left == 0:
                    return
                await self._write(records)
                if self._left == 0:
                    break
            finally:
                self._turns.release()
        if exact:
            await consumer.commit()
        self._finish()

    async def _write(self, records: Sequence[Record]) -> None:
        if self._left is not None:
            records = records[: self._left]
            self._left -= len(records)
        for index, piece in enumerate(self._format.pieces(records)):
            if index:
                await deferLater(self._clock, 0)
            await self._sink.write(piece)
            self._tally.size += len(piece)
        self._tally.records += len(records)
