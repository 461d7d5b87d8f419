"""What was asked and what was answered, kept for whoever wants to look.

The servers of a fake write every frame here as it came or went. Nothing is decoded before somebody
looks, and what is kept is bounded in number and in bytes: the oldest entries go first.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import attrs

from ...errors import UsageError
from ...wire.headers import REPLY_BODY, RequestHeader
from ...wire.schema import Api, Message
from ..faults.matching import CALLS, call_of, decoded, no_call

MAX_ENTRIES = 10_000
MAX_BYTES = 64 * 1024 * 1024

_FRAME_BODY = 4 + REPLY_BODY


class Direction(enum.Enum):
    """Which way a frame went."""

    REQUEST = "request"
    REPLY = "reply"
    PUSH = "push"


@attrs.frozen(kw_only=True)
class Entry:
    """A frame on one of the fake's connections.

    :ivar time: when, in seconds, by the fake's ``now()``.
    :ivar server: who received or sent it: ``SC``, or ``SPU`` and its id.
    :ivar connection: the number of the connection, counted over the whole cluster from 1.
    :ivar header: the header of the request, also for what answers it.
    :ivar data: the bytes that hold the message; those of a frame's size may be missing.
    :ivar body: where in them the message begins.
    """

    time: float
    server: str
    connection: int
    direction: Direction
    header: RequestHeader
    data: bytes = attrs.field(repr=False)
    body: int = attrs.field(repr=False)

    @property
    def api(self) -> Api | None:
        """The call, ``None`` where the server knows no such key."""
        return call_of(self.server, self.header)

    @property
    def name(self) -> str:
        """The name of the call, or its key."""
        return str(self.header.api_key) if self.api is None else self.api.name

    @property
    def message(self) -> Message | None:
        """The message, decoded; ``None`` where that is not possible."""
        api = self.api
        if api is None:
            return None
        kind = api.request if self.direction is Direction.REQUEST else api.reply
        return decoded(kind, self.header, self.data, self.body)


def check_name(name: str | None) -> None:
    """See that an entry may have a name: whoever looks for another finds nothing, and is content.

    :raises UsageError: none may.
    """
    if name is not None and name not in CALLS and not name.isdecimal():
        raise UsageError(no_call(name))


class Journal:
    """The last frames of all servers of a cluster.

    :param now: the time, in seconds.
    :param max_entries: how many frames are kept; 0: none, and nobody hears of any.
    :param max_bytes: how many bytes of them are kept; the newest frame stays whatever its size.
    :param on_entry: called after each.
    :ivar total: how many frames there have been, forgotten ones included: the newest is that one.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        on_entry: Callable[[], object] | None = None,
    ) -> None:
        self._now = now
        self._on_entry = on_entry
        self._entries: deque[Entry] = deque()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self.total = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """The frames, oldest first; safe against changes on the way."""
        return iter(tuple(self._entries))

    def requests(self, name: str | None = None) -> list[Entry]:
        """The requests, oldest first.

        :param name: only those of this call, for example ``Produce``; one that nobody knows goes by
            its key.
        :raises UsageError: there is no such call.
        """
        check_name(name)
        return [
            one for one in self if one.direction is Direction.REQUEST and name in (None, one.name)
        ]

    def behind(self, number: int) -> list[tuple[int, Entry]]:
        """The frames that are kept and came behind that of a number, oldest first, with theirs."""
        count = min(len(self._entries), max(0, self.total - number))
        newest = islice(reversed(self._entries), count)
        found = [(self.total - index, entry) for index, entry in enumerate(newest)]
        return found[::-1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def request(
        self, server: str, connection: int, header: RequestHeader, payload: bytes, body: int
    ) -> None:
        """Note a request, given without its size."""
        self._add(server, connection, Direction.REQUEST, header, payload, body)

    def answer(
        self, server: str, connection: int, header: RequestHeader, frame: bytes, *, pushed: bool
    ) -> None:
        """Note a reply, or a push, to the request with this header; the frame has its size."""
        direction = Direction.PUSH if pushed else Direction.REPLY
        self._add(server, connection, direction, header, frame, _FRAME_BODY)

    def _add(
        self,
        server: str,
        connection: int,
        direction: Direction,
        header: RequestHeader,
        data: bytes,
        body: int,
    ) -> None:
        if not self._max_entries:
            return
        self._entries.append(
            Entry(
                time=self._now(),
                server=server,
                connection=connection,
                direction=direction,
                header=header,
                data=data,
                body=body,
            )
        )
        self.total += 1
        self._bytes += len(data)
        while len(self._entries) > self._max_entries or (
            self._bytes > self._max_bytes and len(self._entries) > 1
        ):
            self._bytes -= len(self._entries.popleft().data)
        if self._on_entry is not None:
            self._on_entry()
