"""The place where a run happens: a fake cluster and clients in memory, one clock, one seed.

A :class:`World` is what a workload gets. It makes clients, lets time go by, and carries out what
the :class:`~txfluvio.testing.simulation.plan.Plan` says goes wrong. From ``HORIZON`` on nothing
goes wrong any more: everything is mended, and the workload comes to its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from ...client import FluvioClient
from ...config import RetryPolicy
from ...errors import FluvioError
from ...transport.dialer import MemoryDialer
from ...transport.memory import MemoryNetwork
from ...transport.waiting import Waiting
from ...wire.sc import AddPartition
from ..broker import FakeBroker
from ..faults import Match, Moment
from ..faults.planting import Planted
from ..spu.replica import Key
from .clock import EPOCH, SimulatedClock
from .history import History
from .ledger import Ledger
from .plan import (
    HORIZON,
    Crash,
    CutConnections,
    MoveLeader,
    Plan,
    Plant,
    Reload,
    ScOutage,
    StallReplication,
    Trouble,
    Unreachable,
)
from .trace import Trace

RETRY = RetryPolicy(initial=0.05, maximum=1.0)
SETTINGS: dict[str, Any] = {
    "retry": RETRY,
    "connect_timeout": 3.0,
    "handshake_timeout": 2.0,
    "request_timeout": 4.0,
    "create_timeout": 6.0,
    "frame_timeout": 2.0,
    "idle_probe": 5.0,
}
"""Settings of clients in a run, where they are not given: their patience is short."""


class World:
    """One run.

    :param plan: what goes wrong.
    :param traced: whether :attr:`trace` is to have lines.

    :ivar rng: decides what the workload does.
    :ivar clock: everybody's time.
    :ivar network: where everybody is.
    :ivar broker: the cluster.
    :ivar ledger: what clients were told.
    :ivar trace: what happened.
    :ivar calm: whether everything that went wrong is mended, and nothing will go wrong any more.
    """

    def __init__(self, plan: Plan, *, traced: bool = False) -> None:
        self.plan = plan
        self.rng = Random(f"workload {plan.seed}")
        self.clock = SimulatedClock(Random(f"order {plan.seed}"))
        self.network = MemoryNetwork(self.clock)
        self.network.latency = plan.latency
        self.network.split = plan.split
        self.history = History()
        self.ledger = Ledger(self.history)
        self.clients: list[FluvioClient] = []
        self.calm = False
        self._when_calm: Waiting[None] = Waiting()
        self._ongoing: list[Deferred[None]] = []
        self._planted: list[Planted] = []
        self.broker = FakeBroker(
            self.clock,
            spus=plan.spus,
            network=self.network,
            seed=plan.seed,
            max_journal_entries=1_000_000 if traced else 0,
        )
        self.broker.cluster.compares_logs = True
        self.trace = Trace(self.clock.seconds, self.broker.journal)

    # For workloads

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires when so much time has gone by."""
        return deferLater(self.clock, seconds)

    def when_calm(self) -> Deferred[None]:
        """Fires when :attr:`calm` is true."""
        done: Deferred[None] = Deferred()
        if self.calm:
            done.callback(None)
            return done
        return self._when_calm.add()

    def note(self, text: str) -> None:
        """Have a line in the trace."""
        self.trace.note(text)

    async def client(self, **settings: Any) -> FluvioClient:
        """A client that is connected, however long that takes; it is closed in the end.

        :param settings: of its ``ClientConfig``; see ``SETTINGS`` for the rest.
        """
        number = len(self.clients)
        config = self.broker.client_config(
            **{**SETTINGS, "client_id": f"client-{number}", **settings}
        )
        client = FluvioClient(
            self.clock,
            config,
            dialer=MemoryDialer(self.network, config, self.clock),
            rng=Random(f"client {number} of {self.plan.seed}"),
            now=self.clock.seconds,
        )
        self.clients.append(client)
        while True:
            try:
                await client.start()
            except FluvioError as error:
                self.note(f"client {number} does not start: {error}")
                await self.sleep(0.5)
            else:
                return client

    def end_of(self, topic: str, partition: int) -> int:
        """The offset behind the last record of a partition; it has to be led by somebody."""
        return self.broker.replica(topic, partition).log.leo

    # For whoever runs it

    async def begin(self) -> None:
        """Start the cluster, and let things begin to go wrong."""
        await self.broker.start()
        self.history.attend(self.broker)
        self._look_at_requests()
        for trouble in self.plan.troubles:
            self.clock.callLater(trouble.at, self._carry_out, trouble)
        self.clock.callLater(HORIZON, self._end_of_troubles)

    async def end(self) -> None:
        """End every client."""
        await gatherResults([client.close() for client in self.clients])

    @property
    def hits(self) -> Counter[tuple[str, str]]:
        """How often each action was done to each call."""
        return Counter(
            (type(hit.fault.action).__name__, hit.call) for hit in self.broker.faults.hits
        )

    def _look_at_requests(self) -> None:
        def produced(request: Any) -> bool:
            self.ledger.produced(request)
            return False

        def updated(request: Any) -> bool:
            if isinstance(request.action, AddPartition):
                self.ledger.grew(request.key)
            return False

        def committed(request: Any) -> bool:
            for spu in self.broker.cluster.spus.values():
                offsets = spu.stored_offsets
                if offsets is not None:
                    self.ledger.offsets_stored(offsets.all())
            return False

        self.broker.observe(Match("Produce", where=produced))
        self.broker.observe(Match("Update", where=updated))
        self.broker.observe(Match("UpdateConsumerOffset", where=committed, moment=Moment.REPLY))

    # What goes wrong

    def _carry_out(self, trouble: Trouble) -> None:
        self.note(f"*** {trouble}")
        match trouble:
            case Plant():
                self._plant(trouble)
            case MoveLeader(which=which):
                self._move_leader(which)
            case Reload():
                self.broker.cluster.reload()
            case CutConnections(one_in=one_in, which=which):
                for number, link in enumerate(list(self.network.links)):
                    if number % one_in == which % one_in:
                        link.reset()
            case Crash():
                self._start(self._crash(trouble))
            case ScOutage(lasting=lasting):
                self._start(self._sc_outage(lasting))
            case StallReplication(lasting=lasting):
                self._start(self._during(lasting, self.broker.stall_replication()))
            case Unreachable():
                self._start(self._unreachable(trouble))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._ongoing.append(Deferred.fromCoroutine(work))

    def _end_of_troubles(self) -> None:
        Deferred.fromCoroutine(self._mend())

    async def _mend(self) -> None:
        for planted in self._planted:
            planted.remove()
        await gatherResults(self._ongoing)
        self.calm = True
        self.note("*** from now on all is well")
        for waiter in self._when_calm.take():
            waiter.callback(None)

    def _plant(self, trouble: Plant) -> None:
        planted = self.broker.plant(trouble.fault, optional=True)
        self._planted.append(planted)

        def let_go(_: object) -> None:
            self.clock.callLater(trouble.held, planted.remove)

        planted.wait().addCallbacks(let_go, lambda _: None)

    def _move_leader(self, which: int) -> None:
        if not self.broker.sc_runs:
            return
        moves = [
            (item.name, spu_id)
            for item in sorted(self.broker.cluster.metadata.partitions, key=lambda one: one.name)
            for spu_id in item.spec.replicas
            if spu_id != item.spec.leader and spu_id in self.broker.running_spus
        ]
        if moves:
            name, spu_id = moves[which % len(moves)]
            topic, _, number = name.rpartition("-")
            self.broker.move_leader(topic, int(number), spu_id)

    async def _wait(self, seconds: float) -> None:
        """Wait, but never beyond the end of all troubles."""
        left = EPOCH + HORIZON - self.clock.seconds()
        await self.sleep(max(0.0, min(seconds, left)))

    async def _during(self, lasting: float, end: Callable[[], object]) -> None:
        await self._wait(lasting)
        end()

    async def _crash(self, crash: Crash) -> None:
        running = self.broker.running_spus
        if not running:
            return
        spu_id = running[crash.which % len(running)]
        await self.broker.spu_down(spu_id)
        if crash.loss:
            self._lose_what_is_not_replicated(spu_id)
        await self._wait(crash.lasting)
        await self.broker.spu_up(spu_id)

    def _lose_what_is_not_replicated(self, spu_id: int) -> None:
        spus = self.broker.cluster.spus
        everything = [spu.logs() for spu in spus.values()]
        committed: dict[Key, int] = {}
        for logs in everything:
            for key, log in logs.items():
                committed[key] = max(committed.get(key, 0), log.hw)
        own = spus[spu_id].logs()
        for key, log in own.items():
            log.truncate(committed[key])
        spus[spu_id].replace_logs(own)

    async def _sc_outage(self, lasting: float) -> None:
        await self.broker.sc_down()
        await self._wait(lasting)
        await self.broker.sc_up()

    async def _unreachable(self, trouble: Unreachable) -> None:
        endpoints = [self.broker.sc_endpoint, *self.broker.spu_endpoints.values()]
        host, _, port = endpoints[trouble.which % len(endpoints)].partition(":")
        (self.network.hang if trouble.hangs else self.network.refuse)(host, int(port))
        await self._during(trouble.lasting, lambda: self.network.accept(host, int(port)))
