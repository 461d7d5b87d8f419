"""Numbers on command lines, as ``argparse`` takes the types of its arguments."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable

from .._numbers import whole_number

_SHOWN = 40
"""The first characters of what is no number, which may be any text."""


def whole(least: int) -> Callable[[str], int]:
    """Takes whole numbers from the least one on."""

    def read(text: str) -> int:
        number = whole_number(text, least)
        if number is None:
            shown = repr(text[:_SHOWN])
            raise ArgumentTypeError(f"{shown} is no whole number, {least} or more")
        return number

    return read


def minutes(text: str) -> float:
    """Takes a time that goes by, and ends."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of minutes above 0")
    return number
