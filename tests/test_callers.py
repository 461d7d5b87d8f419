"""Whose requests are served over HTTP: those that mean this machine, from no page of another."""

from __future__ import annotations

import pytest
from twisted.web.http_headers import Headers

from txfluvio._callers import Callers


def refusal(callers: Callers, hosts: list[str], origins: list[str]) -> str | None:
    return callers.refusal(Headers({"host": hosts, "origin": origins}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:1", "[::1]:80"])
def test_this_machine_by_its_names(host: str) -> None:
    assert refusal(Callers(), [host], []) is None


@pytest.mark.parametrize(
    "host", ["rebound.example", "127.0.0.1.example:80", "[::1", "10.0.0.1", ""]
)
def test_no_other_name(host: str) -> None:
    refused = refusal(Callers(), [host], [])
    assert refused == "the header Host has to name 127.0.0.1 or localhost or ::1"


def test_a_request_has_to_say_whom_it_means() -> None:
    assert refusal(Callers(), [], []) is not None


@pytest.mark.parametrize("origin", ["https://else.example", "null", "http://[::1"])
def test_no_page_of_another(origin: str) -> None:
    refused = refusal(Callers(), ["localhost"], [origin])
    assert refused == "the header Origin has to name 127.0.0.1 or localhost or ::1"


def test_one_good_header_does_not_excuse_a_bad_one() -> None:
    assert refusal(Callers(), ["localhost", "else.example"], []) is not None
    assert (
        refusal(Callers(), ["localhost"], ["http://localhost", "http://else.example"]) is not None
    )


def test_a_page_of_another_program_here_where_that_matters() -> None:
    callers = Callers(same_origin=True)
    assert refusal(callers, ["localhost:80"], ["http://localhost:80"]) is None
    assert refusal(callers, ["localhost:80"], ["http://localhost:81"]) is not None
    assert refusal(callers, ["localhost:80"], ["http://127.0.0.1:80"]) is not None


def test_any_address_but_not_any_name_where_it_is_served_to_others() -> None:
    callers = Callers(names=("box", "localhost"), any_address=True)
    assert refusal(callers, ["192.0.2.7:80"], []) is None
    assert refusal(callers, ["[2001:db8::1]:80"], []) is None
    assert refusal(callers, ["box:80"], []) is None
    expected = "the header Host has to name box or localhost or an IP address"
    assert refusal(callers, ["rebound.example"], []) == expected


def test_capital_letters_do_not_matter() -> None:
    callers = Callers(names=("MyHost",), same_origin=True)
    assert refusal(callers, ["myhost:80"], ["http://myhost:80"]) is None
    assert refusal(callers, ["MyHost:80"], ["http://MyHost:80"]) is None


@pytest.mark.parametrize("name", ["host", "origin"])
def test_bytes_that_are_no_text_name_another(name: str) -> None:
    headers = Headers({b"host": [b"localhost"], name.encode(): [b"\xff\xfe"]})
    assert "has to name" in str(Callers().refusal(headers))
