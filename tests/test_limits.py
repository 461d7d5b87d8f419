"""Limits of the configuration, from the setting to what a user sees of it.

Those that belong to one floor are told with it: deadlines, frames and the write budget in
``transport``, connections in ``cluster``, memory in ``producer`` and ``consumer``.
"""

from __future__ import annotations

from typing import Any

from tests.client_kit import ClientCase
from txfluvio.errors import ProtocolError, TopicNotProvisioned, WaitTimedOut
from txfluvio.offset import Offset
from txfluvio.wire.compression import Compression


class OfOneBatch(ClientCase):
    TOPICS = {"orders": 1}

    def refused(self, codec: Compression = Compression.GZIP, **settings: Any) -> ProtocolError:
        """What a consumer says of a batch of 5 records of 1,000 equal bytes."""
        self.broker.append("orders", [b"x" * 1000] * 5, compression=codec)
        self.client = self.make_client(**settings)
        self.result(self.client.start())
        consumer = self.client.consumer("orders", start=Offset.beginning())
        self.result(consumer.start())
        reading = consumer.next()
        self.settle(reading, 5)
        error = self.failureResultOf(reading, ProtocolError).value
        assert isinstance(error, ProtocolError)
        self.result(consumer.close())
        return error

    def test_the_bytes_it_decompresses_to(self) -> None:
        self.assertIn("max_decompressed_size", str(self.refused(max_decompressed_size=4_999)))

    def test_how_many_times_its_size_that_is(self) -> None:
        self.assertIn("max_decompression_ratio", str(self.refused(max_decompression_ratio=10)))

    def test_its_records(self) -> None:
        self.assertIn("max_batch_records", str(self.refused(max_batch_records=4)))

    def test_its_bytes(self) -> None:
        self.assertIn("max_frame_size", str(self.refused(Compression.NONE, max_frame_size=5_000)))


class OfCreating(ClientCase):
    def test_the_time_until_a_topic_can_be_used(self) -> None:
        self.client = self.make_client(create_timeout=7.0)
        self.result(self.client.start())
        began = self.clock.seconds()
        creating = self.client.admin.create_topic("orders", replication=3)
        self.settle(creating, 60)
        self.failureResultOf(creating, WaitTimedOut, TopicNotProvisioned)
        self.assertEqual(self.clock.seconds() - began, 7.0)
