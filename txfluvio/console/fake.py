"""What the page shows of a fake cluster and of no other: connections, frames, faults.

What it does to the fake, such as planting a fault or stopping an SPU, is done by the interface of
:mod:`txfluvio.testing.control.calls`, which the console serves under ``/control``.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..errors import ProtocolError, UsageError
from ..testing import FakeBroker
from ..testing.control.calls import Control
from ..testing.faults import ACTIONS, Action, Moment
from ..testing.server.journal import Direction, Entry
from ..wire.codes import Code
from ..wire.dump import Part, brief, take_apart
from ..wire.recordings import RecordedFrame, calls_of
from .sections import Event, Fact, Section, Table
from .shown import Json

MAX_LINES = 200
"""Lines of the request log that a page gets at a time; it is told how many there were."""

MAX_PARTS = 2_000
"""Parts of a frame that are shown."""

LONGEST_PART = 256
"""Bytes of a part that are shown."""

SECRET_FIELDS = frozenset({"client_key"})
SECRET_SIGN = b"PRIVATE KEY"
"""What is nobody's business: fields of these names, and whatever has this in it."""


class Log:
    """The request log, as a section named ``log``."""

    def __init__(self, broker: FakeBroker) -> None:
        self._journal = broker.journal
        self._behind = 0

    def news(self) -> Iterator[Event]:
        """The newest lines, and how many there were since the last time."""
        came = self._journal.total - self._behind
        if came:
            first = max(self._behind, self._journal.total - MAX_LINES)
            self._behind = self._journal.total
            lines = [_line(number, entry) for number, entry in self._journal.behind(first)]
            yield Event("log", {"lines": lines, "came": came})

    def close(self) -> None:
        """Nothing runs here."""


def _line(number: int, entry: Entry) -> Json:
    return {
        "number": number,
        "time": entry.time,
        "server": entry.server,
        "connection": entry.connection,
        "direction": entry.direction.value,
        "api": entry.name,
        "version": entry.header.api_version,
        "correlation": entry.header.correlation_id,
        "client": entry.header.client_id,
        "size": len(entry.data),
    }


class Fake:
    """A fake cluster, for the page.

    :param control: does what is asked for, and knows the faults that were.
    """

    def __init__(self, broker: FakeBroker, control: Control) -> None:
        self.broker = broker
        self.control = control

    def sections(self, view: str) -> list[Section]:
        """What a view of the page shows of it."""
        match view:
            case "connections":
                return [Table("connections", self._connections)]
            case "requests":
                return [Log(self.broker)]
            case "faults":
                return [Table("faults", self._faults)]
            case "spus":
                return [Fact("servers", self._servers)]
        return []

    def frame(self, number: int) -> Json:
        """A frame of the request log, taken apart.

        :raises UsageError: it is not kept any more.
        """
        for found, entry in self.broker.journal.behind(number - 1):
            if found == number:
                return {**_line(number, entry), **_taken_apart(entry)}
            break
        raise UsageError(f"frame {number} is not kept any more")

    def _connections(self) -> Mapping[str, Json]:
        return {
            str(connection.number): {
                "number": connection.number,
                "server": server,
                "peer": connection.peer,
                "principal": connection.principal,
            }
            for server, connections in self.broker.connections.items()
            for connection in connections
        }

    def _faults(self) -> Mapping[str, Json]:
        return {str(number): fault for number, fault in self.control.faults()["faults"].items()}

    def _servers(self) -> Json:
        return {"sc": self.broker.sc_runs, "spus": list(self.broker.running_spus)}


def _taken_apart(entry: Entry) -> Json:
    is_reply = entry.direction is not Direction.REQUEST
    frame = RecordedFrame(
        server="SC" if entry.server == "SC" else "SPU",
        header=entry.header,
        is_reply=is_reply,
        payload=entry.data[4:] if is_reply else entry.data,
    )
    parts: list[Part]
    problem: ProtocolError | None
    parts, problem = take_apart(frame)
    return {
        "parts": [_part(part) for part in parts[:MAX_PARTS]],
        "left_off": max(0, len(parts) - MAX_PARTS),
        "problem": "" if problem is None else str(problem),
    }


def _part(part: Part) -> Json:
    whole = part.data
    secret = part.span.path.rpartition(".")[2] in SECRET_FIELDS or SECRET_SIGN in whole
    data = b"" if secret else whole[:LONGEST_PART]
    return {
        "path": part.span.path,
        "start": part.span.start,
        "size": len(whole),
        "hex": data.hex(" "),
        "value": "not shown" if secret else brief(part),
        "unpacked": part.unpacked,
    }


# What can be planted


def fault_forms() -> Json:
    """What a fault can be made of, for a form."""
    calls = {api.name: name for name in ("SC", "SPU") for api in calls_of(name).values()}
    return {
        "calls": sorted(calls),
        "moments": [moment.name for moment in Moment],
        "codes": [code.name for code in Code if code.name != "NONE"],
        "actions": [_form(action) for action in ACTIONS],
    }


def _form(action: type[Action]) -> Json:
    hints = typing.get_type_hints(action)
    paragraph = (action.__doc__ or "").split("\n\n")[0]
    return {
        "name": action.__name__,
        "does": " ".join(paragraph.split()),
        "fields": [_field(field, hints[field.name]) for field in attrs.fields(action)],
    }


def _field(field: attrs.Attribute[Any], hint: Any) -> Json:
    required = field.default is attrs.NOTHING
    plain = isinstance(field.default, (int, float, str)) or field.default is None
    return {
        "name": field.name,
        "type": _kind(hint),
        "required": required,
        "default": field.default if plain and not required else None,
    }


def _kind(hint: Any) -> str:
    names = {one.__name__ for one in (typing.get_args(hint) or (hint,)) if isinstance(one, type)}
    for name in ("ErrorCode", "float", "int", "bytes"):
        if name in names:
            return name
    return "str"
