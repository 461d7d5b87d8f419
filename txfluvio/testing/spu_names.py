"""The ids and names that SPUs have where nobody gives them others."""

from __future__ import annotations

FIRST_SPU_ID = 5001


def spu_name(spu_id: int) -> str:
    """Under which name an SPU of this id is registered."""
    return f"custom-spu-{spu_id}"
