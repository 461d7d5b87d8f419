"""Watching the objects of one kind: an async iterator of what changes.

A :class:`Watch` has a connection of its own, since a watch can not be ended otherwise. It survives
the loss of that connection: whatever the new one tells is compared with what was known. So every
change comes, however it was learnt, and one that made no difference does not.

What is not asked for yet is kept as one entry an object, whatever happens to it meanwhile, so the
memory it takes is bounded by the number of objects.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..cluster import Attempts, Cluster, Told, told_by
from ..errors import AlreadyRunning, FluvioError, ProtocolError
from ..wire import sc
from . import values

T = TypeVar("T")


class ObjectKind(enum.Enum):
    """What can be watched. An SC lets nobody watch mirrors:
    :meth:`~txfluvio.admin.Admin.list_mirrors` has them."""

    TOPIC = "topic"
    PARTITION = "partition"
    SPU = "SPU"
    SPU_GROUP = "SPU group"
    SMARTMODULE = "SmartModule"
    TABLE_FORMAT = "table format"


class ChangeKind(enum.Enum):
    """What has become of an object."""

    ADDED = "added"
    """It is there; at first, every object comes so."""
    CHANGED = "changed"
    """It is different from before."""
    DELETED = "deleted"
    """It is gone."""


@attrs.frozen
class Change(Generic[T]):
    """A change of one object.

    :ivar name: its name; that of a partition is ``<topic>-<number>``.
    :ivar object: as it is now, or as it was before it was deleted.
    """

    kind: ChangeKind
    name: str
    object: T


_KINDS: Final[dict[ObjectKind, tuple[sc.Kind, Callable[[sc.Metadata], Any]]]] = {
    ObjectKind.TOPIC: (sc.TOPIC, values.topic_description),
    ObjectKind.PARTITION: (sc.PARTITION, values.partition_description),
    ObjectKind.SPU: (sc.SPU, values.spu_description),
    ObjectKind.SPU_GROUP: (sc.SPU_GROUP, values.spu_group_description),
    ObjectKind.SMARTMODULE: (sc.SMART_MODULE, values.smartmodule_description),
    ObjectKind.TABLE_FORMAT: (sc.TABLE_FORMAT, values.table_format_description),
}


class Watch(Generic[T]):
    """The objects of one kind, and what becomes of them.

    Iterate over it, best within ``async with``, so that its connection is closed::

        async with client.admin.watch(ObjectKind.TOPIC) as changes:
            async for change in changes:
                print(change.kind, change.name)

    Every object that is there comes first, as ADDED. An object that changes again before its
    change was asked for comes once, as it is by then. Cancelling a step, or its timing out, loses
    no change. An error that will not go away by itself ends the iteration; others do not, and the
    watch goes on when the SC is back.

    :ivar kind: what is watched.
    """

    _log = Logger()

    def __init__(self, cluster: Cluster, kind: ObjectKind) -> None:
        self.kind = kind
        self._cluster = cluster
        self._wire_kind, self._describe = _KINDS[kind]
        self._told: dict[str, T] = {}
        self._given: dict[str, T] = {}
        self._open: OrderedDict[str, bool] = OrderedDict()
        self._running: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._waiting: Deferred[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[T]:
        if self._waiting is not None:
            raise AlreadyRunning("wait for the next change")
        if self._running is None and not self._closed:
            self._run()
        while True:
            if self._closed:
                raise StopAsyncIteration
            change = self._next()
            if change is not None:
                return change
            if self._failure is not None:
                self._failure.raiseException()
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None

    async def aclose(self) -> None:
        """End it, and close its connection. A step that waits ends with StopAsyncIteration."""
        self._closed = True
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        self._wake()

    # What to give next

    def _next(self) -> Change[T] | None:
        while self._open:
            name, deleted = self._open.popitem(last=False)
            before, now = self._given.get(name), self._told.get(name)
            if before is not None and (deleted or now is None):
                del self._given[name]
                if now is not None:
                    # It was deleted and made again: the deletion comes first.
                    self._open[name] = False
                    self._open.move_to_end(name, last=False)
                return Change(ChangeKind.DELETED, name, before)
            if now is not None and now != before:
                self._given[name] = now
                kind = ChangeKind.ADDED if before is None else ChangeKind.CHANGED
                return Change(kind, name, now)
        return None

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    # Being told

    def _run(self) -> None:
        running = self._running = self._cluster.run(self._keep_watching())
        running.addErrback(self._ended)

    def _ended(self, failure: Failure) -> None:
        if not self._closed or failure.check(CancelledError) is None:
            self._failure = failure
        self._wake()

    async def _keep_watching(self) -> None:
        attempts = Attempts(self._cluster.retrying)
        while True:
            course = _Course(self)
            attempts.begin()
            try:
                await course.follow(self._cluster, self._wire_kind)
            except FluvioError as error:
                if not error.retriable:
                    raise
                self._log.info(
                    "watching {kind} again soon: {error}", kind=self.kind.value, error=error
                )
            await deferLater(self._cluster.clock, attempts.fail(worked=course.loaded))

    def take_in(self, told: Told) -> None:
        """Take in what the SC says; for the course of a connection."""
        objects = {
            name: None if object_ is None else self._describe(object_)
            for name, object_ in told.objects.items()
        }
        if told.whole:
            objects = {**dict.fromkeys(self._told), **objects}
        for name, described in objects.items():
            self._open[name] = self._open.get(name, False) or name in told.deleted
            if described is None:
                self._told.pop(name, None)
                if name not in self._given:
                    # It came and went unasked, and many may do so.
                    del self._open[name]
            else:
                self._told[name] = described
        self._wake()


class _Course:
    """One connection of a watch, from its first message to its end.

    :ivar loaded: whether the SC has told the objects.
    """

    def __init__(self, watch: Watch[Any]) -> None:
        self._watch = watch
        self._end: Deferred[None] = Deferred()
        self.loaded = False

    async def follow(self, cluster: Cluster, kind: sc.Kind) -> None:
        """Watch until the connection ends, which raises why."""

        def take_in(message: sc.WatchResponse) -> None:
            try:
                told = told_by(message.of(kind), first=not self.loaded)
                if told is not None:
                    self.loaded = True
                    self._watch.take_in(told)
            except ProtocolError as error:
                self._ended(error)

        handle = await cluster.open_watch(
            kind, on_reply=take_in, on_closed=self._ended, summary=True
        )
        try:
            await self._end
        finally:
            handle.close()

    def _ended(self, error: FluvioError) -> None:
        if not self._end.called:
            self._end.errback(error)
