"""What it costs to trace a request; run by `invoke bench.trace`.

Three parts, each in the topology `clusterip` by each tool: `requests` makes the same request traced and untraced in
turn; `journey` times `lab.trace` from the request's end until the journey is printed, and the steps of it; `memory`
is the most that its processes take for a large reply, and for many requests at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from statistics import median
from typing import Any

from benchmarks.kept import check_part, invoke, keep, lines_of, machine, pss
from lab.ask import traffic
from lab.kernel import command
from lab.packets import trace
from lab.standing import observe, session

PARTS = ("requests", "journey", "memory")
TOOLS = {
    "iptables-nft": ("--mode", "iptables", "--iptables", "nft"),
    "iptables-legacy": ("--mode", "iptables", "--iptables", "legacy"),
    "nft": ("--mode", "nftables"),
}
ASKED = ("client-a", "svc/web")
REPLY_BYTES, AT_ONCE = 3_000_000, 500
SIZES = {
    "one request": (0, ASKED[1]),
    "a reply of 3 MB": (0, f"http://10.96.0.10/bytes?size={REPLY_BYTES}"),
    "500 requests at once": (AT_ONCE - 1, ASKED[1]),
}
_TIMEOUT_S = 60.0

# `lab.trace` with the command line behind it, and beside its request so many others. On standard error: what has ended
# when, and the most memory that the process had by then. Every process but the first ends by os._exit.
_MEASURES_ITSELF = """
import functools, os, resource, sys, time
from dataclasses import replace
import lab.journey
from lab.ask import traffic
from lab.packets import tracing
from lab.cli import main

others = int(sys.argv.pop(1))

def told(what):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    os.write(2, f"{what} {time.monotonic_ns()} {peak}\\n".encode())

def telling(what, work):
    @functools.wraps(work)
    def worked(*arguments, **more):
        try:
            return work(*arguments, **more)
        finally:
            told(what)
    return worked

def asked(requests, **more):
    wanted = [*requests, *[replace(requests[0], local_port=0)] * others]
    return made(wanted, concurrency=len(wanted), **more)[:1]

def left(status):
    told("left")
    leave(status)

made, leave = traffic.requests, os._exit
os._exit = left
traffic.requests = telling("asked", asked)
tracing.evidence = telling("gathered", tracing.evidence)
lab.journey.assemble = telling("assembled", lab.journey.assemble)
try:
    main()
finally:
    sys.stdout.flush()
    told("printed")
