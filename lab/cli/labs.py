"""The tasks `lab.*` for labs as a whole: build them, list them, say how they are, end them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli.output import (
    FAILED,
    REFUSED,
    STDOUT,
    clear_progress,
    look,
    note,
    number,
    progress,
    show,
    show_json,
    write_file,
)
from lab.cli.task import JSON, LAB, command
from lab.errors import LabError, TopologyError

if TYPE_CHECKING:
    from lab.model.cluster import Cluster
    from lab.topology import Completed


MOST_NOTES = 10
"""So many notes about a topology are told; a large cluster may have one for each Service."""


@command(
    iterable=["only"],
    help={
        "topology": "a topology's name (see lab.topologies), a folder that has a lab.yaml, or a YAML file",
        "from": "TOPOLOGY is a real cluster's objects (- is standard input), as they are printed by kubectl get"
        " nodes,pods,services,endpointslices,configmap -A -o yaml",
        "only": "with --from: only what is in this namespace; may be repeated",
        "limit": "with --from: how many pods with a network of their own at most; 0: all; default: 200",
        "lab": "the lab's name; default: the topology's own",
        "mode": "kube-proxy's mode: iptables or nftables; default: the topology's",
        "iptables": "which iptables installs the rules: nft or legacy; default: the topology's",
        "hairpin-mode": "hairpin-veth, promiscuous-bridge or none, as kubelet says it; default: the topology's",
        "plugin": "how pods are wired: bridge, or ptp (a routed cable to each); default: the topology's",
        "overlay": "how nodes reach each other's pods: none (routes) or vxlan; default: the topology's",
        "release": "whose rules: 1.36, or classic (the shape of 1.20); default: the topology's",
        "run-commands": "run the commands of the pods' containers, as you and on this machine's files: trust the file",
        "dry-run": "only print every change that would be made, as commands; needs no privileges",
        "json": JSON,
    },
)
def up(  # noqa: PLR0913, PLR0917 - each is an option
    _: Context,
    topology: str,
    only: list[str],
    from_: bool = False,
    limit: str = "",
    lab: str = "",
    mode: str = "",
    iptables: str = "",
    hairpin_mode: str = "",
    plugin: str = "",
    overlay: str = "",
    release: str = "",
    run_commands: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Build a lab of a topology and see that every pod answers."""
    from lab import catalogue
    from lab.controllers.adopt import choice_of

    choice = choice_of(only, number("--limit", limit) if limit else None, from_=from_)
    choose = catalogue.choose if choice is None else partial(catalogue.choose_cluster, choice=choice)
    chosen = choose(
        topology,
        mode=mode,
        iptables=iptables,
        release=release,
        hairpin_mode=hairpin_mode,
        plugin=plugin,
        overlay=overlay,
    )
    chosen = catalogue.with_commands(chosen) if run_commands else chosen
    for sentence in chosen.notes[:MOST_NOTES]:
        note(f"note: {sentence}")
    if len(chosen.notes) > MOST_NOTES:
        note(f"note: and {len(chosen.notes) - MOST_NOTES} more of the kind: invoke lab.report has them all")
    if dry_run:
        _print_plan(chosen.cluster, json=json)
    else:
        _build(chosen, topology, lab, json=json)


def _print_plan(cluster: Cluster, *, json: bool) -> None:
    from lab.plan import describe, plan
    from lab.report import plan as report

    ops = plan(cluster).ops
    if json:
        show_json({"ops": describe.data(ops), "count": report.data(ops)})
        return
    show(describe.script(ops))
    note(f"\n{report.text(ops, look())}\n\nnothing was done: leave out --dry-run to build it")


def _build(chosen: Completed, source: str, name: str, *, json: bool) -> None:
    from lab.report import status as report
    from lab.standing import observe, session

    begun = time.perf_counter()
    standing, built = session.up(
        chosen.cluster, name=name or chosen.cluster.name, source=source, notes=chosen.notes, progress=progress
    )
    clear_progress()
    if built:
        note(f"built and answering in {time.perf_counter() - begun:.2f} s")
    else:
        note(f"lab {standing.name} stands already, built from {standing.record.source}: nothing was changed")
        if standing.cluster != chosen.cluster:
            note(f"it is not as asked for now; to have that, end it first: invoke lab.down --lab {standing.name}")
    status = observe.status(standing)
    if json:
        show_json({"built": built, **report.data(status)})
    else:
        show(f"{report.text(status, look(), most=12)}\n\n{_next_moves(standing.name, standing.cluster)}")


