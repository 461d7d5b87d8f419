"""Names of topics that were deleted a moment ago, and when they can be used again."""

from __future__ import annotations

from txfluvio.admin.topics import REUSE_PAUSE, Deletions


def test_a_name_that_was_not_deleted_can_be_used_at_once() -> None:
    deletions = Deletions()
    deletions.note("orders", 100.0)
    assert deletions.pause("payments", 100.0) == 0.0


def test_one_that_was_deleted_can_be_used_after_the_pause() -> None:
    deletions = Deletions()
    deletions.note("orders", 100.0)
    assert deletions.pause("orders", 100.0) == REUSE_PAUSE
    assert deletions.pause("orders", 100.0 + REUSE_PAUSE / 4) == REUSE_PAUSE * 3 / 4
    assert deletions.pause("orders", 100.0 + REUSE_PAUSE) == 0.0


def test_one_that_was_deleted_again_has_its_pause_anew() -> None:
    deletions = Deletions()
    deletions.note("orders", 100.0)
    deletions.note("orders", 100.5)
    assert deletions.pause("orders", 100.5) == REUSE_PAUSE


def test_a_clock_that_is_set_back_makes_the_pause_no_longer() -> None:
    deletions = Deletions()
    deletions.note("orders", 3700.0)
    assert deletions.pause("orders", 100.0) == 0.0


def test_those_whose_pause_is_over_are_not_remembered() -> None:
    deletions = Deletions()
    for number in range(3):
        deletions.note(f"orders-{number}", number * REUSE_PAUSE)
    assert len(deletions) == 1
