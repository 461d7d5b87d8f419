"""Whose requests are served over HTTP: those that mean this machine, from no page of another."""

from __future__ import annotations

import pytest

from txfluvio._callers import Callers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:1", "[::1]:80"])
def test_this_machine_by_its_names(host: str) -> None:
    assert Callers().refusal([host], []) is None


@pytest.mark.parametrize(
    "host", ["rebound.example", "127.0.0.1.example:80", "[::1", "10.0.0.1", ""]
)
def test_no_other_name(host: str) -> None:
    refusal = Callers().refusal([host], [])
    assert refusal == "the header Host has to name 127.0.0.1 or localhost or ::1"


def test_a_request_has_to_say_whom_it_means() -> None:
    assert Callers().refusal([], []) is not None


@pytest.mark.parametrize("origin", ["https://else.example", "null", "http://[::1"])
def test_no_page_of_another(origin: str) -> None:
    refusal = Callers().refusal(["localhost"], [origin])
    assert refusal == "the header Origin has to name 127.0.0.1 or localhost or ::1"


def test_one_good_header_does_not_excuse_a_bad_one() -> None:
    assert Callers().refusal(["localhost", "else.example"], []) is not None
    assert Callers().refusal(["localhost"], ["http://localhost", "http://else.example"]) is not None


def test_a_page_of_another_program_here_where_that_matters() -> None:
    callers = Callers(same_origin=True)
    assert callers.refusal(["localhost:80"], ["http://localhost:80"]) is None
    assert callers.refusal(["localhost:80"], ["http://localhost:81"]) is not None
    assert callers.refusal(["localhost:80"], ["http://127.0.0.1:80"]) is not None


def test_any_address_but_not_any_name_where_it_is_served_to_others() -> None:
    callers = Callers(names=("box", "localhost"), any_address=True)
    assert callers.refusal(["192.0.2.7:80"], []) is None
    assert callers.refusal(["[2001:db8::1]:80"], []) is None
    assert callers.refusal(["box:80"], []) is None
    expected = "the header Host has to name box or localhost or an IP address"
    assert callers.refusal(["rebound.example"], []) == expected
