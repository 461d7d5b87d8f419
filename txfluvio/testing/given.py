"""What tests give to the fake, checked where it is given: an error names what is wrong there.

Without Twisted, since the fake in a process of its own takes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

from ..errors import InvalidConfig, InvalidRecord, UsageError

T = TypeVar("T")

Given: TypeAlias = bytes | tuple[bytes | None, bytes]
"""A record: a value, or a pair of key and value."""

Topic: TypeAlias = int | tuple[int, int]
"""A topic: how many partitions, or a pair of partitions and the replicas of each."""


class NotThere(UsageError):
    """What was named is not there: a topic, a partition, an SPU, a fault, or a snapshot."""


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


def given_topics(
    topics: Mapping[str, Topic | T] | None, spus: int, *kinds: type[T]
) -> dict[str, tuple[int, int] | T]:
    """The topics to begin with: how many partitions and replicas each has, or one of these kinds.

    :raises InvalidConfig: they are something else, or have more replicas than there are SPUs.
    """
    if topics is None:
        return {}
    if not isinstance(topics, Mapping) or not all(
        isinstance(name, str) and (_is_topic(wanted) or isinstance(wanted, kinds))
        for name, wanted in topics.items()
    ):
        expected = (
            "names, each with its number of partitions, or with a pair of partitions and replicas,"
            " such as (3, 2), as a dict"
        )
        raise InvalidConfig("topics", topics, expected)
    found = {
        name: (wanted, 1) if isinstance(wanted, int) else wanted for name, wanted in topics.items()
    }
    # For these an SC would wait until there are more.
    if any(isinstance(wanted, tuple) and wanted[1] > spus for wanted in found.values()):
        expected = f"no more replicas than there are SPUs, which are {spus}"
        raise InvalidConfig("topics", topics, expected)
    return found


def _is_topic(wanted: object) -> bool:
    counts = wanted if isinstance(wanted, tuple) else (wanted, 1)
    return len(counts) == 2 and all(type(count) is int for count in counts)
