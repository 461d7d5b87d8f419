"""The state in which a recorded conversation began, as far as the recording tells.

Its parts are read off in the modules imported here: the objects of the SC, the logs of the SPUs,
what was forbidden, and who plays the SmartModules. Nothing else is known, least of all the file.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from ...wire.sc import (
    PARTITION,
    SMART_MODULE,
    Kind,
)
from ...wire.spu import (
    ConsumerOffset,
)
from ..releases import Release
from ..sc.store import Item
from ..spu.log import PartitionLog
from ..spu.replica import Key
from .conversation import Conversation
from .ends import logs_of, stored_by_consumers, unsized_logs
from .objects import Objects, deduplications, objects_of, spus_of
from .rights import ObservedPolicy, policy_of, release_of
from .served import Served, served
from .stand_ins import Cast, can_deduplicate, cast_of, stand_in


@attrs.frozen(kw_only=True)
class Beginning:
    """All that is known of the cluster before the first frame.

    :ivar objects: the objects of each kind by label and name.
    :ivar spus: the ids of the SPUs that ran at some time.
    :ivar down: those of them that did not run yet.
    :ivar logs: the log of each partition.
    :ivar offsets: what consumers had stored.
    :ivar known: the batches that the conversation shows, sooner or later.
    :ivar unsized: the partitions whose logs are not as large as the recording says, or that drop
        records by a module that nobody knows.
    :ivar cast: what plays the SmartModules that it does not hold.
    """

    objects: Mapping[str, Objects]
    spus: tuple[int, ...]
    down: tuple[int, ...]
    logs: Mapping[Key, PartitionLog]
    offsets: tuple[ConsumerOffset, ...]
    known: Mapping[Key, Served]
    unsized: frozenset[Key]
    cast: Cast
    policy: ObservedPolicy
    release: Release

    def items(self, kind: Kind) -> tuple[Item[Any, Any], ...]:
        """The objects of a kind as the stores of the fake hold them."""
        found = self.objects.get(kind.label, {})
        return tuple(Item(one.name, one.spec, one.status) for one in found.values())


def beginning_of(conversation: Conversation) -> Beginning:
    """Read the starting state off a recording."""
    objects = objects_of(conversation)
    spus, down = spus_of(conversation, objects)
    offsets = stored_by_consumers(conversation)
    known = served(conversation)
    cast = cast_of(conversation, objects.get(SMART_MODULE.label, {}), known)
    for wanted, modules in deduplications(conversation, objects):
        if wanted.uses not in cast.names and not can_deduplicate(wanted, modules):
            cast = attrs.evolve(cast, names={**cast.names, wanted.uses: stand_in()})
    partitions = objects.get(PARTITION.label, {})
    logs = logs_of(conversation, partitions, known, len(offsets))
    return Beginning(
        objects=objects,
        spus=spus,
        down=down,
        logs=logs,
        unsized=frozenset(unsized_logs(logs, partitions)),
        offsets=offsets,
        known=known,
        cast=cast,
        policy=policy_of(conversation, objects),
        release=release_of(conversation),
    )
