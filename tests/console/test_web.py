"""The web of the console: the page, who may ask, and what may be done."""

from __future__ import annotations

import base64
from pathlib import Path

import txfluvio.console
from txfluvio.console import web

from .kit import HERE, ConsoleCase

PAGE = Path(txfluvio.console.__file__).parent / "page"


class ThePage(ConsoleCase):
    def test_is_served_with_all_that_belongs_to_it(self) -> None:
        for name in ("", *(f"page/{file.name}" for file in PAGE.iterdir())):
            response = self.respond("GET", f"/{name}")
            self.assertEqual(response.code, 200, name)
            self.assertTrue(self.body(response), name)

    def test_needs_nothing_from_elsewhere(self) -> None:
        for file in PAGE.iterdir():
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?:|//[a-z]+\.", file.name)

    def test_lets_no_markup_in(self) -> None:
        for file in PAGE.glob("*.js"):
            text = file.read_text()
            for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
                self.assertNotIn(way, text, file.name)

    def test_may_run_no_script_but_its_own_and_stand_in_no_other(self) -> None:
        headers = self.respond("GET", "/").headers
        (policy,) = headers.getRawHeaders("content-security-policy") or []
        self.assertIn("default-src 'none'; script-src 'self';", policy)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertEqual(headers.getRawHeaders("x-content-type-options"), ["nosniff"])

    def test_has_nothing_beside_it(self) -> None:
        for path in ("/page/nothing.js", "/page/..%2Fweb.py", "/page/%2e%2e/web.py", "/else"):
            status, told = self.ask("GET", path)
            self.assertEqual(status, 404, path)
            self.assertIn("error", told)

    def test_has_no_file_whose_name_no_file_can_have(self) -> None:
        name = 300 * "a" + ".js"
        status, told = self.ask("GET", f"/page/{name}")
        self.assertEqual((status, told["error"]), (404, f"there is no {name}"))

    def test_refuses_a_path_that_is_no_text_and_logs_nothing(self) -> None:
        for path in ("/page/%FF.js", "/api/topics/%FF/0/0", "/control/topics/%FF/records"):
            status, told = self.ask("GET", path)
            self.assertEqual((status, told["error"]), (400, "the path is no UTF-8"), path)
        self.assertEqual(self.flushLoggedErrors(), [])


class Callers(ConsoleCase):
    def test_under_another_name_are_refused(self) -> None:
        for path in ("/", "/api/events?view=topics", "/control/cluster"):
            status, told = self.ask("GET", path, headers={"host": "rebound.example"})
            self.assertEqual(status, 403)
            self.assertIn("the header Host", told["error"])

    def test_from_another_page_are_refused(self) -> None:
        for origin in ("https://else.example", "http://127.0.0.1:9", "null"):
            for path in ("/api/topics/orders/records", "/control/reset"):
                status, _ = self.ask("POST", path, {"value": "a"}, {"origin": origin})
                self.assertEqual(status, 403, origin)
        self.assertEqual(self.broker.records("orders"), [])

    def test_from_our_own_page_are_served(self) -> None:
        origin = {"origin": f"http://{HERE}"}
        status, _ = self.ask("POST", "/api/topics/orders/records", {"value": "a"}, origin)
        self.assertEqual(status, 200)

    def test_with_a_form_are_refused(self) -> None:
        plain = {"content-type": "text/plain"}
        for path in ("/api/topics/orders/records", "/control/spus/5001/down"):
            status, told = self.ask("POST", path, {"value": "a"}, plain)
            self.assertEqual(status, 415)
            self.assertIn("application/json", told["error"])


