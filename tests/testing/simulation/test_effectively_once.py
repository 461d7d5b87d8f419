"""The recipe for storing every record once: at least once, to a topic that drops what it has.

The window has to be larger than what may be sent again, and equal records can not be told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from txfluvio import Delivery, Isolation
from txfluvio.errors import FluvioError
from txfluvio.testing.simulation import World, simulate
from txfluvio.testing.smartmodules import deduplicate
from txfluvio.wire.sc import Computed, Deduplication, TopicSpec

TOPIC = "once"
SEEDS = range(20)


def storing(
    stored: Counter[bytes], acknowledged: set[bytes], window: int | None
) -> Callable[[World], Awaitable[None]]:
    """A workload that sends numbers, and says what is stored of them in the end.

    :param window: among so many of the last records one that comes again is dropped; None: none is.
    """

    async def send(world: World) -> None:
        broker = world.broker
        broker.register_smartmodule("exact", deduplicate)
        dropping = None if window is None else Deduplication(count=window, uses="exact")
        replicas = Computed(partitions=1, replication_factor=2)
        spec = TopicSpec(replicas=replicas, deduplication=dropping)
        await broker.cluster.create_topic(TOPIC, spec=spec)
        client = await world.client()
        producer = client.producer(
            TOPIC,
            delivery=Delivery.AT_LEAST_ONCE,
            isolation=Isolation.READ_COMMITTED,
            delivery_timeout=300.0,
            close_timeout=300.0,
        )
        while True:
            try:
                await producer.start()
                break
            except FluvioError:
                await world.sleep(0.2)
        number = 0

        def noted(value: bytes) -> None:
            sending = producer.send(value)
            sending.addCallbacks(lambda _: acknowledged.add(value), lambda failure: None)

        while not world.calm:
            for _ in range(world.rng.randint(1, 10)):
                noted(b"%d" % number)
                number += 1
            await world.sleep(world.rng.uniform(0.0, 0.3))
        await producer.close()
        await world.sleep(5.0)
        stored.update(record.value for record in broker.records(TOPIC))

    return send


def twice(window: int | None) -> int:
    """How many records are stored more than once, over all seeds; none that was told is lost."""
    count = 0
    for seed in SEEDS:
        stored: Counter[bytes] = Counter()
        acknowledged: set[bytes] = set()
        result = simulate(seed, storing(stored, acknowledged, window))
        assert result.violations == ()
        assert len(acknowledged) > 50
        assert acknowledged <= stored.keys()
        count += sum(times > 1 for times in stored.values())
    return count


def test_a_topic_with_deduplication_has_every_record_once() -> None:
    assert twice(window=10_000) == 0


def test_without_it_some_are_there_twice() -> None:
    assert twice(window=None) > 0


def test_a_window_that_is_too_small_does_not_help() -> None:
    assert twice(window=1) > 0
