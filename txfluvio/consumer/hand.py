"""The records in the user's hands: a chunk, of which so many were handed out; pure.

What was handed out and what was processed are two things. A record counts as processed when the
next one is asked for, so the record (or the list) that was handed out last does not, yet.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from ..wire.records import Record
from .backlog import Chunk

S = TypeVar("S")

_NOTHING = Chunk([], 0, 0)


class Hand(Generic[S]):
    """A chunk and how far it was handed out; empty to begin with.

    :ivar source: whose chunk it is, or None.
    :ivar records: the records of the chunk.
    :ivar count: how many they are.
    :ivar index: how many of them were handed out.
    """

    __slots__ = ("_chunk", "_done", "_lent", "count", "index", "records", "source")

    def __init__(self) -> None:
        self.put_down()

    def put_down(self) -> None:
        """Hold nothing, all of it being processed or nobody's business any more."""
        self._hold(None, _NOTHING)

    def pick_up(self, source: S, chunk: Chunk) -> None:
        """Hold another chunk, none of it handed out."""
        self._hold(source, chunk)

    def _hold(self, source: S | None, chunk: Chunk) -> None:
        self.source = source
        self._chunk = chunk
        self.records: list[Record] = chunk.records
        self.count = len(chunk.records)
        self.index = 0
        self._lent: int | None = None
        self._done = 0

    def finish(self) -> None:
        """Everything that was handed out is processed."""
        self._done = self.index

    def lend(self) -> list[Record]:
        """Hand out, as one list, everything that is left."""
        self._lent, self.index = self.index, self.count
        return self.records[self._lent :] if self._lent else self.records

    def cut(self) -> Chunk:
        """Keep what was handed out and return the rest."""
        source, index, lent, done = self.source, self.index, self._lent, self._done
        kept, rest = self._chunk.split(index)
        self._hold(source, kept)
        self.index, self._lent, self._done = index, lent, done
        return rest

    @property
    def position(self) -> int:
        """The position of the source, behind what was handed out."""
        return self._chunk.before(self.index)

    @property
    def processed(self) -> int:
        """The position of the source, behind what was processed."""
        before_last = self.index - 1 if self._lent is None else self._lent
        return self._chunk.before(max(self._done, before_last))
