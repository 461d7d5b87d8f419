"""Recorded conversations of official clients, replayed against the fake: it does the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import pytest

from tests.golden import ARCHIVE, recordings
from txfluvio.errors import ProtocolError, UsageError
from txfluvio.testing.__main__ import main
from txfluvio.testing.replay import Outcome, player, replay
from txfluvio.testing.replay.beginning import beginning_of
from txfluvio.testing.replay.conversation import Conversation
from txfluvio.testing.replay.lives import Lives
from txfluvio.testing.replay.served import MOST_MADE_UP, Served, log_of
from txfluvio.testing.sc.lifecycle import NEW_PARTITION
from txfluvio.wire.codes import Code, error
from txfluvio.wire.framing import frame
from txfluvio.wire.headers import encode_reply, encode_request
from txfluvio.wire.recordings import RecordedFrame, Recording
from txfluvio.wire.records import RecordSet, encode_batch, renumber
from txfluvio.wire.sc import (
    PARTITION,
    TOPIC,
    Computed,
    CreateRequest,
    DeleteRequest,
    ListResponse,
    Metadata,
    PartitionResolution,
    PartitionSpec,
    PartitionStatus,
    ReplicaStatus,
    StatusResponse,
    TopicSpec,
    WasmSummary,
    WatchResponse,
)
from txfluvio.wire.schema import Message, Request, evolve
from txfluvio.wire.spu import (
    FetchOffsetPartition,
    FetchOffsetPartitionResponse,
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchOffsetTopic,
    FetchOffsetTopicResponse,
    PartitionProduceData,
    PartitionProduceResponse,
    PartitionResponse,
    ProduceRequest,
    ProduceResponse,
    StartMirrorRequest,
    StreamFetchRequest,
    StreamFetchResponse,
    TopicProduceData,
    TopicProduceResponse,
    UpdateOffsetsRequest,
    UpdateOffsetsResponse,
)

REAL = {
    name.removeprefix("real/").removesuffix(".jsonl"): lines
    for name, lines in recordings().items()
    if name.startswith("real/")
}


@pytest.mark.parametrize("scenario", sorted(REAL))
def test_the_fake_does_what_was_recorded(scenario: str) -> None:
    outcome = replay(REAL[scenario])
    assert [str(one) for one in outcome.differences] == []
    assert outcome.compared > 0


# What a replay is worth: a recording of something else is told apart.


def forged(
    scenario: str,
    kind: type[Message],
    change: Callable[[Any], Message | None],
    *,
    every: bool = False,
) -> Outcome:
    """Replay a recording in which the first frame of a kind that can be changed is, or all are."""
    return replay(forge(scenario, kind, change, every=every))


def forge(
    scenario: str,
    kind: type[Message],
    change: Callable[[Any], Message | None],
    *,
    every: bool = False,
) -> list[str]:
    """A recording in which the first frame of a kind that can be changed is, or all are."""
    lines = list(REAL[scenario])
    recording = Recording()
    count = 0
    for number, line in enumerate(lines):
        found = recording.read(line)
        if found is None or not found.is_reply or found.type is not kind:
            continue
        changed = change(message_of(found))
        if changed is None:
            continue
        entry = json.loads(line)
        entry["hex"] = frame(found.encode(changed)).hex()
        lines[number] = json.dumps(entry)
        count += 1
        if not every:
            break
    assert count, f"no {kind.__name__} to forge in {scenario}"
    return lines


def message_of(found: RecordedFrame) -> Message:
    return found.type.decode(found.payload, found.header.api_version, found.body)


def told(outcome: Outcome) -> str:
    return "\n".join(str(one) for one in outcome.differences)


def test_another_answer_to_create_is_a_difference() -> None:
    outcome = forged(
        "cli-topic-create",
        StatusResponse,
        lambda message: evolve(
            message, error_code=error(Code.TOPIC_ALREADY_EXISTS), error_message="no"
        ),
    )
    assert "CreateRequest: error_code.code: recorded 2002, replayed 0" in told(outcome)
    assert "CreateRequest: error_message" in told(outcome)


def test_another_offset_of_a_produce_is_a_difference() -> None:
    def change(message: ProduceResponse) -> ProduceResponse | None:
        topic = message.responses[0]
        if not topic.partitions or not topic.partitions[0].base_offset:
            return None
        entry = evolve(topic.partitions[0], base_offset=0)
        return evolve(message, responses=(evolve(topic, partitions=(entry,)),))

    outcome = forged("cli-produce-key", ProduceResponse, change)
    assert "base_offset: recorded 0, replayed 1" in told(outcome)


def test_other_bytes_of_a_later_push_are_a_difference() -> None:
    def change(message: StreamFetchResponse) -> StreamFetchResponse:
        records = RecordSet.of(encode_batch([b"something else"]))
        return evolve(message, partition=evolve(message.partition, records=records))

    outcome = forged("python-consume-end-then-produce", StreamFetchResponse, change)
    assert "partition.records: recorded" in told(outcome)


def test_another_position_of_a_push_is_a_difference() -> None:
    def change(message: StreamFetchResponse) -> StreamFetchResponse:
        moved = evolve(message.partition, next_filter_offset=77)
        return evolve(message, partition=moved)

    outcome = forged("cli-consume-beginning-end", StreamFetchResponse, change)
    assert "partition.next_filter_offset: recorded 77, replayed 0" in told(outcome)


def test_an_unknown_stream_that_was_known_is_a_difference() -> None:
    def change(message: UpdateOffsetsResponse) -> UpdateOffsetsResponse:
        return evolve(
            message, status=(evolve(message.status[0], error=error(Code.FETCH_SESSION_NOT_FOUND)),)
        )

    outcome = forged("cli-consume-live", UpdateOffsetsResponse, change)
    assert "status[0].error.code: recorded 3002, replayed 0" in told(outcome)


def test_an_end_that_moves_back_is_a_difference() -> None:
    def change(message: FetchOffsetsResponse) -> FetchOffsetsResponse:
        topic = message.topics[0]
        entry = evolve(topic.partitions[0], partition_index=3)
        return evolve(message, topics=(evolve(topic, partitions=(entry,)),))

    outcome = forged("cli-consume-beginning-end", FetchOffsetsResponse, change)
    assert "partition_index: recorded 3, replayed 0" in told(outcome)


def test_another_object_in_a_list_is_a_difference() -> None:
    def change(message: ListResponse) -> ListResponse:
        first = message.objects[0]
        changed = evolve(first, spec=evolve(first.spec, system=not first.spec.system))
        return evolve(message, objects=(changed, *message.objects[1:]))

    outcome = forged("cli-topic-list", ListResponse, change)
    assert ".spec.system: recorded True, replayed False" in told(outcome)


def test_a_state_that_the_fake_never_told_of_is_a_difference() -> None:
    def change(message: WatchResponse) -> WatchResponse | None:
        if not message.changes or not message.changes[0].content.name.startswith("t1-"):
            return None
        first = message.changes[0]
        if first.content.status.resolution is not PartitionResolution.ONLINE:
            return None
        status = evolve(first.content.status, resolution=PartitionResolution.OUT_OF_STORAGE)
        content = evolve(first.content, status=status)
        return evolve(message, changes=(evolve(first, content=content),))

    outcome = forged("cli-topic-create", WatchResponse, change)
    assert "Partition 't1-0'.status.resolution" in told(outcome)


def test_another_placement_is_a_difference() -> None:
    def change(message: WatchResponse) -> WatchResponse | None:
        if not message.changes or not message.changes[0].content.name.startswith("t1-"):
            return None
        first = message.changes[0]
        spec = evolve(first.content.spec, leader=5001, replicas=(5001,))
        content = evolve(first.content, spec=spec)
        return evolve(message, changes=(evolve(first, content=content),))

    outcome = forged("cli-topic-create", WatchResponse, change, every=True)
    assert "Partition 't1-0'.spec.leader: recorded 5001, replayed 5002" in told(outcome)


def test_another_size_of_a_log_is_a_difference() -> None:
    def change(message: WatchResponse) -> WatchResponse | None:
        if not message.changes or not message.changes[0].content.name.startswith("live-"):
            return None
        first = message.changes[0]
        status = evolve(first.content.status, size=first.content.status.size + 1)
        content = evolve(first.content, status=status)
        return evolve(message, changes=(evolve(first, content=content),))

    outcome = forged("cli-consume-live", WatchResponse, change, every=True)
    assert "Partition 'live-0'.status.size: recorded" in told(outcome)


def test_a_record_that_did_not_get_into_the_log_is_a_difference() -> None:
    def change(message: ProduceResponse) -> ProduceResponse | None:
        topic = message.responses[0]
        if not topic.partitions:
            return None
        entry = evolve(topic.partitions[0], base_offset=topic.partitions[0].base_offset + 7)
        return evolve(message, responses=(evolve(topic, partitions=(entry,)),))

    # The first offset is taken for the end of the log; the second has to follow from it.
    outcome = forged("cli-produce-key", ProduceResponse, change)
    assert "base_offset: recorded 1, replayed 8" in told(outcome)


def lasting(lines: list[str], seconds: float) -> list[str]:
    """The same recording, in which the client stays so much longer before it goes."""
    entries = [json.loads(line) for line in lines]
    first = next(number for number, one in enumerate(entries) if one.get("eof"))
    for one in entries[first:]:
        one["ms"] += seconds * 1000
    return [json.dumps(one) for one in entries]


def without(lines: list[str], *kinds: type[Message]) -> list[str]:
    """The same recording, in which frames of these kinds are missing."""
    recording = Recording()
    found = [recording.read(line) for line in lines]
    return [
        line
        for line, one in zip(lines, found, strict=True)
        if one is None or not issubclass(one.type, kinds)
    ]


def test_a_push_that_the_real_one_never_sent_is_a_difference() -> None:
    silent = without(
        REAL["cli-consume-beginning-end"],
        StreamFetchResponse,
        UpdateOffsetsRequest,
        UpdateOffsetsResponse,
    )
    assert "StreamFetchRequest: 1 more than was recorded" in told(replay(lasting(silent, 1.0)))


def test_a_change_that_the_real_one_never_told_of_is_a_difference() -> None:
    def change(message: WatchResponse) -> WatchResponse | None:
        if not message.changes or not message.changes[0].content.name.startswith("t1-"):
            return None
        return evolve(message, changes=())

    lines = lasting(forge("cli-topic-create", WatchResponse, change, every=True), 1.0)
    assert "Partition 't1-0' in the end: recorded None" in told(replay(lines))


def test_a_reply_that_does_not_come_is_a_difference() -> None:
    lines = list(REAL["cli-topic-create"])
    number = next(number for number, line in enumerate(lines) if json.loads(line).get("dir") == "<")
    answered = json.loads(lines[number])
    lines.insert(number + 1, json.dumps(answered))
    outcome = replay(lines)
    assert "ApiVersionsRequest: no reply" in told(outcome)


def test_a_connection_that_the_real_server_closed_alone_is_a_difference() -> None:
    lines = list(REAL["python-two-streams-one-connection"])
    last = json.loads(lines[-1])["ms"]
    ends = [number for number, line in enumerate(lines) if '"eof"' in line]
    lines = [line for number, line in enumerate(lines) if number not in ends]
    connections = {json.loads(line)["conn"]: json.loads(line)["to"] for line in lines[1:]}
    number, to = next((one, to) for one, to in connections.items() if to == "sc")
    other = {"conn": 9, "to": "sc", "dir": ">", "ms": last, "hex": first_request(lines)}
    answer = {"conn": 9, "to": "sc", "dir": "<", "ms": last, "hex": first_answer(lines)}
    end = {"conn": number, "to": to, "dir": "<", "ms": last + 500, "eof": True}
    outcome = replay([*lines, *[json.dumps(one) for one in (other, answer, end)]])
    assert "the connection stays open" in told(outcome)


def first_request(lines: list[str]) -> str:
    return next(str(one["hex"]) for one in map(json.loads, lines) if one.get("dir") == ">")


def first_answer(lines: list[str]) -> str:
    return next(str(one["hex"]) for one in map(json.loads, lines) if one.get("dir") == "<")


def pushed_while_others_produce(high_watermark: int, *, answered: bool = False) -> Outcome:
    """A record is pushed while the next one is on its way.

    :param answered: whether that was stored before the stream was opened.
    """
    batch = RecordSet(encode_batch([b"x"]))
    part = PartitionProduceData(partition_index=0, records=batch)
    produce = ProduceRequest(topics=(TopicProduceData(name="t", partitions=(part,)),))

    def done(base: int) -> ProduceResponse:
        entry = PartitionProduceResponse(partition_index=0, base_offset=base)
        return ProduceResponse(responses=(TopicProduceResponse(name="t", partitions=(entry,)),))

    look = PartitionResponse(partition_index=0, high_watermark=high_watermark, records=batch)
    stream = (2, 1, StreamFetchRequest(topic="t", partition=0, fetch_offset=0, max_bytes=1_000_000))
    push = (2, 1, StreamFetchResponse(topic="t", stream_id=1, partition=look))
    first = ((1, 1, produce), (1, 1, done(0)), (1, 2, produce))
    last = (1, 2, done(1))
    return replay(said(*first, *((last, stream, push) if answered else (stream, push, last))))


def test_a_push_may_know_nothing_of_what_others_produce_meanwhile() -> None:
    assert told(pushed_while_others_produce(high_watermark=1)) == ""


def test_a_high_watermark_below_what_was_pushed_is_a_difference() -> None:
    outcome = pushed_while_others_produce(high_watermark=0)
    assert "partition.high_watermark: recorded 0, replayed 2" in told(outcome)


def test_a_high_watermark_below_what_was_stored_before_is_a_difference() -> None:
    outcome = pushed_while_others_produce(high_watermark=1, answered=True)
    assert "partition.high_watermark: recorded 1, replayed 2" in told(outcome)


def test_without_followers_records_are_committed_at_once() -> None:
    asked = FetchOffsetPartition(partition_index=0)
    end = FetchOffsetPartitionResponse(partition_index=0, start_offset=0, last_stable_offset=0)
    request = FetchOffsetsRequest(topics=(FetchOffsetTopic(name="t", partitions=(asked,)),))
    reply = FetchOffsetsResponse(topics=(FetchOffsetTopicResponse(name="t", partitions=(end,)),))
    outcome = replay([*produced(1, connections=False), *said((2, 1, request), (2, 1, reply))])
    assert "last_stable_offset: recorded 0, replayed 1" in told(outcome)


def test_a_high_watermark_that_is_too_high_is_a_difference() -> None:
    outcome = pushed_while_others_produce(high_watermark=3)
    assert "partition.high_watermark: recorded 3, replayed 2" in told(outcome)


REPORTED = PartitionStatus(
    resolution=PartitionResolution.ONLINE, leader=ReplicaStatus(spu=5001, hw=0, leo=0), size=0
)


def partition(name: str, status: PartitionStatus = NEW_PARTITION) -> Metadata:
    return Metadata(name=name, spec=PartitionSpec(leader=5001, replicas=(5001,)), status=status)


def taken_for_new(lives: Lives, time: float) -> bool:
    """Whether t-1 may have been recorded as new where the fake has it online."""
    early = lives.as_early(partition("t-1"), partition("t-1", REPORTED), time)
    return early == partition("t-1")


class TestPartitionsThatNobodyHasReportedOn:
    """Who comes early sees them so, where the fake has reported at once."""

    def test_are_those_that_were_not_there(self) -> None:
        assert taken_for_new(Lives(["t-0"]), 9.0)
        assert not taken_for_new(Lives(["t-0", "t-1"]), 9.0)

    def test_are_not_those_that_have_been_seen_otherwise(self) -> None:
        lives = Lives([])
        lives.see("t-1", partition("t-1", REPORTED), 9.0)
        assert not taken_for_new(lives, 9.1)

    def test_are_so_for_a_second(self) -> None:
        lives = Lives([])
        lives.see("t-1", partition("t-1"), 9.0)
        assert taken_for_new(lives, 10.0)
        assert not taken_for_new(lives, 10.1)

    def test_are_so_for_a_second_since_their_topic_was_made(self) -> None:
        lives = Lives([])
        create = CreateRequest(
            kind=TOPIC, name="t", spec=TopicSpec(replicas=Computed(partitions=2))
        )
        lives.answered(create, 9.0)
        assert taken_for_new(lives, 10.0)
        assert not taken_for_new(lives, 10.1)

    def test_are_those_of_a_topic_that_was_deleted_before(self) -> None:
        lives = Lives(["t-1"])
        lives.answered(DeleteRequest(kind=TOPIC, key="t"), 9.0)
        assert taken_for_new(lives, 9.0)

    def test_are_in_no_state_that_is_neither(self) -> None:
        odd = partition("t-1", evolve(NEW_PARTITION, size=0))
        told = partition("t-1", REPORTED)
        assert Lives([]).as_early(odd, told, 9.0) == told


def test_a_partition_of_before_that_is_listed_as_new_is_a_difference() -> None:
    def change(message: ListResponse) -> ListResponse | None:
        if message.kind is not PARTITION:
            return None
        first = evolve(message.objects[0], status=NEW_PARTITION)
        return evolve(message, objects=(first, *message.objects[1:]))

    outcome = forged("cli-partition-list", ListResponse, change)
    assert ".status.leader.spu: recorded -1, replayed 500" in told(outcome)


def test_what_others_did_is_told() -> None:
    outcome = replay(REAL["cli-leader-killed-consume"])
    done = " ".join(outcome.outside)
    assert "5002 goes down" in done
    assert "others produce to live2/0 up to 14" in done


def produced_at(*bases: int) -> list[str]:
    """A record for partition 0 in each entry of one request, and where the records went."""
    part = PartitionProduceData(partition_index=0, records=RecordSet(encode_batch([b"x"])))
    request = ProduceRequest(topics=(TopicProduceData(name="t", partitions=(part,) * len(bases)),))
    done = tuple(PartitionProduceResponse(partition_index=0, base_offset=one) for one in bases)
    reply = ProduceResponse(responses=(TopicProduceResponse(name="t", partitions=done),))
    return said((1, 1, request), (1, 1, reply))


def said(*frames: tuple[int, int, Message]) -> list[str]:
    """A recording of what was said to and by an SPU, each with its connection and number."""
    lines = []
    for number, (connection, correlation_id, message) in enumerate(frames):
        ids = {"version": 25, "correlation_id": correlation_id}
        asks = isinstance(message, Request)
        if isinstance(message, Request):
            data = encode_request(message, client_id="", **ids)
        else:
            data = encode_reply(message, **ids)
        where = {"conn": connection, "to": "spu-5001", "dir": ">" if asks else "<"}
        lines.append(json.dumps({**where, "ms": number, "hex": data.hex()}))
    return lines


def test_entries_of_one_request_follow_each_other_in_the_log() -> None:
    outcome = replay(produced_at(5, 6, 7))
    assert outcome.differences == ()
    assert outcome.outside == ()


def test_a_gap_between_entries_of_one_request_is_a_difference() -> None:
    assert "partitions[1].base_offset: recorded 7, replayed 6" in told(replay(produced_at(5, 7)))


def test_spus_may_have_any_ids() -> None:
    lines = [line.replace('"spu-5002"', '"spu-77"') for line in REAL["cli-produce-key"]]
    recording = Recording()
    for number, line in enumerate(lines):
        found = recording.read(line)
        if found is None or not found.is_reply or found.type is not WatchResponse:
            continue
        payload = found.payload.replace((5002).to_bytes(4, "big"), (77).to_bytes(4, "big"))
        lines[number] = json.dumps({**json.loads(line), "hex": frame(payload).hex()})
    assert [str(one) for one in replay(lines).differences] == []


@pytest.mark.parametrize("lines", range(2, 40, 4))
def test_the_beginning_of_a_conversation_is_one(lines: int) -> None:
    outcome = replay(REAL["python-lifetime"][:lines])
    assert [str(one) for one in outcome.differences] == []


def test_a_conversation_with_spus_alone_is_one() -> None:
    lines = [line for line in REAL["cli-consume-live"] if '"to": "sc"' not in line]
    outcome = replay(lines)
    assert [str(one) for one in outcome.differences] == []
    assert outcome.compared > 10


def test_lines_that_are_no_recording_are_refused() -> None:
    reason = "^line 2: not a line of a recording: Expecting value at character 0$"
    with pytest.raises(UsageError, match=reason):
        replay(["{}", "no JSON"])


def test_a_line_without_a_whole_frame_is_named() -> None:
    line = {"conn": 1, "to": "sc", "dir": ">", "ms": 0, "hex": "00000002ff"}
    with pytest.raises(ProtocolError, match=r"^line 2: .* 5 bytes are not one frame$"):
        replay(["{}", json.dumps(line)])


@pytest.mark.parametrize("lines", [[], [""], ['{"scenario": "nothing"}']])
def test_a_recording_without_a_frame_is_refused(lines: list[str]) -> None:
    with pytest.raises(UsageError, match="there is no frame in the recording"):
        replay(lines)


@pytest.mark.parametrize("ms", ["Infinity", "1e999", "NaN", "-1e999", "1e300"])
def test_a_time_that_never_comes_is_refused(ms: str) -> None:
    lines = list(REAL["cli-topic-list"])
    entry = json.loads(lines[-1])
    lines[-1] = json.dumps({**entry, "ms": float(ms)})
    with pytest.raises(UsageError, match=f"line {len(lines)} is not one of a conversation"):
        replay(lines)


@pytest.mark.parametrize("change", [{"conn": float("inf")}, {"to": "spu-9999999999"}])
def test_an_end_of_what_can_not_be_is_refused(change: dict[str, object]) -> None:
    lines = list(REAL["cli-topic-list"])
    entry = json.loads(lines[-1])
    assert entry["eof"]
    lines[-1] = json.dumps({**entry, **change})
    with pytest.raises(UsageError, match=f"line {len(lines)} is not one of a conversation"):
        replay(lines)


# What a replay costs grows with the conversation and not with its square.


def produced(number: int, *, connections: bool) -> list[str]:
    """So many records, each produced when the last was; all on a connection, or each on its own."""
    batch = RecordSet(encode_batch([b"x"]))
    part = PartitionProduceData(partition_index=0, records=batch)
    request = ProduceRequest(topics=(TopicProduceData(name="t", partitions=(part,)),))
    lines = []
    for count in range(number):
        done = PartitionProduceResponse(partition_index=0, base_offset=count)
        reply = ProduceResponse(responses=(TopicProduceResponse(name="t", partitions=(done,)),))
        ids = {"version": 25, "correlation_id": count}
        where = {"conn": count if connections else 0, "to": "spu-5001"}
        asked = encode_request(request, client_id="", **ids).hex()
        told = encode_reply(reply, **ids).hex()
        lines.append({**where, "dir": ">", "ms": 9 * count, "hex": asked})
        lines.append({**where, "dir": "<", "ms": 9 * count + 3, "hex": told})
        if connections:
            lines.append({**where, "dir": ">", "ms": 9 * count + 6, "eof": True})
    return [json.dumps(line) for line in lines]


def steps(lines: list[str]) -> int:
    """How many lines of the player's program run, each turn of a comprehension included."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != player.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outcome = replay(lines)
    finally:
        sys.settrace(before)
    assert outcome.differences == ()
    return count


