"""Names of hosts, as resolvers, SNI and certificates have them: in ASCII.

One function for all three: two ways to write a name in ASCII can name two hosts, of which one would
be dialled and the other verified.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST_NAME: Final = 253
"""Bytes of a name, without the dot that may end it."""

_LABEL: Final = re.compile(r"[!-~]{1,63}")


def ascii_name(name: str) -> str:
    """The name of a host, or an address, in ASCII.

    What is ASCII stays as it is: resolvers know more names than the rules for international ones
    allow, such as those of containers, with an underscore.

    :raises ValueError: no host can have this name; says why.
    """
    if not name.isascii():
        import idna

        name = idna.encode(name, uts46=True).decode("ascii")
    whole = name.removesuffix(".")
    if len(whole) > LONGEST_NAME:
        raise ValueError(f"a name has {LONGEST_NAME} characters at most")
    if not all(_LABEL.fullmatch(label) for label in whole.split(".")):
        raise ValueError("between two dots there are 1 to 63 characters, and no blanks")
    return name
