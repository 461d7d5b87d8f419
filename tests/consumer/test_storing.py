"""Stored offsets: what was processed is stored, and reading goes on behind it."""

from __future__ import annotations

import traceback

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txfluvio.config import Isolation, OffsetReset, OffsetStrategy, RetryPolicy
from txfluvio.consumer import Consumer
from txfluvio.consumer.backlog import CHUNK_SIZE
from txfluvio.errors import (
    BrokerError,
    ConnectFailed,
    ConsumerClosed,
    FluvioError,
    InvalidConfig,
    LogTruncated,
    NotStarted,
    OffsetEvicted,
    OffsetManagementDisabled,
    PartitionNotFound,
    ProtocolError,
    RecordNotCommittable,
    TopicDeleted,
    WaitTimedOut,
)
from txfluvio.offset import Offset
from txfluvio.testing.faults import AnswerError, Fault, Match, Reset, Truncate
from txfluvio.wire.codes import Code
from txfluvio.wire.records import Batch, Record, encode_batch
from txfluvio.wire.spu import StreamFetchRequest, UpdateConsumerOffsetRequest

from .kit import ConsumerCase

BEGINNING, END = Offset.beginning(), Offset.end()
MANUAL, AUTO = OffsetStrategy.MANUAL, OffsetStrategy.AUTO
WORKER = "worker-1"


class StoringCase(ConsumerCase):
    SPUS = 2
    TOPICS = {"orders": 1}

    def setUp(self) -> None:
        super().setUp()
        self.append(10, batch=4)

    def stored(self, partition: int = 0, topic: str = "orders") -> int | None:
        """What the cluster has stored for the worker."""
        for spu in self.broker.cluster.spus.values():
            if spu.stored_offsets is not None:
                return spu.stored_offsets.get((topic, partition), WORKER)
        raise AssertionError("nobody leads the stored offsets")

    def worker(self, strategy: OffsetStrategy = MANUAL, **settings: object) -> Consumer:
        return self.started(consumer_id=WORKER, offsets=strategy, **settings)


