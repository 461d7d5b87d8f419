"""What the SC of a remote cluster is told of the topics that are mirrored from it.

Mirroring is kept up, not lived: a remote that connects is told its topics again and again and is
seen to be there, but no record ever moves
(``fluvio-sc/src/services/public_api/mirroring/connect.rs``).
"""

from __future__ import annotations

from collections.abc import Callable

from ...wire.sc import (
    HomeMirror,
    MirrorConnection,
    MirroringResponse,
    MirrorStatus,
    MirrorTopic,
    MirrorTopicInfo,
    PairDetailFailure,
    PairStatus,
    PairSuccessful,
    RemoteCluster,
    SpuSpec,
)
from ...wire.schema import evolve
from ..timers import Timers
from .admission import clipped
from .metadata import Stores


class Mirroring:
    """Tells one remote cluster of its topics: at once, then at an interval, changed or not.

    A remote that nobody has registered is never told anything.

    :ivar known: whether it was registered when it asked.
    """

    def __init__(
        self,
        stores: Stores,
        remote: str,
        push: Callable[[MirroringResponse], object],
        *,
        timers: Timers,
        interval: float,
        now: Callable[[], float],
    ) -> None:
        self._stores = stores
        self._remote = remote
        self._push = push
        self._timers = timers
        self._interval = interval
        self._now = now
        self._off: Callable[[], None] = lambda: None
        self.known = self._tell()

    def stop(self) -> None:
        """The connection is gone, which the mirror's status says."""
        self._off()
        self._seen(PairDetailFailure(reason="connection closed"))

    def _tell(self) -> bool:
        if not self._seen(PairSuccessful()):
            return False
        name = f'Mirror: MirrorSpec {{ mirror_type: Remote(Remote {{ id: "{self._remote}" }}) }}'
        self._push(MirroringResponse(name=clipped(name), topics=self._topics()))
        self._off = self._timers.later(self._interval, self._tell)
        return True

    def _seen(self, pairing: PairStatus) -> bool:
        mirrors = self._stores.mirrors
        mirror = mirrors.get(self._remote)
        if mirror is None or mirror.spec != RemoteCluster(id=self._remote):
            return False
        status: MirrorStatus = evolve(
            mirror.status,
            connection_status=MirrorConnection.ONLINE,
            pairing_sc=pairing,
            last_seen=int(self._now() * 1000),
        )
        mirrors.set_status((self._remote, status))
        return True

    def _topics(self) -> tuple[MirrorTopicInfo, ...]:
        spus = {item.spec.id: item for item in self._stores.spus}
        found = []
        for topic in self._stores.topics.listing():
            replicas = topic.spec.replicas
            if not isinstance(replicas, MirrorTopic) or not isinstance(replicas.config, HomeMirror):
                continue
            for number, partition in enumerate(replicas.config.partitions):
                spu = spus.get(next(iter(topic.status.replica_map.get(number, ())), -1))
                if partition.remote_cluster == self._remote and spu is not None:
                    found.append(
                        MirrorTopicInfo(
                            key=topic.name,
                            spec=topic.spec,
                            spu_id=spu.spec.id,
                            spu_key=spu.name,
                            spu_endpoint=_address(spu.spec),
                        )
                    )
                    break
        return tuple(found)


def _address(spu: SpuSpec) -> str:
    """Where clients reach an SPU."""
    return f"{spu.public_endpoint.host}:{spu.public_endpoint.port}"
