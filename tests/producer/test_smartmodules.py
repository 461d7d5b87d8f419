"""Writing through SmartModules: they run on the leader, and what they do to a record is its own."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.producer.kit import NAME, ProducerTestCase
from txfluvio.errors import (
    Effect,
    NotAllStored,
    SmartModuleCrashed,
    SmartModuleNotFound,
    SmartModuleRuntimeError,
)
from txfluvio.producer import RecordMetadata
from txfluvio.smartmodule import SmartModuleInvocation
from txfluvio.testing.smartmodules import SmartModuleRecord, Trap, filter_map
from txfluvio.wire.codes import Code, ModuleKind, error

from .test_on_a_cluster import TOPIC, Scene, replicated

CHAIN = [SmartModuleInvocation("upper"), SmartModuleInvocation("halve", params={"a": "b"})]
FAILED = error(
    Code.SMART_MODULE_RUNTIME_ERROR,
    hint="oops",
    offset=1,
    kind=ModuleKind.MAP,
    record_key=None,
    record_value=b"b",
)


class SmartModules(ProducerTestCase):
    def sent(self, sending: Deferred[RecordMetadata]) -> Deferred[RecordMetadata]:
        self.turn()
        return sending

    def test_each_request_carries_the_chain(self) -> None:
        producer = self.started(smartmodules=CHAIN)
        for value in (b"a", b"b"):
            producer.send(value)
            self.turn()
        for asked in self.leader.asked:
            names = [module.name for module in asked.message.smartmodules]
            self.assertEqual(names, ["upper", "halve"])

    def test_what_is_sent_is_accepted_at_an_offset_that_is_not_told(self) -> None:
        producer = self.started(smartmodules=CHAIN)
        one, many = producer.send(b"a"), producer.send_many([b"b", b"c"])
        self.turn()
        self.assertIsNone(self.successResultOf(one).offset)
        found = self.successResultOf(many)
        self.assertEqual([(m.topic, m.partition, m.offset) for m in found], [(NAME, 0, None)] * 2)

    def test_a_record_that_a_module_fails_on_takes_its_batch_with_it(self) -> None:
        producer = self.started(smartmodules=CHAIN)
        self.leader.codes = [FAILED]
        one, many = producer.send(b"a"), producer.send_many([b"b", b"c"])
        self.turn()
        found = self.failureResultOf(one, SmartModuleRuntimeError).value
        assert isinstance(found, SmartModuleRuntimeError)
        self.assertEqual((found.module, found.hint, found.offset), ("upper, halve", "oops", 1))
        self.assertIs(found.effect, Effect.NONE)
        failed = self.failureResultOf(many, NotAllStored).value
        assert isinstance(failed, NotAllStored)
        self.assertIs(failed.effect, Effect.NONE)
        self.assertEqual(self.leader.values(), [])

    def test_it_does_not_touch_what_is_sent_later(self) -> None:
        producer = self.started(smartmodules=CHAIN)
        self.leader.codes = [FAILED]
        self.failureResultOf(self.sent(producer.send(b"a")), SmartModuleRuntimeError)
        self.successResultOf(self.sent(producer.send(b"b")))
        self.assertEqual(self.leader.values(), [b"b"])

    def test_a_breakdown_and_a_module_that_is_not_there_are_named(self) -> None:
        producer = self.started(smartmodules=CHAIN)
        for code, kind in (
            (error(Code.SMART_MODULE_NOT_FOUND, name="upper"), SmartModuleNotFound),
            (error(Code.OTHER, text="smartmodule chain failed: boom"), SmartModuleCrashed),
        ):
            self.leader.codes = [code]
            found = self.failureResultOf(self.sent(producer.send(b"a")), kind).value
            assert isinstance(found, kind)
            self.assertIs(found.effect, Effect.NONE)
            self.assertIn("through upper, halve", str(found))
        self.assertEqual(len(self.leader.asked), 2)


@filter_map
def halve(record: SmartModuleRecord) -> tuple[bytes | None, bytes] | None:
    if record.value == b"trap":
        raise Trap("unreachable")
    number = int(record.value)
    return None if number % 2 else (record.key, str(number // 2).encode())


def test_what_is_stored_is_what_they_make_of_each_batch() -> None:
    with Scene(replicated()) as scene:
        scene.broker.register_smartmodule("halve", halve)
        producer = scene.producer(smartmodules=[SmartModuleInvocation("halve")])
        stored = scene.get(producer.send_many([b"1", b"2", b"3", b"4"]))
        assert [one.offset for one in stored] == [None] * 4
        nothing_left = scene.get(producer.send(b"5"))
        assert nothing_left.offset is None
        assert [record.value for record in scene.stored()] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("value", "kind"), [(b"x", SmartModuleRuntimeError), (b"trap", SmartModuleCrashed)]
)
def test_of_a_batch_that_a_module_fails_on_nothing_is_stored(
    value: bytes, kind: type[Exception]
) -> None:
    with Scene(replicated()) as scene:
        scene.broker.register_smartmodule("halve", halve)
        producer = scene.producer(smartmodules=[SmartModuleInvocation("halve")])
        sent = producer.send_many([b"2", value])
        scene.turn(5.0)
        failure = SynchronousTestCase().failureResultOf(sent, NotAllStored)
        assert isinstance(failure.value.__cause__, kind)
        assert scene.broker.records(TOPIC) == []
