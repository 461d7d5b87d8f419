"""What ``fluvio-tail`` serves with ``--metrics``. Imported only then: it needs an extra."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource

from .._sites import QuietSite
from ..prometheus import MetricsResource, PrometheusMetrics

__all__ = ["PrometheusMetrics", "serve"]


def serve(reactor: Any, metrics: PrometheusMetrics, host: str, port: int) -> IListeningPort:
    """Serve metrics at ``/metrics``.

    :raises CannotListenError: the port can not be had.
    """
    root = Resource()
    root.putChild(b"metrics", MetricsResource(metrics))
    listening: IListeningPort = reactor.listenTCP(port, QuietSite(root), interface=host)
    return listening
