"""Recorded frames, damaged: what takes them apart and checks them goes through to the end.

That reading them ends in a ProtocolError at the worst is told in ``tests/testing/test_fuzz.py``.
"""

from __future__ import annotations

import attrs

from tests import golden
from txfluvio.wire.check import Totals, check_frame
from txfluvio.wire.dump import take_apart
from txfluvio.wire.recordings import RecordedFrame

FRAMES = 2_000


def damaged(seed: int) -> list[RecordedFrame]:
    cases = (golden.corpus().case(seed, number) for number in range(FRAMES))
    return [attrs.evolve(case.sample.frame, payload=case.payload) for case in cases]


def test_damaged_frames_are_taken_apart_byte_by_byte_all_the_same() -> None:
    for frame in damaged(99):
        parts, _ = take_apart(frame)
        pieces = [part.data for part in parts if not part.unpacked]
        assert b"".join(pieces) == frame.payload


def test_damaged_frames_are_checked_to_the_end() -> None:
    totals = Totals()
    found = [check_frame(frame, totals) for frame in damaged(98)]
    assert any(found)
    assert not all(found)
