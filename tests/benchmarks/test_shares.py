"""Samples are counted for the part of the house that they were taken in."""

from __future__ import annotations

from benchmarks.shares import shares

BELOW = "<module> (benchmarks/ours.py:250);run (twisted/internet/base.py:1);"


def test_a_sample_counts_for_the_innermost_frame() -> None:
    stacks = [
        f"{BELOW}decode_records (txfluvio/wire/_decode.py:100) 6",
        f"{BELOW}feed (txfluvio/wire/framing.py:80) 1",
        f"{BELOW}__init__ (<attrs generated methods txfluvio.wire.spu.ProduceRequest>:5) 1",
        f"{BELOW}doPoll (twisted/internet/epollreactor.py:227) 1",
        f"{BELOW}_add (twisted/internet/epollreactor.py:100) 1",
    ]
    assert shares(stacks) == {
        "records": 0.6,
        "messages, batches, frames": 0.2,
        "Twisted's wait": 0.1,
        "Twisted": 0.1,
    }


def test_importing_is_left_out() -> None:
    stacks = ["<module> (a.py:1);_find_and_load (<frozen importlib._bootstrap>:1);x (b.py:2) 5"]
    assert shares([*stacks, "send (txfluvio/producer/producer.py:240) 1"]) == {"producer": 1.0}
