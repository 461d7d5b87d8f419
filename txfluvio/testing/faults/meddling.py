"""Where faults act: one connection of a server, on which something goes wrong.

A :class:`Meddler` stands between a connection and its service. It is asked at each of the
:class:`moments <txfluvio.testing.faults.Moment>`, finds the fault whose turn it is, and does what
its action says. A connection has one only if a fault could act on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure

from ...wire.codes import ErrorCode
from ...wire.headers import encode_reply
from ...wire.schema import Message, evolve
from ...wire.spu import FetchRequest, IsolationLevel, StreamFetchRequest
from . import damage
from .actions import (
    AnswerError,
    Close,
    CorruptCrc,
    Delay,
    FailTls,
    HalfAlive,
    Hold,
    Latency,
    LoseReply,
    NeverAnswer,
    Refuse,
    Reorder,
    Repeat,
    Reset,
    ShortCommittedFrame,
    SplitPush,
    StallReading,
    Trickle,
    Truncate,
    UnknownCorrelation,
    WrongCorrelation,
    WrongLength,
)
from .answers import completed, refusal, replaced, without
from .matching import Moment, Occasion
from .outbox import Barrier, End, Nagle, Outbox, Pause, Step, Until
from .planting import FaultsOf, Planted

if TYPE_CHECKING:
    from ..server.protocol import Incoming, ServerProtocol

TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
"""What a TLS server says that will not have a handshake: fatal, handshake_failure."""

_UNKNOWN_BIT = 0x4000_0000

T = TypeVar("T")


class Meddler:
    """Applies faults to one connection."""

    def __init__(self, protocol: ServerProtocol, faults: FaultsOf) -> None:
        self._protocol = protocol
        self._faults = faults
        self._timers = faults.timers
        self._latency = 0.0
        self._aside: list[_Aside] = []
        self._waits: list[Deferred[None]] = []
        self._outbox = Outbox(
            faults.timers,
            write=protocol.write,
            end=protocol.cut,
            hold=protocol.hold,
            nagle=protocol.nagle,
        )

    def accepted(self) -> None:
        """The connection has come about."""
        chosen = self._choose(Moment.CONNECTION)
        if chosen is None:
            return
        planted, _ = chosen
        match planted.fault.action:
            case Refuse():
                self._protocol.abort()
            case FailTls():
                self._fail_tls()
            case Latency(seconds):
                self._latency = seconds
            case Delay(seconds):
                self._stall(self._sleep(seconds))
            case Hold():
                self._stall(planted.hold())

    def requested(self, request: Incoming) -> Deferred[None] | None:
        """A request has come in: serve it, or not; the next has to wait for the Deferred.

        :raises ProtocolError: it can not be understood.
        """
        chosen = self._choose(Moment.REQUEST, request)
        if chosen is None:
            return self._protocol.serve(request)
        planted, occasion = chosen
        match planted.fault.action:
            case AnswerError(code):
                return self._refuse(request, planted, occasion, code)
            case Delay(seconds):
                return self._serve_after(self._sleep(seconds), request)
            case Hold():
                return self._serve_after(planted.hold(), request)
            case Close() | Reset() as action:
                self._end(action)
            case HalfAlive():
                self._protocol.go_deaf("a fault leaves it half alive")
            case ShortCommittedFrame():
                return self._protocol.serve(_overstated(request, occasion))
            case StallReading(seconds):
                self._stall(planted.hold() if seconds is None else self._sleep(seconds))
                return self._protocol.serve(request)
            case NeverAnswer():
                pass
        return None

    def leaving(self, frame: bytes, request: Incoming, *, pushed: bool) -> None:
        """An answer is ready: let it leave, or not."""
        moment = Moment.PUSH if pushed else Moment.REPLY
        chosen = self._choose(moment, request, frame)
        if chosen is None:
            self._put([frame], len(frame))
        else:
            planted, occasion = chosen
            match planted.fault.action:
                case Reorder() as action:
                    self._put_aside(frame, action)
                    return
                case Hold():
                    held = Barrier(self._until_the_end(planted.hold()))
                    self._put([held, frame], len(frame))
                case _:
                    self._put(_steps(frame, planted, occasion), len(frame))
        for other in tuple(self._aside):
            other.behind -= 1
            if not other.behind:
                self._put_back(other)

    def finish(self) -> bool:
        """End the connection behind what has not left; ``False``: everything has."""
        self._put_all_back()
        if self._outbox.empty:
            return False
        self._outbox.put([End(reset=False)])
        return True

    def stop(self) -> None:
        """The connection has ended."""
        self._outbox.drop()
        for other in self._aside:
            other.forget()
        self._aside.clear()
        waits, self._waits = self._waits, []
        for wait in waits:
            wait.addErrback(_given_up)
            wait.cancel()

    def _choose(
        self, moment: Moment, request: Incoming | None = None, frame: bytes = b""
    ) -> tuple[Planted, Occasion] | None:
        if not self._faults.any:
            return None
        number = self._protocol.connection.number
        return self._faults.choose(moment, number, request, frame)

    # Before the work

    def _fail_tls(self) -> None:
        if ISSLTransport.providedBy(self._protocol.tcp):
            self._protocol.abort()
        else:
            self._protocol.last_words = TLS_ALERT

    def _refuse(
        self, request: Incoming, planted: Planted, occasion: Occasion, code: ErrorCode
    ) -> Deferred[None] | None:
        """Answer with an error for those chosen; the rest of the request is served."""
        api, message = occasion.called
        chosen = planted.fault.match.selects
        rest = without(message, chosen)
        if rest is None:
            self._protocol.send(refusal(message, code), request, pushed=api.streams)
            return None

        def complete(reply: Message) -> Message:
            return completed(message, reply, chosen, code)

        def alter(frame: bytes) -> bytes:
            return _rewritten(frame, occasion, complete)

        return self._protocol.serve(_changed(request, rest, alter))

    def _serve_after(self, wait: Deferred[None], request: Incoming) -> Deferred[None]:
        async def serve() -> None:
            await self._until_the_end(wait)
            served = self._protocol.serve(request)
            if served is not None:
                await served

        return Deferred.fromCoroutine(serve())

    def _sleep(self, seconds: float) -> Deferred[None]:
        def cancel(_: Deferred[None]) -> None:
            call_off()

        wait: Deferred[None] = Deferred(cancel)
        call_off = self._timers.later(seconds, wait.callback, None)
        return wait

    def _stall(self, wait: Deferred[None]) -> None:
        """Read nothing before ``wait`` fires."""

        def go_on(_: None) -> None:
            self._protocol.stall(False)

        self._protocol.stall(True)
        self._until_the_end(wait).addCallbacks(go_on, _given_up)

    def _until_the_end(self, wait: Deferred[None]) -> Deferred[None]:
        """Give up waiting when the connection ends."""

        def forget(result: T) -> T:
            if wait in self._waits:
                self._waits.remove(wait)
            return result

        self._waits.append(wait)
        return wait.addBoth(forget)

    def _end(self, action: Close | Reset) -> None:
        """End the connection behind the answers under way, and serve nothing more."""
        self._protocol.stall(True)
        self._put_all_back()
        self._put(_ending(action), 0)

    # After the work

    def _put(self, steps: Iterable[Step], size: int) -> None:
        if self._latency:
            due = self._timers.scheduler.seconds() + self._latency
            steps = chain([Until(due)], steps)
        self._outbox.put(steps, size)

    def _put_aside(self, frame: bytes, action: Reorder) -> None:
        aside = _Aside(frame, action.behind)
        self._aside.append(aside)
        aside.forget = self._timers.later(action.at_latest, self._put_back, aside)

    def _put_all_back(self) -> None:
        for aside in tuple(self._aside):
            self._put_back(aside)

    def _put_back(self, aside: _Aside) -> None:
        self._aside.remove(aside)
        aside.forget()
        self._put([aside.frame], len(aside.frame))


@attrs.define(eq=False)
class _Aside:
    """A frame that leaves behind others."""

    frame: bytes
    behind: int
    forget: Callable[[], object] = lambda: None


def _given_up(failure: Failure) -> None:
    """The connection has ended first."""
    failure.trap(CancelledError)


# Answers made wrong


def _steps(frame: bytes, planted: Planted, occasion: Occasion) -> Iterable[Step]:
    """How a frame leaves on which a fault acts."""
    match planted.fault.action:
        case LoseReply():
            return []
        case Delay(seconds):
            return [Pause(seconds), frame]
        case Close() | Reset() as action:
            return [frame[: action.after or 0], *_ending(action)]
        case Trickle(size, interval):
            return _trickle(frame, size, interval)
        case SplitPush(delay):
            cut = len(frame) - len(damage.last_records(occasion.reply))
            if delay is not None:
                return [frame[:cut], Pause(delay), frame[cut:]]
            # In the second turn the first piece has left, and they are not joined.
            return [Nagle(), frame[:cut], Pause(0), Pause(0), frame[cut:]]
        case Repeat(times):
            return [frame] * (1 + times)
    return [_damaged(frame, planted, occasion)]


def _ending(action: Close | Reset) -> list[Step]:
    if isinstance(action, Close):
        return [Pause(action.linger), End(reset=False)]
    # A second turn: not before the next one does a transport send what it was given.
    return [Pause(action.linger), Pause(0), End(reset=True)]


def _trickle(frame: bytes, size: int, interval: float) -> Iterator[Step]:
    for start in range(0, len(frame), size):
        if start:
            yield Pause(interval)
        yield frame[start : start + size]


def _damaged(frame: bytes, planted: Planted, occasion: Occasion) -> bytes:
    """A frame that leaves at once, but is not what it should be."""
    chosen = planted.fault.match.selects
    match planted.fault.action:
        case AnswerError(code):
            _, asked = occasion.called
            return _rewritten(frame, occasion, lambda reply: replaced(asked, reply, chosen, code))
        case Truncate(by):
            return damage.truncated(frame, by)
        case WrongLength(size):
            return damage.sized(frame, size)
        case WrongCorrelation(shift):
            return damage.correlated(frame, damage.correlation_id(frame) + shift)
        case UnknownCorrelation():
            return damage.correlated(frame, damage.correlation_id(frame) ^ _UNKNOWN_BIT)
        case CorruptCrc():
            for topic, partition, records in damage.record_sets(occasion.reply):
                if chosen(topic, partition) and damage.has_batch(records):
                    return damage.corrupted(frame, records)
    return frame


def _rewritten(frame: bytes, occasion: Occasion, change: Callable[[Message], Message]) -> bytes:
    """A frame with another message in it."""
    header = occasion.header
    reply = occasion.read(frame)
    if header is None or reply is None:
        return frame
    number = damage.correlation_id(frame)
    return encode_reply(change(reply), version=header.api_version, correlation_id=number)


def _changed(request: Incoming, message: Message, alter: Callable[[bytes], bytes]) -> Incoming:
    """Another request in the place of one, whose answers are altered."""
    payload = message.encode(request.header.api_version)
    return attrs.evolve(request, payload=payload, body=0, alter=alter, original=request)


def _overstated(request: Incoming, occasion: Occasion) -> Incoming:
    """A read of committed records, served as one of all of them and in frames that are short."""
    _, message = occasion.called
    if isinstance(message, FetchRequest):
        size = message.max_bytes
        unbound: Message = evolve(message, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    elif isinstance(message, StreamFetchRequest):
        size = message.max_bytes
        unbound = evolve(message, isolation=IsolationLevel.READ_UNCOMMITTED)
    else:
        return request

    def alter(frame: bytes) -> bytes:
        return damage.overstated(frame, damage.last_records(occasion.read(frame)), size)

    return _changed(request, unbound, alter)
