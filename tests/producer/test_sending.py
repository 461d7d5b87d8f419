"""A record sent is stored once, in order, where it belongs, and its sender learns where."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from tests.cluster.objects import partition, spu, topic
from tests.producer.kit import DAWN, NAME, ProducerTestCase
from txfluvio.config import Isolation
from txfluvio.errors import (
    InvalidRecord,
    PartitionNotFound,
    RecordTooLarge,
)
from txfluvio.interfaces import IPartitioner
from txfluvio.producer import RecordMetadata, SiphashRoundRobinPartitioner
from txfluvio.producer.checks import size_alone
from txfluvio.wire.sc import PARTITION, SPU, TOPIC, Deduplication, PartitionResolution


class SendTests(ProducerTestCase):
    def test_its_sender_learns_where_it_was_stored(self) -> None:
        producer = self.started()
        sent = producer.send(b"hello", b"key")
        self.assertNoResult(sent)
        self.turn()
        self.assertEqual(self.successResultOf(sent), RecordMetadata(NAME, 0, 0, int(DAWN * 1000)))
        (record,) = self.leader.logs[0]
        self.assertEqual((record.key, record.value), (b"key", b"hello"))

    def test_records_are_stored_in_the_order_they_were_sent(self) -> None:
        producer = self.started(batch_size=200)
        values = [b"%d" % number for number in range(100)]
        sent = [producer.send(value) for value in values]
        self.turn()
        self.assertEqual(self.leader.values(), values)
        self.assertEqual([self.successResultOf(one).offset for one in sent], list(range(100)))

    def test_where_each_brings_its_own_time_each_is_told_its_own(self) -> None:
        producer = self.started(batch_size=200)
        stamps = [5000 + 10 * number for number in range(50)]
        sent = [producer.send(b"%d" % stamp, timestamp=stamp) for stamp in stamps]
        sent[7].cancel()
        self.failureResultOf(sent[7], CancelledError)
        self.turn()
        del stamps[7], sent[7]
        self.assertEqual([record.timestamp for record in self.leader.logs[0]], stamps)
        self.assertEqual(
            [self.successResultOf(one) for one in sent],
            [RecordMetadata(NAME, 0, offset, stamp) for offset, stamp in enumerate(stamps)],
        )

    def test_some_bring_their_own_time_and_some_do_not(self) -> None:
        producer = self.started()
        producer.send(b"a")
        producer.send(b"b", timestamp=5000)
        producer.send(b"c")
        self.turn()
        now = int(DAWN * 1000)
        self.assertEqual(self.leader.values(), [b"a", b"b", b"c"])
        self.assertEqual([r.timestamp for r in self.leader.logs[0]], [now, 5000, now])

    def test_an_empty_value_and_an_empty_key_are_as_good_as_any(self) -> None:
        producer = self.started()
        producer.send(b"", b"")
        self.turn()
        (record,) = self.leader.logs[0]
        self.assertEqual((record.key, record.value), (b"", b""))

    def test_it_is_stamped_with_the_time_of_day(self) -> None:
        producer = self.started()
        producer.send(b"a")
        self.turn(1.5)
        producer.send(b"b")
        self.turn()
        first = int(DAWN * 1000)
        self.assertEqual([r.timestamp for r in self.leader.logs[0]], [first, first + 1500])

    def test_it_may_bring_its_own_time(self) -> None:
        producer = self.started()
        sent = [producer.send(b"", timestamp=stamp) for stamp in (5000, 4000, 2**62)]
        self.turn()
        self.assertEqual([r.timestamp for r in self.leader.logs[0]], [5000, 4000, 2**62])
        self.assertEqual([self.successResultOf(s).timestamp for s in sent], [5000, 4000, 2**62])

    def test_wrong_types_are_refused_at_once_and_nothing_is_sent(self) -> None:
        producer = self.started()
        wrong: list[Any] = [
            producer.send("text"),  # type: ignore[arg-type]
            producer.send(None),  # type: ignore[arg-type]
            producer.send(bytearray(b"x")),  # type: ignore[arg-type]
            producer.send(b"x", "key"),  # type: ignore[arg-type]
            producer.send(b"x", timestamp=1.5),  # type: ignore[arg-type]
            producer.send(b"x", timestamp=0),
            producer.send(b"x", timestamp=-1),
            producer.send(b"x", timestamp=2**63),
            producer.send(b"x", timestamp=True),
            producer.send(b"x", partition="0"),  # type: ignore[arg-type]
            producer.send(b"x", partition=True),
        ]
        for sent in wrong:
            self.failureResultOf(sent, InvalidRecord)
        self.turn()
        self.assertEqual(self.leader.asked, [])

    def test_the_complaint_shows_no_payload(self) -> None:
        producer = self.started()
        failure = self.failureResultOf(producer.send("secret"))  # type: ignore[arg-type]
        self.assertNotIn("secret", str(failure.value))
        self.assertIn("str", str(failure.value))

    def test_a_record_over_the_limit_is_refused_at_once_and_one_at_the_limit_is_not(self) -> None:
        largest = b"x" * 1000
        limit = size_alone(b"key", largest)
        producer = self.started(max_request_size=limit, batch_size=100)
        fits = producer.send(largest, b"key")
        failure = self.failureResultOf(producer.send(largest + b"x", b"key"))
        error = failure.value
        assert isinstance(error, RecordTooLarge)
        self.assertEqual((error.size, error.limit), (limit + 1, limit))
        self.turn()
        self.successResultOf(fits)

    def test_a_large_record_is_refused_for_its_own_size_only(self) -> None:
        producer = self.started(max_request_size=20_000)
        sent = [producer.send(b"x" * size) for size in (10_000, 12_000)]
        self.turn()
        for one in sent:
            self.successResultOf(one)

    def test_a_partition_that_rests_keeps_no_snapshot_of_the_cluster_alive(self) -> None:
        producer = self.started()
        producer.send(b"x")
        self.turn()
        self.make_topic(1)
        self.turn()
        snapshot = weakref.ref(self.cluster.topology)
        producer.send(b"y")
        self.turn()
        self.make_topic(1)
        self.turn()
        gc.collect()
        self.assertIsNone(snapshot())

    def test_under_read_uncommitted_the_leader_answers_for_itself(self) -> None:
        self.started().send(b"x")
        self.turn()
        self.assertEqual(self.leader.asked[0].message.isolation, 1)

    def test_under_read_committed_it_answers_for_its_replicas(self) -> None:
        producer = self.started(isolation=Isolation.READ_COMMITTED, replication_timeout=2.5)
        sent = producer.send(b"x")
        self.turn()
        message = self.leader.asked[0].message
        self.assertEqual((message.isolation, message.timeout_ms), (-1, 2500))
        self.successResultOf(sent)

    def test_a_topic_that_drops_duplicates_tells_no_offsets(self) -> None:
        self.delete_topic()
        self.make_topic(1, deduplication=Deduplication(count=10, uses="dedup"))
        self.turn()
        producer = self.started()
        one, many = producer.send(b"a"), producer.send_many([b"b", b"c"])
        self.turn()
        self.assertIsNone(self.successResultOf(one).offset)
        self.assertEqual([stored.offset for stored in self.successResultOf(many)], [None, None])


class PartitionTests(ProducerTestCase):
    partitions = 3

    def placed(self) -> dict[int, list[bytes]]:
        self.turn()
        return {number: self.leader.values(number) for number in sorted(self.leader.logs)}

    def test_without_a_key_partitions_take_turns(self) -> None:
        producer = self.started()
        for value in (b"a", b"b", b"c", b"d"):
            producer.send(value)
        self.assertEqual(self.placed(), {0: [b"a", b"d"], 1: [b"b"], 2: [b"c"]})

    def test_with_a_key_its_hash_decides(self) -> None:
        producer = self.started()
        sent = [producer.send(b"", key) for key in (b"", b"a", b"key", b"hello")]
        self.turn()
        self.assertEqual([self.successResultOf(one).partition for one in sent], [2, 1, 2, 2])

    def test_partitions_that_are_offline_get_no_turn(self) -> None:
        self.lead({1: None})
        self.turn()
        producer = self.started()
        for value in (b"a", b"b", b"c"):
            producer.send(value)
        self.assertEqual(self.placed(), {0: [b"a", b"c"], 2: [b"b"]})

    def test_partitions_without_disk_space_get_no_turn(self) -> None:
        self.sc.tell(PARTITION, partition(f"{NAME}-0", 1, PartitionResolution.OUT_OF_STORAGE))
        self.turn()
        producer = self.started()
        for value in (b"a", b"b", b"c"):
            producer.send(value)
        self.assertEqual(self.placed(), {1: [b"a", b"c"], 2: [b"b"]})

    def test_the_sender_may_choose(self) -> None:
        producer = self.started()
        sent = producer.send(b"x", b"key", partition=1)
        self.turn()
        self.assertEqual(self.successResultOf(sent).partition, 1)

    def test_a_partition_that_is_not_there_is_named_at_once(self) -> None:
        producer = self.started()
        for number in (3, -1):
            error = self.failureResultOf(producer.send(b"x", partition=number)).value
            assert isinstance(error, PartitionNotFound)
            self.assertEqual((error.partition, error.count), (number, 3))

    def test_partitions_added_later_are_used(self) -> None:
        producer = self.started()
        self.make_topic(4)
        self.turn()
        for value in (b"a", b"b", b"c", b"d"):
            producer.send(value)
        self.assertEqual(self.placed(), {0: [b"a"], 1: [b"b"], 2: [b"c"], 3: [b"d"]})

    def test_a_change_of_another_topic_is_not_looked_into(self) -> None:
        self.started()
        before = self.cluster.topology.topic("orders").taking_turns
        self.sc.tell(TOPIC, topic("other", 2))
        self.sc.tell(PARTITION, partition("other-0"))
        self.sc.tell(SPU, spu(7))
        self.turn()
        self.assertIn(7, self.cluster.topology.spus)
        self.assertIs(self.cluster.topology.topic("orders").taking_turns, before)

    def test_the_users_own_partitioner_decides(self) -> None:
        @implementer(IPartitioner)
        class ByLength:
            def choose(
                self,
                key: bytes | None,
                value: bytes,
                partition_count: int,
                online: Sequence[int],
            ) -> int:
                assert (partition_count, list(online)) == (3, [0, 1, 2])
                return len(value)

        producer = self.started(partitioner=ByLength())
        producer.send(b"")
        producer.send(b"aa")
        producer.send_many([b"b", b"", (b"key", b"cc")])
        self.assertEqual(self.placed(), {0: [b"", b""], 1: [b"b"], 2: [b"aa", b"cc"]})
        self.failureResultOf(producer.send(b"ccc"), PartitionNotFound)
        self.failureResultOf(producer.send_many([b"c", b"ccc"]), PartitionNotFound)

    def test_what_a_partitioner_chooses_is_a_whole_number(self) -> None:
        @implementer(IPartitioner)
        class Choosing:
            choice: Any = 0

            def choose(self, *_: object) -> Any:
                return self.choice

        chooser = Choosing()
        producer = self.started(partitioner=chooser)
        choices: list[Any] = [None, "0", 1.0, True, [0], {}]
        for choice in choices:
            with self.subTest(choice=choice):
                chooser.choice = choice
                self.failureResultOf(producer.send(b"x"), InvalidRecord)
                self.failureResultOf(producer.send_many([b"x"]), InvalidRecord)
        self.assertEqual(self.placed(), {})

    def test_the_users_own_partitioner_decides_even_if_it_is_empty(self) -> None:
        class Affine(dict[bytes, int]):
            def choose(self, *_: object) -> int:
                return 2

        producer = self.started(partitioner=Affine())
        producer.send(b"a")
        producer.send_many([b"b"])
        self.assertEqual(self.placed(), {2: [b"a", b"b"]})

    def test_of_the_usual_partitioner_a_user_may_make_another(self) -> None:
        class Last(SiphashRoundRobinPartitioner):
            def choose(
                self, key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]
            ) -> int:
                return partition_count - 1

        producer = self.started(partitioner=Last())
        producer.send(b"a")
        producer.send_many([b"b", b"c"])
        producer.send_many([(b"key", b"d")])
        self.turn()
        self.assertEqual(self.leader.values(2), [b"a", b"b", b"c", b"d"])

    def test_within_a_turn_some_may_go_to_partitions_of_their_own(self) -> None:
        producer = self.started()
        sent = [
            producer.send(b"a"),
            producer.send(b"b", partition=2),
            producer.send(b"c"),
            producer.send(b"d", b"key", partition=0),
            producer.send(b"e"),
        ]
        self.turn()
        stored = [self.successResultOf(one) for one in sent]
        self.assertEqual([one.partition for one in stored], [0, 2, 1, 0, 2])
        self.assertEqual([one.offset for one in stored], [0, 0, 0, 1, 1])

    def test_the_calls_of_a_turn_are_stored_in_their_order_whatever_their_kind(self) -> None:
        producer = self.started()
        producer.send(b"a", partition=0)
        producer.send_many([b"b", b"c"], partition=0)
        producer.send(b"d", partition=0)
        producer.send(b"e", partition=0, timestamp=5000)
        producer.send_many([b"f"], partition=0)
        self.turn()
        self.assertEqual(self.leader.values(), [b"a", b"b", b"c", b"d", b"e", b"f"])

    def test_what_a_partitioner_raises_is_what_the_call_fails_with(self) -> None:
        @implementer(IPartitioner)
        class Broken:
            def choose(
                self,
                key: bytes | None,
                value: bytes,
                partition_count: int,
                online: Sequence[int],
            ) -> int:
                raise LookupError("lost")

        producer = self.started(partitioner=Broken())
        self.failureResultOf(producer.send(b"x"), LookupError)
        self.failureResultOf(producer.send_many([b"x"]), LookupError)
        self.assertEqual(self.placed(), {})

    def test_each_partition_has_one_request_under_way(self) -> None:
        self.leader.holding = True
        producer = self.started()
        for _ in range(3):
            producer.send_many([b"x"] * 6)
            self.turn()
        self.assertEqual(len(self.leader.asked), 3)
        for _ in range(6):
            self.leader.answer()
            self.turn()
        self.assertEqual([len(asked.values) for asked in self.leader.asked], [2, 2, 2, 4, 4, 4])


class SendManyTests(ProducerTestCase):
    partitions = 2

    def test_values_and_pairs_are_stored_in_their_order(self) -> None:
        producer = self.started()
        sent = producer.send_many([b"a", (b"key", b"b"), (None, b"c"), b"d"])
        self.turn()
        stored = self.successResultOf(sent)
        self.assertEqual(
            [*stored],
            [
                RecordMetadata(NAME, 0, 0, int(DAWN * 1000)),
                RecordMetadata(NAME, 0, 1, int(DAWN * 1000)),
                RecordMetadata(NAME, 1, 0, int(DAWN * 1000)),
                RecordMetadata(NAME, 0, 2, int(DAWN * 1000)),
            ],
        )
        self.assertEqual([r.value for r in self.leader.logs[0]], [b"a", b"b", b"d"])
        self.assertEqual([r.key for r in self.leader.logs[0]], [None, b"key", None])

    def test_many_batches_are_told_apart(self) -> None:
        producer = self.started(batch_size=500)
        values = [b"value %d" % number for number in range(1000)]
        sent = producer.send_many(iter(values))
        self.turn()
        for value, stored in zip(values, [*self.successResultOf(sent)], strict=True):
            assert stored.offset is not None
            self.assertEqual(self.leader.values(stored.partition)[stored.offset], value)

    def test_it_takes_turns_as_single_records_do(self) -> None:
        producer = self.started()
        producer.send(b"first")
        producer.send_many([b"a", b"b", b"c"])
        producer.send(b"last")
        self.turn()
        self.assertEqual(self.leader.values(0), [b"first", b"b", b"last"])
        self.assertEqual(self.leader.values(1), [b"a", b"c"])

    def test_all_may_go_to_one_partition_at_one_time(self) -> None:
        producer = self.started()
        producer.send_many([b"a", (b"key", b"b")], partition=1, timestamp=7000)
        self.turn()
        self.assertEqual(
            [(r.value, r.timestamp) for r in self.leader.logs[1]], [(b"a", 7000), (b"b", 7000)]
        )
        self.failureResultOf(producer.send_many([b"a"], partition=2), PartitionNotFound)
        self.failureResultOf(producer.send_many([b"a"], timestamp=0), InvalidRecord)

    def test_nothing_is_stored_at_once(self) -> None:
        producer = self.started()
        self.assertEqual(len(self.successResultOf(producer.send_many([]))), 0)

    def test_one_that_is_wrong_lets_none_be_sent(self) -> None:
        producer = self.started(max_request_size=1000, batch_size=1000)
        wrong: list[Any] = [
            [b"a", "b"],
            [b"a", (b"key", "b")],
            [b"a", ("key", b"b")],
            [b"a", (b"key", b"b", b"c")],
            [b"a", None],
            b"abc",
            "abc",
            7,
        ]
        for records in wrong:
            self.failureResultOf(producer.send_many(records), InvalidRecord)
        for large in (b"x" * 1000, (b"k" * 1000, b"x")):
            self.failureResultOf(producer.send_many([b"a", large]), RecordTooLarge)
        self.turn()
        self.assertEqual(self.leader.asked, [])

    def test_what_is_refused_takes_nobodys_turn(self) -> None:
        producer = self.started()
        self.failureResultOf(producer.send_many([b"a", None]), InvalidRecord)  # type: ignore[list-item]
        producer.send(b"b")
        self.turn()
        self.assertEqual(self.leader.values(0), [b"b"])
