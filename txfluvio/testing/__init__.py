"""A fake Fluvio cluster to test against: no server to install, no sleeping, faults at will.

This is the front door. It exports names and nothing else, each loaded when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .broker import FakeBroker
    from .cluster import Cluster
    from .faults import ContradictoryFault, Fault, Match, Moment
    from .faults.planting import Planted, UnfiredFaults
    from .looking import Produced
    from .releases import FLUVIO_0_11_11, FLUVIO_0_17, FLUVIO_0_18, RELEASES, Release
    from .sc.metadata import Timing
    from .sc.policies import ReadOnly, Roles, Root
    from .server.journal import Direction, Entry, Journal
    from .server.protocol import Complaint
    from .server.tls import FakeTls, Preset
    from .snapshot import Snapshot

_HOME = {
    "Cluster": "cluster",
    "Complaint": "server.protocol",
    "ContradictoryFault": "faults",
    "Direction": "server.journal",
    "Entry": "server.journal",
    "FLUVIO_0_11_11": "releases",
    "FLUVIO_0_17": "releases",
    "FLUVIO_0_18": "releases",
    "FakeBroker": "broker",
    "FakeTls": "server.tls",
    "Fault": "faults",
    "Journal": "server.journal",
    "Match": "faults",
    "Moment": "faults",
    "Planted": "faults.planting",
    "Preset": "server.tls",
    "Produced": "looking",
    "RELEASES": "releases",
    "ReadOnly": "sc.policies",
    "Release": "releases",
    "Roles": "sc.policies",
    "Root": "sc.policies",
    "Snapshot": "snapshot",
    "Timing": "sc.metadata",
    "UnfiredFaults": "faults.planting",
}

__all__ = [
    "FLUVIO_0_11_11",
    "FLUVIO_0_17",
    "FLUVIO_0_18",
    "RELEASES",
    "Cluster",
    "Complaint",
    "ContradictoryFault",
    "Direction",
    "Entry",
    "FakeBroker",
    "FakeTls",
    "Fault",
    "Journal",
    "Match",
    "Moment",
    "Planted",
    "Preset",
    "Produced",
    "ReadOnly",
    "Release",
    "Roles",
    "Root",
    "Snapshot",
    "Timing",
    "UnfiredFaults",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
