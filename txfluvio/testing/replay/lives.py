"""Which partitions a real SC may not have heard of yet, at some moment of a recording.

A leader reports on a new partition after a while, here at once. Whoever connects or lists in
between sees the partition as it was made: offline, led by nobody, of no size. The fake tells such a
state only to those who watched already; to the others it would have, had they come earlier.
"""

from __future__ import annotations

from collections.abc import Collection

from ...wire.sc import TOPIC, CreateRequest, DeleteRequest, Metadata, UpdateRequest
from ...wire.schema import Message, evolve
from ..sc import lifecycle

FIRST_REPORT = 1.0
"""Seconds that a leader takes at the most to report on a new partition, since somebody was told."""


class Lives:
    """What a recording has shown of partitions so far.

    :param known: the partitions that were there in the beginning.
    """

    def __init__(self, known: Collection[str]) -> None:
        self._reported = set(known)
        self._seen: dict[str, float] = {}
        self._made: dict[str, float] = {}

    def see(self, name: str, told: Metadata | None, time: float) -> None:
        """The recording shows a partition, or that it is gone."""
        if told is None:
            self._reported.discard(name)
            self._seen.pop(name, None)
        elif told.status == lifecycle.NEW_PARTITION:
            self._seen.setdefault(name, time)
        else:
            self._reported.add(name)

    def answered(self, asked: Message | None, time: float) -> None:
        """A request was granted: the partitions of a topic are gone, or there are new ones."""
        if isinstance(asked, DeleteRequest) and asked.kind is TOPIC:
            for name in [*self._reported, *self._seen]:
                if lifecycle.partition_key(name)[0] == asked.key:
                    self.see(name, None, time)
        elif isinstance(asked, CreateRequest) and asked.kind is TOPIC:
            self._made[asked.name] = time
        elif isinstance(asked, UpdateRequest) and asked.kind is TOPIC:
            self._made[str(asked.key)] = time

    def may_be_new(self, name: str, time: float) -> bool:
        """Whether nobody may have reported on a partition that there is."""
        topic, _ = lifecycle.partition_key(name)
        since = self._seen.get(name, self._made.get(topic, time))
        return name not in self._reported and time - since <= FIRST_REPORT

    def as_early(self, recorded: Metadata | None, told: Metadata, time: float) -> Metadata:
        """What the fake has told, as it was before the first report if that was recorded."""
        if recorded is None or recorded.status != lifecycle.NEW_PARTITION:
            return told
        return as_made(told) if self.may_be_new(told.name, time) else told


def as_made(told: Metadata) -> Metadata:
    """A partition as it was before anybody reported on it."""
    return evolve(told, status=lifecycle.NEW_PARTITION)
