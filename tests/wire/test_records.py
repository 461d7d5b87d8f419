"""Record sets and batches, by vectors from the platform and from a running SPU."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import golden
from txfluvio.errors import ProtocolError, UsageError
from txfluvio.wire import (
    Batch,
    BatchBuilder,
    Compression,
    Record,
    RecordSet,
    encode_batch,
    renumber,
)
from txfluvio.wire.recordings import Recording
from txfluvio.wire.spu import PartitionResponse, StreamFetchResponse

TIME = 1_700_000_000_000

TWO = bytes.fromhex(
    """
    00 00 00 00 00 00 00 00 00 00 00 4c ff ff ff ff 02 3b 73 17 ef 00 00 00 00 00 01 00 00 01 8b cf
    e5 68 00 00 00 01 8b cf e5 68 05 ff ff ff ff ff ff ff ff ff ff ff ff ff ff 00 00 00 02 16 00 00
    00 00 0a 68 65 6c 6c 6f 00 1c 00 0a 02 01 04 6b 31 0a 77 6f 72 6c 64 00
    """
)
"""``hello``, and 5 ms later ``world`` with the key ``k1``."""

WITH_SCHEMA = bytes.fromhex(
    """
    00 00 00 00 00 00 00 00 00 00 00 50 ff ff ff ff 02 fb 1f e6 78 00 10 00 00 00 01 00 00 01 8b cf
    e5 68 00 00 00 01 8b cf e5 68 05 ff ff ff ff ff ff ff ff ff ff ff ff ff ff 00 00 00 2a 00 00 00
    02 16 00 00 00 00 0a 68 65 6c 6c 6f 00 1c 00 0a 02 01 04 6b 31 0a 77 6f 72 6c 64 00
    """
)
"""The same batch with a schema id, which nobody should send."""


def batch(data: bytes) -> Batch:
    (found,) = RecordSet(data).batches()
    return found


def facts(record: Record) -> tuple[int | None, bytes | None, bytes, int | None]:
    return (record.offset, record.key, record.value, record.timestamp)


def changed(data: bytes, position: int, new: bytes) -> bytes:
    """``data`` with some bytes replaced, and the checksum put right."""
    found = Batch(data[:position] + new + data[position + len(new) :], 0)
    return found.pack(found.data[57:])


class TestVectors:
    """Bytes published with the platform, or agreed with it."""

    def test_every_field_of_a_header_has_its_name(self) -> None:
        found = batch(TWO)
        assert found.base_offset == 0
        assert found.batch_length == 76
        assert found.partition_leader_epoch == -1
        assert found.magic == 2
        assert found.crc == 0x3B7317EF
        assert found.attributes == 0
        assert found.last_offset_delta == 1
        assert found.first_timestamp == TIME
        assert found.max_timestamp == TIME + 5
        assert found.producer_id == -1
        assert found.producer_epoch == -1
        assert found.first_sequence == -1
        assert found.schema_id is None
        assert found.compression is Compression.NONE
        assert (found.size, found.end, found.next_offset) == (88, 88, 2)

    def test_its_records(self) -> None:
        found = batch(TWO).records("events", 3)
        assert [facts(record) for record in found] == [
            (0, None, b"hello", TIME),
            (1, b"k1", b"world", TIME + 5),
        ]
        assert {(record.topic, record.partition) for record in found} == {("events", 3)}

    def test_a_builder_writes_the_same_bytes(self) -> None:
        builder = BatchBuilder(TIME)
        builder.append(None, b"hello")
        builder.append(b"k1", b"world", TIME + 5)
        assert builder.build() == TWO

    def test_a_schema_id_is_read_and_written_back(self) -> None:
        found = batch(WITH_SCHEMA)
        assert (found.schema_id, found.attributes, found.crc) == (42, 0x10, 0xFB1FE678)
        assert found.values() == [b"hello", b"world"]
        assert found.encode(found.raw_records()) == WITH_SCHEMA

    @pytest.mark.parametrize(("schema", "crc"), [(None, 1430948200), (42, 2943551365)])
    def test_checksums_of_the_platform_s_own_tests(self, schema: int | None, crc: int) -> None:
        found = Batch(encode_batch([b"test"], timestamp=1555478494747), 0)
        found.last_offset_delta = -1
        found.schema_id = schema
        found.attributes = 0 if schema is None else 0x10
        assert Batch(found.pack(found.blob()), 0).crc == crc

    @pytest.mark.parametrize(
        ("hex", "value"),
        [("12 00 00 02 00 06 646f67 00", b"dog"), ("20000000 00 14" + "56" * 10 + "00", b"V" * 10)],
    )
    def test_records_of_the_platform_s_own_tests(self, hex: str, value: bytes) -> None:
        blob = b"\x00\x00\x00\x01" + bytes.fromhex(hex)
        found = Batch(batch(TWO).pack(blob), 0)
        assert found.values() == [value]
        assert found.encode(found.raw_records()) == found.data

    BLOB = bytes.fromhex("00000003" + "62000000 0056" + "61" * 43 + "00") + bytes.fromhex(
        "62000002 0056" + "61" * 43 + "00" + "62000004 0056" + "61" * 43 + "00"
    )

    @pytest.mark.parametrize(
        ("codec", "length", "crc", "hex"),
        [
            (
                Compression.GZIP,
                86,
                0xA43C42F2,
                """
                1f 8b 08 00 00 00 00 00 00 03 63 60 60 60 4e 62 00 82 b0 44 e2 01 03 50 07 13 c9 3a
                58 48 d3 01 00 3c 0c 96 99 9a 00 00 00
                """,
            ),
            (
                Compression.SNAPPY,
                94,
                0x6521216C,
                """
                ff 06 00 00 73 4e 61 50 70 59 00 23 00 00 30 8d 08 d5 9a 01 28 00 00 00 03 62 00 00
                00 00 56 61 a6 01 00 10 00 62 00 00 02 c2 32 00 00 04 b6 32 00
                """,
            ),
            (
                Compression.LZ4,
                95,
                0x1277FE47,
                """
                04 22 4d 18 60 40 82 23 00 00 00 bf 00 00 00 03 62 00 00 00 00 56 61 01 00 17 5f 00
                62 00 00 02 32 00 1e 1f 04 32 00 16 50 61 61 61 61 00 00 00 00 00
                """,
            ),
            (
                Compression.ZSTD,
                82,
                0xFA170058,
                """
                28 b5 2f fd 00 48 e5 00 00 88 00 00 00 03 62 00 00 00 00 56 61 00 62 00 00 02 04 03
                00 03 53 58 55 a4 43 c0 0b
                """,
            ),
        ],
    )
    def test_a_blob_compressed_by_others(
        self, codec: Compression, length: int, crc: int, hex: str
    ) -> None:
        found = Batch(encode_batch([b""], timestamp=TIME), 0)
        found.attributes = int(codec)
        found.last_offset_delta = 2
        found = batch(found.pack(bytes.fromhex(hex)))
        assert (found.batch_length, found.crc) == (length, crc)
        assert found.compression is codec
        assert found.blob() == self.BLOB
        assert found.values() == [b"a" * 43] * 3


class TestRecords:
    """What a consumer is told of a record."""

    def test_an_offset_is_the_batch_s_and_the_record_s_own(self) -> None:
        found = batch(renumber(TWO, 40))
        assert [record.offset for record in found.records()] == [40, 41]
        assert found.next_offset == 42

    def test_numbering_a_batch_leaves_its_checksum_right(self) -> None:
        assert renumber(TWO, 40)[8:] == TWO[8:]
        batch(renumber(TWO, 2**62))

    def test_the_next_offset_does_not_count_records(self) -> None:
        sparse = Batch(TWO, 0)
        sparse.last_offset_delta = 9
        assert sparse.next_offset == 10
        assert len(sparse.records()) == 2

    def test_deltas_may_be_negative(self) -> None:
        raw = batch(TWO).raw_records()
        raw[1].offset_delta, raw[1].timestamp_delta = -7, -3
        found = Batch(renumber(batch(TWO).encode(raw), 2), 0)
        assert [record.offset for record in found.records()] == [2, -5]
        assert [record.timestamp for record in found.records()] == [TIME, TIME - 3]
        assert [record.offset_delta for record in found.raw_records()] == [0, -7]

    def test_offsets_that_can_not_be_known_are_none(self) -> None:
        assert [r.offset for r in batch(TWO).records(offsets_known=False)] == [None, None]

    @pytest.mark.parametrize("first", [-1, 0])
    def test_a_batch_without_a_time_has_records_without(self, first: int) -> None:
        found = Batch(encode_batch([b"x"], timestamp=first), 0)
        assert [record.timestamp for record in found.records()] == [None]

    def test_no_key_and_an_empty_key_differ(self) -> None:
        found = batch(encode_batch([b"a", (b"", b"b"), (None, b"c")]))
        assert [record.key for record in found.records()] == [None, b"", None]

    def test_bytes_behind_the_counted_records_are_ignored(self) -> None:
        found = batch(batch(TWO).pack(batch(TWO).blob() + b"surplus"))
        assert found.values() == [b"hello", b"world"]

    @pytest.mark.parametrize("size", [1, 2, 7, 99, 100, 1000])
    @pytest.mark.parametrize("codec", [Compression.NONE, Compression.ZSTD])
    def test_parts_of_a_batch_make_all_of_it(self, size: int, codec: Compression) -> None:
        values = [b"value %d" % number for number in range(100)]
        found = batch(encode_batch(values, compression=codec, timestamp=TIME))
        reader, parts = found.reader("events", 2), []
        while reader.left:
            parts.append(reader.read(size))
        assert [record for part in parts for record in part] == found.records("events", 2)
        assert {len(part) for part in parts[:-1]} <= {size}

    def test_what_is_damaged_in_a_part_leaves_the_reader_where_it_was(self) -> None:
        whole = batch(encode_batch([b"fine"] * 20 + [b"hurt"])).blob()
        reader = batch(batch(TWO).pack(whole[:-2] + b"\xff\xff")).reader()
        assert len(reader.read(20)) == 20
        for _ in range(2):
            with pytest.raises(ProtocolError):
                reader.read(20)
            assert reader.left == 1

    def test_records_compare_and_print_by_what_they_say(self) -> None:
        first, second = batch(TWO).records("events", 0)
        again, _ = batch(TWO).records("events", 0)
        assert first == again
        assert hash(first) == hash(again)
        assert first != second
        assert repr(second) == "<Record events/0@1 key=b'k1' value=b'world'>"

    def test_a_batch_needs_a_record(self) -> None:
        with pytest.raises(UsageError):
            encode_batch([])


class TestSmartModules:
    """Batches that an SPU made of what a SmartModule gave, as recorded."""

    def pushes(self, name: str) -> list[PartitionResponse]:
        recording, found = Recording(), []
        for line in golden.recordings()[f"real/{name}.jsonl"]:
            frame = recording.read(line)
            if frame is not None and frame.type is StreamFetchResponse and frame.is_reply:
                push = StreamFetchResponse.decode(frame.payload, frame.header.api_version, 4)
                found.append(push.partition)
        return found

    def test_a_filter_leaves_a_batch_of_all_it_read(self) -> None:
        push = self.pushes("cli-sm-filter-named")[0]
        (found,) = push.records.batches()
        assert (found.base_offset, found.last_offset_delta) == (0, 4)
        assert [record.offset_delta for record in found.raw_records()] == [0, -1]
        assert found.next_offset == push.next_filter_offset == 5
        assert [record.timestamp for record in found.records()] == [None, None]

    def test_an_array_map_repeats_deltas(self) -> None:
        (found,) = self.pushes("cli-sm-array-map-named")[0].records.batches()
        assert [record.offset_delta for record in found.raw_records()] == [0, 0, -1]

    def test_a_module_that_fails_at_once_leaves_a_batch_of_nothing(self) -> None:
        push = next(
            push
            for push in self.pushes("python-sm-errors")
            if push.error_code.code == 6004 and not push.records.batches()[0].values()
        )
        (found,) = push.records.batches()
        assert (found.base_offset, found.last_offset_delta) == (-1, -1)
        assert found.records() == []
        assert found.next_offset == -1
        assert push.next_filter_offset == 5


class TestRecordSet:
    """Batches back to back, cut where the server's limit was."""

    BATCHES = (TWO, encode_batch([b"x" * 100]), renumber(TWO, 7))
    WHOLE = b"".join(BATCHES)

    @given(st.integers(0, len(WHOLE)))
    def test_a_cut_anywhere_leaves_the_complete_batches(self, at: int) -> None:
        complete, left = [], at
        for data in self.BATCHES:
            if left < len(data):
                break
            complete.append(data)
            left -= len(data)
        found = RecordSet(self.WHOLE[:at])
        assert [found.data[b.start : b.end] for b in found.batches()] == complete
        assert found.fragment == self.WHOLE[at - left : at]

    def test_a_fragment_tells_what_is_needed_for_its_batch(self) -> None:
        assert RecordSet(TWO[:50]).needed() == 88
        assert RecordSet(TWO + TWO[:12]).needed() == 88
        assert RecordSet(TWO[:11]).needed() is None
        assert RecordSet(TWO).needed() is None

    def test_it_is_a_view_of_a_part_of_the_bytes(self) -> None:
        data = b"in front" + TWO + b"behind"
        found = RecordSet(data, 8, 8 + len(TWO))
        assert found == RecordSet(TWO)
        assert hash(found) == hash(RecordSet(TWO))
        assert (len(found), bytes(found), bytes(found.view())) == (88, TWO, TWO)
        assert found.batches()[0].values() == [b"hello", b"world"]
        assert found.fragment == b""

    def test_it_is_made_of_batches(self) -> None:
        assert RecordSet.of(TWO, TWO) == RecordSet(TWO + TWO)
        assert RecordSet.of(TWO).data is TWO
        assert RecordSet.of() == RecordSet.EMPTY
        assert RecordSet.EMPTY.batches() == []
        assert RecordSet.EMPTY != b""

    def test_a_wrong_checksum_is_refused_where_it_stands(self) -> None:
        broken = TWO + TWO[:60] + b"\xff" + TWO[61:]
        with pytest.raises(ProtocolError, match="CRC") as caught:
            RecordSet(broken).batches()
        assert (caught.value.field, caught.value.position) == ("batch.crc", 88 + 17)
        assert len(RecordSet(broken).batches(check_crc=False)) == 2

    @pytest.mark.parametrize("length", [44, 0, -1, -(2**31)])
    def test_a_batch_shorter_than_its_header_is_refused(self, length: int) -> None:
        broken = TWO + TWO[:8] + length.to_bytes(4, "big", signed=True) + TWO[12:]
        for ask in (RecordSet.batches, lambda found: found.fragment, RecordSet.needed):
            with pytest.raises(ProtocolError) as caught:
                ask(RecordSet(broken))
            assert caught.value.field == "batch.batch_length"
            assert caught.value.position == 88 + 8

    def test_a_schema_id_needs_room(self) -> None:
        short = WITH_SCHEMA[:8] + (48).to_bytes(4, "big") + WITH_SCHEMA[12:60]
        with pytest.raises(ProtocolError) as caught:
            RecordSet(short).batches(check_crc=False)
        assert caught.value.field == "batch.batch_length"

    def test_a_batch_that_claims_more_than_there_is_is_a_fragment(self) -> None:
        longer = TWO[:8] + (2**31 - 1).to_bytes(4, "big") + TWO[12:]
        assert RecordSet(longer).batches() == []
        assert RecordSet(longer).fragment == longer


