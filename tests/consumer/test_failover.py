"""When the cluster changes under a reader: leaders, connections, logs, topics."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from txfluvio.config import Isolation, OffsetReset, RetryPolicy
from txfluvio.consumer import Consumer
from txfluvio.errors import (
    ConnectFailed,
    FluvioError,
    LogTruncated,
    NotLeaderForPartition,
    OffsetEvicted,
    PartitionNotFound,
    TopicDeleted,
    WaitTimedOut,
)
from txfluvio.offset import Offset
from txfluvio.smartmodule import SmartModuleInvocation
from txfluvio.testing.faults import Action, AnswerError, Fault, LoseReply, Match
from txfluvio.testing.smartmodules import SmartModuleRecord, filter
from txfluvio.transport.protocol import CLOSE_GRACE
from txfluvio.wire.codes import Code
from txfluvio.wire.records import Record
from txfluvio.wire.spu import FetchOffsetsRequest, StreamFetchRequest

from .kit import ConsumerCase

BEGINNING, END = Offset.beginning(), Offset.end()
COMMITTED, UNCOMMITTED = Isolation.READ_COMMITTED, Isolation.READ_UNCOMMITTED


@filter
def everything(record: SmartModuleRecord) -> bool:
    return True


class Replicated(ConsumerCase):
    """A topic with two replicas and four committed records."""

    SPUS = 2
    TOPICS = {}

    def setUp(self) -> None:
        super().setUp()
        self.result(self.broker.cluster.create_topic("orders", replication=2))
        self.wait(1.0)
        self.append(4, batch=2)
        self.replicated()

    @property
    def leader(self) -> int:
        return self.broker.replica("orders").spec.leader

    def replicated(self) -> None:
        """Let the followers catch up."""
        self.wait(3.0)
        log = self.broker.replica("orders").log
        self.assertEqual(log.hw, log.leo)

    def move(self) -> None:
        """Make the other one the leader."""
        self.broker.cluster.move_leader("orders", 0, 5001 + 5002 - self.leader)
        self.wait(1.0)


class LeaderChanges(Replicated):
    def check_that_reading_goes_on(self, isolation: Isolation) -> None:
        consumer = self.started(start=END, isolation=isolation)
        self.move()
        self.append(2)
        self.replicated()
        self.assertEqual(self.offsets(self.read(consumer, 2)), [4, 5])
        opened = [stream.fetch_offset for stream in self.asked(StreamFetchRequest)]
        self.assertEqual(opened, [4, 4])

    def test_the_stream_is_opened_again_at_the_new_leader(self) -> None:
        self.check_that_reading_goes_on(UNCOMMITTED)

    def test_a_leader_that_went_and_came_back_unseen_is_asked_again(self) -> None:
        watching = self.connected(idle_probe=5.0)
        consumer = self.started(cluster=watching, start=END)
        self.move_unseen()
        self.append(2)
        self.wait(20.0)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [4, 5])
        self.result(consumer.close())
        self.result(watching.stop())

    def test_with_smartmodules_it_is_asked_again_where_somebody_seeks(self) -> None:
        # What they drop is not told, so that a stream which is well may say as little.
        self.broker.register_smartmodule("all", everything)
        chain = [SmartModuleInvocation("all")]
        watching = self.connected(idle_probe=5.0)
        consumer = self.started(cluster=watching, start=END, smartmodules=chain)
        self.move_unseen()
        self.append(2)
        self.nothing_comes(consumer, 60.0)
        self.assertEqual(consumer.position(0), 4)
        consumer.seek(0, 4)
        self.assertEqual(len(self.read(consumer, 2)), 2)
        self.result(consumer.close())
        self.result(watching.stop())

    def move_unseen(self) -> None:
        """Let the leader go and come back, while no client has a connection to the SC.

        Its streams from before are silent for good, and the metadata look as ever.
        """
        host, port = self.broker.sc_endpoint.split(":")
        self.network.refuse(host, int(port))
        for link in self.network.links:
            if link.client.getPeer().port == int(port):
                link.reset()
        self.move()
        self.move()
        self.network.accept(host, int(port))

    def test_a_push_that_is_lost_is_asked_for_again(self) -> None:
        watching = self.connected(idle_probe=5.0)
        consumer = self.started(cluster=watching, start=END)
        self.broker.plant(Fault(Match("StreamFetch"), LoseReply()))
        self.append(2)
        self.wait(20.0)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [4, 5])
        self.result(consumer.close())
        self.result(watching.stop())

    def test_a_stream_that_has_nothing_to_say_is_left_alone(self) -> None:
        watching = self.connected(idle_probe=5.0)
        consumer = self.started(cluster=watching, start=END)
        self.wait(60.0)
        self.assertEqual(len(self.asked(StreamFetchRequest)), 1)
        self.result(consumer.close())
        self.result(watching.stop())

    def check_streams_when_the_end_is_asked_for(self, action: Action, streams: int) -> None:
        watching = self.connected(idle_probe=5.0, request_timeout=3.0)
        consumer = self.started(cluster=watching, start=END)
        self.broker.plant(Fault(Match("FetchOffsets"), action))
        self.wait(20.0)
        self.assertEqual(len(self.asked(StreamFetchRequest)), streams)
        self.result(consumer.close())
        self.result(watching.stop())

    def test_where_an_spu_does_not_lead_any_more_the_stream_is_opened_anew(self) -> None:
        not_leading = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        self.check_streams_when_the_end_is_asked_for(not_leading, 2)

    def test_a_stream_is_left_alone_where_nobody_tells_the_end_for_once(self) -> None:
        self.check_streams_when_the_end_is_asked_for(LoseReply(), 1)

    def test_the_stream_of_committed_records_is_opened_again_at_the_new_leader(self) -> None:
        self.check_that_reading_goes_on(COMMITTED)

    def test_records_received_before_it_are_delivered_once(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.wait(1.0)
        self.move()
        self.append(2)
        self.assertEqual(self.offsets(self.read(consumer, 6)), list(range(6)))
        self.nothing_comes(consumer)

    def test_while_nobody_leads_it_is_waited_for(self) -> None:
        self.broker.cluster.automatic_elections = False
        consumer = self.started(start=END)
        leader = self.leader
        self.result(self.broker.spu_down(leader))
        self.nothing_comes(consumer, 10.0)
        self.result(self.broker.spu_up(leader))
        self.wait(2.0)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [4])

    def test_an_election_because_the_leader_is_down_is_followed(self) -> None:
        consumer = self.started(start=END)
        self.result(self.broker.spu_down(self.leader))
        self.wait(3.0)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [4])

    def test_the_old_leaders_connection_is_closed(self) -> None:
        self.started(start=END)
        before = len(self.network.links)
        self.move()
        self.assertEqual(len(self.network.links), before)


class LogsCut(Replicated):
    """Elections that make a leader of a replica which has less."""

    def read_all_but_lose_the_last(self, **settings: object) -> Consumer:
        """Read eight records, of which the last four are then lost by an election."""
        consumer = self.started(start=BEGINNING, **settings)
        resume = self.broker.cluster.stall_replication("orders")
        self.append(4, batch=2)
        self.assertEqual(self.offsets(self.read(consumer, 8)), list(range(8)))
        self.move()
        resume()
        self.wait(3.0)
        self.assertEqual(self.broker.replica("orders").log.leo, 4)
        return consumer

    def test_a_position_above_the_new_end_is_told(self) -> None:
        consumer = self.read_all_but_lose_the_last()
        error = self.failure(consumer.next(), LogTruncated)
        self.assertEqual((error.position, error.end), (8, 4))

    def test_the_reader_can_go_on_where_the_log_ends_now(self) -> None:
        consumer = self.read_all_but_lose_the_last()
        consumer.seek(0, self.failure(consumer.next(), LogTruncated).end)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [4])

    def test_it_goes_on_at_the_beginning_if_that_is_set(self) -> None:
        consumer = self.read_all_but_lose_the_last(reset=OffsetReset.EARLIEST)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_it_goes_on_there_also_where_it_was_paused_meanwhile(self) -> None:
        consumer = self.started(start=BEGINNING, reset=OffsetReset.EARLIEST)
        resume = self.broker.cluster.stall_replication("orders")
        self.append(4, batch=4)
        self.read(consumer, 6)
        self.move()
        resume()
        self.wait(3.0)
        consumer.pause(0)
        self.wait(1.0)
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 6)), [6, 7, 0, 1, 2, 3])

    def test_no_deadline_of_retries_keeps_it_from_that(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=4.0, jitter=0.0, deadline=0.1)
        self.cluster.retrying = attrs.evolve(self.cluster.retrying, policy=policy)
        consumer = self.read_all_but_lose_the_last(reset=OffsetReset.EARLIEST)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_it_goes_on_at_the_end_if_that_is_set(self) -> None:
        consumer = self.read_all_but_lose_the_last(reset=OffsetReset.LATEST)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [4])

    def test_a_position_above_the_high_watermark_but_in_the_log_is_opened(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.broker.cluster.stall_replication("orders")
        self.append(2)
        self.read(consumer, 6)
        self.lose_connections()
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [6])

    def test_of_committed_records_none_can_be_cut(self) -> None:
        consumer = self.started(start=BEGINNING, isolation=COMMITTED)
        resume = self.broker.cluster.stall_replication("orders")
        self.append(4, batch=2)
        self.read(consumer, 4)
        self.nothing_comes(consumer)
        self.move()
        resume()
        self.wait(3.0)
        self.append(2)
        self.replicated()
        self.assertEqual(self.offsets(self.read(consumer, 2)), [4, 5])


class Watermarks(ConsumerCase):
    """A new leader may know less of what is committed than the old one did."""

    def test_a_committed_position_above_the_high_watermark_waits_for_it(self) -> None:
        self.append(4)
        consumer = self.started(start=BEGINNING, isolation=COMMITTED)
        self.read(consumer, 4)
        self.broker.replica("orders").log.hw = 2
        self.lose_connections()
        self.nothing_comes(consumer)
        self.assertEqual(len(self.asked(StreamFetchRequest)), 1)
        self.append(2)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [4, 5])
        self.assertEqual(list(self.broker.complaints), [])


class Connections(ConsumerCase):
    def test_a_lost_connection_is_made_again_and_nothing_is_lost(self) -> None:
        self.append(4, batch=3)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 2)
        for _ in range(3):
            self.lose_connections()
            self.append(1)
            self.wait(1.0)
        self.assertEqual(self.offsets(self.read(consumer, 5)), [2, 3, 4, 5, 6])
        self.nothing_comes(consumer)

    def test_losing_it_again_and_again_loses_nothing(self) -> None:
        self.append(60, batch=1, size=100)
        consumer = self.started(start=BEGINNING, max_bytes=400)
        seen: list[Record] = []
        while len(seen) < 60:
            seen += self.read(consumer, 3)
            self.lose_connections()
        self.assertEqual(self.offsets(seen), list(range(60)))

    def test_before_a_stream_is_opened_again_the_ends_of_the_log_are_asked_for(self) -> None:
        self.started(start=BEGINNING)
        self.lose_connections()
        self.wait(2.0)
        self.assertEqual(len(self.asked(FetchOffsetsRequest)), 2)
        self.assertEqual(len(self.asked(StreamFetchRequest)), 2)

    def test_attempts_become_rarer_while_they_fail(self) -> None:
        self.attempts_become_rarer(self.refuse_connections)

    def test_attempts_become_rarer_while_streams_are_refused(self) -> None:
        self.attempts_become_rarer(self.refuse_streams)

    def attempts_become_rarer(self, refuse: Callable[[], Callable[[], None]]) -> None:
        self.started(start=BEGINNING)
        accept = refuse()
        self.dialled.clear()
        began = self.clock.seconds()
        self.lose_connections()
        self.wait(12.0)
        self.assertEqual([t - began for t in self.dialled], [0.5, 1.5, 3.5, 7.5, 11.5])
        accept()

    def refuse_streams(self) -> Callable[[], None]:
        """Let the SPU answer every stream with an error, until what is returned is called."""
        refusal = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        return self.broker.plant(Fault(Match("StreamFetch"), refusal, times=None)).remove

    def test_a_stream_that_is_refused_all_the_time_ends_in_the_error(self) -> None:
        self.attempts_end(self.refuse_streams, NotLeaderForPartition)

    def test_attempts_count_anew_when_records_have_come(self) -> None:
        consumer = self.started(start=BEGINNING)
        for _ in range(3):
            self.lose_connections()
            self.append(1)
            self.read(consumer, 1)
        self.dialled.clear()
        began = self.clock.seconds()
        self.lose_connections()
        self.wait(1.0)
        self.assertEqual([t - began for t in self.dialled], [0.5])

    def test_attempts_end_in_their_error_when_their_time_is_over(self) -> None:
        self.attempts_end(self.refuse_connections, ConnectFailed)

    def test_a_stream_that_was_well_for_longer_than_that_time_is_opened_again(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=10.0, jitter=0.0, deadline=5.0)
        cluster = self.connected(retry=policy)
        consumer = self.started(cluster=cluster)
        for _ in range(3):
            self.lose_connections()
            self.wait(7.0)
        self.append(1)
        self.read(consumer, 1)
        self.result(consumer.close())
        self.result(cluster.stop())

    def test_the_time_without_a_leader_is_not_of_the_deadline(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=4.0, jitter=0.0, deadline=5.0)
        cluster = self.connected(retry=policy)
        consumer = self.started(cluster=cluster)
        self.result(self.broker.spu_down(5001))
        self.wait(20.0)
        not_yet = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        self.broker.plant(Fault(Match("FetchOffsets"), not_yet))
        self.result(self.broker.spu_up(5001))
        self.wait(2.0)
        self.append(1)
        self.read(consumer, 1)
        self.result(consumer.close())
        self.result(cluster.stop())

    def test_a_start_that_takes_too_long_says_what_was_in_its_way(self) -> None:
        accept = self.refuse_connections()
        error = self.failure(self.consumer("orders").start(), WaitTimedOut)
        self.assertIsInstance(error.__cause__, ConnectFailed)
        self.assertIn("can not connect to", str(error))
        accept()

    def test_after_their_time_was_over_a_seek_gives_them_all_of_it_again(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=1.0, jitter=0.0, deadline=3.0)
        cluster = self.connected(retry=policy)
        consumer = self.started(cluster=cluster)
        accept = self.refuse_connections()
        self.lose_connections()
        self.failure(consumer.next(), ConnectFailed)
        self.wait(10.0)
        consumer.seek(0, BEGINNING)
        self.wait(1.0)
        accept()
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [0])
        self.result(consumer.close())
        self.result(cluster.stop())

    def test_what_went_well_while_it_waited_to_be_opened_counts(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=1.0, jitter=0.0, deadline=3.0)
        cluster = self.connected(retry=policy)
        self.append(10, batch=1)
        consumer = self.started(cluster=cluster, start=BEGINNING)
        self.read(consumer, 1)
        consumer.pause(0)
        for _ in range(3):
            self.lose_connections()
            self.wait(10.0)
        self.assertEqual(consumer.failures, {})
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 9)), list(range(1, 10)))
        self.result(consumer.close())
        self.result(cluster.stop())

    def attempts_end(
        self, refuse: Callable[[], Callable[[], None]], error: type[FluvioError]
    ) -> None:
        """What is refused fails when the policy's time is over, and can go on afterwards."""
        policy = RetryPolicy(initial=0.5, maximum=1.0, jitter=0.0, deadline=3.0)
        cluster = self.connected(retry=policy)
        consumer = self.started(cluster=cluster)
        accept = refuse()
        self.lose_connections()
        self.failure(consumer.next(), error)
        accept()
        self.nothing_is_lost_by_seeking(consumer)
        self.result(consumer.close())
        self.result(cluster.stop())

    def nothing_is_lost_by_seeking(self, consumer: Consumer) -> None:
        position = consumer.position(0)
        assert position is not None
        consumer.seek(0, position)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [position])

    def test_records_received_come_before_the_error(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=1.0, jitter=0.0, deadline=1.0)
        cluster = self.connected(retry=policy)
        self.append(3)
        consumer = self.started(cluster=cluster, start=BEGINNING)
        self.wait(1.0)
        accept = self.refuse_connections()
        self.lose_connections()
        self.wait(5.0)
        self.assertEqual(self.offsets(self.read(consumer, 3)), [0, 1, 2])
        self.failure(consumer.next(), ConnectFailed)
        accept()
        self.result(consumer.close())
        self.result(cluster.stop())

    def test_closing_while_it_is_down_ends_everything(self) -> None:
        consumer = self.started(start=BEGINNING)
        accept = self.refuse_connections()
        self.lose_connections()
        self.wait(2.0)
        self.result(consumer.close())
        accept()

    def test_a_close_waits_for_the_connections_of_earlier_sessions_too(self) -> None:
        self.append(5)
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 5)
        for link in list(self.network.links):
            peer = link.client.getPeer()
            if f"{peer.host}:{peer.port}" in self.broker.spu_endpoints.values():
                link.stall()
                link.client.write(bytes(100_000))
        consumer.seek(0, 0)
        self.wait(1.0)
        closing = consumer.close()
        self.wait(1.0)
        self.assertNoResult(closing)
        self.wait(CLOSE_GRACE)
        self.successResultOf(closing)


