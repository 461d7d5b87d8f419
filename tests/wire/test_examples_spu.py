"""Worked examples of an SPU's messages: a frame, the value it stands for, and back."""

from __future__ import annotations

import attrs
import pytest

from txfluvio.wire import (
    SPU_APIS,
    ApiVersionRange,
    ApiVersionsRequest,
    ApiVersionsResponse,
    Code,
    Frames,
    Message,
    RecordSet,
    ReplicaKey,
    Request,
    decode_request_header,
    encode_reply,
    encode_request,
    error,
    reply_correlation_id,
)
from txfluvio.wire.schema import Reader, Writer, wire_type
from txfluvio.wire.spu import (
    AdHoc,
    ConsumerOffset,
    ConsumerOffsetFilter,
    DeleteConsumerOffsetRequest,
    DeleteConsumerOffsetResponse,
    Duration,
    ExtraParams,
    FetchConsumerOffsetsRequest,
    FetchConsumerOffsetsResponse,
    FetchOffsetPartition,
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopic,
    FetchOffsetTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    FilterKind,
    IsolationLevel,
    Lookback,
    OffsetUpdate,
    OffsetUpdateStatus,
    PartitionProduceData,
    PartitionProduceResponse,
    PartitionResponse,
    Predefined,
    ProduceRequest,
    ProduceResponse,
    SmartModuleInvocation,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicFetchResponse,
    TopicProduceData,
    TopicProduceResponse,
    UpdateConsumerOffsetRequest,
    UpdateConsumerOffsetResponse,
    UpdateOffsetsRequest,
    UpdateOffsetsResponse,
)

BATCH = """
    00 00 00 00 00 00 00 00 00 00 00 4c ff ff ff ff 02 3b 73 17 ef 00 00 00 00 00 01 00 00 01 8b cf
    e5 68 00 00 00 01 8b cf e5 68 05 ff ff ff ff ff ff ff ff ff ff ff ff ff ff 00 00 00 02 16 00 00
    00 00 0a 68 65 6c 6c 6f 00 1c 00 0a 02 01 04 6b 31 0a 77 6f 72 6c 64 00
"""
"""``hello``, and 5 ms later ``world`` with the key ``k1``, as a producer writes them."""

STORED = "00 00 00 00 00 00 00 28" + BATCH.strip().removeprefix("00 00 00 00 00 00 00 00")
"""The same batch, numbered 40 by the SPU."""


@attrs.frozen(kw_only=True)
class Example:
    """A request or a reply, and its bytes."""

    message: Message
    hex: str
    correlation_id: int
    version: int = 25

    @property
    def frame(self) -> bytes:
        return bytes.fromhex(self.hex)

    @property
    def payload(self) -> bytes:
        (payload,) = Frames().feed(self.frame)
        return payload


def records(hex: str) -> RecordSet:
    return RecordSet(bytes.fromhex(hex))


EVENTS_0 = ReplicaKey(topic="events", partition=0)

