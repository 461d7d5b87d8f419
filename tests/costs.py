"""What something costs, in numbers that are the same on every machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType

from twisted.internet import base, task

_CLOCKS = (base.__file__, task.__file__)


def calls_of(work: Callable[[], object], package: ModuleType | None = None) -> int:
    """How many calls of Python functions it takes, each step of a generator counted as one.

    Not those of a ``Clock``, which sorts all its calls for each that is added. The garbage
    collector is off meanwhile: it would call what others have left.

    :param package: whose functions count; None: everybody's.
    """
    place = "" if package is None else str(Path(str(package.__file__)).parent)
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        file = frame.f_code.co_filename
        count += event == "call" and file not in _CLOCKS and file.startswith(place)

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count
