"""``fluvio-tail`` between its options and its output, in memory and under a clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from txfluvio.tap.options import Options, Settings
from txfluvio.tap.tail import Tail, Terminal
from txfluvio.testing import FakeTls
from txfluvio.testing.faults import CorruptCrc, Delay, Fault, Match
from txfluvio.testing.smartmodules import SmartModuleRecord, filter
from txfluvio.transport.dialer import MemoryDialer

from ..client_kit import ClientCase


@filter
def _odd(record: SmartModuleRecord) -> bool:
    return bool(int(record.value) % 2)


class Paper:
    """A sink that keeps what is printed.

    :ivar full: set to a Deferred, writing waits for that.
    :ivar failing: raised by writing.
    """

    def __init__(self) -> None:
        self.printed = b""
        self.files = 1
        self.open = True
        self.full: Deferred[None] | None = None
        self.failing: OSError | None = None

    async def write(self, data: bytes) -> None:
        if self.full is not None:
            await self.full
        if self.failing is not None:
            raise self.failing
        self.printed += data

    def watch(self, gone: Callable[[], object]) -> None:
        self.gone = gone

    def reopen(self) -> None:
        self.files += 1

    def close(self) -> None:
        self.open = False


class TailCase(ClientCase):
    """Runs ``fluvio-tail`` with a command line."""

    TOPICS = {"orders": 2, "logs-a": 1, "logs-b": 1}

    def setUp(self) -> None:
        super().setUp()
        self.paper = Paper()
        self.said: list[str] = []
        self.statuses: list[int] = []

    def settings(self, *arguments: str) -> Settings:
        options = Options()
        options.parseOptions(["--cluster", self.broker.sc_endpoint, *arguments])
        return options.settings

    def tail(self, *arguments: str, terminal: Terminal | None = None) -> Tail:
        """One that runs, and is stopped at the end of the test."""
        settings = self.settings(*arguments)
        tail = Tail(
            self.clock,
            settings,
            open_sink=lambda: self.paper,
            ended=self.statuses.append,
            say=self.said.append,
            terminal=terminal,
            dialer=MemoryDialer(self.network, settings.config, self.clock),
            rng=Random(1),
        )
        tail.startService()
        self.addCleanup(lambda: self.result(tail.stopService()))
        return tail

    def tearDown(self) -> None:
        self.doCleanups()
        super().tearDown()

    def produce(self, topic: str, *values: bytes, partition: int = 0) -> None:
        async def send() -> None:
            client = self.make_client()
            async with client, client.producer(topic) as producer:
                await producer.send_many(values, partition=partition)

        self.do(send())

    def stored(self, consumer: str) -> dict[tuple[str, int], int]:
        """How far the consumer has come, by topic and partition."""

        async def ask() -> Any:
            async with self.make_client() as client:
                return await client.admin.list_consumer_offsets(consumer_id=consumer)

        return {(each.topic, each.partition): each.offset for each in self.do(ask())}

    def printed(self, *arguments: str, seconds: float = 5.0, status: int | None = 0) -> list[bytes]:
        """The lines of a run that ends by itself."""
        self.tail(*arguments)
        self.wait(seconds)
        self.assertEqual(self.statuses, [] if status is None else [status], self.said)
        return self.paper.printed.splitlines()


class WhatIsPrinted(TailCase):
    def setUp(self) -> None:
        super().setUp()
        self.produce("orders", b"a0", b"a1", b"a2", partition=0)
        self.produce("orders", b"b0", partition=1)

    def test_every_partition_from_its_beginning_to_its_end(self) -> None:
        printed = self.printed("-B", "-d", "orders")
        self.assertEqual(sorted(printed), [b"a0", b"a1", b"a2", b"b0"])

    def test_a_batch_that_is_damaged_is_told_with_its_partition_and_offset(self) -> None:
        self.broker.plant(Fault(Match("StreamFetch", partition=0), CorruptCrc()))
        self.printed("-B", "-d", "orders", status=1)
        (said,) = self.said
        self.assertRegex(said, "^fluvio-tail: orders/0 at offset 0: .*the CRC is")

    def test_one_partition(self) -> None:
        self.assertEqual(self.printed("-B", "-d", "-p", "1", "orders"), [b"b0"])

    def test_from_so_many_after_the_beginning(self) -> None:
        self.assertEqual(self.printed("-H", "1", "-d", "-p", "0", "orders"), [b"a1", b"a2"])

    def test_from_so_many_before_the_end(self) -> None:
        self.assertEqual(self.printed("-T", "1", "-d", "-p", "0", "orders"), [b"a2"])

    def test_to_an_offset_that_is_included(self) -> None:
        self.assertEqual(
            self.printed("--start", "0", "--end", "1", "-p", "0", "orders"), [b"a0", b"a1"]
        )

    def test_to_an_offset_or_the_end_whichever_comes_first(self) -> None:
        printed = self.printed("-B", "-d", "--end", "1", "orders")
        self.assertEqual(sorted(printed), [b"a0", b"a1", b"b0"])

    def test_so_many_lines(self) -> None:
        self.assertEqual(self.printed("-B", "-n", "2", "-p", "0", "orders"), [b"a0", b"a1"])

    def test_so_many_lines_of_several_topics_together(self) -> None:
        self.produce("logs-a", b"c0", b"c1")
        self.assertEqual(len(self.printed("-B", "-n", "4", "orders", "logs-a")), 4)

    def test_in_the_format_that_is_asked_for(self) -> None:
        printed = self.printed("-B", "-d", "-p", "1", "-F", "{{topic}}/{{partition}}", "orders")
        self.assertEqual(printed, [b"orders/1"])

    def test_without_d_it_goes_on_and_starts_at_the_end(self) -> None:
        self.tail("-p", "0", "orders")
        self.wait(1.0)
        self.produce("orders", b"a3")
        self.wait(1.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"a3\n", []))


class SeveralTopics(TailCase):
    def setUp(self) -> None:
        super().setUp()
        self.produce("logs-a", b"a")
        self.produce("logs-b", b"b")
        self.produce("orders", b"o")

    def test_by_name(self) -> None:
        printed = self.printed("-B", "-d", "orders", "logs-b")
        self.assertEqual(sorted(printed), [b"b", b"o"])

    def test_by_pattern(self) -> None:
        self.assertEqual(sorted(self.printed("-B", "-d", "logs-*")), [b"a", b"b"])

    def test_by_name_and_pattern_once_each(self) -> None:
        self.assertEqual(sorted(self.printed("-B", "-d", "logs-a", "logs-*")), [b"a", b"b"])

    def test_a_pattern_has_no_topics_of_the_system(self) -> None:
        self.assertEqual(sorted(self.printed("-B", "-d", "*")), [b"a", b"b", b"o"])

    def test_a_pattern_takes_in_topics_that_come_to_be_from_their_beginning(self) -> None:
        self.tail("logs-*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.create_topic("logs-c"))
        self.produce("logs-c", b"c")
        self.wait(2.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"c\n", []))

    def test_of_a_pattern_a_topic_may_go(self) -> None:
        self.tail("logs-*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.produce("logs-b", b"b1")
        self.wait(2.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"b1\n", []))

    def test_a_topic_of_a_pattern_may_go_before_it_is_read(self) -> None:
        self.tail("logs-*")
        self.wait(1.0)
        self.broker.plant(Fault(Match("FetchOffsets", topic="logs-c"), Delay(5.0)))
        self.result(self.client.start())
        self.result(self.client.admin.create_topic("logs-c"))
        self.wait(1.0)
        self.result(self.client.admin.delete_topic("logs-c"))
        self.wait(10.0)
        self.produce("logs-b", b"b1")
        self.wait(2.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"b1\n", []), self.said)

    def test_a_topic_of_a_pattern_may_go_while_its_offsets_are_not_stored(self) -> None:
        self.tail("-c", "me", "-B", "logs-a*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.wait(10.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"a\n", []), self.said)

    def test_a_topic_that_is_made_again_while_the_old_one_is_printed_is_followed(self) -> None:
        self.paper.full = Deferred()
        self.tail("-B", "logs-a*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.result(self.client.admin.create_topic("logs-a"))
        self.wait(1.0)
        self.paper.full.callback(None)
        self.produce("logs-a", b"new")
        self.wait(5.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"a\nnew\n", []), self.said)

    def test_a_stop_while_what_was_deleted_is_printed_is_the_end(self) -> None:
        tail = self.tail("-c", "me", "-B", "logs-a*")
        self.wait(1.0)
        self.paper.full = Deferred()
        self.produce("logs-a", b"more")
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.result(self.client.admin.create_topic("logs-a"))
        self.result(tail.stopService())
        self.assertEqual(self.paper.printed, b"a\n")

    def test_a_topic_that_was_named_may_not(self) -> None:
        self.tail("logs-a", "logs-b")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.wait(2.0)
        self.assertEqual(self.statuses, [1])
        self.assertIn("logs-a", "".join(self.said))

    def test_a_topic_of_a_pattern_that_lacks_a_partition_is_left_out(self) -> None:
        self.produce("orders", b"o1", partition=1)
        self.assertEqual(self.printed("-B", "-d", "-p", "1", "*"), [b"o1"])
        self.assertEqual(
            sorted(self.said),
            [
                f"fluvio-tail: topic {name} has no partition 1: it has 1, numbered from 0;"
                " it is left out\n"
                for name in ("logs-a", "logs-b")
            ],
        )

    def test_one_that_comes_to_be_is_too_and_is_said_once(self) -> None:
        self.tail("-p", "1", "order*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.create_topic("orders-b"))
        self.wait(2.0)
        self.produce("orders", b"o1", partition=1)
        self.wait(310.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"o1\n", []))
        self.assertEqual(len(self.said), 1, self.said)

    def test_one_that_is_made_again_with_what_it_lacked_is_read(self) -> None:
        self.tail("-p", "1", "logs-a*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.wait(1.0)
        self.result(self.client.admin.create_topic("logs-a", partitions=2))
        self.produce("logs-a", b"new", partition=1)
        self.wait(2.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"new\n", []))

    def test_one_that_grows_by_what_it_lacked_is_read(self) -> None:
        self.tail("-p", "1", "logs-a*")
        self.wait(1.0)
        self.result(self.client.start())
        self.result(self.client.admin.add_partitions("logs-a", 1))
        self.produce("logs-a", b"new", partition=1)
        self.wait(2.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"new\n", []), self.said)

    def test_a_topic_that_was_named_may_not_lack_one(self) -> None:
        self.printed("-B", "-d", "-p", "1", "orders", "logs-a", status=1)
        self.assertIn("topic logs-a has no partition 1", "".join(self.said))

    def test_a_pattern_that_nothing_matches(self) -> None:
        self.assertEqual(self.printed("-d", "nothing-*", status=1), [])
        self.assertIn("fluvio-tail: topics like nothing-*: there is no such topic", self.said[0])


class SmartModules(TailCase):
    def test_filter_on_the_cluster_and_have_no_offsets_to_print(self) -> None:
        self.broker.register_smartmodule("odd", _odd)
        self.produce("logs-a", *(b"%d" % number for number in range(6)))
        printed = self.printed(
            "-B", "-d", "--smartmodule", "odd", "-F", "{{value}} at {{offset}}", "logs-a"
        )
        self.assertEqual(printed, [b"1 at NA", b"3 at NA", b"5 at NA"])

    def test_one_that_is_not_there_ends_it(self) -> None:
        self.produce("logs-a", b"x")
        self.printed("-B", "-d", "--smartmodule", "nothing", "logs-a", status=1)
        self.assertEqual(len(self.said), 1)
        self.assertIn("nothing", self.said[0])


class Resuming(TailCase):
    def setUp(self) -> None:
        super().setUp()
        self.produce("logs-a", *(b"%d" % number for number in range(5)))

    def test_goes_on_behind_what_was_printed(self) -> None:
        self.printed("-c", "me", "-B", "-d", "logs-a")
        self.produce("logs-a", b"5")
        self.paper.printed, self.statuses = b"", []
        self.assertEqual(self.printed("-c", "me", "-B", "-d", "logs-a"), [b"5"])

    def test_so_many_lines_are_exactly_what_counts_as_printed(self) -> None:
        self.printed("-c", "me", "-B", "-n", "2", "logs-a")
        self.assertEqual(self.stored("me"), {("logs-a", 0): 1})

    def test_up_to_an_end_that_is_before_the_start_of_one_with_nothing_stored(self) -> None:
        self.printed("-c", "me", "-B", "-n", "2", "logs-a")
        self.paper.printed, self.statuses = b"", []
        self.assertEqual(self.printed("-c", "me", "-H", "4", "--end", "2", "logs-a"), [b"2"])

    def test_with_nothing_stored_such_an_end_leaves_nothing_to_print(self) -> None:
        self.assertEqual(self.printed("-c", "me", "-H", "4", "--end", "2", "logs-a"), [])

    def test_what_was_read_and_not_printed_does_not_count(self) -> None:
        self.produce("logs-b", b"x")
        self.printed("-c", "me", "-B", "-n", "5", "logs-a", "logs-b")
        printed = self.paper.printed.splitlines()
        stored = self.stored("me")
        self.assertEqual(stored.get(("logs-b", 0), -1) + 1, printed.count(b"x"))
        self.assertEqual(stored[("logs-a", 0)] + 1, 5 - printed.count(b"x"))

    def test_a_write_that_failed_does_not_count(self) -> None:
        self.paper.failing = BrokenPipeError()
        self.printed("-c", "me", "-B", "logs-a")
        self.assertEqual(self.stored("me"), {})

    def test_a_stop_stores_what_was_printed(self) -> None:
        tail = self.tail("-c", "me", "-B", "logs-a")
        self.wait(1.0)
        self.result(tail.stopService())
        self.assertEqual(self.stored("me"), {("logs-a", 0): 4})
        self.assertEqual(self.statuses, [])


class TakenByRetention(TailCase):
    """What comes behind the record printed last is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.produce("logs-a", b"0")
        self.printed("-c", "me", "-B", "-d", "logs-a")
        self.paper.printed, self.statuses = b"", []
        self.produce("logs-a", b"1")
        self.produce("logs-a", b"2")
        self.broker.evict("logs-a", 0, before=2)

    def test_it_ends_with_words_that_an_operator_can_use(self) -> None:
        self.printed("-c", "me", "-d", "logs-a", status=1)
        self.assertEqual(
            self.said,
            [
                "fluvio-tail: logs-a/0: offset 1 is gone by retention, the log starts at 2:"
                " choose a --reset [code 71]\n"
            ],
        )

    def test_it_can_go_on_at_the_oldest_record(self) -> None:
        self.assertEqual(self.printed("-c", "me", "--reset", "earliest", "-d", "logs-a"), [b"2"])

    def test_it_can_go_on_with_those_to_come(self) -> None:
        self.assertEqual(self.printed("-c", "me", "--reset", "latest", "-d", "logs-a"), [])


