"""Asking about stored offsets, of whoever leads the system topic."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txfluvio.cluster import OFFSETS_TOPIC, ask_stored_offsets
from txfluvio.errors import RequestTimedOut, WaitTimedOut
from txfluvio.wire.sc import PARTITION
from txfluvio.wire.spu import FetchConsumerOffsetsRequest, FetchConsumerOffsetsResponse

from .kit import ClusterCase
from .objects import changed, partition, topic, updated

LEADER = partition(f"{OFFSETS_TOPIC}-0")


class StoredOffsets(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.watching = self.started(topics=(topic(OFFSETS_TOPIC),), partitions=())

    def ask(self) -> Deferred[FetchConsumerOffsetsResponse | None]:
        asking = ask_stored_offsets(
            self.cluster, FetchConsumerOffsetsRequest(), what="offsets", seconds=10.0
        )
        return Deferred.fromCoroutine(asking)

    def test_the_leader_is_waited_for_no_longer_than_it_may_take(self) -> None:
        asking = self.ask()
        self.advance(9.9)
        self.assertNoResult(asking)
        self.advance(0.1)
        self.failureResultOf(asking, WaitTimedOut)
        self.stopped()

    def test_its_answer_may_take_what_finding_the_leader_has_left(self) -> None:
        asking = self.ask()
        self.advance(6.0)
        self.tell(self.watching, changed(PARTITION, *updated(LEADER)))
        self.spu.one()
        self.advance(3.9)
        self.assertNoResult(asking)
        self.advance(0.1)
        self.failureResultOf(asking, RequestTimedOut)
        self.advance()
        self.stopped()