class TestBadBlob:
    """What is inside a batch is believed no more than what is around it."""

    def refusal(self, blob: bytes) -> ProtocolError:
        damaged = batch(batch(TWO).pack(blob))
        with pytest.raises(ProtocolError) as raw:
            damaged.raw_records()
        with pytest.raises(ProtocolError) as caught:
            damaged.records()
        with pytest.raises(ProtocolError):
            damaged.reader().read(2**31)
        assert (raw.value.reason, raw.value.field) == (caught.value.reason, caught.value.field)
        assert caught.value.position is not None
        return caught.value

    @pytest.mark.parametrize("count", [3, 2**31 - 1, -1, -(2**31)])
    def test_a_count_of_more_than_there_is(self, count: int) -> None:
        blob = batch(TWO).blob()
        self.refusal(count.to_bytes(4, "big", signed=True) + blob[4:])

    def test_no_room_for_a_count(self) -> None:
        self.refusal(b"\x00\x00\x00")

    @pytest.mark.parametrize(
        ("hex", "reason"),
        [
            ("fe ff ff ff 0f 00 00 00 00 02 78 00", "what is left"),
            ("01 00 00 00 00 02 78 00", "what is left"),
            ("10 00 00 00 02 02 78 00 00", "key flag is 2"),
            ("10 00 00 00 01 40 78 00 00", "key is longer"),
            ("10 00 00 00 01 01 78 00 00", "key is longer"),
            ("10 00 00 00 00 40 78 00 00", "value is longer"),
            ("10 00 00 00 00 01 78 00 00", "value is longer"),
            ("12 00 00 00 00 02 78 00 00 00", "do not add up"),
            ("0e 00 00 00 00 02 78 80 80 80", "ends early"),
            ("16 00 ff ff ff ff ff ff ff ff ff ff 01", "varint"),
        ],
    )
    def test_a_damaged_record(self, hex: str, reason: str) -> None:
        error = self.refusal(b"\x00\x00\x00\x01" + bytes.fromhex(hex))
        assert reason in error.reason
        assert error.field == "records"

    @pytest.mark.parametrize("bits", [5, 6, 7])
    def test_a_codec_that_is_none_is_refused_when_asked_for(self, bits: int) -> None:
        unknown = batch(changed(TWO, 21, bytes((0, bits))))
        for ask in (Batch.records, Batch.raw_records, Batch.blob):
            with pytest.raises(ProtocolError) as caught:
                ask(unknown)
            assert (caught.value.field, caught.value.position) == ("batch.attributes", 21)

    @pytest.mark.parametrize("codec", list(Compression)[1:])
    def test_a_compressed_blob_that_is_not(self, codec: Compression) -> None:
        damaged = batch(changed(TWO, 21, bytes((0, int(codec)))))
        with pytest.raises(ProtocolError, match=codec.name.lower()):
            damaged.records()

    def test_unused_attribute_bits_are_kept(self) -> None:
        odd = batch(changed(TWO, 21, bytes.fromhex("8168")))
        assert odd.compression is Compression.NONE
        again = Batch(odd.pack(b""), 0)
        assert again.attributes == odd.attributes
