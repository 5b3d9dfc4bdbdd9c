"""The tasks `lab.*` that change the objects of a lab that stands: apply, delete, scale, condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli.output import clear_progress, look, note, number, progress, show, show_json
from lab.cli.task import JSON, LAB, command

if TYPE_CHECKING:
    from lab.model.cluster import Cluster


DRY_RUN = "only print every change of the network that would be made, as commands"


@command(
    help={
        "file": "Kubernetes objects in YAML or JSON, several documents or a List; a topology's folder; - is standard"
        " input",
        "dry-run": DRY_RUN,
        "lab": LAB,
        "json": JSON,
    },
)
def apply(_: Context, file: str, dry_run: bool = False, lab: str = "", json: bool = False) -> None:
    """Create or change objects while the lab stands.

    What a file does not mention stays. What an object leaves out and the lab had given to it (addresses, node ports)
    stays as well. Pods of a Deployment whose template changed are replaced.
    """
    from lab import edits
    from lab.parse.files import text_of

    text, source = text_of(file)
    _change(
        lambda cluster: edits.apply(cluster, text, source, note=lambda one: note(f"note: {one}")),
        lab,
        dry_run=dry_run,
        json=json,
    )


@command(
    help={
        "kind": "pod, service, deployment, endpointslice, node or servicecidr, and kubectl's short words: po, svc",
        "name": "the object's name, or NAMESPACE/NAME",
        "dry-run": DRY_RUN,
        "lab": LAB,
        "json": JSON,
    },
)
def delete(_: Context, kind: str, name: str, dry_run: bool = False, lab: str = "", json: bool = False) -> None:
    """Delete an object while the lab stands.

    With a Deployment go its pods, with a Service its EndpointSlices, with a node the pods on it. A Deployment makes up
    for a pod that goes.
    """
    from lab import edits
    from lab.parse import kinds

    what = kinds.kind_of(kind)
    _change(lambda cluster: edits.delete(cluster, what, name), lab, dry_run=dry_run, json=json)


@command(
    help={
        "deployment": "its name, or NAMESPACE/NAME",
        "replicas": "how many pods it shall have",
        "dry-run": DRY_RUN,
        "lab": LAB,
        "json": JSON,
    },
)
def scale(_: Context, deployment: str, replicas: str, dry_run: bool = False, lab: str = "", json: bool = False) -> None:
    """Give a Deployment more pods, or fewer."""
    from lab import edits

    count = number("REPLICAS", replicas)
    _change(lambda cluster: edits.scale(cluster, deployment, count), lab, dry_run=dry_run, json=json)


@command(
    help={
        "pod": "its name, or NAMESPACE/NAME",
        "condition": "ready, unready, or terminating: then it serves only where no endpoint is ready",
        "dry-run": DRY_RUN,
        "lab": LAB,
        "json": JSON,
    },
)
def condition(_: Context, pod: str, condition: str, dry_run: bool = False, lab: str = "", json: bool = False) -> None:
    """Make a pod ready, unready or terminating.

    It answers all the same: what changes is whether Services send anybody there.
    """
    from lab import edits
    from lab.standing import live

    _change(partial(edits.condition, name=pod, word=condition, now=live.moment()), lab, dry_run=dry_run, json=json)


def _change(edit: Callable[[Cluster], Cluster], name: str, *, dry_run: bool, json: bool) -> None:
    """Do a change, or print it, and say what came of it."""
    from lab.report import changes
    from lab.standing import live, programs, session

    standing = session.attach(name or None)
    if dry_run:
        _print(standing.cluster, programs.sought(edit(standing.cluster)), json=json)
        return
    done = live.change(standing, edit, progress)
    clear_progress()
    if done.mended:
        note("note: an earlier change had been cut off; what it left was undone first")
    if json:
        show_json({"changes": changes.data(done.old, done.new), "seconds": round(done.took_s, 3)})
    else:
        show(changes.text(done.old, done.new, look()))


def _print(old: Cluster, new: Cluster, *, json: bool) -> None:
    from lab.plan import describe, difference, stages
    from lab.report import changes

    before, ops = old, []
    for after in stages(old, new):
        step = difference(before, after)
        ops += [*step.before, *step.after]
        before = after
    if json:
        show_json({"changes": changes.data(old, new), "ops": describe.data(ops)})
        return
    show(describe.script(ops) or "# no change of the network: only rules and names\n")
    note(f"{changes.text(old, new, look())}\n\nnothing was done: leave out --dry-run to do it")


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (apply, delete, scale, condition)
