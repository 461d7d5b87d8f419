"""How many bytes the streams of one consumer may hold together; pure.

A stream may have one push under way, and what it will bring is bounded by the ``max_bytes`` it was
opened with: its slot. The budget counts a slot for every stream, used or not, so that each can be
asked for its next push once the user has taken its last, and grants more than that only while the
sum stays below the limit. The one exception is a batch larger than a slot, which must come whole:
if it does not fit, it comes when nothing else can be handed out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import attrs


def slot_size(limit: int, streams: int, most: int) -> int:
    """The slot of each of ``streams`` streams, in bytes, at most ``most``.

    The limit is divided by the next power of two, so that a stream more rarely changes the slots
    of those that are open already.
    """
    return max(1, min(most, limit >> max(0, streams - 1).bit_length()))


@attrs.frozen
class _Demand:
    size: int
    large: bool
    granted: Callable[[], None]


class Allowance:
    """One stream's part; made by :meth:`Budget.join`.

    :ivar slot: bytes it may always have.
    :ivar held: bytes it holds.
    :ivar credit: bytes that may be under way to it.
    """

    def __init__(self, budget: Budget, slot: int) -> None:
        self._budget = budget
        self._demand: _Demand | None = None
        self._paused = False
        self.slot = slot
        self.held = 0
        self.credit = 0

    @property
    def counted(self) -> int:
        """Bytes that count against the limit."""
        return self._with(0)

    @property
    def excessive(self) -> bool:
        """Whether the budget is exceeded, and this stream has more than its slot."""
        return self._budget.counted > self._budget.limit and self.counted > self.slot

    def ask(self, size: int, granted: Callable[[], None], *, large: bool = False) -> None:
        """Ask for ``size`` bytes to be under way; calls ``granted``, at once or later.

        :param large: whether it may overdraw the budget when nothing else can be handed out.
        """
        assert self._demand is None
        self._demand = _Demand(size, large, granted)
        if not self._paused:
            self._budget._queue(self)

    def withdraw(self) -> None:
        """Ask no longer, and expect nothing that is under way."""
        self._budget._unqueue(self)
        self._demand = None
        self.account(held=self.held, credit=0)

    def pause(self) -> None:
        """Be granted nothing until :meth:`resume`."""
        self._paused = True
        self._budget._unqueue(self)

    def resume(self) -> None:
        """Go on asking."""
        if self._paused:
            self._paused = False
            if self._demand is not None:
                self._budget._queue(self)

    def resize(self, slot: int) -> None:
        """Have another slot."""
        self._change(slot, self.held, self.credit)

    def account(self, *, held: int, credit: int | None = None) -> None:
        """Say what is held now, and what is under way if that has changed."""
        self._change(self.slot, held, self.credit if credit is None else credit)

    def leave(self) -> None:
        """Count no longer."""
        self.withdraw()
        self._change(0, 0, 0)

    def _with(self, more: int) -> int:
        return max(self.slot, self.held + self.credit + more)

    def _change(self, slot: int, held: int, credit: int) -> None:
        counted, used, before = self.counted, self.held + self.credit, self.slot
        self.slot, self.held, self.credit = slot, held, credit
        self._budget._slots += slot - before
        self._budget._changed(self, self.counted - counted, held + credit < used)

    def _grant(self) -> None:
        demand = self._demand
        assert demand is not None
        self._demand = None
        self.account(held=self.held, credit=self.credit + demand.size)
        demand.granted()


class Budget:
    """The bytes of one consumer.

    :param limit: bytes; exceeded by at most one batch that is larger than its stream's slot. What a
        stream can not give up when it is paused and others want the room is not counted.

    :ivar counted: bytes held, under way, or kept free for slots.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.counted = 0
        self._slots = 0
        self._waiting: OrderedDict[Allowance, None] = OrderedDict()
        self._overdraft: Allowance | None = None
        self._idle = False

    def join(self, slot: int) -> Allowance:
        """Count one more stream."""
        self.counted += slot
        self._slots += slot
        return Allowance(self, slot)

    def idle(self, idle: bool) -> None:
        """Say whether somebody waits for records and none can be handed out."""
        self._idle = idle
        self._overdraw()

    def _queue(self, allowance: Allowance) -> None:
        self._waiting[allowance] = None
        self._serve(allowance)

    def _unqueue(self, allowance: Allowance) -> None:
        self._waiting.pop(allowance, None)

    def _changed(self, allowance: Allowance, by: int, released: bool) -> None:
        self.counted += by
        if allowance is self._overdraft and allowance.counted == allowance.slot:
            self._overdraft = None
        if released or by < 0:
            self._serve(allowance)

    def _serve(self, first: Allowance) -> None:
        """Grant what fits: to ``first``, who may need no more than its slot, then in order."""
        if first in self._waiting and self._fits(first):
            self._grant(first)
        while self._waiting and self._fits(oldest := next(iter(self._waiting))):
            self._grant(oldest)
        self._overdraw()

    def _overdraw(self) -> None:
        if self._idle and self._overdraft is None:
            for allowance in self._waiting:
                assert allowance._demand is not None
                if allowance._demand.large:
                    self._overdraft = allowance
                    self._grant(allowance)
                    return

    def _fits(self, allowance: Allowance) -> bool:
        assert allowance._demand is not None
        counted = self.counted - allowance.counted + allowance._with(allowance._demand.size)
        return counted <= max(self.limit, self._slots)

    def _grant(self, allowance: Allowance) -> None:
        del self._waiting[allowance]
        allowance._grant()
