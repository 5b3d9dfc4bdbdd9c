"""The task `lab.load-rules`: a real node's rules in a lab."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli.output import clear_progress, look, note, progress, show, show_json
from lab.cli.task import JSON, command

if TYPE_CHECKING:
    from lab.parse.rule_file import RuleFile
    from lab.standing.loaded import Done


@command(
    help={
        "file": "what iptables-save (and ip6tables-save behind it) or nft list ruleset (or -j) printed; - is stdin",
        "node": "the node that gets them; default: the only one; in a lab that is built for them: its name, node-1",
        "lab": "the lab to load them into, or, if none of that name stands, to build for them; default: $HAIRPIN_LAB,"
        " the only one that stands, or one that is called as the file is",
        "leave-out": "load the file without the lines that this machine cannot load, and tell which they are",
        "json": JSON,
    },
)
def load_rules(
    _: Context, file: str, node: str = "", lab: str = "", leave_out: bool = False, json: bool = False
) -> None:
    """Load a real node's rules into a node of a lab.

    They stand there in place of kube-proxy's. Where no lab stands, one is built for them: a node, a pod for each
    address that they lead to, a client; Services have the names that are in the rules. All is tried in a namespace
    apart first: what this machine cannot load is named, and then nothing is changed. `lab.sync` puts the lab's own
    rules back.
    """
    from lab.standing import loaded

    rules = loaded.read(file)
    done = _done(rules, node=node, lab=lab, leave_out=leave_out)
    clear_progress()
    for sentence in done.notes:
        note(f"note: {sentence}")
    if json:
        show_json({"lab": done.lab.name, "built": done.built, "node": done.node, "notes": done.notes})
    else:
        _show(done, rules.name)


def _done(rules: RuleFile, *, node: str, lab: str, leave_out: bool) -> Done:
    from lab.controllers.adopt import label
    from lab.standing import loaded, session, state

    standing = {record.name for record in state.standing()}
    wanted = lab or os.environ.get("HAIRPIN_LAB", "")
    if wanted in standing or (not wanted and standing):
        return loaded.load(session.attach(wanted), rules, node=node, leave_out=leave_out, progress=progress)
    name = wanted or label(rules.name) or "rules"
    return loaded.build(rules, name=name, node=node, leave_out=leave_out, progress=progress)


def _show(done: Done, file: str) -> None:
    from lab.report import status as report
    from lab.standing import observe

    if done.built:
        show(report.text(observe.status(done.lab), look(), most=12))
    else:
        show(f"node {done.node} has the rules of {file} instead of its own; lab.sync puts these back")


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (load_rules,)
