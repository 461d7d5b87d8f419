"""The official Python client's SmartModules, run by the fake as WASM or as what stands for it."""

from __future__ import annotations

import gzip
import json
import os
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from txfluvio.profile import add_cluster
from txfluvio.testing import FakeBroker
from txfluvio.testing.smartmodules import Registrable

from ..testing.smartmodules import fixtures, wat

pytestmark = pytest.mark.skipif(
    find_spec("fluvio") is None, reason="the official client (PyPI fluvio) is not installed"
)

TOPICS = {
    "words": [b"foo", b"bar", b"fooquux", b"baz"],
    "numbers": [b"1", b"2", b"3", b"10", b"oops", b"4"],
    "arrays": [b'["a","b"]', b"[]", b'["c"]'],
}

OFFICIAL = """
import json, sys
from fluvio import ConsumerConfig, Fluvio, FluvioAdmin, Offset, SmartModuleKind
admin, fluvio = FluvioAdmin.connect(), Fluvio.connect()
modules, streams = json.loads(sys.argv[1])
for name, path in modules.items():
    admin.create_smartmodule(name, path, False)
found = []
for topic, count, options in streams:
    config = ConsumerConfig()
    if "aggregate" in options:
        options["aggregate"] = options["aggregate"].encode()
    if "kind" in options:
        options["kind"] = getattr(SmartModuleKind, options["kind"])
    config.smartmodule(**options)
    values = []
    try:
        stream = fluvio.partition_consumer(topic, 0).stream_with_config(Offset.beginning(), config)
        for _ in range(count):
            values.append(next(stream).value_string())
    except Exception as error:
        values.append(str(error))
    found.append(values)
print(json.dumps(found))
"""

STREAMS: list[tuple[str, int, dict[str, Any], list[str]]] = [
    ("words", 2, {"name": "filter-on-a"}, ["bar", "baz"]),
    ("words", 2, {"name": "fparam"}, ["bar", "baz"]),
    ("words", 2, {"name": "fparam", "params": {"key": "o"}}, ["foo", "fooquux"]),
    ("words", 4, {"name": "map1"}, ["FOO", "BAR", "FOOQUUX", "BAZ"]),
    ("words", 2, {"name": "agg1", "aggregate": "1"}, ["1foo", "1foobar"]),
    ("words", 1, {"name": "agg1", "aggregate": "1", "kind": "Aggregate"}, ["1foo"]),
    ("words", 2, {"name": "filter-on-a", "kind": "Map"}, ["bar", "baz"]),
    ("arrays", 3, {"name": "arr1"}, ['"a"', '"b"', '"c"']),
    ("words", 1, {"name": "nobody"}, ["SmartModule nobody was not found"]),
    ("words", 2, {"path": "filter-on-a"}, ["bar", "baz"]),
    ("words", 2, {"path": "agg1"}, ["foo", "foobar"]),
    (
        "numbers",
        3,
        {"name": "fm1"},
        [
            "1",
            "5",
            "SmartModule transform error invalid digit found in string\n\n"
            "SmartModule Info: \n    Type: FilterMap\n    Offset: 4\n    Key: NULL\n"
            "    Value: oops",
        ],
    ),
]
"""A topic, how many records are read, how the module is asked for, and what comes of it."""


@pytest.mark.parametrize("engine", ["python", "wasm"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_every_kind_of_module_does_what_it_should(engine: str, tmp_path: Path) -> None:
    registered: dict[str, Registrable] = {}
    if engine == "python":
        for name, wasm in wat.NAMED.items():
            registered[sha256(wasm).hexdigest()] = fixtures.NAMED[name]
    else:
        pytest.importorskip("wasmtime")
    zipped = {}
    for name, wasm in wat.NAMED.items():
        (tmp_path / name).write_bytes(wasm)
        zipped[name] = str(tmp_path / f"{name}.gz")
        Path(zipped[name]).write_bytes(gzip.compress(wasm))
    asked = [(topic, count, dict(options)) for topic, count, options, _ in STREAMS]
    for _, _, options in asked:
        if "path" in options:
            options["path"] = str(tmp_path / options["path"])
    profile = tmp_path / "profile"
    async with FakeBroker(
        reactor, spus=2, topics=dict.fromkeys(TOPICS, 1), smartmodules=registered
    ) as broker:
        for topic, values in TOPICS.items():
            for value in values:
                broker.append(topic, [value])
        add_cluster(profile, "fake", broker.sc_endpoint)
        out, err, status = await getProcessOutputAndValue(
            sys.executable,
            ["-c", OFFICIAL, json.dumps([zipped, asked])],
            env={**os.environ, "PYTHONWARNINGS": "", "FLV_PROFILE_PATH": str(profile)},
        )
    assert status == 0, err.decode()
    assert json.loads(out) == [values for _, _, _, values in STREAMS]
