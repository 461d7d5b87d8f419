"""What is measured, and what is compared with what, as values."""

from __future__ import annotations

from typing import Any

import attrs

CODECS = ("none", "lz4")
SIZES = (16, 100, 1024)
COUNTS = {16: 1_000_000, 100: 1_000_000, 1024: 200_000}
"""Records of each size in one run: about a second of work for who is fast."""

HELD = {16: 300_000, 100: 200_000, 1024: 50_000}
"""Records of each size that wait at once where it is measured how much memory they take."""

EVERY = (0.05, 0.02)
"""Seconds between the records whose latency is measured. The half of a push is held back
until the other was acknowledged, which a receiver delays by up to 40 ms, but not if it has heard
nothing for longer than that."""


@attrs.frozen
class Run:
    """One program's part in a workload.

    :ivar client: ``"ours"``, ``"compiled"`` (ours too, the compiled build) or ``"official"``.
    :ivar work: the name of the function that does it.
    :ivar label: how the table calls it.
    :ivar scale: the part of the workload's records that it gets, where it is much slower.
    """

    client: str
    work: str
    label: str
    scale: float = 1.0


@attrs.frozen
class Workload:
    """What several programs do in turn, to be compared.

    :ivar name: of it, unique.
    :ivar runs: who takes part; the ratios are of ours to each official one.
    :ivar spec: what the programs get told.
    :ivar topic: ``"read"``: a topic filled once before the first round; ``"write"``: an empty one
        for each run; ``"live"``: an empty one that another process produces into; ``""``: none.
    :ivar measure: ``"rate"``: records a second; ``"latency"``: seconds at p50 and p99;
        ``"seconds"``: how long it takes; ``"bytes"``: memory for each record.
    """

    name: str
    runs: tuple[Run, ...]
    spec: dict[str, Any]
    topic: str = ""
    measure: str = "rate"


ITER = Run("ours", "consume_iter", "async for record")
BATCHES = Run("ours", "consume_batches", "batches()")
STREAM = Run("official", "consume_stream", "stream()")
MANY = Run("ours", "produce_many", "send_many")
ALL = Run("official", "produce_many", "send_all")
EACH = Run("ours", "produce_each", "send, one Deferred each")
FROZEN = Run("ours", "produce_each_frozen", "send, after gc.freeze()")
SEND = Run("official", "produce_each", "send")
ASYNC = Run("official", "produce_each_async", "async_send", scale=0.01)


def _shape(size: int, keyed: bool, codec: str) -> dict[str, Any]:
    return {"size": size, "keyed": keyed, "codec": codec, "count": COUNTS[size]}


def _title(size: int, keyed: bool, codec: str) -> str:
    parts = [f"{size} B" if size < 1024 else f"{size // 1024} KiB"]
    parts += ["key"] if keyed else []
    parts += [codec] if codec != "none" else []
    return ", ".join(parts)


def workloads(*, full: bool) -> list[Workload]:
    """All workloads; unless ``full``, those of 100-byte values only."""
    plan: list[Workload] = []
    shapes = [(size, keyed, codec) for size in SIZES for keyed in (False, True) for codec in CODECS]
    if not full:
        shapes = [(100, False, "none")]
    for shape in shapes:
        spec, title = _shape(*shape), _title(*shape)
        plan += [
            Workload(f"consume ({title})", (ITER, BATCHES, STREAM), spec, "read"),
            Workload(f"produce ({title})", (MANY, ALL), spec, "write"),
        ]
        usual = shape == (100, False, "none")
        runs = (EACH, FROZEN, SEND, ASYNC) if usual else (EACH, SEND)
        plan.append(Workload(f"produce each ({title})", runs, spec, "write"))
    plan += [
        Workload(
            # Records of one size are read together, others one by one.
            "consume (70 to 130 B)",
            (ITER, BATCHES, STREAM),
            {"size": 100, "varied": True, "count": COUNTS[100]},
            "read",
        ),
        Workload(
            "awaited send, depth 1",
            (
                Run("ours", "produce_awaited", "await send"),
                Run("official", "produce_awaited", "send().wait()"),
            ),
            {"size": 100, "count": 2000},
            "write",
            "latency",
        ),
        *(
            Workload(
                f"end to end latency, every {every * 1000:.0f} ms",
                (
                    Run("ours", "latency", "async for record"),
                    Run("official", "latency", "stream()"),
                ),
                {"count": 100, "every": every},
                "live",
                "latency",
            )
            for every in EVERY
        ),
        Workload(
            "1,000 consumers in one client",
            (Run("ours", "consumers", "consumer"), Run("official", "consumers", "stream()")),
            {"size": 100, "count": 200, "consumers": 1000},
            "read",
        ),
        Workload(
            "start: import and connect",
            (Run("ours", "connect", "FluvioClient"), Run("official", "connect", "Fluvio.connect")),
            {"count": 1},
            "",
            "seconds",
        ),
    ]
    for size in SIZES if full else (100,):
        plan.append(
            Workload(
                f"memory of a record that waits ({size} B)",
                (Run("ours", "held", "consumer"),),
                {"size": size, "count": HELD[size]},
                "read",
                "bytes",
            )
        )
    for partitions in (1, 10, 100, 1000) if full else (1, 100):
        spec = {"size": 100, "count": 100_000, "partitions": partitions}
        plan.append(
            Workload(
                f"consume all of {partitions} partitions",
                (Run("ours", "spread", "batches()"),),
                spec,
                "read",
            )
        )
    for partitions in (1, 100, 1000, 10_000) if full else (10_000,):
        plan.append(
            Workload(
                f"connect to a cluster with {partitions:,} partitions more",
                (Run("ours", "meet", "FluvioClient"),),
                {"size": 100, "count": 1, "partitions": partitions},
                "read",
                "seconds",
            )
        )
    return plan


def bearable(load: Workload) -> bool:
    """Whether a real cluster can be asked for it.

    With a topic of ten thousand partitions to see to, an SC (0.18) makes no other for minutes.
    """
    return int(load.spec.get("partitions", 1)) <= 100


def alone(load: Workload) -> Workload:
    """The workload without the official client."""
    return attrs.evolve(load, runs=tuple(run for run in load.runs if run.client == "ours"))


def both_builds(load: Workload) -> Workload:
    """The workload with the compiled build beside the plain one."""
    runs: list[Run] = []
    for run in load.runs:
        runs.append(run)
        if run.client == "ours":
            runs.append(attrs.evolve(run, client="compiled"))
    return attrs.evolve(load, runs=tuple(runs))


def scaled(load: Workload, scale: float) -> Workload:
    """The workload with more records, or fewer."""
    return attrs.evolve(load, spec={**load.spec, "count": max(1, int(load.spec["count"] * scale))})
