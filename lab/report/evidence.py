"""A failed expectation in full: the expectation beside the observation, the flows of its request, and the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import words
from lab.report import findings, flows, rules
from lab.report.table import PLAIN, Look, paint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.model.evidence import Evidence
    from lab.model.finding import Finding


def text(failed: Sequence[Sequence[Finding]], evidence: Iterable[Evidence], look: Look = PLAIN) -> str:
    """Return the findings of each expectation that failed, and under them what the lab showed at that time."""
    shown = {one.it: one for one in reversed(list(evidence))}
    return "\n\n".join(_one(each, shown.get(each[0].it), look) for each in failed)


def line(failed: Sequence[Sequence[Finding]]) -> str:
    """Return the first thing that does not hold, in a line."""
    first = next(finding for findings in failed for finding in findings if not finding.holds)
    return words.line(f"{first.it}: {first.what}: expected {first.expected}, observed {first.observed}")


def _one(failed: Sequence[Finding], evidence: Evidence | None, look: Look) -> str:
    parts = [findings.details(failed, look)]
    if evidence is not None:
        title = "flows of the request" if evidence.flows else "flows of the request: none on any node"
        parts.append(paint(title, "bold", look))
        if evidence.flows:
            parts[-1] += f"\n{flows.text(evidence.flows, evidence.names, look)}"
    if evidence is not None and evidence.service:
        installed = rules.text(evidence.rules, look)
        parts.append(f"{paint(f'rules of Service {evidence.service}', 'bold', look)}\n{installed}")
    return "\n\n".join(parts)
