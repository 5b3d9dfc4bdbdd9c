"""The tasks `lab.*`: build labs, look into them, ask through them, judge them, end them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context, task

from lab.cli.output import FAILED, REFUSED, clear_progress, look, note, number, plainly, progress, show, show_json
from lab.errors import TopologyError

if TYPE_CHECKING:
    from lab.model.cluster import Cluster
    from lab.parse.topology import Completed

# What a task needs is imported when it runs: `invoke --list` shall not wait for all of it.
# ruff: noqa: PLC0415

LAB = "the lab to work on; default: $HAIRPIN_LAB, or the only one that stands"
JSON = "print data for programs instead of text"
PLACE = "a node, pod or client: web-1, node-1, pod/web-1, pod/NAMESPACE/NAME, node/node-1, client/NAME, router"


def command(*names: str, **options: Any) -> Callable[[Callable[..., None]], Any]:  # noqa: ANN401 - invoke has no types
    """Make a task that ends plainly; short flags would change their meaning as options are added."""
    name = names[0] if names else None
    return lambda function: task(name=name, auto_shortflags=False, **options)(plainly(function))


@command(
    help={
        "topology": "a topology's name (see lab.topologies), a folder that has a lab.yaml, or a YAML file",
        "lab": "the lab's name; default: the topology's own",
        "mode": "kube-proxy's mode: iptables or nftables; default: the topology's",
        "iptables": "which iptables installs the rules: nft or legacy; default: the topology's",
        "hairpin-mode": "hairpin-veth, promiscuous-bridge or none, as kubelet says it; default: the topology's",
        "dry-run": "only print every change that would be made, as commands; needs no privileges",
        "json": JSON,
    },
)
def up(
    _: Context,
    topology: str,
    lab: str = "",
    mode: str = "",
    iptables: str = "",
    hairpin_mode: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Build a lab of a topology and see that every pod answers."""
    from lab import catalogue

    chosen = catalogue.choose(topology, mode=mode, iptables=iptables, hairpin_mode=hairpin_mode)
    for sentence in chosen.notes:
        note(f"note: {sentence}")
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
    from lab import observe, session
    from lab.report import status as report

    begun = time.perf_counter()
    standing, built = session.up(
        chosen.cluster, name=name or chosen.cluster.name, source=source, notes=chosen.notes, progress=progress
    )
    clear_progress()
    if built:
        note(f"lab {standing.name} stands: built and answering in {time.perf_counter() - begun:.2f} s")
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
    from lab import session

    option = f" --lab {name}" if len(session.rows()) > 1 else ""
    sources = [pod.metadata.name for pod in cluster.pods if not pod.ports] or [
        pod.metadata.name for pod in cluster.pods
    ]
    moves = []
    if sources and cluster.services:
        moves.append(f"invoke lab.curl {sources[0]} svc/{cluster.services[0].metadata.name}{option}")
    moves += [f"invoke lab.conntrack{option}", f"invoke lab.check{option}" if cluster.spec.expect else ""]
    return "try next:\n" + "\n".join(f"  {move}" for move in moves if move)


@command(
    help={
        "lab": LAB,
        "all": "every lab of yours that stands",
        "json": JSON,
    },
)
def down(_: Context, lab: str = "", all: bool = False, json: bool = False) -> None:  # noqa: A002 - the option's name
    """End a lab: all that it was made of goes with it."""
    from lab import session

    if all and lab:
        raise TopologyError(f"--all and --lab {lab}: expected one of the two")
    names = [row.name for row in session.rows()] if all else [session.attach(lab).name]
    for name in names:
        session.down(name)
        if not json:
            show(f"lab {name} is gone")
    if json:
        show_json({"ended": names})
    elif not names:
        show("no lab stands")


@command("list", help={"json": JSON})
def list_(_: Context, json: bool = False) -> None:
    """List the labs that stand."""
    from lab import session
    from lab.report import labs as report

    rows = session.rows()
    if json:
        show_json(report.data(rows))
    else:
        show(report.text(rows, look()))


