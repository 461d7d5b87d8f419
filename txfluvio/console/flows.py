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
"""Records that are read at once where a topic is not followed."""

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
    """Something that goes on until it is closed.

    :ivar problem: what is wrong at present, for humans; empty: nothing.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.problem = ""
        self._work = Deferred.fromCoroutine(self._keep_on())
        self._work.addErrback(lambda failure: failure.trap(CancelledError))
        self._work.addErrback(lambda failure: self._log.failure("a section has ended", failure))

    def close(self) -> None:
        """Nobody looks any more."""
        self._work.cancel()

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
    """The records of a topic, as a section named ``records``."""

    def __init__(self, client: FluvioClient, wanted: Wanted, clock: IReactorTime) -> None:
        self._client = client
        self._wanted = wanted
        self._sample = Sample(wanted.needle, most=MAX_SAMPLE if wanted.follow else PAGE)
        self._left = PAGE
        self._places = dict(wanted.places)
        self._ended = False
        self._told: tuple[bool, str] | None = None
        super().__init__(clock)

    def news(self) -> Iterator[Event]:
        """The newest records, how many came by, where it is now, and what is wrong."""
        how = (self._ended, self.problem)
        if self._sample.seen or how != self._told:
            self._told = how
            state = {"ended": self._ended, "problem": self.problem, "places": self._places}
            yield Event("records", {**self._sample.take(), **state})

    async def _do(self) -> bool:
        wanted = self._wanted
        consumer = self._client.consumer(
            wanted.topic,
            start=wanted.start,
            stop=None if wanted.follow else Offset.end(),
            partitions=wanted.partition,
            buffer_memory=READ_AHEAD,
            reset=OffsetReset.EARLIEST,
        )
        async with consumer:
            self.problem = ""
            self._go_to_places(consumer)
            await self._read(consumer)
        self._ended = True
        return True

    def _go_to_places(self, consumer: Consumer) -> None:
        for topic, number in consumer.partitions:
            if number in self._places:
                consumer.seek(number, Offset.nearest(self._places[number]), topic=topic)

    async def _read(self, consumer: Consumer) -> None:
        async for records in consumer.batches():
            taken = records if self._wanted.follow else self._rest_of_page(records)
            if taken:
                self._add(taken)
            if len(taken) < len(records):
                return

    def _rest_of_page(self, records: list[Record]) -> list[Record]:
        for index, record in enumerate(records):
            if self._left == 0:
                return records[:index]
            self._left -= self._sample.fits(record)
        return records

    def _add(self, records: list[Record]) -> None:
        self._sample.add(records)
        last = records[-1]
        if last.offset is not None:
            self._places[last.partition] = last.offset + 1


class Lags(_Work):
    """How far consumers are, as a section named ``consumers``."""

    def __init__(self, client: FluvioClient, picture: Picture, clock: IReactorTime) -> None:
        self._client = client
        self._picture = picture
        self._stored: list[StoredOffset] = []
        self._known = False
        self._table = Table("consumers", self._rows)
        self._told = ""
        super().__init__(clock)

    def news(self) -> Iterator[Event]:
        """The rows that are new, and what is wrong."""
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
