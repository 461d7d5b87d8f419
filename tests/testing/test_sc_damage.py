"""Damaged requests to the SC: answered, or the end of their connection, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs

from tests.testing.sc_kit import Kit
from txfluvio.wire.headers import encode_request
from txfluvio.wire.sc import (
    CUSTOM_SPU,
    MIRROR,
    SMART_MODULE,
    SPU,
    SPU_GROUP,
    TABLE_FORMAT,
    TOPIC,
    AddMirror,
    AddPartition,
    Assigned,
    CleanupPolicy,
    Computed,
    CreateRequest,
    CustomSpuSpec,
    Deduplication,
    DeleteRequest,
    Endpoint,
    HomeMirror,
    HomePartition,
    IngressPort,
    ListRequest,
    MirroringRequest,
    MirrorTopic,
    Package,
    PackageMeta,
    PartitionMap,
    RemoteCluster,
    SmartModuleSpec,
    SpuGroupSpec,
    TableColumn,
    TableFormatSpec,
    TopicSpec,
    TopicStorage,
    UpdateRequest,
    Wasm,
    WatchRequest,
)
from txfluvio.wire.schema import MAX_STRING, Request, evolve
from txfluvio.wire.versions import ApiVersionsRequest

PACKAGE = Package(name="sm", group="g", version="0.1.0")
LONGEST = "x" * MAX_STRING


def topic(replicas: Any, **settings: Any) -> CreateRequest:
    return CreateRequest(kind=TOPIC, name="t", spec=TopicSpec(replicas=replicas, **settings))


REQUESTS: list[Request[Any]] = [
    ApiVersionsRequest(client_version="0.50.2", client_os="linux", client_arch="x86_64"),
    topic(
        Computed(partitions=3),
        cleanup_policy=CleanupPolicy(time_in_seconds=60),
        storage=TopicStorage(segment_size=2048, max_partition_size=8192),
        deduplication=Deduplication(count=3, uses="g/sm@0.1.0", with_params={"a": "b"}),
    ),
    topic(Assigned(partitions=(PartitionMap(id=0, replicas=(5001,)),))),
    topic(
        MirrorTopic(
            config=HomeMirror(partitions=(HomePartition(remote_cluster="e", remote_replica="r"),))
        )
    ),
    CreateRequest(
        kind=CUSTOM_SPU,
        name="edge",
        spec=CustomSpuSpec(
            id=7,
            public_endpoint=IngressPort(port=1, ingress=()),
            private_endpoint=Endpoint(port=2, host="h"),
        ),
    ),
    CreateRequest(kind=SPU_GROUP, name="g", timeout=5, spec=SpuGroupSpec(replicas=1)),
    CreateRequest(
        kind=SMART_MODULE,
        name="",
        spec=SmartModuleSpec(meta=PackageMeta(package=PACKAGE), wasm=Wasm(payload=b"x")),
    ),
    CreateRequest(
        kind=TABLE_FORMAT,
        name="tf",
        spec=TableFormatSpec(name="tf", columns=(TableColumn(key_path="a"),)),
    ),
    CreateRequest(kind=MIRROR, name="edge", spec=RemoteCluster(id="edge")),
    DeleteRequest(kind=TOPIC, key="consumer-offset"),
    DeleteRequest(kind=CUSTOM_SPU, key=5001),
    ListRequest(kind=SPU, filters=("a", "b")),
    ListRequest(kind=SMART_MODULE, filters=("g/sm@0.1.0",), summary=True),
    WatchRequest(kind=SPU),
    MirroringRequest(remote_id="edge"),
    UpdateRequest(kind=TOPIC, key="consumer-offset", action=AddPartition(count=1)),
    UpdateRequest(kind=TOPIC, key="t", action=AddMirror(remote_cluster="edge")),
]


def sent(kit: Kit, data: bytes) -> None:
    """Send bytes as one frame; whatever becomes of them, nothing may go wrong inside the fake."""
    client = kit.client()
    with capturedLogs() as logs:
        client.send_bytes(len(data).to_bytes(4, "big") + data)
        kit.clock.pump([0, 1, 10, 100])
        kit.ask(WatchRequest(kind=TOPIC))
        kit.ask(ListRequest(kind=SMART_MODULE))
    assert [event for event in logs if event["log_level"] >= LogLevel.error] == []


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.sampled_from(range(len(REQUESTS))),
    version=st.sampled_from([0, 1, 11, 13, 15, 19, 100]),
    cut=st.just(0) | st.integers(1, 60),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3),
)
def test_damaged_requests_do_no_damage(
    which: int, version: int, cut: int, flips: list[tuple[int, int]]
) -> None:
    request = REQUESTS[which]
    data = bytearray(encode_request(request, version=19, correlation_id=1, client_id="c")[4:])
    data[2:4] = version.to_bytes(2, "big")
    for position, flip in flips:
        data[position % len(data)] ^= flip
    sent(Kit(), bytes(data[: len(data) - cut % len(data)]))


@pytest.mark.parametrize(
    "request_",
    [
        CreateRequest(kind=TOPIC, name=LONGEST, spec=TopicSpec(replicas=Computed(partitions=1))),
        topic(Computed(partitions=1), deduplication=Deduplication(count=1, uses=LONGEST)),
        topic(
            Computed(partitions=1),
            deduplication=Deduplication(count=1, uses="g/n@" + LONGEST[4:]),
        ),
        CreateRequest(kind=TABLE_FORMAT, name=LONGEST, spec=TableFormatSpec(name=LONGEST)),
        CreateRequest(
            kind=SMART_MODULE,
            name="",
            spec=SmartModuleSpec(
                meta=PackageMeta(package=Package(name=LONGEST, group=LONGEST, version="1.0.0")),
                wasm=Wasm(payload=b""),
            ),
        ),
        DeleteRequest(kind=MIRROR, key=LONGEST),
        DeleteRequest(kind=SMART_MODULE, key=LONGEST),
    ],
)
def test_the_longest_texts_do_no_damage(request_: Request[Any]) -> None:
    kit = Kit()
    data = encode_request(request_, version=19, correlation_id=1, client_id="c")
    sent(kit, data[4:])
    sent(kit, data[4:])


def test_more_partitions_than_can_be_told_are_not_placed() -> None:
    kit = Kit()
    call = kit.client().send(topic(Computed(partitions=65_536)))
    kit.clock.pump([0, 90])
    assert call.reply.error_code.code == 2005


def test_more_partitions_than_the_cluster_may_have_are_not_placed() -> None:
    kit = Kit(max_partitions=10)
    assert kit.ask(topic(Computed(partitions=9))).error_code.code == 0
    kit.settle()
    call = kit.client().send(evolve(topic(Computed(partitions=2)), name="more"))
    kit.clock.pump([0, 90])
    assert call.reply.error_code.code == 2005
    assert len(kit.cluster.metadata.partitions) <= 10
