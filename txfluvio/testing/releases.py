"""What the servers of a release say of themselves: their platform and the versions of each call.

A fake can play any of the releases here, or one of your own: the tables are values. They steer
what is *said* only. As the real servers do, the fake decodes every request by the version in its
header, whatever it has said (``fluvio-sc/src/services/public_api/api_version.rs``,
``fluvio-spu/src/services/public/api_versions.rs``).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..wire.versions import ApiVersionRange

Ranges = tuple[ApiVersionRange, ...]


def _ranges(table: Mapping[int, tuple[int, int]]) -> Ranges:
    return tuple(
        ApiVersionRange(api_key=key, min_version=low, max_version=high)
        for key, (low, high) in table.items()
    )


@attrs.frozen(kw_only=True)
class Release:
    """One release of the platform.

    :ivar platform_version: what the SC says it is; an SPU says ``0.0.0`` always.
    :ivar sc: the calls the SC lists, in its order.
    :ivar spu: the calls an SPU lists, in its order. Not all that it answers are listed.
    """

    platform_version: str
    sc: Ranges
    spu: Ranges

    def without(self, *, sc: tuple[int, ...] = (), spu: tuple[int, ...] = ()) -> Release:
        """The same release, with some API keys left out of what its servers list."""
        return attrs.evolve(
            self,
            sc=tuple(one for one in self.sc if one.api_key not in sc),
            spu=tuple(one for one in self.spu if one.api_key not in spu),
        )


def _release(platform: str, *, sc: int, spu: int) -> Release:
    return Release(
        platform_version=platform,
        sc=_ranges(
            {
                1001: (9, sc),
                1002: (1, sc),
                1003: (15, sc),
                1004: (15, sc),
                1005: (14, sc),
                1006: (1, sc),
            }
        ),
        spu=_ranges({0: (0, spu), 1: (0, spu), 1002: (spu, spu), 1003: (0, spu), 1005: (0, 0)}),
    )


FLUVIO_0_11_11 = _release("0.11.11", sc=16, spu=23)
FLUVIO_0_17 = _release("0.17.0", sc=18, spu=23)
FLUVIO_0_18 = _release("0.18.2-dev-1", sc=19, spu=25)

RELEASES: Mapping[str, Release] = {
    "0.11.11": FLUVIO_0_11_11,
    "0.17": FLUVIO_0_17,
    "0.18": FLUVIO_0_18,
}
"""The releases by the names that options and fixtures take."""
