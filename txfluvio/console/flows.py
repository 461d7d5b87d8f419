"""What a page is told that has to be fetched for it: a topic's records, and stored offsets.

Each is a section with work of its own, from its making until it is closed, and none takes part in
another page's. Nothing is stored by these readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..admin.values import StoredOffset
from ..client import FluvioClient
from ..config import OffsetReset
from ..consumer import Consumer
from ..errors import FluvioError, UsageError
from ..offset import Offset
from ..wire.records import Record
from .picture import Picture
from .sections import MAX_SAMPLE, Event, Sample, Table
from .shown import Json

PAGE = 200
"""Records that are read at once where a topic is not followed; of many partitions one each."""

AGAIN = 2.0
"""Seconds until reading is tried again, or stored offsets are asked for again."""

READ_AHEAD = 4 * 1024 * 1024
"""Bytes of records that are held for one page."""


@attrs.frozen(kw_only=True)
class Wanted:
    """Which records a page wants.

    :ivar partition: None: all partitions.
    :ivar start: where in each partition.
    :ivar places: where in some partitions instead, by their numbers.
    :ivar follow: whether to go on for ever, or to stop after a page of them.
    :ivar needle: text that they have in their key or value.
    """

    topic: str
    partition: int | None = None
    start: Offset = attrs.field(factory=Offset.end)
    places: Mapping[int, int] = attrs.field(factory=dict)
    follow: bool = True
    needle: str = ""


class _Work:
    """Something that goes on from when it is first asked for until it is closed.

    :ivar problem: what is wrong at present, for humans; empty: nothing.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._work: Deferred[None] | None = None
        self.problem = ""

    def close(self) -> None:
        """Nobody looks any more."""
        if self._work is not None:
            self._work.cancel()

    def _begin(self) -> None:
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._keep_on())
            self._work.addErrback(lambda failure: failure.trap(CancelledError))
            self._work.addErrback(lambda failure: self._log.failure("a section ended", failure))

    async def _keep_on(self) -> None:
        while True:
            try:
                if await self._do():
                    return
                self.problem = ""
            except FluvioError as error:
                self.problem = str(error)
            await deferLater(self._clock, AGAIN)

    async def _do(self) -> bool:
        """Do some of it; whether that was all.

        :raises FluvioError: it has to be tried again.
        """
        raise NotImplementedError


class Flow(_Work):
    """The records of a topic, as a section named ``records``.

    A page of records has a share of each partition, so that none keeps the others from being seen.
    """

    def __init__(self, client: FluvioClient, wanted: Wanted, clock: IReactorTime) -> None:
        super().__init__(clock)
        self._client = client
        self._wanted = wanted
        self._sample = Sample(wanted.needle, most=MAX_SAMPLE if wanted.follow else PAGE)
        self._places = dict(wanted.places)
        self._ended = False
        self._more = False
        self._told: tuple[bool, str] | None = None

    def news(self) -> Iterator[Event]:
        """The newest records, how many came by, where it is now, and what is wrong.

        ``more`` says whether a page has ended before the topic did.
        """
        self._begin()
        how = (self._ended, self.problem)
        if self._sample.seen or how != self._told:
            self._told = how
            state = {"ended": self._ended, "more": self._more, "problem": self.problem}
            yield Event("records", {**self._sample.take(), **state, "places": self._places})

    async def _do(self) -> bool:
        if self._wanted.follow:
            await self._follow()
        else:
            await self._read_page()
        self._ended = True
        return True

    def _consumer(self, partition: int | None, stop: Offset | None) -> Consumer:
        wanted = self._wanted
        return self._client.consumer(
            wanted.topic,
            start=wanted.start,
            stop=stop,
            partitions=partition,
            buffer_memory=READ_AHEAD,
            reset=OffsetReset.EARLIEST,
        )

    async def _follow(self) -> None:
        async with self._consumer(self._wanted.partition, None) as consumer:
            self.problem = ""
            self._go_to_places(consumer)
            async for records in consumer.batches():
                self._add(records)

    async def _read_page(self) -> None:
        wanted = self._wanted
        topic = await self._client.admin.describe_topic(wanted.topic)
        numbers = range(topic.partition_count) if wanted.partition is None else [wanted.partition]
        for number in numbers:
            async with self._consumer(number, Offset.end()) as consumer:
                self._go_to_places(consumer)
                await self._read(consumer, max(1, PAGE // len(numbers)))

    async def _read(self, consumer: Consumer, share: int) -> None:
        """Read so many records that are wanted, or all that there are."""
        async for records in consumer.batches():
            for index, record in enumerate(records):
                if share == 0:
                    self._more = True
                    self._add(records[:index])
                    return
                share -= self._sample.fits(record)
            self._add(records)

    def _go_to_places(self, consumer: Consumer) -> None:
        for topic, number in consumer.partitions:
            if number in self._places:
                consumer.seek(number, Offset.nearest(self._places[number]), topic=topic)

    def _add(self, records: list[Record]) -> None:
        self._sample.add(records)
        if records and records[-1].offset is not None:
            self._places[records[-1].partition] = records[-1].offset + 1


class Lags(_Work):
    """How far consumers are, as a section named ``consumers``."""

    def __init__(self, client: FluvioClient, picture: Picture, clock: IReactorTime) -> None:
        super().__init__(clock)
        self._client = client
        self._picture = picture
        self._stored: list[StoredOffset] = []
        self._known = False
        self._table = Table("consumers", self._rows)
        self._told = ""

    def news(self) -> Iterator[Event]:
        """The rows that are new, and what is wrong."""
        self._begin()
        if self._known:
            yield from self._table.news()
        if self.problem != self._told:
            self._told = self.problem
            yield Event("problem", {"text": self.problem})

    async def _do(self) -> bool:
        self._stored = await self._client.admin.list_consumer_offsets()
        self._known = True
        return False

    def _rows(self) -> Mapping[str, Json]:
        stored = sorted(self._stored, key=lambda one: (one.consumer_id, one.topic, one.partition))
        return {f"{one.consumer_id}/{one.topic}/{one.partition}": self._row(one) for one in stored}

    def _row(self, stored: StoredOffset) -> Json:
        end = self._picture.end_of(stored.topic, stored.partition)
        return {
            "consumer": stored.consumer_id,
            "topic": stored.topic,
            "partition": stored.partition,
            "offset": stored.offset,
            "end": end,
            "lag": None if end is None else max(0, end - stored.offset - 1),
            "modified": stored.modified,
        }


async def one_record(client: FluvioClient, topic: str, partition: int, offset: int) -> Record:
    """The record at an offset.

    :raises UsageError: there is none.
    """
    consumer = client.consumer(
        topic,
        start=Offset.nearest(offset),
        stop=Offset.nearest(offset + 1),
        partitions=partition,
        reset=OffsetReset.EARLIEST,
    )
    async with consumer:
        async for record in consumer:
            if record.offset == offset:
                return record
    raise UsageError(f"there is no record {offset} in {topic}/{partition}")
