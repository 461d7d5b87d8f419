"""How much memory this process has, for those who see to it that it does not grow."""

from __future__ import annotations

import os
from pathlib import Path


def resident() -> int:
    """Bytes of this process in memory now.

    :raises OSError: the system does not say.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