@pytest.mark.parametrize("connections", [False, True], ids=["requests", "connections"])
def test_twice_the_conversation_is_twice_the_work(connections: bool) -> None:
    few, many = (steps(produced(number, connections=connections)) for number in (50, 100))
    assert many < 2.1 * few


# Nothing is made up of any size that somebody claims.


def reporting(leo: int, size: int) -> list[str]:
    """A recording in which every partition is told to hold that much."""

    def grown(one: Metadata) -> Metadata:
        ends = {"leo": leo, "hw": leo}
        leader = evolve(one.status.leader, **ends)
        replicas = tuple(evolve(replica, **ends) for replica in one.status.replicas)
        return evolve(one, status=evolve(one.status, size=size, leader=leader, replicas=replicas))

    def change(message: WatchResponse) -> WatchResponse | None:
        if message.kind is not PARTITION:
            return None
        return evolve(message, all=tuple(grown(one) for one in message.all))

    return forge("cli-topic-list", WatchResponse, change, every=True)


def made_up(lines: list[str]) -> int:
    return sum(log.size for log in beginning_of(Conversation.read(lines)).logs.values())


def test_partitions_may_be_as_large_as_on_a_busy_cluster() -> None:
    lines = reporting(leo=3_000_000_000, size=5_000_000_000)
    assert made_up(lines) < MOST_MADE_UP
    assert [str(one) for one in replay(lines).differences] == []


