"""Doing something again: what failed with an error that allows it, and what is kept up for ever.

How long to wait is the :class:`~txfluvio.config.RetryPolicy`'s business, whether to try again that
of the error (``retriable``, ``effect``) and of whoever calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..config import RetryPolicy
from ..errors import Effect, FluvioError
from .time_left import TimeLeft

T = TypeVar("T")


def nothing_happened(error: FluvioError) -> bool:
    """Whether a call that changes something can be made again without doing it twice."""
    return error.retriable and error.effect is Effect.NONE


def may_succeed(error: FluvioError) -> bool:
    """Whether a call that changes nothing can succeed later."""
    return error.retriable


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
        :raises FluvioError: the last attempt's.
        """
        left = TimeLeft.of(self.clock, seconds)
        first_failure: float | None = None
        for delay in self.policy.delays(self.rng):
            try:
                return await attempt(left.seconds)
            except FluvioError as error:
                now = self.clock.seconds()
                if first_failure is None:
                    first_failure = now
                    if self.policy.deadline is not None:
                        end = min(left.end, now + self.policy.deadline)
                        left = TimeLeft(self.clock, end)
                if not again(error) or now + delay >= left.end:
                    raise
            await deferLater(self.clock, delay)
        raise AssertionError("a policy's delays have no end")


class ForEver:
    """The waits between the connections of something that is kept up for ever.

    They grow, and are short again after a connection that has told something and lasted for the
    policy's longest wait. One that told all and was gone does not count: its SC would be dialled on
    and on.
    """

    def __init__(self, retrying: Retrying) -> None:
        self._retrying = retrying
        self._waits = 0
        self._since = 0.0

    def begins(self) -> None:
        """A connection begins, or the attempt at one."""
        self._since = self._retrying.clock.seconds()

    async def wait(self, *, told: bool) -> None:
        """Wait before the next one.

        :param told: whether the one that ended has told something.
        """
        policy, clock, rng = self._retrying.policy, self._retrying.clock, self._retrying.rng
        if told and clock.seconds() - self._since >= policy.maximum:
            self._waits = 0
        delay = policy.delay(self._waits, rng)
        self._waits += 1
        await deferLater(clock, delay)
