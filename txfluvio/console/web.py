"""The resources of the console: the page, its events, and what it asks for and does.

Imported only where the console is served: it needs the extra ``txfluvio[web]``. What is served is
for browsers on this machine unless it was told otherwise (:mod:`.address`), and for pages that
came from here: others are refused whatever they ask for. A page may run no script but ours, and
nothing of what it shows is taken for anything but text.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from importlib.resources import files
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException

from .._callers import Callers
from .._sites import QuietSite
from ..errors import FluvioError, UsageError
from ..offset import Offset
from ..testing.control.plain import given_bytes
from ..testing.control.routes import Interface
from .console import Console
from .fake import fault_forms
from .flows import Wanted
from .shown import LONGEST_WHOLE, Json, shown
from .stream import Room, stream

MAX_STREAMS = 64
"""Pages that are served at once."""

MAX_BODY = 2 * 1024 * 1024
"""Bytes of the largest request that is looked at."""

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}

_HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


_NONSENSE = (
    *(FluvioError, ValueError, OverflowError),
    *(AttributeError, TypeError, RecursionError),
)
"""What comes of numbers and places that are none."""


class Refused(Exception):
    """A request that is not served; the message says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Web:
    """The resources of a console.

    :param reactor: runs everything timed.
    """

    app = Klein()
    _log = Logger()

    def __init__(self, console: Console, callers: Callers, reactor: Any) -> None:
        self._console = console
        self._clock = cast(IReactorTime, reactor)
        self._streams: list[Deferred[None]] = []
        fake = console.fake
        self._control = None if fake is None else Interface(fake.control, callers)

    def close(self) -> None:
        """End every page's events."""
        for one in list(self._streams):
            one.cancel()

    # The page

    @app.route("/", methods=["GET"])
    def index(self, request: Request) -> bytes:
        return self._file(request, "index.html")

    @app.route("/page/<name>", methods=["GET"])
    def file(self, request: Request, name: str) -> bytes:
        return self._file(request, name)

    def _file(self, request: Request, name: str) -> bytes:
        kind = _TYPES.get(name.rpartition(".")[2])
        # Not every name can be asked of a file system.
        page = files(__package__).joinpath("page")
        found = next((file for file in page.iterdir() if file.name == name), None)
        if kind is None or found is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {name}")
        request.setHeader(b"content-type", kind)
        return found.read_bytes()

    # Looking

    @app.route("/api/events", methods=["GET"])
    async def events(self, request: Request) -> None:
        if len(self._streams) >= MAX_STREAMS:
            message = f"{MAX_STREAMS} pages look already: close one"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message)
        given = _query(request)
        topic = given.get("topic", "")
        wanted = _wanted(topic, given) if "from" in given else None
        sections = self._console.sections(given.get("view", ""), topic, wanted)
        request.setHeader(b"content-type", b"text/event-stream")
        room = Room()
        request.registerProducer(room, True)
        streaming = Deferred.fromCoroutine(stream(request.write, room, sections, self._clock))
        self._streams.append(streaming)
        try:
            await streaming
        finally:
            self._streams.remove(streaming)
            # A request has none once its browser has gone.
            if request.channel is not None:
                request.unregisterProducer()
                request.loseConnection()

    @app.route("/api/topics/<topic>/<int:partition>/<int:offset>", methods=["GET"])
    async def record(self, request: Request, topic: str, partition: int, offset: int) -> bytes:
        record = await self._console.record(topic, partition, offset)
        return _json(request, shown(record, LONGEST_WHOLE))

    @app.route("/api/frames/<int:number>", methods=["GET"])
    def frame(self, request: Request, number: int) -> bytes:
        fake = self._console.fake
        if fake is None:
            raise Refused(HTTPStatus.NOT_FOUND, "only a fake cluster keeps its frames")
        return _json(request, fake.frame(number))

    @app.route("/api/faults", methods=["GET"])
    def faults(self, request: Request) -> bytes:
        return _json(request, fault_forms())

    # Doing

    @app.route("/api/topics/<topic>/records", methods=["POST"])
    async def produce(self, request: Request, topic: str) -> bytes:
        if not self._console.writes:
            message = "this console only looks: it was started without --allow-writes"
            raise Refused(HTTPStatus.FORBIDDEN, message)
        given = _body(request)
        key, partition = given.get("key"), given.get("partition")
        if partition is not None and type(partition) is not int:
            raise Refused(HTTPStatus.BAD_REQUEST, "partition has to be a number, or null")
        stored = await self._console.produce(
            topic,
            _given("value", given.get("value")),
            None if key is None else _given("key", key),
            partition,
        )
        return _json(request, {"partition": stored.partition, "offset": stored.offset})

    @app.route("/control/", branch=True)
    def control(self, request: Request) -> Interface:
        if self._control is None:
            raise Refused(HTTPStatus.NOT_FOUND, "only a fake cluster can be controlled")
        if request.method != b"GET":
            _check_json(request)
        return self._control

    # What goes wrong

    @app.handle_errors(Refused)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        refused = cast(Refused, failure.value)
        return _problem(request, refused.status, refused)

    @app.handle_errors(FluvioError)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        mistake = isinstance(failure.value, UsageError)
        status = HTTPStatus.BAD_REQUEST if mistake else HTTPStatus.CONFLICT
        return _problem(request, status, failure.value)

    @app.handle_errors(HTTPException)
    def unknown(self, request: IRequest, failure: Failure) -> bytes:
        error = cast(HTTPException, failure.value)
        return _problem(request, HTTPStatus(error.code or 500), error.name)

    @app.handle_errors(CancelledError)
    def ended(self, request: IRequest, failure: Failure) -> bytes:
        return b""


