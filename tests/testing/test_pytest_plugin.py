"""The pytest plugin: used in this very suite, and in suites of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted

from txfluvio.client import FluvioClient
from txfluvio.profile import load
from txfluvio.testing import FakeBroker
from txfluvio.testing.process import BrokerProcess

pytest_plugins = ["pytester"]


def test_the_broker_is_a_process_of_its_own(fluvio_broker: BrokerProcess) -> None:
    assert fluvio_broker.running
    fluvio_broker.create_topic("orders")
    fluvio_broker.append("orders", [b"a"])
    assert fluvio_broker.values("orders") == [b"a"]


def test_the_next_test_finds_it_empty(fluvio_broker: BrokerProcess) -> None:
    assert "orders" not in fluvio_broker.ask("GET", "/cluster")["topics"]


def test_the_profile_is_the_one_that_clients_read(
    fluvio_profile: Path, fluvio_broker: BrokerProcess
) -> None:
    assert os.environ["FLV_PROFILE_PATH"] == str(fluvio_profile)
    assert load(fluvio_profile).client_config().endpoint == fluvio_broker.sc


@pytest.mark.fluvio(topics={"orders": 2})
def test_a_mark_says_what_there_is(
    fluvio_broker: BrokerProcess, fluvio_cluster: Callable[..., BrokerProcess]
) -> None:
    assert len(fluvio_broker.ask("GET", "/cluster")["topics"]["orders"]) == 2
    assert fluvio_cluster(topics={"orders": 2}).sc != fluvio_broker.sc


@pytest.mark.fluvio(spus=2, topics={"orders": (1, 2)})
def test_a_mark_says_how_many_replicas_there_are(
    fluvio_broker: BrokerProcess, fluvio_fake: FakeBroker
) -> None:
    (partition,) = fluvio_broker.ask("GET", "/cluster")["topics"]["orders"]
    assert sorted(partition["replicas"]) == [5001, 5002]
    assert len(fluvio_fake.replica("orders").followers) == 1


@pytest.mark.fluvio(topics={"orders": 1})
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_twisted_test_has_it_in_its_reactor(fluvio_fake: FakeBroker) -> None:
    from twisted.internet import reactor

    client = FluvioClient(reactor, fluvio_fake.client_config())
    async with client, client.producer("orders") as producer:
        await producer.send(b"a")
    assert [record.value for record in fluvio_fake.records("orders")] == [b"a"]


@pytest.mark.fluvio(topics={"orders": 1}, spus=3)
class TestMarks:
    @pytest.mark.fluvio(spus=2)
    def test_the_closest_one_decides_and_the_others_say_the_rest(
        self, fluvio_broker: BrokerProcess
    ) -> None:
        assert len(fluvio_broker.spus) == 2
        assert "orders" in fluvio_broker.ask("GET", "/cluster")["topics"]


UNUSED = """
import sys

def test_nothing_was_loaded():
    assert "txfluvio.testing.pytest_plugin" in sys.modules
    assert [name for name in sys.modules if name.split(".")[0] in ("twisted", "zope")] == []
"""

POSITIONAL = """
import pytest

@pytest.mark.fluvio({"orders": 1})
def test_records(fluvio_broker):
    pass
"""

USED = """
import pytest
from txfluvio.testing.faults import Fault, Match, NeverAnswer

@pytest.mark.parametrize("number", range(2))
def test_records(fluvio_broker, number):
    fluvio_broker.create_topic("orders")
    assert fluvio_broker.append("orders", [b"a"]) == 0

def test_a_fault_that_never_acts(fluvio_broker):
    fluvio_broker.plant(Fault(Match("Produce"), NeverAnswer()))

def test_one_that_was_killed(fluvio_broker):
    fluvio_broker.kill()
"""


KEPT = """
import pytest

STARTED = []

@pytest.mark.parametrize("number", range(5))
def test_one_of_its_own(fluvio_cluster, tmp_path, number):
    STARTED.append(fluvio_cluster(directory=tmp_path))

def test_only_a_few_are_kept(fluvio_broker):
    STARTED.append(fluvio_broker)
    assert [broker.running for broker in STARTED] == [False] + [True] * 5

def test_the_last_ones_are_used_again(fluvio_broker):
    assert fluvio_broker is STARTED[-1]
"""

STUCK = """
import os, signal
from txfluvio.testing import process

USED = []

def impatient(call):
    def wrapped():
        process.CALL_TIMEOUT = process.START_TIMEOUT = 0.2
        try:
            return call()
        finally:
            process.CALL_TIMEOUT = 60
    return wrapped

def test_one_stops_answering(fluvio_cluster):
    USED.extend([fluvio_cluster(), fluvio_cluster()])
    os.kill(USED[1].pid, signal.SIGSTOP)
    USED[1].unfired = impatient(USED[1].unfired)

def test_it_was_ended_and_the_other_is_used_again(fluvio_cluster):
    process.START_TIMEOUT = 60
    assert not USED[1].running
    assert fluvio_cluster() is USED[0]
"""


def test_it_keeps_a_few_processes_and_no_more(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(KEPT)
    pytester.runpytest_subprocess("-p", "no:twisted").assert_outcomes(passed=7)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes can not be stopped here")
def test_one_that_does_not_answer_is_ended_and_the_others_are_given_back(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(STUCK)
    ran = pytester.runpytest_subprocess("-p", "no:twisted")
    ran.assert_outcomes(passed=2, errors=1)
    ran.stdout.fnmatch_lines(["*the broker does not answer*"])


def test_it_costs_nothing_when_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(UNUSED)
    pytester.runpytest_subprocess("-p", "no:twisted").assert_outcomes(passed=1)


def test_a_mark_whose_settings_have_no_names_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(POSITIONAL)
    ran = pytester.runpytest_subprocess("-p", "no:twisted")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*the mark fluvio({'orders': 1}) says no names: give settings*"])


def test_it_works_under_xdist_and_tells_of_faults_that_never_fired(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(USED)
    ran = pytester.runpytest_subprocess("-n", "2", "-p", "no:twisted")
    ran.assert_outcomes(passed=4, errors=1)
    ran.stdout.fnmatch_lines(["*planted, and never fired*"])
