"""``python -m txfluvio.testing``: hold the fake against recordings of the real one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import FluvioError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (FluvioError, OSError) as error:
        print(f"{options.parser.prog}: {error}", file=sys.stderr)
        return 2
    return status


def _replay(options: argparse.Namespace) -> int:
    from .replay import replay, replay_mutated

    different = compared = broken = 0
    for name in options.files:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
        try:
            outcome = replay(lines)
            promises = replay_mutated(lines, options.mutate, options.seed)
        except FluvioError as error:
            print(f"{name}: {error}")
            different += 1
            continue
        compared += outcome.compared
        different += bool(outcome.differences)
        if options.outside:
            for event in outcome.outside:
                print(f"{name}: outside, {event}")
        for difference in outcome.differences:
            print(f"{name}:{difference}")
        for promise in promises:
            broken += 1
            print(f"{name}:{promise}")
    same = len(options.files) - different
    print(f"{compared} comparisons; recordings: {same} the same, {different} different")
    if options.mutate:
        print(f"{options.mutate} mutated requests of each: {broken} promises not kept")
    return 1 if different or broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m txfluvio.testing", description="The fake cluster and recordings."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    replay = commands.add_parser(
        "replay",
        help="replay recorded conversations against the fake",
        description="Sends the requests of recorded conversations to a fresh fake each and prints"
        " what differs; the exit status is 1 where anything does.",
    )
    replay.add_argument("files", nargs="+", metavar="FILE", help="a recording (JSON lines)")
    replay.add_argument(
        "--outside", action="store_true", help="print what others did in the conversations"
    )
    replay.add_argument(
        "--mutate",
        type=int,
        default=0,
        metavar="N",
        help="then send N requests like the recorded ones, but other, and look whether the fake"
        " keeps the protocol's promises",
    )
    replay.add_argument("--seed", type=int, default=0, help="of the mutations [0]")
    replay.set_defaults(run=_replay, parser=replay)
    return parser


if __name__ == "__main__":
    sys.exit(main())
