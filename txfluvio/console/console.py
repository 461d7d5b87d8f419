"""A console without its web: a client of the cluster, what it knows, and what may be done.

:class:`Console` runs from :meth:`~Console.start` to :meth:`~Console.stop`; the resources of
:mod:`.web` are made over it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from ..client import FluvioClient
from ..cluster import ConnectionState
from ..config import ClientConfig, join_endpoint
from ..errors import ConnectFailed, FluvioError
from ..metrics import NoMetrics
from ..producer import RecordMetadata
from ..transport.dialer import Dialer
from ..wire.records import Record
from .fake import Fake
from .flows import Flow, Lags, Wanted, one_record
from .picture import Painter
from .sections import Fact, Section, Table
from .shown import Json

CLIENT_ID = "txfluvio-console"


class _Contact(NoMetrics):
    """Remembers why the SC can not be reached at present. SPUs come and go by what the SC tells.

    :ivar problem: empty: it can, for all we know.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._sc = join_endpoint(*config.address)
        self.problem = ""

    def connected(self, address: str) -> None:
        self._note(address, "")

    def disconnected(self, address: str, error: FluvioError) -> None:
        self._note(address, str(error))

    def failed(self, operation: str, error: FluvioError) -> None:
        if isinstance(error, ConnectFailed):
            self._note(error.address, str(error))

    def _note(self, address: str, problem: str) -> None:
        if address == self._sc:
            self.problem = problem


class Console:
    """Looks at a cluster.

    :param config: which cluster.
    :param writes: whether records may be produced.
    :param dialer: makes the connections; None: over TCP, and TLS where the configuration says so.
    :ivar fake: what there is to see of a fake cluster; None: it is a real one, for all we know.
    :ivar writes: whether records may be produced.
    """

    def __init__(
        self,
        reactor: Any,
        config: ClientConfig,
        *,
        writes: bool = False,
        dialer: Dialer | None = None,
        fake: Fake | None = None,
    ) -> None:
        self.fake = fake
        self.writes = writes
        self._clock: IReactorTime = reactor
        self._contact = _Contact(config)
        self._client = FluvioClient(reactor, config, dialer=dialer, metrics=self._contact)
        self._painter = Painter(self._client, self._clock)

    def start(self) -> None:
        """Begin to look, and go on trying for ever."""
        self._client.startService()
        self._painter.start()

    async def stop(self) -> None:
        """Look no more, and end every connection."""
        self._painter.stop()
        await self._client.close()

    def sections(self, view: str, topic: str, wanted: Wanted | None) -> list[Section]:
        """What a view shows.

        :param topic: the topic of the view that is about one.
        :param wanted: its records that are asked for.
        """
        picture = self._painter.picture
        found: list[Section] = [Fact("status", self._status)]
        match view:
            case "topics":
                found.append(Table("topics", picture.topic_rows))
            case "topic":
                found.append(Table("partitions", lambda: picture.partition_rows(topic)))
            case "spus":
                found.append(Table("spus", picture.spu_rows))
            case "consumers":
                found.append(Lags(self._client, picture, self._clock))
        if wanted is not None:
            found.append(Flow(self._client, wanted, self._clock))
        if self.fake is not None:
            found += self.fake.sections(view)
        return found

    async def record(self, topic: str, partition: int, offset: int) -> Record:
        """One record.

        :raises UsageError: there is none at this offset.
        """
        return await one_record(self._client, topic, partition, offset)

    async def produce(
        self, topic: str, value: bytes, key: bytes | None, partition: int | None
    ) -> RecordMetadata:
        """Store a record; says where."""
        async with self._client.producer(topic, linger=0) as producer:
            return await producer.send(value, key, partition=partition)

    def _status(self) -> Json:
        state = self._client.state
        away = state is not ConnectionState.CONNECTED and self._contact.problem
        problems = [self._contact.problem] if away else []
        return {
            "endpoint": self._client.config.endpoint,
            "state": state.value,
            "connected": state is ConnectionState.CONNECTED,
            "version": self._client.cluster_version,
            "problems": [*problems, *self._painter.problems.values()][:3],
            "fake": self.fake is not None,
            "writes": self.writes,
        }
