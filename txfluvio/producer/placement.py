"""Which of a topic's partitions each record goes to, as the topic is at the moment.

Pure. The choice itself is the partitioner's (:mod:`txfluvio.producer.partitioner`); here are the
facts it chooses by, the check of what it chose, and the grouping of many records by partition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat

from ..cluster import TopicInfo
from ..errors import InvalidRecord, PartitionNotFound
from ..interfaces import IPartitioner
from .checks import Keys
from .outcomes import Lot
from .partitioner import SiphashRoundRobinPartitioner


class Placement:
    """Places the records of one topic.

    :param partitioner: None: the one all Fluvio clients use.

    :ivar custom: whether the partitioner is a user's own. It may fail, so that a record has to be
        placed when it is sent; the usual one never does, and many at once take it less time.
    """

    def __init__(self, topic: str, partitioner: IPartitioner | None = None) -> None:
        self._topic = topic
        # A user's own may have a length, and that may be 0.
        if partitioner is None:
            partitioner = SiphashRoundRobinPartitioner()
        self._choose: Callable[[bytes | None, bytes, int, Sequence[int]], int] = partitioner.choose
        self._usual: SiphashRoundRobinPartitioner | None = None
        if type(partitioner) is SiphashRoundRobinPartitioner:
            self._usual = partitioner
        self.custom = self._usual is None
        self._followed: TopicInfo | None = None
        self._count = 0

    def follow(self, topic: TopicInfo) -> None:
        """Use the partitions that the topic has now."""
        self._followed = topic
        self._count = topic.partition_count

    @property
    def _online(self) -> tuple[int, ...]:
        return () if self._followed is None else self._followed.taking_turns

    def place(self, key: bytes | None, value: bytes, partition: int | None) -> int:
        """The partition of a record.

        :param partition: the one the sender wants; None: the partitioner chooses.
        :raises PartitionNotFound: the topic has no such partition.
        :raises InvalidRecord: what was wanted or chosen is no number.
        """
        if partition is None:
            partition = self._choose(key, value, self._count, self._online)
        self._check(partition)
        return partition

    def group(self, keys: Keys, values: list[bytes], partition: int | None) -> list[Lot]:
        """Many records by partition, each lot in their order; raises as :meth:`place`."""
        if partition is not None:
            self._check(partition)
            return [Lot(partition, keys, values, range(len(values)))] if values else []
        if self._usual is None:
            online = self._online
            places = [
                self._choose(key, value, self._count, online)
                for key, value in zip(keys or repeat(None), values, strict=False)
            ]
            # A set has no place for what is no number, and one for True and 1.
            for place in set(places) if set(map(type, places)) == {int} else places:
                self._check(place)
            return _grouped(places, keys, values)
        if keys is not None:
            places = self._usual.choose_all(keys, self._count, self._online)
            return _grouped(places, keys, values)
        return [
            Lot(place, None, values[taken.start : taken.stop : taken.step], taken)
            for place, taken in self._usual.choose_turns(len(values), self._count, self._online)
        ]

    def group_placed(
        self, places: list[int | None], keys: list[bytes | None], values: list[bytes]
    ) -> list[Lot]:
        """Records by partition, of which some were placed before; never raises.

        :param places: the partition of each; None: the partitioner chooses.
        """
        if len(values) == 1:
            place, key = places[0], keys[0]
            if place is None:
                place = self._choose(key, values[0], self._count, self._online)
            return [Lot(place, None if key is None else keys, values, range(1))]
        unkeyed = keys.count(None) == len(keys)
        if places.count(None) == len(places):
            return self.group(None if unkeyed else keys, values, None)
        online = self._online
        chosen = [
            self._choose(key, value, self._count, online) if place is None else place
            for place, key, value in zip(places, keys, values, strict=True)
        ]
        return _grouped(chosen, None if unkeyed else keys, values)

    def _check(self, partition: int) -> None:
        if not isinstance(partition, int) or isinstance(partition, bool):
            raise InvalidRecord(
                f"the partition is {type(partition).__name__}: expected a whole number"
            )
        if not 0 <= partition < self._count:
            raise PartitionNotFound(self._topic, partition, self._count)


def _grouped(places: list[int], keys: Keys, values: list[bytes]) -> list[Lot]:
    positions: dict[int, list[int]] = {}
    for position, place in enumerate(places):
        if place in positions:
            positions[place].append(position)
        else:
            positions[place] = [position]
    return [
        Lot(place, keys and [keys[p] for p in taken], [values[p] for p in taken], taken)
        for place, taken in positions.items()
    ]
