"""Records as a producer writes them, by hand: pieces of bytes, to be joined to a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Final

from ._raw import SMALLEST_RECORD
from ._varints import SHORT, VARINTS, varint, varints

_RUN: Final = 128
"""So many records are looked at together, whether they are alike."""
_FEW_ALIKE: Final = 4
"""Fewer are not worth it."""


def append_records(
    parts: list[bytes],
    keys: Sequence[bytes | None] | None,
    values: Sequence[bytes],
    start: int,
    index: int,
    delta: int,
    room: int,
) -> tuple[int, int]:
    """Append the records ``values[start:]``, as many as fit into ``room`` bytes.

    The first becomes the batch's record ``index``, the others follow; all are ``delta``
    milliseconds from the batch's time. Neighbours of one size are appended together.

    :param keys: the keys of all ``values``; None: no record has one.
    :returns: where in ``values`` it stopped, and the bytes appended.
    """
    left = room
    while start < len(values):
        fit = max(0, left) // (SMALLEST_RECORD + len(values[start]))
        # Up to there, offsets differ in the first two bytes only, and are of one size.
        of_one_width = 64 - index if index < 64 else SHORT - index % SHORT
        stop = start + min(_RUN, of_one_width, fit + 1)
        run = values[start:stop]
        names = None if keys is None else keys[start:stop]
        if len(run) >= _FEW_ALIKE and _alike(names, run):
            count, size = _append_alike(parts, names, run, index, delta, left)
        else:
            count, size = append_each(parts, names, run, index, delta, left)
        start += count
        index += count
        left -= size
        if count < len(run):
            break
    return start, room - left


def _alike(keys: Sequence[bytes | None] | None, values: Sequence[bytes]) -> bool:
    if len(set(map(len, values))) > 1:
        return False
    try:
        return keys is None or len(set(map(len, keys))) == 1  # type: ignore[arg-type]
    except TypeError:
        # Some have none.
        return False


def append_each(
    parts: list[bytes],
    keys: Sequence[bytes | None] | None,
    values: Sequence[bytes],
    index: int,
    delta: int,
    room: int,
) -> tuple[int, int]:
    """Append those of the records that fit; returns how many these are, and how many bytes.

    The parameters are those of :func:`append_records`; no record but the first may have a
    multiple of 8192 for its index.
    """
    lead = b"\x00" + (VARINTS[delta] if 0 <= delta < SHORT else varint(delta))
    left = room
    count = 0
    key: bytes | None = None
    for value, offset in zip(values, varints(index, index + len(values)), strict=True):
        length = len(value)
        prefix = VARINTS[length] if length < SHORT else varint(length)
        inner = len(lead) + len(offset) + len(prefix) + length + 2
        if keys is not None:
            key = keys[count]
        if key is None:
            size = VARINTS[inner] if inner < SHORT else varint(inner)
            inner += len(size)
            if inner > left:
                break
            parts += (size, lead, offset, b"\x00", prefix, value, b"\x00")
        else:
            length = len(key)
            name = VARINTS[length] if length < SHORT else varint(length)
            inner += len(name) + length
            size = VARINTS[inner] if inner < SHORT else varint(inner)
            inner += len(size)
            if inner > left:
                break
            parts += (size, lead, offset, b"\x01", name, key, prefix, value, b"\x00")
        left -= inner
        count += 1
    return count, room - left


def _append_alike(
    parts: list[bytes],
    keys: Sequence[bytes | None] | None,
    values: Sequence[bytes],
    index: int,
    delta: int,
    room: int,
) -> tuple[int, int]:
    """The same for records of one size, whose offsets' varints are of one size too.

    What stands between two values is the same but for the offset, so it is made once.
    """
    lead = b"\x00" + varint(delta)
    prefix = varint(len(values[0]))
    key = b"" if keys is None else keys[0] or b""
    name = b"\x00" if keys is None else b"\x01" + varint(len(key))
    offsets = varints(index, index + len(values))
    inner = len(lead) + len(offsets[0]) + len(name) + len(key) + len(prefix) + len(values[0]) + 1
    head = varint(inner)
    size = len(head) + inner
    if size > room:
        return 0, 0
    count = min(len(values), room // size)
    offsets = offsets[:count]
    head += lead
    # What ends a record and what begins the next are one piece.
    between = repeat(b"\x00" + head)
    parts.append(head)
    rows: Iterable[tuple[Any, ...]]
    if keys is None:
        rows = zip(offsets, repeat(name + prefix), values, between, strict=False)
    else:
        rows = zip(offsets, repeat(name), keys, repeat(prefix), values, between, strict=False)
    parts += chain.from_iterable(rows)
    parts[-1] = b"\x00"
    return count, count * size
