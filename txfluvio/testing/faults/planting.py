"""Faults that are planted in a cluster: whose turn it is, and how often each has acted.

:class:`Faults` is asked at every occasion whether anything is to go wrong. Of the faults that are
meant for an occasion the oldest with budget left acts, and the others keep theirs; observers are
all told. A :class:`Planted` is what a test holds in its hand: it counts, can be awaited, lets go
what is held, and takes the fault away again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from ...errors import UsageError
from ..timers import Timers
from .actions import Observe
from .fault import Fault, check
from .matching import Moment, Occasion, ServerId

if TYPE_CHECKING:
    from ..server.protocol import Incoming

MAX_HITS = 10_000
"""How many hits are kept; the oldest go first."""


@attrs.frozen
class Hit:
    """That a fault has acted.

    :ivar time: when, in seconds, by the fake's ``now()``.
    :ivar server: the id of an SPU, or ``"SC"``.
    :ivar connection: the number of the connection.
    :ivar call: the name of the call, or ``"connection"``.
    """

    time: float
    fault: Fault
    moment: Moment
    server: ServerId
    connection: int
    call: str


class UnfiredFaults(AssertionError):
    """Faults were planted and never acted: the test did not test what it meant to.

    :ivar faults: those faults.
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        lines = "".join(f"\n    {fault}" for fault in faults)
        super().__init__(f"planted, and never fired (unless that is fine: optional=True):{lines}")
        self.faults = faults


class Planted:
    """A fault in its place.

    :ivar fault: what was planted.
    :ivar optional: whether it is fine if it never acts.
    :ivar hits: how often it has acted.
    :ivar removed: whether it was taken away.
    """

    def __init__(self, fault: Fault, faults: Faults, *, optional: bool) -> None:
        self.fault = fault
        self.optional = optional
        self.hits = 0
        self.removed = False
        self._faults = faults
        self._seen = 0
        self._over = False
        self._waiting: dict[Deferred[None], int] = {}
        self._held: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<{self.fault}, {self.hits} hits>"

    @property
    def unfired(self) -> bool:
        """Whether it should have acted and never has, removed or not."""
        return not self.hits and not self.optional

    @property
    def held(self) -> int:
        """How much is held at present."""
        return len(self._held)

    def wait(self, hits: int = 1) -> Deferred[None]:
        """Fires once the fault has acted so many times in all, in a turn of its own.

        Cancelling stops the waiting, and so does what makes it vain: that the fault is removed, or
        the end of the broker.

        :raises UsageError: it never acts so often.
        """
        times = self.fault.times
        if times is not None and hits > times:
            raise UsageError(f"{self.fault} acts {times} times at most, not {hits}")
        if self.hits >= hits:
            return succeed(None)
        if self._over:
            return fail(CancelledError())

        def forget(waiter: Deferred[None]) -> None:
            del self._waiting[waiter]

        waiter: Deferred[None] = Deferred(forget)
        self._waiting[waiter] = hits
        return waiter

    def release(self) -> None:
        """Let everything go on that is held by this fault; what comes later is held again.

        :raises UsageError: nothing is held.
        """
        if not self._held:
            raise UsageError(f"nothing is held by {self.fault}")
        self._let_go()

    def remove(self) -> None:
        """Let it act no more, and let go what it holds and who waits for it.

        If it has never acted, that is told at the end all the same.
        """
        self.removed = True
        self._faults.forget(self)
        self._over = True
        self._let_go()
        # The others have had their hits, and are told in a turn of their own.
        for waiter, hits in list(self._waiting.items()):
            if hits > self.hits:
                waiter.cancel()

    # For those who apply faults

    def hold(self) -> Deferred[None]:
        """Fires when released; cancelling gives it up."""
        held: Deferred[None] = Deferred(self._held.remove)
        self._held.append(held)
        return held

    def takes(self, occasion: Occasion) -> bool:
        """Whether its turn has come with this occasion, which counts as seen."""
        if not self.fault.concerns(occasion):
            return False
        self._seen += 1
        return self._seen >= self.fault.match.nth

    def hit(self) -> bool:
        """Count that it acts; whether it can do so once more."""
        self.hits += 1
        return self.fault.times is None or self.hits < self.fault.times

    def tell(self) -> None:
        """Fire who waited for as many hits."""
        ready = [waiter for waiter, hits in self._waiting.items() if hits <= self.hits]
        for waiter in ready:
            if self._waiting.pop(waiter, None) is not None:
                waiter.callback(None)

    def stop(self) -> None:
        """It acts no more, and nobody waits."""
        self._over = True
        for waiter in list(self._waiting):
            waiter.cancel()

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for one in held:
            one.callback(None)


