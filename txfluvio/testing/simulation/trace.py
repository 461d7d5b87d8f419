"""What happened in a run, line by line: the same bytes for the same seed, wherever it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..server.journal import Direction, Journal
from .clock import EPOCH

MAX_LINES = 1_000_000
"""A trace with more lines than this is cut."""

_ARROWS = {Direction.REQUEST: "<", Direction.REPLY: ">", Direction.PUSH: ">>"}


class Trace:
    """The lines of one run: every frame that a server got or sent, and what others note.

    :param seconds: tells the time.
    :param journal: where the frames are; they are taken out of it.
    """

    def __init__(self, seconds: Callable[[], float], journal: Journal) -> None:
        self._seconds = seconds
        self._journal = journal
        self._lines: list[str] = []

    def note(self, text: str) -> None:
        """Add a line."""
        self.gather()
        self._add(self._seconds(), text)

    def gather(self) -> None:
        """Add the frames since the last time."""
        if not len(self._journal):
            return
        for entry in self._journal:
            header = entry.header
            self._add(
                entry.time,
                f"{entry.server} #{entry.connection} {_ARROWS[entry.direction]} {entry.name}"
                f" v{header.api_version} id {header.correlation_id}: {len(entry.data)} bytes",
            )
        self._journal.clear()

    def _add(self, time: float, text: str) -> None:
        if len(self._lines) < MAX_LINES:
            self._lines.append(f"{time - EPOCH:12.6f} {text}")

    @property
    def text(self) -> str:
        """All lines."""
        self.gather()
        return "".join(f"{line}\n" for line in self._lines)

    @property
    def digest(self) -> str:
        """A short name of all that."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]
