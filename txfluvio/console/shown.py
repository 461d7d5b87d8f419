"""How records look to the page: bytes in base64, whatever they are, and never too many of them.

The page makes text, JSON or hex of them; nothing here interprets a value. Pure.
"""

from __future__ import annotations

import base64
from typing import Any, TypeAlias

from ..wire.records import Record

Json: TypeAlias = dict[str, Any]

LONGEST = 4096
"""Bytes of a key or a value that are shown in a list."""

LONGEST_WHOLE = 1024 * 1024
"""Bytes of a value that are shown where all of it was asked for."""


def shown(record: Record, longest: int = LONGEST) -> Json:
    """A record with its place; of long keys and values the beginning, and their size."""
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": None if record.key is None else shown_bytes(record.key, longest),
        "value": shown_bytes(record.value, longest),
    }


def shown_bytes(data: bytes, longest: int = LONGEST) -> Json:
    """Bytes in base64, the first if there are too many, and how many there are."""
    return {"data": base64.b64encode(data[:longest]).decode(), "size": len(data)}
