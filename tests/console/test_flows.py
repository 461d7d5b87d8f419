"""The records of a topic, as a page gets them."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

from .kit import ConsoleCase, Listener


def value(record: dict[str, Any]) -> bytes:
    return base64.b64decode(record["value"]["data"])


class FlowCase(ConsoleCase):
    TOPICS = {"orders": 2}

    def read(self, start: str = "beginning", *, follow: bool = True, **others: str) -> Listener:
        """Listen to the records of the topic."""
        query = {"view": "topic", "topic": "orders", "from": start, "follow": str(int(follow))}
        return self.listen(urlencode({**query, **others}))

    def records(self, page: Listener) -> tuple[list[bytes], dict[str, Any]]:
        """The values that came, and what was told last; numbers are summed up."""
        told = page.take("records")
        self.assertTrue(told)
        values = [value(record) for one in told for record in one["records"]]
        sums = {name: sum(one[name] for one in told) for name in ("seen", "matched")}
        return values, {**told[-1], **sums}

    def put(self, *values: bytes, partition: int = 0) -> None:
        self.broker.append("orders", values, partition)


class Following(FlowCase):
    def test_begins_where_it_is_told_to(self) -> None:
        self.put(b"a", b"b", b"c")
        self.assertEqual(self.records(self.read("beginning"))[0], [b"a", b"b", b"c"])
        self.assertEqual(self.records(self.read("last-1"))[0], [b"c"])
        self.assertEqual(self.records(self.read("1"))[0], [b"b", b"c"])

    def test_begins_within_the_log_wherever_it_is_told_to(self) -> None:
        self.put(b"a")
        page = self.read("1000000")
        self.put(b"b")
        self.wait(1)
        self.assertEqual(self.records(page)[0], [b"b"])

    def test_tells_records_as_they_come(self) -> None:
        page = self.read("last-50")
        self.assertEqual(self.records(page)[0], [])
        self.put(b"a")
        self.wait(1)
        values, told = self.records(page)
        self.assertEqual((values, told["places"]), ([b"a"], {"0": 1}))
        self.assertFalse(told["ended"])

    def test_reads_one_partition_where_one_is_chosen(self) -> None:
        self.put(b"a", partition=0)
        self.put(b"b", partition=1)
        self.assertEqual(self.records(self.read(partition="1"))[0], [b"b"])

    def test_shows_a_sample_of_many_and_says_how_many_there_were(self) -> None:
        page = self.read()
        page.take("records")
        self.put(*[b"%d" % number for number in range(10_000)])
        self.wait(2)
        values, told = self.records(page)
        self.assertEqual((told["seen"], told["matched"]), (10_000, 10_000))
        self.assertLessEqual(len(values), 1_000)
        self.assertEqual(values[-1], b"9999")

    def test_finds_a_text_also_where_only_a_sample_is_shown(self) -> None:
        page = self.read(filter="needle")
        page.take("records")
        many = [b"hay"] * 3_000
        self.put(*many, b"a Needle", *many)
        self.wait(2)
        values, told = self.records(page)
        self.assertEqual((values, told["seen"], told["matched"]), ([b"a Needle"], 6_001, 1))

    def test_waits_for_a_topic_that_is_not_there_yet(self) -> None:
        page = self.listen("view=topic&topic=later&from=beginning&follow=1")
        self.wait(2)
        self.assertIn("later", page.take("records")[-1]["problem"])
        self.result(self.broker.cluster.create_topic("later", partitions=1))
        self.broker.append("later", [b"a"])
        self.wait(5)
        values, told = self.records(page)
        self.assertEqual((values, told["problem"]), ([b"a"], ""))

    def test_says_that_a_topic_was_deleted(self) -> None:
        page = self.read()
        page.take("records")
        self.result(self.broker.cluster.delete_topic("orders"))
        self.wait(3)
        self.assertIn("orders", page.take("records")[-1]["problem"])

    def test_stores_no_offset(self) -> None:
        self.put(b"a")
        page = self.read()
        self.wait(15)
        page.go()
        self.assertEqual(self.broker.records("consumer-offset"), [])


class APage(FlowCase):
    TOPICS = {"orders": 1}

    def test_ends_at_the_end(self) -> None:
        self.put(b"a", b"b")
        values, told = self.records(self.read(follow=False))
        self.assertEqual((values, told["ended"]), ([b"a", b"b"], True))

    def test_of_an_empty_topic_ends_at_once(self) -> None:
        values, told = self.records(self.read(follow=False))
        self.assertEqual((values, told["ended"]), ([], True))

    def test_has_two_hundred_records_and_says_where_the_next_begins(self) -> None:
        self.put(*[b"%d" % number for number in range(450)])
        values, told = self.records(self.read(follow=False))
        self.assertEqual((len(values), values[-1]), (200, b"199"))
        self.assertEqual((told["ended"], told["more"]), (True, True))
        self.assertEqual(told["places"], {"0": 200})
        page = self.read(follow=False, places=json.dumps(told["places"]))
        values, told = self.records(page)
        self.assertEqual((values[0], values[-1]), (b"200", b"399"))
        page = self.read(follow=False, places=json.dumps(told["places"]))
        values, told = self.records(page)
        self.assertEqual((values[0], values[-1], told["places"]), (b"400", b"449", {"0": 450}))
        self.assertFalse(told["more"])

    def test_of_records_with_a_text_has_two_hundred_of_them(self) -> None:
        self.put(*[b"even" if number % 2 == 0 else b"odd" for number in range(1_000)])
        values, told = self.records(self.read(follow=False, filter="odd"))
        self.assertEqual(values, [b"odd"] * 200)
        self.assertEqual((told["seen"], told["places"]), (400, {"0": 400}))


class APageOfSeveralPartitions(FlowCase):
    def test_has_a_share_of_each(self) -> None:
        self.put(*[b"a"] * 500, partition=0)
        self.put(*[b"b"] * 30, partition=1)
        values, told = self.records(self.read(follow=False))
        self.assertEqual((values.count(b"a"), values.count(b"b")), (100, 30))
        self.assertEqual((told["places"], told["more"]), ({"0": 100, "1": 30}, True))

    def test_is_of_one_where_one_is_chosen(self) -> None:
        self.put(*[b"a"] * 10, partition=0)
        self.put(*[b"b"] * 10, partition=1)
        values, told = self.records(self.read(follow=False, partition="1"))
        self.assertEqual((values, told["more"]), ([b"b"] * 10, False))

    def test_waits_for_a_topic_that_is_not_there_yet(self) -> None:
        page = self.listen("view=topic&topic=later&from=beginning&follow=0")
        self.assertIn("later", page.take("records")[-1]["problem"])
        self.result(self.broker.cluster.create_topic("later", partitions=1))
        self.wait(5)
        self.assertEqual(page.take("records")[-1]["ended"], True)


class Values(FlowCase):
    def test_come_whatever_is_in_them(self) -> None:
        hostile = [b"\xff\x00\xfe", b"<script>alert(1)</script>", "\u202e\u0000\n\n".encode(), b""]
        self.put(*hostile)
        self.assertEqual(self.records(self.read())[0], hostile)

    def test_that_are_huge_come_cut_and_whole_when_they_are_asked_for(self) -> None:
        huge = b"x" * 100_000
        self.put(b"small", huge)
        told = self.read().take("records")[-1]["records"][-1]
        self.assertEqual((len(value(told)), told["value"]["size"]), (4096, 100_000))
        status, whole = self.ask("GET", "/api/topics/orders/0/1")
        self.assertEqual((status, value(whole)), (200, huge))

    def test_that_are_not_there_are_said_not_to_be(self) -> None:
        status, told = self.ask("GET", "/api/topics/orders/0/7")
        self.assertEqual((status, told["error"]), (400, "there is no record 7 in orders/0"))
