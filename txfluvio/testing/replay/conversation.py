"""A recorded conversation as a list of what happened, in order.

Reads the lines of one recording (:mod:`txfluvio.wire.recordings`) into :class:`Event`: a frame that
knows its request, or the end of a direction. What a replay makes of them is told elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import attrs

from ...errors import ProtocolError, UsageError
from ...wire.recordings import RecordedFrame, read_lines
from ...wire.schema import Message

ServerId = str | int
"""``"SC"``, or the id of an SPU."""

LONGEST = 30 * 24 * 3600.0
"""Seconds; whoever replays has to let that time pass, with all that a cluster does in it."""


@attrs.frozen(slots=False, eq=False)
class Event:
    """A frame, or the end of one direction of a connection.

    :ivar line: the line of the recording.
    :ivar time: seconds since the first frame.
    :ivar connection: the connection's number in the recording.
    :ivar by_client: whether the client sent it.
    :ivar frame: ``None`` for an end.
    :ivar request: the event of the request that the frame answers; itself for a request.
    """

    line: int
    time: float
    connection: int
    server: ServerId
    by_client: bool
    frame: RecordedFrame | None
    request: Event | None = attrs.field(default=None, repr=False)

    @cached_property
    def message(self) -> Message | None:
        """What the frame says; ``None`` where it can not be read, or is none."""
        frame = self.frame
        if frame is None:
            return None
        try:
            return frame.type.decode(frame.payload, frame.header.api_version, frame.body)
        except ProtocolError:
            return None

    @property
    def said(self) -> Message | bytes:
        """What the frame says, or the bytes behind its header where that can not be read."""
        assert self.frame is not None
        message = self.message
        return self.frame.payload[self.frame.body :] if message is None else message

    @property
    def asked(self) -> Message | None:
        """What the request said that the frame is or answers."""
        return self.message if self.request is None else self.request.message

    @property
    def call(self) -> Event:
        """The request that the frame is or answers."""
        return self if self.request is None else self.request


@attrs.frozen(slots=False, eq=False)
class Conversation:
    """One recording.

    :ivar about: its first line: what was recorded, for humans.
    """

    about: dict[str, Any]
    events: tuple[Event, ...] = attrs.field(repr=False)

    @classmethod
    def read(cls, lines: Iterable[str]) -> Conversation:
        """The conversation that these lines hold.

        :raises UsageError: they are not those of a recording, or there is no frame in it.
        :raises ProtocolError: a frame is not whole, or answers what nobody asked.
        """
        about: dict[str, Any] = {}
        events: list[Event] = []
        asked: dict[tuple[int, int], Event] = {}
        for number, entry, frame in read_lines(lines):
            if frame is None and not entry.get("eof"):
                if "conn" not in entry:
                    about.update(entry)
                continue
            event = _event(number, entry, frame)
            if frame is not None:
                key = (event.connection, frame.header.correlation_id)
                if event.by_client:
                    asked[key] = event
                else:
                    event = attrs.evolve(event, request=asked[key])
            events.append(event)
        if not asked:
            raise UsageError("there is no frame in the recording")
        return cls(about, tuple(events))

    @cached_property
    def _answers(self) -> dict[int, list[Event]]:
        found: dict[int, list[Event]] = {}
        for event in self.replies():
            found.setdefault(event.call.line, []).append(event)
        return found

    def answers(self, request: Event) -> Sequence[Event]:
        """What the servers sent for a request."""
        return self._answers.get(request.line, ())

    def requests(self) -> Iterator[Event]:
        """What the client sent."""
        return (one for one in self.events if one.frame is not None and one.by_client)

    def replies(self) -> Iterator[Event]:
        """What the servers sent."""
        return (one for one in self.events if one.frame is not None and not one.by_client)


def _event(number: int, entry: dict[str, Any], frame: RecordedFrame | None) -> Event:
    try:
        time = float(entry.get("ms", 0.0)) / 1000
        if not abs(time) <= LONGEST:
            raise ValueError(f"a conversation of {time} seconds, where {LONGEST} are the most")
        return Event(
            number,
            time,
            int(entry["conn"]),
            _server(entry["to"]),
            entry["dir"] == ">",
            frame,
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"line {number} is not one of a conversation: {error!r}") from error


def _server(name: str) -> ServerId:
    if name == "sc":
        return "SC"
    spu = int(name.removeprefix("spu-"))
    if not 0 <= spu < 2**31:
        raise ValueError(f"{name!r} is no server")
    return spu
