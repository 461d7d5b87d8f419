"""Whether a stream that says nothing has something to say.

A stream is silent by design where there is nothing new, so silence alone is no sign. But an SPU
that lost the lead and has it again lets its old streams fall silent for good, and nobody tells: the
metadata may show the same leader as ever. So a stream from which a push is due, and does not come,
has its log's end looked at now and then. This says when it is broken; what to do then is decided in
:mod:`txfluvio.consumer.stream`.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..errors import FluvioError
from ..wire.spu import FetchOffsetsResponse
from .requests import Target
from .session import Session


class Silence:
    """Watches one stream, from :meth:`start` to :meth:`stop`.

    :param received: tells the offset behind the last record received.
    :param interval: seconds between two looks.
    :param broken: called once if the stream has to be opened anew, with the reason or None.
    """

    def __init__(
        self,
        session: Session,
        target: Target,
        received: Callable[[], int],
        *,
        clock: IReactorTime,
        interval: float,
        broken: Callable[[FluvioError | None], None],
    ) -> None:
        self._session = session
        self._target = target
        self._received = received
        self._clock = clock
        self._interval = interval
        self._broken = broken
        self._call: IDelayedCall | None = None
        self._pushed = -1
        self._promised = 0

    def start(self) -> None:
        """Begin."""
        self._call = self._clock.callLater(self._interval, self._look)

    def stop(self) -> None:
        """End."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        self._call = self._clock.callLater(self._interval, self._look)
        session = self._session
        before, self._pushed = self._pushed, session.pushed
        if session.pushed == session.asked or session.pushed != before:
            self._promised = 0
        elif self._promised > self._received():
            self._end(None)
        else:
            # What is there now has until the next look to come.
            session.request(self._target.ask_ends()).addCallbacks(self._told, self._failed)

    def _told(self, reply: FetchOffsetsResponse) -> None:
        try:
            _, self._promised = self._target.ends(reply)
        except FluvioError as error:
            self._end(error)

    def _failed(self, failure: object) -> None:
        """Nobody answers: the connection's own probe sees to that."""

    def _end(self, reason: FluvioError | None) -> None:
        if self._call is not None:
            self.stop()
            self._broken(reason)
