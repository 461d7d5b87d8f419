"""A fake cluster in a directory, so that the next broker has what this one had.

Everything is written as it comes and before it is acknowledged: a process may be killed at any
time, and what it has acknowledged is there. (Nothing is forced to the disk, so a machine that loses
its power may lose some of it.)

::

    cluster.json                                 the format of it all
    sc/Topic.bin, sc/Partition.bin, ...          the objects of each kind, as the SC lists them
    spu-5001/orders-0/00000000000000000000.log   a segment: its batches, as the bytes they are
    spu-5001/orders-0/replication.chk            the high watermark
    claim                                        locked by the broker that is running

Segments are named after their first offset, as on a real SPU, and were last written when their
files were. What belongs into the files is known elsewhere; they are told of every change.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # where there is no such thing, nobody is kept out
    fcntl = None  # type: ignore[assignment]

from ..errors import ProtocolError, UsageError
from ..wire.records import RecordSet
from ..wire.sc import KINDS, PARTITION, SPU, ListResponse, Metadata
from .sc.lifecycle import PartitionItem, partition_key
from .sc.metadata import Contents
from .sc.store import Item, Store
from .spu.log import PartitionLog, Segment, Stored
from .spu.replica import Key, replica_log

INDEX = "cluster.json"
FORMAT = 1

CHECKPOINT = "replication.chk"
CLAIM = "claim"

_VERSION = 19
"""The version at which objects are written."""

_LOG = ".log"
_HW = struct.Struct(">q")
_NANOSECONDS = 1_000_000_000


class Directory:
    """Where a cluster is kept.

    :param path: the directory; it is made when something is written.
    :param own: the ids of SPUs that are no objects to keep: the next broker brings its own.
    """

    def __init__(self, path: str | os.PathLike[str], own: Container[int] = ()) -> None:
        self._root = Path(path)
        self._own = own
        self._claim: int | None = None
        self._kept: dict[str, tuple[Store[Any, Any], int]] = {}

    def claim(self) -> None:
        """Keep others out until :meth:`release`, or until this process ends, however it does.

        :raises UsageError: another broker has it, in this process or in another.
        """
        if fcntl is None:
            return
        self._root.mkdir(parents=True, exist_ok=True)
        claim = os.open(self._root / CLAIM, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(claim)
            raise UsageError(f"another broker keeps its cluster in {self._root}") from error
        self._claim = claim

    def release(self) -> None:
        """Let others in; nothing happens if it was not claimed."""
        claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)

    def contents(self) -> Contents | None:
        """All objects of the SC, or ``None`` where no cluster was ever kept.

        :raises UsageError: what is there is damaged or of another format.
        """
        index = self._root / INDEX
        if not index.exists():
            return None
        try:
            known = json.loads(index.read_bytes())["format"]
            if known != FORMAT:
                raise ValueError(f"its format is {known}, not {FORMAT}")
            return {
                path.stem: _read_objects(path) for path in sorted((self._root / "sc").glob("*.bin"))
            }
        except (ProtocolError, ValueError, LookupError, TypeError, OSError) as error:
            raise self._unreadable(error) from error

    def logs(self, spu_id: int, contents: Contents) -> dict[Key, PartitionLog]:
        """What an SPU has on its disk of the partitions there are.

        A batch that was not written to its end when the process was killed is left out: nobody
        was told that it is stored.

        :raises UsageError: what is there is damaged.
        """
        logs = {}
        for item in contents.get(PARTITION.label, ()):
            folder = self._spu(spu_id) / item.name
            if folder.is_dir():
                try:
                    logs[partition_key(item.name)] = _read_log(folder, item)
                except (ProtocolError, ValueError, OSError, struct.error) as error:
                    raise self._unreadable(error) from error
        return logs

    def keep(self, stores: Iterable[Store[Any, Any]]) -> None:
        """Write the objects of the stores that have changed since they were written last."""
        for store in stores:
            state = (store, store.epoch)
            if self._kept.get(store.label) != state:
                self._write_objects(store.label, store)
                self._kept[store.label] = state
        if not (self._root / INDEX).exists():
            write_whole(self._root / INDEX, json.dumps({"format": FORMAT}).encode() + b"\n")

    def _write_objects(self, label: str, items: Iterable[Item[Any, Any]]) -> None:
        objects = tuple(
            Metadata(name=item.name, spec=item.spec, status=item.status)
            for item in items
            if label != SPU.label or item.spec.id not in self._own
        )
        folder = self._root / "sc"
        folder.mkdir(parents=True, exist_ok=True)
        message = ListResponse(kind=KINDS[label], objects=objects)
        write_whole(folder / f"{label}.bin", message.encode(_VERSION))

    def disk(self, spu_id: int) -> Disk:
        """The part of one SPU."""
        return Disk(self._spu(spu_id))

    def _spu(self, spu_id: int) -> Path:
        return self._root / f"spu-{spu_id}"

    def _unreadable(self, error: Exception) -> UsageError:
        return UsageError(f"{self._root} can not be read as a cluster: {error}")


class Disk:
    """The logs of one SPU, each in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, key: Key, log: PartitionLog) -> None:
        """Have in files what a log has, from now on.

        Files of the same partition that are there already hold the beginning of the log.
        """
        files = LogFiles(self._of(key))
        files.replace(list(log.dump()))
        files.commit(log.hw)
        log.keeper = files

    def drop(self, key: Key) -> None:
        """Remove the files of a log."""
        shutil.rmtree(self._of(key), ignore_errors=True)

    def _of(self, key: Key) -> Path:
        topic, partition = key
        return self._folder / f"{topic}-{partition}"


