"""Watches: what is told at once, what after changes, and in which form."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.testing.sc_kit import Kit
from txfluvio.testing.releases import FLUVIO_0_11_11, FLUVIO_0_17, Release
from txfluvio.wire.sc import (
    PARTITION,
    SMART_MODULE,
    SPU,
    SPU_GROUP,
    TABLE_FORMAT,
    TOPIC,
    Change,
    Computed,
    CreateRequest,
    DeleteRequest,
    Kind,
    ListRequest,
    Package,
    PackageMeta,
    SmartModuleSpec,
    TableFormatSpec,
    TopicSpec,
    Visibility,
    Wasm,
    WatchRequest,
    WatchResponse,
)
from txfluvio.wire.versions import ApiVersionsRequest


def topic(name: str) -> CreateRequest:
    return CreateRequest(kind=TOPIC, name=name, spec=TopicSpec(replicas=Computed(partitions=1)))


def table(name: str) -> CreateRequest:
    return CreateRequest(kind=TABLE_FORMAT, name=name, spec=TableFormatSpec(name=name))


def module(name: str) -> CreateRequest:
    spec = SmartModuleSpec(wasm=Wasm(payload=b"four"))
    return CreateRequest(kind=SMART_MODULE, name=name, spec=spec)


def changes(replies: Iterable[WatchResponse]) -> list[tuple[Change, str]]:
    return [(one.header, one.content.name) for reply in replies for one in reply.changes]


def test_an_empty_store_is_told_at_once_with_both_lists_empty() -> None:
    reply = Kit().client().send(WatchRequest(kind=TABLE_FORMAT)).reply
    assert (reply.changes, reply.all) == ((), ())
    assert reply.epoch >= 1


@pytest.mark.parametrize("epoch", [0, -1, 1, 10**9])
def test_the_epoch_that_a_client_sends_is_ignored(epoch: int) -> None:
    reply = Kit().client().send(WatchRequest(kind=SPU, epoch=epoch)).reply
    assert [one.name for one in reply.all] == ["custom-spu-5001"]


@pytest.mark.parametrize("kind", [TOPIC, PARTITION, SPU, SPU_GROUP, SMART_MODULE, TABLE_FORMAT])
def test_everything_is_told_again_every_300_seconds_changed_or_not(kind: Kind) -> None:
    kit = Kit()
    watch = kit.client().send(WatchRequest(kind=kind))
    (first,) = watch.news()
    kit.clock.advance(299)
    assert watch.news() == []
    kit.clock.advance(1)
    (again,) = watch.news()
    assert again.changes == ()
    assert {one.name for one in again.all} == {one.name for one in first.all}
    assert again.epoch > first.epoch


def test_each_of_several_watches_of_one_kind_is_told() -> None:
    kit = Kit()
    client = kit.client()
    watches = [client.send(WatchRequest(kind=TABLE_FORMAT)) for _ in range(3)]
    kit.ask(table("tf"))
    for watch in watches:
        assert changes(watch.replies) == [(Change.UPDATE, "tf")]


def test_what_is_deleted_is_told_whole() -> None:
    kit = Kit()
    kit.ask(table("tf"))
    watch = kit.client().send(WatchRequest(kind=TABLE_FORMAT))
    watch.news()
    kit.ask(DeleteRequest(kind=TABLE_FORMAT, key="tf"))
    (reply,) = watch.news()
    (change,) = reply.changes
    assert change.header is Change.DELETE
    assert change.content.spec == TableFormatSpec(name="tf")


def test_changes_of_one_moment_are_told_at_once_updates_first() -> None:
    kit = Kit()
    kit.ask(table("m"))
    watch = kit.client().send(WatchRequest(kind=TABLE_FORMAT))
    watch.news()
    store = kit.cluster.metadata.formats
    item = store.get("m")
    assert item is not None
    for _ in range(3):
        store.delete("m")
        store.put(item)
    kit.settle()
    (reply,) = watch.news()
    assert changes([reply]) == [(Change.UPDATE, "m"), *[(Change.DELETE, "m")] * 3]


def test_an_overwritten_smartmodule_is_told_though_nothing_changed() -> None:
    kit = Kit()
    kit.ask(module("sm"))
    watch = kit.client().send(WatchRequest(kind=SMART_MODULE))
    watch.news()
    kit.ask(module("sm"))
    assert changes(watch.news()) == [(Change.UPDATE, "sm")]


def test_a_summary_leaves_out_the_bytes_but_not_of_what_is_deleted() -> None:
    kit = Kit()
    kit.ask(module("one"))
    watch = kit.client().send(WatchRequest(kind=SMART_MODULE, summary=True))
    kit.ask(module("two"))
    kit.ask(DeleteRequest(kind=SMART_MODULE, key="one"))
    first, update, delete = watch.replies
    assert first.all[0].spec.wasm.payload == b""
    assert first.all[0].spec.summary.wasm_length == 4
    assert update.changes[0].content.spec.wasm.payload == b""
    assert delete.changes[0].content.spec.wasm.payload == b"four"


def test_pushes_and_replies_of_one_connection_do_not_wait_for_each_other() -> None:
    kit = Kit()
    client = kit.client()
    watch = client.send(WatchRequest(kind=TABLE_FORMAT))
    client.send(
        CreateRequest(
            kind=TOPIC,
            name="never",
            spec=TopicSpec(replicas=Computed(partitions=1, replication_factor=9)),
        )
    )
    kit.settle()
    watch.news()
    kit.ask(table("tf"))
    assert changes(watch.news()) == [(Change.UPDATE, "tf")]


def test_correlation_ids_may_be_anything_and_may_repeat() -> None:
    kit = Kit()
    client = kit.client()
    client.send(WatchRequest(kind=SPU), correlation_id=-7)
    client.send(ListRequest(kind=TOPIC), correlation_id=-7)
    client.send(ListRequest(kind=TOPIC), correlation_id=0)
    ids = [int.from_bytes(payload[:4], "big", signed=True) for payload in client.received()]
    assert ids == [-7, -7, 0]


def test_a_client_that_does_not_read_is_told_all_changes_as_one() -> None:
    kit = Kit()
    client = kit.client()
    watch = client.send(WatchRequest(kind=TABLE_FORMAT))
    watch.news()
    client.protocol.pauseProducing()
    for number in range(5):
        kit.ask(table(f"tf{number}"))
    assert watch.news() == []
    client.protocol.resumeProducing()
    (reply,) = watch.news()
    assert sorted(changes([reply])) == [(Change.UPDATE, f"tf{number}") for number in range(5)]


def test_nothing_is_done_for_a_client_that_is_gone() -> None:
    kit = Kit()
    client = kit.client()
    client.send(WatchRequest(kind=TABLE_FORMAT))
    client.leave()
    kit.ask(table("tf"))
    assert len(client.received()) == 1


class TestVersions:
    @pytest.mark.parametrize("version", [11, 12, 13, 14, 15, 16, 17, 18, 19])
    def test_answers_have_the_version_of_the_request(self, version: int) -> None:
        kit = Kit()
        kit.ask(topic("orders"))
        for kind in (TOPIC, PARTITION, SPU):
            reply = kit.ask(ListRequest(kind=kind), version=version)
            assert len(reply.objects) in (1, 2)

    @pytest.mark.parametrize("version", [20, 100, 32767])
    def test_versions_from_the_future_are_like_the_last(self, version: int) -> None:
        kit = Kit()
        assert kit.ask(ListRequest(kind=SPU), version=version) == kit.ask(ListRequest(kind=SPU))

    def test_a_visibility_is_kept_for_those_who_can_be_told(self) -> None:
        kit = Kit()
        package = Package(name="sm", group="g", version="1.0.0", visibility=Visibility.PUBLIC)
        spec = SmartModuleSpec(meta=PackageMeta(package=package), wasm=Wasm(payload=b""))
        kit.ask(CreateRequest(kind=SMART_MODULE, name="", spec=spec))
        (old,) = kit.ask(ListRequest(kind=SMART_MODULE), version=18).objects
        (new,) = kit.ask(ListRequest(kind=SMART_MODULE), version=19).objects
        assert old.spec.meta.package.visibility is Visibility.PRIVATE
        assert new.spec.meta.package.visibility is Visibility.PUBLIC

    @pytest.mark.parametrize("version", [1, 2, 3, 100])
    def test_versions_are_told_at_any_version_and_any_time(self, version: int) -> None:
        kit = Kit()
        client = kit.client()
        kit.ask(ListRequest(kind=SPU), client)
        reply = kit.ask(ApiVersionsRequest(client_version="1.2.3-x+y"), client, version=version)
        assert reply.platform_version == "0.18.2-dev-1"

    @pytest.mark.parametrize(
        ("release", "platform", "newest"),
        [(FLUVIO_0_11_11, "0.11.11", 16), (FLUVIO_0_17, "0.17.0", 18)],
    )
    def test_an_older_release_says_so_and_still_understands_the_newest(
        self, release: Release, platform: str, newest: int
    ) -> None:
        kit = Kit(release=release)
        reply = kit.ask(ApiVersionsRequest(client_version="1.0.0"), version=2)
        assert reply.platform_version == platform
        assert {one.max_version for one in reply.api_keys} == {newest}
        assert len(kit.ask(ListRequest(kind=SPU), version=19).objects) == 1

    def test_keys_can_be_left_out_of_what_is_told(self) -> None:
        kit = Kit(release=FLUVIO_0_17.without(sc=(1005,)))
        reply = kit.ask(ApiVersionsRequest(client_version="1.0.0"), version=2)
        assert 1005 not in {one.api_key for one in reply.api_keys}