def console_site(web: Web, callers: Callers, reactor: Any) -> Site:
    """What serves the resources, to those who may call."""
    return QuietSite(_Gate(web, callers), reactor=reactor)


class _Gate(Resource):
    """Lets through whom it may, and says to browsers what they must not do with what they get."""

    isLeaf = True

    def __init__(self, web: Web, callers: Callers) -> None:
        super().__init__()
        self._inside: Resource = cast(Resource, web.app.resource())
        self._callers = callers

    def render(self, request: Request) -> Any:
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        refusal = self._callers.refusal(request.requestHeaders)
        if refusal is not None:
            return _problem(request, HTTPStatus.FORBIDDEN, refusal)
        try:
            b"/".join(cast(Any, request).postpath).decode()
        except UnicodeDecodeError:
            # Klein refuses it as well, but logs the error as one of the server.
            return _problem(request, HTTPStatus.BAD_REQUEST, "the path is no UTF-8")
        return self._inside.render(request)


# Requests and answers


def _query(request: Request) -> dict[str, str]:
    arguments = cast(dict[bytes, list[bytes]], request.args or {})
    return {
        name.decode("utf-8", "replace"): values[-1].decode("utf-8", "replace")
        for name, values in arguments.items()
    }


def _wanted(topic: str, given: dict[str, str]) -> Wanted:
    """Which records are asked for.

    :raises Refused: it makes no sense.
    """
    try:
        partition = given.get("partition", "")
        places = json.loads(given.get("places", "{}"))
        return Wanted(
            topic=topic,
            partition=int(partition) if partition else None,
            start=_start(given["from"]),
            places={int(number): int(offset) for number, offset in places.items()},
            follow=given.get("follow") == "1",
            needle=given.get("filter", ""),
        )
    except _NONSENSE as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"which records? {error}") from error


def _start(text: str) -> Offset:
    """Where to start: ``beginning``, ``last-50``, or an offset."""
    if text == "beginning":
        return Offset.beginning()
    if text.startswith("last-"):
        return Offset.from_end(int(text.removeprefix("last-")))
    return Offset.nearest(int(text))


def _check_json(request: Request) -> None:
    """See that a request that changes something is no form, which any page could send."""
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip()
    if kind != "application/json":
        message = "what changes something takes JSON: content-type: application/json"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)


def _body(request: Request) -> dict[str, Any]:
    _check_json(request)
    content: Any = request.content
    data = content.read(MAX_BODY + 1)
    if len(data) > MAX_BODY:
        message = f"expected no more than {MAX_BODY} bytes"
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body has to be a JSON object")
    return found


def _given(name: str, value: Any) -> bytes:
    try:
        return given_bytes(value)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name} is {error}") from error


def _json(request: Any, value: Json) -> bytes:
    request.setHeader(b"content-type", b"application/json")
    return json.dumps(value).encode()


def _problem(request: Any, status: HTTPStatus, reason: object) -> bytes:
    request.setResponseCode(status, status.phrase.encode())
    return _json(request, {"error": str(reason)})
