"""An SPU: the partitions that it has on disk, and its role in each.

What it has, it was told to have: who leads what is decided elsewhere
(:mod:`txfluvio.testing.cluster`). What clients ask of it comes by its public port
(:mod:`txfluvio.testing.spu.port`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.logger import Logger

from ...wire.sc import PartitionSpec
from ..releases import Release
from ..smartmodules.chain import Chain, ChainError
from ..smartmodules.registry import SmartModules, deduplication
from ..timers import Timers
from .log import PartitionLog
from .replica import Key, Replica, Report, Role, replica_log
from .stored_offsets import STORED_OFFSETS, StoredOffsets

CLEANING_INTERVAL = 10.0
"""Seconds between two looks at what retention has to evict from a partition."""

DEDUPLICATION_VERSION = 25
"""Of the layouts in which the module of a topic with deduplication is spoken to."""

_log = Logger()


class Disk(Protocol):
    """Where an SPU has its logs, beside its memory."""

    def keep(self, key: Key, log: PartitionLog, /) -> None:
        """Have what a log has, from now on."""
        ...

    def drop(self, key: Key, /) -> None:
        """Forget a log."""
        ...


class Neighbours(Protocol):
    """What an SPU knows of the rest of its cluster."""

    def exists(self, key: Key, /) -> bool:
        """Whether the cluster has such a partition, led by whomever."""
        ...

    def leader(self, key: Key, /) -> Spu | None:
        """The running SPU that leads a partition."""
        ...

    def private_address(self, key: Key, /) -> str | None:
        """Where other SPUs reach the leader of a partition, running or not."""
        ...


class Spu:
    """One SPU: the replicas that it hosts.

    :param timers: run everything timed.
    :param now: the time, in seconds since the Unix epoch.
    :param neighbours: the rest of the cluster; ``None``: there is none.
    :param modules: the SmartModules of the cluster; none unless given.
    :param on_change: called when any replica has changed, or has a new role.
    :ivar id: its number in the cluster.
    :ivar release: what it says of itself; it understands more than it says.
    :ivar replicas: the partitions it leads or follows, while it runs.
    :ivar disk: has its logs as well, if anything does.
    :ivar on_report: called when a replica has changed, and once it is hosted.
    """

    def __init__(
        self,
        spu_id: int,
        *,
        timers: Timers,
        now: Callable[[], float],
        release: Release,
        neighbours: Neighbours | None = None,
        modules: SmartModules | None = None,
        on_change: Callable[[], object] | None = None,
    ) -> None:
        self.id = spu_id
        self.release = release
        self.on_report: Callable[[Key, Report], None] | None = None
        self.replicas: dict[Key, Replica] = {}
        self.disk: Disk | None = None
        self.neighbours = neighbours
        self.modules = SmartModules() if modules is None else modules
        self._on_change = on_change
        self.timers = timers
        self.now = now
        self._specs: dict[Key, PartitionSpec] = {}
        self._logs: dict[Key, PartitionLog] = {}
        self._offsets: StoredOffsets | None = None
        self._cleaning: dict[Key, Callable[[], None]] = {}

    @property
    def name(self) -> str:
        """What it is called in logs."""
        return f"SPU {self.id}"

    # What the cluster says

    def host(self, key: Key, spec: PartitionSpec) -> None:
        """Have a replica of a partition, empty unless it is there already."""
        self._specs[key] = spec
        if key not in self._logs:
            self._logs[key] = self._kept(key, replica_log(spec))
        if key in self.replicas:
            self.replicas[key].spec = spec

    def lead(self, key: Key, followers: Sequence[int] = ()) -> None:
        """Lead a hosted partition; its records are committed once all followers have them.

        One with deduplication is not led at all if that can not start.
        """
        known = self.replicas.get(key)
        if known is None or known.role is not Role.LEADER:
            self._take_role(key, Role.LEADER, followers)

    def follow(self, key: Key) -> None:
        """Follow the leader of a hosted partition.

        Streams of an SPU that led it until now go silent, and keep the log as it is.
        """
        known = self.replicas.get(key)
        if known is None or known.role is not Role.FOLLOWER:
            if known is not None:
                self._logs[key] = known.log.successor()
            self._take_role(key, Role.FOLLOWER, ())

    def drop(self, key: Key) -> None:
        """Forget a replica and its records; whoever reads it is told that its topic is deleted."""
        self._specs.pop(key, None)
        self._forget_log(key)
        self._stop_cleaning(key)
        replica = self.replicas.pop(key, None)
        if replica is not None:
            replica.delete()
        if key == STORED_OFFSETS:
            self._offsets = None

    def stop(self) -> None:
        """Forget everything that is not on disk, as the end of the process does."""
        for key in list(self._cleaning):
            self._stop_cleaning(key)
        for replica in self.replicas.values():
            replica.retire()
        self.replicas.clear()
        for log in self._logs.values():
            log.reopen()
        self._offsets = None

    def logs(self) -> dict[Key, PartitionLog]:
        """A copy of everything on its disk."""
        return {key: log.copy() for key, log in self._logs.items()}

    def replace_logs(self, logs: Mapping[Key, PartitionLog]) -> None:
        """Put a copy of these logs on its disk instead of what is there; it has to be stopped."""
        for key in list(self._logs):
            self._forget_log(key)
        self._logs = {key: self._kept(key, log.copy()) for key, log in logs.items()}

    def _kept(self, key: Key, log: PartitionLog) -> PartitionLog:
        if self.disk is not None:
            self.disk.keep(key, log)
        return log

    def _forget_log(self, key: Key) -> None:
        log = self._logs.pop(key, None)
        if log is not None and self.disk is not None:
            log.keeper = None
            self.disk.drop(key)

    def leads(self, key: Key) -> Replica | None:
        """The replica of a partition that is led here."""
        replica = self.replicas.get(key)
        return replica if replica is not None and replica.role is Role.LEADER else None

    @property
    def stored_offsets(self) -> StoredOffsets | None:
        """The offsets of consumers, where they are led here."""
        replica = self.leads(STORED_OFFSETS)
        if replica is None:
            return None
        if self._offsets is None:
            self._offsets = StoredOffsets(replica, self.now)
        return self._offsets

    def clean(self, key: Key) -> None:
        """Let retention evict now what it would evict by itself within some seconds."""
        self.replicas[key].clean(self.now())

    def _take_role(self, key: Key, role: Role, followers: Sequence[int]) -> None:
        before = self.replicas.get(key)
        if before is not None:
            before.retire()
        chain = None
        if role is Role.LEADER:
            try:
                chain = self._deduplication(key)
            except ChainError as reason:
                _log.error(
                    "{spu} can not lead {topic}/{partition}: deduplication: {reason}",
                    spu=self.name,
                    topic=key[0],
                    partition=key[1],
                    reason=reason.error,
                )
                self.replicas.pop(key, None)
                return

        def changed() -> None:
            self._changed(key)

        replica = Replica(
            key,
            self._specs[key],
            self._logs[key],
            role=role,
            followers=followers,
            deduplication=chain,
            on_change=changed,
        )
        self.replicas[key] = replica
        if key == STORED_OFFSETS:
            self._offsets = None
        self._watch_size(key, replica)
        if before is None and self.on_report is not None:
            self.on_report(key, replica.report())
        if self._on_change is not None:
            self._on_change()

    def _deduplication(self, key: Key) -> Chain | None:
        """What drops records of a partition, started.

        :raises ChainError: it does not start.
        """
        spec = self._specs[key].deduplication
        if spec is None:
            return None
        chain = self.modules.start([deduplication(spec)], DEDUPLICATION_VERSION, self.now)
        chain.look_back(self._logs[key], self.now())
        return chain

    def _changed(self, key: Key) -> None:
        replica = self.replicas[key]
        if self.on_report is not None:
            self.on_report(key, replica.report())
        if self._on_change is not None:
            self._on_change()
        self._watch_size(key, replica)

    def _watch_size(self, key: Key, replica: Replica) -> None:
        """Have retention look, if there is anything that it could evict."""
        if replica.log.segments > 1 and key not in self._cleaning:
            self._cleaning[key] = self.timers.later(CLEANING_INTERVAL, self._clean_later, key)

    def _clean_later(self, key: Key) -> None:
        del self._cleaning[key]
        self.clean(key)
        self._watch_size(key, self.replicas[key])

    def _stop_cleaning(self, key: Key) -> None:
        cancel = self._cleaning.pop(key, None)
        if cancel is not None:
            cancel()