class Committing(StoringCase):
    def test_a_commit_stores_the_offset_of_the_record_in_hand(self) -> None:
        consumer = self.worker()
        for expected in range(3):
            self.read(consumer, 1)
            self.result(consumer.commit())
            self.assertEqual(self.stored(), expected)

    def test_the_next_one_resumes_at_the_next_record(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.result(consumer.commit())
        self.result(consumer.close())
        self.assertEqual(self.offsets(self.read(self.worker(), 1)), [3])

    def test_of_a_batch_all_is_committed(self) -> None:
        consumer = self.worker()
        batch = self.result(consumer.next_batch())
        self.result(consumer.commit())
        self.assertEqual(self.stored(), batch[-1].offset)

    def test_a_commit_with_nothing_read_stores_nothing(self) -> None:
        consumer = self.worker()
        self.result(consumer.commit())
        self.assertIsNone(self.stored())
        self.assertEqual(self.asked(UpdateConsumerOffsetRequest), [])

    def test_a_commit_of_what_is_stored_asks_nobody(self) -> None:
        consumer = self.worker()
        self.read(consumer, 1)
        for _ in range(3):
            self.result(consumer.commit())
        self.assertEqual(len(self.asked(UpdateConsumerOffsetRequest)), 1)

    def test_what_is_not_committed_is_not_stored(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.result(consumer.flush_offsets())
        self.result(consumer.close())
        self.assertIsNone(self.stored())

    def test_commits_inside_the_loop_work_with_a_full_buffer(self) -> None:
        self.append(200, batch=1, size=1000)
        consumer = self.worker(start=BEGINNING, stop=END, max_bytes=4096, buffer_memory=8192)
        seen: list[Record] = []

        async def work() -> None:
            async for record in consumer:
                seen.append(record)
                await consumer.commit()
                await consumer.flush_offsets()

        self.do(work())
        self.assertEqual(self.offsets(seen), list(range(210)))
        self.assertEqual(self.stored(), 209)

    def test_commits_that_are_not_awaited_store_the_last_one(self) -> None:
        consumer = self.worker()
        commits = []
        for _ in range(5):
            self.read(consumer, 1)
            commits.append(consumer.commit())
        for commit in commits:
            self.result(commit)
        self.assertEqual(self.stored(), 4)

    def test_commits_made_while_one_is_under_way_share_the_next(self) -> None:
        consumer = self.worker()
        self.read(consumer, 1)
        commits = [consumer.commit()]
        for _ in range(3):
            self.successResultOf(consumer.next())
            commits.append(consumer.commit())
        for commit in commits:
            self.result(commit)
        self.assertEqual([r.offset for r in self.asked(UpdateConsumerOffsetRequest)], [0, 3])

    def test_a_cancelled_commit_disturbs_no_other(self) -> None:
        consumer = self.worker()
        self.read(consumer, 1)
        first, second = consumer.commit(), consumer.commit()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.result(second)
        self.assertEqual(self.stored(), 0)

    def test_a_commit_that_waits_when_the_consumer_is_closed_is_told(self) -> None:
        consumer = self.worker()
        self.read(consumer, 1)
        for spu in (5001, 5002):
            self.refuse_connections(spu)
        self.lose_connections()
        commit = consumer.commit()
        self.wait(1.0)
        self.assertNoResult(commit)
        self.result(consumer.close())
        self.failureResultOf(commit, ConsumerClosed)

    def test_after_the_end_was_reached_it_can_be_committed(self) -> None:
        consumer = self.worker(start=BEGINNING, stop=END)
        self.read_all(consumer)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 9)

    def test_after_the_end_it_can_be_committed_though_the_connection_was_lost(self) -> None:
        consumer = self.worker(start=BEGINNING, stop=END)
        self.read_all(consumer)
        self.lose_connections()
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 9)

    def test_a_commit_waits_for_the_connection_to_come_back(self) -> None:
        consumer = self.worker()
        self.read(consumer, 2)
        accepts = [self.refuse_connections(spu) for spu in (5001, 5002)]
        self.lose_connections()
        commit = consumer.commit()
        self.wait(5.0)
        self.assertNoResult(commit)
        for accept in accepts:
            accept()
        self.result(commit)
        self.assertEqual(self.stored(), 1)

    def test_a_commit_under_way_when_the_connection_is_lost_is_made_again(self) -> None:
        consumer = self.worker()
        self.read(consumer, 2)
        commit = consumer.commit()
        self.lose_connections()
        self.result(commit)
        self.assertEqual(self.stored(), 1)

    def test_a_commit_does_not_wait_for_room_that_its_caller_would_have_to_make(self) -> None:
        # Everything received fills the budget, and whoever awaits the commit takes no record.
        self.append(40, batch=1, size=50)
        consumer = self.worker(start=BEGINNING, max_bytes=500, buffer_memory=500)
        self.read(consumer, 11)
        self.wait(1.0)
        self.lose_connections()
        self.wait(5.0)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 10)
        self.assertEqual(self.offsets(self.read(consumer, 39)), list(range(11, 50)))

    def test_a_commit_made_at_once_does_not_wait_for_that_room_either(self) -> None:
        self.append(40, batch=1, size=50)
        consumer = self.worker(start=BEGINNING, max_bytes=500, buffer_memory=500)
        self.read(consumer, 11)
        self.wait(1.0)
        self.lose_connections()
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 10)
        self.assertEqual(self.offsets(self.read(consumer, 39)), list(range(11, 50)))

    def test_a_commit_costs_no_record_that_was_received_and_the_log_no_longer_has(self) -> None:
        self.append(20, batch=1, size=1000)
        start = Offset.absolute(10)
        consumer = self.worker(start=start, max_bytes=2500, buffer_memory=5000)
        self.read(consumer, 2)
        self.lose_connections()
        self.broker.evict("orders", 0, before=14)
        self.wait(5.0)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 11)
        self.assertEqual(self.offsets(self.read(consumer, 18)), list(range(12, 30)))

    def test_a_commit_does_not_wait_for_the_high_watermark_to_reach_the_position(self) -> None:
        consumer = self.worker(isolation=Isolation.READ_COMMITTED)
        self.read(consumer, 4)
        self.lose_connections()
        commit = consumer.commit()
        consumer.seek(0, 12)
        self.result(commit)
        self.assertEqual(self.stored(), 3)
        self.append(4, batch=1)
        self.assertEqual(self.offsets(self.read(consumer, 2)), [12, 13])

    def test_a_commit_above_the_high_watermark_is_made_again_like_any_other(self) -> None:
        self.broker.plant(Fault(Match("UpdateConsumerOffset"), Reset(), times=2))
        consumer = self.worker(isolation=Isolation.READ_COMMITTED)
        self.read(consumer, 4)
        self.lose_connections()
        commit = consumer.commit()
        consumer.seek(0, 12)
        self.result(commit)
        self.assertEqual(self.stored(), 3)

    def test_a_partition_that_is_paused_stores_its_offset_after_a_lost_connection(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        consumer.pause(0)
        self.lose_connections()
        self.wait(5.0)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 2)
        self.nothing_comes(consumer)
        consumer.resume(0)
        self.assertEqual(self.offsets(self.read(consumer, 7)), list(range(3, 10)))

    def test_a_commit_that_is_refused_for_a_while_is_made_again(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        refused = AnswerError(Code.NOT_LEADER_FOR_PARTITION)
        self.broker.plant(Fault(Match("UpdateConsumerOffset"), refused, times=2))
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 2)
        self.assertEqual(self.offsets(self.read(consumer, 7)), list(range(3, 10)))

    def test_a_commit_of_a_partition_that_has_failed_fails_as_well(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        answer = Fault(Match("UpdateConsumerOffset"), Truncate(20))
        self.broker.plant(answer)
        self.failure(consumer.commit(), ProtocolError)
        self.failure(consumer.commit(), ProtocolError)
        consumer.seek(0, 3)
        self.read(consumer, 1)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 3)

    def test_what_was_read_to_the_stop_has_ended_where_it_can_no_longer_store(self) -> None:
        consumer = self.worker(start=BEGINNING, stop=END)
        self.read(consumer, 10)
        self.lose_connections()
        self.result(self.broker.cluster.delete_topic("orders"))
        self.wait(1.0)
        self.failure(consumer.commit(), TopicDeleted)
        self.failure(consumer.next(), StopAsyncIteration)
        self.assertEqual(consumer.failures, {})

    def test_what_was_read_to_the_stop_can_be_stored_when_the_cluster_is_well_again(self) -> None:
        policy = RetryPolicy(initial=0.5, maximum=1.0, jitter=0.0, deadline=3.0)
        cluster = self.connected(retry=policy)
        consumer = self.worker(cluster=cluster, start=BEGINNING, stop=END)
        self.read(consumer, 10)
        spu_id = cluster.topology.leader_of("orders", 0)
        assert spu_id is not None
        accept = self.refuse_connections(spu_id)
        self.lose_connections()
        self.wait(10.0)
        self.failure(consumer.commit(), ConnectFailed)
        accept()
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 9)
        self.result(consumer.close())
        self.result(cluster.stop())

    def test_who_commits_again_when_told_of_a_failure_waits_for_the_next_attempt(self) -> None:
        consumer = self.worker(start=BEGINNING, stop=END)
        self.read(consumer, 10)
        self.lose_connections()
        self.result(self.broker.cluster.delete_topic("orders"))
        self.wait(1.0)
        told: list[Failure] = []

        def again(failure: Failure) -> None:
            told.append(failure)
            if not failure.check(ConsumerClosed):
                consumer.commit().addErrback(again)

        consumer.commit().addErrback(again)
        self.wait(5.0)
        self.assertGreater(len(told), 2)
        self.assertLess(len(told), 100)
        self.assertEqual(consumer.failures, {})

    def test_commits_that_fail_do_not_keep_the_frames_of_those_before(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.result(self.broker.cluster.delete_topic("orders"))
        self.wait(1.0)
        depths = []
        for _ in range(3):
            error = self.failure(consumer.commit(), TopicDeleted)
            depths.append(len(traceback.extract_tb(error.__traceback__)))
        self.assertEqual(len(set(depths)), 1)

    def test_behind_an_error_of_the_stream_what_was_processed_can_be_committed(self) -> None:
        log = self.broker.replica("orders").log
        log.segment_size = 100
        self.append(10, batch=1)
        consumer = self.worker(start=Offset.absolute(10), max_bytes=100, buffer_memory=220)
        self.read(consumer, 1)
        self.broker.evict("orders", 0, before=18)
        self.failure(self.drained(consumer), FluvioError)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 12)

    def test_behind_an_error_the_stream_that_stores_is_not_taken_for_broken(self) -> None:
        damaged = bytearray(encode_batch([b"x"]))
        damaged[-1] ^= 0xFF
        self.append_batch(bytes(damaged))
        self.append(1)
        watching = self.connected(idle_probe=5.0)
        consumer = self.worker(cluster=watching)
        self.read(consumer, 10)
        self.failure(consumer.next(), ProtocolError)
        self.wait(60.0)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 9)
        self.assertEqual(len(self.asked(StreamFetchRequest)), 1)
        self.result(consumer.close())
        self.result(watching.stop())

    def drained(self, consumer: Consumer) -> Deferred[None]:
        return Deferred.fromCoroutine(self.collect(consumer, []))

    def test_what_can_not_be_stored_is_told(self) -> None:
        consumer = self.worker()
        self.read(consumer, 1)
        self.broker.cluster.system_topic = False
        self.result(self.broker.cluster.delete_topic("consumer-offset"))
        self.wait(1.0)
        self.failure(consumer.commit(), BrokerError)

    def test_without_stored_offsets_there_is_nothing_to_commit(self) -> None:
        for consumer in (self.started(), self.started(consumer_id=WORKER, start=Offset.stored())):
            self.failureResultOf(consumer.commit(), OffsetManagementDisabled)
            self.failureResultOf(consumer.flush_offsets(), OffsetManagementDisabled)

    def test_a_name_of_which_no_use_is_made_is_refused(self) -> None:
        for start in (None, BEGINNING, END):
            with (
                self.subTest(start=start),
                self.assertRaisesRegex(InvalidConfig, "offsets .*MANUAL or AUTO"),
            ):
                self.consumer(consumer_id=WORKER, start=start)

    def test_seeking_back_and_committing_stores_the_lower_offset(self) -> None:
        consumer = self.worker()
        self.read(consumer, 8)
        self.result(consumer.commit())
        consumer.seek(0, 2)
        self.read(consumer, 1)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 2)