REQUESTS = {
    "ApiVersions": Example(
        correlation_id=1,
        version=2,
        message=ApiVersionsRequest(
            client_version="0.18.2", client_os="linux", client_arch="x86_64"
        ),
        hex="""
            00 00 00 29
            00 12 00 02 00 00 00 01 00 08 74 78 66 6c 75 76 69 6f
            00 06 30 2e 31 38 2e 32
            00 05 6c 69 6e 75 78
            00 06 78 38 36 5f 36 34
        """,
    ),
    "ApiVersions at version 0": Example(
        correlation_id=1,
        version=0,
        message=ApiVersionsRequest(),
        hex="00 00 00 12 00 12 00 00 00 00 00 01 00 08 74 78 66 6c 75 76 69 6f",
    ),
    "Produce": Example(
        correlation_id=2,
        message=ProduceRequest(
            timeout_ms=1500,
            topics=(
                TopicProduceData(
                    name="events",
                    partitions=(PartitionProduceData(partition_index=0, records=records(BATCH)),),
                ),
            ),
        ),
        hex=f"""
            00 00 00 8d
            00 00 00 19 00 00 00 02 00 08 74 78 66 6c 75 76 69 6f
            00
            00 01
            00 00 05 dc
            00 00 00 01 00 06 65 76 65 6e 74 73
            00 00 00 01 00 00 00 00
            00 00 00 58 {BATCH}
            00 00 00 00
        """,
    ),
    "FetchOffsets": Example(
        correlation_id=3,
        message=FetchOffsetsRequest(
            topics=(
                FetchOffsetTopic(
                    name="events", partitions=(FetchOffsetPartition(partition_index=0),)
                ),
            )
        ),
        hex="""
            00 00 00 26
            03 ea 00 19 00 00 00 03 00 08 74 78 66 6c 75 76 69 6f
            00 00 00 01 00 06 65 76 65 6e 74 73
            00 00 00 01 00 00 00 00
        """,
    ),
    "Fetch": Example(
        correlation_id=4,
        message=FetchRequest(
            max_bytes=1_048_890,
            isolation_level=IsolationLevel.READ_COMMITTED,
            topics=(
                FetchTopic(
                    name="events",
                    fetch_partitions=(
                        FetchPartition(partition_index=0, fetch_offset=40, max_bytes=1_048_890),
                    ),
                ),
            ),
        ),
        hex="""
            00 00 00 4f
            00 01 00 19 00 00 00 04 00 08 74 78 66 6c 75 76 69 6f
            00 00 00 00
            00 00 00 00
            00 10 01 3a
            01
            00 00 00 01 00 06 65 76 65 6e 74 73
            00 00 00 01
            00 00 00 00
            ff ff ff ff
            00 00 00 00 00 00 00 28
            ff ff ff ff ff ff ff ff
            00 10 01 3a
            00 00 00 00
        """,
    ),
    "StreamFetch": Example(
        correlation_id=7,
        message=StreamFetchRequest(
            topic="events",
            partition=0,
            fetch_offset=40,
            max_bytes=1_048_890,
            consumer_id="worker-1",
        ),
        hex="""
            00 00 00 3a
            03 eb 00 19 00 00 00 07 00 08 74 78 66 6c 75 76 69 6f
            00 06 65 76 65 6e 74 73
            00 00 00 00
            00 00 00 00 00 00 00 28
            00 10 01 3a
            00
            00 00 00 00
            01 00 08 77 6f 72 6b 65 72 2d 31
        """,
    ),
    "UpdateOffsets": Example(
        correlation_id=8,
        version=0,
        message=UpdateOffsetsRequest(offsets=(OffsetUpdate(offset=42, session_id=1),)),
        hex="""
            00 00 00 22
            03 ed 00 00 00 00 00 08 00 08 74 78 66 6c 75 76 69 6f
            00 00 00 01
            00 00 00 00 00 00 00 2a
            00 00 00 01
        """,
    ),
    "UpdateConsumerOffset": Example(
        correlation_id=9,
        message=UpdateConsumerOffsetRequest(offset=41, session_id=1),
        hex="""
            00 00 00 1e
            03 ee 00 19 00 00 00 09 00 08 74 78 66 6c 75 76 69 6f
            00 00 00 00 00 00 00 29
            00 00 00 01
        """,
    ),
    "FetchConsumerOffsets": Example(
        correlation_id=11,
        message=FetchConsumerOffsetsRequest(
            filter_opts=ConsumerOffsetFilter(replica_id=EVENTS_0, consumer_id="worker-1")
        ),
        hex="""
            00 00 00 2b
            03 f0 00 19 00 00 00 0b 00 08 74 78 66 6c 75 76 69 6f
            01
            01 00 06 65 76 65 6e 74 73 00 00 00 00
            01 00 08 77 6f 72 6b 65 72 2d 31
        """,
    ),
    "DeleteConsumerOffset": Example(
        correlation_id=10,
        message=DeleteConsumerOffsetRequest(replica_id=EVENTS_0, consumer_id="worker-1"),
        hex="""
            00 00 00 28
            03 ef 00 19 00 00 00 0a 00 08 74 78 66 6c 75 76 69 6f
            00 06 65 76 65 6e 74 73
            00 00 00 00
            00 08 77 6f 72 6b 65 72 2d 31
        """,
    ),
}

