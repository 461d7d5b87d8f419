"""Server-sent events: sections of a page, asked for news as long as somebody listens.

A browser that does not read is not asked for, and so nothing is kept for it but what its sections
hold anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from .sections import Section

TICK = 0.25
"""Seconds between two looks for what is new."""

SILENCE = 15.0
"""Seconds after which something is sent though there is nothing to say: else it is not noticed on
either side that the other has gone."""

OPENING = b"retry: 1000\n\n"
"""What a browser is told first: in how many milliseconds to come again after a loss."""

_STILL_HERE = b":\n\n"


@implementer(IPushProducer)
class Room:
    """Whether a browser takes more; told so by its connection."""

    def __init__(self) -> None:
        self.free = True

    def pauseProducing(self) -> None:
        self.free = False

    def resumeProducing(self) -> None:
        self.free = True

    def stopProducing(self) -> None:
        self.free = False


async def stream(
    write: Callable[[bytes], object], room: Room, sections: Sequence[Section], clock: IReactorTime
) -> None:
    """Write what is new in the sections while there is room, until cancelled; closes them then."""
    told_at = clock.seconds()
    try:
        write(OPENING)
        while True:
            if room.free:
                events = [event.encode() for section in sections for event in section.news()]
                if not events and clock.seconds() - told_at >= SILENCE:
                    events = [_STILL_HERE]
                if events:
                    told_at = clock.seconds()
                    write(b"".join(events))
            await deferLater(clock, TICK)
    finally:
        for section in sections:
            section.close()
