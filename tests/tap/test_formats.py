"""How records look, as ``fluvio consume`` shows them."""

from __future__ import annotations

import json

import pytest

from txfluvio.tap.formats import (
    OUTPUTS,
    PIECE,
    Format,
    KeyValueFormat,
    TemplateFormat,
    dynamic,
    hex_dump,
    is_binary,
    pretty_json,
    raw,
    text,
)
from txfluvio.wire.records import Record


def record(
    value: bytes = b"v",
    key: bytes | None = None,
    *,
    offset: int | None = 7,
    timestamp: int | None = 1_700_000_000_123,
) -> Record:
    made = Record()
    made.topic, made.partition, made.offset = "orders", 2, offset
    made.key, made.value, made.timestamp = key, value, timestamp
    return made


@pytest.mark.parametrize(
    ("value", "binary"),
    [
        (b"", False),
        (b"plain", False),
        ("größe".encode(), False),
        (b"\xff not utf-8", False),
        (b"a\0b", True),
        (b"x" * 1024 + b"\0", False),
        (b"%PDF-1.7", True),
        (b"\x89PNG\r\n", True),
        (b"\xff\xfea\0", False),
    ],
)
def test_tells_text_from_binary(value: bytes, binary: bool) -> None:
    assert is_binary(value) is binary


def test_a_dump_shows_sixteen_bytes_a_line() -> None:
    assert hex_dump(b'{\n    "partitions": [') == (
        b'00000000  7b 0a 20 20 20 20 22 70  61 72 74 69 74 69 6f 6e  |{.    "partition|\n'
        b'00000010  73 22 3a 20 5b                                    |s": [           |\n'
        + b"-" * 78
        + b"\n"
    )


@pytest.mark.parametrize(
    ("output", "value", "printed"),
    [
        ("dynamic", b"a\xff", b"a\xef\xbf\xbd\n"),
        ("dynamic", b"\0", hex_dump(b"\0") + b"\n"),
        ("text", b"a\xff", b"a\xef\xbf\xbd\n"),
        ("text", b"\0ab", b"binary: (3 bytes)\n"),
        ("raw", b"a\xff\0", b"a\xff\0\n"),
        ("binary", b"a", hex_dump(b"a") + b"\n"),
        ("json", b'{"b":1,"a":"\xc3\xbc"}', b'{\n  "b": 1,\n  "a": "\xc3\xbc"\n}\n'),
    ],
)
def test_each_output(output: str, value: bytes, printed: bytes) -> None:
    assert Format(OUTPUTS[output]).lines([record(value)]) == printed


def test_what_is_no_json_says_why() -> None:
    assert b'"error": "Expecting value' in pretty_json(b"nonsense")


@pytest.mark.parametrize(
    "value",
    [
        b"[]",
        b"{}",
        b'""',
        b"[[], {}, [{}]]",
        b'{"a": {"b": [1, null, true]}, "c": "x,y:[{}]"}',
        rb'["\"", "\\", "\/", "\u00fc\n", "a\\\"b"]',
        '{"ü": "\u2028"}'.encode("utf-16"),
        '["ü"]'.encode("utf-8-sig"),
    ],
)
def test_json_looks_as_python_writes_it(value: bytes) -> None:
    expected = json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    assert pretty_json(value).decode() == expected


@pytest.mark.parametrize("number", ["1e400", "-0.10", "1E5", "1" * 5000, "0.1000000000000000055"])
def test_numbers_stay_as_they_were_written(number: str) -> None:
    assert pretty_json(f'{{"n":{number}}}'.encode()).decode() == f'{{\n  "n": {number}\n}}'


def test_a_key_that_is_there_twice_is_shown_twice() -> None:
    assert pretty_json(b'{"a":1,"a":2}') == b'{\n  "a": 1,\n  "a": 2\n}'


def test_many_brackets_do_not_become_a_great_many_spaces() -> None:
    assert len(pretty_json(b"[" * 900 + b"]" * 900)) < 900 * 2 * 202


@pytest.mark.parametrize("value", [b"NaN", b'{"a": -Infinity}', b"[1"])
def test_numbers_that_json_does_not_have_say_so(value: bytes) -> None:
    (only,) = json.loads(pretty_json(value))
    assert only == "error"


def test_however_deep_it_is_it_is_json_or_says_why() -> None:
    """Some are read that can not be written: how deep they are is another matter in each Python."""
    for depth in (500, 1000, 1500, 9000):
        shown = pretty_json(b"[" * depth + b"]" * depth)
        assert shown.count(b"[") == depth or b'{\n  "error": "maximum recursion depth' in shown


@pytest.mark.parametrize("show", [dynamic, text, raw])
@pytest.mark.parametrize("odd", [b"", b"z", b"\xc3\xbc", b"\xff", b"\0", b"%PDF", b"a\xc3"])
def test_a_list_looks_like_its_records_one_by_one(show: object, odd: bytes) -> None:
    """Also where values are halves of one character, and only look whole side by side."""
    format = Format(show)  # type: ignore[arg-type]
    records = [record(b"a"), record(odd), record(b"\xbc"), record(b"b")]
    assert format.lines(records) == b"".join(format.lines([each]) for each in records)


