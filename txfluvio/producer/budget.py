"""A bound on the bytes that the producers of one client hold, and whose turn it is when it is met.

Pure bookkeeping. A producer asks before it takes records in; one that is refused waits in line and
is called when there is room. While somebody waits, nothing held should linger: everybody is told.
"""

from __future__ import annotations

from typing import Protocol


class Holder(Protocol):
    """What holds bytes of a budget."""

    def take_turn(self) -> bool:
        """Take in one piece at most, and say whether there are more."""

    def hurry(self) -> None:
        """Others wait: give back what can be given back."""


class Budget:
    """Bytes that may be held together.

    Whoever is admitted may take in one more piece, a record or a batch, so the limit is exceeded
    by at most one piece, and a piece larger than the limit passes too. Nobody stands in line while
    there is room: whoever gives some back calls them before anybody else can ask.

    :param limit: bytes.

    :ivar used: bytes held now.
    """

    def __init__(self, limit: int) -> None:
        self.used = 0
        self._limit = limit
        self._holders: dict[Holder, None] = {}
        self._line: dict[Holder, None] = {}

    @property
    def tight(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line)

    def join(self, holder: Holder) -> None:
        """Count in one who may hold bytes."""
        self._holders[holder] = None

    def leave(self, holder: Holder) -> None:
        """Count out one who holds nothing any more."""
        self._holders.pop(holder, None)
        self._line.pop(holder, None)

    def ask(self, holder: Holder) -> bool:
        """Ask to take in a piece now. Who may not stands in line from then on, and is called."""
        if self.used < self._limit and not self._line:
            return True
        if holder not in self._line:
            self._line[holder] = None
            if len(self._line) == 1:
                for other in list(self._holders):
                    other.hurry()
        return False

    def renounce(self, holder: Holder) -> None:
        """Wait in line no more."""
        self._line.pop(holder, None)

    def take(self, size: int) -> None:
        """Hold ``size`` bytes more."""
        self.used += size

    def give(self, size: int) -> None:
        """Hold ``size`` bytes less, and let those in line take their turns."""
        self.used -= size
        self._call()

    def _call(self) -> None:
        while self._line and self.used < self._limit:
            first = next(iter(self._line))
            del self._line[first]
            if first.take_turn():
                self._line[first] = None
