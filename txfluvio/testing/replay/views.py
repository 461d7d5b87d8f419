"""What a watch has told, object by object: the recorded one, and each state that the fake told of.

The real SC merges pushes at will, so a state that was recorded has to be among those that the fake
told of, at or behind the last one that was found; the fake may have told of others in between.
"""

from __future__ import annotations

from collections.abc import Callable

from ...wire.sc import PARTITION, Change, Kind, Metadata, WatchResponse
from .comparison import alike
from .conversation import Event
from .lives import as_made


class View:
    """One watch.

    :param may_be_new: of a watch of partitions, whether nobody may have reported on one of a name.
    :ivar recorded: the objects as the recorded watch has left them.
    :ivar changed: the objects that it told of since they were last compared, and by what.
    """

    def __init__(self, kind: Kind, may_be_new: Callable[[str], bool]) -> None:
        self.kind = kind
        self._may_be_new = may_be_new
        self.recorded: dict[str, Metadata] = {}
        self._courses: dict[str, list[Metadata | None]] = {}
        self._positions: dict[str, int] = {}
        self._current: dict[str, Metadata] = {}
        self.changed: dict[str, Event] = {}

    def record(self, message: WatchResponse, event: Event) -> list[tuple[str, Metadata | None]]:
        """Fold what was recorded; the objects that changed, with what was known before."""
        before = dict(self.recorded)
        names = _fold(self.recorded, message)
        changes = []
        for name in names:
            if name not in self.recorded and name not in before:
                continue
            changes.append((name, before.get(name)))
            self.changed[name] = event
        return changes

    def tell(self, message: WatchResponse) -> None:
        """Note what the fake has told."""
        for name in _fold(self._current, message):
            course = self._courses.setdefault(name, [None])
            now = self._current.get(name)
            if now is not None and self._begins_late(course, message, name):
                course.append(as_made(now))
            course.append(now)

    def _begins_late(
        self, course: list[Metadata | None], message: WatchResponse, name: str
    ) -> bool:
        """Whether the watch begins with a partition that may have been new until now."""
        first = not message.changes and course == [None]
        return first and self.kind is PARTITION and self._may_be_new(name)

    def reached(self, name: str) -> bool:
        """Whether the fake has told of the recorded state, at or behind the last such state."""
        found = self._find(name)
        if found is not None:
            self._positions[name] = found
        return found is not None

    @property
    def names(self) -> list[str]:
        """The objects that either side has told of last."""
        return sorted({*self.recorded, *self._current})

    def told(self, name: str) -> Metadata | None:
        """What the fake told last of an object."""
        return self._current.get(name)

    def _find(self, name: str) -> int | None:
        course = self._courses.get(name, [None])
        wanted = self.recorded.get(name)
        for position in range(self._positions.get(name, 0), len(course)):
            if alike(wanted, course[position]):
                return position
        return None


def _fold(objects: dict[str, Metadata], message: WatchResponse) -> list[str]:
    """Apply a push; the names it concerns."""
    if not message.changes:
        names = {*objects, *[one.name for one in message.all]}
        if message.all or not objects:
            objects.clear()
            objects.update({one.name: one for one in message.all})
            return sorted(names)
        return []
    names = set()
    for wanted in (Change.DELETE, Change.UPDATE):
        for change in message.changes:
            if change.header is wanted:
                names.add(change.content.name)
                if wanted is Change.DELETE:
                    objects.pop(change.content.name, None)
                else:
                    objects[change.content.name] = change.content
    return sorted(names)
