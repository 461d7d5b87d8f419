"""What a consumer does about messages on the cluster: no more than what they are about takes."""

from __future__ import annotations

import gc
import weakref

import txfluvio.consumer
from txfluvio.testing.sc.store import Item
from txfluvio.wire.schema import evolve

from ..costs import calls_of
from .kit import ConsumerCase

FEW, MANY = 10, 40


class Messages(ConsumerCase):
    TOPICS = {"few": FEW, "many": MANY, "other": 1}

    def change(self, partition: str) -> None:
        """Let the SC tell of a change in the state of a partition that changes no leader."""
        store = self.broker.cluster.metadata.partitions
        item = store.get(partition)
        assert item is not None
        version = self.cluster.topology.version
        store.put(Item(item.name, item.spec, evolve(item.status, size=item.status.size + 1)))
        self.turn()
        self.assertGreater(self.cluster.topology.version, version)

    def cost(self, topic: str, change: str) -> int:
        """Calls that a consumer of a topic makes for a change of a partition."""
        consumer = self.started(topic)
        self.wait(2.0)
        count = calls_of(lambda: self.change(change), txfluvio.consumer)
        self.result(consumer.close())
        return count

    def test_one_about_another_topic_takes_the_same_however_many_are_read(self) -> None:
        self.assertEqual(self.cost("many", "other-0"), self.cost("few", "other-0"))

    def test_one_about_a_partition_makes_no_other_look(self) -> None:
        self.assertEqual(self.cost("many", "many-3"), self.cost("few", "few-3"))


class WithoutLeaders(Messages):
    """So it is where all partitions that are read wait for a leader."""

    def cost(self, topic: str, change: str) -> int:
        consumer = self.started(topic)
        self.result(self.broker.spu_down(5001))
        self.wait(2.0)
        count = calls_of(lambda: self.change(change), txfluvio.consumer)
        self.result(self.broker.spu_up(5001))
        self.result(consumer.close())
        return count


class Snapshots(ConsumerCase):
    def test_one_that_is_closed_keeps_none(self) -> None:
        consumer = self.started()
        self.result(consumer.close())
        snapshot = weakref.ref(self.cluster.topology)
        self.add_partitions("orders", 1)
        gc.collect()
        self.assertIsNone(snapshot())

    def test_one_that_is_not_started_keeps_none(self) -> None:
        self.consumer()
        snapshot = weakref.ref(self.cluster.topology)
        self.add_partitions("orders", 1)
        gc.collect()
        self.assertIsNone(snapshot())