class Faults:
    """All that is planted in one cluster.

    :param now: the time, in seconds.
    :param on_hit: called after a fault has acted.
    :ivar hits: the last times that a fault acted, oldest first.
    """

    def __init__(
        self,
        timers: Timers,
        *,
        now: Callable[[], float],
        on_hit: Callable[[], object] | None = None,
    ) -> None:
        self.timers = timers
        self.hits: deque[Hit] = deque(maxlen=MAX_HITS)
        self._now = now
        self._on_hit = on_hit
        self._all: list[Planted] = []
        self._acting: list[Planted] = []

    def plant(self, fault: Fault, *, optional: bool = False) -> Planted:
        """Let a fault act from now on.

        :param optional: whether it is fine if it never does.
        :raises ContradictoryFault: it never can.
        """
        check(fault)
        planted = Planted(fault, self, optional=optional)
        self._all.append(planted)
        self._acting.append(planted)
        return planted

    def withdraw(self, planted: Planted) -> None:
        """Let it act no more."""
        if planted in self._acting:
            self._acting.remove(planted)

    def forget(self, planted: Planted) -> None:
        """Let it act no more, and keep it only if it should have acted and never has."""
        self.withdraw(planted)
        if not planted.unfired and planted in self._all:
            self._all.remove(planted)

    def at(self, server: ServerId) -> FaultsOf:
        """Those of one server."""
        return FaultsOf(self, server)

    @property
    def any(self) -> bool:
        """Whether a fault is left that can act."""
        return bool(self._acting)

    def choose(self, occasion: Occasion) -> Planted | None:
        """The fault that acts at an occasion, which counts as a hit of it."""
        acting: Planted | None = None
        for planted in tuple(self._acting):
            observes = isinstance(planted.fault.action, Observe)
            if planted.takes(occasion) and (observes or acting is None):
                self._hit(planted, occasion)
                if not observes:
                    acting = planted
        return acting

    def unfired(self) -> tuple[Fault, ...]:
        """The faults that should have acted and never have."""
        return tuple(one.fault for one in self._all if one.unfired)

    def clear(self) -> None:
        """Take away and forget everything that is planted, also what never acted."""
        everything, self._all = self._all, []
        for planted in everything:
            planted.remove()
            planted.stop()
        self.hits.clear()

    def stop(self) -> None:
        """Nothing acts any more, and nobody waits."""
        self._acting.clear()
        for planted in self._all:
            planted.stop()

    def _hit(self, planted: Planted, occasion: Occasion) -> None:
        if not planted.hit():
            self.withdraw(planted)
        hit = Hit(
            self._now(),
            planted.fault,
            occasion.moment,
            occasion.server,
            occasion.connection,
            occasion.call,
        )
        self.hits.append(hit)
        self.timers.later(0, planted.tell)
        if self._on_hit is not None:
            self._on_hit()


@attrs.frozen
class FaultsOf:
    """The faults of a cluster, as one of its servers meets them."""

    faults: Faults
    server: ServerId

    @property
    def any(self) -> bool:
        """Whether a fault is left that can act."""
        return self.faults.any

    @property
    def timers(self) -> Timers:
        """What runs everything timed."""
        return self.faults.timers

    def choose(
        self, moment: Moment, connection: int, request: Incoming | None = None, frame: bytes = b""
    ) -> tuple[Planted, Occasion] | None:
        """The fault that acts now, if any, and on what."""
        occasion = Occasion(moment, self.server, connection, frame=frame)
        if request is not None:
            asked = request.original or request
            occasion.header = asked.header
            occasion.payload, occasion.body = asked.payload, asked.body
        planted = self.faults.choose(occasion)
        return None if planted is None else (planted, occasion)
