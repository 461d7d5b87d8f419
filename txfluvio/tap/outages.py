"""What ``fluvio-tail`` tells of its connections: that one is lost, once, and that it is back."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ..errors import ConnectFailed, Disconnected, FluvioError
from ..metrics import NoMetrics
from .options import in_options


class Outages(NoMetrics):
    """Says that a server can not be reached when that begins and when it is over, and not between.

    :param say: takes a line.
    :param patient: whether that a server was never reached is worth a word; otherwise it is the
        error that everything ends with.
    """

    def __init__(self, say: Callable[[str], object], clock: IReactorTime, *, patient: bool) -> None:
        self._say = say
        self._clock = clock
        self._patient = patient
        self._known: dict[str, None] = {}
        self._since: dict[str, float] = {}

    def connected(self, address: str) -> None:
        """It is over, if it was."""
        self._known[address] = None
        since = self._since.pop(address, None)
        if since is not None:
            self._say(f"{address} is back after {self._clock.seconds() - since:.1f} s")

    def disconnected(self, address: str, error: FluvioError) -> None:
        """It begins."""
        reason = error.reason if isinstance(error, Disconnected) else str(error)
        self._begins(address, f"lost {address}: {reason}")

    def failed(self, operation: str, error: FluvioError) -> None:
        """It begins, if that is about a connection."""
        if not isinstance(error, ConnectFailed):
            return
        # One that will not go away is what everything ends with, unless it is to be waited for.
        if self._patient or (error.retriable and error.address in self._known):
            self._begins(error.address, in_options(error))

    def _begins(self, address: str, what: str) -> None:
        if address not in self._since:
            self._since[address] = self._clock.seconds()
            self._say(f"{what}; trying again until it is back")
