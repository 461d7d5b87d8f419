"""What the logs of a cluster have ever held, and what they hold in the end.

A record that was stored and is gone by an election is gone from the logs; here it is remembered,
so that it can be told from one that was never stored. A :class:`History` hears of every batch that
any SPU stores, as its disk would. Nothing is decoded before somebody asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import attrs

from ...wire.records import Batch
from ..broker import FakeBroker
from ..sc.metadata import SYSTEM_TOPIC
from ..spu.log import PartitionLog, Segment
from ..spu.replica import Key

Contents = Mapping[int, bytes]
"""The value at each offset."""


class History:
    """Every batch that was ever stored, by partition."""

    def __init__(self) -> None:
        self._batches: defaultdict[Key, dict[bytes, None]] = defaultdict(dict)
        self._decoded: dict[Key, tuple[int, dict[tuple[int, bytes], None]]] = {}

    def attend(self, broker: FakeBroker) -> None:
        """Hear of what the SPUs of a broker store from now on."""
        for spu in broker.cluster.spus.values():
            spu.disk = self

    def ever(self, key: Key) -> dict[tuple[int, bytes], None]:
        """Every offset and value that some replica of a partition has had together."""
        batches = self._batches[key]
        known, decoded = self._decoded.get(key, (-1, {}))
        if known != len(batches):
            decoded = {
                (record.offset, record.value): None
                for data in batches
                for record in Batch(data, 0).records(*key)
                if record.offset is not None
            }
            self._decoded[key] = (len(batches), decoded)
        return decoded

    # What an SPU tells its disk

    def keep(self, key: Key, log: PartitionLog) -> None:
        for stored in log:
            self._stored(key, stored.data)
        log.keeper = _Listener(partial(self._stored, key))

    def drop(self, key: Key) -> None:
        """What an SPU has no more it has had all the same."""

    def _stored(self, key: Key, data: bytes) -> None:
        if key[0] != SYSTEM_TOPIC:
            self._batches[key][data] = None


@attrs.frozen
class _Listener:
    """Hears of one log."""

    stored: partial[None]

    def append(self, segment: int, data: bytes, now: float) -> None:
        self.stored(data)

    def commit(self, hw: int) -> None:
        """What is committed is read off the logs in the end."""

    def replace(self, segments: Sequence[Segment]) -> None:
        """What was cut has been stored all the same."""


def finally_stored(broker: FakeBroker) -> Iterator[tuple[Key, Contents]]:
    """What the leaders of all partitions have, by offset; the system topic is left out."""
    for item in broker.cluster.metadata.topics:
        if item.name == SYSTEM_TOPIC:
            continue
        for number in sorted(item.status.replica_map):
            records = broker.records(item.name, number)
            yield (
                (item.name, number),
                {one.offset: one.value for one in records if one.offset is not None},
            )
