"""What is measured of a connection without records is really done."""

from __future__ import annotations

from benchmarks.framing import READERS, measure, report


def test_every_reader_takes_all_that_is_sent() -> None:
    found = measure(rounds=1, count=3)
    assert list(found) == list(READERS)
    assert all(len(rates) == 1 and rates[0] > 0 for rates in found.values())


def test_readers_are_compared_with_a_bare_protocol() -> None:
    rates = {"a bare Twisted protocol": [4e9, 2e9, 3e9], "frames and batch headers": [1e9] * 3}
    first, second = report(rates).splitlines()
    assert first.endswith("3000 MB/s (2000 to 4000), 100%")
    assert second.endswith("1000 MB/s (1000 to 1000),  33%")
