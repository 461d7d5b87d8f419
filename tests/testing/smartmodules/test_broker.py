"""A whole fake broker with SmartModules: registered with it, created by clients, and gone again."""

from __future__ import annotations

import gzip
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.smartmodules.fixtures import filter_on_a, upper
from tests.testing.smartmodules.kit import values
from tests.testing.smartmodules.wat import named
from tests.testing.test_broker import Wire, connect
from txfluvio.errors import DeduplicationSmartModuleNotLoaded, UsageError
from txfluvio.testing import FakeBroker
from txfluvio.testing.smartmodules import Limits, Registrable, deduplicate
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.codes import Code
from txfluvio.wire.sc import (
    SMART_MODULE,
    Computed,
    CreateRequest,
    Deduplication,
    DeleteRequest,
    ListRequest,
    SmartModuleSpec,
    TopicSpec,
    Wasm,
    WatchRequest,
)
from txfluvio.wire.schema import Request
from txfluvio.wire.spu import PartitionResponse, StreamFetchRequest

WASM = b"\0asm that nobody can run"
UPPER = {"upper": upper}
ONCE = TopicSpec(
    replicas=Computed(partitions=1, replication_factor=1),
    deduplication=Deduplication(count=10, uses="fluvio/once@0.1.0"),
)


class BrokerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.network = MemoryNetwork(self.clock)
        self.brokers: list[FakeBroker] = []

    def tearDown(self) -> None:
        for broker in self.brokers:
            self.done(broker.stop())

    def done(self, waiting: Deferred[Any]) -> Any:
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def start(self, broker: FakeBroker) -> FakeBroker:
        self.brokers.append(broker)
        self.done(broker.start())
        return broker

    def broker(self, modules: dict[str, Registrable] | None = None, **settings: Any) -> FakeBroker:
        """A broker with a topic of one record."""
        made = FakeBroker(
            self.clock,
            network=self.network,
            smartmodules=modules,
            **{"topics": {"orders": 1}, **settings},
        )
        self.start(made)
        made.append("orders", [b"apple", b"berry"])
        return made

    def dial(self, where: str) -> Wire:
        host, _, port = where.partition(":")
        wire: Wire = self.done(connect(self.network.endpoint(host, int(port))))
        return wire

    def ask(self, broker: FakeBroker, request: Request[Any]) -> Any:
        """What the SC answers."""
        return self.done(self.dial(broker.sc_endpoint).send(request, 19)[1])

    def push(self, broker: FakeBroker, name: str) -> PartitionResponse:
        """The first push of a stream through a module."""
        request = StreamFetchRequest(
            topic="orders",
            partition=0,
            fetch_offset=0,
            max_bytes=1_000_000,
            smartmodules=(named(name),),
        )
        wire = self.dial(broker.spu_endpoints[5001])
        push: PartitionResponse = self.done(wire.send(request, 25)[1]).partition
        return push

    def create(self, broker: FakeBroker, name: str, wasm: bytes = WASM) -> None:
        spec = SmartModuleSpec(wasm=Wasm(payload=gzip.compress(wasm)))
        request = CreateRequest(kind=SMART_MODULE, name=name, spec=spec)
        self.assertEqual(self.ask(broker, request).error_code.code, Code.NONE)

    def listed(self, broker: FakeBroker) -> list[str]:
        return sorted(one.name for one in self.ask(broker, ListRequest(kind=SMART_MODULE)).objects)

    def test_a_module_registered_by_name_is_one_that_the_sc_has(self) -> None:
        broker = self.broker({**UPPER, "group/mine@1.2.3": filter_on_a})
        self.assertEqual(self.listed(broker), ["mine-group-1.2.3", "upper"])
        self.assertEqual(values(self.push(broker, "upper")), [b"APPLE", b"BERRY"])
        self.assertEqual(values(self.push(broker, "group/mine")), [b"apple"])

    def test_a_module_may_be_registered_while_clients_watch(self) -> None:
        broker = self.broker()
        pushes, first = self.dial(broker.sc_endpoint).send(WatchRequest(kind=SMART_MODULE), 19)
        self.done(first)
        broker.register_smartmodule("upper", upper)
        self.clock.advance(0)
        (change,) = pushes[-1].changes
        self.assertEqual(change.content.name, "upper")
        self.assertEqual(values(self.push(broker, "upper")), [b"APPLE", b"BERRY"])

    def test_no_name_is_registered_while_the_sc_is_down(self) -> None:
        broker = self.broker({**UPPER})
        self.done(broker.sc_down())
        with self.assertRaisesRegex(UsageError, "the SC is down"):
            broker.register_smartmodule("mine", filter_on_a)
        broker.register_smartmodule("upper", filter_on_a)
        broker.register_smartmodule(sha256(WASM).hexdigest(), filter_on_a)
        self.done(broker.sc_up())
        self.assertEqual(self.listed(broker), ["upper"])

    def test_a_name_that_was_refused_stands_for_nothing(self) -> None:
        broker = self.broker()
        self.done(broker.sc_down())
        with self.assertRaises(UsageError):
            broker.register_smartmodule("upper", filter_on_a)
        self.done(broker.sc_up())
        self.create(broker, "upper", b"no WASM")
        self.assertNotEqual(self.push(broker, "upper").error_code.code, Code.NONE)

    def test_what_a_client_creates_is_run_by_what_stands_for_it(self) -> None:
        broker = self.broker({sha256(WASM).hexdigest(): filter_on_a})
        self.assertEqual(self.listed(broker), [])
        self.create(broker, "theirs")
        self.assertEqual(values(self.push(broker, "theirs")), [b"apple"])

    def test_a_client_may_create_what_is_registered_already(self) -> None:
        broker = self.broker({**UPPER})
        self.create(broker, "upper")
        self.assertEqual(values(self.push(broker, "upper")), [b"APPLE", b"BERRY"])

    def test_what_a_client_deletes_is_gone_until_the_reset(self) -> None:
        broker = self.broker({**UPPER})
        self.ask(broker, DeleteRequest(kind=SMART_MODULE, key="upper"))
        self.assertEqual(self.listed(broker), [])
        code = self.push(broker, "upper").error_code.code
        self.assertEqual(code, Code.SMART_MODULE_NOT_FOUND)
        self.done(broker.reset())
        broker.append("orders", [b"again"])
        self.assertEqual(values(self.push(broker, "upper")), [b"AGAIN"])

    def test_spus_know_the_modules_while_the_sc_is_down(self) -> None:
        broker = self.broker({**UPPER})
        self.done(broker.sc_down())
        self.assertEqual(values(self.push(broker, "upper")), [b"APPLE", b"BERRY"])

    def test_the_limits_of_wasm_are_the_brokers(self) -> None:
        broker = self.broker(smartmodule_limits=Limits(module_size=10))
        self.create(broker, "long")
        self.assertEqual(self.push(broker, "long").error_code.code, Code.SMART_MODULE_INVALID)

    def test_what_is_registered_has_to_be_decorated(self) -> None:
        with self.assertRaises(UsageError):
            FakeBroker(self.clock, smartmodules={"no": object})

    def test_a_topic_may_ask_for_deduplication_by_a_registered_module(self) -> None:
        broker = self.broker({"fluvio/once@0.1.0": deduplicate})
        self.done(broker.cluster.create_topic("once", spec=ONCE))
        broker.append("once", [b"1", b"2", b"1"])
        broker.append("once", [b"2", b"3"])
        self.assertEqual([one.value for one in broker.records("once")], [b"1", b"2", b"3"])

    def test_without_the_module_there_is_no_such_topic(self) -> None:
        creating = self.broker().cluster.create_topic("once", spec=ONCE)
        self.clock.advance(0)
        self.failureResultOf(creating, DeduplicationSmartModuleNotLoaded)

    def test_deduplication_looks_back_when_an_spu_comes_again(self) -> None:
        broker = self.broker({"fluvio/once@0.1.0": deduplicate}, topics={"once": ONCE, "orders": 1})
        broker.append("once", [b"1"])
        self.done(broker.spu_down(5001))
        self.done(broker.spu_up(5001))
        self.done(broker.online("once"))
        broker.append("once", [b"1", b"2"])
        self.assertEqual([one.value for one in broker.records("once")], [b"1", b"2"])

    def test_deduplication_looks_back_in_the_directory_of_the_last_broker(self) -> None:
        with TemporaryDirectory() as directory:
            for values_sent in ([b"1"], [b"1", b"2"]):
                broker = self.broker(
                    {"fluvio/once@0.1.0": deduplicate},
                    topics={"once": ONCE, "orders": 1},
                    directory=Path(directory),
                )
                broker.append("once", values_sent)
                found = [one.value for one in broker.records("once")]
                self.done(broker.stop())
                self.brokers.remove(broker)
        self.assertEqual(found, [b"1", b"2"])
