"""A fake cluster in a process of its own, as a program that blocks uses it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from txfluvio.errors import UsageError
from txfluvio.profile import load
from txfluvio.testing import Timing, process
from txfluvio.testing.faults import Fault, Match, NeverAnswer
from txfluvio.testing.process import BrokerProcess


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess(spus=2, topics={"orders": 2, "twin": (1, 2)}, release="0.17") as running:
        yield running


def test_it_is_ready_when_it_is_started(broker: BrokerProcess) -> None:
    assert broker.running
    assert broker.topics == {"orders": 2, "twin": (1, 2)}
    assert sorted(broker.spus) == [5001, 5002]
    assert broker.client_config().endpoint == broker.sc
    assert load(broker.profile).client_config().endpoint == broker.sc
    assert len(broker.ask("GET", "/cluster")["topics"]["orders"]) == 2


def test_records_are_put_in_and_looked_at(broker: BrokerProcess) -> None:
    broker.reset()
    assert broker.append("orders", [b"a", (b"k", b"\xff")], 1) == 0
    assert broker.append("orders", [b"c"], 0) == 0
    assert broker.values("orders", at_least=3) == [b"c", b"a", b"\xff"]
    assert broker.values("orders", 1) == [b"a", b"\xff"]


def test_a_reset_leaves_the_topics_to_begin_with(broker: BrokerProcess) -> None:
    broker.append("orders", [b"a"])
    broker.create_topic("later")
    broker.reset()
    assert broker.values("orders") == []
    assert "later" not in broker.ask("GET", "/cluster")["topics"]


def test_a_topic_to_begin_with_may_have_replicas_and_has_another_leader_when_one_goes(
    broker: BrokerProcess,
) -> None:
    broker.reset()
    (before,) = broker.ask("GET", "/cluster")["topics"]["twin"]
    broker.spu_down(before["leader"])
    (after,) = broker.ask("GET", "/cluster")["topics"]["twin"]
    assert {before["leader"], after["leader"]} == {5001, 5002}


def test_what_is_refused_is_an_error_that_says_why(broker: BrokerProcess) -> None:
    with pytest.raises(UsageError, match="there are not 1 records in nowhere"):
        broker.values("nowhere", at_least=1, timeout=0.01)
    with pytest.raises(UsageError, match="there is no SPU 7"):
        broker.spu_down(7)


def test_spus_go_and_come_and_leaders_move(broker: BrokerProcess) -> None:
    broker.reset()
    broker.create_topic("twice", replication=2)
    broker.move_leader("twice", 0, 5002)
    broker.spu_down(5001)
    broker.spu_up(5001)
    assert broker.append("twice", [b"a"]) == 0


def test_the_sc_goes_and_comes(broker: BrokerProcess) -> None:
    host, _, port = broker.sc.partition(":")
    broker.sc_down()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)
    broker.sc_up()
    socket.create_connection((host, int(port)), timeout=10).close()


def test_faults_that_never_fired_are_told(broker: BrokerProcess) -> None:
    broker.reset()
    broker.plant(Fault(Match("Produce"), NeverAnswer()))
    broker.plant(Fault(Match("Fetch"), NeverAnswer()), optional=True)
    (unfired,) = broker.unfired()
    assert unfired["match"] == {"api": "Produce"}
    broker.reset()
    assert broker.unfired() == []


def test_the_topics_that_its_directory_has_kept_are_not_made_again(tmp_path: Path) -> None:
    for last in (b"a", b"b"):
        with BrokerProcess(topics={"orders": 1}, directory=str(tmp_path / "kept")) as kept:
            kept.append("orders", [last])
            values = kept.values("orders")
    assert values == [b"a", b"b"]
    with pytest.raises(UsageError, match="topic orders was kept with 1 partitions, not 3"):
        BrokerProcess(topics={"orders": 3}, directory=str(tmp_path / "kept")).start()


def test_one_that_can_not_start_says_why() -> None:
    with pytest.raises(UsageError, match="--release takes"):
        BrokerProcess(release="1.0").start()


def test_a_topic_that_does_not_get_its_spus_is_told_when_the_broker_gives_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with BrokerProcess(time={"topic_wait": 2.1}) as broker:
        monkeypatch.setattr(process, "CALL_TIMEOUT", 2.0)
        with pytest.raises(UsageError, match="only 0 out of 1 provisioned"):
            broker.create_topic("orders", replication=2)


def test_a_broker_waits_for_a_topic_as_long_as_is_expected_of_it() -> None:
    assert Timing().topic_wait == process.TOPIC_WAIT


def test_a_client_of_one_that_speaks_tls_is_told_how(tmp_path: Path) -> None:
    with BrokerProcess(tls=tmp_path, tls_domain="sc.example") as broker:
        tls = broker.client_config().tls
        assert tls is not None
        assert (tls.server_name, tls.ca_file) == ("sc.example", str(tmp_path / "ca.crt"))
        assert tls == load(broker.profile).client_config().tls
        assert broker.client_config(tls=None).tls is None


def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"did not start: .*{port}") as caught:
            BrokerProcess(port=port).start()
    assert "Traceback" not in str(caught.value)


def test_a_setting_that_there_is_not_is_told_in_a_line() -> None:
    with pytest.raises(UsageError, match=r"option --nothing not recognized$"):
        BrokerProcess(nothing=2).start()


def test_it_does_nothing_before_its_start() -> None:
    broker = BrokerProcess()
    assert not broker.running
    with pytest.raises(UsageError, match="has not been started"):
        broker.append("orders", [b"a"])
    broker.stop()


def test_it_ends_with_who_started_it_and_answers_no_more() -> None:
    with BrokerProcess(time={"reload": 5}, manual_elections=True, seed=3) as broker:
        process = broker._known()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
        assert not broker.running
        with pytest.raises(UsageError, match="does not answer"):
            broker.append("orders", [b"a"])
