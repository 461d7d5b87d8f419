"""One run from its beginning to its end, and what was found wrong about it."""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from .clock import EPOCH, Endless
from .history import finally_stored
from .plan import HORIZON, Plan
from .workload import workload as usual
from .world import World

Workload = Callable[[World], Awaitable[None]]
"""What clients do: it returns when they are done, some time after :attr:`World.calm`."""

PATIENCE = 400.0
"""Seconds after everything is mended within which a workload has to come to its end. The SC tells
everything anew every 300 seconds, which mends what else would stay wrong."""

SETTLING = 5.0
"""Seconds for replicas to become alike."""

MAX_CALLS = 1_000_000
"""A run that makes more delayed calls than this will not end."""


@attrs.frozen(kw_only=True)
class Result:
    """What became of a run.

    :ivar violations: what was wrong, in words; empty if nothing was.
    :ivar hits: how often each action was done to each call.
    :ivar sent: how many records were given to producers.
    :ivar seen: how many records consumers have handed out.
    :ivar cut: how many of them were cut by an election afterwards.
    :ivar seconds: how long the run was by its own clock.
    :ivar calls: how many delayed calls were made.
    :ivar trace: what happened, if that was asked for.
    """

    plan: Plan
    violations: tuple[str, ...]
    hits: Counter[tuple[str, str]]
    sent: int
    seen: int
    cut: int
    seconds: float
    calls: int
    trace: str = attrs.field(repr=False)

    @property
    def fired(self) -> int:
        """How often faults have acted."""
        return self.hits.total()


def simulate(plan: Plan | int, workload: Workload | None = None, *, traced: bool = False) -> Result:
    """Do one run.

    :param plan: what goes wrong; a number: the plan of that seed.
    :param workload: what clients do; the usual one unless given.
    :param traced: whether the result has a trace.
    """
    if isinstance(plan, int):
        plan = Plan.of(plan)
    gc.freeze()
    run = _Run(World(plan, traced=traced), usual if workload is None else workload)
    with _Errors(run.wrong):
        run.do()
        # Whatever failed and was heard by nobody says so when it is gone.
        del run.main
        gc.collect()
    gc.unfreeze()
    world = run.world
    return Result(
        plan=plan,
        violations=tuple(run.wrong),
        hits=world.hits,
        sent=len(world.ledger.sent),
        seen=world.ledger.records_seen,
        cut=world.ledger.cut_records,
        seconds=world.clock.seconds() - EPOCH,
        calls=world.clock.made,
        trace=world.trace.text if traced else "",
    )


class _Run:
    """A run under way."""

    def __init__(self, world: World, workload: Workload) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.main: Deferred[None]
        self._workload = workload

    def do(self) -> None:
        world = self.world
        self.main = Deferred.fromCoroutine(self._course())
        try:
            if not self._until(self.main, HORIZON + PATIENCE):
                self.wrong.append(f"the workload has not ended {PATIENCE:g} s after the mending")
                self.main.addErrback(lambda _: None)
                self.main.cancel()
            else:
                self.main.addErrback(self._failed)
            self._until(Deferred.fromCoroutine(world.end()), 120.0, "clients have not closed")
            self._until(world.sleep(SETTLING), SETTLING + 1)
            self._look()
            self._until(world.broker.stop(), 10.0, "the cluster has not stopped")
            self._until(world.sleep(0.0), 1.0)
        except Endless as error:
            self.wrong.append(str(error))
            return
        self._leftovers()

    async def _course(self) -> None:
        await self.world.begin()
        try:
            await self._workload(self.world)
        finally:
            await self.world.when_calm()

    def _until(self, deferred: Deferred[Any], seconds: float, complaint: str | None = None) -> bool:
        world = self.world
        done = world.clock.run(
            lambda: deferred.called,
            until=world.clock.seconds() + seconds,
            calls=MAX_CALLS,
            between=world.trace.gather,
        )
        if not done and complaint is not None:
            self.wrong.append(complaint)
        return done

    def _failed(self, failure: Failure) -> None:
        lines = "".join(traceback.format_exception(failure.value))
        self.wrong.append(f"the workload has failed: {lines}")

    def _look(self) -> None:
        """Compare what was told with what is stored."""
        world = self.world
        self.wrong += world.ledger.check(dict(finally_stored(world.broker)))
        for number, client in enumerate(world.clients):
            if client.buffered:
                self.wrong.append(f"client {number} holds {client.buffered} bytes in the end")

    def _leftovers(self) -> None:
        world = self.world
        for call in world.clock.getDelayedCalls():
            self.wrong.append(f"a delayed call is left: {call}")
        if world.network.links:
            self.wrong.append(f"{len(world.network.links)} connections are left")


@implementer(ILogObserver)
class _Errors:
    """Hears of what is logged as an error meanwhile."""

    def __init__(self, wrong: list[str]) -> None:
        self._wrong = wrong

    def __enter__(self) -> None:
        globalLogPublisher.addObserver(self)

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level")
        if level is not None and level >= LogLevel.error:
            failure = event.get("log_failure")
            details = "" if failure is None else f": {failure.getTraceback()}"
            self._wrong.append(f"an error was logged: {formatEvent(event)}{details}")
