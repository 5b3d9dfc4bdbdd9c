"""One text for a bug report: versions, the machine, a lab's objects, and what its namespaces hold."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lab
from lab.errors import LabError
from lab.kernel import netns
from lab.kernel.command import Command, run_all
from lab.kernel.doctor import examine
from lab.report import doctor, flows, status
from lab.standing import logbook, observe
from lab.standing.session import Standing

# What is asked in every namespace, as a person would; each is listed with its answer.
QUESTIONS = (
    "ip -details address",
    "ip route show table all",
    "ip neighbour",
    "bridge -details link",
    "iptables-nft-save -c",
    "ip6tables-nft-save -c",
    "nft list ruleset",
)
# Legacy iptables makes the tables that it is asked for: it is asked only for those that it has.
LEGACY = {
    "/proc/net/ip_tables_names": "iptables-legacy-save -c",
    "/proc/net/ip6_tables_names": "ip6tables-legacy-save -c",
}

LEGACY_TABLES = ("mangle", "nat", "filter")
"""What a node has in a lab of legacy iptables; only the host's root may read its list of them."""


def text(standing: Standing) -> str:
    """Return the report; a part that cannot be had says why instead."""
    found = observe.flows(standing, [])
    parts = {
        "versions": _versions(standing),
        "machine": doctor.text(examine()),
        "status": status.text(observe.status(standing)),
        "flows": flows.text(found, observe.names(standing)),
        "log": "\n".join(logbook.lines(standing, tail=200)),
        **standing.call(partial(_answers, _legacy_nodes(standing))),
        "objects": json.dumps(standing.record.objects, indent=1),
    }
    return "\n\n".join(f"===== {title}\n{part}" for title, part in parts.items())


def _versions(standing: Standing) -> str:
    built = standing.record.version
    return (
        f"hairpin {lab.__version__}{'' if built == lab.__version__ else f' (the lab was built by {built})'}\n"
        f"python {sys.version}\nkernel {platform.release()} {platform.machine()}\n"
        f"topology {standing.record.source}\nnotes {'; '.join(standing.record.notes) or 'none'}"
    )


def _legacy_nodes(standing: Standing) -> list[str]:
    cluster = standing.cluster
    return [node.metadata.name for node in cluster.nodes] if cluster.spec.iptables == "legacy" else []


def _answers(legacy_nodes: Sequence[str]) -> dict[str, str]:
    """Inside the capsule: ask each namespace everything."""
    commands = [
        Command(argv=tuple(question.split()), netns=name)
        for name in ["", *sorted(os.listdir(netns.FOLDER))]
        for question in [*QUESTIONS, *_legacy(name, LEGACY_TABLES if name in legacy_nodes else ())]
    ]
    return {f"{command.netns or 'capsule'}: {' '.join(command.argv)}": _answer(command) for command in commands}


def _legacy(name: str, known: Sequence[str]) -> list[str]:
    """Return what to ask of legacy iptables; `known` are its tables if their list may not be read."""
    questions = []
    with netns.inside(name):
        for file, question in LEGACY.items():
            try:
                tables: Sequence[str] = Path(file).read_text(encoding="utf-8").split()
            except PermissionError:
                tables = known
            except FileNotFoundError:  # no legacy iptables in this kernel
                tables = ()
            questions += [f"{question} -t {table}" for table in tables]
    return questions


def _answer(command: Command) -> str:
    try:
        (end,) = run_all([command])
    except LabError as error:
        return str(error)
    return end.stdout + (f"exit {end.status}: {end.stderr}" if end.status else "")
