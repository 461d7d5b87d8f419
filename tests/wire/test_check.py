"""Every recorded frame decodes, and encodes back to the very same bytes: without exception."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from tests import golden
from txfluvio.wire import SC_APIS, SPU_APIS, Batch, Compression, RecordSet, encode_batch, spu
from txfluvio.wire.__main__ import main
from txfluvio.wire.check import Difference, Totals, check_lines
from txfluvio.wire.compression import compress
from txfluvio.wire.recordings import Recording

RECORDINGS = golden.recordings()


def differences(lines: list[str]) -> list[Difference]:
    return [difference for _, difference in check_lines(lines, Totals())]


def test_all_recordings_come_back_as_they_were() -> None:
    totals = Totals()
    different = {
        (name, line): str(difference)
        for name, lines in RECORDINGS.items()
        for line, difference in check_lines(lines, totals)
    }
    assert different == {}
    assert (totals.files, totals.frames) == (308, 6912 + 252)
    assert (totals.batches, totals.compressed, totals.records) == (840, 160, 1042)


def test_the_recordings_hold_every_call_of_a_client_both_ways() -> None:
    seen = {(frame.server, frame.api.key, frame.is_reply) for frame in golden.frames()}
    known = {("SC", key, reply) for key in SC_APIS for reply in (False, True)}
    known |= {("SPU", key, reply) for key in SPU_APIS for reply in (False, True)}
    # Mirroring and StartMirror go between clusters, and no official client sends Fetch.
    not_of_a_client = {("SC", 1005), ("SPU", 2000), ("SPU", 1)}
    assert seen == {call for call in known if call[:2] not in not_of_a_client}


def entry(payload: bytes, direction: str = ">", to: str = "spu-5001") -> str:
    data = len(payload).to_bytes(4, "big") + payload
    return json.dumps({"conn": 1, "to": to, "dir": direction, "ms": 0.0, "hex": data.hex()})


UPDATE = spu.UpdateOffsetsRequest(offsets=(spu.OffsetUpdate(offset=42, session_id=1),))
HEADER = bytes.fromhex("03ed0000000000070000")
REQUEST = HEADER + UPDATE.encode(0)


def produce(records: bytes) -> bytes:
    partition = spu.PartitionProduceData(partition_index=0, records=RecordSet(records))
    topic = spu.TopicProduceData(name="t", partitions=(partition,))
    return bytes.fromhex("00000019000000070000") + spu.ProduceRequest(topics=(topic,)).encode(25)


def test_a_request_that_comes_back_is_no_difference() -> None:
    assert differences([entry(REQUEST)]) == []


def test_bytes_left_over_are_a_difference() -> None:
    (found,) = differences([entry(REQUEST + b"\x01\x02")])
    assert (found.field, found.position) == ("", len(REQUEST))
    assert found.what == "01 02 is written not at all"


def test_a_map_out_of_order_is_told_by_its_entries() -> None:
    params = bytes.fromhex("0002 000162 0000 000161 0000 00 00")
    module = bytes.fromhex("00 00016d 07 00") + params
    body = bytes.fromhex("00 0001 000005dc 00000000 00000001") + module
    found = differences([entry(bytes.fromhex("00000019000000070000") + body)])
    assert [difference.field for difference in found] == [
        "smartmodules[0].params.params[0].key",
        "smartmodules[0].params.params[1].key",
    ]


def test_a_varint_longer_than_it_must_be_is_a_difference() -> None:
    batch = Batch(encode_batch([b"x"]), 0)
    blob = bytes.fromhex("00000001 10 00 00 8000 00 0278 00")
    found = differences([entry(produce(batch.pack(blob)))])
    names = [difference.field.rpartition(".")[2] for difference in found]
    assert "offset_delta" in names
    assert "value" not in names


@pytest.mark.parametrize("codec", list(Compression)[1:])
def test_a_compressed_batch_may_be_compressed_by_anybody(codec: Compression) -> None:
    values = [b"value" * 50] * 3
    stored = encode_batch(values, compression=codec)
    batch = Batch(stored, 0)
    other = Batch(encode_batch(values), 0).blob()
    if codec is Compression.GZIP:
        again = batch.pack(zlib.compress(other, 1, wbits=31))
        assert again != stored
        stored = again
    assert differences([entry(produce(stored))]) == []


@pytest.mark.parametrize("codec", list(Compression)[1:])
def test_what_is_in_a_compressed_batch_must_come_back(codec: Compression) -> None:
    batch = Batch(encode_batch([b"x"], compression=codec), 0)
    surplus = batch.blob() + b"surplus"
    found = differences([entry(produce(batch.pack(compress(codec, surplus))))])
    assert any(difference.what.startswith("73 75 72 70 6c 75 73") for difference in found)


def test_a_wrong_checksum_is_told() -> None:
    data = bytearray(encode_batch([b"x"]))
    data[20] ^= 1
    (found,) = differences([entry(produce(bytes(data)))])
    assert found.field == "topics[0].partitions[0].records.batch.crc"


def test_a_frame_that_can_not_be_read_is_told_with_its_field() -> None:
    (found,) = differences([entry(REQUEST[:-1])])
    assert found.message == "UpdateOffsetsRequest version 0"
    assert found.field == "offsets"


def test_a_negative_version_is_told() -> None:
    request = bytes.fromhex("03ea ffff 00000007 0000 0005") + b"Topic"
    (found,) = differences([entry(request, to="sc")])
    assert found.message == "DeleteRequest version -1"
    assert found.what == "nothing is there at a negative version, -1"


def test_a_call_that_the_server_does_not_have_is_told() -> None:
    (found,) = differences([entry(REQUEST, to="sc").replace("03ed", "0400")])
    assert found.message == "call 1024 version 0"


def test_a_reply_nobody_asked_for_is_told() -> None:
    (found,) = differences([entry(bytes.fromhex("00000008 00000000"), "<")])
    assert "connection 1 never asked" in found.what


def test_what_mirrors_say_to_each_other_is_passed_over() -> None:
    start = spu.StartMirrorRequest(remote_replica="t-0", remote_cluster_id="edge").encode(25)
    lines = [
        entry(bytes.fromhex("07d00019000000070000") + start),
        entry(bytes.fromhex("00000000000000010000") + bytes(20), "<"),
        entry(bytes.fromhex("00010000000000010000") + bytes(20), ">"),
    ]
    totals = Totals()
    assert list(check_lines(lines, totals)) == []
    assert totals.frames == 1


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "7",
        '{"hex": "00"}',
        '{"conn": 1, "to": "sc", "dir": "-", "hex": "00"}',
        '{"conn": 1, "to": "sc", "dir": ">", "hex": "0"}',
        '{"conn": 1, "to": "sc", "dir": ">", "runs": [["00", 1000000000]]}',
        '{"conn": 1, "to": "sc", "dir": ">", "runs": [["00", 14], ["00", -14]]}',
        '{"conn": 1, "to": "sc", "dir": ">", "runs": [["00", 1e999]]}',
        '{"conn": 1e999, "to": "sc", "dir": ">", "hex": "00"}',
        '{"body_hex": "00"}',
        "[" * 100_000,
    ],
)
def test_a_line_of_something_else_is_told(line: str) -> None:
    (found,) = differences([line])
    assert found.message == "line"
    assert found.what.startswith("not a line of a recording: ")


@pytest.mark.parametrize("data", ["", "00", "00000002ff", "00000001ffff", "ffffffff00", "00000000"])
def test_a_line_that_is_not_one_frame_is_told(data: str) -> None:
    (found,) = differences([json.dumps({"conn": 1, "to": "sc", "dir": ">", "hex": data})])
    assert found.message == "line"


def test_a_frame_may_be_given_in_runs() -> None:
    value = b"x" * 5000
    payload = produce(encode_batch([value]))
    start = payload.index(value)
    data = len(payload).to_bytes(4, "big") + payload
    runs = [[data[: start + 4].hex(), 1], ["78", 5000], [data[start + 5004 :].hex(), 1]]
    totals = Totals()
    line = json.dumps({"conn": 1, "to": "spu-5001", "dir": ">", "runs": runs})
    assert list(check_lines([line], totals)) == []
    assert totals.records == 1


def test_a_frame_may_be_as_large_as_a_recorder_takes_one() -> None:
    header = bytes.fromhex("03ed00000000000700ff")
    data = (65 * 1024 * 1024).to_bytes(4, "big") + header
    runs = [[data.hex(), 1], ["00", 65 * 1024 * 1024 - len(header)]]
    line = json.dumps({"conn": 1, "to": "spu-5001", "dir": ">", "runs": runs})
    frame = Recording().read(line)
    assert frame is not None
    assert len(frame.payload) == 65 * 1024 * 1024


class TestCommand:
    def test_ends_with_totals_and_status_0_where_all_is_the_same(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "good.jsonl"
        file.write_text(entry(REQUEST) + "\n")
        assert main(["check", str(file), str(file)]) == 0
        assert capsys.readouterr().out == (
            "2 files, 2 frames, 0 batches (0 compressed), 0 records:"
            " 2 frames the same, 0 different\n"
        )

    def test_names_file_line_and_field_and_ends_with_status_1_where_not(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "bad.jsonl"
        file.write_text(entry(REQUEST) + "\n" + entry(REQUEST[:-4]) + "\n")
        assert main(["check", str(file)]) == 1
        first, last = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{file}:2: UpdateOffsetsRequest version 0: offsets")
        assert last.endswith("1 frames the same, 1 different")

    def test_a_file_without_a_frame_is_status_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        empty, good = tmp_path / "empty.jsonl", tmp_path / "good.jsonl"
        empty.write_text("")
        good.write_text(entry(REQUEST) + "\n")
        assert main(["check", str(empty), str(good)]) == 1
        first, last = capsys.readouterr().out.splitlines()
        assert first == f"{empty}: there is no frame in it"
        assert last.endswith("1 frames the same, 0 different")

    def test_a_line_ends_nowhere_else_than_where_lines_of_json_do(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "good.jsonl"
        file.write_text('{"what": "one\u2028two"}\n' + entry(REQUEST) + "\n", encoding="utf-8")
        assert main(["check", str(file)]) == 0
        assert "1 frames the same" in capsys.readouterr().out

    def test_a_file_that_is_not_there_is_status_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["check", str(tmp_path / "none.jsonl")]) == 2
        assert "none.jsonl" in capsys.readouterr().err

    def test_a_file_that_is_no_text_is_named_and_status_2(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["check", str(golden.ARCHIVE)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"python -m txfluvio.wire check: {golden.ARCHIVE}: is no text")
        assert "expected a recording, JSON lines" in told
