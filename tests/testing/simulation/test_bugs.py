"""The simulator is tested too: clients with a bug in them are caught."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from txfluvio.admin import Admin
from txfluvio.consumer import Consumer
from txfluvio.consumer.backlog import Backlog, Chunk
from txfluvio.consumer.hand import Hand
from txfluvio.consumer.offsets import Bookmark
from txfluvio.consumer.outlet import Outlet
from txfluvio.consumer.stream import PartitionStream
from txfluvio.errors import Disconnected, Effect
from txfluvio.producer import Producer, requests, sender
from txfluvio.producer.partitioner import SiphashRoundRobinPartitioner
from txfluvio.testing.simulation import simulate
from txfluvio.transport.calls import Call
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.records import BatchBuilder

ENOUGH = 500
"""Seeds within which a bug has to be found."""

Patch = pytest.MonkeyPatch


def drop_a_resend(patch: Patch) -> None:
    """What was to be sent again is taken for stored."""
    settle = sender.Sender._settle

    def forgetful(self: Any, batches: Any, outcomes: Any, late: Any = ()) -> None:
        lost = [isinstance(one, Disconnected) and one.effect is Effect.UNKNOWN for one in outcomes]
        kept = [0 if gone else one for gone, one in zip(lost, outcomes, strict=True)]
        settle(self, batches, kept, late)

    patch.setattr(sender.Sender, "_settle", forgetful)


def advance_over_a_cut_batch(patch: Patch) -> None:
    """A push that ends inside a batch counts as if it ended behind it."""
    add = Backlog.add

    def hasty(self: Backlog, records: Any, *args: Any, **settings: Any) -> bool:
        whole = add(self, records, *args, **settings)
        if whole and records.needed() is not None:
            self.received += 1
        return whole

    patch.setattr(Backlog, "add", hasty)


def one_offset_for_all_partitions(patch: Patch) -> None:
    """Every partition's records are told to be where the last partition's are."""
    outcome = requests.Requests._outcome
    last = [0]

    def confused(self: Any, entry: Any, tells_offsets: bool) -> Any:
        told, last[0] = last[0], entry.base_offset
        found = outcome(self, entry, tells_offsets)
        return told if isinstance(found, int) else found

    patch.setattr(requests.Requests, "_outcome", confused)


def commit_before_processing(patch: Patch) -> None:
    """A record counts as processed when it is handed out."""

    def processed(self: Outlet, stream: PartitionStream) -> int:
        return self.position(stream)

    patch.setattr(Outlet, "processed", processed)


def forget_a_waiter_on_disconnect(patch: Patch) -> None:
    """Who waits for a reply when the connection is lost is not told."""
    lost = FluvioProtocol.connectionLost

    def careless(self: FluvioProtocol, *args: Any) -> None:
        waiting = [one for one in self._table.values() if isinstance(one, Call)]
        for call in waiting[:1]:
            call.on_failed = lambda error: None
        lost(self, *args)

    patch.setattr(FluvioProtocol, "connectionLost", careless)


def ignore_a_leader_change(patch: Patch) -> None:
    """A reader stays with the SPU that led its partition once."""
    led = PartitionStream._led
    first: dict[PartitionStream, int] = {}

    def faithful(self: PartitionStream, timeout: float | None = None) -> Deferred[int]:
        if self in first:
            return succeed(first[self])
        return led(self, timeout).addCallback(lambda leader: first.setdefault(self, leader))

    patch.setattr(PartitionStream, "_led", faithful)
    patch.setattr(PartitionStream, "topology_changed", lambda self, topology: None)


def store_no_offsets(patch: Patch) -> None:
    """What is processed is told to be stored, and is not."""
    patch.setattr(Bookmark, "flush", lambda self: succeed(None))


def end_a_flush_at_once(patch: Patch) -> None:
    """A producer that is flushed is told to be done."""
    patch.setattr(Producer, "flush", lambda self: succeed(None))


def let_keys_take_turns(patch: Patch) -> None:
    """A record with a key goes to any partition."""
    turn = count()

    def choose(self: Any, key: Any, value: Any, partitions: int, online: Any) -> int:
        return next(turn) % partitions

    def choose_all(self: Any, keys: Any, partitions: int, online: Any) -> list[int]:
        return [next(turn) % partitions for _ in keys]

    patch.setattr(SiphashRoundRobinPartitioner, "choose", choose)
    patch.setattr(SiphashRoundRobinPartitioner, "choose_all", choose_all)


def drop_keys(patch: Patch) -> None:
    """Records lose their keys on the way into a batch."""
    extend = BatchBuilder.extend

    def careless(self: BatchBuilder, keys: Any, *args: Any) -> int:
        return extend(self, None, *args)

    patch.setattr(BatchBuilder, "extend", careless)


def delete_no_topic(patch: Patch) -> None:
    """A topic is told to be deleted, and is not."""
    patch.setattr(Admin, "delete_topic", lambda self, name: succeed(None))


def list_no_topics(patch: Patch) -> None:
    """There never are any topics."""
    patch.setattr(Admin, "list_topics", lambda self: succeed([]))


def list_no_offsets(patch: Patch) -> None:
    """There never are any offsets of consumers."""
    patch.setattr(Admin, "list_consumer_offsets", lambda self: succeed([]))


def leave_the_position_behind(patch: Patch) -> None:
    """Records that are given back count as handed out."""

    def give_back(self: Backlog, chunk: Chunk) -> None:
        self._returned = chunk

    patch.setattr(Backlog, "give_back", give_back)


def keep_the_hand(patch: Patch) -> None:
    """Records in hand are handed out although another place was sought."""
    seek = Consumer.seek

    def clinging(self: Consumer, *args: Any, **settings: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Hand, "put_down", lambda hand: None)
            seek(self, *args, **settings)

    patch.setattr(Consumer, "seek", clinging)


def take_a_sought_place_for_processed(patch: Patch) -> None:
    """What is before a place that was sought counts as processed."""

    def processed(self: Outlet, stream: PartitionStream) -> int:
        return self.hand.processed if stream is self.hand.source else stream.backlog.position

    patch.setattr(Outlet, "processed", processed)


BUGS: list[Callable[[Patch], None]] = [
    drop_a_resend,
    advance_over_a_cut_batch,
    one_offset_for_all_partitions,
    commit_before_processing,
    forget_a_waiter_on_disconnect,
    ignore_a_leader_change,
    store_no_offsets,
    end_a_flush_at_once,
    let_keys_take_turns,
    drop_keys,
    delete_no_topic,
    list_no_topics,
    list_no_offsets,
    leave_the_position_behind,
    keep_the_hand,
    take_a_sought_place_for_processed,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_is_caught(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)
    for seed in count():
        assert seed < ENOUGH, "it was not found"
        violations = simulate(seed).violations
        # Called otherwise than it was written for, it would be a bug of another kind, and found.
        assert "TypeError" not in "".join(violations)
        if violations:
            return
