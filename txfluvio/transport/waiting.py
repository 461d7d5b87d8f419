"""Deferreds for those who wait for the same thing.

One Deferred for several waiters does not work: each callback changes the result for the next, and
one who cancels cancels for all. So everyone gets a Deferred of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Waiting(Generic[T]):
    """Those who wait. Cancelling a Deferred takes it out, and concerns nobody else."""

    def __init__(self) -> None:
        # A plain dict looks for its first at all that were taken before it.
        self._deferreds: OrderedDict[Deferred[T], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._deferreds)

    def add(self) -> Deferred[T]:
        """One more."""
        deferred: Deferred[T] = Deferred(self._cancelled)
        self._deferreds[deferred] = None
        return deferred

    def take(self) -> Iterator[Deferred[T]]:
        """All, in the order in which they came; after this nobody waits.

        They are to be fired one by one: those are left out that were cancelled by what came of
        firing the ones before.
        """
        waiting, self._deferreds = self._deferreds, OrderedDict()
        return (deferred for deferred in waiting if not deferred.called)

    def take_first(self) -> Deferred[T] | None:
        """The one that came first, which waits no more; None: nobody waits."""
        return self._deferreds.popitem(last=False)[0] if self._deferreds else None

    def _cancelled(self, deferred: Deferred[T]) -> None:
        self._deferreds.pop(deferred, None)
