"""All that a fake cluster has stored, as a value, and as files of a directory.

A :class:`Snapshot` is the metadata and the logs, of each SPU its own. On disk the metadata are the
SC's own messages, one file for each kind of object, and a log is files of batches back to back, one
for each segment under its base offset: the bytes that a real SPU keeps. ``cluster.json`` says what
the bytes do not: high watermarks, and when segments were last written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from ..errors import ProtocolError, UsageError
from ..wire.records import RecordSet
from ..wire.sc import KINDS, ListResponse, Metadata
from .log import PartitionLog, Stored
from .metadata import Contents
from .replica import Key
from .store import Item

INDEX = "cluster.json"
FORMAT = 1
_VERSION = 19

Logs = Mapping[Key, PartitionLog]


@attrs.frozen
class Snapshot:
    """What a cluster had at some time; it stays as it is whatever becomes of the cluster.

    :ivar contents: all objects of the SC.
    :ivar logs: the logs of each SPU by its id.
    :ivar down: the SPUs that were not running.
    """

    contents: Contents = attrs.field(repr=False)
    logs: Mapping[int, Logs] = attrs.field(repr=False)
    down: tuple[int, ...] = ()


def save(snapshot: Snapshot, directory: str | os.PathLike[str]) -> None:
    """Write a snapshot to a directory, in place of the one that is there.

    :raises OSError: it can not be written.
    """
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    for label, items in snapshot.contents.items():
        objects = tuple(
            Metadata(name=item.name, spec=item.spec, status=item.status) for item in items
        )
        message = ListResponse(kind=KINDS[label], objects=objects)
        _write(root / f"{label}.bin", message.encode(_VERSION))
    spus: dict[str, list[dict[str, Any]]] = {}
    for spu_id, logs in snapshot.logs.items():
        spus[str(spu_id)] = [
            _save_log(log, root / f"spu-{spu_id}", key) for key, log in sorted(logs.items())
        ]
        _remove_others(root / f"spu-{spu_id}", logs)
    index = {"format": FORMAT, "kinds": sorted(snapshot.contents), "spus": spus}
    _write(root / INDEX, json.dumps(index, indent=2).encode())


def load(directory: str | os.PathLike[str]) -> Snapshot | None:
    """The snapshot in a directory, or ``None`` where there is none.

    :raises UsageError: what is there is damaged or of another format.
    """
    root = Path(directory)
    if not (root / INDEX).exists():
        return None
    try:
        return _load(root)
    except (ProtocolError, ValueError, LookupError, TypeError, OSError) as error:
        raise UsageError(f"{root} can not be read as a cluster: {error}") from error


def _load(root: Path) -> Snapshot:
    index = json.loads((root / INDEX).read_bytes())
    if index["format"] != FORMAT:
        raise ValueError(f"its format is {index['format']}, not {FORMAT}")
    contents: dict[str, tuple[Item[Any, Any], ...]] = {}
    for label in index["kinds"]:
        message = ListResponse.decode((root / f"{label}.bin").read_bytes(), _VERSION)
        contents[label] = tuple(Item(one.name, one.spec, one.status) for one in message.objects)
    logs = {
        int(spu_id): dict(_load_log(one, root / f"spu-{spu_id}") for one in found)
        for spu_id, found in index["spus"].items()
    }
    return Snapshot(contents, logs)


def _folder(spu: Path, key: Key) -> Path:
    topic, partition = key
    return spu / f"{topic}-{partition}"


def _save_log(log: PartitionLog, spu: Path, key: Key) -> dict[str, Any]:
    folder = _folder(spu, key)
    folder.mkdir(parents=True, exist_ok=True)
    segments = []
    names = []
    for segment in log.dump():
        name = f"{segment.base:020}.log"
        names.append(name)
        _write(folder / name, b"".join(segment.batches))
        segments.append({"base": segment.base, "written": segment.written})
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
    return {
        "topic": key[0],
        "partition": key[1],
        "segment_size": log.segment_size,
        "hw": log.hw,
        "segments": segments,
    }


def _load_log(saved: Mapping[str, Any], spu: Path) -> tuple[Key, PartitionLog]:
    key = (saved["topic"], saved["partition"])
    log = PartitionLog(saved["segment_size"])
    for one in saved["segments"]:
        log.begin(one["base"])
        data = (_folder(spu, key) / f"{one['base']:020}.log").read_bytes()
        for batch in RecordSet(data).batches():
            stored = Stored(batch.base_offset, batch.next_offset, data[batch.start : batch.end])
            log.store(stored, one["written"])
    log.hw = saved["hw"]
    return key, log


def _remove_others(spu: Path, logs: Logs) -> None:
    """Remove the folders of partitions that are gone."""
    names = [_folder(spu, key).name for key in logs]
    for folder in spu.iterdir() if spu.exists() else ():
        if folder.name not in names:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def _write(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(data)
    temporary.replace(path)
