"""Which module a request means: a name, what came along, and who runs it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from hashlib import sha256

import pytest

from tests.testing.smartmodules import wat
from tests.testing.smartmodules.fixtures import NAMED, filter_on_a, upper
from tests.testing.smartmodules.kit import Kit, text_of, values
from tests.testing.smartmodules.wat import ad_hoc, named
from txfluvio.errors import UsageError
from txfluvio.testing.smartmodules import Registrable, SmartModuleRecord, Trap, filter
from txfluvio.wire.codes import Code, error
from txfluvio.wire.spu import AdHoc, SmartModuleInvocation

WASM = b"\0asm that nobody can run"
DIGEST = sha256(WASM).hexdigest()


def raw(payload: bytes) -> SmartModuleInvocation:
    return SmartModuleInvocation(wasm=AdHoc(payload=payload))


def kit() -> Kit:
    made = Kit(NAMED)
    made.put([b"apple", b"berry"])
    return made


def test_a_name_that_the_sc_does_not_have_is_not_found() -> None:
    push = kit().stream(named("nobody")).push()
    assert push.error_code == error(Code.SMART_MODULE_NOT_FOUND, name="nobody")


def test_a_name_is_looked_for_before_any_module_starts() -> None:
    push = kit().stream(raw(b"junk"), named("nobody")).push()
    assert push.error_code == error(Code.SMART_MODULE_NOT_FOUND, name="nobody")


def test_a_module_deleted_from_the_sc_is_not_found_however_it_is_run() -> None:
    made = kit()
    made.stored.clear()
    push = made.stream(named("map1")).push()
    assert push.error_code == error(Code.SMART_MODULE_NOT_FOUND, name="map1")


def test_what_is_registered_for_a_name_runs_whatever_its_bytes_are() -> None:
    made = Kit()
    made.store("mine", b"anything")
    made.modules.register("mine", upper)
    made.put([b"x"])
    assert values(made.stream(named("mine")).push()) == [b"X"]


def test_what_is_registered_for_a_hash_runs_wherever_the_bytes_come_from() -> None:
    made = kit()
    made.register(DIGEST.upper(), filter_on_a)
    made.store("stored", gzip.compress(WASM))
    assert values(made.stream(named("stored")).push()) == [b"apple"]
    assert values(made.stream(ad_hoc(WASM)).push()) == [b"apple"]


def test_a_name_comes_before_a_hash() -> None:
    made = kit()
    made.register(DIGEST, filter_on_a)
    made.store("stored", gzip.compress(WASM))
    made.modules.register("stored", upper)
    assert values(made.stream(named("stored")).push()) == [b"APPLE", b"BERRY"]


def test_how_hard_it_was_zipped_does_not_change_the_hash() -> None:
    made = kit()
    made.register(DIGEST, filter_on_a)
    for level in (0, 9):
        push = made.stream(raw(gzip.compress(WASM, level))).push()
        assert values(push) == [b"apple"]


@pytest.mark.parametrize(
    "text", ["dedup", "fluvio/dedup", "fluvio/dedup@0.1.0", "fluvio/dedup@0.1"]
)
def test_a_qualified_name_can_be_asked_for_in_part(text: str) -> None:
    made = kit()
    made.register("fluvio/dedup@0.1.0", filter_on_a)
    assert values(made.stream(named(text)).push()) == [b"apple"]


@pytest.mark.parametrize("text", ["other/dedup", "fluvio/dedup@0.2.0"])
def test_another_group_or_version_is_another_module(text: str) -> None:
    made = kit()
    made.register("fluvio/dedup@0.1.0", filter_on_a)
    push = made.stream(named(text)).push()
    assert push.error_code == error(Code.SMART_MODULE_NOT_FOUND, name=text)


def test_a_version_that_can_not_be_read_is_an_error_of_its_own() -> None:
    text = text_of(kit().stream(named("g/name@xx")).push())
    start = "error parsing SmartModule name: SmartModule version`xx` is not valid because "
    assert text.startswith(start)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "unexpected end of file"),
        (b"\x1f\x8b\x08\0", "unexpected end of file"),
        (WASM, "invalid gzip header"),
        (gzip.compress(WASM, mtime=0)[:-9], "unexpected end of file"),
        (
            gzip.compress(WASM, mtime=0)[:-8] + bytes(8),
            "corrupt gzip stream does not have a matching checksum",
        ),
    ],
)
def test_what_is_no_gzip_is_invalid(payload: bytes, why: str) -> None:
    push = kit().stream(raw(payload)).push()
    assert push.error_code == error(Code.SMART_MODULE_INVALID, error=why, name=None)


def test_plain_wasm_that_was_stored_is_invalid_when_it_is_used() -> None:
    made = kit()
    made.store("plain", WASM)
    push = made.stream(named("plain")).push()
    assert push.error_code == error(
        Code.SMART_MODULE_INVALID, error="invalid gzip header", name=None
    )


def test_what_follows_the_zipped_bytes_does_not_count() -> None:
    made = kit()
    made.register(DIGEST, filter_on_a)
    for more in (b"junk", gzip.compress(b"more")):
        assert values(made.stream(raw(gzip.compress(WASM) + more)).push()) == [b"apple"]


def test_only_what_was_decorated_can_be_registered() -> None:
    def plain(record: SmartModuleRecord) -> bool:
        return True

    with pytest.raises(UsageError, match="decorate it with its kind"):
        Kit().modules.register("plain", plain)  # type: ignore[arg-type]


def test_a_name_has_to_be_readable_to_be_registered() -> None:
    with pytest.raises(UsageError, match="SmartModule version`x` is not valid"):
        Kit().modules.register("g/name@x", filter_on_a)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("\ud800", "surrogates not allowed"), ("x" * 2**15, "a string of 32768 bytes is over")],
)
def test_a_name_has_to_fit_into_what_tells_of_it(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Kit().modules.register(name, filter_on_a)


@filter
class Refuses:
    """Does not start."""

    def init(self, params: Mapping[str, str]) -> None:
        if "trap" in params:
            raise Trap("it broke")
        raise ValueError("not like this") from KeyError("key")

    def __call__(self, record: SmartModuleRecord) -> bool:
        return True


@filter
class Unmakeable:
    """Has no instances."""

    def __init__(self) -> None:
        raise ValueError("not like this") from KeyError("key")

    def __call__(self, record: SmartModuleRecord) -> bool:
        return True


@pytest.mark.parametrize("module", [Refuses, Unmakeable])
def test_a_module_that_refuses_to_start_says_why(module: Registrable) -> None:
    made = Kit({"refuses": module})
    push = made.stream(named("refuses")).push()
    assert push.error_code.code == Code.SMART_MODULE_CHAIN_INIT_ERROR
    assert text_of(push) == ("not like this\n\nCaused by:\n    'key'\n\nSmartModule Init Error: \n")


def test_a_module_may_break_down_at_the_start() -> None:
    push = Kit({"refuses": Refuses}).stream(named("refuses", trap="")).push()
    assert push.error_code == error(Code.SMART_MODULE_CHAIN_INIT_ERROR, text="it broke")


def test_without_wasmtime_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wasmtime", None)
    monkeypatch.delitem(
        __import__("sys").modules, "txfluvio.testing.smartmodules.wasm", raising=False
    )
    push = kit().stream(ad_hoc(wat.FILTER)).push()
    assert push.error_code.code == Code.SMART_MODULE_CHAIN_INIT_ERROR
    digest = sha256(wat.FILTER).hexdigest()
    assert text_of(push) == (
        f"no wasmtime to run WASM with: install txfluvio[wasm], or register a callable for {digest}"
    )
