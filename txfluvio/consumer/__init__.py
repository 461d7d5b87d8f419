"""Floor 3, reading: records of partitions as an async iterator, and how far one has got.

It stands on the cluster floor and knows nothing of the client above. ``client.consumer()`` makes a
:class:`Consumer`, ``client.consume()`` a :class:`ConsumerService`.
"""

from __future__ import annotations

from .consumer import Consumer
from .hand import Batches
from .requests import LogEnds
from .service import ConsumerService, Handler, OnFailure
from .share import Partitions, Share

__all__ = [
    "Batches",
    "Consumer",
    "ConsumerService",
    "Handler",
    "LogEnds",
    "OnFailure",
    "Partitions",
    "Share",
]
