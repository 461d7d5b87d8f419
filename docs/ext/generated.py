"""Pages that are made from the code: the reference of all public names, the wire, the errors.

A Sphinx extension. It writes the pages into ``generated`` beside the others before anything is
read, so they can not be older than the code they tell of. What is public is what a module lists in
``__all__``, or else what it defines without an underscore in front.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import attrs
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from zope.interface.interface import InterfaceClass, Method

from txfluvio import errors
from txfluvio.wire import SC_APIS, SPU_APIS, codes, sc, schema
from txfluvio.wire.schema import Api, Message

PAGES = {
    "client": (
        "The client",
        [
            "txfluvio.client",
            "txfluvio.producer",
            "txfluvio.consumer",
            "txfluvio.cluster:ConnectionState",
        ],
    ),
    "admin": ("Administration", ["txfluvio.admin"]),
    "settings": (
        "Settings and values",
        [
            "txfluvio.config",
            "txfluvio.offset",
            "txfluvio.profile",
            "txfluvio.smartmodule",
            "txfluvio.transforms",
        ],
    ),
    "interfaces": ("Interfaces", ["txfluvio.interfaces"]),
    "metrics": ("Metrics", ["txfluvio.metrics", "txfluvio.prometheus"]),
    "testing": ("Testing", []),
    "kits": (
        "Kits for tests",
        [
            "txfluvio.testing.process",
            "txfluvio.testing.pytest_plugin",
            "txfluvio.testing.trial",
            "txfluvio.testing.simulation",
            "txfluvio.testing.smartmodules",
        ],
    ),
    "transport": (
        "Connections and the network in memory",
        ["txfluvio.transport.dialer", "txfluvio.transport.memory"],
    ),
    "wire": ("The wire protocol in Python", ["txfluvio.wire"]),
}
"""The pages of the reference: a title, and the modules on it, or names of modules."""

TESTING = "txfluvio.testing"
OWN_LAYOUTS = {
    "ErrorCodeType": "``i16``, and for some codes what follows (below)",
    "ByKind": "as the kind has it (below)",
    "Created": "as the kind has it (below); up to version 10 behind a ``u8`` that says the kind",
    "TextInBody": "a ``u32``, the size of what follows, and a ``string`` in that",
    "CustomSpuKeyType": "``string`` ``Name`` and a ``string``, or ``string`` ``Id`` and an ``i32``",
}
"""In words, the types that are written by hand."""

NUMBERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
OTHERS = ("boolean", "string", "semver", "blob", "varint", "var_bytes", "record_set")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write all of them anew."""
    folder = Path(app.srcdir) / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    pages = {**dict(reference()), "errors": errors_page(), "messages": messages_page()}
    pages["differences"] = from_markdown((Path(app.srcdir).parent / "DIFFERENCES.md").read_text())
    for name, lines in pages.items():
        (folder / f"{name}.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


# The reference


def reference() -> Iterator[tuple[str, list[str]]]:
    """The pages of the reference."""
    for page, (title, modules) in PAGES.items():
        lines = heading(title, "=")
        for name in modules or testing_modules():
            lines += module_section(name)
        yield page, lines


def testing_modules() -> list[str]:
    """The public modules of the fake that have public names of the front door."""
    package = import_module(TESTING)
    return sorted({f"{TESTING}.{home}" for home in package._HOME.values()})


def module_section(name: str) -> list[str]:
    """A module: what it says of itself, and its public names; or one name of a module."""
    name, _, only = name.partition(":")
    if only:
        return [*heading(only, "-"), f".. autoclass:: {name}.{only}", "   :members:", ""]
    module = import_module(name)
    lines = heading(name, "-")
    lines += [f".. automodule:: {name}", "   :no-members:", "   :no-index:", ""]
    told = defined(module)
    for public in public_names(module):
        found = getattr(module, public)
        if isinstance(found, InterfaceClass):
            lines += interface_section(public, found)
        elif inspect.isclass(found):
            lines += [f".. autoclass:: {name}.{public}", *options(found), ""]
        elif inspect.isfunction(found):
            lines += [f".. autofunction:: {name}.{public}", ""]
        elif hasattr(found, "__wrapped__"):
            # A fixture of pytest, which autodoc takes for a value.
            lines += [f".. py:data:: {public}", "", *indented(inspect.getdoc(found)), ""]
        elif inspect.ismodule(found):
            continue
        elif not told.get(public):
            lines += [f".. py:data:: {public}", "", *indented(said_at_home(module, public)), ""]
        else:
            lines += [f".. autodata:: {name}.{public}", "   :no-value:", ""]
    return lines


def options(found: type) -> list[str]:
    """What of a class is shown."""
    lines = ["   :members:"]
    if issubclass(found, BaseException):
        lines += ["   :show-inheritance:"]
    return lines


def public_names(module: ModuleType) -> list[str]:
    """What a module offers, in the order it says, or else in that of its source."""
    listed = getattr(module, "__all__", None)
    return list(listed) if listed is not None else list(defined(module))


def defined(module: ModuleType) -> dict[str, bool]:
    """What a module itself defines without an underscore in front, and whether it is a value that
    is told of in the line below it."""
    found = {}
    body = ast.parse(inspect.getsource(module)).body
    for statement, below in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                continue
        told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        found.update(dict.fromkeys(names, told))
    return {
        name: told
        for name, told in found.items()
        if not name.startswith("_") and not isinstance(getattr(module, name), TypeVar)
    }


def said_at_home(module: ModuleType, value: str) -> str:
    """What is said of a value in the module that a front door has it from."""
    for statement in ast.parse(inspect.getsource(module)).body:
        if not isinstance(statement, ast.ImportFrom) or not statement.level:
            continue
        if value in [alias.name for alias in statement.names]:
            home = resolve_name("." * statement.level + (statement.module or ""), module.__name__)
            said = ModuleAnalyzer.for_module(home).find_attr_docs()
            return "\n".join(said.get(("", value), ()))
    return ""


def interface_section(name: str, interface: InterfaceClass) -> list[str]:
    """An interface, which autodoc takes for a value."""
    lines = [f".. py:class:: {name}", "", *indented(interface.__doc__), ""]
    for member, described in interface.namesAndDescriptions():
        if isinstance(described, Method):
            lines += [f"   .. py:method:: {member}{described.getSignatureString()}", ""]
        else:
            lines += [f"   .. py:attribute:: {member}", ""]
        lines += [f"   {line}" for line in indented(described.__doc__)]
        lines += [""]
    return lines


# Errors


def errors_page() -> list[str]:
    """A table of all errors."""
    lines = heading("Errors", "=")
    lines += [
        "Every error of the library is a :class:`~txfluvio.errors.FluvioError`. What may be tried",
        "again is its attribute ``retriable``; what it has done is its attribute ``effect``,",
        "unless the one that was raised knows better. This table is made from the classes.",
        "",
    ]
    rows = [("Error", "Below", "Code", "Try again", "Effect", "Says")]
    for found in error_classes():
        code = getattr(found, "code", -1)
        effect, retriable = _by_class(found, "effect"), _by_class(found, "retriable")
        rows.append(
            (
                f":class:`~txfluvio.errors.{found.__name__}`",
                found.__bases__[0].__name__,
                str(code) if isinstance(code, int) and code >= 0 else "",
                "it says" if retriable is None else "yes" if retriable else "no",
                "it says" if effect is None else effect.value,
                (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " "),
            )
        )
    lines += table(rows, "20 14 6 8 14 38")
    lines += [*module_section("txfluvio.errors")]
    return lines


def _by_class(found: type[errors.FluvioError], name: str) -> Any:
    """What all errors of the class have; None where each has its own."""
    field = attrs.fields_dict(found).get(name) if attrs.has(found) else None
    if field is None:
        return getattr(found, name)
    return None if field.default is attrs.NOTHING else field.default


def error_classes() -> list[type[errors.FluvioError]]:
    """All of them, in the order of the source."""
    return [
        found
        for found in vars(errors).values()
        if inspect.isclass(found) and issubclass(found, errors.FluvioError)
    ]


# The wire


def messages_page() -> list[str]:
    """Every message as a table, from the declarations that encode and decode it."""
    lines = heading("The messages, field by field", "=")
    lines += [
        "Made from the declarations that the library encodes and decodes with. Integers are",
        "big-endian. *Since* and *until* are versions of the call, inclusive, and *Versions* those",
        "that a client here speaks.",
        "",
        "Create, Delete, List, Watch and Update at an SC begin with the label of the kind (a",
        "``string``), and the length of what follows (a ``u32``). Up to version 10 the length is",
        "missing, except in Update, and Create has no label either.",
        "",
    ]
    apis = sorted({**by_name(SC_APIS), **by_name(SPU_APIS)}.values(), key=lambda a: a.name)
    lines += table(
        [
            ("Call", "Key", "Server", "Versions", "Replies"),
            *(
                (
                    api.name,
                    str(api.key),
                    api.server or "both",
                    f"{api.min_version} to {api.max_version}",
                    "many" if api.streams else "one",
                )
                for api in apis
            ),
        ],
        "30 10 15 20 15",
    )
    seen: dict[type, None] = {}
    for api in apis:
        lines += heading(f"{api.name} ({api.server or 'both'}, key {api.key})", "-")
        for message in (api.request, api.reply):
            lines += message_section(message, seen)
    lines += heading("Kinds of objects", "-")
    for kind in sc.KINDS.values():
        lines += heading(kind.label, "^")
        parts = [("Key", kind.key), ("Spec", kind.spec), ("Status", kind.status)]
        if kind.action is not None:
            parts.append(("Action of an update", kind.action))
        inside: list[type] = []
        rows: list[tuple[str, ...]] = [("Part", "Type")]
        for what, type_ in parts:
            name, more = type_name(type_)
            inside += more
            rows.append((what, name))
        lines += table(rows, "30 70")
        for each in inside:
            if each not in seen:
                lines += message_section(each, seen)
    lines += heading("Error codes", "-")
    details = dict(codes.details())
    rows = [("Code", "Name", "What follows it")]
    for code in codes.Code:
        detail = details.get(code.value)
        rows.append((str(code.value), code.name, "" if detail is None else detail.__name__))
    lines += table(rows, "15 50 35")
    for detail in dict.fromkeys(details.values()):
        lines += message_section(detail, seen)
    return lines


def by_name(apis: dict[int, Api]) -> dict[str, Api]:
    return {api.name: api for api in apis.values()}


def message_section(message: type[Message], seen: dict[type, None]) -> list[str]:
    """A message and every structure in it that was not shown before."""
    waiting: list[type] = [message]
    lines: list[str] = []
    while waiting:
        found = waiting.pop(0)
        if found in seen:
            if found is message:
                lines += [f"**{found.__name__}**: see above.", ""]
            continue
        seen[found] = None
        lines += [f"**{found.__name__}**", "", *indented(inspect.getdoc(found), 0), ""]
        layout = found.__wire__  # type: ignore[attr-defined]
        if not isinstance(layout, schema.StructType):
            lines += ["In an envelope: the kind's label as ``string``, the body's length as"]
            lines += ["``u32``. The body has these fields:", ""]
            layout = layout._inner
        fields = layout.fields
        rows = [("Field", "Type", "Since", "Until")]
        for each in fields:
            if type(each.type).__name__ == "_KindType":
                continue
            name, inside = type_name(each.type)
            waiting += inside
            until = "" if each.until is None else str(each.until)
            rows.append((f"``{each.name}``", name, str(each.since) if each.since else "", until))
        lines += table(rows, "35 45 10 10") if len(rows) > 1 else ["No fields.", ""]
    return lines


def type_name(type_: Any) -> tuple[str, list[type]]:
    """A wire type in words, and the structures it is made of."""
    for name in (*NUMBERS, *OTHERS):
        if type_ is getattr(schema, name, None):
            return f"``{name}``", []
    match type(type_).__name__.strip("_"):
        case "StructType":
            return type_._cls.__name__, [type_._cls]
        case "Optional":
            return _composed("optional", type_._inner)
        case "Vector":
            return _composed("list of", type_._element)
        case "Map":
            key, inside = type_name(type_._key)
            value, more = type_name(type_._value)
            return f"map from {key} to {value}", inside + more
        case "Enumeration":
            members = ", ".join(f"{each.value} {each.name}" for each in type_._cls)
            return f"``u8``, a {type_._cls.__name__}: {members}", []
        case "Tagged":
            names = ", ".join(f"{tag} {name}" for tag, name in type_._names.items())
            inside = [each._cls for each in type_._variants.values()]
            return f"``u8`` and what it says: {names}", inside
        case other:
            # A type by hand that has no words is a mistake here, and not something to print.
            return OWN_LAYOUTS[other], []


def _composed(what: str, inner: Any) -> tuple[str, list[type]]:
    name, inside = type_name(inner)
    return f"{what} {name}", inside


# reStructuredText


def from_markdown(text: str) -> list[str]:
    """What little of Markdown our files use: headings, and code between backticks."""
    lines: list[str] = []
    for line in text.splitlines():
        marks, _, title = line.partition(" ")
        if title and set(marks) == {"#"}:
            lines += heading(title, "=-^"[len(marks) - 1])
        else:
            lines.append(re.sub(r"`([^`]+)`", r"``\1``", line))
    return lines


def heading(text: str, line: str) -> list[str]:
    """A heading."""
    return [text, line * len(text), ""]


def indented(text: str | None, by: int = 3) -> list[str]:
    """A docstring as lines below something."""
    return [" " * by + line if line else "" for line in inspect.cleandoc(text or "").splitlines()]


def table(rows: list[tuple[str, ...]], widths: str) -> list[str]:
    """A table whose first row is its head."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in rows:
        for index, cell in enumerate(row):
            lines.append(f"   {'*' if index == 0 else ' '} - {cell}".rstrip())
    return [*lines, ""]
