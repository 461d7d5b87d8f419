"""Which high watermarks a real SPU may have told at some moment of a recording.

The fake's followers take no time, and nobody produces while it looks. So a recorded high watermark
may be lower than the fake's is: that of a moment before.
"""

from __future__ import annotations

from collections.abc import Callable

from ..spu.replica import Key, Replica


class Heights:
    """What a recording has shown of high watermarks so far.

    :param replica: the fake's leading replica of a partition.
    """

    def __init__(self, replica: Callable[[Key], Replica | None]) -> None:
        self._replica = replica
        self._seen: dict[Key, int] = {}
        self._told: dict[tuple[int, Key], int] = {}

    def of(self, key: Key) -> int:
        """How high a partition without followers was seen to be at the least."""
        return self._seen.get(key, 0)

    def see(self, key: Key, height: int) -> None:
        """A partition is so high, unless it has followers, which may not be there yet."""
        if not self._followed(key):
            self._seen[key] = max(height, self.of(key))

    def forget(self, topic: str) -> None:
        """A topic is gone: what has its name from now on begins anew."""
        for key in [key for key in self._seen if key[0] == topic]:
            del self._seen[key]

    def as_high(
        self, connection: int, key: Key, recorded: int, replayed: int, lowest: int | None = None
    ) -> int:
        """The fake's high watermark, or the recorded one where that may have been true before.

        Followers of a real leader need time, those of a new partition 10 s at times. But on no
        connection does it fall.

        :param lowest: without followers, what it has to be at the least to be one of before; None:
            that is none.
        """
        if self._followed(key):
            lowest = 0
        elif lowest is None:
            lowest = replayed
        self.see(key, recorded)
        lowest = max(lowest, self._told.get((connection, key), 0))
        self._told[connection, key] = recorded
        return recorded if lowest <= recorded < replayed else replayed

    def _followed(self, key: Key) -> bool:
        replica = self._replica(key)
        return replica is not None and bool(replica.followers)
