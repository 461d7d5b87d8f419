"""Invocations of SmartModules: what they are made of, and what they refuse."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import attrs
import pytest

from txfluvio.errors import InvalidConfig
from txfluvio.smartmodule import Lookback, SmartModuleInvocation, SmartModuleKind

WASM = b"\0asm\x01\0\0\0"


def test_a_name_alone_is_an_invocation_of_what_the_cluster_has() -> None:
    module = SmartModuleInvocation("only-errors")
    assert (module.name, module.wasm) == ("only-errors", None)
    assert (dict(module.params), module.accumulator, module.lookback) == ({}, None, None)
    assert module.kind is SmartModuleKind.GENERIC


def test_what_is_sent_along_is_compressed_the_same_way_each_time() -> None:
    module = SmartModuleInvocation("mine", wasm=WASM)
    assert module.wasm is not None
    assert gzip.decompress(module.wasm) == WASM
    assert module == SmartModuleInvocation("mine", wasm=WASM)


def test_what_is_compressed_already_is_left_as_it_is() -> None:
    packed = gzip.compress(WASM)
    assert SmartModuleInvocation("mine", wasm=packed).wasm == packed


def test_a_file_is_read_and_gives_its_name(tmp_path: Path) -> None:
    path = tmp_path / "upper.wasm"
    path.write_bytes(WASM)
    module = SmartModuleInvocation.from_file(path, params={"a": "b"}, accumulator=b"1")
    assert module == SmartModuleInvocation(
        "upper.wasm", wasm=WASM, params={"a": "b"}, accumulator=b"1"
    )
    assert SmartModuleInvocation.from_file(str(path), name="mine").name == "mine"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"nothing\.wasm.*No such file"):
        SmartModuleInvocation.from_file(tmp_path / "nothing.wasm")
    with pytest.raises(InvalidConfig, match="null byte"):
        SmartModuleInvocation.from_file("nothing\0.wasm")


def test_it_is_a_value_whatever_becomes_of_the_mapping_it_was_given() -> None:
    params = {"key": "o"}
    module = SmartModuleInvocation("only", params=params)
    params["key"] = "x"
    assert module == SmartModuleInvocation("only", params={"key": "o"})
    assert hash(module) == hash(SmartModuleInvocation("only", params={"key": "o"}))
    assert module != SmartModuleInvocation("only", params=params)
    with pytest.raises(TypeError):
        module.params["key"] = "x"  # type: ignore[index]


def test_a_changed_copy_is_checked_again() -> None:
    module = SmartModuleInvocation("sum", kind=SmartModuleKind.AGGREGATE, accumulator=b"1")
    assert attrs.evolve(module, accumulator=b"2").accumulator == b"2"
    with pytest.raises(InvalidConfig):
        attrs.evolve(module, kind=SmartModuleKind.FILTER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", "x" * 32_768),
        ("name", "\ud800"),
        ("wasm", b""),
        ("wasm", "upper.wasm"),
        ("params", None),
        ("params", [("key", "o")]),
        ("params", {"count": 5}),
        ("params", {b"key": "o"}),
        ("params", {"key": "x" * 32_768}),
        ("accumulator", "1"),
        ("lookback", 5),
        ("kind", "filter"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfig, match=rf"SmartModuleInvocation\.{name} "):
        SmartModuleInvocation(**{"name": "mine", name: value})


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in SmartModuleKind
        if kind not in (SmartModuleKind.GENERIC, SmartModuleKind.AGGREGATE)
    ],
    ids=str,
)
def test_only_an_aggregate_has_an_accumulator(kind: SmartModuleKind) -> None:
    with pytest.raises(InvalidConfig, match="accumulator"):
        SmartModuleInvocation("mine", kind=kind, accumulator=b"")


@pytest.mark.parametrize(
    "wrong", [{"last": -1}, {"last": 2**63}, {"last": 1.0}, {"age": -1}, {"age": 2**63 // 1000 + 1}]
)
def test_a_lookback_is_within_what_an_spu_can_count(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match="Lookback"):
        Lookback(**wrong)


def test_a_complaint_shows_neither_the_module_nor_the_accumulator() -> None:
    module = SmartModuleInvocation("mine", wasm=b"secret", accumulator=b"secret")
    assert "secret" not in repr(module)
    for wrong in ({"wasm": "secret"}, {"accumulator": "secret"}):
        with pytest.raises(InvalidConfig) as caught:
            SmartModuleInvocation("mine", **wrong)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)
