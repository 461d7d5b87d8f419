"""Figures and the line of progress."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from txfluvio.tap.figures import ERASE, Progress, in_bytes
from txfluvio.tap.follow import Tally


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e9, "3.0 GB")],
)
def test_bytes_have_the_unit_that_suits_them(size: float, text: str) -> None:
    assert in_bytes(size) == text


def test_progress_is_drawn_over_and_over_and_erased_once() -> None:
    clock, tally = Clock(), Tally()
    drawn: list[str] = []
    progress = Progress(tally, drawn.append, clock)
    progress.start()
    clock.pump([0.2, 0.2])
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]
    progress.erase()
    progress.erase()
    assert drawn[2:] == [ERASE]
    tally.records, tally.size = 10, 2000
    clock.advance(0.6)
    assert drawn[-1].endswith(" 10 records, 2.0 kB, 10/s")
    progress.stop()
    assert clock.getDelayedCalls() == []
