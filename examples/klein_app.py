"""A topic over HTTP: POST puts records in, GET streams them as server-sent events.

``pip install txfluvio[klein,metrics]``, ``python examples/klein_app.py 8080 greetings``, then::

    curl -N http://127.0.0.1:8080/events/0 &
    curl -d hello http://127.0.0.1:8080/records

The number is the partition. The id of an event is its offset, so a browser that comes back after
its connection was lost goes on behind the last event it has seen, or where that is not in the topic
any more, at the oldest there is. A reader that is slow holds up
only itself: no more records are taken for it while its connection is full. ``/health`` says whether
there is a cluster, for a load balancer, and ``/metrics`` how it goes, for Prometheus. The cluster
is the current one of your profile; see ``produce.py`` for a fake one.
"""

import json
import sys

from klein import Klein
from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.server import Site
from zope.interface import implementer

from txfluvio import ClientConfig, ConnectionState, FluvioClient, Offset, OffsetReset
from txfluvio.errors import FluvioError, InvalidConfig, PartitionNotFound, RecordTooLarge
from txfluvio.prometheus import MetricsResource, PrometheusMetrics


@implementer(IPushProducer)
class Room:
    """Whether a response can take more; ``await room.more()`` waits until it can."""

    def __init__(self):
        self._waiting = None
        self._full = False

    def pauseProducing(self):
        self._full = True

    def resumeProducing(self):
        self._full = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self):
        """The browser has gone, which cancels whoever answers it."""

    async def more(self):
        if self._full:
            self._waiting = Deferred()
            await self._waiting


def event(record):
    """A record as a server-sent event."""
    lines = b"".join(b"data: %s\n" % line for line in record.value.splitlines() or [b""])
    return b"id: %d\n%s\n" % (record.offset, lines)


class Gateway:
    """The application, in front of one topic of a client that is connected."""

    app = Klein()
    log = Logger()

    def __init__(self, client, topic, metrics):
        self._client = client
        self._metrics = metrics
        self._topic = topic
        self._producer = client.producer(topic)

    def start(self):
        return self._producer.start()

    @app.route("/records", methods=["POST"])
    async def post(self, request):
        key = request.getHeader("X-Key")
        stored = await self._producer.send(request.content.read(), key=key and key.encode())
        request.setHeader("Content-Type", "application/json")
        return json.dumps({"partition": stored.partition, "offset": stored.offset}) + "\n"

    @app.route("/events/<int:partition>", methods=["GET"])
    async def events(self, request, partition):
        seen = request.getHeader("Last-Event-ID")
        start = Offset.beginning() if seen is None else Offset.absolute(int(seen) + 1)
        async with self._client.consumer(
            self._topic, partitions=partition, start=start, reset=OffsetReset.EARLIEST
        ) as records:
            request.setHeader("Content-Type", "text/event-stream")
            request.setHeader("Cache-Control", "no-cache")
            room = Room()
            request.registerProducer(room, streaming=True)
            request.write(b": here they come\n\n")
            try:
                async for record in records:
                    request.write(event(record))
                    await room.more()
            except FluvioError as error:
                # It is too late for another status. The browser asks again when this has ended.
                self.log.error("events end: {error}", error=error)
            request.unregisterProducer()

    @app.route("/health", methods=["GET"])
    def health(self, request):
        state = self._client.state
        request.setResponseCode(200 if state is ConnectionState.CONNECTED else 503)
        return f"{state.value}\n"

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request):
        return MetricsResource(self._metrics)

    @app.handle_errors(ValueError, FluvioError)
    def failed(self, request, failure):
        match failure.value:
            case ValueError() | InvalidConfig():
                code = 400
            case PartitionNotFound():
                code = 404
            case RecordTooLarge():
                code = 413
            case _:
                code = 503
        request.setResponseCode(code)
        return f"{failure.value}\n"


async def main(reactor, port, topic):
    metrics = PrometheusMetrics()
    async with FluvioClient(reactor, ClientConfig.from_profile(), metrics=metrics) as client:
        reactor.addSystemEventTrigger("before", "shutdown", client.close)
        gateway = Gateway(client, topic, metrics)
        await gateway.start()
        endpoint = endpoints.TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1")
        listening = await endpoint.listen(Site(gateway.app.resource()))
        print(f"http://127.0.0.1:{listening.getHost().port}/", flush=True)
        await Deferred()  # until a signal ends it all


if __name__ == "__main__":
    task.react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
