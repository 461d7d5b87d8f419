"""What the SC of a remote cluster is told when it connects."""

from __future__ import annotations

from tests.testing.sc_kit import Kit
from txfluvio.wire.sc import (
    MIRROR,
    TOPIC,
    CreateRequest,
    HomeMirror,
    HomePartition,
    ListRequest,
    MirrorConnection,
    MirroringRequest,
    MirrorTopic,
    PairDetailFailure,
    PairSuccessful,
    RemoteCluster,
    TopicSpec,
)


def connect(remote: str) -> MirroringRequest:
    return MirroringRequest(remote_id=remote)


def mirrored() -> Kit:
    """A cluster with a remote, and a topic that is mirrored from it."""
    kit = Kit()
    kit.ask(CreateRequest(kind=MIRROR, name="edge", spec=RemoteCluster(id="edge")))
    home = HomeMirror(
        partitions=(HomePartition(remote_cluster="edge", remote_replica="readings-0"),)
    )
    spec = TopicSpec(replicas=MirrorTopic(config=home))
    kit.ask(CreateRequest(kind=TOPIC, name="readings", spec=spec))
    return kit


def test_a_remote_is_told_its_topics_and_who_leads_them_at_once() -> None:
    kit = mirrored()
    reply = kit.client().send(connect("edge")).reply
    (topic,) = reply.topics
    assert (topic.key, topic.spu_id, topic.spu_key) == ("readings", 5001, "custom-spu-5001")
    assert topic.spu_endpoint == "127.0.0.1:9001"
    assert reply.name == 'Mirror: MirrorSpec { mirror_type: Remote(Remote { id: "edge" }) }'


def test_and_again_every_5_seconds_without_any_change() -> None:
    kit = mirrored()
    call = kit.client().send(connect("edge"))
    kit.clock.advance(4.9)
    assert len(call.replies) == 1
    kit.clock.advance(0.1)
    assert len(call.replies) == 2


def test_the_mirror_is_seen_to_be_there() -> None:
    kit = mirrored()
    kit.clock.advance(1.5)
    kit.client().send(connect("edge"))
    (mirror,) = kit.ask(ListRequest(kind=MIRROR)).objects
    assert mirror.status.connection_status is MirrorConnection.ONLINE
    assert mirror.status.pairing_sc == PairSuccessful()
    assert mirror.status.last_seen == 1500


def test_and_to_be_gone() -> None:
    kit = mirrored()
    client = kit.client()
    call = client.send(connect("edge"))
    client.leave()
    (mirror,) = kit.ask(ListRequest(kind=MIRROR)).objects
    assert mirror.status.pairing_sc == PairDetailFailure(reason="connection closed")
    kit.clock.advance(5)
    assert len(call.replies) == 1


def test_a_remote_that_nobody_knows_is_told_nothing_and_the_connection_is_well() -> None:
    kit = mirrored()
    client = kit.client()
    call = client.send(connect("nobody"))
    assert len(kit.ask(ListRequest(kind=MIRROR), client).objects) == 1
    assert call.replies == []