class BeyondTheLog(TailCase):
    """What is stored is of a log that is longer than the one there is now."""

    def setUp(self) -> None:
        super().setUp()
        self.produce("logs-a", b"0")
        self.printed("-c", "me", "-B", "-d", "logs-a")
        self.paper.printed, self.statuses = b"", []
        for spu in self.broker.cluster.spus.values():
            if spu.stored_offsets is not None:
                spu.stored_offsets.put(("logs-a", 0), "me", 5)

    def test_following_ends_with_words_that_an_operator_can_use(self) -> None:
        self.printed("-c", "me", "logs-a", status=1)
        self.assertEqual(
            self.said,
            [
                "fluvio-tail: logs-a/0: the log ends at 1, before the position 6: it was cut by an"
                " election, or made anew; choose a --reset\n"
            ],
        )

    def test_a_reset_goes_on_where_it_says(self) -> None:
        self.assertEqual(
            self.printed("-c", "me", "--reset", "earliest", "logs-a", status=None), [b"0"]
        )

    def test_to_the_end_it_is_said_that_nothing_is_printed(self) -> None:
        self.assertEqual(self.printed("-c", "me", "-d", "logs-a"), [])
        self.assertEqual(
            self.said,
            [
                "fluvio-tail: logs-a/0: begins at offset 6, beyond the end of the log as its leader"
                " tells it, 1: nothing of it is printed\n"
            ],
        )

    def test_a_start_that_was_typed_is_said_too(self) -> None:
        self.printed("--start", "2", "-d", "logs-a")
        self.assertIn("logs-a/0: begins at offset 2", "".join(self.said))

    def test_what_begins_at_the_end_is_not(self) -> None:
        self.printed("--start", "1", "-d", "logs-a")
        self.assertEqual(self.said, [])


