"""What tests give to the fake, checked where it is given: an error names what is wrong there.

Without Twisted, since the fake in a process of its own takes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

from ..errors import InvalidConfig, InvalidRecord

T = TypeVar("T")

Given: TypeAlias = bytes | tuple[bytes | None, bytes]
"""A record: a value, or a pair of key and value."""


def given_records(records: Iterable[Given]) -> list[Given]:
    """The records, each of which is bytes or a pair of them.

    :raises InvalidRecord: one is not; the message says which, and shows nothing of it.
    """
    if isinstance(records, bytes | bytearray | str):
        raise InvalidRecord(f"one {type(records).__name__} is no collection of records")
    try:
        each = iter(records)
    except TypeError as error:
        raise InvalidRecord(f"{type(records).__name__} is no collection of records") from error
    found = list(each)
    for index, record in enumerate(found):
        if not _is_record(record):
            raise InvalidRecord(
                f"record {index} is {_kind(record)}:"
                " expected bytes, or a pair of key (bytes or None) and value (bytes)"
            )
    return found


def _is_record(record: object) -> bool:
    match record:
        case tuple((None | bytes(), bytes())) | bytes():
            return True
    return False


def _kind(record: object) -> str:
    if not isinstance(record, tuple):
        return type(record).__name__
    return f"tuple of ({', '.join(type(one).__name__ for one in record)})"


def given_topics(topics: Mapping[str, T] | None, *kinds: type) -> dict[str, T]:
    """The topics to begin with: a value of one of these kinds by each name.

    :raises InvalidConfig: they are something else.
    """
    if topics is None:
        return {}
    if not isinstance(topics, Mapping) or not all(
        isinstance(name, str) and isinstance(wanted, kinds) and not isinstance(wanted, bool)
        for name, wanted in topics.items()
    ):
        raise InvalidConfig(
            "topics", topics, "names, each with its number of partitions, as a dict"
        )
    return dict(topics)
