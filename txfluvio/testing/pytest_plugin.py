"""Fixtures for pytest; they are there once txfluvio is installed.

========================  ==============================================================
``fluvio_broker``         a fake cluster in a process of its own, empty, for this test
``fluvio_cluster``        a function that makes more of them: ``fluvio_cluster(spus=3)``
``fluvio_profile``        the cluster's profile file, which ``FLV_PROFILE_PATH`` names
``fluvio_fake``           a fake cluster in the reactor of pytest-twisted
========================  ==============================================================

``@pytest.mark.fluvio(spus=2, topics={"orders": 3})`` says what the first and the last of them have.
Marks of a test, its class and its module add up; what two of them say, the closest one decides.
By default the cluster is another process, so that clients that block can be tested. A few processes
are kept for the tests to come, and emptied in between; each worker of pytest-xdist has its own. A
fault that was planted and never acted fails its test.

Where nobody uses a fixture this costs nothing: no Twisted is imported and no reactor installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .broker import FakeBroker
    from .given import Topic
    from .process import BrokerProcess

__all__ = ["fluvio_broker", "fluvio_cluster", "fluvio_fake", "fluvio_profile"]

PROFILE_VARIABLE = "FLV_PROFILE_PATH"

MARK = "fluvio"

MAX_FREE = 4
"""How many processes are kept that no test uses; those that were used longest ago end first."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", f"{MARK}(**settings): what the fake Fluvio cluster has")


class _Processes:
    """Brokers that run, and are used by one test after another."""

    def __init__(self) -> None:
        self._free: list[tuple[str, BrokerProcess]] = []

    def take(self, topics: dict[str, Topic] | None = None, **settings: Any) -> BrokerProcess:
        """A broker with these settings, which has these topics and nothing else."""
        from .process import BrokerProcess

        key = _key(settings)
        for one in [one for one in self._free if one[0] == key]:
            self._free.remove(one)
            broker = one[1]
            broker.topics = topics or {}
            try:
                broker.reset()
            except Exception:
                broker.stop()
            else:
                return broker
        broker = BrokerProcess(topics=topics, **settings)
        broker.start()
        return broker

    def give_back(
        self, broker: BrokerProcess, topics: dict[str, Topic] | None = None, **settings: Any
    ) -> list[Any]:
        """Keep a broker for another test, if it still runs; returns its faults that never acted.

        :raises UsageError: it does not answer, and was ended.
        """
        if not broker.running:
            broker.stop()
            return []
        try:
            unfired = broker.unfired()
        except BaseException:
            broker.stop()
            raise
        self._free.append((_key(settings), broker))
        while len(self._free) > MAX_FREE:
            self._free.pop(0)[1].stop()
        return unfired

    def stop(self) -> None:
        """End all that no test uses."""
        for _, broker in self._free:
            broker.stop()


def _key(settings: dict[str, Any]) -> str:
    return repr(sorted(settings.items()))


@pytest.fixture(scope="session", name="_fluvio_processes")
def fluvio_processes() -> Iterator[_Processes]:
    """All brokers of the session."""
    processes = _Processes()
    yield processes
    processes.stop()


@pytest.fixture
def fluvio_cluster(_fluvio_processes: _Processes) -> Iterator[Callable[..., BrokerProcess]]:
    """Makes fake clusters, each a process of its own: ``fluvio_cluster(spus=3)``.

    It takes what BrokerProcess takes. After the test they are no longer its own: what they had is
    gone.
    """
    unfired: list[Any] = []
    with ExitStack() as given:

        def give_back(broker: BrokerProcess, settings: dict[str, Any]) -> None:
            unfired.extend(_fluvio_processes.give_back(broker, **settings))

        def make(**settings: Any) -> BrokerProcess:
            broker = _fluvio_processes.take(**settings)
            given.callback(give_back, broker, settings)
            return broker

        yield make
    if unfired:
        pytest.fail(f"planted, and never fired (unless that is fine: optional=True): {unfired}")


@pytest.fixture
def fluvio_broker(
    fluvio_cluster: Callable[..., BrokerProcess], request: pytest.FixtureRequest
) -> BrokerProcess:
    """A fake cluster in a process of its own."""
    return fluvio_cluster(**_marked(request))


@pytest.fixture
def fluvio_profile(fluvio_broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The profile file of ``fluvio_broker``, as ``FLV_PROFILE_PATH`` names it during the test."""
    monkeypatch.setenv(PROFILE_VARIABLE, os.fspath(fluvio_broker.profile))
    return fluvio_broker.profile


@pytest.fixture
def fluvio_fake(request: pytest.FixtureRequest) -> Iterator[FakeBroker]:
    """A fake cluster in the reactor that pytest-twisted runs."""
    pytest_twisted = pytest.importorskip("pytest_twisted")
    from twisted.internet import reactor

    from .broker import FakeBroker

    broker = FakeBroker(reactor, **_marked(request))
    pytest_twisted.blockon(broker.start())
    yield broker
    pytest_twisted.blockon(broker.stop())


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the marks of a test say together."""
    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):
        if mark.args:
            given = ", ".join(map(repr, mark.args))
            raise pytest.UsageError(
                f"the mark {MARK}({given}) says no names: give settings, as in"
                f' {MARK}(topics={{"orders": 1}})'
            )
        settings |= mark.kwargs
    return settings
