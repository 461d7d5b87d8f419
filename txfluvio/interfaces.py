"""What users may implement: the seams of the client, as zope interfaces.

Vocabulary for all floors, without any implementation. ``verifyObject(IPartitioner, mine)`` says
whether an object of one's own fits.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface


class IPartitioner(Interface):
    """Chooses the partition of every record that was not given one by ``send(partition=...)``."""

    def choose(key: bytes | None, value: bytes, partition_count: int, online: Sequence[int]) -> int:
        """The partition for one record.

        It is called once for each record, in the order of sending; what it raises is raised by
        the call that sends.

        :param key: ``None`` for a record without; an empty key is a key.
        :param partition_count: the topic's partitions as of now, numbered from 0; at least 1.
        :param online: those that have an online leader as of now, ascending; perhaps none.
        :returns: a number below ``partition_count``.
        """
