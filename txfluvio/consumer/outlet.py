"""Where records leave: whose turn it is, what is in the user's hands, and who waits for more.

Streams that have something to hand out stand in a ring, and a chunk of each is taken in turn. A
chunk is handed out from a list, so that one record costs no Deferred and no turn of the reactor;
between two chunks the reactor gets a turn, and whoever waits goes on from there on a clean stack,
never inside the arrival of a push. A wait that is cancelled has taken nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..errors import AlreadyRunning, FluvioError
from ..wire.records import Record
from .backlog import Chunk
from .budget import Budget
from .hand import Hand
from .stream import PartitionStream


class Outlet:
    """Hands out what the streams of one consumer have.

    :param budget: told when somebody waits in vain.
    :param finished: whether there will be nothing more.

    :ivar hand: what was handed out last, and what is left of its chunk.
    """

    def __init__(self, budget: Budget, finished: Callable[[], bool], clock: IReactorTime) -> None:
        self._budget = budget
        self._finished = finished
        self._clock = clock
        self._ring: OrderedDict[PartitionStream, None] = OrderedDict()
        self._waiter: Deferred[None] | None = None
        self._waking: IDelayedCall | None = None
        self._closed = False
        self.hand: Hand[PartitionStream] = Hand()

    async def refill(self) -> None:
        """Take the next chunk in hand, when there is one; the last one counts as processed.

        :raises StopAsyncIteration: there is nothing more, or it is closed.
        :raises AlreadyRunning: somebody waits already.
        :raises FluvioError: a partition has failed, and its turn has come.
        """
        if self._waiter is not None:
            raise AlreadyRunning("wait for the next record")
        self.hand.put_down()
        while not self._closed:
            await self.turn(at_once=bool(self._ring) or self._finished())
            if self._pick_up():
                return
            if self._finished():
                break
        raise StopAsyncIteration

    async def turn(self, *, at_once: bool = False) -> None:
        """Let the reactor go on: for one turn, or until something has changed."""
        self._waiter = Deferred()
        if at_once:
            self.wake()
        # Those that have failed stand in the ring for as long as they are left at that.
        self._budget.idle(not any(stream.backlog for stream in self._ring))
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._budget.idle(False)

    def wake(self) -> None:
        """Something has changed: let whoever waits look, in another turn of the reactor."""
        if self._waking is None and self._waiter is not None:
            self._waking = self._clock.callLater(0, self._awake)

    def offer(self, stream: PartitionStream) -> None:
        """Let a stream take its turn if it has records, or an error, and is not paused."""
        self._line_up(stream)
        self.wake()

    def withdraw(self, stream: PartitionStream) -> None:
        """A stream takes no turn until it is offered again."""
        self._ring.pop(stream, None)

    def position(self, stream: PartitionStream) -> int:
        """The offset of the next record to be handed out."""
        return self.hand.position if stream is self.hand.source else stream.backlog.position

    def why_not_handed_out(self, stream: PartitionStream, record: Record) -> str | None:
        """Why it can not be told that everything up to a record was handed out; None: it was."""
        backlog, offset = stream.backlog, record.offset
        if offset is None:
            return "it has no offset, since a SmartModule made it"
        if offset in backlog.blurred and record.timestamp is None:
            # By all that is known of such batches, those of an SPU's making have no time.
            return "others may have its offset, since a SmartModule has run on what was produced"
        end = self.position(stream)
        if end == backlog.origin and backlog.reached is not None:
            # Nothing was handed out since a reset: what was before it still counts.
            end = backlog.reached
        if not stream.touched or offset >= end:
            return "it was not handed out by this consumer, or not since a seek to before it"
        return None

    def processed(self, stream: PartitionStream) -> int | None:
        """The position behind the last record that was processed.

        :return: None if there is none: the position was only found or sought.
        """
        backlog = stream.backlog
        position = self.hand.processed if stream is self.hand.source else backlog.position
        return backlog.reached if position == backlog.origin else position

    def close(self) -> None:
        """Hand out nothing more; whoever waits is told that this is the end."""
        self._closed = True
        self._ring.clear()
        self.hand.put_down()
        if self._waking is not None:
            self._waking.cancel()
        self._awake()

    def _awake(self) -> None:
        self._waking = None
        if self._waiter is not None:
            self._waiter.callback(None)

    def _line_up(self, stream: PartitionStream) -> None:
        has_something = bool(stream.backlog) or stream.failure is not None
        if has_something and not stream.paused:
            self._ring.setdefault(stream)

    def _pick_up(self) -> bool:
        """Whether a chunk with records is in hand now.

        One at most is taken: to find that nothing of it is wanted takes as long as to find records.
        """
        if not self._ring:
            return False
        stream, _ = self._ring.popitem(last=False)
        try:
            chunk = self._take(stream)
        finally:
            self._line_up(stream)
        if chunk.records:
            self.hand.pick_up(stream, chunk)
        return bool(chunk.records)

    def _take(self, stream: PartitionStream) -> Chunk:
        try:
            chunk = stream.backlog.take()
        except FluvioError as error:
            stream.damaged(error)
            raise
        if chunk is None:
            assert stream.failure is not None
            # Each time it is raised, it would keep the frames of all the times before.
            raise stream.failure.with_traceback(None)
        stream.taken(len(chunk.records))
        return chunk