def test_logs_are_as_large_as_was_told_while_that_is_little_together() -> None:
    assert MOST_MADE_UP - 30_000_000 < made_up(reporting(leo=100, size=30_000_000)) <= MOST_MADE_UP


def test_what_is_made_up_of_a_log_leaves_room_for_the_indexes() -> None:
    known = Served()
    for base in range(1, 21):
        known.add(RecordSet(renumber(encode_batch([b"x" * 930]), base)))
    made = log_of(known, segment_size=10_000, start=0, end=21, hw=21, size=22_904)
    assert made.size == 22_904 > sum(len(one.data) for one in made)


def test_more_offsets_than_can_be_made_up_are_refused() -> None:
    with pytest.raises(UsageError, match="tells of a log of 1099511627776 offsets"):
        replay(reporting(leo=2**40, size=1000))


def test_a_batch_that_is_cut_is_not_made_up_in_any_size() -> None:
    def change(message: StreamFetchResponse) -> StreamFetchResponse:
        batch = encode_batch([b"x"])
        cut = (1).to_bytes(8, "big") + (300_000_000).to_bytes(4, "big") + batch[12:40]
        records = RecordSet.of(batch, cut)
        return evolve(message, partition=evolve(message.partition, records=records))

    with pytest.raises(UsageError, match="300000012 bytes of batches that were cut"):
        forged("cli-consume-beginning-end", StreamFetchResponse, change)


