"""A stream of records to one consumer: what is pushed when.

A stream pushes once and waits for the acknowledgement, which says from where to go on: that is all
the flow control there is. While there is nothing to send it is silent. What decides is three
offsets and nothing else, as in ``fluvio-spu/src/services/public/stream_fetch.rs``: where the end
was at the last read, where the consumer is (unknown after a push), and where the end is now.
"""

from __future__ import annotations

from twisted.logger import Logger

from ...errors import UsageError
from ...wire.codes import NO_ERROR, Code, ErrorCode, error
from ...wire.records import RecordSet
from ...wire.spu import (
    PartitionResponse,
    StreamFetchRequest,
    StreamFetchResponse,
)
from ..server.protocol import Connection, Incoming
from ..smartmodules.abi import sendable
from ..smartmodules.chain import Chain, Trap, merge
from .log import PartitionLog, ReadError, Slice
from .replica import Replica

IGNORED = -1
"""An acknowledgement that means nothing; it voids one that the stream has not got to."""

TOPIC_DELETED = -2
"""An acknowledgement that ends the stream: the SPU's own sign for a deleted topic."""

UNLIMITED = 0xFFFF_FFFF
"""The largest limit: a number of 32 bits without a sign."""

_log = Logger()


class Stream:
    """One stream of a connection.

    :param number: its id on the connection.
    :param request: the request that opened it, which every push answers.
    :ivar key: the partition.
    :ivar consumer_id: whose offsets are stored through it, if any.
    """

    def __init__(
        self,
        number: int,
        replica: Replica,
        message: StreamFetchRequest,
        request: Incoming,
        connection: Connection,
    ) -> None:
        self.number = number
        self.key = replica.key
        self.consumer_id = message.consumer_id
        self._replica: Replica | None = replica
        self._request: Incoming | None = request
        self._connection = connection
        self._isolation = message.isolation
        self._max_bytes = message.max_bytes & UNLIMITED
        self._chain: Chain | None = None
        self._end_read = message.fetch_offset
        self._consumer_at: int | None = None
        self._end_known: int | None = None
        self._acknowledged: int | None = None
        self._sending = False
        self._stepping = False
        self._unsubscribe = replica.subscribe(self._step)

    def open(self, offset: int, chain: Chain | None = None) -> None:
        """Send what there is from ``offset`` on, and more as it comes.

        :param chain: what the records go through first.
        """
        self._chain = chain
        self._send(offset)

    def acknowledge(self, offset: int) -> None:
        """Go on from ``offset``. Of several before the stream gets to it, the newest counts."""
        if self._replica is not None:
            self._acknowledged = None if offset == IGNORED else offset
            self._step()

    def end(self) -> None:
        """Push nothing more; the log and what modules remember is forgotten, the id is not."""
        self._replica = self._request = self._chain = None
        unsubscribe, self._unsubscribe = self._unsubscribe, lambda: None
        unsubscribe()

    def _step(self) -> None:
        """React to what has happened, unless a push is waiting for its turn to be written."""
        if self._stepping:
            return
        self._stepping = True
        try:
            while not self._sending and self._react():
                pass
        except Exception:
            self._broken()
        finally:
            self._stepping = False

    def _react(self) -> bool:
        replica = self._replica
        if replica is None:
            return False
        if replica.deleted:
            self.fail(error(Code.TOPIC_DELETED))
        elif self._acknowledged is not None:
            offset, self._acknowledged = self._acknowledged, None
            self._react_to_consumer(offset)
        else:
            end = replica.log.end(self._isolation)
            if end == self._end_known:
                return False
            self._end_known = end
            self._react_to_end(end)
        return True

    def _react_to_consumer(self, offset: int) -> None:
        if offset == TOPIC_DELETED:
            self.fail(error(Code.TOPIC_DELETED))
        elif offset >= self._end_read:
            self._consumer_at = offset
        else:
            self._send(offset)

    def _react_to_end(self, end: int) -> None:
        if self._consumer_at is None or end <= self._consumer_at:
            self._end_read = end
        else:
            self._send(self._consumer_at)

    def _send(self, offset: int) -> None:
        self._sending = True
        self._connection.when_writable(lambda: self._push(offset))

    def _broken(self) -> None:
        """The fake is wrong: only the consumer may suffer, not who appended."""
        _log.failure("a stream has broken down")
        self.end()
        self._connection.close()

    def _push(self, offset: int) -> None:
        if self._replica is None:
            return
        try:
            self._push_from(offset, self._replica.log)
        except Exception:
            self._broken()
        else:
            self._step()

    def _push_from(self, offset: int, log: PartitionLog) -> None:
        isolation = self._isolation
        # With SmartModules the limit is for what comes out of them, and they may not want it all.
        modules = self._chain is not None
        try:
            found = log.read(offset, isolation, 0 if modules else self._max_bytes)
        except ReadError as reason:
            self.fail(reason.error)
            return
        if found.above_hw:
            self._connection.complain(f"reads committed records from {offset}, above {found.hw}")
        if not (found.available if modules else len(found.records)):
            self._end_read = self._consumer_at = offset
        else:
            told = self._tell_of(found, log, offset)
            self._end_read = found.end(isolation)
            self._consumer_at = None if told else self._end_read
        if self._end_known is None:
            self._end_known = log.end(isolation)
        self._sending = False

    def _tell_of(self, found: Slice, log: PartitionLog, offset: int) -> bool:
        """Push what was found from ``offset`` on, if anything is left of it."""
        if self._chain is None:
            self._tell_records(found, found.records)
            return True
        try:
            batches = log.batches(offset, self._isolation)
            merged = merge(self._chain, batches, self._max_bytes)
        except Trap as trap:
            self.fail(error(Code.OTHER, text=sendable(f"SmartModule err {trap}")))
            return True
        except UsageError:
            _log.failure("a SmartModule of the test is wrong")
            self.end()
            self._connection.close()
            return True
        if not merged.count and merged.error is None:
            return False
        end = merged.next_offset if merged.count else found.end(self._isolation)
        self._tell_records(found, RecordSet(merged.encode()), merged.error_code, end)
        return True

    def _tell_records(
        self, found: Slice, records: RecordSet, code: ErrorCode = NO_ERROR, end: int = 0
    ) -> None:
        self._tell(
            PartitionResponse(
                partition_index=self.key[1],
                error_code=code,
                high_watermark=found.hw,
                next_filter_offset=end,
                log_start_offset=found.log_start,
                records=records,
            ),
            self._request,
        )

    def fail(self, code: ErrorCode) -> None:
        """Tell the consumer what is wrong, and push nothing more."""
        request = self._request
        self.end()
        self._tell(PartitionResponse(partition_index=self.key[1], error_code=code), request)

    def _tell(self, partition: PartitionResponse, request: Incoming | None) -> None:
        if request is not None:
            push = StreamFetchResponse(
                topic=self.key[0], stream_id=self.number, partition=partition
            )
            self._connection.push(push, request)
