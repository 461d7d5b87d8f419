"""What users may implement or replace: the seams of the client, as zope interfaces.

Vocabulary for all floors, without any implementation. ``verifyObject(IPartitioner, mine)`` says
whether an object of one's own fits. What each call means in all its cases stands with the class
that this library has for it.

A type checker does not know that a class implements a zope interface; mypy does with the plugin of
``mypy-zope``. Therefore parameters that take such an object are ``Any``, and are checked when they
are given; only a program with annotations such as ``client: IFluvioClient`` needs the plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from types import TracebackType

    from twisted.application.service import IService
    from twisted.internet.defer import Deferred

    from .admin import (
        Deduplication,
        PartitionDescription,
        SpuDescription,
        StoredOffset,
        TopicDescription,
    )
    from .config import ConsumerConfig, ProducerConfig
    from .consumer import Handler, LogEnds, Partitions
    from .errors import FluvioError
    from .metrics import ClientFacts
    from .offset import Offset
    from .producer import RecordMetadata
    from .wire.records import Record


class IPartitioner(Interface):
    """Chooses the partition of every record that was not given one by ``send(partition=...)``."""

    def choose(key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]) -> int:
        """The partition for one record.

        It is called once for each record, in the order of sending; with what it raises the Deferred
        of that call fails.

        :param key: ``None`` for a record without; an empty key is a key.
        :param partition_count: the topic's partitions as of now, numbered from 0; at least 1.
        :param online: those that have an online leader as of now, ascending; perhaps none.
        :returns: a number below ``partition_count``.
        """


class IOffsetStore(Interface):
    """Keeps how far consumers have come, somewhere else than on the cluster.

    Given to a consumer as ``ConsumerConfig.offset_store``. What its Deferreds fail with is raised
    by the call that wanted it: the consumer's start, a commit, a flush, or closing it.
    """

    def load(consumer_id: str) -> Deferred[Mapping[tuple[str, int], int]]:
        """What is stored for a consumer: by topic and partition, the offset of the last record it
        has processed. Reading goes on at the next one."""

    def store(consumer_id: str, topic: str, partition: int, offset: int) -> Deferred[None]:
        """Keep the offset of the last record that was processed; fires when it is safe.

        One call at a time is under way for a partition, always with the newest offset.
        """


class IMetrics(Interface):
    """Is told what a client does; given to it as ``FluvioClient(..., metrics=...)``.

    It is called by batch, by request and by connection, in the reactor's thread and in the middle
    of things: it has to be quick, and may not call the client, ``facts`` excepted. What it raises
    is logged and goes no further, except by ``attach``.
    """

    def attach(facts: Callable[[], ClientFacts]) -> None:
        """A client was made with it; ``facts()`` tells at any time how things stand there."""

    def connected(address: str) -> None:
        """A connection to ``"host:port"`` can be used."""

    def disconnected(address: str, error: FluvioError) -> None:
        """A connection was lost: the client did not end it. The error says why."""

    def answered(api: str, seconds: float) -> None:
        """A request got its reply, ``seconds`` after it was sent. Streams are not counted.

        :param api: the name of the request's kind, such as ``"Produce"``.
        """

    def produced(topic: str, partition: int, records: int, size: int, seconds: float) -> None:
        """A batch was stored.

        :param size: bytes of the batch with its header, before compression.
        :param seconds: since its first record was taken in.
        """

    def received(topic: str, partition: int, size: int) -> None:
        """A reply has brought so many bytes of batches, headers and all, compressed as stored."""

    def consumed(topic: str, partition: int, records: int) -> None:
        """So many records were handed out."""

    def failed(operation: str, error: FluvioError) -> None:
        """Something went wrong, be it for good or to be tried again.

        :param operation: ``"connect"``, ``"produce"`` or ``"consume"``.
        """


class IFluvioProducer(Interface):
    """Gets records of one topic stored; see :class:`~txfluvio.producer.Producer`."""

    topic: str = Attribute("The name of the topic.")
    closed: bool = Attribute("Whether it takes in no more.")

    def start() -> Deferred[None]:
        """Check that the topic can be produced to, and be ready."""

    async def __aenter__() -> IFluvioProducer:
        """Start it."""

    async def __aexit__(
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""

    def send(
        value: bytes,
        key: bytes | None = None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Deferred[RecordMetadata]:
        """Send a record; fires with where it was stored."""

    def send_many(
        records: Iterable[bytes | tuple[bytes | None, bytes]],
        *,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Deferred[Sequence[RecordMetadata]]:
        """Send records; fires with where they were stored, in their order."""

    def flush() -> Deferred[None]:
        """Send what was taken in so far, and wait until all of it has its outcome."""

    def close() -> Deferred[None]:
        """Take in no more, send what was taken in, and end."""


class IFluvioConsumer(Interface):
    """The records of topics, as an async iterator; see :class:`~txfluvio.consumer.Consumer`."""

    topics: tuple[str, ...] = Attribute("The names of the topics.")
    partitions: tuple[tuple[str, int], ...] = Attribute("What is read, by topic and number.")
    failures: dict[tuple[str, int], Exception] = Attribute("Why nothing more comes of which.")
    closed: bool = Attribute("Whether it was closed.")

    def start() -> Deferred[None]:
        """Check the topics, and find where to start."""

    async def __aenter__() -> IFluvioConsumer:
        """Start it."""

    async def __aexit__(
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""

    def __aiter__() -> AsyncIterator[Record]:
        """The records, one by one."""

    async def __anext__() -> Record:
        """The next record."""

    def batches() -> AsyncIterator[list[Record]]:
        """The records as lists, each of consecutive records of one partition."""

    def next(timeout: float | None = None) -> Deferred[Record]:
        """The next record."""

    def next_batch(timeout: float | None = None) -> Deferred[list[Record]]:
        """The next records of one partition, at least one."""

    def position(partition: int, *, topic: str | None = None) -> int | None:
        """The offset of the next record to be handed out."""

    def lag(partition: int, *, topic: str | None = None) -> Deferred[int]:
        """How many offsets there are from the position to the high watermark."""

    def seek(partition: int, to: int | Offset, *, topic: str | None = None) -> None:
        """Go on at another offset."""

    def pause(partition: int, *, topic: str | None = None) -> None:
        """Hand out no more records of a partition."""

    def resume(partition: int, *, topic: str | None = None) -> None:
        """Go on after ``pause``."""

    def commit(record: Record | None = None) -> Deferred[None]:
        """Store that everything handed out so far was processed; or, of the partition of a record,
        everything up to that, and nothing of the others."""

    def committed() -> Deferred[dict[tuple[str, int], int]]:
        """What is stored for this consumer now: by topic and partition, the offset of the last
        record that was processed."""

    def flush_offsets() -> Deferred[None]:
        """Store now what counts as processed and is not stored yet."""

    def close() -> Deferred[None]:
        """End it."""


class IFluvioAdmin(Interface):
    """What an administrator does most; see :class:`~txfluvio.admin.Admin` for the rest."""

    def create_topic(
        name: str,
        *,
        partitions: int = 1,
        replication: int = 1,
        ignore_racks: bool = False,
        assignment: Sequence[Sequence[int]] | None = None,
        mirror_from: str | Iterable[str] | None = None,
        mirror_to: str | Iterable[str] | None = None,
        retention: int | None = None,
        segment_size: int | None = None,
        max_partition_size: int | None = None,
        compression: str = "any",
        deduplication: Deduplication | None = None,
        system: bool = False,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Deferred[None]:
        """Create a topic; fires when it can be used."""

    def delete_topic(name: str, *, force: bool = False) -> Deferred[None]:
        """Delete a topic and its records."""

    def list_topics(
        containing: str | Iterable[str] = (), *, system: bool = False
    ) -> Deferred[list[TopicDescription]]:
        """The topics."""

    def describe_topic(name: str) -> Deferred[TopicDescription]:
        """One topic, with its partitions."""

    def add_partitions(name: str, count: int, *, timeout: float | None = None) -> Deferred[None]:
        """Give a topic more partitions; fires when they can be used."""

    def list_partitions(
        topic: str | None = None, *, system: bool = False
    ) -> Deferred[list[PartitionDescription]]:
        """The partitions."""

    def list_spus(containing: str | Iterable[str] = ()) -> Deferred[list[SpuDescription]]:
        """The SPUs."""

    def list_consumer_offsets(
        *, consumer_id: str | None = None, topic: str | None = None, partition: int | None = None
    ) -> Deferred[list[StoredOffset]]:
        """How far consumers have come."""

    def delete_consumer_offset(consumer_id: str, topic: str, partition: int) -> Deferred[None]:
        """Forget how far a consumer has come."""


class IFluvioClient(Interface):
    """A client of one cluster; see :class:`~txfluvio.client.FluvioClient`."""

    admin: IFluvioAdmin = Attribute("What an administrator does.")
    cluster_version: str | None = Attribute("The release of the SC; None before it is known.")

    def start() -> Deferred[None]:
        """Connect; fires when the cluster is known, fails if it is not there in time."""

    async def __aenter__() -> IFluvioClient:
        """Start it."""

    async def __aexit__(
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""

    def close() -> Deferred[None]:
        """End everything, and fire when the last connection is gone."""

    def when_connected() -> Deferred[None]:
        """Fires while the metadata is being kept up to date."""

    def ends(topic: str) -> Deferred[dict[int, LogEnds]]:
        """The first offset and the high watermark of each partition of a topic, by number."""

    def producer(
        topic: str, config: ProducerConfig | None = None, **overrides: Any
    ) -> IFluvioProducer:
        """A producer for a topic, not started yet."""

    def consumer(
        topics: str | Iterable[str],
        *,
        start: Offset | None = None,
        stop: Offset | None = None,
        partitions: Partitions = None,
        config: ConsumerConfig | None = None,
        **overrides: Any,
    ) -> IFluvioConsumer:
        """A consumer of a topic, or of several, not started yet."""

    def consume(
        topics: str | Iterable[str],
        handler: Handler,
        *,
        start: Offset | None = None,
        stop: Offset | None = None,
        partitions: Partitions = None,
        config: ConsumerConfig | None = None,
        batches: bool = False,
        **overrides: Any,
    ) -> IService:
        """A service that calls ``handler`` with each record, one at a time; or with lists of them,
        each of one partition."""
