"""Many runs, one seed after another in several processes, and what they come to."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import active_children, get_context
from statistics import median

import attrs
from twisted.logger import globalLogBeginner

from .plan import VERSION, Plan, pairs
from .reduction import reduced
from .run import Result, Workload, simulate

CHUNK = 20
"""How many seeds a process gets at a time."""

MAX_FAILURES = 20
"""How many failed seeds are kept; the others are counted."""


@attrs.define
class Summary:
    """What the runs so far come to.

    :ivar failures: the first seeds that failed, and what was wrong.
    :ivar failed: how many have failed.
    :ivar sent: how many records each run has sent.
    :ivar fired: how often faults have acted in each.
    :ivar seen: how many records consumers have seen in all.
    :ivar cut: how many of them were cut by elections afterwards.
    :ivar hits: how often each action was done to each call, in all.
    """

    failures: dict[int, tuple[str, ...]] = attrs.Factory(dict)
    failed: int = 0
    sent: list[int] = attrs.Factory(list)
    fired: list[int] = attrs.Factory(list)
    seen: int = 0
    cut: int = 0
    hits: Counter[tuple[str, str]] = attrs.Factory(Counter)

    @property
    def runs(self) -> int:
        """How many there were."""
        return len(self.sent)

    def add(self, result: Result) -> None:
        """Count a run."""
        if result.violations:
            self.failed += 1
            if len(self.failures) < MAX_FAILURES:
                self.failures[result.plan.seed] = result.violations
        self.sent.append(result.sent)
        self.fired.append(result.fired)
        self.seen += result.seen
        self.cut += result.cut
        self.hits += result.hits

    def merge(self, other: Summary) -> None:
        """Count the runs of another."""
        self.failed += other.failed
        for seed, violations in other.failures.items():
            if len(self.failures) < MAX_FAILURES:
                self.failures[seed] = violations
        self.sent += other.sent
        self.fired += other.fired
        self.seen += other.seen
        self.cut += other.cut
        self.hits += other.hits

    def lines(self) -> Iterator[str]:
        """All of it in words."""
        yield f"{self.runs} runs, {self.failed} with a violation"
        if not self.runs:
            return
        yield (
            f"records a run: median {median(self.sent):g}, at least {min(self.sent)};"
            f" {sum(self.sent)} in all, {self.seen} seen by consumers,"
            f" {self.cut} of these cut by an election afterwards"
        )
        yield (
            f"faults that acted in a run: median {median(self.fired):g},"
            f" at least {min(self.fired)}; {sum(self.fired)} in all"
        )
        counts = {
            (action.__name__, call): self.hits[action.__name__, call] for action, call in pairs()
        }
        (action, call), least = min(counts.items(), key=lambda item: item[1])
        yield f"{len(counts)} pairs of action and call; least often, {least} times: {action} {call}"
        for name in dict.fromkeys(action for action, _ in counts):
            row = ", ".join(f"{call} {n}" for (action, call), n in counts.items() if action == name)
            yield f"  {name}: {row}"


def run_seeds(seeds: Iterable[int], workload: Workload | None = None) -> Summary:
    """Do the runs of some seeds, in this process."""
    summary = Summary()
    for seed in seeds:
        summary.add(simulate(seed, workload))
    return summary


def run_many(seeds: range, processes: int) -> Iterator[Summary]:
    """Do the runs of many seeds with the usual workload; yields parts as they are done."""
    chunks = iter([seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)])
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin) as pool:
        waiting: set[Future[Summary]] = {
            pool.submit(run_seeds, chunk) for chunk in islice(chunks, 2 * processes)
        }
        try:
            while waiting:
                done = next(as_completed(waiting))
                waiting.remove(done)
                waiting |= {pool.submit(run_seeds, chunk) for chunk in islice(chunks, 1)}
                yield done.result()
        except KeyboardInterrupt:
            for process in active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # Whoever interrupts the command interrupts its processes too: they just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    log_nowhere()


def log_nowhere() -> None:
    """Let what is logged go: before a program says where it goes, Twisted keeps it in memory."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


@attrs.frozen
class Explained:
    """A failure, as small as it could be made.

    :ivar plan: what still goes wrong.
    :ivar result: of a run with that.
    """

    plan: Plan
    result: Result

    @property
    def command(self) -> str:
        """What runs it again."""
        return command(self.plan)

    def lines(self) -> Iterator[str]:
        """All but the trace, in words."""
        yield f"seed {self.plan.seed} fails:"
        for violation in self.result.violations:
            yield f"  {violation}"
        yield f"with {len(self.plan.troubles)} troubles:"
        for number, trouble in zip(self.plan.numbers, self.plan.troubles, strict=True):
            yield f"  {number}: {trouble}"
        yield f"again: {self.command}"


def explain(seed: int, workload: Workload | None = None) -> Explained:
    """Find out how little has to go wrong for a seed to fail."""
    smallest = reduced(Plan.of(seed), lambda plan: bool(simulate(plan, workload).violations))
    return Explained(smallest, simulate(smallest, workload, traced=True))


def command(plan: Plan) -> str:
    """What runs a plan again, with its trace."""
    left_out = sorted(set(Plan.of(plan.seed).numbers) - set(plan.numbers))
    without = f" --without {','.join(map(str, left_out))}" if left_out else ""
    return (
        f"python -m txfluvio.testing.simulation --start {plan.seed} --seeds 1{without}"
        f" --course {VERSION} --trace"
    )
