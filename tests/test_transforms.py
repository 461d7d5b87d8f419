"""Transformation files: the chains they describe, and what is wrong with the others."""

from __future__ import annotations

import contextlib
import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txfluvio.errors import InvalidTransforms, MissingPackage
from txfluvio.smartmodule import Lookback, SmartModuleInvocation
from txfluvio.transforms import load_transforms, parse_transforms

FULL = """
transforms:
  - uses: infinyon/jolt@0.4.1
    lookback:
      age: 1w
    invoke: insert
    with:
      spec:
        - operation: shift
          spec: {payload: {device: "device"}}
  - uses: infinyon/jolt@0.4.1
    lookback:
      last: 1
  - uses: infinyon/json-sql@0.2.1
    lookback:
      last: 10
      age: 12 s
    with:
      mapping:
        table: "topic"
        map-columns:
          "record":
            json-key: "$"
            value: {type: "jsonb", required: true, default: null, most: 1.5, least: 0}
"""

BOMB = (
    "a: &a []\n"
    + "".join(
        f"{letter}: &{letter} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, letter in itertools.pairwise("abcdefghijklm")
    )
    + "transforms: [{uses: a, with: {n: *m}}]"
)


def test_a_chain_is_read_as_the_command_reads_it() -> None:
    assert parse_transforms(FULL) == [
        SmartModuleInvocation(
            "infinyon/jolt@0.4.1",
            lookback=Lookback(age=7 * 24 * 3600),
            params={"spec": '[{"operation":"shift","spec":{"payload":{"device":"device"}}}]'},
        ),
        SmartModuleInvocation("infinyon/jolt@0.4.1", lookback=Lookback(last=1)),
        SmartModuleInvocation(
            "infinyon/json-sql@0.2.1",
            lookback=Lookback(last=10, age=12),
            params={
                "mapping": '{"map-columns":{"record":{"json-key":"$","value":{"default":null,'
                '"least":0,"most":1.5,"required":true,"type":"jsonb"}}},"table":"topic"}'
            },
        ),
    ]


def test_no_steps_are_an_empty_chain() -> None:
    assert parse_transforms("transforms: []") == []


def test_json_is_yaml() -> None:
    (module,) = parse_transforms('{"transforms": [{"uses": "a", "with": {"b": "c"}}]}')
    assert module == SmartModuleInvocation("a", params={"b": "c"})


@pytest.mark.parametrize("text", ["yes", "off", "12:30", "2020-01-01", "010", "1_000", "é", "'5'"])
def test_what_is_a_text_in_yaml_1_2_is_a_text(text: str) -> None:
    (module,) = parse_transforms(f"transforms: [{{uses: a, with: {{b: {text}}}}}]")
    assert module.params["b"] == text.strip("'")


def test_texts_within_json_keep_their_letters() -> None:
    (module,) = parse_transforms("transforms: [{uses: a, with: {b: [é]}}]")
    assert module.params["b"] == '["é"]'


@pytest.mark.parametrize(
    ("number", "written"),
    [
        ("0x1F", "31"),
        ("-0x1f", "-31"),
        ("0o17", "15"),
        ("0b101", "5"),
        ("0x" + "f" * 33, f'"0x{"f" * 33}"'),
        ("+1", "1"),
        ("-0", "0"),
        ("010", '"010"'),
        ("1.", "1.0"),
        ("007.5", "7.5"),
        ("1e3", "1000.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e16"),
        ("1.5e+300", "1.5e300"),
        ("0.0001", "0.0001"),
        ("-1.5e-5", "-0.000015"),
        ("1e-6", "1e-6"),
        ("1e-7", "1e-7"),
        ("1e999", '"1e999"'),
        (".inf", "null"),
        ("-.INF", "null"),
        (".nan", "null"),
        ("!!float .nan", "null"),
    ],
)
def test_numbers_within_json_are_written_as_the_command_writes_them(
    number: str, written: str
) -> None:
    (module,) = parse_transforms(f"transforms: [{{uses: a, with: {{b: [{number}]}}}}]")
    assert module.params["b"] == f"[{written}]"


