"""Create, Delete and Update of topics: every refusal with its code and its words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.sc_kit import Kit
from txfluvio.wire.codes import Code
from txfluvio.wire.sc import (
    MIRROR,
    PARTITION,
    SMART_MODULE,
    TOPIC,
    AddMirror,
    AddPartition,
    Assigned,
    CleanupPolicy,
    Computed,
    CreateRequest,
    Deduplication,
    DeleteRequest,
    HomeCluster,
    HomeMirror,
    ListRequest,
    MirrorTopic,
    PartitionMap,
    PartitionResolution,
    RemoteCluster,
    RemoteMirror,
    SmartModuleSpec,
    SpuMirror,
    StatusResponse,
    TopicResolution,
    TopicSpec,
    TopicStorage,
    UpdateRequest,
    Wasm,
    WatchRequest,
)

ONE = Computed(partitions=1, replication_factor=1)


def create(name: str, replicas: Any = ONE, *, dry_run: bool = False, **spec: Any) -> CreateRequest:
    return CreateRequest(
        kind=TOPIC, name=name, dry_run=dry_run, spec=TopicSpec(replicas=replicas, **spec)
    )


def assigned(*rows: tuple[int, list[int]]) -> Assigned:
    return Assigned(
        partitions=tuple(PartitionMap(id=id, replicas=tuple(spus)) for id, spus in rows)
    )


def said(reply: StatusResponse) -> tuple[str, int, str | None]:
    return reply.name, reply.error_code.code, reply.error_message


BAD_CHARACTERS = "Contain only lowercase alphanumeric characters or '-'"


class TestNames:
    @pytest.mark.parametrize("name", ["a b", "Orders", "-a", "a-", "-", "a_b", "a.b", "ä"])
    def test_other_characters_are_refused(self, name: str) -> None:
        message = f"Invalid topic name: '{name}'. {BAD_CHARACTERS}"
        assert said(Kit().ask(create(name))) == (name, 2006, message)

    def test_the_length_is_counted_in_bytes_and_looked_at_first(self) -> None:
        name = "Ä" * 32
        message = f"Invalid topic name: '{name}'. Name exceeds max characters allowed 63"
        assert said(Kit().ask(create(name))) == (name, 2006, message)

    @pytest.mark.parametrize("name", ["", "1", "123", "a--b", "a" * 63])
    def test_strange_names_that_pass(self, name: str) -> None:
        assert said(Kit().ask(create(name))) == (name, 0, None)

    def test_the_topic_without_a_name_has_a_partition_without_one(self) -> None:
        kit = Kit()
        kit.ask(create(""))
        assert [one.name for one in kit.ask(ListRequest(kind=PARTITION)).objects] == ["-0"]

    def test_a_name_in_use_is_refused(self) -> None:
        kit = Kit()
        kit.ask(create("t1"))
        assert said(kit.ask(create("t1"))) == ("t1", 2002, "Topic 't1' already exists")

    def test_a_dry_run_notices_a_name_in_use(self) -> None:
        kit = Kit()
        kit.ask(create("t1"))
        assert kit.ask(create("t1", dry_run=True)).error_code.code == 2002


class TestSettings:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (
                {"cleanup_policy": CleanupPolicy(time_in_seconds=1)},
                "retention_secs 1 is less than minimum 10",
            ),
            (
                {"storage": TopicStorage(segment_size=10)},
                "segment_size 10 is less than minimum 1024",
            ),
            (
                {"storage": TopicStorage(max_partition_size=100)},
                "max_partition_size 100 is less than minimum 2048",
            ),
            (
                {"storage": TopicStorage(segment_size=8192, max_partition_size=4096)},
                "max_partition_size 4096 is less than segment size 8192",
            ),
            (
                {"storage": TopicStorage(max_partition_size=1_073_741_823)},
                "max_partition_size 1073741823 is less than segment size 1073741824",
            ),
        ],
    )
    def test_limits_that_make_no_sense_are_refused(
        self, spec: dict[str, Any], message: str
    ) -> None:
        assert said(Kit().ask(create("t", **spec))) == ("t", 2004, message)

    def test_the_smallest_limits_pass(self) -> None:
        storage = TopicStorage(segment_size=1024, max_partition_size=2048)
        policy = CleanupPolicy(time_in_seconds=10)
        reply = Kit().ask(create("t", storage=storage, cleanup_policy=policy))
        assert reply.error_code.code == 0


class TestDeduplication:
    def test_a_module_that_is_not_there_is_named_in_place_of_the_topic(self) -> None:
        reply = Kit().ask(create("t", deduplication=Deduplication(count=1, uses="g/dedup@1.0.0")))
        assert said(reply) == (
            "g/dedup@1.0.0",
            10000,
            "Deduplication SmartModule is not loaded into the cluster\n"
            "Hint: try `fluvio hub sm download g/dedup@1.0.0` and repeat this operation",
        )

    def test_a_version_that_can_not_be_read_is_an_error_of_its_own(self) -> None:
        reply = Kit().ask(create("t", deduplication=Deduplication(count=1, uses="g/dedup@x")))
        text = "SmartModule version`x` is not valid because Unexpected `x`"
        assert said(reply) == ("g/dedup@x", 10001, text)
        assert reply.error_code.fields == {"text": text}

    def test_a_module_is_found_by_its_plain_name(self) -> None:
        kit = Kit()
        spec = SmartModuleSpec(wasm=Wasm(payload=b"not one that can run"))
        kit.ask(CreateRequest(kind=SMART_MODULE, name="dedup", spec=spec))
        created = create("t", deduplication=Deduplication(count=1, uses="dedup"))
        kit.client().send(created)
        kit.settle()
        assert "t" in kit.cluster.metadata.topics


class TestReplicas:
    @pytest.mark.parametrize(
        ("replicas", "message"),
        [
            (Computed(partitions=0), "partition must be greater than 0"),
            (
                Computed(partitions=1, replication_factor=0),
                "replication factor must be greater than 0",
            ),
            (assigned(), "no assigned partitions found"),
            (assigned((1, [5001])), "assigned partitions must start with id 0"),
            (assigned((0, [])), "assigned replicas must have at least one spu id"),
            (
                assigned((0, [5001]), (2, [5001])),
                "assigned partition ids must be in sequence and without gaps",
            ),
            (
                assigned((0, [5001]), (1, [5001, 5002])),
                "all assigned replicas must have the same number of spu ids: 1",
            ),
            (
                assigned((0, [5001, 5001])),
                "duplicate spu ids found in assigned partition with id: 0",
            ),
            (assigned((0, [-1])), "invalid spu id: -1 in assigned partition with id: 0"),
            (assigned((0, [6000])), "invalid spu id: 6000"),
        ],
    )
    def test_replicas_that_can_not_be_are_refused(self, replicas: Any, message: str) -> None:
        assert said(Kit(spus=2).ask(create("t", replicas))) == ("t", 2000, message)

    def test_there_is_no_upper_bound_in_a_dry_run(self) -> None:
        most = Computed(partitions=2**32 - 1, replication_factor=2**32 - 1)
        assert said(Kit().ask(create("t", most, dry_run=True))) == ("t", 0, None)

    def test_a_dry_run_creates_nothing(self) -> None:
        kit = Kit()
        kit.ask(create("t", dry_run=True))
        assert kit.ask(ListRequest(kind=TOPIC)).objects == ()

    def test_assigned_replicas_lead_in_their_order(self) -> None:
        kit = Kit(spus=2)
        kit.ask(create("t", assigned((0, [5001, 5002]), (1, [5002, 5001]))))
        listed = kit.ask(ListRequest(kind=PARTITION)).objects
        leaders = {one.name: (one.spec.leader, one.spec.replicas) for one in listed}
        assert leaders == {"t-0": (5001, (5001, 5002)), "t-1": (5002, (5002, 5001))}

    def test_a_topic_assigned_to_an_spu_that_is_down_is_provisioned_and_offline(self) -> None:
        kit = Kit(spus=2)
        kit.cluster.spu_down(5002)
        kit.settle()
        call = kit.client().send(create("t", assigned((0, [5002]))))
        kit.settle()
        (topic,) = kit.ask(ListRequest(kind=TOPIC)).objects
        (partition,) = kit.ask(ListRequest(kind=PARTITION)).objects
        assert call.replies == []
        assert topic.status.resolution is TopicResolution.PROVISIONED
        assert partition.status.resolution is PartitionResolution.OFFLINE

    def test_a_partition_has_the_settings_of_its_topic(self) -> None:
        kit = Kit()
        storage = TopicStorage(segment_size=2048, max_partition_size=8192)
        policy = CleanupPolicy(time_in_seconds=3600)
        kit.ask(create("t", storage=storage, cleanup_policy=policy))
        (partition,) = kit.ask(ListRequest(kind=PARTITION)).objects
        assert (partition.spec.storage, partition.spec.cleanup_policy) == (storage, policy)


class TestInsufficientResources:
    def test_a_topic_with_more_replicas_than_spus_waits_90_seconds_and_stays(self) -> None:
        kit = Kit()
        call = kit.client().send(create("t", Computed(partitions=1, replication_factor=2)))
        kit.settle()
        (topic,) = kit.ask(ListRequest(kind=TOPIC)).objects
        assert topic.status.resolution is TopicResolution.INSUFFICIENT_RESOURCES
        assert topic.status.reason == ""
        kit.clock.advance(90)
        assert said(call.reply) == ("t", 2005, "only 0 out of 1 provisioned")
        assert kit.ask(create("t")).error_code.code == 2002

    def test_it_is_provisioned_when_an_spu_comes(self) -> None:
        kit = Kit()
        call = kit.client().send(create("t", Computed(partitions=1, replication_factor=2)))
        kit.settle()
        kit.add_spu(5002)
        kit.settle()
        assert said(call.reply) == ("t", 0, None)

    def test_healing_goes_from_insufficient_to_provisioned_directly(self) -> None:
        kit = Kit()
        kit.client().send(create("t", Computed(partitions=1, replication_factor=2)))
        kit.settle()
        watch = kit.client().send(WatchRequest(kind=TOPIC))
        watch.news()
        kit.add_spu(5002)
        kit.settle()
        states = [one.content.status.resolution for push in watch.news() for one in push.changes]
        assert set(states) == {TopicResolution.PROVISIONED}

    def test_requests_behind_it_wait(self) -> None:
        kit = Kit()
        client = kit.client()
        client.send(create("t", Computed(partitions=1, replication_factor=2)))
        listing = client.send(ListRequest(kind=TOPIC))
        kit.clock.advance(89)
        assert listing.replies == []
        kit.clock.advance(1)
        assert [one.name for one in listing.reply.objects] == ["t"]


class TestDelete:
    def test_a_system_topic_needs_force(self) -> None:
        kit = Kit()
        reply = kit.ask(DeleteRequest(kind=TOPIC, key="consumer-offset"))
        assert said(reply) == ("consumer-offset", 12001, None)
        assert reply.error_code.fields == {"kind": "topic", "name": "consumer-offset"}

    def test_the_topic_of_consumer_offsets_comes_back_after_a_while(self) -> None:
        kit = Kit()
        kit.ask(DeleteRequest(kind=TOPIC, key="consumer-offset", force=True))
        assert kit.ask(ListRequest(kind=TOPIC, system=True)).objects == ()
        kit.clock.pump([1.0] * 20)
        (topic,) = kit.ask(ListRequest(kind=TOPIC, system=True)).objects
        assert topic.status.resolution is TopicResolution.PROVISIONED

    def test_a_topic_that_mirrors_to_a_home_can_not_be_deleted_even_by_force(self) -> None:
        kit = Kit()
        home_spu = SpuMirror(id=5001, key="custom-spu-5001", endpoint="home:9010")
        remote = RemoteMirror(home_cluster="home", home_spus=(home_spu,))
        assert kit.ask(create("mir", MirrorTopic(config=remote))).error_code.code == 0
        reply = kit.ask(DeleteRequest(kind=TOPIC, key="mir", force=True))
        assert said(reply) == ("mir", 11004, "cannot delete mirrored topic from remote")

    def test_a_topic_made_anew_under_its_name_has_new_partitions(self) -> None:
        kit = Kit()
        kit.ask(create("t", Computed(partitions=3)))
        kit.ask(DeleteRequest(kind=TOPIC, key="t"))
        kit.ask(create("t", Computed(partitions=1)))
        assert [one.name for one in kit.ask(ListRequest(kind=PARTITION)).objects] == ["t-0"]

    def test_an_update_and_a_delete_of_one_name_in_one_push_mean_that_it_exists(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        watch = kit.client().send(WatchRequest(kind=TOPIC))
        watch.news()
        client = kit.client()
        client.send(DeleteRequest(kind=TOPIC, key="t"))
        client.send(create("t"))
        kit.settle()
        changes = [(one.header, one.content.name) for push in watch.news() for one in push.changes]
        assert (1, "t") in changes
        assert (0, "t") in changes
        assert [one.name for one in kit.ask(ListRequest(kind=TOPIC)).objects] == ["t"]


class TestAddPartition:
    def add(self, kit: Kit, name: str, count: int) -> StatusResponse:
        return kit.ask(UpdateRequest(kind=TOPIC, key=name, action=AddPartition(count=count)))

    def test_partitions_are_added_and_the_old_ones_stay_where_they_are(self) -> None:
        kit = Kit(spus=3)
        kit.ask(create("t"))
        (before,) = kit.ask(ListRequest(kind=PARTITION)).objects
        assert said(self.add(kit, "t", 2)) == ("t", 0, None)
        listed = {one.name: one for one in kit.ask(ListRequest(kind=PARTITION)).objects}
        assert sorted(listed) == ["t-0", "t-1", "t-2"]
        assert listed["t-0"] == before

    def test_the_answer_comes_before_the_partitions(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        client = kit.client()
        watch = client.send(WatchRequest(kind=PARTITION))
        call = client.send(UpdateRequest(kind=TOPIC, key="t", action=AddPartition(count=1)))
        kit.settle()
        order = [payload[:4] for payload in client.received()]
        assert order[1] == call.correlation_id.to_bytes(4, "big")
        assert len(watch.replies) > 1

    def test_the_states_that_a_watch_sees(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        watch = kit.client().send(WatchRequest(kind=TOPIC))
        watch.news()
        self.add(kit, "t", 1)
        statuses = [one.content.status for push in watch.news() for one in push.changes]
        states = [(one.resolution, one.reason, len(one.replica_map)) for one in statuses]
        assert states[:3] == [
            (TopicResolution.PROVISIONED, "", 1),
            (TopicResolution.PENDING, "", 1),
            (TopicResolution.PROVISIONED, "", 2),
        ]

    def test_adding_none_is_fine_and_does_nothing(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        assert said(self.add(kit, "t", 0)) == ("t", 0, None)
        assert len(kit.ask(ListRequest(kind=PARTITION)).objects) == 1

    def test_the_sum_wraps_at_32_bits_and_the_partitions_stay(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        assert said(self.add(kit, "t", 2**32 - 1)) == ("t", 0, None)
        (topic,) = kit.ask(ListRequest(kind=TOPIC)).objects
        assert topic.spec.replicas.partitions == 0
        assert [one.name for one in kit.ask(ListRequest(kind=PARTITION)).objects] == ["t-0"]

    def test_a_missing_topic(self) -> None:
        assert said(self.add(Kit(), "t", 1)) == ("t", 2001, "not found")

    def test_a_system_topic_is_refused(self) -> None:
        reply = self.add(Kit(), "consumer-offset", 1)
        assert said(reply) == ("consumer-offset", 12002, None)
        assert reply.error_code.fields == {"kind": "topic", "name": "consumer-offset"}

    def test_assigned_replicas_are_refused(self) -> None:
        kit = Kit()
        kit.ask(create("t", assigned((0, [5001]))))
        assert said(self.add(kit, "t", 1)) == ("t", 2008, "invalid replica type")


class TestAddMirror:
    def kit(self) -> Kit:
        kit = Kit()
        kit.ask(CreateRequest(kind=MIRROR, name="edge", spec=RemoteCluster(id="edge")))
        home = HomeCluster(id="home", remote_id="edge", public_endpoint="home:9003")
        kit.ask(CreateRequest(kind=MIRROR, name="home", spec=home))
        kit.ask(create("t"))
        kit.ask(create("mir", MirrorTopic(config=HomeMirror(partitions=()))))
        return kit

    def add(self, kit: Kit, topic: str, remote: str = "edge") -> StatusResponse:
        action = AddMirror(remote_cluster=remote)
        return kit.ask(UpdateRequest(kind=TOPIC, key=topic, action=action))

    def test_a_partition_for_the_remote_is_added(self) -> None:
        kit = self.kit()
        assert said(self.add(kit, "mir")) == ("mir", 0, None)
        (partition,) = [
            one for one in kit.ask(ListRequest(kind=PARTITION)).objects if one.name == "mir-0"
        ]
        mirror = partition.spec.mirror
        assert (mirror.remote_cluster, mirror.remote_replica) == ("edge", "mir-0")

    @pytest.mark.parametrize(
        ("topic", "remote", "answer"),
        [
            ("none", "edge", (Code.TOPIC_NOT_FOUND, "not found")),
            ("t", "none", (Code.MIRROR_NOT_FOUND, "not found")),
            ("t", "home", (Code.MIRROR_INVALID_TYPE, "remote cluster is not a remote mirror")),
            ("t", "edge", (Code.TOPIC_ERROR, "invalid replica type")),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, topic: str, remote: str, answer: tuple[Code, str]
    ) -> None:
        assert said(self.add(self.kit(), topic, remote)) == (topic, *answer)

    def test_a_remote_is_added_once(self) -> None:
        kit = self.kit()
        self.add(kit, "mir")
        message = 'remote "edge" is already assigned to partition: "0"'
        assert said(self.add(kit, "mir")) == ("mir", 11002, message)

    def test_a_system_topic_is_refused(self) -> None:
        kit = self.kit()
        kit.ask(create("sys", MirrorTopic(config=HomeMirror(partitions=())), system=True))
        assert said(self.add(kit, "sys")) == ("sys", 12002, None)

    def test_a_topic_that_mirrors_to_a_home_is_refused(self) -> None:
        kit = self.kit()
        remote = RemoteMirror(home_cluster="home", home_spus=())
        kit.ask(create("rem", MirrorTopic(config=remote)))
        assert said(self.add(kit, "rem")) == ("rem", 2008, "invalid replica type")
