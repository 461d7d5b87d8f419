"""Transformation files: chains of SmartModules in YAML, as the ``fluvio`` command takes them.

::

    transforms:
      - uses: infinyon/jolt@0.4.1
        lookback: {last: 10, age: 1h 30m}
        with:
          spec:
            - operation: shift

A parameter is a text; a list or a mapping becomes its JSON. Reading YAML needs ``pyyaml``, which
comes with ``txfluvio[yaml]``. What the words mean is YAML 1.2's affair: ``yes`` and ``12:30`` are
texts.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import reprlib
from collections.abc import Iterator
from typing import Any

import attrs

from ._checks import LONGEST_TEXT, is_number
from .errors import InvalidConfig, InvalidTransforms, MissingPackage
from .smartmodule import Lookback, SmartModuleInvocation

_SECONDS = {
    **dict.fromkeys(("nanos", "nsec", "ns"), 1e-9),
    **dict.fromkeys(("usec", "us"), 1e-6),
    **dict.fromkeys(("millis", "msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "secs", "s"), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "mins", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "hrs", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86_400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604_800.0),
    **dict.fromkeys(("months", "month", "M"), 2_630_016.0),
    **dict.fromkeys(("years", "year", "y"), 31_557_600.0),
}
_LONGEST_NUMBER = len(str(2**64))
_SPAN = re.compile(r"\s*([0-9]+)\s*([A-Za-z]+)")

_DEEPEST = 64

_SIGN, _DIGITS = "-+", "0123456789"
_CORE: tuple[tuple[str, str, list[str]], ...] = (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    (
        "int",
        r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]{1,32}|0o[0-7]{1,43}|0b[01]{1,128})",
        [*_SIGN, *_DIGITS],
    ),
    (
        "float",
        r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
        r"|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
        [*_SIGN, ".", *_DIGITS],
    ),
)
"""The scalars that are not texts in YAML 1.2 as the command reads it, and how each begins."""

_LEAST_EXPONENT = -5
"""Of a power of ten that JSON has written out."""


def load_transforms(path: str | os.PathLike[str]) -> list[SmartModuleInvocation]:
    """The chain that a transformation file describes. Reads the file.

    :raises InvalidTransforms: the file can not be read, or what it says is no chain: names the
        place in it.
    :raises MissingPackage: ``pyyaml`` is not installed.
    """
    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        reason = f"can not be read ({error.strerror})"
        raise InvalidTransforms(name, "", reason) from error
    except UnicodeDecodeError as error:
        raise InvalidTransforms(name, "", f"is not UTF-8 text ({error.reason})") from error
    except ValueError as error:
        raise InvalidTransforms(name, "", f"is no name of a file ({error})") from error
    return parse_transforms(text, source=name)


def parse_transforms(text: str, *, source: str = "transforms") -> list[SmartModuleInvocation]:
    """The chain that a text describes: the content of a transformation file.

    :param source: where the text comes from, for errors.
    :raises InvalidTransforms: what it says is no chain: names the place in it.
    :raises MissingPackage: ``pyyaml`` is not installed.
    """
    whole = _Place(source)
    steps = whole.mapping(_read(text, whole)).get("transforms")
    place = whole.at("transforms")
    if not isinstance(steps, list):
        raise place.wrong("a list of steps", steps)
    return [_step(step, place.at(index)) for index, step in enumerate(steps)]


@attrs.frozen
class _Place:
    """A place in a file, for complaints."""

    path: str
    key: str = ""

    def at(self, key: object) -> _Place:
        return _Place(self.path, f"{self.key}.{key}".lstrip("."))

    def wrong(self, expected: str, found: object) -> InvalidTransforms:
        try:
            shown = reprlib.repr(found)
        except ValueError:
            shown = "a number too long to be written"
        return InvalidTransforms(self.path, self.key, f"{shown}: expected {expected}")

    def mapping(self, found: Any) -> dict[str, Any]:
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise self.wrong("a mapping with texts for keys", found)
        return found


def _step(found: Any, place: _Place) -> SmartModuleInvocation:
    step = place.mapping(found)
    uses = step.get("uses")
    if not isinstance(uses, str):
        raise place.at("uses").wrong("the name of a SmartModule", uses)
    there = place.at("with")
    given = there.mapping(step.get("with", {}))
    params = {name: _parameter(value, there.at(name)) for name, value in given.items()}
    lookback = _lookback(step.get("lookback"), place.at("lookback"))
    try:
        return SmartModuleInvocation(uses, params=params, lookback=lookback)
    except InvalidConfig as error:
        raise InvalidTransforms(place.path, place.key, str(error)) from error


def _parameter(found: Any, place: _Place) -> str:
    if isinstance(found, str):
        return found
    if isinstance(found, list | dict):
        return _json(found, place)
    raise place.wrong("a text (in quotes), a list or a mapping", found)


def _json(found: Any, place: _Place) -> str:
    """A list or a mapping in the form that the command sends, aliases written out."""
    pieces = []
    room = LONGEST_TEXT
    for piece in _pieces(found, place):
        room -= len(piece)
        if room < 0:
            raise place.wrong(f"JSON of at most {LONGEST_TEXT} bytes", "more")
        pieces.append(piece)
    return "".join(pieces)


def _pieces(found: Any, place: _Place, depth: int = 0) -> Iterator[str]:
    if isinstance(found, list | dict) and depth > _DEEPEST:
        raise place.wrong(f"lists and mappings in at most {_DEEPEST} levels", "more")
    if isinstance(found, dict):
        before = "{"
        for key, value in sorted(place.mapping(found).items()):
            yield f"{before}{_scalar(key)}:"
            yield from _pieces(value, place.at(key), depth + 1)
            before = ","
        yield "}" if found else "{}"
    elif isinstance(found, list):
        before = "["
        for index, value in enumerate(found):
            yield before
            yield from _pieces(value, place.at(index), depth + 1)
            before = ","
        yield "]" if found else "[]"
    elif isinstance(found, float) and is_number(found):
        yield _float(found)
    elif found is None or isinstance(found, str | bool) or is_number(found):
        yield _scalar(found)
    else:
        raise place.wrong("something that JSON has", found)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _float(value: float) -> str:
    """A number as the command writes it, which is not where Python begins to use exponents."""
    text, _, power = repr(value).partition("e")
    if not power:
        return text
    if int(power) < _LEAST_EXPONENT or int(power) > 0:
        return f"{text}e{int(power)}"
    digits = text.lstrip("-").replace(".", "")
    return f"{'-' * text.startswith('-')}0.0000{digits}"


def _lookback(found: Any, place: _Place) -> Lookback | None:
    if found is None:
        return None
    given = place.mapping(found)
    age = given.get("age")
    try:
        return Lookback(
            last=given.get("last", 0), age=None if age is None else _age(age, place.at("age"))
        )
    except InvalidConfig as error:
        raise InvalidTransforms(place.path, place.key, str(error)) from error


def _age(found: Any, place: _Place) -> float:
    text = found if isinstance(found, str) else ""
    spans = _SPAN.findall(text)
    if not spans or _SPAN.sub("", text).strip() or any(unit not in _SECONDS for _, unit in spans):
        raise place.wrong("a length of time, such as 1h 30m", found)
    if any(len(number) > _LONGEST_NUMBER for number, _ in spans):
        raise place.wrong("numbers of 64 bits", found)
    return math.fsum(int(number) * _SECONDS[unit] for number, unit in spans)


def _read(text: str, place: _Place) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingPackage("reading YAML", "pyyaml", "yaml") from error
    try:
        return yaml.load(text, _loader(yaml))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InvalidTransforms(place.path, "", f"{line}{error.problem}") from error
    except Exception as error:
        # A value that does not fit its tag can make the loader fail with anything.
        reason = " ".join(str(error).split())
        raise InvalidTransforms(place.path, "", reason or type(error).__name__) from error


@functools.cache
def _loader(yaml: Any) -> Any:
    """A loader that is safe, and takes for numbers and so on what YAML 1.2 does."""
    loader = type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
    for tag, pattern, first in _CORE:
        loader.add_implicit_resolver(  # type: ignore[attr-defined]
            f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), first
        )

    def number(self: Any, node: Any) -> Any:
        """A float; JSON has nothing for what is none, and what does not fit one is a text."""
        value = yaml.SafeLoader.construct_yaml_float(self, node)
        if math.isfinite(value):
            return value
        return node.value if any(map(str.isdigit, node.value)) else None

    loader.add_constructor("tag:yaml.org,2002:float", number)  # type: ignore[attr-defined]
    return loader