def test_empty_lists_and_mappings_stay_what_they_are() -> None:
    (module,) = parse_transforms("transforms: [{uses: a, with: {b: [[], {}], c: {}, d: []}}]")
    assert module.params == {"b": "[[],{}]", "c": "{}", "d": "[]"}


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        ("1h 30m", 5400.0),
        ("1h30m", 5400.0),
        ("2days 5 min", 2 * 86_400 + 300.0),
        ("250ms", 0.25),
        ("1y", 365.25 * 86_400),
        ("1M", 30.44 * 86_400),
        ("3weeks", 21 * 86_400),
        ("31millis", 0.031),
        ("17nanos", 17e-9),
    ],
)
def test_ages_are_written_with_their_units(age: str, seconds: float) -> None:
    (module,) = parse_transforms(f"transforms: [{{uses: a, lookback: {{age: {age}}}}}]")
    assert module.lookback == Lookback(age=seconds)


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("", "", "a mapping"),
        ("[]", "", "a mapping"),
        ("{}", "transforms", "a list"),
        ("transforms:", "transforms", "a list"),
        ("transforms: [a]", "transforms.0", "a mapping"),
        ("transforms: [{with: {}}]", "transforms.0.uses", "the name"),
        ("transforms: [{uses: ''}]", "transforms.0", "name"),
        ("transforms: [{uses: a}, {uses: b, with: 1}]", "transforms.1.with", "a mapping"),
        ("transforms: [{uses: a, with: {n: 5}}]", "transforms.0.with.n", "in quotes"),
        ("transforms: [{uses: a, with: {n: true}}]", "transforms.0.with.n", "in quotes"),
        ("transforms: [{uses: a, with: {n: {1: 2}}}]", "transforms.0.with.n", "texts for keys"),
        ("transforms: [{uses: a, with: {n: [{1: 2}]}}]", "transforms.0.with.n.0", "texts for keys"),
        ("transforms: [{uses: a, lookback: 5}]", "transforms.0.lookback", "a mapping"),
        ("transforms: [{uses: a, lookback: {last: '5'}}]", "transforms.0.lookback", "last"),
        ("transforms: [{uses: a, lookback: {age: 5}}]", "transforms.0.lookback.age", "1h 30m"),
        ("transforms: [{uses: a, lookback: {age: 5 x}}]", "transforms.0.lookback.age", "1h 30m"),
        ("transforms: [{uses: a, lookback: {age: 1h -}}]", "transforms.0.lookback.age", "1h 30m"),
        ("transforms: [{uses: a, lookback: {age: 2wks}}]", "transforms.0.lookback.age", "1h 30m"),
        ("transforms: [{uses: a, lookback: {age: 1yr}}]", "transforms.0.lookback.age", "1h 30m"),
        *(
            (
                f"transforms: [{{uses: a, lookback: {{age: 1{'0' * zeros}h}}}}]",
                "transforms.0.lookback.age",
                "64 bits",
            )
            for zeros in (400, 5_000)
        ),
        (
            "transforms: [{uses: a, with: {n: &n [*n]}}]",
            "transforms.0.with.n" + ".0" * 65,
            "64 levels",
        ),
        (BOMB, "transforms.0.with.n", "32767 bytes"),
        (
            f"transforms: [{{uses: a, with: {{n: [&x {'y' * 20_000}, *x]}}}}]",
            "transforms.0.with.n",
            "32767 bytes",
        ),
        (f"transforms: [{{uses: !!int 0x{'f' * 5_000}}}]", "transforms.0.uses", "too long"),
        ("transforms: [{uses: a, with: {n: 0x1F}}]", "transforms.0.with.n", "in quotes"),
        ("transforms: [{uses: a, with: {n: .inf}}]", "transforms.0.with.n", "in quotes"),
        ("transforms: [{uses: a, with: {n: [!!binary aGk=]}}]", "transforms.0.with.n.0", "JSON"),
        ("transforms: [{uses: a, with: {n: !!int x}}]", "", "invalid literal"),
        ("transforms: [{uses: a, with: {n: !!bool x}}]", "", "x"),
        (f"transforms: [{{uses: a, with: {{n: {'1' * 5000}}}}}]", "", "digits"),
        (BOMB.replace("uses: a", "uses: *m"), "transforms.0.uses", "the name"),
        ("transforms: [", "", "line 1: "),
        ("transforms: !!python/name:os.system", "", "line 1: "),
        ("a: \x01", "", "special characters"),
        ("[" * 500, "", "recursion"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, key: str, reason: str) -> None:
    with pytest.raises(InvalidTransforms) as caught:
        parse_transforms(text, source="chain.yaml")
    assert (caught.value.path, caught.value.key) == ("chain.yaml", key)
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(FULL, encoding="utf-8")
    assert load_transforms(path) == load_transforms(str(path)) == parse_transforms(FULL)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTransforms, match=r"nothing\.yaml: can not be read \(No such file"):
        load_transforms(tmp_path / "nothing.yaml")
    with pytest.raises(InvalidTransforms, match="is no name of a file"):
        load_transforms("chain\0.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"\xe9")
    with pytest.raises(InvalidTransforms, match="not UTF-8"):
        load_transforms(path)


def test_without_pyyaml_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingPackage, match=r"pyyaml: install txfluvio\[yaml\]"):
        parse_transforms(FULL)


@given(st.text(alphabet="transforms: [{}]useawithlookbacklastage-\n&*!\"'~015.", max_size=80))
def test_whatever_stands_there_it_is_a_chain_or_a_named_error(text: str) -> None:
    for whole in (text, f"transforms: {text}", f"transforms: [{{uses: a, with: {{b: {text}}}}}]"):
        with contextlib.suppress(InvalidTransforms):
            parse_transforms(whole)
