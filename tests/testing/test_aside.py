"""The way aside into a fake: who takes it sees all of it, and is not seen."""

from __future__ import annotations

from typing import Any

from txfluvio.client import FluvioClient
from txfluvio.offset import Offset
from txfluvio.testing.faults import Close, Fault, Match
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork

from ..client_kit import ClientCase


class AsideCase(ClientCase):
    TOPICS = {"orders": 1}

    def start_broker(self, **settings: Any) -> None:
        self.aside = MemoryNetwork(self.clock)
        super().start_broker(aside=self.aside, **settings)

    def setUp(self) -> None:
        super().setUp()
        config = self.broker.client_config(idle_probe=1e6)
        dialer = MemoryDialer(self.aside, config, self.clock)
        self.watcher = FluvioClient(self.clock, config, dialer=dialer)
        self.result(self.watcher.start())

    def tearDown(self) -> None:
        self.result(self.watcher.close())
        super().tearDown()
        self.assertEqual(self.aside.links, [])

    async def read(self) -> bytes:
        start = Offset.beginning()
        async with self.watcher.consumer("orders", start=start) as records:
            return (await records.next()).value


class Aside(AsideCase):
    def test_all_is_there(self) -> None:
        self.broker.append("orders", [b"a"])
        self.assertEqual(self.do(self.read()), b"a")

    def test_nothing_is_noted(self) -> None:
        self.assertEqual((len(self.broker.journal), self.broker.journal.total), (0, 0))
        self.assertEqual(list(self.broker.connections.values()), [(), ()])

    def test_others_are_numbered_as_if_nobody_looked(self) -> None:
        self.result(self.client.start())
        (connection,) = self.broker.connections["SC"]
        self.assertEqual(connection.number, 1)

    def test_no_fault_acts(self) -> None:
        planted = self.broker.plant(Fault(Match(), Close(), times=None), optional=True)
        self.broker.append("orders", [b"a"])
        self.assertEqual(self.do(self.read()), b"a")
        self.assertEqual(planted.hits, 0)

    def test_servers_that_are_down_are_down_there_too(self) -> None:
        self.result(self.broker.sc_down())
        self.assertFalse(self.broker.sc_runs)
        self.assertEqual(self.watcher.state.value, "connecting again")
        self.result(self.broker.sc_up())
        self.wait(10)
        self.assertEqual(self.watcher.state.value, "connected")

    def test_an_spu_that_is_added_is_there_too(self) -> None:
        self.assertEqual(self.result(self.broker.add_spu()), 5002)
        self.result(self.broker.cluster.create_topic("more", partitions=2))
        self.wait(1)
        self.assertEqual(len(self.result(self.watcher.admin.list_spus())), 2)
        self.broker.append("more", [b"b"], 1)

        async def read() -> bytes:
            start = Offset.beginning()
            async with self.watcher.consumer("more", start=start, partitions=1) as records:
                return (await records.next()).value

        self.assertEqual(self.do(read()), b"b")


class AsideOfAPublicHost(AsideCase):
    def start_broker(self, **settings: Any) -> None:
        super().start_broker(public_host="broker", **settings)

    def test_it_is_where_clients_are_told_that_the_cluster_is(self) -> None:
        self.broker.append("orders", [b"a"])
        self.assertEqual(self.do(self.read()), b"a")
