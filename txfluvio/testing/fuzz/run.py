"""Many damaged frames: counted, timed, and given to both ends by several processes.

Frames are dealt with in blocks of :data:`BLOCK`. Each block has a fake cluster of its own, so a
finding can be had again by running its block alone, whatever came before it.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from ...errors import UsageError
from .. import process_memory
from .corpus import Case, Corpus
from .ends import BrokerEnd, ClientEnd, End

BLOCK: Final = 1_000
"""Frames that one fake cluster gets."""

SLOWEST: Final = 0.05
"""Seconds of the processor that one frame may take."""

MOST_MEMORY: Final = 64 * 1024 * 1024
"""Bytes that a process may grow by."""

_ATTEMPTS: Final = 8
"""How often a slow frame is given; what others do on the machine only ever adds to its time."""


@attrs.frozen
class Finding:
    """What should not have come of a damaged frame.

    :ivar number: the frame's.
    :ivar end: who had it: ``client`` or ``broker``.
    :ivar kind: what it was before the damage.
    :ivar text: what came of it.
    """

    number: int
    end: str
    kind: str
    text: str


@attrs.frozen
class Outcome:
    """What came of some frames.

    :ivar frames: how many there were.
    :ivar refused: how many of them each end refused.
    :ivar slowest: the longest time of the processor that one took, seconds, and its number.
    :ivar findings: what should not have happened.
    :ivar memory: the bytes that the process has grown by since it began.
    """

    frames: int = 0
    refused: tuple[int, int] = (0, 0)
    slowest: tuple[float, int] = (0.0, 0)
    findings: tuple[Finding, ...] = ()
    memory: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.frames + other.frames,
            (self.refused[0] + other.refused[0], self.refused[1] + other.refused[1]),
            max(self.slowest, other.slowest),
            self.findings + other.findings,
            max(self.memory, other.memory),
        )


def run_block(corpus: Corpus, seed: int, numbers: Iterable[int]) -> Outcome:
    """Give damaged frames to a client and to a fake cluster of their own."""
    client, broker = ClientEnd(), BrokerEnd(corpus)
    broker.start()
    try:
        total = Outcome()
        for number in numbers:
            case = corpus.case(seed, number)
            total += _give(case, client) + attrs.evolve(_give(case, broker), frames=0)
        return total
    finally:
        broker.stop()


def _give(case: Case, end: End) -> Outcome:
    """Give a frame to one end; one that takes long is given again, as others use the machine."""
    taken = float("inf")
    refused = False
    for _ in range(_ATTEMPTS):
        began = time.process_time()
        try:
            refused = end.take(case)
        except Exception:
            return Outcome(1, findings=(_finding(case, end, traceback.format_exc()),))
        taken = min(taken, time.process_time() - began)
        if taken <= SLOWEST:
            break
        gc.collect()
    findings: tuple[Finding, ...] = ()
    if taken > SLOWEST:
        findings = (_finding(case, end, f"took {taken * 1000:.0f} ms of the processor"),)
    counted = (int(refused), 0) if isinstance(end, ClientEnd) else (0, int(refused))
    return Outcome(1, counted, (taken, case.number), findings)


def _finding(case: Case, end: End, text: str) -> Finding:
    server, message, version = case.sample.kind
    return Finding(case.number, end.name, f"{message} {version} of the {server}", text)


# Several processes


class _Worker:
    """What a process keeps from one block to the next."""

    corpus: Corpus
    seed: int
    memory: int


def run(archive: Path, seed: int, numbers: Sequence[int], processes: int) -> Iterator[Outcome]:
    """Deal with the frames of these numbers; yields what came of each block.

    :raises UsageError: there are no recordings.
    """
    if not archive.is_file():
        raise UsageError(
            f"{archive}: there is no such file: expected recordings, which are not installed;"
            " a checkout of the project has them, or name others by --recordings"
        )
    blocks = [numbers[start : start + BLOCK] for start in range(0, len(numbers), BLOCK)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _begin, (archive, seed)) as pool:
        yield from pool.imap_unordered(_work, blocks)


def _begin(archive: Path, seed: int) -> None:
    # Whoever interrupts the command interrupts its processes too: they just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _Worker.corpus = Corpus.read(archive)
    _Worker.seed = seed
    _silence()
    # One block, not counted, brings in all that is loaded on first use.
    run_block(_Worker.corpus, seed + 1, range(BLOCK // 10))
    # The recordings are not looked through again whenever something is collected.
    gc.collect()
    gc.freeze()
    _Worker.memory = resident()


def _work(numbers: Sequence[int]) -> Outcome:
    done = run_block(_Worker.corpus, _Worker.seed, numbers)
    return attrs.evolve(done, memory=max(0, resident() - _Worker.memory))


def _silence() -> None:
    """End the keeping of early log events, which would be counted as growth."""
    from twisted.logger import globalLogBeginner

    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not say."""
    try:
        return process_memory.resident()
    except OSError:
        return 0