REPLIES = {
    "ApiVersions": Example(
        correlation_id=1,
        version=2,
        message=ApiVersionsResponse(
            api_keys=(
                ApiVersionRange(api_key=0, min_version=0, max_version=25),
                ApiVersionRange(api_key=1, min_version=0, max_version=25),
                ApiVersionRange(api_key=1002, min_version=25, max_version=25),
                ApiVersionRange(api_key=1003, min_version=0, max_version=25),
                ApiVersionRange(api_key=1005, min_version=0, max_version=0),
            ),
            platform_version="0.0.0",
        ),
        hex="""
            00 00 00 2f
            00 00 00 01
            00 00
            00 00 00 05
            00 00 00 00 00 19
            00 01 00 00 00 19
            03 ea 00 19 00 19
            03 eb 00 00 00 19
            03 ed 00 00 00 00
            00 05 30 2e 30 2e 30
        """,
    ),
    "Produce": Example(
        correlation_id=2,
        message=ProduceResponse(
            responses=(
                TopicProduceResponse(
                    name="events",
                    partitions=(PartitionProduceResponse(partition_index=0, base_offset=40),),
                ),
            )
        ),
        hex="""
            00 00 00 36
            00 00 00 02
            00 00 00 01 00 06 65 76 65 6e 74 73
            00 00 00 01
            00 00 00 00
            00 00
            00 00 00 00 00 00 00 28
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00 00 00 00
        """,
    ),
    "FetchOffsets": Example(
        correlation_id=3,
        message=FetchOffsetsResponse(
            topics=(
                FetchOffsetTopicResponse(
                    name="events",
                    partitions=(
                        FetchOffsetPartitionResponse(
                            partition_index=0, start_offset=0, last_stable_offset=42
                        ),
                    ),
                ),
            )
        ),
        hex="""
            00 00 00 2a
            00 00 00 03
            00 00 00 01 00 06 65 76 65 6e 74 73
            00 00 00 01
            00 00
            00 00 00 00
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 2a
        """,
    ),
    "Fetch": Example(
        correlation_id=4,
        message=FetchResponse(
            topics=(
                TopicFetchResponse(
                    name="events",
                    partitions=(
                        PartitionResponse(
                            partition_index=0, high_watermark=42, records=records(STORED)
                        ),
                    ),
                ),
            )
        ),
        hex=f"""
            00 00 00 99
            00 00 00 04
            00 00 00 00
            00 00
            00 00 00 00
            00 00 00 01 00 06 65 76 65 6e 74 73
            00 00 00 01
            00 00 00 00
            00 00
            00 00 00 00 00 00 00 2a
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00
            00 00 00 58 {STORED}
        """,
    ),
    "a push of stream 1": Example(
        correlation_id=7,
        message=StreamFetchResponse(
            topic="events",
            stream_id=1,
            partition=PartitionResponse(
                partition_index=0, high_watermark=42, records=records(STORED)
            ),
        ),
        hex=f"""
            00 00 00 8b
            00 00 00 07
            00 06 65 76 65 6e 74 73
            00 00 00 01
            00 00 00 00
            00 00
            00 00 00 00 00 00 00 2a
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00
            00 00 00 58 {STORED}
        """,
    ),
    "a push of an offset that is gone": Example(
        correlation_id=7,
        message=StreamFetchResponse(
            topic="events",
            stream_id=1,
            partition=PartitionResponse(
                partition_index=0,
                error_code=error(Code.OFFSET_EVICTED, offset=5, next_available=100),
            ),
        ),
        hex="""
            00 00 00 43
            00 00 00 07
            00 06 65 76 65 6e 74 73
            00 00 00 01
            00 00 00 00
            00 47 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 64
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00
            00 00 00 00
        """,
    ),
    "a push of an SPU that does not lead": Example(
        correlation_id=7,
        message=StreamFetchResponse(
            topic="events",
            stream_id=0,
            partition=PartitionResponse(
                partition_index=0, error_code=error(Code.NOT_LEADER_FOR_PARTITION)
            ),
        ),
        hex="""
            00 00 00 33
            00 00 00 07
            00 06 65 76 65 6e 74 73
            00 00 00 00
            00 00 00 00
            00 06
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00
            00 00 00 00
        """,
    ),
    "UpdateOffsets": Example(
        correlation_id=8,
        version=0,
        message=UpdateOffsetsResponse(status=(OffsetUpdateStatus(session_id=1),)),
        hex="00 00 00 0e 00 00 00 08 00 00 00 01 00 00 00 01 00 00",
    ),
    "UpdateOffsets of a stream that is not there": Example(
        correlation_id=8,
        version=0,
        message=UpdateOffsetsResponse(
            status=(OffsetUpdateStatus(session_id=9, error=error(Code.FETCH_SESSION_NOT_FOUND)),)
        ),
        hex="00 00 00 0e 00 00 00 08 00 00 00 01 00 00 00 09 0b ba",
    ),
    "UpdateConsumerOffset": Example(
        correlation_id=9,
        message=UpdateConsumerOffsetResponse(offset=41),
        hex="00 00 00 0e 00 00 00 09 00 00 00 00 00 00 00 29 00 00",
    ),
    "FetchConsumerOffsets": Example(
        correlation_id=11,
        message=FetchConsumerOffsetsResponse(
            consumers=(
                ConsumerOffset(
                    consumer_id="worker-1",
                    replica_id=EVENTS_0,
                    offset=41,
                    modified_time=1_700_000_123,
                ),
            )
        ),
        hex="""
            00 00 00 30
            00 00 00 0b
            00 00
            00 00 00 01
            00 08 77 6f 72 6b 65 72 2d 31
            00 06 65 76 65 6e 74 73 00 00 00 00
            00 00 00 00 00 00 00 29
            00 00 00 00 65 53 f1 7b
        """,
    ),
    "DeleteConsumerOffset": Example(
        correlation_id=10,
        message=DeleteConsumerOffsetResponse(),
        hex="00 00 00 06 00 00 00 0a 00 00",
    ),
}


