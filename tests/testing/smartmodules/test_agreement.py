"""Modules in Python and in WASM, given the same records: the same bytes leave the SPU."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.testing.smartmodules import fixtures, wat
from tests.testing.smartmodules.kit import TIME, Kit, Pair
from tests.testing.smartmodules.wat import named
from tests.testing.spu_kit import ORDERS, entry, produce
from txfluvio.wire.compression import Compression
from txfluvio.wire.records import Batch, encode_batch
from txfluvio.wire.spu import StreamFetchRequest

pytest.importorskip("wasmtime")

VALUES = {
    "filter-on-a": [b"a", b"bab", b"xyz", b""],
    "fparam": [b"key", b"a", b"kek", b""],
    "map1": [b"aZ9", b"\xc3\xa9z", b""],
    "fm1": [b"1", b"2", b"008", b"123456789", b"-x", b"12 "],
    "arr1": [b"[]", b"[1]", b'["a","b",true]', b"oops"],
    "agg1": [b"a", b"\xc3\xa9", b""],
}
"""What each module is given."""


def frames(kit: Kit, name: str, batches: list[bytes], limit: int, chain: list[str]) -> list[bytes]:
    """Everything that a stream and a produce send, to the end of what there is."""
    kit.host(("made", 0))
    modules = tuple(named(one, key="k") for one in (name, *chain))
    client = kit.client()
    client.send(produce(entry(*batches), topic="made", smartmodules=modules))
    for batch in batches:
        kit.spu.replicas[ORDERS].append([Batch(batch, 0)], kit.clock.seconds())
    for key in (ORDERS, ("made", 0)):
        client.send(
            StreamFetchRequest(
                topic=key[0],
                partition=0,
                fetch_offset=0,
                max_bytes=limit,
                smartmodules=modules if key == ORDERS else (),
            )
        )
    for offset in range(1, kit.spu.replicas[ORDERS].log.leo):
        client.ack(offset)
    return client.raw.received()


@pytest.mark.parametrize("name", list(VALUES))
def test_whatever_is_sent_through_them(name: str) -> None:
    record = st.tuples(st.sampled_from([None, b"", b"key"]), st.sampled_from(VALUES[name]))
    codecs = st.sampled_from([Compression.NONE, Compression.GZIP])

    @settings(max_examples=12)
    @given(
        records=st.lists(st.lists(record, min_size=1, max_size=4), min_size=1, max_size=4),
        codec=codecs,
        limit=st.integers(0, 100) | st.just(100_000),
        chain=st.sampled_from([[], ["map1"], ["agg1"], ["filter-on-a", "agg1"]]),
    )
    def compare(
        records: list[list[Pair]], codec: Compression, limit: int, chain: list[str]
    ) -> None:
        batches = [encode_batch(one, compression=codec, timestamp=TIME) for one in records]
        found = [
            frames(Kit(engine), name, batches, limit, chain)
            for engine in (fixtures.NAMED, wat.NAMED)
        ]
        assert found[0] == found[1]

    compare()
