"""Which partitions of its topics a consumer reads; pure.

All of them, those named, or a worker's :class:`Share`; of each topic the same, or each its own.
The platform has no consumer groups: nothing moves a partition from a worker that is gone to one
that is there, and nothing keeps two from reading the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

import attrs

from ..errors import InvalidConfig


@attrs.frozen
class Share:
    """The partitions of one of several workers: each partition has exactly one of them.

    Worker ``index`` reads the partitions whose number leaves ``index`` when divided by ``of``.
    Give each worker a ``consumer_id`` (they may share it: offsets are stored by partition), and
    start all of them again when ``of`` changes.

    :ivar index: which worker, counted from 0.
    :ivar of: how many workers there are.
    """

    index: int
    of: int

    def __attrs_post_init__(self) -> None:
        if type(self.of) is not int or self.of < 1:
            raise InvalidConfig("Share.of", self.of, "a number of workers, 1 or more")
        if type(self.index) is not int or not 0 <= self.index < self.of:
            raise InvalidConfig(
                "Share.index", self.index, f"a whole number from 0 to {self.of - 1}"
            )


OfTopic: TypeAlias = int | Iterable[int] | Share | None
"""Of one topic: a partition, some, a worker's share, or all (None)."""

Partitions: TypeAlias = OfTopic | Mapping[str, OfTopic]
"""Of every topic the same, or by topic; one that is not named is read whole."""


@attrs.frozen
class Selection:
    """What ``partitions=`` asks for of a topic.

    :ivar named: partitions by number; None: not by number.
    :ivar share: a worker's part; None: everything.
    """

    named: frozenset[int] | None = None
    share: Share | None = None

    @classmethod
    def of(cls, partitions: OfTopic) -> Selection:
        """Check what the user gave.

        :raises InvalidConfig: it is none of the things it can be, or names no partition.
        """
        if partitions is None:
            return cls()
        if isinstance(partitions, Share):
            return cls(share=partitions)
        numbers = [partitions] if isinstance(partitions, int) else partitions
        if isinstance(numbers, Iterable) and not isinstance(numbers, str | bytes | Mapping):
            named = list(numbers)
            if named and all(type(n) is int and 0 <= n < 2**32 for n in named):
                return cls(named=frozenset(named))
        raise InvalidConfig(
            "partitions", partitions, "a partition's number, some of them, a Share, or None for all"
        )

    @property
    def grows(self) -> bool:
        """Whether partitions that are added later may belong to it."""
        return self.named is None

    def choose(self, existing: Collection[int]) -> list[int]:
        """The partitions to read, of those that exist, in order."""
        if self.named is not None:
            return sorted(self.named.intersection(existing))
        if self.share is not None:
            share = self.share
            return sorted(n for n in existing if n % share.of == share.index)
        return sorted(existing)

    def missing(self, existing: Collection[int]) -> list[int]:
        """The partitions that were named and do not exist."""
        return sorted((self.named or frozenset()).difference(existing))


def by_topic(topics: Collection[str], partitions: Partitions) -> dict[str, Selection]:
    """What ``partitions=`` asks for of each topic.

    :raises InvalidConfig: as :meth:`Selection.of`, or a topic is named that is not read.
    """
    if not isinstance(partitions, Mapping):
        return dict.fromkeys(topics, Selection.of(partitions))
    for name in partitions:
        if name not in topics:
            raise InvalidConfig("partitions", partitions, f"topics that are read, not {name!r}")
    return {topic: Selection.of(partitions.get(topic)) for topic in topics}
