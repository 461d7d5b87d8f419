"""SmartModules that records go through before they are stored."""

from __future__ import annotations

import pytest

from tests.testing.smartmodules.fixtures import NAMED
from tests.testing.smartmodules.kit import TIME, Kit
from tests.testing.smartmodules.wat import ad_hoc, named
from tests.testing.spu_kit import ORDERS, entry, produce
from txfluvio.testing.smartmodules import SmartModuleRecord, Trap, map
from txfluvio.wire.codes import Code, ErrorCode, error
from txfluvio.wire.compression import Compression, compress
from txfluvio.wire.records import Batch, encode_batch, pack_records
from txfluvio.wire.sc import TopicCompression
from txfluvio.wire.spu import (
    ACKS_ALL,
    ACKS_LEADER,
    PartitionProduceResponse,
    SmartModuleInvocation,
)

ONLY_A = named("filter-on-a")
SUM = named("agg1")


def stored(kit: Kit) -> list[Batch]:
    return [Batch(one.data, 0) for one in kit.spu.replicas[ORDERS].log]


def sent(
    kit: Kit, *values: list[bytes], module: SmartModuleInvocation = ONLY_A, **settings: Compression
) -> PartitionProduceResponse:
    """What becomes of batches of these values."""
    batches = [encode_batch(one, timestamp=TIME, **settings) for one in values]
    return kit.client().produce(*batches, smartmodules=(module,))


def test_all_batches_of_an_entry_become_one_without_times() -> None:
    kit = Kit(NAMED)
    kit.put([b"first"])
    answer = sent(kit, [b"b", b"a1"], [b"a2"], [b"c"])
    assert (answer.error_code.code, answer.base_offset) == (Code.NONE, 1)
    _, batch = stored(kit)
    assert (batch.base_offset, batch.last_offset_delta, batch.first_timestamp) == (1, 3, -1)
    assert [(one.offset_delta, one.value) for one in batch.raw_records()] == [
        (1, b"a1"),
        (0, b"a2"),
    ]


def test_batches_without_output_use_offsets_behind_the_first_with_some() -> None:
    kit = Kit(NAMED)
    sent(kit, [b"b", b"b"], [b"a"], [b"b"])
    (batch,) = stored(kit)
    assert (batch.base_offset, batch.next_offset) == (0, 2)


@pytest.mark.parametrize("isolation", [ACKS_LEADER, ACKS_ALL])
def test_where_nothing_is_left_nothing_is_written(isolation: int) -> None:
    kit = Kit(NAMED)
    kit.put([b"first"])
    answer = kit.client().produce(encode_batch([b"b"]), smartmodules=(ONLY_A,), isolation=isolation)
    assert (answer.error_code.code, answer.base_offset) == (Code.NONE, 0)
    assert kit.spu.replicas[ORDERS].log.leo == 1


def test_every_entry_has_modules_of_its_own() -> None:
    kit = Kit(NAMED)
    kit.host(("orders", 1))
    client = kit.client()
    for _ in range(2):
        entries = [entry(encode_batch([b"1"]), partition=number) for number in (0, 1)]
        client.ask(produce(*entries, smartmodules=(SUM,)))
    for number in (0, 1):
        log = kit.spu.replicas["orders", number].log
        assert [Batch(one.data, 0).values() for one in log] == [[b"1"], [b"1"]]


def test_what_comes_out_is_compressed_as_the_first_batch_was() -> None:
    kit = Kit(NAMED)
    sent(kit, [b"a"], compression=Compression.ZSTD)
    (batch,) = stored(kit)
    assert (batch.compression, batch.values()) == (Compression.ZSTD, [b"a"])


def test_the_compression_that_the_topic_asks_for_is_that_of_the_output() -> None:
    kit = Kit(NAMED)
    kit.host(("zipped", 0), compression_type=TopicCompression.GZIP)
    batches = [
        encode_batch([b"b"], compression=Compression.NONE),
        encode_batch([b"a"], compression=Compression.GZIP),
    ]
    answer = kit.client().produce(*batches, key=("zipped", 0), smartmodules=(ONLY_A,))
    assert answer.error_code.code == Code.NONE
    answer = kit.client().produce(*batches, key=("zipped", 0))
    assert answer.error_code.code == Code.COMPRESSION_ERROR


def test_an_error_on_a_record_refuses_the_entry_and_counts_from_its_batch() -> None:
    kit = Kit(NAMED)
    answer = sent(kit, [b"2"], [b"4", b"oops"], module=named("fm1"))
    assert answer.error_code.code == Code.SMART_MODULE_RUNTIME_ERROR
    assert answer.error_code.fields["offset"] == 1
    assert stored(kit) == []


