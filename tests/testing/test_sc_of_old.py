"""Admin calls before version 11, which had another form: an SC still takes what can be taken."""

from __future__ import annotations

import pytest

from tests.testing.sc_kit import Kit
from tests.testing.test_sc import create
from txfluvio.wire.sc import (
    CUSTOM_SPU,
    MIRROR,
    SPU,
    TABLE_FORMAT,
    TOPIC,
    AddPartition,
    Assigned,
    Computed,
    CreateRequest,
    DeleteRequest,
    Kind,
    ListRequest,
    PartitionMap,
    RemoteCluster,
    TableFormatSpec,
    TopicCompression,
    TopicSpec,
    UpdateRequest,
    WatchRequest,
)


def topics(kit: Kit) -> dict[str, TopicSpec]:
    return {one.name: one.spec for one in kit.ask(ListRequest(kind=TOPIC)).objects}


def assigned(partitions: int) -> CreateRequest:
    maps = tuple(PartitionMap(id=number, replicas=(5001,)) for number in range(partitions))
    return CreateRequest(
        kind=TOPIC, name="orders", spec=TopicSpec(replicas=Assigned(partitions=maps))
    )


@pytest.mark.parametrize("version", [7, 9, 10])
def test_a_topic_is_created(version: int) -> None:
    kit = Kit()
    reply = kit.ask(create("orders", partitions=2), version=version)
    assert (reply.name, reply.error_code.code) == ("orders", 0)
    assert topics(kit)["orders"] == create("orders", partitions=2).spec


@pytest.mark.parametrize("version", [9, 10])
def test_a_table_format_is_created(version: int) -> None:
    kit = Kit()
    request = CreateRequest(kind=TABLE_FORMAT, name="one", spec=TableFormatSpec(name="one"))
    assert kit.ask(request, version=version).error_code.code == 0


@pytest.mark.parametrize("version", [1, 10])
def test_a_topic_is_deleted(version: int) -> None:
    kit = Kit()
    kit.ask(create("orders"))
    reply = kit.ask(DeleteRequest(kind=TOPIC, key="orders"), version=version)
    assert (reply.name, reply.error_code.code) == ("orders", 0)
    assert topics(kit) == {}


@pytest.mark.parametrize("version", [1, 10])
def test_a_topic_is_updated_in_the_form_of_now(version: int) -> None:
    kit = Kit()
    kit.ask(create("orders"))
    request = UpdateRequest(kind=TOPIC, key="orders", action=AddPartition(count=1))
    assert kit.ask(request, version=version).error_code.code == 0
    assert topics(kit)["orders"].replicas == Computed(partitions=2)


def test_topics_are_listed() -> None:
    kit = Kit()
    kit.ask(create("orders"))
    (told,) = kit.ask(ListRequest(kind=TOPIC), version=10).objects
    assert told.name == "orders"


def test_topics_are_watched() -> None:
    kit = Kit()
    watch = kit.client().send(WatchRequest(kind=TOPIC), version=10)
    kit.ask(create("orders"))
    names = {change.content.name for reply in watch.replies for change in reply.changes}
    assert names == {"orders"}


def test_what_came_into_the_middle_of_a_topic_since_is_taken_for_something_else() -> None:
    kit = Kit()
    assert kit.ask(assigned(1), version=10).error_code.code == 0
    assert topics(kit)["orders"].compression_type is TopicCompression.NONE


@pytest.mark.parametrize(
    ("request_", "version"), [(assigned(2), 10), (create("orders"), 6), (create("orders"), 0)]
)
def test_what_is_not_understood_any_more_ends_the_connection(
    request_: CreateRequest, version: int
) -> None:
    kit = Kit()
    client = kit.client()
    assert client.send(request_, version=version).replies == []
    assert client.closed
    assert topics(kit) == {}


def test_a_connection_that_watches_is_left_half_alive_by_it() -> None:
    client = Kit().client()
    client.send(WatchRequest(kind=TOPIC))
    assert client.send(assigned(2), version=10).replies == []
    assert not client.closed


@pytest.mark.parametrize("kind", [MIRROR, SPU])
def test_what_could_not_be_deleted_then_ends_even_a_connection_that_watches(kind: Kind) -> None:
    client = Kit().client()
    client.send(WatchRequest(kind=TOPIC))
    client.send(DeleteRequest(kind=kind, key="one"), version=10)
    assert client.closed


def test_a_mirror_could_not_be_created_then() -> None:
    client = Kit().client()
    client.send(CreateRequest(kind=MIRROR, name="edge", spec=RemoteCluster(id="edge")), version=10)
    assert client.closed


def test_a_custom_spu_that_is_not_there_is_not_found_by_its_number() -> None:
    reply = Kit().ask(DeleteRequest(kind=CUSTOM_SPU, key=77), version=10)
    assert reply.error_code.code == 1003
