"""Faults as JSON: what goes out comes back, and what stands for no fault is told apart."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from tests.docs.blocks import DOCS, blocks_of
from tests.testing.fault_kit import FaultKit
from tests.testing.spu_kit import COMMITTED, entry, fetch, produce
from txfluvio.errors import UsageError
from txfluvio.testing.faults import (
    ACTIONS,
    AnswerError,
    Close,
    Delay,
    Fault,
    Latency,
    LoseReply,
    Match,
    Moment,
    Reorder,
    Reset,
    StallReading,
)
from txfluvio.testing.faults.as_json import from_json, to_json
from txfluvio.wire.codes import Code, ErrorCode, ModuleKind, ReplicaKey, error
from txfluvio.wire.records import encode_batch
from txfluvio.wire.sc import TOPIC, ListRequest
from txfluvio.wire.schema import Request
from txfluvio.wire.spu import StreamFetchRequest

EVERYTHING = Match(
    "Produce",
    server=5001,
    topic="orders",
    partition=1,
    client_id="me",
    connection=3,
    nth=2,
    moment=Moment.REPLY,
)

FAULTS = [
    Fault(Match(), LoseReply()),
    Fault(EVERYTHING, Reset(after=7, linger=0.5), times=None),
    Fault(Match(server="SC"), Delay(1.5), times=3),
    Fault(Match(), Close()),
    Fault(Match(), StallReading(2.0)),
    Fault(Match(), AnswerError(Code.STORAGE_ERROR)),
    Fault(Match(), AnswerError(ErrorCode(4321))),
    Fault(Match(), AnswerError(error(Code.OTHER, text="boom"))),
    Fault(
        Match(),
        AnswerError(
            error(Code.PARTITION_FULL, replica_key=ReplicaKey(topic="orders", partition=1))
        ),
    ),
    Fault(
        Match(),
        AnswerError(
            error(
                Code.SMART_MODULE_RUNTIME_ERROR,
                hint="h",
                offset=3,
                kind=ModuleKind.MAP,
                record_key=None,
                record_value=b"\xff\0",
            )
        ),
    ),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_comes_back_as_it_was(fault: Fault) -> None:
    assert from_json(json.loads(json.dumps(to_json(fault)))) == fault


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_every_action_has_a_form(action: Any) -> None:
    needed = {AnswerError: (Code.SPU_ERROR,), Delay: (1.0,), Latency: (1.0,)}
    fault = Fault(Match(), action(*needed.get(action, ())))
    assert from_json(to_json(fault)) == fault


def test_what_is_by_default_need_not_be_said() -> None:
    assert from_json({"action": {"do": "LoseReply"}}) == Fault(Match(), LoseReply())
    assert to_json(Fault(Match(), Reorder())) == {
        "match": {},
        "action": {"do": "Reorder"},
        "times": 1,
    }


def test_the_form_is_the_one_in_the_documentation() -> None:
    fault = from_json(
        {
            "match": {"api": "Produce", "topic": "orders", "nth": 2},
            "action": {"do": "AnswerError", "error": {"code": "NOT_LEADER_FOR_PARTITION"}},
            "times": 1,
        }
    )
    match = Match("Produce", topic="orders", nth=2)
    assert fault == Fault(match, AnswerError(Code.NOT_LEADER_FOR_PARTITION))


def in_the_guide() -> list[Any]:
    """The faults of the guide, as JSON."""
    blocks = blocks_of((DOCS / "guide" / "control.rst").read_text(encoding="utf-8"))
    return [one for block in blocks if block.language == "json" for one in json.loads(block.text)]


def test_the_guide_has_every_action_with_all_its_fields_and_every_part_of_a_match() -> None:
    told = {one["action"]["do"]: set(one["action"]) for one in in_the_guide()}
    fields = {
        kind.__name__: {"do", *(each.name for each in attrs.fields(kind))} for kind in ACTIONS
    }
    assert told == fields
    parts = {part for one in in_the_guide() for part in one.get("match", {})}
    assert parts == {each.name for each in attrs.fields(Match)} - {"where"}


@pytest.mark.parametrize("value", in_the_guide(), ids=lambda value: value["action"]["do"])
def test_every_fault_of_the_guide_acts(value: Any) -> None:
    kit = FaultKit()
    kit.broker.append("orders", [b"a"])
    planted = kit.broker.plant(from_json(value), optional=True)
    kit.spu().send_bytes(b"\x16\x03\x01\x00\xa5" + b"\0" * 100)
    kit.sc().send(ListRequest(kind=TOPIC), 19, client_id="shop")
    again = produce(entry(encode_batch([b"b"])))
    stream = StreamFetchRequest(topic="orders", partition=0, fetch_offset=0, max_bytes=500)
    committed = fetch(0, max_bytes=500, isolation_level=COMMITTED)
    requests: list[Request[Any]] = [again, again, fetch(0), committed, stream]
    for request in requests:
        kit.spu().send(request, client_id="shop")
    assert planted.hits
    stopping = kit.broker.stop()
    kit.clock.advance(1)
    kit.done(stopping)


def test_a_code_may_be_a_number() -> None:
    fault = from_json({"action": {"do": "AnswerError", "error": {"code": 56}}})
    assert fault.action == AnswerError(Code.STORAGE_ERROR)


def test_a_predicate_has_no_form() -> None:
    with pytest.raises(UsageError, match="no form"):
        to_json(Fault(Match(where=bool), LoseReply()))


def acting(**action: Any) -> dict[str, Any]:
    return {"action": action}


def matching(**match: Any) -> dict[str, Any]:
    return {"match": match, "action": {"do": "LoseReply"}}


WRONG: dict[str, tuple[Any, str]] = {
    "no object": (["LoseReply"], "fault has to be an object"),
    "no action": ({}, "fault.action has to be an object, not None"),
    "an action as a text": ({"action": "LoseReply"}, "fault.action has to be an object"),
    "no name": (acting(), "fault.action.do has to be one of .*LoseReply"),
    "another name": (acting(do="Explode"), "fault.action.do has to be one of .*'Explode'"),
    "a name that is none": (acting(do=[1]), "fault.action.do has to be one of"),
    "another part": (
        {**acting(do="Close"), "when": 1},
        "fault has no field 'when'; there are: action",
    ),
    "another field": (
        acting(do="Close", when=1),
        "^fault.action has no field 'when'; there are: after, li",
    ),
    "a field of no fields": (acting(do="Hold", when=1), "has no field 'when'; there are: none$"),
    "a field missing": (acting(do="Delay"), "fault.action.seconds is missing"),
    "a text for a number": (acting(do="Delay", seconds="1"), "fault.action.seconds has to be"),
    "no number": (acting(do="Delay", seconds=float("nan")), "fault.action.seconds has to be"),
    "too large a number": (acting(do="Delay", seconds=10**400), "fault.action.seconds has to be"),
    "a truth for seconds": (acting(do="Delay", seconds=True), "fault.action.seconds has to be"),
    "a truth for a number": (acting(do="Truncate", by=True), "by has to be a whole number"),
    "a part of a number": (acting(do="Truncate", by=1.5), "by has to be a whole number"),
    "a budget that is none": ({**acting(do="Close"), "times": "1"}, "fault.times has to be"),
    "another part of a match": (
        matching(colour="red"),
        "fault.match has no field 'colour'; there are: api, ",
    ),
    "a predicate is not offered": (matching(call="Produce"), "connection, nth, moment$"),
    "a predicate": (matching(where="x"), "fault.match.where: a predicate"),
    "a moment that is none": (matching(moment="NOW"), "moment has to be CONNECTION or"),
    "a server that is none": (
        matching(server="SPU"),
        "fault.match.server has to be a whole number or 'SC', not 'SPU'",
    ),
    "a topic that is none": (matching(topic=1), "topic has to be a text"),
    "an error as a text": (
        acting(do="AnswerError", error="OTHER"),
        """fault.action.error has to be an object such as {"code": "STORAGE_ERROR"}, not 'OTHER'""",
    ),
    "an error as a number": (acting(do="AnswerError", error=56), "an object such as .*, not 56"),
    "no code": (acting(do="AnswerError", error={}), "fault.action.error.code has to be"),
    "another code": (acting(do="AnswerError", error={"code": "X"}), "error.code has to be"),
    "a code too large": (acting(do="AnswerError", error={"code": 2**15}), "error.code has to be"),
    "a code without what it carries": (
        acting(do="AnswerError", error={"code": "OTHER"}),
        "fault.action.error.text is missing",
    ),
    "a code that carries nothing": (
        acting(do="AnswerError", error={"code": 56, "text": "t"}),
        "error 56 carries nothing more",
    ),
}


@pytest.mark.parametrize(("value", "complaint"), WRONG.values(), ids=WRONG)
def test_what_stands_for_no_fault_is_told_apart(value: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        from_json(value)
