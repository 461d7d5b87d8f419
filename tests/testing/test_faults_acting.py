"""What each action does to a connection, byte by byte."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.testing.fault_kit import HELLO, ONE, FaultKit, code, kit
from tests.testing.spu_kit import COMMITTED, entry, fetch, produce
from txfluvio.errors import ProtocolError, UsageError
from txfluvio.testing.faults import (
    AnswerError,
    Close,
    CorruptCrc,
    Delay,
    FailTls,
    HalfAlive,
    Hold,
    Latency,
    LoseReply,
    Moment,
    NeverAnswer,
    Refuse,
    Reorder,
    Repeat,
    Reset,
    ShortCommittedFrame,
    SplitPush,
    StallReading,
    Trickle,
    Truncate,
    UnknownCorrelation,
    WrongCorrelation,
    WrongLength,
)
from txfluvio.testing.faults.meddling import TLS_ALERT
from txfluvio.testing.faults.outbox import MAX_UNDER_WAY
from txfluvio.wire.codes import Code, ReplicaKey
from txfluvio.wire.headers import reply_correlation_id
from txfluvio.wire.sc import TOPIC, ListRequest, WatchRequest
from txfluvio.wire.spu import (
    DeleteConsumerOffsetRequest,
    FetchConsumerOffsetsRequest,
    FetchOffsetPartition,
    FetchOffsetsRequest,
    FetchOffsetTopic,
    OffsetUpdate,
    StreamFetchRequest,
    UpdateConsumerOffsetRequest,
    UpdateOffsetsRequest,
)

__all__ = ["kit"]

RECORDS = StreamFetchRequest(topic="orders", partition=0, fetch_offset=0, max_bytes=1_000_000)


def whole(kit: FaultKit) -> bytes:
    """The answer to an ApiVersions that is the first request of its connection."""
    peer = kit.spu()
    peer.send(HELLO)
    return peer.data


# Answering an error


def test_an_error_is_the_answer_and_nothing_is_done(kit: FaultKit) -> None:
    kit.plant(AnswerError(Code.STORAGE_ERROR), api="Produce")
    peer = kit.spu()
    assert code(peer, peer.produce()) == Code.STORAGE_ERROR
    assert kit.stored() == 0


def test_an_error_may_be_a_lie_about_what_was_done(kit: FaultKit) -> None:
    kit.plant(AnswerError(Code.STORAGE_ERROR), api="Produce", partition=0, moment=Moment.REPLY)
    peer = kit.spu()
    number = peer.send(produce(entry(ONE, partition=0), entry(ONE, partition=1)))
    codes = [part.error_code.code for part in peer.reply(number).responses[0].partitions]
    assert codes == [Code.STORAGE_ERROR, 0]
    assert (kit.stored(0), kit.stored(1)) == (1, 1)


def test_a_stream_is_refused_in_its_first_push(kit: FaultKit) -> None:
    kit.plant(AnswerError(Code.NOT_LEADER_FOR_PARTITION), api="StreamFetch")
    peer = kit.spu()
    push = peer.reply(peer.send(RECORDS))
    assert push.partition.error_code.code == Code.NOT_LEADER_FOR_PARTITION
    kit.broker.append("orders", [b"a"])
    kit.clock.advance(0)
    assert len(peer.frames) == 1


def test_an_error_may_be_pushed_amid_a_stream(kit: FaultKit) -> None:
    kit.plant(AnswerError(Code.STORAGE_ERROR), api="StreamFetch", nth=2)
    kit.plant(AnswerError(Code.PARTITION_SHORT_CIRCUITED), api="StreamFetch", moment=Moment.PUSH)
    kit.broker.append("orders", [b"a"])
    peer = kit.spu()
    push = peer.reply(peer.send(RECORDS))
    assert push.partition.error_code.code == Code.PARTITION_SHORT_CIRCUITED


@pytest.mark.parametrize(
    "request_",
    [
        HELLO,
        fetch(0),
        FetchOffsetsRequest(
            topics=(
                FetchOffsetTopic(
                    name="orders", partitions=(FetchOffsetPartition(partition_index=0),)
                ),
            )
        ),
        UpdateOffsetsRequest(offsets=(OffsetUpdate(offset=1, session_id=1),)),
        UpdateConsumerOffsetRequest(offset=1, session_id=1),
        FetchConsumerOffsetsRequest(),
        DeleteConsumerOffsetRequest(
            replica_id=ReplicaKey(topic="orders", partition=0), consumer_id="me"
        ),
    ],
    ids=lambda request: request.api.name,
)
def test_every_call_says_its_error_in_its_own_way(kit: FaultKit, request_: object) -> None:
    kit.plant(AnswerError(Code.SPU_ERROR))
    peer = kit.spu()
    number = peer.send(request_)  # type: ignore[arg-type]
    assert "ErrorCode(code=1000" in repr(peer.reply(number))


# Late, or never


def test_a_delayed_request_is_done_later_and_the_next_waits(kit: FaultKit) -> None:
    kit.plant(Delay(2.0), api="Produce")
    peer = kit.spu()
    first = peer.produce()
    second = peer.send(HELLO)
    kit.clock.advance(1.9)
    assert (peer.answered, kit.stored()) == ([], 0)
    kit.clock.advance(0.1)
    kit.clock.advance(0)
    assert (peer.answered, kit.stored()) == ([first, second], 1)


def test_a_delayed_reply_comes_later_and_the_work_is_done(kit: FaultKit) -> None:
    kit.plant(Delay(2.0), api="Produce", moment=Moment.REPLY)
    peer = kit.spu()
    peer.produce()
    assert (peer.answered, kit.stored()) == ([], 1)
    kit.clock.advance(2.0)
    kit.clock.advance(0)
    assert peer.answered == [1]


def test_what_is_held_waits_for_its_release(kit: FaultKit) -> None:
    planted = kit.plant(Hold(), api="Produce")
    peer = kit.spu()
    peer.produce()
    kit.clock.advance(1_000)
    assert (peer.answered, kit.stored(), planted.held) == ([], 0, 1)
    planted.release()
    kit.clock.advance(0)
    assert (peer.answered, kit.stored(), planted.held) == ([1], 1, 0)


def test_a_held_reply_is_of_work_that_is_done(kit: FaultKit) -> None:
    planted = kit.plant(Hold(), api="Produce", moment=Moment.REPLY)
    peer = kit.spu()
    peer.produce()
    later = peer.send(HELLO)
    assert (peer.answered, kit.stored()) == ([], 1)
    planted.release()
    kit.clock.advance(0)
    assert peer.answered == [1, later]


def test_what_is_held_can_be_let_go_several_times(kit: FaultKit) -> None:
    planted = kit.plant(Hold(), api="Produce", times=None)
    peer = kit.spu()
    for number in (1, 2):
        peer.produce()
        planted.release()
        kit.clock.advance(0)
        assert len(peer.answered) == number


def test_there_has_to_be_something_to_release(kit: FaultKit) -> None:
    planted = kit.plant(Hold())
    with pytest.raises(UsageError, match="nothing is held"):
        planted.release()


def test_what_is_held_goes_on_when_the_fault_is_removed(kit: FaultKit) -> None:
    planted = kit.plant(Hold(), api="Produce")
    peer = kit.spu()
    peer.produce()
    planted.remove()
    kit.clock.advance(0)
    assert peer.answered == [1]


def test_nothing_is_held_for_a_connection_that_has_ended(kit: FaultKit) -> None:
    planted = kit.plant(Hold(), times=None)
    for peer in (kit.spu(), kit.spu()):
        peer.produce()
        peer.abort()
    kit.clock.advance(0)
    assert (planted.held, kit.stored()) == (0, 0)


def test_answers_held_on_a_slow_link_end_with_their_connection(kit: FaultKit) -> None:
    kit.plant(Latency(0.5))
    planted = kit.plant(Hold(), api="Produce", moment=Moment.REPLY, times=None)
    peer = kit.spu()
    for _ in range(5):
        peer.produce()
    assert planted.held == 5
    kit.clock.advance(0.5)
    peer.abort()
    kit.clock.advance(0)
    assert planted.held == 0


def test_answers_held_on_a_slow_link_are_let_go_together(kit: FaultKit) -> None:
    kit.plant(Latency(0.5))
    planted = kit.plant(Hold(), api="Produce", moment=Moment.REPLY, times=None)
    peer = kit.spu()
    numbers = [peer.produce() for _ in range(5)]
    planted.release()
    kit.clock.advance(0.5)
    kit.clock.advance(0)
    assert peer.answered == numbers


def test_a_connection_may_be_held_before_anything_is_read(kit: FaultKit) -> None:
    planted = kit.plant(Hold(), moment=Moment.CONNECTION)
    peer = kit.spu()
    peer.send(HELLO)
    assert peer.answered == []
    planted.release()
    kit.clock.advance(0)
    assert peer.answered == [1]


def test_a_connection_may_be_slow_to_begin(kit: FaultKit) -> None:
    kit.plant(Delay(3.0), moment=Moment.CONNECTION)
    peer = kit.spu()
    peer.send(HELLO)
    kit.clock.advance(2.9)
    assert peer.answered == []
    kit.clock.advance(0.1)
    kit.clock.advance(0)
    assert peer.answered == [1]


def test_a_request_that_is_never_answered_is_not_done_either(kit: FaultKit) -> None:
    kit.plant(NeverAnswer(), api="Produce")
    peer = kit.spu()
    peer.produce()
    second = peer.produce()
    assert (peer.answered, kit.stored()) == ([second], 1)


def test_a_lost_reply_is_of_work_that_is_done(kit: FaultKit) -> None:
    kit.plant(LoseReply(), api="Produce")
    peer = kit.spu()
    peer.produce()
    second = peer.produce()
    assert (peer.answered, kit.stored()) == ([second], 2)


def test_a_push_may_be_lost(kit: FaultKit) -> None:
    kit.plant(LoseReply(), api="StreamFetch")
    kit.broker.append("orders", [b"a"])
    peer = kit.spu()
    peer.send(RECORDS)
    kit.clock.advance(10)
    assert peer.data == b""


# The end of the connection


@pytest.mark.parametrize("action", [Close(), Reset()])
def test_a_connection_may_end_before_the_work_is_done(kit: FaultKit, action: Close | Reset) -> None:
    kit.plant(action, api="Produce")
    peer = kit.spu()
    peer.produce()
    assert peer.why is (ConnectionDone if isinstance(action, Close) else ConnectionLost)
    assert (peer.data, kit.stored()) == (b"", 0)


@pytest.mark.parametrize("action", [Close(linger=1.0), Reset(linger=1.0)])
def test_a_connection_may_linger_before_the_work_is_done(
    kit: FaultKit, action: Close | Reset
) -> None:
    kit.plant(action, api="Produce")
    peer = kit.spu()
    peer.produce()
    peer.send(HELLO)
    kit.clock.advance(0.9)
    assert (peer.data, peer.why) == (b"", None)
    kit.clock.advance(0.1)
    kit.clock.advance(0)
    assert peer.why is not None
    assert (peer.data, kit.stored()) == (b"", 0)


@pytest.mark.parametrize("action", [Close(), Reset()])
def test_the_end_of_a_connection_comes_behind_the_answers_before_it(
    kit: FaultKit, action: Close | Reset
) -> None:
    kit.plant(Latency(0.5))
    kit.plant(action, api="ApiVersions")
    peer = kit.spu()
    peer.produce()
    peer.send(HELLO)
    kit.clock.advance(0.5)
    kit.clock.advance(0)
    assert (peer.answered, peer.why is None) == ([1], False)


def test_an_answer_that_was_set_aside_leaves_before_the_end(kit: FaultKit) -> None:
    kit.plant(Reorder(behind=2), api="Produce")
    kit.plant(Close(), api="ApiVersions")
    peer = kit.spu()
    peer.produce()
    peer.send(HELLO)
    assert (peer.answered, peer.why) == ([1], ConnectionDone)


def test_a_connection_may_end_when_the_work_is_done(kit: FaultKit) -> None:
    kit.plant(Close(after=0), api="Produce")
    peer = kit.spu()
    peer.produce()
    assert (peer.data, peer.why, kit.stored()) == (b"", ConnectionDone, 1)


def test_every_number_of_bytes_may_leave_before_the_end(kit: FaultKit) -> None:
    frame = whole(kit)
    for after in range(len(frame) + 2):
        kit.plant(Close(after), api="ApiVersions")
        peer = kit.spu()
        peer.send(HELLO)
        assert (peer.data, peer.why) == (frame[:after], ConnectionDone)


def test_a_reset_amid_the_answer_comes_behind_the_bytes(kit: FaultKit) -> None:
    frame = whole(kit)
    kit.plant(Reset(after=5, linger=1.0), api="ApiVersions")
    peer = kit.spu()
    peer.send(HELLO)
    assert (peer.data, peer.why) == (frame[:5], None)
    kit.clock.advance(1.0)
    kit.clock.advance(0)
    assert (peer.data, peer.why) == (frame[:5], ConnectionLost)


def test_a_reset_on_a_slow_link_loses_what_is_under_way(kit: FaultKit) -> None:
    kit.plant(Reset(after=5), api="Produce")
    peer = kit.spu()
    kit.network.latency = 0.5
    peer.produce()
    kit.clock.pump([0.5, 0.1, 0.5, 0])
    assert (peer.data, peer.why) == (b"", ConnectionLost)


# Bytes that are wrong


def test_a_truncated_answer_agrees_with_its_size(kit: FaultKit) -> None:
    frame = whole(kit)
    kit.plant(Truncate(3), api="ApiVersions")
    peer = kit.spu()
    peer.send(HELLO)
    assert len(peer.data) == len(frame) - 3
    assert peer.frames == [frame[4:-3]]
    assert peer.undecodable()


def test_a_truncated_answer_keeps_its_correlation_id(kit: FaultKit) -> None:
    kit.plant(Truncate(10_000), api="Produce")
    peer = kit.spu()
    peer.produce()
    assert (peer.answered, len(peer.frames[0])) == ([1], 4)


def test_a_checksum_is_wrong_and_all_else_is_right(kit: FaultKit) -> None:
    kit.broker.append("orders", [b"a"])
    peer = kit.spu()
    right = peer.reply(peer.send(fetch(0)))
    kit.plant(CorruptCrc(), api="Fetch")
    wrong = peer.reply(peer.send(fetch(0)))
    (batch,) = wrong.topics[0].partitions[0].records.batches(check_crc=False)
    (honest,) = right.topics[0].partitions[0].records.batches()
    assert (batch.base_offset, batch.size) == (honest.base_offset, honest.size)
    with pytest.raises(ProtocolError, match="CRC"):
        wrong.topics[0].partitions[0].records.batches()


def test_a_checksum_waits_for_an_answer_that_has_one(kit: FaultKit) -> None:
    planted = kit.plant(CorruptCrc(), topic="orders", partition=0)
    peer = kit.spu()
    peer.send(RECORDS)
    peer.send(fetch(0))
    assert planted.hits == 0
    kit.broker.append("orders", [b"a"])
    kit.clock.advance(0)
    assert planted.hits == 1


def test_a_size_may_be_the_largest_there_is(kit: FaultKit) -> None:
    frame = whole(kit)
    kit.plant(WrongLength(), api="ApiVersions")
    peer = kit.spu()
    peer.send(HELLO)
    assert peer.data == b"\x7f\xff\xff\xff" + frame[4:]


@pytest.mark.parametrize("size", [0, -1, -(2**31)])
def test_a_size_may_be_none(kit: FaultKit, size: int) -> None:
    kit.plant(WrongLength(size), api="Produce")
    peer = kit.spu()
    peer.produce()
    assert int.from_bytes(peer.data[:4], "big", signed=True) == size


# Answers to others


@pytest.mark.parametrize("shift", [1, -1])
def test_an_answer_may_be_to_another_request(kit: FaultKit, shift: int) -> None:
    kit.plant(WrongCorrelation(shift), api="Produce")
    peer = kit.spu()
    peer.send(HELLO)
    number = peer.produce()
    assert peer.answered == [1, number + shift]


def test_an_answer_may_be_to_a_request_that_there_never_was(kit: FaultKit) -> None:
    kit.plant(UnknownCorrelation(), api="Produce")
    peer = kit.spu()
    peer.produce()
    assert [reply_correlation_id(frame) > 1_000_000 for frame in peer.frames] == [True]


def test_an_answer_may_come_again(kit: FaultKit) -> None:
    kit.plant(Repeat(2), api="Produce")
    peer = kit.spu()
    peer.produce()
    later = peer.send(HELLO)
    assert peer.answered == [1, 1, 1, later]


def test_answers_may_come_out_of_order(kit: FaultKit) -> None:
    kit.plant(Reorder(behind=2), api="Produce")
    peer = kit.spu()
    for _ in range(4):
        peer.produce()
    assert peer.answered == [2, 3, 1, 4]


def test_an_answer_with_none_to_come_behind_leaves_in_the_end(kit: FaultKit) -> None:
    kit.plant(Reorder(behind=2, at_latest=4.0), api="Produce")
    peer = kit.spu()
    peer.produce()
    peer.produce()
    kit.clock.advance(3.9)
    assert peer.answered == [2]
    kit.clock.advance(0.1)
    kit.clock.advance(0)
    assert peer.answered == [2, 1]


def test_an_answer_that_was_set_aside_leaves_when_nothing_more_is_asked(kit: FaultKit) -> None:
    kit.plant(Reorder(behind=5), api="Produce")
    peer = kit.spu()
    peer.produce()
    peer.half_close()
    kit.clock.advance(0)
    assert (peer.answered, peer.why) == ([1], ConnectionDone)


# In pieces


def test_one_byte_at_a_time(kit: FaultKit) -> None:
    frame = whole(kit)
    kit.plant(Trickle(interval=0.5), api="ApiVersions")
    peer = kit.spu()
    peer.send(HELLO)
    for number in range(1, len(frame)):
        assert peer.data == frame[:number]
        kit.clock.advance(0.5)
        kit.clock.advance(0)
    assert peer.data == frame


def test_nothing_comes_between_the_pieces(kit: FaultKit) -> None:
    kit.plant(Trickle(size=7), api="Produce")
    peer = kit.spu()
    peer.produce()
    later = peer.send(HELLO)
    kit.clock.pump([0] * 20)
    assert peer.answered == [1, later]


def test_a_push_is_split_before_its_records(kit: FaultKit) -> None:
    kit.plant(SplitPush(), api="StreamFetch")
    kit.broker.append("orders", [b"a"])
    peer = kit.spu()
    peer.send(RECORDS)
    first = peer.data
    kit.clock.advance(0.04)
    kit.clock.advance(0)
    records = peer.replies(1)[0].partition.records
    assert peer.data == first + bytes(records)
    assert int.from_bytes(first[-4:], "big") == len(records)


def test_the_second_piece_of_a_push_may_be_left_to_tcp(kit: FaultKit) -> None:
    kit.plant(SplitPush(delay=None), api="StreamFetch")
    kit.broker.append("orders", [b"a"])
    peer = kit.spu()
    (link,) = kit.network.links
    assert link.server.getTcpNoDelay()
    peer.send(RECORDS)
    (batch,) = peer.replies(1)[0].partition.records.batches()
    assert batch.values() == [b"a"]
    assert not link.server.getTcpNoDelay()


def test_a_push_without_records_can_not_be_split(kit: FaultKit) -> None:
    planted = kit.plant(SplitPush())
    peer = kit.spu()
    peer.send(fetch(0))
    assert planted.hits == 0


# As real servers do it


def test_a_committed_frame_is_shorter_than_it_says(kit: FaultKit) -> None:
    kit.plant(ShortCommittedFrame())
    kit.broker.append("orders", [b"a"])
    peer = kit.spu()
    peer.send(fetch(0, max_bytes=500, isolation_level=COMMITTED))
    announced = int.from_bytes(peer.data[:4], "big")
    assert len(peer.data) - 4 < announced
    batch = len(ONE)
    assert announced - (len(peer.data) - 4) == 500 - batch


def test_only_readers_of_committed_records_get_a_short_frame(kit: FaultKit) -> None:
    planted = kit.plant(ShortCommittedFrame())
    peer = kit.spu()
    peer.send(fetch(0))
    peer.send(RECORDS)
    assert planted.hits == 0


def test_a_half_alive_sc_goes_on_pushing_and_answers_nothing(kit: FaultKit) -> None:
    sc = kit.sc()
    watch = sc.send(WatchRequest(kind=TOPIC), 19)
    kit.plant(HalfAlive(), api="List")
    for _ in range(2):
        sc.send(ListRequest(kind=TOPIC), 19)
    sc.send(HELLO)
    before = len(sc.replies(watch))
    kit.done(kit.broker.cluster.create_topic("new"))
    assert set(sc.answered) == {watch}
    assert len(sc.replies(watch)) > before
    assert sc.why is None


# Reading, accepting, links


def test_nothing_more_is_read_for_a_time(kit: FaultKit) -> None:
    kit.plant(StallReading(5.0), api="Produce")
    peer = kit.spu()
    peer.produce()
    later = peer.send(HELLO)
    assert peer.answered == [1]
    kit.clock.advance(5.0)
    kit.clock.advance(0)
    assert peer.answered == [1, later]


def test_nothing_more_is_read_before_the_release(kit: FaultKit) -> None:
    planted = kit.plant(StallReading(), api="Produce")
    peer = kit.spu()
    peer.produce()
    later = peer.send(HELLO)
    kit.clock.advance(1_000)
    assert peer.answered == [1]
    planted.release()
    kit.clock.advance(0)
    assert peer.answered == [1, later]


def test_who_is_not_read_from_is_not_written_for_without_end(kit: FaultKit) -> None:
    kit.plant(StallReading(), api="ApiVersions")
    peer = kit.spu()
    peer.send(HELLO)
    link = kit.network.links[-1]
    peer.send_bytes(b"\0" * 300_000)
    assert link.server.reading is False


def test_a_connection_is_refused_at_once(kit: FaultKit) -> None:
    kit.plant(Refuse(), server=5001)
    peer = kit.spu()
    kit.clock.advance(0)
    assert peer.why is ConnectionLost
    assert kit.spu().why is None


def test_tls_fails_with_an_alert(kit: FaultKit) -> None:
    kit.plant(FailTls())
    peer = kit.spu()
    peer.send_bytes(b"\x16\x03\x01\x00\xa5" + b"\0" * 100)
    assert (peer.data, peer.why) == (TLS_ALERT, ConnectionDone)


def test_who_does_not_begin_with_tls_is_served(kit: FaultKit) -> None:
    kit.plant(FailTls())
    peer = kit.spu()
    peer.send(HELLO)
    assert peer.answered == [1]


def test_a_link_has_latency_and_any_number_of_answers_is_under_way(kit: FaultKit) -> None:
    kit.plant(Latency(3.0), server=5001)
    peer = kit.spu()
    first = peer.produce()
    kit.clock.advance(1.0)
    second = peer.produce()
    assert kit.stored() == 2
    kit.clock.advance(2.0)
    kit.clock.advance(0)
    assert peer.answered == [first]
    kit.clock.advance(1.0)
    kit.clock.advance(0)
    assert peer.answered == [first, second]


def test_a_link_with_latency_holds_no_more_than_its_bound(kit: FaultKit) -> None:
    kit.plant(Latency(3.0), server=5001)
    kit.broker.append("orders", [b"x" * 30_000])
    peer = kit.spu()
    for _ in range(10):
        peer.send(fetch(0))
    kit.clock.advance(3.0)
    kit.clock.pump([0] * 5)
    under_way = len(peer.data)
    assert MAX_UNDER_WAY <= under_way <= MAX_UNDER_WAY + 2 * 31_000
    kit.clock.pump([3.0, 0, 0, 0] * 10)
    assert len(peer.answered) == 10
