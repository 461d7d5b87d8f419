"""What a page is told: a section at a time, and of each only what is new.

:class:`Table` is for what has rows and a present state, :class:`Sample` for what flows by. Pure: no
connection, no clock.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol

import attrs

from ..wire.records import Record
from .shown import Json, shown

MAX_ROWS = 5_000
"""Rows of a table that a page gets; it is told how many there are."""

MAX_SAMPLE = 200
"""Records of a topic that a page gets at a time; it is told how many came by."""


@attrs.frozen
class Event:
    """Something new, for a section of the page."""

    section: str
    data: Json

    def encode(self) -> bytes:
        """As a server-sent event. JSON has no line ends but in its texts, where they are marked."""
        data = json.dumps(self.data, separators=(",", ":"))
        return f"event: {self.section}\ndata: {data}\n\n".encode()


class Section(Protocol):
    """A part of what a page shows."""

    def news(self) -> Iterable[Event]:
        """What has become new since the last call; at first, all of it."""

    def close(self) -> None:
        """Nobody looks any more."""


class Fact:
    """One value, told when it is another."""

    def __init__(self, name: str, value: Callable[[], Json]) -> None:
        self._name = name
        self._value = value
        self._told: Json | None = None

    def news(self) -> Iterator[Event]:
        """The value, if it has changed."""
        value = self._value()
        if value != self._told:
            self._told = value
            yield Event(self._name, value)

    def close(self) -> None:
        """Nothing runs here."""


class Table:
    """Rows by a name each: at first all of them, then those that have changed.

    :param rows: the present rows. The same object as last time says that nothing has changed.
    """

    def __init__(self, name: str, rows: Callable[[], Mapping[str, Json]]) -> None:
        self._name = name
        self._rows = rows
        self._told: Mapping[str, Json] | None = None
        self._total = 0

    def news(self) -> Iterator[Event]:
        """All rows, or the changed ones and the names of those that are gone."""
        rows, before = self._rows(), self._told
        if rows is before:
            return
        total, self._told = len(rows), rows
        if before is None:
            kept = dict(islice(rows.items(), MAX_ROWS))
            yield Event(self._name, {"whole": True, "rows": kept, "gone": [], "total": total})
        else:
            changed = _changed(before, rows)
            gone = [name for name in before if name not in rows]
            if changed or gone:
                told = {"whole": False, "rows": changed, "gone": gone, "total": total}
                yield Event(self._name, told)

    def close(self) -> None:
        """Nothing runs here."""


def _changed(before: Mapping[str, Json], rows: Mapping[str, Json]) -> dict[str, Json]:
    shown = islice(rows.items(), MAX_ROWS)
    return {name: row for name, row in shown if before.get(name) != row}


class Sample:
    """The newest of what flows by, and how much of it there was.

    :param needle: only records whose key or value has this text are taken; without regard to the
        case of ASCII letters.
    :param most: how many records are kept until they are taken.
    """

    def __init__(self, needle: str = "", most: int = MAX_SAMPLE) -> None:
        self._needle = needle.encode("utf-8", "replace").lower()
        self._kept: deque[Json] = deque(maxlen=most)
        self._most = most
        self.seen = 0
        self.matched = 0

    def add(self, records: list[Record]) -> None:
        """Take in records that have come by."""
        found = records if not self._needle else [one for one in records if self.fits(one)]
        self.seen += len(records)
        self.matched += len(found)
        self._kept.extend(shown(record) for record in found[-self._most :])

    def take(self) -> Json:
        """What there was since the last time."""
        taken = {"records": list(self._kept), "seen": self.seen, "matched": self.matched}
        self._kept.clear()
        self.seen = self.matched = 0
        return taken

    def fits(self, record: Record) -> bool:
        """Whether it has the text."""
        needle = self._needle
        return needle in record.value.lower() or (
            record.key is not None and needle in record.key.lower()
        )
