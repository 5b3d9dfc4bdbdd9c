"""The commands of pods' containers: where on this machine their programs are, and whether they listen."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from lab import words
from lab.errors import KernelError
from lab.kernel import listening, netns
from lab.model.cluster import Cluster
from lab.model.ops import Run
from lab.model.program import PATH, program
from lab.model.status import Process
from lab.standing import orders
from lab.standing.meter import Meter

if TYPE_CHECKING:
    from lab.standing.orders import Orders

PATIENCE_S = 30.0
"""How long a program may take until it listens, in seconds."""
_LOOK_S = 0.02  # how often to look: nobody tells when a socket begins to listen


def sought(cluster: Cluster) -> Cluster:
    """Return a cluster whose commands are run with the place of each program that it did not know yet."""
    if cluster.programs is None:
        return cluster
    wanted = dict.fromkeys(program(one) for pod in cluster.pods for one in pod.spec.containers if one.command)
    found = {name: shutil.which(name, path=PATH) or "" for name in wanted if name not in cluster.programs}
    return replace(cluster, programs={**cluster.programs, **found})


def silent(runs: Iterable[Run]) -> dict[Run, str]:
    """Inside the capsule: return what is wrong with each that does not listen on one of its ports."""
    found = ((run, _missing(run)) for run in runs)
    return {run: text for run, text in found if text}


def _missing(run: Run) -> str:
    if not run.ports:
        return ""
    with netns.inside(run.netns):
        there = {(protocol, *one) for protocol, _ in run.ports for one in listening.sockets(protocol)}
    for protocol, port in run.ports:
        at = [address for kind, address, number in there if (kind, number) == (protocol, port)]
        if not any(address.is_unspecified or address in run.addresses for address in at):
            only = f" (only at {words.several(sorted(map(str, at)), 'and')})" if at else ""
            return f"does not listen on {protocol} port {port}{only}"
    return ""


def ended(status: int) -> str:
    """Return how a program ended, from its exit status, or minus the signal's number."""
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"


def states(runs: Sequence[Run], log: Path) -> dict[str, tuple[Process, ...]]:
    """Inside the capsule: return how each of `runs` is, by pod; `log` is that of the lab's keeper."""
    if not runs:
        return {}
    wrong = silent(runs)
    with orders.taken_at(log) as keeper:
        told = {_key(one): one["status"] for one in keeper.give(processes=True)["processes"]}
    found: dict[str, tuple[Process, ...]] = {}
    for run in runs:
        status = told.get((run.netns, run.pod, run.container))
        text = wrong.get(run) or "runs" if status is None else ended(status)
        found[run.pod] = (*found.get(run.pod, ()), Process(text=f"{run.container} {text}", well=run not in wrong))
    return found


def check_listening(runs: Sequence[Run], keeper: Orders, progress: Meter) -> None:
    """Inside the capsule: return when each of `runs` listens on its ports.

    Raises `KernelError` with the last words of each that ended before, or that does not within `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while waiting := silent(runs):
        progress("processes", len(runs) - len(waiting), len(runs))
        states = {_key(one): one for one in keeper.give(processes=True)["processes"]}
        over = {run: states[key] for run in waiting if (key := (run.netns, run.pod, run.container)) in states}
        over = {run: one for run, one in over.items() if one["status"] is not None or time.monotonic() > deadline}
        if over:
            raise KernelError(
                "\n".join(_complaint(run, waiting[run], one) for run, one in over.items()),
                hint="without --run-commands, Hairpin's own server answers instead",
            )
        time.sleep(_LOOK_S)


def _key(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["netns"], one["pod"], one["container"]


def _complaint(run: Run, wrong: str, one: dict[str, Any]) -> str:
    how = f"after {PATIENCE_S:g} s" if one["status"] is None else f"and {ended(one['status'])}"
    last = "".join(f"\n  {line}" for line in one["last"]) or " nothing"
    return f"pod {run.pod}: {join(run.argv)}: {wrong}, {how}; its last words:{last}"
