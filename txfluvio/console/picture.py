"""What a cluster looks like: a picture that changes are painted into, and who brings them.

:class:`Picture` is pure. :class:`Painter` watches the cluster by a client, over the connections
that such watches have to themselves, and goes on when the cluster was away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..admin import Change, ChangeKind, ObjectKind, PartitionDescription, PartitionResolution
from ..admin.values import SpuDescription, TopicDescription
from ..client import FluvioClient
from ..errors import FluvioError
from .shown import Json

AGAIN = 5.0
"""Seconds until a watch is tried again that has ended for a reason that may stay."""

_NO_PARTITIONS: Mapping[int, PartitionDescription] = {}


class Picture:
    """Topics, partitions and SPUs, and the rows of a page that are made of them."""

    def __init__(self) -> None:
        self._topics: dict[str, TopicDescription] = {}
        self._partitions: dict[str, dict[int, PartitionDescription]] = {}
        self._spus: dict[str, SpuDescription] = {}
        self._topic_rows: dict[str, Json] = {}
        self._stale: set[str] = set()
        self._spu_rows: dict[str, Json] | None = None

    def paint(self, change: Change[Any]) -> None:
        """Take in what has become of a topic, a partition or an SPU."""
        gone = change.kind is ChangeKind.DELETED
        match change.object:
            case TopicDescription() as topic:
                _put(self._topics, topic.name, None if gone else topic)
                self._stale.add(topic.name)
            case PartitionDescription() as partition:
                numbers = self._partitions.setdefault(partition.topic, {})
                _put(numbers, partition.number, None if gone else partition)
                if not numbers:
                    del self._partitions[partition.topic]
                self._stale.add(partition.topic)
                self._spu_rows = None
            case SpuDescription() as spu:
                _put(self._spus, spu.name, None if gone else spu)
                self._spu_rows = None

    def end_of(self, topic: str, partition: int) -> int | None:
        """The offset behind the last record that can be read; None: not known."""
        found = self._partitions.get(topic, _NO_PARTITIONS).get(partition)
        return None if found is None else found.high_watermark

    def topic_rows(self) -> Mapping[str, Json]:
        """A row a topic, in the order of their names."""
        if self._stale:
            rows = dict(self._topic_rows)
            for name in self._stale:
                topic = self._topics.get(name)
                _put(rows, name, None if topic is None else self._topic_row(topic))
            self._stale.clear()
            self._topic_rows = dict(sorted(rows.items()))
        return self._topic_rows

    def partition_rows(self, topic: str) -> Mapping[str, Json]:
        """A row a partition of a topic, in their order."""
        numbers = self._partitions.get(topic, _NO_PARTITIONS)
        return {str(number): _partition_row(numbers[number]) for number in sorted(numbers)}

    def spu_rows(self) -> Mapping[str, Json]:
        """A row an SPU, in the order of their ids."""
        if self._spu_rows is None:
            leads: dict[int, int] = {}
            holds: dict[int, int] = {}
            for numbers in self._partitions.values():
                for partition in numbers.values():
                    leads[partition.leader] = leads.get(partition.leader, 0) + 1
                    for replica in partition.replicas:
                        holds[replica] = holds.get(replica, 0) + 1
            self._spu_rows = {
                str(spu.id): {
                    "id": spu.id,
                    "name": spu.name,
                    "address": f"{spu.host}:{spu.port}",
                    "online": spu.online,
                    "rack": spu.rack,
                    "leads": leads.get(spu.id, 0),
                    "holds": holds.get(spu.id, 0),
                }
                for spu in sorted(self._spus.values(), key=lambda spu: spu.id)
            }
        return self._spu_rows

    def _topic_row(self, topic: TopicDescription) -> Json:
        partitions = self._partitions.get(topic.name, _NO_PARTITIONS).values()
        online = [one for one in partitions if one.resolution is PartitionResolution.ONLINE]
        return {
            "name": topic.name,
            "partitions": topic.partition_count,
            "online": len(online),
            "replication": topic.replication,
            "records": sum(one.high_watermark or 0 for one in partitions),
            "size": sum(one.size or 0 for one in partitions),
            "leaders": sorted({one.leader for one in online}),
            "compression": topic.compression,
            "system": topic.system,
            "mirror": topic.mirror,
            "state": topic.resolution.name.lower(),
            "reason": topic.reason,
        }


def _put(things: dict[Any, Any], name: object, thing: object | None) -> None:
    if thing is None:
        things.pop(name, None)
    else:
        things[name] = thing


def _partition_row(partition: PartitionDescription) -> Json:
    return {
        "number": partition.number,
        "leader": partition.leader,
        "replicas": list(partition.replicas),
        "state": partition.resolution.name.lower(),
        "high_watermark": partition.high_watermark,
        "log_end": partition.log_end,
        "size": partition.size,
        "followers": [
            {"spu": one.spu, "log_end": one.log_end}
            for one in partition.followers
            if one.spu != partition.leader
        ],
    }


class Painter:
    """Keeps a picture up to date from :meth:`start` to :meth:`stop`.

    :param client: one that is running by then.
    :ivar picture: the picture.
    :ivar problems: why a kind of objects can not be watched, by its name.
    """

    _log = Logger()

    def __init__(self, client: FluvioClient, clock: IReactorTime) -> None:
        self.picture = Picture()
        self.problems: dict[str, str] = {}
        self._client = client
        self._clock = clock
        self._watching: list[Deferred[None]] = []

    def start(self) -> None:
        """Begin to watch."""
        for kind in (ObjectKind.SPU, ObjectKind.PARTITION, ObjectKind.TOPIC):
            watching = Deferred.fromCoroutine(self._keep_watching(kind))
            watching.addErrback(lambda failure: failure.trap(CancelledError))
            watching.addErrback(lambda failure: self._log.failure("watching has ended", failure))
            self._watching.append(watching)

    def stop(self) -> None:
        """Watch no more."""
        watching, self._watching = self._watching, []
        for one in watching:
            one.cancel()

    async def _keep_watching(self, kind: ObjectKind) -> None:
        while True:
            try:
                await self._watch(kind)
            except FluvioError as error:
                self.problems[kind.value] = str(error)
            await deferLater(self._clock, AGAIN)

    async def _watch(self, kind: ObjectKind) -> None:
        async with self._client.admin.watch(kind) as changes:
            async for change in changes:
                self.problems.pop(kind.value, None)
                self.picture.paint(change)
