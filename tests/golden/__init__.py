"""Recorded traffic of the official clients with Fluvio 0.18: bytes that nobody here made up.

``recordings.tar.xz`` holds ``official_client_requests.jsonl``, what these clients send, and
``real/*.jsonl``, whole conversations with a cluster of two SPUs, one file a scenario. The format
of a line is told in :mod:`txfluvio.wire.recordings`.
"""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Iterator
from pathlib import Path

from txfluvio.testing.fuzz.corpus import Corpus
from txfluvio.wire.recordings import RecordedFrame, Recording

ARCHIVE = Path(__file__).parent / "recordings.tar.xz"


@functools.cache
def recordings() -> dict[str, list[str]]:
    """The lines of every recording, by the name of its file."""
    found = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read().decode().splitlines()
    return found


@functools.cache
def frames() -> tuple[RecordedFrame, ...]:
    """Every frame of every recording."""
    return tuple(_frames())


@functools.cache
def corpus() -> Corpus:
    """The same frames, to be damaged."""
    return Corpus(frames())


def _frames() -> Iterator[RecordedFrame]:
    for lines in recordings().values():
        recording = Recording()
        for line in lines:
            frame = recording.read(line)
            if frame is not None:
                yield frame
