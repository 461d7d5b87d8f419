"""Options that take whole numbers: what is none is said in one line, however long it is."""

from __future__ import annotations

from twisted.python.usage import UsageError

from .._numbers import LARGEST, whole_number


def whole_option(name: str, text: str, low: int = 0, high: int = LARGEST) -> int:
    """The number that an option was given.

    :raises UsageError: it is none, or not from ``low`` to ``high``.
    """
    number = whole_number(text, low, high)
    if number is None:
        range_ = f"{low} or more" if high == LARGEST else f"{low} to {high}"
        raise UsageError(f"--{name} takes a whole number, {range_}, not {text!r}")
    return number