def _next_moves(name: str, cluster: Cluster) -> str:
    """Return two or three commands that make sense in this lab."""
    from lab.model.cluster import full_name
    from lab.model.status import shown
    from lab.standing import session

    option = f" --lab {name}" if len(session.rows()) > 1 else ""
    own = [pod for pod in cluster.pods if not pod.spec.host_network] or cluster.pods
    sources = [shown(pod.metadata) for pod in own if not pod.ports] or [shown(pod.metadata) for pod in own]
    moves = []
    if sources and cluster.services:
        moves.append(f"invoke lab.curl {sources[0]} {full_name(cluster.services[0])}{option}")
        moves.append(f"invoke lab.trace {sources[0]} {full_name(cluster.services[0])}{option}")
    if cluster.spec.expect:
        moves.append(f"invoke lab.check{option}")
    return "try next:\n" + "\n".join(f"  {move}" for move in moves)


@command(
    help={
        "lab": LAB,
        "all": "every lab of yours that stands",
        "json": JSON,
    },
)
def down(_: Context, lab: str = "", all: bool = False, json: bool = False) -> None:  # noqa: A002 - the option's name
    """End a lab: all that it was made of goes with it."""
    from lab.standing import session

    if all and lab:
        raise TopologyError(f"--all and --lab {lab}: expected one of the two")
    names = [row.name for row in session.rows()] if all else [session.attach(lab).name]
    ended, wrong = [], []
    for name in names:
        try:
            session.down(name)
        except LabError as error:  # the others shall end all the same
            wrong.append(error)
            continue
        ended.append(name)
        if not json:
            show(f"lab {name} is gone")
    if json:
        show_json({"ended": ended})
    elif not names:
        show("no lab stands")
    if wrong:
        raise wrong[0] if len(wrong) == 1 else LabError("\n".join(map(str, wrong)))


@command("list", help={"json": JSON})
def list_(_: Context, json: bool = False) -> None:
    """List the labs that stand."""
    from lab.report import labs as report
    from lab.standing import session

    rows = session.rows()
    if json:
        show_json(report.data(rows))
    else:
        show(report.text(rows, look()))


@command(help={"lab": LAB, "json": JSON})
def status(_: Context, lab: str = "", json: bool = False) -> None:
    """Show nodes, pods, Services, endpoints, and their health.

    Exit status 1 if a pod does not answer on one of its ports.
    """
    from lab.report import status as report
    from lab.standing import observe, session

    seen = observe.status(session.attach(lab))
    if json:
        show_json(report.data(seen))
    else:
        show(report.text(seen, look()))
    if not seen.healthy:
        sys.exit(FAILED)


@command(help={"json": JSON})
def topologies(_: Context, json: bool = False) -> None:
    """List the topologies that are here, and what each shows."""
    from lab import catalogue
    from lab.report.table import table

    found = catalogue.entries()
    if json:
        show_json([{"name": entry.name, "title": entry.title, "folder": str(entry.folder)} for entry in found])
    else:
        show(table([[entry.name, entry.title] for entry in found], ["TOPOLOGY", "SHOWS"], look()))


@command(
    help={
        "pod": "only the lines of this pod",
        "tail": "only so many lines, the last ones; 0: all",
        "lab": LAB,
        "json": JSON,
    },
)
def logs(_: Context, pod: str = "", tail: str = "0", lab: str = "", json: bool = False) -> None:
    """Print the log: a line for each request that a pod served.

    What commands of containers wrote (lab.up --run-commands), and what the keeper has to say, stands among them.
    """
    from lab.standing import logbook, session

    lines = logbook.lines(session.attach(lab), pod=pod, tail=number("--tail", tail))
    if json:
        show_json(lines)
    elif lines:
        show("\n".join(lines))
    else:
        note(f"no line yet{f' of {pod}' if pod else ''}: pods write one for each request that they serve")


@command(help={"lab": LAB, "file": "where to write it; - for standard output; default: hairpin-report-LAB.txt here"})
def report(_: Context, lab: str = "", file: str = "") -> None:
    """Write one file for a bug report: rules, flows, versions.

    Also the machine, the lab's objects, its state and its log. A file that exists is never overwritten.
    """
    from lab import bugreport
    from lab.standing import session

    standing = session.attach(lab)
    text = bugreport.text(standing)
    path = file or f"hairpin-report-{standing.name}.txt"
    write_file(path, f"{text}\n", option="--file")
    if path != STDOUT:
        show(f"{path}: {len(text.splitlines())} lines; read it before you hand it on, it describes this machine")


@command(help={"json": JSON})
def doctor(_: Context, json: bool = False) -> None:
    """Say what this machine lacks for a lab, and what mends it.

    Exit status 2 if no lab can stand here.
    """
    from lab.kernel.doctor import examine
    from lab.report import doctor as report

    checks = examine()
    if json:
        show_json(checks)
    else:
        show(report.text(checks, look()))
    if any(check["required"] and check["status"] == "missing" for check in checks):
        sys.exit(REFUSED)


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (up, down, list_, status, topologies, logs, report, doctor)
