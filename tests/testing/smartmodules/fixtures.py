"""The modules that the recordings and the suite of the official Python client use, in Python.

Each does what the module of the same name does that is compiled from Rust, in the same words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from txfluvio.testing.smartmodules import (
    Registrable,
    SmartModuleRecord,
    aggregate,
    array_map,
    filter,
    filter_map,
    map,
)

Pair = tuple[bytes | None, bytes]

_NUMBER = re.compile(rb"[+-]?[0-9]+")
_MAX = 2**31


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as reason:
        where = f"from index {reason.start}"
        if reason.reason == "unexpected end of data":
            raise ValueError(f"incomplete utf-8 byte sequence {where}") from None
        bad = reason.end - reason.start
        raise ValueError(f"invalid utf-8 sequence of {bad} bytes {where}") from None


@filter
def filter_on_a(record: SmartModuleRecord) -> bool:
    return "a" in _text(record.value)


@filter
class FilterParam:
    def __init__(self) -> None:
        self._key = "a"

    def init(self, params: Mapping[str, str]) -> None:
        self._key = params.get("key", "a")

    def __call__(self, record: SmartModuleRecord) -> bool:
        return self._key in _text(record.value)


@map
def upper(record: SmartModuleRecord) -> Pair:
    return record.key, record.value.upper()


@filter_map
def halve(record: SmartModuleRecord) -> Pair | None:
    if not record.value:
        raise ValueError("cannot parse integer from empty string")
    if _NUMBER.fullmatch(record.value) is None:
        raise ValueError("invalid digit found in string")
    number = int(record.value)
    if number >= _MAX:
        raise ValueError("number too large to fit in target type")
    if number < -_MAX:
        raise ValueError("number too small to fit in target type")
    return None if number % 2 else (record.key, str(number // 2).encode())


@array_map
def elements(record: SmartModuleRecord) -> list[Pair]:
    try:
        found = json.loads(record.value)
    except ValueError:
        raise ValueError("expected value at line 1 column 1") from None
    if not isinstance(found, list):
        raise TypeError(f"invalid type: {type(found).__name__}, expected a sequence")
    return [
        (
            None,
            json.dumps(one, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode(),
        )
        for one in found
    ]


@aggregate
def concatenate(accumulator: bytes, record: SmartModuleRecord) -> bytes:
    return (_text(accumulator) + _text(record.value)).encode()


NAMED: Mapping[str, Registrable] = {
    "filter-on-a": filter_on_a,
    "fparam": FilterParam,
    "map1": upper,
    "fm1": halve,
    "arr1": elements,
    "agg1": concatenate,
}
"""By the names that they have in the recordings."""

BY_SHA256: Mapping[str, Registrable] = {
    "9c0a14fb28da8a083d0d627f5ba5e7ad23e9e27da028630e49ad672a20b0d810": filter_on_a,
    "6269bb687c41ed063be467b22980c78643bb0633026029b228fea01f21943d9d": FilterParam,
    "25594bed3274673cac297ded76f124ff8bb3006236a250e94d0c3731867249de": upper,
    "4fdb2bd8b6e8d8a55ff642686f0b202ccb1010763a7f69683780452099b6cccd": halve,
    "abf3979f263abfb95f29cd05ddeb2787bbbcac5dc1d6ebbe730a01378a87b7bd": elements,
    "703a1c97c2592355f1c553ea7251d2e07001ebaa306b19edf77bf1d99826e071": concatenate,
}
"""By the SHA-256 of what is compiled from Rust."""
