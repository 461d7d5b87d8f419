"""How errors say things: private to this package."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

NAMED = 10
"""How many of many things an error names."""


def enumerated(things: Collection[object]) -> str:
    """Things by name, or the first of them and how many more there are."""
    named = ", ".join(map(str, islice(things, NAMED)))
    more = len(things) - NAMED
    return f"{named} and {more} more" if more > 0 else named