class Waiting(TailCase):
    def test_an_unknown_topic_ends_it(self) -> None:
        self.printed("nowhere", status=1)
        self.assertEqual(len(self.said), 1)
        self.assertIn("nowhere", self.said[0])

    def test_with_wait_an_unknown_topic_is_waited_for(self) -> None:
        self.tail("--wait", "-B", "later")
        self.wait(5.0)
        self.result(self.client.start())
        self.result(self.client.admin.create_topic("later"))
        self.produce("later", b"x")
        self.wait(15.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"x\n", []))

    def deleted_and_made_again(self, *arguments: str) -> None:
        self.tail("--wait", "-B", *arguments, "logs-a")
        self.wait(1.0)
        self.produce("logs-a", b"old")
        self.result(self.client.start())
        self.result(self.client.admin.delete_topic("logs-a"))
        self.wait(15.0)
        self.result(self.client.admin.create_topic("logs-a"))
        self.produce("logs-a", b"new")
        self.wait(30.0)

    def test_with_wait_a_topic_that_is_deleted_is_waited_for(self) -> None:
        self.deleted_and_made_again()
        self.assertEqual((self.paper.printed, self.statuses), (b"old\nnew\n", []), self.said)
        self.assertEqual(
            self.said, ["fluvio-tail: topic logs-a was deleted: waiting for one of this name\n"]
        )

    def test_one_that_stores_offsets_too(self) -> None:
        self.deleted_and_made_again("-c", "me")
        self.assertEqual((self.paper.printed, self.statuses), (b"old\nnew\n", []), self.said)

    def test_with_an_end_to_come_to_it_is_not(self) -> None:
        self.deleted_and_made_again("--end", "9")
        self.assertEqual((self.paper.printed, self.statuses), (b"old\n", [1]))

    def test_a_cluster_that_is_not_there_ends_it_and_is_named(self) -> None:
        self.result(self.broker.stop())
        self.printed("orders", seconds=15.0, status=1)
        self.assertIn(self.broker.sc_endpoint, self.said[0])

    def test_with_wait_the_cluster_is_waited_for(self) -> None:
        self.produce("logs-a", b"x")
        self.result(self.broker.sc_down())
        self.tail("--wait", "-B", "logs-a")
        self.wait(60.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"", []))
        self.result(self.broker.sc_up())
        self.wait(30.0)
        self.assertEqual((self.paper.printed, self.statuses), (b"x\n", []))


