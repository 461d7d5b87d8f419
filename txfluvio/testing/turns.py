"""Whose turn it is to start and stop servers, so that no two pieces of work meet at one of them.

What is done to one server waits for what was asked of it before, and not for others. What is done
to all of them has them to itself. Work that has been asked for comes to its end, whatever becomes
of who asked: half of it would leave a server that nobody can reach.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .faults import ServerId

T = TypeVar("T")

_log = Logger()


@attrs.define(eq=False)
class _Turn:
    """A piece of work on a server, or on all.

    :ivar due: fires when its turn has come; ``None`` once it works.
    """

    server: ServerId | None
    due: Deferred[None] | None = None


class Turns:
    """The line in which work on the servers of a cluster waits.

    :param scheduler: gives those who have waited a turn of their own.
    """

    def __init__(self, scheduler: IReactorTime) -> None:
        self._scheduler = scheduler
        self._line: list[_Turn] = []
        self._calling = False

    def run(self, work: Callable[[], Awaitable[T]], server: ServerId | None = None) -> Deferred[T]:
        """Do something, at once if nobody is in the way; fires with what it returns.

        Cancelling ends the waiting, and not the work.

        :param server: on which it is done; ``None``: on all.
        """
        waiter: Deferred[T] = Deferred()

        def failed(failure: Failure) -> None:
            if not waiter.called:
                waiter.errback(failure)
            elif not failure.check(CancelledError):
                _log.failure("what nobody waits for any more has failed", failure)

        Deferred.fromCoroutine(self._run(work, server)).addCallbacks(waiter.callback, failed)
        return waiter

    async def _run(self, work: Callable[[], Awaitable[T]], server: ServerId | None) -> T:
        turn = _Turn(server)
        self._line.append(turn)
        if turn not in self._first():
            turn.due = Deferred()
            await turn.due
        try:
            return await work()
        finally:
            self._line.remove(turn)
            if not self._calling and any(one.due is not None for one in self._line):
                self._calling = True
                self._scheduler.callLater(0, self._next)

    def _next(self) -> None:
        self._calling = False
        for turn in self._first():
            due, turn.due = turn.due, None
            if due is not None:
                due.callback(None)

    def _first(self) -> list[_Turn]:
        """Those who have nobody in front of them."""
        found: list[_Turn] = []
        for turn in self._line:
            if turn.server is None:
                return found or [turn]
            if all(turn.server != other.server for other in found):
                found.append(turn)
        return found
