"""The task `lab.graph`: a topology, or the chains of a Service, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli.output import STDOUT, file_mistakes, look, note, show, write_file
from lab.cli.task import LAB, command
from lab.errors import TopologyError

if TYPE_CHECKING:
    from collections.abc import Callable


@command(
    help={
        "topology": "draw this one, which need not stand: a topology's name (see lab.topologies), a folder that has a"
        " lab.yaml, or a YAML file; default: a lab that stands",
        "service": "draw the chains of this Service, with live counters if a lab stands: web, svc/web, NAMESPACE/NAME",
        "node": "with --service: this node's chains; default: the first node's",
        "mode": "with --topology: kube-proxy's mode, iptables or nftables; default: the topology's",
        "svg": "a new file for the picture; - for standard output",
        "html": "a new file for it as a page of its own, in which what belongs together is lit; - for standard output",
        "mermaid": "print it as mermaid's text, which GitHub draws in Markdown",
        "lab": LAB,
    },
)
def graph(
    _: Context,
    topology: str = "",
    service: str = "",
    node: str = "",
    mode: str = "",
    svg: str | None = None,
    html: str | None = None,
    mermaid: bool = False,
    lab: str = "",
) -> None:
    """Draw a topology, or the chains of one Service.

    In letters, unless a file or mermaid is asked for. With --topology it needs neither a lab nor privileges.
    """
    files = file_mistakes({"--svg": svg, "--html": html}, {"--mermaid": mermaid})
    if mistakes := [*_mistakes(topology, service, node, mode, lab), *files]:
        raise TopologyError(mistakes)
    drawn = _chains(topology, service, node, mode, lab) if service else _topology(topology, mode, lab)
    for option, path in (("svg", svg), ("html", html)):
        if path:
            write_file(path, drawn[option](), option=f"--{option}")
            if path != STDOUT:
                note(f"wrote {path}")
    if mermaid:
        show(drawn["mermaid"]().rstrip("\n"))
    elif not svg and not html:
        show(drawn["text"]())


def _mistakes(topology: str, service: str, node: str, mode: str, lab: str) -> list[str]:
    """Return which options do not go together."""
    return [text for text, wrong in (
        (f"--topology {topology} and --lab {lab}: expected one of the two", topology and lab),
        (f"--node {node}: it chooses whose chains are drawn; expected --service beside it", node and not service),
        (f"--mode {mode}: a lab that stands has its own; expected --topology beside it", mode and not topology),
    ) if wrong]  # fmt: skip


def _topology(topology: str, mode: str, lab: str) -> dict[str, Callable[[], str]]:
    """Return how to draw a topology, by the kind of picture."""
    from lab import catalogue
    from lab.picture import topology as picture
    from lab.standing import session

    if topology:
        scene = picture.scene(catalogue.choose(topology, mode=mode).cluster)
    else:
        standing = session.attach(lab)
        scene = picture.scene(standing.cluster, lab=standing.name)
    return {
        "svg": lambda: picture.svg(scene),
        "html": lambda: picture.page(scene),
        "mermaid": lambda: picture.mermaid(scene),
        "text": lambda: picture.text(scene, look()),
    }


def _chains(topology: str, service: str, node: str, mode: str, lab: str) -> dict[str, Callable[[], str]]:
    """Return how to draw a Service's chains, by the kind of picture."""
    from lab import catalogue
    from lab import graph as room
    from lab.picture import chains as picture
    from lab.report.rules import BY_FLOWS
    from lab.standing import session

    if topology:
        found = room.chains(catalogue.choose(topology, mode=mode).cluster, service, node=node)
        note("no lab is looked at: these are the rules that kube-proxy would install, without counters")
    else:
        standing = session.attach(lab)
        found = room.chains(standing.cluster, service, node=node, lab=standing)
        if standing.cluster.mode == "nftables":
            note(BY_FLOWS)
    return {
        "svg": lambda: picture.svg(found),
        "html": lambda: picture.page(found),
        "mermaid": lambda: picture.mermaid(found),
        "text": lambda: picture.text(found, look()),
    }


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (graph,)
