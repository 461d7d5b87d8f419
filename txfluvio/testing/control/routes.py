"""A small interface of HTTP and JSON: its calls are declared, and it describes itself.

A call is a method of an object, marked by :func:`route` with its HTTP method, its path and the
fields that it takes. Fields come in the path, in the query or as members of the JSON object that
is the request's body; each is checked before the method is called, and a complaint says what was
expected. ``GET /`` lists all calls.

What is served here is meant for programs on the same machine, and for no others: a request has to
be addressed to this machine by name, so that no page in a browser can reach it under another.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ..._callers import Callers
from ...errors import BrokerError, FluvioError, TopicNotFound
from ..given import NotThere

MAX_BODY = 64 * 1024 * 1024
"""Bytes of the largest body of a request that is looked at."""

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of the entries of the longest answer: a list that is longer is refused."""

MAX_NUMBER = 2**63 - 1
"""The largest whole number that a message of Fluvio can have, such as an offset."""

MAX_SECONDS = 1e9
"""The longest time that can be given: some thirty years, which any clock can count."""

F = TypeVar("F", bound=Callable[..., Any])

_REQUIRED: Any = object()
_ROUTE = "_txfluvio_route"

_log = Logger()


class Refused(Exception):
    """A request that is not served; the message says what was expected."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Listing:
    """An answer that may be long: a list under a name, of which one entry is made after another.

    :ivar entries: JSON values.
    """

    name: str
    entries: Iterable[Any]


@attrs.frozen
class Field:
    """Something that a call takes.

    :ivar expected: what it has to be, for humans.
    :ivar check: returns the value that is meant by a JSON value, or raises ValueError.
    :ivar parse: returns the JSON value that is meant by text in a path or a query, or raises
        ValueError.
    :ivar default: what it is when it is not given.
    """

    expected: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any] = json.loads
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is _REQUIRED

    def described(self) -> str:
        """For humans, who may know no Python."""
        if self.required:
            return self.expected
        if self.default is None:
            return f"{self.expected}, if it is given"
        named = isinstance(self.default, enum.Enum)
        default = self.default.name.lower() if named else json.dumps(self.default)
        return f"{self.expected}; if not given: {default}"


def of_type(kind: type | tuple[type, ...]) -> Callable[[Any], Any]:
    """A check that a JSON value is of a type; a truth value is no number."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(value)
        return value

    return check


def text(default: Any = _REQUIRED) -> Field:
    """Text that can be encoded, which half of a character can not."""

    def check(value: Any) -> str:
        found: str = of_type(str)(value)
        try:
            found.encode()
        except UnicodeEncodeError:
            raise ValueError(value) from None
        return found

    return Field("text", check, str, default)


def flag(default: Any = _REQUIRED) -> Field:
    """True or false."""
    return Field("true or false", of_type(bool), default=default)


def seconds(default: Any = _REQUIRED, *, least: float = 0) -> Field:
    """A number of seconds, perhaps with a fraction."""

    def check(value: Any) -> float:
        found: float = of_type((int, float))(value)
        if not least <= found <= MAX_SECONDS:
            raise ValueError(value)
        return found

    return Field(
        f"a number of seconds from {least:.0f} to {MAX_SECONDS:.0f}", check, default=default
    )


def number(default: Any = _REQUIRED, *, least: int = 0, most: int = MAX_NUMBER) -> Field:
    """A whole number."""

    def check(value: Any) -> int:
        found: int = of_type(int)(value)
        if not least <= found <= most:
            raise ValueError(value)
        return found

    return Field(f"a whole number from {least} to {most}", check, int, default)


@attrs.frozen
class Route:
    """A call.

    :ivar method: of HTTP.
    :ivar path: its parts; those in braces stand for fields.
    """

    method: str
    path: tuple[str, ...]
    fields: Mapping[str, Field]
    call: Callable[..., Any]

    def holes(self, path: tuple[str, ...]) -> dict[str, str] | None:
        """What stands for the fields in a path, ``None`` if it is another one."""
        if len(path) != len(self.path):
            return None
        found = {}
        for wanted, part in zip(self.path, path, strict=True):
            if wanted.startswith("{"):
                found[wanted[1:-1]] = part
            elif wanted != part:
                return None
        return found

    def described(self) -> dict[str, Any]:
        """For ``GET /``."""
        doc = " ".join((self.call.__doc__ or "").split())
        fields = {name: field.described() for name, field in self.fields.items()}
        return {"call": f"{self.method} /{'/'.join(self.path)}", "does": doc, "fields": fields}


def route(method: str, path: str, **fields: Field) -> Callable[[F], F]:
    """Make a method a call; what it returns, perhaps later, is answered as JSON."""

    def mark(function: F) -> F:
        setattr(function, _ROUTE, (method, _parts(path), fields))
        return function

    return mark


def routes_of(thing: object) -> tuple[Route, ...]:
    """The calls of an object, in the order in which they are declared."""
    found = []
    for name, function in vars(type(thing)).items():
        declared = getattr(function, _ROUTE, None)
        if declared is not None:
            method, path, fields = declared
            found.append(Route(method, path, fields, getattr(thing, name)))
    return tuple(found)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(unquote(part) for part in path.split("/") if part)


