"""The page in a real browser, Chromium without a head; skipped where there is none.

The browser is one for all tests, since starting it is most of the work; so is the fake cluster,
which is put back to its beginning between two tests.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from ..commands import DEADLINE, TWIST, RunningBroker, broker, run
from ..program import program

pytest.importorskip("selenium", reason="selenium is not installed: pip install txfluvio[dev]")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="Chromium and its driver are not installed"
)

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1280,900"
)
HOSTILE = (
    "</td><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("console")
    options = "--spus 2 --topic orders:2:2 --topic audit --control 0 --web 0"
    with broker(folder, *options.split()) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


class Page:
    """The page, as somebody in front of it sees it, and the fake behind it."""

    def __init__(self, browser: webdriver.Chrome, fake: RunningBroker) -> None:
        self.browser = browser
        self.fake = fake

    # The fake

    def call(self, method: str, path: str, **fields: Any) -> Any:
        """Have something done by the control interface."""
        body = json.dumps(fields).encode()
        url = f"http://{self.fake.control}{path}"
        request = urllib.request.Request(url, body, method=method)
        with closing(urllib.request.urlopen(request, timeout=DEADLINE)) as reply:
            return json.load(reply)

    def put(self, *values: str | bytes, topic: str = "audit", partition: int = 0) -> None:
        """Put records into a topic."""
        given = [
            {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for value in values
        ]
        self.call("POST", f"/topics/{topic}/records", records=given, partition=partition)

    def client(self, body: str) -> str:
        """What a client in a process of its own prints."""
        ended = run(*program(body), self.fake.sc)
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode()

    # The page

    def show(self, view: str, url: str | None = None) -> None:
        """Go to a view, in a page that begins anew."""
        self.browser.get("about:blank")
        self.browser.get(f"{url or self.fake.web}#/{view}")
        self.until(lambda: "connected" in self.text("#state"))

    def text(self, selector: str) -> str:
        """The text of the first element of a selector, empty if there is none."""
        found: str = self.browser.execute_script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )
        return found

    def rows(self, label: str) -> list[str]:
        """The texts of the rows of a table, by its caption; cells are kept apart by a bar."""
        found: list[str] = self.browser.execute_script(
            "const table = [...document.querySelectorAll('table')].find("
            "  (one) => one.caption?.textContent.startsWith(arguments[0]));"
            "return [...table?.tBodies[0].rows ?? []].filter((row) => !row.hidden).map("
            "  (row) => [...row.cells].map((cell) => cell.textContent.trim()).join('|'));",
            label,
        )
        return found

    def element(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def button(self, text: str) -> WebElement:
        return self.browser.find_element(By.XPATH, f"//main//button[.='{text}']")

    def press(self, text: str) -> None:
        """Press a button, once it is there."""
        self.until(lambda: self.browser.find_elements(By.XPATH, f"//main//button[.='{text}']"))
        self.button(text).click()

    def field(self, label: str) -> WebElement:
        return self.browser.find_element(By.XPATH, f"//label[span='{label}']/*[not(self::span)]")

    def fill(self, label: str, text: str) -> None:
        """Fill in a field by its label, as by hand."""
        field = self.field(label)
        if field.tag_name == "select":
            Select(field).select_by_visible_text(text)
        else:
            field.clear()
            field.send_keys(text)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until something holds."""
        return WebDriverWait(self.browser, 20, poll_frequency=0.05).until(lambda _: holds())


@pytest.fixture
def page(browser: webdriver.Chrome, fake: RunningBroker) -> Iterator[Page]:
    page = Page(browser, fake)
    browser.get_log("browser")
    yield page
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    browser.get("about:blank")
    page.call("POST", "/reset")
    assert severe == []


def test_topics_are_listed_and_kept_up_to_date(page: Page) -> None:
    page.show("topics")
    page.until(lambda: page.rows("Topics"))
    assert [row.split("|")[0] for row in page.rows("Topics")] == [
        "audit",
        "consumer-offset system",
        "orders",
    ]
    page.put("a", "b", "c")
    page.until(lambda: page.rows("Topics")[0].startswith("audit|1|3|"))
    page.call("POST", "/topics", name="more")
    page.until(lambda: len(page.rows("Topics")) == 4)
    page.element("input[type=search]").send_keys("mor")
    assert [row.split("|")[0] for row in page.rows("Topics")] == ["more"]


