"""What is left of the time that something may take, and what ends when there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..errors import FluvioError

T = TypeVar("T")


@attrs.frozen
class TimeLeft:
    """The time that is left of what several steps may take together.

    :ivar clock: tells the time.
    :ivar end: when it is over, by that clock.
    """

    clock: IReactorTime
    end: float

    @classmethod
    def of(cls, clock: IReactorTime, seconds: float) -> Self:
        """So many seconds from now on."""
        return cls(clock, clock.seconds() + seconds)

    @property
    def seconds(self) -> float:
        """How many are left by now, perhaps none."""
        return max(0.0, self.end - self.clock.seconds())


def within(wait: Deferred[T], left: TimeLeft, late: Callable[[], FluvioError]) -> Deferred[T]:
    """``wait``, which is cancelled when no time is left, and fails with ``late()`` then.

    What comes of it all the same is kept: a connection, for one, that can not be cancelled any
    more.
    """

    def over(result: T | Failure, _: float) -> T | Failure:
        if not isinstance(result, Failure) or result.check(CancelledError) is None:
            return result
        return Failure(late())

    return wait.addTimeout(left.seconds, left.clock, onTimeoutCancel=over)