class UpToARecord(StoringCase):
    """A commit by a record is about its partition, up to it."""

    TOPICS = {"orders": 2}

    def both(self, **settings: object) -> tuple[Consumer, dict[int, list[Record]]]:
        """A consumer, and all records that it has handed out, by partition."""
        self.append(10, partition=1, batch=4)
        consumer = self.worker(**settings)  # type: ignore[arg-type]
        records: dict[int, list[Record]] = {0: [], 1: []}
        for record in self.read(consumer, 20):
            records[record.partition].append(record)
        return consumer, records

    def refused(self, consumer: Consumer, record: Record) -> RecordNotCommittable:
        """Why a record can not be committed; nothing is asked of anybody by that."""
        before = len(self.asked(UpdateConsumerOffsetRequest))
        error: RecordNotCommittable = self.failureResultOf(
            consumer.commit(record), RecordNotCommittable
        ).value
        self.wait(1.0)
        self.assertEqual(len(self.asked(UpdateConsumerOffsetRequest)), before)
        return error

    def test_it_is_stored_of_that_partition_and_nothing_of_another(self) -> None:
        consumer, records = self.both()
        self.result(consumer.commit(records[1][4]))
        self.assertEqual((self.stored(0), self.stored(1)), (None, 4))
        self.result(consumer.commit(records[0][7]))
        self.assertEqual((self.stored(0), self.stored(1)), (7, 4))

    def test_each_partition_resumes_behind_what_was_committed_of_it(self) -> None:
        consumer, records = self.both()
        for committed in (records[1][4], records[0][7]):
            self.result(consumer.commit(committed))
        self.result(consumer.close())
        resumed = self.worker()
        self.assertEqual([resumed.position(number) for number in (0, 1)], [8, 5])

    def test_nothing_of_another_is_stored_when_it_is_closed(self) -> None:
        consumer, records = self.both()
        self.result(consumer.commit(records[1][4]))
        self.result(consumer.flush_offsets())
        self.result(consumer.close())
        self.assertEqual((self.stored(0), self.stored(1)), (None, 4))

    def test_one_that_is_stored_asks_nobody(self) -> None:
        consumer, records = self.both()
        for _ in range(3):
            self.result(consumer.commit(records[1][4]))
        self.assertEqual(len(self.asked(UpdateConsumerOffsetRequest)), 1)

    def test_one_that_is_lower_than_what_is_stored_is_stored_as_well(self) -> None:
        consumer, records = self.both()
        for expected in (6, 2):
            self.result(consumer.commit(records[1][expected]))
            self.assertEqual(self.stored(1), expected)

    def test_those_that_are_not_awaited_store_the_last_one(self) -> None:
        consumer, records = self.both()
        commits = [consumer.commit(record) for record in records[1]]
        for commit in commits:
            self.result(commit)
        self.assertEqual(self.stored(1), 9)
        self.assertEqual([r.offset for r in self.asked(UpdateConsumerOffsetRequest)], [0, 9])

    def test_a_commit_of_everything_comes_behind_it(self) -> None:
        consumer, records = self.both()
        self.result(consumer.commit(records[1][4]))
        self.result(consumer.commit())
        self.assertEqual((self.stored(0), self.stored(1)), (9, 9))

    def test_a_record_of_the_list_in_hand_can_be_committed(self) -> None:
        consumer = self.worker(AUTO, flush_interval=1.0)
        batch = self.result(consumer.next_batch())
        self.result(consumer.commit(batch[1]))
        self.assertEqual(self.stored(), 1)
        self.wait(3.0)
        self.result(consumer.close())
        self.assertEqual(self.stored(), 1)

    def test_automatically_what_was_handed_out_since_is_stored(self) -> None:
        consumer = self.worker(AUTO, flush_interval=1.0, partitions=0)
        records = self.read(consumer, 6)
        self.result(consumer.commit(records[5]))
        self.wait(1.5)
        self.assertEqual(self.stored(), 5)
        self.result(consumer.commit(records[2]))
        self.read(consumer, 2)
        self.wait(1.5)
        self.assertEqual(self.stored(), 6)

    def test_it_waits_for_the_connection_of_its_own_partition_to_come_back(self) -> None:
        consumer, records = self.both()
        accepts = [self.refuse_connections(spu) for spu in (5001, 5002)]
        self.lose_connections()
        commit = consumer.commit(records[1][4])
        self.wait(5.0)
        self.assertNoResult(commit)
        for accept in accepts:
            accept()
        self.result(commit)
        self.assertEqual((self.stored(0), self.stored(1)), (None, 4))

    def test_cancelling_it_disturbs_no_other(self) -> None:
        consumer, records = self.both()
        first, second = (consumer.commit(records[1][4]) for _ in range(2))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.result(second)
        self.assertEqual(self.stored(1), 4)

    def test_one_that_waits_when_the_consumer_is_closed_is_told(self) -> None:
        consumer, records = self.both()
        for spu in (5001, 5002):
            self.refuse_connections(spu)
        self.lose_connections()
        commit = consumer.commit(records[1][4])
        self.result(consumer.close())
        self.failureResultOf(commit, ConsumerClosed)
        self.failureResultOf(consumer.commit(records[1][4]), ConsumerClosed)

    def test_behind_a_seek_back_only_what_was_handed_out_since_can_be_committed(self) -> None:
        consumer, records = self.both()
        self.result(consumer.commit(records[1][8]))
        consumer.seek(1, 2)
        self.refused(consumer, records[1][8])
        (again,) = self.read(consumer, 1)
        self.assertEqual((again.partition, again.offset), (1, 2))
        self.result(consumer.commit(again))
        self.assertEqual(self.stored(1), 2)

    def test_behind_a_seek_ahead_what_was_handed_out_before_can_be_committed(self) -> None:
        consumer = self.worker(partitions=0)
        records = self.read(consumer, 3)
        consumer.seek(0, 8)
        self.result(consumer.commit(records[1]))
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [8])

    def test_before_the_place_of_a_seek_is_found_what_was_handed_out_can_be_committed(self) -> None:
        consumer = self.worker(partitions=0)
        records = self.read(consumer, 3)
        consumer.seek(0, END)
        self.result(consumer.commit(records[1]))
        self.assertEqual(self.stored(), 1)

    def test_what_was_handed_out_before_a_reset_can_be_committed_until_more_was(self) -> None:
        # Behind it, the records of the new place would be passed over.
        consumer = self.worker(partitions=0, reset=OffsetReset.EARLIEST)
        records = self.read(consumer, 10)
        self.broker.replica("orders").log.truncate(4)
        self.lose_connections()
        self.wait(3.0)
        self.result(consumer.commit(records[8]))
        self.assertEqual(self.stored(), 8)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [0])
        self.refused(consumer, records[9])

    def test_what_was_not_handed_out_is_refused(self) -> None:
        other = self.read(self.worker(partitions=0), 4)
        consumer = self.worker(partitions=0, start=Offset.absolute(2))
        self.refused(consumer, other[0])
        self.read(consumer, 1)
        error = self.refused(consumer, other[3])
        self.assertEqual(error.what, "orders/0@3")
        self.result(consumer.commit(other[2]))
        self.assertEqual(self.stored(), 2)

    def test_of_a_partition_that_is_not_read_it_is_refused(self) -> None:
        _, records = self.both()
        consumer = self.worker(partitions=0)
        self.failureResultOf(consumer.commit(records[1][4]), PartitionNotFound)

    def test_what_is_no_record_is_refused(self) -> None:
        consumer = self.worker()
        error = self.failureResultOf(consumer.commit(3), InvalidConfig)  # type: ignore[arg-type]
        self.assertEqual(error.value.setting, "record")

    def test_a_record_without_an_offset_is_refused(self) -> None:
        consumer, records = self.both()
        record = records[1][4]
        record.offset = None
        self.assertRegex(str(self.refused(consumer, record)), "no offset.*SmartModule")

    def test_a_record_whose_offset_others_have_as_well_is_refused(self) -> None:
        """A SmartModule has run on what was produced: offsets begin anew within the batch."""
        odd = Batch(encode_batch([b"a", b"b", b"c", b"d"]), 0)
        found = odd.raw_records()
        for record, delta in zip(found, (0, 1, 0, 1), strict=True):
            record.offset_delta = delta
        odd.first_timestamp = odd.max_timestamp = -1
        odd.last_offset_delta = 1
        self.append_batch(odd.encode(found))
        self.append(2)
        consumer = self.worker(partitions=0)
        records = self.read(consumer, 16)
        self.assertEqual(self.offsets(records[9:]), [9, 10, 11, 10, 11, 12, 13])
        self.assertRegex(str(self.refused(consumer, records[11])), "SmartModule")
        for placed in (records[9], records[14]):
            self.result(consumer.commit(placed))
            self.assertEqual(self.stored(), placed.offset)

    def test_without_stored_offsets_there_is_nothing_to_commit(self) -> None:
        consumer = self.started(start=BEGINNING)
        (record,) = self.read(consumer, 1)
        self.failureResultOf(consumer.commit(record), OffsetManagementDisabled)


