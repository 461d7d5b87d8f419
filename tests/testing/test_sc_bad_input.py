"""What the SC does with requests it can not understand: nothing is ever answered to them.

Without a live watch the connection is closed. With one it is closed only where the frame makes no
sense; where the SC understood the frame and not its content the connection is left half alive.
"""

from __future__ import annotations

import pytest

from tests.testing.sc_kit import Client, Kit
from txfluvio.testing.sc.metadata import Timing
from txfluvio.wire.headers import encode_request
from txfluvio.wire.sc import (
    CUSTOM_SPU,
    SMART_MODULE,
    SPU_GROUP,
    TABLE_FORMAT,
    TOPIC,
    Computed,
    CreateRequest,
    DeleteRequest,
    Kind,
    ListRequest,
    Package,
    PackageMeta,
    SmartModuleSpec,
    StatusResponse,
    TopicSpec,
    UpdateRequest,
    Wasm,
    WatchRequest,
)
from txfluvio.wire.versions import ApiVersionsRequest

CREATE, DELETE, LIST, WATCH, MIRRORING, UPDATE = 1001, 1002, 1003, 1004, 1005, 1006


def header(key: int, version: int = 19, client_id: bytes = b"test") -> bytes:
    return (
        key.to_bytes(2, "big")
        + version.to_bytes(2, "big", signed=True)
        + (99).to_bytes(4, "big")
        + len(client_id).to_bytes(2, "big")
        + client_id
    )


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def text(value: str) -> bytes:
    return len(value.encode()).to_bytes(2, "big") + value.encode()


def typed(key: int, label: str, body: bytes, *, claim: int | None = None) -> bytes:
    size = len(body) if claim is None else claim
    return framed(header(key) + text(label) + size.to_bytes(4, "big") + body)


def versions(client_version: str, version: int = 2) -> bytes:
    request = ApiVersionsRequest(client_version=client_version)
    return encode_request(request, version=version, correlation_id=99, client_id="test")


def package(version: str, api_version: str) -> bytes:
    meta = PackageMeta(
        package=Package(name="sm", group="g", version=version, api_version=api_version)
    )
    spec = SmartModuleSpec(meta=meta, wasm=Wasm(payload=b""))
    request = CreateRequest(kind=SMART_MODULE, name="", spec=spec)
    return encode_request(request, version=19, correlation_id=99, client_id="")


TOPIC_BODY = b"\0\0\0\0\0\0"

NO_FRAME = {
    "an unknown api key": framed(header(1234)),
    "less than a header": framed(b"\x03\xe9\x00"),
    "a client id that is not UTF-8": framed(header(LIST, client_id=b"\xff") + b"\0" * 20),
    "versions asked for with too few bytes": framed(header(18, 2) + b"\0\0"),
    "a body longer than its frame": typed(LIST, "Topic", TOPIC_BODY, claim=1000),
    "a label longer than its frame": framed(header(LIST) + b"\x7f\xff"),
}

NO_CONTENT = {
    "a list of an unknown kind": typed(LIST, "Topics", TOPIC_BODY),
    "a watch of an unknown kind": typed(WATCH, "topic", b"\0" * 9),
    "a watch of custom SPUs": typed(WATCH, "CustomSpu", b"\0" * 9),
    "a watch of mirrors": typed(WATCH, "Mirror", b"\0" * 9),
    "mirroring under another label": typed(MIRRORING, "Topic", text("edge")),
    "mirroring without the remote": typed(MIRRORING, "MirroringConnect", b""),
    "mirroring with the remote behind its body": typed(
        MIRRORING, "MirroringConnect", text("edge"), claim=2
    ),
    "a list that ends too soon": typed(LIST, "Topic", b"\0\0"),
    "an absurd count": typed(LIST, "Topic", b"\x7f\xff\xff\xff\0\0"),
    "a filter that is not UTF-8": typed(LIST, "Topic", b"\0\0\0\1\0\1\xff\0\0"),
    "a bool of 2": typed(LIST, "Topic", b"\0\0\0\0\2\0"),
    "an unknown tag": typed(CREATE, "Topic", text("t") + b"\0\0\x09"),
    "another word for a custom SPU": typed(DELETE, "CustomSpu", text("Rack") + text("r") + b"\0"),
    "a client version that is none": versions("v1.2.3"),
    "a client version of one number": versions("1"),
    "no client version": versions("", version=0),
    "a SmartModule filter with an impossible version": encode_request(
        ListRequest(kind=SMART_MODULE, filters=("g/sm@x",)),
        version=19,
        correlation_id=99,
        client_id="",
    ),
    "a package whose version is one number": package("1", "0.1.0"),
    "a package for an API whose version is none": package("0.1.0", "v0.1"),
    "a SmartModule deleted by an impossible version": encode_request(
        DeleteRequest(kind=SMART_MODULE, key="g/sm@x"),
        version=19,
        correlation_id=99,
        client_id="",
    ),
}


