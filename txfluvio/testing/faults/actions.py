"""What a fault does: actions as values, each with the moments and calls at which it is possible."""

from __future__ import annotations

from collections.abc import Set
from typing import ClassVar, Literal

import attrs

from ..._checks import is_number
from ...errors import UsageError
from ...wire.codes import Code, ErrorCode, details, error
from ...wire.spu import (
    FetchRequest,
    IsolationLevel,
    StreamFetchRequest,
    UpdateConsumerOffsetResponse,
)
from . import damage
from .answers import ANSWERING_ERRORS
from .matching import AT_CONNECTION, LEAVING, Match, Moment, Occasion

_ALL = frozenset(Moment)
_AT_REQUEST = frozenset({Moment.REQUEST})


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


def no_count(least: int, **counts: int | None) -> str | None:
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
        return no_count(0, after=self.after) or _no_time(linger=self.linger)

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
        return no_count(1, by=self.by)

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
        return no_count(1, times=self.times)


@attrs.frozen
class Reorder(Action):
    """The answer leaves behind others of its connection, which are not held up by it.

    :ivar behind: behind how many.
    :ivar at_latest: after so many seconds it leaves even if there were fewer.
    """

    behind: int = 1
    at_latest: float = 1.0

    def contradiction(self) -> str | None:
        return no_count(1, behind=self.behind) or _no_time(at_latest=self.at_latest)


@attrs.frozen
class Trickle(Action):
    """The answer leaves in small pieces, each in a turn of its own.

    :ivar size: bytes of a piece.
    :ivar interval: seconds between two pieces.
    """

    size: int = 1
    interval: float = 0.0

    def contradiction(self) -> str | None:
        return no_count(1, size=self.size) or _no_time(interval=self.interval)


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

    possible = AT_CONNECTION


@attrs.frozen
class FailTls(Action):
    """A client that begins with TLS gets an alert and the end; one that does not is served."""

    possible = AT_CONNECTION


@attrs.frozen
class Latency(Action):
    """Everything that the server sends on the connection takes longer, and nothing overtakes.

    Other than with :class:`Delay` there can be any number of answers under way.

    :ivar seconds: how much longer.
    """

    seconds: float
    possible = AT_CONNECTION

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
