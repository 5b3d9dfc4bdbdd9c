"""Findings: a line for each expectation, and everything about those that do not hold."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from lab import judge, words
from lab.model.kubernetes import to_builtins
from lab.report.table import PLAIN, Look, mark, paint, table, widest, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.finding import Finding
    from lab.model.lab import Expectation

NARROW = 20  # columns below which wrapped text is harder to read than a line that the terminal breaks


def text(judged: Sequence[Sequence[Finding]], left_out: Sequence[Expectation] = (), look: Look = PLAIN) -> str:
    """Return the findings of each expectation, and what was left out because it is meant for another lab."""
    failed = [findings for findings in judged if not _holds(findings)]
    parts = [_overview(judged, look)] if judged else []
    parts += [details(findings, look) for findings in failed]
    parts.append(_verdict(judged, failed, left_out, look))
    return "\n\n".join(parts)


def _holds(findings: Sequence[Finding]) -> bool:
    return all(finding.holds for finding in findings)


def _overview(judged: Sequence[Sequence[Finding]], look: Look) -> str:
    """Return one row for each expectation, with the finding that tells most about it."""
    half = max(NARROW, (look.width - 8) // 2)
    rows = []
    for findings in judged:
        telling = next((finding for finding in findings if not finding.holds), findings[0])
        observed = telling.observed if telling is findings[0] else f"{telling.what}: {telling.observed}"
        short = textwrap.shorten(words.line(observed), half, placeholder=" ...")
        rows.append([mark(_holds(findings), look), wrap(words.line(telling.it), half), short])
    return table(rows, ["", "EXPECTATION", "OBSERVED"], look)


def details(findings: Sequence[Finding], look: Look) -> str:
    """Return all findings of one expectation in full."""
    expected = _wrapped([finding.expected for finding in findings], max(NARROW, look.width // 3))
    taken = widest("\n".join(expected)) + max(len(finding.what) for finding in findings)
    observed = _wrapped([finding.observed for finding in findings], max(NARROW, look.width - taken - 10))
    rows = [
        [mark(finding.holds, look), finding.what, *texts]
        for finding, *texts in zip(findings, expected, observed, strict=True)
    ]
    title = paint(words.line(findings[0].it), "bold", look)
    return f"{title}\n{table(rows, ['', 'WHAT', 'EXPECTED', 'OBSERVED'], look)}"


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    """Return each text in lines that fit."""
    return [wrap(words.line(text), width) for text in texts]


def _verdict(
    judged: Sequence[Sequence[Finding]],
    failed: Sequence[Sequence[Finding]],
    left_out: Sequence[Expectation],
    look: Look,
) -> str:
    number = words.count(len(judged), "expectation")
    if not judged:
        line = "nothing was expected of this lab"
    elif failed:
        wrong = sum(not finding.holds for findings in failed for finding in findings)
        line = paint(f"{len(failed)} of {number} failed ({words.count(wrong, 'finding')})", "red", look)
    else:
        all_of = "the one expectation holds" if len(judged) == 1 else f"all {number} hold"
        line = paint(f"{all_of} ({words.count(sum(map(len, judged)), 'finding')})", "green", look)
    lines = [f"left out: {words.line(one.it)} (only when {_when(one)})" for one in left_out]
    return "\n".join([*lines, line])


def _when(one: Expectation) -> str:
    """Return what an expectation is for in the topology's own words."""
    return words.several([f"{field} is {value}" for field, value in _condition(one).items()], "and")


def _condition(one: Expectation) -> dict[str, str]:
    """Return the labs that an expectation is for; see `lab.judge.applies`."""
    modes = judge.modes(one)
    said: dict[str, str] = to_builtins(one.when)
    return {"mode": modes[0], **said} if len(modes) == 1 else said


def data(judged: Sequence[Sequence[Finding]], left_out: Sequence[Expectation] = ()) -> dict[str, Any]:
    """Return all findings.

    Keys: `holds`; `expectations` (each `it`, `holds` and `findings`: each `what`, `expected`, `observed`, `holds`);
    `left_out` (each `it` and `when`, the labs that it is for, with the topology's field names).
    """
    return {
        "holds": all(map(_holds, judged)),
        "expectations": [
            {
                "it": findings[0].it,
                "holds": _holds(findings),
                "findings": [
                    {"what": one.what, "expected": one.expected, "observed": one.observed, "holds": one.holds}
                    for one in findings
                ],
            }
            for findings in judged
        ],
        "left_out": [{"it": one.it, "when": _condition(one)} for one in left_out],
    }
