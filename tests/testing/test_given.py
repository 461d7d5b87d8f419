"""What tests give to the fake: the same check for the one in memory and the one in a process."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from txfluvio.errors import InvalidConfig, InvalidRecord
from txfluvio.testing import FakeBroker
from txfluvio.testing.given import Given, Topic, given_records
from txfluvio.testing.process import BrokerProcess
from txfluvio.transport.memory import MemoryNetwork


def test_a_record_is_a_value_or_a_pair_with_or_without_a_key() -> None:
    records: list[Given] = [b"a", (b"k", b"v"), (None, b"")]
    assert given_records(iter(records)) == records


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ("ab", "str"),
        (bytearray(b"ab"), "bytearray"),
        (None, "NoneType"),
        ([b"k", b"v"], "list"),
        ((b"k", b"v", 1), r"tuple of \(bytes, bytes, int\)"),
        (("k", b"v"), r"tuple of \(str, bytes\)"),
        ((b"k", None), r"tuple of \(bytes, NoneType\)"),
    ],
)
def test_anything_else_is_refused_by_its_place_and_its_type(record: Any, kind: str) -> None:
    with pytest.raises(InvalidRecord, match=f"^record 1 is {kind}: expected bytes, or a pair"):
        given_records([b"fine", record])


@pytest.mark.parametrize(("records", "kind"), [(b"ab", "one bytes"), ("ab", "one str"), (5, "int")])
def test_a_list_that_was_forgotten_is_told(records: Any, kind: str) -> None:
    with pytest.raises(InvalidRecord, match=f"^{kind} is no collection of records"):
        given_records(records)


def test_the_fake_in_memory_refuses_them() -> None:
    clock = Clock()
    broker = FakeBroker(clock, network=MemoryNetwork(clock))
    with pytest.raises(InvalidRecord, match="record 0 is str"):
        broker.append("orders", ["ab"])  # type: ignore[list-item]


def test_the_fake_in_a_process_refuses_them() -> None:
    with pytest.raises(InvalidRecord, match="record 0 is str"):
        BrokerProcess().append("orders", ["ab"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "topics",
    [
        ["orders"],
        "orders",
        {"orders": "3"},
        {"orders": True},
        {3: 3},
        {"orders": "3:2"},
        {"orders": (3,)},
        {"orders": (3, 2, 1)},
        {"orders": (3, "2")},
    ],
)
def test_topics_that_are_no_numbers_by_name_are_refused(topics: Any) -> None:
    clock = Clock()
    with pytest.raises(InvalidConfig, match=r"^topics is .*: expected names, each with its number"):
        FakeBroker(clock, topics=topics, network=MemoryNetwork(clock))
    with pytest.raises(InvalidConfig, match=r"^topics is .*: expected names, each with its number"):
        BrokerProcess(topics=topics)


def test_what_is_refused_is_told_that_a_topic_may_have_replicas() -> None:
    expected = "a pair of partitions and replicas, such as"
    with pytest.raises(InvalidConfig, match=expected):
        BrokerProcess(topics={"orders": "3:2"})  # type: ignore[dict-item]


def test_more_replicas_than_there_are_spus_for_are_refused() -> None:
    clock = Clock()
    topics: dict[str, Topic] = {"one": 1, "orders": (1, 3)}
    expected = r"^topics is .*: expected no more replicas than there are SPUs, which are 2$"
    with pytest.raises(InvalidConfig, match=expected):
        FakeBroker(clock, spus=[7, 8], topics=topics, network=MemoryNetwork(clock))
    with pytest.raises(InvalidConfig, match=expected):
        BrokerProcess(spus=2, topics=topics)


def test_an_empty_address_which_would_be_every_one_is_refused() -> None:
    clock = Clock()
    with pytest.raises(InvalidConfig, match=r"^host is '': expected an address to listen on$"):
        FakeBroker(clock, host="", network=MemoryNetwork(clock))


def test_the_option_topic_taken_for_topics_is_told() -> None:
    with pytest.raises(InvalidConfig, match=r"^topic is .*: expected one value.* is topics$"):
        BrokerProcess(topic={"orders": 1})


def test_other_options_that_take_one_value_take_no_mapping() -> None:
    with pytest.raises(InvalidConfig, match=r"^seed is .*: expected one value: only time and"):
        BrokerProcess(seed={"a": 1})
