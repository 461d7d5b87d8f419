"""Each floor of the house knows only the ones below it, by its imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import txfluvio

ROOT = Path(txfluvio.__file__).parent
PACKAGE = "txfluvio"

WORDS = frozenset(
    {
        "_callers",
        "_checks",
        "_numbers",
        "_sites",
        "_wording",
        "config",
        "errors",
        "interfaces",
        "metrics",
        "offset",
        "profile",
        "smartmodule",
        "transforms",
    }
)
"""What every floor may use."""

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"wire"}),
    frozenset({"transport"}),
    frozenset({"cluster"}),
    frozenset({"producer", "consumer", "admin"}),
    frozenset({"client", "prometheus"}),
    frozenset({"console"}),
    frozenset({"tap"}),
)

BESIDE_THE_FAKE = frozenset({"console", "tap"})
"""Shows or serves the fake cluster, and so stands on it as well."""

WITHOUT_TWISTED = (WORDS | {"wire"}) - {"_sites", "interfaces", "metrics"}

THE_FAKE_S_NETWORK = "txfluvio.transport.memory"
"""The one part of the client's floors that the fake cluster stands on, by its front door."""


MODULES_WITHOUT_TWISTED = (
    "txfluvio",
    "txfluvio.wire",
    "txfluvio.testing",
    "txfluvio.testing.process",
    "txfluvio.testing.pytest_plugin",
)

ON_TOP = (
    "txfluvio.testing.fuzz",
    "txfluvio.testing.pytest_plugin",
    "txfluvio.testing.simulation",
    "txfluvio.testing.soak",
    "txfluvio.testing.trial",
)
"""What drives both the client and the fake, and stands on everything."""

ROOMS_OF_THE_FAKE: tuple[frozenset[str], ...] = (
    frozenset({"given", "releases", "spu_names", "timers"}),
    frozenset({"conditions", "faults"}),
    frozenset({"server", "turns"}),
    frozenset({"sc"}),
    frozenset({"smartmodules", "spu"}),
    frozenset({"cluster", "looking", "snapshot", "storage"}),
    frozenset({"broker"}),
)
"""Within the fake cluster, from the ground up. What is in no room stands on top of it."""


@attrs.frozen
class Import:
    """One import: who, whom, and whether only for annotations."""

    importer: str
    imported: str
    for_annotations: bool

    @property
    def part(self) -> str:
        """The importer's part of the house: what follows the package's name."""
        return part_of(self.importer)


def part_of(module: str) -> str:
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def room_of(module: str) -> str:
    """Of the fake cluster's modules the room: what follows ``testing``, which is the front door."""
    names = module.split(".")
    return names[1:3][-1] if names[1:2] == ["testing"] else ""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        names = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(names).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports() -> list[Import]:
    found = []
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node, for_annotations in walk(tree, False):
            found += [Import(module, name, for_annotations) for name in names_in(node, package)]
    return found


