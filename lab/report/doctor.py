"""What a machine has and lacks for a lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from lab import words
from lab.report.table import PLAIN, Look, paint, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.report.table import Colour

_COLOURS: dict[str, Colour] = {"ok": "green", "limited": "yellow", "missing": "red"}


class Check(TypedDict):
    """What `lab.kernel.doctor.Check` is: the two halves know each other's shape, not each other."""

    name: str
    status: str
    required: bool
    needed_for: str
    observed: str
    mend: str
    changes: str


def text(checks: Sequence[Check], look: Look = PLAIN) -> str:
    """Return a row for each check, what mends those that are not well, and whether a lab can stand."""
    rows = [
        [paint(check["status"], _COLOURS[check["status"]], look), check["name"], check["observed"], check["needed_for"]]
        for check in checks
    ]
    mends = [
        f"{check['name']}: {check['mend']}" + (f"\n  changes: {check['changes']}" if check["changes"] else "")
        for check in checks
        if check["mend"]
    ]
    return "\n\n".join([table(rows, ["STATUS", "WHAT", "OBSERVED", "NEEDED FOR"], look), *mends, _verdict(checks)])


def _verdict(checks: Sequence[Check]) -> str:
    lacking = [check["name"] for check in checks if check["required"] and check["status"] == "missing"]
    if lacking:
        return f"no lab can stand on this machine: {words.several(lacking, 'and')} missing"
    unwell = sum(check["status"] != "ok" for check in checks)
    return "labs can stand on this machine" + (f"; {words.count(unwell, 'thing')} could be better" if unwell else "")
