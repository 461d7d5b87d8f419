"""What the producer asks of the floors below, as types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from ..cluster.topology import Topology
from ..config import ClientConfig
from ..wire.schema import Message, Request

T = TypeVar("T")
R = TypeVar("R", bound=Message)


class Connection(Protocol):
    def request(self, message: Request[R], *, timeout: float | None = None) -> Deferred[R]: ...

    def when_writable(self) -> Deferred[None]: ...

    def abort(self) -> None: ...


class Cluster(Protocol):
    @property
    def config(self) -> ClientConfig: ...

    @property
    def topology(self) -> Topology: ...

    def subscribe(self, on_change: Callable[[Topology], None]) -> Callable[[], None]: ...

    def wait_for(
        self,
        condition: Callable[[Topology], T | None],
        *,
        missing: str,
        timeout: float | None = None,
    ) -> Deferred[T]: ...

    def produce_connection(self, spu_id: int, *, committed: bool = False) -> Deferred[Any]: ...
