"""Zig-zag varints from bytes and back: what every number in a record is.

They are nearly always one or two bytes, so readers in a hurry take those in line from a table and
anything longer by :func:`read_varint`. ``LOW`` holds the value of a byte's seven low bits; if there
is a second byte, xor with 64 times that completes the zig-zag. ``LENGTH`` is for what is never
negative: there a second byte is added, and a negative length is one that reaches behind everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import ProtocolError
from ._compat import i64

FAR: Final = 2**62
LOW: Final = tuple(((byte & 0x7F) >> 1) ^ -(byte & 1) for byte in range(256))
LENGTH: Final = tuple(FAR if byte & 1 else (byte & 0x7F) >> 1 for byte in range(256))
_WORD: Final = 2**64 - 1

FIRST_BYTES: Final = bytes(range(0, 128, 2)) + 127 * bytes(range(128, 256, 2))
SECOND_BYTES: Final = b"".join(64 * bytes((byte,)) for byte in range(128))
"""The two bytes of all varints from 0 to 8191 (of the first 64, there is only the first)."""
SHORT: Final = 8192
LOW_BYTES: Final = 128 * bytes(range(128, 256, 2))
HIGH_BYTES: Final = b"".join(64 * bytes((byte,)) for byte in range(128, 256))
"""The first two bytes of longer ones, by the number modulo 8192; the others are the same for 8192
neighbours."""
VARINTS: Final = (
    *[bytes((first,)) for first in FIRST_BYTES[:64]],
    *map(bytes, zip(FIRST_BYTES[64:], SECOND_BYTES[64:], strict=True)),
)
"""Those from 0 to 8191."""
_BEGINNINGS: Final = tuple(map(bytes, zip(LOW_BYTES, HIGH_BYTES, strict=True)))


def read_varint(data: bytes, pos: i64) -> tuple[int, i64]:
    """The varint at ``data[pos]``, and where it ends.

    :raises ProtocolError: it has more than ten bytes.
    :raises IndexError: the data end in it.
    """
    byte = data[pos]
    if byte < 128:
        return LOW[byte], pos + 1
    more = data[pos + 1]
    if more < 128:
        return LOW[byte] ^ more * 64, pos + 2
    shift = value = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= _WORD
            return (value >> 1) ^ -(value & 1), pos
        shift += 7
        if shift >= 70:
            raise ProtocolError("a varint of more than 10 bytes", field="records", position=pos)


def read_length(data: bytes, pos: i64) -> tuple[i64, i64]:
    """The same of what is never negative; if it is, or very large, :data:`FAR` instead."""
    value, pos = read_varint(data, pos)
    return (value if 0 <= value < FAR else FAR), pos


def varint(value: int) -> bytes:
    """``value`` as a zig-zag varint; the platform writes 32-bit values only."""
    raw = (value << 1) ^ (value >> 63)
    out = bytearray()
    while raw > 0x7F:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    out.append(raw)
    return bytes(out)


def varints(start: int, stop: int) -> Sequence[bytes]:
    """The varints of ``range(start, stop)``, where only the first may be a multiple of 8192."""
    if stop <= SHORT:
        return VARINTS[start:stop]
    end = varint(start)[2:]
    rest = start % SHORT
    return [beginning + end for beginning in _BEGINNINGS[rest : rest + stop - start]]