@pytest.mark.parametrize("example", REQUESTS.values(), ids=list(REQUESTS))
def test_request(example: Example) -> None:
    header, body = decode_request_header(example.payload)
    assert (header.api_version, header.correlation_id) == (example.version, example.correlation_id)
    assert header.client_id == "txfluvio"
    api = SPU_APIS[header.api_key]
    assert api.request.decode(example.payload, example.version, body) == example.message
    assert isinstance(example.message, Request)
    again = encode_request(
        example.message,
        version=example.version,
        correlation_id=example.correlation_id,
        client_id="txfluvio",
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


FILTER = AdHoc(payload=bytes.fromhex("deadbeef"))

BODIES: dict[str, tuple[Message, int, str]] = {
    "Produce of nothing, through a module": (
        ProduceRequest(
            transactional_id="t_id",
            isolation=-1,
            timeout_ms=1000,
            topics=(),
            smartmodules=(
                SmartModuleInvocation(wasm=FILTER, kind=FilterKind(), name="adhoc-test"),
            ),
        ),
        25,
        """
            01 00 04 74 5f 69 64 ff ff 00 00 03 e8 00 00 00 00
            00 00 00 01 01 00 00 00 04 de ad be ef 00 00
            00 00 01 00 0a 61 64 68 6f 63 2d 74 65 73 74
        """,
    ),
    "StreamFetch at 25 names its module": (
        StreamFetchRequest(
            topic="one",
            partition=3,
            fetch_offset=0,
            max_bytes=0,
            smartmodules=(
                SmartModuleInvocation(
                    wasm=FILTER,
                    kind=FilterKind(),
                    params=ExtraParams(lookback=Lookback(last=1)),
                    name="test-adhoc",
                ),
            ),
        ),
        25,
        """
            00 03 6f 6e 65 00 00 00 03 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 01 01 00 00 00 04 de
            ad be ef 00 00 00 01 00 00 00 00 00 00 00 01 00
            01 00 0a 74 65 73 74 2d 61 64 68 6f 63 00
        """,
    ),
    "StreamFetch at 24 does not name its module": (
        StreamFetchRequest(
            topic="one",
            partition=3,
            fetch_offset=0,
            max_bytes=0,
            smartmodules=(
                SmartModuleInvocation(
                    wasm=FILTER,
                    kind=FilterKind(),
                    params=ExtraParams(lookback=Lookback(last=1)),
                ),
            ),
        ),
        24,
        """
            00 03 6f 6e 65 00 00 00 03 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 01 01 00 00 00 04 de
            ad be ef 00 00 00 01 00 00 00 00 00 00 00 01 00 00
        """,
    ),
    "StreamFetch at 18 has the older fields too, empty": (
        StreamFetchRequest(
            topic="one",
            partition=3,
            fetch_offset=0,
            max_bytes=0,
            smartmodules=(SmartModuleInvocation(wasm=FILTER, kind=FilterKind()),),
        ),
        18,
        """
            00 03 6f 6e 65 00 00 00 03 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
            01 00 00 00 04 de ad be ef 00 00 00
        """,
    ),
}


@pytest.mark.parametrize(("message", "version", "hex"), BODIES.values(), ids=list(BODIES))
def test_body_of_the_platform_s_own_tests(message: Message, version: int, hex: str) -> None:
    body = bytes.fromhex(hex)
    assert type(message).decode(body, version) == message
    assert message.encode(version) == body


def test_smartmodule_invocation() -> None:
    value = SmartModuleInvocation(
        wasm=Predefined(name="acme/my-filter@0.1.0"),
        params=ExtraParams(
            params={"min": "3", "field": "age"}, lookback=Lookback(age=Duration(seconds=3600))
        ),
    )
    data = bytes.fromhex(
        """
        00 00 14 61 63 6d 65 2f 6d 79 2d 66 69 6c 74 65 72 40 30 2e 31 2e 30
        07 00
        00 02 00 05 66 69 65 6c 64 00 03 61 67 65 00 03 6d 69 6e 00 01 33
        01 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 0e 10 00 00 00 00
        00
        """
    )
    type_ = wire_type(SmartModuleInvocation)
    assert type_.read(Reader(data, 25, 0, len(data))) == value
    writer = Writer(25)
    type_.write(writer, value)
    assert writer.getvalue() == data


def test_a_batch_is_numbered_without_touching_its_checksum() -> None:
    (produced,) = records(BATCH).batches()
    (stored,) = records(STORED).batches()
    assert (produced.base_offset, stored.base_offset) == (0, 40)
    assert produced.crc == stored.crc == 0x3B7317EF


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [
        (0, Duration(seconds=0)),
        (1.5, Duration(seconds=1, nanoseconds=500_000_000)),
        (0.999999999, Duration(seconds=0, nanoseconds=999_999_999)),
        (1.9999999999, Duration(seconds=2)),
    ],
)
def test_a_duration_is_one_of_seconds_to_the_nanosecond(seconds: float, duration: Duration) -> None:
    assert Duration.of(seconds) == duration
    assert duration.total == pytest.approx(seconds)
