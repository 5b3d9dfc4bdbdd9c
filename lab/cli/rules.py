"""The tasks `lab.*` about rules: what is installed, how it differs from what is wanted, and writing it anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from invoke import Context

from lab.cli.output import FAILED, look, note, progress, show, show_json
from lab.cli.task import JSON, LAB, command

NODE = "only this node; default: every node"


@command(
    help={
        "node": NODE,
        "service": "the chains of this Service: web, svc/web, NAMESPACE/NAME; default: those that all Services share",
        "lab": LAB,
        "json": JSON,
    },
)
def rules(_: Context, node: str = "", service: str = "", lab: str = "", json: bool = False) -> None:
    """Show the installed rules with their counters.

    They stand in the order in which a packet meets them, each chain under the rule that first leads to it.
    """
    from lab.report import rules as report
    from lab.standing import installed, session

    standing = session.attach(lab)
    wanted = installed.service(standing.cluster, service)
    found = installed.rules(standing, node=node, of=wanted)
    if json:
        show_json(report.data(found))
        return
    if standing.cluster.mode == "nftables":
        note(report.BY_FLOWS)
    show(report.text(found, look(), wanted))


@command(help={"node": NODE, "lab": LAB, "json": JSON})
def drift(_: Context, node: str = "", lab: str = "", json: bool = False) -> None:
    """Show how installed rules differ from the wanted ones.

    Rules that are not kube-proxy's do not count. Exit status 1 if something differs; `lab.sync` mends it.
    """
    from lab.report import rules as report
    from lab.standing import installed, session

    standing = session.attach(lab)
    found = [(one.node, one.family, one.differences) for one in installed.drift(standing, node=node)]
    if json:
        show_json(report.drift_data(found))
    else:
        show(report.drift_text(found, look()))
    if any(differences for _, _, differences in found):
        sys.exit(FAILED)


@command(help={"node": NODE, "lab": LAB, "json": JSON})
def sync(_: Context, node: str = "", lab: str = "", json: bool = False) -> None:
    """Write all rules anew, as kube-proxy's full sync does.

    Hand edits in its chains vanish and their counters begin at zero. What stands outside of them stays.
    """
    from lab.standing import installed, session

    names = installed.rewrite(session.attach(lab), progress, node=node)
    if json:
        show_json({"nodes": names})
    else:
        show(f"wrote all rules anew on {', '.join(names)}")


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (rules, drift, sync)
