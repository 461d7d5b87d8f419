"""Running seeds: plans, smaller plans, the clock, the command, workloads of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from random import Random
from subprocess import PIPE

import pytest

from txfluvio.errors import FluvioError, UsageError
from txfluvio.testing.simulation import Plan, World, simulate
from txfluvio.testing.simulation.__main__ import main
from txfluvio.testing.simulation.campaign import Summary, command, explain
from txfluvio.testing.simulation.clock import EPOCH, Endless, SimulatedClock
from txfluvio.testing.simulation.plan import VERSION, pairs
from txfluvio.testing.simulation.reduction import reduced

# Plans


def test_a_plan_depends_on_nothing_but_its_seed() -> None:
    assert Plan.of(5) == Plan.of(5)
    assert Plan.of(5) != Plan.of(6)


def test_a_plan_may_be_had_without_some_of_its_troubles() -> None:
    plan = Plan.of(5)
    smaller = plan.without([0, 2])
    assert smaller.numbers == tuple(n for n in plan.numbers if n not in (0, 2))
    assert smaller.troubles == (plan.troubles[1], *plan.troubles[3:])
    assert smaller.without([1]).numbers == smaller.numbers[1:]


def test_a_trouble_that_there_is_not_is_told() -> None:
    with pytest.raises(UsageError, match="seed 5 has no trouble 99"):
        Plan.of(5).without([99])
    with pytest.raises(UsageError, match="no trouble 0"):
        Plan.of(5).without([0]).without([0])


def test_every_action_and_every_call_is_among_what_goes_wrong() -> None:
    assert len(pairs()) > 200
    assert len({action for action, _ in pairs()}) == 21
    assert len({call for _, call in pairs()}) == 15


# Making them smaller


def test_what_is_not_needed_for_a_failure_is_left_out() -> None:
    plan = Plan.of(5)
    needed = {1, plan.numbers[-1]}
    runs = []

    def fails(candidate: Plan) -> bool:
        runs.append(candidate)
        return needed <= set(candidate.numbers)

    assert set(reduced(plan, fails).numbers) == needed
    assert len(runs) < 60


def test_a_failure_that_needs_no_trouble_is_left_with_none() -> None:
    assert reduced(Plan.of(5), lambda _: True).numbers == ()


# The clock


def test_calls_of_the_same_time_are_made_in_an_order_that_the_seed_decides() -> None:
    orders = []
    for seed in range(20):
        clock, made = SimulatedClock(Random(seed)), list[int]()
        for number in range(5):
            clock.callLater(1.0, made.append, number)
        clock.callLater(0.5, made.append, -1)
        clock.run(lambda: False, until=EPOCH + 2, calls=10)
        assert made[0] == -1
        orders.append(tuple(made))
    assert len(set(orders)) > 10


def test_a_call_may_be_put_off_and_put_forward() -> None:
    clock, made = SimulatedClock(Random(0)), list[float]()
    late, early = (clock.callLater(5.0, lambda: made.append(clock.seconds())) for _ in range(2))
    late.delay(3.0)
    early.reset(1.0)
    clock.run(lambda: False, until=EPOCH + 10, calls=10)
    assert made == [EPOCH + 1.0, EPOCH + 8.0]
    assert clock.getDelayedCalls() == []


def test_a_cancelled_call_is_not_made() -> None:
    clock, made = SimulatedClock(Random(0)), list[int]()
    clock.callLater(1.0, made.append, 1).cancel()
    assert not clock.run(lambda: False, until=EPOCH + 2, calls=10)
    assert (made, clock.seconds()) == ([], EPOCH + 2)


def test_calls_without_end_are_told() -> None:
    clock = SimulatedClock(Random(0))

    def again() -> None:
        clock.callLater(0, again)

    again()
    with pytest.raises(Endless):
        clock.run(lambda: False, until=EPOCH + 1, calls=100)


# Workloads of one's own


def test_a_workload_of_ones_own_is_simulated() -> None:
    async def workload(world: World) -> None:
        await world.broker.cluster.create_topic("mine")
        client = await world.client()
        producer = client.producer("mine")
        await producer.start()
        world.ledger.send_many(producer, [b"a", b"b"])
        await world.when_calm()
        await producer.close()

    result = simulate(Plan.of(1).without(Plan.of(1).numbers), workload)
    assert (result.violations, result.sent) == ((), 2)


def test_keys_may_move_in_a_topic_that_grows() -> None:
    async def workload(world: World) -> None:
        await world.broker.cluster.create_topic("mine")
        client = await world.client()
        producer = client.producer("mine")
        await producer.start()
        for number in range(2):
            records = [(b"key %d" % key, b"%d of %d" % (number, key)) for key in range(8)]
            await world.ledger.send_many(producer, records)
            await client.admin.add_partitions("mine", 3)
        await world.when_calm()
        assert len({entry.partition for entry in world.ledger.sent.values()}) > 1
        await producer.close()

    assert simulate(Plan.of(1).without(Plan.of(1).numbers), workload).violations == ()


def test_what_a_workload_raises_is_a_violation() -> None:
    async def workload(world: World) -> None:
        raise KeyError("a mistake")

    (violation,) = simulate(1, workload).violations
    assert "KeyError" in violation


def test_a_workload_that_never_ends_is_a_violation() -> None:
    async def workload(world: World) -> None:
        await world.sleep(1e6)

    assert "has not ended" in simulate(1, workload).violations[0]


def test_what_is_left_behind_is_a_violation() -> None:
    async def workload(world: World) -> None:
        world.clock.callLater(1e6, print)

    (violation,) = simulate(1, workload).violations
    assert "a delayed call is left" in violation


def test_values_are_names() -> None:
    async def workload(world: World) -> None:
        await world.broker.cluster.create_topic("mine")
        producer = (await world.client()).producer("mine")
        world.ledger.send(producer, b"a")
        world.ledger.send(producer, b"a")

    (violation,) = simulate(1, workload).violations
    assert "values are names here" in violation


# The command


def test_a_failure_is_explained_with_the_command_that_runs_it_again() -> None:
    async def workload(world: World) -> None:
        raise FluvioError("always")

    explained = explain(3, workload)
    without = ",".join(map(str, Plan.of(3).numbers))
    assert explained.plan.numbers == ()
    assert explained.command == (
        "python -m txfluvio.testing.simulation --start 3 --seeds 1"
        f" --without {without} --course {VERSION} --trace"
    )
    assert "always" in "\n".join(explained.lines())
    assert command(Plan.of(3)).endswith("--seeds 1 --course 2 --trace")


def test_one_seed_is_run_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--start", "4", "--seeds", "1", "--trace"]) == 0
    printed = capsys.readouterr().out
    assert printed == simulate(4, traced=True).trace + "0 violations\n"


@pytest.mark.parametrize("option", ["--processes", "--seeds"])
@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_what_is_no_number_of_them_is_refused(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([option, number])
    told = capsys.readouterr().err
    assert f"argument {option}: {number!r} is no whole number, 1 or more\n" in told


def test_several_seeds_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--start", "4", "--seeds", "2", "--processes", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("2 runs, 0 with a violation\nrecords a run: median ")
    assert "] 2/2, 0 failed" in printed.err


def ended(end: Callable[[subprocess.Popen[str]], object]) -> tuple[str, str]:
    """What a command has printed that is ended while it runs, and all its processes with it."""
    command = [sys.executable, "-m", "txfluvio.testing.simulation", "--seeds", "1000"]
    with subprocess.Popen(
        command, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stderr is not None
        told = running.stderr.read(1)
        end(running)
        # Which lasts until nobody is left who could print something.
        found, rest = running.communicate(timeout=100)
    return found, told + rest


def test_interrupted_it_tells_what_was_done() -> None:
    # As from a terminal: to the command and to its processes.
    found, told = ended(lambda running: os.killpg(running.pid, signal.SIGINT))
    assert "Traceback" not in told
    assert told.endswith("interrupted\n")
    assert " runs, 0 with a violation" in found


def test_told_to_end_it_leaves_no_process_behind() -> None:
    found, told = ended(lambda running: running.terminate())
    assert told.endswith("interrupted\n")
    assert " runs, 0 with a violation" in found


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seeds", "1", "--course", "0"], "does something else"),
        (["--seeds", "2", "--trace"], "--seeds 1"),
        (["--seeds", "1", "--without", "77"], "has no trouble 77"),
    ],
)
def test_what_can_not_be_run_is_told(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_a_summary_counts() -> None:
    summary, part = Summary(), Summary()
    for seed in (4, 5):
        part.add(simulate(seed))
    summary.merge(part)
    summary.merge(Summary())
    assert (summary.runs, summary.failed) == (2, 0)
    assert summary.sent == part.sent
    assert summary.hits.total() == sum(summary.fired)
    assert list(Summary().lines()) == ["0 runs, 0 with a violation"]
