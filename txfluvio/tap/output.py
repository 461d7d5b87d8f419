"""Where the records go: standard output or a file, in whole lines and without blocking the reactor.

A full pipe holds the reading back and nothing else: signals, connections and stored offsets go on
while nobody takes the output. What was written is whole lines, unless a single line is longer than
a pipe takes at once.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

PIPE_BUF = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe with any room takes whole, and without blocking."""


class Sink(Protocol):
    """Takes what is printed."""

    async def write(self, data: bytes) -> None:
        """Write all of it.

        :raises OSError: it can not be written; a BrokenPipeError where nobody reads any more.
        """

    def watch(self, gone: Callable[[], object]) -> None:
        """Call ``gone``, once, when nobody reads any more, if that can be known."""

    def reopen(self) -> None:
        """Go on in another file of the same name, if it is a file."""

    def close(self) -> None:
        """Nothing more comes."""


@implementer(IReadWriteDescriptor)
class Descriptor:
    """An open file descriptor, such as standard output; it is not closed.

    :param reactor: tells when there is room again, and that nobody reads any more.
    :param fd: the file descriptor.
    """

    def __init__(self, reactor: IReactorFDSet, fd: int = 1) -> None:
        self._reactor = reactor
        self._fd = fd
        self._mode = os.fstat(fd).st_mode
        self._room: Deferred[None] | None = None
        self._gone: Callable[[], object] | None = None

    async def write(self, data: bytes) -> None:
        """Write all of it; cancelling it leaves out what was not written yet."""
        if stat.S_ISREG(self._mode):
            write_all(self._fd, data)
            return
        for piece in _pieces(data):
            while not _poll(self._fd, select.POLLOUT):
                await self._wait()
            write_all(self._fd, piece)

    def watch(self, gone: Callable[[], object]) -> None:
        """Call ``gone``, once, when nobody reads any more, though there be nothing to write.

        Only of a pipe can that be known.
        """
        if stat.S_ISFIFO(self._mode):
            self._gone = gone
            self._reactor.addReader(self)

    def reopen(self) -> None:
        """Whoever has opened it has to see to that."""

    def close(self) -> None:
        """Whoever has opened it will close it."""
        if self._gone is not None:
            self._gone = None
            self._reactor.removeReader(self)

    def _wait(self) -> Deferred[None]:
        self._room = Deferred(lambda _: self._reactor.removeWriter(self))
        self._reactor.addWriter(self)
        return self._room

    # IReadWriteDescriptor, for the reactor

    def fileno(self) -> int:
        """The file descriptor."""
        return self._fd

    def logPrefix(self) -> str:
        """A name for logs."""
        return "output"

    def doWrite(self) -> None:
        """There is room."""
        self._reactor.removeWriter(self)
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def doRead(self) -> None:
        """Something has happened at the other end, which can only be that it was closed."""
        if _poll(self._fd, 0):
            self._lost()

    def connectionLost(self, reason: Failure) -> None:
        """The other end was closed."""
        self.doWrite()
        self._lost()

    def _lost(self) -> None:
        self._reactor.removeReader(self)
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()


def open_sink(path: str, reactor: IReactorFDSet) -> Sink:
    """What appends to a file; of a pipe, say, of that name, what writes to it as to an output.

    :raises OSError: it can not be opened.
    """
    fd = _open(path)
    return File(path, fd) if stat.S_ISREG(os.fstat(fd).st_mode) else Descriptor(reactor, fd)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


class File:
    """A file that is appended to.

    :param fd: it is open there.
    """

    _log = Logger()

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd

    async def write(self, data: bytes) -> None:
        """Write all of it, or, where that fails, nothing."""
        before = os.fstat(self._fd)
        try:
            write_all(self._fd, data)
        except OSError:
            if stat.S_ISREG(before.st_mode):
                os.ftruncate(self._fd, before.st_size)
            raise

    def watch(self, gone: Callable[[], object]) -> None:
        """Who reads a file can not be known."""

    def reopen(self) -> None:
        """Go on in another file of the same name; what was written stays in the one moved away.

        Where there can be none, it goes on in the one it has.
        """
        try:
            fresh = _open(self._path)
        except OSError as error:
            self._log.warn(
                "{path} can not be opened again: {reason}",
                path=self._path,
                reason=error.strerror,
            )
            return
        os.close(self._fd)
        self._fd = fresh

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, waiting where it takes that."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _pieces(data: bytes) -> Iterator[bytes]:
    """Pieces that a pipe takes whole, each of whole lines where lines are that short."""
    start = 0
    while start < len(data):
        end = start + PIPE_BUF
        if end < len(data):
            behind_line = data.rfind(b"\n", start, end) + 1
            end = behind_line or end
        yield data[start:end]
        start = end


def _poll(fd: int, events: int) -> bool:
    """Whether one of these events is there, or the other end was closed."""
    poll = select.poll()
    poll.register(fd, events)
    return bool(poll.poll(0))


class Erasing:
    """A sink that shares a terminal with something else, such as a line of progress.

    :param aside: keeps that away while something is written, which may take its time.
    """

    def __init__(self, sink: Sink, aside: Callable[[], AbstractContextManager[None]]) -> None:
        self._sink = sink
        self._aside = aside

    async def write(self, data: bytes) -> None:
        """Erase, and write."""
        with self._aside():
            await self._sink.write(data)

    def watch(self, gone: Callable[[], object]) -> None:
        """Call ``gone``, once, when nobody reads any more, if that can be known."""
        self._sink.watch(gone)

    def reopen(self) -> None:
        """Go on in another file, if it is a file."""
        self._sink.reopen()

    def close(self) -> None:
        """Nothing more comes."""
        self._sink.close()
