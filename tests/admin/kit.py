"""Clients that administrate: of a fake cluster, and of an SC that does what the test says."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.client_kit import ClientCase
from tests.cluster.kit import Asked, ClusterCase
from tests.cluster.objects import changed, updated
from txfluvio.admin import (
    Admin,
)
from txfluvio.wire.sc import (
    PARTITION,
    TOPIC,
    Metadata,
)


class AdminCase(ClientCase):
    """Has a client that is connected."""

    SPUS = 2

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def connect(self) -> None:
        self.result(self.client.start())
        self.admin = self.client.admin

    def use_broker(self, **settings: Any) -> None:
        """Have another broker, with these settings, and a client of it."""
        self.result(self.client.close())
        self.result(self.broker.stop())
        self.start_broker(**settings)
        self.client = self.make_client()
        self.connect()


class ScriptedAdminCase(ClusterCase):
    """Has a started cluster, and an admin on it."""

    def setUp(self) -> None:
        super().setUp()
        self.watching = self.started(topics=(), partitions=())
        self.admin = Admin(self.cluster)

    def create(self, **options: Any) -> tuple[Deferred[None], Asked]:
        """Create the topic of two partitions; the request that came for it."""
        creating = self.admin.create_topic("orders", partitions=2, **options)
        self.advance()
        return creating, self.sc.one()

    def show(self, topic_: Metadata, *partitions: Metadata) -> None:
        """Let the metadata show a topic and partitions."""
        self.tell(self.watching, changed(TOPIC, *updated(topic_)))
        self.tell(self.watching, changed(PARTITION, *updated(*partitions)))
