"""One workload done with txfluvio, in this process: ``python -m benchmarks.ours JSON``.

The cluster is the current one of the profile file that ``FLV_PROFILE_PATH`` names. The result is
one line of JSON: how many records, the seconds they took, the latencies where they are the point,
and the most memory the process had.
"""

from __future__ import annotations

import gc
import json
import resource
import struct
import sys
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

BEGAN = perf_counter()

from twisted.internet import task  # noqa: E402
from twisted.internet.defer import Deferred, DeferredList, gatherResults  # noqa: E402

from txfluvio import (  # noqa: E402
    ClientConfig,
    FluvioClient,
    FluvioError,
    Offset,
    ProducerConfig,
)
from txfluvio.testing.process_memory import resident  # noqa: E402
from txfluvio.wire import COMPILED  # noqa: E402

from . import payload  # noqa: E402

CHUNK = 1000
"""Records in one call of ``send_many``."""
AHEAD = 20
"""Calls of ``send_many`` under way at once."""

BUFFER = 64 * 1024 * 1024
"""Bytes that a consumer may hold which is to hold everything."""

Result = dict[str, Any]
Work = Callable[[Any, FluvioClient, dict[str, Any]], Coroutine[Any, Any, Result]]


async def consume_iter(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """``async for record``; its value and offset are read."""
    count = size = 0
    began = perf_counter()
    async with client.consumer(
        spec["topic"], start=Offset.beginning(), stop=Offset.absolute(spec["count"])
    ) as records:
        async for record in records:
            size += len(record.value)
            last = record.offset
            count += 1
    return {"count": count, "bytes": size, "last": last, "seconds": perf_counter() - began}


async def consume_batches(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """A list of records at a time; the value and offset of each are read."""
    count = size = 0
    began = perf_counter()
    async with client.consumer(
        spec["topic"], start=Offset.beginning(), stop=Offset.absolute(spec["count"])
    ) as records:
        async for batch in records.batches():
            for record in batch:
                size += len(record.value)
                last = record.offset
                count += 1
    return {"count": count, "bytes": size, "last": last, "seconds": perf_counter() - began}


def _producer_config(spec: dict[str, Any]) -> ProducerConfig:
    return ProducerConfig(compression=spec.get("codec"))


async def produce_many(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """``send_many`` of a thousand records at a time, some calls ahead."""
    count, keyed = spec["count"], spec.get("keyed", False)
    pairs = payload.pairs(CHUNK, spec["size"], keyed=keyed, varied=spec.get("varied", False))
    records = pairs if keyed else [value for _, value in pairs]
    async with client.producer(spec["topic"], _producer_config(spec)) as producer:
        began = perf_counter()
        ahead: list[Deferred[Any]] = []
        for _ in range(0, count, CHUNK):
            ahead.append(producer.send_many(records))
            if len(ahead) >= AHEAD:
                await ahead.pop(0)
        for stored in ahead:
            await stored
        seconds = perf_counter() - began
    return {"count": count, "seconds": seconds}


async def produce_each(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """A ``send`` for each record, with a Deferred each; the loop pauses for an older one at times.

    That all were stored is seen from the last one's offset.
    """
    count = spec["count"]
    records = payload.pairs(CHUNK, spec["size"], keyed=spec.get("keyed", False))
    async with client.producer(spec["topic"], _producer_config(spec)) as producer:
        send = producer.send
        before = await send(b"")
        began = perf_counter()
        ahead = []
        for _ in range(0, count, CHUNK):
            for key, value in records:
                sent = send(value, key)
            ahead.append(sent)
            if len(ahead) >= AHEAD:
                await ahead.pop(0)
        await producer.flush()
        last = await sent
        seconds = perf_counter() - began
    if last.offset != before.offset + count:
        raise SystemExit(f"the last of {count} records is at {last}, the first behind {before}")
    return {"count": count, "seconds": seconds}


async def produce_each_frozen(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """The same, with what was imported out of the garbage collector's sight, as is advised."""
    gc.freeze()
    return await produce_each(reactor, client, spec)


async def produce_awaited(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """One record at a time: the next is sent when the last one is stored."""
    value = payload.values(spec["size"])[0]
    latencies = []
    async with client.producer(spec["topic"]) as producer:
        for _ in range(50):
            await producer.send(value)
        began = perf_counter()
        for _ in range(spec["count"]):
            before = perf_counter()
            await producer.send(value)
            latencies.append(perf_counter() - before)
        seconds = perf_counter() - began
    return {"count": spec["count"], "seconds": seconds, "latencies": latencies}


async def tick(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Send a record every so often that says when it was sent; for whoever measures latency."""
    async with client.producer(spec["topic"]) as producer:
        for _ in range(spec["count"]):
            await task.deferLater(reactor, spec["every"])
            producer.send(struct.pack(">d", perf_counter())).addErrback(_fatal)
        await producer.flush()
    return {"count": spec["count"], "seconds": 0.0}


async def latency(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """From ``send`` in another process to the hands of this consumer."""
    latencies = []
    began = perf_counter()
    async with client.consumer(
        spec["topic"], start=Offset.beginning(), stop=Offset.absolute(spec["count"])
    ) as records:
        print("ready", flush=True)
        async for record in records:
            (sent,) = struct.unpack(">d", record.value)
            latencies.append(perf_counter() - sent)
    return {"count": len(latencies), "seconds": perf_counter() - began, "latencies": latencies}


async def consumers(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Many consumers of one topic in one client, each reading all of it."""

    async def read() -> int:
        count = 0
        async with client.consumer(
            spec["topic"], start=Offset.beginning(), stop=Offset.absolute(spec["count"])
        ) as records:
            async for batch in records.batches():
                count += len(batch)
        return count

    began = perf_counter()
    counts = await gatherResults(
        [Deferred.fromCoroutine(read()) for _ in range(spec["consumers"])], consumeErrors=True
    )
    return {"count": sum(counts), "seconds": perf_counter() - began}


async def spread(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """All partitions of a topic, read to the end as of now."""
    count = 0
    began = perf_counter()
    async with client.consumer(
        spec["topic"], start=Offset.beginning(), stop=Offset.end()
    ) as records:
        async for batch in records.batches():
            count += len(batch)
    return {"count": count, "seconds": perf_counter() - began}


async def held(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Receive everything and hand out nothing: how much memory a record takes that waits."""
    began, before = perf_counter(), resident()
    async with client.consumer(
        spec["topic"], start=Offset.beginning(), buffer_memory=BUFFER
    ) as records:
        still = 0
        while still < 5:
            buffered = records.buffered
            await task.deferLater(reactor, 0.1)
            still = still + 1 if records.buffered == buffered else 0
        grown = resident() - before
        # That they were all there is seen by reading them.
        async for record in records:
            if record.offset == spec["count"] - 1:
                break
    seconds = perf_counter() - began
    return {"count": spec["count"], "seconds": seconds, "bytes_each": grown / spec["count"]}


async def connect(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Nothing: what counts is the time from the start of the program until it is connected."""
    return {"count": 1, "seconds": perf_counter() - BEGAN}


async def meet(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Connect once more, and get to know every topic and partition of the cluster."""
    began = perf_counter()
    async with FluvioClient(reactor, ClientConfig.from_profile()):
        return {"count": 1, "seconds": perf_counter() - began}


async def fill(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Make a topic, with ``count`` records in it."""
    await client.admin.create_topic(spec["topic"], partitions=spec.get("partitions", 1))
    count = spec.get("count", 0)
    return await produce_many(reactor, client, spec) if count else {"count": 0, "seconds": 0.0}


async def drop(reactor: Any, client: FluvioClient, spec: dict[str, Any]) -> Result:
    """Delete topics."""
    await DeferredList([client.admin.delete_topic(name) for name in spec["topics"]])
    return {"count": len(spec["topics"]), "seconds": 0.0}


def _fatal(failure: Any) -> None:
    failure.printTraceback()
    raise SystemExit(1)


WORKS: dict[str, Work] = {
    work.__name__: work
    for work in (
        consume_iter,
        consume_batches,
        produce_many,
        produce_each,
        produce_each_frozen,
        produce_awaited,
        tick,
        latency,
        consumers,
        spread,
        held,
        connect,
        meet,
        fill,
        drop,
    )
}


async def main(reactor: Any, spec: dict[str, Any]) -> None:
    try:
        async with FluvioClient(reactor, ClientConfig.from_profile()) as client:
            gc.collect()
            result = await WORKS[spec["work"]](reactor, client, spec)
    except FluvioError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result["peak"] = usage.ru_maxrss * 1024
    result["cpu"] = usage.ru_utime + usage.ru_stime
    result["compiled"] = COMPILED
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor, json.loads(sys.argv[1]))))