def cases(table: dict[str, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("data", table.values(), ids=table.keys())


def watching(kit: Kit) -> Client:
    client = kit.client()
    client.send(WatchRequest(kind=TOPIC))
    return client


def create(name: str) -> CreateRequest:
    return CreateRequest(kind=TOPIC, name=name, spec=TopicSpec(replicas=Computed(partitions=1)))


@cases({**NO_FRAME, **NO_CONTENT})
def test_without_a_watch_the_connection_is_closed_with_no_answer_and_one_complaint(
    data: bytes,
) -> None:
    kit = Kit()
    client = kit.client()
    client.send_bytes(data)
    kit.settle()
    assert client.closed
    assert client.received() == []
    assert len(kit.complaints) == 1


@cases(NO_FRAME)
def test_with_a_watch_a_frame_that_makes_no_sense_closes_too(data: bytes) -> None:
    kit = Kit()
    client = watching(kit)
    client.send_bytes(data)
    assert client.closed


@cases(NO_CONTENT)
def test_with_a_watch_the_connection_is_half_alive_no_answers_no_end_but_pushes(
    data: bytes,
) -> None:
    kit = Kit()
    client = kit.client()
    watch = client.send(WatchRequest(kind=TOPIC))
    client.send_bytes(data)
    kit.settle()
    watch.news()
    listing = client.send(ListRequest(kind=TOPIC))
    kit.ask(create("orders"))
    assert not client.closed
    assert listing.replies == []
    assert watch.news() != []
    assert len(kit.complaints) == 1


class TestVersionMinus1:
    """At which no field exists, so that answers are their correlation ids."""

    ANSWER = (99).to_bytes(4, "big")

    @pytest.mark.parametrize(
        ("key", "body"),
        [
            (LIST, text("Topic")),
            (LIST, text("CustomSpu") + b"\xff" * 9),
            (WATCH, text("Partition")),
            (DELETE, text("SpuGroup")),
            (CREATE, b""),
            (CREATE, text("Topic") + b"\0" * 20),
            (UPDATE, b"\xff\xff"),
        ],
    )
    def test_is_answered_with_nothing_but_the_correlation_id(self, key: int, body: bytes) -> None:
        kit = Kit()
        client = kit.client()
        client.send_bytes(framed(header(key, -1) + body))
        kit.settle()
        assert client.received() == [self.ANSWER]

    @pytest.mark.parametrize(
        ("key", "body"),
        [
            (LIST, text("Mirror")),
            (LIST, text("topic")),
            (LIST, b""),
            (WATCH, text("Mirror")),
            (DELETE, text("Partition")),
            (DELETE, text("SPU")),
        ],
    )
    def test_of_what_the_classic_form_had_not_closes(self, key: int, body: bytes) -> None:
        kit = Kit()
        for client in (kit.client(), watching(kit)):
            client.send_bytes(framed(header(key, -1) + body))
            assert client.closed
            assert self.ANSWER not in client.received()

    @pytest.mark.parametrize(
        ("key", "label"), [(MIRRORING, "MirroringConnect"), (WATCH, "CustomSpu")]
    )
    def test_without_sense_closes_unless_there_is_a_watch(self, key: int, label: str) -> None:
        kit = Kit()
        plain, watched = kit.client(), watching(kit)
        for client in (plain, watched):
            client.send_bytes(framed(header(key, -1) + text(label)))
            assert self.ANSWER not in client.received()
        assert (plain.closed, watched.closed) == (True, False)

    def test_goes_on_in_a_watch(self) -> None:
        kit = Kit()
        client = kit.client()
        client.send_bytes(framed(header(WATCH, -1) + text("Topic")))
        before = len(client.received())
        kit.ask(create("orders"))
        assert set(client.received()[before:]) == {self.ANSWER}

    def test_deletes_what_has_an_empty_name(self) -> None:
        kit = Kit()
        kit.ask(create(""))
        kit.client().send_bytes(framed(header(DELETE, -1) + text("Topic")))
        kit.settle()
        assert kit.ask(ListRequest(kind=TOPIC)).objects == ()


@pytest.mark.parametrize("size", [0, -1, -2, -3, -4])
def test_an_impossible_size_closes_and_with_a_watch_leaves_half_alive(size: int) -> None:
    kit = Kit()
    data = size.to_bytes(4, "big", signed=True)
    plain, watched = kit.client(), watching(kit)
    plain.send_bytes(data)
    watched.send_bytes(data)
    assert plain.closed
    assert not watched.closed


@pytest.mark.parametrize("label", ["Partition", "SPU", "MirroringConnect", "Nonsense", ""])
@pytest.mark.parametrize(
    ("key", "name"), [(CREATE, "create error"), (DELETE, "create error"), (UPDATE, "update error")]
)
def test_creating_deleting_and_updating_what_can_not_be_is_answered(
    label: str, key: int, name: str
) -> None:
    kit = Kit()
    client = watching(kit)
    client.send_bytes(typed(key, label, b"whatever"))
    status = StatusResponse.decode(client.received()[-1], 19, 4)
    assert (status.name, status.error_code.code, status.error_message) == (name, 2, None)
    assert status.error_code.fields == {"text": "unknown admin object type"}
    assert kit.ask(ListRequest(kind=TOPIC), client).objects == ()


@pytest.mark.parametrize("kind", [SMART_MODULE, SPU_GROUP, TABLE_FORMAT, CUSTOM_SPU])
def test_nothing_but_topics_is_updated(kind: Kind) -> None:
    request = UpdateRequest(kind=kind, key="one", action="anything")
    status = Kit().client().send(request).reply
    assert (status.name, status.error_code.code) == ("update error", 2)
    assert status.error_code.fields == {"text": "unknown admin object type"}


def test_bytes_left_over_are_ignored() -> None:
    client = Kit().client()
    body = text("Topic") + len(TOPIC_BODY).to_bytes(4, "big") + TOPIC_BODY
    client.send_bytes(typed(LIST, "Topic", TOPIC_BODY + b"more"))
    client.send_bytes(framed(header(LIST) + body + b"more"))
    assert len(client.received()) == 2


def test_half_a_frame_waits_for_the_rest() -> None:
    kit = Kit()
    client = kit.client()
    data = typed(LIST, "Topic", TOPIC_BODY)
    client.send_bytes(data[:9])
    kit.clock.advance(360)
    client.send_bytes(data[9:])
    assert len(client.received()) == 1


def test_a_client_that_leaves_while_its_topic_is_made_leaves_the_topic() -> None:
    kit = Kit(timing=Timing(first_report=1000))
    client = kit.client()
    client.send(create("orders"))
    client.leave()
    kit.settle()
    assert [one.name for one in kit.ask(ListRequest(kind=TOPIC)).objects] == ["orders"]


def test_a_half_alive_connection_ends_with_its_client() -> None:
    kit = Kit()
    client = watching(kit)
    client.send_bytes(typed(LIST, "Topics", TOPIC_BODY))
    client.leave()
    assert kit.server.connections == ()
