"""What goes wrong in a run, and when: a seed's plan, as a value.

A :class:`Plan` is the shape of the cluster and a list of troubles, each with its time. It depends
on the seed and on nothing else, and a run can be given a smaller one. Troubles are carried out in
:mod:`txfluvio.testing.simulation.world`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from random import Random

import attrs

from ...errors import UsageError
from ...wire.codes import Code
from .. import faults
from ..faults import Action, ContradictoryFault, Fault, Match, Moment
from ..faults.damage import MAX_SIZE
from ..faults.fault import check

VERSION = 2
"""Raised whenever a seed takes another course than before."""

HORIZON = 10.0
"""Seconds within which things go wrong; then everything is mended."""

TROUBLES = (8, 13)
"""How many things go wrong: between so many."""


# Troubles


@attrs.frozen
class Trouble:
    """Something that goes wrong.

    :ivar at: when, in seconds from the beginning.
    """

    at: float


@attrs.frozen
class Plant(Trouble):
    """A fault on a connection.

    :ivar held: seconds after which that is let go which the fault holds.
    """

    fault: Fault
    held: float = 1.0


@attrs.frozen
class MoveLeader(Trouble):
    """A partition gets another leader.

    :ivar which: a number that chooses the partition and the leader.
    """

    which: int


@attrs.frozen
class Crash(Trouble):
    """An SPU goes and comes back.

    :ivar which: a number that chooses it.
    :ivar lasting: seconds.
    :ivar loss: whether it has lost then what was not replicated.
    """

    which: int
    lasting: float
    loss: bool


@attrs.frozen
class ScOutage(Trouble):
    """The SC goes and comes back, with its epochs anew.

    :ivar lasting: seconds.
    """

    lasting: float


@attrs.frozen
class StallReplication(Trouble):
    """Followers get nothing.

    :ivar lasting: seconds.
    """

    lasting: float


@attrs.frozen
class CutConnections(Trouble):
    """Connections are reset, with all that is under way on them.

    :ivar one_in: one of so many, chosen by ``which``.
    """

    one_in: int
    which: int


@attrs.frozen
class Unreachable(Trouble):
    """A server takes no connections.

    :ivar which: a number that chooses it.
    :ivar lasting: seconds.
    :ivar hangs: whether attempts hang instead of being refused.
    """

    which: int
    lasting: float
    hangs: bool


@attrs.frozen
class Reload(Trouble):
    """The SC loads everything anew, and tells all watches everything."""


# Faults


NOT_SIMULATED = frozenset({faults.Observe, faults.FailTls})
"""Actions that do nothing here: there is no TLS in a simulated run."""

UNNOTICED = frozenset({(faults.LoseReply, "Watch")})
"""What no client can notice before the SC loads everything anew: news that never came."""

CALLS = (
    "ApiVersions",
    "Create",
    "Delete",
    "DeleteConsumerOffset",
    "Fetch",
    "FetchConsumerOffsets",
    "FetchOffsets",
    "List",
    "Produce",
    "StreamFetch",
    "Update",
    "UpdateConsumerOffset",
    "UpdateOffsets",
    "Watch",
)
"""The calls that clients make."""

CONNECTION = "connection"
"""Stands for a call where a fault is for a connection."""

_HARMLESS = (
    Code.NOT_LEADER_FOR_PARTITION,
    Code.SPU_OFFLINE,
    Code.TOPIC_PENDING_INITIALIZATION,
    Code.PARTITION_PENDING_INITIALIZATION,
    Code.PERMISSION_DENIED,
    Code.MESSAGE_TOO_LARGE,
)
"""Errors by which a server says that it has done nothing; so they are told before the work."""

_UNCERTAIN = (Code.STORAGE_ERROR, Code.UNKNOWN_SERVER_ERROR, Code.SPU_ERROR)
"""Errors that leave it open."""

Maker = Callable[[Random], Action]

_MAKERS: Mapping[type[Action], Maker] = {
    faults.AnswerError: lambda rng: faults.AnswerError(rng.choice(_HARMLESS + _UNCERTAIN)),
    faults.Delay: lambda rng: faults.Delay(_seconds(rng, 0.01, 6.0)),
    faults.Hold: lambda rng: faults.Hold(),
    faults.NeverAnswer: lambda rng: faults.NeverAnswer(),
    faults.LoseReply: lambda rng: faults.LoseReply(),
    faults.Close: lambda rng: faults.Close(_after(rng), linger=_seconds(rng, 0, 0.2)),
    faults.Reset: lambda rng: faults.Reset(_after(rng), linger=_seconds(rng, 0, 0.2)),
    faults.Truncate: lambda rng: faults.Truncate(rng.randint(1, 40)),
    faults.CorruptCrc: lambda rng: faults.CorruptCrc(),
    faults.WrongLength: lambda rng: faults.WrongLength(rng.choice((MAX_SIZE, 100_000, 0, -1))),
    faults.WrongCorrelation: lambda rng: faults.WrongCorrelation(rng.choice((1, -1))),
    faults.UnknownCorrelation: lambda rng: faults.UnknownCorrelation(),
    faults.Repeat: lambda rng: faults.Repeat(rng.randint(1, 2)),
    faults.Reorder: lambda rng: faults.Reorder(rng.randint(1, 2), _seconds(rng, 0.1, 2.0)),
    faults.Trickle: lambda rng: faults.Trickle(rng.randint(7, 60), _seconds(rng, 0, 0.01)),
    faults.SplitPush: lambda rng: faults.SplitPush(_seconds(rng, 0, 0.2)),
    faults.ShortCommittedFrame: lambda rng: faults.ShortCommittedFrame(),
    faults.HalfAlive: lambda rng: faults.HalfAlive(),
    faults.StallReading: lambda rng: faults.StallReading(_seconds(rng, 0.1, 6.0)),
    faults.Refuse: lambda rng: faults.Refuse(),
    faults.Latency: lambda rng: faults.Latency(_seconds(rng, 0.01, 1.0)),
}


def _seconds(rng: Random, least: float, most: float) -> float:
    return round(rng.uniform(least, most), 3)


def _after(rng: Random) -> int | None:
    return rng.choice((None, 0, rng.randint(1, 80)))


@cache
def pairs() -> tuple[tuple[type[Action], str], ...]:
    """Every action, with every call to which it can be done in a simulated run."""
    found = [
        (action, call)
        for action in faults.ACTIONS
        if action not in NOT_SIMULATED
        for call in (*CALLS, CONNECTION)
        if (action, call) not in UNNOTICED and _makes_sense(action, call)
    ]
    return tuple(found)


def _makes_sense(action: type[Action], call: str) -> bool:
    try:
        check(Fault(_match(call), _MAKERS[action](Random(0))))
    except ContradictoryFault:
        return False
    return True


def _match(call: str, nth: int = 1) -> Match:
    if call == CONNECTION:
        return Match(nth=nth, moment=Moment.CONNECTION)
    return Match(call, nth=nth)


def make_fault(rng: Random, action: type[Action], call: str) -> Fault:
    """A fault of this kind."""
    match = _match(call, nth=rng.choice((1, 1, 2, 3)))
    return Fault(match, _MAKERS[action](rng), times=rng.choice((1, 1, 1, 2, 3)))


# The plan


@attrs.frozen(kw_only=True)
class Plan:
    """What happens in one run, apart from what clients do.

    :ivar seed: of everything else.
    :ivar spus: how many SPUs there are.
    :ivar latency: seconds from one end of a connection to the other.
    :ivar split: how many bytes are delivered at a time; ``None``: as many as there are.
    :ivar troubles: what goes wrong, in the order of time.
    :ivar numbers: the number of each of them in the seed's own plan.
    """

    seed: int
    spus: int
    latency: float
    split: int | None
    troubles: tuple[Trouble, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The plan of a seed."""
        rng = Random(f"plan {seed}")
        troubles = sorted(
            (_trouble(rng) for _ in range(rng.randint(*TROUBLES))), key=lambda one: one.at
        )
        return cls(
            seed=seed,
            spus=rng.choice((2, 3, 3)),
            latency=rng.choice((0.0, 0.001, 0.02)),
            split=rng.choice((None, None, None, 997)),
            troubles=tuple(troubles),
            numbers=tuple(range(len(troubles))),
        )

    def without(self, numbers: Collection[int]) -> Plan:
        """The same plan, less the troubles that have these numbers in the seed's own plan.

        :raises UsageError: there is no such trouble.
        """
        unknown = sorted(set(numbers) - set(self.numbers))
        if unknown:
            raise UsageError(
                f"seed {self.seed} has no trouble {unknown[0]} on this version of the simulation"
            )
        kept = [
            (number, trouble)
            for number, trouble in zip(self.numbers, self.troubles, strict=True)
            if number not in numbers
        ]
        return attrs.evolve(
            self,
            troubles=tuple(trouble for _, trouble in kept),
            numbers=tuple(number for number, _ in kept),
        )


def _trouble(rng: Random) -> Trouble:
    at = _seconds(rng, 0.05, HORIZON * 0.8)
    if rng.random() < 0.75:
        action, call = rng.choice(pairs())
        return Plant(at, make_fault(rng, action, call), _seconds(rng, 0.1, 4.0))
    which, lasting = rng.randrange(1_000), _seconds(rng, 0.1, HORIZON * 0.4)
    kind = rng.randrange(8)
    if kind < 2:
        return MoveLeader(at, which)
    if kind == 2:
        return Crash(at, which, lasting, rng.random() < 0.5)
    if kind == 3:
        return ScOutage(at, lasting)
    if kind == 4:
        return StallReplication(at, lasting)
    if kind == 5:
        return CutConnections(at, rng.choice((1, 2, 3)), which)
    if kind == 6:
        return Unreachable(at, which, lasting, rng.random() < 0.3)
    return Reload(at)
