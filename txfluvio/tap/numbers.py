"""Whole numbers as they are typed: what is none is said in one line, however long it is."""

from __future__ import annotations

from twisted.python.usage import UsageError

LARGEST = 2**63 - 1
_DIGITS = len(str(LARGEST))


def whole_number(text: str, low: int = 0, high: int = LARGEST) -> int | None:
    """The number that a text is; None: it is none, or not from ``low`` to ``high``."""
    # Python itself refuses to read thousands of digits, with an error of its own.
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        return None
    number = int(text)
    return number if low <= number <= high else None


def whole_option(name: str, text: str, low: int = 0, high: int = LARGEST) -> int:
    """The number that an option was given.

    :raises UsageError: it is none, or not from ``low`` to ``high``.
    """
    number = whole_number(text, low, high)
    if number is None:
        range_ = f"{low} or more" if high == LARGEST else f"{low} to {high}"
        raise UsageError(f"--{name} takes a whole number, {range_}, not {text!r}")
    return number
