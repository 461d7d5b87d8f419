"""Faults in their place: which occasion is meant, how often, who waits, and what makes no sense."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tests.testing.fault_kit import HELLO, FaultKit, Peer, code, kit
from tests.testing.spu_kit import COMMITTED, entry, fetch, produce
from txfluvio.errors import InvalidConfig, UsageError
from txfluvio.testing import FakeBroker
from txfluvio.testing.faults import (
    ACTIONS,
    Action,
    AnswerError,
    Close,
    ContradictoryFault,
    CorruptCrc,
    Delay,
    FailTls,
    Fault,
    HalfAlive,
    Hold,
    Latency,
    LoseReply,
    Match,
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
    WrongCorrelation,
    WrongLength,
)
from txfluvio.testing.faults.planting import UnfiredFaults
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.codes import NO_ERROR, Code, ErrorCode, error
from txfluvio.wire.records import encode_batch
from txfluvio.wire.sc import TOPIC, Computed, CreateRequest, ListRequest, TopicSpec
from txfluvio.wire.spu import ProduceRequest

__all__ = ["kit"]

NOT_LEADER = AnswerError(Code.NOT_LEADER_FOR_PARTITION)


def refused(peer: Peer, partition: int = 0, **fields: Any) -> bool:
    """Whether a record is refused."""
    return code(peer, peer.produce(partition, **fields)) != 0


# Which


def test_a_fault_for_anything_is_for_the_first_thing_that_comes(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER)
    assert refused(kit.spu())


def test_a_call_is_meant_by_its_name_or_by_its_class(kit: FaultKit) -> None:
    assert Match("Produce") == Match(ProduceRequest)
    kit.plant(NeverAnswer(), api="Produce")
    peer = kit.spu()
    peer.send(HELLO)
    peer.produce()
    assert peer.answered == [1]


def test_a_fault_of_one_spu_is_none_of_another() -> None:
    kit = FaultKit(spus=2)
    planted = kit.plant(NeverAnswer(), server=5002)
    peer = kit.spu()
    peer.send(HELLO)
    assert peer.answered == [1]
    kit.connect(kit.broker.spu_endpoints[5002]).send(HELLO)
    assert planted.hits == 1
    kit.stop()


def test_a_fault_of_the_sc_is_none_of_its_spus(kit: FaultKit) -> None:
    kit.plant(NeverAnswer(), server="SC", times=None)
    peer, sc = kit.spu(), kit.sc()
    peer.send(HELLO)
    sc.send(HELLO)
    assert (peer.answered, sc.answered) == ([1], [])


def test_a_fault_of_one_topic_is_none_of_another(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER, topic="orders", times=None)
    peer = kit.spu()
    assert not refused(peer, topic="other")
    assert refused(peer)


def test_a_topic_is_also_named_by_what_creates_it(kit: FaultKit) -> None:
    kit.plant(AnswerError(Code.TOPIC_ALREADY_EXISTS), topic="new")
    sc = kit.sc()
    spec = TopicSpec(replicas=Computed(partitions=1))
    numbers = [sc.send(CreateRequest(kind=TOPIC, name=name, spec=spec), 19) for name in "ab"]
    assert [sc.reply(number).error_code.code for number in numbers] == [0, 0]
    number = sc.send(CreateRequest(kind=TOPIC, name="new", spec=spec), 19)
    assert sc.reply(number).error_code.code == Code.TOPIC_ALREADY_EXISTS
    assert "new" not in kit.broker.cluster.metadata.topics


def test_a_fault_of_one_partition_is_none_of_another(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER, topic="orders", partition=1, times=None)
    peer = kit.spu()
    assert (refused(peer, 0), refused(peer, 1)) == (False, True)


def test_topic_and_partition_have_to_be_one_pair(kit: FaultKit) -> None:
    planted = kit.plant(NeverAnswer(), topic="other", partition=1)
    peer = kit.spu()
    peer.send(produce(entry(partition=1), topic="orders"))
    peer.send(produce(entry(partition=0), topic="other"))
    assert planted.hits == 0


def test_a_fault_of_one_client_is_none_of_another(kit: FaultKit) -> None:
    kit.plant(NeverAnswer(), client_id="them", times=None)
    peer = kit.spu()
    peer.send(HELLO, client_id="us")
    peer.send(HELLO, client_id="them")
    assert peer.answered == [1]


def test_a_fault_of_one_connection_is_none_of_another(kit: FaultKit) -> None:
    planted = kit.plant(NeverAnswer(), connection=2, times=None)
    peers = [kit.spu() for _ in range(3)]
    for peer in peers:
        peer.send(HELLO)
    assert [peer.answered for peer in peers] == [[1], [], [1]]
    assert planted.hits == 1


def test_the_first_of_those_that_fit_may_be_let_through(kit: FaultKit) -> None:
    kit.plant(NeverAnswer(), api="Produce", nth=3, times=2)
    peer = kit.spu()
    peer.send(HELLO)
    numbers = [peer.produce() for _ in range(6)]
    assert peer.answered == [1, *numbers[:2], *numbers[4:]]


def test_a_predicate_looks_at_the_request(kit: FaultKit) -> None:
    kit.plant(NeverAnswer(), api="Produce", where=lambda request: request.timeout_ms == 7)
    peer = kit.spu()
    peer.produce()
    peer.produce(timeout_ms=7)
    assert peer.answered == [1]


def test_what_can_not_be_decoded_fits_no_predicate(kit: FaultKit) -> None:
    planted = kit.plant(NeverAnswer(), api="Produce", where=lambda request: True)
    kit.spu().send_bytes(b"\0\0\0\x0e" + b"\0\0" + b"\0\x19" + b"\0\0\0\1" + b"\0\0" + b"\0\1\0\0")
    assert planted.hits == 0


def test_a_moment_decides_whether_the_work_is_done(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER, api="Produce", moment=Moment.REPLY)
    kit.plant(NOT_LEADER, api="Produce", moment=Moment.REQUEST, nth=2)
    peer = kit.spu()
    assert (refused(peer), kit.stored()) == (True, 1)
    assert (refused(peer), kit.stored()) == (True, 1)


# How often


def test_a_fault_acts_once_unless_told_otherwise(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER)
    peer = kit.spu()
    assert [refused(peer) for _ in range(3)] == [True, False, False]
    assert planted.hits == 1


def test_a_budget_is_spent(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER, times=2)
    peer = kit.spu()
    assert [refused(peer) for _ in range(3)] == [True, True, False]


def test_a_fault_without_a_budget_acts_for_ever(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, times=None)
    peer = kit.spu()
    assert all(refused(peer) for _ in range(20))
    assert planted.hits == 20


def test_of_two_faults_the_older_acts_and_the_other_keeps_its_budget(kit: FaultKit) -> None:
    first = kit.plant(AnswerError(Code.STORAGE_ERROR))
    second = kit.plant(NOT_LEADER)
    peer = kit.spu()
    codes = [code(peer, peer.produce()) for _ in range(3)]
    assert codes == [Code.STORAGE_ERROR, Code.NOT_LEADER_FOR_PARTITION, 0]
    assert (first.hits, second.hits) == (1, 1)


def test_what_acts_is_remembered(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, api="Produce")
    kit.clock.advance(5)
    refused(kit.spu())
    (hit,) = kit.broker.faults.hits
    assert hit.fault is planted.fault
    assert (hit.time, hit.server, hit.call) == (1_700_000_005.0, 5001, "Produce")
    assert hit.moment is Moment.REQUEST


# What is planted


def test_one_can_wait_for_a_hit(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, times=None)
    waiting = planted.wait()
    assert not waiting.called
    refused(kit.spu())
    kit.done(waiting)
    kit.done(planted.wait())


def test_one_can_wait_for_several_hits_in_all(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, times=None)
    peer = kit.spu()
    refused(peer)
    waiting = planted.wait(3)
    refused(peer)
    assert not waiting.called
    refused(peer)
    kit.done(waiting)


def test_waiting_can_be_cancelled(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER)
    waiting = planted.wait()
    waiting.cancel()
    with pytest.raises(CancelledError):
        kit.done(waiting)
    assert refused(kit.spu())


def test_the_end_of_the_broker_ends_the_waiting() -> None:
    kit = FaultKit()
    waiting = kit.plant(NOT_LEADER).wait()
    kit.stop()
    with pytest.raises(CancelledError):
        kit.done(waiting)


def test_one_can_not_wait_for_more_hits_than_there_can_be(kit: FaultKit) -> None:
    with pytest.raises(UsageError, match="acts 2 times at most, not 3"):
        kit.plant(NOT_LEADER, times=2).wait(3)


def test_after_the_end_of_the_broker_nobody_waits() -> None:
    kit = FaultKit()
    planted = kit.plant(NOT_LEADER)
    kit.stop()
    with pytest.raises(CancelledError):
        kit.done(planted.wait())


def test_what_is_removed_acts_no_more(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, times=None)
    peer = kit.spu()
    assert refused(peer)
    planted.remove()
    planted.remove()
    assert not refused(peer)
    assert planted.hits == 1


def test_nobody_waits_for_a_fault_that_is_removed(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, times=None)
    before = planted.wait()
    planted.remove()
    for waiting in (before, planted.wait()):
        with pytest.raises(CancelledError):
            kit.done(waiting)
    planted.optional = True


def test_who_waited_for_a_hit_before_the_removal_hears_of_it(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER, times=None)
    waiting = planted.wait()
    assert refused(kit.spu())
    planted.remove()
    kit.done(waiting)


def test_a_fault_that_has_acted_is_not_kept_when_it_is_removed(kit: FaultKit) -> None:
    planted = kit.plant(NOT_LEADER)
    assert refused(kit.spu())
    planted.remove()
    assert kit.broker.faults._all == []


def test_an_observer_counts_and_leaves_all_as_it_is(kit: FaultKit) -> None:
    observer = kit.broker.observe(Match("Produce"))
    kit.plant(NOT_LEADER)
    peer = kit.spu()
    assert [refused(peer), refused(peer)] == [True, False]
    assert observer.hits == 2


def test_an_observer_may_look_at_what_leaves(kit: FaultKit) -> None:
    observer = kit.broker.observe(Match("Produce", moment=Moment.REPLY))
    kit.plant(NeverAnswer(), api="Produce")
    peer = kit.spu()
    peer.produce()
    peer.produce()
    assert observer.hits == 1


# What never fired


def test_a_fault_that_never_fired_fails_the_end_of_the_broker() -> None:
    kit = FaultKit()
    fault = Fault(Match("Produce"), LoseReply())
    kit.broker.plant(fault)
    with pytest.raises(UnfiredFaults, match=r"never fired.*\n.*LoseReply") as caught:
        kit.stop()
    assert caught.value.faults == (fault,)
    assert kit.network.links == []


def test_a_fault_that_was_removed_before_it_fired_fails_it_too() -> None:
    kit = FaultKit()
    kit.broker.plant(Fault(Match("Produce"), LoseReply())).remove()
    with pytest.raises(UnfiredFaults):
        kit.stop()


def test_that_is_fine_if_it_is_said_to_be() -> None:
    kit = FaultKit()
    kit.broker.plant(Fault(Match("Produce"), LoseReply()), optional=True)
    kit.stop()


def test_an_observer_need_not_have_seen_anything() -> None:
    kit = FaultKit()
    kit.broker.observe(Match("Produce"))
    kit.stop()


def test_an_error_on_its_way_out_is_not_replaced_by_what_never_fired() -> None:
    clock = Clock()

    async def fail() -> None:
        async with FakeBroker(clock, network=MemoryNetwork(clock)) as broker:
            broker.plant(Fault(Match("Produce"), LoseReply()))
            raise KeyError("the test's own")

    failures: list[Any] = []
    Deferred.fromCoroutine(fail()).addErrback(failures.append)
    clock.advance(0)
    assert failures[0].type is KeyError
    assert "never fired" in failures[0].value.__notes__[0]


# What makes no sense


CONTRADICTIONS: dict[str, Fault] = {
    "a budget of nothing": Fault(Match(), LoseReply(), times=0),
    "a negative budget": Fault(Match(), LoseReply(), times=-1),
    "before the first": Fault(Match(nth=0), LoseReply()),
    "no such call": Fault(Match("Publish"), LoseReply()),
    "an SPU's call on the SC": Fault(Match("Produce", server="SC"), LoseReply()),
    "the SC's call on an SPU": Fault(Match("List", server=5001), LoseReply()),
    "a topic in a call that names none": Fault(Match("UpdateOffsets", topic="t"), LoseReply()),
    "a partition in a call that names none": Fault(Match("Create", partition=0), LoseReply()),
    "a partition on the SC": Fault(Match(server="SC", partition=0), LoseReply()),
    "an error that is none": Fault(Match(), AnswerError(NO_ERROR)),
    "an error where there is no place": Fault(Match("List"), AnswerError(Code.STORAGE_ERROR)),
    "a checksum where there are no records": Fault(Match("Produce"), CorruptCrc()),
    "split records where there are none": Fault(Match("Produce"), SplitPush()),
    "a short frame of a Produce": Fault(Match("Produce"), ShortCommittedFrame()),
    "half alive, on an SPU": Fault(Match(server=5001), HalfAlive()),
    "half alive, by an SPU's call": Fault(Match("Produce"), HalfAlive()),
    "a negative delay": Fault(Match(), Delay(-1.0)),
    "a negative latency": Fault(Match(), Latency(-0.1)),
    "stalled for less than nothing": Fault(Match(), StallReading(-1.0)),
    "closed after a negative number": Fault(Match(), Close(after=-1)),
    "reset after a negative number": Fault(Match(), Reset(after=-1)),
    "lingering for less than nothing": Fault(Match(), Reset(after=1, linger=-1.0)),
    "truncated by nothing": Fault(Match(), Truncate(0)),
    "a size that is too large": Fault(Match(), WrongLength(2**31)),
    "the same correlation id": Fault(Match(), WrongCorrelation(0)),
    "repeated not once": Fault(Match(), Repeat(0)),
    "behind nobody": Fault(Match(), Reorder(behind=0)),
    "at latest before now": Fault(Match(), Reorder(at_latest=-1.0)),
    "a delay that is no number": Fault(Match(), Delay(math.nan)),
    "a delay without an end": Fault(Match(), Delay(math.inf)),
    "a delay too large": Fault(Match(), Delay(10**400)),
    "a delay as a text": Fault(Match(), Delay("1")),  # type: ignore[arg-type]
    "latency that is no number": Fault(Match(), Latency(math.nan)),
    "lingering for no number": Fault(Match(), Close(linger=math.nan)),
    "intervals of no number": Fault(Match(), Trickle(interval=math.nan)),
    "truncated by a part": Fault(Match(), Truncate(1.5)),  # type: ignore[arg-type]
    "a size that is a part": Fault(Match(), WrongLength(1.5)),  # type: ignore[arg-type]
    "a shift by a part": Fault(Match(), WrongCorrelation(1.5)),  # type: ignore[arg-type]
    "a budget as a text": Fault(Match(), LoseReply(), times="1"),  # type: ignore[arg-type]
    "a number as a text": Fault(Match(nth="1"), LoseReply()),  # type: ignore[arg-type]
    "an error too long": Fault(Match(), AnswerError(error(Code.OTHER, text="x" * 70_000))),
    "an error without its text": Fault(Match(), AnswerError(ErrorCode(Code.OTHER))),
    "an error of more than 16 bits": Fault(Match(), AnswerError(ErrorCode(70_000))),
    "pieces of nothing": Fault(Match(), Trickle(0)),
    "pieces that go back in time": Fault(Match(), Trickle(1, -1.0)),
    "a call that is refused with its connection": Fault(Match("Produce"), Refuse()),
    "TLS of one topic": Fault(Match(topic="orders"), FailTls()),
    "latency for one client": Fault(Match(client_id="me"), Latency(1.0)),
    "never answered, after the work": Fault(Match(moment=Moment.REPLY), NeverAnswer()),
    "lost before the work": Fault(Match(moment=Moment.REQUEST), LoseReply()),
    "the reply of a stream": Fault(Match("StreamFetch", moment=Moment.REPLY), LoseReply()),
    "a push of a Produce": Fault(Match("Produce", moment=Moment.PUSH), LoseReply()),
    "the call of a connection": Fault(Match("Produce", moment=Moment.CONNECTION), Hold()),
}


@pytest.mark.parametrize("fault", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_fault_that_can_never_act_is_refused(kit: FaultKit, fault: Fault) -> None:
    with pytest.raises(ContradictoryFault, match=r"can never act: \w") as caught:
        kit.broker.plant(fault)
    assert caught.value.fault is fault
    assert caught.value.reason


def test_what_is_no_fault_is_told_what_one_is_made_of(kit: FaultKit) -> None:
    match, wrong = Match("Produce"), cast(Any, Match("Produce"))
    with pytest.raises(
        InvalidConfig, match=r"^fault is Match\(.*: expected a Fault\(match, action"
    ):
        kit.broker.plant(wrong)
    with pytest.raises(InvalidConfig, match=r"^Fault.action is <class .* such as Close\(\)$"):
        Fault(match, cast(Any, Close))
    with pytest.raises(InvalidConfig, match=r"^Fault.match is 'Produce': expected a Match\(...\)$"):
        Fault(cast(Any, "Produce"), Close())
    with pytest.raises(InvalidConfig, match=r"^Match.moment is 'REPLY': expected a member of Mom"):
        Match("Produce", moment=cast(Any, "REPLY"))


def test_an_error_that_carries_more_is_asked_for() -> None:
    for wrong in ("STORAGE_ERROR", None, 56):
        with pytest.raises(UsageError, match="use a member of Code"):
            AnswerError(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="carries more than its number"):
        AnswerError(Code.OTHER)
    assert AnswerError(error(Code.OTHER, text="t")).error.detail.text == "t"


def test_an_error_may_be_one_that_nobody_knows(kit: FaultKit) -> None:
    kit.plant(AnswerError(ErrorCode(4321)))
    peer = kit.spu()
    assert code(peer, peer.produce()) == 4321


def made(action: Any) -> Action:
    """An action of a kind."""
    if action is AnswerError:
        return NOT_LEADER
    one: Action = action(1.0) if action in (Delay, Latency) else action()
    return one


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_every_action_can_be_planted_for_anything(kit: FaultKit, action: type[Action]) -> None:
    kit.plant(made(action))


def test_a_stream_and_its_connection_are_other_calls(kit: FaultKit) -> None:
    observer = kit.broker.observe(Match(moment=Moment.CONNECTION))
    kit.spu()
    kit.sc()
    assert observer.hits == 2


def test_only_those_who_have_faults_to_fear_are_looked_after(kit: FaultKit) -> None:
    peer = kit.spu()
    peer.produce()
    kit.plant(NOT_LEADER)
    assert refused(peer)


def test_a_fault_of_a_list_call_counts_it(kit: FaultKit) -> None:
    observer = kit.broker.observe(Match(ListRequest))
    kit.sc().send(ListRequest(kind=TOPIC), 19)
    assert observer.hits == 1


def test_a_part_of_a_request_may_be_refused_and_the_rest_served(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER, topic="orders", partition=1)
    peer = kit.spu()
    one = encode_batch([b"x"])
    number = peer.send(produce(entry(one, partition=0), entry(one, partition=1)))
    codes = [part.error_code.code for part in peer.reply(number).responses[0].partitions]
    assert codes == [0, Code.NOT_LEADER_FOR_PARTITION]
    assert (kit.stored(0), kit.stored(1)) == (1, 0)


def test_a_fault_may_follow_another_that_answers_a_part_of_the_request(kit: FaultKit) -> None:
    kit.plant(NOT_LEADER, api="Produce", partition=0)
    later = kit.plant(LoseReply(), api="Produce", partition=0)
    one = encode_batch([b"x"])
    peer = kit.spu()
    peer.send(produce(entry(one, partition=0), entry(one, partition=1)))
    assert (later.hits, peer.answered) == (1, [])


def test_a_predicate_looks_at_what_came_in(kit: FaultKit) -> None:
    committed = fetch(0, max_bytes=500, isolation_level=COMMITTED)
    kit.plant(ShortCommittedFrame(), api="Fetch")
    observer = kit.broker.observe(
        Match("Fetch", moment=Moment.REPLY, where=lambda asked: asked == committed)
    )
    kit.broker.append("orders", [b"a"])
    kit.spu().send(committed)
    assert observer.hits == 1