class Automatic(StoringCase):
    def test_a_record_counts_as_processed_when_the_next_is_asked_for(self) -> None:
        consumer = self.worker(AUTO, flush_interval=1.0)
        self.read(consumer, 1)
        self.wait(1.5)
        self.assertIsNone(self.stored())
        self.read(consumer, 1)
        self.wait(1.5)
        self.assertEqual(self.stored(), 0)

    def test_asking_in_vain_counts_as_well(self) -> None:
        consumer = self.worker(AUTO, flush_interval=1.0)
        self.read(consumer, 10)
        wait = consumer.next()
        self.wait(1.5)
        self.assertEqual(self.stored(), 9)
        wait.cancel()
        self.failureResultOf(wait, CancelledError)

    def test_a_list_counts_as_processed_when_the_next_is_asked_for(self) -> None:
        self.append(1, size=CHUNK_SIZE)
        consumer = self.worker(AUTO, flush_interval=1.0)
        batch = self.result(consumer.next_batch())
        self.wait(1.5)
        self.assertIsNone(self.stored())
        self.result(consumer.next_batch())
        self.wait(1.5)
        self.assertEqual(self.stored(), batch[-1].offset)

    def test_it_is_stored_once_an_interval_however_much_is_read(self) -> None:
        consumer = self.worker(AUTO, flush_interval=2.0)
        for _ in range(10):
            self.read(consumer, 1)
            self.wait(0.5)
        self.assertEqual(len(self.asked(UpdateConsumerOffsetRequest)), 2)

    def test_what_is_left_is_stored_when_it_is_closed(self) -> None:
        consumer = self.worker(AUTO)
        self.read(consumer, 4)
        self.result(consumer.close())
        self.assertEqual(self.stored(), 2)

    def test_what_is_left_is_stored_when_it_is_closed_with_a_full_buffer(self) -> None:
        self.append(40, batch=1, size=50)
        consumer = self.worker(AUTO, start=BEGINNING, max_bytes=500, buffer_memory=500)
        self.read(consumer, 12)
        self.wait(1.0)
        self.lose_connections()
        self.result(consumer.close())
        self.assertEqual(self.stored(), 10)

    def test_a_loop_that_came_to_its_end_has_processed_all(self) -> None:
        consumer = self.worker(AUTO, start=BEGINNING, stop=END)
        self.read_all(consumer)
        self.result(consumer.close())
        self.assertEqual(self.stored(), 9)

    def test_a_record_whose_processing_failed_is_not_stored(self) -> None:
        consumer = self.consumer(consumer_id=WORKER, offsets=AUTO)

        async def work() -> None:
            async with consumer:
                async for record in consumer:
                    if record.offset == 5:
                        raise KeyError(record.offset)

        self.failure(Deferred.fromCoroutine(work()), KeyError)
        self.wait(1.0)
        self.assertEqual(self.stored(), 4)

    def test_whoever_waits_for_the_end_can_do_without_the_storing(self) -> None:
        consumer = self.worker(AUTO)
        self.read(consumer, 2)
        for spu in (5001, 5002):
            self.refuse_connections(spu)
        self.lose_connections()
        closing, joining = consumer.close(), consumer.close()
        self.wait(1.0)
        self.assertNoResult(closing)
        joining.cancel()
        self.failureResultOf(joining, CancelledError)
        self.turn()
        self.failureResultOf(closing, ConsumerClosed)

    def test_where_what_was_handed_in_breaks_whoever_waits_is_told(self) -> None:
        consumer = self.worker(MANUAL)
        self.read(consumer, 10)
        for spu in (5001, 5002):
            self.refuse_connections(spu)
        self.patch(self.rng, "random", lambda: 1 / 0)
        self.lose_connections()
        committing = consumer.commit()
        self.wait(1.0)
        self.failureResultOf(committing, ZeroDivisionError)
        self.failureResultOf(consumer.commit(), ZeroDivisionError)
        for _ in range(2):
            self.failure(consumer.next(), ZeroDivisionError)
            consumer.seek(0, 0)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_it_can_be_flushed_at_any_time(self) -> None:
        consumer = self.worker(AUTO)
        self.read(consumer, 4)
        self.result(consumer.flush_offsets())
        self.assertEqual(self.stored(), 2)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 3)

    def test_what_was_committed_stays_stored_when_it_is_closed(self) -> None:
        for read in (lambda c: c.next(), lambda c: c.next_batch()):
            consumer = self.worker(AUTO, start=BEGINNING, flush_interval=1.0)
            self.result(read(consumer))
            self.result(consumer.commit())
            committed = self.stored()
            self.wait(3.0)
            self.result(consumer.close())
            self.assertEqual(self.stored(), committed)

    def test_a_flush_that_fails_is_made_again(self) -> None:
        consumer = self.worker(AUTO, flush_interval=1.0)
        self.read(consumer, 4)
        accepts = [self.refuse_connections(spu) for spu in (5001, 5002)]
        self.lose_connections()
        self.wait(5.0)
        self.assertIsNone(self.stored())
        for accept in accepts:
            accept()
        self.wait(5.0)
        self.assertEqual(self.stored(), 2)

    def test_closing_says_what_it_could_not_store(self) -> None:
        consumer = self.worker(AUTO)
        self.read(consumer, 4)
        accepts = [self.refuse_connections(spu) for spu in (5001, 5002)]
        self.lose_connections()
        self.failure(consumer.close(), WaitTimedOut)
        for accept in accepts:
            accept()


