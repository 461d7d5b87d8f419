"""Faults as values: what goes wrong, when, and how often.

::

    lost = broker.plant(Fault(Match("Produce", topic="orders"), LoseReply()))
    ...
    await lost.wait()

A :class:`Fault` is a :class:`Match` (which connections, requests, replies or pushes), an
:class:`Action` (what is done to them) and a budget (how many times). All of these are pure:
values, whether a match holds, and whether a fault makes sense. What is planted is counted in
:mod:`txfluvio.testing.faults.planting`, and acts in :mod:`txfluvio.testing.faults.meddling`.

This is the front door. It exports names and nothing else.
"""

from __future__ import annotations

from .actions import (
    ACTIONS,
    Action,
    AnswerError,
    Close,
    CorruptCrc,
    Delay,
    FailTls,
    HalfAlive,
    Hold,
    Latency,
    LoseReply,
    NeverAnswer,
    Observe,
    Refuse,
    Reorder,
    Repeat,
    Reset,
    ShortCommittedFrame,
    SplitPush,
    StallReading,
    Trickle,
    Truncate,
    UnknownCorrelation,
    WrongCorrelation,
    WrongLength,
)
from .fault import ContradictoryFault, Fault
from .matching import Match, Moment, ServerId

__all__ = [
    "ACTIONS",
    "Action",
    "AnswerError",
    "Close",
    "ContradictoryFault",
    "CorruptCrc",
    "Delay",
    "FailTls",
    "Fault",
    "HalfAlive",
    "Hold",
    "Latency",
    "LoseReply",
    "Match",
    "Moment",
    "NeverAnswer",
    "Observe",
    "Refuse",
    "Reorder",
    "Repeat",
    "Reset",
    "ServerId",
    "ShortCommittedFrame",
    "SplitPush",
    "StallReading",
    "Trickle",
    "Truncate",
    "UnknownCorrelation",
    "WrongCorrelation",
    "WrongLength",
]