class Producing(ConsoleCase):
    def produce(self, **fields: object) -> tuple[int, dict[str, object]]:
        return self.ask("POST", "/api/topics/orders/records", fields)

    def test_stores_a_record_and_says_where(self) -> None:
        self.assertEqual(self.produce(value="tea")[1], {"partition": 0, "offset": 0})
        data = {"base64": base64.b64encode(b"\xff").decode()}
        self.assertEqual(self.produce(value=data, key="k")[1], {"partition": 0, "offset": 1})
        stored = [(record.key, record.value) for record in self.broker.records("orders")]
        self.assertEqual(stored, [(None, b"tea"), (b"k", b"\xff")])

    def test_complains_in_words(self) -> None:
        for fields, complaint in (
            ({}, "value is neither text nor"),
            ({"value": 5}, "value is neither text nor"),
            ({"value": "a", "partition": "0"}, "partition has to be a number"),
            ({"value": "a", "partition": 7}, "orders"),
        ):
            status, told = self.produce(**fields)
            self.assertIn(status, (400, 409))
            self.assertIn(complaint, str(told["error"]))

    def test_to_no_topic_is_refused(self) -> None:
        status, told = self.ask("POST", "/api/topics/nothing/records", {"value": "a"})
        self.assertEqual(status, 409)
        self.assertIn("nothing", told["error"])

    def test_takes_json_and_not_too_much_of_it(self) -> None:
        for body, expected in ((b"{", 400), (b"[]", 400), (b" " * (web.MAX_BODY + 1), 413)):
            status, _ = self.ask("POST", "/api/topics/orders/records", body)
            self.assertEqual(status, expected)


class Pages(ConsoleCase):
    def test_that_are_too_many_are_refused_until_one_goes(self) -> None:
        self.patch(web, "MAX_STREAMS", 1)
        page = self.listen("view=topics")
        self.assertEqual(self.ask("GET", "/api/events?view=topics")[0], 503)
        page.go()
        self.wait(1)
        self.listen("view=topics")

    def test_that_go_leave_nothing_running(self) -> None:
        before = len(self.aside.links)
        page = self.listen("view=topic&topic=orders&from=beginning&follow=1")
        self.assertGreater(len(self.aside.links), before)
        page.go()
        self.wait(1)
        self.assertEqual(len(self.aside.links), before)

    def test_end_with_the_console(self) -> None:
        page = self.listen("view=topic&topic=orders&from=beginning&follow=1")
        self.web.close()
        self.wait(1)
        self.assertTrue(page.ended)

    def test_that_ask_for_nonsense_are_told_so(self) -> None:
        nonsense = ("[]", '{"0":1e999}', "[" * 3000)
        queries = ("from=soon", "from=-1", "from=0&partition=x")
        for query in (*queries, *(f"from=0&places={places}" for places in nonsense)):
            status, told = self.ask("GET", f"/api/events?view=topic&topic=orders&{query}")
            self.assertEqual(status, 400, query)
            self.assertIn("which records?", told["error"])

    def test_get_a_sign_of_life(self) -> None:
        page = self.listen("view=topics")
        self.wait(200)
        self.assertGreaterEqual(page.comments, 10)
        self.assertFalse(page.ended)

    def test_that_read_slowly_get_the_newest_when_they_read_again(self) -> None:
        page = self.listen("view=topic&topic=orders&from=beginning&follow=1")
        page.take("records")
        (link,) = self.http.links
        link.stall()
        for number in range(200):
            self.broker.append("orders", [b"%d" % number + b" " * 4_000] * 50)
            self.wait(0.25)
        link.resume()
        self.wait(2)
        told = page.take("records")
        self.assertEqual(sum(one["seen"] for one in told), 10_000)
        self.assertLess(sum(len(one["records"]) for one in told), 2_000)


class OnARealCluster(ConsoleCase):
    FAKE = False
    WRITES = False

    def test_it_only_looks(self) -> None:
        (status,) = self.listen("view=topics").take("status")
        self.assertEqual((status["fake"], status["writes"]), (False, False))
        status, told = self.ask("POST", "/api/topics/orders/records", {"value": "a"})
        self.assertEqual(status, 403)
        self.assertIn("--allow-writes", told["error"])
        self.assertEqual(self.broker.records("orders"), [])

    def test_there_is_nothing_of_a_fake(self) -> None:
        for path in ("/api/frames/1", "/control/cluster"):
            self.assertEqual(self.ask("GET", path)[0], 404)
        page = self.listen("view=requests")
        self.assertEqual({name for name, _ in page.events}, {"status"})
