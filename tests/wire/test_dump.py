"""A frame is shown with each byte's field beside it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from tests import golden
from txfluvio.errors import UsageError
from txfluvio.wire import Batch, Compression, RecordSet, encode_batch, encode_request, spu
from txfluvio.wire.__main__ import main
from txfluvio.wire.compression import compress
from txfluvio.wire.dump import describe, one_frame, take_apart
from txfluvio.wire.recordings import RecordedFrame
from txfluvio.wire.schema import evolve

SAMPLE = golden.frames()[::7]


def produce(records: bytes) -> RecordedFrame:
    partition = spu.PartitionProduceData(partition_index=0, records=RecordSet(records))
    topic = spu.TopicProduceData(name="t", partitions=(partition,))
    whole = encode_request(
        spu.ProduceRequest(topics=(topic,)), version=25, correlation_id=1, client_id=""
    )
    return RecordedFrame.of_request("SPU", whole[4:])


def paths(frame: RecordedFrame) -> list[str]:
    return [part.span.path for part in take_apart(frame)[0]]


RECORDS = "topics[0].partitions[0].records"


def test_every_byte_of_every_recorded_frame_is_of_a_named_field() -> None:
    for frame in SAMPLE:
        parts, problem = take_apart(frame)
        assert problem is None
        assert all(part.span.path for part in parts)
        assert b"".join(part.data for part in parts if not part.unpacked) == frame.payload


def test_what_is_shown_is_what_is_there() -> None:
    for frame in SAMPLE[::20]:
        shown = b"".join(
            bytes.fromhex(line[8:56])
            for line in describe(frame, everything=True)
            if line.startswith("  ")
        )
        assert shown == frame.payload


def test_a_reply() -> None:
    frame = one_frame("0000000e 00000008 00000001 00000009 0bba", server="SPU", reply_to=(1005, 0))
    assert list(describe(frame)) == [
        "UpdateOffsetsResponse version 0, SPU, 14 bytes behind the size",
        "  0000  00 00 00 08                                      correlation_id        8",
        "  0004  00 00 00 01                                      status.count          1",
        "  0008  00 00 00 09                                      status[0].session_id  9",
        "  000c  0b ba                                            status[0].error       "
        "3002 FETCH_SESSION_NOT_FOUND",
    ]


def test_records_are_followed_to_their_last_varint() -> None:
    found = [path for path in paths(produce(encode_batch([(b"k", b"v")]))) if "record[0]" in path]
    assert [path.rpartition("record[0].")[2] for path in found] == [
        "length",
        "attributes",
        "timestamp_delta",
        "offset_delta",
        "key.present",
        "key",
        "value",
        "headers",
    ]
    assert found[0] == f"{RECORDS}.batch[0].record[0].length"


@pytest.mark.parametrize("codec", list(Compression)[1:])
def test_a_compressed_blob_is_shown_and_opened(codec: Compression) -> None:
    frame = produce(encode_batch([b"value"], compression=codec))
    parts, problem = take_apart(frame)
    assert problem is None
    inside = b"".join(part.data for part in parts if part.unpacked)
    assert inside == Batch(encode_batch([b"value"]), 0).blob()
    lines = list(describe(frame))
    assert any(line.endswith(f"{codec.name.lower()}, unpacked below") for line in lines)
    assert any(line.startswith(" +0000  00 00 00 01") for line in lines)


def test_a_schema_id_is_shown() -> None:
    batch = Batch(encode_batch([b"x"]), 0)
    batch.attributes, batch.schema_id = 0x10, 42
    frame = produce(batch.pack(batch.blob()))
    (part,) = (p for p in take_apart(frame)[0] if p.span.path.endswith("schema_id"))
    assert (part.data, part.span.value) == (b"\0\0\0\x2a", 42)


def test_what_is_left_of_a_cut_batch_is_a_fragment() -> None:
    batch = encode_batch([b"x"])
    assert f"{RECORDS}.fragment" in paths(produce(batch + batch[:20]))


def test_bytes_behind_the_records_are_surplus() -> None:
    batch = Batch(encode_batch([b"x"]), 0)
    blob = batch.blob() + b"more"
    for codec in Compression:
        batch.attributes = int(codec)
        frame = produce(batch.pack(compress(codec, blob)))
        (part,) = (p for p in take_apart(frame)[0] if p.span.path.endswith("surplus"))
        assert part.data == b"more"


def test_what_can_not_be_read_is_shown_with_the_reason() -> None:
    frame = produce(encode_batch([b"x"]))
    cut = attrs.evolve(frame, payload=frame.payload[:-5])
    *lines, reason = describe(cut)
    assert any(line.endswith("not read") for line in lines)
    assert reason.strip().startswith("ProduceRequest.topics[0].partitions[0].records at byte")


def test_a_negative_version_is_shown_with_the_reason() -> None:
    frame = produce(encode_batch([b"x"]))
    negative = attrs.evolve(frame, header=evolve(frame.header, api_version=-1))
    *_, reason = describe(negative)
    assert reason.strip() == "ProduceRequest: nothing is there at a negative version, -1"


def test_a_wrong_checksum_is_told_below_what_it_is_about() -> None:
    batch = bytearray(encode_batch([b"x"]))
    batch[20] ^= 1
    parts, problem = take_apart(produce(bytes(batch)))
    assert problem is not None
    assert problem.field == f"{RECORDS}.batch.crc"
    assert any(part.span.value == b"x" for part in parts)


def test_a_long_field_is_cut_short_unless_all_is_asked_for() -> None:
    frame = produce(encode_batch([b"x" * 1000]))
    assert any("... 986 bytes more" in line for line in describe(frame))
    assert sum(line.count("78") for line in describe(frame, everything=True)) >= 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "xyz",
        "0",
        "00000001",
        "00000001 0000",
        "00000001 00 00000001 00",
        "00000001 00 ffffffff",
    ],
)
def test_text_that_is_not_one_frame_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        one_frame(text, server="SPU", reply_to=None)


class TestCommand:
    """The command line."""

    def run(self, *arguments: str, text: str, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return main(["dump", *arguments])

    def test_a_request_needs_its_server_only(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payload = bytes.fromhex("03ec001300000002000564756d6d79") + bytes.fromhex(
            "0005546f70696300000009000000000000000000"
        )
        text = (len(payload).to_bytes(4, "big") + payload).hex(" ")
        assert self.run("-", "--server", "sc", text=text, monkeypatch=monkeypatch) == 0
        assert "'Topic'" in capsys.readouterr().out

    def test_a_reply_needs_the_key_and_version_of_its_request(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = "0000000e000000080000000100000009\n0bba"
        arguments = ("--reply", "--key", "1005", "--version", "0")
        assert self.run(*arguments, text=text, monkeypatch=monkeypatch) == 0
        assert "FETCH_SESSION_NOT_FOUND" in capsys.readouterr().out
        with pytest.raises(SystemExit):
            self.run("--reply", text=text, monkeypatch=monkeypatch)

    def test_a_recording_is_shown_frame_by_frame(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = golden.recordings()["real/python-connect.jsonl"]
        file = tmp_path / "connect.jsonl"
        file.write_text("\n".join(lines))
        assert main(["dump", str(file)]) == 0
        shown = capsys.readouterr().out
        frames = sum("hex" in json.loads(line) for line in lines)
        assert shown.count("bytes behind the size") == frames
        assert main(["dump", str(file), "--line", "2"]) == 0
        assert capsys.readouterr().out.startswith("line 2 > ApiVersionsRequest version 2, SC")

    def test_a_line_without_a_frame_is_status_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "connect.jsonl"
        file.write_text("\n".join(golden.recordings()["real/python-connect.jsonl"]))
        assert main(["dump", str(file), "--line", "999"]) == 2
        assert "there is no frame to show on line 999 of the recording" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["", "nonsense", "{nonsense", "{}"])
    def test_what_is_neither_is_status_2(
        self,
        text: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert self.run(text=text, monkeypatch=monkeypatch) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("python -m txfluvio.wire dump: ")
        assert captured.out == ""

    def test_a_reader_who_has_seen_enough_is_no_error(self, tmp_path: Path) -> None:
        file = tmp_path / "long.jsonl"
        file.write_text("\n".join(golden.recordings()["real/cli-solo-spu-killed-consume.jsonl"]))
        command = [sys.executable, "-m", "txfluvio.wire", "dump", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(30) == 0
