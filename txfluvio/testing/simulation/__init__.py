"""Runs in which everything goes wrong, each decided by a seed: nothing lost, nothing silent.

::

    from txfluvio.testing.simulation import simulate

    async def workload(world):
        client = await world.client()
        ...

    result = simulate(7, workload)
    assert not result.violations

A run takes place in memory, under one clock and with one seed: clients, a fake cluster and the
network between them, while connections break, answers are lost or damaged, SPUs crash and leaders
move. The same seed takes the same course, wherever it runs. What clients were told is compared
with what is stored.

- :mod:`.run` does a run.
- :mod:`.world` is what a workload gets.
- :mod:`.workload` is the usual one.
- :mod:`.plan` says what goes wrong.
- :mod:`.ledger` says what has to hold.
"""

from __future__ import annotations

from .ledger import Ledger, Reader
from .plan import Plan
from .run import Result, Workload, simulate
from .world import World

__all__ = ["Ledger", "Plan", "Reader", "Result", "Workload", "World", "simulate"]
