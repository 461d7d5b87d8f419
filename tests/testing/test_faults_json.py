"""Faults as JSON: what goes out comes back, and what stands for no fault is told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from txfluvio.testing.faults_json import from_json, to_json
from txfluvio.wire.codes import Code, ErrorCode, ModuleKind, ReplicaKey, error

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
    "another part": ({**acting(do="Close"), "when": 1}, "fault.when has to be one of"),
    "another field": (acting(do="Close", when=1), "fault.action.when has to be after, linger"),
    "a field missing": (acting(do="Delay"), "fault.action.seconds is missing"),
    "a text for a number": (acting(do="Delay", seconds="1"), "fault.action.seconds has to be"),
    "no number": (acting(do="Delay", seconds=float("nan")), "fault.action.seconds has to be"),
    "too large a number": (acting(do="Delay", seconds=10**400), "fault.action.seconds has to be"),
    "a truth for seconds": (acting(do="Delay", seconds=True), "fault.action.seconds has to be"),
    "a truth for a number": (acting(do="Truncate", by=True), "by has to be a whole number"),
    "a part of a number": (acting(do="Truncate", by=1.5), "by has to be a whole number"),
    "a budget that is none": ({**acting(do="Close"), "times": "1"}, "fault.times has to be"),
    "another part of a match": (matching(colour="red"), "fault.match.colour has to be api"),
    "a predicate": (matching(where="x"), "fault.match.where: a predicate"),
    "a moment that is none": (matching(moment="NOW"), "moment has to be CONNECTION or"),
    "a server that is none": (matching(server="SPU"), "server has to be"),
    "a topic that is none": (matching(topic=1), "topic has to be a text"),
    "an error as a text": (
        acting(do="AnswerError", error="OTHER"),
        "fault.action.error has to be an object",
    ),
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
