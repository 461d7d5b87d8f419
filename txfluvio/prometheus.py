"""Metrics for Prometheus: what a client tells, counted with ``prometheus_client``.

Comes with the extra ``txfluvio[metrics]``, without which importing it is a
:class:`~txfluvio.errors.MissingPackage`. :class:`PrometheusMetrics` is what a client is given,
:class:`MetricsResource` what a ``twisted.web`` site serves. What can be asked for at any time (what
is in flight, buffered, behind) is asked for when Prometheus asks, in the reactor's thread, where
the client lives; ``prometheus_client.twisted`` would do that in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from inspect import ismethod
from weakref import WeakMethod

from twisted.web.resource import Resource
from twisted.web.server import Request
from zope.interface import implementer

from .errors import FluvioError, MissingPackage
from .interfaces import IMetrics
from .metrics import ClientFacts, error_code

try:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
except ModuleNotFoundError as error:
    raise MissingPackage("txfluvio.prometheus", "prometheus_client", "metrics") from error

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds: the bounds of the latency histograms."""


class _Facts:
    """Asks clients how things stand whenever the registry is asked."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._clients: list[Callable[[], Callable[[], ClientFacts] | None]] = []

    def add(self, facts: Callable[[], ClientFacts]) -> None:
        """Ask a client, too; by a method, as long as there is anybody else who has it."""
        self._clients.append(WeakMethod(facts) if ismethod(facts) else lambda: facts)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self._clients = [client for client in self._clients if client() is not None]
        every = [ask() for client in self._clients if (ask := client()) is not None]
        for name, meaning, values in (
            (
                "connections",
                "Connections that there are.",
                [facts.connections for facts in every],
            ),
            (
                "requests_in_flight",
                "Requests that wait for their reply, streams not counted.",
                [facts.in_flight for facts in every],
            ),
            (
                "producer_buffered_bytes",
                "Bytes of records that producers have taken in and that have no outcome yet.",
                [facts.buffered for facts in every],
            ),
            (
                "consumer_buffered_bytes",
                "Bytes of records that consumers have received and not handed out, or ask for.",
                [facts.held for facts in every],
            ),
        ):
            yield GaugeMetricFamily(f"{self._prefix}_{name}", meaning, value=sum(values))
        lag = GaugeMetricFamily(
            f"{self._prefix}_consumer_lag",
            "Offsets from the record that was handed out last to the high watermark.",
            labels=["topic", "partition"],
        )
        behind: dict[tuple[str, int], int] = {}
        for facts in every:
            for place, offsets in facts.lag.items():
                behind[place] = max(offsets, behind.get(place, 0))
        for (topic, partition), offsets in sorted(behind.items()):
            lag.add_metric([topic, str(partition)], offsets)
        yield lag


@implementer(IMetrics)
class PrometheusMetrics:
    """Counts what clients tell. One may be given to several clients.

    :param registry: where the metrics are registered; None: one of its own.
    :param prefix: what their names begin with.

    :ivar registry: where they are registered.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, prefix: str = "fluvio_client"
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._lost: dict[str, None] = {}

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{prefix}_{name}", meaning, labels, registry=self.registry)

        def histogram(name: str, meaning: str, label: str) -> Histogram:
            name = f"{prefix}_{name}"
            return Histogram(name, meaning, [label], registry=self.registry, buckets=BUCKETS)

        self._connects = counter("connects", "Connections that were made.")
        self._reconnects = counter("reconnects", "Connections that were made again after a loss.")
        self._disconnects = counter("disconnects", "Connections that were lost.")
        self._requests = histogram("request_seconds", "Seconds from a request to its reply.", "api")
        self._records_out = counter("produced_records", "Records that were stored.", "topic")
        self._bytes_out = counter(
            "produced_bytes",
            "Bytes of the batches that were stored, with each batch's header, before compression.",
            "topic",
        )
        self._batches_out = counter("produced_batches", "Batches that were stored.", "topic")
        self._delivery = histogram(
            "delivery_seconds",
            "Seconds from the first send() of a batch to its being stored.",
            "topic",
        )
        self._records_in = counter("consumed_records", "Records that were handed out.", "topic")
        self._bytes_in = counter(
            "received_bytes",
            "Bytes of batches as received, with each batch's header, compressed as stored.",
            "topic",
        )
        self._pushes_in = counter("received_replies", "Replies that brought records.", "topic")
        self._errors = counter(
            "errors", "Errors, those after which it is tried again included.", "operation", "code"
        )
        # Last: a registry that has these names already has refused the others by now.
        self._facts = _Facts(prefix)
        self.registry.register(self._facts)
        # Finding the child of a label takes longer than counting with it.
        self._request_of = cache(self._requests.labels)
        self._out_of = cache(self._outgoing)
        self._in_of = cache(self._incoming)
        self._records_in_of = cache(self._records_in.labels)

    # IMetrics

    def attach(self, facts: Callable[[], ClientFacts]) -> None:
        """A client was made: ask it when asked.

        A method does not keep its object, the client; any other function is kept and asked for
        ever.
        """
        self._facts.add(facts)

    def connected(self, address: str) -> None:
        """Count a connection."""
        self._connects.inc()
        if address in self._lost:
            del self._lost[address]
            self._reconnects.inc()

    def disconnected(self, address: str, error: FluvioError) -> None:
        """Count a loss."""
        self._lost[address] = None
        self._disconnects.inc()

    def answered(self, api: str, seconds: float) -> None:
        """Count a reply, by how long it took."""
        self._request_of(api).observe(seconds)

    def produced(self, topic: str, partition: int, records: int, size: int, seconds: float) -> None:
        """Count a batch that was stored."""
        records_out, bytes_out, batches_out, delivery = self._out_of(topic)
        records_out.inc(records)
        bytes_out.inc(size)
        batches_out.inc()
        delivery.observe(seconds)

    def received(self, topic: str, partition: int, size: int) -> None:
        """Count records that came in, by their bytes."""
        bytes_in, pushes_in = self._in_of(topic)
        bytes_in.inc(size)
        pushes_in.inc()

    def consumed(self, topic: str, partition: int, records: int) -> None:
        """Count records that were handed out."""
        self._records_in_of(topic).inc(records)

    def failed(self, operation: str, error: FluvioError) -> None:
        """Count an error by its code."""
        self._errors.labels(operation, error_code(error)).inc()

    def _outgoing(self, topic: str) -> tuple[Counter, Counter, Counter, Histogram]:
        return (
            self._records_out.labels(topic),
            self._bytes_out.labels(topic),
            self._batches_out.labels(topic),
            self._delivery.labels(topic),
        )

    def _incoming(self, topic: str) -> tuple[Counter, Counter]:
        return self._bytes_in.labels(topic), self._pushes_in.labels(topic)


class MetricsResource(Resource):
    """Serves metrics to Prometheus, in the format it asks for.

    :param metrics: whose to serve.
    """

    isLeaf = True

    def __init__(self, metrics: PrometheusMetrics) -> None:
        super().__init__()
        self._registry = metrics.registry

    def render_GET(self, request: Request) -> bytes:
        try:
            encode, content_type = choose_encoder(request.getHeader("accept") or "")
        except (TypeError, ValueError):  # A version that is no version.
            encode, content_type = choose_encoder("")
        request.setHeader("content-type", content_type)
        return encode(self._registry)
