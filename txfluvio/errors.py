"""Every error a user can meet, with what may be done about it.

Vocabulary for all floors: nothing here knows bytes, sockets or Twisted. An error says in its
attributes whether the call may be made again (``retriable``) and what it has done (``effect``), so
that no list of codes is needed anywhere else.
"""

from __future__ import annotations

import enum


class Effect(enum.Enum):
    """What a failed call has changed on the cluster."""

    NONE = "nothing happened"
    DONE = "it was applied all the same"
    UNKNOWN = "it may have been applied"


class FluvioError(Exception):
    """The root of all errors raised by txfluvio."""

    retriable: bool = False
    effect: Effect = Effect.NONE


class UsageError(FluvioError):
    """The caller asked for something that can not be: a wrong value, a closed client."""


class ProtocolError(FluvioError):
    """A peer sent bytes that are not the protocol.

    :ivar reason: what is wrong.
    :ivar message: the message being decoded, for example ``"FetchOffsetsResponse"``.
    :ivar field: the path of the field in it, for example ``"topics[0].partitions"``.
    :ivar position: the byte position in the frame (the size prefix not counted), if known.
    """

    effect = Effect.UNKNOWN

    def __init__(
        self, reason: str, *, message: str = "", field: str = "", position: int | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.field = field
        self.position = position

    def within(self, name: str) -> ProtocolError:
        """Prefix the field path with the field (or ``[index]``) that was being decoded."""
        separator = "" if not self.field or self.field.startswith("[") else "."
        self.field = f"{name}{separator}{self.field}"
        return self

    def __str__(self) -> str:
        where = ".".join(part for part in (self.message, self.field) if part)
        at = "" if self.position is None else f" at byte {self.position}"
        return f"{where}{at}: {self.reason}" if where or at else self.reason
