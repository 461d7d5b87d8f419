"""A client's cluster against servers that do what the test says, on a network in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txfluvio.cluster import Cluster
from txfluvio.config import ClientConfig, RetryPolicy
from txfluvio.testing.server.protocol import Connection, Incoming, Server
from txfluvio.transport.factory import connect
from txfluvio.transport.memory import MemoryNetwork
from txfluvio.transport.protocol import FluvioProtocol
from txfluvio.wire.sc import (
    PARTITION,
    SPU,
    TOPIC,
    Kind,
    Metadata,
    WatchRequest,
    WatchResponse,
)
from txfluvio.wire.schema import SC_APIS, SPU_APIS, Api, Message, Request
from txfluvio.wire.versions import ApiVersionRange, ApiVersionsRequest, ApiVersionsResponse

from .objects import everything, partition, spu, topic

SC = ("sc.test", 9003)
SPU_1 = ("spu.test", 9010)


@attrs.frozen(eq=False)
class Asked:
    """A request that came in, which the test answers or not."""

    message: Request[Any]
    connection: Connection
    _incoming: Incoming

    def reply(self, message: Message) -> None:
        self.connection.reply(message, self._incoming)


class Script:
    """A server that tells its versions and leaves the rest to the test.

    :ivar asked: what came in and was not looked at yet.
    :ivar mute: whether it does not even tell its versions.
    """

    def __init__(self, name: str, apis: dict[int, Api]) -> None:
        self._apis = apis
        self.asked: list[Asked] = []
        self.platform = "0.18.1"
        self.mute = False
        self.server = Server(name, self, count=itertools.count(1).__next__)

    def identified(self, connection: Connection) -> None:
        """Everybody is served."""

    def half_alive(self, connection: Connection, /) -> bool:
        return False

    def requested(self, request: Incoming, connection: Connection, /) -> None:
        api = self._apis[request.header.api_key]
        message = api.request.decode(request.payload, request.header.api_version, request.body)
        if isinstance(message, ApiVersionsRequest):
            if self.mute:
                return
            ranges = tuple(
                ApiVersionRange(
                    api_key=key, min_version=api.min_version, max_version=api.max_version
                )
                for key, api in self._apis.items()
            )
            reply = ApiVersionsResponse(api_keys=ranges, platform_version=self.platform)
            connection.reply(reply, request)
        else:
            self.asked.append(Asked(message, connection, request))

    def take(self, count: int = 1) -> list[Asked]:
        """The next requests, of which there are so many."""
        asked, self.asked = self.asked, []
        assert len(asked) == count, asked
        return asked

    def one(self) -> Asked:
        """The next request."""
        (asked,) = self.take()
        return asked


@attrs.frozen
class MemoryDialer:
    network: MemoryNetwork
    config: ClientConfig

    def dial(
        self, host: str, port: int, *, server_name: str | None = None
    ) -> Deferred[FluvioProtocol]:
        endpoint = self.network.endpoint(host, port)
        clock = self.network.clock
        return connect(endpoint, self.config, clock=clock, address=f"{host}:{port}")


class ClusterCase(SynchronousTestCase):
    """Has a cluster that is not started yet, and its servers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.sc = Script("SC", SC_APIS)
        self.spu = Script("SPU", SPU_APIS)
        self.sc_port = self.network.listen(*SC, self.sc.server)
        self.network.listen(*SPU_1, self.spu.server)
        self.use()

    def use(self, dialer: Callable[..., MemoryDialer] = MemoryDialer, **settings: Any) -> None:
        """Make the cluster anew, with these settings."""
        chosen: dict[str, Any] = {
            "endpoint": "sc.test:9003",
            "retry": RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0),
            "idle_probe": 10_000.0,
            **settings,
        }
        self.config = ClientConfig(**chosen)
        self.cluster = Cluster(
            self.config,
            dialer=dialer(self.network, self.config),
            clock=self.clock,
            rng=Random(1),
        )

    def advance(self, seconds: float = 0.0) -> None:
        """Let time go by, and everything happen that is due."""
        self.clock.advance(seconds)
        self.network.pump()

    def watches(self) -> dict[Kind, Asked]:
        """The three watches that the client has just opened, by kind."""
        asked = self.sc.take(3)
        by_kind = {a.message.kind: a for a in asked if isinstance(a.message, WatchRequest)}
        self.assertEqual(by_kind.keys(), {SPU, PARTITION, TOPIC})
        return by_kind

    def tell(self, watches: dict[Kind, Asked], *messages: WatchResponse) -> None:
        """Push messages of the watches."""
        for message in messages:
            watches[message.kind].reply(message)
        self.advance()

    def started(
        self,
        spus: tuple[Metadata, ...] = (spu(5001),),
        topics: tuple[Metadata, ...] = (topic("orders"),),
        partitions: tuple[Metadata, ...] = (partition("orders-0"),),
    ) -> dict[Kind, Asked]:
        """Start the cluster; the watches that keep its topology."""
        starting = self.cluster.start()
        self.advance()
        watches = self.watches()
        self.tell(
            watches,
            everything(SPU, *spus),
            everything(PARTITION, *partitions),
            everything(TOPIC, *topics),
        )
        self.successResultOf(starting)
        return watches

    def stopped(self) -> None:
        """Stop the cluster, and see that it leaves nothing behind."""
        stopping = self.cluster.stop()
        self.advance()
        self.successResultOf(stopping)
        self.assertEqual(self.network.links, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
