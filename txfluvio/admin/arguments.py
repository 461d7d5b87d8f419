"""What the arguments of admin calls may be; pure.

Each function takes the name of an argument and what was given for it, and returns it as the rest of
the floor takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

from .._checks import is_number
from ..errors import InvalidConfig
from ..wire import sc
from ..wire.semver import is_semver

T = TypeVar("T")


def whole(name: str, value: object, lowest: int, highest: int = 2**32 - 1) -> int:
    """A whole number within bounds, of a setting of this name.

    :raises InvalidConfig: it is not.
    """
    if type(value) is not int or not lowest <= value <= highest:
        raise InvalidConfig(name, value, f"a whole number from {lowest} to {highest}")
    return value


def text(name: str, value: object) -> str:
    """A text, such as the name of an object.

    :raises InvalidConfig: it is not.
    """
    if not isinstance(value, str):
        raise InvalidConfig(name, value, "a text")
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """A text, or several.

    :raises InvalidConfig: it is neither.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable):
        raise InvalidConfig(name, value, "a text, or several")
    return tuple(text(name, one) for one in value)


def version(name: str, value: object) -> str:
    """A semantic version. An SC would hang up on a package with anything else.

    :raises InvalidConfig: it is none.
    """
    if not is_semver(text(name, value)):
        raise InvalidConfig(name, value, "a semantic version, such as 0.1.0")
    return cast(str, value)


def mapping(name: str, value: object) -> dict[str, str]:
    """Texts by name.

    :raises InvalidConfig: it is no mapping of texts.
    """
    if not isinstance(value, Mapping):
        raise InvalidConfig(name, value, "a mapping of texts")
    return {text(name, key): text(name, one) for key, one in value.items()}


def instance(name: str, value: object, kind: type[T]) -> T:
    """A value of this class of ours.

    :raises InvalidConfig: it is none.
    """
    if not isinstance(value, kind):
        raise InvalidConfig(name, value, f"a {kind.__name__}, or None")
    return value


def seconds(name: str, value: object, otherwise: float) -> float:
    """A time; ``otherwise`` where it is None.

    :raises InvalidConfig: it is no number.
    """
    if value is None:
        return otherwise
    if not is_number(value):
        raise InvalidConfig(name, value, "seconds, a number, or None")
    return cast(float, value)


def codec(value: str) -> sc.TopicCompression:
    """The policy of this name.

    :raises InvalidConfig: there is none.
    """
    found = sc.TopicCompression.__members__.get(value.upper()) if isinstance(value, str) else None
    if found is None:
        names = ", ".join(name.lower() for name in sc.TopicCompression.__members__)
        raise InvalidConfig("compression", value, f"one of {names}")
    return found


def port(name: str, value: object) -> int:
    """A TCP port, of a setting of this name.

    :raises InvalidConfig: it is not.
    """
    return whole(name, value, 1, 2**16 - 1)
