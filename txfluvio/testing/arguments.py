"""Numbers on command lines, as ``argparse`` takes the types of its arguments."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int) -> Callable[[str], int]:
    """Takes whole numbers from the least one on."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise ArgumentTypeError(f"{text!r} is no whole number, {least} or more")
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
