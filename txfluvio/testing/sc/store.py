"""The objects of one type, and what has become of them since somebody last looked.

This is the SC's watch engine, pure: a store counts changes in epochs, remembers what was removed,
and answers "what is new since epoch N". It does not know what its objects are, sends nothing and
has no clock; whoever watches subscribes, is told *that* something changed, and asks when it is
ready for the answer. That is why slow watchers see several changes in one answer, as they do on a
real SC (``fluvio-stream-model/src/store/dual_store.rs``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Generic, TypeVar

import attrs

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")

MAX_REMOVED = 10_000
"""How many removed objects a store remembers; past that it forgets them all by a full load."""


@attrs.frozen
class Item(Generic[SpecT, StatusT]):
    """One object: its key, what was asked for, and what has become of it."""

    name: str
    spec: SpecT
    status: StatusT


@attrs.frozen
class Diff(Generic[SpecT, StatusT]):
    """What changed since an epoch.

    :ivar epoch: the store's epoch now; ask for changes since this one next time.
    :ivar full: ``everything`` is the whole content, even when it is empty.
    :ivar everything: all objects, in no particular order.
    :ivar updates: live objects that were added or changed, in no particular order.
    :ivar deletes: the last state of each removed object, oldest first. A name may be here more
        than once, and in ``updates`` as well when it was created again.
    """

    epoch: int
    full: bool = False
    everything: tuple[Item[SpecT, StatusT], ...] = ()
    updates: tuple[Item[SpecT, StatusT], ...] = ()
    deletes: tuple[Item[SpecT, StatusT], ...] = ()


@attrs.frozen
class _Removal(Generic[SpecT, StatusT]):
    """An object that is gone: for clients, unless it was hidden; really, unless it is hidden."""

    epoch: int
    item: Item[SpecT, StatusT]
    seen: bool = True
    real: bool = True


class Store(Generic[SpecT, StatusT]):
    """All objects of one type.

    :param label: the type's label on the wire.
    :param rng: decides the arbitrary order of lists: the same until the next change.
    :ivar epoch: how many changes there were; 0 means never loaded.
    :ivar fence: the epoch of the last full load. Whoever knows less is sent everything.
    """

    def __init__(self, label: str, rng: random.Random) -> None:
        self.label = label
        self.epoch = 0
        self.fence = 0
        self._seed = rng.getrandbits(32)
        # In the order of their last change, so that a diff need not look at the unchanged.
        self._items: dict[str, Item[SpecT, StatusT]] = {}
        self._changed: dict[str, int] = {}
        self._removed: list[_Removal[SpecT, StatusT]] = []
        self._hidden: dict[str, None] = {}
        self._waiting: dict[str, Item[SpecT, StatusT]] = {}
        self._listing: tuple[Item[SpecT, StatusT], ...] | None = None
        self._listeners: dict[int, Callable[[], object]] = {}
        self._next_listener = 0

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item[SpecT, StatusT]]:
        """All objects by name, the hidden ones too; safe against changes on the way."""
        return iter([self._items[name] for name in sorted(self._items)])

    def get(self, name: str) -> Item[SpecT, StatusT] | None:
        """The object of this name, hidden or not."""
        return self._items.get(name)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The names of the hidden objects."""
        return tuple(self._hidden)

    def listing(self) -> tuple[Item[SpecT, StatusT], ...]:
        """What clients are shown, in an arbitrary order that lasts until the next change."""
        if self._listing is None:
            shown = [item for item in self._items.values() if item.name not in self._hidden]
            self._listing = self._shuffled(shown)
        return self._listing

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call ``listener`` after every change, until the function returned is called."""
        key = self._next_listener
        self._next_listener += 1
        self._listeners[key] = listener

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def load(self, items: Iterable[Item[SpecT, StatusT]]) -> None:
        """Take ``items`` as the whole truth, and none as hidden: every watcher gets everything."""
        self._hidden.clear()
        self._load(items)

    def reload(self) -> None:
        """Load what is there already, as the SC does from time to time."""
        waiting, self._waiting = self._waiting, {}
        self._load([*self._items.values(), *waiting.values()])

    def put(self, *items: Item[SpecT, StatusT]) -> None:
        """Add or replace objects in one epoch; each counts as changed even when it is equal."""
        self.epoch += 1
        for item in items:
            self._items[item.name] = item
            self._touch(item.name)
        self._tell()

    def put_at_reload(self, item: Item[SpecT, StatusT]) -> None:
        """Add or replace an object that nobody sees before the next full load."""
        self._waiting[item.name] = item

    def set_status(self, *changes: tuple[str, StatusT]) -> bool:
        """Change statuses in one epoch, unless there is nothing new in them.

        Names that are not there are passed over. Returns whether anything changed.
        """
        fresh = []
        for name, status in changes:
            item = self._items.get(name)
            if item is not None and item.status != status:
                fresh.append(attrs.evolve(item, status=status))
        if fresh:
            self.put(*fresh)
        return bool(fresh)

    def touch(self, name: str) -> None:
        """Count a change of an object that nobody can see in it."""
        if name in self._items:
            self.epoch += 1
            self._touch(name)
            self._tell()

    def delete(self, *names: str) -> None:
        """Remove objects in one epoch; names that are not there are passed over."""
        gone = [self._items.pop(name) for name in names if name in self._items]
        if not gone:
            return
        self.epoch += 1
        for item in gone:
            del self._changed[item.name]
            hidden = item.name in self._hidden
            self._hidden.pop(item.name, None)
            self._removed.append(_Removal(self.epoch, item, seen=not hidden))
        if len(self._removed) > MAX_REMOVED:
            self._mark_fence()
        self._tell()

    def hide(self, name: str) -> None:
        """Let clients see an object as removed, while it is there."""
        item = self._items.get(name)
        if item is None or name in self._hidden:
            return
        self._hidden[name] = None
        self.epoch += 1
        self._removed.append(_Removal(self.epoch, item, real=False))
        self._tell()

    def show(self, name: str) -> None:
        """Let clients see a hidden object again."""
        if name in self._hidden:
            del self._hidden[name]
            self.touch(name)

    def diff(self, last: int, *, hidden: bool = False) -> Diff[SpecT, StatusT]:
        """What a watcher that knows epoch ``last`` has to be told.

        :param hidden: tell of hidden objects as well, for the cluster's own sake.
        """
        if last < self.fence:
            everything = self._shuffled(list(self._items.values())) if hidden else self.listing()
            return Diff(self.epoch, full=True, everything=everything)
        updates = []
        for name in reversed(self._changed):
            if self._changed[name] <= last:
                break
            if hidden or name not in self._hidden:
                updates.append(self._items[name])
        deletes = []
        for removal in reversed(self._removed):
            if removal.epoch <= last:
                break
            if removal.real if hidden else removal.seen:
                deletes.append(removal.item)
        return Diff(
            self.epoch, updates=self._shuffled(updates[::-1]), deletes=tuple(reversed(deletes))
        )

    def _load(self, items: Iterable[Item[SpecT, StatusT]]) -> None:
        self.epoch += 1
        self._items = {item.name: item for item in items}
        self._changed = dict.fromkeys(self._items, self.epoch)
        self._mark_fence()
        self._tell()

    def _touch(self, name: str) -> None:
        self._changed.pop(name, None)
        self._changed[name] = self.epoch

    def _mark_fence(self) -> None:
        self.fence = self.epoch
        self._removed.clear()

    def _shuffled(self, items: list[Item[SpecT, StatusT]]) -> tuple[Item[SpecT, StatusT], ...]:
        if len(items) > 1:
            random.Random(self._seed + self.epoch).shuffle(items)
        return tuple(items)

    def _tell(self) -> None:
        """Tell everybody, also when somebody fails: then whoever made the change hears of that."""
        self._listing = None
        with ExitStack() as telling:
            for listener in reversed(self._listeners.values()):
                telling.callback(listener)
