"""The call that opens every connection, and how versions are chosen from its answer.

Both servers answer ApiVersions (key 18) with the calls they know and the versions of each. The
reference client sends it first on every connection, at version 2, with a semantic version of its
own: the SC hangs up on anything else (``fluvio-sc/src/services/public_api/api_version.rs``).
"""

from __future__ import annotations

import platform
import sys

from .codes import NO_ERROR, ErrorCode, error_code
from .schema import SPU_APIS, Api, Message, Request, api, field, i16, string, struct, vector

API_VERSIONS_VERSION = 2
"""The version at which ApiVersions is sent; 1 and 2 have the same layout."""


@struct
class ApiVersionRange:
    """One call that a server knows, and the versions it takes, both inclusive."""

    api_key: int = field(i16)
    min_version: int = field(i16)
    max_version: int = field(i16)


@struct
class ApiVersionsResponse(Message):
    """The calls a server knows, and the version of its platform.

    An SPU always says platform ``0.0.0``; the SC says its release.
    """

    error_code: ErrorCode = field(error_code, default=NO_ERROR)
    api_keys: tuple[ApiVersionRange, ...] = field(vector(ApiVersionRange))
    platform_version: str = field(string)


@api(18, versions=(0, API_VERSIONS_VERSION))
@struct
class ApiVersionsRequest(Request[ApiVersionsResponse]):
    """Ask for the versions; the client's own must be a semantic version."""

    client_version: str = field(string, since=1, default="")
    client_os: str = field(string, since=1, default="")
    client_arch: str = field(string, since=1, default="")

    @classmethod
    def of_this_machine(cls, client_version: str) -> ApiVersionsRequest:
        """The request as this machine sends it."""
        return cls(
            client_version=client_version,
            client_os=sys.platform,
            client_arch=platform.machine() or "unknown",
        )


FIRST_CONSUMER_OFFSET_VERSION = 23
"""The SPU version that brought stored consumer offsets."""

_STREAM_FETCH = 1003


def choose_version(call: Api, offered: dict[int, ApiVersionRange]) -> int | None:
    """The version at which to send ``call`` to a server that offered these, or ``None``.

    A listed call gets the highest version both sides know, ``None`` where there is none. No SPU
    lists its calls on consumer offsets: they follow the version of StreamFetch and exist from 23
    on. Any other call that is not listed is not there.
    """
    listed = offered.get(call.key)
    if listed is not None:
        version = min(call.max_version, listed.max_version)
        return version if version >= max(call.min_version, listed.min_version) else None
    if SPU_APIS.get(call.key) is call:
        stream_fetch = offered.get(_STREAM_FETCH)
        if stream_fetch is not None and stream_fetch.max_version >= FIRST_CONSUMER_OFFSET_VERSION:
            version = min(call.max_version, stream_fetch.max_version)
            return version if version >= call.min_version else None
    return None
