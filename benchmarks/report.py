"""From what the programs saw to a table: medians, spreads, ratios, and what went missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from statistics import median, quantiles
from typing import Any

from .plan import Workload
from .runner import Results

MIB = 1024 * 1024


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": {name: _version(name) for name in ("txfluvio", "twisted", "fluvio")},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def summary(plan: Iterable[Workload], results: Results) -> list[dict[str, Any]]:
    """A row for each program of each workload, with its ratios to the official ones."""
    rows = []
    for load in plan:
        found = {key: _figures(load.measure, seen) for key, seen in results[load.name].items()}
        official = {
            key: row
            for key, row in found.items()
            if key.startswith("official ") and "failed" not in row
        }
        for key, row in found.items():
            row |= {"workload": load.name, "program": key, "measure": load.measure}
            if not key.startswith("official "):
                row["ratios"] = {
                    other.removeprefix("official "): _ratio(row, theirs, load.measure)
                    for other, theirs in official.items()
                }
            rows.append(row)
    return rows


def _figures(measure: str, seen: list[dict[str, Any]]) -> dict[str, Any]:
    for result in seen:
        if "failed" in result:
            return {"failed": result["failed"]}
    if measure == "latency":
        each = [[p50(result["latencies"]), p99(result["latencies"])] for result in seen]
        values = [fifty for fifty, _ in each]
        extra = {"p99": median(ninety_nine for _, ninety_nine in each)}
    elif measure == "seconds":
        values, extra = [result["seconds"] for result in seen], {}
    elif measure == "bytes":
        values, extra = [result["bytes_each"] for result in seen], {}
    else:
        values, extra = [result["count"] / result["seconds"] for result in seen], {}
    return {
        "median": median(values),
        "least": min(values),
        "most": max(values),
        "count": median(result["count"] for result in seen),
        "peak": max(result["peak"] for result in seen),
        "cpu": median(result["cpu"] for result in seen),
        **extra,
    }


def _ratio(ours: dict[str, Any], theirs: dict[str, Any], measure: str) -> dict[str, float]:
    if measure == "latency":
        return {name: ours[at] / theirs[at] for name, at in (("p50", "median"), ("p99", "p99"))}
    return {measure: ours["median"] / theirs["median"]}


def p50(values: list[float]) -> float:
    return median(values)


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def table(plan: Iterable[Workload], rows: list[dict[str, Any]]) -> str:
    """The rows as text; ratios above 1 are wins for rates, below 1 for times."""
    wanted = {load.name: load.spec.get("count", 0) for load in plan}
    head = ["workload", "client", "median", "spread", "peak", "ratio to the official client"]
    lines = [head, *(_cells(row, wanted[row["workload"]]) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: dict[str, Any], wanted: int) -> list[str]:
    measure = row["measure"]
    if "failed" in row:
        return [row["workload"], row["program"], "failed", "", "", row["failed"]]
    shown = _shown(row["median"], measure)
    if "p99" in row:
        shown += f", p99 {_shown(row['p99'], measure)}"
    ratios = [
        f"{name}: " + ", ".join(_shown_ratio(kind, value) for kind, value in of.items())
        for name, of in row.get("ratios", {}).items()
    ]
    return [
        row["workload"],
        row["program"],
        shown,
        f"{_shown(row['least'], measure)} to {_shown(row['most'], measure)}",
        f"{row['peak'] / MIB:.0f} MiB",
        "; ".join(ratios) + _missing(row, wanted),
    ]


def _shown(value: float, measure: str) -> str:
    if measure == "rate":
        return f"{value:,.0f}/s"
    if measure == "bytes":
        return f"{value:,.0f} B"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _shown_ratio(kind: str, value: float) -> str:
    return f"{value:.2f}x" if kind in ("rate", "seconds") else f"{kind} {value:.2f}x"


def _missing(row: dict[str, Any], wanted: int) -> str:
    lost = wanted - row["count"]
    consuming = row["workload"].startswith("consume (")
    return f"{lost:,.0f} of {wanted:,} records never arrived" if consuming and lost > 0 else ""
