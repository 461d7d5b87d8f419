"""What ``DIFFERENCES.md`` says of the fake is so: each line there has the test of its name here."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.testing.fault_kit import FaultKit, code
from tests.testing.sc_kit import Kit as ScKit
from tests.testing.smartmodules import wat
from tests.testing.smartmodules.kit import Kit as ModuleKit
from tests.testing.smartmodules.kit import text_of, values
from tests.testing.smartmodules.test_lookback import filled, seen
from tests.testing.smartmodules.wat import SLEEPS, ad_hoc, answering, bare, function, named
from tests.testing.spu_kit import COMMITTED, ORDERS, Kit, codes, entry, produce
from tests.testing.test_cluster import replicated
from tests.testing.test_replay import REAL, pushed_while_others_produce
from tests.testing.test_stored_offsets import kit_with_offsets, store, stored
from txfluvio.client import FluvioClient
from txfluvio.config import TlsConfig, TlsVersion
from txfluvio.testing import FakeBroker, FakeTls, Preset
from txfluvio.testing.faults import AnswerError
from txfluvio.testing.replay.beginning import beginning_of
from txfluvio.testing.replay.comparison import VOLATILE, alike
from txfluvio.testing.replay.conversation import Conversation
from txfluvio.testing.replay.lives import Lives
from txfluvio.testing.sc.lifecycle import NEW_PARTITION
from txfluvio.testing.sc.metadata import SYSTEM_TOPIC
from txfluvio.testing.smartmodules import Limits, SmartModuleRecord, filter
from txfluvio.testing.spu.replica import Key
from txfluvio.testing.spu.stored_offsets import FLUSH_THRESHOLD, STORED_OFFSETS
from txfluvio.transport.dialer import MemoryDialer
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.codes import Code, ReplicaKey, error
from txfluvio.wire.compression import Compression, compress
from txfluvio.wire.records import HEADER, Batch, RecordSet, encode_batch
from txfluvio.wire.sc import (
    MIRROR,
    PARTITION,
    SPU,
    SPU_GROUP,
    TOPIC,
    Computed,
    CreateRequest,
    DeleteRequest,
    HomeCluster,
    ListRequest,
    Metadata,
    MirrorStatus,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    RemoteCluster,
    ReplicaStatus,
    SpuGroupSpec,
    TopicResolution,
    TopicSpec,
    TopicStorage,
    WatchRequest,
    WatchResponse,
)
from txfluvio.wire.schema import evolve
from txfluvio.wire.spu import (
    ACKS_ALL,
    AdHoc,
    ConsumerOffset,
    Duration,
    FetchConsumerOffsetsRequest,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    Lookback,
    PartitionProduceData,
    StartMirrorRequest,
    StreamFetchRequest,
)

DOCUMENT = Path(__file__).parents[2] / "DIFFERENCES.md"
ONE = encode_batch([b"x"])


@filter
def evens(record: SmartModuleRecord) -> bool:
    return len(record.value) % 2 == 0


LZ4_OF_A = compress(Compression.LZ4, Batch(encode_batch([b"a"]), 0).blob())


def create(name: str, partitions: int = 1) -> CreateRequest:
    spec = TopicSpec(replicas=Computed(partitions=partitions))
    return CreateRequest(kind=TOPIC, name=name, spec=spec)


def test_every_line_has_a_test_and_every_test_a_line() -> None:
    lines = re.findall(r"^- \*\*(.+?)\*\*:", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = {f"test_{line.lower().replace(' ', '_')}" for line in lines}
    tests = {name for name in globals() if name.startswith("test_")}
    assert tests - {test_every_line_has_a_test_and_every_test_a_line.__name__} == wanted


# Faults of the real servers


def test_short_committed_frame() -> None:
    kit = Kit(host=False)
    kit.host(followers=[5002])
    kit.fill(1, 1, 1)
    look = kit.client().fetch(2, isolation_level=COMMITTED)
    assert (look.error_code.code, len(look.records)) == (0, 0)
    assert kit.said("reads committed records from 2, above 0")


def test_push_in_two_pieces() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    written: list[bytes] = []
    write = client.raw.transport.write

    def note(data: bytes) -> None:
        written.append(data)
        write(data)

    client.raw.protocol.tcp.write = note  # type: ignore[method-assign]
    client.stream()
    assert len(written) == 1


def test_endless_modules() -> None:
    pytest.importorskip("wasmtime")
    endless = bare(function("filter", "(loop $ever (br $ever)) (i32.const 0)"))
    kit = ModuleKit(limits=Limits(fuel=1_000_000, fuel_per_byte=100, memory=1024 * 1024))
    kit.put([b"x"])
    push = kit.stream(ad_hoc(endless)).push()
    assert push.error_code.code == Code.OTHER
    assert "fuel" in text_of(push)
    assert kit.client().produce(ONE).base_offset == 1


@pytest.mark.parametrize(("pages", "fails"), [(20, True), (40, False)])
def test_refused_memory(pages: int, fails: bool) -> None:
    pytest.importorskip("wasmtime")
    body = f"(drop (memory.grow (i32.const {pages}))) {answering(0, bytes(5))}"
    kit = ModuleKit(limits=Limits(memory=1024 * 1024))
    kit.put([b"x"])
    pushes = kit.stream(ad_hoc(bare(function("filter", body)))).pushes()
    assert ["exceeded max allowed" in text_of(push.partition) for push in pushes] == [True] * fails


def test_module_memory_leak() -> None:
    pytest.importorskip("wasmtime")
    limits = Limits(memory=1024 * 1024)
    kit = ModuleKit(limits=limits)
    client = kit.client()
    value = b"a" * 50_000
    stream = kit.stream(ad_hoc(wat.FILTER), client=client)
    for offset in range(40):
        kit.put([value])
        assert values(stream.push()) == [value]
        stream.ack(offset + 1)
    assert 40 * len(value) > limits.memory


def test_lookback_by_age() -> None:
    kit = filled(5, 4, 3, 2, 1)
    minute = Lookback(age=Duration(seconds=60))
    assert seen(kit, minute) == [b"0", b"1", b"2", b"3", b"4"]


def test_lookback_over_segments() -> None:
    kit = ModuleKit()
    kit.spu.drop(ORDERS)
    kit.host(ORDERS, storage=TopicStorage(segment_size=100))
    kit.put([b"0"], [b"1"], [b"2"])
    assert kit.spu.replicas[ORDERS].log.segments == 3
    assert seen(kit, Lookback(last=2)) == [b"1", b"2"]


def test_sleeping_modules() -> None:
    pytest.importorskip("wasmtime")
    kit = ModuleKit()
    kit.put([b"x"])
    assert kit.stream(ad_hoc(SLEEPS)).push().error_code.code == Code.OTHER


def test_machine_of_modules() -> None:
    pytest.importorskip("wasmtime")
    from tests.testing.smartmodules.test_wasi import learnt

    for call, arguments in (
        ("clock_time_get", "(i32.const 0) (i64.const 1) (i32.const 1000)"),
        ("random_get", "(i32.const 1000) (i32.const 8)"),
    ):
        assert learnt(call, arguments) == learnt(call, arguments)


def test_quick_recreate() -> None:
    kit = ScKit()
    client = kit.client()
    kit.ask(create("orders"))
    client.send(DeleteRequest(kind=TOPIC, key="orders"))
    again = client.send(create("orders"))
    kit.settle()
    kit.clock.advance(1)
    assert again.reply.error_code.code == 0
    assert kit.cluster.metadata.online_partitions("orders") == 1


def test_deleted_while_down() -> None:
    kit = ScKit()
    kit.ask(create("orders"))
    kit.append(5001, "orders", b"old")
    kit.cluster.spu_down(5001)
    kit.ask(DeleteRequest(kind=TOPIC, key="orders"))
    kit.client().send(create("orders"))
    kit.settle()
    kit.cluster.spu_up(5001)
    kit.settle()
    assert kit.replica(5001, "orders").log.leo == 0


def test_module_made_anew() -> None:
    kit = ModuleKit({"evens": evens})
    kit.put([b"four", b"odd"])
    kit.stored.clear()
    assert kit.stream(named("evens")).push().error_code.code == Code.SMART_MODULE_NOT_FOUND
    kit.register("evens", evens)
    assert values(kit.stream(named("evens")).push()) == [b"four"]


def test_two_creates_of_one_name() -> None:
    kit = ScKit()
    first, second = (kit.client().send(create("orders", count)) for count in (1, 2))
    kit.settle()
    assert first.reply.error_code.code == 0
    assert second.reply.error_code.code == Code.TOPIC_ALREADY_EXISTS


def test_leadership_won_back() -> None:
    kit = Kit(host=False)
    kit.host(followers=(5002,))
    request = produce(entry(ONE), entry(ONE), isolation=ACKS_ALL, timeout_ms=1000)
    call = kit.client().send(request)
    kit.spu.follow(ORDERS)
    kit.spu.lead(ORDERS)
    kit.fill(1)
    kit.clock.advance(1)
    assert codes(call.reply.responses[0].partitions) == [7, 6]


def test_first_acknowledgement_lost() -> None:
    kit = Kit()
    kit.fill(1)
    client = kit.client()
    stream = client.stream()
    client.ack(0)
    assert stream.bases() == [[0], [0]]


def restarted(foreign: bytes) -> list[tuple[str, Key, int]]:
    """The offsets that an SPU knows after a restart, with a batch of others behind one of 5."""
    kit = kit_with_offsets()
    client = kit.client()
    client.stream(consumer_id="worker")
    store(client, 5)
    client.produce(foreign, key=STORED_OFFSETS)
    kit.spu.stop()
    kit.host()
    kit.host(STORED_OFFSETS)
    return stored(kit.client())


def test_foreign_stored_offsets() -> None:
    assert restarted(ONE) == [("worker", ORDERS, 5)]


def test_unreadable_stored_offsets() -> None:
    assert restarted(ONE[:-3] + b"\xff\xff\xff") == [("worker", ORDERS, 5)]


def test_stored_offsets_anew() -> None:
    kit = kit_with_offsets()
    client = kit.client()
    client.stream(consumer_id="worker")
    store(client, 5)
    kit.spu.drop(STORED_OFFSETS)
    kit.host(STORED_OFFSETS)
    assert stored(client) == []
    store(client, 6)
    assert stored(client) == [("worker", ORDERS, 6)]


def test_checkpoints_of_many_offsets() -> None:
    kit = kit_with_offsets()
    offsets = kit.spu.stored_offsets
    assert offsets is not None
    for number in range(7 * FLUSH_THRESHOLD):
        offsets.put(("orders", number), "worker", 0)
    log = kit.spu.replicas[STORED_OFFSETS].log
    tags = [value[0] for one in log for value in Batch(one.data, 0).values()]
    assert tags.count(2) == 3


def test_segments_of_too_many_offsets() -> None:
    client = Kit().client()
    batch = Batch(encode_batch([b"a"]), 0)
    batch.last_offset_delta = 2**31 - 1
    data = batch.pack(batch.blob())
    assert [client.produce(data).base_offset for _ in range(4)] == [n * 2**31 for n in range(4)]


# What clients get wrong


@pytest.mark.parametrize("surplus", [bytes(11), bytes(20), bytes(60), b"\xff" * 60])
def test_lenient_record_sets(surplus: bytes) -> None:
    kit = Kit()
    client = kit.client()
    data = PartitionProduceData(partition_index=0, records=RecordSet(ONE + surplus))
    client.send(produce(data))
    assert client.closed
    assert client.raw.received() == []
    assert kit.spu.replicas[ORDERS].log.leo == 0
    assert kit.said("closed")


@pytest.mark.parametrize("torn", [LZ4_OF_A[:-8], LZ4_OF_A + b"more"])
def test_torn_lz4(torn: bytes) -> None:
    batch = Batch(encode_batch([b"a"]), 0)
    batch.attributes = Compression.LZ4
    answer = ModuleKit().client().produce(batch.pack(torn), smartmodules=(ad_hoc(wat.FILTER),))
    assert answer.error_code.fields["text"].startswith("smartmodule chain failed: uncompress error")


@pytest.mark.parametrize("size", [-(2**31), -5, -1, 0, 64 * 1024 * 1024 + 1, 2**31 - 1])
def test_endless_frames(size: int) -> None:
    kit = Kit()
    client = kit.client()
    client.raw.send_bytes(size.to_bytes(4, "big", signed=True))
    assert client.closed


def test_fetches_without_end() -> None:
    kit = Kit()
    kit.client().produce(encode_batch([bytes(2**20)]))
    asked = FetchPartition(partition_index=0, fetch_offset=0)
    topics = (FetchTopic(name="orders", fetch_partitions=(asked,) * 40),)
    reply = kit.client().ask(FetchRequest(max_bytes=2**31 - 1, topics=topics))
    found = [len(one.records) > 2**20 for one in reply.topics[0].partitions]
    assert found == [True] * 32 + [False] * 8
    assert kit.said("the rest is left out")


def test_streams_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("txfluvio.testing.spu.stream_calls.MAX_STREAMS", 3)
    monkeypatch.setattr("txfluvio.testing.sc.port.MAX_WATCHES", 3)
    kit, sc = Kit(), ScKit()
    consumer, watcher = kit.client(), sc.client()
    for _ in range(3):
        consumer.stream()
        watcher.send(WatchRequest(kind=TOPIC))
    assert (consumer.closed, watcher.closed) == (False, False)
    consumer.stream()
    watcher.send(WatchRequest(kind=TOPIC))
    assert (consumer.closed, watcher.closed) == (True, True)
    assert [one.text for one in (*kit.complaints, *sc.complaints)] == [
        "closed: more than 3 streams",
        "closed: more than 3 watches",
    ]


# What is not there


def test_mirrored_records() -> None:
    sc = ScKit()
    sc.ask(CreateRequest(kind=MIRROR, name="edge", spec=RemoteCluster(id="edge")))
    (told,) = sc.ask(ListRequest(kind=MIRROR)).objects
    assert told.name == "edge"
    spec = HomeCluster(id="home", remote_id="edge", public_endpoint="home:9003")
    sc.ask(CreateRequest(kind=MIRROR, name="home", spec=spec))
    sc.clock.advance(600)
    statuses = {one.name: one.status for one in sc.ask(ListRequest(kind=MIRROR)).objects}
    assert statuses["home"] == MirrorStatus()
    client = Kit().client()
    client.send(StartMirrorRequest(remote_replica="orders-0", remote_cluster_id="edge"))
    assert client.closed


def test_full_disks() -> None:
    kit = FaultKit()
    full = error(Code.PARTITION_FULL, replica_key=ReplicaKey(topic="orders", partition=0))
    kit.plant(AnswerError(full), api="Produce")
    peer, sc = kit.spu(), kit.sc()
    assert [code(peer, peer.produce()) for _ in range(2)] == [Code.PARTITION_FULL, Code.NONE]
    kit.clock.advance(1)
    partitions = sc.reply(sc.send(ListRequest(kind=PARTITION))).objects
    assert {one.status.resolution for one in partitions} == {PartitionResolution.ONLINE}
    kit.stop()


def test_the_same_compression() -> None:
    kit = ModuleKit()
    kit.client().produce(encode_batch([b"a"], compression=Compression.LZ4))
    (batch,) = kit.stream(ad_hoc(wat.FILTER)).push().records.batches()
    assert batch.values() == [b"a"]
    real = bytes.fromhex("04224d18604082")
    assert batch.data[batch.start + HEADER :][: len(real)] != real


def test_groups_without_spus() -> None:
    kit = ScKit()
    kit.ask(CreateRequest(kind=SPU_GROUP, name="main", spec=SpuGroupSpec(replicas=3)))
    kit.clock.advance(600)
    assert len(kit.ask(ListRequest(kind=SPU_GROUP)).objects) == 1
    assert len(kit.ask(ListRequest(kind=SPU)).objects) == 1


def met(tls: FakeTls, config: TlsConfig, **settings: Any) -> Any:
    """What becomes of a client that lists the topics of a fake with this TLS."""
    clock = Clock()
    network = MemoryNetwork(clock)

    async def ask() -> list[str]:
        async with FakeBroker(clock, network=network, tls=tls, **settings) as broker:
            own = broker.client_config(tls=config)
            dialer = MemoryDialer(network, own, clock)
            async with FluvioClient(clock, own, dialer=dialer) as client:
                return [found.name for found in await client.admin.list_topics()]

    outcome: list[Any] = []
    Deferred.fromCoroutine(ask()).addBoth(outcome.append)
    clock.pump([0.1] * 20)
    return outcome[0]


def test_missing_certificate_in_old_tls() -> None:
    tls = FakeTls(Preset.CLIENT_REQUIRED, only=TlsVersion.TLS_1_2)
    config = TlsConfig(server_name=tls.domain, ca_pem=tls.authority.pem)
    assert met(tls, config).value.reason.endswith("alert handshake failure")


def test_cluster_of_any_size() -> None:
    kit = ScKit()
    kit.client().send(create("huge", 65_536))
    kit.settle()
    topic = kit.cluster.metadata.topics.get("huge")
    assert topic is not None
    assert topic.status.resolution is TopicResolution.INSUFFICIENT_RESOURCES


# Time


def test_everything_at_once() -> None:
    kit = ScKit()
    before = kit.clock.seconds()
    assert SYSTEM_TOPIC in kit.cluster.metadata.topics
    assert kit.ask(create("orders")).error_code.code == 0
    assert kit.clock.seconds() == before


def test_late_followers() -> None:
    for stalled, committed in ((False, 1), (True, 0)):
        kit = replicated()
        if stalled:
            kit.cluster.stall_replication("r")
        before = kit.clock.seconds()
        kit.append(5001, "r", b"a")
        kit.settle()
        assert kit.replica(5001, "r").log.hw == committed
        assert kit.clock.seconds() == before


def test_served_at_once() -> None:
    kit = ScKit()
    spus = Kit(host=False)
    spus.use(kit.cluster.spus[5001])
    kit.cluster.spu_down(5001)
    kit.cluster.spu_up(5001)
    kit.settle()
    assert spus.client().ask(FetchConsumerOffsetsRequest()).error_code.code == 0


# What a replay passes over


def test_volatile_fields() -> None:
    assert set(VOLATILE) == {
        "times",
        "epochs",
        "ports",
        "how much SPUs have reported by now",
    }
    offset = next(
        one
        for event in Conversation.read(REAL["cli-consumer-list"]).replies()
        for one in getattr(event.message, "consumers", ())
    )
    assert isinstance(offset, ConsumerOffset)
    assert alike(offset, evolve(offset, modified_time=0))
    assert not alike(offset, evolve(offset, offset=offset.offset + 1))
    assert alike(WatchResponse(kind=TOPIC, epoch=1), WatchResponse(kind=TOPIC, epoch=2))
    status = PartitionStatus(resolution=PartitionResolution.ONLINE)
    assert alike(status, evolve(status, leader=ReplicaStatus(hw=3, leo=4), size=77, lsr=1))
    assert not alike(status, evolve(status, leader=ReplicaStatus(spu=5001)))


def test_partitions_not_reported_on() -> None:
    status = PartitionStatus(resolution=PartitionResolution.ONLINE, size=0)
    told = Metadata(name="t-0", spec=PartitionSpec(leader=1, replicas=(1,)), status=status)
    new = evolve(told, status=NEW_PARTITION)
    lives = Lives(known=())
    assert lives.as_early(new, told, 0.0) == new
    lives.see("t-0", told, 0.0)
    assert lives.as_early(new, told, 0.0) == told
    assert Lives(known=["t-0"]).as_early(new, told, 0.0) == told


def test_high_watermarks_of_before() -> None:
    assert pushed_while_others_produce(high_watermark=1).differences == ()
    assert pushed_while_others_produce(high_watermark=1, answered=True).differences != ()


def test_modules_that_nobody_recorded() -> None:
    beginning = beginning_of(Conversation.read(REAL["cli-sm-map-named"]))
    assert set(beginning.cast.names) == {"map1"}
    brought = Conversation.read(REAL["cli-sm-adhoc-filter"])
    asked = next(
        event.message
        for event in brought.requests()
        if isinstance(event.message, StreamFetchRequest)
    )
    wasm = asked.smartmodules[0].wasm
    assert isinstance(wasm, AdHoc)
    assert gzip.decompress(wasm.payload)[:4] == b"\0asm"
    assert not beginning_of(brought).cast.hashes
