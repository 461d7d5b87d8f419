"""What the compiled build needs by name, and nothing where the code is interpreted.

Never compiled itself. ``i64`` is a machine integer to the compiler and ``int`` to Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_extensions import i64, mypyc_attr
else:
    i64 = int

    def mypyc_attr(**settings: Any) -> Any:
        """Settings for the compiler: the class as it is."""
        return lambda cls: cls


__all__ = ["i64", "mypyc_attr"]