LARGE = b"\0" * (PIECE + 1)
LARGE_JSON = json.dumps([{"n": n} for n in range(PIECE // 8)]).encode()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("large", [LARGE, LARGE_JSON, b"x" * len(LARGE)])
def test_pieces_are_the_same_together(output: str, keys: bool, large: bytes) -> None:
    """Each is of whole lines."""
    show = OUTPUTS[output]
    format = KeyValueFormat(show) if keys else Format(show)
    records = [record(b"a", b"k"), record(large, b"k"), record(b"b"), record(b"1" * PIECE)]
    pieces = list(format.pieces(records))
    assert b"".join(pieces) == format.lines(records)
    assert all(piece.endswith(b"\n") for piece in pieces)


@pytest.mark.parametrize("large", [LARGE, b"x" * len(LARGE)])
def test_a_template_is_filled_for_a_large_value_too(large: bytes) -> None:
    format = TemplateFormat("{{key}}: {{value}}")
    assert b"".join(format.pieces([record(large, b"k")])) == b"k: " + large + b"\n"


def test_large_keys_count() -> None:
    records = [record(b"v", b"k" * (PIECE // 2)) for _ in range(8)]
    pieces = list(KeyValueFormat(dynamic).pieces(records))
    assert max(map(len, pieces)) < 2 * PIECE


def test_an_end_of_line_of_two_characters_is_one_on_a_terminal() -> None:
    format = Format(text, terminal=True)
    assert format.lines([record(b"a\r\nb\rc")]) == b"a\r\nb\\x0dc\n"


@pytest.mark.parametrize(("output", "value"), [("binary", LARGE), ("json", LARGE_JSON)])
def test_a_large_value_of_many_lines_is_in_pieces(output: str, value: bytes) -> None:
    pieces = list(Format(OUTPUTS[output]).pieces([record(value)]))
    assert max(map(len, pieces)) < 2 * PIECE


def test_what_is_not_much_is_one_piece() -> None:
    records = [record(b"x" * 1024)] * (PIECE // 1024)
    assert len(list(Format().pieces(records))) == 1


def test_keys_and_values() -> None:
    records = [record(b"one", b"k"), record(b"two"), record(b"three", b"")]
    assert KeyValueFormat(dynamic).lines(records) == b"[k] one\n[null] two\n[] three\n"


CONTROLS = b"a\x1b[2J\x7f\xc2\x9b\r\tb\nc"
SHOWN = b"a\\x1b[2J\\x7f\\x9b\\x0d\tb\nc"


@pytest.mark.parametrize(
    ("format", "printed"),
    [
        (Format(terminal=True), SHOWN + b"\n"),
        (Format(), CONTROLS + b"\n"),
        (Format(raw, terminal=True), CONTROLS + b"\n"),
        (
            KeyValueFormat(dynamic, coloured=True, terminal=True),
            b"\x1b[36m[k\\x1b]\x1b[0m " + SHOWN + b"\n",
        ),
        (
            TemplateFormat("\x1b[1m{{key}}={{value}}", terminal=True),
            b"\x1b[1mk\\x1b=" + SHOWN + b"\n",
        ),
    ],
)
def test_what_is_in_a_record_does_nothing_to_a_terminal(format: Format, printed: bytes) -> None:
    assert format.lines([record(CONTROLS, b"k\x1b")]) == printed


def test_nor_does_a_large_one() -> None:
    value = json.dumps(["\x9b"] * PIECE, ensure_ascii=False).encode()
    format = Format(pretty_json, terminal=True)
    assert b"".join(format.pieces([record(value)])) == format.lines([record(value)])
    assert b"\xc2\x9b" not in format.lines([record(value)])


def test_keys_stand_out_in_colour() -> None:
    coloured = KeyValueFormat(dynamic, coloured=True)
    assert coloured.lines([record(b"one", b"k")]) == b"\x1b[36m[k]\x1b[0m one\n"


def test_a_template_has_every_variable() -> None:
    format = TemplateFormat("{{topic}}/{{partition}}@{{offset}} {{ key }}={{{value}}} {{time}}!")
    assert format.lines([record(b"one", b"k"), record(b"two")]) == (
        b"orders/2@7 k=one 2023-11-14T22:13:20.123Z!\n"
        b"orders/2@7 null=two 2023-11-14T22:13:20.123Z!\n"
    )


def test_a_template_says_what_is_not_known() -> None:
    format = TemplateFormat("{{offset}} {{time}}")
    assert format.lines([record(offset=None, timestamp=None)]) == b"NA NA\n"
    assert format.lines([record(timestamp=2**62)]) == b"7 NA\n"


def test_values_are_no_templates() -> None:
    assert TemplateFormat("{{value}}").lines([record(b"{{key}}")]) == b"{{key}}\n"


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\{\{key\}\}.*not \{\{keys\}\}"):
        TemplateFormat("{{keys}}")
