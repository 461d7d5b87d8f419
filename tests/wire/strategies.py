"""Values of every message, made from the same declarations that read and write them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from txfluvio.wire import codes, sc, schema, types
from txfluvio.wire.codes import ErrorCode
from txfluvio.wire.records import RecordSet
from txfluvio.wire.schema import Message, StructType

_INTEGERS = {
    schema.i8: st.integers(-(2**7), 2**7 - 1),
    schema.i16: st.integers(-(2**15), 2**15 - 1),
    schema.i32: st.integers(-(2**31), 2**31 - 1),
    schema.i64: st.integers(-(2**63), 2**63 - 1),
    schema.u8: st.integers(0, 2**8 - 1),
    schema.u16: st.integers(0, 2**16 - 1),
    schema.u32: st.integers(0, 2**32 - 1),
    schema.u64: st.integers(0, 2**64 - 1),
}
_TEXT = st.text(max_size=6)
_VERSIONS = st.sampled_from(["0.1.0", "1.2.3-x.4+y"])
_BLOB = st.binary(max_size=6)
_SOME = 2
_made: dict[Any, st.SearchStrategy[Any]] = {}


def error_codes(version: int) -> st.SearchStrategy[ErrorCode]:
    """Success, the codes that carry something, and any number that carries nothing."""
    detailed = [
        st.builds(ErrorCode, st.just(int(code)), of(schema.wire_type(detail), version))
        for code, detail in codes.details().items()
    ]
    bare = _INTEGERS[schema.i16].filter(lambda code: code not in codes.details())
    return st.one_of(st.just(codes.NO_ERROR), bare.map(ErrorCode), *detailed)


def of(type_: Any, version: int, kind: sc.Kind | None = None) -> st.SearchStrategy[Any]:
    """Values of one wire type, as ``version`` has them, inside an envelope of ``kind``."""
    key = (type_, version, kind)
    if key not in _made:
        _made[key] = _make(type_, version, kind)
    return _made[key]


def _make(type_: Any, version: int, kind: sc.Kind | None) -> st.SearchStrategy[Any]:
    match type_:
        case types.Number():
            return _INTEGERS[type_]
        case types.Bool():
            return st.booleans()
        case types.String():
            return _TEXT
        case types.Semver():
            return _VERSIONS
        case types.Bytes() | types.VarBytes():
            return _BLOB
        case types.RecordSetType():
            return st.binary(max_size=60).map(RecordSet)
        case schema._Optional():
            return st.none() | of(type_._inner, version, kind)
        case schema._Vector():
            return st.lists(of(type_._element, version, kind), max_size=_SOME).map(tuple)
        case schema._Map():
            return st.dictionaries(
                of(type_._key, version, kind), of(type_._value, version, kind), max_size=_SOME
            )
        case schema._Enumeration():
            return st.sampled_from(type_._cls)
        case schema._Tagged():
            return st.one_of([of(variant, version, kind) for variant in type_._variants.values()])
        case schema.StructType():
            return struct(type_, version, kind)
        case codes._ErrorCodeType():
            return error_codes(version)
        case sc._CustomSpuKeyType():
            return _TEXT | _INTEGERS[schema.i32]
        case sc._ByKind():
            return of(type_._type(kind), version, kind)
        case sc._TextInBody():
            return _TEXT
        case sc._KindType():
            return st.just(kind)
    raise AssertionError(f"no values are known for {type_!r}")


def struct(type_: StructType, version: int, kind: sc.Kind | None) -> st.SearchStrategy[Any]:
    """Values of a declared class; fields that ``version`` lacks keep their defaults."""
    fields = {name: of(inner, version, kind) for name, inner in type_.fields_at(version)}
    return st.builds(type_._cls, **fields)


def kinds_of(message: type[Message], version: int) -> list[sc.Kind | None]:
    """The kinds of object that a message can be about; ``[None]`` for one without an envelope."""
    envelope = message.__wire__
    if not isinstance(envelope, sc._Envelope):
        return [None]
    if message is sc.CreateRequest and version <= sc.LAST_CLASSIC:
        return list(sc.CLASSIC_KINDS.values())
    kinds = [kind for kind in sc.KINDS.values() if not envelope._with_action or kind.action]
    return list(kinds)


def messages(message: type[Message], version: int) -> st.SearchStrategy[Any]:
    """Values of a whole message."""
    envelope: Any = message.__wire__
    type_ = envelope._inner if isinstance(envelope, sc._Envelope) else envelope
    return st.one_of([struct(type_, version, kind) for kind in kinds_of(message, version)])
