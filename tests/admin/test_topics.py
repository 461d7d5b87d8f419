"""Topics and partitions, on a fake cluster."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from txfluvio.admin import (
    Deduplication,
    PartitionMirror,
    PartitionResolution,
    TopicDescription,
    TopicResolution,
)
from txfluvio.admin.topics import REUSE_PAUSE
from txfluvio.errors import (
    ClientClosed,
    Effect,
    InvalidConfig,
    SystemObjectProtected,
    TopicAlreadyExists,
    TopicInvalidConfiguration,
    TopicInvalidName,
    TopicInvalidReplicaType,
    TopicNotFound,
    TopicNotProvisioned,
    WaitTimedOut,
)
from txfluvio.testing import Timing
from txfluvio.testing.smartmodules import deduplicate
from txfluvio.wire.sc import (
    TOPIC,
    CreateRequest,
    HomeMirror,
    MirrorTopic,
    RemoteMirror,
    SpuMirror,
    TopicSpec,
)

from .kit import AdminCase


class CreatingTopics(AdminCase):
    def describe(self, name: str) -> TopicDescription:
        return self.result(self.admin.describe_topic(name))

    def test_a_created_topic_can_be_used_at_once_by_this_client(self) -> None:
        self.result(self.admin.create_topic("orders", partitions=3))

        async def use() -> int:
            async with self.client.producer("orders") as producer:
                return (await producer.send(b"x", partition=2)).partition

        self.assertEqual(self.do(use()), 2)

    def test_by_default_it_has_one_partition_in_one_place(self) -> None:
        self.result(self.admin.create_topic("orders"))
        found = self.describe("orders")
        self.assertEqual((found.partition_count, found.replication), (1, 1))
        self.assertEqual(found.compression, "any")
        self.assertEqual((found.ignore_racks, found.mirror), (False, False))
        self.assertFalse(found.system)
        self.assertIs(found.resolution, TopicResolution.PROVISIONED)

    def test_it_has_what_was_asked_for(self) -> None:
        creating = self.admin.create_topic(
            "orders",
            partitions=2,
            replication=2,
            ignore_racks=True,
            retention=3600,
            segment_size=4096,
            max_partition_size=1_000_000,
            compression="zstd",
        )
        self.result(creating)
        found = self.describe("orders")
        self.assertEqual((found.partition_count, found.replication), (2, 2))
        self.assertTrue(found.ignore_racks)
        self.assertEqual(found.retention, 3600)
        self.assertEqual((found.segment_size, found.max_partition_size), (4096, 1_000_000))
        self.assertEqual(found.compression, "zstd")
        self.assertEqual({len(spus) for spus in found.replicas.values()}, {2})

    def test_deduplication_needs_its_module_and_is_told_again(self) -> None:
        self.broker.register_smartmodule("acme/dedup@0.1.0", deduplicate)
        wanted = Deduplication(
            count=10, age=1.5, filter="acme/dedup@0.1.0", params={"key": "value"}
        )
        self.result(self.admin.create_topic("orders", deduplication=wanted))
        self.assertEqual(self.describe("orders").deduplication, wanted)

    def test_replicas_can_be_assigned(self) -> None:
        self.result(self.admin.create_topic("orders", assignment=[[5002, 5001], [5001, 5002]]))
        found = self.describe("orders")
        self.assertEqual(found.assignment, ((5002, 5001), (5001, 5002)))
        assert found.partitions is not None
        self.assertEqual([p.leader for p in found.partitions], [5002, 5001])

    def test_a_topic_can_mirror_remote_clusters(self) -> None:
        self.result(self.admin.register_remote("edge"))
        self.result(self.admin.create_topic("orders", mirror_from=["edge"]))
        found = self.describe("orders")
        self.assertTrue(found.mirror)
        self.assertEqual((found.mirror_from, found.mirror_to), (("edge",), None))
        self.assertEqual((found.partition_count, found.replication), (1, None))
        assert found.partitions is not None
        mirror = PartitionMirror(cluster="edge", incoming=True, replica="orders-0")
        self.assertEqual([partition.mirror for partition in found.partitions], [mirror])

    def test_one_remote_cluster_may_be_given_as_a_plain_text(self) -> None:
        self.result(self.admin.register_remote("edge"))
        self.result(self.admin.create_topic("from-it", mirror_from="edge"))
        self.result(self.admin.create_topic("to-it", mirror_to="edge"))
        for name in ("from-it", "to-it"):
            self.assertEqual(self.describe(name).partition_count, 1)

    def test_a_topic_can_be_mirrored_to_remote_clusters(self) -> None:
        for name in ("edge1", "edge2"):
            self.result(self.admin.register_remote(name))
        self.result(self.admin.create_topic("orders", mirror_to=["edge1"]))
        self.result(self.admin.add_mirror("orders", "edge2", to_remote=True))
        stored = self.broker.cluster.metadata.topics.get("orders")
        assert stored is not None
        assert isinstance(stored.spec.replicas, MirrorTopic)
        home = stored.spec.replicas.config
        assert isinstance(home, HomeMirror)
        self.assertTrue(home.source)
        self.assertEqual(
            [(partition.remote_cluster, partition.source) for partition in home.partitions],
            [("edge1", True), ("edge2", True)],
        )
        found = self.describe("orders")
        self.assertEqual((found.mirror_from, found.mirror_to), (None, ("edge1", "edge2")))
        assert found.partitions is not None
        mirrors = [partition.mirror for partition in found.partitions]
        self.assertEqual(
            [(m.cluster, m.incoming) for m in mirrors if m is not None],
            [("edge1", False), ("edge2", False)],
        )

    def test_a_topic_of_a_remote_cluster_tells_its_home(self) -> None:
        for target, incoming in ((False, False), (True, True)):
            home = RemoteMirror(
                home_cluster="home",
                home_spus=(SpuMirror(id=6001, key="main-1", endpoint="home.test:9005"),),
                target=target,
            )
            name = f"orders-{target}".lower()
            request = CreateRequest(
                kind=TOPIC, name=name, spec=TopicSpec(replicas=MirrorTopic(config=home))
            )
            self.result(self.client._cluster.sc_request(request))
            self.wait(1.0)
            found = self.describe(name)
            ways = (("home",), None) if incoming else (None, ("home",))
            self.assertEqual((found.mirror_from, found.mirror_to), ways)
            assert found.partitions is not None
            mirror = PartitionMirror(
                cluster="home", incoming=incoming, spu=6001, endpoint="home.test:9005"
            )
            self.assertEqual([partition.mirror for partition in found.partitions], [mirror])

    def test_a_mirror_goes_one_way(self) -> None:
        creating = self.admin.create_topic("orders", mirror_from=["a"], mirror_to=["b"])
        self.failure(creating, InvalidConfig)

    def test_one_that_exists_is_told_also_by_a_client_that_knew_no_topics_yet(self) -> None:
        self.result(self.admin.create_topic("orders"))
        client = self.make_client()
        client.startService()
        self.failure(client.admin.create_topic("orders"), TopicAlreadyExists)
        self.result(client.close())

    def test_a_client_that_knew_no_topics_yet_can_create_one(self) -> None:
        client = self.make_client()
        client.startService()
        self.result(client.admin.create_topic("orders"))
        self.result(client.close())

    def test_a_dry_run_creates_nothing(self) -> None:
        self.result(self.admin.create_topic("orders", dry_run=True))
        self.assertEqual(self.result(self.admin.list_topics()), [])

    def test_what_the_sc_refuses_is_a_named_error(self) -> None:
        self.result(self.admin.create_topic("orders"))
        for kind, creating in (
            (TopicAlreadyExists, self.admin.create_topic("orders")),
            (TopicAlreadyExists, self.admin.create_topic("orders", dry_run=True)),
            (TopicInvalidName, self.admin.create_topic("No Good")),
            (TopicInvalidName, self.admin.create_topic("")),
            (TopicInvalidConfiguration, self.admin.create_topic("x", retention=1)),
        ):
            self.failure(creating, kind)

    def test_an_error_says_what_it_is_about_and_why(self) -> None:
        found = self.failure(self.admin.create_topic("x", retention=1), TopicInvalidConfiguration)
        self.assertRegex(str(found), r"topic x: .*retention_secs 1 is less than minimum 10")

    def test_what_can_not_be_is_refused_without_asking(self) -> None:
        wrong: dict[str, dict[str, Any]] = {
            "partitions": {"partitions": 0},
            "replication": {"replication": True},
            "retention": {"retention": -1},
            "segment_size": {"segment_size": 2**32},
            "max_partition_size": {"max_partition_size": "1"},
            "compression": {"compression": "brotli"},
            "assignment": {"assignment": [5001, 5002]},
            "deduplication": {"deduplication": "x"},
            "mirror_from": {"mirror_from": 5},
            "mirror_to": {"mirror_to": [None]},
            "timeout": {"timeout": "x"},
        }
        for setting, arguments in wrong.items():
            found = self.failure(self.admin.create_topic("x", **arguments), InvalidConfig)
            self.assertEqual(found.setting, setting)

    def test_a_deduplication_that_can_not_be_is_refused_by_the_name_of_its_setting(self) -> None:
        wrong: tuple[dict[str, Any], ...] = (
            {"age": float("nan")},
            {"age": float("inf")},
            {"age": "1"},
            {"params": None},
            {"params": {"key": 1}},
        )
        for arguments in wrong:
            with self.subTest(**arguments):
                given = Deduplication(count=10, filter="acme/dedup@0.1.0", **arguments)
                creating = self.admin.create_topic("x", deduplication=given)
                (setting,) = arguments
                found = self.failure(creating, InvalidConfig)
                self.assertEqual(found.setting, f"Deduplication.{setting}")

    def test_a_name_is_a_text(self) -> None:
        wrong: Any = None
        for asking in (
            self.admin.create_topic(wrong),
            self.admin.delete_topic(wrong),
            self.admin.describe_topic(wrong),
            self.admin.add_partitions(wrong, 1),
        ):
            self.assertEqual(self.failure(asking, InvalidConfig).setting, "name")

    def test_one_that_can_not_be_placed_stays_and_the_sc_says_so_in_the_end(self) -> None:
        creating = self.admin.create_topic("orders", replication=3)
        self.wait(89.0, step=1.0)
        self.assertNoResult(creating)
        found = self.failure(creating, TopicNotProvisioned)
        self.assertIs(found.effect, Effect.DONE)
        self.assertIs(self.describe("orders").resolution, TopicResolution.INSUFFICIENT_RESOURCES)

    def test_past_its_own_deadline_it_says_what_is_missing(self) -> None:
        creating = self.admin.create_topic("orders", partitions=2, replication=3, timeout=5.0)
        found = self.failure(creating, WaitTimedOut)
        self.assertEqual(
            str(found),
            "topic orders (insufficient resources) has no online leader for partitions 0, 1,"
            " after 5 s",
        )
        self.assertIs(found.effect, Effect.UNKNOWN)

    def test_a_slow_create_holds_up_nobody_else(self) -> None:
        creating = self.admin.create_topic("slow", replication=3)
        self.turn()
        self.result(self.admin.create_topic("quick"))
        self.assertNoResult(creating)
        creating.cancel()
        self.failureResultOf(creating, CancelledError)


class DeletingTopics(AdminCase):
    TOPICS = {"orders": 2}

    def test_a_deleted_topic_is_gone_for_this_client_too(self) -> None:
        self.result(self.admin.delete_topic("orders"))
        self.assertEqual(self.result(self.admin.list_topics()), [])
        self.failure(self.client.producer("orders").start(), TopicNotFound)

    def test_one_that_is_not_there_is_a_named_error(self) -> None:
        self.failure(self.admin.delete_topic("payments"), TopicNotFound)

    def test_one_of_the_system_is_deleted_only_by_force(self) -> None:
        found = self.failure(self.admin.delete_topic("consumer-offset"), SystemObjectProtected)
        self.assertEqual((found.kind, found.name), ("topic", "consumer-offset"))
        self.result(self.admin.delete_topic("consumer-offset", force=True))

    def test_its_name_can_be_used_again_after_a_pause(self) -> None:
        self.result(self.admin.delete_topic("orders"))
        before = self.clock.seconds()
        self.result(self.admin.create_topic("orders", partitions=1))
        self.assertGreaterEqual(self.clock.seconds(), before + REUSE_PAUSE)
        self.assertEqual(self.result(self.admin.describe_topic("orders")).partition_count, 1)

    def test_the_pause_outlasts_the_confusion_of_an_sc(self) -> None:
        self.use_broker(quick_recreate_race=True)
        self.result(self.admin.create_topic("payments", partitions=2))
        self.result(self.admin.delete_topic("payments"))
        self.result(self.admin.create_topic("payments", partitions=2))
        self.wait(5.0)
        found = self.result(self.admin.describe_topic("payments"))
        assert found.partitions is not None
        self.assertEqual([p.resolution.name for p in found.partitions], ["ONLINE", "ONLINE"])

    def test_the_confusion_after_a_deletion_by_others_is_waited_out(self) -> None:
        self.use_broker(quick_recreate_race=True, timing=Timing(first_report=0.05, reload=40.0))
        other = self.make_client()
        self.result(other.start())
        self.result(self.admin.create_topic("payments"))
        self.result(other.admin.delete_topic("payments"), seconds=0.25)
        creating = self.admin.create_topic("payments")
        self.wait(10.0)
        self.assertNoResult(creating)
        self.result(creating, seconds=60.0)
        self.assertIsNotNone(self.client._cluster.topology.leader_of("payments", 0))
        self.result(other.close())

    def test_another_name_needs_no_pause(self) -> None:
        self.result(self.admin.delete_topic("orders"))
        self.result(self.admin.create_topic("payments"), seconds=REUSE_PAUSE / 2)

    def test_stopping_in_the_pause_leaves_nothing(self) -> None:
        self.result(self.admin.delete_topic("orders"))
        creating = self.admin.create_topic("orders")
        self.result(self.client.close())
        self.failureResultOf(creating, ClientClosed)


class ListingTopics(AdminCase):
    TOPICS = {"orders": 2, "old-orders": 1, "payments": 1}

    def names(self, *containing: str, **options: bool) -> list[str]:
        listing = self.admin.list_topics(containing, **options)
        return [found.name for found in self.result(listing)]

    def test_they_come_in_the_order_of_their_names(self) -> None:
        self.assertEqual(self.names(), ["old-orders", "orders", "payments"])

    def test_filters_are_parts_of_names(self) -> None:
        self.assertEqual(self.names("orders"), ["old-orders", "orders"])
        self.assertEqual(self.names("pay", "old"), ["old-orders", "payments"])

    def test_a_filter_may_be_a_plain_text(self) -> None:
        listed = self.result(self.admin.list_topics("pay"))
        self.assertEqual([found.name for found in listed], ["payments"])

    def test_a_filter_of_something_else_is_refused(self) -> None:
        wrongs: tuple[Any, ...] = (3, None, [3])
        for wrong in wrongs:
            found = self.failure(self.admin.list_topics(wrong), InvalidConfig)
            self.assertEqual(found.setting, "containing")

    def test_those_of_the_system_are_listed_apart(self) -> None:
        self.assertEqual(self.names(system=True), ["consumer-offset"])

    def test_one_is_described_with_its_partitions(self) -> None:
        found = self.result(self.admin.describe_topic("orders"))
        assert found.partitions is not None
        self.assertEqual([p.number for p in found.partitions], [0, 1])
        self.assertEqual({p.topic for p in found.partitions}, {"orders"})

    def test_one_of_the_system_is_described_too(self) -> None:
        self.assertTrue(self.result(self.admin.describe_topic("consumer-offset")).system)

    def test_a_part_of_a_name_is_not_its_name(self) -> None:
        self.failure(self.admin.describe_topic("order"), TopicNotFound)

    def test_only_the_listed_have_no_partitions_with_them(self) -> None:
        self.assertIsNone(self.result(self.admin.list_topics("payments"))[0].partitions)


class AddingPartitions(AdminCase):
    TOPICS = {"orders": 1}

    def test_they_can_be_used_at_once_by_this_client(self) -> None:
        self.result(self.admin.add_partitions("orders", 2))

        async def use() -> int:
            async with self.client.producer("orders") as producer:
                return (await producer.send(b"x", partition=2)).partition

        self.assertEqual(self.do(use()), 2)

    def test_what_the_sc_refuses_is_a_named_error(self) -> None:
        self.result(self.admin.create_topic("assigned", assignment=[[5001]]))
        self.failure(self.admin.add_partitions("payments", 1), TopicNotFound)
        self.failure(self.admin.add_partitions("assigned", 1), TopicInvalidReplicaType)
        self.failure(self.admin.add_partitions("consumer-offset", 1), SystemObjectProtected)

    def test_calls_at_the_same_time_all_count(self) -> None:
        for one in [self.admin.add_partitions("orders", 1) for _ in range(3)]:
            self.result(one)
        self.assertEqual(self.result(self.admin.describe_topic("orders")).partition_count, 4)

    def test_a_call_whose_turn_does_not_come_in_time_says_so(self) -> None:
        for spu_id in (5001, 5002):
            self.result(self.broker.spu_down(spu_id))
        first = self.admin.add_partitions("orders", 1, timeout=10.0)
        late = self.failure(self.admin.add_partitions("orders", 1, timeout=3.0), WaitTimedOut)
        self.assertIn("by calls before this one", str(late))
        self.failure(first, WaitTimedOut)

    def test_a_topic_that_clients_can_not_work_with_is_not_made(self) -> None:
        creating = self.admin.create_topic("large", partitions=100_001)
        self.assertEqual(self.failure(creating, InvalidConfig).setting, "partitions")
        assigned = self.admin.create_topic("large", assignment=[[5001]] * 100_001)
        self.assertEqual(self.failure(assigned, InvalidConfig).setting, "assignment")
        adding = self.admin.add_partitions("orders", 100_000)
        self.assertEqual(self.failure(adding, InvalidConfig).setting, "count")

    def test_a_count_that_overflows_never_reaches_the_sc(self) -> None:
        for count in (0, -1, 2**32 - 1):
            self.failure(self.admin.add_partitions("orders", count), InvalidConfig)
        wrong: Any = "x"
        self.failure(self.admin.add_partitions("orders", 1, timeout=wrong), InvalidConfig)
        self.assertEqual(self.result(self.admin.describe_topic("orders")).partition_count, 1)

    def test_past_the_deadline_it_says_what_is_missing(self) -> None:
        for spu_id in (5001, 5002):
            self.result(self.broker.spu_down(spu_id))
        adding = self.admin.add_partitions("orders", 1, timeout=3.0)
        found = self.failure(adding, WaitTimedOut)
        self.assertIn("no online leader for partitions 0, 1", str(found))
        self.assertIs(found.effect, Effect.DONE)


class Partitions(AdminCase):
    TOPICS = {"orders": 2, "payments": 1}

    def test_all_are_listed_by_topic_and_number(self) -> None:
        listed = self.result(self.admin.list_partitions())
        self.assertEqual(
            [(p.topic, p.number) for p in listed],
            [("orders", 0), ("orders", 1), ("payments", 0)],
        )

    def test_those_of_a_topic_without_a_name_are_not_asked_for(self) -> None:
        wrong: Any = 3
        found = self.failure(self.admin.list_partitions(wrong), InvalidConfig)
        self.assertEqual(found.setting, "topic")

    def test_those_of_one_topic_are_chosen_here(self) -> None:
        listed = self.result(self.admin.list_partitions("payments"))
        self.assertEqual([(p.topic, p.number) for p in listed], [("payments", 0)])

    def test_those_of_a_topic_whose_name_goes_on_are_not_among_them(self) -> None:
        self.result(self.admin.create_topic("orders-2"))
        listed = self.result(self.admin.list_partitions("orders"))
        self.assertEqual([(p.topic, p.number) for p in listed], [("orders", 0), ("orders", 1)])

    def test_those_of_the_system_are_listed_apart(self) -> None:
        listed = self.result(self.admin.list_partitions(system=True))
        self.assertEqual([p.topic for p in listed], ["consumer-offset"])

    def test_one_says_who_has_it_and_how_far(self) -> None:
        self.result(self.admin.create_topic("copied", assignment=[[5001, 5002]]))
        self.broker.append("copied", [b"a", b"b"])
        self.wait(2.0)
        (found,) = self.result(self.admin.list_partitions("copied"))
        self.assertEqual((found.leader, found.replicas), (5001, (5001, 5002)))
        self.assertIs(found.resolution, PartitionResolution.ONLINE)
        self.assertEqual((found.high_watermark, found.log_end), (2, 2))
        self.assertEqual([(f.spu, f.log_end) for f in found.followers], [(5002, 2)])
        self.assertEqual((found.live_replicas, found.mirror), (1, None))
        assert found.size is not None
        self.assertGreater(found.size, 0)

    def test_what_was_not_told_yet_is_none(self) -> None:
        for spu_id in (5001, 5002):
            self.result(self.broker.spu_down(spu_id))
        creating = self.admin.create_topic("late", assignment=[[5001]], timeout=1.0)
        self.failure(creating, WaitTimedOut)
        (found,) = self.result(self.admin.list_partitions("late"))
        self.assertEqual((found.high_watermark, found.log_end, found.size), (None, None, None))
