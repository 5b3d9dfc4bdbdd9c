"""A journey beside what the rules say of it: predicted by `lab.proxy.walk`, observed by the kernel's trace."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lab.model import journey, walk
from lab.model.netfilter import Hook


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One rule, or one policy, as the walk expects it and as the kernel showed it; None where only one of them has it.

    `difference`: in words, where they do not agree, "" if they do. `reached` False: the packet was lost before.
    """

    hook: Hook | None
    table: str
    chain: str
    number: int
    predicted: walk.Step | None
    observed: journey.Step | None
    difference: str = ""
    reached: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """What the request's first packet met on one node; `packet`: what it looked like when it came there.

    The pairs are those of the way that agrees best of the `ways` that it might have taken, `share` how likely that one
    was; `assumed`: what is not known, and must have been so. `predicted` and `observed`: what became of it;
    `difference` is about these. `unknown`: which rule the walk does not know, "" if it knows all: nothing is compared
    behind it.
    """

    node: str
    packet: walk.Packet
    ways: int
    share: Fraction
    pairs: tuple[Pair, ...]
    predicted: str
    observed: str
    assumed: tuple[str, ...] = ()
    difference: str = ""
    unknown: str = ""

    @property
    def agrees(self) -> bool:
        """Whether everything does."""
        return not self.difference and not any(pair.difference for pair in self.pairs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A journey's visits to nodes; `notes`: what must be said beside them."""

    visits: tuple[Visit, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether there is no step that the rules cannot explain, and no rule that the kernel did not show."""
        return all(visit.agrees for visit in self.visits)
