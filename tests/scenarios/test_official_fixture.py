"""The official Python client blocks; with the fixtures it can be used right in a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from txfluvio.testing.process import BrokerProcess


@pytest.mark.fluvio(topics={"orders": 1})
def test_a_client_that_blocks_is_used_in_the_same_test(
    fluvio_broker: BrokerProcess, fluvio_profile: Path
) -> None:
    fluvio = pytest.importorskip("fluvio", reason="the official client is not installed")
    connection = fluvio.Fluvio.connect()
    producer = connection.topic_producer("orders")
    producer.send(b"k", b"tea")
    producer.flush()
    assert fluvio_broker.values("orders") == [b"tea"]
    fluvio_broker.append("orders", [b"milk"])
    stream = connection.partition_consumer("orders", 0).stream(fluvio.Offset.beginning())
    assert [next(stream).value_string() for _ in range(2)] == ["tea", "milk"]