class Retention(ConsumerCase):
    """A log of one record a segment, whose beginning goes away."""

    def setUp(self) -> None:
        super().setUp()
        self.broker.replica("orders").log.segment_size = 100
        self.append(10, batch=1)

    def overtaken(self, **settings: object) -> Consumer:
        """A reader with a record in hand that has asked for no more than two others."""
        consumer = self.started(start=BEGINNING, max_bytes=100, buffer_memory=220, **settings)
        self.read(consumer, 1)
        self.broker.evict("orders", 0, before=8)
        return consumer

    def test_a_reader_is_told_behind_the_records_it_has(self) -> None:
        consumer = self.overtaken()
        self.assertEqual(self.offsets(self.read(consumer, 2)), [1, 2])
        error = self.failure(consumer.next(), OffsetEvicted)
        self.assertEqual((error.offset, error.next_available), (3, 8))
        self.assertEqual(consumer.position(0), 3)

    def test_the_reader_can_go_on_where_the_log_begins_now(self) -> None:
        consumer = self.overtaken()
        self.read(consumer, 2)
        consumer.seek(0, self.failure(consumer.next(), OffsetEvicted).next_available)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [8, 9])

    def test_it_goes_on_at_the_beginning_if_that_is_set(self) -> None:
        consumer = self.overtaken(reset=OffsetReset.EARLIEST)
        self.assertEqual(self.offsets(self.read(consumer, 4)), [1, 2, 8, 9])

    def test_it_goes_on_at_the_end_if_that_is_set(self) -> None:
        consumer = self.overtaken(reset=OffsetReset.LATEST)
        self.read(consumer, 2)
        self.wait(2.0)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [10])

    def test_what_is_set_counts_for_a_large_batch_that_waits_for_room_too(self) -> None:
        self.broker.replica("orders").log.segment_size = 50_000
        self.append(1, size=9_000)
        self.append(1, size=30_000)
        consumer = self.started(
            start=Offset.absolute(10),
            max_bytes=10_000,
            buffer_memory=16_384,
            reset=OffsetReset.EARLIEST,
        )
        self.read(consumer, 1)
        self.wait(1.0)
        self.append(1)
        self.broker.evict("orders", 0, before=12)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [12])

    def test_what_is_set_counts_at_the_start_too(self) -> None:
        self.broker.evict("orders", 0, before=8)
        start = Offset.absolute(2)
        consumer = self.started(start=start, reset=OffsetReset.EARLIEST)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [8])

    def test_a_reader_that_seeks_there_is_told_as_well(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.read(consumer, 2)
        consumer.seek(0, 2)
        self.broker.evict("orders", 0, before=8)
        self.failure(consumer.next(), OffsetEvicted)


class Deleted(ConsumerCase):
    TOPICS = {"orders": 2, "returns": 1}

    def test_a_topic_that_is_deleted_is_told_behind_the_records_it_had(self) -> None:
        self.append(3)
        consumer = self.started(start=BEGINNING)
        self.wait(1.0)
        self.broker.cluster.delete_topic("orders").addErrback(lambda _: None)
        self.wait(3.0)
        self.assertEqual(self.offsets(self.read(consumer, 3)), [0, 1, 2])
        self.failure(consumer.next(), TopicDeleted)

    def test_it_is_told_also_where_only_the_metadata_say_so(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.broker.cluster.hide_from_metadata("orders")
        self.failure(consumer.next(), TopicDeleted)

    def test_whoever_asks_for_its_lag_is_told_as_well(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.broker.cluster.hide_from_metadata("orders")
        self.wait(1.0)
        self.failure(consumer.lag(0), TopicDeleted)

    def test_other_topics_are_read_on(self) -> None:
        consumer = self.started(["orders", "returns"], start=BEGINNING)
        self.broker.cluster.hide_from_metadata("orders")
        self.failure(consumer.next(), TopicDeleted)
        consumer.pause(0, topic="orders")
        consumer.pause(1, topic="orders")
        self.append(2, topic="returns")
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_whose_error_it_is_is_told(self) -> None:
        consumer = self.started(["orders", "returns"], start=BEGINNING)
        self.assertEqual(consumer.failures, {})
        self.broker.cluster.hide_from_metadata("orders")
        self.failure(consumer.next(), TopicDeleted)
        self.assertEqual(list(consumer.failures), [("orders", 0), ("orders", 1)])

    def test_a_topic_that_comes_back_with_fewer_partitions_lacks_the_others_by_name(self) -> None:
        consumer = self.started(start=BEGINNING)
        self.result(self.broker.cluster.delete_topic("orders"))
        self.failure(consumer.next(), TopicDeleted)
        self.result(self.broker.cluster.create_topic("orders", partitions=1))
        for number in range(2):
            consumer.seek(number, BEGINNING)
        error = self.failure(consumer.next(), PartitionNotFound)
        self.assertEqual((error.partition, error.count), (1, 1))
        self.assertEqual(list(consumer.failures), [("orders", 1)])
        self.failure(consumer.lag(1), PartitionNotFound)
        consumer.pause(1)
        self.append(2)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [0, 1])

    def test_behind_the_stop_it_is_nobodys_business(self) -> None:
        self.append(3)
        consumer = self.started(start=BEGINNING, stop=END)
        self.wait(1.0)
        self.broker.cluster.hide_from_metadata("orders")
        self.wait(1.0)
        self.assertEqual(self.offsets(self.read_all(consumer)), [0, 1, 2])
