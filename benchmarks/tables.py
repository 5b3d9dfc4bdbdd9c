"""What `invoke bench.rules` measured, as Markdown for README."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

MEGABYTE = 1 << 20

Ways = dict[str, list[float]]
"""The seconds of each round, by what was done."""


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    text: list[str] = []
    if "load" in results:
        text += _load(results)
        text += ["", *_growth(results["load"])]
    if "change" in results:
        row = results["change"]
        text += ["", "| Services | one endpoint, by | from objects to the kernel | bare load | ratio | of processors |"]
        text += ["|---:|---|---:|---:|---:|---:|"]
        text += [f"{_row(row, tool)} |" for tool in row["seconds"]]
    if "memory" in results:
        for mode, peak in results["memory"]["peak"].items():
            text += ["", f"rendering {results['memory']['services']} Services, {mode}: {peak / MEGABYTE:.0f} MiB"]
    if "yaml" in results:
        row = results["yaml"]
        js, ya = (median(row["seconds"][name]) for name in ("json", "yaml"))
        text += ["", f"reading {row['services']} Services: {js:.2f} s from JSON, {ya:.2f} s from YAML"]
    return "\n".join(text).strip()


def _load(results: dict[str, Any]) -> Iterator[str]:
    head = f"| Services x {results['endpoints']} | loaded by | from JSON to the kernel | bare load | ratio |"
    yield f"{head} of processors | whole command |"
    yield "|---:|---|---:|---:|---:|---:|---:|"
    for tool in results["load"][0]["seconds"]:
        for row in results["load"]:
            yield f"{_row(row, tool)} | {median(row['seconds'][tool]['command']):.2f} s |"


def _row(row: dict[str, Any], tool: str) -> str:
    ours, bare = (median(row["seconds"][tool][way]) for way in ("hairpin", "bare"))
    ratio, busy = (_ratio(row[kind][tool]) for kind in ("seconds", "processors"))
    return f"| {row['services']} | {tool} | {ours:.2f} s | {bare:.2f} s | {ratio:.2f} | {busy:.2f}"


def _ratio(ways: Ways) -> float:
    return median(ways["hairpin"]) / median(ways["bare"])


def _growth(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the time that a Service takes among the most, as a multiple of its time among the fewest: 1 is linear."""
    few, many = (pick(rows, key=lambda row: row["services"]) for pick in (min, max))
    if few is many:
        return
    times = many["services"] / few["services"]
    yield f"| a Service of {many['services']} to one of {few['services']} | from JSON to the kernel | bare load |"
    yield "|---|---:|---:|"
    for tool in few["seconds"]:
        ours, bare = (
            median(many["seconds"][tool][way]) / median(few["seconds"][tool][way]) / times
            for way in ("hairpin", "bare")
        )
        yield f"| {tool} | {ours:.2f} | {bare:.2f} |"
