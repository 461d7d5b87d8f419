"""What ``fluvio-tail`` serves with ``--metrics``. Imported only then: it needs an extra."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import Site

from ..prometheus import MetricsResource, PrometheusMetrics

__all__ = ["PrometheusMetrics", "serve"]


def serve(reactor: Any, metrics: PrometheusMetrics, host: str, port: int) -> IListeningPort:
    """Serve metrics at ``/metrics``.

    :raises CannotListenError: the port can not be had.
    """
    root = Resource()
    root.putChild(b"metrics", MetricsResource(metrics))
    listening: IListeningPort = reactor.listenTCP(port, _QuietSite(root), interface=host)
    return listening


class _QuietSite(Site):
    """Keeps no log of who has asked."""

    noisy = False

    def log(self, request: object) -> None:
        pass
