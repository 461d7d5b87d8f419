"""Floor 2: live metadata, connections to the servers, and when to try again.

It stands on the transport, and knows neither records nor users. :class:`Cluster` is what the floors
above use; they look at a :class:`Topology` and never at the messages it is made of.
"""

from __future__ import annotations

from .chain import Chain
from .cluster import Cluster, WatchHandle
from .retry import ForEver, Retrying
from .stored import OFFSETS_TOPIC, ask_stored_offsets
from .time_left import TimeLeft, within
from .topology import PartitionInfo, SpuInfo, Told, TopicInfo, Topology, told_by
from .watcher import ConnectionState

__all__ = [
    "OFFSETS_TOPIC",
    "Chain",
    "Cluster",
    "ConnectionState",
    "ForEver",
    "PartitionInfo",
    "Retrying",
    "SpuInfo",
    "TimeLeft",
    "Told",
    "TopicInfo",
    "Topology",
    "WatchHandle",
    "ask_stored_offsets",
    "told_by",
    "within",
]