"""
_STEPS = ("asked", "gathered", "assembled", "printed")


def main(rounds: int, out: str, only: str) -> None:
    """Run the parts, print a table, and keep the results as JSON."""
    check_part(only, PARTS)
    results: dict[str, Any] = {"machine": machine(), "rounds": rounds}
    for tool in TOOLS:
        with _lab(tool) as name:
            if only in ("", "requests"):
                results.setdefault("requests", {})[tool] = _requests(name, rounds)
            if only in ("", "journey"):
                results.setdefault("journey", {})[tool] = _journey(name, rounds)
            if only in ("", "memory"):
                results.setdefault("memory", {})[tool] = _memory(name, rounds)
    keep(results, table(results), out, "trace.json")


@contextmanager
def _lab(tool: str) -> Iterator[str]:
    """Hold a lab whose rules are made by `tool`, and give its name."""
    name = f"bench-{os.getpid()}"
    invoke("lab.up", "clusterip", *TOOLS[tool], "--lab", name)
    try:
        yield name
    finally:
        invoke("lab.down", "--lab", name)


def _requests(name: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds from connect() to the reply's last byte, without and with a trace; the two take turns."""
    lab = session.attach(name)
    source, to = ASKED
    request, _ = observe.request(lab.cluster, source, to, port=None, protocol="tcp")
    ways = {
        "untraced": lambda: lab.call(partial(traffic.requests, [request]))[0],
        "traced": lambda: trace.of(lab, request).reply,
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in sorted(ways, reverse=bool(number % 2)):
            reply = ways[way]()
            if not reply.answered:
                raise RuntimeError(f"{way}: {reply.error}")
            seconds[way].append(reply.latency_s)
    return seconds


def _journey(name: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each step behind the request, of all of them, and of Python's start and the command."""
    seconds: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        told, _ = _trace(name)
        ends = [next(at for what, at, _ in told if what == step) for step in _STEPS]
        times = {step: (end - begin) / 1e9 for step, begin, end in zip(_STEPS[1:], ends, ends[1:], strict=False)}
        times["whole"] = (ends[-1] - ends[0]) / 1e9
        times["start"] = invoke("--list")
        times["command"] = invoke("lab.trace", *ASKED, "--lab", name)
        if number:  # the first round compiles, and warms caches
            for what, value in times.items():
                seconds.setdefault(what, []).append(value)
        print(f"{name}, round {number}/{rounds}: printed after {times['whole']:.3f} s", file=sys.stderr)
    return seconds


def _memory(name: str, rounds: int) -> dict[str, dict[str, list[Any]]]:
    """Return the most bytes of one process, of all of them together (PSS, as often as one can look), and all notes."""
    found: dict[str, dict[str, list[Any]]] = {}
    for _ in range(rounds):
        for what, (others, to) in SIZES.items():
            row = found.setdefault(what, {"largest": [], "together": [], "notes": []})
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(_trace, name, to, others)
                together = 0
                while not running.done():
                    together = max(together, sum(map(pss, _descendants(os.getpid()))))
            told, notes = running.result()
            row["largest"].append(max(peak for _, _, peak in told))
            row["together"].append(together)
            row["notes"].append(notes)
    return found


def _descendants(ancestor: int) -> Iterator[str]:
    """Yield the processes that descend from one, by the files that /proc has of them: proc_pid_stat(5)."""
    children: dict[str, list[str]] = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has ended
            parent = lines_of(f"/proc/{process}/stat")[-1].rpartition(")")[2].split()[1]
            children.setdefault(parent, []).append(process)
    waiting = [str(ancestor)]
    while waiting:
        new = children.get(waiting.pop(), [])
        waiting += new
        yield from new


def _trace(name: str, to: str = ASKED[1], others: int = 0) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Trace a request; return what ended when (ns), with the most memory of its process by then, and all notes."""
    argv = [sys.executable, "-c", _MEASURES_ITSELF, str(others), "lab.trace", ASKED[0], to, "--lab", name]
    done = command.run(argv, timeout_s=_TIMEOUT_S)
    if done.status:
        raise RuntimeError(f"{' '.join(argv[3:])}: exit {done.status}: {done.stderr}")
    lines = (line.split() for line in done.stderr.splitlines())
    told = [(what, int(at), int(peak)) for what, at, peak in lines]
    return told, [line for line in done.stdout.splitlines() if line.startswith("note: ")]


# --- the table ---------------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown, for README."""
    parts = {"requests": _of_requests, "journey": _of_journey, "memory": _of_memory}
    return "\n\n".join("\n".join(parts[part](results[part])) for part in PARTS if part in results)


def _of_requests(results: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    yield "| rules by | a request | traced | ratio |"
    yield "|---|---:|---:|---:|"
    for tool, seconds in results.items():
        plain, traced = (median(seconds[way]) for way in ("untraced", "traced"))
        yield f"| {tool} | {plain * 1000:.1f} ms | {traced * 1000:.1f} ms | {traced / plain:.2f} |"


def _of_journey(results: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    yield (
        "| rules by | evidence gathered | assembled | printed | from the request's end"
        " | the slowest | `invoke` alone | `lab.trace` |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for tool, seconds in results.items():
        figures = [median(seconds[step]) for step in (*_STEPS[1:], "whole")]
        figures += [max(seconds["whole"]), median(seconds["start"]), median(seconds["command"])]
        yield f"| {tool} | {' | '.join(f'{figure * 1000:.0f} ms' for figure in figures)} |"


def _of_memory(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "| rules by | | the largest process | all processes (PSS) | lost |"
    yield "|---|---|---:|---:|---|"
    for tool, rows in results.items():
        for what, row in rows.items():
            largest, together = (f"{max(row[size]) / 1e6:.0f} MB" for size in ("largest", "together"))
            said = sum(bool(notes) for notes in row["notes"])
            lost = f"said, in {said} of {len(row['notes'])} rounds" if said else "nothing"
            yield f"| {tool} | {what} | {largest} | {together} | {lost} |"