def test_records_appear_as_they_come_newest_first(page: Page) -> None:
    page.put("before")
    page.show("topics/audit")
    page.until(lambda: page.rows("Records"))
    page.put('{"live": true}')
    page.until(lambda: len(page.rows("Records")) == 2)
    newest, before = page.rows("Records")
    assert re.fullmatch(r'0\|1\|.*\|none\|\{"live":true\}', newest)
    assert before.endswith("|none|before")
    page.until(lambda: re.match(r"0\|500[12]\|2\|2\|", page.rows("Partitions")[0]))


def test_a_pause_holds_records_back_and_loses_none(page: Page) -> None:
    page.show("topics/audit")
    page.until(lambda: "0 records read" in page.text("main .progress"))
    page.press("Pause")
    page.put("a", "b")
    page.until(lambda: "2 records waiting" in page.text("main .progress"))
    assert page.rows("Records") == []
    page.press("Go on")
    page.until(lambda: len(page.rows("Records")) == 2)


def test_records_are_read_from_an_offset_a_page_at_a_time(page: Page) -> None:
    page.put(*[f"value-{number}" for number in range(450)])
    page.show("topics/audit")
    page.fill("From", "an offset")
    offset = page.element("input[aria-label='Offset to start at']")
    offset.clear()
    offset.send_keys("100", Keys.TAB)
    page.until(lambda: [row.split("|")[1] for row in page.rows("Records")][-1:] == ["299"])
    assert page.rows("Records")[0].startswith("0|100|")
    page.press("Next 200")
    page.until(lambda: page.rows("Records") and page.rows("Records")[-1].startswith("0|449|"))
    assert "This is the end for now" in page.text("main .progress")


def test_only_records_with_a_text_are_shown(page: Page) -> None:
    page.put("tea", "coffee", "Green Tea")
    page.show("topics/audit")
    page.fill("With", "tea")
    page.field("With").send_keys(Keys.ENTER)
    page.until(lambda: "2 with this text" in page.text("main .progress"))
    assert [row.split("|")[-1] for row in page.rows("Records")] == ["Green Tea", "tea"]


def test_values_are_shown_as_text_json_or_hex(page: Page) -> None:
    page.put('{"a": [1, 2]}', b"\xff\x00")
    page.show("topics/audit")
    page.until(lambda: len(page.rows("Records")) == 2)

    def values() -> list[str]:
        return [row.split("|")[-1] for row in page.rows("Records")]

    assert values() == ["ff 00", '{"a":[1,2]}']
    page.fill("Shown", "text")
    assert values()[1] == '{"a": [1, 2]}'
    page.fill("Shown", "hex")
    assert values() == ["ff 00", b'{"a": [1, 2]}'.hex(" ")]


def test_hostile_values_are_text_and_never_run(page: Page) -> None:
    page.put(HOSTILE, "\u202etxt\u0000", topic="orders")
    page.call("POST", "/topics/orders/records", records=[{"key": HOSTILE, "value": HOSTILE}])
    page.show("topics/orders")
    page.until(lambda: len(page.rows("Records")) == 3)
    assert page.rows("Records")[0].endswith(f"|{HOSTILE}|{HOSTILE}")
    page.element(".records tbody tr").click()
    page.until(lambda: page.text(".opened pre") == HOSTILE)
    assert page.browser.title == "orders - Fluvio console"
    assert page.browser.find_elements(By.CSS_SELECTOR, "main script, main img") == []


def test_a_huge_value_is_cut_until_it_is_opened(page: Page) -> None:
    page.put("x" * 300_000)
    page.show("topics/audit")
    page.until(lambda: page.rows("Records"))
    assert page.rows("Records")[0].endswith("300 kB")
    assert len(page.rows("Records")[0]) < 1_000
    page.element(".records tbody tr").send_keys(Keys.ENTER)
    page.until(lambda: len(page.text(".opened pre")) == 300_000)


def test_many_records_a_second_are_sampled_and_that_is_said(page: Page) -> None:
    page.show("topics/audit")
    page.until(lambda: "0 records read" in page.text("main .progress"))
    for _ in range(5):
        page.put(*["x" * 50] * 2_000)
    page.until(lambda: "10,000 records read" in page.text("main .progress"))
    said = page.text("main .progress")
    assert re.search(r"A sample is shown: [\d,]+ of 10,000\.", said), said
    assert len(page.rows("Records")) <= 500


