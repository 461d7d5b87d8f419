"""``python -m txfluvio.wire``: hold recordings against the declarations, or look into a frame."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from ..errors import FluvioError
from .check import Totals, check_lines
from .dump import describe, describe_recording, one_frame, text_of
from .recordings import lines_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 where all went well."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough; Python's own last flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, FluvioError) as error:
        print(f"{options.parser.prog}: {error}", file=sys.stderr)
        return 2
    return status


def _check(options: argparse.Namespace) -> int:
    totals, empty = Totals(), 0
    for name in options.files:
        before = totals.frames
        for line, difference in check_lines(lines_of(text_of(name)), totals):
            print(f"{name}:{line}: {difference}")
        if totals.frames == before:
            print(f"{name}: there is no frame in it")
            empty += 1
    print(totals)
    return 1 if totals.frames_that_differ or empty else 0


def _dump(options: argparse.Namespace) -> int:
    text = text_of(options.file)
    for row in _described(text, options):
        print(row)
    return 0


def _described(text: str, options: argparse.Namespace) -> Iterator[str]:
    if text.lstrip().startswith("{"):
        return describe_recording(lines_of(text), only=options.line, everything=options.all)
    if options.reply and (options.key is None or options.version is None):
        options.parser.error("a reply says neither its call nor its version: --key and --version")
    reply_to = (options.key, options.version) if options.reply else None
    frame = one_frame(text, server=options.server.upper(), reply_to=reply_to)
    return describe(frame, everything=options.all)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m txfluvio.wire", description="Fluvio's wire protocol, executed."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="decode recorded frames, encode them again, compare",
        description="Decodes every frame of the recordings, encodes it again from the values,"
        " and prints what differs; the exit status is 1 where anything does, or where there is"
        " nothing to compare.",
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="a recording (JSON lines)")
    check.set_defaults(run=_check, parser=check)
    dump = commands.add_parser(
        "dump",
        help="print frames with each byte's field beside it",
        description="Prints frames with each byte's field beside it: those of a recording (JSON"
        " lines), or one frame given as hex, its size in front.",
    )
    dump.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: -, the input")
    dump.add_argument("--line", type=int, help="only the frame on this line of a recording")
    dump.add_argument("--all", action="store_true", help="show long fields to their end")
    dump.add_argument(
        "--server", choices=("sc", "spu"), default="spu", help="who got or sent the frame [spu]"
    )
    dump.add_argument("--reply", action="store_true", help="the frame is a reply")
    dump.add_argument("--key", type=int, help="of a reply: the key of its request")
    dump.add_argument("--version", type=int, help="of a reply: the version of its request")
    dump.set_defaults(run=_dump, parser=dump)
    return parser


if __name__ == "__main__":
    sys.exit(main())
