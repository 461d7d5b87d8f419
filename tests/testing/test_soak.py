"""The soak: its account of records, and a short one on real sockets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from txfluvio.testing.soak import Account, Soak, main

the_reactor: Any = reactor
with_reactor: Callable[[Callable[[Path], Coroutine[Any, Any, None]]], Callable[[Path], object]] = (
    pytest_twisted.ensureDeferred
)


@pytest.mark.parametrize("minutes", ["-1", "0", "nan", "inf", "soon"])
def test_what_is_no_time_is_refused(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(the_reactor, "--minutes", minutes)
    told = capsys.readouterr().err
    assert f"argument --minutes: {minutes!r} is no number of minutes above 0\n" in told


def test_what_is_acknowledged_has_to_be_read() -> None:
    account = Account()
    account.sent(1)
    assert not account.settled
    account.stored(1)
    assert account.unread == {1}
    account.seen(1, partition=0, offset=0)
    assert account.settled


def test_it_may_be_read_before_it_is_acknowledged() -> None:
    account = Account()
    account.sent(1)
    account.seen(1, partition=0, offset=0)
    assert not account.settled
    account.stored(1)
    assert account.settled


def test_what_is_not_acknowledged_need_not_be_read() -> None:
    account = Account()
    account.sent(1)
    account.lost(1)
    assert (account.settled, account.failed) == (True, 1)


def test_what_is_stored_twice_may_be_read_twice() -> None:
    account = stored(1)
    account.seen(1, partition=0, offset=0)
    account.seen(1, partition=0, offset=1)
    assert (account.settled, account.read) == (True, 2)
    assert (account.repeated, account.disordered) == (0, 0)


def test_an_offset_may_not_come_twice_nor_behind_a_later_one() -> None:
    account = stored(1, 2)
    for number, offset in ((1, 4), (2, 5), (1, 4), (2, 5)):
        account.seen(number, partition=0, offset=offset)
    assert account.repeated == 2
    account.seen(1, partition=1, offset=0)
    assert account.repeated == 2


def test_the_records_of_a_partition_come_as_they_were_sent() -> None:
    account = stored(1, 2, 3)
    account.seen(2, partition=0, offset=0)
    account.seen(1, partition=1, offset=0)
    account.seen(3, partition=1, offset=1)
    assert account.disordered == 0


def test_what_comes_behind_a_later_one_is_counted_acknowledged_or_not() -> None:
    account = stored(1, 2)
    account.sent(3)
    account.sent(4)
    for offset, number in enumerate((2, 1, 4, 3)):
        account.seen(number, partition=0, offset=offset)
    assert account.disordered == 2


def stored(*numbers: int) -> Account:
    """An account of these records, none of which was read."""
    account = Account()
    for number in numbers:
        account.sent(number)
        account.stored(number)
    return account


def made(memory: list[int], account: Account | None = None) -> Soak:
    """A soak that was, by all other accounts, as it should be."""
    soak = Soak(reactor, Path(), 1.0, Random(0))
    soak.memory = memory
    soak.kills = 1
    soak.account = stored(0) if account is None else account
    if account is None:
        soak.account.seen(0, partition=0, offset=0)
    return soak


def test_memory_that_stays_is_fine_and_memory_that_grows_is_not() -> None:
    assert made([100] * 300 + [105] * 300).violations() == []
    (violation,) = made([100] * 300 + [111] * 300).violations()
    assert violation == "memory went from 100 to 111 bytes"


def test_a_lost_record_is_told() -> None:
    soak = made([100] * 10, stored(1))
    assert soak.violations()[0] == "1 acknowledged records are lost"


def test_what_comes_again_or_in_another_order_is_told() -> None:
    account = stored(1, 2)
    for number in (2, 1):
        account.seen(number, partition=0, offset=0)
    assert made([100] * 10, account).violations() == [
        "1 records were read at an offset that was passed",
        "1 records were read behind later ones",
    ]


def test_a_soak_in_which_nothing_is_acknowledged_is_none() -> None:
    account = Account()
    for number in range(1000):
        account.sent(number)
        account.lost(number)
    (violation,) = made([100] * 10, account).violations()
    assert violation == "no record was acknowledged after the last kill"


def test_nor_one_in_which_nothing_is_after_the_last_kill() -> None:
    soak = made([100] * 10)
    soak.before = 1
    assert soak.violations() == ["no record was acknowledged after the last kill"]


def test_nor_one_in_which_no_broker_is_killed() -> None:
    soak = made([100] * 10)
    soak.kills = 0
    assert soak.violations() == ["no broker was killed"]


@with_reactor
async def test_a_broker_that_is_killed_has_lost_nothing(tmp_path: Path) -> None:
    soak = Soak(the_reactor, tmp_path, 1.0, Random(3))
    await soak.run()
    assert soak.kills == 1
    assert soak.account.acknowledged > 100
    assert (len(soak.account.unread), soak.account.settled) == (0, True)
