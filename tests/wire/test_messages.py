"""What is true of every message at every version it has."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.wire import strategies
from txfluvio.errors import ProtocolError
from txfluvio.wire import SC_APIS, SPU_APIS, Api, Message, sc

APIS = {(api.server, api.key): api for api in (*SC_APIS.values(), *SPU_APIS.values())}.values()

CLASSIC = [
    *[(sc.CreateRequest, version) for version in (6, 9, 10)],
    *[(sc.DeleteRequest, version) for version in (1, 10)],
    *[
        (message, version)
        for message in (sc.ListRequest, sc.ListResponse, sc.WatchRequest, sc.WatchResponse)
        for version in (9, 10)
    ],
    *[(sc.UpdateRequest, version) for version in (1, 10)],
]
"""Messages of the SC at versions that no client here speaks."""

EVERY = [
    pytest.param(message, version, id=f"{message.__name__}-{version}")
    for message, version in [
        *[
            (message, version)
            for api in APIS
            for message in (api.request, api.reply)
            for version in range(api.min_version, api.max_version + 1)
        ],
        *CLASSIC,
    ]
]

some = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])

# pytest-twisted wraps what @given has made once more for each parameter, and does not bear it
# twice: so the property is a function inside the test.


@pytest.mark.parametrize(("message", "version"), EVERY)
def test_a_value_comes_back_from_its_bytes(message: type[Message], version: int) -> None:
    @given(strategies.messages(message, version))
    @some
    def back(value: Message) -> None:
        encoded = value.encode(version)
        decoded = message.decode(encoded, version)
        assert decoded == value
        assert decoded.encode(version) == encoded

    back()


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.server}-{api.name}")
def test_every_byte_is_of_one_field(api: Api) -> None:
    @given(st.data())
    @some
    def covered(data: st.DataObject) -> None:
        message = data.draw(st.sampled_from([api.request, api.reply]))
        version = data.draw(st.integers(api.min_version, api.max_version))
        value = data.draw(strategies.messages(message, version))
        encoded = value.encode(version)
        annotated, spans = message.annotate(encoded, version)
        assert annotated == value
        starts, ends = [span.start for span in spans], [span.end for span in spans]
        assert [0, *ends] == [*starts, len(encoded)]

    covered()


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.server}-{api.name}")
def test_at_a_negative_version_a_message_is_refused_unless_its_defaults_are_enough(
    api: Api,
) -> None:
    for message in (api.request, api.reply):
        with suppress(ProtocolError):
            assert message.decode(bytes(60), -1) == message()


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.server}-{api.name}")
def test_a_body_cut_anywhere_is_refused_with_its_message_field_and_position(api: Api) -> None:
    @given(st.data())
    @settings(max_examples=40)
    def cut(data: st.DataObject) -> None:
        message = data.draw(st.sampled_from([api.request, api.reply]))
        version = data.draw(st.integers(api.min_version, api.max_version))
        value = data.draw(strategies.messages(message, version))
        encoded = value.encode(version)
        assume(encoded)
        at = data.draw(st.integers(0, len(encoded) - 1))
        with pytest.raises(ProtocolError) as caught:
            message.decode(encoded[:at], version)
        error = caught.value
        assert error.message == message.__name__
        assert error.field
        assert error.position is not None
        assert 0 <= error.position <= at

    cut()


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.server}-{api.name}")
def test_bytes_behind_a_message_are_ignored(api: Api) -> None:
    @given(st.data(), st.binary(max_size=5))
    @settings(max_examples=10)
    def longer(data: st.DataObject, rest: bytes) -> None:
        value = data.draw(strategies.messages(api.reply, api.max_version))
        encoded = value.encode(api.max_version)
        assert api.reply.decode(b"in front" + encoded + rest, api.max_version, 8) == value

    longer()
