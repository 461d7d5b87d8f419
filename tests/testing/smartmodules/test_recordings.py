"""What a real SPU answered, and what the fake answers to the same requests, byte for byte."""

from __future__ import annotations

import gzip
import json
from functools import cache

import pytest

from tests.golden import recordings
from tests.testing.smartmodules import wat
from tests.testing.smartmodules.fixtures import BY_SHA256, NAMED
from tests.testing.smartmodules.kit import Kit
from tests.testing.spu_kit import SpuClient
from txfluvio.testing.smartmodules import Registrable
from txfluvio.wire.recordings import RecordedFrame, Recording
from txfluvio.wire.schema import Message
from txfluvio.wire.spu import (
    AdHoc,
    ProduceRequest,
    ProduceResponse,
    StreamFetchRequest,
    StreamFetchResponse,
    UpdateOffsetsRequest,
)

TOPICS = {
    "fruit": [b"apple", b"banana", b"berry", b"cherry", b"kiwi"],
    "nums": [b"1", b"2", b"3", b"not a number", b"4"],
    "arrs": [b'["a","b"]', b'["c"]', b"[]"],
}
"""What the topics of the recordings held, one record a batch."""

STREAMS = [
    "cli-sm-adhoc-filter",
    "cli-sm-aggregate-initial",
    "cli-sm-aggregate-named",
    "cli-sm-array-map-named",
    "cli-sm-chain-missing",
    "cli-sm-chain-params",
    "cli-sm-chain",
    "cli-sm-empty-wasm",
    "cli-sm-filter-map-error",
    "cli-sm-filter-map-named",
    "cli-sm-filter-named",
    "cli-sm-lookback",
    "cli-sm-map-named",
    "cli-sm-param-default",
    "cli-sm-wrong-kind",
    "npm-sm-adhoc",
    "npm-sm-filter-named",
    "python-sm-errors",
]

ENGINES = ["python", "text", "rust"]
"""What runs the modules: callables, modules of our own, modules compiled from Rust where we can."""

SHORTEST_PUSH = 50
"""Bytes that the answers to acknowledgements do not have."""

PRODUCES = ["cli-sm-produce-map", "cli-sm-produce-map-adhoc"]

WITH_BAD_WASM = ("cli-sm-empty-wasm", "python-sm-errors")
"""Recordings with modules that nothing in Python stands for."""


@cache
def conversation(name: str) -> tuple[tuple[int, RecordedFrame, Message], ...]:
    """What SPUs were asked and answered: the connection, the frame, and what it says."""
    recording = Recording()
    found = []
    for line in recordings()[f"real/{name}.jsonl"]:
        frame = recording.read(line)
        if frame is not None and frame.server == "SPU":
            message = frame.type.decode(frame.payload, frame.header.api_version, frame.body)
            found.append((json.loads(line)["conn"], frame, message))
    return tuple(found)


@cache
def compiled_from_rust(name: str) -> bytes:
    """The module that came along with a recorded request."""
    for _, _, message in conversation(name):
        if isinstance(message, StreamFetchRequest | ProduceRequest):
            for invocation in message.smartmodules:
                assert isinstance(invocation.wasm, AdHoc)
                return gzip.decompress(invocation.wasm.payload)
    raise LookupError(name)


def kit(engine: str) -> Kit:
    if engine != "python":
        pytest.importorskip("wasmtime")
    modules: dict[str, Registrable | bytes] = {}
    if engine == "python":
        modules = {**NAMED, **BY_SHA256}
    elif engine == "text":
        modules = {**wat.NAMED}
    else:
        modules = {
            **wat.NAMED,
            "filter-on-a": compiled_from_rust("cli-sm-adhoc-filter"),
            "map1": compiled_from_rust("cli-sm-produce-map-adhoc"),
        }
    made = Kit(modules)
    for topic, values in TOPICS.items():
        made.host((topic, 0))
        for value in values:
            made.put([value], topic=topic)
    made.host(("smout", 0))
    return made


def replay(made: Kit, name: str, *kinds: type[Message]) -> dict[int, list[bytes]]:
    """Ask what was asked, on as many connections; what comes back on each."""
    clients: dict[int, SpuClient] = {}
    for number, frame, message in conversation(name):
        if isinstance(message, kinds):
            client = clients.setdefault(number, made.client())
            client.raw.send_bytes(len(frame.payload).to_bytes(4, "big") + frame.payload)
    return {number: client.raw.received() for number, client in clients.items()}


def answered(name: str, kind: type[Message]) -> dict[int, list[bytes]]:
    """What a real SPU sent on each connection."""
    found: dict[int, list[bytes]] = {}
    for number, frame, message in conversation(name):
        if isinstance(message, kind):
            found.setdefault(number, []).append(frame.payload)
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", STREAMS)
def test_streams_push_what_a_real_spu_pushed(name: str, engine: str) -> None:
    if name in WITH_BAD_WASM:
        pytest.importorskip("wasmtime")
    received = replay(kit(engine), name, StreamFetchRequest, UpdateOffsetsRequest)
    for number, recorded in answered(name, StreamFetchResponse).items():
        pushed = [one for one in received[number] if len(one) > SHORTEST_PUSH]
        # Some clients left before the answer to their last acknowledgement came.
        assert pushed[: len(recorded)] == recorded


@pytest.mark.parametrize("engine", ENGINES)
def test_what_went_through_modules_is_stored_as_a_real_spu_stored_it(engine: str) -> None:
    made = kit(engine)
    for value in (b"apple", b"banana"):
        made.put([value], topic="smout")
    for name in PRODUCES:
        assert replay(made, name, ProduceRequest) == answered(name, ProduceResponse)
    (push,) = [
        message
        for _, _, message in conversation("cli-sm-produced")
        if isinstance(message, StreamFetchResponse)
    ]
    batches = push.partition.records.batches()
    stored = [batch.data for batch in made.spu.replicas["smout", 0].log]
    assert stored[2:] == [batch.data[batch.start : batch.end] for batch in batches[2:]]


def test_a_producer_is_told_what_is_wrong_with_its_module_as_by_a_real_spu() -> None:
    name = "cli-sm-produce-not-wasm"
    assert replay(kit("text"), name, ProduceRequest) == answered(name, ProduceResponse)
