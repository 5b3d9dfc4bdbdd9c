"""Who asked whom in a check, and the command that asks the same again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.parse.kinds import KINDS
from lab.parse.place import PLACES
from lab.parse.target import port_of
from lab.report.table import wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.model.finding import Finding
    from lab.model.lab import Expectation
    from lab.model.verdict import CellSeen

_WIDE, _INDENT, _GOES_ON = 80, "  ", " \\"
_COUNTS: Mapping[str, int] = {"some": 10, "one": 10, "equal": 100}
"""How many requests show what many have shown: one, which kube-proxy sends to a pod by lot, may meet a good one."""
_TIMEOUT_S = 2
"""They go one after the other, and a person waits for them; a SYN is sent again after 1 s (RFC 6298)."""


def in_short(asked: Expectation) -> str:
    """Return `client-b -> svc/web`: who asked whom, by which port, and by UDP if it was that."""
    port = f":{asked.port}" if asked.port else ""
    by = " (UDP)" if asked.protocol == "udp" else ""
    return words.line(f"{_short(asked.from_)} -> {_short(asked.to)}{port}{by}")


def _short(place: str) -> str:
    """Return a place as tables name it: without its kind, unless it is a Service."""
    kind, slash, name = place.partition("/")
    return name if slash and kind in PLACES else place


def data(asked: Expectation | None) -> dict[str, Any]:
    """Return of a request `from` and `to`, as `lab.trace` takes them, `port`, `protocol` and what else it had.

    `port`: null if it has a name; `localPort`, `family`: null if any would do; `size` in bytes, 0 if it was small;
    `connections`: how many at once, 0 for one after the other. {} of what is no request: an answer to a question.
    """
    if asked is None:
        return {}
    return {
        "from": asked.from_,
        "to": asked.to,
        "port": asked.port or port_of(asked.to),
        "protocol": asked.protocol,
        "localPort": asked.local_port,
        "family": asked.family,
        "size": asked.size,
        "connections": asked.connections,
    }


def first_red(cells: Sequence[CellSeen], lab: str = "") -> str:
    """Return, in 80 columns, the command that asks the first of what is red again; "" if none does.

    Many requests are counted (`lab.curl`), one is followed (`lab.trace`). `lab`: its name, if it must be said.
    """
    for cell in cells:
        for asked, part in cell.tried:
            bad = next((finding for finding in part if not finding.holds), None)
            if bad and asked and _can_ask(asked, bad):
                return f"to ask it again ({words.line(cell.name)}):\n{_folded(command(asked, lab))}"
    return ""


def _can_ask(asked: Expectation, bad: Finding) -> bool:
    """Return whether one command can ask what did not hold: one asks, one request after the other, and all is there.

    What only shows when something has changed (a step) is asked by none, and `lab.curl` chooses no family.
    """
    kind, slash, _ = asked.from_.partition("/")
    several = asked.connections or (slash and KINDS.get(kind.lower()) == "Deployment")
    step = bad.it in {one.it for one in asked.then}
    return not (several or step or bad.what == "names" or (asked.shares and asked.family))


def command(asked: Expectation, lab: str = "") -> str:
    """Return the command that makes the request of an expectation, or some of its many requests."""
    if asked.shares is None:
        return trace(asked, lab)
    options = {"--count": _COUNTS[asked.shares], "--timeout": _TIMEOUT_S, "--port": asked.port, "--lab": lab}
    return _command("lab.curl", asked, options)


def trace(asked: Expectation, lab: str = "") -> str:
    """Return the command that makes the request of an expectation and shows its journey; `lab`: as above."""
    options = {
        "--port": asked.port,
        "--local-port": asked.local_port,
        "--family": asked.family,
        "--size": asked.size,
        "--lab": lab,
    }
    return _command("lab.trace", asked, options)


def _command(task: str, asked: Expectation, options: Mapping[str, object]) -> str:
    said = [f"{option} {value}" for option, value in options.items() if value]
    udp = ["--udp"] if asked.protocol == "udp" else []
    return " ".join([f"invoke {task}", asked.from_, asked.to, *udp, *said])


def _folded(command: str) -> str:
    """Return a command in lines of 80 columns, which a shell takes for one."""
    if len(f"{_INDENT}{command}") <= _WIDE:
        return f"{_INDENT}{command}"
    lines = wrap(command, _WIDE - len(f"{_INDENT}{_INDENT}{_GOES_ON}")).splitlines()
    return _INDENT + f"{_GOES_ON}\n{_INDENT}{_INDENT}".join(lines)