def test_other_entries_are_written() -> None:
    kit = Kit(NAMED)
    kit.host(("orders", 1))
    entries = [
        entry(encode_batch([b"oops"])),
        entry(encode_batch([b"2"]), partition=1),
    ]
    reply = kit.client().ask(produce(*entries, smartmodules=(named("fm1"),)))
    codes = [one.error_code.code for one in reply.responses[0].partitions]
    assert codes == [Code.SMART_MODULE_RUNTIME_ERROR, Code.NONE]
    assert kit.spu.replicas["orders", 1].log.leo == 1


@map
def breaks(record: SmartModuleRecord) -> tuple[bytes | None, bytes]:
    raise Trap("it broke")


@pytest.mark.parametrize(
    ("module", "code"),
    [
        (named("nobody"), error(Code.SMART_MODULE_NOT_FOUND, name="nobody")),
        (named("g/nobody@x"), None),
        (named("breaks"), error(Code.OTHER, text="smartmodule chain failed: it broke")),
    ],
)
def test_what_can_not_be_run_refuses_the_entry(
    module: SmartModuleInvocation, code: ErrorCode | None
) -> None:
    kit = Kit({"breaks": breaks})
    answer = sent(kit, [b"a"], module=module)
    if code is None:
        assert answer.error_code.code == Code.OTHER
        assert answer.error_code.fields["text"].startswith(
            "error parsing SmartModule name: SmartModule version`x` is not valid because"
        )
    else:
        assert answer.error_code == code
    assert stored(kit) == []


def damaged(codec: int, blob: bytes) -> bytes:
    batch = Batch(encode_batch([b"a"]), 0)
    batch.attributes = codec
    return batch.pack(blob)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place:][1:]


GZIP, SNAPPY, LZ4, ZSTD = (
    compress(one, pack_records([])) for one in Compression if one is not Compression.NONE
)


@pytest.mark.parametrize(
    ("codec", "blob", "why"),
    [
        (Compression.GZIP, b"no gzip at all", "invalid gzip header"),
        (Compression.GZIP, b"no gzip", "unexpected end of file"),
        (Compression.GZIP, b"", "unexpected end of file"),
        (Compression.GZIP, flipped(GZIP, 2), "invalid gzip header"),
        (Compression.GZIP, GZIP[:10] + b"\xff" * 9, "corrupt deflate stream"),
        (
            Compression.GZIP,
            flipped(GZIP, len(GZIP) - 1),
            "corrupt gzip stream does not have a matching checksum",
        ),
        (Compression.SNAPPY, SNAPPY[:-1], "failed to fill whole buffer"),
        (
            Compression.SNAPPY,
            b"\0" * 9,
            "snappy: corrupt input (expected stream header but got unexpected chunk type byte 0)",
        ),
        (Compression.LZ4, b"\0" * 9, "WrongMagicNumber"),
        (Compression.LZ4, LZ4[:-1], "failed to fill whole buffer"),
        (Compression.LZ4, flipped(LZ4, 6), "HeaderChecksumError"),
        (Compression.LZ4, flipped(LZ4, len(LZ4) - 1), "ContentChecksumError"),
        (Compression.ZSTD, ZSTD[:-1], "incomplete frame"),
        (Compression.ZSTD, b"\0" * 9, "Unknown frame descriptor"),
    ],
)
def test_records_that_can_not_be_decompressed_are_refused(
    codec: Compression, blob: bytes, why: str
) -> None:
    answer = Kit(NAMED).client().produce(damaged(codec, blob), smartmodules=(ONLY_A,))
    text = f"smartmodule chain failed: uncompress error {why}"
    assert answer.error_code == error(Code.OTHER, text=text)


def test_a_codec_that_there_is_not_is_refused() -> None:
    answer = Kit(NAMED).client().produce(damaged(6, b""), smartmodules=(ONLY_A,))
    text = (
        "smartmodule chain failed: unknown compression value for batch "
        "unknown compression format: i8 representation: 6"
    )
    assert answer.error_code == error(Code.OTHER, text=text)


@pytest.mark.parametrize("codec", [Compression.NONE, Compression.LZ4])
def test_nothing_at_all_is_nothing_in_lz4_too(codec: Compression) -> None:
    answer = Kit(NAMED).client().produce(damaged(codec, b""), smartmodules=(ONLY_A,))
    text = "smartmodule chain failed: failed to decode SmartModule base input"
    assert answer.error_code == error(Code.OTHER, text=text)


def test_who_leads_the_partition_comes_before_the_modules() -> None:
    kit = Kit(NAMED)
    answer = kit.client().produce(
        encode_batch([b"a"]), key=("other", 0), smartmodules=(ad_hoc(b"junk"),)
    )
    assert answer.error_code.code == Code.NOT_LEADER_FOR_PARTITION
