"""A finding: an expectation beside what was observed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was expected and what was seen; `holds` says whether they agree.

    `it` is the expectation's sentence, `what` the part of it (`answer`, `source`, `flow on node-1`, `shares`...).
    """

    it: str
    what: str
    expected: str
    observed: str
    holds: bool