class Outputs(TailCase):
    def test_a_full_output_holds_the_reading_back_and_not_the_end(self) -> None:
        self.produce("logs-a", b"x")
        self.paper.full = Deferred()
        tail = self.tail("-B", "logs-a")
        self.wait(1.0)
        self.result(tail.stopService())
        self.assertEqual(self.paper.printed, b"")
        self.assertFalse(self.paper.open)

    def test_between_pieces_of_a_large_dump_it_can_be_stopped(self) -> None:
        self.produce("logs-a", b"\0" * 700_000)
        full: Deferred[None] = Deferred()
        self.paper.full = full
        tail = self.tail("-B", "-O", "binary", "logs-a")
        self.wait(1.0)
        full.callback(None)
        self.result(tail.stopService())
        self.assertTrue(0 < len(self.paper.printed) < 700_000, len(self.paper.printed))
        self.assertTrue(self.paper.printed.endswith(b"|\n"))

    def test_a_closed_pipe_is_a_quiet_end(self) -> None:
        self.produce("logs-a", b"x")
        self.paper.failing = BrokenPipeError()
        self.printed("-B", "logs-a")
        self.assertEqual(self.said, [])

    def test_nobody_reading_any_more_is_a_quiet_end_though_no_record_comes(self) -> None:
        self.tail("logs-a")
        self.wait(1.0)
        self.paper.gone()
        self.wait(1.0)
        self.assertEqual((self.statuses, self.said), ([0], []))

    def test_a_full_disk_is_said_in_one_line(self) -> None:
        self.produce("logs-a", b"x")
        self.paper.failing = OSError(28, "No space left on device")
        self.printed("-B", "--to", "/var/log/x", "logs-a", status=1)
        self.assertEqual(self.said, ["fluvio-tail: /var/log/x: No space left on device\n"])

    def test_is_opened_again_when_told(self) -> None:
        tail = self.tail("logs-a")
        self.wait(1.0)
        tail.reopen()
        self.assertEqual(self.paper.files, 2)

    def test_figures_come_as_often_as_asked_for(self) -> None:
        self.produce("logs-a", b"abc", b"def")
        self.tail("-B", "--stats", "10", "logs-a")
        self.wait(21.0)
        self.assertEqual(
            self.said,
            [
                "fluvio-tail: 2 records, 8 B; 0 records/s, 1 B/s; lag: logs-a/0 0\n",
                "fluvio-tail: 2 records, 8 B; 0 records/s, 0 B/s; lag: logs-a/0 0\n",
            ],
        )

    def test_figures_that_were_long_in_coming_are_of_the_time_that_has_passed(self) -> None:
        self.tail("-B", "--stats", "10", "logs-a")
        self.wait(5.0)
        self.broker.plant(Fault(Match("FetchOffsets", topic="logs-a"), Delay(25.0)))
        self.wait(7.0)
        self.produce("logs-a", *[b"x"] * 70)
        self.wait(30.0)
        self.assertEqual(
            self.said,
            [
                "fluvio-tail: 70 records, 140 B; 2 records/s, 4 B/s; lag: logs-a/0 0\n",
                "fluvio-tail: 70 records, 140 B; 0 records/s, 0 B/s; lag: logs-a/0 0\n",
            ],
        )

    def test_figures_that_are_not_there_at_the_end_are_not_told(self) -> None:
        tail = self.tail("-B", "--stats", "10", "logs-a")
        self.wait(5.0)
        self.broker.plant(Fault(Match("FetchOffsets", topic="logs-a"), Delay(25.0)))
        self.wait(7.0)
        self.result(tail.stopService())
        self.wait(30.0)
        self.assertEqual(self.said, [])


