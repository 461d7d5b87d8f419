"""The records: text like JSON, of an exact length or of many, the same in each run."""

from __future__ import annotations

import random

POOL = 997
"""How many values there are; a prime, so that they do not fall in step with batches."""


def values(size: int, *, varied: bool = False) -> list[bytes]:
    """A pool of values of ``size`` bytes, or of up to 30 % less or more."""
    rng = random.Random(size)
    off = 3 * size // 10 if varied else 0
    return [_value(rng, size + rng.randint(-off, off)) for _ in range(POOL)]


def keys() -> list[bytes]:
    """A pool of keys of 8 bytes."""
    return [b"key-%04d" % number for number in range(POOL)]


def pairs(
    count: int, size: int, *, keyed: bool, varied: bool = False
) -> list[tuple[bytes | None, bytes]]:
    """``count`` pairs of key and value."""
    pool, names = values(size, varied=varied), keys()
    return [
        (names[number % POOL] if keyed else None, pool[number % POOL]) for number in range(count)
    ]


def _value(rng: random.Random, size: int) -> bytes:
    text = b'{"id":%d,"at":%d,"name":"' % (rng.randrange(10**6), rng.randrange(10**9))
    while len(text) < size:
        text += b"%x " % rng.randrange(2**20)
    return text[:size]
