"""The gallery: a row for each topology, a column for each mode, and everything about what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.report import findings
from lab.report.table import PLAIN, Look, mark, paint, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.gallery import Tried


def text(tried: Sequence[Tried], took_s: float, look: Look = PLAIN) -> str:
    """Return the table, then what failed as `lab.check` shows it, then what was not tried, and a line that sums up."""
    parts = [_table(tried, look)]
    parts += [_failure(one, look) for one in tried if not one.holds]
    parts.append(_sum(tried, took_s, look))
    return "\n\n".join(parts)


def _table(tried: Sequence[Tried], look: Look) -> str:
    modes = list(dict.fromkeys(one.mode for one in tried))
    cells = {(one.topology, one.mode): _cell(one, look) for one in tried}
    names = dict.fromkeys(one.topology for one in tried)
    rows = [[name, *(cells[name, mode] for mode in modes)] for name in names]
    return table(rows, ["TOPOLOGY", *map(str.upper, modes)], look)


def _cell(one: Tried, look: Look) -> str:
    """Return how many expectations hold and how long it took; or that it was not built, or not tried."""
    if one.not_tried:
        return "left out"
    if one.error:
        return f"{mark(False, look)} not built"  # noqa: FBT003 - the cross
    number, wrong = len(one.judged), len(one.failed)
    told = f"{wrong} of {number} failed" if wrong else f"{number} ok"
    return f"{mark(one.holds, look)} {told}, {words.seconds(one.took_s)}"


def _failure(one: Tried, look: Look) -> str:
    title = paint(f"{one.topology}, {one.mode}", "bold", look)
    if one.error:
        return f"{title}\n{paint(one.error, 'red', look)}"
    return "\n\n".join([title, *(findings.details(each, look) for each in one.failed)])


def _sum(tried: Sequence[Tried], took_s: float, look: Look) -> str:
    lines = [f"left out: {one.topology}, {one.mode}: {one.not_tried}" for one in tried if one.not_tried]
    labs = sum(not one.not_tried for one in tried)
    expectations = words.count(sum(len(one.judged) for one in tried), "expectation")
    wrong = [one for one in tried if not one.holds]
    if wrong:
        counts = []
        if failed := sum(len(one.failed) for one in wrong):
            counts.append(f"{failed} of {expectations}")
        if unbuilt := sum(bool(one.error) for one in wrong):
            counts.append(words.count(unbuilt, "lab"))
        told = paint(f"{words.several(counts, 'and')} failed, in {words.seconds(took_s)}", "red", look)
    else:
        told = paint(f"all {expectations} hold in {words.count(labs, 'lab')}, {words.seconds(took_s)}", "green", look)
    left = sum(bool(one.not_tried) for one in tried)
    return "\n".join([*lines, told + (f" ({left} left out)" if left else "")])


def data(tried: Sequence[Tried], took_s: float) -> dict[str, Any]:
    """Return all that was found.

    Keys: `holds`, `took_s`, `labs`: each `topology`, `mode`, `took_s`, `error` and `not_tried` ("" if there is none),
    and `holds`, `expectations` and `left_out` as `lab.check --json` has them.
    """
    return {
        "holds": all(one.holds for one in tried),
        "took_s": took_s,
        "labs": [
            {
                "topology": one.topology,
                "mode": one.mode,
                "took_s": one.took_s,
                "error": one.error,
                "not_tried": one.not_tried,
                **findings.data(one.judged, one.left_out),
                "holds": one.holds,
            }
            for one in tried
        ],
    }
