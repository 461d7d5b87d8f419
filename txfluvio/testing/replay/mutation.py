"""Requests like the recorded ones, but other: the fake has to keep the protocol's promises.

Where there is no recording to compare with, there is what always holds. Each mutated request goes,
on a connection of its own, to a fake in the state in which the conversation began, and what comes
back is held against the fake's own logs, and against the answer at another version.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from ...errors import ProtocolError
from ...wire.codes import Code
from ...wire.headers import REPLY_BODY, encode_request, reply_correlation_id
from ...wire.records import RecordSet
from ...wire.schema import Message, Request, evolve
from ...wire.spu import (
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    IsolationLevel,
    OffsetUpdate,
    PartitionResponse,
    ProduceRequest,
    ProduceResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateOffsetsRequest,
)
from ...wire.versions import ApiVersionsRequest
from ..spu.log import PartitionLog
from ..spu.replica import Key
from .beginning import beginning_of
from .comparison import unlike
from .conversation import Conversation, ServerId
from .stage import Line, Stage

MUTABLE = (FetchRequest, StreamFetchRequest, FetchOffsetsRequest, ProduceRequest)
"""What is mutated: the calls that say where, how much and how."""

MAX_PUSHES = 200
"""A stream that is not over after so many pushes is followed no further."""

_SIZES = (0, 1, 11, 12, 56, 57, 58, 100, 200, 1_000, 65_536, 1_048_576, 2**31 - 1, -1, -(2**31))
_NOWHERE = "no-such-topic"
_UNSIGNED = 0xFFFF_FFFF
_WAIT = 5.0


@attrs.frozen
class Mutant:
    """A request that was never recorded.

    :ivar line: the line of the recorded one that it was made of.
    :ivar changed: what was changed, in words.
    """

    line: int
    server: ServerId
    message: Request[Any]
    version: int
    changed: str

    def __str__(self) -> str:
        name = type(self.message).__name__
        return f"{self.line}: {name} version {self.version}, {self.changed}"


@attrs.frozen
class Broken:
    """A promise that the fake did not keep."""

    mutant: Mutant
    promise: str

    def __str__(self) -> str:
        return f"{self.mutant}: {self.promise}"


def replay_mutated(lines: Iterable[str], count: int, seed: int) -> tuple[Broken, ...]:
    """Send mutated requests of a recording to a fake; what it should have done otherwise.

    :param count: how many requests.
    :param seed: the same one makes the same requests.
    :raises UsageError: the lines are not those of a recording.
    """
    conversation = Conversation.read(lines)
    mutants = list(mutated(conversation, count, random.Random(seed)))
    if not mutants:
        return ()
    stage = Stage(beginning_of(conversation))
    stage.start()
    judge = Judge(stage)
    for mutant in mutants:
        judge.try_out(mutant)
    stage.stop()
    return tuple(judge.broken)


# Making them


def mutated(conversation: Conversation, count: int, rng: random.Random) -> Iterator[Mutant]:
    """So many mutated requests; none where the conversation has nothing that can be mutated."""
    originals = [one for one in conversation.requests() if isinstance(one.message, MUTABLE)]
    places = _places(one.message for one in originals if one.message is not None)
    for _ in range(count if originals else 0):
        event = rng.choice(originals)
        frame, message = event.frame, event.message
        assert frame is not None
        assert message is not None
        change = rng.choice(_CHANGES[type(message)])
        mutant, version, changed = change(message, frame.header.api_version, places, rng)
        yield Mutant(event.line, event.server, mutant, version, changed)


Change = Callable[[Any, int, list[Key], random.Random], tuple[Any, int, str]]


def _places(messages: Iterable[Message]) -> list[Key]:
    """The partitions that the conversation speaks of, and some that there are not."""
    found: dict[Key, None] = {}
    for message in messages:
        if isinstance(message, StreamFetchRequest):
            found[message.topic, message.partition] = None
        elif isinstance(message, FetchOffsetsRequest):
            for topic in message.topics:
                for one in topic.partitions:
                    found[topic.name, one.partition_index] = None
        elif isinstance(message, ProduceRequest):
            for sent in message.topics:
                for entry in sent.partitions:
                    found[sent.name, entry.partition_index] = None
    known = list(found)
    return [*known, *[(topic, 4_000) for topic, _ in known], (_NOWHERE, 0), ("", 0)]


def _version(message: Any, _: int, __: list[Key], rng: random.Random) -> tuple[Any, int, str]:
    api = message.api
    lowest = 18 if isinstance(message, StreamFetchRequest) else 0
    version = rng.randint(min(lowest, api.min_version), api.max_version)
    return message, version, "another version"


def _start(message: Any, version: int, _: list[Key], rng: random.Random) -> tuple[Any, int, str]:
    start = rng.choice((-(2**63), -5, -1, 0, 1, 2, 3, 5, 8, 13, 23, 40, 9_999, 2**63 - 1))
    if isinstance(message, StreamFetchRequest):
        return evolve(message, fetch_offset=start), version, f"start {start}"
    topics = tuple(
        evolve(
            topic,
            fetch_partitions=tuple(
                evolve(one, fetch_offset=start) for one in topic.fetch_partitions
            ),
        )
        for topic in message.topics
    )
    return evolve(message, topics=topics), version, f"start {start}"


def _max_bytes(message: Any, version: int, _: list[Key], rng: random.Random) -> Any:
    size = rng.choice(_SIZES)
    return evolve(message, max_bytes=size), version, f"max_bytes {size}"


def _isolation(message: Any, version: int, _: list[Key], rng: random.Random) -> Any:
    if isinstance(message, ProduceRequest):
        acks = rng.choice((-2, -1, 0, 1, 7))
        return evolve(message, isolation=acks), version, f"acks {acks}"
    level = rng.choice(tuple(IsolationLevel))
    name = "isolation" if isinstance(message, StreamFetchRequest) else "isolation_level"
    return evolve(message, **{name: level}), version, level.name


def _topic(message: Any, version: int, places: list[Key], rng: random.Random) -> Any:
    topic, partition = rng.choice(places)
    where = f"{topic!r}/{partition}"
    if isinstance(message, StreamFetchRequest):
        return evolve(message, topic=topic, partition=partition), version, where
    inner = "fetch_partitions" if isinstance(message, FetchRequest) else "partitions"
    topics = tuple(
        evolve(
            one,
            name=topic,
            **{
                inner: tuple(
                    evolve(entry, partition_index=partition) for entry in getattr(one, inner)
                )
            },
        )
        for one in message.topics
    )
    return evolve(message, topics=topics), version, where


def _fetch(message: Any, _: int, __: list[Key], rng: random.Random) -> Any:
    """The other call that reads, of the same place."""
    part = FetchPartition(partition_index=message.partition, fetch_offset=message.fetch_offset)
    fetch = FetchRequest(
        max_bytes=message.max_bytes,
        isolation_level=message.isolation,
        topics=(FetchTopic(name=message.topic, fetch_partitions=(part,)),),
    )
    return fetch, rng.randint(0, fetch.api.max_version), "a Fetch instead of a stream"


_CHANGES: dict[type, tuple[Change, ...]] = {
    FetchRequest: (_version, _start, _max_bytes, _isolation, _topic),
    StreamFetchRequest: (_version, _start, _max_bytes, _isolation, _topic, _fetch),
    FetchOffsetsRequest: (_version, _topic),
    ProduceRequest: (_version, _isolation, _topic),
}


# Judging them


@attrs.define(eq=False)
class _Peer:
    """A client that keeps what it gets."""

    line: Line | None = None
    frames: list[bytes] = attrs.Factory(list)

    def send(self, message: Request[Any], version: int, correlation_id: int) -> None:
        assert self.line is not None
        data = encode_request(
            message, version=version, correlation_id=correlation_id, client_id="mutant"
        )
        self.line.send(data[4:])

    def of(self, correlation_id: int) -> list[bytes]:
        return [one for one in self.frames if reply_correlation_id(one) == correlation_id]


class Judge:
    """Tries mutants out on a stage.

    :ivar broken: the promises that were not kept.
    """

    def __init__(self, stage: Stage) -> None:
        self.broken: list[Broken] = []
        self._stage = stage
        self._mutant: Mutant

    def try_out(self, mutant: Mutant) -> None:
        """Send one request, follow what comes of it, and look whether everything else is well."""
        self._mutant = mutant
        before = self._ends()
        peer = self._peer(mutant.server)
        if peer is None:
            self._break("nobody listens")
            return
        message = mutant.message
        peer.send(message, mutant.version, 1)
        if isinstance(message, StreamFetchRequest):
            self._follow(peer, message)
        else:
            self._answered(peer, message, before)
        if not isinstance(message, ProduceRequest) and self._ends() != before:
            self._break("a look changed a log")
        if peer.line is not None and not peer.line.ended:
            peer.line.finish()
        self._still_served(mutant.server)

    # Replies

    def _answered(self, peer: _Peer, message: Request[Any], before: dict[Key, int]) -> None:
        reply = self._only_reply(peer, message)
        if reply is None:
            return
        if isinstance(reply, FetchResponse) and isinstance(message, FetchRequest):
            self._judge_fetch(message, reply)
        elif isinstance(reply, FetchOffsetsResponse) and isinstance(message, FetchOffsetsRequest):
            self._judge_ends(message, reply)
        elif isinstance(reply, ProduceResponse) and isinstance(message, ProduceRequest):
            self._judge_produce(message, reply, before)
            return
        self._judge_versions(message, reply)

    def _only_reply(self, peer: _Peer, message: Request[Any]) -> Message | None:
        came = self._stage.wait(lambda: bool(peer.frames) or peer.line is None, _WAIT)
        if not came:
            if peer.line is None or not peer.line.ended:
                self._break("no reply, and the connection stays")
            return None
        if len(peer.frames) != 1:
            self._break(f"{len(peer.frames)} replies")
        return self._decoded(message, peer.frames[0])

    def _decoded(self, message: Request[Any], payload: bytes) -> Message | None:
        version = self._mutant.version
        try:
            reply = message.api.reply.decode(payload, version, REPLY_BODY)
        except ProtocolError as error:
            self._break(f"a reply that does not decode: {error}")
            return None
        if reply.encode(version) != payload[REPLY_BODY:]:
            self._break("a reply with bytes that mean nothing")
        return reply

    def _judge_versions(self, message: Request[Any], reply: Message) -> None:
        """The same question at the newest version has the same answer, as far as both tell it."""
        newest = message.api.max_version
        if self._mutant.version == newest or isinstance(message, FetchRequest):
            return
        if getattr(message, "consumer_id", None) is not None:
            return
        peer = self._peer(self._mutant.server)
        if peer is None:
            return
        peer.send(message, newest, 2)
        if not self._stage.wait(lambda: bool(peer.frames), _WAIT):
            self._break("no reply at the newest version")
            return
        other = message.api.reply.decode(peer.frames[0], newest, REPLY_BODY)
        projected = type(reply).decode(other.encode(self._mutant.version), self._mutant.version)
        for one in unlike(projected, reply):
            self._break(f"another answer at version {newest}: {one}")

    def _judge_ends(self, message: FetchOffsetsRequest, reply: FetchOffsetsResponse) -> None:
        asked = [
            (one.name, part.partition_index) for one in message.topics for part in one.partitions
        ]
        told = [(one.name, part.partition_index) for one in reply.topics for part in one.partitions]
        if asked != told:
            self._break(f"asked for {asked}, told of {told}")
        for topic in reply.topics:
            for end in topic.partitions:
                log = self._log((topic.name, end.partition_index))
                if end.error_code:
                    if (end.start_offset, end.last_stable_offset) != (0, 0) and log is None:
                        self._break("an error with offsets")
                elif log is None:
                    self._break("the ends of a log that is not led here")
                elif message.consumer_id is None and end.start_offset != log.log_start:
                    self._break(f"starts at {end.start_offset}, not {log.log_start}")
                elif end.last_stable_offset != log.hw:
                    self._break(f"ends at {end.last_stable_offset}, not {log.hw}")

    def _judge_fetch(self, message: FetchRequest, reply: FetchResponse) -> None:
        for topic, sent in zip(reply.topics, message.topics, strict=True):
            for look, asked in zip(topic.partitions, sent.fetch_partitions, strict=True):
                limit = message.max_bytes if self._mutant.version >= 3 else 0
                isolation = message.isolation_level
                if self._mutant.version < 4:
                    isolation = IsolationLevel.READ_UNCOMMITTED
                key = (topic.name, look.partition_index)
                self._judge_look(key, look, asked.fetch_offset, limit, isolation)

    def _judge_produce(
        self, message: ProduceRequest, reply: ProduceResponse, before: dict[Key, int]
    ) -> None:
        expected = dict(before)
        for topic, sent in zip(reply.responses, message.topics, strict=True):
            for answer, entry in zip(topic.partitions, sent.partitions, strict=True):
                key = (topic.name, answer.partition_index)
                wrote = answer.error_code.code in (Code.NONE, Code.REQUEST_TIMED_OUT)
                batches = entry.records.batches(check_crc=False)
                count = sum(one.last_offset_delta + 1 for one in batches)
                if not wrote:
                    if answer.base_offset and answer.error_code.code != Code.STORAGE_ERROR:
                        self._break(f"an error at offset {answer.base_offset}")
                elif key not in expected:
                    self._break("a success where nobody leads")
                elif count:
                    if answer.base_offset != expected[key]:
                        self._break(
                            f"at {answer.base_offset}, where the log ended at {expected[key]}"
                        )
                    expected[key] += count
        if not message.smartmodules and self._ends() != expected:
            self._break(f"logs end at {self._ends()}, not {expected}")

    # Looks at logs

    def _judge_look(
        self,
        key: Key,
        look: PartitionResponse,
        start: int,
        max_bytes: int,
        isolation: IsolationLevel,
    ) -> None:
        log, code = self._log(key), look.error_code.code
        if code:
            if len(look.records):
                self._break(f"records with error {code}")
            self._judge_refusal(code, look, log, start)
            return
        if log is None:
            self._break("a look into a log that is not led here")
            return
        if not log.log_start <= start <= log.leo:
            self._break(f"{start} can be read from, in {log.log_start} to {log.leo}")
            return
        if (look.high_watermark, look.log_start_offset) != (log.hw, log.log_start):
            self._break(f"hw {look.high_watermark} and start {look.log_start_offset}")
        self._judge_records(look.records, log, start, max_bytes & _UNSIGNED, isolation)

    def _judge_refusal(
        self, code: int, look: PartitionResponse, log: PartitionLog | None, start: int
    ) -> None:
        if code == Code.NOT_LEADER_FOR_PARTITION:
            if log is not None:
                self._break("not the leader, which it is")
        elif log is None:
            self._break(f"error {code} where nobody leads")
        elif code == Code.OFFSET_EVICTED:
            detail = look.error_code.detail
            if start >= log.log_start or detail.next_available != log.log_start:
                self._break(f"{detail} for {start}, where the log starts at {log.log_start}")
        elif code == Code.OTHER and start <= log.leo:
            self._break(f"{look.error_code.detail} for {start}, below {log.leo}")

    def _judge_records(
        self,
        records: RecordSet,
        log: PartitionLog,
        start: int,
        limit: int,
        isolation: IsolationLevel,
    ) -> None:
        end = log.end(isolation)
        if len(records) > limit:
            self._break(f"{len(records)} bytes, over {limit}")
        stored = b"".join(one.data for one in log.since(start) if one.base < end)
        if not stored.startswith(bytes(records)):
            self._break(f"{len(records)} bytes that are not those of the log from {start} on")
        if not len(records) and limit and self._visible(log, start, end):
            self._break(f"nothing from {start} on, where there is something up to {end}")

    # Streams

    def _follow(self, peer: _Peer, message: StreamFetchRequest) -> None:
        """Acknowledge what comes until nothing does; every batch has to come once, in order."""
        if message.smartmodules or message.smartmodule or message.wasm_module:
            self._stage.settle()
            for payload in peer.of(1):
                self._decoded(message, payload)
            return
        key = (message.topic, message.partition)
        position = message.fetch_offset
        for number in range(MAX_PUSHES):
            self._stage.settle()
            pushes = peer.of(1)
            if len(pushes) > number + 1:
                self._break(f"{len(pushes) - number} pushes at once")
            if len(pushes) <= number:
                self._judge_silence(key, position, message)
                return
            push = self._decoded(message, pushes[number])
            if not isinstance(push, StreamFetchResponse):
                return
            if (push.topic, push.partition.partition_index) != key:
                self._break(f"a push of {push.topic}/{push.partition.partition_index}")
            look = push.partition
            self._judge_look(key, look, position, message.max_bytes, message.isolation)
            batches = look.records.batches(check_crc=False)
            if look.error_code or not batches:
                return
            position = batches[-1].next_offset
            update = OffsetUpdate(offset=position, session_id=push.stream_id)
            peer.send(UpdateOffsetsRequest(offsets=(update,)), 0, number + 2)

    def _judge_silence(self, key: Key, position: int, message: StreamFetchRequest) -> None:
        log = self._log(key)
        if log is None:
            self._break("silence where nobody leads")
        elif not log.log_start <= position <= log.leo:
            self._break(f"silence about {position}, in {log.log_start} to {log.leo}")
        elif message.max_bytes and self._visible(log, position, log.end(message.isolation)):
            self._break(f"silence at {position}, before {log.end(message.isolation)}")

    def _visible(self, log: PartitionLog, position: int, end: int) -> bool:
        """Whether there is a whole batch to be read at a position."""
        return position < end and next(log.since(position)).end <= end

    # What they have in common

    def _peer(self, server: ServerId) -> _Peer | None:
        peer = _Peer()
        peer.line = self._stage.connect(server, peer.frames.append)
        return None if peer.line is None else peer

    def _still_served(self, server: ServerId) -> None:
        peer = self._peer(server)
        if peer is None:
            self._break("nobody listens any more")
            return
        peer.send(ApiVersionsRequest(client_version="0.1.0", client_os="", client_arch=""), 2, 9)
        if not self._stage.wait(lambda: bool(peer.frames), _WAIT):
            self._break("nobody else is served any more")
        if peer.line is not None:
            peer.line.finish()

    def _log(self, key: Key) -> PartitionLog | None:
        """The log that the server leads."""
        server = self._mutant.server
        if server == "SC":
            return None
        spu = self._stage.broker.cluster.spus.get(int(server))
        replica = None if spu is None else spu.leads(key)
        return None if replica is None else replica.log

    def _ends(self) -> dict[Key, int]:
        """Where the logs end that the server leads."""
        spu = self._stage.broker.cluster.spus.get(int(self._mutant.server))
        if spu is None:
            return {}
        return {key: one.log.leo for key, one in spu.replicas.items() if spu.leads(key) is one}

    def _break(self, promise: str) -> None:
        self.broken.append(Broken(self._mutant, promise))
