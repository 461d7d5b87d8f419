"""The records in the user's hands: a chunk, of which so many were handed out; pure.

What was handed out and what was processed are two things. A record counts as processed when the
next one is asked for, so the record (or the list) that was handed out last does not, yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from operator import length_hint
from typing import Any, Generic, Self, TypeVar

from ..wire.records import Record
from .backlog import Chunk

S = TypeVar("S")

_NOTHING = Chunk([], 0, 0)


class Hand(Generic[S]):
    """A chunk and how far it was handed out; empty to begin with.

    :ivar source: whose chunk it is, or None.
    :ivar rest: its records that are left; whoever takes one from here has handed it out.
    """

    __slots__ = ("_chunk", "_done", "_lent", "rest", "source")

    def __init__(self) -> None:
        self.put_down()

    def put_down(self) -> None:
        """Hold nothing, all of it being processed or nobody's business any more."""
        self.pick_up(None, _NOTHING)

    def pick_up(self, source: S | None, chunk: Chunk) -> None:
        """Hold another chunk, none of it handed out."""
        self.source = source
        self.rest: Iterator[Record] = iter(chunk.records)
        self._chunk = chunk
        self._lent: int | None = None
        self._done = 0

    @property
    def index(self) -> int:
        """How many records were handed out."""
        return len(self._chunk.records) - self.left

    @property
    def left(self) -> int:
        """How many records were not."""
        return length_hint(self.rest)

    def finish(self, up_to: int | None = None) -> None:
        """Everything that was handed out is processed; or that up to this offset."""
        if up_to is None:
            self._done = self.index
        else:
            self._done = max(self._done, self._chunk.through(up_to, self.index))

    def lend(self) -> list[Record]:
        """Hand out, as one list that is whoever's who asked, everything that is left."""
        self._lent = self.index
        return list(self.rest)

    def cut(self) -> Chunk:
        """Keep what was handed out and return the rest."""
        self._chunk, left = self._chunk.split(self.index)
        self.rest = iter(())
        return left

    @property
    def position(self) -> int:
        """The position of the source, behind what was handed out."""
        return self._chunk.before(self.index)

    @property
    def processed(self) -> int:
        """The position of the source, behind what was processed."""
        before_last = self.index - 1 if self._lent is None else self._lent
        return self._chunk.before(max(self._done, before_last))


class Records:
    """What ``async for record`` iterates over: the records in a hand, one at a time.

    :param refill: awaited when none is left; there is one then.
    """

    __slots__ = ("_hand", "_refill")

    def __init__(self, hand: Hand[Any], refill: Callable[[], Awaitable[None]]) -> None:
        self._hand = hand
        self._refill = refill

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        # Once at most: what is in hand is told by its iterator faster than by a question before.
        for record in self._hand.rest:
            return record
        await self._refill()
        return next(self._hand.rest)


class Batches:
    """What ``async for batch in consumer.batches()`` iterates over: lists of records, each of one
    partition, and each what is left of the chunk in a hand.

    :param refill: awaited when nothing is left; something is then.
    """

    __slots__ = ("_hand", "_refill")

    def __init__(self, hand: Hand[Any], refill: Callable[[], Awaitable[None]]) -> None:
        self._hand = hand
        self._refill = refill

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Record]:
        if not self._hand.left:
            await self._refill()
        return self._hand.lend()
