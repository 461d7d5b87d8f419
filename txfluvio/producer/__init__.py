"""The producer: from ``send()`` to the offset a record was stored at.

:mod:`~txfluvio.producer.producer` is the front a user calls, over one
:mod:`~txfluvio.producer.sender` a partition. Pure parts below them: where a record goes
(:mod:`~txfluvio.producer.partitioner`), how batches are filled
(:mod:`~txfluvio.producer.accumulator`), what may be held (:mod:`~txfluvio.producer.budget`), what
is asked of a leader (:mod:`~txfluvio.producer.requests`), and what became of it all
(:mod:`~txfluvio.producer.outcomes`). It stands on the cluster floor for
leaders and connections, and on :mod:`txfluvio.wire` for the bytes.
"""

from __future__ import annotations

from .budget import Budget
from .partitioner import SiphashRoundRobinPartitioner, SpecificPartitioner
from .producer import Producer
from .stored import RecordMetadata, StoredRecords

__all__ = [
    "Budget",
    "Producer",
    "RecordMetadata",
    "SiphashRoundRobinPartitioner",
    "SpecificPartitioner",
    "StoredRecords",
]