class Interface(Resource):
    """Serves the calls of an object over HTTP, wherever in a site it is put.

    :param callers: whose requests are served; None: those of this machine.
    """

    isLeaf = True

    def __init__(self, thing: object, callers: Callers | None = None) -> None:
        super().__init__()
        self._routes = routes_of(thing)
        self._callers = Callers() if callers is None else callers

    def render(self, request: Request) -> int:
        work: Deferred[Any] = maybeDeferred(self._serve, request)
        gone: list[Failure] = []

        def lost(failure: Failure) -> None:
            gone.append(failure)
            work.cancel()

        request.notifyFinish().addErrback(lost)
        work.addCallback(lambda value: (HTTPStatus.OK, _written(value)))
        work.addErrback(_told)
        work.addCallback(lambda answer: None if gone else _answer(request, *answer))
        work.addErrback(lambda failure: _log.failure("an answer can not be sent", failure))
        return NOT_DONE_YET

    def _serve(self, request: Request) -> Any:
        self._check_caller(request)
        method = request.method.decode("ascii", "replace")
        path = request.path.decode("ascii", "replace")
        segments: list[bytes] = cast(Any, request).postpath or []
        parts = tuple(part.decode("utf-8", "replace") for part in segments if part)
        if not parts:
            return {"calls": [route.described() for route in self._routes]}
        found = [
            (route, holes) for route in self._routes if (holes := route.holes(parts)) is not None
        ]
        if not found:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {path}: GET / lists what there is")
        for route, holes in found:
            if route.method == method:
                return route.call(**_arguments(route, holes, request))
        methods = " or ".join(sorted({route.method for route, _ in found}))
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {methods}, not {method}")

    def _check_caller(self, request: Request) -> None:
        """See that a request means this machine, and comes from no page of another."""
        refusal = self._callers.refusal(request.requestHeaders)
        if refusal is not None:
            raise Refused(HTTPStatus.FORBIDDEN, refusal)


def _arguments(route: Route, holes: Mapping[str, str], request: Request) -> dict[str, Any]:
    fields = route.fields
    given: dict[str, Any] = {}
    for name, found in holes.items():
        given[name] = _parsed(name, fields[name], found)
    # Not request.args: a client may say that the body is a form, which for JSON is never meant.
    query = urlsplit(request.uri.decode("ascii", "replace")).query
    for name, found in parse_qsl(query, keep_blank_values=True):
        if name in fields and name not in holes:
            given[name] = _parsed(name, fields[name], found)
        else:
            raise _unknown(name, route)
    for name, value in _body(request).items():
        if name not in fields or name in holes:
            raise _unknown(name, route)
        given[name] = value
    return {name: _checked(name, field, given) for name, field in fields.items()}


def _unknown(name: str, route: Route) -> Refused:
    free = [one for one in route.fields if f"{{{one}}}" not in route.path]
    known = ", ".join(free) if free else "none"
    return Refused(HTTPStatus.BAD_REQUEST, f"there is no field {name!r}; there are: {known}")


def _parsed(name: str, field: Field, found: str) -> Any:
    try:
        return field.parse(found)
    except (ValueError, RecursionError):
        raise _wrong(name, field, found) from None


def _checked(name: str, field: Field, given: Mapping[str, Any]) -> Any:
    value = given.get(name)
    if name not in given or (value is None and not field.required):
        if field.required:
            message = f"the field {name!r} is missing: expected {field.expected}"
            raise Refused(HTTPStatus.BAD_REQUEST, message)
        return field.default
    try:
        return field.check(value)
    except ValueError as error:
        raise _wrong(name, field, value, error) from None


def _wrong(name: str, field: Field, value: Any, error: ValueError | None = None) -> Refused:
    shown = repr(value)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
    why = f" ({error})" if error is not None and error.args != (value,) else ""
    message = f"the field {name!r} is {shown}: expected {field.expected}{why}"
    return Refused(HTTPStatus.BAD_REQUEST, message)


def _body(request: Request) -> dict[str, Any]:
    content: Any = request.content
    size = content.seek(0, 2)
    content.seek(0)
    if size > MAX_BODY:
        message = f"a body of {size} bytes: expected no more than {MAX_BODY}"
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    data = content.read()
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        message = f"the body is no JSON: {error}"
        raise Refused(HTTPStatus.BAD_REQUEST, message) from error
    if not isinstance(found, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body has to be a JSON object")
    return found


def _written(value: Any) -> bytes:
    """The body of an answer.

    :raises Refused: it would be longer than any may be.
    """
    if not isinstance(value, Listing):
        return json.dumps({} if value is None else value).encode() + b"\n"
    pieces, size = [f'{{"{value.name}": ['.encode()], 0
    for entry in value.entries:
        piece = json.dumps(entry).encode()
        size += len(piece)
        if size > MAX_ANSWER:
            message = f"an answer of more than {MAX_ANSWER} bytes: ask for fewer, with limit"
            raise Refused(HTTPStatus.BAD_REQUEST, message)
        pieces += [b", ", piece] if len(pieces) > 1 else [piece]
    return b"".join([*pieces, b"]}\n"])


def _told(failure: Failure) -> tuple[HTTPStatus, bytes]:
    """Status and body of an error."""
    status, value = _explained(failure)
    return status, _written(value)


def _explained(failure: Failure) -> tuple[HTTPStatus, Any]:
    error = failure.value
    match error:
        case Refused():
            return error.status, {"error": str(error)}
        case NotThere():
            return HTTPStatus.NOT_FOUND, {"error": str(error)}
        case BrokerError():
            missing = isinstance(error, TopicNotFound)
            status = HTTPStatus.NOT_FOUND if missing else HTTPStatus.CONFLICT
            return status, {"error": str(error), "code": error.code}
        case FluvioError():
            return HTTPStatus.CONFLICT, {"error": str(error)}
        case CancelledError():
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the broker ends"}
    _log.failure("a call failed", failure)
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}: {error}"}


def _answer(request: Request, status: HTTPStatus, body: bytes) -> None:
    request.setResponseCode(status, status.phrase.encode())
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", str(len(body)).encode())
    request.write(body)
    request.finish()
