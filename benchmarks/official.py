"""One workload done with the official Python client: ``python -m benchmarks.official JSON``.

The counterpart of :mod:`benchmarks.ours`: the same workloads by the same names, as the official
client's documents would have them written.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import struct
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

BEGAN = perf_counter()

from fluvio import Compression, Fluvio, Offset, TopicProducerConfigBuilder  # noqa: E402

from . import payload  # noqa: E402

CHUNK = 1000
"""Records in one call of ``send_all``."""
AHEAD = 20
"""Calls of ``send_all`` under way at once."""

Result = dict[str, Any]


def consume_stream(fluvio: Any, spec: dict[str, Any]) -> Result:
    """``for record in stream()``; its value and offset are read.

    It is counted until the last offset was seen: records the client leaves out are not waited for.
    """
    count = size = 0
    end = spec["count"] - 1
    began = perf_counter()
    for record in fluvio.partition_consumer(spec["topic"], 0).stream(Offset.beginning()):
        size += len(bytes(record.value()))
        count += 1
        last = record.offset()
        if last >= end:
            break
    return {"count": count, "bytes": size, "last": last, "seconds": perf_counter() - began}


def consume_async(fluvio: Any, spec: dict[str, Any]) -> Result:
    """``async for record in async_stream()``."""

    async def read() -> Result:
        count = size = 0
        end = spec["count"] - 1
        began = perf_counter()
        consumer = fluvio.partition_consumer(spec["topic"], 0)
        async for record in await consumer.async_stream(Offset.beginning()):
            size += len(bytes(record.value()))
            count += 1
            last = record.offset()
            if last >= end:
                break
        return {"count": count, "bytes": size, "last": last, "seconds": perf_counter() - began}

    return asyncio.run(read())


def _producer(fluvio: Any, spec: dict[str, Any]) -> Any:
    codec = spec.get("codec", "none")
    if codec == "none":
        return fluvio.topic_producer(spec["topic"])
    config = TopicProducerConfigBuilder().compression(getattr(Compression, codec.capitalize()))
    return fluvio.topic_producer_with_config(spec["topic"], config.build())


def _records(spec: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    pairs = payload.pairs(CHUNK, spec["size"], keyed=spec.get("keyed", False))
    return [(key or b"", value) for key, value in pairs]


def produce_many(fluvio: Any, spec: dict[str, Any]) -> Result:
    """``send_all`` of a thousand records at a time, some calls ahead."""
    records = _records(spec)
    producer = _producer(fluvio, spec)
    began = perf_counter()
    ahead: list[Any] = []
    for _ in range(0, spec["count"], CHUNK):
        ahead.append(producer.send_all(records))
        if len(ahead) >= AHEAD:
            for output in ahead.pop(0):
                output.wait()
    producer.flush()
    seconds = perf_counter() - began
    return {"count": spec["count"], "bytes": spec["count"] * spec["size"], "seconds": seconds}


def produce_each(fluvio: Any, spec: dict[str, Any]) -> Result:
    """A ``send`` for each record, none waited for, and a ``flush``."""
    records = _records(spec)
    producer = _producer(fluvio, spec)
    began = perf_counter()
    for _ in range(0, spec["count"], CHUNK):
        for key, value in records:
            producer.send(key, value)
    producer.flush()
    seconds = perf_counter() - began
    return {"count": spec["count"], "bytes": spec["count"] * spec["size"], "seconds": seconds}


def produce_each_async(fluvio: Any, spec: dict[str, Any]) -> Result:
    """``await async_send`` for each record, and a flush."""
    records = _records(spec)

    async def send() -> float:
        producer = _producer(fluvio, spec)
        began = perf_counter()
        for _ in range(0, spec["count"], CHUNK):
            for key, value in records:
                await producer.async_send(key, value)
        await producer.async_flush()
        return perf_counter() - began

    seconds = asyncio.run(send())
    return {"count": spec["count"], "bytes": spec["count"] * spec["size"], "seconds": seconds}


def produce_awaited(fluvio: Any, spec: dict[str, Any]) -> Result:
    """One record at a time: ``send().wait()``."""
    value = payload.values(spec["size"])[0]
    producer = _producer(fluvio, spec)
    for _ in range(50):
        producer.send(b"", value).wait()
    latencies = []
    began = perf_counter()
    for _ in range(spec["count"]):
        before = perf_counter()
        producer.send(b"", value).wait()
        latencies.append(perf_counter() - before)
    return {
        "count": spec["count"],
        "seconds": perf_counter() - began,
        "latencies": latencies,
    }


def latency(fluvio: Any, spec: dict[str, Any]) -> Result:
    """From ``send`` in another process to the hands of this consumer."""
    latencies = []
    began = perf_counter()
    stream = fluvio.partition_consumer(spec["topic"], 0).stream(Offset.beginning())
    print("ready", flush=True)
    for record in stream:
        (sent,) = struct.unpack(">d", bytes(record.value()))
        latencies.append(perf_counter() - sent)
        if len(latencies) == spec["count"]:
            break
    return {"count": len(latencies), "seconds": perf_counter() - began, "latencies": latencies}


def consumers(fluvio: Any, spec: dict[str, Any]) -> Result:
    """Many streams of one topic, each read to its end in turn."""
    end = spec["count"] - 1
    count = 0
    began = perf_counter()
    streams = [
        fluvio.partition_consumer(spec["topic"], 0).stream(Offset.beginning())
        for _ in range(spec["consumers"])
    ]
    for stream in streams:
        for record in stream:
            count += 1
            if record.offset() >= end:
                break
    return {"count": count, "seconds": perf_counter() - began}


def connect(fluvio: Any, spec: dict[str, Any]) -> Result:
    """Nothing: what counts is the time from the start of the program until it is connected."""
    return {"count": 1, "seconds": perf_counter() - BEGAN}


WORKS: dict[str, Callable[[Any, dict[str, Any]], Result]] = {
    work.__name__: work
    for work in (
        consume_stream,
        consume_async,
        produce_many,
        produce_each,
        produce_each_async,
        produce_awaited,
        latency,
        consumers,
        connect,
    )
}


def main(spec: dict[str, Any]) -> None:
    result = WORKS[spec["work"]](Fluvio.connect(), spec)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result["peak"] = usage.ru_maxrss * 1024
    result["cpu"] = usage.ru_utime + usage.ru_stime
    print(json.dumps(result), flush=True)
    # Its threads now and then crash an interpreter that ends in order.
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
