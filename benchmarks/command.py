"""How a program of this package shows how far it is, and ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from time import perf_counter
from typing import NoReturn


class Progress:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = perf_counter()

    def __call__(self, what: str) -> None:
        self._done += 1
        if sys.stderr.isatty():
            filled = 30 * self._done // self._total
            bar = "#" * filled + "." * (30 - filled)
            seconds = perf_counter() - self._began
            line = f"[{bar}] {self._done}/{self._total} {seconds:.0f} s  {what}"
            sys.stderr.write(f"\r\x1b[K{line[:150]}")

    def end(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Do what a command does, and end as it says; if it is interrupted, in one line."""
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def end_silently() -> None:
    """Be a part of another program, which says so when both are interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