def test_a_smartmodule_that_is_not_shown_is_not_made_up_in_any_size() -> None:
    def change(message: ListResponse) -> ListResponse:
        first = message.objects[0]
        spec = evolve(first.spec, summary=WasmSummary(wasm_length=2**32 - 1))
        return evolve(message, objects=(evolve(first, spec=spec), *message.objects[1:]))

    with pytest.raises(UsageError, match="bytes of SmartModules, where"):
        forged("cli-smartmodule-list-package", ListResponse, change)


@pytest.mark.parametrize("name", ["t", "t-x", "t-01", "t-10000000000", "t-"])
def test_a_partition_without_a_number_is_refused(name: str) -> None:
    def change(message: WatchResponse) -> WatchResponse | None:
        if message.kind is not PARTITION:
            return None
        return evolve(message, all=(evolve(message.all[0], name=name), *message.all[1:]))

    with pytest.raises(UsageError, match=f"{name!r} is no name of a partition"):
        forged("cli-topic-list", WatchResponse, change)


def test_a_topic_whose_partitions_have_no_replicas_is_one() -> None:
    def change(message: ListResponse) -> ListResponse | None:
        if message.kind is not TOPIC:
            return None
        (topic, *more) = message.objects
        nowhere = dict.fromkeys(topic.status.replica_map, ())
        status = evolve(topic.status, replica_map=nowhere)
        return evolve(message, objects=(evolve(topic, status=status), *more))

    outcome = replay(without(forge("cli-topic-list", ListResponse, change), WatchResponse))
    assert outcome.compared