class OutagesAreSaidOnce(TailCase):
    def test_when_the_cluster_goes_and_when_it_is_back(self) -> None:
        self.tail("logs-a")
        self.wait(1.0)
        self.result(self.broker.sc_down())
        self.wait(60.0)
        sc = self.broker.sc_endpoint
        (lost,) = self.said
        self.assertTrue(lost.startswith(f"fluvio-tail: lost {sc}: "), lost)
        self.assertTrue(lost.endswith("; trying again until it is back\n"), lost)
        self.result(self.broker.sc_up())
        self.wait(10.0)
        back = self.said[1]
        self.assertTrue(back.startswith(f"fluvio-tail: {sc} is back after 6"), back)

    def test_an_spu_that_goes_is_one_too_and_records_go_on_after_it(self) -> None:
        self.tail("logs-a")
        self.wait(1.0)
        self.result(self.broker.spu_down(5001))
        self.wait(30.0)
        self.assertEqual(len(self.said), 1, self.said)
        self.result(self.broker.spu_up(5001))
        self.produce("logs-a", b"x")
        self.wait(20.0)
        self.assertEqual(self.paper.printed, b"x\n")
        self.assertEqual(len(self.said), 2, self.said)

    def test_with_wait_a_cluster_that_is_not_there_is_one_from_the_beginning(self) -> None:
        self.result(self.broker.sc_down())
        self.tail("--wait", "logs-a")
        self.wait(60.0)
        self.assertEqual(len(self.said), 1)
        self.assertIn(self.broker.sc_endpoint, self.said[0])

    def test_with_wait_a_certificate_that_is_refused_is_one_too(self) -> None:
        self.result(self.broker.stop())
        self.start_broker(tls=FakeTls())
        self.tail("--wait", "--tls", "--tls-server-name", "fluvio.test", "logs-a")
        self.wait(60.0)
        (refused,) = self.said
        self.assertIn("not signed by a trusted authority: see --tls-ca", refused)

    def test_that_it_takes_tls_is_told_by_the_option(self) -> None:
        self.result(self.broker.stop())
        self.start_broker(tls=FakeTls())
        self.printed("logs-a", status=1)
        (refused,) = self.said
        self.assertIn("speaks TLS: set --tls (", refused)

    def test_one_that_ends_it_is_said_once_too(self) -> None:
        self.result(self.broker.sc_down())
        self.printed("logs-a", seconds=15.0, status=1)
        self.assertEqual(len(self.said), 1)