class WithoutALeader(StoringCase):
    TOPICS = {"orders": 2}

    def test_a_partition_holds_up_the_storing_of_no_other(self) -> None:
        self.append(10, partition=1)
        leaders = {self.cluster.topology.leader_of("orders", number): number for number in (0, 1)}
        # The one that keeps the stored offsets stays, so that the test can look at them.
        (away,) = (id for id, spu in self.broker.cluster.spus.items() if spu.stored_offsets is None)
        lost = leaders.pop(away)
        (led,) = leaders.values()
        consumer = self.worker(AUTO, flush_interval=1.0)
        self.read(consumer, 20)
        self.result(self.broker.spu_down(away))
        wait = consumer.next()
        for expected in range(10, 13):
            self.append(1, partition=led)
            self.result(wait)
            wait = consumer.next()
            self.wait(1.5)
            self.assertEqual(self.stored(led), expected)
        self.assertIsNone(self.stored(lost))
        self.result(self.broker.spu_up(away))
        self.wait(5.0)
        self.assertEqual(self.stored(lost), 9)
        wait.cancel()
        self.failureResultOf(wait)


class AfterAReset(StoringCase):
    """Nobody has processed what is before the place where it goes on."""

    def waiting(self, reset: OffsetReset) -> tuple[Consumer, Deferred[Record]]:
        """A consumer that waits for more, having read everything before the log was cut to 4."""
        start = Offset.absolute(2)
        consumer = self.worker(AUTO, flush_interval=1.0, reset=reset, start=start)
        self.read(consumer, 8)
        wait = consumer.next()
        self.wait(1.5)
        self.broker.replica("orders").log.truncate(4)
        self.lose_connections()
        self.wait(3.0)
        return consumer, wait

    def updates(self) -> list[int]:
        """Every offset that was stored."""
        return [update.offset for update in self.asked(UpdateConsumerOffsetRequest)]

    def test_at_the_beginning_nothing_is_stored_before_a_record_was_processed(self) -> None:
        consumer, wait = self.waiting(OffsetReset.EARLIEST)
        self.assertEqual(self.result(wait).offset, 0)
        self.wait(1.5)
        self.assertEqual(self.updates(), [9])
        self.read(consumer, 1)
        self.wait(1.5)
        self.assertEqual(self.updates(), [9, 0])

    def test_at_the_end_nothing_is_stored_before_a_record_was_processed(self) -> None:
        consumer, wait = self.waiting(OffsetReset.LATEST)
        self.assertEqual(consumer.position(0), 4)
        self.append(2)
        self.assertEqual(self.result(wait).offset, 4)
        self.wait(1.5)
        self.assertEqual(self.updates(), [9])
        self.read(consumer, 1)
        self.wait(1.5)
        self.assertEqual(self.updates(), [9, 4])

    def test_what_was_in_hand_when_it_was_reset_is_stored_when_it_is_processed(self) -> None:
        settings = {"flush_interval": 5.0, "reset": OffsetReset.EARLIEST}
        consumer = self.worker(AUTO, start=Offset.stored(END), **settings)
        self.append(10, batch=10)
        self.read(consumer, 1)
        self.append(20, batch=10)
        self.lose_connections()
        self.broker.evict("orders", 0, before=30)
        self.wait(3.0)
        self.read(consumer, 9)
        wait = consumer.next()
        self.result(consumer.close())
        self.failureResultOf(wait, StopAsyncIteration)
        self.assertEqual(self.updates()[-1], 19)

    def test_a_list_that_was_in_hand_when_it_was_reset_is_too(self) -> None:
        consumer = self.worker(
            AUTO, flush_interval=1.0, reset=OffsetReset.EARLIEST, start=BEGINNING, max_bytes=1000
        )
        handed = [record.offset for record in self.result(consumer.next_batch())]
        self.append(20, batch=10)
        self.lose_connections()
        self.broker.evict("orders", 0, before=20)
        self.wait(0.5)
        last = None
        while 20 not in handed:
            last = handed[-1]
            handed = [record.offset for record in self.result(consumer.next_batch())]
        self.wait(3.0)
        self.assertEqual(self.updates()[-1], last)

    def test_a_paused_partition_that_has_to_store_goes_on_where_it_was_reset_to(self) -> None:
        start = Offset.absolute(4)
        consumer = self.worker(MANUAL, reset=OffsetReset.LATEST, start=start)
        self.read(consumer, 5)
        self.lose_connections()
        self.append(10, batch=5)
        self.broker.evict("orders", 0, before=15)
        self.wait(3.0)
        consumer.pause(0)
        self.append(5, batch=5)
        self.wait(1.0)
        self.lose_connections()
        self.wait(1.0)
        self.result(consumer.commit())
        consumer.resume(0)
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 7)), [9, *range(20, 26)])

    def reset_behind_a_full_buffer(self) -> Consumer:
        """A consumer that has read up to 10, holds some more, and goes on at 40 behind that."""
        settings = {"max_bytes": 500, "buffer_memory": 1000, "reset": OffsetReset.EARLIEST}
        self.append(40, batch=1, size=50)
        consumer = self.worker(MANUAL, start=BEGINNING, **settings)
        self.read(consumer, 11)
        self.lose_connections()
        self.broker.evict("orders", 0, before=40)
        self.wait(3.0)
        return consumer

    def test_a_loop_that_commits_goes_on_with_a_full_buffer(self) -> None:
        consumer = self.reset_behind_a_full_buffer()
        read: list[int | None] = []
        while not read or read[-1] != 49:
            read += self.offsets(self.read(consumer, 1))
            self.result(consumer.commit())
            self.assertEqual(self.stored(), read[-1])
        self.assertEqual(read, [*range(11, read.index(40) + 11), *range(40, 50)])

    def test_a_partition_that_is_paused_with_a_full_buffer_stores_its_offset(self) -> None:
        consumer = self.reset_behind_a_full_buffer()
        consumer.pause(0)
        self.lose_connections()
        self.wait(3.0)
        self.result(consumer.commit())
        self.assertEqual(self.stored(), 10)

    def test_neither_a_commit_nor_the_end_stores_anything(self) -> None:
        consumer, wait = self.waiting(OffsetReset.LATEST)
        self.result(consumer.commit())
        self.result(consumer.close())
        self.failureResultOf(wait, StopAsyncIteration)
        self.assertEqual(self.updates(), [9])

    def test_nothing_is_stored_while_the_first_records_from_before_are_in_hand(self) -> None:
        consumer = self.worker(AUTO, flush_interval=1.0, reset=OffsetReset.LATEST)
        self.result(consumer.next_batch())
        self.broker.replica("orders").log.truncate(4)
        self.lose_connections()
        self.wait(3.0)
        self.assertEqual(self.updates(), [])
        self.append(1)
        self.assertEqual(self.offsets(self.read(consumer, 1)), [4])


