"""Whether a stream that says nothing has something to say.

A stream is silent by design where there is nothing new, so silence alone is no sign. But an SPU
that lost the lead and has it again lets its old streams fall silent for good, and nobody tells: the
metadata may show the same leader as ever. So a stream from which a push is due, and does not come,
has its log's end looked at now and then. This says when it is broken; what to do then is decided in
:mod:`txfluvio.consumer.stream`.

Streams with SmartModules are not watched. What does not pass is not told, so the end of the log is
ahead of a stream that is well, for as long as nothing passes; and to open it anew to be sure would
do harm: its modules forget what they remember, and let pass again what they have dropped, and the
SPU runs them over the same records each time.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ..errors import Disconnected, FluvioError, RequestTimedOut
from .requests import LogEnds
from .session import Session


class Silence:
    """Watches one stream, from :meth:`start` to :meth:`stop`.

    :param interval: seconds between two looks.
    :param broken: called once if the stream has to be opened anew, with the reason or None.
    """

    def __init__(
        self,
        session: Session,
        *,
        clock: IReactorTime,
        interval: float,
        broken: Callable[[FluvioError | None], None],
    ) -> None:
        self._session = session
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
        if not session.due or session.pushed != before:
            self._promised = 0
        elif self._promised > session.received:
            self._end(None)
        else:
            # What is there now has until the next look to come.
            session.ends().addCallbacks(self._told, self._failed)

    def _told(self, ends: LogEnds) -> None:
        self._promised = ends.high_watermark

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        # Where nobody answers, the connection's own probe sees to that.
        if not isinstance(error, Disconnected | RequestTimedOut):
            assert isinstance(error, FluvioError)
            self._end(error)

    def _end(self, reason: FluvioError | None) -> None:
        if self._call is not None:
            self.stop()
            self._broken(reason)
