"""SmartModules in Python: what they are given, what they may give back, and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.smartmodules.kit import Kit, values
from tests.testing.smartmodules.wat import named
from tests.testing.spu_kit import entry, produce
from txfluvio.errors import UsageError
from txfluvio.testing.smartmodules import (
    SmartModule,
    SmartModuleRecord,
    aggregate,
    array_map,
    deduplicate,
    filter,
    filter_map,
    map,
)
from txfluvio.wire.codes import Code, ModuleKind
from txfluvio.wire.records import encode_batch
from txfluvio.wire.schema import MAX_STRING


def hint_of(raising: Callable[[], object]) -> str:
    """What a stream is told when a filter raises."""

    @filter
    def fails(record: SmartModuleRecord) -> bool:
        raising()
        return True

    kit = Kit({"fails": fails})
    kit.put([b"x"])
    text: str = kit.stream(named("fails")).push().error_code.fields["hint"]
    return text


def test_the_decorators_say_the_kind() -> None:
    def module(*arguments: object) -> Any:
        return None

    decorators = (filter, map, filter_map, array_map, aggregate)
    assert [decorate(module).kind for decorate in decorators] == [
        ModuleKind.FILTER,
        ModuleKind.MAP,
        ModuleKind.FILTER_MAP,
        ModuleKind.ARRAY_MAP,
        ModuleKind.AGGREGATE,
    ]


def test_an_exception_is_told_by_its_text() -> None:
    def raising() -> None:
        raise ValueError("too long")

    assert hint_of(raising) == "too long"


def test_an_exception_without_a_text_is_told_by_its_name() -> None:
    def raising() -> None:
        raise ZeroDivisionError

    assert hint_of(raising) == "ZeroDivisionError"


def test_a_cause_is_told_below() -> None:
    def raising() -> None:
        raise ValueError("no number") from OverflowError("too big")

    assert hint_of(raising) == "no number\n\nCaused by:\n    too big"


def test_several_causes_are_numbered() -> None:
    def raising() -> None:
        first = OverflowError("too big")
        first.__cause__ = OSError("no space")
        raise ValueError("no number") from first

    assert hint_of(raising) == "no number\n\nCaused by:\n   0: too big\n   1: no space"


def test_a_text_is_cut_where_no_more_can_be_sent() -> None:
    def raising() -> None:
        raise ValueError("é" * MAX_STRING)

    assert hint_of(raising) == "é" * (MAX_STRING // 2)


def test_causes_that_go_in_circles_end() -> None:
    def raising() -> None:
        error = ValueError("round")
        error.__cause__ = error
        raise error

    assert hint_of(raising).count("round") == 101


def test_an_exception_on_the_way_emits_nothing_of_its_record() -> None:
    @array_map
    def counts(record: SmartModuleRecord) -> Iterator[tuple[None, bytes]]:
        yield None, b"1"
        if record.value == b"bad":
            raise ValueError("no more")
        yield None, b"2"

    kit = Kit({"counts": counts})
    kit.put([b"good", b"bad"])
    push = kit.stream(named("counts")).push()
    assert values(push) == [b"1", b"2"]
    assert push.error_code.code == Code.SMART_MODULE_RUNTIME_ERROR


@pytest.mark.parametrize(
    ("count", "values", "passed"),
    [
        (2, "a b a", "a b"),
        (2, "a b c a", "a b c a"),
        (2, "a b a c a", "a b c a"),
        (1, "a a b a", "a b a"),
    ],
)
def test_deduplicate_remembers_so_many_values(count: int, values: str, passed: str) -> None:
    instance = deduplicate.module()
    instance.init({"count": str(count)})
    records = [SmartModuleRecord(None, value.encode(), 0, 0, 0, 0) for value in values.split()]
    assert [one.value.decode() for one in records if instance(one)] == passed.split()


MISTAKES: dict[str, SmartModule] = {
    "a filter has to return a bool, not 1": filter(lambda record: 1),  # type: ignore[arg-type]
    "of bytes, not 'text'": map(lambda record: "text"),  # type: ignore[arg-type]
    "of bytes, not ('key', b'')": map(lambda record: ("key", b"")),  # type: ignore[arg-type]
    "of bytes, not (b'only',)": filter_map(lambda record: (b"only",)),  # type: ignore[arg-type]
    "has to return pairs, not 5": array_map(lambda record: 5),  # type: ignore[arg-type]
    "of bytes, not b'pair'": array_map(lambda record: [b"pair"]),  # type: ignore[arg-type]
    "of bytes, not (None, 'sum')": aggregate(lambda accumulator, record: "sum"),  # type: ignore[arg-type]
}
"""Modules that return what they can not, and what is said of that."""


class MistakeTests(SynchronousTestCase):
    """A mistake in the test is said there, and never taken for something a module does."""

    def test_a_stream_ends_with_its_connection(self) -> None:
        for text, module in MISTAKES.items():
            kit = Kit({"wrong": module})
            kit.put([b"x"])
            client, other = kit.client(), kit.client()
            stream = kit.stream(named("wrong"), client=client)
            (failure,) = self.flushLoggedErrors(UsageError)
            self.assertIn(text, str(failure.value))
            self.assertEqual((stream.pushes(), client.closed), ([], True))
            self.assertEqual((client.closed, other.closed), (True, False))

    def test_the_one_who_produces_to_the_stream_is_not_harmed(self) -> None:
        kit = Kit({"wrong": filter(lambda record: None)})  # type: ignore[arg-type]
        kit.stream(named("wrong"))
        producer = kit.client()
        answer = producer.produce(encode_batch([b"x"]))
        self.assertEqual(answer.error_code.code, Code.NONE)
        self.assertEqual(len(self.flushLoggedErrors(UsageError)), 1)

    def test_a_produce_ends_with_its_connection(self) -> None:
        kit = Kit({"wrong": filter(lambda record: None)})  # type: ignore[arg-type]
        client = kit.client()
        client.send(produce(entry(encode_batch([b"x"])), smartmodules=(named("wrong"),)))
        self.assertEqual(len(self.flushLoggedErrors(UsageError)), 1)
        self.assertTrue(client.closed)
