"""Which partition a record goes to, chosen exactly as every other Fluvio client chooses it.

A record with a key goes where the key's hash says, so that equal keys meet in one partition
whoever sends them; a record without goes to the online partitions in turn. Pure: no clock, no I/O.
The choice is that of ``fluvio/src/producer/partitioning.rs``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from zope.interface import implementer

from ..interfaces import IPartitioner

CACHED_KEYS = 16_384
"""Hashes a partitioner remembers: in Python one costs as much as sending twenty records."""

CACHED_KEY_SIZE = 256
"""Bytes of the longest key that is remembered."""

_MASK = 2**64 - 1


@implementer(IPartitioner)
class SiphashRoundRobinPartitioner:
    """By the hash of the key; without a key in turn. What a producer uses by default.

    A record with a key goes to its partition even if that is offline, and adding partitions moves
    keys. Records without a key take turns over the partitions that are online, from the first one
    on, or over all while none is.
    """

    def __init__(self) -> None:
        self._hash = lru_cache(CACHED_KEYS)(key_hash)
        self._turn = 0

    def choose(
        self, key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]
    ) -> int:
        if key is not None:
            digest = self._hash(key) if len(key) <= CACHED_KEY_SIZE else key_hash(key)
            return digest % partition_count
        turn = self._turn
        self._turn += 1
        return online[turn % len(online)] if online else turn % partition_count

    def choose_all(
        self, keys: Sequence[bytes | None], partition_count: int, online: Sequence[int]
    ) -> list[int]:
        """Partitions for records with these keys, as so many calls would choose them."""
        remembered = self._hash
        return [
            remembered(key) % partition_count
            if key is not None and len(key) <= CACHED_KEY_SIZE
            else self.choose(key, b"", partition_count, online)
            for key in keys
        ]

    def choose_turns(
        self, number: int, partition_count: int, online: Sequence[int]
    ) -> list[tuple[int, range]]:
        """Partitions for ``number`` records without keys, as so many calls would choose them.

        :returns: partitions, each with the positions of its records among the ``number``.
        """
        places = online or range(partition_count)
        turn = self._turn
        self._turn += number
        return [
            (places[(turn + first) % len(places)], range(first, number, len(places)))
            for first in range(min(len(places), number))
        ]


@implementer(IPartitioner)
class SpecificPartitioner:
    """Every record goes to one partition.

    :param partition: its number. Whether the topic has it is checked when a record is sent.
    """

    def __init__(self, partition: int) -> None:
        self._partition = partition

    def choose(
        self, key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]
    ) -> int:
        return self._partition


def key_hash(key: bytes) -> int:
    """The 64-bit hash that places a key: SipHash-2-4 under a key of zeros, over length and key.

    The length comes first, as eight bytes little endian: the platform hashes the key as a Rust
    slice, whose hash begins so.
    """
    return siphash24(0, 0, struct.pack("<Q", len(key)) + key)


def siphash24(k0: int, k1: int, message: bytes) -> int:
    """SipHash-2-4 with a 64-bit result, as its authors define it."""
    v0 = k0 ^ 0x736F6D6570736575
    v1 = k1 ^ 0x646F72616E646F6D
    v2 = k0 ^ 0x6C7967656E657261
    v3 = k1 ^ 0x7465646279746573
    size = len(message)
    padded = message + bytes(7 - size % 8) + bytes((size & 0xFF,))
    for (word,) in struct.iter_unpack("<Q", padded):
        v3 ^= word
        v0, v1, v2, v3 = _rounds(2, v0, v1, v2, v3)
        v0 ^= word
    v2 ^= 0xFF
    v0, v1, v2, v3 = _rounds(4, v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def _rounds(number: int, v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    for _ in range(number):
        v0 = (v0 + v1) & _MASK
        v1 = (v1 << 13 | v1 >> 51) & _MASK ^ v0
        v0 = (v0 << 32 | v0 >> 32) & _MASK
        v2 = (v2 + v3) & _MASK
        v3 = (v3 << 16 | v3 >> 48) & _MASK ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = (v3 << 21 | v3 >> 43) & _MASK ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = (v1 << 17 | v1 >> 47) & _MASK ^ v2
        v2 = (v2 << 32 | v2 >> 32) & _MASK
    return v0, v1, v2, v3