def test_a_record_is_produced_from_the_page(page: Page) -> None:
    page.show("topics/audit")
    page.element("summary").click()
    page.fill("Key", "k")
    page.fill("Value", "from the page")
    page.press("Produce")
    page.until(lambda: "Stored in partition 0 at offset 0." in page.text("form .outcome"))
    page.until(lambda: page.rows("Records"))
    assert page.rows("Records")[0].endswith("|k|from the page")
    page.fill("Value is", "hex")
    page.fill("Value", "zz")
    page.press("Produce")
    page.until(lambda: "hex is pairs" in page.text("form .outcome"))


def test_a_leader_is_moved_and_an_spu_stopped_and_started(page: Page) -> None:
    page.show("topics/orders")
    page.until(lambda: page.rows("Partitions"))
    leaders = [row.split("|")[1] for row in page.rows("Partitions")]
    (other,) = {"5001", "5002"} - {leaders[0]}
    page.press(f"Lead by {other}")
    page.until(lambda: page.rows("Partitions")[0].split("|")[1] == other)
    page.show("spus")
    page.until(lambda: len(page.rows("SPUs")) == 2)
    page.press("Stop")
    page.until(lambda: "5001|offline" in page.rows("SPUs")[0])
    page.press("Start")
    page.until(lambda: "5001|online" in page.rows("SPUs")[0])


def test_a_fault_is_planted_met_by_a_client_and_removed(page: Page) -> None:
    page.show("faults")
    page.until(lambda: page.text("form"))
    page.fill("error", "PERMISSION_DENIED")
    page.fill("Call", "Produce")
    page.fill("Topic", "orders")
    page.press("Plant")
    page.until(lambda: page.rows("Faults"))
    (row,) = page.rows("Faults")
    assert row.startswith('1|AnswerError, error {"code":"PERMISSION_DENIED"}|api Produce, topic')
    printed = page.client(
        """
        producer = client.producer("orders")
        await producer.start()
        try:
            await producer.send(b"a")
        except Exception as error:
            print(type(error).__name__)
        print((await producer.send(b"b")).offset)
        """
    )
    assert printed == "PermissionDenied\n0\n"
    page.until(lambda: page.rows("Faults")[0].split("|")[4] == "1")
    page.press("Remove")
    page.until(lambda: page.rows("Faults") == [])


def test_a_fault_is_for_the_server_that_is_named_as_the_page_names_it(page: Page) -> None:
    page.show("faults")
    page.until(lambda: page.text("form"))
    page.fill("What goes wrong", "LoseReply")
    for name in ("SPU 5001", "5002", "sc"):
        page.fill("Server", name)
        page.press("Plant")
    page.until(lambda: len(page.rows("Faults")) == 3)
    where = sorted(row.split("|")[2] for row in page.rows("Faults"))
    assert where == ["server 5001", "server 5002", "server SC"]


def test_a_fault_for_a_server_that_is_none_is_refused_in_words(page: Page) -> None:
    page.show("faults")
    page.until(lambda: page.text("form"))
    page.fill("Server", "the second")
    page.press("Plant")
    page.until(lambda: "a whole number or 'SC', not 'the second'" in page.text(".outcome"))
    assert page.rows("Faults") == []
    (refused,) = page.browser.get_log("browser")
    assert "400" in refused["message"]


def test_consumers_connections_and_requests_are_shown_and_a_frame_s_bytes(page: Page) -> None:
    page.put("a", "b", "c")
    page.client(
        """
        from txfluvio import OffsetStrategy
        settings = {"consumer_id": "billing", "offsets": OffsetStrategy.MANUAL}
        async with client.consumer("audit", start=Offset.beginning(), **settings) as records:
            await records.next()
            await records.commit()
        """
    )
    page.show("consumers")
    # The SPU tells now and then where the log ends, perhaps after the offset is listed.
    page.until(
        lambda: any(row.startswith("billing|audit|0|0|3|2|") for row in page.rows("Stored offsets"))
    )
    page.show("connections")
    page.until(lambda: "Nobody is connected" in page.text("main"))
    page.show("requests")
    page.until(lambda: page.rows("Requests"))
    assert {row.split("|")[6] for row in page.rows("Requests")} == {"txfluvio"}
    page.element("input[type=search]").send_keys("UpdateConsumerOffset spu")
    page.until(lambda: len(page.rows("Requests")) == 2)
    first = page.element("tbody tr:not([hidden])")
    page.browser.execute_script("arguments[0].focus()", first)
    first.send_keys(Keys.ENTER)
    page.until(lambda: "UpdateConsumerOffset" in page.text(".bytes h2"))
    assert "correlation_id" in page.text(".bytes")


