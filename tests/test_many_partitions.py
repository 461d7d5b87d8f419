"""A cluster with many partitions is met at once, and costs nothing while nobody uses them."""

from __future__ import annotations

from tests.client_kit import ClientCase

COUNT = 10_000
A_FEW = 5


class ManyPartitions(ClientCase):
    TOPICS = {"orders": 1}

    def setUp(self) -> None:
        super().setUp()
        self.result(self.client.start())
        self.result(self.client.producer("orders").start())
        self.turn()

    def make(self, topic: str, partitions: int) -> None:
        self.result(self.client.admin.create_topic(topic, partitions=partitions))
        self.wait(2.0)

    def calls(self) -> int:
        return len(self.clock.getDelayedCalls())

    def test_there_is_no_timer_and_no_connection_for_each(self) -> None:
        calls, links = self.calls(), len(self.network.links)
        self.make("wide", COUNT)
        assert self.calls() < calls + A_FEW
        assert len(self.network.links) < links + A_FEW
        producer = self.client.producer("wide")
        self.result(producer.start())
        assert self.result(producer.send(b"a", partition=COUNT - 1)).partition == COUNT - 1

    def test_a_producer_has_a_timer_for_all_its_partitions(self) -> None:
        self.make("wide", 100)
        producer = self.client.producer("wide")
        self.result(producer.start())
        self.result(producer.send(b"a", partition=0))
        calls = self.calls()
        for partition in range(100):
            self.result(producer.send(b"a", partition=partition))
        assert self.calls() < calls + A_FEW
