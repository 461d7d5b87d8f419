"""The SC's port: every call on the metadata that clients live on, through whole frames."""

from __future__ import annotations

from tests.testing.sc_kit import Kit
from txfluvio.testing.releases import FLUVIO_0_17
from txfluvio.testing.sc.metadata import Timing
from txfluvio.wire.codes import Code
from txfluvio.wire.sc import (
    PARTITION,
    SPU,
    TABLE_FORMAT,
    TOPIC,
    Computed,
    CreateRequest,
    DeleteRequest,
    ListRequest,
    PartitionResolution,
    SpuResolution,
    TableFormatSpec,
    TopicResolution,
    TopicSpec,
    WatchRequest,
)
from txfluvio.wire.schema import evolve
from txfluvio.wire.versions import ApiVersionsRequest


def create(name: str, partitions: int = 1, replication: int = 1) -> CreateRequest:
    replicas = Computed(partitions=partitions, replication_factor=replication)
    return CreateRequest(kind=TOPIC, name=name, spec=TopicSpec(replicas=replicas))


def test_the_versions_and_the_platform_are_those_of_the_release() -> None:
    reply = Kit().ask(ApiVersionsRequest.of_this_machine("0.50.2"), version=2)
    ranges = [(one.api_key, one.min_version, one.max_version) for one in reply.api_keys]
    assert ranges == [
        (1001, 9, 19),
        (1002, 1, 19),
        (1003, 15, 19),
        (1004, 15, 19),
        (1005, 14, 19),
        (1006, 1, 19),
    ]
    assert reply.platform_version == "0.18.2-dev-1"


def test_a_created_topic_is_answered_when_all_its_partitions_are_online() -> None:
    kit = Kit(spus=2)
    reply = kit.ask(create("orders", partitions=3))
    assert (reply.name, reply.error_code.code, reply.error_message) == ("orders", 0, None)
    listed = kit.ask(ListRequest(kind=PARTITION))
    states = {one.name: one.status.resolution for one in listed.objects}
    assert states == {f"orders-{n}": PartitionResolution.ONLINE for n in range(3)}


def test_only_the_creation_of_what_is_there_is_answered_later() -> None:
    kit = Kit(timing=Timing(answer=1000))
    kit.clock.advance(1)
    creation = kit.client().send(create("orders"))
    refusal = kit.client().send(create("no name"))
    trial = kit.client().send(evolve(create("more"), dry_run=True))
    kit.settle()
    assert creation.replies == []
    assert refusal.reply.error_code.code == Code.TOPIC_INVALID_NAME
    assert trial.reply.error_code.code == 0
    kit.clock.advance(1000)
    assert creation.reply.error_code.code == 0


def test_a_topic_whose_spu_says_nothing_is_not_answered_before_90_seconds() -> None:
    kit = Kit(timing=Timing(first_report=1000))
    call = kit.client().send(create("orders"))
    kit.clock.advance(89.9)
    assert call.replies == []
    kit.clock.advance(0.2)
    assert call.reply.error_code.code == 2005
    assert call.reply.error_message == "only 0 out of 1 provisioned"


def test_a_deleted_topic_is_gone_with_its_partitions() -> None:
    kit = Kit()
    kit.ask(create("orders", partitions=2))
    assert kit.ask(DeleteRequest(kind=TOPIC, key="orders")).error_code.code == 0
    assert kit.ask(ListRequest(kind=TOPIC)).objects == ()
    assert kit.ask(ListRequest(kind=PARTITION)).objects == ()
    assert ("orders", 0) not in kit.cluster.spus[5001].replicas


def test_a_missing_topic_can_not_be_deleted() -> None:
    reply = Kit().ask(DeleteRequest(kind=TOPIC, key="orders"))
    assert (reply.error_code.code, reply.error_message) == (2001, "not found")


def test_the_first_answer_of_a_watch_is_everything() -> None:
    kit = Kit(spus=2)
    call = kit.client().send(WatchRequest(kind=SPU))
    (reply,) = call.replies
    assert reply.epoch >= 1
    assert reply.changes == ()
    states = {one.spec.id: one.status.resolution for one in reply.all}
    assert states == {5001: SpuResolution.ONLINE, 5002: SpuResolution.ONLINE}


def test_the_topic_of_consumer_offsets_is_always_there() -> None:
    kit = Kit()
    (topic,) = kit.client().send(WatchRequest(kind=TOPIC)).reply.all
    (partition,) = kit.client().send(WatchRequest(kind=PARTITION)).reply.all
    assert (topic.name, topic.spec.system) == ("consumer-offset", True)
    assert partition.name == "consumer-offset-0"
    assert partition.status.resolution is PartitionResolution.ONLINE


def test_lists_show_system_topics_when_asked_for_them_and_then_nothing_else() -> None:
    kit = Kit()
    kit.ask(create("orders"))
    plain = kit.ask(ListRequest(kind=TOPIC))
    system = kit.ask(ListRequest(kind=TOPIC, system=True))
    assert [one.name for one in plain.objects] == ["orders"]
    assert [one.name for one in system.objects] == ["consumer-offset"]


def test_a_topic_watch_sees_every_state_of_a_new_topic() -> None:
    kit = Kit()
    call = kit.client().send(WatchRequest(kind=TOPIC))
    call.news()
    kit.ask(create("orders"))
    states = [
        (change.content.status.resolution, change.content.status.reason)
        for reply in call.news()
        for change in reply.changes
    ]
    assert states[:3] == [
        (TopicResolution.INIT, ""),
        (TopicResolution.PENDING, "waiting for live spus"),
        (TopicResolution.PROVISIONED, ""),
    ]
    assert set(states[3:]) <= {(TopicResolution.PROVISIONED, "")}


def test_a_partition_watch_sees_a_new_partition_offline_and_then_online() -> None:
    kit = Kit()
    call = kit.client().send(WatchRequest(kind=PARTITION))
    call.news()
    kit.ask(create("orders"))
    statuses = [change.content.status for reply in call.news() for change in reply.changes]
    first, *_, last = statuses
    assert (first.resolution, first.leader.spu, first.size) == (PartitionResolution.OFFLINE, -1, -2)
    assert (last.resolution, last.leader.leo, last.size) == (PartitionResolution.ONLINE, 0, 0)


class TestComplaints:
    """What clients do wrong and the SC does not mind is said loudly."""

    def test_a_version_that_was_not_offered(self) -> None:
        kit = Kit(release=FLUVIO_0_17)
        kit.ask(ListRequest(kind=SPU), version=19)
        (complaint,) = kit.complaints
        assert complaint.text == "List at version 19, which was not offered"

    def test_a_call_that_was_not_offered(self) -> None:
        kit = Kit(release=FLUVIO_0_17.without(sc=(1003,)))
        kit.ask(ListRequest(kind=SPU), version=18)
        assert [one.text for one in kit.complaints] == ["List, which was not offered"]

    def test_a_dry_run_that_is_none(self) -> None:
        kit = Kit()
        spec = TableFormatSpec(name="tf")
        kit.ask(CreateRequest(kind=TABLE_FORMAT, name="tf", spec=spec, dry_run=True))
        assert [one.text for one in kit.complaints] == ["TableFormat 'tf': no dry run, created"]

    def test_nothing_is_said_of_what_is_right(self) -> None:
        kit = Kit()
        kit.ask(create("t"))
        kit.ask(ListRequest(kind=TOPIC))
        assert kit.complaints == []
