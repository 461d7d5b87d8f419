"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# How long an example takes says more of the machine, and of what else runs there, than of the code.
settings.register_profile("txfluvio", settings(deadline=None))
settings.load_profile("txfluvio")


def pytest_configure() -> None:
    # Where pytest was begun in the background of a shell, interrupts are ignored, and every command
    # that a test starts would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
