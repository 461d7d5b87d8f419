"""Trying again: what each attempt is told."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.cluster import Retrying
from txfluvio.cluster.retry import may_succeed
from txfluvio.config import RetryPolicy
from txfluvio.errors import ConnectFailed


class Attempts(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        policy = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0)
        self.retrying = Retrying(policy, self.clock, Random(1))
        self.left: list[float] = []

    async def attempt(self, left: float) -> None:
        self.left.append(left)
        raise ConnectFailed("sc.test:9003", "refused")

    def test_each_is_told_what_is_left(self) -> None:
        calling = Deferred.fromCoroutine(
            self.retrying.call(self.attempt, seconds=3.5, again=may_succeed)
        )
        self.clock.pump([1.0, 2.0])
        self.failureResultOf(calling, ConnectFailed)
        self.assertEqual(self.left, [3.5, 2.5, 0.5])

    def test_one_that_comes_too_late_is_told_that_nothing_is_left(self) -> None:
        calling = Deferred.fromCoroutine(
            self.retrying.call(self.attempt, seconds=3.5, again=may_succeed)
        )
        self.clock.advance(300.0)
        self.failureResultOf(calling, ConnectFailed)
        self.assertEqual(self.left, [3.5, 0.0])