def test_a_cluster_that_goes_away_is_missed_and_welcomed_back(page: Page) -> None:
    page.show("topics")
    page.until(lambda: page.rows("Topics"))
    page.call("POST", "/sc/down")
    page.until(lambda: "The cluster is away" in page.text("#trouble"))
    assert len(page.rows("Topics")) == 3
    page.call("POST", "/sc/up")
    page.until(lambda: not page.text("#trouble"))
    assert page.text("#state") == "connected"


@contextmanager
def console(fake: RunningBroker, port: int) -> Iterator[str]:
    """A console that knows nothing of the fake but its address; it is killed at the end."""
    command = ["fluvio-console", "--cluster", fake.sc, "--web", str(port)]
    process = subprocess.Popen(
        [*TWIST, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait(timeout=DEADLINE)
        process.stdout.close()


def test_of_a_cluster_that_was_never_reached_nothing_is_said(page: Page) -> None:
    page.call("POST", "/sc/down")
    with console(page.fake, 0) as url:
        page.browser.get("about:blank")
        page.browser.get(url)
        page.until(lambda: "was not reached yet" in page.text("#trouble"))
        assert page.text("main").strip() == ""
        page.call("POST", "/sc/up")
        page.until(lambda: "audit" in page.text("main"))
        assert page.text("#trouble") == ""
        page.browser.get("about:blank")


def test_of_a_real_cluster_there_is_nothing_to_do_and_a_console_may_come_back(page: Page) -> None:
    page.put("a")
    with console(page.fake, 0) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        page.show("topics/audit", url)
        page.until(lambda: page.rows("Records"))
        assert page.text("#kind") == "only looking"
        assert page.text("nav").split() == ["Topics", "SPUs", "Consumers"]
        assert page.browser.find_elements(By.CSS_SELECTOR, "main form, main td button") == []
    page.until(lambda: "The console does not answer" in page.text("#trouble"))
    assert page.text("#state") == "no answer"
    with console(page.fake, port):
        page.until(lambda: not page.text("#trouble"))
        assert page.text("#state") == "connected"
        page.put("b")
        page.until(lambda: len(page.rows("Records")) == 2)
        page.browser.get("about:blank")
    page.browser.get_log("browser")


def test_two_pages_see_the_same(page: Page) -> None:
    page.show("topics/audit")
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("window")
    try:
        page.show("topics/audit")
        page.until(lambda: "0 records read" in page.text("main .progress"))
        page.put("both")
        for window in page.browser.window_handles:
            page.browser.switch_to.window(window)
            page.until(lambda: page.rows("Records"))
            assert page.rows("Records")[0].endswith("|both")
    finally:
        page.browser.switch_to.window(page.browser.window_handles[-1])
        page.browser.close()
        page.browser.switch_to.window(first)


def test_all_of_it_can_be_reached_by_keys(page: Page) -> None:
    page.put("a", "b")
    page.show("topics/audit")
    page.until(lambda: len(page.rows("Records")) == 2)
    seen = []
    for _ in range(30):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(page.browser.switch_to.active_element)
        if "opens" in (seen[-1].get_attribute("class") or ""):
            break
    words = " ".join(one.text for one in seen)
    for expected in ("Skip to the content", "Theme", "Topics", "Faults", "Produce", "Pause"):
        assert expected in words
    seen[-1].send_keys(Keys.ARROW_DOWN)
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.text(".opened pre") == "a")


@pytest.mark.parametrize("view", ["topics/orders", "requests", "faults"])
def test_a_narrow_screen_is_wide_enough(page: Page, view: str) -> None:
    page.put("x" * 2_000, topic="orders")
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        page.show(view)
        page.until(lambda: page.text("main form, main table"))
        width = "return document.documentElement.scrollWidth"
        assert page.browser.execute_script(width) <= 360
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_theme_is_the_system_s_or_the_one_that_was_chosen(page: Page) -> None:
    page.show("topics")

    def dark() -> bool:
        colour = page.element("body").value_of_css_property("background-color")
        return int(re.findall(r"\d+", colour)[0]) < 128

    for system in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": system}
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        assert dark() == (system == "dark")
    page.element("#theme").click()
    assert (page.text("#theme"), dark()) == ("Theme: light", False)
    page.browser.refresh()
    page.until(lambda: page.text("#theme") == "Theme: light")
    page.element("#theme").click()
    assert (page.text("#theme"), dark()) == ("Theme: dark", True)
    page.element("#theme").click()
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
