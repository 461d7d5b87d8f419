"""Two messages field by field, but for what differs between any two runs of a real cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ...wire.records import RecordSet
from ...wire.sc import (
    Endpoint,
    IngressPort,
    Kind,
    ListResponse,
    Metadata,
    MirrorStatus,
    PartitionStatus,
    ReplicaStatus,
    WatchResponse,
)
from ...wire.spu import ConsumerOffset, FetchConsumerOffsetsResponse

VOLATILE: Mapping[str, tuple[tuple[type, str], ...]] = {
    "times": ((ConsumerOffset, "modified_time"), (MirrorStatus, "last_seen")),
    "epochs": ((WatchResponse, "epoch"),),
    "ports": ((IngressPort, "port"), (Endpoint, "port")),
    "how much SPUs have reported by now": (
        (ReplicaStatus, "hw"),
        (ReplicaStatus, "leo"),
        (PartitionStatus, "size"),
        (PartitionStatus, "lsr"),
    ),
}
"""What is not compared. The last group depends on when SPUs report; instead of what the fake told
its own logs are asked: they have to have been so long, and so large at that length."""

UNORDERED: tuple[tuple[type, str], ...] = (
    (ListResponse, "objects"),
    (WatchResponse, "all"),
    (FetchConsumerOffsetsResponse, "consumers"),
)
"""Lists whose order is arbitrary."""

_PASSED_OVER = frozenset(one for group in VOLATILE.values() for one in group)
_LONGEST = 300


@attrs.frozen
class Unlike:
    """A field that is not the same.

    :ivar field: its path.
    :ivar recorded: what was recorded.
    :ivar replayed: what the fake says.
    """

    field: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        return f"{self.field}: recorded {self.recorded}, replayed {self.replayed}"


def unlike(recorded: Any, replayed: Any, path: str = "") -> Iterator[Unlike]:
    """The fields in which two values of the protocol differ."""
    kind = type(recorded)
    if type(replayed) is not kind:
        yield _differing(path, recorded, replayed)
    elif isinstance(recorded, RecordSet):
        if recorded != replayed:
            yield _differing(path, _records(recorded), _records(replayed))
    elif isinstance(recorded, Kind):
        if recorded is not replayed:
            yield _differing(path, recorded, replayed)
    elif attrs.has(kind):
        for attribute in attrs.fields(kind):
            name = attribute.name
            if (kind, name) not in _PASSED_OVER:
                one, other = getattr(recorded, name), getattr(replayed, name)
                if (kind, name) in UNORDERED:
                    one, other = _ordered(one), _ordered(other)
                yield from unlike(one, other, f"{path}.{name}" if path else name)
    elif isinstance(recorded, tuple):
        if len(recorded) != len(replayed):
            yield _differing(path, recorded, replayed)
        else:
            for number, (one, other) in enumerate(zip(recorded, replayed, strict=True)):
                yield from unlike(one, other, f"{path}[{_label(one, number)}]")
    elif recorded != replayed:
        yield _differing(path, recorded, replayed)


def alike(recorded: Any, replayed: Any) -> bool:
    """Whether two values of the protocol differ in nothing that is compared."""
    return next(unlike(recorded, replayed), None) is None


def _ordered(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(items, key=_order))


def _order(item: Any) -> Any:
    if isinstance(item, Metadata):
        return item.name
    key = item.replica_id
    return (key.topic, key.partition, item.consumer_id)


def _label(item: Any, number: int) -> str:
    return item.name if isinstance(item, Metadata) else str(number)


def _records(records: RecordSet) -> str:
    batches = records.batches(check_crc=False)
    described = ", ".join(
        f"{one.base_offset}+{one.last_offset_delta} ({one.size} bytes)" for one in batches
    )
    rest = len(records) - sum(one.size for one in batches)
    return f"{len(records)} bytes: [{described}]" + (f" and {rest} bytes" if rest else "")


def _differing(path: str, recorded: Any, replayed: Any) -> Unlike:
    return Unlike(path, _short(recorded), _short(replayed))


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
