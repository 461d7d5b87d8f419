"""How much may wait to be sent on one connection.

A transport tells its producer to pause when it has more than it can get rid of. What is written
then is counted here, and senders wait when it is more than the budget.
"""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from .waiting import Waiting


@implementer(IPushProducer)
class Brake:
    """Counts what is written while the transport has more than it can get rid of.

    A Twisted transport says so above 64 KiB, and again when it has sent it all.

    :param budget: bytes.

    :ivar waiting: those who wait until there is room.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._paused = False
        self._excess = 0
        self.waiting: Waiting[None] = Waiting()

    @property
    def released(self) -> bool:
        """Whether there is room."""
        return self._excess < self._budget

    def wrote(self, size: int) -> None:
        """So many bytes were given to the transport."""
        if self._paused:
            self._excess += size

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._excess = 0
        # The first may take all the room there is, and it comes again after the next pause.
        while self.released and (deferred := self.waiting.take_first()) is not None:
            deferred.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost, and its protocol hears of that."""
