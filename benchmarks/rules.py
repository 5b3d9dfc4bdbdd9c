"""How fast a cluster's objects become rules in the kernel; run by `invoke bench.rules`.

Four parts. `load`: from a file of JSON objects to the kernel, beside the bare load of the same rules, in turns; and
whether ten times the Services take ten times as long. `change`: one endpoint more or less, beside the bare load of the
same transaction. `memory`: the most that rendering takes. `yaml`: what reading YAML instead of JSON costs. One node,
IPv4, each load in a network namespace of its own.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

from msgspec import structs

from benchmarks import kept, up
from benchmarks.cost import Cost, cost
from benchmarks.objects import ENDPOINTS, written
from benchmarks.reading import memory, yaml
from benchmarks.tables import table
from lab.kernel import command, join, netns, rules
from lab.kernel.limits import widen
from lab.model.cluster import Cluster
from lab.model.kubernetes import to_builtins
from lab.model.lab import Lab, LabMeta, LabSpec, Mode
from lab.model.proxy_config import KubeProxyConfiguration
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
SETTINGS = KubeProxyConfiguration(hostname_override="node-1", cluster_cidr="10.128.0.0/9")
_TIMEOUT_S = 300.0


def main(services: str, rounds: int, out: str, only: str) -> None:
    """Run the parts, print a table, and keep the results as JSON."""
    sizes = kept.numbers("--services", services, "1000,5000")
    kept.check_part(only, PARTS)
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
    kept.keep(results, table(results), out, "rules.json")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {argv[0]: command.check(argv).strip() for argv in (("iptables", "-V"), ("nft", "-V"))}
    return {**kept.machine(), **{name: text.splitlines()[0] for name, text in versions.items()}}


# --- load --------------------------------------------------------------------------------------------------------


def _mode(tool: rules.Tool) -> Mode:
    return "nftables" if tool == "nft" else "iptables"


def _pieces(file: Path, tool: rules.Tool) -> Iterator[str]:
    return stream(cluster_files.load([str(file)]), SETTINGS, "ipv4", mode=_mode(tool))


def _load(services: int, rounds: int, place: Path) -> dict[str, Any]:
    """Return the seconds of each way for each tool: by the clock, and of processors."""
    file = written(services, place)
    seconds: dict[str, dict[str, list[float]]] = {tool: {} for tool in TOOLS}
    processors: dict[str, dict[str, list[float]]] = {tool: {} for tool in TOOLS}
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
                taken = _in_capsule(partial(_alone, ways[way]), place)
                for costs, value in zip((seconds, processors), taken, strict=True):
                    costs[tool].setdefault(way, []).append(value)
                _say(f"{services} Services, {tool}, round {number + 1}/{rounds}, {way}", *taken)
    return {"services": services, "letters": sizes, "seconds": seconds, "processors": processors}


def _say(what: str, seconds: float, processors: float) -> None:
    print(f"{what}: {seconds:.3f} s, {processors:.3f} s of processors", file=sys.stderr)


def _in_capsule(way: Callable[[], Cost], place: Path) -> Cost:
    with tempfile.TemporaryDirectory(dir=place) as folder, up.empty_capsule(Path(folder)) as keeper:
        taken = join.call(keeper, way)
    up.settle()
    return taken


def _alone(load: Callable[[], object]) -> Cost:
    """Return what a load costs in a network namespace that has no rules yet."""
    with netns.scratch():
        rules.add_counters(None, COUNTERS)
        return cost(load)


def _ours(file: Path, tool: rules.Tool) -> None:
    """Load while rendering, as `proxy.render | iptables-restore` does; nft begins when it has read all."""
    with uncollected():
        if tool == "nft":
            text = "".join(_pieces(file, tool))
            rules.restore([rules.Load(netns=None, tool=tool, family="ipv4", text=text, anew=True)])
            return
        with Popen(BARE[tool], stdin=PIPE, text=True) as loader:  # noqa: S603 - one of BARE
            if loader.stdin:
                widen(loader.stdin)
                loader.stdin.writelines(_pieces(file, tool))
                loader.stdin.close()
            if loader.wait(_TIMEOUT_S):
                raise RuntimeError(f"{BARE[tool]}: exit {loader.returncode}")


def _bare(text: str, tool: rules.Tool) -> None:
    command.check(BARE[tool], stdin=text, timeout_s=_TIMEOUT_S)


def _invocation(file: Path, tool: rules.Tool) -> list[str]:
    config = file.with_name("config.json")
    head = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": SETTINGS.kind}
    config.write_text(json.dumps({**head, **to_builtins(SETTINGS)}), encoding="utf-8")
    invoke = [sys.executable, "-m", "invoke", "--search-root", str(kept.ROOT), "proxy.render"]
    return [*invoke, "--objects", str(file), "--config", str(config), "--mode", _mode(tool)]


def _command(file: Path, tool: rules.Tool) -> None:
    """Type what a user would type: Python starts, too."""
    line = f"{shlex.join(_invocation(file, tool))} | {shlex.join(BARE[tool])}"
    command.check(("sh", "-c", line), timeout_s=_TIMEOUT_S)


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
    seconds, processors = {}, {}
    for tool in TOOLS:
        whole, less = _clusters(services, place, tool)
        with tempfile.TemporaryDirectory(dir=place) as folder, up.empty_capsule(Path(folder)) as keeper:
            taken = join.call(keeper, partial(_changes, whole, less, tool, rounds))
        seconds[tool], processors[tool] = ({way: [one[n] for one in taken[way]] for way in taken} for n in (0, 1))
        for way in taken:
            _say(f"one endpoint of {services} Services, {tool}, {way}", *map(median, zip(*taken[way], strict=True)))
    return {"services": services, "seconds": seconds, "processors": processors}


def _changes(whole: Cluster, less: Cluster, tool: rules.Tool, rounds: int) -> dict[str, list[Cost]]:
    taken: dict[str, list[Cost]] = {"hairpin": [], "bare": [], "deciding": []}
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
            pair = next(pairs)
            taken["hairpin"].append(cost(partial(_follow, pair, tool, counters=counters)))
            taken["deciding"].append(cost(partial(_decided, pair, counters=counters)))  # part of it, alone
            text = _decided(next(pairs), counters=counters)
            argv = BARE[tool] if tool == "nft" else (*BARE[tool], "--noflush")
            taken["bare"].append(cost(partial(command.check, argv, stdin=text, timeout_s=_TIMEOUT_S)))
    return taken


def _follow(pair: tuple[Cluster, Cluster], tool: rules.Tool, *, counters: bool) -> None:
    text = _decided(pair, counters=counters)
    rules.restore([rules.Load(netns=None, tool=tool, family="ipv4", text=text)])


def _decided(pair: tuple[Cluster, Cluster], *, counters: bool) -> str:
    (change,) = transactions(*pair, ["node-1"], counters=counters)
    return change.text


def _pairs(whole: Cluster, less: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    while True:
        yield whole, less
        yield less, whole
