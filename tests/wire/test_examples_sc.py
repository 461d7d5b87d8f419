"""Worked examples of the SC's messages: a frame, the value it stands for, and back."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from txfluvio.errors import ProtocolError
from txfluvio.wire import (
    NO_ERROR,
    SC_APIS,
    ApiVersionRange,
    ApiVersionsRequest,
    ApiVersionsResponse,
    Code,
    ErrorCode,
    Frames,
    Message,
    Request,
    decode_request_header,
    encode_reply,
    encode_request,
    error,
    reply_correlation_id,
)
from txfluvio.wire.sc import (
    CUSTOM_SPU,
    PARTITION,
    SMART_MODULE,
    SPU,
    TOPIC,
    AddPartition,
    Assigned,
    Change,
    ChangeMessage,
    CleanupPolicy,
    Computed,
    CreateRequest,
    Deduplication,
    DeleteRequest,
    Endpoint,
    HomeMirror,
    IngressAddr,
    IngressPort,
    ListRequest,
    ListResponse,
    Metadata,
    MirrorTopic,
    Package,
    PackageMeta,
    Param,
    PartitionMap,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    ReplicaStatus,
    SmartModuleSpec,
    SmartModuleStatus,
    SpuResolution,
    SpuSpec,
    SpuStatus,
    SpuType,
    StatusResponse,
    TopicCompression,
    TopicResolution,
    TopicSpec,
    TopicStatus,
    TopicStorage,
    UpdateRequest,
    Wasm,
    WasmSummary,
    WatchRequest,
    WatchResponse,
)
from txfluvio.wire.spu import Duration

COMPUTED = TopicSpec(replicas=Computed(partitions=1))
ONLINE = PartitionStatus(
    resolution=PartitionResolution.ONLINE,
    leader=ReplicaStatus(spu=5001, hw=0, leo=0),
    size=0,
)


@attrs.frozen(kw_only=True)
class Example:
    """A request or a reply, and its bytes."""

    message: Message
    hex: str
    correlation_id: int
    version: int = 19
    client_id: str = "fluvio"

    @property
    def frame(self) -> bytes:
        return bytes.fromhex(self.hex)

    @property
    def payload(self) -> bytes:
        (payload,) = Frames().feed(self.frame)
        return payload


REQUESTS = {
    "ApiVersions": Example(
        correlation_id=1,
        version=2,
        message=ApiVersionsRequest(
            client_version="0.50.2", client_os="linux", client_arch="x86_64"
        ),
        hex="""
            0000002700120002000000010006666c7576696f0006302e35302e3200056c69
            6e757800067838365f3634
        """,
    ),
    "create a topic": Example(
        correlation_id=4,
        message=CreateRequest(kind=TOPIC, name="my-topic", spec=COMPUTED),
        hex="""
            0000003603e90013000000040006666c7576696f0005546f7069630000001b00
            086d792d746f7069630000010000000100000001000000040000
        """,
    ),
    "create a topic with every optional section": Example(
        correlation_id=6,
        message=CreateRequest(
            kind=TOPIC,
            name="rich",
            dry_run=True,
            timeout=5000,
            spec=TopicSpec(
                replicas=Assigned(
                    partitions=(
                        PartitionMap(id=0, replicas=(5001, 5002)),
                        PartitionMap(id=1, replicas=(5002, 5001)),
                    )
                ),
                cleanup_policy=CleanupPolicy(time_in_seconds=3600),
                storage=TopicStorage(segment_size=1_000_000, max_partition_size=10_000_000),
                compression_type=TopicCompression.GZIP,
                deduplication=Deduplication(
                    count=100, age=Duration(seconds=60), uses="g/dedup@0.1.0"
                ),
            ),
        ),
        hex="""
            0000008c03e90013000000060006666c7576696f0005546f7069630000007100
            047269636801010000138800000000020000000000000002000013890000138a
            0000000001000000020000138a0000138900010000000e100101000f42400100
            000000009896800101000000000000006401000000000000003c00000000000d
            672f646564757040302e312e30000000
        """,
    ),
    "list topics by a filter": Example(
        correlation_id=7,
        message=ListRequest(kind=TOPIC, filters=("my-topic",)),
        hex="""
            0000002b03eb0013000000070006666c7576696f0005546f7069630000001000
            00000100086d792d746f7069630000
        """,
    ),
    "watch partitions": Example(
        correlation_id=2,
        client_id="dummy",
        message=WatchRequest(kind=PARTITION),
        hex="""
            0000002703ec001300000002000564756d6d790009506172746974696f6e0000
            0009000000000000000000
        """,
    ),
    "delete a topic": Example(
        correlation_id=8,
        message=DeleteRequest(kind=TOPIC, key="my-topic"),
        hex="""
            0000002603ea0013000000080006666c7576696f0005546f7069630000000b00
            086d792d746f70696300
        """,
    ),
    "delete a custom SPU by its id": Example(
        correlation_id=10,
        message=DeleteRequest(kind=CUSTOM_SPU, key=5002),
        hex="""
            0000002803ea00130000000a0006666c7576696f0009437573746f6d53707500
            000009000249640000138a00
        """,
    ),
    "delete a topic at version 10": Example(
        correlation_id=8,
        version=10,
        message=DeleteRequest(kind=TOPIC, key="my-topic"),
        hex="0000002103ea000a000000080006666c7576696f 0005546f706963 00086d792d746f706963",
    ),
    "create a topic at version 9": Example(
        correlation_id=9,
        version=9,
        message=CreateRequest(
            kind=TOPIC,
            name="t1",
            spec=TopicSpec(replicas=Computed(partitions=1, replication_factor=1)),
        ),
        hex="""
            0000002403e90009000000090006666c7576696f 00027431 00 00 00
            01 00000001 00000001 00 00 00 04
        """,
    ),
    "create a SmartModule at version 9": Example(
        correlation_id=9,
        version=9,
        message=CreateRequest(
            kind=SMART_MODULE,
            name="m",
            spec=SmartModuleSpec(wasm=Wasm(payload=b"wasm"), parameters=("key",)),
        ),
        hex="""
            0000002c03e90009000000090006666c7576696f 00016d 00 00 04
            00 00 00 00 000000047761736d 01 00000001 00036b6579
        """,
    ),
    "update a SmartModule": Example(
        correlation_id=11,
        message=UpdateRequest(kind=SMART_MODULE, key="m", action="now"),
        hex="""
            0000002903ee00130000000b0006666c7576696f 000b536d6172744d6f64756c65
            00000008 00016d 00036e6f77
        """,
    ),
    "update a custom SPU": Example(
        correlation_id=11,
        message=UpdateRequest(kind=CUSTOM_SPU, key=5002, action=""),
        hex="""
            0000002903ee00130000000b0006666c7576696f 0009437573746f6d537075
            0000000a 00024964 0000138a 0000
        """,
    ),
    "add partitions to a topic": Example(
        correlation_id=11,
        message=UpdateRequest(kind=TOPIC, key="my-topic", action=AddPartition(count=2)),
        hex="""
            0000002a03ee00130000000b0006666c7576696f0005546f7069630000000f00
            086d792d746f7069630000000002
        """,
    ),
}

REPLIES = {
    "ApiVersions": Example(
        correlation_id=1,
        version=2,
        message=ApiVersionsResponse(
            api_keys=(
                ApiVersionRange(api_key=1001, min_version=9, max_version=19),
                ApiVersionRange(api_key=1002, min_version=1, max_version=19),
                ApiVersionRange(api_key=1003, min_version=15, max_version=19),
                ApiVersionRange(api_key=1004, min_version=15, max_version=19),
                ApiVersionRange(api_key=1005, min_version=14, max_version=19),
                ApiVersionRange(api_key=1006, min_version=1, max_version=19),
            ),
            platform_version="0.18.2-dev-1",
        ),
        hex="""
            0000003c0000000100000000000603e90009001303ea0001001303eb000f0013
            03ec000f001303ed000e001303ee00010013000c302e31382e322d6465762d31
        """,
    ),
    "success": Example(
        correlation_id=4,
        message=StatusResponse(name="my-topic"),
        hex="000000110000000400086d792d746f706963000000",
    ),
    "the topic exists": Example(
        correlation_id=5,
        message=StatusResponse(
            name="my-topic",
            error_code=error(Code.TOPIC_ALREADY_EXISTS),
            error_message="Topic 'my-topic' already exists",
        ),
        hex="""
            000000320000000500086d792d746f70696307d201001f546f70696320276d79
            2d746f7069632720616c726561647920657869737473
        """,
    ),
    "a list of topics": Example(
        correlation_id=7,
        message=ListResponse(
            kind=TOPIC,
            objects=(
                Metadata(
                    name="my-topic",
                    spec=COMPUTED,
                    status=TopicStatus(
                        resolution=TopicResolution.PROVISIONED, replica_map={0: (5001,)}
                    ),
                ),
            ),
        ),
        hex="""
            0000003f000000070005546f706963000000300000000100086d792d746f7069
            6301000000010000000100000004000004000100000000000000010000138900
            000000
        """,
    ),
    "all partitions": Example(
        correlation_id=2,
        message=WatchResponse(
            kind=PARTITION,
            epoch=1,
            all=(
                Metadata(
                    name="my-topic-0",
                    spec=PartitionSpec(leader=5001, replicas=(5001,)),
                    status=ONLINE,
                ),
            ),
        ),
        hex="""
            0000006f000000020009506172746974696f6e0000005c000000000000000100
            00000000000001000a6d792d746f7069632d3000001389000000010000138900
            0004000000010000138900000000000000000000000000000000000000000000
            00000000000000000000000000000000000000
        """,
    ),
    "one partition new, one gone": Example(
        correlation_id=2,
        message=WatchResponse(
            kind=PARTITION,
            epoch=5,
            changes=(
                ChangeMessage(
                    header=Change.UPDATE,
                    content=Metadata(
                        name="new-0",
                        spec=PartitionSpec(leader=5001, replicas=(5001,)),
                        status=PartitionStatus(),
                    ),
                ),
                ChangeMessage(
                    header=Change.DELETE,
                    content=Metadata(
                        name="my-topic-0",
                        spec=PartitionSpec(leader=5001, replicas=(5001,)),
                        status=PartitionStatus(
                            resolution=PartitionResolution.ONLINE,
                            leader=ReplicaStatus(spu=5001, hw=3, leo=3),
                            size=207,
                        ),
                    ),
                ),
            ),
        ),
        hex="""
            000000b8000000020009506172746974696f6e000000a5000000000000000500
            0000020000056e65772d3000001389000000010000138900000400000000ffff
            ffffffffffffffffffffffffffffffffffff0000000000000000ffffffffffff
            fffe00000000000000000001000a6d792d746f7069632d300000138900000001
            0000138900000400000001000013890000000000000003000000000000000300
            0000000000000000000000000000cf00000000000000000000000000
        """,
    ),
    "all SPUs": Example(
        correlation_id=1,
        message=WatchResponse(
            kind=SPU,
            epoch=1,
            all=(
                Metadata(
                    name="custom-spu-5001",
                    spec=SpuSpec(
                        id=5001,
                        spu_type=SpuType.CUSTOM,
                        public_endpoint=IngressPort(
                            port=9010, ingress=(IngressAddr(hostname="localhost"),)
                        ),
                        private_endpoint=Endpoint(port=9011, host="localhost"),
                    ),
                    status=SpuStatus(resolution=SpuResolution.ONLINE),
                ),
            ),
        ),
        hex="""
            000000580000000100035350550000004b000000000000000100000000000000
            01000f637573746f6d2d7370752d353030310000138901233200000001010009
            6c6f63616c686f73740000233300096c6f63616c686f737400000000
        """,
    ),
    "no such topic": Example(
        correlation_id=8,
        message=StatusResponse(
            name="my-topic", error_code=error(Code.TOPIC_NOT_FOUND), error_message="not found"
        ),
        hex="0000001c0000000800086d792d746f70696307d10100096e6f7420666f756e64",
    ),
    "a system topic is deleted by force only": Example(
        correlation_id=9,
        message=StatusResponse(
            name="consumer-offset",
            error_code=error(
                Code.SYSTEM_SPEC_DELETION_ATTEMPT, kind="topic", name="consumer-offset"
            ),
        ),
        hex="""
            0000003000000009000f636f6e73756d65722d6f66667365742ee10005746f70
            6963000f636f6e73756d65722d6f666673657400
        """,
    ),
    "SmartModules in summary, whose status is no bytes at all": Example(
        correlation_id=12,
        message=ListResponse(
            kind=SMART_MODULE,
            objects=(
                Metadata(
                    name="sm-g-0.1.0",
                    spec=SmartModuleSpec(
                        meta=PackageMeta(
                            package=Package(name="sm", group="g", version="0.1.0"),
                            params={"regex": Param(optional=True)},
                        ),
                        summary=WasmSummary(wasm_length=1234),
                        wasm=Wasm(payload=b""),
                    ),
                    status=SmartModuleStatus(),
                ),
            ),
        ),
        hex="""
            000000540000000c000b536d6172744d6f64756c650000003f00000001000a73
            6d2d672d302e312e30010002736d0001670005302e312e300005302e312e3000
            000000000100057265676578000101000004d20000000000
        """,
    ),
}


@pytest.mark.parametrize("example", REQUESTS.values(), ids=list(REQUESTS))
def test_request(example: Example) -> None:
    header, body = decode_request_header(example.payload)
    assert (header.api_version, header.correlation_id) == (example.version, example.correlation_id)
    assert header.client_id == example.client_id
    api = SC_APIS[header.api_key]
    assert api.request.decode(example.payload, example.version, body) == example.message
    assert isinstance(example.message, Request)
    again = encode_request(
        example.message,
        version=example.version,
        correlation_id=example.correlation_id,
        client_id=example.client_id,
    )
    assert again == example.frame


@pytest.mark.parametrize("example", REPLIES.values(), ids=list(REPLIES))
def test_reply(example: Example) -> None:
    assert reply_correlation_id(example.payload) == example.correlation_id
    decoded = type(example.message).decode(example.payload, example.version, 4)
    assert decoded == example.message
    again = encode_reply(
        example.message, version=example.version, correlation_id=example.correlation_id
    )
    assert again == example.frame


BODIES: dict[str, tuple[Message, str]] = {
    "list topics by a filter": (
        ListRequest(kind=TOPIC, filters=("test",)),
        "0005546f7069630000000c000000010004746573740000",
    ),
    "list topics by two filters, in summary": (
        ListRequest(kind=TOPIC, filters=("x", "y"), summary=True),
        "0005546f7069630000000c000000020001780001790100",
    ),
    "list partitions": (
        ListRequest(kind=PARTITION),
        "0009506172746974696f6e00000006000000000000",
    ),
    "create a system topic with retention and sizes": (
        CreateRequest(
            kind=TOPIC,
            name="tt",
            spec=TopicSpec(
                replicas=Computed(partitions=3, replication_factor=2),
                cleanup_policy=CleanupPolicy(time_in_seconds=3600),
                storage=TopicStorage(segment_size=1_000_000, max_partition_size=10_000_000),
                system=True,
            ),
        ),
        "0005546f7069630000002800027474000001000000030000000200010000000e1001"
        "01000f4240010000000000989680040001",
    ),
    "create a topic with assigned replicas": (
        CreateRequest(
            kind=TOPIC,
            name="as",
            spec=TopicSpec(
                replicas=Assigned(
                    partitions=(
                        PartitionMap(id=0, replicas=(5001, 5002)),
                        PartitionMap(id=1, replicas=(5002, 5001)),
                    )
                )
            ),
        ),
        "0005546f7069630000003200026173000000000000020000000000000002000013890000138a00"
        "00000001000000020000138a00001389000000040000",
    ),
    "create a mirror topic at home": (
        CreateRequest(
            kind=TOPIC,
            name="mir",
            spec=TopicSpec(replicas=MirrorTopic(config=HomeMirror(partitions=()))),
        ),
        "0005546f7069630000001300036d69720000020100000000000000040000",
    ),
    "create a SmartModule": (
        CreateRequest(
            kind=SMART_MODULE, name="mysm", spec=SmartModuleSpec(wasm=Wasm(payload=b"\0asm"))
        ),
        "000b536d6172744d6f64756c650000001300046d79736d0000000000000000040061736d",
    ),
    "delete a SmartModule": (
        DeleteRequest(kind=SMART_MODULE, key="mysm"),
        "000b536d6172744d6f64756c650000000700046d79736d00",
    ),
    "watch topics": (WatchRequest(kind=TOPIC), "0005546f70696300000009000000000000000000"),
    "watch topics in summary": (
        WatchRequest(kind=TOPIC, summary=True),
        "0005546f70696300000009000000000000000001",
    ),
}


@pytest.mark.parametrize(("message", "hex"), BODIES.values(), ids=list(BODIES))
def test_body_as_the_official_client_sends_it(message: Message, hex: str) -> None:
    body = bytes.fromhex(hex)
    assert type(message).decode(body, 19) == message
    assert message.encode(19) == body


STATUSES: dict[str, tuple[StatusResponse, str]] = {
    "a system topic is deleted": (
        StatusResponse(
            name="consumer-offset",
            error_code=error(
                Code.SYSTEM_SPEC_DELETION_ATTEMPT, kind="topic", name="consumer-offset"
            ),
        ),
        "000f636f6e73756d65722d6f6666736574 2ee1 0005746f706963"
        "000f636f6e73756d65722d6f6666736574 00",
    ),
    "a SmartModule is missing": (
        StatusResponse(
            name="g2/sm@0.1.0",
            error_code=error(Code.SMART_MODULE_NOT_FOUND, name="g2/sm@0.1.0"),
            error_message="not found",
        ),
        "000b67322f736d40302e312e30 1771 000b67322f736d40302e312e30 01 00096e6f7420666f756e64",
    ),
    "dry run of a custom SPU: no name": (StatusResponse(name=""), "0000 0000 00"),
    "a mirror is missing": (
        StatusResponse(
            name="nope",
            error_code=ErrorCode(11001),
            error_message='remote cluster "nope" not found',
        ),
        "00046e6f7065 2af9 01 001f72656d6f746520636c757374657220226e6f706522206e6f7420666f756e64",
    ),
}


@pytest.mark.parametrize(("status", "hex"), STATUSES.values(), ids=list(STATUSES))
def test_status_as_a_running_sc_sent_it(status: StatusResponse, hex: str) -> None:
    body = bytes.fromhex(hex)
    assert StatusResponse.decode(body, 19) == status
    assert status.encode(19) == body


def test_a_module_in_full_says_so_by_its_length() -> None:
    body = bytes.fromhex(
        "000b536d6172744d6f64756c65 00000016 00000001 0005706c61696e 00 01 00000008 00 00000000"
    )
    (module,) = ListResponse.decode(body, 19).objects
    assert module.spec == SmartModuleSpec(
        summary=WasmSummary(wasm_length=8), wasm=Wasm(payload=b"")
    )


def test_a_partition_whose_log_begins_at_398_says_0() -> None:
    body = bytes.fromhex(
        "0009506172746974696f6e 00000069 0000000000000001 00000000 00000001"
        "0004626f2d30 0000138a 00000001 0000138a 01 00 0000000a 01 01 00001000 01 00000000000f4240"
        "04 00 00 00"
        "01 0000138a 0000000000000191 0000000000000191 00000000 00000000 000000000000022b 00"
        "0000000000000000"
    )
    (partition,) = WatchResponse.decode(body, 19).all
    assert partition.spec.cleanup_policy == CleanupPolicy(time_in_seconds=10)
    assert partition.spec.storage == TopicStorage(segment_size=4096, max_partition_size=1_000_000)
    assert (partition.status.leader.hw, partition.status.leader.leo) == (401, 401)
    assert (partition.status.size, partition.status.base_offset) == (555, 0)
    assert WatchResponse.decode(body, 19).encode(19) == body


def test_computed_replicas() -> None:
    spec = Computed(partitions=2, replication_factor=3, ignore_rack_assignment=True)
    body = CreateRequest(kind=TOPIC, name="", spec=TopicSpec(replicas=spec)).encode(19)
    assert body == bytes.fromhex(
        "0005546f706963 00000013 0000 00 00 01 00000002 00000003 01 00 00 04 00 00"
    )


@pytest.mark.parametrize(
    ("version", "hex"),
    [
        (19, "01 00000001 00000001 00 00 00 04 00 00"),
        (13, "01 00000001 00000001 00 00 00 04 00 00"),
        (12, "01 00000001 00000001 00 00 00 04 00"),
        (11, "01 00000001 00000001 00 00 00 04"),
    ],
)
def test_a_topic_has_less_to_say_at_older_versions(version: int, hex: str) -> None:
    body = CreateRequest(kind=TOPIC, name="t", spec=COMPUTED).encode(version)
    assert body == bytes.fromhex("0005546f706963") + _sized(
        bytes.fromhex("000174 00 00") + bytes.fromhex(hex)
    )


def _sized(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


class TestEnvelope:
    """The label and the length in front of a body."""

    BODY = CreateRequest(kind=TOPIC, name="t", spec=COMPUTED).encode(19)

    def decode(self, data: bytes) -> Any:
        return CreateRequest.decode(data, 19)

    def refusal(self, data: bytes) -> ProtocolError:
        with pytest.raises(ProtocolError) as caught:
            self.decode(data)
        return caught.value

    def test_bytes_behind_the_body_are_ignored(self) -> None:
        assert self.decode(self.BODY + b"more") == self.decode(self.BODY)

    def test_bytes_left_over_in_the_body_are_ignored(self) -> None:
        label, rest = self.BODY[:7], self.BODY[11:]
        assert self.decode(label + _sized(rest + b"more")) == self.decode(self.BODY)

    def test_a_body_does_not_reach_beyond_its_length(self) -> None:
        label, rest = self.BODY[:7], self.BODY[11:]
        error = self.refusal(label + _sized(rest[:-1]) + rest[-1:])
        assert (error.message, error.field) == ("CreateRequest", "spec.system")

    def test_a_body_longer_than_the_frame_is_refused(self) -> None:
        error = self.refusal(self.BODY[:7] + b"\xff\xff\xff\xff" + self.BODY[11:])
        assert (error.field, error.position) == ("body_length", 11)

    def test_an_unknown_label_is_refused_by_name(self) -> None:
        error = self.refusal(b"\x00\x03Lid" + _sized(b""))
        assert (error.field, error.position) == ("kind", 0)
        assert "'Lid'" in str(error)

    def test_what_has_no_update_can_not_be_updated(self) -> None:
        with pytest.raises(ProtocolError, match="SPU"):
            UpdateRequest.decode(b"\x00\x03SPU" + _sized(b"\x00\x00\x00"), 19)


def test_no_error_is_success() -> None:
    assert StatusResponse.decode(bytes.fromhex("0000 0000 00"), 19).error_code is NO_ERROR
