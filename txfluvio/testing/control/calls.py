"""A running fake cluster in the hands of a program in any language: HTTP and JSON.

:class:`Control` declares the calls; how they travel is told in
:mod:`txfluvio.testing.control.routes`, and how values look in
:mod:`txfluvio.testing.control.plain`. ``GET /`` lists the calls with what they take. Every answer
is a JSON object; one to a call that was refused has a status of 400 or more and an ``error`` that
says what was expected. Each call does one thing that a :class:`~txfluvio.testing.broker.FakeBroker`
can do, and nothing here decides anything.

It listens on loopback and nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import HTTPFactory

from ..._sites import QuietSite
from ...errors import UsageError
from ...wire.compression import Compression
from ...wire.sc import PartitionResolution
from ..broker import FakeBroker
from ..faults import Fault
from ..faults.as_json import from_json, to_json
from ..faults.planting import Planted
from ..given import Given, NotThere
from ..sc import lifecycle
from ..server.journal import Direction, Entry, check_name
from ..snapshot import Snapshot
from .plain import given_bytes, plain_entry, plain_offset, plain_produced, plain_record
from .routes import (
    MAX_SECONDS,
    Field,
    Interface,
    Listing,
    Refused,
    flag,
    number,
    of_type,
    route,
    seconds,
    text,
)

MAX_SNAPSHOTS = 100
"""How many snapshots are kept at once."""

MAX_FAULTS = 10_000
"""How many faults are remembered at once."""

MAX_COUNT = 2**32 - 1
"""The most partitions and replicas for which a topic has room to ask."""

DEFAULT_LIMIT = 1_000
"""How many entries are answered where the request does not say."""


def _given_record(value: Any) -> Given:
    if isinstance(value, dict) and "value" in value:
        if set(value) - {"key", "value"}:
            raise ValueError("a record has a key and a value, and nothing else")
        key = value.get("key")
        return (None if key is None else given_bytes(key), given_bytes(value["value"]))
    return given_bytes(value)


def _given_records(value: Any) -> Sequence[Given]:
    if not isinstance(value, list) or not value:
        raise ValueError(value)
    return [_given_record(one) for one in value]


_RECORDS = Field(
    'a list of values, or of objects with key and value; each text or {"base64": ...}',
    _given_records,
)


def _compression(value: Any) -> Compression:
    try:
        return Compression[of_type(str)(value).upper()]
    except KeyError:
        raise ValueError(value) from None


def _fault(value: Any) -> Fault:
    try:
        return from_json(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


_FAULT = Field(
    'a fault such as {"match": {"api": "Produce"}, "action": {"do": "LoseReply"}, "times": 1}',
    _fault,
)

_CODECS = " or ".join(codec.name.lower() for codec in Compression)
_COMPRESSION = Field(_CODECS, _compression, str, Compression.NONE)


def _call(value: Any) -> str:
    name: str = of_type(str)(value)
    try:
        check_name(name)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return name


_CALL = Field("the name of a call", _call, str, None)


def _direction(value: Any) -> Direction:
    return Direction(of_type(str)(value))


_DIRECTION = Field(" or ".join(one.value for one in Direction), _direction, str, None)


class Control:
    """The calls.

    :param scheduler: runs the time-outs of those who wait.
    """

    def __init__(self, broker: FakeBroker, scheduler: IReactorTime) -> None:
        self._broker = broker
        self._scheduler = scheduler
        self._numbers = itertools.count(1)
        self._snapshots: dict[int, Snapshot] = {}
        self._planted: dict[int, Planted] = {}
        self._shows: dict[tuple[str, int | None], Callable[[], None]] = {}
        self._resumes: dict[tuple[str | None, int | None], Callable[[], None]] = {}

    # Looking

    @route("GET", "/cluster")
    def cluster(self) -> Any:
        """Where the servers are, what topics there are and who leads what, and the time here."""
        broker = self._broker
        metadata = broker.cluster.metadata
        topics: dict[str, list[Any]] = {item.name: [] for item in metadata.topics}
        for item in metadata.partitions:
            topic, partition = lifecycle.partition_key(item.name)
            topics.setdefault(topic, []).append(
                {
                    "partition": partition,
                    "leader": item.spec.leader,
                    "replicas": list(item.spec.replicas),
                    "online": item.status.resolution is PartitionResolution.ONLINE,
                }
            )
        running = broker.running_spus
        return {
            "sc": broker.sc_endpoint,
            "spus": [
                {"id": spu_id, "endpoint": endpoint, "up": spu_id in running}
                for spu_id, endpoint in broker.spu_endpoints.items()
            ],
            "topics": topics,
            "automatic_elections": broker.cluster.automatic_elections,
            "now": broker.now(),
        }

    @route(
        "GET",
        "/topics/{topic}/records",
        topic=text(),
        partition=number(None),
        at_least=number(0),
        timeout=seconds(10),
        offset=number(0),
        limit=number(DEFAULT_LIMIT),
    )
    async def records(
        self,
        topic: str,
        partition: int | None,
        at_least: int,
        timeout: float,
        offset: int,
        limit: int,
    ) -> Any:
        """What is stored from an offset on, committed or not; it may wait until it is enough."""

        def found() -> list[Any]:
            stored = self._broker.records(topic, partition)
            return [record for record in stored if (record.offset or 0) >= offset]

        missing: UsageError | None = None

        def enough() -> bool:
            nonlocal missing
            missing = None
            try:
                logs = [one.log for one in self._broker.replicas(topic, partition).values()]
                # Not every offset has a record, but every record has one, and these cost nothing.
                most = sum(max(0, log.leo - max(offset, log.log_start)) for log in logs)
                return most >= at_least and len(found()) >= at_least
            except UsageError as error:
                # Not all of the topic is there, or has a leader, at present.
                missing = error
                return False

        if at_least:
            try:
                await self._until(enough, timeout, f"there are not {at_least} records in {topic}")
            except Refused as late:
                if missing is None:
                    raise
                raise Refused(late.status, f"{late}: {missing}") from missing
        return Listing("records", map(plain_record, found()[:limit]))

    @route(
        "GET", "/produced", topic=text(None), partition=number(None), limit=number(DEFAULT_LIMIT)
    )
    def produced(self, topic: str | None, partition: int | None, limit: int) -> Any:
        """The last that clients have produced, whatever became of it."""
        found = self._broker.produced(topic, partition)
        return Listing("produced", map(plain_produced, _last(found, limit)))

    @route(
        "GET",
        "/offsets",
        topic=text(None),
        partition=number(None),
        consumer_id=text(None),
        limit=number(DEFAULT_LIMIT),
    )
    def offsets(
        self, topic: str | None, partition: int | None, consumer_id: str | None, limit: int
    ) -> Any:
        """The offsets that consumers have stored, by consumer, topic and partition.

        Modified is when that was, in seconds since the Unix epoch.
        """
        found = self._broker.stored_offsets(topic, partition, consumer_id)
        return Listing("offsets", map(plain_offset, found[:limit]))

    @route(
        "GET",
        "/journal",
        api=_CALL,
        server=text(None),
        direction=_DIRECTION,
        connection=number(None),
        at_least=number(0),
        timeout=seconds(10),
        limit=number(DEFAULT_LIMIT),
    )
    async def journal(
        self,
        api: str | None,
        server: str | None,
        direction: Direction | None,
        connection: int | None,
        at_least: int,
        timeout: float,
        limit: int,
    ) -> Any:
        """The last requests, replies and pushes; it may wait until it is enough of them.

        The server is SC, or SPU and an id.
        """
        servers = self._broker.connections
        if server is not None and server not in servers:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                f"the field 'server' is {server!r}: expected one of {', '.join(servers)}",
            )
        journal = self._broker.journal

        def wanted(entry: Entry) -> bool:
            return (
                api in (None, entry.name)
                and server in (None, entry.server)
                and direction in (None, entry.direction)
                and connection in (None, entry.connection)
            )

        def found() -> list[Entry]:
            return list(filter(wanted, journal))

        seen = most = 0

        def enough() -> bool:
            # Only what came since the last look is looked at; what was forgotten since counts too,
            # so before it is enough, all are counted.
            nonlocal seen, most
            most += sum(wanted(entry) for _, entry in journal.behind(seen))
            seen = journal.total
            if most >= at_least:
                most = len(found())
            return most >= at_least

        if at_least:
            what = f"there are not {at_least} such entries in the journal"
            await self._until(enough, timeout, what)
        return Listing("entries", map(plain_entry, _last(found(), limit)))

    @route("DELETE", "/journal")
    def clear_journal(self) -> None:
        """Forget all requests, replies and pushes until now."""
        self._broker.journal.clear()

    @route("GET", "/complaints")
    def complaints(self) -> Any:
        """What clients did wrong."""
        return {
            "complaints": [
                {"server": one.server, "connection": one.connection, "text": one.text}
                for one in self._broker.complaints
            ]
        }

    # Topics

    @route(
        "POST",
        "/topics",
        name=text(),
        partitions=number(1, least=1, most=MAX_COUNT),
        replication=number(1, least=1, most=MAX_COUNT),
    )
    async def create_topic(self, name: str, partitions: int, replication: int) -> None:
        """Create a topic; answered when all of its partitions can be used.

        Where they can not, because there are too few SPUs, that is an error after as long as an SC
        waits: 90 s, or what --time topic-wait=SECONDS says.
        """
        await self._broker.cluster.create_topic(
            name, partitions=partitions, replication=replication
        )

    @route("DELETE", "/topics/{topic}", topic=text())
    async def delete_topic(self, topic: str) -> None:
        """Delete a topic with its records."""
        await self._broker.cluster.delete_topic(topic)

    @route(
        "POST",
        "/topics/{topic}/records",
        topic=text(),
        partition=number(0),
        records=_RECORDS,
        compression=_COMPRESSION,
    )
    def append(
        self, topic: str, partition: int, records: Sequence[Given], compression: Compression
    ) -> dict[str, int]:
        """Put records into a partition as one batch; answers the offset of the first."""
        offset = self._broker.append(topic, records, partition, compression=compression)
        return {"offset": offset}

    @route("POST", "/topics/{topic}/evict", topic=text(), partition=number(0), before=number())
    def evict(self, topic: str, partition: int, before: int) -> None:
        """Drop what a partition holds below an offset, as retention does."""
        self._broker.evict(topic, partition, before)

    @route("POST", "/topics/{topic}/leader", topic=text(), partition=number(0), to=number())
    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """Make another SPU the leader of a partition of which it has a replica."""
        self._broker.move_leader(topic, partition, to)

    @route("POST", "/topics/{topic}/hide", topic=text(), partition=number(None))
    def hide(self, topic: str, partition: int | None) -> None:
        """Let clients see a topic, or one partition of it, as deleted, while it is served."""
        self._shows[topic, partition] = self._broker.hide_from_metadata(topic, partition)

    @route("POST", "/topics/{topic}/show", topic=text(), partition=number(None))
    def show(self, topic: str, partition: int | None) -> None:
        """Let clients see again what was hidden in the same words."""
        _undo(self._shows, (topic, partition), "hidden")

    # Servers

    @route("POST", "/spus")
    async def add_spu(self) -> dict[str, int]:
        """Start one more SPU; answers its id."""
        return {"id": await self._broker.add_spu()}

    @route("POST", "/spus/{spu}/down", spu=number())
    async def spu_down(self, spu: int) -> None:
        """Stop an SPU: its connections end, its partitions get another leader or none."""
        await self._broker.spu_down(spu)

    @route("POST", "/spus/{spu}/up", spu=number())
    async def spu_up(self, spu: int) -> None:
        """Start an SPU again, at its old address and with what it had."""
        await self._broker.spu_up(spu)

    @route("POST", "/sc/down")
    async def sc_down(self) -> None:
        """Stop the SC; SPUs go on with what they know."""
        await self._broker.sc_down()

    @route("POST", "/sc/up")
    async def sc_up(self) -> None:
        """Start the SC again, at its old address and with what it had."""
        await self._broker.sc_up()

    @route("POST", "/elections", automatic=flag())
    def elections(self, automatic: bool) -> None:
        """Say whether a partition whose leader goes gets another one by itself."""
        self._broker.cluster.automatic_elections = automatic

    @route("POST", "/replication/stall", topic=text(None), partition=number(None))
    def stall(self, topic: str | None, partition: int | None) -> None:
        """Let followers of a partition, of a topic or of all get nothing."""
        if (topic, partition) not in self._resumes:
            self._resumes[topic, partition] = self._broker.stall_replication(topic, partition)

    @route("POST", "/replication/resume", topic=text(None), partition=number(None))
    def resume(self, topic: str | None, partition: int | None) -> None:
        """Let followers catch up that were stalled in the same words."""
        _undo(self._resumes, (topic, partition), "stalled")

    @route("POST", "/clock", seconds=seconds(least=-MAX_SECONDS))
    def move_clock(self, seconds: float) -> dict[str, float]:
        """Let the time of day jump; answers the time here, since the Unix epoch."""
        self._broker.move_clock(seconds)
        return {"now": self._broker.now()}

    # Faults

    @route("POST", "/faults", fault=_FAULT, optional=flag(False))
    def plant(self, fault: Fault, optional: bool) -> dict[str, int]:
        """Let something go wrong from now on; answers the number of the fault.

        One that is not optional is listed as unfired by GET /faults until it has acted.
        """
        if len(self._planted) >= MAX_FAULTS:
            raise UsageError(
                f"there are {MAX_FAULTS} faults already: reset, or delete those that have acted"
            )
        number = next(self._numbers)
        self._planted[number] = self._broker.plant(fault, optional=optional)
        return {"id": number}

    @route("GET", "/faults")
    def faults(self) -> Any:
        """What is planted, and how often each has acted; the numbers of those that should have."""
        planted = self._planted.items()
        return {
            "faults": {
                number: {**to_json(one.fault), "hits": one.hits, "held": one.held}
                for number, one in planted
            },
            "unfired": [number for number, one in planted if one.unfired],
        }

    @route("GET", "/faults/{id}", id=number(), at_least=number(1), timeout=seconds(10))
    async def hits(self, id: int, at_least: int, timeout: float) -> dict[str, int]:
        """Wait until a fault has acted so many times; answers how many times."""
        planted = self._fault(id)
        if planted.hits < at_least:
            waiting = planted.wait(at_least)
            what = f"the fault has not acted {at_least} times"
            try:
                await self._in_time(waiting, timeout, what)
            except CancelledError:
                if not planted.removed:
                    raise
                raise UsageError(f"fault {id} was taken away") from None
        return {"hits": planted.hits}

    @route("POST", "/faults/{id}/release", id=number())
    def release(self, id: int) -> None:
        """Let everything go on that is held by a fault; what comes later is held again."""
        self._fault(id).release()

    @route("DELETE", "/faults/{id}", id=number())
    def remove(self, id: int) -> None:
        """Let a fault act no more, and let go what it holds.

        One that should have acted and never has stays in the list of those.
        """
        planted = self._fault(id)
        planted.remove()
        if not planted.unfired:
            del self._planted[id]

    def _fault(self, number: int) -> Planted:
        planted = self._planted.get(number)
        if planted is None:
            raise NotThere(f"there is no fault {number}")
        return planted

    # All of it

    @route("POST", "/snapshots")
    def snapshot(self) -> dict[str, int]:
        """Remember all that is stored now; answers the number of the snapshot."""
        if len(self._snapshots) >= MAX_SNAPSHOTS:
            raise UsageError(f"there are {MAX_SNAPSHOTS} snapshots already: delete some")
        number = next(self._numbers)
        self._snapshots[number] = self._broker.snapshot()
        return {"id": number}

    @route("POST", "/snapshots/{id}/restore", id=number())
    async def restore(self, id: int) -> None:
        """Go back to a snapshot: every connection ends, and the servers come back."""
        await self._broker.restore(self._known(id))

    @route("DELETE", "/snapshots/{id}", id=number())
    def forget(self, id: int) -> None:
        """Forget a snapshot."""
        self._known(id)
        del self._snapshots[id]

    @route("POST", "/reset")
    async def reset(self) -> None:
        """Go back to how it was when it had started, in everything; snapshots are forgotten."""
        self._shows.clear()
        self._resumes.clear()
        self._snapshots.clear()
        self._planted.clear()
        await self._broker.reset()

    def _known(self, number: int) -> Snapshot:
        snapshot = self._snapshots.get(number)
        if snapshot is None:
            raise NotThere(f"there is no snapshot {number}")
        return snapshot

    async def _until(self, holds: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until something holds.

        :raises Refused: it does not in time.
        """
        await self._in_time(self._broker.wait_for(lambda _: holds()), timeout, what)

    async def _in_time(self, waiting: Deferred[Any], timeout: float, what: str) -> None:
        waiting.addTimeout(timeout, self._scheduler)
        try:
            await waiting
        except DeferredTimeout:
            raise Refused(HTTPStatus.GATEWAY_TIMEOUT, f"{what} after {timeout} s") from None


def control_site(control: Control, reactor: Any) -> HTTPFactory:
    """What serves the calls, for whom a broker is put into the hands of."""
    return QuietSite(Interface(control), reactor=reactor)


def _undo(
    done: dict[Any, Callable[[], None]], what: tuple[str | None, int | None], how: str
) -> None:
    undo = done.pop(what, None)
    if undo is None:
        raise UsageError(f"nothing was {how} in these words")
    undo()


def _last(found: list[Any], limit: int) -> list[Any]:
    return found[max(0, len(found) - limit) :]
