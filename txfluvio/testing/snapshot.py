"""All that a fake cluster has stored, as a value: the metadata, and the logs of each SPU.

A snapshot is what :meth:`.FakeBroker.snapshot` takes and :meth:`.FakeBroker.restore` goes back to.
How the same things are kept in files is told in :mod:`txfluvio.testing.storage`.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .sc.metadata import Contents
from .spu.log import PartitionLog
from .spu.replica import Key

Logs = Mapping[Key, PartitionLog]
"""The logs of one SPU."""


@attrs.frozen
class Snapshot:
    """What a cluster had at some time; it stays as it is whatever becomes of the cluster.

    :ivar contents: all objects of the SC, those of each kind under its label.
    :ivar logs: the logs of each SPU by its id.
    :ivar down: the SPUs that were not running.
    """

    contents: Contents = attrs.field(repr=False)
    logs: Mapping[int, Logs] = attrs.field(repr=False)
    down: tuple[int, ...] = ()
