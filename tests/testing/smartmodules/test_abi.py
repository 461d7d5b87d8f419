"""What passes between an SPU and its modules: what those compiled from Rust took and gave.

The bytes were taken down from real runs, at version 25 unless the name says otherwise.
"""

from __future__ import annotations

import pytest

from tests.testing.smartmodules.fixtures import (
    FilterParam,
    concatenate,
    elements,
    filter_on_a,
    halve,
    upper,
)
from txfluvio.errors import ProtocolError
from txfluvio.testing.smartmodules import Registrable, SmartModule, Trap
from txfluvio.testing.smartmodules.abi import (
    AggregateInput,
    AggregateOutput,
    InitError,
    InitInput,
    Input,
    Output,
)

BASE = "0000000000000064"
TIME = "0000018bcfe56800"

CALLS = {
    "filter": (
        filter_on_a,
        25,
        "00000018 000000021400000001026b0478610010000a020004786200",
        "000000011400000001026b04786100 00",
    ),
    "filter at 22": (
        filter_on_a,
        22,
        "0000000d 00000001100000000004786100 000000 00000000",
        "00000001100000000004786100 00",
    ),
    "filter at 19": (
        filter_on_a,
        19,
        "0000000d 00000001100000000004786100 0000 00000000",
        "00000001100000000004786100 00",
    ),
    "filter, not UTF-8": (
        filter_on_a,
        25,
        "00000017 000000021000000000047861001200000201026b02ff00",
        "00000001100000000004786100 01"
        "002e696e76616c6964207574662d382073657175656e6365206f6620312062797465732066726f6d20696e6465"
        "782030 0000000000000065 00 01026b02ff",
    ),
    "map": (
        upper,
        25,
        "00000010 0000000116000a0201026b06666f6f00",
        "0000000116000a0201026b06464f4f00 00",
    ),
    "filter_map": (
        halve,
        25,
        "00000014 000000020e000000000237000e00000200023800",
        "000000010e00000200023400 00",
    ),
    "array_map": (
        elements,
        25,
        "00000014 000000011e000a0601026b0e5b2270222c325d00",
        "00000002120000000006227022000e00000000023200 00",
    ),
}


def made(module: Registrable) -> SmartModule:
    assert isinstance(module, SmartModule)
    return module


@pytest.mark.parametrize("call", list(CALLS))
def test_an_input_is_written_as_modules_read_it(call: str) -> None:
    _, version, batch, _ = CALLS[call]
    data = bytes.fromhex(BASE + batch + (TIME if version >= 22 else ""))
    assert Input.decode(data, version).encode(version) == data


@pytest.mark.parametrize("call", list(CALLS))
def test_python_makes_the_output_that_rust_makes(call: str) -> None:
    module, version, batch, output = CALLS[call]
    data = bytes.fromhex(BASE + batch + (TIME if version >= 22 else ""))
    found = made(module).instance().process(Input.decode(data, version))
    assert found.encode(version) == bytes.fromhex(output)


@pytest.mark.parametrize("call", list(CALLS))
def test_an_output_is_read_as_modules_write_it(call: str) -> None:
    _, version, _, output = CALLS[call]
    data = bytes.fromhex(output)
    assert Output.decode(data, version).encode(version) == data


def test_an_aggregate_is_given_and_gives_an_accumulator() -> None:
    batch = "00000014 000000020e000000000261000e00000200026200"
    given = AggregateInput.decode(bytes.fromhex(BASE + batch + TIME + "0000000131"), 25)
    records = bytes.fromhex("0000000210000000000431610012000002000631616200 00")
    data = records + bytes.fromhex("00000003316162")
    output = AggregateOutput.decode(data, 25)
    assert (given.accumulator, output.accumulator) == (b"1", b"1ab")
    found = made(concatenate).instance(given.accumulator).process(given.batch)
    assert found.encode(25) == output.output.encode(25) == records
    assert (given.encode(25)[-5:], output.encode(25)) == (bytes.fromhex("0000000131"), data)


def test_parameters_are_given_to_init() -> None:
    data = bytes.fromhex("000100036b657900016f00")
    instance = made(FilterParam).instance()
    instance.init(InitInput.decode(data, 25).params)
    batch = "00000018 00000002120000000006666f6f0012000002000662617200"
    output = instance.process(Input.decode(bytes.fromhex(BASE + batch + TIME), 25))
    assert output.encode(25) == bytes.fromhex("00000001120000000006666f6f00 00")
    assert InitInput.decode(data, 25).encode(25) == data


def test_why_a_module_does_not_start_is_a_text() -> None:
    data = bytes.fromhex("0017 6661696c65642073657474696e67206b65793a20227a22")
    assert InitError.decode(data, 25).hint == 'failed setting key: "z"'


@pytest.mark.parametrize(
    ("blob", "values"),
    [
        (b"\xff\xff\xff\xff", []),
        (b"\0\0\0\0 and more", []),
        (bytes.fromhex("00000001 100000000004786100 ff ff"), [b"xa"]),
    ],
)
def test_modules_take_a_negative_count_and_what_is_behind_the_records(
    blob: bytes, values: list[bytes]
) -> None:
    batch = Input(base_offset=0, records=blob)
    output = made(upper).instance().process(batch)
    assert [record.value for record in output.records] == [value.upper() for value in values]


@pytest.mark.parametrize("blob", [b"", b"\0\0\0", bytes.fromhex("00000002 100000000004786100")])
def test_modules_take_no_fewer_records_than_they_are_told(blob: bytes) -> None:
    batch = Input(base_offset=0, records=blob)
    with pytest.raises(Trap, match="failed to decode SmartModule base input"):
        made(upper).instance().process(batch)
    with pytest.raises(Trap, match="failed to decode SmartModule record input"):
        made(concatenate).instance().process(batch)


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\1", b"\0\0\0\1\1", b"\0\0\0\0\2", b"\x7f\xff\xff\xff\0"]
)
def test_an_output_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Output.decode(data, 25)
