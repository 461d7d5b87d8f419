"""What happened in a conversation that none of its requests caused.

Others produced, servers died and came back, topics came and went: a recording shows what came of
it, and here it is done to the fake. Each event is explained in the smallest way there is, and only
if no request of the conversation can have caused it: a fake that does not do what it was asked for
is not helped.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from ...errors import FluvioError, UsageError
from ...wire.records import Batch
from ...wire.sc import (
    CUSTOM_SPU,
    PARTITION,
    SPU,
    TOPIC,
    CreateRequest,
    DeleteRequest,
    Kind,
    ListRequest,
    ListResponse,
    Metadata,
    PartitionStatus,
    SpuResolution,
    UpdateRequest,
)
from ...wire.schema import Message
from ...wire.spu import ProduceRequest
from ..sc import lifecycle
from ..sc.policies import Action
from ..sc.store import Item
from ..spu.replica import AppendError, Key
from .beginning import Beginning
from .conversation import ServerId
from .objects import selects, whole
from .served import Served, codec_of
from .stage import Stage


class Outside:
    """Does to the fake what others did to the real one.

    :ivar done: what it did, in words.
    :ivar unsized: the partitions whose logs hold batches that are made up, of any size.
    """

    def __init__(self, stage: Stage, beginning: Beginning) -> None:
        self.done: list[str] = []
        self.unsized = set(beginning.unsized)
        self._policy = beginning.policy
        self._stage = stage
        self._known = beginning.known
        self._asked: set[tuple[str, str]] = set()
        self._down: set[ServerId] = set()

    def asked(self, message: Message | None) -> None:
        """A request of the conversation: what comes of it is nobody else's work."""
        if isinstance(message, ProduceRequest) and message.smartmodules:
            self.unsized |= {
                (topic.name, one.partition_index)
                for topic in message.topics
                for one in topic.partitions
            }
        if isinstance(message, CreateRequest):
            self._asked.add((message.kind.label, message.name))
        elif isinstance(message, (DeleteRequest, UpdateRequest)):
            self._asked.add((message.kind.label, str(message.key)))

    # Servers

    def server_ended(self, server: ServerId) -> None:
        """A server died."""
        if server in self._down:
            return
        self._down.add(server)
        broker = self._stage.broker
        self._do(f"{server} goes down")
        if server == "SC":
            broker.sc_down()
        else:
            broker.spu_down(int(server))
        self._stage.settle()

    def server_there(self, server: ServerId) -> None:
        """A server answers."""
        broker = self._stage.broker
        if server == "SC":
            if server in self._down:
                self._down.discard(server)
                self._do("SC comes up")
                broker.sc_up()
        elif int(server) in broker.spu_endpoints:
            self._down.discard(server)
            broker.spu_up(int(server))
        self._stage.settle()

    # Logs

    def supply(self, key: Key, end: int) -> None:
        """Others have produced, until the log ends at ``end``."""
        replica = self._stage.replica(key)
        if replica is None or replica.log.leo >= end:
            return
        known = self._known.get(key, Served())
        codec = codec_of(replica.spec.compression_type)
        stored = list(known.between(replica.log.leo, end, codec))
        if not all(one.base in known.batches for one in stored):
            self.unsized.add(key)
        self._do(f"others produce to {key[0]}/{key[1]} up to {end}")
        try:
            replica.append([Batch(one.data, 0) for one in stored], self._stage.broker.now())
        except AppendError as error:
            self._do(f"but could not: {error}")
        self._stage.settle()

    def reported(self, name: str, status: PartitionStatus) -> None:
        """A watch has told how far a leader had said that its log goes."""
        key = lifecycle.partition_key(name)
        spu = self._stage.broker.cluster.leader(key)
        if spu is None or spu.id != status.leader.spu:
            return
        self.supply(key, status.leader.leo)
        if key not in self.unsized:
            self._shrink(key, status.leader.leo, status.size)

    def _shrink(self, key: Key, end: int, size: int) -> None:
        """Retention has removed the beginning of a log that is smaller than it should be."""
        replica = self._stage.replica(key)
        if replica is None:
            return
        then = replica.log.copy()
        then.truncate(end)
        bases = [one.base for one in then]
        for segment in list(then.dump())[1:]:
            if then.size <= size:
                break
            then.evict(segment.base)
            if then.size == size:
                self.evict(key, segment.base)
                return
        known = self._known.get(key, Served())
        if then.size != size and not all(map(known.tells_of, bases)):
            self.unsized.add(key)

    def evict(self, key: Key, start: int) -> None:
        """Retention has removed what came before ``start``."""
        replica = self._stage.replica(key)
        if replica is not None and replica.log.log_start < start <= replica.log.leo:
            self._do(f"retention removes what is before {start} in {key[0]}/{key[1]}")
            replica.log.evict(start)

    # Objects

    def listed(self, asked: ListRequest, answer: ListResponse) -> None:
        """A list was answered so; nobody watches what it shows."""
        if (asked.kind.label, Action.READ) in self._policy.refused:
            return
        kind = SPU if asked.kind is CUSTOM_SPU else asked.kind
        if kind is SPU or kind is PARTITION:
            return
        for one in answer.objects:
            self._appear(kind, one)
        names = {one.name for one in answer.objects}
        for item in self._stage.broker.cluster.metadata.of(kind).listing():
            there = Metadata(name=item.name, spec=item.spec, status=item.status)
            if item.name not in names and selects(asked, there):
                self._disappear(kind, there)
        self._stage.settle()

    def explain(self, kind: Kind, before: Metadata | None, after: Metadata | None) -> None:
        """A watch has told of a change; do it if nobody in the conversation did."""
        if kind is SPU:
            self._explain_spu(before, after)
        elif kind is PARTITION:
            self._explain_partition(before, after)
        elif before is None and after is not None:
            self._appear(kind, after)
        elif before is not None and after is None:
            self._disappear(kind, before)
        elif before is not None and after is not None and before.spec != after.spec:
            self._respecify(kind, after)
        self._stage.settle()

    def _explain_spu(self, before: Metadata | None, after: Metadata | None) -> None:
        stage = self._stage
        if after is not None and after.spec.id in stage.broker.spu_endpoints:
            if after.status.resolution is SpuResolution.ONLINE:
                self.server_there(after.spec.id)
            elif after.status.resolution is SpuResolution.OFFLINE:
                self.server_ended(after.spec.id)
            return
        told = after if after is not None else before
        if told is None or (CUSTOM_SPU.label, told.name) in self._asked:
            return
        if (CUSTOM_SPU.label, str(told.spec.id)) in self._asked:
            return
        if after is None:
            stage.broker.cluster.metadata.spus.delete(told.name)
        elif before is None or before.status == after.status:
            stage.broker.cluster.metadata.spus.put(Item(after.name, after.spec, after.status))

    def _explain_partition(self, before: Metadata | None, after: Metadata | None) -> None:
        if after is None:
            return
        key = lifecycle.partition_key(after.name)
        if before is not None and before.spec.leader != after.spec.leader:
            self._move_leader(key, after.spec.leader)
        if before is not None and _is_first_report(before, after):
            self._do(f"SPU {after.spec.leader} reports on {after.name} for the first time")
            self._stage.broker.cluster.report(after.spec.leader)

    def _move_leader(self, key: Key, to: int) -> None:
        item = self._stage.broker.cluster.metadata.partitions.get(lifecycle.partition_name(*key))
        if item is not None and to != item.spec.leader and to in item.spec.replicas:
            self._do(f"the leadership of {key[0]}/{key[1]} moves to {to}")
            try:
                self._stage.broker.move_leader(*key, to)
            except UsageError as error:
                self._do(f"but could not: {error}")

    def _appear(self, kind: Kind, told: Metadata) -> None:
        store = self._stage.broker.cluster.metadata.of(kind)
        if told.name in store or (kind.label, told.name) in self._asked:
            return
        self._do(f"others create {kind.label} {told.name!r}")
        if kind is TOPIC:
            creating = self._stage.broker.cluster.create_topic(told.name, spec=told.spec)
            creating.addErrback(self._refused)
        else:
            told = whole(told)
            store.put(Item(told.name, told.spec, told.status))

    def _disappear(self, kind: Kind, told: Metadata) -> None:
        store = self._stage.broker.cluster.metadata.of(kind)
        if told.name not in store or (kind.label, told.name) in self._asked:
            return
        self._do(f"others delete {kind.label} {told.name!r}")
        if kind is TOPIC:
            self._stage.broker.cluster.delete_topic(told.name).addErrback(self._refused)
        else:
            store.delete(told.name)

    def _respecify(self, kind: Kind, told: Metadata) -> None:
        store = self._stage.broker.cluster.metadata.of(kind)
        item = store.get(told.name)
        if item is None or (kind.label, told.name) in self._asked or item.spec == told.spec:
            return
        self._do(f"others change {kind.label} {told.name!r}")
        store.put(Item(told.name, told.spec, item.status))

    def _refused(self, failure: Failure) -> None:
        failure.trap(FluvioError, CancelledError)
        self._do(f"but could not: {failure.value}")

    def _do(self, what: str) -> None:
        self.done.append(f"{self._stage.now:.3f} s: {what}")


def _is_first_report(before: Metadata, after: Metadata) -> bool:
    """Whether a leader has told of a partition for the first time since it leads it."""
    was, now = before.status.leader, after.status.leader
    return bool(was.leo == -1 or (was.spu != now.spu and now.spu == after.spec.leader))
