"""Records that modules look back at before the first batch."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.testing.smartmodules import wat
from tests.testing.smartmodules.kit import Kit, text_of, values
from tests.testing.smartmodules.wat import named
from tests.testing.spu_kit import ORDERS
from txfluvio.testing.smartmodules import SmartModuleRecord, Trap, filter
from txfluvio.wire.codes import Code
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.sc import TopicStorage
from txfluvio.wire.spu import Duration, Lookback

HOUR = Duration(seconds=3600, nanoseconds=0)


class Seen:
    """Looks back at everything, and lets nothing through."""

    records: ClassVar[list[SmartModuleRecord]] = []

    def __init__(self) -> None:
        type(self).records = []

    def look_back(self, record: SmartModuleRecord) -> None:
        self.records.append(record)

    def __call__(self, record: SmartModuleRecord) -> bool:
        return False


def seen(kit: Kit, lookback: Lookback | None) -> list[bytes]:
    """The values of what a module looked back at."""
    kit.register("seen", filter(Seen))
    kit.stream(named("seen", lookback=lookback))
    return [record.value for record in Seen.records]


def filled(*ages: float) -> Kit:
    """Records that are so many seconds old, each a batch; the value is its number."""
    kit = Kit()
    for number, age in enumerate(ages):
        time = int((kit.clock.seconds() - age) * 1000)
        batch = Batch(encode_batch([b"%d" % number], timestamp=time), 0)
        kit.spu.replicas[ORDERS].append([batch], kit.clock.seconds())
    return kit


@pytest.mark.parametrize(
    ("lookback", "found"),
    [
        (None, []),
        (Lookback(last=0), []),
        (Lookback(last=2), [b"2", b"3"]),
        (Lookback(last=99), [b"0", b"1", b"2", b"3"]),
        (Lookback(last=0, age=HOUR), [b"1", b"2", b"3"]),
        (Lookback(last=2, age=HOUR), [b"2", b"3"]),
        (Lookback(last=99, age=HOUR), [b"1", b"2", b"3"]),
        (Lookback(last=2, age=Duration(seconds=0, nanoseconds=500_000_000)), [b"3"]),
    ],
)
def test_it_is_the_last_records_or_the_young_ones(
    lookback: Lookback | None, found: list[bytes]
) -> None:
    assert seen(filled(7200, 60, 1, 0), lookback) == found


@pytest.mark.parametrize(
    "lookback",
    [
        Lookback(last=2**63),
        Lookback(last=2**63, age=HOUR),
        Lookback(last=0, age=Duration(seconds=2**63 // 1000 + 1)),
    ],
)
def test_more_than_a_real_spu_can_count_is_refused(lookback: Lookback) -> None:
    kit = Kit({"seen": filter(Seen)})
    push = kit.stream(named("seen", lookback=lookback)).push()
    assert push.error_code.code == Code.SMART_MODULE_LOOKBACK_ERROR
    assert text_of(push) == "out of range integral type conversion attempted"


def test_only_committed_records_count() -> None:
    kit = Kit()
    replica = kit.host(("pair", 0), followers=(5002,))
    kit.put([b"1"], [b"2"], topic="pair")
    replica.acknowledged(5002, 1)
    kit.register("seen", filter(Seen))
    kit.stream(named("seen", lookback=Lookback(last=5)), key=("pair", 0))
    assert [record.value for record in Seen.records] == [b"1"]


def test_a_batch_may_be_looked_at_in_part() -> None:
    kit = Kit()
    kit.put([b"0", b"1", b"2"])
    assert seen(kit, Lookback(last=2)) == [b"1", b"2"]


def test_it_reaches_over_segments() -> None:
    kit = Kit()
    kit.host(("tiny", 0), storage=TopicStorage(segment_size=100))
    kit.put([b"1"], [b"2"], [b"3"], topic="tiny")
    assert kit.spu.replicas["tiny", 0].log.segments == 3
    kit.register("seen", filter(Seen))
    kit.stream(named("seen", lookback=Lookback(last=3)), key=("tiny", 0))
    assert [record.value for record in Seen.records] == [b"1", b"2", b"3"]


def test_where_they_were_and_when_is_not_told() -> None:
    kit = Kit()
    kit.put([b"0"], [b"1", b"2"])
    seen(kit, Lookback(last=2))
    assert [(one.offset, one.timestamp) for one in Seen.records] == [(0, 0), (1, 0)]


def test_wasm_looks_back_in_one_call_also_at_nothing() -> None:
    pytest.importorskip("wasmtime")
    kit = Kit({"count": wat.LOOK_BACK})
    kit.put([b"1", b"22"], [b"333"])
    for last, found in ((0, []), (1, [b"1"]), (2, [b"22"]), (3, [b"333"])):
        stream = kit.stream(named("count", lookback=Lookback(last=last)))
        assert [values(one.partition) for one in stream.pushes()] == [found] * bool(found)


def test_a_module_that_does_not_look_back_is_not_made_to() -> None:
    pytest.importorskip("wasmtime")
    kit = Kit({"filter-on-a": wat.FILTER})
    kit.put([b"a"])
    assert values(kit.stream(named("filter-on-a", lookback=Lookback(last=1))).push()) == [b"a"]


@filter
class Strict:
    """Fails on what it looks back at."""

    def look_back(self, record: SmartModuleRecord) -> None:
        if record.value == b"trap":
            raise Trap("it broke")
        if record.value != b"fine":
            raise ValueError("not fine")

    def __call__(self, record: SmartModuleRecord) -> bool:
        return True


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        (None, b"bad", "    Offset: 1\n    Key: NULL\n    Value: bad"),
        (b"k", b"\xff\xff", "    Offset: 1\n    Key: k\n    Value: Binary: 2 bytes"),
    ],
)
def test_a_failure_says_on_which_record(key: bytes | None, value: bytes, shown: str) -> None:
    kit = Kit({"strict": Strict})
    kit.put([b"first"], [b"fine", (key, value)])
    push = kit.stream(named("strict", lookback=Lookback(last=2))).push()
    assert push.error_code.code == Code.SMART_MODULE_LOOKBACK_ERROR
    assert text_of(push) == f"not fine\n\nSmartModule Lookback Error: \n{shown}"


def test_a_module_may_break_down_there() -> None:
    kit = Kit({"strict": Strict})
    kit.put([b"trap"])
    push = kit.stream(named("strict", lookback=Lookback(last=1))).push()
    assert push.error_code.code == Code.SMART_MODULE_LOOKBACK_ERROR
    assert text_of(push) == "it broke"


def test_a_producer_is_told_too_and_nothing_is_written() -> None:
    kit = Kit({"strict": Strict})
    kit.put([b"bad"])
    answer = kit.client().produce(
        encode_batch([b"x"]), smartmodules=(named("strict", lookback=Lookback(last=1)),)
    )
    assert answer.error_code.code == Code.SMART_MODULE_LOOKBACK_ERROR
    assert kit.spu.replicas[ORDERS].log.leo == 1
