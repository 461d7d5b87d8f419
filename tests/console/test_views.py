"""What each view tells of a cluster, and that it goes on telling it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txfluvio.admin import HomeTls
from txfluvio.config import OffsetStrategy
from txfluvio.console.picture import Picture
from txfluvio.offset import Offset
from txfluvio.testing.faults import Close, Fault, Match

from .kit import ConsoleCase


class Topics(ConsoleCase):
    SPUS = 2
    TOPICS = {"orders": 2}

    def test_have_a_row_each(self) -> None:
        pages = self.listen("view=topics")
        (told,) = pages.take("topics")
        self.assertEqual(list(told["rows"]), ["consumer-offset", "orders"])
        row = told["rows"]["orders"]
        self.assertEqual((row["partitions"], row["online"], row["records"]), (2, 2, 0))
        self.assertTrue(told["rows"]["consumer-offset"]["system"])

    def test_tell_of_new_records_and_their_size(self) -> None:
        page = self.listen("view=topics")
        page.take("topics")
        self.broker.append("orders", [b"abc"], 1)
        self.wait(2)
        rows: dict[str, Any] = {}
        for told in page.take("topics"):
            self.assertFalse(told["whole"])
            rows |= told["rows"]
        self.assertEqual(rows["orders"]["records"], 1)
        self.assertGreater(rows["orders"]["size"], 3)

    def test_come_and_go(self) -> None:
        page = self.listen("view=topics")
        page.take("topics")
        self.result(self.broker.cluster.create_topic("more", partitions=1))
        self.wait(1)
        self.assertIn("more", page.take("topics")[0]["rows"])
        self.result(self.broker.cluster.delete_topic("more"))
        self.wait(1)
        self.assertIn("more", [name for told in page.take("topics") for name in told["gone"]])

    def test_are_told_to_each_page_from_the_beginning(self) -> None:
        one = self.listen("view=topics")
        other = self.listen("view=topics")
        self.assertEqual(one.take("topics"), other.take("topics"))
        one.go()
        self.result(self.broker.cluster.create_topic("more", partitions=1))
        self.wait(1)
        self.assertIn("more", other.take("topics")[0]["rows"])

    def test_of_one_there_are_its_partitions(self) -> None:
        page = self.listen("view=topic&topic=orders")
        (told,) = page.take("partitions")
        leaders = {number: row["leader"] for number, row in told["rows"].items()}
        self.assertEqual(sorted(leaders.values()), [5001, 5002])
        self.assertEqual(told["rows"]["0"]["state"], "online")

    def test_of_one_that_is_not_there_there_are_none(self) -> None:
        (told,) = self.listen("view=topic&topic=nothing").take("partitions")
        self.assertEqual(told["rows"], {})


class Servers(ConsoleCase):
    SPUS = 2
    TOPICS = {"orders": 2}

    def test_are_told_with_what_they_lead(self) -> None:
        page = self.listen("view=spus")
        (told,) = page.take("spus")
        self.assertEqual(sorted(told["rows"]), ["5001", "5002"])
        self.assertEqual(sum(row["leads"] for row in told["rows"].values()), 3)
        self.assertEqual(page.take("servers"), [{"sc": True, "spus": [5001, 5002]}])

    def test_go_down_and_come_back(self) -> None:
        page = self.listen("view=spus")
        page.take("spus")
        self.assertEqual(self.ask("POST", "/control/spus/5002/down", {})[0], 200)
        self.wait(1)
        self.assertFalse(page.take("spus")[-1]["rows"]["5002"]["online"])
        self.assertEqual(page.take("servers")[-1]["spus"], [5001])
        self.assertEqual(self.ask("POST", "/control/spus/5002/up", {})[0], 200)
        self.wait(1)
        self.assertTrue(page.take("spus")[-1]["rows"]["5002"]["online"])


class TheCluster(ConsoleCase):
    def test_is_told_to_be_there(self) -> None:
        (status,) = self.listen("view=topics").take("status")
        self.assertTrue(status["connected"])
        self.assertEqual(status["endpoint"], self.broker.sc_endpoint)
        self.assertEqual((status["fake"], status["writes"]), (True, True))

    def test_goes_away_and_comes_back(self) -> None:
        page = self.listen("view=topics")
        page.take("status")
        page.take("topics")
        self.result(self.broker.sc_down())
        self.wait(2)
        status = page.take("status")[-1]
        self.assertFalse(status["connected"])
        self.assertIn(self.broker.sc_endpoint, status["problems"][0])
        self.result(self.broker.sc_up())
        self.result(self.broker.cluster.create_topic("more", partitions=1))
        self.wait(10)
        self.assertTrue(page.take("status")[-1]["connected"])
        self.assertIn("more", page.take("topics")[-1]["rows"])

    def test_is_away_for_a_reason_of_the_sc_also_when_its_spus_went_before(self) -> None:
        ids = [5001, *(self.result(self.broker.add_spu()) for _ in range(3))]
        self.result(self.broker.cluster.create_topic("wide", partitions=4))
        page = self.listen("view=topic&topic=wide&from=beginning&follow=1")
        self.wait(1)
        for spu_id in ids:
            self.result(self.broker.spu_down(spu_id))
        self.wait(2)
        self.result(self.broker.sc_down())
        self.wait(2)
        (problem, *_) = page.take("status")[-1]["problems"]
        self.assertIn(self.broker.sc_endpoint, problem)

    def test_tells_what_it_led_while_an_spu_is_away(self) -> None:
        page = self.listen("view=topic&topic=orders&from=beginning&follow=1")
        self.result(self.broker.spu_down(5001))
        self.wait(2)
        self.assertNotEqual(page.take("partitions")[-1]["rows"]["0"]["state"], "online")
        self.result(self.broker.spu_up(5001))
        self.wait(2)
        page.take("records")
        self.broker.append("orders", [b"after"])
        self.wait(10)
        values = [one for told in page.take("records") for one in told["records"]]
        self.assertEqual(len(values), 1)


class Consumers(ConsoleCase):
    def setUp(self) -> None:
        super().setUp()
        self.broker.append("orders", [b"a", b"b", b"c"])

    async def _store(self, client: Any, count: int) -> None:
        async with client.consumer(
            "orders",
            start=Offset.beginning(),
            consumer_id="billing",
            offsets=OffsetStrategy.MANUAL,
        ) as consumer:
            for _ in range(count):
                await consumer.next()
            await consumer.commit()

    def test_have_a_row_for_each_stored_offset_with_its_lag(self) -> None:
        client = self.client()
        self.result(Deferred.fromCoroutine(self._store(client, 1)))
        page = self.listen("view=consumers")
        row = page.take("consumers")[-1]["rows"]["billing/orders/0"]
        self.assertEqual((row["offset"], row["end"], row["lag"]), (0, 3, 2))
        self.result(client.close())

    def test_get_on(self) -> None:
        client = self.client()
        self.result(Deferred.fromCoroutine(self._store(client, 1)))
        page = self.listen("view=consumers")
        page.take("consumers")
        self.result(Deferred.fromCoroutine(self._store(client, 3)))
        self.wait(4)
        row = page.take("consumers")[-1]["rows"]["billing/orders/0"]
        self.assertEqual(row["lag"], 0)
        self.result(client.close())


class TheFakeBesides(ConsoleCase):
    def test_shows_connections_but_for_its_own(self) -> None:
        page = self.listen("view=connections")
        self.assertEqual(page.take("connections")[0]["rows"], {})
        client = self.client()
        self.wait(1)
        rows = page.take("connections")[-1]["rows"]
        self.assertEqual({row["server"] for row in rows.values()}, {"SC"})
        self.result(client.close())
        self.wait(1)
        self.assertEqual(page.take("connections")[-1]["total"], 0)

    def test_shows_requests_but_for_its_own(self) -> None:
        page = self.listen("view=requests")
        self.listen("view=topic&topic=orders&from=beginning&follow=1").go()
        self.assertEqual(page.take("log"), [])
        client = self.client()
        self.wait(1)
        lines = [line for told in page.take("log") for line in told["lines"]]
        self.assertEqual(lines[0]["api"], "ApiVersions")
        self.assertEqual({line["client"] for line in lines}, {"txfluvio"})
        self.result(client.close())

    def test_shows_the_newest_of_many_requests_and_how_many_there_were(self) -> None:
        client = self.client()
        for _ in range(110):
            self.result(client.admin.list_topics())
        (told,) = self.listen("view=requests").take("log")
        self.assertEqual((len(told["lines"]), told["came"]), (200, self.broker.journal.total))
        self.assertEqual(told["lines"][-1]["number"], self.broker.journal.total)
        self.result(client.close())

    def test_takes_a_frame_apart(self) -> None:
        client = self.client()
        (told,) = self.listen("view=requests").take("log")
        number = told["lines"][0]["number"]
        status, frame = self.ask("GET", f"/api/frames/{number}")
        self.assertEqual(status, 200)
        parts = {part["path"]: part for part in frame["parts"]}
        self.assertEqual(parts["api_key"]["hex"], "00 12")
        self.assertEqual(parts["client_id"]["value"], "'txfluvio'")
        self.assertEqual(frame["problem"], "")
        self.result(client.close())

    def test_has_no_frame_that_is_not_kept(self) -> None:
        status, told = self.ask("GET", "/api/frames/9")
        self.assertEqual((status, told["error"]), (400, "frame 9 is not kept any more"))

    def test_plants_a_fault_that_a_client_meets(self) -> None:
        page = self.listen("view=faults")
        page.take("faults")
        fault = {"match": {"api": "ApiVersions"}, "action": {"do": "Close"}, "times": 1}
        given = {"fault": fault, "optional": True}
        self.assertEqual(self.ask("POST", "/control/faults", given), (200, {"id": 1}))
        self.wait(1)
        self.assertEqual(page.take("faults")[-1]["rows"]["1"]["hits"], 0)
        client = self.client()
        self.wait(1)
        self.assertEqual(page.take("faults")[-1]["rows"]["1"]["hits"], 1)
        self.assertEqual(self.ask("DELETE", "/control/faults/1", {})[0], 200)
        self.wait(1)
        self.assertEqual(page.take("faults")[-1]["gone"], ["1"])
        self.result(client.close())

    def test_meets_no_fault_itself(self) -> None:
        planted = self.broker.plant(Fault(Match(), Close(), times=None), optional=True)
        self.broker.append("orders", [b"a"])
        page = self.listen("view=topic&topic=orders&from=beginning&follow=1")
        self.assertEqual(page.take("records")[-1]["seen"], 1)
        self.assertEqual(planted.hits, 0)

    def test_says_what_can_be_planted(self) -> None:
        _, forms = self.ask("GET", "/api/faults")
        actions = {action["name"]: action for action in forms["actions"]}
        self.assertEqual(actions["Close"]["fields"][0]["type"], "int")
        (error,) = actions["AnswerError"]["fields"]
        self.assertEqual((error["type"], error["required"]), ("ErrorCode", True))
        self.assertIn("Produce", forms["calls"])


class Secrets(ConsoleCase):
    def test_are_not_shown(self) -> None:
        client = self.client()
        key = "-----BEGIN PRIVATE KEY-----\nhush\n"
        tls = HomeTls(domain="d", ca_cert="CA", client_cert="CERT", client_key=key)
        deferred = client.admin.register_home("home", endpoint="host:9003", remote_id="me", tls=tls)
        deferred.addErrback(lambda _: None)
        self.result(deferred)
        (told,) = self.listen("view=requests").take("log")
        (number,) = [
            line["number"]
            for line in told["lines"]
            if (line["api"], line["direction"]) == ("Create", "request")
        ]
        _, frame = self.ask("GET", f"/api/frames/{number}")
        (part,) = [part for part in frame["parts"] if part["path"].endswith("client_key")]
        self.assertEqual((part["value"], part["hex"]), ("not shown", ""))
        self.assertNotIn("hush", str(frame))
        self.assertNotIn(b"hush".hex(" "), str(frame))
        self.result(client.close())


class ManyTopics(ConsoleCase):
    TOPICS = {f"topic-{number}": 1 for number in range(300)}

    def test_are_told_once_and_then_only_what_changes(self) -> None:
        page = self.listen("view=topics")
        self.assertEqual(page.take("topics")[0]["total"], 301)
        self.broker.append("topic-7", [b"a"])
        self.wait(2)
        changed = {name for told in page.take("topics") for name in told["rows"]}
        self.assertEqual(changed, {"topic-7"})


def test_a_picture_of_nothing_has_no_rows() -> None:
    picture = Picture()
    assert picture.topic_rows() == {}
    assert picture.partition_rows("orders") == {}
    assert picture.spu_rows() == {}
    assert picture.end_of("orders", 0) is None
