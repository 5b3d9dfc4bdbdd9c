"""The labs that stand, in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.report.table import PLAIN, Look, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.status import LabRow


def text(labs: Sequence[LabRow], look: Look = PLAIN) -> str:
    """Return a row for each lab, or a sentence when there is none."""
    if not labs:
        return "no lab stands; build one: invoke lab.up clusterip"
    rows = [[lab.name, lab.topology, words.seconds(lab.age_s), str(lab.keeper_pid)] for lab in labs]
    return table(rows, ["LAB", "TOPOLOGY", "UP FOR", "KEEPER"], look, right="KEEPER")


def data(labs: Sequence[LabRow]) -> list[dict[str, Any]]:
    """Return each lab's `name`, `topology`, `age_s` and `keeper_pid`."""
    return [
        {"name": lab.name, "topology": lab.topology, "age_s": lab.age_s, "keeper_pid": lab.keeper_pid} for lab in labs
    ]
