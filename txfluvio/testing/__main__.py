"""``python -m txfluvio.testing``: hold the fake against recordings of the real one."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..config import parse_endpoint
from ..errors import FluvioError
from .arguments import whole

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


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
    from ..wire.dump import text_of
    from ..wire.recordings import lines_of
    from .replay import replay, replay_mutated

    different = compared = broken = 0
    for name in options.files:
        lines = lines_of(text_of(name))
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


def _record(options: argparse.Namespace) -> int:
    from twisted.internet.task import react

    react(_recording, (options,))
    return 0


def _recording(reactor: Any, options: argparse.Namespace) -> Deferred[None]:
    """Record until the process is told to end."""
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError

    from .recorder import Recorder

    files = ExitStack()
    about = {"scenario": Path(options.out).stem, "what": options.what}
    host, port = options.listen

    def opened() -> TextIO:
        return files.enter_context(Path(options.out).open("w", encoding="utf-8"))

    async def record() -> None:
        # Not before signals end it as they should may anybody be told that it listens.
        running: Deferred[None] = Deferred()
        reactor.callWhenRunning(running.callback, None)
        await running
        # A terminal that is closed ends it in the same way; not under nohup.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        try:
            recorder = Recorder(reactor, options.to, opened, about=about, host=host, port=port)
            where = await recorder.start()
        except (FluvioError, CannotListenError, OSError) as error:
            print(f"{options.parser.prog}: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        _log_to_standard_error()
        print(json.dumps({"sc": where}), flush=True)
        reactor.addSystemEventTrigger("before", "shutdown", finish, recorder)
        await Deferred()

    async def end(recorder: Recorder) -> None:
        await recorder.stop()
        files.close()

    def finish(recorder: Recorder) -> Deferred[None]:
        return Deferred.fromCoroutine(end(recorder))

    return Deferred.fromCoroutine(record())


def _log_to_standard_error() -> None:
    """Show what the relay says, such as what it can not reach; of all else only errors."""
    from twisted.logger import (
        FilteringLogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        globalLogBeginner,
        textFileLogObserver,
    )

    shown = LogLevelFilterPredicate(LogLevel.error)
    shown.setLogLevelForNamespace("txfluvio", LogLevel.info)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [shown])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def _file(name: str) -> str:
    """The name of a file; opening a pipe would wait for whoever reads it."""
    path = Path(name)
    if name == "-" or (path.exists() and not path.is_file()):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no file, where the first line is written again in the end"
        )
    return name


def _where_to_listen(text: str) -> tuple[str, int]:
    try:
        return parse_endpoint(text, lowest_port=0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m txfluvio.testing", description="The fake cluster and recordings."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_replay(commands)
    _add_record(commands)
    return parser


def _add_replay(commands: Commands) -> None:
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
        type=whole(0),
        default=0,
        metavar="N",
        help="then send N requests like the recorded ones, but other, and look whether the fake"
        " keeps the protocol's promises",
    )
    replay.add_argument("--seed", type=int, default=0, help="of the mutations [0]")
    replay.set_defaults(run=_replay, parser=replay)


def _add_record(commands: Commands) -> None:
    record = commands.add_parser(
        "record",
        help="record what a client and a cluster say to each other",
        description="Relays between clients and a cluster and writes a recording, until it is"
        " interrupted. Its first line of output says, as JSON, where clients have to connect.",
    )
    record.add_argument("--to", required=True, metavar="HOST:PORT", help="the SC of the cluster")
    record.add_argument(
        "--out", type=_file, required=True, metavar="FILE", help="the recording (JSON lines)"
    )
    record.add_argument(
        "--listen",
        type=_where_to_listen,
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="where to listen for clients [127.0.0.1:0, a free port]",
    )
    record.add_argument("--what", default="", help="one sentence about it, for its first line")
    record.set_defaults(run=_record, parser=record)


if __name__ == "__main__":
    sys.exit(main())
