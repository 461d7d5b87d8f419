"""Doing something again: calls that failed with an error that allows it, and what is kept up.

How long to wait is the :class:`~txfluvio.config.RetryPolicy`'s business, whether to try again that
of the error (``retriable``, ``effect``) and of whoever calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..config import RetryPolicy
from ..errors import Effect, FluvioError, another
from .time_left import TimeLeft

T = TypeVar("T")


def nothing_happened(error: FluvioError) -> bool:
    """Whether a call that changes something can be made again without doing it twice."""
    return error.retriable and error.effect is Effect.NONE


def may_succeed(error: FluvioError) -> bool:
    """Whether a call that is as good twice as once can succeed later."""
    return error.retriable


class GivenUp(CancelledError):
    """Cancelled after a request was sent.

    :ivar effect: unknown where nobody has answered it.
    """

    def __init__(self, effect: Effect = Effect.UNKNOWN) -> None:
        super().__init__()
        self.effect = effect


@attrs.frozen
class Retrying:
    """What it takes to try again: a policy, a clock to wait by, and a source of chance."""

    policy: RetryPolicy
    clock: IReactorTime
    rng: Random

    async def call(
        self,
        attempt: Callable[[float], Awaitable[T]],
        *,
        seconds: float,
        again: Callable[[FluvioError], bool],
    ) -> T:
        """The result of the first attempt that succeeds.

        :param attempt: called with the seconds that are left, perhaps none.
        :param seconds: for all attempts and the waits between them; each attempt has to keep to
            what it is told is left.
        :param again: whether an error allows for another attempt.
        :raises FluvioError: the last attempt's. If that did nothing, but one before it may have
            done something, its effect is unknown.
        :raises GivenUp: it was cancelled, and an attempt may have done something.
        """
        left = TimeLeft.of(self.clock, seconds)
        uncertain = False
        try:
            for failed, delay in enumerate(self.policy.delays(self.rng)):
                try:
                    return await attempt(left.seconds)
                except FluvioError as error:
                    now = self.clock.seconds()
                    if not failed and self.policy.deadline is not None:
                        # It counts from the first failure.
                        left = TimeLeft(self.clock, min(left.end, now + self.policy.deadline))
                    nothing = error.effect is Effect.NONE
                    if not again(error) or now + delay >= left.end:
                        if uncertain and nothing:
                            raise _uncertain(error) from error.__cause__
                        raise
                    uncertain = uncertain or not nothing
                await deferLater(self.clock, delay)
        except CancelledError as error:
            if uncertain:
                raise GivenUp from error
            raise
        raise AssertionError("a policy's delays have no end")


def _uncertain(error: FluvioError) -> FluvioError:
    """The error of a call of which an earlier attempt may have taken effect."""
    own = another(error)
    own.effect = Effect.UNKNOWN
    return own


class Attempts:
    """Attempts at one thing, such as keeping a stream open: those that failed in a row.

    What lasts for the policy's longest wait, or for its deadline if that is shorter, was a success,
    however it ends.

    :ivar failed: how many that were.
    """

    def __init__(self, retrying: Retrying) -> None:
        policy = self._policy = retrying.policy
        self._lasting = min(policy.maximum, policy.deadline or policy.maximum)
        self._clock = retrying.clock
        self._rng = retrying.rng
        self._first = self._last = 0.0
        self._began: float | None = None
        self.failed = 0

    def begin(self) -> None:
        """Something has begun that may last; what was there before has come to a good end."""
        self._end()
        self._began = self._clock.seconds()

    def succeed(self) -> None:
        """It does what it should."""
        self.failed = 0

    def resume(self) -> None:
        """Go on, perhaps after a time in which there was nothing to try.

        After as long as what lasts is a success, what failed before it counts no more.
        """
        if self.failed and self._clock.seconds() - self._last >= self._lasting:
            self.failed = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """As long as this lasts there is nothing to try: no time of the policy's deadline."""
        began = self._clock.seconds()
        try:
            yield
        finally:
            self._first += self._clock.seconds() - began

    def fail(self, *, worked: bool = True) -> float:
        """Count one that has failed, or come to an end; seconds to wait before the next.

        :param worked: whether it did anything at all. If not, it has not lasted either.
        """
        if worked:
            self._end()
        self._began = None
        self._last = self._clock.seconds()
        if not self.failed:
            self._first = self._last
        self.failed += 1
        return self._policy.delay(self.failed - 1, self._rng)

    def _end(self) -> None:
        """Judge what had begun by how long it has lasted."""
        if self._began is not None and self._clock.seconds() - self._began >= self._lasting:
            self.failed = 0

    def in_time(self, delay: float = 0.0) -> bool:
        """Whether another in so many seconds would be before the policy's deadline."""
        deadline = self._policy.deadline
        if deadline is None or not self.failed:
            return True
        return self._clock.seconds() + delay < self._first + deadline
