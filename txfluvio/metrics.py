"""What a client tells of itself while it works: the facts as a value, and who is told nothing.

Vocabulary for all floors. :class:`~txfluvio.interfaces.IMetrics` is the seam; :data:`NOTHING`
stands there unless a client is given something else, such as
:class:`txfluvio.prometheus.PrometheusMetrics`. Everything is told by batch, by request or by
connection, never by record, so that whoever is told nothing pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from ._checks import Must
from .errors import KNOWN_CODES, BrokerError, FluvioError
from .interfaces import IMetrics


@attrs.frozen(kw_only=True)
class ClientFacts:
    """How things stand with a client, at one moment.

    :ivar connections: how many it has.
    :ivar in_flight: requests that wait for their reply, streams not counted.
    :ivar buffered: bytes of records that producers have taken in and that have no outcome yet.
    :ivar held: bytes that count against the ``buffer_memory`` of consumers: what was received and
        not handed out, and what is on its way or may be asked for.
    :ivar lag: by topic and partition, how many offsets there are from what was handed out last to
        the high watermark, as of the last reply. Of several consumers of a partition, the one that
        is farthest behind.
    """

    connections: int
    in_flight: int
    buffered: int
    held: int
    lag: Mapping[tuple[str, int], int]


def error_code(error: FluvioError) -> str:
    """A short name for a kind of error: the code, if a server gave one, or else its class.

    It is ``"unknown"`` for all codes that this version does not know, so that no server can make
    many names.
    """
    if not isinstance(error, BrokerError):
        return type(error).__name__
    return str(error.code) if error.code in KNOWN_CODES else "unknown"


def _is_told(value: object) -> bool:
    """Whether it has all the methods; a class is not what is made of it."""
    has_all = all(callable(getattr(value, name, None)) for name in IMetrics)
    return has_all and not isinstance(value, type)


is_metrics = Must("an IMetrics", _is_told)
"""The check of an argument that is to be told."""


@implementer(IMetrics)
class NoMetrics:
    """Does nothing with what it is told; see :class:`~txfluvio.interfaces.IMetrics`."""

    def attach(self, facts: Callable[[], ClientFacts]) -> None:
        """A client was made."""

    def connected(self, address: str) -> None:
        """A connection can be used."""

    def disconnected(self, address: str, error: FluvioError) -> None:
        """A connection was lost."""

    def answered(self, api: str, seconds: float) -> None:
        """A request got its reply."""

    def produced(self, topic: str, partition: int, records: int, size: int, seconds: float) -> None:
        """A batch was stored."""

    def received(self, topic: str, partition: int, size: int) -> None:
        """Records came in."""

    def consumed(self, topic: str, partition: int, records: int) -> None:
        """Records were handed out."""

    def failed(self, operation: str, error: FluvioError) -> None:
        """Something went wrong."""


NOTHING = NoMetrics()
"""Does nothing with what it is told."""


@implementer(IMetrics)
class SeveralMetrics:
    """Tells several what one is told.

    What one of them raises is logged, and concerns neither the others nor the client, which is in
    the middle of things. A client tells by way of this also where there is one.

    :param each: those to tell, each an :class:`~txfluvio.interfaces.IMetrics`.
    :raises InvalidConfig: one is something else.
    """

    _log = Logger()

    def __init__(self, *each: Any) -> None:
        for one in each:
            is_metrics.check("SeveralMetrics.each", one)
        self._each: tuple[IMetrics, ...] = each

    def attach(self, facts: Callable[[], ClientFacts]) -> None:
        """A client was made; what one of them raises is raised."""
        for one in self._each:
            one.attach(facts)

    def connected(self, address: str) -> None:
        """A connection can be used."""
        self._tell("connected", address)

    def disconnected(self, address: str, error: FluvioError) -> None:
        """A connection was lost."""
        self._tell("disconnected", address, error)

    def answered(self, api: str, seconds: float) -> None:
        """A request got its reply."""
        self._tell("answered", api, seconds)

    def produced(self, topic: str, partition: int, records: int, size: int, seconds: float) -> None:
        """A batch was stored."""
        self._tell("produced", topic, partition, records, size, seconds)

    def received(self, topic: str, partition: int, size: int) -> None:
        """Records came in."""
        self._tell("received", topic, partition, size)

    def consumed(self, topic: str, partition: int, records: int) -> None:
        """Records were handed out."""
        self._tell("consumed", topic, partition, records)

    def failed(self, operation: str, error: FluvioError) -> None:
        """Something went wrong."""
        self._tell("failed", operation, error)

    def _tell(self, what: str, *facts: object) -> None:
        for one in self._each:
            try:
                getattr(one, what)(*facts)
            except Exception:
                self._log.failure("{one!r} failed at {what}()", one=one, what=what)