class StoredCase(StoringCase):
    def store(
        self, offset: int, partition: int = 0, consumer_id: str = WORKER, topic: str = "orders"
    ) -> None:
        """Let the cluster have an offset stored."""
        offsets = self.broker.cluster.spus[self.keeper_id()].stored_offsets
        assert offsets is not None
        offsets.put((topic, partition), consumer_id, offset)

    def keeper_id(self) -> int:
        """The SPU that leads the stored offsets."""
        (keeper,) = (
            spu_id
            for spu_id, spu in self.broker.cluster.spus.items()
            if spu.stored_offsets is not None
        )
        return keeper


class Committed(StoredCase):
    TOPICS = {"orders": 3, "returns": 1}

    def test_it_is_what_is_stored_of_each_partition(self) -> None:
        consumer = self.worker(topics=["orders", "returns"])
        self.assertEqual(self.result(consumer.committed()), {})
        self.read(consumer, 3)
        self.result(consumer.commit())
        self.assertEqual(self.result(consumer.committed()), {("orders", 0): 2})
        self.store(7, topic="returns")
        self.store(5, partition=2)
        self.assertEqual(
            list(self.result(consumer.committed()).items()),
            [(("orders", 0), 2), (("orders", 2), 5), (("returns", 0), 7)],
        )

    def test_what_is_not_stored_yet_is_not_in_it(self) -> None:
        consumer = self.worker()
        self.read(consumer, 3)
        self.assertEqual(self.result(consumer.committed()), {})

    def test_nothing_of_others_is_in_it_nor_of_what_is_not_read(self) -> None:
        consumer = self.worker(partitions=1)
        self.store(4)
        self.store(5, partition=1, consumer_id="another")
        self.store(6, topic="returns")
        self.assertEqual(self.result(consumer.committed()), {})

    def test_one_that_only_resumes_can_ask_too(self) -> None:
        self.store(4)
        consumer = self.started(consumer_id=WORKER, start=Offset.stored())
        self.assertEqual(self.result(consumer.committed()), {("orders", 0): 4})

    def test_without_an_id_there_is_nothing_stored(self) -> None:
        self.failureResultOf(self.started().committed(), OffsetManagementDisabled)

    def test_it_is_for_one_that_runs(self) -> None:
        consumer = self.consumer(consumer_id=WORKER, offsets=MANUAL)
        self.failureResultOf(consumer.committed(), NotStarted)
        self.result(consumer.close())
        self.failureResultOf(consumer.committed(), ConsumerClosed)

    def test_a_leader_of_the_stored_offsets_that_is_away_is_waited_for(self) -> None:
        self.store(4)
        consumer = self.worker()
        keeper = self.keeper_id()
        self.result(self.broker.spu_down(keeper))
        self.wait(1.0)
        asking = consumer.committed()
        self.wait(3.0)
        self.assertNoResult(asking)
        self.result(self.broker.spu_up(keeper))
        self.assertEqual(self.result(asking), {("orders", 0): 4})

    def test_one_that_stays_away_is_told_when_the_time_is_over(self) -> None:
        consumer = self.worker()
        keeper = self.keeper_id()
        self.result(self.broker.spu_down(keeper))
        self.wait(1.0)
        asking = consumer.committed()
        self.wait(29.0)
        self.assertNoResult(asking)
        self.assertRegex(str(self.failure(asking, WaitTimedOut)), "consumer-offset/0")
        self.result(self.broker.spu_up(keeper))

    def test_closing_the_consumer_ends_the_asking(self) -> None:
        consumer = self.worker()
        asking = consumer.committed()
        self.result(consumer.close())
        self.failureResultOf(asking, ConsumerClosed)

    def test_to_cancel_it_concerns_nobody_else(self) -> None:
        self.store(4)
        consumer = self.worker()
        first, second = consumer.committed(), consumer.committed()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.result(second), {("orders", 0): 4})