def test_a_partition_of_a_number_that_none_has_is_refused() -> None:
    lines = [line for line in REAL["cli-produce-key"] if '"to": "sc"' not in line]
    recording = Recording()
    for number, line in enumerate(lines):
        found = recording.read(line)
        if found is None or found.type is not ProduceResponse:
            continue
        message = message_of(found)
        assert isinstance(message, ProduceResponse)
        (topic,) = message.responses
        entry = evolve(topic.partitions[0], partition_index=2**31 - 1)
        message = evolve(message, responses=(evolve(topic, partitions=(entry,)),))
        lines[number] = json.dumps({**json.loads(line), "hex": frame(found.encode(message)).hex()})
        break
    with pytest.raises(UsageError, match="tells of partition 2147483647 of"):
        replay(lines)


class TestCommand:
    def test_ends_with_status_0_where_all_is_the_same(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "list.jsonl"
        about = '{"what": "one\u2028two"}'
        file.write_text("\n".join([about, *REAL["cli-topic-list"]]), encoding="utf-8")
        assert main(["replay", str(file)]) == 0
        assert capsys.readouterr().out.endswith("recordings: 1 the same, 0 different\n")

    def test_a_file_without_a_frame_is_status_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "empty.jsonl"
        file.write_text("")
        assert main(["replay", str(file)]) == 1
        assert capsys.readouterr().out == (
            f"{file}: there is no frame in the recording\n"
            "0 comparisons; recordings: 0 the same, 1 different\n"
        )

    def test_a_file_of_something_else_is_named_and_status_2(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["replay", str(ARCHIVE)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"python -m txfluvio.testing replay: {ARCHIVE}: is no text")
        assert "expected a recording, JSON lines" in told


def test_a_connection_of_mirrors_is_replayed_as_far_as_it_is_a_client_s() -> None:
    request = StartMirrorRequest(remote_replica="t-0", remote_cluster_id="edge")
    start = encode_request(request, version=25, correlation_id=1, client_id="")
    update = frame(bytes.fromhex("00000000000000010000") + bytes(20))
    lines = [
        json.dumps({"conn": 1, "to": "spu-5001", "dir": way, "ms": time, "hex": data.hex()})
        for way, time, data in ((">", 0, start), ("<", 5, update), (">", 9, update))
    ]
    conversation = Conversation.read(['{"what": "mirrors"}', *lines])
    assert conversation.about == {"what": "mirrors"}
    assert replay(lines).differences == ()


def test_an_outcome_is_a_value() -> None:
    assert attrs.has(Outcome)
