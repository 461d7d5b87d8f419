"""What is measured of the fake is really done."""

from __future__ import annotations

import pytest

from benchmarks.fake import BATCH, BATCHES, bare_consume, bare_produce, cold_start, measure
from txfluvio.testing.process import BrokerProcess


@pytest.mark.fluvio(topics={"orders": 1})
def test_the_client_that_does_next_to_nothing_produces_and_consumes(
    fluvio_broker: BrokerProcess,
) -> None:
    (where,) = fluvio_broker.spus.values()
    count = 2 * BATCH * BATCHES
    bare_produce(where, "orders", count)
    assert len(fluvio_broker.values("orders")) == count
    bare_consume(where, "orders", count)
    asked = fluvio_broker.ask("GET", "/journal", api="UpdateOffsets", direction="request")
    assert asked["entries"][-1]["message"]["offsets"][-1]["offset"] == count


def test_a_cold_start_takes_some_time() -> None:
    assert 0 < cold_start() < 30


def test_a_measurement_tells_both_clients_and_their_ratio(
    fluvio_broker: BrokerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(fluvio_broker, "produce", rounds=1, count=3000)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["produce", "txfluvio"],
        ["produce", "bare"],
        ["produce", "the"],
    ]
