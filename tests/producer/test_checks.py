"""Records are checked at the call that sends them, all of them before any is queued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from txfluvio.errors import InvalidRecord, RecordTooLarge
from txfluvio.producer.checks import columns, size_alone

LIMIT = 1000


class Pair(NamedTuple):
    key: bytes | None
    value: bytes


class Text(bytes):
    pass


@pytest.mark.parametrize(
    ("records", "keys", "values"),
    [
        ([], None, []),
        ([b"a", b"b"], None, [b"a", b"b"]),
        ([(b"k", b"a"), (None, b"b")], [b"k", None], [b"a", b"b"]),
        ([b"a", (b"k", b"b"), (None, b"c")], [None, b"k", None], [b"a", b"b", b"c"]),
        ([Pair(b"k", b"a"), Pair(None, b"b")], [b"k", None], [b"a", b"b"]),
        ([Text(b"a"), (Text(b"k"), b"b")], [None, b"k"], [b"a", b"b"]),
        ((value for value in (b"a", b"b")), None, [b"a", b"b"]),
    ],
)
def test_values_and_pairs_become_keys_and_values(
    records: Any, keys: list[bytes | None] | None, values: list[bytes]
) -> None:
    assert columns(records, LIMIT) == (keys, values)


@pytest.mark.parametrize(
    "wrong",
    [
        "a",
        None,
        7,
        bytearray(b"a"),
        [b"k", b"a"],
        (b"k",),
        (b"k", b"a", b"b"),
        (b"k", "a"),
        (b"k", None),
        ("k", b"a"),
        (7, b"a"),
    ],
)
def test_one_wrong_record_among_good_ones_is_found(wrong: Any) -> None:
    for good in ([b"a"], [(b"k", b"a")], [b"a", (b"k", b"a")]):
        with pytest.raises(InvalidRecord):
            columns([*good, wrong], LIMIT)


@pytest.mark.parametrize("wrong", [b"abc", "abc", 7, None])
def test_what_is_no_collection_of_records_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRecord, match=r"no collection|is int|is str"):
        columns(wrong, LIMIT)


def test_an_iterable_that_breaks_breaks_by_its_own_error() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise TypeError("a mistake of the user's")

    with pytest.raises(TypeError, match="a mistake"):
        columns(broken(), LIMIT)


def test_one_too_large_is_found_and_one_as_large_as_can_be_is_not() -> None:
    largest = b"x" * (LIMIT - size_alone(b"k", b"") - 2)
    assert size_alone(b"k", largest) == LIMIT
    columns([b"a", (b"k", largest)], LIMIT)
    columns([(b"k", b"a"), (b"k", largest)], LIMIT)
    with pytest.raises(RecordTooLarge) as caught:
        columns([b"a", (b"k", largest + b"x")], LIMIT)
    assert (caught.value.size, caught.value.limit) == (LIMIT + 1, LIMIT)
    with pytest.raises(RecordTooLarge):
        columns([b"a", b"x" * LIMIT], LIMIT)
