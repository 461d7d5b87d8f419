"""SPUs, SmartModules, table formats, mirrors and stored offsets, on a fake cluster."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from txfluvio.admin import (
    ChangeKind,
    HomeTls,
    ObjectKind,
    SmartModulePackage,
    SmartModuleParam,
    SpuResolution,
    TableColumn,
)
from txfluvio.config import OffsetStrategy
from txfluvio.errors import (
    ClientClosed,
    Effect,
    InvalidConfig,
    MirrorAlreadyExists,
    MirrorNotFound,
    SmartModuleNotFound,
    SpuAlreadyExists,
    SpuNotFound,
    TableFormatAlreadyExists,
    TableFormatNotFound,
)
from txfluvio.offset import Offset
from txfluvio.smartmodule import gzipped
from txfluvio.testing import Fault
from txfluvio.testing.faults import LoseReply, Match

from .kit import AdminCase

WASM = b"\0asm\1\0\0\0"


class Spus(AdminCase):
    def test_they_are_listed_with_their_addresses_and_states(self) -> None:
        self.result(self.broker.spu_down(5002))
        listed = self.result(self.admin.list_spus())
        self.assertEqual([(s.id, s.online) for s in listed], [(5001, True), (5002, False)])
        self.assertEqual(f"{listed[0].host}:{listed[0].port}", self.broker.spu_endpoints[5001])

    def test_filters_are_parts_of_names(self) -> None:
        listed = self.result(self.admin.list_spus("5002"))
        self.assertEqual([found.id for found in listed], [5002])

    def test_one_can_be_registered_and_unregistered(self) -> None:
        registering = self.admin.register_spu(
            5100,
            "spu.test",
            9010,
            private_host="private.test",
            private_port=9011,
            local_host="local.test",
            local_port=9012,
            rack="r1",
        )
        self.result(registering)
        (found,) = self.result(self.admin.list_custom_spus("5100"))
        self.assertEqual(
            attrs.astuple(found),
            (
                5100,
                "custom-spu-5100",
                "spu.test",
                9010,
                "private.test",
                9011,
                "local.test",
                9012,
                "r1",
                True,
                SpuResolution.INIT,
            ),
        )
        self.result(self.admin.unregister_spu(5100))
        self.assertEqual(self.result(self.admin.list_custom_spus("5100")), [])

    def test_one_is_unregistered_by_its_name_as_well(self) -> None:
        self.result(self.admin.register_spu(5100, "spu.test", 9010, private_port=9011, name="mine"))
        self.result(self.admin.unregister_spu("mine"))
        self.assertEqual(self.result(self.admin.list_custom_spus("mine")), [])

    def test_what_the_sc_refuses_is_a_named_error(self) -> None:
        self.failure(
            self.admin.register_spu(5001, "spu.test", 9010, private_port=9011), SpuAlreadyExists
        )
        self.failure(self.admin.unregister_spu(5100), SpuNotFound)
        self.failure(self.admin.unregister_spu("nobody"), SpuNotFound)

    def test_what_can_not_be_is_refused_without_asking(self) -> None:
        wrong: dict[str, dict[str, Any]] = {
            "spu_id": {"spu_id": -1},
            "port": {"port": 0},
            "private_port": {"private_port": 2**16},
            "local_port": {"local_host": "local.test"},
            "local_host": {"local_port": 5},
        }
        for setting, arguments in wrong.items():
            given: dict[str, Any] = {
                "spu_id": 1,
                "host": "spu.test",
                "port": 1,
                "private_port": 1,
                **arguments,
            }
            found = self.failure(self.admin.register_spu(**given), InvalidConfig)
            self.assertEqual(found.setting, setting)

    def test_an_environment_maps_texts_to_texts(self) -> None:
        wrong: Any
        for wrong in (["a"], {"a": 1}, {1: "a"}):
            creating = self.admin.create_spu_group("main", replicas=1, env=wrong)
            self.assertEqual(self.failure(creating, InvalidConfig).setting, "env")

    def test_groups_can_be_made_listed_and_deleted(self) -> None:
        creating = self.admin.create_spu_group(
            "main",
            replicas=3,
            min_id=7,
            rack="r1",
            in_sync_replica_min=2,
            log_dir="/var/fluvio",
            storage_size="10Gi",
            env={"A": "1"},
        )
        self.result(creating)
        (found,) = self.result(self.admin.list_spu_groups())
        self.assertEqual(
            (found.name, found.replicas, found.min_id, found.rack, found.in_sync_replica_min),
            ("main", 3, 7, "r1", 2),
        )
        self.assertEqual(
            (found.log_dir, found.storage_size, found.env), ("/var/fluvio", "10Gi", {"A": "1"})
        )
        self.result(self.admin.delete_spu_group("main"))
        self.assertEqual(self.result(self.admin.list_spu_groups()), [])
        self.failure(self.admin.delete_spu_group("main"), SpuNotFound)


class SmartModules(AdminCase):
    def test_one_under_a_plain_name(self) -> None:
        self.assertEqual(self.result(self.admin.create_smartmodule("upper", WASM)), "upper")
        (found,) = self.result(self.admin.list_smartmodules(summary=False))
        self.assertEqual((found.name, found.package), ("upper", None))
        self.assertEqual(gzip.decompress(found.wasm), WASM)
        self.assertEqual(found.size, len(found.wasm))
        self.result(self.admin.delete_smartmodule("upper"))
        self.assertEqual(self.result(self.admin.list_smartmodules()), [])

    def test_what_is_compressed_already_is_stored_as_it_is(self) -> None:
        packed = gzip.compress(WASM, mtime=7)
        self.result(self.admin.create_smartmodule("upper", packed))
        (found,) = self.result(self.admin.list_smartmodules(summary=False))
        self.assertEqual(found.wasm, packed)

    def test_a_summary_tells_the_size_without_the_bytes(self) -> None:
        self.result(self.admin.create_smartmodule("upper", WASM))
        (whole,) = self.result(self.admin.list_smartmodules(summary=False))
        (found,) = self.result(self.admin.list_smartmodules())
        self.assertEqual((found.size, found.wasm), (whole.size, b""))

    def test_one_with_a_package_is_kept_under_its_name(self) -> None:
        package = SmartModulePackage(
            name="sm",
            group="g",
            version="0.1.0",
            description="shouts",
            license="MIT",
            repository="https://example.test",
            public=True,
            params={"loud": SmartModuleParam(description="how", optional=True)},
        )
        kept = self.result(self.admin.create_smartmodule("ignored", WASM, package=package))
        self.assertEqual(kept, "sm-g-0.1.0")
        (found,) = self.result(self.admin.list_smartmodules("g/sm"))
        self.assertEqual(found.package, package)
        self.result(self.admin.delete_smartmodule("g/sm@0.1.0"))

    def test_a_name_that_is_no_text_is_refused_by_the_name_of_the_parameter(self) -> None:
        wrong: Any = 5
        found = self.failure(self.admin.list_smartmodules(named=wrong), InvalidConfig)
        self.assertEqual(found.setting, "named")

    def test_one_that_is_not_there_is_a_named_error(self) -> None:
        found = self.failure(self.admin.delete_smartmodule("upper"), SmartModuleNotFound)
        self.assertEqual(found.name, "upper")

    def test_what_is_no_webassembly_is_found_out_by_who_runs_it(self) -> None:
        self.result(self.admin.create_smartmodule("upper", b"(module)"))
        (found,) = self.result(self.admin.list_smartmodules(summary=False))
        self.assertEqual(gzip.decompress(found.wasm), b"(module)")

    def test_a_package_is_one_and_so_are_its_params(self) -> None:
        package = SmartModulePackage(name="sm", group="g", version="0.1.0")
        params: Any
        for params in (None, ["a"], {"a": "b"}, {1: SmartModuleParam()}):
            wrong = attrs.evolve(package, params=params)
            creating = self.admin.create_smartmodule("", WASM, package=wrong)
            found = self.failureResultOf(creating, InvalidConfig).value
            self.assertEqual(found.setting, "SmartModulePackage.params")
        no_package: Any = {"name": "sm"}
        creating = self.admin.create_smartmodule("", WASM, package=no_package)
        self.assertEqual(self.failureResultOf(creating, InvalidConfig).value.setting, "package")

    def test_a_package_has_versions_that_an_sc_can_read(self) -> None:
        package = SmartModulePackage(name="sm", group="g", version="0.1.0")
        for setting, wrong in (
            ("version", attrs.evolve(package, version="1")),
            ("api_version", attrs.evolve(package, api_version="v0.1")),
        ):
            creating = self.admin.create_smartmodule("", WASM, package=wrong)
            found = self.failureResultOf(creating, InvalidConfig).value
            self.assertEqual(found.setting, f"SmartModulePackage.{setting}")

    def test_versions_in_names_are_read_as_an_sc_reads_them(self) -> None:
        package = SmartModulePackage(name="sm", group="g", version="1.0.0")
        self.result(self.admin.create_smartmodule("", WASM, package=package))
        for name in ("g/sm@1", "g/sm@v1.0", "g/sm@1@x", "g/sm/x@y"):
            self.assertEqual(len(self.result(self.admin.list_smartmodules(name))), 1)
        self.assertEqual(self.result(self.admin.list_smartmodules("sm@x")), [])
        self.result(self.admin.delete_smartmodule("g/sm@1"))

    def test_one_in_a_file(self) -> None:
        # Not mktemp: outside of trial that is a directory here, for good.
        path = Path(self.enterContext(TemporaryDirectory())) / "module.wasm"
        path.write_bytes(WASM)
        for name, given in (("by-path", path), ("by-name", str(path))):
            self.result(self.admin.create_smartmodule(name, given))
        for found in self.result(self.admin.list_smartmodules(summary=False)):
            self.assertEqual(gzip.decompress(found.wasm), WASM)

    def test_a_module_is_bytes_or_in_a_file_that_is_there(self) -> None:
        wrong: Any
        for wrong in (None, b"", bytearray(WASM), "nothing.wasm"):
            self.failure(self.admin.create_smartmodule("upper", wrong), InvalidConfig)
        self.assertEqual(self.result(self.admin.list_smartmodules()), [])

    def test_a_module_has_a_name(self) -> None:
        creating = self.admin.create_smartmodule("", WASM)
        self.assertEqual(self.failure(creating, InvalidConfig).setting, "name")

    def test_changes_of_them_are_seen(self) -> None:
        async def use() -> list[tuple[ChangeKind, str, int]]:
            async with self.admin.watch(ObjectKind.SMARTMODULE) as changes:
                await self.admin.create_smartmodule("upper", WASM)
                seen = [await changes.__anext__()]
                await self.admin.delete_smartmodule("upper")
                seen.append(await changes.__anext__())
                return [(change.kind, change.name, change.object.size) for change in seen]

        size = len(gzipped(WASM))
        self.assertEqual(
            self.do(use()),
            [(ChangeKind.ADDED, "upper", size), (ChangeKind.DELETED, "upper", size)],
        )


class TableFormats(AdminCase):
    def test_one_is_made_listed_and_deleted(self) -> None:
        columns = (
            TableColumn(key_path="a", label="A", primary_key=True),
            TableColumn(key_path="b"),
        )
        creating = self.admin.create_table_format("t", columns=columns, smartmodule="upper")
        self.result(creating)
        (found,) = self.result(self.admin.list_table_formats("t"))
        self.assertEqual((found.name, found.columns), ("t", columns))
        self.assertEqual(found.smartmodule, "upper")
        self.failure(self.admin.create_table_format("t"), TableFormatAlreadyExists)
        self.result(self.admin.delete_table_format("t"))
        self.failure(self.admin.delete_table_format("t"), TableFormatNotFound)

    def test_what_are_no_columns_is_refused(self) -> None:
        wrong: Any
        for wrong in ("ab", [3], 3, TableColumn(key_path="a")):
            creating = self.admin.create_table_format("t", columns=wrong)
            self.assertEqual(self.failure(creating, InvalidConfig).setting, "columns")

    def test_columns_need_not_be_chosen(self) -> None:
        self.result(self.admin.create_table_format("t"))
        (found,) = self.result(self.admin.list_table_formats())
        self.assertIsNone(found.columns)


class Mirrors(AdminCase):
    def test_a_remote_cluster_is_registered_listed_and_forgotten(self) -> None:
        self.result(self.admin.register_remote("edge"))
        self.failure(self.admin.register_remote("edge"), MirrorAlreadyExists)
        (found,) = self.result(self.admin.list_mirrors())
        self.assertEqual((found.name, found.home, found.endpoint), ("edge", False, None))
        self.assertEqual((found.online, found.pairing, found.last_seen), (False, "waiting", None))
        self.result(self.admin.unregister_mirror("edge"))
        self.failure(self.admin.unregister_mirror("edge"), MirrorNotFound)

    def test_the_home_is_registered(self) -> None:
        tls = HomeTls(domain="home.test", ca_cert="ca", client_cert="cert", client_key="key")
        registering = self.admin.register_home(
            "home", remote_id="edge", endpoint="home.test:9003", tls=tls
        )
        self.result(registering)
        (found,) = self.result(self.admin.list_mirrors())
        self.assertEqual(
            (found.name, found.home, found.remote_id, found.endpoint),
            ("home", True, "edge", "home.test:9003"),
        )

    def test_a_home_with_other_tls_settings_is_refused(self) -> None:
        wrong: Any = "x"
        registering = self.admin.register_home("home", remote_id="edge", endpoint="a:1", tls=wrong)
        self.assertEqual(self.failure(registering, InvalidConfig).setting, "tls")

    def test_a_topic_gets_one_more_remote_cluster(self) -> None:
        for name in ("edge1", "edge2"):
            self.result(self.admin.register_remote(name))
        self.result(self.admin.create_topic("orders", mirror_from=["edge1"]))
        self.result(self.admin.add_mirror("orders", "edge2"))
        self.assertEqual(self.result(self.admin.describe_topic("orders")).partition_count, 2)
        self.failure(self.admin.add_mirror("orders", "nobody"), MirrorNotFound)

    def test_secrets_are_not_shown(self) -> None:
        tls = HomeTls(domain="home.test", ca_cert="ca", client_cert="crt", client_key="hunter2")
        self.assertNotIn("hunter2", repr(tls))


class ConsumerOffsets(AdminCase):
    TOPICS = {"orders": 1, "payments": 1}

    def store(self, consumer_id: str, topic: str) -> None:
        self.broker.append(topic, [b"a", b"b"])

        async def consume() -> None:
            async with self.client.consumer(
                topic,
                start=Offset.beginning(),
                consumer_id=consumer_id,
                offsets=OffsetStrategy.MANUAL,
            ) as records:
                await records.next()
                await records.commit()

        self.do(consume())

    def test_they_are_listed_by_consumer_and_partition(self) -> None:
        self.store("b", "orders")
        self.store("a", "payments")
        self.store("a", "orders")
        listed = self.result(self.admin.list_consumer_offsets())
        self.assertEqual(
            [(s.consumer_id, s.topic, s.partition, s.offset) for s in listed],
            [("a", "orders", 0, 0), ("a", "payments", 0, 0), ("b", "orders", 0, 0)],
        )

    def test_they_can_be_chosen(self) -> None:
        self.store("a", "orders")
        self.store("a", "payments")
        self.store("b", "orders")
        for choice, expected in (
            ({"consumer_id": "a"}, ["a", "a"]),
            ({"topic": "orders"}, ["a", "b"]),
            ({"consumer_id": "b", "topic": "payments"}, []),
            ({"partition": 1}, []),
        ):
            chosen: dict[str, Any] = choice
            listed = self.result(self.admin.list_consumer_offsets(**chosen))
            self.assertEqual([s.consumer_id for s in listed], expected)

    def test_a_partition_is_chosen_by_its_number(self) -> None:
        wrong: Any = "x"
        listing = self.admin.list_consumer_offsets(partition=wrong)
        self.assertEqual(self.failure(listing, InvalidConfig).setting, "partition")

    def test_one_can_be_forgotten(self) -> None:
        self.store("a", "orders")
        self.result(self.admin.delete_consumer_offset("a", "orders", 0))
        self.assertEqual(self.result(self.admin.list_consumer_offsets()), [])

    def test_a_client_that_knows_no_topics_yet_finds_them_all_the_same(self) -> None:
        self.store("a", "orders")
        client = self.make_client()
        client.startService()
        listing = client.admin.list_consumer_offsets()
        self.assertEqual([s.consumer_id for s in self.result(listing)], ["a"])
        self.result(client.close())

    def test_a_client_that_knows_no_topics_yet_can_forget_one(self) -> None:
        self.store("a", "orders")
        client = self.make_client()
        client.startService()
        self.result(client.admin.delete_consumer_offset("a", "orders", 0))
        self.assertEqual(self.result(self.admin.list_consumer_offsets()), [])
        self.result(client.close())

    def test_forgetting_what_was_never_stored_is_nothing(self) -> None:
        self.result(self.admin.delete_consumer_offset("a", "orders", 0))

    def test_one_that_may_be_forgotten_when_the_client_closes_before_the_next_attempt(self) -> None:
        self.broker.plant(Fault(Match("DeleteConsumerOffset"), LoseReply()))
        forgetting = self.admin.delete_consumer_offset("a", "orders", 0)
        self.network.pump()
        for link in self.network.links:
            link.reset()
        self.network.pump()
        self.assertNoResult(forgetting)
        self.result(self.client.close())
        error = self.failureResultOf(forgetting, ClientClosed).value
        self.assertIs(error.effect, Effect.UNKNOWN)

    def test_without_the_system_topic_nothing_is_stored(self) -> None:
        self.result(self.admin.delete_topic("consumer-offset", force=True))
        self.assertEqual(self.result(self.admin.list_consumer_offsets()), [])

    def test_the_leader_is_waited_for(self) -> None:
        self.store("a", "orders")
        (system,) = self.result(self.admin.list_partitions(system=True))
        self.result(self.broker.spu_down(system.leader))
        listing = self.admin.list_consumer_offsets()
        self.wait(3.0)
        self.assertNoResult(listing)
        self.result(self.broker.spu_up(system.leader))
        self.assertEqual(len(self.result(listing)), 1)
