"""Whole numbers written as text: private to this package."""

from __future__ import annotations

LARGEST = 2**63 - 1
_DIGITS = len(str(LARGEST))


def whole_number(text: str, low: int = 0, high: int = LARGEST) -> int | None:
    """The number that a text is; None: it is none, or not from ``low`` to ``high``."""
    # Python itself refuses to read thousands of digits, with an error of its own.
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        return None
    number = int(text)
    return number if low <= number <= high else None
