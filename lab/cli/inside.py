"""The tasks `lab.*` that go inside a lab: ask through it, look at its flows, judge it, enter it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli.output import FAILED, clear_progress, look, note, number, port_number, progress, show, show_json
from lab.cli.task import JSON, LAB, LOCAL_PORT, PLACE, PORT, WHOM, command

if TYPE_CHECKING:
    from lab.model.finding import Finding
    from lab.model.lab import Expectation


@command(
    help={
        "source": f"who asks: {PLACE}",
        "to": WHOM,
        "count": "how many requests; up to 100 are real curl processes",
        "udp": "send datagrams to the pods' UDP server instead of HTTP requests",
        "port": PORT,
        "local-port": LOCAL_PORT,
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
    port: str | None = None,
    local_port: str | None = None,
    timeout: str = "5",
    lab: str = "",
    json: bool = False,
) -> None:
    """Send requests: who answers, seeing whom, or why nobody.

    Shows the status or the errno, the pod that answered, the source address that it saw and the latency; of several
    requests also the share of each endpoint. Exit status 1 if one was not answered.
    """
    from lab.report import replies as report
    from lab.standing import observe, session

    times = number("--count", count)
    standing = session.attach(lab)
    known = observe.names(standing)
    asked = observe.ask(
        standing,
        source,
        to,
        port=port_number("--port", port) or None,
        protocol="udp" if udp else "tcp",
        count=times,
        local_port=port_number("--local-port", local_port),
        timeout_s=number("--timeout", timeout, of=float),
    )
    if json:
        show_json({"how": asked.how, **report.data(asked.replies, asked.endpoints, known)})
    else:
        if times > 1:
            note(f"{times} requests by {'curl' if asked.how == 'curl' else 'sockets of our own, not curl'}")
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
    from lab.report import flows as report
    from lab.standing import observe, session

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
    from lab import check as room
    from lab.report import findings as report
    from lab.standing import session

    standing = session.attach(lab)
    verdict = room.check(standing, progress)
    clear_progress()
    if json:
        show_json({"holds": verdict.holds, **report.data(verdict.judged, verdict.left_out)})
    else:
        show(report.text(verdict.judged, verdict.left_out, look()))
    if not verdict.holds:
        tried = [one for one in standing.cluster.spec.expect if one not in verdict.left_out]
        if traces := _traces(tried, [one for findings in verdict.judged for one in findings], lab):
            note(f"its request, step by step: {traces}")
        sys.exit(FAILED)


def _traces(tried: Sequence[Expectation], findings: Sequence[Finding], lab: str) -> str:
    """Return the command that traces the request of the first expectation that does not hold.

    "" if that is no single request: each pod of a Deployment asked.
    """
    from lab.parse.kinds import KINDS
    from lab.report import again

    failed = next(finding.it for finding in findings if not finding.holds)
    one = next(one for one in tried if failed in (one.it, *(step.it for step in one.then)))
    kind, named, _ = one.from_.partition("/")
    if named and KINDS.get(kind.lower()) == "Deployment":
        return ""
    return again.trace(one, lab)


@command(
    "exec",
    help={"target": PLACE, "line": "what to run, as one argument, which sh(1) reads: 'curl -s web'", "lab": LAB},
)
def exec_(_: Context, target: str, line: str, lab: str = "") -> None:
    """Run a command in a node, pod or client.

    Output and exit status are the command's own.
    """
    from lab.standing import enter, session

    sys.exit(enter.execute(session.attach(lab), target, line))


@command(help={"target": f"{PLACE}; default: the capsule, where `ip netns exec` sees every one", "lab": LAB})
def shell(_: Context, target: str = "", lab: str = "") -> None:
    """Open a shell in a node, pod or client, or in the capsule.

    Its prompt names the place.
    """
    from lab.standing import enter, session

    sys.exit(enter.shell(session.attach(lab), target))


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (curl, conntrack, check, exec_, shell)
