"""Which partitions a consumer reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.consumer.share import Selection, Share, by_topic
from txfluvio.errors import InvalidConfig


@given(workers=st.integers(1, 20), partitions=st.integers(0, 60))
def test_every_partition_belongs_to_exactly_one_worker(workers: int, partitions: int) -> None:
    parts = [Selection.of(Share(i, workers)).choose(range(partitions)) for i in range(workers)]
    assert sorted(n for part in parts for n in part) == list(range(partitions))


def test_a_share_grows_with_its_topic() -> None:
    selection = Selection.of(Share(1, 2))
    assert selection.grows
    assert selection.choose(range(3)) == [1]
    assert selection.choose(range(6)) == [1, 3, 5]


def test_everything_is_read_by_default_and_grows() -> None:
    selection = Selection.of(None)
    assert selection.grows
    assert selection.choose([2, 0, 1]) == [0, 1, 2]


@pytest.mark.parametrize("given_as", [3, [3], (3, 3), {3}, iter([3])])
def test_partitions_are_named_by_one_number_or_several(given_as: object) -> None:
    selection = Selection.of(given_as)  # type: ignore[arg-type]
    assert selection.choose(range(5)) == [3]
    assert not selection.grows


def test_named_partitions_that_do_not_exist_are_told() -> None:
    assert Selection.of([1, 7, 5]).missing(range(3)) == [5, 7]
    assert Selection.of(None).missing(range(3)) == []


@pytest.mark.parametrize("wrong", [[], {}, "0", b"0", -1, [0.0], [None], True, 1.5, object()])
def test_anything_else_is_refused_by_name(wrong: object) -> None:
    with pytest.raises(InvalidConfig, match="partitions"):
        Selection.of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("index", "of"), [(0, 0), (2, 2), (-1, 2), (0.0, 2), (0, True), ("0", 2)])
def test_a_share_checks_its_numbers(index: object, of: object) -> None:
    with pytest.raises(InvalidConfig, match=r"Share\."):
        Share(index, of)  # type: ignore[arg-type]


def test_what_is_said_once_holds_for_every_topic() -> None:
    selections = by_topic(["orders", "returns"], [1, 2])
    assert selections == {"orders": Selection.of([1, 2]), "returns": Selection.of([1, 2])}


def test_a_mapping_says_it_by_topic_and_leaves_the_others_whole() -> None:
    selections = by_topic(["orders", "returns"], {"orders": 0})
    assert selections == {"orders": Selection.of(0), "returns": Selection.of(None)}


def test_a_mapping_names_no_topic_that_is_not_read() -> None:
    with pytest.raises(InvalidConfig, match="'retuns'"):
        by_topic(["orders", "returns"], {"retuns": 0})
