"""SmartModules to run on the cluster: :class:`SmartModuleInvocation`, a value.

A SmartModule is WebAssembly that filters or changes records inside the SPU. A chain of them is a
list of invocations, run in that order; ``ConsumerConfig.smartmodules`` runs one over what is read,
``ProducerConfig.smartmodules`` over what is written. How an invocation goes over the wire is known
elsewhere; creating and deleting SmartModules is :class:`~txfluvio.admin.Admin`'s business.

What to know about the platform when reading through SmartModules:

- The SPU tells how far it has come, not what offset a record has: ``record.offset`` is None. The
  position moves, and is stored, by whole pushes; a consumer that resumes in the middle of one gets
  all of it again.
- A start inside a batch begins with the whole batch, and a stop ends with the push that reaches
  it: records from outside these limits may come too.
- Output above ``ConsumerConfig.max_bytes`` of the first batch that yields any is left out without
  a word, and everything up to the end of the log with it. It is large by default; keep it so.
- A batch whose output finds no room in a push is run again for the next one: a module that
  remembers, such as an aggregate, counts it twice.
- A stream that is opened anew, after a lost connection or for a new leader, starts its modules
  anew: an aggregate begins with its accumulator again. :class:`Lookback` is there for that.
- Where a whole segment of the log yields nothing, records in later segments that would pass are
  left out without a word, until the stream is opened anew.
- While nothing passes nothing comes, not even how far the SPU has come. With a ``stop``,
  ``ConsumerConfig.quiet_time`` decides when that means the end.
- So nobody can tell such a stream from one that is broken. Where a partition's leader changes and
  changes back while the client has no connection to the SC to hear of it, the old stream stays
  silent; without SmartModules that is found out within three times ``ClientConfig.idle_probe``.
  ``Consumer.seek`` to the position opens it anew.
"""

from __future__ import annotations

import enum
import gzip
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ._checks import LONGEST_TEXT, Must, is_number, is_text, member, or_none, whole
from .errors import InvalidConfig

_MOST = 2**63 - 1
"""Records, or milliseconds, above which an SPU refuses to look back."""

_GZIP = b"\x1f\x8b"


class SmartModuleKind(enum.Enum):
    """What a SmartModule does to records."""

    GENERIC = "generic"
    """Whatever its code does."""
    FILTER = "filter"
    """It keeps records or drops them."""
    MAP = "map"
    """It makes one record of each."""
    FILTER_MAP = "filter-map"
    """It makes one record of each, or none."""
    ARRAY_MAP = "array-map"
    """It makes any number of records of each."""
    AGGREGATE = "aggregate"
    """It folds records into an accumulator, and yields that for each."""


@attrs.frozen(kw_only=True)
class Lookback:
    """Records that a module is shown before it starts, so that it knows what was there before.

    With an ``age`` and no ``last``, all that are young enough.

    :ivar last: how many of the newest records.
    :ivar age: seconds; only records that are not older. None: of any age.
    """

    last: int = attrs.field(default=0, validator=whole(0, _MOST, "a number of records"))
    age: float | None = attrs.field(
        default=None,
        validator=or_none(
            Must(
                "seconds, from 0 to what an SPU counts in milliseconds",
                lambda value: is_number(value) and 0 <= value <= _MOST // 1000,
            )
        ),
    )


def _as_params(given: Any) -> Any:
    return MappingProxyType(dict(given)) if isinstance(given, Mapping) else given


def _are_params(given: Any) -> bool:
    texts = isinstance(given, Mapping) and all(map(is_text, (*given.keys(), *given.values())))
    return texts and len(given) < 2**16


def gzipped(wasm: Any) -> Any:
    """The bytes of a module as an SPU takes them: compressed with gzip, if they are not yet."""
    if isinstance(wasm, bytes) and wasm and not wasm.startswith(_GZIP):
        return gzip.compress(wasm, mtime=0)
    return wasm


def read_wasm(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a module's file.

    :raises InvalidConfig: it can not be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        # A ValueError is about the name.
        expected = f"a file that can be read ({getattr(error, 'strerror', error)})"
        raise InvalidConfig("SmartModule file", os.fspath(path), expected) from error


@attrs.frozen
class SmartModuleInvocation:
    """One SmartModule of a chain, and how it is to be run.

    ``SmartModuleInvocation("only-errors")`` runs the one that the cluster knows by this name;
    :meth:`from_file` sends one along, and so does ``SmartModuleInvocation("mine", wasm=...)``.

    :ivar name: the module's name on the cluster: ``name``, ``group/name`` or
        ``group/name@version``. Where the module is sent along, a name for logs and errors.
    :ivar wasm: a module to send along, WebAssembly; kept compressed with gzip, which it may be
        already. None: the cluster's module of this name.
    :ivar params: parameters by name, for the module's ``init``.
    :ivar accumulator: what an aggregate starts from; None: nothing.
    :ivar lookback: what the module is shown before it starts; None: nothing.
    :ivar kind: what the module does. An SPU finds that out from the module and believes nothing
        else, so there is hardly a reason to set it.
    """

    name: str = attrs.field(
        validator=Must(
            f"a text of at most {LONGEST_TEXT} bytes, not empty",
            lambda value: is_text(value) and value != "",
        ),
    )
    wasm: bytes | None = attrs.field(
        default=None,
        converter=gzipped,
        validator=or_none(
            Must("the bytes of a module", lambda value: isinstance(value, bytes) and value != b"")
        ),
        repr=False,
        kw_only=True,
    )
    params: Mapping[str, str] = attrs.field(
        factory=dict,
        converter=_as_params,
        validator=Must(f"texts by name, each of at most {LONGEST_TEXT} bytes", _are_params),
        hash=False,
        kw_only=True,
    )
    accumulator: bytes | None = attrs.field(
        default=None,
        validator=or_none(Must("bytes", lambda value: isinstance(value, bytes))),
        repr=False,
        kw_only=True,
    )
    lookback: Lookback | None = attrs.field(
        default=None,
        validator=or_none(Must("a Lookback", lambda value: isinstance(value, Lookback))),
        kw_only=True,
    )
    kind: SmartModuleKind = attrs.field(
        default=SmartModuleKind.GENERIC, validator=member(SmartModuleKind), kw_only=True
    )

    def __attrs_post_init__(self) -> None:
        folds = (SmartModuleKind.GENERIC, SmartModuleKind.AGGREGATE)
        if self.accumulator is not None and self.kind not in folds:
            raise InvalidConfig(
                "SmartModuleInvocation.accumulator",
                self.accumulator,
                f"None, since a {self.kind.value} has none",
            )

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        params: Mapping[str, str] | None = None,
        accumulator: bytes | None = None,
        lookback: Lookback | None = None,
        kind: SmartModuleKind = SmartModuleKind.GENERIC,
    ) -> SmartModuleInvocation:
        """Send along the module in a file, which is read now.

        :param name: None: the file's.
        :raises InvalidConfig: the file can not be read, or a value is wrong.
        """
        return cls(
            os.path.basename(path) if name is None else name,
            wasm=read_wasm(path),
            params={} if params is None else params,
            accumulator=accumulator,
            lookback=lookback,
            kind=kind,
        )
