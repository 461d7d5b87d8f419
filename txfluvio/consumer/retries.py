"""When to try again what has failed, by the client's ``RetryPolicy``; pure but for the clock."""

from __future__ import annotations

from ..cluster import Retrying
from ..errors import FluvioError


class Retries:
    """The attempts at keeping one stream open.

    They count from the first failure on, until something has been received, or a stream has been
    open for longer than the policy's longest wait.
    """

    def __init__(self, retrying: Retrying) -> None:
        self._policy = retrying.policy
        self._clock = retrying.clock
        self._rng = retrying.rng
        self._failures = 0
        self._first = 0.0
        self._opened: float | None = None

    def opened(self) -> None:
        """A stream was opened, and may last."""
        self._opened = self._clock.seconds()

    def received(self) -> None:
        """A stream has brought something."""
        self._failures = 0

    def delay(self, error: FluvioError) -> float | None:
        """Seconds to wait after a failure; None: do not try again."""
        now = self._clock.seconds()
        if self._opened is not None and now - self._opened > self._policy.maximum:
            self._failures = 0
        self._opened = None
        if self._failures == 0:
            self._first = now
        delay = self._policy.delay(self._failures, self._rng)
        self._failures += 1
        deadline = self._policy.deadline
        in_time = deadline is None or now + delay - self._first <= deadline
        return delay if error.retriable and in_time else None
