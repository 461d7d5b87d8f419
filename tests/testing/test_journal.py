"""The journal: every frame, oldest first, within bounds, decoded when looked at."""

from __future__ import annotations

import pytest

from tests.testing.spu_kit import Kit, entry, fetch, produce
from txfluvio.errors import UsageError
from txfluvio.testing.server.journal import Direction, Entry, Journal
from txfluvio.wire.headers import RequestHeader
from txfluvio.wire.records import encode_batch
from txfluvio.wire.spu import PartitionProduceResponse, ProduceResponse, StreamFetchResponse

ONE = encode_batch([b"a"])
HEADER = RequestHeader(api_key=0, api_version=25, correlation_id=1, client_id="")


def journal(*, max_entries: int = 100, max_bytes: int = 1000) -> Journal:
    return Journal(lambda: 0.0, max_entries=max_entries, max_bytes=max_bytes)


def add(to: Journal, *sizes: int, name: str = "SPU 5001") -> None:
    for number, size in enumerate(sizes, 1):
        to.request(name, number, HEADER, bytes(size), 0)


def numbers(of: Journal) -> list[int]:
    return [one.connection for one in of]


def test_a_request_its_reply_and_its_pushes_are_noted_as_they_go() -> None:
    kit = Kit()
    client = kit.client()
    client.stream()
    request = produce(entry(ONE))
    client.send(request)
    asked, produced, pushed, answered = kit.journal
    assert [one.direction for one in (asked, produced, pushed, answered)] == [
        Direction.REQUEST,
        Direction.REQUEST,
        Direction.PUSH,
        Direction.REPLY,
    ]
    assert [one.name for one in (asked, produced, pushed, answered)] == [
        "StreamFetch",
        "Produce",
        "StreamFetch",
        "Produce",
    ]
    assert produced.message == request
    assert isinstance(pushed.message, StreamFetchResponse)
    assert isinstance(answered.message, ProduceResponse)
    assert answered.message.responses[0].partitions == (
        PartitionProduceResponse(partition_index=0),
    )


def test_requests_of_a_call_that_there_is_not_are_no_empty_list() -> None:
    with pytest.raises(UsageError, match=r"^there is no call 'Produse'; there are: .*, Produce, "):
        journal().requests("Produse")


def test_a_call_that_nobody_knows_goes_by_its_number() -> None:
    assert journal().requests("4321") == []


def test_an_entry_says_when_and_where_and_how() -> None:
    kit = Kit()
    client = kit.client()
    kit.clock.advance(5)
    client.send(fetch(0), version=10)
    (asked, _) = kit.journal
    assert (asked.time, asked.server, asked.connection) == (1_700_000_005.0, "SPU 5001", 1)
    assert (asked.header.api_version, asked.header.client_id) == (10, "test")


def test_what_can_not_be_decoded_is_noted_and_has_no_message() -> None:
    kit = Kit()
    kit.client().send_raw(1, 25, b"nonsense")
    kit.client().send_raw(9999, 0)
    first, second = kit.journal
    assert (first.name, first.message) == ("Fetch", None)
    assert (second.name, second.message, second.api) == ("9999", None, None)


def test_one_key_is_another_call_on_an_sc() -> None:
    notes = journal()
    header = RequestHeader(api_key=1003, api_version=19, correlation_id=1, client_id="")
    notes.request("SC", 1, header, b"", 0)
    notes.request("SPU 5001", 2, header, b"", 0)
    assert [one.name for one in notes] == ["List", "StreamFetch"]


def test_requests_can_be_picked_by_the_name_of_their_call() -> None:
    kit = Kit()
    client = kit.client()
    client.produce(ONE)
    client.fetch(0)
    assert [one.name for one in kit.journal.requests()] == ["Produce", "Fetch"]
    assert [one.connection for one in kit.journal.requests("Fetch")] == [1]


def test_the_oldest_entries_go_when_there_are_too_many() -> None:
    notes = journal(max_entries=2)
    add(notes, 1, 1, 1)
    assert numbers(notes) == [2, 3]


def test_the_oldest_entries_go_when_they_are_too_large_together() -> None:
    notes = journal(max_bytes=10)
    add(notes, 6, 4, 4)
    assert numbers(notes) == [2, 3]


def test_the_newest_entry_stays_whatever_its_size() -> None:
    notes = journal(max_bytes=10)
    add(notes, 6, 100)
    assert numbers(notes) == [2]


def test_a_cleared_journal_is_empty() -> None:
    notes = journal()
    add(notes, 1)
    notes.clear()
    assert (len(notes), list(notes)) == (0, [])


def test_whoever_waits_is_told_of_every_entry() -> None:
    told: list[int] = []
    notes = Journal(lambda: 0.0, on_entry=lambda: told.append(len(notes)))
    add(notes, 1, 1)
    assert told == [1, 2]


def test_entries_are_values() -> None:
    notes = journal()
    add(notes, 1)
    (one,) = notes
    assert isinstance(one, Entry)
    with pytest.raises(AttributeError):
        one.server = "SC"  # type: ignore[misc]


def test_frames_are_numbered_and_told_behind_a_number() -> None:
    kept = journal(max_entries=3)
    add(kept, 1, 1, 1, 1, 1)
    assert kept.total == 5
    assert [number for number, _ in kept.behind(3)] == [4, 5]
    assert [number for number, _ in kept.behind(0)] == [3, 4, 5]
    assert kept.behind(5) == kept.behind(99) == []
    assert [one.connection for _, one in kept.behind(3)] == [4, 5]


def test_numbers_go_on_when_everything_is_forgotten() -> None:
    kept = journal()
    add(kept, 1, 1)
    kept.clear()
    add(kept, 1)
    assert [number for number, _ in kept.behind(0)] == [3]
