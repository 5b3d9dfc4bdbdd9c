"""How fast labs stand, and how much they take; run by `invoke bench.up`.

Three parts: `build` makes namespaces, veth pairs, bridge ports and addresses in two ways that take turns, ours and an
`ip -batch` script of the same plan; `commands` times whole commands, from start to prompt; `memory` looks at a lab of
500 pods that stands.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.kept import check_part, invoke, keep, lines_of, machine, numbers, pss
from lab import topology
from lab.kernel import capsule, command, join, rules
from lab.model.ops import Address, Bridge, Namespace, Op, Veth
from lab.plan import plan
from lab.plan.describe import describe
from lab.standing import state
from lab.standing.build import build

PARTS = ("build", "commands", "memory")
LARGE = 500
_TIMEOUT_S = 120.0
_WAITS = "import os, sys; os.read(int(sys.argv[1]), 1)"

TOPOLOGY = """\
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {{name: bench}}
spec:
  nodes: [node-1, node-2]
  clients: [{{name: client}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {pods}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - ports: [{{containerPort: 8080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


def main(pods: str, rounds: int, out: str, only: str) -> None:
    """Run the parts, print a table, and keep the results as JSON."""
    counts = numbers("--pods", pods, "4,50,200")
    check_part(only, PARTS)
    results: dict[str, Any] = {"machine": machine(), "rounds": rounds}
    if only in ("", "build"):
        results["build"] = [_build(count, rounds) for count in counts]
    if only in ("", "commands"):
        results["commands"] = _commands(rounds)
    if only in ("", "memory"):
        results["memory"] = _memory()
    keep(results, table(results), out, "up.json")


# --- build -------------------------------------------------------------------------------------------------------


def _ops(pods: int) -> tuple[Op, ...]:
    return plan(topology.read(TOPOLOGY.format(pods=pods), "bench").cluster, nfacct=rules.nfacct_available()).ops


def _build(pods: int, rounds: int) -> dict[str, Any]:
    """Return the seconds of each way to make the same links, and of our whole plan, rules included."""
    whole = _ops(pods)
    common = [op for op in whole if isinstance(op, (Namespace, Bridge, Veth, Address))]
    script = batches(common)
    ways: dict[str, Callable[[], float]] = {
        "hairpin": partial(_ours, common),
        "iproute2": partial(_iproute2, script),
        "whole_plan": partial(_ours, whole),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in sorted(ways, reverse=bool(number % 2)):
            seconds[way].append(_in_capsule(ways[way], pods))
            print(f"{pods} pods, round {number + 1}/{rounds}, {way}: {seconds[way][-1]:.3f} s", file=sys.stderr)
    return {"pods": pods, "links": sum(1 for op in common if isinstance(op, Veth)), "seconds": seconds}


def _ours(ops: Sequence[Op]) -> float:
    begin = time.perf_counter()
    build(ops, serve=lambda _: None)
    return time.perf_counter() - begin


def _iproute2(script: str) -> float:
    begin = time.perf_counter()
    command.check(["sh", "-e"], stdin=script, timeout_s=_TIMEOUT_S)
    return time.perf_counter() - begin


def batches(ops: Sequence[Op]) -> str:
    """Return a shell script that does `ops` with as few iproute2 processes as there can be: one per namespace and kind.

    First all namespaces, then per namespace the links that are made there, then the rest.
    """

    def key(line: str) -> tuple[int, str, str]:
        program, *words = line.split()
        netns = words[1] if words[0] == "-n" else ""
        order = 0 if "netns add" in line else 1 if "link add" in line else 2
        return order, netns, program

    lines = sorted((line for op in ops for line in describe(op).splitlines()), key=key)
    script = []
    for (_, netns, program), group in groupby(lines, key):
        place = f" -n {netns}" if netns else ""
        body = "\n".join(line.removeprefix(f"{program}{place} ") for line in group)
        script.append(f"{program}{place} -batch - <<'EOF'\n{body}\nEOF\n")
    return "".join(script)


def _in_capsule(way: Callable[[], float], pods: int) -> float:
    """Do one way in a capsule of its own, see that it stands, and wait until the kernel has taken it all away."""
    with tempfile.TemporaryDirectory() as folder, empty_capsule(Path(folder)) as keeper:
        seconds = join.call(keeper, way)
        ports = join.call(keeper, lambda: command.check(["ip", "-n", "node-1", "-o", "link"]).count("master cbr0"))
    if ports != (pods + 1) // 2:
        raise RuntimeError(f"{ports} pods are plugged into node-1, not {(pods + 1) // 2}")
    settle()
    return seconds


def settle() -> None:
    """Wait until the kernel holds no fewer network namespaces from one look to the next, for 10 s at most.

    Its own thread takes them away one after the other, which would disturb the next round; nothing tells its end.
    """
    deadline = time.monotonic() + 10
    last = _namespaces() + 1
    while (now := _namespaces()) < last and time.monotonic() < deadline:
        last = now
        time.sleep(0.1)


@contextmanager
def empty_capsule(folder: Path) -> Iterator[capsule.Keeper]:
    """Hold an empty capsule for a while."""
    ours, theirs = os.pipe()
    log = os.open(os.devnull, os.O_WRONLY)
    argv = [sys.executable, "-I", "-c", _WAITS, str(ours)]
    keeper = capsule.spawn(argv, name="bench", keep=folder, log=log, fds=[ours], env=dict(os.environ))
    try:
        yield keeper
    finally:
        capsule.end(keeper)
        for fd in (ours, theirs, log):
            os.close(fd)


def _namespaces() -> int:
    """Return how many network namespaces the kernel holds, those being taken away included; 0 if it does not tell."""
    try:
        lines = lines_of("/proc/slabinfo")
    except PermissionError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("net_namespace ")), 0)


# --- commands and memory -----------------------------------------------------------------------------------------


def _commands(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of whole commands; the first round, which compiles and warms caches, is left out."""
    lab = f"bench-{os.getpid()}"
    seconds: dict[str, list[float]] = {"invoke --list": [], "lab.up clusterip": [], "lab.down": []}
    for number in range(rounds + 1):
        times = {
            "invoke --list": invoke("--list"),
            "lab.up clusterip": invoke("lab.up", "clusterip", "--lab", lab),
            "lab.down": invoke("lab.down", "--lab", lab),
        }
        for name, value in times.items():
            if number:
                seconds[name].append(value)
    return seconds


def _memory() -> dict[str, Any]:
    """Return what a lab of 500 pods takes: seconds until every pod answers, and memory in bytes."""
    lab = f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lab.yaml"
        file.write_text(TOPOLOGY.format(pods=LARGE), encoding="utf-8")
        before = _kernel_memory()
        up = invoke("lab.up", str(file), "--lab", lab)
        try:
            after = _kernel_memory()
            pss = _pss(state.find(lab).keeper.pid)
        finally:
            down = invoke("lab.down", "--lab", lab)
    kernel = {name: after[name] - before[name] for name in after}
    return {"pods": LARGE, "up_s": up, "down_s": down, "pss": pss, "kernel": kernel}


def _kernel_memory() -> dict[str, int]:
    """Return the bytes that the kernel holds for itself, by /proc/meminfo's names (proc_meminfo(5))."""
    names = ("Slab", "KernelStack", "PageTables", "Percpu")
    rows = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines_of("/proc/meminfo")}
    return {name: rows[name] for name in names if name in rows}


def _pss(keeper: int) -> dict[str, int]:
    """Return the proportional set size of each process in the keeper's PID namespace, in bytes."""
    space = os.readlink(f"/proc/{keeper}/ns/pid")
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended meanwhile, or is not ours
            if os.readlink(f"/proc/{entry}/ns/pid") == space:
                found[entry] = pss(entry)
    return found


# --- the table ---------------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown, for README."""
    text = []
    if "build" in results:
        text += ["| pods | Hairpin | `ip -batch` | ratio | whole plan with rules |", "|---:|---:|---:|---:|---:|"]
        for row in results["build"]:
            ours, theirs, whole = (median(row["seconds"][way]) for way in ("hairpin", "iproute2", "whole_plan"))
            text.append(f"| {row['pods']} | {_ms(ours)} | {_ms(theirs)} | {ours / theirs:.2f} | {_ms(whole)} |")
    if "commands" in results:
        text += ["", "| command | median |", "|---|---:|"]
        text += [f"| `{name}` | {_ms(median(values))} |" for name, values in results["commands"].items()]
    if "memory" in results:
        memory = results["memory"]
        pss, kernel = sum(memory["pss"].values()), sum(memory["kernel"].values())
        text += ["", f"| {memory['pods']} pods | |", "|---|---:|"]
        text.append(f"| `lab.up` until every pod answers | {_ms(memory['up_s'])} |")
        text.append(f"| `lab.down` | {_ms(memory['down_s'])} |")
        text.append(f"| the lab's processes (PSS) | {pss / 1e6:.0f} MB |")
        text.append(f"| the kernel's own memory | {kernel / 1e6:.0f} MB |")
    return "\n".join(text).strip()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
