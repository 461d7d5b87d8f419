"""``python -m txfluvio.testing.fuzz``: damaged frames into a client and into the fake.

It ends with status 0 if nothing was found, 1 if something was, 2 if it was called wrongly.
Interrupted, it says what came of those done so far.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from ..arguments import whole
from .corpus import RECORDINGS
from .run import MOST_MEMORY, Finding, Outcome, run

_WIDTH = 30
_LINE_EVERY = 50_000
_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    numbers = range(options.first, options.first + options.frames)
    began = time.monotonic()
    total = Outcome()
    try:
        for done in run(options.recordings, options.seed, numbers, options.processes):
            total += done
            _show(total, len(numbers), time.monotonic() - began)
            for finding in done.findings:
                _tell(finding, options.seed)
            if len(total.findings) >= _SHOWN:
                break
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", end="", file=sys.stderr)
    return _conclude(total, options.seed, time.monotonic() - began)


def _parser() -> argparse.ArgumentParser:
    description = __doc__.partition("\n")[0]
    parser = argparse.ArgumentParser("python -m txfluvio.testing.fuzz", description=description)
    parser.add_argument("--frames", type=whole(1), default=10_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="decides, with its number, a frame")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--processes", type=whole(1), default=2)
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(RECORDINGS),
        metavar="ARCHIVE",
        help=f"a tar file of recordings [{RECORDINGS}, which a checkout has]",
    )
    return parser


def _show(total: Outcome, frames: int, seconds: float) -> None:
    """The bar: in place where somebody watches, else a line now and then."""
    watched = sys.stderr.isatty()
    if not watched and total.frames % _LINE_EVERY:
        return
    part = total.frames / frames
    bar = "#" * round(part * _WIDTH)
    left = seconds / part - seconds
    text = f"[{bar:<{_WIDTH}}] {total.frames:,} of {frames:,}, {left:.0f} s left"
    print(f"\r{text} " if watched else text, end="" if watched else "\n", file=sys.stderr)
    sys.stderr.flush()


def _tell(finding: Finding, seed: int) -> None:
    where = f"frame {finding.number} of seed {seed}, {finding.kind}, {finding.end}"
    print(f"\n{where}:\n{finding.text}", file=sys.stderr)


def _conclude(total: Outcome, seed: int, seconds: float) -> int:
    taken, number = total.slowest
    client, broker = total.refused
    print(
        f"\nseed {seed}: {total.frames:,} frames in {seconds:.0f} s."
        f" Refused by the client {client:,}, by the broker {broker:,}."
        f" Slowest: frame {number}, {taken * 1000:.1f} ms."
        f" Memory grew by {total.memory / 2**20:.1f} MiB."
        f" Findings: {len(total.findings)}."
    )
    if total.memory > MOST_MEMORY:
        print(f"more memory than the {MOST_MEMORY / 2**20:.0f} MiB allowed", file=sys.stderr)
    return int(bool(total.findings) or total.memory > MOST_MEMORY)


if __name__ == "__main__":
    # Else its processes would be left behind, waiting for work.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
