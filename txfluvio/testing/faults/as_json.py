"""Faults as plain JSON, for those who plant them from another process or another language.

::

    {"match": {"api": "Produce", "topic": "orders", "nth": 2},
     "action": {"do": "AnswerError", "error": {"code": "NOT_LEADER_FOR_PARTITION"}},
     "times": 1}

The names are those of :mod:`txfluvio.testing.faults`, and what is left out has its default there;
``"times": null`` is for ever. An error code is a name or a number, with the fields that it carries
beside it; bytes are base64. A predicate on the request has no such form. Whether the fault makes
sense is found out when it is planted.
"""

from __future__ import annotations

import base64
import binascii
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..._checks import is_number
from ...errors import UsageError
from ...wire.codes import Code, ErrorCode, details
from .actions import ACTIONS, Action
from .fault import Fault
from .matching import Match

Json = Any
"""Whatever the ``json`` module makes and takes."""

_ACTIONS = {action.__name__: action for action in ACTIONS}
_PARTS = ("action", "match", "times")
_NO_FORM = "where"
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text"}
_ERROR = 'an object such as {"code": "STORAGE_ERROR"}'


def to_json(fault: Fault) -> dict[str, Json]:
    """A fault as JSON, with everything in it that is not by default.

    :raises UsageError: it has a predicate.
    """
    if fault.match.where is not None:
        raise UsageError(f"a predicate has no form in JSON: {fault.match.where!r}")
    return {
        "match": _written_fields(fault.match),
        "action": {"do": type(fault.action).__name__, **_written_fields(fault.action)},
        "times": fault.times,
    }


def from_json(value: Json) -> Fault:
    """The fault that a JSON value stands for.

    :raises UsageError: it stands for none; the message says where and why.
    """
    parts = _object(value, "fault")
    for name in parts:
        if name not in _PARTS:
            raise _unknown("fault", name, _PARTS)
    match = _object(parts.get("match", {}), "fault.match")
    action = _action(_object(parts.get("action"), "fault.action"))
    times = _read(int | None, parts.get("times", 1), "fault.times")
    if _NO_FORM in match:
        raise UsageError(f"fault.match.{_NO_FORM}: a predicate has no form in JSON")
    return Fault(_made(Match, match, "fault.match"), action, times)


def _action(value: Mapping[str, Json]) -> Action:
    fields = dict(value)
    name = fields.pop("do", None)
    kind = _ACTIONS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise _wrong("fault.action.do", f"one of {', '.join(_ACTIONS)}", name)
    made: Action = _made(kind, fields, "fault.action")
    return made


# Writing


def _written_fields(value: Any) -> dict[str, Json]:
    return {
        field.name: _written(found)
        for field in attrs.fields(type(value))
        if (found := getattr(value, field.name)) != field.default
    }


def _written(value: Any) -> Json:
    if isinstance(value, ErrorCode):
        known = value.code in Code.__members__.values()
        code = Code(value.code).name if known else value.code
        return {"code": code, **({} if value.detail is None else _written(value.detail))}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if attrs.has(type(value)):
        return {
            field.name: _written(getattr(value, field.name)) for field in attrs.fields(type(value))
        }
    return value


# Reading


def _made(kind: type[Any], fields: Mapping[str, Json], where: str) -> Any:
    """An attrs class by the values of its fields."""
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in attrs.fields(kind)}
    for name in fields:
        if name not in known:
            raise _unknown(where, name, [one for one in known if one != _NO_FORM])
    for name, field in known.items():
        if field.default is attrs.NOTHING and name not in fields:
            raise UsageError(f"{where}.{name} is missing")
    return kind(
        **{name: _read(hints[name], one, f"{where}.{name}") for name, one in fields.items()}
    )


def _read(kind: Any, value: Json, where: str) -> Any:
    """A value of a type."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return _one_of(typing.get_args(kind), value, where)
    if typing.get_origin(kind) is typing.Literal:
        if value in typing.get_args(kind):
            return value
        raise _wrong(where, _word(kind), value)
    if kind is ErrorCode:
        return _error_code(value, where)
    if kind is bytes:
        return _bytes(value, where)
    if issubclass(kind, enum.Enum):
        if isinstance(value, str) and value in kind.__members__:
            return kind[value]
        raise _wrong(where, " or ".join(kind.__members__), value)
    if attrs.has(kind):
        return _made(kind, _object(value, where), where)
    return _plain(kind, value, where)


def _one_of(kinds: tuple[Any, ...], value: Json, where: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    wrong: UsageError | None = None
    offered = [kind for kind in kinds if kind is not types.NoneType]
    for kind in offered:
        try:
            return _read(kind, value, where)
        except UsageError as error:
            wrong = wrong or error
    words = [_word(kind) for kind in offered]
    if all(words):
        raise _wrong(where, " or ".join(words), value)
    raise wrong or _wrong(where, "null", value)


def _word(kind: Any) -> str:
    """What a plain value of a type is, for humans; empty for what has more to it."""
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return _WORDS.get(kind, "")


def _plain(kind: type[Any], value: Json, where: str) -> Any:
    if kind is int and type(value) is int:
        return value
    if kind is float and is_number(value):
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    raise _wrong(where, _word(kind), value)


def _bytes(value: Json, where: str) -> bytes:
    try:
        return base64.b64decode(_plain(str, value, where), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(where, "base64", value) from error


def _error_code(value: Json, where: str) -> ErrorCode:
    fields = dict(_object(value, where, _ERROR))
    code = fields.pop("code", None)
    if isinstance(code, str) and code in Code.__members__:
        code = Code[code].value
    if type(code) is not int or not -(2**15) <= code < 2**15:
        raise _wrong(f"{where}.code", "the name of an error code, or a number of 16 bits", code)
    detail = details().get(code)
    if detail is not None:
        return ErrorCode(code, _made(detail, fields, where))
    if fields:
        raise UsageError(f"{where}: error {code} carries nothing more than its number")
    return ErrorCode(code)


def _object(value: Json, where: str, expected: str = "an object") -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise _wrong(where, expected, value)
    return value


def _unknown(where: str, name: str, known: Sequence[str]) -> UsageError:
    return UsageError(f"{where} has no field {name!r}; there are: {', '.join(known) or 'none'}")


def _wrong(where: str, expected: str, value: Json) -> UsageError:
    return UsageError(f"{where} has to be {expected}, not {value!r}")
