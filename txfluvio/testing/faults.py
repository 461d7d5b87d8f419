"""Faults as values: what goes wrong, when, and how often.

::

    lost = broker.plant(Fault(Match("Produce", topic="orders"), LoseReply()))
    ...
    await lost.wait()

A :class:`Fault` is a :class:`Match` (which connections, requests, replies or pushes), an
:class:`Action` (what is done to them) and a budget (how many times). Everything here is pure:
values, whether a match holds, and whether a fault makes sense. What is planted is counted in
:mod:`txfluvio.testing.planting`, and acts in :mod:`txfluvio.testing.meddling`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Set
from functools import cached_property
from typing import Any, ClassVar, Literal

import attrs

from .._checks import Must, is_number, member, or_none
from ..errors import ProtocolError, UsageError
from ..wire.codes import Code, ErrorCode, details, error
from ..wire.headers import RequestHeader
from ..wire.schema import SC_APIS, SPU_APIS, Api, Message, Request
from ..wire.spu import (
    FetchRequest,
    IsolationLevel,
    StreamFetchRequest,
    UpdateConsumerOffsetResponse,
)
from . import damage
from .answers import ANSWERING_ERRORS, NAMING_PARTITIONS, NAMING_TOPICS, named

ServerId = int | Literal["SC"]
"""The id of an SPU, or the SC."""

CALLS = {api.name: api for apis in (SC_APIS, SPU_APIS) for api in apis.values()}
"""All calls by their names."""


class Moment(enum.Enum):
    """When a fault acts."""

    CONNECTION = "connection"
    """A connection has come about; nothing was read from it."""

    REQUEST = "request"
    """A request has come in; nothing was done for it."""

    REPLY = "reply"
    """The work is done, and its answer is about to leave."""

    PUSH = "push"
    """One of the many answers of a stream or a watch is about to leave."""


LEAVING = frozenset({Moment.REPLY, Moment.PUSH})
_ALL = frozenset(Moment)
_AT_CONNECTION = frozenset({Moment.CONNECTION})
_AT_REQUEST = frozenset({Moment.REQUEST})


@attrs.define(slots=False)
class Occasion:
    """Something that happens on a connection, and that a fault may be meant for.

    :ivar connection: the number of the connection.
    :ivar header: of the request, also for what answers it.
    :ivar payload: the frame of the request, whose body begins at ``body``.
    :ivar frame: what is about to leave.
    """

    moment: Moment
    server: ServerId
    connection: int
    header: RequestHeader | None = None
    payload: bytes = b""
    body: int = 0
    frame: bytes = b""

    @property
    def api(self) -> Api | None:
        """The call, ``None`` where the server knows no such key, or nothing was called."""
        if self.header is None:
            return None
        return (SC_APIS if self.server == "SC" else SPU_APIS).get(self.header.api_key)

    @property
    def call(self) -> str:
        """The name of the call, or what else there is to say."""
        if self.header is None:
            return self.moment.value
        return str(self.header.api_key) if self.api is None else self.api.name

    @property
    def called(self) -> tuple[Api, Message]:
        """The call and the request, where it is known that there are both.

        :raises LookupError: there are not.
        """
        if self.api is None or self.message is None:
            raise LookupError(f"the request of {self.call} can not be decoded")
        return self.api, self.message

    @cached_property
    def message(self) -> Message | None:
        """The request, decoded; ``None`` where that is not possible."""
        return self._decoded(lambda api: api.request, self.payload, self.body)

    @cached_property
    def reply(self) -> Message | None:
        """What is about to leave, decoded; ``None`` where that is not possible."""
        return self.read(self.frame)

    def read(self, frame: bytes) -> Message | None:
        """An answer to the request, decoded; ``None`` where that is not possible."""
        return self._decoded(lambda api: api.reply, frame, damage.BODY)

    def _decoded(
        self, kind: Callable[[Api], type[Message]], data: bytes, start: int
    ) -> Message | None:
        api, header = self.api, self.header
        if api is None or header is None or header.api_version < 0:
            return None
        try:
            return kind(api).decode(data, header.api_version, start)
        except ProtocolError:
            return None


# Which


def no_call(name: str) -> str:
    """What is said of a name that no call has."""
    return f"there is no call {name!r}; there are: {', '.join(sorted(CALLS))}"


def _call_name(call: type[Request[Any]] | str | None) -> str | None:
    return call.api.name if isinstance(call, type) else call


@attrs.frozen
class Match:
    """Selects what a fault is for: every part that is given has to hold.

    :ivar api: the call: its request class, or its name, such as ``"Produce"``.
    :ivar server: the id of an SPU, or ``"SC"``.
    :ivar topic: a topic that the request names. UpdateOffsets and UpdateConsumerOffset name none.
    :ivar partition: a partition that it names, of that topic if both are given.
    :ivar client_id: what the client calls itself in its requests.
    :ivar connection: the number of the connection, counted over the whole cluster from 1.
    :ivar nth: act from this one on, of those that fit in all other parts; the first is 1.
    :ivar where: a predicate on the decoded request; one that can not be decoded does not fit.
    :ivar moment: when; ``None``: when the action usually acts.
    """

    api: str | None = attrs.field(default=None, converter=_call_name)
    server: ServerId | None = attrs.field(default=None, kw_only=True)
    topic: str | None = attrs.field(default=None, kw_only=True)
    partition: int | None = attrs.field(default=None, kw_only=True)
    client_id: str | None = attrs.field(default=None, kw_only=True)
    connection: int | None = attrs.field(default=None, kw_only=True)
    nth: int = attrs.field(default=1, kw_only=True)
    where: Callable[[Any], bool] | None = attrs.field(default=None, kw_only=True)
    moment: Moment | None = attrs.field(
        default=None, kw_only=True, validator=or_none(member(Moment))
    )

    def selects(self, topic: str, partition: int | None) -> bool:
        """Whether a topic and a partition are meant."""
        return self.topic in (None, topic) and self.partition in (None, partition)

    def holds(self, occasion: Occasion) -> bool:
        """Whether all parts hold, those aside that say when and how often."""
        header = occasion.header
        return (
            self.server in (None, occasion.server)
            and self.connection in (None, occasion.connection)
            and self.api in (None, occasion.call)
            and (self.client_id is None or (header is not None and self._client(header)))
            and self._holds_inside(occasion)
        )

    def _client(self, header: RequestHeader) -> bool:
        return header.client_id == self.client_id

    def _holds_inside(self, occasion: Occasion) -> bool:
        """Whether the parts hold for which a request has to be decoded."""
        if self.topic is None and self.partition is None and self.where is None:
            return True
        message = occasion.message
        if message is None:
            return False
        if (self.topic, self.partition) != (None, None) and not self._names(message):
            return False
        return self.where is None or self.where(message)

    def _names(self, message: Message) -> bool:
        return any(self.selects(*one) for one in named(message))


# What


@attrs.frozen
class Action:
    """What a fault does.

    :cvar possible: the moments at which it can be done.
    :cvar calls: the names of the calls to which it can be done; ``None``: to all.
    :cvar server: ``"SC"`` where an SPU has no such fault.
    """

    possible: ClassVar[Set[Moment]] = LEAVING
    calls: ClassVar[Set[str] | None] = None
    server: ClassVar[Literal["SC"] | None] = None

    @property
    def usual(self) -> Set[Moment]:
        """The moments at which it is done unless the match says another."""
        return self.possible

    def contradiction(self) -> str | None:
        """What is impossible about its own numbers."""
        return None

    def fits(self, occasion: Occasion, match: Match) -> bool:
        """Whether it can be done to this very request or answer."""
        return True

    def knows(self, occasion: Occasion) -> bool:
        """Whether it can be done to such a call, and by such a server."""
        return (self.calls is None or occasion.call in self.calls) and self.server in (
            None,
            occasion.server,
        )


def _no_time(**spans: float | None) -> str | None:
    for name, value in spans.items():
        if value is not None and not (is_number(value) and value >= 0):
            return f"{name} is {value!r}, which is no number of seconds"
    return None


def _no_count(least: int, **counts: int | None) -> str | None:
    for name, value in counts.items():
        if value is not None and not (type(value) is int and value >= least):
            return f"{name} is {value!r}, which is no whole number from {least} on"
    return None


@attrs.frozen
class Observe(Action):
    """Nothing is done, only counted; other faults act as if it were not there."""

    possible = _ALL

    @property
    def usual(self) -> Set[Moment]:
        return _AT_REQUEST


def _error_code(code: ErrorCode | Code) -> ErrorCode:
    if isinstance(code, ErrorCode):
        return code
    if not isinstance(code, Code):
        raise UsageError(f"{code!r} is no error code: use a member of Code, or ErrorCode(number)")
    if code in details():
        raise UsageError(
            f"{code.name} carries more than its number: use error(Code.{code.name}, ...)"
        )
    return error(code)


@attrs.frozen
class AnswerError(Action):
    """An error is the answer.

    If the match says a topic or a partition, only the entries for them are refused, and the others
    get what is due to them. By default nothing is done for what is refused; at
    :attr:`Moment.REPLY` the work is done and the answer is not true.

    :ivar error: the code; by ``error(Code.X, ...)`` where it carries more than its number.
    """

    error: ErrorCode = attrs.field(converter=_error_code)
    possible = LEAVING | _AT_REQUEST
    calls = ANSWERING_ERRORS

    @property
    def usual(self) -> Set[Moment]:
        return _AT_REQUEST

    def contradiction(self) -> str | None:
        if not self.error:
            return f"{self.error.name} is no error"
        try:
            UpdateConsumerOffsetResponse(offset=0, error_code=self.error).encode(0)
        except UsageError as reason:
            return f"{self.error.name} can not be sent: {reason}"
        return None

    def fits(self, occasion: Occasion, match: Match) -> bool:
        if occasion.moment is Moment.REQUEST:
            return occasion.message is not None
        return occasion.message is not None and occasion.reply is not None


@attrs.frozen
class _Late(Action):
    possible = _ALL

    @property
    def usual(self) -> Set[Moment]:
        return _AT_REQUEST


@attrs.frozen
class Delay(_Late):
    """It takes longer; what comes behind it on the same connection waits too.

    :ivar seconds: how much longer.
    """

    seconds: float

    def contradiction(self) -> str | None:
        return _no_time(seconds=self.seconds)


@attrs.frozen
class Hold(_Late):
    """It waits until ``release()`` of what was planted, and what comes behind it waits too."""


@attrs.frozen
class NeverAnswer(Action):
    """The request is forgotten: nothing is done and nothing answered. The next one is served."""

    possible = _AT_REQUEST


@attrs.frozen
class LoseReply(Action):
    """The work is done, and the answer never leaves."""


@attrs.frozen
class _End(Action):
    after: int | None = None
    linger: float = attrs.field(default=0.0, kw_only=True)
    possible = LEAVING | _AT_REQUEST

    @property
    def usual(self) -> Set[Moment]:
        return _AT_REQUEST if self.after is None else LEAVING

    def contradiction(self) -> str | None:
        return _no_count(0, after=self.after) or _no_time(linger=self.linger)

    def fits(self, occasion: Occasion, match: Match) -> bool:
        return self.after is None or occasion.moment in LEAVING


@attrs.frozen
class Close(_End):
    """The connection ends in order: before the work is done, or amid the answer.

    Answers that are under way leave first, and nothing more is served.

    :ivar after: how many bytes of the answer leave, its size among them. More than it has: all of
        it. ``None``: none, and by default nothing is done for the request either.
    :ivar linger: seconds between the last byte and the end.
    """


@attrs.frozen
class Reset(_End):
    """The connection is reset: before the work is done, or amid the answer.

    :ivar after: how many bytes of the answer leave, its size among them. More than it has: all of
        it. ``None``: none, and by default nothing is done for the request either.
    :ivar linger: seconds between the last byte and the end. What is still under way then is lost,
        so that on a slow link no byte arrives unless this is longer than the way.
    """


@attrs.frozen
class Truncate(Action):
    """The answer lacks its last bytes, and its size agrees.

    :ivar by: how many bytes; the correlation id always stays.
    """

    by: int = 1

    def contradiction(self) -> str | None:
        return _no_count(1, by=self.by)

    def fits(self, occasion: Occasion, match: Match) -> bool:
        return len(occasion.frame) > damage.BODY


_WITH_RECORDS = frozenset(one.api.name for one in (FetchRequest, StreamFetchRequest))


@attrs.frozen
class CorruptCrc(Action):
    """The first whole batch of the answer has a wrong checksum.

    It waits for an answer that has one, of the topic and the partition that the match says.
    """

    calls = _WITH_RECORDS

    def fits(self, occasion: Occasion, match: Match) -> bool:
        return any(
            match.selects(topic, partition) and damage.has_batch(records)
            for topic, partition, records in damage.record_sets(occasion.reply)
        )


@attrs.frozen
class WrongLength(Action):
    """The answer is announced with another size than it has.

    :ivar size: that size: by default the largest there is. It may be 0 or negative.
    """

    size: int = damage.MAX_SIZE

    def contradiction(self) -> str | None:
        fits = type(self.size) is int and -damage.MAX_SIZE - 1 <= self.size <= damage.MAX_SIZE
        return None if fits else f"{self.size!r} does not fit a frame's size"


@attrs.frozen
class WrongCorrelation(Action):
    """The answer says that it is one to another request.

    :ivar shift: how far the ids are apart. A client counts its requests, so 1 is the next one and
        -1 is one that was answered before.
    """

    shift: int = 1

    def contradiction(self) -> str | None:
        if type(self.shift) is not int:
            return f"shift is {self.shift!r}, which is no whole number"
        return None if self.shift % 2**32 else "a shift of 0 leaves the id as it is"


@attrs.frozen
class UnknownCorrelation(Action):
    """The answer says that it is one to a request that there never was."""


@attrs.frozen
class Repeat(Action):
    """The answer comes again, under the same correlation id.

    :ivar times: how often again.
    """

    times: int = 1

    def contradiction(self) -> str | None:
        return _no_count(1, times=self.times)


@attrs.frozen
class Reorder(Action):
    """The answer leaves behind others of its connection, which are not held up by it.

    :ivar behind: behind how many.
    :ivar at_latest: after so many seconds it leaves even if there were fewer.
    """

    behind: int = 1
    at_latest: float = 1.0

    def contradiction(self) -> str | None:
        return _no_count(1, behind=self.behind) or _no_time(at_latest=self.at_latest)


@attrs.frozen
class Trickle(Action):
    """The answer leaves in small pieces, each in a turn of its own.

    :ivar size: bytes of a piece.
    :ivar interval: seconds between two pieces.
    """

    size: int = 1
    interval: float = 0.0

    def contradiction(self) -> str | None:
        return _no_count(1, size=self.size) or _no_time(interval=self.interval)


@attrs.frozen
class SplitPush(Action):
    """The answer leaves in two pieces: up to the length of its records, and these a while later.

    So does a real SPU, which writes records from a file: Nagle's algorithm then makes them wait
    for the delayed acknowledgement of the first piece.

    :ivar delay: seconds between the pieces. ``None``: as a real SPU has it, so that the second
        leaves as soon as the peer's TCP has acknowledged the first; in memory that is at once.
    """

    delay: float | None = 0.04
    calls = _WITH_RECORDS

    def contradiction(self) -> str | None:
        return _no_time(delay=self.delay)

    def fits(self, occasion: Occasion, match: Match) -> bool:
        return len(damage.last_records(occasion.reply)) > 0


@attrs.frozen
class ShortCommittedFrame(Action):
    """A reader of committed records gets a frame shorter than it is announced.

    A real SPU does this to one that starts above the high watermark: it announces as many bytes as
    the reader allows, and sends the uncommitted ones that there are, if any. Here it is done
    wherever the reader starts, and then never mended: the connection is out of step.
    """

    possible = _AT_REQUEST
    calls = _WITH_RECORDS

    def fits(self, occasion: Occasion, match: Match) -> bool:
        message = occasion.message
        if isinstance(message, FetchRequest):
            return message.isolation_level is IsolationLevel.READ_COMMITTED
        if isinstance(message, StreamFetchRequest):
            return message.isolation is IsolationLevel.READ_COMMITTED
        return False


@attrs.frozen
class HalfAlive(Action):
    """The SC answers neither this request nor any later one, and goes on with what it pushes."""

    possible = _AT_REQUEST
    server = "SC"


@attrs.frozen
class StallReading(Action):
    """The request is served, and then nothing more is read from the connection.

    :ivar seconds: for how long; ``None``: until ``release()`` of what was planted.
    """

    seconds: float | None = None
    possible = _AT_REQUEST

    def contradiction(self) -> str | None:
        return _no_time(seconds=self.seconds)


@attrs.frozen
class Refuse(Action):
    """The connection is reset at once, with nothing read.

    For connections that do not even come about, take the server down.
    """

    possible = _AT_CONNECTION


@attrs.frozen
class FailTls(Action):
    """A client that begins with TLS gets an alert and the end; one that does not is served."""

    possible = _AT_CONNECTION


@attrs.frozen
class Latency(Action):
    """Everything that the server sends on the connection takes longer, and nothing overtakes.

    Other than with :class:`Delay` there can be any number of answers under way.

    :ivar seconds: how much longer.
    """

    seconds: float
    possible = _AT_CONNECTION

    def contradiction(self) -> str | None:
        return _no_time(seconds=self.seconds)


ACTIONS: tuple[type[Action], ...] = (
    Observe,
    AnswerError,
    Delay,
    Hold,
    NeverAnswer,
    LoseReply,
    Close,
    Reset,
    Truncate,
    CorruptCrc,
    WrongLength,
    WrongCorrelation,
    UnknownCorrelation,
    Repeat,
    Reorder,
    Trickle,
    SplitPush,
    ShortCommittedFrame,
    HalfAlive,
    StallReading,
    Refuse,
    FailTls,
    Latency,
)
"""All there are."""


# A fault


_MATCH = Must("a Match(...)", lambda value: isinstance(value, Match))
_ACTION = Must(
    "an object that is an action, such as Close()", lambda value: isinstance(value, Action)
)
_FAULT = Must("a Fault(match, action)", lambda value: isinstance(value, Fault))


@attrs.frozen(slots=False)
class Fault:
    """Something that goes wrong: which, what, and how many times.

    :ivar times: the budget; ``None``: for ever.
    """

    match: Match = attrs.field(validator=_MATCH)
    action: Action = attrs.field(validator=_ACTION)
    times: int | None = 1

    @cached_property
    def moments(self) -> Set[Moment]:
        """When it acts; empty if that is never."""
        wanted = self.action.usual if self.match.moment is None else {self.match.moment}
        possible = wanted & self.action.possible
        api = CALLS.get(self.match.api or "")
        if api is None:
            return possible
        return possible - {Moment.REPLY if api.streams else Moment.PUSH}

    def concerns(self, occasion: Occasion) -> bool:
        """Whether it is meant for this, apart from how many times."""
        return (
            occasion.moment in self.moments
            and self.match.holds(occasion)
            and self.action.knows(occasion)
            and self.action.fits(occasion, self.match)
        )


@attrs.define(slots=False)
class ContradictoryFault(UsageError):
    """A fault that can never act.

    :ivar reason: why not.
    """

    fault: Fault
    reason: str
    says = "{0.fault} can never act: {0.reason}"


def check(fault: Fault) -> None:
    """Find out whether a fault makes sense.

    :raises ContradictoryFault: it can never act.
    :raises InvalidConfig: it is none.
    """
    _FAULT.check("fault", fault)
    for reason in _contradictions(fault):
        raise ContradictoryFault(fault, reason)


def _contradictions(fault: Fault) -> Iterator[str]:
    match, action = fault.match, fault.action
    name = type(action).__name__
    numbers = _no_count(1, times=fault.times, nth=match.nth)
    if numbers is not None:
        yield numbers
    own = action.contradiction()
    if own is not None:
        yield own
    yield from _contradictions_of_call(match)
    if match.api is not None and action.calls is not None and match.api not in action.calls:
        yield f"{name} can not be done to {match.api}"
    if action.server is not None and not _can_be(match, action.server):
        yield f"only the SC does {name}"
    if not fault.moments:
        subject = "anything" if match.api is None else match.api
        moment = "then" if match.moment is None else f"at the moment of a {match.moment.value}"
        yield f"{name} can not be done to {subject} {moment}"
    if fault.moments == _AT_CONNECTION:
        for part in ("api", "topic", "partition", "client_id", "where"):
            if getattr(match, part) is not None:
                yield f"at the moment of a connection there is no {part} yet"


def _contradictions_of_call(match: Match) -> Iterator[str]:
    if match.api is not None:
        api = CALLS.get(match.api)
        if api is None:
            yield no_call(match.api)
        elif api.server and match.server is not None and not _can_be(match, api.server):
            yield f"{match.api} is a call of the {'SC' if api.server == 'SC' else 'SPUs'}"
        elif match.topic is not None and match.api not in NAMING_TOPICS:
            yield f"{match.api} names no topic"
        elif match.partition is not None and match.api not in NAMING_PARTITIONS:
            yield f"{match.api} names no partition"
    elif match.partition is not None and match.server == "SC":
        yield "no call of the SC names a partition"


def _can_be(match: Match, server: str) -> bool:
    """Whether a match can hold on the SC, or on an SPU."""
    if match.server is not None:
        return (match.server == "SC") == (server == "SC")
    api = CALLS.get(match.api or "")
    return api is None or api.server in ("", server)