def walk(node: ast.AST, for_annotations: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it stands below ``if TYPE_CHECKING``."""
    yield node, for_annotations
    for child in ast.iter_child_nodes(node):
        guarded = isinstance(node, ast.If) and child in node.body and is_guard(node.test)
        yield from walk(child, for_annotations or guarded)


def is_guard(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def names_in(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([node.module] if node.module else [])]) if node.level else ""
        base = base or str(node.module)
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            yield whole if whole in MODULES or not base.startswith(PACKAGE) else base


IMPORTS = imports()
OURS = [found for found in IMPORTS if found.imported.split(".")[0] == PACKAGE]


def floor_of(part: str) -> int | None:
    for number, parts in enumerate(FLOORS):
        if part in parts:
            return number
    return None


def test_the_walk_sees_what_is_there() -> None:
    seen = {(found.importer, found.imported) for found in IMPORTS}
    assert ("txfluvio.wire.spu", "txfluvio.wire.schema") in seen
    assert ("txfluvio.wire", "txfluvio.wire.sc") in seen
    assert ("txfluvio.wire.schema", "txfluvio.errors") in seen
    assert ("txfluvio.wire.records", "crc32c.crc32c") in seen
    guarded = Import("txfluvio.wire.cursor", "txfluvio.wire.sc", for_annotations=True)
    assert guarded in IMPORTS


def test_every_module_has_its_place() -> None:
    placed = WORDS | {"testing", ""}.union(*FLOORS)
    assert {part_of(module) for module in MODULES} <= placed


def test_the_floors_are_written_down() -> None:
    """For those who work on it: as rows of a table, and as a line of words."""
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE)
    told = {int(number): set(re.findall(r"txfluvio/(\w+)", where)) for number, where in rows}
    assert told == {number: set(parts) for number, parts in enumerate(FLOORS)}
    (line,) = re.findall(r"^(`config`.*?) are\s", text, re.MULTILINE | re.DOTALL)
    words = {part for part in WORDS if not part.startswith("_")}
    assert set(re.findall(r"`(\w+)`", line)) == words


def test_a_floor_knows_only_those_below_it() -> None:
    upward = []
    for found in OURS:
        number = floor_of(found.part)
        if number is None:
            continue
        allowed = WORDS | {found.part}.union(*FLOORS[:number])
        if found.part in BESIDE_THE_FAKE:
            allowed |= {"testing"}
        if part_of(found.imported) not in allowed:
            upward.append(found)
    assert upward == []


def test_wire_stands_on_the_errors_alone() -> None:
    needed = {part_of(found.imported) for found in OURS if found.part == "wire"}
    assert needed == {"wire", "errors"}


def test_the_words_know_no_floor() -> None:
    wrong = [
        found
        for found in OURS
        if found.part in WORDS
        and part_of(found.imported) not in WORDS
        and not (found.part == "interfaces" and found.for_annotations)
    ]
    assert wrong == []


def test_the_fake_cluster_does_not_stand_on_the_client() -> None:
    allowed = WORDS | {"wire", "testing"}
    wrong = [
        found
        for found in OURS
        if found.part == "testing"
        and part_of(found.imported) not in allowed
        and found.imported != THE_FAKE_S_NETWORK
        and not found.importer.startswith(ON_TOP)
    ]
    assert wrong == []


def test_a_room_of_the_fake_knows_only_those_below_it() -> None:
    upward = []
    for number, rooms in enumerate(ROOMS_OF_THE_FAKE):
        below = frozenset().union(*ROOMS_OF_THE_FAKE[:number])
        for found in OURS:
            room, other = room_of(found.importer), room_of(found.imported)
            if room in rooms and other not in below | {room, ""} and not found.for_annotations:
                upward += [] if {room, other} == {"smartmodules", "spu"} else [found]
    assert upward == []


def test_the_front_door_of_the_fake_is_in_no_room_below_it() -> None:
    """It leads to all of them, so that whoever imports it stands on top."""
    assert room_of("txfluvio.testing") not in frozenset({""}).union(*ROOMS_OF_THE_FAKE)


def test_the_sc_and_the_spus_of_the_fake_know_nothing_of_each_other() -> None:
    wrong = [
        found
        for found in OURS
        if {room_of(found.importer), room_of(found.imported)} == {"sc", "spu"}
    ]
    assert wrong == []


def test_the_fake_cluster_s_network_does_not_stand_on_the_client() -> None:
    needed = {
        found.imported
        for found in OURS
        if found.importer.startswith(THE_FAKE_S_NETWORK)
        and not found.imported.startswith(THE_FAKE_S_NETWORK)
    }
    assert {part_of(module) for module in needed} <= WORDS


def test_bytes_and_words_are_without_twisted() -> None:
    wrong = [
        found
        for found in IMPORTS
        if found.part in WITHOUT_TWISTED and found.imported.split(".")[0] in ("twisted", "zope")
    ]
    assert wrong == []


def test_only_commands_and_kits_take_the_global_reactor() -> None:
    takers = {found.importer for found in IMPORTS if found.imported == "twisted.internet.reactor"}
    wrong = [one for one in takers if part_of(one) != "tap" and not one.startswith(ON_TOP)]
    assert wrong == []


@pytest.mark.parametrize("module", MODULES_WITHOUT_TWISTED)
def test_importing_loads_no_twisted(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'twisted'))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "[]\n"
