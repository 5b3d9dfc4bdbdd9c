"""What the keeper and the pods have to say: the lines of a lab's log."""

from __future__ import annotations

from lab.errors import TopologyError
from lab.parse import target as targets
from lab.standing import state
from lab.standing.session import Standing


def lines(lab: Standing, *, pod: str = "", tail: int = 0) -> list[str]:
    """Return the lines of the log, of one pod if named, the last `tail` of them if that is not 0.

    A pod's line is `TIME POD PROTOCOL CLIENT -> SERVER WHAT STATUS`. Raises `TopologyError` if there is no such pod,
    `tail` is negative, or the lab has just gone.
    """
    if tail < 0:
        raise TopologyError(f"--tail {tail}: expected 0, for every line, or how many")
    try:
        found = (state.root() / lab.name / state.LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise state.no_lab(lab.name) from None
    if pod:
        place = targets.target(lab.cluster, pod)
        if place.kind != "pod":
            raise TopologyError(f"{pod} is a {place.kind}; expected a pod: only pods have a log")
        found = [line for line in found if line.split()[1:2] == [place.name]]
    return found[-tail:] if tail > 0 else found
