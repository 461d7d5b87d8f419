"""The control interface: what a program in another language can do with a broker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.spu_kit import entry, fetch, produce
from txfluvio.testing import FakeBroker
from txfluvio.testing.control import routes
from txfluvio.testing.control.calls import MAX_SNAPSHOTS, Control, control_site
from txfluvio.testing.control.routes import MAX_BODY
from txfluvio.testing.server.journal import Entry
from txfluvio.testing.spu.stored_offsets import STORED_OFFSETS
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.wire.codes import Code
from txfluvio.wire.headers import encode_request
from txfluvio.wire.records import Batch, Record, encode_batch
from txfluvio.wire.sc import Assigned, PartitionMap, TopicSpec
from txfluvio.wire.schema import Request

PORT = 9000
LAST_OFFSET_DELTA = slice(23, 27)
"""Where a batch says how many offsets it takes, whatever it has records for."""

REPLICATED = TopicSpec(replicas=Assigned(partitions=(PartitionMap(id=0, replicas=(5001, 5002)),)))


@attrs.define
class Answer:
    """What came back."""

    status: int
    body: Any


class Bytes(Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def answer(self) -> Answer:
        head, _, body = self.data.partition(b"\r\n\r\n")
        return Answer(int(head.split()[1]), json.loads(body))


class ControlCase(SynchronousTestCase):
    """Has a broker in memory with its control interface."""

    SPUS = 1
    TOPICS: dict[str, Any] = {"orders": 1}

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.network = MemoryNetwork(self.clock)
        self.broker = FakeBroker(
            self.clock, spus=self.SPUS, topics=self.TOPICS, network=self.network
        )
        self.done(self.broker.start())
        site = control_site(Control(self.broker, self.clock), self.clock)
        endpoint = self.network.server_endpoint("127.0.0.1", PORT)
        self.port = self.done(endpoint.listen(site))

    def tearDown(self) -> None:
        self.done(self.port.stopListening())
        self.broker.faults.clear()
        self.done(self.broker.stop())
        self.clock.advance(100)
        self.assertEqual(self.network.links, [])

    def done(self, waiting: Deferred[Any]) -> Any:
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def connect(self, port: int, protocol: type[Protocol] = Bytes) -> Any:
        endpoint = self.network.endpoint("127.0.0.1", port)
        return self.done(endpoint.connect(Factory.forProtocol(protocol)))

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        host: str = "127.0.0.1:9000",
        more: str = "",
    ) -> Bytes:
        """A request whose answer may take its time."""
        protocol: Bytes = self.connect(PORT)
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        assert protocol.transport is not None
        protocol.transport.write(head.encode() + body)
        self.clock.advance(0)
        return protocol

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        """What a call answers that is served at once."""
        body = json.dumps(fields).encode() if fields else b""
        answer = self.send(method, path, body).answer()
        self.assertEqual(answer.status, 200, answer.body)
        return answer.body

    def refused(self, method: str, path: str, **fields: Any) -> tuple[int, str]:
        """Status and words with which a call is refused."""
        answer = self.send(method, path, json.dumps(fields).encode()).answer()
        return answer.status, answer.body["error"]

    def request(self, request: Request[Any], spu_id: int = 5001) -> Bytes:
        """Send a request to an SPU."""
        port = int(self.broker.spu_endpoints[spu_id].rpartition(":")[2])
        protocol: Bytes = self.connect(port)
        assert protocol.transport is not None
        protocol.transport.write(
            encode_request(request, version=25, correlation_id=1, client_id="me")
        )
        self.clock.advance(0)
        return protocol

    def values(self) -> list[bytes]:
        return [record.value for record in self.broker.records("orders")]


class TravellingTests(ControlCase):
    def test_a_body_is_json_whatever_the_client_calls_it(self) -> None:
        form = "Content-Type: application/x-www-form-urlencoded\r\n"
        body = json.dumps({"records": ["a=b&c=d", {"base64": "/wA="}]}).encode()
        answer = self.send("POST", "/topics/orders/records", body, more=form).answer()
        self.assertEqual((answer.status, answer.body), (200, {"offset": 0}))
        self.assertEqual(self.values(), [b"a=b&c=d", b"\xff\x00"])

    def test_the_query_may_say_the_same_in_its_own_way(self) -> None:
        self.broker.append("orders", [b"a", b"b"])
        found = self.ask("GET", "/topics/orders/records?offset=1&limit=%31")["records"]
        self.assertEqual([one["value"] for one in found], ["b"])


class LookingTests(ControlCase):
    """What can be looked at."""

    def test_it_lists_its_calls(self) -> None:
        calls = self.ask("GET", "/")["calls"]
        by_name = {one["call"]: one for one in calls}
        one = by_name["POST /topics/{topic}/evict"]
        self.assertEqual(
            one["does"], "Drop what a partition holds below an offset, as retention does."
        )
        self.assertEqual(
            one["fields"]["partition"], f"a whole number from 0 to {2**63 - 1}; if not given: 0"
        )
        self.assertTrue(all(one["does"] for one in calls))

    def test_what_a_field_is_if_it_is_not_given_is_said_as_it_would_be_given(self) -> None:
        calls = {one["call"]: one["fields"] for one in self.ask("GET", "/")["calls"]}
        append, journal = calls["POST /topics/{topic}/records"], calls["GET /journal"]
        self.assertTrue(append["compression"].endswith("zstd; if not given: none"))
        self.assertEqual(calls["POST /faults"]["optional"], "true or false; if not given: false")
        self.assertEqual(journal["direction"], "request or reply or push, if it is given")
        self.assertTrue(journal["timeout"].endswith("; if not given: 10"))

    def test_the_guide_has_every_call_and_no_other(self) -> None:
        guide = Path(__file__).parents[2] / "docs" / "guide" / "control.rst"
        told = re.findall(r"^``([A-Z]+ /\S+)``  ", guide.read_text(), re.MULTILINE)
        self.assertEqual(sorted(told), sorted(one["call"] for one in self.ask("GET", "/")["calls"]))

    def test_it_says_where_the_cluster_is_and_what_it_has(self) -> None:
        self.done(self.broker.add_spu())
        self.done(self.broker.spu_down(5002))
        found = self.ask("GET", "/cluster")
        self.assertEqual(found["sc"], self.broker.sc_endpoint)
        spus = [(one["id"], one["endpoint"], one["up"]) for one in found["spus"]]
        where = self.broker.spu_endpoints
        self.assertEqual(spus, [(5001, where[5001], True), (5002, where[5002], False)])
        (partition,) = found["topics"]["orders"]
        expected = {"partition": 0, "leader": 5001, "replicas": [5001], "online": True}
        self.assertEqual(partition, expected)
        self.assertEqual(found["now"], 1_700_000_000)

    def test_records_are_text_where_they_can_be(self) -> None:
        self.broker.append("orders", [(b"k", "\u00fc".encode()), b"\xff"])
        found = self.ask("GET", "/topics/orders/records")["records"]
        time = 1_700_000_000_000
        self.assertEqual(
            found,
            [
                {"partition": 0, "offset": 0, "timestamp": time, "key": "k", "value": "\u00fc"},
                {
                    "partition": 0,
                    "offset": 1,
                    "timestamp": time,
                    "key": None,
                    "value": {"base64": "/w=="},
                },
            ],
        )

    def test_records_can_be_looked_at_in_pieces(self) -> None:
        self.broker.append("orders", [b"a", b"b", b"c", b"d"])
        found = self.ask("GET", "/topics/orders/records?partition=0&offset=1&limit=2")["records"]
        self.assertEqual([one["value"] for one in found], ["b", "c"])

    def test_records_can_be_waited_for(self) -> None:
        waiting = self.send("GET", "/topics/later/records?at_least=2")
        self.done(self.broker.cluster.create_topic("later"))
        self.broker.append("later", [b"a"])
        self.clock.advance(1)
        self.assertEqual(waiting.data, b"")
        self.broker.append("later", [b"b"])
        self.clock.advance(0)
        self.assertEqual([one["value"] for one in waiting.answer().body["records"]], ["a", "b"])

    def test_what_is_waited_for_is_decoded_once_it_is_enough(self) -> None:
        decoded: list[str] = []
        records = self.broker.records

        def counted(topic: str, partition: int | None = None) -> list[Record]:
            decoded.append(topic)
            return records(topic, partition)

        self.broker.records = counted  # type: ignore[method-assign]
        waiting = self.send("GET", "/topics/orders/records?at_least=20&offset=5")
        for _ in range(24):
            self.broker.append("orders", [b"a"])
            self.clock.advance(0)
        self.assertEqual(decoded, [])
        self.broker.append("orders", [b"a"])
        self.clock.advance(0)
        self.assertEqual(len(waiting.answer().body["records"]), 20)
        self.assertEqual(decoded, ["orders", "orders"])

    def test_offsets_without_records_are_not_enough(self) -> None:
        sparse = bytearray(encode_batch([b"a"]))
        sparse[LAST_OFFSET_DELTA] = (9).to_bytes(4, "big")
        waiting = self.send("GET", "/topics/orders/records?at_least=2")
        for _ in range(2):
            self.assertEqual(waiting.data, b"")
            self.broker.replica("orders").append([Batch(bytes(sparse), 0)], self.clock.seconds())
            self.clock.advance(0)
        self.assertEqual(len(waiting.answer().body["records"]), 2)

    def test_waiting_ends_some_time(self) -> None:
        waiting = self.send("GET", "/topics/orders/records?at_least=2&timeout=0.5")
        self.clock.advance(0.5)
        answer = waiting.answer()
        self.assertEqual(answer.status, 504)
        self.assertEqual(answer.body["error"], "there are not 2 records in orders after 0.5 s")

    def test_nobody_waits_for_who_has_gone(self) -> None:
        waiting = self.send("GET", "/topics/orders/records?at_least=2")
        transport: Any = waiting.transport
        transport.abortConnection()
        self.clock.advance(0)
        self.assertEqual(len(self.broker._conditions), 0)

    def test_what_was_produced_is_told_even_if_it_was_refused(self) -> None:
        self.request(produce(entry(encode_batch([b"x"]), partition=7)))
        (found,) = self.ask("GET", "/produced?topic=orders")["produced"]
        self.assertEqual((found["partition"], found["server"]), (7, "SPU 5001"))
        self.assertEqual([one["value"] for one in found["records"]], ["x"])

    def test_the_offsets_that_consumers_have_stored_are_told(self) -> None:
        leader = self.broker.cluster.leader(STORED_OFFSETS)
        offsets = None if leader is None else leader.stored_offsets
        assert offsets is not None
        offsets.put(("orders", 0), "shop", 7)
        self.clock.advance(5)
        offsets.put(("orders", 0), "bill", -3)
        shop = {
            "consumer_id": "shop",
            "topic": "orders",
            "partition": 0,
            "offset": 7,
            "modified": 1_700_000_000,
        }
        bill = {**shop, "consumer_id": "bill", "offset": -3, "modified": 1_700_000_005}
        self.assertEqual(self.ask("GET", "/offsets"), {"offsets": [bill, shop]})
        for query, expected in (
            ("consumer_id=shop", [shop]),
            ("topic=orders&partition=0", [bill, shop]),
            ("partition=1", []),
            ("limit=1", [bill]),
        ):
            self.assertEqual(self.ask("GET", f"/offsets?{query}"), {"offsets": expected})

    def test_no_offsets_are_told_while_nobody_knows_them(self) -> None:
        self.done(self.broker.spu_down(5001))
        self.assertEqual(self.refused("GET", "/offsets"), (409, "no SPU leads consumer-offset/0"))

    def test_the_journal_has_messages_field_by_field(self) -> None:
        self.request(fetch(0))
        (asked,) = self.ask("GET", "/journal?api=Fetch&direction=request")["entries"]
        self.assertEqual((asked["server"], asked["client_id"]), ("SPU 5001", "me"))
        self.assertEqual(asked["message"]["topics"][0]["name"], "orders")
        self.assertEqual(asked["message"]["isolation_level"], "READ_UNCOMMITTED")
        (told,) = self.ask("GET", "/journal?direction=reply")["entries"]
        (partition,) = told["message"]["topics"][0]["partitions"]
        self.assertEqual((partition["error_code"], partition["records"]["bytes"]), ("NONE", 0))

    def test_the_journal_can_be_waited_for_and_forgotten(self) -> None:
        waiting = self.send("GET", "/journal?api=Fetch&server=SPU%205001&at_least=1")
        self.request(fetch(0))
        self.assertEqual(waiting.answer().body["entries"][0]["api"], "Fetch")
        self.ask("DELETE", "/journal")
        self.assertEqual(self.ask("GET", "/journal"), {"entries": []})

    def test_the_journal_is_looked_at_as_it_grows(self) -> None:
        waiting = self.send("GET", "/journal?api=Fetch&direction=request&at_least=20")
        looked: list[Entry] = []

        def name(entry: Entry) -> str:
            looked.append(entry)
            return entry.api.name if entry.api else ""

        self.patch(Entry, "name", property(name))
        for _ in range(20):
            self.assertEqual(waiting.data, b"")
            self.request(fetch(0))
        self.assertEqual(len(waiting.answer().body["entries"]), 20)
        # Once as it came; in the end, whether it is enough, what it is, and how it is told.
        self.assertLessEqual(len(looked), 4 * self.broker.journal.total)

    def test_what_the_journal_has_forgotten_is_not_enough(self) -> None:
        waiting = self.send("GET", "/journal?api=Fetch&direction=request&at_least=2")
        self.request(fetch(0))
        self.ask("DELETE", "/journal")
        for _ in range(2):
            self.assertEqual(waiting.data, b"")
            self.request(fetch(0))
        self.assertEqual(len(waiting.answer().body["entries"]), 2)

    def test_it_tells_what_clients_did_wrong(self) -> None:
        port = int(self.broker.sc_endpoint.rpartition(":")[2])
        self.connect(port).transport.write(b"\0\0\0\x03abc")
        self.clock.advance(0)
        (found,) = self.ask("GET", "/complaints")["complaints"]
        self.assertEqual((found["server"], found["connection"]), ("SC", 1))


class ChangingTests(ControlCase):
    """What can be changed."""

    SPUS = 2
    TOPICS = {"orders": REPLICATED}

    def leader(self) -> int:
        leader: int = self.ask("GET", "/cluster")["topics"]["orders"][0]["leader"]
        return leader

    def test_topics_come_and_go(self) -> None:
        self.ask("POST", "/topics", name="later", partitions=2, replication=2)
        found = self.ask("GET", "/cluster")["topics"]["later"]
        self.assertEqual([len(one["replicas"]) for one in found], [2, 2])
        self.ask("DELETE", "/topics/later")
        self.assertNotIn("later", self.ask("GET", "/cluster")["topics"])

    def test_a_topic_that_can_not_be_says_why(self) -> None:
        answer = self.send("POST", "/topics", b'{"name": "orders"}').answer()
        self.assertEqual((answer.status, answer.body["code"]), (409, Code.TOPIC_ALREADY_EXISTS))
        self.assertIn("already", answer.body["error"])

    def test_a_topic_without_its_spus_is_refused_after_as_long_as_is_told(self) -> None:
        waiting = self.send("POST", "/topics", b'{"name": "later", "replication": 3}')
        self.clock.advance(89)
        self.assertEqual(waiting.data, b"")
        self.clock.advance(2)
        self.assertEqual(waiting.answer().status, 409)
        (told,) = [
            one["does"] for one in self.ask("GET", "/")["calls"] if one["call"] == "POST /topics"
        ]
        self.assertIn("90 s", told)

    def test_records_are_appended_as_one_batch(self) -> None:
        records = ["a", {"key": "k", "value": "b"}, {"value": {"base64": "/w=="}}]
        self.broker.append("orders", [b"before"])
        answer = self.ask("POST", "/topics/orders/records", records=records, compression="gzip")
        self.assertEqual(answer, {"offset": 1})
        self.assertEqual(self.values(), [b"before", b"a", b"b", b"\xff"])
        self.assertEqual([one.key for one in self.broker.records("orders")][2], b"k")
        self.assertEqual(len(list(self.broker.replica("orders").log)), 2)

    def test_records_are_evicted(self) -> None:
        for value in (b"a", b"b"):
            self.broker.append("orders", [value])
        self.ask("POST", "/topics/orders/evict", before=1)
        self.assertEqual(self.values(), [b"b"])

    def test_leaders_are_moved(self) -> None:
        self.ask("POST", "/topics/orders/leader", to=5002)
        self.assertEqual(self.leader(), 5002)

    def test_spus_go_and_come_and_are_added(self) -> None:
        self.clock.advance(1)
        self.ask("POST", "/spus/5001/down")
        self.assertEqual(self.leader(), 5002)
        self.ask("POST", "/spus/5001/up")
        self.assertEqual(self.broker.running_spus, (5001, 5002))
        self.assertEqual(self.ask("POST", "/spus"), {"id": 5003})

    def test_leaders_stay_where_elections_are_by_hand(self) -> None:
        self.clock.advance(1)
        self.ask("POST", "/elections", automatic=False)
        self.ask("POST", "/spus/5001/down")
        self.assertEqual(self.leader(), 5001)

    def test_the_sc_goes_and_comes(self) -> None:
        self.ask("POST", "/sc/down")
        self.ask("POST", "/sc/up")
        self.assertIn("orders", self.ask("GET", "/cluster")["topics"])

    def test_replication_is_stalled_and_resumed(self) -> None:
        for _ in range(2):
            self.ask("POST", "/replication/stall", topic="orders")
        self.broker.append("orders", [b"a"])
        self.clock.advance(1)
        log = self.broker.replica("orders").log
        self.assertEqual((log.hw, log.leo), (0, 1))
        self.ask("POST", "/replication/resume", topic="orders")
        self.clock.advance(0)
        self.assertEqual(log.hw, 1)
        self.assertEqual(self.refused("POST", "/replication/resume")[0], 409)

    def test_topics_are_hidden_and_shown(self) -> None:
        shown = self.broker.cluster.metadata.topics.listing
        self.ask("POST", "/topics/orders/hide")
        self.assertNotIn("orders", [one.name for one in shown()])
        self.ask("POST", "/topics/orders/show")
        self.assertIn("orders", [one.name for one in shown()])

    def test_a_topic_that_was_created_anew_is_hidden_again(self) -> None:
        shown = self.broker.cluster.metadata.topics.listing
        self.ask("POST", "/topics/orders/hide")
        self.ask("DELETE", "/topics/orders")
        self.ask("POST", "/topics", name="orders")
        self.assertIn("orders", [one.name for one in shown()])
        self.ask("POST", "/topics/orders/hide")
        self.assertNotIn("orders", [one.name for one in shown()])

    def test_what_is_not_there_can_not_be_hidden(self) -> None:
        expected = (404, "there is no topic later: check the name, or create it first")
        self.assertEqual(self.refused("POST", "/topics/later/hide"), expected)
        expected = (404, "there is no partition orders/7: orders has 1, numbered from 0")
        self.assertEqual(self.refused("POST", "/topics/orders/hide", partition=7), expected)
        expected = (409, "nothing was hidden in these words")
        self.assertEqual(self.refused("POST", "/topics/later/show"), expected)

    def test_the_clock_jumps(self) -> None:
        self.assertEqual(self.ask("POST", "/clock", seconds=3600), {"now": 1_700_003_600})

    def test_snapshots_are_gone_back_to(self) -> None:
        number = self.ask("POST", "/snapshots")["id"]
        self.broker.append("orders", [b"a"])
        self.ask("POST", f"/snapshots/{number}/restore")
        self.assertEqual(self.values(), [])
        self.ask("DELETE", f"/snapshots/{number}")
        status, error = self.refused("POST", f"/snapshots/{number}/restore")
        self.assertEqual((status, error), (404, f"there is no snapshot {number}"))

    def test_there_are_only_so_many_snapshots(self) -> None:
        for _ in range(MAX_SNAPSHOTS):
            self.ask("POST", "/snapshots")
        self.assertEqual(self.refused("POST", "/snapshots")[0], 409)

    def test_a_reset_undoes_everything(self) -> None:
        self.broker.append("orders", [b"a"])
        self.ask("POST", "/topics/orders/hide")
        self.ask("POST", "/replication/stall")
        self.ask("POST", "/faults", fault={"action": {"do": "NeverAnswer"}})
        self.ask("POST", "/reset")
        self.assertEqual(self.values(), [])
        self.assertEqual(self.ask("GET", "/faults"), {"faults": {}, "unfired": []})
        self.assertEqual(self.ask("GET", "/journal"), {"entries": []})
        self.broker.append("orders", [b"b"])
        self.clock.advance(0)
        self.assertEqual(self.broker.replica("orders").log.hw, 1)

    def test_a_reset_goes_on_when_the_caller_has_gone(self) -> None:
        late = {"match": {}, "action": {"do": "Latency", "seconds": 60}}
        self.ask("POST", "/faults", fault=late)
        self.request(fetch(0))
        caller = self.send("POST", "/reset").transport
        self.assertFalse(self.broker.sc_runs)
        assert caller is not None
        caller.loseConnection()
        self.clock.advance(1)
        self.assertEqual((self.broker.sc_runs, self.broker.running_spus), (True, (5001, 5002)))

    def test_faults_are_planted_and_can_be_awaited(self) -> None:
        fault = {"match": {"api": "Fetch"}, "action": {"do": "NeverAnswer"}}
        number = self.ask("POST", "/faults", fault=fault)["id"]
        found = self.ask("GET", "/faults")
        self.assertEqual(found["unfired"], [number])
        self.assertEqual(found["faults"][str(number)]["match"], {"api": "Fetch"})
        waiting = self.send("GET", f"/faults/{number}")
        self.assertEqual(waiting.data, b"")
        self.assertEqual(self.request(fetch(0)).data, b"")
        self.assertEqual(waiting.answer().body, {"hits": 1})
        self.assertEqual(self.ask("GET", "/faults")["unfired"], [])

    def test_what_a_fault_holds_is_let_go(self) -> None:
        fault = {"match": {"api": "Fetch"}, "action": {"do": "Hold"}}
        number = self.ask("POST", "/faults", fault=fault)["id"]
        asking = self.request(fetch(0))
        self.assertEqual(asking.data, b"")
        self.ask("POST", f"/faults/{number}/release")
        self.assertNotEqual(asking.data, b"")
        self.ask("DELETE", f"/faults/{number}")
        expected = (404, f"there is no fault {number}")
        self.assertEqual(self.refused("DELETE", f"/faults/{number}"), expected)

    def test_a_fault_that_was_deleted_before_it_acted_is_listed_as_one(self) -> None:
        fault = {"match": {"api": "Fetch"}, "action": {"do": "NeverAnswer"}}
        number = self.ask("POST", "/faults", fault=fault)["id"]
        self.ask("DELETE", f"/faults/{number}")
        self.request(fetch(0))
        found = self.ask("GET", "/faults")
        self.assertEqual(found["unfired"], [number])
        self.assertEqual(found["faults"][str(number)]["hits"], 0)

    def test_a_fault_that_was_deleted_and_owes_nothing_is_forgotten(self) -> None:
        fault = {"match": {"api": "Fetch"}, "action": {"do": "NeverAnswer"}}
        number = self.ask("POST", "/faults", fault=fault, optional=True)["id"]
        self.ask("DELETE", f"/faults/{number}")
        self.assertEqual(self.ask("GET", "/faults"), {"faults": {}, "unfired": []})
        self.assertEqual(self.broker.faults._all, [])

    def test_who_waits_for_a_fault_that_is_deleted_is_told_so(self) -> None:
        fault = {"match": {"api": "Fetch"}, "action": {"do": "NeverAnswer"}}
        number = self.ask("POST", "/faults", fault=fault, optional=True)["id"]
        waiting = self.send("GET", f"/faults/{number}")
        self.ask("DELETE", f"/faults/{number}")
        answer = waiting.answer()
        self.assertEqual(answer.status, 409)
        self.assertEqual(answer.body["error"], f"fault {number} was taken away")


class BadInputTests(ControlCase):
    """What is refused, and in which words."""

    def test_a_path_that_there_is_not(self) -> None:
        expected = (404, "there is no /topic: GET / lists what there is")
        self.assertEqual(self.refused("GET", "/topic"), expected)

    def test_a_method_that_there_is_not(self) -> None:
        expected = (405, "/topics/orders takes DELETE, not GET")
        self.assertEqual(self.refused("GET", "/topics/orders"), expected)

    def test_a_field_that_is_missing(self) -> None:
        expected = (400, "the field 'name' is missing: expected text")
        self.assertEqual(self.refused("POST", "/topics"), expected)

    def test_a_field_that_there_is_not(self) -> None:
        expected = (400, "there is no field 'befor'; there are: partition, before")
        self.assertEqual(self.refused("POST", "/topics/orders/evict", befor=1), expected)
        status, _ = self.refused("GET", "/topics/orders/records?ofset=1")
        self.assertEqual(status, 400)

    def test_fields_that_are_something_else(self) -> None:
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("/topics", {"name": 5}, "the field 'name' is 5: expected text"),
            (
                "/topics",
                {"name": "a", "partitions": True},
                "the field 'partitions' is True: expected a whole number from 1 to 4294967295",
            ),
            (
                "/topics/orders/evict",
                {"before": -1},
                "the field 'before' is -1: expected a whole number from 0 to",
            ),
            ("/elections", {"automatic": 1}, "the field 'automatic' is 1: expected true or false"),
            ("/clock", {"seconds": float("nan")}, "the field 'seconds' is nan: expected a number"),
            ("/spus/x/down", {}, "the field 'spu' is 'x': expected a whole number from 0 to"),
            (
                "/topics/orders/records",
                {"records": ["a"], "compression": "rar"},
                "the field 'compression' is 'rar': expected none or gzip",
            ),
            (
                "/topics/orders/records",
                {"records": []},
                "the field 'records' is []: expected a list",
            ),
            (
                "/faults",
                {"fault": {"action": {"do": "Nothing"}}},
                'expected a fault such as {"match": {"api": "Produce"}, "action": {"do": '
                '"LoseReply"}, "times": 1} (fault.action.do has to be one of Observe, ',
            ),
        ]
        for path, fields, expected in cases:
            status, error = self.refused("POST", path, **fields)
            self.assertEqual(status, 400)
            self.assertIn(expected, error)

    def test_a_journal_of_what_there_is_not(self) -> None:
        status, error = self.refused("GET", "/journal?api=Produse")
        self.assertEqual(status, 400)
        self.assertIn("the field 'api' is 'Produse': expected the name of a call", error)
        self.assertIn("(there is no call 'Produse'; there are: ", error)
        for server in ("SPU", "SPU%205099", "5001"):
            status, error = self.refused("GET", f"/journal?server={server}")
            self.assertEqual(status, 400)
            self.assertIn("expected one of SC, SPU 5001", error)

    def test_a_journal_of_a_call_that_only_has_a_number(self) -> None:
        self.assertEqual(self.ask("GET", "/journal?api=4321"), {"entries": []})

    def test_numbers_that_no_message_could_have(self) -> None:
        for fields in ({"partitions": 2**32}, {"replication": 2**32}):
            status, error = self.refused("POST", "/topics", name="big", **fields)
            self.assertEqual(status, 400)
            self.assertIn("expected a whole number from 1 to 4294967295", error)
        status, _ = self.refused("POST", "/topics/orders/evict", before=2**63)
        self.assertEqual(status, 400)
        self.assertNotIn("big", self.broker.cluster.metadata.topics)

    def test_times_that_nobody_can_wait_for(self) -> None:
        number = self.ask("POST", "/faults", fault={"action": {"do": "NeverAnswer"}})["id"]
        for timeout in ("-1", "1" + 400 * "0", "1e10"):
            for path in (f"/faults/{number}?", "/journal?at_least=9&"):
                status, error = self.refused("GET", f"{path}timeout={timeout}")
                self.assertEqual(status, 400)
                self.assertIn("expected a number of seconds from 0 to 1000000000", error)
        self.assertEqual(len(self.broker._conditions), 0)

    def test_a_clock_that_would_jump_out_of_all_time(self) -> None:
        for seconds in (1e300, -1e300, 1e10):
            status, error = self.refused("POST", "/clock", seconds=seconds)
            self.assertEqual(status, 400)
            self.assertIn("a number of seconds from -1000000000 to 1000000000", error)
        self.assertEqual(self.ask("POST", "/clock", seconds=-1.5), {"now": 1_699_999_998.5})
        self.ask("POST", "/topics/orders/records", records=["a"])

    def test_text_that_can_not_be_encoded(self) -> None:
        expected = (400, r"the field 'name' is '\ud800': expected text")
        self.assertEqual(self.refused("POST", "/topics", name="\ud800"), expected)

    def test_records_that_are_none(self) -> None:
        for record in (5, {"base64": "?"}, {"value": "a", "headers": {}}, {"key": "a"}, None):
            status, error = self.refused("POST", "/topics/orders/records", records=[record])
            self.assertEqual(status, 400)
            self.assertIn("expected a list of values", error)
        self.assertEqual(self.values(), [])

    def test_bodies_that_are_no_json_object(self) -> None:
        for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
            answer = self.send("POST", "/topics", body).answer()
            self.assertEqual(answer.status, 400)
            self.assertIn("the body", answer.body["error"])

    def test_a_query_that_is_nested_too_deeply(self) -> None:
        status, error = self.refused("POST", f"/elections?automatic={10_000 * '['}")
        self.assertEqual(status, 400)
        self.assertIn("expected true or false", error)

    def test_a_body_that_is_too_long(self) -> None:
        answer = self.send("POST", "/topics", b" " * (MAX_BODY + 1)).answer()
        self.assertEqual(answer.status, 413)

    def test_an_answer_that_is_too_long(self) -> None:
        self.patch(routes, "MAX_ANSWER", 1000)
        self.broker.append("orders", [b"\xff" * 200] * 3)
        found = self.ask("GET", "/topics/orders/records?limit=2")["records"]
        self.assertEqual(len(found), 2)
        expected = (400, "an answer of more than 1000 bytes: ask for fewer, with limit")
        self.assertEqual(self.refused("GET", "/topics/orders/records"), expected)

    def test_what_the_broker_refuses(self) -> None:
        self.done(self.broker.spu_down(5001))
        expected = (409, "no SPU leads orders/0")
        self.assertEqual(self.refused("POST", "/topics/orders/evict", before=1), expected)

    def test_what_is_not_there_is_said_by_every_call_in_the_same_words(self) -> None:
        self.assertEqual(self.refused("POST", "/spus/7/down"), (404, "there is no SPU 7"))
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", "/topics/{}/records?partition={}", {}),
            ("GET", "/offsets?topic={}&partition={}", {}),
            ("POST", "/topics/{}/records", {"partition": 7, "records": ["a"]}),
            ("POST", "/topics/{}/evict", {"partition": 7, "before": 1}),
            ("POST", "/topics/{}/leader", {"partition": 7, "to": 5001}),
            ("POST", "/topics/{}/hide", {"partition": 7}),
            ("POST", "/replication/stall", {"partition": 7, "topic": "{}"}),
        ]
        for method, path, fields in calls:
            for topic, error in (
                ("later", "there is no topic later: check the name, or create it first"),
                ("orders", "there is no partition orders/7: orders has 1, numbered from 0"),
            ):
                given = fields | ({"topic": topic} if "topic" in fields else {})
                told = self.refused(method, path.format(topic, 7), **given)
                self.assertEqual(told, (404, error))
        status, error = self.refused("DELETE", "/topics/later")
        self.assertEqual(status, 404)
        self.assertIn("there is no such topic", error)

    def test_who_waited_for_records_of_a_topic_that_is_not_there_is_told_so(self) -> None:
        waiting = self.send("GET", "/topics/later/records?at_least=2&timeout=0.5")
        self.clock.advance(0.5)
        answer = waiting.answer()
        self.assertEqual(answer.status, 504)
        expected = "there are not 2 records in later after 0.5 s: there is no topic later: check"
        self.assertTrue(answer.body["error"].startswith(expected), answer.body)

    def test_another_host_s_name(self) -> None:
        for host in ("example.org", "127.0.0.1.example.org:9000", "", "[::1"):
            answer = self.send("GET", "/cluster", host=host).answer()
            self.assertEqual(answer.status, 403)
            self.assertIn("the header Host has to name 127.0.0.1 or", answer.body["error"])
        for host in ("localhost:9000", "[::1]:9000", "127.0.0.1"):
            self.assertEqual(self.send("GET", "/cluster", host=host).answer().status, 200)

    def test_a_page_of_another_host(self) -> None:
        origin = "Origin: http://example.org\r\n"
        self.assertEqual(self.send("POST", "/reset", more=origin).answer().status, 403)

    def test_what_waits_when_the_broker_stops_is_told_so(self) -> None:
        waiting = self.send("GET", "/journal?at_least=1")
        self.done(self.broker.stop())
        self.assertEqual(waiting.answer().status, 503)
