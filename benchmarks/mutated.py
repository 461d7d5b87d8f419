"""What this build makes of damaged batches, as one digest: ``python -m benchmarks.mutated``.

The inputs follow from the seed alone, so two builds that give the same digest gave the same
records, or the same error, for each input (:mod:`benchmarks.builds` compares them).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from random import Random

from txfluvio.errors import ProtocolError
from txfluvio.wire import COMPILED, RecordSet
from txfluvio.wire.records import BatchBuilder

from .command import Progress, end_silently

EDGES = (0x00, 0x01, 0x02, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
"""Bytes that mean something at the edge of a varint."""

TIMES = (-1, 0, 1, 1_700_000_000_000)

STEP = 1000
"""Inputs after which it is shown how far it is."""


def sound(rng: Random) -> bytes:
    """A batch that is in order."""
    builder = BatchBuilder(rng.choice(TIMES))
    if rng.random() < 0.2:
        # Neighbours of one size, which are read together.
        size = rng.choice((0, 5, 63, 64, 127))
        values = [rng.randbytes(size) for _ in range(rng.randint(4, 140))]
        some = rng.choice(((None,), (b"",), (b"key",), (None,) * 40 + (b"",)))
        keys = None if some == (None,) else [rng.choice(some) for _ in values]
        builder.extend(keys, values, 0, rng.choice(TIMES), 2**20)
        return builder.build() if builder.count else sound(rng)
    for _ in range(rng.randint(1, 6)):
        size = rng.choice((0, 1, 5, 63, 64, 127, 128, 300, 9000))
        key = rng.randbytes(rng.choice((0, 1, 70))) if rng.random() < 0.4 else None
        builder.append(key, rng.randbytes(size))
    return builder.build()


def damaged(rng: Random, batch: bytes) -> bytes:
    """The batch with a few bytes changed, cut off or put in, most of them where records are."""
    data = bytearray(batch)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(61, len(data) - 1), len(data)) if rng.random() < 0.9 else 0
        kind = rng.random()
        if kind < 0.5:
            data[at] = rng.choice(EDGES)
        elif kind < 0.7:
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.85:
            data[at:at] = bytes(rng.choice(EDGES) for _ in range(rng.randint(1, 12)))
        else:
            del data[at : at + rng.randint(1, 4)]
    # The length is made right again, so that what is behind it is looked at.
    data[8:12] = (len(data) - 12).to_bytes(4, "big", signed=True)
    return bytes(data)


def outcome(data: bytes) -> str:
    """What reading a batch ends in, as text."""
    try:
        (batch,) = RecordSet(data).batches(check_crc=False)
        records = [record._facts() for record in batch.records("t", 3)]
        raw = [
            (one.attributes, one.timestamp_delta, one.offset_delta, one.key, one.value, one.headers)
            for one in batch.raw_records()
        ]
    except ProtocolError as error:
        return f"{error} {error.field} {error.position}"
    except ValueError as error:
        return f"no batch: {error}"
    return repr((records, raw))


def digest(inputs: int, seed: int, told: Callable[[str], None]) -> str:
    """The digest of the outcomes of so many inputs.

    :param told: called now and then with what is being done.
    """
    rng = Random(seed)
    found = hashlib.sha256()
    batch = sound(rng)
    for number in range(inputs):
        if number % 8 == 0:
            batch = sound(rng)
            # One that is in order may be read by what another has taught.
            found.update(outcome(batch).encode())
        if number % STEP == 0:
            told("damaged inputs")
        found.update(outcome(damaged(rng, batch)).encode())
    return found.hexdigest()


def main() -> None:
    end_silently()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutated")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    progress = Progress(-(-chosen.inputs // STEP))
    # Two builds read the same at a time: one shows how far they are.
    told = (lambda what: None) if COMPILED else progress
    found = digest(chosen.inputs, chosen.seed, told)
    progress.end()
    print(json.dumps({"compiled": COMPILED, "digest": found}))


if __name__ == "__main__":
    main()
