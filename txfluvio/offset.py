"""Where reading starts or stops: :class:`Offset`, a value, and how it becomes a number.

Pure: a partition's ``start`` and ``end`` come from whoever asked its leader, the stored offset
from whoever looked it up. Nothing here knows how.
"""

from __future__ import annotations

import enum

import attrs

from .errors import InvalidConfig

_LARGEST = 2**63 - 1


class OffsetKind(enum.Enum):
    """What an :class:`Offset` counts from."""

    ABSOLUTE = "absolute"
    NEAREST = "nearest"
    FROM_BEGINNING = "from_beginning"
    FROM_END = "from_end"
    STORED = "stored"


@attrs.frozen(repr=False)
class Offset:
    """A place in a partition, absolute or relative; made by its class methods.

    ``Offset.beginning()`` means the beginning and ``Offset.end()`` the end, whether or not a
    consumer has stored offsets; only ``Offset.stored()`` resumes. (The official clients take both
    for "resume" once an offset is stored.)

    :ivar kind: what ``n`` counts from.
    :ivar n: records, counted forwards, or backwards with ``FROM_END``; 0 with ``STORED``.
    :ivar fallback: where to start if nothing is stored; None with the other kinds.
    """

    kind: OffsetKind
    n: int = 0
    fallback: Offset | None = None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.kind, OffsetKind):
            raise InvalidConfig("Offset.kind", self.kind, "an OffsetKind")
        name = f"Offset.{self.kind.value}"
        if type(self.n) is not int or not 0 <= self.n <= _LARGEST:
            raise InvalidConfig(name, self.n, "a whole number, 0 or more")
        if self.kind is not OffsetKind.STORED:
            if self.fallback is not None:
                raise InvalidConfig(f"{name} fallback", self.fallback, "None: only stored has one")
            return
        if self.n:
            raise InvalidConfig(name, self.n, "0: what is stored says where")
        if not isinstance(self.fallback, Offset) or self.fallback.kind is OffsetKind.STORED:
            raise InvalidConfig(f"{name} fallback", self.fallback, "an Offset other than stored")

    @classmethod
    def beginning(cls) -> Offset:
        """The oldest record there is."""
        return cls(OffsetKind.FROM_BEGINNING)

    @classmethod
    def end(cls) -> Offset:
        """After the newest record, as of the moment it is resolved.

        That is the high watermark: what all replicas have. An SPU tells no other end, so it is
        this one for readers of uncommitted records too. Where a topic has replicas, a record that
        was confirmed a moment ago may lie behind it: as a ``stop`` this leaves it out, and as a
        ``start`` it takes it in. What is produced with ``Isolation.READ_COMMITTED`` lies before.
        """
        return cls(OffsetKind.FROM_END)

    @classmethod
    def absolute(cls, n: int) -> Offset:
        """The record with offset ``n``.

        Not clamped: a place outside the log is an error, or a matter of the reset policy, when
        it is read.
        """
        return cls(OffsetKind.ABSOLUTE, n)

    @classmethod
    def nearest(cls, n: int) -> Offset:
        """The record with offset ``n``, or the end of the log that is nearest to it."""
        return cls(OffsetKind.NEAREST, n)

    @classmethod
    def from_beginning(cls, n: int) -> Offset:
        """``n`` records after the oldest, at most the end."""
        return cls(OffsetKind.FROM_BEGINNING, n)

    @classmethod
    def from_end(cls, n: int) -> Offset:
        """``n`` records before the end, at least the beginning; the end is that of :meth:`end`."""
        return cls(OffsetKind.FROM_END, n)

    @classmethod
    def stored(cls, fallback: Offset | None = None) -> Offset:
        """After the record whose offset was stored last for the consumer's id.

        Not clamped, as :meth:`absolute` is not: where retention has taken that place, records were
        missed, which is an error or a matter of the reset policy.

        :param fallback: where to start if nothing is stored; the beginning if not given.
        """
        return cls(OffsetKind.STORED, 0, cls.beginning() if fallback is None else fallback)

    def resolve(self, start: int, end: int, stored: int | None = None) -> int:
        """The offset of the first record to be read.

        :param start: the offset of the oldest record in the log.
        :param end: the offset after the newest record that may be read (the high watermark).
        :param stored: what is stored for the consumer, the offset of the last record it has
            processed; None if nothing is. Looked at by ``STORED`` only.
        :return: within ``start`` and ``end``. Two are taken as they are, wherever the log is:
            ``ABSOLUTE``, and ``STORED`` where something is stored. What lies before the log, the
            retention has taken; beyond ``end``, records may have been processed before they were
            replicated.
        """
        match self.kind:
            case OffsetKind.ABSOLUTE:
                return self.n
            case OffsetKind.NEAREST:
                return _clamp(self.n, start, end)
            case OffsetKind.FROM_BEGINNING:
                return _clamp(start + self.n, start, end)
            case OffsetKind.FROM_END:
                return _clamp(end - self.n, start, end)
            case OffsetKind.STORED if stored is not None:
                return _clamp(stored + 1, 0, _LARGEST)
        assert self.fallback is not None
        return self.fallback.resolve(start, end)

    def __repr__(self) -> str:
        if self.kind is OffsetKind.STORED:
            return f"Offset.stored(fallback={self.fallback!r})"
        if self.n == 0 and self.kind in (OffsetKind.FROM_BEGINNING, OffsetKind.FROM_END):
            return f"Offset.{self.kind.value.removeprefix('from_')}()"
        return f"Offset.{self.kind.value}({self.n})"


def _clamp(offset: int, start: int, end: int) -> int:
    return max(start, min(offset, end))
