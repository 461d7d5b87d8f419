"""At which version a call is sent to a server that offers these."""

from __future__ import annotations

import sys

import pytest

from txfluvio.wire import (
    SC_APIS,
    SPU_APIS,
    Api,
    ApiVersionRange,
    ApiVersionsRequest,
    choose_version,
)
from txfluvio.wire.schema import evolve


def offer(*ranges: tuple[int, int, int]) -> dict[int, ApiVersionRange]:
    return {
        key: ApiVersionRange(api_key=key, min_version=low, max_version=high)
        for key, low, high in ranges
    }


SPU_OFFER = offer((0, 0, 25), (1, 0, 25), (1002, 25, 25), (1003, 0, 25), (1005, 0, 0))
SC_OFFER = offer(
    (1001, 9, 19),
    (1002, 1, 19),
    (1003, 15, 19),
    (1004, 15, 19),
    (1005, 14, 19),
    (1006, 1, 19),
)


def call(low: int, high: int) -> Api:
    found = SC_APIS[1004]
    return Api(
        found.key, found.name, found.server, found.request, found.reply, low, high, found.streams
    )


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((15, 19), 19),
        ((10, 17), 17),
        ((20, 25), None),
        ((1, 14), None),
        ((19, 30), 19),
        ((0, 15), 15),
    ],
)
def test_the_highest_version_that_both_know(offered: tuple[int, int], chosen: int | None) -> None:
    assert choose_version(call(15, 19), offer((1004, *offered))) == chosen


def test_every_call_of_an_spu_as_it_is_today() -> None:
    chosen = {key: choose_version(api, SPU_OFFER) for key, api in SPU_APIS.items() if key != 18}
    assert chosen == {
        0: 25,
        1: 25,
        1002: 25,
        1003: 25,
        1005: 0,
        1006: 25,
        1007: 25,
        1008: 25,
        2000: 25,
    }


def test_every_call_of_an_sc_as_it_is_today() -> None:
    chosen = {choose_version(api, SC_OFFER) for key, api in SC_APIS.items() if key != 18}
    assert chosen == {19}


@pytest.mark.parametrize(
    ("stream_fetch", "chosen"), [(25, 25), (24, 24), (23, 23), (22, None), (15, None), (30, 25)]
)
def test_consumer_offsets_which_no_spu_lists_follow_stream_fetch(
    stream_fetch: int, chosen: int | None
) -> None:
    offered = offer((1003, 0, stream_fetch))
    for key in (1006, 1007, 1008):
        assert choose_version(SPU_APIS[key], offered) == chosen


def test_a_call_that_an_sc_does_not_list_is_not_there() -> None:
    # 1006 and 1003 are calls of both, under other meanings.
    assert choose_version(SC_APIS[1006], offer((1003, 15, 25))) is None


def test_nothing_offered_is_nothing_chosen() -> None:
    assert all(choose_version(api, {}) is None for api in SPU_APIS.values())


def test_the_request_of_this_machine_names_it() -> None:
    request = ApiVersionsRequest.of_this_machine("1.2.3")
    assert (request.client_version, request.client_os) == ("1.2.3", sys.platform)
    assert request.client_arch
    assert ApiVersionsRequest.decode(request.encode(2), 2) == request


def test_version_0_of_the_request_says_nothing() -> None:
    request = ApiVersionsRequest.of_this_machine("1.2.3")
    assert request.encode(0) == b""
    assert ApiVersionsRequest.decode(b"", 0) == evolve(
        request, client_version="", client_os="", client_arch=""
    )


def test_versions_1_and_2_are_the_same() -> None:
    request = ApiVersionsRequest.of_this_machine("1.2.3")
    assert request.encode(1) == request.encode(2)
