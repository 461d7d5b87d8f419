"""Recorded traffic, one JSON object a line, as frames that know what they are.

A recording is what a relay between a client and a cluster wrote down: a line is a frame (``conn``,
``to``, ``dir``, ``hex`` with the size prefix; ``runs`` in its place where the frame repeats
itself), the end of one direction (``eof``), or words about the whole. Another form holds requests
alone, their header already read (``server``, ``api_key``, ``version``, ``body_hex``).

A reply says neither its call nor its version: here it gets those of the request that had its
correlation id. What the bytes of a frame mean is :mod:`.check`'s and :mod:`.dump`'s business.

Behind a StartMirror both ends of a connection send requests of another protocol, which two SPUs
speak and nobody here: those frames are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import attrs

from ..errors import ProtocolError, UsageError
from .framing import Frames, frame
from .headers import (
    REPLY_BODY,
    RequestHeader,
    decode_request_header,
    encode_reply,
    encode_request,
    reply_correlation_id,
)
from .schema import SC_APIS, SPU_APIS, Api, Message
from .spu import StartMirrorRequest

Server = Literal["SC", "SPU"]

LARGEST_FRAME = 256 * 1024 * 1024
"""Bytes of the largest frame that is recorded or read: more than either side of a relay takes."""

_PREFIX = len(frame())


def calls_of(server: Server) -> dict[int, Api]:
    """The calls that a server answers, by key."""
    return SC_APIS if server == "SC" else SPU_APIS


@attrs.frozen(kw_only=True)
class RecordedFrame:
    """One frame, and the request it is or belongs to.

    :ivar payload: the frame without its size.
    :ivar header: that of the request, also in a reply.
    :ivar is_reply: whether the server sent it.
    """

    server: Server
    header: RequestHeader
    is_reply: bool
    payload: bytes = attrs.field(repr=False)

    @classmethod
    def of_request(cls, server: Server, payload: bytes) -> RecordedFrame:
        """A request, by its own header."""
        header, _ = decode_request_header(payload)
        return cls(server=server, header=header, is_reply=False, payload=payload)

    @property
    def api(self) -> Api:
        """The call.

        :raises ProtocolError: the server has none of this key.
        """
        found = calls_of(self.server).get(self.header.api_key)
        if found is None:
            raise ProtocolError(
                f"no {self.server} has a call {self.header.api_key}",
                message="RequestHeader",
                field="api_key",
                position=0,
            )
        return found

    @property
    def type(self) -> type[Message]:
        """The class of the body."""
        return self.api.reply if self.is_reply else self.api.request

    @property
    def body(self) -> int:
        """Where in the payload the body begins."""
        return REPLY_BODY if self.is_reply else decode_request_header(self.payload)[1]

    def encode(self, message: Message) -> bytes:
        """The payload again, with ``message`` for its body."""
        version, correlation_id = self.header.api_version, self.header.correlation_id
        if self.is_reply:
            whole = encode_reply(message, version=version, correlation_id=correlation_id)
        else:
            whole = encode_request(
                message,  # type: ignore[arg-type]
                version=version,
                correlation_id=correlation_id,
                client_id=self.header.client_id,
            )
        return Frames(len(whole)).feed(whole)[0]


class Recording:
    """Reads the lines of one recording in order, remembering what was asked."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, int], RequestHeader] = {}
        self._mirroring: set[int] = set()

    def read(self, line: str) -> RecordedFrame | None:
        """The frame on the next line; None where the line holds none, or one between mirrors.

        :raises UsageError: the line is not one of a recording.
        :raises ProtocolError: it holds no whole frame, or a reply that nobody asked for.
        """
        return self.frame(entry_of(line))

    def frame(self, entry: dict[str, Any]) -> RecordedFrame | None:
        """Like :meth:`read`, of a line that :func:`entry_of` has read."""
        try:
            if "body_hex" in entry:
                return self._bare_request(entry)
            if "hex" not in entry and "runs" not in entry:
                return None
            connection, is_reply = int(entry["conn"]), _is_reply(entry["dir"])
            server = _server(entry["to"])
            if connection in self._mirroring:
                return None
            data = _bytes(entry)
        except _UNREADABLE as error:
            raise UsageError(f"not a line of a recording: {error!r}") from error
        frames = Frames(LARGEST_FRAME)
        payloads = frames.feed(data)
        if len(payloads) != 1 or frames.pending or frames.broken:
            raise ProtocolError(
                f"{len(data)} bytes are not one frame", message="frame", field="size", position=0
            )
        (payload,) = payloads
        if not is_reply:
            found = RecordedFrame.of_request(server, payload)
            self._asked[connection, found.header.correlation_id] = found.header
            if server == "SPU" and found.header.api_key == StartMirrorRequest.api.key:
                self._mirroring.add(connection)
            return found
        correlation_id = reply_correlation_id(payload)
        header = self._asked.get((connection, correlation_id))
        if header is None:
            raise ProtocolError(
                f"a reply to {correlation_id}, which connection {connection} never asked",
                message="ResponseHeader",
                field="correlation_id",
                position=0,
            )
        return RecordedFrame(server=server, header=header, is_reply=True, payload=payload)

    def _bare_request(self, entry: Any) -> RecordedFrame:
        header = RequestHeader(
            api_key=entry["api_key"],
            api_version=entry["version"],
            correlation_id=entry["correlation_id"],
            client_id=entry["client_id"],
        )
        payload = header.encode(0) + bytes.fromhex(entry["body_hex"])
        return RecordedFrame(
            server=_server(entry["server"]), header=header, is_reply=False, payload=payload
        )


