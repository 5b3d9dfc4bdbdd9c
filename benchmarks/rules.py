"""How fast a cluster's objects become rules in the kernel; run by `invoke bench.rules`.

Four parts. `load`: from a file of JSON objects to the kernel, beside the bare load of the same rules, in turns.
`change`: one endpoint more or less, beside the bare load of the same transaction. `memory`: the most that rendering
takes. `yaml`: what reading YAML instead of JSON costs. One node, IPv4, each load in a network namespace of its own.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

from msgspec import structs

from benchmarks import up
from benchmarks.objects import ENDPOINTS, written
from benchmarks.reading import memory, yaml
from lab.errors import TopologyError
from lab.kernel import command, join, netns, rules
from lab.model.cluster import Cluster
from lab.model.kubernetes import KubeProxyConfiguration, to_builtins
from lab.model.lab import Lab, LabMeta, LabSpec, Mode
from lab.model.ruleset import Ruleset
from lab.parse import cluster_files
from lab.parse.quick import uncollected
from lab.proxy.iptables import COUNTERS
from lab.proxy.node import render
from lab.proxy.partial import transactions
from lab.proxy.stream import stream

PARTS = ("load", "change", "memory", "yaml")
TOOLS: tuple[rules.Tool, ...] = ("iptables-nft", "iptables-legacy", "nft")
BARE: dict[rules.Tool, tuple[str, ...]] = {
    "iptables-nft": ("iptables-nft-restore",),
    "iptables-legacy": ("iptables-legacy-restore",),
    "nft": ("nft", "-f", "-"),
}
CHANGED = 5000  # Services around the one whose endpoints change
YAML = 1000
MEGABYTE = 1 << 20
SETTINGS = KubeProxyConfiguration(hostname_override="node-1", cluster_cidr="10.128.0.0/9")
_TIMEOUT_S = 300.0


def main(services: str, rounds: int, out: str, only: str) -> None:
    """Run the parts, print a table, and keep the results as JSON."""
    sizes = _numbers(services)
    if only and only not in PARTS:
        raise TopologyError(f"--only: {only!r} is not a part", hint=f"the parts are {', '.join(PARTS)}")
    file = Path(out) if out else up.RESULTS / "rules.json"
    results: dict[str, Any] = {"machine": machine(), "endpoints": ENDPOINTS, "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if only in ("", "load"):
            results["load"] = [_load(size, rounds, place) for size in sizes]
        if only in ("", "change"):
            results["change"] = _change(min(CHANGED, max(sizes)), rounds, place)
        if only in ("", "memory"):
            results["memory"] = memory(max(sizes), place)
        if only in ("", "yaml"):
            results["yaml"] = yaml(min(YAML, *sizes), rounds, place)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))
    print(f"\nresults: {file}")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        hint = "for example --services 1000,5000"
        raise TopologyError(f"--services: {text!r} is not a list of numbers", hint=hint) from None


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {argv[0]: command.check(argv).strip() for argv in (("iptables", "-V"), ("nft", "-V"))}
    return {**up.machine(), **{name: text.splitlines()[0] for name, text in versions.items()}}


# --- load --------------------------------------------------------------------------------------------------------


def _mode(tool: rules.Tool) -> Mode:
    return "nftables" if tool == "nft" else "iptables"


def _pieces(file: Path, tool: rules.Tool) -> Iterator[str]:
    return stream(cluster_files.load([str(file)]), SETTINGS, "ipv4", mode=_mode(tool))


def _load(services: int, rounds: int, place: Path) -> dict[str, Any]:
    """Return the seconds of both ways for each tool."""
    file = written(services, place)
    seconds: dict[str, dict[str, list[float]]] = {tool: {"hairpin": [], "bare": [], "command": []} for tool in TOOLS}
    sizes = {}
    for tool in TOOLS:
        # Not made here: a process that has made all of this is slower to fork, and its children slower to begin.
        text = command.check(_invocation(file, tool), timeout_s=_TIMEOUT_S)
        sizes[tool] = len(text)
        ways = {
            "hairpin": partial(_ours, file, tool),
            "bare": partial(_bare, text, tool),
            "command": partial(_command, file, tool),
        }
        for number in range(rounds):
            for way in sorted(ways, reverse=bool(number % 2)):
                seconds[tool][way].append(_in_capsule(ways[way], place))
                _say(f"{services} Services, {tool}, round {number + 1}/{rounds}, {way}", seconds[tool][way][-1])
    return {"services": services, "letters": sizes, "seconds": seconds}


def _say(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.3f} s", file=sys.stderr)


def _in_capsule(way: Callable[[], float], place: Path) -> float:
    with tempfile.TemporaryDirectory(dir=place) as folder, up.empty_capsule(Path(folder)) as keeper:
        seconds = join.call(keeper, way)
    up.settle()
    return seconds


def _ours(file: Path, tool: rules.Tool) -> float:
    """Load while rendering, as `proxy.render | iptables-restore` does; nft begins when it has read all."""
    with netns.scratch(), uncollected():
        rules.add_counters(None, COUNTERS)
        begin = time.perf_counter()
        if tool == "nft":
            text = "".join(_pieces(file, tool))
            rules.restore([rules.Load(netns=None, tool=tool, family="ipv4", text=text, anew=True)])
            return time.perf_counter() - begin
        with Popen(BARE[tool], stdin=PIPE, text=True) as loader:  # noqa: S603 - one of BARE
            if loader.stdin:
                loader.stdin.writelines(_pieces(file, tool))
                loader.stdin.close()
            if loader.wait(_TIMEOUT_S):
                raise RuntimeError(f"{BARE[tool]}: exit {loader.returncode}")
        return time.perf_counter() - begin


def _bare(text: str, tool: rules.Tool) -> float:
    with netns.scratch():
        rules.add_counters(None, COUNTERS)
        begin = time.perf_counter()
        command.check(BARE[tool], stdin=text, timeout_s=_TIMEOUT_S)
        return time.perf_counter() - begin


def _invocation(file: Path, tool: rules.Tool) -> list[str]:
    config = file.with_name("config.json")
    config.write_text(json.dumps({"kind": SETTINGS.kind, **to_builtins(SETTINGS)}), encoding="utf-8")
    invoke = [sys.executable, "-m", "invoke", "--search-root", str(up.ROOT), "proxy.render"]
    return [*invoke, "--objects", str(file), "--config", str(config), "--mode", _mode(tool)]


def _command(file: Path, tool: rules.Tool) -> float:
    """Type what a user would type: Python starts, too."""
    with netns.scratch():
        rules.add_counters(None, COUNTERS)
        begin = time.perf_counter()
        line = f"{shlex.join(_invocation(file, tool))} | {shlex.join(BARE[tool])}"
        command.check(("sh", "-c", line), timeout_s=_TIMEOUT_S)
        return time.perf_counter() - begin


# --- change ------------------------------------------------------------------------------------------------------


def _clusters(services: int, place: Path, tool: rules.Tool) -> tuple[Cluster, Cluster]:
    """Return a cluster, and the same with one endpoint less."""
    with uncollected():
        found = cluster_files.load([str(written(services, place))])
    spec = LabSpec(iptables="legacy" if tool == "iptables-legacy" else "nft")
    whole = Cluster(
        lab=Lab(metadata=LabMeta(name="bench"), spec=spec),
        nodes=found.nodes,
        services=found.services,
        slices=found.slices,
        proxy=replace_mode(_mode(tool)),
    )
    middle = services // 2
    first, chosen, rest = found.slices[:middle], found.slices[middle], found.slices[middle + 1 :]
    less = structs.replace(chosen, endpoints=chosen.endpoints[:-1])
    return whole, replace(whole, slices=(*first, less, *rest))


def replace_mode(mode: Mode) -> KubeProxyConfiguration:
    """Return the configuration in the other mode."""
    return KubeProxyConfiguration(hostname_override="node-1", cluster_cidr=SETTINGS.cluster_cidr, mode=mode)


def _change(services: int, rounds: int, place: Path) -> dict[str, Any]:
    """Return the seconds of both ways for each tool, to take an endpoint away and to give it back in turns."""
    found = {}
    for tool in TOOLS:
        whole, less = _clusters(services, place, tool)
        with tempfile.TemporaryDirectory(dir=place) as folder, up.empty_capsule(Path(folder)) as keeper:
            found[tool] = join.call(keeper, partial(_changes, whole, less, tool, rounds))
        for way, values in found[tool].items():
            _say(f"one endpoint of {services} Services, {tool}, {way}", median(values))
    return {"services": services, "seconds": found}


def _changes(whole: Cluster, less: Cluster, tool: rules.Tool, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {"hairpin": [], "bare": [], "deciding": []}
    with netns.scratch():
        counters = rules.nfacct_available()
        ruleset = render(
            whole.services, whole.slices, whole.nodes, whole.proxy, "ipv4", mode=_mode(tool), counters=counters
        )
        if isinstance(ruleset, Ruleset):
            rules.add_counters(None, ruleset.counters)
        rules.restore([rules.Load(netns=None, tool=tool, family="ipv4", text=ruleset.restore_text(), anew=True)])
        pairs = _pairs(whole, less)
        for _ in range(rounds):
            old, new = next(pairs)
            begin = time.perf_counter()
            (change,) = transactions(old, new, ["node-1"], counters=counters)
            seconds["deciding"].append(time.perf_counter() - begin)
            rules.restore([rules.Load(netns=None, tool=tool, family="ipv4", text=change.text)])
            seconds["hairpin"].append(time.perf_counter() - begin)
            (change,) = transactions(*next(pairs), ["node-1"], counters=counters)
            argv = BARE[tool] if tool == "nft" else (*BARE[tool], "--noflush")
            begin = time.perf_counter()
            command.check(argv, stdin=change.text, timeout_s=_TIMEOUT_S)
            seconds["bare"].append(time.perf_counter() - begin)
    return seconds


def _pairs(whole: Cluster, less: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    while True:
        yield whole, less
        yield less, whole


# --- the table ---------------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown, for README."""
    text: list[str] = []
    if "load" in results:
        head = f"| Services x {results['endpoints']} | loaded by | from JSON to the kernel | bare load | ratio |"
        text += [f"{head} whole command |"]
        text += ["|---:|---|---:|---:|---:|---:|"]
        for tool in TOOLS:
            for row in results["load"]:
                seconds = row["seconds"][tool]
                text.append(f"{_row(row['services'], tool, seconds)} {median(seconds['command']):.2f} s |")
    if "change" in results:
        row = results["change"]
        text += ["", "| Services | one endpoint, by | from objects to the kernel | bare load | ratio |"]
        text += ["|---:|---|---:|---:|---:|"]
        text += [_row(row["services"], tool, row["seconds"][tool]) for tool in TOOLS]
    if "memory" in results:
        for mode, peak in results["memory"]["peak"].items():
            text += ["", f"rendering {results['memory']['services']} Services, {mode}: {peak / MEGABYTE:.0f} MiB"]
    if "yaml" in results:
        row = results["yaml"]
        js, ya = (median(row["seconds"][name]) for name in ("json", "yaml"))
        text += ["", f"reading {row['services']} Services: {js:.2f} s from JSON, {ya:.2f} s from YAML"]
    return "\n".join(text).strip()


def _row(services: int, tool: str, seconds: dict[str, list[float]]) -> str:
    ours, bare = median(seconds["hairpin"]), median(seconds["bare"])
    return f"| {services} | {tool} | {ours:.2f} s | {bare:.2f} s | {ours / bare:.2f} |"
