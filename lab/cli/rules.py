"""The tasks `lab.*` about rules: what is installed, how it differs from what is wanted, and writing it anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from invoke import Context  # noqa: TC002 - invoke reads the annotation

from lab.cli.output import FAILED, look, note, progress, show, show_json
from lab.cli.task import JSON, LAB, command

if TYPE_CHECKING:
    from lab.session import Standing

# What a task needs is imported when it runs: `invoke --list` shall not wait for all of it.
# ruff: noqa: PLC0415

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
    from lab import session
    from lab.report import rules as report

    standing = session.attach(lab)
    names = _nodes(standing, node)
    found = standing.call(partial(_installed, standing.cluster, names, _service(standing, service)))
    if json:
        show_json(report.data(found))
        return
    if standing.cluster.mode == "nftables":
        note(report.UNCOUNTED)
    show(report.text(found, look()))


@command(help={"node": NODE, "lab": LAB, "json": JSON})
def drift(_: Context, node: str = "", lab: str = "", json: bool = False) -> None:
    """Show how installed rules differ from the wanted ones.

    Rules that are not kube-proxy's do not count. Exit status 1 if something differs; `lab.sync` mends it.
    """
    from lab import session
    from lab.report import rules as report

    standing = session.attach(lab)
    names = _nodes(standing, node)
    found = [(one.node, one.family, one.differences) for one in standing.call(partial(_drift, standing.cluster, names))]
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
    from lab import live, session

    with live.held(session.attach(lab), progress) as standing:  # the objects must not change meanwhile
        names = _nodes(standing, node)
        standing.call(partial(_full, standing.cluster, names))
    if json:
        show_json({"nodes": names})
    else:
        show(f"wrote all rules anew on {', '.join(names)}")


def _nodes(standing: Standing, node: str) -> list[str]:
    """Return the node that was named, or all."""
    from lab.parse import target

    if node:
        return [target.node(standing.cluster, node).netns]
    return [one.metadata.name for one in standing.cluster.nodes]


def _service(standing: Standing, text: str) -> tuple[str, str] | None:
    """Return namespace and name of the Service that was named."""
    from lab.parse import kinds

    return kinds.find(standing.cluster, "Service", text).metadata.key if text else None


def _installed(*words: Any) -> Any:  # noqa: ANN401 - as it is there; it is loaded inside the capsule
    from lab import sync as room

    return room.installed(*words)


def _drift(*words: Any) -> Any:  # noqa: ANN401 - as above
    from lab import sync as room

    return room.drift(*words)


def _full(*words: Any) -> Any:  # noqa: ANN401 - as above
    from lab import sync as room

    return room.full(*words)


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (rules, drift, sync)
