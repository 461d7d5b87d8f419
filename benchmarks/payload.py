"""The records: text like JSON, of an exact length, the same in each run."""

from __future__ import annotations

import random

POOL = 997
"""How many values there are; a prime, so that they do not fall in step with batches."""


def values(size: int) -> list[bytes]:
    """A pool of values of ``size`` bytes."""
    rng = random.Random(size)
    return [_value(rng, size) for _ in range(POOL)]


def keys() -> list[bytes]:
    """A pool of keys of 8 bytes."""
    return [b"key-%04d" % number for number in range(POOL)]


def pairs(count: int, size: int, *, keyed: bool) -> list[tuple[bytes | None, bytes]]:
    """``count`` pairs of key and value."""
    pool, names = values(size), keys()
    return [
        (names[number % POOL] if keyed else None, pool[number % POOL]) for number in range(count)
    ]


def _value(rng: random.Random, size: int) -> bytes:
    text = b'{"id":%d,"at":%d,"name":"' % (rng.randrange(10**6), rng.randrange(10**9))
    while len(text) < size:
        text += b"%x " % rng.randrange(2**20)
    return text[:size]
