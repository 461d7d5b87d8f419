"""The bound on what one producer holds, and the line of those who wait for room.

Pure. It asks twice before records are taken in: the producer's own ``buffer_memory``, and the
budget that all producers of a client share. Who is refused waits, first come, first served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from .budget import Budget
from .outcomes import Submission


class Intake:
    """What a producer holds, and who waits to get in.

    :param limit: bytes, exceeded by at most one record, or one batch of records sent together.
    :param take_in: puts into a batch as many as one holds of the records whose turn it is.
    :param hurry: called when somebody begins to wait: nothing held should linger.

    :ivar held: bytes of records taken in that have no outcome yet, before compression.
    """

    def __init__(
        self,
        limit: int,
        budget: Budget,
        *,
        take_in: Callable[[Submission], None],
        hurry: Callable[[], None],
    ) -> None:
        self.held = 0
        self.hurry = hurry
        self._limit = limit
        self._budget = budget
        self._take_in = take_in
        # Who is in the middle may leave, so that a queue would be searched for each that does.
        self._waiting: OrderedDict[Submission, None] = OrderedDict()

    def __reversed__(self) -> Iterator[Submission]:
        return reversed(self._waiting)

    @property
    def tight(self) -> bool:
        """Whether somebody waits, here or at another producer of the client."""
        return bool(self._waiting) or self._budget.tight

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nobody waits."""
        return not self.held and not self._waiting

    @property
    def since(self) -> float | None:
        """When those were sent who have waited longest; None if nobody waits."""
        return self._first.since if self._waiting else None

    def open(self) -> None:
        """Count among those who share the budget."""
        self._budget.join(self)

    def close(self) -> None:
        """Count no longer; nothing is held by then."""
        self._budget.leave(self)

    def hold(self, size: int) -> None:
        """Hold ``size`` bytes more."""
        self.held += size
        self._budget.take(size)

    def release(self, size: int) -> None:
        """Hold ``size`` bytes less, and take in those who waited."""
        self.held -= size
        self._budget.give(size)
        self._admit()

    def add(self, submission: Submission) -> None:
        """Take records in, now or as there is room."""
        if not self._waiting and self._ask():
            self._take_in(submission)
            if not submission.lots:
                return
        self._waiting[submission] = None
        self._admit()
        if self._waiting and self._first is submission:
            self.hurry()

    def withdraw(self, submission: Submission) -> None:
        """Forget who waits, if it does."""
        if submission in self._waiting:
            del self._waiting[submission]
            self._renounce()

    def late(self, now: float, age: float) -> list[Submission]:
        """Remove and return those who have waited so many seconds."""
        late: list[Submission] = []
        while self._waiting and self._first.since + age <= now:
            late.append(self._waiting.popitem(last=False)[0])
        self._renounce()
        return late

    def clear(self) -> list[Submission]:
        """Remove and return all who wait."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._renounce()
        return waiting

    def take_turn(self) -> bool:
        """Called by the budget when it is this producer's turn."""
        if self._waits_for_budget():
            self._next()
        return self._waits_for_budget()

    def _waits_for_budget(self) -> bool:
        return bool(self._waiting) and self.held < self._limit

    @property
    def _first(self) -> Submission:
        return next(iter(self._waiting))

    def _admit(self) -> None:
        while self._waiting and self._ask():
            self._next()

    def _ask(self) -> bool:
        """Whether more may be taken in now; where only the budget is met, it calls later."""
        return self.held < self._limit and self._budget.ask(self)

    def _next(self) -> None:
        submission = self._first
        self._take_in(submission)
        if not submission.lots:
            del self._waiting[submission]

    def _renounce(self) -> None:
        if not self._waiting:
            self._budget.renounce(self)