class OnATerminal(TailCase):
    BOTH = Terminal(output=True, errors=True, colour=True)

    def test_says_what_it_reads_in_bold(self) -> None:
        self.tail("-B", "--end", "5", "orders", "logs-a", terminal=self.BOTH)
        self.assertEqual(
            self.said, ["\x1b[1mReading orders, logs-a from the beginning until offset 5\x1b[0m\n"]
        )

    def test_without_colours_it_says_it_plainly(self) -> None:
        self.tail("-T", "3", "orders", terminal=Terminal(output=True, errors=True))
        self.assertEqual(self.said, ["Reading orders 3 before the end\n"])

    def test_draws_a_line_of_progress_and_erases_it_before_a_record(self) -> None:
        self.tail("-B", "logs-a", terminal=self.BOTH)
        self.wait(1.0)
        self.assertIn("0 records", self.said[-1])
        self.produce("logs-a", b"x")
        self.assertIn("\r\x1b[K", self.said)
        self.wait(1.0)
        self.assertIn("1 records", self.said[-1])

    def test_draws_none_while_a_terminal_takes_its_time_with_records(self) -> None:
        self.tail("-B", "logs-a", terminal=self.BOTH)
        self.wait(1.0)
        full: Deferred[None] = Deferred()
        self.paper.full = full
        self.produce("logs-a", b"x")
        self.wait(1.0)
        self.assertEqual(self.said[-1], "\r\x1b[K")
        self.paper.full = None
        full.callback(None)
        self.wait(1.0)
        self.assertIn("1 records", self.said[-1])

    def test_leaves_nothing_of_it_at_the_end(self) -> None:
        tail = self.tail("logs-a", terminal=self.BOTH)
        self.wait(1.0)
        self.result(tail.stopService())
        self.assertEqual(self.said[-1], "\r\x1b[K")

    def test_draws_none_if_told_so(self) -> None:
        self.tail("--disable-progressbar", "logs-a", terminal=self.BOTH)
        self.wait(1.0)
        self.assertEqual(len(self.said), 1)

    def test_control_characters_are_shown_only_where_standard_output_is_the_terminal(self) -> None:
        self.produce("logs-a", b"\x1b[2J")
        for terminal, arguments, printed in (
            (self.BOTH, (), b"\\x1b[2J\n"),
            (self.BOTH, ("--to", "file"), b"\x1b[2J\n"),
            (Terminal(output=False, errors=True, colour=True), (), b"\x1b[2J\n"),
        ):
            self.paper.printed = b""
            self.tail("-B", "-d", *arguments, "logs-a", terminal=terminal)
            self.wait(1.0)
            self.assertEqual(self.paper.printed, printed)

    def test_keys_are_coloured_only_where_standard_output_is_the_terminal(self) -> None:
        self.produce("logs-a", b"x")
        for terminal, frame in (
            (self.BOTH, b"\x1b[36m[null]\x1b[0m x\n"),
            (Terminal(output=False, errors=True, colour=True), b"[null] x\n"),
        ):
            self.paper.printed = b""
            self.tail("-B", "-d", "-k", "logs-a", terminal=terminal)
            self.wait(1.0)
            self.assertEqual(self.paper.printed, frame)