_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""What comes of taking JSON for what it is not."""


def entry_of(line: str) -> dict[str, Any]:
    """The JSON object on a line; empty for a line without anything.

    :raises UsageError: there is something else.
    """
    if not line.strip():
        return {}
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise TypeError(f"{type(entry).__name__} instead of an object")
    except json.JSONDecodeError as error:
        # Its own words count lines too, of which this is the only one.
        reason = f"{error.msg} at character {error.pos}"
        raise UsageError(f"not a line of a recording: {reason}") from error
    except _UNREADABLE as error:
        raise UsageError(f"not a line of a recording: {error!r}") from error
    return entry


def read_lines(
    lines: Iterable[str],
) -> Iterator[tuple[int, dict[str, Any], RecordedFrame | None]]:
    """The lines of a recording in order: the number of each, its object and its frame.

    :raises UsageError: a line, which is named, is not one of a recording.
    :raises ProtocolError: one holds no whole frame, or a reply that nobody asked for.
    """
    recording = Recording()
    for number, line in enumerate(lines, 1):
        try:
            entry = entry_of(line)
            frame = recording.frame(entry)
        except UsageError as error:
            raise UsageError(f"line {number}: {error}") from error
        except ProtocolError as error:
            raise ProtocolError(f"line {number}: {error}") from error
        yield number, entry, frame


def lines_of(text: str) -> list[str]:
    """The lines of a recording: a JSON string may hold what else ends lines of text."""
    return text.split("\n")


def _is_reply(direction: str) -> bool:
    if direction not in ("<", ">"):
        raise ValueError(f"{direction!r} is no direction")
    return direction == "<"


def _server(name: str) -> Server:
    return "SC" if name == "sc" else "SPU"


def _bytes(entry: Any) -> bytes:
    if "hex" in entry:
        return bytes.fromhex(entry["hex"])
    runs = [(bytes.fromhex(part), int(count)) for part, count in entry["runs"]]
    if any(count < 0 for _, count in runs):
        raise ValueError("a run of less than nothing")
    if sum(len(part) * count for part, count in runs) > _PREFIX + LARGEST_FRAME:
        raise ValueError(f"runs of more than {_PREFIX + LARGEST_FRAME} bytes")
    return b"".join(part * count for part, count in runs)
