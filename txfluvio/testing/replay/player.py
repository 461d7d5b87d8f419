"""Plays the client of a recorded conversation against a fresh fake, and compares what comes.

The requests go out as they were recorded and when they were. A reply is held against the recorded
one field by field. Watches are folded, each object by itself: the fake has to have told of every
state in which the recorded watch left it when some reply came, in that order; it may have told of
more, since the real SC merges. Streams are compared as bytes and positions: where the fake pushes
in smaller pieces it is acknowledged in between.

The fake is quicker: what was true a moment before counts for partitions that nobody had reported on
(:mod:`.lives`) and for high watermarks (:mod:`.heights`), within the bounds told there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any

import attrs

from ...errors import ProtocolError
from ...wire.codes import Code
from ...wire.headers import REPLY_BODY, encode_request, reply_correlation_id
from ...wire.records import RecordSet
from ...wire.sc import (
    PARTITION,
    TOPIC,
    DeleteRequest,
    ListRequest,
    ListResponse,
    PartitionStatus,
    StatusResponse,
    WatchRequest,
    WatchResponse,
)
from ...wire.schema import Message, evolve
from ...wire.spu import (
    FetchOffsetsResponse,
    FetchResponse,
    OffsetUpdate,
    PartitionResponse,
    ProduceRequest,
    ProduceResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateOffsetsRequest,
)
from ..sc import lifecycle
from ..spu.replica import Key
from .beginning import Beginning, beginning_of
from .comparison import alike, unlike
from .conversation import Conversation, Event, ServerId
from .ends import wrote
from .heights import Heights
from .lives import Lives
from .outside import Outside
from .served import responses, through_modules
from .stage import Line, Stage
from .views import View

PATIENCE = 2.0
"""Seconds that the fake may take longer than the real one."""

TOGETHER = 0.1
"""Seconds within which all connections to a server end when it dies."""

AFTERWARDS = 0.2
"""Seconds that a conversation has to go on for the lack of a push to mean something."""

_OWN = -(2**31)
_STABLE = "last_stable_offset"


@attrs.frozen
class Difference:
    """What the fake did otherwise.

    :ivar line: of the recording.
    :ivar what: the message and its field, and both sides.
    """

    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.line}: {self.what}"


@attrs.frozen
class Outcome:
    """What came of a replay.

    :ivar compared: how many replies, states and pushes were compared.
    :ivar outside: what had to be done to the fake that no request caused.
    """

    differences: tuple[Difference, ...]
    compared: int
    outside: tuple[str, ...]


def replay(lines: Iterable[str]) -> Outcome:
    """Replay one recording.

    :param lines: its lines.
    :raises UsageError: they are not those of a recording, or of one that can not be replayed.
    :raises ProtocolError: a frame is not whole, or answers what nobody asked.
    """
    conversation = Conversation.read(lines)
    player = Player(conversation, beginning_of(conversation))
    return player.play()


@attrs.define(eq=False)
class _Call:
    """A request that was sent to the fake.

    :ivar replies: what the fake has answered and nobody has looked at.
    :ivar height: of a stream, how high its log was known to be when it was last asked for more.
    """

    event: Event
    replies: list[Message | bytes] = attrs.Factory(list)
    view: View | None = None
    height: int = 0

    def receive(self, payload: bytes) -> None:
        frame = self.event.frame
        assert frame is not None
        message: Message | bytes
        try:
            message = frame.api.reply.decode(payload, frame.header.api_version, REPLY_BODY)
        except ProtocolError:
            message = payload[REPLY_BODY:]
        if self.view is not None and isinstance(message, WatchResponse):
            self.view.tell(message)
        else:
            self.replies.append(message)


@attrs.define(eq=False)
class _Connection:
    """A connection of the conversation, to the fake.

    :ivar streams: those that have pushed, by id.
    """

    server: ServerId
    line: Line | None = None
    calls: dict[int, _Call] = attrs.Factory(dict)
    streams: dict[int, _Call] = attrs.Factory(dict)
    finished: bool = False
    next_own: int = _OWN

    def receive(self, payload: bytes) -> None:
        call = self.calls.get(reply_correlation_id(payload))
        if call is not None:
            call.receive(payload)

    @property
    def ended(self) -> bool:
        return self.line is None or self.line.ended


class Player:
    """Plays one conversation.

    :ivar stage: the fake and its time.
    """

    def __init__(self, conversation: Conversation, beginning: Beginning) -> None:
        self.stage = Stage(beginning)
        self._conversation = conversation
        self._outside = Outside(self.stage, beginning)
        self._heights = Heights(self.stage.replica)
        self._lives = Lives(beginning.objects.get(PARTITION.label, {}))
        self._connections: dict[int, _Connection] = {}
        self._calls: dict[int, _Call] = {}
        self._watches: list[_Call] = []
        self._differences: list[Difference] = []
        self._compared = 0
        self._watched_kinds = {
            event.message.kind.label
            for event in conversation.requests()
            if isinstance(event.message, WatchRequest)
        }
        self._frames = [one for one in conversation.events if one.frame is not None]
        self._ends = sorted(
            (one for one in conversation.events if one.frame is None and not one.by_client),
            key=_time,
        )
        self._on: dict[int, list[Event]] = {}
        for event in conversation.events:
            self._on.setdefault(event.connection, []).append(event)

    def play(self) -> Outcome:
        """Play it to its end."""
        self.stage.start()
        for event in self._conversation.events:
            self.stage.advance_to(event.time)
            if event.frame is None:
                self._end(event)
            elif event.by_client:
                self._request(event)
            else:
                self._answer(event)
        self._finish()
        self.stage.stop()
        return Outcome(tuple(self._differences), self._compared, tuple(self._outside.done))

    # What the client does

    def _request(self, event: Event) -> None:
        connection = self._connection(event)
        frame = event.frame
        assert frame is not None
        call = _Call(event)
        message = event.message
        if isinstance(message, WatchRequest):
            call.view = View(message.kind, self._may_be_new)
            self._watches.append(call)
        self._calls[event.line] = call
        connection.calls[frame.header.correlation_id] = call
        if isinstance(message, StreamFetchRequest):
            call.height = self._heights.of((message.topic, message.partition))
        elif isinstance(message, UpdateOffsetsRequest):
            self._acknowledged(message, connection)
        self._outside.asked(message)
        for answer in self._conversation.answers(event):
            self._prepare(answer)
        for following in self._until_next_request(event):
            for key, look in responses(following):
                self._outside.evict(key, look.log_start_offset)
        if connection.line is not None:
            connection.line.send(frame.payload)
        self.stage.settle()

    def _connection(self, event: Event) -> _Connection:
        connection = self._connections.get(event.connection)
        if connection is None:
            connection = self._connections[event.connection] = _Connection(event.server)
            if self._is_answered(event.connection):
                self._outside.server_there(event.server)
            connection.line = self.stage.connect(event.server, connection.receive)
        return connection

    def _acknowledged(self, message: UpdateOffsetsRequest, connection: _Connection) -> None:
        for update in message.offsets:
            call = connection.streams.get(update.session_id)
            asked = None if call is None else call.event.message
            if call is not None and isinstance(asked, StreamFetchRequest):
                call.height = self._heights.of((asked.topic, asked.partition))

    def _until_next_request(self, event: Event) -> Iterator[Event]:
        """What the servers sent before the client sent anything else."""
        events = self._conversation.events
        position = bisect_right(events, event.line, key=_line)
        return takewhile(lambda one: not one.by_client, islice(events, position, None))

    def _is_answered(self, number: int) -> bool:
        return any(one.frame is not None and not one.by_client for one in self._on[number])

    def _prepare(self, answer: Event) -> None:
        """Others have done what the answer of a request shows of them."""
        message, asked = answer.message, answer.asked
        if isinstance(message, ProduceResponse) and isinstance(asked, ProduceRequest):
            first: dict[Key, int] = {}
            for topic, sent in zip(message.responses, asked.topics, strict=False):
                for one, entry in zip(topic.partitions, sent.partitions, strict=False):
                    if wrote(one, entry):
                        first.setdefault((topic.name, one.partition_index), one.base_offset)
            # What comes before the others is the request's own work.
            for key, base in first.items():
                self._outside.supply(key, base)
        elif isinstance(message, FetchOffsetsResponse):
            for ends in message.topics:
                for end in ends.partitions:
                    if not end.error_code:
                        key = (ends.name, end.partition_index)
                        self._outside.supply(key, end.last_stable_offset)
                        if getattr(asked, "consumer_id", None) is None:
                            self._outside.evict(key, end.start_offset)
        elif isinstance(message, ListResponse) and isinstance(asked, ListRequest):
            if asked.kind.label not in self._watched_kinds:
                self._outside.listed(asked, message)
        else:
            for key, look in responses(answer):
                if look.error_code.code == Code.OFFSET_EVICTED:
                    self._outside.evict(key, look.error_code.detail.next_available)

    # What the servers do

    def _answer(self, event: Event) -> None:
        call = self._calls[event.call.line]
        message = event.message
        if isinstance(message, WatchResponse) and call.view is not None:
            self._watched(event, message, call.view)
            return
        if isinstance(message, StreamFetchResponse):
            self._pushed(event, message, call)
        else:
            self._replied(event, event.said, call)
        self._compare_views()

    def _replied(self, event: Event, message: Message | bytes, call: _Call) -> None:
        self._compared += 1
        if not self.stage.wait(lambda: bool(call.replies), PATIENCE):
            self._differ(event, "no reply")
            return
        replayed = call.replies.pop(0)
        if isinstance(message, ListResponse) and message.kind is PARTITION:
            replayed = self._listed(event, message, replayed)
        elif isinstance(message, FetchOffsetsResponse | FetchResponse):
            replayed = self._looked(event, message, replayed)
        self._compare(event, message, replayed)
        asked = call.event.message
        if isinstance(message, StatusResponse) and not message.error_code:
            self._lives.answered(asked, event.time)
            if isinstance(asked, DeleteRequest) and asked.kind is TOPIC:
                self._heights.forget(str(asked.key))
        if isinstance(message, ProduceResponse) and isinstance(asked, ProduceRequest):
            self._compare_ends(event, message, asked)

    def _listed(
        self, event: Event, recorded: ListResponse, replayed: Message | bytes
    ) -> Message | bytes:
        """The fake's list, its partitions as new as they were when the recorded one was made."""
        known = {one.name: one for one in recorded.objects}
        if isinstance(replayed, ListResponse) and replayed.kind is PARTITION:
            objects = [
                self._lives.as_early(known.get(one.name), one, event.time)
                for one in replayed.objects
            ]
            replayed = evolve(replayed, objects=tuple(objects))
        for name, one in known.items():
            self._lives.see(name, one, event.time)
        return replayed

    def _compare_ends(self, event: Event, answer: ProduceResponse, asked: ProduceRequest) -> None:
        """What was appended is in the fake's log, unless a module may have dropped it."""
        for topic, sent in zip(answer.responses, asked.topics, strict=False):
            for one, entry in zip(topic.partitions, sent.partitions, strict=False):
                replica = self.stage.replica((topic.name, one.partition_index))
                if not wrote(one, entry) or replica is None:
                    continue
                if asked.smartmodules or replica.spec.deduplication:
                    continue
                batches = entry.records.batches(check_crc=False)
                end = one.base_offset + sum(batch.last_offset_delta + 1 for batch in batches)
                self._heights.see((topic.name, one.partition_index), end)
                if replica.log.leo < end:
                    self._differ(event, f"the log ends at {replica.log.leo}, before {end}")

    def _compare(self, event: Event, recorded: Message | bytes, replayed: Message | bytes) -> None:
        for one in unlike(recorded, replayed):
            self._differ(event, str(one))

    # High watermarks

    def _looked(
        self,
        event: Event,
        recorded: FetchOffsetsResponse | FetchResponse,
        replayed: Message | bytes,
    ) -> Message | bytes:
        """The fake's answer, with the high watermarks of before that replicas explain."""
        if not isinstance(replayed, FetchOffsetsResponse | FetchResponse):
            return replayed
        topics: list[Any] = []
        pairs: Any = zip(replayed.topics, recorded.topics, strict=False)
        for topic, told in pairs:
            looks = []
            for look, one in zip(topic.partitions, told.partitions, strict=False):
                key = (told.name, one.partition_index)
                field = "high_watermark" if isinstance(one, PartitionResponse) else _STABLE
                now = getattr(look, field)
                height = self._heights.as_high(event.connection, key, getattr(one, field), now)
                looks.append(evolve(look, **{field: height}))
            looks += topic.partitions[len(looks) :]
            topics.append(evolve(topic, partitions=tuple(looks)))
        return evolve(replayed, topics=(*topics, *replayed.topics[len(topics) :]))

    # Watches

    def _watched(self, event: Event, message: WatchResponse, view: View) -> None:
        for name, before in view.record(message, event):
            after = view.recorded.get(name)
            if not view.reached(name):
                self._outside.explain(view.kind, before, after)
                view.reached(name)
            if view.kind is PARTITION:
                self._lives.see(name, after, event.time)
                if after is not None:
                    self._outside.reported(name, after.status)

    def _may_be_new(self, name: str) -> bool:
        return self._lives.may_be_new(name, self.stage.now)

    def _compare_views(self) -> None:
        for call in self._watches:
            view = call.view
            if view is None or not view.changed:
                continue
            changed, view.changed = view.changed, {}
            for name, event in changed.items():
                self._compare_object(view, name, event)

    def _compare_object(self, view: View, name: str, event: Event) -> None:
        self._compared += 1
        recorded = view.recorded.get(name)
        if self.stage.wait(lambda: view.reached(name), PATIENCE):
            if view.kind is PARTITION and recorded is not None:
                self._compare_progress(event, name, recorded.status)
            return
        where = f"{view.kind.label} {name!r}"
        for one in unlike(recorded, view.told(name), where):
            self._differ(event, str(one))

    def _compare_progress(self, event: Event, name: str, status: PartitionStatus) -> None:
        """What a leader had reported of its log has to be true of the fake's log, now or before."""
        key = lifecycle.partition_key(name)
        replica = self.stage.replica(key)
        if replica is None or status.leader.spu not in self.stage.broker.cluster.spus:
            return
        log, leader = replica.log, status.leader
        if leader.leo > log.leo or leader.hw > log.hw:
            self._differ(event, f"Partition {name!r}: {leader}, where the log ends at {log.leo}")
            return
        if leader.leo < 0 or key in self._outside.unsized or log.log_start:
            return
        size = log.size_at(leader.leo)
        if size != status.size:
            self._differ(
                event, f"Partition {name!r}.status.size: recorded {status.size}, replayed {size}"
            )

    # Streams

    def _pushed(self, event: Event, message: StreamFetchResponse, call: _Call) -> None:
        self._compared += 1
        key = (message.topic, message.partition.partition_index)
        if not call.replies:
            self._outside.evict(key, message.partition.log_start_offset)
            self._outside.supply(key, self._end_of(event, message.partition))
        if not self.stage.wait(lambda: bool(call.replies), PATIENCE):
            self._differ(event, "no push")
            return
        replayed = call.replies.pop(0)
        if not isinstance(replayed, StreamFetchResponse):
            self._differ(event, f"a push that can not be read: {replayed!r}")
            return
        if not alike(message, replayed):
            replayed = self._gather(event, message, replayed, call)
        self._compare(event, message, self._as_high(event, message, replayed, call))

    def _as_high(
        self,
        event: Event,
        recorded: StreamFetchResponse,
        replayed: StreamFetchResponse,
        call: _Call,
    ) -> StreamFetchResponse:
        """The fake's push, its high watermark as it was when the real SPU looked.

        That was not before the client asked for more, nor before what it brought was there, but it
        may have been before what others produced meanwhile.
        """
        self._connections[event.connection].streams[recorded.stream_id] = call
        look, now = recorded.partition, replayed.partition
        key = (recorded.topic, look.partition_index)
        height = self._heights.as_high(
            event.connection,
            key,
            look.high_watermark,
            now.high_watermark,
            lowest=max(call.height, self._end_of(event, look)),
        )
        return evolve(replayed, partition=evolve(now, high_watermark=height))

    def _end_of(self, event: Event, look: PartitionResponse) -> int:
        """Where the log ended at the least when this was pushed."""
        if through_modules(event):
            return look.next_filter_offset
        batches = look.records.batches(check_crc=False)
        return max((one.next_offset for one in batches), default=0)

    def _gather(
        self,
        event: Event,
        recorded: StreamFetchResponse,
        replayed: StreamFetchResponse,
        call: _Call,
    ) -> StreamFetchResponse:
        """Acknowledge smaller pushes until they are as much as the recorded one together."""
        wanted = bytes(recorded.partition.records)
        have = bytes(replayed.partition.records)
        while have and len(have) < len(wanted) and wanted.startswith(have):
            end = RecordSet(have).batches(check_crc=False)[-1].next_offset
            self._acknowledge(event, replayed.stream_id, end)
            if not self.stage.wait(lambda: bool(call.replies), PATIENCE):
                break
            more = call.replies.pop(0)
            if not isinstance(more, StreamFetchResponse):
                break
            replayed = more
            have += bytes(more.partition.records)
        if have.startswith(wanted):
            have = wanted
        return evolve(replayed, partition=evolve(replayed.partition, records=RecordSet(have)))

    def _acknowledge(self, event: Event, stream: int, offset: int) -> None:
        connection = self._connections[event.connection]
        update = OffsetUpdate(offset=offset, session_id=stream)
        request = UpdateOffsetsRequest(offsets=(update,))
        connection.next_own += 1
        data = encode_request(
            request, version=0, correlation_id=connection.next_own, client_id="replay"
        )
        if connection.line is not None:
            connection.line.send(data[4:])
        self.stage.settle()

    # Ends

    def _end(self, event: Event) -> None:
        connection = self._connections.get(event.connection)
        if connection is None:
            return
        if event.by_client:
            if self._is_at_rest(event):
                self._compare_all(event)
            connection.finished = True
            if connection.line is not None:
                connection.line.finish()
            self.stage.settle()
            return
        self._compared += 1
        if self.stage.wait(lambda: connection.ended, 0.0):
            return
        if connection.line is not None and connection.line.refused:
            connection.line.reset()
        if not connection.finished and self._died(event):
            self._outside.server_ended(event.server)
            self.stage.wait(lambda: connection.ended, PATIENCE)
        if not self.stage.wait(lambda: connection.ended, PATIENCE):
            self._differ(event, "the connection stays open")

    def _is_at_rest(self, event: Event) -> bool:
        """Whether nothing had happened for some time, so that everything was told."""
        before = bisect_left(self._frames, event.line, key=_line)
        return before > 0 and event.time - self._frames[before - 1].time > AFTERWARDS

    def _compare_all(self, event: Event) -> None:
        """Every watch of a connection has told the same in the end."""
        self._compare_views()
        for call in self._watches:
            view = call.view
            if view is None or call.event.connection != event.connection or not view.recorded:
                continue
            for name in view.names:
                self._compared += 1
                where = f"{view.kind.label} {name!r} in the end"
                recorded, told = view.recorded.get(name), view.told(name)
                if view.kind is PARTITION and told is not None:
                    told = self._lives.as_early(recorded, told, event.time)
                for one in unlike(recorded, told, where):
                    self._differ(call.event, str(one))

    def _died(self, event: Event) -> bool:
        """Whether a server ended all that was connected to it, and not one connection."""
        open_connections = {
            number
            for number, one in self._connections.items()
            if one.server == event.server and not one.finished and not one.ended
        }
        first = bisect_right(self._ends, event.time - TOGETHER, key=_time)
        last = bisect_left(self._ends, event.time + TOGETHER, key=_time)
        ending = {one.connection for one in self._ends[first:last]}
        return open_connections <= ending

    def _finish(self) -> None:
        """Nothing may be left that was never recorded, where it would have been."""
        self._compare_views()
        for call in self._calls.values():
            if call.replies and self._would_have_come(call):
                self._differ(call.event, f"{len(call.replies)} more than was recorded")

    def _would_have_come(self, call: _Call) -> bool:
        """Whether the conversation went on long enough after the last that came for a request."""
        answers = self._conversation.answers(call.event)
        if answers and not isinstance(call.event.message, StreamFetchRequest):
            return True
        since = answers[-1].time if answers else call.event.time
        events = self._on[call.event.connection]
        last = max(one.time for one in events if one.frame is not None or not one.by_client)
        acknowledged = [one.time for one in events if isinstance(one.message, UpdateOffsetsRequest)]
        return last - max([since, *acknowledged]) > AFTERWARDS

    def _differ(self, event: Event, what: str) -> None:
        asked = event.asked
        name = type(asked).__name__ if asked is not None else "connection"
        self._differences.append(
            Difference(
                event.line, f"connection {event.connection} to {event.server}, {name}: {what}"
            )
        )


def _line(event: Event) -> int:
    return event.line


def _time(event: Event) -> float:
    return event.time


__all__ = ["Difference", "Outcome", "Player", "replay"]