@command(help={"lab": LAB, "json": JSON})
def status(_: Context, lab: str = "", json: bool = False) -> None:
    """Show nodes, pods, Services and endpoints, and their health.

    Exit status 1 if a pod does not answer on one of its ports.
    """
    from lab import observe, session
    from lab.report import status as report

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
        "source": f"who asks: {PLACE}",
        "to": "whom: svc/web, svc/web:81, svc/web:http, pod/web-1, node-1:30080, 10.96.0.10:80, http://web/path",
        "count": "how many requests; up to 100 are real curl processes",
        "udp": "send datagrams to the pods' UDP server instead of HTTP requests",
        "port": "the port to ask; default: the Service's or pod's only one",
        "local-port": "the port to ask from, so that a flow can be found, or met, again",
        "timeout": "seconds to wait for each answer",
        "lab": LAB,
        "json": JSON,
    },
)
def curl(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    _: Context,
    source: str,
    to: str,
    count: str = "1",
    udp: bool = False,
    port: str = "0",
    local_port: str = "0",
    timeout: str = "5",
    lab: str = "",
    json: bool = False,
) -> None:
    """Send requests: who answers, seeing whom, or why nobody does.

    Shows the status or the errno, the pod that answered, the source address that it saw and the latency; of several
    requests also the share of each endpoint. Exit status 1 if one was not answered.
    """
    from lab import observe, session
    from lab.report import replies as report

    times = number("--count", count)
    standing = session.attach(lab)
    known = observe.names(standing)
    asked = observe.ask(
        standing,
        source,
        to,
        port=number("--port", port) or None,
        protocol="udp" if udp else "tcp",
        count=times,
        local_port=number("--local-port", local_port),
        timeout_s=number("--timeout", timeout, of=float),
    )
    if json:
        show_json({"how": asked.how, **report.data(asked.replies, asked.endpoints, known)})
    else:
        if times > 1:
            note(f"{times} requests by {asked.how}")
        show(report.text(asked.replies, asked.endpoints, known, look()))
    if not all(reply.answered for reply in asked.replies):
        sys.exit(FAILED)


@command(
    help={
        "node": "only this node's flows; default: every node's",
        "source": "only flows begun by this pod, node, client or address; node-1/cbr0 is one interface of a node",
        "lab": LAB,
        "json": JSON,
    },
)
def conntrack(_: Context, node: str = "", source: str = "", lab: str = "", json: bool = False) -> None:
    """Show the nodes' flows: both directions, and what NAT did.

    Names of pods, nodes and Services stand beside their addresses.
    """
    from lab import observe, session
    from lab.report import flows as report

    standing = session.attach(lab)
    found, names = observe.flows(standing, [node] if node else [], source), observe.names(standing)
    if json:
        show_json(report.data(found, names))
    else:
        show(report.text(found, names, look()))


@command(help={"lab": LAB, "json": JSON})
def check(_: Context, lab: str = "", json: bool = False) -> None:
    """Judge what the topology expects by what is observed.

    Exit status 1 if an expectation does not hold.
    """
    from lab import observe, session
    from lab.report import findings as report

    verdict = observe.check(session.attach(lab), progress)
    clear_progress()
    if json:
        show_json({"holds": verdict.holds, **report.data(verdict.judged, verdict.left_out)})
    else:
        show(report.text(verdict.judged, verdict.left_out, look()))
    if not verdict.holds:
        sys.exit(FAILED)


@command(
    "exec",
    help={"target": PLACE, "line": "what to run, as one argument, which sh(1) reads: 'curl -s web'", "lab": LAB},
)
def exec_(_: Context, target: str, line: str, lab: str = "") -> None:
    """Run a command in a node, pod or client.

    Output and exit status are the command's own.
    """
    from lab import enter, session

    sys.exit(enter.execute(session.attach(lab), target, line))


@command(help={"target": f"{PLACE}; default: the capsule, where `ip netns exec` sees every one", "lab": LAB})
def shell(_: Context, target: str = "", lab: str = "") -> None:
    """Open a shell in a node, pod or client, or in the capsule.

    Its prompt names the place.
    """
    from lab import enter, session

    sys.exit(enter.shell(session.attach(lab), target))


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

    What the keeper has to say stands among them.
    """
    from lab import logbook, session

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
    from lab import bugreport, session

    standing = session.attach(lab)
    text = bugreport.text(standing)
    if file == "-":
        show(text)
        return
    path = bugreport.write(text, file or f"hairpin-report-{standing.name}.txt")
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
    """Return the tasks of this collection."""
    return (up, down, list_, status, topologies, curl, conntrack, check, exec_, shell, logs, report, doctor)
