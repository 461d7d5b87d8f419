"""How many bytes the streams of one consumer may hold together; pure.

A stream may have one push under way, and what it will bring is bounded by the ``max_bytes`` it was
opened with: its slot. The budget counts a slot for every stream, used or not, so that each can
always be asked for its next push once the user has taken its last, and grants more than that only
while the sum stays below the limit. The one exception is a batch larger than a slot, which must
come whole: if it does not fit, it comes when nothing else can be handed out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


def share(limit: int, streams: int, most: int) -> int:
    """The slot of each of ``streams`` streams, in bytes, at most ``most``.

    The limit is divided by the next power of two, so that a stream more rarely changes the slots
    of those that are open already.
    """
    return max(1, min(most, limit >> max(0, streams - 1).bit_length()))


class Allowance:
    """One stream's part: what it holds, what is under way to it, what it waits for."""

    __slots__ = ("_granted", "_large", "_wanted", "credit", "held", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.held = 0
        self.credit = 0
        self._wanted = 0
        self._large = False
        self._granted: Callable[[], None] | None = None

    def _counted(self, more: int = 0) -> int:
        return max(self.slot, self.held + self.credit + more)


class Budget:
    """The bytes of one consumer.

    :param limit: bytes; exceeded by at most one batch that is larger than its stream's slot.

    :ivar counted: bytes held, under way, or kept free for slots.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.counted = 0
        self._waiting: deque[Allowance] = deque()
        self._overdraft: Allowance | None = None
        self._idle = False

    def join(self, slot: int) -> Allowance:
        """Count one more stream."""
        allowance = Allowance(slot)
        self.counted += slot
        return allowance

    def leave(self, allowance: Allowance) -> None:
        """Count a stream no longer."""
        self.cancel(allowance)
        self._count(allowance, slot=0, held=0, credit=0)

    def resize(self, allowance: Allowance, slot: int) -> None:
        """Give a stream another slot."""
        self._count(allowance, slot=slot)

    def account(self, allowance: Allowance, *, held: int, credit: int | None = None) -> None:
        """Say what a stream holds now, and what is under way to it, if that has changed."""
        self._count(allowance, held=held, credit=credit)

    def overdrawn_by(self, allowance: Allowance) -> bool:
        """Whether this stream holds, or is about to get, what did not fit."""
        return self._overdraft is allowance

    def request(
        self, allowance: Allowance, size: int, granted: Callable[[], None], *, large: bool = False
    ) -> None:
        """Ask for ``size`` bytes to be under way; calls ``granted``, at once or later.

        :param large: whether it may overdraw the budget when nothing else can be handed out.
        """
        assert allowance._granted is None
        allowance._wanted = size
        allowance._large = large
        allowance._granted = granted
        self._waiting.append(allowance)
        self._serve(allowance)

    def cancel(self, allowance: Allowance) -> None:
        """Withdraw a request that was not granted yet."""
        if allowance._granted is not None:
            self._waiting.remove(allowance)
            allowance._granted = None

    def idle(self, idle: bool) -> None:
        """Say whether somebody waits for records and none can be handed out."""
        self._idle = idle
        if idle:
            self._overdraw()

    def _fits(self, allowance: Allowance) -> bool:
        size = allowance._wanted
        if allowance.held + allowance.credit + size <= allowance.slot:
            return True
        return self.counted - allowance._counted() + allowance._counted(size) <= self.limit

    def _count(
        self,
        allowance: Allowance,
        *,
        slot: int | None = None,
        held: int | None = None,
        credit: int | None = None,
    ) -> None:
        used = allowance.held + allowance.credit
        counted = allowance._counted()
        if slot is not None:
            allowance.slot = slot
        if held is not None:
            allowance.held = held
        if credit is not None:
            allowance.credit = credit
        self.counted += allowance._counted() - counted
        if allowance is self._overdraft and allowance.held + allowance.credit <= allowance.slot:
            self._overdraft = None
        if allowance.held + allowance.credit < used or allowance._counted() < counted:
            self._serve(allowance)

    def _serve(self, first: Allowance) -> None:
        """Grant what fits: to ``first``, whose own slot may do, then in the order of asking."""
        if first._granted is not None and self._fits(first):
            self._grant(first)
        while self._waiting and self._fits(self._waiting[0]):
            self._grant(self._waiting[0])
        if self._idle:
            self._overdraw()

    def _overdraw(self) -> None:
        if self._overdraft is None:
            for allowance in self._waiting:
                if allowance._large:
                    self._overdraft = allowance
                    self._grant(allowance)
                    return

    def _grant(self, allowance: Allowance) -> None:
        granted = allowance._granted
        assert granted is not None
        self.cancel(allowance)
        self._count(allowance, credit=allowance.credit + allowance._wanted)
        granted()