class Resuming(StoredCase):
    TOPICS = {"orders": 3}

    def test_each_partition_resumes_at_its_own_offset(self) -> None:
        self.append(10, partition=1)
        self.append(10, partition=2)
        self.store(4, partition=0)
        self.store(7, partition=1)
        consumer = self.started(consumer_id=WORKER, start=Offset.stored())
        self.assertEqual([consumer.position(n) for n in range(3)], [5, 8, 0])

    def test_with_nothing_stored_it_starts_where_it_is_told_to(self) -> None:
        for fallback, expected in ((None, 0), (END, 10), (Offset.absolute(3), 3)):
            with self.subTest(fallback=fallback):
                start = Offset.stored(fallback)
                consumer = self.started(consumer_id=WORKER, start=start)
                self.assertEqual(consumer.position(0), expected)

    def test_what_others_have_stored_is_theirs(self) -> None:
        self.store(4, consumer_id="worker-2")
        consumer = self.started(consumer_id=WORKER, start=Offset.stored())
        self.assertEqual(consumer.position(0), 0)

    def test_the_beginning_and_the_end_do_not_resume(self) -> None:
        self.store(4)
        for start, expected in ((BEGINNING, 0), (END, 10)):
            with self.subTest(start=start):
                consumer = self.started(consumer_id=WORKER, offsets=MANUAL, start=start)
                self.assertEqual(consumer.position(0), expected)

    def test_an_offset_that_retention_took_is_told(self) -> None:
        self.store(2)
        self.broker.evict("orders", 0, before=8)
        consumer = self.consumer(consumer_id=WORKER, start=Offset.stored())
        error = self.failure(consumer.start(), OffsetEvicted)
        self.assertEqual((error.offset, error.next_available), (3, 8))

    def test_for_an_offset_that_retention_took_a_reset_says_where_to_go_on(self) -> None:
        self.store(2)
        self.broker.evict("orders", 0, before=8)
        for reset, expected in ((OffsetReset.EARLIEST, 8), (OffsetReset.LATEST, 10)):
            with self.subTest(reset=reset):
                consumer = self.started(consumer_id=WORKER, offsets=MANUAL, reset=reset)
                self.assertEqual(consumer.position(0), expected)

    def test_an_offset_beyond_the_log_is_told(self) -> None:
        self.store(50)
        consumer = self.started(consumer_id=WORKER, start=Offset.stored())
        error = self.failure(consumer.next(), LogTruncated)
        self.assertEqual((error.position, error.end), (51, 10))

    def test_a_leader_of_the_stored_offsets_that_is_away_is_waited_for(self) -> None:
        self.store(4)
        keeper = self.keeper_id()
        self.result(self.broker.spu_down(keeper))
        self.wait(1.0)
        consumer = self.consumer(consumer_id=WORKER, start=Offset.stored())
        start = consumer.start()
        self.wait(3.0)
        self.assertNoResult(start)
        self.result(self.broker.spu_up(keeper))
        self.result(start)
        self.assertEqual(consumer.position(0), 5)

    def test_where_no_offsets_can_be_stored_none_are(self) -> None:
        self.broker.cluster.system_topic = False
        self.result(self.broker.cluster.delete_topic("consumer-offset"))
        self.wait(1.0)
        consumer = self.started(consumer_id=WORKER, start=Offset.stored())
        self.assertEqual(consumer.position(0), 0)
