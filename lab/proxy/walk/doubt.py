"""A question that nobody can answer from here: what may be assumed instead, and what is assumed already."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.model.netfilter import Unknown, Verdict
from lab.model.walk import Assumption, Packet


@dataclass(slots=True)
class Ledger:
    """What an explanation keeps account of: the `notes` that say what is assumed, and how often a way had to fork.

    `every`: whether every way is wanted that there may be; see `lab.proxy.walk.way.explain`.
    """

    notes: dict[str, None] = field(default_factory=dict)
    forks: int = 0
    every: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A question without an answer: what may be assumed, `yes` or `no`, and which of them lets the statement hold."""

    yes: Assumption
    no: Assumption
    wanted: bool = True

    def assumed(self, *, holds: bool) -> Assumption:
        """Return the answer by which the statement holds, or does not."""
        return self.yes if holds is self.wanted else self.no


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a statement holds (None: not known), and why; `verdict` is what a map says."""

    holds: bool | None
    why: str
    verdict: Verdict | None = None
    doubt: Doubt | None = None


def unknown(one: Unknown, packet: Packet) -> Answer:
    """Return what is assumed of a test that nothing is known of; one that is not `fixed` is asked each time anew."""
    subject = f"{one.text if one.fixed else id(one)} {packet.source} {packet.destination}:{packet.destination_port}"
    return doubted(whether(one.text, subject), packet, f"`{one.text}`")


def whether(text: str, subject: str) -> Doubt:
    """Return the question whether something holds, as it is written in the rule; `subject` tells it from others."""
    yes, no = (Assumption(f"`{text}` {said}", holds, subject) for said, holds in (("holds", True), ("fails", False)))
    return Doubt(yes=yes, no=no)


def doubted(doubt: Doubt, packet: Packet, why: str) -> Answer:
    """Return the answer that this way has assumed before, else that there is none."""
    found = next((one for one in packet.assumed if one.subject == doubt.yes.subject), None)
    if found is None:
        return Answer(None, why, doubt=doubt)
    return Answer(found.holds is doubt.wanted, f"assumed: {found.text}")
