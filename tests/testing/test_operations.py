"""Create, Delete and List of everything that is no topic, and what filters find."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.sc_kit import Kit
from txfluvio.testing.sc.metadata import Timing
from txfluvio.testing.sc.policies import ReadOnly, Roles
from txfluvio.wire.sc import (
    CUSTOM_SPU,
    MIRROR,
    PARTITION,
    SMART_MODULE,
    SPU,
    SPU_GROUP,
    TABLE_FORMAT,
    TOPIC,
    AddPartition,
    Computed,
    CreateRequest,
    CustomSpuSpec,
    DeleteRequest,
    Endpoint,
    HomeCluster,
    IngressAddr,
    IngressPort,
    Kind,
    ListRequest,
    Metadata,
    Package,
    PackageMeta,
    RemoteCluster,
    SmartModuleSpec,
    SpuGroupResolution,
    SpuGroupSpec,
    SpuResolution,
    StatusResponse,
    TableFormatSpec,
    TopicSpec,
    UpdateRequest,
    Wasm,
    WasmFormat,
    WasmSummary,
)

PAYLOAD = b"not even wasm"


def said(reply: StatusResponse) -> tuple[str, int, str | None]:
    return reply.name, reply.error_code.code, reply.error_message


def listed(kit: Kit, kind: Kind, *filters: str, **options: Any) -> list[str]:
    found = kit.ask(ListRequest(kind=kind, filters=filters, **options))
    return sorted(one.name for one in found.objects)


def custom_spu(name: str, spu_id: int, *, dry_run: bool = False) -> CreateRequest:
    spec = CustomSpuSpec(
        id=spu_id,
        public_endpoint=IngressPort(port=9110, ingress=()),
        private_endpoint=Endpoint(port=9111, host="localhost"),
    )
    return CreateRequest(kind=CUSTOM_SPU, name=name, spec=spec, dry_run=dry_run)


def group(name: str, *, timeout: int | None = None, replicas: int = 1) -> CreateRequest:
    spec = SpuGroupSpec(replicas=replicas)
    return CreateRequest(kind=SPU_GROUP, name=name, spec=spec, timeout=timeout)


def module(name: str, package: Package | None = None, **options: Any) -> CreateRequest:
    meta = None if package is None else PackageMeta(package=package)
    spec = SmartModuleSpec(meta=meta, wasm=Wasm(payload=PAYLOAD))
    return CreateRequest(kind=SMART_MODULE, name=name, spec=spec, **options)


def table(name: str, **options: Any) -> CreateRequest:
    spec = TableFormatSpec(name="another name")
    return CreateRequest(kind=TABLE_FORMAT, name=name, spec=spec, **options)


def remote(name: str, **options: Any) -> CreateRequest:
    return CreateRequest(kind=MIRROR, name=name, spec=RemoteCluster(id=name), **options)


def home(name: str) -> CreateRequest:
    spec = HomeCluster(id=name, remote_id="edge", public_endpoint="home:9003")
    return CreateRequest(kind=MIRROR, name=name, spec=spec)


def topic(name: str) -> CreateRequest:
    return CreateRequest(kind=TOPIC, name=name, spec=TopicSpec(replicas=Computed(partitions=1)))


SM = Package(name="sm", group="g", version="0.1.0")


class TestCustomSpus:
    def test_a_registered_spu_waits_to_be_seen(self) -> None:
        kit = Kit()
        assert said(kit.ask(custom_spu("edge", 5900))) == ("edge", 0, None)
        (spu,) = kit.ask(ListRequest(kind=SPU, filters=("edge",))).objects
        assert (spu.spec.id, spu.status.resolution) == (5900, SpuResolution.INIT)

    def test_an_empty_host_of_an_endpoint_is_that_of_the_machine(self) -> None:
        kit = Kit()
        nowhere = Endpoint(port=9110, host="")
        spec = CustomSpuSpec(
            id=5900,
            public_endpoint=IngressPort(port=9110, ingress=(IngressAddr(hostname=""),)),
            private_endpoint=nowhere,
            public_endpoint_local=nowhere,
        )
        kit.ask(CreateRequest(kind=CUSTOM_SPU, name="edge", spec=spec))
        (spu,) = kit.ask(ListRequest(kind=SPU, filters=("edge",))).objects
        assert spu.spec.private_endpoint.host == "127.0.0.1"
        assert spu.spec.public_endpoint_local.host == "127.0.0.1"
        assert spu.spec.public_endpoint.ingress == (IngressAddr(hostname=""),)

    @pytest.mark.parametrize(("name", "spu_id"), [("", 0), ("!", -1)])
    def test_names_and_ids_are_not_looked_at(self, name: str, spu_id: int) -> None:
        assert said(Kit().ask(custom_spu(name, spu_id))) == (name, 0, None)

    @pytest.mark.parametrize(
        ("name", "spu_id"), [("custom-spu-5001", 7), ("other", 5001), ("custom-spu-5001", 5001)]
    )
    @pytest.mark.parametrize("dry_run", [False, True])
    def test_a_name_or_an_id_in_use_is_refused(self, name: str, spu_id: int, dry_run: bool) -> None:
        reply = Kit().ask(custom_spu(name, spu_id, dry_run=dry_run))
        assert said(reply) == (name, 1004, f"spu '{name}({spu_id})' already defined")

    def test_a_dry_run_is_answered_without_a_name(self) -> None:
        kit = Kit()
        assert said(kit.ask(custom_spu("edge", 5900, dry_run=True))) == ("", 0, None)
        assert listed(kit, CUSTOM_SPU) == ["custom-spu-5001"]

    @pytest.mark.parametrize("key", ["edge", 5900])
    def test_deleted_by_name_and_by_id(self, key: str | int) -> None:
        kit = Kit()
        kit.ask(custom_spu("edge", 5900))
        assert said(kit.ask(DeleteRequest(kind=CUSTOM_SPU, key=key))) == ("edge", 0, None)
        assert listed(kit, SPU) == ["custom-spu-5001"]

    @pytest.mark.parametrize("name", ["custom-spu-5001", "edge"])
    @pytest.mark.parametrize(
        ("up", "resolution"), [(True, SpuResolution.ONLINE), (False, SpuResolution.OFFLINE)]
    )
    def test_one_that_is_registered_again_is_known_to_run_or_not(
        self, name: str, up: bool, resolution: SpuResolution
    ) -> None:
        kit = Kit()
        if not up:
            kit.cluster.spu_down(5001)
        kit.ask(DeleteRequest(kind=CUSTOM_SPU, key=5001))
        kit.ask(custom_spu(name, 5001))
        kit.settle()
        (spu,) = kit.ask(ListRequest(kind=SPU)).objects
        assert (spu.name, spu.status.resolution) == (name, resolution)

    def test_one_that_never_came_stays_as_it_was_registered(self) -> None:
        kit = Kit()
        kit.ask(custom_spu("edge", 5900))
        kit.settle()
        found = {
            one.spec.id: one.status.resolution for one in kit.ask(ListRequest(kind=SPU)).objects
        }
        assert found[5900] is SpuResolution.INIT

    @pytest.mark.parametrize(("key", "name"), [("edge", "edge"), (5900, "spu-5900")])
    def test_the_missing_by_name_and_by_id(self, key: str | int, name: str) -> None:
        reply = Kit().ask(DeleteRequest(kind=CUSTOM_SPU, key=key))
        assert said(reply) == (name, 1003, "not found")


class TestSpuGroups:
    def test_a_group_is_kept_and_nothing_comes_of_it(self) -> None:
        kit = Kit()
        assert said(kit.ask(group("main", replicas=3))) == ("main", 0, None)
        kit.clock.advance(200)
        (found,) = kit.ask(ListRequest(kind=SPU_GROUP)).objects
        assert found.status.resolution is SpuGroupResolution.INIT
        assert listed(kit, SPU) == ["custom-spu-5001"]

    def test_a_group_is_overwritten(self) -> None:
        kit = Kit()
        kit.ask(group("main", replicas=1))
        assert said(kit.ask(group("main", replicas=2))) == ("main", 0, None)
        (found,) = kit.ask(ListRequest(kind=SPU_GROUP)).objects
        assert found.spec.replicas == 2

    def test_no_time_at_all_is_an_error_and_yet_the_group_is_there(self) -> None:
        kit = Kit()
        message = "store timed out: SpuGroup Update Spec: main loop: 1, timer: 0 ms"
        assert said(kit.ask(group("main", timeout=0))) == ("main", 1000, message)
        assert listed(kit, SPU_GROUP) == ["main"]

    def test_deleted_and_missing(self) -> None:
        kit = Kit()
        kit.ask(group("main"))
        assert said(kit.ask(DeleteRequest(kind=SPU_GROUP, key="main"))) == ("main", 0, None)
        missing = kit.ask(DeleteRequest(kind=SPU_GROUP, key="main"))
        assert said(missing) == ("main", 1003, "not found")


class TestSmartModules:
    def test_a_module_without_a_package_has_the_name_asked_for(self) -> None:
        assert said(Kit().ask(module("mine"))) == ("mine", 0, None)

    def test_a_package_gives_the_name_and_the_one_asked_for_is_ignored(self) -> None:
        kit = Kit()
        assert said(kit.ask(module("mine", SM))) == ("sm-g-0.1.0", 0, None)
        assert listed(kit, SMART_MODULE) == ["sm-g-0.1.0"]

    @pytest.mark.parametrize(("name", "group"), [("", "g"), ("sm", "")])
    def test_a_package_without_name_or_group_is_refused(self, name: str, group: str) -> None:
        package = Package(name=name, group=group, version="0.1.0")
        reply = Kit().ask(module("mine", package))
        assert said(reply) == ("mine", 6000, "invalid SmartModule package")

    def test_a_module_is_overwritten_and_dry_runs_create(self) -> None:
        kit = Kit()
        kit.ask(module("mine", dry_run=True))
        assert said(kit.ask(module("mine"))) == ("mine", 0, None)
        assert listed(kit, SMART_MODULE) == ["mine"]

    def test_a_slash_can_not_be_stored_but_turns_up_at_the_next_reload(self) -> None:
        kit = Kit()
        call = kit.client().send(module("a/b"))
        kit.clock.advance(9.9)
        assert call.replies == []
        kit.clock.advance(0.1)
        message = "store timed out: SmartModule Update Spec: a/b loop: 1, timer: 10000 ms"
        assert said(call.reply) == ("a/b", 6000, message)
        assert listed(kit, SMART_MODULE) == []
        kit.clock.advance(300)
        assert listed(kit, SMART_MODULE) == ["a/b"]
        missing = kit.ask(DeleteRequest(kind=SMART_MODULE, key="a/b"))
        assert missing.error_code.code == 6001

    @pytest.mark.parametrize("name", ["g/sm@0.1.0", "sm-g-0.1.0"])
    def test_deleted_by_full_name_or_key_and_answered_as_asked(self, name: str) -> None:
        kit = Kit()
        kit.ask(module("", SM))
        reply = kit.ask(DeleteRequest(kind=SMART_MODULE, key=name))
        assert said(reply) == (name, 0, None)
        assert listed(kit, SMART_MODULE) == []

    def test_a_packaged_module_is_not_deleted_by_its_plain_name(self) -> None:
        kit = Kit()
        kit.ask(module("", SM))
        reply = kit.ask(DeleteRequest(kind=SMART_MODULE, key="sm"))
        assert said(reply) == ("sm", 6001, "not found")
        assert reply.error_code.fields == {"name": "sm"}

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("sm", True),
            ("g/sm", True),
            ("g/sm@0.1.0", True),
            ("g/sm@0.1", True),
            ("sm-g-0.1.0", False),
            ("sm@0.1.0", False),
            ("s", False),
            ("h/sm", False),
            ("g/sm@0.2.0", False),
        ],
    )
    def test_a_package_is_found_by_its_qualified_name(self, name: str, found: bool) -> None:
        kit = Kit()
        kit.ask(module("", SM))
        assert bool(listed(kit, SMART_MODULE, name)) is found

    def test_a_summary_tells_the_length_in_place_of_the_bytes(self) -> None:
        kit = Kit()
        spec = SmartModuleSpec(wasm=Wasm(format=WasmFormat.TEXT, payload=PAYLOAD))
        kit.ask(CreateRequest(kind=SMART_MODULE, name="mine", spec=spec))
        (found,) = kit.ask(ListRequest(kind=SMART_MODULE, summary=True)).objects
        assert found.spec.summary == WasmSummary(wasm_length=len(PAYLOAD))
        assert found.spec.wasm == Wasm(format=WasmFormat.BINARY, payload=b"")

    def test_otherwise_the_summary_is_what_its_creator_sent(self) -> None:
        kit = Kit()
        spec = SmartModuleSpec(summary=WasmSummary(wasm_length=77), wasm=Wasm(payload=b"xx"))
        kit.ask(CreateRequest(kind=SMART_MODULE, name="e2", spec=spec))
        (found,) = kit.ask(ListRequest(kind=SMART_MODULE)).objects
        assert found.spec == spec


class TestTableFormats:
    def test_the_key_is_the_name_asked_for(self) -> None:
        kit = Kit()
        assert said(kit.ask(table(""))) == ("", 0, None)
        assert listed(kit, TABLE_FORMAT) == [""]

    def test_a_name_in_use_is_refused_and_dry_runs_create(self) -> None:
        kit = Kit()
        kit.ask(table("tf", dry_run=True))
        assert said(kit.ask(table("tf"))) == ("tf", 7002, "tableformat 'tf' already defined")

    def test_deleted_and_missing(self) -> None:
        kit = Kit()
        kit.ask(table("tf"))
        assert said(kit.ask(DeleteRequest(kind=TABLE_FORMAT, key="tf"))) == ("tf", 0, None)
        missing = kit.ask(DeleteRequest(kind=TABLE_FORMAT, key="tf"))
        assert said(missing) == ("tf", 7001, "not found")


class TestTheWaitForTheStore:
    @pytest.mark.parametrize(
        "request_", [custom_spu("a", 5900), module("a"), table("a"), remote("a"), group("a")]
    )
    def test_may_be_none_at_all_for_what_can_be_stored(self, request_: CreateRequest) -> None:
        kit = Kit(timing=Timing(store_wait=0))
        assert said(kit.ask(request_)) == ("a", 0, None)


class TestMirrors:
    def test_a_remote_is_registered_once(self) -> None:
        kit = Kit()
        assert said(kit.ask(remote("edge", dry_run=True))) == ("edge", 0, None)
        message = 'remote cluster "edge" already exists'
        assert said(kit.ask(remote("edge"))) == ("edge", 11002, message)

    def test_a_home_is_overwritten_even_by_a_remote(self) -> None:
        kit = Kit()
        kit.ask(home("h"))
        assert said(kit.ask(remote("h"))) == ("h", 0, None)
        (found,) = kit.ask(ListRequest(kind=MIRROR)).objects
        assert found.spec == RemoteCluster(id="h")

    def test_deleted_and_missing(self) -> None:
        kit = Kit()
        kit.ask(remote("edge"))
        assert said(kit.ask(DeleteRequest(kind=MIRROR, key="edge"))) == ("edge", 0, None)
        missing = kit.ask(DeleteRequest(kind=MIRROR, key="nope"))
        assert said(missing) == ("nope", 11001, 'remote cluster "nope" not found')

    def test_a_name_is_quoted_as_rust_does_it(self) -> None:
        name = 'a "b"\n\\\x07é e\u0301'
        missing = Kit().ask(DeleteRequest(kind=MIRROR, key=name))
        message = r'remote cluster "a \"b\"\n\\\u{7}é e\u{301}" not found'
        assert said(missing) == (name, 11001, message)


class TestNamesThatNoFileCanHave:
    """The SC keeps each object in a file, in one directory for each kind."""

    @pytest.mark.parametrize(
        ("request_", "label", "code"),
        [
            (custom_spu("a/b", 5900), "SPU", 1000),
            (group("a/b"), "SpuGroup", 1000),
            (module("a/b"), "SmartModule", 6000),
            (table("a/b"), "TableFormat", 7000),
        ],
    )
    def test_are_waited_for_in_vain_but_turn_up_at_the_next_reload(
        self, request_: CreateRequest, label: str, code: int
    ) -> None:
        kit = Kit()
        call = kit.client().send(request_)
        wait = 120 if label == "SpuGroup" else 10
        kit.clock.advance(wait - 0.1)
        assert call.replies == []
        kit.clock.advance(0.1)
        message = f"store timed out: {label} Update Spec: a/b loop: 1, timer: {wait}000 ms"
        assert said(call.reply) == ("a/b", code, message)
        assert listed(kit, request_.kind, *(("a/b",) if label == "SPU" else ())) == []
        kit.clock.advance(300)
        assert "a/b" in listed(kit, request_.kind)

    def test_of_mirrors_end_the_connection(self) -> None:
        kit = Kit()
        client = kit.client()
        call = client.send(remote("a/b"))
        kit.clock.advance(9.9)
        assert not client.closed
        kit.clock.advance(0.1)
        assert client.closed
        assert call.replies == []

    @pytest.mark.parametrize("name", ["w" * 251, "日" * 84, "a\0b", "a/", "/a", "a//b", "../a"])
    def test_are_long_or_lead_elsewhere(self, name: str) -> None:
        kit = Kit()
        call = kit.client().send(table(name))
        kit.settle()
        assert call.replies == []

    @pytest.mark.parametrize("name", ["w" * 250, "日" * 83, ".", "..", "./a", ".//a", "./", "a\\b"])
    def test_are_no_others(self, name: str) -> None:
        assert said(Kit().ask(table(name))) == (name, 0, None)


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ((), ["old-orders-2", "orders", "t1"]),
            (("orders",), ["old-orders-2", "orders"]),
            (("t1", "old"), ["old-orders-2", "t1"]),
            (("",), ["old-orders-2", "orders", "t1"]),
            (("ORDERS",), []),
            (("o*",), []),
        ],
    )
    def test_topics_contain_one_of_the_texts(
        self, filters: tuple[str, ...], found: list[str]
    ) -> None:
        kit = Kit()
        for name in ("orders", "old-orders-2", "t1"):
            kit.ask(topic(name))
        assert listed(kit, TOPIC, *filters) == found

    def test_partitions_and_mirrors_are_not_filtered(self) -> None:
        kit = Kit()
        kit.ask(topic("orders"))
        kit.ask(remote("edge"))
        assert listed(kit, PARTITION, "nothing") == ["orders-0"]
        assert listed(kit, MIRROR, "nothing") == ["edge"]

    def test_partitions_of_system_topics_are_asked_for_like_the_topics(self) -> None:
        kit = Kit()
        kit.ask(topic("orders"))
        assert listed(kit, PARTITION, system=True) == ["consumer-offset-0"]

    def test_spus_groups_and_table_formats_contain_the_text(self) -> None:
        kit = Kit(spus=2)
        kit.ask(group("main"))
        kit.ask(table("tf"))
        assert listed(kit, SPU, "5002") == ["custom-spu-5002"]
        assert listed(kit, CUSTOM_SPU, "5002") == ["custom-spu-5002"]
        assert listed(kit, SPU_GROUP, "x") == []
        assert listed(kit, TABLE_FORMAT, "t") == ["tf"]

    def test_the_order_is_arbitrary_but_the_same_until_something_changes(self) -> None:
        kit = Kit()
        for number in range(8):
            kit.ask(table(f"tf{number}"))

        def order() -> list[str]:
            return [one.name for one in kit.ask(ListRequest(kind=TABLE_FORMAT)).objects]

        first = order()
        assert first != sorted(first)
        assert order() == first


NOBODY = Roles(scopes={}, rules={"Root": {"Topic": ["All"]}})


class TestWithoutAnyScope:
    @pytest.mark.parametrize(
        "request_", [topic("n1"), module("n1"), table("n1"), group("n1"), custom_spu("n1", 1)]
    )
    def test_creating_is_denied(self, request_: CreateRequest) -> None:
        assert said(Kit(policy=NOBODY).ask(request_)) == ("n1", 13, "permission denied")

    def test_a_topic_in_use_is_denied_too_but_a_table_format_is_in_use(self) -> None:
        policy = Roles(
            scopes={"me": ["Root"]}, rules={"Root": {"Topic": ["All"], "TableFormat": ["All"]}}
        )
        kit = Kit(policy=policy)
        kit.ask(topic("n1"), kit.client("me"))
        kit.ask(table("n1"), kit.client("me"))
        assert kit.ask(topic("n1")).error_code.code == 13
        assert kit.ask(table("n1")).error_code.code == 7002

    @pytest.mark.parametrize("package", [SM, Package(name="", group="g", version="0.1.0")])
    def test_a_package_is_not_looked_at_and_gives_no_name(self, package: Package) -> None:
        reply = Kit(policy=NOBODY).ask(module("mine", package))
        assert said(reply) == ("mine", 13, "permission denied")

    @pytest.mark.parametrize("kind", [TOPIC, PARTITION, SPU, SPU_GROUP, SMART_MODULE, TABLE_FORMAT])
    def test_lists_are_empty(self, kind: Kind) -> None:
        assert listed(Kit(policy=NOBODY), kind) == []

    def test_mirrors_are_created_and_listed(self) -> None:
        kit = Kit(policy=NOBODY)
        assert said(kit.ask(remote("edge"))) == ("edge", 0, None)
        assert listed(kit, MIRROR) == ["edge"]

    def test_deleting_and_updating_is_allowed(self) -> None:
        policy = Roles(scopes={"me": ["Maker"]}, rules={"Maker": {"Topic": ["Create"]}})
        kit = Kit(policy=policy)
        kit.ask(topic("n1"), kit.client("me"))
        action = AddPartition(count=1)
        assert kit.ask(UpdateRequest(kind=TOPIC, key="n1", action=action)).error_code.code == 0
        assert kit.ask(DeleteRequest(kind=TOPIC, key="n1")).error_code.code == 0


class TestReadOnly:
    @pytest.mark.parametrize("request_", [topic("n1"), module("n1"), table("n1"), group("n1")])
    def test_creating_is_denied(self, request_: CreateRequest) -> None:
        assert said(Kit(policy=ReadOnly()).ask(request_)) == ("n1", 13, "permission denied")

    def test_custom_spus_come_and_go(self) -> None:
        kit = Kit(policy=ReadOnly())
        assert said(kit.ask(custom_spu("edge", 5900))) == ("edge", 0, None)
        assert said(kit.ask(DeleteRequest(kind=CUSTOM_SPU, key="edge"))) == ("edge", 0, None)

    @pytest.mark.parametrize("request_", [module("n1"), table("n1"), group("n1")])
    def test_what_it_should_not_have_can_be_deleted(self, request_: CreateRequest) -> None:
        kit = Kit()
        kit.ask(request_)
        kit.cluster.policy = ReadOnly()
        reply = kit.ask(DeleteRequest(kind=request_.kind, key="n1"))
        assert said(reply) == ("n1", 0, None)
        assert listed(kit, request_.kind) == []

    @pytest.mark.parametrize("request_", [remote("m"), DeleteRequest(kind=MIRROR, key="m")])
    def test_mirrors_do_not(self, request_: CreateRequest | DeleteRequest) -> None:
        reply = Kit(policy=ReadOnly()).ask(request_)
        assert said(reply) == ("m", 2, "read-only error")
        assert reply.error_code.fields == {"text": "unable to change read-only configuration"}

    def read_only_with(self, name: str) -> Kit:
        kit = Kit()
        kit.ask(topic(name))
        kit.cluster.operations.policy = ReadOnly()
        return kit

    def test_partitions_are_added_with_success_and_without_effect(self) -> None:
        kit = self.read_only_with("ro1")
        action = AddPartition(count=1)
        reply = kit.ask(UpdateRequest(kind=TOPIC, key="ro1", action=action))
        assert said(reply) == ("ro1", 0, None)
        assert listed(kit, PARTITION) == ["ro1-0"]

    def test_a_topic_is_not_deleted_which_takes_10_seconds(self) -> None:
        kit = self.read_only_with("ro1")
        call = kit.client().send(DeleteRequest(kind=TOPIC, key="ro1"))
        kit.clock.advance(10)
        message = 'store timed out: Topic for "ro1", timer: 10 secs'
        assert said(call.reply) == ("ro1", 2000, message)
        assert listed(kit, TOPIC) == ["ro1"]


def test_custom_spus_are_the_spus_without_their_type() -> None:
    kit = Kit()
    (spu,) = kit.ask(ListRequest(kind=SPU)).objects
    (custom,) = kit.ask(ListRequest(kind=CUSTOM_SPU)).objects
    assert isinstance(custom, Metadata)
    assert isinstance(custom.spec, CustomSpuSpec)
    assert custom.spec.public_endpoint == spu.spec.public_endpoint
    assert custom.status == spu.status
