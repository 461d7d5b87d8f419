"""Produce: what is checked, in which order, and how long a producer waits for followers.

The order of the checks and their codes are those of
``fluvio-spu/src/services/public/produce_handler.rs``: leader, mirror, SmartModules, records at all,
then what :meth:`txfluvio.testing.spu.replica.Replica.append` checks. Entries are independent of
each other and answered one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs
from twisted.internet.defer import Deferred

from ...errors import ProtocolError
from ...wire.codes import Code, ErrorCode, RequestKind, error
from ...wire.records import Batch
from ...wire.schema import evolve
from ...wire.spu import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    SmartModuleInvocation,
    TopicProduceResponse,
)
from ..server.protocol import Connection, Incoming
from ..smartmodules.chain import ChainError, Trap, merge
from .replica import AppendError, Key, Replica
from .session import Session
from .spu import Spu


@attrs.define
class _Written:
    """One entry of a Produce: its answer so far, and the offset that has to be committed.

    :ivar end: 0 where there was nothing to append.
    :ivar replica: who took it; that role in the partition may be over since. ``None``: refused.
    """

    answer: PartitionProduceResponse
    key: Key
    end: int = 0
    replica: Replica | None = None


def produce(
    spu: Spu, message: ProduceRequest, request: Incoming, session: Session
) -> Deferred[None] | None:
    """Append what can be appended, and answer once acks allow it.

    :raises ProtocolError: what would make a real SPU hang up or crash; nothing is appended.
    """
    if message.timeout_ms < 0:
        raise ProtocolError(f"a timeout of {message.timeout_ms} ms")
    batches = [[_batches(entry) for entry in topic.partitions] for topic in message.topics]
    topics = [
        (
            topic.name,
            [
                _write(
                    spu, topic.name, entry, sent, message.smartmodules, request, session.connection
                )
                for entry, sent in zip(topic.partitions, entries, strict=True)
            ],
        )
        for topic, entries in zip(message.topics, batches, strict=True)
    ]

    def answer() -> None:
        responses = tuple(
            TopicProduceResponse(name=name, partitions=tuple([one.answer for one in entries]))
            for name, entries in topics
        )
        session.connection.reply(ProduceResponse(responses=responses), request)

    written = [one for _, entries in topics for one in entries]
    if message.isolation >= 0 or all(_outstanding(spu, one) is None for one in written):
        answer()
        return None
    work = _wait_for_followers(spu, written, message.timeout_ms, answer)
    session.waiting = Deferred.fromCoroutine(work)
    return session.waiting


def _batches(entry: PartitionProduceData) -> Sequence[Batch]:
    """The batches that a producer sent for one partition.

    A real SPU takes what comes behind the last whole batch for the rest of the request, and a
    batch with a schema id makes it crash; both end the connection here.
    """
    batches = entry.records.batches(check_crc=False)
    end = batches[-1].end if batches else entry.records.start
    if end != entry.records.end:
        raise ProtocolError("a record set that ends inside a batch", field="records")
    if any(batch.schema_id is not None for batch in batches):
        raise ProtocolError("a batch with a schema id", field="records")
    return batches


def _write(
    spu: Spu,
    topic: str,
    entry: PartitionProduceData,
    batches: Sequence[Batch],
    modules: Sequence[SmartModuleInvocation],
    request: Incoming,
    connection: Connection,
) -> _Written:
    number = entry.partition_index
    key = (topic, number)

    def refused(code: ErrorCode) -> _Written:
        answer = PartitionProduceResponse(partition_index=number, error_code=code)
        return _Written(answer, key)

    replica = spu.leads(key)
    if replica is None:
        return refused(error(Code.NOT_LEADER_FOR_PARTITION))
    if replica.refusal is not None:
        return refused(replica.refusal)
    if modules:
        try:
            batches = _transformed(spu, replica, batches, modules, request.header.api_version)
        except ChainError as reason:
            return refused(reason.error)
    if all(batch.last_offset_delta < 0 for batch in batches):
        return _Written(PartitionProduceResponse(partition_index=number), key, 0, replica)
    try:
        appended = replica.append(batches, spu.now())
    except AppendError as reason:
        if reason.error.code == Code.STORAGE_ERROR:
            connection.complain(f"sent a batch without records to {topic}/{number}")
        return refused(reason.error)
    if appended.repaired:
        connection.complain(f"sent a batch with a wrong checksum to {topic}/{number}")
    answer = PartitionProduceResponse(partition_index=number, base_offset=appended.base)
    return _Written(answer, key, appended.end, replica)


def _transformed(
    spu: Spu,
    replica: Replica,
    batches: Sequence[Batch],
    modules: Sequence[SmartModuleInvocation],
    version: int,
) -> Sequence[Batch]:
    """What SmartModules make of the batches of one entry: one batch, whatever is in it.

    :raises ChainError: they do not start, or fail.
    """
    chain = spu.modules.start(modules, version, spu.now)
    chain.look_back(replica.log, spu.now())
    try:
        merged = merge(chain, batches)
    except Trap as trap:
        raise ChainError.of(Code.OTHER, f"smartmodule chain failed: {trap}") from trap
    if merged.error is not None:
        raise ChainError(merged.error_code)
    return [Batch(merged.encode(), 0)]


def _outstanding(spu: Spu, written: _Written) -> Replica | ErrorCode | None:
    """Whose followers lack it yet, or why nobody will know; ``None``: the answer stands."""
    replica = written.replica
    if replica is None:
        return None
    if spu.leads(written.key) is not replica:
        # Who leads again has another log, perhaps: what was appended may have been cut.
        return error(Code.NOT_LEADER_FOR_PARTITION)
    return None if replica.log.hw >= written.end else replica


async def _wait_for_followers(
    spu: Spu, written: Iterable[_Written], timeout_ms: int, answer: Callable[[], None]
) -> None:
    for one in written:
        pending = _outstanding(spu, one)
        if isinstance(pending, Replica):
            if await _committed(spu, pending, one.end, timeout_ms / 1000):
                continue
            kind = RequestKind.PRODUCE
            pending = error(Code.REQUEST_TIMED_OUT, timeout_ms=timeout_ms, kind=kind)
        if pending is not None:
            one.answer = evolve(one.answer, error_code=pending)
    answer()


def _committed(spu: Spu, replica: Replica, end: int, timeout: float) -> Deferred[bool]:
    """Fires when all replicas have everything below ``end``, or with ``False`` too late."""
    waiter: Deferred[bool] = Deferred()

    def look() -> None:
        if replica.log.hw >= end:
            waiter.callback(True)

    return spu.timers.limit(waiter, timeout, replica.subscribe(look))
