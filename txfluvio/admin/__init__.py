"""Floor 3, administration: topics, partitions, SPUs, SmartModules and the rest of what an SC keeps.

It stands on the cluster floor and knows nothing of the client above. ``client.admin`` is an
:class:`Admin`; what its calls take and give are the values below.
"""

from __future__ import annotations

from .admin import Admin
from .values import (
    Alignment,
    Color,
    Deduplication,
    HomeTls,
    MirrorDescription,
    PartitionDescription,
    PartitionMirror,
    PartitionResolution,
    ReplicaDescription,
    SmartModuleDescription,
    SmartModulePackage,
    SmartModuleParam,
    SpuDescription,
    SpuGroupDescription,
    SpuGroupResolution,
    SpuResolution,
    StoredOffset,
    TableColumn,
    TableFormatDescription,
    TableFormatResolution,
    TopicDescription,
    TopicResolution,
)
from .watching import Change, ChangeKind, ObjectKind, Watch

__all__ = [
    "Admin",
    "Alignment",
    "Change",
    "ChangeKind",
    "Color",
    "Deduplication",
    "HomeTls",
    "MirrorDescription",
    "ObjectKind",
    "PartitionDescription",
    "PartitionMirror",
    "PartitionResolution",
    "ReplicaDescription",
    "SmartModuleDescription",
    "SmartModulePackage",
    "SmartModuleParam",
    "SpuDescription",
    "SpuGroupDescription",
    "SpuGroupResolution",
    "SpuResolution",
    "StoredOffset",
    "TableColumn",
    "TableFormatDescription",
    "TableFormatResolution",
    "TopicDescription",
    "TopicResolution",
    "Watch",
]