class LogFiles:
    """The files of one log; they are opened for each write, so there may be any number of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoint = folder / CHECKPOINT

    def append(self, base: int, data: bytes, now: float) -> None:
        """Write a batch behind the others of a segment, the first of which makes its file."""
        fd = os.open(self._path(base), os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY, 0o666)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)
        _date(self._path(base), now)

    def commit(self, hw: int) -> None:
        """Write a high watermark."""
        fd = os.open(self._checkpoint, os.O_WRONLY | os.O_CREAT | _BINARY, 0o666)
        try:
            os.write(fd, _HW.pack(hw))
        finally:
            os.close(fd)

    def replace(self, segments: Sequence[Segment]) -> None:
        """Have these segments and no others.

        A file of the same name holds at least the beginning of its segment, or too much of it.
        What replaces something is written before that is removed.
        """
        for segment in segments:
            self._put(segment)
        wanted = [self._path(segment.base) for segment in segments]
        others = [path for path in self._folder.glob(f"*{_LOG}") if path not in wanted]
        # From the ends inwards, so that there is no gap whenever the process is killed.
        for path in sorted(path for path in others if path < wanted[0]):
            path.unlink()
        for path in sorted((path for path in others if path > wanted[0]), reverse=True):
            path.unlink()

    def _put(self, segment: Segment) -> None:
        path = self._path(segment.base)
        size = sum(map(len, segment.batches))
        there = path.stat().st_size if path.exists() else -1
        if there > size:
            os.truncate(path, size)
        elif there < size:
            write_whole(path, b"".join(segment.batches))
        if there != size:
            _date(path, segment.written)

    def _path(self, base: int) -> Path:
        return self._folder / f"{base:020}{_LOG}"


def _read_objects(path: Path) -> tuple[Item[Any, Any], ...]:
    message = ListResponse.decode(path.read_bytes(), _VERSION)
    return tuple(Item(one.name, one.spec, one.status) for one in message.objects)


def _read_log(folder: Path, item: PartitionItem) -> PartitionLog:
    log = replica_log(item.spec)
    for path in sorted(folder.glob(f"*{_LOG}")):
        base = int(path.stem)
        if base < log.leo:
            # The file of what an eviction has left, beside the one that should have gone then.
            log = replica_log(item.spec)
        if log.size and base != log.leo:
            raise ValueError(f"{path} does not begin at {log.leo}, where the segment before ends")
        log.begin(base)
        data = path.read_bytes()
        written = path.stat().st_mtime_ns / _NANOSECONDS
        for batch in RecordSet(data).batches():
            stored = Stored(batch.base_offset, batch.next_offset, data[batch.start : batch.end])
            log.store(stored, written)
    checkpoint = folder / CHECKPOINT
    known = _HW.unpack(checkpoint.read_bytes())[0] if checkpoint.exists() else 0
    # Who has no followers commits what it writes, and may have been killed in between.
    log.hw = log.leo if len(item.spec.replicas) < 2 else min(max(known, log.log_start), log.leo)
    log.reopen()
    return log


_BINARY: int = getattr(os, "O_BINARY", 0)


def _date(path: Path, written: float) -> None:
    nanoseconds = round(written * _NANOSECONDS)
    os.utime(path, ns=(nanoseconds, nanoseconds))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all, so that whoever waits for it finds all of it."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
