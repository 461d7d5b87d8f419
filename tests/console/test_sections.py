"""What a page is told: only what is new, and never too much of it."""

from __future__ import annotations

import base64
import json
from typing import Any

from txfluvio.console.sections import MAX_ROWS, Event, Fact, Sample, Table
from txfluvio.console.shown import LONGEST, shown, shown_bytes
from txfluvio.wire.records import Record


def record(value: bytes, key: bytes | None = None, offset: int = 0) -> Record:
    made = Record()
    made.topic, made.partition, made.offset = "t", 0, offset
    made.key, made.value, made.timestamp = key, value, 5
    return made


def news(section: Any) -> list[dict[str, Any]]:
    return [event.data for event in section.news()]


def test_an_event_is_one_line_of_data_whatever_is_in_it() -> None:
    hostile = {"text": "a\n\ndata: b\r\u2028</script>"}
    head, data, *rest = Event("records", hostile).encode().split(b"\n")
    assert (head, rest) == (b"event: records", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == hostile


def test_a_fact_is_told_when_it_is_another() -> None:
    value = {"a": 1}
    fact = Fact("f", lambda: dict(value))
    assert news(fact) == [{"a": 1}]
    assert news(fact) == []
    value["a"] = 2
    assert news(fact) == [{"a": 2}]


class TestTable:
    def setup_method(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {"a": {"n": 1}, "b": {"n": 2}}
        self.table = Table("t", lambda: dict(self.rows))

    def test_tells_everything_at_first(self) -> None:
        assert news(self.table) == [{"whole": True, "rows": self.rows, "gone": [], "total": 2}]

    def test_tells_that_it_is_empty(self) -> None:
        self.rows.clear()
        assert news(self.table) == [{"whole": True, "rows": {}, "gone": [], "total": 0}]

    def test_tells_nothing_where_nothing_has_changed(self) -> None:
        news(self.table)
        assert news(self.table) == []

    def test_tells_later_what_is_new_changed_or_gone(self) -> None:
        news(self.table)
        del self.rows["a"]
        self.rows["b"] = {"n": 3}
        self.rows["c"] = {"n": 4}
        expected = {"b": {"n": 3}, "c": {"n": 4}}
        assert news(self.table) == [{"whole": False, "rows": expected, "gone": ["a"], "total": 2}]

    def test_tells_no_more_rows_than_fit_and_how_many_there_are(self) -> None:
        self.rows = {str(number): {"n": number} for number in range(MAX_ROWS + 1)}
        (told,) = news(self.table)
        assert (len(told["rows"]), told["total"]) == (MAX_ROWS, MAX_ROWS + 1)


class TestSample:
    def test_has_the_newest_and_says_how_many_came(self) -> None:
        sample = Sample(most=2)
        sample.add([record(b"a", offset=0), record(b"b", offset=1)])
        sample.add([record(b"c", offset=2)])
        taken = sample.take()
        assert [one["offset"] for one in taken["records"]] == [1, 2]
        assert (taken["seen"], taken["matched"]) == (3, 3)

    def test_begins_anew_when_it_was_taken(self) -> None:
        sample = Sample()
        sample.add([record(b"a")])
        sample.take()
        assert sample.take() == {"records": [], "seen": 0, "matched": 0}

    def test_has_only_records_with_the_text_in_key_or_value(self) -> None:
        sample = Sample("Té")
        sample.add([record("no té".encode()), record(b"x", key="tÉ té".encode()), record(b"te")])
        taken = sample.take()
        assert (len(taken["records"]), taken["seen"], taken["matched"]) == (2, 3, 2)

    def test_does_not_care_for_the_case_of_ascii_letters(self) -> None:
        sample = Sample("tea")
        sample.add([record(b"TEA"), record(b"\xff tEa \x00")])
        assert sample.take()["matched"] == 2


def test_a_record_is_shown_with_its_place_and_its_bytes() -> None:
    expected = {
        "partition": 0,
        "offset": 7,
        "timestamp": 5,
        "key": {"data": base64.b64encode(b"\xff").decode(), "size": 1},
        "value": {"data": "", "size": 0},
    }
    assert shown(record(b"", key=b"\xff", offset=7)) == expected


def test_no_key_is_not_an_empty_one() -> None:
    assert shown(record(b"", key=None))["key"] is None
    assert shown(record(b"", key=b""))["key"] == {"data": "", "size": 0}


def test_of_a_huge_value_the_beginning_is_shown_and_its_size() -> None:
    told = shown_bytes(b"x" * (LONGEST + 1))
    assert (len(base64.b64decode(told["data"])), told["size"]) == (LONGEST, LONGEST + 1)
