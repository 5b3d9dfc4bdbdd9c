"""What is in the picture of a Service's chains: cards with rows, as words and keys, without any place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from lab.model.address import Family

Deed = Literal["lead", "mark", "rewrite", "end", "other"]
"""What a rule does: leads on, marks, rewrites addresses, ends the packet (drop, reject), or something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A rule, an element or an endpoint: what it asks, what it does, its whole text, and what it counted.

    `packets` is None where nothing counts. `share`: which part of what comes to its chain it takes, None where no
    chance is in it. `leads`: keys of cards. `inner`: it belongs to the rule above it.
    """

    asks: str
    does: str
    deed: Deed
    text: str
    packets: int | None = None
    octets: int | None = None
    share: Fraction | None = None
    leads: tuple[str, ...] = ()
    inner: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A chain. `own`: it exists for the Service alone; `hook`: the kernel itself calls it."""

    key: str
    table: str
    name: str
    rows: tuple[Row, ...]
    own: bool = False
    hook: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """The chains on one node in one family, in the order in which a packet meets them.

    `tool` is what listed them. `marks`: the chains that set and heed the mark for masquerading, which all Services
    share.
    """

    service: str
    node: str
    family: Family
    tool: str
    cards: tuple[Card, ...]
    marks: tuple[Card, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether anything counts."""
        return any(row.packets is not None for card in self.cards for row in card.rows)
