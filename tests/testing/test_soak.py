"""The soak: its account of records, and a short one on real sockets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest_twisted
from twisted.internet import reactor

from txfluvio.testing.soak import Account, Soak

the_reactor: Any = reactor
with_reactor: Callable[[Callable[[Path], Coroutine[Any, Any, None]]], Callable[[Path], object]] = (
    pytest_twisted.ensureDeferred
)


def test_what_is_acknowledged_has_to_be_read() -> None:
    account = Account()
    account.sent(1)
    assert not account.settled
    account.stored(1)
    assert account.unread == {1}
    account.seen(1)
    assert account.settled


def test_it_may_be_read_before_it_is_acknowledged() -> None:
    account = Account()
    account.sent(1)
    account.seen(1)
    assert not account.settled
    account.stored(1)
    assert account.settled


def test_what_is_not_acknowledged_need_not_be_read() -> None:
    account = Account()
    account.sent(1)
    account.lost(1)
    assert (account.settled, account.failed) == (True, 1)


def test_what_is_read_again_is_no_matter() -> None:
    account = Account()
    account.sent(1)
    account.stored(1)
    account.seen(1)
    account.seen(1)
    assert (account.settled, account.read) == (True, 2)


def made(memory: list[int]) -> Soak:
    soak = Soak(reactor, Path(), 1.0, Random(0))
    soak.memory = memory
    return soak


def test_memory_that_stays_is_fine_and_memory_that_grows_is_not() -> None:
    assert made([100] * 300 + [105] * 300).violations() == []
    (violation,) = made([100] * 300 + [111] * 300).violations()
    assert violation == "memory went from 100 to 111 bytes"


def test_a_lost_record_is_told() -> None:
    soak = made([100] * 10)
    soak.account.sent(1)
    soak.account.stored(1)
    assert soak.violations()[0] == "1 acknowledged records are lost"


@with_reactor
async def test_a_broker_that_is_killed_has_lost_nothing(tmp_path: Path) -> None:
    soak = Soak(the_reactor, tmp_path, 1.0, Random(3))
    await soak.run()
    assert soak.kills == 1
    assert soak.account.acknowledged > 100
    assert (len(soak.account.unread), soak.account.settled) == (0, True)
