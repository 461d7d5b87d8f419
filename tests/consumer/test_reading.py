"""Reading a partition: every record, once, in order, however the log and its replies are cut."""

from __future__ import annotations

from txfluvio.offset import Offset

from .kit import ConsumerCase


class Everything(ConsumerCase):
    def test_records_that_are_there_are_read_and_then_the_end_comes(self) -> None:
        self.append(10, batch=4)
        consumer = self.started(start=Offset.beginning(), stop=Offset.end())
        self.assertEqual(self.offsets(self.read_all(consumer)), list(range(10)))
