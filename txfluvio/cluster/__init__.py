"""Floor 2: live metadata, connections to the servers, when to try again, and what the floors above
share.

It stands on the transport and knows no records. :class:`Cluster` is what the floors above use; they
look at a :class:`Topology` and never at the messages it is made of. What they share is the
:class:`Chain` of SmartModules that both reading and writing send along, and the asking about stored
offsets.
"""

from __future__ import annotations

from .chain import Chain
from .cluster import Cluster, WatchHandle
from .retry import Attempts, GivenUp, Retrying, may_succeed
from .stored_offsets import OFFSETS_TOPIC, ask_stored_offsets
from .time_left import TimeLeft, within
from .topology import (
    MAX_PARTITIONS,
    PartitionInfo,
    SpuInfo,
    Told,
    TopicInfo,
    Topology,
    partition_count,
    partition_key,
    told_by,
)
from .turns import Turns
from .watcher import ConnectionState

__all__ = [
    "MAX_PARTITIONS",
    "OFFSETS_TOPIC",
    "Attempts",
    "Chain",
    "Cluster",
    "ConnectionState",
    "GivenUp",
    "PartitionInfo",
    "Retrying",
    "SpuInfo",
    "TimeLeft",
    "Told",
    "TopicInfo",
    "Topology",
    "Turns",
    "WatchHandle",
    "ask_stored_offsets",
    "may_succeed",
    "partition_count",
    "partition_key",
    "told_by",
    "within",
]
