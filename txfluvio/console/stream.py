"""Server-sent events: sections of a page, asked for news as long as somebody listens.

A browser that does not read is not asked for, and so nothing is kept for it but what its sections
hold anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from .sections import Section

TICK = 0.25
"""Seconds between two looks for what is new."""

SILENCE = 15.0
"""Seconds after which something is sent though there is nothing to say: else it is not noticed on
either side that the other has gone."""

_OPENING = b"retry: 1000\n\n"
_STILL_HERE = b":\n\n"


class Response(Protocol):
    """What is asked of a request of ``twisted.web``."""

    def setHeader(self, name: bytes, value: bytes, /) -> None: ...
    def write(self, data: bytes, /) -> None: ...
    def registerProducer(self, producer: Any, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...


@implementer(IPushProducer)
class _Room:
    """Whether the browser takes more."""

    def __init__(self) -> None:
        self.free = True

    def pauseProducing(self) -> None:
        self.free = False

    def resumeProducing(self) -> None:
        self.free = True

    def stopProducing(self) -> None:
        self.free = False


async def stream(response: Response, sections: Sequence[Section], clock: IReactorTime) -> None:
    """Send what is new in the sections, until cancelled; closes them then."""
    room = _Room()
    response.setHeader(b"content-type", b"text/event-stream")
    response.setHeader(b"cache-control", b"no-store")
    response.registerProducer(room, True)
    silent_since = clock.seconds()
    try:
        response.write(_OPENING)
        while True:
            if room.free:
                events = [event.encode() for section in sections for event in section.news()]
                if not events and clock.seconds() - silent_since >= SILENCE:
                    events = [_STILL_HERE]
                if events:
                    silent_since = clock.seconds()
                    response.write(b"".join(events))
            await deferLater(clock, TICK)
    finally:
        for section in sections:
            section.close()
        response.unregisterProducer()
