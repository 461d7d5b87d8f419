"""Checks of settings, as attrs validators, and of arguments, that say what was expected.

Vocabulary that is private to this package. Each complaint is an
:class:`~txfluvio.errors.InvalidConfig`, which names the setting; a value that must not be shown
(``repr=False``), or may be one in the wrong place (``Must.secret``), is not in it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import attrs

from .errors import InvalidConfig

LONGEST_TEXT = 32767
"""Bytes of the longest text that the protocol can carry."""

Check = Callable[[Any, Any, Any], None]


@attrs.frozen(repr=False)
class NotShown:
    """Stands in a complaint for a value that must not be shown; at most its type is."""

    kind: type | None = None

    def __repr__(self) -> str:
        return "(not shown)" if self.kind is None else f"(not shown, of type {self.kind.__name__})"


@attrs.frozen
class Must:
    """A validator: the value is what ``holds`` says, which is ``expected`` in words.

    With ``secret``, of a value that is something else only the type is shown.
    """

    expected: str
    holds: Callable[[Any], bool]
    secret: bool = attrs.field(default=False, kw_only=True)

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not self.holds(value):
            shown = self._shown(value) if attribute.repr else NotShown()
            setting = f"{type(instance).__name__}.{attribute.alias}"
            raise InvalidConfig(setting, shown, self.expected)

    def check(self, name: str, value: object) -> None:
        """The same for an argument of this name.

        :raises InvalidConfig: it is something else.
        """
        if not self.holds(value):
            raise InvalidConfig(name, self._shown(value), self.expected)

    def _shown(self, value: object) -> object:
        return NotShown(type(value)) if self.secret else value


def or_none(check: Check) -> Check:
    """A validator: None, or what ``check`` accepts."""
    return attrs.validators.optional(check)


def is_number(value: object) -> bool:
    """Whether it is a finite number, not too large to be counted with, and no truth value."""
    try:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
    except OverflowError:
        return False


def is_text(value: object, longest: int = LONGEST_TEXT) -> bool:
    """Whether it is text of at most so many bytes."""
    try:
        return isinstance(value, str) and len(value.encode()) <= longest
    except UnicodeEncodeError:
        return False


def whole(lowest: int, highest: int, unit: str) -> Must:
    """A validator: a whole number within limits."""
    return Must(
        f"{unit}, a whole number from {lowest} to {highest}",
        lambda value: type(value) is int and lowest <= value <= highest,
    )


def member(kind: type[enum.Enum]) -> Must:
    """A validator: a member of an enumeration."""
    names = ", ".join(one.name for one in kind)
    return Must(f"a member of {kind.__name__}: {names}", lambda value: isinstance(value, kind))


seconds = Must("seconds, a number above 0", lambda value: is_number(value) and value > 0)
seconds_or_0 = Must("seconds, a number, 0 or more", lambda value: is_number(value) and value >= 0)
flag = Must("True or False", lambda value: isinstance(value, bool))
