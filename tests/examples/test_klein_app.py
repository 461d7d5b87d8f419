"""The Klein application without a socket: how a user tests one, with the fake in memory."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.web.server import Site

from ..client_kit import ClientCase

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


class GatewayCase(ClientCase):
    TOPICS = {"greetings": 1}

    def setUp(self) -> None:
        super().setUp()
        gateway: Any = runpy.run_path(str(EXAMPLES / "klein_app.py"))["Gateway"]
        self.result(self.client.start())
        self.gateway = gateway(self.client, "greetings", metrics=None)
        self.result(self.gateway.start())
        self.site = Site(self.gateway.app.resource(), timeout=None, reactor=self.clock)

    def browser(self, line: str, body: bytes = b"", **headers: str) -> StringTransport:
        """The connection of a browser that has sent a request."""
        browser = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(browser)
        fields = {"Host": "a.test", "Content-Length": str(len(body)), **headers}
        head = [f"{line} HTTP/1.0", *(f"{n.replace('_', '-')}: {v}" for n, v in fields.items())]
        channel.dataReceived("\r\n".join([*head, "", ""]).encode() + body)
        self.wait(2.0)
        return browser

    def ask(self, line: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """The status and the text that a browser has got by now."""
        head, _, text = self.browser(line, body, **headers).value().partition(b"\r\n\r\n")
        return int(head.split()[1]), text.decode()


class Health(GatewayCase):
    def test_is_bad_while_the_cluster_is_away_and_good_when_it_is_back(self) -> None:
        self.assertEqual(self.ask("GET /health"), (200, "connected\n"))
        self.result(self.broker.sc_down())
        self.assertEqual(self.ask("GET /health"), (503, "connecting again\n"))
        self.result(self.broker.sc_up())
        self.wait(10.0)
        self.assertEqual(self.ask("GET /health"), (200, "connected\n"))


class Records(GatewayCase):
    def test_a_body_is_stored(self) -> None:
        self.assertEqual(
            self.ask("POST /records", b"hello"), (200, '{"partition": 0, "offset": 0}\n')
        )
        self.assertEqual([record.value for record in self.broker.records("greetings")], [b"hello"])

    def test_a_body_that_is_too_large_is_refused(self) -> None:
        status, text = self.ask("POST /records", bytes(2 * 2**20))
        self.assertEqual(status, 413)
        self.assertIn("max_request_size", text)


class Events(GatewayCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(10):
            self.broker.append("greetings", [b"%d" % number])

    def seen(self, last: str | None = None) -> list[str]:
        """The ids of the events that a browser gets; ``last`` is the one it had before."""
        headers = {} if last is None else {"Last-Event-ID": last}
        status, text = self.ask("GET /events/0", b"", **headers)
        self.assertEqual(status, 200)
        return [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id")]

    def test_a_browser_gets_all_there_is(self) -> None:
        self.assertEqual(self.seen(), [str(number) for number in range(10)])

    def test_a_browser_that_comes_back_goes_on_behind_the_last_event(self) -> None:
        self.assertEqual(self.seen("7"), ["8", "9"])

    def test_a_browser_that_comes_back_too_late_goes_on_at_the_oldest(self) -> None:
        self.broker.evict("greetings", 0, before=8)
        self.assertEqual(self.seen("2"), ["8", "9"])

    def test_a_browser_that_was_at_a_topic_before_this_one_begins_again(self) -> None:
        self.assertEqual(self.seen("99"), [str(number) for number in range(10)])

    def test_an_id_that_is_no_offset_is_refused(self) -> None:
        for wrong in ("abc", "-5", str(2**64)):
            self.assertEqual(self.ask("GET /events/0", Last_Event_ID=wrong)[0], 400, wrong)

    def test_a_partition_that_is_not_there_is_not_found(self) -> None:
        self.assertEqual(self.ask("GET /events/9")[0], 404)

    def test_a_stream_that_can_not_go_on_ends_without_a_word_of_it_to_the_browser(self) -> None:
        browser = self.browser("GET /events/0")
        told = browser.value()
        self.result(self.client.admin.delete_topic("greetings"))
        self.wait(30.0)
        self.assertTrue(browser.disconnecting)
        self.assertEqual(browser.value(), told)
