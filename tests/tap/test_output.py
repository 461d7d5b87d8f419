"""Where records go: pipes that are full, files that are rotated, disks without room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txfluvio.tap.output import PIPE_BUF, Descriptor, Erasing, open_sink

LINES = b"".join(b"line %d\n" % number for number in range(20_000))


class Pipe:
    """A pipe, and a reactor that says when the test wants that there is room."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.reactor = MemoryReactorClock()
        self.output = Descriptor(self.reactor, self.writing)
        self.taken = b""

    def write(self, data: bytes) -> Deferred[None]:
        return Deferred.fromCoroutine(self.output.write(data))

    @property
    def waiting(self) -> list[Any]:
        """Who waits for room."""
        return list(self.reactor.getWriters())

    def take(self, size: int = 10**6) -> None:
        """Read some of it, and tell those who wait."""
        self.taken += os.read(self.reading, size)
        for writer in self.waiting:
            writer.doWrite()

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_what_fits_is_written_at_once(pipe: Pipe) -> None:
    assert pipe.write(b"one\ntwo\n").called
    pipe.take()
    assert pipe.taken == b"one\ntwo\n"


def test_a_full_pipe_is_waited_for_and_nothing_is_lost(pipe: Pipe) -> None:
    writing = pipe.write(LINES)
    assert not writing.called
    while not writing.called:
        assert len(pipe.waiting) == 1
        pipe.take(PIPE_BUF)
    while len(pipe.taken) < len(LINES):
        pipe.take()
    assert pipe.taken == LINES
    assert pipe.waiting == []


def test_what_is_cancelled_leaves_whole_lines(pipe: Pipe) -> None:
    writing = pipe.write(LINES)
    writing.addErrback(lambda _: None)
    writing.cancel()
    assert pipe.waiting == []
    pipe.take()
    assert pipe.taken
    assert pipe.taken.endswith(b"\n")
    assert LINES.startswith(pipe.taken)


def test_a_line_longer_than_a_pipe_takes_is_written_too(pipe: Pipe) -> None:
    line = b"x" * (3 * PIPE_BUF) + b"\n"
    assert pipe.write(line + b"next\n").called
    pipe.take()
    assert pipe.taken == line + b"next\n"


def test_nobody_reading_any_more_is_a_broken_pipe() -> None:
    pipe = Pipe()
    os.close(pipe.reading)
    failures: list[Failure] = []
    pipe.write(b"x\n").addErrback(failures.append)
    os.close(pipe.writing)
    assert failures[0].check(BrokenPipeError)


def test_nobody_reading_any_more_ends_a_wait(pipe: Pipe) -> None:
    writing = pipe.write(LINES)
    failures: list[Failure] = []
    writing.addErrback(failures.append)
    (waiting,) = pipe.waiting
    os.dup2(os.open(os.devnull, os.O_RDONLY), pipe.reading)
    waiting.connectionLost(Failure(OSError()))
    assert failures[0].check(BrokenPipeError)


def test_it_is_what_a_reactor_takes(pipe: Pipe) -> None:
    assert verifyObject(IReadWriteDescriptor, pipe.output)


def test_that_nobody_reads_any_more_is_told_once_though_nothing_is_written(pipe: Pipe) -> None:
    told: list[str] = []
    pipe.output.watch(lambda: told.append("gone"))
    assert pipe.reactor.getReaders() == [pipe.output]
    pipe.output.doRead()
    assert told == []
    os.dup2(os.open(os.devnull, os.O_RDONLY), pipe.reading)
    pipe.output.doRead()
    pipe.output.connectionLost(Failure(OSError()))
    assert told == ["gone"]
    assert pipe.reactor.getReaders() == []


def test_what_is_closed_watches_no_longer(pipe: Pipe) -> None:
    pipe.output.watch(lambda: None)
    pipe.output.close()
    assert pipe.reactor.getReaders() == []


def test_of_a_file_nobody_knows_who_reads_it(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    reactor = MemoryReactorClock()
    Descriptor(reactor, fd).watch(lambda: None)
    os.close(fd)
    assert reactor.getReaders() == []


def done(writing: Any) -> None:
    """Write to something that never waits."""
    assert Deferred.fromCoroutine(writing).called


def test_a_file_on_standard_output_is_written_at_once(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    done(Descriptor(MemoryReactorClock(), fd).write(LINES))
    os.close(fd)
    assert (tmp_path / "out").read_bytes() == LINES


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before\n")
    file = open_sink(str(tmp_path / "out"), MemoryReactorClock())
    done(file.write(b"after\n"))
    file.close()
    assert (tmp_path / "out").read_bytes() == b"before\nafter\n"


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    out, moved = tmp_path / "out", tmp_path / "out.1"
    file = open_sink(str(out), MemoryReactorClock())
    done(file.write(b"one\n"))
    out.rename(moved)
    done(file.write(b"two\n"))
    file.reopen()
    done(file.write(b"three\n"))
    file.close()
    assert (moved.read_bytes(), out.read_bytes()) == (b"one\ntwo\n", b"three\n")


def test_where_no_new_file_can_be_made_the_old_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = open_sink(str(folder / "out"), MemoryReactorClock())
    folder.rename(tmp_path / "elsewhere")
    file.reopen()
    done(file.write(b"kept\n"))
    file.close()
    assert (tmp_path / "elsewhere" / "out").read_bytes() == b"kept\n"


def test_what_does_not_fit_on_the_disk_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_sink(str(tmp_path / "out"), MemoryReactorClock())
    done(file.write(b"one\n"))
    write = os.write

    def full(fd: int, data: Any) -> int:
        if len(data) <= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:5])

    monkeypatch.setattr(os, "write", full)
    failures: list[Failure] = []
    Deferred.fromCoroutine(file.write(b"two\nthree\n")).addErrback(failures.append)
    file.close()
    assert failures[0].check(OSError)
    assert (tmp_path / "out").read_bytes() == b"one\n"


def test_a_pipe_that_is_named_is_written_to_as_one_that_is_given(pipe: Pipe) -> None:
    named = open_sink(f"/dev/fd/{pipe.writing}", pipe.reactor)
    writing = Deferred.fromCoroutine(named.write(LINES))
    assert not writing.called
    while not writing.called:
        pipe.take(PIPE_BUF)
    while len(pipe.taken) < len(LINES):
        pipe.take()
    assert pipe.taken == LINES


def test_a_line_of_progress_is_kept_away_while_something_is_written(tmp_path: Path) -> None:
    happened: list[str] = []

    class Sink:
        async def write(self, data: bytes) -> None:
            happened.append(data.decode())

        def watch(self, gone: Callable[[], object]) -> None:
            happened.append("watch")

        def reopen(self) -> None:
            happened.append("reopen")

        def close(self) -> None:
            happened.append("close")

    @contextmanager
    def aside() -> Iterator[None]:
        happened.append("erase")
        yield
        happened.append("draw again")

    erasing = Erasing(Sink(), aside)
    done(erasing.write(b"x"))
    erasing.watch(lambda: None)
    erasing.reopen()
    erasing.close()
    assert happened == ["erase", "x", "draw again", "watch", "reopen", "close"]
