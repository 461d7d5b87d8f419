"""Waiting until something is so: looked at now, and whenever something has changed.

What changes says so at once, in the middle of it. Whoever waits is told in a turn of its own, once
for all that has changed by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from ..errors import UsageError
from .timers import Timers

T = TypeVar("T")


class Conditions:
    """What somebody waits for.

    :param timers: gives the looking a turn of its own.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: dict[Deferred[Any], Callable[[], Any]] = {}
        self._about_to_look = False
        self._stopped = False

    def __len__(self) -> int:
        return len(self._waiting)

    def wait_for(self, condition: Callable[[], T | None]) -> Deferred[T]:
        """Fires with what ``condition`` returns, once that is anything true.

        What it raises ends the waiting. Cancelling stops it.

        :raises UsageError: it is not so, and the broker has stopped.
        """
        try:
            found = condition()
        except Exception:
            return fail()
        if found:
            return succeed(found)
        if self._stopped:
            return fail(UsageError("this broker has stopped: what is not so never will be"))

        def forget(waiter: Deferred[Any]) -> None:
            del self._waiting[waiter]

        waiter: Deferred[T] = Deferred(forget)
        self._waiting[waiter] = condition
        return waiter

    def look_later(self) -> None:
        """Something has changed: look at it in a turn of its own, if anybody cares."""
        if self._waiting and not self._about_to_look:
            self._about_to_look = True
            self._timers.later(0, self._look)

    def stop(self) -> None:
        """Nothing changes any more: nobody waits."""
        self._stopped = True
        for waiter in list(self._waiting):
            waiter.cancel()

    def _look(self) -> None:
        self._about_to_look = False
        for waiter, condition in list(self._waiting.items()):
            # Who was told before may be why this one waits no more.
            if waiter not in self._waiting:
                continue
            try:
                found = condition()
            except Exception:
                del self._waiting[waiter]
                waiter.errback()
                continue
            if found:
                del self._waiting[waiter]
                waiter.callback(found)
