"""Rules as a kernel holds them, in the order in which a packet meets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lab.model.address import Family
from lab.model.netfilter import Rule


@dataclass(frozen=True, slots=True)
class Line:
    """A chain's head, one of its rules, an element of the map that a rule looks up, or an endpoint that it chooses.

    `depth`: how many jumps lead here. `packets` and `octets` are None where nothing counts. `rule`: what a rule means;
    `leads`: the chains that a rule (by itself) or an element leads to.
    """

    kind: Literal["chain", "rule", "element", "endpoint"]
    depth: int
    table: str
    chain: str
    text: str = ""
    packets: int | None = None
    octets: int | None = None
    rule: Rule | None = field(default=None, compare=False, repr=False)
    leads: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What one node has installed in one family, for one Service or for all; `tool` is what lists it."""

    node: str
    family: Family
    tool: str
    lines: tuple[Line, ...]
