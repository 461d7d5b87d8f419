"""Nothing is lost: where a reply is cut inside a batch, the rest of that batch must not be.

The official clients deliver 99,440 of these records, or 56,652, and end as if all were well.
"""

from __future__ import annotations

from typing import Any

import pytest

from txfluvio import Offset

from .kit import Bench, with_reactor

COUNT = 100_000
VALUES = [b"%06d" % number + b"." * 94 for number in range(COUNT)]
KIB, MIB = 1024, 1024 * 1024

BATCHES: dict[str, dict[str, Any]] = {
    "default batches": {},
    "1 MB batches": {"batch_size": 1_000_000, "max_request_size": 1 * MIB},
}
MAX_BYTES = [1 * KIB, 20 * KIB, 700 * KIB, None, 32 * MIB]
"""From far below a batch to more than there is; None: the default."""


@pytest.mark.parametrize("settings", BATCHES.values(), ids=BATCHES.keys())
@with_reactor
async def test_a_hundred_thousand_records_come_once_and_in_order_wherever_replies_are_cut(
    bench: Bench, settings: dict[str, Any]
) -> None:
    topic = await bench.topic()
    await bench.append(topic, VALUES, **settings)
    for max_bytes in MAX_BYTES:
        given: dict[str, Any] = {} if max_bytes is None else {"max_bytes": max_bytes}
        expected = 0
        async with bench.client.consumer(
            topic, start=Offset.beginning(), stop=Offset.end(), **given
        ) as consumer:
            async for batch in consumer.batches():
                first, end = expected, expected + len(batch)
                assert [record.offset for record in batch] == list(range(first, end))
                assert [record.value for record in batch] == VALUES[first:end]
                expected = end
        assert (max_bytes, expected) == (max_bytes, COUNT)
