"""How a lab is just now, in a few texts for the report of a test that failed in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lab.errors import LabError
from lab.kernel import netns
from lab.kernel.command import Command, run_all
from lab.report import flows, rules, status
from lab.standing import installed, logbook, observe
from lab.standing.session import Standing

LINES = 120
"""So many lines of each part are kept: a report is read by people."""

SERVICES, PLACES, REQUESTS = 8, 48, 40
"""Of so many Services the rules are shown, of so many namespaces the links, and so many lines of the log."""


def parts(lab: Standing) -> dict[str, str]:
    """Return the parts by their names; one that cannot be had says why. Raises `LabError` if the lab is gone."""
    others = {name: _shortened(_tried(part, lab)) for name, part in PARTS.items()}
    return {"status": _shortened(_status(lab)), **others}  # last: it asks the pods, which leaves flows and lines


def _tried(part: Callable[[Standing], str], lab: Standing) -> str:
    try:
        return part(lab)
    except LabError as error:
        return str(error)


def _shortened(text: str) -> str:
    lines = text.splitlines()
    return text if len(lines) <= LINES else "\n".join([*lines[:LINES], f"... and {len(lines) - LINES} more lines"])


def _status(lab: Standing) -> str:
    return status.text(observe.status(lab), most=12)


def _flows(lab: Standing) -> str:
    return flows.text(observe.flows(lab, []), observe.names(lab))


def _rules(lab: Standing) -> str:
    return "\n\n".join(_each_rules(lab)) or "there is no Service"


def _each_rules(lab: Standing) -> Iterator[str]:
    services = lab.cluster.services
    for service in services[:SERVICES]:
        yield rules.text(installed.rules(lab, of=service), service=service)
    if len(services) > SERVICES:
        yield f"... and those of {len(services) - SERVICES} more Services"


def _links(lab: Standing) -> str:
    """Return what `ip -brief address` says in each namespace."""

    def look() -> str:
        places = sorted(os.listdir(netns.FOLDER))
        commands = [Command(argv=("ip", "-brief", "address"), netns=name) for name in places[:PLACES]]
        told = [f"{end.command.netns}:\n{end.stdout}{end.stderr}".rstrip() for end in run_all(commands)]
        return "\n".join(told + [f"... and {len(places) - PLACES} more namespaces"] * (len(places) > PLACES))

    return lab.call(look)


def _log(lab: Standing) -> str:
    return "\n".join(logbook.lines(lab, tail=REQUESTS)) or "no pod has served a request"


PARTS: dict[str, Callable[[Standing], str]] = {"flows": _flows, "rules": _rules, "links": _links, "log": _log}
"""What is looked at beside the status, in this order."""
